//! Requests as Claude Code 2.1.330 and 2.1.197 were seen to send them, and what the tests of all rooms share.

use crate::anthropic::{read, respond};
use crate::plan::{Failures, Plan};
use crate::script::{Heard, How, Source, Step, Wanted};
use crate::view::{Resolved, View};
use conductor::domain::ids::{MessageId, TerminalId};
use conductor::domain::message::{Message, MessageStatus, Sender};
use conductor::domain::text::{self, Limits};
use serde_json::{Value, json};
use std::io;

pub(crate) fn user(text: &str) -> Heard {
    heard(Source::User, text)
}

pub(crate) fn context(text: &str) -> Heard {
    heard(Source::Context, text)
}

fn heard(source: Source, text: &str) -> Heard {
    Heard {
        source,
        message: 0,
        text: text.into(),
    }
}

pub(crate) fn say(words: &str) -> Step {
    Step::Say(words.into())
}

/// The line that is put into a pane for `message`.
pub(crate) fn place(message: &Message) -> String {
    let limits = Limits {
        inline_chars: 700,
        context_units: 9000,
    };
    text::place(message, limits).line().to_owned()
}

pub(crate) fn message(body: &str) -> Message {
    Message {
        id: MessageId(12),
        sender: Sender::Human,
        sender_name: "human".into(),
        order: true,
        receiver: TerminalId::from_bytes([1; 4]),
        body: body.into(),
        status: MessageStatus::Queued,
        transport: None,
        attempts: 0,
        seq: 1,
        tag: "k3m9".into(),
        queued_at: "2026-01-01T00:00:00Z".parse().expect("a time"),
        placed_at: None,
        submitted_at: None,
        expires_at: None,
        last_error: None,
        key: None,
        trace: "t".into(),
        hops: 0,
        again: false,
        read_offset: 0,
    }
}

/// The events of the stream that answers a first request.
pub(crate) fn events(
    respond: fn(&mut Vec<u8>, usize, &View, &Plan) -> io::Result<bool>,
    view: &View,
) -> Vec<Value> {
    let mut bytes = Vec::new();
    let again = respond(&mut bytes, 7, view, &view.decide(&mut Failures::new()));
    assert!(!again.expect("written"));
    let text = String::from_utf8(bytes).expect("UTF-8");
    text.lines()
        .filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok())
        .collect()
}

fn request(messages: &Value) -> Value {
    json!({"model": "m", "stream": true, "tools": [{"name": "Bash"}, {"name": "ToolSearch"}], "messages": messages})
}

fn decided(messages: &Value) -> Plan {
    read(&request(messages)).decide(&mut Failures::new())
}

fn text_of(messages: &Value) -> Option<String> {
    decided(messages).text
}

fn words(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

fn tool_use(id: &str, name: &str) -> Value {
    json!({"role": "assistant", "content": [words("calling"), {"type": "tool_use", "id": id, "name": name, "input": {}}]})
}

fn tool_result(id: &str, text: &str) -> Value {
    json!({"type": "tool_result", "tool_use_id": id, "content": text})
}

#[test]
fn a_body_is_found_in_a_system_message_or_a_reminder() {
    let long = message("SAY: one\nSAY: two");
    let added = format!(
        "UserPromptSubmit hook additional context: {}",
        text::framed(&long)
    );
    let system = json!([
        {"role": "user", "content": [words("<system-reminder>\nSAY: no\n</system-reminder>\n"), words(&place(&long))]},
        {"role": "system", "content": added},
    ]);
    let reminder = json!([
        {"role": "user", "content": [words(&format!("<system-reminder>\n{added}\n</system-reminder>")), words(&place(&long))]},
    ]);
    assert_eq!(text_of(&system).as_deref(), Some("one\ntwo"));
    assert_eq!(text_of(&reminder).as_deref(), Some("one\ntwo"));
}

#[test]
fn an_earlier_turn_is_over() {
    let messages = json!([
        {"role": "user", "content": "BASH: echo a"},
        tool_use("t1", "Bash"),
        {"role": "user", "content": [tool_result("t1", "a")]},
        {"role": "assistant", "content": [words("done: a")]},
        {"role": "user", "content": "Stop hook feedback:\n[conductor #12 from human] BASH: echo b"},
        {"role": "system", "content": "Stop hook blocking error from command: \"x\": [conductor #12 from human] BASH: echo b"},
    ]);
    assert_eq!(
        decided(&messages).call.expect("a call").input["command"],
        "echo b"
    );
}

#[test]
fn a_prompt_in_the_middle_of_a_turn_is_played_once_behind_it() {
    let queued = "The user sent a new message while you were working:\n[conductor #12 from human] SAY: two\n\n";
    let started = json!([{"role": "user", "content": "BASH: x\nSAY: one"}, tool_use("t1", "Bash")]);
    let with_result = json!({"role": "user", "content": [tool_result("t1", "r"), words(&format!("{queued}This is how Claude Code surfaces"))]});
    let as_system = [
        json!({"role": "user", "content": [tool_result("t1", "r")]}),
        json!({"role": "system", "content": format!("{queued}IMPORTANT: After completing your current task")}),
    ];
    let turn = |rest: &[Value]| {
        let mut messages = started.as_array().expect("a list").clone();
        messages.extend_from_slice(rest);
        json!(messages)
    };
    assert_eq!(text_of(&turn(&[with_result])).as_deref(), Some("one\ntwo"));
    assert_eq!(text_of(&turn(&as_system)).as_deref(), Some("one\ntwo"));
}

#[test]
fn what_was_interrupted_is_not_taken_up_again() {
    let messages = json!([
        {"role": "user", "content": "BASH: sleep 9\nSAY: one"},
        tool_use("t1", "Bash"),
        {"role": "user", "content": [
            tool_result("t1", "rejected"), words("[Request interrupted by user for tool use]"), words("SAY: new"),
        ]},
    ]);
    assert_eq!(text_of(&messages).as_deref(), Some("new"));
}

#[test]
fn a_deferred_tool_is_searched_for_and_then_called() {
    let wanted = Wanted {
        name: "ping".into(),
        how: How::Mcp,
        input: json!({}),
    };
    let mut messages = vec![
        json!({"role": "user", "content": "MCP: ping"}),
        json!({"role": "system", "content": "Deferred:\nmcp__conductor__ping\n"}),
    ];
    let view = read(&request(&json!(messages)));
    let query = json!({"query": "select:mcp__conductor__ping", "max_results": 5});
    assert_eq!(view.resolve(&wanted), Resolved::Search(query));
    messages.push(tool_use("t1", "ToolSearch"));
    messages.push(
        json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": [
            {"type": "tool_reference", "tool_name": "mcp__conductor__ping"},
        ]}]}),
    );
    let call = decided(&json!(messages)).call.expect("a call");
    assert_eq!(call.name, "mcp__conductor__ping");
}

#[test]
fn a_question_on_the_side_is_no_script() {
    let body = json!({"messages": [{"role": "user", "content": "SAY: x"}], "output_config": {"format": {"type": "json_schema"}}});
    let plan = read(&body).decide(&mut Failures::new());
    assert_eq!(plan.text.as_deref(), Some(r#"{"title":"Mock session"}"#));
}

#[test]
fn a_stream_carries_text_and_call() {
    let body = request(&json!([{"role": "user", "content": "SAY: hi\nBASH: echo ✓"}]));
    let events = events(respond, &read(&body));
    assert_eq!(events[2]["delta"]["text"], "hi");
    let input: Value =
        serde_json::from_str(events[5]["delta"]["partial_json"].as_str().expect("text"))
            .expect("JSON");
    assert_eq!(input["command"], "echo ✓");
    assert_eq!(events.last(), Some(&json!({"type": "message_stop"})));
}
