//! A git worktree of a terminal's own: made before its agent starts, removed after its end when nothing can be lost with it.
//!
//! | call | what it does |
//! |---|---|
//! | [`prospect`] | finds out whether a directory can have worktrees; makes nothing |
//! | [`remove_if_safe`] | removes the worktree and branch of an ended terminal, or says why they stay |
//! | [`settle`] | the same where a failure must not stop what goes on |
//! | [`findings`] | what `doctor` says about them |

mod look;
mod removal;
mod report;

pub use removal::{Fate, due, remove_if_safe, settle, settle_ended};
pub use report::findings;

use super::context::Context;
use crate::domain::terminal::Terminal;
use crate::domain::text::one_line;
use crate::domain::worktree::{DIR, Worktree, branch_of, path_of, place};
use crate::error::{Failure, Result};
use crate::failpoint;
use crate::git::{self, Git, Repository};
use crate::store::{Budget, Durability, Store, WorktreeLock};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long making a worktree may take, in milliseconds.
pub const MAKING_MS: i64 = 150_000;

/// How long a call waits for others that make or remove worktrees.
const TURN: Duration = Duration::from_secs(30);

/// A repository in which terminals can have worktrees, seen from one directory.
#[derive(Debug, Clone)]
pub struct Prospect {
    repository: Repository,
    /// The commit to begin at.
    base: String,
    /// The directory, below the root of its worktree.
    inside: PathBuf,
}

/// The prospect of worktrees for agents that are started from `cwd`. Everything that is in the way is found here, before anything is made.
pub fn prospect(cx: &Context, cwd: &Path) -> Result<Prospect> {
    let checkout = Git::find()?.checkout(cwd)?;
    let main = checkout.repository.main();
    let shown = one_line(&main.to_string_lossy());
    if main
        .to_str()
        .is_none_or(|text| text.chars().any(char::is_control))
    {
        return Err(Failure::usage(format!(
            "the repository {shown} has a name that tmux cannot take"
        )));
    }
    let state = cx.home.root().canonicalize();
    if state.is_ok_and(|state| state == main.join(DIR[0])) {
        return Err(Failure::refused(format!(
            "worktrees of {shown} would lie in the state directory"
        ))
        .hint("set CONDUCTOR_HOME to a directory outside of the repository"));
    }
    git::worktree::fit(main)?;
    Ok(Prospect {
        base: checkout.head,
        inside: checkout.inside,
        repository: checkout.repository,
    })
}

impl Prospect {
    /// The worktree that terminal `id` is to have.
    pub(super) fn planned(&self, id: &crate::domain::ids::TerminalId) -> Worktree {
        let main = self.repository.main().to_owned();
        Worktree::planned(main, id, self.base.clone())
    }
}

/// Makes the planned worktree of a row that waits for its start, and settles in which directory of it the agent starts.
pub(super) fn create(store: &mut Store, row: &mut Terminal, prospect: &Prospect) -> Result<()> {
    failpoint::hit("worktree.planned");
    let repository = &prospect.repository;
    let path = path_of(repository.main(), &row.id);
    git::worktree::room(repository.main())?;
    failpoint::fail("worktree.add").map_err(|e| Failure::failed(e.to_string()))?;
    repository.add(&path, &branch_of(&row.id), &prospect.base)?;
    failpoint::hit("worktree.added");
    row.cwd = start_of(&path, &prospect.inside);
    if row.cwd != path {
        store.write(Durability::Process, Budget::Call, |tx| {
            tx.note_cwd(&row.id, &row.cwd)
        })?;
    }
    Ok(())
}

/// The directory `inside` of the worktree at `path`, or its root where there is none that lies in it.
fn start_of(path: &Path, inside: &Path) -> PathBuf {
    match path.join(inside).canonicalize() {
        Ok(dir) if dir.is_dir() && dir.starts_with(path) => dir,
        _ => path.to_owned(),
    }
}

/// Keeps an ended terminal's worktree from being removed until its row says that it lives again.
#[derive(Debug)]
pub(super) struct Revival {
    _turn: Option<WorktreeLock>,
}

/// Makes sure that the worktree of an ended terminal is there, from its branch where the directory is gone. The row is brought up to date.
pub(super) fn revive(cx: &Context, store: &mut Store, terminal: &mut Terminal) -> Result<Revival> {
    if terminal.worktree.is_none() {
        return Ok(Revival { _turn: None });
    }
    let turn = WorktreeLock::acquire(&cx.home, TURN)?.ok_or_else(|| {
        Failure::new(
            crate::error::Kind::TimedOut,
            "another call makes or removes a worktree",
        )
        .hint("try again")
    })?;
    if let Some(now) = store.read(|tx| tx.terminal(&terminal.id))? {
        *terminal = now;
    }
    let Some(worktree) = terminal.worktree.clone() else {
        return Ok(Revival { _turn: None });
    };
    let path = path_of(&worktree.repository, &terminal.id);
    if !path.is_dir() {
        again(terminal, &worktree, &path)?;
    }
    if !terminal.cwd.is_dir() {
        terminal.cwd.clone_from(&path);
    }
    let back = Worktree {
        path: Some(path),
        branch: Some(branch_of(&terminal.id)),
        kept: None,
        ..worktree
    };
    store.write(Durability::Process, Budget::Call, |tx| {
        tx.note_worktree(&terminal.id, &back)?;
        tx.note_cwd(&terminal.id, &terminal.cwd)
    })?;
    terminal.worktree = Some(back);
    Ok(Revival { _turn: Some(turn) })
}

fn again(terminal: &Terminal, worktree: &Worktree, path: &Path) -> Result<()> {
    let gone = |what: &str| {
        Failure::refused(format!(
            "the worktree of terminal {} is gone, and {what}",
            terminal.id
        ))
        .hint("start a new agent with `conductor-hook worker SESSION --worktree`")
    };
    let repository = Git::find()?
        .repository(&worktree.repository)?
        .ok_or_else(|| gone("so is its repository"))?;
    let branch = branch_of(&terminal.id);
    if repository.tip(&format!("refs/heads/{branch}"))?.is_none() {
        return Err(gone(&format!("so is its branch {branch}")));
    }
    if repository.admin(path).is_some() {
        repository.remove(path, false)?;
    }
    git::worktree::room(repository.main())?;
    repository.add_again(path, &branch)
}

/// Where the profiles of a terminal are looked for: with a worktree in the main one, as at its launch.
pub(super) fn profiles_from(terminal: &Terminal) -> PathBuf {
    let Some(worktree) = &terminal.worktree else {
        return terminal.cwd.clone();
    };
    place(&terminal.cwd)
        .map(|place| place.counterpart())
        .filter(|dir| dir.is_dir())
        .unwrap_or_else(|| worktree.repository.clone())
}
