//! `SQLite` under the writers' lock: rows to domain types and back, migrations, pragmas.
//!
//! One writer at a time: an fs2 lock on `conductor.lock`, then `BEGIN IMMEDIATE`. The lock is held for database work only: never
//! across a tmux call, a child process, a wait, or a prompt. May import [`crate::domain`] and the ground.

mod approvals;
#[cfg(test)]
mod approvals_race_tests;
mod audit;
mod audit_file;
mod db;
mod due;
mod error;
mod flows;
mod handoffs;
mod lock;
mod lost;
mod messages;
#[cfg(test)]
mod messages_model_tests;
mod meta;
mod migrations;
mod notes;
mod presence;
mod proofs;
mod retention;
mod room;
mod runs;
mod spool;
mod statement;
mod terminals;
mod traffic;
mod trust;
mod worktrees;

pub use approvals::{By, NewApproval};
pub use audit::AuditFilter;
pub use db::{Budget, Durability, Store, Syncing, Tx};
pub use due::{Arm, Due, DueKind};
pub use error::Error;
pub use lock::{TerminalLock, WorktreeLock};
pub use lost::LOST;
pub use messages::{Attempt, NewMessage};
pub use notes::NewNote;
pub use presence::Presence;
pub use proofs::ProofRate;
pub use retention::{OldTerminal, Room, Stale};
pub use spool::SpooledEvent;
pub use terminals::{Living, Registration};
