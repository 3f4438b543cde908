//! Whatever comes in: the server lives, and every line that goes out is a JSON-RPC message.

use super::*;
use proptest::prelude::*;

/// Serves `input` and returns the lines that came out.
fn run(input: &[u8]) -> Vec<Value> {
    let (reader, mut writer) = io::pipe().unwrap();
    let (answers, output) = io::pipe().unwrap();
    let input = input.to_vec();
    let feeder = std::thread::spawn(move || {
        let _ = writer.write_all(&input);
    });
    let collector = std::thread::spawn(move || {
        let lines = BufReader::new(answers).lines();
        lines
            .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
            .collect()
    });
    assert_eq!(serve(Stub::new(), reader, output, "0"), 0);
    feeder.join().unwrap();
    collector.join().unwrap()
}

fn is_message(value: &Value) -> bool {
    match value {
        Value::Array(batch) => !batch.is_empty() && batch.iter().all(is_message),
        value => {
            value["jsonrpc"] == "2.0"
                && (value.get("result").is_some()
                    || value["error"]["code"].is_i64()
                    || value["method"].is_string())
        }
    }
}

#[test]
fn faults_are_answered_and_the_next_line_is_served() {
    let lines: [(&[u8], i64); 8] = [
        (b"nonsense", -32700),
        (b"\xff\xfe", -32700),
        (
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xc3\x28\"}",
            -32700,
        ),
        (
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\\ud800\"}",
            -32700,
        ),
        (b"{}", -32600),
        (b"\"text\"", -32600),
        (
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"nope\"}",
            -32601,
        ),
        (
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":3}",
            -32602,
        ),
    ];
    for (line, code) in lines {
        let mut input = line.to_vec();
        input.extend_from_slice(
            b"\r\n\r\n   \n{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"ping\"}\r\n",
        );
        let out = run(&input);
        assert_eq!(out.len(), 2, "{out:?}");
        assert_eq!(out[0]["error"]["code"], code);
        assert_eq!(out[1], json!({"jsonrpc": "2.0", "id": 9, "result": {}}));
    }
}

#[test]
fn an_error_to_nothing_has_the_id_that_its_revision_knows() {
    for (version, null) in [
        ("2024-11-05", true),
        ("2025-03-26", true),
        ("2025-06-18", true),
        ("2025-11-25", false),
    ] {
        let mut client = Client::legacy(version);
        for line in [&b"nonsense\n"[..], b"[]\n", b"{\"id\":1.5}\n"] {
            client.raw(line);
            let answer = client.next();
            assert!(answer["error"]["code"].is_i64(), "{answer}");
            let id = answer.get("id");
            assert_eq!(id, null.then_some(&Value::Null), "{version}: {answer}");
        }
    }
}

#[test]
fn faults_in_a_call_have_their_codes() {
    let mut client = Client::legacy("2025-11-25");
    let cases = [
        (json!({"name": "nope"}), -32602),
        (json!({"name": 5}), -32602),
        (json!({}), -32602),
        (json!({"name": "echo", "arguments": [1]}), -32602),
    ];
    for (params, code) in cases {
        let answer = client
            .ask(json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}));
        assert_eq!(fault(&answer), (code, json!(1)));
    }
    let answer = client
        .ask(json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {"cursor": "x"}}));
    assert_eq!(fault(&answer), (-32602, json!(2)));
}

#[test]
fn a_line_over_the_cap_is_refused_and_the_next_is_served() {
    let mut input = vec![b' '; 17 * 1024 * 1024];
    input.extend_from_slice(b"\n{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n");
    let out = run(&input);
    assert_eq!(fault(&out[0]), (-32600, Value::Null));
    assert_eq!(out[1]["id"], 1);
}

#[test]
fn a_line_of_megabytes_is_taken() {
    let mut client = Client::legacy("2025-11-25");
    let text = "ä".repeat(1024 * 1024);
    let answer = client.ask(call(1, "echo", json!({"text": text})));
    assert_eq!(answer["result"]["structuredContent"]["text"], text);
}

#[test]
fn two_hundred_requests_at_once_are_answered_in_order() {
    let mut input = Vec::new();
    for id in 0..200 {
        input.extend(format!("{}\n", modern(id, "tools/list", json!({}))).into_bytes());
    }
    let ids: Vec<Value> = run(&input).iter().map(|line| line["id"].clone()).collect();
    assert_eq!(ids, (0..200).map(Value::from).collect::<Vec<_>>());
}

/// Pieces that make a random line look like a request.
fn piece() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "2.0",
        "initialize",
        "tools/call",
        "tools/list",
        "ping",
        "server/discover",
        "subscriptions/listen",
        "notifications/cancelled",
        "2025-03-26",
        "2026-07-28",
        "echo",
        "fail",
        "",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    let key = prop::sample::select(vec![
        "jsonrpc",
        "id",
        "method",
        "params",
        "name",
        "arguments",
        "text",
        "_meta",
        "progressToken",
        "protocolVersion",
        "io.modelcontextprotocol/protocolVersion",
        "io.modelcontextprotocol/clientCapabilities",
        "requestId",
        "result",
    ]);
    leaf.prop_recursive(4, 24, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6).prop_map(|pairs| {
                pairs
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect::<Map<_, _>>()
                    .into()
            }),
        ]
    })
}

/// A request that is nearly right.
fn nearly() -> impl Strategy<Value = Value> {
    let method = prop::sample::select(vec![
        "initialize",
        "tools/call",
        "tools/list",
        "ping",
        "server/discover",
        "subscriptions/listen",
        "notifications/cancelled",
    ]);
    (method, piece(), piece()).prop_map(
        |(method, id, params)| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn random_bytes_get_messages_or_nothing(bytes in any::<Vec<u8>>()) {
        prop_assert!(run(&bytes).iter().all(is_message));
    }

    #[test]
    fn random_messages_get_messages_or_nothing(lines in prop::collection::vec(prop_oneof![piece(), nearly()], 1..12), old in any::<bool>()) {
        let mut input = Vec::new();
        if old {
            input.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-03-26\"}}\n");
        }
        for line in &lines {
            input.extend(format!("{line}\n").into_bytes());
        }
        input.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":\"last\",\"method\":\"ping\"}\n");
        let out = run(&input);
        prop_assert!(out.iter().all(is_message), "{out:?}");
        prop_assert_eq!(&out[out.len() - 1]["id"], "last");
    }
}
