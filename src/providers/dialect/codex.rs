//! Codex's hooks: Claude Code's names and fields with differences, seen with 0.169.0.
//!
//! An answer with a word too many, without a reason, or that is not JSON lets the call run; so does "ask".

use super::claude;
use super::{Incoming, Verdict};
use crate::domain::event::AgentEvent;
use serde_json::{Value, json};

pub(super) fn read(event: &str, bytes: &[u8]) -> Result<Option<Incoming>, String> {
    let mut incoming = match event {
        // It comes with the first turn, not with the start.
        "Interrupt" | "SessionStart" => claude::read("Notification", bytes)?,
        _ => claude::read(event, bytes)?,
    };
    if let Some(incoming) = &mut incoming {
        if event == "Interrupt" && !of_subagent(bytes) {
            incoming.event = AgentEvent::Interrupted;
        }
        let cwd = incoming.cwd.clone().unwrap_or_default();
        if let AgentEvent::PermissionAsked(call) | AgentEvent::ToolFinished(call, _) =
            &mut incoming.event
            && let Some(Value::String(command)) = call.input.get_mut("command")
            && let Some(rest) = command.strip_prefix(&into(&cwd))
        {
            *command = rest.to_owned();
        }
    }
    Ok(incoming)
}

fn of_subagent(bytes: &[u8]) -> bool {
    serde_json::from_slice(bytes).is_ok_and(|hook: Value| hook["agent_id"].is_string())
}

/// What stands in front of every command that is allowed: the input of a hook does not say in which directory the model wants it to run, and
/// what was judged is a command in the session's.
fn into(cwd: &str) -> String {
    format!("cd -- {} || exit 1\n", shell_words::quote(cwd))
}

pub(super) fn decision(event: &str, verdict: &Verdict, incoming: Option<&Incoming>) -> String {
    let deny = |reason: &str| {
        let reason = if reason.trim().is_empty() {
            "denied"
        } else {
            reason
        };
        if event == "PermissionRequest" {
            json!({"hookEventName": event, "decision": {"behavior": "deny", "message": reason}})
        } else {
            json!({"hookEventName": event, "permissionDecision": "deny", "permissionDecisionReason": reason})
        }
    };
    let answer = match (event, verdict) {
        ("PermissionRequest", Verdict::Allow(_)) => {
            json!({"hookEventName": event, "decision": {"behavior": "allow"}})
        }
        // The dialog opens.
        ("PermissionRequest", Verdict::Ask(_) | Verdict::Pass) => return String::new(),
        (_, Verdict::Deny(reason)) => deny(reason),
        (_, Verdict::Ask(_) | Verdict::Pass) => deny("this agent cannot ask by itself"),
        (_, Verdict::Allow(_)) => match incoming.map(bound) {
            Some(Bound::To(input)) => {
                json!({"hookEventName": event, "permissionDecision": "allow", "updatedInput": input})
            }
            Some(Bound::Nowhere) => deny("it does not say where it runs"),
            Some(Bound::Free) | None => return String::new(),
        },
    };
    json!({ "hookSpecificOutput": answer }).to_string()
}

/// What an allowed call is bound to.
enum Bound {
    /// A command, to the directory that was judged: its new input.
    To(Value),
    /// A command of which no directory is known.
    Nowhere,
    /// It is no command.
    Free,
}

fn bound(incoming: &Incoming) -> Bound {
    let AgentEvent::ToolStarting(call) = &incoming.event else {
        return Bound::Free;
    };
    let command = call.input.get("command").and_then(Value::as_str);
    match (command, incoming.cwd.as_deref()) {
        (Some(command), Some(cwd)) if call.tool == "Bash" => {
            Bound::To(json!({"command": format!("{}{command}", into(cwd))}))
        }
        _ if call.tool == "Bash" => Bound::Nowhere,
        _ => Bound::Free,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::ToolEnd;

    fn incoming(event: &str, input: &Value) -> Incoming {
        read(event, input.to_string().as_bytes()).unwrap().unwrap()
    }

    fn call(command: &str) -> Value {
        json!({"tool_name": "Bash", "tool_input": {"command": command}, "cwd": "/a b", "session_id": "s"})
    }

    #[test]
    fn its_start_comes_with_the_first_turn_and_esc_is_told() {
        assert_eq!(
            incoming("SessionStart", &json!({"source": "startup"})).event,
            AgentEvent::SignOfLife
        );
        assert_eq!(
            incoming("Interrupt", &json!({"session_id": "s"})).event,
            AgentEvent::Interrupted
        );
        assert_eq!(
            incoming("Interrupt", &json!({"agent_id": "a"})).event,
            AgentEvent::SignOfLife
        );
    }

    #[test]
    fn an_allowed_command_runs_where_it_was_judged() {
        let asked = incoming("PreToolUse", &call("make x"));
        let answer = decision("PreToolUse", &Verdict::Allow("ok".into()), Some(&asked));
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let output = &answer["hookSpecificOutput"];
        assert_eq!(output["permissionDecision"], "allow");
        assert_eq!(
            output["updatedInput"]["command"],
            "cd -- '/a b' || exit 1\nmake x"
        );
        for event in ["PermissionRequest", "PostToolUse"] {
            let told = incoming(event, &call("cd -- '/a b' || exit 1\nmake x"));
            let (AgentEvent::PermissionAsked(call) | AgentEvent::ToolFinished(call, ToolEnd::Ran)) =
                told.event
            else {
                panic!("{event}");
            };
            assert_eq!(call.input["command"], "make x", "{event}");
        }
        let kept = incoming("PreToolUse", &call("cd -- '/a b' || exit 1\nmake x"));
        assert!(
            matches!(kept.event, AgentEvent::ToolStarting(call) if call.input["command"] != "make x")
        );
    }

    #[test]
    fn no_denial_is_without_a_reason_and_no_word_is_too_many() {
        let denied = decision("PreToolUse", &Verdict::Deny(" ".into()), None);
        assert_eq!(
            serde_json::from_str::<Value>(&denied).unwrap(),
            json!({"hookSpecificOutput": {"hookEventName": "PreToolUse", "permissionDecision": "deny", "permissionDecisionReason": "denied"}})
        );
        for verdict in [Verdict::Ask(String::new()), Verdict::Pass] {
            assert!(decision("PreToolUse", &verdict, None).contains("deny"));
        }
        let mut nowhere = incoming("PreToolUse", &call("ls"));
        nowhere.cwd = None;
        assert!(
            decision("PreToolUse", &Verdict::Allow(String::new()), Some(&nowhere)).contains("deny")
        );
        assert_eq!(decision("PermissionRequest", &Verdict::Pass, None), "");
    }
}
