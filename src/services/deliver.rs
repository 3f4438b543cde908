//! Delivering the next message of a terminal by the fenced paste, and settling what an earlier process left behind.
//!
//! Whoever holds the terminal's lock delivers; who does not get it may leave, because its message was committed before, and the holder
//! looks again after it has let the lock go.

mod ready;

pub use ready::Ready;

use super::after::Aftermath;
use super::context::Context;
use crate::clock;
use crate::domain::ids::TerminalId;
use crate::domain::message::{GateReason, Message, MessageStatus, Transport};
use crate::domain::terminal::{Change, Source, Status, Terminal};
use crate::domain::text::{self, Placement};
use crate::error::Result;
use crate::failpoint;
use crate::proc::Identity;
use crate::providers::{self, Catalogue, Manifest, Seen};
use crate::store::{Budget, DueKind, Durability, Store, TerminalLock};
use crate::tmux::fence::{Outcome, Target};
use crate::tmux::{PaneId, Tmux};
use std::time::Duration;

/// How long a placed message may be without proof before it is looked for, in milliseconds.
pub const PROOF_MS: i64 = 3_000;

/// How long a terminal is quiet before its screen is asked, in milliseconds.
const LOOK_MS: i64 = 5_000;

/// What one look at a queue came to.
enum Step {
    /// Nothing waits.
    Empty,
    /// The terminal has ended.
    Ended,
    /// The head changed; look again.
    Again,
    /// The head waits for something that will be retried.
    Waits,
}

/// Delivers what can be delivered to `id` now.
pub fn deliver(cx: &Context, store: &mut Store, id: &TerminalId) -> Result<()> {
    let Some(lock) = TerminalLock::acquire(&cx.home, id.as_str(), Duration::ZERO)? else {
        return Ok(());
    };
    failpoint::hit("deliver.locked");
    carry_on(cx, store, id, lock, Step::Again)
}

/// Goes on after `step` under `lock`, and looks again after letting it go, for whoever did not get it meanwhile.
fn carry_on(
    cx: &Context,
    store: &mut Store,
    id: &TerminalId,
    mut lock: TerminalLock,
    mut step: Step,
) -> Result<()> {
    for _ in 0..8 {
        for _ in 0..8 {
            if !matches!(step, Step::Again) {
                break;
            }
            step = once(cx, store, id)?;
        }
        drop(lock);
        failpoint::hit("deliver.unlocked");
        let more = match step {
            Step::Empty => store.read(|tx| tx.head_message(id))?.is_some(),
            Step::Again => true,
            Step::Waits => false,
            Step::Ended => {
                TerminalLock::remove(&cx.home, id.as_str());
                false
            }
        };
        if !more {
            return Ok(());
        }
        let Some(next) = TerminalLock::acquire(&cx.home, id.as_str(), Duration::ZERO)? else {
            return Ok(());
        };
        failpoint::hit("deliver.locked");
        lock = next;
        step = Step::Again;
    }
    Ok(())
}

/// Looks at the head of the queue and does one thing about it. The caller holds the terminal's lock.
fn once(cx: &Context, store: &mut Store, id: &TerminalId) -> Result<Step> {
    let (terminal, head) =
        store.read(|tx| Ok::<_, crate::store::Error>((tx.terminal(id)?, tx.head_message(id)?)))?;
    let Some(terminal) = terminal.filter(Terminal::alive) else {
        return Ok(Step::Ended);
    };
    let Some(head) = head else {
        return Ok(Step::Empty);
    };
    match head.status {
        MessageStatus::Claimed => settle_claim(cx, store, &terminal, &head),
        MessageStatus::Placed => Ok(Step::Waits),
        _ => attempt(cx, store, &terminal, &head),
    }
}

/// How long nothing has been heard of a terminal and its state has not changed, in milliseconds.
fn quiet_ms(terminal: &Terminal) -> i64 {
    let last = terminal
        .last_event_at
        .unwrap_or(terminal.state.since)
        .max(terminal.state.since);
    clock::elapsed_ms(last, clock::now())
}

/// The pane of a terminal and the server that it is in.
pub fn place(terminal: &Terminal) -> Option<(Tmux, PaneId)> {
    let server = terminal.server.as_ref()?;
    Some((
        Tmux::at(&server.socket),
        PaneId::parse(terminal.pane.as_deref()?)?,
    ))
}

/// What must be true of the pane for a paste.
pub fn target(terminal: &Terminal, manifest: &Manifest, pane: PaneId) -> Target {
    Target {
        pane,
        id: terminal.id.clone(),
        pane_pid: terminal.pane_pid,
        program: terminal.program.clone(),
        prompt_row: manifest.submit.prompt_row.clone(),
        settled: terminal.settled,
    }
}

fn attempt(cx: &Context, store: &mut Store, terminal: &Terminal, head: &Message) -> Result<Step> {
    let Some((tmux, pane)) = place(terminal) else {
        return wait_for(cx, store, terminal, head, GateReason::Starting);
    };
    let manifest = Catalogue::of(&cx.home).get(&terminal.provider)?;
    let mut terminal = terminal.clone();
    match terminal.state.status {
        Status::Idle | Status::Error => {}
        Status::Parked => return wait_for(cx, store, &terminal, head, GateReason::Paused),
        Status::Starting | Status::Working | Status::Waiting | Status::Unknown => {
            let reason = match terminal.state.status {
                Status::Starting => GateReason::Starting,
                Status::Waiting => GateReason::Dialog,
                _ => GateReason::Working,
            };
            // Hooks miss some ends of a turn (Esc, No in a dialog): after 5 s without an event one look at the screen confirms.
            if quiet_ms(&terminal) < LOOK_MS {
                return wait_for(cx, store, &terminal, head, reason);
            }
            if confirm_idle(cx, store, &terminal, &manifest, &tmux, pane)? {
                terminal.state.status = Status::Idle;
            } else {
                return wait_for(cx, store, &terminal, head, reason);
            }
        }
        Status::Exited => return Ok(Step::Ended),
    }
    // Nothing would prove what is pasted, and it would be pasted again.
    if manifest.proves() && terminal.last_event_at.is_none() {
        return wait_for(cx, store, &terminal, head, GateReason::HooksSilent);
    }
    if terminal.program.is_none() {
        match tmux.foreground(pane, manifest.submit.prompt_row.as_deref()) {
            Ok(Some(program)) => {
                store.write(Durability::Process, Budget::Call, |tx| {
                    tx.note_program(&terminal.id, &program)
                })?;
                terminal.program = Some(program);
            }
            Ok(None) => return wait_for(cx, store, &terminal, head, GateReason::Draft),
            Err(crate::tmux::Error::NoServer(_)) => {
                return wait_for(cx, store, &terminal, head, GateReason::Dead);
            }
            Err(error) => return Err(error.into()),
        }
    }
    claim(cx, store, &terminal, head, &manifest, (&tmux, pane))
}

/// How a message that is put to the agent so is going.
const fn transport(placement: &Placement) -> Transport {
    match placement {
        Placement::Inline(_) => Transport::Paste,
        Placement::WithContext(_) => Transport::PromptHook,
        Placement::Pointer(_) => Transport::McpRead,
    }
}

fn claim(
    cx: &Context,
    store: &mut Store,
    terminal: &Terminal,
    head: &Message,
    manifest: &Manifest,
    pane: (&Tmux, PaneId),
) -> Result<Step> {
    let placement = text::place(head, manifest.limits());
    let Some(own) = Identity::own() else {
        return Ok(Step::Waits);
    };
    failpoint::hit("deliver.before_claim");
    let claimed = store.write(Durability::Process, Budget::Call, |tx| {
        tx.claim_message(head.id, transport(&placement), own, clock::now())
    })?;
    if !claimed {
        return Ok(Step::Again);
    }
    failpoint::hit("deliver.claimed");
    paste(cx, store, terminal, head, manifest, pane, &placement)
}

/// Puts a message that this process has claimed into the pane.
fn paste(
    cx: &Context,
    store: &mut Store,
    terminal: &Terminal,
    head: &Message,
    manifest: &Manifest,
    (tmux, pane): (&Tmux, PaneId),
    placement: &Placement,
) -> Result<Step> {
    let target = target(terminal, manifest, pane);
    let outcome = tmux.fenced_paste(
        &target,
        head.seq,
        placement.line(),
        clock::now().as_second(),
        manifest.submit.enter_ms,
    );
    failpoint::hit("deliver.pasted");
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(crate::tmux::Error::NoServer(_)) => Outcome::Refused(GateReason::Dead),
        // Whether it was pasted is not known: the claim stays, and the next holder of the lock reads the receipt.
        Err(error) => return Err(error.into()),
    };
    match outcome {
        Outcome::Placed => {
            placed(cx, store, terminal, head, manifest.submit.enter_ms)?;
            Ok(Step::Waits)
        }
        Outcome::Refused(reason) => {
            store.write(Durability::Process, Budget::Call, |tx| {
                tx.refuse_message(head.id, reason)
            })?;
            // A mark that no event took away: where the screen shows the prompt, there is no dialog.
            if reason == GateReason::Dialog
                && quiet_ms(terminal) >= LOOK_MS
                && let Ok(screen) = tmux.screen(pane)
                && providers::look(manifest, &screen) == Seen::Idle
            {
                let _ = tmux.mark_dialog(pane, false);
            }
            failpoint::hit("deliver.refused");
            wait_for(cx, store, terminal, head, reason)
        }
    }
}

fn placed(
    cx: &Context,
    store: &mut Store,
    terminal: &Terminal,
    head: &Message,
    enter_ms: u32,
) -> Result<()> {
    let mut aftermath = Aftermath::default();
    store.write(Durability::Process, Budget::Call, |tx| {
        let now = clock::now();
        // The prompt hook may have proven it already.
        if tx.place_message(head.id, now)? {
            tx.set_due(
                DueKind::Proof,
                &head.id.to_string(),
                socket(terminal).as_deref(),
                clock::after_ms(now, PROOF_MS + i64::from(enter_ms)),
            )?;
        }
        // Nearly always its proof comes at once: the count of what waits is shown anew when it has not come in time.
        aftermath.arm(tx, terminal, now)
    })?;
    failpoint::hit("deliver.placed");
    aftermath.run(cx, store);
    failpoint::hit("deliver.armed");
    Ok(())
}

/// The socket of a terminal's server, as text.
pub fn socket(terminal: &Terminal) -> Option<String> {
    terminal
        .server
        .as_ref()
        .map(|server| server.socket.to_string_lossy().into_owned())
}

/// Notes why the head waits, and when it is looked at again if no event comes first.
fn wait_for(
    cx: &Context,
    store: &mut Store,
    terminal: &Terminal,
    head: &Message,
    reason: GateReason,
) -> Result<Step> {
    if matches!(reason, GateReason::Dead | GateReason::Reused) {
        super::recover::server_of(cx, store, terminal)?;
    }
    let mut aftermath = Aftermath::default();
    store.write(Durability::Process, Budget::Call, |tx| {
        let now = clock::now();
        tx.note_gate(head.id, reason)?;
        let age = now.as_millisecond() - head.queued_at.as_millisecond();
        let pause = match reason {
            GateReason::UserTyping | GateReason::Starting => (age / 4).clamp(300, 30_000),
            // Right after an event the agent may still draw its prompt, however long the message has waited before.
            GateReason::Draft => (age.min(quiet_ms(terminal)) / 4).clamp(100, 30_000),
            GateReason::Unentered => PROOF_MS,
            GateReason::Working | GateReason::Dialog => (age / 2).clamp(5_100, 60_000),
            _ => (age / 2).clamp(2_000, 60_000),
        };
        if tx.terminal(&terminal.id)?.is_some_and(|t| t.alive()) {
            tx.set_due(
                DueKind::Deliver,
                terminal.id.as_str(),
                socket(terminal).as_deref(),
                clock::after_ms(now, pause),
            )?;
        }
        aftermath.count(terminal);
        aftermath.arm(tx, terminal, now)
    })?;
    aftermath.run(cx, store);
    Ok(Step::Waits)
}

/// One look at the screen: whether it shows the empty prompt although no event said that the turn is over.
pub fn confirm_idle(
    cx: &Context,
    store: &mut Store,
    terminal: &Terminal,
    manifest: &Manifest,
    tmux: &Tmux,
    pane: PaneId,
) -> Result<bool> {
    let Ok(screen) = tmux.screen(pane) else {
        return Ok(false);
    };
    let seen = providers::look(manifest, &screen);
    let change = match &seen {
        Seen::Idle => Change {
            status: Status::Idle,
            reason: "the screen shows the empty prompt".to_owned(),
        },
        Seen::Dialog { kind, .. } => Change {
            status: Status::Waiting,
            reason: format!("the screen shows a {kind} dialog"),
        },
        Seen::Draft => Change {
            status: Status::Idle,
            reason: "the screen shows a draft at the prompt".to_owned(),
        },
        // The dialog was answered, and no event tells before the tool is done.
        Seen::Working if terminal.state.status == Status::Waiting => Change {
            status: Status::Working,
            reason: "the screen shows signs of a turn".to_owned(),
        },
        Seen::Working | Seen::Unknown => return Ok(false),
    };
    let mut aftermath = Aftermath::default();
    let moved = store.write(Durability::Process, Budget::Call, |tx| {
        // What the agent has said since the look counts for more.
        let heard = tx
            .terminal(&terminal.id)?
            .is_none_or(|now| now.last_event_at != terminal.last_event_at);
        let moved = !heard && tx.set_state(&terminal.id, &change, Source::Screen, clock::now())?;
        if moved {
            aftermath.show(terminal, change.status);
        }
        Ok::<_, crate::store::Error>(moved)
    })?;
    if moved && change.status != Status::Waiting {
        let _ = tmux.mark_dialog(pane, false);
    }
    aftermath.run(cx, store);
    Ok(change.status == Status::Idle)
}

/// A claim whose process is gone (the caller holds the terminal's lock): the receipt says what became of it.
fn settle_claim(
    cx: &Context,
    store: &mut Store,
    terminal: &Terminal,
    head: &Message,
) -> Result<Step> {
    if head.transport == Some(Transport::StopHook) {
        let lease = store.read(|tx| tx.lease(head.id))?;
        if lease.is_some_and(Identity::alive) {
            return Ok(Step::Waits);
        }
        store.write(Durability::Process, Budget::Call, |tx| {
            tx.requeue_message(
                head,
                "the hook that handed it over was killed; it may have been seen",
                true,
            )
        })?;
        return Ok(Step::Again);
    }
    let Some((tmux, pane)) = place(terminal) else {
        return Ok(Step::Waits);
    };
    let receipts = match tmux.receipts(pane, &terminal.id) {
        Ok(Some(receipts)) => receipts,
        Ok(None) | Err(crate::tmux::Error::NoServer(_) | crate::tmux::Error::Refused(_)) => {
            super::recover::server_of(cx, store, terminal)?;
            return Ok(Step::Empty);
        }
        Err(error) => return Err(error.into()),
    };
    failpoint::hit("settle.receipts");
    // Whoever burnt the number may have been killed before it could say so.
    let burnt =
        receipts.burnt == head.seq || (receipts.seq < head.seq && tmux.burn(pane, head.seq)?);
    if !burnt {
        placed(cx, store, terminal, head, 0)?;
        return Ok(Step::Waits);
    }
    failpoint::hit("settle.burnt");
    store.write(Durability::Process, Budget::Call, |tx| {
        tx.requeue_message(head, "the helper was killed before it pasted", false)?;
        tx.note_settled(&terminal.id, head.seq)?;
        tx.renumber_head(head)
    })?;
    failpoint::hit("settle.requeued");
    Ok(Step::Again)
}
