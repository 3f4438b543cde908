//! The audit log: a chain of entries, each bound to the one before it by SHA-256.

pub mod check;

use super::text::{one_line, sanitise};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// One entry; its canonical line is what the hash is taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Number, without gaps, from 1.
    pub seq: i64,
    /// When, RFC 3339 UTC.
    pub at: String,
    /// What happened, e.g. `terminal.identity_refused`.
    pub action: String,
    /// To what.
    pub subject: String,
    /// By whom.
    pub actor: String,
    /// Through which door.
    pub via: String,
    /// More about it: compact JSON, kept as the very text that was hashed (a number that is read and written again may differ).
    pub detail: String,
    /// Hash of the entry before, or [`FIRST`].
    pub prev: String,
}

/// The `prev` of the first entry.
pub const FIRST: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What is said of an event, before it has its place in the chain.
#[derive(Debug, Clone)]
pub struct Event<'a> {
    /// What happened.
    pub action: &'a str,
    /// To what.
    pub subject: &'a str,
    /// By whom.
    pub actor: &'a str,
    /// Through which door.
    pub via: &'a str,
    /// More about it.
    pub detail: Value,
}

/// The newest entry of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its number.
    pub seq: i64,
    /// Its hash.
    pub hash: String,
}

/// An entry as it is kept: with the hash that was taken when it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The entry.
    pub entry: Entry,
    /// The hash that is kept beside it; [`check`] says whether it fits.
    pub hash: String,
}

impl Entry {
    /// The entry behind `head` (the first one without). Control and invisible characters are made visible, so that every JSON writer
    /// writes the same bytes and no terminal acts on them.
    pub fn after(head: Option<&Head>, at: jiff::Timestamp, event: Event<'_>) -> Self {
        let (seq, prev) = head.map_or((1, FIRST), |head| (head.seq + 1, head.hash.as_str()));
        Self {
            seq,
            at: at.to_string(),
            action: one_line(event.action),
            subject: one_line(event.subject),
            actor: one_line(event.actor),
            via: one_line(event.via),
            detail: visible(event.detail).to_string(),
            prev: prev.to_owned(),
        }
    }

    /// The canonical line that is hashed: compact JSON, fields in the order above, `detail` as it is kept.
    pub fn canonical(&self) -> String {
        let text = |text: &str| Value::from(text).to_string();
        format!(
            r#"{{"seq":{},"at":{},"action":{},"subject":{},"actor":{},"via":{},"detail":{},"prev":{}}}"#,
            self.seq,
            text(&self.at),
            text(&self.action),
            text(&self.subject),
            text(&self.actor),
            text(&self.via),
            self.detail,
            text(&self.prev),
        )
    }

    /// SHA-256 of the canonical line, in hexadecimal digits.
    pub fn hash(&self) -> String {
        digest(self.canonical().as_bytes())
    }
}

impl Stored {
    /// The entry with the hash that it has now.
    pub fn new(entry: Entry) -> Self {
        let hash = entry.hash();
        Self { entry, hash }
    }

    /// The line of the log file, without its line end: the canonical line with `hash` last.
    pub fn line(&self) -> String {
        let mut line = self.entry.canonical();
        line.pop();
        line.push_str(r#","hash":"#);
        line.push_str(&Value::from(self.hash.as_str()).to_string());
        line.push('}');
        line
    }

    /// Where the chain ends when this is its newest entry.
    pub fn head(&self) -> Head {
        Head {
            seq: self.entry.seq,
            hash: self.hash.clone(),
        }
    }
}

/// What of the chain stands in the log file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Exported {
    /// Newest entry in the file; 0 when there is none.
    pub seq: i64,
    /// Length of the file in bytes when that was written.
    pub bytes: u64,
}

/// `value` with every string, names too, fit to be shown.
fn visible(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(sanitise(&text)),
        Value::Array(items) => items.into_iter().map(visible).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (one_line(&name), visible(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other,
    }
}

/// SHA-256 in lower-case hexadecimal digits.
pub fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(detail: Value) -> Event<'static> {
        Event {
            action: "terminal.created",
            subject: "0123abcd",
            actor: "human",
            via: "cli",
            detail,
        }
    }

    #[test]
    fn every_field_counts() {
        let detail = serde_json::json!({"a": 1});
        let entry = Entry::after(None, jiff::Timestamp::UNIX_EPOCH, event(detail));
        let other = |change: fn(&mut Entry)| {
            let mut entry = entry.clone();
            change(&mut entry);
            entry
        };
        let changed = [
            other(|e| e.seq = 2),
            other(|e| e.at = "2026-01-01T00:00:01Z".into()),
            other(|e| e.action = "x".into()),
            other(|e| e.subject = "x".into()),
            other(|e| e.actor = "x".into()),
            other(|e| e.via = "x".into()),
            other(|e| e.detail = r#"{"a":2}"#.into()),
            other(|e| e.detail = r#"{"a":1 }"#.into()),
            other(|e| e.prev = digest(b"")),
        ];
        for other in changed {
            assert_ne!(other.hash(), entry.hash(), "{other:?}");
        }
    }

    #[test]
    fn the_line_is_the_canonical_one_with_the_hash_last() {
        let detail = serde_json::json!({"b": 0.1, "a": "x"});
        let stored = Stored::new(Entry::after(
            None,
            jiff::Timestamp::UNIX_EPOCH,
            event(detail),
        ));
        assert_eq!(
            stored.line(),
            format!(
                r#"{{"seq":1,"at":"1970-01-01T00:00:00Z","action":"terminal.created","subject":"0123abcd","actor":"human","via":"cli","detail":{{"b":0.1,"a":"x"}},"prev":"{FIRST}","hash":"{}"}}"#,
                stored.hash
            )
        );
        assert_eq!(
            stored.hash,
            digest(
                stored
                    .line()
                    .replace(&format!(r#","hash":"{}""#, stored.hash), "")
                    .as_bytes()
            )
        );
    }

    proptest! {
        #[test]
        fn a_line_is_one_line_of_json_without_anything_that_acts(subject in any::<String>(), key in any::<String>(), text in any::<String>(), number in any::<f64>()) {
            let detail = serde_json::json!({key: text, "n": number});
            let stored = Stored::new(Entry::after(None, jiff::Timestamp::UNIX_EPOCH, Event { subject: &subject, ..event(detail) }));
            let line = stored.line();
            prop_assert!(line.chars().all(|c| !crate::domain::text::is_unsafe(c)));
            let value: Value = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(value["subject"].as_str().unwrap(), one_line(&subject));
            prop_assert_eq!(value["hash"].as_str().unwrap(), stored.hash);
        }
    }
}
