//! Asking without a tool call: an agent's own request before it acts, and a message that a person shall see first.

use super::after::Aftermath;
use super::approve::request;
use super::binding::bind;
use super::context::Context;
use crate::clock;
use crate::domain::approval::{Approval, ApprovalKind, ApprovalStatus, MAX_COMMAND};
use crate::domain::audit;
use crate::domain::ids::TerminalId;
use crate::domain::message::{Message, MessageStatus, Sender};
use crate::domain::policy::{self, Action, Presence, Risk};
use crate::domain::terminal::Terminal;
use crate::domain::text::{one_line, sanitise};
use crate::error::{Failure, Result};
use crate::store::{Budget, By, Durability, Error, NewApproval, Store, Tx};
use serde_json::{Value, json};

/// Asks a person about a held message, inside the transaction that accepted it. The same message again asks nothing.
pub fn hold(
    tx: &Tx<'_>,
    message: &Message,
    expires_ms: i64,
    aftermath: &mut Aftermath,
) -> std::result::Result<(), Error> {
    if message.status != MessageStatus::Held || tx.approval_of_message(message.id)?.is_some() {
        return Ok(());
    }
    let now = clock::now();
    let receiver = tx.terminal(&message.receiver)?;
    let terminal = match &message.sender {
        Sender::Terminal(id) => Some(id.clone()),
        _ => None,
    };
    let actor = message.sender.to_string();
    let new = NewApproval {
        terminal,
        kind: ApprovalKind::Message,
        tool: None,
        command: message.body.clone(),
        input: json!({"receiver": message.receiver, "message": message.id}),
        cwd: None,
        digest: audit::digest(format!("{}\0{}", message.receiver, message.body).as_bytes()),
        text_digest: None,
        rule: None,
        risk: Risk::Medium,
        presence: Presence::Caller,
        why: format!(
            "the sender wants a person to approve this message to {}",
            message.receiver
        ),
        complete: true,
        unclear: Vec::new(),
        scripts: Vec::new(),
        words: None,
        message: Some(message.id),
        expires_at: clock::after_ms(now, expires_ms),
        waiter: None,
    };
    let by = By {
        actor: &actor,
        via: "send",
        detail: json!({}),
    };
    request(tx, &new, &by, receiver.as_ref(), now, aftermath).map(drop)
}

/// What an agent asks for by itself, before it acts.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The exact command, or what it wants to do.
    pub command: String,
    /// Why, in its words.
    pub reason: Option<String>,
    /// Whom it does it for.
    pub supervisor: Option<TerminalId>,
    /// More for the person.
    pub metadata: Option<Value>,
}

/// Stores an agent's own request; the same one again, while nobody has decided, is the first. `Err`: the policy denies it, and why.
pub fn wish(
    cx: &Context,
    store: &mut Store,
    own: &Terminal,
    wish: &Wish,
) -> Result<std::result::Result<Approval, String>> {
    if wish.command.trim().is_empty() {
        return Err(Failure::usage("command_text is empty"));
    }
    if wish.command.len() > MAX_COMMAND {
        return Err(Failure::usage(format!(
            "command_text is longer than {} KiB, and nobody could read it",
            MAX_COMMAND / 1024
        )));
    }
    let action = Action::Shell {
        command: wish.command.clone(),
    };
    let super::policy::Judged { ruling, expires_ms } = super::policy::judge_call(
        &cx.home,
        &policy::Call {
            tool: "Bash",
            action: &action,
            cwd: &own.cwd,
            start: None,
            profile: &own.profile,
            agent_asks: false,
            allows_edits: false,
        },
        None,
    );
    if ruling.decision == policy::Decision::Deny {
        return Ok(Err(one_line(&ruling.reason)));
    }
    let input = json!({"command": wish.command});
    let bound = bind(
        &own.id,
        "request_approval",
        &input,
        Some(&wish.command),
        &own.cwd,
        &ruling.scripts,
    );
    let asked = ruling.decision == policy::Decision::Ask;
    let mut words: Vec<String> = wish.reason.iter().cloned().collect();
    if let Some(supervisor) = &wish.supervisor {
        words.push(format!("for {supervisor}"));
    }
    if let Some(metadata) = &wish.metadata {
        words.push(metadata.to_string());
    }
    let words = sanitise(&words.join("\n").chars().take(8_000).collect::<String>());
    let new = NewApproval {
        terminal: Some(own.id.clone()),
        kind: ApprovalKind::Request,
        tool: None,
        command: wish.command.clone(),
        input: json!({"command": wish.command, "supervisor_id": wish.supervisor, "metadata": wish.metadata}),
        cwd: Some(bound.cwd),
        digest: bound.digest,
        text_digest: bound.text_digest,
        rule: ruling.rule,
        risk: ruling.risk,
        presence: if asked {
            ruling.presence
        } else {
            Presence::Caller
        },
        why: "the agent asks before it acts".to_owned(),
        complete: ruling.complete,
        unclear: ruling.unclear.iter().map(|part| one_line(part)).collect(),
        scripts: bound.scripts,
        words: Some(words).filter(|words| !words.is_empty()),
        message: None,
        expires_at: clock::after_ms(clock::now(), expires_ms),
        waiter: None,
    };
    let mut aftermath = Aftermath::default();
    let approval = store.write(Durability::Power, Budget::Call, |tx| {
        let now = clock::now();
        let same = tx.open_approvals(&own.id)?.into_iter().find(|a| {
            a.kind == ApprovalKind::Request
                && a.status == ApprovalStatus::Pending
                && a.digest == new.digest
                && a.expires_at > now
        });
        if let Some(same) = same {
            return Ok(same);
        }
        let by = By {
            actor: own.id.as_str(),
            via: "mcp",
            detail: json!({"supervisor": wish.supervisor}),
        };
        request(tx, &new, &by, Some(own), now, &mut aftermath)
    })?;
    aftermath.run(cx, store);
    Ok(Ok(approval))
}
