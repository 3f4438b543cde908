//! Notes against a real store.

use super::*;
use crate::domain::ids::TerminalId;
use crate::domain::message::Message;
use crate::paths::Home;
use crate::tmux::Tmux;

struct Place {
    _dir: tempfile::TempDir,
    cx: Context,
    store: Store,
    writer: Terminal,
}

fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::at(dir.path().join("state")).unwrap();
    let mut store = Store::open_or_create(&home).unwrap();
    let cx = Context::new(home, Tmux::at(dir.path().join("no-server"))).unwrap();
    let writer = Terminal::sample(TerminalId::from_bytes([1; 4]));
    store
        .write(Durability::Process, Budget::Call, |tx| {
            tx.insert_terminal(&writer)
        })
        .unwrap();
    Place {
        _dir: dir,
        cx,
        store,
        writer,
    }
}

impl Place {
    fn write(&mut self, draft: &Draft) -> Result<Note> {
        write(&self.cx, &mut self.store, &self.writer, draft)
    }

    fn ask(&mut self, text: &str) -> Note {
        let draft = Draft {
            question: true,
            ..says(text)
        };
        self.write(&draft).unwrap()
    }

    /// The terminal of these tests has no process, so that a look at it would end it.
    fn answer(&mut self, id: NoteId, text: &str) -> Result<Note> {
        let (tag, trace) = (send::tag()?, send::tag_long()?);
        self.store.write(Durability::Process, Budget::Call, |tx| {
            let (note, writer) = answerable(tx, id)?;
            tx.answer_note(id, &note.meant(text), "human", clock::now())?;
            if !waited_for(&note) {
                put(tx, id, &writer, tag, trace, false)?;
            }
            Ok::<_, Failure>(())
        })?;
        known(&mut self.store, id)
    }

    fn mail(&mut self) -> Vec<Message> {
        let writer = self.writer.id.clone();
        self.store.read(|tx| tx.open_messages(&writer)).unwrap()
    }

    fn wait(&mut self, id: NoteId) -> Outcome {
        let now = Deadline::after(std::time::Duration::ZERO);
        wait(&self.cx, &mut self.store, id, now, || false).unwrap()
    }
}

fn says(text: &str) -> Draft {
    Draft {
        body: text.into(),
        ..Draft::default()
    }
}

#[test]
fn the_same_key_and_the_same_open_question_are_one_note() {
    let mut place = place();
    let keyed = Draft {
        key: Some("k".into()),
        ..says("one")
    };
    let first = place.write(&keyed).unwrap().id;
    assert_eq!(place.write(&keyed).unwrap().id, first);
    let news = place.write(&says("news")).unwrap().id;
    assert_ne!(place.write(&says("news")).unwrap().id, news, "said twice");
    let asked = place.ask("really?").id;
    assert_eq!(place.ask("really?").id, asked);
    place.answer(asked, "yes").unwrap();
    assert_ne!(place.ask("really?").id, asked, "asked anew");
}

#[test]
fn a_loop_does_not_flood_the_person() {
    let mut place = place();
    let limits = Limits::default();
    for n in 0..limits.messages_per_minute {
        place.write(&says(&format!("note {n}"))).unwrap();
    }
    let refused = place.write(&says("one more")).unwrap_err();
    assert_eq!(refused.kind(), crate::error::Kind::Refused);
    assert!(refused.hints()[0].contains("messages_per_minute"));
    let old = clock::after_ms(clock::now(), 61_000);
    let Place { store, writer, .. } = &mut place;
    store
        .read(|tx| {
            brake(tx, &limits, writer, 1, old)?;
            let full = Limits {
                queue_per_receiver: limits.messages_per_minute,
                ..limits.clone()
            };
            brake(tx, &full, writer, 1, old).unwrap_err();
            let small = Limits {
                waiting_bytes_per_session: 300,
                ..limits.clone()
            };
            brake(tx, &small, writer, 1_000, old).unwrap_err();
            let hour = Limits {
                messages_per_hour: limits.messages_per_minute,
                ..limits.clone()
            };
            brake(tx, &hour, writer, 1, old).unwrap_err();
            Ok::<_, Failure>(())
        })
        .unwrap();
}

#[test]
fn what_is_no_note_is_refused() {
    let mut place = place();
    let with = |options: &[&str]| Draft {
        question: true,
        options: options.iter().map(|o| (*o).to_owned()).collect(),
        ..says("which?")
    };
    let many: Vec<String> = (0..=MAX_OPTIONS).map(|n| n.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let long = "x".repeat(MAX_OPTION + 1);
    for draft in [
        says(" \n"),
        with(&many),
        with(&["a", " a "]),
        with(&["a", ""]),
        with(&[&long]),
        says(&"x".repeat(Limits::default().max_body_bytes + 1)),
    ] {
        assert_eq!(
            place.write(&draft).unwrap_err().kind(),
            crate::error::Kind::Usage
        );
    }
    let note = place.write(&with(&["a\u{1b}[31m", "b\nc"])).unwrap();
    assert_eq!(note.options, ["a⟨U+001B⟩[31m", "b⏎c"]);
}

#[test]
fn an_answer_goes_to_the_call_that_waits_or_to_the_inbox() {
    let mut place = place();
    let nobody = place.ask("nobody waits?").id;
    let note = place.answer(nobody, "mail").unwrap();
    assert_eq!(note.given, Some(Given::Inbox));
    let mail = place.mail();
    assert_eq!(
        (mail.len(), note.message, mail[0].sender.clone()),
        (1, Some(mail[0].id), Sender::Human)
    );
    assert_eq!(mail[0].body, "Answer to note-1 (nobody waits?): mail");
    assert!(mail[0].order);
    assert!(matches!(place.wait(nobody), Outcome::Over(_)));

    let asked = place.ask("who waits?").id;
    assert!(matches!(place.wait(asked), Outcome::Pending(note) if note.waiter.is_none()));
    place
        .store
        .write(Durability::Process, Budget::Call, |tx| {
            tx.set_note_waiter(asked, own())
        })
        .unwrap();
    place.answer(asked, "call").unwrap();
    settle(&place.cx, &mut place.store, asked).unwrap();
    assert_eq!(place.mail().len(), 1, "a call is about to take it");
    assert!(
        matches!(place.wait(asked), Outcome::Taken(note) if note.answer.as_deref() == Some("call"))
    );
    assert!(matches!(place.wait(asked), Outcome::Over(_)), "once");
    settle(&place.cx, &mut place.store, asked).unwrap();
    settle(&place.cx, &mut place.store, asked).unwrap();
    assert_eq!(place.mail().len(), 1, "the call has it");
    assert!(place.answer(asked, "again").is_err(), "the first counts");
}

#[test]
fn an_answer_that_a_call_could_not_give_goes_to_the_inbox_once() {
    let mut place = place();
    for (dies, n) in [(false, 1), (true, 2)] {
        let asked = place.ask(&format!("question {n}")).id;
        let waiter = |root| move |tx: &Tx<'_>| tx.set_note_waiter(asked, root);
        let write = |place: &mut Place, root| {
            place
                .store
                .write(Durability::Process, Budget::Call, waiter(root))
                .unwrap();
        };
        write(&mut place, own());
        place.answer(asked, "yes").unwrap();
        assert!(matches!(place.wait(asked), Outcome::Taken(_)));
        if dies {
            // A process that never was.
            let gone = own().map(|root| crate::domain::terminal::Root {
                start: root.start + 1,
                ..root
            });
            write(&mut place, gone);
            settle(&place.cx, &mut place.store, asked).unwrap();
        } else {
            give_back(&place.cx, &mut place.store, asked).unwrap();
        }
        give_back(&place.cx, &mut place.store, asked).unwrap();
        settle(&place.cx, &mut place.store, asked).unwrap();
        let mail = place.mail();
        assert_eq!(mail.len(), n);
        let said = mail[n - 1].body.contains("already");
        assert_eq!(said, dies, "it may have been read: {}", mail[n - 1].body);
    }
}

#[test]
fn an_answer_whose_due_time_is_lost_is_due_again() {
    let mut place = place();
    let asked = place.ask("lost?").id;
    let Place { cx, store, .. } = &mut place;
    store
        .write(Durability::Process, Budget::Call, |tx| {
            tx.answer_note(asked, "found", "human", clock::now())
        })
        .unwrap();
    recover::rearm(cx, store).unwrap();
    let due = store.read(|tx| tx.is_due(DueKind::Note, &asked.to_string()));
    assert!(due.unwrap());
    settle(cx, store, asked).unwrap();
    recover::rearm(cx, store).unwrap();
    assert_eq!(place.mail().len(), 1);
}

#[test]
fn an_ended_agent_gets_no_answer_and_its_note_stays() {
    let mut place = place();
    let (asked, news) = (
        place.ask("still there?").id,
        place.write(&says("news")).unwrap().id,
    );
    // Nothing runs in the pane of this terminal: an answer finds that out first.
    for id in [asked, news] {
        let Place { cx, store, .. } = &mut place;
        let refused = answer(cx, store, id, "late", &Sender::Human, "cli").unwrap_err();
        assert_eq!(refused.kind(), crate::error::Kind::Refused);
    }
    assert!(place.mail().is_empty());
    let status = |place: &mut Place, id| known(&mut place.store, id).unwrap().status;
    assert_eq!(status(&mut place, asked), NoteStatus::Withdrawn);
    assert_eq!(status(&mut place, news), NoteStatus::Open, "not read yet");
    assert!(matches!(place.wait(asked), Outcome::Over(_)));
}
