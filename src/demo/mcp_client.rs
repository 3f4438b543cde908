//! An MCP client over standard input and output, as small as it can be: it starts one server and calls tools.

use super::job::{self, Job};
use crate::{fsx, paths};
use nix::poll::PollFlags;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

/// The newest revision that the client speaks.
const PROTOCOL: &str = "2025-11-25";
/// The largest configuration file.
const LONGEST_FILE: usize = 1 << 20;
/// Request id of the handshake.
const HANDSHAKE: i64 = 0;

/// How a server is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    command: String,
    args: Vec<String>,
    env: BTreeMap<String, String>,
}

impl Server {
    /// The server `conductor` of a configuration file, else its first; `None` when it names none.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, String> {
        fsx::read_file_limited(path, LONGEST_FILE)
            .map_err(|e| e.to_string())
            .and_then(|bytes| Self::parse(&bytes))
            .map_err(|e| format!("read MCP configuration {}: {e}", path.display()))
    }

    fn parse(bytes: &[u8]) -> Result<Option<Self>, String> {
        let file: Value = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        let servers = file["mcpServers"]
            .as_object()
            .ok_or("there is no object mcpServers in it")?;
        let Some(server) = servers.get("conductor").or_else(|| servers.values().next()) else {
            return Ok(None);
        };
        let command = server["command"]
            .as_str()
            .ok_or("a server has no command")?;
        let args = server["args"].as_array().into_iter().flatten();
        let env = server["env"].as_object().into_iter().flatten();
        Ok(Some(Self {
            command: expand(command),
            args: args.filter_map(Value::as_str).map(expand).collect(),
            env: env
                .filter_map(|(name, value)| Some((name.clone(), expand(value.as_str()?))))
                .collect(),
        }))
    }
}

/// Fills `${NAME}` from the environment.
fn expand(text: &str) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, tail)) = after.split_once('}') else {
            break;
        };
        filled.push_str(before);
        filled.push_str(&paths::env(name).unwrap_or_default());
        rest = tail;
    }
    filled + rest
}

/// A connection to a running server.
#[derive(Debug)]
pub(super) struct Client {
    job: Job,
    partial: Vec<u8>,
    last: i64,
    ready: bool,
    waiting: Vec<Value>,
    open: Vec<i64>,
    replies: Vec<(i64, Result<Value, String>)>,
    fault: Option<String>,
}

impl Client {
    /// Starts the server and greets it; the answer is read as it comes.
    pub(super) fn start(server: &Server) -> io::Result<Self> {
        let mut command = job::server(&server.command, &server.args);
        command.envs(&server.env);
        let mut client = Self {
            job: Job::start_server(command)?,
            partial: Vec::new(),
            last: HANDSHAKE,
            ready: false,
            waiting: Vec::new(),
            open: vec![HANDSHAKE],
            replies: Vec::new(),
            fault: None,
        };
        client.send(
            &json!({"jsonrpc": "2.0", "id": HANDSHAKE, "method": "initialize", "params": {
            "protocolVersion": PROTOCOL, "capabilities": {},
            "clientInfo": {"name": "conductor-demo", "version": env!("CARGO_PKG_VERSION")}}}),
        );
        client.service();
        Ok(client)
    }

    /// The descriptors it waits for.
    pub(super) fn wants(&self) -> Vec<(BorrowedFd<'_>, PollFlags)> {
        self.job.wants()
    }

    /// Whether the handshake is over.
    pub(super) const fn is_ready(&self) -> bool {
        self.ready
    }

    /// Why the connection cannot be used any more.
    pub(super) fn fault(&self) -> Option<&str> {
        self.fault
            .as_deref()
            .or_else(|| self.job.is_silent().then_some("the MCP server ended"))
    }

    /// Does what can be done without waiting. It ends with a look that found nothing: what is read and not taken wakes nobody.
    pub(super) fn service(&mut self) {
        loop {
            self.job.service();
            let output = self.job.take_output();
            if output.is_empty() {
                return;
            }
            self.partial.extend(output);
            self.take_lines();
        }
    }

    fn take_lines(&mut self) {
        let mut from = 0;
        let bytes = std::mem::take(&mut self.partial);
        while let Some(length) = bytes[from..].iter().position(|byte| *byte == b'\n') {
            // Servers may print other things by mistake; they are no answers.
            if let Ok(message) = serde_json::from_slice(&bytes[from..from + length]) {
                self.take(message);
            }
            from += length + 1;
        }
        self.partial = bytes[from..].to_vec();
    }

    fn take(&mut self, mut message: Value) {
        if message.get("method").is_some() {
            if let Some(id) = message.get("id") {
                let mut answer = json!({"jsonrpc": "2.0", "id": id});
                if message["method"] == "ping" {
                    answer["result"] = json!({});
                } else {
                    answer["error"] = json!({"code": -32601, "message": "method not found"});
                }
                self.send(&answer);
            }
            return;
        }
        let Some(id) = message["id"].as_i64().filter(|id| self.open.contains(id)) else {
            return;
        };
        self.open.retain(|open| *open != id);
        let reply = message
            .get("error")
            .filter(|error| !error.is_null())
            .map(|error| match error["message"].as_str() {
                Some(text) => text.to_owned(),
                None => error.to_string(),
            })
            .map_or_else(|| Ok(message["result"].take()), Err);
        if id != HANDSHAKE {
            self.replies.push((id, reply));
            return;
        }
        match reply {
            Ok(_) => {
                self.ready = true;
                self.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
                for request in std::mem::take(&mut self.waiting) {
                    self.send(&request);
                }
            }
            Err(error) => self.fault = Some(format!("the MCP server refused: {error}")),
        }
    }

    fn send(&mut self, message: &Value) {
        self.job.send(format!("{message}\n").as_bytes());
    }

    /// Calls a tool; the answer comes by [`Client::reply`] under the id that is returned.
    pub(super) fn call(&mut self, tool: &str, arguments: &Map<String, Value>) -> i64 {
        self.last += 1;
        let id = self.last;
        self.open.push(id);
        let request = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {
            "name": tool, "arguments": arguments, "_meta": {"progressToken": id}}});
        if self.ready {
            self.send(&request);
        } else {
            self.waiting.push(request);
        }
        id
    }

    /// The answer to a call, once.
    pub(super) fn reply(&mut self, id: i64) -> Option<Result<Value, String>> {
        let at = self.replies.iter().position(|(reply, _)| *reply == id)?;
        Some(self.replies.swap_remove(at).1)
    }

    /// Says that nobody waits for a call any more.
    pub(super) fn cancel(&mut self, id: i64) {
        self.open.retain(|open| *open != id);
        if self.ready {
            self.send(
                &json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {
                "requestId": id, "reason": "interrupted by the person"}}),
            );
            self.service();
        } else {
            self.waiting.retain(|request| request["id"] != id);
        }
    }

    /// Closes the server's input, which ends it; says the child that is left.
    pub(super) fn close(mut self) -> Job {
        self.job.close_stdin();
        self.job
    }
}

/// The text of a tool's result, and whether it is an error.
pub(super) fn result_text(result: &Value) -> (String, bool) {
    let texts: Vec<&str> = result["content"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|content| content["text"].as_str())
        .collect();
    (texts.join("\n"), result["isError"] == true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    /// A server in shell: it answers the handshake, then each call with `script` (which may use `$line`).
    fn client(script: &str) -> Client {
        let text = format!(
            r#"read line; echo "$line" | grep -q '"protocolVersion":"2025-11-25"' || exit 1
            echo noise; echo '{{"jsonrpc":"2.0","id":"s1","method":"ping"}}'
            echo '{{"jsonrpc":"2.0","id":0,"result":{{"protocolVersion":"2025-11-25"}}}}'
            while read line; do case "$line" in *tools/call*) {script};; esac; done"#
        );
        Client::start(&Server {
            command: "sh".into(),
            args: vec!["-c".into(), text],
            env: BTreeMap::new(),
        })
        .unwrap()
    }

    fn wait(client: &mut Client, id: i64) -> Result<Value, String> {
        let start = Instant::now();
        loop {
            client.service();
            if let Some(reply) = client.reply(id) {
                return reply;
            }
            if let Some(fault) = client.fault() {
                return Err(fault.to_owned());
            }
            assert!(start.elapsed() < Duration::from_secs(10), "no answer");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_tool_is_called_and_answers() {
        let mut client = client(
            r#"echo '{"jsonrpc":"2.0","method":"notifications/progress","params":{}}'
            echo '{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"a"},{"type":"image"},{"type":"text","text":"b"}]}}'"#,
        );
        let id = client.call("t", &Map::new());
        assert_eq!(
            result_text(&wait(&mut client, id).unwrap()),
            ("a\nb".into(), false)
        );
        let mut job = client.close();
        let start = Instant::now();
        while !job.service() {
            assert!(
                start.elapsed() < Duration::from_secs(10),
                "closing the input did not end it"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn errors_and_the_end_are_told() {
        let mut bad =
            client(r#"echo '{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"bad"}}'"#);
        let id = bad.call("t", &Map::new());
        assert_eq!(wait(&mut bad, id), Err("bad".into()));
        let mut gone = client("exit 1");
        let id = gone.call("t", &Map::new());
        assert_eq!(wait(&mut gone, id), Err("the MCP server ended".into()));
    }

    #[test]
    fn the_configuration_names_a_server() {
        let server = Server::parse(
            br#"{"mcpServers":{"other":{"command":"o"},"conductor":{"command":"c","args":["mcp"],"env":{"A":"b"}}}}"#,
        )
        .unwrap()
        .unwrap();
        assert_eq!(
            (server.command.as_str(), server.args.len(), server.env.len()),
            ("c", 1, 1)
        );
        assert_eq!(Server::parse(br#"{"mcpServers":{}}"#), Ok(None));
        assert!(Server::parse(b"{}").is_err());
        assert_eq!(expand("a${CONDUCTOR_DEMO_NOT_SET}b${"), "ab${");
    }
}
