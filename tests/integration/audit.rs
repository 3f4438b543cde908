//! The audit log from the outside: what it says, that it survives crashes, and that nobody changes it unseen.

use crate::support::{World, text};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::PathBuf;

fn world() -> (World, String) {
    let world = World::new();
    let id = world.launch(&[]).supervisor;
    (world, id)
}

fn log(world: &World) -> PathBuf {
    world.home().join("approvals/audit.jsonl")
}

fn lines(world: &World) -> Vec<Value> {
    fs::read_to_string(log(world))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Does something that is refused and audited; the exit code.
fn refused(world: &World, id: &str, failpoint: &str) -> i32 {
    let mut run = world.run(["send", id, "-m", "x", "--from", id]);
    if !failpoint.is_empty() {
        run = run.env("CONDUCTOR_FAILPOINT", failpoint);
    }
    run.done().code
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Changes the database behind the program's back.
fn sql(world: &World, statement: &str) {
    let database = rusqlite::Connection::open(world.home().join("db/conductor.db")).unwrap();
    database.execute_batch(statement).unwrap();
}

/// The log holds as anybody can check it who has only the page that describes it.
fn holds(world: &World) {
    let mut prev = "0".repeat(64);
    for (number, mut entry) in lines(world).into_iter().enumerate() {
        let fields = entry.as_object_mut().unwrap();
        let hash = text(&fields.remove("hash").unwrap());
        assert_eq!(fields["seq"], number + 1);
        assert_eq!(fields["prev"], prev.as_str());
        assert_eq!(sha256(entry.to_string().as_bytes()), hash, "{entry}");
        prev = hash;
    }
    let report = world.run(["audit", "verify"]).json();
    assert_eq!(report["ok"], true, "{report}");
    assert_eq!(report["pending"], 0, "{report}");
    assert_eq!(report["head"], prev.as_str());
}

#[test]
fn the_log_says_what_happened_and_can_be_listed() {
    let (world, id) = world();
    assert_eq!(refused(&world, &id, ""), 4);
    world.run(["close", &id, "--force"]).ok();
    holds(&world);
    let listed = world.run(["audit", "list"]).json();
    assert_eq!(Value::from(lines(&world)), listed);
    let actions: Vec<String> = lines(&world).iter().map(|e| text(&e["action"])).collect();
    assert_eq!(
        actions,
        [
            "terminal.created",
            "terminal.identity_refused",
            "terminal.exited"
        ]
    );
    let some = |arguments: &[&str]| {
        let all = [&["audit", "list"], arguments].concat();
        let found = world.run(all).json();
        found
            .as_array()
            .unwrap()
            .iter()
            .map(|e| text(&e["seq"].to_string().into()))
            .collect::<Vec<_>>()
    };
    assert_eq!(some(&["--action", "terminal.i"]), ["2"]);
    assert_eq!(some(&["--limit", "2"]), ["2", "3"]);
    assert_eq!(some(&["--subject", &id, "--action", "terminal.e"]), ["3"]);
    assert_eq!(some(&["--subject", "nobody"]), Vec::<String>::new());
    let table = world.run(["audit", "list"]).ok();
    assert!(
        table.starts_with("SEQ") && table.contains("terminal.identity_refused"),
        "{table}"
    );
    assert_eq!(world.run(["audit", "export"]).json(), listed);
    let csv = world.run(["audit", "export", "--format", "csv"]).ok();
    assert!(csv.starts_with("\"seq\",\"at\",\"action\""), "{csv}");
    assert_eq!(csv.matches("\r\n").count(), 4, "{csv}");
    world
        .run(["audit", "export", "--format", "csv", "--json"])
        .fails(2);
    let found = world.run(["doctor"]).done().stdout;
    assert!(found.contains("audit log: 3 entries hold"), "{found}");
}

#[test]
fn a_crash_at_any_step_loses_nothing_and_breaks_nothing() {
    let (world, id) = world();
    let mut expected = lines(&world).len();
    for point in [
        "db.committed",
        "audit.before_export",
        "audit.append",
        "audit.appended",
        "audit.recorded",
        "db.committed:2",
    ] {
        assert_eq!(refused(&world, &id, point), 137, "{point}");
        expected += 1;
        let report = world.run(["audit", "verify"]).json();
        assert_eq!(report["ok"], true, "{point}: {report}");
        // Whoever comes next writes what the dead one left out, in its order.
        world.run(["audit", "list"]).ok();
        assert_eq!(lines(&world).len(), expected, "{point}");
        holds(&world);
        assert_eq!(refused(&world, &id, ""), 4);
        expected += 1;
        holds(&world);
    }
    // Before the commit it did not happen.
    assert_eq!(refused(&world, &id, "db.before_commit=error"), 7);
    assert_eq!(lines(&world).len(), expected);
    // A full disk refuses the file, not the entry.
    assert_eq!(refused(&world, &id, "audit.append=error"), 4);
    assert_eq!(lines(&world).len(), expected);
    let report = world.run(["audit", "verify"]).json();
    assert_eq!(
        (&report["ok"], &report["pending"]),
        (&true.into(), &1.into())
    );
    world.run(["tick"]).ok();
    assert_eq!(lines(&world).len(), expected + 1);
    holds(&world);
}

#[test]
fn what_a_crash_left_in_the_way_of_evidence_is_finished() {
    let (world, id) = world();
    let whole = fs::read(log(&world)).unwrap();
    let with = [whole.as_slice(), b"{\"half"].concat();
    fs::write(log(&world), &with).unwrap();
    assert_eq!(refused(&world, &id, "audit.noted"), 137);
    assert_eq!(world.run(["audit", "verify"]).done().code, 1);
    world.run(["audit", "list"]).ok();
    holds(&world);
    let notes = lines(&world)
        .iter()
        .filter(|e| e["action"] == "audit.recovered")
        .count();
    assert!((1..=2).contains(&notes), "{notes}");
}

#[test]
fn every_kind_of_change_is_named() {
    let (world, id) = world();
    for _ in 0..4 {
        refused(&world, &id, "");
    }
    let whole = fs::read_to_string(log(&world)).unwrap();
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    let broken = |file: &str, seq: i64, what: &str| {
        fs::write(log(&world), file).unwrap();
        let done = world.run(["audit", "verify", "--json"]).done();
        assert_eq!(done.code, 1, "{what}: {done:?}");
        let report: Value = serde_json::from_str(&done.stdout).unwrap();
        let first = &report["broken"][0];
        assert_eq!(
            (&first["seq"], &first["what"]),
            (&seq.into(), &what.into()),
            "{report}"
        );
        let said = world.run(["audit", "verify"]).done().stdout;
        assert!(
            said.starts_with(&format!("BROKEN at entry {seq}: ")),
            "{said}"
        );
        assert_eq!(
            fs::read_to_string(log(&world)).unwrap(),
            file,
            "it was changed"
        );
        assert_eq!(world.run(["doctor"]).done().code, 1);
    };
    let swapped = [lines[0], lines[2], lines[1], lines[3], lines[4]].concat();
    let added = [lines[0], lines[1], "{}\n", lines[2], lines[3], lines[4]].concat();
    broken(
        &whole.replacen("identity_refused", "identity_refusef", 1),
        2,
        "changed",
    );
    broken(&lines[1..].concat(), 1, "missing");
    broken(&lines[..4].concat(), 5, "cut");
    broken(&whole[..whole.len() - 1], 5, "cut");
    broken(&swapped, 2, "reordered");
    broken(&added, 3, "added");
    broken(&format!("{whole}{}", lines[4]), 6, "added");
    broken("", 1, "cut");
    fs::write(log(&world), &whole).unwrap();
    holds(&world);
}

#[test]
fn a_changed_database_is_found_too() {
    let (world, id) = world();
    for _ in 0..3 {
        refused(&world, &id, "");
    }
    sql(&world, "UPDATE audit SET via = 'cli' WHERE seq = 3");
    let done = world.run(["audit", "verify", "--json"]).done();
    let report: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(done.code, 1);
    assert_eq!(report["broken"][0]["seq"], 3);
    assert_eq!(report["broken"][0]["place"], "database");
    sql(&world, "UPDATE audit SET via = 'send' WHERE seq = 3");
    holds(&world);
    sql(&world, "DELETE FROM audit WHERE seq = 4");
    assert_eq!(world.run(["audit", "verify"]).done().code, 1);
}

#[test]
fn without_a_state_there_is_nothing_to_check() {
    let world = World::without_tmux_server();
    for command in ["list", "verify", "export"] {
        world.run(["audit", command]).fails(3);
    }
    assert!(!world.home().exists());
}
