//! Getting the dashboard onto a person's client: in a popup, or in a window where a popup would be too small.

use crate::commands::{Door, menus, popup};
use crate::error::{Failure, Result};
use crate::tmux::{CommandList, Viewer};

/// The smallest client that gets a popup: 80 by 24 and its frame. In a smaller one a window has more room.
const POPUP: (usize, usize) = (82, 26);

/// A key was pressed in `viewer`: opens it there; a popup keeps this process until it is closed.
pub(in crate::commands) fn open(door: &Door<'_>, viewer: &Viewer) -> Result<()> {
    let tmux = &door.cx.tmux;
    if viewer.columns >= POPUP.0 && viewer.rows >= POPUP.1 && !viewer.control {
        let line = popup::shell_line(door, tmux, &["dashboard", "--client", &viewer.name]);
        return menus::show_popup(door, viewer, "dashboard", line);
    }
    let session = tmux.of_client(&viewer.name, "#{session_id}")?;
    let line = popup::shell_line(door, tmux, &["dashboard"])
        .ok_or_else(|| Failure::failed("this program has no name that a shell can take"))?;
    let target = format!("{}:", session.unwrap_or_default());
    let list = CommandList::new().then(["new-window", "-n", "dashboard", "-t", &target, &line]);
    Ok(tmux.run(&list).map(drop)?)
}
