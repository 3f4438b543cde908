//! What our plugin in OpenCode says and hears (`agent_store/plugins/opencode.js`), seen with 1.18.33.

use super::{Incoming, Verdict, shown};
use crate::domain::event::{AgentEvent, DialogKind, ToolCall, ToolEnd};
use crate::domain::policy::OWN_TOOLS;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;

/// What the plugin hands over; every field may be missing, unknown ones are ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Hook {
    session_id: Option<String>,
    subagent: bool,
    cwd: Option<String>,
    text: Option<String>,
    outcome: Option<String>,
    answer: Option<String>,
    name: Option<String>,
    message: Option<String>,
    tool: Option<String>,
    args: Value,
    call_id: Option<String>,
    output_status: Option<String>,
    permission: Option<String>,
    metadata: Value,
    ids: Vec<i64>,
    taken: bool,
    reason: Option<String>,
}

pub(super) fn read(event: &str, bytes: &[u8]) -> Result<Option<Incoming>, String> {
    let hook: Hook = super::payload(bytes)?;
    let call = || ToolCall {
        tool: named(hook.tool.as_deref().unwrap_or_default()),
        input: hook.args.clone(),
        call_id: hook.call_id.clone(),
    };
    let event = match event {
        "started" => AgentEvent::Started,
        "prompt" => AgentEvent::PromptSubmitted {
            text: hook.text.clone().unwrap_or_default(),
        },
        "tool.before" if hook.tool.is_none() => return Err("it names no tool".to_owned()),
        "tool.before" => AgentEvent::ToolStarting(call()),
        "permission" if hook.tool.is_some() => AgentEvent::PermissionAsked(call()),
        // A question about something that our gate has not seen as a call.
        "permission" => match &hook.permission {
            Some(permission) => AgentEvent::PermissionAsked(ToolCall {
                tool: named(permission),
                input: hook.metadata.clone(),
                call_id: hook.call_id.clone(),
            }),
            None => return Err("it names no permission".to_owned()),
        },
        "tool.after" => {
            let end = match hook.output_status.as_deref() {
                Some("completed") => ToolEnd::Ran,
                _ => ToolEnd::Failed,
            };
            AgentEvent::ToolFinished(call(), end)
        }
        // What ended it otherwise has been told before.
        "idle" if matches!(hook.outcome.as_deref(), Some("error" | "interrupted")) => {
            AgentEvent::SignOfLife
        }
        "idle" => AgentEvent::TurnEnded {
            answer: hook.answer.clone(),
            continued: false,
            background: false,
        },
        "interrupted" => AgentEvent::Interrupted,
        "error" => AgentEvent::TurnFailed {
            error: [hook.name.as_deref(), hook.message.as_deref()]
                .into_iter()
                .flatten()
                .filter(|text| !text.is_empty())
                .collect::<Vec<_>>()
                .join(": "),
        },
        "question" => AgentEvent::DialogShown(DialogKind::Question),
        "inbox" => AgentEvent::MailAsked,
        "inbox.failed" => AgentEvent::MailRefused {
            ids: hook.ids.clone(),
            taken: hook.taken,
        },
        "ended" => AgentEvent::Ended {
            reason: hook.reason.clone().unwrap_or_else(|| "unknown".to_owned()),
        },
        _ => AgentEvent::SignOfLife,
    };
    let event = if hook.subagent && !event.wants_decision() {
        AgentEvent::SignOfLife
    } else {
        event
    };
    // A command may name the directory that it runs in.
    let workdir = hook
        .args
        .get("workdir")
        .and_then(Value::as_str)
        .filter(|_| hook.tool.as_deref() == Some("bash"))
        .zip(hook.cwd.as_deref())
        .map(|(dir, cwd)| Path::new(cwd).join(dir).to_string_lossy().into_owned());
    Ok(Some(Incoming {
        event,
        // A subagent's session is not the one that is taken up again.
        agent_session: hook.session_id.filter(|_| !hook.subagent),
        exit_code: None,
        cwd: hook.cwd,
        workdir,
        permission_mode: None,
    }))
}

/// The name of a tool: those of our server are named as everywhere. Where the name of a server ends, OpenCode does not say.
fn named(name: &str) -> String {
    match name.strip_prefix("conductor_") {
        Some(tool) if OWN_TOOLS.contains(&tool) => format!("mcp__conductor__{tool}"),
        _ => shown(name),
    }
}

pub(super) fn decision(event: &str, verdict: &Verdict) -> String {
    let answer = match (event, verdict) {
        ("permission", Verdict::Allow(_)) => json!({"reply": "once"}),
        ("permission", Verdict::Deny(reason)) => json!({"reply": "reject", "message": reason}),
        // The dialog is open: who has no answer leaves it to the person.
        ("permission", Verdict::Ask(_) | Verdict::Pass) => return String::new(),
        (_, Verdict::Allow(_)) => json!({"decision": "allow"}),
        (_, Verdict::Deny(reason)) => json!({"decision": "deny", "reason": reason}),
        // What its own questions are about, a project's configuration decides.
        (_, Verdict::Ask(_) | Verdict::Pass) => {
            json!({"decision": "deny", "reason": "this agent cannot ask by itself"})
        }
    };
    answer.to_string()
}

pub(super) fn context(text: &str) -> String {
    json!({"context": text}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn incoming(name: &str, body: &Value) -> Incoming {
        read(name, body.to_string().as_bytes()).unwrap().unwrap()
    }

    #[test]
    fn the_end_of_a_turn_is_told_once() {
        let idle =
            |outcome: &str| incoming("idle", &json!({"outcome": outcome, "answer": "a"})).event;
        assert!(matches!(idle("done"), AgentEvent::TurnEnded { answer: Some(a), .. } if a == "a"));
        assert_eq!(idle("error"), AgentEvent::SignOfLife);
        assert_eq!(idle("interrupted"), AgentEvent::SignOfLife);
        assert_eq!(
            incoming("error", &json!({"name": "APIError", "message": "no"})).event,
            AgentEvent::TurnFailed {
                error: "APIError: no".into()
            }
        );
    }

    #[test]
    fn a_command_says_where_it_runs_and_no_other_tool_does() {
        let at = |tool: &str, dir: &str| {
            let body = json!({"tool": tool, "args": {"command": "ls", "workdir": dir}, "cwd": "/w", "session_id": "s"});
            let told = incoming("tool.before", &body);
            assert_eq!(told.cwd.as_deref(), Some("/w"));
            told.workdir
        };
        assert_eq!(at("bash", "sub").as_deref(), Some("/w/sub"));
        assert_eq!(at("bash", "/etc").as_deref(), Some("/etc"));
        assert_eq!(at("read", "/etc"), None);
    }

    #[test]
    fn only_our_own_tools_are_named_as_ours() {
        assert_eq!(named("conductor_handoff"), "mcp__conductor__handoff");
        for other in ["conductor_evil_run", "conductor_", "handoff"] {
            assert_eq!(named(other), other);
        }
    }

    #[test]
    fn a_subagent_asks_and_tells_nothing_else() {
        let body = json!({"tool": "bash", "args": {}, "subagent": true, "session_id": "child"});
        let asked = incoming("tool.before", &body);
        assert!(asked.event.wants_decision() && asked.agent_session.is_none());
        assert_eq!(incoming("prompt", &body).event, AgentEvent::SignOfLife);
    }

    #[test]
    fn a_permission_is_asked_about_the_call_behind_it() {
        let body = json!({"permission": "external_directory", "metadata": {"x": 1},
            "tool": "bash", "args": {"command": "ls /etc"}});
        assert!(
            matches!(incoming("permission", &body).event, AgentEvent::PermissionAsked(call) if call.tool == "bash")
        );
        let body = json!({"permission": "doom_loop", "metadata": {"x": 1}});
        assert!(
            matches!(incoming("permission", &body).event, AgentEvent::PermissionAsked(call) if call.tool == "doom_loop")
        );
        assert!(read("permission", b"{}").is_err());
    }

    proptest! {
        #[test]
        fn no_input_makes_it_panic(name in "[a-z.]{0,20}", bytes in any::<Vec<u8>>()) {
            let _ = read(&name, &bytes);
        }
    }
}
