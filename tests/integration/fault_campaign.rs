//! Every change of the disk fails once, the disk has room for a few pages only, every page is damaged. `scripts/campaign-faults` runs all of
//! it; without `CONDUCTOR_CAMPAIGN` a sample is taken.

use crate::clean::SmallDisk;
use crate::faults::{Inside, fill, not_run};
use crate::support::{Done, World, eventually, text};
use conductor::paths::Home;
use conductor::store::Store;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Whether all of it is wanted.
pub(crate) fn whole() -> bool {
    std::env::var_os("CONDUCTOR_CAMPAIGN").is_some()
}

/// Numbers that are the same for the same seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new() -> Self {
        let given = std::env::var("CONDUCTOR_CAMPAIGN_SEED").ok();
        let seed = given.and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
        eprintln!("seed {seed}");
        Self(seed)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
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

fn wrong(yes: bool, what: &str) -> Option<String> {
    yes.then(|| what.to_owned())
}

/// A call that succeeded has done it, and one that failed has not.
fn as_said(done: Done, is_so: bool) -> (Done, Option<String>) {
    let bad = wrong(is_so != (done.code == 0), "not as it said");
    (done, bad)
}

/// The answer of a program whose exit code says nothing.
fn answered(no: bool, said: String) -> Done {
    Done {
        code: i32::from(no),
        stdout: String::new(),
        stderr: said,
    }
}

/// What an operation is run with.
type Set<'a> = &'a [(&'a str, String)];

pub(crate) struct Bench<'a> {
    world: &'a World,
    inside: &'a Inside<'a>,
    shim: PathBuf,
    /// With what all else is run.
    pub(crate) quiet: Vec<(&'a str, String)>,
    /// How many pages of the disk are free while an operation is tried; `None`: as many as there are.
    room: Option<u64>,
    /// How often the text of each message was handed over by the stop hook.
    handed: BTreeMap<String, u32>,
    count: u32,
}

impl<'a> Bench<'a> {
    pub(crate) fn new(world: &'a World, inside: &'a Inside<'a>) -> Self {
        world.write(
            "state/config.toml",
            "[limits]\nqueue_per_receiver = 100000\n",
        );
        Self {
            world,
            inside,
            shim: shim(world),
            quiet: Vec::new(),
            room: None,
            handed: BTreeMap::new(),
            count: 0,
        }
    }

    pub(crate) fn set(&self, more: &[(&'a str, String)]) -> Vec<(&'a str, String)> {
        let home = self.world.home().to_string_lossy().into_owned();
        let shim = self.shim.to_string_lossy().into_owned();
        let mut all = vec![("LD_PRELOAD", shim), ("FAULT_DIR", home)];
        all.extend_from_slice(more);
        all
    }

    pub(crate) fn run(&self, set: Set<'_>, arguments: &[&str]) -> Done {
        let run = self.world.run(arguments);
        set.iter()
            .fold(run, |run, (name, value)| run.env(name, value))
            .done()
    }

    /// What is tried, on a disk with only so much room.
    fn tried<T>(&self, trial: impl FnOnce() -> T) -> T {
        let ballast = self.world.at("state/ballast");
        if let Some(pages) = self.room {
            fill(ballast.clone());
            let file = fs::OpenOptions::new().write(true).open(&ballast).unwrap();
            let full = file.metadata().unwrap().len();
            file.set_len(full.saturating_sub(pages * 4096)).unwrap();
        }
        let found = trial();
        let _ = fs::remove_file(ballast);
        found
    }

    /// Runs what is no part of the trial.
    pub(crate) fn quietly(&self, arguments: &[&str]) -> Done {
        self.run(&self.quiet, arguments)
    }

    /// Empties the write-ahead log, so that the next operation does not begin with a checkpoint, whose failure would do no harm.
    fn checkpoint(&self) {
        let db = rusqlite::Connection::open(self.world.at("state/db/conductor.db")).unwrap();
        let busy = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
        assert!(!busy.unwrap_or(true), "the log is in use");
    }

    pub(crate) fn list(&self, arguments: &[&str]) -> Vec<Value> {
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

    pub(crate) fn next(&mut self) -> String {
        self.count += 1;
        self.count.to_string()
    }

    /// An approval that waits.
    pub(crate) fn held(&mut self) -> String {
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
    pub(crate) fn operate(&mut self, kind: &str, set: Set<'_>) -> (Done, Option<String>) {
        let (done, bad) = self.try_to(kind, set);
        let unsure = done.code == 7 && done.stderr.contains("nobody can say");
        (done, bad.filter(|_| !unsure))
    }

    fn try_to(&mut self, kind: &str, set: Set<'_>) -> (Done, Option<String>) {
        let id = self.inside.id.clone();
        let call = |bench: &Self, arguments: &[&str]| bench.tried(|| bench.run(set, arguments));
        let before = Self::before(set);
        match kind {
            "send" => {
                let key = format!("key{}", self.next());
                let done = call(self, &["send", &id, "--key", &key, "-m", "SAY x"]);
                let stored = self.message(&key).is_some();
                // A disk that fails at the very end leaves a message of which nobody can say whether it lasts.
                let said = done.code == 0 || done.stderr.contains("is stored, and");
                (
                    done,
                    wrong(stored != said, "stored and what was said differ"),
                )
            }
            "approve" | "deny" => {
                let asked = self.held();
                let done = call(self, &[kind, &asked]);
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
                let done = call(self, &["inbox", "cancel", &message]);
                let gone = self
                    .message(&key)
                    .is_none_or(|row| row["status"] == "cancelled");
                as_said(done, gone)
            }
            "gate" => {
                // A yes that was given before is used by exactly one call, and the call is let through only when that is recorded.
                let file = format!("made{}", self.next());
                let command = format!("touch {file}");
                let asked = self.requested(&command);
                self.quietly(&["approve", &asked]).ok();
                let answer = self.tried(|| self.inside.gate(&before, &command));
                let used = self.approval(&asked) == "consumed";
                let allowed = answer == "allow";
                let done = answered(!allowed, answer.to_string());
                (done, wrong(allowed && !used, "allowed and not recorded"))
            }
            "request" => {
                let command = format!("touch asked{}", self.next());
                let asked = json!({"command_text": command, "timeout": 0});
                let (failed, said) =
                    self.tried(|| self.inside.tool(&before, "request_approval", &asked));
                let pending = self.list(&["approvals", "--status", "pending"]);
                let mut own = pending
                    .iter()
                    .filter(|row| row.to_string().contains(&command));
                let waits = own.next().map(|row| text(&row["id"]));
                if let Some(id) = &waits {
                    self.quietly(&["deny", id]).ok();
                }
                let unsure = said.contains("nobody can say");
                let bad = wrong(!unsure && waits.is_some() == failed, "not as it said");
                (answered(failed, said), bad)
            }
            "event" => {
                // Whatever becomes of it, the agent notices nothing.
                let done = self.tried(|| self.inside.hook(&before, "PostToolUse", "ls"));
                let bad = wrong(
                    (done.code, done.stdout.as_str(), done.stderr.as_str()) != (0, "", ""),
                    "it disturbed its caller",
                );
                (done, bad)
            }
            "stop" => {
                // What other operations left would come first.
                for row in self.list(&["inbox", "--status", "queued", "--limit", "10000"]) {
                    self.quietly(&["inbox", "cancel", &text(&row["id"])]);
                }
                let key = format!("key{}", self.next());
                self.quietly(&["send", &id, "--key", &key, "-m", "SAY x"])
                    .ok();
                let id = text(&self.message(&key).unwrap()["id"]);
                let (done, mut found) = self.stopped(&before);
                // Whatever happened, the message arrives in the end.
                let room = self.room.take();
                for _ in 0..4 {
                    // One that its hook could not record as handed over is taken up again when its claim is over.
                    eventually("its claim is over", || {
                        (self.message(&key)?["status"] != "claimed").then_some(())
                    });
                    if self.message(&key).unwrap()["status"] == "submitted" {
                        break;
                    }
                    let (_, bad) = self.stopped(&Self::before(&self.quiet));
                    found = found.or(bad);
                }
                self.room = room;
                let row = self.message(&key).unwrap();
                let arrived = row["status"] == "submitted" && self.handed.contains_key(&id);
                let lost = wrong(!arrived, &format!("it did not arrive: {row}"));
                (done, found.or(lost))
            }
            "launch" => {
                let session = format!("session{}", self.next());
                let launch = ["launch", "-p", "demo", "--prompt", "SAY x", "--session"];
                let done = call(self, &[&launch[..], &[&session]].concat());
                // What nobody could record any more is found by the next look.
                self.quietly(&["tick"]);
                let sessions = self.list(&["sessions"]);
                let mut own = sessions
                    .iter()
                    .filter(|row| row["name"] == session.as_str());
                let status = own.next().map(|row| text(&row["terminals"][0]["status"]));
                let sessions = self.world.tmux(["list-sessions", "-F", "#{session_name}"]);
                let pane = sessions.lines().any(|name| name == session);
                self.quietly(&["shutdown", "--session", &session, "--force"]);
                // A start that failed, and whose end could not be recorded, is found by the look after 30 s.
                let so = if done.code == 0 {
                    pane && status.is_some()
                } else {
                    !pane && status.as_ref().is_none_or(|status| status == "starting")
                };
                (
                    done,
                    wrong(!so, &format!("recorded {status:?}, in tmux {pane}")),
                )
            }
            "flow" => {
                let name = format!("flow{}", self.next());
                let text = format!(
                    "---\nname: {name}\nschedule: \"0 0 1 1 *\"\nagent_profile: developer\n---\nx\n"
                );
                let file = self.world.write(&format!("flows/{name}.md"), text);
                let done = call(self, &["flow", "add", &file.to_string_lossy()]);
                let there = self.quietly(&["flow", "show", &name]).code == 0;
                as_said(done, there)
            }
            "profile" => {
                let name = format!("profile{}", self.next());
                let done = call(self, &["profile", "create", &name]);
                let valid = self.quietly(&["profile", "show", &name]).code == 0;
                as_said(done, valid)
            }
            other => (call(self, &[other]), None),
        }
    }

    /// Ends a turn of the agent; what is wrong with what its stop hook handed over.
    fn stopped(&mut self, before: &str) -> (Done, Option<String>) {
        // A new one: within a turn, a stop hook sends its agent on once.
        let quiet = Self::before(&self.quiet);
        let prompt = json!({"session_id": "x", "prompt": "go on"});
        self.inside.event(&quiet, "UserPromptSubmit", &prompt);
        let stop = json!({"session_id": "x", "stop_hook_active": false});
        let done = self.tried(|| self.inside.event(before, "Stop", &stop));
        let mut bad = wrong(done.code != 0, "the hook failed");
        if let Some((_, rest)) = done.stdout.split_once("[conductor #") {
            let id = rest.split_once(' ').unwrap().0;
            let times = self.handed.entry(id.to_owned()).or_default();
            *times += 1;
            let unmarked = *times > 1 && !done.stdout.contains("(again)");
            bad = bad.or(wrong(unmarked, "twice without the mark"));
            // The agent goes on, and that is the proof.
            let went_on = json!({"session_id": "x", "stop_hook_active": true});
            self.inside.event(&quiet, "Stop", &went_on);
        }
        (done, bad)
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

/// All that is tried, or a few of it.
fn kinds(random: &mut Random) -> Vec<&'static str> {
    let mut kinds = vec![
        "send", "approve", "deny", "cancel", "gate", "request", "event", "stop", "launch", "flow",
        "profile", "init", "tick", "recover", "clean",
    ];
    if let Ok(only) = std::env::var("CONDUCTOR_CAMPAIGN_ONLY") {
        kinds.retain(|kind| *kind == only);
    }
    while !whole() && kinds.len() > 4 {
        kinds.remove(random.below(kinds.len()));
    }
    kinds
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
    for kind in kinds(&mut random) {
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

#[test]
fn whatever_room_a_disk_has_left_the_answer_is_honest() {
    let world = World::new();
    let Some(_disk) = SmallDisk::mount(&world) else {
        return not_run("no file system can be mounted");
    };
    let inside = Inside::new(&world);
    let mut bench = Bench::new(&world, &inside);
    let mut random = Random::new();
    let (mut trials, mut failed) = (0, 0);
    for kind in kinds(&mut random) {
        let (first, step) = if whole() {
            (0, 1)
        } else {
            (random.below(8), 8 + random.below(16))
        };
        for pages in (first..=64).step_by(step) {
            bench.room = Some(u64::try_from(pages).unwrap());
            let (done, bad) = bench.operate(kind, &[]);
            let what = format!("{kind}, {pages} pages");
            assert_eq!(bad, None, "{what}: {done:?}");
            assert!([0, 1, 7].contains(&done.code), "{what}: {done:?}");
            assert!(!done.stderr.contains("internal error"), "{what}: {done:?}");
            let hinted = done.code != 7 || done.stderr.contains("free some space");
            assert!(hinted, "{what}: {done:?}");
            trials += 1;
            failed += i32::from(done.code != 0);
        }
        bench.sound(kind);
        eprintln!("{kind}: {trials} trials so far");
    }
    eprintln!("{trials} operations with little room, {failed} were refused for it");
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
    let (live, good, cut) = (world.at("state"), world.at("good"), world.at("cut"));
    while fs::metadata(live.join("db/conductor.db-wal"))
        .unwrap()
        .len()
        < 100_000
    {
        bench.operate("deny", &[]);
    }
    // Timers write too.
    let writers = fs::File::open(live.join("conductor.lock")).unwrap();
    writers.lock().unwrap();
    copy(&live, &good);
    drop(writers);
    let wal = fs::read(good.join("db/conductor.db-wal")).unwrap();
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
