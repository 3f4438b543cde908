//! Terminals whose server died under them, and what waits for their resumption.

use super::db::Tx;
use super::error::Error;
use super::terminals::{COLUMNS, terminal};
use crate::clock;
use crate::domain::ids::{MessageId, TerminalId};
use crate::domain::terminal::{Status, Terminal};
use jiff::Timestamp;
use rusqlite::params;

/// What became of the last try of a message whose receiver's server died.
pub const LOST: &str = "lost";

impl Tx<'_> {
    /// An ended terminal is kept for its resumption. One that was being resumed keeps what its first loss said.
    pub fn lose_terminal(
        &self,
        id: &TerminalId,
        status: Status,
        at: Timestamp,
    ) -> Result<(), Error> {
        self.execute(
            "UPDATE terminals SET lost = coalesce(lost, ?2), lost_at = coalesce(lost_at, ?3) WHERE id = ?1",
            params![id.as_str(), status.as_str(), at.as_millisecond()],
        )?;
        Ok(())
    }

    /// A lost terminal is given up: nothing waits for it any more.
    pub fn give_terminal_up(&self, id: &TerminalId) -> Result<bool, Error> {
        let given = self.execute(
            "UPDATE terminals SET lost = NULL, lost_at = NULL WHERE id = ?1 AND status = 'exited' AND lost IS NOT NULL",
            [id.as_str()],
        )?;
        Ok(given == 1)
    }

    /// Terminals that were lost after `since` and wait to be resumed: supervisors first, then by creation.
    pub fn lost_terminals(&self, since: Timestamp) -> Result<Vec<Terminal>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM terminals WHERE lost IS NOT NULL AND lost_at >= ?1 AND status = 'exited'
             ORDER BY role <> 'supervisor', created_at, id"
        );
        let mut statement = self.statement(&sql)?;
        let rows = statement.query_map([since.as_millisecond()], terminal)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Notes that the lost terminals are offered to the people at a server; says whether any was not offered before.
    pub fn offer_terminals(&self) -> Result<bool, Error> {
        let fresh = self.execute(
            "UPDATE terminals SET offered = 1 WHERE lost IS NOT NULL AND status = 'exited' AND offered = 0",
            [],
        )?;
        Ok(fresh > 0)
    }

    /// A resumed agent was heard from: it is no longer lost, whatever becomes of it next.
    pub fn note_found(&self, id: &TerminalId) -> Result<(), Error> {
        self.execute(
            "UPDATE terminals SET lost = NULL, lost_at = NULL WHERE id = ?1 AND status <> 'exited'",
            [id.as_str()],
        )?;
        Ok(())
    }

    /// The agent has a conversation from now on.
    pub fn note_begun(&self, id: &TerminalId) -> Result<(), Error> {
        self.statement("UPDATE terminals SET begun = 1 WHERE id = ?1 AND begun = 0")?
            .execute([id.as_str()])?;
        Ok(())
    }

    /// The agent begins a conversation of this id when it is started next.
    pub fn begin_anew(&self, id: &TerminalId, agent_session: &str) -> Result<(), Error> {
        self.execute(
            "UPDATE terminals SET agent_session = ?2 WHERE id = ?1",
            [id.as_str(), agent_session],
        )?;
        Ok(())
    }

    /// The pane of a terminal stays with its person when the agent ends.
    pub fn note_adopted(&self, id: &TerminalId) -> Result<(), Error> {
        self.execute(
            "UPDATE terminals SET adopted = 1 WHERE id = ?1",
            [id.as_str()],
        )?;
        Ok(())
    }

    /// What waits for a lost terminal goes back to its queue, in its old place; what was in the pane may have been seen and is marked so.
    /// Returns the ids of the latter.
    pub fn keep_messages(
        &self,
        receiver: &TerminalId,
        reason: &str,
    ) -> Result<Vec<MessageId>, Error> {
        self.execute(
            "UPDATE attempts SET outcome = ?3, reason = ?2
             WHERE id IN (SELECT max(a.id) FROM attempts a JOIN messages m ON m.id = a.message
               WHERE m.receiver = ?1 AND m.status IN ('claimed', 'placed') AND m.final = 0 GROUP BY m.id)",
            params![receiver.as_str(), reason, LOST],
        )?;
        let back: Vec<MessageId> = {
            let mut statement = self.statement(
                "UPDATE messages SET status = 'queued', transport = NULL, placed_at = NULL, again = 1, lease_pid = NULL, lease_start = NULL
                 WHERE receiver = ?1 AND status IN ('claimed', 'placed') AND final = 0 RETURNING id",
            )?;
            let rows =
                statement.query_map([receiver.as_str()], |row| Ok(MessageId(row.get(0)?)))?;
            rows.collect::<Result<_, _>>()?
        };
        self.execute(
            "UPDATE messages SET last_error = ?2 WHERE receiver = ?1 AND status = 'queued'",
            params![receiver.as_str(), reason],
        )?;
        Ok(back)
    }

    /// A worker or caller of handoffs whose answers nobody has got is started again: time that passed meanwhile counts for nothing, and
    /// each has at least `least_ms` from now on. Returns their ids, and when each is due.
    pub fn extend_handoffs(
        &self,
        terminal: &TerminalId,
        lost_at: Timestamp,
        now: Timestamp,
        least_ms: i64,
    ) -> Result<Vec<(String, Timestamp)>, Error> {
        let mut statement = self.statement(
            "UPDATE handoffs SET status = 'running', answer = NULL, answered_at = NULL,
               deadline_at = max(deadline_at, ?2 + max(deadline_at - ?3, ?4))
             WHERE (worker = ?1 OR caller = ?1) AND given IS NULL AND message <> 0 AND status IN ('running', 'timeout')
             RETURNING id, deadline_at",
        )?;
        let rows = statement.query_map(
            params![
                terminal.as_str(),
                now.as_millisecond(),
                lost_at.as_millisecond(),
                least_ms
            ],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        rows.map(|row| {
            let (id, ms): (String, i64) = row?;
            Ok((id, clock::after_ms(Timestamp::UNIX_EPOCH, ms)))
        })
        .collect()
    }

    /// The server at `socket` died: its timer is gone, and what was due in it may be done by any. Flows have their own server.
    pub fn server_gone(&self, socket: &str) -> Result<(), Error> {
        self.disarm(socket)?;
        self.execute(
            "UPDATE due SET server = NULL WHERE server = ?1 AND kind <> 'flow'",
            [socket],
        )?;
        Ok(())
    }

    /// A flow is waited for in another tmux server from now on.
    pub fn move_flow(&self, name: &str, socket: &str) -> Result<(), Error> {
        self.execute(
            "UPDATE flows SET server = ?2 WHERE name = ?1",
            [name, socket],
        )?;
        Ok(())
    }

    /// The servers that remember `name`, by their keys.
    pub fn who_remembers(&self, name: &str) -> Result<Vec<String>, Error> {
        let mut statement =
            self.statement("SELECT server FROM remembered WHERE name = ?1 ORDER BY server")?;
        let rows = statement.query_map([name], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
