//! A whole handoff against the same work done by hand: an agent that starts, gets a prompt, answers and goes.

use crate::measure::{Samples, eventually};
use crate::report::Row;
use crate::rows::Size;
use crate::world::World;
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};

/// Handoffs by a supervisor over MCP, in turn with a window in which the same program is started, typed at and ended by tmux commands.
pub(crate) fn handoff(world: &World, size: Size) -> Vec<Row> {
    let agent = world.launch("demo", "handoff", 0, true).remove(0);
    let bare = world.at("conductor-demo");
    std::os::unix::fs::symlink(&world.binary, &bare).unwrap();
    let (mut ours, mut floor) = (Samples::default(), Samples::default());
    let warm = 1;
    for round in 0..size.of(6, 30) + warm {
        let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        for which in order {
            let took = if which == 0 {
                world.prompt(&agent);
                let before = answers(world);
                let call =
                    json!({"agent_profile": "developer", "message": format!("SAY done {round}")});
                let start = Instant::now();
                world.ok(&["send", &agent.id, "-m", &format!("MCP handoff {call}")]);
                let answer = eventually("the handoff is over", || {
                    (answers(world) > before).then(|| start.elapsed())
                });
                assert!(world.log_text("handoff").contains(&format!("done {round}")));
                answer
            } else {
                by_hand(world, &bare.display().to_string(), round)
            };
            if round >= warm {
                [&mut ours, &mut floor][which].push_ms(took);
            }
        }
    }
    world.end("handoff");
    let ratio = ours.over(&floor);
    vec![
        Row::told("handoff / the same by tmux commands", ratio.median(), "x")
            .note(format!(
                "{:.0} ms against {:.0}, p95 {:.1}x, n {}; 400 ms of it wait for the worker to go on by itself",
                ours.median(),
                floor.median(),
                ratio.quantile(0.95),
                ratio.len()
            ))
            .more(json!({"ours_ms": ours.median(), "floor_ms": floor.median()})),
    ]
}

/// Answers of the supervisor, whose log has them all.
fn answers(world: &World) -> usize {
    let text = world.log_text("handoff");
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter(|line| {
            line["event"] == "answer"
                && line["text"]
                    .as_str()
                    .is_some_and(|text| text.contains("\"status\""))
        })
        .count()
}

fn by_hand(world: &World, program: &str, round: usize) -> Duration {
    let log = world.at(&format!("bare-{round}.log"));
    let start = Instant::now();
    let pane = world.tmux(&[
        "new-window",
        "-d",
        "-P",
        "-F",
        "#{pane_id}",
        "-t",
        "home:",
        "-e",
        &format!("CONDUCTOR_DEMO_LOG={}", log.display()),
        "--",
        program,
    ]);
    eventually("the prompt is on the screen", || {
        world
            .tmux(&["capture-pane", "-p", "-t", &pane])
            .lines()
            .any(|line| line.trim_end() == "demo>")
            .then_some(())
    });
    let text = format!("SAY done {round}");
    world.tmux(&["send-keys", "-l", "-t", &pane, "--", &text]);
    world.tmux(&["send-keys", "-t", &pane, "Enter"]);
    eventually("it has answered", || {
        fs::read_to_string(&log)
            .unwrap_or_default()
            .contains("\"event\":\"answer\"")
            .then_some(())
    });
    world.tmux(&["kill-pane", "-t", &pane]);
    start.elapsed()
}
