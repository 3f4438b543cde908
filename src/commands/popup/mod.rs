//! The program in the approval popup, and on a plain terminal: it shows what waits, and takes a person's decision.

mod model;
mod open;

#[cfg(test)]
pub(super) use model::tests;
pub(super) use model::{Answer, Model, Wish};
pub(super) use open::{answer, from_pane, open, shell_line};

use super::Door;
use super::stage::{self, Go, View};
use crate::clock;
use crate::domain::approval::{Approval, ApprovalStatus, Scope};
use crate::domain::ids::ApprovalId;
use crate::error::{Failure, Result};
use crate::fsx;
use crate::services::approve::{self, Decision};
use crate::services::presence;
use crate::store::{Store, Tx};
use crate::term::{self, Key};
use crate::ui::sheet::Row;
use model::{Code, Item, LETTERS};

/// How many requests are listed.
const MOST: u32 = 500;

/// How many codes an opening has: one, and one after each wrong try.
const CODES: usize = 3;

/// What the popup begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// The list of what waits.
    List,
    /// The request that has waited longest, then the list.
    Next,
    /// This request, and nothing else.
    One(ApprovalId),
}

/// How it is opened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opening<'a> {
    /// What it begins with.
    pub(super) start: Start,
    /// How far a yes reaches until a key says else.
    pub(super) scope: Scope,
    /// Why, for the audit log.
    pub(super) reason: Option<&'a str>,
    /// The tmux client in whose popup it runs; `None` on a plain terminal.
    pub(super) client: Option<&'a str>,
}

/// Runs until the person closes it. Returns the last request that was decided here.
pub(super) fn run(door: &Door<'_>, opening: &Opening<'_>) -> Result<Option<ApprovalId>> {
    if !term::attended() {
        return Err(
            Failure::refused("this needs a terminal: a person types a code that it shows")
                .hint("run it in a shell of yours, or press prefix A in tmux"),
        );
    }
    let mut store = door.cx.existing_store()?;
    unwatched(door, &mut store, opening.client)?;
    let mut model = Model::new(!matches!(opening.start, Start::One(_)), opening.scope);
    reload(&mut store, &mut model)?;
    match opening.start {
        Start::List => {}
        Start::One(id) => read(&mut store, &mut model, id)?,
        Start::Next => {
            let next = store.read(|tx| tx.approvals(Some(ApprovalStatus::Pending), MOST))?;
            if let Some(first) = next.first() {
                read(&mut store, &mut model, first.id)?;
            }
        }
    }
    let mut asker = Asker {
        door,
        store,
        model,
        opening,
        decided: None,
    };
    stage::run(&mut asker)?;
    Ok(asker.decided)
}

/// Refuses where others could read a code that is shown here.
pub(super) fn unwatched(door: &Door<'_>, store: &mut Store, client: Option<&str>) -> Result<()> {
    if presence::pane_server(&door.cx, store)?.is_some() {
        return Err(
            Failure::refused("this is a pane of tmux, and others can read a pane")
                .hint("press prefix A, or run `conductor-hook approve ID`: both open a popup"),
        );
    }
    if client.is_some() {
        presence::no_agent_watches(&door.cx.tmux, store)?;
    }
    Ok(())
}

/// The popup at work.
struct Asker<'a, 'd> {
    door: &'a Door<'d>,
    store: Store,
    model: Model,
    opening: &'a Opening<'a>,
    decided: Option<ApprovalId>,
}

impl View for Asker<'_, '_> {
    fn draw(&mut self, size: (usize, usize)) -> Vec<Row> {
        self.model.resize(size);
        self.model.rows()
    }

    fn key(&mut self, key: &Key) -> Result<Go> {
        let wish = match key {
            // A click is no key: it neither reads on nor breaks a code that is being typed.
            Key::Mouse(mouse) => {
                if self.model.mouse(*mouse) {
                    self.model.key(&Key::Enter)
                } else {
                    Wish::Nothing
                }
            }
            key => self.model.key(key),
        };
        match wish {
            Wish::Nothing => {}
            Wish::Close => return Ok(Go::Leave),
            Wish::Open(id) => read(&mut self.store, &mut self.model, id)?,
            Wish::Decide(answer) => {
                let (store, model) = (&mut self.store, &mut self.model);
                if decide(self.door, store, model, self.opening, &answer)? {
                    self.decided = Some(answer.id);
                    reload(store, model)?;
                    if !model.back() {
                        return Ok(Go::Leave);
                    }
                }
            }
        }
        Ok(Go::On)
    }

    fn look(&mut self) -> Result<()> {
        reload(&mut self.store, &mut self.model)
    }
}

/// Stores the decision; says what became of it. What is refused is shown, and the person may do something else.
fn decide(
    door: &Door<'_>,
    store: &mut Store,
    model: &mut Model,
    opening: &Opening<'_>,
    answer: &Answer,
) -> Result<bool> {
    match settle(door, store, (opening.client, opening.reason), answer) {
        Ok(approval) => {
            let text = format!("approval {} is {}", approval.id, approval.status.as_str());
            model.say(text);
            Ok(true)
        }
        Err(failure) => {
            model.say(failure.line());
            if let Some(approval) = store.read(|tx| tx.approval(answer.id))? {
                model.refresh(&approval);
            }
            Ok(false)
        }
    }
}

/// Stores what a person decided here; with the client in whose popup it was, and the reason where the answer has none.
pub(super) fn settle(
    door: &Door<'_>,
    store: &mut Store,
    (client, reason): (Option<&str>, Option<&str>),
    answer: &Answer,
) -> Result<Approval> {
    let decision = Decision {
        yes: answer.yes,
        scope: answer.scope,
        reason: answer.reason.as_deref().or(reason),
        shown: answer.shown,
        via: if client.is_some() { "popup" } else { "cli" },
        client,
    };
    approve::decide(&door.cx, store, answer.id, &decision)
}

fn item(tx: &Tx<'_>, approval: Approval) -> std::result::Result<Item, crate::store::Error> {
    let terminal = match &approval.terminal {
        Some(id) => tx.terminal(id)?,
        None => None,
    };
    let who = terminal.map(|terminal| format!("{} in {}", terminal.profile, terminal.session));
    Ok(Item { approval, who })
}

/// Reads what waits, and what became of the request that is shown.
fn reload(store: &mut Store, model: &mut Model) -> Result<()> {
    let shown = model.open_id();
    let (items, shown) = store.read(|tx| {
        let pending = tx.approvals(Some(ApprovalStatus::Pending), MOST)?;
        let items: std::result::Result<Vec<Item>, _> = pending
            .into_iter()
            .map(|approval| item(tx, approval))
            .collect();
        let shown = match shown {
            Some(id) => tx.approval(id)?,
            None => None,
        };
        Ok::<_, crate::store::Error>((items?, shown))
    })?;
    model.update(items, clock::now().as_millisecond());
    if let Some(approval) = shown {
        model.refresh(&approval);
    }
    Ok(())
}

/// Shows one request, with codes that are drawn for this opening.
pub(super) fn read(store: &mut Store, model: &mut Model, id: ApprovalId) -> Result<()> {
    let approval = approve::known(store, id)?;
    let item = store.read(|tx| item(tx, approval))?;
    let codes = (0..CODES).map(|_| code()).collect::<Result<Vec<Code>>>()?;
    model.open(item, codes);
    Ok(())
}

/// Two letters from the kernel's randomness, which this process alone knows.
fn code() -> Result<Code> {
    let bytes =
        fsx::random_bytes::<2>().map_err(|e| Failure::failed(format!("read random bytes: {e}")))?;
    Ok(bytes.map(|byte| char::from(LETTERS[usize::from(byte) % LETTERS.len()])))
}
