//! How well deliveries are proven: figures over the newest messages, for `doctor` and `explain`.

use super::db::Tx;
use super::error::Error;
use crate::domain::ids::TerminalId;
use rusqlite::params;
use serde::Serialize;

/// How many of the newest messages are looked at: enough for a rate, few enough for a table of any size.
const NEWEST: u32 = 10_000;

/// What became of the messages that were put to agents of one provider by one transport.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProofRate {
    /// The provider.
    pub provider: String,
    /// How they went.
    pub transport: String,
    /// How many were placed: in the pane with tmux's receipt, handed to a hook, or read.
    pub placed: u64,
    /// How many of them are proven.
    pub proven: u64,
    /// How many are neither proven nor given up: their proof may be on its way.
    pub open: u64,
    /// How many were put to the agent more than once, because no proof came the first time.
    pub repeated: u64,
    /// Median time from placed to proven, in milliseconds; `None` when nothing was proven.
    pub median_ms: Option<u64>,
}

impl Tx<'_> {
    /// What became of the newest messages that were placed, by provider and transport; of one receiver or of all.
    pub fn proof_rates(&self, receiver: Option<&TerminalId>) -> Result<Vec<ProofRate>, Error> {
        let which = match receiver {
            Some(_) => "receiver = ?1 ORDER BY seq",
            None => "?1 IS NULL ORDER BY id",
        };
        let sql = format!(
            "SELECT t.provider, m.transport, m.status, m.again, m.submitted_at - m.placed_at
             FROM (SELECT receiver, transport, status, again, placed_at, submitted_at FROM messages WHERE {which} DESC LIMIT {NEWEST}) m
             JOIN terminals t ON t.id = m.receiver
             WHERE m.placed_at IS NOT NULL AND m.transport IS NOT NULL
             ORDER BY 1, 2, 5"
        );
        let mut statement = self.statement(&sql)?;
        let mut rows = statement.query(params![receiver.map(TerminalId::as_str)])?;
        let mut found: Vec<(ProofRate, Vec<u64>)> = Vec::new();
        while let Some(row) = rows.next()? {
            let (provider, transport): (String, String) = (row.get(0)?, row.get(1)?);
            let same = found
                .last()
                .is_some_and(|(rate, _)| rate.provider == provider && rate.transport == transport);
            if !same {
                let rate = ProofRate {
                    provider,
                    transport,
                    placed: 0,
                    proven: 0,
                    open: 0,
                    repeated: 0,
                    median_ms: None,
                };
                found.push((rate, Vec::new()));
            }
            let Some((rate, spans)) = found.last_mut() else {
                continue;
            };
            let status: String = row.get(2)?;
            rate.placed += 1;
            rate.repeated += u64::from(row.get::<_, bool>(3)?);
            match status.as_str() {
                "submitted" => {
                    rate.proven += 1;
                    // A clock that was set back in between says nothing.
                    let span = row.get::<_, Option<i64>>(4)?.unwrap_or_default();
                    spans.push(u64::try_from(span).unwrap_or_default());
                }
                "placed" => rate.open += 1,
                _ => {}
            }
        }
        Ok(found
            .into_iter()
            .map(|(mut rate, mut spans)| {
                spans.sort_unstable();
                rate.median_ms = spans.get(spans.len() / 2).copied();
                rate
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::db::{Budget, Durability, Store};
    use super::*;
    use crate::paths::Home;

    #[test]
    fn what_was_placed_is_counted_by_provider_and_transport() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open_or_create(&Home::at(dir.path().join("s")).unwrap()).unwrap();
        let rates = store
            .write(Durability::Process, Budget::Call, |tx| {
                for (id, provider) in [("0000000a", "demo"), ("0000000b", "claude_code")] {
                    tx.execute(
                        "INSERT INTO terminals (id, session, window, provider, profile, role, status, status_reason, status_source,
                           status_since, cwd, created_at) VALUES (?1, 's', 'w', ?2, 'p', 'worker', 'idle', '', 'event', 0, '/', 0)",
                        [id, provider],
                    )?;
                }
                for (seq, (receiver, status, transport, placed, submitted, again)) in [
                    ("0000000a", "submitted", Some("paste"), Some(100), Some(400), 0),
                    ("0000000a", "submitted", Some("paste"), Some(100), Some(200), 1),
                    ("0000000a", "submitted", Some("paste"), Some(100), Some(50), 0),
                    ("0000000a", "placed", Some("paste"), Some(100), None, 0),
                    ("0000000a", "dead", Some("mcp_read"), Some(100), None, 1),
                    ("0000000a", "queued", None, None, None, 1),
                    ("0000000b", "submitted", Some("stop_hook"), Some(100), Some(105), 0),
                ]
                .into_iter()
                .zip(1_i64..)
                .map(|(row, seq)| (seq, row))
                {
                    tx.execute(
                        "INSERT INTO messages (sender, sender_name, is_order, receiver, body, status, transport, seq, tag, queued_at,
                           placed_at, submitted_at, again, trace) VALUES ('human', 'human', 1, ?1, 'x', ?2, ?3, ?4, 't', 0, ?5, ?6, ?7, 't')",
                        params![receiver, status, transport, seq, placed, submitted, again],
                    )?;
                }
                let one = TerminalId::parse("0000000b").unwrap();
                Ok::<_, Error>((tx.proof_rates(None)?, tx.proof_rates(Some(&one))?))
            })
            .unwrap();
        let rate = |provider: &str, transport: &str, counts: [u64; 4], median_ms| ProofRate {
            provider: provider.into(),
            transport: transport.into(),
            placed: counts[0],
            proven: counts[1],
            open: counts[2],
            repeated: counts[3],
            median_ms,
        };
        let claude = rate("claude_code", "stop_hook", [1, 1, 0, 0], Some(5));
        let demo = [
            rate("demo", "mcp_read", [1, 0, 0, 1], None),
            rate("demo", "paste", [4, 3, 1, 1], Some(100)),
        ];
        assert_eq!(rates.1, std::slice::from_ref(&claude));
        assert_eq!(rates.0, [&[claude][..], &demo].concat());
    }
}
