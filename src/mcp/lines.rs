//! Bytes to lines: waits without waking up, caps the length of a line, survives what is not text.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};

/// The longest line that is taken, without its line end; a longer one is read to its end and reported.
pub(super) const MAX_LINE: usize = 16 * 1024 * 1024;

/// What a line buffer may keep when it is empty, so that one large message does not stay in memory.
const KEEP: usize = 64 * 1024;

/// One line of input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The bytes without the line end.
    Bytes(Vec<u8>),
    /// A line over [`MAX_LINE`].
    TooLong,
}

/// Splits a stream into lines.
pub(super) struct Lines<R> {
    input: R,
    pending: Vec<u8>,
    /// How far `pending` was searched for a line end already.
    searched: usize,
    draining: bool,
    ended: bool,
}

impl<R: Read + AsFd> Lines<R> {
    /// Lines of `input`.
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            pending: Vec::new(),
            searched: 0,
            draining: false,
            ended: false,
        }
    }

    /// The next line; `None` at the end of input, or when `wake` becomes readable while no whole line is there.
    pub(super) fn next(&mut self, wake: BorrowedFd<'_>) -> io::Result<Option<Line>> {
        loop {
            if let Some(line) = self.take_line() {
                return Ok(Some(line));
            }
            if self.ended {
                return Ok(self.take_rest());
            }
            if wait_readable(self.input.as_fd(), wake)? {
                return Ok(None);
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut chunk = [0u8; 16 * 1024];
        match self.input.read(&mut chunk) {
            Ok(0) => self.ended = true,
            Ok(n) => self.pending.extend_from_slice(&chunk[..n]),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                ) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn take_line(&mut self) -> Option<Line> {
        let Some(end) = self.pending[self.searched..]
            .iter()
            .position(|b| *b == b'\n')
        else {
            self.searched = self.pending.len();
            if self.draining || self.pending.len() > MAX_LINE + 1 {
                self.draining = true;
                self.forget(self.pending.len());
            }
            return None;
        };
        let end = self.searched + end;
        let line = self.finish(end);
        self.forget(end + 1);
        Some(line)
    }

    /// What stands behind the last line end when the input has ended.
    fn take_rest(&mut self) -> Option<Line> {
        if self.pending.is_empty() && !self.draining {
            return None;
        }
        let line = self.finish(self.pending.len());
        self.forget(self.pending.len());
        Some(line)
    }

    fn finish(&mut self, end: usize) -> Line {
        let bytes = &self.pending[..end];
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        if std::mem::take(&mut self.draining) || bytes.len() > MAX_LINE {
            Line::TooLong
        } else {
            Line::Bytes(bytes.to_vec())
        }
    }

    fn forget(&mut self, bytes: usize) {
        self.pending.drain(..bytes);
        self.searched = 0;
        if self.pending.is_empty() {
            self.pending.shrink_to(KEEP);
        }
    }
}

/// Sleeps until `input` can be read or has ended (`false`), or `wake` can be read (`true`).
fn wait_readable(input: BorrowedFd<'_>, wake: BorrowedFd<'_>) -> io::Result<bool> {
    loop {
        let mut ready = [
            PollFd::new(input, PollFlags::POLLIN),
            PollFd::new(wake, PollFlags::POLLIN),
        ];
        match poll(&mut ready, PollTimeout::NONE) {
            Ok(_) => return Ok(ready[1].any().unwrap_or(true)),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn lines_of(bytes: &[u8]) -> Vec<Line> {
        let (reader, mut writer) = io::pipe().unwrap();
        let (wake, _keep) = io::pipe().unwrap();
        let bytes = bytes.to_vec();
        let feeder = std::thread::spawn(move || writer.write_all(&bytes).unwrap());
        let mut lines = Lines::new(reader);
        let mut all = Vec::new();
        while let Some(line) = lines.next(wake.as_fd()).unwrap() {
            all.push(line);
        }
        feeder.join().unwrap();
        all
    }

    fn bytes(text: &str) -> Line {
        Line::Bytes(text.as_bytes().to_vec())
    }

    #[test]
    fn line_ends_of_both_kinds_and_none_at_the_end() {
        assert_eq!(
            lines_of(b"a\r\n\nb\nc"),
            vec![bytes("a"), bytes(""), bytes("b"), bytes("c")]
        );
        assert_eq!(lines_of(b""), vec![]);
    }

    #[test]
    fn a_line_at_the_cap_is_taken_and_a_longer_one_is_drained() {
        let mut input = vec![b'x'; MAX_LINE];
        input.extend_from_slice(b"\nb\n");
        input.extend(vec![b'y'; MAX_LINE + 1]);
        input.extend_from_slice(b"\nc\n");
        input.extend(vec![b'z'; MAX_LINE + 100_000]);
        let lines = lines_of(&input);
        assert!(matches!(&lines[0], Line::Bytes(line) if line.len() == MAX_LINE));
        assert_eq!(
            lines[1..],
            [bytes("b"), Line::TooLong, bytes("c"), Line::TooLong]
        );
    }

    #[test]
    fn a_wake_up_ends_the_wait() {
        let (reader, _writer) = io::pipe().unwrap();
        let (wake, mut waker) = io::pipe().unwrap();
        waker.write_all(b"x").unwrap();
        assert_eq!(Lines::new(reader).next(wake.as_fd()).unwrap(), None);
    }
}
