//! The next time of a schedule in a zone, through changes of the offset as Vixie cron goes through them.
//!
//! | | clock put forward over it | clock put back over it |
//! |---|---|---|
//! | minute or hour begins with `*` | it does not come | it comes twice |
//! | fixed time | once, at the moment of the change | once, the first time |

use super::cron::Schedule;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp, ToSpan};

/// How far a next time is looked for, in days: the 29th of February on one weekday may be 40 years away.
const FAR: u32 = 45 * 366;

/// Whether any day of the calendar fits: the same weekdays fall on the same dates every 28 years, but for three years in four centuries.
pub(super) fn has_a_day(schedule: &Schedule) -> bool {
    let mut date = Date::constant(2000, 1, 1);
    for _ in 0..FAR {
        if fits(schedule, date) {
            return true;
        }
        let Ok(next) = date.tomorrow() else {
            return false;
        };
        date = next;
    }
    false
}

fn fits(s: &Schedule, date: Date) -> bool {
    let day = s.days >> date.day() & 1 == 1;
    let weekday = s.weekdays >> date.weekday().to_sunday_zero_offset() & 1 == 1;
    s.months >> date.month() & 1 == 1
        && if s.both {
            day && weekday
        } else {
            day || weekday
        }
}

/// The first time after `after`, to the minute.
pub fn next(schedule: &Schedule, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    // Where the clock is put back over midnight, times of the day before come after some of this day.
    let mut date = zone.to_datetime(after).date().yesterday().ok()?;
    let mut best: Option<(Timestamp, Date)> = None;
    for _ in 0..FAR {
        if let Some((found, on)) = best
            && date > on.tomorrow().ok()?
        {
            return Some(found);
        }
        if fits(schedule, date)
            && let Some(found) = first_of_day(schedule, zone, date, after)
            && best.is_none_or(|(best, _)| found < best)
        {
            best = Some((found, date));
        }
        let Ok(tomorrow) = date.tomorrow() else {
            break;
        };
        date = tomorrow;
    }
    best.map(|(found, _)| found)
}

/// Every time after `after` and not after `until`, oldest first.
pub fn between(
    schedule: &Schedule,
    zone: &TimeZone,
    after: Timestamp,
    until: Timestamp,
) -> Vec<Timestamp> {
    let mut found = Vec::new();
    let mut at = after;
    while let Some(slot) = next(schedule, zone, at).filter(|slot| *slot <= until) {
        found.push(slot);
        at = slot;
    }
    found
}

/// The first time after `after` among those that the wall clock of `date` has.
fn first_of_day(s: &Schedule, zone: &TimeZone, date: Date, after: Timestamp) -> Option<Timestamp> {
    if let Some(midnight) = plain_midnight(zone, date) {
        let passed = after.as_second() - midnight.as_second();
        let seconds = first_after(s, passed)?;
        return Timestamp::from_second(midnight.as_second() + seconds).ok();
    }
    let bits = |bits: u64, most: i8| (0..most).filter(move |bit| bits >> bit & 1 == 1);
    bits(s.hours, 24)
        .flat_map(|hour| bits(s.minutes, 60).map(move |minute| (hour, minute)))
        .filter_map(|(hour, minute)| Time::new(hour, minute, 0, 0).ok())
        .flat_map(|time| instants(s.wild, zone, date.to_datetime(time)))
        .filter(|at| *at > after)
        .min()
}

/// The first time of a day, in seconds after midnight, that comes after `passed` of them.
fn first_after(s: &Schedule, passed: i64) -> Option<i64> {
    let first_minute = i64::from(s.minutes.trailing_zeros());
    // At a whole minute the next one is the first that can be.
    let minute = passed.div_euclid(60) + 1;
    let hour = minute.max(0) / 60;
    if hour > 23 {
        return None;
    }
    let hours = s.hours >> hour;
    let later = s.minutes >> (minute.max(0) % 60);
    if hours & 1 == 1 && later != 0 {
        let minute = minute.max(0) + i64::from(later.trailing_zeros());
        return Some(minute * 60);
    }
    let hours = hours & !1;
    (hours != 0).then(|| (hour + i64::from(hours.trailing_zeros())) * 3600 + first_minute * 60)
}

/// The instant of midnight, if the offset does not change on that day or near it.
fn plain_midnight(zone: &TimeZone, date: Date) -> Option<Timestamp> {
    let midnight = date.to_datetime(Time::midnight());
    let AmbiguousOffset::Unambiguous { offset } = zone.to_ambiguous_timestamp(midnight).offset()
    else {
        return None;
    };
    let start = offset.to_timestamp(midnight).ok()?;
    let change = zone.following(start - 26.hours()).next();
    let calm = change.is_none_or(|change| change.timestamp() > start + 50.hours());
    calm.then_some(start)
}

/// The instants at which the wall clock shows `wall`, or that stand for it.
fn instants(wild: bool, zone: &TimeZone, wall: DateTime) -> Vec<Timestamp> {
    let at = |offset: jiff::tz::Offset| offset.to_timestamp(wall).ok();
    match zone.to_ambiguous_timestamp(wall).offset() {
        AmbiguousOffset::Unambiguous { offset } => at(offset).into_iter().collect(),
        AmbiguousOffset::Gap { .. } if wild => Vec::new(),
        AmbiguousOffset::Gap { before, .. } => {
            // Read with the offset before it, the time lies after the change, by less than what was left out.
            let beyond =
                at(before).and_then(|at| at.checked_add(SignedDuration::from_secs(1)).ok());
            beyond
                .and_then(|beyond| zone.preceding(beyond).next())
                .map(|change| change.timestamp())
                .into_iter()
                .collect()
        }
        AmbiguousOffset::Fold { before, after } => {
            let first = at(before).into_iter();
            if wild {
                first.chain(at(after)).collect()
            } else {
                first.collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(line: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
        let schedule = Schedule::parse(line).unwrap();
        let zone = TimeZone::get(zone).unwrap();
        let mut at: Timestamp = from.parse().unwrap();
        (0..count)
            .map(|_| {
                at = next(&schedule, &zone, at).unwrap();
                zone.to_datetime(at).to_string()[5..16].to_owned()
            })
            .collect()
    }

    #[test]
    fn fixed_times_in_a_gap_run_once_at_the_jump() {
        // Berlin, 29 March 2026: 02:00 becomes 03:00.
        let found = times("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 3);
        assert_eq!(found, ["03-28T02:30", "03-29T03:00", "03-30T02:30"]);
        let found = times("0,30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 3);
        assert_eq!(found, ["03-29T03:00", "03-30T02:00", "03-30T02:30"]);
    }

    #[test]
    fn fixed_times_in_a_repeat_run_once() {
        // Berlin, 25 October 2026: 03:00 becomes 02:00.
        let found = times("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2);
        assert_eq!(found, ["10-25T02:30", "10-26T02:30"]);
    }

    #[test]
    fn wild_times_follow_the_wall_clock() {
        let gap = times("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:29:00Z", 3);
        assert_eq!(gap, ["03-29T01:30", "03-29T03:00", "03-29T03:30"]);
        let fold = times("*/30 * * * *", "Europe/Berlin", "2026-10-24T23:59:00Z", 6);
        assert_eq!(
            fold,
            [
                "10-25T02:00",
                "10-25T02:30",
                "10-25T02:00",
                "10-25T02:30",
                "10-25T03:00",
                "10-25T03:30"
            ]
        );
        let hourly = times("30 * * * *", "Europe/Berlin", "2026-10-24T23:59:00Z", 3);
        assert_eq!(hourly, ["10-25T02:30", "10-25T02:30", "10-25T03:30"]);
    }

    #[test]
    fn a_change_at_midnight_loses_no_day() {
        // Beirut, 29 March 2026: 00:00 becomes 01:00.
        let found = times("0 0 * * *", "Asia/Beirut", "2026-03-28T12:00:00Z", 2);
        assert_eq!(found, ["03-29T01:00", "03-30T00:00"]);
        // Lord Howe: half an hour.
        let found = times(
            "15 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03T00:00:00Z",
            2,
        );
        assert_eq!(found, ["10-04T02:30", "10-05T02:15"]);
    }

    #[test]
    fn rare_days_are_found() {
        assert_eq!(
            times("0 0 29 2 */7", "UTC", "2026-01-01T00:00:00Z", 1),
            ["02-29T00:00"]
        );
        let found = times("0 12 13 * fri", "UTC", "2026-02-05T00:00:00Z", 3);
        assert_eq!(
            found,
            ["02-06T12:00", "02-13T12:00", "02-20T12:00"],
            "one of both is enough"
        );
    }
}
