//! Many processes at once: nothing is locked out, nothing floods, nothing keeps a lock that is not its own. `scripts/campaign-storm` runs the
//! large ones.

use crate::delivery::bodies;
use crate::fault_campaign::whole;
use crate::support::{PATIENCE, World, eventually, text};
use serde_json::Value;
use std::time::{Duration, Instant};

/// Processes that each run `rounds` mixed operations one after the other; all must succeed, and every message arrives once.
fn storm(processes: usize, rounds: usize, limit: Duration) {
    let world = World::new();
    let team = world.launch(&["developer", "developer"]);
    world.write(
        "state/config.toml",
        "[limits]\nqueue_per_receiver = 10000\n",
    );
    let ids = [&team.supervisor, &team.workers[0], &team.workers[1]];
    let mut times: Vec<Duration> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..processes)
            .map(|process| {
                let world = &world;
                scope.spawn(move || {
                    let mut times = Vec::new();
                    for round in 0..rounds {
                        let id = ids[(process + round) % ids.len()];
                        let body = format!("storm {process} {round}");
                        let begun = Instant::now();
                        match (process + round) % 5 {
                            0 => drop(world.run(["send", id, "-m", &body]).ok()),
                            1 | 2 => drop(world.run(["sessions"]).ok()),
                            3 => drop(world.run(["inbox", id]).ok()),
                            _ => drop(world.run(["explain", id]).ok()),
                        }
                        times.push(begun.elapsed());
                    }
                    times
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    times.sort();
    let (median, p99, slowest) = (
        times[times.len() / 2],
        times[times.len() * 99 / 100],
        times[times.len() - 1],
    );
    eprintln!("{processes} x {rounds}: median {median:?}, p99 {p99:?}, slowest {slowest:?}");
    assert!(slowest < limit, "{slowest:?}");
    let sent = (0..processes)
        .flat_map(|process| (0..rounds).map(move |round| process + round))
        .filter(|n| n % 5 == 0)
        .count();
    let end = Instant::now() + PATIENCE + Duration::from_millis(200) * u32::try_from(sent).unwrap();
    loop {
        let rows = world.run(["inbox", "--limit", "100000"]).json();
        let rows = rows.as_array().unwrap();
        assert_eq!(rows.len(), sent);
        if rows.iter().all(|m| m["status"] == "submitted") {
            break;
        }
        assert!(Instant::now() < end, "not all have arrived");
        std::thread::sleep(Duration::from_millis(200));
    }
    let mut heard: Vec<String> = ids.iter().flat_map(|id| bodies(&world, id)).collect();
    heard.sort();
    heard.dedup();
    assert_eq!(heard.len(), sent, "each once");
}

#[test]
fn processes_with_many_operations_at_once_all_succeed() {
    if whole() {
        storm(50, 100, Duration::from_secs(20));
    } else {
        storm(20, 20, Duration::from_secs(10));
    }
}

/// `senders` at once, each with three messages to one receiver: nobody is refused, and the order of each is kept.
fn at_once(senders: usize) {
    const EACH: usize = 3;
    let world = World::new();
    let id = world.agent();
    world.write(
        "state/config.toml",
        "[limits]\nqueue_per_receiver = 10000\n",
    );
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for sender in 0..senders {
            let (world, id) = (&world, &id);
            scope.spawn(move || {
                for n in 0..EACH {
                    let body = format!("from {sender} number {n}");
                    let done = world.run(["send", id, "-m", &body]).done();
                    assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{done:?}");
                }
            });
        }
    });
    let all = senders * EACH;
    let accepted = begun.elapsed();
    let end = Instant::now() + PATIENCE + Duration::from_millis(800) * u32::try_from(all).unwrap();
    while world.status(&id)["unread"] != 0 {
        assert!(Instant::now() < end, "not all have arrived");
        std::thread::sleep(Duration::from_millis(200));
    }
    eprintln!(
        "{senders} senders: {all} accepted in {accepted:?}, proven in {:?}",
        begun.elapsed()
    );
    let heard = bodies(&world, &id);
    assert_eq!(heard.len(), all);
    for sender in 0..senders {
        let prefix = format!("from {sender} number ");
        let own: Vec<&str> = heard
            .iter()
            .filter_map(|body| body.strip_prefix(&prefix))
            .collect();
        assert_eq!(own, ["0", "1", "2"], "of sender {sender}");
    }
}

#[test]
fn many_senders_at_once_are_all_heard_in_their_order() {
    for senders in [2, 8, 32, 100] {
        if senders < 100 || whole() {
            at_once(senders);
        }
    }
}

/// A `tmux` that says that it was started.
fn counted_tmux(world: &World) -> (String, std::path::PathBuf) {
    let log = world.at("tmux.log");
    let real = std::env::var("CONDUCTOR_TEST_TMUX").unwrap_or_else(|_| "/usr/bin/tmux".to_owned());
    let script = world.script(
        "counted/tmux",
        &format!("echo \"$*\" >>{}\nexec {real} \"$@\"", log.display()),
    );
    let path = format!(
        "{}:/usr/local/bin:/usr/bin:/bin",
        script.parent().unwrap().display()
    );
    (path, log)
}

#[test]
fn the_tmux_program_delivers_as_well_as_its_protocol() {
    let world = World::new();
    let id = world.agent();
    let (path, log) = counted_tmux(&world);
    let by_program = |body: &str| {
        world
            .run(["send", &id, "--wait", "20", "-m", "-"])
            .stdin(body)
            .env("PATH", &path)
            .env("CONDUCTOR_TMUX_CLIENT", "program")
            .json()
    };
    let large = "x".repeat(20_000);
    for body in ["SAY one line", "SAY two\nSAY lines", &large] {
        let message = by_program(body);
        assert!(log.exists(), "the program was started");
        if body.len() < 10_000 {
            assert_eq!(message["status"], "submitted", "{message}");
        }
        world.wait(&id, "idle");
    }
    std::fs::remove_file(&log).unwrap();
    world
        .run(["send", &id, "-m", "SAY by the socket"])
        .env("PATH", &path)
        .ok();
    assert!(!log.exists(), "without the switch no program is started");
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
        for asked in world.pending() {
            world.run(["approve", &text(&asked["id"])]).try_done();
        }
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
