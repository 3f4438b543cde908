//! Helpers that die anywhere.

use crate::measure::{Random, Samples, share, timed};
use crate::report::Row;
use crate::rows::Size;
use crate::world::{Agent, World, open};
use std::collections::HashMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// `send` killed at random, to four agents; what they got is in their log.
pub(crate) fn kills(world: &World, size: Size) -> Vec<Row> {
    let agents = world.launch("demo", "kills", 3, true);
    let mut usual = Samples::default();
    for n in 0..12 {
        let agent = &agents[n % agents.len()];
        world.rest(agent);
        usual.push_ms(timed(&mut world.ours(&["send", &agent.id, "-m", "SAY usual"])).took);
    }
    let pad = "abcdefghijklmnopqrstuvwxyz".repeat(12);
    let mut random = Random::new();
    let count = size.of(50, 1_000);
    let mut killed = 0;
    for n in 0..count {
        let agent = &agents[n % agents.len()];
        let text = format!("SAY k{n:05} {pad} k{n:05}");
        let mut child = world
            .ours(&["send", &agent.id, "-m", &text])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_secs_f64(
            random.share() * 1.6 * usual.median() / 1e3,
        ));
        let _ = child.kill();
        killed += usize::from(child.wait().unwrap().code().is_none());
        if n % 20 == 19 {
            // An agent that is always busy would never be pasted to.
            for agent in &agents {
                settle(world, agent);
            }
        }
    }
    for agent in &agents {
        settle(world, agent);
    }
    let accepted: Vec<(String, String)> = world.database(|db| {
        db.prepare("SELECT body, status FROM messages WHERE body LIKE 'SAY k%'")
            .unwrap()
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap()
    });
    let mut got: HashMap<String, usize> = HashMap::new();
    let mut torn = 0_u64;
    for line in world.log_text("kills").lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = line["text"].as_str().unwrap_or_default();
        if !matches!(line["event"].as_str(), Some("prompt" | "context")) || !text.contains("SAY k")
        {
            continue;
        }
        let body = &text[text.find("SAY k").unwrap()..];
        let mark = &body[4..10.min(body.len())];
        let whole = format!("SAY {mark} {pad} {mark}");
        if body.lines().next() == Some(whole.as_str()) && text.matches("SAY k").count() == 1 {
            *got.entry(mark.to_owned()).or_default() += 1;
        } else {
            torn += 1;
        }
    }
    let lost = accepted
        .iter()
        .filter(|(body, _)| !got.contains_key(&body[4..10]))
        .count();
    let twice = got.values().filter(|times| **times > 1).count();
    let open = accepted
        .iter()
        .filter(|(_, status)| status != "submitted")
        .count();
    world.end("kills");
    let note = format!(
        "{count} sends, {killed} killed, {} accepted, {open} unproven",
        accepted.len()
    );
    vec![
        Row::most("kill -9 at random: lost", share(lost as u64, 1), "", 0.0).note(note),
        Row::most("kill -9 at random: twice", share(twice as u64, 1), "", 0.0),
        Row::most("kill -9 at random: torn", share(torn, 1), "", 0.0),
    ]
}

/// Waits until the agent rests. A killed helper leaves its message to the next entry, such as a client that attaches.
fn settle(world: &World, agent: &Agent) {
    let end = Instant::now() + Duration::from_mins(2);
    loop {
        let rests: bool = open(&world.state())
            .query_row(
                "SELECT status = 'idle' AND NOT EXISTS (SELECT 1 FROM messages WHERE receiver = ?1 AND status IN
                   ('held', 'queued', 'claimed', 'placed')) FROM terminals WHERE id = ?1",
                [&agent.id],
                |row| row.get(0),
            )
            .unwrap();
        if rests {
            return;
        }
        assert!(Instant::now() < end, "the messages did not settle");
        std::thread::sleep(Duration::from_millis(500));
        world.ok(&["event", "client-attached"]);
    }
}
