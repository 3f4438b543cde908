//! The one owner of the controlling terminal: its mode, its size, its keys.

mod keys;

pub use keys::{ESC_SILENCE, Key, Move, Parser};

use nix::sys::termios::{self, FlushArg, SetArg, Termios};
use std::io::{self, Write};
use std::sync::Mutex;

/// How the terminal was set before raw mode, and whether the other screen is shown.
static BEFORE: Mutex<Option<(Termios, bool)>> = Mutex::new(None);

/// Puts the terminal into raw mode and asks for bracketed paste; a panic puts it back.
pub fn raw_mode() -> nix::Result<()> {
    enter(false)
}

/// As [`raw_mode`], on a screen of its own without a cursor: what was there before comes back at the end.
pub fn full_screen() -> nix::Result<()> {
    enter(true)
}

fn enter(whole: bool) -> nix::Result<()> {
    let before = termios::tcgetattr(io::stdin())?;
    let mut raw = before.clone();
    termios::cfmakeraw(&mut raw);
    if let Ok(mut slot) = BEFORE.lock() {
        *slot = Some((before, whole));
    }
    let earlier = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        restore();
        earlier(info);
    }));
    termios::tcsetattr(io::stdin(), SetArg::TCSADRAIN, &raw)?;
    write(b"\x1b[?2004h");
    if whole {
        write(b"\x1b[?1049h\x1b[?25l");
    }
    Ok(())
}

/// Puts the terminal back as it was; does nothing the second time.
pub fn restore() {
    let before = BEFORE.try_lock().ok().and_then(|mut slot| slot.take());
    if let Some((before, whole)) = before {
        if whole {
            write(b"\x1b[?25h\x1b[?1049l");
        }
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

/// Shows `bytes` at once.
pub fn write(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}
