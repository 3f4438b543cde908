//! What can go wrong with tmux, and what a person is told about it.

use crate::domain::ids::Name;
use crate::error::{Failure, Kind};

/// An error of this room.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no tmux program.
    #[error("tmux is not installed (no tmux along PATH)")]
    Missing,
    /// No server listens at the socket.
    #[error("no tmux server at {0}")]
    NoServer(String),
    /// No socket can have this path.
    #[error("the tmux socket's path is too long: {0}")]
    LongSocket(String),
    /// Whoever listens at the socket is another user: what it says could be anything.
    #[error("the tmux server at {socket} belongs to another user (uid {uid})")]
    Foreign {
        /// The socket.
        socket: String,
        /// Who listens there.
        uid: u32,
    },
    /// The first program of that name along `PATH` is no tmux.
    #[error("{program} is no tmux: {why}")]
    NotTmux {
        /// The program.
        program: String,
        /// What it did when it was asked for its version.
        why: String,
    },
    /// The server is older than what we need.
    #[error(
        "tmux {found} is too old: {} is the oldest that works",
        super::server::Version::FLOOR
    )]
    TooOld {
        /// What was found.
        found: String,
    },
    /// A new session was to have the name of one that is there.
    #[error("there is a tmux session {0} already")]
    Taken(Name),
    /// tmux refused a command.
    #[error("tmux: {0}")]
    Refused(String),
    /// tmux answered something else than it was asked for.
    #[error("tmux gave an unexpected answer to {asked}: {answer:?}")]
    Unexpected {
        /// What was asked.
        asked: &'static str,
        /// What came.
        answer: String,
    },
    /// tmux could not be started, or did not end in time.
    #[error("run tmux: {0}")]
    Run(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Missing => {
                Self::new(Kind::TmuxUnavailable, text).hint("install tmux 3.2 or newer")
            }
            Error::NoServer(_) => Self::new(Kind::TmuxUnavailable, text)
                .hint("start tmux, or name its socket with -S PATH or -L NAME"),
            Error::LongSocket(_) => Self::new(Kind::TmuxUnavailable, text)
                .hint("name a socket with a path of at most 107 bytes: -S PATH, or TMUX_TMPDIR"),
            Error::Foreign { .. } => Self::new(Kind::TmuxUnavailable, text)
                .hint("name a server of your own with -S PATH or -L NAME; it decides what agents see and where their texts go"),
            Error::NotTmux { .. } => Self::new(Kind::TmuxUnavailable, text)
                .hint("put tmux 3.2 or newer before it in PATH"),
            Error::TooOld { .. } => {
                Self::new(Kind::TmuxUnavailable, text).hint("update tmux and restart its server")
            }
            Error::Taken(_) => Self::refused(text)
                .hint("choose another name, or add a worker to it with `conductor-hook worker`"),
            Error::Run(_) => Self::new(Kind::TmuxUnavailable, text),
            Error::Refused(_) | Error::Unexpected { .. } => Self::failed(text),
        }
    }
}
