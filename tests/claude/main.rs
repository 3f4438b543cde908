//! The program with the real Claude Code: in a private home, on a tmux server of its own, in a network namespace where only a scripted
//! model listens. No account, no network, no settings of this machine.
//!
//! `CONDUCTOR_TEST_CLAUDE` names the program; without it the one in the cache of `scripts/test.sh` is taken. Where there is none
//! the tests fail, unless `CONDUCTOR_TEST_OFFLINE=1` says that this is known.

#![cfg(target_os = "linux")]
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests start programs, write files, and fail loudly"
)]

mod approvals;
mod corners;
mod dialogs;
mod handing_over;
mod messages;
mod turns;
#[path = "../agents/world.rs"]
#[expect(dead_code, reason = "the conformance kit uses more of it")]
mod world;
