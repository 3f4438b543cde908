//! Agent Conductor: several AI coding agents side by side in tmux, without a daemon.
//!
//! Every entry (a tmux hook, an agent's hook, a key, a command, an MCP call, a timer) is a process that
//! reads what it needs, changes the database in one short transaction, perhaps speaks to tmux, and ends.
//!
//! The rooms, from the top down; arrows point down only and `tests/layers.rs` holds them:
//!
//! | room | what lives there |
//! |---|---|
//! | [`commands`], [`mcp`], [`demo`] | front doors: for people and tmux, for agents, and the demo agent |
//! | [`services`] | what the product does, one verb a file |
//! | [`store`], [`tmux`], [`providers`], [`profiles`], [`git`] | adapters: `SQLite`, tmux, agent programs, files people write, git |
//! | [`ui`] | everything printed; imports [`domain`] and [`error`] alone |
//! | [`domain`] | what things are: pure, no IO, no clock, no SQL, no tmux |
//! | the ground: [`clock`], [`error`], [`failpoint`], [`fsx`], [`log`], [`paths`], [`proc`], [`progress`], [`term`] | one owner each for time, errors, crashes on cue, disk, logging, environment, processes, progress, the terminal |

pub mod cli;
pub mod clock;
pub mod commands;
pub mod demo;
pub mod domain;
pub mod error;
pub mod failpoint;
pub mod fsx;
pub mod git;
pub mod log;
pub mod mcp;
pub mod paths;
pub mod proc;
pub mod profiles;
pub mod progress;
pub mod providers;
pub mod services;
pub mod store;
pub mod term;
pub mod tmux;
pub mod ui;
