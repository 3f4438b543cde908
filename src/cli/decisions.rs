//! Commands about what may run: approvals, the policy, the audit log.

use clap::{Subcommand, ValueEnum};
use std::path::PathBuf;

/// What to do with a request.
#[derive(Debug, Subcommand)]
pub enum ApprovalCommand {
    /// Show all of it.
    Show {
        /// The request's id.
        id: String,
    },
}

/// How far a yes reaches.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ApprovalScope {
    /// This one call.
    Once,
    /// The very same call again in this terminal, until it ends.
    Session,
    /// Write a rule into the user's policy.
    Always,
}

/// What to do with the audit log.
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// List entries, the newest last.
    List {
        /// Only actions that begin so, e.g. `approval.`
        #[arg(long, value_name = "PREFIX")]
        action: Option<String>,
        /// Only entries about this (an id, a path).
        #[arg(long)]
        subject: Option<String>,
        /// At most N entries, the newest.
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u32,
    },
    /// Check the chain in the database and the file against it; exit 1 and the first broken entry when something was changed.
    Verify,
    /// Print every entry.
    Export {
        /// How (default: JSON, one array).
        #[arg(long, value_enum)]
        format: Option<AuditFormat>,
    },
}

/// Form of an export.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum AuditFormat {
    /// Comma-separated values by RFC 4180, safe to open in a spreadsheet.
    Csv,
    /// A JSON array; each entry is its line in the log file.
    Json,
}

/// What to do with the policy.
#[derive(Debug, Subcommand)]
pub enum Policy {
    /// Say which rule decides about a command and why; exit 0 allow, 4 deny, 10 ask, 11 defer.
    Check {
        /// The agent's working directory (default: this one).
        #[arg(long, value_name = "DIR")]
        cwd: Option<PathBuf>,
        /// The agent's tool; the words behind `--` are what it works on.
        #[arg(long, value_name = "TOOL", default_value = "Bash")]
        tool: String,
        /// The agent program that the tool belongs to.
        #[arg(short, long, value_name = "PROVIDER", default_value = "claude_code")]
        provider: String,
        /// The agent's profile.
        #[arg(long, value_name = "NAME", default_value = "")]
        profile: String,
        /// One word is a command line; several are the words of one command.
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Show the rules that hold here, and where they come from.
    Show,
}
