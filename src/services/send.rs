//! Accepting a message: durable before the caller hears "yes", then tried at once.

use super::after::Aftermath;
use super::approve;
use super::brakes;
use super::context::Context;
use super::deliver::{self, Ready};
use super::find;
use super::identity::{self, Caller};
use super::profile::{self, Trusted};
use crate::clock;
use crate::domain::approval::ApprovalStatus;
use crate::domain::ids::{MessageId, Name, TerminalId};
use crate::domain::message::{MAX_BODY, Message, MessageStatus, Sender};
use crate::domain::terminal::{Role, Terminal};
use crate::domain::text;
use crate::error::{Failure, Result};
use crate::failpoint;
use crate::fsx;
use crate::profiles::config::Limits;
use crate::store::{Budget, DueKind, Durability, Error, NewMessage, Store, Tx};
use std::time::Duration;

/// How long a message may wait when nothing else is said: a day.
pub const TTL: Duration = Duration::from_hours(24);

/// A message to be sent.
#[derive(Debug, Clone)]
pub struct Order {
    /// Who it is for.
    pub receiver: TerminalId,
    /// Its text, as given.
    pub body: String,
    /// Idempotency key.
    pub key: Option<String>,
    /// How long it may wait.
    pub ttl: Option<Duration>,
    /// Whether it waits until a person approves it.
    pub approval: bool,
}

/// Why a message is held that a person has to approve.
const WAITS_FOR_APPROVAL: &str = "it waits for a person's approval";

/// Reads a body's bytes: at most [`MAX_BODY`], UTF-8, not blank.
pub fn body(bytes: Vec<u8>) -> Result<String> {
    if bytes.len() > MAX_BODY {
        return Err(too_long());
    }
    let text = String::from_utf8(bytes).map_err(|e| {
        Failure::usage(format!(
            "the message is not UTF-8: byte {} is wrong",
            e.utf8_error().valid_up_to()
        ))
        .hint("nothing was stored")
    })?;
    if text.trim().is_empty() {
        return Err(empty());
    }
    Ok(text)
}

fn empty() -> Failure {
    Failure::usage("the message is empty")
        .hint("give a text with -m, --file, or on standard input with -m -")
}

/// The error for a body above the limit.
pub fn too_long() -> Failure {
    longer_than(MAX_BODY)
}

/// The error for a body of more than `most` bytes.
pub fn longer_than(most: usize) -> Failure {
    Failure::usage(format!("the message is longer than {most} bytes")).hint(
        "nothing was stored; put the text into a file that the receiver can read and send its path",
    )
}

/// Sends `order` in the name of whoever runs this process; a person may name another sender.
pub fn send(
    cx: &Context,
    store: &mut Store,
    order: &Order,
    from: Option<&TerminalId>,
) -> Result<Message> {
    let caller = identity::honest(store, "send")?;
    let sender = match (from, &caller) {
        (None, _) => caller.sender(),
        (Some(from), Caller::Person { terminal: true }) => {
            if store.read(|tx| tx.terminal(from))?.is_none() {
                return Err(find::unknown(from));
            }
            Sender::Terminal(from.clone())
        }
        (Some(from), _) => {
            identity::refused(store, &caller, from.as_str(), "send")?;
            return Err(
                Failure::refused("only a person at a terminal may send in another's name")
                    .hint("leave --from away; the attempt is in the audit log"),
            );
        }
    };
    send_as(cx, store, sender, order)
}

/// Sends `order` from a sender that has been established.
pub fn send_as(cx: &Context, store: &mut Store, sender: Sender, order: &Order) -> Result<Message> {
    failpoint::hit("send.arguments");
    let limits = crate::profiles::config::load(&cx.home)?.limits;
    let (tag, trace) = (tag()?, tag_long()?);
    let expires_ms = if order.approval {
        super::policy::expires_ms(&cx.home)
    } else {
        0
    };
    let mut aftermath = Aftermath::default();
    let mut ready = match store.read(|tx| tx.terminal(&order.receiver))? {
        // What goes wrong here goes wrong again with the queue, after the message was accepted.
        Some(receiver) => Ready::of(cx, receiver).unwrap_or(None),
        None => None,
    };
    let message = store.write(Durability::Process, Budget::Call, |tx| {
        let message = accept(tx, sender, order, tag, trace, Some(&limits))?;
        if order.approval {
            super::request::hold(tx, &message, expires_ms, &mut aftermath)?;
        } else if let Some(ready) = &mut ready {
            ready.claim(tx, &message)?;
        }
        // What waits for delivery is looked at again anyway; what is held only ends.
        if (message.status == MessageStatus::Held || order.ttl.is_some())
            && let Some(receiver) = tx.terminal(&message.receiver)?
        {
            aftermath.count(&receiver);
            aftermath.arm(tx, &receiver, clock::now())?;
        }
        Ok::<_, Failure>(message)
    })?;
    failpoint::hit("send.accepted");
    // The caller hears "yes" when the disk is done; neither the agent nor other writers wait for it. A loss of power before that takes the
    // agent that was told with it.
    let disk = store.sync();
    aftermath.run(cx, store);
    let tried = match ready {
        Some(ready) => ready.deliver(cx, store, &message),
        None => deliver::deliver(cx, store, &message.receiver),
    };
    after_attempt(cx, store, &message.receiver, tried);
    failpoint::hit("send.delivered");
    disk.wait().map_err(|error| unsure(&error, &message))?;
    let now = store.read(|tx| tx.message(message.id)).ok().flatten();
    Ok(now.unwrap_or(message))
}

/// The error for a message that was stored, and may be with its receiver, when the disk does not say that it is durable.
fn unsure(error: &Error, message: &Message) -> Failure {
    let id = message.id;
    Failure::state(format!(
        "message {id} is stored, and the disk does not confirm it: {error}"
    ))
    .hint(format!("do not send it again: `conductor-hook inbox show {id}` says what becomes of it; only a loss of power may take it"))
}

/// Stores a message inside a transaction. With `limits` the brakes are tested; what the product itself sends for an agent (a task, an
/// answer) goes without.
pub fn accept(
    tx: &Tx<'_>,
    sender: Sender,
    order: &Order,
    tag: String,
    trace: String,
    limits: Option<&Limits>,
) -> Result<Message> {
    if let Some(key) = &order.key
        && let Some(first) = tx.message_by_key(&sender.to_string(), key)?
    {
        return Ok(first);
    }
    let now = clock::now();
    let receiver = tx
        .terminal(&order.receiver)?
        .ok_or_else(|| find::unknown(&order.receiver))?;
    if !receiver.alive() {
        let hint = if receiver.lost() {
            "nothing was stored; `conductor-hook recover --resume` starts it again"
        } else {
            "nothing was stored; `conductor-hook sessions` lists the living"
        };
        return Err(Failure::refused(format!(
            "terminal {} has ended: {}",
            receiver.id, receiver.state.reason
        ))
        .hint(hint));
    }
    let most = limits.map_or(MAX_BODY, |limits| limits.max_body_bytes);
    if order.body.len() > most {
        return Err(longer_than(most));
    }
    let body = text::sanitise(order.body.trim_end_matches(['\n', '\r']));
    if body.trim().is_empty() {
        return Err(empty());
    }
    let sending = match &sender {
        Sender::Terminal(id) => tx.terminal(id)?,
        _ => None,
    };
    let cause = match &sender {
        Sender::Terminal(id) => tx.latest_cause(id)?,
        _ => None,
    };
    let (trace, hops) = cause.map_or((trace, 0), |(trace, hops)| (trace, hops + 1));
    let held = match limits {
        Some(limits) => brakes::test(
            tx,
            limits,
            sending.as_ref(),
            &receiver,
            body.len(),
            hops,
            now,
        )?,
        None => None,
    };
    let held = held.or_else(|| order.approval.then(|| WAITS_FOR_APPROVAL.to_owned()));
    let ttl = i64::try_from(order.ttl.unwrap_or(TTL).as_millis()).unwrap_or(i64::MAX);
    let new = NewMessage {
        sender_name: sending
            .as_ref()
            .map_or_else(|| sender.to_string(), Terminal::display_name),
        order: is_order(&sender, sending.as_ref(), &receiver),
        sender,
        receiver: receiver.id.clone(),
        body,
        tag,
        expires_at: Some(clock::after_ms(now, ttl)),
        key: order.key.clone(),
        trace,
        hops,
        held,
    };
    let message = tx.accept_message(&new, now)?;
    if let Some(why) = new.held.as_ref().filter(|why| *why != WAITS_FOR_APPROVAL) {
        let detail = serde_json::json!({"reason": why});
        let actor = new.sender.to_string();
        tx.audit(
            now,
            "message.held",
            &message.id.to_string(),
            &actor,
            "brake",
            detail,
        )?;
    }
    Ok(message)
}

/// Tries to deliver what waits for `receiver`. It is stored, or the agent runs: a failure of the attempt is not one of what was done before, and
/// is tried again.
pub fn attempt(cx: &Context, store: &mut Store, receiver: &TerminalId) {
    let tried = deliver::deliver(cx, store, receiver);
    after_attempt(cx, store, receiver, tried);
}

fn after_attempt(cx: &Context, store: &mut Store, receiver: &TerminalId, tried: Result<()>) {
    let Err(failure) = tried else {
        return;
    };
    tracing::warn!(%failure, terminal = %receiver, "deliver a message");
    let mut aftermath = Aftermath::default();
    let again: std::result::Result<(), Error> =
        store.write(Durability::Process, Budget::Call, |tx| {
            let now = clock::now();
            let Some(terminal) = tx.terminal(receiver)? else {
                return Ok(());
            };
            let socket = deliver::socket(&terminal);
            let at = clock::after_ms(now, 5_000);
            tx.set_due(DueKind::Deliver, receiver.as_str(), socket.as_deref(), at)?;
            aftermath.arm(tx, &terminal, now)
        });
    match again {
        Ok(()) => aftermath.run(cx, store),
        Err(error) => tracing::warn!(%error, "try a delivery again later"),
    }
}

/// Whether the receiver shall take it as an order: from its caller, its session's supervisor, a person, or a flow.
fn is_order(sender: &Sender, sending: Option<&Terminal>, receiver: &Terminal) -> bool {
    match sender {
        Sender::Human | Sender::Flow(_) => true,
        Sender::Unverified => false,
        Sender::Terminal(id) => {
            receiver.caller.as_ref() == Some(id)
                || sending
                    .is_some_and(|s| s.role == Role::Supervisor && s.session == receiver.session)
        }
    }
}

/// A short random tag for the frame of a message.
pub fn tag() -> Result<String> {
    Ok(fsx::hex(&fsx::random_bytes::<3>().map_err(|e| {
        Failure::failed(format!("read random bytes: {e}"))
    })?))
}

/// A random trace id.
pub fn tag_long() -> Result<String> {
    Ok(fsx::hex(&fsx::random_bytes::<8>().map_err(|e| {
        Failure::failed(format!("read random bytes: {e}"))
    })?))
}

/// Withdraws a message that nobody has begun to deliver.
pub fn cancel(cx: &Context, store: &mut Store, id: MessageId) -> Result<Message> {
    let message = known(store, id)?;
    let mut aftermath = Aftermath::default();
    let done = store.write(Durability::Power, Budget::Call, |tx| {
        let done = tx.cancel_message(id)?;
        if done {
            approve::withdraw_message(tx, id, "the message was cancelled", &mut aftermath)?;
            tx.audit(
                clock::now(),
                "message.cancelled",
                &id.to_string(),
                "caller",
                "inbox",
                serde_json::json!({}),
            )?;
        }
        Ok::<_, Error>(done)
    })?;
    if !done {
        return Err(Failure::refused(format!(
            "message {id} is {} and cannot be cancelled",
            message.status.as_str()
        ))
        .hint("only one that nobody has begun to deliver can be: held or queued"));
    }
    aftermath.run(cx, store);
    counted(cx, store, &message);
    known(store, id)
}

/// Puts a dead, expired or cancelled message back into the queue.
pub fn retry(cx: &Context, store: &mut Store, id: MessageId) -> Result<Message> {
    let message = known(store, id)?;
    let receiver = store.read(|tx| tx.terminal(&message.receiver))?;
    if receiver.is_none_or(|t| !t.alive()) {
        return Err(
            Failure::refused(format!("the receiver of message {id} has ended")).hint(
                "send its text to another terminal: `conductor-hook sessions` lists the living",
            ),
        );
    }
    let expires_at = clock::after_ms(
        clock::now(),
        i64::try_from(TTL.as_millis()).unwrap_or(i64::MAX),
    );
    let held = message.status == MessageStatus::Held;
    if let Some(approval) = store.read(|tx| tx.approval_of_message(id))?
        && approval.status != ApprovalStatus::Approved
    {
        return Err(Failure::refused(format!(
            "message {id} waits for approval {}, which is {}",
            approval.id,
            approval.status.as_str()
        ))
        .hint("`conductor-hook approve` lets it go"));
    }
    if held && !matches!(identity::honest(store, "inbox")?, Caller::Person { .. }) {
        return Err(
            Failure::refused(format!("message {id} is held, and a person lets it go"))
                .hint("call it in a shell that no agent started"),
        );
    }
    let queued = message.status == MessageStatus::Queued
        || store.write(Durability::Power, Budget::Call, |tx| {
            if held {
                tx.audit(
                    clock::now(),
                    "message.released",
                    &id.to_string(),
                    "human",
                    "inbox",
                    serde_json::json!({}),
                )?;
                return tx.release_message(&message);
            }
            tx.retry_message(&message, Some(expires_at))
        })?;
    if !queued {
        return Err(Failure::refused(format!(
            "message {id} is {} and cannot be retried",
            message.status.as_str()
        ))
        .hint("send it again with `conductor-hook send`, if it shall come twice"));
    }
    attempt(cx, store, &message.receiver);
    known(store, id)
}

/// The message with this id.
pub fn known(store: &mut Store, id: MessageId) -> Result<Message> {
    store.read(|tx| tx.message(id))?.ok_or_else(|| {
        Failure::not_found(format!("there is no message {id}"))
            .hint("`conductor-hook inbox` lists them")
    })
}

fn counted(cx: &Context, store: &mut Store, message: &Message) {
    if let Ok(Some(t)) = store.read(|tx| tx.terminal(&message.receiver)) {
        let mut aftermath = Aftermath::default();
        aftermath.count(&t);
        aftermath.run(cx, store);
    }
}

/// Whether a terminal has the part that `word` names: `supervisor`, `worker`, or the role that its profile has now.
fn has_part(cx: &Context, trusted: &Trusted, terminal: &Terminal, word: &str) -> bool {
    if matches!(word, "supervisor" | "worker") {
        return terminal.role == Role::from_word(word);
    }
    let Ok(name) = Name::parse(&terminal.profile) else {
        return false;
    };
    let loaded = profile::with_catalogue(cx, trusted, &terminal.cwd, |c| c.load(&name));
    loaded.is_ok_and(|loaded| loaded.profile.role.as_deref() == Some(word))
}

/// Sends `body` to every living terminal of a session, or to those of one part, except the sender itself; returns what was sent, and
/// what was not and why.
pub fn broadcast(
    cx: &Context,
    store: &mut Store,
    session: &str,
    part: Option<&str>,
    body: &str,
) -> Result<(Vec<Message>, Vec<String>)> {
    let own = identity::honest(store, "broadcast")?.sender();
    let trusted = Trusted::of(store)?;
    let living = store.read(|tx| tx.live_terminals())?;
    let receivers: Vec<TerminalId> = living
        .iter()
        .filter(|t| t.is_in(session, cx.tmux.socket()))
        .filter(|t| part.is_none_or(|word| has_part(cx, &trusted, t, word)))
        .filter(|t| own != Sender::Terminal(t.id.clone()))
        .map(|t| t.id.clone())
        .collect();
    if receivers.is_empty() {
        if let Some(failure) = find::elsewhere(cx, &living, session) {
            return Err(failure);
        }
        return Err(Failure::not_found(format!(
            "no terminal of session {:?} would get it",
            text::one_line(session)
        ))
        .hint("`conductor-hook sessions` lists them"));
    }
    let mut sent = Vec::new();
    let mut failed = Vec::new();
    for receiver in receivers {
        let order = Order {
            receiver: receiver.clone(),
            body: body.to_owned(),
            key: None,
            ttl: None,
            approval: false,
        };
        match send(cx, store, &order, None) {
            Ok(message) => sent.push(message),
            Err(failure) => failed.push(format!("{receiver}: {}", failure.message())),
        }
    }
    if sent.is_empty() {
        return Err(
            Failure::failed(format!("nobody got it: {}", failed.join("; ")))
                .hint("nothing was stored; mend that and send it again"),
        );
    }
    Ok((sent, failed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_message_has_the_tag_of_another() {
        let tags: BTreeSet<String> = (0..50).map(|_| tag().unwrap()).collect();
        assert!(tags.len() > 45 && tags.iter().all(|tag| tag.len() == 6));
    }
}
