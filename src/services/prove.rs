//! Looking for the proof of a placed message that is late, and doing what is missing at most once.

use super::after::Aftermath;
use super::bounce;
use super::context::Context;
use super::deliver::{PROOF_MS, confirm_idle, place, proves, socket, target};
use crate::clock;
use crate::domain::message::{GateReason, Message, MessageStatus, Transport};
use crate::domain::terminal::{INTERRUPTED, Status, Terminal};
use crate::domain::text;
use crate::error::Result;
use crate::failpoint;
use crate::providers::{self, Catalogue, Channel, Manifest, Seen};
use crate::store::{Budget, DueKind, Durability, LOST, Store, TerminalLock};
use crate::tmux::{PaneId, Tmux};
use jiff::Timestamp;
use std::time::Duration;

/// How often a message may be put into the pane before it is given up.
const MAX_ATTEMPTS: usize = 4;

/// A placed message whose proof is late: finds out what is missing, and does it at most once.
pub fn check_proof(
    cx: &Context,
    store: &mut Store,
    id: crate::domain::ids::MessageId,
) -> Result<()> {
    let Some(message) = store.read(|tx| tx.message(id))? else {
        return Ok(());
    };
    let Some(_lock) = TerminalLock::acquire(
        &cx.home,
        message.receiver.as_str(),
        Duration::from_millis(200),
    )?
    else {
        return again_in(cx, store, &message, PROOF_MS, None);
    };
    let (Some(message), Some(terminal)) = store.read(|tx| {
        Ok::<_, crate::store::Error>((tx.message(id)?, tx.terminal(&message.receiver)?))
    })?
    else {
        return Ok(());
    };
    if message.status != MessageStatus::Placed || !terminal.alive() {
        return Ok(());
    }
    let Some((tmux, pane)) = place(&terminal) else {
        return Ok(());
    };
    let manifest = Catalogue::of(&cx.home).get(&terminal.provider)?;
    if message.transport == Some(Transport::StopHook) {
        return check_handed(cx, store, &message, &terminal, &manifest, (&tmux, pane));
    }
    let by_channel = store.read(|tx| {
        let tries = tx.attempts(message.id)?;
        let api = Transport::Api.as_str();
        Ok::<_, crate::store::Error>(tries.last().is_some_and(|last| last.transport == api))
    })?;
    if by_channel {
        return check_channel(cx, store, &message, &terminal, &manifest, (&tmux, pane));
    }
    let receipts = match tmux.receipts(pane, &terminal.id) {
        Ok(Some(receipts)) => receipts,
        Ok(None) | Err(crate::tmux::Error::NoServer(_) | crate::tmux::Error::Refused(_)) => {
            super::recover::server_of(cx, store, &terminal)?;
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let target = target(&terminal, &manifest, pane);
    if receipts.entered < message.seq {
        failpoint::hit("enter.before");
        let sent = tmux.late_enter(&target, message.seq)?;
        failpoint::hit("enter.sent");
        let note = if sent {
            "the Enter was late"
        } else {
            "the Enter waits"
        };
        return again_in(
            cx,
            store,
            &message,
            if sent { PROOF_MS } else { 5_000 },
            Some(note),
        );
    }
    if !proves(&terminal, &manifest) {
        confirm_idle(cx, store, &terminal, &manifest, &tmux, pane)?;
        return leave(cx, store, &message, &terminal);
    }
    let heard = terminal.last_event_at.unwrap_or(terminal.state.since);
    // A hook that was killed, or could not write, may have been the end of the turn.
    if terminal.state.status == Status::Working
        && (clock::elapsed_ms(heard, clock::now()) < i64::from(manifest.screen.patience_ms)
            || !confirm_idle(cx, store, &terminal, &manifest, &tmux, pane)?)
    {
        // A pointer was taken, its body has not been read yet; or the proof is on its way.
        return again_in(cx, store, &message, 30_000, None);
    }
    let (screen, title) = tmux.sight(pane).unwrap_or_default();
    let header = format!("[conductor #{} from ", message.id);
    let in_box = matches!(
        providers::look(&manifest, &screen, &title),
        Seen::Draft | Seen::Unknown
    ) && screen
        .lines()
        .rev()
        .take(12)
        .any(|row| row.contains(&header));
    if in_box && tmux.second_enter(&target, message.seq)? {
        return again_in(
            cx,
            store,
            &message,
            PROOF_MS,
            Some("the Enter was swallowed and sent again"),
        );
    }
    let age = clock::now().as_millisecond()
        - message
            .placed_at
            .unwrap_or(message.queued_at)
            .as_millisecond();
    // At an empty prompt nothing is under way any more.
    let patience = if matches!(
        providers::look(&manifest, &screen, &title),
        Seen::Idle | Seen::Failed(_)
    ) {
        8_000
    } else {
        20_000
    };
    if age < patience {
        return again_in(
            cx,
            store,
            &message,
            5_000,
            Some(GateReason::HooksSilent.as_str()),
        );
    }
    give_up_or_repeat(cx, store, &message, &terminal)
}

/// A message that a stop hook handed over is proven by the agent's next event. Without one the screen says whether the agent took it: its
/// text stands there, also when a person has interrupted the turn since, or the turn goes on. An agent does not take the answer of a hook
/// that was killed at its end.
fn check_handed(
    cx: &Context,
    store: &mut Store,
    message: &Message,
    terminal: &Terminal,
    manifest: &Manifest,
    (tmux, pane): (&Tmux, PaneId),
) -> Result<()> {
    let placed = message.placed_at.unwrap_or(message.queued_at);
    let heard = terminal.last_event_at.is_some_and(|at| at > placed);
    let (screen, title) = tmux.sight(pane).unwrap_or_default();
    let (text, _) = text::continuation(message, manifest.dialect.continuation_chars());
    if text::stands_on(&screen, &text) {
        let proof = "the screen shows that the agent took it";
        return taken(cx, store, message, terminal, proof);
    }
    match providers::look(manifest, &screen, &title) {
        Seen::Working | Seen::Dialog { .. } if !heard => {
            let proof = "the screen shows that the agent went on";
            taken(cx, store, message, terminal, proof)
        }
        Seen::Idle | Seen::Failed(_) if !heard => give_up_or_repeat(cx, store, message, terminal),
        _ if clock::now().as_millisecond() - placed.as_millisecond() < 60_000 => {
            again_in(cx, store, message, 15_000, None)
        }
        _ => give_up_or_repeat(cx, store, message, terminal),
    }
}

/// How long a message may rest in an agent's own queue after an interruption, in milliseconds.
const RESTING_MS: i64 = 60 * 60 * 1000;

/// How long an agent that rests may owe the proof of what its own channel took, in milliseconds.
const CHANNEL_MS: i64 = 20_000;

/// What the agent's own channel took waits there for the end of the turn and for open dialogs, and is proven by the prompt event. An agent
/// that rests owes it.
fn check_channel(
    cx: &Context,
    store: &mut Store,
    message: &Message,
    terminal: &Terminal,
    manifest: &Manifest,
    (tmux, pane): (&Tmux, PaneId),
) -> Result<()> {
    let now = clock::now();
    let quiet = terminal.last_event_at.unwrap_or(terminal.state.since);
    // After Esc a queue rests until a turn by other means has ended: what is in it would come twice.
    let placed_since = clock::elapsed_ms(message.placed_at.unwrap_or(message.queued_at), now);
    if manifest.channel != Some(Channel::Bell)
        && terminal.state.reason == INTERRUPTED
        && placed_since < RESTING_MS
    {
        let note = "it rests in the agent's own queue until a turn has ended";
        return again_in(cx, store, message, 60_000, Some(note));
    }
    if matches!(
        terminal.state.status,
        Status::Working | Status::Waiting | Status::Unknown
    ) && (clock::elapsed_ms(quiet, now) < i64::from(manifest.screen.patience_ms)
        || !confirm_idle(cx, store, terminal, manifest, tmux, pane)?)
    {
        return again_in(cx, store, message, 30_000, None);
    }
    let placed = message.placed_at.unwrap_or(message.queued_at).max(quiet);
    let age = clock::elapsed_ms(placed, now);
    if age < CHANNEL_MS {
        let note = (message.transport == Some(Transport::Api))
            .then_some("the agent's own channel has it; no event has shown it yet");
        return again_in(cx, store, message, CHANNEL_MS - age, note);
    }
    give_up_or_repeat(cx, store, message, terminal)
}

/// Nothing will prove a message to an agent without hooks: it stays placed, and the next one's turn has come.
fn leave(cx: &Context, store: &mut Store, message: &Message, terminal: &Terminal) -> Result<()> {
    let mut aftermath = Aftermath::default();
    store.write(Durability::Process, Budget::Call, |tx| {
        let now = clock::now();
        tx.leave_placed(
            message.id,
            "it was typed and entered; this agent has no event that could prove more",
        )?;
        tx.note_settled(&terminal.id, message.seq)?;
        // The next one's turn has come; without one the end of what this one began is looked for.
        let rests = tx
            .terminal(&terminal.id)?
            .is_none_or(|t| matches!(t.state.status, Status::Idle | Status::Error));
        let pause = match tx.head_message(&terminal.id)? {
            Some(_) => Some(0),
            None => (!rests).then_some(1_000),
        };
        if let Some(pause) = pause {
            super::deliver::due_at(tx, terminal, clock::after_ms(now, pause))?;
        }
        aftermath.count(terminal);
        aftermath.arm(tx, terminal, now)
    })?;
    aftermath.run(cx, store);
    Ok(())
}

fn taken(
    cx: &Context,
    store: &mut Store,
    message: &Message,
    terminal: &Terminal,
    proof: &str,
) -> Result<()> {
    let mut aftermath = Aftermath::default();
    store.write(Durability::Process, Budget::Call, |tx| {
        tx.submit_message(message.id, Transport::StopHook, clock::now(), proof)?;
        aftermath.count(terminal);
        Ok::<_, crate::store::Error>(())
    })?;
    aftermath.run(cx, store);
    Ok(())
}

fn give_up_or_repeat(
    cx: &Context,
    store: &mut Store,
    message: &Message,
    terminal: &Terminal,
) -> Result<()> {
    let mut aftermath = Aftermath::default();
    store.write(Durability::Process, Budget::Call, |tx| {
        let now = clock::now();
        // What the gate refused was never in the pane, and that a server died says nothing about the agent.
        let tries = tx.attempts(message.id)?;
        let pasted = tries
            .iter()
            .filter(|one| one.outcome != "refused" && one.outcome != LOST)
            .count();
        if pasted >= MAX_ATTEMPTS {
            let reason = match message.transport {
                Some(Transport::McpRead) => "the agent did not read it",
                _ => "no event of the agent proved it",
            };
            tx.end_message(message.id, MessageStatus::Dead, reason)?;
            tx.note_settled(&terminal.id, message.seq)?;
            bounce::tell(tx, message.id, now, &mut aftermath)?;
            tx.audit(
                now,
                "message.dead",
                &message.id.to_string(),
                "conductor",
                "tick",
                serde_json::json!({"reason": reason}),
            )?;
        } else {
            tx.requeue_message(message, "no proof came; it may have been seen", true)?;
            tx.note_settled(&terminal.id, message.seq)?;
            tx.renumber_head(message)?;
        }
        super::deliver::due_at(tx, terminal, clock::after_ms(now, 200))?;
        aftermath.count(terminal);
        aftermath.arm(tx, terminal, now)?;
        Ok::<_, crate::store::Error>(())
    })?;
    aftermath.run(cx, store);
    Ok(())
}

fn again_in(
    cx: &Context,
    store: &mut Store,
    message: &Message,
    ms: i64,
    note: Option<&str>,
) -> Result<()> {
    let mut aftermath = Aftermath::default();
    store.write(Durability::Process, Budget::Call, |tx| {
        let now: Timestamp = clock::now();
        let Some(terminal) = tx.terminal(&message.receiver)? else {
            return Ok(());
        };
        if let Some(note) = note {
            tx.note_unproven(message.id, note)?;
        }
        tx.set_due(
            DueKind::Proof,
            &message.id.to_string(),
            socket(&terminal).as_deref(),
            clock::after_ms(now, ms),
        )?;
        aftermath.arm(tx, &terminal, now)
    })?;
    aftermath.run(cx, store);
    Ok(())
}
