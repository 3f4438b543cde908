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
