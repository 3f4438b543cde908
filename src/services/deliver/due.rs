//! When a queue is looked at again.

use super::{Step, carry_on, socket};
use crate::clock;
use crate::domain::ids::TerminalId;
use crate::domain::terminal::Terminal;
use crate::error::Result;
use crate::failpoint;
use crate::services::context::Context;
use crate::store::{Budget, DueKind, Durability, Store, TerminalLock, Tx};
use std::time::Duration;

/// When a terminal is looked at again whose lock was held when its time came, in milliseconds.
const BUSY_MS: i64 = 300;

/// The head of a terminal's queue is looked at again at `at`, or before, if that is due already.
pub fn due_at(
    tx: &Tx<'_>,
    terminal: &Terminal,
    at: jiff::Timestamp,
) -> std::result::Result<(), crate::store::Error> {
    let server = socket(terminal);
    tx.set_due(
        DueKind::Deliver,
        terminal.id.as_str(),
        server.as_deref(),
        at,
    )
}

/// As [`super::deliver`], of what was due and has been taken: whoever holds the lock may have said when to look again before that, and will
/// not look by itself.
pub fn deliver_due(cx: &Context, store: &mut Store, id: &TerminalId) -> Result<()> {
    if let Some(lock) = TerminalLock::acquire(&cx.home, id.as_str(), Duration::ZERO)? {
        failpoint::hit("deliver.locked");
        return carry_on(cx, store, id, lock, Step::Again);
    }
    Ok(store.write(Durability::Process, Budget::Call, |tx| {
        let again = clock::after_ms(clock::now(), BUSY_MS);
        tx.terminal(id)?
            .filter(Terminal::alive)
            .map_or(Ok(()), |terminal| due_at(tx, &terminal, again))
    })?)
}
