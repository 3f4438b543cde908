//! How much agents write to each other: what the brakes count.

use super::db::Tx;
use super::error::Error;
use super::terminals::time;
use crate::domain::ids::TerminalId;
use jiff::Timestamp;
use rusqlite::{OptionalExtension, params};

impl Tx<'_> {
    /// How many messages `a` sent to `b` since `since`.
    pub fn sent_since(
        &self,
        a: &TerminalId,
        b: &TerminalId,
        since: Timestamp,
    ) -> Result<i64, Error> {
        Ok(self
            .statement(
                "SELECT count(*) FROM messages WHERE sender = ?1 AND receiver = ?2 AND queued_at >= ?3",
            )?
            .query_row(
                params![a.as_str(), b.as_str(), since.as_millisecond()],
                |row| row.get(0),
            )?)
    }

    /// When somebody who is not an agent last wrote to `receiver`, since `since`.
    pub fn last_outside_word(
        &self,
        receiver: &TerminalId,
        since: Timestamp,
    ) -> Result<Option<Timestamp>, Error> {
        // The plus keeps SQLite from reading all that this receiver ever got.
        let at: Option<i64> = self.query_row(
            "SELECT max(queued_at) FROM messages WHERE +receiver = ?1 AND queued_at >= ?2
               AND (sender IN ('human', 'unverified') OR sender LIKE 'flow:%')",
            params![receiver.as_str(), since.as_millisecond()],
            |row| row.get(0),
        )?;
        Ok(at.map(time))
    }

    /// How many bytes of messages wait in a session.
    pub fn waiting_bytes(&self, session: &str) -> Result<i64, Error> {
        // octet_length reads no text; each terminal's open messages have their index.
        Ok(self
            .statement(
                "SELECT coalesce(sum(octet_length(m.body)), 0) FROM terminals t JOIN messages m ON m.receiver = t.id
                 WHERE t.session = ?1 AND t.status <> 'exited' AND (m.status = 'held' OR m.status = 'queued' OR m.status = 'claimed' OR m.status = 'placed') AND m.final = 0",
            )?
            .query_row([session], |row| row.get(0))?)
    }

    /// How many messages agents of this session sent since `since`.
    pub fn session_sent_since(&self, session: &str, since: Timestamp) -> Result<i64, Error> {
        Ok(self
            .statement(
                "SELECT count(*) FROM messages m JOIN terminals t ON t.id = m.sender WHERE m.queued_at >= ?2 AND t.session = ?1",
            )?
            .query_row(params![session, since.as_millisecond()], |row| row.get(0))?)
    }

    /// The latest message that an agent has taken: the cause of what it sends now. Numbers are in the order of delivery. Of one whose events
    /// prove nothing, what is on its way may be taken already.
    pub fn latest_cause(&self, receiver: &TerminalId) -> Result<Option<(String, i64)>, Error> {
        Ok(self
            .query_row(
                "SELECT trace, hops FROM messages WHERE receiver = ?1 AND (status = 'submitted' OR (status IN ('claimed', 'placed')
                   AND EXISTS (SELECT 1 FROM terminals WHERE id = ?1 AND (hooked = 0 OR adopted = 1))))
                 ORDER BY seq DESC LIMIT 1",
                [receiver.as_str()],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?)
    }
}
