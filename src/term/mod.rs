//! The one owner of the controlling terminal: its mode, its size, its keys, and the signals that it sends.

mod keys;
mod signals;

pub use keys::{ESC_SILENCE, Key, Mouse, MouseAct, Move, Parser};
pub use signals::{Call, Signals};

use nix::sys::termios::{self, FlushArg, SetArg, Termios};
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Mutex, OnceLock};

/// How the terminal was set before raw mode, and what it was asked for since.
static BEFORE: Mutex<Option<(Termios, Use)>> = Mutex::new(None);

/// How much of the terminal is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// Lines on the screen that is there.
    Lines,
    /// A screen of its own, the mouse, and word of the person's attention.
    Screen,
}

impl Use {
    /// What begins it, after bracketed paste.
    const fn begin(self) -> &'static [u8] {
        match self {
            Self::Lines => b"",
            Self::Screen => b"\x1b[?1049h\x1b[?25l\x1b[?1000h\x1b[?1006h\x1b[?1004h",
        }
    }

    /// What takes it back.
    const fn end(self) -> &'static [u8] {
        match self {
            Self::Lines => b"",
            Self::Screen => b"\x1b[?1004l\x1b[?1006l\x1b[?1000l\x1b[0m\x1b[?25h\x1b[?1049l",
        }
    }
}

/// Puts the terminal into raw mode and asks for bracketed paste; a panic puts it back.
pub fn raw_mode() -> nix::Result<()> {
    enter(Use::Lines)
}

/// As [`raw_mode`], on a screen of its own without a cursor (what was there before comes back at the end), with clicks and the wheel of the
/// mouse, and word of the person's attention ([`Key::Focus`]).
pub fn full_screen() -> nix::Result<()> {
    enter(Use::Screen)
}

fn enter(how: Use) -> nix::Result<()> {
    let before = termios::tcgetattr(io::stdin())?;
    let mut raw = before.clone();
    termios::cfmakeraw(&mut raw);
    if let Ok(mut slot) = BEFORE.lock() {
        *slot = Some((before, how));
    }
    let earlier = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        restore();
        earlier(info);
    }));
    termios::tcsetattr(io::stdin(), SetArg::TCSADRAIN, &raw)?;
    write(b"\x1b[?2004h");
    write(how.begin());
    Ok(())
}

/// Puts the terminal back as it was; does nothing the second time.
pub fn restore() {
    let before = BEFORE.try_lock().ok().and_then(|mut slot| slot.take());
    if let Some((before, how)) = before {
        write(how.end());
        write(b"\x1b[?2004l");
        let _ = termios::tcsetattr(io::stdin(), SetArg::TCSANOW, &before);
    }
}

/// Throws away what was typed and not yet read.
pub fn drain() {
    let _ = termios::tcflush(io::stdin(), FlushArg::TCIFLUSH);
}

/// Columns and rows; 80 and 24 where nobody says.
pub fn size() -> (usize, usize) {
    terminal_size::terminal_size().map_or((80, 24), |(columns, rows)| {
        (usize::from(columns.0.max(1)), usize::from(rows.0.max(1)))
    })
}

/// Shows `bytes` at once: on standard output, or where that goes elsewhere on the terminal of standard input.
pub fn write(bytes: &[u8]) {
    if let Some(mut terminal) = beside_output() {
        let _ = terminal.write_all(bytes);
        return;
    }
    let mut out = io::stdout().lock();
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

/// Whether a person sees what is shown, and what that person types is read.
pub fn attended() -> bool {
    io::stdin().is_terminal() && (io::stdout().is_terminal() || beside_output().is_some())
}

/// The terminal of standard input, where standard output is none. It is the one that is read: whoever may see the one may see the other.
fn beside_output() -> Option<&'static File> {
    static TERMINAL: OnceLock<Option<File>> = OnceLock::new();
    let open = || {
        if io::stdout().is_terminal() {
            return None;
        }
        let path = nix::unistd::ttyname(io::stdin()).ok()?;
        let flags = nix::libc::O_NOCTTY;
        let opened = OpenOptions::new()
            .write(true)
            .custom_flags(flags)
            .open(path);
        opened.ok()
    };
    TERMINAL.get_or_init(open).as_ref()
}
