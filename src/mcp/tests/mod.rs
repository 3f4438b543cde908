//! The server as a client sees it: lines in, lines out.

mod calls;
mod eras;
mod robust;

use super::{Annotations, Call, ToolDef, ToolHost, ToolResult, serve};
use serde_json::{Map, Value, json};
use std::io::{self, BufRead, BufReader, PipeWriter, Write};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a test waits for what must come.
const SOON: Duration = Duration::from_secs(10);

/// Tools with nothing behind them.
struct Stub {
    tools: Vec<ToolDef>,
    returned: Mutex<Vec<(String, ToolResult)>>,
}

impl Stub {
    fn new() -> Arc<Self> {
        let tool = |name, properties: Value, required: Value| ToolDef {
            name,
            title: "A Tool",
            description: "Does a thing.",
            input_schema: json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false}),
            output_schema: json!({"type": "object"}),
            annotations: Annotations {
                read_only: true,
                destructive: false,
                idempotent: true,
                open_world: false,
            },
        };
        Arc::new(Self {
            tools: vec![
                tool("echo", json!({"text": {"type": "string"}}), json!(["text"])),
                tool("fail", json!({}), json!([])),
                tool("big", json!({}), json!([])),
                tool(
                    "hold",
                    json!({"steps": {"type": "integer", "default": 0}}),
                    json!([]),
                ),
                tool("sleep", json!({"ms": {"type": "integer"}}), json!(["ms"])),
            ],
            returned: Mutex::default(),
        })
    }

    /// What was given back, as names.
    fn returned(&self) -> Vec<String> {
        let returned = self.returned.lock().unwrap();
        returned.iter().map(|(name, _)| name.clone()).collect()
    }
}

impl ToolHost for Stub {
    fn tools(&self) -> &[ToolDef] {
        &self.tools
    }

    fn instructions(&self) -> &'static str {
        "Use them well."
    }

    fn waits(&self, name: &str) -> bool {
        matches!(name, "hold" | "sleep" | "big")
    }

    fn call(&self, name: &str, arguments: &Map<String, Value>, call: &Call) -> ToolResult {
        match name {
            "echo" => ToolResult::Ok(json!({"text": arguments["text"]})),
            "big" => ToolResult::Ok(json!({"text": "x".repeat(300_000)})),
            "hold" => {
                for step in 0..arguments["steps"].as_i64().unwrap() {
                    let elapsed = f64::from(u16::try_from(step).unwrap());
                    call.progress(elapsed, "still at it");
                    call.progress(elapsed, "not again");
                    call.progress(f64::NAN, "not a number");
                }
                let cancelled = slept(call, Duration::from_mins(1));
                ToolResult::Ok(
                    json!({"cancelled": cancelled, "why": format!("{:?}", call.why_cancelled())}),
                )
            }
            "sleep" => {
                call.progress(1.0, "half");
                slept(
                    call,
                    Duration::from_millis(arguments["ms"].as_u64().unwrap()),
                );
                call.progress(2.0, "whole");
                ToolResult::Ok(json!({"slept": true}))
            }
            _ => ToolResult::Error {
                message: "it did not work".into(),
                hint: "try another".into(),
            },
        }
    }

    fn not_given(&self, name: &str, result: ToolResult) {
        self.returned
            .lock()
            .unwrap()
            .push((name.to_owned(), result));
    }
}

/// Sleeps for `span`, or until `call` is cancelled; says whether it is.
fn slept(call: &Call, span: Duration) -> bool {
    let deadline = crate::clock::Deadline::after(span);
    while !call.cancelled() && !deadline.passed() {
        crate::clock::sleep(Duration::from_millis(5), &deadline);
    }
    call.cancelled()
}

/// A client of a server that runs on a thread.
struct Client {
    host: Arc<Stub>,
    input: Option<PipeWriter>,
    lines: mpsc::Receiver<Value>,
    server: Option<JoinHandle<u8>>,
}

impl Client {
    fn start() -> Self {
        let (reader, output) = io::pipe().unwrap();
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(reader).lines() {
                let value = serde_json::from_str(&line.unwrap()).unwrap();
                if sender.send(value).is_err() {
                    return;
                }
            }
        });
        let mut client = Self::writing_to(output);
        client.lines = lines;
        client
    }

    /// A client that does not read what comes.
    fn writing_to(output: impl Write + Send + 'static) -> Self {
        let (reader, input) = io::pipe().unwrap();
        let host = Stub::new();
        let served = host.clone();
        Self {
            host,
            input: Some(input),
            lines: mpsc::channel().1,
            server: Some(std::thread::spawn(move || {
                serve(served, reader, output, "1.2.3")
            })),
        }
    }

    /// A client that has settled on `version` by `initialize`.
    fn legacy(version: &str) -> Self {
        let mut client = Self::start();
        let result = client.ask(json!({"jsonrpc": "2.0", "id": "i", "method": "initialize", "params": {
            "protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "tester", "version": "1"}}}));
        assert_eq!(result["result"]["protocolVersion"], version);
        client.send(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        client
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.input.as_mut().unwrap().write_all(bytes).unwrap();
    }

    #[expect(clippy::needless_pass_by_value, reason = "reads better at the call")]
    fn send(&mut self, message: Value) {
        self.raw(format!("{message}\n").as_bytes());
    }

    fn next(&self) -> Value {
        self.lines.recv_timeout(SOON).expect("a line comes")
    }

    fn ask(&mut self, message: Value) -> Value {
        self.send(message);
        self.next()
    }

    /// Calls a tool in the revision settled by `initialize`.
    fn call(&mut self, id: impl Into<Value>, name: &str, arguments: Value) {
        self.send(call(id, name, arguments));
    }

    fn close_input(&mut self) {
        self.input = None;
    }

    /// Waits until the server has ended and returns its exit code.
    fn end(&mut self) -> u8 {
        self.close_input();
        self.exit()
    }

    fn exit(&mut self) -> u8 {
        self.server.take().unwrap().join().unwrap()
    }

    /// Asserts that a ping is answered, and that nothing came before its answer.
    fn nothing_but_a_ping(&mut self) {
        let answer = self.ask(json!({"jsonrpc": "2.0", "id": "p", "method": "ping"}));
        assert_eq!(answer, json!({"jsonrpc": "2.0", "id": "p", "result": {}}));
    }
}

#[expect(clippy::needless_pass_by_value, reason = "reads better at the call")]
fn call(id: impl Into<Value>, name: &str, arguments: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id.into(), "method": "tools/call", "params": {"name": name, "arguments": arguments}})
}

/// A request that stands alone, as in 2026-07-28.
fn modern(id: impl Into<Value>, method: &str, mut params: Value) -> Value {
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = "2026-07-28".into();
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
    params["_meta"]["io.modelcontextprotocol/clientInfo"] =
        json!({"name": "modern-tester", "version": "1"});
    json!({"jsonrpc": "2.0", "id": id.into(), "method": method, "params": params})
}

/// The code and id of an error.
fn fault(message: &Value) -> (i64, Value) {
    (
        message["error"]["code"].as_i64().expect("an error"),
        message["id"].clone(),
    )
}
