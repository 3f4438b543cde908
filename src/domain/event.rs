//! What an agent's own event means, whatever program sent it.

use jiff::Timestamp;

/// A tool call of an agent.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCall {
    /// The tool's name in the agent's words, e.g. `Bash`.
    pub tool: String,
    /// Its arguments.
    pub input: serde_json::Value,
    /// The agent's id of this call, where it gives one.
    pub call_id: Option<String>,
}

/// How a tool call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolEnd {
    /// It ran.
    Ran,
    /// It ran and failed, or it was refused: agents do not tell the two apart.
    Failed,
    /// It was refused.
    Denied,
}

/// What a dialog on an agent's screen wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DialogKind {
    /// Leave to use a tool.
    Permission,
    /// An answer to a question of the agent.
    Question,
}

/// One thing that happened to an agent, told by the agent itself.
#[derive(Debug, Clone, PartialEq)]
pub enum AgentEvent {
    /// The program is up (also after a resume or a cleared conversation).
    Started,
    /// A prompt was submitted.
    PromptSubmitted {
        /// Its exact text.
        text: String,
    },
    /// A tool is about to run.
    ToolStarting(ToolCall),
    /// A tool call is over.
    ToolFinished(ToolCall, ToolEnd),
    /// The agent asks for leave to use a tool.
    PermissionAsked(ToolCall),
    /// A dialog is on the agent's screen.
    DialogShown(DialogKind),
    /// The agent says that it waits at its prompt.
    AtPrompt,
    /// The turn is over.
    TurnEnded {
        /// The last answer, in the agent's own record.
        answer: Option<String>,
        /// The turn was already continued by a stop hook: it must not be continued again.
        continued: bool,
        /// Work goes on in the background.
        background: bool,
    },
    /// The turn failed for good.
    TurnFailed {
        /// What the agent says about it.
        error: String,
    },
    /// The agent reached a usage limit.
    LimitReached {
        /// When it may go on, if the agent says so.
        until: Option<Timestamp>,
    },
    /// The agent's plugin asks for its mail.
    MailAsked,
    /// The agent's plugin could not submit these messages.
    MailRefused {
        /// Their ids.
        ids: Vec<i64>,
        /// Whether the first of them may have been taken all the same.
        taken: bool,
    },
    /// A person interrupted the turn.
    Interrupted,
    /// The program ends.
    Ended {
        /// The agent's word for why.
        reason: String,
    },
    /// Any other sign of life; it says nothing about the turn (subagents, compaction, notices).
    SignOfLife,
}

impl AgentEvent {
    /// Whether the agent waits for a decision in the answer to this event.
    pub const fn wants_decision(&self) -> bool {
        matches!(self, Self::ToolStarting(_) | Self::PermissionAsked(_))
    }
}
