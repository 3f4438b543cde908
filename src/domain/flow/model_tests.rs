//! Schedules against a model that knows nothing but minutes: it steps through two years in six zones, one minute after the other.
//!
//! `CONDUCTOR_CAMPAIGN=1` takes 200 lines in all zones (`scripts/campaign-flows`); without it a sample is taken.

use super::CatchUp;
use super::cron::Schedule;
use super::next::next;
use super::plan;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

const ZONES: [&str; 6] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Beirut",
    "America/Santiago",
];

/// Minutes of two years.
const MINUTES: i64 = 2 * 365 * 1440;

fn whole() -> bool {
    crate::paths::env("CONDUCTOR_CAMPAIGN").is_some()
}

/// Random numbers that are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        let sides = u64::try_from(from.len()).unwrap();
        from[usize::try_from(self.roll(sides)).unwrap()]
    }
}

/// What a field names, read by a reader of its own.
fn set(field: &str, low: i8, high: i8) -> [bool; 64] {
    let mut set = [false; 64];
    for part in field.split(',') {
        let (range, step) = part.split_once('/').unwrap_or((part, "1"));
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (low, high),
            Some((first, last)) => (first.parse().unwrap(), last.parse().unwrap()),
            None => (range.parse().unwrap(), range.parse().unwrap()),
        };
        let mut value: i8 = first;
        while value <= last {
            set[usize::try_from(value).unwrap()] = true;
            value += step.parse::<i8>().unwrap();
        }
    }
    set
}

fn field(dice: &mut Dice, least: u64, most: u64, star: u64) -> String {
    if dice.roll(100) < star {
        return match dice.roll(3) {
            0 => format!("*/{}", 2 + dice.roll(most / 2)),
            _ => "*".to_owned(),
        };
    }
    let one = |dice: &mut Dice| least + dice.roll(most - least + 1);
    match dice.roll(4) {
        0 => {
            let (a, b) = (one(dice), one(dice));
            format!("{}-{}", a.min(b), a.max(b))
        }
        1 => {
            let (a, b) = (one(dice), one(dice));
            format!("{}-{}/{}", a.min(b), a.max(b), 1 + dice.roll(5))
        }
        2 => format!("{},{}", one(dice), one(dice)),
        _ => one(dice).to_string(),
    }
}

/// A random line; many of its times lie in the hours in which clocks change.
fn line(dice: &mut Dice) -> String {
    let minute = field(dice, 0, 59, 15);
    let hour = match dice.roll(3) {
        0 => dice
            .pick(&["0", "1", "2", "3", "0-3", "1,2,3", "23"])
            .to_owned(),
        _ => field(dice, 0, 23, 30),
    };
    let day = field(dice, 1, 31, 60);
    let month = field(dice, 1, 12, 70);
    let weekday = field(dice, 0, 6, 60);
    format!("{minute} {hour} {day} {month} {weekday}")
}

struct Model {
    minutes: [bool; 64],
    hours: [bool; 64],
    days: [bool; 64],
    months: [bool; 64],
    weekdays: [bool; 64],
    both: bool,
    wild: bool,
}

impl Model {
    fn of(line: &str) -> Self {
        let f: Vec<&str> = line.split(' ').collect();
        Self {
            minutes: set(f[0], 0, 59),
            hours: set(f[1], 0, 23),
            days: set(f[2], 1, 31),
            months: set(f[3], 1, 12),
            weekdays: set(f[4], 0, 6),
            both: f[2].starts_with('*') || f[4].starts_with('*'),
            wild: f[0].starts_with('*') || f[1].starts_with('*'),
        }
    }

    fn shows(&self, wall: DateTime) -> bool {
        let on = |set: &[bool; 64], value: i8| set[usize::try_from(value).unwrap()];
        if !on(&self.minutes, wall.minute()) || !on(&self.hours, wall.hour()) {
            return false;
        }
        let day = on(&self.days, wall.day());
        let weekday = on(&self.weekdays, wall.weekday().to_sunday_zero_offset());
        let fits = if self.both {
            day && weekday
        } else {
            day || weekday
        };
        fits && on(&self.months, wall.month())
    }

    /// Every minute at which it fires, by looking at the wall clock of each.
    fn times(&self, clock: &[(Timestamp, DateTime)]) -> Vec<Timestamp> {
        let mut found = Vec::new();
        let mut seen = clock[0].1;
        for pair in clock.windows(2) {
            let ((_, before), (at, wall)) = (pair[0], pair[1]);
            let mut fires = self.shows(wall) && (self.wild || wall > seen);
            if !self.wild && wall > before {
                let mut skipped = before + 1.minute();
                while skipped < wall {
                    fires |= skipped > seen && self.shows(skipped);
                    skipped += 1.minute();
                }
            }
            if fires {
                found.push(at);
            }
            seen = seen.max(wall);
        }
        found
    }
}

fn wall_clock(zone: &TimeZone, minutes: i64) -> Vec<(Timestamp, DateTime)> {
    let start: Timestamp = "2025-12-31T23:59:00Z".parse().unwrap();
    (0..=minutes)
        .map(|minute| {
            let at = start + SignedDuration::from_mins(minute);
            (at, zone.to_datetime(at))
        })
        .collect()
}

#[test]
fn next_times_are_those_of_the_minutes_themselves() {
    let mut dice = Dice(0x5eed);
    let lines: Vec<String> = (0..200).map(|_| line(&mut dice)).collect();
    let mut compared = 0;
    for (index, name) in ZONES.iter().enumerate() {
        let zone = TimeZone::get(name).unwrap();
        let clock = wall_clock(&zone, if whole() { MINUTES } else { MINUTES / 2 });
        let (first, last) = (clock[0].0, clock[clock.len() - 1].0);
        for (number, line) in lines.iter().enumerate() {
            // The sample takes each zone with lines of its own.
            if !whole() && number % 100 != index * 7 {
                continue;
            }
            let Ok(schedule) = Schedule::parse(line) else {
                assert!(
                    Model::of(line).times(&clock).is_empty(),
                    "{line:?} is refused and comes"
                );
                continue;
            };
            let expected = Model::of(line).times(&clock);
            let mut at = first;
            for slot in &expected {
                let found = next(&schedule, &zone, at);
                assert_eq!(found, Some(*slot), "{line:?} in {name} after {at}");
                at = *slot;
                compared += 1;
            }
            let beyond = next(&schedule, &zone, at);
            assert!(
                beyond.is_none_or(|slot| slot > last),
                "{line:?} in {name} after {at}: {beyond:?}"
            );
        }
    }
    assert!(compared > 1_000, "{compared}");
}

/// A ledger as the store keeps it: the first to enter a time has it.
#[derive(Default)]
struct Ledger {
    rows: BTreeMap<Timestamp, bool>,
    starts: BTreeMap<Timestamp, usize>,
}

impl Ledger {
    fn enter(&mut self, slot: Timestamp, runs: bool) {
        if let Entry::Vacant(row) = self.rows.entry(slot) {
            row.insert(runs);
            *self.starts.entry(slot).or_default() += usize::from(runs);
        }
    }
}

/// A machine that sleeps, and whose clock is set, for 60 days; the flow looks at the wall clock when it is awake.
fn live(line: &str, name: &str, catch_up: CatchUp, seed: u64) {
    let mut dice = Dice(seed);
    let zone = TimeZone::get(name).unwrap();
    let schedule = Schedule::parse(line).unwrap();
    let clock = wall_clock(&zone, 60 * 1440);
    let start = clock[0].0;
    let times = Model::of(line).times(&clock);
    let mut ledger = Ledger::default();
    let mut slot = next(&schedule, &zone, start).unwrap();
    let mut now = start;
    let mut latest = start;
    let end = start + SignedDuration::from_hours(24 * 55);
    while now < end {
        let step = match dice.roll(1_000) {
            // A suspend, or a step forward: the wall clock cannot tell them apart.
            0..8 => i64::try_from(dice.roll(3 * 86_400)).unwrap(),
            // A step back.
            8..12 => -i64::try_from(dice.roll(2 * 86_400)).unwrap(),
            _ => i64::try_from(1 + dice.roll(60)).unwrap() * 10,
        };
        let before = latest;
        now = (now + SignedDuration::from_secs(step)).max(start);
        latest = latest.max(now);
        if plan::set_back(&schedule, &zone, slot, now) {
            slot = next(&schedule, &zone, now).unwrap();
            ledger.rows.retain(|at, runs| *at <= now || *runs);
        }
        // Two ticks at once: the second finds the same.
        for _ in 0..2 {
            let Some(verdict) = plan::judge(&schedule, &zone, ("f", 0, catch_up), slot, now) else {
                continue;
            };
            assert!(!verdict.summed, "{line}: too much for this test");
            for missed in &verdict.missed {
                ledger.enter(*missed, false);
            }
            for run in &verdict.run {
                ledger.enter(*run, true);
            }
        }
        if let Some(verdict) = plan::judge(&schedule, &zone, ("f", 0, catch_up), slot, now) {
            // What the minutes say about the time since the last look.
            let fresh: Vec<&Timestamp> = times
                .iter()
                .filter(|at| **at > before && **at <= now)
                .collect();
            if let (Some(newest), true) = (fresh.last(), now == latest) {
                let on_time = now.duration_since(**newest) <= SignedDuration::from_mins(5);
                let wanted = match catch_up {
                    CatchUp::None => usize::from(on_time),
                    CatchUp::One => 1,
                    CatchUp::All => fresh.len().min(plan::MOST_CAUGHT_UP),
                };
                let ran = fresh
                    .iter()
                    .filter(|at| ledger.rows.get(at) == Some(&true))
                    .count();
                assert_eq!(
                    ran, wanted,
                    "{line} in {name}, {catch_up:?}: {before} to {now}"
                );
            }
            slot = verdict.next.unwrap();
        }
    }
    for at in times.iter().filter(|at| **at <= now) {
        assert!(
            ledger.rows.contains_key(at),
            "{line} in {name}, {catch_up:?}: {at} is lost"
        );
    }
    for (at, starts) in &ledger.starts {
        assert!(
            *starts <= 1,
            "{line} in {name}, {catch_up:?}: {at} started {starts} times"
        );
        assert!(
            times.contains(at),
            "{line} in {name}, {catch_up:?}: {at} is no time of it"
        );
    }
}

#[test]
fn no_time_is_lost_or_doubled_by_suspends_and_clock_steps() {
    let lines = [
        "*/20 * * * *",
        "30 2 * * *",
        "0 0,12 * * *",
        "15 * * * 1-5",
        "7 3 */2 * *",
    ];
    let rounds = if whole() { 20 } else { 1 };
    let mut seed = 7;
    for round in 0..rounds {
        for (index, line) in lines.iter().enumerate() {
            for (number, name) in ZONES.iter().enumerate() {
                if !whole() && (index + number + round) % 6 != 0 {
                    continue;
                }
                for catch_up in CatchUp::ALL {
                    seed += 1;
                    live(line, name, catch_up, seed * 0x9e37_79b9);
                }
            }
        }
    }
}
