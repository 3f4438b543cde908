//! Whether a state that is waited for stands, or is about to pass: an agent that waits for leave is waited for once its request can be decided.

use crate::clock;
use crate::domain::approval::{ApprovalKind, ApprovalStatus};
use crate::domain::terminal::{QUESTION_OPEN, Source, Status, Terminal};
use crate::store::{Error, Tx};
use jiff::Timestamp;

/// How long, in milliseconds, the request of an agent that waits for leave may be missing. The agent's own notice of a dialog and the hook
/// that asks about it come in any order, and after a decision the hook says that the agent goes on.
const REQUEST_MS: i64 = 2_000;

/// For how many milliseconds the state of `terminal` counts as about to pass; it stands where that is not above 0.
pub(super) fn passes_in(tx: &Tx<'_>, terminal: &Terminal, now: Timestamp) -> Result<i64, Error> {
    match terminal.state.status {
        Status::Waiting => for_request(tx, terminal, now),
        _ => Ok(0),
    }
}

fn for_request(tx: &Tx<'_>, terminal: &Terminal, now: Timestamp) -> Result<i64, Error> {
    let state = &terminal.state;
    if state.source != Source::Event || state.reason == QUESTION_OPEN {
        return Ok(0);
    }
    let open = tx.open_approvals(&terminal.id)?;
    let pending = |a: &crate::domain::approval::Approval| {
        a.kind == ApprovalKind::Tool && a.status == ApprovalStatus::Pending
    };
    if open.iter().any(pending) {
        return Ok(0);
    }
    let decided = tx.last_call_decided_at(&terminal.id)?;
    let since = decided.map_or(state.since, |at| at.max(state.since));
    Ok(REQUEST_MS - clock::elapsed_ms(since, now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::approval::Act;
    use crate::domain::ids::TerminalId;
    use crate::domain::policy::{Presence, Risk};
    use crate::paths::Home;
    use crate::store::{Budget, By, Durability, NewApproval, Store};
    use serde_json::json;

    /// Runs `test` on a terminal with this state, which has stood for a minute, in an empty database.
    fn with(status: Status, reason: &str, test: impl FnOnce(&Tx<'_>, &mut Terminal)) {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path().join("state")).unwrap();
        let mut store = Store::open_or_create(&home).unwrap();
        let mut terminal = Terminal::sample(TerminalId::from_bytes([1; 4]));
        terminal.state.status = status;
        reason.clone_into(&mut terminal.state.reason);
        terminal.state.since = at(-60_000);
        store
            .write(Durability::Process, Budget::Call, |tx| {
                tx.insert_terminal(&terminal)?;
                test(tx, &mut terminal);
                Ok::<_, Error>(())
            })
            .unwrap();
    }

    /// A time, in milliseconds from one that is the same in every test.
    fn at(ms: i64) -> Timestamp {
        clock::after_ms(Timestamp::UNIX_EPOCH, 1_000_000_000 + ms)
    }

    #[track_caller]
    fn stands(tx: &Tx<'_>, terminal: &Terminal, from: i64) {
        assert_eq!(passes_in(tx, terminal, at(from - 1)).unwrap(), 1);
        assert_eq!(passes_in(tx, terminal, at(from)).unwrap(), 0);
    }

    fn asks(tx: &Tx<'_>, terminal: &Terminal, ms: i64) -> crate::domain::ids::ApprovalId {
        let new = NewApproval {
            terminal: Some(terminal.id.clone()),
            kind: ApprovalKind::Tool,
            tool: Some("Bash".into()),
            command: "touch x".into(),
            input: json!({"command": "touch x"}),
            cwd: Some("/".into()),
            digest: "d".repeat(64),
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
            expires_at: at(600_000),
            waiter: None,
        };
        tx.request_approval(&new, &by(), at(ms)).unwrap().id
    }

    fn by() -> By<'static> {
        By {
            actor: "human",
            via: "cli",
            detail: json!({}),
        }
    }

    #[test]
    fn an_agent_that_waits_for_leave_is_waited_for_once_its_request_is_there() {
        with(
            Status::Waiting,
            "a permission dialog is open",
            |tx, terminal| {
                terminal.state.since = at(0);
                stands(tx, terminal, REQUEST_MS);
                let first = asks(tx, terminal, 100);
                assert_eq!(passes_in(tx, terminal, at(100)).unwrap(), 0);
                let second = asks(tx, terminal, 200);
                let act = |id, act, ms| {
                    tx.act_on_approval(id, act, None, None, &by(), at(ms))
                        .unwrap()
                        .unwrap()
                };
                act(second, Act::Deny, 5_000);
                assert_eq!(
                    passes_in(tx, terminal, at(5_000)).unwrap(),
                    0,
                    "one is left"
                );
                act(first, Act::Approve, 6_000);
                stands(tx, terminal, 6_000 + REQUEST_MS);
                act(first, Act::Consume, 6_010);
                stands(tx, terminal, 6_000 + REQUEST_MS);
            },
        );
    }

    #[test]
    fn a_question_and_a_dialog_on_the_screen_have_no_request() {
        with(Status::Waiting, QUESTION_OPEN, |tx, terminal| {
            terminal.state.since = at(0);
            assert_eq!(passes_in(tx, terminal, at(0)).unwrap(), 0);
            terminal.state.source = Source::Screen;
            "the screen shows a permission dialog".clone_into(&mut terminal.state.reason);
            assert_eq!(passes_in(tx, terminal, at(0)).unwrap(), 0);
        });
    }
}
