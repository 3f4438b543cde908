//! What the popup shows, and what its keys mean. No terminal, no clock, no database.

use crate::domain::approval::{Approval, ApprovalKind, ApprovalStatus, Scope};
use crate::domain::ids::ApprovalId;
use crate::domain::policy::Presence;
use crate::domain::text::one_line;
use crate::term::{Key, Mouse, MouseAct, Move};
use crate::ui::sheet::{self, Known, Row, Style};
use crate::ui::table::{age, cut};

/// Letters of a code: none of them is a command, and none looks like another.
pub(in crate::commands) const LETTERS: &[u8; 16] = b"abcefghmnptuvwxz";

/// How many wrong codes end the popup.
const WRONG: usize = 3;

/// The longest comment, in characters.
const COMMENT: usize = 500;

/// Rows at the bottom: what is being said, and the keys.
const FOOTER: usize = 2;

/// Columns for who asks, in the list: a session's name may be long, and what is asked for stands behind it.
const WHO: usize = 24;

/// A code: two letters that only this process knows.
pub(in crate::commands) type Code = [char; 2];

/// A request, and who asks.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::commands) struct Item {
    pub(in crate::commands) approval: Approval,
    pub(in crate::commands) who: Option<String>,
}

/// A decision that a person made here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::commands) struct Answer {
    pub(in crate::commands) id: ApprovalId,
    pub(in crate::commands) yes: bool,
    pub(in crate::commands) scope: Scope,
    pub(in crate::commands) reason: Option<String>,
    pub(in crate::commands) shown: Presence,
}

/// What a key asks of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::commands) enum Wish {
    /// Nothing.
    Nothing,
    /// Show this request.
    Open(ApprovalId),
    /// Store this decision.
    Decide(Answer),
    /// End.
    Close,
}

/// One request that is read.
#[derive(Debug)]
struct Detail {
    item: Item,
    rows: Vec<Row>,
    top: usize,
    /// Whether the last row has been on the screen.
    seen: bool,
    scope: Scope,
    /// The codes of this opening; the next one counts after a wrong try.
    codes: Vec<Code>,
    wrong: usize,
    typed: String,
    /// The comment of a no that is being written.
    comment: Option<String>,
    /// Keys that were typed before it was shown mean nothing.
    fresh: bool,
}

/// The popup.
#[derive(Debug)]
pub(in crate::commands) struct Model {
    columns: usize,
    lines: usize,
    now_ms: i64,
    items: Vec<Item>,
    selected: usize,
    detail: Option<Detail>,
    /// Whether there is a list to go back to.
    listed: bool,
    scope: Scope,
    note: Option<String>,
}

impl Model {
    /// A popup without anything in it. Without `listed` it is about one request only; `scope` is how far a yes reaches until a key says else.
    pub(in crate::commands) fn new(listed: bool, scope: Scope) -> Self {
        Self {
            columns: 80,
            lines: 24,
            now_ms: 0,
            items: Vec::new(),
            selected: 0,
            detail: None,
            listed,
            scope,
            note: None,
        }
    }

    /// The terminal has this size.
    pub(in crate::commands) fn resize(&mut self, (columns, lines): (usize, usize)) {
        if (columns, lines) != (self.columns, self.lines) {
            (self.columns, self.lines) = (columns, lines);
            self.layout();
        }
    }

    fn layout(&mut self) {
        let (columns, now_ms) = (self.columns, self.now_ms);
        let height = self.height();
        if let Some(detail) = &mut self.detail {
            let known = Known {
                who: detail.item.who.clone(),
                now_ms,
            };
            detail.rows = sheet::rows(&detail.item.approval, &known, columns);
            detail.top = detail.top.min(detail.rows.len().saturating_sub(height));
        }
    }

    /// Rows between the title and the footer.
    fn height(&self) -> usize {
        self.lines.saturating_sub(1 + FOOTER).max(1)
    }

    /// What waits now; the request under the cursor stays there.
    pub(in crate::commands) fn update(&mut self, items: Vec<Item>, now_ms: i64) {
        self.now_ms = now_ms;
        let under = self.items.get(self.selected).map(|item| item.approval.id);
        self.items = items;
        self.selected = under
            .and_then(|id| self.items.iter().position(|item| item.approval.id == id))
            .unwrap_or(self.selected)
            .min(self.items.len().saturating_sub(1));
    }

    /// The request that is read, if one is.
    pub(in crate::commands) fn open_id(&self) -> Option<ApprovalId> {
        self.detail.as_ref().map(|detail| detail.item.approval.id)
    }

    /// What became of the request that is read.
    pub(in crate::commands) fn refresh(&mut self, approval: &Approval) {
        if let Some(detail) = &mut self.detail
            && detail.item.approval.id == approval.id
            && detail.item.approval.status != approval.status
        {
            detail.item.approval = approval.clone();
            detail.comment = None;
            detail.typed.clear();
            let by = approval.decided_by.as_deref().unwrap_or("nobody");
            self.note = Some(format!(
                "approval {} is {} now (by {by})",
                approval.id,
                approval.status.as_str()
            ));
        }
    }

    /// Shows one request. `codes` are drawn for this opening.
    pub(in crate::commands) fn open(&mut self, item: Item, codes: Vec<Code>) {
        self.detail = Some(Detail {
            item,
            rows: Vec::new(),
            top: 0,
            seen: false,
            scope: self.scope,
            codes,
            wrong: 0,
            typed: String::new(),
            comment: None,
            fresh: true,
        });
        self.note = None;
        self.layout();
    }

    /// Says something in the footer.
    pub(in crate::commands) fn say(&mut self, note: impl Into<String>) {
        self.note = Some(note.into());
    }

    /// Goes back to the list; says whether there is something in it.
    pub(in crate::commands) fn back(&mut self) -> bool {
        self.detail = None;
        self.listed && !self.items.is_empty()
    }

    /// A key.
    pub(in crate::commands) fn key(&mut self, key: &Key) -> Wish {
        if *key == Key::CtrlC {
            return Wish::Close;
        }
        if self
            .detail
            .as_ref()
            .is_some_and(|detail| detail.comment.is_some())
        {
            return self.comment_key(key);
        }
        self.note = None;
        if self.detail.is_some() {
            self.detail_key(key)
        } else {
            self.list_key(key)
        }
    }

    fn list_key(&mut self, key: &Key) -> Wish {
        let last = self.items.len().saturating_sub(1);
        match key {
            Key::Esc | Key::CtrlD | Key::Char('q') => return Wish::Close,
            Key::Move(Move::Up) | Key::Char('k') => self.selected = self.selected.saturating_sub(1),
            Key::Move(Move::Down) | Key::Char('j') => self.selected = (self.selected + 1).min(last),
            Key::Move(Move::PageUp) => self.selected = self.selected.saturating_sub(self.height()),
            Key::Move(Move::PageDown) => self.selected = (self.selected + self.height()).min(last),
            Key::Move(Move::Home) => self.selected = 0,
            Key::Move(Move::End) => self.selected = last,
            Key::Enter => {
                if let Some(item) = self.items.get(self.selected) {
                    return Wish::Open(item.approval.id);
                }
            }
            _ => {}
        }
        Wish::Nothing
    }

    fn detail_key(&mut self, key: &Key) -> Wish {
        let height = self.height();
        let listed = self.listed;
        let Some(detail) = &mut self.detail else {
            return Wish::Nothing;
        };
        // What came before a first look was meant for something else.
        if detail.fresh {
            return Wish::Nothing;
        }
        let bottom = detail.rows.len().saturating_sub(height);
        let page = height.saturating_sub(1).max(1);
        // A code is two letters in a row: any other key between them starts it anew.
        let begun = std::mem::take(&mut detail.typed);
        match key {
            Key::Esc | Key::CtrlD | Key::Char('q') => {
                if !listed || self.items.is_empty() {
                    return Wish::Close;
                }
                self.detail = None;
            }
            Key::Move(Move::Up) | Key::Char('k') => detail.top = detail.top.saturating_sub(1),
            Key::Move(Move::Down) | Key::Char('j') => detail.top = (detail.top + 1).min(bottom),
            Key::Move(Move::PageUp) => detail.top = detail.top.saturating_sub(page),
            Key::Move(Move::PageDown) | Key::Char(' ') | Key::Enter => {
                detail.top = (detail.top + page).min(bottom);
            }
            Key::Move(Move::Home) => detail.top = 0,
            Key::Move(Move::End) => detail.top = bottom,
            Key::Char(c) => return self.decision_key(*c, begun),
            _ => {}
        }
        Wish::Nothing
    }

    fn decision_key(&mut self, c: char, begun: String) -> Wish {
        let Some(detail) = &mut self.detail else {
            return Wish::Nothing;
        };
        let approval = &detail.item.approval;
        if approval.status != ApprovalStatus::Pending {
            self.note = Some(format!(
                "approval {} is {} already",
                approval.id,
                approval.status.as_str()
            ));
            return Wish::Nothing;
        }
        if c == 'd' {
            detail.comment = Some(String::new());
            return Wish::Nothing;
        }
        if !detail.seen {
            self.note = Some("read to the end first (space, or the End key)".to_owned());
            return Wish::Nothing;
        }
        match c {
            's' | 'r' => {
                let scope = if c == 's' {
                    Scope::Session
                } else {
                    Scope::Always
                };
                if approval.kind != ApprovalKind::Tool {
                    self.note = Some("this is approved once: it is no tool call".to_owned());
                } else if scope == Scope::Always && !approval.complete {
                    self.note =
                        Some("no rule can be made of it: not all of it was understood".to_owned());
                } else if detail.scope == scope {
                    detail.scope = Scope::Once;
                } else {
                    detail.scope = scope;
                }
                Wish::Nothing
            }
            'y' if approval.presence == Presence::Caller => {
                Wish::Decide(detail.yes(Presence::Caller))
            }
            'y' => {
                self.note = Some("this one takes the code".to_owned());
                Wish::Nothing
            }
            c if approval.presence == Presence::Challenge => self.code_key(c, begun),
            _ => Wish::Nothing,
        }
    }

    fn code_key(&mut self, c: char, begun: String) -> Wish {
        let Some(detail) = &mut self.detail else {
            return Wish::Nothing;
        };
        let c = c.to_ascii_lowercase();
        let Some(code) = detail.codes.get(detail.wrong).copied() else {
            return Wish::Close;
        };
        if !c.is_ascii_lowercase() {
            return Wish::Nothing;
        }
        let mut typed = begun;
        typed.push(c);
        if typed.len() < code.len() {
            detail.typed = typed;
            return Wish::Nothing;
        }
        if typed.chars().eq(code) {
            return Wish::Decide(detail.yes(Presence::Challenge));
        }
        detail.wrong += 1;
        if detail.wrong >= WRONG.min(detail.codes.len()) {
            return Wish::Close;
        }
        self.note = Some("that was not the code; here is another".to_owned());
        Wish::Nothing
    }

    fn comment_key(&mut self, key: &Key) -> Wish {
        let Some(detail) = &mut self.detail else {
            return Wish::Nothing;
        };
        let Some(comment) = &mut detail.comment else {
            return Wish::Nothing;
        };
        let room = COMMENT.saturating_sub(comment.chars().count());
        match key {
            Key::Esc => detail.comment = None,
            Key::Backspace => drop(comment.pop()),
            Key::KillLine => comment.clear(),
            Key::Char(c) => comment.extend(one_line(&c.to_string()).chars().take(room)),
            Key::Paste(text) => comment.extend(one_line(text).chars().take(room)),
            Key::Enter => {
                let reason = comment.trim().to_owned();
                return Wish::Decide(Answer {
                    id: detail.item.approval.id,
                    yes: false,
                    scope: Scope::Once,
                    reason: (!reason.is_empty()).then_some(reason),
                    shown: Presence::Caller,
                });
            }
            _ => {}
        }
        Wish::Nothing
    }

    /// What the mouse did: the wheel turns, a click chooses in the list. Says whether what it chose is to be read.
    pub(in crate::commands) fn mouse(&mut self, mouse: Mouse) -> bool {
        match mouse.act {
            MouseAct::WheelUp => drop(self.key(&Key::Move(Move::Up))),
            MouseAct::WheelDown => drop(self.key(&Key::Move(Move::Down))),
            MouseAct::Click if self.detail.is_none() => {
                // The title stands above the list.
                let row = usize::from(mouse.row).checked_sub(1);
                let from = (self.selected + 1).saturating_sub(self.height());
                let at = row.filter(|row| *row < self.height()).map(|row| from + row);
                if let Some(at) = at.filter(|at| *at < self.items.len()) {
                    return std::mem::replace(&mut self.selected, at) == at;
                }
            }
            MouseAct::Click => {}
        }
        false
    }

    /// The rows of the screen, each no longer than the screen is wide. What was on the screen counts as seen.
    pub(in crate::commands) fn rows(&mut self) -> Vec<Row> {
        let (columns, height) = (self.columns, self.height());
        let (title, mut body) = match &mut self.detail {
            None => self.draw_list(),
            Some(detail) => {
                detail.fresh = false;
                // The title stands above the body: a screen of one row shows nothing of it.
                let shown = height.min(self.lines.saturating_sub(1));
                detail.seen |= shown > 0 && detail.top + shown >= detail.rows.len();
                let known = Known {
                    who: None,
                    now_ms: self.now_ms,
                };
                let body: Vec<Row> = detail
                    .rows
                    .iter()
                    .skip(detail.top)
                    .take(height)
                    .cloned()
                    .collect();
                (sheet::title(&detail.item.approval, &known, columns), body)
            }
        };
        body.resize(height, Row::default());
        let mut screen = vec![title];
        screen.extend(body);
        screen.extend(self.footer());
        screen
            .iter()
            .take(self.lines)
            .map(|row| row.cut(columns))
            .collect()
    }

    fn draw_list(&self) -> (Row, Vec<Row>) {
        let height = self.height();
        let title = match self.items.len() {
            0 => "nothing waits for you".to_owned(),
            1 => "1 approval waits for you".to_owned(),
            n => format!("{n} approvals wait for you, the oldest first"),
        };
        let from = (self.selected + 1).saturating_sub(height);
        let rows = self.items.iter().enumerate().skip(from).take(height);
        let rows = rows.map(|(at, item)| {
            let approval = &item.approval;
            let here = at == self.selected;
            let who = item
                .who
                .clone()
                .or_else(|| approval.terminal.as_ref().map(ToString::to_string));
            let first = approval.command.split('\n').next().unwrap_or_default();
            let more = if approval.command.contains('\n') {
                " (and more lines)"
            } else {
                ""
            };
            let text = format!(
                "{} {:>4}  {:<20}  {:>4}  {:<6}  {:<8}  {first}{more}",
                if here { ">" } else { " " },
                approval.id,
                cut(&who.unwrap_or_default(), WHO),
                age(self.now_ms - approval.requested_at.as_millisecond()),
                approval.risk.as_str(),
                approval.tool.as_deref().unwrap_or(approval.kind.as_str()),
            );
            Row::new(if here { Style::Bold } else { Style::Plain }, &text)
        });
        (Row::new(Style::Bold, &title), rows.collect())
    }

    fn footer(&self) -> [Row; FOOTER] {
        let note = Row::new(Style::Warn, self.note.as_deref().unwrap_or_default());
        let Some(detail) = &self.detail else {
            return [
                note,
                Row::new(Style::Dim, "Enter read it   j k move   q later"),
            ];
        };
        let approval = &detail.item.approval;
        if let Some(comment) = &detail.comment {
            let ask = Row::new(
                Style::Bold,
                "deny: a word for the agent, or nothing; Enter sends it, Esc goes back",
            );
            // The end of a long comment is what is being written.
            let skip = (comment.chars().count() + 4).saturating_sub(self.columns);
            let end: String = comment.chars().skip(skip).collect();
            return [ask, Row::new(Style::Plain, &format!("> {end}_"))];
        }
        if approval.status != ApprovalStatus::Pending {
            return [note, Row::new(Style::Dim, "q back")];
        }
        let upto = (detail.top + self.height()).min(detail.rows.len());
        let place = format!("{upto}/{}", detail.rows.len());
        if !detail.seen {
            let text =
                format!("{place}   space reads on; what says yes is at the end   d deny   q later");
            return [note, Row::new(Style::Dim, &text)];
        }
        let reach = match detail.scope {
            Scope::Once => "this once",
            Scope::Session => "THIS AND THE SAME AGAIN in this terminal",
            Scope::Always => "ALWAYS, by a new rule",
        };
        let yes = match (approval.presence, detail.codes.get(detail.wrong)) {
            (Presence::Caller, _) => format!("y approves {reach}"),
            (Presence::Challenge, Some([one, two])) => {
                format!("type {one}{two} to approve {reach}")
            }
            (Presence::Challenge, None) => String::new(),
            (Presence::Pin | Presence::Signature, _) => {
                "a yes takes more than this popup knows; only a no can be said here".to_owned()
            }
        };
        let more = match (approval.kind, approval.complete) {
            (ApprovalKind::Tool, true) => "   s same again   r rule",
            (ApprovalKind::Tool, false) => "   s same again",
            _ => "",
        };
        let first = if self.note.is_some() {
            note
        } else {
            Row::new(Style::Bold, &yes)
        };
        let text = if self.note.is_some() {
            format!("{yes}   d deny   q later")
        } else {
            format!("{place}{more}   d deny   q later")
        };
        [first, Row::new(Style::Dim, &text)]
    }
}

impl Detail {
    fn yes(&self, shown: Presence) -> Answer {
        Answer {
            id: self.item.approval.id,
            yes: true,
            scope: self.scope,
            reason: None,
            shown,
        }
    }
}

#[cfg(test)]
#[path = "model_tests.rs"]
pub(in crate::commands) mod tests;
