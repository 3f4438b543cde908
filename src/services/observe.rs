//! An agent's own event: who it is from, what it means, what it proves, and what the agent gets as an answer.
//!
//! This is the hot path: it runs at every event of every agent. One read to know the terminal, one short transaction, tmux only when
//! something that is shown has changed. A hook never breaks its caller; a decision that cannot be made is a denial.

use super::after::{self, Aftermath};
use super::context::Context;
use super::deliver::{place, socket};
use super::identity;
use crate::clock;
use crate::domain::event::AgentEvent;
use crate::domain::handoff::HandoffStatus;
use crate::domain::ids::TerminalId;
use crate::domain::message::{Message, MessageStatus, Transport};
use crate::domain::terminal::{Change, Source, Status, Terminal, next_state};
use crate::domain::text::{self, Placement};
use crate::fsx;
use crate::paths::{self, Home};
use crate::proc::Identity;
use crate::providers::{Catalogue, Dialect, Incoming, Verdict};
use crate::store::{Budget, DueKind, Durability, Error, SpooledEvent, Store, TerminalLock, Tx};
use std::io::{Read, Write};
use std::time::Duration;

/// Largest hook input, in bytes, that is read; a longer one is an event without details.
const MAX_INPUT: usize = 8 * 1024 * 1024;

/// Quiet time after the end of a turn before something is pasted: the agent may go on by itself.
const QUIET_MS: i64 = 500;

/// What a hook prints and how it ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// The agent's dialect, or nothing.
    pub out: String,
    /// Text for the model or the person, where the dialect reads it.
    pub err: String,
    /// Exit code: 0, or 2 to block.
    pub code: u8,
}

/// Handles hook `event` of an agent of `provider`, and writes the answer to `output` in one write.
pub fn hook(
    home: &Home,
    provider: &str,
    event: &str,
    input: &mut dyn Read,
    output: &mut dyn Write,
) -> u8 {
    let dialect = Catalogue::built_in_dialect(provider)
        .or_else(|| {
            Catalogue::of(home)
                .get(provider)
                .ok()
                .map(|manifest| manifest.dialect)
        })
        .unwrap_or(Dialect::None);
    let claimed = paths::env(paths::name::TERMINAL_ID);
    let bytes = fsx::read_limited(input, MAX_INPUT);
    let decides = dialect.decides(event);
    let deny = |why: &str| {
        let hint = "`conductor-hook doctor` says more";
        dialect.decision(
            event,
            &Verdict::Deny(format!("Agent Conductor denies this call: {why}; {hint}")),
        )
    };
    let outcome = match bytes {
        Ok(Some(bytes)) => dialect.read(event, &bytes),
        Ok(None) => Err("the hook's input is too long".to_owned()),
        Err(error) => Err(format!("the hook's input could not be read: {error}")),
    };
    let mut session = match Session::open(home, claimed.as_deref()) {
        Ok(Some(session)) => session,
        Ok(None) if claimed.is_none() => return 0,
        Ok(None) => {
            return if dialect.can_block(event) {
                print(output, &deny("no live terminal matches this process"))
            } else {
                0
            };
        }
        Err(error) => {
            tracing::warn!(%error, "open the state in a hook");
            return if dialect.can_block(event) && claimed.is_some() {
                print(output, &deny(&error.to_string()))
            } else {
                0
            };
        }
    };
    let incoming = match outcome {
        Ok(Some(incoming)) => incoming,
        Ok(None) => return 0,
        Err(why) => {
            tracing::warn!(%why, event, "read a hook's input");
            return if decides {
                print(
                    output,
                    &deny(&format!("its input cannot be understood: {why}")),
                )
            } else {
                0
            };
        }
    };
    if decides {
        // The gate is not part of this release: the call is noted, and what the agent was told to do stands.
        let answer = dialect.decision(
            event,
            &Verdict::Allow("no policy gate is installed".to_owned()),
        );
        session.status_event(&incoming);
        session.store.leave();
        return print(output, &answer);
    }
    let code = session.event(dialect, &incoming, output);
    session.store.leave();
    code
}

fn print(output: &mut dyn Write, answer: &str) -> u8 {
    let written = output
        .write_all(answer.as_bytes())
        .and_then(|()| output.flush());
    if written.is_ok() { 0 } else { 2 }
}

/// One hook call of one terminal.
struct Session {
    cx: Context,
    store: Store,
    terminal: Terminal,
}

impl Session {
    fn open(home: &Home, claimed: Option<&str>) -> Result<Option<Self>, crate::error::Failure> {
        let mut store = match Store::open(home) {
            Ok(store) => store,
            Err(Error::Missing(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let Some(terminal) = store.read(identity::own_terminal)? else {
            return Ok(None);
        };
        if claimed.is_some_and(|id| id != terminal.id.as_str()) {
            return Ok(None);
        }
        let tmux = terminal.server.as_ref().map_or_else(
            || crate::tmux::locate(None, None),
            |server| Ok(crate::tmux::Tmux::at(&server.socket)),
        )?;
        Ok(Some(Self {
            cx: Context::new(home.clone(), tmux)?,
            store,
            terminal,
        }))
    }

    /// An event that is only noted.
    fn status_event(&mut self, incoming: &Incoming) {
        let _ = self.record(incoming);
    }

    fn event(&mut self, dialect: Dialect, incoming: &Incoming, output: &mut dyn Write) -> u8 {
        if matches!(
            incoming.event,
            AgentEvent::PermissionAsked(_) | AgentEvent::DialogShown(_)
        ) {
            self.mark_dialog(true);
        } else if self.terminal.state.status == Status::Waiting
            && !matches!(incoming.event, AgentEvent::SignOfLife)
        {
            self.mark_dialog(false);
        }
        if let AgentEvent::TurnEnded {
            continued: false,
            background: false,
            ..
        } = incoming.event
            && let Some(next) = self.take_next(dialect)
        {
            return self.continue_with(dialect, incoming, &next, output);
        }
        let Some(contexts) = self.record(incoming) else {
            return 0;
        };
        if contexts.is_empty() {
            return 0;
        }
        let text = contexts
            .iter()
            .map(text::framed)
            .collect::<Vec<_>>()
            .join("\n\n");
        dialect
            .context(&text)
            .map_or(0, |answer| print(output, &answer))
    }

    fn mark_dialog(&self, open: bool) {
        if let Some((tmux, pane)) = place(&self.terminal)
            && let Err(error) = tmux.mark_dialog(pane, open)
        {
            tracing::warn!(%error, terminal = %self.terminal.id, "mark the dialog");
        }
    }

    /// Claims the head of the queue for the answer of the stop hook; the terminal's lock is held as long as the claim is being made and
    /// printed, so it is returned with the message.
    fn take_next(&mut self, dialect: Dialect) -> Option<(TerminalLock, Message)> {
        dialect.continuation("")?;
        let id = self.terminal.id.clone();
        let head = self.store.read(|tx| tx.head_message(&id)).ok()??;
        if head.status != MessageStatus::Queued {
            return None;
        }
        let lock =
            TerminalLock::acquire(&self.cx.home, id.as_str(), Duration::from_millis(20)).ok()??;
        let own = Identity::own()?;
        let claimed: Result<_, Error> =
            self.store.write(Durability::Process, Budget::Status, |tx| {
                let Some(head) = tx.head_message(&id)? else {
                    return Ok(None);
                };
                let claimed = head.status == MessageStatus::Queued
                    && tx.claim_message(head.id, Transport::StopHook, own, clock::now())?;
                Ok(claimed.then_some(head))
            });
        Some((lock, claimed.ok()??))
    }

    /// Claim, print, mark: a crash between the last two repeats this one message, and the receiver is told.
    fn continue_with(
        &mut self,
        dialect: Dialect,
        incoming: &Incoming,
        next: &(TerminalLock, Message),
        output: &mut dyn Write,
    ) -> u8 {
        let (_, message) = next;
        let framed = if message.body.contains('\n') {
            text::framed(message)
        } else {
            format!("{} {}", text::header(message), message.body)
        };
        let text = if framed.chars().count() <= dialect.continuation_chars() {
            framed
        } else {
            let none = text::Limits {
                inline_chars: 0,
                context_units: 0,
            };
            text::place(message, none).line().to_owned()
        };
        let pointer = text.contains("Read it with the MCP tool read_inbox");
        let code = dialect
            .continuation(&text)
            .map_or(0, |answer| print(output, &answer));
        let handed = code == 0;
        let at = clock::now();
        let mut aftermath = Aftermath::default();
        let id = self.terminal.id.clone();
        let terminal = self.terminal.clone();
        let stored: Result<(), Error> =
            self.store
                .write(Durability::Process, Budget::Decision, |tx| {
                    if !handed {
                        tx.requeue_message(
                            message,
                            "the agent did not take the answer of its stop hook",
                            false,
                        )?;
                        return Ok(());
                    }
                    prove_handed(tx, &terminal, Some(message))?;
                    tx.place_message(message.id, at)?;
                    if pointer {
                        tx.set_transport(message.id, Transport::McpRead)?;
                    }
                    let answer = match &incoming.event {
                        AgentEvent::TurnEnded { answer, .. } => answer.as_deref(),
                        _ => None,
                    };
                    tx.note_event(&id, at, incoming.agent_session.as_deref(), answer)?;
                    let reason = format!("goes on with message {}", message.id);
                    if tx.set_state(
                        &id,
                        &Change {
                            status: Status::Working,
                            reason,
                        },
                        Source::Event,
                        at,
                    )? {
                        aftermath.show(&terminal, Status::Working);
                    }
                    tx.set_due(
                        DueKind::Proof,
                        &message.id.to_string(),
                        socket(&terminal).as_deref(),
                        clock::after_ms(at, 60_000),
                    )?;
                    aftermath.count(&terminal);
                    aftermath.arm(tx, &terminal, at)
                });
        if let Err(error) = stored {
            tracing::warn!(%error, message = %message.id, "mark a message as handed over");
        }
        aftermath.run(&self.cx, &mut self.store);
        code
    }

    /// Stores the event; returns the messages whose bodies the prompt hook shall add, or `None` when the event was only spooled.
    fn record(&mut self, incoming: &Incoming) -> Option<Vec<Message>> {
        let at = clock::now();
        let mut aftermath = Aftermath::default();
        let limits = match &incoming.event {
            AgentEvent::PromptSubmitted { text } if !text::header_ids(text).is_empty() => {
                Catalogue::of(&self.cx.home)
                    .get(&self.terminal.provider)
                    .ok()
                    .map(|manifest| manifest.limits())
            }
            _ => None,
        };
        // A prompt that carries a message is worth a wait: its body may have to be handed over now.
        let budget = if limits.is_some() {
            Budget::Decision
        } else {
            Budget::Status
        };
        let id = self.terminal.id.clone();
        let stored: Result<Vec<Message>, Error> =
            self.store.write(Durability::Process, budget, |tx| {
                let Some(terminal) = tx.terminal(&id)? else {
                    return Ok(Vec::new());
                };
                let contexts = store_event(tx, &terminal, incoming, limits, at, &mut aftermath)?;
                aftermath.arm(tx, &terminal, at)?;
                Ok(contexts)
            });
        match stored {
            Ok(contexts) => {
                aftermath.run(&self.cx, &mut self.store);
                Some(contexts)
            }
            Err(Error::Locked) => Some(self.spool(incoming, limits, at)),
            Err(error) => {
                tracing::warn!(%error, terminal = %self.terminal.id, "store an event");
                None
            }
        }
    }

    /// Leaves the event for the next writer; returns the messages whose bodies the prompt hook shall add (reading needs no lock).
    fn spool(
        &mut self,
        incoming: &Incoming,
        limits: Option<text::Limits>,
        at: jiff::Timestamp,
    ) -> Vec<Message> {
        let change = next_state(self.terminal.state.status, &incoming.event);
        let id = self.terminal.id.clone();
        let carried = match (&incoming.event, limits) {
            (AgentEvent::PromptSubmitted { text }, Some(limits)) => self
                .store
                .read(|tx| carried(tx, &id, text, limits))
                .unwrap_or_default(),
            _ => Vec::new(),
        };
        let pointer = |c: &&(Message, Placement)| !matches!(c.1, Placement::Pointer(_));
        let event = SpooledEvent {
            terminal: id.to_string(),
            at: at.as_millisecond(),
            status: change
                .as_ref()
                .map(|change| change.status.as_str().to_owned()),
            reason: change.map(|change| change.reason).unwrap_or_default(),
            answer: match &incoming.event {
                AgentEvent::TurnEnded { answer, .. } => answer.clone(),
                _ => None,
            },
            proves: carried
                .iter()
                .filter(pointer)
                .map(|(message, _)| message.id.0)
                .collect(),
        };
        if let Err(error) = event.keep(&self.cx.home) {
            tracing::warn!(%error, terminal = %self.terminal.id, "spool an event");
        }
        carried
            .into_iter()
            .filter(|(_, placement)| matches!(placement, Placement::WithContext(_)))
            .map(|(message, _)| message)
            .collect()
    }
}

/// The messages that were on their way to terminal `id` and whose headers stand in a submitted prompt, and how each was put there.
fn carried(
    tx: &Tx<'_>,
    id: &TerminalId,
    prompt: &str,
    limits: text::Limits,
) -> Result<Vec<(Message, Placement)>, Error> {
    let mut found = Vec::new();
    for message in text::header_ids(prompt) {
        let Some(message) = tx.message(message)? else {
            continue;
        };
        let open = matches!(
            message.status,
            MessageStatus::Claimed | MessageStatus::Placed
        );
        if message.receiver == *id && open {
            let placement = text::place(&message, limits);
            found.push((message, placement));
        }
    }
    Ok(found)
}

/// Whatever the agent does after a stop hook's answer proves that it took it.
fn prove_handed(tx: &Tx<'_>, terminal: &Terminal, except: Option<&Message>) -> Result<bool, Error> {
    let mut proven = false;
    for message in tx.placed_by(&terminal.id, Transport::StopHook)? {
        if except.is_none_or(|other| other.id != message) {
            proven |= tx.submit_message(
                message,
                Transport::StopHook,
                clock::now(),
                "the agent went on after its stop hook",
            )?;
            tx.clear_due(DueKind::Proof, &message.to_string())?;
        }
    }
    Ok(proven)
}

fn store_event(
    tx: &Tx<'_>,
    terminal: &Terminal,
    incoming: &Incoming,
    limits: Option<text::Limits>,
    at: jiff::Timestamp,
    aftermath: &mut Aftermath,
) -> Result<Vec<Message>, Error> {
    let id = &terminal.id;
    let answer = match &incoming.event {
        AgentEvent::TurnEnded { answer, .. } => answer.as_deref(),
        _ => None,
    };
    tx.note_event(id, at, incoming.agent_session.as_deref(), answer)?;
    let mut contexts = Vec::new();
    if let AgentEvent::Ended { reason } = &incoming.event {
        if let Some(code) = incoming.exit_code {
            tx.note_exit_code(id, code)?;
        }
        after::end(
            tx,
            terminal,
            &format!("the agent ended: {}", text::one_line(reason)),
            Source::Event,
            at,
            aftermath,
        )?;
        return Ok(contexts);
    }
    let mut proven = prove_handed(tx, terminal, None)?;
    if let (AgentEvent::PromptSubmitted { text }, Some(limits)) = (&incoming.event, limits) {
        for (message, placement) in carried(tx, id, text, limits)? {
            match placement {
                // The line is in, the body is not: reading it is the proof.
                Placement::Pointer(_) => {
                    tx.place_message(message.id, at)?;
                    tx.note_unproven(
                        message.id,
                        "the agent has been told, and has not read it yet",
                    )?;
                    tx.note_settled(id, message.seq)?;
                    continue;
                }
                Placement::WithContext(_) => contexts.push(message.clone()),
                Placement::Inline(_) => {}
            }
            let transport = message.transport.unwrap_or(Transport::Paste);
            proven |= tx.submit_message(
                message.id,
                transport,
                at,
                "the agent's prompt hook carried its id",
            )?;
            tx.clear_due(DueKind::Proof, &message.id.to_string())?;
        }
    }
    if proven {
        aftermath.count(terminal);
    }
    if let Some(change) = next_state(terminal.state.status, &incoming.event)
        && !terminal.state.is(&change, Source::Event)
        && tx.set_state(id, &change, Source::Event, at)?
    {
        aftermath.show(terminal, change.status);
    }
    let server = socket(terminal);
    match &incoming.event {
        AgentEvent::TurnEnded {
            answer,
            background: false,
            ..
        } => {
            settle_handoff(
                tx,
                terminal,
                HandoffStatus::Done,
                answer.as_deref().unwrap_or_default(),
                at,
            )?;
        }
        AgentEvent::TurnFailed { error } => {
            settle_handoff(
                tx,
                terminal,
                HandoffStatus::Error,
                &format!("the worker's turn failed: {error}"),
                at,
            )?;
        }
        AgentEvent::PromptSubmitted { .. } | AgentEvent::ToolStarting(_) => {
            if let Some(handoff) = tx.handoff_of_worker(id)? {
                tx.reopen_handoff(&handoff.id)?;
            }
        }
        _ => {}
    }
    let rests = matches!(
        incoming.event,
        AgentEvent::Started
            | AgentEvent::AtPrompt
            | AgentEvent::Interrupted
            | AgentEvent::TurnEnded {
                background: false,
                ..
            }
            | AgentEvent::TurnFailed { .. }
    );
    if rests && tx.head_message(id)?.is_some() {
        tx.set_due(
            DueKind::Deliver,
            id.as_str(),
            server.as_deref(),
            clock::after_ms(at, QUIET_MS),
        )?;
    }
    Ok(contexts)
}

/// The worker's turn is over: if its task reached it, this is the answer, unless it goes on within the quiet time.
fn settle_handoff(
    tx: &Tx<'_>,
    terminal: &Terminal,
    status: HandoffStatus,
    answer: &str,
    at: jiff::Timestamp,
) -> Result<(), Error> {
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
        clock::after_ms(at, 2 * QUIET_MS),
    )
}
