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
    let (mut submitted, mut floor_submitted) = (Samples::default(), Samples::default());
    let mut other = Samples::default();
    let sides: &[Side] = if world.contestant.is_some() {
        &[Side::Ours, Side::Floor, Side::Contestant]
    } else {
        &[Side::Ours, Side::Floor]
    };
    let warm = 3;
    for round in 0..size.of(20, 120) + warm {
        let mut order = sides.to_vec();
        order.rotate_left(round % sides.len());
        for side in order {
            world.prompt(&agent);
            let mark = format!("m{round:05}{}", side.letter());
            let text = format!("SAY {mark}");
            let typed_text = format!("[conductor #{round} from unverified (peer)] {text}");
            let mut command = match side {
                Side::Ours => world.ours(&["send", &agent.id, "-m", &text]),
                Side::Floor => typed(world, &agent, &typed_text),
                Side::Contestant => contestant(world, &agent, &typed_text),
            };
            let done = timed(&mut command);
            assert!(done.ok, "the text was not sent");
            let at = eventually("the text is in the pane", || visible(&seen, &mark));
            eventually("the agent has answered", || answered(world, &mark));
            if round < warm {
                continue;
            }
            let span = at.saturating_sub(done.start);
            // The agent's own log says when it was submitted; ours is so when that is recorded, too.
            let proven = logged_at(world, &mark).saturating_sub(done.start);
            match side {
                Side::Ours => {
                    ours.push_ms(span);
                    blocked.push_ms(done.took);
                    submitted.push_ms(recorded_at(world, &text).saturating_sub(done.start));
                }
                Side::Floor => {
                    floor.push_ms(span);
                    floor_blocked.push_ms(done.took);
                    floor_submitted.push_ms(proven);
                }
                Side::Contestant => other.push_ms(span),
            }
        }
    }
    world.end("latency");
    let ratio = ours.over(&floor);
    let waits = blocked.over(&floor_blocked);
    let proofs = submitted.over(&floor_submitted);
    let mut rows = vec![
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
        Row::told(
            "send -> submitted, recorded / tmux list, logged",
            proofs.median(),
            "x",
        )
        .note(format!(
            "{:.1} ms against {:.1}",
            submitted.median(),
            floor_submitted.median()
        ))
        .more(json!({"floor_ms": floor_submitted.median(), "ours_ms": submitted.median()})),
    ];
    if world.contestant.is_some() {
        let ratio = other.over(&floor);
        rows.push(
            Row::told(
                "contestant -> visible / tmux command list",
                ratio.median(),
                "x",
            )
            .note(format!("p95 {:.2}x", ratio.quantile(0.95)))
            .more(json!({"ours_ms": other.median()})),
        );
    }
    rows
}

/// Who types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Ours,
    Floor,
    Contestant,
}

impl Side {
    const fn letter(self) -> char {
        match self {
            Self::Ours => 'a',
            Self::Floor => 'b',
            Self::Contestant => 'c',
        }
    }
}

/// The contestant's call: its program with socket, pane and text.
fn contestant(world: &World, agent: &Agent, text: &str) -> Command {
    let program = world.contestant.as_ref().unwrap();
    let mut command = world.command(program);
    command.arg(world.socket()).args([&agent.pane, text]);
    command
}

/// When the agent says that it got the prompt with `mark`, since 1970.
fn logged_at(world: &World, mark: &str) -> Duration {
    let text = world.log_text("latency");
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut prompts = lines.filter(|line| line["event"] == "prompt");
    let prompt = prompts
        .find(|line| {
            line["text"]
                .as_str()
                .is_some_and(|text| text.contains(mark))
        })
        .unwrap();
    let at: jiff::Timestamp = prompt["at"].as_str().unwrap().parse().unwrap();
    Duration::from_millis(at.as_millisecond().unsigned_abs())
}

/// When the message with this text was recorded as submitted, since 1970.
fn recorded_at(world: &World, text: &str) -> Duration {
    eventually("the message is submitted", || {
        world.database(|db| {
            db.query_row(
                "SELECT submitted_at FROM messages WHERE body = ?1 AND status = 'submitted'",
                [text],
                |row| row.get::<_, i64>(0),
            )
            .ok()
            .map(|at| Duration::from_millis(at.unsigned_abs()))
        })
    })
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
