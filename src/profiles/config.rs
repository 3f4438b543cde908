//! `config.toml`, its defaults, and the one table that its reference comes from.

use super::config_table::{KEYS, Kind};
use super::{files, search};
use crate::domain::ids::Name;
use crate::error::{Failure, Result};
use crate::paths::Home;
use serde::Deserialize;
use std::borrow::Cow;
use std::path::Path;

pub use super::config_reference::{default_text, reference_markdown};

/// The largest file, in bytes.
pub const MAX_BYTES: usize = 256 * 1024;

/// What `config.toml` says, or the defaults.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The agent program for launches that name none.
    pub provider: Option<String>,
    /// The supervisor's profile for launches that name none.
    pub profile: Option<String>,
    /// Brakes and sizes.
    pub limits: Limits,
    /// How a person hears that something waits.
    pub notify: Notify,
    /// How long things are kept.
    pub retention: Retention,
    /// Agents' hooks.
    pub hooks: Hooks,
    /// The opencode provider.
    pub opencode: Opencode,
}

/// Brakes and sizes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest message, in bytes.
    pub max_body_bytes: usize,
    /// Most messages that may wait for one terminal.
    pub queue_per_receiver: u32,
    /// Most bytes of messages that may wait in one session.
    pub waiting_bytes_per_session: u64,
    /// Most messages a minute between two agents.
    pub messages_per_minute: u32,
    /// Most messages an hour in one session.
    pub messages_per_hour: u32,
    /// Most hops that a message may cause.
    pub hops: u32,
    /// Most workers in one session.
    pub workers_per_session: u32,
    /// How deep workers may start workers.
    pub depth: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: 1_048_576,
            queue_per_receiver: 200,
            waiting_bytes_per_session: 67_108_864,
            messages_per_minute: 30,
            messages_per_hour: 300,
            hops: 50,
            workers_per_session: 12,
            depth: 3,
        }
    }
}

/// How a person hears that something waits.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Notify {
    /// Ring the terminal's bell.
    pub bell: bool,
    /// Show a line in tmux.
    pub display: bool,
    /// A program to start, with its arguments.
    pub command: Option<Vec<String>>,
    /// Send `OSC 9` to the terminal.
    pub osc9: bool,
    /// Send `OSC 777` to the terminal.
    pub osc777: bool,
    /// Tell when an agent waits.
    pub waiting: bool,
    /// Tell when an agent's turn failed.
    pub failed: bool,
    /// Tell when an agent writes to the person.
    pub notes: bool,
}

impl Default for Notify {
    fn default() -> Self {
        Self {
            bell: true,
            display: true,
            command: None,
            osc9: false,
            osc777: false,
            waiting: true,
            failed: true,
            notes: true,
        }
    }
}

/// How long things are kept.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Days that ended terminals are kept.
    pub terminals_days: u32,
    /// Days that settled messages are kept.
    pub messages_days: u32,
    /// Days that terminals' logs are kept.
    pub logs_days: u32,
    /// Size at which a log is cut, in bytes.
    pub log_max_bytes: u64,
    /// Days that a flow's runs are kept.
    pub runs_days: u32,
    /// Days that the last answer of an ended terminal is kept.
    pub tombstones_days: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            terminals_days: 14,
            messages_days: 14,
            logs_days: 30,
            log_max_bytes: 16_777_216,
            runs_days: 90,
            tombstones_days: 365,
        }
    }
}

/// Agents' hooks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hooks {
    /// Milliseconds that a hook may wait for the lock before it spools its event.
    pub budget_ms: u32,
}

impl Default for Hooks {
    fn default() -> Self {
        Self { budget_ms: 50 }
    }
}

/// The opencode provider.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Opencode {
    /// Let it open its own port on loopback, with a random password.
    pub http: bool,
}

/// Reads `config.toml`; without one, the defaults.
pub fn load(home: &Home) -> Result<Config> {
    load_file(&home.config())
}

/// Reads the file `path`; without one, the defaults.
pub fn load_file(path: &Path) -> Result<Config> {
    let fault = |failure: Failure| failure.context(format!("read {}", path.display()));
    let bytes = match files::read_named(path, MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Config::default());
        }
        Err(error) => return Err(fault(Failure::failed(files::why(&error)))),
    };
    let text = String::from_utf8(bytes).map_err(|error| {
        let read = error
            .as_bytes()
            .iter()
            .take(error.utf8_error().valid_up_to());
        let line = 1 + read.filter(|byte| **byte == b'\n').count();
        fault(Failure::failed(format!("line {line}: not UTF-8")))
    })?;
    parse(&text).map_err(fault)
}

/// The lines that say something, where they are: the file that `init` writes is comments, and most of reading it would be about these.
fn without_comments(text: &str) -> Cow<'_, str> {
    // In a text of several lines a sharp is a sharp.
    if text.contains("\"\"\"") || text.contains("'''") {
        return text.into();
    }
    let said = |line| {
        if str::trim_start(line).starts_with('#') {
            ""
        } else {
            line
        }
    };
    let lines: Vec<&str> = text.split('\n').map(said).collect();
    lines.join("\n").into()
}

/// Reads the text of a `config.toml`.
pub fn parse(text: &str) -> Result<Config> {
    let text = &*without_comments(text);
    let config: Config = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| line_of(text, span.start));
        let message = crate::domain::text::one_line(error.message());
        let failure = failure(line, &message);
        match unknown(&message) {
            Some(key) => {
                let known = KEYS.iter().flat_map(|key| [key.name, key.table]);
                match search::near(key, known.filter(|name| !name.is_empty())).first() {
                    Some(near) => failure.hint(format!("did you mean {near}?")),
                    None => failure.hint("docs/configuration.md names every key"),
                }
            }
            None => failure,
        }
    })?;
    check(&config, text)?;
    Ok(config)
}

fn check(config: &Config, text: &str) -> Result<()> {
    for (key, value) in [("provider", &config.provider), ("profile", &config.profile)] {
        if let Some(Err(error)) = value.as_deref().map(Name::parse) {
            return Err(failure(find(text, "", key), &format!("{key}: {error}")));
        }
    }
    let command = config.notify.command.as_deref();
    if command.is_some_and(|argv| argv.first().is_none_or(String::is_empty)) {
        let line = find(text, "notify", "command");
        return Err(failure(line, "notify.command names no program")
            .hint("command = [\"notify-send\", \"conductor\"]"));
    }
    let table: toml::Table = toml::from_str(text)
        .map_err(|error| failure(None, &crate::domain::text::one_line(error.message())))?;
    for key in KEYS {
        let Kind::Number { least, most } = key.kind else {
            continue;
        };
        let value = table.get(key.table).and_then(|table| table.get(key.name));
        let Some(value) = value.and_then(toml::Value::as_integer) else {
            continue;
        };
        if !(least..=most).contains(&value) {
            let message = format!(
                "{}.{} is {value}; it goes from {least} to {most}",
                key.table, key.name
            );
            return Err(failure(find(text, key.table, key.name), &message));
        }
    }
    Ok(())
}

fn failure(line: Option<usize>, message: &str) -> Failure {
    Failure::failed(match line {
        Some(line) => format!("line {line}: {message}"),
        None => message.to_owned(),
    })
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

fn unknown(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("unknown field `")?;
    rest.split_once('`').map(|(key, _)| key)
}

/// The line on which `key` of `[table]` stands.
fn find(text: &str, table: &str, key: &str) -> Option<usize> {
    let mut current = String::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            header
                .split(']')
                .next()
                .unwrap_or_default()
                .trim()
                .clone_into(&mut current);
        }
        let name = line.split('=').next().unwrap_or_default().trim();
        let dotted = current.is_empty() && name == format!("{table}.{key}");
        if line.contains('=') && (current == table && name == key || dotted) {
            return Some(at + 1);
        }
    }
    None
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
