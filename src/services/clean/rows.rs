//! What is old in the database.

use super::{Ages, Item, Report};
use crate::error::Result;
use crate::failpoint;
use crate::store::{Budget, Durability, Stale, Store};

/// How many rows are removed in one transaction: nobody waits for the lock for long.
const BATCH: u32 = 500;

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
    store: &mut Store,
    ages: &Ages,
    actor: &str,
    report: &mut Report,
) -> Result<()> {
    terminals(store, ages, actor, report)?;
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
fn terminals(store: &mut Store, ages: &Ages, actor: &str, report: &mut Report) -> Result<()> {
    for old in store.read(|tx| tx.old_terminals(ages.terminals))? {
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
