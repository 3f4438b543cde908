//! What is old goes, and nothing that is needed.

use super::*;
use crate::domain::ids::MessageId;
use crate::domain::message::{MessageStatus, Sender, Transport};
use crate::domain::terminal::{Change, Source, Status, Terminal};
use crate::paths::Home;
use crate::store::NewMessage;

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::at(dir.path().join("state")).unwrap();
    let store = Store::open_or_create(&home).unwrap();
    (dir, store)
}

fn at(day: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + day * 86_400).unwrap()
}

fn id(n: u8) -> TerminalId {
    TerminalId::from_bytes([n; 4])
}

fn message(receiver: u8, body: &str) -> NewMessage {
    NewMessage {
        sender: Sender::Human,
        sender_name: "human".into(),
        order: false,
        receiver: id(receiver),
        body: body.into(),
        tag: "abcdef".into(),
        expires_at: None,
        key: None,
        trace: "t".into(),
        hops: 0,
        held: None,
    }
}

fn write<T>(store: &mut Store, body: impl FnOnce(&Tx<'_>) -> Result<T, Error>) -> T {
    store
        .write(Durability::Process, Budget::Call, body)
        .unwrap()
}

/// A terminal, and when it ended.
fn terminal(store: &mut Store, n: u8, ended: Option<Timestamp>) {
    write(store, |tx| {
        let mut t = Terminal::sample(id(n));
        t.agent_session = Some("s".into());
        tx.insert_terminal(&t)?;
        if let Some(at) = ended {
            tx.note_event(&id(n), at, None, Some("its last answer"))?;
            let change = Change {
                status: Status::Exited,
                reason: "closed".into(),
            };
            tx.set_state(&id(n), &change, Source::Command, at)?;
        }
        Ok(())
    });
}

fn sent(store: &mut Store, receiver: u8, when: Timestamp, settled: bool) -> MessageId {
    write(store, |tx| {
        let id = tx.accept_message(&message(receiver, "x"), when)?.id;
        if settled {
            tx.submit_message(id, Transport::Paste, when, "proof")?;
        }
        Ok(id)
    })
}

#[test]
fn settled_messages_go_by_age_and_waiting_ones_stay() {
    let (_dir, mut store) = store();
    terminal(&mut store, 1, None);
    let old = sent(&mut store, 1, at(0), true);
    let waits = sent(&mut store, 1, at(0), false);
    let young = sent(&mut store, 1, at(9), true);
    assert_eq!(
        store.read(|tx| tx.stale(Stale::Messages, at(5))).unwrap(),
        1
    );
    let removed = write(&mut store, |tx| {
        tx.remove_stale(Stale::Messages, at(5), 100)
    });
    assert_eq!(removed, 1);
    let left = |store: &mut Store, id| store.read(|tx| tx.message(id)).unwrap();
    assert!(left(&mut store, old).is_none());
    assert_eq!(
        left(&mut store, waits).unwrap().status,
        MessageStatus::Queued
    );
    assert!(left(&mut store, young).is_some());
    // Its number is not given a second time.
    let next = sent(&mut store, 1, at(10), false);
    let seq = |store: &mut Store, id| left(store, id).unwrap().seq;
    assert!(seq(&mut store, next) > seq(&mut store, young));
}

#[test]
fn batches_end_when_nothing_is_left() {
    let (_dir, mut store) = store();
    terminal(&mut store, 1, None);
    for _ in 0..7 {
        sent(&mut store, 1, at(0), true);
    }
    let mut batches = Vec::new();
    loop {
        let removed = write(&mut store, |tx| tx.remove_stale(Stale::Messages, at(5), 3));
        batches.push(removed);
        if removed < 3 {
            break;
        }
    }
    assert_eq!(batches, [3, 3, 1]);
}

#[test]
fn an_old_terminal_keeps_its_last_answer_and_nothing_that_could_start_it() {
    let (_dir, mut store) = store();
    terminal(&mut store, 1, Some(at(0)));
    terminal(&mut store, 2, Some(at(9)));
    terminal(&mut store, 3, None);
    let old = store.read(|tx| tx.old_terminals(at(5))).unwrap();
    assert_eq!(
        old.iter().map(|old| old.id.clone()).collect::<Vec<_>>(),
        [id(1)]
    );
    assert!(write(&mut store, |tx| tx.bury_terminal(&id(1), at(10))));
    assert!(
        !write(&mut store, |tx| tx.bury_terminal(&id(3), at(10))),
        "it lives"
    );
    let buried = store.read(|tx| tx.terminal(&id(1))).unwrap().unwrap();
    assert_eq!(buried.last_answer.as_deref(), Some("its last answer"));
    assert_eq!(buried.agent_session, None);
    assert!(
        store.read(|tx| tx.old_terminals(at(5))).unwrap().is_empty(),
        "once"
    );
    // And in the end that goes too; one that is kept whole does not.
    let removed = write(&mut store, |tx| {
        tx.remove_stale(Stale::Tombstones, at(400), 100)
    });
    assert_eq!(removed, 1);
    assert!(store.read(|tx| tx.terminal(&id(2))).unwrap().is_some());
}

#[test]
fn a_terminal_that_mail_waits_for_is_not_buried() {
    let (_dir, mut store) = store();
    terminal(&mut store, 1, Some(at(0)));
    sent(&mut store, 1, at(1), false);
    let old = store.read(|tx| tx.old_terminals(at(5))).unwrap();
    assert_eq!(old[0].waiting, 1);
    assert!(!write(&mut store, |tx| tx.bury_terminal(&id(1), at(10))));
}

#[test]
fn the_room_of_what_went_is_given_back() {
    let (_dir, mut store) = store();
    terminal(&mut store, 1, None);
    let body = "x".repeat(100_000);
    for _ in 0..40 {
        write(&mut store, |tx| {
            let id = tx.accept_message(&message(1, &body), at(0))?.id;
            tx.submit_message(id, Transport::Paste, at(0), "proof")
        });
    }
    let full = store.read(|tx| tx.room()).unwrap();
    write(&mut store, |tx| {
        tx.remove_stale(Stale::Messages, at(5), 100)
    });
    let freed = store.compact().unwrap();
    let after = store.read(|tx| tx.room()).unwrap();
    assert!(freed > 3_000_000, "{freed}");
    assert!(after.size < full.size / 4, "{full:?} {after:?}");
    let file = std::fs::metadata(store.home().db()).unwrap().len();
    assert!(file < full.size / 4, "the file itself: {file}");
    assert!(store.integrity().unwrap().is_none());
}
