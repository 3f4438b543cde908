//! What the hot paths cost in instructions, which the load of the machine does not change: a path that grows fails here.
//!
//! The debug build is counted, by callgrind, so that no second build is needed; `scripts/bench --only hook` counts the release build.

use crate::support::{BINARY, World, eventually, quote};
use std::fs;

/// A path and the most that it may cost, in thousands of instructions: what was counted and a tenth more.
const BUDGETS: [(&str, u64); 6] = [
    ("version", 1_280),
    ("hook outside an agent", 3_400),
    ("send to an agent that works", 9_400),
    ("sessions", 8_200),
    ("hook, a tool has ended", 3_650),
    ("hook, a turn has ended", 5_150),
];

/// The counts in what callgrind says, one for each program that it ran.
fn counted(said: &str) -> Vec<u64> {
    said.lines()
        .filter(|line| line.contains("refs:"))
        .map(|line| {
            let number = line.rsplit(' ').next().unwrap().replace(',', "");
            number.parse::<u64>().unwrap() / 1_000
        })
        .collect()
}

/// The shell's line that counts one call.
fn counting(world: &World, arguments: &[&str], input: &str) -> String {
    let words: Vec<String> = arguments.iter().map(|word| quote(word)).collect();
    let name = arguments
        .join("-")
        .replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let input = world.write(&format!("{name}.json"), input);
    format!(
        "valgrind --tool=callgrind --callgrind-out-file=/dev/null {} {} <{}",
        quote(BINARY),
        words.join(" "),
        quote(&input.to_string_lossy())
    )
}

#[test]
fn hot_paths_stay_within_their_instructions() {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        eprintln!("the counts are those of Linux on x86_64");
        return;
    }
    let world = World::new();
    let team = world.launch(&["developer"]);
    let (id, other) = (&team.supervisor, &team.workers[0]);
    world.send(other, "SLEEP 600");
    world.wait(other, "working");
    let tool = r#"{"session_id": "x", "hook_event_name": "PostToolUse", "tool_name": "Bash", "tool_input": {}, "tool_response": {}}"#;
    let stop = r#"{"session_id": "x", "hook_event_name": "Stop", "stop_hook_active": false}"#;
    let outside = [
        counting(&world, &["--version"], ""),
        counting(&world, &["hook", "demo", "PostToolUse"], tool),
        counting(&world, &["send", other, "-m", "SAY hello"], ""),
        counting(&world, &["sessions", "--all"], ""),
    ];
    let inside = [
        counting(&world, &["hook", "demo", "PostToolUse"], tool),
        counting(&world, &["hook", "demo", "Stop"], stop),
    ];
    let mut found = counted(&world.run_shell(&outside.join("\n")).stderr);
    // Not by `shell`, which would take the counted end of a turn for that of its own.
    let said = world.at("said");
    let script = world.write("inside.sh", inside.join("\n"));
    world.send(
        id,
        &format!("RUN sh {} 2>{}", script.display(), said.display()),
    );
    world.approve_next(id);
    found.extend(eventually("the hooks are counted", || {
        let counts = counted(&fs::read_to_string(&said).ok()?);
        (counts.len() == inside.len()).then_some(counts)
    }));
    let table: Vec<String> = BUDGETS
        .iter()
        .zip(&found)
        .map(|((name, most), count)| format!("{name}: {count} thousand, budget {most}"))
        .collect();
    eprintln!("{}", table.join("\n"));
    assert_eq!(found.len(), BUDGETS.len(), "valgrind is missing?");
    let over = BUDGETS
        .iter()
        .zip(&found)
        .any(|((_, most), count)| count > most);
    assert!(!over, "{}", table.join("\n"));
}
