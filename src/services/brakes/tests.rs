//! The brakes against a real store.

use super::*;
use crate::domain::ids::TerminalId;
use crate::domain::message::{MessageStatus, Sender};
use crate::error::Kind;
use crate::paths::Home;
use crate::services::send::{self, Order};
use crate::store::{Budget, Durability, Store};

struct Bench {
    _dir: tempfile::TempDir,
    store: Store,
    limits: Limits,
}

fn id(n: u8) -> TerminalId {
    TerminalId::from_bytes([n; 4])
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path().join("state")).unwrap();
        let mut store = Store::open_or_create(&home).unwrap();
        for n in [1, 2, 3] {
            let terminal = Terminal::sample(id(n));
            store
                .write(Durability::Process, Budget::Call, |tx| {
                    tx.insert_terminal(&terminal)
                })
                .unwrap();
        }
        Self {
            _dir: dir,
            store,
            limits: Limits::default(),
        }
    }

    fn send(&mut self, from: Sender, to: u8) -> Result<MessageStatus> {
        let order = Order {
            receiver: id(to),
            body: "x".into(),
            key: None,
            ttl: None,
            approval: false,
        };
        let limits = self.limits.clone();
        let message = self.store.write(Durability::Process, Budget::Call, |tx| {
            let sent = send::accept(tx, from, &order, "t".into(), "trace".into(), Some(&limits))?;
            // Taken at once, so that only the brake under test counts.
            if sent.status == MessageStatus::Queued {
                tx.submit_message(
                    sent.id,
                    crate::domain::message::Transport::Paste,
                    clock::now(),
                    "test",
                )?;
            }
            Ok::<_, Failure>(sent)
        })?;
        Ok(message.status)
    }

    fn agent(&mut self, from: u8, to: u8) -> Result<MessageStatus> {
        self.send(Sender::Terminal(id(from)), to)
    }
}

#[test]
fn two_agents_that_only_talk_to_each_other_are_stopped() {
    let mut bench = Bench::new();
    bench.limits.hops = 1_000;
    let mut held = 0;
    for _ in 0..LOOP {
        held += usize::from(bench.agent(1, 2).unwrap() == MessageStatus::Held);
        held += usize::from(bench.agent(2, 1).unwrap() == MessageStatus::Held);
    }
    assert!(held > 0, "the loop goes on");
    assert_eq!(
        bench.agent(1, 3).unwrap(),
        MessageStatus::Queued,
        "others are not held"
    );
}

#[test]
fn a_word_from_outside_begins_anew() {
    let mut bench = Bench::new();
    bench.limits.hops = 1_000;
    for _ in 0..LOOP {
        bench.agent(1, 2).ok();
        bench.agent(2, 1).ok();
    }
    assert_eq!(bench.agent(1, 2).unwrap(), MessageStatus::Held);
    std::thread::sleep(std::time::Duration::from_millis(3));
    assert_eq!(bench.send(Sender::Human, 1).unwrap(), MessageStatus::Queued);
    assert_eq!(bench.agent(1, 2).unwrap(), MessageStatus::Queued);
}

#[test]
fn many_reports_to_one_are_not_a_loop() {
    let mut bench = Bench::new();
    for _ in 0..LOOP {
        assert_eq!(bench.agent(2, 1).unwrap(), MessageStatus::Queued);
    }
}

#[test]
fn budgets_refuse_and_say_which() {
    let mut bench = Bench::new();
    bench.limits.messages_per_minute = 3;
    for _ in 0..3 {
        bench.agent(1, 2).unwrap();
    }
    let refused = bench.agent(1, 2).unwrap_err();
    assert_eq!(refused.kind(), Kind::Refused);
    assert!(refused.hints()[0].contains("messages_per_minute"));
    bench.limits.messages_per_hour = 4;
    bench.agent(1, 3).unwrap();
    assert!(bench.agent(2, 3).unwrap_err().hints()[0].contains("messages_per_hour"));
    for _ in 0..10 {
        bench.send(Sender::Human, 2).unwrap();
    }
}

#[test]
fn hops_end_a_chain_and_people_begin_a_new_one() {
    let mut bench = Bench::new();
    bench.limits.hops = 2;
    bench.send(Sender::Human, 1).unwrap();
    bench.agent(1, 2).unwrap();
    bench.agent(2, 3).unwrap();
    assert!(bench.agent(3, 1).unwrap_err().hints()[0].contains("limits.hops"));
    std::thread::sleep(std::time::Duration::from_millis(3));
    bench.send(Sender::Human, 3).unwrap();
    bench.agent(3, 1).unwrap();
}

#[test]
fn the_bytes_that_wait_in_a_session_are_bounded_for_everybody() {
    let mut bench = Bench::new();
    bench.limits.waiting_bytes_per_session = 10;
    let mut send = |to: u8, body: &str| {
        let order = Order {
            receiver: id(to),
            body: body.into(),
            key: None,
            ttl: None,
            approval: false,
        };
        let limits = bench.limits.clone();
        bench.store.write(Durability::Process, Budget::Call, |tx| {
            send::accept(
                tx,
                Sender::Human,
                &order,
                "t".into(),
                "trace".into(),
                Some(&limits),
            )
        })
    };
    send(1, "1234567").unwrap();
    let refused = send(2, "ääää").unwrap_err();
    assert_eq!(refused.kind(), Kind::Refused);
    assert!(
        refused.message().contains("7 bytes"),
        "{}",
        refused.message()
    );
    assert!(
        refused
            .hints()
            .iter()
            .any(|hint| hint.contains("limits.waiting_bytes_per_session"))
    );
    let first = send(3, "abc").unwrap();
    send(1, "x").unwrap_err();
    // What the agent has got counts no more.
    bench
        .store
        .write(Durability::Process, Budget::Call, |tx| {
            tx.end_message(first.id, MessageStatus::Cancelled, "a test")
        })
        .unwrap();
    let limits = bench.limits.clone();
    bench
        .store
        .read(|tx| {
            let receiver = tx.terminal(&id(2))?.unwrap();
            test(tx, &limits, None, &receiver, 3, 0, clock::now())
        })
        .unwrap();
}
