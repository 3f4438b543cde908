//! What each revision says, word for word.

use super::*;

fn tool_in(client: &mut Client) -> Value {
    let list = client.ask(json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}));
    assert_eq!(list["result"].as_object().unwrap().len(), 1);
    list["result"]["tools"][0].clone()
}

fn input_schema() -> Value {
    json!({"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"], "additionalProperties": false})
}

fn hints() -> Value {
    json!({"readOnlyHint": true, "destructiveHint": false, "idempotentHint": true, "openWorldHint": false})
}

#[test]
fn the_handshake_of_each_revision() {
    for version in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let mut client = Client::start();
        let answer = client.ask(json!({"jsonrpc": "2.0", "id": "a", "method": "initialize", "params": {"protocolVersion": version}}));
        assert_eq!(
            answer,
            json!({"jsonrpc": "2.0", "id": "a", "result": {
                "protocolVersion": version,
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "conductor", "version": "1.2.3"},
                "instructions": "Use them well."}})
        );
        assert_eq!(client.end(), 0);
    }
}

#[test]
fn an_unknown_revision_is_answered_with_our_newest_handshake() {
    for version in ["2026-07-28", "1999-01-01", ""] {
        let mut client = Client::start();
        let answer = client.ask(json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": version}}));
        assert_eq!(answer["result"]["protocolVersion"], "2025-11-25");
    }
    let mut client = Client::start();
    let answer = client.ask(json!({"jsonrpc": "2.0", "id": 1, "method": "initialize"}));
    assert_eq!(fault(&answer), (-32602, json!(1)));
}

#[test]
fn tools_say_what_their_revision_knows() {
    let basic =
        json!({"name": "echo", "description": "Does a thing.", "inputSchema": input_schema()});
    assert_eq!(tool_in(&mut Client::legacy("2024-11-05")), basic);

    let mut annotated = basic.clone();
    annotated["annotations"] = hints();
    annotated["annotations"]["title"] = "A Tool".into();
    assert_eq!(tool_in(&mut Client::legacy("2025-03-26")), annotated);

    let mut structured = basic;
    structured["title"] = "A Tool".into();
    structured["outputSchema"] = json!({"type": "object"});
    structured["annotations"] = hints();
    for version in ["2025-06-18", "2025-11-25"] {
        assert_eq!(tool_in(&mut Client::legacy(version)), structured);
    }
}

#[test]
fn results_say_what_their_revision_knows() {
    for (version, structured) in [
        ("2024-11-05", false),
        ("2025-03-26", false),
        ("2025-06-18", true),
        ("2025-11-25", true),
    ] {
        let mut client = Client::legacy(version);
        let answer = client.ask(call("x", "echo", json!({"text": "a\nb"})));
        let mut result = json!({"content": [{"type": "text", "text": "{\"text\":\"a\\nb\"}"}], "isError": false});
        if structured {
            result["structuredContent"] = json!({"text": "a\nb"});
        }
        assert_eq!(
            answer,
            json!({"jsonrpc": "2.0", "id": "x", "result": result}),
            "{version}"
        );

        let failure = client.ask(call(2, "fail", json!({})));
        assert_eq!(
            failure["result"],
            json!({"content": [{"type": "text", "text": "it did not work\ntry another"}], "isError": true})
        );
        let wrong = client.ask(call(3, "echo", json!({"text": 5})));
        assert_eq!(
            wrong["result"],
            json!({"content": [{"type": "text", "text": "Argument `text` must be a string; it was 5.\n`echo` takes `text`."}], "isError": true})
        );
    }
}

#[test]
fn the_modern_revision_needs_no_handshake() {
    let mut client = Client::start();
    let server =
        json!({"io.modelcontextprotocol/serverInfo": {"name": "conductor", "version": "1.2.3"}});
    let found = client.ask(modern(
        "server-discover-probe-1",
        "server/discover",
        json!({}),
    ));
    assert_eq!(
        found,
        json!({"jsonrpc": "2.0", "id": "server-discover-probe-1", "result": {
            "supportedVersions": ["2026-07-28"],
            "capabilities": {"tools": {}},
            "instructions": "Use them well.",
            "ttlMs": 3_600_000, "cacheScope": "private",
            "resultType": "complete", "_meta": server}})
    );
    let list = client.ask(modern(1, "tools/list", json!({})));
    assert_eq!(list["result"]["ttlMs"], 3_600_000);
    assert_eq!(list["result"]["cacheScope"], "private");
    assert_eq!(list["result"]["resultType"], "complete");
    assert_eq!(list["result"]["_meta"], server);
    assert_eq!(
        list["result"]["tools"][0],
        json!({"name": "echo", "title": "A Tool", "description": "Does a thing.", "inputSchema": input_schema(),
            "outputSchema": {"type": "object"}, "annotations": hints()})
    );
    let echo = json!({"name": "echo", "arguments": {"text": "x"}});
    let answer = client.ask(modern(2, "tools/call", echo));
    assert_eq!(
        answer["result"],
        json!({"content": [{"type": "text", "text": "{\"text\":\"x\"}"}], "isError": false,
            "structuredContent": {"text": "x"}, "resultType": "complete", "_meta": server})
    );
}

#[test]
fn modern_requests_are_checked_one_by_one() {
    let mut client = Client::start();
    let mut other = modern(1, "tools/list", json!({}));
    other["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = "2030-01-01".into();
    let answer = client.ask(other);
    assert_eq!(fault(&answer), (-32022, json!(1)));
    assert_eq!(
        answer["error"]["data"],
        json!({"supported": ["2026-07-28"], "requested": "2030-01-01"})
    );

    let mut bare = modern(2, "server/discover", json!({}));
    bare["params"]["_meta"]
        .as_object_mut()
        .unwrap()
        .remove("io.modelcontextprotocol/clientCapabilities");
    assert_eq!(fault(&client.ask(bare)), (-32602, json!(2)));

    for method in ["tools/list", "tools/call"] {
        let answer = client.ask(json!({"jsonrpc": "2.0", "id": 3, "method": method}));
        assert_eq!(fault(&answer), (-32602, json!(3)), "{method}");
    }
    for method in ["ping", "logging/setLevel", "resources/list"] {
        let answer = client.ask(modern(4, method, json!({})));
        assert_eq!(fault(&answer), (-32601, json!(4)), "{method}");
    }
}

#[test]
fn one_process_serves_both_kinds() {
    let mut client = Client::start();
    client.ask(modern(
        "server-discover-probe-1",
        "server/discover",
        json!({}),
    ));
    let answer = client.ask(
        json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "clientInfo": {"name": "old", "version": "1"}}}),
    );
    assert_eq!(answer["result"]["protocolVersion"], "2025-06-18");
    client.nothing_but_a_ping();
    let echo = json!({"text": "x"});
    let old = client.ask(call(1, "echo", echo.clone()));
    assert_eq!(old["result"]["structuredContent"], echo);
    assert!(old["result"].get("resultType").is_none());
    let new = json!({"name": "echo", "arguments": echo});
    let new = client.ask(modern(2, "tools/call", new));
    assert_eq!(new["result"]["structuredContent"], echo);
    assert_eq!(new["result"]["resultType"], "complete");
}

#[test]
fn what_the_server_speaks_is_told_whoever_asks() {
    let whole = Client::start().ask(modern(1, "server/discover", json!({})));
    assert_eq!(whole["result"]["supportedVersions"], json!(["2026-07-28"]));
    let bare = json!({"jsonrpc": "2.0", "id": 1, "method": "server/discover"});
    assert_eq!(
        Client::start().ask(bare.clone()),
        whole,
        "before initialize"
    );
    for version in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let mut client = Client::legacy(version);
        assert_eq!(client.ask(bare.clone()), whole, "{version}");
        let tokened = json!({"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": {"_meta": {"progressToken": 7}}});
        assert_eq!(client.ask(tokened), whole, "{version}");
        // It speaks on as it did.
        let pinged = client.ask(json!({"jsonrpc": "2.0", "id": 2, "method": "ping"}));
        assert_eq!(pinged["result"], json!({}), "{version}");
    }
}

#[test]
fn a_subscription_is_accepted_for_nothing() {
    let mut client = Client::start();
    let answer = client.ask(modern(
        7,
        "subscriptions/listen",
        json!({"notifications": {"toolsListChanged": true}}),
    ));
    assert_eq!(
        answer,
        json!({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": {
            "_meta": {"io.modelcontextprotocol/subscriptionId": 7}, "notifications": {}}})
    );
    client.nothing_but_a_ping();
}

#[test]
fn batches_exist_in_one_revision() {
    let batch = json!([
        {"jsonrpc": "2.0", "id": 1, "method": "ping"},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        call("two", "sleep", json!({"ms": 20})),
        call(3, "echo", json!({"text": "x"})),
        7,
        {"jsonrpc": "2.0", "id": 4, "method": "initialize", "params": {"protocolVersion": "2025-03-26"}},
        modern(5, "tools/list", json!({}))
    ]);
    let mut client = Client::legacy("2025-03-26");
    let Value::Array(mut answers) = client.ask(batch.clone()) else {
        panic!("not a batch");
    };
    answers.sort_by_key(|answer| answer["id"].to_string());
    let ids: Vec<&Value> = answers.iter().map(|answer| &answer["id"]).collect();
    assert_eq!(
        ids,
        [
            &json!("two"),
            &json!(1),
            &json!(3),
            &json!(4),
            &json!(5),
            &Value::Null
        ]
    );
    assert_eq!(
        answers[0]["result"]["content"][0]["text"],
        "{\"slept\":true}"
    );
    for bad in [&answers[3], &answers[4], &answers[5]] {
        assert_eq!(bad["error"]["code"], -32600);
    }
    client.send(json!([{"jsonrpc": "2.0", "method": "notifications/initialized"}]));
    client.nothing_but_a_ping();
    assert_eq!(fault(&client.ask(json!([]))), (-32600, Value::Null));
    assert_eq!(
        fault(&client.ask(json!(vec![1; 101]))),
        (-32600, Value::Null)
    );

    for version in ["2024-11-05", "2025-06-18", "2025-11-25"] {
        let answer = Client::legacy(version).ask(batch.clone());
        assert_eq!(fault(&answer), (-32600, Value::Null), "{version}");
    }
    assert_eq!(fault(&Client::start().ask(batch)), (-32600, Value::Null));
}
