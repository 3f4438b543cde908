//! What could come between a text and its Enter, and bodies that the input box has a meaning of its own for.

use crate::world::{Agent, Trust, World};
use serde_json::Value;
use std::thread::sleep;
use std::time::Duration;

fn answers(world: &World) -> Vec<String> {
    world
        .requests()
        .iter()
        .filter_map(|request| request["answer"]["text"].as_str().map(str::to_owned))
        .collect()
}

fn mode(world: &World, agent: &Agent<'_>) -> String {
    let format = "#{pane_in_mode}";
    world
        .tmux(&["display-message", "-p", "-t", &agent.pane, format])
        .trim()
        .to_owned()
}

/// Lets a second and a half pass between a text and its Enter.
fn slow_enter(world: &World) {
    let manifest = include_str!("../../agent_store/providers/claude_code.toml");
    let slow = manifest.replace("enter_ms = 300", "enter_ms = 1500");
    assert_ne!(slow, manifest);
    let dir = world.state().join("providers");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("claude_code.toml"), slow).unwrap();
}

/// Sends a text, and does this to the pane when the text stands there and its Enter has not come.
fn between(world: &World, agent: &Agent<'_>, text: &str, interfere: &[&str]) -> String {
    let before = world.requests().len();
    let id = agent.send(text);
    agent.shows(&format!("❯\u{a0}[conductor #{id} from"), 5);
    world.tmux(interfere);
    assert_eq!(world.requests().len(), before, "the Enter was too early");
    id
}

fn tries(message: &Value) -> usize {
    message["tries"].as_array().unwrap().len()
}

#[test]
fn a_mode_of_the_pane_is_left_to_the_person() {
    let Some(world) = World::new(Trust::Given) else {
        return;
    };
    slow_enter(&world);
    world.conductor(&["plugin", "load"]).done();
    let boss = world.launch("conductor");
    boss.wait_event("idle", 30);
    boss.shows("for shortcuts", 10);

    world.tmux(&["copy-mode", "-t", &boss.pane]);
    let queued = boss.send("SAY: after the mode");
    assert_eq!(boss.explain()["queue"][0]["reason"], "COPY_MODE");
    sleep(Duration::from_secs(2));
    assert_eq!(world.message(&queued)["status"], "queued");
    assert_eq!(mode(&world, &boss), "1");
    world.tmux(&["send-keys", "-X", "-t", &boss.pane, "cancel"]);
    world.wait_message(&queued, "submitted", 5);
    boss.wait_event("idle", 20);

    // Entered after the paste: the Enter is held back, and sent when the mode is left.
    let late = between(
        &world,
        &boss,
        "SAY: the Enter was late",
        &["copy-mode", "-t", &boss.pane],
    );
    sleep(Duration::from_secs(1));
    assert_eq!(world.message(&late)["status"], "placed");
    assert_eq!(mode(&world, &boss), "1");
    world.tmux(&["send-keys", "-X", "-t", &boss.pane, "cancel"]);
    let message = world.wait_message(&late, "submitted", 5);
    assert_eq!(tries(&message), 1, "{message}");
    boss.wait_event("idle", 20);
    assert_eq!(answers(&world), ["after the mode", "the Enter was late"]);
}

#[test]
fn bodies_that_the_input_box_has_a_meaning_for_are_text() {
    let Some(world) = World::new(Trust::Given) else {
        return;
    };
    std::fs::write(world.work().join("notes.md"), "not to be read").unwrap();
    let boss = world.launch("conductor");
    boss.wait_event("idle", 30);
    for body in [
        "!touch pwned",
        "/exit",
        "/clear",
        "# keep this in mind",
        "see @not",
        "read @notes.md",
        "it is in C:\\dir\\",
        "?",
    ] {
        let id = boss.send(body);
        let message = world.wait_message(&id, "submitted", 20);
        assert_eq!(tries(&message), 1, "{message}");
        boss.wait_event("idle", 20);
        let heard = world.heard().pop().unwrap();
        let plain = format!("[conductor #{id} from unverified (peer)] {body}\n");
        let framed = format!("\n{body}\n[end of conductor #{id} tag ");
        assert!(heard.contains(&plain) || heard.contains(&framed), "{heard}");
    }
    let last = world.bodies().pop().unwrap().to_string();
    assert!(!last.contains("not to be read"));
    assert!(!world.work().join("pwned").exists());
}

#[test]
fn an_enter_that_was_swallowed_is_sent_again() {
    let Some(world) = World::new(Trust::Given) else {
        return;
    };
    slow_enter(&world);
    let boss = world.launch("conductor");
    boss.wait_event("idle", 30);
    boss.shows("for shortcuts", 10);
    // Behind a backslash the agent takes Enter for a line break.
    let backslash = ["send-keys", "-t", &boss.pane, "-l", "\\"];
    let id = between(&world, &boss, "SAY: after a second Enter", &backslash);
    sleep(Duration::from_secs(3));
    assert_eq!(world.message(&id)["status"], "placed");
    assert!(world.requests().is_empty());
    let message = world.wait_message(&id, "submitted", 10);
    assert_eq!(tries(&message), 1, "{message}");
    boss.wait_event("idle", 20);
    assert_eq!(answers(&world), ["after a second Enter"]);
}

#[test]
fn an_escape_loses_and_doubles_nothing() {
    let Some(world) = World::new(Trust::Given) else {
        return;
    };
    slow_enter(&world);
    let boss = world.launch("conductor");
    boss.wait_event("idle", 30);
    boss.shows("for shortcuts", 10);

    // Between a text and its Enter.
    let escape = ["send-keys", "-t", &boss.pane, "Escape"];
    let id = between(&world, &boss, "SAY: in spite of Esc", &escape);
    let message = world.wait_message(&id, "submitted", 20);
    assert_eq!(tries(&message), 1, "{message}");
    boss.wait_event("idle", 20);

    // In a turn that goes on with one message while another one waits.
    boss.send("SLOW: 3\nSAY: begun");
    boss.wait_event("working", 10);
    let second = boss.send("SLOW: 60");
    let third = boss.send("SAY: after Esc");
    let message = world.wait_message(&second, "placed", 20);
    assert_eq!(message["transport"], "stop_hook", "{message}");
    sleep(Duration::from_secs(3));
    boss.keys(&["Escape"]);
    let message = world.wait_message(&third, "submitted", 40);
    assert_eq!(tries(&message), 1, "{message}");
    boss.wait_event("idle", 20);
    assert_eq!(
        answers(&world),
        ["in spite of Esc", "begun", "done: slept 60 s", "after Esc"]
    );
    let message = world.message(&second);
    assert_eq!(message["status"], "submitted", "{message}");
    assert_eq!(tries(&message), 1, "{message}");
}
