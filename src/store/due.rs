//! The one table of due times, and what is armed for them in each tmux server.

use super::db::Tx;
use super::error::Error;
use super::terminals::time;
use jiff::Timestamp;
use rusqlite::{OptionalExtension, params};

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DueKind {
    /// Look at the queue of a terminal (subject: its id).
    Deliver,
    /// Look for the Enter or the proof of a placed message (subject: its id).
    Proof,
    /// Give an answer to a caller's inbox, or end a handoff whose time is up (subject: its id).
    Handoff,
    /// Expire what was not delivered in time (subject: `all`).
    Expiry,
}

impl DueKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Deliver => "deliver",
            Self::Proof => "proof",
            Self::Handoff => "handoff",
            Self::Expiry => "expiry",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Deliver, Self::Proof, Self::Handoff, Self::Expiry]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

/// One due thing.
#[derive(Debug, Clone, PartialEq)]
pub struct Due {
    /// What.
    pub kind: DueKind,
    /// About what.
    pub subject: String,
    /// When.
    pub at: Timestamp,
}

impl Tx<'_> {
    /// Makes something due at `at`, or earlier if it already is. `server` is the socket of the tmux server that it belongs to.
    pub fn set_due(
        &self,
        kind: DueKind,
        subject: &str,
        server: Option<&str>,
        at: Timestamp,
    ) -> Result<(), Error> {
        self.prepare_cached(
            "INSERT INTO due (kind, subject, server, at) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (kind, subject) DO UPDATE SET at = min(at, excluded.at), server = coalesce(excluded.server, server)",
        )?
        .execute(params![kind.as_str(), subject, server, at.as_millisecond()])?;
        Ok(())
    }

    /// Nothing of this kind is due about `subject` any more.
    pub fn clear_due(&self, kind: DueKind, subject: &str) -> Result<(), Error> {
        self.prepare_cached("DELETE FROM due WHERE kind = ?1 AND subject = ?2")?
            .execute(params![kind.as_str(), subject])?;
        Ok(())
    }

    /// Whether something of this kind is due about `subject`, at whatever time.
    pub fn is_due(&self, kind: DueKind, subject: &str) -> Result<bool, Error> {
        Ok(self
            .prepare_cached("SELECT 1 FROM due WHERE kind = ?1 AND subject = ?2")?
            .exists([kind.as_str(), subject])?)
    }

    /// Takes everything that is due by `now` out of the table.
    pub fn take_due(&self, now: Timestamp) -> Result<Vec<Due>, Error> {
        let mut statement =
            self.prepare_cached("DELETE FROM due WHERE at <= ?1 RETURNING kind, subject, at")?;
        let rows = statement.query_map([now.as_millisecond()], |row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, i64>(2)?,
            ))
        })?;
        let mut due = Vec::new();
        for row in rows {
            let (kind, subject, at) = row?;
            if let Some(kind) = DueKind::parse(&kind) {
                due.push(Due {
                    kind,
                    subject,
                    at: time(at),
                });
            }
        }
        due.sort_by_key(|due| due.at);
        Ok(due)
    }

    /// When the next thing is due in the server at `socket` (or in any server).
    pub fn next_due(&self, socket: &str) -> Result<Option<Timestamp>, Error> {
        let at: Option<i64> = self
            .prepare_cached("SELECT min(at) FROM due WHERE server IS NULL OR server = ?1")?
            .query_row([socket], |row| row.get(0))?;
        Ok(at.map(time))
    }

    /// The timer that must be armed in the server at `socket` now: `None` when one is armed that fires early enough. The new generation
    /// supersedes what was armed before.
    pub fn arm(&self, socket: &str, now: Timestamp) -> Result<Option<(Timestamp, i64)>, Error> {
        let Some(next) = self.next_due(socket)? else {
            return Ok(None);
        };
        let armed: Option<(i64, i64)> = self
            .query_row(
                "SELECT at, generation FROM armed WHERE server = ?1",
                [socket],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?;
        // A timer that should have fired two seconds ago is lost.
        let alive = armed.is_some_and(|(at, _)| at >= now.as_millisecond() - 2_000);
        if alive
            && armed.is_some_and(|(at, _)| at <= next.as_millisecond().max(now.as_millisecond()))
        {
            return Ok(None);
        }
        let generation = armed.map_or(1, |(_, generation)| generation + 1);
        self.execute(
            "INSERT INTO armed (server, at, generation) VALUES (?1, ?2, ?3)
             ON CONFLICT (server) DO UPDATE SET at = excluded.at, generation = excluded.generation",
            params![socket, next.as_millisecond(), generation],
        )?;
        Ok(Some((next, generation)))
    }

    /// The armed timer of this server has fired, or could not be armed.
    pub fn disarm(&self, socket: &str) -> Result<(), Error> {
        self.execute("UPDATE armed SET at = 0 WHERE server = ?1", [socket])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::db::{Budget, Durability, Store};
    use super::*;
    use crate::paths::Home;

    #[test]
    fn one_timer_is_armed_for_the_earliest_thing() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open_or_create(&Home::at(dir.path().join("s")).unwrap()).unwrap();
        let at = |ms: i64| Timestamp::from_millisecond(ms).unwrap();
        store
            .write(Durability::Process, Budget::Call, |tx| {
                assert_eq!(tx.arm("/s", at(1_000))?, None, "nothing due, nothing armed");
                tx.set_due(DueKind::Deliver, "a", Some("/s"), at(5_000))?;
                assert_eq!(tx.arm("/s", at(1_000))?, Some((at(5_000), 1)));
                assert_eq!(tx.arm("/s", at(1_000))?, None, "armed already");
                tx.set_due(DueKind::Deliver, "b", Some("/s"), at(9_000))?;
                assert_eq!(tx.arm("/s", at(1_000))?, None, "an earlier one is armed");
                tx.set_due(DueKind::Proof, "1", Some("/s"), at(3_000))?;
                assert_eq!(tx.arm("/s", at(1_000))?, Some((at(3_000), 2)));
                assert_eq!(tx.arm("/other", at(1_000))?, None, "of another server");
                assert_eq!(tx.take_due(at(5_000))?.len(), 2);
                tx.disarm("/s")?;
                assert_eq!(tx.arm("/s", at(5_000))?, Some((at(9_000), 3)));
                assert_eq!(
                    tx.arm("/s", at(12_000))?,
                    Some((at(9_000), 4)),
                    "a timer that did not fire is replaced"
                );
                Ok::<_, Error>(())
            })
            .unwrap();
    }
}
