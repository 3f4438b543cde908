//! The gate in a pane of one provider, asked by an agent of another.

use super::*;
use crate::domain::ids::TerminalId;
use crate::tmux::Tmux;
use serde_json::{Value, json};

/// The answer of the gate to a shell command of an agent of `speaker`, in the pane of an agent of `provider`.
fn decided(provider: &str, speaker: &str, (mode, command): (&str, &str)) -> String {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::at(dir.path().join("state")).unwrap();
    let mut store = Store::open_or_create(&home).unwrap();
    let mut terminal = Terminal::sample(TerminalId::from_bytes([1; 4]));
    terminal.provider = provider.to_owned();
    terminal.cwd = dir.path().to_owned();
    store
        .write(Durability::Process, Budget::Call, |tx| {
            tx.insert_terminal(&terminal).map(drop)
        })
        .unwrap();
    let input = json!({
        "tool_name": "Bash", "tool_input": {"command": command}, "cwd": dir.path(), "permission_mode": mode,
    });
    let dialect = dialect_of(Some(&home), speaker);
    let incoming = dialect
        .read("PreToolUse", input.to_string().as_bytes())
        .unwrap()
        .unwrap();
    let mut session = Session {
        cx: Context::new(home, Tmux::at(dir.path().join("no-server"))).unwrap(),
        store,
        terminal,
        speaker: speaker.to_owned(),
        guest: false,
        parent: nix::unistd::getppid(),
    };
    let mut output = Vec::new();
    session.gate(dialect, "PreToolUse", &incoming, &mut output);
    if output.is_empty() {
        return "no opinion".to_owned();
    }
    let answer: Value = serde_json::from_slice(&output).unwrap();
    let decision = &answer["hookSpecificOutput"]["permissionDecision"];
    decision.as_str().unwrap().to_owned()
}

#[test]
fn the_provider_that_speaks_says_what_its_tools_do() {
    for pane in ["generic", "gemini", "claude_code"] {
        for (call, decision) in [
            (("bypassPermissions", "rm -rf /"), "deny"),
            (("default", "rm -rf /"), "deny"),
            (("bypassPermissions", "ls"), "allow"),
            (("bypassPermissions", "mkdir x"), "ask"),
            (("default", "mkdir x"), "no opinion"),
        ] {
            let said = decided(pane, "claude_code", call);
            assert_eq!(said, decision, "{call:?} in a pane of {pane}");
        }
    }
}
