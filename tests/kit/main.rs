//! The conformance kit: one table of behaviours that every agent goes through with its real program, on a scripted model, offline.
//!
//! `cargo test --test kit -- [--agents claude-2.1.330,codex-0.169.0] [--rows start,deny] [--write]`; the programs come from the cache of
//! `scripts/test-agents.sh`. It prints each row as it ends, then the table and what differs from `docs/providers.md`; `--write` puts the table
//! there.

#![cfg(target_os = "linux")]
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "tests start programs, write files, print, and fail loudly"
)]

mod mixed;
mod rows;
mod table;
#[path = "../agents/world.rs"]
#[expect(dead_code, reason = "the tests of one agent use more of it")]
mod world;

use rows::{Bench, ROWS};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;
use table::{Outcome, Table};
use world::programs::Program;

const AGENTS: [&str; 5] = [
    "claude-2.1.197",
    "claude-2.1.330",
    "codex-0.169.0",
    "gemini-0.61.0",
    "opencode-1.18.33",
];

struct Wishes {
    agents: Vec<String>,
    rows: Vec<String>,
    mixed: bool,
    write: bool,
}

fn wishes() -> Result<Wishes, String> {
    let list = |text: Option<String>| -> Vec<String> {
        text.unwrap_or_default()
            .split(',')
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let mut wishes = Wishes {
        agents: AGENTS.map(str::to_owned).to_vec(),
        rows: Vec::new(),
        mixed: true,
        write: false,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--agents" => {
                wishes.agents = list(arguments.next());
                wishes.mixed = false;
            }
            "--rows" => {
                wishes.rows = list(arguments.next());
                wishes.mixed = wishes.rows.iter().any(|row| row == "mixed");
            }
            "--write" => wishes.write = true,
            other => return Err(format!("{other:?} is not known here")),
        }
    }
    Ok(wishes)
}

fn main() -> ExitCode {
    let wishes = match wishes() {
        Ok(wishes) => wishes,
        Err(why) => {
            eprintln!("kit: {why}");
            return ExitCode::from(2);
        }
    };
    let mut table = Table::default();
    let (mut passed, mut failed) = (0, 0);
    let mut count = |agent: &str, row: &str, outcome: &Outcome, begun: Instant| {
        let seconds = begun.elapsed().as_secs_f64();
        match outcome {
            Outcome::Works => passed += 1,
            Outcome::Not(_) => {}
            Outcome::Broken(_) => failed += 1,
        }
        println!("kit: {agent} {row}: {outcome} ({seconds:.1} s)");
    };
    for name in &wishes.agents {
        let program = match Program::cached(name) {
            Ok(program) => program,
            Err(why) => {
                eprintln!("kit: {why}");
                return ExitCode::from(2);
            }
        };
        let mut bench = Bench::new(program);
        for (row, run) in ROWS {
            if !wishes.rows.is_empty() && !wishes.rows.iter().any(|wanted| wanted == row) {
                continue;
            }
            let begun = Instant::now();
            let outcome = match catch_unwind(AssertUnwindSafe(|| run(&mut bench))) {
                Ok(outcome) => outcome,
                Err(cause) => {
                    bench.spoilt();
                    Outcome::Broken(words(cause.as_ref()))
                }
            };
            count(name, row, &outcome, begun);
            table.put(row, name, outcome);
        }
    }
    if wishes.mixed {
        let begun = Instant::now();
        let outcome = match catch_unwind(mixed::everybody_finishes_a_handoff) {
            Ok(()) => Outcome::Works,
            Err(cause) => Outcome::Broken(words(cause.as_ref())),
        };
        count("all", "mixed session", &outcome, begun);
        table.put_mixed(outcome);
    }
    println!("{}", table.text());
    if wishes.write {
        table.write();
    } else {
        for line in table.changes() {
            println!("kit: changed: {line}");
        }
    }
    println!("{passed} passed, {failed} failed");
    ExitCode::from(u8::from(failed > 0))
}

fn words(cause: &(dyn std::any::Any + Send)) -> String {
    let text = cause
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| cause.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_default();
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .take(160)
        .collect()
}
