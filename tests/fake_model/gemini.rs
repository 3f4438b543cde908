//! Gemini's generateContent: what a request of Gemini CLI says, and how an answer is written.

use crate::http::{Events, answer};
use crate::plan::{Plan, first};
use crate::script::Source;
use crate::tools::{Tool, smallest};
use crate::view::{View, list, split, text_of, unescaped};
use serde_json::{Value, json};
use std::io::{self, Write};

/// What Gemini CLI puts around the words, and a hook's text.
const TAGS: [&str; 2] = ["session_context", "hook_context"];
/// What it puts around results.
const UNTRUSTED: &str = "untrusted_context";
/// A result after which nobody wants the turn to go on.
const CANCELLED: &str = "[Operation Cancelled]";

/// Reads a request's body. It names no session: the first words of the conversation stand for it.
pub(crate) fn read(body: &Value) -> View {
    let mut view = View {
        joint: "_",
        ..View::default()
    };
    for tool in list(&body["tools"]) {
        for tool in list(&tool["functionDeclarations"]) {
            let schema = match &tool["parametersJsonSchema"] {
                Value::Null => &tool["parameters"],
                schema => schema,
            };
            view.offered
                .push(Tool::new(&text_of(&tool["name"]), schema));
        }
    }
    for (index, content) in list(&body["contents"]).iter().enumerate() {
        let parts = list(&content["parts"]);
        if content["role"] == "model" {
            let calls = parts
                .iter()
                .map(|part| &part["functionCall"])
                .filter(|call| call.is_object());
            view.over = true;
            for call in calls {
                view.over = false;
                view.called(&call["id"]);
            }
        } else {
            user(&mut view, parts, index);
        }
    }
    for part in list(&body["systemInstruction"]["parts"]) {
        view.hear(Source::Context, 0, &text_of(&part["text"]));
    }
    let format = &body["generationConfig"];
    if format["responseMimeType"] == "application/json" {
        let schema = match &format["responseJsonSchema"] {
            Value::Null => &format["responseSchema"],
            schema => schema,
        };
        view.side = Some(smallest(schema).to_string());
    } else if view.offered.is_empty() {
        view.side = Some("Mock session".into());
    }
    if view.side.is_some() {
        // Such a question shows the end of a conversation only.
        view.session.clear();
    }
    view
}

fn user(view: &mut View, parts: &[Value], index: usize) {
    let texts: Vec<(String, Vec<String>)> = parts
        .iter()
        .map(|part| split(&text_of(&part["text"]), &TAGS))
        .collect();
    view.open(texts.iter().any(|(words, _)| !words.is_empty()));
    for (part, (words, around)) in parts.iter().zip(texts) {
        if view.session.is_empty() {
            view.session = first(&words, 80);
        }
        view.hear(Source::User, index, &words);
        for text in around {
            view.hear(Source::Context, index, &unescaped(&text));
        }
        let response = &part["functionResponse"];
        if !response.is_object() {
            continue;
        }
        let (result, added) = split(&output(&response["response"]), &TAGS);
        view.over = result.starts_with(CANCELLED);
        for text in added {
            view.hear(Source::Context, index, &unescaped(&text));
        }
        view.returned(&response["id"], &bare(&result));
    }
}

fn output(response: &Value) -> String {
    match (&response["output"], &response["error"]) {
        (Value::String(text), _) | (_, Value::String(text)) => text.clone(),
        _ => response.to_string(),
    }
}

/// A result without what Gemini CLI puts around it.
fn bare(result: &str) -> String {
    let (words, inside) = split(result, &[UNTRUSTED]);
    let inside = inside.first().map_or(words.as_str(), |text| text.trim());
    let text = inside.strip_prefix("Output: ").unwrap_or(inside);
    match text.rsplit_once("\nProcess Group PGID: ") {
        Some((output, id)) if id.bytes().all(|c| c.is_ascii_digit()) => output.into(),
        _ => text.into(),
    }
}

/// A document that says what went wrong.
pub(crate) fn error(status: u16, message: &str) -> Value {
    let kind = match status {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        503 | 529 => "UNAVAILABLE",
        _ => "INTERNAL",
    };
    json!({"error": {"code": status, "message": message, "status": kind}})
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
    let document = |parts: Vec<Value>, last: bool| {
        let mut candidate = json!({"index": 0, "content": {"role": "model", "parts": parts}});
        if last {
            candidate["finishReason"] = json!("STOP");
        }
        json!({
            "candidates": [candidate], "modelVersion": "fake", "responseId": format!("fake{number:06}"),
            "usageMetadata": {"promptTokenCount": 100, "candidatesTokenCount": 20, "totalTokenCount": 120},
        })
    };
    let text = plan.text.as_ref().map(|text| json!({"text": text}));
    let call = plan
        .call
        .as_ref()
        .map(|call| json!({"functionCall": {"name": call.name, "args": call.input}}));
    let parts = text.into_iter().chain(call).collect();
    if !view.stream {
        plan.wait();
        answer(client, 200, &document(parts, true), false)?;
        return Ok(true);
    }
    let mut events = Events::start(client)?;
    plan.tick(|tick| events.send(&document(vec![json!({"text": tick})], false)))?;
    events.send(&document(parts, true))?;
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Failures;
    use crate::tests::{events, message, place};
    use conductor::domain::text;

    fn request(contents: &Value) -> Value {
        let text = json!({"type": "string"});
        json!({"contents": contents, "tools": [{"functionDeclarations": [
            {"name": "run_shell_command", "parametersJsonSchema": {"properties": {"command": text, "description": text}}},
            {"name": "mcp_conductor_ping", "parametersJsonSchema": {"properties": {}}},
        ]}]})
    }

    fn text_of(contents: &Value) -> Option<String> {
        read(&request(contents)).decide(&mut Failures::new()).text
    }

    fn said(role: &str, texts: &[&str]) -> Value {
        let parts: Vec<Value> = texts.iter().map(|text| json!({"text": text})).collect();
        json!({"role": role, "parts": parts})
    }

    fn called(id: &str) -> Value {
        json!({"role": "model", "parts": [{"functionCall": {"id": id, "name": "run_shell_command", "args": {}}}]})
    }

    fn returned(id: &str, response: &Value) -> Value {
        json!({"role": "user", "parts": [{"functionResponse": {"id": id, "name": "run_shell_command", "response": response}}]})
    }

    #[test]
    fn context_stands_around_the_words() {
        let view = read(&request(&json!([said(
            "user",
            &[
                "<session_context>\nSAY: no\n</session_context>",
                "<hook_context>SAY: no</hook_context>",
                "SAY: yes",
                "<hook_context>SAY: a &lt; b</hook_context>",
            ]
        )])));
        assert_eq!(view.text(Source::User), "SAY: yes");
        assert!(view.text(Source::Context).ends_with("SAY: a < b"));
        assert_eq!(view.session, "SAY: yes");
    }

    #[test]
    fn a_body_is_found_in_what_a_hook_added() {
        let long = message("SAY: one <1>\nSAY: two");
        let framed = text::framed(&long)
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        let contents = json!([
            said("user", &["SAY: x"]),
            said("model", &["x"]),
            said(
                "user",
                &[
                    &place(&long),
                    &format!("<hook_context>{framed}</hook_context>")
                ]
            ),
        ]);
        assert_eq!(text_of(&contents).as_deref(), Some("one <1>\ntwo"));
    }

    #[test]
    fn results_lose_what_is_around_them() {
        for (response, expected) in [
            (
                json!({"output": "<untrusted_context>\nOutput: hi\nProcess Group PGID: 17\n</untrusted_context>"}),
                "done: hi",
            ),
            (
                json!({"output": "<untrusted_context>\npong\n</untrusted_context>\n\n<hook_context>x</hook_context>"}),
                "done: pong",
            ),
            (json!({"error": "denied"}), "done: denied"),
            (json!({"a": 1}), "done: {\"a\":1}"),
        ] {
            let contents = json!([
                said("user", &["BASH: x"]),
                called("c1"),
                returned("c1", &response)
            ]);
            assert_eq!(text_of(&contents).as_deref(), Some(expected));
        }
    }

    #[test]
    fn what_was_cancelled_is_not_taken_up_again() {
        let contents = json!([
            said("user", &["BASH: x\nSAY: one"]),
            called("c1"),
            returned(
                "c1",
                &json!({"error": "[Operation Cancelled] Reason: User did not allow tool call"})
            ),
            said("user", &["SAY: new"]),
        ]);
        assert_eq!(text_of(&contents).as_deref(), Some("new"));
    }

    #[test]
    fn a_question_on_the_side_is_no_script() {
        let mut body = request(&json!([said("user", &["SAY: x"])]));
        body["generationConfig"] = json!({"responseMimeType": "application/json", "responseJsonSchema": {
            "type": "OBJECT", "properties": {"complexity_score": {"type": "INTEGER"}},
        }});
        let view = read(&body);
        assert_eq!(view.side.as_deref(), Some(r#"{"complexity_score":1}"#));
        assert_eq!(view.session, "");
    }

    #[test]
    fn a_stream_carries_text_and_call() {
        let mut view = read(&request(&json!([said(
            "user",
            &["SAY: hi\nMCP: ping {\"x\":1}"]
        )])));
        view.stream = true;
        let events = events(respond, &view);
        let candidate = &events[0]["candidates"][0];
        assert_eq!(candidate["finishReason"], "STOP");
        assert_eq!(
            candidate["content"]["parts"],
            json!([{"text": "hi"}, {"functionCall": {"name": "mcp_conductor_ping", "args": {"x": 1}}}])
        );
    }
}
