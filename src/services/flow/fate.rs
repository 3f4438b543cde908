//! What becomes of a run that is going on: read off the records of its terminal and its prompt.

use crate::clock;
use crate::domain::flow::{Awake, Moment, Outcome, Run, span};
use crate::domain::message::{Message, MessageStatus};
use crate::domain::terminal::{Source, Status, Terminal};
use jiff::Timestamp;

/// Quiet time after the end of a turn before it counts, in milliseconds: the agent may go on by itself.
pub(super) const QUIET_MS: i64 = 1_000;

/// After this time without an event a rest that was not told counts too, in milliseconds.
const UNTOLD_MS: i64 = 3_000;

/// After this time a prompt that lies in the pane of an agent without hooks counts as given, in milliseconds.
const PLACED_MS: i64 = 5_000;

/// How long starting a run may take, its script included, in milliseconds.
pub(super) const START_MS: i64 = 180_000;

/// What the clocks say now.
pub(super) fn moment() -> Moment {
    Moment {
        wall: clock::now(),
        awake: clock::awake().map(|(boot, ms)| Awake { boot, ms }),
    }
}

/// What becomes of a run.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fate {
    /// It goes on.
    GoesOn,
    /// It is over.
    Over(Outcome, Option<String>),
    /// Its time is up: it is over, and its terminal is to be closed.
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
    clocks: &Moment,
) -> Fate {
    let now = clocks.wall;
    let left = run.deadline.as_ref().map(|end| end.left_ms(clocks));
    let late = left.is_some_and(|ms| ms <= 0);
    let Some(message) = run.message else {
        return if starting && late {
            Fate::Late(format!(
                "it was not started within {}",
                span::show(START_MS)
            ))
        } else if starting {
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
    if !late {
        return Fate::GoesOn;
    }
    let limit = run.deadline.as_ref().zip(run.started_at);
    let limit = limit.map_or(0, |(end, started)| {
        end.wall.as_millisecond() - started.as_millisecond()
    });
    let limit = span::show(limit);
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
