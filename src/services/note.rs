//! Notes: what agents write to the person, and the way of the answer back, exactly once: to the call that waits for it, or to the inbox.

use super::after::Aftermath;
use super::answer::own;
use super::context::Context;
use super::deliver::socket;
use super::identity::{self, Caller};
use super::notify::Notice;
use super::recover;
use super::send::{self, Order};
use super::wait::{self, Look, PERIOD};
use crate::clock::{self, Deadline};
use crate::domain::handoff::Given;
use crate::domain::ids::NoteId;
use crate::domain::message::Sender;
use crate::domain::note::{MAX_OPTION, MAX_OPTIONS, Note, NoteStatus};
use crate::domain::terminal::Terminal;
use crate::domain::text::{one_line, sanitise};
use crate::error::{Failure, Result};
use crate::failpoint;
use crate::proc::Identity;
use crate::profiles::config::{self, Limits};
use crate::store::{Budget, DueKind, Durability, Error, NewNote, Store, Tx};
use jiff::Timestamp;

/// How long an answer waits for the call that asked before somebody looks after it, in milliseconds.
const INBOX_MS: i64 = 1_500;

/// A call that has not taken an answer for this long takes it no more, in milliseconds: a waiting one looks once a second.
const LOST_MS: i64 = 5_000;

/// The longest answer that the result of a call brings, in bytes; a longer one comes as a message, which is read in parts.
const CALL_BYTES: usize = 20_000;

/// What an agent wants to say.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// The text.
    pub body: String,
    /// Whether it wants an answer.
    pub question: bool,
    /// Answers to choose from.
    pub options: Vec<String>,
    /// The agent's own key: the same key again is the same note.
    pub key: Option<String>,
}

/// How a wait for an answer ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The answer, taken: whoever holds this must give it, or call [`give_back`].
    Taken(Note),
    /// Nobody has answered.
    Pending(Note),
    /// The answer went another way, or there will be none.
    Over(Note),
}

fn options(given: &[String]) -> Result<Vec<String>> {
    if given.len() > MAX_OPTIONS {
        return Err(Failure::usage(format!(
            "{} options are too many: at most {MAX_OPTIONS}",
            given.len()
        ))
        .hint("ask without options, and list them in the text"));
    }
    let mut options: Vec<String> = Vec::new();
    for option in given {
        let option = one_line(option.trim());
        if option.is_empty() || option.chars().count() > MAX_OPTION {
            return Err(Failure::usage(format!(
                "each option is one line of 1 to {MAX_OPTION} characters"
            )));
        }
        if options.contains(&option) {
            return Err(Failure::usage(format!(
                "the option {option:?} stands twice"
            )));
        }
        options.push(option);
    }
    Ok(options)
}

/// Brakes: an agent in a loop does not flood its person.
fn brake(
    tx: &Tx<'_>,
    limits: &Limits,
    writer: &Terminal,
    bytes: usize,
    now: Timestamp,
) -> Result<()> {
    let refused = |what: String, limit: &str| {
        Failure::refused(what).hint(format!(
            "nothing was stored; go on without an answer, say more in one note, or let a person raise {limit} in config.toml"
        ))
    };
    let (open, stored) = tx.open_note_size(&writer.id)?;
    if open >= i64::from(limits.queue_per_receiver) {
        return Err(refused(
            format!("{open} notes from you wait for the person already"),
            "limits.queue_per_receiver",
        ));
    }
    let stored = u64::try_from(stored).unwrap_or(0);
    if stored.saturating_add(bytes as u64) > limits.waiting_bytes_per_session {
        return Err(refused(
            format!("{stored} bytes of notes from you wait for the person already"),
            "limits.waiting_bytes_per_session",
        ));
    }
    for (ms, most, span, limit) in [
        (
            60_000,
            limits.messages_per_minute,
            "a minute",
            "limits.messages_per_minute",
        ),
        (
            3_600_000,
            limits.messages_per_hour,
            "an hour",
            "limits.messages_per_hour",
        ),
    ] {
        let written = tx.notes_since(&writer.id, clock::after_ms(now, -ms))?;
        if written >= i64::from(most) {
            return Err(refused(
                format!("you wrote {written} notes within {span}"),
                limit,
            ));
        }
    }
    Ok(())
}

/// Stores what an agent writes to the person, and tells the person. The same key, or the same question while nobody has answered it, is the
/// first note again.
pub fn write(cx: &Context, store: &mut Store, writer: &Terminal, draft: &Draft) -> Result<Note> {
    let limits = config::load(&cx.home)?.limits;
    if draft.body.len() > limits.max_body_bytes {
        return Err(send::longer_than(limits.max_body_bytes));
    }
    let body = sanitise(draft.body.trim_end_matches(['\n', '\r']));
    if body.trim().is_empty() {
        return Err(Failure::usage("the text is empty"));
    }
    let new = NewNote {
        terminal: writer.id.clone(),
        name: writer.display_name(),
        body,
        question: draft.question,
        options: options(&draft.options)?,
        key: draft.key.clone(),
    };
    let mut aftermath = Aftermath::default();
    let note = store.write(Durability::Power, Budget::Call, |tx| {
        let now = clock::now();
        if let Some(key) = &new.key
            && let Some(first) = tx.note_by_key(&new.terminal, key)?
        {
            return Ok(first);
        }
        if new.question {
            let same = tx
                .open_notes(&new.terminal)?
                .into_iter()
                .find(|note| note.question && note.body == new.body && note.options == new.options);
            if let Some(same) = same {
                return Ok(same);
            }
        }
        brake(tx, &limits, writer, new.body.len(), now)?;
        let note = tx.accept_note(&new, now)?;
        aftermath.notify(writer, Notice::Note(Box::new(note.clone())));
        Ok::<_, Failure>(note)
    })?;
    failpoint::hit("note.written");
    aftermath.run(cx, store);
    Ok(note)
}

fn unknown(id: NoteId) -> Failure {
    Failure::not_found(format!("there is no note {id}")).hint("`conductor-hook notes` lists them")
}

/// The note with this id.
pub fn known(store: &mut Store, id: NoteId) -> Result<Note> {
    store.read(|tx| tx.note(id))?.ok_or_else(|| unknown(id))
}

/// Refuses everybody who is not a person, and says so in the audit log.
pub fn person(store: &mut Store, id: NoteId, via: &str) -> Result<Caller> {
    let act = ("note.refused", &*id.to_string(), via);
    identity::person(store, act, serde_json::json!({}))?.map_err(|caller| {
        Failure::refused(format!(
        "note {id} is for a person, and this process belongs to an agent ({})",
        caller.word()
    ))
    .hint("answer in a shell that no agent started, or by prefix a m in tmux; the attempt is in the audit log")
    })
}

/// A person has read note `id`.
pub fn see(cx: &Context, store: &mut Store, id: NoteId) -> Result<Note> {
    let mut aftermath = Aftermath::default();
    store.write(Durability::Process, Budget::Call, |tx| {
        let note = tx.note(id)?.ok_or_else(|| unknown(id))?;
        if tx.see_note(id, clock::now())?
            && let Some(writer) = tx.terminal(&note.terminal)?
        {
            aftermath.count(&writer);
        }
        Ok::<_, Failure>(())
    })?;
    aftermath.run(cx, store);
    known(store, id)
}

fn waited_for(note: &Note) -> bool {
    note.waiter.is_some_and(|waiter| {
        Identity {
            pid: waiter.pid,
            start: waiter.start,
        }
        .alive()
    })
}

/// Why note `id` takes no answer, or the agent that it goes to.
fn answerable(tx: &Tx<'_>, id: NoteId) -> Result<(Note, Terminal)> {
    let note = tx.note(id)?.ok_or_else(|| unknown(id))?;
    if note.status == NoteStatus::Answered {
        return Err(
            Failure::refused(format!("note {id} is answered already")).hint(format!(
                "`conductor-hook send {} -m TEXT` says more to its agent",
                note.terminal
            )),
        );
    }
    let writer = tx.terminal(&note.terminal)?.filter(Terminal::alive);
    match writer {
        Some(writer) if note.status != NoteStatus::Withdrawn => Ok((note, writer)),
        _ => Err(Failure::refused(format!(
            "the agent that wrote note {id} has ended, and nobody is there for the answer"
        ))
        .hint("the note stays; `conductor-hook resume` takes up an ended agent's conversation")),
    }
}

/// Answers note `id` in the name of `sender`, by the door `via`. The answer is durable, and so is what brings it to the agent: a call that
/// waits takes it, else it is a message already.
pub fn answer(
    cx: &Context,
    store: &mut Store,
    id: NoteId,
    text: &str,
    sender: &Sender,
    via: &str,
) -> Result<Note> {
    let before = known(store, id)?;
    if let Some(writer) = store.read(|tx| tx.terminal(&before.terminal))? {
        recover::check(cx, store, &writer)?;
    }
    let (tag, trace) = (send::tag()?, send::tag_long()?);
    let mut aftermath = Aftermath::default();
    failpoint::hit("note.before_answer");
    let (writer, sent) = store.write(Durability::Power, Budget::Call, |tx| {
        let now = clock::now();
        let (note, writer) = answerable(tx, id)?;
        let text = sanitise(note.meant(text.trim_end_matches(['\n', '\r'])).as_str());
        if text.trim().is_empty() {
            return Err(Failure::usage("the answer is empty"));
        }
        let by = sender.to_string();
        tx.answer_note(id, &text, &by, now)?;
        let waits = waited_for(&note) && text.len() <= CALL_BYTES;
        if waits {
            let at = clock::after_ms(now, INBOX_MS);
            tx.set_due(
                DueKind::Note,
                &id.to_string(),
                socket(&writer).as_deref(),
                at,
            )?;
        } else {
            put(tx, id, &writer, tag, trace, false)?;
        }
        let detail = serde_json::json!({"terminal": writer.id});
        tx.audit(now, "note.answered", &id.to_string(), &by, via, detail)?;
        aftermath.count(&writer);
        aftermath.arm(tx, &writer, now)?;
        Ok::<_, Failure>((writer, !waits))
    })?;
    failpoint::hit("note.answered");
    aftermath.run(cx, store);
    if sent {
        send::attempt(cx, store, &writer.id);
    }
    known(store, id)
}

/// Puts the answer of note `id` into its agent's inbox, unless somebody has taken it.
fn put(
    tx: &Tx<'_>,
    id: NoteId,
    writer: &Terminal,
    tag: String,
    trace: String,
    again: bool,
) -> Result<bool> {
    let note = tx.note(id)?.ok_or_else(|| unknown(id))?;
    if note.given.is_some() {
        return Ok(false);
    }
    let order = Order {
        receiver: writer.id.clone(),
        body: note.answer_text(again),
        key: Some(format!("note:{id}")),
        ttl: None,
        approval: false,
    };
    let sender = Sender::parse(note.answered_by.as_deref().unwrap_or_default());
    let message = send::accept(tx, sender, &order, tag, trace, None)?;
    Ok(tx.give_note(id, Given::Inbox, Some(message.id))?)
}

/// Waits for the answer of note `id` until `deadline`, or until `stop` says so; whoever gets it must give it or call [`give_back`].
pub fn wait(
    cx: &Context,
    store: &mut Store,
    id: NoteId,
    deadline: Deadline,
    stop: impl FnMut() -> bool,
) -> Result<Outcome> {
    store.write(Durability::Process, Budget::Call, |tx| {
        tx.set_note_waiter(id, own())
    })?;
    let found = wait::until(store, deadline, stop, |store| {
        failpoint::fail("note.look").map_err(|e| Failure::failed(e.to_string()))?;
        let note = known(store, id)?;
        Ok(
            if matches!(note.status, NoteStatus::Open | NoteStatus::Seen) {
                Look::NotYet(PERIOD)
            } else {
                Look::Found(())
            },
        )
    });
    match found {
        Ok(Some(())) => take(cx, store, id),
        ended => {
            leave(cx, store, id)?;
            ended?;
            let note = known(store, id)?;
            Ok(match note.status {
                NoteStatus::Open | NoteStatus::Seen => Outcome::Pending(note),
                // Its answer came in this very moment, and goes to the inbox.
                NoteStatus::Answered | NoteStatus::Withdrawn => Outcome::Over(note),
            })
        }
    }
}

/// Takes the answer for a call. If this process is killed before the client has it, it goes to the inbox: the due time looks for that.
fn take(cx: &Context, store: &mut Store, id: NoteId) -> Result<Outcome> {
    let mut aftermath = Aftermath::default();
    let taken = store.write(Durability::Power, Budget::Call, |tx| {
        let taken = tx.give_note(id, Given::Call, None)?;
        if taken {
            tx.set_note_waiter(id, own())?;
            due(tx, id, INBOX_MS, &mut aftermath)?;
        }
        Ok::<_, Error>(taken)
    })?;
    failpoint::hit("note.taken");
    aftermath.run(cx, store);
    let note = known(store, id)?;
    Ok(if taken {
        Outcome::Taken(note)
    } else {
        Outcome::Over(note)
    })
}

/// Makes note `id` due in `ms` milliseconds, whatever was due about it before.
fn due(
    tx: &Tx<'_>,
    id: NoteId,
    ms: i64,
    aftermath: &mut Aftermath,
) -> std::result::Result<(), Error> {
    let Some(note) = tx.note(id)? else {
        return Ok(());
    };
    let now = clock::now();
    if let Some(writer) = tx.terminal(&note.terminal)? {
        let (subject, at) = (id.to_string(), clock::after_ms(now, ms));
        tx.reset_due(DueKind::Note, &subject, socket(&writer).as_deref(), at)?;
        aftermath.arm(tx, &writer, now)?;
    }
    Ok(())
}

/// The call waits no more: the answer goes to the inbox, at once if it is there.
fn leave(cx: &Context, store: &mut Store, id: NoteId) -> Result<()> {
    let mut aftermath = Aftermath::default();
    let there = store.write(Durability::Process, Budget::Call, |tx| {
        tx.set_note_waiter(id, None)?;
        let there = tx
            .note(id)?
            .is_some_and(|note| note.status == NoteStatus::Answered && note.given.is_none());
        if there {
            due(tx, id, INBOX_MS, &mut aftermath)?;
        }
        Ok::<_, Error>(there)
    })?;
    aftermath.run(cx, store);
    if there { settle(cx, store, id) } else { Ok(()) }
}

/// A taken answer could not be given: it goes to the agent's inbox.
pub fn give_back(cx: &Context, store: &mut Store, id: NoteId) -> Result<()> {
    let free = store.write(Durability::Power, Budget::Call, |tx| {
        let free = tx.ungive_note(id)?;
        tx.set_note_waiter(id, None)?;
        Ok::<_, Error>(free)
    })?;
    if free {
        to_inbox(cx, store, id, false)
    } else {
        Ok(())
    }
}

fn to_inbox(cx: &Context, store: &mut Store, id: NoteId, again: bool) -> Result<()> {
    let (tag, trace) = (send::tag()?, send::tag_long()?);
    let mut aftermath = Aftermath::default();
    let writer = store.write(Durability::Power, Budget::Call, |tx| {
        let note = tx.note(id)?.ok_or_else(|| unknown(id))?;
        let Some(writer) = tx.terminal(&note.terminal)?.filter(Terminal::alive) else {
            return Ok(None);
        };
        if again {
            tx.ungive_note(id)?;
        }
        let put = put(tx, id, &writer, tag, trace, again)?;
        tx.set_note_waiter(id, None)?;
        aftermath.arm(tx, &writer, clock::now())?;
        Ok::<_, Failure>(put.then_some(writer))
    })?;
    failpoint::hit("note.given");
    aftermath.run(cx, store);
    if let Some(writer) = writer {
        send::attempt(cx, store, &writer.id);
    }
    Ok(())
}

/// An answered note is due: its answer goes to the inbox, unless a call has it or is about to take it.
pub fn settle(cx: &Context, store: &mut Store, id: NoteId) -> Result<()> {
    let Some(note) = store.read(|tx| tx.note(id))? else {
        return Ok(());
    };
    let (Some(answered_at), waited) = (note.answered_at, waited_for(&note)) else {
        return Ok(());
    };
    match note.given {
        Some(Given::Inbox) => Ok(()),
        // Its client may have killed the process that took it before it read the result.
        Some(Given::Call) if note.waiter.is_some() && !waited => to_inbox(cx, store, id, true),
        Some(Given::Call) => Ok(store.write(Durability::Process, Budget::Call, |tx| {
            tx.set_note_waiter(id, None)
        })?),
        None if waited && clock::elapsed_ms(answered_at, clock::now()) < LOST_MS => {
            let mut aftermath = Aftermath::default();
            store.write(Durability::Process, Budget::Call, |tx| {
                due(tx, id, INBOX_MS, &mut aftermath)
            })?;
            aftermath.run(cx, store);
            Ok(())
        }
        None => to_inbox(cx, store, id, false),
    }
}

/// Answers that living agents wait for and that nobody will bring because what was due about them is lost.
pub(super) fn forgotten(
    tx: &Tx<'_>,
) -> std::result::Result<Vec<(DueKind, String, Terminal)>, Error> {
    let mut found = Vec::new();
    for note in tx.owed_notes()? {
        let subject = note.id.to_string();
        if !tx.is_due(DueKind::Note, &subject)?
            && let Some(writer) = tx.terminal(&note.terminal)?.filter(Terminal::alive)
        {
            found.push((DueKind::Note, subject, writer));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
