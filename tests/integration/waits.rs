//! What `wait` answers is so: what is asked next finds it.

use crate::approvals::Gate;
use crate::support::{World, text};
use serde_json::json;

#[test]
fn who_hears_that_an_agent_waits_finds_what_it_waits_for() {
    let Gate { world, id } = Gate::with("version = 1\n");
    // The first is held by the gate itself, the second asked about by the agent's own dialog.
    let turn = "RUN rm -rf build\nRUN touch made";
    for round in 0..6 {
        world
            .run(["send", &id, "--wait", "20", "-m", "-"])
            .stdin(turn)
            .ok();
        for command in ["rm -rf build", "touch made"] {
            world.wait(&id, "waiting");
            let pending = world.pending();
            let commands: Vec<String> = pending.iter().map(|a| text(&a["command"])).collect();
            assert_eq!(commands, [command], "round {round}");
            world.run(["deny", &text(&pending[0]["id"])]).ok();
        }
        world.wait(&id, "idle");
    }
}

#[test]
fn an_agent_with_a_message_on_its_way_is_not_idle() {
    let world = World::new();
    let supervisor = world.agent();
    let task = json!({"agent_profile": "developer", "message": "SLEEP 0.5\nSAY the answer"});
    let assigned = world.mcp(&supervisor, "assign", &task).unwrap();
    let worker = text(&assigned["terminal_id"]);
    let waited = json!({"terminal_ids": [worker.clone()], "timeout": 20});
    let waited = world.mcp(&supervisor, "wait", &waited).unwrap();
    assert_eq!(waited["reached"], true, "{waited}");
    let said = json!({"terminal_id": worker});
    let said = world.mcp(&supervisor, "get_output", &said).unwrap();
    assert!(text(&said["output"]).starts_with("the answer"), "{said}");
    for round in 0..4 {
        world.send(&worker, &format!("SAY round {round}"));
        world.wait(&worker, "idle");
        let said = world.run(["output", &worker]).json();
        assert_eq!(said["output"], format!("round {round}"));
    }
    // Held up for a moment: it is on its way all the same.
    let pane = text(&world.status(&worker)["pane"]);
    world.tmux(["copy-mode", "-t", &pane]);
    assert_eq!(world.send(&worker, "SAY late")["last_error"], "COPY_MODE");
    world.tmux(["send-keys", "-t", &pane, "-X", "cancel"]);
    world.wait(&worker, "idle");
    let said = world.run(["output", &worker]).json();
    assert_eq!(said["output"], "late");
}
