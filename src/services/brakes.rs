//! Brakes on messages that agents cause: budgets for a pair and a session, hops, and a stop for two agents that only talk to each
//! other. Never for people, scripts or flows, but for the length and size of a queue.

use crate::clock;
use crate::domain::terminal::Terminal;
use crate::error::{Failure, Result};
use crate::profiles::config::Limits;
use crate::store::Tx;
use jiff::Timestamp;

/// Messages between two agents within [`LOOP_MS`], without a word from outside, that are taken for a loop.
const LOOP: i64 = 24;

/// The time in which a loop is looked for, in milliseconds.
const LOOP_MS: i64 = 5 * 60 * 1000;

/// Tests a message of `bytes` that is about to be accepted. An error refuses it; a reason holds it until a person lets it go.
pub fn test(
    tx: &Tx<'_>,
    limits: &Limits,
    sending: Option<&Terminal>,
    receiver: &Terminal,
    bytes: usize,
    hops: i64,
    now: Timestamp,
) -> Result<Option<String>> {
    let waiting = tx.open_count(Some(&receiver.id))?;
    if waiting >= i64::from(limits.queue_per_receiver) {
        return Err(refused(
            format!(
                "{waiting} messages wait for terminal {} already",
                receiver.id
            ),
            "limits.queue_per_receiver",
        ));
    }
    let stored = u64::try_from(tx.waiting_bytes(&receiver.session)?).unwrap_or(0);
    if stored.saturating_add(bytes as u64) > limits.waiting_bytes_per_session {
        return Err(refused(
            format!(
                "{stored} bytes of messages wait in this session already, and this one has {bytes}"
            ),
            "limits.waiting_bytes_per_session",
        ));
    }
    let Some(sending) = sending else {
        return Ok(None);
    };
    if hops > i64::from(limits.hops) {
        return Err(refused(
            format!(
                "this would be message {hops} in a row that agents cause without a person's word"
            ),
            "limits.hops",
        ));
    }
    let minute = tx.sent_since(&sending.id, &receiver.id, clock::after_ms(now, -60_000))?;
    if minute >= i64::from(limits.messages_per_minute) {
        return Err(refused(
            format!(
                "{minute} messages went to terminal {} within a minute",
                receiver.id
            ),
            "limits.messages_per_minute",
        ));
    }
    let hour = tx.session_sent_since(&sending.session, clock::after_ms(now, -3_600_000))?;
    if hour >= i64::from(limits.messages_per_hour) {
        return Err(refused(
            format!("the agents of this session sent {hour} messages within an hour"),
            "limits.messages_per_hour",
        ));
    }
    let outside = [&sending.id, &receiver.id]
        .into_iter()
        .map(|id| tx.last_outside_word(id, clock::after_ms(now, -LOOP_MS)))
        .collect::<std::result::Result<Vec<_>, _>>()?
        .into_iter()
        .flatten()
        .max();
    let since = outside.map_or(clock::after_ms(now, -LOOP_MS), |at| {
        at.max(clock::after_ms(now, -LOOP_MS))
    });
    let there = tx.sent_since(&sending.id, &receiver.id, since)?;
    let back = tx.sent_since(&receiver.id, &sending.id, since)?;
    if there + back >= LOOP && there.min(back) >= LOOP / 3 {
        return Ok(Some(format!(
            "LOOP: {} messages between these two within five minutes, and no word from outside; a person lets it go with `inbox retry`",
            there + back
        )));
    }
    Ok(None)
}

fn refused(what: String, limit: &str) -> Failure {
    Failure::refused(what).hint(format!(
        "nothing was stored; wait, say more in one message, or let a person raise {limit} in config.toml"
    ))
}

#[cfg(test)]
mod tests;
