//! Handoffs when something goes wrong: two calls at the same moment, a call that fails, a helper that is killed.

use crate::mcp::{answer, by_hand, call, lines, opening};
use crate::support::{BINARY, World, eventually, text};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

/// A supervisor whose MCP server dies or fails where [`arm`] says.
fn world() -> (World, String) {
    let world = World::new();
    let file = format!(
        "CONDUCTOR_FAILPOINT_FILE={}",
        world.at("failpoint").display()
    );
    let log = format!("CONDUCTOR_DEMO_LOG={}", world.at("demo.log").display());
    let launched = world
        .run([
            "launch",
            "-p",
            "demo",
            "--session",
            "work",
            "--env",
            &log,
            "--env",
            &file,
        ])
        .json();
    let id = text(&launched["terminals"][0]["id"]);
    world.wait(&id, "idle");
    (world, id)
}

fn arm(world: &World, point: &str) {
    fs::write(world.at("failpoint.new"), point).unwrap();
    fs::rename(world.at("failpoint.new"), world.at("failpoint")).unwrap();
}

/// Messages to `id` with the answer of a handoff in them.
fn mail(world: &World, id: &str, what: &str) -> Vec<Value> {
    let all = world.run(["inbox", id, "--limit", "100"]).json();
    all.as_array()
        .unwrap()
        .iter()
        .filter(|m| {
            text(&m["body"]).starts_with("Answer to handoff") && text(&m["body"]).contains(what)
        })
        .cloned()
        .collect()
}

/// A file with a session that calls `handoff` once.
fn calls(world: &World, arguments: &Value) -> PathBuf {
    let mut session = opening();
    session.push(call(2, "handoff", arguments));
    world.write("calls.jsonl", lines(&session))
}

fn workers(world: &World) -> usize {
    let sessions = world.run(["sessions", "--all"]).json();
    sessions
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|session| session["terminals"].as_array().unwrap().clone())
        .filter(|t| t["role"] == "worker")
        .count()
}

#[test]
fn calls_with_the_same_key_at_once_start_one_worker() {
    let world = World::new();
    let supervisor = world.agent();
    let arguments = json!({"agent_profile": "developer", "message": "SLEEP 1\nSAY once", "idempotency_key": "k"});
    let calls: Vec<Value> = (2..6).map(|id| call(id, "handoff", &arguments)).collect();
    let out = by_hand(&world, &supervisor, &calls, &[], 4);
    let results: Vec<Value> = (2..6)
        .map(|id| answer(&out, id)["result"]["structuredContent"].clone())
        .collect();
    for result in &results {
        assert_eq!(
            result["terminal_id"], results[0]["terminal_id"],
            "{results:?}"
        );
        assert_eq!(
            (&result["status"], &result["output"]),
            (&"done".into(), &"once".into()),
            "{results:?}"
        );
    }
    assert_eq!(workers(&world), 1);
}

#[test]
fn a_key_whose_worker_could_not_be_started_is_free_again() {
    let (world, supervisor) = world();
    let arguments =
        json!({"agent_profile": "developer", "message": "SAY second", "idempotency_key": "k"});
    arm(&world, "handoff.start=error");
    world.mcp(&supervisor, "handoff", &arguments).unwrap_err();
    assert!(!world.at("failpoint").exists());
    assert_eq!(workers(&world), 0);
    // Killed between the reservation and the start: the next call finds nobody at it.
    arm(&world, "handoff.reserved");
    let server = world.shell(
        &supervisor,
        &format!(
            "{BINARY} mcp <{} >/dev/null",
            calls(&world, &arguments).display()
        ),
    );
    assert_eq!(server.code, 137, "{server:?}");
    assert!(!world.at("failpoint").exists());
    let done = world.mcp(&supervisor, "handoff", &arguments).unwrap();
    assert_eq!(
        (&done["status"], &done["output"]),
        (&"done".into(), &"second".into())
    );
    assert_eq!(workers(&world), 1);
}

#[test]
fn a_call_that_fails_while_it_waits_leaves_the_answer_to_the_inbox() {
    let (world, supervisor) = world();
    arm(&world, "handoff.look=error");
    let arguments = json!({"agent_profile": "developer", "message": "SLEEP 1\nSAY in spite of it"});
    let error = world.mcp(&supervisor, "handoff", &arguments).unwrap_err();
    assert!(error.contains("handoff.look"), "{error}");
    eventually("the answer came as a message", || {
        (mail(&world, &supervisor, "in spite of it").len() == 1).then_some(())
    });
}
