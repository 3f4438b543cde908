//! `init`, `recover`, `clean`, `doctor`.

use super::Door;
use crate::error::{Failure, Result};
use crate::fsx;
use crate::profiles::config;
use crate::services::clean::{self, Wish};
use crate::services::{doctor, recover, worktree};
use crate::ui::table::Table;
use serde::Serialize;

/// What `init` made.
#[derive(Debug, Serialize)]
struct Made {
    home: String,
    made: Vec<String>,
}

pub(super) fn init(door: &mut Door<'_>) -> Result<()> {
    let home = door.cx.home.clone();
    let mut made = Vec::new();
    let fresh = !home.db().exists();
    let dirs = [
        home.root().to_path_buf(),
        home.db_dir(),
        home.profiles(),
        home.providers(),
        home.flows(),
        home.terminal_logs(),
        home.approvals(),
        home.spool(),
        home.run(),
    ];
    for dir in dirs {
        if !dir.exists() {
            fsx::create_private_dir(&dir)
                .map_err(|e| Failure::state(format!("create {}: {e}", dir.display())))?;
            made.push(dir.display().to_string());
        }
    }
    door.cx.store()?;
    if fresh {
        made.push(home.db().display().to_string());
    }
    if !home.config().exists() {
        fsx::write_atomic(&home.config(), config::default_text().as_bytes())
            .map_err(|e| Failure::state(format!("write {}: {e}", home.config().display())))?;
        made.push(home.config().display().to_string());
    }
    let answer = Made {
        home: home.root().display().to_string(),
        made,
    };
    door.print(&answer, |answer| {
        if answer.made.is_empty() {
            return format!("{} is ready, nothing was missing\n", answer.home);
        }
        answer
            .made
            .iter()
            .map(|path| format!("made {path}\n"))
            .collect()
    })
}

pub(super) fn recover(door: &mut Door<'_>, dry_run: bool) -> Result<()> {
    let mut store = door.cx.existing_store()?;
    let findings = if dry_run {
        recover::preview(&door.cx, &mut store)?
    } else {
        let findings = recover::all(&door.cx, &mut store)?;
        recover::rearm(&door.cx, &mut store)?;
        worktree::settle_ended(&door.cx, &mut store)?;
        findings
    };
    door.print(&findings, |findings| {
        if findings.is_empty() {
            return "every record fits what is there\n".to_owned();
        }
        findings
            .iter()
            .map(|f| {
                let reason = crate::domain::text::one_line(&f.reason);
                format!("{} has ended: {reason}\n", f.terminal)
            })
            .collect()
    })
}

pub(super) fn clean(door: &mut Door<'_>, wish: Wish) -> Result<()> {
    let mut store = door.cx.existing_store()?;
    let report = if wish.dry_run {
        clean::preview(&door.cx, &mut store, wish)?
    } else {
        clean::clean(&door.cx, &mut store, wish)?
    };
    door.print(&report, cleaned)
}

fn cleaned(report: &clean::Report) -> String {
    let (goes, none) = if report.dry_run {
        ("goes", "nothing is old\n")
    } else {
        ("gone", "nothing was old\n")
    };
    if report.removed.is_empty() && report.kept.is_empty() {
        return none.to_owned();
    }
    let mut table = Table::new(&["", "what", "size", "why"]);
    let rows = report.removed.iter().map(|item| (goes, item));
    for (word, item) in rows.chain(report.kept.iter().map(|item| ("stays", item))) {
        let what = match &item.name {
            Some(name) => format!("{} {name}", item.what),
            None => format!("{} {}", item.count, item.what),
        };
        let size = match item.bytes {
            0 => String::new(),
            bytes => format!("{} KiB", bytes.div_ceil(1024)),
        };
        table.row(&[word, &what, &size, &item.why]);
    }
    table.render()
}

/// What `doctor --fix --json` prints.
#[derive(Debug, Serialize)]
struct Fixed {
    mended: Vec<doctor::Mended>,
    findings: Vec<doctor::Finding>,
}

pub(super) fn doctor(door: &mut Door<'_>, fix: bool) -> Result<u8> {
    let mended = if fix {
        Some(doctor::fix(&door.cx)?)
    } else {
        None
    };
    let findings = doctor::examine(&door.cx)?;
    let broken = findings.iter().any(|f| f.level == doctor::Level::Broken);
    match mended {
        None => door.print(&findings, |list| self::findings(list))?,
        Some(mended) => door.print(&Fixed { mended, findings }, |fixed| {
            let mut text = String::new();
            for mended in &fixed.mended {
                let done = crate::domain::text::one_line(&mended.done);
                text.push_str(&format!("fixed    {}: {done}\n", mended.what));
            }
            text + &self::findings(&fixed.findings)
        })?,
    }
    Ok(u8::from(broken))
}

/// Findings as people read them.
pub(super) fn findings(findings: &[doctor::Finding]) -> String {
    let mut text = String::new();
    for f in findings {
        let word = match f.level {
            doctor::Level::Ok => "ok",
            doctor::Level::Warning => "warning",
            doctor::Level::Broken => "BROKEN",
        };
        let found = crate::domain::text::one_line(&f.found);
        text.push_str(&format!("{word:8} {}: {found}\n", f.what));
        if let Some(why) = f.why {
            text.push_str(&format!("         why it matters: {why}\n"));
        }
        if let Some(remedy) = &f.remedy {
            let remedy = crate::domain::text::one_line(remedy);
            text.push_str(&format!("         remedy: {remedy}\n"));
        }
    }
    text
}
