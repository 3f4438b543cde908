//! Worktrees of terminals: what their rows remember.

use super::db::Tx;
use super::error::Error;
use super::terminals::{COLUMNS, Cells, terminal};
use crate::domain::ids::TerminalId;
use crate::domain::terminal::Terminal;
use crate::domain::worktree::Worktree;
use rusqlite::params;
use std::path::{Path, PathBuf};

/// The worktree in a row; the columns are read in their order.
pub(super) fn worktree(cells: &mut Cells<'_>) -> rusqlite::Result<Option<Worktree>> {
    let path: Option<String> = cells.take()?;
    let branch = cells.take()?;
    let base: Option<String> = cells.take()?;
    let repository: Option<String> = cells.take()?;
    let kept = cells.take()?;
    Ok(repository.map(|repository| Worktree {
        repository: PathBuf::from(repository),
        path: path.map(PathBuf::from),
        branch,
        base: base.unwrap_or_default(),
        kept,
    }))
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

impl Tx<'_> {
    /// Notes what there is of a terminal's worktree now.
    pub fn note_worktree(&self, id: &TerminalId, worktree: &Worktree) -> Result<(), Error> {
        self.execute(
            "UPDATE terminals SET worktree = ?2, branch = ?3, worktree_base = ?4, repository = ?5, worktree_kept = ?6 WHERE id = ?1",
            params![
                id.as_str(),
                worktree.path.as_deref().map(text),
                worktree.branch,
                worktree.base,
                text(&worktree.repository),
                worktree.kept,
            ],
        )?;
        Ok(())
    }

    /// Notes the directory that a terminal works in.
    pub fn note_cwd(&self, id: &TerminalId, cwd: &Path) -> Result<(), Error> {
        self.execute(
            "UPDATE terminals SET cwd = ?2 WHERE id = ?1",
            params![id.as_str(), text(cwd)],
        )?;
        Ok(())
    }

    /// Terminals of whose worktree something is left, living or not, oldest first.
    pub fn worktree_terminals(&self) -> Result<Vec<Terminal>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM terminals WHERE worktree IS NOT NULL OR branch IS NOT NULL ORDER BY created_at, id"
        );
        let mut statement = self.statement(&sql)?;
        let rows = statement.query_map([], terminal)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The repositories in which terminals have had worktrees.
    pub fn repositories(&self) -> Result<Vec<PathBuf>, Error> {
        let mut statement = self.statement(
            "SELECT DISTINCT repository FROM terminals WHERE repository IS NOT NULL ORDER BY repository",
        )?;
        let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
        rows.map(|row| Ok(PathBuf::from(row?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::db::{Budget, Durability, Store};
    use super::*;
    use crate::paths::Home;

    #[test]
    fn a_row_remembers_its_worktree() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open_or_create(&Home::at(dir.path().join("s")).unwrap()).unwrap();
        let id = TerminalId::from_bytes([1, 2, 3, 4]);
        let planned = Worktree::planned("/r".into(), &id, "abc".into());
        let left = Worktree {
            path: None,
            kept: Some("because".into()),
            ..planned.clone()
        };
        let gone = Worktree {
            branch: None,
            kept: None,
            ..left.clone()
        };
        store
            .write(Durability::Process, Budget::Call, |tx| {
                let row = Terminal {
                    worktree: Some(planned.clone()),
                    ..Terminal::sample(id.clone())
                };
                tx.insert_terminal(&row)?;
                tx.insert_terminal(&Terminal::sample(TerminalId::from_bytes([9; 4])))?;
                assert_eq!(tx.terminal(&id)?, Some(row));
                for now in [&left, &gone] {
                    tx.note_worktree(&id, now)?;
                    let found = tx.terminal(&id)?.and_then(|t| t.worktree);
                    assert_eq!(found.as_ref(), Some(now));
                    assert_eq!(tx.worktree_terminals()?.len(), usize::from(now.is_there()));
                }
                tx.note_cwd(&id, Path::new("/r/x"))?;
                assert_eq!(tx.repositories()?, [PathBuf::from("/r")]);
                Ok::<_, Error>(())
            })
            .unwrap();
    }
}
