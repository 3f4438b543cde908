//! The only room that talks to tmux: argv builder, ids, formats, the fence, panes, timers.
//!
//! Only ids and numbers stand inside a tmux command string, format or shell line. Other text crosses as stdin data, plain option
//! values or argv elements; where tmux expands formats in it, through [`literal`]. May import [`crate::domain`] and the ground.

mod aliases;
mod client;
mod command;
mod error;
pub mod fence;
pub mod hooks;
mod ids;
pub mod keys;
mod launch;
pub mod look;
mod notify;
mod panes;
mod popup;
pub mod prompt;
mod resurrect;
mod server;
pub mod status_line;
mod timer;
mod viewers;
mod watch;
pub mod wire;

pub use client::{Answer, Tmux};
pub use command::{CommandList, exact, literal, quoted};
pub use error::Error;
pub use ids::PaneId;
pub use launch::{Placement, Started};
pub use notify::Ways;
pub use panes::Pane;
pub use resurrect::Coordinates;
pub use server::{Version, locate};
pub use timer::{helper, timer_options};
pub use viewers::Viewer;
