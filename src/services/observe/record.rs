//! Storing an agent's event in one transaction: what it proves, what it changes, what becomes due.

use super::super::after::{self, Aftermath};
use super::super::answer;
use super::super::approve;
use super::super::deliver::{channel_limits, socket};
use super::super::flow;
use super::super::park;
use super::super::recover::{self, SERVER_GONE};
use super::asking::decided_in_pane;
use crate::clock;
use crate::domain::approval::ApprovalStatus;
use crate::domain::event::{AgentEvent, DialogKind, ToolEnd};
use crate::domain::handoff::HandoffStatus;
use crate::domain::ids::{MessageId, TerminalId};
use crate::domain::message::{Message, MessageStatus, Transport};
use crate::domain::policy::Presence;
use crate::domain::terminal::{Source, Terminal, next_state};
use crate::domain::text::{self, Placement};
use crate::providers::{Channel, Incoming, Manifest};
use crate::store::{DueKind, Error, Tx};

/// Quiet time before the next text where the manifest was not read, because nothing waited a moment ago, in milliseconds.
const QUIET_MS: i64 = 500;

/// What the agent's manifest says, as far as an event needs it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manners {
    /// What fits at its prompt.
    pub(super) limits: text::Limits,
    /// Quiet time after a turn before the next text is put in, in milliseconds.
    pub(super) quiet_ms: u32,
    /// Whether the agent's own channel carries bodies whole; a program's arguments hold none.
    pub(super) whole: bool,
}

impl Manners {
    pub(super) fn of(manifest: &Manifest) -> Self {
        Self {
            limits: manifest.limits(),
            quiet_ms: manifest.submit.quiet_ms,
            whole: manifest.channel == Some(Channel::Bell),
        }
    }

    /// How a message that is on its way was put to the agent.
    fn placement(self, message: &Message) -> Placement {
        match message.transport {
            Some(Transport::Api) if self.whole => Placement::Inline(String::new()),
            Some(Transport::Api) => text::place(message, channel_limits(self.limits)),
            _ => text::place(message, self.limits),
        }
    }
}

/// The messages that were on their way to terminal `id` and whose headers stand in a submitted prompt, and how each was put there.
pub(super) fn carried(
    tx: &Tx<'_>,
    id: &TerminalId,
    prompt: &str,
    manners: Manners,
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
            let placement = manners.placement(&message);
            found.push((message, placement));
        }
    }
    Ok(found)
}

/// What an event says about the answer of the stop hook before it: a turn that goes on took it; one that was not continued, and a prompt
/// that is shown, mean that it was not taken (the hook was killed at its end). A prompt may be a person's, queued meanwhile: it says nothing.
pub(super) fn settle_handed(
    tx: &Tx<'_>,
    terminal: &Terminal,
    event: &AgentEvent,
    at: jiff::Timestamp,
) -> Result<bool, Error> {
    let taken = match event {
        AgentEvent::TurnEnded {
            continued: true, ..
        }
        | AgentEvent::ToolStarting(_)
        | AgentEvent::ToolFinished(..)
        | AgentEvent::PermissionAsked(_)
        | AgentEvent::DialogShown(_)
        | AgentEvent::TurnFailed { .. }
        | AgentEvent::LimitReached { .. }
        | AgentEvent::Interrupted => true,
        AgentEvent::TurnEnded {
            background: false, ..
        }
        | AgentEvent::AtPrompt
        | AgentEvent::Started => false,
        _ => return Ok(false),
    };
    let Some(message) = tx.head_message(&terminal.id)?.filter(|message| {
        message.status == MessageStatus::Placed && message.transport == Some(Transport::StopHook)
    }) else {
        return Ok(false);
    };
    tx.clear_due(DueKind::Proof, &message.id.to_string())?;
    if taken {
        let proof = "the agent went on after its stop hook";
        return tx.submit_message(message.id, Transport::StopHook, at, proof);
    }
    tx.requeue_message(
        &message,
        "the agent did not go on after its stop hook; it may have been seen",
        true,
    )?;
    Ok(false)
}

/// The farewell of an agent whose server died under it.
pub(super) fn store_lost(
    tx: &Tx<'_>,
    terminal: &Terminal,
    incoming: &Incoming,
    kept: &Result<(), String>,
    at: jiff::Timestamp,
    aftermath: &mut Aftermath,
) -> Result<(), Error> {
    let session = incoming.agent_session.as_deref();
    tx.note_event(&terminal.id, at, session, None)?;
    let why = (SERVER_GONE, Source::Event);
    recover::end_lost(tx, terminal, kept, why, at, aftermath)
}

/// Whether an event says that the agent has a conversation.
const fn begins(event: &AgentEvent) -> bool {
    !matches!(
        event,
        AgentEvent::Started
            | AgentEvent::AtPrompt
            | AgentEvent::SignOfLife
            | AgentEvent::MailAsked
            | AgentEvent::MailRefused { .. }
            | AgentEvent::DialogShown(_)
            | AgentEvent::Ended { .. }
    )
}

pub(super) fn store_event(
    tx: &Tx<'_>,
    terminal: &Terminal,
    incoming: &Incoming,
    manners: Option<Manners>,
    at: jiff::Timestamp,
    aftermath: &mut Aftermath,
) -> Result<Vec<Message>, Error> {
    let id = &terminal.id;
    let answer = match &incoming.event {
        AgentEvent::TurnEnded { answer, .. } => answer.as_deref(),
        _ => None,
    };
    tx.note_event(id, at, incoming.agent_session.as_deref(), answer)?;
    if terminal.loss.is_some() && !matches!(incoming.event, AgentEvent::Ended { .. }) {
        tx.note_found(id)?;
    }
    if !terminal.begun && begins(&incoming.event) {
        tx.note_begun(id)?;
    }
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
    let open = tx.has_open(id)?;
    let mut proven = open && settle_handed(tx, terminal, &incoming.event, at)?;
    if let (AgentEvent::PromptSubmitted { text }, Some(manners)) = (&incoming.event, manners) {
        for (message, placement) in carried(tx, id, text, manners)? {
            match placement {
                // The line is in, the body is not: reading it is the proof.
                Placement::Pointer(_) => {
                    tx.place_message(message.id, at)?;
                    tx.set_transport(message.id, Transport::McpRead)?;
                    tx.note_unproven(
                        message.id,
                        "the agent has been told, and has not read it yet",
                    )?;
                    tx.note_settled(id, message.seq)?;
                    continue;
                }
                // Its body is not in yet: it is proven when this hook has printed it.
                Placement::WithContext(_) => {
                    tx.place_message(message.id, at)?;
                    contexts.push(message);
                    continue;
                }
                Placement::Inline(_) => {}
            }
            let transport = message.transport.unwrap_or(Transport::Paste);
            proven |= tx.submit_message(message.id, transport, at, super::PROMPT_PROOF)?;
            tx.clear_due(DueKind::Proof, &message.id.to_string())?;
        }
    }
    if proven {
        aftermath.count(terminal);
    }
    if let AgentEvent::MailRefused { ids, taken } = &incoming.event {
        refused_mail(tx, terminal, ids, *taken, at)?;
    }
    settle_approvals(tx, terminal, &incoming.event, open, at, aftermath)?;
    let change = next_state(terminal.state.status, &incoming.event)
        .filter(|change| !terminal.state.is(change, Source::Event));
    if let Some(change) = &change
        && change.status == terminal.state.status
    {
        tx.set_reason(id, &change.reason, Source::Event)?;
    } else if let Some(change) = change
        && tx.set_state(id, &change, Source::Event, at)?
    {
        aftermath.show(terminal, change.status);
        // Of a call that asks for permission people are told by its approval.
        let permission = matches!(
            incoming.event,
            AgentEvent::PermissionAsked(_) | AgentEvent::DialogShown(DialogKind::Permission)
        );
        if !permission {
            aftermath.tell(terminal, &change);
        }
    }
    let server = socket(terminal);
    match &incoming.event {
        AgentEvent::TurnEnded {
            answer,
            background: false,
            ..
        } => {
            answer::turn_over(
                tx,
                terminal,
                HandoffStatus::Done,
                answer.as_deref().unwrap_or_default(),
                at,
            )?;
            flow::turn_over(tx, terminal, None, at)?;
        }
        AgentEvent::TurnFailed { error } => {
            answer::turn_over(
                tx,
                terminal,
                HandoffStatus::Error,
                &format!("the worker's turn failed: {error}"),
                at,
            )?;
            flow::turn_over(tx, terminal, Some(error.as_str()), at)?;
        }
        AgentEvent::LimitReached { until } => {
            park::park(tx, terminal, *until, at, aftermath)?;
        }
        AgentEvent::PromptSubmitted { .. } | AgentEvent::ToolStarting(_) => {
            if let Some(handoff) = tx.handoff_of_worker(id)? {
                tx.reopen_handoff(&handoff.id)?;
            }
        }
        _ => {}
    }
    if open && rests(&incoming.event) && tx.head_message(id)?.is_some() {
        let quiet = manners.map_or(QUIET_MS, |manners| i64::from(manners.quiet_ms));
        tx.set_due(
            DueKind::Deliver,
            id.as_str(),
            server.as_deref(),
            clock::after_ms(at, quiet),
        )?;
    }
    Ok(contexts)
}

/// How long after its plugin could not submit a message an agent is tried again, in milliseconds.
const REFUSED_MS: i64 = 3_000;

/// The agent's plugin fetched these messages and could not submit them.
fn refused_mail(
    tx: &Tx<'_>,
    terminal: &Terminal,
    ids: &[i64],
    taken: bool,
    at: jiff::Timestamp,
) -> Result<(), Error> {
    for (index, id) in ids.iter().enumerate() {
        let Some(message) = tx.message(MessageId(*id))? else {
            continue;
        };
        if message.receiver == terminal.id
            && message.status == MessageStatus::Placed
            && tx.requeue_message(
                &message,
                "the agent's plugin could not submit it",
                taken && index == 0,
            )?
        {
            tx.clear_due(DueKind::Proof, &message.id.to_string())?;
            super::super::deliver::due_at(tx, terminal, clock::after_ms(at, REFUSED_MS))?;
        }
    }
    Ok(())
}

/// What an event says about the gate and, where something is `open`, about what was asked for: a call that ran was approved, here or by a key
/// in the pane; an agent at its prompt waits for no decision.
fn settle_approvals(
    tx: &Tx<'_>,
    terminal: &Terminal,
    event: &AgentEvent,
    open: bool,
    at: jiff::Timestamp,
    aftermath: &mut Aftermath,
) -> Result<(), Error> {
    let id = &terminal.id;
    match event {
        AgentEvent::ToolStarting(_) if terminal.gate_seen_at.is_none() => {
            tx.note_gate_seen(id, false, at)?;
        }
        AgentEvent::ToolFinished(call, end) => {
            if *end == ToolEnd::Ran && terminal.gate_seen_at.is_none() {
                tx.note_gate_seen(id, true, at)?;
            }
            if !open {
                return Ok(());
            }
            let asked = tx.open_approvals(id)?.into_iter().find(|a| {
                a.tool.as_deref() == Some(call.tool.as_str())
                    && a.input == call.input
                    && matches!(a.status, ApprovalStatus::Pending | ApprovalStatus::Consumed)
            });
            let Some(asked) = asked else {
                return Ok(());
            };
            match (asked.status, end) {
                (ApprovalStatus::Consumed, _) => {}
                (_, ToolEnd::Ran) if asked.presence == Presence::Caller => {
                    decided_in_pane(tx, asked.id, at)?;
                    aftermath.count(terminal);
                }
                // It ran although nothing that an agent may press can have decided it.
                (_, ToolEnd::Ran) => {
                    let detail = serde_json::json!({"digest": asked.digest, "tool": call.tool});
                    let subject = asked.id.to_string();
                    tx.audit(
                        at,
                        "approval.bypassed",
                        &subject,
                        id.as_str(),
                        "event",
                        detail,
                    )?;
                    tx.note_gate_seen(id, true, at)?;
                    approve::withdraw(
                        tx,
                        asked.id,
                        "it ran without an answer",
                        "event",
                        at,
                        aftermath,
                    )?;
                }
                (_, ToolEnd::Failed | ToolEnd::Denied) => {
                    let why = "answered in the pane: the agent reports that the call failed or was refused";
                    approve::withdraw(tx, asked.id, why, "pane", at, aftermath)?;
                }
            }
            tx.note_approval_ran(asked.id, at)?;
        }
        event if open && rests(event) => {
            approve::withdraw_all(tx, id, "the turn is over", false, at, aftermath)?;
        }
        _ => {}
    }
    Ok(())
}

/// Whether the agent is at its prompt after this event.
pub(super) const fn rests(event: &AgentEvent) -> bool {
    matches!(
        event,
        AgentEvent::Started
            | AgentEvent::AtPrompt
            | AgentEvent::Interrupted
            | AgentEvent::TurnEnded {
                background: false,
                ..
            }
            | AgentEvent::TurnFailed { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::ToolCall;
    use crate::paths::Home;
    use crate::store::{AuditFilter, Budget, By, Durability, NewApproval, Store};
    use serde_json::json;

    /// A call that waits for a yes of this kind is reported as run: what became of the request, and whether the gate counts as silent.
    fn ran_while_it_waited(presence: Presence) -> (ApprovalStatus, bool, usize) {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path().join("state")).unwrap();
        let mut store = Store::open_or_create(&home).unwrap();
        let now = clock::now();
        let input = json!({"command": "touch x"});
        let mut terminal = Terminal::sample(TerminalId::from_bytes([1; 4]));
        terminal.gate_seen_at = Some(now);
        let new = NewApproval {
            digest: "d".repeat(64),
            presence,
            ..NewApproval::sample(
                terminal.id.clone(),
                "touch x",
                clock::after_ms(now, 600_000),
            )
        };
        let call = ToolCall {
            tool: "Bash".into(),
            input,
            call_id: None,
        };
        let event = AgentEvent::ToolFinished(call, ToolEnd::Ran);
        store
            .write(Durability::Process, Budget::Call, |tx| {
                tx.insert_terminal(&terminal)?;
                let by = By {
                    actor: terminal.id.as_str(),
                    via: "gate",
                    detail: json!({}),
                };
                let aftermath = &mut Aftermath::default();
                let asked = approve::request(tx, &new, &by, Some(&terminal), now, aftermath)?;
                settle_approvals(tx, &terminal, &event, true, now, aftermath)?;
                let now = tx.approval(asked.id)?.unwrap();
                let silent = tx.terminal(&terminal.id)?.unwrap().gate_silent_at.is_some();
                let action = Some("approval.bypassed".to_owned());
                let filter = AuditFilter {
                    action,
                    ..AuditFilter::default()
                };
                Ok::<_, Error>((now.status, silent, tx.audit_entries(&filter)?.len()))
            })
            .unwrap()
    }

    #[test]
    fn a_call_that_ran_without_the_code_it_takes_shows_the_gate_as_silent() {
        assert_eq!(
            ran_while_it_waited(Presence::Challenge),
            (ApprovalStatus::Withdrawn, true, 1)
        );
        assert_eq!(
            ran_while_it_waited(Presence::Caller),
            (ApprovalStatus::Consumed, false, 0),
            "a key in the pane"
        );
    }
}
