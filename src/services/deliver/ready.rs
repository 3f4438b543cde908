//! A message to an agent that is at its prompt and waits for nothing: accepted and claimed in one transaction.

use super::{Step, carry_on, paste, place, proves, transport};
use crate::domain::message::{Message, MessageStatus};
use crate::domain::terminal::{Status, Terminal};
use crate::domain::text::{self, Placement};
use crate::error::Result;
use crate::failpoint;
use crate::proc::Identity;
use crate::providers::{Catalogue, Manifest};
use crate::services::context::Context;
use crate::store::{Error, Store, TerminalLock, Tx};
use crate::tmux::{PaneId, Tmux};
use std::time::Duration;

/// A terminal whose lock this process holds, and that a message can go to at once, as far as the database knows.
pub struct Ready {
    lock: TerminalLock,
    terminal: Terminal,
    manifest: Manifest,
    tmux: Tmux,
    pane: PaneId,
    own: Identity,
    claimed: Option<Placement>,
}

impl Ready {
    /// Looks whether `terminal` is ready, and takes its lock; before any transaction, because that is the order of locks. `None`: what is
    /// accepted goes through the queue.
    pub fn of(cx: &Context, terminal: Terminal) -> Result<Option<Self>> {
        let (Some((tmux, pane)), Some(own)) = (place(&terminal), Identity::own()) else {
            return Ok(None);
        };
        let rests = matches!(terminal.state.status, Status::Idle | Status::Error);
        if !rests || terminal.program.is_none() {
            return Ok(None);
        }
        let manifest = Catalogue::of(&cx.home).get(&terminal.provider)?;
        let by_channel = terminal.hooked && manifest.channel.is_some();
        let looked_at = !proves(&terminal, &manifest) || manifest.submit.prompt_row.is_none();
        if by_channel
            || looked_at
            || !manifest.mcp
            || (proves(&terminal, &manifest) && terminal.last_event_at.is_none())
        {
            return Ok(None);
        }
        let id = terminal.id.as_str();
        let Some(lock) = TerminalLock::acquire(&cx.home, id, Duration::ZERO)? else {
            return Ok(None);
        };
        failpoint::hit("deliver.locked");
        Ok(Some(Self {
            lock,
            terminal,
            manifest,
            tmux,
            pane,
            own,
            claimed: None,
        }))
    }

    /// Claims a message that was accepted in this transaction, if it is its turn and nothing has changed since the look.
    pub fn claim(&mut self, tx: &Tx<'_>, message: &Message) -> std::result::Result<(), Error> {
        let id = &self.terminal.id;
        if message.receiver != *id
            || message.status != MessageStatus::Queued
            || tx.terminal(id)?.as_ref() != Some(&self.terminal)
            || tx
                .head_message(id)?
                .is_none_or(|head| head.id != message.id)
        {
            return Ok(());
        }
        failpoint::hit("deliver.before_claim");
        let placement = text::place(message, self.manifest.limits());
        let at = message.queued_at;
        if tx.claim_message(message.id, transport(&placement), self.own, at)? {
            self.claimed = Some(placement);
        }
        Ok(())
    }

    /// Puts what was claimed into the pane, and goes on with the queue.
    pub fn deliver(self, cx: &Context, store: &mut Store, message: &Message) -> Result<()> {
        let step = match &self.claimed {
            None => Step::Again,
            Some(placement) => {
                failpoint::hit("deliver.claimed");
                let pane = (&self.tmux, self.pane);
                paste(
                    cx,
                    store,
                    &self.terminal,
                    message,
                    &self.manifest,
                    pane,
                    placement,
                )?
            }
        };
        let id = self.terminal.id.clone();
        carry_on(cx, store, &id, self.lock, step)
    }
}
