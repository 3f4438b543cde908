//! Arguments of what keeps an installation in order: the plugin, clean-up, what is generated.

use super::TimerKind;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// `clean`.
#[derive(Debug, Clone, Args)]
pub struct Clean {
    /// Only say what would be removed, and what stays and why.
    #[arg(long)]
    pub dry_run: bool,
    /// Remove what is older than this many days, instead of what `[retention]` in config.toml says.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=36_500))]
    pub days: Option<u32>,
}

/// `doctor`.
#[derive(Debug, Clone, Args)]
pub struct Doctor {
    /// Do what can be done without asking, then look again.
    #[arg(long)]
    pub fix: bool,
}

/// What to generate.
#[derive(Debug, Subcommand)]
pub enum Generate {
    /// Completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Pages of the manual: one for each command, and one for each kind of file that people write.
    Man {
        /// Which page to print, e.g. conductor-hook-send or conductor-flow.
        #[arg(default_value = "conductor-hook", conflicts_with = "dir")]
        page: String,
        /// Write all of them into this directory, below man1 and man5.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// The command reference and the configuration reference in Markdown.
    Docs {
        /// Which page.
        #[arg(value_enum, default_value_t = Page::Cli)]
        page: Page,
    },
    /// JSON Schemas of what `--json` prints.
    Schema,
    /// A timer outside tmux that does what is due each minute, so that flows run without tmux.
    Units {
        /// For which system.
        #[arg(value_enum, default_value_t)]
        kind: TimerKind,
        /// Write the files into this directory instead of printing them.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

/// A generated page.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Page {
    /// docs/cli.md
    Cli,
    /// docs/configuration.md
    Configuration,
}

/// What to do with the tmux plugin.
#[derive(Debug, Subcommand)]
pub enum Plugin {
    /// Bind keys, register hooks, show the status segment; twice is once.
    Load {
        /// The plugin's directory.
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// Remove exactly what was put there.
    Unload {
        /// Out of every server that it is loaded into for this state directory, not only this one.
        #[arg(long)]
        all: bool,
    },
    /// Say what is there and what is in the way.
    Status,
    /// Mark the agents' panes in what tmux-resurrect has saved (called by its hook).
    #[command(hide = true)]
    Saved {
        /// The saved file.
        file: PathBuf,
    },
    /// Resume agents in the panes that tmux-resurrect has restored (called by its hook).
    #[command(hide = true)]
    Restored {
        /// The file that was restored.
        file: Option<PathBuf>,
    },
}
