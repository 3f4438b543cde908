//! Work that goes to a worker and comes back.

use crate::world::{Trust, World};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::Duration;

/// The results of all tool calls in a request, as text.
fn results(body: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for message in body["messages"].as_array().unwrap() {
        for block in message["content"].as_array().into_iter().flatten() {
            if block["type"] == "tool_result" {
                found.push(match &block["content"] {
                    Value::String(text) => text.clone(),
                    parts => parts[0]["text"].as_str().unwrap_or_default().to_owned(),
                });
            }
        }
    }
    found
}

#[test]
fn a_handoff_brings_back_the_workers_answer() {
    let Some(world) = World::new(Trust::Given) else {
        return;
    };
    let boss = world.launch("conductor");
    boss.wait_event("idle", 30);
    let order = boss.send(
        r#"MCP: handoff {"agent_profile":"tester-bash","message":"BASH: touch marker && echo worker-did-it\nSAY: all tests pass","timeout":120}"#,
    );
    let mut seen = BTreeSet::new();
    let worker = world.until("the worker to be closed, the supervisor idle", 60, || {
        let all = world.terminals();
        for terminal in &all {
            seen.insert(format!(
                "{} {}",
                terminal["profile"].as_str().unwrap(),
                terminal["status"].as_str().unwrap()
            ));
        }
        let worker = all.iter().find(|t| t["profile"] == "tester-bash")?;
        let idle = all
            .iter()
            .any(|t| t["id"] == boss.id.as_str() && t["status"] == "idle");
        (idle && worker["status"] == "exited").then(|| worker.clone())
    });
    let id = worker["id"].as_str().unwrap();
    assert!(world.work().join("marker").exists());
    assert_eq!(worker["status_reason"], "closed");
    assert_eq!(worker["caller"], boss.id.as_str());
    for state in [
        "conductor working",
        "conductor idle",
        "tester-bash idle",
        "tester-bash working",
    ] {
        assert!(seen.contains(state), "{state}: {seen:?}");
    }
    assert!(
        !seen.iter().any(|state| state.contains("waiting")),
        "{seen:?}"
    );
    assert_eq!(boss.explain()["source"], "event");

    let bodies = world.bodies();
    let shell = bodies.iter().flat_map(results);
    assert!(shell.into_iter().any(|text| text.contains("worker-did-it")));
    let answer = results(bodies.last().unwrap()).pop().unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{e}: {answer}"));
    assert_eq!(
        (
            &answer["success"],
            &answer["status"],
            &answer["output"],
            &answer["terminal_id"]
        ),
        (
            &json!(true),
            &json!("done"),
            &json!("all tests pass"),
            &json!(id)
        )
    );
    for message in world.json(&["inbox"]).as_array().unwrap() {
        let message = world.message(message["id"].as_str().unwrap());
        assert_eq!(message["status"], "submitted", "{message}");
        assert_eq!(message["tries"].as_array().unwrap().len(), 1, "{message}");
    }
    assert_eq!(world.message(&order)["transport"], "paste");

    let log = world.state().join(format!("logs/terminal/{id}.log"));
    assert!(std::fs::metadata(log).unwrap().len() > 0);
    assert!(!world.state().join("run").join(id).exists());
    let panes = world.tmux(&["list-panes", "-a", "-F", "#{pane_id}"]);
    assert!(!panes.lines().any(|pane| worker["pane"] == pane), "{panes}");
    world.until("only the supervisor and its MCP server to run", 2, || {
        let running = world.running();
        (running.len() == 2
            && running
                .iter()
                .any(|p| p.line.ends_with("conductor-hook mcp ")))
        .then_some(())
    });
}

#[test]
fn a_workers_report_reaches_a_busy_supervisor_at_the_end_of_its_turn() {
    let Some(world) = World::new(Trust::Given) else {
        return;
    };
    let boss = world.launch("conductor");
    boss.wait_event("idle", 30);
    let report = "SAY: report heard\nIt has \"quotes\", $(touch pwned), `touch pwned`, #{pane_id}, 🚀 and a\ttab.\nLast line.";
    let task = format!(
        "MCP: send_message {}\nSAY: reported",
        json!({"message": report})
    );
    let assign = json!({"agent_profile": "developer", "message": task});
    boss.send(&format!("MCP: assign {assign}\nSLOW: 12\nSAY: been busy"));
    let message = world.until("the report", 60, || {
        let all = world.json(&["inbox", &boss.id]);
        let found = all
            .as_array()
            .unwrap()
            .iter()
            .find(|m| m["body"] == report)?;
        Some(found["id"].as_str().unwrap().to_owned())
    });
    assert_eq!(world.message(&message)["status"], "queued");
    assert_eq!(boss.status(), "working");
    assert_eq!(boss.explain()["queue"][0]["reason"], "WORKING");
    let message = world.wait_message(&message, "submitted", 30);
    assert_eq!(message["transport"], "stop_hook", "{message}");
    assert_eq!(message["tries"].as_array().unwrap().len(), 1, "{message}");
    boss.wait_event("idle", 20);
    let answer = world.conductor(&["output", &boss.id]).done();
    assert_eq!(answer.trim(), "report heard");
    let heard = world.heard();
    assert!(
        heard.last().unwrap().contains(report),
        "{}",
        heard.last().unwrap()
    );
    assert!(!world.work().join("pwned").exists());
}

#[test]
fn closing_leaves_nothing_running() {
    let Some(world) = World::new(Trust::Given) else {
        return;
    };
    let session = world.json(&["launch", "-p", "claude_code", "--with-worker", "developer"]);
    let boss = world.agent(&session["terminals"][0]);
    let worker = world.agent(&session["terminals"][1]);
    boss.wait_event("idle", 40);
    worker.wait_event("idle", 40);
    boss.send("SLOW: 60");
    boss.wait_event("working", 10);
    let both = world.until("both to have their tools", 20, || {
        let running = world.running();
        let tools = running.iter().filter(|p| p.line.ends_with(" mcp ")).count();
        (tools == 2).then_some(running)
    });
    world.conductor(&["close", &worker.id]).done();
    assert_eq!(worker.status(), "exited");
    world.until("the worker's processes to end", 2, || {
        (world.running().len() <= both.len() - 2).then_some(())
    });
    assert_eq!(boss.status(), "working");
    let name = session["name"].as_str().unwrap();
    world
        .conductor(&["shutdown", "--session", name, "--force"])
        .done();
    world.until("everything to end", 2, || {
        world.running().is_empty().then_some(())
    });
    assert_eq!(boss.terminal()["status_reason"], "closed");
    assert!(
        !world
            .tmux(&["list-sessions", "-F", "#{session_name}"])
            .contains(name)
    );
    let left: Vec<_> = ["run", "run/locks"]
        .into_iter()
        .flat_map(|dir| std::fs::read_dir(world.state().join(dir)).unwrap())
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["locks"], "only the locks' directory stays");
}

#[test]
fn the_answer_of_an_interrupted_handoff_comes_once_by_inbox() {
    let Some(world) = World::new(Trust::Given) else {
        return;
    };
    let boss = world.launch("conductor");
    boss.wait_event("idle", 30);
    boss.send(
        r#"MCP: handoff {"agent_profile":"tester-bash","message":"SLOW: 5\nSAY: late answer","timeout":120}"#,
    );
    world.until("the worker to work", 40, || {
        world
            .terminals()
            .iter()
            .any(|t| t["profile"] == "tester-bash" && t["status"] == "working")
            .then_some(())
    });
    boss.keys(&["Escape"]);
    let message = world.until("the answer in the inbox", 30, || {
        let all = world.json(&["inbox", &boss.id]);
        let found = all.as_array().unwrap().iter().find(|m| {
            let body = m["body"].as_str().unwrap();
            body.starts_with("Answer to handoff") && body.contains("late answer")
        })?;
        Some(found["id"].as_str().unwrap().to_owned())
    });
    world.wait_message(&message, "submitted", 30);
    boss.wait_event("idle", 20);
    sleep(Duration::from_secs(3));
    let heard = world.heard().pop().unwrap();
    assert!(heard.contains("late answer"), "{heard}");
    let answers = world.json(&["inbox", &boss.id]);
    let answers = answers.as_array().unwrap().iter();
    assert_eq!(
        answers
            .filter(|m| m["body"].as_str().unwrap().starts_with("Answer"))
            .count(),
        1
    );
    let living = world
        .terminals()
        .iter()
        .filter(|t| t["status"] != "exited")
        .count();
    assert_eq!(living, 1);
}
