//! Commands about notes.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Arguments of `notes`.
#[derive(Debug, Args)]
pub struct Notes {
    /// Only those with this status.
    #[arg(long, value_name = "STATUS")]
    pub status: Option<String>,
    /// Only those that wait for you: not read, or a question without an answer; oldest first.
    #[arg(long, conflicts_with = "status")]
    pub waiting: bool,
    /// At most N, the newest.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: u32,
}

/// What to do with a note.
#[derive(Debug, Subcommand)]
pub enum NoteCommand {
    /// Show a note whole, and mark it as seen.
    Show {
        /// The note's id.
        id: String,
    },
    /// Answer a note (people only); its agent gets the answer.
    Answer {
        /// The note's id.
        id: String,
        /// The answer, or the number or letter of an option; `-` reads standard input.
        #[arg(
            short,
            long,
            value_name = "TEXT",
            required_unless_present = "file",
            allow_hyphen_values = true
        )]
        message: Option<String>,
        /// A file with the answer.
        #[arg(long, value_name = "PATH", conflicts_with = "message")]
        file: Option<PathBuf>,
    },
    /// Mark a note as seen (people only).
    Seen {
        /// The note's id.
        id: String,
    },
}
