//! A handoff: a task given to a fresh worker whose answer comes back exactly once.

use super::ids::{MessageId, TerminalId};
use super::terminal::Root;
use jiff::Timestamp;

/// What became of a handoff.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandoffStatus {
    /// The worker is at it.
    Running,
    /// The worker answered.
    Done,
    /// The worker took longer than it might.
    Timeout,
    /// The worker failed or is gone.
    Error,
}

impl HandoffStatus {
    /// The word in the database and in MCP results.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Timeout => "timeout",
            Self::Error => "error",
        }
    }

    /// Parses the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Running, Self::Done, Self::Timeout, Self::Error]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

/// Who got the answer of a handoff or of a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// The result of the call that waited for it.
    Call,
    /// A message in the inbox of who asked.
    Inbox,
}

impl Given {
    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Inbox => "inbox",
        }
    }

    /// Parses the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Call, Self::Inbox]
            .into_iter()
            .find(|given| given.as_str() == text)
    }
}

/// A handoff as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Handoff {
    /// Its id (`h-` and 8 hexadecimal digits).
    pub id: String,
    /// Who asked.
    pub caller: TerminalId,
    /// Who works.
    pub worker: TerminalId,
    /// The task's message.
    pub message: MessageId,
    /// Digest over what was asked; the same call again finds it.
    pub fingerprint: String,
    /// What became of it.
    pub status: HandoffStatus,
    /// The worker's last answer, or what went wrong.
    pub answer: Option<String>,
    /// When it began.
    pub created_at: Timestamp,
    /// When the worker's time is up.
    pub deadline_at: Timestamp,
    /// When the answer was there.
    pub answered_at: Option<Timestamp>,
    /// Whether somebody has got the answer.
    pub given: bool,
    /// Whether the same call again may join it: an earlier call was answered `running`, was cancelled, or lost its client.
    pub open: bool,
    /// The process that waits for the answer in a call of its client, or took it for one. A client may kill it at any time.
    pub waiter: Option<Root>,
}

impl Handoff {
    /// The task's message while the worker is being started.
    pub const RESERVED: MessageId = MessageId(0);

    /// Whether its worker has the task; before that it is only reserved.
    pub fn begun(&self) -> bool {
        self.message != Self::RESERVED
    }
}
