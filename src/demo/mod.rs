//! The demo agent: a real program in a pane that behaves like Claude Code towards its host.
//!
//! It draws a prompt, reads bracketed paste and typed keys, fires hooks, is gated, and is an MCP client. What its prompts can ask
//! for stands in `script`; `host` is its one event loop; `keys` says what keys mean; `turn` plays a prompt.

mod answers;
mod args;
mod dialog;
mod draft;
mod hooks;
mod host;
mod job;
mod keys;
mod log;
mod mcp_client;
mod screen;
mod script;
mod settings;
mod tools;
mod turn;

use crate::clock::Deadline;
use crate::error::{Failure, Kind, Result};
use crate::{fsx, paths, term};
use args::Options;
use host::{Ending, Host, Mode};
use log::Log;
use mcp_client::Server;
use screen::Screen;
use serde_json::json;
use settings::Settings;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::Duration;

/// The name under which the binary is the demo agent.
pub const NAME: &str = "conductor-demo";

/// The largest persona file.
const LONGEST_PERSONA: usize = 4 << 20;
/// How long the MCP server and what was asked to end may take at the end.
const FAREWELL: Duration = Duration::from_secs(2);

/// Runs the demo agent with `argv`, its first word included; the result is its exit code.
pub fn run(argv: Vec<OsString>) -> u8 {
    let words: Vec<OsString> = argv.into_iter().skip(1).collect();
    match words.first().and_then(|arg| arg.to_str()) {
        Some(job::UNMASK) => return job::exec_unmasked(&words[1..], false),
        Some(job::UNMASK_SESSION) => return job::exec_unmasked(&words[1..], true),
        _ => {}
    }
    let started = args::parse(&words).map_err(Failure::usage).and_then(start);
    match started {
        Ok(mut host) => {
            let code = converse(&mut host);
            term::restore();
            code
        }
        Err(failure) => {
            let _ = writeln!(io::stderr(), "{NAME}: {failure}");
            failure.kind().exit_code()
        }
    }
}

/// Makes the agent from its options: files are read, the terminal is set.
fn start(options: Options) -> Result<Host> {
    let settings = options
        .settings
        .as_deref()
        .map_or(Ok(Settings::default()), Settings::read)
        .map_err(Failure::failed)?;
    let server = options
        .mcp_config
        .as_deref()
        .map_or(Ok(None), Server::read)
        .map_err(Failure::failed)?;
    if let Some(persona) = &options.persona {
        fsx::read_file_limited(persona, LONGEST_PERSONA)
            .map_err(|e| Failure::failed(format!("read persona {}: {e}", persona.display())))?;
    }
    let session = match options.resume.as_ref().or(options.session_id.as_ref()) {
        Some(id) => id.clone(),
        None => fsx::uuid().map_err(|e| Failure::failed(format!("make a session id: {e}")))?,
    };
    let cwd = paths::working_directory()?.display().to_string();
    let failed = |e: io::Error| Failure::new(Kind::Failed, format!("use standard input: {e}"));
    let stdin = File::from(io::stdin().as_fd().try_clone_to_owned().map_err(failed)?);
    let terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    let mut screen = Screen::new(Box::new(io::stdout()), terminal);
    if terminal {
        screen.measure();
        term::raw_mode().map_err(|e| failed(e.into()))?;
    }
    let mut host = Host::new(options, stdin, screen, terminal);
    host.settings = settings;
    host.server = server;
    host.session = session;
    host.cwd = cwd;
    host.log = Log::from_env();
    host.fail_open = paths::env(paths::name::DEMO_FAIL_OPEN).as_deref() == Some("1");
    Ok(host)
}

/// From the first hook to the last; the result is the exit code.
fn converse(host: &mut Host) -> u8 {
    let source = if host.options.resume.is_some() {
        "resume"
    } else {
        "startup"
    };
    let model = host.options.model.clone();
    host.screen.say(&format!(
        "Agent Conductor demo agent {} · session {} · /exit ends it",
        env!("CARGO_PKG_VERSION"),
        host.session
    ));
    let session = host.session.clone();
    host.note("start", source, &session);
    // Errors of the MCP server are told when a tool is called.
    let _ = host.connect();
    host.enter(Mode::Starting);
    host.fire(
        "SessionStart",
        source,
        &json!({"source": source, "model": model.as_deref().unwrap_or("demo")}),
    );
    if let Some(prompt) = host.options.prompt.take() {
        host.note("prompt", "argument", &prompt);
        host.queue.push_back(draft::Submission::argument(&prompt));
    }
    let ending = loop {
        if let Some(ending) = host.ending {
            break ending;
        }
        if let Some(submission) = host.queue.pop_front() {
            host.turn(submission);
            continue;
        }
        host.enter(Mode::Idle);
        if host.deaf() {
            // The last line of a file may have no end.
            host.submit();
            if host.queue.is_empty() {
                break Ending::BY_PERSON;
            }
            continue;
        }
        host.pump(&[], Deadline::never());
    };
    finish(host, ending)
}

/// Tells everybody, and lets the children go.
fn finish(host: &mut Host, ending: Ending) -> u8 {
    host.ending = Some(ending);
    host.enter(Mode::Ending);
    host.note("exit", ending.reason, &ending.code.to_string());
    host.fire(
        "SessionEnd",
        ending.reason,
        &json!({"reason": ending.reason, "exit_code": ending.code}),
    );
    if let Some(mut job) = host.mcp.take().map(mcp_client::Client::close) {
        let deadline = Deadline::after(FAREWELL);
        while !job.service() && !deadline.passed() {
            host.pump(&job.wants(), deadline);
        }
        if !job.service() {
            job.terminate();
            host.background.push(job);
        }
    }
    for job in &mut host.background {
        job.kill_if_dying();
    }
    ending.code
}

#[cfg(test)]
mod tests;
