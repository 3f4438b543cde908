//! The key `m`: a menu of what agents wrote and of the agents, then tmux's own prompt for a line to one of them.

use super::Door;
use super::plugin::existing;
use crate::clock;
use crate::domain::ids::{NoteId, TerminalId};
use crate::domain::message::Sender;
use crate::domain::note::{Note, excerpt};
use crate::domain::terminal::Terminal;
use crate::error::{Failure, Result};
use crate::fsx;
use crate::proc;
use crate::services::note;
use crate::services::plugin as service;
use crate::services::presence;
use crate::services::recover;
use crate::services::send::{self, Order};
use crate::store::Store;
use crate::tmux::prompt::Entry;

/// Most notes that the menu lists.
const NOTES: usize = 9;

/// Letters that choose an agent; `q` closes a menu.
const LETTERS: &str = "abcdefghijklmnoprstuvwxyz";

/// `menu message CLIENT …` and `menu note CLIENT …`. Whatever goes wrong is said to the client: nobody reads what a key's program prints.
pub(super) fn menu(door: &Door<'_>, name: &str, arguments: &[String]) -> Result<()> {
    let word = |at: usize| arguments.get(at).map_or("", String::as_str);
    let client = word(0);
    let done = existing(door).and_then(|store| {
        let Some(mut store) = store else {
            return Ok(door.cx.tmux.tell(client, "no agent is there")?);
        };
        presence::at_client(&door.cx, &mut store, client)?;
        match (name, word(1)) {
            ("message", "") => choose(door, &mut store, client),
            ("message", id) => message(door, &mut store, client, id, word(2)),
            (_, id) => one_note(door, &mut store, client, id, word(2), word(3)),
        }
    });
    if let Err(failure) = &done {
        door.cx.tmux.tell(client, failure.message())?;
    }
    done
}

/// What waits for the person, and who can be written to.
fn choose(door: &Door<'_>, store: &mut Store, client: &str) -> Result<()> {
    let tmux = &door.cx.tmux;
    recover::all(&door.cx, store)?;
    let room = tmux.menu_room(client)?;
    let (notes, living) = store.read(|tx| {
        Ok::<_, crate::store::Error>((
            tx.waiting_notes(Some(&tmux.socket_text()), u32::MAX)?,
            tx.live_terminals()?,
        ))
    })?;
    let shown = notes.len().min(NOTES).min(room / 2);
    let mut entries: Vec<Entry> = notes[..shown]
        .iter()
        .zip('1'..='9')
        .map(|(note, key)| {
            let text = format!("{} {}: {}", note.kind(), note.name, excerpt(&note.body, 80));
            Entry::new(&text, &format!("note {}", note.id)).with_key(key)
        })
        .collect();
    if !entries.is_empty() {
        entries.push(Entry::Line);
    }
    let here: Vec<&Terminal> = living
        .iter()
        .filter(|t| {
            t.server
                .as_ref()
                .is_some_and(|server| server.socket == tmux.socket())
        })
        .collect();
    let left = room.saturating_sub(entries.len());
    for (terminal, key) in here.iter().zip(LETTERS.chars()).take(left) {
        let text = format!(
            "{} in {}:{} ({})",
            terminal.display_name(),
            terminal.session,
            terminal.window,
            terminal.state.status.as_str()
        );
        entries.push(Entry::new(&text, &format!("message {}", terminal.id)).with_key(key));
    }
    if entries.is_empty() {
        return Ok(tmux.tell(client, "no agent is there")?);
    }
    let title = match notes.len() - shown {
        0 => "Message an agent".to_owned(),
        more => format!("Message an agent ({more} more notes: key i)"),
    };
    Ok(tmux.show_menu(client, &title, &entries)?)
}

/// A number that no other prompt has.
fn number() -> Result<String> {
    let bytes =
        fsx::random_bytes::<6>().map_err(|e| Failure::failed(format!("read random bytes: {e}")))?;
    Ok(fsx::hex(&bytes))
}

/// What was typed into the prompt `number`.
fn typed(door: &Door<'_>, number: &str) -> Result<String> {
    let text = door.cx.tmux.typed(number)?.ok_or_else(|| {
        Failure::failed("somebody typed at the same moment, and your line was lost: type it again")
    })?;
    if text.trim().is_empty() {
        return Err(Failure::usage("nothing was typed, and nothing was sent"));
    }
    Ok(text)
}

/// A line for one agent: asked for, or typed into prompt `number`.
fn message(door: &Door<'_>, store: &mut Store, client: &str, id: &str, at: &str) -> Result<()> {
    let tmux = &door.cx.tmux;
    let id = TerminalId::parse(id).map_err(|e| Failure::usage(e.to_string()))?;
    if at.is_empty() {
        let question = format!("Message for {id}:");
        return Ok(tmux.ask(client, &question, &number()?, &format!("message {id}"))?);
    }
    if let Some(terminal) = store.read(|tx| tx.terminal(&id))? {
        recover::check(&door.cx, store, &terminal)?;
    }
    let order = Order {
        receiver: id.clone(),
        body: typed(door, at)?,
        key: None,
        ttl: None,
        approval: false,
    };
    let sent = send::send_as(&door.cx, store, Sender::Human, &order)?;
    let said = format!("message {} to {id} is {}", sent.id, sent.status.as_str());
    Ok(tmux.tell(client, &said)?)
}

/// A note: what can be done with it, and doing it.
fn one_note(
    door: &Door<'_>,
    store: &mut Store,
    client: &str,
    id: &str,
    what: &str,
    at: &str,
) -> Result<()> {
    let tmux = &door.cx.tmux;
    let id = NoteId::parse(id).map_err(|e| Failure::usage(e.to_string()))?;
    let found = note::known(store, id)?;
    match what {
        "" => Ok(tmux.show_menu(client, &title(&found), &choices(&found))?),
        "show" => {
            let line = service::own_line(&door.cx, &["note", "show", &id.to_string()])
                .ok_or_else(|| Failure::failed("the popup's program cannot be named"))?;
            let line = format!("{line} 2>&1 | less");
            Err(proc::exec(tmux.popup_command(client, &line)?))
        }
        "seen" => note::see(&door.cx, store, id).map(drop),
        "ask" => {
            let question = format!("Answer to note {id}:");
            Ok(tmux.ask(client, &question, &number()?, &format!("note {id} typed"))?)
        }
        "option" => {
            let index: Option<usize> = at.parse().ok();
            let option = index
                .and_then(|number| found.options.get(number.checked_sub(1)?))
                .ok_or_else(|| Failure::usage(format!("note {id} has no such option")))?;
            answer(door, store, client, id, option)
        }
        "typed" => answer(door, store, client, id, &typed(door, at)?),
        _ => Err(Failure::usage("that is nothing to do with a note")),
    }
}

fn title(note: &Note) -> String {
    let age = clock::elapsed_ms(note.written_at, clock::now());
    let age = crate::ui::table::age(age);
    format!("{} {} from {}, {age} ago", note.kind(), note.id, note.name)
}

fn choices(note: &Note) -> Vec<Entry> {
    let id = note.id;
    let mut entries = vec![
        Entry::new(
            &format!("Read it: {}", excerpt(&note.body, 80)),
            &format!("note {id} show"),
        )
        .with_key('r'),
        Entry::Line,
    ];
    for (number, option) in note.options.iter().enumerate() {
        let number = number + 1;
        let key = char::from_digit(u32::try_from(number).unwrap_or(0), 10).unwrap_or('0');
        let entry = Entry::new(option, &format!("note {id} option {number}"));
        entries.push(entry.with_key(key));
    }
    entries.push(Entry::new("Answer in words", &format!("note {id} ask")).with_key('w'));
    if !note.question {
        entries.push(Entry::new("Mark as seen", &format!("note {id} seen")).with_key('s'));
    }
    entries
}

fn answer(door: &Door<'_>, store: &mut Store, client: &str, id: NoteId, text: &str) -> Result<()> {
    note::person(store, id, "menu")?;
    let answered = note::answer(&door.cx, store, id, text, &Sender::Human, "menu")?;
    let to = answered.terminal;
    Ok(door
        .cx
        .tmux
        .tell(client, &format!("note {id} is answered, to {to}"))?)
}
