//! A text that a person writes: one line, or several.

use crate::term::{Key, Move};

/// The longest text, in bytes.
const MOST: usize = 64 * 1024;

/// The text and its cursor, which stands between two characters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::commands) struct Editor {
    text: String,
    cursor: usize,
    lines: bool,
}

impl Editor {
    /// A single line that begins as `text`.
    pub(in crate::commands) fn line(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            cursor: text.len(),
            lines: false,
        }
    }

    /// Several lines, empty.
    pub(in crate::commands) fn lines() -> Self {
        Self {
            lines: true,
            ..Self::default()
        }
    }

    /// The text.
    pub(in crate::commands) fn text(&self) -> &str {
        &self.text
    }

    /// Where the cursor is, in bytes.
    pub(in crate::commands) const fn cursor(&self) -> usize {
        self.cursor
    }

    fn insert(&mut self, text: &str) {
        let text = if self.lines {
            text.to_owned()
        } else {
            text.replace('\n', " ")
        };
        if self.text.len() + text.len() <= MOST {
            self.text.insert_str(self.cursor, &text);
            self.cursor += text.len();
        }
    }

    fn before(&self) -> usize {
        let last = self.text[..self.cursor].chars().next_back();
        self.cursor - last.map_or(0, char::len_utf8)
    }

    fn start(&self) -> usize {
        self.text[..self.cursor].rfind('\n').map_or(0, |at| at + 1)
    }

    fn end(&self) -> usize {
        let rest = &self.text[self.cursor..];
        self.cursor + rest.find('\n').unwrap_or(rest.len())
    }

    /// The place in the line that begins at `start` that is as far in as the cursor is in its own.
    fn under(&self, start: usize) -> usize {
        let characters = self.text[self.start()..self.cursor].chars().count();
        let line = self.text[start..].split('\n').next().unwrap_or_default();
        let there = line.char_indices().nth(characters);
        start + there.map_or(line.len(), |(at, _)| at)
    }

    /// A key that writes or moves; others do nothing.
    pub(in crate::commands) fn key(&mut self, key: &Key) {
        match key {
            Key::Char(c) => self.insert(c.encode_utf8(&mut [0; 4])),
            Key::Paste(text) => self.insert(text),
            Key::AltEnter if self.lines => self.insert("\n"),
            Key::Backspace => {
                let from = self.before();
                self.text.replace_range(from..self.cursor, "");
                self.cursor = from;
            }
            Key::KillLine => {
                let (from, to) = (self.start(), self.end());
                self.text.replace_range(from..to, "");
                self.cursor = from;
            }
            Key::Move(Move::Left) => self.cursor = self.before(),
            Key::Move(Move::Right) => {
                let next = self.text[self.cursor..].chars().next();
                self.cursor += next.map_or(0, char::len_utf8);
            }
            Key::Move(Move::Home) => self.cursor = self.start(),
            Key::Move(Move::End) => self.cursor = self.end(),
            Key::Move(Move::Up) => {
                if let Some(above) = self.start().checked_sub(1) {
                    let start = self.text[..above].rfind('\n').map_or(0, |at| at + 1);
                    self.cursor = self.under(start);
                }
            }
            Key::Move(Move::Down) => {
                let end = self.end();
                if end < self.text.len() {
                    self.cursor = self.under(end + 1);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn typed(mut editor: Editor, keys: &[Key]) -> Editor {
        for key in keys {
            editor.key(key);
        }
        editor
    }

    #[test]
    fn lines_are_written_where_they_may_be() {
        let keys = [Key::Char('a'), Key::AltEnter, Key::Paste("b\nc".into())];
        assert_eq!(typed(Editor::lines(), &keys).text(), "a\nb\nc");
        assert_eq!(typed(Editor::line(""), &keys).text(), "ab c");
    }

    #[test]
    fn the_cursor_goes_up_and_down_in_its_column() {
        let mut editor = typed(Editor::lines(), &[Key::Paste("äöü\nx\nabc".into())]);
        editor.key(&Key::Move(Move::Left));
        editor.key(&Key::Move(Move::Up));
        editor.key(&Key::Char('1'));
        editor.key(&Key::Move(Move::Up));
        editor.key(&Key::Char('2'));
        editor.key(&Key::Move(Move::Down));
        editor.key(&Key::Move(Move::Down));
        editor.key(&Key::KillLine);
        assert_eq!(editor.text(), "äö2ü\nx1\n");
    }

    proptest! {
        #[test]
        fn the_cursor_stands_between_characters(keys in prop::collection::vec(prop_oneof![
            any::<char>().prop_map(Key::Char),
            ".{0,6}".prop_map(Key::Paste),
            prop::sample::select(vec![Key::AltEnter, Key::Backspace, Key::KillLine, Key::Enter, Key::Other]),
            prop::sample::select(vec![Move::Up, Move::Down, Move::Left, Move::Right, Move::Home, Move::End, Move::PageUp]).prop_map(Key::Move),
        ], 0..40), lines in any::<bool>()) {
            let mut editor = if lines { Editor::lines() } else { Editor::line("x") };
            for key in &keys {
                editor.key(key);
                prop_assert!(editor.text().is_char_boundary(editor.cursor()));
                prop_assert!(lines || !editor.text().contains('\n'));
            }
        }
    }
}
