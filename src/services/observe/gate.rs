//! The gate: what an agent hears before it uses a tool. Fails closed: an answer that allows is printed only after all that it rests on is
//! stored; whatever goes wrong on the way is a denial.

use super::Session;
use super::denial::answer;
use crate::clock;
use crate::domain::approval::{Act, Approval, ApprovalKind, ApprovalStatus};
use crate::domain::event::{AgentEvent, ToolCall};
use crate::domain::ids::ApprovalId;
use crate::domain::policy::Presence;
use crate::domain::policy::{Action, Call, Decision, Ruling};
use crate::domain::terminal::Terminal;
use crate::domain::text::one_line;
use crate::failpoint;
use crate::paths::Home;
use crate::proc::Identity;
use crate::providers::{Catalogue, Dialect, Incoming, Verdict};
use crate::services::binding::{self, Bound, bind};
use crate::services::policy;
use crate::store::{Budget, By, Durability, Error};
use jiff::Timestamp;
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;

/// How long, in milliseconds, a call that a person approved may take until the agent's own dialog asks about it.
const SECOND_ASK_MS: i64 = 10 * 60 * 1000;

/// A tool call, and what the policy says about it.
pub(super) struct Judged {
    /// The provider whose table of tools was read.
    provider: String,
    pub(super) call: ToolCall,
    action: Action,
    pub(super) ruling: Ruling,
    cwd: PathBuf,
    /// How long a request for it waits, in milliseconds.
    pub(super) expires_ms: i64,
}

/// What the policy says where the state cannot be used: what it allows needs no state; everything else is denied.
pub(super) fn without_state(
    home: &Home,
    provider: &str,
    dialect: Dialect,
    incoming: &Incoming,
    why: &str,
) -> Verdict {
    let denied = || Verdict::Deny(closed(why));
    let AgentEvent::ToolStarting(call) = &incoming.event else {
        return denied();
    };
    match judge(home, provider, dialect, None, incoming, call) {
        Ok(judged) if judged.ruling.decision == Decision::Allow => {
            Verdict::Allow(one_line(&judged.ruling.reason))
        }
        _ => denied(),
    }
}

/// What a denial says that nobody decided.
pub(super) fn closed(why: &str) -> String {
    format!(
        "Agent Conductor denies this call: {}; `conductor-hook doctor` says more",
        one_line(why)
    )
}

fn judge(
    home: &Home,
    provider: &str,
    dialect: Dialect,
    terminal: Option<&Terminal>,
    incoming: &Incoming,
    call: &ToolCall,
) -> Result<Judged, String> {
    let manifest = Catalogue::of(home)
        .get(provider)
        .map_err(|failure| failure.message().to_owned())?;
    let cwd = incoming
        .cwd
        .as_deref()
        .map(PathBuf::from)
        .filter(|dir| dir.is_absolute())
        .or_else(|| terminal.map(|terminal| terminal.cwd.clone()))
        .ok_or("it does not say where it runs")?;
    let workdir = incoming
        .workdir
        .as_deref()
        .map(PathBuf::from)
        .filter(|dir| dir.is_absolute());
    let action = manifest.action(call);
    let mode = incoming.permission_mode.as_deref();
    let asks = dialect.asks_by_itself(mode);
    let judged = policy::judge_call(
        home,
        &Call {
            tool: &call.tool,
            action: &action,
            cwd: &cwd,
            start: workdir.as_deref(),
            profile: terminal.map_or("", |terminal| terminal.profile.as_str()),
            agent_asks: asks,
            allows_edits: !asks,
        },
        terminal.map(|terminal| terminal.cwd.as_path()),
    );
    let mut ruling = judged.ruling;
    // A rule leaves it to the agent's own dialog, and this agent opens none now.
    if ruling.decision == Decision::Defer && ruling.rule.is_some() && !dialect.opens_dialogs(mode) {
        ruling.decision = Decision::Ask;
    }
    Ok(Judged {
        provider: manifest.name,
        call: call.clone(),
        action,
        ruling,
        cwd: workdir.unwrap_or(cwd),
        expires_ms: judged.expires_ms,
    })
}

impl Judged {
    fn command(&self) -> Option<&str> {
        match &self.action {
            Action::Shell { command } => Some(command),
            _ => None,
        }
    }

    /// What a yes to it takes.
    pub(super) fn needed(&self) -> Presence {
        if self.ruling.decision == Decision::Ask {
            self.ruling.presence
        } else {
            Presence::Caller
        }
    }

    /// The exact text that a person is shown.
    pub(super) fn text(&self) -> String {
        match self.command() {
            Some(command) => command.to_owned(),
            None => serde_json::to_string_pretty(&self.call.input).unwrap_or_default(),
        }
    }

    pub(super) fn bind(&self, terminal: &Terminal) -> Bound {
        bind(
            &terminal.id,
            &binding::tool(terminal, &self.provider, &self.call.tool),
            &self.call.input,
            self.command(),
            &self.cwd,
            &self.ruling.scripts,
        )
    }
}

impl Session {
    /// Answers a hook that waits for a decision.
    pub(super) fn gate(
        &mut self,
        dialect: Dialect,
        event: &str,
        incoming: &Incoming,
        output: &mut dyn Write,
    ) -> u8 {
        let (call, dialog) = match &incoming.event {
            AgentEvent::ToolStarting(call) => (call, false),
            AgentEvent::PermissionAsked(call) => (call, true),
            _ => return self.event(dialect, incoming, output),
        };
        // The agent that speaks names its tools, whatever the pane was started as. That a hook's argument says so opens nothing: it stands
        // in settings of the person's, what an agent's own call of `hook` prints reaches no agent, and a yes holds for this provider's calls.
        let judged = judge(
            &self.cx.home,
            &self.speaker,
            dialect,
            Some(&self.terminal),
            incoming,
            call,
        );
        let answered = match judged {
            Ok(judged) if dialog => self.dialog_open(dialect, incoming, &judged),
            Ok(judged) => self.tool_starting(dialect, incoming, &judged),
            Err(why) => Err(why),
        };
        let verdict = answered.unwrap_or_else(|why| {
            tracing::warn!(%why, terminal = %self.terminal.id, "the gate cannot decide, and denies");
            Verdict::Deny(closed(&why))
        });
        failpoint::hit("gate.before_print");
        answer(output, &dialect.decision(event, &verdict, Some(incoming)))
    }

    fn tool_starting(
        &mut self,
        dialect: Dialect,
        incoming: &Incoming,
        judged: &Judged,
    ) -> Result<Verdict, String> {
        let reason = one_line(&judged.ruling.reason);
        match judged.ruling.decision {
            Decision::Allow => {
                self.status_event(incoming);
                Ok(Verdict::Allow(reason))
            }
            Decision::Defer => {
                self.forget_used(&judged.bind(&self.terminal))?;
                self.status_event(incoming);
                Ok(Verdict::Pass)
            }
            Decision::Deny => {
                self.status_event(incoming);
                Ok(self.denied_by_policy(judged))
            }
            Decision::Ask => {
                let bound = judged.bind(&self.terminal);
                if let Some(id) = self.use_approval(&bound, judged.ruling.presence, false)? {
                    self.status_event(incoming);
                    return Ok(Verdict::Allow(format!("approval {id}")));
                }
                // A dialog that opens from now on is about this call, not about an equal one that was approved before.
                self.forget_used(&bound)?;
                if judged.ruling.presence == Presence::Caller && dialect.asks_in_pane() {
                    // The dialog comes with the agent's next breath: nothing is pasted meanwhile.
                    self.mark_dialog(true);
                    self.status_event(incoming);
                    return Ok(Verdict::Ask(reason));
                }
                self.ask(incoming, judged, false)
            }
        }
    }

    /// The agent's own dialog is on the screen: it joins the queue, and whoever answers first wins.
    fn dialog_open(
        &mut self,
        dialect: Dialect,
        incoming: &Incoming,
        judged: &Judged,
    ) -> Result<Verdict, String> {
        self.mark_dialog(true);
        if judged.ruling.decision == Decision::Deny {
            self.status_event(incoming);
            self.mark_dialog(false);
            return Ok(self.denied_by_policy(judged));
        }
        let bound = judged.bind(&self.terminal);
        let again = if dialect.escalates(&judged.call) {
            None
        } else {
            self.just_used(&bound)?
        };
        let passes = match again {
            Some(id) => Some(id),
            None => self.use_approval(&bound, judged.needed(), true)?,
        };
        if let Some(id) = passes {
            self.mark_dialog(false);
            return Ok(Verdict::Allow(format!("approval {id}")));
        }
        self.ask(incoming, judged, true)
    }

    fn denied_by_policy(&mut self, judged: &Judged) -> Verdict {
        let rule = judged.ruling.rule.clone().unwrap_or_default();
        let detail = json!({
            "rule": rule, "tool": judged.call.tool,
            "text": crate::domain::redact::excerpt(&judged.text(), 2_000),
        });
        let id = self.terminal.id.clone();
        let noted: Result<(), Error> =
            self.store.write(Durability::Power, Budget::Decision, |tx| {
                tx.audit(
                    clock::now(),
                    "policy.denied",
                    id.as_str(),
                    id.as_str(),
                    "gate",
                    detail,
                )
            });
        if let Err(error) = noted {
            tracing::warn!(%error, terminal = %self.terminal.id, %rule, "note a denial");
        }
        Verdict::Deny(format!(
            "Agent Conductor's policy denies this call: {}. Do not try it in another form; ask for what you need or do without.",
            one_line(&judged.ruling.reason)
        ))
    }

    /// Approvals by a person that were used for an equal call which has not been reported as run.
    fn used(&mut self, bound: &Bound) -> Result<Vec<Approval>, String> {
        let id = self.terminal.id.clone();
        let mut open = self
            .store
            .read(|tx| tx.open_approvals(&id))
            .map_err(|error: Error| error.to_string())?;
        open.retain(|a| {
            a.status == ApprovalStatus::Consumed
                && a.via.as_deref() != Some("pane")
                && (a.digest == bound.digest
                    || (a.text_digest.is_some() && a.text_digest == bound.text_digest))
        });
        Ok(open)
    }

    /// An approval that was used for this very call, which the agent's own dialog asks about once more.
    fn just_used(&mut self, bound: &Bound) -> Result<Option<ApprovalId>, String> {
        let now = clock::now();
        let recent = |a: &&Approval| {
            a.consumed_at
                .is_some_and(|at| clock::elapsed_ms(at, now) < SECOND_ASK_MS)
        };
        let found = self.used(bound)?.iter().find(recent).map(|a| a.id);
        // It counts for one dialog.
        self.forget_used(bound)?;
        Ok(found)
    }

    /// What was used for an equal call counts for no other one.
    fn forget_used(&mut self, bound: &Bound) -> Result<(), String> {
        let used = self.used(bound)?;
        if used.is_empty() {
            return Ok(());
        }
        self.store
            .write(Durability::Power, Budget::Decision, |tx| {
                for approval in &used {
                    tx.note_approval_ran(approval.id, clock::now())?;
                }
                Ok(())
            })
            .map_err(|error: Error| error.to_string())
    }

    /// Uses up a yes that was given for this very call, or one that holds until the terminal ends. It is stored before it counts.
    pub(super) fn use_approval(
        &mut self,
        bound: &Bound,
        needed: Presence,
        dialog: bool,
    ) -> Result<Option<ApprovalId>, String> {
        let id = self.terminal.id.clone();
        let own = Identity::own();
        // One that a living hook waits for is that hook's.
        let waited = |a: &Approval| {
            a.waiter.is_some_and(|w| {
                let waiter = Identity {
                    pid: w.pid,
                    start: w.start,
                };
                own != Some(waiter) && waiter.alive()
            })
        };
        let fits = |a: &Approval, now: Timestamp| {
            let request = a.kind == ApprovalKind::Request
                && a.text_digest.is_some()
                && a.text_digest == bound.text_digest;
            a.usable(now)
                && a.presence >= needed
                && !waited(a)
                && (request || (a.kind == ApprovalKind::Tool && a.digest == bound.digest))
        };
        let there = self
            .store
            .read(|tx| {
                let now = clock::now();
                Ok(tx.granted(&id, &bound.digest)?.is_some()
                    || tx.open_approvals(&id)?.iter().any(|a| fits(a, now)))
            })
            .map_err(|error: Error| error.to_string())?;
        if !there {
            return Ok(None);
        }
        let used = self
            .store
            .write(Durability::Power, Budget::Decision, |tx| {
                let now = clock::now();
                let actor = id.to_string();
                let by = By {
                    actor: &actor,
                    via: "gate",
                    detail: json!({}),
                };
                let granted = match tx.granted(&id, &bound.digest)? {
                    Some(granted) => tx.approval(granted)?.filter(|a| a.presence >= needed),
                    None => None,
                };
                if let Some(granted) = granted {
                    let first =
                        tx.act_on_approval(granted.id, Act::Consume, None, None, &by, now)?;
                    if first.is_none() {
                        let (subject, detail) =
                            (granted.id.to_string(), json!({"digest": bound.digest}));
                        tx.audit(now, "approval.reused", &subject, &actor, "gate", detail)?;
                    }
                    if dialog {
                        tx.note_approval_ran(granted.id, now)?;
                    }
                    return Ok(Some(granted.id));
                }
                for approval in tx.open_approvals(&id)?.iter().filter(|a| fits(a, now)) {
                    if tx
                        .act_on_approval(approval.id, Act::Consume, None, None, &by, now)?
                        .is_some()
                    {
                        if dialog {
                            // The agent's dialog has its answer: no second one is about this call.
                            tx.note_approval_ran(approval.id, now)?;
                        }
                        return Ok(Some(approval.id));
                    }
                }
                Ok(None)
            })
            .map_err(|error: Error| error.to_string())?;
        failpoint::hit("gate.consumed");
        Ok(used)
    }
}
