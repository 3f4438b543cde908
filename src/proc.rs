//! The one owner of processes: who runs, who started whom, and how children are started.
//!
//! Identity of a process is its pid and its start time (clock ticks since boot, `proc_pid_stat(5)` field 22): a pid alone comes back. Both
//! together may come back after a restart of the machine, so a start carries a mark of the boot that it counts from.

mod group;

pub use group::{End, Said, end_left_group, exec_bound, run_group};

use crate::clock::{self, Deadline};
use crate::error::{Failure, Kind, Result};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

/// A process that can be told from every later one with the same pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Process id.
    pub pid: i32,
    /// Start time: clock ticks since boot in the lower 40 bits, the mark of that boot above them.
    pub start: i64,
}

/// Bits for the clock ticks of a start time; they last for 300 years of one boot.
const TICK_BITS: u32 = 40;

/// The mark of the running boot, where it stands in a start time; 0 where the kernel does not tell one boot from another.
pub fn boot() -> i64 {
    static BOOT: OnceLock<i64> = OnceLock::new();
    *BOOT.get_or_init(|| {
        let id = test_boot().or_else(|| read_proc("/proc/sys/kernel/random/boot_id"));
        id.map_or(0, |id| boot_mark(&id))
    })
}

/// A test may let one process think that it runs in another boot (debug builds only).
#[cfg(debug_assertions)]
fn test_boot() -> Option<Vec<u8>> {
    crate::paths::env(crate::paths::name::BOOT_ID).map(String::into_bytes)
}

#[cfg(not(debug_assertions))]
const fn test_boot() -> Option<Vec<u8>> {
    None
}

/// 23 of the random bits of a boot's UUID, above the bits of the ticks: the sign stays free.
fn boot_mark(id: &[u8]) -> i64 {
    std::str::from_utf8(id)
        .ok()
        .and_then(|id| u32::from_str_radix(id.get(..8)?, 16).ok())
        .map_or(0, |random| i64::from(random >> 9) << TICK_BITS)
}

/// Whether a start time was read in the running boot, as far as that can be told.
pub fn of_this_boot(start: i64) -> bool {
    boot() == 0 || start >> TICK_BITS == boot() >> TICK_BITS
}

/// What the kernel says about one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Pid and start time.
    pub identity: Identity,
    /// Parent's pid.
    pub parent: i32,
    /// Session id (the session leader's pid).
    pub session: i32,
    /// Controlling terminal's device number, 0 for none.
    pub tty: i32,
    /// Process group in the foreground of that terminal, -1 for none.
    pub foreground: i32,
    /// Whether it is a zombie.
    pub zombie: bool,
}

impl Process {
    /// This very process, read from `/proc/self` (in a pid namespace the pid from `getpid` may be a stranger's in `/proc`).
    pub fn own() -> Option<Self> {
        parse_stat(&read_proc("/proc/self/stat")?)
    }

    /// The process with `pid`, if there is one.
    pub fn of(pid: i32) -> Option<Self> {
        parse_stat(&read_proc(&format!("/proc/{pid}/stat"))?)
    }

    /// The name of process `pid`, as the kernel and tmux show it.
    pub fn name(pid: i32) -> Option<String> {
        let bytes = read_proc(&format!("/proc/{pid}/comm"))?;
        Some(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    }

    /// The process that asks and its ancestors, nearest first, up to pid 1.
    pub fn own_ancestry() -> Vec<Self> {
        Self::own().map(Self::ancestry).unwrap_or_default()
    }

    /// This process and its ancestors, nearest first, up to pid 1.
    pub fn ancestry(self) -> Vec<Self> {
        let mut chain = Vec::new();
        let mut next = Some(self);
        while let Some(process) = next {
            next = (process.parent > 0 && chain.len() < 64)
                .then(|| Self::of(process.parent))
                .flatten();
            chain.push(process);
        }
        chain
    }

    /// The arguments that this process was started with, its name first.
    pub fn arguments(&self) -> Vec<String> {
        let bytes = read_proc(&format!("/proc/{}/cmdline", self.identity.pid)).unwrap_or_default();
        bytes
            .split(|byte| *byte == 0)
            .map(|argument| String::from_utf8_lossy(argument).into_owned())
            .collect()
    }

    /// The value of `variable` in the environment that this process was started with.
    pub fn initial_env(&self, variable: &str) -> Option<String> {
        let bytes = read_proc(&format!("/proc/{}/environ", self.identity.pid))?;
        let prefix = format!("{variable}=");
        bytes
            .split(|byte| *byte == 0)
            .find_map(|entry| entry.strip_prefix(prefix.as_bytes()))
            .and_then(|value| String::from_utf8(value.to_vec()).ok())
    }
}

impl Identity {
    /// This very process.
    pub fn own() -> Option<Self> {
        Process::own().map(|process| process.identity)
    }

    /// Whether exactly this process still runs (a zombie does not).
    pub fn alive(self) -> bool {
        Process::of(self.pid).is_some_and(|process| process.identity == self && !process.zombie)
    }

    /// Sends `signal` if exactly this process still runs.
    pub fn signal(self, signal: nix::sys::signal::Signal) {
        if self.pid > 1 && self.alive() {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid), signal);
        }
    }
}

/// How long a process has run, in seconds.
pub fn age(process: &Process) -> Option<i64> {
    // What Linux tells programs is in these, whatever the kernel counts in.
    const TICKS_PER_SECOND: i64 = 100;
    let uptime = read_proc("/proc/uptime")?;
    let seconds: i64 = std::str::from_utf8(&uptime)
        .ok()?
        .split('.')
        .next()?
        .parse()
        .ok()?;
    let ticks = process.identity.start & ((1 << TICK_BITS) - 1);
    Some(seconds - ticks / TICKS_PER_SECOND)
}

/// Every process.
fn all() -> Vec<Process> {
    let mut table: Vec<Process> = Vec::new();
    if let Ok(entries) = fs::read_dir("/proc") {
        for entry in entries.flatten() {
            if let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            {
                table.extend(Process::of(pid));
            }
        }
    }
    table
}

/// Every process that descends from `root`, without `root`, in the order of the process table.
pub fn descendants(root: i32) -> Vec<Identity> {
    let table = all();
    let mut members = vec![root];
    let mut found = Vec::new();
    loop {
        let fresh: Vec<Identity> = table
            .iter()
            .filter(|p| members.contains(&p.parent) && !members.contains(&p.identity.pid))
            .map(|p| p.identity)
            .collect();
        if fresh.is_empty() {
            return found;
        }
        members.extend(fresh.iter().map(|identity| identity.pid));
        found.extend(fresh);
    }
}

/// A process, not this one, whose working directory is `dir` or lies in it. Those of other users are not seen.
pub fn working_in(dir: &Path) -> Option<i32> {
    let own = Identity::own().map(|own| own.pid);
    let pids = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.find(|pid| {
        Some(*pid) != own
            && fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(dir))
    })
}

/// Ends `processes`: SIGTERM, then SIGKILL for what still runs after `grace`. Waits until they are gone or `grace` has passed twice.
pub fn end(processes: &[Identity], grace: Duration) {
    use nix::sys::signal::Signal;
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        for process in processes {
            process.signal(signal);
        }
        if wait_gone(processes, grace) {
            return;
        }
    }
}

/// Waits up to `limit` until none of `processes` runs; says whether that happened.
pub fn wait_gone(processes: &[Identity], limit: Duration) -> bool {
    let deadline = Deadline::after(limit);
    loop {
        if processes.iter().all(|process| !process.alive()) {
            return true;
        }
        if deadline.passed() {
            return false;
        }
        clock::sleep(Duration::from_millis(10), &deadline);
    }
}

/// A command for `program`; the only way to start a child process.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that starts child processes"
)]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    Command::new(program)
}

/// Most of what a child says that is kept, in bytes.
const MAX_SAID: u64 = 64 * 1024;

/// How long the end of what a program said is waited for when the program has ended.
const LEFT_OPEN: Duration = Duration::from_millis(500);

/// Runs `command` without input and waits for its end, at most `limit`; returns what it printed. Anything but success is an error that says
/// what it said.
pub fn run_limited(mut command: Command, limit: Duration) -> Result<String> {
    use std::process::Stdio;
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |why: String| Failure::failed(format!("run {program}: {why}"));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| failed(e.to_string()))?;
    let out = child.stdout.take().map(read_beside);
    let words = child.stderr.take().map(read_beside);
    let deadline = Deadline::after(limit);
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if !deadline.passed() => clock::sleep(Duration::from_millis(3), &deadline),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(Failure::new(
                    Kind::TimedOut,
                    format!("run {program}: it took longer than {} s", limit.as_secs()),
                ));
            }
            Err(error) => return Err(failed(error.to_string())),
        }
    };
    // What the program has left running may hold the pipe for ever.
    let said = |reader: Option<Receiver<Vec<u8>>>| {
        let mut bytes = Vec::new();
        while let Some(more) = reader.as_ref().and_then(|r| r.recv_timeout(LEFT_OPEN).ok()) {
            bytes.extend(more);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    };
    if status.success() {
        return Ok(said(out));
    }
    let words = said(words);
    let last = words.lines().rfind(|line| !line.trim().is_empty());
    Err(failed(format!(
        "{status}: {}",
        last.unwrap_or_default().trim()
    )))
}

/// Reads `pipe` in another thread, so that the program does not wait for it.
fn read_beside(pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut pipe = pipe.take(MAX_SAID);
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = pipe.read(&mut buffer) {
            if sender.send(buffer[..length].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}

/// Starts `command` in a process group of its own, without input and output, and leaves it running: it may outlive this process.
pub fn leave_running(mut command: Command) -> io::Result<()> {
    let mut child = command
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    // Where this process lives on, as an MCP server does, what has ended is not left as a zombie.
    std::thread::spawn(move || child.wait());
    Ok(())
}

/// Replaces this process by `command`; returns only on failure.
pub fn exec(mut command: Command) -> Failure {
    use std::os::unix::process::CommandExt;
    let program = command.get_program().to_string_lossy().into_owned();
    let error = command.exec();
    Failure::failed(format!("start {program}: {error}"))
}

/// Keeps files that this process and its children create private.
pub fn private_umask() {
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
}

/// Whether `pid` runs the same program file as `path` (both without links).
pub fn runs_program(pid: i32, path: &Path) -> bool {
    match (
        fs::canonicalize(format!("/proc/{pid}/exe")),
        fs::canonicalize(path),
    ) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

/// The program file of `pid`.
pub fn program_of(pid: i32) -> Result<std::path::PathBuf> {
    fs::canonicalize(format!("/proc/{pid}/exe"))
        .map_err(|e| Failure::failed(format!("find the program of process {pid}: {e}")))
}

/// Reads a file of `/proc`. Such a file tells no length, and reading it as any other would begin with a few bytes at a time.
fn read_proc(path: &str) -> Option<Vec<u8>> {
    let mut file = fs::File::open(path).ok()?;
    let mut bytes = vec![0; 4096];
    let mut filled = 0;
    loop {
        match file.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(got) => filled += got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
        if filled == bytes.len() {
            bytes.resize(4 * filled, 0);
        }
    }
    bytes.truncate(filled);
    Some(bytes)
}

fn parse_stat(bytes: &[u8]) -> Option<Process> {
    // A program's name may be anything.
    let text = String::from_utf8_lossy(bytes);
    let (pid, rest) = text.split_once(" (")?;
    let (_, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    Some(Process {
        identity: Identity {
            pid: pid.parse().ok()?,
            start: boot() | fields.get(19)?.parse::<i64>().ok()?,
        },
        parent: fields.get(1)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        tty: fields.get(4)?.parse().ok()?,
        foreground: fields.get(5)?.parse().ok()?,
        zombie: fields
            .first()
            .is_some_and(|state| matches!(*state, "Z" | "X")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_past_a_hostile_program_name() {
        let line = "42 (a) b (c) S 7 42 5 34816 42 4194304 1 2 3 4 5 6 7 8 20 0 1 0 999 1 2";
        let process = parse_stat(line.as_bytes()).unwrap();
        assert_eq!(
            process.identity,
            Identity {
                pid: 42,
                start: boot() + 999
            }
        );
        assert_eq!(
            (process.parent, process.session, process.tty),
            (7, 5, 34816)
        );
        let bytes = [&b"42 (\xff\xfe"[..], &line.as_bytes()[7..]].concat();
        assert_eq!(
            parse_stat(&bytes),
            Some(process),
            "a name that is not UTF-8"
        );
    }

    #[test]
    fn the_same_pid_and_ticks_in_another_boot_are_another_process() {
        let marks = [
            "4088a308-68d4-484b-9c9b-c4ee17de1ca8",
            "5088a308-68d4-484b-9c9b-c4ee17de1ca8",
        ]
        .map(|id| boot_mark(id.as_bytes()));
        assert_ne!(marks[0], marks[1]);
        assert!(
            marks
                .iter()
                .all(|mark| *mark > 0 && mark.trailing_zeros() >= TICK_BITS)
        );
        assert_eq!(boot_mark(b"no uuid"), 0);
        let own = Identity::own().unwrap();
        assert!(own.alive() && of_this_boot(own.start));
        assert!((0..60 * 60).contains(&age(&Process::own().unwrap()).unwrap()));
        let ticks = own.start & ((1 << TICK_BITS) - 1);
        let before = Identity {
            start: (boot() ^ (1 << TICK_BITS)) | ticks,
            ..own
        };
        assert!(!before.alive() && !of_this_boot(before.start));
    }

    #[test]
    fn an_environment_of_any_size_is_read() {
        let long = "x".repeat(50_000);
        let mut child = command("sleep")
            .arg("60")
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("FIRST", &long)
            .env("LAST", "here")
            .spawn()
            .unwrap();
        let process = Process::of(i32::try_from(child.id()).unwrap()).unwrap();
        let found = (process.initial_env("FIRST"), process.initial_env("LAST"));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found, (Some(long), Some("here".to_owned())));
    }

    #[test]
    fn own_ancestry_starts_here_and_ends_at_the_top() {
        let chain = Process::own_ancestry();
        assert_eq!(
            chain[0].identity.pid,
            i32::try_from(std::process::id()).unwrap()
        );
        assert!(chain.len() >= 2);
        assert!(chain[0].identity.alive());
    }

    #[test]
    fn who_works_in_a_directory_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        assert_eq!(working_in(&dir), None);
        let mut child = command("sleep")
            .arg("60")
            .current_dir(&dir)
            .spawn()
            .unwrap();
        let found = working_in(&dir);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found, i32::try_from(child.id()).ok());
        assert_eq!(working_in(&dir), None);
    }

    #[test]
    fn a_child_is_a_descendant_and_can_be_ended() {
        let mut child = command("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let mine = i32::try_from(std::process::id()).unwrap();
        let found = descendants(mine)
            .into_iter()
            .find(|identity| identity.pid == pid)
            .unwrap();
        end(&[found], Duration::from_secs(2));
        child.wait().unwrap();
        assert!(!found.alive());
    }
}
