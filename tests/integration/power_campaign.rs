//! The power is lost between any two changes of the disk. `scripts/campaign-faults` runs all of it; without `CONDUCTOR_CAMPAIGN` a sample
//! is taken.

use crate::fault_campaign::{Bench, Random, whole};
use crate::faults::Inside;
use crate::support::{World, text};
use conductor::paths::Home;
use conductor::store::{Budget, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

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
