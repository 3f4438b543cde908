//! The ledger of flows: one row for each due time. Whoever inserts the row has the run.

use super::db::Tx;
use super::error::Error;
use super::terminals::Cells;
use crate::domain::flow::{Awake, Moment, Outcome, Run};
use crate::domain::ids::{MessageId, TerminalId};
use crate::domain::terminal::Root;
use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

const COLUMNS: &str = "id, flow, due_at, started_at, ended_at, outcome, reason, terminal, message, deadline_at, deadline_boot,
  deadline_awake, turn_ended_at, turn_failed, lease_pid, lease_start, closing, script_pid, script_start";

/// Times of one flow that are kept.
const KEPT: i64 = 5_000;

/// A run from [`COLUMNS`]; the fields are read in their order.
fn run(row: &Row<'_>) -> rusqlite::Result<Run> {
    let mut cells = Cells::of(row);
    Ok(Run {
        id: cells.take()?,
        flow: cells.text()?,
        due_at: cells.time()?,
        started_at: cells.maybe_time()?,
        ended_at: cells.maybe_time()?,
        outcome: Outcome::parse(&cells.text()?).unwrap_or(Outcome::Failed),
        reason: cells.take()?,
        terminal: cells
            .take::<Option<String>>()?
            .and_then(|text| TerminalId::parse(&text).ok()),
        message: cells.take::<Option<i64>>()?.map(MessageId),
        deadline: match (cells.maybe_time()?, cells.take()?, cells.take()?) {
            (Some(wall), Some(boot), Some(ms)) => Some(Moment {
                wall,
                awake: Some(Awake { boot, ms }),
            }),
            (Some(wall), _, _) => Some(Moment { wall, awake: None }),
            _ => None,
        },
        turn_ended_at: cells.maybe_time()?,
        turn_failed: cells.take()?,
        lease: process(&mut cells)?,
        closing: cells.take()?,
        script: process(&mut cells)?,
    })
}

fn process(cells: &mut Cells<'_>) -> rusqlite::Result<Option<Root>> {
    Ok(match (cells.take()?, cells.take()?) {
        (Some(pid), Some(start)) => Some(Root { pid, start }),
        _ => None,
    })
}

impl Tx<'_> {
    /// Enters a due time that did not run; `false` when it is in the ledger already.
    pub fn enter_slot(
        &self,
        flow: &str,
        due_at: Timestamp,
        outcome: Outcome,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let entered = self
            .statement(
                "INSERT OR IGNORE INTO runs (flow, due_at, ended_at, outcome, reason) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                flow,
                due_at.as_millisecond(),
                now.as_millisecond(),
                outcome.as_str(),
                reason
            ])?;
        Ok(entered == 1)
    }

    /// Enters a due time that is to run, and waits; its id, or `None` when it is in the ledger already.
    pub fn enter_run(
        &self,
        flow: &str,
        due_at: Timestamp,
        reason: Option<&str>,
    ) -> Result<Option<i64>, Error> {
        let entered = self
            .statement(
                "INSERT OR IGNORE INTO runs (flow, due_at, outcome, reason) VALUES (?1, ?2, 'running', ?3)",
            )?
            .execute(params![flow, due_at.as_millisecond(), reason])?;
        Ok((entered == 1).then(|| self.last_insert_rowid()))
    }

    /// Takes a run that waits, for the process `lease`, which is to have started it by `deadline`; `false` when somebody has it.
    pub fn claim_run(
        &self,
        id: i64,
        lease: Option<Root>,
        now: Timestamp,
        deadline: &Moment,
    ) -> Result<bool, Error> {
        let claimed = self
            .statement(
                "UPDATE runs SET started_at = ?2, lease_pid = ?3, lease_start = ?4, reason = NULL, deadline_at = ?5, deadline_boot = ?6,
                   deadline_awake = ?7
                 WHERE id = ?1 AND outcome = 'running' AND started_at IS NULL",
            )?
            .execute(params![
                id,
                now.as_millisecond(),
                lease.map(|lease| lease.pid),
                lease.map(|lease| lease.start),
                deadline.wall.as_millisecond(),
                deadline.awake.as_ref().map(|awake| &awake.boot),
                deadline.awake.as_ref().map(|awake| awake.ms)
            ])?;
        Ok(claimed == 1)
    }

    /// The script of a run has been started: the leader of its process group.
    pub fn note_script(&self, id: i64, leader: Root) -> Result<(), Error> {
        self.statement("UPDATE runs SET script_pid = ?2, script_start = ?3 WHERE id = ?1")?
            .execute(params![id, leader.pid, leader.start])?;
        Ok(())
    }

    /// Notes the terminal that was launched for a run by a helper that could not.
    pub fn note_terminal(&self, id: i64, terminal: &TerminalId) -> Result<(), Error> {
        self.statement("UPDATE runs SET terminal = ?2 WHERE id = ?1 AND terminal IS NULL")?
            .execute(params![id, terminal.as_str()])?;
        Ok(())
    }

    /// Notes whether the terminal of a run that is over is still to be closed.
    pub fn set_closing(&self, id: i64, closing: bool) -> Result<(), Error> {
        self.statement("UPDATE runs SET closing = ?2 WHERE id = ?1")?
            .execute(params![id, closing])?;
        Ok(())
    }

    /// Runs of a flow that are over and whose terminals are still to be closed.
    pub fn closing_runs(&self, flow: &str) -> Result<Vec<Run>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM runs WHERE flow = ?1 AND closing = 1");
        let mut statement = self.statement(&sql)?;
        let rows = statement.query_map([flow], run)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The agent of a run has been started, and its prompt accepted; `false` when the run is over.
    pub fn begin_run(
        &self,
        id: i64,
        terminal: &TerminalId,
        message: MessageId,
        deadline: &Moment,
    ) -> Result<bool, Error> {
        let begun = self
            .statement(
                "UPDATE runs SET terminal = ?2, message = ?3, deadline_at = ?4, deadline_boot = ?5, deadline_awake = ?6
                 WHERE id = ?1 AND outcome = 'running'",
            )?
            .execute(params![
                id,
                terminal.as_str(),
                message.0,
                deadline.wall.as_millisecond(),
                deadline.awake.as_ref().map(|awake| &awake.boot),
                deadline.awake.as_ref().map(|awake| awake.ms)
            ])?;
        Ok(begun == 1)
    }

    /// A turn of the run's agent has ended, well or with an error.
    pub fn note_turn_end(&self, id: i64, failed: Option<&str>, at: Timestamp) -> Result<(), Error> {
        self.statement("UPDATE runs SET turn_ended_at = ?2, turn_failed = ?3 WHERE id = ?1")?
            .execute(params![id, at.as_millisecond(), failed])?;
        Ok(())
    }

    /// Ends a run; `false` when it was over.
    pub fn settle_run(
        &self,
        id: i64,
        outcome: Outcome,
        reason: Option<&str>,
        at: Timestamp,
    ) -> Result<bool, Error> {
        let settled = self
            .statement(
                "UPDATE runs SET outcome = ?2, reason = ?3, ended_at = ?4 WHERE id = ?1 AND outcome = 'running'",
            )?
            .execute(params![
                id,
                outcome.as_str(),
                reason,
                at.as_millisecond()
            ])?;
        Ok(settled == 1)
    }

    /// The run with this id.
    pub fn run(&self, id: i64) -> Result<Option<Run>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM runs WHERE id = ?1");
        Ok(self.statement(&sql)?.query_row([id], run).optional()?)
    }

    /// Runs of a flow that are not over, the one that was due first in front.
    pub fn open_runs(&self, flow: &str) -> Result<Vec<Run>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM runs WHERE flow = ?1 AND outcome = 'running' ORDER BY started_at IS NULL, due_at"
        );
        let mut statement = self.statement(&sql)?;
        let rows = statement.query_map([flow], run)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The run that `terminal` is at.
    pub fn run_of_terminal(&self, terminal: &TerminalId) -> Result<Option<Run>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM runs WHERE terminal = ?1 AND outcome = 'running'");
        Ok(self
            .statement(&sql)?
            .query_row([terminal.as_str()], run)
            .optional()?)
    }

    /// Runs of a flow that are over and whose terminals live.
    pub fn runs_left(&self, flow: &str) -> Result<Vec<Run>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM runs WHERE flow = ?1 AND outcome <> 'running' AND terminal IN
               (SELECT id FROM terminals WHERE status <> 'exited')"
        );
        let mut statement = self.statement(&sql)?;
        let rows = statement.query_map([flow], run)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The newest `limit` due times, of one flow or of all, newest first.
    pub fn run_history(&self, flow: Option<&str>, limit: u32) -> Result<Vec<Run>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM runs WHERE ?1 IS NULL OR flow = ?1 ORDER BY due_at DESC, id DESC LIMIT ?2"
        );
        let mut statement = self.statement(&sql)?;
        let rows = statement.query_map(params![flow, limit], run)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many due times of the ledger ended how, by flow.
    pub fn run_counts(&self) -> Result<Vec<(String, Outcome, i64)>, Error> {
        let mut statement = self.statement(
            "SELECT flow, outcome, count(*) FROM runs GROUP BY flow, outcome ORDER BY flow, outcome",
        )?;
        let rows = statement.query_map([], |row| {
            let outcome = row.get::<_, String>(1)?;
            let outcome = Outcome::parse(&outcome).unwrap_or(Outcome::Failed);
            Ok((row.get(0)?, outcome, row.get(2)?))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Forgets times of the future that are entered as missed: the clock was wrong when they were.
    pub fn forget_future(&self, flow: &str, now: Timestamp) -> Result<(), Error> {
        self.execute(
            "DELETE FROM runs WHERE flow = ?1 AND due_at > ?2 AND outcome = 'missed'",
            params![flow, now.as_millisecond()],
        )?;
        Ok(())
    }

    /// Forgets the oldest times of a flow that has very many.
    pub fn trim_runs(&self, flow: &str) -> Result<(), Error> {
        self.statement(
            "DELETE FROM runs WHERE flow = ?1 AND outcome <> 'running' AND closing = 0 AND due_at <
               (SELECT due_at FROM runs WHERE flow = ?1 ORDER BY due_at DESC LIMIT 1 OFFSET ?2)",
        )?
        .execute(params![flow, KEPT])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::db::{Budget, Durability, Store};
    use super::*;
    use crate::paths::Home;

    #[test]
    fn a_due_time_is_entered_once_and_claimed_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open_or_create(&Home::at(dir.path().join("s")).unwrap()).unwrap();
        let at = |ms: i64| Timestamp::from_millisecond(ms).unwrap();
        store
            .write(Durability::Process, Budget::Call, |tx| {
                let id = tx.enter_run("f", at(1), None)?.unwrap();
                assert_eq!(tx.enter_run("f", at(1), None)?, None);
                assert!(!tx.enter_slot("f", at(1), Outcome::Missed, "x", at(2))?);
                assert!(tx.enter_slot("f", at(2), Outcome::Missed, "x", at(2))?);
                assert!(tx.open_runs("f")?[0].waits());
                let deadline = |ms: i64| Moment {
                    wall: at(ms),
                    awake: Some(Awake {
                        boot: "b".to_owned(),
                        ms,
                    }),
                };
                assert!(tx.claim_run(id, None, at(3), &deadline(8))?);
                assert!(!tx.claim_run(id, None, at(3), &deadline(8))?);
                assert_eq!(tx.open_runs("f")?[0].deadline, Some(deadline(8)));
                let terminal = TerminalId::from_bytes([1; 4]);
                assert!(tx.begin_run(id, &terminal, MessageId(7), &deadline(9))?);
                assert_eq!(tx.open_runs("f")?[0].deadline, Some(deadline(9)));
                assert_eq!(tx.run_of_terminal(&terminal)?.map(|run| run.id), Some(id));
                tx.note_turn_end(id, None, at(5))?;
                assert!(tx.settle_run(id, Outcome::Ran, None, at(6))?);
                assert!(!tx.settle_run(id, Outcome::Failed, None, at(7))?);
                assert_eq!(tx.run_of_terminal(&terminal)?, None);
                tx.set_closing(id, true)?;
                assert_eq!(tx.closing_runs("f")?.len(), 1);
                assert_eq!(tx.flows_with_open_runs()?, ["f"]);
                tx.set_closing(id, false)?;
                assert_eq!(tx.flows_with_open_runs()?.len(), 0);
                let history = tx.run_history(Some("f"), 10)?;
                let outcomes: Vec<_> = history.iter().map(|run| run.outcome).collect();
                assert_eq!(outcomes, [Outcome::Missed, Outcome::Ran]);
                assert_eq!(
                    tx.run_counts()?,
                    [
                        ("f".to_owned(), Outcome::Missed, 1),
                        ("f".to_owned(), Outcome::Ran, 1)
                    ]
                );
                tx.forget_future("f", at(1))?;
                assert_eq!(tx.run_history(None, 10)?.len(), 1);
                Ok::<_, Error>(())
            })
            .unwrap();
    }
}
