//! `resume`: an ended agent's conversation goes on in the same terminal.

use super::world;
use crate::delivery::bodies;
use crate::support::{World, eventually, text};
use serde_json::Value;
use std::fs;

/// The arguments of the process in a terminal's pane.
fn arguments(world: &World, id: &str) -> Vec<String> {
    let pid = world.pane_pid(id);
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    String::from_utf8(line)
        .unwrap()
        .split('\0')
        .map(str::to_owned)
        .collect()
}

fn resume(world: &World, id: &str) -> Value {
    let before = world.status(id);
    let resumed = world.run(["resume", id]).json();
    for field in [
        "id",
        "agent_session",
        "profile",
        "role",
        "cwd",
        "created_at",
        "session",
    ] {
        assert_eq!(resumed[field], before[field], "{field}");
    }
    for field in ["ended_at", "exit_code"] {
        assert_eq!(resumed[field], Value::Null, "{field}");
    }
    world.wait(id, "idle");
    let arguments = arguments(world, id);
    let at = arguments.iter().position(|word| word == "--resume");
    assert_eq!(
        arguments.get(at.unwrap() + 1),
        Some(&text(&before["agent_session"])),
        "{arguments:?}"
    );
    resumed
}

#[track_caller]
fn says(world: &World, id: &str, what: &str) {
    let sent = world.send(id, &format!("SAY {what}"));
    world.message_becomes(&text(&sent["id"]), "submitted");
    world.wait(id, "idle");
    assert_eq!(bodies(world, id).last(), Some(&format!("SAY {what}")));
}

#[test]
fn an_agent_goes_on_where_it_was() {
    let world = World::new();
    let team = world.launch(&["developer"]);
    let id = &team.workers[0];
    says(&world, id, "one");
    world.run(["close", id]).ok();
    world.run(["send", id, "-m", "SAY lost"]).fails(4);
    let resumed = resume(&world, id);
    assert_eq!(resumed["session"], "work");
    assert_eq!(world.status(id)["unread"], 0);
    says(&world, id, "two");
    assert_eq!(bodies(&world, id), ["SAY one", "SAY two"]);
    assert_eq!(world.audited("terminal.resumed"), 1);
    // And its gate, its MCP server and its environment are there again.
    assert_eq!(
        world
            .shell(id, "echo $CONDUCTOR_TERMINAL_ID $CONDUCTOR_SESSION")
            .ok(),
        format!("{id} work\n")
    );
    let listed = world
        .mcp(id, "list_terminals", &serde_json::json!({}))
        .unwrap();
    assert_eq!(listed["terminals"].as_array().unwrap().len(), 2, "{listed}");
    // More than once.
    world.run(["close", id]).ok();
    resume(&world, id);
    says(&world, id, "three");
}

/// Ends the tmux server; a client that comes while it ends would be cut off.
fn kill_server(world: &World) {
    world.tmux(["kill-server"]);
    eventually("the server is gone", || {
        let said = world.try_tmux(["list-sessions"]).stderr;
        (said.contains("no server running") || said.contains("error connecting")).then_some(())
    });
}

#[test]
fn its_session_is_made_again_where_it_is_gone() {
    let world = World::new();
    let id = world.agent();
    says(&world, &id, "one");
    world.run(["close", &id]).ok();
    assert_eq!(
        world.tmux(["list-sessions", "-F", "#{session_name}"]),
        "home"
    );
    resume(&world, &id);
    let sessions = world.tmux(["list-sessions", "-F", "#{session_name}"]);
    assert_eq!(sessions, "home\nwork");
    says(&world, &id, "two");
    world.run(["close", &id]).ok();
    // The server too.
    kill_server(&world);
    world.start_server();
    resume(&world, &id);
    says(&world, &id, "three");
    kill_server(&world);
    eventually("its end is seen", || {
        (world.status(&id)["status"] == "exited").then_some(())
    });
    // Without a server that anybody started.
    resume(&world, &id);
    says(&world, &id, "four");
}

#[test]
fn messages_that_its_end_buried_can_be_tried_again() {
    let world = World::new();
    let id = world.agent();
    says(&world, &id, "one");
    let pane = text(&world.status(&id)["pane"]);
    world.tmux(["copy-mode", "-t", &pane]);
    let waiting = text(&world.send(&id, "SAY kept")["id"]);
    world.run(["close", &id]).ok();
    assert_eq!(world.message(&waiting)["status"], "dead");
    resume(&world, &id);
    world.run(["inbox", "retry", &waiting]).ok();
    world.message_becomes(&waiting, "submitted");
    world.wait(&id, "idle");
    assert_eq!(bodies(&world, &id), ["SAY one", "SAY kept"]);
}

#[test]
fn an_agent_that_never_had_a_prompt_begins_anew() {
    let world = World::new();
    let id = world.agent();
    let before = text(&world.status(&id)["agent_session"]);
    world.run(["close", &id]).ok();
    let resumed = world.run(["resume", &id]).json();
    assert_ne!(text(&resumed["agent_session"]), before);
    world.wait(&id, "idle");
    let arguments = arguments(&world, &id);
    assert!(!arguments.contains(&"--resume".to_owned()), "{arguments:?}");
    says(&world, &id, "one");
}

#[test]
fn what_cannot_be_taken_up_is_refused() {
    let world = world();
    let id = world.agent();
    world.run(["resume", &id]).fails(4);
    world.run(["resume", "ffffffff"]).fails(3);
    let hand = world
        .run(["launch", "-p", "hand", "--session", "mine"])
        .json();
    let hand = text(&hand["terminals"][0]["id"]);
    world.run(["close", &hand]).ok();
    let told = world.run(["resume", &hand]).fails(4);
    assert!(told.contains("cannot take up"), "{told}");
    assert_eq!(world.status(&hand)["status"], "exited");
    // Its directory.
    let project = world.at("elsewhere");
    fs::create_dir(&project).unwrap();
    let other = world
        .run(["worker", "work", "--cwd", &project.to_string_lossy()])
        .json();
    let other = text(&other["id"]);
    world.run(["close", &other]).ok();
    fs::remove_dir(&project).unwrap();
    let told = world.run(["resume", &other]).fails(4);
    assert!(told.contains("elsewhere"), "{told}");
    assert_eq!(world.status(&other)["status"], "exited");
}

/// A terminal that is older than a start may take is judged by when it was begun again.
#[test]
fn others_that_look_meanwhile_do_not_end_it() {
    let world = World::new();
    let launched = world
        .run(["launch", "-p", "demo", "--session", "work"])
        .env("CONDUCTOR_CLOCK_SKEW", "-3600000")
        .json();
    let id = text(&launched["terminals"][0]["id"]);
    world.wait(&id, "idle");
    world.run(["close", &id]).ok();
    for _ in 0..3 {
        let resuming = world.run(["resume", &id, "--json"]).start();
        for _ in 0..20 {
            world.run(["sessions"]).ok();
        }
        resuming.done().ok();
        world.wait(&id, "idle");
        world.run(["close", &id]).ok();
    }
}

#[test]
fn two_that_resume_at_once_start_one() {
    let world = World::new();
    let id = world.agent();
    world.run(["close", &id]).ok();
    let runs: Vec<_> = (0..4).map(|_| world.run(["resume", &id]).start()).collect();
    let codes: Vec<i32> = runs.into_iter().map(|run| run.done().code).collect();
    assert_eq!(
        codes.iter().filter(|code| **code == 0).count(),
        1,
        "{codes:?}"
    );
    assert!(codes.iter().all(|code| [0, 4].contains(code)), "{codes:?}");
    world.wait(&id, "idle");
    let agents = world
        .processes()
        .iter()
        .filter(|p| p.command.starts_with("conductor-demo"))
        .count();
    assert_eq!(agents, 1);
}
