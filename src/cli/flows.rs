//! Commands about flows.

use clap::{Subcommand, ValueEnum};
use std::path::PathBuf;

/// What to do with flows.
#[derive(Debug, Subcommand)]
pub enum Flow {
    /// Accept the flow in a file; again after the file was changed.
    Add {
        /// The file.
        file: PathBuf,
    },
    /// List the flows, when they run next, and which would miss a run.
    List,
    /// Show one flow.
    Show {
        /// Its name.
        name: String,
    },
    /// Let a flow run at its times.
    Enable {
        /// Its name.
        name: String,
    },
    /// Keep a flow from running at its times.
    Disable {
        /// Its name.
        name: String,
    },
    /// Remove a flow; its file and its history stay.
    #[command(visible_alias = "rm")]
    Remove {
        /// Its name.
        name: String,
    },
    /// Run a flow now.
    Run {
        /// Its name.
        name: String,
        /// Ask its script, show the filled prompt, what would be started, and the next times; start nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Show what became of each time that was due, newest first.
    History {
        /// Only this flow's.
        name: Option<String>,
        /// At most N.
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u32,
    },
}

/// A timer outside tmux.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum TimerKind {
    /// A systemd user timer and its service.
    Systemd,
    /// A launchd agent.
    Launchd,
}

impl Default for TimerKind {
    fn default() -> Self {
        if cfg!(target_os = "macos") {
            Self::Launchd
        } else {
            Self::Systemd
        }
    }
}
