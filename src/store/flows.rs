//! Flows: rows to [`Flow`] and back.

use super::db::Tx;
use super::error::Error;
use super::terminals::{Cells, time};
use crate::domain::flow::{CatchUp, Flow, Overlap, Script};
use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

const COLUMNS: &str = "name, path, sha256, project, cwd, server, schedule, timezone, profile, provider, session, script, overlap,
  catch_up, jitter_ms, timeout_ms, enabled, next_slot";

/// A script as it is stored.
#[derive(Serialize, Deserialize)]
struct StoredScript {
    argv: Vec<String>,
    program: PathBuf,
    sha256: Option<String>,
    #[serde(default)]
    files: Vec<(PathBuf, String)>,
}

/// A flow from [`COLUMNS`]; the fields are read in their order.
fn flow(row: &Row<'_>) -> rusqlite::Result<Flow> {
    let mut cells = Cells::of(row);
    let path = |text: String| PathBuf::from(text);
    let flow = Flow {
        name: cells.text()?,
        path: path(cells.text()?),
        sha256: cells.text()?,
        project: cells.take::<Option<String>>()?.map(path),
        cwd: path(cells.text()?),
        server: path(cells.text()?),
        schedule: cells.text()?,
        timezone: cells.text()?,
        profile: cells.text()?,
        provider: cells.take()?,
        session: cells.text()?,
        script: cells
            .take::<Option<String>>()?
            .and_then(|text| serde_json::from_str::<StoredScript>(&text).ok())
            .map(|stored| Script {
                argv: stored.argv,
                program: stored.program,
                sha256: stored.sha256,
                files: stored.files,
            }),
        overlap: Overlap::parse(&cells.text()?).unwrap_or(Overlap::Skip),
        catch_up: CatchUp::parse(&cells.text()?).unwrap_or(CatchUp::One),
        jitter_ms: cells.take()?,
        timeout_ms: cells.take()?,
        enabled: cells.take()?,
        next_slot: cells.take::<Option<i64>>()?.map(time),
    };
    Ok(flow)
}

impl Tx<'_> {
    /// Stores a flow in place of the one that had its name.
    pub fn put_flow(&self, f: &Flow) -> Result<(), Error> {
        let script = f.script.as_ref().map(|script| StoredScript {
            argv: script.argv.clone(),
            program: script.program.clone(),
            sha256: script.sha256.clone(),
            files: script.files.clone(),
        });
        let script = script.and_then(|script| serde_json::to_string(&script).ok());
        let text = |path: &PathBuf| path.to_string_lossy().into_owned();
        self.execute(
            &format!("INSERT OR REPLACE INTO flows ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)"),
            params![
                f.name,
                text(&f.path),
                f.sha256,
                f.project.as_ref().map(text),
                text(&f.cwd),
                text(&f.server),
                f.schedule,
                f.timezone,
                f.profile,
                f.provider,
                f.session,
                script,
                f.overlap.as_str(),
                f.catch_up.as_str(),
                f.jitter_ms,
                f.timeout_ms,
                f.enabled,
                f.next_slot.map(Timestamp::as_millisecond),
            ],
        )?;
        Ok(())
    }

    /// The flow of this name.
    pub fn flow(&self, name: &str) -> Result<Option<Flow>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM flows WHERE name = ?1");
        Ok(self.statement(&sql)?.query_row([name], flow).optional()?)
    }

    /// All flows, by name.
    pub fn flows(&self) -> Result<Vec<Flow>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM flows ORDER BY name");
        let mut statement = self.statement(&sql)?;
        let rows = statement.query_map([], flow)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Switches a flow on, with its next time, or off.
    pub fn set_flow_next(
        &self,
        name: &str,
        enabled: bool,
        next: Option<Timestamp>,
    ) -> Result<(), Error> {
        self.statement("UPDATE flows SET enabled = ?2, next_slot = ?3 WHERE name = ?1")?
            .execute(params![name, enabled, next.map(Timestamp::as_millisecond)])?;
        Ok(())
    }

    /// Removes a flow; its ledger stays.
    pub fn remove_flow(&self, name: &str) -> Result<bool, Error> {
        Ok(self.execute("DELETE FROM flows WHERE name = ?1", [name])? == 1)
    }

    /// Sockets of the tmux servers that flows are waited for in.
    pub fn flow_servers(&self) -> Result<Vec<PathBuf>, Error> {
        let mut statement = self.statement(
            "SELECT DISTINCT server FROM due WHERE kind = 'flow' AND server IS NOT NULL",
        )?;
        let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
        Ok(rows
            .map(|row| row.map(PathBuf::from))
            .collect::<Result<_, _>>()?)
    }

    /// Names of the flows, known or removed, whose runs go on or leave something to be closed.
    pub fn flows_with_open_runs(&self) -> Result<Vec<String>, Error> {
        let mut statement = self.statement(
            "SELECT flow FROM runs WHERE outcome = 'running' UNION SELECT flow FROM runs WHERE closing = 1",
        )?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
