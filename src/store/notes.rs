//! Notes to the person. Every change is a compare-and-set; an answer is given exactly once, as a handoff's is.

use super::db::Tx;
use super::error::Error;
use super::terminals::Cells;
use crate::domain::handoff::Given;
use crate::domain::ids::{MessageId, NoteId, TerminalId};
use crate::domain::note::{Note, NoteStatus};
use crate::domain::terminal::Root;
use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{OptionalExtension, Row, params};

const COLUMNS: &str = "id, terminal, name, body, question, options, key, status, written_at, seen_at, withdrawn_at, answered_at, answered_by,
  answer, given, message, waiter_pid, waiter_start";

/// What may still change; the index of open notes has the same words, and is small however many notes are kept.
const OPEN: &str = "status IN ('open', 'seen')";

/// What waits for a person, of those that are open.
const WAITS: &str = "(status = 'open' OR question = 1)";

/// A note to be accepted.
#[derive(Debug, Clone)]
pub struct NewNote {
    /// Who writes.
    pub terminal: TerminalId,
    /// How the writer is called.
    pub name: String,
    /// The sanitised text.
    pub body: String,
    /// Whether the agent wants an answer.
    pub question: bool,
    /// Answers to choose from.
    pub options: Vec<String>,
    /// The agent's own key.
    pub key: Option<String>,
}

/// A note from [`COLUMNS`]; the fields are read in their order.
fn note(row: &Row<'_>) -> rusqlite::Result<Note> {
    let mut cells = Cells::of(row);
    let broken = |name: &str, value: &str| {
        let what = format!("notes.{name} holds {value:?}");
        rusqlite::Error::FromSqlConversionFailure(0, Type::Text, what.into())
    };
    let parse_terminal = |id: String| TerminalId::parse(&id).map_err(|_| broken("terminal", &id));
    let parse_options =
        |list: String| serde_json::from_str(&list).map_err(|_| broken("options", &list));
    let parse_status =
        |word: String| NoteStatus::parse(&word).ok_or_else(|| broken("status", &word));
    Ok(Note {
        id: NoteId(cells.take()?),
        terminal: parse_terminal(cells.text()?)?,
        name: cells.text()?,
        body: cells.text()?,
        question: cells.take()?,
        options: parse_options(cells.text()?)?,
        key: cells.take()?,
        status: parse_status(cells.text()?)?,
        written_at: cells.time()?,
        seen_at: cells.maybe_time()?,
        withdrawn_at: cells.maybe_time()?,
        answered_at: cells.maybe_time()?,
        answered_by: cells.take()?,
        answer: cells.take()?,
        given: cells
            .take::<Option<String>>()?
            .map(|word| Given::parse(&word).ok_or_else(|| broken("given", &word)))
            .transpose()?,
        message: cells.take::<Option<i64>>()?.map(MessageId),
        waiter: match (cells.take()?, cells.take()?) {
            (Some(pid), Some(start)) => Some(Root { pid, start }),
            _ => None,
        },
    })
}

impl Tx<'_> {
    /// Stores a note.
    pub fn accept_note(&self, new: &NewNote, at: Timestamp) -> Result<Note, Error> {
        self.execute(
            "INSERT INTO notes (terminal, name, body, question, options, key, status, written_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'open', ?7)",
            params![
                new.terminal.as_str(),
                new.name,
                new.body,
                new.question,
                serde_json::json!(new.options).to_string(),
                new.key,
                at.as_millisecond(),
            ],
        )?;
        let sql = format!("SELECT {COLUMNS} FROM notes WHERE id = ?1");
        Ok(self.query_row(&sql, [self.last_insert_rowid()], note)?)
    }

    /// The note with this id.
    pub fn note(&self, id: NoteId) -> Result<Option<Note>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM notes WHERE id = ?1");
        Ok(self.statement(&sql)?.query_row([id.0], note).optional()?)
    }

    /// The note that `terminal` wrote with this key.
    pub fn note_by_key(&self, terminal: &TerminalId, key: &str) -> Result<Option<Note>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM notes WHERE terminal = ?1 AND key = ?2");
        Ok(self
            .query_row(&sql, [terminal.as_str(), key], note)
            .optional()?)
    }

    /// The notes of `terminal` that may still be answered, oldest first.
    pub fn open_notes(&self, terminal: &TerminalId) -> Result<Vec<Note>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM notes INDEXED BY notes_open WHERE terminal = ?1 AND {OPEN} ORDER BY id"
        );
        let mut statement = self.statement(&sql)?;
        let rows = statement.query_map([terminal.as_str()], note)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Notes, newest first, with one status or any.
    pub fn notes(&self, status: Option<NoteStatus>, limit: u32) -> Result<Vec<Note>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM notes WHERE ?1 IS NULL OR status = ?1 ORDER BY id DESC LIMIT ?2"
        );
        let mut statement = self.statement(&sql)?;
        let rows = statement.query_map(params![status.map(NoteStatus::as_str), limit], note)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Notes that wait for a person, oldest first: of agents of the server at `socket`, or of all.
    pub fn waiting_notes(&self, socket: Option<&str>, limit: u32) -> Result<Vec<Note>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM notes INDEXED BY notes_open WHERE {OPEN} AND {WAITS}
               AND (?1 IS NULL OR terminal IN (SELECT id FROM terminals WHERE server_socket = ?1)) ORDER BY id LIMIT ?2"
        );
        let mut statement = self.statement(&sql)?;
        let rows = statement.query_map(params![socket, limit], note)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many notes wait for a person, of agents of the server at `socket` or of all.
    pub fn waiting_note_count(&self, socket: Option<&str>) -> Result<u64, Error> {
        let sql = format!(
            "SELECT count(*) FROM notes INDEXED BY notes_open WHERE {OPEN} AND {WAITS}
               AND (?1 IS NULL OR (SELECT server_socket FROM terminals t WHERE t.id = terminal) = ?1)"
        );
        let count: i64 = self
            .statement(&sql)?
            .query_row([socket], |row| row.get(0))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// How many notes `terminal` has written since `since`.
    pub fn notes_since(&self, terminal: &TerminalId, since: Timestamp) -> Result<i64, Error> {
        Ok(self
            .statement("SELECT count(*) FROM notes WHERE terminal = ?1 AND written_at >= ?2")?
            .query_row(params![terminal.as_str(), since.as_millisecond()], |row| {
                row.get(0)
            })?)
    }

    /// How many notes of `terminal` may still be answered, and how many bytes they are.
    pub fn open_note_size(&self, terminal: &TerminalId) -> Result<(i64, i64), Error> {
        let sql = format!(
            "SELECT count(*), coalesce(sum(octet_length(body)), 0) FROM notes INDEXED BY notes_open WHERE terminal = ?1 AND {OPEN}"
        );
        Ok(self
            .statement(&sql)?
            .query_row([terminal.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?)
    }

    /// A person has read it; says whether that is new.
    pub fn see_note(&self, id: NoteId, at: Timestamp) -> Result<bool, Error> {
        let seen = self.execute(
            "UPDATE notes SET status = 'seen', seen_at = ?2 WHERE id = ?1 AND status = 'open'",
            params![id.0, at.as_millisecond()],
        )?;
        Ok(seen == 1)
    }

    /// Records the answer of `by`; the first one counts.
    pub fn answer_note(
        &self,
        id: NoteId,
        answer: &str,
        by: &str,
        at: Timestamp,
    ) -> Result<bool, Error> {
        let sql = format!(
            "UPDATE notes SET status = 'answered', answer = ?2, answered_by = ?3, answered_at = ?4, seen_at = coalesce(seen_at, ?4)
             WHERE id = ?1 AND {OPEN}"
        );
        let answered = self.execute(&sql, params![id.0, answer, by, at.as_millisecond()])?;
        Ok(answered == 1)
    }

    /// Nobody is there for the answers to what `terminal` asked; says how many questions that were.
    pub fn withdraw_notes(&self, terminal: &TerminalId, at: Timestamp) -> Result<usize, Error> {
        let sql = format!(
            "UPDATE notes INDEXED BY notes_open SET status = 'withdrawn', withdrawn_at = ?2 WHERE terminal = ?1 AND {OPEN} AND question = 1"
        );
        Ok(self
            .statement(&sql)?
            .execute(params![terminal.as_str(), at.as_millisecond()])?)
    }

    /// A process begins (or, with `None`, ceases) to wait for the answer in a call of its client.
    pub fn set_note_waiter(&self, id: NoteId, waiter: Option<Root>) -> Result<(), Error> {
        self.execute(
            "UPDATE notes SET waiter_pid = ?2, waiter_start = ?3 WHERE id = ?1",
            params![id.0, waiter.map(|w| w.pid), waiter.map(|w| w.start)],
        )?;
        Ok(())
    }

    /// Takes the answer, with the message that carries it where it goes by the inbox: true for exactly one taker.
    pub fn give_note(
        &self,
        id: NoteId,
        to: Given,
        message: Option<MessageId>,
    ) -> Result<bool, Error> {
        let given = self.execute(
            "UPDATE notes SET given = ?2, message = ?3 WHERE id = ?1 AND given IS NULL AND status = 'answered'",
            params![id.0, to.as_str(), message.map(|id| id.0)],
        )?;
        Ok(given == 1)
    }

    /// An answer that was taken for a call could not be given: it is free again.
    pub fn ungive_note(&self, id: NoteId) -> Result<bool, Error> {
        let free = self.execute(
            "UPDATE notes SET given = NULL WHERE id = ?1 AND given = 'call'",
            [id.0],
        )?;
        Ok(free == 1)
    }

    /// Answers that nobody has taken to their agents: they must be due.
    pub fn owed_notes(&self) -> Result<Vec<Note>, Error> {
        let sql =
            format!("SELECT {COLUMNS} FROM notes WHERE status = 'answered' AND given IS NULL");
        let mut statement = self.statement(&sql)?;
        let rows = statement.query_map([], note)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::db::{Budget, Durability, Store};
    use super::super::retention::Stale;
    use super::super::terminals::time;
    use super::*;
    use crate::domain::terminal::Terminal;
    use crate::paths::Home;

    fn id(n: u8) -> TerminalId {
        TerminalId::from_bytes([n; 4])
    }

    fn new(n: u8, question: bool) -> NewNote {
        NewNote {
            terminal: id(n),
            name: "x".into(),
            body: "body".into(),
            question,
            options: vec!["a, \"b\"".into()],
            key: None,
        }
    }

    fn with(work: impl FnOnce(&Tx<'_>) -> Result<(), Error>) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open_or_create(&Home::at(dir.path().join("s")).unwrap()).unwrap();
        store
            .write(Durability::Process, Budget::Call, |tx| {
                for n in [1, 2] {
                    tx.insert_terminal(&Terminal::sample(id(n)))?;
                }
                work(tx)
            })
            .unwrap();
    }

    #[test]
    fn the_first_answer_counts_and_one_taker_gets_it() {
        with(|tx| {
            let note = tx.accept_note(&new(1, true), time(5))?;
            assert_eq!(note.options, ["a, \"b\""]);
            assert!(!tx.give_note(note.id, Given::Call, None)?, "no answer yet");
            assert!(tx.see_note(note.id, time(6))? && !tx.see_note(note.id, time(7))?);
            assert!(tx.answer_note(note.id, "yes", "human", time(8))?);
            assert!(!tx.answer_note(note.id, "no", "human", time(9))?);
            assert_eq!(tx.owed_notes()?.len(), 1);
            assert!(tx.give_note(note.id, Given::Call, None)?);
            assert!(!tx.give_note(note.id, Given::Inbox, Some(MessageId(1)))?);
            assert!(tx.ungive_note(note.id)? && !tx.ungive_note(note.id)?);
            assert!(tx.give_note(note.id, Given::Inbox, Some(MessageId(1)))?);
            assert!(!tx.ungive_note(note.id)?, "a message is never taken back");
            assert!(tx.owed_notes()?.is_empty());
            let note = tx.note(note.id)?.unwrap();
            assert_eq!(
                (note.answer.as_deref(), note.seen_at, note.given),
                (Some("yes"), Some(time(6)), Some(Given::Inbox))
            );
            Ok(())
        });
    }

    #[test]
    fn an_end_withdraws_questions_and_leaves_news() {
        with(|tx| {
            let news = tx.accept_note(&new(1, false), time(1))?.id;
            let asked = tx.accept_note(&new(1, true), time(2))?.id;
            let other = tx.accept_note(&new(2, true), time(3))?.id;
            assert_eq!(tx.withdraw_notes(&id(1), time(4))?, 1);
            let status = |id| Ok::<_, Error>(tx.note(id)?.unwrap().status);
            assert_eq!(status(news)?, NoteStatus::Open);
            assert_eq!(status(asked)?, NoteStatus::Withdrawn);
            assert_eq!(status(other)?, NoteStatus::Open);
            assert!(!tx.answer_note(asked, "late", "human", time(5))?);
            assert_eq!(tx.waiting_note_count(None)?, 2);
            tx.see_note(news, time(6))?;
            tx.see_note(other, time(6))?;
            assert_eq!(
                tx.waiting_notes(None, 9)?[0].id,
                other,
                "a question waits on"
            );
            assert_eq!(tx.waiting_note_count(Some("/elsewhere"))?, 0);
            Ok(())
        });
    }

    #[test]
    fn what_waits_or_is_on_its_way_is_never_old() {
        with(|tx| {
            let mut notes = Vec::new();
            for (n, question) in [
                (1, false),
                (1, false),
                (1, true),
                (1, true),
                (1, true),
                (2, true),
            ] {
                notes.push(tx.accept_note(&new(n, question), time(1))?.id);
            }
            let [unread, read, asked, answered, given, gone] = notes[..] else {
                unreachable!()
            };
            tx.see_note(read, time(2))?;
            tx.see_note(asked, time(2))?;
            tx.answer_note(answered, "x", "human", time(2))?;
            tx.answer_note(given, "x", "human", time(2))?;
            tx.give_note(given, Given::Call, None)?;
            tx.withdraw_notes(&id(2), time(2))?;
            assert_eq!(tx.stale(Stale::Notes, time(1))?, 0);
            assert_eq!(tx.remove_stale(Stale::Notes, time(9), 99)?, 3);
            for id in [unread, asked, answered] {
                assert!(tx.note(id)?.is_some(), "{id}");
            }
            for id in [read, given, gone] {
                assert!(tx.note(id)?.is_none(), "{id}");
            }
            Ok(())
        });
    }
}
