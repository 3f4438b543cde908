//! The JSON shapes of the public contract: stable field names, ids as strings, RFC 3339 UTC times, `null` for what is absent.

use crate::domain::approval::{Approval, ApprovalKind, ApprovalStatus, Scope, Script};
use crate::domain::flow::Outcome;
use crate::domain::handoff::Given;
use crate::domain::ids::{ApprovalId, MessageId, NoteId, TerminalId};
use crate::domain::message::{Message, MessageStatus, Transport};
use crate::domain::note::{Note, NoteStatus};
use crate::domain::policy::{Presence, Risk};
use crate::domain::terminal::{Gated, Role, Status, Terminal};
use jiff::Timestamp;
use serde::Serialize;

/// A terminal.
#[derive(Debug, Clone, Serialize)]
pub struct TerminalView {
    /// Its id.
    pub id: TerminalId,
    /// Name of the tmux session.
    pub session: String,
    /// Name of the tmux window.
    pub window: String,
    /// Pane id.
    pub pane: Option<String>,
    /// Socket of the tmux server.
    pub server: Option<String>,
    /// Provider.
    pub provider: String,
    /// Profile.
    pub profile: String,
    /// Its part.
    pub role: Role,
    /// Its status.
    pub status: Status,
    /// Why it is believed.
    pub status_reason: String,
    /// Since when.
    #[serde(with = "crate::domain::time")]
    pub status_since: Timestamp,
    /// Who started it.
    pub caller: Option<TerminalId>,
    /// Working directory.
    pub cwd: String,
    /// Model.
    pub model: Option<String>,
    /// When it was made.
    #[serde(with = "crate::domain::time")]
    pub created_at: Timestamp,
    /// When it ended.
    #[serde(with = "crate::domain::time")]
    pub ended_at: Option<Timestamp>,
    /// The agent's exit code, where its own end event carried it.
    pub exit_code: Option<i32>,
    /// The agent's own session id.
    pub agent_session: Option<String>,
    /// Messages that wait for it.
    pub unread: i64,
    /// Whether its tool calls pass our gate.
    pub gated: Gated,
    /// Its own git worktree.
    pub worktree: Option<String>,
    /// The branch of that worktree.
    pub branch: Option<String>,
    /// Why they stay although it has ended.
    pub worktree_kept: Option<String>,
}

impl TerminalView {
    /// The shape of `terminal`, for which `unread` messages wait, and whose calls are `gated`.
    pub fn new(terminal: &Terminal, unread: i64, gated: Gated) -> Self {
        let worktree = terminal.worktree.as_ref();
        let path = worktree.and_then(|worktree| worktree.path.as_deref());
        Self {
            worktree: path.map(|path| path.to_string_lossy().into_owned()),
            branch: worktree.and_then(|worktree| worktree.branch.clone()),
            worktree_kept: worktree.and_then(|worktree| worktree.kept.clone()),
            id: terminal.id.clone(),
            session: terminal.session.clone(),
            window: terminal.window.clone(),
            pane: terminal.pane.clone(),
            server: terminal
                .server
                .as_ref()
                .map(|server| server.socket.to_string_lossy().into_owned()),
            provider: terminal.provider.clone(),
            profile: terminal.profile.clone(),
            role: terminal.role,
            status: terminal.state.status,
            status_reason: terminal.state.reason.clone(),
            status_since: terminal.state.since,
            caller: terminal.caller.clone(),
            cwd: terminal.cwd.to_string_lossy().into_owned(),
            model: terminal.model.clone(),
            created_at: terminal.created_at,
            ended_at: terminal.ended_at,
            exit_code: terminal.exit_code,
            agent_session: terminal.agent_session.clone(),
            unread,
            gated,
        }
    }
}

/// A session.
#[derive(Debug, Clone, Serialize)]
pub struct SessionView {
    /// Its name.
    pub name: String,
    /// Socket of the tmux server.
    pub server: Option<String>,
    /// Its terminals: supervisor first, then by creation.
    pub terminals: Vec<TerminalView>,
    /// Approvals that wait.
    pub pending_approvals: i64,
    /// Messages that wait.
    pub unread: i64,
}

impl SessionView {
    /// Groups terminals into sessions, in the order of their first terminal.
    pub fn group(terminals: Vec<TerminalView>) -> Vec<Self> {
        let mut sessions: Vec<Self> = Vec::new();
        for terminal in terminals {
            let found = sessions
                .iter_mut()
                .find(|s| s.name == terminal.session && s.server == terminal.server);
            match found {
                Some(session) => {
                    session.unread += terminal.unread;
                    session.terminals.push(terminal);
                }
                None => sessions.push(Self {
                    name: terminal.session.clone(),
                    server: terminal.server.clone(),
                    unread: terminal.unread,
                    pending_approvals: 0,
                    terminals: vec![terminal],
                }),
            }
        }
        for session in &mut sessions {
            session
                .terminals
                .sort_by_key(|t| (t.role != Role::Supervisor, t.created_at));
        }
        sessions
    }
}

/// A message.
#[derive(Debug, Clone, Serialize)]
pub struct MessageView {
    /// Its id.
    pub id: MessageId,
    /// Terminal id, `human`, `flow:NAME` or `unverified`.
    pub sender: String,
    /// Terminal id.
    pub receiver: TerminalId,
    /// The text.
    pub body: String,
    /// Where it is.
    pub status: MessageStatus,
    /// How it went.
    pub transport: Option<Transport>,
    /// Number of attempts.
    pub attempts: i64,
    /// When it was accepted.
    #[serde(with = "crate::domain::time")]
    pub queued_at: Timestamp,
    /// When it was proven.
    #[serde(with = "crate::domain::time")]
    pub submitted_at: Option<Timestamp>,
    /// When it dies.
    #[serde(with = "crate::domain::time")]
    pub expires_at: Option<Timestamp>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// Idempotency key.
    pub key: Option<String>,
    /// Trace id.
    pub trace: String,
    /// Hops of the trace.
    pub hops: i64,
    /// Whether the receiver may have seen it before.
    pub again: bool,
}

impl MessageView {
    /// The shape of `message`.
    pub fn new(message: &Message) -> Self {
        Self {
            id: message.id,
            sender: message.sender.to_string(),
            receiver: message.receiver.clone(),
            body: message.body.clone(),
            status: message.status,
            transport: message.transport,
            attempts: message.attempts,
            queued_at: message.queued_at,
            submitted_at: message.submitted_at,
            expires_at: message.expires_at,
            last_error: message.last_error.clone(),
            key: message.key.clone(),
            trace: message.trace.clone(),
            hops: message.hops,
            again: message.again,
        }
    }
}

/// A message with every attempt.
#[derive(Debug, Clone, Serialize)]
pub struct MessageDetail<A: Serialize> {
    /// The message; its fields stand beside `tries`.
    #[serde(flatten)]
    pub message: MessageView,
    /// Every attempt: transport, time, outcome, reason.
    pub tries: Vec<A>,
}

/// A request that waits for a person, or waited.
#[derive(Debug, Clone, Serialize)]
pub struct ApprovalView {
    /// Its id.
    pub id: ApprovalId,
    /// Who asks; `null` for a message of a person or script.
    pub terminal: Option<TerminalId>,
    /// What for.
    pub kind: ApprovalKind,
    /// The tool, in the agent's words.
    pub tool: Option<String>,
    /// The exact command, message, or input.
    pub command: String,
    /// Where it would run.
    pub cwd: Option<String>,
    /// What the decision is bound to.
    pub digest: String,
    /// The rule that asked.
    pub rule: Option<String>,
    /// Where it is.
    pub status: ApprovalStatus,
    /// Since when it waits.
    #[serde(with = "crate::domain::time")]
    pub requested_at: Timestamp,
    /// When silence becomes a no.
    #[serde(with = "crate::domain::time")]
    pub expires_at: Timestamp,
    /// When it was decided.
    #[serde(with = "crate::domain::time")]
    pub decided_at: Option<Timestamp>,
    /// Who decided.
    pub decided_by: Option<String>,
    /// How far the yes reaches.
    pub scope: Option<Scope>,
    /// Why it was decided so.
    pub reason: Option<String>,
    /// Through which door it was decided.
    pub via: Option<String>,
    /// How much harm it may do.
    pub risk: Risk,
    /// What a yes takes.
    pub presence: Presence,
    /// Why it is asked.
    pub why: String,
    /// Whether all of it was understood.
    pub complete: bool,
    /// Parts that could not be checked.
    pub unclear: Vec<String>,
    /// Files that it would run, with their content's SHA-256.
    pub scripts: Vec<Script>,
    /// What the agent says about it.
    pub words: Option<String>,
    /// The held message.
    pub message: Option<MessageId>,
    /// When the yes was used.
    #[serde(with = "crate::domain::time")]
    pub consumed_at: Option<Timestamp>,
}

impl ApprovalView {
    /// The shape of `approval`.
    pub fn new(approval: &Approval) -> Self {
        Self {
            id: approval.id,
            terminal: approval.terminal.clone(),
            kind: approval.kind,
            tool: approval.tool.clone(),
            command: approval.command.clone(),
            cwd: approval.cwd.clone(),
            digest: approval.digest.clone(),
            rule: approval.rule.clone(),
            status: approval.status,
            requested_at: approval.requested_at,
            expires_at: approval.expires_at,
            decided_at: approval.decided_at,
            decided_by: approval.decided_by.clone(),
            scope: approval.scope,
            reason: approval.reason.clone(),
            via: approval.via.clone(),
            risk: approval.risk,
            presence: approval.presence,
            why: approval.why.clone(),
            complete: approval.complete,
            unclear: approval.unclear.clone(),
            scripts: approval.scripts.clone(),
            words: approval.words.clone(),
            message: approval.message,
            consumed_at: approval.consumed_at,
        }
    }
}

/// What an agent wrote to the person.
#[derive(Debug, Clone, Serialize)]
pub struct NoteView {
    /// Its id.
    pub id: NoteId,
    /// Who wrote it.
    pub terminal: TerminalId,
    /// How the writer is called.
    pub name: String,
    /// The text.
    pub body: String,
    /// Whether the agent wants an answer.
    pub question: bool,
    /// Answers to choose from.
    pub options: Vec<String>,
    /// Where it is.
    pub status: NoteStatus,
    /// When it was accepted.
    #[serde(with = "crate::domain::time")]
    pub written_at: Timestamp,
    /// When a person first read it.
    #[serde(with = "crate::domain::time")]
    pub seen_at: Option<Timestamp>,
    /// When its agent had ended.
    #[serde(with = "crate::domain::time")]
    pub withdrawn_at: Option<Timestamp>,
    /// When it was answered.
    #[serde(with = "crate::domain::time")]
    pub answered_at: Option<Timestamp>,
    /// `human`, or `unverified` (a script).
    pub answered_by: Option<String>,
    /// The answer.
    pub answer: Option<String>,
    /// `call` or `inbox`: how the answer reached the agent.
    pub given: Option<&'static str>,
    /// The message that carries the answer, when it goes by the inbox.
    pub message: Option<MessageId>,
    /// Idempotency key.
    pub key: Option<String>,
}

impl NoteView {
    /// The shape of `note`.
    pub fn new(note: &Note) -> Self {
        Self {
            id: note.id,
            terminal: note.terminal.clone(),
            name: note.name.clone(),
            body: note.body.clone(),
            question: note.question,
            options: note.options.clone(),
            status: note.status,
            written_at: note.written_at,
            seen_at: note.seen_at,
            withdrawn_at: note.withdrawn_at,
            answered_at: note.answered_at,
            answered_by: note.answered_by.clone(),
            answer: note.answer.clone(),
            given: note.given.map(Given::as_str),
            message: note.message,
            key: note.key.clone(),
        }
    }

    /// The word for what it is.
    pub const fn kind(&self) -> &'static str {
        if self.question { "question" } else { "note" }
    }
}

/// An error, as `--json` prints it.
pub fn error(failure: &crate::error::Failure) -> String {
    let hint = (!failure.hints().is_empty()).then(|| failure.hints().join("; "));
    serde_json::json!({
        "error": {"kind": failure.kind().as_str(), "message": failure.message(), "hint": hint}
    })
    .to_string()
}

/// JSON Schemas of what `--json` prints, by name.
pub fn schemas() -> serde_json::Value {
    use serde_json::json;
    let text = json!({"type": "string"});
    let maybe_text = json!({"type": ["string", "null"]});
    let time = json!({"type": "string", "format": "date-time"});
    let maybe_time = json!({"type": ["string", "null"], "format": "date-time"});
    let count = json!({"type": "integer", "minimum": 0});
    let statuses: Vec<&str> = Status::ALL.iter().map(|s| s.as_str()).collect();
    let message_statuses: Vec<&str> = MessageStatus::ALL.iter().map(|s| s.as_str()).collect();
    let object = |properties: serde_json::Value| {
        let required: Vec<String> = properties
            .as_object()
            .map(|map| map.keys().cloned().collect())
            .unwrap_or_default();
        json!({"type": "object", "properties": properties, "required": required})
    };
    let terminal = object(json!({
        "id": {"type": "string", "pattern": "^[0-9a-f]{8}$"}, "session": text, "window": text, "pane": maybe_text,
        "server": maybe_text, "provider": text, "profile": text, "role": {"enum": ["supervisor", "worker"]},
        "status": {"enum": statuses}, "status_reason": text, "status_since": time, "caller": maybe_text, "cwd": text,
        "model": maybe_text, "created_at": time, "ended_at": maybe_time, "exit_code": {"type": ["integer", "null"]},
        "agent_session": maybe_text, "unread": count, "gated": {"enum": ["yes", "no", "silent"]},
        "worktree": maybe_text, "branch": maybe_text, "worktree_kept": maybe_text,
    }));
    let message = object(json!({
        "id": text, "sender": text, "receiver": text, "body": text, "status": {"enum": message_statuses},
        "transport": {"enum": ["stop_hook", "prompt_hook", "api", "paste", "mcp_read", null]}, "attempts": count,
        "queued_at": time, "submitted_at": maybe_time, "expires_at": maybe_time, "last_error": maybe_text,
        "key": maybe_text, "trace": text, "hops": count, "again": {"type": "boolean"},
    }));
    let approval_statuses: Vec<&str> = ApprovalStatus::ALL.iter().map(|s| s.as_str()).collect();
    let approval = object(json!({
        "id": text, "terminal": maybe_text, "kind": {"enum": ["tool", "message", "request"]}, "tool": maybe_text, "command": text,
        "cwd": maybe_text, "digest": text, "rule": maybe_text, "status": {"enum": approval_statuses}, "requested_at": time,
        "expires_at": time, "decided_at": maybe_time, "decided_by": maybe_text,
        "scope": {"enum": ["once", "session", "always", null]}, "reason": maybe_text, "via": maybe_text,
        "risk": {"enum": ["low", "medium", "high"]}, "presence": text, "why": text, "complete": {"type": "boolean"},
        "unclear": {"type": "array", "items": text},
        "scripts": {"type": "array", "items": object(json!({"path": text, "sha256": maybe_text}))},
        "words": maybe_text, "message": maybe_text, "consumed_at": maybe_time,
    }));
    let note_statuses: Vec<&str> = NoteStatus::ALL.iter().map(|s| s.as_str()).collect();
    let note = object(json!({
        "id": text, "terminal": text, "name": text, "body": text, "question": {"type": "boolean"},
        "options": {"type": "array", "items": text}, "status": {"enum": note_statuses}, "written_at": time, "seen_at": maybe_time,
        "withdrawn_at": maybe_time, "answered_at": maybe_time, "answered_by": maybe_text, "answer": maybe_text,
        "given": {"enum": ["call", "inbox", null]}, "message": maybe_text, "key": maybe_text,
    }));
    let session = object(json!({
        "name": text, "server": maybe_text, "terminals": {"type": "array", "items": {"$ref": "#/$defs/terminal"}},
        "pending_approvals": count, "unread": count,
    }));
    let audit_entry = object(json!({
        "seq": count, "at": time, "action": text, "subject": text, "actor": text, "via": text, "detail": {},
        "prev": {"type": "string", "pattern": "^[0-9a-f]{64}$"}, "hash": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    }));
    let audit_report = object(json!({
        "ok": {"type": "boolean"}, "entries": count, "exported": count, "pending": count, "head": text,
        "broken": {"type": "array", "items": object(json!({
            "seq": {"type": "integer"}, "line": {"type": ["integer", "null"]}, "place": {"enum": ["database", "file"]},
            "what": {"enum": ["changed", "missing", "reordered", "added", "cut"]}, "message": text,
        }))},
        "warnings": {"type": "array", "items": text},
    }));
    let outcomes: Vec<&str> = Outcome::ALL.iter().map(|o| o.as_str()).collect();
    let flow = object(json!({
        "name": text, "path": text, "schedule": text, "timezone": text, "profile": text, "provider": maybe_text,
        "enabled": {"type": "boolean"}, "overlap": {"enum": ["skip", "queue", "replace"]}, "catch_up": {"enum": ["none", "one", "all"]},
        "next_run": maybe_time, "last_run": maybe_time,
        "last_outcome": {"enum": outcomes.iter().copied().map(Some).chain([None]).collect::<Vec<_>>()},
        "cwd": text, "session": text, "script": maybe_text, "jitter": count, "timeout": count,
        "driver": {"enum": ["tmux", "systemd", "launchd", "nothing", null]}, "warning": maybe_text,
    }));
    let run = object(json!({
        "id": text, "flow": text, "due_at": time, "started_at": maybe_time, "ended_at": maybe_time, "outcome": {"enum": outcomes},
        "reason": maybe_text, "terminal": maybe_text,
    }));
    let error = object(json!({
        "error": object(json!({"kind": text, "message": text, "hint": maybe_text})),
    }));
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$defs": {"terminal": terminal, "session": session, "message": message, "approval": approval, "note": note, "flow": flow, "run": run, "audit_entry": audit_entry, "audit_report": audit_report, "error": error},
    })
}
