//! The Responses API: what a request of Codex says, and how an answer is written.

use crate::http::{Events, answer};
use crate::openai_chat::error;
use crate::plan::Plan;
use crate::script::Source;
use crate::tools::{Tool, smallest};
use crate::view::{View, blocks, list, split, text_of, unescaped};
use conductor::clock;
use serde_json::{Value, json};
use std::io::{self, Write};

/// Texts that Codex puts into the conversation in the user's name.
const TAGS: [&str; 6] = [
    "environment_context",
    "user_instructions",
    "user_shell_command",
    "skill",
    "subagent_notification",
    ABORTED,
];
const ABORTED: &str = "turn_aborted";
/// How it hands on what a Stop hook said.
const HOOK: &str = "hook_prompt";
const INSTRUCTIONS: &str = "# AGENTS.md instructions";
/// What stands behind the prompts of the turns that it has summed up.
const SUMMARY: &str = "Another language model started to solve this problem";
/// What stands between the head of a result and the result.
const OUTPUT: &str = "Output:\n";
const HEADS: [&str; 3] = ["Chunk ID: ", "Wall time: ", "Exit code: "];

/// Reads a request's body.
pub(crate) fn read(body: &Value) -> View {
    let mut view = View {
        model: text_of(&body["model"]),
        session: text_of(&body["prompt_cache_key"]),
        stream: body["stream"] == true,
        joint: "__",
        ..View::default()
    };
    for tool in list(&body["tools"]) {
        let name = text_of(&tool["name"]);
        match tool["type"].as_str() {
            Some("namespace") => {
                let inner = list(&tool["tools"]).iter();
                view.offered.extend(
                    inner.map(|tool| {
                        Tool::inside(&name, &text_of(&tool["name"]), &tool["parameters"])
                    }),
                );
            }
            Some("function" | "custom") => view.offered.push(Tool {
                freeform: tool["type"] == "custom",
                ..Tool::new(&name, &tool["parameters"])
            }),
            _ => {}
        }
    }
    let input = match &body["input"] {
        Value::String(text) => vec![json!({"role": "user", "content": text})],
        input => list(input).to_vec(),
    };
    for (index, item) in input.iter().enumerate() {
        match (item["type"].as_str(), item["role"].as_str()) {
            (None | Some("message"), Some("user")) => user(&mut view, item, index),
            (None | Some("message"), Some("assistant")) => view.over = true,
            (None | Some("message"), _) => {
                for block in blocks(&item["content"]) {
                    view.hear(Source::Context, index, &text_of(&block["text"]));
                }
            }
            (Some("function_call" | "custom_tool_call"), _) => {
                view.over = false;
                view.called(&item["call_id"]);
            }
            (Some("function_call_output" | "custom_tool_call_output"), _) => {
                let texts: Vec<String> = blocks(&item["output"])
                    .iter()
                    .map(|block| text_of(&block["text"]))
                    .collect();
                view.returned(&item["call_id"], result(&texts.join("\n")));
            }
            _ => {}
        }
    }
    view.hear(Source::Context, 0, &text_of(&body["instructions"]));
    let format = &body["text"]["format"];
    if format["type"] == "json_schema" {
        view.side = Some(smallest(&format["schema"]).to_string());
    } else if view.offered.is_empty() {
        view.side = Some("Mock session".into());
    }
    view
}

fn user(view: &mut View, item: &Value, index: usize) {
    for block in blocks(&item["content"]) {
        let text = text_of(&block["text"]);
        let summary = text.starts_with(SUMMARY);
        if summary || text.starts_with(INSTRUCTIONS) {
            view.over |= summary;
            view.hear(Source::Context, index, &text);
            continue;
        }
        if text.contains(&format!("<{ABORTED}>")) {
            view.over = true;
        }
        let (words, around) = split(&text, &TAGS);
        let (rest, hooks) = split(&words, &[HOOK]);
        view.open(!words.is_empty());
        for text in around {
            view.hear(Source::Context, index, &text);
        }
        for hook in hooks {
            view.hear(Source::User, index, &unescaped(&hook));
        }
        view.hear(Source::User, index, &rest);
    }
}

/// A result without the head that Codex gives it.
fn result(text: &str) -> &str {
    let text = match text.split_once(OUTPUT) {
        Some((head, rest)) if HEADS.iter().any(|start| head.starts_with(start)) => rest,
        _ => text,
    };
    text.trim_end()
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
    let mut response = json!({
        "id": format!("resp_fake{number:06}"), "object": "response", "created_at": clock::now().as_second(),
        "status": "in_progress", "model": view.model, "output": [],
    });
    let usage = json!({
        "input_tokens": 100, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 120,
    });
    let call = call(number, view, plan);
    if !view.stream {
        plan.wait();
        let text = plan.text.as_ref().map(|text| message(number, text));
        response["output"] = text.into_iter().chain(call).collect();
        response["status"] = json!("completed");
        response["usage"] = usage;
        answer(client, 200, &response, false)?;
        return Ok(true);
    }
    let mut stream = Stream {
        events: Events::start(client)?,
        sent: 0,
    };
    let mut output = Vec::new();
    stream.send("response.created", json!({"response": response}))?;
    stream.send("response.in_progress", json!({"response": response}))?;
    if plan.text.is_some() || !plan.slow.is_zero() {
        output.push(stream.text(number, plan)?);
    }
    if let Some(item) = call {
        let at = output.len();
        let added = json!({"output_index": at, "item": item});
        stream.send("response.output_item.added", added.clone())?;
        stream.send("response.output_item.done", added)?;
        output.push(item);
    }
    response["output"] = json!(output);
    response["status"] = json!("completed");
    response["usage"] = usage;
    stream.send("response.completed", json!({"response": response}))?;
    Ok(false)
}

/// The item that calls the plan's tool.
fn call(number: usize, view: &View, plan: &Plan) -> Option<Value> {
    let call = plan.call.as_ref()?;
    let tool = view.tool(&call.name)?;
    let mut item = json!({"call_id": format!("call_fake{number:06}"), "name": tool.short(), "status": "completed"});
    if tool.freeform {
        let text = call.input.as_str().map(str::to_owned);
        item["type"] = json!("custom_tool_call");
        item["id"] = json!(format!("ctc_fake{number:06}"));
        item["input"] = json!(text.unwrap_or_else(|| call.input.to_string()));
    } else {
        item["type"] = json!("function_call");
        item["id"] = json!(format!("fc_fake{number:06}"));
        item["arguments"] = json!(call.input.to_string());
    }
    if let Some(space) = &tool.space {
        item["namespace"] = json!(space);
    }
    Some(item)
}

/// The item that says `text`.
fn message(number: usize, text: &str) -> Value {
    json!({
        "type": "message", "id": format!("msg_fake{number:06}"), "role": "assistant", "status": "completed",
        "content": [{"type": "output_text", "text": text, "annotations": []}],
    })
}

/// A stream whose events are counted.
struct Stream<'a, W: Write> {
    events: Events<'a, W>,
    sent: usize,
}

impl<W: Write> Stream<'_, W> {
    fn send(&mut self, kind: &str, mut event: Value) -> io::Result<()> {
        event["type"] = json!(kind);
        event["sequence_number"] = json!(self.sent);
        self.sent += 1;
        self.events.send(&event)
    }

    /// Streams the first item: a tick each second while the plan is slow, then the words.
    fn text(&mut self, number: usize, plan: &Plan) -> io::Result<Value> {
        let mut item = message(number, "");
        let at = json!({"item_id": item["id"], "output_index": 0, "content_index": 0});
        let with = |name: &str, value: Value| {
            let mut event = at.clone();
            event[name] = value;
            event
        };
        item["status"] = json!("in_progress");
        let part = item["content"][0].take();
        item["content"] = json!([]);
        self.send(
            "response.output_item.added",
            json!({"output_index": 0, "item": item}),
        )?;
        self.send("response.content_part.added", with("part", part))?;
        let mut said = String::new();
        let mut words = |text: &str| {
            said.push_str(text);
            self.send("response.output_text.delta", with("delta", json!(text)))
        };
        plan.tick(&mut words)?;
        if let Some(text) = &plan.text {
            words(text)?;
        }
        let item = message(number, &said);
        self.send("response.output_text.done", with("text", json!(said)))?;
        let part = item["content"][0].clone();
        self.send("response.content_part.done", with("part", part))?;
        self.send(
            "response.output_item.done",
            json!({"output_index": 0, "item": item}),
        )?;
        Ok(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Failures;
    use crate::tests::{events, message as sent, place};
    use conductor::domain::text;

    fn request(input: &Value) -> Value {
        json!({"model": "m", "stream": true, "prompt_cache_key": "s1", "input": input, "tools": [
            {"type": "function", "name": "exec_command", "parameters": {"properties": {"cmd": {"type": "string"}}}},
            {"type": "custom", "name": "apply_patch"},
            {"type": "namespace", "name": "mcp__codex_tui", "tools": [{"type": "function", "name": "ping_thread"}]},
            {"type": "namespace", "name": "mcp__conductor", "tools": [{"type": "function", "name": "ping"}]},
            {"type": "web_search"},
        ]})
    }

    fn decided(input: &Value) -> Plan {
        read(&request(input)).decide(&mut Failures::new())
    }

    fn text_of(input: &Value) -> Option<String> {
        decided(input).text
    }

    fn said(role: &str, text: &str) -> Value {
        json!({"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]})
    }

    fn called(id: &str) -> Value {
        json!({"type": "function_call", "call_id": id, "name": "exec_command", "arguments": "{}"})
    }

    fn returned(id: &str, output: &Value) -> Value {
        json!({"type": "function_call_output", "call_id": id, "output": output})
    }

    #[test]
    fn what_codex_says_in_the_users_name_is_context() {
        let view = read(&request(&json!([
            said("developer", "SAY: no"),
            said(
                "user",
                "# AGENTS.md instructions for /x\n\n<INSTRUCTIONS>\nSAY: no\n</INSTRUCTIONS>"
            ),
            said(
                "user",
                "<environment_context>\n  <cwd>/x</cwd>\nSAY: no\n</environment_context>"
            ),
            said("user", "SAY: yes"),
        ])));
        assert_eq!(view.text(Source::User), "SAY: yes");
        assert_eq!((view.offered.len(), view.session.as_str()), (4, "s1"));
    }

    #[test]
    fn results_lose_their_head() {
        let list = json!([
            {"type": "input_text", "text": "Wall time: 0.1 seconds\nOutput:"},
            {"type": "input_text", "text": "pong"},
        ]);
        for (output, expected) in [
            (
                json!("Chunk ID: 63\nWall time: 0.0 seconds\nOutput:\nhi\n"),
                "done: hi",
            ),
            (list, "done: pong"),
            (json!("Output:\nmine"), "done: Output:\nmine"),
        ] {
            let input = json!([
                said("user", "BASH: x"),
                called("c1"),
                returned("c1", &output)
            ]);
            assert_eq!(text_of(&input).as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_prompt_in_the_middle_of_a_turn_is_played_behind_it() {
        let mut input = vec![
            said("user", "BASH: x\nSAY: one"),
            called("c1"),
            returned("c1", &json!("r")),
            said("user", "[conductor #12 from human] SAY: two"),
        ];
        assert_eq!(text_of(&json!(input)).as_deref(), Some("one\ntwo"));
        input.insert(3, said("assistant", "one"));
        assert_eq!(text_of(&json!(input)).as_deref(), Some("two"));
    }

    #[test]
    fn what_was_interrupted_or_summed_up_is_not_taken_up_again() {
        for end in [
            "<turn_aborted>\nThe user interrupted the previous turn\n</turn_aborted>",
            "Another language model started to solve this problem and produced a summary",
        ] {
            let input = json!([
                said("user", "BASH: sleep 9\nSAY: one"),
                called("c1"),
                returned("c1", &json!("aborted by user")),
                said("user", end),
                said("user", "SAY: new"),
            ]);
            assert_eq!(text_of(&input).as_deref(), Some("new"));
        }
    }

    #[test]
    fn what_hooks_said_is_heard() {
        let hook = "<hook_prompt hook_run_id=\"stop:8\">[conductor #12 from human] SAY: a &lt; b</hook_prompt>";
        let stop = json!([
            said("user", "SAY: x"),
            said("assistant", "x"),
            said("user", hook)
        ]);
        assert_eq!(text_of(&stop).as_deref(), Some("a < b"));
        let long = sent("SAY: one\nSAY: two");
        let prompt = json!([
            said("user", &place(&long)),
            said("developer", &text::framed(&long))
        ]);
        assert_eq!(text_of(&prompt).as_deref(), Some("one\ntwo"));
    }

    #[test]
    fn a_question_on_the_side_is_no_script() {
        let mut body = request(&json!("SAY: x"));
        body["text"] = json!({"format": {"type": "json_schema", "schema": {"properties": {"title": {"type": "string"}}}}});
        assert_eq!(read(&body).side.as_deref(), Some(r#"{"title":"mock"}"#));
        let body = json!({"input": [said("user", "SAY: x")], "tools": []});
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
        let kinds: Vec<&str> = events.iter().filter_map(|e| e["type"].as_str()).collect();
        assert_eq!(
            kinds[..4],
            [
                "response.created",
                "response.in_progress",
                "response.output_item.added",
                "response.content_part.added",
            ]
        );
        let last = events.last().expect("an event");
        assert_eq!(last["type"], "response.completed");
        let output = &last["response"]["output"];
        assert_eq!(output[0]["content"][0]["text"], "hi");
        assert_eq!(
            (
                &output[1]["namespace"],
                &output[1]["name"],
                &output[1]["arguments"]
            ),
            (
                &json!("mcp__conductor"),
                &json!("ping"),
                &json!("{\"x\":1}")
            )
        );
    }

    #[test]
    fn a_tool_that_takes_text_gets_it() {
        let events = events(
            respond,
            &read(&request(&json!([said(
                "user",
                "TOOL: apply_patch *** Begin"
            )]))),
        );
        let item = &events[2]["item"];
        assert_eq!(
            (&item["type"], &item["input"]),
            (&json!("custom_tool_call"), &json!("*** Begin"))
        );
    }
}
