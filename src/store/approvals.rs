//! Approvals: every change is a compare-and-set, in the same transaction as its entry in the audit log.

use super::db::Tx;
use super::error::Error;
use super::terminals::time;
use crate::domain::approval::{Act, Approval, ApprovalKind, ApprovalStatus, Scope, Script};
use crate::domain::ids::{ApprovalId, MessageId, TerminalId};
use crate::domain::policy::{Presence, Risk};
use crate::domain::redact::excerpt;
use crate::domain::terminal::Root;
use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{OptionalExtension, Row, params};
use serde_json::{Value, json};

const COLUMNS: &str = "id, terminal, kind, tool, command, input, cwd, digest, text_digest, rule, risk, presence, why, complete, unclear, \
    scripts, words, message, status, requested_at, expires_at, decided_at, decided_by, via, scope, reason, waiter_pid, waiter_start, \
    consumed_at, ran_at";

/// A request that is not settled yet; the index of these has the same words.
pub(super) const OPEN: &str =
    "(status = 'pending' OR status = 'approved' OR status = 'consumed') AND ran_at IS NULL";

/// What a new request is made of.
#[derive(Debug, Clone)]
pub struct NewApproval {
    /// Who asks.
    pub terminal: Option<TerminalId>,
    /// What for.
    pub kind: ApprovalKind,
    /// The tool, in the agent's words.
    pub tool: Option<String>,
    /// The exact text that a person is shown.
    pub command: String,
    /// The exact input.
    pub input: Value,
    /// Where it would run.
    pub cwd: Option<String>,
    /// What the decision is bound to.
    pub digest: String,
    /// The same for the command alone.
    pub text_digest: Option<String>,
    /// The rule that asked.
    pub rule: Option<String>,
    /// How much is at stake.
    pub risk: Risk,
    /// What a yes takes.
    pub presence: Presence,
    /// Why it is asked.
    pub why: String,
    /// Whether all of it was understood.
    pub complete: bool,
    /// Parts that could not be checked, and why.
    pub unclear: Vec<String>,
    /// Files that it would run.
    pub scripts: Vec<Script>,
    /// What the agent says about it.
    pub words: Option<String>,
    /// The held message, for a request of that kind.
    pub message: Option<MessageId>,
    /// When silence becomes a no.
    pub expires_at: Timestamp,
    /// The process that waits for the decision.
    pub waiter: Option<Root>,
}

#[cfg(test)]
impl NewApproval {
    /// A shell command of `terminal` that asks for leave until `expires_at`, for tests.
    pub(crate) fn sample(terminal: TerminalId, command: &str, expires_at: Timestamp) -> Self {
        Self {
            terminal: Some(terminal),
            kind: ApprovalKind::Tool,
            tool: Some("Bash".into()),
            command: command.to_owned(),
            input: json!({"command": command}),
            cwd: Some("/".into()),
            digest: crate::domain::audit::digest(command.as_bytes()),
            text_digest: None,
            rule: None,
            risk: Risk::High,
            presence: Presence::Caller,
            why: String::new(),
            complete: true,
            unclear: Vec::new(),
            scripts: Vec::new(),
            words: None,
            message: None,
            expires_at,
            waiter: None,
        }
    }
}

/// Who did something to a request, and through which door.
#[derive(Debug, Clone)]
pub struct By<'a> {
    /// `human`, `script`, a terminal's id, `conductor`, `unknown`.
    pub actor: &'a str,
    /// `cli`, `popup`, `pane`, `gate`, `tick`, `mcp`.
    pub via: &'a str,
    /// More about it, for the audit log (client, tty, uid).
    pub detail: Value,
}

fn broken(column: &str, what: &str) -> rusqlite::Error {
    let message = format!("approvals.{column}: {what:?} is no value that this program writes");
    rusqlite::Error::FromSqlConversionFailure(0, Type::Text, message.into())
}

/// A stored word that must be one of ours: a row that is not understood is an error, never a guess.
fn word<T>(row: &Row<'_>, column: &str, parse: impl Fn(&str) -> Option<T>) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    parse(&text).ok_or_else(|| broken(column, &text))
}

fn json_of<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: &str) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|_| broken(column, &text))
}

fn approval(row: &Row<'_>) -> rusqlite::Result<Approval> {
    let terminal: Option<String> = row.get("terminal")?;
    let maybe_time =
        |column: &str| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(time));
    let scope: Option<String> = row.get("scope")?;
    let waiter: (Option<i32>, Option<i64>) = (row.get("waiter_pid")?, row.get("waiter_start")?);
    Ok(Approval {
        id: ApprovalId(row.get("id")?),
        terminal: terminal
            .map(|text| TerminalId::parse(&text).map_err(|_| broken("terminal", &text)))
            .transpose()?,
        kind: word(row, "kind", ApprovalKind::parse)?,
        tool: row.get("tool")?,
        command: row.get("command")?,
        input: json_of(row, "input")?,
        cwd: row.get("cwd")?,
        digest: row.get("digest")?,
        text_digest: row.get("text_digest")?,
        rule: row.get("rule")?,
        risk: word(row, "risk", Risk::parse)?,
        presence: word(row, "presence", Presence::parse)?,
        why: row.get("why")?,
        complete: row.get("complete")?,
        unclear: json_of(row, "unclear")?,
        scripts: json_of(row, "scripts")?,
        words: row.get("words")?,
        message: row.get::<_, Option<i64>>("message")?.map(MessageId),
        status: word(row, "status", ApprovalStatus::parse)?,
        requested_at: time(row.get("requested_at")?),
        expires_at: time(row.get("expires_at")?),
        decided_at: maybe_time("decided_at")?,
        decided_by: row.get("decided_by")?,
        via: row.get("via")?,
        scope: scope
            .map(|text| Scope::parse(&text).ok_or_else(|| broken("scope", &text)))
            .transpose()?,
        reason: row.get("reason")?,
        waiter: match waiter {
            (Some(pid), Some(start)) => Some(Root { pid, start }),
            _ => None,
        },
        consumed_at: maybe_time("consumed_at")?,
        ran_at: maybe_time("ran_at")?,
    })
}

impl Tx<'_> {
    /// Stores a request and its entry in the audit log.
    pub fn request_approval(
        &self,
        new: &NewApproval,
        by: &By<'_>,
        at: Timestamp,
    ) -> Result<Approval, Error> {
        let text = |value: Value| value.to_string();
        self.statement(
            "INSERT INTO approvals (terminal, kind, tool, command, input, cwd, digest, text_digest, rule, risk, presence, why, complete,
               unclear, scripts, words, message, status, requested_at, expires_at, waiter_pid, waiter_start)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, 'pending', ?18, ?19, ?20, ?21)",
        )?
        .execute(params![
            new.terminal.as_ref().map(TerminalId::as_str),
            new.kind.as_str(),
            new.tool,
            new.command,
            text(new.input.clone()),
            new.cwd,
            new.digest,
            new.text_digest,
            new.rule,
            new.risk.as_str(),
            new.presence.as_str(),
            new.why,
            new.complete,
            text(json!(new.unclear)),
            text(json!(new.scripts)),
            new.words,
            new.message.map(|id| id.0),
            at.as_millisecond(),
            new.expires_at.as_millisecond(),
            new.waiter.map(|w| w.pid),
            new.waiter.map(|w| w.start),
        ])?;
        let id = ApprovalId(self.last_insert_rowid());
        self.audit(
            at,
            "approval.requested",
            &id.to_string(),
            by.actor,
            by.via,
            json!({
                "kind": new.kind.as_str(), "tool": new.tool, "digest": new.digest, "rule": new.rule, "risk": new.risk.as_str(),
                "presence": new.presence.as_str(), "cwd": new.cwd, "text": excerpt(&new.command, 2_000),
            }),
        )?;
        self.query_row(
            &format!("SELECT {COLUMNS} FROM approvals WHERE id = ?1"),
            [id.0],
            approval,
        )
        .map_err(Error::from)
    }

    /// A request by its id.
    pub fn approval(&self, id: ApprovalId) -> Result<Option<Approval>, Error> {
        Ok(self
            .statement(&format!("SELECT {COLUMNS} FROM approvals WHERE id = ?1"))?
            .query_row([id.0], approval)
            .optional()?)
    }

    /// Requests, oldest first: all, or those with one status; at most `limit`, the newest.
    pub fn approvals(
        &self,
        status: Option<ApprovalStatus>,
        limit: u32,
    ) -> Result<Vec<Approval>, Error> {
        let mut statement = self.statement(&format!(
            "SELECT * FROM (SELECT {COLUMNS} FROM approvals WHERE (?1 IS NULL OR status = ?1) ORDER BY id DESC LIMIT ?2) ORDER BY id"
        ))?;
        let rows =
            statement.query_map(params![status.map(ApprovalStatus::as_str), limit], approval)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How much waits, by terminal: of the sender of a call, of the receiver of a message.
    pub fn pending_counts(&self) -> Result<Vec<(Option<String>, i64)>, Error> {
        let mut statement = self.statement(
            "SELECT coalesce(m.receiver, a.terminal), count(*) FROM approvals a LEFT JOIN messages m ON m.id = a.message
             WHERE a.status = 'pending' GROUP BY 1",
        )?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Requests of a terminal that are not over: pending, approved, or used and not yet reported as run.
    pub fn open_approvals(&self, terminal: &TerminalId) -> Result<Vec<Approval>, Error> {
        let mut statement = self.statement(&format!(
            "SELECT {COLUMNS} FROM approvals WHERE terminal = ?1 AND {OPEN} ORDER BY id"
        ))?;
        let rows = statement.query_map([terminal.as_str()], approval)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// When a request about a tool call of a terminal was decided last, or was given up.
    pub fn last_call_decided_at(&self, terminal: &TerminalId) -> Result<Option<Timestamp>, Error> {
        let at: Option<i64> = self.query_row(
            "SELECT max(decided_at) FROM approvals WHERE terminal = ?1 AND kind = 'tool'",
            [terminal.as_str()],
            |row| row.get(0),
        )?;
        Ok(at.map(time))
    }

    /// The request about a held message.
    pub fn approval_of_message(&self, message: MessageId) -> Result<Option<Approval>, Error> {
        Ok(self
            .statement(&format!(
                "SELECT {COLUMNS} FROM approvals WHERE message = ?1 ORDER BY id DESC LIMIT 1"
            ))?
            .query_row([message.0], approval)
            .optional()?)
    }

    /// Does `act` to a request if that can happen now; `None` when it cannot, because somebody was first.
    pub fn act_on_approval(
        &self,
        id: ApprovalId,
        act: Act,
        scope: Option<Scope>,
        reason: Option<&str>,
        by: &By<'_>,
        at: Timestamp,
    ) -> Result<Option<Approval>, Error> {
        let Some(before) = self.approval(id)? else {
            return Ok(None);
        };
        let over = matches!(act, Act::Approve | Act::Consume) && before.expires_at <= at;
        let Some(after) = before.status.after(act).filter(|_| !over) else {
            return Ok(None);
        };
        // What becomes of a yes later does not change who gave it.
        let decision = before.status == ApprovalStatus::Pending;
        let changed = self
            .statement(
                "UPDATE approvals SET status = ?3,
                   decided_at = iif(?4, ?5, decided_at), decided_by = iif(?4, ?6, decided_by), via = iif(?4, ?7, via),
                   scope = iif(?4, ?8, scope), reason = iif(?4, ?9, reason), consumed_at = iif(?4, consumed_at, ?5)
                 WHERE id = ?1 AND status = ?2",
            )?
            .execute(params![
                id.0,
                before.status.as_str(),
                after.as_str(),
                decision,
                at.as_millisecond(),
                by.actor,
                by.via,
                scope.map(Scope::as_str),
                reason,
            ])?;
        if changed != 1 {
            return Ok(None);
        }
        let mut detail =
            json!({"digest": before.digest, "scope": scope.map(Scope::as_str), "reason": reason});
        if let (Some(all), Some(more)) = (detail.as_object_mut(), by.detail.as_object()) {
            all.extend(more.clone());
        }
        self.audit(
            at,
            &format!("approval.{}", after.as_str()),
            &id.to_string(),
            by.actor,
            by.via,
            detail,
        )?;
        self.approval(id)
    }

    /// Names the process that waits for the decision, or that none does.
    pub fn set_approval_waiter(&self, id: ApprovalId, waiter: Option<Root>) -> Result<(), Error> {
        self.statement("UPDATE approvals SET waiter_pid = ?2, waiter_start = ?3 WHERE id = ?1")?
            .execute(params![
                id.0,
                waiter.map(|w| w.pid),
                waiter.map(|w| w.start)
            ])?;
        Ok(())
    }

    /// The agent reported that the approved call ran.
    pub fn note_approval_ran(&self, id: ApprovalId, at: Timestamp) -> Result<(), Error> {
        self.statement("UPDATE approvals SET ran_at = ?2 WHERE id = ?1 AND ran_at IS NULL")?
            .execute(params![id.0, at.as_millisecond()])?;
        Ok(())
    }

    /// Lets the same call pass again in this terminal until it ends.
    pub fn grant(
        &self,
        terminal: &TerminalId,
        digest: &str,
        approval: ApprovalId,
        at: Timestamp,
    ) -> Result<(), Error> {
        self.statement(
            "INSERT OR REPLACE INTO grants (terminal, digest, approval, at) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![terminal.as_str(), digest, approval.0, at.as_millisecond()])?;
        Ok(())
    }

    /// The approval that lets this very call pass in this terminal.
    pub fn granted(
        &self,
        terminal: &TerminalId,
        digest: &str,
    ) -> Result<Option<ApprovalId>, Error> {
        Ok(self
            .statement("SELECT approval FROM grants WHERE terminal = ?1 AND digest = ?2")?
            .query_row([terminal.as_str(), digest], |row| {
                row.get(0).map(ApprovalId)
            })
            .optional()?)
    }

    /// Ends what a terminal was granted.
    pub fn end_grants(&self, terminal: &TerminalId) -> Result<(), Error> {
        self.statement("DELETE FROM grants WHERE terminal = ?1")?
            .execute([terminal.as_str()])?;
        Ok(())
    }

    /// Notes the gate's first sign of life in a terminal, or (`silent`) that a tool ran which the gate never saw.
    pub fn note_gate_seen(
        &self,
        terminal: &TerminalId,
        silent: bool,
        at: Timestamp,
    ) -> Result<(), Error> {
        let column = if silent {
            "gate_silent_at"
        } else {
            "gate_seen_at"
        };
        self.execute(
            &format!("UPDATE terminals SET {column} = ?2 WHERE id = ?1 AND {column} IS NULL"),
            params![terminal.as_str(), at.as_millisecond()],
        )?;
        Ok(())
    }
}
