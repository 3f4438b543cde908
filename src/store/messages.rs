//! Messages and their attempts. Every change of status is a compare-and-set on the status (and lease) it starts from.

use super::db::Tx;
use super::error::Error;
use super::terminals::{Cells, time};
use crate::domain::ids::{MessageId, TerminalId};
use crate::domain::message::{GateReason, Message, MessageStatus, Sender, Transport};
use crate::proc::Identity;
use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, params};
use serde::Serialize;

const COLUMNS: &str = "id, sender, sender_name, is_order, receiver, body, status, transport, attempts, seq, tag, queued_at, placed_at,
  submitted_at, expires_at, last_error, key, trace, hops, again, read_offset";

/// What has to be done with; the index of open messages has the same words, and `SQLite` uses it only where they stand as they are.
/// A final one was placed for good: nothing can prove it.
pub(super) const OPEN: &str = "(status = 'held' OR status = 'queued' OR status = 'claimed' OR status = 'placed') AND final = 0";

/// What failed, in the words of its index.
const FAILED: &str = "(status = 'expired' OR status = 'dead' OR status = 'cancelled')";

/// A message to be accepted.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// Who wrote it.
    pub sender: Sender,
    /// How the sender is called in the header.
    pub sender_name: String,
    /// Order or note.
    pub order: bool,
    /// Who it is for.
    pub receiver: TerminalId,
    /// The sanitised body.
    pub body: String,
    /// Random tag of header and footer.
    pub tag: String,
    /// When it dies.
    pub expires_at: Option<Timestamp>,
    /// Idempotency key.
    pub key: Option<String>,
    /// Trace id.
    pub trace: String,
    /// Hops of the trace.
    pub hops: i64,
    /// Why it is held, if it is.
    pub held: Option<String>,
}

/// One attempt to deliver a message.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Attempt {
    /// When.
    #[serde(with = "crate::domain::time")]
    pub at: Timestamp,
    /// How.
    pub transport: String,
    /// What came of it.
    pub outcome: String,
    /// Why it failed.
    pub reason: Option<String>,
}

/// A message from [`COLUMNS`]; the fields are read in their order.
fn message(row: &Row<'_>) -> rusqlite::Result<Message> {
    let mut cells = Cells::of(row);
    let word = |name: &str, value: &str| {
        rusqlite::Error::FromSqlConversionFailure(
            0,
            rusqlite::types::Type::Text,
            format!("messages.{name} holds {value:?}").into(),
        )
    };
    let parse_receiver = |id: String| TerminalId::parse(&id).map_err(|_| word("receiver", &id));
    let parse_status =
        |status: String| MessageStatus::parse(&status).ok_or_else(|| word("status", &status));
    let mut message = Message {
        id: MessageId(cells.take()?),
        sender: Sender::parse(&cells.text()?),
        sender_name: cells.text()?,
        order: cells.take()?,
        receiver: parse_receiver(cells.text()?)?,
        body: cells.text()?,
        status: parse_status(cells.text()?)?,
        transport: cells
            .take::<Option<String>>()?
            .and_then(|word| Transport::parse(&word)),
        attempts: cells.take()?,
        seq: cells.take()?,
        tag: cells.text()?,
        queued_at: cells.time()?,
        placed_at: cells.maybe_time()?,
        submitted_at: cells.maybe_time()?,
        expires_at: cells.maybe_time()?,
        last_error: cells.take()?,
        key: cells.take()?,
        trace: cells.text()?,
        hops: cells.take()?,
        again: cells.take()?,
        read_offset: cells.take()?,
    };
    // What was given out and not proven may have been seen.
    message.again |= message.status == MessageStatus::Queued && message.read_offset > 0;
    Ok(message)
}

impl Tx<'_> {
    /// Accepts a message; with a key that this sender used before, returns the first one.
    pub fn accept_message(&self, new: &NewMessage, at: Timestamp) -> Result<Message, Error> {
        let sender = new.sender.to_string();
        if let Some(key) = &new.key
            && let Some(first) = self.message_by_key(&sender, key)?
        {
            return Ok(first);
        }
        let seq = self.next_seq(&new.receiver)?;
        self.execute(
            "INSERT INTO messages (sender, sender_name, is_order, receiver, body, status, seq, tag, queued_at, expires_at, key, trace, hops,
               last_error)
             VALUES (?1, ?2, ?3, ?4, ?5, iif(?13 IS NULL, 'queued', 'held'), ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            params![
                sender,
                new.sender_name,
                new.order,
                new.receiver.as_str(),
                new.body,
                seq,
                new.tag,
                at.as_millisecond(),
                new.expires_at.map(Timestamp::as_millisecond),
                new.key,
                new.trace,
                new.hops,
                new.held,
            ],
        )?;
        Ok(Message {
            id: MessageId(self.last_insert_rowid()),
            sender: new.sender.clone(),
            sender_name: new.sender_name.clone(),
            order: new.order,
            receiver: new.receiver.clone(),
            body: new.body.clone(),
            status: match new.held {
                Some(_) => MessageStatus::Held,
                None => MessageStatus::Queued,
            },
            transport: None,
            attempts: 0,
            seq,
            tag: new.tag.clone(),
            // The row has milliseconds.
            queued_at: time(at.as_millisecond()),
            placed_at: None,
            submitted_at: None,
            expires_at: new.expires_at.map(|at| time(at.as_millisecond())),
            last_error: new.held.clone(),
            key: new.key.clone(),
            trace: new.trace.clone(),
            hops: new.hops,
            again: false,
            read_offset: 0,
        })
    }

    /// The message that `sender` sent with this idempotency key.
    pub fn message_by_key(&self, sender: &str, key: &str) -> Result<Option<Message>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM messages WHERE sender = ?1 AND key = ?2");
        Ok(self.query_row(&sql, [sender, key], message).optional()?)
    }

    /// The message with this id.
    pub fn message(&self, id: MessageId) -> Result<Option<Message>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM messages WHERE id = ?1");
        Ok(self
            .statement(&sql)?
            .query_row([id.0], message)
            .optional()?)
    }

    /// Messages, newest first, of one receiver or all, with one status or any.
    pub fn messages(
        &self,
        receiver: Option<&TerminalId>,
        status: Option<MessageStatus>,
        limit: u32,
    ) -> Result<Vec<Message>, Error> {
        // Each filter has its index; one statement for all of them would read the whole table. Of one receiver the newest number is the
        // newest message.
        let (which, order) = match receiver {
            Some(_) => ("receiver = ?1", "seq"),
            None => ("?1 IS NULL", "id"),
        };
        let state = match status {
            None => "?2 IS NULL".to_owned(),
            // One that was placed for good is open no more.
            Some(MessageStatus::Placed) => "status = 'placed' AND ?2 IS NOT NULL".to_owned(),
            Some(status) if status.open() => format!("status = ?2 AND {OPEN}"),
            // Nearly all are: the newest of them are found at once.
            Some(MessageStatus::Submitted) => "status = ?2".to_owned(),
            Some(_) => format!("status = ?2 AND {FAILED}"),
        };
        let sql = format!(
            "SELECT {COLUMNS} FROM messages WHERE {which} AND {state} ORDER BY {order} DESC LIMIT ?3"
        );
        let mut statement = self.statement(&sql)?;
        let rows = statement.query_map(
            params![
                receiver.map(TerminalId::as_str),
                status.map(MessageStatus::as_str),
                limit
            ],
            message,
        )?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Every attempt at a message, in order.
    pub fn attempts(&self, id: MessageId) -> Result<Vec<Attempt>, Error> {
        let mut statement = self.statement(
            "SELECT at, transport, outcome, reason FROM attempts WHERE message = ?1 ORDER BY id",
        )?;
        let rows = statement.query_map([id.0], |row| {
            Ok(Attempt {
                at: time(row.get(0)?),
                transport: row.get(1)?,
                outcome: row.get(2)?,
                reason: row.get(3)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The message that is next at `receiver`: the lowest one that is neither held nor settled.
    pub fn head_message(&self, receiver: &TerminalId) -> Result<Option<Message>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM messages WHERE receiver = ?1 AND {OPEN} AND status <> 'held' ORDER BY seq LIMIT 1"
        );
        Ok(self
            .statement(&sql)?
            .query_row([receiver.as_str()], message)
            .optional()?)
    }

    /// Messages of `receiver` that wait for delivery or proof, in order.
    pub fn open_messages(&self, receiver: &TerminalId) -> Result<Vec<Message>, Error> {
        let sql =
            format!("SELECT {COLUMNS} FROM messages WHERE receiver = ?1 AND {OPEN} ORDER BY seq");
        let mut statement = self.statement(&sql)?;
        let rows = statement.query_map([receiver.as_str()], message)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Number of messages that wait at `receiver`, or at all living terminals.
    pub fn open_count(&self, receiver: Option<&TerminalId>) -> Result<i64, Error> {
        Ok(self
            .statement(
                "SELECT count(*) FROM messages WHERE (status = 'held' OR status = 'queued' OR status = 'claimed' OR status = 'placed') AND final = 0 AND (?1 IS NULL OR receiver = ?1)",
            )?
            .query_row([receiver.map(TerminalId::as_str)], |row| row.get(0))?)
    }

    /// Numbers of waiting messages by receiver.
    pub fn open_counts(&self) -> Result<std::collections::HashMap<String, i64>, Error> {
        let mut statement = self.statement(
            "SELECT receiver, count(*) FROM messages WHERE (status = 'held' OR status = 'queued' OR status = 'claimed' OR status = 'placed') AND final = 0 GROUP BY receiver",
        )?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Claims a queued message for this process.
    pub fn claim_message(
        &self,
        id: MessageId,
        transport: Transport,
        lease: Identity,
        at: Timestamp,
    ) -> Result<bool, Error> {
        let claimed = self.execute(
            "UPDATE messages SET status = 'claimed', transport = ?2, attempts = attempts + 1, again = max(again, read_offset > 0),
               lease_pid = ?3, lease_start = ?4
             WHERE id = ?1 AND status = 'queued'",
            params![id.0, transport.as_str(), lease.pid, lease.start],
        )?;
        if claimed == 1 {
            self.execute(
                "INSERT INTO attempts (message, at, transport, outcome) VALUES (?1, ?2, ?3, 'claimed')",
                params![id.0, at.as_millisecond(), transport.as_str()],
            )?;
        }
        Ok(claimed == 1)
    }

    /// The process that claimed a message.
    pub fn lease(&self, id: MessageId) -> Result<Option<Identity>, Error> {
        Ok(self
            .query_row(
                "SELECT lease_pid, lease_start FROM messages WHERE id = ?1 AND lease_pid IS NOT NULL",
                [id.0],
                |row| Ok(Identity { pid: row.get(0)?, start: row.get(1)? }),
            )
            .optional()?)
    }

    fn note_outcome(
        &self,
        id: MessageId,
        outcome: &str,
        reason: Option<&str>,
    ) -> Result<(), Error> {
        self.execute(
            "UPDATE attempts SET outcome = ?2, reason = coalesce(?3, reason)
             WHERE id = (SELECT max(id) FROM attempts WHERE message = ?1)",
            params![id.0, outcome, reason],
        )?;
        Ok(())
    }

    /// A claimed message is in the pane, or in the hands of a hook.
    pub fn place_message(&self, id: MessageId, at: Timestamp) -> Result<bool, Error> {
        let placed = self.execute(
            "UPDATE messages SET status = 'placed', placed_at = ?2, last_error = NULL WHERE id = ?1 AND status = 'claimed'",
            params![id.0, at.as_millisecond()],
        )?;
        if placed == 1 {
            self.note_outcome(id, "placed", None)?;
        }
        Ok(placed == 1)
    }

    /// A claimed message was provably not taken: it goes back to the queue in its old place, with the reason.
    pub fn refuse_message(&self, id: MessageId, reason: GateReason) -> Result<bool, Error> {
        let back = self.execute(
            "UPDATE messages SET status = 'queued', transport = NULL, last_error = ?2, lease_pid = NULL, lease_start = NULL
             WHERE id = ?1 AND status = 'claimed'",
            params![id.0, reason.as_str()],
        )?;
        if back == 1 {
            self.note_outcome(id, "refused", Some(reason.as_str()))?;
            // Waiting for hours shall not fill the table: of equal refusals in a row the last one stays.
            self.execute(
                "DELETE FROM attempts WHERE id = (
                   SELECT b.id FROM (SELECT id, outcome, reason FROM attempts WHERE message = ?1 ORDER BY id DESC LIMIT 1 OFFSET 1) b
                   WHERE b.outcome = 'refused' AND b.reason = ?2)",
                params![id.0, reason.as_str()],
            )?;
            self.execute("UPDATE messages SET attempts = (SELECT count(*) FROM attempts WHERE message = ?1) WHERE id = ?1", [id.0])?;
        }
        Ok(back == 1)
    }

    /// A placed message has no proof yet, and this is known about it.
    pub fn note_unproven(&self, id: MessageId, note: &str) -> Result<(), Error> {
        self.execute(
            "UPDATE messages SET last_error = ?2 WHERE id = ?1 AND status = 'placed'",
            params![id.0, note],
        )?;
        Ok(())
    }

    /// A placed message stays so: its receiver has no event that could prove more. The next one's turn has come.
    pub fn leave_placed(&self, id: MessageId, note: &str) -> Result<bool, Error> {
        let left = self.execute(
            "UPDATE messages SET final = 1, last_error = ?2 WHERE id = ?1 AND status = 'placed' AND final = 0",
            params![id.0, note],
        )?;
        Ok(left == 1)
    }

    /// The message goes another way than it was claimed for.
    pub fn set_transport(&self, id: MessageId, transport: Transport) -> Result<(), Error> {
        self.execute(
            "UPDATE messages SET transport = ?2 WHERE id = ?1",
            params![id.0, transport.as_str()],
        )?;
        Ok(())
    }

    /// A queued message was not even tried, with the reason.
    pub fn note_gate(&self, id: MessageId, reason: GateReason) -> Result<(), Error> {
        self.execute(
            "UPDATE messages SET last_error = ?2 WHERE id = ?1 AND status = 'queued' AND last_error IS NOT ?2",
            params![id.0, reason.as_str()],
        )?;
        Ok(())
    }

    /// A claimed or placed message goes back to the queue under a new number; the receiver may have seen it and is told so.
    pub fn requeue_message(
        &self,
        message: &Message,
        reason: &str,
        again: bool,
    ) -> Result<bool, Error> {
        let back = self.execute(
            "UPDATE messages SET status = 'queued', transport = NULL, placed_at = NULL, last_error = ?2, again = max(again, ?3),
               lease_pid = NULL, lease_start = NULL
             WHERE id = ?1 AND status IN ('claimed', 'placed')",
            params![message.id.0, reason, again],
        )?;
        if back == 1 {
            self.note_outcome(message.id, "not taken", Some(reason))?;
        }
        Ok(back == 1)
    }

    /// The message is proven by the agent's own event or by its reading it.
    pub fn submit_message(
        &self,
        id: MessageId,
        transport: Transport,
        at: Timestamp,
        proof: &str,
    ) -> Result<bool, Error> {
        let submitted = self.execute(
            "UPDATE messages SET status = 'submitted', transport = ?2, submitted_at = ?3, last_error = NULL,
               placed_at = coalesce(placed_at, ?3), attempts = max(attempts, 1)
             WHERE id = ?1 AND status IN ('queued', 'claimed', 'placed')",
            params![id.0, transport.as_str(), at.as_millisecond()],
        )?;
        if submitted == 1 {
            let updated = self.execute(
                "UPDATE attempts SET outcome = 'submitted', reason = ?3
                 WHERE id = (SELECT max(id) FROM attempts WHERE message = ?1 AND transport IN (?2, 'paste'))",
                params![id.0, transport.as_str(), proof],
            )?;
            if updated == 0 {
                self.execute(
                    "INSERT INTO attempts (message, at, transport, outcome, reason) VALUES (?1, ?2, ?3, 'submitted', ?4)",
                    params![id.0, at.as_millisecond(), transport.as_str(), proof],
                )?;
            }
            self.execute(
                "UPDATE terminals SET settled = max(settled, m.seq) FROM messages m WHERE m.id = ?1 AND terminals.id = m.receiver",
                [id.0],
            )?;
        }
        Ok(submitted == 1)
    }

    /// A prompt that the agent submitted carried the header of message `id`: proof, if it was claimed or placed at this terminal.
    pub(super) fn prove_by_prompt(&self, terminal: &str, id: i64, at: i64) -> Result<(), Error> {
        let transport: Option<String> = self
            .query_row(
                "SELECT transport FROM messages WHERE id = ?1 AND receiver = ?2 AND status IN ('claimed', 'placed')",
                params![id, terminal],
                |row| row.get(0),
            )
            .optional()?
            .flatten();
        if let Some(transport) = transport.and_then(|word| Transport::parse(&word)) {
            self.submit_message(
                MessageId(id),
                transport,
                time(at),
                "the agent's prompt hook carried its id",
            )?;
        }
        Ok(())
    }

    /// Ends an open message: dead, expired or cancelled, with the reason. A claimed or placed one may have been seen.
    pub fn end_message(
        &self,
        id: MessageId,
        status: MessageStatus,
        reason: &str,
    ) -> Result<bool, Error> {
        let ended = self.execute(
            "UPDATE messages SET status = ?2, last_error = ?3, lease_pid = NULL, lease_start = NULL
             WHERE id = ?1 AND status IN ('held', 'queued', 'claimed', 'placed')",
            params![id.0, status.as_str(), reason],
        )?;
        Ok(ended == 1)
    }

    /// Withdraws a message that nobody has begun to deliver.
    pub fn cancel_message(&self, id: MessageId) -> Result<bool, Error> {
        let ended = self.execute(
            "UPDATE messages SET status = 'cancelled', last_error = 'withdrawn' WHERE id = ?1 AND status IN ('held', 'queued')",
            [id.0],
        )?;
        Ok(ended == 1)
    }

    /// Lets a held message go, to the end of the queue: it becomes claimable only now.
    pub fn release_message(&self, message: &Message) -> Result<bool, Error> {
        if message.status != MessageStatus::Held {
            return Ok(false);
        }
        let seq = self.next_seq(&message.receiver)?;
        let released = self.execute(
            "UPDATE messages SET status = 'queued', last_error = NULL, seq = ?2 WHERE id = ?1 AND status = 'held'",
            params![message.id.0, seq],
        )?;
        Ok(released == 1)
    }

    /// Puts a dead, expired or cancelled message back into the queue, at its end.
    pub fn retry_message(
        &self,
        message: &Message,
        expires_at: Option<Timestamp>,
    ) -> Result<bool, Error> {
        if !matches!(
            message.status,
            MessageStatus::Dead | MessageStatus::Expired | MessageStatus::Cancelled
        ) {
            return Ok(false);
        }
        let seq = self.next_seq(&message.receiver)?;
        let again = message.placed_at.is_some();
        let back = self.execute(
            "UPDATE messages SET status = 'queued', transport = NULL, placed_at = NULL, last_error = NULL, seq = ?2, expires_at = ?3,
               again = max(again, ?4)
             WHERE id = ?1 AND status IN ('dead', 'expired', 'cancelled')",
            params![message.id.0, seq, expires_at.map(Timestamp::as_millisecond), again],
        )?;
        Ok(back == 1)
    }

    /// Gives a queued message a new paste number, at the end of the receiver's numbers but in its old place if it is the head: used after
    /// its old number was burnt in the server.
    pub fn renumber_head(&self, message: &Message) -> Result<i64, Error> {
        let open: Vec<(i64, i64)> = {
            let mut statement = self.statement(
                &format!("SELECT id, seq FROM messages WHERE receiver = ?1 AND {OPEN} AND status IN ('held', 'queued') ORDER BY seq"),
            )?;
            let rows = statement.query_map([message.receiver.as_str()], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
            rows.collect::<Result<_, _>>()?
        };
        let mut fresh = message.seq;
        for (id, _) in open {
            let seq = self.next_seq(&message.receiver)?;
            self.execute(
                "UPDATE messages SET seq = ?2 WHERE id = ?1",
                params![id, seq],
            )?;
            if id == message.id.0 {
                fresh = seq;
            }
        }
        Ok(fresh)
    }

    /// Notes how far `read_inbox` has given out a body; the last part proves delivery.
    pub fn note_read(&self, id: MessageId, offset: i64) -> Result<(), Error> {
        self.execute(
            "UPDATE messages SET read_offset = max(read_offset, ?2) WHERE id = ?1",
            params![id.0, offset],
        )?;
        Ok(())
    }

    /// The receiver gets it although it may have seen it, and is told.
    pub fn note_again(&self, id: MessageId) -> Result<(), Error> {
        self.execute("UPDATE messages SET again = 1 WHERE id = ?1", [id.0])?;
        Ok(())
    }

    /// Ends what waits for a terminal that is gone; returns the ids.
    pub fn bury_messages(
        &self,
        receiver: &TerminalId,
        reason: &str,
    ) -> Result<Vec<MessageId>, Error> {
        // Whether what was being put in was seen is not known; it may be tried again when the receiver is resumed.
        self.execute(
            "UPDATE attempts SET outcome = 'not taken', reason = ?2
             WHERE outcome = 'claimed' AND message IN (SELECT id FROM messages WHERE receiver = ?1 AND status = 'claimed')",
            params![receiver.as_str(), reason],
        )?;
        let mut statement = self.statement(
            "UPDATE messages SET status = 'dead', last_error = ?2, again = max(again, status = 'claimed'), lease_pid = NULL, lease_start = NULL
             WHERE receiver = ?1 AND (status = 'held' OR status = 'queued' OR status = 'claimed' OR status = 'placed') AND final = 0 RETURNING id",
        )?;
        let rows = statement.query_map(params![receiver.as_str(), reason], |row| {
            Ok(MessageId(row.get(0)?))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Expires what was not begun in time; returns the ids.
    pub fn expire_messages(&self, now: Timestamp) -> Result<Vec<MessageId>, Error> {
        let mut statement = self.statement(
            "UPDATE messages SET status = 'expired', last_error = 'its time to live ran out'
             WHERE status IN ('held', 'queued') AND expires_at IS NOT NULL AND expires_at <= ?1 RETURNING id",
        )?;
        let rows = statement.query_map([now.as_millisecond()], |row| Ok(MessageId(row.get(0)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
