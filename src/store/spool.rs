//! Events that came while the lock was not free: one durable file each, stored first by the next writer, in order.

use super::db::Tx;
use super::error::Error;
use crate::failpoint;
use crate::fsx;
use crate::paths::Home;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Largest file in the spool, in bytes.
const MAX_FILE: usize = 4 * 1024 * 1024;

/// A status event that waits to be stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpooledEvent {
    /// The terminal.
    pub terminal: String,
    /// When it happened, in milliseconds since 1970.
    pub at: i64,
    /// The status that it led to, where it changes one.
    pub status: Option<String>,
    /// Why.
    pub reason: String,
    /// The agent's answer, at the end of a turn.
    pub answer: Option<String>,
    /// Messages whose headers stood in a submitted prompt: they are proven.
    pub proves: Vec<i64>,
    /// It was a tool call at the gate.
    #[serde(default)]
    pub gated: bool,
}

impl SpooledEvent {
    /// Keeps the event in a file of its own, which appears whole or not at all; names sort by time.
    ///
    /// An answer that is too long for the spool is left out of it.
    pub fn keep(&self, home: &Home) -> Result<(), Error> {
        let mut bytes =
            serde_json::to_vec(self).map_err(|e| Error::io("spool an event")(e.into()))?;
        if bytes.len() > MAX_FILE {
            let short = Self {
                answer: None,
                ..self.clone()
            };
            bytes =
                serde_json::to_vec(&short).map_err(|e| Error::io("spool an event")(e.into()))?;
        }
        let random = fsx::random_bytes::<4>().map_err(Error::io("spool an event"))?;
        let name = format!("{:015}-{}.json", self.at.max(0), fsx::hex(&random));
        failpoint::hit("spool.before");
        fsx::write_atomic(&home.spool().join(name), &bytes).map_err(Error::io("spool an event"))?;
        failpoint::hit("spool.kept");
        Ok(())
    }
}

/// What was stored from the spool; forgotten after the commit.
#[derive(Debug)]
pub(super) struct Drained(Vec<PathBuf>);

impl Drained {
    pub(super) fn forget(self) {
        for path in self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Stores what waits, inside the caller's transaction. A crash before the commit leaves the files for the next writer; storing an
/// event twice changes nothing.
pub(super) fn drain(home: &Home, tx: &Tx<'_>) -> Result<Drained, Error> {
    let mut files = Vec::new();
    if let Ok(entries) = std::fs::read_dir(home.spool()) {
        for entry in entries.flatten() {
            let name = entry.file_name();
            if name
                .to_str()
                .and_then(|name| name.strip_suffix(".json"))
                .is_some_and(|stem| !stem.starts_with('.'))
            {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    for path in &files {
        // A file that cannot be read must never keep a writer from its work: it is set aside.
        let event = fsx::read_file_limited(path, MAX_FILE)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<SpooledEvent>(&bytes).ok());
        if let Some(event) = event {
            tx.apply_spooled(&event)?;
        } else {
            tracing::warn!(file = %path.display(), "an event in the spool cannot be read");
            let _ = std::fs::rename(path, path.with_extension("bad"));
        }
    }
    Ok(Drained(files))
}

impl Tx<'_> {
    fn apply_spooled(&self, event: &SpooledEvent) -> Result<(), Error> {
        let begun = event.status.as_deref() == Some("working") || event.answer.is_some();
        self.execute(
            "UPDATE terminals SET last_event_at = max(coalesce(last_event_at, 0), ?2),
               last_answer = coalesce(?3, last_answer), begun = max(begun, ?4)
             WHERE id = ?1 AND status <> 'exited'",
            rusqlite::params![event.terminal, event.at, event.answer, begun],
        )?;
        if event.gated {
            self.execute(
                "UPDATE terminals SET gate_seen_at = coalesce(gate_seen_at, ?2) WHERE id = ?1",
                rusqlite::params![event.terminal, event.at],
            )?;
        }
        // Whatever the agent does after a stop hook's answer proves that it took it.
        self.execute(
            "UPDATE messages SET status = 'submitted', submitted_at = ?2, last_error = NULL
             WHERE receiver = ?1 AND status = 'placed' AND transport = 'stop_hook' AND placed_at <= ?2",
            rusqlite::params![event.terminal, event.at],
        )?;
        // An end has consequences beyond the row; the comparison with the panes finds it and does them all.
        if let Some(status) = event.status.as_deref().filter(|status| *status != "exited") {
            self.execute(
                "UPDATE terminals SET lost = NULL, lost_at = NULL WHERE id = ?1 AND status <> 'exited' AND lost IS NOT NULL",
                [&event.terminal],
            )?;
            self.execute(
                "UPDATE terminals SET status = ?2, status_reason = ?3, status_source = 'event', status_since = ?4
                 WHERE id = ?1 AND status <> 'exited' AND status_since <= ?4",
                rusqlite::params![event.terminal, status, event.reason, event.at],
            )?;
        }

        // The agent rests: its queue is looked at, by the timer that the next writer arms.
        if event.status.as_deref() == Some("idle") {
            self.execute(
                "INSERT OR IGNORE INTO due (kind, subject, server, at)
                 SELECT 'deliver', id, server_socket, ?2 FROM terminals WHERE id = ?1 AND status = 'idle'
                   AND EXISTS (SELECT 1 FROM messages WHERE receiver = ?1 AND status IN ('queued', 'claimed'))",
                rusqlite::params![event.terminal, event.at],
            )?;
        }
        for id in &event.proves {
            self.prove_by_prompt(&event.terminal, *id, event.at)?;
        }
        Ok(())
    }
}
