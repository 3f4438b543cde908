//! The dashboard: all agents on one screen, in a popup, in a window, or on any terminal.
//!
//! It reads the database again when somebody else has stored something, which it looks for once a second, and draws the cells that changed.
//! In a pane that nobody sees it sleeps until tmux wakes it.

mod acts;
mod editor;
mod keys;
mod model;
mod open;
mod read;
mod screen;

pub(super) use editor::Editor;
pub(super) use open::open;

use super::{Door, agents};
use crate::clock::{self, Deadline};
use crate::error::{Failure, Result};
use crate::paths;
use crate::services::recover;
use crate::store::{Error, Store};
use crate::term::{self, Call, ESC_SILENCE, Key, Parser, Signals};
use crate::tmux::{PaneId, Tmux};
use crate::ui::dashboard::{self as ui, Look};
use acts::Next;
use model::Model;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use ratatui::Terminal;
use screen::Screen;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::time::Duration;

/// For how long keys mean nothing at first: they were typed for something else.
const DEAF: Duration = Duration::from_millis(600);

/// How often it looks for what others did.
const LOOK: Duration = Duration::from_secs(1);

/// Where the person sits: the state, the terminal, and what is known.
struct Seat<'a, 'd> {
    door: &'a Door<'d>,
    /// The tmux client in whose popup it runs.
    client: Option<&'a str>,
    /// The pane that it runs in.
    pane: Option<(Tmux, PaneId)>,
    /// `None` while there is no state.
    store: Option<Store>,
    /// The store's version when it was read.
    version: Option<i64>,
    model: Model,
    terminal: Terminal<Screen>,
    /// The agent's pane as it was read last.
    seen: Option<read::Pane>,
    /// Nobody sees our pane.
    hidden: bool,
}

/// Puts the terminal back, however it ends.
struct Raw;

impl Drop for Raw {
    fn drop(&mut self) {
        term::restore();
    }
}

/// What the program waited for.
enum Event {
    Bytes(Vec<u8>),
    Call(Call),
    Silence,
    Gone,
}

/// Shows the dashboard on this terminal until the person leaves it.
pub(super) fn dashboard(door: &Door<'_>, client: Option<&str>) -> Result<()> {
    let ended = show(door, client);
    if let (Err(failure), Some(client)) = (&ended, client) {
        // The popup closes with this program: nobody would read what it prints.
        if let Err(error) = door.cx.tmux.tell(client, failure.message()) {
            tracing::debug!(%error, "say why the dashboard closed");
        }
    }
    ended
}

fn show(door: &Door<'_>, client: Option<&str>) -> Result<()> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Err(Failure::failed("the dashboard needs a terminal")
            .hint("`conductor-hook sessions` prints what it shows"));
    }
    let look = look();
    let failed = |e: &dyn std::fmt::Display| Failure::failed(format!("use the terminal: {e}"));
    let mut seat = Seat {
        door,
        client,
        pane: if client.is_some() {
            None
        } else {
            Tmux::own_pane()
        },
        store: None,
        version: None,
        model: Model::new(look),
        terminal: Terminal::new(Screen::new(look.unicode)).map_err(|e| failed(&e))?,
        seen: None,
        hidden: false,
    };
    seat.open()?;
    if let Some(store) = &mut seat.store {
        recover::all(&door.cx, store)?;
        recover::rearm(&door.cx, store)?;
    }
    let signals = Signals::take().map_err(|e| failed(&e))?;
    let next = {
        term::full_screen().map_err(|e| failed(&e))?;
        let _raw = Raw;
        term::drain();
        let next = seat.converse(&signals);
        seat.surface();
        next
    }?;
    drop(signals);
    match next {
        Next::Attach(id) => agents::attach_there(door, id.as_str()),
        Next::Stay | Next::Leave => Ok(()),
    }
}

/// What the terminal can show, by the words that say so.
fn look() -> Look {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| paths::env(name))
        .unwrap_or_default()
        .to_lowercase();
    Look {
        colour: paths::env("NO_COLOR").is_none(),
        unicode: locale.contains("utf-8") || locale.contains("utf8"),
    }
}

fn now_ms() -> i64 {
    clock::now().as_millisecond()
}

impl Seat<'_, '_> {
    /// Opens the state, if there is one.
    fn open(&mut self) -> Result<()> {
        match Store::open(&self.door.cx.home) {
            Ok(store) => {
                self.store = Some(store);
                Ok(())
            }
            Err(Error::Missing(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn store(&mut self) -> Result<&mut Store> {
        let home = self.door.cx.home.root();
        self.store
            .as_mut()
            .ok_or_else(|| Error::Missing(home.to_path_buf()).into())
    }

    /// Shows and does until the person leaves.
    fn converse(&mut self, signals: &Signals) -> Result<Next> {
        let mut parser = Parser::new();
        let mut keys: Vec<Key> = Vec::new();
        let deaf = Deadline::after(DEAF);
        let mut look = Deadline::after(LOOK);
        let mut silence = Deadline::never();
        self.model.tick(now_ms());
        self.reload();
        loop {
            if !self.hidden {
                self.draw();
            }
            let next_look = if self.hidden {
                Duration::MAX
            } else {
                look.left()
            };
            match wait(silence.left().min(next_look), signals)? {
                Event::Gone | Event::Call(Call::End) => return Ok(Next::Leave),
                Event::Call(Call::Resize) => self.surface(),
                Event::Silence => {
                    if silence.passed() {
                        keys.extend(parser.silence());
                        silence = Deadline::never();
                    }
                }
                Event::Bytes(bytes) => {
                    parser.feed(&bytes, &mut keys);
                    silence = if parser.escape_waits() {
                        Deadline::after(ESC_SILENCE)
                    } else {
                        Deadline::never()
                    };
                }
            }
            if self.hidden && !keys.is_empty() {
                self.surface();
                look = Deadline::after(Duration::ZERO);
            }
            let heard = deaf.passed();
            for key in keys.drain(..) {
                if let Key::Focus(_) = key {
                    // Focus that is gone may mean that the window is.
                    look = Deadline::after(Duration::ZERO);
                } else if heard {
                    let wish = self.model.key(&key);
                    let next = self.grant(wish);
                    if next != Next::Stay {
                        return Ok(next);
                    }
                }
            }
            if look.passed() {
                self.look();
                look = Deadline::after(LOOK);
            } else if self.model.lacks_detail().is_some()
                && let Err(failure) = self.explain()
            {
                self.complain(&failure);
            }
        }
    }

    /// Looks for what others did, and whether anybody sees it.
    fn look(&mut self) {
        self.model.tick(now_ms());
        if let Some((tmux, pane)) = &self.pane {
            let seen = tmux.is_seen(*pane).unwrap_or(true);
            self.hidden = !seen && tmux.wake_when_seen(*pane).unwrap_or(false);
            if self.hidden {
                return;
            }
        }
        if self.store.is_none()
            && let Err(failure) = self.open()
        {
            self.complain(&failure);
        }
        let version = self.store.as_ref().and_then(|store| store.version().ok());
        if version == self.version {
            self.look_at_pane();
        } else {
            self.reload();
        }
        if let Err(failure) = self.refresh_request() {
            self.complain(&failure);
        }
    }

    /// Is awake again, if it was not.
    fn surface(&mut self) {
        if std::mem::take(&mut self.hidden)
            && let Some((tmux, pane)) = &self.pane
            && let Err(error) = tmux.forget_wake(*pane)
        {
            tracing::debug!(%error, "take the hooks of a hidden dashboard away");
        }
    }

    fn draw(&mut self) {
        let size = screen::size();
        self.terminal.backend_mut().resize(size);
        self.model.resize(size);
        let view = self.model.view();
        let drawn = self
            .terminal
            .draw(|frame| ui::draw(&view, frame.buffer_mut()));
        if let Err(error) = drawn {
            tracing::debug!(%error, "draw the dashboard");
        }
    }

    /// Draws everything anew: something else was on the screen.
    fn redraw(&mut self) {
        if let Err(error) = self.terminal.clear() {
            tracing::debug!(%error, "clear the dashboard");
        }
    }
}

/// What came within `limit`.
fn wait(limit: Duration, signals: &Signals) -> Result<Event> {
    let input = io::stdin();
    let mut fds = [
        PollFd::new(input.as_fd(), PollFlags::POLLIN),
        PollFd::new(signals.as_fd(), PollFlags::POLLIN),
    ];
    let timeout = if limit == Duration::MAX {
        PollTimeout::NONE
    } else {
        let limit = limit.saturating_add(Duration::from_micros(999));
        PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX)
    };
    match poll(&mut fds, timeout) {
        Ok(0) | Err(Errno::EINTR) => return Ok(Event::Silence),
        Ok(_) => {}
        Err(error) => return Err(Failure::failed(format!("wait for a key: {error}"))),
    }
    if let Some(call) = signals.next() {
        return Ok(Event::Call(call));
    }
    if fds[0].revents().is_none_or(|events| events.is_empty()) {
        return Ok(Event::Silence);
    }
    let mut bytes = vec![0; 4096];
    match nix::unistd::read(&input, &mut bytes) {
        Ok(0) => Ok(Event::Gone),
        Ok(length) => {
            bytes.truncate(length);
            Ok(Event::Bytes(bytes))
        }
        Err(Errno::EINTR) => Ok(Event::Silence),
        Err(_) => Ok(Event::Gone),
    }
}
