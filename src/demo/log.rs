//! `CONDUCTOR_DEMO_LOG`: what the demo agent received and did, one durable JSON line each.

use crate::domain::ids::MessageId;
use crate::domain::text::header_ids;
use crate::paths::{self, name};
use crate::{clock, fsx};
use serde::Serialize;
use std::path::PathBuf;

/// The log file, if there is one.
#[derive(Debug, Default)]
pub(super) struct Log {
    path: Option<PathBuf>,
    terminal: Option<String>,
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(with = "crate::domain::time")]
    at: jiff::Timestamp,
    terminal: Option<&'a str>,
    event: &'a str,
    source: &'a str,
    text: &'a str,
    message_id: Option<MessageId>,
}

impl Log {
    /// The log that the environment names.
    pub(super) fn from_env() -> Self {
        Self {
            path: paths::env_os(name::DEMO_LOG).map(PathBuf::from),
            terminal: paths::env(name::TERMINAL_ID),
        }
    }

    /// A log at `path`.
    #[cfg(test)]
    pub(super) fn at(path: PathBuf) -> Self {
        Self {
            path: Some(path),
            terminal: None,
        }
    }

    /// Writes one line and makes it durable; the error is for the person at the pane.
    pub(super) fn write(&self, event: &str, source: &str, text: &str) -> Result<(), String> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let line = Line {
            at: clock::now(),
            terminal: self.terminal.as_deref(),
            event,
            source,
            text,
            message_id: header_ids(text).first().copied(),
        };
        serde_json::to_vec(&line)
            .map_err(|e| e.to_string())
            .and_then(|line| fsx::append_line_durable(path, &line).map_err(|e| e.to_string()))
            .map_err(|e| format!("write {}: {e}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_came_and_for_which_message() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let log = Log::at(path.clone());
        log.write(
            "prompt",
            "paste",
            "[conductor #12 from human] SAY \u{1b}\nx",
        )
        .unwrap();
        log.write("start", "startup", "s").unwrap();
        let text = String::from_utf8(fsx::read_file_limited(&path, 10_000).unwrap()).unwrap();
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines[0]["message_id"], "12");
        assert_eq!(lines[0]["text"], "[conductor #12 from human] SAY \u{1b}\nx");
        assert!(lines[1]["message_id"].is_null());
        assert!(lines[1]["at"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn without_a_file_nothing_is_written() {
        assert_eq!(Log::default().write("start", "", ""), Ok(()));
    }
}
