//! Small values: what is shown, and what tmux options were before ours.

use super::db::Tx;
use super::error::Error;
use crate::domain::ids::TerminalId;
use jiff::Timestamp;
use rusqlite::OptionalExtension;
use std::collections::HashMap;

/// What stands in front of a terminal's id in the key of what a person has seen of it; the keys are in `SEEN..SEEN_END`.
const SEEN: &str = "seen:";
const SEEN_END: &str = "seen;";

impl Tx<'_> {
    /// Remembers the value that a tmux option of this server had before ours; the first one stays.
    pub fn remember(&self, server: &str, name: &str, value: &str) -> Result<(), Error> {
        self.execute(
            "INSERT OR IGNORE INTO remembered (server, name, value) VALUES (?1, ?2, ?3)",
            [server, name, value],
        )?;
        Ok(())
    }

    /// What was remembered of this server.
    pub fn remembered(&self, server: &str) -> Result<Vec<(String, String)>, Error> {
        let mut statement =
            self.statement("SELECT name, value FROM remembered WHERE server = ?1 ORDER BY name")?;
        let rows = statement.query_map([server], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Forgets what was remembered of this server.
    pub fn forget_remembered(&self, server: &str) -> Result<(), Error> {
        self.execute("DELETE FROM remembered WHERE server = ?1", [server])?;
        Ok(())
    }

    /// A small value by its key.
    pub fn meta(&self, key: &str) -> Result<Option<String>, Error> {
        Ok(self
            .statement("SELECT value FROM meta WHERE key = ?1")?
            .query_row([key], |row| row.get(0))
            .optional()?)
    }

    /// Stores a small value.
    pub fn set_meta(&self, key: &str, value: &str) -> Result<(), Error> {
        self.execute(
            "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            [key, value],
        )?;
        Ok(())
    }

    /// A person has seen the state that this terminal has had since `since`.
    pub fn see_terminal(&self, id: &TerminalId, since: Timestamp) -> Result<(), Error> {
        self.set_meta(&format!("{SEEN}{id}"), &since.as_millisecond().to_string())
    }

    /// Since when terminals had the state that a person has seen last, in milliseconds, by their ids.
    pub fn seen_terminals(&self) -> Result<HashMap<String, i64>, Error> {
        let mut statement = self.statement(
            "SELECT substr(key, 6), CAST(value AS INTEGER) FROM meta WHERE key >= ?1 AND key < ?2",
        )?;
        let rows = statement.query_map([SEEN, SEEN_END], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Forgets what was seen of terminals that are no more.
    pub(super) fn forget_seen(&self) -> Result<(), Error> {
        self.execute(
            "DELETE FROM meta WHERE key >= ?1 AND key < ?2 AND substr(key, 6) NOT IN (SELECT id FROM terminals)",
            [SEEN, SEEN_END],
        )?;
        Ok(())
    }
}
