//! The schema, as an append-only list: an entry that was ever released is never changed.

use super::error::Error;
use crate::proc;
use rusqlite::Connection;

const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_start.sql"),
    include_str!("migrations/0002_approvals.sql"),
    include_str!("migrations/0003_providers.sql"),
    include_str!("migrations/0004_flows.sql"),
    include_str!("migrations/0005_retention.sql"),
    include_str!("migrations/0006_worktrees.sql"),
    include_str!("migrations/0007_flow_runs.sql"),
    include_str!("migrations/0008_recovery.sql"),
    include_str!("migrations/0009_notes.sql"),
];

/// Stands in a migration for the mark of the running boot.
const BOOT: &str = "{boot}";

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
            connection.execute_batch(&sql.replace(BOOT, &proc::boot().to_string()))?;
        }
        connection.execute_batch(&format!("PRAGMA user_version = {}; COMMIT", known()))
    })();
    if done.is_err() {
        let _ = connection.execute_batch("ROLLBACK");
    }
    done.map_err(Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lived_before_starts_had_the_mark_of_their_boot_lives_on() {
        let connection = Connection::open_in_memory().unwrap();
        for sql in &MIGRATIONS[..4] {
            connection.execute_batch(sql).unwrap();
        }
        let row = "INSERT INTO terminals (id, session, window, provider, profile, role, status, status_reason, status_source, status_since,
             cwd, created_at, root_pid, root_start, last_event_at)
           VALUES (?1, 's', 'w', 'demo', 'p', 'worker', ?2, '', 'event', 0, '/', 0, 7, 5, ?3)";
        let heard: Option<i64> = None;
        connection.execute(row, ("a", "idle", Some(1))).unwrap();
        connection.execute(row, ("b", "exited", Some(1))).unwrap();
        connection.execute(row, ("c", "idle", heard)).unwrap();
        apply(&connection, 4).unwrap();
        let found = |id: &str| -> (i64, bool) {
            let sql = "SELECT root_start, begun FROM terminals WHERE id = ?1";
            let both = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
            connection.query_row(sql, [id], both).unwrap()
        };
        assert_eq!(found("a"), (proc::boot() + 5, true));
        assert_eq!(found("b"), (5, true), "it ran in some boot");
        assert_eq!(found("c"), (proc::boot() + 5, false));
        assert_eq!(check(&connection).unwrap(), known());
    }
}
