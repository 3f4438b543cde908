//! What the dashboard does when it is asked to: each by the service that does it for everybody else.

use super::model::Wish;
use super::read;
use super::{Seat, now_ms};
use crate::commands::{agents, popup};
use crate::domain::approval::{ApprovalStatus, Scope};
use crate::domain::ids::{ApprovalId, TerminalId};
use crate::domain::terminal::Terminal;
use crate::error::{Failure, Result};
use crate::services::after::Ender;
use crate::services::deliver::place;
use crate::services::send::{self, Order};
use crate::services::{close, find, resume};
use crate::term;

/// How the dashboard goes on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It stays.
    Stay,
    /// It ends.
    Leave,
    /// It ends, and the terminal shows this agent's pane.
    Attach(TerminalId),
}

impl Seat<'_, '_> {
    /// Does what was asked for; what fails is said, and the dashboard stays.
    pub(super) fn grant(&mut self, wish: Wish) -> Next {
        match self.attempt(wish) {
            Ok(next) => next,
            Err(failure) => {
                self.complain(&failure);
                Next::Stay
            }
        }
    }

    /// Says what failed, where the person looks.
    pub(super) fn complain(&mut self, failure: &Failure) {
        let text = failure.line();
        match self.model.reading() {
            Some(request) => request.say(text),
            None => self.model.say(text),
        }
    }

    fn attempt(&mut self, wish: Wish) -> Result<Next> {
        match wish {
            Wish::Nothing => return Ok(Next::Stay),
            Wish::Leave => return Ok(Next::Leave),
            Wish::Jump(id) => return self.jump(&id),
            Wish::Read(id) => self.read(id)?,
            Wish::Decide(answer) => self.decide(&answer)?,
            Wish::Send(to, body) => {
                let order = Order {
                    body: send::body(body.into_bytes())?,
                    receiver: to,
                    key: None,
                    ttl: None,
                    approval: false,
                };
                let cx = self.door.cx.clone();
                let sent = send::send(&cx, self.store()?, &order, None)?;
                let text = format!("message {} is {}", sent.id, sent.status.as_str());
                self.model.say(text);
            }
            Wish::Close(id) => {
                self.saying("ending it …");
                let terminal = self.terminal(&id)?;
                let cx = self.door.cx.clone();
                let store = self.store()?;
                let actor = agents::may_end(store, &terminal, "dashboard")?;
                let by = Ender {
                    actor: &actor,
                    via: "dashboard",
                };
                close::close(&cx, store, &terminal, false, by)?;
                self.model
                    .say(format!("{} ({id}) has ended", terminal.window));
            }
            Wish::Resume(id) => {
                self.saying("taking up its conversation …");
                let terminal = self.terminal(&id)?;
                let cx = self.door.cx.clone();
                resume::resume(&cx, self.store()?, &terminal, resume::Where::Window)?;
                self.model
                    .say(format!("{} ({id}) is back", terminal.window));
            }
        }
        self.reload();
        Ok(Next::Stay)
    }

    /// Shows `text` while something takes its time.
    fn saying(&mut self, text: &str) {
        self.model.say(text);
        self.draw();
    }

    fn terminal(&mut self, id: &TerminalId) -> Result<Terminal> {
        let cx = self.door.cx.clone();
        find::terminal(&cx, self.store()?, id.as_str())
    }

    /// Takes the person there: the client of the popup, the client that shows our pane, or this very terminal.
    fn jump(&mut self, id: &TerminalId) -> Result<Next> {
        let terminal = self.terminal(id)?;
        let (tmux, pane) = place(&terminal)
            .ok_or_else(|| Failure::refused(format!("terminal {id} has no pane yet")))?;
        let elsewhere = || {
            Failure::refused(format!(
                "terminal {id} is on another tmux server, {}",
                tmux.socket().display()
            ))
            .hint(format!(
                "`conductor-hook attach {id}` in a terminal outside tmux goes there"
            ))
        };
        if let Some(client) = self.client {
            if self.door.cx.tmux != tmux {
                return Err(elsewhere());
            }
            tmux.go(client, pane)?;
            // The popup would cover it.
            return Ok(Next::Leave);
        }
        let Some((own, here)) = &self.pane else {
            return Ok(Next::Attach(id.clone()));
        };
        if *own != tmux {
            return Err(elsewhere());
        }
        let client = own
            .viewer_of(*here)?
            .ok_or_else(|| Failure::refused("no client shows this pane"))?;
        tmux.go(&client, pane)?;
        Ok(Next::Stay)
    }

    /// Shows a request where nobody else reads its code: on this screen, or, in a pane, in a popup over it.
    fn read(&mut self, id: ApprovalId) -> Result<()> {
        let (door, client) = (self.door, self.client);
        let store = self.store()?;
        if popup::from_pane(door, store, id, Scope::Once, None)? {
            term::drain();
            self.redraw();
            return Ok(());
        }
        popup::unwatched(door, store, client)?;
        let mut shown = Ok(());
        let now = now_ms();
        if let Some(store) = &mut self.store {
            self.model.read(|request| {
                request.update(Vec::new(), now);
                shown = popup::read(store, request, id);
            });
        }
        if shown.is_err() {
            self.model.back();
        }
        shown
    }

    fn decide(&mut self, answer: &popup::Answer) -> Result<()> {
        let (door, client) = (self.door, self.client);
        let decided = popup::settle(door, self.store()?, (client, None), answer);
        match decided {
            Ok(approval) => {
                self.model.back();
                // Whoever waited for it may have used it by now.
                let word = if answer.yes { "approved" } else { "denied" };
                self.model
                    .say(format!("approval {} is {word}", approval.id));
                Ok(())
            }
            Err(failure) => {
                self.refresh_request()?;
                Err(failure)
            }
        }
    }

    /// What became of the request that is read.
    pub(super) fn refresh_request(&mut self) -> Result<()> {
        let now = now_ms();
        let (Some(request), Some(store)) = (self.model.reading(), &mut self.store) else {
            return Ok(());
        };
        request.update(Vec::new(), now);
        if let Some(id) = request.open_id()
            && let Some(approval) = store.read(|tx| tx.approval(id))?
            && approval.status != ApprovalStatus::Pending
        {
            request.refresh(&approval);
        }
        Ok(())
    }

    /// Reads anew what is known; what fails is said.
    pub(super) fn reload(&mut self) {
        if let Err(failure) = self.try_reload() {
            self.complain(&failure);
        }
    }

    fn try_reload(&mut self) -> Result<()> {
        let Some(store) = &mut self.store else {
            self.model.update(Vec::new());
            return Ok(());
        };
        let version = store.version().ok();
        let agents = read::agents(store)?;
        self.version = version;
        self.model.update(agents);
        self.refresh_request()?;
        self.explain()
    }

    /// What is known of the agent under the cursor.
    pub(super) fn explain(&mut self) -> Result<()> {
        let chosen = self.model.chosen().map(|agent| agent.id.clone());
        let (Some(id), Some(store)) = (chosen, &mut self.store) else {
            return Ok(());
        };
        let detail = read::detail(&self.door.cx, store, &id)?;
        self.model.explain(id, detail.unwrap_or_default());
        self.look_at_pane();
        Ok(())
    }

    /// The screen of the agent under the cursor, where it may have changed.
    pub(super) fn look_at_pane(&mut self) {
        let chosen = self.model.chosen().map(|agent| agent.id.clone());
        let (Some(id), Some(store)) = (chosen, &mut self.store) else {
            return;
        };
        // A pane that is gone is told by the records.
        if let Ok(Some(rows)) = read::pane(store, &id, &mut self.seen) {
            self.model.show_pane(id, rows);
        }
    }
}
