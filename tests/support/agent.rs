//! What a demo agent can be asked to do.

use super::{Done, World, eventually, quote, text};
use serde_json::Value;

impl World {
    /// Says yes to all that the agent asks for, until its turn is over.
    #[track_caller]
    pub(crate) fn wait_and_approve(&self, id: &str) {
        loop {
            let states = ["--for", "idle,error,waiting", "--timeout", "30"];
            let there = self.run([&["wait", id][..], &states].concat()).json();
            if there[0]["status"] != "waiting" {
                return;
            }
            for approval in self.pending() {
                if approval["terminal"] == id {
                    self.run(["approve", &text(&approval["id"])]).try_done();
                }
            }
        }
    }

    /// Waits until the agent asks for something, and says yes to it.
    #[track_caller]
    pub(crate) fn approve_next(&self, id: &str) {
        let asked = self.asked(id);
        self.run(["approve", &text(&asked["id"])]).ok();
    }

    /// Waits until the agent asks for something.
    #[track_caller]
    pub(crate) fn asked(&self, id: &str) -> Value {
        eventually("the agent asks for something", || {
            self.pending().into_iter().find(|a| a["terminal"] == id)
        })
    }

    /// What waits for a person.
    pub(crate) fn pending(&self) -> Vec<Value> {
        let list = self.run(["approvals", "--status", "pending"]).json();
        list.as_array().cloned().unwrap_or_default()
    }

    /// Gives an agent a prompt, approves what it asks for, waits for the end of its turn, and returns its answer.
    #[track_caller]
    pub(crate) fn ask(&self, id: &str, prompt: &str) -> String {
        let message = self
            .run(["send", id, "--wait", "30", "-m", "-"])
            .stdin(prompt)
            .json();
        assert_eq!(message["status"], "submitted", "{message}");
        self.wait_and_approve(id);
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
                quote(&base.path().to_string_lossy())
            ),
        );
        eventually("the command is over", || {
            file("code").exists().then_some(())
        });
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
