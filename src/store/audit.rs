//! The audit chain, appended in the same transaction as what it records.

use super::db::Tx;
use super::error::Error;
use crate::domain::audit::{Entry, FIRST};
use jiff::Timestamp;
use rusqlite::{OptionalExtension, params};

impl Tx<'_> {
    /// Appends an entry behind the newest one.
    pub fn audit(
        &self,
        at: Timestamp,
        action: &str,
        subject: &str,
        actor: &str,
        via: &str,
        detail: serde_json::Value,
    ) -> Result<(), Error> {
        let last: Option<(i64, String)> = self
            .query_row(
                "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?;
        let (seq, prev) = last.map_or((1, FIRST.to_owned()), |(seq, hash)| (seq + 1, hash));
        let entry = Entry {
            seq,
            at: at.to_string(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            actor: actor.to_owned(),
            via: via.to_owned(),
            detail,
            prev,
        };
        self.execute(
            "INSERT INTO audit (seq, at, action, subject, actor, via, detail, prev, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                seq,
                entry.at,
                entry.action,
                entry.subject,
                entry.actor,
                entry.via,
                entry.detail.to_string(),
                entry.prev,
                entry.hash()
            ],
        )?;
        Ok(())
    }
}
