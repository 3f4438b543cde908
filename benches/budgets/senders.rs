//! Many senders to one receiver that works off what comes.

use crate::measure::{Samples, share, timed};
use crate::report::Row;
use crate::rows::Size;
use crate::world::{Agent, World};
use serde_json::json;
use std::collections::HashMap;
use std::sync::Mutex;

/// How many senders there are at once, and the row that says so.
const CROWDS: [(usize, &str); 5] = [
    (1, "1 sender, p99 of send / open and read"),
    (2, "2 senders at once, p99 of send / open and read"),
    (8, "8 senders at once, p99 of send / open and read"),
    (32, "32 senders at once, p99 of send / open and read"),
    (100, "100 senders at once, p99 of send / open and read"),
];

/// Senders that each send one message after the other, in turn with as many that only open and read; then what the agent received.
pub(crate) fn senders(world: &World, size: Size) -> Vec<Row> {
    let agent = world.launch("demo", "senders", 0, true).remove(0);
    let mut rows = Vec::new();
    let mut sent: Vec<(String, usize)> = Vec::new();
    let mut failed = 0;
    for (count, name) in CROWDS {
        let each = (size.of(60, 200) / count).max(2);
        let mut took = [Samples::default(), Samples::default()];
        for round in 0..size.of(1, 3) {
            let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
            for which in order {
                world.rest(&agent);
                let (samples, bad) = at_once(world, &agent, (count, each, round), which == 0);
                failed += bad;
                for value in samples.values() {
                    took[which].push(*value);
                }
            }
            sent.extend((0..count).map(|sender| (mark(count, round, sender), each)));
        }
        let [ours, floor] = took;
        let (p99, base) = (ours.quantile(0.99), floor.quantile(0.99));
        // The budget is for a crowd beside an agent that waits; here its hooks and timers run too.
        rows.push(
            Row::told(name, p99 / base, "x").note(format!(
                    "{p99:.1} ms against {base:.1}; median {:.1} against {:.1}, n {}",
                    ours.median(),
                    floor.median(),
                    ours.len()
                ))
                .more(json!({"p50_ms": ours.median(), "p99_ms": p99, "floor_p50_ms": floor.median(), "floor_p99_ms": base})),
        );
    }
    world.rest(&agent);
    let (missing, doubled, disorder) = received(world, &sent);
    world.end("senders");
    let total: usize = sent.iter().map(|(_, each)| each).sum();
    rows.push(Row::most(
        "senders: failed calls",
        share(failed, 1),
        "",
        0.0,
    ));
    for (name, count) in [
        ("senders: messages that did not arrive", missing),
        ("senders: messages that arrived twice", doubled),
        ("senders: messages out of their sender's order", disorder),
    ] {
        rows.push(Row::most(name, share(count, 1), "", 0.0).note(format!("of {total}")));
    }
    rows
}

fn mark(count: usize, round: usize, sender: usize) -> String {
    format!("s{count}-{round}-{sender}.")
}

/// What each call took, in milliseconds, and how many failed.
fn at_once(
    world: &World,
    agent: &Agent,
    (count, each, round): (usize, usize, usize),
    ours: bool,
) -> (Samples, u64) {
    let found = Mutex::new((Samples::default(), 0));
    std::thread::scope(|scope| {
        for sender in 0..count {
            let found = &found;
            scope.spawn(move || {
                for n in 0..each {
                    let text = format!("SAY {}{n:04}", mark(count, round, sender));
                    let done = timed(&mut if ours {
                        world.ours(&["send", &agent.id, "-m", &text])
                    } else {
                        world.ours(&["inbox", "--limit", "1"])
                    });
                    let mut found = found.lock().unwrap();
                    found.0.push_ms(done.took);
                    found.1 += u64::from(!done.ok);
                }
            });
        }
    });
    found.into_inner().unwrap()
}

/// How many messages are missing in the agent's own log, how many came twice, and how many came before an earlier one of their sender.
fn received(world: &World, sent: &[(String, usize)]) -> (u64, u64, u64) {
    let mut got: HashMap<String, Vec<usize>> = HashMap::new();
    for line in world.log_text("senders").lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = line["text"].as_str().unwrap_or_default();
        if matches!(line["event"].as_str(), Some("prompt" | "context"))
            && let Some((_, body)) = text.split_once("SAY s")
            && let Some((sender, number)) = body.split_once('.')
        {
            let number = number.trim().parse().unwrap();
            got.entry(format!("s{sender}.")).or_default().push(number);
        }
    }
    let (mut missing, mut doubled, mut disorder) = (0, 0, 0);
    for (sender, each) in sent {
        let numbers = got.remove(sender).unwrap_or_default();
        for n in 0..*each {
            match numbers.iter().filter(|number| **number == n).count() {
                0 => missing += 1,
                1 => {}
                _ => doubled += 1,
            }
        }
        disorder += numbers.windows(2).filter(|pair| pair[0] > pair[1]).count() as u64;
    }
    (missing, doubled, disorder)
}
