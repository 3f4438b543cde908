//! When nothing happens, nothing runs: no timer is armed, no process starts, however long it lasts.

use crate::recovery::talk;
use crate::support::{World, eventually};
use rusqlite::Connection;
use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

const HOUR_MS: i64 = 3_600_000;

/// What is due, and when the server's timer fires, as the records say.
fn armed(world: &World) -> (i64, i64) {
    let db = Connection::open(world.at("state/db/conductor.db")).unwrap();
    let number = |sql: &str| db.query_row(sql, [], |row| row.get(0)).unwrap();
    (
        number("SELECT count(*) FROM due"),
        number("SELECT coalesce(max(at), 0) FROM armed"),
    )
}

/// The generations of all timers that the server knows of: arming one changes them.
fn generations(world: &World) -> String {
    let options = world.tmux(["show-options", "-g"]);
    let own = options
        .lines()
        .filter(|line| line.starts_with("@conductor_gen"));
    own.collect::<Vec<_>>().join("\n")
}

fn pids(world: &World) -> BTreeSet<i32> {
    world.processes().iter().map(|p| p.pid).collect()
}

#[test]
fn a_day_in_which_nothing_happens_arms_no_timer_and_starts_no_process() {
    let world = World::new();
    world.run(["plugin", "load"]).ok();
    let team = world.launch(&["developer"]);
    for id in [&team.supervisor, &team.workers[0]] {
        talk(&world, id);
    }
    // The agents say once, five seconds after a turn, that they wait.
    eventually("nothing is due any more", || {
        world.run(["tick"]).ok();
        (armed(&world) == (0, 0)).then_some(())
    });
    std::thread::sleep(Duration::from_secs(6));
    // Whatever the server starts from here on says so.
    let log = world.at("started.log");
    let counting = world.script("counting", &format!("echo \"$*\" >>{}", log.display()));
    let options = world.tmux(["show-options", "-g"]);
    let hooks = options.lines().filter_map(|line| line.split(' ').next());
    for name in hooks.filter(|name| name.starts_with("@conductor_hook")) {
        world.tmux(["set-option", "-g", name, &counting.to_string_lossy()]);
    }
    let before = (generations(&world), pids(&world));
    // Somebody comes by each hour, and what rides on that (housekeeping, rotation) is never due by itself.
    for hour in 1..=24 {
        world
            .run(["tick"])
            .env("CONDUCTOR_CLOCK_SKEW", (hour * HOUR_MS).to_string())
            .ok();
        assert_eq!(armed(&world), (0, 0), "after {hour} hours");
    }
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!((generations(&world), pids(&world)), before);
    let started = fs::read_to_string(&log).unwrap_or_default();
    assert_eq!(started, "", "the server started helpers");
    let strangers: Vec<String> = world
        .processes()
        .into_iter()
        .map(|p| p.command)
        .filter(|command| {
            let known = ["conductor-demo", "tmux", "cat", "sh -c /bin/sh", "/bin/sh"];
            !known.iter().any(|name| command.starts_with(name)) && !command.ends_with(" mcp")
        })
        .collect();
    assert_eq!(strangers, Vec::<String>::new());
    // The wrapper is what a helper would have been: a timer that is armed starts it.
    world.tmux(["copy-mode", "-t", "work:"]);
    world.send(&team.supervisor, "SAY now");
    assert_ne!(armed(&world).1, 0);
}
