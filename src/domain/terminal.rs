//! A terminal: a pane with an agent in it, who it is, and what state it is in.

use super::event::{AgentEvent, DialogKind};
use super::ids::TerminalId;
use super::loss::{Loss, Spot};
use super::worktree::Worktree;
use jiff::Timestamp;
use serde::Serialize;
use std::path::PathBuf;

/// Longest piece of an agent's own words in a reason, in characters.
const REASON_CHARS: usize = 200;

/// The state of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Launched, not yet heard from.
    Starting,
    /// At its prompt.
    Idle,
    /// In a turn.
    Working,
    /// Waits for a person: a permission, a question.
    Waiting,
    /// Stopped by a usage limit until a known time.
    Parked,
    /// Its last turn failed.
    Error,
    /// The agent or its pane is gone.
    Exited,
    /// The last event contradicts what the screen shows.
    Unknown,
}

impl Status {
    /// Every status, in the order of a life.
    pub const ALL: [Self; 8] = [
        Self::Starting,
        Self::Idle,
        Self::Working,
        Self::Waiting,
        Self::Parked,
        Self::Error,
        Self::Exited,
        Self::Unknown,
    ];

    /// The word in the database, JSON and tmux.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Idle => "idle",
            Self::Working => "working",
            Self::Waiting => "waiting",
            Self::Parked => "parked",
            Self::Error => "error",
            Self::Exited => "exited",
            Self::Unknown => "unknown",
        }
    }

    /// Parses the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether the agent still lives.
    pub const fn alive(self) -> bool {
        !matches!(self, Self::Exited)
    }
}

/// What a state is believed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The agent's own event.
    Event,
    /// What its screen or title showed.
    Screen,
    /// The process table or tmux.
    Process,
    /// Our own action (launch, close).
    Command,
}

impl Source {
    /// The word in the database and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Screen => "screen",
            Self::Process => "process",
            Self::Command => "command",
        }
    }

    /// Parses the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Event, Self::Screen, Self::Process, Self::Command]
            .into_iter()
            .find(|source| source.as_str() == text)
    }

    /// How much it is trusted: `high` for what the agent or the kernel said, `low` for a screen.
    pub const fn confidence(self) -> &'static str {
        match self {
            Self::Event | Self::Process | Self::Command => "high",
            Self::Screen => "low",
        }
    }
}

/// A terminal's part in its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Hands work out.
    Supervisor,
    /// Does work.
    Worker,
}

impl Role {
    /// The word in the database and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Supervisor => "supervisor",
            Self::Worker => "worker",
        }
    }

    /// `supervisor` is a supervisor; every other word is a worker.
    pub fn from_word(word: &str) -> Self {
        if word == "supervisor" {
            Self::Supervisor
        } else {
            Self::Worker
        }
    }
}

/// Whether the agent's tool calls pass our gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Gated {
    /// They do, and the gate was heard from.
    Yes,
    /// They do not.
    No,
    /// They should, but the gate is silent.
    Silent,
}

/// A tmux server that can be told from every other one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Server {
    /// Path of its socket.
    pub socket: PathBuf,
    /// Its process id.
    pub pid: i32,
    /// Its start time in seconds since 1970, as tmux tells it.
    pub start: i64,
}

/// A state with the reason it is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The state.
    pub status: Status,
    /// Which event, screen line or process fact it comes from.
    pub reason: String,
    /// What kind of evidence that is.
    pub source: Source,
    /// Since when.
    pub since: Timestamp,
}

impl State {
    /// Whether `change` from `source` would say nothing new.
    pub fn is(&self, change: &Change, source: Source) -> bool {
        self.status == change.status && self.source == source && self.reason == change.reason
    }
}

/// A process by pid and start time, as `proc` reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Root {
    /// Process id.
    pub pid: i32,
    /// Start time.
    pub start: i64,
}

/// A pane with an agent in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Terminal {
    /// Its id.
    pub id: TerminalId,
    /// Name of the tmux session when last seen.
    pub session: String,
    /// Name of the tmux window when last seen.
    pub window: String,
    /// Pane id (`%7`), once the pane is there.
    pub pane: Option<String>,
    /// The tmux server it lives in.
    pub server: Option<Server>,
    /// The process that tmux started in the pane, where we launched it.
    pub pane_pid: Option<i32>,
    /// The agent's process.
    pub root: Option<Root>,
    /// Device number of the agent's controlling terminal.
    pub tty: i32,
    /// Name of the provider.
    pub provider: String,
    /// Name of the profile.
    pub profile: String,
    /// Its part.
    pub role: Role,
    /// The state and why it is believed.
    pub state: State,
    /// The terminal that started it.
    pub caller: Option<TerminalId>,
    /// Working directory.
    pub cwd: PathBuf,
    /// Model, where one was asked for.
    pub model: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// The agent's exit code, where its own end event carried one.
    pub exit_code: Option<i32>,
    /// The agent's own session id.
    pub agent_session: Option<String>,
    /// Foreground command of the pane when the agent was first idle.
    pub program: Option<String>,
    /// Last event of the agent.
    pub last_event_at: Option<Timestamp>,
    /// Last answer, from the agent's own record.
    pub last_answer: Option<String>,
    /// When a tool call of it first passed our gate.
    pub gate_seen_at: Option<Timestamp>,
    /// When it first reported a tool that our gate had not seen.
    pub gate_silent_at: Option<Timestamp>,
    /// Whether `launch` made its tmux session.
    pub session_owned: bool,
    /// `KEY=VALUE` pairs that workers started by it inherit.
    pub env: Vec<(String, String)>,
    /// Highest paste number that the database knows as settled.
    pub settled: i64,
    /// Whether its hooks were registered, by its launch or by `provider setup`: without them nothing proves and nothing gates.
    pub hooked: bool,
    /// Whether a person started it by hand and we took it in: its pane is the person's.
    pub adopted: bool,
    /// Further arguments that it was started with.
    pub args: Vec<String>,
    /// A git worktree of its own, or what is left of it.
    pub worktree: Option<Worktree>,
    /// That its server died under it, until it was heard from again.
    pub loss: Option<Loss>,
    /// Where its pane was when last seen.
    pub spot: Option<Spot>,
    /// Whether it has a conversation that can be taken up: one that never got a prompt begins anew.
    pub begun: bool,
}

impl Terminal {
    /// The name that others see: its profile and its id.
    pub fn display_name(&self) -> String {
        format!("{} {}", self.profile, self.id)
    }

    /// Whether it is in the session of this name on the tmux server at `socket`; one that never registered is in every server's.
    pub fn is_in(&self, session: &str, socket: &std::path::Path) -> bool {
        self.session == session
            && self
                .server
                .as_ref()
                .is_none_or(|server| server.socket == socket)
    }

    /// Whether its tool calls pass our gate. `has_gate`: its provider has one. What it was told to do counts for nothing before its first
    /// event, and a tool that ran without us shows that the gate is not there, whatever was seen before.
    pub const fn gated(&self, has_gate: bool) -> Gated {
        if !has_gate || !self.hooked {
            Gated::No
        } else if self.gate_silent_at.is_some()
            || (self.last_event_at.is_none() && !matches!(self.state.status, Status::Starting))
        {
            Gated::Silent
        } else if self.last_event_at.is_none() {
            Gated::No
        } else {
            Gated::Yes
        }
    }

    /// Whether it lives.
    pub fn alive(&self) -> bool {
        self.state.status.alive()
    }
}

#[cfg(test)]
impl Terminal {
    /// An idle worker that was never registered, for tests.
    pub(crate) fn sample(id: TerminalId) -> Self {
        let now = Timestamp::UNIX_EPOCH;
        Self {
            id,
            session: "s".into(),
            window: "w".into(),
            pane: None,
            server: None,
            pane_pid: None,
            root: None,
            tty: 0,
            provider: "demo".into(),
            profile: "developer".into(),
            role: Role::Worker,
            state: State {
                status: Status::Idle,
                reason: "a test".into(),
                source: Source::Event,
                since: now,
            },
            caller: None,
            cwd: "/".into(),
            model: None,
            created_at: now,
            ended_at: None,
            exit_code: None,
            agent_session: None,
            program: None,
            last_event_at: None,
            last_answer: None,
            gate_seen_at: None,
            gate_silent_at: None,
            session_owned: true,
            env: Vec::new(),
            settled: 0,
            hooked: true,
            adopted: false,
            args: Vec::new(),
            worktree: None,
            loss: None,
            spot: None,
            begun: true,
        }
    }
}

/// What an event makes of a state: `None` where nothing changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The new status.
    pub status: Status,
    /// Why.
    pub reason: String,
}

/// The reason of a state that an interruption made.
pub const INTERRUPTED: &str = "a person interrupted the turn";

/// The reason of a state that an open question made: unlike leave to use a tool, nobody is asked about it by a request.
pub const QUESTION_OPEN: &str = "a question is open";

/// The status machine: what `event` makes of an agent that is `status`.
///
/// An exited terminal stays so. Signs of life never end or begin a turn.
pub fn next_state(status: Status, event: &AgentEvent) -> Option<Change> {
    if status == Status::Exited {
        return None;
    }
    let change = |status: Status, reason: &str| {
        Some(Change {
            status,
            reason: reason.to_owned(),
        })
    };
    match event {
        AgentEvent::Started => change(Status::Idle, "the agent started"),
        AgentEvent::PromptSubmitted { .. } => change(Status::Working, "a prompt was submitted"),
        AgentEvent::ToolStarting(call) => change(
            Status::Working,
            &format!("tool {} is about to run", call.tool),
        ),
        AgentEvent::ToolFinished(call, _) => match status {
            Status::Idle => None,
            Status::Starting
            | Status::Working
            | Status::Waiting
            | Status::Parked
            | Status::Error
            | Status::Exited
            | Status::Unknown => change(Status::Working, &format!("tool {} is done", call.tool)),
        },
        AgentEvent::PermissionAsked(call) => change(
            Status::Waiting,
            &format!("asks for leave to use {}", call.tool),
        ),
        AgentEvent::DialogShown(DialogKind::Permission) => {
            change(Status::Waiting, "a permission dialog is open")
        }
        AgentEvent::DialogShown(DialogKind::Question) => change(Status::Waiting, QUESTION_OPEN),
        AgentEvent::AtPrompt => change(Status::Idle, "the agent says that it waits for input"),
        AgentEvent::TurnEnded {
            background: true, ..
        } => change(
            Status::Working,
            "the turn ended, work goes on in the background",
        ),
        AgentEvent::TurnEnded {
            background: false, ..
        } => change(Status::Idle, "the turn ended"),
        AgentEvent::TurnFailed { error } if error.trim().is_empty() => {
            change(Status::Error, "the turn failed")
        }
        AgentEvent::TurnFailed { error } => change(
            Status::Error,
            &format!("the turn failed: {}", shortened(error)),
        ),
        AgentEvent::LimitReached { until: None } => {
            change(Status::Parked, "a usage limit was reached")
        }
        AgentEvent::LimitReached { until: Some(until) } => change(
            Status::Parked,
            &format!("a usage limit was reached; it rests until {until}"),
        ),
        AgentEvent::Interrupted => change(Status::Idle, INTERRUPTED),
        AgentEvent::Ended { .. } => change(Status::Exited, "the agent ended"),
        AgentEvent::SignOfLife | AgentEvent::MailAsked | AgentEvent::MailRefused { .. } => None,
    }
}

/// The beginning of an agent's words on one line.
fn shortened(words: &str) -> String {
    let line = super::text::one_line(words.trim());
    if line.chars().count() <= REASON_CHARS {
        return line;
    }
    line.chars().take(REASON_CHARS - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::super::event::ToolCall;
    use super::*;

    fn call() -> ToolCall {
        ToolCall {
            tool: "Bash".into(),
            input: serde_json::json!({}),
            call_id: None,
        }
    }

    fn every_event() -> Vec<AgentEvent> {
        vec![
            AgentEvent::Started,
            AgentEvent::PromptSubmitted {
                text: String::new(),
            },
            AgentEvent::ToolStarting(call()),
            AgentEvent::ToolFinished(call(), crate::domain::event::ToolEnd::Ran),
            AgentEvent::PermissionAsked(call()),
            AgentEvent::DialogShown(DialogKind::Permission),
            AgentEvent::DialogShown(DialogKind::Question),
            AgentEvent::AtPrompt,
            AgentEvent::TurnEnded {
                answer: None,
                continued: false,
                background: false,
            },
            AgentEvent::TurnEnded {
                answer: None,
                continued: false,
                background: true,
            },
            AgentEvent::TurnFailed {
                error: String::new(),
            },
            AgentEvent::LimitReached { until: None },
            AgentEvent::Interrupted,
            AgentEvent::Ended {
                reason: String::new(),
            },
            AgentEvent::SignOfLife,
            AgentEvent::MailAsked,
            AgentEvent::MailRefused {
                ids: vec![1],
                taken: false,
            },
        ]
    }

    #[test]
    fn words_round_trip() {
        for status in Status::ALL {
            assert_eq!(Status::parse(status.as_str()), Some(status));
        }
    }

    #[test]
    fn the_dead_stay_dead() {
        for event in every_event() {
            assert_eq!(next_state(Status::Exited, &event), None, "{event:?}");
        }
    }

    #[test]
    fn a_turn_runs_its_course() {
        let mut status = Status::Starting;
        for (event, expected) in [
            (AgentEvent::Started, Status::Idle),
            (
                AgentEvent::PromptSubmitted { text: "x".into() },
                Status::Working,
            ),
            (AgentEvent::ToolStarting(call()), Status::Working),
            (AgentEvent::PermissionAsked(call()), Status::Waiting),
            (
                AgentEvent::ToolFinished(call(), crate::domain::event::ToolEnd::Ran),
                Status::Working,
            ),
            (
                AgentEvent::TurnEnded {
                    answer: None,
                    continued: false,
                    background: false,
                },
                Status::Idle,
            ),
        ] {
            status = next_state(status, &event).map_or(status, |change| change.status);
            assert_eq!(status, expected, "after {event:?}");
        }
    }

    #[test]
    fn a_failed_turn_says_why_on_one_line() {
        let reason = |error: &str| {
            let event = AgentEvent::TurnFailed {
                error: error.into(),
            };
            next_state(Status::Working, &event).unwrap().reason
        };
        assert_eq!(reason(" "), "the turn failed");
        assert_eq!(
            reason("API Error:\n400\n"),
            "the turn failed: API Error:⏎400"
        );
        assert_eq!(reason(&"x".repeat(500)).chars().count(), 217);
    }

    #[test]
    fn signs_of_life_and_late_tool_results_never_begin_or_end_a_turn() {
        for status in Status::ALL {
            assert_eq!(next_state(status, &AgentEvent::SignOfLife), None);
        }
        assert_eq!(
            next_state(
                Status::Idle,
                &AgentEvent::ToolFinished(call(), crate::domain::event::ToolEnd::Ran)
            ),
            None
        );
    }
}
