//! The inbox of the person, in a popup: what agents wrote and asked, and messages that wait or have failed; to read, and to answer in a box.

mod letter;
mod model;

use super::Door;
use super::menus;
use super::plugin::existing;
use super::stage::{self, Go, View};
use crate::clock;
use crate::domain::ids::{NoteId, TerminalId};
use crate::domain::message::{MessageStatus, Sender};
use crate::error::Result;
use crate::services::plugin::own_line;
use crate::services::send::{self, Order};
use crate::services::{find, inbox as service, note, recover};
use crate::store::{self, Store};
use crate::term::Key;
use crate::tmux::Viewer;
use crate::ui::sheet::Row;
use letter::Letter;
use model::{Model, Wish};

/// Most messages of a status that are listed.
const MOST: u32 = 100;

/// For how long failed messages are listed, in milliseconds.
const RECENT_MS: i64 = 24 * 60 * 60 * 1000;

/// The key `i` was pressed: opens the popup, if something is in it.
pub(super) fn open(door: &Door<'_>, viewer: &Viewer) -> Result<()> {
    let found = match existing(door)? {
        Some(mut store) => letters(&mut store, &[])?,
        None => Vec::new(),
    };
    if found.is_empty() {
        let text = "no agent wrote to you, and no message waits or has failed";
        return Ok(door.cx.tmux.tell(&viewer.name, text)?);
    }
    open_at(door, viewer, None)
}

/// Opens the popup with the list, or with one note.
pub(super) fn open_at(door: &Door<'_>, viewer: &Viewer, note: Option<NoteId>) -> Result<()> {
    let id = note.map(|id| id.to_string());
    let words = ["menu", "inbox-popup", &viewer.name].into_iter();
    let words: Vec<&str> = words.chain(id.as_deref()).collect();
    menus::show_popup(door, viewer, "inbox", own_line(&door.cx, &words))
}

/// The program in the popup: `menu inbox-popup CLIENT [NOTE]`.
pub(super) fn run(door: &Door<'_>, words: &[String]) -> Result<()> {
    let store = door.cx.existing_store()?;
    let mut inbox = Inbox {
        door,
        store,
        model: Model::new(),
    };
    inbox.look()?;
    if let Some(word) = words.first() {
        let id = NoteId::parse(word).map_err(find::invalid)?;
        let found = note::known(&mut inbox.store, id)?;
        let wish = inbox.model.read(Letter::Note(found));
        inbox.grant(wish)?;
    }
    stage::run(&mut inbox)
}

/// What waits for the person, then what is on its way or failed; notes of `kept` stay, whatever became of them.
fn letters(store: &mut Store, kept: &[NoteId]) -> Result<Vec<Letter>> {
    let since = clock::after_ms(clock::now(), -RECENT_MS);
    let (notes, mut messages) = store.read(|tx| {
        let mut notes = tx.waiting_notes(None, u32::MAX)?;
        for id in kept {
            if !notes.iter().any(|note| note.id == *id) {
                notes.extend(tx.note(*id)?);
            }
        }
        let mut messages = Vec::new();
        for status in MessageStatus::ALL {
            let failed = matches!(status, MessageStatus::Dead | MessageStatus::Expired);
            if status.open() || failed {
                let mut found = tx.messages(None, Some(status), MOST)?;
                found.retain(|m| !failed || m.queued_at >= since);
                messages.extend(found);
            }
        }
        Ok::<_, store::Error>((notes, messages))
    })?;
    service::give_reasons(store, &mut messages)?;
    let mut letters: Vec<Letter> = notes.into_iter().map(Letter::Note).collect();
    letters.extend(messages.into_iter().map(Letter::Message));
    letters.sort_by_key(Letter::order);
    Ok(letters)
}

/// The popup at work.
struct Inbox<'a, 'd> {
    door: &'a Door<'d>,
    store: Store,
    model: Model,
}

impl View for Inbox<'_, '_> {
    fn draw(&mut self, size: (usize, usize)) -> Vec<Row> {
        self.model.draw(size)
    }

    fn key(&mut self, key: &Key) -> Result<Go> {
        let wish = self.model.key(key);
        if wish == Wish::Leave {
            return Ok(Go::Leave);
        }
        if let Err(failure) = self.grant(wish) {
            let hint = failure.hints().first();
            let hint = hint.map(|hint| format!(": {hint}")).unwrap_or_default();
            self.model.say(format!("{}{hint}", failure.message()));
        }
        Ok(Go::On)
    }

    fn look(&mut self) -> Result<()> {
        let kept = self.model.notes();
        let letters = letters(&mut self.store, &kept)?;
        self.model.update(letters, clock::now().as_millisecond());
        Ok(())
    }
}

impl Inbox<'_, '_> {
    /// Does what was asked for, and says what came of it.
    fn grant(&mut self, wish: Wish) -> Result<()> {
        let (cx, store) = (&self.door.cx, &mut self.store);
        match wish {
            Wish::Nothing | Wish::Leave => return Ok(()),
            Wish::Seen(id) => drop(note::see(cx, store, id)?),
            Wish::Answer(id, text) => {
                let text = send::body(text.into_bytes())?;
                let answered = note::answer(cx, store, id, &text, &Sender::Human, "popup")?;
                self.model.sent();
                let text = format!("note {id} is answered, to {}", answered.terminal);
                self.model.say(text);
            }
            Wish::Send(receiver, text) => {
                let sent = send_to(self.door, store, &receiver, text)?;
                self.model.sent();
                self.model.say(sent);
            }
            Wish::Retry(id) => {
                let message = send::retry(cx, store, id)?;
                let text = format!("message {id} is {}", message.status.as_str());
                self.model.say(text);
            }
            Wish::Cancel(id) => {
                let message = send::cancel(cx, store, id)?;
                let text = format!("message {id} is {}", message.status.as_str());
                self.model.say(text);
            }
        }
        self.look()
    }
}

fn send_to(
    door: &Door<'_>,
    store: &mut Store,
    receiver: &TerminalId,
    text: String,
) -> Result<String> {
    if let Some(terminal) = store.read(|tx| tx.terminal(receiver))? {
        recover::check(&door.cx, store, &terminal)?;
    }
    let order = Order {
        body: send::body(text.into_bytes())?,
        receiver: receiver.clone(),
        key: None,
        ttl: None,
        approval: false,
    };
    let sent = send::send_as(&door.cx, store, Sender::Human, &order)?;
    Ok(format!(
        "message {} to {receiver} is {}",
        sent.id,
        sent.status.as_str()
    ))
}
