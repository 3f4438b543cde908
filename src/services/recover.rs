//! Comparing the records with the tmux servers: hooks only say "look", and `list-panes` says what is so.

use super::after::{self, Aftermath, Ender};
use super::context::Context;
use crate::clock::{self, Deadline};
use crate::domain::handoff::HandoffStatus;
use crate::domain::loss::Spot;
use crate::domain::message::MessageStatus;
use crate::domain::terminal::{Server, Source, Status, Terminal};
use crate::domain::text::one_line;
use crate::error;
use crate::proc::{self, Identity, Process};
use crate::store::{Budget, DueKind, Durability, Store, Tx};
use crate::tmux::{self, Pane, PaneId, Tmux};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::time::Duration;

/// A launch that has not registered after this time never will, in milliseconds.
const START_LIMIT_MS: i64 = 30_000;

/// What the comparison found out about one terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The terminal.
    pub terminal: String,
    /// What is so.
    pub reason: String,
    /// Whether it waits to be resumed.
    pub lost: bool,
}

/// What is true of one terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Truth {
    Lives {
        session: String,
        window: String,
        spot: Spot,
    },
    Ended(String),
    /// Its server died under it: nobody wanted its end.
    Lost(String),
    NotYet,
}

/// What the comparison changes about one terminal.
enum Change {
    End(String),
    Lose(String, Result<(), String>),
    Move(String, String, Spot),
}

/// What a server answered.
enum Panes {
    There(Server, HashMap<PaneId, Pane>),
    Gone,
}

/// Panes by their ids. One of a linked window is listed once for each of its sessions: the first counts.
fn by_id(panes: Vec<Pane>) -> HashMap<PaneId, Pane> {
    let mut found = HashMap::with_capacity(panes.len());
    for pane in panes {
        found.entry(pane.id).or_insert(pane);
    }
    found
}

/// Judges one terminal by what its server says and whether its process lives.
fn judge(
    terminal: &Terminal,
    panes: &Panes,
    alive: impl Fn(Identity) -> bool,
    now_ms: i64,
) -> Truth {
    let (Some(server), Some(pane), Some(root)) =
        (&terminal.server, terminal.pane.as_deref(), terminal.root)
    else {
        let waited = now_ms - terminal.state.since.as_millisecond();
        let worktree = terminal.worktree.as_ref();
        let limit = START_LIMIT_MS + worktree.map_or(0, |_| super::worktree::MAKING_MS);
        return if waited > limit {
            Truth::Ended("it never started".to_owned())
        } else {
            Truth::NotYet
        };
    };
    // A process of another boot is not looked for: its pid may be somebody else's now, and its socket another server's.
    if !proc::of_this_boot(root.start) {
        return Truth::Lost("the machine was restarted".to_owned());
    }
    let Panes::There(found, panes) = panes else {
        return Truth::Lost(SERVER_GONE.to_owned());
    };
    if (found.pid, found.start) != (server.pid, server.start) {
        return Truth::Lost("the tmux server was restarted".to_owned());
    }
    let id = PaneId::parse(pane);
    let Some(pane) = id.and_then(|id| panes.get(&id)) else {
        return Truth::Ended("its pane is gone".to_owned());
    };
    if pane.dead {
        return Truth::Ended("the agent's process ended, the pane stays".to_owned());
    }
    if terminal.pane_pid.is_some_and(|pid| pid != pane.pid) {
        return Truth::Ended("its pane was respawned with another program".to_owned());
    }
    if !alive(Identity {
        pid: root.pid,
        start: root.start,
    }) {
        return Truth::Ended("the agent's process ended".to_owned());
    }
    let (session, window) = pane.place(&terminal.session);
    Truth::Lives {
        session: one_line(session),
        window: one_line(window),
        spot: pane.spot.clone(),
    }
}

/// Why a terminal has ended whose server was found dying.
pub(super) const SERVER_GONE: &str = "the tmux server is gone";

/// Why what an agent asked for is withdrawn when its server died.
pub(super) fn asks_again(reason: &str) -> String {
    format!("{reason}: the agent asks again once it is resumed")
}

/// What becomes of a terminal whose server died: it waits to be resumed where that is possible at all. One of a flow does not: the next run
/// starts a new agent.
pub(super) fn kept(cx: &Context, terminal: &Terminal, reason: &str) -> Result<(), String> {
    if terminal.of_flow() {
        return Err(reason.to_owned());
    }
    match super::resume::never(cx, terminal) {
        None => Ok(()),
        Some(why) => Err(format!("{reason}; it cannot be resumed: {why}")),
    }
}

/// Ends a terminal whose server died, as [`kept`] says.
pub(super) fn end_lost(
    tx: &Tx<'_>,
    terminal: &Terminal,
    kept: &Result<(), String>,
    (reason, source): (&str, Source),
    at: Timestamp,
    aftermath: &mut Aftermath,
) -> Result<(), crate::store::Error> {
    if let Some(server) = &terminal.server {
        tx.server_gone(&server.socket.to_string_lossy())?;
    }
    match kept {
        Ok(()) => after::lose(tx, terminal, reason, source, at, aftermath),
        Err(reason) => after::end(tx, terminal, reason, source, at, aftermath),
    }
}

/// Whether the tmux server of a terminal is gone, or about to be. A server that ends closes its panes before it is gone.
pub(super) fn server_dies(terminal: &Terminal) -> bool {
    let Some(server) = &terminal.server else {
        return false;
    };
    let gone = || Process::of(server.pid).is_none_or(|process| process.zombie);
    if gone() {
        return true;
    }
    match Tmux::at(&server.socket).identify() {
        Ok((found, _)) => (found.pid, found.start) != (server.pid, server.start),
        Err(tmux::Error::NoServer(_)) => true,
        Err(_) => {
            let deadline = Deadline::after(Duration::from_millis(500));
            while !gone() && !deadline.passed() {
                clock::sleep(Duration::from_millis(10), &deadline);
            }
            gone()
        }
    }
}

/// Compares all living terminals with their servers, and mends the records; says which ended.
pub fn all(cx: &Context, store: &mut Store) -> error::Result<Vec<Finding>> {
    let living = store.read(|tx| tx.live_terminals())?;
    let findings = compare(cx, store, &living, false)?;
    end_closed(cx, store)?;
    Ok(findings)
}

/// How long whoever closes an agent may take to end it, in milliseconds.
const CLOSING_MS: i64 = 10_000;

/// Until when an agent that was closed is looked for, in milliseconds.
const CLOSED_MS: i64 = 60 * 60 * 1000;

/// Ends agents that were closed by a helper which was killed before it had ended them.
fn end_closed(cx: &Context, store: &mut Store) -> error::Result<()> {
    let now = clock::now();
    let ended = store.read(|tx| tx.ended_terminals(clock::after_ms(now, -CLOSED_MS)))?;
    let left = |t: &&Terminal| {
        t.ended_at
            .is_some_and(|at| clock::elapsed_ms(at, now) > CLOSING_MS)
            && t.state.source == Source::Command
            && !t.adopted
            && !t.lost()
            && runs(t)
    };
    for terminal in ended.iter().filter(left) {
        super::close::end(cx, store, terminal, true, Ender::NOBODY)?;
    }
    Ok(())
}

/// As [`all`], without changing anything.
pub fn preview(cx: &Context, store: &mut Store) -> error::Result<Vec<Finding>> {
    let living = store.read(|tx| tx.live_terminals())?;
    compare(cx, store, &living, true)
}

/// Whether the agent's process runs: the kernel says so at once, where tmux would have to list its panes.
pub fn runs(terminal: &Terminal) -> bool {
    terminal.root.is_some_and(|root| {
        let (pid, start) = (root.pid, root.start);
        Identity { pid, start }.alive()
    })
}

/// Ends in the records a terminal that ended without an event, before anything is stored for it.
pub fn check(cx: &Context, store: &mut Store, terminal: &Terminal) -> error::Result<()> {
    if terminal.alive() && !runs(terminal) {
        server_of(cx, store, terminal)?;
    }
    Ok(())
}

/// Compares the terminals of one terminal's server.
pub fn server_of(
    cx: &Context,
    store: &mut Store,
    terminal: &Terminal,
) -> error::Result<Vec<Finding>> {
    let socket = terminal.server.as_ref().map(|server| server.socket.clone());
    let living: Vec<Terminal> = store
        .read(|tx| tx.live_terminals())?
        .into_iter()
        .filter(|t| t.server.as_ref().map(|server| server.socket.clone()) == socket)
        .collect();
    compare(cx, store, &living, false)
}

fn compare(
    cx: &Context,
    store: &mut Store,
    living: &[Terminal],
    dry: bool,
) -> error::Result<Vec<Finding>> {
    let mut sockets: Vec<PathBuf> = Vec::new();
    for socket in living
        .iter()
        .filter_map(|t| t.server.as_ref())
        .map(|server| &server.socket)
    {
        if !sockets.contains(socket) {
            sockets.push(socket.clone());
        }
    }
    let mut servers: Vec<(PathBuf, Panes)> = Vec::new();
    for socket in sockets {
        let panes = match Tmux::at(&socket).panes() {
            Ok((server, panes)) => Panes::There(server, by_id(panes)),
            Err(tmux::Error::NoServer(_)) => Panes::Gone,
            Err(error) => {
                tracing::warn!(%error, "list panes");
                continue;
            }
        };
        servers.push((socket, panes));
    }
    let now = clock::now();
    let mut findings = Vec::new();
    let mut changes = Vec::new();
    for terminal in living {
        let found = terminal.server.as_ref().map(|server| &server.socket);
        let gone = Panes::Gone;
        let panes = match found {
            None => &gone,
            Some(socket) => match servers.iter().find(|(other, _)| other == socket) {
                Some((_, panes)) => panes,
                // The server did not answer properly: nothing is known, nothing is changed.
                None => continue,
            },
        };
        let finding = |reason: String, lost: bool| Finding {
            terminal: terminal.id.to_string(),
            reason,
            lost,
        };
        match judge(terminal, panes, Identity::alive, now.as_millisecond()) {
            Truth::Ended(reason) => {
                findings.push(finding(reason.clone(), false));
                changes.push((terminal, Change::End(reason)));
            }
            Truth::Lost(reason) => {
                let kept = kept(cx, terminal, &reason);
                let said = kept.clone().err().unwrap_or_else(|| reason.clone());
                findings.push(finding(said, kept.is_ok()));
                changes.push((terminal, Change::Lose(reason, kept)));
            }
            Truth::Lives {
                session,
                window,
                spot,
            } => {
                let same = session == terminal.session
                    && window == terminal.window
                    && terminal.spot.as_ref() == Some(&spot);
                if !same {
                    changes.push((terminal, Change::Move(session, window, spot)));
                }
            }
            Truth::NotYet => {}
        }
    }
    if dry || changes.is_empty() {
        return Ok(findings);
    }
    let mut aftermath = Aftermath::default();
    store.write(Durability::Process, Budget::Call, |tx| {
        for (terminal, change) in &changes {
            match change {
                Change::End(reason) => {
                    after::end(tx, terminal, reason, Source::Process, now, &mut aftermath)?;
                }
                Change::Lose(reason, kept) => {
                    let why = (reason.as_str(), Source::Process);
                    end_lost(tx, terminal, kept, why, now, &mut aftermath)?;
                }
                Change::Move(session, window, spot) => {
                    tx.note_place(&terminal.id, session, window, spot)?;
                }
            }
        }
        Ok::<_, crate::store::Error>(())
    })?;
    aftermath.run(cx, store);
    Ok(findings)
}

/// Looks again at everything that waits and may have become possible: after a person left a mode, or a client went idle or away.
pub fn retry_waiting(cx: &Context, store: &mut Store) -> error::Result<()> {
    let waiting = store.read(|tx| {
        let mut waiting = Vec::new();
        for terminal in tx.live_terminals()? {
            if let Some(head) = tx.head_message(&terminal.id)? {
                waiting.push((terminal, head));
            }
        }
        Ok::<_, crate::store::Error>(waiting)
    })?;
    for (terminal, head) in waiting {
        if head.status == MessageStatus::Placed {
            super::prove::check_proof(cx, store, head.id)?;
        } else if !matches!(terminal.state.status, Status::Working) {
            super::deliver::deliver(cx, store, &terminal.id)?;
        }
    }
    Ok(())
}

/// A message that has been waiting for this long is looked after by a due time, or its helper was killed, in milliseconds.
const UNATTENDED_MS: i64 = 2_000;

/// The messages at the head of a queue that nothing will look at again, because the helper that accepted them was killed.
fn unattended(
    tx: &Tx<'_>,
    living: &[Terminal],
    now: Timestamp,
) -> Result<Vec<(DueKind, String, Terminal)>, crate::store::Error> {
    let mut found = Vec::new();
    let open = tx.open_counts()?;
    for terminal in living {
        if terminal.state.status == Status::Parked {
            if !tx.is_due(DueKind::Park, terminal.id.as_str())? {
                found.push((DueKind::Park, terminal.id.to_string(), terminal.clone()));
            }
            continue;
        }
        if !open.contains_key(terminal.id.as_str()) {
            continue;
        }
        let Some(head) = tx.head_message(&terminal.id)? else {
            continue;
        };
        let message = head.id.to_string();
        let fresh = clock::elapsed_ms(head.queued_at, now) < UNATTENDED_MS;
        if fresh
            || tx.is_due(DueKind::Deliver, terminal.id.as_str())?
            || tx.is_due(DueKind::Proof, &message)?
        {
            continue;
        }
        found.push(if head.status == MessageStatus::Placed {
            (DueKind::Proof, message, terminal.clone())
        } else {
            (DueKind::Deliver, terminal.id.to_string(), terminal.clone())
        });
    }
    Ok(found)
}

/// Handoffs whose answer is there, or whose time is up, that nobody will give because what was due about them is lost.
fn forgotten(
    tx: &Tx<'_>,
    now: Timestamp,
) -> Result<Vec<(DueKind, String, Terminal)>, crate::store::Error> {
    let mut found = Vec::new();
    for handoff in tx.waiting_handoffs(now)? {
        if tx.is_due(DueKind::Handoff, &handoff.id)? {
            continue;
        }
        // Without its caller an answer only ends the worker; what failed stays for a person.
        let worker = || tx.terminal(&handoff.worker);
        let whose = match tx.terminal(&handoff.caller)?.filter(Terminal::alive) {
            None if handoff.status == HandoffStatus::Done => worker()?.filter(Terminal::alive),
            caller => caller,
        };
        found.extend(whose.map(|terminal| (DueKind::Handoff, handoff.id, terminal)));
    }
    Ok(found)
}

/// What is overdue because a timer was lost is due now, and so is what a killed helper left behind: arms the timers of all servers again.
pub fn rearm(cx: &Context, store: &mut Store) -> error::Result<()> {
    rearm_after(cx, store, 0)
}

/// As [`rearm`], for a tick: another may have died when it had taken a delivery out of the table. What is left is due a while later, so that
/// ticks never chase each other.
pub(super) fn rearm_later(cx: &Context, store: &mut Store) -> error::Result<()> {
    rearm_after(cx, store, UNATTENDED_MS)
}

fn rearm_after(cx: &Context, store: &mut Store, pause_ms: i64) -> error::Result<()> {
    let now = clock::now();
    if let Err(failure) = super::flow::heal(store) {
        tracing::warn!(%failure, "look after flows");
    }
    let (needed, flows, left) = store.read(|tx| {
        let living = tx.live_terminals()?;
        let flows = super::flow::unwatched(tx, now)?;
        let mut needed = tx.is_due_too_late(now)?;
        let servers = living.iter().filter_map(|t| t.server.as_ref());
        let sockets: BTreeSet<&PathBuf> = servers.map(|server| &server.socket).collect();
        for socket in sockets {
            needed |= tx
                .next_due(&socket.to_string_lossy())?
                .is_some_and(|at| at.as_millisecond() + 2_000 < now.as_millisecond());
        }
        let mut left = unattended(tx, &living, now)?;
        if pause_ms == 0 {
            left.extend(forgotten(tx, now)?);
            left.extend(super::note::forgotten(tx)?);
        }
        Ok::<_, crate::store::Error>((needed, flows, left))
    })?;
    // A server that is gone gets no timer, however often somebody looks.
    let flows: Vec<PathBuf> = flows
        .into_iter()
        .filter(|socket| Tmux::at(socket).listens())
        .collect();
    if !needed && left.is_empty() && flows.is_empty() {
        return Ok(());
    }
    let mut aftermath = Aftermath::default();
    store.write(Durability::Process, Budget::Call, |tx| {
        tx.pull_in(now)?;
        for (kind, subject, terminal) in &left {
            let socket = super::deliver::socket(terminal);
            let at = clock::after_ms(now, pause_ms);
            tx.set_due(*kind, subject, socket.as_deref(), at)?;
        }
        for terminal in tx.live_terminals()? {
            aftermath.arm(tx, &terminal, now)?;
        }
        for socket in &flows {
            aftermath.arm_at(tx, socket.clone(), now)?;
        }
        Ok::<_, crate::store::Error>(())
    })?;
    aftermath.run(cx, store);
    Ok(())
}

#[cfg(test)]
#[path = "recover_tests.rs"]
mod tests;
