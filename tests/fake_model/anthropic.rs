//! The Messages API: which answer a request gets, and how it is written, as one document or as a stream of events.

use crate::http::{Events, answer};
use crate::plan::{Failures, Plan, plan};
use crate::script::Wanted;
use crate::view::{Resolved, View};
use conductor::clock::{Deadline, sleep};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::time::Duration;

/// How often a turn searches for a tool whose server may still be starting, and how long the model thinks in between.
const SEARCHES: u32 = 10;
const SEARCH_PAUSE: Duration = Duration::from_millis(300);

/// Works out what to answer; every tool in it carries the name that it was offered by.
pub(crate) fn decide(body: &Value, view: &View, failures: &mut Failures) -> Plan {
    if view.offered.is_empty() {
        // A question on the side, such as a title for the session: not the agent at work.
        let titled = body["output_config"]["format"].is_object();
        return Plan {
            text: Some(
                if titled {
                    r#"{"title":"Mock session"}"#
                } else {
                    "Mock session"
                }
                .into(),
            ),
            ..Plan::default()
        };
    }
    let mut plan = plan(&view.heard, &view.calls, failures);
    let Some(wanted) = plan.call.take() else {
        return plan;
    };
    let (name, input) = match view.resolve(&wanted) {
        Resolved::Offered(name) => (name, wanted.input),
        Resolved::Search(query) if view.searches < SEARCHES => {
            plan = Plan::default();
            if view.searches > 0 {
                plan.slow = SEARCH_PAUSE;
            }
            ("ToolSearch".into(), query)
        }
        _ => {
            let offered = view.offered.join(", ");
            plan.text = Some(format!(
                "no such tool: {} (offered: {offered})",
                wanted.name
            ));
            return plan;
        }
    };
    plan.call = Some(Wanted {
        name,
        mcp: false,
        input,
    });
    plan
}

/// A document that says what went wrong.
pub(crate) fn error(status: u16, message: &str) -> Value {
    let kind = match status {
        400 | 413 | 415 => "invalid_request_error",
        401 => "authentication_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        _ => "api_error",
    };
    json!({"type": "error", "error": {"type": kind, "message": message}})
}

/// The models that there are.
pub(crate) fn models() -> Value {
    let model = |id| json!({"type": "model", "id": id, "display_name": id, "created_at": "2025-01-01T00:00:00Z"});
    json!({"data": [model("claude-sonnet-4-5"), model("claude-haiku-4-5")], "has_more": false})
}

/// Writes the answer to request `number`; whether the connection can be used again.
pub(crate) fn respond(
    client: &mut impl Write,
    number: usize,
    view: &View,
    plan: &Plan,
) -> io::Result<bool> {
    if let Some(status) = plan.fail {
        answer(client, status, &error(status, "mock failure"), false)?;
        return Ok(true);
    }
    let stop = if plan.call.is_some() {
        "tool_use"
    } else {
        "end_turn"
    };
    let call = plan.call.as_ref().map(|call| {
        json!({"type": "tool_use", "id": format!("toolu_fake{number:06}"), "name": call.name, "input": call.input})
    });
    let text = plan
        .text
        .as_ref()
        .map(|text| json!({"type": "text", "text": text}));
    let mut message = json!({
        "id": format!("msg_fake{number:06}"), "type": "message", "role": "assistant", "model": view.model,
        "content": [], "stop_reason": null, "stop_sequence": null,
        "usage": {"input_tokens": 100, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 20},
    });
    if !view.stream {
        sleep(plan.slow, &Deadline::never());
        message["content"] = text.into_iter().chain(call).collect();
        message["stop_reason"] = json!(stop);
        answer(client, 200, &message, false)?;
        return Ok(true);
    }
    let mut events = Events::start(client)?;
    events.send(&json!({"type": "message_start", "message": message}))?;
    stream_text(&mut events, plan)?;
    if let Some(mut block) = call {
        let input = block["input"].take().to_string();
        block["input"] = json!({});
        events.send(&json!({"type": "content_block_start", "index": 1, "content_block": block}))?;
        let delta = json!({"type": "input_json_delta", "partial_json": input});
        events.send(&json!({"type": "content_block_delta", "index": 1, "delta": delta}))?;
        events.send(&json!({"type": "content_block_stop", "index": 1}))?;
    }
    let delta = json!({"stop_reason": stop, "stop_sequence": null});
    events
        .send(&json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 20}}))?;
    events.send(&json!({"type": "message_stop"}))?;
    Ok(false)
}

/// The text block of a stream: a tick each second while the plan is slow, then the words.
fn stream_text<W: Write>(events: &mut Events<W>, plan: &Plan) -> io::Result<()> {
    let block = json!({"type": "text", "text": ""});
    events.send(&json!({"type": "content_block_start", "index": 0, "content_block": block}))?;
    let mut words = |text: &str| {
        let delta = json!({"type": "text_delta", "text": text});
        events.send(&json!({"type": "content_block_delta", "index": 0, "delta": delta}))
    };
    for tick in 0..plan.slow.as_secs() {
        sleep(Duration::from_secs(1), &Deadline::never());
        words(&format!("tick {tick} "))?;
    }
    sleep(
        Duration::from_nanos(plan.slow.subsec_nanos().into()),
        &Deadline::never(),
    );
    match (&plan.text, &plan.call) {
        (Some(text), _) => words(text)?,
        (None, Some(call)) => words(&format!("calling {}.", call.name))?,
        (None, None) => {}
    }
    events.send(&json!({"type": "content_block_stop", "index": 0}))
}
