//! Handoffs: the answer is given exactly once, by compare-and-set.

use super::db::Tx;
use super::error::Error;
use super::terminals::time;
use crate::domain::handoff::{Given, Handoff, HandoffStatus};
use crate::domain::ids::{MessageId, TerminalId};
use crate::domain::terminal::Root;
use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

const COLUMNS: &str = "id, caller, worker, message, fingerprint, status, answer, created_at, deadline_at, answered_at, given, open, waiter_pid, waiter_start";

fn handoff(row: &Row<'_>) -> rusqlite::Result<Handoff> {
    let id = |name: &str| {
        let text: String = row.get(name)?;
        TerminalId::parse(&text).map_err(|e| {
            rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(e))
        })
    };
    let status: String = row.get("status")?;
    Ok(Handoff {
        id: row.get("id")?,
        caller: id("caller")?,
        worker: id("worker")?,
        message: MessageId(row.get("message")?),
        fingerprint: row.get("fingerprint")?,
        status: HandoffStatus::parse(&status).unwrap_or(HandoffStatus::Error),
        answer: row.get("answer")?,
        created_at: time(row.get("created_at")?),
        deadline_at: time(row.get("deadline_at")?),
        answered_at: row.get::<_, Option<i64>>("answered_at")?.map(time),
        given: row.get::<_, Option<String>>("given")?.is_some(),
        open: row.get("open")?,
        waiter: match (row.get("waiter_pid")?, row.get("waiter_start")?) {
            (Some(pid), Some(start)) => Some(Root { pid, start }),
            _ => None,
        },
    })
}

impl Tx<'_> {
    /// Stores a new handoff.
    pub fn insert_handoff(&self, h: &Handoff) -> Result<(), Error> {
        self.execute(
            "INSERT INTO handoffs (id, caller, worker, message, fingerprint, status, created_at, deadline_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                h.id,
                h.caller.as_str(),
                h.worker.as_str(),
                h.message.0,
                h.fingerprint,
                h.status.as_str(),
                h.created_at.as_millisecond(),
                h.deadline_at.as_millisecond(),
            ],
        )?;
        Ok(())
    }

    /// The worker of a reserved handoff has been started, and its task accepted; where it is `given`, its answer is owed to nobody.
    pub fn begin_handoff(&self, h: &Handoff) -> Result<bool, Error> {
        let begun = self.execute(
            "UPDATE handoffs SET worker = ?2, message = ?3, created_at = ?4, deadline_at = ?5, given = ?6
             WHERE id = ?1 AND message = 0",
            params![
                h.id,
                h.worker.as_str(),
                h.message.0,
                h.created_at.as_millisecond(),
                h.deadline_at.as_millisecond(),
                h.given.then_some(Given::Call.as_str()),
            ],
        )?;
        Ok(begun == 1)
    }

    /// The worker of a reserved handoff could not be started: the reservation is gone, and the next call begins anew.
    pub fn forget_reserved(&self, id: &str) -> Result<(), Error> {
        self.execute("DELETE FROM handoffs WHERE id = ?1 AND message = 0", [id])?;
        Ok(())
    }

    /// The handoff with this id.
    pub fn handoff(&self, id: &str) -> Result<Option<Handoff>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM handoffs WHERE id = ?1");
        Ok(self.statement(&sql)?.query_row([id], handoff).optional()?)
    }

    /// The handoff that `worker` is at, while its answer has not been given.
    pub fn handoff_of_worker(&self, worker: &TerminalId) -> Result<Option<Handoff>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM handoffs WHERE worker = ?1 AND given IS NULL");
        Ok(self
            .statement(&sql)?
            .query_row([worker.as_str()], handoff)
            .optional()?)
    }

    /// The newest handoff of `caller` with this fingerprint, whatever became of it.
    pub fn latest_handoff(
        &self,
        caller: &TerminalId,
        fingerprint: &str,
    ) -> Result<Option<Handoff>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM handoffs WHERE caller = ?1 AND fingerprint = ?2 ORDER BY created_at DESC LIMIT 1"
        );
        Ok(self
            .query_row(&sql, [caller.as_str(), fingerprint], handoff)
            .optional()?)
    }

    /// Handoffs of `caller` with this fingerprint whose answer has not been given, newest first.
    pub fn same_handoffs(
        &self,
        caller: &TerminalId,
        fingerprint: &str,
    ) -> Result<Vec<Handoff>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM handoffs WHERE caller = ?1 AND fingerprint = ?2 AND given IS NULL ORDER BY created_at DESC"
        );
        let mut statement = self.statement(&sql)?;
        let rows = statement.query_map([caller.as_str(), fingerprint], handoff)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// A process begins (or, with `None`, ceases) to wait for the answer in a call of its client.
    pub fn set_waiter(&self, id: &str, waiter: Option<Root>) -> Result<(), Error> {
        self.execute(
            "UPDATE handoffs SET waiter_pid = ?2, waiter_start = ?3 WHERE id = ?1",
            params![id, waiter.map(|w| w.pid), waiter.map(|w| w.start)],
        )?;
        Ok(())
    }

    /// Records what the worker answered, unless the answer has been given.
    pub fn answer_handoff(
        &self,
        id: &str,
        status: HandoffStatus,
        answer: &str,
        at: Timestamp,
    ) -> Result<bool, Error> {
        let changed = self.execute(
            "UPDATE handoffs SET status = ?2, answer = ?3, answered_at = ?4 WHERE id = ?1 AND given IS NULL",
            params![id, status.as_str(), answer, at.as_millisecond()],
        )?;
        Ok(changed == 1)
    }

    /// The worker went on working: its answer was not the last one.
    pub fn reopen_handoff(&self, id: &str) -> Result<(), Error> {
        self.execute(
            "UPDATE handoffs SET status = 'running', answer = NULL, answered_at = NULL WHERE id = ?1 AND given IS NULL AND status = 'done'",
            [id],
        )?;
        Ok(())
    }

    /// Says that an identical call may join (or no longer may).
    pub fn open_handoff(&self, id: &str, open: bool) -> Result<(), Error> {
        self.execute(
            "UPDATE handoffs SET open = ?2 WHERE id = ?1 AND given IS NULL",
            params![id, open],
        )?;
        Ok(())
    }

    /// As [`Self::answer_handoff`], unless an answer came meanwhile.
    pub fn answer_handoff_if_none(
        &self,
        id: &str,
        status: HandoffStatus,
        answer: &str,
        at: Timestamp,
    ) -> Result<bool, Error> {
        let changed = self.execute(
            "UPDATE handoffs SET status = ?2, answer = ?3, answered_at = ?4
             WHERE id = ?1 AND given IS NULL AND answered_at IS NULL",
            params![id, status.as_str(), answer, at.as_millisecond()],
        )?;
        Ok(changed == 1)
    }

    /// Handoffs whose answer is there, or whose time is up, and which nobody has got: they must be due.
    pub fn waiting_handoffs(&self, now: Timestamp) -> Result<Vec<Handoff>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM handoffs WHERE given IS NULL AND message <> 0 AND (answered_at IS NOT NULL OR deadline_at <= ?1)"
        );
        let mut statement = self.statement(&sql)?;
        let rows = statement.query_map([now.as_millisecond()], handoff)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Takes the answer: true for exactly one taker.
    pub fn give_handoff(&self, id: &str, to: Given) -> Result<bool, Error> {
        let given = self.execute(
            "UPDATE handoffs SET given = ?2 WHERE id = ?1 AND given IS NULL AND answered_at IS NOT NULL",
            params![id, to.as_str()],
        )?;
        Ok(given == 1)
    }

    /// An answer that was taken for a call could not be given: it is free again.
    pub fn ungive_handoff(&self, id: &str) -> Result<bool, Error> {
        Ok(self.execute(
            "UPDATE handoffs SET given = NULL WHERE id = ?1 AND given = 'call'",
            [id],
        )? == 1)
    }
}
