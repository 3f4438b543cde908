//! What is old in the database.

use super::super::after::{self, Aftermath, Ender};
use super::super::context::Context;
use super::super::worktree::{self, Fate};
use super::{Ages, Item, Report};
use crate::clock;
use crate::domain::ids::TerminalId;
use crate::domain::worktree::Worktree;
use crate::error::Result;
use crate::failpoint;
use crate::progress;
use crate::store::{Budget, Durability, Stale, Store};

/// How many rows are removed in one transaction: nobody waits for the lock for long.
const BATCH: u32 = 200;

const fn words(kind: Stale) -> (&'static str, &'static str) {
    match kind {
        Stale::Approvals => ("approvals", "they are decided; the audit log keeps that"),
        Stale::Handoffs => ("handoffs", "their answers were given"),
        Stale::Runs => ("runs", "they are over"),
        Stale::Messages => ("messages", "they are settled"),
        Stale::Notes => ("notes", "they were read, answered or withdrawn"),
        Stale::Tombstones => ("last answers", "their terminals ended long ago"),
    }
}

pub(super) fn remove(
    cx: &Context,
    store: &mut Store,
    ages: &Ages,
    actor: &str,
    report: &mut Report,
) -> Result<()> {
    progress::at(|| "the database".to_owned());
    terminals(cx, store, ages, actor, report)?;
    for kind in Stale::ALL {
        let before = match kind {
            Stale::Approvals | Stale::Handoffs | Stale::Messages | Stale::Notes => ages.messages,
            Stale::Runs => ages.runs,
            Stale::Tombstones => ages.tombstones,
        };
        let mut count = store.read(|tx| tx.stale(kind, before))?;
        if !report.dry_run {
            count = 0;
            loop {
                let removed = store.write(Durability::Process, Budget::Call, |tx| {
                    tx.remove_stale(kind, before, BATCH)
                })?;
                count += removed;
                progress::at(|| format!("old {} removed: {count}", words(kind).0));
                failpoint::hit("clean.batch");
                if removed < u64::from(BATCH) {
                    break;
                }
            }
        }
        if count > 0 {
            let (what, why) = words(kind);
            report.removed.push(Item {
                what,
                name: None,
                count,
                bytes: 0,
                why: why.to_owned(),
            });
        }
    }
    Ok(())
}

/// Of an old terminal only who it was and its last answer stays, unless something waits for it.
fn terminals(
    cx: &Context,
    store: &mut Store,
    ages: &Ages,
    actor: &str,
    report: &mut Report,
) -> Result<()> {
    let all = store.read(|tx| tx.old_terminals(ages.terminals))?;
    let total = all.len();
    for (index, old) in all.into_iter().enumerate() {
        progress::at(|| format!("old terminals: {} of {total}", index + 1));
        let mut item = Item {
            what: "terminal",
            name: Some(old.id.to_string()),
            count: 1,
            bytes: 0,
            why: format!("it ended at {}; its last answer stays", old.ended_at),
        };
        if old.waiting > 0 {
            item.why = format!("{} messages wait for it", old.waiting);
            report.kept.push(item);
            continue;
        }
        if old.unanswered {
            "its answer has not been given yet".clone_into(&mut item.why);
            report.kept.push(item);
            continue;
        }
        if old.lost && !report.dry_run {
            give_up(cx, store, &old.id)?;
        }
        if let Some(why) = worktree_stays(cx, store, &old.id, report.dry_run)? {
            item.why = why;
            report.kept.push(item);
            continue;
        }
        let buried = report.dry_run
            || store.write(Durability::Process, Budget::Call, |tx| {
                let buried = tx.bury_terminal(&old.id, ages.now)?;
                if buried {
                    tx.audit(
                        ages.now,
                        "terminal.cleaned",
                        old.id.as_str(),
                        actor,
                        "clean",
                        serde_json::json!({}),
                    )?;
                }
                Ok::<_, crate::store::Error>(buried)
            })?;
        if buried {
            report.removed.push(item);
        }
    }
    Ok(())
}

/// An agent that nobody resumed for so long is not waited for any more.
fn give_up(cx: &Context, store: &mut Store, id: &TerminalId) -> Result<()> {
    let mut aftermath = Aftermath::default();
    store.write(Durability::Process, Budget::Call, |tx| {
        if let Some(terminal) = tx.terminal(id)? {
            after::give_up(tx, &terminal, Ender::NOBODY, clock::now(), &mut aftermath)?;
        }
        Ok::<_, crate::store::Error>(())
    })?;
    aftermath.run(cx, store);
    Ok(())
}

/// Why a terminal's worktree stays, after trying to remove it.
fn worktree_stays(
    cx: &Context,
    store: &mut Store,
    id: &TerminalId,
    dry_run: bool,
) -> Result<Option<String>> {
    let Some(terminal) = store.read(|tx| tx.terminal(id))? else {
        return Ok(None);
    };
    let Some(worktree) = terminal.worktree.as_ref().filter(|w| w.is_there()) else {
        return Ok(None);
    };
    Ok(match &worktree.kept {
        Some(_) if dry_run => Some(worktree.stays()),
        None if dry_run => None,
        _ => match worktree::remove_if_safe(cx, store, &terminal)
            .unwrap_or_else(|failure| Fate::Kept(failure.message().to_owned()))
        {
            Fate::Kept(why) => Some(
                Worktree {
                    kept: Some(why),
                    ..worktree.clone()
                }
                .stays(),
            ),
            Fate::Nothing | Fate::Removed => None,
        },
    })
}

/// Gives the room that was freed back to the disk.
pub(super) fn compact(store: &mut Store, report: &mut Report) -> Result<()> {
    let bytes = store.compact()?;
    if bytes > 0 {
        report.removed.push(Item {
            what: "database",
            name: None,
            count: 1,
            bytes,
            why: "room that nothing uses".to_owned(),
        });
    }
    Ok(())
}
