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
