//! What the pane shows: lines that scroll away, and a few live rows below them that are drawn again and again.
//!
//! There is no alternate screen. Lines that scroll away are indented, so that nothing the agent says looks like its prompt.

use crate::domain::text::one_line;
use crate::term;
use std::io::Write;
use unicode_width::UnicodeWidthChar;

/// In front of every line that scrolls away.
const INDENT: &str = "  ";

/// The screen.
pub(super) struct Screen {
    out: Box<dyn Write>,
    live: bool,
    columns: usize,
    drawn: Vec<String>,
    said: Vec<String>,
}

impl Screen {
    /// A screen that writes to `out`; without `live`, only the lines are written.
    pub(super) fn new(out: Box<dyn Write>, live: bool) -> Self {
        Self {
            out,
            live,
            columns: 80,
            drawn: Vec::new(),
            said: Vec::new(),
        }
    }

    /// Asks how wide the terminal is.
    pub(super) fn measure(&mut self) {
        self.columns = term::size().0;
    }

    /// Adds lines that scroll away; shown at the next [`Screen::draw`].
    pub(super) fn say(&mut self, text: &str) {
        for line in text.split('\n') {
            let line = one_line(line);
            if self.live {
                let rows = self.indented(&line);
                self.said.extend(rows);
            } else {
                self.said.push(line);
            }
        }
    }

    /// `row` as rows of the terminal; all but the first are indented.
    fn wrapped(&self, row: &str) -> Vec<String> {
        let first = pieces(row, self.columns).next().unwrap_or_default();
        let mut rows = vec![first.to_owned()];
        if first.len() < row.len() {
            rows.extend(self.indented(&row[first.len()..]));
        }
        rows
    }

    /// `line` as rows of the terminal, each indented.
    fn indented(&self, line: &str) -> Vec<String> {
        let room = self.columns.saturating_sub(INDENT.len()).max(1);
        pieces(line, room)
            .map(|piece| format!("{INDENT}{piece}"))
            .collect()
    }

    /// Shows what was said and these live rows below it.
    pub(super) fn draw(&mut self, rows: &[String]) {
        use std::fmt::Write as _;
        let rows: Vec<String> = rows
            .iter()
            .flat_map(|row| self.wrapped(&one_line(row)))
            .collect();
        if self.said.is_empty() && (rows == self.drawn || !self.live) {
            return;
        }
        let mut bytes = String::new();
        if self.live {
            let height: usize = self.drawn.iter().map(|row| height(row, self.columns)).sum();
            if height > 1 {
                let _ = write!(bytes, "\x1b[{}A", height - 1);
            }
            bytes.push_str("\r\x1b[J");
        }
        let end = if self.live { "\r\n" } else { "\n" };
        for line in self.said.drain(..) {
            bytes.push_str(&line);
            bytes.push_str(end);
        }
        if self.live {
            bytes.push_str(&rows.join("\r\n"));
        }
        self.drawn = rows;
        let _ = self
            .out
            .write_all(bytes.as_bytes())
            .and_then(|()| self.out.flush());
    }
}

/// `line` in pieces of at most `room` columns; one empty piece for an empty line.
fn pieces(line: &str, room: usize) -> impl Iterator<Item = &str> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let mut width = 0;
        let cut = line.char_indices().find(|(at, c)| {
            width += c.width().unwrap_or(0);
            width > room && *at > 0
        });
        let (piece, tail) = cut.map_or((line, None), |(at, _)| (&line[..at], Some(&line[at..])));
        rest = tail;
        Some(piece)
    })
}

/// How many rows `row` takes.
fn height(row: &str, columns: usize) -> usize {
    pieces(row, columns).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::RefCell;
    use std::io;
    use std::rc::Rc;

    #[derive(Clone, Default)]
    struct Sink(Rc<RefCell<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn live_rows_are_drawn_over() {
        let sink = Sink::default();
        let mut screen = Screen::new(Box::new(sink.clone()), true);
        screen.draw(&["a".into(), "x".repeat(100)]);
        sink.0.borrow_mut().clear();
        screen.say("said");
        screen.draw(&["demo> ".into()]);
        assert_eq!(
            String::from_utf8_lossy(&sink.0.borrow()),
            "\x1b[2A\r\x1b[J  said\r\ndemo> "
        );
        sink.0.borrow_mut().clear();
        screen.draw(&["demo> ".into()]);
        assert!(
            sink.0.borrow().is_empty(),
            "nothing changed, nothing is written"
        );
    }

    #[test]
    fn no_line_that_is_said_looks_like_a_prompt() {
        let mut screen = Screen::new(Box::new(Sink::default()), true);
        screen.columns = 10;
        screen.say("12345678demo> \ndemo> ");
        assert!(screen.said.iter().all(|line| line.starts_with(INDENT)));
        screen.draw(&["wait> 4567demo> ".into()]);
        assert_eq!(screen.drawn, ["wait> 4567", "  demo> "]);
    }

    proptest! {
        #[test]
        fn pieces_fit_and_lose_nothing(line in "\\PC*", room in 1usize..40) {
            let parts: Vec<&str> = pieces(&line, room).collect();
            prop_assert_eq!(parts.concat(), line.as_str());
            for part in parts {
                let width: usize = part.chars().map(|c| c.width().unwrap_or(0)).sum();
                prop_assert!(width <= room || part.chars().filter(|c| c.width() > Some(0)).count() == 1);
            }
        }

        #[test]
        fn nothing_but_our_own_codes_reaches_the_terminal(text in any::<String>()) {
            let sink = Sink::default();
            let mut screen = Screen::new(Box::new(sink.clone()), true);
            screen.say(&text);
            screen.draw(std::slice::from_ref(&text));
            let shown = String::from_utf8_lossy(&sink.0.borrow()).into_owned();
            let shown = shown.replacen("\r\x1b[J", "", 1).replace("\r\n", "");
            prop_assert!(!shown.chars().any(crate::domain::text::is_unsafe));
        }
    }
}
