//! The Messages API: what a request says, and how an answer is written, as one document or as a stream of events.

use crate::http::{Events, answer};
use crate::plan::Plan;
use crate::script::Source;
use crate::tools::Tool;
use crate::view::{SEARCH, View, blocks, list, split, text_of};
use serde_json::{Value, json};
use std::io::{self, Write};

/// How Claude Code marks a prompt that was sent in the middle of a turn, and what it says behind it.
const MID_TURN: &str = "The user sent a new message while you were working:\n";
const MID_TURN_ENDS: [&str; 2] = [
    "\n\nThis is how Claude Code",
    "\n\nIMPORTANT: After completing",
];
/// What it says behind the result of a search for tools.
const LOADED: &str = "Tool loaded.";
const INTERRUPTED: &str = "[Request interrupted by user";
/// What it puts around the words.
const TAGS: [&str; 1] = ["system-reminder"];

/// Reads a request's body.
pub(crate) fn read(body: &Value) -> View {
    let mut view = View {
        model: text_of(&body["model"]),
        session: text_of(&body["metadata"]["user_id"]),
        stream: body["stream"] == true,
        joint: "__",
        ..View::default()
    };
    for tool in list(&body["tools"]) {
        let name = text_of(&tool["name"]);
        if tool["defer_loading"] == true {
            view.mentioned.push(name);
        } else {
            view.offered.push(Tool::new(&name, &tool["input_schema"]));
        }
    }
    for (index, message) in list(&body["messages"]).iter().enumerate() {
        let blocks = blocks(&message["content"]);
        match message["role"].as_str() {
            Some("assistant") => {
                view.over = true;
                assistant(&mut view, &blocks);
            }
            Some("user") => {
                let result = blocks.iter().any(|block| block["type"] == "tool_result");
                let words = blocks.iter().any(|block| {
                    block["type"] == "text" && !split(&text_of(&block["text"]), &TAGS).0.is_empty()
                });
                view.open(words && !result);
                user(&mut view, &blocks, index);
            }
            _ => {
                for block in &blocks {
                    context(&mut view, &text_of(&block["text"]), index);
                    load(&mut view, block);
                }
            }
        }
    }
    if view.offered.is_empty() {
        let titled = body["output_config"]["format"].is_object();
        view.side = Some(
            if titled {
                r#"{"title":"Mock session"}"#
            } else {
                "Mock session"
            }
            .into(),
        );
    }
    view
}

fn assistant(view: &mut View, blocks: &[Value]) {
    for block in blocks.iter().filter(|block| block["type"] == "tool_use") {
        if block["name"] == SEARCH {
            view.searches += 1;
        } else {
            view.called(&block["id"]);
        }
    }
}

fn user(view: &mut View, blocks: &[Value], index: usize) {
    for block in blocks {
        if block["type"] == "tool_result" {
            let content = crate::view::blocks(&block["content"]);
            let texts: Vec<String> = content.iter().map(|b| text_of(&b["text"])).collect();
            for block in &content {
                load(view, block);
            }
            view.returned(&block["tool_use_id"], &texts.join(" "));
            continue;
        }
        let (words, reminders) = split(&text_of(&block["text"]), &TAGS);
        if words == LOADED {
            continue;
        }
        if words.starts_with(INTERRUPTED) {
            view.new_turn();
            continue;
        }
        for reminder in reminders {
            context(view, &reminder, index);
        }
        let words = words.strip_prefix(MID_TURN).map_or(&*words, until_end);
        view.hear(Source::User, index, words);
    }
}

/// A text around the user's words; prompts sent in the middle of a turn may stand in it.
fn context(view: &mut View, text: &str, index: usize) {
    let mut parts = text.split(MID_TURN);
    view.hear(Source::Context, index, parts.next().unwrap_or_default());
    for part in parts {
        let words = until_end(part);
        view.hear(Source::User, index, words.trim_end());
        view.hear(Source::Context, index, &part[words.len()..]);
    }
    for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-') {
        if word.starts_with("mcp__") && !view.mentioned.iter().any(|known| known == word) {
            view.mentioned.push(word.into());
        }
    }
}

/// A block that loads a deferred tool.
fn load(view: &mut View, block: &Value) {
    if let Some(name) = block["tool_name"].as_str()
        && view.tool(name).is_none()
    {
        view.offered.push(Tool::new(name, &Value::Null));
    }
}

fn until_end(text: &str) -> &str {
    let ends = MID_TURN_ENDS.iter().filter_map(|end| text.find(end));
    &text[..ends.min().unwrap_or(text.len())]
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
        plan.wait();
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
    plan.tick(|tick| words(tick))?;
    match (&plan.text, &plan.call) {
        (Some(text), _) => words(text)?,
        (None, Some(call)) => words(&format!("calling {}.", call.name))?,
        (None, None) => {}
    }
    events.send(&json!({"type": "content_block_stop", "index": 0}))
}
