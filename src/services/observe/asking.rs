//! Asking a person: the request is stored, the hook waits, and what would run is looked at again before a yes counts.

use super::super::recover::{self, SERVER_GONE};
use super::Session;
use super::gate::Judged;
use super::record::store_event;
use crate::clock;
use crate::domain::approval::{Act, Approval, ApprovalKind, ApprovalStatus, MAX_COMMAND, Scope};
use crate::domain::event::AgentEvent;
use crate::domain::ids::ApprovalId;
use crate::domain::policy::Presence;
use crate::domain::terminal::{Root, Terminal};
use crate::domain::text::one_line;
use crate::failpoint;
use crate::proc::Identity;
use crate::providers::{self, Catalogue, Incoming, Manifest, Seen, Verdict};
use crate::services::after::Aftermath;
use crate::services::approve;
use crate::services::binding::Bound;
use crate::services::deliver::place;
use crate::services::wait::{PERIOD, Watcher};
use crate::store::{Budget, By, Durability, Error, NewApproval};
use jiff::Timestamp;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use serde_json::{Value, json};
use std::os::fd::AsFd;

/// How often a call whose files change while it waits is asked for again before it is denied.
const MAX_CHANGES: usize = 5;

/// A dialog is looked at this often, in looks at the request, to see whether it was answered in the pane.
const LOOK_EVERY: u32 = 2;

/// How a wait ended.
enum Ended {
    /// A person said yes: not used yet.
    Approved(Approval),
    /// It is over: denied, expired, withdrawn, or decided in the pane.
    Over(Approval),
    /// Whoever asked is gone.
    Gone,
}

impl Session {
    /// Asks a person and waits. What would run is looked at again before a yes counts.
    pub(super) fn ask(
        &mut self,
        incoming: &Incoming,
        judged: &Judged,
        dialog: bool,
    ) -> Result<Verdict, String> {
        if judged.text().len() > MAX_COMMAND {
            return Err(format!(
                "it is longer than {} KiB, and nobody could read it",
                MAX_COMMAND / 1024
            ));
        }
        let shown = Incoming {
            event: AgentEvent::PermissionAsked(judged.call.clone()),
            ..incoming.clone()
        };
        let mut verdict = Err("what it would run changes again and again".to_owned());
        for _ in 0..MAX_CHANGES {
            let bound = judged.bind(&self.terminal);
            let id = self.store_request(judged, &shown, &bound, dialog)?;
            failpoint::hit("gate.requested");
            let ended = self.wait_for_person(id, dialog)?;
            failpoint::hit("gate.decided");
            match ended {
                Ended::Gone => {
                    verdict = Err("whoever asked is gone".to_owned());
                    break;
                }
                Ended::Over(approval) => {
                    verdict = Ok(over(&approval, dialog));
                    break;
                }
                Ended::Approved(approval) => {
                    let now = judged.bind(&self.terminal);
                    let digest = if approval.digest == now.digest {
                        now
                    } else {
                        self.give_up(id, "what would run has changed since it was asked for");
                        continue;
                    };
                    verdict = match self.use_approval(&digest, judged.needed(), dialog)? {
                        Some(_) => Ok(Verdict::Allow(format!("approval {id}"))),
                        None => Err(format!("approval {id} was used by another call")),
                    };
                    break;
                }
            }
        }
        if dialog {
            self.mark_dialog(false);
        }
        if !matches!(verdict, Ok(Verdict::Pass)) {
            // The state is another one than when this process began.
            self.reload();
            let working = Incoming {
                event: AgentEvent::ToolStarting(judged.call.clone()),
                ..incoming.clone()
            };
            self.status_event(&working);
        }
        verdict
    }

    /// Stores that the agent waits, and the request, or takes over one for the same call whose process was killed: in one transaction, so
    /// that who sees that it waits finds what it waits for.
    fn store_request(
        &mut self,
        judged: &Judged,
        shown: &Incoming,
        bound: &Bound,
        dialog: bool,
    ) -> Result<ApprovalId, String> {
        let own = Identity::own().ok_or("this process cannot be named")?;
        let waiter = Root {
            pid: own.pid,
            start: own.start,
        };
        let terminal = self.terminal.clone();
        let ruling = &judged.ruling;
        let new = NewApproval {
            terminal: Some(terminal.id.clone()),
            kind: ApprovalKind::Tool,
            tool: Some(judged.call.tool.clone()),
            command: judged.text(),
            input: judged.call.input.clone(),
            cwd: Some(bound.cwd.clone()),
            digest: bound.digest.clone(),
            text_digest: bound.text_digest.clone(),
            rule: ruling.rule.clone(),
            risk: ruling.risk,
            presence: judged.needed(),
            why: one_line(&ruling.reason),
            complete: ruling.complete,
            unclear: ruling.unclear.iter().map(|part| one_line(part)).collect(),
            scripts: bound.scripts.clone(),
            words: words(&judged.call.input),
            message: None,
            expires_at: clock::after_ms(clock::now(), judged.expires_ms),
            waiter: Some(waiter),
        };
        let mut aftermath = Aftermath::default();
        let stored = self
            .store
            .write(Durability::Power, Budget::Decision, |tx| {
                let now = clock::now();
                if let Some(terminal) = tx.terminal(&terminal.id)? {
                    store_event(tx, &terminal, shown, None, now, &mut aftermath)?;
                    aftermath.arm(tx, &terminal, now)?;
                }
                let left = tx.open_approvals(&terminal.id)?.into_iter().find(|a| {
                    a.status == ApprovalStatus::Pending
                        && a.kind == ApprovalKind::Tool
                        && a.digest == new.digest
                        && a.expires_at > now
                        && a.presence >= new.presence
                        && a.waiter.is_none_or(|w| !alive(w))
                });
                if let Some(left) = left {
                    tx.set_approval_waiter(left.id, Some(waiter))?;
                    return Ok(left.id);
                }
                let by = By {
                    actor: terminal.id.as_str(),
                    via: if dialog { "dialog" } else { "gate" },
                    detail: json!({}),
                };
                approve::request(tx, &new, &by, Some(&terminal), now, &mut aftermath)
                    .map(|approval| approval.id)
            })
            .map_err(|error: Error| error.to_string())?;
        aftermath.run(&self.cx, &mut self.store);
        Ok(stored)
    }

    fn wait_for_person(&mut self, id: ApprovalId, dialog: bool) -> Result<Ended, String> {
        let mut signals = SigSet::empty();
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
            signals.add(signal);
        }
        // Blocked, they are read between two looks: the request is withdrawn before this process ends.
        let told = signals
            .thread_block()
            .and_then(|()| {
                SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            })
            .map_err(|error| format!("wait for signals: {error}"))?;
        let watcher = Watcher::new(&self.cx.home);
        let manifest = Catalogue::of(&self.cx.home)
            .get(&self.speaker)
            .ok()
            .filter(|manifest| dialog || manifest.screen.cancelled.is_some());
        let mut pane = PaneDialog::default();
        let mut given_up = GivenUp::default();
        loop {
            let approval = self
                .store
                .read(|tx| tx.approval(id))
                .map_err(|error: Error| error.to_string())?
                .ok_or("the request is gone from the database")?;
            match approval.status {
                ApprovalStatus::Pending => {}
                ApprovalStatus::Approved => return Ok(Ended::Approved(approval)),
                _ => return Ok(Ended::Over(approval)),
            }
            if approval.expires_at <= clock::now() {
                approve::due(&self.cx, &mut self.store, id)
                    .map_err(|failure| failure.message().to_owned())?;
                continue;
            }
            if !self.has_reader() || !self.terminal.root.is_none_or(alive) {
                self.give_up(id, &self.gave_up());
                return Ok(Ended::Gone);
            }
            if let Some(manifest) = &manifest
                && given_up.by_person(&self.terminal, manifest)
            {
                self.give_up(id, "a person gave the call up in the pane");
                return Ok(Ended::Gone);
            }
            if let Some(manifest) = manifest.as_ref().filter(|_| dialog)
                && approval.presence == Presence::Caller
                && pane.answered(&self.terminal, manifest)
            {
                self.answered_in_pane(id);
                continue;
            }
            if watcher.sleep_beside(PERIOD, Some(told.as_fd())) {
                self.give_up(id, &self.gave_up());
                return Ok(Ended::Gone);
            }
        }
    }

    /// Why the agent does not wait for the answer any more.
    fn gave_up(&self) -> String {
        if recover::server_dies(&self.terminal) {
            recover::asks_again(SERVER_GONE)
        } else {
            "the agent gave the call up".to_owned()
        }
    }

    fn reload(&mut self) {
        let id = self.terminal.id.clone();
        let read: Result<Option<Terminal>, Error> = self.store.read(|tx| tx.terminal(&id));
        if let Ok(Some(terminal)) = read {
            self.terminal = terminal;
        }
    }

    fn give_up(&mut self, id: ApprovalId, reason: &str) {
        let mut aftermath = Aftermath::default();
        let stored: Result<bool, Error> =
            self.store.write(Durability::Power, Budget::Decision, |tx| {
                approve::withdraw(tx, id, reason, "gate", clock::now(), &mut aftermath)
            });
        match stored {
            Ok(_) => aftermath.run(&self.cx, &mut self.store),
            Err(error) => tracing::warn!(%error, approval = %id, "withdraw a request"),
        }
    }

    /// The dialog is gone and the turn goes on: somebody said yes in the pane.
    fn answered_in_pane(&mut self, id: ApprovalId) {
        let mut aftermath = Aftermath::default();
        let terminal = self.terminal.clone();
        let stored: Result<(), Error> =
            self.store.write(Durability::Power, Budget::Decision, |tx| {
                decided_in_pane(tx, id, clock::now())?;
                aftermath.count(&terminal);
                Ok(())
            });
        match stored {
            Ok(()) => aftermath.run(&self.cx, &mut self.store),
            Err(error) => tracing::warn!(%error, approval = %id, "note a decision in the pane"),
        }
    }
}

/// Records that a call was approved by a key in the agent's pane; nobody knows whose.
pub(super) fn decided_in_pane(
    tx: &crate::store::Tx<'_>,
    id: ApprovalId,
    now: Timestamp,
) -> Result<bool, Error> {
    let by = By {
        actor: "unknown",
        via: "pane",
        detail: json!({}),
    };
    let approved = tx.act_on_approval(id, Act::Approve, Some(Scope::Once), None, &by, now)?;
    tx.act_on_approval(id, Act::Consume, None, None, &by, now)?;
    tx.clear_due(crate::store::DueKind::Approval, &id.to_string())?;
    Ok(approved.is_some())
}

/// The answer to a request that is over without a yes for us to use.
fn over(approval: &Approval, dialog: bool) -> Verdict {
    let id = approval.id;
    match approval.status {
        ApprovalStatus::Denied => {
            let reason = match approval.reason.as_deref().map(one_line) {
                Some(reason) if !reason.is_empty() => reason,
                _ => "no reason was given".to_owned(),
            };
            Verdict::Deny(format!(
                "A person denied this call (approval {id}): {reason}"
            ))
        }
        ApprovalStatus::Expired => Verdict::Deny(format!(
            "Nobody decided about this call in time (approval {id}): ask again with the same call if it is still needed"
        )),
        // Answered in the pane: the agent knows.
        ApprovalStatus::Consumed if dialog && approval.via.as_deref() == Some("pane") => {
            Verdict::Pass
        }
        _ => Verdict::Deny(format!(
            "The request for this call was withdrawn (approval {id})"
        )),
    }
}

fn alive(root: Root) -> bool {
    Identity {
        pid: root.pid,
        start: root.start,
    }
    .alive()
}

/// What the agent itself says about a call.
fn words(input: &Value) -> Option<String> {
    input
        .get("description")
        .or_else(|| input.get("justification"))
        .and_then(Value::as_str)
        .map(|text| crate::domain::text::sanitise(&text.chars().take(2_000).collect::<String>()))
}

/// Whether a person gave the call up in the pane, of an agent that does not tell its hook: its screen says so once more than at the first look.
#[derive(Default)]
struct GivenUp {
    turn: u32,
    at_first: Option<usize>,
}

impl GivenUp {
    fn by_person(&mut self, terminal: &Terminal, manifest: &Manifest) -> bool {
        self.turn += 1;
        if manifest.screen.cancelled.is_none() || !self.turn.is_multiple_of(LOOK_EVERY) {
            return false;
        }
        let Some((tmux, pane)) = place(terminal) else {
            return false;
        };
        let Ok((screen, _)) = tmux.sight(pane) else {
            return false;
        };
        let now = providers::cancellations(manifest, &screen);
        now > *self.at_first.get_or_insert(now)
    }
}

/// Whether the agent's dialog was answered in its pane: seen, and then gone in two looks.
#[derive(Default)]
struct PaneDialog {
    turn: u32,
    seen: bool,
    gone: u32,
}

impl PaneDialog {
    fn answered(&mut self, terminal: &Terminal, manifest: &Manifest) -> bool {
        self.turn += 1;
        if !self.turn.is_multiple_of(LOOK_EVERY) {
            return false;
        }
        let Some((tmux, pane)) = place(terminal) else {
            return false;
        };
        let Ok((screen, title)) = tmux.sight(pane) else {
            return false;
        };
        match providers::look(manifest, &screen, &title) {
            Seen::Dialog { .. } => {
                self.seen = true;
                self.gone = 0;
            }
            Seen::Working if self.seen => self.gone += 1,
            _ => {}
        }
        self.gone >= 2
    }
}
