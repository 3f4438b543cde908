//! The program in the approval popup, and on a plain terminal: it shows what waits, and takes a person's decision.

mod model;
mod open;

#[cfg(test)]
pub(super) use model::tests;
pub(super) use model::{Answer, Model, Wish};
pub(super) use open::{answer, from_pane, open, shell_line};

use super::Door;
use crate::clock::{self, Deadline};
use crate::domain::approval::{Approval, ApprovalStatus, Scope};
use crate::domain::ids::ApprovalId;
use crate::error::{Failure, Result};
use crate::fsx;
use crate::services::approve::{self, Decision};
use crate::services::presence;
use crate::store::{Store, Tx};
use crate::term::{self, ESC_SILENCE, Key, Parser};
use model::{Code, Item, LETTERS};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::time::Duration;

/// For how long keys mean nothing at first: they were typed for something else.
const DEAF: Duration = Duration::from_millis(600);

/// How often the popup looks for what others did.
const LOOK: Duration = Duration::from_secs(1);

/// How many requests are listed.
const MOST: u32 = 500;

/// How many codes an opening has: one, and one after each wrong try.
const CODES: usize = 3;

/// What the popup begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// The list of what waits.
    List,
    /// The request that has waited longest, then the list.
    Next,
    /// This request, and nothing else.
    One(ApprovalId),
}

/// How it is opened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opening<'a> {
    /// What it begins with.
    pub(super) start: Start,
    /// How far a yes reaches until a key says else.
    pub(super) scope: Scope,
    /// Why, for the audit log.
    pub(super) reason: Option<&'a str>,
    /// The tmux client in whose popup it runs; `None` on a plain terminal.
    pub(super) client: Option<&'a str>,
}

/// Puts the terminal back, however the popup ends.
struct Screen;

impl Drop for Screen {
    fn drop(&mut self) {
        term::restore();
    }
}

/// Runs until the person closes it. Returns the last request that was decided here.
pub(super) fn run(door: &Door<'_>, opening: &Opening<'_>) -> Result<Option<ApprovalId>> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Err(
            Failure::refused("this needs a terminal: a person types a code that it shows")
                .hint("run it in a shell of yours, or press prefix A in tmux"),
        );
    }
    let mut store = door.cx.existing_store()?;
    unwatched(door, &mut store, opening.client)?;
    let mut model = Model::new(!matches!(opening.start, Start::One(_)), opening.scope);
    reload(&mut store, &mut model)?;
    match opening.start {
        Start::List => {}
        Start::One(id) => read(&mut store, &mut model, id)?,
        Start::Next => {
            let next = store.read(|tx| tx.approvals(Some(ApprovalStatus::Pending), MOST))?;
            if let Some(first) = next.first() {
                read(&mut store, &mut model, first.id)?;
            }
        }
    }
    term::full_screen().map_err(|e| Failure::failed(format!("use the terminal: {e}")))?;
    let _screen = Screen;
    term::drain();
    converse(door, &mut store, &mut model, opening)
}

/// Refuses where others could read a code that is shown here.
pub(super) fn unwatched(door: &Door<'_>, store: &mut Store, client: Option<&str>) -> Result<()> {
    if presence::pane_server(&door.cx, store)?.is_some() {
        return Err(
            Failure::refused("this is a pane of tmux, and others can read a pane")
                .hint("press prefix A, or run `conductor-hook approve ID`: both open a popup"),
        );
    }
    if client.is_some() {
        presence::no_agent_watches(&door.cx.tmux, store)?;
    }
    Ok(())
}

fn converse(
    door: &Door<'_>,
    store: &mut Store,
    model: &mut Model,
    opening: &Opening<'_>,
) -> Result<Option<ApprovalId>> {
    let mut parser = Parser::new();
    let mut keys: Vec<Key> = Vec::new();
    let mut drawn = Vec::new();
    let mut decided = None;
    let deaf = Deadline::after(DEAF);
    let mut look = Deadline::after(LOOK);
    let mut silence = Deadline::never();
    loop {
        model.resize(term::size());
        let screen = model.draw();
        if screen != drawn {
            show(&screen);
            drawn = screen;
        }
        let Some(bytes) = wait(silence.left().min(look.left()))? else {
            return Ok(decided);
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
            if !heard {
                continue;
            }
            match model.key(&key) {
                Wish::Nothing => {}
                Wish::Close => return Ok(decided),
                Wish::Open(id) => read(store, model, id)?,
                Wish::Decide(answer) => {
                    let done = decide(door, store, model, opening, &answer)?;
                    if done {
                        decided = Some(answer.id);
                        reload(store, model)?;
                        if !model.back() {
                            return Ok(decided);
                        }
                    }
                }
            }
        }
        if look.passed() {
            reload(store, model)?;
            look = Deadline::after(LOOK);
        }
    }
}

/// Stores the decision; says what became of it. What is refused is shown, and the person may do something else.
fn decide(
    door: &Door<'_>,
    store: &mut Store,
    model: &mut Model,
    opening: &Opening<'_>,
    answer: &Answer,
) -> Result<bool> {
    match settle(door, store, (opening.client, opening.reason), answer) {
        Ok(approval) => {
            let text = format!("approval {} is {}", approval.id, approval.status.as_str());
            model.say(text);
            Ok(true)
        }
        Err(failure) => {
            model.say(failure.line());
            if let Some(approval) = store.read(|tx| tx.approval(answer.id))? {
                model.refresh(&approval);
            }
            Ok(false)
        }
    }
}

/// Stores what a person decided here; with the client in whose popup it was, and the reason where the answer has none.
pub(super) fn settle(
    door: &Door<'_>,
    store: &mut Store,
    (client, reason): (Option<&str>, Option<&str>),
    answer: &Answer,
) -> Result<Approval> {
    let decision = Decision {
        yes: answer.yes,
        scope: answer.scope,
        reason: answer.reason.as_deref().or(reason),
        shown: answer.shown,
        via: if client.is_some() { "popup" } else { "cli" },
        client,
    };
    approve::decide(&door.cx, store, answer.id, &decision)
}

fn item(tx: &Tx<'_>, approval: Approval) -> std::result::Result<Item, crate::store::Error> {
    let terminal = match &approval.terminal {
        Some(id) => tx.terminal(id)?,
        None => None,
    };
    let who = terminal.map(|terminal| format!("{} in {}", terminal.profile, terminal.session));
    Ok(Item { approval, who })
}

/// Reads what waits, and what became of the request that is shown.
fn reload(store: &mut Store, model: &mut Model) -> Result<()> {
    let shown = model.open_id();
    let (items, shown) = store.read(|tx| {
        let pending = tx.approvals(Some(ApprovalStatus::Pending), MOST)?;
        let items: std::result::Result<Vec<Item>, _> = pending
            .into_iter()
            .map(|approval| item(tx, approval))
            .collect();
        let shown = match shown {
            Some(id) => tx.approval(id)?,
            None => None,
        };
        Ok::<_, crate::store::Error>((items?, shown))
    })?;
    model.update(items, clock::now().as_millisecond());
    if let Some(approval) = shown {
        model.refresh(&approval);
    }
    Ok(())
}

/// Shows one request, with codes that are drawn for this opening.
pub(super) fn read(store: &mut Store, model: &mut Model, id: ApprovalId) -> Result<()> {
    let approval = approve::known(store, id)?;
    let item = store.read(|tx| item(tx, approval))?;
    let codes = (0..CODES).map(|_| code()).collect::<Result<Vec<Code>>>()?;
    model.open(item, codes);
    Ok(())
}

/// Two letters from the kernel's randomness, which this process alone knows.
fn code() -> Result<Code> {
    let bytes =
        fsx::random_bytes::<2>().map_err(|e| Failure::failed(format!("read random bytes: {e}")))?;
    Ok(bytes.map(|byte| char::from(LETTERS[usize::from(byte) % LETTERS.len()])))
}

/// What was typed within `limit`; `None` when the terminal is gone.
fn wait(limit: Duration) -> Result<Option<Vec<u8>>> {
    let input = io::stdin();
    let mut fds = [PollFd::new(input.as_fd(), PollFlags::POLLIN)];
    let limit = limit.saturating_add(Duration::from_micros(999));
    let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
    match poll(&mut fds, timeout) {
        Ok(0) | Err(nix::errno::Errno::EINTR) => return Ok(Some(Vec::new())),
        Ok(_) => {}
        Err(error) => return Err(Failure::failed(format!("wait for a key: {error}"))),
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
