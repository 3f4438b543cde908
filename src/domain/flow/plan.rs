//! What is to be done about the times of a flow that have come: which run, which are missed, and which is next.

use super::CatchUp;
use super::cron::Schedule;
use super::next::{between, next};
use crate::domain::audit::digest;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// A time that is handled this much later than it should is still on time, in milliseconds: five minutes, as Vixie cron has it.
pub const ON_TIME_MS: i64 = 300_000;

/// Most times that are named one by one when many were missed.
pub const MOST_MISSED: usize = 1_000;

/// Most times that `catch_up: all` runs; older ones are missed.
pub const MOST_CAUGHT_UP: usize = 100;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    /// These run, oldest first; all but the last are late.
    pub run: Vec<Timestamp>,
    /// Whether the last of them is on time.
    pub on_time: bool,
    /// These are missed, oldest first.
    pub missed: Vec<Timestamp>,
    /// The oldest of `missed` stands for others up to the one after it.
    pub summed: bool,
    /// The next time.
    pub next: Option<Timestamp>,
}

/// When the run of `slot` starts: up to `jitter_ms` later, always the same for the same flow and time.
pub fn fire_at(flow: &str, slot: Timestamp, jitter_ms: i64) -> Timestamp {
    if jitter_ms <= 0 {
        return slot;
    }
    let hash = digest(format!("{flow}\n{}", slot.as_millisecond()).as_bytes());
    let number = u64::from_str_radix(&hash[..15], 16).unwrap_or(0);
    let ms = number % (jitter_ms.unsigned_abs() + 1);
    slot.checked_add(SignedDuration::from_millis(i64::try_from(ms).unwrap_or(0)))
        .unwrap_or(slot)
}

/// The shortest time between two of the next `count` times, in milliseconds.
pub fn shortest(schedule: &Schedule, zone: &TimeZone, from: Timestamp, count: usize) -> i64 {
    let mut shortest = i64::MAX;
    let mut last = None;
    let mut at = from;
    for _ in 0..count {
        let Some(slot) = next(schedule, zone, at) else {
            break;
        };
        if let Some(last) = last {
            shortest = shortest.min(slot.as_millisecond() - Timestamp::as_millisecond(last));
        }
        last = Some(slot);
        at = slot;
    }
    shortest
}

/// What a flow is to do at `now`, whose next time is `slot`. `None`: its time has not come.
pub fn judge(
    schedule: &Schedule,
    zone: &TimeZone,
    (flow, jitter_ms, catch_up): (&str, i64, CatchUp),
    slot: Timestamp,
    now: Timestamp,
) -> Option<Verdict> {
    let fired = |slot: Timestamp| fire_at(flow, slot, jitter_ms);
    if fired(slot) > now {
        return None;
    }
    let (mut due, summed) = since(schedule, zone, slot, now);
    // Jitter keeps the newest back.
    while due.len() > 1 && due.last().is_some_and(|last| fired(*last) > now) {
        due.pop();
    }
    let newest = due.last().copied().unwrap_or(slot);
    let late = now.as_millisecond() - fired(newest).as_millisecond();
    let mut verdict = Verdict {
        on_time: late <= ON_TIME_MS,
        next: next(schedule, zone, newest),
        summed,
        ..Verdict::default()
    };
    let runs = match catch_up {
        CatchUp::None => usize::from(verdict.on_time),
        CatchUp::One => 1,
        CatchUp::All => MOST_CAUGHT_UP,
    };
    let split = due.len().saturating_sub(runs);
    verdict.run = due.split_off(split);
    verdict.missed = due;
    verdict.summed &= !verdict.missed.is_empty();
    Some(verdict)
}

/// The times from `slot` to `now`: all, or `slot` and the newest, and whether some between them were left out.
fn since(
    schedule: &Schedule,
    zone: &TimeZone,
    slot: Timestamp,
    now: Timestamp,
) -> (Vec<Timestamp>, bool) {
    // A flow that slept for years is not counted through.
    let mut back = SignedDuration::from_hours(18);
    loop {
        let from = now.checked_sub(back).unwrap_or(Timestamp::MIN);
        if from <= slot {
            let mut due = vec![slot];
            due.extend(between(schedule, zone, slot, now));
            let summed = due.len() > MOST_MISSED;
            if summed {
                due.drain(1..=due.len() - MOST_MISSED);
            }
            return (due, summed);
        }
        let newest = between(schedule, zone, from, now);
        if newest.len() >= MOST_MISSED {
            let mut due = vec![slot];
            due.extend(&newest[newest.len() + 1 - MOST_MISSED..]);
            return (due, true);
        }
        back = back.saturating_mul(4);
    }
}

/// Whether the clock was set back since `slot` was found to be the next time: there is an earlier one now.
pub fn set_back(schedule: &Schedule, zone: &TimeZone, slot: Timestamp, now: Timestamp) -> bool {
    next(schedule, zone, now).is_some_and(|earlier| earlier < slot)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn judged(line: &str, catch_up: CatchUp, slot: &str, now: &str) -> Option<Verdict> {
        let schedule = Schedule::parse(line).unwrap();
        judge(
            &schedule,
            &TimeZone::UTC,
            ("f", 0, catch_up),
            at(slot),
            at(now),
        )
    }

    #[test]
    fn a_time_that_has_come_runs_and_the_next_is_known() {
        assert_eq!(
            judged(
                "0 * * * *",
                CatchUp::One,
                "2026-01-01T10:00:00Z",
                "2026-01-01T09:59:59Z"
            ),
            None
        );
        let now = judged(
            "0 * * * *",
            CatchUp::None,
            "2026-01-01T10:00:00Z",
            "2026-01-01T10:00:30Z",
        )
        .unwrap();
        assert_eq!(now.run, [at("2026-01-01T10:00:00Z")]);
        assert!(now.on_time && now.missed.is_empty());
        assert_eq!(now.next, Some(at("2026-01-01T11:00:00Z")));
    }

    #[test]
    fn missed_times_are_caught_up_as_the_flow_says() {
        let of = |catch_up| {
            judged(
                "0 * * * *",
                catch_up,
                "2026-01-01T10:00:00Z",
                "2026-01-01T13:30:00Z",
            )
            .unwrap()
        };
        let (none, one, all) = (of(CatchUp::None), of(CatchUp::One), of(CatchUp::All));
        assert_eq!((none.run.len(), none.missed.len()), (0, 4));
        assert_eq!(
            (one.run.as_slice(), one.missed.len()),
            (&[at("2026-01-01T13:00:00Z")][..], 3)
        );
        assert_eq!((all.run.len(), all.missed.len()), (4, 0));
        for verdict in [none, one, all] {
            assert!(!verdict.on_time);
            assert_eq!(verdict.next, Some(at("2026-01-01T14:00:00Z")));
        }
    }

    #[test]
    fn years_of_sleep_are_summed_up() {
        let long = judged(
            "* * * * *",
            CatchUp::One,
            "2024-01-01T00:00:00Z",
            "2026-01-01T00:00:00Z",
        )
        .unwrap();
        assert!(long.summed);
        assert_eq!((long.run.len(), long.missed.len()), (1, MOST_MISSED - 1));
        assert_eq!(long.missed[0], at("2024-01-01T00:00:00Z"));
        let all = judged(
            "* * * * *",
            CatchUp::All,
            "2024-01-01T00:00:00Z",
            "2026-01-01T00:00:00Z",
        )
        .unwrap();
        assert_eq!(all.run.len(), MOST_CAUGHT_UP);
        let daily = judged(
            "0 0 * * *",
            CatchUp::One,
            "2024-01-01T00:00:00Z",
            "2026-01-01T00:00:00Z",
        )
        .unwrap();
        assert!(!daily.summed);
        assert_eq!(daily.missed.len(), 731);
    }

    #[test]
    fn jitter_is_the_same_for_the_same_time_and_spreads() {
        let slot = at("2026-01-01T10:00:00Z");
        assert_eq!(fire_at("f", slot, 0), slot);
        let other =
            |name: &str| fire_at(name, slot, 60_000).as_millisecond() - slot.as_millisecond();
        assert_eq!(other("f"), other("f"));
        let all: std::collections::BTreeSet<i64> = (0..50).map(|n| other(&n.to_string())).collect();
        assert!(all.len() > 40 && all.iter().all(|ms| (0..=60_000).contains(ms)));
    }

    #[test]
    fn jitter_keeps_a_time_back_and_not_the_one_before_it() {
        let schedule = Schedule::parse("* * * * *").unwrap();
        let slot = at("2026-01-01T10:00:00Z");
        let fires = fire_at("f", slot, 50_000);
        let what = ("f", 50_000, CatchUp::One);
        assert_eq!(
            judge(
                &schedule,
                &TimeZone::UTC,
                what,
                slot,
                fires - SignedDuration::from_millis(1)
            ),
            None
        );
        let verdict = judge(&schedule, &TimeZone::UTC, what, slot, fires).unwrap();
        assert_eq!(
            (verdict.run, verdict.next),
            (vec![slot], Some(at("2026-01-01T10:01:00Z")))
        );
    }

    #[test]
    fn a_clock_that_was_set_back_is_noticed() {
        let schedule = Schedule::parse("0 * * * *").unwrap();
        let slot = at("2026-01-01T10:00:00Z");
        assert!(!set_back(
            &schedule,
            &TimeZone::UTC,
            slot,
            at("2026-01-01T09:00:00Z")
        ));
        assert!(set_back(
            &schedule,
            &TimeZone::UTC,
            slot,
            at("2026-01-01T08:59:00Z")
        ));
    }
}
