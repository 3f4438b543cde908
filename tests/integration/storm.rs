//! Many processes at once: nothing is locked out, nothing floods, nothing keeps a lock that is not its own.

use crate::delivery::bodies;
use crate::support::{World, eventually, text};
use serde_json::Value;
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

/// Two agents that answer every message with a message; returns the one that the brake holds back.
pub(crate) fn echoing(world: &World, options: &str) -> Value {
    let team = world.launch(&["developer"]);
    let (a, b) = (&team.supervisor, &team.workers[0]);
    // Each agent runs this for each message that it gets, and so causes the next one.
    let script = world.script(
        "echo.sh",
        &format!(
            "to={b}; [ \"$CONDUCTOR_TERMINAL_ID\" = {a} ] || to={a}\nexec \"$CONDUCTOR_HOOK\" send $to {options} -m \"RUN $0\""
        ),
    );
    world
        .person(["send", a, "-m", &format!("RUN {}", script.display())])
        .ok();
    eventually("the brake holds a message", || {
        let held = world.run(["inbox", "--status", "held"]).json();
        held.as_array().unwrap().first().cloned()
    })
}

#[test]
fn two_agents_that_only_answer_each_other_are_stopped() {
    let world = World::new();
    let held = echoing(&world, "");
    let why = text(&held["last_error"]);
    assert!(why.starts_with("LOOP: 24 messages"), "{why}");
    let count = || {
        world
            .run(["inbox", "--limit", "1000"])
            .json()
            .as_array()
            .unwrap()
            .len()
    };
    let all = count();
    assert!(all <= 26, "{all} messages before the brake held");
    let begun = Instant::now();
    world.tmux(["display-message", "-p", "x"]);
    assert!(begun.elapsed() < Duration::from_secs(1), "tmux answers");
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(count(), all, "nothing goes on");
    // A person lets it go, and the two begin anew.
    world.person(["inbox", "retry", &text(&held["id"])]).ok();
    world.message_becomes(&text(&held["id"]), "submitted");
}

#[test]
fn a_flood_of_the_largest_messages_is_refused_by_its_bytes() {
    let world = World::new();
    let id = world.agent();
    world.write(
        "state/config.toml",
        "[limits]\nwaiting_bytes_per_session = 4000000\n",
    );
    let pane = text(&world.status(&id)["pane"]);
    world.tmux(["copy-mode", "-t", &pane]);
    let body = "x".repeat(1024 * 1024);
    let mut slowest = Duration::ZERO;
    for n in 0..8 {
        let done = world.run(["send", &id, "-m", "-"]).stdin(&body).done();
        if n < 3 {
            done.ok();
        } else {
            let error = done.fails(4);
            assert!(
                error.contains("limits.waiting_bytes_per_session")
                    && error.contains("3145728 bytes"),
                "{error}"
            );
        }
        let begun = Instant::now();
        world.tmux(["display-message", "-p", "x"]);
        slowest = slowest.max(begun.elapsed());
    }
    assert!(
        slowest < Duration::from_secs(1),
        "tmux answers in {slowest:?}"
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
