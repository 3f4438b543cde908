//! Prepared statements. `SQLite` allocates a kept one for good; what runs once lives in memory that the next one uses again.

use super::db::Tx;
use rusqlite::{CachedStatement, Statement};
use std::cell::RefCell;
use std::hash::{DefaultHasher, Hasher};
use std::ops::{Deref, DerefMut};

/// Texts of the statements that this process has prepared, as hashes.
pub(super) type Prepared = RefCell<Vec<u64>>;

/// A prepared statement: thrown away after its first use, kept from its second on.
pub(super) enum Prepare<'t> {
    /// Its memory is used again by the next one: most processes run a statement once.
    Once(Statement<'t>),
    /// In the connection's cache.
    Kept(CachedStatement<'t>),
}

impl<'t> Deref for Prepare<'t> {
    type Target = Statement<'t>;

    fn deref(&self) -> &Statement<'t> {
        match self {
            Self::Once(statement) => statement,
            Self::Kept(statement) => statement,
        }
    }
}

impl<'t> DerefMut for Prepare<'t> {
    fn deref_mut(&mut self) -> &mut Statement<'t> {
        match self {
            Self::Once(statement) => statement,
            Self::Kept(statement) => statement,
        }
    }
}

impl Tx<'_> {
    /// Prepares a statement, in the way that fits how often this process uses it.
    pub(super) fn statement(&self, sql: &str) -> rusqlite::Result<Prepare<'_>> {
        let mut hasher = DefaultHasher::new();
        hasher.write(sql.as_bytes());
        let hash = hasher.finish();
        let mut prepared = self.prepared.borrow_mut();
        if prepared.contains(&hash) {
            return self.inner.prepare_cached(sql).map(Prepare::Kept);
        }
        prepared.push(hash);
        self.inner.prepare(sql).map(Prepare::Once)
    }
}

#[cfg(test)]
mod tests {
    use crate::paths::Home;
    use crate::store::{Error, Store, approvals, messages};

    /// What `SQLite` says of how it runs this, in one text.
    fn said(store: &mut Store, sql: &str, column: usize) -> String {
        store
            .read(|tx| {
                let mut statement = tx.prepare(sql)?;
                let lines: Vec<String> = statement
                    .query_map([], |row| row.get(column))?
                    .collect::<Result<_, _>>()?;
                Ok::<_, Error>(lines.join("\n"))
            })
            .unwrap()
    }

    #[test]
    fn what_is_open_is_found_by_its_index_and_changed_without_a_table_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path().join("state")).unwrap();
        let mut store = Store::open_or_create(&home).unwrap();
        for (index, table, whose, open) in [
            ("messages_open", "messages", "receiver", messages::OPEN),
            ("approvals_open", "approvals", "terminal", approvals::OPEN),
        ] {
            let select = format!("SELECT id FROM {table} WHERE {whose} = 'a' AND {open}");
            let plan = said(&mut store, &format!("EXPLAIN QUERY PLAN {select}"), 3);
            assert!(plan.contains(&format!("USING INDEX {index}")), "{plan}");
            let update = format!("EXPLAIN UPDATE {table} SET status = 'a' WHERE id = 1");
            let steps = said(&mut store, &update, 1);
            assert!(steps.contains("IdxInsert"), "{steps}");
            assert!(!steps.contains("OpenEphemeral"), "{steps}");
        }
    }

    #[test]
    fn a_statement_is_kept_from_its_second_use_on() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path().join("state")).unwrap();
        let mut store = Store::open_or_create(&home).unwrap();
        let mut kept = Vec::new();
        for _ in 0..3 {
            store
                .read(|tx| {
                    kept.push(matches!(tx.statement("SELECT 1")?, super::Prepare::Kept(_)));
                    Ok::<_, Error>(())
                })
                .unwrap();
        }
        assert_eq!(kept, [false, true, true]);
    }
}
