//! Removing the worktree and branch of a terminal that has ended, when nothing can be lost with them.

use super::super::context::Context;
use super::{TURN, look};
use crate::clock;
use crate::domain::ids::TerminalId;
use crate::domain::terminal::Terminal;
use crate::domain::text::one_line;
use crate::domain::worktree::{Worktree, branch_of, path_of};
use crate::error::{Failure, Kind, Result};
use crate::failpoint;
use crate::git::Git;
use crate::store::{Budget, DueKind, Durability, Store, WorktreeLock};
use std::time::Duration;

/// How long a timer waits for others that make or remove worktrees: it comes again.
const DUE_TURN: Duration = Duration::from_secs(1);

/// What became of a terminal's worktree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// There was none, or none any more.
    Nothing,
    /// It and its branch are removed.
    Removed,
    /// It, or its branch, stays.
    Kept(String),
}

/// Removes the worktree and branch of an ended terminal when nothing can be lost: no change without a commit, no commit that no other
/// branch, tag or remote-tracking branch has, nothing in progress, nobody in it. Else says why they stay. The row remembers what is left.
pub fn remove_if_safe(cx: &Context, store: &mut Store, terminal: &Terminal) -> Result<Fate> {
    remove_within(cx, store, terminal, TURN)
}

fn remove_within(
    cx: &Context,
    store: &mut Store,
    terminal: &Terminal,
    turn: Duration,
) -> Result<Fate> {
    let id = &terminal.id;
    if !terminal.worktree.as_ref().is_some_and(Worktree::is_there) {
        return Ok(Fate::Nothing);
    }
    let Some(_turn) = WorktreeLock::acquire(&cx.home, turn)? else {
        let why = "another worktree is being made or removed";
        return Err(Failure::new(Kind::TimedOut, why).hint("try again"));
    };
    // Whoever had the lock before may have removed it, or started the agent again.
    let Some(terminal) = store.read(|tx| tx.terminal(id))? else {
        return Ok(Fate::Nothing);
    };
    let before = terminal.worktree.as_ref().filter(|w| w.is_there());
    let Some(before) = before else {
        return Ok(Fate::Nothing);
    };
    if terminal.alive() {
        return Ok(Fate::Kept("its agent lives".to_owned()));
    }
    if terminal.lost() {
        return Ok(Fate::Kept("its agent waits to be resumed".to_owned()));
    }
    let mut left = Worktree {
        kept: None,
        ..before.clone()
    };
    match take_down(id, &mut left) {
        Ok(kept) => left.kept = kept,
        Err(failure) => left.kept = Some(failure.message().to_owned()),
    }
    left.kept = left.kept.map(|reason| one_line(&reason));
    store.write(Durability::Process, Budget::Call, |tx| {
        tx.clear_due(DueKind::Worktree, id.as_str())?;
        if left == *before {
            return Ok(());
        }
        tx.note_worktree(id, &left)?;
        let detail = serde_json::json!({
            "removed": before.path.is_some() && left.path.is_none(), "branch": before.branch, "deleted": left.branch.is_none(), "kept": left.kept,
        });
        let now = clock::now();
        tx.audit(now, "terminal.worktree", id.as_str(), "conductor", "close", detail)
    })?;
    Ok(match left.kept {
        None => Fate::Removed,
        Some(reason) => Fate::Kept(reason),
    })
}

/// Takes down what can be, and notes in `left` what is gone; the answer says why the rest stays.
fn take_down(id: &TerminalId, left: &mut Worktree) -> Result<Option<String>> {
    let git = Git::find()?;
    let path = path_of(&left.repository, id);
    let there = path.symlink_metadata().is_ok();
    let Some(repository) = git.repository(&left.repository)? else {
        if there {
            return Ok(Some("its repository is gone".to_owned()));
        }
        (left.path, left.branch) = (None, None);
        return Ok(None);
    };
    let branch = branch_of(id);
    let tip = repository.tip(&format!("refs/heads/{branch}"))?;
    let admin = repository.admin(&path);
    let mut force = false;
    match (&admin, there) {
        (Some(admin), true) => match look::at(&repository, &path, admin)? {
            Ok(clean) => force = clean.submodules,
            Err(why) => return Ok(Some(why)),
        },
        (None, true) => {
            return Ok(Some("its repository does not know it any more".to_owned()));
        }
        (_, false) => {}
    }
    let worktrees = repository.worktrees()?;
    let own = worktrees.iter().find(|entry| entry.path == path);
    let head = own.and_then(|entry| entry.head.clone());
    if there && head.is_none() {
        return Ok(Some("it stands on no commit".to_owned()));
    }
    let tips: Vec<String> = head.iter().chain(&tip).cloned().collect();
    if !tips.is_empty() {
        // Where it began is no other place: the one that was there may have gone.
        let heads: Vec<String> = worktrees
            .iter()
            .filter(|entry| entry.path != path)
            .filter_map(|entry| entry.head.clone())
            .collect();
        let alone = repository.only_here(&tips, &branch, &heads)?;
        if alone > 0 {
            return Ok(Some(format!("commits that no other branch has: {alone}")));
        }
    }
    failpoint::hit("worktree.looked");
    if admin.is_some() {
        repository.remove(&path, force)?;
    }
    left.path = None;
    failpoint::hit("worktree.removed");
    let Some(tip) = tip else {
        left.branch = None;
        return Ok(None);
    };
    let elsewhere = worktrees
        .iter()
        .find(|entry| entry.path != path && entry.branch.as_ref() == Some(&branch));
    if let Some(entry) = elsewhere {
        let at = entry.path.display();
        return Ok(Some(format!("its branch is checked out in {at}")));
    }
    repository.delete_branch(&branch, &tip)?;
    left.branch = None;
    failpoint::hit("worktree.deleted");
    Ok(None)
}

/// As [`remove_if_safe`], where a failure must not stop what goes on: it is logged, and the worktree is looked at again when it is due.
pub fn settle(cx: &Context, store: &mut Store, id: &TerminalId) {
    let done = match store.read(|tx| tx.terminal(id)) {
        Ok(Some(terminal)) => remove_if_safe(cx, store, &terminal),
        Ok(None) => Ok(Fate::Nothing),
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(Fate::Kept(reason)) => tracing::info!(terminal = %id, reason, "a worktree stays"),
        Ok(Fate::Nothing | Fate::Removed) => {}
        Err(failure) => tracing::warn!(%failure, terminal = %id, "look at a worktree"),
    }
}

/// The worktree of an ended terminal is to be looked at. An error means that it has to be looked at again.
pub fn due(cx: &Context, store: &mut Store, id: &TerminalId) -> Result<()> {
    match store.read(|tx| tx.terminal(id))? {
        Some(terminal) => remove_within(cx, store, &terminal, DUE_TURN).map(drop),
        None => Ok(()),
    }
}

/// Settles the worktrees of all terminals that ended without anybody having looked: those that a killed helper left.
pub fn settle_ended(cx: &Context, store: &mut Store) -> Result<()> {
    let left = store.read(|tx| tx.worktree_terminals())?;
    let open = |t: &Terminal| {
        !t.alive() && !t.lost() && t.worktree.as_ref().is_some_and(|w| w.kept.is_none())
    };
    for terminal in left.iter().filter(|t| open(t)) {
        settle(cx, store, &terminal.id);
    }
    Ok(())
}
