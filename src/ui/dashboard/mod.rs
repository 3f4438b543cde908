//! The dashboard on the screen: the tree of agents, what is known of one of them, its pane, and what is being asked or written.
//!
//! It draws cells and nothing else. All text of agents is made one safe line before it is cut to columns.

mod detail;
mod foot;
mod look;
mod tree;

pub use look::Look;
pub use tree::{Branch, branches, kept_in_sight};

use super::sheet;
use crate::domain::ids::{ApprovalId, TerminalId};
use crate::domain::terminal::{Role, Status};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_width::UnicodeWidthStr;

/// From this width on the tree and the details stand side by side.
const TWO_COLUMNS: u16 = 60;

/// From this height of the tree on an agent takes two lines.
const TWO_LINES: u16 = 12;

/// One agent of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Its terminal.
    pub id: TerminalId,
    /// Socket of its tmux server, where it is known.
    pub server: Option<String>,
    /// Its tmux session.
    pub session: String,
    /// Its window.
    pub window: String,
    /// Its profile.
    pub profile: String,
    /// Its provider.
    pub provider: String,
    /// Its part.
    pub role: Role,
    /// Its status.
    pub status: Status,
    /// Since when, in milliseconds since 1970.
    pub since_ms: i64,
    /// What it does now, or why its status is believed.
    pub doing: String,
    /// How many messages wait for it.
    pub unread: i64,
    /// What waits for a person, the oldest first.
    pub asks: Vec<Ask>,
}

/// A request that waits for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The approval.
    pub id: ApprovalId,
    /// What for, in one line.
    pub what: String,
}

impl Agent {
    /// Whether a person is what it waits for.
    pub fn needs_person(&self) -> bool {
        !self.asks.is_empty() || matches!(self.status, Status::Waiting | Status::Error)
    }
}

/// What is known of the agent under the cursor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Detail {
    /// Name and text of each fact.
    pub facts: Vec<(String, String)>,
    /// Messages that wait, in order.
    pub queue: Vec<String>,
    /// The last answer.
    pub answer: Option<String>,
}

/// What stands in the last rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Foot<'a> {
    /// What the keys do.
    Keys(&'a str),
    /// What came of something.
    Note(&'a str),
    /// A question that one key answers.
    Question(&'a str),
    /// A text that is being written.
    Text {
        /// What it is for.
        title: &'a str,
        /// The text.
        text: &'a str,
        /// Where the cursor is, in bytes.
        cursor: usize,
    },
}

/// What covers the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Over<'a> {
    /// Nothing.
    Nothing,
    /// The keys: what is pressed, and what it does.
    Help(Vec<(&'a str, &'a str)>),
    /// A request that is read.
    Sheet(Vec<sheet::Row>),
}

/// All that is drawn.
#[derive(Debug, Clone)]
pub struct View<'a> {
    /// Colour and shapes.
    pub look: Look,
    /// Now, in milliseconds since 1970.
    pub now_ms: i64,
    /// The agents.
    pub agents: &'a [Agent],
    /// The tree over them.
    pub tree: &'a [Branch],
    /// The agent under the cursor: its place in `agents`.
    pub selected: Option<usize>,
    /// The first line of the tree that is shown.
    pub top: usize,
    /// What is known of the agent under the cursor.
    pub detail: Option<&'a Detail>,
    /// The first line of that which is shown.
    pub detail_top: usize,
    /// The rows of its pane.
    pub preview: Option<&'a [String]>,
    /// On a narrow screen: the details, not the tree.
    pub turned: bool,
    /// What the tree is filtered by, where it is.
    pub filter: Option<&'a str>,
    /// The last rows.
    pub foot: Foot<'a>,
    /// What covers it.
    pub over: Over<'a>,
}

/// Where the parts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// The tree.
    pub tree: Rect,
    /// The details.
    pub detail: Rect,
    /// Lines that an agent takes in the tree.
    pub lines: usize,
}

/// The parts of a screen of this size whose foot has `foot` rows; a part that is not shown is empty.
pub fn parts((columns, rows): (u16, u16), foot: u16, turned: bool) -> Parts {
    let body = Rect::new(0, 1.min(rows), columns, rows.saturating_sub(1 + foot));
    let lines = if body.height >= TWO_LINES { 2 } else { 1 };
    let (tree, detail) = if columns >= TWO_COLUMNS {
        let left = (columns * 2 / 5).clamp(28, 56);
        let mut right = body;
        right.x += left + 1;
        right.width -= left + 1;
        (
            Rect {
                width: left,
                ..body
            },
            right,
        )
    } else if turned {
        (Rect { width: 0, ..body }, body)
    } else {
        (body, Rect { width: 0, ..body })
    };
    Parts {
        tree,
        detail,
        lines,
    }
}

/// Rows of the foot on a screen of this size.
pub fn foot_rows(foot: &Foot<'_>, (columns, rows): (u16, u16)) -> u16 {
    let wanted = match foot {
        Foot::Text { text, .. } => 1 + text.split('\n').count().min(8),
        Foot::Note(text) | Foot::Question(text) => {
            look::wrapped(text, usize::from(columns), 4).len()
        }
        Foot::Keys(_) => 1,
    };
    let wanted = u16::try_from(wanted).unwrap_or(1);
    wanted.min(rows.saturating_sub(1) / 2).max(1)
}

/// Draws all of it into `buffer`.
pub fn draw(view: &View<'_>, buffer: &mut Buffer) {
    let area = *buffer.area();
    let (columns, rows) = (area.width, area.height);
    if columns == 0 || rows == 0 {
        return;
    }
    if let Over::Sheet(sheet) = &view.over {
        for (y, row) in (0..rows).zip(sheet) {
            look::put_row(buffer, y, row, view.look);
        }
        return;
    }
    let foot = foot_rows(&view.foot, (columns, rows));
    let parts = parts((columns, rows), foot, view.turned);
    head(view, buffer, columns);
    if let Over::Help(keys) = &view.over {
        let body = Rect::new(0, 1, columns, rows.saturating_sub(2));
        foot::help(keys, view, buffer, body);
        foot::draw(view, buffer, foot.min(rows - 1));
        return;
    }
    tree::draw(view, buffer, parts);
    detail::draw(view, buffer, parts.detail);
    if !view.tree.is_empty() && parts.tree.width > 0 && parts.detail.width > 0 {
        let rule = view.look.rule();
        for y in parts.detail.top()..parts.detail.bottom() {
            look::put(buffer, parts.tree.right(), y, rule, 1, view.look.dim());
        }
    }
    if rows > 1 {
        foot::draw(view, buffer, foot);
    }
}

fn head(view: &View<'_>, buffer: &mut Buffer, columns: u16) {
    let living = view.agents.iter().filter(|agent| agent.status.alive());
    let (mut agents, mut waiting, mut asks, mut unread) = (0, 0, 0, 0);
    for agent in living {
        agents += 1;
        waiting += usize::from(agent.needs_person());
        asks += agent.asks.len();
        unread += agent.unread;
    }
    let plural = |n: usize| if n == 1 { "" } else { "s" };
    let mut text = format!("{agents} agent{}", plural(agents));
    if waiting > 0 {
        let verb = if waiting == 1 { "needs" } else { "need" };
        text.push_str(&format!(", {waiting} {verb} you"));
    }
    if asks > 0 {
        text.push_str(&format!(", {asks} approval{}", plural(asks)));
    }
    if unread > 0 {
        text.push_str(&format!(", {unread} in queues"));
    }
    let filter = view.filter.map(|filter| format!("   filter: {filter}"));
    let filter = filter.unwrap_or_default();
    let room = usize::from(columns).saturating_sub(filter.width());
    let text = look::fitted(&text, ", ", room) + &filter;
    let style = if waiting > 0 {
        view.look.warn()
    } else {
        view.look.bold()
    };
    look::put(buffer, 0, 0, &text, columns, style);
}

/// A style for the whole row of a part.
fn paint(buffer: &mut Buffer, area: Rect, style: Style) {
    buffer.set_style(area.intersection(*buffer.area()), style);
}

#[cfg(test)]
#[path = "dashboard_tests.rs"]
mod tests;
