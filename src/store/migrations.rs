//! The schema, as an append-only list: an entry that was ever released is never changed.

use super::error::Error;
use rusqlite::Connection;

const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_start.sql"),
    include_str!("migrations/0002_approvals.sql"),
    include_str!("migrations/0003_providers.sql"),
    include_str!("migrations/0004_flows.sql"),
    include_str!("migrations/0005_retention.sql"),
    include_str!("migrations/0009_notes.sql"),
];

/// Newest schema of this program.
pub(super) fn known() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// Schema of the open database; an error when it is newer than ours.
pub(super) fn check(connection: &Connection) -> Result<i64, Error> {
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > known() {
        return Err(Error::Newer {
            found,
            known: known(),
        });
    }
    Ok(found)
}

/// Brings the database from schema `from` to ours, in one transaction. The caller holds the writers' lock.
pub(super) fn apply(connection: &Connection, from: i64) -> Result<(), Error> {
    let from = usize::try_from(from).unwrap_or(0);
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let done = (|| {
        for sql in MIGRATIONS.iter().skip(from) {
            connection.execute_batch(sql)?;
        }
        connection.execute_batch(&format!("PRAGMA user_version = {}; COMMIT", known()))
    })();
    if done.is_err() {
        let _ = connection.execute_batch("ROLLBACK");
    }
    done.map_err(Error::from)
}
