//! The loop: reads a line, answers it or starts a call, until the client is gone.
//!
//! One thread reads and answers; only a call that may wait gets a thread, for as long as it takes. Between lines the process
//! sleeps in one `poll` without a timeout.

use super::arguments;
use super::calls::{Answer, Flight, MAX_WAITING, Outlet, Refused};
use super::eras::{Era, no_revision, stands_alone, subscription_accepted};
use super::lines::{Line, Lines, MAX_LINE};
use super::protocol::{self, Frame, Id, MAX_BATCH, Message, RpcError, notification, parse, short};
use super::tool::{Call, Progress, ToolHost, ToolResult};
use serde_json::{Map, Value};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};

/// Serves `host` to the client behind `input` and `output` until the client is gone, and returns the exit code: 0, or 1 when
/// input cannot be read.
///
/// `input` must not be buffered in front of its descriptor (standard input is not, as long as nobody read from it before).
/// Calls that are still under way at the end are told so and get a moment; their results go to [`ToolHost::not_given`].
pub fn serve(
    host: Arc<dyn ToolHost>,
    input: impl Read + AsFd,
    output: impl Write + Send + 'static,
    server_version: &str,
) -> u8 {
    let Ok((wake, waker)) = UnixStream::pair() else {
        return 1;
    };
    let outlet = Arc::new(Outlet::new(host.clone(), output, waker));
    let mut server = Server {
        host,
        outlet: outlet.clone(),
        version: server_version.into(),
        legacy: None,
    };
    let mut lines = Lines::new(input);
    let code = loop {
        if outlet.closed() {
            break 0;
        }
        match lines.next(wake.as_fd()) {
            Ok(Some(line)) => server.line(line),
            Ok(None) => break 0,
            Err(_) => break 1,
        }
    };
    outlet.end();
    code
}

struct Server {
    host: Arc<dyn ToolHost>,
    outlet: Arc<Outlet>,
    version: Arc<str>,
    /// The revision that `initialize` settled on.
    legacy: Option<Era>,
}

/// Where the answer to one message goes.
#[derive(Clone)]
enum Sink {
    /// A line of its own.
    Line,
    /// The common line of a batch.
    Batch(Arc<Mutex<Batch>>),
}

/// The answers to a batch, until all are there.
struct Batch {
    missing: usize,
    answers: Vec<Answer>,
}

impl Sink {
    /// Takes the answer to one message, `None` when it gets none.
    fn done(&self, outlet: &Outlet, answer: Option<Answer>) {
        match self {
            Self::Line => outlet.deliver(answer.into_iter().collect(), false),
            Self::Batch(batch) => {
                let mut batch = batch.lock().unwrap_or_else(PoisonError::into_inner);
                batch.answers.extend(answer);
                batch.missing -= 1;
                if batch.missing == 0 {
                    let answers = std::mem::take(&mut batch.answers);
                    drop(batch);
                    outlet.deliver(answers, true);
                }
            }
        }
    }
}

impl Server {
    fn line(&mut self, line: Line) {
        let frame = match line {
            Line::Bytes(bytes) => parse(&bytes),
            Line::TooLong => Frame::One(Message::Invalid {
                id: None,
                error: RpcError::invalid_request(format!("a line holds at most {MAX_LINE} bytes")),
            }),
        };
        match frame {
            Frame::Blank => {}
            Frame::One(message) => self.message(message, &Sink::Line),
            Frame::Batch(elements) => self.batch(elements),
        }
    }

    fn batch(&mut self, elements: Vec<Value>) {
        let fault = if !self.legacy.is_some_and(Era::has_batches) {
            Some("batches exist in 2025-03-26 only: send one message a line".to_owned())
        } else if elements.is_empty() {
            Some("the batch is empty".to_owned())
        } else if elements.len() > MAX_BATCH {
            Some(format!("a batch holds at most {MAX_BATCH} messages"))
        } else {
            None
        };
        if let Some(fault) = fault {
            let error = self.fault(None, &RpcError::invalid_request(fault));
            return self.outlet.deliver(vec![error.into()], false);
        }
        let sink = Sink::Batch(Arc::new(Mutex::new(Batch {
            missing: elements.len(),
            answers: Vec::new(),
        })));
        for element in elements {
            self.message(protocol::message(element), &sink);
        }
    }

    fn message(&mut self, message: Message, sink: &Sink) {
        match message {
            Message::Request { id, method, params } => self.request(&id, &method, params, sink),
            Message::Notification { method, params } => {
                if method == "notifications/cancelled"
                    && let Some(id) = params.get("requestId").and_then(Id::of)
                {
                    self.outlet.cancel(&id);
                }
                sink.done(&self.outlet, None);
            }
            Message::Response => sink.done(&self.outlet, None),
            Message::Invalid { id, error } => {
                sink.done(&self.outlet, Some(self.fault(id.as_ref(), &error).into()));
            }
        }
    }

    /// The message of an error. The id of a request that could not be read is null in JSON-RPC; the newer schemas want none instead.
    fn fault(&self, id: Option<&Id>, error: &RpcError) -> Value {
        let mut message = error.message(id);
        let none = self.legacy.is_none_or(Era::leaves_out_ids);
        if let (None, true, Some(fields)) = (id, none, message.as_object_mut()) {
            fields.shift_remove("id");
        }
        message
    }

    fn request(&mut self, id: &Id, method: &str, params: Map<String, Value>, sink: &Sink) {
        let result = if method == "initialize" {
            self.initialize(&params, sink).map(Some)
        } else {
            self.era(method, &params, sink)
                .and_then(|era| self.dispatch(id, method, params, era, sink))
        };
        match result {
            Ok(Some(result)) => {
                sink.done(&self.outlet, Some(protocol::result(id, &result).into()));
            }
            Ok(None) => {}
            Err(error) => sink.done(&self.outlet, Some(error.message(Some(id)).into())),
        }
    }

    fn initialize(
        &mut self,
        params: &Map<String, Value>,
        sink: &Sink,
    ) -> Result<Map<String, Value>, RpcError> {
        if matches!(sink, Sink::Batch(_)) {
            return Err(RpcError::invalid_request(
                "initialize cannot be part of a batch",
            ));
        }
        let Some(requested) = params.get("protocolVersion").and_then(Value::as_str) else {
            return Err(RpcError::invalid_params("protocolVersion must be a string"));
        };
        let era = Era::negotiate(requested);
        self.legacy = Some(era);
        Ok(era.initialize(&self.version, self.host.instructions(), self.host.note()))
    }

    /// In which revision a request is served.
    fn era(&self, method: &str, params: &Map<String, Value>, sink: &Sink) -> Result<Era, RpcError> {
        if stands_alone(params)? {
            if matches!(sink, Sink::Batch(_)) {
                return Err(RpcError::invalid_request(
                    "a request with a revision of its own cannot be part of a batch",
                ));
            }
            return Ok(Era::V2026_07_28);
        }
        match (self.legacy, method) {
            // It exists in one revision, whatever the client speaks so far.
            (_, "server/discover") => Ok(Era::V2026_07_28),
            (None, "tools/list" | "tools/call") => Err(no_revision()),
            (Some(era), _) => Ok(era),
            (None, _) => Ok(Era::V2025_11_25),
        }
    }

    /// Serves one request; `None` when its answer comes later, or never.
    fn dispatch(
        &self,
        id: &Id,
        method: &str,
        params: Map<String, Value>,
        era: Era,
        sink: &Sink,
    ) -> Result<Option<Map<String, Value>>, RpcError> {
        let version = &*self.version;
        match method {
            "tools/call" => self.call(id, params, era, sink),
            "tools/list" if params.get("cursor").is_some_and(|c| !c.is_null()) => Err(
                RpcError::invalid_params("unknown cursor: the list has one page"),
            ),
            "tools/list" => Ok(Some(era.tool_list(self.host.tools(), version))),
            "prompts/list" if let Some(note) = self.host.note() => {
                Ok(Some(era.prompt_list(note, version)))
            }
            "prompts/get" if let Some(note) = self.host.note() => {
                Ok(Some(era.prompt(note, version)))
            }
            "ping" if !era.is_modern() => Ok(Some(era.empty(version))),
            "server/discover" if era.is_modern() => Ok(Some(era.discover(
                version,
                self.host.instructions(),
                self.host.note(),
            ))),
            "subscriptions/listen" if era.is_modern() => {
                let accepted = notification(
                    "notifications/subscriptions/acknowledged",
                    &subscription_accepted(id),
                );
                sink.done(&self.outlet, Some(accepted.into()));
                Ok(None)
            }
            _ => Err(RpcError::unknown_method(method)),
        }
    }

    fn call(
        &self,
        id: &Id,
        mut params: Map<String, Value>,
        era: Era,
        sink: &Sink,
    ) -> Result<Option<Map<String, Value>>, RpcError> {
        let Some(name) = params.get("name").and_then(Value::as_str) else {
            return Err(RpcError::invalid_params("name must be a string"));
        };
        let Some(tool) = self.host.tools().iter().find(|tool| tool.name == name) else {
            return Err(RpcError::invalid_params(format!(
                "unknown tool: {}",
                short(name)
            )));
        };
        let token = params
            .get("_meta")
            .and_then(|meta| meta.get("progressToken"))
            .and_then(Id::of);
        let arguments = match params.remove("arguments") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(arguments)) => arguments,
            Some(_) => return Err(RpcError::invalid_params("arguments must be an object")),
        };
        let failed = |message: String, hint: String| {
            let result = ToolResult::Error { message, hint };
            Ok(Some(era.tool_result(&result, &self.version)))
        };
        let arguments = match arguments::check(&tool.input_schema, arguments) {
            Ok(arguments) => arguments,
            Err(problems) => return failed(problems.join("\n"), arguments::taken(tool)),
        };
        let waits = self.host.waits(tool.name);
        let flight = match self.outlet.begin(id, tool.name, waits) {
            Ok(flight) => flight,
            Err(Refused::IdInUse) => {
                return Err(RpcError::invalid_request(
                    "a call under this id is still under way",
                ));
            }
            Err(Refused::TooMany) => {
                return failed(
                    format!(
                        "{MAX_WAITING} calls of this client are waiting already, which is the limit"
                    ),
                    "Wait for one of them to be answered, or cancel one, then try again.".into(),
                );
            }
        };
        let progress = token.map(|token| Progress::new(self.outlet.clone(), token, era));
        let task = Task {
            host: self.host.clone(),
            outlet: self.outlet.clone(),
            version: self.version.clone(),
            id: id.clone(),
            era,
            name: tool.name,
            arguments,
            call: Call::new(flight.clone(), progress),
            flight: flight.clone(),
            sink: sink.clone(),
        };
        if !waits {
            task.run();
        } else if let Err(error) = std::thread::Builder::new()
            .name(tool.name.to_owned())
            .spawn(move || task.run())
        {
            self.outlet.abandon(&flight);
            return failed(
                format!("cannot start a thread for this call: {error}"),
                "Try again once other calls have been answered.".into(),
            );
        }
        Ok(None)
    }
}

/// One call of a tool, from its checked arguments to its answer.
struct Task {
    host: Arc<dyn ToolHost>,
    outlet: Arc<Outlet>,
    version: Arc<str>,
    id: Id,
    era: Era,
    name: &'static str,
    arguments: Map<String, Value>,
    call: Call,
    flight: Arc<Flight>,
    sink: Sink,
}

impl Task {
    fn run(self) {
        let result = self.host.call(self.name, &self.arguments, &self.call);
        let answer = Answer {
            message: protocol::result(&self.id, &self.era.tool_result(&result, &self.version)),
            flight: Some(self.flight.clone()),
        };
        self.flight.returned(result);
        self.sink.done(&self.outlet, Some(answer));
    }
}
