//! The budgets: each path measured against a floor in the same run.
//!
//! Three floors: a static C program that returns, one that does what no hook can do without, and one tmux command list
//! (`set-buffer ; paste-buffer ; send-keys Enter`) by the tmux program. Floor and ours take turns, a ratio is of two samples of one round, and the
//! figure is the median of the ratios; counts
//! (fsyncs, connections, processes, lost messages) need no clock. `scripts/bench` builds the binary and runs this.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench starts programs, writes files, prints a table, and fails loudly"
)]

mod approval;
mod crowd;
mod handoff;
mod idle;
mod inside;
mod inside_rows;
mod kills;
mod listing;
mod measure;
mod report;
mod rows;
mod senders;
mod talk;
mod world;

use report::Row;
use rows::Size;
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;
use world::World;

const HELP: &str = "cargo bench --bench budgets -- [--quick] [--binary FILE] [--out FILE] [--contestant FILE] [--only WORD]…";

type Outside = fn(&World, Size) -> Vec<Row>;
type Inside = fn(&World, &[world::Agent], Size) -> Vec<Row>;

struct Options {
    size: Size,
    binary: PathBuf,
    out: Option<PathBuf>,
    contestant: Option<PathBuf>,
    only: Vec<String>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("inside") => return inside::run(&arguments[1..]),
        Some("tap") => return talk::tap(&arguments[1]),
        _ => {}
    }
    let options = options(&arguments);
    let mut world = World::new(&options.binary);
    world.contestant = options.contestant;
    let wanted =
        |name: &str| options.only.is_empty() || options.only.iter().any(|word| word == name);
    let mut out = options
        .out
        .as_ref()
        .map(|path| std::fs::File::create(path).unwrap());
    let mut missed = 0;
    let mut show = |found: Vec<Row>| {
        for row in found {
            println!("{}", row.line());
            missed += usize::from(!row.met());
            if let Some(out) = &mut out {
                out.write_all(format!("{}\n", row.json()).as_bytes())
                    .unwrap();
            }
        }
    };
    let size = options.size;
    let plain: [(&str, Outside); 11] = [
        ("binary", |world, _| rows::binary(world)),
        ("version", rows::version),
        ("latency", talk::latency),
        ("rate", talk::rate),
        ("approval", approval::approval),
        ("handoff", handoff::handoff),
        ("sessions", listing::listing),
        ("crowd", crowd::crowd),
        ("senders", senders::senders),
        ("idle", idle::idle),
        ("kills", kills::kills),
    ];
    for (name, measure) in plain {
        if wanted(name) {
            show(measure(&world, size));
        }
    }
    let inner: [(&str, Inside); 6] = [
        ("profile", inside_rows::profile),
        ("hook", inside_rows::hook),
        ("stop", inside_rows::stop),
        ("mcp", inside_rows::mcp),
        ("rows", inside_rows::grown),
        ("wal", inside_rows::wal),
    ];
    if inner.iter().any(|(name, _)| wanted(name)) {
        let agents = world.launch("runner", "runner", 1, false);
        // Hooks speak as the demo agent's, and no hook of a usual agent reads a person's own manifest.
        world
            .database(|db| {
                db.execute(
                    "UPDATE terminals SET provider = 'demo' WHERE provider = 'runner'",
                    [],
                )
            })
            .unwrap();
        for (name, measure) in inner {
            // Of a binary with names only.
            let asked = name != "profile" || !options.only.is_empty();
            if asked && wanted(name) {
                show(measure(&world, &agents, size));
            }
        }
    }
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let tmux = world.tmux(&["display-message", "-p", "#{version}"]);
    let load = load.split(' ').next().unwrap_or_default();
    println!("tmux {tmux}, load {load} at the end, {missed} missed");
    if let Some(out) = &mut out {
        let about = json!({"tmux": tmux, "load": load, "quick": size.quick, "version": env!("CARGO_PKG_VERSION")});
        out.write_all(format!("{about}\n").as_bytes()).unwrap();
    }
}

fn options(arguments: &[String]) -> Options {
    let mut options = Options {
        size: Size { quick: false },
        binary: PathBuf::from(env!("CARGO_BIN_EXE_conductor-hook")),
        out: None,
        contestant: None,
        only: Vec::new(),
    };
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_else(|| panic!("{HELP}")).clone();
        match word.as_str() {
            "--quick" => options.size.quick = true,
            // cargo gives this to every bench.
            "--bench" => {}
            "--binary" => options.binary = PathBuf::from(value()),
            "--out" => options.out = Some(PathBuf::from(value())),
            "--contestant" => options.contestant = Some(PathBuf::from(value())),
            "--only" => options.only.push(value()),
            _ => panic!("{HELP}"),
        }
    }
    options
}
