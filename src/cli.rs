//! Every command and flag, in one place and without behaviour.

mod decisions;
mod flows;
mod messages;
mod notes;
mod recovery;
mod upkeep;

pub use decisions::{ApprovalCommand, ApprovalScope, Audit, AuditFormat, Policy};
pub use flows::{Flow, TimerKind};
pub use messages::{Broadcast, Inbox, InboxCommand, Send};
pub use notes::{NoteCommand, Notes};
pub use recovery::{Recover, Resume};
pub use upkeep::{Clean, Doctor, Generate, Page, Plugin};

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Several AI coding agents side by side in tmux: hand work over, prove delivery, approve what is risky.
#[derive(Debug, Parser)]
#[command(
    version,
    propagate_version = true,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub struct Cli {
    /// Path of the tmux server's socket.
    #[arg(
        short = 'S',
        long = "socket-path",
        global = true,
        value_name = "PATH",
        help_heading = "Where"
    )]
    pub socket_path: Option<PathBuf>,
    /// Name of the tmux server's socket.
    #[arg(
        short = 'L',
        long = "socket-name",
        global = true,
        value_name = "NAME",
        conflicts_with = "socket_path",
        help_heading = "Where"
    )]
    pub socket_name: Option<String>,
    /// State directory (default: `CONDUCTOR_HOME`, else ~/.conductor).
    #[arg(long, global = true, value_name = "DIR", help_heading = "Where")]
    pub home: Option<PathBuf>,
    /// Print one JSON document.
    #[arg(long, global = true, help_heading = "Output")]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create the state directory, the database and default files.
    Init,
    /// Start a new tmux session with a supervisor and its workers.
    Launch(Launch),
    /// Start one more agent in a session.
    Worker(Worker),
    /// Take in an agent that was started by hand.
    Adopt {
        /// The pane's id, e.g. %7.
        pane: String,
        /// The agent program that runs in it.
        #[arg(short, long, value_name = "PROVIDER")]
        provider: String,
        /// Its part: supervisor, or any other word for a worker.
        #[arg(long, default_value = "worker")]
        role: String,
    },
    /// Take up an ended agent's conversation again, in its directory or worktree.
    Resume(Resume),
    /// List the sessions.
    #[command(visible_alias = "ls")]
    Sessions {
        /// Also those whose agents have all ended.
        #[arg(long)]
        all: bool,
    },
    /// Show one session.
    Session {
        /// The tmux session's name.
        name: String,
    },
    /// Show all agents on one screen: what they do, what waits, approve, write, go there.
    Dashboard {
        /// The tmux client in whose popup it runs.
        #[arg(long, hide = true)]
        client: Option<String>,
    },
    /// Show one terminal.
    Status {
        /// Id, prefix of an id, pane id, or window name.
        terminal: String,
    },
    /// Say why a terminal's status is believed and why messages wait.
    Explain {
        /// Id, prefix of an id, pane id, or window name.
        terminal: String,
    },
    /// Send a message to an agent.
    #[command(visible_alias = "s")]
    Send(Send),
    /// Send one message to each agent of a session.
    Broadcast(Broadcast),
    /// List messages, or read, show, retry or cancel one.
    Inbox(Inbox),
    /// List what agents wrote to you.
    Notes(Notes),
    /// Show or answer what an agent wrote to you.
    Note {
        /// What to do.
        #[command(subcommand)]
        command: NoteCommand,
    },
    /// List requests that wait for a person, or waited.
    Approvals {
        /// Only those with this status.
        #[arg(long, value_name = "STATUS")]
        status: Option<String>,
        /// At most N, the newest.
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u32,
    },
    /// Show one request whole.
    Approval {
        /// What to do.
        #[command(subcommand)]
        command: ApprovalCommand,
    },
    /// Say yes to a request (people only).
    Approve {
        /// The request's id.
        id: String,
        /// How far the yes reaches.
        #[arg(long, value_enum, default_value_t = ApprovalScope::Once)]
        scope: ApprovalScope,
        /// Why, for the audit log.
        #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
        reason: Option<String>,
    },
    /// Say no to a request (people only).
    Deny {
        /// The request's id.
        id: String,
        /// Why; the agent is told.
        #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
        reason: Option<String>,
    },
    /// Wait until terminals are in a state.
    Wait(Wait),
    /// Print what an agent said.
    #[command(visible_alias = "out")]
    Output {
        /// Id, prefix of an id, pane id, or window name.
        terminal: String,
        /// Last answer, whole scrollback, or what is on screen.
        #[arg(long, value_enum, default_value_t = OutputMode::Last)]
        mode: OutputMode,
    },
    /// Print a terminal's log.
    Logs {
        /// Id, prefix of an id, pane id, or window name.
        terminal: String,
        /// Only the last N lines.
        #[arg(short = 'n', value_name = "N")]
        lines: Option<usize>,
        /// Go on as the log grows, until the terminal has ended.
        #[arg(short = 'f', long)]
        follow: bool,
    },
    /// Attach to a session or terminal.
    #[command(visible_alias = "a")]
    Attach {
        /// Session name, terminal id, pane id, or window name.
        target: String,
    },
    /// End a terminal; its worktree goes too, if nothing is lost with it.
    #[command(visible_alias = "rm")]
    Close {
        /// Id, prefix of an id, pane id, or window name.
        terminal: String,
        /// Give the agent no time to say goodbye.
        #[arg(long)]
        force: bool,
    },
    /// End all terminals of a session, or all.
    #[command(visible_alias = "k")]
    Shutdown(Shutdown),
    /// List, show, create, edit or check profiles.
    Profile {
        /// What to do.
        #[command(subcommand)]
        command: Profile,
    },
    /// Install a profile from a file, a directory, or a built-in name.
    Install {
        /// File, directory, or name of a built-in profile.
        source: String,
        /// Where to.
        #[arg(long, value_enum, default_value_t = Scope::User)]
        scope: Scope,
        /// Another name for it.
        #[arg(long)]
        name: Option<String>,
        /// Replace what is there.
        #[arg(long)]
        force: bool,
    },
    /// Add, list, run or remove flows: prompts for fresh agents at set times.
    Flow {
        /// What to do.
        #[command(subcommand)]
        command: Flow,
    },
    /// List, show or check agent programs, or set one up.
    Provider {
        /// What to do.
        #[command(subcommand)]
        command: Provider,
    },
    /// Say what the policy does about a command, or show the policy.
    Policy {
        /// What to do.
        #[command(subcommand)]
        command: Policy,
    },
    /// Accept what a project's .conductor/ holds, after showing it.
    Trust {
        /// The project's directory.
        dir: PathBuf,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
    },
    /// Withdraw what was accepted of a project.
    Untrust {
        /// The project's directory.
        dir: PathBuf,
    },
    /// List, verify or export the audit log.
    Audit {
        /// What to do.
        #[command(subcommand)]
        command: Audit,
    },
    /// Compare the records with the tmux servers and mend them; list or start what can be resumed.
    Recover(Recover),
    /// Remove what is old: ended terminals, settled messages, logs, files that were left behind.
    Clean(Clean),
    /// Say what is wrong with the installation, why it matters, and what to do.
    Doctor(Doctor),
    /// Print figures for a monitoring system (Prometheus text format).
    Metrics,
    /// Generate completions, man page, command reference, JSON Schemas, or timers.
    Generate {
        /// What to generate.
        #[command(subcommand)]
        what: Generate,
    },
    /// Load or unload the tmux plugin (called by conductor.tmux).
    Plugin {
        /// What to do.
        #[command(subcommand)]
        command: Plugin,
    },
    /// A tmux hook fired (called by tmux).
    #[command(hide = true)]
    Event {
        /// The hook's name.
        name: String,
        /// Pane and window of the hook, where it knows them.
        arguments: Vec<String>,
    },
    /// Do what is due (called by tmux's timer).
    #[command(hide = true)]
    Tick,
    /// A key of the conductor table (called by tmux).
    #[command(hide = true)]
    Menu {
        /// The menu's name.
        name: String,
        /// The client that the key was pressed in, and more.
        arguments: Vec<String>,
    },
    /// An agent's hook (called by agents; JSON on standard input).
    #[command(hide = true)]
    Hook {
        /// The agent's provider.
        provider: String,
        /// The hook's name, in the agent's words.
        event: String,
    },
    /// The MCP server of an agent (called by agents).
    Mcp,
    /// Become the agent of a terminal (the first program in its pane).
    #[command(hide = true)]
    Exec {
        /// The terminal's id.
        id: String,
    },
    /// Become the script of a flow, which ends when the process that asks it does (called by the helper that starts a run).
    #[command(hide = true)]
    RunScript(RunScript),
}

/// A script of a flow, as its helper starts it.
#[derive(Debug, Clone, Args)]
pub struct RunScript {
    /// The helper's process.
    #[arg(long, value_name = "PID")]
    pub parent: i32,
    /// The program is the file that is standard input, whatever lies at its path now.
    #[arg(long)]
    pub held: bool,
    /// The program's file, and its arguments.
    #[arg(last = true, required = true, value_name = "WORD")]
    pub words: Vec<String>,
}

/// Who is started, and where.
#[derive(Debug, Clone, Args)]
pub struct Agent {
    /// The agent program.
    #[arg(short, long, value_name = "PROVIDER")]
    pub provider: Option<String>,
    /// The profile.
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Working directory (default: this one).
    #[arg(long, value_name = "DIR")]
    pub cwd: Option<PathBuf>,
    /// The model.
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
    /// First prompt.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub prompt: Option<String>,
    /// Environment variable for the agent and the workers that it starts.
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub env: Vec<(String, String)>,
    /// Give each agent that this starts a git worktree and branch of its own, from the directory's last commit.
    #[arg(long)]
    pub worktree: bool,
}

/// Arguments of `launch`.
#[derive(Debug, Args)]
pub struct Launch {
    /// The supervisor.
    #[command(flatten)]
    pub agent: Agent,
    /// Name of the new tmux session.
    #[arg(long, value_name = "NAME")]
    pub session: Option<String>,
    /// A worker with this profile; may be repeated.
    #[arg(long, value_name = "PROFILE")]
    pub with_worker: Vec<String>,
    /// Attach to the session.
    #[arg(long)]
    pub attach: bool,
    /// Arguments for the supervisor's program.
    #[arg(last = true)]
    pub args: Vec<String>,
}

/// Arguments of `worker`.
#[derive(Debug, Args)]
pub struct Worker {
    /// The tmux session.
    pub session: String,
    /// The agent.
    #[command(flatten)]
    pub agent: Agent,
    /// Its part: supervisor, or any other word for a worker.
    #[arg(long, default_value = "worker")]
    pub role: String,
    /// In a pane beside or below the active one instead of a window.
    #[arg(long, value_enum)]
    pub split: Option<Split>,
    /// Arguments for its program.
    #[arg(last = true)]
    pub args: Vec<String>,
}

/// Where a split pane goes.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Split {
    /// Side by side.
    H,
    /// One above the other.
    V,
}

/// Arguments of `wait`.
#[derive(Debug, Args)]
pub struct Wait {
    /// Ids, prefixes of ids, pane ids, or window names.
    #[arg(required = true)]
    pub terminals: Vec<String>,
    /// States, with commas between.
    #[arg(
        long = "for",
        value_name = "STATE[,STATE]",
        required = true,
        value_delimiter = ','
    )]
    pub states: Vec<String>,
    /// Until one of them is there.
    #[arg(long, conflicts_with = "all")]
    pub any: bool,
    /// Until all of them are there (the default).
    #[arg(long)]
    pub all: bool,
    /// Give up after S seconds.
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub timeout: Option<f64>,
}

/// Arguments of `shutdown`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("which").required(true).args(["session", "all"])))]
#[group(skip)]
pub struct Shutdown {
    /// The session.
    #[arg(long, value_name = "NAME")]
    pub session: Option<String>,
    /// Every terminal of this state directory.
    #[arg(long)]
    pub all: bool,
    /// Give the agents no time to say goodbye.
    #[arg(long)]
    pub force: bool,
}

/// Which output.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum OutputMode {
    /// The last answer, from the agent's own record.
    Last,
    /// The whole scrollback.
    Full,
    /// What is on screen.
    Screen,
}

/// Where a profile is written.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Scope {
    /// The state directory.
    User,
    /// The project's .conductor/.
    Project,
}

/// What to do with profiles.
#[derive(Debug, Subcommand)]
pub enum Profile {
    /// List the profiles that are found from here.
    List,
    /// Show a profile as it takes effect.
    Show {
        /// Its name.
        name: String,
    },
    /// Print the path of a profile's file.
    Path {
        /// Its name.
        name: String,
    },
    /// Write a new profile.
    Create {
        /// Its name.
        name: String,
        /// A copy of this one instead of a scaffold.
        #[arg(long, value_name = "NAME")]
        from: Option<String>,
        /// Where to.
        #[arg(long, value_enum, default_value_t = Scope::User)]
        scope: Scope,
    },
    /// Open a profile in $VISUAL or $EDITOR, and check it.
    Edit {
        /// Its name.
        name: String,
    },
    /// Check a profile, or a file.
    Validate {
        /// Its name, or a path with a slash.
        name: String,
    },
    /// Find profiles by words.
    Find {
        /// The words.
        #[arg(required = true)]
        words: Vec<String>,
    },
}

/// What to do with agent programs.
#[derive(Debug, Subcommand)]
pub enum Provider {
    /// List the agent programs, which are installed, and what works with them.
    List,
    /// Show what is known of one.
    Show {
        /// Its name.
        name: String,
    },
    /// Check one: program, version, hooks, gate, MCP server, settings.
    Check {
        /// Its name.
        name: String,
    },
    /// Write our hooks and our MCP server into the agent's user settings, after showing the change.
    Setup {
        /// Its name.
        name: String,
        /// Change nothing.
        #[arg(long)]
        dry_run: bool,
        /// Take out exactly what was written.
        #[arg(long, conflicts_with = "dry_run")]
        undo: bool,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
    },
}

fn key_value(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| "KEY=VALUE expected".to_owned())
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() && (0.0..=1e9).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds expected".to_owned()),
    }
}
