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
    include_str!("migrations/0010_open.sql"),
    include_str!("migrations/0011_fewer_indexes.sql"),
];

/// Stands in a migration for the mark of the running boot.
const BOOT: &str = "{boot}";

/// Newest schema of this program.
pub(super) fn known() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// Schema of the open database; an error when it is newer than ours, or another program's.
pub(super) fn check(connection: &Connection) -> Result<i64, Error> {
    let version = || connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0));
    let mut found = version()?;
    if found == 0 {
        let tables = "SELECT EXISTS (SELECT 1 FROM sqlite_schema)";
        let tables: bool = connection.query_row(tables, [], |row| row.get(0))?;
        // Ours has its tables and its number from one transaction, perhaps just now: the number is read last.
        found = version()?;
        if tables && found == 0 {
            return Err(Error::Foreign(connection.path().unwrap_or_default().into()));
        }
    }
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
    use super::super::db::Store;
    use super::*;
    use crate::error::{Failure, Kind};
    use crate::paths::Home;

    /// As that of the older agent-conductor, which lies in the same place.
    #[test]
    fn a_database_of_another_program_is_refused_and_untouched() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path().join("state")).unwrap();
        crate::fsx::create_private_dir(&home.db_dir()).unwrap();
        let path = home.db();
        let other = Connection::open_in_memory().unwrap();
        other
            .execute_batch("CREATE TABLE terminals (id VARCHAR PRIMARY KEY); INSERT INTO terminals VALUES ('a1b2c3d4')")
            .unwrap();
        other.execute("VACUUM INTO ?1", [path.to_str()]).unwrap();
        let before = std::fs::read(&path).unwrap();
        let Err(Error::Foreign(named)) = Store::open_or_create(&home) else {
            panic!("expected it to be refused")
        };
        assert_eq!(named, path);
        assert_eq!(std::fs::read(&path).unwrap(), before);
        let failure = Failure::from(Error::Foreign(named));
        assert_eq!(failure.kind(), Kind::StateUnusable);
    }

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
