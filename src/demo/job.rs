//! Child processes of the demo agent (hooks, tools, the MCP server), served without blocking.
//!
//! The agent blocks its signals to read them from a descriptor, and a child would inherit that. So every child starts as this
//! binary with [`UNMASK`], which gives the signals back, opens a session of its own where asked, and execs the program.

use crate::clock::Deadline;
use crate::proc;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::PollFlags;
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::unistd::Pid;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// First argument of the start shim; the program follows.
pub(super) const UNMASK: &str = "--unmask";
/// As [`UNMASK`], in a new session.
pub(super) const UNMASK_SESSION: &str = "--unmask-session";

/// How long a child may take to end after SIGTERM.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// The most output that is kept of one stream.
const LONGEST_OUTPUT: usize = 8 << 20;

/// Where a child stands towards the agent's terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A new session: no terminal (hooks).
    Session,
    /// A process group of its own (tools).
    Group,
    /// With the agent (the MCP server).
    Shared,
}

/// The signals that the agent reads from a descriptor.
pub(super) fn own_signals() -> SigSet {
    [
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGCHLD,
        Signal::SIGWINCH,
    ]
    .into_iter()
    .collect()
}

/// The start shim: `argv` begins behind [`UNMASK`]. Returns only when the program cannot be started.
pub(super) fn exec_unmasked(argv: &[OsString], session: bool) -> u8 {
    let _ = own_signals().thread_unblock();
    if session {
        let _ = nix::unistd::setsid();
    }
    if let Some((program, args)) = argv.split_first() {
        let mut command = proc::command(program);
        command.args(args);
        let failure = proc::exec(command);
        let _ = writeln!(io::stderr(), "conductor-demo: {failure}");
    }
    127
}

/// A command for `program` in `place`.
fn command(program: impl AsRef<OsStr>, place: Place) -> Command {
    // A unit test's own binary is no start shim.
    let mut command = if cfg!(test) {
        proc::command(program)
    } else {
        let mut command = proc::command("/proc/self/exe");
        let shim = if place == Place::Session {
            UNMASK_SESSION
        } else {
            UNMASK
        };
        command.arg0("conductor-demo").arg(shim).arg(program);
        command
    };
    if place == Place::Group || (cfg!(test) && place == Place::Session) {
        command.process_group(0);
    }
    command
}

/// A command for the shell text.
pub(super) fn shell(text: &str, place: Place) -> Command {
    let mut command = command("sh", place);
    command.arg("-c").arg(text);
    command
}

/// A command for the program of an MCP server.
pub(super) fn server(program: &str, args: &[String]) -> Command {
    let mut command = command(program, Place::Shared);
    command.args(args);
    command
}

/// How a child ended, as far as the agent is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It exited with this code.
    Code(i32),
    /// A signal killed it.
    Signal(i32),
    /// It took too long.
    TimedOut,
    /// The person or the end of the program cut it short.
    Cut,
    /// It could not be started.
    NotStarted,
}

/// What a child left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    /// How it ended.
    pub(super) end: End,
    /// Its standard output, or both where they are merged.
    pub(super) stdout: String,
    /// Its standard error.
    pub(super) stderr: String,
}

/// A running child.
#[derive(Debug)]
pub(super) struct Job {
    child: Child,
    input: Vec<u8>,
    keep_stdin: bool,
    stdin: Option<File>,
    streams: [Option<File>; 2],
    output: [Vec<u8>; 2],
    ended: Option<ExitStatus>,
    dying: bool,
    /// When it is ended, and when it is killed after that.
    pub(super) deadline: Deadline,
}

impl Job {
    /// Starts `command` with `input` on its standard input, and both outputs apart.
    pub(super) fn start(mut command: Command, input: Vec<u8>) -> io::Result<Self> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self::spawn(command, input, None)
    }

    /// Starts `command` without input, and both outputs in one stream.
    pub(super) fn start_merged(mut command: Command) -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        command
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer);
        Self::spawn(command, Vec::new(), Some(File::from(OwnedFd::from(reader))))
    }

    /// Starts `command`, whose standard input stays open.
    pub(super) fn start_server(mut command: Command) -> io::Result<Self> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut job = Self::spawn(command, Vec::new(), None)?;
        job.keep_stdin = true;
        Ok(job)
    }

    fn spawn(mut command: Command, input: Vec<u8>, merged: Option<File>) -> io::Result<Self> {
        let mut child = command.spawn()?;
        let stdin = child.stdin.take().map(|f| File::from(OwnedFd::from(f)));
        let stdout = child.stdout.take().map(|f| File::from(OwnedFd::from(f)));
        let stderr = child.stderr.take().map(|f| File::from(OwnedFd::from(f)));
        let streams = [merged.or(stdout), stderr];
        for file in streams.iter().flatten().chain(&stdin) {
            fcntl(file, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        Ok(Self {
            child,
            input,
            keep_stdin: false,
            stdin,
            streams,
            output: [Vec::new(), Vec::new()],
            ended: None,
            dying: false,
            deadline: Deadline::never(),
        })
    }

    /// The descriptors it waits for.
    pub(super) fn wants(&self) -> Vec<(BorrowedFd<'_>, PollFlags)> {
        let outputs = self.streams.iter().flatten();
        let inputs = self.stdin.iter().filter(|_| !self.input.is_empty());
        outputs
            .map(|file| (file.as_fd(), PollFlags::POLLIN))
            .chain(inputs.map(|file| (file.as_fd(), PollFlags::POLLOUT)))
            .collect()
    }

    /// Adds to its standard input.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// Closes its standard input.
    pub(super) fn close_stdin(&mut self) {
        self.input.clear();
        self.stdin = None;
    }

    /// What it wrote since the last call.
    pub(super) fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output[0])
    }

    /// Whether it can say nothing more.
    pub(super) fn is_silent(&self) -> bool {
        self.streams[0].is_none()
    }

    /// Does what can be done without waiting; says whether the child has ended.
    pub(super) fn service(&mut self) -> bool {
        self.write_input();
        self.read_output();
        if self.ended.is_none()
            && let Ok(Some(status)) = self.child.try_wait()
        {
            self.ended = Some(status);
            // What the child wrote last; descendants that hold the pipe are not waited for.
            self.read_output();
            self.streams = [None, None];
            self.close_stdin();
        }
        self.ended.is_some()
    }

    fn write_input(&mut self) {
        let Some(stdin) = &mut self.stdin else {
            return;
        };
        while !self.input.is_empty() {
            match stdin.write(&self.input) {
                Ok(written) => drop(self.input.drain(..written)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.close_stdin(),
            }
        }
        if !self.keep_stdin {
            self.stdin = None;
        }
    }

    fn read_output(&mut self) {
        let mut buffer = vec![0; 64 << 10];
        for (stream, output) in self.streams.iter_mut().zip(&mut self.output) {
            while let Some(file) = stream {
                match file.read(&mut buffer) {
                    Ok(0) => *stream = None,
                    Ok(n) => {
                        let room = LONGEST_OUTPUT.saturating_sub(output.len());
                        output.extend_from_slice(&buffer[..n.min(room)]);
                    }
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => *stream = None,
                }
            }
        }
    }

    /// Sends SIGTERM; [`Job::overdue`] kills after [`GRACE`].
    pub(super) fn terminate(&mut self) {
        self.signal(Signal::SIGTERM);
        self.dying = true;
        self.deadline = Deadline::after(GRACE);
    }

    /// Ends what has passed its deadline: first gently, then for good.
    pub(super) fn overdue(&mut self) {
        if !self.deadline.passed() {
            return;
        }
        if self.dying {
            self.signal(Signal::SIGKILL);
            self.deadline = Deadline::never();
        } else {
            self.terminate();
        }
    }

    /// Kills it for good if it was asked to end.
    pub(super) fn kill_if_dying(&mut self) {
        if self.dying {
            self.signal(Signal::SIGKILL);
        }
    }

    fn signal(&self, signal: Signal) {
        if self.ended.is_some() {
            return;
        }
        if let Ok(pid) = i32::try_from(self.child.id()) {
            // Its own group, or, while the shim has not made one, the child alone.
            if killpg(Pid::from_raw(pid), signal).is_err() {
                let _ = kill(Pid::from_raw(pid), signal);
            }
        }
    }

    /// What it left; `forced` says how it ended when it did not end by itself.
    pub(super) fn outcome(&mut self, forced: Option<End>) -> Outcome {
        let end = forced.unwrap_or_else(|| {
            self.ended.map_or(End::Cut, |status| {
                status
                    .code()
                    .map_or_else(|| End::Signal(status.signal().unwrap_or(0)), End::Code)
            })
        });
        let [out, err] = std::mem::take(&mut self.output);
        Outcome {
            end,
            stdout: String::from_utf8_lossy(&out).into_owned(),
            stderr: String::from_utf8_lossy(&err).into_owned(),
        }
    }
}
