//! Aligned columns for people; untrusted text is made one safe line.

use crate::domain::text::one_line;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// A table without borders.
#[derive(Debug, Clone)]
pub struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub fn new(head: &[&'static str]) -> Self {
        Self {
            head: head.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row<S: AsRef<str>>(&mut self, cells: &[S]) {
        self.rows
            .push(cells.iter().map(|cell| one_line(cell.as_ref())).collect());
    }

    /// The text, each line with its newline; the last column is as wide as it is.
    pub fn render(&self) -> String {
        let head: Vec<String> = self.head.iter().map(|h| h.to_uppercase()).collect();
        let mut widths: Vec<usize> = head.iter().map(|h| h.width()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        let mut text = String::new();
        for row in std::iter::once(&head).chain(&self.rows) {
            let mut line = String::new();
            for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
                line.push_str(cell);
                if index + 1 < row.len() {
                    line.push_str(&" ".repeat(width - cell.width() + 2));
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// `text` on one line, cut to `width` columns with an ellipsis.
pub fn cut(text: &str, width: usize) -> String {
    let line = one_line(text);
    if line.width() <= width {
        return line;
    }
    let mut used = 0;
    let mut short = String::new();
    for c in line.chars() {
        used += c.width().unwrap_or(0);
        if used >= width {
            break;
        }
        short.push(c);
    }
    short.push('…');
    short
}

/// A span of milliseconds for people: `3s`, `2m`, `5h`, `4d`.
pub fn age(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn columns_are_aligned_by_width_and_text_is_safe() {
        let mut table = Table::new(&["id", "name"]);
        table.row(&["1", "a\u{1b}[31m"]);
        table.row(&["日本", "b"]);
        assert_eq!(table.render(), "ID    NAME\n1     a⟨U+001B⟩[31m\n日本  b\n");
    }

    #[test]
    fn ages_are_short() {
        assert_eq!(
            [age(900), age(61_000), age(7_200_000), age(172_800_000)],
            ["0s", "1m", "2h", "2d"]
        );
    }

    proptest! {
        #[test]
        fn cut_text_fits(text in any::<String>(), width in 2usize..40) {
            prop_assert!(cut(&text, width).width() <= width);
        }
    }
}
