//! The one owner of the environment and of where things lie.

use crate::error::{Failure, Result};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Environment variables that Agent Conductor reads or sets.
pub mod name {
    /// State directory.
    pub const HOME: &str = "CONDUCTOR_HOME";
    /// The terminal's id, set in an agent's pane.
    pub const TERMINAL_ID: &str = "CONDUCTOR_TERMINAL_ID";
    /// The session's name, set in an agent's pane.
    pub const SESSION: &str = "CONDUCTOR_SESSION";
    /// Absolute path of the binary, set in an agent's pane.
    pub const HOOK: &str = "CONDUCTOR_HOOK";
    /// Path of the tmux socket.
    pub const TMUX_SOCKET: &str = "CONDUCTOR_TMUX_SOCKET";
    /// `program`: talk to tmux through its own program instead of over its socket.
    pub const TMUX_CLIENT: &str = "CONDUCTOR_TMUX_CLIENT";
    /// What is set for an agent, and for nobody else.
    pub const AGENT: [&str; 5] = [TERMINAL_ID, SESSION, HOOK, HOME, TMUX_SOCKET];
    /// Set for the script of a flow, and for nothing else: the time that is due.
    pub const FLOW_DUE: &str = "CONDUCTOR_FLOW_DUE";
    /// Set for the script of a flow: the directory of the flow's file.
    pub const FLOW_DIR: &str = "CONDUCTOR_FLOW_DIR";
    /// Set by the hooks that stand in an agent's user settings.
    pub const SETUP: &str = "CONDUCTOR_SETUP";
    /// Log filter.
    pub const LOG: &str = "CONDUCTOR_LOG";
    /// The demo agent's log file.
    pub const DEMO_LOG: &str = "CONDUCTOR_DEMO_LOG";
    /// Makes the demo agent run a tool when its gate does not answer.
    pub const DEMO_FAIL_OPEN: &str = "CONDUCTOR_DEMO_FAIL_OPEN";
    /// Where a test lets this process die (debug builds only).
    pub const FAILPOINT: &str = "CONDUCTOR_FAILPOINT";
    /// File that names where one process shall die (debug builds only).
    pub const FAILPOINT_FILE: &str = "CONDUCTOR_FAILPOINT_FILE";
    /// Another boot of the machine than the running one, as this process sees it (debug builds only).
    pub const BOOT_ID: &str = "CONDUCTOR_BOOT_ID";
    /// Milliseconds by which this process's clock is wrong (debug builds only).
    pub const CLOCK_SKEW: &str = "CONDUCTOR_CLOCK_SKEW";
    /// Milliseconds that this process believes the machine to have been awake for longer than it was (debug builds only).
    pub const AWAKE_SKEW: &str = "CONDUCTOR_AWAKE_SKEW";
}

/// An environment variable as text; unset, empty, and not UTF-8 are all `None`.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the environment"
)]
pub fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// An environment variable as a path or other bytes; unset and empty are `None`.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the environment"
)]
pub fn env_os(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The names of the environment variables that begin with `prefix`.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the environment"
)]
pub fn env_names(prefix: &str) -> Vec<OsString> {
    let names = std::env::vars_os().map(|(name, _)| name);
    names
        .filter(|name| name.as_encoded_bytes().starts_with(prefix.as_bytes()))
        .collect()
}

/// The user's home directory (`HOME`).
pub fn user_home() -> Option<PathBuf> {
    env_os("HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
}

/// The working directory, without links where the kernel knows it.
pub fn working_directory() -> Result<PathBuf> {
    std::env::current_dir().map_err(|e| Failure::failed(format!("read the working directory: {e}")))
}

/// The absolute path of this binary.
pub fn own_binary() -> Result<PathBuf> {
    std::env::current_exe().map_err(|e| {
        Failure::failed(format!("find the path of this binary: {e}"))
            .hint("mount /proc: it also says who calls, without which nothing is decided")
    })
}

/// The absolute path of `program` along `PATH`, or `program` itself when it is an absolute path to an executable.
pub fn find_program(program: &str, path: Option<&str>) -> Option<PathBuf> {
    let executable = |candidate: &Path| {
        use std::os::unix::fs::PermissionsExt;
        candidate
            .metadata()
            .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        let candidate = PathBuf::from(program);
        return (candidate.is_absolute() && executable(&candidate)).then_some(candidate);
    }
    let own = env("PATH");
    let path = path.or(own.as_deref())?;
    std::env::split_paths(path)
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join(program))
        .find(|c| executable(c))
}

/// What the path of a damaged database begins with, below the state directory.
const DAMAGED: &str = "db/conductor.db.corrupt-";

/// The state directory and every place in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    root: PathBuf,
}

impl Home {
    /// The state directory at `root`, which must be absolute and free of control characters.
    pub fn at(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        let hint = || format!("set {} to an absolute path", name::HOME);
        let text = root.to_str().ok_or_else(|| {
            Failure::state("the state directory's path is not UTF-8").hint(hint())
        })?;
        if !root.is_absolute() {
            let message = format!("the state directory {text} is not an absolute path");
            return Err(Failure::state(message).hint(hint()));
        }
        if text.chars().any(char::is_control) {
            return Err(
                Failure::state("the state directory's path holds a control character").hint(hint()),
            );
        }
        Ok(Self { root })
    }

    /// The state directory that `CONDUCTOR_HOME` names, else `~/.conductor`.
    pub fn from_env() -> Result<Self> {
        if let Some(root) = env_os(name::HOME) {
            return Self::at(root);
        }
        let home = user_home().ok_or_else(|| {
            Failure::state("there is no home directory for the state")
                .hint(format!("set HOME or {}", name::HOME))
        })?;
        Self::at(home.join(".conductor"))
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `config.toml`.
    pub fn config(&self) -> PathBuf {
        self.root.join("config.toml")
    }

    /// `policy.toml`.
    pub fn policy(&self) -> PathBuf {
        self.root.join("policy.toml")
    }

    /// The last `policy.toml` without a mistake.
    pub fn policy_good(&self) -> PathBuf {
        self.root.join("policy.good.toml")
    }

    /// Directory of the database.
    pub fn db_dir(&self) -> PathBuf {
        self.root.join("db")
    }

    /// The database.
    pub fn db(&self) -> PathBuf {
        self.root.join("db/conductor.db")
    }

    /// Where a database that was found damaged at this time, in milliseconds, is set aside.
    pub fn damaged_db(&self, at: i64) -> PathBuf {
        self.root.join(format!("{DAMAGED}{at}"))
    }

    /// The databases that were set aside, the oldest first.
    pub fn damaged_dbs(&self) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = std::fs::read_dir(self.db_dir())
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| {
                let name = path.strip_prefix(&self.root).ok().and_then(Path::to_str);
                let stamp = name.and_then(|name| name.strip_prefix(DAMAGED));
                stamp.is_some_and(|at| at.bytes().all(|b| b.is_ascii_digit()))
            })
            .collect();
        found.sort();
        found
    }

    /// The writers' lock.
    pub fn lock(&self) -> PathBuf {
        self.root.join("conductor.lock")
    }

    /// User profiles.
    pub fn profiles(&self) -> PathBuf {
        self.root.join("agent-context")
    }

    /// User provider manifests.
    pub fn providers(&self) -> PathBuf {
        self.root.join("providers")
    }

    /// What was written into agents' own settings.
    pub fn setup(&self) -> PathBuf {
        self.root.join("setup")
    }

    /// User flows.
    pub fn flows(&self) -> PathBuf {
        self.root.join("flows")
    }

    /// Directory of the terminals' logs.
    pub fn terminal_logs(&self) -> PathBuf {
        self.root.join("logs/terminal")
    }

    /// The log of one terminal.
    pub fn terminal_log(&self, id: &str) -> PathBuf {
        self.terminal_logs().join(format!("{id}.log"))
    }

    /// Our own log, used when journald does not answer.
    pub fn own_log(&self) -> PathBuf {
        self.root.join("logs/conductor.log")
    }

    /// The audit log's directory.
    pub fn approvals(&self) -> PathBuf {
        self.root.join("approvals")
    }

    /// The audit log.
    pub fn audit_log(&self) -> PathBuf {
        self.approvals().join("audit.jsonl")
    }

    /// The lock of those who write the audit log.
    pub fn audit_lock(&self) -> PathBuf {
        self.approvals().join("audit.lock")
    }

    /// Where events wait when the lock was not free.
    pub fn spool(&self) -> PathBuf {
        self.root.join("spool")
    }

    /// Generated files of all terminals.
    pub fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    /// Copies of scripts of flows, while they run.
    pub fn scripts(&self) -> PathBuf {
        self.run().join("scripts")
    }

    /// Generated files of one terminal.
    pub fn run_of(&self, id: &str) -> PathBuf {
        self.run().join(id)
    }

    /// The file that is written to when there is mail for an adopted agent whose plugin knows only its process.
    pub fn bell(&self, pid: i32) -> PathBuf {
        self.run().join("bells").join(pid.to_string())
    }

    /// Locks of terminals and of calls: they outlive the files of a terminal that ends while somebody holds them.
    pub fn locks(&self) -> PathBuf {
        self.run().join("locks")
    }

    /// The lock of those who make a worktree again or remove one.
    pub fn worktree_lock(&self) -> PathBuf {
        self.locks().join("worktrees.lock")
    }

    /// The lock of one terminal's deliveries.
    pub fn terminal_lock(&self, id: &str) -> PathBuf {
        self.locks().join(format!("{id}.lock"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_or_strange_home_is_refused() {
        assert!(Home::at("relative").is_err());
        assert!(Home::at("/tmp/a\nb").is_err());
        assert!(Home::at("/tmp/with space and 'quote'").is_ok());
    }

    #[test]
    fn programs_are_found_along_the_path_only_by_absolute_directories() {
        assert_eq!(
            find_program("sh", Some("relative:/bin")),
            Some(PathBuf::from("/bin/sh"))
        );
        assert_eq!(find_program("sh", Some("relative")), None);
        assert_eq!(
            find_program("/bin/sh", None),
            Some(PathBuf::from("/bin/sh"))
        );
        assert_eq!(find_program("./sh", None), None);
    }
}
