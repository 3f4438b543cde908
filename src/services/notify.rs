//! Telling the person that something waits, in the ways that they chose.

use super::context::Context;
use crate::domain::ids::ApprovalId;
use crate::domain::note::{Note, excerpt};
use crate::domain::terminal::{Status, Terminal};
use crate::paths;
use crate::proc;
use crate::profiles::config;
use crate::tmux::{PaneId, Tmux, Ways};
use std::path::Path;

/// How much of a note is told, in characters.
const EXCERPT: usize = 200;

/// What a person is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// An approval waits.
    Approval(ApprovalId),
    /// An agent wrote to the person.
    Note(Box<Note>),
    /// An agent waits for a person, or its turn failed.
    Agent {
        /// Its terminal's id.
        terminal: String,
        /// Its pane: who looks at it needs no notice.
        pane: Option<String>,
        /// Who it is, for people.
        name: String,
        /// Waiting, or failed.
        status: Status,
        /// Why, in the agent's words.
        reason: String,
    },
}

impl Notice {
    /// That `terminal` has this status now; none where that is nothing to tell.
    pub fn of(terminal: &Terminal, status: Status, reason: &str) -> Option<Self> {
        matches!(status, Status::Waiting | Status::Error).then(|| Self::Agent {
            terminal: terminal.id.to_string(),
            pane: terminal.pane.clone(),
            name: terminal.display_name(),
            status,
            reason: reason.to_owned(),
        })
    }

    /// The word that the user's command gets.
    fn kind(&self) -> &'static str {
        match self {
            Self::Approval(_) => "approval",
            Self::Note(note) => note.kind(),
            Self::Agent {
                status: Status::Error,
                ..
            } => "failed",
            Self::Agent { .. } => "waiting",
        }
    }

    /// The id of what it is about.
    fn subject(&self) -> String {
        match self {
            Self::Approval(id) => id.to_string(),
            Self::Note(note) => note.id.to_string(),
            Self::Agent { terminal, .. } => terminal.clone(),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Approval(id) => {
                format!("approval {id} waits for you: prefix A, or approve {id}")
            }
            Self::Note(note) => {
                let does = if note.question { "asks" } else { "writes" };
                let what = excerpt(&note.body, EXCERPT);
                format!("{} {does} (note {}): {what}", note.name, note.id)
            }
            Self::Agent {
                name,
                status,
                reason,
                ..
            } => {
                let what = if *status == Status::Error {
                    "failed"
                } else {
                    "waits for you"
                };
                format!("{name} {what}: {reason}")
            }
        }
    }

    fn pane(&self) -> Option<PaneId> {
        match self {
            Self::Approval(_) | Self::Note(_) => None,
            Self::Agent { pane, .. } => PaneId::parse(pane.as_deref()?),
        }
    }
}

/// Tells the people at the server at `socket`. What fails is logged: nobody waits for it.
pub fn tell(cx: &Context, socket: &Path, notice: &Notice) {
    let notify = config::load(&cx.home).unwrap_or_default().notify;
    let wanted = match notice {
        Notice::Approval(_) => true,
        Notice::Note(_) => notify.notes,
        Notice::Agent {
            status: Status::Error,
            ..
        } => notify.failed,
        Notice::Agent { .. } => notify.waiting,
    };
    if !wanted {
        return;
    }
    let usual = Ways {
        bell: notify.bell,
        display: notify.display,
        osc9: notify.osc9,
        osc777: notify.osc777,
        command: notify.command.is_some(),
    };
    let text = notice.text();
    match Tmux::at(socket).notify(&text, notice.pane(), usual) {
        Ok(told) => {
            if let Some(argv) = notify.command.filter(|_| told.ways.command) {
                start(&argv, notice, &crate::domain::text::one_line(&text));
            }
        }
        Err(error) => tracing::debug!(%error, notice = notice.kind(), "tell people"),
    }
}

/// Starts the user's command with the text as its last argument; nobody waits for it, and it knows nothing of the agent whose hook we may be.
fn start(argv: &[String], notice: &Notice, text: &str) {
    let Some((program, arguments)) = argv.split_first() else {
        return;
    };
    let Some(program) = paths::find_program(program, paths::env("PATH").as_deref()) else {
        tracing::warn!(program = ?program, "notify.command is not found along PATH");
        return;
    };
    let mut command = proc::command(program);
    command.args(arguments).arg(text);
    for name in paths::name::AGENT {
        command.env_remove(name);
    }
    command.env("CONDUCTOR_NOTICE", notice.kind());
    command.env("CONDUCTOR_NOTICE_ID", notice.subject());
    if let Err(error) = proc::leave_running(command) {
        tracing::warn!(%error, "start notify.command");
    }
}
