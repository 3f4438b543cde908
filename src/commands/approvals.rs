//! Requests that wait for a person: listing, showing, deciding.

use super::agents::existing;
use super::{Door, popup};
use crate::cli::ApprovalScope;
use crate::clock;
use crate::domain::approval::{Approval, ApprovalStatus, Scope};
use crate::domain::ids::ApprovalId;
use crate::domain::policy::Presence;
use crate::domain::text::one_line;
use crate::error::{Failure, Result};
use crate::services::approve::{self, Decision};
use crate::services::find;
use crate::store::Store;
use crate::ui::json::ApprovalView;
use crate::ui::table::{self, Table};

fn parse(id: &str) -> Result<ApprovalId> {
    ApprovalId::parse(id).map_err(find::invalid)
}

pub(super) fn list(door: &mut Door<'_>, status: Option<&str>, limit: u32) -> Result<()> {
    let mut store = existing(door)?;
    let status = status
        .map(|word| {
            ApprovalStatus::parse(word).ok_or_else(|| {
                let words: Vec<&str> = ApprovalStatus::ALL.iter().map(|s| s.as_str()).collect();
                Failure::usage(format!("{:?} is not an approval's status", one_line(word)))
                    .hint(format!("one of {}", words.join(", ")))
            })
        })
        .transpose()?;
    let found = store.read(|tx| tx.approvals(status, limit))?;
    let views: Vec<ApprovalView> = found.iter().map(ApprovalView::new).collect();
    door.print(&views, |views| {
        if views.is_empty() {
            return "no approvals\n".to_owned();
        }
        let now = clock::now().as_millisecond();
        let mut table = Table::new(&[
            "id", "terminal", "kind", "risk", "status", "age", "rule", "what",
        ]);
        for a in views {
            table.row(&[
                a.id.to_string(),
                a.terminal
                    .as_ref()
                    .map_or_else(|| "-".to_owned(), ToString::to_string),
                a.tool.clone().unwrap_or_else(|| a.kind.as_str().to_owned()),
                a.risk.as_str().to_owned(),
                a.status.as_str().to_owned(),
                table::age(now - a.requested_at.as_millisecond()),
                a.rule.clone().unwrap_or_else(|| "-".to_owned()),
                table::cut(&a.command, 60),
            ]);
        }
        table.render()
    })
}

pub(super) fn show(door: &mut Door<'_>, id: &str) -> Result<()> {
    let mut store = existing(door)?;
    let approval = approve::known(&mut store, parse(id)?)?;
    door.print(&ApprovalView::new(&approval), text)
}

fn text(a: &ApprovalView) -> String {
    let mut text = format!(
        "approval {} ({}, risk {}): {}\n",
        a.id,
        a.kind.as_str(),
        a.risk.as_str(),
        a.status.as_str()
    );
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            text.push_str(&format!("  {name}: {}\n", one_line(&value)));
        }
    };
    line("asked by", a.terminal.as_ref().map(ToString::to_string));
    line("tool", a.tool.clone());
    line("where", a.cwd.clone());
    line("rule", a.rule.clone());
    line("why", Some(a.why.clone()).filter(|why| !why.is_empty()));
    for part in &a.unclear {
        line("could not be checked", Some(part.clone()));
    }
    for script in &a.scripts {
        let pinned = match &script.sha256 {
            Some(hash) => format!("bound to its content, SHA-256 {hash}"),
            None => "NOT bound to its content".to_owned(),
        };
        line("runs", Some(format!("{} ({pinned})", script.path)));
    }
    line("takes", Some(a.presence.as_str().to_owned()));
    line("until", Some(format!("{:.0}", a.expires_at)));
    line("decided by", a.decided_by.clone());
    line("reason", a.reason.clone());
    line("digest", Some(a.digest.clone()));
    text.push('\n');
    text.push_str(&crate::domain::text::sanitise(&a.command));
    text.push('\n');
    if let Some(words) = &a.words {
        text.push_str("\nthe agent says:\n");
        for row in words.lines() {
            text.push_str(&format!("  {}\n", one_line(row)));
        }
    }
    text
}

pub(super) fn approve(
    door: &mut Door<'_>,
    id: &str,
    scope: ApprovalScope,
    reason: Option<&str>,
) -> Result<()> {
    let scope = match scope {
        ApprovalScope::Once => Scope::Once,
        ApprovalScope::Session => Scope::Session,
        ApprovalScope::Always => Scope::Always,
    };
    decide(door, id, true, scope, reason)
}

pub(super) fn deny(door: &mut Door<'_>, id: &str, reason: Option<&str>) -> Result<()> {
    decide(door, id, false, Scope::Once, reason)
}

fn decide(
    door: &mut Door<'_>,
    id: &str,
    yes: bool,
    scope: Scope,
    reason: Option<&str>,
) -> Result<()> {
    let id = parse(id)?;
    let mut store = door.cx.existing_store()?;
    let before = approve::known(&mut store, id)?;
    let asks =
        yes && before.presence > Presence::Caller && before.status == ApprovalStatus::Pending;
    let decided = if asks {
        challenge(door, &mut store, id, scope, reason)?
    } else {
        let decision = Decision {
            yes,
            scope,
            reason,
            shown: Presence::Caller,
            via: "cli",
            client: None,
        };
        approve::decide(&door.cx, &mut store, id, &decision)?
    };
    // Only a yes has a scope, whatever became of it since.
    let wanted = !yes || decided.scope.is_some();
    if !wanted {
        return Err(Failure::refused(format!(
            "approval {id} is {}",
            decided.status.as_str()
        )));
    }
    door.print(&ApprovalView::new(&decided), |a| {
        format!("approval {} is {}\n", a.id, a.status.as_str())
    })
}

/// Lets the person at this terminal read the request and type its code: in a popup of tmux where there is one, because a pane can be read
/// by others, else right here.
fn challenge(
    door: &Door<'_>,
    store: &mut Store,
    id: ApprovalId,
    scope: Scope,
    reason: Option<&str>,
) -> Result<Approval> {
    approve::person(store, id, "cli")?;
    if !popup::from_pane(door, store, id, scope, reason)? {
        let opening = popup::Opening {
            start: popup::Start::One(id),
            scope,
            reason,
            client: None,
        };
        popup::run(door, &opening)?;
    }
    let after = approve::known(store, id)?;
    if after.status == ApprovalStatus::Pending {
        return Err(
            Failure::refused(format!("approval {id} still waits: no code was typed"))
                .hint("read it to its end, then type the two letters that are shown there"),
        );
    }
    Ok(after.as_decided())
}
