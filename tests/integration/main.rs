//! The program from the outside: the binary, a real tmux, the built-in demo agent.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests start programs, write files, and fail loudly"
)]

mod approvals;
mod audit;
mod bad_input;
mod channels;
mod clean;
mod dashboard;
mod deaths;
mod delivery;
mod ends;
mod errors;
mod failpoints;
mod fault_campaign;
mod faults;
mod flow_faults;
mod flows;
mod handoffs;
mod identity;
mod idle;
mod lifecycle;
mod mcp;
mod notes;
mod notify;
mod policy;
mod popup;
mod profiles;
mod providers;
mod recovery;
mod resurrect;
mod secrets;
mod storm;
#[path = "../support/mod.rs"]
mod support;
mod waiting;
mod worktrees;
