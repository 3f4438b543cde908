//! Reading by the agent itself: proof of delivery once the last part was read.

use super::after::Aftermath;
use super::context::Context;
use super::deliver::place;
use crate::clock;
use crate::domain::ids::{MessageId, TerminalId};
use crate::domain::message::{Message, MessageStatus, Transport};
use crate::domain::text;
use crate::error::{Failure, Result};
use crate::failpoint;
use crate::store::{Budget, DueKind, Durability, Store, TerminalLock};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

/// A part of a message's body.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The message.
    pub message: Message,
    /// The text of this part.
    pub text: String,
    /// Where it begins, in bytes of the body.
    pub offset: usize,
    /// Where the next part begins; `None` after the last one.
    pub next: Option<usize>,
}

/// Says of each queued message that has not been tried what it waits for: the one before it, and what that one waits for.
pub fn give_reasons(store: &mut Store, messages: &mut [Message]) -> Result<()> {
    Ok(store.read(|tx| {
        let mut heads: HashMap<TerminalId, Option<Message>> = HashMap::new();
        for message in messages {
            if message.status != MessageStatus::Queued || message.last_error.is_some() {
                continue;
            }
            let head = match heads.entry(message.receiver.clone()) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => place.insert(tx.head_message(&message.receiver)?),
            };
            let Some(head) = head.as_ref().filter(|head| head.id != message.id) else {
                continue;
            };
            let why = match &head.last_error {
                Some(why) => format!(" ({})", text::one_line(why)),
                None => String::new(),
            };
            message.last_error = Some(format!("waits behind message {}{why}", head.id));
        }
        Ok::<_, crate::store::Error>(())
    })?)
}

/// Part of message `id` from `offset` on, at most `limit` characters. Reading the last part proves delivery.
pub fn read_part(
    cx: &Context,
    store: &mut Store,
    reader: &TerminalId,
    id: MessageId,
    offset: usize,
    limit: usize,
) -> Result<Part> {
    let unknown = || {
        Failure::not_found(format!("there is no message {id} for this terminal"))
            .hint("read_inbox without message_id gives what waits for it")
    };
    let message = store.read(|tx| tx.message(id))?.ok_or_else(unknown)?;
    if message.receiver != *reader || message.status == MessageStatus::Held {
        return Err(unknown());
    }
    let rest = message.body.get(offset..).ok_or_else(|| {
        Failure::usage(format!("offset {offset} is not one that read_inbox gave"))
            .hint("go on with next of its last result, or from 0")
    })?;
    let end = rest
        .char_indices()
        .nth(limit)
        .map_or(rest.len(), |(at, _)| at);
    let text = rest[..end].to_owned();
    let next = (offset + end < message.body.len()).then_some(offset + end);
    // A jump to the end does not prove that what lies before it was read.
    let read = usize::try_from(message.read_offset).unwrap_or(0);
    let contiguous = offset <= read;
    if contiguous {
        let reached = i64::try_from(offset + end).unwrap_or(i64::MAX);
        settle(cx, store, &message, reached, next.is_none())?;
    }
    Ok(Part {
        message,
        text,
        offset,
        next,
    })
}

/// Everything that waits for `reader`, whole, in order. It is proven by [`have_read`], once it has been printed; if this process is killed
/// before that, the receiver is told that it may have seen it.
pub fn read_all(store: &mut Store, reader: &TerminalId) -> Result<Vec<Message>> {
    let open = store.read(|tx| tx.open_messages(reader))?;
    let read: Vec<Message> = open
        .into_iter()
        .filter(|m| m.status != MessageStatus::Held)
        .collect();
    for message in &read {
        burn(store, message)?;
    }
    if !read.is_empty() {
        store.write(Durability::Process, Budget::Call, |tx| {
            for message in &read {
                if message.again {
                    tx.note_again(message.id)?;
                }
                tx.note_read(message.id, length(message))?;
            }
            Ok::<_, crate::store::Error>(())
        })?;
    }
    failpoint::hit("inbox.noted");
    Ok(read)
}

/// The agent has what [`read_all`] returned.
pub fn have_read(cx: &Context, store: &mut Store, messages: &[Message]) -> Result<()> {
    failpoint::hit("inbox.printed");
    for message in messages {
        settle(cx, store, message, length(message), true)?;
    }
    Ok(())
}

fn length(message: &Message) -> i64 {
    i64::try_from(message.body.len()).unwrap_or(i64::MAX)
}

/// A paste that is under way could still land: its number is burnt first, so that it cannot come twice.
fn burn(store: &mut Store, message: &Message) -> Result<()> {
    if let Some(now) = store.read(|tx| tx.message(message.id))?
        && now.status == MessageStatus::Claimed
        && let Some(terminal) = store.read(|tx| tx.terminal(&message.receiver))?
        && let Some((tmux, pane)) = place(&terminal)
        && !tmux.burn(pane, message.seq)?
    {
        tracing::info!(message = %message.id, "read while it was being pasted");
    }
    Ok(())
}

fn settle(
    cx: &Context,
    store: &mut Store,
    message: &Message,
    reached: i64,
    whole: bool,
) -> Result<()> {
    // Nobody delivers it meanwhile, and a paste that a killed helper may have left under way can no longer land.
    let lock = if whole {
        TerminalLock::acquire(&cx.home, message.receiver.as_str(), Duration::from_secs(2))?
    } else {
        None
    };
    if whole {
        burn(store, message)?;
    }
    failpoint::hit("inbox.before");
    let mut aftermath = Aftermath::default();
    store.write(Durability::Process, Budget::Call, |tx| {
        tx.note_read(message.id, reached)?;
        if whole {
            let at = clock::now();
            tx.submit_message(message.id, Transport::McpRead, at, "the agent read it")?;
            tx.clear_due(DueKind::Proof, &message.id.to_string())?;
            if let Some(terminal) = tx.terminal(&message.receiver)? {
                aftermath.count(&terminal);
            }
        }
        Ok::<_, crate::store::Error>(())
    })?;
    drop(lock);
    failpoint::hit("inbox.read");
    aftermath.run(cx, store);
    Ok(())
}
