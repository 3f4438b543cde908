//! Several tmux servers with one state, and sessions that are started or written to at the same moment.

use crate::support::{World, text};
use serde_json::Value;

fn receivers(sent: &Value) -> Vec<String> {
    let sent = sent.as_array().unwrap();
    sent.iter()
        .map(|message| text(&message["receiver"]))
        .collect()
}

/// The error is "not found", and its hint names the server at `socket`.
#[track_caller]
fn points_to(said: &str, socket: &str) {
    assert!(said.contains("lives on the tmux server at"), "{said}");
    assert!(
        said.contains(&format!("hint: give -S {socket}\n")),
        "{said}"
    );
}

#[test]
fn a_session_is_looked_for_on_the_server_that_was_named() {
    let world = World::new();
    let other = world.at("other").to_string_lossy().into_owned();
    let here = world.socket().to_string_lossy().into_owned();
    let launch = |socket: &str, name: &str| {
        let arguments = ["-S", socket, "launch", "-p", "demo", "--session", name];
        let launched = world.run(arguments).json();
        let id = text(&launched["terminals"][0]["id"]);
        world.wait(&id, "idle");
        id
    };
    let first = launch(&here, "twin");
    let second = launch(&other, "twin");
    let only = launch(&other, "only");

    for (socket, id) in [(&here, &first), (&other, &second)] {
        let shown = world.run(["-S", socket, "session", "twin"]).json();
        assert_eq!(shown["server"], **socket);
        assert_eq!(text(&shown["terminals"][0]["id"]), *id);
    }
    let shown = world.run(["session", "only"]).json();
    assert_eq!(shown["server"], *other, "where it lives, if not here");

    points_to(
        &world.run(["shutdown", "--session", "only"]).fails(3),
        &other,
    );
    points_to(
        &world.run(["broadcast", "only", "-m", "x"]).fails(3),
        &other,
    );
    assert_eq!(world.run(["inbox"]).json(), serde_json::json!([]));
    assert_eq!(world.status(&only)["status"], "idle");

    let ended = world.run(["-S", &other, "shutdown", "--session", "only"]);
    assert_eq!(text(&ended.json()[0]["id"]), only);
    let again = world.run(["shutdown", "--session", "only"]).ok();
    assert_eq!(again, "nothing to end\n", "a session that lives nowhere");
    world
        .run(["-S", &other, "shutdown", "--session", "twin"])
        .ok();
    assert_eq!(world.status(&first)["status"], "idle");
}

#[test]
fn of_those_who_start_the_same_session_one_does() {
    let world = World::new();
    let arguments = ["launch", "-p", "demo", "--session", "same"];
    let runs: Vec<_> = (0..4).map(|_| world.run(arguments).start()).collect();
    let mut started = 0;
    for done in runs.into_iter().map(|run| run.done()) {
        if done.code == 0 {
            started += 1;
            continue;
        }
        let said = done.fails(4);
        assert!(
            said.contains("there is a tmux session same already"),
            "{said}"
        );
        assert!(said.contains("  hint: choose another name"), "{said}");
    }
    assert_eq!(started, 1);
    // Without a name each gets one.
    let runs: Vec<_> = (0..4)
        .map(|_| world.run(["launch", "-p", "demo"]).start())
        .collect();
    for run in runs {
        run.done().ok();
    }
    assert_eq!(world.run(["sessions"]).json().as_array().unwrap().len(), 5);
}

#[test]
fn a_part_is_a_role_or_the_word_of_a_profile() {
    let world = World::new();
    let team = world.launch(&["developer", "reviewer"]);
    let to = |role: &str| {
        let arguments = ["broadcast", "work", "-m", "- look", "--role", role];
        receivers(&world.run(arguments).json())
    };
    assert_eq!(to("reviewer"), [team.workers[1].as_str()]);
    assert_eq!(to("supervisor"), [team.supervisor.as_str()]);
    assert_eq!(to("worker"), team.workers);
    world
        .run(["broadcast", "work", "-m", "x", "--role", "nobody"])
        .fails(3);
}

#[test]
fn a_message_that_is_not_proven_in_time_is_said_twice() {
    let world = World::new();
    let id = world.agent();
    world
        .run(["send", &id, "-m", "SLEEP 60", "--wait", "30"])
        .ok();
    let send = ["send", &id, "-m", "later", "--wait", "0.1"];
    let done = world.run(send).done();
    assert!(done.stdout.starts_with("message 2 to "), "{done:?}");
    let said = done.fails(5);
    let hint = format!("  hint: it stays: `conductor-hook explain {id}` says why it waits\n");
    assert!(
        said.starts_with("conductor-hook: message 2 was not proven in time"),
        "{said}"
    );
    assert!(said.ends_with(&hint) && said.lines().count() == 2, "{said}");
    let done = world.run(send).arg("--json").done();
    let message: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(text(&message["id"]), "3");
    let error: Value = serde_json::from_str(&done.fails(5)).unwrap();
    assert_eq!(error["error"]["kind"], "timed_out");
}
