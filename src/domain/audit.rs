//! The audit log: a chain of entries, each bound to the one before it by SHA-256.

use serde::Serialize;
use sha2::{Digest, Sha256};

/// One entry; its JSON line without `hash` is what the hash is taken over.
#[derive(Debug, Clone, PartialEq, Serialize)]
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
    /// More about it.
    pub detail: serde_json::Value,
    /// Hash of the entry before, or 64 zeros.
    pub prev: String,
}

/// The `prev` of the first entry.
pub const FIRST: &str = "0000000000000000000000000000000000000000000000000000000000000000";

impl Entry {
    /// The canonical line that is hashed: compact JSON, fields in the order above.
    pub fn canonical(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// SHA-256 of the canonical line, in hexadecimal digits.
    pub fn hash(&self) -> String {
        digest(self.canonical().as_bytes())
    }
}

/// SHA-256 in lower-case hexadecimal digits.
pub fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes)
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_counts() {
        let entry = Entry {
            seq: 1,
            at: "2026-01-01T00:00:00Z".into(),
            action: "terminal.created".into(),
            subject: "0123abcd".into(),
            actor: "human".into(),
            via: "cli".into(),
            detail: serde_json::json!({"a": 1}),
            prev: FIRST.into(),
        };
        let changed = [
            Entry {
                seq: 2,
                ..entry.clone()
            },
            Entry {
                at: "2026-01-01T00:00:01Z".into(),
                ..entry.clone()
            },
            Entry {
                action: "x".into(),
                ..entry.clone()
            },
            Entry {
                subject: "x".into(),
                ..entry.clone()
            },
            Entry {
                actor: "x".into(),
                ..entry.clone()
            },
            Entry {
                via: "x".into(),
                ..entry.clone()
            },
            Entry {
                detail: serde_json::json!({"a": 2}),
                ..entry.clone()
            },
            Entry {
                prev: digest(b""),
                ..entry.clone()
            },
        ];
        for other in changed {
            assert_ne!(other.hash(), entry.hash(), "{other:?}");
        }
    }
}
