//! The logs of terminals: reading them, and keeping them small while tmux goes on writing.
//!
//! `pipe-pane` starts a `cat` that appends to `<id>.log`; a renamed file would take its output along, and what is written between a copy and
//! a cut would be lost. So the older part is copied to `<id>.log.1`, and then exactly the bytes that were copied are given back to the disk
//! where they stand ([`fsx::free_range`]): the writer notices nothing, and what cannot be copied stays.

mod follow;

pub use follow::Follower;

use super::deliver::place;
use crate::domain::ids::TerminalId;
use crate::domain::terminal::Terminal;
use crate::error::{Failure, Result};
use crate::failpoint;
use crate::fsx;
use crate::paths::Home;
use crate::tmux::{Pane, PaneId, Tmux};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt as _, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Most of a log that is read, in bytes from its end.
const WINDOW: u64 = 8 * 1024 * 1024;

/// What stands in a log where its writer was gone.
const GAP: &str = "[conductor: the log was interrupted here; what was said meanwhile is missing]";

/// How many bytes are copied or compared at once.
const CHUNK: usize = 64 * 1024;

/// The largest line that is kept whole where a log is cut, in bytes.
const LINE: u64 = 64 * 1024;

/// Where the older part of the log at `path` lies.
pub fn older(path: &Path) -> PathBuf {
    let mut older = path.as_os_str().to_owned();
    older.push(".1");
    PathBuf::from(older)
}

/// A log and which of its bytes are data.
struct Log {
    file: File,
    begins: u64,
    ends: u64,
}

impl Log {
    fn open(path: &Path) -> io::Result<Option<Self>> {
        Ok(match fsx::open_regular(path)? {
            None => None,
            Some(file) => Some(Self::of(file)?),
        })
    }

    fn of(file: File) -> io::Result<Self> {
        let ends = file.metadata()?.len();
        let mut begins = fsx::data_begins(&file)?;
        // What was given back ends within a block.
        let mut bytes = [0u8; 4096];
        while begins > 0 && begins < ends {
            let read = file.read_at(&mut bytes, begins)?;
            let zeros = bytes[..read].iter().take_while(|byte| **byte == 0).count();
            begins += zeros as u64;
            if read == 0 || zeros < read {
                break;
            }
        }
        Ok(Self { file, begins, ends })
    }

    const fn size(&self) -> u64 {
        self.ends.saturating_sub(self.begins)
    }

    /// At most `most` bytes behind `from`.
    fn read(&self, from: u64, most: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut file = &self.file;
        let from = from.max(self.begins);
        file.seek(SeekFrom::Start(from))?;
        file.take(self.ends.saturating_sub(from).min(most))
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// The end of the last line before `at`, where one ends near; else `at`.
    fn line_end(&self, at: u64) -> io::Result<u64> {
        let from = at.saturating_sub(LINE).max(self.begins);
        let mut bytes = vec![0u8; usize::try_from(at - from).unwrap_or(0)];
        self.file.read_exact_at(&mut bytes, from)?;
        Ok(bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(at, |line| from + line as u64 + 1))
    }
}

/// A copy of the first bytes of a log that is on its way to be its older part: `<log>.1.<END>`, where its bytes end in the log, in hexadecimal
/// digits. Whoever made it may have been killed before or after they were given back.
fn on_its_way(path: &Path) -> Option<(PathBuf, u64)> {
    let older = older(path);
    let prefix = format!("{}.", older.file_name()?.to_str()?);
    fs::read_dir(path.parent()?)
        .ok()?
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .find_map(|entry| {
            let end = entry
                .file_name()
                .to_str()?
                .strip_prefix(&prefix)?
                .to_owned();
            Some((entry.path(), u64::from_str_radix(&end, 16).ok()?))
        })
}

/// The log at `path` and its older part.
fn parts(path: &Path) -> io::Result<(Option<Log>, Option<Log>)> {
    let mut log = Log::open(path)?;
    let older = match on_its_way(path) {
        Some((copy, end)) => {
            if let Some(log) = &mut log {
                log.begins = log.begins.max(end.min(log.ends));
            }
            Log::open(&copy)?
        }
        None => Log::open(&older(path))?,
    };
    Ok((log, older))
}

/// The bytes of the log at `path`, the older part first, at most the last [`WINDOW`]; and where in the log they end.
pub fn read(path: &Path) -> io::Result<(Vec<u8>, u64)> {
    let (log, older) = parts(path)?;
    let Some(log) = log else {
        let older = older.ok_or(io::ErrorKind::NotFound)?;
        let from = older.ends.saturating_sub(WINDOW);
        return Ok((older.read(from, WINDOW)?, 0));
    };
    let mut bytes = Vec::new();
    if log.size() < WINDOW
        && let Some(older) = &older
    {
        let left = WINDOW - log.size();
        bytes = older.read(older.ends.saturating_sub(left), left)?;
    }
    bytes.extend(log.read(log.ends.saturating_sub(WINDOW), WINDOW)?);
    Ok((bytes, log.ends))
}

/// What the disk holds of the log at `path`, in bytes: cheap enough for a hook to ask.
pub fn on_disk(path: &Path) -> u64 {
    fs::symlink_metadata(path).map_or(0, |meta| (meta.blocks() * 512).min(meta.len()))
}

/// What became of a log that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// It is small enough, or somebody else is at it.
    Small,
    /// This many bytes are now its older part.
    Moved(u64),
    /// It is too large, and the file system cannot give back what is in the middle of a file.
    Unsupported,
}

/// Moves what the log at `path` holds into its older part when it is larger than `most` bytes, whether or not somebody writes to it. What
/// had moved before is gone then, and of a log that is much larger the oldest lines: those that are more than twice `most` from its end.
/// No line is lost when it fails or is killed, at whatever step.
pub fn rotate(path: &Path, most: u64) -> io::Result<Rotation> {
    if on_disk(path) <= most {
        return Ok(Rotation::Small);
    }
    let open = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits())
        .open(path)?;
    // The writer takes no lock: this one is for others who want to move it.
    let Ok(_held) = fsx::try_hold(open.try_clone()?)? else {
        return Ok(Rotation::Small);
    };
    let mut log = Log::of(open)?;
    if let Some((copy, end)) = on_its_way(path) {
        if let Some(unsupported) = arrive(&log, path, &copy, end)? {
            return Ok(unsupported);
        }
        log.begins = log.begins.max(end);
    }
    if log.size() <= most {
        return Ok(Rotation::Small);
    }
    let end = log.line_end(log.ends)?;
    let kept = end.saturating_sub(most.saturating_mul(2));
    if kept > log.begins {
        let kept = log.line_end(kept)?;
        if let Some(unsupported) = give_back(&log, kept)? {
            return Ok(unsupported);
        }
        log.begins = kept;
    }
    let mut copied = older(path).into_os_string();
    copied.push(format!(".{end:x}"));
    let copied = PathBuf::from(copied);
    copy(&log, end, &copied)?;
    failpoint::hit("log.copied");
    if let Some(unsupported) = arrive(&log, path, &copied, end)? {
        return Ok(unsupported);
    }
    Ok(Rotation::Moved(end - log.begins))
}

/// What was copied up to `end` is given back, and the copy is the older part.
fn arrive(log: &Log, path: &Path, copy: &Path, end: u64) -> io::Result<Option<Rotation>> {
    // A log that was made anew meanwhile holds none of it.
    if end <= log.ends
        && let Some(unsupported) = give_back(log, end)?
    {
        fs::remove_file(copy)?;
        return Ok(Some(unsupported));
    }
    failpoint::hit("log.given_back");
    fs::rename(copy, older(path))?;
    Ok(None)
}

fn give_back(log: &Log, end: u64) -> io::Result<Option<Rotation>> {
    match fsx::free_range(&log.file, 0, end) {
        Ok(()) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(Some(Rotation::Unsupported)),
        Err(error) => Err(error),
    }
}

/// Makes `to` hold the bytes of `log` up to `end`, in one step.
fn copy(log: &Log, end: u64, to: &Path) -> io::Result<()> {
    fsx::write_atomic_with(to, 0o600, |file| {
        let mut bytes = vec![0u8; CHUNK];
        let mut at = log.begins;
        while at < end {
            let part = usize::try_from((end - at).min(CHUNK as u64)).unwrap_or(CHUNK);
            log.file.read_exact_at(&mut bytes[..part], at)?;
            file.write_all(&bytes[..part])?;
            failpoint::fail("log.copying")?;
            at += part as u64;
        }
        Ok(())
    })
}

/// Live terminals whose output should be logged and is not: a writer ends when the disk is full. Servers that do not answer are left out.
pub fn silent(living: &[Terminal]) -> Vec<(Tmux, PaneId, TerminalId)> {
    let mut found = Vec::new();
    let mut known: Vec<(PathBuf, Vec<Pane>)> = Vec::new();
    for terminal in living {
        let Some((tmux, pane)) = place(terminal) else {
            continue;
        };
        let socket = tmux.socket().to_path_buf();
        if !known.iter().any(|(other, _)| *other == socket) {
            let panes = tmux.panes().map(|(_, panes)| panes).unwrap_or_default();
            known.push((socket.clone(), panes));
        }
        let panes = known.iter().find(|(other, _)| *other == socket);
        let is_silent = panes.is_some_and(|(_, panes)| {
            panes.iter().any(|p| {
                p.id == pane
                    && p.logged
                    && !p.piped
                    && !p.dead
                    && p.terminal == terminal.id.as_str()
            })
        });
        if is_silent {
            found.push((tmux, pane, terminal.id.clone()));
        }
    }
    found
}

/// Logs a pane's output again, with a line that says that something is missing.
pub fn log_again(home: &Home, tmux: &Tmux, pane: PaneId, id: &TerminalId) -> Result<()> {
    let path = home.terminal_log(id.as_str());
    fsx::append_line_durable(&path, GAP.as_bytes())
        .map_err(|e| Failure::state(format!("write the log of terminal {id}: {e}")).disk(&e))?;
    Ok(tmux.pipe_again(pane, id)?)
}

#[cfg(test)]
#[path = "logs_tests.rs"]
mod tests;
