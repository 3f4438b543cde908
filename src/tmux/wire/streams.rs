//! What the commands of one list read and print: the server asks its client to open, read and write on its behalf.

use super::Output;
use super::frame::{self, Frame, kind};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::{ffi::OsStr, path::Path};

/// Bytes of data in one frame, behind the stream's number.
const CHUNK: usize = frame::ROOM - size_of::<i32>();
/// How much is prepared for sending at a time.
const AHEAD: usize = 8 * frame::LIMIT;

/// Where a stream that the server writes goes.
#[derive(Clone, Copy)]
enum Sink {
    Stdout,
    Stderr,
}

/// Something that the server reads.
struct Source<'a> {
    stream: i32,
    data: Box<dyn Read + 'a>,
}

/// The open streams of one conversation.
pub(super) struct Streams<'a> {
    stdin: Option<&'a [u8]>,
    sources: VecDeque<Source<'a>>,
    sinks: Vec<(i32, Sink)>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl<'a> Streams<'a> {
    /// None open; `stdin` is there to be read once.
    pub(super) const fn new(stdin: &'a [u8]) -> Self {
        Self {
            stdin: Some(stdin),
            sources: VecDeque::new(),
            sinks: Vec::new(),
            stdout: Vec::new(),
            stderr: Vec::new(),
        }
    }

    /// What was printed until now.
    pub(super) fn printed(&self) -> Vec<u8> {
        self.stdout.clone()
    }

    /// Everything, at the end; `message` is the server's last word.
    pub(super) fn finish(mut self, status: i32, message: &[u8]) -> Output {
        if !message.is_empty() {
            self.stderr.extend_from_slice(message);
            self.stderr.push(b'\n');
        }
        Output {
            status,
            stdout: self.stdout,
            stderr: self.stderr,
        }
    }

    /// Appends to `out` the next part of what the server reads.
    pub(super) fn feed(&mut self, out: &mut Vec<u8>) {
        if self.sources.is_empty() {
            return;
        }
        let mut chunk = [0_u8; CHUNK];
        while out.len() < AHEAD {
            let Some(source) = self.sources.front_mut() else {
                break;
            };
            let stream = source.stream;
            match source.data.read(&mut chunk) {
                Ok(0) => self.read_done(stream, 0, out),
                Ok(got) => {
                    let data = chunk.get(..got).unwrap_or_default();
                    reply(out, kind::READ, &[&stream.to_ne_bytes(), data]);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => self.read_done(stream, Errno::EIO as i32, out),
            }
        }
    }

    /// Acts on a frame about streams.
    pub(super) fn hear(
        &mut self,
        frame: &Frame<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), &'static str> {
        let Some(stream) = frame::signed(frame.body, 0) else {
            return Err("neither an end nor a stream");
        };
        match frame.kind {
            kind::READ_OPEN => {
                let fd = frame::signed(frame.body, 4).ok_or("a short message")?;
                let path = frame.body.get(8..).unwrap_or_default();
                match self.source(fd, path) {
                    Ok(data) => self.sources.push_back(Source { stream, data }),
                    Err(errno) => self.read_done(stream, errno, out),
                }
            }
            // The server wants to be told of the end even of what it gave up.
            kind::READ_CANCEL => self.read_done(stream, 0, out),
            kind::WRITE_OPEN => {
                let fd = frame::signed(frame.body, 4).ok_or("a short message")?;
                let errno = match fd {
                    1 => self.sink(stream, Sink::Stdout),
                    2 => self.sink(stream, Sink::Stderr),
                    -1 => Errno::EACCES as i32,
                    _ => Errno::EBADF as i32,
                };
                let words = [stream.to_ne_bytes(), errno.to_ne_bytes()];
                reply(out, kind::WRITE_READY, &[words.as_flattened()]);
            }
            kind::WRITE => {
                let data = frame.body.get(4..).unwrap_or_default();
                match self.sinks.iter().find(|(open, _)| *open == stream) {
                    Some((_, Sink::Stdout)) => self.stdout.extend_from_slice(data),
                    Some((_, Sink::Stderr)) => self.stderr.extend_from_slice(data),
                    None => return Err("data for a stream that is not open"),
                }
            }
            kind::WRITE_CLOSE => self.sinks.retain(|(open, _)| *open != stream),
            _ => return Err("not a message for this client"),
        }
        Ok(())
    }

    /// Opens what a command reads: standard input (once) or a regular file.
    fn source(&mut self, fd: i32, path: &[u8]) -> Result<Box<dyn Read + 'a>, i32> {
        match fd {
            0 => match self.stdin.take() {
                Some(data) => Ok(Box::new(data)),
                None => Err(Errno::EBADF as i32),
            },
            -1 => {
                let path = Path::new(OsStr::from_bytes(path.strip_suffix(b"\0").unwrap_or(path)));
                let number =
                    |error: std::io::Error| error.raw_os_error().unwrap_or(Errno::EIO as i32);
                // Without O_NONBLOCK a FIFO would hold the open until somebody writes.
                let file = OpenOptions::new()
                    .read(true)
                    .custom_flags(OFlag::O_NONBLOCK.bits())
                    .open(path)
                    .map_err(number)?;
                if file.metadata().map_err(number)?.is_file() {
                    Ok(Box::new(file))
                } else {
                    Err(Errno::EINVAL as i32)
                }
            }
            _ => Err(Errno::EBADF as i32),
        }
    }

    /// Opens `stream` for writing; returns the error number, 0 for none.
    fn sink(&mut self, stream: i32, sink: Sink) -> i32 {
        if self.sinks.iter().any(|(open, _)| *open == stream) {
            return Errno::EBADF as i32;
        }
        self.sinks.push((stream, sink));
        0
    }

    /// Tells the server that `stream` has no more to read.
    fn read_done(&mut self, stream: i32, errno: i32, out: &mut Vec<u8>) {
        self.sources.retain(|source| source.stream != stream);
        let words = [stream.to_ne_bytes(), errno.to_ne_bytes()];
        reply(out, kind::READ_DONE, &[words.as_flattened()]);
    }
}

/// Appends a frame that is known to fit.
fn reply(out: &mut Vec<u8>, kind: u32, parts: &[&[u8]]) {
    let fits = frame::put(out, kind, parts);
    debug_assert!(fits, "a reply of kind {kind} is too long");
}
