//! What is known of one agent, and the screen of its pane.

use super::look::{put, wrapped};
use super::{Agent, Detail, View};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Columns of a field's name.
const NAME: u16 = 10;

/// Lines of the last answer that are shown at most.
const ANSWER: usize = 40;

/// A line of the details: a field's name, and text.
struct Line {
    name: String,
    text: String,
    style: Style,
}

fn field(name: &str, text: &str, style: Style, width: usize, most: usize, lines: &mut Vec<Line>) {
    for (at, text) in wrapped(text, width, most).into_iter().enumerate() {
        lines.push(Line {
            name: if at == 0 {
                name.to_owned()
            } else {
                String::new()
            },
            text,
            style,
        });
    }
}

fn lines(view: &View<'_>, agent: &Agent, detail: &Detail, width: usize) -> Vec<Line> {
    let look = view.look;
    let mut lines = Vec::new();
    for (at, ask) in agent.asks.iter().enumerate() {
        let name = if at == 0 { "asks" } else { "" };
        let text = format!("approval {}: {}", ask.id, ask.what);
        field(name, &text, look.warn(), width, 3, &mut lines);
    }
    for (name, text) in &detail.facts {
        field(name, text, Style::new(), width, 4, &mut lines);
    }
    for (at, text) in detail.queue.iter().enumerate() {
        let name = if at == 0 { "queue" } else { "" };
        field(name, text, Style::new(), width, 3, &mut lines);
    }
    if let Some(answer) = &detail.answer {
        field("answer", answer, Style::new(), width, ANSWER, &mut lines);
    }
    lines
}

/// Draws them: the facts above, the pane's last rows below.
pub(super) fn draw(view: &View<'_>, buffer: &mut Buffer, area: Rect) {
    let Some(agent) = view.selected.and_then(|at| view.agents.get(at)) else {
        return;
    };
    if area.width < 2 || area.height == 0 {
        return;
    }
    let title = format!("{}  {} in {}", agent.window, agent.id, agent.session);
    put(buffer, area.x, area.y, &title, area.width, view.look.bold());
    let body = Rect {
        y: area.y + 1,
        height: area.height - 1,
        ..area
    };
    let empty = Detail::default();
    let detail = view.detail.unwrap_or(&empty);
    let name = if area.width > 3 * NAME { NAME } else { 0 };
    let lines = lines(view, agent, detail, usize::from(area.width - name));
    let rows = view.preview.map_or(&[][..], |rows| rows);
    // The pane gets what the facts leave, at least half.
    let below = if rows.is_empty() {
        0
    } else {
        let free = usize::from(body.height).saturating_sub(lines.len());
        free.max(usize::from(body.height) / 2)
    };
    let above = usize::from(body.height) - below;
    let top = view.detail_top.min(lines.len().saturating_sub(above));
    for (y, line) in (body.y..).zip(lines.iter().skip(top).take(above)) {
        if name > 0 {
            put(buffer, body.x, y, &line.name, name, view.look.dim());
        }
        put(
            buffer,
            body.x + name,
            y,
            &line.text,
            body.width - name,
            line.style,
        );
    }
    if below > 0 {
        let y = body.y + u16::try_from(above).unwrap_or(0);
        pane(
            view,
            rows,
            buffer,
            Rect::new(body.x, y, body.width, body.bottom() - y),
        );
    }
}

/// The last rows of the pane under a line.
fn pane(view: &View<'_>, rows: &[String], buffer: &mut Buffer, area: Rect) {
    let dash = view.look.dash().repeat(usize::from(area.width));
    put(buffer, area.x, area.y, &dash, area.width, view.look.dim());
    put(
        buffer,
        area.x + 2,
        area.y,
        " its screen ",
        area.width.saturating_sub(2),
        view.look.dim(),
    );
    let height = usize::from(area.height - 1);
    let skip = rows.len().saturating_sub(height);
    for (y, row) in (area.y + 1..area.bottom()).zip(&rows[skip..]) {
        put(buffer, area.x, y, row, area.width, Style::new());
    }
}
