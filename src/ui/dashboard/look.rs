//! Colours and shapes, and text into cells.

use crate::domain::terminal::Status;
use crate::domain::text::one_line;
use crate::ui::sheet;
use crate::ui::table::cut;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// What the terminal can show, and the person wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Colours (`NO_COLOR` is not set).
    pub colour: bool,
    /// Characters beyond ASCII.
    pub unicode: bool,
}

impl Look {
    /// The shape of a status: each has its own, so that none is told by colour alone.
    pub const fn marker(self, status: Status) -> &'static str {
        let (shape, plain) = match status {
            Status::Starting => ("◌", "~"),
            Status::Idle => ("○", "o"),
            Status::Working => ("●", "*"),
            Status::Waiting => ("◆", "!"),
            Status::Parked => ("□", "="),
            Status::Error => ("×", "x"),
            Status::Exited => ("·", "."),
            Status::Unknown => ("?", "?"),
        };
        if self.unicode { shape } else { plain }
    }

    /// The style of a status.
    pub fn status(self, status: Status) -> Style {
        let (colour, modifier) = match status {
            Status::Starting => (Color::Cyan, Modifier::empty()),
            Status::Idle => (Color::Green, Modifier::empty()),
            Status::Working => (Color::Blue, Modifier::empty()),
            Status::Waiting => (Color::Yellow, Modifier::BOLD),
            Status::Parked => (Color::Magenta, Modifier::empty()),
            Status::Error => (Color::Red, Modifier::BOLD),
            Status::Exited => (Color::Reset, Modifier::DIM),
            Status::Unknown => (Color::Reset, Modifier::BOLD),
        };
        self.of(colour).add_modifier(modifier)
    }

    fn of(self, colour: Color) -> Style {
        if self.colour {
            Style::new().fg(colour)
        } else {
            Style::new()
        }
    }

    /// Names of fields, frames, what has ended.
    pub fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// What matters.
    pub fn bold(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// What a person should not overlook.
    pub fn warn(self) -> Style {
        self.of(Color::Yellow).add_modifier(Modifier::BOLD)
    }

    /// What is under the cursor.
    pub fn chosen(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// A line between columns.
    pub const fn rule(self) -> &'static str {
        if self.unicode { "│" } else { "|" }
    }

    /// A line between rows.
    pub const fn dash(self) -> &'static str {
        if self.unicode { "─" } else { "-" }
    }

    fn sheet(self, style: sheet::Style) -> Style {
        match style {
            sheet::Style::Plain => Style::new(),
            sheet::Style::Dim => self.dim(),
            sheet::Style::Bold => self.bold(),
            sheet::Style::Warn => self.warn(),
            sheet::Style::Mark => self.chosen(),
        }
    }
}

/// Writes `text` as one safe line of at most `width` columns; returns the column behind it.
pub(super) fn put(
    buffer: &mut Buffer,
    x: u16,
    y: u16,
    text: &str,
    width: u16,
    style: Style,
) -> u16 {
    let area = *buffer.area();
    if x >= area.right() || y >= area.bottom() {
        return x;
    }
    let width = width.min(area.right() - x);
    buffer
        .set_stringn(x, y, one_line(text), usize::from(width), style)
        .0
}

/// Writes a row of a request.
pub(super) fn put_row(buffer: &mut Buffer, y: u16, row: &sheet::Row, look: Look) {
    let mut x = 0;
    for (style, text) in row.parts() {
        x = put(buffer, x, y, text, u16::MAX, look.sheet(*style));
    }
}

/// `text` as safe lines of at most `width` columns, broken at blanks where there are some; at most `most` lines.
pub(super) fn wrapped(text: &str, width: usize, most: usize) -> Vec<String> {
    let width = width.max(2);
    let mut lines = Vec::new();
    for line in text.split('\n') {
        let mut rest = one_line(line);
        while rest.width() > width && lines.len() < most {
            let mut used = 0;
            let mut end = 0;
            let mut blank = None;
            for (at, c) in rest.char_indices() {
                used += c.width().unwrap_or(0);
                if used > width {
                    break;
                }
                if c == ' ' && at > 0 {
                    blank = Some(at);
                }
                end = at + c.len_utf8();
            }
            let next_is_blank = rest[end..].starts_with(' ');
            let cut = if next_is_blank {
                end
            } else {
                blank.unwrap_or(end)
            };
            let tail = rest.split_off(cut);
            lines.push(rest.trim_end().to_owned());
            tail.trim_start_matches(' ').clone_into(&mut rest);
        }
        if lines.len() >= most {
            break;
        }
        lines.push(rest);
    }
    lines.truncate(most);
    lines
}

/// As many of the parts of `text`, which stand between `between`, as fit into `width` columns.
pub(super) fn fitted(text: &str, between: &str, width: usize) -> String {
    let line = one_line(text);
    let ends = line.match_indices(between).map(|(at, _)| at);
    let fits = |end: &usize| line[..*end].width() <= width;
    match ends.chain([line.len()]).take_while(fits).last() {
        Some(end) => line[..end].to_owned(),
        None => cut(&line, width),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_stay_whole_where_they_fit() {
        assert_eq!(wrapped("one two three", 8, 9), ["one two", "three"]);
        assert_eq!(wrapped("onetwothree x", 4, 9), ["onet", "woth", "ree", "x"]);
        assert_eq!(wrapped("日本語", 4, 9), ["日本", "語"]);
        assert_eq!(wrapped("a\nb\nc", 4, 2), ["a", "b"]);
    }

    #[test]
    fn what_does_not_fit_goes_as_a_whole() {
        let head = "4 agents, 2 need you, 1 approval, 2 in queues";
        assert_eq!(fitted(head, ", ", 45), head);
        assert_eq!(fitted(head, ", ", 44), "4 agents, 2 need you, 1 approval");
        assert_eq!(fitted(head, ", ", 8), "4 agents");
        assert_eq!(fitted(head, ", ", 7), "4 agen…");
    }

    #[test]
    fn each_status_has_a_shape_of_its_own() {
        for unicode in [true, false] {
            let look = Look {
                colour: false,
                unicode,
            };
            let mut shapes: Vec<&str> = Status::ALL.map(|status| look.marker(status)).to_vec();
            shapes.sort_unstable();
            shapes.dedup();
            assert_eq!(shapes.len(), Status::ALL.len());
            assert!(unicode || shapes.iter().all(|shape| shape.is_ascii()));
        }
    }

    proptest! {
        #[test]
        fn wrapped_lines_fit(text in any::<String>(), width in 2usize..40, most in 1usize..9) {
            let lines = wrapped(&text, width, most);
            prop_assert!(lines.len() <= most);
            for line in lines {
                prop_assert!(line.width() <= width, "{line:?}");
            }
            prop_assert!(fitted(&text, " ", width).width() <= width);
        }
    }
}
