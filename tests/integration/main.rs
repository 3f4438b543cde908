//! The program from the outside: the binary, a real tmux, the built-in demo agent.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests start programs, write files, and fail loudly"
)]

mod delivery;
mod ends;
mod failpoints;
mod lifecycle;
mod mcp;
#[path = "../support/mod.rs"]
mod support;
