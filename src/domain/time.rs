//! Times as text: RFC 3339 in UTC with three digits of a second, so that they sort as text.

use jiff::Timestamp;
use serde::Serializer;

/// The text of a time.
pub fn text(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// A time, or several, or perhaps one.
pub trait Times {
    /// Hands over the text of each.
    fn put<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;
}

impl Times for Timestamp {
    fn put<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{self:.3}"))
    }
}

impl Times for Option<Timestamp> {
    fn put<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Some(at) => at.put(serializer),
            None => serializer.serialize_none(),
        }
    }
}

impl Times for Vec<Timestamp> {
    fn put<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(|at| text(*at)))
    }
}

/// For `#[serde(with = "crate::domain::time")]` at a field.
pub fn serialize<S: Serializer>(times: &impl Times, serializer: S) -> Result<S::Ok, S::Error> {
    times.put(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Serialize;

    #[derive(Serialize)]
    struct Shape {
        #[serde(with = "crate::domain::time")]
        at: Timestamp,
        #[serde(with = "crate::domain::time")]
        ended: Option<Timestamp>,
        #[serde(with = "crate::domain::time")]
        never: Option<Timestamp>,
        #[serde(with = "crate::domain::time")]
        next: Vec<Timestamp>,
    }

    #[test]
    fn times_sort_as_text() {
        let times = [0, 1, 10, 490, 500, 999, 1_000, 41_000, 59_490];
        let times = times.map(|ms| Timestamp::from_millisecond(ms).unwrap());
        let texts = times.map(text);
        assert!(texts.is_sorted(), "{texts:?}");
        assert_eq!(texts[0], "1970-01-01T00:00:00.000Z");
        assert_eq!(texts[8], "1970-01-01T00:00:59.490Z");
        for (at, text) in times.iter().zip(&texts) {
            assert_eq!(text.parse::<Timestamp>().unwrap(), *at);
        }
        let shape = Shape {
            at: times[3],
            ended: Some(times[6]),
            never: None,
            next: vec![times[7]],
        };
        assert_eq!(
            serde_json::to_string(&shape).unwrap(),
            r#"{"at":"1970-01-01T00:00:00.490Z","ended":"1970-01-01T00:00:01.000Z","never":null,"next":["1970-01-01T00:00:41.000Z"]}"#
        );
    }
}
