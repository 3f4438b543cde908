//! Turns that end otherwise than well.

use crate::world::{Trust, World};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Waits until the model streams its answer to request `number`.
fn streams(world: &World, number: usize) {
    world.until("the model to stream", 10, || {
        (world.requests().len() >= number).then_some(())
    });
    sleep(Duration::from_secs(2));
}

#[test]
fn an_interrupted_turn_is_noticed_and_what_waits_is_delivered() {
    let Some(world) = World::new(Trust::Given) else {
        return;
    };
    let boss = world.launch("conductor");
    boss.wait_event("idle", 30);

    // Somebody waits: one look at the screen tells.
    boss.send("SLOW: 60");
    boss.wait_event("working", 10);
    streams(&world, 1);
    boss.keys(&["Escape"]);
    let begun = Instant::now();
    world
        .conductor(&["wait", &boss.id, "--for", "idle", "--timeout", "13"])
        .done();
    eprintln!("idle {} ms after Esc", begun.elapsed().as_millis());
    let told = boss.explain();
    assert_eq!(
        (told["status"].as_str(), told["source"].as_str()),
        (Some("idle"), Some("screen"))
    );

    // Nobody waits but a message.
    boss.send("SLOW: 60\nSAY: never");
    boss.wait_event("working", 10);
    streams(&world, 2);
    let queued = boss.send("SAY: after Esc");
    sleep(Duration::from_millis(500));
    assert_eq!(world.message(&queued)["status"], "queued");
    boss.keys(&["Escape"]);
    let begun = Instant::now();
    let message = world.wait_message(&queued, "submitted", 25);
    eprintln!("submitted {} ms after Esc", begun.elapsed().as_millis());
    assert_eq!(message["tries"].as_array().unwrap().len(), 1, "{message}");
    boss.wait_event("idle", 20);
    assert_eq!(
        world.conductor(&["output", &boss.id]).done().trim(),
        "after Esc"
    );
}

#[test]
fn a_failed_turn_is_an_error_and_the_next_one_works() {
    let Some(world) = World::new(Trust::Given) else {
        return;
    };
    let boss = world.launch("conductor");
    boss.wait_event("idle", 30);
    let failing = boss.send("FAIL: 400 50");
    let terminal = boss.wait("error", 30);
    let reason = terminal["status_reason"].as_str().unwrap();
    assert!(reason.contains("the turn failed: "), "{reason}");
    assert_eq!(world.message(&failing)["status"], "submitted");
    let next = boss.send("SAY: works again");
    world.wait_message(&next, "submitted", 20);
    boss.wait_event("idle", 20);
    assert_eq!(
        world.conductor(&["output", &boss.id]).done().trim(),
        "works again"
    );
}

#[test]
fn an_exit_by_the_person_ends_the_terminal() {
    let Some(world) = World::new(Trust::Given) else {
        return;
    };
    let boss = world.launch("conductor");
    boss.wait_event("idle", 30);
    boss.shows("for shortcuts", 10);
    boss.keys(&["-l", "/exit"]);
    sleep(Duration::from_secs(1));
    boss.keys(&["Enter"]);
    let terminal = boss.wait("exited", 20);
    assert_eq!(
        terminal["status_reason"],
        "the agent ended: prompt_input_exit"
    );
    assert!(!terminal["ended_at"].is_null());
    world.until("everything to end", 2, || {
        world.running().is_empty().then_some(())
    });
    let refused = world.conductor(&["send", &boss.id, "-m", "too late"]);
    assert_eq!(refused.code(), Some(4), "{:?}", refused.output);
}

#[test]
fn a_prompt_that_was_taken_back_is_a_draft() {
    let Some(world) = World::new(Trust::Given) else {
        return;
    };
    let boss = world.launch("conductor");
    boss.wait_event("idle", 30);
    boss.send("SLOW: 60");
    boss.wait_event("working", 10);
    // Before the answer begins, Esc puts the prompt back into the box.
    boss.keys(&["Escape"]);
    let queued = boss.send("SAY: after the draft");
    world
        .conductor(&["wait", &boss.id, "--for", "idle", "--timeout", "13"])
        .done();
    world.until("the draft to be named", 10, || {
        (boss.explain()["queue"][0]["reason"] == "DRAFT").then_some(())
    });
    assert_eq!(boss.explain()["screen"], "a draft in the input box");
    boss.keys(&["C-u"]);
    let message = world.wait_message(&queued, "submitted", 25);
    let tries = message["tries"].as_array().unwrap();
    let (last, refused) = tries.split_last().unwrap();
    assert_eq!(last["outcome"], "submitted", "{message}");
    assert!(
        refused.iter().all(|one| one["outcome"] == "refused"),
        "{message}"
    );
    boss.wait_event("idle", 10);
    let heard = world.heard().pop().unwrap();
    assert!(!heard.contains("SLOW"), "{heard}");
}

#[test]
fn a_turn_is_seen_where_the_footer_does_not_speak_of_it() {
    let Some(world) = World::new(Trust::Given) else {
        return;
    };
    world.home_file(".claude/settings.json", r#"{"editorMode":"vim"}"#);
    let boss = world.launch("conductor");
    boss.wait_event("idle", 30);
    boss.shows("-- INSERT --", 10);
    boss.send("SLOW: 11\nSAY: done at last");
    boss.wait_event("working", 10);
    let queued = boss.send("SAY: next");
    let waited = world.conductor(&["wait", &boss.id, "--for", "idle", "--timeout", "8"]);
    assert_eq!(waited.code(), Some(5), "{:?}", waited.output);
    let message = world.wait_message(&queued, "submitted", 20);
    assert_eq!(message["transport"], "stop_hook", "{message}");
}

#[test]
fn nothing_is_pasted_where_no_hook_would_prove_it() {
    let Some(world) = World::new(Trust::Given) else {
        return;
    };
    // Settings of the agent's user do not silence our hooks, arguments of whoever launches it do.
    world.home_file(".claude/settings.json", r#"{"disableAllHooks":true}"#);
    let heard = world.launch("conductor");
    heard.wait_event("idle", 30);
    let off = r#"{"disableAllHooks":true}"#;
    let launch = [
        "--json",
        "launch",
        "-p",
        "claude_code",
        "--",
        "--settings",
        off,
    ];
    let session = world.conductor(&launch).json();
    let boss = world.agent(&session["terminals"][0]);
    let queued = boss.send("SAY: never");
    let told = world.until("the silence to be named", 30, || {
        Some(boss.explain()).filter(|told| told["queue"][0]["reason"] == "HOOKS_SILENT")
    });
    assert_eq!(
        (&told["source"], &told["hooks_alive"]),
        (&"screen".into(), &false.into())
    );
    assert!(
        told["remedy"].as_str().unwrap().contains("disableAllHooks"),
        "{told}"
    );
    assert_eq!(world.message(&queued)["status"], "queued");
    assert!(world.requests().is_empty());
}
