//! Gemini CLI's hooks, seen with 0.61.0.
//!
//! A hook that exits with 2 and says nothing lets the call run: the text on standard error is what blocks.

use super::{Incoming, Verdict, shown};
use crate::domain::event::{AgentEvent, DialogKind, ToolCall, ToolEnd};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;

/// What a hook gets; every field may be missing, unknown ones are ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Hook {
    session_id: Option<String>,
    cwd: Option<String>,
    reason: Option<String>,
    prompt: Option<String>,
    prompt_response: Option<String>,
    stop_hook_active: bool,
    tool_name: Option<String>,
    tool_input: Value,
    tool_response: Value,
    mcp_context: Option<McpContext>,
    notification_type: Option<String>,
    details: Value,
}

/// Which server a tool belongs to; its name alone does not say where the server's ends.
#[derive(Debug, Deserialize)]
struct McpContext {
    server_name: String,
    tool_name: String,
}

/// What stands for an answer when there was none: the turn failed, or a person pressed Esc before the first word.
const NO_ANSWER: &str = "[no response text]";

pub(super) fn read(event: &str, bytes: &[u8]) -> Result<Option<Incoming>, String> {
    let hook: Hook = super::payload(bytes)?;
    let name = match (&hook.mcp_context, &hook.tool_name) {
        (Some(mcp), _) => Some(format!("mcp__{}__{}", mcp.server_name, mcp.tool_name)),
        (None, name) => name.clone(),
    };
    let call = || ToolCall {
        tool: shown(name.as_deref().unwrap_or_default()),
        input: hook.tool_input.clone(),
        call_id: None,
    };
    let failed = hook
        .tool_response
        .get("error")
        .is_some_and(|error| !error.is_null());
    let event = match event {
        "SessionStart" => AgentEvent::Started,
        "BeforeAgent" => AgentEvent::PromptSubmitted {
            text: hook.prompt.clone().unwrap_or_default(),
        },
        "BeforeTool" if name.is_none() => return Err("it names no tool".to_owned()),
        "BeforeTool" => AgentEvent::ToolStarting(call()),
        "AfterTool" if failed => AgentEvent::ToolFinished(call(), ToolEnd::Failed),
        "AfterTool" => AgentEvent::ToolFinished(call(), ToolEnd::Ran),
        "Notification" if hook.notification_type.as_deref() == Some("ToolPermission") => {
            AgentEvent::DialogShown(match hook.details.get("type").and_then(Value::as_str) {
                Some("ask_user") => DialogKind::Question,
                _ => DialogKind::Permission,
            })
        }
        "AfterAgent" if hook.prompt_response.as_deref() == Some(NO_ANSWER) => {
            AgentEvent::TurnFailed {
                error: "no answer: it failed, or a person interrupted it".to_owned(),
            }
        }
        "AfterAgent" => AgentEvent::TurnEnded {
            answer: hook.prompt_response.clone(),
            continued: hook.stop_hook_active,
            background: false,
        },
        // `/clear` ends one session and begins another.
        "SessionEnd" => match hook.reason.as_deref() {
            Some("clear") => AgentEvent::SignOfLife,
            reason => AgentEvent::Ended {
                reason: reason.unwrap_or("unknown").to_owned(),
            },
        },
        _ => AgentEvent::SignOfLife,
    };
    // A command may name the directory that it runs in.
    let workdir = hook
        .tool_input
        .get("dir_path")
        .and_then(Value::as_str)
        .filter(|_| hook.tool_name.as_deref() == Some("run_shell_command"))
        .zip(hook.cwd.as_deref())
        .map(|(dir, cwd)| Path::new(cwd).join(dir).to_string_lossy().into_owned());
    Ok(Some(Incoming {
        event,
        agent_session: hook.session_id,
        exit_code: None,
        cwd: hook.cwd,
        workdir,
        permission_mode: None,
    }))
}

pub(super) fn decision(verdict: &Verdict) -> String {
    let answer = match verdict {
        // The policy that it was started with lets it run.
        Verdict::Allow(_) => json!({"decision": "allow"}),
        Verdict::Deny(reason) => json!({"decision": "deny", "reason": reason}),
        // Its own dialog asks, whatever its mode and its policy say.
        Verdict::Ask(_) | Verdict::Pass => json!({"decision": "ask"}),
    };
    answer.to_string()
}

pub(super) fn context(text: &str) -> String {
    json!({"hookSpecificOutput": {"hookEventName": "BeforeAgent", "additionalContext": text}})
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
    fn a_turn_runs_its_course() {
        assert_eq!(
            event("SessionStart", &json!({"source": "startup"})),
            AgentEvent::Started
        );
        assert_eq!(
            event("BeforeAgent", &json!({"prompt": "hi"})),
            AgentEvent::PromptSubmitted { text: "hi".into() }
        );
        assert_eq!(
            event(
                "Notification",
                &json!({"notification_type": "ToolPermission"})
            ),
            AgentEvent::DialogShown(DialogKind::Permission)
        );
        assert_eq!(
            event(
                "AfterAgent",
                &json!({"prompt_response": "done", "stop_hook_active": false})
            ),
            AgentEvent::TurnEnded {
                answer: Some("done".into()),
                continued: false,
                background: false
            }
        );
        assert!(matches!(
            event("AfterAgent", &json!({"prompt_response": NO_ANSWER})),
            AgentEvent::TurnFailed { .. }
        ));
        assert_eq!(
            event("SessionEnd", &json!({"reason": "clear"})),
            AgentEvent::SignOfLife
        );
    }

    #[test]
    fn a_tool_of_a_server_is_named_by_its_parts() {
        let body = json!({"tool_name": "mcp_conductor_send_message", "tool_input": {},
            "mcp_context": {"server_name": "conductor", "tool_name": "send_message"}});
        assert!(
            matches!(event("BeforeTool", &body), AgentEvent::ToolStarting(call) if call.tool == "mcp__conductor__send_message")
        );
        assert!(read("BeforeTool", b"{}").is_err());
    }

    proptest! {
        #[test]
        fn no_input_makes_it_panic(name in "[A-Za-z]{0,20}", bytes in any::<Vec<u8>>()) {
            let _ = read(&name, &bytes);
        }
    }
}
