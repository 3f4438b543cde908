//! Delivering the next message of a terminal by the fenced paste, and settling what an earlier process left behind.
//!
//! Whoever holds the terminal's lock delivers; who does not get it may leave, because its message was committed before, and the holder
//! looks again after it has let the lock go.

mod channel;
mod due;
mod ready;
mod watch;

pub use channel::limits as channel_limits;
pub use due::{deliver_due, due_at};
pub use ready::Ready;

use super::after::Aftermath;
use super::context::Context;
use crate::clock;
use crate::domain::approval::Approval;
use crate::domain::handoff::HandoffStatus;
use crate::domain::ids::TerminalId;
use crate::domain::message::{GateReason, Message, MessageStatus, Transport};
use crate::domain::terminal::{Change, Source, Status, Terminal};
use crate::domain::text::{self, Placement};
use crate::error::{Failure, Result};
use crate::failpoint;
use crate::fsx;
use crate::proc::Identity;
use crate::providers::{self, Catalogue, Channel, Manifest, Seen, When};
use crate::store::{Budget, DueKind, Durability, Store, TerminalLock, Tx};
use crate::tmux::fence::{Outcome, Target};
use crate::tmux::{PaneId, Tmux};
use std::time::Duration;

/// How long a placed message may be without proof before it is looked for, in milliseconds.
pub const PROOF_MS: i64 = 3_000;

/// How long the pane of a program without patterns is quiet before it counts as idle, in seconds.
const QUIET_SECONDS: i64 = 2;

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
        return watch::watch(cx, store, &terminal);
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

/// Whether its own events are counted on. An agent that a person started may be older than the hooks in its settings: it is believed when it
/// has been heard.
const fn speaks(terminal: &Terminal) -> bool {
    terminal.hooked && (!terminal.adopted || terminal.last_event_at.is_some())
}

/// Whether the agent's own events prove what it was given.
pub fn proves(terminal: &Terminal, manifest: &Manifest) -> bool {
    speaks(terminal) && manifest.proves()
}

/// Whether an event says that the agent is up; else its screen does.
pub fn tells_start(terminal: &Terminal, manifest: &Manifest) -> bool {
    proves(terminal, manifest) && manifest.hooks.at_start
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
        shell: manifest
            .program_of(&terminal.args)
            .is_some_and(crate::tmux::fence::is_shell),
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
                Status::Waiting if store.read(|tx| held(tx, &terminal))? => GateReason::Approval,
                Status::Waiting => GateReason::Dialog,
                _ => GateReason::Working,
            };
            // Hooks miss some ends of a turn (Esc, No in a dialog): after 5 s without an event one look at the screen confirms. That it is
            // up is said by some only on the screen.
            let silent =
                terminal.state.status == Status::Starting && !tells_start(&terminal, &manifest);
            if !silent && quiet_ms(&terminal) < i64::from(manifest.screen.patience_ms) {
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
    if tells_start(&terminal, &manifest) && terminal.last_event_at.is_none() {
        return wait_for(cx, store, &terminal, head, GateReason::HooksSilent);
    }
    match &manifest.channel {
        Some(Channel::Bell) if terminal.hooked => return channel::ring(cx, store, &terminal, head),
        Some(Channel::Command {
            args,
            when: When::Always,
        }) if terminal.hooked => {
            if let Some(step) = channel::queue(cx, store, &terminal, head, &manifest, args)? {
                return Ok(step);
            }
        }
        _ => {}
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
    // Where no event tells of a dialog, or no row of an empty box, the whole screen must look like the prompt.
    if !proves(&terminal, &manifest) || manifest.submit.prompt_row.is_none() {
        let reason = match seen_now(&manifest, &tmux, pane)? {
            Some(Seen::Idle | Seen::Failed(_)) => None,
            Some(Seen::Dialog { .. }) => Some(GateReason::Dialog),
            Some(Seen::Working) => Some(GateReason::Working),
            Some(Seen::Unknown) if manifest.screen.idle.is_none() => None,
            Some(Seen::Draft | Seen::Unknown) => Some(GateReason::Draft),
            None => Some(GateReason::Dead),
        };
        if let Some(reason) = reason {
            return wait_for(cx, store, &terminal, head, reason);
        }
    }
    claim(cx, store, &terminal, head, &manifest, (&tmux, pane))
}

/// Whether a call of the agent is held where no key in its pane decides.
fn held(tx: &Tx<'_>, terminal: &Terminal) -> std::result::Result<bool, crate::store::Error> {
    Ok(tx.open_approvals(&terminal.id)?.iter().any(Approval::holds))
}

/// What the screen shows now; `None` where there is none.
fn seen_now(manifest: &Manifest, tmux: &Tmux, pane: PaneId) -> Result<Option<Seen>> {
    match tmux.sight(pane) {
        Ok((screen, title)) => Ok(Some(providers::look(manifest, &screen, &title))),
        Err(crate::tmux::Error::NoServer(_) | crate::tmux::Error::Refused(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// How a message that is put to the agent so is going.
const fn transport(placement: &Placement) -> Transport {
    match placement {
        Placement::Inline(_) => Transport::Paste,
        Placement::WithContext(_) => Transport::PromptHook,
        Placement::Pointer(_) => Transport::McpRead,
    }
}

/// Whether the agent has our hooks and our MCP server, which carry what its prompt does not.
const fn reads(terminal: &Terminal, manifest: &Manifest) -> bool {
    speaks(terminal) && manifest.mcp
}

/// A program that has neither our hooks nor our MCP server reads a long body from a file.
fn placed_in_file(
    cx: &Context,
    terminal: &Terminal,
    head: &Message,
    manifest: &Manifest,
) -> Result<Placement> {
    let dir = cx.home.run_of(terminal.id.as_str());
    let file = dir.join(format!("message-{}.txt", head.id));
    let (line, in_file) = text::place_in_file(head, manifest.limits(), &file.to_string_lossy());
    if in_file {
        let failed =
            |e: std::io::Error| Failure::state(format!("write {}: {e}", file.display())).disk(&e);
        fsx::create_private_dir(&dir).map_err(failed)?;
        fsx::write_atomic(&file, text::framed(head).as_bytes()).map_err(failed)?;
    }
    Ok(Placement::Inline(line))
}

fn claim(
    cx: &Context,
    store: &mut Store,
    terminal: &Terminal,
    head: &Message,
    manifest: &Manifest,
    pane: (&Tmux, PaneId),
) -> Result<Step> {
    let placement = if reads(terminal, manifest) {
        text::place(head, manifest.limits())
    } else {
        placed_in_file(cx, terminal, head, manifest)?
    };
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

/// How long what a person does in the pane may hold a message up before it goes by the agent's own channel, in milliseconds.
const BLOCKED_MS: i64 = 3_000;

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
                && quiet_ms(terminal) >= i64::from(manifest.screen.patience_ms)
                && let Ok((screen, title)) = tmux.sight(pane)
                && providers::look(manifest, &screen, &title) == Seen::Idle
            {
                let _ = tmux.mark_dialog(pane, false);
            }
            failpoint::hit("deliver.refused");
            if let Some(Channel::Command {
                args,
                when: When::Blocked,
            }) = &manifest.channel
                && terminal.hooked
                && reason.by_person()
                && clock::elapsed_ms(head.queued_at, clock::now()) >= BLOCKED_MS
                && let Some(step) = channel::queue(cx, store, terminal, head, manifest, args)?
            {
                return Ok(step);
            }
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
            // No event will say so; the screen says when it is over.
            if !speaks(terminal) {
                let change = Change {
                    status: Status::Working,
                    reason: format!("message {} was put in", head.id),
                };
                if tx.set_state(&terminal.id, &change, Source::Command, now)? {
                    aftermath.show(terminal, Status::Working);
                }
            }
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
            GateReason::Working | GateReason::Dialog | GateReason::Approval => {
                (age / 2).clamp(5_100, 60_000)
            }
            _ => (age / 2).clamp(2_000, 60_000),
        };
        // The end of a pause is due by itself.
        if reason != GateReason::Paused && tx.terminal(&terminal.id)?.is_some_and(|t| t.alive()) {
            due_at(tx, terminal, clock::after_ms(now, pause))?;
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
    let Ok((screen, title)) = tmux.sight(pane) else {
        return Ok(false);
    };
    let seen = providers::look(manifest, &screen, &title);
    let change = match &seen {
        Seen::Idle => Change {
            status: Status::Idle,
            reason: "the screen shows the empty prompt".to_owned(),
        },
        // A program of which no pattern is known: quiet is all that can be seen.
        Seen::Unknown
            if manifest.screen.idle.is_none()
                && tmux.quiet_for(pane, QUIET_SECONDS, clock::now().as_second())? =>
        {
            Change {
                status: Status::Idle,
                reason: "its pane has been quiet".to_owned(),
            }
        }
        Seen::Failed(words) => Change {
            status: Status::Error,
            reason: format!("the screen shows: {}", text::one_line(words)),
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
        let held = change.status == Status::Working && held(tx, terminal)?;
        let looked = !heard && !held;
        let moved = looked && tx.set_state(&terminal.id, &change, Source::Screen, clock::now())?;
        if moved {
            aftermath.show(terminal, change.status);
        }
        if let (true, Seen::Failed(words)) = (moved, &seen) {
            let (now, failed) = (clock::now(), HandoffStatus::Error);
            let said = format!("the worker's turn failed: {words}");
            super::answer::turn_over(tx, terminal, failed, &said, now)?;
            aftermath.arm(tx, terminal, now)?;
        }
        Ok::<_, crate::store::Error>(moved)
    })?;
    if moved && change.status != Status::Waiting {
        let _ = tmux.mark_dialog(pane, false);
    }
    aftermath.run(cx, store);
    Ok(matches!(change.status, Status::Idle | Status::Error))
}

/// A claim whose process is gone (the caller holds the terminal's lock): the receipt says what became of it.
fn settle_claim(
    cx: &Context,
    store: &mut Store,
    terminal: &Terminal,
    head: &Message,
) -> Result<Step> {
    if matches!(head.transport, Some(Transport::StopHook | Transport::Api)) {
        let lease = store.read(|tx| tx.lease(head.id))?;
        if lease.is_some_and(Identity::alive) {
            return Ok(Step::Waits);
        }
        store.write(Durability::Process, Budget::Call, |tx| {
            tx.requeue_message(
                head,
                "what handed it over was killed; it may have been seen",
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
