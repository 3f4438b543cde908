//! To the next agent that calls for the person, back again, and what was seen.

use crate::commands::Door;
use crate::commands::plugin::existing;
use crate::domain::terminal::Terminal;
use crate::error::{Failure, Result};
use crate::services::attention::{self, Why};
use crate::services::deliver::place;
use crate::services::recover;
use crate::store::Store;
use crate::tmux::Viewer;

/// Takes the person to the next agent that calls; one that has only finished counts as seen from then on.
pub(super) fn next(door: &Door<'_>, viewer: &Viewer) -> Result<()> {
    let cx = &door.cx;
    let Some(mut store) = existing(door)? else {
        return Ok(cx.tmux.tell(&viewer.name, "no agent waits")?);
    };
    recover::all(cx, &mut store)?;
    let here = cx.tmux.pane_of(&viewer.name)?.map(|pane| pane.to_string());
    let calls = attention::calls(&mut store, cx.tmux.socket())?;
    let Some(call) = attention::next(&calls, here.as_deref()) else {
        let text = match calls.first() {
            None => "no agent waits",
            Some(_) => "no other agent waits",
        };
        return Ok(cx.tmux.tell(&viewer.name, text)?);
    };
    let terminal = &call.terminal;
    go(door, viewer, terminal)?;
    let looked_at = calls.iter().filter(|other| {
        let shown = other.terminal.pane == here || other.terminal.id == terminal.id;
        other.why == Why::Finished && shown
    });
    for call in looked_at {
        attention::see(&mut store, &call.terminal)?;
    }
    let text = format!("{} {}", terminal.display_name(), call.why.words());
    Ok(cx.tmux.tell(&viewer.name, &text)?)
}

/// Takes the person to an agent's pane.
pub(super) fn go(door: &Door<'_>, viewer: &Viewer, terminal: &Terminal) -> Result<()> {
    let (tmux, pane) = place(terminal)
        .filter(|(tmux, _)| *tmux == door.cx.tmux)
        .ok_or_else(|| {
            let id = &terminal.id;
            Failure::refused(format!("agent {id} has no pane on this tmux server")).hint(format!(
                "`conductor-hook attach {id}` in a terminal outside tmux"
            ))
        })?;
    Ok(tmux.go(&viewer.name, pane)?)
}

/// Takes the person back to where the last jump began.
pub(super) fn back(door: &Door<'_>, viewer: &Viewer) -> Result<()> {
    if door.cx.tmux.back(&viewer.name)? {
        return Ok(());
    }
    let text = "there is nowhere to go back to";
    Ok(door.cx.tmux.tell(&viewer.name, text)?)
}

/// Marks the agent in the pane that the person looks at as seen.
pub(super) fn seen(door: &Door<'_>, viewer: &Viewer) -> Result<()> {
    let tmux = &door.cx.tmux;
    let pane = tmux.pane_of(&viewer.name)?.map(|pane| pane.to_string());
    if let (Some(mut store), Some(pane)) = (existing(door)?, pane)
        && let Some(agent) = attention::agent_in(&mut store, tmux, &pane)?
    {
        return see(door, &mut store, viewer, &agent);
    }
    Ok(tmux.tell(&viewer.name, "no agent is in this pane")?)
}

/// Marks an agent as seen, and says so.
pub(super) fn see(
    door: &Door<'_>,
    store: &mut Store,
    viewer: &Viewer,
    agent: &Terminal,
) -> Result<()> {
    attention::see(store, agent)?;
    let text = format!("{} is marked as seen", agent.display_name());
    Ok(door.cx.tmux.tell(&viewer.name, &text)?)
}
