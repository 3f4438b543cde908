//! What the dashboard shows, and what its keys mean. No terminal, no clock, no database, no tmux.

use super::editor::Editor;
use super::keys::{self, Act};
use crate::commands::popup;
use crate::domain::approval::Scope;
use crate::domain::ids::{ApprovalId, TerminalId};
use crate::domain::policy::Presence;
use crate::domain::terminal::Status;
use crate::term::{Key, Mouse, MouseAct, Move};
use crate::ui::dashboard::{
    Agent, Branch, Detail, Foot, Look, Over, View, branches, foot_rows, kept_in_sight, parts,
};

/// Lines of the details that a page key turns.
const PAGE: usize = 5;

/// What a key asks of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    /// Nothing.
    Nothing,
    /// End.
    Leave,
    /// Take the person to this agent's pane.
    Jump(TerminalId),
    /// Show this request for a decision, where nobody else reads it.
    Read(ApprovalId),
    /// Store this decision.
    Decide(popup::Answer),
    /// Send this text to this agent.
    Send(TerminalId, String),
    /// End this agent.
    Close(TerminalId),
    /// Take up this ended agent's conversation.
    Resume(TerminalId),
}

/// What keys are for.
#[derive(Debug)]
enum Mode {
    /// The tree.
    Tree,
    /// The list of keys.
    Help,
    /// The filter is being written.
    Filter(Editor),
    /// A message is being written.
    Message(TerminalId, Editor),
    /// A word for a no is being written.
    Deny(ApprovalId, Editor),
    /// Whether to end this agent.
    Close(TerminalId),
    /// A request is being read.
    Read(Box<popup::Model>),
}

/// The dashboard.
#[derive(Debug)]
pub(super) struct Model {
    look: Look,
    size: (u16, u16),
    now_ms: i64,
    agents: Vec<Agent>,
    tree: Vec<Branch>,
    selected: Option<TerminalId>,
    top: usize,
    ended: bool,
    filter: String,
    mode: Mode,
    note: Option<String>,
    /// Title of what is being written or asked.
    title: String,
    words: String,
    detail: Option<(TerminalId, Detail)>,
    detail_top: usize,
    preview: Option<(TerminalId, Vec<String>)>,
    turned: bool,
}

impl Model {
    /// An empty dashboard.
    pub(super) fn new(look: Look) -> Self {
        Self {
            look,
            size: (80, 24),
            now_ms: 0,
            agents: Vec::new(),
            tree: Vec::new(),
            selected: None,
            top: 0,
            ended: false,
            filter: String::new(),
            mode: Mode::Tree,
            note: None,
            title: String::new(),
            words: keys::words(),
            detail: None,
            detail_top: 0,
            preview: None,
            turned: false,
        }
    }

    /// The terminal has this size.
    pub(super) fn resize(&mut self, size: (u16, u16)) {
        self.size = size;
        if let Mode::Read(request) = &mut self.mode {
            request.resize((usize::from(size.0), usize::from(size.1)));
        }
    }

    /// It is this late.
    pub(super) fn tick(&mut self, now_ms: i64) {
        self.now_ms = now_ms;
    }

    /// These agents are there now; the one under the cursor stays there, or gives the cursor to its neighbour.
    pub(super) fn update(&mut self, agents: Vec<Agent>) {
        let was = self.visible().iter().position(|at| self.is_selected(*at));
        self.agents = agents;
        self.rebuild(was.unwrap_or(0));
    }

    /// Builds the tree anew; where the agent under the cursor is not in it, the one at `place` is taken.
    fn rebuild(&mut self, place: usize) {
        let wanted = self.filter.to_lowercase();
        let fits = |agent: &Agent| {
            (self.ended || agent.status.alive()) && (wanted.is_empty() || holds(agent, &wanted))
        };
        self.tree = branches(&self.agents, fits);
        let visible = self.visible();
        if !visible.iter().any(|at| self.is_selected(*at)) {
            let at = visible.get(place.min(visible.len().saturating_sub(1)));
            self.select(at.copied());
        }
    }

    /// The agents of the tree, in its order.
    fn visible(&self) -> Vec<usize> {
        let agents = self.tree.iter().filter_map(|branch| match branch {
            Branch::Agent(at) => Some(*at),
            Branch::Server(_) | Branch::Session(_) => None,
        });
        agents.collect()
    }

    fn is_selected(&self, at: usize) -> bool {
        let agent = self.agents.get(at);
        agent.is_some_and(|agent| Some(&agent.id) == self.selected.as_ref())
    }

    fn select(&mut self, at: Option<usize>) {
        let id = at.and_then(|at| self.agents.get(at)).map(|a| a.id.clone());
        if id != self.selected {
            self.selected = id;
            self.detail_top = 0;
        }
    }

    /// The agent under the cursor.
    pub(super) fn chosen(&self) -> Option<&Agent> {
        let id = self.selected.as_ref()?;
        self.agents.iter().find(|agent| agent.id == *id)
    }

    /// The agent under the cursor, if what is shown beside the tree is not about it.
    pub(super) fn lacks_detail(&self) -> Option<TerminalId> {
        let id = self.selected.as_ref()?;
        let known = self.detail.as_ref().is_some_and(|(of, _)| of == id);
        (!known).then(|| id.clone())
    }

    /// What is known of an agent.
    pub(super) fn explain(&mut self, id: TerminalId, detail: Detail) {
        self.detail = Some((id, detail));
    }

    /// The rows of an agent's pane.
    pub(super) fn show_pane(&mut self, id: TerminalId, rows: Vec<String>) {
        self.preview = Some((id, rows));
    }

    /// Says something in the last row.
    pub(super) fn say(&mut self, note: impl Into<String>) {
        self.note = Some(note.into());
    }

    /// The request that is read, if one is.
    pub(super) fn reading(&mut self) -> Option<&mut popup::Model> {
        match &mut self.mode {
            Mode::Read(request) => Some(request),
            _ => None,
        }
    }

    /// Shows a request; nothing of it counts as seen before it was drawn.
    pub(super) fn read(&mut self, fill: impl FnOnce(&mut popup::Model)) {
        let mut request = Box::new(popup::Model::new(false, Scope::Once));
        fill(&mut request);
        self.mode = Mode::Read(request);
        self.resize(self.size);
    }

    /// Goes back to the tree.
    pub(super) fn back(&mut self) {
        self.mode = Mode::Tree;
    }

    /// A key.
    pub(super) fn key(&mut self, key: &Key) -> Wish {
        match key {
            Key::Focus(_) => return Wish::Nothing,
            Key::Mouse(mouse) => return self.mouse(*mouse),
            _ => {}
        }
        match &mut self.mode {
            Mode::Tree => self.tree_key(key),
            Mode::Help => {
                self.back();
                Wish::Nothing
            }
            Mode::Filter(editor) => {
                match key {
                    Key::Enter => self.mode = Mode::Tree,
                    Key::Esc | Key::CtrlC => {
                        self.filter.clear();
                        self.mode = Mode::Tree;
                    }
                    key => {
                        editor.key(key);
                        self.filter = editor.text().to_owned();
                    }
                }
                self.rebuild(0);
                Wish::Nothing
            }
            Mode::Message(to, editor) => match key {
                Key::Esc | Key::CtrlC => {
                    self.say("nothing was sent");
                    self.back();
                    Wish::Nothing
                }
                Key::Enter if editor.text().trim().is_empty() => Wish::Nothing,
                Key::Enter => {
                    let wish = Wish::Send(to.clone(), editor.text().to_owned());
                    self.back();
                    wish
                }
                key => {
                    editor.key(key);
                    Wish::Nothing
                }
            },
            Mode::Deny(id, editor) => match key {
                Key::Esc | Key::CtrlC => {
                    self.say("nothing was decided");
                    self.back();
                    Wish::Nothing
                }
                Key::Enter => {
                    let reason = editor.text().trim();
                    let wish = Wish::Decide(popup::Answer {
                        id: *id,
                        yes: false,
                        scope: Scope::Once,
                        reason: (!reason.is_empty()).then(|| crate::domain::text::one_line(reason)),
                        shown: Presence::Caller,
                    });
                    self.back();
                    wish
                }
                key => {
                    editor.key(key);
                    Wish::Nothing
                }
            },
            Mode::Close(id) => {
                let id = id.clone();
                self.back();
                if *key == Key::Char('y') {
                    return Wish::Close(id);
                }
                self.say("nothing was ended");
                Wish::Nothing
            }
            Mode::Read(request) => match request.key(key) {
                popup::Wish::Nothing | popup::Wish::Open(_) => Wish::Nothing,
                popup::Wish::Decide(answer) => Wish::Decide(answer),
                popup::Wish::Close => {
                    self.back();
                    Wish::Nothing
                }
            },
        }
    }

    fn tree_key(&mut self, key: &Key) -> Wish {
        self.note = None;
        let Some(act) = keys::act(key) else {
            return Wish::Nothing;
        };
        match act {
            Act::Down => self.step(1),
            Act::Up => self.step(-1),
            Act::First => self.select(self.visible().first().copied()),
            Act::Last => self.select(self.visible().last().copied()),
            Act::PageDown => self.detail_top = self.detail_top.saturating_add(PAGE),
            Act::PageUp => self.detail_top = self.detail_top.saturating_sub(PAGE),
            Act::Next => self.next_waiting(),
            Act::Filter => self.mode = Mode::Filter(Editor::line(&self.filter)),
            Act::Ended => {
                self.ended = !self.ended;
                self.rebuild(0);
            }
            Act::Turn => self.turned = !self.turned,
            Act::Help => self.mode = Mode::Help,
            Act::Quit if *key == Key::Esc && !self.filter.is_empty() => {
                self.filter.clear();
                self.rebuild(0);
            }
            Act::Quit => return Wish::Leave,
            Act::Jump | Act::Approve | Act::Deny | Act::Message | Act::Close | Act::Resume => {
                return self.about_agent(act);
            }
        }
        Wish::Nothing
    }

    /// What is done with the agent under the cursor.
    fn about_agent(&mut self, act: Act) -> Wish {
        let Some(agent) = self.chosen() else {
            self.say("no agent is under the cursor");
            return Wish::Nothing;
        };
        let (id, name) = (agent.id.clone(), format!("{} ({})", agent.window, agent.id));
        let ask = agent.asks.first().cloned();
        let ended = agent.status == Status::Exited;
        match (act, ask) {
            (Act::Resume, _) if ended => return Wish::Resume(id),
            (Act::Resume, _) => self.say("it has not ended"),
            (Act::Approve, Some(ask)) => return Wish::Read(ask.id),
            (Act::Deny, Some(ask)) => {
                self.title = format!(
                    "deny approval {}: a word for the agent, or nothing; Enter denies, Esc goes back ({})",
                    ask.id, ask.what
                );
                self.mode = Mode::Deny(ask.id, Editor::line(""));
            }
            (Act::Approve | Act::Deny, None) => self.say("it asks for nothing"),
            _ if ended => self.say("it has ended; r takes up its conversation"),
            (Act::Jump, _) => return Wish::Jump(id),
            (Act::Message, _) => {
                self.title =
                    format!("to {name}: Enter sends, Alt-Enter begins a line, Esc goes back");
                self.mode = Mode::Message(id, Editor::lines());
            }
            (Act::Close, _) => {
                self.title = format!("end {name}? y ends it, any other key does not");
                self.mode = Mode::Close(id);
            }
            _ => {}
        }
        Wish::Nothing
    }

    fn step(&mut self, by: isize) {
        let visible = self.visible();
        let at = visible.iter().position(|at| self.is_selected(*at));
        let next = at.map_or(0, |at| at.saturating_add_signed(by));
        self.select(
            visible
                .get(next.min(visible.len().saturating_sub(1)))
                .copied(),
        );
    }

    fn next_waiting(&mut self) {
        let visible = self.visible();
        let at = visible.iter().position(|at| self.is_selected(*at));
        let from = at.map_or(0, |at| at + 1);
        let around = visible[from.min(visible.len())..].iter().chain(&visible);
        let found = around
            .copied()
            .find(|at| self.agents.get(*at).is_some_and(Agent::needs_person));
        match found {
            Some(at) => self.select(Some(at)),
            None => self.say("no agent needs you"),
        }
    }

    fn mouse(&mut self, mouse: Mouse) -> Wish {
        let wheel = |act| match act {
            MouseAct::WheelUp => Some(Key::Move(Move::Up)),
            MouseAct::WheelDown => Some(Key::Move(Move::Down)),
            MouseAct::Click => None,
        };
        match &mut self.mode {
            Mode::Read(request) => {
                // A click is no key: it neither reads on nor breaks a code that is being typed.
                if let Some(key) = wheel(mouse.act) {
                    request.key(&key);
                }
            }
            Mode::Tree => {
                let parts = parts(self.size, foot_rows(&self.foot(), self.size), self.turned);
                let at = (mouse.column, mouse.row);
                if parts.detail.contains(at.into()) {
                    match mouse.act {
                        MouseAct::WheelUp => self.detail_top = self.detail_top.saturating_sub(1),
                        MouseAct::WheelDown => self.detail_top = self.detail_top.saturating_add(1),
                        MouseAct::Click => {}
                    }
                } else if parts.tree.contains(at.into()) {
                    match mouse.act {
                        MouseAct::WheelUp => self.step(-1),
                        MouseAct::WheelDown => self.step(1),
                        MouseAct::Click => {
                            let line = self.top + usize::from(mouse.row - parts.tree.y);
                            self.click(line, parts.lines);
                        }
                    }
                }
            }
            _ => {}
        }
        Wish::Nothing
    }

    fn click(&mut self, line: usize, lines: usize) {
        let mut below = 0;
        for branch in &self.tree {
            below += branch.height(lines);
            if line < below {
                if let Branch::Agent(at) = *branch {
                    self.note = None;
                    self.select(Some(at));
                }
                return;
            }
        }
    }

    fn foot(&self) -> Foot<'_> {
        match &self.mode {
            Mode::Filter(editor) => Foot::Text {
                title: "show agents with this text: Enter keeps it, Esc drops it",
                text: editor.text(),
                cursor: editor.cursor(),
            },
            Mode::Message(_, editor) | Mode::Deny(_, editor) => Foot::Text {
                title: &self.title,
                text: editor.text(),
                cursor: editor.cursor(),
            },
            Mode::Close(_) => Foot::Question(&self.title),
            Mode::Help => Foot::Keys("any key goes back"),
            Mode::Tree | Mode::Read(_) => match &self.note {
                Some(note) => Foot::Note(note),
                None => Foot::Keys(&self.words),
            },
        }
    }

    /// All that is drawn. What of a request is in it counts as seen.
    pub(super) fn view(&mut self) -> View<'_> {
        let selected = self.selected.as_ref();
        let selected = selected.and_then(|id| self.agents.iter().position(|a| a.id == *id));
        let place = parts(self.size, foot_rows(&self.foot(), self.size), self.turned);
        let height = usize::from(place.tree.height);
        self.top = kept_in_sight(&self.tree, selected, self.top, height, place.lines);
        let over = match &mut self.mode {
            Mode::Read(request) => Over::Sheet(request.rows()),
            Mode::Help => Over::Help(
                keys::KEYS
                    .iter()
                    .map(|binding| (binding.shown, binding.note))
                    .collect(),
            ),
            _ => Over::Nothing,
        };
        let of = |id: &TerminalId| Some(id) == self.selected.as_ref();
        View {
            look: self.look,
            now_ms: self.now_ms,
            agents: &self.agents,
            tree: &self.tree,
            selected,
            top: self.top,
            detail: self
                .detail
                .as_ref()
                .filter(|(id, _)| of(id))
                .map(|(_, detail)| detail),
            detail_top: self.detail_top,
            preview: self
                .preview
                .as_ref()
                .filter(|(id, _)| of(id))
                .map(|(_, rows)| rows.as_slice()),
            turned: self.turned,
            filter: (!self.filter.is_empty()).then_some(self.filter.as_str()),
            foot: self.foot(),
            over,
        }
    }
}

/// Whether `agent` has `wanted` (in small letters) in what is shown of it.
fn holds(agent: &Agent, wanted: &str) -> bool {
    [
        agent.id.as_str(),
        &agent.session,
        &agent.window,
        &agent.profile,
        &agent.provider,
        agent.status.as_str(),
        &agent.doing,
    ]
    .iter()
    .any(|text| text.to_lowercase().contains(wanted))
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
