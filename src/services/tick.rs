//! The timer fired: do what is due, arm the next.

use super::after::{self, Aftermath};
use super::context::Context;
use super::{
    answer, approve, audit, bounce, clean, deliver, flow, note, park, prove, recover, worktree,
};
use crate::clock;
use crate::domain::ids::{ApprovalId, MessageId, NoteId, TerminalId};
use crate::error::Result;
use crate::failpoint;
use crate::store::{Budget, Due, DueKind, Durability, Store};

/// Does everything that is due by now. What is due is put off for five seconds in one transaction, so that of two ticks at once each thing
/// is done by one, and a tick that is killed leaves its work to the next; each kind of work sets its own next time. What is lost between
/// the two is found by [`recover::rearm`].
pub fn tick(cx: &Context, store: &mut Store) -> Result<()> {
    let socket = cx.tmux.socket().to_path_buf();
    let mut aftermath = Aftermath::default();
    if let Err(failure) = flow::heal(store) {
        tracing::warn!(%failure, "look after flows");
    }
    let taken = store.write(Durability::Process, Budget::Call, |tx| {
        let now = clock::now();
        tx.disarm(&socket.to_string_lossy())?;
        for id in tx.expire_messages(now)? {
            bounce::tell(tx, id, now, &mut aftermath)?;
            approve::withdraw_message(tx, id, "the message has expired", &mut aftermath)?;
        }
        tx.pull_in(now)?;
        let due = tx.take_due(now)?;
        // If this process is killed before it has done the work below, a tick soon does it; twice does no harm.
        for due in &due {
            let own = match due.kind {
                DueKind::Flow => tx.flow(&due.subject)?.map(|flow| flow.server),
                _ => None,
            };
            let server = own.as_ref().unwrap_or(&socket).to_string_lossy();
            let again = clock::after_ms(now, 5_000);
            tx.set_due(due.kind, &due.subject, Some(&server), again)?;
        }
        aftermath.arm_at(tx, socket.clone(), now)?;
        Ok::<_, crate::store::Error>(due)
    });
    let mut due: Vec<Due> = match taken {
        Ok(due) => due,
        Err(error) => {
            let failure = crate::error::Failure::from(error);
            // Nothing can be done about anything else before there is room again.
            if failure.kind() == crate::error::Kind::StateUnusable {
                clean::make_room(cx, store)?;
            }
            return Err(failure);
        }
    };
    failpoint::hit("tick.taken");
    aftermath.run(cx, store);
    failpoint::hit("tick.armed");
    // What may take its time comes last.
    let slow = |kind| matches!(kind, DueKind::Flow | DueKind::Worktree | DueKind::Clean);
    due.sort_by_key(|due| slow(due.kind));
    for due in &due {
        // A flow sets its next time itself, in one step with what it did.
        if due.kind != DueKind::Flow {
            store.write(Durability::Process, Budget::Call, |tx| {
                tx.clear_due(due.kind, &due.subject)
            })?;
        }
        failpoint::hit("tick.cleared");
        if let Err(failure) = one(cx, store, due) {
            tracing::warn!(%failure, kind = ?due.kind, subject = %due.subject, "do what is due");
            // What failed in passing is tried again.
            let socket = socket.to_string_lossy();
            store.write(Durability::Process, Budget::Call, |tx| {
                let at = clock::after_ms(clock::now(), 10_000);
                tx.set_due(due.kind, &due.subject, Some(&socket), at)
            })?;
        }
    }
    failpoint::hit("tick.worked");
    audit::catch_up(store);
    recover::all(cx, store)?;
    recover::rearm_later(cx, store)?;
    clean::ride(cx, store);
    // A hook leaves what it changed last to the timer.
    if let Err(failure) = after::show_counts(store, &cx.tmux) {
        tracing::debug!(%failure, "show the counts");
    }
    let mut aftermath = Aftermath::default();
    store.write(Durability::Process, Budget::Call, |tx| {
        aftermath.arm_at(tx, socket.clone(), clock::now())
    })?;
    aftermath.run(cx, store);
    Ok(())
}

fn one(cx: &Context, store: &mut Store, due: &Due) -> Result<()> {
    match due.kind {
        DueKind::Deliver => match TerminalId::parse(&due.subject) {
            Ok(id) => deliver::deliver_due(cx, store, &id),
            Err(_) => Ok(()),
        },
        DueKind::Proof => match MessageId::parse(&due.subject) {
            Ok(id) => prove::check_proof(cx, store, id),
            Err(_) => Ok(()),
        },
        DueKind::Handoff => answer::settle(cx, store, &due.subject),
        DueKind::Park => match TerminalId::parse(&due.subject) {
            Ok(id) => park::wake(cx, store, &id),
            Err(_) => Ok(()),
        },
        DueKind::Approval => match ApprovalId::parse(&due.subject) {
            Ok(id) => approve::due(cx, store, id),
            Err(_) => Ok(()),
        },
        DueKind::Note => match NoteId::parse(&due.subject) {
            Ok(id) => note::settle(cx, store, id),
            Err(_) => Ok(()),
        },
        DueKind::Flow => flow::due(cx, store, &due.subject),
        DueKind::Clean => {
            clean::by_itself(cx, store);
            Ok(())
        }
        DueKind::Worktree => match TerminalId::parse(&due.subject) {
            Ok(id) => worktree::due(cx, store, &id),
            Err(_) => Ok(()),
        },
    }
}
