//! Terminals: rows to [`Terminal`] and back.

use super::db::Tx;
use super::error::Error;
use super::{approvals, messages};
use crate::domain::ids::TerminalId;
use crate::domain::loss::{Loss, Spot};
use crate::domain::terminal::{Change, Role, Root, Server, Source, State, Status, Terminal};
use jiff::Timestamp;
use rusqlite::types::FromSql;
use rusqlite::{OptionalExtension, Row, params};
use std::path::PathBuf;

pub(super) const COLUMNS: &str = "id, session, window, pane, server_socket, server_pid, server_start, pane_pid, root_pid, root_start, tty,
  provider, profile, role, status, status_reason, status_source, status_since, caller, cwd, model, created_at, ended_at,
  exit_code, agent_session, program, last_event_at, last_answer, gate_seen_at, gate_silent_at, session_owned, env, settled, hooked,
  adopted, args, lost, lost_at, begun, window_id, window_index, pane_index, layout, worktree, branch, worktree_base, repository,
  worktree_kept";

pub(super) fn time(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The columns of a row from left to right. Asking for each by its name would compare it with the names of all.
pub(super) struct Cells<'r> {
    row: &'r Row<'r>,
    next: usize,
}

impl<'r> Cells<'r> {
    pub(super) const fn of(row: &'r Row<'r>) -> Self {
        Self { row, next: 0 }
    }

    pub(super) fn take<T: FromSql>(&mut self) -> rusqlite::Result<T> {
        let index = self.next;
        self.next += 1;
        self.row.get(index)
    }

    pub(super) fn text(&mut self) -> rusqlite::Result<String> {
        self.take()
    }

    pub(super) fn time(&mut self) -> rusqlite::Result<Timestamp> {
        self.take().map(time)
    }

    pub(super) fn maybe_time(&mut self) -> rusqlite::Result<Option<Timestamp>> {
        Ok(self.take::<Option<i64>>()?.map(time))
    }
}

/// A terminal from [`COLUMNS`]; the fields are read in their order.
pub(super) fn terminal(row: &Row<'_>) -> rusqlite::Result<Terminal> {
    let mut cells = Cells::of(row);
    let word = |name: &str, value: &str| {
        rusqlite::Error::FromSqlConversionFailure(
            0,
            rusqlite::types::Type::Text,
            format!("terminals.{name} holds {value:?}").into(),
        )
    };
    let parse_id = |id: String| TerminalId::parse(&id).map_err(|_| word("id", &id));
    let parse_status =
        |status: String| Status::parse(&status).ok_or_else(|| word("status", &status));
    let parse_source =
        |source: String| Source::parse(&source).ok_or_else(|| word("status_source", &source));
    Ok(Terminal {
        id: parse_id(cells.text()?)?,
        session: cells.text()?,
        window: cells.text()?,
        pane: cells.take()?,
        server: match (
            cells.take::<Option<String>>()?,
            cells.take()?,
            cells.take()?,
        ) {
            (Some(socket), Some(pid), Some(start)) => Some(Server {
                socket: PathBuf::from(socket),
                pid,
                start,
            }),
            _ => None,
        },
        pane_pid: cells.take()?,
        root: match (cells.take()?, cells.take()?) {
            (Some(pid), Some(start)) => Some(Root { pid, start }),
            _ => None,
        },
        tty: cells.take()?,
        provider: cells.text()?,
        profile: cells.text()?,
        role: Role::from_word(&cells.text()?),
        state: State {
            status: parse_status(cells.text()?)?,
            reason: cells.text()?,
            source: parse_source(cells.text()?)?,
            since: cells.time()?,
        },
        caller: cells
            .take::<Option<String>>()?
            .and_then(|id| TerminalId::parse(&id).ok()),
        cwd: PathBuf::from(cells.text()?),
        model: cells.take()?,
        created_at: cells.time()?,
        ended_at: cells.maybe_time()?,
        exit_code: cells.take()?,
        agent_session: cells.take()?,
        program: cells.take()?,
        last_event_at: cells.maybe_time()?,
        last_answer: cells.take()?,
        gate_seen_at: cells.maybe_time()?,
        gate_silent_at: cells.maybe_time()?,
        session_owned: cells.take()?,
        env: serde_json::from_str(&cells.text()?).unwrap_or_default(),
        settled: cells.take()?,
        hooked: cells.take()?,
        adopted: cells.take()?,
        args: serde_json::from_str(&cells.text()?).unwrap_or_default(),
        loss: match (cells.take::<Option<String>>()?, cells.maybe_time()?) {
            (Some(status), Some(at)) => Some(Loss {
                status: parse_status(status)?,
                at,
            }),
            _ => None,
        },
        begun: cells.take()?,
        spot: match (cells.take()?, cells.take()?, cells.take()?, cells.take()?) {
            (Some(window), Some(window_index), Some(pane_index), Some(layout)) => Some(Spot {
                window,
                window_index,
                pane_index,
                layout,
            }),
            _ => None,
        },
        worktree: super::worktrees::worktree(&mut cells)?,
    })
}

/// What tells the processes of a living terminal's agent from all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Living {
    /// The terminal.
    pub id: TerminalId,
    /// The process that became the agent, once it has registered.
    pub root: Option<Root>,
    /// Device number of its controlling terminal, 0 when unknown.
    pub tty: i32,
    /// Process of its tmux server.
    pub server_pid: Option<i32>,
}

fn living(row: &Row<'_>) -> rusqlite::Result<Option<Living>> {
    let id: String = row.get(0)?;
    let Ok(id) = TerminalId::parse(&id) else {
        return Ok(None);
    };
    let root = match (row.get(1)?, row.get(2)?) {
        (Some(pid), Some(start)) => Some(Root { pid, start }),
        _ => None,
    };
    Ok(Some(Living {
        id,
        root,
        tty: row.get(3)?,
        server_pid: row.get(4)?,
    }))
}

impl Tx<'_> {
    /// Stores a new terminal; `false` when its id is taken.
    pub fn insert_terminal(&self, t: &Terminal) -> Result<bool, Error> {
        let inserted = self.execute(
            "INSERT OR IGNORE INTO terminals (id, session, window, provider, profile, role, status, status_reason, status_source,
               status_since, caller, cwd, model, created_at, agent_session, session_owned, env, hooked, adopted, args, begun)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)",
            params![
                t.id.as_str(),
                t.session,
                t.window,
                t.provider,
                t.profile,
                t.role.as_str(),
                t.state.status.as_str(),
                t.state.reason,
                t.state.source.as_str(),
                t.state.since.as_millisecond(),
                t.caller.as_ref().map(TerminalId::as_str),
                t.cwd.to_string_lossy(),
                t.model,
                t.created_at.as_millisecond(),
                t.agent_session,
                t.session_owned,
                serde_json::to_string(&t.env).unwrap_or_default(),
                t.hooked,
                t.adopted,
                serde_json::to_string(&t.args).unwrap_or_default(),
                t.begun,
            ],
        )?;
        if let (1, Some(worktree)) = (inserted, &t.worktree) {
            self.note_worktree(&t.id, worktree)?;
        }
        Ok(inserted == 1)
    }

    /// The terminal with this id.
    pub fn terminal(&self, id: &TerminalId) -> Result<Option<Terminal>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM terminals WHERE id = ?1");
        // Each hook asks twice.
        Ok(self
            .prepare_cached(&sql)?
            .query_row([id.as_str()], terminal)
            .optional()?)
    }

    /// All living terminals, oldest first.
    pub fn live_terminals(&self) -> Result<Vec<Terminal>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM terminals WHERE status <> 'exited' ORDER BY created_at, id"
        );
        let mut statement = self.statement(&sql)?;
        let rows = statement.query_map([], terminal)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The processes of all living terminals, oldest first: each hook asks, so this reads no more than who they are.
    pub fn living(&self) -> Result<Vec<Living>, Error> {
        let mut statement = self.statement(
            "SELECT id, root_pid, root_start, tty, server_pid FROM terminals WHERE status <> 'exited' ORDER BY created_at, id",
        )?;
        let rows = statement.query_map([], living)?;
        rows.filter_map(Result::transpose)
            .map(|row| row.map_err(Error::from))
            .collect()
    }

    /// Living terminals, and those that ended after `since`; oldest first.
    pub fn recent_terminals(&self, since: Timestamp) -> Result<Vec<Terminal>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM terminals WHERE status <> 'exited'
             UNION ALL SELECT {COLUMNS} FROM terminals WHERE status = 'exited' AND ended_at >= ?1 ORDER BY created_at, id"
        );
        let mut statement = self.statement(&sql)?;
        let rows = statement.query_map([since.as_millisecond()], terminal)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Terminals that ended after `since`, oldest first.
    pub fn ended_terminals(&self, since: Timestamp) -> Result<Vec<Terminal>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM terminals WHERE status = 'exited' AND ended_at >= ?1 ORDER BY created_at, id"
        );
        let mut statement = self.statement(&sql)?;
        let rows = statement.query_map([since.as_millisecond()], terminal)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Ids, living or not, that begin with `prefix` (hexadecimal digits); at most 10, the living first.
    pub fn terminals_by_prefix(&self, prefix: &str) -> Result<Vec<Terminal>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM terminals WHERE id >= ?1 AND id < ?2 ORDER BY status = 'exited', created_at LIMIT 10"
        );
        let mut statement = self.statement(&sql)?;
        let rows = statement.query_map([prefix, &format!("{prefix}g")], terminal)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Registers the process that became the agent and the pane it is in. Only a terminal that waits for its start can be registered,
    /// and only once.
    pub fn register_terminal(&self, id: &TerminalId, found: &Registration) -> Result<bool, Error> {
        let changed = self.execute(
            "UPDATE terminals SET pane = ?2, server_socket = ?3, server_pid = ?4, server_start = ?5, pane_pid = ?6, root_pid = ?7,
               root_start = ?8, tty = ?9, session = ?10, window = ?11, window_id = ?12, window_index = ?13, pane_index = ?14, layout = ?15,
               lost = iif(hooked, lost, NULL), lost_at = iif(hooked, lost_at, NULL), offered = 0
             WHERE id = ?1 AND status = 'starting' AND root_pid IS NULL",
            params![
                id.as_str(),
                found.pane,
                found.server.socket.to_string_lossy(),
                found.server.pid,
                found.server.start,
                found.pane_pid,
                found.root.pid,
                found.root.start,
                found.tty,
                found.session,
                found.window,
                found.spot.window,
                found.spot.window_index,
                found.spot.pane_index,
                found.spot.layout,
            ],
        )?;
        Ok(changed == 1)
    }

    /// An ended terminal waits for its start again: its row keeps who it is, and forgets the pane and the process that it had.
    pub fn revive_terminal(&self, id: &TerminalId, at: Timestamp) -> Result<bool, Error> {
        let revived = self.execute(
            "UPDATE terminals SET status = 'starting', status_reason = 'resumed', status_source = 'command', status_since = ?2, ended_at = NULL,
               exit_code = NULL, pane = NULL, server_socket = NULL, server_pid = NULL, server_start = NULL, pane_pid = NULL, root_pid = NULL,
               root_start = NULL, tty = 0, program = NULL, last_event_at = NULL, gate_seen_at = NULL, gate_silent_at = NULL, settled = 0,
               adopted = 0, session_owned = 0
             WHERE id = ?1 AND status = 'exited' AND cleaned_at IS NULL",
            params![id.as_str(), at.as_millisecond()],
        )?;
        Ok(revived == 1)
    }

    /// Notes whether the agent's hooks reach us, and whether we made its tmux session.
    pub fn note_start(
        &self,
        id: &TerminalId,
        hooked: bool,
        session_owned: bool,
    ) -> Result<(), Error> {
        self.execute(
            "UPDATE terminals SET hooked = ?2, session_owned = ?3 WHERE id = ?1",
            params![id.as_str(), hooked, session_owned],
        )?;
        Ok(())
    }

    /// Changes the state of a living terminal; says whether the status itself changed.
    pub fn set_state(
        &self,
        id: &TerminalId,
        change: &Change,
        source: Source,
        at: Timestamp,
    ) -> Result<bool, Error> {
        let at = at.as_millisecond();
        let moved = self
            .statement(
                "UPDATE terminals SET status = ?2, status_reason = ?3, status_source = ?4, status_since = ?5,
                   ended_at = CASE WHEN ?2 = 'exited' THEN ?5 ELSE NULL END
                 WHERE id = ?1 AND status <> 'exited' AND status <> ?2",
            )?
            .execute(params![id.as_str(), change.status.as_str(), change.reason, source.as_str(), at])?;
        if moved == 0 {
            self.set_reason(id, &change.reason, source)?;
        }
        Ok(moved == 1)
    }

    /// Sets why a living terminal's status is believed.
    pub fn set_reason(&self, id: &TerminalId, reason: &str, source: Source) -> Result<(), Error> {
        self.statement("UPDATE terminals SET status_reason = ?2, status_source = ?3 WHERE id = ?1 AND status <> 'exited'")?
            .execute(params![id.as_str(), reason, source.as_str()])?;
        Ok(())
    }

    /// Whether a message to terminal `id` or a request of it is open.
    pub fn has_open(&self, id: &TerminalId) -> Result<bool, Error> {
        let sql = format!(
            "SELECT EXISTS (SELECT 1 FROM messages WHERE receiver = ?1 AND {}) OR EXISTS (SELECT 1 FROM approvals WHERE terminal = ?1 AND {})",
            messages::OPEN,
            approvals::OPEN
        );
        Ok(self
            .statement(&sql)?
            .query_row([id.as_str()], |row| row.get(0))?)
    }

    /// Notes that the agent was heard from, and what it said about itself.
    pub fn note_event(
        &self,
        id: &TerminalId,
        at: Timestamp,
        agent_session: Option<&str>,
        answer: Option<&str>,
    ) -> Result<(), Error> {
        self.statement(
            "UPDATE terminals SET last_event_at = ?2, agent_session = coalesce(?3, agent_session),
               last_answer = coalesce(?4, last_answer) WHERE id = ?1",
        )?
        .execute(params![
            id.as_str(),
            at.as_millisecond(),
            agent_session,
            answer
        ])?;
        Ok(())
    }

    /// Notes the agent's exit code, where its own end event carried one.
    pub fn note_exit_code(&self, id: &TerminalId, code: i32) -> Result<(), Error> {
        self.execute(
            "UPDATE terminals SET exit_code = ?2 WHERE id = ?1",
            params![id.as_str(), code],
        )?;
        Ok(())
    }

    /// Notes the foreground command that the agent's pane had when it was first idle.
    pub fn note_program(&self, id: &TerminalId, program: &str) -> Result<(), Error> {
        self.execute(
            "UPDATE terminals SET program = ?2 WHERE id = ?1 AND program IS NULL",
            params![id.as_str(), program],
        )?;
        Ok(())
    }

    /// Notes where the pane is now.
    pub fn note_place(
        &self,
        id: &TerminalId,
        session: &str,
        window: &str,
        spot: &Spot,
    ) -> Result<(), Error> {
        self.execute(
            "UPDATE terminals SET session = ?2, window = ?3, window_id = ?4, window_index = ?5, pane_index = ?6, layout = ?7 WHERE id = ?1",
            params![
                id.as_str(),
                session,
                window,
                spot.window,
                spot.window_index,
                spot.pane_index,
                spot.layout
            ],
        )?;
        Ok(())
    }

    /// Notes that every paste up to `seq` is settled.
    pub fn note_settled(&self, id: &TerminalId, seq: i64) -> Result<(), Error> {
        self.execute(
            "UPDATE terminals SET settled = max(settled, ?2) WHERE id = ?1",
            params![id.as_str(), seq],
        )?;
        Ok(())
    }

    /// The next sequence number of a receiver.
    pub(super) fn next_seq(&self, id: &TerminalId) -> Result<i64, Error> {
        Ok(self.query_row(
            "UPDATE terminals SET next_seq = next_seq + 1 WHERE id = ?1 RETURNING next_seq - 1",
            [id.as_str()],
            |row| row.get(0),
        )?)
    }
}

/// What the start shim finds out about the pane it runs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Pane id.
    pub pane: String,
    /// The tmux server.
    pub server: Server,
    /// The process that tmux started in the pane.
    pub pane_pid: i32,
    /// The process that becomes the agent.
    pub root: Root,
    /// Device number of its controlling terminal.
    pub tty: i32,
    /// Session's name.
    pub session: String,
    /// Window's name.
    pub window: String,
    /// Where the pane is in its session.
    pub spot: Spot,
}
