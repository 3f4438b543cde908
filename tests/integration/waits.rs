//! What `wait` answers is so: what is asked next finds it.

use crate::approvals::Gate;
use crate::support::text;

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
