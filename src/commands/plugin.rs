//! What tmux calls: the plugin, hooks, the timer, keys.

use super::Door;
use crate::cli;
use crate::error::{Failure, Result};
use crate::services::{recover, tick as timer};
use crate::store::Store;

pub(super) fn plugin(door: &mut Door<'_>, command: &cli::Plugin) -> Result<()> {
    let _ = command;
    let _ = &door;
    Err(Failure::failed("unfinished"))
}

/// A hook fired: it only says "look". Nothing is known from its arguments that `list-panes` does not say better.
pub(super) fn event(door: &Door<'_>, name: &str, _arguments: &[String]) -> Result<()> {
    let mut store = match Store::open(&door.cx.home) {
        Ok(store) => store,
        Err(crate::store::Error::Missing(_)) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    match name {
        "pane-mode-changed" | "client-attached" | "client-session-changed" => {
            recover::retry_waiting(&door.cx, &mut store)?;
        }
        _ => {
            recover::all(&door.cx, &mut store)?;
        }
    }
    recover::rearm(&door.cx, &mut store)
}

pub(super) fn tick(door: &Door<'_>) -> Result<()> {
    match Store::open(&door.cx.home) {
        Ok(mut store) => timer::tick(&door.cx, &mut store),
        Err(crate::store::Error::Missing(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn menu(_door: &mut Door<'_>, name: &str, _arguments: &[String]) -> Result<()> {
    Err(Failure::usage(format!("there is no menu {name}")))
}
