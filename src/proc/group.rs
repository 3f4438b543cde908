//! A child in a process group of its own, with a limit for its time and for what it says: nothing of it is left when this returns.

use super::{Identity, Process};
use crate::clock::{self, Deadline};
use crate::error::Failure;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How a child ended.
#[derive(Debug)]
pub enum End {
    /// By itself.
    Exited(ExitStatus),
    /// Its time was up.
    TooSlow,
    /// It said more than it may.
    TooMuch,
}

/// What became of a child, and what it said.
#[derive(Debug)]
pub struct Said {
    /// How it ended.
    pub end: End,
    /// Its standard output, at most the limit.
    pub out: Vec<u8>,
    /// The beginning of its standard error.
    pub err: Vec<u8>,
}

/// How long processes of the group may take to end after SIGTERM.
const GRACE: Duration = Duration::from_millis(500);

/// Most of its standard error that is kept, in bytes.
const MAX_ERR: usize = 16 * 1024;

/// Runs `command`, whose standard input the caller has set, in a process group of its own, for at most `limit`; it may print `most` bytes.
/// `started` is told its leader. When it is over, whatever is left of its group is killed.
pub fn run_group(
    mut command: Command,
    limit: Duration,
    most: usize,
    started: impl FnOnce(Identity),
) -> io::Result<Said> {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let leader = i32::try_from(child.id()).ok().and_then(Process::of);
    if let Some(leader) = leader {
        started(leader.identity);
    }
    let too_much = Arc::new(AtomicBool::new(false));
    let out = child
        .stdout
        .take()
        .map(|pipe| Reader::start(pipe, most, Arc::clone(&too_much)));
    let err = child
        .stderr
        .take()
        .map(|pipe| Reader::start(pipe, MAX_ERR, Arc::default()));
    let deadline = Deadline::after(limit);
    let ended = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Ok(End::Exited(status)),
            Ok(None) if too_much.load(Ordering::Relaxed) => break Ok(End::TooMuch),
            Ok(None) if deadline.passed() => break Ok(End::TooSlow),
            Ok(None) => std::thread::sleep(Duration::from_millis(5)),
            Err(error) => break Err(error),
        }
    };
    end_group(&mut child, matches!(ended, Ok(End::Exited(_))));
    let read = |reader: Option<Reader>| reader.map(Reader::take).unwrap_or_default();
    let (out, err) = (read(out), read(err));
    let end = match ended? {
        End::Exited(_) if too_much.load(Ordering::Relaxed) => End::TooMuch,
        end => end,
    };
    Ok(Said { end, out, err })
}

/// Ends the group: what is left of a leader that has gone is killed at once, else it gets a moment.
fn end_group(child: &mut Child, gone: bool) {
    let Ok(group) = i32::try_from(child.id()).map(Pid::from_raw) else {
        return;
    };
    if !gone {
        let _ = killpg(group, Signal::SIGTERM);
        let grace = Deadline::after(GRACE);
        while !grace.passed() && matches!(child.try_wait(), Ok(None)) {
            clock::sleep(Duration::from_millis(5), &grace);
        }
    }
    let _ = killpg(group, Signal::SIGKILL);
    let _ = child.wait();
}

/// Replaces this process by `command`, which is killed when `parent`, its parent, ends, however that happens; returns only on failure.
pub fn exec_bound(command: Command, parent: i32) -> Failure {
    #[cfg(target_os = "linux")]
    if let Err(error) = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL) {
        return Failure::failed(format!("bind a process to its parent: {error}"));
    }
    // It may have ended before.
    if nix::unistd::getppid().as_raw() != parent {
        return Failure::failed("the helper that wanted this has ended");
    }
    super::exec(command)
}

/// Kills what is left of a group that [`run_group`] made, in a process that was killed meanwhile: its leader, and those of its members that
/// were started with `mark`, name and value, in their environment. A number that has come back means nobody else.
pub fn end_left_group(leader: Identity, mark: (&str, &str)) {
    let member = |process: &Process| {
        let pid = process.identity.pid;
        let group = nix::unistd::getpgid(Some(Pid::from_raw(pid)));
        group.is_ok_and(|group| group.as_raw() == leader.pid)
            && (process.identity == leader
                || process.initial_env(mark.0).as_deref() == Some(mark.1))
    };
    // What is started while we look is found by the next look.
    for _ in 0..3 {
        let found: Vec<Identity> = super::all()
            .into_iter()
            .filter(|process| !process.zombie && member(process))
            .map(|process| process.identity)
            .collect();
        if found.is_empty() {
            return;
        }
        for process in found {
            process.signal(Signal::SIGKILL);
        }
    }
}

/// Reads a pipe beside the child, so that it never waits for us. A process that left the group may keep the pipe open for ever: then what
/// was read until then counts.
struct Reader {
    bytes: Arc<Mutex<Vec<u8>>>,
    over: Receiver<()>,
}

impl Reader {
    fn start(mut pipe: impl Read + Send + 'static, most: usize, too_much: Arc<AtomicBool>) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&bytes);
        let (sender, over) = mpsc::channel();
        std::thread::spawn(move || {
            let mut chunk = [0; 8192];
            loop {
                let got = match pipe.read(&mut chunk) {
                    Ok(0) => break,
                    Ok(got) => got,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(_) => break,
                };
                let Ok(mut kept) = kept.lock() else {
                    break;
                };
                let room = most - kept.len();
                kept.extend_from_slice(&chunk[..got.min(room)]);
                if got > room {
                    too_much.store(true, Ordering::Relaxed);
                }
            }
            let _ = sender.send(());
        });
        Self { bytes, over }
    }

    fn take(self) -> Vec<u8> {
        let _ = self.over.recv_timeout(GRACE);
        self.bytes
            .lock()
            .map(|mut bytes| std::mem::take(&mut *bytes))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::command;
    use super::*;
    use std::time::Instant;

    fn sh(script: &str, ms: u64, most: usize) -> Said {
        let mut child = command("/bin/sh");
        child.args(["-c", script]).stdin(Stdio::null());
        run_group(child, Duration::from_millis(ms), most, |_| ()).unwrap()
    }

    #[test]
    fn what_it_says_and_how_it_ends_is_told() {
        let said = sh("echo out; echo err >&2; exit 3", 10_000, 100);
        assert!(matches!(said.end, End::Exited(status) if status.code() == Some(3)));
        assert_eq!(
            (&said.out[..], &said.err[..]),
            (&b"out\n"[..], &b"err\n"[..])
        );
    }

    #[test]
    fn one_that_says_or_takes_too_much_is_ended_with_its_children() {
        let begun = Instant::now();
        let said = sh("sleep 60 & sleep 60", 100, 100);
        assert!(matches!(said.end, End::TooSlow));
        let said = sh("yes", 60_000, 1_000);
        assert!(matches!(said.end, End::TooMuch));
        assert_eq!(said.out.len(), 1_000);
        let said = sh("sleep 60 & echo done", 60_000, 100);
        assert!(
            matches!(said.end, End::Exited(_)),
            "what it left behind keeps nobody"
        );
        let said = sh("setsid sleep 4 & echo done", 60_000, 100);
        assert_eq!(said.out, b"done\n", "nor does what it hid");
        assert!(begun.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_torrent_of_errors_does_not_block_it() {
        let said = sh("head -c 1000000 /dev/zero >&2; echo fine", 60_000, 100);
        assert_eq!(said.out, b"fine\n");
    }
}
