//! Commands about messages.

use super::seconds;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Arguments of `send`.
#[derive(Debug, Args)]
pub struct Send {
    /// Id, prefix of an id, pane id, or window name; inside an agent also `human`, the person.
    pub terminal: String,
    /// The text; `-` reads standard input.
    #[arg(
        short,
        long,
        value_name = "TEXT",
        required_unless_present = "file",
        allow_hyphen_values = true
    )]
    pub message: Option<String>,
    /// A file with the text.
    #[arg(long, value_name = "PATH", conflicts_with = "message")]
    pub file: Option<PathBuf>,
    /// Send in the name of this terminal (for people only).
    #[arg(long, value_name = "ID")]
    pub from: Option<String>,
    /// Idempotency key: the same key and sender again returns the first message.
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    pub key: Option<String>,
    /// Hold it until a person approves it.
    #[arg(long)]
    pub require_approval: bool,
    /// Wait up to S seconds until the agent's own event proves it.
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub wait: Option<f64>,
    /// Give it up after S seconds in the queue; a day unless said.
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub ttl: Option<f64>,
}

/// Arguments of `broadcast`.
#[derive(Debug, Args)]
pub struct Broadcast {
    /// The tmux session.
    pub session: String,
    /// The text; `-` reads standard input.
    #[arg(
        short,
        long,
        value_name = "TEXT",
        required_unless_present = "file",
        allow_hyphen_values = true
    )]
    pub message: Option<String>,
    /// A file with the text.
    #[arg(long, value_name = "PATH", conflicts_with = "message")]
    pub file: Option<PathBuf>,
    /// Only to those with this part: supervisor, worker, or the role that their profile has, e.g. reviewer.
    #[arg(long)]
    pub role: Option<String>,
}

/// Arguments of `inbox`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Inbox {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<InboxCommand>,
    /// Only messages for this terminal.
    pub terminal: Option<String>,
    /// Only messages with this status.
    #[arg(long, value_name = "STATUS")]
    pub status: Option<String>,
    /// At most N messages, the newest.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: u32,
}

/// What to do with messages.
#[derive(Debug, Subcommand)]
pub enum InboxCommand {
    /// Show a message with every attempt.
    Show {
        /// The message's id.
        id: String,
    },
    /// Print the messages for the agent that calls, and mark them as read.
    Read,
    /// Put a dead, expired or cancelled message back into the queue.
    Retry {
        /// The message's id.
        id: String,
    },
    /// Withdraw a message that nobody has begun to deliver.
    Cancel {
        /// The message's id.
        id: String,
    },
}
