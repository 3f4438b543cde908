//! The JSON shapes of flows and their runs.

use crate::domain::flow::{CatchUp, Flow, Outcome, Overlap, Run};
use crate::domain::ids::TerminalId;
use jiff::Timestamp;
use serde::Serialize;

/// A flow.
#[derive(Debug, Clone, Serialize)]
pub struct FlowView {
    /// Its name.
    pub name: String,
    /// Its file.
    pub path: String,
    /// The cron line as written.
    pub schedule: String,
    /// IANA name of the zone that the line is read in.
    pub timezone: String,
    /// Profile of its agents.
    pub profile: String,
    /// Their provider, where the file names one.
    pub provider: Option<String>,
    /// Whether it runs at its times.
    pub enabled: bool,
    /// What happens to a time that comes while a run goes on.
    pub overlap: Overlap,
    /// What happens to times that were missed.
    pub catch_up: CatchUp,
    /// When the next run starts.
    #[serde(with = "crate::domain::time")]
    pub next_run: Option<Timestamp>,
    /// When the last run started, or was due if it never started.
    #[serde(with = "crate::domain::time")]
    pub last_run: Option<Timestamp>,
    /// What became of it.
    pub last_outcome: Option<Outcome>,
    /// Its agent's directory.
    pub cwd: String,
    /// The session that its agents are started in.
    pub session: String,
    /// Its script, in words.
    pub script: Option<String>,
    /// How much later than its time a run may start, in seconds.
    pub jitter: i64,
    /// How long a run may take, in seconds.
    pub timeout: i64,
    /// Who looks at the clock for it: `tmux`, `systemd`, `launchd`, `nothing`.
    pub driver: Option<&'static str>,
    /// Why its next run would be missed, or would fail.
    pub warning: Option<String>,
}

impl FlowView {
    /// The shape of `flow`, whose newest entry in the ledger is `last`.
    pub fn new(
        flow: &Flow,
        last: Option<&Run>,
        driver: Option<&'static str>,
        warning: Option<String>,
    ) -> Self {
        Self {
            name: flow.name.clone(),
            path: flow.path.to_string_lossy().into_owned(),
            schedule: flow.schedule.clone(),
            timezone: flow.timezone.clone(),
            profile: flow.profile.clone(),
            provider: flow.provider.clone(),
            enabled: flow.enabled,
            overlap: flow.overlap,
            catch_up: flow.catch_up,
            next_run: flow.next_run(),
            last_run: last.map(|run| run.started_at.unwrap_or(run.due_at)),
            last_outcome: last.map(|run| run.outcome),
            cwd: flow.cwd.to_string_lossy().into_owned(),
            session: flow.session.clone(),
            script: flow.script.as_ref().map(|script| script.argv.join(" ")),
            jitter: flow.jitter_ms / 1_000,
            timeout: flow.timeout_ms / 1_000,
            driver,
            warning,
        }
    }
}

/// One due time in the ledger.
#[derive(Debug, Clone, Serialize)]
pub struct RunView {
    /// Its id.
    pub id: String,
    /// The flow's name.
    pub flow: String,
    /// The time by the schedule, or when a person asked for it.
    #[serde(with = "crate::domain::time")]
    pub due_at: Timestamp,
    /// When it was begun; `null` while it waits for the run before it, and for what never began.
    #[serde(with = "crate::domain::time")]
    pub started_at: Option<Timestamp>,
    /// When it was over.
    #[serde(with = "crate::domain::time")]
    pub ended_at: Option<Timestamp>,
    /// What became of it.
    pub outcome: Outcome,
    /// Why.
    pub reason: Option<String>,
    /// Its terminal.
    pub terminal: Option<TerminalId>,
}

impl RunView {
    /// The shape of `run`.
    pub fn new(run: &Run) -> Self {
        Self {
            id: run.id.to_string(),
            flow: run.flow.clone(),
            due_at: run.due_at,
            started_at: run.started_at,
            ended_at: run.ended_at,
            outcome: run.outcome,
            reason: run.reason.clone(),
            terminal: run.terminal.clone(),
        }
    }
}

/// What a run would do.
#[derive(Debug, Clone, Serialize)]
pub struct PreviewView {
    /// The flow's name.
    pub flow: String,
    /// Whether it would run.
    pub execute: bool,
    /// Why not.
    pub reason: Option<String>,
    /// The filled prompt.
    pub prompt: Option<String>,
    /// Profile of the agent.
    pub profile: String,
    /// Provider of the agent.
    pub provider: String,
    /// The session.
    pub session: String,
    /// Whether that session would be made.
    pub new_session: bool,
    /// The agent's directory.
    pub cwd: String,
    /// Socket of the tmux server.
    pub server: String,
    /// The next times at which it starts.
    #[serde(with = "crate::domain::time")]
    pub next_runs: Vec<Timestamp>,
}
