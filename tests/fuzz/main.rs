//! What reads untrusted input is fed with inputs that were never meant for it, and each answer is judged. `scripts/fuzz` runs it for longer.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test starts programs, writes files, and fails loudly"
)]

mod audit;
mod engine;
mod files;
mod hooks;
mod mutate;
mod names;
#[path = "../campaign/random.rs"]
#[expect(dead_code, reason = "the campaign makes whole messages with it")]
mod random;
mod rpc;
#[path = "../mcp/schema.rs"]
mod schema;
mod shell;
mod text;
mod tmux;

use engine::{Outcome, Target, Trail};
use std::fs;
use std::time::Duration;

/// The targets: the name, what it reads, and how it is made.
type Make = fn() -> Box<dyn Target>;
const TARGETS: [(&str, &str, Make); 8] = [
    ("text", "the sanitiser", || Box::new(text::Text)),
    ("rpc", "JSON-RPC lines", || Box::new(rpc::Rpc::new())),
    ("tmux", "tmux arguments", || Box::new(tmux::Server::start())),
    ("shell", "shell commands, beside a real bash", || {
        Box::new(shell::Shell::new())
    }),
    ("names", "names, ids and paths", || {
        Box::new(names::Names::new())
    }),
    (
        "files",
        "profiles, flows, policies, settings, manifests",
        || Box::new(files::Files),
    ),
    ("audit", "the audit log", || Box::new(audit::Audit::new())),
    ("hooks", "what agents' hooks say", || {
        Box::new(hooks::Hooks::new())
    }),
];

/// What the whole run came to, in one line, and each finding.
fn say(name: &str, seed: u64, outcome: &Outcome) {
    println!(
        "fuzz: {name:6} seed {seed}: {} inputs in {:.0} s, {} led somewhere new, slowest {} ms, {} findings",
        outcome.inputs,
        outcome.seconds,
        outcome.kept,
        outcome.slowest.as_millis(),
        outcome.findings.len()
    );
    for (_, finding) in &outcome.findings {
        println!("  ! {finding}");
    }
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
    )
}

fn made(name: &str) -> Box<dyn Target> {
    let found = TARGETS.iter().find(|(known, _, _)| *known == name);
    let names: Vec<String> = TARGETS
        .iter()
        .map(|(name, what, _)| format!("  {name:6} {what}"))
        .collect();
    let (_, _, make) =
        found.unwrap_or_else(|| panic!("there is no target {name:?}:\n{}", names.join("\n")));
    make()
}

fn run(name: &str, seconds: u64) -> Outcome {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seed =
        setting("CONDUCTOR_FUZZ_SEED").unwrap_or_else(|| now.map_or(1, |since| since.as_secs()));
    let keep = std::env::temp_dir().join("conductor-fuzz");
    let time = Duration::from_secs(seconds);
    let outcome = engine::run(name, &mut *made(name), seed, time, &keep);
    say(name, seed, &outcome);
    outcome
}

/// A short run, from another seed each time; what fails says its seed.
fn short(name: &str) {
    let outcome = run(name, 2);
    assert!(
        outcome.findings.is_empty(),
        "{} findings, see above",
        outcome.findings.len()
    );
    assert!(outcome.inputs > 20, "{} inputs", outcome.inputs);
}

#[test]
fn text_is_made_safe() {
    short("text");
}

#[test]
fn every_request_gets_one_valid_answer() {
    short("rpc");
}

#[test]
fn tmux_takes_every_text_for_what_it_is() {
    short("tmux");
}

#[test]
fn bash_runs_nothing_that_was_not_listed() {
    short("shell");
}

#[test]
fn names_stay_where_they_belong() {
    short("names");
}

#[test]
fn files_that_people_write_are_read_or_refused() {
    short("files");
}

#[test]
fn a_changed_audit_log_is_never_sound() {
    short("audit");
}

#[test]
fn nothing_is_approved_by_garbage() {
    short("hooks");
}

#[test]
#[ignore = "takes as long as it is told: scripts/fuzz"]
fn long() {
    let name = std::env::var("CONDUCTOR_FUZZ_TARGET").unwrap_or_default();
    if let Some(file) = std::env::var_os("CONDUCTOR_FUZZ_REPLAY") {
        let input = fs::read(file).unwrap();
        return made(&name).check(&input, &mut Trail::default()).unwrap();
    }
    let outcome = run(&name, setting("CONDUCTOR_FUZZ_SECONDS").unwrap_or(60));
    assert!(
        outcome.findings.is_empty(),
        "{} findings",
        outcome.findings.len()
    );
}
