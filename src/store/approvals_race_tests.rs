//! Many processes decide about the same requests at once, in every way there is: each request ends in one way, and the log has it all.

use super::{Budget, By, Durability, Error, NewApproval, Store};
use crate::clock;
use crate::domain::approval::{Act, ApprovalStatus, Scope};
use crate::domain::ids::{ApprovalId, TerminalId};
use crate::paths::Home;
use serde_json::json;

/// In `scripts/campaign-storm`, and else.
const REQUESTS: [usize; 2] = [1_000, 50];
const DECIDERS: usize = 20;

fn new(n: usize) -> NewApproval {
    let terminal = TerminalId::from_bytes([1, 2, 3, 4]);
    let expires_at = clock::after_ms(clock::now(), 60_000);
    NewApproval::sample(terminal, &format!("touch {n}"), expires_at)
}

#[test]
fn each_request_ends_once_however_many_decide() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::at(dir.path().join("state")).unwrap();
    let mut store = Store::open_or_create(&home).unwrap();
    let by = By {
        actor: "test",
        via: "test",
        detail: json!({}),
    };
    let long = crate::paths::env("CONDUCTOR_CAMPAIGN").is_some();
    let requests = REQUESTS[usize::from(!long)];
    let ids: Vec<ApprovalId> = (0..requests)
        .map(|n| {
            store
                .write(Durability::Process, Budget::Call, |tx| {
                    tx.request_approval(&new(n), &by, clock::now())
                })
                .unwrap()
                .id
        })
        .collect();
    let done: Vec<(ApprovalId, Act)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..DECIDERS)
            .map(|decider| {
                let (home, ids, by) = (&home, &ids, &by);
                scope.spawn(move || {
                    let mut store = Store::open(home).unwrap();
                    let mut done = Vec::new();
                    for (at, id) in ids.iter().enumerate() {
                        // Each decider does its deeds in another order.
                        let acts = [
                            Act::Approve,
                            Act::Consume,
                            Act::Deny,
                            Act::Expire,
                            Act::Withdraw,
                        ];
                        let act = acts[(at * 7 + decider * 3) % acts.len()];
                        let moved = store
                            .write(Durability::Process, Budget::Call, |tx| {
                                tx.act_on_approval(
                                    *id,
                                    act,
                                    Some(Scope::Once),
                                    None,
                                    by,
                                    clock::now(),
                                )
                            })
                            .unwrap();
                        done.extend(moved.map(|_| (*id, act)));
                    }
                    done
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|t| t.join().unwrap())
            .collect()
    });
    let entries: i64 = store
        .read(|tx| {
            Ok::<_, Error>(tx.query_row(
                "SELECT count(*) FROM audit WHERE action <> 'approval.requested'",
                [],
                |row| row.get(0),
            )?)
        })
        .unwrap();
    assert_eq!(
        usize::try_from(entries).unwrap(),
        done.len(),
        "every deed is in the log, and nothing else"
    );
    for id in ids.iter().copied() {
        let own: Vec<Act> = done
            .iter()
            .filter(|(other, _)| *other == id)
            .map(|(_, act)| *act)
            .collect();
        let decided = own
            .iter()
            .filter(|act| matches!(act, Act::Approve | Act::Deny))
            .count();
        let used = own.iter().filter(|act| **act == Act::Consume).count();
        let ends = own.iter().filter(|act| **act != Act::Approve).count();
        assert!(decided <= 1 && used <= 1 && ends <= 1, "{own:?}");
        let status = store.read(|tx| tx.approval(id)).unwrap().unwrap().status;
        let expected = match own.last() {
            None => ApprovalStatus::Pending,
            Some(_) if used == 1 => ApprovalStatus::Consumed,
            Some(_) if own.contains(&Act::Deny) => ApprovalStatus::Denied,
            Some(_) if own.contains(&Act::Expire) => ApprovalStatus::Expired,
            Some(_) if own.contains(&Act::Withdraw) => ApprovalStatus::Withdrawn,
            Some(_) => ApprovalStatus::Approved,
        };
        assert_eq!(status, expected, "{own:?}");
    }
    eprintln!(
        "{DECIDERS} deciders, {requests} requests: {} deeds, each in the log",
        done.len()
    );
}

#[test]
fn a_yes_that_was_used_since_is_shown_as_it_was_decided() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::at(dir.path().join("state")).unwrap();
    let mut store = Store::open_or_create(&home).unwrap();
    let by = By {
        actor: "test",
        via: "test",
        detail: json!({}),
    };
    let (decided, used) = store
        .write(Durability::Process, Budget::Call, |tx| {
            let now = clock::now();
            let id = tx.request_approval(&new(1), &by, now)?.id;
            let once = Some(Scope::Once);
            let decided = tx.act_on_approval(id, Act::Approve, once, Some("fine"), &by, now)?;
            let used = tx.act_on_approval(id, Act::Consume, None, None, &by, now)?;
            tx.note_approval_ran(id, now)?;
            Ok::<_, Error>((decided.unwrap(), used.and(tx.approval(id)?).unwrap()))
        })
        .unwrap();
    assert_eq!(decided.status, ApprovalStatus::Approved);
    assert_eq!(used.status, ApprovalStatus::Consumed);
    assert_eq!(used.as_decided(), decided);
}
