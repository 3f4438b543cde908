//! Cells to bytes for the terminal: the thin end of ratatui on our own terminal.

use crate::term;
use ratatui::backend::{Backend, ClearType, WindowSize};
use ratatui::buffer::Cell;
use ratatui::layout::{Position, Size};
use ratatui::style::{Color, Modifier};
use std::fmt::Write as _;
use std::io;
use unicode_width::UnicodeWidthStr;

/// The terminal of this process. What is drawn goes out in one write.
#[derive(Debug)]
pub(super) struct Screen {
    out: String,
    /// Columns and rows that are drawn.
    size: (u16, u16),
    /// Characters beyond ASCII can be shown.
    unicode: bool,
}

impl Screen {
    pub(super) const fn new(unicode: bool) -> Self {
        Self {
            out: String::new(),
            size: (80, 24),
            unicode,
        }
    }

    /// The size of what is drawn next: that for which it was laid out, whatever the terminal's is by then.
    pub(super) const fn resize(&mut self, size: (u16, u16)) {
        self.size = size;
    }
}

/// How a cell is drawn: foreground and modifiers. The background is the person's own.
fn style(cell: &Cell) -> (Color, Modifier) {
    (cell.fg, cell.modifier)
}

fn push_style(out: &mut String, (colour, modifier): (Color, Modifier)) {
    out.push_str("\x1b[0");
    for (one, code) in [
        (Modifier::BOLD, ";1"),
        (Modifier::DIM, ";2"),
        (Modifier::REVERSED, ";7"),
    ] {
        if modifier.contains(one) {
            out.push_str(code);
        }
    }
    out.push_str(match colour {
        Color::Red => ";31",
        Color::Green => ";32",
        Color::Yellow => ";33",
        Color::Blue => ";34",
        Color::Magenta => ";35",
        Color::Cyan => ";36",
        _ => "",
    });
    out.push('m');
}

impl Backend for Screen {
    type Error = io::Error;

    fn draw<'a, I>(&mut self, content: I) -> io::Result<()>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        let mut next = None;
        let mut drawn = None;
        for (x, y, cell) in content {
            if next != Some((x, y)) {
                let _ = write!(self.out, "\x1b[{};{}H", y + 1, x + 1);
            }
            if drawn != Some(style(cell)) {
                push_style(&mut self.out, style(cell));
                drawn = Some(style(cell));
            }
            let symbol = cell.symbol();
            if symbol.is_ascii() {
                self.out.push_str(symbol);
                next = Some((x + 1, y));
            } else {
                if self.unicode {
                    self.out.push_str(symbol);
                } else {
                    self.out.push_str(&"?".repeat(symbol.width().clamp(1, 2)));
                }
                // Terminals differ in how wide such a character is: what follows is put at its own place.
                next = None;
            }
        }
        if drawn.is_some() {
            self.out.push_str("\x1b[0m");
        }
        Ok(())
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn get_cursor_position(&mut self) -> io::Result<Position> {
        Ok(Position::ORIGIN)
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, _position: P) -> io::Result<()> {
        Ok(())
    }

    fn clear(&mut self) -> io::Result<()> {
        self.out.push_str("\x1b[0m\x1b[2J");
        Ok(())
    }

    fn clear_region(&mut self, _part: ClearType) -> io::Result<()> {
        self.clear()
    }

    fn size(&self) -> io::Result<Size> {
        Ok(Size::new(self.size.0, self.size.1))
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        Ok(WindowSize {
            columns_rows: self.size()?,
            pixels: Size::default(),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.out.is_empty() {
            term::write(self.out.as_bytes());
            self.out.clear();
        }
        Ok(())
    }
}

/// Columns and rows that are drawn: no terminal that a person reads has more.
pub(super) fn size() -> (u16, u16) {
    let (columns, rows) = term::size();
    let of = |cells: usize| u16::try_from(cells.min(1000)).unwrap_or(1000);
    (of(columns), of(rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::buffer::Buffer;
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    fn drawn(text: &str, style: Style, unicode: bool) -> String {
        let area = Rect::new(0, 0, 8, 1);
        let mut buffer = Buffer::empty(area);
        buffer.set_string(1, 0, text, style);
        let mut screen = Screen::new(unicode);
        let before = Buffer::empty(area);
        screen.draw(before.diff(&buffer).into_iter()).unwrap();
        screen.out
    }

    #[test]
    fn cells_become_few_bytes() {
        let style = Style::new().fg(Color::Yellow).add_modifier(Modifier::BOLD);
        assert_eq!(drawn("ab", style, true), "\x1b[1;2H\x1b[0;1;33mab\x1b[0m");
        assert_eq!(
            drawn("日x", Style::new(), true),
            "\x1b[1;2H\x1b[0m日\x1b[1;4Hx\x1b[0m"
        );
        assert_eq!(
            drawn("日x", Style::new(), false),
            "\x1b[1;2H\x1b[0m??\x1b[1;4Hx\x1b[0m"
        );
    }
}
