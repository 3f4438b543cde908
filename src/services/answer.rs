//! The answer of a handoff: waited for, taken once by a call, or else put into the caller's inbox.

use super::after::Aftermath;
use super::context::Context;
use super::delegate;
use super::deliver::socket;
use super::send::{self, Order};
use super::wait::{self, Look, Looks};
use crate::clock::{self, Deadline};
use crate::domain::handoff::{Given, Handoff, HandoffStatus};
use crate::domain::ids::TerminalId;
use crate::domain::message::{MessageStatus, Sender};
use crate::domain::terminal::{Root, Source, Status, Terminal};
use crate::domain::text;
use crate::error::{Failure, Result};
use crate::failpoint;
use crate::proc::Identity;
use crate::store::{Budget, DueKind, Durability, Store};
use jiff::Timestamp;
use std::time::Duration;

/// An answer counts after this long without the worker going on, in milliseconds.
const SETTLE_MS: i64 = 400;

/// How long an answer waits for the call that asked before it goes to the inbox, in milliseconds.
const INBOX_MS: i64 = 1_500;

/// When somebody looks whether the worker of an answer in the inbox has been closed, in milliseconds.
const CLOSED_MS: i64 = 3_000;

/// Quiet time after the end of a turn before its answer counts, in milliseconds: the agent may go on by itself.
const ANSWER_MS: i64 = 1_000;

/// How a wait for a handoff ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The answer, taken: whoever holds this must give it, or call [`give_back`].
    Taken(Handoff),
    /// Still running, or somebody else has got the answer.
    Running(Handoff),
    /// The answer was given before.
    Given(Handoff),
}

/// The worker's turn is over: if its task reached it, this is the answer, unless it goes on within the quiet time.
pub(super) fn turn_over(
    tx: &crate::store::Tx<'_>,
    terminal: &Terminal,
    status: HandoffStatus,
    answer: &str,
    at: Timestamp,
) -> std::result::Result<(), crate::store::Error> {
    let Some(handoff) = tx.handoff_of_worker(&terminal.id)? else {
        return Ok(());
    };
    let taken = tx
        .message(handoff.message)?
        .is_some_and(|message| message.status == MessageStatus::Submitted);
    if !taken || tx.head_message(&terminal.id)?.is_some() {
        return Ok(());
    }
    tx.answer_handoff(&handoff.id, status, &text::sanitise(answer), at)?;
    tx.set_due(
        DueKind::Handoff,
        &handoff.id,
        socket(terminal).as_deref(),
        clock::after_ms(at, ANSWER_MS),
    )
}

/// This process, as one that waits.
pub(super) fn own() -> Option<Root> {
    Identity::own().map(|process| Root {
        pid: process.pid,
        start: process.start,
    })
}

/// Whether a living process waits for the answer. Agents end their MCP servers by signals, without a word.
pub(super) fn waited_for(handoff: &Handoff) -> bool {
    handoff.waiter.is_some_and(|waiter| {
        Identity {
            pid: waiter.pid,
            start: waiter.start,
        }
        .alive()
    })
}

/// A call that waits; whatever ends its wait without an outcome (an error, a panic), its answer is free for the inbox.
struct Waiting<'a> {
    cx: &'a Context,
    id: &'a str,
    over: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let left = self.cx.existing_store().and_then(|mut store| {
            let handoff = known(&mut store, self.id)?;
            leave_open(self.cx, &mut store, &handoff)
        });
        if let Err(failure) = left {
            tracing::warn!(%failure, handoff = self.id, "leave a handoff to the inbox");
        }
    }
}

/// Waits for the answer of a handoff until `deadline`; `tick` is called about once a second and ends the wait when it says so.
pub fn wait(
    cx: &Context,
    store: &mut Store,
    id: &str,
    deadline: Deadline,
    mut tick: impl FnMut() -> bool,
) -> Result<Outcome> {
    let mut waiting = Waiting {
        cx,
        id,
        over: false,
    };
    if !known(store, id)?.given {
        store.write(Durability::Process, Budget::Call, |tx| {
            tx.open_handoff(id, false)?;
            tx.set_waiter(id, own())
        })?;
    }
    let mut looks = Looks::default();
    let found = wait::until(store, deadline, &mut tick, |store| {
        failpoint::fail("handoff.look").map_err(|e| Failure::failed(e.to_string()))?;
        let handoff = known(store, id)?;
        if handoff.given {
            return Ok(Look::Found(Outcome::Given(handoff)));
        }
        let now = clock::now();
        if let Some(outcome) = ripe(store, &handoff, now)? {
            let taken = take(cx, store, &handoff)?;
            let handoff = known(store, id)?;
            debug_assert!(outcome != HandoffStatus::Running);
            return Ok(Look::Found(if taken {
                Outcome::Taken(handoff)
            } else {
                Outcome::Given(handoff)
            }));
        }
        if let Some(worker) = store.read(|tx| tx.terminal(&handoff.worker))? {
            looks.confirm(cx, store, std::slice::from_ref(&worker))?;
        }
        // Once there is an answer, only the quiet time is missing, and no write tells when that is over.
        let left = |at: Timestamp| SETTLE_MS - (now.as_millisecond() - at.as_millisecond());
        let pause = handoff.answered_at.map(left).filter(|left| *left > 0);
        Ok(Look::NotYet(pause.map_or(wait::PERIOD, |ms| {
            Duration::from_millis(ms.unsigned_abs() + 1)
        })))
    })?;
    let outcome = match found {
        Some(outcome) => outcome,
        None => match known(store, id)? {
            handoff if handoff.given => Outcome::Given(handoff),
            handoff => {
                leave_open(cx, store, &handoff)?;
                Outcome::Running(handoff)
            }
        },
    };
    waiting.over = true;
    Ok(outcome)
}

/// Takes the answer for a call. If this process is killed before the client has it, it goes to the inbox: the due time looks for that.
fn take(cx: &Context, store: &mut Store, handoff: &Handoff) -> Result<bool> {
    let mut aftermath = Aftermath::default();
    let taken = store.write(Durability::Power, Budget::Call, |tx| {
        let taken = tx.give_handoff(&handoff.id, Given::Call)?;
        if taken {
            tx.set_waiter(&handoff.id, own())?;
            if let Some(caller) = tx.terminal(&handoff.caller)? {
                let now = clock::now();
                tx.clear_due(DueKind::Handoff, &handoff.id)?;
                let at = clock::after_ms(now, INBOX_MS);
                tx.set_due(
                    DueKind::Handoff,
                    &handoff.id,
                    socket(&caller).as_deref(),
                    at,
                )?;
                aftermath.arm(tx, &caller, now)?;
            }
        }
        Ok::<_, crate::store::Error>(taken)
    })?;
    failpoint::hit("handoff.taken");
    aftermath.run(cx, store);
    Ok(taken)
}

/// The handoff with this id.
pub fn known(store: &mut Store, id: &str) -> Result<Handoff> {
    store.read(|tx| tx.handoff(id))?.ok_or_else(|| {
        Failure::not_found(format!("there is no handoff {:?}", text::one_line(id)))
            .hint("use the handoff_id that handoff returned")
    })
}

/// Whether the answer is final: the worker's turn has been over for the quiet time, it failed, or its time is up.
fn ripe(store: &mut Store, handoff: &Handoff, now: Timestamp) -> Result<Option<HandoffStatus>> {
    if let Some(at) = handoff.answered_at {
        let quiet = now.as_millisecond() - at.as_millisecond() >= SETTLE_MS;
        let rests = store
            .read(|tx| tx.terminal(&handoff.worker))?
            .is_none_or(|worker| worker.state.status != Status::Working);
        return Ok(
            (quiet && (rests || handoff.status != HandoffStatus::Done)).then_some(handoff.status)
        );
    }
    if let Some(status) = missed(store, handoff, now)? {
        return Ok(Some(status));
    }
    if now >= handoff.deadline_at {
        let lost = store
            .read(|tx| tx.terminal(&handoff.worker))?
            .is_some_and(|worker| worker.lost());
        let text = if lost {
            "the worker did not finish in its time: its tmux server has ended; `conductor-hook recover --resume` takes it up again"
        } else {
            "the worker did not finish in its time; it is still there"
        };
        store.write(Durability::Process, Budget::Call, |tx| {
            tx.answer_handoff_if_none(
                &handoff.id,
                HandoffStatus::Timeout,
                text,
                clock::after_ms(now, -SETTLE_MS),
            )
        })?;
        return Ok(Some(HandoffStatus::Timeout));
    }
    Ok(None)
}

/// The end of the worker's turn was stored without settling the handoff (its event came while the state was locked), or the worker is
/// gone: the records say what the answer is.
fn missed(store: &mut Store, handoff: &Handoff, now: Timestamp) -> Result<Option<HandoffStatus>> {
    let found = store.read(|tx| {
        let worker = tx.terminal(&handoff.worker)?;
        let message = tx.message(handoff.message)?;
        let more = tx.head_message(&handoff.worker)?.is_some();
        Ok::<_, crate::store::Error>((worker, message, more))
    })?;
    let (Some(worker), Some(message), more) = found else {
        return Ok(None);
    };
    let (status, answer) = if worker.alive() {
        let taken = message
            .submitted_at
            .is_some_and(|at| at < worker.state.since);
        let quiet = now.as_millisecond() - worker.state.since.as_millisecond() > 2 * SETTLE_MS;
        let rests = worker.state.status == Status::Idle && worker.state.source == Source::Event;
        if !(taken && quiet && rests) || more {
            return Ok(None);
        }
        (HandoffStatus::Done, worker.last_answer.unwrap_or_default())
    } else if worker.lost() {
        // It goes on once it is resumed; until then the time that it has runs.
        return Ok(None);
    } else {
        let reason = format!("the worker has ended: {}", worker.state.reason);
        (HandoffStatus::Error, reason)
    };
    let answer = text::sanitise(&answer);
    store.write(Durability::Process, Budget::Call, |tx| {
        tx.answer_handoff_if_none(
            &handoff.id,
            status,
            &answer,
            clock::after_ms(now, -SETTLE_MS),
        )
    })?;
    Ok(Some(status))
}

/// The call was answered `running`, was cancelled, or lost its client: an identical call may join, and the answer goes to the inbox.
fn leave_open(cx: &Context, store: &mut Store, handoff: &Handoff) -> Result<()> {
    let mut aftermath = Aftermath::default();
    store.write(Durability::Process, Budget::Call, |tx| {
        tx.open_handoff(&handoff.id, true)?;
        tx.set_waiter(&handoff.id, None)?;
        let now = clock::now();
        if let Some(caller) = tx.terminal(&handoff.caller)? {
            let at = match tx.handoff(&handoff.id)?.and_then(|h| h.answered_at) {
                Some(_) => clock::after_ms(now, INBOX_MS),
                None => handoff.deadline_at,
            };
            tx.set_due(
                DueKind::Handoff,
                &handoff.id,
                socket(&caller).as_deref(),
                at,
            )?;
            aftermath.arm(tx, &caller, now)?;
        }
        Ok::<_, crate::store::Error>(())
    })?;
    aftermath.run(cx, store);
    Ok(())
}

/// A taken answer could not be given: it goes to the caller's inbox.
pub fn give_back(cx: &Context, store: &mut Store, id: &str) -> Result<()> {
    let free = store.write(Durability::Power, Budget::Call, |tx| {
        let free = tx.ungive_handoff(id)?;
        tx.open_handoff(id, true)?;
        Ok::<_, crate::store::Error>(free)
    })?;
    if free { settle(cx, store, id) } else { Ok(()) }
}

/// A success was given: the worker is closed. After a timeout or an error it stays.
pub fn finish(cx: &Context, store: &mut Store, handoff: &Handoff) {
    if handoff.status == HandoffStatus::Done {
        delegate::close_worker(cx, store, &handoff.worker);
    }
}

/// A due handoff: its answer goes to the caller's inbox exactly once, unless a call is waiting for it and takes it first.
pub fn settle(cx: &Context, store: &mut Store, id: &str) -> Result<()> {
    let Some(handoff) = store.read(|tx| tx.handoff(id))? else {
        return Ok(());
    };
    if handoff.given {
        return confirm_given(cx, store, &handoff);
    }
    let now = clock::now();
    let caller = store.read(|tx| tx.terminal(&handoff.caller))?;
    let ripe = ripe(store, &handoff, now)?.is_some();
    // A call that waits takes the answer itself; the inbox is for those that nobody waits for.
    if !ripe || (waited_for(&handoff) && !handoff.open) {
        let mut aftermath = Aftermath::default();
        store.write(Durability::Process, Budget::Call, |tx| {
            if let Some(caller) = &caller {
                let answered = handoff.answered_at.is_some() || now >= handoff.deadline_at;
                let at = if answered {
                    clock::after_ms(now, INBOX_MS)
                } else {
                    handoff.deadline_at
                };
                tx.set_due(DueKind::Handoff, id, socket(caller).as_deref(), at)?;
                aftermath.arm(tx, caller, now)?;
            }
            Ok::<_, crate::store::Error>(())
        })?;
        aftermath.run(cx, store);
        return Ok(());
    }
    let handoff = known(store, id)?;
    let Some(caller) = caller.filter(Terminal::alive) else {
        finish(cx, store, &handoff);
        return Ok(());
    };
    let worktree = store.read(|tx| tx.terminal(&handoff.worker))?;
    let worktree = worktree.and_then(|t| t.worktree).map_or_else(String::new, |w| {
        let line = w.line(true);
        format!(" (its git worktree {line}, goes when it is closed, unless work in it is not merged)")
    });
    let text = format!(
        "Answer to handoff {id} ({status}), from worker {worker}{worktree}:\n{answer}",
        status = handoff.status.as_str(),
        worker = handoff.worker,
        answer = cut(
            handoff.answer.as_deref().unwrap_or_default(),
            &handoff.worker
        ),
    );
    let order = Order {
        receiver: caller.id.clone(),
        body: text,
        key: Some(format!("handoff:{id}")),
        ttl: None,
        approval: false,
    };
    let (tag, trace) = (send::tag()?, send::tag_long()?);
    let mut aftermath = Aftermath::default();
    let given = store.write(Durability::Power, Budget::Call, |tx| {
        if !tx.give_handoff(id, Given::Inbox)? {
            return Ok(false);
        }
        tx.set_waiter(id, None)?;
        // If this process is killed before the worker is closed, somebody else closes it.
        let at = clock::after_ms(now, CLOSED_MS);
        tx.set_due(DueKind::Handoff, id, socket(&caller).as_deref(), at)?;
        send::accept(
            tx,
            Sender::Terminal(handoff.worker.clone()),
            &order,
            tag,
            trace,
            None,
        )?;
        aftermath.arm(tx, &caller, now)?;
        Ok::<_, Failure>(true)
    })?;
    failpoint::hit("handoff.given");
    aftermath.run(cx, store);
    if given {
        finish(cx, store, &handoff);
        store.write(Durability::Process, Budget::Call, |tx| {
            tx.clear_due(DueKind::Handoff, id)
        })?;
        send::attempt(cx, store, &caller.id);
    }
    Ok(())
}

/// An answer as it fits into a message; the rest is in the worker's record.
fn cut(answer: &str, worker: &TerminalId) -> String {
    const MOST: usize = 200_000;
    match answer.char_indices().nth(MOST) {
        None => answer.to_owned(),
        Some((at, _)) => format!(
            "{}\n[cut after {MOST} characters; `conductor-hook output {worker}` prints all of it]",
            &answer[..at]
        ),
    }
}

/// An answer was taken for a call. Where the process that took it is gone and the caller lives or will again, its client may never
/// have read it: it is said once more, in the inbox. Where it was put there, only its worker may still have to be closed.
fn confirm_given(cx: &Context, store: &mut Store, handoff: &Handoff) -> Result<()> {
    if handoff.waiter.is_none() {
        finish(cx, store, handoff);
        return Ok(());
    }
    let caller = store.read(|tx| tx.terminal(&handoff.caller))?;
    if !waited_for(handoff) && caller.is_some_and(|caller| caller.alive() || caller.lost()) {
        return give_back(cx, store, &handoff.id);
    }
    Ok(store.write(Durability::Process, Budget::Call, |tx| {
        tx.set_waiter(&handoff.id, None)
    })?)
}
