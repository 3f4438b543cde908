//! Many processes at once: nothing is locked out, nothing floods, nothing keeps a lock that is not its own.

use crate::delivery::bodies;
use crate::support::{World, eventually, text};
use std::time::{Duration, Instant};

#[test]
fn twenty_processes_with_twenty_operations_each_all_succeed() {
    let world = World::new();
    let team = world.launch(&["developer", "developer"]);
    let ids = [&team.supervisor, &team.workers[0], &team.workers[1]];
    let slowest = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..20)
            .map(|process: usize| {
                let world = &world;
                scope.spawn(move || {
                    let mut slowest = Duration::ZERO;
                    for round in 0..20 {
                        let id = ids[(process + round) % ids.len()];
                        let body = format!("storm {process} {round}");
                        let begun = Instant::now();
                        match (process + round) % 5 {
                            0 => drop(world.run(["send", id, "-m", &body]).ok()),
                            1 | 2 => drop(world.run(["sessions"]).ok()),
                            3 => drop(world.run(["inbox", id]).ok()),
                            _ => drop(world.run(["explain", id]).ok()),
                        }
                        slowest = slowest.max(begun.elapsed());
                    }
                    slowest
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .max()
    });
    assert!(slowest < Some(Duration::from_secs(10)), "{slowest:?}");
    eventually("all have arrived", || {
        let rows = world.run(["inbox", "--limit", "1000"]).json();
        let rows = rows.as_array().unwrap();
        assert_eq!(rows.len(), 80);
        rows.iter()
            .all(|m| m["status"] == "submitted")
            .then_some(())
    });
    let mut heard: Vec<String> = ids.iter().flat_map(|id| bodies(&world, id)).collect();
    heard.sort();
    heard.dedup();
    assert_eq!(heard.len(), 80, "each once");
}

#[test]
fn a_flood_is_refused_where_the_queue_ends() {
    let world = World::new();
    let id = world.agent();
    world.write("state/config.toml", "[limits]\nqueue_per_receiver = 5\n");
    let pane = text(&world.status(&id)["pane"]);
    world.tmux(["copy-mode", "-t", &pane]);
    for n in 0..5 {
        world.send(&id, &format!("SAY {n}"));
    }
    let error = world.run(["send", &id, "-m", "one too many"]).fails(4);
    assert!(error.contains("limits.queue_per_receiver"), "{error}");
    let begun = Instant::now();
    world.tmux(["display-message", "-p", "x"]);
    assert!(begun.elapsed() < Duration::from_secs(1), "tmux answers");
    world.tmux(["send-keys", "-t", &pane, "-X", "cancel"]);
    eventually("the queue empties", || {
        (world.status(&id)["unread"] == 0).then_some(())
    });
    world.send(&id, "SAY room again");
}

#[test]
fn two_agents_that_only_answer_each_other_are_stopped() {
    let world = World::new();
    let team = world.launch(&["developer"]);
    let (a, b) = (&team.supervisor, &team.workers[0]);
    let mut sent = 0;
    // Each is told by its own process to write to the other, as an agent does that answers every message.
    let script = |to: &str| {
        format!(
            "for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do \"$CONDUCTOR_HOOK\" send {to} -m \"echo $n\" || exit 0; done"
        )
    };
    for _ in 0..2 {
        world.shell(a, &script(b));
        world.shell(b, &script(a));
        sent += 32;
    }
    let rows = world.run(["inbox", "--limit", "1000"]).json();
    let between = rows
        .as_array()
        .unwrap()
        .iter()
        .filter(|m| text(&m["body"]).starts_with("echo "))
        .filter(|m| m["status"] != "held")
        .count();
    assert!(
        between < sent,
        "the brake held: {between} of {sent} went through"
    );
}

#[test]
fn a_tmux_server_that_a_helper_starts_does_not_inherit_its_locks() {
    let world = World::without_tmux_server();
    world
        .run(["launch", "-p", "demo", "--session", "first"])
        .json();
    let held: Vec<String> = world
        .processes()
        .iter()
        .filter(|process| !process.ours())
        .flat_map(|process| {
            std::fs::read_dir(format!("/proc/{}/fd", process.pid))
                .into_iter()
                .flatten()
                .flatten()
                .filter_map(|entry| std::fs::read_link(entry.path()).ok())
                .map(|target| format!("{}: {}", process.command, target.display()))
        })
        .filter(|line| line.contains(".lock") || line.contains("conductor.db"))
        .collect();
    assert_eq!(held, Vec::<String>::new(), "open in another program");
    // Killed in the middle of a launch that starts the server: nobody holds the lock.
    let other = World::without_tmux_server();
    for ms in [5, 10, 20, 40, 80] {
        let launch = other.run(["launch", "-p", "demo"]).start();
        std::thread::sleep(Duration::from_millis(ms));
        launch.kill();
        let begun = Instant::now();
        let lock = other.home().join("conductor.lock");
        if lock.exists() {
            let done = other.run_shell(&format!("flock -w 2 {} true", lock.display()));
            assert_eq!(done.code, 0, "the lock is held after {ms} ms: {done:?}");
        }
        assert!(begun.elapsed() < Duration::from_secs(2));
    }
}
