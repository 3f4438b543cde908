//! Ending terminals: ours only, and nothing of them left running.

use super::after::{self, Aftermath, Ender};
use super::context::Context;
use super::deliver::place;
use super::recover;
use crate::clock;
use crate::domain::terminal::Terminal;
use crate::error::Result;
use crate::failpoint;
use crate::proc::{self, Identity};
use crate::progress;
use crate::store::{Budget, Durability, Store};
use std::time::Duration;

/// How long an agent may take to end after its pane was closed.
const GRACE: Duration = Duration::from_secs(2);

/// Ends one terminal: its pane, if it is still the terminal's, and every process of the agent. With `force` nothing gets time to say
/// goodbye. Then its worktree is removed, if nothing is lost with it; of a terminal that has ended only this is done, unless its agent
/// outlived the helper that ended it. One that waits to be resumed is given up.
pub fn close(
    cx: &Context,
    store: &mut Store,
    terminal: &Terminal,
    force: bool,
    by: Ender<'_>,
) -> Result<Terminal> {
    end(cx, store, terminal, force, by)?;
    super::worktree::settle(cx, store, &terminal.id);
    let row = store.read(|tx| tx.terminal(&terminal.id))?;
    Ok(row.unwrap_or_else(|| terminal.clone()))
}

/// As [`close`], and leaves the worktree to be looked at when it is due: git may be slow, and keeps no other agent alive.
pub fn end(
    cx: &Context,
    store: &mut Store,
    terminal: &Terminal,
    force: bool,
    by: Ender<'_>,
) -> Result<()> {
    if terminal.lost() {
        give_up(cx, store, terminal, by)?;
    }
    if !terminal.alive() && (terminal.adopted || !recover::runs(terminal)) {
        return Ok(());
    }
    let mut family: Vec<Identity> = Vec::new();
    if let Some(root) = terminal.root {
        let root = Identity {
            pid: root.pid,
            start: root.start,
        };
        if root.alive() {
            family = proc::descendants(root.pid);
            family.push(root);
        }
    }
    // A helper that closes its own agent must outlive it.
    if let Some(own) = Identity::own() {
        family.retain(|process| *process != own);
    }
    // What cannot be recorded (a full disk, a lock that is held) does not keep anything alive: an emergency stop must work then too.
    let mut aftermath = Aftermath::default();
    let recorded = store.write(Durability::Process, Budget::Decision, |tx| {
        after::end_by(tx, terminal, "closed", by, clock::now(), &mut aftermath)
    });
    failpoint::hit("close.recorded");
    // The pane of an agent that a person started stays with the person.
    if terminal.adopted {
        proc::end(
            &family,
            if force {
                Duration::from_millis(200)
            } else {
                GRACE
            },
        );
    } else if let Some((tmux, pane)) = place(terminal) {
        match tmux.kill_pane(pane, &terminal.id, terminal.pane_pid) {
            Ok(_) | Err(crate::tmux::Error::NoServer(_) | crate::tmux::Error::Run(_)) => {}
            Err(error) => tracing::warn!(%error, terminal = %terminal.id, "close the pane"),
        }
    }
    let grace = if force {
        Duration::from_millis(200)
    } else {
        GRACE
    };
    if !proc::wait_gone(&family, grace) {
        proc::end(&family, grace);
    }
    recorded?;
    aftermath.run(cx, store);
    Ok(())
}

fn give_up(cx: &Context, store: &mut Store, terminal: &Terminal, by: Ender<'_>) -> Result<()> {
    let mut aftermath = Aftermath::default();
    store.write(Durability::Process, Budget::Call, |tx| {
        after::give_up(tx, terminal, by, clock::now(), &mut aftermath)
    })?;
    aftermath.run(cx, store);
    Ok(())
}

/// Ends all terminals of one session, or of all; workers first, so that no supervisor sees them die. Their worktrees are looked at last.
pub fn shutdown(
    cx: &Context,
    store: &mut Store,
    session: Option<&str>,
    force: bool,
    by: Ender<'_>,
) -> Result<Vec<Terminal>> {
    let mut living: Vec<Terminal> = store
        .read(|tx| tx.live_terminals())?
        .into_iter()
        .filter(|t| session.is_none_or(|session| t.is_in(session, cx.tmux.socket())))
        .collect();
    let ended = end_all(cx, store, &mut living, force, by);
    let mut closed = Vec::new();
    for terminal in living {
        super::worktree::settle(cx, store, &terminal.id);
        let row = store.read(|tx| tx.terminal(&terminal.id))?;
        closed.push(row.unwrap_or(terminal));
    }
    ended.map(|()| closed)
}

/// As [`end`] for each of `living`, the youngest first, so that no supervisor sees its workers die. One that fails keeps none of the others
/// alive: the first failure is told at the end, and `living` is left with those that were ended and recorded.
pub fn end_all(
    cx: &Context,
    store: &mut Store,
    living: &mut Vec<Terminal>,
    force: bool,
    by: Ender<'_>,
) -> Result<()> {
    living.reverse();
    let mut failed = None;
    let (mut done, total) = (0, living.len());
    living.retain(|terminal| match end(cx, store, terminal, force, by) {
        Ok(()) => {
            done += 1;
            progress::step(done, total, &format!("ended {}", terminal.id));
            true
        }
        Err(failure) => {
            failed.get_or_insert(failure);
            false
        }
    });
    match failed {
        None => Ok(()),
        Some(failure) => {
            Err(failure.context("every agent was ended, and not all of it was recorded"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::TerminalId;
    use crate::paths::Home;
    use crate::store::AuditFilter;
    use crate::tmux::Tmux;

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "a database that fails, which the store itself cannot make"
    )]
    fn one_whose_end_cannot_be_recorded_keeps_no_other_alive() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path().join("state")).unwrap();
        let mut store = Store::open_or_create(&home).unwrap();
        let database = rusqlite::Connection::open(home.root().join("db/conductor.db")).unwrap();
        let cx = Context::new(home, Tmux::at(dir.path().join("no-server"))).unwrap();
        let id = |n: u8| TerminalId::from_bytes([n; 4]);
        store
            .write(Durability::Process, Budget::Call, |tx| {
                (1..=3).try_for_each(|n| tx.insert_terminal(&Terminal::sample(id(n))).map(drop))
            })
            .unwrap();
        // The youngest is the first to be ended.
        database
            .execute_batch(
                "CREATE TRIGGER full BEFORE UPDATE ON terminals WHEN old.id = '03030303'
                 BEGIN SELECT RAISE(ABORT, 'the disk is full'); END;",
            )
            .unwrap();
        let mut living = store.read(|tx| tx.live_terminals()).unwrap();
        assert_eq!(living.len(), 3);
        let by = Ender {
            actor: "human",
            via: "shutdown",
        };
        end_all(&cx, &mut store, &mut living, true, by).unwrap_err();
        let ended: Vec<TerminalId> = living.into_iter().map(|terminal| terminal.id).collect();
        assert_eq!(ended, [id(2), id(1)]);
        let left = store.read(|tx| tx.live_terminals()).unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].id, id(3));
        let filter = AuditFilter {
            action: Some("terminal.exited".to_owned()),
            ..AuditFilter::default()
        };
        let entries = store.read(|tx| tx.audit_entries(&filter)).unwrap();
        assert_eq!(entries.len(), 2);
        for entry in entries {
            assert_eq!(
                (entry.entry.actor.as_str(), entry.entry.via.as_str()),
                ("human", "shutdown")
            );
        }
    }
}
