//! Why a terminal's state is believed, and why a message waits.

use super::context::Context;
use super::deliver::place;
use super::queues::{self, Proofs};
use crate::clock;
use crate::domain::message::{Message, MessageStatus};
use crate::domain::terminal::{Status, Terminal};
use crate::error::Result;
use crate::providers::{self, Catalogue, Seen};
use crate::store::Store;
use serde::Serialize;

/// Everything that is known about why.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// The terminal's id.
    pub id: String,
    /// Its status.
    pub status: Status,
    /// Which event, screen line or process fact it comes from.
    pub reason: String,
    /// What kind of evidence that is.
    pub source: &'static str,
    /// How much it is trusted.
    pub confidence: &'static str,
    /// Since when.
    #[serde(with = "crate::domain::time")]
    pub since: jiff::Timestamp,
    /// Age of the state, in seconds.
    pub age_seconds: i64,
    /// When the agent was last heard from.
    #[serde(with = "crate::domain::time")]
    pub last_event_at: Option<jiff::Timestamp>,
    /// Whether it has hooks of ours: without them nothing but its screen tells what it does.
    pub hooked: bool,
    /// Whether its hooks have been heard from at all.
    pub hooks_alive: bool,
    /// What the screen shows now, as a second opinion.
    pub screen: Option<String>,
    /// What a person can do about it.
    pub remedy: Option<String>,
    /// Messages that wait, oldest first.
    pub queue: Vec<Waiting>,
    /// Age of the oldest, in seconds.
    pub oldest_seconds: Option<i64>,
    /// How well what was put to it is proven; `None` when nothing was.
    pub proofs: Option<Proofs>,
    /// Its own git worktree, or what is left of it.
    pub worktree: Option<String>,
}

/// One message that waits.
#[derive(Debug, Clone, Serialize)]
pub struct Waiting {
    /// Its id.
    pub id: String,
    /// Its status.
    pub status: MessageStatus,
    /// Reason code, where the gate gave one.
    pub reason: Option<String>,
    /// What will retry it.
    pub retried_by: Option<&'static str>,
}

/// Explains a terminal.
pub fn explain(cx: &Context, store: &mut Store, terminal: &Terminal) -> Result<Explanation> {
    let now = clock::now();
    let (mut open, rates) = store.read(|tx| {
        let rates = tx.proof_rates(Some(&terminal.id))?;
        Ok::<_, crate::store::Error>((tx.open_messages(&terminal.id)?, rates))
    })?;
    super::inbox::give_reasons(store, &mut open)?;
    let mut remedy = None;
    let screen = place(terminal)
        .filter(|_| terminal.alive())
        .and_then(|(tmux, pane)| {
            let manifest = Catalogue::of(&cx.home).get(&terminal.provider).ok()?;
            let (screen, title) = tmux.sight(pane).ok()?;
            Some(match providers::look(&manifest, &screen, &title) {
                Seen::Idle => "the empty prompt".to_owned(),
                Seen::Working => "signs of a turn".to_owned(),
                Seen::Dialog { kind, remedy: what } => {
                    remedy = Some(what);
                    format!("a {kind} dialog")
                }
                Seen::Failed(words) => format!("that a turn failed: {words}"),
                Seen::Draft => "a draft in the input box".to_owned(),
                Seen::Unknown => "nothing that is known".to_owned(),
            })
        });
    if terminal.alive()
        && terminal.hooked
        && terminal.last_event_at.is_none()
        && terminal.state.status == Status::Idle
    {
        remedy.get_or_insert_with(|| {
            "its hooks have not been heard from: see that its settings do not switch them off (disableAllHooks)"
                .to_owned()
        });
    }
    if terminal.lost() {
        remedy = Some("`recover --resume` starts it again, `close` gives it up".to_owned());
    }
    let age = |at: jiff::Timestamp| (now.as_millisecond() - at.as_millisecond()) / 1000;
    Ok(Explanation {
        id: terminal.id.to_string(),
        status: terminal.state.status,
        reason: terminal.state.reason.clone(),
        source: terminal.state.source.as_str(),
        confidence: terminal.state.source.confidence(),
        since: terminal.state.since,
        age_seconds: age(terminal.state.since),
        last_event_at: terminal.last_event_at,
        hooked: terminal.hooked,
        hooks_alive: terminal.last_event_at.is_some(),
        screen,
        remedy,
        oldest_seconds: open.iter().map(|message| age(message.queued_at)).max(),
        queue: open
            .iter()
            .map(|message| waiting(terminal, message))
            .collect(),
        proofs: queues::proofs(rates).pop(),
        worktree: terminal
            .worktree
            .as_ref()
            .filter(|worktree| worktree.is_there())
            .map(|worktree| worktree.line(terminal.alive())),
    })
}

fn waiting(terminal: &Terminal, message: &Message) -> Waiting {
    let (reason, retried_by) = queues::why(terminal, message);
    Waiting {
        id: message.id.to_string(),
        status: message.status,
        reason,
        retried_by,
    }
}
