//! A text to read in a popup: an agent's last answer, or what it printed.

use super::Door;
use super::plugin::existing;
use super::stage::{self, Go, View};
use crate::domain::ids::TerminalId;
use crate::error::Result;
use crate::services::find;
use crate::services::output::{self, Mode};
use crate::term::{Key, MouseAct, Move};
use crate::ui::sheet::{self, Row, Style};

/// Most lines of a log that are read.
const LINES: usize = 2000;

/// Rows that the wheel turns.
const WHEEL: usize = 3;

/// The text, and which part of it is on the screen.
#[derive(Debug)]
struct Reader {
    title: String,
    text: String,
    rows: Vec<Row>,
    /// The width that the rows are laid out for.
    width: usize,
    /// Rows of text on the screen.
    height: usize,
    top: usize,
    /// Whether it begins at the end of the text.
    at_end: bool,
}

impl Reader {
    const fn new(title: String, text: String, at_end: bool) -> Self {
        Self {
            title,
            text,
            rows: Vec::new(),
            width: 0,
            height: 0,
            top: 0,
            at_end,
        }
    }

    fn bottom(&self) -> usize {
        self.rows.len().saturating_sub(self.height)
    }
}

impl View for Reader {
    fn draw(&mut self, (columns, lines): (usize, usize)) -> Vec<Row> {
        self.height = lines.saturating_sub(2).max(1);
        if self.width != columns {
            self.width = columns;
            self.rows = sheet::prose(&self.text, columns);
            if std::mem::take(&mut self.at_end) {
                self.top = self.bottom();
            }
        }
        self.top = self.top.min(self.bottom());
        let mut screen = vec![Row::prose(Style::Bold, &self.title)];
        let end = (self.top + self.height).min(self.rows.len());
        screen.extend_from_slice(&self.rows[self.top..end]);
        screen.resize(self.height + 1, Row::default());
        let foot = format!(
            "{end}/{}   space b turn   j k move   g G ends   q leave",
            self.rows.len()
        );
        screen.push(Row::prose(Style::Dim, &foot));
        let rows = screen.iter().take(lines);
        rows.map(|row| row.cut(columns)).collect()
    }

    fn key(&mut self, key: &Key) -> Result<Go> {
        let page = self.height.saturating_sub(1).max(1);
        let (up, down) = match key {
            Key::Esc | Key::CtrlC | Key::CtrlD | Key::Char('q') => return Ok(Go::Leave),
            Key::Move(Move::Up) | Key::Char('k') => (1, 0),
            Key::Move(Move::Down) | Key::Char('j') | Key::Enter => (0, 1),
            Key::Move(Move::PageUp) | Key::Char('b') => (page, 0),
            Key::Move(Move::PageDown) | Key::Char(' ') => (0, page),
            Key::Move(Move::Home) | Key::Char('g') => (self.top, 0),
            Key::Move(Move::End) | Key::Char('G') => (0, self.rows.len()),
            Key::Mouse(mouse) => match mouse.act {
                MouseAct::WheelUp => (WHEEL, 0),
                MouseAct::WheelDown => (0, WHEEL),
                MouseAct::Click => (0, 0),
            },
            _ => (0, 0),
        };
        self.top = (self.top + down).min(self.bottom()).saturating_sub(up);
        Ok(Go::On)
    }

    fn look(&mut self) -> Result<()> {
        Ok(())
    }
}

/// The program in the popup: `menu read-popup CLIENT ID answer|log`.
pub(super) fn run(door: &Door<'_>, words: &[String]) -> Result<()> {
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    let id = TerminalId::parse(word(0)).map_err(find::invalid)?;
    let gone = || find::unknown(&id);
    let mut store = existing(door)?.ok_or_else(gone)?;
    let agent = store.read(|tx| tx.terminal(&id))?.ok_or_else(gone)?;
    let name = agent.display_name();
    let mut reader = if word(1) == "log" {
        let text = output::log(&door.cx, &agent, Some(LINES))?;
        Reader::new(format!("what {name} printed"), text, true)
    } else {
        let text = output::output(&door.cx, &agent, Mode::Last)?;
        Reader::new(format!("the last answer of {name}"), text, false)
    };
    stage::run(&mut reader)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term::Mouse;

    fn shown(reader: &mut Reader) -> Vec<String> {
        let rows = reader.draw((20, 5));
        assert!(rows.len() <= 5);
        rows.iter().map(Row::text).collect()
    }

    #[test]
    fn it_turns_and_stays_within_the_text() {
        let text: String = (1..=9).map(|n| format!("line {n}\n")).collect();
        let mut reader = Reader::new("t".into(), text.clone(), false);
        assert_eq!(shown(&mut reader)[1..4], ["line 1", "line 2", "line 3"]);
        for (key, first) in [
            (Key::Char('k'), "line 1"),
            (Key::Char(' '), "line 3"),
            (Key::Char('G'), "line 7"),
            (Key::Char('j'), "line 7"),
            (Key::Move(Move::PageUp), "line 5"),
            (Key::Other, "line 5"),
            (
                Key::Mouse(Mouse {
                    act: MouseAct::WheelUp,
                    column: 0,
                    row: 0,
                }),
                "line 2",
            ),
            (Key::Move(Move::Home), "line 1"),
        ] {
            assert_eq!(reader.key(&key).unwrap(), Go::On);
            assert_eq!(shown(&mut reader)[1], first, "{key:?}");
        }
        let mut log = Reader::new("t".into(), text, true);
        assert_eq!(shown(&mut log)[1], "line 7");
        assert_eq!(log.key(&Key::Esc).unwrap(), Go::Leave);
    }

    #[test]
    fn long_and_wide_lines_are_folded() {
        let text = "a word and another one\n日本語日本語日本語日本語\n\n“so” — yes\tthere";
        let rows = sheet::prose(text, 10);
        let rows: Vec<String> = rows.iter().map(Row::text).collect();
        assert_eq!(
            rows,
            [
                "a word and",
                "another",
                "one",
                "日本語日本",
                "語日本語日",
                "本語",
                "",
                "“so” — yes",
                "   there"
            ]
        );
        let mut tiny = Reader::new("t".into(), text.into(), true);
        for size in [(1, 1), (2, 2), (3, 3), (0, 0)] {
            tiny.draw(size);
        }
    }
}
