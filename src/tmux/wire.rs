//! A client of tmux's own protocol: runs one command list in a running server without starting the tmux binary.
//!
//! [`run`] is for the server what `tmux -S SOCKET COMMAND…` is, with these differences, all meant:
//!
//! - It never starts a server.
//! - It sends no environment. Without `-t` the server therefore does not know which pane the caller sits in; `new-session` marks
//!   the variables of `update-environment` as unset, and a new pane's `PATH` is its session's. Name targets, give `-e`.
//! - It never attaches: it passes no descriptor, so the server has no terminal to open.
//! - A command that *writes* a file (`save-buffer FILE`) is refused with "permission denied"; `save-buffer -` works, also behind
//!   other output. A file that is *read* (`load-buffer FILE`, `source-file`) must be a regular one.
//! - Output is UTF-8 whatever the locale.
//!
//! tmux answers nothing before the command list, so "this server cannot be spoken to" and "it died on it" look alike unless the
//! server says which. [`WireError::may_have_run`] is the rule: only if it is `false` may the list be sent again in another way.

mod frame;
#[cfg(test)]
mod liars_tests;
mod streams;
#[cfg(test)]
mod tests;

use crate::clock::{self, Deadline};
use crate::failpoint;
use crate::paths;
use frame::kind;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, recv, send, socket,
};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;
use streams::Streams;

/// The client flag that says: do not replace what is not ASCII in the output.
const CLIENT_UTF8: u64 = 0x1_0000;
/// How long to wait before trying again to connect to a server whose queue of connections is full.
const BACKLOG_PAUSE: Duration = Duration::from_millis(2);

/// What a finished command list left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Exit status: 0, or 1 if a command failed.
    pub status: i32,
    /// What the commands printed.
    pub stdout: Vec<u8>,
    /// Error messages, each with its newline.
    pub stderr: Vec<u8>,
}

/// Why there is no [`Output`].
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The socket is missing, or nobody listens on it. Nothing was sent.
    #[error("no tmux server: {0}")]
    NoServer(io::Error),
    /// Whoever listens on it is another user. Nothing was sent.
    #[error("the tmux server belongs to another user (uid {0})")]
    Foreign(u32),
    /// The command list does not fit into one message. Nothing was sent, and the tmux binary has the same limit.
    #[error("the command list takes {0} bytes, tmux takes at most {MAX_COMMAND}")]
    TooLong(usize),
    /// This server, or this list, needs the tmux binary. It is certain that no command ran.
    #[error("tmux's protocol cannot be used here: {0}")]
    Unsupported(String),
    /// Time ran out.
    #[error("tmux did not finish in time")]
    TimedOut {
        /// Whether the command list was sent. If so the server has dropped what was still waiting, but some of it may have run.
        sent: bool,
        /// What the commands had printed.
        stdout: Vec<u8>,
    },
    /// The server went away, or broke the protocol, after the command list was sent: it may have run, wholly or in part.
    #[error("tmux was lost while it ran the commands: {how}")]
    Lost {
        /// How it was lost.
        how: Loss,
        /// What the commands had printed.
        stdout: Vec<u8>,
    },
}

/// How a server was lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Loss {
    /// It said that it shuts down; also the normal end of `kill-server`.
    #[error("the server shuts down")]
    Shutdown,
    /// It closed the connection without a word: it crashed, was killed, or did not understand us.
    #[error("the server closed the connection")]
    Closed,
    /// It said something that was not expected.
    #[error("unexpected answer: {0}")]
    Broken(String),
}

/// The largest command list: every argument counts its length and one more.
pub const MAX_COMMAND: usize = frame::ROOM - size_of::<i32>();

impl WireError {
    /// Whether a command of the list may have run. If not, the list can be given to the tmux binary instead.
    pub const fn may_have_run(&self) -> bool {
        match self {
            Self::NoServer(_) | Self::Foreign(_) | Self::TooLong(_) | Self::Unsupported(_) => false,
            Self::TimedOut { sent, .. } => *sent,
            Self::Lost { .. } => true,
        }
    }

    /// What the commands had printed before the failure.
    pub fn stdout(&self) -> &[u8] {
        match self {
            Self::NoServer(_) | Self::Foreign(_) | Self::TooLong(_) | Self::Unsupported(_) => &[],
            Self::TimedOut { stdout, .. } | Self::Lost { stdout, .. } => stdout,
        }
    }
}

/// Runs the command list `argv` (a lone `;` separates commands) in the server at `socket` and waits for its end.
///
/// `stdin` is what a command reads from `-`; without it such a command reads nothing.
pub fn run(
    socket: &Path,
    argv: &[String],
    stdin: Option<&[u8]>,
    timeout: Duration,
) -> Result<Output, WireError> {
    let (hello, command) = greeting(argv)?;
    let deadline = Deadline::after(timeout);
    let socket = open(socket, deadline)?;
    failpoint::hit("wire.connected");
    let mut client = Client {
        socket,
        deadline,
        unsent_command: hello.len() + command.len(),
        out: hello,
        written: 0,
        deaf: false,
        heard: false,
        streams: Streams::new(stdin.unwrap_or_default()),
    };
    client.out.extend_from_slice(&command);
    client.converse()
}

/// The messages that introduce this process, and the one with the command list.
fn greeting(argv: &[String]) -> Result<(Vec<u8>, Vec<u8>), WireError> {
    let unsupported = |why: &str| Err(WireError::Unsupported(why.to_owned()));
    if cfg!(target_endian = "big") {
        return unsupported("the machine is big-endian");
    }
    if argv.is_empty() {
        return unsupported("the command list is empty");
    }
    if argv.iter().any(|argument| argument.contains('\0')) {
        return unsupported("an argument holds a NUL byte");
    }
    let mut packed = Vec::new();
    for argument in argv {
        packed.extend_from_slice(argument.as_bytes());
        packed.push(0);
    }
    let mut command = Vec::new();
    let Ok(count) = i32::try_from(argv.len()) else {
        return Err(WireError::TooLong(packed.len()));
    };
    if !frame::put(
        &mut command,
        kind::COMMAND,
        &[&count.to_ne_bytes(), &packed],
    ) {
        return Err(WireError::TooLong(packed.len()));
    }
    let cwd = paths::working_directory().unwrap_or_else(|_| "/".into());
    let identity: [(u32, &[&[u8]]); 7] = [
        (kind::IDENTIFY_LONGFLAGS, &[&CLIENT_UTF8.to_ne_bytes()]),
        (kind::IDENTIFY_TERM, &[b"dumb\0"]),
        (kind::IDENTIFY_FEATURES, &[&0_i32.to_ne_bytes()]),
        // An empty name, not none: old servers compare it without a look whether it is there.
        (kind::IDENTIFY_TTYNAME, &[b"\0"]),
        (kind::IDENTIFY_CWD, &[cwd.as_os_str().as_bytes(), b"\0"]),
        (
            kind::IDENTIFY_CLIENTPID,
            &[&std::process::id().to_ne_bytes()],
        ),
        (kind::IDENTIFY_DONE, &[]),
    ];
    let mut hello = Vec::with_capacity(512 + command.len());
    for (kind, parts) in identity {
        if !frame::put(&mut hello, kind, parts) {
            return unsupported("the working directory's name is too long");
        }
    }
    Ok((hello, command))
}

/// Connects; a server with a full queue is asked again until the deadline.
fn open(path: &Path, deadline: Deadline) -> Result<OwnedFd, WireError> {
    let no_server = |errno: Errno| WireError::NoServer(errno.into());
    let address = UnixAddr::new(path).map_err(no_server)?;
    let socket = socket(
        AddressFamily::Unix,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        None,
    )
    .map_err(|errno| WireError::Unsupported(format!("socket: {errno}")))?;
    loop {
        match connect(socket.as_raw_fd(), &address) {
            Ok(()) | Err(Errno::EISCONN) => {
                return match super::server::foreign(&socket) {
                    Some(uid) => Err(WireError::Foreign(uid)),
                    None => Ok(socket),
                };
            }
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) if deadline.passed() => {
                return Err(WireError::TimedOut {
                    sent: false,
                    stdout: Vec::new(),
                });
            }
            Err(Errno::EAGAIN) => clock::sleep(BACKLOG_PAUSE, &deadline),
            Err(errno) => return Err(no_server(errno)),
        }
    }
}

/// One conversation with a server.
struct Client<'a> {
    socket: OwnedFd,
    deadline: Deadline,
    /// Bytes that wait to be sent, of which `written` are gone already.
    out: Vec<u8>,
    written: usize,
    /// Bytes until the last one of the command list is gone. Before that the server cannot run it.
    unsent_command: usize,
    /// Whether the server takes nothing any more; what it had said can still be read.
    deaf: bool,
    /// Whether the server has answered with anything but a refusal of the protocol version.
    heard: bool,
    streams: Streams<'a>,
}

/// What a frame means for the conversation.
enum Step {
    /// It goes on.
    On,
    /// It is over; the status and a last message.
    Exit(i32, Vec<u8>),
}

impl Client<'_> {
    fn converse(mut self) -> Result<Output, WireError> {
        let mut inbox = Vec::new();
        let mut buffer = [0_u8; frame::LIMIT];
        loop {
            self.speak()?;
            failpoint::hit("wire.sent");
            self.wait()?;
            let got = match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(0) | Err(Errno::ECONNRESET | Errno::EPIPE) => {
                    return Err(self.lost(Loss::Closed));
                }
                Ok(got) => got,
                Err(Errno::EAGAIN | Errno::EINTR) => continue,
                Err(errno) => return Err(self.lost(Loss::Broken(format!("recv: {errno}")))),
            };
            inbox.extend_from_slice(buffer.get(..got).unwrap_or_default());
            let mut taken = 0;
            while let Some((frame, length)) =
                frame::first(inbox.get(taken..).unwrap_or_default())
                    .map_err(|why| self.lost(Loss::Broken(why.to_owned())))?
            {
                taken += length;
                if let Step::Exit(status, message) = self.hear(&frame)? {
                    return Ok(self.streams.finish(status, &message));
                }
            }
            inbox.drain(..taken);
        }
    }

    /// Sends as much as the server takes now, but not past the deadline however fast it takes.
    fn speak(&mut self) -> Result<(), WireError> {
        while !self.deaf && !self.deadline.passed() {
            if self.written == self.out.len() {
                self.out.clear();
                self.written = 0;
                self.streams.feed(&mut self.out);
            }
            let waiting = self.out.get(self.written..).unwrap_or_default();
            if waiting.is_empty() {
                break;
            }
            match send(self.socket.as_raw_fd(), waiting, MsgFlags::MSG_NOSIGNAL) {
                Ok(sent) => {
                    self.written += sent;
                    self.unsent_command = self.unsent_command.saturating_sub(sent);
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                Err(Errno::EPIPE | Errno::ECONNRESET) => self.deaf = true,
                Err(errno) => return Err(self.lost(Loss::Broken(format!("send: {errno}")))),
            }
        }
        Ok(())
    }

    /// Waits until the server says something, or takes what is waiting.
    fn wait(&self) -> Result<(), WireError> {
        let left = self.deadline.left();
        if left.is_zero() {
            return Err(WireError::TimedOut {
                sent: self.unsent_command == 0,
                stdout: self.streams.printed(),
            });
        }
        let mut events = PollFlags::POLLIN;
        if !self.deaf && self.written < self.out.len() {
            events |= PollFlags::POLLOUT;
        }
        // Rounded up: a poll that ends just before the deadline would be repeated with no time at all.
        let left = left.saturating_add(Duration::from_micros(999));
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.socket.as_fd(), events)], timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(self.lost(Loss::Broken(format!("poll: {errno}")))),
        }
    }

    /// Acts on one frame.
    fn hear(&mut self, frame: &frame::Frame<'_>) -> Result<Step, WireError> {
        if frame.kind == kind::VERSION && !self.heard {
            // The server looks at the version before the type and stops listening at the first message: no command ran.
            return Err(WireError::Unsupported(format!(
                "the server speaks version {}",
                frame.version
            )));
        }
        self.heard = true;
        match frame.kind {
            kind::EXIT => exit(frame.body).ok_or("a short exit message"),
            kind::SHUTDOWN => return Err(self.lost(Loss::Shutdown)),
            kind::FLAGS => Ok(Step::On),
            _ => self.streams.hear(frame, &mut self.out).map(|()| Step::On),
        }
        .map_err(|why| self.lost(Loss::Broken(format!("{why} (message {})", frame.kind))))
    }

    /// The error for a server that is lost: without the whole command list it cannot have run any of it.
    fn lost(&self, how: Loss) -> WireError {
        if self.unsent_command == 0 {
            let stdout = self.streams.printed();
            WireError::Lost { how, stdout }
        } else {
            WireError::Unsupported(how.to_string())
        }
    }
}

/// Reads an exit message: a status, perhaps followed by why the server wants to see the client gone.
fn exit(body: &[u8]) -> Option<Step> {
    if body.is_empty() {
        return Some(Step::Exit(0, Vec::new()));
    }
    let status = frame::signed(body, 0)?;
    let message = body.get(4..).unwrap_or_default();
    let message = message.strip_suffix(b"\0").unwrap_or(message);
    // tmux turns clients away with status 0 and a message. Nothing ran then, so it is a failure.
    let turned_away = status == 0 && !message.is_empty();
    Some(Step::Exit(
        if turned_away { 1 } else { status },
        message.to_vec(),
    ))
}
