//! JSON-RPC lines: each request gets exactly one answer that fits the published schema, and the server is there for the next line.

use crate::engine::{Target, Trail};
use crate::schema::Schema;
use conductor::mcp::{Annotations, Call, ToolDef, ToolHost, ToolResult, serve};
use serde_json::{Map, Value, json};
use std::io::{self, Seek, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The revisions that have been published, in order.
const REVISIONS: [&str; 5] = [
    "2024-11-05",
    "2025-03-26",
    "2025-06-18",
    "2025-11-25",
    "2026-07-28",
];

/// The id of the request behind each input.
const LAST: &str = "the-last";

pub(crate) struct Rpc {
    host: Arc<Tools>,
    schemas: Vec<Schema>,
}

/// Tools with nothing behind them.
struct Tools(Vec<ToolDef>);

impl ToolHost for Tools {
    fn tools(&self) -> &[ToolDef] {
        &self.0
    }

    fn instructions(&self) -> &'static str {
        "Use them."
    }

    fn note(&self) -> Option<&str> {
        Some("Read this.")
    }

    fn waits(&self, name: &str) -> bool {
        name == "wait"
    }

    fn call(&self, name: &str, arguments: &Map<String, Value>, call: &Call) -> ToolResult {
        match name {
            "echo" => ToolResult::Ok(json!({"given": arguments})),
            "wait" => {
                call.progress(1.0, "half");
                std::thread::sleep(Duration::from_millis(1));
                ToolResult::Ok(json!({"cancelled": call.cancelled()}))
            }
            _ => ToolResult::Error {
                message: "it did not work".to_owned(),
                hint: "try another".to_owned(),
            },
        }
    }

    fn not_given(&self, _: &str, _: ToolResult) {}
}

#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What an input asks for, as somebody reads it who knows JSON-RPC alone.
#[derive(Default)]
struct Asked {
    /// Requests: id, method, and whether exactly one answer is due: not in a batch, which may be refused whole.
    requests: Vec<(Value, String, bool)>,
    /// The ids of calls that may be under way at the end of input, and are then not answered any more.
    waiting: Vec<Value>,
    /// Lines and elements that are neither request nor notification, for which an error without an id may come.
    odd: usize,
    cancels: bool,
}

impl Asked {
    fn of(input: &[u8]) -> Self {
        let mut asked = Self::default();
        for line in input.split(|byte| *byte == b'\n') {
            match serde_json::from_slice::<Value>(line) {
                Ok(Value::Array(elements)) => {
                    asked.odd += elements.len() + 1;
                    for element in &elements {
                        asked.message(element, false);
                    }
                }
                Ok(message) => asked.message(&message, true),
                Err(_) => asked.odd += 1,
            }
        }
        asked
    }

    fn message(&mut self, message: &Value, alone: bool) {
        let id = message
            .get("id")
            .filter(|id| id.is_string() || id.is_i64() || id.is_u64());
        let method = message["method"].as_str();
        self.cancels |= method == Some("notifications/cancelled");
        if let Some(id) = id.filter(|_| message["params"]["name"] == "wait") {
            self.waiting.push(id.clone());
        }
        let request = id.is_some() && method.is_some();
        self.odd += usize::from(!request);
        // An error to a message that is no request carries its id, where it has one.
        if let Some(id) = id {
            let method = method.unwrap_or_default().to_owned();
            self.requests.push((id.clone(), method, alone && request));
        }
    }

    fn count(&self, id: &Value, strictly: bool) -> usize {
        let same =
            |(other, _, alone): &&(Value, String, bool)| other == id && (*alone || !strictly);
        self.requests.iter().filter(same).count()
    }
}

impl Rpc {
    pub(crate) fn new() -> Self {
        let tool = |name, properties: Value| ToolDef {
            name,
            title: "A Tool",
            description: "Does a thing.",
            input_schema: json!({"type": "object", "properties": properties, "additionalProperties": false}),
            output_schema: json!({"type": "object"}),
            annotations: Annotations {
                read_only: true,
                destructive: false,
                idempotent: true,
                open_world: false,
            },
        };
        let properties = json!({
            "text": {"type": "string", "maxLength": 20},
            "number": {"type": "integer", "minimum": 0, "maximum": 9, "default": 1},
            "list": {"type": "array", "items": {"type": "string"}},
            "any": {"type": "object"},
        });
        Self {
            host: Arc::new(Tools(vec![
                tool("echo", properties),
                tool("wait", json!({})),
                tool("fail", json!({})),
            ])),
            schemas: REVISIONS
                .iter()
                .map(|revision| Schema::of(revision))
                .collect(),
        }
    }

    fn serve(&self, input: &[u8]) -> (u8, Vec<u8>) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(input).unwrap();
        file.rewind().unwrap();
        let output = Output::default();
        let code = serve(self.host.clone(), file, output.clone(), "1.2.3");
        let bytes = output
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        (code, bytes)
    }

    /// Whether a message fits the schema of any revision: which one holds changes with the lines.
    fn fits(&self, message: &Value, asked: &Asked) -> Result<(), String> {
        let method = |id: &Value| {
            let mut known = asked.requests.iter().filter(|(other, _, _)| other == id);
            known.next().map(|(_, method, _)| method.clone())
        };
        if message.get("error").is_some() && message.get("id") == Some(&Value::Null) {
            return if message["error"]["code"].is_i64() && message["error"]["message"].is_string() {
                Ok(())
            } else {
                Err(format!("an error without a code: {message}"))
            };
        }
        // One id for several methods: any of them may have been answered.
        let mut why = String::new();
        let several = message.get("result").is_some() && asked.count(&message["id"], false) > 1;
        for schema in &self.schemas {
            let fits = if several {
                schema
                    .message(message, |_| Some("ping".to_owned()))
                    .or(Ok(()))
            } else {
                schema.message(message, method)
            };
            match fits {
                Ok(()) => return Ok(()),
                Err(error) => why = error,
            }
        }
        Err(why)
    }
}

fn request(id: &Value, method: &str, params: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()
}

fn modern(id: &Value, method: &str, mut params: Value) -> String {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    request(id, method, &params)
}

impl Target for Rpc {
    fn seeds(&self) -> Vec<Vec<u8>> {
        let mut seeds = Vec::new();
        for revision in &REVISIONS[..4] {
            let lines = [
                request(&json!(0), "initialize", &json!({"protocolVersion": revision, "capabilities": {}, "clientInfo": {"name": "f", "version": "1"}})),
                json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string(),
                request(&json!(1), "tools/list", &json!({})),
                request(&json!("two"), "tools/call", &json!({"name": "echo", "arguments": {"text": "x", "number": 2, "list": ["a"]}})),
                request(&json!(3), "tools/call", &json!({"name": "wait", "arguments": {}, "_meta": {"progressToken": "t"}})),
                json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 3}}).to_string(),
                request(&json!(4), "ping", &json!({})),
                request(&json!(5), "prompts/list", &json!({})),
                request(&json!(6), "prompts/get", &json!({"name": "conductor"})),
                format!("[{},{}]", request(&json!(7), "ping", &json!({})), request(&json!(8), "tools/list", &json!({}))),
            ];
            seeds.push(lines.join("\n").into_bytes());
            seeds.push(lines[..4].join("\r\n").into_bytes());
        }
        let lines = [
            modern(&json!(1), "server/discover", json!({})),
            modern(&json!(2), "tools/list", json!({})),
            modern(&json!(3), "tools/call", json!({"name": "fail"})),
            modern(
                &json!(4),
                "subscriptions/listen",
                json!({"notifications": {}}),
            ),
            modern(&json!(5), "prompts/list", json!({})),
        ];
        seeds.push(lines.join("\n").into_bytes());
        seeds.extend(lines.map(String::into_bytes));
        seeds
    }

    fn dictionary(&self) -> Vec<Vec<u8>> {
        [
            "\n",
            "\r\n",
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "null",
            "true",
            "-1",
            "1.5",
            "1e300",
            "18446744073709551616",
            "\"\"",
            "\"\\ud800\"",
            "\"id\":",
            "\"id\":null,",
            "\"id\":1,",
            "\"jsonrpc\":\"2.0\"",
            "\"method\":\"ping\"",
            "\"method\":\"tools/call\"",
            "\"method\":\"initialize\"",
            "\"method\":\"notifications/cancelled\"",
            "\"params\":",
            "\"params\":{}",
            "\"params\":[]",
            "\"name\":\"echo\"",
            "\"name\":\"wait\"",
            "\"arguments\":{}",
            "\"arguments\":[]",
            "\"text\":",
            "\"number\":99",
            "\"list\":[1]",
            "\"cursor\":\"x\"",
            "\"progressToken\":1.5",
            "\"_meta\":{}",
            "\"protocolVersion\":\"2025-03-26\"",
            "\"requestId\":3",
            "\"result\":{}",
            "\"error\":{}",
            "[[[[[[[[[[",
            "server/discover",
            "subscriptions/listen",
            "prompts/get",
            "resources/list",
            "\u{feff}",
            "\0",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
    }

    fn check(&mut self, input: &[u8], trail: &mut Trail) -> Result<(), String> {
        let mut lines = input.to_vec();
        lines.extend(format!("\n{}\n", request(&json!(LAST), "ping", &json!({}))).into_bytes());
        let asked = Asked::of(&lines);
        let (code, out) = self.serve(&lines);
        if code != 0 {
            return Err(format!("the server ends with {code}"));
        }
        let out = String::from_utf8(out)
            .map_err(|error| format!("the server prints no text: {error}"))?;
        let mut answers: Vec<Value> = Vec::new();
        let mut notified = 0;
        for line in out.lines() {
            let message =
                serde_json::from_str(line).map_err(|error| format!("no JSON ({error}): {line}"))?;
            let messages = match message {
                Value::Array(batch) if !batch.is_empty() => batch,
                Value::Array(_) => return Err("an empty batch is answered".to_owned()),
                one => vec![one],
            };
            for message in messages {
                self.fits(&message, &asked)?;
                trail.says(message["error"]["message"].as_str().unwrap_or_default());
                trail.passes((
                    message["error"]["code"].as_i64(),
                    message["result"]["isError"].as_bool(),
                    message["result"].as_object().map(Map::len),
                ));
                if message.get("method").is_some() {
                    notified += 1;
                } else {
                    answers.push(message);
                }
            }
        }
        trail.passes((answers.len().min(12), notified.min(3)));
        let without_id = answers
            .iter()
            .filter(|answer| answer["id"].is_null())
            .count();
        if without_id > asked.odd {
            return Err(format!(
                "{without_id} errors without an id to {} odd lines: {out}",
                asked.odd
            ));
        }
        for (id, _, _) in &asked.requests {
            let got = answers.iter().filter(|answer| answer["id"] == *id).count();
            let (most, mut least) = (asked.count(id, false), asked.count(id, true));
            // A call that was cancelled, and a subscription, get none.
            let silent = |(other, method, _): &&(Value, String, bool)| {
                other == id
                    && (asked.cancels && method == "tools/call" || method == "subscriptions/listen")
            };
            if asked.waiting.contains(id) {
                least = 0;
            }
            least -= asked.requests.iter().filter(silent).count().min(least);
            if got > most || got < least {
                return Err(format!(
                    "{got} answers to {most} requests with the id {id}: {out}"
                ));
            }
        }
        if answers
            .iter()
            .any(|answer| !answer["id"].is_null() && asked.count(&answer["id"], false) == 0)
        {
            return Err(format!("an answer to nothing: {out}"));
        }
        if !answers
            .iter()
            .any(|answer| answer["id"] == LAST && answer["result"].is_object())
        {
            return Err(format!("the next line is not served: {out}"));
        }
        Ok(())
    }
}
