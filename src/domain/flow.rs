//! A flow: a prompt that is given to a fresh agent at set times, and the ledger of what became of each time.

pub mod cron;
pub mod next;
pub mod plan;
pub mod span;

#[cfg(test)]
mod model_tests;

use super::ids::{MessageId, TerminalId};
use super::terminal::Root;
use jiff::Timestamp;
use serde::Serialize;
use std::path::PathBuf;

/// Set in the environment of every agent that a flow started, to the flow's name; workers of such an agent inherit it.
pub const VARIABLE: &str = "CONDUCTOR_FLOW";

/// How long a run may take when its flow does not say: an hour, in milliseconds.
pub const DEFAULT_TIMEOUT_MS: i64 = 3_600_000;

/// What happens to a time that comes while an earlier run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Overlap {
    /// It is skipped.
    Skip,
    /// It waits.
    Queue,
    /// The earlier run is ended.
    Replace,
}

impl Overlap {
    /// Every word.
    pub const ALL: [Self; 3] = [Self::Skip, Self::Queue, Self::Replace];

    /// The word in files, the database and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Queue => "queue",
            Self::Replace => "replace",
        }
    }

    /// Parses the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|word| word.as_str() == text)
    }
}

/// What happens to times that passed while nothing could run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CatchUp {
    /// They are missed.
    None,
    /// One run stands for all of them.
    One,
    /// Each is run, one after the other.
    All,
}

impl CatchUp {
    /// Every word.
    pub const ALL: [Self; 3] = [Self::None, Self::One, Self::All];

    /// The word in files, the database and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::One => "one",
            Self::All => "all",
        }
    }

    /// Parses the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|word| word.as_str() == text)
    }
}

/// What became of a due time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Its agent's turn is over.
    Ran,
    /// It was not wanted: the script said no, an earlier run went on, the flow was switched off.
    Skipped,
    /// Nothing could run at that time.
    Missed,
    /// It was started, or should have been, and did not come to its end.
    Failed,
    /// It goes on, or waits for the run before it.
    Running,
}

impl Outcome {
    /// Every word.
    pub const ALL: [Self; 5] = [
        Self::Ran,
        Self::Skipped,
        Self::Missed,
        Self::Failed,
        Self::Running,
    ];

    /// The word in the database and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ran => "ran",
            Self::Skipped => "skipped",
            Self::Missed => "missed",
            Self::Failed => "failed",
            Self::Running => "running",
        }
    }

    /// Parses the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|word| word.as_str() == text)
    }
}

/// A script that decides whether a flow runs, and fills its prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Its words, as the file gives them; the first is the program.
    pub argv: Vec<String>,
    /// The program's file.
    pub program: PathBuf,
    /// SHA-256 of that file when it was accepted; `None` for a program found along `PATH`.
    pub sha256: Option<String>,
    /// What an interpreter would run for it, with the SHA-256 of each when it was accepted.
    pub files: Vec<(PathBuf, String)>,
}

/// A flow as it was accepted by `flow add`.
#[derive(Debug, Clone, PartialEq)]
pub struct Flow {
    /// Its name.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// SHA-256 of the file when it was accepted.
    pub sha256: String,
    /// The project whose trust it needs.
    pub project: Option<PathBuf>,
    /// Its agent's directory, and its script's.
    pub cwd: PathBuf,
    /// Socket of the tmux server that its agents are started in.
    pub server: PathBuf,
    /// The cron line as written.
    pub schedule: String,
    /// IANA name of the zone that the line is read in.
    pub timezone: String,
    /// Profile of its agents.
    pub profile: String,
    /// Their provider, where the file names one.
    pub provider: Option<String>,
    /// The session that they are started in.
    pub session: String,
    /// The script.
    pub script: Option<Script>,
    /// See [`Overlap`].
    pub overlap: Overlap,
    /// See [`CatchUp`].
    pub catch_up: CatchUp,
    /// How much later than its time a run may start, in milliseconds.
    pub jitter_ms: i64,
    /// How long a run may take, in milliseconds.
    pub timeout_ms: i64,
    /// Whether it runs at its times.
    pub enabled: bool,
    /// The next time by its schedule, without jitter; `None` while it is disabled.
    pub next_slot: Option<Timestamp>,
}

impl Flow {
    /// When the next run starts.
    pub fn next_run(&self) -> Option<Timestamp> {
        self.next_slot
            .map(|slot| plan::fire_at(&self.name, slot, self.jitter_ms))
    }
}

/// A point on the clock that stands still while the machine sleeps, and that nobody sets. It means something within one boot only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Awake {
    /// Which boot.
    pub boot: String,
    /// Milliseconds.
    pub ms: i64,
}

/// What the clocks say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock.
    pub wall: Timestamp,
    /// The clock of the machine's waking hours, where it can be read.
    pub awake: Option<Awake>,
}

impl Moment {
    /// The moment `ms` milliseconds later, if the machine does not sleep.
    #[must_use]
    pub fn after_ms(&self, ms: i64) -> Self {
        let wall = self.wall.as_millisecond().saturating_add(ms);
        Self {
            wall: Timestamp::from_millisecond(wall).unwrap_or(Timestamp::MAX),
            awake: self.awake.as_ref().map(|awake| Awake {
                boot: awake.boot.clone(),
                ms: awake.ms.saturating_add(ms),
            }),
        }
    }

    /// Milliseconds from `now` until this moment, negative when it has passed. A sleep of the machine does not count, nor does a clock that
    /// is set, unless the machine was booted in between.
    pub fn left_ms(&self, now: &Self) -> i64 {
        match (&self.awake, &now.awake) {
            (Some(end), Some(now)) if end.boot == now.boot => end.ms.saturating_sub(now.ms),
            _ => self.wall.as_millisecond() - now.wall.as_millisecond(),
        }
    }
}

/// One due time in the ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Its id.
    pub id: i64,
    /// The flow's name.
    pub flow: String,
    /// The time by the schedule, or when a person asked for it.
    pub due_at: Timestamp,
    /// When it was begun; `None` while it waits, and for what never began.
    pub started_at: Option<Timestamp>,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
    /// What became of it.
    pub outcome: Outcome,
    /// Why.
    pub reason: Option<String>,
    /// Its terminal.
    pub terminal: Option<TerminalId>,
    /// Its prompt.
    pub message: Option<MessageId>,
    /// When its time is up; while it is started, when that has taken too long.
    pub deadline: Option<Moment>,
    /// When its agent's turn ended, or last ended.
    pub turn_ended_at: Option<Timestamp>,
    /// Why that turn failed.
    pub turn_failed: Option<String>,
    /// The process that starts it.
    pub lease: Option<Root>,
    /// It is over, and its terminal is still to be closed.
    pub closing: bool,
    /// The leader of its script's process group.
    pub script: Option<Root>,
}

impl Run {
    /// Whether it waits for the run before it.
    pub fn waits(&self) -> bool {
        self.outcome == Outcome::Running && self.started_at.is_none()
    }
}
