//! Names and ids that are valid by construction.

use serde::Serialize;
use std::fmt;

/// Why a text is not the id or name that it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Not eight lower-case hexadecimal digits.
    #[error("{0:?} is not a terminal id (8 hexadecimal digits)")]
    TerminalId(String),
    /// Not a positive number.
    #[error("{0:?} is not a message id (a number)")]
    MessageId(String),
    /// Not a positive number.
    #[error("{0:?} is not an approval's id (a number)")]
    ApprovalId(String),
    /// Not a positive number.
    #[error("{0:?} is not a note's id (a number)")]
    NoteId(String),
    /// Not a name: a letter or digit, then up to 63 letters, digits, `_` or `-`.
    #[error("{0:?} is not a name: a letter or digit, then at most 63 letters, digits, _ or -")]
    Name(String),
}

/// A terminal's id: 8 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct TerminalId(String);

impl TerminalId {
    /// The id made of four random bytes.
    pub fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(format!("{:08x}", u32::from_be_bytes(bytes)))
    }

    /// Parses an id.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let valid = text.len() == 8 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid::TerminalId(shorten(text)))
        }
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TerminalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A message's id: a number given by the database, shown as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(pub i64);

impl MessageId {
    /// Parses `12` or `#12`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let digits = text.strip_prefix('#').unwrap_or(text);
        match digits.parse::<i64>() {
            Ok(number) if number > 0 && digits.bytes().all(|b| b.is_ascii_digit()) => {
                Ok(Self(number))
            }
            _ => Err(Invalid::MessageId(shorten(text))),
        }
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Serialize for MessageId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An approval's id: a number given by the database, shown as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ApprovalId(pub i64);

impl ApprovalId {
    /// Parses `12` or `#12`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        MessageId::parse(text)
            .map(|MessageId(number)| Self(number))
            .map_err(|_| Invalid::ApprovalId(shorten(text)))
    }
}

impl fmt::Display for ApprovalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Serialize for ApprovalId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A note's id: a number given by the database, shown as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NoteId(pub i64);

impl NoteId {
    /// Parses `12`, `#12` or `note-12`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        MessageId::parse(text.strip_prefix("note-").unwrap_or(text))
            .map(|MessageId(number)| Self(number))
            .map_err(|_| Invalid::NoteId(shorten(text)))
    }
}

impl fmt::Display for NoteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Serialize for NoteId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The name of a profile, flow, provider or new session: a letter or digit, then at most 63 letters, digits, `_` or `-`.
/// It can stand in a path, a tmux target and a header as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Name(String);

impl Name {
    /// Parses a name.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let mut bytes = text.bytes();
        let first = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric());
        let rest = bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if first && rest && text.len() <= 64 {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid::Name(shorten(text)))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn terminal_ids_round_trip() {
        let id = TerminalId::from_bytes([0, 0x1a, 0xff, 3]);
        assert_eq!(id.as_str(), "001aff03");
        assert_eq!(TerminalId::parse("001aff03").unwrap(), id);
        for bad in [
            "",
            "001aff0",
            "001aff033",
            "001AFF03",
            "../../..",
            "001aff0\n",
        ] {
            assert!(TerminalId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn message_ids_are_positive_numbers() {
        assert_eq!(MessageId::parse("#12").unwrap(), MessageId(12));
        for bad in ["", "#", "0", "-1", "+1", "1e3", "99999999999999999999"] {
            assert!(MessageId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_note_is_named_by_its_number() {
        for good in ["12", "#12", "note-12"] {
            assert_eq!(NoteId::parse(good).unwrap(), NoteId(12));
        }
        for bad in ["", "note-", "note-0", "note-note-1", "note 1"] {
            assert!(NoteId::parse(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn a_name_never_leaves_its_directory(text in "\\PC{0,80}") {
            if let Ok(name) = Name::parse(&text) {
                prop_assert!(!name.as_str().contains(['/', '.', '\0', ' ', '#', ';', ':']));
                prop_assert!(!name.as_str().starts_with('-'));
            }
        }
    }
}
