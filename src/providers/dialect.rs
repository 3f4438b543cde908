//! How an agent's hooks speak: JSON in, JSON and exit code out.

use super::claude;
use crate::domain::event::AgentEvent;
use serde::Deserialize;

/// A family of hook formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// Claude Code's.
    Claude,
    /// The demo agent's: Claude Code's, and it says when a limit ends and what its exit code was.
    Demo,
    /// No hooks at all.
    None,
}

/// What came in through a hook.
#[derive(Debug, Clone, PartialEq)]
pub struct Incoming {
    /// What it means.
    pub event: AgentEvent,
    /// The agent's own session id.
    pub agent_session: Option<String>,
    /// The exit code, at the end, where the agent tells it.
    pub exit_code: Option<i32>,
    /// Where the agent works now, where it tells it.
    pub cwd: Option<String>,
    /// How much the agent asks its person by itself, in its own words.
    pub permission_mode: Option<String>,
}

/// A decision about a tool call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Run it.
    Allow(String),
    /// Do not run it.
    Deny(String),
    /// The agent's own dialog asks the person, whatever its mode; the next hook is the one of the dialog.
    Ask(String),
    /// No opinion: the agent does what it would do without us.
    Pass,
}

impl Dialect {
    /// Whether it has hooks.
    pub const fn speaks(self) -> bool {
        !matches!(self, Self::None)
    }

    /// Reads what hook `event` got on standard input. `Ok(None)`: an event that says nothing to us.
    pub fn read(self, event: &str, bytes: &[u8]) -> Result<Option<Incoming>, String> {
        match self {
            Self::Claude | Self::Demo => claude::read(event, bytes),
            Self::None => Ok(None),
        }
    }

    /// Whether hook `event` waits for a decision, known by its name alone: also for input that cannot be read.
    pub fn decides(self, event: &str) -> bool {
        match self {
            Self::Claude | Self::Demo => matches!(event, "PreToolUse" | "PermissionRequest"),
            Self::None => false,
        }
    }

    /// Whether the agent itself asks its person about calls on which we have no opinion, in this permission mode. One that does not say its
    /// mode does not.
    pub fn asks_by_itself(self, mode: Option<&str>) -> bool {
        match self {
            Self::Claude => mode == Some("default"),
            Self::Demo | Self::None => false,
        }
    }

    /// Whether "no opinion" makes the agent ask its person, in this permission mode.
    pub fn opens_dialogs(self, mode: Option<&str>) -> bool {
        matches!(self, Self::Demo) || self.asks_by_itself(mode)
    }

    /// Whether hook `event` is one that waits for a decision in any dialect: of an agent whose manifest cannot be read, such a hook blocks.
    pub fn any_decides(event: &str) -> bool {
        matches!(
            event,
            "PreToolUse" | "PermissionRequest" | "BeforeTool" | "preToolUse"
        )
    }

    /// The answer to a hook that waits for a decision; may be empty.
    pub fn decision(self, event: &str, verdict: &Verdict) -> String {
        match (self, verdict) {
            // No answer is no valid one there.
            (Self::Demo, Verdict::Pass) if event == "PreToolUse" => claude::defer(),
            _ => claude::decision(event, verdict),
        }
    }

    /// The answer of a stop hook that goes on with `text`.
    pub fn continuation(self, text: &str) -> Option<String> {
        match self {
            Self::Claude | Self::Demo => Some(claude::continuation(text)),
            Self::None => None,
        }
    }

    /// The answer of a prompt hook that adds `text` as context.
    pub fn context(self, text: &str) -> Option<String> {
        match self {
            Self::Claude | Self::Demo => Some(claude::context(text)),
            Self::None => None,
        }
    }

    /// Longest text that a stop hook's answer carries whole, in characters.
    pub const fn continuation_chars(self) -> usize {
        match self {
            Self::Claude => 60_000,
            Self::Demo => 4_000_000,
            Self::None => 0,
        }
    }
}
