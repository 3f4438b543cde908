//! `init`, `recover`, `clean`, `doctor`.

use super::Door;
use crate::cli;
use crate::domain::terminal::{Role, Terminal};
use crate::domain::text::one_line;
use crate::error::{Failure, Result};
use crate::fsx;
use crate::profiles::config;
use crate::progress;
use crate::services::clean::{self, Wish};
use crate::services::context::Context;
use crate::services::offer::{self, Offer};
use crate::services::{doctor, find, flow, identity, recover, worktree};
use crate::store::Store;
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
                .map_err(|e| Failure::state(format!("create {}: {e}", dir.display())).disk(&e))?;
            made.push(dir.display().to_string());
        }
    }
    // What cannot be written is not ready.
    door.cx.store()?.try_writing()?;
    if fresh {
        made.push(home.db().display().to_string());
    }
    if !home.config().exists() {
        fsx::write_atomic(&home.config(), config::default_text().as_bytes()).map_err(|e| {
            Failure::state(format!("write {}: {e}", home.config().display())).disk(&e)
        })?;
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

/// A terminal that has just been found ended, or that can be resumed.
#[derive(Debug, Serialize)]
struct Row {
    /// Whether this call found out that it has ended.
    ended: bool,
    /// Whether it waits to be resumed, and its messages with it.
    lost: bool,
    #[serde(flatten)]
    offer: Offer,
}

pub(super) fn recover(door: &mut Door<'_>, arguments: &cli::Recover) -> Result<u8> {
    let mut store = door.cx.existing_store()?;
    let cx = door.cx.clone();
    let findings = if arguments.dry_run {
        recover::preview(&cx, &mut store)?
    } else {
        identity::honest(&mut store, "recover")?;
        let findings = recover::all(&cx, &mut store)?;
        flow::move_here(&cx, &mut store)?;
        recover::rearm(&cx, &mut store)?;
        worktree::settle_ended(&cx, &mut store)?;
        findings
    };
    let mut rows = Vec::new();
    for finding in &findings {
        let terminal = find::terminal(&cx, &mut store, &finding.terminal)?;
        let mut offer = offer::offer(&cx, &mut store, &terminal)?;
        offer.reason.clone_from(&finding.reason);
        if !finding.lost {
            // What waited ends with it.
            offer.unread = 0;
        }
        rows.push((
            terminal,
            Row {
                ended: true,
                lost: finding.lost,
                offer,
            },
        ));
    }
    for terminal in offer::lost(&mut store)? {
        if rows.iter().all(|(other, _)| other.id != terminal.id) {
            let offer = offer::offer(&cx, &mut store, &terminal)?;
            rows.push((
                terminal,
                Row {
                    ended: false,
                    lost: true,
                    offer,
                },
            ));
        }
    }
    if !arguments.resume {
        let rows: Vec<Row> = rows.into_iter().map(|(_, row)| row).collect();
        door.print(&rows, |rows| listed(rows))?;
        return Ok(0);
    }
    let mut chosen = chosen(&cx, &mut store, arguments, rows)?;
    chosen.sort_by_key(|(t, _)| (t.role != Role::Supervisor, t.created_at));
    if arguments.dry_run {
        let rows: Vec<Row> = chosen.into_iter().map(|(_, row)| row).collect();
        door.print(&rows, |rows| listed(rows))?;
        return Ok(0);
    }
    resume(door, &mut store, &chosen)
}

/// What is to be started again: all that is lost, or what was named, whyever it ended.
fn chosen(
    cx: &Context,
    store: &mut Store,
    arguments: &cli::Recover,
    rows: Vec<(Terminal, Row)>,
) -> Result<Vec<(Terminal, Row)>> {
    if arguments.terminals.is_empty() {
        let mut rows = rows;
        rows.retain(|(terminal, row)| {
            row.lost
                && arguments
                    .session
                    .as_ref()
                    .is_none_or(|name| *name == terminal.session)
        });
        return Ok(rows);
    }
    let mut named: Vec<(Terminal, Row)> = Vec::new();
    for name in &arguments.terminals {
        let terminal = find::terminal(cx, store, name)?;
        if named.iter().all(|(other, _)| other.id != terminal.id) {
            let offer = offer::offer(cx, store, &terminal)?;
            let lost = terminal.lost();
            named.push((
                terminal,
                Row {
                    ended: false,
                    lost,
                    offer,
                },
            ));
        }
    }
    Ok(named)
}

fn resume(door: &mut Door<'_>, store: &mut Store, chosen: &[(Terminal, Row)]) -> Result<u8> {
    let cx = door.cx.clone();
    let terminals: Vec<_> = chosen
        .iter()
        .map(|(terminal, _)| (terminal.clone(), None))
        .collect();
    let count = terminals.len();
    let json = door.json;
    let offers = offer::resume_all(&cx, store, &terminals, |index, offer| {
        if json {
            return Ok(());
        }
        // Each as it is done: starting many takes its time.
        door.write(&format!("{}/{count}  {}", index + 1, told(offer)))
    })?;
    recover::rearm(&cx, store)?;
    let failed = offers.iter().any(Offer::failed);
    if json || offers.is_empty() {
        door.print(&offers, |_| "nothing is to be resumed\n".to_owned())?;
    }
    Ok(u8::from(failed))
}

/// One terminal's outcome as people read it.
fn told(offer: &Offer) -> String {
    let place = format!("{}:{}", one_line(&offer.session), one_line(&offer.window));
    let id = &offer.terminal;
    let provider = &offer.provider;
    match (offer.outcome, &offer.hindrance) {
        (Some("resumed"), _) if offer.begun => format!("{id} ({provider}) goes on in {place}\n"),
        (Some("resumed"), _) => format!("{id} ({provider}) begins anew in {place}\n"),
        (Some("lives"), _) => format!("{id} ({provider}) lives already\n"),
        (_, why) => {
            let why = one_line(why.as_deref().unwrap_or("no reason is known"));
            format!("{id} ({provider}) of {place} could not be resumed: {why}\n")
        }
    }
}

fn listed(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "every record fits what is there\n".to_owned();
    }
    let mut text = String::new();
    for row in rows.iter().filter(|row| row.ended) {
        let reason = one_line(&row.offer.reason);
        text.push_str(&format!("{} has ended: {reason}\n", row.offer.terminal));
    }
    let lost: Vec<&Row> = rows.iter().filter(|row| row.lost).collect();
    if lost.is_empty() {
        return text;
    }
    let mut table = Table::new(&[
        "terminal",
        "session",
        "window",
        "provider",
        "unread",
        "directory",
        "why",
    ]);
    for row in &lost {
        let offer = &row.offer;
        let why = match &offer.hindrance {
            Some(why) => format!("cannot be resumed now: {why}"),
            None => offer.reason.clone(),
        };
        table.row(&[
            offer.terminal.as_str(),
            &offer.session,
            &offer.window,
            &offer.provider,
            &offer.unread.to_string(),
            &offer.cwd,
            &why,
        ]);
    }
    text.push_str(&format!(
        "{} can be resumed with `recover --resume`; `close TERMINAL` gives one up\n{}",
        lost.len(),
        table.render()
    ));
    text
}

pub(super) fn clean(door: &mut Door<'_>, arguments: &cli::Clean) -> Result<()> {
    let wish = Wish {
        dry_run: arguments.dry_run,
        days: arguments.days,
    };
    let mut store = door.cx.existing_store()?;
    let report = progress::during("clean", || {
        if wish.dry_run {
            clean::preview(&door.cx, &mut store, wish)
        } else {
            clean::clean(&door.cx, &mut store, wish)
        }
    })?;
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
        Some(progress::during("doctor --fix", || doctor::fix(&door.cx))?)
    } else {
        None
    };
    let findings = progress::during("doctor", || doctor::examine(&door.cx))?;
    let broken = findings.iter().any(|f| f.level == doctor::Level::Broken);
    match mended {
        None => door.print(&findings, |list| self::findings(list))?,
        Some(mended) => door.print(&Fixed { mended, findings }, |fixed| {
            let mut text = String::new();
            for mended in &fixed.mended {
                let done = one_line(&mended.done);
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
        let found = one_line(&f.found);
        text.push_str(&format!("{word:8} {}: {found}\n", f.what));
        if let Some(why) = f.why {
            text.push_str(&format!("         why it matters: {why}\n"));
        }
        if let Some(remedy) = &f.remedy {
            let remedy = one_line(remedy);
            text.push_str(&format!("         remedy: {remedy}\n"));
        }
    }
    text
}
