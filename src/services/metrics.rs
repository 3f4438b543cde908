//! Figures about this state directory, for a monitoring system: counted when asked, kept nowhere.

use super::context::Context;
use super::queues;
use crate::clock;
use crate::domain::flow::Flow;
use crate::error::Result;
use crate::store::Store;
use serde::Serialize;
use std::collections::BTreeMap;

/// One figure, of each of its labels.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metric {
    /// Its name, with the unit at its end.
    pub name: &'static str,
    /// What it is.
    pub help: &'static str,
    /// `gauge`: all of these go up and down.
    pub kind: &'static str,
    /// Labels and value.
    pub samples: Vec<Sample>,
}

/// One value of a metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sample {
    /// Names and values of its labels.
    pub labels: BTreeMap<&'static str, String>,
    /// The value.
    pub value: i64,
}

fn sample(labels: &[(&'static str, &str)], value: i64) -> Sample {
    Sample {
        labels: labels
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect(),
        value,
    }
}

const fn gauge(name: &'static str, help: &'static str, samples: Vec<Sample>) -> Metric {
    Metric {
        name,
        help,
        kind: "gauge",
        samples,
    }
}

/// The figures of flows.
fn flows(store: &mut Store) -> Result<Vec<Metric>> {
    let (flows, counts) =
        store.read(|tx| Ok::<_, crate::store::Error>((tx.flows()?, tx.run_counts()?)))?;
    let now = clock::now();
    let late = |flow: &Flow| {
        let next = flow.next_run()?;
        let ms = now.as_millisecond() - next.as_millisecond();
        let labels = [("flow", flow.name.as_str())];
        Some(sample(&labels, ms.max(0) / 1_000))
    };
    let known = |enabled: bool| {
        let count = flows.iter().filter(|flow| flow.enabled == enabled).count();
        i64::try_from(count).unwrap_or(i64::MAX)
    };
    Ok(vec![
        gauge(
            "conductor_flows",
            "Flows, by whether they run at their times.",
            vec![
                sample(&[("enabled", "no")], known(false)),
                sample(&[("enabled", "yes")], known(true)),
            ],
        ),
        gauge(
            "conductor_flow_runs",
            "Due times in the ledger of flows, by what became of them.",
            counts
                .iter()
                .map(|(flow, outcome, n)| {
                    sample(&[("flow", flow), ("outcome", outcome.as_str())], *n)
                })
                .collect(),
        ),
        gauge(
            "conductor_flow_late_seconds",
            "How long the next time of an enabled flow has come and is not told yet.",
            flows.iter().filter_map(late).collect(),
        ),
    ])
}

/// All figures; none where there is no state.
pub fn metrics(cx: &Context) -> Result<Vec<Metric>> {
    let mut store = match Store::open(&cx.home) {
        Ok(store) => store,
        Err(crate::store::Error::Missing(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let (living, pending, notes, rates, audited) = store.read(|tx| {
        Ok::<_, crate::store::Error>((
            tx.live_terminals()?,
            tx.pending_counts()?,
            tx.waiting_note_count(None)?,
            tx.proof_rates(None)?,
            tx.audit_head()?.map_or(0, |head| head.seq),
        ))
    })?;
    let mut terminals: BTreeMap<(String, &str), i64> = BTreeMap::new();
    for terminal in &living {
        let key = (terminal.provider.clone(), terminal.state.status.as_str());
        *terminals.entry(key).or_default() += 1;
    }
    let queues = queues::queues(&mut store)?;
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let by_rate = |value: fn(&crate::store::ProofRate) -> u64| {
        rates
            .iter()
            .map(|rate| {
                let labels = [
                    ("provider", rate.provider.as_str()),
                    ("transport", rate.transport.as_str()),
                ];
                sample(&labels, count(value(rate)))
            })
            .collect::<Vec<_>>()
    };
    let bytes = |name: &str| {
        let file = cx.home.db_dir().join(name);
        std::fs::metadata(file).map_or(0, |file| count(file.len()))
    };
    let mut metrics = vec![
        gauge(
            "conductor_terminals",
            "Living terminals.",
            terminals
                .iter()
                .map(|((provider, status), n)| {
                    sample(&[("provider", provider), ("status", status)], *n)
                })
                .collect(),
        ),
        gauge(
            "conductor_messages_waiting",
            "Messages that wait for delivery or proof, by receiver.",
            queues
                .iter()
                .map(|queue| {
                    let labels = [
                        ("terminal", queue.terminal.as_str()),
                        ("provider", queue.provider.as_str()),
                    ];
                    sample(&labels, i64::try_from(queue.depth).unwrap_or(i64::MAX))
                })
                .collect(),
        ),
        gauge(
            "conductor_message_oldest_seconds",
            "Age of the oldest message that waits.",
            vec![sample(
                &[],
                queues.first().map_or(0, |queue| queue.oldest_seconds),
            )],
        ),
        gauge(
            "conductor_approvals_pending",
            "Requests that wait for a person.",
            vec![sample(&[], pending.iter().map(|(_, n)| n).sum())],
        ),
        gauge(
            "conductor_notes_waiting",
            "Notes and questions of agents that wait for a person.",
            vec![sample(&[], count(notes))],
        ),
        gauge(
            "conductor_messages_placed",
            "Of the newest 10,000 messages, those that were put to an agent.",
            by_rate(|rate| rate.placed),
        ),
        gauge(
            "conductor_messages_proven",
            "Of those, the ones that are proven.",
            by_rate(|rate| rate.proven),
        ),
        gauge(
            "conductor_messages_repeated",
            "Of those, the ones that were put to the agent more than once.",
            by_rate(|rate| rate.repeated),
        ),
        gauge(
            "conductor_audit_entries",
            "Entries of the audit log.",
            vec![sample(&[], audited)],
        ),
        gauge(
            "conductor_database_bytes",
            "Size of the database and of its write-ahead log.",
            vec![
                sample(&[("file", "database")], bytes("conductor.db")),
                sample(&[("file", "wal")], bytes("conductor.db-wal")),
            ],
        ),
    ];
    metrics.extend(flows(&mut store)?);
    Ok(metrics)
}
