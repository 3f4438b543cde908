//! Every change of the disk fails once, every page is damaged, and the power is lost between any two changes. `scripts/campaign-faults` runs
//! all of it; without `CONDUCTOR_CAMPAIGN` a sample is taken.

use crate::faults::Inside;
use crate::support::{Done, World, text};
use conductor::paths::Home;
use conductor::store::{Budget, Store};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Whether all of it is wanted.
fn whole() -> bool {
    std::env::var_os("CONDUCTOR_CAMPAIGN").is_some()
}

/// Numbers that are the same for the same seed.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let given = std::env::var("CONDUCTOR_CAMPAIGN_SEED").ok();
        let seed = given.and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
        eprintln!("seed {seed}");
        Self(seed)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

/// The library that stands between a program and the system.
fn shim(world: &World) -> PathBuf {
    let shim = world.at("shim.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/shim.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&shim);
    assert!(compiler.arg(source).status().unwrap().success(), "cc");
    shim
}

/// What an operation is run with.
type Set<'a> = &'a [(&'a str, String)];

struct Bench<'a> {
    world: &'a World,
    inside: &'a Inside<'a>,
    shim: PathBuf,
    /// With what all else is run.
    quiet: Vec<(&'a str, String)>,
    count: u32,
}

impl<'a> Bench<'a> {
    fn new(world: &'a World, inside: &'a Inside<'a>) -> Self {
        world.write(
            "state/config.toml",
            "[limits]\nqueue_per_receiver = 100000\n",
        );
        Self {
            world,
            inside,
            shim: shim(world),
            quiet: Vec::new(),
            count: 0,
        }
    }

    fn set(&self, more: &[(&'a str, String)]) -> Vec<(&'a str, String)> {
        let home = self.world.home().to_string_lossy().into_owned();
        let shim = self.shim.to_string_lossy().into_owned();
        let mut all = vec![("LD_PRELOAD", shim), ("FAULT_DIR", home)];
        all.extend_from_slice(more);
        all
    }

    fn run(&self, set: Set<'_>, arguments: &[&str]) -> Done {
        let run = self.world.run(arguments);
        set.iter()
            .fold(run, |run, (name, value)| run.env(name, value))
            .done()
    }

    /// Runs what is no part of the trial.
    fn quietly(&self, arguments: &[&str]) -> Done {
        self.run(&self.quiet, arguments)
    }

    /// Empties the write-ahead log, so that the next operation does not begin with a checkpoint, whose failure would do no harm.
    fn checkpoint(&self) {
        let db = rusqlite::Connection::open(self.world.at("state/db/conductor.db")).unwrap();
        let busy = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
        assert!(!busy.unwrap_or(true), "the log is in use");
    }

    fn list(&self, arguments: &[&str]) -> Vec<Value> {
        let done = self.quietly(&[arguments, &["--json"]].concat());
        done.json().as_array().unwrap().clone()
    }

    /// What stands before a program inside.
    fn before(set: Set<'_>) -> String {
        let words = set.iter().map(|(name, value)| format!("{name}={value} "));
        format!("env {}", words.collect::<String>())
    }

    /// Asks for leave as the agent does.
    fn requested(&self, command: &str) -> String {
        self.inside.requested(&Self::before(&self.quiet), command)
    }

    fn next(&mut self) -> String {
        self.count += 1;
        self.count.to_string()
    }

    /// An approval that waits.
    fn held(&mut self) -> String {
        let body = format!("SAY held {}", self.next());
        let id = &self.inside.id;
        self.quietly(&["send", id, "--require-approval", "-m", &body])
            .ok();
        let waiting = self.list(&["approvals", "--status", "pending"]);
        let newest = waiting
            .iter()
            .map(|row| text(&row["id"]).parse::<u64>().unwrap())
            .max();
        newest.unwrap().to_string()
    }

    /// The status of an approval.
    fn approval(&self, id: &str) -> String {
        let shown = self.quietly(&["approval", "show", id, "--json"]).json();
        text(&shown["status"])
    }

    fn message(&self, key: &str) -> Option<Value> {
        let rows = self.list(&["inbox", "--limit", "10000"]);
        rows.into_iter().find(|row| row["key"] == key)
    }

    /// Does one thing of a kind; what is wrong with how it ended.
    fn operate(&mut self, kind: &str, set: Set<'_>) -> (Done, Option<String>) {
        let (done, bad) = self.try_to(kind, set);
        let unsure = done.code == 7 && done.stderr.contains("nobody can say");
        (done, bad.filter(|_| !unsure))
    }

    fn try_to(&mut self, kind: &str, set: Set<'_>) -> (Done, Option<String>) {
        let id = self.inside.id.clone();
        let wrong = |yes: bool, what: &str| yes.then(|| what.to_owned());
        match kind {
            "send" => {
                let key = format!("key{}", self.next());
                let done = self.run(set, &["send", &id, "--key", &key, "-m", "SAY x"]);
                let stored = self.message(&key).is_some();
                // A disk that fails at the very end leaves a message of which nobody can say whether it lasts.
                let said = done.code == 0 || done.stderr.contains("is stored, and");
                let bad = wrong(stored != said, "stored and what was said differ");
                (done, bad)
            }
            "approve" | "deny" => {
                let asked = self.held();
                let done = self.run(set, &[kind, &asked]);
                let wanted = match (done.code, kind) {
                    (0, "approve") => &["approved", "consumed"][..],
                    (0, _) => &["denied"],
                    _ => &["pending"],
                };
                let status = self.approval(&asked);
                if done.code != 0 {
                    self.quietly(&["deny", &asked]);
                }
                let bad = wrong(
                    !wanted.contains(&status.as_str()),
                    &format!("it is {status}"),
                );
                (done, bad)
            }
            "cancel" => {
                let key = format!("key{}", self.next());
                self.quietly(&["send", &id, "--key", &key, "-m", "SAY x"])
                    .ok();
                let message = text(&self.message(&key).unwrap()["id"]);
                let done = self.run(set, &["inbox", "cancel", &message]);
                let gone = self
                    .message(&key)
                    .is_none_or(|row| row["status"] == "cancelled");
                (
                    done.clone(),
                    wrong(gone != (done.code == 0), "not as it said"),
                )
            }
            "gate" => {
                // A yes that was given before is used by exactly one call, and the call is let through only when that is recorded.
                let file = format!("made{}", self.next());
                let command = format!("touch {file}");
                let asked = self.requested(&command);
                self.quietly(&["approve", &asked]).ok();
                let answer = self.inside.gate(&Self::before(set), &command);
                let used = self.approval(&asked) == "consumed";
                let bad = wrong(answer == "allow" && !used, "allowed and not recorded");
                let code = i32::from(answer != "allow");
                let done = Done {
                    code,
                    stdout: String::new(),
                    stderr: answer.to_string(),
                };
                (done, bad)
            }
            "flow" => {
                let name = format!("flow{}", self.next());
                let text = format!(
                    "---\nname: {name}\nschedule: \"0 0 1 1 *\"\nagent_profile: developer\n---\nx\n"
                );
                let file = self.world.write(&format!("flows/{name}.md"), text);
                let done = self.run(set, &["flow", "add", &file.to_string_lossy()]);
                let there = self.quietly(&["flow", "show", &name]).code == 0;
                (
                    done.clone(),
                    wrong(there != (done.code == 0), "not as it said"),
                )
            }
            "profile" => {
                let name = format!("profile{}", self.next());
                let done = self.run(set, &["profile", "create", &name]);
                let valid = self.quietly(&["profile", "show", &name]).code == 0;
                (
                    done.clone(),
                    wrong(valid != (done.code == 0), "not as it said"),
                )
            }
            other => (self.run(set, &[other]), None),
        }
    }

    /// The state is sound, whatever happened.
    #[track_caller]
    fn sound(&self, what: &str) {
        let home = Home::at(self.world.home()).unwrap();
        let store = Store::open(&home).unwrap();
        assert_eq!(store.integrity().unwrap(), None, "{what}");
        drop(store);
        let verified = self.world.run(["audit", "verify"]).done();
        assert_eq!(verified.code, 0, "{what}: {verified:?}");
        let temporary = fs::read_dir(home.root()).unwrap().flatten();
        let left: Vec<_> = temporary
            .filter(|entry| entry.file_name().to_string_lossy().starts_with('.'))
            .collect();
        assert!(left.is_empty(), "{what}: {left:?}");
    }
}

#[test]
fn whichever_change_of_the_disk_fails_the_answer_is_honest() {
    let world = World::new();
    let inside = Inside::new(&world);
    let mut bench = Bench::new(&world, &inside);
    let mut random = Random::new();
    let fired = world.at("fired");
    let (mut trials, mut failed) = (0, 0);
    // The disk that does not confirm: what was written last is a whole transaction, and must not count.
    for kind in ["send", "approve", "deny"] {
        for at in 1..4 {
            let only = [("FAULT_AT", at.to_string()), ("FAULT_ONLY", "S".to_owned())];
            let set = bench.set(&only);
            bench.checkpoint();
            let (done, bad) = bench.operate(kind, &set);
            assert_eq!(bad, None, "{kind}, sync {at}: {done:?}");
            // The first one is that of what was asked for: nothing is left for a checkpoint.
            assert!(at > 1 || done.code == 7, "{kind} was confirmed: {done:?}");
        }
    }
    let mut kinds = vec![
        "send", "approve", "deny", "cancel", "gate", "flow", "profile", "init", "tick", "recover",
        "clean",
    ];
    while !whole() && kinds.len() > 4 {
        kinds.remove(random.below(kinds.len()));
    }
    for kind in kinds {
        let errors: &[i32] = if whole() { &[28, 5, 13, 30] } else { &[28] };
        for (errno, all) in errors
            .iter()
            .flat_map(|errno| [(errno, false), (errno, true)])
        {
            let mut at = 1 + if whole() { 0 } else { random.below(10) };
            loop {
                let _ = fs::remove_file(&fired);
                let mut more = vec![
                    ("FAULT_AT", at.to_string()),
                    ("FAULT_ERRNO", errno.to_string()),
                    ("FAULT_FIRED", fired.to_string_lossy().into_owned()),
                ];
                if all {
                    more.push(("FAULT_ALL", "1".to_owned()));
                }
                let set = bench.set(&more);
                let what = format!("{kind}, change {at}, error {errno}, {all}");
                let (done, bad) = bench.operate(kind, &set);
                assert_eq!(bad, None, "{what}: {done:?}");
                assert!([0, 1, 7].contains(&done.code), "{what}: {done:?}");
                assert!(!done.stderr.contains("internal error"), "{what}: {done:?}");
                trials += 1;
                if !fired.exists() {
                    break;
                }
                failed += i32::from(done.code != 0);
                at += if whole() { 1 } else { 5 + random.below(20) };
            }
            bench.sound(kind);
            eprintln!("{kind}, error {errno}: {trials} trials so far");
        }
    }
    eprintln!("{trials} changes of the disk failed, {failed} operations were refused for it");
}

/// Copies the files of a directory.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Fills the state with all kinds of rows.
fn filled(bench: &mut Bench<'_>) {
    for _ in 0..if whole() { 8 } else { 1 } {
        for kind in ["send", "approve", "deny", "cancel", "flow"] {
            bench.operate(kind, &[]);
        }
        let body = "x".repeat(9_000);
        bench.quietly(&["send", &bench.inside.id, "-m", &body]).ok();
        bench.held();
    }
}

#[test]
fn a_damaged_page_is_never_taken_for_a_yes() {
    let world = World::new();
    let inside = Inside::new(&world);
    let mut bench = Bench::new(&world, &inside);
    filled(&mut bench);
    // Into the database with all of it: a page of the log that is damaged is left out by its checksum.
    let database = rusqlite::Connection::open(world.at("state/db/conductor.db")).unwrap();
    database
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    drop(database);
    let good = fs::read(world.at("state/db/conductor.db")).unwrap();
    let mut random = Random::new();
    let (mut aside, mut refused) = (0, 0);
    let trials = if whole() { 200 } else { 6 };
    for trial in 0..trials {
        let mut bad = good.clone();
        let page = if trial == 0 {
            0
        } else {
            random.below(good.len() / 4096)
        };
        for _ in 0..=random.below(64) {
            let at = page * 4096 + random.below(4096);
            bad[at] ^= u8::try_from(1 + random.below(255)).unwrap();
        }
        fs::write(world.at("state/db/conductor.db"), &bad).unwrap();
        for extra in ["-wal", "-shm"] {
            let _ = fs::remove_file(world.at(&format!("state/db/conductor.db{extra}")));
        }
        let answer = inside.gate("", "touch never");
        let what = format!("trial {trial}, page {page}");
        // What is damaged may lie where the gate does not look: then it asks, as ever.
        assert!(
            ["ask", "deny", "blocked"]
                .iter()
                .any(|good| answer == *good),
            "{what}: {answer}"
        );
        for arguments in [
            &["sessions"][..],
            &["inbox"],
            &["approvals"],
            &["audit", "verify"],
            &["doctor"],
            &["tick"],
            &["approve", "1"],
        ] {
            let done = world.run(arguments).done();
            assert!(
                [0, 1, 3, 4, 7].contains(&done.code),
                "{what}: {arguments:?}: {done:?}"
            );
            assert!(!done.stderr.contains("internal error"), "{what}: {done:?}");
            refused += i32::from(done.code == 7);
        }
        for entry in fs::read_dir(world.at("state/db")).unwrap().flatten() {
            if entry.file_name().to_string_lossy().contains("corrupt") {
                aside += 1;
                fs::remove_file(entry.path()).unwrap();
            }
        }
    }
    fs::write(world.at("state/db/conductor.db"), &good).unwrap();
    eprintln!("{trials} pages damaged: {aside} files set aside, {refused} calls refused");
}

#[test]
fn a_log_that_ends_anywhere_is_a_sound_database() {
    let world = World::new();
    let inside = Inside::new(&world);
    let mut bench = Bench::new(&world, &inside);
    filled(&mut bench);
    let (good, cut) = (world.at("state"), world.at("cut"));
    let log = || fs::read(good.join("db/conductor.db-wal")).unwrap();
    while log().len() < 100_000 {
        bench.operate("deny", &[]);
    }
    let wal = log();
    let step = if whole() { 512 } else { 512 * 17 };
    let mut before = 0;
    for length in (0..=wal.len()).step_by(step) {
        let _ = fs::remove_dir_all(&cut);
        copy(&good, &cut);
        fs::remove_file(cut.join("db/conductor.db-shm")).unwrap();
        fs::write(cut.join("db/conductor.db-wal"), &wal[..length]).unwrap();
        let home = Home::at(&cut).unwrap();
        match Store::open(&home) {
            Ok(mut store) => {
                assert_eq!(store.integrity().unwrap(), None, "{length} bytes");
                let report = store.check_audit().unwrap();
                assert!(report.entries >= before, "{length} bytes: entries are lost");
                before = report.entries;
            }
            // The schema itself was in the log.
            Err(error) => assert!(length < wal.len() / 2, "{length} bytes: {error}"),
        }
    }
    eprintln!("cut {} times, up to {before} entries", wal.len() / step + 1);
}

/// One change of the disk, as the shim records it.
struct Change {
    op: u8,
    path: String,
    offset: usize,
    data: Vec<u8>,
}

fn changes(trace: &[u8]) -> Vec<Change> {
    let mut found = Vec::new();
    let mut rest = trace;
    while let [op, head @ ..] = rest {
        let number = |at: usize, length: usize| {
            let bytes = &head[at..at + length];
            usize::try_from(
                bytes
                    .iter()
                    .rev()
                    .fold(0_u64, |n, b| n << 8 | u64::from(*b)),
            )
            .unwrap()
        };
        let (path, data, offset) = (number(0, 4), number(4, 4), number(8, 8));
        let text = &head[16..16 + path];
        found.push(Change {
            op: *op,
            path: String::from_utf8(text.to_vec()).unwrap(),
            offset,
            data: head[16 + path..16 + path + data].to_vec(),
        });
        rest = &head[16 + path + data..];
    }
    found
}

/// A file: what is on the disk for sure, and what was done to it since.
#[derive(Debug, Clone, Default)]
struct Pages {
    sure: Vec<u8>,
    since: Vec<(Option<Vec<u8>>, usize)>,
}

impl Pages {
    fn apply(bytes: &mut Vec<u8>, (data, offset): &(Option<Vec<u8>>, usize)) {
        match data {
            Some(data) => {
                if bytes.len() < offset + data.len() {
                    bytes.resize(offset + data.len(), 0);
                }
                bytes[*offset..offset + data.len()].copy_from_slice(data);
            }
            None => bytes.resize(*offset, 0),
        }
    }

    /// What stands there when of the changes since those are kept that `keep` names.
    fn kept(&self, mut keep: impl FnMut() -> bool) -> Vec<u8> {
        let mut bytes = self.sure.clone();
        for change in &self.since {
            if keep() {
                Self::apply(&mut bytes, change);
            }
        }
        bytes
    }
}

/// A disk whose directories keep their order (as those of ext4 and xfs do), and whose files keep what was synced.
#[derive(Debug, Clone, Default)]
struct Disk {
    files: BTreeMap<String, Pages>,
    dirs: BTreeSet<String>,
}

impl Disk {
    fn read(root: &Path, below: &str, disk: &mut Self) {
        for entry in fs::read_dir(root.join(below)).unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if below.is_empty() {
                name
            } else {
                format!("{below}/{name}")
            };
            if entry.path().is_dir() {
                disk.dirs.insert(path.clone());
                Self::read(root, &path, disk);
            } else if entry.file_type().unwrap().is_file() && !path.ends_with("-shm") {
                let sure = fs::read(entry.path()).unwrap();
                disk.files.insert(
                    path,
                    Pages {
                        sure,
                        since: Vec::new(),
                    },
                );
            }
        }
    }

    fn change(&mut self, change: &Change) {
        let path = &change.path;
        match change.op {
            b'M' => {
                self.dirs.insert(path.clone());
            }
            b'C' => {
                if !self.dirs.contains(path) {
                    self.files.entry(path.clone()).or_default();
                }
            }
            b'W' => {
                let file = self.files.entry(path.clone()).or_default();
                file.since.push((Some(change.data.clone()), change.offset));
            }
            b'T' => {
                let file = self.files.entry(path.clone()).or_default();
                file.since.push((None, change.offset));
            }
            b'S' => {
                if let Some(file) = self.files.get_mut(path) {
                    file.sure = file.kept(|| true);
                    file.since.clear();
                }
            }
            b'R' => {
                let to = String::from_utf8(change.data.clone()).unwrap();
                if let Some(file) = self.files.remove(path) {
                    self.files.insert(to, file);
                }
            }
            b'U' => {
                self.files.remove(path);
            }
            other => panic!("an unknown change: {other}"),
        }
    }

    fn write(&self, root: &Path, mut keep: impl FnMut() -> bool) {
        let _ = fs::remove_dir_all(root);
        std::os::unix::fs::DirBuilderExt::mode(&mut fs::DirBuilder::new(), 0o700)
            .create(root)
            .unwrap();
        for dir in &self.dirs {
            fs::create_dir_all(root.join(dir)).unwrap();
        }
        for (path, file) in &self.files {
            fs::write(root.join(path), file.kept(&mut keep)).unwrap();
        }
    }
}

/// What was promised, and after how many changes.
enum Promise {
    Message(String),
    Decided(String, &'static str),
}

/// The state as it would be found after the loss of power is sound, and holds what was promised.
#[track_caller]
fn survives(root: &Path, promised: &[&Promise], what: &str) {
    let home = Home::at(root).unwrap();
    let mut store = Store::open(&home).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(store.integrity().unwrap(), None, "{what}");
    // As the next writer does.
    store.export_audit(Budget::Call).unwrap();
    let report = store.check_audit().unwrap();
    assert!(report.ok, "{what}: {report:?}");
    drop(store);
    let database = rusqlite::Connection::open(home.db()).unwrap();
    let one = |sql: &str, value: &str| -> Option<String> {
        database.query_row(sql, [value], |row| row.get(0)).ok()
    };
    for promise in promised {
        match promise {
            Promise::Message(key) => {
                let there = one("SELECT status FROM messages WHERE key = ?1", key);
                assert!(there.is_some(), "{what}: an accepted message is lost");
            }
            Promise::Decided(id, status) => {
                let there = one("SELECT status FROM approvals WHERE id = ?1", id);
                let there = there.unwrap_or_default();
                let used = there == "consumed" && *status == "approved";
                assert!(there == *status || used, "{what}: approval {id} is {there}");
            }
        }
    }
}

#[test]
fn a_loss_of_power_between_any_two_changes_keeps_what_was_promised() {
    let world = World::new();
    let inside = Inside::new(&world);
    let mut bench = Bench::new(&world, &inside);
    let trace = world.at("trace");
    let set = bench.set(&[("FAULT_TRACE", trace.to_string_lossy().into_owned())]);
    bench.quiet.clone_from(&set);
    // Timers write too.
    for (name, value) in &set {
        world.tmux(["set-environment", "-g", name, value]);
    }
    let mut random = Random::new();
    let scratch = tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap();
    let root = scratch.path().join("state");
    let (traces, operations) = if whole() { (50, 12) } else { (1, 6) };
    let mut looked = 0;
    for round in 0..traces {
        fs::write(&trace, "").unwrap();
        let mut disk = Disk::default();
        Disk::read(&world.home(), "", &mut disk);
        let mut promises: Vec<(usize, Promise)> = Vec::new();
        let kinds = [
            "send", "send", "approve", "deny", "cancel", "gate", "flow", "profile", "tick",
            "recover", "clean",
        ];
        for n in 0..operations {
            // What makes promises is in each of them.
            let at = if n < 3 {
                n + 1
            } else {
                random.below(kinds.len())
            };
            let kind = kinds[at];
            let id = inside.id.clone();
            let made = match kind {
                "send" => {
                    let key = format!("key{}", bench.next());
                    bench
                        .run(&set, &["send", &id, "--key", &key, "-m", "SAY x"])
                        .ok();
                    Some(Promise::Message(key))
                }
                "approve" | "deny" => {
                    let asked = bench.held();
                    bench.run(&set, &[kind, &asked]).ok();
                    let status = if kind == "approve" {
                        "approved"
                    } else {
                        "denied"
                    };
                    Some(Promise::Decided(asked, status))
                }
                _ => {
                    let (_, bad) = bench.operate(kind, &set);
                    assert_eq!(bad, None);
                    None
                }
            };
            let so_far = changes(&fs::read(&trace).unwrap()).len();
            promises.extend(made.map(|promise| (so_far, promise)));
        }
        let all = changes(&fs::read(&trace).unwrap());
        assert!(all.len() > operations * 4, "something was recorded");
        let step = if whole() { 1 } else { 7 };
        let first = random.below(step);
        for (n, change) in all.iter().enumerate() {
            disk.change(change);
            let promised_here = promises.iter().any(|(at, _)| *at == n + 1);
            if n % step != first && !promised_here {
                continue;
            }
            let given: Vec<&Promise> = promises
                .iter()
                .filter(|(at, _)| *at <= n + 1)
                .map(|(_, promise)| promise)
                .collect();
            for how in ["all", "what was synced", "some of the rest"] {
                match how {
                    "all" => disk.write(&root, || true),
                    "what was synced" => disk.write(&root, || false),
                    _ => disk.write(&root, || random.below(2) == 0),
                }
                let what = format!(
                    "round {round}, after change {n} ({} {}), {how}",
                    change.op as char, change.path
                );
                survives(&root, &given, &what);
                looked += 1;
            }
        }
        eprintln!("trace {round}: {looked} losses of power so far");
        for asked in bench.list(&["approvals", "--status", "pending"]) {
            bench.quietly(&["deny", &text(&asked["id"])]);
        }
    }
    eprintln!("{traces} traces, {looked} losses of power: all sound, all promises kept");
}
