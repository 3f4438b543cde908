//! Every step of delivery is crashed once: the process is killed there, and what comes next brings the message to the agent.

use crate::delivery::{bodies, received};
use crate::support::{World, eventually, text};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

/// How long what a crash left behind may take. A prompt hook that was killed takes the proof with it: that takes longest.
const LIMIT: Duration = Duration::from_mins(1);

/// A world whose agents, hooks and timers die where [`arm`] says.
pub(crate) fn world() -> (World, String) {
    let world = World::new();
    let file = format!(
        "CONDUCTOR_FAILPOINT_FILE={}",
        world.at("failpoint").display()
    );
    world.tmux([
        "set-environment",
        "-g",
        "CONDUCTOR_FAILPOINT_FILE",
        &world.at("failpoint").to_string_lossy(),
    ]);
    let log = format!("CONDUCTOR_DEMO_LOG={}", world.at("demo.log").display());
    let launched = world
        .run([
            "launch",
            "-p",
            "demo",
            "--session",
            "work",
            "--env",
            &log,
            "--env",
            &file,
        ])
        .json();
    let id = text(&launched["terminals"][0]["id"]);
    world.wait(&id, "idle");
    (world, id)
}

/// The next process that gets there dies, if it is a hook or a timer.
pub(crate) fn arm(world: &World, point: &str) {
    fs::write(world.at("failpoint.new"), point).unwrap();
    fs::rename(world.at("failpoint.new"), world.at("failpoint")).unwrap();
}

pub(crate) fn armed(world: &World) -> bool {
    world.at("failpoint").exists()
}

fn messages(world: &World, id: &str) -> Vec<Value> {
    let mut all = world
        .run(["inbox", id, "--limit", "100"])
        .json()
        .as_array()
        .unwrap()
        .clone();
    all.reverse();
    all
}

/// Lets people and timers come by until everything has settled; then looks at what the agent received.
pub(crate) fn all_arrive(world: &World, id: &str, point: &str) {
    all_arrive_after(world, id, point, &[]);
}

/// As [`all_arrive`], where a person typed `typed` first.
fn all_arrive_after(world: &World, id: &str, point: &str, typed: &[&str]) {
    let end = Instant::now() + LIMIT;
    loop {
        world.run(["sessions"]).ok();
        let open = messages(world, id)
            .iter()
            .filter(|m| m["status"] != "submitted")
            .cloned()
            .collect::<Vec<_>>();
        if open.is_empty() {
            break;
        }
        assert!(
            Instant::now() < end,
            "{point}: still open after {LIMIT:?}: {open:?}"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    world.wait(id, "idle");
    let log = world.demo_log(id);
    let mut order = Vec::new();
    for message in messages(world, id) {
        let mid = text(&message["id"]);
        let heard = received(world, id, &mid);
        assert!(
            !heard.is_empty(),
            "{point}: message {mid} is lost: {message}"
        );
        for body in &heard {
            assert_eq!(*body, text(&message["body"]), "{point}: torn");
        }
        let lines: Vec<String> = log
            .iter()
            .filter(|line| line["message_id"] == message["id"] && line["event"] != "answer")
            .map(|line| text(&line["text"]))
            .collect();
        let unmarked = lines
            .iter()
            .filter(|line| !line.split(']').next().unwrap().contains("(again)"))
            .count();
        // A body that a prompt hook adds has a line of its own in the pane; a channel's never goes with its line.
        let added = ["prompt_hook", "api"].map(Value::from);
        let whole = if added.contains(&message["transport"]) {
            2
        } else {
            1
        };
        assert!(
            unmarked <= whole,
            "{point}: message {mid} came again without a word: {lines:?}"
        );
        if heard.len() > 1 {
            assert_eq!(
                message["again"], true,
                "{point}: a repetition that the row does not know: {message}"
            );
        }
        order.push(text(&message["body"]));
    }
    let prompts = world.logged(id, &["prompt"]);
    assert!(
        prompts
            .iter()
            .zip(typed)
            .all(|(prompt, typed)| prompt == typed),
        "{prompts:?}"
    );
    let mut first: Vec<String> = Vec::new();
    for body in bodies(world, id) {
        if !first.contains(&body) {
            first.push(body);
        }
    }
    assert_eq!(first, order, "{point}: out of order");
    assert_eq!(
        world.tmux(["list-buffers"]),
        "",
        "{point}: a buffer is left"
    );
}

/// Leaves a half-written line in the input box, drawn by the agent.
fn draft(world: &World, pane: &str) {
    world.tmux(["send-keys", "-t", pane, "-l", "half a thought"]);
    eventually("the draft is on the screen", || {
        let screen = world.tmux(["capture-pane", "-p", "-t", pane]);
        screen.contains("half a thought").then_some(())
    });
}

pub(crate) const LONG: &str = "SAY a body of\ntwo lines";

/// The sender dies at `point`; if it gets there, it is said.
pub(crate) fn sender_dies(world: &World, id: &str, point: &str, body: &str) -> bool {
    let done = world
        .run(["send", id, "-m", body])
        .env("CONDUCTOR_FAILPOINT", point)
        .done();
    assert!(done.code == 137 || done.code == 0, "{point}: {done:?}");
    done.code == 137
}

#[test]
fn a_sender_may_die_at_every_step() {
    for point in [
        "send.arguments",
        "db.before_commit",
        "db.committed",
        "send.accepted",
        "deliver.locked",
        "deliver.before_claim",
        "deliver.claimed",
        "wire.connected",
        "wire.connected:2",
        "wire.sent",
        "wire.sent:2",
        "wire.sent:3",
        "db.before_commit:2",
        "db.committed:2",
        "deliver.pasted",
        "deliver.placed",
        "timer.before_arm",
        "deliver.armed",
        "deliver.unlocked",
        "send.delivered",
    ] {
        let (world, id) = world();
        if !matches!(point, "timer.before_arm" | "wire.connected:2") {
            // A message before it leaves a timer that is early enough, so that tmux is asked once.
            world.ask(&id, "SAY before");
        }
        assert!(
            sender_dies(&world, &id, point, LONG),
            "{point} was never reached"
        );
        world.send(&id, "SAY after");
        all_arrive(&world, &id, point);
    }
}

#[test]
fn two_senders_may_die_one_after_the_other() {
    let points = [
        "send.accepted",
        "deliver.claimed",
        "wire.sent",
        "deliver.pasted",
        "deliver.placed",
        "settle.receipts",
        "settle.burnt",
        "settle.requeued",
    ];
    for first in &points[..5] {
        let (world, id) = world();
        for second in points {
            sender_dies(&world, &id, first, &format!("SAY {first} then {second}"));
            sender_dies(&world, &id, second, &format!("SAY {second} after {first}"));
        }
        world.send(&id, "SAY after");
        all_arrive(&world, &id, first);
    }
}

#[test]
fn a_prompt_hook_may_die_at_every_step() {
    for point in [
        "prompt.before_commit",
        "prompt.committed",
        "prompt.before_print",
        "prompt.printed",
    ] {
        for body in ["SAY one line", LONG] {
            if body != LONG && (point.ends_with("print") || point.ends_with("printed")) {
                continue;
            }
            let (world, id) = world();
            arm(&world, point);
            world.send(&id, body);
            world.send(&id, "SAY after");
            all_arrive(&world, &id, point);
            assert!(!armed(&world), "{point} was never reached");
        }
    }
}

/// The one step that nothing can undo: the proof is stored, and the agent throws the answer of the killed hook away. It has the line that
/// says so and where to read the text.
#[test]
fn a_prompt_hook_that_dies_at_its_very_end_leaves_the_text_to_be_read() {
    let (world, id) = world();
    arm(&world, "prompt.marked");
    let sent = text(&world.send(&id, LONG)["id"]);
    world.message_becomes(&sent, "submitted");
    assert!(!armed(&world));
    world.wait(&id, "idle");
    let prompt = &world.logged(&id, &["prompt"])[0];
    assert!(
        prompt.contains(&format!(
            "if it is not there, read it with the MCP tool read_inbox, message_id \"{sent}\""
        )),
        "{prompt}"
    );
    let read = world
        .mcp(&id, "read_inbox", &serde_json::json!({"message_id": sent}))
        .unwrap();
    assert_eq!(read["messages"][0]["body"], LONG, "{read}");
}

#[test]
fn a_stop_hook_may_die_at_every_step() {
    for point in [
        "stop.before_claim",
        "stop.claimed",
        "stop.printed",
        "stop.marked",
        "stop.done",
        "event.before_commit",
        "event.committed",
    ] {
        let (world, id) = world();
        world
            .run(["send", &id, "--wait", "20", "-m", "SLEEP 1"])
            .ok();
        arm(&world, point);
        world.send(&id, LONG);
        world.send(&id, "SAY after");
        all_arrive(&world, &id, point);
        assert!(!armed(&world), "{point} was never reached");
    }
}

#[test]
fn a_timer_may_die_at_every_step() {
    for point in [
        "tick.taken",
        "tick.armed",
        "tick.cleared",
        "deliver.locked",
        "deliver.claimed",
        "deliver.pasted",
        "tick.worked",
    ] {
        let (world, id) = world();
        let pane = text(&world.status(&id)["pane"]);
        draft(&world, &pane);
        arm(&world, point);
        world.send(&id, "SAY first");
        // The sender itself must not die of it: it does not know the file.
        world.send(&id, LONG);
        world.tmux(["send-keys", "-t", &pane, "C-c"]);
        all_arrive(&world, &id, point);
        assert!(!armed(&world), "{point} was never reached");
    }
}

#[test]
fn a_late_enter_may_die_at_every_step() {
    for point in ["enter.before", "enter.sent"] {
        let (world, id) = world();
        let pane = text(&world.status(&id)["pane"]);
        arm(&world, point);
        world.send(&id, "SAY late");
        // Between the paste and its Enter a person opens copy mode: the Enter is kept back.
        world.tmux(["copy-mode", "-t", &pane]);
        std::thread::sleep(Duration::from_millis(300));
        world.tmux(["send-keys", "-t", &pane, "-X", "cancel"]);
        world.send(&id, "SAY after");
        all_arrive(&world, &id, point);
    }
}

#[test]
fn a_reader_may_die_at_every_step() {
    for point in [
        "db.before_commit",
        "db.committed",
        "inbox.noted",
        "inbox.printed",
        "inbox.before",
        "db.committed:2",
        "inbox.read",
    ] {
        let (world, id) = world();
        let flag = world.at("go");
        let run = format!(
            "RUN while [ ! -e {} ]; do sleep 0.05; done; CONDUCTOR_FAILPOINT={point} \"$CONDUCTOR_HOOK\" inbox read; \"$CONDUCTOR_HOOK\" inbox read",
            flag.display()
        );
        world.run(["send", &id, "--wait", "20", "-m", &run]).ok();
        world.approve_next(&id);
        let sent = world.send(&id, "a note in the inbox");
        fs::write(&flag, "").unwrap();
        world.wait(&id, "idle");
        let message = world.message_becomes(&text(&sent["id"]), "submitted");
        let told = world.run(["output", &id]).ok();
        let came = told.contains("a note in the inbox")
            || !received(&world, &id, &text(&message["id"])).is_empty();
        assert!(came, "{point}: lost: {message} {told}");
        if told.matches("a note in the inbox").count() > 1 {
            assert!(
                told.contains("(again)") && message["again"] == true,
                "{point}: it came again without a word: {message} {told}"
            );
        }
    }
}

#[test]
fn a_full_disk_refuses_and_loses_nothing() {
    let (world, id) = world();
    let refused = world
        .run(["send", &id, "-m", "SAY refused"])
        .env("CONDUCTOR_FAILPOINT", "db.before_commit=error")
        .fails(7);
    assert!(refused.contains("free some space"), "{refused}");
    assert!(messages(&world, &id).is_empty(), "nothing was stored");
    world.send(&id, "SAY accepted");
    all_arrive(&world, &id, "db.before_commit=error");
}

#[test]
fn a_sender_may_die_after_a_refusal() {
    let (world, id) = world();
    world.ask(&id, "SAY before");
    let pane = text(&world.status(&id)["pane"]);
    world.tmux(["copy-mode", "-t", &pane]);
    assert!(sender_dies(&world, &id, "deliver.refused", LONG));
    world.send(&id, "SAY after");
    world.tmux(["send-keys", "-t", &pane, "-X", "cancel"]);
    all_arrive(&world, &id, "deliver.refused");
}

/// The writers' lock, in another process's hands.
struct Locked {
    free: PathBuf,
    holder: Child,
}

impl Locked {
    fn new(world: &World) -> Self {
        let (held, free) = (world.at("held"), world.at("free"));
        let _ = fs::remove_file(&held);
        let _ = fs::remove_file(&free);
        let holder = world
            .command("flock")
            .arg(world.home().join("conductor.lock"))
            .args(["sh", "-c"])
            .arg(format!(
                "touch {}; while [ ! -e {} ]; do sleep 0.05; done",
                held.display(),
                free.display()
            ))
            .spawn()
            .unwrap();
        eventually("the state is locked", || held.exists().then_some(()));
        Self { free, holder }
    }

    fn free(mut self) {
        fs::write(&self.free, "").unwrap();
        self.holder.wait().unwrap();
    }
}

/// The last event of an agent is stored soon after the lock is free, though nobody writes or looks.
#[test]
fn an_event_that_found_the_lock_held_is_stored_without_another_writer() {
    let (world, id) = world();
    let pane = text(&world.status(&id)["pane"]);
    let spool = world.home().join("spool");
    let waiting = || fs::read_dir(&spool).unwrap().count();
    let locked = Locked::new(&world);
    world.tmux(["send-keys", "-t", &pane, "-l", "SAY typed"]);
    world.tmux(["send-keys", "-t", &pane, "Enter"]);
    eventually("its prompt and its end wait", || {
        (waiting() >= 2).then_some(())
    });
    locked.free();
    eventually("they are stored", || (waiting() == 0).then_some(()));
    assert_eq!(world.status(&id)["status"], "idle");
}

#[test]
fn a_hook_may_die_while_it_spools_its_event() {
    for point in ["spool.before", "spool.kept"] {
        let (world, id) = world();
        let pane = text(&world.status(&id)["pane"]);
        let locked = Locked::new(&world);
        arm(&world, point);
        // A person's own words: no message hangs on the event, so the hook does not wait for the lock.
        world.tmux(["send-keys", "-t", &pane, "-l", "SAY typed"]);
        world.tmux(["send-keys", "-t", &pane, "Enter"]);
        eventually("a hook died", || (!armed(&world)).then_some(()));
        locked.free();
        for body in [LONG, "SAY after"] {
            world.send(&id, body);
        }
        all_arrive_after(&world, &id, point, &["SAY typed"]);
        let spooled = fs::read_dir(world.home().join("spool")).unwrap().count();
        assert_eq!(spooled, 0, "{point}: the spool is empty");
    }
}

/// Every point that the program names.
fn points() -> Vec<String> {
    fn scan(dir: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                scan(&path, found);
                continue;
            }
            let source = fs::read_to_string(&path).unwrap();
            if path.ends_with("failpoint.rs") {
                continue;
            }
            for call in ["failpoint::hit(", "failpoint::fail("] {
                for rest in source.split(call).skip(1) {
                    let name = rest
                        .trim_start()
                        .strip_prefix('"')
                        .and_then(|r| r.split_once('"'));
                    // A variable: its values stand in the table of the event hooks.
                    found.extend(name.map(|(name, _)| name.to_owned()));
                }
            }
        }
    }
    let mut found = Vec::new();
    scan(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut found,
    );
    found.sort();
    found.dedup();
    found
}

#[test]
fn every_failpoint_is_in_a_table() {
    let tables = [
        include_str!("failpoints.rs"),
        include_str!("handoffs.rs"),
        include_str!("approvals.rs"),
        include_str!("audit.rs"),
        include_str!("channels.rs"),
        include_str!("clean.rs"),
        include_str!("flows.rs"),
        include_str!("worktrees/faults.rs"),
        include_str!("flow_faults.rs"),
        include_str!("recovery.rs"),
        include_str!("notes.rs"),
    ]
    .concat();
    let found = points();
    assert!(found.len() > 30, "{found:?}");
    let missing: Vec<&String> = found
        .iter()
        .filter(|name| {
            !["\"", ":", "=error\""]
                .iter()
                .any(|end| tables.contains(&format!("\"{name}{end}")))
        })
        .collect();
    assert!(missing.is_empty(), "never crashed: {missing:?}");
}
