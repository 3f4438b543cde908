//! A campaign over collections of commands that others wrote: which the built-in policy would let run unseen, and how often it asks.
//!
//! `scripts/campaign-policy` says where the collections are; they are not part of this project.

use super::policy;
use super::policy_corpus_tests::{World, corpus};
use crate::domain::policy::Decision;
use crate::paths;
use std::path::Path;
use std::time::Instant;

/// Decisions, counted.
#[derive(Default)]
struct Count {
    decisions: [usize; 4],
    complete: usize,
}

impl Count {
    fn add(&mut self, decision: Decision, complete: bool) {
        let index = match decision {
            Decision::Allow => 0,
            Decision::Defer => 1,
            Decision::Ask => 2,
            Decision::Deny => 3,
        };
        self.decisions[index] += 1;
        self.complete += usize::from(complete);
    }

    fn say(&self, what: &str) {
        let total: usize = self.decisions.iter().sum();
        let share = |part: usize| {
            format!(
                "{part} ({}.{}%)",
                part * 100 / total.max(1),
                part * 1000 / total.max(1) % 10
            )
        };
        let [allow, defer, ask, deny] = self.decisions.map(share);
        println!(
            "{what}: {total} commands, understood {}, allow {allow}, defer {defer}, ask {ask}, deny {deny}",
            share(self.complete)
        );
    }
}

/// The `code` texts of one entry, with the name of the function.
fn codes(text: &str) -> Vec<(String, String)> {
    let text = text
        .trim_start_matches("---")
        .trim_end()
        .trim_end_matches("...")
        .trim_end_matches("---");
    let page: serde_json::Value = yaml_serde::from_str(text).unwrap();
    let mut found = Vec::new();
    for (function, entries) in page["functions"].as_object().into_iter().flatten() {
        for entry in entries.as_array().into_iter().flatten() {
            let contexts = entry["contexts"].as_object().into_iter().flatten();
            let inner = contexts.filter_map(|(_, context)| context["code"].as_str());
            for code in entry["code"].as_str().into_iter().chain(inner) {
                found.push((function.clone(), code.to_owned()));
            }
        }
    }
    found
}

/// The commands of a page: each placeholder becomes its first alternative.
fn examples(page: &str) -> Vec<String> {
    let lines = page
        .lines()
        .filter_map(|line| line.strip_prefix('`')?.strip_suffix('`'));
    lines
        .map(|line| {
            let mut command = String::new();
            for (at, part) in line.split("{{").enumerate() {
                let Some((inside, rest)) = part.split_once("}}").filter(|_| at > 0) else {
                    command.push_str(part);
                    continue;
                };
                let inside = inside.trim_start_matches('[').trim_end_matches(']');
                let first = inside.split('|').next().unwrap_or_default();
                command.push_str(first);
                command.push_str(rest);
            }
            command
        })
        .collect()
}

fn texts(dir: &Path) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (
                name,
                String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned(),
            )
        })
        .collect();
    found.sort();
    found
}

#[test]
#[ignore = "needs collections of commands: scripts/campaign-policy"]
fn campaign() {
    let dir = |name: &str| paths::env_os(name).map(std::path::PathBuf::from);
    let world = World::new();
    let mut silent = Vec::new();

    let gtfobins =
        dir("CONDUCTOR_GTFOBINS").expect("CONDUCTOR_GTFOBINS names the directory of GTFOBins");
    let mut elsewhere = Count::default();
    let mut here = Count::default();
    for (name, text) in texts(&gtfobins.join("_gtfobins")) {
        for (function, code) in codes(&text) {
            let ruling = world.judge(&code);
            elsewhere.add(ruling.decision, ruling.complete);
            if ruling.decision == Decision::Allow {
                silent.push(format!("{name} {function}: {code}"));
            }
            // The same with files of the project: reading those is what is allowed.
            if function == "file-read" {
                continue;
            }
            let code = code.replace("/path/to/", "");
            let ruling = world.judge(&code);
            here.add(ruling.decision, ruling.complete);
            if ruling.decision == Decision::Allow {
                silent.push(format!("{name} {function} (in the directory): {code}"));
            }
        }
    }
    elsewhere.say("GTFOBins");
    here.say("GTFOBins that do more than read, with files of the project");

    let tldr = dir("CONDUCTOR_TLDR").expect("CONDUCTOR_TLDR names the directory of tldr");
    let mut pages = Count::default();
    let mut allowed = Vec::new();
    for part in ["common", "linux"] {
        for (_, page) in texts(&tldr.join("pages").join(part)) {
            for command in examples(&page) {
                let ruling = world.judge(&command);
                pages.add(ruling.decision, ruling.complete);
                if ruling.decision == Decision::Allow {
                    allowed.push(command);
                }
            }
        }
    }
    pages.say("tldr");
    if let Some(file) = paths::env_os("CONDUCTOR_CAMPAIGN_ALLOWED") {
        crate::fsx::write_atomic(Path::new(&file), allowed.join("\n").as_bytes()).unwrap();
    }

    let mut everyday = Count::default();
    let commands = corpus();
    let begun = Instant::now();
    for line in commands
        .iter()
        .take_while(|line| line.file == "everyday.txt")
    {
        let ruling = world.judge(&line.command);
        everyday.add(ruling.decision, ruling.complete);
    }
    let judged = begun.elapsed();
    everyday.say("everyday commands of agents");
    let total: usize = everyday.decisions.iter().sum();
    println!(
        "to judge one of them: {} µs",
        judged.as_micros() / total as u128
    );
    let begun = Instant::now();
    for _ in 0..100 {
        drop(policy::built_in());
    }
    println!(
        "to read the built-in policy: {} µs",
        begun.elapsed().as_micros() / 100
    );
    println!("allowed unseen by GTFOBins entry: {}", silent.len());
    assert!(silent.is_empty(), "{}", silent.join("\n"));
}
