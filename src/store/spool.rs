//! Events that came while the lock was not free: one durable file each, stored first by the next writer, in order.

use super::db::Tx;
use super::error::Error;
use crate::failpoint;
use crate::fsx;
use crate::paths::Home;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

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
}

impl SpooledEvent {
    /// Keeps the event in a file of its own, which appears whole or not at all; names sort by time.
    pub fn keep(&self, home: &Home) -> Result<(), Error> {
        let bytes = serde_json::to_vec(self).map_err(|e| Error::io("spool an event")(e.into()))?;
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
        let bytes =
            fsx::read_file_limited(path, 4 * 1024 * 1024).map_err(Error::io("read the spool"))?;
        if let Ok(event) = serde_json::from_slice::<SpooledEvent>(&bytes) {
            tx.apply_spooled(&event)?;
        }
    }
    Ok(Drained(files))
}

impl Tx<'_> {
    fn apply_spooled(&self, event: &SpooledEvent) -> Result<(), Error> {
        self.execute(
            "UPDATE terminals SET last_event_at = max(coalesce(last_event_at, 0), ?2),
               last_answer = coalesce(?3, last_answer)
             WHERE id = ?1 AND status <> 'exited'",
            rusqlite::params![event.terminal, event.at, event.answer],
        )?;
        if let Some(status) = &event.status {
            self.execute(
                "UPDATE terminals SET status = ?2, status_reason = ?3, status_source = 'event', status_since = ?4,
                   ended_at = CASE WHEN ?2 = 'exited' THEN ?4 ELSE ended_at END
                 WHERE id = ?1 AND status <> 'exited' AND status_since <= ?4",
                rusqlite::params![event.terminal, status, event.reason, event.at],
            )?;
        }
        for id in &event.proves {
            self.prove_by_prompt(&event.terminal, *id, event.at)?;
        }
        Ok(())
    }
}
