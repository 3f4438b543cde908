//! Commands about what the end of a tmux server has left.

use clap::Args;

/// Arguments of `recover`.
#[derive(Debug, Args)]
pub struct Recover {
    /// Change nothing and start nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Start the agents again whose tmux server has ended.
    #[arg(long)]
    pub resume: bool,
    /// Only these: ids, or prefixes of ids, of ended agents.
    #[arg(value_name = "TERMINAL", requires = "resume")]
    pub terminals: Vec<String>,
    /// Only those of this session.
    #[arg(
        long,
        value_name = "NAME",
        requires = "resume",
        conflicts_with = "terminals"
    )]
    pub session: Option<String>,
    /// All of them (the default).
    #[arg(long, requires = "resume", conflicts_with_all = ["terminals", "session"])]
    pub all: bool,
}

/// Arguments of `resume`.
#[derive(Debug, Args)]
pub struct Resume {
    /// Id, or prefix of an id.
    pub terminal: String,
    /// In this pane, in place of this process (of its shell, with `exec` in front).
    #[arg(long)]
    pub here: bool,
}
