//! Agent programs: what is data in a manifest, code only for dialects.
//!
//! `manifest` is the data, `tools` the part of it that says what a tool call would do, `launch` makes the files and the command line of one agent, `dialect` reads hook JSON into
//! [`crate::domain::event`] and writes answers in the agent's words, `screen` is the second source. May import [`crate::domain`] and
//! the ground.

mod catalogue;
mod dialect;
mod gate;
mod launch;
mod manifest;
mod screen;
pub mod setup;
mod tools;

pub use catalogue::{Catalogue, program};
pub use dialect::{Answer, Dialect, Incoming, Verdict};
pub use gate::command as gate_command;
pub use launch::{LaunchFiles, LaunchSpec, prepare};
pub use manifest::{Channel, Enforce, Firmness, Manifest, Setup, When};
pub use screen::{Seen, cancellations, look};
pub use tools::Tools;

#[cfg(test)]
mod decision_tests;
#[cfg(test)]
mod recorded_tests;
