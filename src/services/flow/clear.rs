//! What runs leave behind: their terminals, closed when they are asked for, or when the next run finds nothing at work in them.

use super::super::after::Ender;
use super::super::close;
use super::super::context::Context;
use super::super::deliver::place;
use super::fate;
use crate::clock;
use crate::domain::flow::{Flow, Moment, Run};
use crate::domain::ids::TerminalId;
use crate::domain::terminal::{Root, Status, Terminal};
use crate::error::Result;
use crate::paths;
use crate::proc::{self, Identity};
use crate::providers::{self, Catalogue, Seen};
use crate::store::{Budget, Durability, Store};
use jiff::Timestamp;

/// The variable by which the terminal of a run is known before the ledger knows it.
pub(super) const RUN: &str = "CONDUCTOR_RUN";

/// A terminal that has been used this long after its run was over belongs to whoever uses it, in milliseconds.
const USED_MS: i64 = 5_000;

/// Closes what earlier runs left at their prompts, unless somebody has used it since.
pub(super) fn clear_away(cx: &Context, store: &mut Store, flow: &Flow) -> Result<()> {
    let left = store.read(|tx| {
        let mut left = Vec::new();
        for run in tx.runs_left(&flow.name)? {
            let Some(id) = &run.terminal else {
                continue;
            };
            // What was sent to it since is work of somebody else.
            let newest = tx.messages(Some(id), None, 1)?.into_iter().next();
            let addressed = newest.map(|message| message.id) != run.message;
            left.extend(tx.terminal(id)?.map(|terminal| (run, terminal, addressed)));
        }
        Ok::<_, crate::store::Error>(left)
    })?;
    let now = fate::moment();
    let mut free_ones = Vec::new();
    for (run, terminal, addressed) in left {
        let free = if terminal.hooked {
            let busy = matches!(terminal.state.status, Status::Working | Status::Waiting);
            let ended_at = run.ended_at.unwrap_or(Timestamp::MIN);
            !busy && terminal.state.since <= clock::after_ms(ended_at, USED_MS)
        } else {
            !addressed && (at_prompt(cx, &terminal) || is_late(&run, &now))
        };
        if free {
            free_ones.push(run.id);
        }
    }
    if free_ones.is_empty() {
        return Ok(());
    }
    store.write(Durability::Process, Budget::Call, |tx| {
        for id in &free_ones {
            tx.set_closing(*id, true)?;
        }
        Ok::<_, crate::store::Error>(())
    })?;
    close_asked(cx, store, &flow.name)
}

/// Whether exactly this process runs.
pub(super) fn lives(process: Root) -> bool {
    identity(process).alive()
}

const fn identity(process: Root) -> Identity {
    Identity {
        pid: process.pid,
        start: process.start,
    }
}

/// Closes the terminals of runs that are over and asked for it. That they did is stored first: whoever looks after this one was killed
/// closes them.
pub(super) fn close_asked(cx: &Context, store: &mut Store, name: &str) -> Result<()> {
    for run in store.read(|tx| tx.closing_runs(name))? {
        let closed = if let Some(id) = &run.terminal {
            close_terminal(cx, store, id)
        } else {
            close_unnoted(cx, store, &run)?;
            // Who starts it may be about to: it closes what it starts, unless it is killed.
            !run.lease.is_some_and(lives)
        };
        if closed {
            store.write(Durability::Process, Budget::Call, |tx| {
                tx.set_closing(run.id, false)
            })?;
        }
    }
    Ok(())
}

/// Whether an agent that does not tell when its turn is over shows its empty prompt. That it is quiet proves nothing.
fn at_prompt(cx: &Context, terminal: &Terminal) -> bool {
    let Ok(manifest) = Catalogue::of(&cx.home).get(&terminal.provider) else {
        return false;
    };
    manifest.screen.idle.is_some()
        && place(terminal).is_some_and(|(tmux, pane)| {
            let seen = tmux.sight(pane);
            seen.is_ok_and(|(screen, title)| {
                providers::look(&manifest, &screen, &title) == Seen::Idle
            })
        })
}

fn is_late(run: &Run, now: &Moment) -> bool {
    run.deadline
        .as_ref()
        .is_none_or(|end| end.left_ms(now) <= 0)
}

/// Closes a run's terminal, if it is there; says whether it is closed.
pub(super) fn close_terminal(cx: &Context, store: &mut Store, id: &TerminalId) -> bool {
    let closed = match store.read(|tx| tx.terminal(id)) {
        Ok(Some(terminal)) => close::close(cx, store, &terminal, false, Ender::NOBODY).map(|_| ()),
        Ok(None) => Ok(()),
        Err(error) => Err(error.into()),
    };
    if let Err(failure) = &closed {
        tracing::warn!(%failure, terminal = %id, "close the terminal of a flow");
    }
    closed.is_ok()
}

/// Ends what a helper that was killed, or hangs, had started for a run without noting it: its script, and its agent.
pub(super) fn close_unnoted(cx: &Context, store: &mut Store, run: &Run) -> Result<()> {
    if let Some(leader) = run.script {
        let due = run.due_at.to_string();
        proc::end_left_group(identity(leader), (paths::name::FLOW_DUE, &due));
    }
    // An earlier look may have been killed in the middle of closing it.
    let mut found: Vec<TerminalId> = run.terminal.iter().cloned().collect();
    for id in unnoted(store, run)? {
        store.write(Durability::Process, Budget::Call, |tx| {
            tx.note_terminal(run.id, &id)
        })?;
        found.push(id);
    }
    for id in found {
        close_terminal(cx, store, &id);
    }
    Ok(())
}

/// Living terminals that were launched for a run, whether it knows them or not.
pub(super) fn unnoted(store: &mut Store, run: &Run) -> Result<Vec<TerminalId>> {
    let mark = (RUN.to_owned(), run.id.to_string());
    let author = |t: &Terminal| t.caller.is_none() && t.env.contains(&mark);
    let living = store.read(|tx| tx.live_terminals())?;
    Ok(living.into_iter().filter(author).map(|t| t.id).collect())
}
