//! Hours of everyday use: messages, approvals, flows, panes that are killed. What is counted stays flat.

use crate::support::{World, eventually, text};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

/// Agents of the team.
const AGENTS: usize = 12;

/// How often it is counted.
const SAMPLES: u32 = 40;

/// Numbers that are the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

/// What was counted at one moment.
#[derive(Debug, Clone)]
struct Sample {
    panes: usize,
    /// Open files of the tmux server, without those of its panes.
    server_files: usize,
    /// The most that an MCP server has open.
    mcp_files: usize,
    /// Kilobytes of the largest MCP server.
    mcp_memory: u64,
    zombies: BTreeSet<i32>,
    database: u64,
    wal: u64,
}

/// Children of this world that have ended and that nobody has waited for.
fn zombies(parents: &BTreeSet<i32>) -> BTreeSet<i32> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let Some((head, rest)) = stat.rsplit_once(") ") else {
            continue;
        };
        let mut words = rest.split(' ');
        let state = words.next();
        let parent = words.next().and_then(|word| word.parse().ok());
        if state == Some("Z")
            && parent.is_some_and(|pid| parents.contains(&pid))
            && let Some(pid) = head.split(' ').next().and_then(|word| word.parse().ok())
        {
            found.insert(pid);
        }
    }
    found
}

fn files(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |list| list.flatten().count())
}

fn memory(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse().ok())
        .unwrap_or(0)
}

fn sample(world: &World) -> Sample {
    let server: i32 = world
        .tmux(["display-message", "-p", "#{pid}"])
        .parse()
        .unwrap();
    let piped = world.tmux(["list-panes", "-a", "-F", "#{pane_pipe}"]);
    let logged = piped.lines().filter(|line| *line == "1").count();
    let panes = piped.lines().count();
    let processes = world.processes();
    let mcp: Vec<i32> = processes
        .iter()
        .filter(|p| p.command.ends_with(" mcp"))
        .map(|p| p.pid)
        .collect();
    let size = |name: &str| fs::metadata(world.at(name)).map_or(0, |meta| meta.len());
    Sample {
        panes,
        server_files: files(server).saturating_sub(panes + logged),
        mcp_files: mcp.iter().map(|pid| files(*pid)).max().unwrap_or(0),
        mcp_memory: mcp.iter().map(|pid| memory(*pid)).max().unwrap_or(0),
        zombies: zombies(&processes.iter().map(|p| p.pid).collect()),
        database: size("state/db/conductor.db"),
        wal: size("state/db/conductor.db-wal"),
    }
}

fn median(samples: &[Sample], of: impl Fn(&Sample) -> u64) -> u64 {
    let mut all: Vec<u64> = samples.iter().map(of).collect();
    all.sort_unstable();
    all[all.len() / 2]
}

/// What was sent, asked and killed.
#[derive(Debug, Default)]
struct Tally {
    sent: Vec<String>,
    refused: BTreeMap<i32, usize>,
    approved: usize,
    denied: usize,
    killed: usize,
}

/// The people and the agents of the team, one step.
fn step(world: &World, team: &mut [String], random: &mut Random, tally: &mut Tally) {
    let at = random.below(team.len());
    let id = team[at].clone();
    let other = team[random.below(team.len())].clone();
    let body = match random.below(40) {
        0..=19 => format!("SAY step {}", tally.sent.len()),
        20..=24 => "STREAM 300".to_owned(),
        25..=29 => "SLEEP 0.3\nSAY slept".to_owned(),
        30..=32 => format!(
            "MCP send_message {{\"receiver\": \"{other}\", \"message\": \"SAY from {id}\"}}"
        ),
        33..=34 => format!("RUN touch {}", world.at("made").display()),
        35 => "ERROR bad luck".to_owned(),
        36 => {
            world.run(["ls"]).done();
            world.run(["output", &id]).done();
            return;
        }
        37 => {
            world.run(["sessions"]).done();
            world.run(["inbox", "--limit", "20"]).done();
            return;
        }
        38 => {
            for (number, asked) in world.pending().iter().enumerate() {
                let id = text(&asked["id"]);
                let done = world
                    .run([if number % 2 == 0 { "approve" } else { "deny" }, &id])
                    .done();
                let count = if number % 2 == 0 {
                    &mut tally.approved
                } else {
                    &mut tally.denied
                };
                *count += usize::from(done.code == 0);
            }
            return;
        }
        _ => {
            if random.below(2) == 0 {
                world.kill("-KILL", world.pane_pid(&id));
            } else {
                let pane = text(&world.status(&id)["pane"]);
                world.try_tmux(["kill-pane", "-t", &pane]);
            }
            world.run(["tick"]).done();
            tally.killed += 1;
            let log = format!("CONDUCTOR_DEMO_LOG={}", world.at("demo.log").display());
            let new = world
                .run(["worker", "work", "-p", "demo", "--env", &log])
                .json();
            team[at] = text(&new["id"]);
            return;
        }
    };
    let done = world.run(["send", &id, "-m", &body, "--json"]).done();
    if done.code == 0 {
        let message: Value = serde_json::from_str(&done.stdout).unwrap();
        tally.sent.push(text(&message["id"]));
    } else {
        *tally.refused.entry(done.code).or_default() += 1;
    }
}

/// `CONDUCTOR_CAMPAIGN_MINUTES=N` lasts so long (`scripts/campaign-soak`: two hours), `CONDUCTOR_CAMPAIGN_SEED` in which order.
#[test]
fn hours_of_use_leave_nothing_behind() {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let minutes = number("CONDUCTOR_CAMPAIGN_MINUTES");
    let length = minutes.map_or(Duration::from_secs(12), Duration::from_mins);
    let seed = number("CONDUCTOR_CAMPAIGN_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("seed {seed}");
    let mut random = Random(seed);
    let world = World::new();
    world.run(["init"]).ok();
    world.run(["plugin", "load"]).ok();
    let launched = world.launch(&["developer"; AGENTS - 1]);
    let mut team: Vec<String> = [launched.supervisor]
        .into_iter()
        .chain(launched.workers)
        .collect();
    let flow = "---\nname: pulse\nschedule: \"* * * * *\"\ntimezone: UTC\nagent_profile: developer\nprovider: demo\n---\nSAY pulse\n";
    let flow = world.write("flows/pulse.md", flow);
    world.run(["flow", "add", &flow.to_string_lossy()]).ok();

    let begun = Instant::now();
    let mut tally = Tally::default();
    let mut samples: Vec<Sample> = Vec::new();
    let mut said = 0;
    while begun.elapsed() < length {
        step(&world, &mut team, &mut random, &mut tally);
        // A second between two steps in the long form: a person's pace, for hours.
        let pause = if minutes.is_some() { 900 } else { 20 };
        std::thread::sleep(Duration::from_millis(pause));
        let next = u32::try_from(samples.len() + 1).unwrap();
        if begun.elapsed() >= length / SAMPLES * next {
            samples.push(sample(&world));
        }
        if begun.elapsed().as_secs() / 600 > said {
            said = begun.elapsed().as_secs() / 600;
            let last = samples.last();
            eprintln!("{} minutes: {} sent, {last:?}", said * 10, tally.sent.len());
        }
    }

    let end = Instant::now() + Duration::from_mins(3);
    let rows = loop {
        world.run(["tick"]).done();
        for asked in world.pending() {
            world.run(["deny", &text(&asked["id"])]).try_done();
        }
        let rows = world.run(["inbox", "--limit", "1000000"]).json();
        let rows = rows.as_array().unwrap().clone();
        let open = rows.iter().filter(|m| {
            ["held", "queued", "claimed", "placed"].contains(&m["status"].as_str().unwrap())
        });
        let open: Vec<&Value> = open.collect();
        if open.is_empty() {
            break rows;
        }
        assert!(Instant::now() < end, "not settled: {open:?}");
        std::thread::sleep(Duration::from_millis(200));
    };

    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    for id in &tally.sent {
        let row = rows.iter().find(|row| row["id"] == id.as_str());
        let row = row.unwrap_or_else(|| panic!("message {id} is gone"));
        let status = text(&row["status"]);
        let alive = team.contains(&text(&row["receiver"]));
        assert!(
            status == "submitted" || !alive,
            "an agent that lives did not get it: {row}"
        );
        *outcomes.entry(status).or_default() += 1;
    }
    eventually("no helper is left", || {
        world.helpers().is_empty().then_some(())
    });
    samples.push(sample(&world));
    let lasting = samples
        .windows(2)
        .flat_map(|pair| pair[0].zombies.intersection(&pair[1].zombies).copied());
    assert_eq!(lasting.collect::<Vec<i32>>(), Vec::<i32>::new(), "zombies");
    let quarter = (samples.len() / 4).max(1);
    let (early, late) = (&samples[..quarter], &samples[samples.len() - quarter..]);
    let flat = |what: &str, slack: u64, of: &dyn Fn(&Sample) -> u64| {
        let (before, after) = (median(early, of), median(late, of));
        assert!(after <= before + slack, "{what}: {before} became {after}");
        (before, after)
    };
    let files = flat("the tmux server's files", 4, &|s| s.server_files as u64);
    let mcp = flat("an MCP server's files", 2, &|s| s.mcp_files as u64);
    let memory = flat("an MCP server's memory in kB", 1_024, &|s| s.mcp_memory);
    let most = |of: &dyn Fn(&Sample) -> u64| samples.iter().map(of).max().unwrap_or(0);
    let database = most(&|s| s.database);
    assert!(database < 50_000_000, "the database has {database} bytes");
    let log = fs::read_to_string(world.at("state/logs/conductor.log")).unwrap_or_default();
    let panics: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("internal error"))
        .collect();
    assert_eq!(panics, Vec::<&str>::new());
    assert_eq!(world.run(["audit", "verify"]).done().code, 0);
    let runs = world
        .run(["flow", "history", "pulse", "--limit", "1000"])
        .json();
    eprintln!(
        "{} s with {AGENTS} agents: {} messages {outcomes:?}, refused (by exit code) {:?}, {} approved, {} denied, {} panes killed, {} runs of a flow; \
         files of the tmux server {files:?}, of an MCP server {mcp:?}, its memory {memory:?} kB; at most {} panes, database {database} bytes, WAL {} bytes",
        begun.elapsed().as_secs(),
        tally.sent.len(),
        tally.refused,
        tally.approved,
        tally.denied,
        tally.killed,
        runs.as_array().unwrap().len(),
        most(&|s| s.panes as u64),
        most(&|s| s.wal),
    );
}
