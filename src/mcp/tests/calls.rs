//! Calls under way: cancellation, progress, limits, and who gets the result.

use super::*;
use std::time::Instant;

fn with_token(mut message: Value, token: Value) -> Value {
    message["params"]["_meta"]["progressToken"] = token;
    message
}

fn cancel(id: impl Into<Value>) -> Value {
    json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id.into(), "reason": "enough"}})
}

/// Waits for what happens on another thread.
fn eventually(mut what: impl FnMut() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < SOON, "it does not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_cancelled_call_is_not_answered_and_its_result_goes_back() {
    let mut client = Client::legacy("2025-11-25");
    client.call("7", "hold", json!({}));
    client.send(cancel(7));
    client.nothing_but_a_ping();
    assert!(client.host.returned().is_empty(), "7 is not \"7\"");
    client.send(cancel("7"));
    client.send(cancel("7"));
    client.send(json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {}}));
    let host = client.host.clone();
    eventually(|| host.returned() == ["hold"]);
    client.nothing_but_a_ping();
    assert_eq!(client.end(), 0);
    assert_eq!(
        *client.host.returned.lock().unwrap(),
        [(
            "hold".to_owned(),
            ToolResult::Ok(json!({"cancelled": true, "why": "Some(ByClient)"}))
        )]
    );
}

#[test]
fn a_cancellation_after_the_answer_changes_nothing() {
    let mut client = Client::legacy("2025-11-25");
    client.ask(call(1, "echo", json!({"text": "a"})));
    client.ask(call(2, "sleep", json!({"ms": 1})));
    client.send(cancel(1));
    client.send(cancel(2));
    client.nothing_but_a_ping();
    assert_eq!(client.end(), 0);
    assert!(client.host.returned().is_empty());
}

#[test]
fn progress_rises_and_ends_before_the_answer() {
    for (version, told) in [("2024-11-05", false), ("2025-11-25", true)] {
        let mut client = Client::legacy(version);
        client.send(with_token(call(1, "hold", json!({"steps": 3})), json!("t")));
        for step in 0..3 {
            let note = client.next();
            assert_eq!(note["method"], "notifications/progress");
            assert_eq!(note["params"]["progressToken"], "t");
            assert_eq!(note["params"]["progress"], f64::from(step));
            assert_eq!(note["params"].get("message").is_some(), told);
        }
        client.send(cancel(1));
        client.nothing_but_a_ping();
    }
    let mut client = Client::start();
    client.send(with_token(
        modern(
            1,
            "tools/call",
            json!({"name": "sleep", "arguments": {"ms": 1}}),
        ),
        json!(5),
    ));
    let seen: Vec<Value> = (0..3).map(|_| client.next()).collect();
    assert_eq!(
        seen[0]["params"],
        json!({"progressToken": 5, "progress": 1.0, "message": "half"})
    );
    assert_eq!(seen[1]["params"]["progress"], 2.0);
    assert_eq!(seen[2]["id"], 1);
}

#[test]
fn without_a_token_there_is_no_progress() {
    let mut client = Client::legacy("2025-11-25");
    let answer = client.ask(call(1, "sleep", json!({"ms": 1})));
    assert_eq!(answer["id"], 1);
}

#[test]
fn a_ping_is_answered_while_calls_wait() {
    let mut client = Client::legacy("2025-11-25");
    client.call(1, "hold", json!({}));
    client.call(2, "hold", json!({}));
    client.nothing_but_a_ping();
    let answer = client.ask(call(3, "echo", json!({"text": "x"})));
    assert_eq!(answer["id"], 3);
}

#[test]
fn the_seventeenth_waiting_call_is_told_so() {
    let mut client = Client::legacy("2025-11-25");
    for id in 0..16 {
        client.call(id, "hold", json!({}));
    }
    let answer = client.ask(call(16, "hold", json!({})));
    assert_eq!(answer["id"], 16);
    assert_eq!(answer["result"]["isError"], true);
    let text = answer["result"]["content"][0]["text"].as_str().unwrap();
    assert!(
        text.starts_with("16 calls of this client are waiting already"),
        "{text}"
    );
    assert_eq!(
        client.ask(call(17, "echo", json!({"text": "x"})))["result"]["isError"],
        false
    );

    client.send(cancel(3));
    let host = client.host.clone();
    eventually(|| host.returned().len() == 1);
    eventually(|| {
        client.call(18, "sleep", json!({"ms": 1}));
        client.next()["result"]["isError"] == false
    });
    assert_eq!(client.end(), 0);
    assert_eq!(client.host.returned().len(), 16);
}

#[test]
fn an_id_under_way_cannot_be_used_again() {
    let mut client = Client::legacy("2025-11-25");
    client.call(1, "hold", json!({}));
    assert_eq!(
        fault(&client.ask(call(1, "hold", json!({})))),
        (-32600, json!(1))
    );
    client.send(cancel(1));
    client.call(1, "sleep", json!({"ms": 1}));
    assert_eq!(
        client.next()["result"]["structuredContent"],
        json!({"slept": true})
    );
}

#[test]
fn the_end_of_input_ends_waiting_calls() {
    let mut client = Client::legacy("2025-11-25");
    client.call(1, "hold", json!({}));
    client.call(2, "hold", json!({}));
    client.nothing_but_a_ping();
    let start = Instant::now();
    assert_eq!(client.end(), 0);
    assert!(start.elapsed() < Duration::from_secs(2));
    assert_eq!(client.host.returned(), ["hold", "hold"]);
    let returned = client.host.returned.lock().unwrap();
    assert_eq!(
        returned[0].1,
        ToolResult::Ok(json!({"cancelled": true, "why": "Some(ClientGone)"}))
    );
    assert!(
        client.lines.recv_timeout(SOON).is_err(),
        "no answer after the end"
    );
}

#[test]
fn requests_before_the_end_of_input_are_answered() {
    let mut client = Client::legacy("2025-11-25");
    client.raw(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"ping\"}");
    client.close_input();
    assert_eq!(client.next()["id"], 1);
    assert_eq!(client.next()["id"], 2);
    assert_eq!(client.exit(), 0);
}

#[test]
fn a_reader_that_is_gone_gets_nothing_and_the_host_gets_it_back_once() {
    let (reader, output) = io::pipe().unwrap();
    drop(reader);
    let mut client = Client::writing_to(output);
    client.send(modern(
        1,
        "tools/call",
        json!({"name": "sleep", "arguments": {"ms": 30}}),
    ));
    client.send(modern(2, "tools/call", json!({"name": "hold"})));
    assert_eq!(client.exit(), 0, "ends although input is open");
    let mut returned = client.host.returned();
    returned.sort();
    assert_eq!(returned, ["hold", "sleep"]);
}

#[test]
fn an_inline_result_that_cannot_be_written_goes_back_too() {
    let (reader, output) = io::pipe().unwrap();
    drop(reader);
    let mut client = Client::writing_to(output);
    client.send(modern(
        1,
        "tools/call",
        json!({"name": "echo", "arguments": {"text": "x"}}),
    ));
    assert_eq!(client.exit(), 0);
    assert_eq!(client.host.returned(), ["echo"]);
}

#[test]
fn an_answer_stuck_in_a_full_pipe_goes_back_once() {
    let (unread, output) = io::pipe().unwrap();
    let mut client = Client::writing_to(output);
    client.send(modern(1, "tools/call", json!({"name": "big"})));
    std::thread::sleep(Duration::from_millis(50));
    let start = Instant::now();
    assert_eq!(client.end(), 0);
    assert!(start.elapsed() < Duration::from_secs(2));
    assert_eq!(client.host.returned(), ["big"]);
    drop(unread);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(client.host.returned(), ["big"]);
}

#[test]
fn a_batch_drops_what_was_cancelled() {
    let mut client = Client::legacy("2025-03-26");
    client.send(json!([
        call(1, "hold", json!({})),
        call(2, "echo", json!({"text": "x"})),
        call(3, "echo", json!({"text": "y"}))
    ]));
    client.send(cancel(3));
    client.nothing_but_a_ping();
    client.send(cancel(1));
    let answers = client.next();
    assert_eq!(answers.as_array().unwrap().len(), 1);
    assert_eq!(answers[0]["id"], 2);
    assert_eq!(client.end(), 0);
    let mut returned = client.host.returned();
    returned.sort();
    assert_eq!(returned, ["echo", "hold"]);
}
