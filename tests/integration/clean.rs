//! What is old is removed, and nothing that lives, waits or was not read; and the doctor mends what is safe to mend.

use crate::failpoints::arm;
use crate::support::{Run, World, eventually, text};
use serde_json::Value;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

fn later(world: &World, days: i64, arguments: &[&str]) -> Run {
    world
        .run(arguments)
        .env("CONDUCTOR_CLOCK_SKEW", (days * DAY_MS).to_string())
}

fn items(report: &Value, list: &str) -> Vec<(String, String)> {
    report[list]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            (
                text(&item["what"]),
                item["name"].as_str().unwrap_or_default().to_owned(),
            )
        })
        .collect()
}

fn last_message(world: &World, id: &str) -> String {
    text(&world.run(["inbox", id, "--limit", "1"]).json()[0]["id"])
}

fn log_of(world: &World, id: &str) -> PathBuf {
    world.home().join(format!("logs/terminal/{id}.log"))
}

/// When the last clean-up was, in the words of the database.
fn cleaned(world: &World) -> Option<String> {
    let database = rusqlite::Connection::open(world.home().join("db/conductor.db")).unwrap();
    database
        .query_row("SELECT value FROM meta WHERE key = 'cleaned'", [], |row| {
            row.get(0)
        })
        .ok()
}

fn set_cleaned(world: &World, value: &str) {
    let database = rusqlite::Connection::open(world.home().join("db/conductor.db")).unwrap();
    database
        .execute(
            "INSERT OR REPLACE INTO meta VALUES ('cleaned', ?1)",
            [value],
        )
        .unwrap();
}

fn is_due(world: &World) -> bool {
    let database = rusqlite::Connection::open(world.home().join("db/conductor.db")).unwrap();
    database
        .prepare("SELECT 1 FROM due WHERE kind = 'clean'")
        .unwrap()
        .exists([])
        .unwrap()
}

#[test]
fn what_is_old_goes_and_what_is_needed_stays() {
    let world = World::new();
    let team = world.launch(&["developer"]);
    let (live, ended) = (&team.supervisor, &team.workers[0]);
    world.ask(live, "SAY hello");
    world.ask(ended, "SAY the last words");
    let said = last_message(&world, ended);
    world.run(["close", ended]).ok();
    let left_behind = world.home().join("run").join(ended);
    fs::create_dir(&left_behind).unwrap();

    let nothing = world.run(["clean", "--dry-run"]).ok();
    assert!(nothing.contains("nothing is old"), "{nothing}");
    let preview = later(&world, 20, &["clean", "--dry-run"]).json();
    let goes = items(&preview, "removed");
    assert!(
        goes.contains(&("terminal".to_owned(), ended.clone())),
        "{preview}"
    );
    assert!(goes.iter().any(|(what, _)| what == "messages"), "{preview}");
    assert!(
        goes.iter().any(|(what, _)| what == "run files"),
        "{preview}"
    );
    assert!(left_behind.exists(), "a preview changes nothing");
    world.message(&said);

    let done = later(&world, 20, &["clean"]).json();
    assert_eq!(items(&done, "removed"), goes, "{done}");
    assert!(!left_behind.exists());
    world.run(["inbox", "show", &said]).fails(3);
    assert_eq!(world.run(["output", ended]).ok().trim(), "the last words");
    assert!(world.run(["logs", ended]).ok().contains("the last words"));
    world.run(["resume", ended]).fails(4);
    assert_eq!(world.ask(live, "SAY still here"), "still here");

    later(&world, 40, &["clean"]).json();
    assert!(
        !log_of(&world, ended).exists(),
        "its log is older than logs_days"
    );
    assert!(log_of(&world, live).exists());
    assert_eq!(world.run(["output", ended]).ok().trim(), "the last words");
    later(&world, 400, &["clean"]).json();
    world.run(["output", ended]).fails(3);
    world.run(["audit", "verify"]).ok();
}

#[test]
fn only_a_person_may_remove_more_than_the_configuration_says() {
    let world = World::new();
    let id = world.agent();
    let refused = world
        .run(["clean", "--days", "0"])
        .env("CONDUCTOR_TERMINAL_ID", &id)
        .fails(4);
    assert!(refused.contains("only a person"), "{refused}");
    let list = world.run(["audit", "list"]).ok();
    assert!(list.contains("terminal.identity_refused"), "{list}");
}

#[test]
fn it_rides_on_the_end_of_a_turn_when_it_is_time_and_is_never_due_by_itself() {
    let world = World::new();
    world.run(["plugin", "load"]).ok();
    let first = cleaned(&world);
    assert!(
        first.is_some() && !is_due(&world),
        "in a new state directory nothing is old"
    );
    let id = world.agent();
    world.ask(&id, "SAY one");
    assert!(!is_due(&world), "it was done lately");
    assert_eq!(cleaned(&world), first);
    set_cleaned(&world, "1000 1000 16777216");
    world.ask(&id, "SAY two");
    eventually("it was done", || {
        cleaned(&world).filter(|value| !value.starts_with("1000 "))
    });
    eventually("nothing is due about it", || {
        (!is_due(&world)).then_some(())
    });
}

/// Fills a terminal's log beyond what it may hold.
fn fill(world: &World, id: &str, lines: usize) {
    let mut log = OpenOptions::new()
        .append(true)
        .open(log_of(world, id))
        .unwrap();
    let text: String = (0..lines)
        .map(|n| format!("filled {n:06} {}\n", "x".repeat(80)))
        .collect();
    log.write_all(format!("\n{text}").as_bytes()).unwrap();
}

/// The numbers of the lines with which the log was filled, as `logs` prints them.
fn filled(world: &World, id: &str) -> Vec<usize> {
    let printed = world.run(["logs", id]).ok();
    printed
        .lines()
        .filter_map(|line| line.strip_prefix("filled ")?.get(..6)?.parse().ok())
        .collect()
}

#[test]
fn a_log_is_cut_while_its_agent_talks_on() {
    let world = World::new();
    world.write("state/config.toml", "[retention]\nlog_max_bytes = 65536\n");
    fs::set_permissions(
        world.home(),
        std::os::unix::fs::PermissionsExt::from_mode(0o700),
    )
    .unwrap();
    let id = world.agent();
    fill(&world, &id, LINES);
    for (point, kills) in [
        ("log.copying=error", false),
        ("log.copied", true),
        ("log.given_back", true),
    ] {
        let run = world.run(["clean"]).env("CONDUCTOR_FAILPOINT", point);
        if kills {
            run.done();
        } else {
            let report = run.json();
            assert!(
                text(&report["kept"][0]["why"]).contains("could not be moved"),
                "{report}"
            );
        }
        all_there(&world, &id, LINES);
    }
    world.run(["clean"]).ok();
    assert!(
        fs::metadata(log_of(&world, &id)).unwrap().len() > 65_536,
        "its writer goes on"
    );
    all_there(&world, &id, LINES);
    world.ask(&id, "SAY after the cut");
    let printed = world.run(["logs", &id]).ok();
    assert!(printed.contains("after the cut") && printed.contains("filled 000000"));
    let tail = world.run(["logs", &id, "-n", "3"]).ok();
    assert!(
        tail.lines().count() <= 3 && !tail.contains('\0'),
        "{tail:?}"
    );
}

/// With how many lines a log is filled: more than it may hold, and less than twice as much.
const LINES: usize = 1_300;

#[track_caller]
fn all_there(world: &World, id: &str, lines: usize) {
    let found = filled(world, id);
    let lost: Vec<usize> = (0..lines).filter(|n| !found.contains(n)).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    assert_eq!(found.len(), lines, "some are there twice");
}

/// A small disk of its own for the state, where the machine lets us.
pub(crate) struct SmallDisk<'a>(&'a World);

impl<'a> SmallDisk<'a> {
    pub(crate) fn mount(world: &'a World) -> Option<Self> {
        fs::create_dir_all(world.home()).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs"])
            .arg(world.home())
            .stderr(Stdio::null())
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then_some(Self(world))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.home()).status();
    }
}

#[test]
fn a_full_disk_loses_no_line_that_was_logged_and_logging_goes_on() {
    let world = World::new();
    let Some(_disk) = SmallDisk::mount(&world) else {
        eprintln!(
            "no file system can be mounted here: the failpoint of the other test stands for it"
        );
        return;
    };
    world.write("state/config.toml", "[retention]\nlog_max_bytes = 262144\n");
    let id = world.agent();
    fill(&world, &id, LINES * 4);
    let ballast = world.home().join("ballast");
    let mut file = fs::File::create(&ballast).unwrap();
    while file.write_all(&[b'x'; 4096]).is_ok() {}
    drop(file);

    // Nothing can be stored any more, and nothing is lost.
    world.run(["clean"]).done();
    all_there(&world, &id, LINES * 4);
    // Room for the database, not for the copy.
    OpenOptions::new()
        .write(true)
        .open(&ballast)
        .unwrap()
        .set_len(fs::metadata(&ballast).unwrap().len() - 300_000)
        .unwrap();
    let report = world.run(["clean"]).json();
    let why: Vec<String> = report["kept"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| text(&item["why"]))
        .collect();
    assert!(
        why.iter().any(|why| why.contains("could not be moved")),
        "{report}"
    );
    all_there(&world, &id, LINES * 4);

    // The writer of the log ends at the first line that it cannot write.
    let pane = text(&world.status(&id)["pane"]);
    let mut file = OpenOptions::new().append(true).open(&ballast).unwrap();
    eventually("the writer is gone", || {
        while file.write_all(&[b'x'; 512]).is_ok() {}
        world.tmux(["send-keys", "-t", &pane, "-l", "lost "]);
        let piped = world.tmux(["display-message", "-p", "-t", &pane, "#{pane_pipe}"]);
        (piped == "0").then_some(())
    });
    drop(file);
    fs::remove_file(&ballast).unwrap();
    let findings = world.run(["doctor", "--json"]).done();
    assert!(
        findings.stdout.contains("nothing writes the log of"),
        "{findings:?}"
    );
    let fixed = world.run(["doctor", "--fix"]).done();
    assert!(
        fixed
            .stdout
            .contains(&format!("the output of {id} is logged again")),
        "{fixed:?}"
    );
    world.tmux(["send-keys", "-t", &pane, "Enter"]);
    world.ask(&id, "SAY written again");
    let printed = world.run(["logs", &id]).ok();
    assert!(
        printed.contains("the log was interrupted here"),
        "{printed}"
    );
    assert!(printed.contains("written again"));
    world.run(["clean"]).ok();
    all_there(&world, &id, LINES * 4);
}

#[test]
fn a_clean_up_that_is_killed_is_done_by_the_next_one() {
    let world = World::new();
    let id = world.agent();
    world.ask(&id, "SAY once");
    let message = last_message(&world, &id);
    later(&world, 20, &["clean"])
        .env("CONDUCTOR_FAILPOINT", "clean.batch")
        .done();
    later(&world, 20, &["clean"]).ok();
    world.run(["inbox", "show", &message]).fails(3);
    // And one that its timer began.
    let week_ago = jiff::Timestamp::now().as_millisecond() - 7 * DAY_MS;
    set_cleaned(&world, &format!("{week_ago} {week_ago} 16777216"));
    let file = world.at("failpoint");
    world.tmux([
        "set-environment",
        "-g",
        "CONDUCTOR_FAILPOINT_FILE",
        &file.to_string_lossy(),
    ]);
    arm(&world, "clean.batch");
    world.ask(&id, "SAY twice");
    eventually("a timer died", || (!file.exists()).then_some(()));
    eventually("nothing is due about it", || {
        (!is_due(&world)).then_some(())
    });
}

#[test]
fn the_doctor_mends_what_is_safe_to_mend() {
    let world = World::new();
    world.run(["plugin", "load"]).ok();
    let id = world.agent();
    let pane = text(&world.status(&id)["pane"]);
    fs::set_permissions(
        world.home().join("db/conductor.db"),
        std::os::unix::fs::PermissionsExt::from_mode(0o644),
    )
    .unwrap();
    world.tmux(["set-hook", "-gu", "pane-exited"]);
    world.tmux(["pipe-pane", "-t", &pane]);
    let fixable = |world: &World| {
        let done = world.run(["doctor", "--json"]).done();
        let findings: Value = serde_json::from_str(&done.stdout).unwrap();
        let mut what: Vec<String> = findings
            .as_array()
            .unwrap()
            .iter()
            .filter(|finding| finding["fixable"] == true)
            .map(|finding| text(&finding["what"]))
            .collect();
        what.sort();
        what
    };
    assert_eq!(fixable(&world), ["logs", "modes", "plugin"]);
    let fixed = world.run(["doctor", "--fix"]).json();
    assert_eq!(fixed["mended"].as_array().unwrap().len(), 3, "{fixed}");
    assert!(fixable(&world).is_empty());
    assert_eq!(
        world.run(["doctor", "--fix"]).json()["mended"],
        serde_json::json!([])
    );
    world.ask(&id, "SAY logged");
    assert!(world.run(["logs", &id]).ok().contains("logged"));
    // A pipe of the user's own is left alone.
    let own = world.at("own.txt");
    world.tmux(["pipe-pane", "-t", &pane]);
    world.tmux([
        "pipe-pane",
        "-t",
        &pane,
        &format!("cat >>{}", own.display()),
    ]);
    assert!(fixable(&world).is_empty());
}

#[test]
fn a_terminal_whose_worktree_has_work_in_it_stays() {
    let world = World::new();
    let git = |arguments: &str| {
        world
            .run_shell(&format!("git -c user.name=x -c user.email=x@x {arguments}"))
            .ok()
    };
    git("init -q .");
    git("commit -q --allow-empty -m first");
    let launched = world
        .run(["launch", "-p", "demo", "--session", "work", "--worktree"])
        .json();
    let id = text(&launched["terminals"][0]["id"]);
    world.wait(&id, "idle");
    let tree = text(&world.status(&id)["worktree"]);
    fs::write(format!("{tree}/unsaved"), "work").unwrap();
    world.run(["close", &id]).ok();
    for arguments in [&["clean", "--dry-run"][..], &["clean"]] {
        let report = later(&world, 20, arguments).json();
        let kept = &report["kept"][0];
        assert_eq!(kept["name"], id.as_str(), "{report}");
        assert!(text(&kept["why"]).contains("the worktree"), "{report}");
    }
    assert!(fs::read_to_string(format!("{tree}/unsaved")).is_ok());
    fs::remove_file(format!("{tree}/unsaved")).unwrap();
    later(&world, 20, &["clean"]).json();
    assert!(
        !std::path::Path::new(&tree).exists(),
        "nothing is lost with it now"
    );
    assert!(world.status(&id)["worktree"].is_null());
}

#[test]
fn an_agent_that_waits_to_be_resumed_is_given_up_when_it_is_old_and_nothing_waits_for_it() {
    use crate::recovery::{kill_server, reload, talk, waiting};
    let world = World::new();
    let team = world.launch(&["developer"]);
    let (asked, idle) = (&team.supervisor, &team.workers[0]);
    talk(&world, asked);
    talk(&world, idle);
    let message = waiting(&world, asked, "SAY later");
    kill_server(&world);
    reload(&world);
    world.run(["recover"]).ok();
    assert_eq!(
        world.run(["clean", "--dry-run"]).json()["kept"],
        serde_json::json!([])
    );
    let report = later(&world, 20, &["clean"]).json();
    assert_eq!(
        items(&report, "kept"),
        [("terminal".to_owned(), asked.clone())],
        "{report}"
    );
    assert!(
        items(&report, "removed").contains(&("terminal".to_owned(), idle.clone())),
        "{report}"
    );
    assert_eq!(world.message(&message)["status"], "queued");
    world.run(["resume", idle]).fails(4);
    world.run(["resume", asked]).ok();
    world.message_becomes(&message, "submitted");
}
