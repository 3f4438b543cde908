//! `fake-model`: a scripted model for tests with real agents and no network. It speaks Anthropic Messages, `OpenAI` Responses,
//! `OpenAI` Chat Completions and Gemini; the path of a request tells which.
//!
//! ```text
//! fake-model [--port N] [--log FILE] [--text-dir DIR] [--parent PID]
//! ```
//!
//! It listens on 127.0.0.1 only (`--port 0`, the default, takes any free port) and prints `listening PORT`. The user's
//! messages are its script, one directive a line; tool calls are played one a model turn:
//!
//! ```text
//! BASH: COMMAND        calls its shell         SLOW: SECONDS       streams a tick each second
//! MCP: TOOL {json}     calls an MCP tool       SAY: TEXT           says it; what was said last ends the turn
//! TOOL: NAME {json}    calls any tool          FAIL: STATUS [N]    an HTTP error, N times
//! ```
//!
//! With none left it answers `done: <last result>`; with none at all `mock reply to: <the words>`. Messages of Agent
//! Conductor are understood however they arrive: inline, as a prompt hook's context, as a Stop hook's reason, over `read_inbox`.
//!
//! `--log` gets a JSON line for each request; `--text-dir` gets `NNNN.txt`, all that was heard in the turn, and `NNNN.json`,
//! the request. A question on the side, such as a title for the session, plays nothing: its line says `"side":true`.
//! `--parent` ends the server within a second or so of that process.

mod anthropic;
mod gemini;
mod http;
mod openai_chat;
mod openai_responses;
mod plan;
mod protocol;
mod script;
#[cfg(test)]
mod tests;
mod tools;
mod view;

use conductor::proc::{Identity, Process};
use conductor::{clock, fsx};
use http::{Incoming, Request};
use plan::{Failures, Plan, first};
use protocol::{Ask, Protocol};
use script::Source;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use view::View;

/// What was asked for on the command line.
#[derive(Debug, Default)]
struct Flags {
    port: u16,
    log: Option<PathBuf>,
    text_dir: Option<PathBuf>,
    parent: Option<i32>,
}

/// What the connections share.
#[derive(Default)]
struct Server {
    requests: AtomicUsize,
    log: Mutex<Option<File>>,
    text_dir: Option<PathBuf>,
    /// By session.
    failures: Mutex<HashMap<String, Failures>>,
}

fn main() -> ExitCode {
    match flags(std::env::args().skip(1)).and_then(|flags| serve(&flags)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "fake-model: {error}");
            ExitCode::FAILURE
        }
    }
}

fn flags(mut words: impl Iterator<Item = String>) -> io::Result<Flags> {
    let mut flags = Flags::default();
    while let Some(flag) = words.next() {
        let value = words
            .next()
            .ok_or_else(|| wrong(&format!("{flag}: a value is missing")))?;
        let number = || wrong(&format!("{flag}: {value:?} is not a number that fits"));
        match flag.as_str() {
            "--port" => flags.port = value.parse().map_err(|_| number())?,
            "--parent" => flags.parent = Some(value.parse().map_err(|_| number())?),
            "--log" => flags.log = Some(value.into()),
            "--text-dir" => flags.text_dir = Some(value.into()),
            _ => return Err(wrong(&format!("{flag}: unknown flag"))),
        }
    }
    Ok(flags)
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

fn serve(flags: &Flags) -> io::Result<()> {
    let parent = match flags.parent {
        Some(pid) => {
            let process = Process::of(pid).ok_or_else(|| wrong("--parent: no such process"))?;
            Some(process.identity)
        }
        None => None,
    };
    if let Some(dir) = &flags.text_dir {
        fsx::create_private_dir(dir)?;
    }
    let server = Arc::new(Server {
        log: Mutex::new(flags.log.as_deref().map(fsx::open_append).transpose()?),
        text_dir: flags.text_dir.clone(),
        ..Server::default()
    });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, flags.port))?;
    let mut out = io::stdout();
    writeln!(out, "listening {}", listener.local_addr()?.port())?;
    out.flush()?;
    let accepting = thread::spawn(move || accept(&listener, &server));
    while !accepting.is_finished() && parent.is_none_or(Identity::alive) {
        clock::sleep(Duration::from_secs(1), &clock::Deadline::never());
    }
    Ok(())
}

fn accept(listener: &TcpListener, server: &Arc<Server>) {
    for stream in listener.incoming().flatten() {
        let server = Arc::clone(server);
        thread::spawn(move || {
            if let Err(error) = converse(&stream, &server) {
                server.note(&json!({"at": clock::now(), "gone": error.to_string()}));
            }
        });
    }
}

/// Answers the requests of one connection.
fn converse(mut stream: &TcpStream, server: &Server) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        match http::read(&mut reader, &mut stream)? {
            Incoming::End => return Ok(()),
            Incoming::Refused(status) => {
                let document = anthropic::error(status, "fake-model does not take this request");
                return http::answer(&mut stream, status, &document, false);
            }
            Incoming::Request(request) => {
                if !server.answer(&mut stream, &request)? || request.close {
                    return Ok(());
                }
            }
        }
    }
}

impl Server {
    /// Answers one request; whether the connection can be used again.
    fn answer(&self, client: &mut impl Write, request: &Request) -> io::Result<bool> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let body: Option<Value> = serde_json::from_slice(&request.body).ok();
        let ask = protocol::route(&request.path).filter(|_| request.method == "POST");
        let (status, document) = match (ask, body) {
            (Some((protocol, Ask::Answer { stream })), Some(body)) => {
                return self.message(client, number, request, (protocol, stream), &body);
            }
            (Some((protocol, Ask::Count)), Some(_)) => {
                (200, protocol.count(request.body.len() / 4 + 1))
            }
            (Some((protocol, _)), None) => (400, protocol.error(400, "the body is not JSON")),
            (None, _) => match (request.method.as_str(), request.path.as_str()) {
                ("GET" | "HEAD", "/v1/models") => (200, anthropic::models()),
                ("HEAD", "/") => (200, Value::Null),
                _ => (404, anthropic::error(404, &request.path)),
            },
        };
        self.note(&json!({
            "at": clock::now(), "number": number, "method": request.method, "path": request.path, "status": status,
        }));
        http::answer(client, status, &document, request.method == "HEAD")?;
        Ok(true)
    }

    fn message(
        &self,
        client: &mut impl Write,
        number: usize,
        request: &Request,
        (protocol, stream): (Protocol, Option<bool>),
        body: &Value,
    ) -> io::Result<bool> {
        let mut view = protocol.read(body);
        view.stream = stream.unwrap_or(view.stream);
        if view.model.is_empty() {
            view.model = protocol::model(&request.path).into();
        }
        if view.session.is_empty() {
            view.session.clone_from(&request.session);
        }
        let plan = {
            let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            let failures = failures.entry(view.session.clone()).or_default();
            view.decide(failures)
        };
        if let Some(dir) = &self.text_dir {
            write_texts(dir, number, &view, &request.body)?;
        }
        let mut line = entry(number, request, &view, &plan);
        line["protocol"] = json!(protocol.name());
        self.note(&line);
        let answered = protocol.respond(client, number, &view, &plan);
        answered.map_err(|error| io::Error::new(error.kind(), format!("request {number}: {error}")))
    }

    /// Writes one line of the log. A full disk must not change what the model answers.
    fn note(&self, entry: &Value) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(log) = log.as_mut() {
            let _ = log.write_all(format!("{entry}\n").as_bytes());
        }
    }
}

fn entry(number: usize, request: &Request, view: &View, plan: &Plan) -> Value {
    let text = view.text(Source::User);
    let context = view.text(Source::Context);
    json!({
        "at": clock::now(), "number": number, "method": request.method, "path": request.path, "status": plan.fail.unwrap_or(200),
        "model": view.model, "session": view.session, "tools": view.offered.len(), "deferred": view.mentioned.len(),
        "text": first(&text, 2000), "text_chars": text.chars().count(), "context_chars": context.chars().count(),
        "calls": view.calls.len(), "searches": view.searches, "side": view.side.is_some(),
        "answer": {
            "slow_ms": u64::try_from(plan.slow.as_millis()).unwrap_or(u64::MAX), "text": plan.text,
            "tool": plan.call.as_ref().map(|call| &call.name), "input": plan.call.as_ref().map(|call| &call.input),
        },
    })
}

fn write_texts(dir: &Path, number: usize, view: &View, request: &[u8]) -> io::Result<()> {
    use std::fmt::Write as _;
    let mut text = String::new();
    for heard in &view.heard {
        let source = match heard.source {
            Source::User => "user",
            Source::Context => "context",
        };
        let _ = write!(
            text,
            "--- {source}, message {}\n{}\n",
            heard.message, heard.text
        );
    }
    fsx::write_atomic(&dir.join(format!("{number:04}.txt")), text.as_bytes())?;
    fsx::write_atomic(&dir.join(format!("{number:04}.json")), request)
}
