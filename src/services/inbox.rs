//! Reading by the agent itself: proof of delivery once the last part was read.

use super::after::Aftermath;
use super::context::Context;
use super::deliver::place;
use crate::clock;
use crate::domain::ids::{MessageId, TerminalId};
use crate::domain::message::{Message, MessageStatus, Transport};
use crate::error::{Failure, Result};
use crate::store::{Budget, DueKind, Durability, Store, TerminalLock};
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

/// Part of message `id` from `offset` on, at most `limit` characters. Reading the last part proves delivery.
pub fn read_part(
    cx: &Context,
    store: &mut Store,
    reader: &TerminalId,
    id: MessageId,
    offset: usize,
    limit: usize,
) -> Result<Part> {
    let unknown = || Failure::not_found(format!("there is no message {id} for this terminal"));
    let message = store.read(|tx| tx.message(id))?.ok_or_else(unknown)?;
    if message.receiver != *reader || message.status == MessageStatus::Held {
        return Err(unknown());
    }
    let rest = message.body.get(offset..).ok_or_else(|| {
        Failure::usage(format!("offset {offset} is not one that read_inbox gave"))
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

/// Everything that waits for `reader`, whole, in order; proven by being read.
pub fn read_all(cx: &Context, store: &mut Store, reader: &TerminalId) -> Result<Vec<Message>> {
    let open = store.read(|tx| tx.open_messages(reader))?;
    let mut read = Vec::new();
    for message in open.into_iter().filter(|m| m.status != MessageStatus::Held) {
        let length = i64::try_from(message.body.len()).unwrap_or(i64::MAX);
        settle(cx, store, &message, length, true)?;
        read.push(message);
    }
    Ok(read)
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
    if whole
        && let Some(now) = store.read(|tx| tx.message(message.id))?
        && now.status == MessageStatus::Claimed
        && let Some(terminal) = store.read(|tx| tx.terminal(&message.receiver))?
        && let Some((tmux, pane)) = place(&terminal)
        && !tmux.burn(pane, message.seq)?
    {
        tracing::info!(message = %message.id, "read while it was being pasted");
    }
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
    aftermath.run(cx, store);
    Ok(())
}
