//! The last rows: what the keys do, what came of something, what is asked, what is written; and the list of keys.

use super::look::{fitted, put, wrapped};
use super::{Foot, View, paint};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Draws the last `height` rows.
pub(super) fn draw(view: &View<'_>, buffer: &mut Buffer, height: u16) {
    let screen = *buffer.area();
    let y = screen.bottom() - height;
    let width = screen.width;
    match &view.foot {
        Foot::Keys(text) => {
            let text = names(text, usize::from(width));
            put(buffer, 0, y, &text, width, view.look.dim());
        }
        Foot::Note(text) | Foot::Question(text) => {
            let lines = wrapped(text, usize::from(width), usize::from(height));
            for (y, line) in (y..).zip(lines) {
                put(buffer, 0, y, &line, width, view.look.warn());
            }
        }
        Foot::Text {
            title,
            text,
            cursor,
        } => {
            put(buffer, 0, y, title, width, view.look.bold());
            editor(
                text,
                *cursor,
                view,
                buffer,
                Rect::new(0, y + 1, width, height - 1),
            );
        }
    }
}

/// The names of as many keys as fit; the last one, which tells the others, is always among them.
fn names(keys: &str, width: usize) -> String {
    match keys.rsplit_once("  ") {
        Some((others, last)) if keys.width() > width => {
            let room = width.saturating_sub(2 + last.width());
            format!("{}  {last}", fitted(others, "  ", room))
        }
        _ => keys.to_owned(),
    }
}

/// The line of the cursor, and those around it.
fn editor(text: &str, cursor: usize, view: &View<'_>, buffer: &mut Buffer, area: Rect) {
    if area.height == 0 || area.width < 4 {
        return;
    }
    let before = text.get(..cursor).unwrap_or(text);
    let line = before.matches('\n').count();
    let in_line = before.rsplit('\n').next().unwrap_or_default();
    let first = (line + 1).saturating_sub(usize::from(area.height));
    let room = usize::from(area.width) - 3;
    let columns = |text: &str| -> usize { text.chars().map(shown).map(|(_, width)| width).sum() };
    let skip = columns(in_line).saturating_sub(room);
    for (y, (at, row)) in (area.y..area.bottom()).zip(text.split('\n').enumerate().skip(first)) {
        put(buffer, area.x, y, "> ", 2, view.look.dim());
        let (mut column, mut x) = (0, area.x + 2);
        for c in row.chars() {
            let (text, width) = shown(c);
            column += width;
            if column > skip {
                x = put(
                    buffer,
                    x,
                    y,
                    &text,
                    area.right().saturating_sub(x),
                    Style::new(),
                );
            }
        }
        if at == line {
            let x = area.x + 2 + u16::try_from(columns(in_line) - skip).unwrap_or(0);
            paint(buffer, Rect::new(x, y, 1, 1), view.look.chosen());
        }
    }
}

/// How a character of a text that is written is shown, and the columns that it takes.
fn shown(c: char) -> (String, usize) {
    let text = crate::domain::text::one_line(&c.to_string());
    let width = text.chars().filter_map(UnicodeWidthChar::width).sum();
    (text, width)
}

/// All keys, in as many columns as fit.
pub(super) fn help(keys: &[(&str, &str)], view: &View<'_>, buffer: &mut Buffer, area: Rect) {
    let widest = keys.iter().map(|(_, what)| what.width()).max();
    let width = u16::try_from(16 + widest.unwrap_or(0)).unwrap_or(area.width);
    let rows = usize::from(area.height.max(1));
    for (at, (key, what)) in keys.iter().enumerate() {
        let (column, row) = (at / rows, at % rows);
        let x = area.x + u16::try_from(column).unwrap_or(0) * width;
        let y = area.y + u16::try_from(row).unwrap_or(0);
        if x + 14 > area.right() {
            return;
        }
        put(buffer, x, y, key, 13, view.look.bold());
        put(buffer, x + 14, y, what, width - 16, Style::new());
    }
}
