//! How an agent's hooks speak: JSON in, JSON and exit code out.

mod claude;
mod codex;
mod gemini;
mod kiro;
mod opencode;

use crate::domain::event::{AgentEvent, ToolCall};
use crate::domain::ids::MessageId;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A family of hook formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// Claude Code's.
    Claude,
    /// The demo agent's: Claude Code's, and it says when a limit ends and what its exit code was.
    Demo,
    /// Codex's.
    Codex,
    /// Gemini CLI's.
    Gemini,
    /// What our plugin in OpenCode says.
    Opencode,
    /// Kiro's, and Amazon Q's before it.
    Kiro,
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
    /// Where this one call runs, where it names another directory.
    pub workdir: Option<String>,
    /// How much the agent asks its person by itself, in its own words.
    pub permission_mode: Option<String>,
}

/// What a hook prints and how it ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// For the agent, in its dialect.
    pub out: String,
    /// For the model, where the dialect reads standard error.
    pub err: String,
    /// Exit code: 0, or 2 to block.
    pub code: u8,
}

impl From<String> for Answer {
    fn from(out: String) -> Self {
        Self {
            out,
            ..Self::default()
        }
    }
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

/// Longest name of a tool, in characters.
const MAX_NAME: usize = 80;

/// What a hook got on its standard input; nothing at all is a hook without fields.
fn payload<T: DeserializeOwned + Default>(bytes: &[u8]) -> Result<T, String> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(T::default());
    }
    // Fields that are skipped are not looked at by the parser: bytes that are no text would pass in them.
    let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
    serde_json::from_str(text).map_err(|e| e.to_string())
}

/// A tool's name as it may be shown: one line, not long. A longer one is cut at its beginning, so that it is the name of nothing that is known.
fn shown(name: &str) -> String {
    let name = crate::domain::text::one_line(name);
    let length = name.chars().count();
    if length <= MAX_NAME {
        return name;
    }
    std::iter::once('…')
        .chain(name.chars().skip(length - (MAX_NAME - 1)))
        .collect()
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
            Self::Codex => codex::read(event, bytes),
            Self::Gemini => gemini::read(event, bytes),
            Self::Opencode => opencode::read(event, bytes),
            Self::Kiro => kiro::read(event, bytes),
            Self::None => Ok(None),
        }
    }

    /// Whether hook `event` waits for a decision, known by its name alone: also for input that cannot be read.
    pub fn decides(self, event: &str) -> bool {
        match self {
            Self::Claude | Self::Demo | Self::Codex => {
                matches!(event, "PreToolUse" | "PermissionRequest")
            }
            Self::Gemini => event == "BeforeTool",
            Self::Opencode => matches!(event, "tool.before" | "permission"),
            Self::Kiro => event == "preToolUse",
            Self::None => false,
        }
    }

    /// Whether the agent itself asks its person about calls on which we have no opinion, in this permission mode. One that does not say its
    /// mode does not.
    pub fn asks_by_itself(self, mode: Option<&str>) -> bool {
        match self {
            Self::Claude => mode == Some("default"),
            // What OpenCode asks about, a project's own configuration decides.
            Self::Demo | Self::Codex | Self::Gemini | Self::Opencode | Self::Kiro | Self::None => {
                false
            }
        }
    }

    /// Whether "no opinion" makes the agent ask its person, in this permission mode.
    pub fn opens_dialogs(self, mode: Option<&str>) -> bool {
        matches!(self, Self::Demo) || self.asks_by_itself(mode)
    }

    /// Whether "ask" opens a dialog of the agent that another hook of ours can answer; else the hook before the tool waits for the person.
    pub const fn asks_in_pane(self) -> bool {
        matches!(self, Self::Claude | Self::Demo)
    }

    /// Whether a dialog about this call may be about more than the hook before the tool was told: a yes to that one is none to this.
    pub fn escalates(self, call: &ToolCall) -> bool {
        matches!(self, Self::Codex) && codex::escalates(call)
    }

    /// Whether a launch brings the hooks: those in the user's settings are for agents that a person started then.
    pub const fn launches_hooks(self) -> bool {
        matches!(
            self,
            Self::Claude | Self::Demo | Self::Codex | Self::Opencode
        )
    }

    /// Whether hook `event` is one that waits for a decision in any dialect: of an agent whose manifest cannot be read, such a hook blocks.
    pub fn any_decides(event: &str) -> bool {
        [Self::Claude, Self::Gemini, Self::Opencode, Self::Kiro]
            .into_iter()
            .any(|dialect| dialect.decides(event))
    }

    /// The answer to a hook that waits for a decision; may be empty. `incoming` is what it asked, where that could be read.
    pub fn decision(self, event: &str, verdict: &Verdict, incoming: Option<&Incoming>) -> Answer {
        match (self, verdict) {
            // No answer is no valid one there.
            (Self::Demo, Verdict::Pass) if event == "PreToolUse" => claude::defer().into(),
            (Self::Codex, _) => codex::decision(event, verdict, incoming).into(),
            (Self::Gemini, _) => gemini::decision(verdict).into(),
            (Self::Opencode, _) => opencode::decision(event, verdict).into(),
            (Self::Kiro, _) => kiro::decision(verdict),
            (Self::Claude | Self::Demo | Self::None, _) => claude::decision(event, verdict).into(),
        }
    }

    /// The answer of a stop hook that goes on with `text`.
    pub fn continuation(self, text: &str) -> Option<String> {
        match self {
            Self::Claude | Self::Demo | Self::Codex => Some(claude::continuation(text)),
            // Gemini CLI drops the answer of this hook without a word when its person pressed Esc. OpenCode has a channel of its own. Of Kiro
            // nobody has seen it.
            Self::Gemini | Self::Opencode | Self::Kiro | Self::None => None,
        }
    }

    /// The answer of a prompt hook that adds `text` as context.
    pub fn context(self, text: &str) -> Option<String> {
        match self {
            Self::Claude | Self::Demo | Self::Codex => Some(claude::context(text)),
            Self::Gemini => Some(gemini::context(text)),
            Self::Opencode => Some(opencode::context(text)),
            Self::Kiro => Some(text.to_owned()),
            Self::None => None,
        }
    }

    /// The answer to a plugin that asks for mail: one message, to be submitted as a prompt.
    pub fn mail(self, id: MessageId, text: &str) -> Option<String> {
        match self {
            Self::Opencode => {
                Some(serde_json::json!({"messages": [{"id": id.0, "text": text}]}).to_string())
            }
            _ => None,
        }
    }

    /// Longest text that the answer of a stop hook, or a channel, carries whole, in characters.
    pub const fn continuation_chars(self) -> usize {
        match self {
            Self::Claude => 60_000,
            // 10,000 bytes of UTF-8, with a few characters escaped.
            Self::Codex => 2_400,
            Self::Opencode => 200_000,
            Self::Demo => 4_000_000,
            Self::Gemini | Self::Kiro | Self::None => 0,
        }
    }
}
