//! Points between two steps at which a test lets this process die as by `kill -9`, or lets a step fail. Debug builds only: in a release
//! build every call is empty.
//!
//! `CONDUCTOR_FAILPOINT` names one point: `NAME` dies there, `NAME:3` at the third time that this process gets there, `NAME=error` makes
//! the step fail, `NAME=errors` each time. `CONDUCTOR_FAILPOINT_FILE` names a file with such a line, for processes that are started by somebody else (hooks,
//! timers); the first process that gets there takes the file away, so that exactly one of them dies (not with `=errors`).

use std::io::{self, Write};

/// Dies here if a test says so.
#[cfg(debug_assertions)]
pub fn hit(name: &'static str) {
    if on::wanted(name, on::Act::Die) {
        on::die();
    }
}

/// Fails here, or dies here, if a test says so.
#[cfg(debug_assertions)]
pub fn fail(name: &'static str) -> io::Result<()> {
    hit(name);
    if on::wanted(name, on::Act::Fail) {
        return Err(io::Error::new(
            io::ErrorKind::StorageFull,
            format!("failpoint {name}"),
        ));
    }
    Ok(())
}

/// Writes `bytes`; dies or fails after half of them if a test says so.
#[cfg(debug_assertions)]
pub fn write(name: &'static str, to: &mut dyn Write, bytes: &[u8]) -> io::Result<()> {
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    to.write_all(first)?;
    fail(name)?;
    to.write_all(rest)
}

/// Writes `bytes`.
#[cfg(not(debug_assertions))]
pub fn write(_name: &'static str, to: &mut dyn Write, bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes)
}

/// Nothing, in a release build.
#[cfg(not(debug_assertions))]
pub const fn hit(_name: &'static str) {}

/// Nothing, in a release build.
#[cfg(not(debug_assertions))]
#[expect(
    clippy::unnecessary_wraps,
    reason = "it may fail in a debug build only"
)]
pub const fn fail(_name: &'static str) -> io::Result<()> {
    Ok(())
}

#[cfg(debug_assertions)]
mod on {
    use crate::{fsx, paths};
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    use std::collections::HashMap;
    use std::path::PathBuf;
    use std::sync::Mutex;
    use std::time::Duration;

    /// What shall happen at a point.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(super) enum Act {
        /// The process is killed.
        Die,
        /// The step fails.
        Fail,
    }

    /// In place of a count: each time, in every process.
    const EACH: u32 = 0;

    /// One line: which point, at which time, what.
    #[derive(Debug, PartialEq, Eq)]
    pub(super) struct Wish<'a> {
        name: &'a str,
        at: u32,
        act: Act,
    }

    pub(super) fn parse(line: &str) -> Wish<'_> {
        let line = line.trim();
        if let Some(name) = line.strip_suffix("=errors") {
            return Wish {
                name,
                at: EACH,
                act: Act::Fail,
            };
        }
        if let Some(name) = line.strip_suffix("=error") {
            return Wish {
                name,
                at: 1,
                act: Act::Fail,
            };
        }
        let (name, at) = line
            .split_once(':')
            .map_or((line, 1), |(name, at)| (name, at.parse().unwrap_or(1)));
        Wish {
            name,
            at,
            act: Act::Die,
        }
    }

    /// How often this process got to a point that is wanted.
    static HITS: Mutex<Option<HashMap<&'static str, u32>>> = Mutex::new(None);

    pub(super) fn wanted(name: &'static str, act: Act) -> bool {
        let named = paths::env(paths::name::FAILPOINT);
        let file = paths::env_os(paths::name::FAILPOINT_FILE).map(PathBuf::from);
        let from_file = || {
            let bytes = fsx::read_file_limited(file.as_deref()?, 4096).ok()?;
            String::from_utf8(bytes).ok()
        };
        let (line, taken) = match named {
            Some(line) => (line, false),
            None => match from_file() {
                Some(line) => (line, true),
                None => return false,
            },
        };
        let wish = parse(&line);
        if wish.name != name || wish.act != act {
            return false;
        }
        let Ok(mut hits) = HITS.lock() else {
            return false;
        };
        let count = hits.get_or_insert_default().entry(name).or_default();
        *count += 1;
        if wish.at == EACH {
            return true;
        }
        if *count != wish.at {
            return false;
        }
        // Of two processes at the same point one removes the file, and that one is meant.
        !taken || file.is_some_and(|file| std::fs::remove_file(file).is_ok())
    }

    pub(super) fn die() {
        let _ = kill(Pid::this(), Signal::SIGKILL);
        // The signal is on its way.
        std::thread::sleep(Duration::from_secs(10));
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_line_names_a_point() {
            let wish = |name, at, act| Wish { name, at, act };
            assert_eq!(parse("a.b\n"), wish("a.b", 1, Act::Die));
            assert_eq!(parse("a.b:3"), wish("a.b", 3, Act::Die));
            assert_eq!(parse("a.b=error"), wish("a.b", 1, Act::Fail));
            assert_eq!(parse("a.b=errors"), wish("a.b", EACH, Act::Fail));
        }

        #[test]
        fn without_a_wish_nothing_happens() {
            super::super::hit("nowhere");
            super::super::fail("nowhere").unwrap();
        }
    }
}
