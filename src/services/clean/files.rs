//! What is old in the state directory.

use super::super::after;
use super::super::context::Context;
use super::super::logs::{self, Rotation};
use super::{Ages, Item, Report};
use crate::domain::ids::TerminalId;
use crate::error::Result;
use crate::paths::Home;
use crate::proc::Process;
use crate::progress;
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
    for (index, (entry, meta)) in entries(&cx.home.terminal_logs()).into_iter().enumerate() {
        progress::at(|| format!("logs: {}", index + 1));
        log(store, &entry, &meta, &ends, ages, report);
    }
    for (index, (entry, meta)) in entries(&cx.home.run()).into_iter().enumerate() {
        progress::at(|| format!("agents' directories: {}", index + 1));
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
            run_files(cx, store, &id, &entry.path(), why, report);
        }
    }
    locks(&cx.home, &ends, ages, report);
    for (entry, _) in entries(&cx.home.run().join("bells")) {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.parse().ok());
        if pid.is_some_and(|pid| Process::of(pid).is_none()) {
            take("run files", &entry.path(), "its process has ended", report);
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
fn log(
    store: &mut Store,
    entry: &DirEntry,
    meta: &Metadata,
    ends: &Ends,
    ages: &Ages,
    report: &mut Report,
) {
    let path = entry.path();
    let name = entry.file_name();
    let Some(name) = name.to_str().filter(|_| meta.is_file()) else {
        return;
    };
    // What a copy that was killed left behind.
    if name.starts_with('.') && name.contains(".log.1.") {
        if older(meta, ages.now, UNKNOWN_MS) {
            take("log", &path, "it was never finished", report);
        }
        return;
    }
    // The log itself, its older part, or a copy that is to be that.
    let Some((id, rest)) = name.split_once(".log") else {
        return;
    };
    let newest = rest.is_empty();
    let (true, Ok(id)) = (newest || rest.starts_with(".1"), TerminalId::parse(id)) else {
        return;
    };
    let ended = match ends.get(&id) {
        Some(None) => {
            if newest {
                shorten(&path, ages, report);
            }
            return;
        }
        Some(Some(at)) => Some(*at),
        None => modified(meta),
    };
    if ended.is_some_and(|at| at < ages.logs) && is_over(store, &id) {
        take("log", &path, "its terminal ended long ago", report);
    } else if newest {
        shorten(&path, ages, report);
    }
}

/// Whether a terminal is over by now, and does not wait to be resumed: it may have been resumed since it was looked at.
fn is_over(store: &mut Store, id: &TerminalId) -> bool {
    store
        .read(|tx| tx.terminal(id))
        .is_ok_and(|terminal| terminal.is_none_or(|t| !t.alive() && !t.lost()))
}

/// Removes the files of an agent that has ended, unless it is being started again.
fn run_files(
    cx: &Context,
    store: &mut Store,
    id: &TerminalId,
    path: &Path,
    why: &str,
    report: &mut Report,
) {
    let item = Item {
        what: "run files",
        name: Some(path.display().to_string()),
        count: 1,
        bytes: size_of(path),
        why: why.to_owned(),
    };
    if !report.dry_run {
        after::remove_files(cx, store, id);
        if path.exists() {
            return;
        }
    }
    report.removed.push(item);
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
            .and_then(|name| TerminalId::parse(name.strip_suffix(".files").unwrap_or(name)).ok());
        if id.is_none_or(|id| matches!(ends.get(&id), Some(None))) {
            continue;
        }
        if older(&meta, ages.now, UNKNOWN_MS) {
            count += 1;
            if !report.dry_run {
                let name = name.to_string_lossy();
                TerminalLock::remove(home, name.trim_end_matches(".lock"));
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

fn size_of(path: &Path) -> u64 {
    if fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir()) {
        entries(path)
            .iter()
            .map(|(entry, _)| size_of(&entry.path()))
            .sum()
    } else {
        logs::on_disk(path)
    }
}

/// Removes a file, never what a link in its place points to.
fn take(what: &'static str, path: &Path, why: &str, report: &mut Report) {
    let item = Item {
        what,
        name: Some(path.display().to_string()),
        count: 1,
        bytes: size_of(path),
        why: why.to_owned(),
    };
    let removed = if report.dry_run {
        Ok(())
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
