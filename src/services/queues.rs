//! What waits, why, and how well deliveries are proven.

use crate::clock;
use crate::domain::message::{GateReason, Message, MessageStatus};
use crate::domain::terminal::{Status, Terminal};
use crate::error::Result;
use crate::store::{ProofRate, Store};
use jiff::Timestamp;
use serde::Serialize;

/// The queue of one terminal that something waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Queue {
    /// The terminal's id.
    pub terminal: String,
    /// Its provider.
    pub provider: String,
    /// Number of messages that wait for delivery or proof.
    pub depth: usize,
    /// Age of the oldest, in seconds.
    pub oldest_seconds: i64,
    /// Why the one whose turn it is has not gone: the gate's code, or what is known.
    pub reason: Option<String>,
    /// What will retry it.
    pub retried_by: Option<&'static str>,
}

/// The proof of one provider's deliveries, by transport.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proofs {
    /// The provider.
    pub provider: String,
    /// Share of the placed messages that are proven, in thousandths; those whose proof may be on its way do not count.
    pub per_mille: Option<u64>,
    /// The counts.
    pub by_transport: Vec<ProofRate>,
}

/// The queues of all living terminals that something waits for, the oldest first.
pub fn queues(store: &mut Store) -> Result<Vec<Queue>> {
    let now = clock::now();
    let mut found = store.read(|tx| {
        let mut found = Vec::new();
        for terminal in tx.live_terminals()? {
            found.extend(queue(&terminal, &tx.open_messages(&terminal.id)?, now));
        }
        Ok::<_, crate::store::Error>(found)
    })?;
    found.sort_by_key(|queue| std::cmp::Reverse(queue.oldest_seconds));
    Ok(found)
}

/// The queue of `terminal`, of which `open` are the messages in order; `None` when nothing waits.
fn queue(terminal: &Terminal, open: &[Message], now: Timestamp) -> Option<Queue> {
    let oldest = open.iter().map(|message| message.queued_at).min()?;
    // What is held lets the others pass.
    let next = open
        .iter()
        .find(|message| message.status != MessageStatus::Held)
        .or(open.first())?;
    let (reason, retried_by) = why(terminal, next);
    Some(Queue {
        terminal: terminal.id.to_string(),
        provider: terminal.provider.clone(),
        depth: open.len(),
        oldest_seconds: clock::elapsed_ms(oldest, now) / 1000,
        reason,
        retried_by,
    })
}

/// Why `message` waits, and what retries it.
pub fn why(terminal: &Terminal, message: &Message) -> (Option<String>, Option<&'static str>) {
    let reason = message
        .last_error
        .clone()
        .or_else(|| match terminal.state.status {
            _ if message.status != MessageStatus::Queued => None,
            Status::Working => Some(GateReason::Working.as_str().to_owned()),
            Status::Starting => Some(GateReason::Starting.as_str().to_owned()),
            _ => None,
        });
    let behind = reason
        .as_deref()
        .is_some_and(|why| why.starts_with("waits behind"));
    let retried_by = reason
        .as_deref()
        .and_then(GateReason::parse)
        .map(GateReason::retried_by)
        .or(behind.then_some("the end of the message before it"))
        .or(match message.status {
            MessageStatus::Placed => Some("the agent's next event, or a look at its pane"),
            MessageStatus::Held => Some("`conductor-hook inbox retry`, by a person"),
            _ => None,
        });
    (reason, retried_by)
}

/// The counts, provider by provider.
pub fn proofs(rates: Vec<ProofRate>) -> Vec<Proofs> {
    let mut found: Vec<Proofs> = Vec::new();
    for rate in rates {
        match found.last_mut() {
            Some(last) if last.provider == rate.provider => last.by_transport.push(rate),
            _ => found.push(Proofs {
                provider: rate.provider.clone(),
                per_mille: None,
                by_transport: vec![rate],
            }),
        }
    }
    for proofs in &mut found {
        let over =
            |count: fn(&ProofRate) -> u64| proofs.by_transport.iter().map(count).sum::<u64>();
        let decided = over(|rate| rate.placed - rate.open);
        proofs.per_mille = (over(|rate| rate.proven) * 1000).checked_div(decided);
    }
    found
}

impl Proofs {
    /// One line for people: the share, then each transport.
    pub fn line(&self) -> String {
        let share = match self.per_mille {
            Some(share) => format!("{}.{} % proven", share / 10, share % 10),
            None => "no proof is due yet".to_owned(),
        };
        let each: Vec<String> = self.by_transport.iter().map(transport_line).collect();
        format!("{share}: {}", each.join("; "))
    }

    /// How many messages were placed and are no longer on their way.
    pub fn decided(&self) -> u64 {
        let each = self.by_transport.iter();
        each.map(|rate| rate.placed - rate.open).sum()
    }
}

fn transport_line(rate: &ProofRate) -> String {
    let mut line = format!("{} {} of {}", rate.transport, rate.proven, rate.placed);
    if let Some(ms) = rate.median_ms {
        line.push_str(&format!(" in {ms} ms (median)"));
    }
    if rate.open > 0 {
        line.push_str(&format!(", {} on the way", rate.open));
    }
    if rate.repeated > 0 {
        line.push_str(&format!(", {} repeated", rate.repeated));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(provider: &str, transport: &str, placed: u64, proven: u64, open: u64) -> ProofRate {
        ProofRate {
            provider: provider.into(),
            transport: transport.into(),
            placed,
            proven,
            open,
            repeated: placed - proven - open,
            median_ms: (proven > 0).then_some(340),
        }
    }

    #[test]
    fn the_share_counts_what_is_decided() {
        let found = proofs(vec![
            rate("claude_code", "paste", 1, 0, 1),
            rate("demo", "mcp_read", 1, 0, 0),
            rate("demo", "paste", 9, 8, 1),
        ]);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].per_mille, found[0].decided()), (None, 0));
        assert_eq!((found[1].per_mille, found[1].decided()), (Some(888), 9));
        assert_eq!(
            found[1].line(),
            "88.8 % proven: mcp_read 0 of 1, 1 repeated; paste 8 of 9 in 340 ms (median), 1 on the way"
        );
        assert_eq!(
            found[0].line(),
            "no proof is due yet: paste 0 of 1, 1 on the way"
        );
    }
}
