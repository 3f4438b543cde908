//! Whether a broken gate blocks: the hooks that agents were given are run as their agents would run them, with a state that is not there.

use super::context::Context;
use crate::clock::Deadline;
use crate::domain::terminal::Terminal;
use crate::paths::name;
use crate::proc;
use crate::providers::{self, Catalogue, Dialect};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long one hook may take.
const LIMIT: Duration = Duration::from_secs(10);

/// An id that no terminal has.
const NOBODY: &str = "00000000";

/// A call that no policy allows, in the words of every dialect.
const CALL: &str = r#"{"hook_event_name":"PreToolUse","tool_name":"Bash","tool_input":{"command":"rm -rf canary"},"tool":"bash","args":{"command":"rm -rf canary"},"cwd":"/","permission_mode":"default"}"#;

/// What lets a call pass that should be blocked, one line each; each distinct command is tried once.
pub fn faults(cx: &Context, terminals: &[&Terminal]) -> Vec<String> {
    let catalogue = Catalogue::of(&cx.home);
    let mut commands: BTreeMap<String, (&Terminal, Dialect)> = BTreeMap::new();
    let mut faults = Vec::new();
    // What a person started by hand has its hooks in the person's own settings.
    for terminal in terminals.iter().filter(|terminal| !terminal.adopted) {
        let Ok(manifest) = catalogue.get(&terminal.provider) else {
            continue;
        };
        let run_dir = cx.home.run_of(terminal.id.as_str());
        match providers::gate_command(&cx.home, &manifest, &run_dir) {
            Some(command) => {
                commands
                    .entry(command)
                    .or_insert((terminal, manifest.dialect));
            }
            None => faults.push(format!(
                "terminal {} has no settings with a hook before its tools",
                terminal.id
            )),
        }
    }
    for (command, (terminal, dialect)) in commands {
        let id = &terminal.id;
        let Some((hook, rest)) = parts(&command) else {
            faults.push(format!("the hook of terminal {id} is not one of ours"));
            continue;
        };
        // As it stands, and with a program that is missing.
        for (what, line) in [
            ("without a state", format!("{hook} hook {rest}")),
            (
                "without the program",
                format!("{hook}-is-missing hook {rest}"),
            ),
        ] {
            match blocks(dialect, &line) {
                Ok(true) => {}
                Ok(false) => {
                    faults.push(format!("the hook of terminal {id} lets a call pass {what}"));
                }
                Err(error) => faults.push(format!(
                    "the hook of terminal {id} cannot be tried: {error}"
                )),
            }
        }
    }
    faults
}

/// The program, quoted, and what follows `hook`; the variables in front name the agent, and this is not it.
fn parts(command: &str) -> Option<(String, &str)> {
    let (front, rest) = command.split_once(" hook ")?;
    // In settings of the person's they stand inside a condition.
    let rest = rest.strip_suffix("; fi").unwrap_or(rest);
    let words = shell_words::split(front).ok()?;
    let program = words.last()?;
    Some((shell_words::quote(program).into_owned(), rest))
}

fn blocks(dialect: Dialect, line: &str) -> std::io::Result<bool> {
    let mut command: Command = proc::command("/bin/sh");
    command
        .args(["-c", line])
        .env(name::TERMINAL_ID, NOBODY)
        .env(name::HOME, "/nonexistent")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    if let Some(mut input) = child.stdin.take() {
        // A program that is missing reads nothing.
        let _ = input.write_all(CALL.as_bytes());
    }
    let deadline = Deadline::after(LIMIT);
    while child.try_wait()?.is_none() {
        if deadline.passed() {
            child.kill()?;
            child.wait()?;
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(dialect.blocked(
        output.status.code(),
        &text(&output.stdout),
        &text(&output.stderr),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::TerminalId;
    use crate::fsx;
    use crate::paths::Home;
    use crate::tmux::Tmux;

    #[test]
    fn every_way_in_which_a_gate_may_let_calls_pass_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path().join("state")).unwrap();
        let cx = Context::new(home.clone(), Tmux::at(dir.path().join("no-server"))).unwrap();
        let gate = dir.path().join("gate");
        fsx::write_atomic_mode(&gate, b"#!/bin/sh\nexit 2\n", 0o700).unwrap();
        let gate = gate.to_str().unwrap();
        let terminal = Terminal::sample(TerminalId::from_bytes([1; 4]));
        let run_dir = home.run_of(terminal.id.as_str());
        let found = |command: Option<&str>| {
            if let Some(command) = command {
                let hook = serde_json::json!([{"hooks": [{"command": command}]}]);
                let settings = serde_json::json!({"hooks": {"PreToolUse": hook}}).to_string();
                fsx::create_private_dir(&run_dir).unwrap();
                fsx::write_atomic(&run_dir.join("settings.json"), settings.as_bytes()).unwrap();
            }
            faults(&cx, &[&terminal]).join("; ")
        };
        assert!(found(None).ends_with("has no settings with a hook before its tools"));
        let blocks = " hook demo PreToolUse || exit 2";
        for (command, fault) in [
            (format!("{gate}{blocks}"), ""),
            (
                format!("/bin/true{blocks}"),
                "lets a call pass without a state",
            ),
            (
                format!("{gate} hook demo PreToolUse"),
                "lets a call pass without the program",
            ),
            (format!("{gate} || exit 2"), "is not one of ours"),
        ] {
            let found = found(Some(&command));
            assert!(
                found.ends_with(fault) && found.is_empty() == fault.is_empty(),
                "{command}: {found}"
            );
        }
    }
}
