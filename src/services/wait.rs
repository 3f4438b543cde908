//! Waiting: for something to become true in the state. Blocks on the kernel telling that a writer has let its lock go, and looks again
//! at least once a second.

mod stands;

use super::context::Context;
use super::deliver::{self, place};
use super::find;
use crate::clock::{self, Deadline};
use crate::domain::ids::TerminalId;
use crate::domain::terminal::{Status, Terminal};
use crate::error::{Failure, Kind, Result};
use crate::paths::Home;
use crate::providers::Catalogue;
use crate::store::Store;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// Longest time between two looks.
pub const PERIOD: Duration = Duration::from_secs(1);

/// Wakes when somebody has written to the database. A write to the log itself says too little: it comes a moment before what was written
/// can be read, and may be the last.
#[derive(Debug)]
pub struct Watcher {
    inotify: Option<Inotify>,
}

impl Watcher {
    /// Watches the writers' lock of `home`; where the kernel cannot, it only looks once in a while.
    pub fn new(home: &Home) -> Self {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)
            .ok()
            .filter(|inotify| {
                inotify
                    .add_watch(&home.lock(), AddWatchFlags::IN_CLOSE_WRITE)
                    .is_ok()
            });
        Self { inotify }
    }

    /// Sleeps until the database was written, `limit` has passed, or a second is over.
    pub fn sleep(&self, limit: Duration) {
        self.sleep_beside(limit, None);
    }

    /// As [`Self::sleep`], and until there is something to read in `other`; says whether there is.
    pub fn sleep_beside(&self, limit: Duration, other: Option<BorrowedFd<'_>>) -> bool {
        let mut limit = limit.min(PERIOD);
        if self.inotify.is_none() {
            limit = limit.min(Duration::from_millis(100));
        }
        let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::from(1000u16));
        let mut fds: Vec<PollFd<'_>> = other
            .into_iter()
            .chain(self.inotify.as_ref().map(AsFd::as_fd))
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
            .collect();
        let _ = nix::poll::poll(&mut fds, timeout);
        let woken = other.is_some() && fds.first().is_some_and(|fd| fd.any().unwrap_or(false));
        if let Some(inotify) = &self.inotify {
            let _ = inotify.read_events();
        }
        woken
    }
}

/// What a look found.
#[derive(Debug)]
pub enum Look<T> {
    /// It is there.
    Found(T),
    /// Not yet; it may become so after this time, without a write to the database.
    NotYet(Duration),
}

/// Waits until `look` finds something; `None` when `deadline` passed or `stop` said so.
pub fn until<T>(
    store: &mut Store,
    deadline: Deadline,
    mut stop: impl FnMut() -> bool,
    mut look: impl FnMut(&mut Store) -> Result<Look<T>>,
) -> Result<Option<T>> {
    let watcher = Watcher::new(&store.home().clone());
    loop {
        let pause = match look(store)? {
            Look::Found(found) => return Ok(Some(found)),
            Look::NotYet(pause) => pause,
        };
        if deadline.passed() || stop() {
            return Ok(None);
        }
        watcher.sleep(pause.min(deadline.left()));
    }
}

/// Waits until any or all of `ids` are in one of `states`, and these are not about to pass; returns them as they are then.
pub fn for_states(
    cx: &Context,
    store: &mut Store,
    ids: &[TerminalId],
    states: &[Status],
    all: bool,
    deadline: Deadline,
    stop: impl FnMut() -> bool,
) -> Result<Vec<Terminal>> {
    let mut looks = Looks::default();
    let found = until(store, deadline, stop, |store| {
        let (terminals, passes) = read(store, ids, states)?;
        let there = passes.iter().filter(|ms| **ms <= 0).count();
        if if all {
            there == terminals.len()
        } else {
            there > 0
        } {
            return Ok(Look::Found(terminals));
        }
        // One that has ended will never be anything else.
        if !states.contains(&Status::Exited)
            && let Some(ended) = terminals.iter().find(|t| !t.alive())
            && (all || terminals.iter().all(|t| !t.alive()))
        {
            return Err(Failure::refused(format!(
                "terminal {} has ended: {}",
                ended.id, ended.state.reason
            )));
        }
        looks.confirm(cx, store, &terminals)?;
        let next = passes.into_iter().filter(|ms| *ms > 0).min();
        Ok(Look::NotYet(next.map_or(PERIOD, |ms| {
            Duration::from_millis(ms.unsigned_abs())
        })))
    })?;
    found.ok_or_else(|| {
        let words: Vec<&str> = states.iter().map(|status| status.as_str()).collect();
        Failure::new(
            Kind::TimedOut,
            format!("not {} in time", words.join(" or ")),
        )
        .hint("`conductor-hook explain TERMINAL` says what it waits for")
    })
}

/// The terminals, and in how many milliseconds each is in one of `states` for good, if nothing happens: never, where it is in another.
fn read(
    store: &mut Store,
    ids: &[TerminalId],
    states: &[Status],
) -> Result<(Vec<Terminal>, Vec<i64>)> {
    store.read(|tx| {
        let now = clock::now();
        let (mut terminals, mut passes) = (Vec::new(), Vec::new());
        for id in ids {
            let terminal = tx.terminal(id)?.ok_or_else(|| find::unknown(id))?;
            passes.push(if states.contains(&terminal.state.status) {
                stands::passes_in(tx, &terminal, now)?
            } else {
                i64::MAX
            });
            terminals.push(terminal);
        }
        Ok((terminals, passes))
    })
}

/// When terminals that say nothing were last looked at.
#[derive(Debug, Default)]
pub struct Looks {
    last: Option<jiff::Timestamp>,
    compared: Option<jiff::Timestamp>,
}

impl Looks {
    /// Hooks miss some exits: a terminal that is waited for gets one look at its screen 5 s after its last event, then every 10 s.
    pub fn confirm(
        &mut self,
        cx: &Context,
        store: &mut Store,
        terminals: &[Terminal],
    ) -> Result<()> {
        let now = clock::now();
        let since = |at: jiff::Timestamp| now.as_millisecond() - at.as_millisecond();
        if self.compared.is_none_or(|at| since(at) >= 3_000) {
            self.compared = Some(now);
            super::recover::all(cx, store)?;
        }
        if self.last.is_some_and(|at| since(at) < 10_000) {
            return Ok(());
        }
        for terminal in terminals {
            if !matches!(
                terminal.state.status,
                Status::Working | Status::Waiting | Status::Starting | Status::Unknown
            ) {
                continue;
            }
            let Ok(manifest) = Catalogue::of(&cx.home).get(&terminal.provider) else {
                continue;
            };
            // Of one whose start no event tells, the screen is all that there is.
            let starts = terminal.state.status == Status::Starting
                && !deliver::tells_start(terminal, &manifest);
            let quiet = terminal
                .last_event_at
                .unwrap_or(terminal.state.since)
                .max(terminal.state.since);
            if !starts && since(quiet) < i64::from(manifest.screen.patience_ms) {
                continue;
            }
            if !starts {
                self.last = Some(now);
            }
            if let Some((tmux, pane)) = place(terminal) {
                deliver::confirm_idle(cx, store, terminal, &manifest, &tmux, pane)?;
            }
        }
        Ok(())
    }
}
