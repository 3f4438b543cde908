//! Looking after agents that say nothing themselves: their screens tell when they are at their prompts.

use super::{Step, confirm_idle, place, socket, speaks, tells_start};
use crate::clock;
use crate::domain::terminal::{Status, Terminal};
use crate::error::Result;
use crate::providers::Catalogue;
use crate::services::after::Aftermath;
use crate::services::context::Context;
use crate::store::{Budget, DueKind, Durability, Store};

/// How long an agent that says nothing is looked at, in milliseconds.
const WATCH_MS: i64 = 600_000;

/// An agent whose events do not say that it is up, or that its turn is over: its screen is looked at until it does, ever more rarely.
pub(super) fn watch(cx: &Context, store: &mut Store, terminal: &Terminal) -> Result<Step> {
    let age = clock::elapsed_ms(terminal.state.since, clock::now());
    let silent = match terminal.state.status {
        Status::Starting | Status::Waiting => terminal.last_event_at.is_none(),
        Status::Working | Status::Unknown => !speaks(terminal),
        _ => false,
    };
    if !silent || age > WATCH_MS {
        return Ok(Step::Empty);
    }
    let manifest = Catalogue::of(&cx.home).get(&terminal.provider)?;
    let Some((tmux, pane)) = place(terminal) else {
        return Ok(Step::Empty);
    };
    if tells_start(terminal, &manifest)
        || confirm_idle(cx, store, terminal, &manifest, &tmux, pane)?
    {
        return Ok(Step::Empty);
    }
    let mut aftermath = Aftermath::default();
    store.write(Durability::Process, Budget::Call, |tx| {
        let now = clock::now();
        let at = clock::after_ms(now, (age / 4).clamp(300, 15_000));
        let socket = socket(terminal);
        tx.set_due(
            DueKind::Deliver,
            terminal.id.as_str(),
            socket.as_deref(),
            at,
        )?;
        aftermath.arm(tx, terminal, now)
    })?;
    aftermath.run(cx, store);
    Ok(Step::Waits)
}
