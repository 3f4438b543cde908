//! The audit log as a file, `approvals/audit.jsonl`: what the chain in the database says, appended after the commit.
//!
//! The database records up to which entry and which length the file was written. Behind that length stands nothing, or the start of what
//! comes next, left by a process that died while it wrote: the next one completes it. Anything else is kept as evidence, in the file or
//! in an entry of its own, and never mended silently: [`crate::domain::audit::check`] finds what does not fit.

use super::db::{Budget, Durability, Store, Tx};
use super::error::Error;
use super::lock::AuditLock;
use crate::clock;
use crate::domain::audit::check::{Check, Report};
use crate::domain::audit::{Exported, Stored};
use crate::domain::redact::excerpt;
use crate::domain::text::sanitise;
use crate::failpoint;
use crate::fsx;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// How many entries are written at once.
const PAGE: u32 = 512;

/// How much of foreign text an entry keeps, in characters.
const KEPT: usize = 2_000;

/// How much of it is read, in bytes: a secret is found whole before the text is cut.
const READ: usize = 4 * KEPT;

/// Says each new entry to the system's log, where the same user cannot change it: a chain that is rewritten later does not fit.
pub(super) fn announce(entries: &[Stored]) {
    for Stored { entry, hash } in entries {
        tracing::info!(target: crate::log::AUDIT, seq = entry.seq, %hash, action = %entry.action, subject = %entry.subject, "audit");
    }
}

/// What stands behind the recorded length, where it is not what comes next.
#[derive(Debug)]
struct Foreign {
    /// Entries that were written whole, and their length.
    ours: Exported,
    /// Bytes behind them, up to the last line end: whole lines.
    lines: u64,
    /// Bytes behind that: the start of a line.
    torn: u64,
    sha256: String,
    start: Vec<u8>,
}

/// Appends what is missing of `page`; the new length, or `None` when the file is not as it was left.
fn append(path: &Path, exported: Option<Exported>, page: &[Stored]) -> io::Result<Option<u64>> {
    let recorded = exported.unwrap_or_default().bytes;
    let mut text = Vec::new();
    let mut there = 0;
    let found = fsx::open_regular(path)?;
    let fresh = found.is_none();
    if let Some(mut file) = found {
        there = file.metadata()?.len();
        if there < recorded {
            return Ok(None);
        }
        text.extend(lead(&mut file, recorded)?);
    } else if recorded > 0 {
        return Ok(None);
    }
    for row in page {
        text.extend_from_slice(row.line().as_bytes());
        text.push(b'\n');
    }
    let behind = usize::try_from(there - recorded).unwrap_or(usize::MAX);
    if behind > 0 {
        let start = text.get(..behind);
        let tail = tail(path, recorded, behind.min(text.len()))?;
        if start.is_none_or(|start| start != tail) {
            return Ok(None);
        }
    }
    let mut file = fsx::open_append(path)?;
    let rest = text.get(behind..).unwrap_or_default();
    let written = failpoint::write("audit.append", &mut file, rest)
        .and_then(|()| file.sync_data())
        .and_then(|()| file.metadata());
    let whole = recorded + text.len() as u64;
    match written {
        Ok(meta) if meta.len() == whole => {}
        Ok(_) => return Err(io::Error::other("somebody else writes to it too")),
        Err(error) => {
            // A full disk: what was written of a line is taken back; if that fails too, the next writer completes it.
            let _ = file.set_len(there);
            return Err(error);
        }
    }
    if fresh && let Some(dir) = path.parent() {
        fsx::sync_dir(dir)?;
    }
    failpoint::hit("audit.appended");
    Ok(Some(whole))
}

impl Store {
    /// Writes what the chain holds and the log file does not. Where nothing waits, no file is opened.
    pub fn export_audit(&mut self, budget: Budget) -> Result<(), Error> {
        if self.waiting()?.1.is_empty() {
            return Ok(());
        }
        failpoint::hit("audit.before_export");
        let _lock = AuditLock::acquire(self.home(), budget.duration())?;
        loop {
            let (exported, page) = self.waiting()?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            // A line in the file that a loss of power takes out of the database would look like a forged one.
            match fsx::sync_file(&self.wal()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::io("write the audit chain to the disk")(error));
                }
                _ => {}
            }
            let path = self.home().audit_log();
            let refused = |error| Error::io(format!("write {}", path.display()))(error);
            let Some(bytes) = append(&path, exported, &page).map_err(refused)? else {
                self.keep_evidence(exported, &page, budget)?;
                continue;
            };
            let now = Exported {
                seq: last.entry.seq,
                bytes,
            };
            self.commit(Durability::Process, budget, |tx| tx.set_audit_exported(now))?;
            failpoint::hit("audit.recorded");
        }
    }

    /// What the file holds by the database's word, and the next entries for it.
    fn waiting(&mut self) -> Result<(Option<Exported>, Vec<Stored>), Error> {
        self.read(|tx| {
            let exported = tx.audit_exported()?;
            let from = exported.unwrap_or_default().seq;
            Ok((exported, tx.audit_after(from, PAGE)?))
        })
    }

    /// The file is not as it was left. What is known of it goes into an entry, and what the file then holds is recorded, so that later
    /// entries follow behind it; what is not ours stays for the check to find, but for the start of a line, which the entry keeps.
    fn keep_evidence(
        &mut self,
        exported: Option<Exported>,
        page: &[Stored],
        budget: Budget,
    ) -> Result<(), Error> {
        let path = self.home().audit_log();
        let refused = |error| Error::io(format!("read {}", path.display()))(error);
        let recorded = exported.unwrap_or_default();
        let there = std::fs::symlink_metadata(&path).map_or(0, |meta| meta.len());
        if there < recorded.bytes {
            tracing::error!(there, recorded = recorded.bytes, "the audit log was cut");
            let detail =
                serde_json::json!({"found_bytes": there, "recorded_bytes": recorded.bytes});
            let now = Exported {
                bytes: there,
                ..recorded
            };
            return self.note("audit.cut", detail, Some(now), budget);
        }
        let foreign = scan(&path, recorded, page).map_err(refused)?;
        tracing::error!(
            lines = foreign.lines,
            torn = foreign.torn,
            "the audit log holds what is not ours"
        );
        let start = sanitise(&String::from_utf8_lossy(&foreign.start));
        let detail = serde_json::json!({
            "bytes": foreign.lines + foreign.torn,
            "sha256": foreign.sha256,
            "text": excerpt(&start, KEPT),
        });
        if exported.is_none() && foreign.ours.seq == 0 && foreign.lines > 0 {
            // The log of a database that is no longer there: it stays whole, beside the new one.
            let name = format!("audit-until-{}.jsonl", clock::now().as_millisecond());
            let kept = path.with_file_name(&name);
            let mut detail = detail;
            detail["kept_as"] = name.into();
            self.note("audit.set_aside", detail, None, budget)?;
            return std::fs::rename(&path, &kept).map_err(refused);
        }
        let now = Exported {
            seq: foreign.ours.seq,
            bytes: foreign.ours.bytes + foreign.lines,
        };
        let action = if foreign.lines > 0 {
            "audit.foreign"
        } else {
            "audit.recovered"
        };
        self.note(action, detail, Some(now), budget)?;
        failpoint::hit("audit.noted");
        if foreign.torn > 0 {
            let file = fsx::open_append(&path).map_err(refused)?;
            file.set_len(now.bytes).map_err(refused)?;
        }
        Ok(())
    }

    /// Adds an entry about the file, and records what it holds, in one transaction.
    fn note(
        &mut self,
        action: &str,
        detail: serde_json::Value,
        now: Option<Exported>,
        budget: Budget,
    ) -> Result<(), Error> {
        let ((), audited) = self.commit(Durability::Power, budget, |tx: &Tx<'_>| {
            tx.audit(
                clock::now(),
                action,
                "audit.jsonl",
                "conductor",
                "export",
                detail,
            )?;
            now.map_or(Ok(()), |now| tx.set_audit_exported(now))
        })?;
        announce(&audited);
        Ok(())
    }

    /// Checks the chain and the file. Writes nothing.
    pub fn check_audit(&mut self) -> Result<Report, Error> {
        let _lock = AuditLock::to_read(self.home(), Budget::Call.duration())?;
        let path = self.home().audit_log();
        let mut check = self.read(|tx| {
            let mut check = Check::new(tx.audit_head()?, tx.audit_exported()?);
            tx.audit_rows(|row| check.row(row))?;
            Ok::<_, Error>(check)
        })?;
        let read = || -> io::Result<Report> {
            if let Some(mut file) = fsx::open_regular(&path)? {
                let mut chunk = vec![0; 64 * 1024];
                loop {
                    let length = file.read(&mut chunk)?;
                    if length == 0 {
                        break;
                    }
                    check.bytes(&chunk[..length]);
                }
            }
            Ok(check.finish())
        };
        read().map_err(Error::io(format!("read {}", path.display())))
    }
}

/// What has to stand in front of the next entry: a line end where somebody cut the last one.
fn lead(file: &mut File, recorded: u64) -> io::Result<&'static [u8]> {
    let Some(last) = recorded.checked_sub(1) else {
        return Ok(b"");
    };
    let mut byte = [0];
    file.seek(SeekFrom::Start(last))?;
    file.read_exact(&mut byte)?;
    Ok(if byte == *b"\n" { b"" } else { b"\n" })
}

/// Up to `length` bytes of the file behind `from`.
fn tail(path: &Path, from: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut file) = fsx::open_regular(path)? {
        file.seek(SeekFrom::Start(from))?;
        file.take(length as u64).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// Looks at what stands behind the recorded length.
fn scan(path: &Path, recorded: Exported, page: &[Stored]) -> io::Result<Foreign> {
    let mut ours = recorded;
    let mut at = recorded.bytes;
    for row in page {
        let line = row.line() + "\n";
        if tail(path, at, line.len())? != line.as_bytes() {
            break;
        }
        at += line.len() as u64;
        ours = Exported {
            seq: row.entry.seq,
            bytes: at,
        };
    }
    let mut foreign = Foreign {
        ours,
        lines: 0,
        torn: 0,
        sha256: String::new(),
        start: tail(path, at, READ)?,
    };
    let mut hasher = Sha256::new();
    if let Some(mut file) = fsx::open_regular(path)? {
        file.seek(SeekFrom::Start(at))?;
        let mut chunk = vec![0; 64 * 1024];
        loop {
            let length = file.read(&mut chunk)?;
            let Some(read) = chunk.get(..length).filter(|read| !read.is_empty()) else {
                break;
            };
            hasher.update(read);
            match read.iter().rposition(|byte| *byte == b'\n') {
                Some(end) => {
                    foreign.lines += foreign.torn + end as u64 + 1;
                    foreign.torn = (length - end - 1) as u64;
                }
                None => foreign.torn += length as u64,
            }
        }
    }
    foreign.sha256 = fsx::hex(&hasher.finalize());
    if foreign.lines > 0 && has_holes(path, ours, page, foreign.lines + foreign.torn)? {
        foreign.torn += foreign.lines;
        foreign.lines = 0;
    }
    Ok(foreign)
}

/// Whether the last `length` bytes are those of the next entries with zeros in them: what a loss of power leaves of blocks that were not
/// written yet. No entry holds a zero.
fn has_holes(path: &Path, ours: Exported, page: &[Stored], length: u64) -> io::Result<bool> {
    let next = page.iter().filter(|row| row.entry.seq > ours.seq);
    let due = next.fold(String::new(), |text, row| text + &row.line() + "\n");
    if length > due.len() as u64 {
        return Ok(false);
    }
    let there = tail(path, ours.bytes, due.len())?;
    let pairs = there.iter().zip(due.as_bytes());
    Ok(pairs
        .into_iter()
        .all(|(there, due)| *there == 0 || there == due))
}

#[cfg(test)]
#[path = "audit_file_tests.rs"]
mod tests;
