//! What becomes of a run that is going on: read off the records of its terminal and its prompt.

use crate::clock;
use crate::domain::flow::{Outcome, Run, span};
use crate::domain::message::{Message, MessageStatus};
use crate::domain::terminal::{Source, Status, Terminal};
use jiff::Timestamp;

/// Quiet time after the end of a turn before it counts, in milliseconds: the agent may go on by itself.
pub(super) const QUIET_MS: i64 = 1_000;

/// After this time without an event a rest that was not told counts too, in milliseconds.
const UNTOLD_MS: i64 = 3_000;

/// After this time a prompt that lies in the pane of an agent without hooks counts as given, in milliseconds.
const PLACED_MS: i64 = 5_000;

/// What becomes of a run.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fate {
    /// It goes on.
    GoesOn,
    /// It is over.
    Over(Outcome, Option<String>),
    /// Its time is up: it is over, and its terminal is closed.
    Late(String),
}

fn failed(why: String) -> Fate {
    Fate::Over(Outcome::Failed, Some(why))
}

/// The fate of a run that was begun. `starting`: the process that starts it lives.
pub(super) fn of(
    run: &Run,
    terminal: Option<&Terminal>,
    prompt: Option<&Message>,
    starting: bool,
    now: Timestamp,
) -> Fate {
    let Some(message) = run.message else {
        return if starting {
            Fate::GoesOn
        } else {
            let why = "the helper that started it was killed; it may have begun, so it is not tried again";
            failed(why.to_owned())
        };
    };
    let Some(terminal) = terminal else {
        return failed("its terminal is gone".to_owned());
    };
    let quiet = |since: Timestamp, ms: i64| clock::elapsed_ms(since, now) >= ms;
    if let Some(at) = run.turn_ended_at
        && (!terminal.alive() || quiet(at, QUIET_MS) && terminal.state.status != Status::Working)
    {
        return match &run.turn_failed {
            Some(error) => failed(format!("its turn failed: {error}")),
            None => Fate::Over(Outcome::Ran, None),
        };
    }
    if !terminal.alive() {
        return failed(format!("its terminal has ended: {}", terminal.state.reason));
    }
    let Some(prompt) = prompt else {
        return failed(format!("its prompt {message} is gone"));
    };
    if matches!(
        prompt.status,
        MessageStatus::Dead | MessageStatus::Expired | MessageStatus::Cancelled
    ) {
        let why = prompt.last_error.as_deref().unwrap_or("no reason is known");
        return failed(format!("its prompt was not delivered: {why}"));
    }
    if !terminal.hooked
        && matches!(
            prompt.status,
            MessageStatus::Placed | MessageStatus::Submitted
        )
        && prompt.placed_at.is_none_or(|at| quiet(at, PLACED_MS))
    {
        let why = "its prompt was given; this agent does not tell when its turn is over";
        return Fate::Over(Outcome::Ran, Some(why.to_owned()));
    }
    // The event that told the end of the turn found the state locked, and only the status was kept.
    let state = &terminal.state;
    if prompt.submitted_at.is_some_and(|at| at < state.since)
        && state.source == Source::Event
        && quiet(state.since, UNTOLD_MS)
    {
        match state.status {
            Status::Idle => return Fate::Over(Outcome::Ran, None),
            Status::Error => return failed(format!("its turn failed: {}", state.reason)),
            _ => {}
        }
    }
    let (Some(deadline), Some(started)) = (run.deadline_at, run.started_at) else {
        return Fate::GoesOn;
    };
    if now < deadline {
        return Fate::GoesOn;
    }
    let limit = span::show(deadline.as_millisecond() - started.as_millisecond());
    if state.status == Status::Parked {
        // What it has begun waits in its terminal for a person.
        return failed(format!(
            "it took longer than {limit}: its agent reached a usage limit"
        ));
    }
    Fate::Late(format!(
        "it took longer than {limit}; its terminal was closed"
    ))
}

#[cfg(test)]
#[path = "fate_tests.rs"]
mod tests;
