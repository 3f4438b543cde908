//! One sender and one agent: how soon a text is in the pane, and how many a second.

use crate::measure::{Samples, eventually, now, share, timed};
use crate::report::Row;
use crate::rows::Size;
use crate::world::{Agent, World};
use serde_json::json;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

/// `send` to an idle agent, in turn with one tmux command list that types the same bytes into the same pane. Visible is when the pane's
/// output, tapped by `pipe-pane`, holds the text: what the agent takes to draw is in both.
pub(crate) fn latency(world: &World, size: Size) -> Vec<Row> {
    let agent = world.launch("demo", "latency", 0, true).remove(0);
    let seen = world.at("tap");
    let own = std::env::current_exe().unwrap();
    world.tmux(&[
        "pipe-pane",
        "-t",
        &agent.pane,
        &format!("exec {} tap {}", own.display(), seen.display()),
    ]);
    let (mut ours, mut floor) = (Samples::default(), Samples::default());
    let (mut blocked, mut floor_blocked) = (Samples::default(), Samples::default());
    let warm = 3;
    for round in 0..size.of(20, 120) + warm {
        let order = if round % 2 == 0 {
            [true, false]
        } else {
            [false, true]
        };
        for mine in order {
            world.prompt(&agent);
            let mark = format!("m{round:05}{}", if mine { "a" } else { "b" });
            let text = format!("SAY {mark}");
            let typed_text = format!("[conductor #{round} from unverified (peer)] {text}");
            let mut command = if mine {
                world.ours(&["send", &agent.id, "-m", &text])
            } else {
                typed(world, &agent, &typed_text)
            };
            let done = timed(&mut command);
            assert!(done.ok, "the text was not sent");
            let at = eventually("the text is in the pane", || visible(&seen, &mark));
            eventually("the agent has answered", || answered(world, &mark));
            if round >= warm {
                let span = at.saturating_sub(done.start);
                if mine {
                    ours.push_ms(span);
                    blocked.push_ms(done.took);
                } else {
                    floor.push_ms(span);
                    floor_blocked.push_ms(done.took);
                }
            }
        }
    }
    world.end("latency");
    let ratio = ours.over(&floor);
    let waits = blocked.over(&floor_blocked);
    vec![
        Row::most(
            "send -> visible / tmux command list",
            ratio.median(),
            "x",
            1.5,
        )
        .note(format!(
            "p95 {:.2}x, n {}",
            ratio.quantile(0.95),
            ratio.len()
        ))
        .more(json!({"floor_ms": floor.median(), "ours_ms": ours.median(), "ours_p99_ms": ours.quantile(0.99)})),
        Row::most(
            "send: caller blocked / tmux command list",
            waits.median(),
            "x",
            2.0,
        )
        .note(format!("p95 {:.2}x", waits.quantile(0.95)))
        .more(json!({"floor_ms": floor_blocked.median(), "ours_ms": blocked.median()})),
    ]
}

fn visible(seen: &std::path::Path, mark: &str) -> Option<Duration> {
    let text = fs::read_to_string(seen).ok()?;
    let line = text.lines().find(|line| line.starts_with(mark))?;
    line.rsplit(' ')
        .next()?
        .parse()
        .ok()
        .map(Duration::from_nanos)
}

fn answered(world: &World, mark: &str) -> Option<()> {
    world
        .log_text("latency")
        .lines()
        .any(|line| line.contains("\"event\":\"answer\"") && line.contains(mark))
        .then_some(())
}

/// The sub-command of [`latency`]'s pipe: when each mark came by.
pub(crate) fn tap(path: &str) {
    use std::io::{Read, Write};
    let mut out = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap();
    let mut tail = String::new();
    let mut last = String::new();
    let mut buffer = vec![0; 65_536];
    while let Ok(got @ 1..) = std::io::stdin().read(&mut buffer) {
        let at = now();
        tail.push_str(&String::from_utf8_lossy(&buffer[..got]));
        while let Some(found) = tail.find("SAY m") {
            let mark: String = tail[found + 4..].chars().take(7).collect();
            if mark.len() < 7 {
                break;
            }
            if mark != last {
                out.write_all(format!("{mark} {}\n", at.as_nanos()).as_bytes())
                    .unwrap();
                last = mark;
            }
            tail.drain(..found + 11);
        }
        let keep = tail.char_indices().rev().nth(16).map_or(0, |(at, _)| at);
        if !tail.contains("SAY m") {
            tail.drain(..keep);
        }
    }
}

/// Messages to one agent: each sent when it is at its prompt again, and a queue that it works off. The floor types the same into the same
/// agent, which queues what comes while it works.
pub(crate) fn rate(world: &World, size: Size) -> Vec<Row> {
    let agent = world.launch("demo", "rate", 0, true).remove(0);
    let count = size.of(20, 60);
    let mut rows = Vec::new();
    for (name, queued) in [
        ("one receiver, one by one / tmux lists", false),
        ("one receiver, a queue / tmux lists", true),
    ] {
        let mut ratios = Samples::default();
        let mut rates = [Samples::default(), Samples::default()];
        for round in 0..size.of(2, 6) {
            let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
            let mut found = [0.0; 2];
            for which in order {
                world.prompt(&agent);
                let before = answers(world);
                let start = Instant::now();
                for n in 0..count {
                    let text = format!("SAY r{round}-{n}");
                    let mut command = if which == 0 {
                        world.ours(&["send", &agent.id, "-m", &text])
                    } else {
                        typed(world, &agent, &text)
                    };
                    assert!(timed(&mut command).ok, "the text was not sent");
                    if !queued {
                        eventually("the agent has answered", || {
                            (answers(world) > before + n).then_some(())
                        });
                        world.prompt(&agent);
                    }
                }
                eventually("the agent has answered all", || {
                    (answers(world) >= before + count).then_some(())
                });
                found[which] = share(count as u64, 1) / start.elapsed().as_secs_f64();
                rates[which].push(found[which]);
            }
            ratios.push(found[0] / found[1]);
        }
        rows.push(
            Row::least(name, ratios.median(), "x", 0.5)
                .note(format!(
                    "{:.1}/s against {:.1}/s, answered",
                    rates[0].median(),
                    rates[1].median()
                ))
                .more(json!({"ours": rates[0].values(), "floor": rates[1].values()})),
        );
    }
    world.end("rate");
    rows
}

/// The floor: one tmux command list that types `text` into the agent's pane.
fn typed(world: &World, agent: &Agent, text: &str) -> Command {
    world.tmux_command(&[
        "set-buffer",
        "-b",
        "floor",
        "--",
        text,
        ";",
        "paste-buffer",
        "-p",
        "-d",
        "-b",
        "floor",
        "-t",
        &agent.pane,
        ";",
        "send-keys",
        "-t",
        &agent.pane,
        "Enter",
    ])
}

fn answers(world: &World) -> usize {
    world
        .log_text("rate")
        .lines()
        .filter(|line| line.contains("\"event\":\"answer\""))
        .count()
}
