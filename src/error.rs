//! The one error type of the front doors, and the one table of exit codes.
//!
//! Adapters have their own error enums; each converts into a [`Failure`], which carries what a person needs:
//! what failed, on what, why, and what to do next.

use std::fmt;

/// What kind of failure happened; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Something did not work (exit 1).
    Failed,
    /// The call was wrong (exit 2).
    Usage,
    /// What was named does not exist (exit 3).
    NotFound,
    /// Refused by policy, gate, or the state of the thing (exit 4).
    Refused,
    /// Time ran out (exit 5).
    TimedOut,
    /// tmux is missing, too old, or its server does not answer (exit 6).
    TmuxUnavailable,
    /// The state directory or database cannot be used (exit 7).
    StateUnusable,
}

impl Kind {
    /// The process exit code of this kind.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Refused => 4,
            Self::TimedOut => 5,
            Self::TmuxUnavailable => 6,
            Self::StateUnusable => 7,
        }
    }

    /// The stable word for this kind in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::NotFound => "not_found",
            Self::Refused => "refused",
            Self::TimedOut => "timed_out",
            Self::TmuxUnavailable => "tmux_unavailable",
            Self::StateUnusable => "state_unusable",
        }
    }
}

/// A failure as a person or script is told about it: one line and hints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    kind: Kind,
    message: String,
    hints: Vec<String>,
}

/// The result of everything that can fail at a front door.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// A failure of `kind`; `message` is one line in lower case: what failed, on what, why.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hints: Vec::new(),
        }
    }

    /// Something did not work.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, message)
    }

    /// The call was wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// What was named does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message)
    }

    /// Refused by policy, gate, or state.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(Kind::Refused, message)
    }

    /// The state directory or database cannot be used.
    pub fn state(message: impl Into<String>) -> Self {
        Self::new(Kind::StateUnusable, message)
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds what to do about the disk, where it is the disk that refused with `error`.
    #[must_use]
    pub fn disk(self, error: &std::io::Error) -> Self {
        use std::io::ErrorKind::{
            NotADirectory, NotFound, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem,
            StorageFull,
        };
        match error.kind() {
            StorageFull | QuotaExceeded => self.hint("free some space; nothing was stored"),
            PermissionDenied | ReadOnlyFilesystem if self.kind == Kind::StateUnusable => {
                self.hint("make the state directory writable, or set CONDUCTOR_HOME")
            }
            NotADirectory | NotFound if self.kind == Kind::StateUnusable => {
                self.hint("set CONDUCTOR_HOME to a directory that is there or can be made")
            }
            _ => self,
        }
    }

    /// Puts `context: ` in front of the message.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// The kind.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The one-line message.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The message and the first hint, where there is one line for both.
    pub fn line(&self) -> String {
        match self.hints.first() {
            Some(hint) => format!("{}: {hint}", self.message),
            None => self.message.clone(),
        }
    }

    /// What to do next, in order.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_the_public_table() {
        let table = [
            (Kind::Failed, 1),
            (Kind::Usage, 2),
            (Kind::NotFound, 3),
            (Kind::Refused, 4),
            (Kind::TimedOut, 5),
            (Kind::TmuxUnavailable, 6),
            (Kind::StateUnusable, 7),
        ];
        for (kind, code) in table {
            assert_eq!(kind.exit_code(), code, "{}", kind.as_str());
        }
    }

    #[test]
    fn a_disk_that_refuses_says_what_it_wants() {
        let hint = |kind, code| {
            let failure = Failure::new(kind, "write x");
            let failure = failure.disk(&std::io::Error::from_raw_os_error(code));
            failure.hints().join(" ")
        };
        let (full, read_only, broken, no_directory) = (28, 30, 5, 20);
        let (state, other) = (Kind::StateUnusable, Kind::Failed);
        let (space, writable) = ("free some space", "make the state directory writable");
        assert!(hint(state, full).starts_with(space));
        assert!(hint(other, full).starts_with(space));
        assert!(hint(state, read_only).starts_with(writable));
        assert_eq!(hint(other, read_only), "");
        assert!(hint(state, no_directory).starts_with("set CONDUCTOR_HOME"));
        assert_eq!(hint(other, no_directory), "");
        assert_eq!(hint(state, broken), "");
    }

    #[test]
    fn context_goes_in_front() {
        let failure = Failure::failed("no such file").context("read profile dev");
        assert_eq!(failure.to_string(), "read profile dev: no such file");
        assert_eq!(failure.line(), failure.message());
        assert_eq!(
            failure.hint("make one").line(),
            "read profile dev: no such file: make one"
        );
    }
}
