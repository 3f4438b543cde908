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
    /// Wake an agent whose usage limit is over (subject: its terminal's id).
    Park,
    /// Remind of an approval that waits, or end one whose time is over (subject: its id).
    Approval,
    /// Start a flow whose time has come, or look after its runs (subject: its name).
    Flow,
    /// Give a person's answer to the agent that asked (subject: the note's id).
    Note,
    /// Remove what is old (no subject).
    Clean,
    /// Remove the worktree of a terminal that has ended, if nothing is lost with it (subject: the terminal's id).
    Worktree,
}

impl DueKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Deliver => "deliver",
            Self::Proof => "proof",
            Self::Handoff => "handoff",
            Self::Approval => "approval",
            Self::Flow => "flow",
            Self::Park => "park",
            Self::Note => "note",
            Self::Clean => "clean",
            Self::Worktree => "worktree",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let all = [
            Self::Deliver,
            Self::Proof,
            Self::Handoff,
            Self::Approval,
            Self::Park,
            Self::Flow,
            Self::Note,
            Self::Clean,
            Self::Worktree,
        ];
        all.into_iter().find(|kind| kind.as_str() == text)
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

/// What is to be done about a server's timer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Arm {
    /// What is armed is right.
    Keep,
    /// Arm one.
    Set {
        /// When it shall fire.
        at: Timestamp,
        /// Its generation.
        generation: i64,
    },
    /// Nothing is due any more: what is armed shall end without starting anything.
    Cancel {
        /// The generation that supersedes it.
        generation: i64,
    },
}

/// No retry of a delivery is due later than this, in milliseconds.
const LATEST_MS: i64 = 90_000;

/// While a flow or a parked agent waits for a time on the clock, its server's timer is no longer than this, in milliseconds: timers stand
/// still while the machine sleeps, and know nothing of clocks that are set.
const CLOCK_TIMER_MS: i64 = 60_000;

/// A timer that fires within this time is left alone although nothing is due, in milliseconds.
const POINTLESS_MS: i64 = 5_000;

impl Tx<'_> {
    /// Makes something due at `at`, or earlier if it already is. `server` is the socket of the tmux server that it belongs to.
    pub fn set_due(
        &self,
        kind: DueKind,
        subject: &str,
        server: Option<&str>,
        at: Timestamp,
    ) -> Result<(), Error> {
        self.statement(
            "INSERT INTO due (kind, subject, server, at) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (kind, subject) DO UPDATE SET at = min(at, excluded.at), server = coalesce(excluded.server, server)",
        )?
        .execute(params![kind.as_str(), subject, server, at.as_millisecond()])?;
        Ok(())
    }

    /// Moves what is due about `subject` to `at`, be that later.
    pub fn postpone_due(&self, kind: DueKind, subject: &str, at: Timestamp) -> Result<(), Error> {
        self.statement("UPDATE due SET at = ?3 WHERE kind = ?1 AND subject = ?2")?
            .execute(params![kind.as_str(), subject, at.as_millisecond()])?;
        Ok(())
    }

    /// Makes something due at `at`, whatever was due about it before.
    pub fn reset_due(
        &self,
        kind: DueKind,
        subject: &str,
        server: Option<&str>,
        at: Timestamp,
    ) -> Result<(), Error> {
        self.clear_due(kind, subject)?;
        self.set_due(kind, subject, server, at)
    }

    /// Nothing of this kind is due about `subject` any more.
    pub fn clear_due(&self, kind: DueKind, subject: &str) -> Result<(), Error> {
        self.statement("DELETE FROM due WHERE kind = ?1 AND subject = ?2")?
            .execute(params![kind.as_str(), subject])?;
        Ok(())
    }

    /// Whether something of this kind is due about `subject`, at whatever time.
    pub fn is_due(&self, kind: DueKind, subject: &str) -> Result<bool, Error> {
        Ok(self
            .statement("SELECT 1 FROM due WHERE kind = ?1 AND subject = ?2")?
            .exists([kind.as_str(), subject])?)
    }

    /// When something of this kind is due about `subject`.
    pub fn due_at(&self, kind: DueKind, subject: &str) -> Result<Option<Timestamp>, Error> {
        let at: Option<i64> = self
            .statement("SELECT at FROM due WHERE kind = ?1 AND subject = ?2")?
            .query_row([kind.as_str(), subject], |row| row.get(0))
            .optional()?;
        Ok(at.map(time))
    }

    /// Takes everything that is due by `now` out of the table.
    pub fn take_due(&self, now: Timestamp) -> Result<Vec<Due>, Error> {
        let mut statement =
            self.statement("DELETE FROM due WHERE at <= ?1 RETURNING kind, subject, at")?;
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

    /// Whether a retry is due later than any retry is: the clock was set back since.
    pub fn is_due_too_late(&self, now: Timestamp) -> Result<bool, Error> {
        Ok(self
            .statement("SELECT 1 FROM due WHERE kind IN ('deliver', 'proof') AND at > ?1")?
            .exists([now.as_millisecond() + LATEST_MS])?)
    }

    /// Makes such retries due now.
    pub fn pull_in(&self, now: Timestamp) -> Result<(), Error> {
        self.statement("UPDATE due SET at = ?1 WHERE kind IN ('deliver', 'proof') AND at > ?2")?
            .execute([now.as_millisecond(), now.as_millisecond() + LATEST_MS])?;
        Ok(())
    }

    /// When the next thing is due in the server at `socket` (or in any server), the end of a waiting message's time among them: every
    /// server's timer may notice that.
    pub fn next_due(&self, socket: &str) -> Result<Option<Timestamp>, Error> {
        // Two values, not the least of a union: that would be a table of its own.
        let (due, expires): (Option<i64>, Option<i64>) = self
            .statement(
                "SELECT (SELECT min(at) FROM due WHERE server IS NULL OR server = ?1),
                   (SELECT min(expires_at) FROM messages WHERE status IN ('held', 'queued') AND expires_at IS NOT NULL)",
            )?
            .query_row([socket], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok([due, expires].into_iter().flatten().min().map(time))
    }

    /// What must be done about the timer of the server at `socket` now. The new generation supersedes what was armed before.
    pub fn arm(&self, socket: &str, now: Timestamp) -> Result<Arm, Error> {
        let armed: Option<(i64, i64)> = self
            .query_row(
                "SELECT at, generation FROM armed WHERE server = ?1",
                [socket],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?;
        let now = now.as_millisecond();
        let generation = armed.map_or(1, |(_, generation)| generation + 1);
        let Some(next) = self.next_due(socket)? else {
            // One that fires soon anyway is not worth a call.
            let pointless = armed.is_some_and(|(at, _)| at > now + POINTLESS_MS);
            if pointless {
                self.set_armed(socket, 0, generation)?;
                return Ok(Arm::Cancel { generation });
            }
            return Ok(Arm::Keep);
        };
        let next = if self.clock_waits(socket)? {
            time(next.as_millisecond().min(now + CLOCK_TIMER_MS))
        } else {
            next
        };
        // A timer that should have fired two seconds ago is lost.
        let early_enough =
            armed.is_some_and(|(at, _)| at >= now - 2_000 && at <= next.as_millisecond().max(now));
        if early_enough {
            return Ok(Arm::Keep);
        }
        self.set_armed(socket, next.as_millisecond(), generation)?;
        Ok(Arm::Set {
            at: next,
            generation,
        })
    }

    fn clock_waits(&self, socket: &str) -> Result<bool, Error> {
        Ok(self
            .statement("SELECT 1 FROM due WHERE kind IN ('flow', 'park') AND server = ?1")?
            .exists([socket])?)
    }

    /// When the timer of this server fires, if one is armed.
    pub fn armed_at(&self, socket: &str) -> Result<Option<Timestamp>, Error> {
        let at: Option<i64> = self
            .query_row("SELECT at FROM armed WHERE server = ?1", [socket], |row| {
                row.get(0)
            })
            .optional()?;
        Ok(at.filter(|at| *at > 0).map(time))
    }

    fn set_armed(&self, socket: &str, at: i64, generation: i64) -> Result<(), Error> {
        self.execute(
            "INSERT INTO armed (server, at, generation) VALUES (?1, ?2, ?3)
             ON CONFLICT (server) DO UPDATE SET at = excluded.at, generation = excluded.generation",
            params![socket, at, generation],
        )?;
        Ok(())
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
                assert_eq!(
                    tx.arm("/s", at(1_000))?,
                    Arm::Keep,
                    "nothing due, nothing armed"
                );
                tx.set_due(DueKind::Deliver, "a", Some("/s"), at(5_000))?;
                assert_eq!(
                    tx.arm("/s", at(1_000))?,
                    Arm::Set {
                        at: at(5_000),
                        generation: 1
                    }
                );
                assert_eq!(tx.arm("/s", at(1_000))?, Arm::Keep, "armed already");
                tx.set_due(DueKind::Deliver, "b", Some("/s"), at(9_000))?;
                assert_eq!(
                    tx.arm("/s", at(1_000))?,
                    Arm::Keep,
                    "an earlier one is armed"
                );
                tx.set_due(DueKind::Proof, "1", Some("/s"), at(3_000))?;
                assert_eq!(
                    tx.arm("/s", at(1_000))?,
                    Arm::Set {
                        at: at(3_000),
                        generation: 2
                    }
                );
                assert_eq!(tx.arm("/other", at(1_000))?, Arm::Keep, "of another server");
                assert_eq!(tx.take_due(at(5_000))?.len(), 2);
                tx.disarm("/s")?;
                assert_eq!(
                    tx.arm("/s", at(5_000))?,
                    Arm::Set {
                        at: at(9_000),
                        generation: 3
                    }
                );
                assert_eq!(
                    tx.arm("/s", at(12_000))?,
                    Arm::Set {
                        at: at(9_000),
                        generation: 4
                    },
                    "a timer that did not fire is replaced"
                );
                tx.set_due(DueKind::Handoff, "h", Some("/s"), at(90_000))?;
                tx.take_due(at(9_000))?;
                tx.disarm("/s")?;
                tx.arm("/s", at(9_000))?;
                tx.clear_due(DueKind::Handoff, "h")?;
                assert_eq!(tx.arm("/s", at(9_000))?, Arm::Cancel { generation: 6 });
                assert_eq!(tx.arm("/s", at(9_000))?, Arm::Keep, "once");
                tx.set_due(DueKind::Flow, "f", Some("/s"), at(9_000_000))?;
                assert_eq!(
                    tx.arm("/s", at(9_000))?,
                    Arm::Set {
                        at: at(69_000),
                        generation: 7
                    },
                    "a flow's timer is short"
                );
                assert_eq!(tx.arm("/s", at(30_000))?, Arm::Keep);
                assert_eq!(tx.arm("/other", at(30_000))?, Arm::Keep);
                Ok::<_, Error>(())
            })
            .unwrap();
    }
}
