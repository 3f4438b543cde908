//! Getting the dashboard onto a person's client: in a popup, or in a window where a popup would be too small.

use crate::commands::{Door, popup};
use crate::error::{Failure, Result};
use crate::proc;
use crate::tmux::CommandList;

/// The smallest client that gets a popup: 80 by 24 and its frame. In a smaller one a window has more room.
const POPUP: (u32, u32) = (82, 26);

/// A key was pressed in `client`: opens it there; a popup keeps this process until it is closed.
pub(in crate::commands) fn open(door: &Door<'_>, client: &str) -> Result<()> {
    let tmux = &door.cx.tmux;
    let of_client = "#{client_width} #{client_height} #{client_control_mode} #{session_id}";
    let found = tmux
        .of_client(client, of_client)?
        .ok_or_else(|| Failure::not_found("the client that the key was pressed in is gone"))?;
    let mut words = found.split(' ');
    let mut number = || words.next()?.parse::<u32>().ok();
    let (width, height, control) = (number(), number(), number());
    let session = words.next().unwrap_or_default();
    let large = width >= Some(POPUP.0) && height >= Some(POPUP.1) && control != Some(1);
    let line = |words: &[&str]| {
        popup::shell_line(door, tmux, words)
            .ok_or_else(|| Failure::failed("this program has no name that a shell can take"))
    };
    if large {
        let line = line(&["dashboard", "--client", client])?;
        return Err(proc::exec(tmux.popup_command(client, &line)?));
    }
    let line = line(&["dashboard"])?;
    let target = format!("{session}:");
    let list = CommandList::new().then(["new-window", "-n", "dashboard", "-t", &target, &line]);
    Ok(tmux.run(&list).map(drop)?)
}
