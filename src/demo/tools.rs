//! Tools: `Bash` and those of the MCP server, each behind the gate.

use super::answers::{self, Gate};
use super::dialog::Verdict;
use super::host::Host;
use super::job::{self, End, Job, Place};
use super::mcp_client::{Client, result_text};
use crate::clock::Deadline;
use crate::fsx;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// How long an MCP server may take to greet.
const GREETING: Duration = Duration::from_secs(30);

/// Why a tool did not do its work.
enum Refusal {
    /// The gate or the person said no.
    Denied(String),
    /// The turn or the program ends.
    Cut,
}

/// A tool call as hooks see it.
struct Call {
    name: String,
    input: Value,
    id: String,
}

impl Call {
    fn new(name: &str, input: Value) -> Self {
        let id = fsx::random_bytes::<12>().map_or_else(|_| "0".into(), |bytes| fsx::hex(&bytes));
        Self {
            name: name.to_owned(),
            input,
            id: format!("toolu_{id}"),
        }
    }

    fn fields(&self) -> Value {
        json!({"tool_name": self.name, "tool_input": self.input, "tool_use_id": self.id})
    }
}

impl Host {
    /// Runs a command through the gate and says what it printed.
    pub(super) fn run_command(&mut self, command: &str) {
        let call = Call::new("Bash", json!({"command": command}));
        self.screen.say(&format!("$ {command}"));
        if !self.passes(&call) {
            return;
        }
        self.note("tool", "Bash", command);
        let outcome = match Job::start_merged(job::shell(command, Place::Group)) {
            Ok(job) => self.wait_for(job),
            Err(error) => return self.fail(&call, &format!("the shell did not start: {error}")),
        };
        let code = match outcome.end {
            End::Code(code) => code,
            End::Signal(signal) => 128 + signal,
            End::TimedOut | End::Cut | End::NotStarted => return,
        };
        let output = outcome.stdout.trim_end_matches('\n');
        if !output.is_empty() {
            self.say(output);
        }
        self.say(&format!("exit {code}"));
        let response = json!({"stdout": outcome.stdout, "stderr": "", "exit_code": code});
        self.done(&call, &response);
    }

    /// Calls a tool of the MCP server and says what it answered.
    pub(super) fn call_mcp(&mut self, tool: &str, arguments: &Map<String, Value>) {
        let call = Call::new(
            &format!("mcp__conductor__{tool}"),
            Value::Object(arguments.clone()),
        );
        if !self.passes(&call) {
            return;
        }
        self.note("tool", &call.name, &call.input.to_string());
        match self.ask_server(tool, arguments) {
            None => {}
            Some(Ok(result)) => {
                let (text, failed) = result_text(&result);
                if failed {
                    self.fail(&call, &text);
                } else {
                    self.say(&text);
                    self.done(&call, &result);
                }
            }
            Some(Err(error)) => self.fail(&call, &error),
        }
    }

    fn done(&mut self, call: &Call, response: &Value) {
        let mut fields = call.fields();
        fields["tool_response"] = response.clone();
        self.fire("PostToolUse", &call.name, &fields);
    }

    fn fail(&mut self, call: &Call, error: &str) {
        self.say(&format!("error: {error}"));
        self.failed(call, error);
    }

    fn failed(&mut self, call: &Call, error: &str) {
        let mut fields = call.fields();
        fields["error"] = json!(error);
        self.fire("PostToolUseFailure", &call.name, &fields);
    }

    /// Asks the gate; a refusal is said and reported here.
    fn passes(&mut self, call: &Call) -> bool {
        match self.gate(call) {
            Ok(()) => true,
            Err(Refusal::Cut) => false,
            Err(Refusal::Denied(reason)) => {
                self.say(&format!("denied: {reason}"));
                self.failed(call, &reason);
                false
            }
        }
    }

    fn gate(&mut self, call: &Call) -> Result<(), Refusal> {
        let outcomes = self.fire("PreToolUse", &call.name, &call.fields());
        if self.stopped() {
            return Err(Refusal::Cut);
        }
        match answers::gate(&outcomes, self.fail_open) {
            Gate::Run => Ok(()),
            Gate::Deny(reason) => Err(Refusal::Denied(reason)),
            Gate::Ask(reason) => {
                let input = call.input.to_string();
                let what = call.input["command"].as_str().unwrap_or(&input);
                let text = if reason.is_empty() {
                    format!("{}: {what}", call.name)
                } else {
                    format!("{}: {what} ({reason})", call.name)
                };
                match self.ask(&text, (&call.name, &call.input)) {
                    Verdict::Yes if !self.stopped() => Ok(()),
                    Verdict::Yes | Verdict::Cut => Err(Refusal::Cut),
                    Verdict::No(reason) => Err(Refusal::Denied(reason)),
                }
            }
        }
    }

    /// Starts the MCP server, once more when it has ended; says why that was not possible.
    pub(super) fn connect(&mut self) -> Result<(), String> {
        if self
            .mcp
            .as_ref()
            .is_some_and(|client| client.fault().is_none())
        {
            return Ok(());
        }
        let server = self.server.as_ref().ok_or("there is no MCP server")?;
        let client =
            Client::start(server).map_err(|e| format!("the MCP server did not start: {e}"))?;
        if let Some(old) = self.mcp.replace(client) {
            self.background.push(old.close());
        }
        Ok(())
    }

    /// One call and its answer; `None` when nobody waits for it any more.
    fn ask_server(
        &mut self,
        tool: &str,
        arguments: &Map<String, Value>,
    ) -> Option<Result<Value, String>> {
        if let Err(error) = self.connect() {
            return Some(Err(error));
        }
        let greeting = Deadline::after(GREETING);
        let id = self.mcp.as_mut()?.call(tool, arguments);
        loop {
            let stopped = self.stopped();
            let client = self.mcp.as_mut()?;
            client.service();
            if let Some(reply) = client.reply(id) {
                return Some(reply);
            }
            if let Some(fault) = client.fault() {
                return Some(Err(fault.to_owned()));
            }
            if stopped {
                client.cancel(id);
                return None;
            }
            let deadline = if client.is_ready() {
                Deadline::never()
            } else {
                greeting
            };
            if deadline.passed() {
                client.cancel(id);
                return Some(Err("the MCP server does not answer".into()));
            }
            self.pump(&[], deadline);
        }
    }
}
