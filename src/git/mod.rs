//! The only room that runs git: always the program itself with an argument list, never a shell.
//!
//! | room | what lives there |
//! |---|---|
//! | this file | how git is started: what of the environment it gets, what it must not run, how long it may take |
//! | [`repository`] | the repository that a directory lies in |
//! | [`worktree`] | its worktrees: made, looked at, removed |
//!
//! May import [`crate::domain`] and the ground.

pub mod repository;
pub mod worktree;

pub use repository::{Checkout, Repository};
pub use worktree::{Changes, Entry};

use crate::domain::text::one_line;
use crate::error::{Failure, Kind, Result};
use crate::paths;
use crate::proc::{self, End};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a look may take.
pub const LOOK: Duration = Duration::from_mins(1);

/// How long making or removing a worktree may take.
pub const CHANGE: Duration = Duration::from_mins(2);

/// Most that git may print where nothing else is said, in bytes.
const MOST: usize = 1024 * 1024;

/// What no repository may make git run or do here, whatever its configuration says. Filters are left: without them files would be wrong.
const SETTINGS: [&str; 7] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "submodule.recurse=false",
    "branch.autoSetupMerge=false",
    "worktree.guessRemote=false",
    "core.ignoreStat=false",
    "gc.auto=0",
];

/// The git program.
#[derive(Debug, Clone)]
pub struct Git {
    program: PathBuf,
}

/// What git said, when it ended by itself.
#[derive(Debug)]
struct Answer {
    /// Its exit code; `None` after a signal.
    code: Option<i32>,
    out: Vec<u8>,
    /// The first line of what it complained about.
    complaint: String,
    /// It had more to say than it may.
    cut: bool,
}

impl Answer {
    const fn ok(&self) -> bool {
        matches!(self.code, Some(0))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.out)
            .trim_end_matches('\n')
            .to_owned()
    }
}

impl Git {
    /// The one along `PATH`.
    pub fn find() -> Result<Self> {
        let program = paths::find_program("git", None).ok_or_else(|| {
            Failure::not_found("git was not found along PATH")
                .hint("a worktree needs git: install it")
        })?;
        Ok(Self { program })
    }

    /// Runs git in `dir`; that it failed is an answer, that it could not be run or took too long is an error.
    fn ask<S: AsRef<OsStr>>(
        &self,
        dir: &Path,
        words: &[S],
        limit: Duration,
        most: usize,
    ) -> Result<Answer> {
        let mut command = proc::command(&self.program);
        // What the caller's environment says of a repository is about another one.
        for name in paths::env_names("GIT_") {
            command.env_remove(name);
        }
        command
            .env_remove("SSH_ASKPASS")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("LC_ALL", "C")
            .current_dir("/")
            .arg("-C")
            .arg(dir)
            .arg("--no-pager");
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        command.args(words);
        let failed =
            |why: String| Failure::failed(format!("run {}: {why}", self.program.display()));
        let said =
            proc::run_group(command, limit, most, |_| ()).map_err(|e| failed(e.to_string()))?;
        let (code, cut) = match said.end {
            End::Exited(status) => (status.code(), false),
            End::TooMuch => (None, true),
            End::TooSlow => {
                let seconds = limit.as_secs();
                let why = format!("git took longer than {seconds} s in {}", shown(dir));
                return Err(Failure::new(Kind::TimedOut, why));
            }
        };
        let words = String::from_utf8_lossy(&said.err);
        let lines = || words.lines().map(str::trim).filter(|line| !line.is_empty());
        let first = lines()
            .find(|line| line.starts_with("fatal:") || line.starts_with("error:"))
            .or_else(|| lines().next())
            .unwrap_or_default();
        let complaint = first
            .trim_start_matches("fatal: ")
            .trim_start_matches("error: ");
        Ok(Answer {
            code,
            out: said.out,
            complaint: one_line(complaint).chars().take(300).collect(),
            cut,
        })
    }

    /// As [`Self::ask`], where anything but success is an error: `what` could not be done.
    fn tell<S: AsRef<OsStr>>(
        &self,
        dir: &Path,
        words: &[S],
        limit: Duration,
        what: &str,
    ) -> Result<Answer> {
        let answer = self
            .ask(dir, words, limit, MOST)
            .map_err(|failure| failure.context(what))?;
        if answer.ok() {
            return Ok(answer);
        }
        Err(answer.failure(what))
    }
}

impl Answer {
    fn failure(&self, what: &str) -> Failure {
        let why = match (self.complaint.as_str(), self.code) {
            (_, _) if self.cut => "git had more to say than it may".to_owned(),
            ("", Some(code)) => format!("git ended with {code}"),
            ("", None) => "git was ended by a signal".to_owned(),
            (complaint, _) => format!("git says: {complaint}"),
        };
        Failure::failed(format!("{what}: {why}"))
    }
}

/// A path on one line.
fn shown(path: &Path) -> String {
    one_line(&path.to_string_lossy())
}
