//! `sessions` when few and when many terminals live.

use crate::measure::{Samples, timed};
use crate::report::Row;
use crate::rows::Size;
use crate::world::{World, open};
use serde_json::json;
use std::fs;
use std::process::Command;

/// How many terminals live, and the row that says so.
const CROWDS: [(usize, &str); 3] = [
    (1, "sessions, 1 terminal / tmux list-panes"),
    (100, "sessions, 100 terminals / tmux list-panes"),
    (1_000, "sessions, 1000 terminals / tmux list-panes"),
];

/// `sessions` in turn with one `list-panes -a` of the tmux program, which has to know of the same panes.
pub(crate) fn listing(world: &World, size: Size) -> Vec<Row> {
    let agent = world.launch("demo", "listing", 0, false).remove(0);
    let copy = world.at("listed");
    let copied = Command::new("cp")
        .arg("-a")
        .args([world.state(), copy.clone()])
        .status();
    assert!(copied.unwrap().success());
    let mut rows = Vec::new();
    let mut there = 1;
    for (count, name) in CROWDS {
        add(world, &agent.id, &copy, there..count);
        there = count;
        let (mut ours, mut floor) = (Samples::default(), Samples::default());
        for round in 0..size.of(20, 100) {
            let mut list = world.ours(&["sessions"]);
            list.env("CONDUCTOR_HOME", &copy);
            let panes = world.tmux_command(&["list-panes", "-a", "-F", "#{pane_id} #{pane_pid}"]);
            let mut pair = [list, panes];
            let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
            for which in order {
                let done = timed(&mut pair[which]);
                assert!(done.ok, "{name}: a call failed");
                [&mut ours, &mut floor][which].push_ms(done.took);
            }
        }
        let ratio = ours.over(&floor);
        rows.push(
            Row::told(name, ratio.median(), "x")
                .note(format!(
                    "{:.1} ms, p95 {:.1}x, n {}",
                    ours.median(),
                    ratio.quantile(0.95),
                    ratio.len()
                ))
                .more(json!({"ours_ms": ours.median(), "floor_ms": floor.median()})),
        );
    }
    world.tmux(&["kill-session", "-t", "listed"]);
    let _ = fs::remove_dir_all(copy);
    world.end("listing");
    rows
}

/// Opens panes with programs that wait, and adds a terminal for each to the state at `copy`, like that of agent `like`.
fn add(world: &World, like: &str, copy: &std::path::Path, numbers: std::ops::Range<usize>) {
    if numbers.is_empty() {
        return;
    }
    if !world
        .tmux(&["list-sessions", "-F", "#{session_name}"])
        .contains("listed")
    {
        world.tmux(&["new-session", "-d", "-s", "listed", "cat"]);
    }
    let db = open(copy);
    for number in numbers {
        let pane = world.tmux(&[
            "new-window",
            "-d",
            "-P",
            "-F",
            "#{pane_id} #{pane_pid}",
            "-t",
            "listed:",
            "cat",
        ]);
        let (pane, pid) = pane.split_once(' ').unwrap();
        db.execute(
            "CREATE TEMP TABLE one AS SELECT * FROM terminals WHERE id = ?1",
            [like],
        )
        .unwrap();
        let changed = "UPDATE one SET id = printf('%08x', ?1), pane = ?2, pane_pid = ?3, session = 'listed', session_owned = 0";
        db.execute(changed, (i64::try_from(number).unwrap(), pane, pid))
            .unwrap();
        db.execute_batch("INSERT INTO terminals SELECT * FROM one; DROP TABLE one")
            .unwrap();
    }
}
