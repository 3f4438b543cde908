//! The settings file: which commands are hooks of which event.

use crate::fsx;
use serde::Deserialize;
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

/// The largest file that is read.
const LONGEST_FILE: usize = 4 << 20;
/// How long a hook may run when its entry does not say.
const TIMEOUT: Duration = Duration::from_mins(10);

#[derive(Debug, Default, Deserialize)]
struct File {
    #[serde(default)]
    hooks: HashMap<String, Vec<Group>>,
}

#[derive(Debug, Deserialize)]
struct Group {
    #[serde(default)]
    matcher: Option<String>,
    #[serde(default)]
    hooks: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    command: String,
    #[serde(default)]
    timeout: Option<f64>,
    #[serde(default, rename = "async")]
    detached: bool,
}

/// A command that is due for an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hook {
    /// Shell text.
    pub(super) command: String,
    /// How long it may run.
    pub(super) timeout: Duration,
    /// Whether nobody waits for it.
    pub(super) detached: bool,
}

/// All hooks.
#[derive(Debug, Default)]
pub(super) struct Settings(File);

impl Settings {
    /// Reads a settings file.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        fsx::read_file_limited(path, LONGEST_FILE)
            .map_err(|e| e.to_string())
            .and_then(|bytes| Self::parse(&bytes))
            .map_err(|e| format!("read settings {}: {e}", path.display()))
    }

    /// Reads the text of a settings file.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes)
            .map(Self)
            .map_err(|e| e.to_string())
    }

    /// The hooks of `event`, in order; `subject` is what matchers look at (a tool's name, a source).
    pub(super) fn hooks(&self, event: &str, subject: &str) -> Vec<Hook> {
        self.0
            .hooks
            .get(event)
            .into_iter()
            .flatten()
            .filter(|group| matches(group.matcher.as_deref(), subject))
            .flat_map(|group| &group.hooks)
            .filter(|entry| entry.kind == "command" && !entry.command.is_empty())
            .map(|entry| Hook {
                command: entry.command.clone(),
                timeout: entry
                    .timeout
                    .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
                    .unwrap_or(TIMEOUT),
                detached: entry.detached,
            })
            .collect()
    }
}

fn matches(matcher: Option<&str>, subject: &str) -> bool {
    match matcher {
        None | Some("" | "*") => true,
        Some(matcher) => regex_lite::Regex::new(&format!("^(?:{matcher})$"))
            .map_or(matcher == subject, |regex| regex.is_match(subject)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_are_found_by_event_and_matcher() {
        let settings = Settings::parse(
            br#"{"model":"x","hooks":{"PreToolUse":[
                {"matcher":"*","hooks":[{"type":"command","command":"a","timeout":86400}]},
                {"matcher":"Edit|Write","hooks":[{"type":"command","command":"b"}]},
                {"hooks":[{"type":"command","command":"c","async":true},{"type":"prompt","prompt":"?"}]}]}}"#,
        )
        .unwrap();
        let commands = |subject| -> Vec<String> {
            settings
                .hooks("PreToolUse", subject)
                .into_iter()
                .map(|hook| hook.command)
                .collect()
        };
        assert_eq!(commands("Bash"), ["a", "c"]);
        assert_eq!(commands("Write"), ["a", "b", "c"]);
        assert_eq!(commands("Writer"), ["a", "c"]);
        assert_eq!(settings.hooks("Stop", ""), []);
        let hooks = settings.hooks("PreToolUse", "Edit");
        assert_eq!(
            (hooks[0].timeout.as_secs(), hooks[1].timeout.as_secs()),
            (86400, 600)
        );
        assert!(hooks[2].detached);
    }

    #[test]
    fn a_broken_file_is_an_error() {
        assert!(Settings::parse(b"{").is_err());
        assert!(Settings::parse(br#"{"hooks":[]}"#).is_err());
    }
}
