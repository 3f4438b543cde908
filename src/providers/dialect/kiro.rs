//! Kiro CLI's hooks, and Amazon Q's before it, as their documentation has them; nobody has seen the real programs answer.
//!
//! There is no JSON for decisions: exit code 2 blocks, and the model gets what stands on standard error. Any other code lets the call run.

use super::{Answer, Incoming, Verdict, shown};
use crate::domain::event::{AgentEvent, ToolCall, ToolEnd};
use serde::Deserialize;
use serde_json::Value;

/// What a hook gets; every field may be missing, unknown ones are ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Hook {
    session_id: Option<String>,
    cwd: Option<String>,
    prompt: Option<String>,
    tool_name: Option<String>,
    tool_input: Value,
    tool_response: Value,
    assistant_response: Option<String>,
}

pub(super) fn read(event: &str, bytes: &[u8]) -> Result<Option<Incoming>, String> {
    let hook: Hook = super::payload(bytes)?;
    let call = || ToolCall {
        tool: named(hook.tool_name.as_deref().unwrap_or_default()),
        input: hook.tool_input.clone(),
        call_id: None,
    };
    let event = match event {
        "agentSpawn" => AgentEvent::Started,
        "userPromptSubmit" => AgentEvent::PromptSubmitted {
            text: hook.prompt.clone().unwrap_or_default(),
        },
        "preToolUse" if hook.tool_name.is_none() => return Err("it names no tool".to_owned()),
        "preToolUse" => AgentEvent::ToolStarting(call()),
        "postToolUse" => {
            let failed = hook.tool_response.get("success") == Some(&Value::Bool(false));
            let end = if failed {
                ToolEnd::Failed
            } else {
                ToolEnd::Ran
            };
            AgentEvent::ToolFinished(call(), end)
        }
        "stop" => AgentEvent::TurnEnded {
            answer: hook.assistant_response.clone(),
            continued: false,
            background: false,
        },
        _ => AgentEvent::SignOfLife,
    };
    Ok(Some(Incoming {
        event,
        agent_session: hook.session_id,
        exit_code: None,
        cwd: hook.cwd,
        workdir: None,
        permission_mode: None,
    }))
}

/// A tool's name: `@server/tool` is one of a server.
fn named(name: &str) -> String {
    let name = shown(name);
    match name.strip_prefix('@').and_then(|rest| rest.split_once('/')) {
        Some((server, tool)) => format!("mcp__{server}__{tool}"),
        None => name,
    }
}

pub(super) fn decision(verdict: &Verdict) -> Answer {
    match verdict {
        Verdict::Allow(_) => Answer::default(),
        Verdict::Deny(reason) => blocked(reason),
        // It has no dialog that another hook could answer.
        Verdict::Ask(_) | Verdict::Pass => blocked("this agent cannot ask by itself"),
    }
}

fn blocked(reason: &str) -> Answer {
    let reason = if reason.trim().is_empty() {
        "denied"
    } else {
        reason
    };
    Answer {
        out: String::new(),
        err: format!("{reason}\n"),
        code: 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn event(name: &str, body: &Value) -> AgentEvent {
        read(name, body.to_string().as_bytes())
            .unwrap()
            .unwrap()
            .event
    }

    #[test]
    fn a_turn_runs_its_course() {
        assert_eq!(event("agentSpawn", &json!({})), AgentEvent::Started);
        assert_eq!(
            event("userPromptSubmit", &json!({"prompt": "x"})),
            AgentEvent::PromptSubmitted { text: "x".into() }
        );
        assert!(
            matches!(event("stop", &json!({"assistant_response": "done"})), AgentEvent::TurnEnded { answer: Some(a), .. } if a == "done")
        );
        let mcp = json!({"tool_name": "@conductor/send_message", "tool_input": {}});
        assert!(
            matches!(event("preToolUse", &mcp), AgentEvent::ToolStarting(call) if call.tool == "mcp__conductor__send_message")
        );
        let failed = json!({"tool_name": "fs_write", "tool_response": {"success": false}});
        assert!(matches!(
            event("postToolUse", &failed),
            AgentEvent::ToolFinished(_, ToolEnd::Failed)
        ));
    }

    #[test]
    fn everything_but_a_yes_blocks() {
        assert_eq!(decision(&Verdict::Allow(String::new())).code, 0);
        for verdict in [
            Verdict::Deny("no".into()),
            Verdict::Ask(String::new()),
            Verdict::Pass,
        ] {
            let answer = decision(&verdict);
            assert_eq!(answer.code, 2);
            assert!(!answer.err.trim().is_empty());
        }
    }

    proptest! {
        #[test]
        fn no_input_makes_it_panic(name in "[A-Za-z]{0,20}", bytes in any::<Vec<u8>>()) {
            let _ = read(&name, &bytes);
        }
    }
}
