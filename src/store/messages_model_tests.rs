//! The queue against a model: whatever happens in whatever order, statuses move along [`MessageStatus::may_become`], each receiver is
//! served in order and one at a time, and what is proven stays proven.

use super::db::{Budget, Durability, Store, Tx};
use super::error::Error;
use super::messages::NewMessage;

use crate::domain::ids::{MessageId, TerminalId};
use crate::domain::message::{GateReason, Message, MessageStatus, Sender, Transport};
use crate::paths::Home;
use crate::proc::Identity;
use jiff::Timestamp;
use proptest::prelude::*;
use std::collections::HashMap;

/// One thing that happens; `usize`s pick a receiver or a message.
#[derive(Debug, Clone)]
enum Op {
    Accept {
        receiver: usize,
        held: bool,
        key: Option<u8>,
        ttl: i64,
    },
    Claim {
        receiver: usize,
        hook: bool,
    },
    Place {
        receiver: usize,
    },
    Refuse {
        receiver: usize,
    },
    /// The process that had claimed it died; `seen` when a hook may have handed it over.
    Crash {
        receiver: usize,
        seen: bool,
    },
    Prove {
        receiver: usize,
    },
    ProveBySpool {
        message: usize,
    },
    Read {
        message: usize,
    },
    Cancel {
        message: usize,
    },
    Retry {
        message: usize,
    },
    Release {
        message: usize,
    },
    GiveUp {
        receiver: usize,
    },
    Expire {
        after: i64,
    },
    Bury {
        receiver: usize,
    },
    Lose {
        receiver: usize,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let receiver = 0..3_usize;
    let message = 0..24_usize;
    prop_oneof![
        6 => (receiver.clone(), prop::bool::weighted(0.15), prop::option::weighted(0.3, 0..4_u8), 1..60_i64)
            .prop_map(|(receiver, held, key, ttl)| Op::Accept { receiver, held, key, ttl }),
        6 => (receiver.clone(), any::<bool>()).prop_map(|(receiver, hook)| Op::Claim { receiver, hook }),
        4 => receiver.clone().prop_map(|receiver| Op::Place { receiver }),
        2 => receiver.clone().prop_map(|receiver| Op::Refuse { receiver }),
        3 => (receiver.clone(), any::<bool>()).prop_map(|(receiver, seen)| Op::Crash { receiver, seen }),
        4 => receiver.clone().prop_map(|receiver| Op::Prove { receiver }),
        2 => message.clone().prop_map(|message| Op::ProveBySpool { message }),
        1 => message.clone().prop_map(|message| Op::Read { message }),
        2 => message.clone().prop_map(|message| Op::Cancel { message }),
        2 => message.clone().prop_map(|message| Op::Retry { message }),
        2 => message.prop_map(|message| Op::Release { message }),
        1 => receiver.clone().prop_map(|receiver| Op::GiveUp { receiver }),
        1 => (1..30_i64).prop_map(|after| Op::Expire { after }),
        1 => receiver.clone().prop_map(|receiver| Op::Bury { receiver }),
        1 => receiver.prop_map(|receiver| Op::Lose { receiver }),
    ]
}

/// What the model knows of one message.
#[derive(Debug, Clone, PartialEq)]
struct Known {
    receiver: usize,
    status: MessageStatus,
    /// Its place in the queue: a larger one is later.
    place: i64,
    again: bool,
    ever_placed: bool,
    expires: i64,
}

struct World {
    store: Store,
    _dir: tempfile::TempDir,
    receivers: Vec<TerminalId>,
    model: HashMap<i64, Known>,
    keys: HashMap<u8, i64>,
    ids: Vec<i64>,
    now: i64,
    next_place: i64,
}

const SPAN: [MessageStatus; 3] = [
    MessageStatus::Queued,
    MessageStatus::Claimed,
    MessageStatus::Placed,
];

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(1_000_000 + ms).unwrap()
}

fn own() -> Identity {
    Identity { pid: 1, start: 1 }
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_or_create(&Home::at(dir.path().join("s")).unwrap()).unwrap();
        let receivers: Vec<TerminalId> = (0..3).map(|n| TerminalId::from_bytes([n; 4])).collect();
        let mut world = Self {
            store,
            _dir: dir,
            receivers,
            model: HashMap::new(),
            keys: HashMap::new(),
            ids: Vec::new(),
            now: 0,
            next_place: 1,
        };
        let receivers = world.receivers.clone();
        world.write(|tx| {
            for id in &receivers {
                tx.execute(
                    "INSERT INTO terminals (id, session, window, provider, profile, role, status, status_reason, status_source,
                       status_since, cwd, created_at, session_owned, env)
                     VALUES (?1, 's', 'w', 'demo', 'p', 'worker', 'idle', '', 'event', 0, '/', 0, 0, '{}')",
                    [id.as_str()],
                )?;

            }
            Ok(())
        });
        world
    }

    fn write<T>(&mut self, body: impl FnOnce(&Tx<'_>) -> Result<T, Error>) -> T {
        self.store
            .write(Durability::Process, Budget::Call, body)
            .unwrap()
    }

    fn message(&mut self, id: i64) -> Message {
        self.write(|tx| tx.message(MessageId(id))).unwrap()
    }

    /// The message that the model says is next.
    fn head(&self, receiver: usize) -> Option<i64> {
        self.model
            .iter()
            .filter(|(_, known)| known.receiver == receiver && SPAN.contains(&known.status))
            .min_by_key(|(_, known)| known.place)
            .map(|(id, _)| *id)
    }

    fn place(&mut self) -> i64 {
        self.next_place += 1;
        self.next_place
    }

    fn set(&mut self, id: i64, status: MessageStatus) {
        self.model.get_mut(&id).unwrap().status = status;
    }

    fn head_with(&self, receiver: usize, statuses: &[MessageStatus]) -> Option<i64> {
        self.head(receiver)
            .filter(|id| statuses.contains(&self.model[id].status))
    }

    fn play(&mut self, op: &Op) {
        self.now += 1;
        let now = at(self.now);
        match op {
            Op::Accept {
                receiver,
                held,
                key,
                ttl,
            } => {
                let new = NewMessage {
                    sender: Sender::Unverified,
                    sender_name: "unverified".into(),
                    order: false,
                    receiver: self.receivers[*receiver].clone(),
                    body: "x".into(),
                    tag: "t".into(),
                    expires_at: Some(at(self.now + ttl)),
                    key: key.map(|key| key.to_string()),
                    trace: "t".into(),
                    hops: 0,
                    held: held.then(|| "held".to_owned()),
                };
                let id = self.write(|tx| {
                    let accepted = tx.accept_message(&new, now)?;
                    assert_eq!(tx.message(accepted.id)?.as_ref(), Some(&accepted));
                    Ok(accepted.id.0)
                });
                if let Some(key) = key
                    && let Some(first) = self.keys.get(key)
                {
                    assert_eq!(id, *first, "the same key gave another message");
                    return;
                }
                assert!(!self.model.contains_key(&id), "an id came back");
                if let Some(key) = key {
                    self.keys.insert(*key, id);
                }
                let place = self.place();
                let status = if *held {
                    MessageStatus::Held
                } else {
                    MessageStatus::Queued
                };
                self.ids.push(id);
                self.model.insert(
                    id,
                    Known {
                        receiver: *receiver,
                        status,
                        place,
                        again: false,
                        ever_placed: false,
                        expires: self.now + ttl,
                    },
                );
            }
            Op::Claim { receiver, hook } => {
                let receiver_id = self.receivers[*receiver].clone();
                let head = self.write(|tx| tx.head_message(&receiver_id));
                assert_eq!(
                    head.as_ref().map(|m| m.id.0),
                    self.head(*receiver),
                    "another head"
                );
                let Some(head) = head else {
                    return;
                };
                let transport = if *hook {
                    Transport::StopHook
                } else {
                    Transport::Paste
                };
                let claimed = self.write(|tx| tx.claim_message(head.id, transport, own(), now));
                assert_eq!(
                    claimed,
                    self.model[&head.id.0].status == MessageStatus::Queued
                );
                if claimed {
                    self.set(head.id.0, MessageStatus::Claimed);
                    assert_eq!(self.write(|tx| tx.lease(head.id)), Some(own()));
                }
            }
            Op::Place { receiver } => {
                let Some(id) = self.head(*receiver) else {
                    return;
                };
                let placed = self.write(|tx| tx.place_message(MessageId(id), now));
                assert_eq!(placed, self.model[&id].status == MessageStatus::Claimed);
                if placed {
                    self.set(id, MessageStatus::Placed);
                    self.model.get_mut(&id).unwrap().ever_placed = true;
                }
            }
            Op::Refuse { receiver } => {
                let Some(id) = self.head(*receiver) else {
                    return;
                };
                let refused = self.write(|tx| tx.refuse_message(MessageId(id), GateReason::Draft));
                assert_eq!(refused, self.model[&id].status == MessageStatus::Claimed);
                if refused {
                    self.set(id, MessageStatus::Queued);
                }
            }
            Op::Crash { receiver, seen } => {
                let Some(id) =
                    self.head_with(*receiver, &[MessageStatus::Claimed, MessageStatus::Placed])
                else {
                    return;
                };
                let message = self.message(id);
                // A paste whose number was burnt gets a new one, and keeps its place.
                let (receiver_id, burnt) = (self.receivers[*receiver].clone(), !seen);
                let back = self.write(|tx| {
                    let back = tx.requeue_message(&message, "crash", *seen)?;
                    if burnt {
                        tx.note_settled(&receiver_id, message.seq)?;
                        tx.renumber_head(&message)?;
                    }
                    Ok(back)
                });
                assert!(back);
                self.set(id, MessageStatus::Queued);
                let known = self.model.get_mut(&id).unwrap();
                known.again |= seen;
                known.ever_placed = false;
                assert_eq!(
                    self.write(|tx| tx.lease(MessageId(id))),
                    None,
                    "the lease is gone"
                );
            }
            Op::Prove { receiver } => {
                let Some(id) = self.head(*receiver) else {
                    return;
                };
                let proven = self
                    .write(|tx| tx.submit_message(MessageId(id), Transport::Paste, now, "proof"));
                assert!(proven);
                self.set(id, MessageStatus::Submitted);
            }
            Op::ProveBySpool { message } => {
                let Some(id) = self.ids.get(*message).copied() else {
                    return;
                };
                let receiver = self.receivers[self.model[&id].receiver].clone();
                self.write(|tx| tx.prove_by_prompt(receiver.as_str(), id, 5));
                if matches!(
                    self.model[&id].status,
                    MessageStatus::Claimed | MessageStatus::Placed
                ) {
                    self.set(id, MessageStatus::Submitted);
                }
            }
            Op::Read { message } => {
                let Some(id) = self.ids.get(*message).copied() else {
                    return;
                };
                let read = self
                    .write(|tx| tx.submit_message(MessageId(id), Transport::McpRead, now, "read"));
                assert_eq!(read, SPAN.contains(&self.model[&id].status));
                if read {
                    self.set(id, MessageStatus::Submitted);
                }
            }
            Op::Cancel { message } => {
                let Some(id) = self.ids.get(*message).copied() else {
                    return;
                };
                let done = self.write(|tx| tx.cancel_message(MessageId(id)));
                let may = matches!(
                    self.model[&id].status,
                    MessageStatus::Held | MessageStatus::Queued
                );
                assert_eq!(done, may, "only what nobody has begun is withdrawn");
                if done {
                    self.set(id, MessageStatus::Cancelled);
                }
            }
            Op::Retry { message } => {
                let Some(id) = self.ids.get(*message).copied() else {
                    return;
                };
                let stored = self.message(id);
                let expires = self.now + 40;
                let done = self.write(|tx| tx.retry_message(&stored, Some(at(expires))));
                let status = self.model[&id].status;
                assert_eq!(done, status.settled() && status != MessageStatus::Submitted);
                if done {
                    let place = self.place();
                    let known = self.model.get_mut(&id).unwrap();
                    known.again |= known.ever_placed;
                    known.ever_placed = false;
                    (known.status, known.place, known.expires) =
                        (MessageStatus::Queued, place, expires);
                }
            }
            Op::Release { message } => {
                let Some(id) = self.ids.get(*message).copied() else {
                    return;
                };
                let stored = self.message(id);
                let done = self.write(|tx| tx.release_message(&stored));
                assert_eq!(done, self.model[&id].status == MessageStatus::Held);
                if done {
                    let place = self.place();
                    let known = self.model.get_mut(&id).unwrap();
                    (known.status, known.place) = (MessageStatus::Queued, place);
                }
            }
            Op::GiveUp { receiver } => {
                let Some(id) = self.head_with(*receiver, &[MessageStatus::Placed]) else {
                    return;
                };
                assert!(self.write(|tx| tx.end_message(
                    MessageId(id),
                    MessageStatus::Dead,
                    "no proof"
                )));
                self.set(id, MessageStatus::Dead);
            }
            Op::Expire { after } => {
                self.now += after;
                let now = at(self.now);
                let mut expired: Vec<i64> = self
                    .write(|tx| tx.expire_messages(now))
                    .iter()
                    .map(|id| id.0)
                    .collect();
                let mut wanted: Vec<i64> = self
                    .model
                    .iter()
                    .filter(|(_, k)| {
                        matches!(k.status, MessageStatus::Held | MessageStatus::Queued)
                            && k.expires <= self.now
                    })
                    .map(|(id, _)| *id)
                    .collect();
                expired.sort_unstable();
                wanted.sort_unstable();
                assert_eq!(expired, wanted);
                for id in wanted {
                    self.set(id, MessageStatus::Expired);
                }
            }
            Op::Bury { receiver } => {
                let id = self.receivers[*receiver].clone();
                let buried = self.write(|tx| tx.bury_messages(&id, "gone"));
                for id in &buried {
                    let known = self.model.get_mut(&id.0).unwrap();
                    assert!(!known.status.settled());
                    known.again |= known.status == MessageStatus::Claimed;
                    self.set(id.0, MessageStatus::Dead);
                }
                assert!(
                    !self
                        .model
                        .values()
                        .any(|k| k.receiver == *receiver && !k.status.settled()),
                    "all of them"
                );
            }
            Op::Lose { receiver } => {
                let id = self.receivers[*receiver].clone();
                let back = self.write(|tx| tx.keep_messages(&id, "its server died"));
                for known in self.model.values_mut() {
                    let begun =
                        matches!(known.status, MessageStatus::Claimed | MessageStatus::Placed);
                    if known.receiver == *receiver && begun {
                        known.again = true;
                        known.status = MessageStatus::Queued;
                    }
                }
                assert!(
                    back.iter().all(|id| self.model[&id.0].again),
                    "what may have been seen is marked"
                );
            }
        }
    }

    /// What must be true after every step.
    fn check(&mut self, before: &HashMap<i64, Message>, op: &Op) -> HashMap<i64, Message> {
        let all: Vec<Message> = self.write(|tx| tx.messages(None, None, 1_000));
        assert_eq!(all.len(), self.model.len());
        let mut numbers: Vec<(String, i64)> = Vec::new();
        for receiver in &self.receivers {
            let busy = all
                .iter()
                .filter(|m| {
                    m.receiver == *receiver
                        && matches!(m.status, MessageStatus::Claimed | MessageStatus::Placed)
                })
                .count();
            assert!(
                busy <= 1,
                "{busy} are on their way to one receiver after {op:?}"
            );
        }
        for message in &all {
            let known = &self.model[&message.id.0];
            assert_eq!(
                message.status, known.status,
                "message {} after {op:?}",
                message.id
            );
            assert_eq!(
                message.again, known.again,
                "again of message {} after {op:?}",
                message.id
            );
            if let Some(old) = before.get(&message.id.0) {
                if old.status == MessageStatus::Submitted {
                    assert_eq!(old, message, "what is proven changed with {op:?}");
                }
                assert!(
                    old.status == message.status || old.status.may_become(message.status),
                    "{:?} became {:?} with {op:?}",
                    old.status,
                    message.status
                );
                assert!(message.seq >= old.seq, "a number went back");
            }
            numbers.push((message.receiver.to_string(), message.seq));
            let reason = message.last_error.is_some();
            if matches!(
                message.status,
                MessageStatus::Dead | MessageStatus::Expired | MessageStatus::Cancelled
            ) {
                assert!(reason, "message {} ended without a reason", message.id);
            }
            if message.status == MessageStatus::Submitted {
                assert!(
                    message.submitted_at.is_some()
                        && message.transport.is_some()
                        && message.attempts >= 1
                );
            }
        }
        let count = numbers.len();
        numbers.sort();
        numbers.dedup();
        assert_eq!(
            numbers.len(),
            count,
            "two messages of one receiver have the same number"
        );
        for message in &all {
            let tries = self.write(|tx| tx.attempts(message.id));
            let claimed = tries.iter().filter(|t| t.outcome == "claimed").count();
            assert!(claimed <= 1, "only the last try is open: {tries:?}");
            assert!(
                i64::try_from(tries.len()).unwrap() >= message.attempts.min(1),
                "tries without a record: {} {tries:?}",
                message.attempts
            );
        }
        all.into_iter().map(|m| (m.id.0, m)).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, max_shrink_iters: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_queue_is_as_the_model_says(ops in prop::collection::vec(op(), 1..40)) {
        let mut world = World::new();
        let mut before = HashMap::new();
        for op in &ops {
            world.play(op);
            before = world.check(&before, op);
        }
    }
}
