//! Spans of time as people write them: `90s`, `30m`, `1h 30m`, `2d`.

/// Longest span, in milliseconds: 31 days.
pub const LONGEST_MS: i64 = 31 * 86_400_000;

/// Milliseconds of a span; a number without a unit is seconds. The error says what is wrong with it.
pub fn parse(text: &str) -> Result<i64, String> {
    let wrong = || format!("{text:?} is not a span of time like 90s, 30m, 1h30m or 2d");
    let mut total: i64 = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: i64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = rest[digits..].trim_start();
        let letters = rest.len()
            - rest
                .trim_start_matches(|c: char| c.is_ascii_alphabetic())
                .len();
        let unit = match &rest[..letters] {
            "ms" => 1,
            "" if rest.is_empty() && total == 0 => 1_000,
            "s" | "sec" | "seconds" => 1_000,
            "m" | "min" | "minutes" => 60_000,
            "h" | "hour" | "hours" => 3_600_000,
            "d" | "day" | "days" => 86_400_000,
            _ => return Err(wrong()),
        };
        rest = rest[letters..].trim_start();
        total = number
            .checked_mul(unit)
            .and_then(|ms| total.checked_add(ms))
            .filter(|total| *total <= LONGEST_MS)
            .ok_or_else(|| format!("{text:?} is longer than 31 days"))?;
    }
    Ok(total)
}

/// A span for people: its two largest units.
pub fn show(ms: i64) -> String {
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1_000, "s"),
    ];
    let mut left = ms.max(0);
    let mut parts = Vec::new();
    for (size, name) in units {
        let count = left / size;
        left %= size;
        if count > 0 {
            parts.push(format!("{count}{name}"));
        }
    }
    parts.truncate(2);
    match (parts.is_empty(), left) {
        (true, 0) => "0s".to_owned(),
        (true, left) => format!("{left}ms"),
        (false, _) => parts.join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spans_are_read_as_people_write_them() {
        for (text, ms) in [
            ("90", 90_000),
            ("90s", 90_000),
            ("30m", 1_800_000),
            ("1h30m", 5_400_000),
            ("1h 30 min", 5_400_000),
            ("2d", 172_800_000),
            ("500ms", 500),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Ok(ms), "{text}");
        }
        for bad in [
            "",
            " ",
            "h",
            "-1s",
            "1x",
            "1.5h",
            "1h 30",
            "40d",
            "9999999999999999999s",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(show(5_400_000), "1h 30m");
        assert_eq!(show(500), "500ms");
        assert_eq!(show(0), "0s");
    }

    proptest! {
        #[test]
        fn anything_is_read_or_refused(text in "\\PC{0,20}") {
            let _ = parse(&text);
        }
    }
}
