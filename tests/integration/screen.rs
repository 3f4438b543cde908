//! What is on a terminal: cells with their styles, read from what `capture-pane -p -e` prints.

use unicode_width::UnicodeWidthChar;

/// A colour as a program asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Colour {
    /// The terminal's own.
    #[default]
    Default,
    /// One of the palette of 256.
    Index(u8),
    /// Red, green and blue.
    Rgb(u8, u8, u8),
}

/// How a cell is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Style {
    pub(crate) fg: Colour,
    pub(crate) bg: Colour,
    pub(crate) bold: bool,
    pub(crate) dim: bool,
    pub(crate) italic: bool,
    pub(crate) underline: bool,
    pub(crate) reverse: bool,
    /// Anything else: blinking, hidden, struck out, overlined.
    pub(crate) odd: bool,
}

/// A character with what is put on top of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) text: String,
    /// Columns that it takes.
    pub(crate) width: usize,
    pub(crate) style: Style,
}

/// A whole terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Screen {
    pub(crate) rows: Vec<Vec<Cell>>,
}

impl Style {
    /// Takes the numbers of one `ESC [ … m`.
    fn take(&mut self, sequence: &str) {
        let mut numbers = sequence
            .split([';', ':'])
            .map(|n| n.parse::<u16>().unwrap_or(0));
        while let Some(number) = numbers.next() {
            match number {
                0 => *self = Self::default(),
                1 => self.bold = true,
                2 => self.dim = true,
                3 => self.italic = true,
                4 => self.underline = true,
                7 => self.reverse = true,
                22 => (self.bold, self.dim) = (false, false),
                23 => self.italic = false,
                24 => self.underline = false,
                27 => self.reverse = false,
                30..=37 => self.fg = Colour::Index(byte(number - 30)),
                40..=47 => self.bg = Colour::Index(byte(number - 40)),
                90..=97 => self.fg = Colour::Index(byte(number - 90 + 8)),
                100..=107 => self.bg = Colour::Index(byte(number - 100 + 8)),
                38 => self.fg = colour(&mut numbers),
                48 => self.bg = colour(&mut numbers),
                39 => self.fg = Colour::Default,
                49 => self.bg = Colour::Default,
                _ => self.odd = true,
            }
        }
    }
}

fn byte(number: u16) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

fn colour(numbers: &mut impl Iterator<Item = u16>) -> Colour {
    let mut next = || byte(numbers.next().unwrap_or(0));
    match next() {
        2 => Colour::Rgb(next(), next(), next()),
        _ => Colour::Index(next()),
    }
}

impl Screen {
    /// Reads what `capture-pane -p -e` printed; fails the test on a sequence that is no style: nothing else may stand in a terminal.
    #[track_caller]
    pub(crate) fn read(captured: &str) -> Self {
        let mut style = Style::default();
        let rows = captured
            .trim_end_matches('\n')
            .split('\n')
            .map(|line| row(line, &mut style))
            .collect();
        Self { rows }
    }

    /// The characters alone, without blanks at the ends of rows.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for row in &self.rows {
            let line: String = row.iter().map(|cell| cell.text.as_str()).collect();
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[track_caller]
fn row(line: &str, style: &mut Style) -> Vec<Cell> {
    let mut cells: Vec<Cell> = Vec::new();
    let mut rest = line;
    while let Some(letter) = rest.chars().next() {
        if let Some(sequence) = rest.strip_prefix("\u{1b}[") {
            let end = sequence.find(|c: char| !"0123456789;:".contains(c));
            let end = end.unwrap_or_else(|| panic!("a sequence without an end: {line:?}"));
            assert_eq!(&sequence[end..=end], "m", "no style: {line:?}");
            style.take(&sequence[..end]);
            rest = &sequence[end + 1..];
            continue;
        }
        assert!(!letter.is_control(), "a control character: {line:?}");
        let width = letter.width().unwrap_or(0);
        match cells.last_mut() {
            Some(last) if width == 0 || last.text.ends_with('\u{200d}') => last.text.push(letter),
            _ => cells.push(Cell {
                text: letter.to_string(),
                width: width.max(1),
                style: *style,
            }),
        }
        rest = &rest[letter.len_utf8()..];
    }
    cells
}

#[test]
fn styles_and_wide_characters_are_read() {
    let screen = Screen::read("a\u{1b}[1;31mb日\u{1b}[0m\n\u{1b}[38;5;200;7mc\n");
    assert_eq!(screen.text(), "ab日\nc\n");
    let red = screen.rows[0][2].style;
    assert_eq!((red.fg, red.bold), (Colour::Index(1), true));
    assert_eq!(screen.rows[0][2].width, 2);
    let last = screen.rows[1][0].style;
    assert_eq!((last.fg, last.reverse), (Colour::Index(200), true));
}
