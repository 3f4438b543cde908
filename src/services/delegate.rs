//! Handing work to a fresh worker.

use super::after::{Aftermath, Ender};
use super::answer::{own, waited_for};
use super::close;
use super::context::Context;
use super::deliver::socket;
use super::launch::{self, Plan};
use super::send::{self, Order};
use crate::clock::{self, Deadline};
use crate::domain::audit::digest;
use crate::domain::handoff::{Handoff, HandoffStatus};
use crate::domain::ids::{MessageId, TerminalId};
use crate::domain::message::Sender;
use crate::domain::terminal::{Role, Terminal};
use crate::error::{Failure, Kind, Result};
use crate::failpoint;
use crate::fsx;
use crate::store::{Budget, DueKind, Durability, Store, Tx};
use std::time::Duration;

/// How long a call waits while another one with the same key starts the worker.
const START_WAIT: Duration = Duration::from_mins(1);

/// What is asked of a worker.
#[derive(Debug, Clone)]
pub struct Task {
    /// The worker to be started.
    pub plan: Plan,
    /// The task.
    pub message: String,
    /// How long the worker may take.
    pub timeout: Duration,
    /// The caller's own key for this call.
    pub key: Option<String>,
}

/// The digest by which an identical call of this `tool` finds the worker that is already at it.
fn fingerprint(tool: &str, task: &Task) -> String {
    let worktree = if task.plan.worktree.is_some() {
        "worktree"
    } else {
        ""
    };
    let parts = [
        tool,
        worktree,
        task.plan.profile.name.as_str(),
        &task.plan.manifest.name,
        task.plan.model.as_deref().unwrap_or_default(),
        &task.plan.cwd.to_string_lossy(),
        task.key.as_deref().unwrap_or_default(),
        &task.message,
    ];
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    digest(&bytes)
}

/// What a call finds.
enum Found {
    /// An earlier call's handoff, which this one joins, or whose answer it gets again.
    Known(Handoff),
    /// An earlier call with the same key is starting the worker.
    Starting(String),
    /// Nothing: this call has reserved the handoff, and starts the worker.
    Reserved,
}

/// Looks for the handoff of an identical call, and reserves `fresh` where there is none: of two calls at the same moment one reserves.
fn find_or_reserve(
    tx: &Tx<'_>,
    task: &Task,
    fresh: &Handoff,
) -> std::result::Result<Found, crate::store::Error> {
    // With a key the same call means the same handoff. Without one, an earlier call that still has its client is one of its own, and
    // this one may join any other.
    let found = match &task.key {
        Some(_) => tx.latest_handoff(&fresh.caller, &fresh.fingerprint)?,
        None => tx
            .same_handoffs(&fresh.caller, &fresh.fingerprint)?
            .into_iter()
            .find(|h| h.begun() && (h.open || !waited_for(h))),
    };
    match found {
        Some(found) if found.begun() => {
            if !found.given {
                tx.open_handoff(&found.id, false)?;
                tx.set_waiter(&found.id, own())?;
            }
            return Ok(Found::Known(found));
        }
        Some(found) if waited_for(&found) => return Ok(Found::Starting(found.id)),
        // Whoever reserved it was killed before its worker had the task.
        Some(found) => tx.forget_reserved(&found.id)?,
        None => {}
    }
    tx.insert_handoff(fresh)?;
    tx.set_waiter(&fresh.id, fresh.waiter)?;
    Ok(Found::Reserved)
}

/// A reserved handoff; forgotten when its worker could not be started.
struct Reservation<'a> {
    cx: &'a Context,
    id: &'a str,
    kept: bool,
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let forgotten = self.cx.existing_store().and_then(|mut store| {
            Ok(store.write(Durability::Process, Budget::Call, |tx| {
                tx.forget_reserved(self.id)
            })?)
        });
        if let Err(failure) = forgotten {
            tracing::warn!(%failure, handoff = self.id, "forget a handoff that did not begin");
        }
    }
}

/// What a call of `tool` stores before it starts its worker.
fn fresh(tool: &str, caller: &Terminal, task: &Task) -> Result<Handoff> {
    let digits = random_id()?;
    let now = clock::now();
    Ok(Handoff {
        id: format!("h-{digits}"),
        caller: caller.id.clone(),
        // Nobody's id: the worker's is known once it is started.
        worker: TerminalId::parse(&digits).map_err(|e| Failure::failed(e.to_string()))?,
        message: Handoff::RESERVED,
        fingerprint: fingerprint(tool, task),
        status: HandoffStatus::Running,
        answer: None,
        created_at: now,
        deadline_at: clock::after_ms(now, millis(task.timeout)),
        answered_at: None,
        given: false,
        open: false,
        waiter: own(),
    })
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// What an identical call has begun; `None`: `fresh` is reserved, and this call starts the worker.
fn known(store: &mut Store, task: &Task, fresh: &Handoff) -> Result<Option<Handoff>> {
    let patience = Deadline::after(START_WAIT);
    loop {
        let found = store.write(Durability::Process, Budget::Call, |tx| {
            find_or_reserve(tx, task, fresh)
        })?;
        match found {
            Found::Known(found) => return Ok(Some(found)),
            Found::Reserved => break,
            Found::Starting(id) => await_start(store, &id, &patience)?,
        }
    }
    failpoint::hit("handoff.reserved");
    Ok(None)
}

/// Stores that `worker` has its task, where nobody has taken the reservation over.
fn begin(tx: &Tx<'_>, handoff: &Handoff) -> Result<()> {
    if tx.begin_handoff(handoff)? {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "handoff {} was taken over by another call",
        handoff.id
    ))
    .hint("call again: the other call's worker is at it"))
}

/// Starts the worker of a handoff, or finds the one that an earlier identical call started and did not get the answer of.
pub fn handoff(cx: &Context, store: &mut Store, caller: &Terminal, task: &Task) -> Result<Handoff> {
    let fresh = fresh("handoff", caller, task)?;
    if let Some(known) = known(store, task, &fresh)? {
        return Ok(known);
    }
    let mut reservation = Reservation {
        cx,
        id: &fresh.id,
        kept: false,
    };
    failpoint::fail("handoff.start").map_err(|e| Failure::failed(e.to_string()))?;
    let worker = worker(cx, store, caller, task)?;
    let accepted = accept(cx, store, caller, &worker, &task.message, |message, tx| {
        let now = clock::now();
        let handoff = Handoff {
            worker: worker.clone(),
            message,
            created_at: now,
            deadline_at: clock::after_ms(now, millis(task.timeout)),
            ..fresh.clone()
        };
        begin(tx, &handoff)?;
        tx.set_due(
            DueKind::Handoff,
            &handoff.id,
            socket(caller).as_deref(),
            handoff.deadline_at,
        )?;
        Ok(handoff)
    });
    reservation.kept = accepted.is_ok();
    accepted.inspect_err(|_| close_worker(cx, store, &worker))
}

/// Waits until the worker of handoff `id`, which another call starts, has its task, or will never have it.
fn await_start(store: &mut Store, id: &str, patience: &Deadline) -> Result<()> {
    while store
        .read(|tx| tx.handoff(id))?
        .is_some_and(|h| !h.begun() && waited_for(&h))
    {
        if patience.passed() {
            return Err(Failure::new(
                Kind::TimedOut,
                format!("an earlier call with this key still starts the worker of handoff {id}"),
            )
            .hint("call again with the same key"));
        }
        clock::sleep(Duration::from_millis(100), patience);
    }
    Ok(())
}

/// Starts a worker with a task and does not wait; it is told who to report to. With a key the same call again finds the first one's worker,
/// whatever became of it. Returns the worker and the task's message.
///
/// It is kept as a handoff whose answer nobody is owed: the worker reports by itself.
pub fn assign(
    cx: &Context,
    store: &mut Store,
    caller: &Terminal,
    task: &Task,
) -> Result<(TerminalId, MessageId)> {
    let fresh = fresh("assign", caller, task)?;
    if let Some(known) = known(store, task, &fresh)? {
        return Ok((known.worker, known.message));
    }
    let mut reservation = Reservation {
        cx,
        id: &fresh.id,
        kept: false,
    };
    let worker = worker(cx, store, caller, task)?;
    let text = format!(
        "{}\n\nThis task comes from terminal {id}. When you are done, report to it with the MCP tool send_message, receiver_id \"{id}\".",
        task.message.trim_end(),
        id = caller.id
    );
    let accepted = accept(cx, store, caller, &worker, &text, |message, tx| {
        let begun = Handoff {
            worker: worker.clone(),
            message,
            given: true,
            ..fresh.clone()
        };
        begin(tx, &begun)?;
        Ok(message)
    });
    reservation.kept = accepted.is_ok();
    let message = accepted.inspect_err(|_| close_worker(cx, store, &worker))?;
    Ok((worker, message))
}

pub(super) fn close_worker(cx: &Context, store: &mut Store, id: &TerminalId) {
    if let Ok(Some(t)) = store.read(|tx| tx.terminal(id)) {
        let _ = close::close(cx, store, &t, true, Ender::NOBODY);
    }
}

fn worker(cx: &Context, store: &mut Store, caller: &Terminal, task: &Task) -> Result<TerminalId> {
    let mut plan = task.plan.clone();
    plan.caller = Some(caller.id.clone());
    plan.env.clone_from(&caller.env);
    plan.prompt = None;
    let mut cx = cx.clone();
    if let Some(server) = &caller.server {
        cx.tmux = crate::tmux::Tmux::at(&server.socket);
    }
    let limits = crate::profiles::config::load(&cx.home)?.limits;
    let living = store
        .read(|tx| tx.live_terminals())?
        .iter()
        .filter(|t| {
            t.session == caller.session && t.server == caller.server && t.role == Role::Worker
        })
        .count();
    if living >= usize::try_from(limits.workers_per_session).unwrap_or(usize::MAX) {
        return Err(Failure::refused(format!("the session has {living} living workers, as many as it may have")).hint(
            "close workers that are done with close_terminal, or raise limits.workers_per_session in config.toml",
        ));
    }
    let depth = depth(store, caller)?;
    if depth >= limits.depth {
        return Err(Failure::refused(format!(
            "a worker {depth} levels below the first agent may not start another"
        ))
        .hint("do the task yourself, or raise limits.depth in config.toml"));
    }
    launch::worker(&cx, store, &caller.session, &plan, None)
}

/// How many callers a terminal has above it.
fn depth(store: &mut Store, terminal: &Terminal) -> Result<u32> {
    store.read(|tx| {
        let mut depth = 0;
        let mut next = terminal.caller.clone();
        while let Some(id) = next.filter(|_| depth < 100) {
            depth += 1;
            next = tx.terminal(&id)?.and_then(|t| t.caller);
        }
        Ok::<_, Failure>(depth)
    })
}

/// Sends the task and stores what goes with it in the same transaction; delivery follows.
fn accept<T>(
    cx: &Context,
    store: &mut Store,
    caller: &Terminal,
    worker: &TerminalId,
    text: &str,
    with: impl FnOnce(MessageId, &Tx<'_>) -> Result<T>,
) -> Result<T> {
    let order = Order {
        receiver: worker.clone(),
        body: text.to_owned(),
        key: None,
        ttl: None,
        approval: false,
    };
    let (tag, trace) = (send::tag()?, send::tag_long()?);
    let sender = Sender::Terminal(caller.id.clone());
    let mut aftermath = Aftermath::default();
    let value = store.write(Durability::Power, Budget::Call, |tx| {
        let message = send::accept(tx, sender, &order, tag, trace, None)?;
        let value = with(message.id, tx)?;
        aftermath.arm(tx, caller, clock::now())?;
        Ok::<_, Failure>(value)
    })?;
    aftermath.run(cx, store);
    send::attempt(cx, store, worker);
    Ok(value)
}

fn random_id() -> Result<String> {
    Ok(fsx::hex(&fsx::random_bytes::<4>().map_err(|e| {
        Failure::failed(format!("read random bytes: {e}"))
    })?))
}
