//! Handoffs when something goes wrong: two calls at the same moment, a call that fails, a helper that is killed.

use crate::failpoints::{arm, armed, world};
use crate::mcp::{answer, by_hand, call, lines, opening};
use crate::support::{BINARY, World, eventually, text};
use serde_json::{Value, json};
use std::path::PathBuf;

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
fn assignments_with_the_same_key_are_one_worker_also_when_it_has_ended() {
    let world = World::new();
    let supervisor = world.agent();
    let arguments =
        json!({"agent_profile": "developer", "message": "SAY once", "idempotency_key": "k"});
    let calls: Vec<Value> = (2..5).map(|id| call(id, "assign", &arguments)).collect();
    let out = by_hand(&world, &supervisor, &calls, &[], 3);
    let results: Vec<Value> = (2..5)
        .map(|id| answer(&out, id)["result"]["structuredContent"].clone())
        .collect();
    let worker = text(&results[0]["terminal_id"]);
    assert!(results.iter().all(|one| *one == results[0]), "{results:?}");
    world.run(["close", &worker]).ok();
    let again = world.mcp(&supervisor, "assign", &arguments).unwrap();
    assert_eq!(again, results[0], "its worker has ended");
    assert_eq!(workers(&world), 1);
    assert!(
        mail(&world, &supervisor, "").is_empty(),
        "no answer is owed"
    );
    let other = json!({"agent_profile": "developer", "message": "SAY once"});
    let other = world.mcp(&supervisor, "assign", &other).unwrap();
    assert_ne!(other["terminal_id"], worker.as_str(), "without the key");
}

#[test]
fn a_key_whose_worker_could_not_be_started_is_free_again() {
    let (world, supervisor) = world();
    let arguments =
        json!({"agent_profile": "developer", "message": "SAY second", "idempotency_key": "k"});
    arm(&world, "handoff.start=error");
    world.mcp(&supervisor, "handoff", &arguments).unwrap_err();
    assert!(!armed(&world));
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
    assert!(!armed(&world));
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

#[test]
fn an_answer_comes_once_whoever_dies_with_it() {
    for point in ["handoff.taken", "handoff.given"] {
        let (world, supervisor) = world();
        let wait = if point == "handoff.taken" { 20 } else { 0 };
        let arguments = json!({"agent_profile": "developer", "message": "SLEEP 1\nSAY once only", "wait_seconds": wait});
        arm(&world, point);
        let result = world.mcp(&supervisor, "handoff", &arguments);
        assert_eq!(
            result.is_err(),
            point == "handoff.taken",
            "{point}: {result:?}"
        );
        let sent = eventually("the answer came as a message", || {
            let mail = mail(&world, &supervisor, "once only");
            mail.first().filter(|m| m["status"] == "submitted").cloned()
        });
        assert!(!armed(&world), "{point} was never reached");
        eventually("the worker is closed", || {
            let sessions = world.run(["sessions", "--all"]).json().to_string();
            (sessions.matches("\"status\":\"exited\"").count() == 1).then_some(())
        });
        std::thread::sleep(std::time::Duration::from_secs(3));
        let all = mail(&world, &supervisor, "once only");
        assert_eq!(all.len(), 1, "{point}: {all:?}");
        let heard = world.logged(&supervisor, &["prompt", "context"]);
        let bodies = heard
            .iter()
            .filter(|line| line.contains("once only") && line.contains("Answer to handoff"));
        assert_eq!(bodies.count(), 1, "{point}: {sent} {heard:?}");
    }
}
