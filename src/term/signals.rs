//! Signals of a terminal as something to wait for, so that a program that fills the screen puts it back before it ends.

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::os::fd::{AsFd, BorrowedFd};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Draw anew: the terminal has another size.
    Resize,
    /// End: the terminal is gone, or somebody says so.
    End,
}

/// The signals of a terminal. While it lives they do nothing but wait to be taken; children of this process get them as ever.
#[derive(Debug)]
pub struct Signals {
    fd: SignalFd,
    set: SigSet,
}

impl Signals {
    /// Takes them over, for this thread and those that it starts.
    pub fn take() -> nix::Result<Self> {
        let mut set = SigSet::empty();
        for signal in [
            Signal::SIGTERM,
            Signal::SIGHUP,
            Signal::SIGINT,
            Signal::SIGQUIT,
            Signal::SIGWINCH,
        ] {
            set.add(signal);
        }
        set.thread_block()?;
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Self { fd, set })
    }

    /// The next one that came, if one did.
    pub fn next(&self) -> Option<Call> {
        let info = self.fd.read_signal().ok().flatten()?;
        let resized = i32::try_from(info.ssi_signo) == Ok(Signal::SIGWINCH as i32);
        Some(if resized { Call::Resize } else { Call::End })
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        let _ = self.set.thread_unblock();
    }
}
