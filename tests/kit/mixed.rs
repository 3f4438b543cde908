//! One session with all agents: a supervisor hands a task to each of the others.

use super::world::programs::Program;
use super::world::{Trust, World};

/// The supervisor's program, and the others'.
pub(crate) const AGENTS: [&str; 4] = [
    "claude-2.1.330",
    "codex-0.169.0",
    "gemini-0.61.0",
    "opencode-1.18.33",
];

pub(crate) fn everybody_finishes_a_handoff() {
    let programs: Vec<Program> = AGENTS
        .into_iter()
        .map(|name| Program::cached(name).unwrap())
        .collect();
    let world = World::with(programs, Trust::Given);
    let boss = world.launch("conductor");
    boss.wait_event("idle", 40);
    for provider in ["codex", "gemini", "opencode", "claude_code"] {
        let task = format!(
            r#"MCP: handoff {{"agent_profile":"developer","provider":"{provider}","message":"SAY: answer of {provider}","timeout":120,"wait_seconds":90}}"#
        );
        let message = boss.send(&task);
        world.wait_message(&message, "submitted", 30);
        let done = world.conductor(&["wait", &boss.id, "--for", "idle", "--timeout", "150"]);
        assert_eq!(done.code(), Some(0), "{provider}: {}", boss.explain());
        let answer = world.conductor(&["output", &boss.id]).done();
        assert!(
            answer.contains(&format!("answer of {provider}")),
            "{provider}: {answer}"
        );
    }
    // Without waiting: the worker reports back by a message.
    let task = r#"MCP: assign {"agent_profile":"developer","provider":"codex","message":"MCP: send_message {\"message\":\"SAY: report of codex\"}"}"#;
    let message = boss.send(task);
    world.wait_message(&message, "submitted", 30);
    world.until("the worker's report", 60, || {
        let list = world.json(&["inbox", &boss.id]);
        let all = list.as_array()?;
        all.iter()
            .any(|m| m["body"] == "SAY: report of codex" && m["status"] == "submitted")
            .then_some(())
    });
}
