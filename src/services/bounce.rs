//! A message that came to nothing: the agent that sent it is told.

use super::after::Aftermath;
use super::send::TTL;
use crate::clock;
use crate::domain::ids::MessageId;
use crate::domain::message::{Message, Sender};
use crate::domain::terminal::Terminal;
use crate::domain::text::one_line;
use crate::fsx;
use crate::store::{Error, NewMessage, Tx};
use jiff::Timestamp;

/// Marks the key of such a notice; one that comes to nothing itself is not told.
const KEY: &str = "bounce:";

/// How much of the message's text the notice repeats, in characters.
const EXCERPT: usize = 80;

/// Tells the living agent that sent message `id`, which has just ended with a reason, that it was not delivered. People see it in the
/// list; the caller of a handoff gets the reason as its answer.
pub fn tell(
    tx: &Tx<'_>,
    id: MessageId,
    now: Timestamp,
    aftermath: &mut Aftermath,
) -> Result<(), Error> {
    let Some(message) = tx.message(id)? else {
        return Ok(());
    };
    let Sender::Terminal(sender) = &message.sender else {
        return Ok(());
    };
    if message
        .key
        .as_deref()
        .is_some_and(|key| key.starts_with(KEY))
        || tx
            .handoff_of_worker(&message.receiver)?
            .is_some_and(|handoff| handoff.message == id)
    {
        return Ok(());
    }
    let Some(sender) = tx.terminal(sender)?.filter(Terminal::alive) else {
        return Ok(());
    };
    let receiver = tx.terminal(&message.receiver)?;
    let tag = fsx::random_bytes::<3>().map_err(|source| Error::Io {
        what: "read random bytes".to_owned(),
        source,
    })?;
    let ttl = i64::try_from(TTL.as_millis()).unwrap_or(i64::MAX);
    let notice = NewMessage {
        sender: Sender::Terminal(message.receiver.clone()),
        sender_name: receiver
            .as_ref()
            .map_or_else(|| message.receiver.to_string(), Terminal::display_name),
        order: false,
        receiver: sender.id.clone(),
        body: text(&message),
        tag: fsx::hex(&tag),
        expires_at: Some(clock::after_ms(now, ttl)),
        key: Some(format!("{KEY}{id}")),
        trace: message.trace.clone(),
        hops: message.hops + 1,
        held: None,
    };
    tx.accept_message(&notice, now)?;
    super::deliver::due_at(tx, &sender, now)?;
    aftermath.count(&sender);
    aftermath.arm(tx, &sender, now)
}

fn text(message: &Message) -> String {
    let begins: String = one_line(&message.body).chars().take(EXCERPT).collect();
    let more = if message.body.chars().count() > EXCERPT {
        "…"
    } else {
        ""
    };
    format!(
        "This is a notice of Agent Conductor: message {} from you to {} ended as {} ({}) and will not be delivered. It began: {begins}{more}",
        message.id,
        message.receiver,
        message.status.as_str(),
        one_line(
            message
                .last_error
                .as_deref()
                .unwrap_or("no reason is known")
        ),
    )
}
