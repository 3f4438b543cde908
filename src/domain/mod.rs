//! What things are. Pure: no IO, no clock, no SQL, no tmux; time and randomness are arguments.

pub mod approval;
pub mod audit;
pub mod codes;
pub mod event;
pub mod flow;
pub mod handoff;
pub mod ids;
pub mod loss;
pub mod message;
pub mod note;
pub mod plain;
pub mod policy;
pub mod profile;
pub mod redact;
pub mod shell;
pub mod terminal;
pub mod text;
pub mod time;
pub mod worktree;
