//! Many processes at once.

use crate::measure::{Samples, share};
use crate::report::Row;
use crate::rows::Size;
use crate::world::World;
use serde_json::json;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A hundred processes at once: messages to a busy agent against calls that only open and read.
pub(crate) fn crowd(world: &World, size: Size) -> Vec<Row> {
    let agent = world.launch("demo", "crowd", 0, true).remove(0);
    world.ok(&["send", &agent.id, "-m", "SLEEP 600"]);
    let mut rates = Samples::default();
    let mut tails = Samples::default();
    let mut failed = 0;
    let mut seen = Vec::new();
    for round in 0..size.of(2, 6) {
        let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        let mut found = [(0.0, 0.0); 2];
        for which in order {
            let (rate, tail, bad) = at_once(100, |n| {
                if which == 0 {
                    world.ours(&["send", &agent.id, "-m", &format!("SAY c{round}-{n}")])
                } else {
                    world.ours(&["inbox", "--limit", "1"])
                }
            });
            failed += bad;
            found[which] = (rate, tail);
        }
        rates.push(found[0].0 / found[1].0);
        tails.push(found[0].1 / found[1].1);
        seen.push(json!(found));
    }
    // Order: eight senders, each with one message after the other.
    let each = 12;
    std::thread::scope(|scope| {
        for sender in 0..8 {
            let agent = &agent;
            scope.spawn(move || {
                for n in 0..each {
                    let text = format!("SAY o{sender}-{n:03}");
                    world.ok(&["send", &agent.id, "-m", &text]);
                }
            });
        }
    });
    let order: Vec<String> = world.database(|db| {
        db.prepare(
            "SELECT body FROM messages WHERE receiver = ?1 AND body LIKE 'SAY o%' ORDER BY seq",
        )
        .unwrap()
        .query_map([&agent.id], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
    });
    let mut disorder = 8 * each - order.len();
    for sender in 0..8 {
        let own: Vec<&String> = order
            .iter()
            .filter(|body| body.starts_with(&format!("SAY o{sender}-")))
            .collect();
        disorder += own.windows(2).filter(|pair| pair[0] > pair[1]).count();
    }
    world.end("crowd");
    vec![
        Row::least(
            "100 sends at once, rate / open and read",
            rates.median(),
            "x",
            0.5,
        )
        .more(json!(seen)),
        Row::most(
            "100 sends at once, p99 / open and read",
            tails.median(),
            "x",
            2.0,
        ),
        Row::most("100 at once: failed calls", share(failed, 1), "", 0.0),
        Row::most(
            "8 senders at once: messages out of order",
            share(disorder as u64, 1),
            "",
            0.0,
        )
        .note(format!("of {}", 8 * each)),
    ]
}

/// Starts `count` processes without waiting: how many end a second, by when since the first start all but one in a hundred have ended, in
/// milliseconds, and how many failed.
fn at_once(count: usize, make: impl Fn(usize) -> Command) -> (f64, f64, u64) {
    use nix::sys::wait::{WaitStatus, waitpid};
    let mut commands: Vec<Command> = (0..count).map(make).collect();
    let begin = Instant::now();
    let mut ends = Samples::default();
    let mut failed = 0;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for command in &mut commands {
                command.stdout(Stdio::null()).stderr(Stdio::null());
                #[expect(clippy::zombie_processes, reason = "the other thread waits for all")]
                let _child = command.spawn().unwrap();
            }
        });
        while ends.len() < count {
            match waitpid(None, None) {
                Ok(WaitStatus::Exited(_, 0)) => {}
                Ok(_) => failed += 1,
                Err(_) => {
                    std::thread::sleep(Duration::from_micros(50));
                    continue;
                }
            }
            ends.push_ms(begin.elapsed());
        }
    });
    let total = begin.elapsed().as_secs_f64();
    (share(count as u64, 1) / total, ends.quantile(0.99), failed)
}
