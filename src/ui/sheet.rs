//! A request as a person reads it before deciding: rows of a given width, from the real bytes, with nothing left out.

use super::table::age;
use crate::domain::approval::{Approval, ApprovalKind};
use crate::domain::plain::{Unit, units};
use crate::domain::policy::{Presence, Risk};
use crate::domain::text::sanitise;
use serde_json::Value;

/// How a piece of a row is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// As it is.
    Plain,
    /// Names of fields, frames.
    Dim,
    /// What matters.
    Bold,
    /// What a person should not overlook.
    Warn,
    /// What stands for something else: reverse video, which no text of an agent can have.
    Mark,
}

impl Style {
    /// The terminal code that starts it.
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Dim => "\x1b[2m",
            Self::Bold => "\x1b[1m",
            Self::Warn => "\x1b[1;33m",
            Self::Mark => "\x1b[7m",
        }
    }
}

/// One row of the screen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Row(Vec<(Style, String)>);

impl Row {
    /// A row of one style; what is unsafe in `text` is made visible.
    pub fn new(style: Style, text: &str) -> Self {
        let mut row = Self::default();
        for unit in units(text) {
            row.push(style, &unit);
        }
        row
    }

    /// A row of text that is read and decides nothing: it is sanitised, and typography stays as it is.
    pub fn prose(style: Style, text: &str) -> Self {
        Self::default().and(style, text)
    }

    /// With more of such text.
    #[must_use]
    pub fn and(mut self, style: Style, text: &str) -> Self {
        for c in sanitise(text)
            .replace('\t', "    ")
            .replace('\n', "⏎")
            .chars()
        {
            self.push(style, &Unit::Text(c));
        }
        self
    }

    /// Adds our own words.
    fn word(mut self, style: Style, text: &str) -> Self {
        for unit in units(text) {
            self.push(style, &unit);
        }
        self
    }

    fn push(&mut self, style: Style, unit: &Unit) {
        let (style, text) = match unit {
            Unit::Text(c) => (style, c.to_string()),
            Unit::Mark(text) => (Style::Mark, text.clone()),
        };
        match self.0.last_mut() {
            Some((last, part)) if *last == style => part.push_str(&text),
            _ => self.0.push((style, text)),
        }
    }

    /// Its pieces.
    pub fn parts(&self) -> &[(Style, String)] {
        &self.0
    }

    /// The text alone.
    pub fn text(&self) -> String {
        self.0.iter().map(|(_, text)| text.as_str()).collect()
    }

    /// The row with its terminal codes.
    pub fn render(&self) -> String {
        let mut out = String::new();
        for (style, text) in &self.0 {
            if *style == Style::Plain {
                out.push_str(text);
            } else {
                out.push_str(style.code());
                out.push_str(text);
                out.push_str("\x1b[0m");
            }
        }
        out
    }

    /// The row cut to `width` columns.
    #[must_use]
    pub fn cut(&self, width: usize) -> Self {
        let mut left = width;
        let mut cut = Self::default();
        for (style, text) in &self.0 {
            for c in text.chars() {
                let unit = Unit::Text(c);
                if unit.width() > left {
                    return cut;
                }
                left -= unit.width();
                match cut.0.last_mut() {
                    Some((last, part)) if last == style => part.push(c),
                    _ => cut.0.push((*style, c.to_string())),
                }
            }
        }
        cut
    }
}

/// Text as rows of prose of at most `width` columns, broken between words where that is possible.
pub fn prose(text: &str, width: usize) -> Vec<Row> {
    let width = width.max(2);
    let text = sanitise(text).replace('\t', "    ");
    let mut rows = Vec::new();
    for line in text.lines() {
        let mut rest = line;
        loop {
            let mut columns = 0;
            let fits = rest.char_indices().find(|(_, c)| {
                columns += Unit::Text(*c).width();
                columns > width
            });
            let Some((end, _)) = fits else {
                rows.push(Row::prose(Style::Plain, rest));
                break;
            };
            // A space that would begin the next row is the best place.
            let near = end + usize::from(rest[end..].starts_with(' '));
            let space = rest[..near].rfind(' ').filter(|at| *at > end / 4);
            let end = space.map_or(end, |at| at + 1);
            rows.push(Row::prose(Style::Plain, rest[..end].trim_end()));
            rest = &rest[end..];
        }
    }
    rows
}

/// At the end of a row that goes on in the next one.
const WRAP: &str = "↩";

/// Wraps `line` hard into rows of at most `width` columns: `first` in front of the first row, `next` in front of the others. Every row but the
/// last ends with a mark.
fn wrap(line: &str, style: Style, first: &Row, next: &Row, width: usize) -> Vec<Row> {
    let columns = |row: &Row| {
        row.text()
            .chars()
            .map(|c| Unit::Text(c).width())
            .sum::<usize>()
    };
    let mut rows = Vec::new();
    let mut row = first.clone();
    let mut used = columns(first);
    let mut empty = true;
    for unit in units(line) {
        // A column for the mark; a unit wider than the row stands alone.
        if !empty && used + unit.width() + 1 > width {
            row.0.push((Style::Mark, WRAP.to_owned()));
            rows.push(std::mem::replace(&mut row, next.clone()));
            used = columns(next);
        }
        used += unit.width();
        row.push(style, &unit);
        empty = false;
    }
    rows.push(row);
    rows
}

/// How many empty lines in a row are shown as they are.
const EMPTY: usize = 3;

/// A text with line numbers.
fn numbered(text: &str, width: usize, rows: &mut Vec<Row>) {
    let lines: Vec<&str> = text.split('\n').collect();
    let digits = lines.len().to_string().len().max(3);
    let next = Row::default().word(Style::Dim, &format!("{:digits$} │ ", ""));
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        let empty = lines[at..]
            .iter()
            .take_while(|line| line.is_empty())
            .count();
        if empty > EMPTY {
            let note = format!("{empty} empty lines, {} to {}", at + 1, at + empty);
            let mut row = next.clone();
            row.0.push((Style::Mark, note));
            rows.push(row);
            at += empty;
            continue;
        }
        let first = Row::default().word(Style::Dim, &format!("{:digits$} │ ", at + 1));
        rows.extend(wrap(line, Style::Plain, &first, &next, width));
        at += 1;
    }
}

/// What is known beside the request itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Who asks, for people: window, session, profile.
    pub who: Option<String>,
    /// Now, in milliseconds since 1970.
    pub now_ms: i64,
}

/// What is asked for, in one line, at most `width` columns.
pub fn title(approval: &Approval, known: &Known, width: usize) -> Row {
    let what = match (&approval.tool, approval.kind) {
        (Some(tool), _) => tool.clone(),
        (None, ApprovalKind::Message) => "a message".to_owned(),
        (None, _) => "a request".to_owned(),
    };
    let waits = age(known.now_ms - approval.requested_at.as_millisecond());
    let ends = age(approval.expires_at.as_millisecond() - known.now_ms);
    let style = if approval.risk == Risk::High {
        Style::Warn
    } else {
        Style::Bold
    };
    Row::default()
        .word(Style::Bold, &format!("approval {}  ", approval.id))
        .word(style, &format!("{} risk", approval.risk.as_str()))
        .word(
            Style::Plain,
            &format!("  {what}  waits {waits}, ends in {ends}"),
        )
        .cut(width)
}

/// The whole request as rows of at most `width` columns (but for a single mark that is wider).
pub fn rows(approval: &Approval, known: &Known, width: usize) -> Vec<Row> {
    let width = width.max(20);
    let mut rows = Vec::new();
    let mut field = |name: &str, style: Style, text: &str| {
        let first = Row::default().word(Style::Dim, &format!("{name:<12}"));
        let next = Row::default().word(Style::Dim, &" ".repeat(12));
        for line in text.split('\n') {
            rows.extend(wrap(line, style, &first, &next, width));
        }
    };
    let who = match (&known.who, &approval.terminal) {
        (Some(who), Some(id)) => format!("{who} ({id})"),
        (Some(who), None) => who.clone(),
        (None, Some(id)) => id.to_string(),
        (None, None) => "nobody that is known".to_owned(),
    };
    field("asked by", Style::Plain, &who);
    if let Some(cwd) = &approval.cwd {
        field("where", Style::Plain, cwd);
    }
    if let Some(rule) = &approval.rule {
        field("rule", Style::Plain, rule);
    }
    if !approval.why.is_empty() {
        field("why", Style::Plain, &approval.why);
    }
    for part in &approval.unclear {
        // Our own words, in which `…` stands for what is left out: in the sheet it would be taken for a look-alike.
        field("NOT CHECKED", Style::Warn, &part.replace('…', "..."));
    }
    if approval.complete && approval.unclear.is_empty() && approval.kind != ApprovalKind::Message {
        field("checked", Style::Plain, "all of it was understood");
    } else if approval.unclear.is_empty() && approval.kind != ApprovalKind::Message {
        field("NOT CHECKED", Style::Warn, "not all of it was understood");
    }
    for script in &approval.scripts {
        match &script.sha256 {
            Some(hash) => {
                let short = hash.get(..16).unwrap_or(hash);
                field(
                    "runs",
                    Style::Plain,
                    &format!(
                        "{}\nbound to its content, SHA-256 begins {short}",
                        script.path
                    ),
                );
            }
            None => field(
                "runs",
                Style::Warn,
                &format!(
                    "{}\nNOT BOUND: its content may change before it runs",
                    script.path
                ),
            ),
        }
    }
    let takes = match approval.presence {
        Presence::Caller => "a yes takes a key",
        Presence::Challenge => "a yes takes the code that is shown here after the last line",
        Presence::Pin => "a yes takes a PIN, which cannot be given here",
        Presence::Signature => "a yes takes a signature, which cannot be given here",
    };
    field("takes", Style::Plain, takes);
    for (name, value) in others(approval) {
        field("also", Style::Plain, &format!("{name} = {value}"));
    }
    let lines = approval.command.split('\n').count();
    let word = match approval.kind {
        ApprovalKind::Tool | ApprovalKind::Request => "what would run",
        ApprovalKind::Message => "the message",
    };
    let plural = if lines == 1 { "" } else { "s" };
    rows.push(Row::default());
    rows.push(
        Row::new(
            Style::Bold,
            &format!(
                "{word}: {lines} line{plural}, {} bytes",
                approval.command.len()
            ),
        )
        .cut(width),
    );
    numbered(&approval.command, width, &mut rows);
    if let Some(words) = &approval.words {
        rows.push(Row::default());
        rows.push(Row::new(Style::Bold, "the agent says:").cut(width));
        let bar = Row::default().word(Style::Dim, "  > ");
        for line in words.split('\n') {
            rows.extend(wrap(line, Style::Plain, &bar, &bar, width));
        }
    }
    rows.push(Row::default());
    rows.push(
        Row::new(
            Style::Dim,
            &format!(
                "the end of approval {}, digest {}",
                approval.id, approval.digest
            ),
        )
        .cut(width),
    );
    rows
}

/// The members of the tool's input that are not the command itself.
fn others(approval: &Approval) -> Vec<(String, String)> {
    let Some(members) = approval.input.as_object() else {
        return Vec::new();
    };
    // A call that is no command line is shown as its whole input.
    let whole =
        serde_json::from_str(&approval.command).is_ok_and(|value: Value| value == approval.input);
    if approval.kind != ApprovalKind::Tool || whole {
        return Vec::new();
    }
    members
        .iter()
        .filter(|(_, value)| value.as_str() != Some(approval.command.as_str()))
        .map(|(name, value)| (name.clone(), value_text(value)))
        .collect()
}

fn value_text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
#[path = "sheet_tests.rs"]
pub(super) mod tests;
