//! Chat Completions: what a request of `OpenCode` says, and how an answer is written.

use crate::http::{Events, answer};
use crate::plan::Plan;
use crate::script::Source;
use crate::tools::{Tool, smallest};
use crate::view::{View, blocks, list, split, text_of};
use conductor::clock;
use serde_json::{Value, json};
use std::io::{self, Write};

/// What `OpenCode` puts around the words.
const TAGS: [&str; 1] = ["system-reminder"];
/// Ends of results after which nobody wants the turn to go on.
const ENDS: [&str; 4] = [
    "The user rejected permission to use this specific tool call.",
    "Tool execution aborted",
    "[Tool execution was interrupted]",
    "\nUser aborted the command\n</shell_metadata>",
];
/// A tool that only stands there because a list must not be empty.
const NO_TOOL: &str = "_noop";

/// Reads a request's body.
pub(crate) fn read(body: &Value) -> View {
    let mut view = View {
        model: text_of(&body["model"]),
        session: text_of(&body["user"]),
        stream: body["stream"] == true,
        joint: "_",
        ..View::default()
    };
    for tool in list(&body["tools"]) {
        let tool = &tool["function"];
        let name = text_of(&tool["name"]);
        if name != NO_TOOL {
            view.offered.push(Tool::new(&name, &tool["parameters"]));
        }
    }
    let mut system = Vec::new();
    for (index, message) in list(&body["messages"]).iter().enumerate() {
        let texts = blocks(&message["content"])
            .into_iter()
            .map(|block| text_of(&block["text"]));
        match message["role"].as_str() {
            Some("user") => user(&mut view, texts, index),
            Some("assistant") => {
                let calls = list(&message["tool_calls"]);
                view.over = calls.is_empty();
                for call in calls {
                    view.called(&call["id"]);
                }
            }
            Some("tool") => {
                let result = texts.collect::<Vec<_>>().join("\n");
                let result = result.trim_end();
                view.over = ENDS.iter().any(|end| result.ends_with(end));
                view.returned(&message["tool_call_id"], result);
            }
            _ => system.extend(texts.map(|text| (index, text))),
        }
    }
    // What stands in front of all turns belongs to this one as well.
    for (index, text) in system {
        view.hear(Source::Context, index, &text);
    }
    let format = &body["response_format"];
    if format["type"] == "json_schema" {
        view.side = Some(smallest(&format["json_schema"]["schema"]).to_string());
    } else if view.offered.is_empty() {
        view.side = Some("Mock session".into());
    }
    view
}

fn user(view: &mut View, texts: impl Iterator<Item = String>, index: usize) {
    let parts: Vec<(String, Vec<String>)> = texts.map(|text| split(&text, &TAGS)).collect();
    view.open(parts.iter().any(|(words, _)| !words.is_empty()));
    for (words, reminders) in parts {
        view.hear(Source::User, index, &words);
        for reminder in reminders {
            view.hear(Source::Context, index, &reminder);
        }
    }
}

/// A document that says what went wrong.
pub(crate) fn error(status: u16, message: &str) -> Value {
    let kind = match status {
        401 => "authentication_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    };
    json!({"error": {"message": message, "type": kind, "param": null, "code": null}})
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
    let finish = if plan.call.is_some() {
        "tool_calls"
    } else {
        "stop"
    };
    let call = plan.call.as_ref().map(|call| {
        json!({
            "id": format!("call_fake{number:06}"), "type": "function", "index": 0,
            "function": {"name": call.name, "arguments": call.input.to_string()},
        })
    });
    let mut document = json!({
        "id": format!("chatcmpl-fake{number:06}"), "created": clock::now().as_second(), "model": view.model,
    });
    let usage = json!({"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120});
    if !view.stream {
        plan.wait();
        let mut message = json!({"role": "assistant", "content": plan.text});
        if let Some(call) = call {
            message["tool_calls"] = json!([call]);
        }
        document["object"] = json!("chat.completion");
        document["choices"] = json!([{"index": 0, "message": message, "finish_reason": finish}]);
        document["usage"] = usage;
        answer(client, 200, &document, false)?;
        return Ok(true);
    }
    document["object"] = json!("chat.completion.chunk");
    let mut events = Events::start(client)?;
    let mut send = |delta: Value, finish: Option<&str>| {
        document["choices"] = json!([{"index": 0, "delta": delta, "finish_reason": finish}]);
        if finish.is_some() {
            document["usage"] = usage.clone();
        }
        events.send(&document)
    };
    send(json!({"role": "assistant", "content": ""}), None)?;
    plan.tick(|tick| send(json!({"content": tick}), None))?;
    if let Some(text) = &plan.text {
        send(json!({"content": text}), None)?;
    }
    if let Some(call) = call {
        send(json!({"tool_calls": [call]}), None)?;
    }
    send(json!({}), Some(finish))?;
    events.word("[DONE]")?;
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Failures;
    use crate::tests::{events, message, place};
    use conductor::domain::text;

    fn request(messages: &Value) -> Value {
        let tool = |name| json!({"type": "function", "function": {"name": name, "parameters": {"properties": {}}}});
        json!({"model": "m", "stream": true, "messages": messages, "tools": [tool("bash"), tool("conductor_ping")]})
    }

    fn text_of(messages: &Value) -> Option<String> {
        read(&request(messages)).decide(&mut Failures::new()).text
    }

    fn said(role: &str, text: &str) -> Value {
        json!({"role": role, "content": text})
    }

    fn called(id: &str) -> Value {
        json!({"role": "assistant", "content": "", "tool_calls": [{"id": id, "function": {"name": "bash"}}]})
    }

    fn returned(id: &str, text: &str) -> Value {
        json!({"role": "tool", "tool_call_id": id, "content": text})
    }

    #[test]
    fn a_prompt_in_the_middle_of_a_turn_is_played_behind_it() {
        let mut messages = vec![
            said("user", "BASH: x\nSAY: one"),
            called("c1"),
            returned("c1", "r\n"),
        ];
        assert_eq!(text_of(&json!(messages)).as_deref(), Some("one"));
        messages.push(said("user", "SAY: two"));
        assert_eq!(text_of(&json!(messages)).as_deref(), Some("one\ntwo"));
        messages.insert(3, said("assistant", "one"));
        assert_eq!(text_of(&json!(messages)).as_deref(), Some("two"));
    }

    #[test]
    fn what_was_rejected_or_aborted_is_not_taken_up_again() {
        for result in [
            "The user rejected permission to use this specific tool call.",
            "(no output)\n\n<shell_metadata>\nUser aborted the command\n</shell_metadata>",
        ] {
            let messages = json!([
                said("user", "BASH: x\nSAY: one"),
                called("c1"),
                returned("c1", result),
                said("user", "SAY: new"),
            ]);
            assert_eq!(text_of(&messages).as_deref(), Some("new"));
        }
    }

    #[test]
    fn a_body_is_found_in_the_system_text_a_reminder_or_a_part() {
        let long = message("SAY: one\nSAY: two");
        let (place, framed) = (place(&long), text::framed(&long));
        let parts = json!([{"type": "text", "text": place}, {"type": "text", "text": format!("<system-reminder>\n{framed}\n</system-reminder>")}]);
        for messages in [
            json!([
                said("system", &format!("You are\nSAY: no\n{framed}\n")),
                said("user", "SAY: x"),
                said("assistant", "x"),
                said("user", &place)
            ]),
            json!([{"role": "user", "content": parts}]),
        ] {
            assert_eq!(text_of(&messages).as_deref(), Some("one\ntwo"));
        }
    }

    #[test]
    fn a_question_on_the_side_is_no_script() {
        let body = json!({"messages": [said("user", "SAY: x")], "tools": [{"function": {"name": "_noop"}}]});
        assert_eq!(read(&body).side.as_deref(), Some("Mock session"));
    }

    #[test]
    fn a_stream_carries_text_and_call() {
        let events = events(
            respond,
            &read(&request(&json!([said(
                "user",
                "SAY: hi\nMCP: ping {\"x\":1}"
            )]))),
        );
        assert_eq!(events[1]["choices"][0]["delta"]["content"], "hi");
        let call = &events[2]["choices"][0]["delta"]["tool_calls"][0]["function"];
        assert_eq!(
            call,
            &json!({"name": "conductor_ping", "arguments": "{\"x\":1}"})
        );
        let last = events.last().expect("an event");
        assert_eq!(last["choices"][0]["finish_reason"], "tool_calls");
        assert_eq!(last["usage"]["total_tokens"], 120);
    }
}
