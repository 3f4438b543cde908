//! What speaks against removing a worktree: everything that would be lost, and everybody who still uses it.

use crate::clock::{self, Deadline};
use crate::domain::text::one_line;
use crate::error::Result;
use crate::fsx;
use crate::git::Repository;
use crate::proc;
use std::path::Path;
use std::time::Duration;

/// How long an agent's last helpers may take to leave, in milliseconds.
const LEAVING_MS: u64 = 2_000;

/// How long git may take to finish a worktree whose maker was killed, in milliseconds.
const FINISHING_MS: u64 = 5_000;

/// What git writes while it makes a worktree, where a lock's reason stands otherwise.
const INITIALIZING: &str = "initializing";

/// Files and directories of git that say what is going on in a worktree.
const OPERATIONS: [(&str, &str); 7] = [
    ("rebase-merge", "a rebase"),
    ("rebase-apply", "a rebase, or patches being applied,"),
    ("MERGE_HEAD", "a merge"),
    ("CHERRY_PICK_HEAD", "a cherry-pick"),
    ("REVERT_HEAD", "a revert"),
    ("sequencer", "a cherry-pick or revert"),
    ("BISECT_LOG", "a bisection"),
];

/// A worktree that may be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clean {
    /// git itself would not take it for clean, because it has submodules; none of them is checked out.
    pub(super) submodules: bool,
}

/// Looks at the worktree at `path`, about which git keeps `admin`; `Err` inside says why it stays. Commits are looked at elsewhere.
pub(super) fn at(
    repository: &Repository,
    path: &Path,
    admin: &Path,
) -> Result<std::result::Result<Clean, String>> {
    if let Some(reason) = lock_reason(admin) {
        return Ok(Err(reason));
    }
    if !repository.belongs(path, admin) {
        return Ok(Err("its .git does not lead to its repository".to_owned()));
    }
    if let Some(who) = in_use(path) {
        return Ok(Err(who));
    }
    let operation = OPERATIONS
        .iter()
        .find(|(name, _)| admin.join(name).symlink_metadata().is_ok());
    if let Some((_, what)) = operation {
        return Ok(Err(format!("{what} is in progress")));
    }
    let changes = repository.changes(path)?;
    if changes.more {
        return Ok(Err("it has very many changes".to_owned()));
    }
    let mut parts = Vec::new();
    if changes.changed > 0 {
        parts.push(format!(
            "changed files without a commit: {}",
            changes.changed
        ));
    }
    if changes.untracked > 0 {
        parts.push(format!("untracked files: {}", changes.untracked));
    }
    if !parts.is_empty() {
        return Ok(Err(parts.join(", ")));
    }
    let index = repository.index(path)?;
    if index.hidden > 0 {
        return Ok(Err(format!(
            "files whose changes git was told not to show: {}",
            index.hidden
        )));
    }
    let filled = |dir: &Path| std::fs::read_dir(dir).is_ok_and(|mut dir| dir.next().is_some());
    let checked_out = index.submodules.iter().any(|sub| filled(&path.join(sub)));
    if checked_out || admin.join("modules").symlink_metadata().is_ok() {
        return Ok(Err("a submodule is checked out in it".to_owned()));
    }
    let refs = repository.own_refs(path)?;
    if refs > 0 {
        return Ok(Err(format!("refs that only it has: {refs}")));
    }
    Ok(Ok(Clean {
        submodules: !index.submodules.is_empty(),
    }))
}

/// Why it is locked. One that git is still making is given a moment.
fn lock_reason(admin: &Path) -> Option<String> {
    let deadline = Deadline::after(Duration::from_millis(FINISHING_MS));
    loop {
        let bytes = fsx::read_file_limited(&admin.join("locked"), 4096);
        let text = match bytes {
            Ok(bytes) => one_line(String::from_utf8_lossy(&bytes).trim()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            Err(error) => error.to_string(),
        };
        if text != INITIALIZING {
            let why = if text.is_empty() {
                String::new()
            } else {
                format!(": {text}")
            };
            return Some(format!("it is locked{why}"));
        }
        if deadline.passed() {
            return Some("git was stopped while it made it, and left it locked".to_owned());
        }
        clock::sleep(Duration::from_millis(50), &deadline);
    }
}

/// Who works in it: a process whose working directory lies there. Those that are about to end are given a moment.
fn in_use(path: &Path) -> Option<String> {
    let deadline = Deadline::after(Duration::from_millis(LEAVING_MS));
    loop {
        let pid = proc::working_in(path)?;
        if deadline.passed() {
            let name = proc::Process::name(pid).unwrap_or_default();
            return Some(format!("process {pid} ({}) works in it", one_line(&name)));
        }
        clock::sleep(Duration::from_millis(25), &deadline);
    }
}
