//! A program of rows in a popup or on a terminal: it draws, takes keys and clicks, and looks once a second for what others did.

use crate::clock::Deadline;
use crate::error::{Failure, Result};
use crate::term::{self, Call, ESC_SILENCE, Key, Parser, Signals};
use crate::ui::sheet::Row;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

/// For how long keys mean nothing at first: they were typed for something else.
const DEAF: Duration = Duration::from_millis(600);

/// How often it looks for what others did.
const LOOK: Duration = Duration::from_secs(1);

/// How it goes on after a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Go {
    /// It stays.
    On,
    /// It ends.
    Leave,
}

/// What is on the stage.
pub(super) trait View {
    /// The rows for so many columns and rows; none is wider or more than that.
    fn draw(&mut self, size: (usize, usize)) -> Vec<Row>;

    /// A key or what the mouse did.
    fn key(&mut self, key: &Key) -> Result<Go>;

    /// Looks for what others did.
    fn look(&mut self) -> Result<()>;
}

/// Puts the terminal back, however it ends.
struct Screen;

impl Drop for Screen {
    fn drop(&mut self) {
        term::restore();
    }
}

/// Shows `view` until the person leaves it, the terminal is gone, or a signal ends it.
pub(super) fn run(view: &mut impl View) -> Result<()> {
    let failed = |e| Failure::failed(format!("use the terminal: {e}"));
    let signals = Signals::take().map_err(failed)?;
    term::full_screen().map_err(failed)?;
    let _screen = Screen;
    term::drain();
    let mut parser = Parser::new();
    let mut keys: Vec<Key> = Vec::new();
    let mut drawn = Vec::new();
    let deaf = Deadline::after(DEAF);
    let mut look = Deadline::after(LOOK);
    let mut silence = Deadline::never();
    loop {
        let screen: Vec<String> = view.draw(term::size()).iter().map(Row::render).collect();
        if screen != drawn {
            show(&screen);
            drawn = screen;
        }
        let Some(bytes) = wait(silence.left().min(look.left()), &signals)? else {
            return Ok(());
        };
        if bytes.is_empty() && silence.passed() {
            keys.extend(parser.silence());
        }
        parser.feed(&bytes, &mut keys);
        if !parser.escape_waits() {
            silence = Deadline::never();
        } else if !bytes.is_empty() {
            silence = Deadline::after(ESC_SILENCE);
        }
        let heard = deaf.passed();
        for key in keys.drain(..) {
            let word_of_attention = matches!(key, Key::Focus(_));
            if heard && !word_of_attention && view.key(&key)? == Go::Leave {
                return Ok(());
            }
        }
        if look.passed() {
            view.look()?;
            look = Deadline::after(LOOK);
        }
    }
}

/// What was typed within `limit`; `None` when the terminal is gone, or a signal says to end.
fn wait(limit: Duration, signals: &Signals) -> Result<Option<Vec<u8>>> {
    let input = io::stdin();
    let mut fds = [
        PollFd::new(input.as_fd(), PollFlags::POLLIN),
        PollFd::new(signals.as_fd(), PollFlags::POLLIN),
    ];
    let limit = limit.saturating_add(Duration::from_micros(999));
    let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
    match poll(&mut fds, timeout) {
        Ok(0) | Err(nix::errno::Errno::EINTR) => return Ok(Some(Vec::new())),
        Ok(_) => {}
        Err(error) => return Err(Failure::failed(format!("wait for a key: {error}"))),
    }
    match signals.next() {
        Some(Call::End) => return Ok(None),
        Some(Call::Resize) => return Ok(Some(Vec::new())),
        None => {}
    }
    if fds[0].revents().is_none_or(|events| events.is_empty()) {
        return Ok(Some(Vec::new()));
    }
    let mut bytes = vec![0; 4096];
    // Not through the standard library's buffer: what it kept back would wait for the next key.
    match nix::unistd::read(&input, &mut bytes) {
        Ok(0) => Ok(None),
        Ok(length) => {
            bytes.truncate(length);
            Ok(Some(bytes))
        }
        Err(nix::errno::Errno::EINTR) => Ok(Some(Vec::new())),
        Err(_) => Ok(None),
    }
}

/// Draws the whole screen.
fn show(screen: &[String]) {
    let mut text = String::from("\x1b[H");
    for (at, row) in screen.iter().enumerate() {
        if at > 0 {
            text.push_str("\r\n");
        }
        text.push_str(row);
        text.push_str("\x1b[K");
    }
    text.push_str("\x1b[J");
    term::write(text.as_bytes());
}
