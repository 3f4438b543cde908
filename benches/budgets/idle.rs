//! When nothing happens.

use crate::measure::{eventually, now, share};
use crate::report::Row;
use crate::rows::Size;
use crate::world::World;
use serde_json::json;
use std::fs;
use std::time::Duration;

/// Twenty agents at their prompts: what happens when nothing happens.
pub(crate) fn idle(world: &World, size: Size) -> Vec<Row> {
    let agents = world.launch("demo", "idle", 19, false);
    eventually("nothing is due", || {
        world.database(|db| {
            let now = i64::try_from(now().as_millis()).unwrap();
            let soon: i64 = db
                .query_row(
                    "SELECT count(*) FROM due WHERE at < ?1",
                    [now + 90_000],
                    |row| row.get(0),
                )
                .unwrap();
            (soon == 0).then_some(())
        })
    });
    // The demo agent says five seconds after a turn that it waits, as Claude Code does after sixty.
    std::thread::sleep(Duration::from_secs(8));
    let server = world.tmux(&["display-message", "-p", "#{pid}"]);
    let roots: Vec<String> = agents
        .iter()
        .map(|agent| world.tmux(&["display-message", "-p", "-t", &agent.pane, "#{pane_pid}"]))
        .collect();
    let shell = world.tmux(&["display-message", "-p", "-t", "home:", "#{pane_pid}"]);
    let generation = || world.tmux(&["show-options", "-gqv", "@conductor_gen"]);
    let gen_before = generation();
    // After the question, which is itself work of the server.
    std::thread::sleep(Duration::from_millis(300));
    let tree = family(&server);
    let before = Still::of(&tree);
    let span = Duration::from_secs(size.of(5, 60) as u64);
    std::thread::sleep(span);
    let after = Still::of(&tree);
    let grown = family(&server).len().saturating_sub(tree.len());
    let armed = u64::from(gen_before != generation());
    let started = grown + after.reaped_since(&before);
    let names: Vec<String> = tree
        .iter()
        .filter(|pid| **pid != server && **pid != shell && !roots.contains(pid))
        .map(|pid| {
            fs::read_to_string(format!("/proc/{pid}/comm"))
                .unwrap_or_default()
                .trim()
                .to_owned()
        })
        .collect();
    // The shell of the session that is not ours, and what it runs.
    let names: Vec<String> = names.into_iter().filter(|name| name != "sh").collect();
    let cats = names.iter().filter(|name| *name == "cat").count();
    world.end("idle");
    let seconds = span.as_secs();
    vec![
        Row::most(
            "20 idle agents: processes started",
            share(started as u64, 1),
            "",
            0.0,
        )
        .note(format!(
            "{seconds} s; page faults of reaped children and the process tree"
        )),
        Row::most(
            "20 idle agents: CPU ticks",
            share(after.ticks.saturating_sub(before.ticks), 1),
            "",
            0.0,
        )
        .note(format!("tmux server and {} processes", tree.len() - 1)),
        Row::most("20 idle agents: timers armed", share(armed, 1), "", 0.0),
        Row::most(
            "20 idle agents: further processes",
            share((names.len() - cats) as u64, 1),
            "",
            20.0,
        )
        .note(format!("beside agents and {cats} cat: MCP servers"))
        .more(json!(names)),
    ]
}

/// A process and everything below it.
fn family(root: &str) -> Vec<String> {
    let mut all = vec![root.to_owned()];
    let mut next = 0;
    while let Some(pid) = all.get(next).cloned() {
        if let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) {
            for task in tasks.flatten() {
                let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
                all.extend(children.split_whitespace().map(str::to_owned));
            }
        }
        next += 1;
    }
    all
}

/// What moves as soon as a process runs or reaps a child.
struct Still {
    ticks: u64,
    /// Page faults of children that were waited for: no process ends without one.
    reaped: Vec<u64>,
}

impl Still {
    fn of(pids: &[String]) -> Self {
        let mut ticks = 0;
        let mut reaped = Vec::new();
        for pid in pids {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let fields: Vec<u64> = stat
                .rsplit(") ")
                .next()
                .unwrap_or_default()
                .split_whitespace()
                .map(|field| field.parse().unwrap_or(0))
                .collect();
            ticks += fields.get(11).unwrap_or(&0) + fields.get(12).unwrap_or(&0);
            reaped.push(*fields.get(8).unwrap_or(&0));
        }
        Self { ticks, reaped }
    }

    fn reaped_since(&self, before: &Self) -> usize {
        self.reaped
            .iter()
            .zip(&before.reaped)
            .filter(|(now, then)| now > then)
            .count()
    }
}
