//! What is old enough to go: settled rows, and the room in the file that they leave.

use super::db::{Budget, Durability, Store, Tx};
use super::error::Error;
use super::lock::WriterLock;
use super::terminals::time;
use crate::domain::ids::TerminalId;
use crate::progress;
use jiff::Timestamp;
use rusqlite::{Row, params};

/// Rows that are removed when they are old. Nothing that waits, runs or was not read is among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stale {
    /// Approvals that were decided or are over, and what was granted to agents that have ended. The audit log keeps the decisions.
    Approvals,
    /// Handoffs whose answer was given, or for whom nobody is left.
    Handoffs,
    /// Runs of flows that are over, but for the last one of each flow.
    Runs,
    /// Messages that are settled.
    Messages,
    /// Notes that were answered or withdrawn, or were read and ask nothing.
    Notes,
    /// Ended terminals of which only the last answer is kept.
    Tombstones,
}

impl Stale {
    /// In the order in which they can be removed: what refers to a message goes before it.
    pub const ALL: [Self; 6] = [
        Self::Approvals,
        Self::Handoffs,
        Self::Runs,
        Self::Messages,
        Self::Notes,
        Self::Tombstones,
    ];

    const fn table(self) -> &'static str {
        match self {
            Self::Approvals => "approvals",
            Self::Handoffs => "handoffs",
            Self::Runs => "runs",
            Self::Messages => "messages",
            Self::Notes => "notes",
            Self::Tombstones => "terminals",
        }
    }

    /// Which rows, of those before `?1` (Unix time in milliseconds).
    const fn condition(self) -> &'static str {
        match self {
            Self::Approvals => {
                "requested_at < ?1 AND (status IN ('consumed', 'denied', 'expired', 'withdrawn')
                   OR status = 'approved' AND terminal NOT IN (SELECT id FROM terminals WHERE status <> 'exited' OR lost IS NOT NULL))
                 AND id NOT IN (SELECT approval FROM grants)"
            }
            Self::Handoffs => {
                "created_at < ?1 AND (given IS NOT NULL
                   OR NOT EXISTS (SELECT 1 FROM terminals t WHERE t.id IN (caller, worker) AND (t.status <> 'exited' OR t.lost IS NOT NULL)))"
            }
            Self::Runs => {
                "due_at < ?1 AND outcome <> 'running' AND closing = 0 AND id NOT IN (SELECT max(id) FROM runs GROUP BY flow)
                 AND (terminal IS NULL OR terminal NOT IN (SELECT id FROM terminals WHERE status <> 'exited'))"
            }
            Self::Messages => {
                "queued_at < ?1
                 AND (status IN ('submitted', 'expired', 'dead', 'cancelled') OR status = 'placed' AND final = 1)
                 AND id NOT IN (SELECT message FROM handoffs WHERE given IS NULL)
                 AND id NOT IN (SELECT message FROM runs WHERE outcome = 'running' AND message IS NOT NULL)
                 AND id NOT IN (SELECT message FROM approvals WHERE message IS NOT NULL)"
            }
            // An answer that is still on its way has a living agent that it is for.
            Self::Notes => {
                "written_at < ?1
                 AND (status = 'withdrawn' OR status = 'seen' AND question = 0
                   OR status = 'answered' AND (given IS NOT NULL
                     OR terminal NOT IN (SELECT id FROM terminals WHERE status <> 'exited' OR lost IS NOT NULL)))"
            }
            Self::Tombstones => {
                "status = 'exited' AND cleaned_at IS NOT NULL AND ended_at < ?1
                 AND lost IS NULL AND worktree IS NULL AND branch IS NULL
                 AND id NOT IN (SELECT receiver FROM messages WHERE (status = 'held' OR status = 'queued' OR status = 'claimed' OR status = 'placed') AND final = 0)"
            }
        }
    }
}

/// An ended terminal that is old, and what may still need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldTerminal {
    /// The terminal.
    pub id: TerminalId,
    /// When it ended.
    pub ended_at: Timestamp,
    /// Messages that wait for it.
    pub waiting: u64,
    /// Whether somebody who lives still waits for its answer.
    pub unanswered: bool,
    /// Whether its server died under it, and it waits to be resumed or given up.
    pub lost: bool,
}

/// The room in the database file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// The file's size, in bytes.
    pub size: u64,
    /// How much of it is free, in bytes.
    pub free: u64,
}

/// How many pages are given back in one step under the lock: with pages of 4 KiB, one step writes 256 KiB at the most.
const STEP: u32 = 64;

/// Free room that is not worth a step, in bytes.
const SPARE: u64 = 256 * 1024;

fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column)
        .map(|count| u64::try_from(count).unwrap_or(0))
}

impl Tx<'_> {
    /// How many rows of a kind are older than `before`.
    pub fn stale(&self, kind: Stale, before: Timestamp) -> Result<u64, Error> {
        let sql = format!(
            "SELECT count(*) FROM {} WHERE {}",
            kind.table(),
            kind.condition()
        );
        Ok(self.query_row(&sql, [before.as_millisecond()], |row| count(row, 0))?)
    }

    /// Removes at most `most` rows of a kind that are older than `before`; says how many.
    pub fn remove_stale(&self, kind: Stale, before: Timestamp, most: u32) -> Result<u64, Error> {
        if kind == Stale::Approvals {
            self.execute(
                "DELETE FROM grants WHERE at < ?1
                   AND terminal NOT IN (SELECT id FROM terminals WHERE status <> 'exited' OR lost IS NOT NULL)",
                [before.as_millisecond()],
            )?;
        }
        let (table, condition) = (kind.table(), kind.condition());
        let sql = format!(
            "DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE {condition} LIMIT ?2)"
        );
        let removed = self.execute(&sql, params![before.as_millisecond(), most])?;
        if kind == Stale::Tombstones {
            self.forget_seen()?;
        }
        Ok(removed as u64)
    }

    /// The terminals that ended before `before` and are kept whole, oldest first.
    pub fn old_terminals(&self, before: Timestamp) -> Result<Vec<OldTerminal>, Error> {
        let mut statement = self.statement(
            "SELECT id, ended_at,
               (SELECT count(*) FROM messages m WHERE m.receiver = t.id AND (m.status = 'held' OR m.status = 'queued' OR m.status = 'claimed' OR m.status = 'placed') AND m.final = 0),
               lost IS NOT NULL,
               EXISTS (SELECT 1 FROM handoffs h JOIN terminals c ON c.id = h.caller
                       WHERE h.worker = t.id AND h.given IS NULL AND (c.status <> 'exited' OR c.lost IS NOT NULL))
             FROM terminals t WHERE status = 'exited' AND cleaned_at IS NULL AND ended_at < ?1 ORDER BY ended_at",
        )?;
        let rows = statement.query_map([before.as_millisecond()], |row| {
            Ok((
                row.get::<_, String>(0)?,
                time(row.get(1)?),
                count(row, 2)?,
                row.get(3)?,
                row.get(4)?,
            ))
        })?;
        let mut old = Vec::new();
        for row in rows {
            let (id, ended_at, waiting, lost, unanswered) = row?;
            if let Ok(id) = TerminalId::parse(&id) {
                old.push(OldTerminal {
                    id,
                    ended_at,
                    waiting,
                    unanswered,
                    lost,
                });
            }
        }
        Ok(old)
    }

    /// Leaves of an ended terminal what says who it was and what it answered last; it cannot be resumed any more. `false` when it lives
    /// again, or something waits for it now.
    pub fn bury_terminal(&self, id: &TerminalId, at: Timestamp) -> Result<bool, Error> {
        let buried = self.execute(
            "UPDATE terminals SET cleaned_at = ?2, env = '[]', args = '[]', agent_session = NULL, program = NULL, begun = 1
             WHERE id = ?1 AND status = 'exited' AND cleaned_at IS NULL AND lost IS NULL
               AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.receiver = ?1
                 AND (m.status = 'held' OR m.status = 'queued' OR m.status = 'claimed' OR m.status = 'placed') AND m.final = 0)",
            params![id.as_str(), at.as_millisecond()],
        )?;
        Ok(buried == 1)
    }

    /// When each ended terminal ended, and which live (`None`).
    pub fn terminal_ends(&self) -> Result<Vec<(TerminalId, Option<Timestamp>)>, Error> {
        let mut statement = self.statement("SELECT id, ended_at FROM terminals")?;
        let rows = statement.query_map([], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, Option<i64>>(1)?))
        })?;
        let mut ends = Vec::new();
        for row in rows {
            let (id, ended_at) = row?;
            if let Ok(id) = TerminalId::parse(&id) {
                ends.push((id, ended_at.map(time)));
            }
        }
        Ok(ends)
    }

    /// Size of the database and what of it is free.
    pub fn room(&self) -> Result<Room, Error> {
        let pragma = |name: &str| -> Result<u64, Error> {
            Ok(self.query_row(&format!("PRAGMA {name}"), [], |row| count(row, 0))?)
        };
        let page = pragma("page_size")?;
        Ok(Room {
            size: page * pragma("page_count")?,
            free: page * pragma("freelist_count")?,
        })
    }
}

impl Store {
    /// Gives free room in the database file back to the disk, in small steps so that nobody waits for long; says how many bytes. What was
    /// committed is in the database file afterwards, and its log is empty.
    pub fn compact(&mut self) -> Result<u64, Error> {
        let before = self.read(|tx| tx.room())?;
        let mut free = before.free;
        while free > SPARE {
            progress::at(|| format!("{} MiB of the database are to be given back", free >> 20));
            let left = self.write(Durability::Process, Budget::Call, |tx| {
                // Each row of this pragma is one page.
                let mut statement = tx.prepare(&format!("PRAGMA incremental_vacuum({STEP})"))?;
                let mut rows = statement.query([])?;
                while rows.next()?.is_some() {}
                Ok::<_, Error>(tx.room()?.free)
            })?;
            // A database that was made without this keeps its room for what comes.
            if left >= free {
                break;
            }
            free = left;
        }
        let _lock = WriterLock::acquire(self.home(), Budget::Call.duration())?;
        self.checkpoint()?;
        Ok(before.free.saturating_sub(free))
    }
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
