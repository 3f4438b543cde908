//! A message: from accepted to proven.
//!
//! ```text
//! held -> queued -> claimed -> placed -> submitted
//!            ^         |          |
//!            +-- lease expired, or provably not taken
//!         expired · dead · cancelled
//! ```

use super::ids::{MessageId, TerminalId};
use jiff::Timestamp;
use serde::Serialize;
use std::fmt;

/// Largest accepted body, in bytes.
pub const MAX_BODY: usize = 1024 * 1024;

/// Where a message is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageStatus {
    /// Waits for an approval or a person.
    Held,
    /// Wants delivery.
    Queued,
    /// A process is delivering it now.
    Claimed,
    /// In the pane, with tmux's own receipt, or handed to a hook.
    Placed,
    /// The agent's own event proves it.
    Submitted,
    /// Its time to live ran out.
    Expired,
    /// Cannot be delivered; the reason is in `last_error`.
    Dead,
    /// Withdrawn.
    Cancelled,
}

impl MessageStatus {
    /// Every status.
    pub const ALL: [Self; 8] = [
        Self::Held,
        Self::Queued,
        Self::Claimed,
        Self::Placed,
        Self::Submitted,
        Self::Expired,
        Self::Dead,
        Self::Cancelled,
    ];

    /// Whether something is still to be done with the message.
    pub const fn open(self) -> bool {
        matches!(
            self,
            Self::Held | Self::Queued | Self::Claimed | Self::Placed
        )
    }

    /// The word in the database and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Queued => "queued",
            Self::Claimed => "claimed",
            Self::Placed => "placed",
            Self::Submitted => "submitted",
            Self::Expired => "expired",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    /// Parses the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether it never changes again.
    pub const fn settled(self) -> bool {
        matches!(
            self,
            Self::Submitted | Self::Expired | Self::Dead | Self::Cancelled
        )
    }

    /// Whether a message may go from here to `next`: the model that the store is held to.
    #[cfg(test)]
    pub(crate) const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Held => matches!(
                next,
                Self::Queued | Self::Expired | Self::Cancelled | Self::Dead
            ),
            Self::Queued => {
                matches!(
                    next,
                    Self::Claimed | Self::Submitted | Self::Expired | Self::Cancelled | Self::Dead
                )
            }
            Self::Claimed => matches!(
                next,
                Self::Queued | Self::Placed | Self::Submitted | Self::Dead
            ),
            Self::Placed => matches!(next, Self::Queued | Self::Submitted | Self::Dead),
            Self::Dead | Self::Expired | Self::Cancelled => matches!(next, Self::Queued),
            Self::Submitted => false,
        }
    }
}

/// How a message reached the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// The answer of the agent's stop hook.
    StopHook,
    /// A pasted line, with the body as context of the agent's prompt hook.
    PromptHook,
    /// The agent's own channel.
    Api,
    /// A paste.
    Paste,
    /// The agent read it over MCP.
    McpRead,
}

impl Transport {
    const ALL: [Self; 5] = [
        Self::StopHook,
        Self::PromptHook,
        Self::Api,
        Self::Paste,
        Self::McpRead,
    ];

    /// The word in the database and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StopHook => "stop_hook",
            Self::PromptHook => "prompt_hook",
            Self::Api => "api",
            Self::Paste => "paste",
            Self::McpRead => "mcp_read",
        }
    }

    /// Parses the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|transport| transport.as_str() == text)
    }
}

/// Who wrote a message.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Sender {
    /// An agent.
    Terminal(TerminalId),
    /// A person with a controlling terminal, or our popup.
    Human,
    /// A flow.
    Flow(String),
    /// A script or an orphaned process.
    Unverified,
}

impl Sender {
    /// The word in the database and JSON: a terminal id, `human`, `flow:NAME`, or `unverified`.
    pub fn parse(text: &str) -> Self {
        match text {
            "human" => Self::Human,
            _ => {
                if let Some(flow) = text.strip_prefix("flow:") {
                    Self::Flow(flow.to_owned())
                } else {
                    TerminalId::parse(text).map_or(Self::Unverified, Self::Terminal)
                }
            }
        }
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Terminal(id) => id.fmt(f),
            Self::Human => f.write_str("human"),
            Self::Flow(name) => write!(f, "flow:{name}"),
            Self::Unverified => f.write_str("unverified"),
        }
    }
}

/// Why nothing is typed into a pane now; each names what will retry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum GateReason {
    /// The pane or its process is gone.
    Dead,
    /// Another program than the agent is in the foreground.
    Shell,
    /// The pane is not the one that was registered.
    Reused,
    /// A person is in a mode of this pane.
    CopyMode,
    /// A dialog is open.
    Dialog,
    /// A call of the agent is held until a person decides.
    Approval,
    /// The agent is not up yet.
    Starting,
    /// The agent is in a turn.
    Working,
    /// The input box is not empty, or the prompt is not on screen.
    Draft,
    /// A person types into this pane.
    UserTyping,
    /// The pane's input is synchronized or switched off.
    Synced,
    /// The agent's hooks have not been heard from.
    HooksSilent,
    /// A usage limit or a person holds the queue.
    Paused,
    /// An earlier text is in the pane without its Enter.
    Unentered,
    /// The agent's own channel has been told, and has not taken it.
    Channel,
}

impl GateReason {
    /// Every reason.
    const ALL: [Self; 15] = [
        Self::Dead,
        Self::Shell,
        Self::Reused,
        Self::CopyMode,
        Self::Dialog,
        Self::Approval,
        Self::Starting,
        Self::Working,
        Self::Draft,
        Self::UserTyping,
        Self::Synced,
        Self::HooksSilent,
        Self::Paused,
        Self::Unentered,
        Self::Channel,
    ];

    /// Parses the code.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }

    /// The code in the database, JSON and `explain`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dead => "DEAD",
            Self::Shell => "SHELL",
            Self::Reused => "REUSED",
            Self::CopyMode => "COPY_MODE",
            Self::Dialog => "DIALOG",
            Self::Approval => "APPROVAL",
            Self::Starting => "STARTING",
            Self::Working => "WORKING",
            Self::Draft => "DRAFT",
            Self::UserTyping => "USER_TYPING",
            Self::Synced => "SYNCED",
            Self::HooksSilent => "HOOKS_SILENT",
            Self::Paused => "PAUSED",
            Self::Unentered => "UNENTERED",
            Self::Channel => "CHANNEL",
        }
    }

    /// Whether a person's doing in the pane stands in the way.
    pub const fn by_person(self) -> bool {
        matches!(
            self,
            Self::Draft | Self::UserTyping | Self::CopyMode | Self::Synced
        )
    }

    /// Whether only a person removes it.
    pub const fn needs_person(self) -> bool {
        self.by_person()
            || matches!(
                self,
                Self::Dialog | Self::Approval | Self::Shell | Self::Paused
            )
    }

    /// What removes the reason, and so retries the delivery.
    pub const fn retried_by(self) -> &'static str {
        match self {
            Self::Dead | Self::Reused => "nothing: the terminal has ended",
            Self::Shell => "the agent coming back to the foreground",
            Self::CopyMode => "leaving the mode",
            Self::Dialog => "answering the dialog",
            Self::Approval => "the end of the turn, once its approval is decided",
            Self::Starting => "the agent's start event",
            Self::Working => "the end of the turn",
            Self::Draft => "the input box being empty",
            Self::UserTyping => "a second without a key",
            Self::Synced => "synchronize-panes and input being normal again",
            Self::HooksSilent => "the agent's next event",
            Self::Paused => "the end of the pause",
            Self::Unentered => "the earlier text being submitted",
            Self::Channel => "the agent fetching it",
        }
    }
}

/// A message as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// Who wrote it.
    pub sender: Sender,
    /// How the sender is called in the header.
    pub sender_name: String,
    /// Whether it is an order (from the caller, the supervisor, a person, a flow) or a peer's note.
    pub order: bool,
    /// Who it is for.
    pub receiver: TerminalId,
    /// The sanitised body.
    pub body: String,
    /// Where it is.
    pub status: MessageStatus,
    /// How it went, once it went.
    pub transport: Option<Transport>,
    /// Number of attempts.
    pub attempts: i64,
    /// Sequence number at the receiver, while it may be delivered.
    pub seq: i64,
    /// Random tag of header and footer.
    pub tag: String,
    /// When it was accepted.
    pub queued_at: Timestamp,
    /// When it was put into the pane or handed over.
    pub placed_at: Option<Timestamp>,
    /// When it was proven.
    pub submitted_at: Option<Timestamp>,
    /// When it dies.
    pub expires_at: Option<Timestamp>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// Idempotency key.
    pub key: Option<String>,
    /// Trace id: shared by all messages that one cause led to.
    pub trace: String,
    /// How many agents the trace has passed.
    pub hops: i64,
    /// Whether it may have been handed over before; the receiver is told.
    pub again: bool,
    /// Bytes of the body that `read_inbox` has given out.
    pub read_offset: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip() {
        for status in MessageStatus::ALL {
            assert_eq!(MessageStatus::parse(status.as_str()), Some(status));
        }
        for transport in Transport::ALL {
            assert_eq!(Transport::parse(transport.as_str()), Some(transport));
        }
        for reason in GateReason::ALL {
            assert_eq!(GateReason::parse(reason.as_str()), Some(reason));
        }
        for sender in ["human", "flow:daily", "unverified", "0123abcd"] {
            assert_eq!(Sender::parse(sender).to_string(), sender);
        }
    }

    #[test]
    fn what_is_proven_stays_proven() {
        for next in MessageStatus::ALL {
            assert!(!MessageStatus::Submitted.may_become(next));
        }
    }

    #[test]
    fn nothing_reaches_placed_without_a_claim() {
        for from in MessageStatus::ALL {
            assert_eq!(
                from.may_become(MessageStatus::Placed),
                from == MessageStatus::Claimed
            );
        }
    }
}
