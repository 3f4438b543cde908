//! Cron lines with five fields, as Vixie cron reads them: names, ranges, steps, lists, and `@hourly` to `@yearly`.

use super::next;
use std::fmt;

/// Why a text is not a schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// One field is wrong.
    #[error("the {field} field {text:?}: {why}")]
    Field {
        /// Which one.
        field: &'static str,
        /// What stands there.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// The line is not made of five fields.
    #[error("{0}")]
    Shape(String),
    /// No day has all that it asks for.
    #[error("{0:?} never comes: no month that it names has such a day")]
    Never(String),
}

/// A cron line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    text: String,
    /// Bit n: minute n.
    pub(super) minutes: u64,
    /// Bit n: hour n.
    pub(super) hours: u64,
    /// Bit n: day n of the month.
    pub(super) days: u64,
    /// Bit n: month n.
    pub(super) months: u64,
    /// Bit n: weekday n, Sunday is 0.
    pub(super) weekdays: u64,
    /// Day of the month or weekday begins with `*`: a day must fit both, else one is enough.
    pub(super) both: bool,
    /// Minute or hour begins with `*`: it follows the wall clock through changes of the offset; else it happens once a day whatever
    /// the clock does.
    pub(super) wild: bool,
}

struct Kind {
    name: &'static str,
    least: u32,
    most: u32,
    words: &'static [&'static str],
}

const KINDS: [Kind; 5] = [
    Kind {
        name: "minute",
        least: 0,
        most: 59,
        words: &[],
    },
    Kind {
        name: "hour",
        least: 0,
        most: 23,
        words: &[],
    },
    Kind {
        name: "day of month",
        least: 1,
        most: 31,
        words: &[],
    },
    Kind {
        name: "month",
        least: 1,
        most: 12,
        words: &[
            "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
        ],
    },
    Kind {
        name: "weekday",
        least: 0,
        most: 7,
        words: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    },
];

const NICKNAMES: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

impl Schedule {
    /// Reads a line. One that never comes is refused.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let text = text.trim();
        let shown: String = text.chars().take(80).collect();
        let line = if text.starts_with('@') {
            let found = NICKNAMES
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(text));
            let (_, line) = found.ok_or_else(|| {
                let known: Vec<&str> = NICKNAMES.iter().map(|(name, _)| *name).collect();
                Fault::Shape(format!("{shown:?} is none of {}", known.join(", ")))
            })?;
            line
        } else {
            text
        };
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            let hint = if fields.len() == 6 {
                "; seconds are not known here"
            } else {
                ""
            };
            return Err(Fault::Shape(format!(
                "{shown:?} has {} fields, and a schedule has five: minute, hour, day of month, month, weekday{hint}",
                fields.len()
            )));
        };
        let minutes = bits(&KINDS[0], minute)?;
        let hours = bits(&KINDS[1], hour)?;
        let days = bits(&KINDS[2], day)?;
        let months = bits(&KINDS[3], month)?;
        let weekdays = bits(&KINDS[4], weekday)?;
        let schedule = Self {
            text: text.to_owned(),
            minutes,
            hours,
            days,
            months,
            weekdays: (weekdays | weekdays >> 7) & 0x7f,
            both: day.starts_with('*') || weekday.starts_with('*'),
            wild: minute.starts_with('*') || hour.starts_with('*'),
        };
        if next::has_a_day(&schedule) {
            Ok(schedule)
        } else {
            Err(Fault::Never(shown))
        }
    }

    /// The line as written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn bits(kind: &Kind, field: &str) -> Result<u64, Fault> {
    let fault = |why: String| Fault::Field {
        field: kind.name,
        text: field.chars().take(80).collect(),
        why,
    };
    let mut bits = 0;
    for part in field.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => {
                let step = number(step)
                    .filter(|step| *step > 0)
                    .ok_or_else(|| fault(format!("{step:?} is not a step: a number from 1")))?;
                (range, Some(step))
            }
            None => (part, None),
        };
        let (first, last) = if range == "*" {
            (kind.least, kind.most - u32::from(kind.name == "weekday"))
        } else if let Some((first, last)) = range.split_once('-') {
            let first = value(kind, first).map_err(fault)?;
            let mut end = value(kind, last).map_err(fault)?;
            // A week may end with Sunday: fri-sun.
            if kind.name == "weekday" && end == 0 && first > 0 {
                end = 7;
            }
            if first > end {
                return Err(fault(format!("the range {range:?} runs backwards")));
            }
            (first, end)
        } else {
            let only = value(kind, range).map_err(fault)?;
            if step.is_some() {
                return Err(fault(format!(
                    "a step needs * or a range in front of it: {range}-{}/{}",
                    kind.most,
                    step.unwrap_or(1)
                )));
            }
            (only, only)
        };
        let step = usize::try_from(step.unwrap_or(1)).unwrap_or(usize::MAX);
        for bit in (first..=last).step_by(step) {
            bits |= 1 << bit;
        }
    }
    Ok(bits)
}

fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn value(kind: &Kind, text: &str) -> Result<u32, String> {
    let word = kind
        .words
        .iter()
        .position(|word| word.eq_ignore_ascii_case(text));
    if let Some(at) = word {
        return Ok(kind.least + u32::try_from(at).unwrap_or(0));
    }
    let Some(found) = number(text) else {
        let words = kind.words.first().zip(kind.words.last());
        let or = words.map_or(String::new(), |(a, z)| {
            format!(", or a name from {a} to {z}")
        });
        return Err(if text.is_empty() {
            "something is missing between its commas or dashes".to_owned()
        } else {
            format!("{text:?} is not a number{or}")
        });
    };
    if (kind.least..=kind.most).contains(&found) {
        Ok(found)
    } else {
        Err(format!(
            "{found} is not between {} and {}",
            kind.least, kind.most
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fault(text: &str) -> String {
        Schedule::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn names_ranges_steps_and_lists_are_read() {
        let s = Schedule::parse("*/20 9-17/4 1,15 JAN-mar,Dec mon-fri").unwrap();
        assert_eq!(s.minutes, 1 | 1 << 20 | 1 << 40);
        assert_eq!(s.hours, 1 << 9 | 1 << 13 | 1 << 17);
        assert_eq!(s.days, 1 << 1 | 1 << 15);
        assert_eq!(s.months, 1 << 1 | 1 << 2 | 1 << 3 | 1 << 12);
        assert_eq!(s.weekdays, 0b11_1110);
        assert!(!s.both && s.wild);
        assert_eq!(
            Schedule::parse("0 0 * * fri-sun").unwrap().weekdays,
            0b110_0001
        );
        assert_eq!(Schedule::parse("0 0 * * 7").unwrap().weekdays, 1);
        assert_eq!(Schedule::parse("0 0 * * *").unwrap().weekdays, 0x7f);
        assert!(!Schedule::parse("0 9-17 * * *").unwrap().wild);
        let daily = Schedule::parse("@daily").unwrap();
        assert_eq!((daily.hours, daily.minutes, daily.text()), (1, 1, "@daily"));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_field() {
        for (text, part) in [
            (
                "61 * * * *",
                "the minute field \"61\": 61 is not between 0 and 59",
            ),
            ("0 24 * * *", "the hour field"),
            ("0 0 0 * *", "the day of month field"),
            ("0 0 * 13 *", "the month field"),
            (
                "0 0 * foo *",
                "\"foo\" is not a number, or a name from jan to dec",
            ),
            ("0 0 * * 8", "the weekday field"),
            ("5/10 * * * *", "5-59/10"),
            ("*/0 * * * *", "is not a step"),
            ("*/x * * * *", "is not a step"),
            ("30-10 * * * *", "runs backwards"),
            ("1,,2 * * * *", "something is missing"),
            ("* * * *", "has 4 fields"),
            ("0 0 0 * * *", "seconds are not known"),
            ("", "has 0 fields"),
            ("@reboot", "is none of @hourly"),
            ("0 0 31 2 *", "never comes"),
            ("0 0 31 feb,apr,jun *", "never comes"),
        ] {
            assert!(fault(text).contains(part), "{text:?}: {}", fault(text));
        }
        for fine in ["0 0 29 2 *", "0 0 31 2 mon", "0 0 30 * *", "0 0 29 2 */7"] {
            assert!(Schedule::parse(fine).is_ok(), "{fine}");
        }
    }

    proptest! {
        #[test]
        fn anything_is_read_or_refused(text in "[-0-9*/,@a-z ]{0,30}|\\PC{0,20}") {
            let _ = Schedule::parse(&text);
        }
    }
}
