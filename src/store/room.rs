//! Whether there is a state that can be used, and room to write into it.

use super::db::{Budget, Durability, Store};
use super::error::Error;
use super::lock::WriterLock;
use crate::fsx;
use crate::paths::Home;
use std::io;

/// What has to fit on the disk for a usual transaction, in bytes.
const ROOM: usize = 64 * 1024;

/// Whether there is a database. What may not be looked at is an error, not nothing: a caller would take it for a machine without agents. So
/// is a link: it leads to a file that somebody chose.
pub(super) fn is_there(home: &Home) -> Result<bool, Error> {
    let db = home.db();
    let refused = |error| Error::io(format!("look at {}", db.display()))(error);
    match std::fs::symlink_metadata(&db) {
        Ok(found) if found.is_symlink() => Err(refused(io::Error::other("it is a symbolic link"))),
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(refused(error)),
    }
}

impl Store {
    /// What a commit that failed is to be called. Where the disk failed after the last byte was written, the log holds a whole transaction,
    /// which the next process would take for a stored one: another one is written over it.
    pub(super) fn undo(&mut self, error: rusqlite::Error) -> Error {
        if error.sqlite_error_code() != Some(rusqlite::ErrorCode::SystemIoFailure) {
            return error.into();
        }
        // Another value each time: what stands there already is not written.
        let over = "PRAGMA synchronous = NORMAL; INSERT OR REPLACE INTO meta VALUES ('undone', hex(randomblob(8)))";
        self.level = Some(Durability::Process);
        match self.connection.execute_batch(over) {
            Ok(()) => error.into(),
            Err(_) => Error::Unsure(error),
        }
    }

    /// Tries whether something could be stored now: takes the writers' lock, and writes a file of the size of a transaction, which is
    /// removed again.
    pub fn try_writing(&self) -> Result<(), Error> {
        let _lock = WriterLock::acquire(self.home(), Budget::Call.duration())?;
        let probe = self.home().db_dir().join("room");
        fsx::write_atomic(&probe, &vec![0; ROOM])
            .and_then(|()| std::fs::remove_file(&probe))
            .map_err(Error::io(format!("write {}", probe.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_tried_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path().join("state")).unwrap();
        assert!(!is_there(&home).unwrap());
        let store = Store::open_or_create(&home).unwrap();
        assert!(is_there(&home).unwrap());
        let count = || std::fs::read_dir(home.db_dir()).unwrap().count();
        let before = count();
        store.try_writing().unwrap();
        assert_eq!(count(), before);
    }

    #[test]
    fn what_cannot_be_looked_at_is_not_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fsx::write_atomic(&file, b"").unwrap();
        let home = Home::at(file).unwrap();
        assert!(matches!(is_there(&home), Err(Error::Io { .. })));
        assert!(matches!(Store::open(&home), Err(Error::Io { .. })));
    }
}
