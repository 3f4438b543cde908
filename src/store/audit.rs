//! The audit chain, appended in the same transaction as what it records.

use super::db::Tx;
use super::error::Error;
use crate::domain::audit::{Entry, Event, Exported, Head, Stored};
use jiff::Timestamp;
use rusqlite::{Row, params};
use serde_json::Value;

/// Under which name the end of the chain is anchored: `SEQ HASH`.
const HEAD: &str = "audit_head";

/// Under which name it is recorded what the file holds: `SEQ BYTES`.
const EXPORTED: &str = "audit_exported";

/// Which entries are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Only those whose action begins so.
    pub action: Option<String>,
    /// Only those of this subject.
    pub subject: Option<String>,
    /// Only the newest so many.
    pub limit: Option<u32>,
}

impl Tx<'_> {
    /// Appends an entry behind the newest one. After the commit it is written into the log file too. What is secret in `detail` has been
    /// taken out by the caller ([`crate::domain::redact::excerpt`]).
    pub fn audit(
        &self,
        at: Timestamp,
        action: &str,
        subject: &str,
        actor: &str,
        via: &str,
        detail: Value,
    ) -> Result<(), Error> {
        let event = Event {
            action,
            subject,
            actor,
            via,
            detail,
        };
        let row = Stored::new(Entry::after(self.newest_audit()?.as_ref(), at, event));
        let entry = &row.entry;
        self.statement(
            "INSERT INTO audit (seq, at, action, subject, actor, via, detail, prev, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            entry.seq,
            entry.at,
            entry.action,
            entry.subject,
            entry.actor,
            entry.via,
            entry.detail,
            entry.prev,
            row.hash
        ])?;
        self.set_meta(HEAD, &format!("{} {}", entry.seq, row.hash))?;
        self.audited.borrow_mut().push(row);
        Ok(())
    }

    /// Number and hash of the newest row of the table.
    fn newest_audit(&self) -> Result<Option<Head>, Error> {
        let mut statement =
            self.statement("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")?;
        let mut rows = statement.query_map([], |row| {
            Ok(Head {
                seq: row.get(0)?,
                hash: row.get(1)?,
            })
        })?;
        Ok(rows.next().transpose()?)
    }

    /// The anchored end of the chain.
    pub fn audit_head(&self) -> Result<Option<Head>, Error> {
        Ok(self.meta(HEAD)?.and_then(|text| {
            let (seq, hash) = text.split_once(' ')?;
            Some(Head {
                seq: seq.parse().ok()?,
                hash: hash.to_owned(),
            })
        }))
    }

    /// What the log file holds; `None` when nothing was ever written into it.
    pub fn audit_exported(&self) -> Result<Option<Exported>, Error> {
        Ok(self.meta(EXPORTED)?.and_then(|text| {
            let (seq, bytes) = text.split_once(' ')?;
            Some(Exported {
                seq: seq.parse().ok()?,
                bytes: bytes.parse().ok()?,
            })
        }))
    }

    /// Records what the log file holds.
    pub(super) fn set_audit_exported(&self, exported: Exported) -> Result<(), Error> {
        self.set_meta(EXPORTED, &format!("{} {}", exported.seq, exported.bytes))
    }

    /// Up to `limit` entries behind `seq`, in order.
    pub fn audit_after(&self, seq: i64, limit: u32) -> Result<Vec<Stored>, Error> {
        let mut statement = self.statement(
            "SELECT seq, at, action, subject, actor, via, detail, prev, hash FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2",
        )?;
        let rows = statement.query_map(params![seq, limit], stored)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Every row of the table in order, whatever it holds.
    pub(super) fn audit_rows(&self, mut each: impl FnMut(&Stored)) -> Result<(), Error> {
        let mut statement = self.prepare(
            "SELECT seq, at, action, subject, actor, via, detail, prev, hash FROM audit ORDER BY seq",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            each(&stored(row)?);
        }
        Ok(())
    }

    /// The newest entries that `filter` lets through, the oldest of them first.
    pub fn audit_entries(&self, filter: &AuditFilter) -> Result<Vec<Stored>, Error> {
        let mut statement = self.statement(
            "SELECT seq, at, action, subject, actor, via, detail, prev, hash FROM audit
             WHERE (?1 IS NULL OR substr(action, 1, length(?1)) = ?1) AND (?2 IS NULL OR subject = ?2)
             ORDER BY seq DESC LIMIT ?3",
        )?;
        let limit = filter.limit.map_or(-1, i64::from);
        let rows = statement.query_map(params![filter.action, filter.subject, limit], stored)?;
        let mut found: Vec<Stored> = rows.collect::<Result<_, _>>()?;
        found.reverse();
        Ok(found)
    }
}

/// A row as it is. A column that somebody gave another type, or what is no text, is read as what no entry holds: it is found to be
/// changed.
fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    let text = |at: usize| -> rusqlite::Result<String> {
        use rusqlite::types::ValueRef;
        let text = match row.get_ref(at)? {
            ValueRef::Text(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        };
        Ok(text.unwrap_or("\0").to_owned())
    };
    Ok(Stored {
        entry: Entry {
            seq: row.get(0)?,
            at: text(1)?,
            action: text(2)?,
            subject: text(3)?,
            actor: text(4)?,
            via: text(5)?,
            detail: text(6)?,
            prev: text(7)?,
        },
        hash: text(8)?,
    })
}
