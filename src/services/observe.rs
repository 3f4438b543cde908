//! An agent's own event: who it is from, what it means, what it proves, and what the agent gets as an answer.
//!
//! This is the hot path: it runs at every event of every agent. One read to know the terminal, one short transaction, tmux only when
//! something that is shown has changed. A hook never breaks its caller; a decision that cannot be made is a denial.

mod asking;
mod denial;
mod gate;
#[cfg(test)]
mod gate_tests;
mod record;

pub use self::denial::broken;

use self::denial::{answer, claimed, denial, dialect_of, in_pane_of_ours, print, unknown, waits};
use self::record::{Manners, carried, store_event};
use super::after::Aftermath;
use super::context::Context;
use super::deliver::{place, socket};
use super::{clean, identity, logs, recover};
use crate::clock;
use crate::domain::event::AgentEvent;
use crate::domain::message::{Message, MessageStatus, Transport};
use crate::domain::terminal::{Change, Source, Status, Terminal, next_state};
use crate::domain::text::{self, Placement};
use crate::failpoint;
use crate::fsx;
use crate::paths::{self, Home};
use crate::proc::Identity;
use crate::providers::{Catalogue, Dialect, Incoming};
use crate::store::{Budget, DueKind, Durability, Error, SpooledEvent, Store, TerminalLock};
use std::io::{Read, Write};
use std::time::Duration;

/// Largest hook input, in bytes, that is read; a longer one is an event without details.
const MAX_INPUT: usize = 8 * 1024 * 1024;

/// A message that a stop hook handed over is looked after when the agent has not been heard from for this long, in milliseconds.
const HANDED_MS: i64 = 5_100;

/// When somebody stores what was spooled, if no writer has done so, in milliseconds.
const SPOOL_MS: u64 = 300;

/// What proves a message that was pasted.
pub(super) const PROMPT_PROOF: &str = "the agent's prompt hook carried its id";

/// Handles hook `event` of an agent of `provider`, and writes the answer to `output` in one write.
pub fn hook(
    home: &Home,
    provider: &str,
    event: &str,
    input: &mut dyn Read,
    output: &mut dyn Write,
) -> u8 {
    let dialect = dialect_of(Some(home), provider);
    let decides = waits(dialect, event);
    let claimed = claimed();
    let deny = |why: &str| denial(dialect, event, why);
    if decides && !dialect.speaks() && claimed.is_some() {
        return answer(output, &deny(&unknown(provider)));
    }
    let bytes = fsx::read_limited(input, MAX_INPUT);
    let outcome = match bytes {
        Ok(Some(bytes)) => dialect.read(event, &bytes),
        Ok(None) => Err("the hook's input is too long".to_owned()),
        Err(error) => Err(format!("the hook's input could not be read: {error}")),
    };
    let mut session = match Session::open(home, provider, decides, claimed.as_deref()) {
        Ok(Some(session)) => session,
        Ok(None) if !decides => return 0,
        Ok(None) if claimed.is_none() && (can_tell(home) || !in_pane_of_ours()) => return 0,
        Ok(None) => return answer(output, &deny("no live terminal matches this process")),
        Err(error) => {
            tracing::warn!(%error, "open the state in a hook");
            if !decides || (claimed.is_none() && !in_pane_of_ours()) {
                return 0;
            }
            let incoming = outcome.as_ref().ok().and_then(Option::as_ref);
            let verdict = match incoming {
                Some(incoming) if dialect.speaks() => {
                    gate::without_state(home, provider, dialect, incoming, &error.to_string())
                }
                _ => return answer(output, &deny(&error.to_string())),
            };
            return answer(output, &dialect.decision(event, &verdict, incoming));
        }
    };
    if decides && !dialect.speaks() {
        return answer(output, &deny(&unknown(provider)));
    }
    let mut incoming = match outcome {
        Ok(Some(incoming)) => incoming,
        Ok(None) => return 0,
        Err(why) => {
            tracing::warn!(%why, event, "read a hook's input");
            return if decides {
                answer(
                    output,
                    &deny(&format!("its input cannot be understood: {why}")),
                )
            } else {
                0
            };
        }
    };
    let own = if session.terminal.provider == provider {
        dialect
    } else {
        dialect_of(Some(home), &session.terminal.provider)
    };
    // The hooks in the user's settings are for agents that bring none of their own.
    let settings = paths::env(paths::name::SETUP).is_some();
    if settings && !session.terminal.adopted && own == dialect && dialect.launches_hooks() {
        return 0;
    }
    if own != dialect {
        // An agent that another one started asks like it, and its turns are not the terminal's.
        session.guest = own.speaks();
        if session.guest && !decides {
            return 0;
        }
        // The program that the pane was started as may outlive it; in an adopted pane it is that program.
        if !session.terminal.adopted && matches!(incoming.event, AgentEvent::Ended { .. }) {
            incoming.event = AgentEvent::AtPrompt;
        }
    }
    if decides {
        let code = session.gate(dialect, event, &incoming, output);
        session.store.leave();
        return code;
    }
    let code = session.event(dialect, &incoming, output);
    session.store.leave();
    code
}

/// Whether state and kernel say whose process this is, even if it is nobody's.
fn can_tell(home: &Home) -> bool {
    home.db().exists() && Identity::own().is_some()
}

/// One hook call of one terminal.
struct Session {
    cx: Context,
    store: Store,
    terminal: Terminal,
    /// The provider whose hook it is: another one's than the terminal's where an agent runs in a pane that was not started as its.
    speaker: String,
    /// Whether the terminal's own agent has hooks too: this one's say nothing about its state.
    guest: bool,
    parent: nix::unistd::Pid,
}

impl Session {
    fn open(
        home: &Home,
        speaker: &str,
        decides: bool,
        claimed: Option<&str>,
    ) -> Result<Option<Self>, crate::error::Failure> {
        let parent = nix::unistd::getppid();
        let mut store = match Store::open(home) {
            Ok(store) => store,
            Err(Error::Missing(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        store.set_status_wait(|home| {
            let hooks = crate::profiles::config::load(home)
                .unwrap_or_default()
                .hooks;
            Duration::from_millis(hooks.budget_ms.into())
        });
        let own = store.read(identity::own_terminal)?;
        let terminal = own.filter(|own| claimed.is_none_or(|id| id == own.id.as_str()));
        let Some(terminal) = terminal else {
            // Told of decisions alone: who lies about itself at one does so at its other events too.
            if decides
                && claimed.is_some()
                && let Err(failure) = identity::honest(&mut store, "hook")
            {
                tracing::warn!(%failure, "a hook of another terminal");
            }
            return Ok(None);
        };
        let tmux = terminal.server.as_ref().map_or_else(
            || crate::tmux::locate(None, None),
            |server| Ok(crate::tmux::Tmux::at(&server.socket)),
        )?;
        Ok(Some(Self {
            cx: Context::new(home.clone(), tmux)?,
            store,
            terminal,
            speaker: speaker.to_owned(),
            guest: false,
            parent,
        }))
    }

    /// An event that is only noted.
    fn status_event(&mut self, incoming: &Incoming) {
        if !self.guest {
            let _ = self.record(incoming);
        }
    }

    fn event(&mut self, dialect: Dialect, incoming: &Incoming, output: &mut dyn Write) -> u8 {
        if self.guest {
            return 0;
        }
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
            && dialect.continuation("").is_some()
            && let Some(next) = self.take_next(Transport::StopHook)
        {
            return self.continue_with(dialect, incoming, &next, output);
        }
        if incoming.event == AgentEvent::MailAsked {
            let next = self.take_next(Transport::Api);
            self.status_event(incoming);
            return next.map_or(0, |next| {
                self.continue_with(dialect, incoming, &next, output)
            });
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
        failpoint::hit("prompt.before_print");
        let code = dialect
            .context(&text)
            .map_or(0, |answer| print(output, &answer));
        failpoint::hit("prompt.printed");
        if code == 0 {
            self.prove_added(&contexts);
        }
        code
    }

    /// The bodies have been printed: they are proven. Marked after the print, so that a hook that is killed before loses nothing, and as
    /// the last thing: an agent does not take the answer of a hook that is killed after. What the person sees follows with the timer.
    fn prove_added(&mut self, contexts: &[Message]) {
        if !self.has_reader() {
            return;
        }

        let at = clock::now();
        let stored: Result<(), Error> =
            self.store
                .write(Durability::Process, Budget::Decision, |tx| {
                    for message in contexts {
                        let transport = message.transport.unwrap_or(Transport::PromptHook);
                        tx.submit_message(message.id, transport, at, PROMPT_PROOF)?;
                    }
                    Ok(())
                });
        match stored {
            Ok(()) => {}
            Err(Error::Locked) => {
                let event = SpooledEvent {
                    terminal: self.terminal.id.to_string(),
                    at: at.as_millisecond(),
                    status: None,
                    reason: String::new(),
                    answer: None,
                    proves: contexts.iter().map(|message| message.id.0).collect(),
                    gated: false,
                };
                self.keep(&event);
            }
            Err(error) => {
                tracing::warn!(%error, terminal = %self.terminal.id, "mark a body as handed over");
            }
        }
        failpoint::hit("prompt.marked");
    }

    /// Whether who started this hook still waits for it: what an agent gets from a hook whose shell was killed, it does not take.
    fn has_reader(&self) -> bool {
        nix::unistd::getppid() == self.parent
    }

    fn mark_dialog(&self, open: bool) {
        if let Some((tmux, pane)) = place(&self.terminal)
            && let Err(error) = tmux.mark_dialog(pane, open)
        {
            tracing::warn!(%error, terminal = %self.terminal.id, "mark the dialog");
        }
    }

    /// Claims the head of the queue for the answer of this hook; the terminal's lock is held as long as the claim is being made and
    /// printed, so it is returned with the message.
    fn take_next(&mut self, transport: Transport) -> Option<(TerminalLock, Message)> {
        let id = self.terminal.id.clone();
        let head = self.store.read(|tx| tx.head_message(&id)).ok()??;
        if head.status != MessageStatus::Queued {
            return None;
        }
        // Whoever rang for the plugin still holds it for a moment; a stop hook's message has other ways.
        let patience = match transport {
            Transport::Api => Duration::from_secs(2),
            _ => Duration::from_millis(20),
        };
        let lock = TerminalLock::acquire(&self.cx.home, id.as_str(), patience).ok()??;
        let own = Identity::own()?;
        failpoint::hit("stop.before_claim");
        let mut aftermath = Aftermath::default();
        let claimed: Result<_, Error> =
            self.store.write(Durability::Process, Budget::Status, |tx| {
                let Some(head) = tx.head_message(&id)? else {
                    return Ok(None);
                };
                let now = clock::now();
                let claimed = head.status == MessageStatus::Queued
                    && tx.claim_message(head.id, transport, own, now)?;
                if claimed {
                    // Whatever becomes of this process, somebody looks.
                    let at = clock::after_ms(now, HANDED_MS);
                    tx.set_due(
                        DueKind::Deliver,
                        id.as_str(),
                        socket(&self.terminal).as_deref(),
                        at,
                    )?;
                    aftermath.arm(tx, &self.terminal, now)?;
                }
                Ok(claimed.then_some(head))
            });
        let message = claimed.ok()??;
        failpoint::hit("stop.claimed");
        aftermath.run(&self.cx, &mut self.store);
        Some((lock, message))
    }

    /// Claim, print, mark: a crash between the last two repeats this one message, and the receiver is told. The mark is the last thing that
    /// this process does, because an agent does not take the answer of a hook that is killed.
    fn continue_with(
        &mut self,
        dialect: Dialect,
        incoming: &Incoming,
        next: &(TerminalLock, Message),
        output: &mut dyn Write,
    ) -> u8 {
        let (_, message) = next;
        let (text, pointer) = text::continuation(message, dialect.continuation_chars());
        let said = if incoming.event == AgentEvent::MailAsked {
            dialect.mail(message.id, &text)
        } else {
            dialect.continuation(&text)
        };
        let code = said.map_or(0, |answer| print(output, &answer));
        failpoint::hit("stop.printed");
        let handed = code == 0 && self.has_reader();
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
                            "the agent did not take the answer of its hook",
                            false,
                        )?;
                        return Ok(());
                    }
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
                        clock::after_ms(at, HANDED_MS),
                    )?;
                    // The timer of the claim is early enough.
                    tx.clear_due(DueKind::Deliver, id.as_str())
                });
        if let Err(error) = stored {
            tracing::warn!(%error, message = %message.id, "mark a message as handed over");
        }
        failpoint::hit("stop.marked");
        aftermath.run(&self.cx, &mut self.store);
        failpoint::hit("stop.done");
        code
    }

    /// Stores the event; returns the messages whose bodies the prompt hook shall add, or `None` when the event was only spooled.
    fn record(&mut self, incoming: &Incoming) -> Option<Vec<Message>> {
        let at = clock::now();
        let mut aftermath = Aftermath::default();
        let id = self.terminal.id.clone();
        let waits = record::rests(&incoming.event)
            && self
                .store
                .read(|tx| tx.head_message(&id))
                .is_ok_and(|head| head.is_some());
        let carries = match &incoming.event {
            AgentEvent::PromptSubmitted { text } => !text::header_ids(text).is_empty(),
            _ => false,
        };
        // A prompt that carries a message is worth a wait: its body may have to be handed over now. So is an agent that rests while
        // messages wait: nothing else would look at its queue soon.
        let patient = carries || waits;
        let manners = if patient { self.manners() } else { None };
        let budget = if patient {
            Budget::Decision
        } else {
            Budget::Status
        };
        let (before, after) = if carries {
            ("prompt.before_commit", "prompt.committed")
        } else {
            ("event.before_commit", "event.committed")
        };
        // What closes an agent's pane may be the end of its whole server: then nobody wanted this end.
        let ends = matches!(incoming.event, AgentEvent::Ended { .. });
        let lost = (ends && recover::server_dies(&self.terminal))
            .then(|| recover::kept(&self.cx, &self.terminal, recover::SERVER_GONE));
        failpoint::hit(before);
        let logged = if record::rests(&incoming.event) {
            logs::on_disk(&self.cx.home.terminal_log(id.as_str()))
        } else {
            0
        };
        let stored: Result<Vec<Message>, Error> =
            self.store.write(Durability::Process, budget, |tx| {
                let Some(terminal) = tx.terminal(&id)? else {
                    return Ok(Vec::new());
                };
                if let Some(kept) = &lost {
                    record::store_lost(tx, &terminal, incoming, kept, at, &mut aftermath)?;
                    return Ok(Vec::new());
                }
                let contexts = store_event(tx, &terminal, incoming, manners, at, &mut aftermath)?;
                if record::rests(&incoming.event) {
                    clean::after_turn(tx, &terminal, logged, at)?;
                }
                aftermath.arm(tx, &terminal, at)?;
                Ok(contexts)
            });
        failpoint::hit(after);
        match stored {
            Ok(contexts) => {
                aftermath.run(&self.cx, &mut self.store);
                Some(contexts)
            }
            Err(Error::Locked) => Some(self.spool(incoming, manners, at)),
            Err(error) => {
                tracing::warn!(%error, terminal = %self.terminal.id, "store an event");
                None
            }
        }
    }

    fn manners(&self) -> Option<Manners> {
        let catalogue = Catalogue::of(&self.cx.home);
        let manifest = catalogue.get(&self.terminal.provider).ok()?;
        Some(Manners::of(&manifest))
    }

    /// Keeps an event for the next writer. There may be none for long: an agent that ended its turn says nothing more.
    fn keep(&self, event: &SpooledEvent) {
        if let Err(error) = event.keep(&self.cx.home) {
            tracing::warn!(%error, terminal = %self.terminal.id, "spool an event");
        }
        let (binary, home) = (&self.cx.binary, self.cx.home.root());
        let armed = self.cx.tmux.arm_spool(binary, home, event.at, SPOOL_MS);
        if let Err(error) = armed {
            tracing::debug!(%error, "have the spool looked at");
        }
    }

    /// Leaves the event for the next writer; returns the messages whose bodies the prompt hook shall add (reading needs no lock).
    fn spool(
        &mut self,
        incoming: &Incoming,
        manners: Option<Manners>,
        at: jiff::Timestamp,
    ) -> Vec<Message> {
        let change = next_state(self.terminal.state.status, &incoming.event);
        let id = self.terminal.id.clone();
        let carried = match (&incoming.event, manners) {
            (AgentEvent::PromptSubmitted { text }, Some(manners)) => self
                .store
                .read(|tx| carried(tx, &id, text, manners))
                .unwrap_or_default(),
            _ => Vec::new(),
        };
        // A body that is still to be printed is proven after that.
        let inline = |c: &&(Message, Placement)| matches!(c.1, Placement::Inline(_));
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
                .filter(inline)
                .map(|(message, _)| message.id.0)
                .collect(),
            gated: matches!(incoming.event, AgentEvent::ToolStarting(_)),
        };
        self.keep(&event);
        carried
            .into_iter()
            .filter(|(_, placement)| matches!(placement, Placement::WithContext(_)))
            .map(|(message, _)| message)
            .collect()
    }
}
