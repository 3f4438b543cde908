//! One thing in the person's inbox, and how it is shown.

use crate::domain::ids::TerminalId;
use crate::domain::message::{Message, MessageStatus, Sender};
use crate::domain::note::{Note, NoteStatus, excerpt};
use crate::ui::sheet::{self, Row, Style};
use crate::ui::table::age;

/// A note to the person, or a message that waits or has failed.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Letter {
    /// What an agent wrote or asked.
    Note(Note),
    /// A message to an agent.
    Message(Message),
}

impl Letter {
    /// Questions first, then notes, failed messages, and those on their way; the oldest first.
    pub(super) fn order(&self) -> (u8, i64) {
        match self {
            Self::Note(note) => {
                let rank = u8::from(!note.question) + 4 * u8::from(!note.waits());
                (rank, note.written_at.as_millisecond())
            }
            Self::Message(message) => (
                2 + u8::from(message.status.open()),
                message.queued_at.as_millisecond(),
            ),
        }
    }

    /// Whether it is the same thing as `other`, in whatever state.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Note(one), Self::Note(other)) => one.id == other.id,
            (Self::Message(one), Self::Message(other)) => one.id == other.id,
            _ => false,
        }
    }

    /// The agent to whom the person may write about it, and the agent's name.
    pub(super) fn partner(&self) -> (TerminalId, String) {
        match self {
            Self::Note(note) => (note.terminal.clone(), note.name.clone()),
            Self::Message(message) => match &message.sender {
                Sender::Terminal(id) => (id.clone(), message.sender_name.clone()),
                _ => (message.receiver.clone(), message.receiver.to_string()),
            },
        }
    }

    /// Whether it waits for the person.
    pub(super) fn waits(&self) -> bool {
        match self {
            Self::Note(note) => note.waits(),
            Self::Message(_) => false,
        }
    }

    /// Whether it is a note that somebody has answered.
    pub(super) fn is_answered(&self) -> bool {
        matches!(self, Self::Note(note) if note.answer.is_some())
    }

    /// Whether the message may be tried again.
    pub(super) fn has_failed(&self) -> bool {
        matches!(self, Self::Message(m) if matches!(m.status, MessageStatus::Dead | MessageStatus::Expired))
    }

    /// What it is, from whom, how old, and how it begins.
    pub(super) fn line(&self, now_ms: i64) -> String {
        let (what, who, at, body) = match self {
            Self::Note(note) => {
                let what = match note.status {
                    NoteStatus::Answered => "answered",
                    NoteStatus::Withdrawn => "withdrawn",
                    NoteStatus::Open | NoteStatus::Seen => note.kind(),
                };
                (what, note.name.clone(), note.written_at, &note.body)
            }
            Self::Message(m) => {
                let who = format!("{} > {}", m.sender_name, m.receiver);
                (m.status.as_str(), who, m.queued_at, &m.body)
            }
        };
        let age = age(now_ms - at.as_millisecond());
        format!(
            "{what:<9} {:<22} {age:>4}  {}",
            excerpt(&who, 21),
            excerpt(body, 200)
        )
    }

    /// What it is called where it is read.
    pub(super) fn title(&self, now_ms: i64) -> String {
        match self {
            Self::Note(note) => {
                let age = age(now_ms - note.written_at.as_millisecond());
                format!("{} {} from {}, {age} ago", note.kind(), note.id, note.name)
            }
            Self::Message(m) => {
                let age = age(now_ms - m.queued_at.as_millisecond());
                let (id, status) = (m.id, m.status.as_str());
                format!(
                    "message {id} from {} to {}, {age} ago: {status}",
                    m.sender_name, m.receiver
                )
            }
        }
    }

    /// All of it, in rows of `columns`.
    pub(super) fn rows(&self, columns: usize) -> Vec<Row> {
        let mut rows = Vec::new();
        match self {
            Self::Note(note) => {
                rows.extend(sheet::prose(&note.body, columns));
                for (at, option) in note.options.iter().enumerate() {
                    if at == 0 {
                        rows.push(Row::default());
                    }
                    let row = Row::prose(Style::Bold, &format!("{}  ", at + 1));
                    rows.push(row.and(Style::Plain, option));
                }
                if let Some(answer) = &note.answer {
                    let by = note.answered_by.as_deref().unwrap_or("-");
                    rows.push(Row::default());
                    rows.push(Row::prose(Style::Dim, &format!("answered by {by}:")));
                    rows.extend(sheet::prose(answer, columns));
                }
                if note.status == NoteStatus::Withdrawn {
                    rows.push(Row::default());
                    rows.push(Row::prose(
                        Style::Warn,
                        "its agent has ended: nobody is there for an answer",
                    ));
                }
            }
            Self::Message(message) => {
                if let Some(why) = &message.last_error {
                    rows.extend(sheet::prose(why, columns));
                    rows.push(Row::default());
                }
                rows.extend(sheet::prose(&message.body, columns));
            }
        }
        rows
    }
}
