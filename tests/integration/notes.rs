//! The person as a participant: agents write to `human` and ask, and what the person answers reaches them once.

use crate::failpoints::{arm, armed, world};
use crate::hostile::{HOSTILE, nothing_ran};
use crate::mcp::{answer, by_hand, call};
use crate::popup::Seat;
use crate::support::{Done, World, eventually, text};
use serde_json::{Value, json};

fn notes(world: &World) -> Vec<Value> {
    let list = world.run(["notes"]).json();
    list.as_array().unwrap().clone()
}

fn note(world: &World, id: &str) -> Value {
    let all = notes(world);
    let found = all.iter().find(|note| note["id"] == id).cloned();
    found.unwrap_or_else(|| panic!("no note {id}: {all:?}"))
}

/// Waits until a note is there, and returns its id.
fn written(world: &World, count: usize) -> String {
    eventually("a note is there", || {
        let all = notes(world);
        (all.len() == count).then(|| text(&all[0]["id"]))
    })
}

/// Messages to `id` that carry an answer.
fn mail(world: &World, id: &str) -> Vec<Value> {
    let all = world.run(["inbox", id, "--limit", "100"]).json();
    all.as_array()
        .unwrap()
        .iter()
        .filter(|message| text(&message["body"]).starts_with("Answer to note-"))
        .cloned()
        .collect()
}

/// Waits until exactly one answer has reached the agent, and returns it.
fn one_mail(world: &World, id: &str) -> Value {
    eventually("the answer came as a message", || {
        world.run(["sessions"]).ok();
        let all = mail(world, id);
        assert!(all.len() < 2, "{all:?}");
        all.first().filter(|m| m["status"] == "submitted").cloned()
    })
}

/// Lets the agent ask, and goes on at once.
fn asks(world: &World, id: &str, arguments: &Value) {
    world.send(id, &format!("MCP ask_human {arguments}"));
}

/// What the call returned that the agent made last.
fn result(world: &World, id: &str) -> Value {
    world.wait(id, "idle");
    let said = text(&world.run(["output", id]).json()["output"]);
    serde_json::from_str(&said).unwrap_or_else(|e| panic!("not JSON ({e}): {said}"))
}

#[test]
fn a_note_is_counted_read_and_answered() {
    let seat = Seat::new();
    let (world, id) = (&seat.world, &seat.id);
    world.tmux(["set-option", "-g", "@conductor-notify", "display"]);
    let arguments = json!({"receiver_id": "human", "message": "It is #(touch P) done.", "idempotency_key": "k"});
    let first = world.mcp(id, "send_message", &arguments).unwrap();
    assert_eq!(
        first,
        json!({"success": true, "message_id": "note-1", "status": "queued"})
    );
    assert_eq!(
        world.mcp(id, "send_message", &arguments).unwrap(),
        first,
        "the same key"
    );
    seat.shows("writes (note 1): It is #(touch P) done.");
    seat.press(&["Space"]);
    eventually("it is counted", || {
        let shown = world.tmux(["show-options", "-gv", "@conductor_segment"]);
        (shown == "✎1").then_some(())
    });
    assert_eq!(world.tmux(["show-options", "-gv", "@conductor_notes"]), "1");
    assert_eq!(
        world.run(["notes", "--status", "open"]).json()[0]["id"],
        "1"
    );
    let shown = world.run(["note", "show", "note-1"]).ok();
    assert!(shown.contains("It is #(touch P) done."), "{shown}");
    assert_eq!(note(world, "1")["status"], "seen");
    eventually("it is counted no more", || {
        let shown = world.tmux(["show-options", "-gv", "@conductor_notes"]);
        (shown == "0").then_some(())
    });
    let answered = world
        .person(["note", "answer", "1", "-m", "Well done.", "--json"])
        .json();
    assert_eq!(
        (&answered["status"], &answered["answered_by"]),
        (&"answered".into(), &"human".into())
    );
    let mail = one_mail(world, id);
    assert_eq!(
        (&mail["id"], &mail["sender"]),
        (&answered["message"], &"human".into())
    );
    assert_eq!(
        mail["body"],
        "Answer to note-1 (It is #(touch P) done.): Well done."
    );
    world
        .person(["note", "answer", "1", "-m", "Once more."])
        .fails(4);
    assert_eq!(world.audited("note.answered"), 1);
    nothing_ran(world);
}

#[test]
fn a_call_that_waits_gets_the_answer_itself() {
    let world = World::new();
    let id = world.agent();
    asks(
        &world,
        &id,
        &json!({"question": "Which branch?", "options": ["main", "a new one"]}),
    );
    let asked = written(&world, 1);
    world.person(["note", "answer", &asked, "-m", "b"]).ok();
    let got = result(&world, &id);
    assert_eq!(
        (
            &got["note_id"],
            &got["status"],
            &got["answer"],
            &got["answered_by"]
        ),
        (
            &"note-1".into(),
            &"answered".into(),
            &"a new one".into(),
            &"human".into()
        )
    );
    // What looks after it finds that the call has it.
    std::thread::sleep(std::time::Duration::from_secs(3));
    world.run(["sessions"]).ok();
    assert!(mail(&world, &id).is_empty());
    assert_eq!(note(&world, &asked)["given"], "call");
}

#[test]
fn an_answer_that_comes_late_is_a_message() {
    let world = World::new();
    let id = world.agent();
    let arguments = json!({"question": "How many?", "timeout": 1});
    let pending = world.mcp(&id, "ask_human", &arguments).unwrap();
    assert_eq!(
        (&pending["status"], &pending["answer"]),
        (&"pending".into(), &Value::Null)
    );
    let again = world.mcp(&id, "ask_human", &arguments).unwrap();
    assert_eq!(again["note_id"], pending["note_id"], "it waits on");
    let answered = world
        .run(["note", "answer", "1", "-m", "-"])
        .stdin("three\nor four\n")
        .json();
    assert_eq!(answered["answered_by"], "unverified", "a script");
    let mail = one_mail(&world, &id);
    assert_eq!(mail["sender"], "unverified");
    assert_eq!(
        mail["body"],
        "Answer to note-1 (How many?):\nthree\nor four"
    );
    let fresh = json!({"question": "How many?", "timeout": 0});
    let fresh = world.mcp(&id, "ask_human", &fresh).unwrap();
    assert_eq!(fresh["note_id"], "note-2", "asked anew");
    assert_eq!(world.run(["notes", "--waiting"]).json()[0]["id"], "2");
}

#[test]
fn a_cancelled_call_leaves_the_question() {
    let world = World::new();
    let id = world.agent();
    let first = [call(2, "ask_human", &json!({"question": "Still?"}))];
    let more = [
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 2}}),
        json!({"jsonrpc": "2.0", "id": 3, "method": "ping"}),
    ];
    let out = by_hand(&world, &id, &first, &more, 1);
    assert_eq!(answer(&out, 3)["result"], json!({}));
    assert!(!out.contains("\"id\":2"), "{out}");
    assert_eq!(note(&world, "1")["status"], "open");
    world.run(["note", "answer", "1", "-m", "yes"]).ok();
    one_mail(&world, &id);
}

#[test]
fn an_agent_that_has_ended_gets_no_answer() {
    let world = World::new();
    let id = world.agent();
    world
        .mcp(
            &id,
            "ask_human",
            &json!({"question": "Shall I?", "timeout": 0}),
        )
        .unwrap();
    world.run_in(&id, &["send", "human", "-m", "news"]).ok();
    world.run(["close", &id, "--force"]).ok();
    assert_eq!(note(&world, "1")["status"], "withdrawn");
    assert_eq!(note(&world, "2")["status"], "open", "not read yet");
    for note in ["1", "2"] {
        let refused = world.run(["note", "answer", note, "-m", "x"]).fails(4);
        assert!(refused.contains("has ended"), "{refused}");
    }
    let shown = world.run(["note", "show", "1"]).ok();
    assert!(shown.contains("Shall I?"), "{shown}");
    world.run(["note", "seen", "2"]).ok();
    assert_eq!(world.run(["notes", "--waiting"]).json(), json!([]));
}

#[test]
fn who_is_no_person_answers_nothing_and_who_is_no_agent_writes_nothing() {
    let world = World::new();
    let id = world.agent();
    let sent = world
        .run_in(&id, &["send", "human", "-m", "hello", "--json"])
        .json();
    assert_eq!(
        (&sent["id"], &sent["status"]),
        (&"1".into(), &"open".into())
    );
    for arguments in [&["answer", "1", "-m", "x"][..], &["seen", "1"]] {
        let refused = world.run_in(&id, &[&["note"], arguments].concat()).fails(4);
        assert!(refused.contains("for a person"), "{refused}");
    }
    world.run_in(&id, &["note", "show", "1"]).ok();
    assert_eq!(note(&world, "1")["status"], "open", "no person has read it");
    assert_eq!(world.audited("note.refused"), 2);
    world.person(["send", "human", "-m", "me"]).fails(4);
    world.run(["send", "human", "-m", "script"]).fails(4);
    world
        .run(["send", "human", "-m", "x", "--wait", "1"])
        .fails(2);
    for usage in [
        &["answer", "x", "-m", "y"][..],
        &["answer", "1"],
        &["show", "0"],
    ] {
        world.run([&["note"], usage].concat()).fails(2);
    }
    world.run(["note", "answer", "9", "-m", "y"]).fails(3);
    world.run(["notes", "--status", "odd"]).fails(2);
    let refused = world
        .mcp(
            &id,
            "ask_human",
            &json!({"question": "x", "options": ["a", "a"]}),
        )
        .unwrap_err();
    assert!(refused.contains("twice"), "{refused}");
    assert_eq!(notes(&world).len(), 1);
}

/// Runs an answer that dies at `point`.
fn dies(world: &World, point: &str) -> Done {
    let run = world.run(["note", "answer", "1", "-m", "yes"]);
    run.env("CONDUCTOR_FAILPOINT", point).done()
}

#[test]
fn an_answer_is_never_lost_and_never_comes_twice_whoever_dies() {
    for point in ["note.before_answer", "note.answered"] {
        for waits in [false, true] {
            let (world, id) = world();
            let timeout = if waits { 20 } else { 0 };
            let arguments = json!({"question": "Shall I?", "timeout": timeout});
            asks(&world, &id, &arguments);
            written(&world, 1);
            if waits {
                // It has begun to wait.
                std::thread::sleep(std::time::Duration::from_millis(500));
            } else {
                world.wait(&id, "idle");
            }
            assert_eq!(dies(&world, point).code, 137, "{point}");
            let again = world.run(["note", "answer", "1", "-m", "yes"]).done();
            let stored = point == "note.answered";
            assert_eq!(again.code, if stored { 4 } else { 0 }, "{point}: {again:?}");
            if waits {
                assert_eq!(result(&world, &id)["answer"], "yes", "{point}");
                std::thread::sleep(std::time::Duration::from_secs(3));
                world.run(["sessions"]).ok();
                assert!(mail(&world, &id).is_empty(), "{point}");
            } else {
                one_mail(&world, &id);
            }
        }
    }
}

#[test]
fn an_answer_that_a_killed_server_took_comes_again_and_says_so() {
    let (world, id) = world();
    arm(&world, "note.taken");
    asks(&world, &id, &json!({"question": "Shall I?", "timeout": 20}));
    written(&world, 1);
    std::thread::sleep(std::time::Duration::from_millis(500));
    world.run(["note", "answer", "1", "-m", "yes"]).ok();
    eventually("the server died", || (!armed(&world)).then_some(()));
    // Who brings it to the inbox dies as well.
    arm(&world, "note.given");
    let mail = one_mail(&world, &id);
    assert!(!armed(&world), "note.given was never reached");
    assert!(text(&mail["body"]).contains("already"), "{mail}");
    let now = note(&world, "1");
    assert_eq!(
        (&now["given"], &now["message"]),
        (&"inbox".into(), &mail["id"])
    );
}

#[test]
fn a_wait_that_fails_leaves_the_answer_to_the_inbox() {
    let (world, id) = world();
    arm(&world, "note.look=error");
    let arguments = json!({"question": "Shall I?"});
    let error = world.mcp(&id, "ask_human", &arguments).unwrap_err();
    assert!(error.contains("note.look"), "{error}");
    world.run(["note", "answer", "1", "-m", "yes"]).ok();
    one_mail(&world, &id);
    // Whoever writes and dies has written, and the same key writes nothing more.
    let point = "note.written";
    let line = "\"$CONDUCTOR_HOOK\" send human -m news --key k";
    let died = world.shell(&id, &format!("CONDUCTOR_FAILPOINT={point} {line}"));
    assert_eq!(died.code, 137, "{died:?}");
    world.shell(&id, line).ok();
    assert_eq!(notes(&world).len(), 2);
}

/// A person whose status line shows what it says until a key is pressed.
fn seat() -> Seat {
    let seat = Seat::new();
    seat.world.tmux(["set-option", "-g", "display-time", "0"]);
    seat.world
        .tmux(["set-option", "-g", "@conductor-notify", "none"]);
    seat
}

/// Waits until the status line says `what`, and dismisses it.
fn is_told(seat: &Seat, what: &str) {
    seat.shows(what);
    seat.press(&["Space"]);
    eventually("it is gone", || {
        (!seat.screen().contains(what)).then_some(())
    });
}

/// Opens the menu of the key `m`.
fn open_menu(seat: &Seat) -> String {
    seat.conductor("m");
    seat.shows("Message an agent")
}

#[test]
fn a_person_writes_to_an_agent_by_key_whatever_is_typed() {
    let seat = seat();
    let (world, id) = (&seat.world, &seat.id);
    let pane = text(&world.status(id)["pane"]);
    world.tmux(["rename-window", "-t", &pane, "w##(touch P)'\"$(touch P)%H"]);
    // What is invisible is stored as the name of its characters.
    let seen = HOSTILE.iter().filter(|text| !text.contains('\u{202e}'));
    for (at, typed) in seen.enumerate() {
        // Keys that a terminal would not send.
        let typed: String = typed.chars().filter(|c| !c.is_control()).collect();
        let screen = open_menu(&seat);
        assert!(screen.contains("w#(touch P)'\"$(touch P)%H"), "{screen}");
        seat.press(&["a"]);
        seat.shows(&format!("Message for {id}:"));
        // A last `;` would end the command of the tmux that types.
        let keys = match typed.strip_suffix(';') {
            Some(before) => format!("SAY {before}\\;"),
            None => format!("SAY {typed}"),
        };
        seat.press(&["-l", &keys]);
        seat.press(&["Enter"]);
        is_told(&seat, &format!("message {} to {id} is", at + 1));
        let had = eventually("the agent has it", || {
            let all = world.run(["inbox", id, "--status", "submitted"]).json();
            let all = all.as_array().unwrap().clone();
            (all.len() == at + 1).then(|| all[0].clone())
        });
        assert_eq!(
            (&had["sender"], &had["body"]),
            (&"human".into(), &format!("SAY {typed}").into())
        );
        world.wait(id, "idle");
    }
    let left = world.try_tmux(["show-options", "-gqv", "@conductor_in"]);
    assert_eq!(left.stdout, "", "what was typed is forgotten");
    // Nothing typed sends nothing.
    open_menu(&seat);
    seat.press(&["a"]);
    seat.shows("Message for");
    seat.press(&["Enter"]);
    is_told(&seat, "nothing was typed");
    // What is refused comes again, as it was typed.
    open_menu(&seat);
    seat.press(&["a"]);
    seat.shows("Message for");
    world.run(["close", id]).ok();
    let lost = "#(touch P) 'a' %H $(touch P)";
    seat.press(&["-l", lost]);
    seat.press(&["Enter"]);
    is_told(&seat, "has ended");
    seat.shows(&format!("Message for {id}: {lost}"));
    let left = world.try_tmux(["show-options", "-gqv", "@conductor_in"]);
    assert_eq!(left.stdout, "", "it is in the prompt alone");
    nothing_ran(world);
}

#[test]
fn a_person_answers_by_key() {
    let seat = seat();
    let (world, id) = (&seat.world, &seat.id);
    let body = HOSTILE.join("\n");
    let arguments = json!({"question": body, "options": ["plain", HOSTILE[1], HOSTILE[3]]});
    asks(world, id, &arguments);
    written(world, 1);
    let screen = open_menu(&seat);
    assert!(screen.contains("question conductor"), "{screen}");
    seat.press(&["1"]);
    seat.shows("Answer in words");
    seat.press(&["r"]);
    seat.shows("-t evil ; kill-server ;");
    // Keys of the first moments mean nothing.
    std::thread::sleep(std::time::Duration::from_millis(700));
    seat.press(&["q"]);
    eventually("it is marked as seen", || {
        (note(world, "1")["status"] == "seen").then_some(())
    });
    seat.shows("inbox:");
    seat.press(&["q"]);
    eventually("the popup is closed", || {
        (!seat.screen().contains("inbox:")).then_some(())
    });
    open_menu(&seat);
    seat.press(&["1"]);
    seat.shows("Answer in words");
    seat.press(&["3"]);
    let got = result(world, id);
    assert_eq!(
        (&got["answer"], &got["answered_by"]),
        (&HOSTILE[3].into(), &"human".into())
    );
    is_told(&seat, "note 1 is answered");
    asks(world, id, &json!({"question": "And now?"}));
    written(world, 2);
    open_menu(&seat);
    seat.press(&["1"]);
    seat.shows("Answer in words");
    seat.press(&["w"]);
    seat.shows("Answer to note 2:");
    seat.press(&["-l", HOSTILE[2]]);
    seat.press(&["Enter"]);
    is_told(&seat, "note 2 is answered");
    assert_eq!(result(world, id)["answer"], HOSTILE[2]);
    nothing_ran(world);
}

#[test]
fn a_key_of_no_person_speaks_for_nobody() {
    let seat = seat();
    let (world, id) = (&seat.world, &seat.id);
    let client = world.tmux(["list-clients", "-F", "#{client_name}"]);
    world.run_in(id, &["send", "human", "-m", "hello"]).ok();
    world.tmux(["set-option", "-g", "@conductor_in", "07 forged"]);
    for arguments in [
        &["message", &client, id, "07"][..],
        &["note", &client, "1", "typed", "07"],
    ] {
        world.run_in(id, &[&["menu"], arguments].concat()).fails(4);
    }
    // Nor does it take the person anywhere, start anything, or hide what others wrote.
    let home = seat.world.tmux(["list-clients", "-F", "#{pane_id}"]);
    for arguments in [
        &["next", &client][..],
        &["seen", &client],
        &["back", &client],
        &["spawn", &client, "demo", "session"],
        &["agent", &client, id, "go"],
        &["agent", &client, id, "close"],
        &["stop", &client],
        &["help", &client],
    ] {
        world.run_in(id, &[&["menu"], arguments].concat()).fails(4);
    }
    assert_eq!(world.tmux(["list-clients", "-F", "#{pane_id}"]), home);
    let error = world.run(["menu", "message", "nobody", id, "07"]).fails(3);
    assert!(error.contains("no client"), "{error}");
    assert_eq!(note(world, "1")["status"], "open");
    assert!(mail(world, id).is_empty());
    assert_eq!(world.audited("menu.refused"), 10);
    // Another prompt's line is not sent.
    world.run(["menu", "message", &client, id, "08"]).fails(1);
    seat.shows("type it again");
}
