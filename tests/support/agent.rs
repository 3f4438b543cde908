//! What a demo agent can be asked to do.

use super::{Done, World, quote, text};
use serde_json::Value;

impl World {
    /// Gives an agent a prompt, waits for the end of its turn, and returns its answer.
    #[track_caller]
    pub(crate) fn ask(&self, id: &str, prompt: &str) -> String {
        let message = self
            .run(["send", id, "--wait", "30", "-m", "-"])
            .stdin(prompt)
            .json();
        assert_eq!(message["status"], "submitted", "{message}");
        self.wait(id, "idle,error");
        text(&self.run(["output", id]).json()["output"])
    }

    /// Runs a shell command as a process of the agent.
    #[track_caller]
    pub(crate) fn shell(&self, id: &str, command: &str) -> Done {
        let base = tempfile::Builder::new()
            .prefix("agent-")
            .tempdir_in(self.dir.path())
            .unwrap();
        let file = |name: &str| base.path().join(name);
        std::fs::write(file("script"), command).unwrap();
        // The code is read from a file: a message that comes right after the turn would bring another answer.
        self.ask(
            id,
            &format!(
                "RUN sh {0}/script >{0}/out 2>{0}/err; echo $? >{0}/code",
                base.path().display()
            ),
        );
        let read = |name: &str| String::from_utf8(std::fs::read(file(name)).unwrap()).unwrap();
        Done {
            code: read("code").trim().parse().unwrap(),
            stdout: read("out"),
            stderr: read("err"),
        }
    }

    /// Runs the program under test as a process of the agent.
    #[track_caller]
    pub(crate) fn run_in(&self, id: &str, arguments: &[&str]) -> Done {
        let words: Vec<String> = arguments.iter().map(|word| quote(word)).collect();
        self.shell(id, &format!("exec \"$CONDUCTOR_HOOK\" {}", words.join(" ")))
    }

    /// Lets the agent call an MCP tool, and reads the result; a tool error is `Err` with its text.
    #[track_caller]
    pub(crate) fn mcp(&self, id: &str, tool: &str, arguments: &Value) -> Result<Value, String> {
        let answer = self.ask(id, &format!("MCP {tool} {arguments}"));
        match answer.strip_prefix("error: ") {
            Some(error) => Err(error.to_owned()),
            None => Ok(serde_json::from_str(&answer)
                .unwrap_or_else(|e| panic!("not JSON ({e}): {answer}"))),
        }
    }
}
