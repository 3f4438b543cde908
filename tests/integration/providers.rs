//! Agent programs: what is known of them, setting them up, taking them in, taking them up again, and those that have no hooks.

mod adopting;
mod generic;
mod resuming;
mod settings;

use crate::support::{BINARY, World, eventually, text};
use serde_json::Value;
use std::fs;

/// A person's own manifest of the demo agent as a program of which only the screen is known.
const HAND: &str = r#"
name = "hand"
title = "Demo agent without hooks"
program = "conductor-demo"
dialect = "none"

[launch]

[submit]
inline_chars = 700
enter_ms = 10
quiet_ms = 5
prompt_row = "^demo>.?$"

[screen]
idle = "(?m)^demo>.?$"
working = "esc to interrupt"
draft = "(?m)^demo> .+"
"#;

/// A world that knows the provider `hand`.
fn world() -> World {
    let world = World::new();
    world.run(["init"]).ok();
    world.write("state/providers/hand.toml", HAND);
    std::os::unix::fs::symlink(BINARY, world.at("bin/conductor-demo")).unwrap();
    world
}

/// A built-in manifest whose lines for these keys say something else.
fn changed(manifest: &str, changes: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for line in manifest.lines() {
        let key = line.split_once(" = ").map_or("", |(key, _)| key);
        match changes.iter().find(|(name, _)| *name == key) {
            Some((name, value)) => text.push_str(&format!("{name} = {value}\n")),
            None => text.push_str(&format!("{line}\n")),
        }
    }
    text
}

/// A pane of the person's with a shell in it.
fn shell(world: &World) -> String {
    world.tmux([
        "new-window",
        "-d",
        "-P",
        "-F",
        "#{pane_id}",
        "-t",
        "home:",
        "/bin/sh",
    ])
}

/// Types a line into a pane.
fn type_in(world: &World, pane: &str, line: &str) {
    world.tmux(["send-keys", "-t", pane, "-l", line]);
    world.tmux(["send-keys", "-t", pane, "Enter"]);
}

/// Waits until a text is on a pane's screen.
#[track_caller]
fn shows(world: &World, pane: &str, what: &str) {
    eventually(&format!("{what:?} is on the screen"), || {
        let screen = world.tmux(["capture-pane", "-p", "-J", "-t", pane]);
        screen.contains(what).then_some(())
    });
}

/// A value of a pane.
fn of_pane(world: &World, pane: &str, format: &str) -> String {
    world.tmux(["display-message", "-p", "-t", pane, format])
}

/// Our options of a pane.
fn options(world: &World, pane: &str) -> String {
    let all = world.tmux(["show-options", "-p", "-t", pane]);
    let ours: Vec<&str> = all
        .lines()
        .filter(|line| line.contains("@conductor"))
        .collect();
    ours.join("\n")
}

/// Waits until a message is left as placed: nothing will prove it, and nothing waits for it.
#[track_caller]
fn left_as_placed(world: &World, message: &Value) -> Value {
    let id = text(&message["id"]);
    eventually(&format!("message {id} is left as placed"), || {
        world.run(["sessions"]).ok();
        let receiver = text(&world.message(&id)["receiver"]);
        let unread = world.status(&receiver)["unread"].clone();
        let message = world.message(&id);
        (message["status"] == "placed" && unread == 0).then_some(message)
    })
}

/// The prompts that the demo agent that a person started by hand got.
fn prompts(world: &World) -> Vec<String> {
    let log = fs::read_to_string(world.at("demo.log")).unwrap_or_default();
    log.lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["event"] == "prompt")
        .map(|line| text(&line["text"]))
        .collect()
}
