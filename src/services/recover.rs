//! Comparing the records with the tmux servers: hooks only say "look", and `list-panes` says what is so.

use super::after::{self, Aftermath};
use super::context::Context;
use crate::clock;
use crate::domain::handoff::HandoffStatus;
use crate::domain::message::MessageStatus;
use crate::domain::terminal::{Server, Source, Status, Terminal};
use crate::domain::text::one_line;
use crate::error::Result;
use crate::proc::Identity;
use crate::store::{Budget, DueKind, Durability, Store, Tx};
use crate::tmux::{self, Pane, PaneId, Tmux};
use jiff::Timestamp;
use serde::Serialize;
use std::path::PathBuf;

/// A launch that has not registered after this time never will, in milliseconds.
const START_LIMIT_MS: i64 = 30_000;

/// What the comparison found out about one terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The terminal.
    pub terminal: String,
    /// What is so.
    pub reason: String,
}

/// What is true of one terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Truth {
    Lives { session: String, window: String },
    Ended(String),
    NotYet,
}

/// What a server answered.
enum Panes {
    There(Server, Vec<Pane>),
    Gone,
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
        return if waited > START_LIMIT_MS {
            Truth::Ended("it never started".to_owned())
        } else {
            Truth::NotYet
        };
    };
    let Panes::There(found, panes) = panes else {
        return Truth::Ended("the tmux server is gone".to_owned());
    };
    if (found.pid, found.start) != (server.pid, server.start) {
        return Truth::Ended("the tmux server was restarted".to_owned());
    }
    let id = PaneId::parse(pane);
    let Some(pane) = panes.iter().find(|p| Some(p.id) == id) else {
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
    }
}

/// Compares all living terminals with their servers, and mends the records; says which ended.
pub fn all(cx: &Context, store: &mut Store) -> Result<Vec<Finding>> {
    let living = store.read(|tx| tx.live_terminals())?;
    compare(cx, store, &living, false)
}

/// As [`all`], without changing anything.
pub fn preview(cx: &Context, store: &mut Store) -> Result<Vec<Finding>> {
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
pub fn check(cx: &Context, store: &mut Store, terminal: &Terminal) -> Result<()> {
    if terminal.alive() && !runs(terminal) {
        server_of(cx, store, terminal)?;
    }
    Ok(())
}

/// Compares the terminals of one terminal's server.
pub fn server_of(cx: &Context, store: &mut Store, terminal: &Terminal) -> Result<Vec<Finding>> {
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
) -> Result<Vec<Finding>> {
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
            Ok((server, panes)) => Panes::There(server, panes),
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
        match judge(terminal, panes, Identity::alive, now.as_millisecond()) {
            Truth::Ended(reason) => {
                findings.push(Finding {
                    terminal: terminal.id.to_string(),
                    reason: reason.clone(),
                });
                changes.push((terminal, Truth::Ended(reason)));
            }
            Truth::Lives { session, window }
                if session != terminal.session || window != terminal.window =>
            {
                changes.push((terminal, Truth::Lives { session, window }));
            }
            Truth::Lives { .. } | Truth::NotYet => {}
        }
    }
    if dry || changes.is_empty() {
        return Ok(findings);
    }
    let mut aftermath = Aftermath::default();
    store.write(Durability::Process, Budget::Call, |tx| {
        for (terminal, truth) in &changes {
            match truth {
                Truth::Ended(reason) => {
                    after::end(tx, terminal, reason, Source::Process, now, &mut aftermath)?;
                }
                Truth::Lives { session, window } => {
                    tx.note_place(&terminal.id, session, window)?;
                }
                Truth::NotYet => {}
            }
        }
        Ok::<_, crate::store::Error>(())
    })?;
    aftermath.run(cx, store);
    Ok(findings)
}

/// Looks again at everything that waits and may have become possible: after a person left a mode, or a client went idle or away.
pub fn retry_waiting(cx: &Context, store: &mut Store) -> Result<()> {
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
) -> std::result::Result<Vec<(DueKind, String, Terminal)>, crate::store::Error> {
    let mut found = Vec::new();
    for terminal in living {
        if terminal.state.status == Status::Parked {
            if !tx.is_due(DueKind::Park, terminal.id.as_str())? {
                found.push((DueKind::Park, terminal.id.to_string(), terminal.clone()));
            }
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
) -> std::result::Result<Vec<(DueKind, String, Terminal)>, crate::store::Error> {
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
pub fn rearm(cx: &Context, store: &mut Store) -> Result<()> {
    let now = clock::now();
    if let Err(failure) = super::flow::heal(store) {
        tracing::warn!(%failure, "look after flows");
    }
    let (needed, flows, left) = store.read(|tx| {
        let living = tx.live_terminals()?;
        let flows = super::flow::unwatched(tx, now)?;
        let mut needed = tx.is_due_too_late(now)? || !flows.is_empty();
        for server in living.iter().filter_map(|t| t.server.as_ref()) {
            needed |= tx
                .next_due(&server.socket.to_string_lossy())?
                .is_some_and(|at| at.as_millisecond() + 2_000 < now.as_millisecond());
        }
        let mut left = unattended(tx, &living, now)?;
        left.extend(forgotten(tx, now)?);
        left.extend(super::note::forgotten(tx)?);
        Ok::<_, crate::store::Error>((needed, flows, left))
    })?;
    if !needed && left.is_empty() {
        return Ok(());
    }
    let mut aftermath = Aftermath::default();

    store.write(Durability::Process, Budget::Call, |tx| {
        tx.pull_in(now)?;
        for (kind, subject, terminal) in &left {
            let socket = super::deliver::socket(terminal);
            tx.set_due(*kind, subject, socket.as_deref(), now)?;
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
mod tests {
    use super::*;
    use crate::domain::handoff::Handoff;
    use crate::domain::ids::{MessageId, TerminalId};
    use crate::paths::Home;

    #[test]
    fn an_answer_whose_due_time_is_lost_is_due_again() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path().join("state")).unwrap();
        let mut store = Store::open_or_create(&home).unwrap();
        let cx = Context::new(home, Tmux::at(dir.path().join("no-server"))).unwrap();
        let now = clock::now();
        let id = |n: u8| TerminalId::from_bytes([n; 4]);
        let handoff = |n: u8, caller: u8| Handoff {
            id: format!("h-{n}"),
            caller: id(caller),
            worker: id(2),
            message: MessageId(i64::from(n)),
            fingerprint: String::new(),
            status: HandoffStatus::Running,
            answer: None,
            created_at: now,
            deadline_at: clock::after_ms(now, 600_000),
            answered_at: None,
            given: false,
            open: false,
            waiter: None,
        };
        store
            .write(Durability::Process, Budget::Call, |tx| {
                for n in [1, 2] {
                    tx.insert_terminal(&Terminal::sample(id(n)))?;
                }
                // Answered; still running; reserved; answered for a caller that is gone.
                for (n, caller) in [(1, 1), (2, 1), (0, 1), (4, 9)] {
                    tx.insert_handoff(&handoff(n, caller))?;
                }
                tx.answer_handoff("h-1", HandoffStatus::Done, "x", now)?;
                tx.answer_handoff("h-4", HandoffStatus::Error, "x", now)
            })
            .unwrap();
        rearm(&cx, &mut store).unwrap();
        let due: Vec<bool> = store
            .read(|tx| {
                ["h-1", "h-2", "h-0", "h-4"]
                    .into_iter()
                    .map(|id| tx.is_due(DueKind::Handoff, id))
                    .collect::<std::result::Result<_, _>>()
            })
            .unwrap();
        assert_eq!(due, [true, false, false, false]);
    }
}
