//! What can go wrong with the state, and what a person is told about it.

use crate::error::{Failure, Kind};
use std::path::PathBuf;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The writers' lock was not free in time.
    #[error("the state is locked by another process")]
    Locked,
    /// The database was written by a newer version.
    #[error("the database has schema {found}, this version knows up to {known}")]
    Newer {
        /// Schema of the file.
        found: i64,
        /// Newest schema of this program.
        known: i64,
    },
    /// The file is a database of another program.
    #[error("{} is a database of another program", .0.display())]
    Foreign(PathBuf),
    /// The database was damaged and has been set aside.
    #[error("the database was damaged and is now {}", .0.display())]
    SetAside(PathBuf),
    /// There is no state yet.
    #[error("there is no state in {}", .0.display())]
    Missing(PathBuf),
    /// The disk refused.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The disk failed at the very end of a transaction, and what was written could not be taken back.
    #[error("the disk failed while it was being stored, and nobody can say whether it was: {0}")]
    Unsure(rusqlite::Error),
    /// `SQLite` refused.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

impl Error {
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// Whether the file is not a sound database.
    pub(super) fn is_corruption(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        matches!(self, Self::Sqlite(error) if matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase)))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Locked => Self::new(Kind::StateUnusable, text).hint("try again; a process of ours that hangs shows in `ps`"),
            Error::Newer { .. } => Self::state(text)
                .hint("update this program; a newer one has used this state directory, and nothing was changed"),
            Error::Foreign(path) => Self::state(text).hint(format!(
                "move it away, e.g. to {}.old; nothing was changed, and profiles beside it can stay",
                path.display()
            )),
            Error::SetAside(_) => {
                Self::state(text).hint("nothing was deleted; the next call starts with an empty database")
            }
            Error::Missing(_) => Self::not_found(text).hint("run `conductor-hook init`"),
            Error::Unsure(_) => Self::state(text).hint("see to the disk, then look before you try again"),
            Error::Io { source, .. } => Self::state(text).disk(&source),
            Error::Sqlite(error) => {
                let failure = Self::state(format!("database: {text}"));
                match error.sqlite_error_code() {
                    Some(rusqlite::ErrorCode::SystemIoFailure) => failure.hint("see to the disk; nothing was stored"),
                    Some(rusqlite::ErrorCode::DiskFull) => failure.hint("free some space; nothing was stored"),
                    Some(rusqlite::ErrorCode::ReadOnly | rusqlite::ErrorCode::CannotOpen) => {
                        failure.hint("make the state directory writable, or set CONDUCTOR_HOME")
                    }
                    Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => failure
                        .hint("`conductor-hook doctor` says what is damaged; nothing was changed"),
                    _ => failure,
                }
            }
        }
    }
}
