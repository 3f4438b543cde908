//! Whether a state that is waited for stands, or is about to pass: the end of a turn with the next message on its way is no rest, and an
//! agent that waits for leave is waited for once its request can be decided.

use crate::clock;
use crate::domain::approval::{ApprovalKind, ApprovalStatus};
use crate::domain::message::{GateReason, MessageStatus};
use crate::domain::terminal::{QUESTION_OPEN, Source, Status, Terminal};
use crate::store::{Error, Tx};
use jiff::Timestamp;

/// How long, in milliseconds, a message on its way keeps a terminal from counting as at rest, once neither has moved: by then its proof has
/// been looked for and it was put in again.
const MOVES_MS: i64 = 30_000;

/// The same for a message that a person holds up: right after a turn the prompt may still be drawn, which looks like a draft.
const PERSON_MS: i64 = 3_000;

/// How long, in milliseconds, the request of an agent that waits for leave may be missing. The agent's own notice of a dialog and the hook
/// that asks about it come in any order, and after a decision the hook says that the agent goes on.
const REQUEST_MS: i64 = 2_000;

/// For how many milliseconds the state of `terminal` counts as about to pass; it stands where that is not above 0.
pub(super) fn passes_in(tx: &Tx<'_>, terminal: &Terminal, now: Timestamp) -> Result<i64, Error> {
    match terminal.state.status {
        Status::Idle | Status::Error => for_message(tx, terminal, now),
        Status::Waiting => for_request(tx, terminal, now),
        _ => Ok(0),
    }
}

fn for_message(tx: &Tx<'_>, terminal: &Terminal, now: Timestamp) -> Result<i64, Error> {
    let Some(head) = tx.head_message(&terminal.id)? else {
        return Ok(0);
    };
    let begun = match head.status {
        MessageStatus::Claimed => tx.attempts(head.id)?.last().map(|attempt| attempt.at),
        MessageStatus::Placed => head.placed_at,
        _ => None,
    };
    let moved = begun.unwrap_or(head.queued_at).max(terminal.state.since);
    let reason = head.last_error.as_deref().and_then(GateReason::parse);
    let limit = match reason {
        Some(reason) if reason.needs_person() => PERSON_MS,
        _ => MOVES_MS,
    };
    Ok(limit - clock::elapsed_ms(moved, now))
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
    use crate::domain::message::{Message, Sender, Transport};
    use crate::paths::Home;
    use crate::proc::Identity;
    use crate::store::{Budget, By, Durability, NewApproval, NewMessage, Store};
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

    fn message(tx: &Tx<'_>, terminal: &Terminal, held: Option<&str>) -> Message {
        let new = NewMessage {
            sender: Sender::Human,
            sender_name: "human".into(),
            order: true,
            receiver: terminal.id.clone(),
            body: "SAY x".into(),
            tag: "abc".into(),
            expires_at: None,
            key: None,
            trace: "t".into(),
            hops: 0,
            held: held.map(str::to_owned),
        };
        tx.accept_message(&new, at(0)).unwrap()
    }

    fn claim(tx: &Tx<'_>, message: &Message, ms: i64) {
        let own = Identity::own().unwrap();
        assert!(
            tx.claim_message(message.id, Transport::Paste, own, at(ms))
                .unwrap()
        );
    }

    #[track_caller]
    fn stands(tx: &Tx<'_>, terminal: &Terminal, from: i64) {
        assert_eq!(passes_in(tx, terminal, at(from - 1)).unwrap(), 1);
        assert_eq!(passes_in(tx, terminal, at(from)).unwrap(), 0);
    }

    #[test]
    fn a_terminal_rests_when_nothing_is_on_its_way_to_it() {
        for status in [Status::Idle, Status::Error] {
            with(status, "the turn ended", |tx, terminal| {
                assert_eq!(passes_in(tx, terminal, at(0)).unwrap(), 0, "no message");
                let held = message(tx, terminal, Some("a person shall see it"));
                assert_eq!(passes_in(tx, terminal, at(0)).unwrap(), 0, "held");
                assert!(tx.release_message(&held).unwrap());
                stands(tx, terminal, MOVES_MS);
                claim(tx, &held, 100);
                stands(tx, terminal, MOVES_MS + 100);
                assert!(tx.place_message(held.id, at(200)).unwrap());
                stands(tx, terminal, MOVES_MS + 200);
                terminal.state.since = at(300);
                stands(tx, terminal, MOVES_MS + 300);
                assert!(
                    tx.submit_message(held.id, Transport::Paste, at(400), "a test")
                        .unwrap()
                );
                assert_eq!(passes_in(tx, terminal, at(400)).unwrap(), 0, "proven");
            });
        }
    }

    #[test]
    fn what_was_placed_for_good_is_not_on_its_way() {
        with(Status::Idle, "the turn ended", |tx, terminal| {
            let sent = message(tx, terminal, None);
            claim(tx, &sent, 0);
            assert!(tx.place_message(sent.id, at(0)).unwrap());
            assert!(tx.leave_placed(sent.id, "no event proves it").unwrap());
            assert_eq!(passes_in(tx, terminal, at(0)).unwrap(), 0);
        });
    }

    #[test]
    fn a_message_that_a_person_holds_up_is_not_waited_for_long() {
        with(Status::Idle, "the turn ended", |tx, terminal| {
            let sent = message(tx, terminal, None);
            for (reason, limit) in [
                (GateReason::Draft, PERSON_MS),
                (GateReason::CopyMode, PERSON_MS),
                (GateReason::Dialog, PERSON_MS),
                (GateReason::Paused, PERSON_MS),
                (GateReason::Shell, PERSON_MS),
                (GateReason::Working, MOVES_MS),
                (GateReason::Starting, MOVES_MS),
            ] {
                tx.note_gate(sent.id, reason).unwrap();
                stands(tx, terminal, limit);
            }
            // Tried again and again, as long as the draft is there.
            claim(tx, &sent, 8_000);
            assert!(tx.refuse_message(sent.id, GateReason::Draft).unwrap());
            stands(tx, terminal, PERSON_MS);
            // A turn by other means has ended: now it is its turn.
            terminal.state.since = at(20_000);
            stands(tx, terminal, 20_000 + PERSON_MS);
        });
    }

    fn asks(tx: &Tx<'_>, terminal: &Terminal, ms: i64) -> crate::domain::ids::ApprovalId {
        let new = NewApproval::sample(terminal.id.clone(), "touch x", at(600_000));
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
