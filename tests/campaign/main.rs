//! `campaign`: messages among demo agents while helpers, hooks, agents and the tmux server are killed. The judge reads what the agents'
//! own programs received.
//!
//! ```text
//! campaign --bin PATH [--seed N] [--messages N] [--agents N] [--senders N] [--restarts N] [--takeovers N] [--minutes N] [--keep]
//! ```

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test starts programs, writes files, and fails loudly"
)]

mod chaos;
mod oracle;
mod random;
mod senders;
mod world;

use chaos::Chaos;
use senders::{Plan, Tally};
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use world::World;

struct Options {
    binary: PathBuf,
    seed: u64,
    messages: usize,
    agents: usize,
    minutes: Option<u64>,
    senders: usize,
    restarts: usize,
    takeovers: usize,
    keep: bool,
    debug: bool,
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        binary: PathBuf::new(),
        seed: std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(1, |since| since.as_secs()),
        messages: 300,
        agents: 8,
        minutes: None,
        senders: 8,
        restarts: 3,
        takeovers: 10,
        keep: false,
        debug: false,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        let number = |text: String| text.parse::<u64>().map_err(|e| format!("{text}: {e}"));
        let size = |text: String| text.parse::<usize>().map_err(|e| format!("{text}: {e}"));
        match argument.as_str() {
            "--bin" => options.binary = PathBuf::from(value()?),
            "--seed" => options.seed = number(value()?)?,
            "--messages" => options.messages = size(value()?)?,
            "--agents" => options.agents = size(value()?)?.max(2),
            "--minutes" => options.minutes = Some(number(value()?)?),
            "--senders" => options.senders = size(value()?)?.max(1),
            "--restarts" => options.restarts = size(value()?)?,
            "--takeovers" => options.takeovers = size(value()?)?,
            "--keep" => options.keep = true,
            other => return Err(format!("unknown argument {other}")),
        }
    }
    options.binary = fs::canonicalize(&options.binary).map_err(|e| format!("--bin: {e}"))?;
    // The clock can be set wrong in a debug build only.
    options.debug = options
        .binary
        .components()
        .any(|part| part.as_os_str() == "debug");
    Ok(options)
}

fn main() -> ExitCode {
    match options() {
        Ok(options) => campaign(&options),
        Err(why) => {
            eprintln!("campaign: {why}");
            ExitCode::from(2)
        }
    }
}

fn campaign(options: &Options) -> ExitCode {
    let begun = Instant::now();
    let world = World::new(&options.binary, options.keep);
    let version = world.tmux(["-V"]).out;
    println!("campaign: seed {}, {}", options.seed, version.trim());
    world.start_server();
    for _ in 0..options.agents {
        if world.launch().is_none() {
            eprintln!("campaign: an agent could not be launched");
            return ExitCode::FAILURE;
        }
    }
    let launched = begun.elapsed();
    let plan = Plan {
        seed: options.seed,
        messages: options.messages,
        end: options
            .minutes
            .map(|minutes| begun + Duration::from_secs(minutes * 60)),
        debug: options.debug,
    };
    let (next, all, tally) = (
        AtomicUsize::new(0),
        Mutex::new(Vec::new()),
        Tally::default(),
    );
    let stop = AtomicBool::new(false);
    let chaos = Chaos::new(&world, &plan, &next);
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..options.senders)
            .map(|n| {
                let (world, plan, next, all, tally, stop) =
                    (&world, &plan, &next, &all, &tally, &stop);
                scope.spawn(move || senders::run(world, plan, n, next, all, tally, stop))
            })
            .collect();
        scope.spawn(|| chaos.hooks(&stop));
        scope.spawn(|| senders::pace(&world, &tally, &stop));
        let disasters = scope.spawn(|| chaos.disasters(options.agents));
        for sender in senders {
            let _ = sender.join();
        }
        let _ = disasters.join();
        chaos.takeovers(options.takeovers);
        chaos.restarts(options.restarts);
        stop.store(true, Ordering::Relaxed);
    });
    let sent_in = begun.elapsed();
    let rows = chaos.settle(Duration::from_secs(120 + options.messages as u64 / 40));
    let helpers = world.leftovers(Duration::from_secs(20));
    let log = fs::read_to_string(world.at("demo.log")).unwrap_or_default();
    let mut sent = all.into_inner().unwrap();
    sent.extend(chaos.extra());
    let mut verdict = oracle::judge(&sent, &rows, &log, &world.agents.lock().unwrap());

    for line in chaos.stuck(&rows) {
        verdict.evidence.insert(0, line);
    }
    for stray in world.strayed() {
        verdict.wrong("mistyped", stray);
    }
    let buffers = world.tmux(["list-buffers"]).out;
    if !buffers.is_empty() {
        verdict.wrong("buffers left", buffers);
    }
    for helper in helpers {
        verdict.wrong("helpers left", helper);
    }
    for panic in fs::read_to_string(world.at("state/logs/conductor.log"))
        .unwrap_or_default()
        .lines()
        .filter(|line| line.contains("internal error"))
    {
        verdict.wrong("panics", panic.to_owned());
    }
    for other in tally.other.lock().unwrap().drain(..) {
        verdict.wrong("surprising failures", other);
    }
    let latencies = tally.latencies.into_inner().unwrap();
    let get = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    println!(
        "\n  {:6} messages to {} agents, {} senders at once",
        sent.len(),
        options.agents,
        options.senders
    );
    println!(
        "  {:6} senders killed, {} in 100; {} of them left a tmux client behind",
        get(&tally.killed),
        get(&tally.killed) * 100 / sent.len().max(1),
        get(&tally.orphaned)
    );
    println!(
        "  {:6} sends through tmux's own program",
        get(&tally.programs)
    );
    println!("  {:6} hooks killed", chaos.hooks_killed());
    println!(
        "  {:6} agents killed or closed; another program took over the pane of {}",
        chaos.agents_ended(),
        chaos.evicted()
    );
    println!("  {:6} tmux servers killed", chaos.servers_killed());
    println!("  {:6} times the disk was full", chaos.disk_filled());
    if !world.own_disk {
        println!(
            "         NOT RUN: the full disk (no right to mount a file system of its own); helpers that may not write stand in"
        );
    }
    if !options.debug {
        println!("         NOT RUN: wrong clocks (a release build has no switch for them)");
    }
    println!(
        "  {:6} helpers that may not write, {} with a wrong clock",
        get(&tally.short_of_disk),
        get(&tally.skewed)
    );
    println!(
        "  {:6} sends refused, {} of what is no text",
        get(&tally.refused),
        get(&tally.not_text)
    );
    println!(
        "  {:6} ms: the slowest send",
        latencies.iter().max().unwrap_or(&0)
    );
    for slow in tally.slow.lock().unwrap().iter() {
        println!("         slow: {slow}");
    }
    println!("  ------");
    for what in [
        "accepted",
        "submitted",
        "ended with a reason",
        "repeated (again)",
        "cut off with its agent",
        "announced, to be read",
    ] {
        println!("  {:6} {what}", verdict.figures.get(what).unwrap_or(&0));
    }
    println!("  ------");
    let mut bad = 0;
    for what in [
        "lost",
        "torn",
        "out of order",
        "pasted twice",
        "repeated unmarked",
        "misplaced",
        "mistyped",
        "not accepted",
        "stored twice",
        "unsettled",
        "no reason",
        "buffers left",
        "helpers left",
        "panics",
        "surprising failures",
    ] {
        let count = verdict.figures.get(what).copied().unwrap_or(0);
        bad += count;
        println!("  {count:6} {what}");
    }
    println!(
        "\n  launched in {:.0} s, sent in {:.0} s, settled in {:.0} s; seed {}",
        launched.as_secs_f64(),
        (sent_in.saturating_sub(launched)).as_secs_f64(),
        (begun.elapsed().saturating_sub(sent_in)).as_secs_f64(),
        options.seed
    );
    for line in verdict.evidence.iter().take(25) {
        println!("  ! {}", line.chars().take(700).collect::<String>());
    }
    if bad > 0 {
        println!("campaign: FAILED with seed {}", options.seed);
        return ExitCode::FAILURE;
    }
    println!("campaign: passed");
    ExitCode::SUCCESS
}
