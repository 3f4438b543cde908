//! Clients that get the protocol wrong, by accident or not: each gets an answer in time that fits the published schema, and the next is served.

use crate::schema::Schema;
use crate::support::{BINARY, PATIENCE, World, quote};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::sync::mpsc::{Receiver, channel};

/// The revision that the client opens with.
const REVISION: &str = "2025-11-25";

/// A server that runs as a process of an agent, and this test at the other end of its pipes.
struct Client {
    input: Option<File>,
    lines: Receiver<String>,
    schema: Schema,
    asked: HashMap<String, String>,
}

impl Client {
    fn of(world: &World, agent: &str) -> Self {
        let (input, output) = (world.at("in"), world.at("out"));
        for pipe in [&input, &output] {
            nix::unistd::mkfifo(pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        }
        let command = format!(
            "RUN exec {} mcp <{} >{}",
            quote(BINARY),
            input.display(),
            output.display()
        );
        world.send(agent, &command);
        world.approve_next(agent);
        // In the order in which the shell opens them.
        let input = OpenOptions::new().write(true).open(input).unwrap();
        let output = BufReader::new(File::open(output).unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut client = Self {
            input: Some(input),
            lines,
            schema: Schema::of(REVISION),
            asked: HashMap::new(),
        };
        let opened = client.ask(
            0,
            "initialize",
            &json!({"protocolVersion": REVISION, "capabilities": {}, "clientInfo": {"name": "hostile", "version": "1"}}),
        );
        assert_eq!(opened["result"]["protocolVersion"], REVISION);
        client
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.input.as_mut().unwrap().write_all(bytes).unwrap();
    }

    fn send(&mut self, id: impl Into<Value>, method: &str, params: &Value) {
        let id = id.into();
        self.asked.insert(id.to_string(), method.to_owned());
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.raw(format!("{request}\n").as_bytes());
    }

    /// The next message, which fits the schema.
    #[track_caller]
    fn next(&mut self) -> Value {
        let line = self.lines.recv_timeout(PATIENCE).unwrap();
        let message: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
        let asked = &self.asked;
        self.schema
            .message(&message, |id| asked.get(&id.to_string()).cloned())
            .unwrap();
        message
    }

    #[track_caller]
    fn ask(&mut self, id: impl Into<Value>, method: &str, params: &Value) -> Value {
        let id = id.into();
        self.send(id.clone(), method, params);
        let answer = self.next();
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    /// Sends a line and demands an error of this code as the next message, and a served ping after it.
    #[track_caller]
    fn refused(&mut self, line: &[u8], code: i64) {
        self.raw(line);
        self.raw(b"\n");
        let answer = self.next();
        let beginning = String::from_utf8_lossy(&line[..line.len().min(100)]);
        assert_eq!(answer["error"]["code"], code, "{beginning}: {answer}");
        let answer = self.ask("alive", "ping", &json!({}));
        assert_eq!(answer["result"], json!({}));
    }
}

/// A value of each JSON type that `schema` does not take.
fn wrong(schema: &Value) -> Vec<Value> {
    let kind = schema["type"].as_str().unwrap();
    let all = [
        ("null", json!(null)),
        ("boolean", json!(true)),
        ("integer", json!(1)),
        ("number", json!(1.5)),
        ("string", json!("x")),
        ("array", json!([[]])),
        ("object", json!({"x": 1})),
    ];
    let others = all.into_iter().filter(|(name, _)| *name != kind);
    // Left out and null are the same to many clients.
    others
        .filter(|(name, _)| *name != "null")
        .map(|(_, value)| value)
        .collect()
}

#[test]
fn whatever_a_client_sends_it_gets_an_answer_and_the_next_is_served() {
    let world = World::new();
    let team = world.launch(&["developer"]);
    let (agent, worker) = (&team.supervisor, &team.workers[0]);
    let mut client = Client::of(&world, agent);

    // A line in halves.
    client.raw(br#"{"jsonrpc":"2.0","id":1,"meth"#);
    client.asked.insert("1".to_owned(), "ping".to_owned());
    std::thread::yield_now();
    client.raw(b"od\":\"ping\"}\n");
    assert_eq!(client.next()["id"], 1);

    // No JSON, no request, no such method; very long ones too.
    let long = vec![b'x'; 10 * 1024 * 1024];
    let deep = "[".repeat(100_000);
    let open = [br#"{"jsonrpc":"2.0","id":2,"method":""#, long.as_slice()].concat();
    let longest = vec![b' '; 17 * 1024 * 1024];
    for (line, code) in [
        (&b"nonsense"[..], -32_700),
        (b"{\"jsonrpc\":\"2.0\",\"id\":1", -32_700),
        (b"\xff\xfe\x00", -32_700),
        (deep.as_bytes(), -32_700),
        (&long, -32_700),
        (&open, -32_700),
        (&longest, -32_600),
        (b"7", -32_600),
        (b"[]", -32_600),
        (br#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32_600),
        (br#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, -32_600),
        (br#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, -32_600),
        (br#"{"jsonrpc":"1.0","id":3,"method":"ping"}"#, -32_600),
        (br#"{"jsonrpc":"2.0","id":3,"method":["ping"]}"#, -32_600),
        (br#"{"jsonrpc":"2.0","id":3,"method":"ping","params":[]}"#, -32_602),
        (br#"{"jsonrpc":"2.0","id":3,"method":"tools/call"}"#, -32_602),
        (br#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"nothing"}}"#, -32_602),
        (br#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"wait","arguments":7}}"#, -32_602),
        (br#"{"jsonrpc":"2.0","id":3,"method":"resources/read","params":{"uri":"file:///etc/passwd"}}"#, -32_601),
        (br#"{"jsonrpc":"2.0","id":3,"method":"sampling/createMessage"}"#, -32_601),
        (br#"{"jsonrpc":"2.0","id":3,"method":"approve"}"#, -32_601),
    ] {
        client.refused(line, code);
    }

    // Answers and notifications that nobody asked for get none.
    for line in [
        r#"{"jsonrpc":"2.0","id":9,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":9,"error":{"code":1,"message":"x"}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/nothing","params":{"x":[]}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":{}}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":12345}}"#,
    ] {
        client.raw(format!("{line}\n").as_bytes());
    }
    client.ask("quiet", "ping", &json!({}));

    // Every argument of every tool with a value of every wrong type.
    let tools = client.ask("tools", "tools/list", &json!({}));
    let mut tried = 0;
    for tool in tools["result"]["tools"].as_array().unwrap() {
        for (name, schema) in tool["inputSchema"]["properties"].as_object().unwrap() {
            for value in wrong(schema) {
                let call = json!({"name": tool["name"], "arguments": {name: value}});
                let answer = client.ask(tried, "tools/call", &call);
                let said = answer["result"]["content"][0]["text"].as_str().unwrap();
                assert_eq!(answer["result"]["isError"], true, "{call}: {answer}");
                let (fault, hint) = said.rsplit_once('\n').unwrap();
                assert!(fault.contains(name), "{call}: {said}");
                let takes = format!("`{}` takes ", tool["name"].as_str().unwrap());
                assert!(hint.starts_with(&takes), "{call}: {said}");
                tried += 1;
            }
        }
    }
    assert!(tried > 150, "{tried}");
    let much =
        json!({"name": "send_message", "arguments": {"message": "x".repeat(10 * 1024 * 1024)}});
    assert_eq!(
        client.ask("much", "tools/call", &much)["result"]["isError"],
        true
    );

    // One id for two calls, and a call that is cancelled twice.
    let wait = json!({"name": "wait", "arguments": {"terminal_ids": [worker], "for": ["error"], "timeout": 60}});
    client.send("same", "tools/call", &wait);
    let refused = client.ask("same", "tools/call", &wait);
    assert_eq!(refused["error"]["code"], -32_600, "{refused}");
    for _ in 0..2 {
        client.raw(b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":\"same\"}}\n");
    }
    client.ask("after", "ping", &json!({}));

    // The end in the middle of a line, with a call under way.
    client.send("last", "tools/call", &wait);
    client.raw(br#"{"jsonrpc":"2.0","id":5,"method":"#);
    client.input = None;
    world.wait(agent, "idle");
    let rest: Vec<String> = client.lines.iter().collect();
    assert!(rest.iter().all(|line| line.contains("-32700")), "{rest:?}");
    let written = std::fs::read_to_string(world.at("state/logs/conductor.log")).unwrap_or_default();
    assert!(!written.contains("internal error"), "{written}");
    assert_eq!(
        world.run(["sessions"]).json()[0]["terminals"]
            .as_array()
            .unwrap()
            .len(),
        2,
        "nothing was started"
    );
}
