//! Approvals: asking, deciding, giving up, running out of time. Whoever decides is a person; each change is in the audit log.

use super::after::Aftermath;
use super::binding;
use super::context::Context;
use super::identity::{self, Caller};
use super::send;
use crate::clock;
use crate::domain::approval::{Act, Approval, ApprovalKind, ApprovalStatus, Scope, Script};
use crate::domain::event::ToolCall;
use crate::domain::ids::{ApprovalId, MessageId, TerminalId};
use crate::domain::message::MessageStatus;
use crate::domain::policy::Presence;
use crate::domain::policy::{self};
use crate::domain::terminal::Terminal;
use crate::domain::text::one_line;
use crate::error::{Failure, Result};
use crate::failpoint;
use crate::profiles::policy_always::{self, Added};
use crate::providers::{Catalogue, Manifest};
use crate::store::{Budget, By, DueKind, Durability, Error, NewApproval, Store, Tx};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A person who was not heard is reminded once, after this time, in milliseconds.
const REMIND_MS: i64 = 5 * 60 * 1000;

/// A person's decision.
#[derive(Debug, Clone)]
pub struct Decision<'a> {
    /// Yes or no.
    pub yes: bool,
    /// How far a yes reaches.
    pub scope: Scope,
    /// Why, for the agent and the audit log.
    pub reason: Option<&'a str>,
    /// What the person did to show that a person is there.
    pub shown: Presence,
    /// The door: `cli` or `popup`.
    pub via: &'static str,
    /// The tmux client it was made in, where there is one.
    pub client: Option<&'a str>,
}

/// Stores a request inside a transaction: its entry in the audit log, its due times, and what the person is to be told.
pub fn request(
    tx: &Tx<'_>,
    new: &NewApproval,
    by: &By<'_>,
    terminal: Option<&Terminal>,
    now: Timestamp,
    aftermath: &mut Aftermath,
) -> std::result::Result<Approval, Error> {
    let approval = tx.request_approval(new, by, now)?;
    let socket = terminal.and_then(super::deliver::socket);
    let remind = clock::after_ms(now, REMIND_MS).min(new.expires_at);
    tx.set_due(
        DueKind::Approval,
        &approval.id.to_string(),
        socket.as_deref(),
        remind,
    )?;
    if let Some(terminal) = terminal {
        aftermath.announce(terminal, approval.id);
        aftermath.arm(tx, terminal, now)?;
    }
    Ok(approval)
}

/// The request with this id.
pub fn known(store: &mut Store, id: ApprovalId) -> Result<Approval> {
    store.read(|tx| tx.approval(id))?.ok_or_else(|| unknown(id))
}

fn unknown(id: ApprovalId) -> Failure {
    Failure::not_found(format!("there is no approval {id}"))
        .hint("`conductor-hook approvals` lists them")
}

/// Refuses everybody who is not a person, and says so in the audit log.
pub fn person(store: &mut Store, id: ApprovalId, via: &str) -> Result<Caller> {
    let act = ("approval.refused", &*id.to_string(), via);
    identity::person(store, act, facts(None))?.map_err(|caller| {
        Failure::refused(format!(
        "a person decides approval {id}, and this process belongs to an agent ({})",
        caller.word()
    ))
    .hint("decide in a shell that no agent started, or by prefix A in tmux; the attempt is in the audit log")
    })
}

/// What is known of the deciding process.
fn facts(client: Option<&str>) -> Value {
    let tty = nix::unistd::ttyname(std::io::stdin())
        .ok()
        .map(|path| path.to_string_lossy().into_owned());
    json!({"uid": nix::unistd::getuid().as_raw(), "tty": tty, "client": client, "pid": std::process::id()})
}

/// Decides a request in the name of the person who runs this process, and returns it as decided. The first decision counts; whoever comes
/// later is told.
pub fn decide(
    cx: &Context,
    store: &mut Store,
    id: ApprovalId,
    decision: &Decision<'_>,
) -> Result<Approval> {
    let caller = person(store, id, decision.via)?;
    let actor = caller.word();
    let by = By {
        actor: &actor,
        via: decision.via,
        detail: facts(decision.client),
    };
    let before = known(store, id)?;
    if decision.yes {
        may_approve(&before, decision)?;
        if decision.scope == Scope::Always {
            always(cx, store, &before)?;
        }
    }
    failpoint::hit("approve.before_commit");
    let mut aftermath = Aftermath::default();
    let decided = store.write(Durability::Power, Budget::Call, |tx| {
        let now = clock::now();
        let Some(approval) = tx.approval(id)? else {
            return Err(unknown(id));
        };
        if approval.status == ApprovalStatus::Pending && approval.expires_at <= now {
            expire_in(tx, &approval, now, &mut aftermath)?;
            return Ok(None);
        }
        let (act, scope) = if decision.yes {
            (Act::Approve, Some(decision.scope))
        } else {
            (Act::Deny, None)
        };
        let decided = tx.act_on_approval(id, act, scope, decision.reason, &by, now)?;
        if let Some(decided) = &decided {
            settle(tx, decided, now, &mut aftermath)?;
        }
        Ok::<_, Failure>(decided)
    })?;
    failpoint::hit("approve.committed");
    aftermath.run(cx, store);
    let Some(decided) = decided else {
        return Err(too_late(&known(store, id)?));
    };
    if decided.status == ApprovalStatus::Approved {
        if decided.scope == Some(Scope::Always) {
            always(cx, store, &decided)
                .and_then(|added| policy_always::append(&cx.home, &added))
                .map_err(|failure| {
                    Failure::failed(format!(
                        "approval {id} is given once, but the rule was not written: {}",
                        failure.message()
                    ))
                })?;
        }
        if let Some(message) = decided.message
            && let Some(message) = store.read(|tx| tx.message(message))?
        {
            send::attempt(cx, store, &message.receiver);
        }
    }
    // Not as it is by now: the hook that waited may have used a yes already.
    Ok(decided)
}

fn may_approve(approval: &Approval, decision: &Decision<'_>) -> Result<()> {
    let id = approval.id;
    if approval.status != ApprovalStatus::Pending {
        return Err(too_late(approval));
    }
    if decision.shown < approval.presence {
        return Err(Failure::refused(format!(
            "approval {id} asks for more than a call of `approve` ({})",
            approval.presence.as_str()
        ))
        .hint("call it on a terminal and type the code that it shows, or press prefix A in tmux"));
    }
    match decision.scope {
        Scope::Session | Scope::Always if approval.kind != ApprovalKind::Tool => {
            Err(Failure::refused(format!(
                "approval {id} is about a {}, and that is approved once",
                approval.kind.as_str()
            ))
            .hint("leave --scope away"))
        }
        Scope::Session
            if approval
                .scripts
                .iter()
                .any(|script| script.sha256.is_none()) =>
        {
            Err(Failure::refused(format!(
                "approval {id} would run a file that it is not bound to, and that is approved once"
            ))
            .hint("leave --scope away"))
        }
        Scope::Always if !approval.complete => Err(Failure::refused(format!(
            "not all of approval {id} was understood, so no rule can be made of it"
        ))
        .hint("approve it with --scope once or session")),
        _ => Ok(()),
    }
}

/// The rules that let the very call of `approval` pass from now on; refused where none can.
fn always(cx: &Context, store: &mut Store, approval: &Approval) -> Result<Added> {
    let terminal = match &approval.terminal {
        Some(id) => store.read(|tx| tx.terminal(id))?,
        None => None,
    };
    let (Some(terminal), Some(tool), Some(cwd)) = (terminal, &approval.tool, &approval.cwd) else {
        return Err(Failure::refused("no rule can be made of this approval"));
    };
    let call = ToolCall {
        tool: tool.clone(),
        input: approval.input.clone(),
        call_id: None,
    };
    let cwd = Path::new(cwd);
    let bound = (approval.digest.as_str(), approval.scripts.as_slice());
    let action = asked_by(cx, &terminal, &call, cwd, bound)?.action(&call);
    let judged = super::policy::judge_call(
        &cx.home,
        &policy::Call {
            tool,
            action: &action,
            cwd,
            start: None,
            profile: &terminal.profile,
            agent_asks: false,
            allows_edits: false,
        },
        None,
    );
    if !judged.ruling.scripts.is_empty() {
        return Err(Failure::refused(
            "it runs a file of the project, and a rule would hold whatever that file says later",
        )
        .hint("approve it with --scope once or session"));
    }
    policy_always::rules(&judged.ruling, cwd, &clock::now().to_string())
}

/// The provider whose table of tools the call was read by: the digest holds which.
fn asked_by(
    cx: &Context,
    terminal: &Terminal,
    call: &ToolCall,
    cwd: &Path,
    (digest, scripts): (&str, &[Script]),
) -> Result<Manifest> {
    let catalogue = Catalogue::of(&cx.home);
    let scripts: Vec<PathBuf> = scripts
        .iter()
        .map(|script| PathBuf::from(&script.path))
        .collect();
    std::iter::once(terminal.provider.clone())
        .chain(catalogue.names())
        .find(|provider| {
            let tool = binding::tool(terminal, provider, &call.tool);
            let bound = binding::bind(&terminal.id, &tool, &call.input, None, cwd, &scripts);
            bound.digest == digest
        })
        .ok_or_else(|| {
            Failure::refused("what it was asked for, or where, has changed since")
                .hint("approve it with --scope once")
        })
        .and_then(|provider| catalogue.get(&provider))
}

fn too_late(approval: &Approval) -> Failure {
    let by = approval
        .decided_by
        .as_deref()
        .map(|by| format!(" (by {})", one_line(by)))
        .unwrap_or_default();
    let when = approval
        .decided_at
        .map(|at| format!(" since {at:.0}"))
        .unwrap_or_default();
    Failure::refused(format!(
        "approval {} is {} already{when}{by}",
        approval.id,
        approval.status.as_str()
    ))
    .hint("the first decision counts")
}

/// What a decision does to what was asked for.
fn settle(
    tx: &Tx<'_>,
    approval: &Approval,
    now: Timestamp,
    aftermath: &mut Aftermath,
) -> std::result::Result<(), Error> {
    if approval.status != ApprovalStatus::Approved || approval.kind == ApprovalKind::Message {
        tx.clear_due(DueKind::Approval, &approval.id.to_string())?;
    } else {
        // A yes that nobody uses runs out too.
        tx.postpone_due(
            DueKind::Approval,
            &approval.id.to_string(),
            approval.expires_at,
        )?;
    }
    let terminal = match &approval.terminal {
        Some(id) => tx.terminal(id)?,
        None => None,
    };
    if let Some(terminal) = &terminal {
        aftermath.count(terminal);
        if approval.status == ApprovalStatus::Approved && approval.scope == Some(Scope::Session) {
            tx.grant(&terminal.id, &approval.digest, approval.id, now)?;
        }
    }
    let Some(message) = approval.message else {
        return Ok(());
    };
    let Some(message) = tx
        .message(message)?
        .filter(|m| m.status == MessageStatus::Held)
    else {
        return Ok(());
    };
    if approval.status == ApprovalStatus::Approved {
        tx.release_message(&message)?;
    } else {
        let reason = match approval.reason.as_deref() {
            Some(reason) => format!("not approved: {}", one_line(reason)),
            None => format!("not approved ({})", approval.status.as_str()),
        };
        tx.end_message(message.id, MessageStatus::Cancelled, &reason)?;
    }
    if let Some(receiver) = tx.terminal(&message.receiver)? {
        aftermath.count(&receiver);
    }
    Ok(())
}

fn expire_in(
    tx: &Tx<'_>,
    approval: &Approval,
    now: Timestamp,
    aftermath: &mut Aftermath,
) -> std::result::Result<bool, Error> {
    let by = By {
        actor: "conductor",
        via: "time",
        detail: json!({}),
    };
    let reason = match approval.status {
        ApprovalStatus::Approved => "the approval was not used in time",
        _ => "nobody decided in time",
    };
    let over = tx.act_on_approval(approval.id, Act::Expire, None, Some(reason), &by, now)?;
    match &over {
        Some(over) => settle(tx, over, now, aftermath)?,
        None => tx.clear_due(DueKind::Approval, &approval.id.to_string())?,
    }
    Ok(over.is_some())
}

/// The request's time has come: it runs out, or the person is reminded.
pub fn due(cx: &Context, store: &mut Store, id: ApprovalId) -> Result<()> {
    let mut aftermath = Aftermath::default();
    store.write(Durability::Power, Budget::Call, |tx| {
        let now = clock::now();
        let Some(approval) = tx.approval(id)? else {
            return Ok(());
        };
        if approval.expires_at <= now {
            expire_in(tx, &approval, now, &mut aftermath)?;
            return Ok(());
        }
        if !matches!(
            approval.status,
            ApprovalStatus::Pending | ApprovalStatus::Approved
        ) {
            return Ok(());
        }
        let terminal = match &approval.terminal {
            Some(id) => tx.terminal(id)?,
            None => None,
        };
        tx.set_due(
            DueKind::Approval,
            &id.to_string(),
            terminal
                .as_ref()
                .and_then(super::deliver::socket)
                .as_deref(),
            approval.expires_at,
        )?;
        if let Some(terminal) = &terminal {
            if approval.status == ApprovalStatus::Pending {
                aftermath.announce(terminal, id);
            }
            aftermath.arm(tx, terminal, now)?;
        }
        Ok::<_, Error>(())
    })?;
    aftermath.run(cx, store);
    Ok(())
}

/// Gives a request up, inside a transaction: whoever asked is gone, or asks for something else now. Says whether it was still open.
pub fn withdraw(
    tx: &Tx<'_>,
    id: ApprovalId,
    reason: &str,
    via: &str,
    now: Timestamp,
    aftermath: &mut Aftermath,
) -> std::result::Result<bool, Error> {
    let by = By {
        actor: "conductor",
        via,
        detail: json!({}),
    };
    let over = tx.act_on_approval(id, Act::Withdraw, None, Some(reason), &by, now)?;
    if let Some(over) = &over {
        settle(tx, over, now, aftermath)?;
    }
    Ok(over.is_some())
}

/// A held message is no longer to be sent: nobody needs to decide about it.
pub fn withdraw_message(
    tx: &Tx<'_>,
    message: MessageId,
    reason: &str,
    aftermath: &mut Aftermath,
) -> std::result::Result<(), Error> {
    if let Some(approval) = tx.approval_of_message(message)? {
        withdraw(tx, approval.id, reason, "message", clock::now(), aftermath)?;
    }
    Ok(())
}

/// Gives up all that a terminal asked for: it has ended, or its turn has and nobody waits for the answer any more (`waiting`).
pub fn withdraw_all(
    tx: &Tx<'_>,
    terminal: &TerminalId,
    reason: &str,
    ended: bool,
    now: Timestamp,
    aftermath: &mut Aftermath,
) -> std::result::Result<(), Error> {
    for approval in tx.open_approvals(terminal)? {
        let waits = approval.waiter.is_some_and(|root| {
            crate::proc::Identity {
                pid: root.pid,
                start: root.start,
            }
            .alive()
        });
        let over = match approval.kind {
            // A request that the agent made by itself outlives its turn, and a held message its sender's.
            ApprovalKind::Request | ApprovalKind::Message => {
                ended && approval.kind == ApprovalKind::Request
            }
            ApprovalKind::Tool => ended || (!waits && approval.status == ApprovalStatus::Pending),
        };
        if over && approval.status != ApprovalStatus::Consumed {
            withdraw(tx, approval.id, reason, "event", now, aftermath)?;
        }
    }
    if ended {
        tx.end_grants(terminal)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::Home;
    use crate::tmux::Tmux;

    #[test]
    fn a_rule_for_always_is_made_of_what_the_person_was_shown() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path().join("state")).unwrap();
        let cx = Context::new(home, Tmux::at(dir.path().join("no-server"))).unwrap();
        let mut terminal = Terminal::sample(TerminalId::from_bytes([1; 4]));
        terminal.provider = "generic".to_owned();
        let call = ToolCall {
            tool: "Bash".to_owned(),
            input: json!({"command": "mkdir x"}),
            call_id: None,
        };
        let cwd = dir.path();
        let digest = |provider: &str| {
            let tool = binding::tool(&terminal, provider, &call.tool);
            binding::bind(&terminal.id, &tool, &call.input, None, cwd, &[]).digest
        };
        let shown = |provider: &str, digest: String| {
            let found = asked_by(&cx, &terminal, &call, cwd, (&digest, &[]));
            assert_eq!(
                found.ok().map(|found| found.name).as_deref(),
                Some(provider)
            );
        };
        for provider in ["generic", "claude_code", "demo"] {
            shown(provider, digest(provider));
        }
        assert_ne!(
            digest("claude_code"),
            digest("demo"),
            "a yes to the one is none to the other"
        );
        let strange = asked_by(&cx, &terminal, &call, cwd, ("other", &[]));
        assert_eq!(strange.unwrap_err().kind(), crate::error::Kind::Refused);
    }
}
