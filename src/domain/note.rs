//! A note: what an agent writes to the person, and the person's answer.
//!
//! ```text
//! open -> seen -> answered
//!    \-----\----> withdrawn (a question whose agent has ended)
//! ```

use super::handoff::Given;
use super::ids::{MessageId, NoteId, TerminalId};
use super::terminal::Root;
use super::text::one_line;
use jiff::Timestamp;
use serde::Serialize;

/// The name by which agents write to the person.
pub const HUMAN: &str = "human";

/// Most answers that a question offers: each has a digit.
pub const MAX_OPTIONS: usize = 9;

/// Longest offered answer, in characters.
pub const MAX_OPTION: usize = 200;

/// Where a note is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NoteStatus {
    /// Nobody has read it.
    Open,
    /// A person has read it.
    Seen,
    /// A person has answered it.
    Answered,
    /// A question whose agent has ended: nobody is there for the answer.
    Withdrawn,
}

impl NoteStatus {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::Open, Self::Seen, Self::Answered, Self::Withdrawn];

    /// The word in the database and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Seen => "seen",
            Self::Answered => "answered",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Parses the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// A note as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Its id.
    pub id: NoteId,
    /// Who wrote it.
    pub terminal: TerminalId,
    /// How the writer is called.
    pub name: String,
    /// The sanitised text.
    pub body: String,
    /// Whether the agent wants an answer.
    pub question: bool,
    /// Answers to choose from, each one line; may be empty.
    pub options: Vec<String>,
    /// The agent's own key: the same key again is the same note.
    pub key: Option<String>,
    /// Where it is.
    pub status: NoteStatus,
    /// When it was accepted.
    pub written_at: Timestamp,
    /// When a person first read it.
    pub seen_at: Option<Timestamp>,
    /// When its agent had ended.
    pub withdrawn_at: Option<Timestamp>,
    /// When it was answered.
    pub answered_at: Option<Timestamp>,
    /// Who answered: `human`, or `unverified` (a script).
    pub answered_by: Option<String>,
    /// The answer.
    pub answer: Option<String>,
    /// How the answer reached the agent, once somebody took it there.
    pub given: Option<Given>,
    /// The message that carries the answer, when it goes by the inbox.
    pub message: Option<MessageId>,
    /// The process that waits for the answer in a call of its client, or took it for one. A client may kill it at any time.
    pub waiter: Option<Root>,
}

impl Note {
    /// Whether it waits for a person: nobody has read it, or it is a question without an answer.
    pub fn waits(&self) -> bool {
        match self.status {
            NoteStatus::Open => true,
            NoteStatus::Seen => self.question,
            NoteStatus::Answered | NoteStatus::Withdrawn => false,
        }
    }

    /// The word for what it is: `question` or `note`.
    pub const fn kind(&self) -> &'static str {
        if self.question { "question" } else { "note" }
    }

    /// What a person means who types `text`: one of the options by its own words, its number or its letter, else the text itself.
    pub fn meant(&self, text: &str) -> String {
        let typed = text.trim();
        let same = |option: &&String| option.trim().eq_ignore_ascii_case(typed);
        if let Some(option) = self.options.iter().find(same) {
            return option.clone();
        }
        let mut letters = typed.chars();
        let index = match (letters.next(), letters.next()) {
            (Some(digit @ '1'..='9'), None) => Some(digit as usize - '1' as usize),
            (Some(letter), None) if letter.is_ascii_alphabetic() => {
                Some(letter.to_ascii_lowercase() as usize - 'a' as usize)
            }
            _ => None,
        };
        index
            .and_then(|index| self.options.get(index))
            .map_or_else(|| text.to_owned(), Clone::clone)
    }

    /// The text in which the answer goes to the agent's inbox; `again` where a call may have brought it already.
    pub fn answer_text(&self, again: bool) -> String {
        let answer = self.answer.as_deref().unwrap_or_default();
        let begins = excerpt(&self.body, 80);
        let again = if again {
            "; a call may have brought it to you already"
        } else {
            ""
        };
        let space = if answer.contains('\n') { '\n' } else { ' ' };
        format!(
            "Answer to note-{} ({begins}{again}):{space}{answer}",
            self.id
        )
    }
}

/// The beginning of `text` on one line, at most `most` characters.
pub fn excerpt(text: &str, most: usize) -> String {
    let line = one_line(text.trim());
    match line.char_indices().nth(most) {
        None => line,
        Some((at, _)) => format!("{}…", &line[..at]),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn sample(options: &[&str]) -> Note {
        Note {
            id: NoteId(3),
            terminal: TerminalId::from_bytes([1; 4]),
            name: "developer 01010101".into(),
            body: "Which branch?".into(),
            question: true,
            options: options.iter().map(|o| (*o).to_owned()).collect(),
            key: None,
            status: NoteStatus::Open,
            written_at: Timestamp::UNIX_EPOCH,
            seen_at: None,
            withdrawn_at: None,
            answered_at: None,
            answered_by: None,
            answer: None,
            given: None,
            message: None,
            waiter: None,
        }
    }

    #[test]
    fn words_round_trip() {
        for status in NoteStatus::ALL {
            assert_eq!(NoteStatus::parse(status.as_str()), Some(status));
        }
    }

    #[test]
    fn an_option_is_chosen_by_its_words_its_number_or_its_letter() {
        let note = sample(&["main", "a new one"]);
        for (typed, meant) in [
            ("1", "main"),
            ("b", "a new one"),
            (" B\n", "a new one"),
            ("MAIN", "main"),
            ("3", "3"),
            ("z", "z"),
            ("neither", "neither"),
            ("0", "0"),
            ("12", "12"),
        ] {
            assert_eq!(note.meant(typed), meant, "{typed:?}");
        }
        assert_eq!(sample(&["b", "a"]).meant("a"), "a", "its own words first");
        assert_eq!(sample(&[]).meant("1"), "1");
    }

    #[test]
    fn what_waits_is_unread_or_unanswered() {
        let mut note = sample(&[]);
        assert!(note.waits());
        note.status = NoteStatus::Seen;
        assert!(note.waits(), "a question that was read");
        note.question = false;
        assert!(!note.waits());
        note.status = NoteStatus::Open;
        assert!(note.waits());
    }

    #[test]
    fn the_answer_says_what_it_answers() {
        let mut note = sample(&[]);
        note.answer = Some("main".into());
        assert_eq!(
            note.answer_text(false),
            "Answer to note-3 (Which branch?): main"
        );
        note.answer = Some("two\nlines".into());
        assert!(note.answer_text(true).contains("already):\ntwo\nlines"));
        assert_eq!(excerpt(&"x".repeat(9), 5), "xxxxx…");
    }

    proptest! {
        #[test]
        fn every_text_is_an_answer(text in any::<String>()) {
            let note = sample(&["main", "other"]);
            let meant = note.meant(&text);
            prop_assert!(meant == text || note.options.contains(&meant));
            prop_assert!(excerpt(&text, 10).chars().count() <= 11);
        }
    }
}
