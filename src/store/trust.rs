//! What people have accepted of projects: hashes of files.

use super::db::Tx;
use super::error::Error;
use jiff::Timestamp;
use rusqlite::params;

impl Tx<'_> {
    /// Accepts exactly these files of `project` (path below it, SHA-256), and nothing else of it.
    pub fn trust_project(
        &self,
        project: &str,
        files: &[(String, String)],
        at: Timestamp,
    ) -> Result<(), Error> {
        self.untrust_project(project)?;
        for (file, sha256) in files {
            self.execute(
                "INSERT INTO trust (project, file, sha256, at) VALUES (?1, ?2, ?3, ?4)",
                params![project, file, sha256, at.as_millisecond()],
            )?;
        }
        Ok(())
    }

    /// Withdraws what was accepted of `project`; says how many files that were.
    pub fn untrust_project(&self, project: &str) -> Result<usize, Error> {
        Ok(self.execute("DELETE FROM trust WHERE project = ?1", [project])?)
    }

    /// Every accepted hash, whatever project it is of.
    pub fn trusted_hashes(&self) -> Result<Vec<(String, String, String)>, Error> {
        let mut statement = self.statement("SELECT project, file, sha256 FROM trust")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
