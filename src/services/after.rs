//! What follows a transaction: the timer, what the person sees, and files that are no longer needed. Never under the lock.

use super::bounce;
use super::context::Context;
use super::notify::{self, Notice};
use crate::clock;
use crate::domain::handoff::HandoffStatus;
use crate::domain::ids::{ApprovalId, TerminalId};
use crate::domain::message::MessageStatus;
use crate::domain::terminal::{Change, Source, Status, Terminal};
use crate::domain::worktree::Worktree;
use crate::failpoint;
use crate::store::{Arm, Budget, DueKind, Durability, Error, Store, TerminalLock, Tx};
use crate::tmux::look::SEEN;
use crate::tmux::status_line::Counts;
use crate::tmux::{CommandList, PaneId, Tmux};
use jiff::Timestamp;
use std::path::PathBuf;
use std::time::Duration;

/// When somebody looks at the worktree of an agent that has ended, in milliseconds: its last processes are gone by then.
const WORKTREE_MS: i64 = 2_000;

/// What a transaction leaves to be done.
#[derive(Debug, Default, Clone)]
pub struct Aftermath {
    /// Sockets of servers whose timer may have to be armed, with the new timer where one is needed.
    timers: Vec<(PathBuf, Arm)>,
    /// Panes whose shown status changed.
    shown: Vec<(PathBuf, String, Status)>,
    /// Terminals that ended.
    ended: Vec<TerminalId>,
    /// Terminals that ended and wait to be resumed.
    lost: Vec<TerminalId>,
    /// Panes that stay with their person when the agent in them has ended.
    released: Vec<(PathBuf, PaneId, TerminalId)>,
    /// Processes of agents that a person started and that have ended.
    gone: Vec<i32>,
    /// Whether counts may have changed, by server.
    counts: Vec<PathBuf>,
    /// What the people at a server are told.
    notices: Vec<(PathBuf, Notice)>,
}

impl Aftermath {
    /// Notes that a terminal's status is now `status`.
    pub fn show(&mut self, terminal: &Terminal, status: Status) {
        if let (Some(server), Some(pane)) = (&terminal.server, &terminal.pane) {
            self.shown
                .push((server.socket.clone(), pane.clone(), status));
            self.count(terminal);
        }
    }

    /// Tells the people at the terminal's server that it waits for them, or that it failed.
    pub fn tell(&mut self, terminal: &Terminal, change: &Change) {
        if let (Some(server), Some(notice)) = (
            &terminal.server,
            Notice::of(terminal, change.status, &change.reason),
        ) {
            self.notices.push((server.socket.clone(), notice));
        }
    }

    /// Notes that the counts on the status line may have changed.
    pub fn count(&mut self, terminal: &Terminal) {
        if let Some(server) = &terminal.server
            && !self.counts.contains(&server.socket)
        {
            self.counts.push(server.socket.clone());
        }
    }

    /// Tells the people at the terminal's server that an approval waits.
    pub fn announce(&mut self, terminal: &Terminal, id: ApprovalId) {
        self.notify(terminal, Notice::Approval(id));
    }

    /// Tells the people at the terminal's server `notice`.
    pub fn notify(&mut self, terminal: &Terminal, notice: Notice) {
        self.count(terminal);
        if let Some(server) = &terminal.server {
            self.notices.push((server.socket.clone(), notice));
        }
    }

    /// Arms the timer of the terminal's server if something is due earlier than what is armed. Last thing in a transaction.
    pub fn arm(&mut self, tx: &Tx<'_>, terminal: &Terminal, now: Timestamp) -> Result<(), Error> {
        if let Some(server) = &terminal.server {
            self.arm_at(tx, server.socket.clone(), now)?;
        }
        Ok(())
    }

    /// As [`Self::arm`], for a server by its socket.
    pub fn arm_at(&mut self, tx: &Tx<'_>, socket: PathBuf, now: Timestamp) -> Result<(), Error> {
        match tx.arm(&socket.to_string_lossy(), now)? {
            Arm::Keep => {}
            arm => {
                self.timers.retain(|(other, _)| *other != socket);
                self.timers.push((socket, arm));
            }
        }
        Ok(())
    }

    /// Does it. What fails is logged and found again by the next entry; a hook never fails because of it.
    pub fn run(self, cx: &Context, store: &mut Store) {
        let now = clock::now();
        if !self.timers.is_empty() {
            failpoint::hit("timer.before_arm");
        }
        for (socket, arm) in self.timers {
            let tmux = Tmux::at(&socket);
            let done = match arm {
                Arm::Keep => Ok(()),
                Arm::Cancel { generation } => tmux.cancel_timer(cx.home.root(), generation),
                Arm::Set { at, generation } => {
                    let ms = u64::try_from(at.as_millisecond() - now.as_millisecond())
                        .unwrap_or(0)
                        .clamp(5, 15 * 60 * 1000);
                    tmux.arm_timer(&cx.binary, cx.home.root(), generation, ms)
                }
            };
            if let Err(error) = done {
                tracing::debug!(%error, "arm a timer");
                let socket = socket.to_string_lossy().into_owned();
                let _ = store.write(Durability::Process, Budget::Status, |tx| tx.disarm(&socket));
            }
        }
        for id in self.ended.iter().chain(&self.lost) {
            remove_files(cx, store, id);
        }
        // The lock of one that waits on stays: a helper that still has it is waited for by those after the resumption.
        for id in &self.ended {
            TerminalLock::remove(&cx.home, id.as_str());
        }
        for pid in &self.gone {
            let _ = std::fs::remove_file(cx.home.bell(*pid));
        }
        for (socket, pane, id) in &self.released {
            if let Err(error) = Tmux::at(socket).release_pane(*pane, id) {
                tracing::debug!(%error, terminal = %id, "take what is ours from a pane");
            }
        }
        let mut sockets: Vec<&PathBuf> = self.counts.iter().collect();
        for (socket, _, _) in &self.shown {
            if !sockets.contains(&socket) {
                sockets.push(socket);
            }
        }
        for socket in sockets {
            let mut list = CommandList::new();
            for (_, pane, status) in self.shown.iter().filter(|(other, _, _)| other == socket) {
                if let (Some(pane), true) = (PaneId::parse(pane), status.alive()) {
                    list = list.then([
                        "set-option",
                        "-p",
                        "-t",
                        &pane.to_string(),
                        "@conductor_status",
                        status.as_str(),
                    ]);
                    list = list.then(["set-option", "-pqu", "-t", &pane.to_string(), SEEN]);
                }
            }
            let tmux = Tmux::at(socket);
            if !list.is_empty()
                && let Err(error) = tmux.run(&list)
            {
                tracing::debug!(%error, "show a pane's status");
            }
            if let Err(error) = show_counts(store, &tmux) {
                tracing::debug!(%error, "show the status");
            }
        }
        for (socket, notice) in &self.notices {
            notify::tell(cx, socket, notice);
        }
    }
}

/// The lock of whoever writes or removes the files of a terminal.
pub(super) fn files_lock(id: &TerminalId) -> String {
    format!("{id}.files")
}

/// Removes the files of a terminal that has ended, unless it is being started again.
pub(super) fn remove_files(cx: &Context, store: &mut Store, id: &TerminalId) {
    let lock = files_lock(id);
    let Ok(Some(held)) = TerminalLock::acquire(&cx.home, &lock, Duration::ZERO) else {
        return;
    };
    let ended = store
        .read(|tx| tx.terminal(id))
        .is_ok_and(|terminal| terminal.is_none_or(|terminal| !terminal.alive()));
    if ended {
        let _ = std::fs::remove_dir_all(cx.home.run_of(id.as_str()));
    }
    drop(held);
    TerminalLock::remove(&cx.home, &lock);
}

/// The counts of the server at `socket`.
pub fn counts(tx: &Tx<'_>, socket: &std::path::Path) -> Result<Counts, Error> {
    let mut counts = Counts {
        notes: tx.waiting_note_count(Some(&socket.to_string_lossy()))?,
        ..Counts::default()
    };
    let open = tx.open_counts()?;
    let pending = tx.pending_counts()?;
    let seen = tx.seen_terminals()?;
    for terminal in tx.live_terminals()? {
        if terminal
            .server
            .as_ref()
            .is_none_or(|server| server.socket != socket)
        {
            continue;
        }
        counts.live += 1;
        counts.pending += pending
            .iter()
            .find(|(id, _)| id.as_deref() == Some(terminal.id.as_str()))
            .and_then(|(_, count)| u64::try_from(*count).ok())
            .unwrap_or(0);
        counts.unread += open
            .get(terminal.id.as_str())
            .and_then(|count| u64::try_from(*count).ok())
            .unwrap_or(0);
        let since = terminal.state.since.as_millisecond();
        if seen.get(terminal.id.as_str()) != Some(&since) {
            counts.waiting += u64::from(terminal.state.status == Status::Waiting);
            counts.error += u64::from(terminal.state.status == Status::Error);
        }
    }
    Ok(counts)
}

/// Brings the counts on a server's status line up to date; asks tmux nothing where what was shown last is right.
pub fn show_counts(store: &mut Store, tmux: &Tmux) -> crate::error::Result<()> {
    let key = format!("shown:{}", tmux.socket().display());
    let (counts, shown) =
        store.read(|tx| Ok::<_, Error>((counts(tx, tmux.socket())?, tx.meta(&key)?)))?;
    let fresh = format!("{counts:?}");
    if shown.as_deref() == Some(&fresh) {
        return Ok(());
    }
    tmux.show_counts(store.home().root(), &counts)?;
    Ok(store.write(Durability::Process, Budget::Status, |tx| {
        tx.set_meta(&key, &fresh)
    })?)
}

/// Forgets what was shown last on a server: it may have been removed.
pub fn forget_shown(store: &mut Store, tmux: &Tmux) -> crate::error::Result<()> {
    let key = format!("shown:{}", tmux.socket().display());
    Ok(store.write(Durability::Process, Budget::Call, |tx| {
        tx.set_meta(&key, "")
    })?)
}

/// Who ends a terminal, and through which door; for the audit log.
#[derive(Debug, Clone, Copy)]
pub struct Ender<'a> {
    /// `human`, a terminal's id, `unverified`, `conductor`.
    pub actor: &'a str,
    /// The command's name.
    pub via: &'a str,
}

impl Ender<'static> {
    /// Nobody asked for it: it follows from something else.
    pub const NOBODY: Self = Self {
        actor: "conductor",
        via: Source::Command.as_str(),
    };

    /// It ended by itself, as `source` says.
    const fn seen(source: Source) -> Self {
        Self {
            via: source.as_str(),
            ..Self::NOBODY
        }
    }
}

/// Ends a terminal in a transaction: nothing is lost silently. What waits for it is dead with the reason, a handoff that it was at has
/// its answer, and the audit log says so. One that was being resumed, and ended before it was heard from, waits on (see [`lose`]).
pub fn end(
    tx: &Tx<'_>,
    terminal: &Terminal,
    reason: &str,
    source: Source,
    at: Timestamp,
    aftermath: &mut Aftermath,
) -> Result<(), Error> {
    if terminal.loss.is_some() {
        lose(tx, terminal, reason, source, at, aftermath)?;
        aftermath.count(terminal);
        return aftermath.arm(tx, terminal, at);
    }
    let by = Ender::seen(source);
    finish(tx, terminal, (reason, source), by, at, aftermath)
}

/// As [`end`], because somebody asked for it.
pub fn end_by(
    tx: &Tx<'_>,
    terminal: &Terminal,
    reason: &str,
    by: Ender<'_>,
    at: Timestamp,
    aftermath: &mut Aftermath,
) -> Result<(), Error> {
    finish(tx, terminal, (reason, Source::Command), by, at, aftermath)
}

fn finish(
    tx: &Tx<'_>,
    terminal: &Terminal,
    (reason, source): (&str, Source),
    by: Ender<'_>,
    at: Timestamp,
    aftermath: &mut Aftermath,
) -> Result<(), Error> {
    if !exit(tx, terminal, reason, source, at)? {
        return Ok(());
    }
    tx.give_terminal_up(&terminal.id)?;
    bury(tx, terminal, reason, at, aftermath)?;
    tx.clear_due(DueKind::Deliver, terminal.id.as_str())?;
    tx.clear_due(DueKind::Park, terminal.id.as_str())?;
    super::approve::withdraw_all(tx, &terminal.id, "the agent has ended", true, at, aftermath)?;
    super::flow::ended(tx, terminal, at)?;
    worktree_due(tx, terminal, at)?;
    audit(tx, terminal, "terminal.exited", reason, by, at)?;
    aftermath.ended.push(terminal.id.clone());
    if terminal.adopted {
        aftermath.gone.extend(terminal.root.map(|root| root.pid));
    }
    if terminal.adopted
        && let (Some(server), Some(pane)) = (&terminal.server, &terminal.pane)
        && let Some(pane) = PaneId::parse(pane)
    {
        aftermath
            .released
            .push((server.socket.clone(), pane, terminal.id.clone()));
    }
    aftermath.count(terminal);
    aftermath.arm(tx, terminal, at)
}

/// Ends a terminal whose server died, or whose machine was restarted, and that can be resumed: what waits for it waits on, a handoff that it
/// was at stays open, and what it asked a person for is withdrawn, so that it asks again.
pub fn lose(
    tx: &Tx<'_>,
    terminal: &Terminal,
    reason: &str,
    source: Source,
    at: Timestamp,
    aftermath: &mut Aftermath,
) -> Result<(), Error> {
    if !exit(tx, terminal, reason, source, at)? {
        return Ok(());
    }
    tx.lose_terminal(&terminal.id, terminal.state.status, at)?;
    for id in tx.keep_messages(&terminal.id, &format!("waits to be resumed: {reason}"))? {
        tx.clear_due(DueKind::Proof, &id.to_string())?;
    }
    tx.clear_due(DueKind::Deliver, terminal.id.as_str())?;
    tx.clear_due(DueKind::Park, terminal.id.as_str())?;
    let why = super::recover::asks_again(reason);
    super::approve::withdraw_all(tx, &terminal.id, &why, true, at, aftermath)?;
    let by = Ender::seen(source);
    audit(tx, terminal, "terminal.lost", reason, by, at)?;
    aftermath.lost.push(terminal.id.clone());
    if terminal.adopted {
        aftermath.gone.extend(terminal.root.map(|root| root.pid));
    }
    Ok(())
}

/// Nobody will resume a lost terminal: what waited for it comes to its end. Says whether it was lost.
pub fn give_up(
    tx: &Tx<'_>,
    terminal: &Terminal,
    by: Ender<'_>,
    at: Timestamp,
    aftermath: &mut Aftermath,
) -> Result<bool, Error> {
    if !tx.give_terminal_up(&terminal.id)? {
        return Ok(false);
    }
    let reason = format!("{}; it was given up", terminal.state.reason);
    bury(tx, terminal, &reason, at, aftermath)?;
    worktree_due(tx, terminal, at)?;
    audit(tx, terminal, "terminal.given_up", &reason, by, at)?;
    aftermath.ended.push(terminal.id.clone());
    Ok(true)
}

/// Somebody looks at the worktree of a terminal that has ended, whatever becomes of this process.
fn worktree_due(tx: &Tx<'_>, terminal: &Terminal, at: Timestamp) -> Result<(), Error> {
    if !terminal.worktree.as_ref().is_some_and(Worktree::is_there) {
        return Ok(());
    }
    let server = terminal.server.as_ref();
    let server = server.map(|server| server.socket.to_string_lossy().into_owned());
    let id = terminal.id.as_str();
    let when = clock::after_ms(at, WORKTREE_MS);
    tx.set_due(DueKind::Worktree, id, server.as_deref(), when)
}

fn exit(
    tx: &Tx<'_>,
    terminal: &Terminal,
    reason: &str,
    source: Source,
    at: Timestamp,
) -> Result<bool, Error> {
    let change = Change {
        status: Status::Exited,
        reason: reason.to_owned(),
    };
    tx.set_state(&terminal.id, &change, source, at)
}

fn audit(
    tx: &Tx<'_>,
    terminal: &Terminal,
    action: &str,
    reason: &str,
    by: Ender<'_>,
    at: Timestamp,
) -> Result<(), Error> {
    let detail = serde_json::json!({"reason": reason});
    let subject = terminal.id.as_str();
    tx.audit(at, action, subject, by.actor, by.via, detail)?;
    Ok(())
}

/// What waits for a terminal that will never take it is dead, and the handoff that it was at has its answer.
fn bury(
    tx: &Tx<'_>,
    terminal: &Terminal,
    reason: &str,
    at: Timestamp,
    aftermath: &mut Aftermath,
) -> Result<(), Error> {
    for id in tx.bury_messages(&terminal.id, &format!("the receiver has ended: {reason}"))? {
        tx.clear_due(DueKind::Proof, &id.to_string())?;
        super::approve::withdraw_message(tx, id, "the receiver has ended", aftermath)?;
        bounce::tell(tx, id, at, aftermath)?;
        tracing::info!(message = %id, terminal = %terminal.id, status = MessageStatus::Dead.as_str(), "message ended with its receiver");
    }
    tx.withdraw_notes(&terminal.id, at)?;
    if let Some(handoff) = tx.handoff_of_worker(&terminal.id)?
        && handoff.status == HandoffStatus::Running
    {
        tx.answer_handoff(
            &handoff.id,
            HandoffStatus::Error,
            &format!("the worker has ended: {reason}"),
            at,
        )?;
        let server = terminal
            .server
            .as_ref()
            .map(|server| server.socket.to_string_lossy().into_owned());
        tx.set_due(
            DueKind::Handoff,
            &handoff.id,
            server.as_deref(),
            clock::after_ms(at, 500),
        )?;
    }
    Ok(())
}
