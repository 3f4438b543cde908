//! Who sends: several at once, half of them killed on the way.

use crate::random::{Random, body, no_text};
use crate::world::{World, start, start_with};
use conductor::domain::text::sanitise;
use serde_json::Value;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// One message as it was meant.
pub(crate) struct Sent {
    pub(crate) number: usize,
    pub(crate) sender: usize,
    pub(crate) receiver: String,
    /// The text as it must arrive.
    pub(crate) clean: String,
    /// Its id, where the sender heard "yes".
    pub(crate) accepted: Option<u64>,
}

/// A send that takes longer than this is worth a look, in milliseconds.
const SLOW_MS: u128 = 5_000;

/// What happens to the senders.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) killed: AtomicUsize,
    pub(crate) refused: AtomicUsize,
    pub(crate) skewed: AtomicUsize,
    pub(crate) short_of_disk: AtomicUsize,
    pub(crate) programs: AtomicUsize,
    pub(crate) orphaned: AtomicUsize,
    pub(crate) not_text: AtomicUsize,
    pub(crate) other: Mutex<Vec<String>>,
    pub(crate) slow: Mutex<Vec<String>>,
    pub(crate) latencies: Mutex<Vec<u128>>,
    waiting: AtomicUsize,
}

impl Tally {
    /// Something that should not have happened.
    fn surprise(&self, what: String) {
        self.other.lock().unwrap().push(what);
    }
}

pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) messages: usize,
    pub(crate) end: Option<Instant>,
    pub(crate) debug: bool,
}

/// Sends the messages whose turn it is until all are sent or time is up.
pub(crate) fn run(
    world: &World,
    plan: &Plan,
    sender: usize,
    next: &AtomicUsize,
    all: &Mutex<Vec<Sent>>,
    tally: &Tally,
    stop: &AtomicBool,
) {
    let mut random = Random::new(plan.seed ^ (sender as u64 + 1) << 20);
    loop {
        if stop.load(Ordering::Relaxed) || plan.end.is_some_and(|end| Instant::now() > end) {
            return;
        }

        let patience = Instant::now() + Duration::from_secs(5);
        let ahead = || tally.waiting.load(Ordering::Relaxed) > world.agents.lock().unwrap().len();
        while ahead() && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(20));
        }
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= plan.messages {
            return;
        }
        let text = body(
            &mut Random::new(plan.seed.wrapping_add(number as u64 * 7919)),
            number,
        );
        let receiver = loop {
            let agents = world.agents.lock().unwrap();
            if let Some(id) = random.pick(&agents) {
                break id.clone();
            }
            drop(agents);
            std::thread::sleep(Duration::from_millis(20));
        };
        if random.chance(2) {
            let command = world.helper(["send", &receiver, "-m", "-"]);
            let done = start_with(command, &no_text(&mut random)).done(Duration::from_mins(1));
            tally.not_text.fetch_add(1, Ordering::Relaxed);
            if !matches!(done.code, 2 | 3) {
                tally.surprise(format!(
                    "what is no text ended with {}: {}",
                    done.code, done.err
                ));
            }
        }
        let key = format!("k{number}");
        let once = |random: &mut Random, kill: bool| {
            let mut command = world.helper(["send", &receiver, "--json", "--key", &key, "-m", "-"]);
            if plan.debug && random.chance(10) {
                let skew = ["3600000", "-3600000", "90000", "-90000"][random.below(4)];
                command.env("CONDUCTOR_CLOCK_SKEW", skew);
                tally.skewed.fetch_add(1, Ordering::Relaxed);
            }

            // A third goes through tmux's own program, which outlives a helper that is killed alone.
            let program = random.chance(33);
            if program {
                command.env("CONDUCTOR_TMUX_CLIENT", "program");
                tally.programs.fetch_add(1, Ordering::Relaxed);
            }
            let limit = random.chance(2);
            if limit {
                // A helper that may not write: as on a full disk.
                command = limited(world, &command);
                tally.short_of_disk.fetch_add(1, Ordering::Relaxed);
            }
            let begun = Instant::now();
            let mut running = start(command, &text);
            if kill {
                // Most of a helper's life is within its first milliseconds.
                let most = if random.chance(80) { 15_000 } else { 150_000 };
                let at = Duration::from_micros(random.below(most) as u64);
                std::thread::sleep(at);
                if random.chance(50) {
                    running.kill_group();
                } else {
                    running.kill();
                    if program {
                        tally.orphaned.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
            let done = running.done(Duration::from_mins(1));
            let took = begun.elapsed().as_millis();
            tally.latencies.lock().unwrap().push(took);
            if took > SLOW_MS {
                tally.slow.lock().unwrap().push(format!(
                    "number {number} to {receiver} took {took} ms (exit {}, by tmux's program: {program}, no disk: {limit}): {}",
                    done.code,
                    done.err.trim()
                ));
            }
            if done.code == 137 {
                tally.killed.fetch_add(1, Ordering::Relaxed);
            }
            if done.code == 0 {
                return serde_json::from_str::<Value>(&done.out)
                    .ok()
                    .and_then(|m| m["id"].as_str()?.parse().ok());
            }
            match done.code {
                // The receiver has ended, the disk is full, tmux is gone, or it was killed.
                3 | 4 | 6 | 7 => {
                    tally.refused.fetch_add(1, Ordering::Relaxed);
                }
                137 | 153 => {}
                // It may not even say so.
                1 if limit => {}

                code => tally.surprise(format!("exit {code}: {}", done.err.trim())),
            }
            None
        };
        let kill = random.chance(60);
        let mut accepted = once(&mut random, kill);
        if kill && accepted.is_none() && random.chance(50) {
            // Who heard nothing asks again with the same key.
            accepted = once(&mut random, false);
        }

        let clean = sanitise(text.trim_end_matches(['\n', '\r']));
        all.lock().unwrap().push(Sent {
            number,
            sender,
            receiver,
            clean,
            accepted,
        });
    }
}

/// Counts what waits for living agents, so that the queues stay short and a killed agent takes few messages with it.
pub(crate) fn pace(world: &World, tally: &Tally, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let done = world.run(["inbox", "--status", "queued", "--limit", "1000", "--json"]);
        if let Ok(rows) = serde_json::from_str::<Vec<Value>>(&done.out) {
            let agents = world.agents.lock().unwrap().clone();
            let lives = |row: &&Value| agents.iter().any(|id| row["receiver"] == id.as_str());
            let waiting = rows.iter().filter(lives).count();
            tally.waiting.store(waiting, Ordering::Relaxed);
        }
        std::thread::sleep(Duration::from_millis(150));
    }
}

/// The same command in a shell that may write nothing to files.
fn limited(world: &World, command: &std::process::Command) -> std::process::Command {
    let mut shell = world.command("/bin/sh");
    shell.args(["-c", "ulimit -f 0; trap '' XFSZ; exec \"$@\"", "sh"]);
    shell.arg(command.get_program());
    shell.args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            shell.env(name, value);
        }
    }
    shell
}
