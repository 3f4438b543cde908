//! How much agents write to each other: what the brakes count.

use super::db::Tx;
use super::error::Error;
use super::terminals::time;
use crate::domain::ids::TerminalId;
use jiff::Timestamp;
use rusqlite::params;

impl Tx<'_> {
    /// How many messages `a` sent to `b` since `since`.
    pub fn sent_since(
        &self,
        a: &TerminalId,
        b: &TerminalId,
        since: Timestamp,
    ) -> Result<i64, Error> {
        Ok(self
            .prepare_cached(
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
            .prepare_cached(
                "SELECT coalesce(sum(octet_length(m.body)), 0) FROM terminals t JOIN messages m ON m.receiver = t.id
                 WHERE t.session = ?1 AND t.status <> 'exited' AND m.status IN ('held', 'queued', 'claimed', 'placed') AND m.final = 0",
            )?
            .query_row([session], |row| row.get(0))?)
    }

    /// How many messages agents of this session sent since `since`.
    pub fn session_sent_since(&self, session: &str, since: Timestamp) -> Result<i64, Error> {
        Ok(self
            .prepare_cached(
                "SELECT count(*) FROM messages m JOIN terminals t ON t.id = m.sender WHERE m.queued_at >= ?2 AND t.session = ?1",
            )?
            .query_row(params![session, since.as_millisecond()], |row| row.get(0))?)
    }
}
