//! What is old in the state directory.

use super::super::context::Context;
use super::super::logs::{self, Rotation};
use super::{Ages, Item, Report};
use crate::domain::ids::TerminalId;
use crate::error::Result;
use crate::paths::Home;
use crate::proc::Process;
use crate::store::{Store, TerminalLock};
use jiff::Timestamp;
use std::collections::HashMap;
use std::fs::{self, DirEntry, Metadata};
use std::path::Path;

/// How old a file must be that nobody knows any more, in milliseconds: who makes it may not have said so yet.
const UNKNOWN_MS: i64 = 60 * 60 * 1000;

/// Which terminals there are, and when they ended.
type Ends = HashMap<TerminalId, Option<Timestamp>>;

pub(super) fn remove(
    cx: &Context,
    store: &mut Store,
    ages: &Ages,
    report: &mut Report,
) -> Result<()> {
    let ends: Ends = store.read(|tx| tx.terminal_ends())?.into_iter().collect();
    for (entry, meta) in entries(&cx.home.terminal_logs()) {
        log(&entry, &meta, &ends, ages, report);
    }
    for (entry, meta) in entries(&cx.home.run()) {
        let name = entry.file_name();
        let Some(id) = name.to_str().and_then(|name| TerminalId::parse(name).ok()) else {
            continue;
        };
        let why = match ends.get(&id) {
            Some(None) => continue,
            Some(Some(_)) => "its terminal has ended",
            None => "nobody knows its terminal",
        };
        if meta.is_dir() && older(&meta, ages.now, UNKNOWN_MS) {
            take("run files", &entry.path(), &meta, why, report);
        }
    }
    locks(&cx.home, &ends, ages, report);
    for (entry, meta) in entries(&cx.home.run().join("bells")) {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.parse().ok());
        if pid.is_some_and(|pid| Process::of(pid).is_none()) {
            take(
                "run files",
                &entry.path(),
                &meta,
                "its process has ended",
                report,
            );
        }
    }
    Ok(())
}

fn entries(dir: &Path) -> Vec<(DirEntry, Metadata)> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let meta = entry.metadata().ok()?;
            Some((entry, meta))
        })
        .collect()
}

fn modified(meta: &Metadata) -> Option<Timestamp> {
    Timestamp::try_from(meta.modified().ok()?).ok()
}

fn older(meta: &Metadata, now: Timestamp, ms: i64) -> bool {
    modified(meta).is_some_and(|at| now.as_millisecond() - at.as_millisecond() > ms)
}

/// One file among the logs: moves it, removes it, or leaves it.
fn log(entry: &DirEntry, meta: &Metadata, ends: &Ends, ages: &Ages, report: &mut Report) {
    let path = entry.path();
    let name = entry.file_name();
    let Some(name) = name.to_str().filter(|_| meta.is_file()) else {
        return;
    };
    // What a copy that was killed left behind.
    if name.starts_with('.') && name.contains(".log.1.") {
        if older(meta, ages.now, UNKNOWN_MS) {
            take("log", &path, meta, "it was never finished", report);
        }
        return;
    }
    let newest = name.strip_suffix(".log");
    let id = newest
        .or_else(|| name.strip_suffix(".log.1"))
        .and_then(|id| TerminalId::parse(id).ok());
    let Some(id) = id else { return };
    let ended = match ends.get(&id) {
        Some(None) => {
            if newest.is_some() {
                shorten(&path, ages, report);
            }
            return;
        }
        Some(Some(at)) => Some(*at),
        None => modified(meta),
    };
    if ended.is_some_and(|at| at < ages.logs) {
        take("log", &path, meta, "its terminal ended long ago", report);
    } else if newest.is_some() {
        shorten(&path, ages, report);
    }
}

/// Moves the older part of a log that is too large out of it.
fn shorten(path: &Path, ages: &Ages, report: &mut Report) {
    let size = logs::on_disk(path);
    if size <= ages.log_max {
        return;
    }
    let mut item = Item {
        what: "log",
        name: Some(path.display().to_string()),
        count: 1,
        bytes: size,
        why: "it is moved into its older part, which is replaced".to_owned(),
    };
    if report.dry_run {
        report.removed.push(item);
        return;
    }
    match logs::rotate(path, ages.log_max) {
        Ok(Rotation::Moved(bytes)) => {
            item.bytes = bytes;
            report.removed.push(item);
        }
        Ok(Rotation::Small) => {}
        Ok(Rotation::Unsupported) => {
            "it is too large, and this file system cannot shorten a file that is written to"
                .clone_into(&mut item.why);
            report.kept.push(item);
        }
        Err(error) => {
            item.why = format!("it is too large and could not be moved: {error}");
            report.kept.push(item);
        }
    }
}

/// Locks of terminals that have ended. Whoever holds one keeps it.
fn locks(home: &Home, ends: &Ends, ages: &Ages, report: &mut Report) {
    let mut count = 0;
    for (entry, meta) in entries(&home.locks()) {
        let name = entry.file_name();
        let id = name
            .to_str()
            .and_then(|name| name.strip_suffix(".lock"))
            .and_then(|id| TerminalId::parse(id).ok());
        let Some(id) = id.filter(|id| !matches!(ends.get(id), Some(None))) else {
            continue;
        };
        if older(&meta, ages.now, UNKNOWN_MS) {
            count += 1;
            if !report.dry_run {
                TerminalLock::remove(home, id.as_str());
            }
        }
    }
    if count > 0 {
        report.removed.push(Item {
            what: "locks",
            name: None,
            count,
            bytes: 0,
            why: "their terminals have ended".to_owned(),
        });
    }
}

fn size_of(path: &Path, meta: &Metadata) -> u64 {
    if meta.is_dir() {
        entries(path)
            .iter()
            .map(|(entry, meta)| size_of(&entry.path(), meta))
            .sum()
    } else {
        logs::on_disk(path)
    }
}

/// Removes a file or a directory, never what a link in its place points to.
fn take(what: &'static str, path: &Path, meta: &Metadata, why: &str, report: &mut Report) {
    let item = Item {
        what,
        name: Some(path.display().to_string()),
        count: 1,
        bytes: size_of(path, meta),
        why: why.to_owned(),
    };
    let removed = if report.dry_run {
        Ok(())
    } else if meta.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match removed {
        Ok(()) => report.removed.push(item),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => report.kept.push(Item {
            why: format!("it could not be removed: {error}"),
            ..item
        }),
    }
}
