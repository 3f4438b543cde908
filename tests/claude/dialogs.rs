//! Dialogs of the agent: nothing is typed into them, and what waits is delivered when they are gone.

use crate::world::{Agent, Trust, World};
use std::thread::sleep;
use std::time::Duration;

/// Moves to the row with this text and presses Enter.
fn choose(world: &World, agent: &Agent<'_>, row: &str) {
    world.until(&format!("the row {row:?} to be chosen"), 10, || {
        let screen = agent.screen();
        let chosen = screen.lines().rfind(|line| line.contains('❯'))?;
        if chosen.contains(row) {
            return Some(());
        }
        agent.keys(&["Down"]);
        sleep(Duration::from_millis(200));
        None
    });
    agent.keys(&["Enter"]);
}

#[test]
fn the_trust_question_is_left_to_the_person() {
    let Some(world) = World::new(Trust::Asked) else {
        return;
    };
    let boss = world.launch("conductor");
    let message = boss.send("SAY: after trust");
    boss.shows("Yes, I trust", 30);
    let before = boss.screen();
    let waited = world.conductor(&["wait", &boss.id, "--for", "idle", "--timeout", "8"]);
    assert_eq!(waited.code(), Some(5), "{:?}", waited.output);
    assert_eq!(boss.screen(), before);
    assert_eq!(boss.status(), "waiting");
    let told = boss.explain();
    assert_eq!(told["screen"], "a trust dialog", "{told}");
    assert!(told["remedy"].as_str().unwrap().contains("trust"), "{told}");
    assert_eq!(told["queue"][0]["status"], "queued", "{told}");

    choose(&world, &boss, "Yes, I trust");
    boss.wait_event("idle", 20);
    let message = world.wait_message(&message, "submitted", 20);
    assert_eq!(message["tries"].as_array().unwrap().len(), 1, "{message}");
    boss.wait_event("idle", 20);
    assert_eq!(world.requests().len(), 1);
}

#[test]
fn nothing_is_typed_into_a_permission_dialog() {
    let Some(world) = World::new(Trust::Given) else {
        return;
    };
    let boss = world.launch("conductor");
    boss.wait_event("idle", 30);

    boss.send("BASH: touch denied");
    boss.wait_event("waiting", 20);
    boss.shows("Do you want to", 10);
    let queued = boss.send("SAY: after no");
    sleep(Duration::from_secs(7));
    assert_eq!(world.message(&queued)["status"], "queued");
    let told = boss.explain();
    assert_eq!(told["status"], "waiting", "{told}");
    assert_eq!(told["queue"][0]["reason"], "DIALOG", "{told}");
    assert_eq!(told["screen"], "a permission dialog", "{told}");
    assert!(!world.work().join("denied").exists());
    boss.shows("Do you want to", 1);
    // Esc says no, and no hook tells.
    boss.keys(&["Escape"]);
    let message = world.wait_message(&queued, "submitted", 30);
    assert_eq!(message["tries"].as_array().unwrap().len(), 1, "{message}");
    boss.wait_event("idle", 20);
    assert!(!world.work().join("denied").exists());

    boss.send("BASH: touch granted && sleep 9\nSAY: it ran");
    boss.wait_event("waiting", 20);
    boss.shows("Do you want to", 10);
    let queued = boss.send("SAY: after yes");
    sleep(Duration::from_secs(1));
    assert_eq!(world.message(&queued)["status"], "queued");
    choose(&world, &boss, "Yes");
    // No hook tells that either before the command is done.
    world
        .conductor(&["wait", &boss.id, "--for", "working", "--timeout", "8"])
        .done();
    let message = world.wait_message(&queued, "submitted", 30);
    assert_eq!(message["transport"], "stop_hook", "{message}");
    boss.wait_event("idle", 20);
    assert!(world.work().join("granted").exists());
    assert_eq!(
        world.conductor(&["output", &boss.id]).done().trim(),
        "after yes"
    );
}
