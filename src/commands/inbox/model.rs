//! What the inbox shows, and what its keys mean. No terminal, no clock, no database.

use super::letter::Letter;
use crate::commands::dashboard::Editor;
use crate::domain::ids::{MessageId, NoteId, TerminalId};
use crate::term::{Key, Mouse, MouseAct, Move};
use crate::ui::sheet::{Row, Style};

/// Rows at the bottom: what is being said, and the keys.
const FOOTER: usize = 2;

/// Rows of the box in which an answer is written, where there is room.
const BOX: usize = 6;

/// What a key asks of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    /// Nothing.
    Nothing,
    /// End.
    Leave,
    /// The person has read this note.
    Seen(NoteId),
    /// Answer this note.
    Answer(NoteId, String),
    /// Write to this agent.
    Send(TerminalId, String),
    /// Try this message again.
    Retry(MessageId),
    /// Take this message back.
    Cancel(MessageId),
}

/// A letter that is read.
#[derive(Debug)]
struct Page {
    letter: Letter,
    top: usize,
    /// What is being written.
    draft: Option<Draft>,
}

/// What is being written, and what it is for: that was said when the box was opened, and stays until the person is told otherwise.
#[derive(Debug)]
struct Draft {
    to: To,
    editor: Editor,
}

/// What a text is for.
#[derive(Debug, Clone)]
enum To {
    /// To answer this note.
    Answer(NoteId),
    /// A message to this agent.
    Agent(TerminalId),
}

/// The inbox.
#[derive(Debug)]
pub(super) struct Model {
    columns: usize,
    lines: usize,
    now_ms: i64,
    letters: Vec<Letter>,
    selected: usize,
    page: Option<Page>,
    note: Option<String>,
}

impl Model {
    pub(super) const fn new() -> Self {
        Self {
            columns: 80,
            lines: 24,
            now_ms: 0,
            letters: Vec::new(),
            selected: 0,
            page: None,
            note: None,
        }
    }

    /// These letters are there at this time; the one under the cursor stays there.
    pub(super) fn update(&mut self, letters: Vec<Letter>, now_ms: i64) {
        let under = self.letters.get(self.selected);
        let at = under.and_then(|under| letters.iter().position(|letter| letter.is(under)));
        self.letters = letters;
        self.now_ms = now_ms;
        self.selected = at
            .unwrap_or(self.selected)
            .min(self.letters.len().saturating_sub(1));
        if let Some(page) = &mut self.page
            && let Some(now) = self.letters.iter().find(|letter| letter.is(&page.letter))
        {
            page.letter = now.clone();
        }
    }

    /// The notes that stay in the list.
    pub(super) fn notes(&self) -> Vec<NoteId> {
        let notes = self.letters.iter().filter_map(|letter| match letter {
            Letter::Note(note) => Some(note.id),
            Letter::Message(_) => None,
        });
        notes.collect()
    }

    /// Says something above the keys.
    pub(super) fn say(&mut self, note: impl Into<String>) {
        self.note = Some(note.into());
    }

    /// Opens a letter; a note counts as read then.
    pub(super) fn read(&mut self, letter: Letter) -> Wish {
        let wish = match &letter {
            Letter::Note(note) => Wish::Seen(note.id),
            Letter::Message(_) => Wish::Nothing,
        };
        self.page = Some(Page {
            letter,
            top: 0,
            draft: None,
        });
        wish
    }

    /// A key, or what the mouse did.
    pub(super) fn key(&mut self, key: &Key) -> Wish {
        if let Key::Mouse(mouse) = key {
            return self.mouse(*mouse);
        }
        self.note = None;
        if self.page.as_ref().is_some_and(|page| page.draft.is_some()) {
            return self.box_key(key);
        }
        match (key, &self.page) {
            (Key::CtrlC, _) | (Key::Esc | Key::CtrlD | Key::Char('q'), None) => Wish::Leave,
            (Key::Esc | Key::CtrlD | Key::Char('q'), Some(_)) => {
                self.page = None;
                Wish::Nothing
            }
            (key, None) => self.list_key(key),
            (key, Some(_)) => self.page_key(key),
        }
    }

    fn mouse(&mut self, mouse: Mouse) -> Wish {
        match mouse.act {
            MouseAct::WheelUp => self.turn(-1),
            MouseAct::WheelDown => self.turn(1),
            MouseAct::Click if self.page.is_none() => {
                // The title stands above the list.
                let row = usize::from(mouse.row).checked_sub(1);
                let row = row.filter(|row| *row < self.height());
                if let Some(at) = row.map(|row| self.from() + row)
                    && at < self.letters.len()
                {
                    let twice = std::mem::replace(&mut self.selected, at) == at;
                    if twice {
                        return self.open();
                    }
                }
            }
            MouseAct::Click => {}
        }
        Wish::Nothing
    }

    /// Moves the cursor, or turns the page, by so many rows.
    fn turn(&mut self, by: isize) {
        if let Some(page) = &mut self.page {
            // What is below the end is cut when it is drawn.
            page.top = page.top.saturating_add_signed(by);
        } else {
            let last = self.letters.len().saturating_sub(1);
            self.selected = self.selected.saturating_add_signed(by).min(last);
        }
    }

    fn open(&mut self) -> Wish {
        match self.letters.get(self.selected).cloned() {
            Some(letter) => self.read(letter),
            None => Wish::Nothing,
        }
    }

    /// Moves that mean the same in the list and on a page.
    fn moved(&mut self, key: &Key) {
        let height = isize::try_from(self.height().saturating_sub(1).max(1)).unwrap_or(1);
        match key {
            Key::Move(Move::Up) | Key::Char('k') => self.turn(-1),
            Key::Move(Move::Down) | Key::Char('j') => self.turn(1),
            Key::Move(Move::PageUp) => self.turn(-height),
            Key::Move(Move::PageDown) | Key::Char(' ') => self.turn(height),
            Key::Move(Move::Home) | Key::Char('g') => self.turn(isize::MIN),
            Key::Move(Move::End) | Key::Char('G') => self.turn(isize::MAX),
            _ => {}
        }
    }

    fn list_key(&mut self, key: &Key) -> Wish {
        match key {
            Key::Enter => self.open(),
            Key::Char('r') => {
                let wish = self.open();
                self.write();
                wish
            }
            Key::Char('s') => match self.letters.get(self.selected) {
                Some(Letter::Note(note)) => Wish::Seen(note.id),
                _ => Wish::Nothing,
            },
            key => {
                self.moved(key);
                Wish::Nothing
            }
        }
    }

    fn page_key(&mut self, key: &Key) -> Wish {
        let Some(page) = &self.page else {
            return Wish::Nothing;
        };
        match (key, &page.letter) {
            (Key::Enter | Key::Char('r'), _) => self.write(),
            (Key::Char(digit @ '1'..='9'), Letter::Note(note)) if note.waits() => {
                let index = *digit as usize - '1' as usize;
                if let Some(option) = note.options.get(index) {
                    return Wish::Answer(note.id, option.clone());
                }
            }
            (Key::Char('t'), Letter::Message(message)) if page.letter.has_failed() => {
                return Wish::Retry(message.id);
            }
            (Key::Char('c'), Letter::Message(message)) if message.status.open() => {
                return Wish::Cancel(message.id);
            }
            (key, _) => self.moved(key),
        }
        Wish::Nothing
    }

    /// Opens the box for an answer, or for a message where the letter takes none.
    fn write(&mut self) {
        if let Some(page) = &mut self.page {
            let to = match &page.letter {
                Letter::Note(note) if !page.letter.is_answered() => To::Answer(note.id),
                letter => To::Agent(letter.partner().0),
            };
            let editor = Editor::lines();
            page.draft = Some(Draft { to, editor });
        }
    }

    /// What was written has been stored: back to the list. Until then the page and its text stay.
    pub(super) fn sent(&mut self) {
        self.page = None;
    }

    fn box_key(&mut self, key: &Key) -> Wish {
        let Some(page) = &mut self.page else {
            return Wish::Nothing;
        };
        let Some(Draft { to, editor }) = &mut page.draft else {
            return Wish::Nothing;
        };
        match key {
            Key::Esc | Key::CtrlC => {
                page.draft = None;
                self.say("nothing was sent");
            }
            Key::Enter if editor.text().trim().is_empty() => {}
            Key::Enter if matches!(to, To::Answer(_)) && page.letter.is_answered() => {
                let (id, name) = page.letter.partner();
                *to = To::Agent(id);
                self.say(format!(
                    "it is answered already: Enter again sends this to {name} as a message"
                ));
            }
            Key::Enter => {
                let text = editor.text().to_owned();
                return match to {
                    To::Answer(note) => Wish::Answer(*note, text),
                    To::Agent(id) => Wish::Send(id.clone(), text),
                };
            }
            key => editor.key(key),
        }
        Wish::Nothing
    }

    /// Rows between the title and the footer.
    fn height(&self) -> usize {
        self.lines.saturating_sub(1 + FOOTER).max(1)
    }

    /// The first letter on the screen.
    fn from(&self) -> usize {
        (self.selected + 1).saturating_sub(self.height())
    }

    /// The rows of the screen.
    pub(super) fn draw(&mut self, (columns, lines): (usize, usize)) -> Vec<Row> {
        (self.columns, self.lines) = (columns, lines);
        let (title, body, keys) = match &self.page {
            None => self.draw_list(),
            Some(_) => self.draw_page(),
        };
        let mut screen = vec![Row::prose(Style::Bold, &title)];
        screen.extend(body);
        screen.resize(self.height() + 1, Row::default());
        screen.push(Row::prose(
            Style::Warn,
            self.note.as_deref().unwrap_or_default(),
        ));
        screen.push(Row::prose(Style::Dim, &keys));
        let rows = screen.iter().take(lines);
        rows.map(|row| row.cut(columns)).collect()
    }

    fn draw_list(&self) -> (String, Vec<Row>, String) {
        let waiting = self.letters.iter().filter(|letter| letter.waits()).count();
        let title = match (waiting, self.letters.len()) {
            (0, 0) => "nothing is in your inbox".to_owned(),
            (waiting, all) => format!("inbox: {waiting} for you, {} more", all - waiting),
        };
        let from = self.from();
        let shown = self
            .letters
            .iter()
            .enumerate()
            .skip(from)
            .take(self.height());
        let rows = shown.map(|(at, letter)| {
            let here = at == self.selected;
            let style = match (here, letter.waits()) {
                (true, _) => Style::Bold,
                (false, true) => Style::Plain,
                (false, false) => Style::Dim,
            };
            let sign = if here { ">" } else { " " };
            Row::prose(style, &format!("{sign} {}", letter.line(self.now_ms)))
        });
        let keys = "Enter read it   r answer   s seen   j k move   q leave".to_owned();
        (title, rows.collect(), keys)
    }

    fn draw_page(&mut self) -> (String, Vec<Row>, String) {
        let (columns, height, now_ms) = (self.columns, self.height(), self.now_ms);
        let Some(page) = &mut self.page else {
            return self.draw_list();
        };
        let title = page.letter.title(now_ms);
        let writing = page.draft.as_ref().map(|draft| {
            let (_, name) = page.letter.partner();
            let frame = format!("to {name}:");
            let rows = BOX.min(height.saturating_sub(2)).max(1);
            let mut box_rows = vec![Row::prose(Style::Bold, &frame)];
            box_rows.extend(written(&draft.editor, columns, rows));
            box_rows
        });
        let taken = writing.as_ref().map_or(0, Vec::len);
        let room = height.saturating_sub(taken);
        let rows = page.letter.rows(columns);
        page.top = page.top.min(rows.len().saturating_sub(room));
        let mut body: Vec<Row> = rows.iter().skip(page.top).take(room).cloned().collect();
        let keys = match (&writing, &page.letter) {
            (Some(_), _) => "Enter sends   Alt-Enter begins a line   Esc goes back",
            (None, Letter::Note(note)) if !note.options.is_empty() && note.waits() => {
                "1-9 choose   r answer in words   space read on   q back"
            }
            (None, Letter::Note(_)) => "r answer   space read on   q back",
            (None, letter) if letter.has_failed() => {
                "t try again   r write to its agent   space read on   q back"
            }
            (None, _) => "c take back   r write to its agent   space read on   q back",
        };
        if let Some(writing) = writing {
            body.resize(room, Row::default());
            body.extend(writing);
        }
        (title, body, keys.to_owned())
    }
}

/// The lines around the cursor of what is written, in `rows` rows; the cursor is in reverse video.
fn written(editor: &Editor, columns: usize, rows: usize) -> Vec<Row> {
    let (text, cursor) = (editor.text(), editor.cursor());
    let line = text[..cursor].matches('\n').count();
    let first = (line + 1).saturating_sub(rows);
    let start = text[..cursor].rfind('\n').map_or(0, |at| at + 1);
    let shown = text.split('\n').enumerate().skip(first).take(rows);
    let mut drawn: Vec<Row> = shown
        .map(|(at, row)| {
            let begin = Row::prose(Style::Dim, "> ");
            if at != line {
                return begin.and(Style::Plain, row);
            }
            let (before, after) = row.split_at(cursor - start);
            // The end of a long line is what is being written.
            let skip = (before.chars().count() + 4).saturating_sub(columns);
            let before: String = before.chars().skip(skip).collect();
            let mut after = after.chars();
            let under = after.next().unwrap_or(' ').to_string();
            begin
                .and(Style::Plain, &before)
                .and(Style::Mark, &under)
                .and(Style::Plain, after.as_str())
        })
        .collect();
    drawn.resize(rows, Row::default());
    drawn
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
