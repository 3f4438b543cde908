//! Claude Code's hooks (`--settings`, version 2.1): input and output, seen with 2.1.197 and 2.1.330.

use super::{Incoming, Verdict, shown};
use crate::domain::event::{AgentEvent, DialogKind, ToolCall, ToolEnd};
use serde::Deserialize;
use serde_json::{Value, json};

/// What a hook gets; every field may be missing, unknown ones are ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Hook {
    session_id: Option<String>,
    agent_id: Option<String>,
    source: Option<String>,
    prompt: Option<String>,
    tool_name: Option<String>,
    tool_input: Value,
    tool_use_id: Option<String>,
    notification_type: Option<String>,
    stop_hook_active: bool,
    last_assistant_message: Option<String>,
    background_tasks: Vec<Value>,
    error: Option<Value>,
    limit_until: Option<String>,
    reason: Option<String>,
    exit_code: Option<i32>,
    cwd: Option<String>,
    permission_mode: Option<String>,
}

pub(super) fn read(event: &str, bytes: &[u8]) -> Result<Option<Incoming>, String> {
    let hook: Hook = super::payload(bytes)?;
    // Hooks of a subagent carry its id: they are signs of life of the parent, whatever they say.
    let subagent = hook.agent_id.is_some();
    let call = || ToolCall {
        tool: shown(hook.tool_name.as_deref().unwrap_or_default()),
        input: hook.tool_input.clone(),
        call_id: hook.tool_use_id.clone(),
    };
    let event = match event {
        "SessionStart" => match hook.source.as_deref() {
            Some("compact") => AgentEvent::SignOfLife,
            _ => AgentEvent::Started,
        },
        "UserPromptSubmit" => AgentEvent::PromptSubmitted {
            text: hook.prompt.clone().unwrap_or_default(),
        },
        // A decision about nothing would be a decision about anything.
        "PreToolUse" | "PermissionRequest" if hook.tool_name.is_none() => {
            return Err("it names no tool".to_owned());
        }
        "PreToolUse" => AgentEvent::ToolStarting(call()),
        "PermissionRequest" if hook.tool_name.as_deref() == Some("AskUserQuestion") => {
            AgentEvent::DialogShown(DialogKind::Question)
        }
        "PermissionRequest" => AgentEvent::PermissionAsked(call()),
        "PostToolUse" => AgentEvent::ToolFinished(call(), ToolEnd::Ran),
        "PostToolUseFailure" => AgentEvent::ToolFinished(call(), ToolEnd::Failed),
        "PermissionDenied" => AgentEvent::ToolFinished(call(), ToolEnd::Denied),
        "Notification" => match hook.notification_type.as_deref() {
            Some("permission_prompt") => AgentEvent::DialogShown(DialogKind::Permission),
            Some("elicitation_dialog") => AgentEvent::DialogShown(DialogKind::Question),
            Some("idle_prompt") => AgentEvent::AtPrompt,
            _ => AgentEvent::SignOfLife,
        },
        "Stop" => AgentEvent::TurnEnded {
            answer: hook.last_assistant_message.clone(),
            continued: hook.stop_hook_active,
            background: hook.background_tasks.iter().any(running),
        },
        "StopFailure" => {
            let kind = match &hook.error {
                Some(Value::String(text)) if text == "unknown" => String::new(),
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
                None => String::new(),
            };
            // Its last words say more than the kind, e.g. "API Error: 400 …".
            let words = hook.last_assistant_message.clone().unwrap_or_default();
            let known = |text: &&str| !text.trim().is_empty();
            let error = [kind.as_str(), words.as_str()]
                .into_iter()
                .filter(known)
                .collect::<Vec<_>>()
                .join(": ");
            if kind == "usage_limit" {
                AgentEvent::LimitReached {
                    until: hook
                        .limit_until
                        .as_deref()
                        .and_then(|text| text.parse().ok()),
                }
            } else {
                AgentEvent::TurnFailed { error }
            }
        }
        "SessionEnd" => match hook.reason.as_deref() {
            Some("clear" | "resume") => AgentEvent::SignOfLife,
            reason => AgentEvent::Ended {
                reason: reason.unwrap_or("unknown").to_owned(),
            },
        },
        _ => AgentEvent::SignOfLife,
    };
    let event = if subagent && !event.wants_decision() {
        AgentEvent::SignOfLife
    } else {
        event
    };
    Ok(Some(Incoming {
        event,
        agent_session: hook.session_id,
        exit_code: hook.exit_code,
        cwd: hook.cwd,
        workdir: None,
        permission_mode: hook.permission_mode,
    }))
}

fn running(task: &Value) -> bool {
    task.get("status")
        .and_then(Value::as_str)
        .is_none_or(|status| matches!(status, "running" | "pending" | "in_progress"))
}

pub(super) fn decision(event: &str, verdict: &Verdict) -> String {
    let answer = if event == "PermissionRequest" {
        match verdict {
            Verdict::Allow(_) => json!({"hookEventName": event, "decision": {"behavior": "allow"}}),
            Verdict::Deny(reason) => {
                json!({"hookEventName": event, "decision": {"behavior": "deny", "message": reason}})
            }
            // The dialog is open: who has no answer leaves it to the person.
            Verdict::Ask(_) | Verdict::Pass => return String::new(),
        }
    } else {
        let (word, reason) = match verdict {
            Verdict::Allow(reason) => ("allow", reason),
            Verdict::Deny(reason) => ("deny", reason),
            Verdict::Ask(reason) => ("ask", reason),
            Verdict::Pass => return String::new(),
        };
        json!({"hookEventName": event, "permissionDecision": word, "permissionDecisionReason": reason})
    };
    json!({ "hookSpecificOutput": answer }).to_string()
}

/// "No opinion" in words: the agent's own flow decides.
pub(super) fn defer() -> String {
    let answer = json!({"hookEventName": "PreToolUse", "permissionDecision": "defer", "permissionDecisionReason": ""});
    json!({ "hookSpecificOutput": answer }).to_string()
}

pub(super) fn continuation(text: &str) -> String {
    json!({"decision": "block", "reason": text}).to_string()
}

pub(super) fn context(text: &str) -> String {
    json!({"hookSpecificOutput": {"hookEventName": "UserPromptSubmit", "additionalContext": text}})
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(name: &str, body: &Value) -> AgentEvent {
        read(name, body.to_string().as_bytes())
            .unwrap()
            .unwrap()
            .event
    }

    #[test]
    fn turns_are_read_from_the_agents_own_fields() {
        assert_eq!(
            event("SessionStart", &json!({"source": "startup"})),
            AgentEvent::Started
        );
        assert_eq!(
            event("SessionStart", &json!({"source": "compact"})),
            AgentEvent::SignOfLife
        );
        assert_eq!(
            event(
                "Stop",
                &json!({"stop_hook_active": true, "last_assistant_message": "done", "background_tasks": []})
            ),
            AgentEvent::TurnEnded {
                answer: Some("done".into()),
                continued: true,
                background: false
            }
        );
        assert_eq!(
            event(
                "Stop",
                &json!({"background_tasks": [{"id": "1", "status": "running"}]})
            ),
            AgentEvent::TurnEnded {
                answer: None,
                continued: false,
                background: true
            }
        );
        assert_eq!(
            event("SessionEnd", &json!({"reason": "clear"})),
            AgentEvent::SignOfLife
        );
        assert_eq!(
            event("Notification", &json!({"notification_type": "idle_prompt"})),
            AgentEvent::AtPrompt
        );
        assert_eq!(
            event(
                "PermissionRequest",
                &json!({"tool_name": "AskUserQuestion"})
            ),
            AgentEvent::DialogShown(DialogKind::Question)
        );
    }

    #[test]
    fn a_subagents_events_never_end_the_parents_turn() {
        for name in ["Stop", "SubagentStop", "UserPromptSubmit", "SessionEnd"] {
            assert_eq!(
                event(name, &json!({"agent_id": "a1"})),
                AgentEvent::SignOfLife,
                "{name}"
            );
        }
        assert_eq!(event("SubagentStop", &json!({})), AgentEvent::SignOfLife);
        assert!(
            event(
                "PreToolUse",
                &json!({"agent_id": "a1", "tool_name": "Bash"})
            )
            .wants_decision()
        );
    }

    #[test]
    fn unknown_events_are_signs_of_life_and_broken_json_is_an_error() {
        assert_eq!(
            event("SomethingNew", &json!({"x": 1})),
            AgentEvent::SignOfLife
        );
        assert!(read("Stop", b"{").is_err());
        for about_nothing in ["PreToolUse", "PermissionRequest"] {
            assert!(read(about_nothing, b"{}").is_err());
        }
        assert!(read("Stop", b"  ").unwrap().is_some());
    }

    #[test]
    fn a_limit_carries_its_end() {
        let until = "2026-01-01T00:00:00Z";
        assert_eq!(
            event(
                "StopFailure",
                &json!({"error": "usage_limit", "limit_until": until})
            ),
            AgentEvent::LimitReached {
                until: Some(until.parse().unwrap())
            }
        );
        assert_eq!(
            event("StopFailure", &json!({"error": "x"})),
            AgentEvent::TurnFailed { error: "x".into() }
        );
        let seen = json!({"error": "unknown", "last_assistant_message": "API Error: 400 no"});
        assert_eq!(
            event("StopFailure", &seen),
            AgentEvent::TurnFailed {
                error: "API Error: 400 no".into()
            }
        );
    }

    proptest! {
        #[test]
        fn no_input_makes_it_panic(name in "[A-Za-z]{0,20}", bytes in any::<Vec<u8>>()) {
            let _ = read(&name, &bytes);
        }
    }
}
