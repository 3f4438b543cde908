//! The key `m`: a menu of what agents wrote and of the agents, then tmux's own prompt for a line to one of them.

use super::menus::{self, Item};
use super::plugin::existing;
use super::{Door, inbox};
use crate::clock;
use crate::domain::ids::{NoteId, TerminalId};
use crate::domain::message::Sender;
use crate::domain::note::{Note, excerpt};
use crate::error::{Failure, Result};
use crate::fsx;
use crate::proc;
use crate::services::find;
use crate::services::note;
use crate::services::recover;
use crate::services::send::{self, Order};
use crate::store::Store;
use crate::tmux::Viewer;

/// `menu message CLIENT [ID [NUMBER]]` and `menu note CLIENT ID …`.
pub(super) fn menu(door: &Door<'_>, viewer: &Viewer, name: &str, words: &[String]) -> Result<()> {
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    let Some(mut store) = existing(door)? else {
        return Ok(door.cx.tmux.tell(&viewer.name, "no agent is there")?);
    };
    match (name, word(0)) {
        ("message", "") => choose(door, &mut store, viewer, 0),
        ("message", page) if page.starts_with('+') => {
            choose(door, &mut store, viewer, menus::offset(words))
        }
        ("message", id) => message(door, &mut store, viewer, id, word(1)),
        (_, id) => one_note(door, &mut store, viewer, id, word(1), word(2)),
    }
}

/// What waits for the person, and who can be written to.
fn choose(door: &Door<'_>, store: &mut Store, viewer: &Viewer, from: usize) -> Result<()> {
    let tmux = &door.cx.tmux;
    let room = menus::room(viewer, "message")?;
    recover::all(&door.cx, store)?;
    let (notes, living) = store.read(|tx| {
        Ok::<_, crate::store::Error>((
            tx.waiting_notes(Some(&tmux.socket_text()), u32::MAX)?,
            tx.live_terminals()?,
        ))
    })?;
    let mut digits = '1'..='9';
    let notes = notes.iter().map(|note| {
        let text = format!("{} {}: {}", note.kind(), note.name, excerpt(&note.body, 80));
        let item = Item::new(&text, &format!("note {}", note.id)).under("what agents wrote");
        match digits.next() {
            Some(digit) => item.with_key(digit),
            None => item,
        }
    });
    let here = living.iter().filter(|t| {
        let server = t.server.as_ref();
        server.is_some_and(|server| server.socket == tmux.socket())
    });
    let agents = here.map(|terminal| {
        let text = format!(
            "{} in {}:{} ({})",
            terminal.display_name(),
            terminal.session,
            terminal.window,
            terminal.state.status.as_str()
        );
        Item::new(&text, &format!("message {}", terminal.id)).under("write to")
    });
    let items: Vec<Item> = notes.chain(agents).collect();
    if items.is_empty() {
        return Ok(tmux.tell(&viewer.name, "no agent is there")?);
    }
    let entries = menus::pages(&items, from, room, "message");
    menus::show(door, viewer, "Message an agent", &entries)
}

/// A number that no other prompt has.
fn number() -> Result<String> {
    let bytes =
        fsx::random_bytes::<6>().map_err(|e| Failure::failed(format!("read random bytes: {e}")))?;
    Ok(fsx::hex(&bytes))
}

/// Does `then` with what was typed into the prompt `number`. Where that is refused the prompt comes again with the text in it.
fn typed(
    door: &Door<'_>,
    viewer: &Viewer,
    number: &str,
    (question, arguments): (&str, &str),
    then: impl FnOnce(String) -> Result<()>,
) -> Result<()> {
    let tmux = &door.cx.tmux;
    let text = tmux.typed(number)?.ok_or_else(|| {
        Failure::failed("somebody typed at the same moment, and your line was lost: type it again")
    })?;
    if text.trim().is_empty() {
        tmux.forget_typed(number)?;
        return Err(Failure::usage("nothing was typed, and nothing was sent"));
    }
    let done = then(text);
    let after = match &done {
        Ok(()) => tmux.forget_typed(number),
        Err(_) => tmux.ask_again(viewer, question, (number, &self::number()?), arguments),
    };
    if let Err(error) = after {
        tracing::debug!(%error, "forget what was typed, or ask for it again");
    }
    done
}

/// A line for one agent: asked for, or typed into prompt `number`.
fn message(door: &Door<'_>, store: &mut Store, viewer: &Viewer, id: &str, at: &str) -> Result<()> {
    let tmux = &door.cx.tmux;
    let id = TerminalId::parse(id).map_err(find::invalid)?;
    let (question, arguments) = (format!("Message for {id}:"), format!("message {id}"));
    if at.is_empty() {
        return ask(door, viewer, &question, &arguments);
    }
    let mut said = String::new();
    typed(door, viewer, at, (&question, &arguments), |body| {
        if let Some(terminal) = store.read(|tx| tx.terminal(&id))? {
            recover::check(&door.cx, store, &terminal)?;
        }
        let order = Order {
            receiver: id.clone(),
            body,
            key: None,
            ttl: None,
            approval: false,
        };
        let sent = send::send_as(&door.cx, store, Sender::Human, &order)?;
        said = format!("message {} to {id} is {}", sent.id, sent.status.as_str());
        Ok(())
    })?;
    Ok(tmux.tell(&viewer.name, &said)?)
}

/// Lets the person type a line; `menu ARGUMENTS NUMBER` then runs.
fn ask(door: &Door<'_>, viewer: &Viewer, question: &str, arguments: &str) -> Result<()> {
    let tmux = &door.cx.tmux;
    let command = tmux.ask_command(viewer, question, &number()?, arguments)?;
    Err(proc::exec(command))
}

/// A note: what can be done with it, and doing it.
fn one_note(
    door: &Door<'_>,
    store: &mut Store,
    viewer: &Viewer,
    id: &str,
    what: &str,
    at: &str,
) -> Result<()> {
    let id = NoteId::parse(id).map_err(find::invalid)?;
    let found = note::known(store, id)?;
    match what {
        page if page.is_empty() || page.starts_with('+') => {
            let room = menus::room(viewer, "message")?;
            let from = menus::offset(&[page.to_owned()]);
            let entries = menus::pages(&choices(&found), from, room, &format!("note {id}"));
            menus::show(door, viewer, &title(&found), &entries)
        }
        "show" => inbox::open_at(door, viewer, Some(id)),
        "seen" => note::see(&door.cx, store, id).map(drop),
        "ask" | "typed" => {
            let question = format!("Answer to note {id}:");
            let arguments = format!("note {id} typed");
            if what == "ask" {
                return ask(door, viewer, &question, &arguments);
            }
            typed(door, viewer, at, (&question, &arguments), |text| {
                give(door, store, id, &text)
            })?;
            answered(door, viewer, &found)
        }
        "option" => {
            let index: Option<usize> = at.parse().ok();
            let option = index
                .and_then(|number| found.options.get(number.checked_sub(1)?))
                .ok_or_else(|| Failure::usage(format!("note {id} has no such option")))?;
            give(door, store, id, option)?;
            answered(door, viewer, &found)
        }
        _ => Err(Failure::usage("that is nothing to do with a note")),
    }
}

fn title(note: &Note) -> String {
    let age = clock::elapsed_ms(note.written_at, clock::now());
    let age = crate::ui::table::age(age);
    format!("{} {} from {}, {age} ago", note.kind(), note.id, note.name)
}

fn choices(note: &Note) -> Vec<Item> {
    let id = note.id;
    let read = format!("Read it: {}", excerpt(&note.body, 80));
    let mut items = vec![Item::new(&read, &format!("note {id} show")).with_key('r')];
    for (number, option) in note.options.iter().enumerate() {
        let number = number + 1;
        let item = Item::new(option, &format!("note {id} option {number}"));
        let key = char::from_digit(u32::try_from(number).unwrap_or(0), 10);
        items.push(key.map_or(item.clone(), |key| item.with_key(key)));
    }
    items.push(Item::new("Answer in words", &format!("note {id} ask")).with_key('w'));
    if !note.question {
        items.push(Item::new("Mark as seen", &format!("note {id} seen")).with_key('s'));
    }
    items
}

fn give(door: &Door<'_>, store: &mut Store, id: NoteId, text: &str) -> Result<()> {
    note::person(store, id, "menu")?;
    note::answer(&door.cx, store, id, text, &Sender::Human, "menu").map(drop)
}

fn answered(door: &Door<'_>, viewer: &Viewer, note: &Note) -> Result<()> {
    let said = format!("note {} is answered, to {}", note.id, note.terminal);
    Ok(door.cx.tmux.tell(&viewer.name, &said)?)
}
