//! Tests of what becomes of a run.

use super::*;
use crate::domain::ids::{MessageId, TerminalId};
use crate::domain::message::Sender;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(1_000_000 + ms).unwrap()
}

fn run() -> Run {
    Run {
        id: 1,
        flow: "f".to_owned(),
        due_at: at(0),
        started_at: Some(at(0)),
        ended_at: None,
        outcome: Outcome::Running,
        reason: None,
        terminal: Some(TerminalId::from_bytes([1; 4])),
        message: Some(MessageId(7)),
        deadline: Some(moment_at(60_000, 60_000)),
        turn_ended_at: None,
        turn_failed: None,
        lease: None,
        closing: false,
        script: None,
    }
}

/// The wall clock says `wall`, and the machine has been awake for `awake` milliseconds.
fn moment_at(wall: i64, awake: i64) -> Moment {
    Moment {
        wall: at(wall),
        awake: Some(Awake {
            boot: "b".to_owned(),
            ms: awake,
        }),
    }
}

fn terminal(status: Status, since: i64) -> Terminal {
    let mut terminal = Terminal::sample(TerminalId::from_bytes([1; 4]));
    terminal.state.status = status;
    terminal.state.source = Source::Event;
    terminal.state.reason = "why".to_owned();
    terminal.state.since = at(since);
    terminal.hooked = true;
    terminal
}

fn prompt(status: MessageStatus) -> Message {
    Message {
        id: MessageId(7),
        sender: Sender::Flow("f".to_owned()),
        sender_name: "flow:f".to_owned(),
        order: true,
        receiver: TerminalId::from_bytes([1; 4]),
        body: "x".to_owned(),
        status,
        transport: None,
        attempts: 1,
        seq: 1,
        tag: String::new(),
        queued_at: at(100),
        placed_at: Some(at(200)),
        submitted_at: (status == MessageStatus::Submitted).then(|| at(300)),
        expires_at: None,
        last_error: Some("no room".to_owned()),
        key: None,
        trace: String::new(),
        hops: 0,
        again: false,
        read_offset: 0,
    }
}

fn fate(run: &Run, terminal: &Terminal, prompt: &Message, now: i64) -> Fate {
    let now = moment_at(now, now);
    of(run, Some(terminal), Some(prompt), false, &now)
}

#[test]
fn a_turn_that_ended_quietly_ends_the_run() {
    let mut run = run();
    let submitted = prompt(MessageStatus::Submitted);
    assert_eq!(
        fate(&run, &terminal(Status::Working, 300), &submitted, 5_000),
        Fate::GoesOn
    );
    run.turn_ended_at = Some(at(4_500));
    let idle = terminal(Status::Idle, 4_500);
    assert_eq!(
        fate(&run, &idle, &submitted, 5_000),
        Fate::GoesOn,
        "it may go on"
    );
    assert_eq!(
        fate(&run, &idle, &submitted, 5_500),
        Fate::Over(Outcome::Ran, None)
    );
    let again = terminal(Status::Working, 4_600);
    assert_eq!(
        fate(&run, &again, &submitted, 9_000),
        Fate::GoesOn,
        "it went on"
    );
    assert_eq!(
        fate(&run, &terminal(Status::Exited, 4_600), &submitted, 4_700),
        Fate::Over(Outcome::Ran, None)
    );
    run.turn_failed = Some("no credit".to_owned());
    let failed = Fate::Over(
        Outcome::Failed,
        Some("its turn failed: no credit".to_owned()),
    );
    assert_eq!(fate(&run, &idle, &submitted, 5_500), failed);
}

#[test]
fn a_turn_whose_end_was_not_told_counts_after_a_while() {
    let submitted = prompt(MessageStatus::Submitted);
    let idle = terminal(Status::Idle, 1_000);
    assert_eq!(fate(&run(), &idle, &submitted, 2_000), Fate::GoesOn);
    assert_eq!(
        fate(&run(), &idle, &submitted, 4_000),
        Fate::Over(Outcome::Ran, None)
    );
    let before = terminal(Status::Idle, 250);
    assert_eq!(
        fate(&run(), &before, &submitted, 9_000),
        Fate::GoesOn,
        "idle since before the prompt"
    );
    let error = Fate::Over(Outcome::Failed, Some("its turn failed: why".to_owned()));
    assert_eq!(
        fate(&run(), &terminal(Status::Error, 1_000), &submitted, 4_000),
        error
    );
}

#[test]
fn what_cannot_come_to_an_end_fails() {
    let queued = prompt(MessageStatus::Queued);
    let idle = terminal(Status::Idle, 0);
    let reason = |fate| match fate {
        Fate::Over(Outcome::Failed, Some(reason)) | Fate::Late(reason) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(fate(&run(), &idle, &queued, 59_000), Fate::GoesOn);
    let late = fate(&run(), &idle, &queued, 60_000);
    assert!(reason(late).starts_with("it took longer than 1m"));
    let parked = fate(&run(), &terminal(Status::Parked, 0), &queued, 60_000);
    assert!(matches!(parked, Fate::Over(..)), "it stays");
    assert!(reason(parked).ends_with("reached a usage limit"));
    let ended = fate(&run(), &terminal(Status::Exited, 400), &queued, 500);
    assert!(reason(ended).contains("its terminal has ended: why"));
    let dead = fate(&run(), &idle, &prompt(MessageStatus::Dead), 500);
    assert!(reason(dead).contains("not delivered: no room"));
    assert!(reason(of(&run(), None, Some(&queued), false, &moment_at(500, 500))).contains("gone"));
    assert!(reason(of(&run(), Some(&idle), None, false, &moment_at(500, 500))).contains("gone"));
}

#[test]
fn a_start_that_dies_or_hangs_fails_the_run() {
    let mut starting = run();
    starting.message = None;
    let fate = |alive: bool, ms: i64| of(&starting, None, None, alive, &moment_at(ms, ms));
    assert_eq!(fate(true, 59_000), Fate::GoesOn);
    assert!(matches!(fate(true, 60_000), Fate::Late(why) if why.contains("not started within")));
    assert!(
        matches!(fate(false, 500), Fate::Over(Outcome::Failed, Some(why)) if why.contains("was killed"))
    );
}

#[test]
fn a_sleep_of_the_machine_and_a_clock_that_is_set_take_no_time_from_a_run() {
    let queued = prompt(MessageStatus::Queued);
    let idle = terminal(Status::Idle, 0);
    let fate = |now: &Moment| of(&run(), Some(&idle), Some(&queued), false, now);
    let goes_on = |wall: i64, awake: i64| fate(&moment_at(wall, awake)) == Fate::GoesOn;
    assert!(goes_on(7_200_000, 59_000), "it slept, or the clock was set");
    assert!(!goes_on(7_200_000, 60_000));
    assert!(!goes_on(-500_000, 60_000), "the clock was set back");
    let other = |wall: i64| {
        let mut now = moment_at(wall, 5);
        now.awake.as_mut().unwrap().boot = "c".to_owned();
        fate(&now) == Fate::GoesOn
    };
    assert!(
        other(59_000) && !other(60_000),
        "after a boot the wall clock decides"
    );
}

#[test]
fn an_agent_without_hooks_has_run_when_its_prompt_was_given() {
    let mut silent = terminal(Status::Idle, 0);
    silent.hooked = false;
    let placed = prompt(MessageStatus::Placed);
    assert_eq!(fate(&run(), &silent, &placed, 1_000), Fate::GoesOn);
    assert!(matches!(
        fate(&run(), &silent, &placed, 6_000),
        Fate::Over(Outcome::Ran, Some(_))
    ));
}
