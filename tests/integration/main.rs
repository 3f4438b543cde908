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
mod guests;
mod handoffs;
mod hostile;
mod identity;
mod idle;
mod instructions;
mod lifecycle;
mod logs;
mod mcp;
mod mcp_hostile;
mod menus;
mod notes;
mod notify;
mod policy;
mod popup;
mod power_campaign;
mod profiles;
mod progress;
mod providers;
mod recovery;
mod resurrect;
#[path = "../mcp/schema.rs"]
mod schema;
mod screen;
mod secrets;
mod servers;
mod soak;
mod storm;
#[path = "../support/mod.rs"]
mod support;
mod svg;
mod tour;
mod waiting;
mod waits;
mod walk;
mod walks;
mod worktrees;
