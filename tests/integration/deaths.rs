//! A tmux server that is killed again and again, during deliveries, flows and recoveries, loses nothing.

use crate::delivery::received;
use crate::support::{World, eventually, text};
use serde_json::Value;
use std::fs;
use std::time::{Duration, Instant};

const HOUR_MS: i64 = 3_600_000;

/// How long everything may take to come to an end.
const LIMIT: Duration = Duration::from_mins(3);

/// Numbers that are the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn nap(&mut self, limit_ms: u64) {
        std::thread::sleep(Duration::from_millis(self.below(limit_ms)));
    }
}

/// A server whose agents, those of flows too, log what they receive.
fn start_server(world: &World) {
    world.start_server();
    let log = world.at("demo.log");
    let name = "CONDUCTOR_DEMO_LOG";
    world.tmux(["set-environment", "-g", name, &log.to_string_lossy()]);
    world.run(["plugin", "load"]).ok();
}

fn kill_server(world: &World, pid: i32) {
    world.kill("-KILL", pid);
    eventually("the server and its agents are gone", || {
        // A flow whose time had come has started another one.
        let other = world.try_tmux(["display-message", "-p", "#{pid}"]);
        if let Ok(pid) = other.stdout.trim().parse() {
            world.kill("-KILL", pid);
            return None;
        }
        let left = world.processes();
        let agents = left
            .iter()
            .filter(|p| p.command.starts_with("conductor-demo"));
        (agents.count() == 0).then_some(())
    });
}

fn server(world: &World) -> i32 {
    let pid = world.tmux(["display-message", "-p", "#{pid}"]);
    pid.parse().unwrap()
}

fn history(world: &World) -> Vec<Value> {
    let rows = world
        .run(["flow", "history", "pulse", "--limit", "1000"])
        .json();
    rows.as_array().unwrap().clone()
}

fn lost(world: &World) -> usize {
    world.run(["recover"]).json().as_array().unwrap().len()
}

/// One life of a server: messages, a flow and a risky call, until it is killed. Returns the ids of the messages that were accepted.
fn live(world: &World, team: &[String], round: i64, random: &mut Random) -> Vec<String> {
    let pid = server(world);
    let tick = world
        .run(["tick"])
        .env("CONDUCTOR_CLOCK_SKEW", (round * HOUR_MS).to_string())
        .start();
    let mut sending = Vec::new();
    for n in 0..6 {
        let id = &team[usize::try_from(random.below(2)).unwrap()];
        let pause = if n == 0 { "SLEEP 0.4\n" } else { "" };
        let body = format!("{pause}SAY round {round} number {n}");
        sending.push(world.run(["send", id, "-m", &body, "--json"]).start());
        random.nap(60);
    }
    let risky = format!("RUN touch {}", world.at("made").display());
    sending.push(
        world
            .run(["send", &team[2], "-m", &risky, "--json"])
            .start(),
    );
    random.nap(1_200);
    kill_server(world, pid);
    tick.done();
    sending
        .into_iter()
        .map(|run| run.done())
        .filter(|done| done.code == 0)
        .map(|done| text(&serde_json::from_str::<Value>(&done.stdout).unwrap()["id"]))
        .collect()
}

/// `CONDUCTOR_CAMPAIGN_DEATHS=N` kills so many (`scripts/campaign-recovery`: twenty), `CONDUCTOR_CAMPAIGN_SEED` at which moments.
#[test]
fn a_server_that_dies_again_and_again_loses_nothing() {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let deaths = i64::try_from(number("CONDUCTOR_CAMPAIGN_DEATHS").unwrap_or(5)).unwrap();
    let seed = number("CONDUCTOR_CAMPAIGN_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("seed {seed}");
    let mut random = Random(seed);
    let world = World::without_tmux_server();
    start_server(&world);
    let team = world.launch(&["developer", "developer"]);
    let team: Vec<String> = [team.supervisor].into_iter().chain(team.workers).collect();
    let flow = "---\nname: pulse\nschedule: \"0 * * * *\"\ntimezone: UTC\nagent_profile: developer\nprovider: demo\n---\nSAY pulse\n";
    let flow = world.write("flows/pulse.md", flow);
    world.run(["flow", "add", &flow.to_string_lossy()]).ok();

    let mut accepted = Vec::new();
    let mut killed = 0;
    for round in 1..=deaths {
        accepted.extend(live(&world, &team, round, &mut random));
        killed += 1;
        start_server(&world);
        if round % 3 == 0 {
            // The next server dies in the middle of the recovery.
            let pid = server(&world);
            let recovery = world.run(["recover", "--resume", "--json"]).start();
            random.nap(400);
            kill_server(&world, pid);
            recovery.done();
            killed += 1;
            start_server(&world);
        }
        let end = Instant::now() + LIMIT;
        while lost(&world) > 0 {
            world.run(["recover", "--resume", "--json"]).done();
            assert!(
                Instant::now() < end,
                "round {round}: {}",
                world.run(["recover"]).ok()
            );
        }
        for id in &team {
            world.wait(id, "idle,working,waiting");
        }
    }

    let end = Instant::now() + LIMIT;
    let rows = loop {
        let skew = (deaths * HOUR_MS + 20_000).to_string();
        world.run(["tick"]).env("CONDUCTOR_CLOCK_SKEW", skew).ok();
        for asked in world.pending() {
            world.run(["deny", &text(&asked["id"])]).try_done();
        }
        let rows = world.run(["inbox", "--limit", "100000"]).json();
        let rows = rows.as_array().unwrap().clone();
        let open = rows.iter().any(|m| {
            ["held", "queued", "claimed", "placed"].contains(&m["status"].as_str().unwrap())
        });
        let running = history(&world)
            .iter()
            .any(|run| run["outcome"] == "running");
        if !open && !running {
            break rows;
        }
        assert!(
            Instant::now() < end,
            "not settled: {rows:?} {:?}",
            history(&world)
        );
        std::thread::sleep(Duration::from_millis(200));
    };

    let mut repeated = 0;
    for id in &accepted {
        let row = rows.iter().find(|row| row["id"] == id.as_str());
        let row = row.unwrap_or_else(|| panic!("message {id} is gone"));
        assert_eq!(row["status"], "submitted", "{row}");
        let receiver = text(&row["receiver"]);
        let heard = received(&world, &receiver, id);
        assert!(!heard.is_empty(), "lost: {row}");
        let lines = world.demo_log(&receiver);
        let unmarked = lines
            .iter()
            .filter(|line| line["message_id"] == id.as_str() && line["event"] == "prompt")
            .filter(|line| {
                !text(&line["text"])
                    .split(']')
                    .next()
                    .unwrap()
                    .contains("(again)")
            })
            .count();
        assert!(unmarked <= 1, "twice without a word: {row}");
        if heard.len() > 1 {
            assert_eq!(row["again"], true, "{row}");
            repeated += 1;
        }
    }
    let runs = history(&world);
    assert_eq!(i64::try_from(runs.len()).unwrap(), deaths, "{runs:?}");
    let log = fs::read_to_string(world.at("demo.log")).unwrap();
    let starts = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["event"] == "start" && !team.contains(&text(&line["terminal"])))
        .count();
    assert!(
        starts <= runs.len(),
        "{starts} starts of {} times",
        runs.len()
    );
    let of = |outcome: &str| runs.iter().filter(|run| run["outcome"] == outcome).count();
    let reasoned = runs.iter().filter(|run| run["reason"].is_string()).count();
    assert_eq!(of("ran") + reasoned, runs.len(), "{runs:?}");
    let approvals = world.run(["approvals", "--limit", "1000"]).json();
    let approvals = approvals.as_array().unwrap();
    for approval in approvals {
        let granted = ["approved", "consumed"].contains(&approval["status"].as_str().unwrap());
        assert!(!granted, "granted by itself: {approval}");
    }
    assert!(!world.at("made").exists(), "nothing ran without a yes");
    assert_eq!(world.run(["audit", "verify"]).done().code, 0);
    eprintln!(
        "{killed} servers killed: {} messages accepted and submitted, {repeated} of them came again, marked; {} times of a flow: {} ran, {starts} starts; {} approvals, none granted; {} agents resumed",
        accepted.len(),
        runs.len(),
        of("ran"),
        approvals.len(),
        world.audited("terminal.resumed"),
    );
}
