//! An agent that reached a usage limit rests: its queue holds, whoever started it is told once, and the tick wakes it when the time is over.

use super::after::Aftermath;
use super::context::Context;
use super::deliver::socket;
use super::send::TTL;
use crate::clock;
use crate::domain::ids::TerminalId;
use crate::domain::message::Sender;
use crate::domain::terminal::{Change, Source, Status, Terminal};
use crate::error::Result;
use crate::fsx;
use crate::store::{Budget, DueKind, Durability, Error, NewMessage, Store, Tx};
use jiff::Timestamp;

/// How long an agent rests that does not say until when, in milliseconds.
const UNKNOWN_MS: i64 = 15 * 60 * 1000;

/// The agent of `terminal` said that it reached a limit which holds until `until`.
pub fn park(
    tx: &Tx<'_>,
    terminal: &Terminal,
    until: Option<Timestamp>,
    at: Timestamp,
    aftermath: &mut Aftermath,
) -> std::result::Result<(), Error> {
    let wakes = until
        .filter(|until| *until > at)
        .unwrap_or_else(|| clock::after_ms(at, UNKNOWN_MS));
    // A limit that is reached anew is another one.
    tx.clear_due(DueKind::Park, terminal.id.as_str())?;
    tx.set_due(
        DueKind::Park,
        terminal.id.as_str(),
        socket(terminal).as_deref(),
        wakes,
    )?;
    // An agent that rests already has been told about.
    if terminal.state.status != Status::Parked {
        tell(tx, terminal, until, at, aftermath)?;
    }
    Ok(())
}

/// Tells the living agent that started this one.
fn tell(
    tx: &Tx<'_>,
    terminal: &Terminal,
    until: Option<Timestamp>,
    at: Timestamp,
    aftermath: &mut Aftermath,
) -> std::result::Result<(), Error> {
    let Some(caller) = &terminal.caller else {
        return Ok(());
    };
    let Some(caller) = tx.terminal(caller)?.filter(Terminal::alive) else {
        return Ok(());
    };
    let tag = fsx::random_bytes::<3>().map_err(|source| Error::Io {
        what: "read random bytes".to_owned(),
        source,
    })?;
    let until = until.map_or_else(
        || "for a time that it did not tell".to_owned(),
        |until| format!("until {until}"),
    );
    let notice = NewMessage {
        sender: Sender::Terminal(terminal.id.clone()),
        sender_name: terminal.display_name(),
        order: false,
        receiver: caller.id.clone(),
        body: format!(
            "This is a notice of Agent Conductor: {} reached a usage limit and rests {until}. Messages to it wait for that.",
            terminal.display_name()
        ),
        tag: fsx::hex(&tag),
        expires_at: Some(clock::after_ms(
            at,
            i64::try_from(TTL.as_millis()).unwrap_or(i64::MAX),
        )),
        key: Some(format!("parked:{}", at.as_millisecond())),
        trace: format!("parked-{}-{}", terminal.id, at.as_millisecond()),
        hops: 0,
        held: None,
    };
    tx.accept_message(&notice, at)?;
    super::deliver::due_at(tx, &caller, at)?;
    aftermath.count(&caller);
    aftermath.arm(tx, &caller, at)
}

/// The time of a parked terminal is over: it is at its prompt, and its queue goes on. What the agent itself said meanwhile counts for more.
pub fn wake(cx: &Context, store: &mut Store, id: &TerminalId) -> Result<()> {
    let mut aftermath = Aftermath::default();
    store.write(Durability::Process, Budget::Call, |tx| {
        let now = clock::now();
        let Some(terminal) = tx
            .terminal(id)?
            .filter(|t| t.state.status == Status::Parked)
        else {
            return Ok(());
        };
        let change = Change {
            status: Status::Idle,
            reason: "the time of its usage limit is over".to_owned(),
        };
        if tx.set_state(id, &change, Source::Command, now)? {
            aftermath.show(&terminal, change.status);
        }
        if tx.head_message(id)?.is_some() {
            super::deliver::due_at(tx, &terminal, now)?;
        }
        aftermath.arm(tx, &terminal, now)
    })?;
    aftermath.run(cx, store);
    Ok(())
}
