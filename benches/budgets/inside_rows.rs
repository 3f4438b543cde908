//! The rows whose calls run inside an agent's process tree.

use crate::measure::{Samples, eventually, share};
use crate::report::Row;
use crate::rows::Size;
use crate::world::{Agent, World, open};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

fn samples(value: &Value) -> Samples {
    let numbers = value.as_array().cloned().unwrap_or_default();
    Samples::from(numbers.iter().filter_map(Value::as_f64).collect::<Vec<_>>())
}

pub(crate) fn hook(world: &World, agents: &[Agent], size: Size) -> Vec<Row> {
    let found = world.inside(&agents[0], "hook", &[&size.of(60, 300).to_string()]);
    let (ours, floor) = (samples(&found["hook_ms"]), samples(&found["floor_ms"]));
    let ratio = ours.over(&floor);
    let work = samples(&found["work_ms"]);
    let by_work = ours.over(&work);
    let mut rows = vec![
        Row::most("hook, nothing to deliver / static C", ratio.median(), "x", 4.0)
            .note(format!("p95 {:.2}x, n {}", ratio.quantile(0.95), ratio.len()))
            .more(json!({"floor_ms": floor.median(), "ours_ms": ours.median(), "instructions": found["instructions"]})),
        Row::told("hook, nothing to deliver / C that locks, reads, writes", by_work.median(), "x")
            .note(format!("{:.2} ms against {:.2}, p95 {:.2}x", ours.median(), work.median(), by_work.quantile(0.95))),
    ];
    let counted = &found["counted"];
    if let Some(calls) = counted["calls"].as_u64() {
        let each = |name: &str| {
            share(
                counted[name].as_u64().unwrap(),
                u32::try_from(calls).unwrap(),
            )
        };
        rows.push(
            Row::most("hook: fsyncs a call", each("fsyncs"), "", 0.2)
                .note(format!("strace over {calls} calls; the checkpoints")),
        );
        rows.push(Row::most(
            "hook: tmux connections a call",
            each("connects"),
            "",
            0.0,
        ));
        rows.push(Row::most(
            "hook: processes started a call",
            each("started"),
            "",
            0.0,
        ));
    }
    if let Some(count) = found["instructions"].as_u64() {
        rows.push(
            Row::most("hook: instructions", share(count, 1_000_000), "M", 2.0).note("callgrind"),
        );
    }
    rows
}

/// Parts of a hook: what each is called in the table, and the function whose instructions these are, with what it calls.
const PARTS: [(&str, &str); 7] = [
    ("all of it", "PROGRAM TOTALS"),
    ("SQLite reads the schema", "sqlite3InitOne"),
    (
        "SQLite prepares statements, the schema among it",
        "sqlite3LockAndPrepare",
    ),
    ("SQLite runs them", "sqlite3_step"),
    ("the database is opened", "Store::connect"),
    ("addresses are relocated", "_dl_relocate_static_pie"),
    ("the event is read", "Dialect::read"),
];

/// Where the time of a hook goes; nothing where the binary has no names.
pub(crate) fn profile(world: &World, agents: &[Agent], _: Size) -> Vec<Row> {
    let names: Vec<String> = PARTS.iter().map(|(_, name)| format!("'{name}'")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let found = world.inside(&agents[0], "profile", &names);
    let parts = &found["parts"];
    let (Some(total), Some(_)) = (parts[PARTS[0].1].as_u64(), parts[PARTS[1].1].as_u64()) else {
        return Vec::new();
    };
    let mut rows: Vec<Row> = PARTS
        .iter()
        .filter_map(|(said, name)| {
            let count = parts[*name].as_u64()?;
            let share = share(count, 1) / share(total, 1) * 100.0;
            Some(Row::told(said, share, "%").note(format!("{count} instructions")))
        })
        .collect();
    let faults = share(found["hook_faults"].as_u64().unwrap(), 1);
    rows.push(
        Row::told("page faults of a hook", faults, "")
            .note(format!("{} of the static C program", found["floor_faults"])),
    );
    rows
}

/// Turns of an agent that end while messages wait for it.
pub(crate) fn stop(world: &World, agents: &[Agent], size: Size) -> Vec<Row> {
    let rounds = size.of(20, 100);
    let go = world.at("go");
    let _ = fs::remove_file(&go);
    let found = std::thread::scope(|scope| {
        let task = scope.spawn(|| {
            let go = go.display().to_string();
            world.inside(&agents[0], "stop", &[&rounds.to_string(), &go])
        });
        eventually("the agent works", || {
            world.database(|db| {
                db.query_row(
                    "SELECT 1 FROM terminals WHERE id = ?1 AND status = 'working'",
                    [&agents[0].id],
                    |_| Ok(()),
                )
                .ok()
            })
        });
        for n in 0..rounds {
            world.ok(&["send", &agents[0].id, "-m", &format!("SAY stop {n}")]);
        }
        fs::write(&go, "").unwrap();
        task.join().unwrap()
    });
    let (ours, floor) = (samples(&found["hook_ms"]), samples(&found["floor_ms"]));
    let ratio = ours.over(&floor);
    vec![
        Row::told("hook, a message delivered / static C", ratio.median(), "x")
            .note(format!(
                "{:.1} ms, p95 {:.1}x, {} of {rounds} delivered",
                ours.median(),
                ratio.quantile(0.95),
                found["delivered"]
            ))
            .more(json!({"floor_ms": floor.median(), "ours_ms": ours.median()})),
    ]
}

pub(crate) fn mcp(world: &World, agents: &[Agent], size: Size) -> Vec<Row> {
    let found = world.inside(&agents[0], "mcp", &[&size.of(10, 40).to_string(), "5"]);
    let greet = samples(&found["greet_ms"]);
    let kb = |name: &str| share(found[name].as_u64().unwrap(), 1_000);
    vec![
        Row::most("MCP server: resident memory (PSS)", kb("pss_kb"), "MB", 6.0)
            .note(format!("RSS {:.1} MB; after list and a call", kb("rss_kb"))),
        Row::most(
            "MCP server: start to initialize",
            greet.median(),
            "ms",
            10.0,
        )
        .note(format!("p95 {:.1} ms", greet.quantile(0.95))),
        Row::told(
            "MCP server: a call of list_terminals",
            found["call_ms"].as_f64().unwrap(),
            "ms",
        ),
        Row::most(
            "MCP server: wake-ups in 5 s",
            share(found["wakes"].as_u64().unwrap(), 1),
            "",
            0.0,
        ),
    ]
}

pub(crate) fn wal(world: &World, agents: &[Agent], size: Size) -> Vec<Row> {
    let calls = size.of(400, 2_000).to_string();
    let state = world.state().display().to_string();
    let found = world.inside(&agents[0], "wal", &[&calls, &agents[1].id, &state]);
    vec![
        Row::most(
            "largest write-ahead log",
            share(found["largest"].as_u64().unwrap(), 1_024),
            "KB",
            512.0,
        )
        .note(format!(
            "{calls} mixed calls, 4 at a time, {} failed",
            found["failed"]
        )),
    ]
}

/// Hot calls on a copy of the state with a thousand messages and on one with a million.
pub(crate) fn grown(world: &World, agents: &[Agent], size: Size) -> Vec<Row> {
    let few = copy(world, "few");
    let many = copy(world, "many");
    let count = size.of(100_000, 1_000_000);
    fill(&few, &agents[1].id, 1_000);
    fill(&many, &agents[1].id, count);
    let rounds = size.of(30, 100).to_string();
    let found = world.inside(
        &agents[0],
        "rows",
        &[
            &rounds,
            &agents[1].id,
            few.to_str().unwrap(),
            many.to_str().unwrap(),
        ],
    );
    let mut rows = Vec::new();
    for (key, name) in [
        ("hook", "10^6 / 10^3 messages: hook"),
        ("send", "10^6 / 10^3 messages: send"),
        ("inbox", "10^6 / 10^3 messages: inbox --limit 20"),
        ("inbox_of", "10^6 / 10^3 messages: inbox TERMINAL"),
        ("sessions", "10^6 / 10^3 messages: sessions"),
    ] {
        let ratio = samples(&found[key][1]).over(&samples(&found[key][0]));
        rows.push(
            Row::most(name, ratio.median(), "x", 1.2)
                .note(format!("{count} against 1000, n {}", ratio.len())),
        );
    }
    let _ = fs::remove_dir_all(few);
    let _ = fs::remove_dir_all(many);
    rows
}

/// A copy of the state: the agent's terminal is in it too, so a hook below the agent works on either.
fn copy(world: &World, name: &str) -> PathBuf {
    let to = world.at(name);
    let status = std::process::Command::new("cp")
        .arg("-a")
        .args([world.state(), to.clone()])
        .status();
    assert!(status.unwrap().success());
    to
}

/// Adds `count` messages: a tenth to terminal `own`, nearly all of them done.
fn fill(state: &Path, own: &str, count: usize) {
    let db = open(state);
    db.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -65536; BEGIN IMMEDIATE")
        .unwrap();
    db.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2)
         INSERT INTO messages (sender, sender_name, is_order, receiver, body, status, transport, attempts, seq, tag, queued_at, placed_at,
           submitted_at, trace, hops)
         SELECT 'unverified', 'unverified', 0, CASE i % 10 WHEN 0 THEN ?1 ELSE printf('%08x', i % 1000) END, 'SAY message ' || i,
           CASE i % 1000 WHEN 7 THEN 'dead' ELSE 'submitted' END, 'paste', 1, 1000 + i, 'abcdef', 1700000000000 + i, 1700000000000 + i,
           1700000000000 + i, printf('%016x', i), 0 FROM n",
        rusqlite::params![own, i64::try_from(count).unwrap()],
    )
    .unwrap();
    db.execute_batch(
        "INSERT INTO attempts (message, at, transport, outcome) SELECT id, queued_at, 'paste', 'submitted' FROM messages
           WHERE id NOT IN (SELECT message FROM attempts);
         UPDATE terminals SET next_seq = 2000000;
         -- Busy for an hour, so that what is sent to it waits.
         UPDATE terminals SET status = 'working', last_event_at = (unixepoch() + 3600) * 1000 WHERE status = 'idle';
         COMMIT; PRAGMA wal_checkpoint(TRUNCATE)",
    )
    .unwrap();
}
