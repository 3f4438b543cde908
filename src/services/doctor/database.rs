//! The database: whether it is sound, and what became of one that was not.

use super::{Finding, Level, bad, ok};
use crate::error::{Failure, Result};
use crate::paths::Home;
use crate::store::{Error, Store};

/// Whether every page of it can be read.
pub(super) fn sound(store: &Store) -> Result<Finding> {
    Ok(match store.integrity()? {
        None => ok("database", "sound"),
        Some(fault) => bad(
            Level::Broken,
            "database",
            fault,
            "messages and terminals are kept there",
            "copy the directory `db` away, then remove it; a new one is made",
        ),
    })
}

/// What keeps it from being opened.
pub(super) fn unusable(home: &Home, error: Error) -> Option<Finding> {
    if !matches!(error, Error::Missing(_)) {
        let failure = Failure::from(error);
        return Some(bad(
            Level::Broken,
            "database",
            failure.message(),
            "nothing works without it",
            failure.hints().join("; "),
        ));
    }
    // Of one that was set aside there is a finding of its own.
    home.damaged_dbs()
        .is_empty()
        .then(|| ok("database", "none yet; `init` or the first launch makes it"))
}

/// Databases that were set aside, as long as they lie there.
pub(super) fn damaged(home: &Home) -> Option<Finding> {
    let files = home.damaged_dbs();
    let latest = files.last()?.display().to_string();
    let earlier = match files.len() - 1 {
        0 => String::new(),
        n => format!(" (and {n} before it)"),
    };
    let there = home.db().exists();
    let (level, now, begin) = if there {
        (Level::Warning, "a new one is in use", "")
    } else if home.audit_log().exists() {
        // It is the log of that database: behind its entries a new one's own would never verify.
        (
            Level::Broken,
            "there is none now",
            "move approvals/audit.jsonl, which is its log, to a place of yours, then `conductor-hook init` begins anew; ",
        )
    } else {
        (
            Level::Broken,
            "there is none now",
            "`conductor-hook init` begins anew; ",
        )
    };
    let look = shell_words::quote(&latest);
    Some(bad(
        level,
        "damaged database",
        format!("it was set aside as {latest}{earlier}; {now}"),
        "its agents, messages and approvals are unknown here: agents that live are denied every call, and their messages wait in that file; nothing was deleted",
        format!(
            "{begin}end agents that are left in their panes; `sqlite3 {look} .recover` shows what can be read of the old one; move it out of db/ when you are done with it"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fsx;

    #[test]
    fn a_database_that_was_set_aside_is_no_empty_state() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path().join("state")).unwrap();
        drop(Store::open_or_create(&home).unwrap());
        let opened = || Store::open(&home).map(drop);
        assert_eq!(damaged(&home), None);
        for extra in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(home.root().join(format!("db/conductor.db{extra}")));
        }
        fsx::write_atomic(&home.db(), &b"this was a database once ".repeat(400)).unwrap();
        let error = opened().unwrap_err();
        let finding = unusable(&home, error).unwrap();
        assert_eq!(finding.level, Level::Broken);
        let missing = opened().unwrap_err();
        assert_eq!(unusable(&home, missing), None);
        let finding = damaged(&home).unwrap();
        let file = home.damaged_dbs().remove(0).display().to_string();
        assert_eq!(finding.level, Level::Broken);
        assert!(finding.found.contains(&file), "{finding:?}");
        assert!(finding.why.unwrap().contains("nothing was deleted"));
        let remedy = finding.remedy.unwrap();
        assert!(
            remedy.contains("init") && remedy.contains(&file),
            "{remedy}"
        );
        fsx::create_private_dir(&home.approvals()).unwrap();
        fsx::write_atomic(&home.audit_log(), b"{}\n").unwrap();
        let remedy = damaged(&home).unwrap().remedy.unwrap();
        assert!(
            remedy.contains("audit.jsonl") && remedy.contains("init"),
            "{remedy}"
        );
        drop(Store::open_or_create(&home).unwrap());
        let finding = damaged(&home).unwrap();
        assert_eq!(finding.level, Level::Warning);
        assert!(!finding.remedy.unwrap().contains("init"));
        std::fs::remove_file(&file).unwrap();
        assert_eq!(damaged(&home), None);
    }
}
