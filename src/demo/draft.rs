//! The input box: what was typed and pasted and is not submitted yet.

use crate::domain::text::one_line;

/// A paste of more characters than this is shown as a placeholder.
const LONGEST_SHOWN: usize = 200;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Typed(String),
    /// Pasted text; with a label when it is collapsed.
    Pasted(String, Option<String>),
}

/// Text that was submitted, as a whole and as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Submission {
    parts: Vec<Part>,
    source: &'static str,
}

/// The input box.
#[derive(Debug, Default)]
pub(super) struct Draft {
    parts: Vec<Part>,
    pastes: usize,
}

impl Submission {
    /// The prompt of the command line.
    pub(super) fn argument(text: &str) -> Self {
        let mut draft = Draft::default();
        draft.paste(text.to_owned());
        Self {
            parts: draft.parts,
            source: "argument",
        }
    }

    /// The whole text.
    pub(super) fn text(&self) -> String {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Typed(text) | Part::Pasted(text, _) => text.as_str(),
            })
            .collect()
    }

    /// Whether it is the command that ends the program.
    pub(super) fn is_exit(&self) -> bool {
        self.text().trim() == "/exit"
    }

    /// What stands for it on the screen, one line.
    pub(super) fn shown(&self) -> String {
        shown(&self.parts)
    }

    /// Where it came from: `typed`, `paste`, `argument`.
    pub(super) const fn source(&self) -> &'static str {
        self.source
    }
}

impl Draft {
    /// Whether nothing is in the box.
    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// What stands in the box, one line.
    pub(super) fn shown(&self) -> String {
        shown(&self.parts)
    }

    /// Adds a typed character.
    pub(super) fn push(&mut self, c: char) {
        if let Some(Part::Typed(text)) = self.parts.last_mut() {
            text.push(c);
        } else {
            self.parts.push(Part::Typed(c.into()));
        }
    }

    /// Adds pasted text.
    pub(super) fn paste(&mut self, text: String) {
        if text.is_empty() {
            return;
        }
        let lines = text.matches('\n').count();
        let label = (lines > 0 || text.chars().nth(LONGEST_SHOWN).is_some()).then(|| {
            self.pastes += 1;
            format!("[Pasted text #{} +{lines} lines]", self.pastes)
        });
        self.parts.push(Part::Pasted(text, label));
    }

    /// Removes the last character, or a collapsed paste as a whole.
    pub(super) fn backspace(&mut self) {
        let empty = match self.parts.last_mut() {
            Some(Part::Typed(text) | Part::Pasted(text, None)) => {
                text.pop();
                text.is_empty()
            }
            Some(Part::Pasted(_, Some(_))) => true,
            None => false,
        };
        if empty {
            self.parts.pop();
        }
    }

    /// Empties the box.
    pub(super) fn clear(&mut self) {
        self.parts.clear();
    }

    /// Takes what is in the box; `None` and unchanged when there is no word in it.
    pub(super) fn take(&mut self) -> Option<Submission> {
        let source = if self.parts.iter().any(|p| matches!(p, Part::Pasted(..))) {
            "paste"
        } else {
            "typed"
        };
        let submission = Submission {
            parts: std::mem::take(&mut self.parts),
            source,
        };
        if submission.text().trim().is_empty() {
            self.parts = submission.parts;
            return None;
        }
        Some(submission)
    }

    /// Puts a submission back, in front of what is in the box.
    pub(super) fn restore(&mut self, submission: Submission) {
        self.parts.splice(0..0, submission.parts);
    }
}

fn shown(parts: &[Part]) -> String {
    parts
        .iter()
        .map(|part| match part {
            Part::Pasted(_, Some(label)) => label.clone(),
            Part::Typed(text) | Part::Pasted(text, None) => one_line(text),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_paste_is_shown_short_and_submitted_whole() {
        let mut draft = Draft::default();
        draft.push('a');
        draft.paste("x\ny\nz".into());
        draft.paste("short".into());
        draft.paste("l".repeat(201));
        assert_eq!(
            draft.shown(),
            "a[Pasted text #1 +2 lines]short[Pasted text #2 +0 lines]"
        );
        let submission = draft.take().unwrap();
        assert_eq!(
            submission.text(),
            format!("ax\ny\nzshort{}", "l".repeat(201))
        );
        assert_eq!(submission.source(), "paste");
        draft.push('!');
        draft.restore(submission);
        assert!(draft.shown().ends_with("lines]!"));
    }

    #[test]
    fn backspace_takes_a_character_or_a_collapsed_paste() {
        let mut draft = Draft::default();
        draft.push('ä');
        draft.push('b');
        draft.paste("one\ntwo".into());
        draft.backspace();
        assert_eq!(draft.shown(), "äb");
        draft.backspace();
        draft.backspace();
        draft.backspace();
        assert!(draft.is_empty());
    }

    #[test]
    fn blanks_alone_are_not_submitted() {
        let mut draft = Draft::default();
        draft.push(' ');
        assert_eq!(draft.take(), None);
        assert_eq!(draft.shown(), " ");
    }

    #[test]
    fn controls_are_shown_visibly() {
        let mut draft = Draft::default();
        draft.paste("a\u{1b}[2Jb".into());
        assert_eq!(draft.shown(), "a⟨U+001B⟩[2Jb");
    }
}
