//! Flows: at their times, once each, whatever dies meanwhile.

use crate::failpoints::arm;
use crate::support::{Done, World, eventually, text};
use serde_json::Value;
use std::fs;
use std::time::{Duration, Instant};

pub(crate) const HOUR_MS: i64 = 3_600_000;

/// A world whose agents log what they receive.
pub(crate) fn world() -> World {
    let world = World::new();
    for (name, file) in [
        ("CONDUCTOR_DEMO_LOG", "demo.log"),
        ("CONDUCTOR_FAILPOINT_FILE", "failpoint"),
    ] {
        let path = world.at(file);
        world.tmux(["set-environment", "-g", name, &path.to_string_lossy()]);
    }
    world
}

/// Writes a flow that runs at noon on New Year's Day unless `keys` say something else.
pub(crate) fn write(world: &World, name: &str, keys: &str, body: &str) -> String {
    let schedule = if keys.contains("schedule:") {
        ""
    } else {
        "schedule: \"0 12 1 1 *\"\n"
    };
    let provider = if keys.contains("provider:") {
        ""
    } else {
        "provider: demo\n"
    };
    let text = format!(
        "---\nname: {name}\n{schedule}agent_profile: developer\n{provider}timezone: UTC\n{keys}\n---\n\n{body}\n"
    );
    let path = world.write(&format!("flows/{name}.md"), text);
    path.to_string_lossy().into_owned()
}

pub(crate) fn add(world: &World, name: &str, keys: &str, body: &str) -> Value {
    let path = write(world, name, keys, body);
    world.run(["flow", "add", &path]).json()
}

/// The ledger of a flow, newest first.
pub(crate) fn history(world: &World, name: &str) -> Vec<Value> {
    let list = world
        .run(["flow", "history", name, "--limit", "2000"])
        .json();
    list.as_array().unwrap().clone()
}

pub(crate) fn outcomes(world: &World, name: &str) -> Vec<String> {
    history(world, name)
        .iter()
        .map(|run| text(&run["outcome"]))
        .collect()
}

/// A tick `ms` milliseconds from now.
pub(crate) fn tick_at(world: &World, ms: i64) {
    world
        .run(["tick"])
        .env("CONDUCTOR_CLOCK_SKEW", ms.to_string())
        .ok();
}

/// Waits until the newest time of a flow is no more `running`.
pub(crate) fn settled(world: &World, name: &str) -> Value {
    eventually("the run is over", || {
        let newest = history(world, name).first().cloned()?;
        (newest["outcome"] != "running").then_some(newest)
    })
}

/// Texts of the prompts that all agents together received.
pub(crate) fn prompts(world: &World) -> Vec<String> {
    let log = fs::read_to_string(world.at("demo.log")).unwrap_or_default();
    log.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["event"] == "prompt")
        .map(|line| text(&line["text"]))
        .collect()
}

/// How many agents were started.
pub(crate) fn starts(world: &World) -> usize {
    let log = fs::read_to_string(world.at("demo.log")).unwrap_or_default();
    log.matches("\"event\":\"start\"").count()
}

#[test]
fn a_flow_is_added_listed_switched_and_removed() {
    let world = world();
    assert_eq!(world.run(["flow", "list"]).ok(), "no flows\n");
    world.run(["flow", "show", "nightly"]).fails(3);
    let added = add(
        &world,
        "nightly",
        "schedule: \"30 2 * * mon-fri\"\noverlap: queue",
        "Look.",
    );
    for (field, value) in [
        ("name", "nightly"),
        ("schedule", "30 2 * * mon-fri"),
        ("timezone", "UTC"),
        ("profile", "developer"),
        ("provider", "demo"),
        ("overlap", "queue"),
        ("catch_up", "one"),
        ("session", "flow-nightly"),
        ("driver", "tmux"),
    ] {
        assert_eq!(added[field], value, "{field}");
    }
    assert!(
        text(&added["next_run"]).ends_with("T02:30:00.000Z"),
        "{added}"
    );
    assert_eq!(
        (&added["last_run"], &added["warning"]),
        (&Value::Null, &Value::Null)
    );
    let list = world.run(["flow", "list"]).json();
    assert_eq!(list[0], added);
    let shown = world.run(["flow", "list"]).ok();
    assert!(
        shown.contains("nightly")
            && shown.contains("02:30 UTC")
            && shown.contains("generate units"),
        "{shown}"
    );
    let off = world.run(["flow", "disable", "nightly"]).json();
    assert_eq!(
        (&off["enabled"], &off["next_run"], &off["driver"]),
        (&Value::Bool(false), &Value::Null, &Value::Null)
    );
    assert_eq!(
        world.run(["flow", "enable", "nightly"]).json()["next_run"],
        added["next_run"]
    );
    assert!(
        world
            .run(["flow", "show", "nightly"])
            .ok()
            .contains("next runs")
    );
    assert_eq!(
        world.run(["flow", "history", "nightly"]).ok(),
        "no time has come yet\n"
    );
    world.run(["flow", "remove", "nightly"]).ok();
    world.run(["flow", "remove", "nightly"]).fails(3);
    for action in [
        "flow.added",
        "flow.enabled",
        "flow.disabled",
        "flow.removed",
    ] {
        assert_eq!(world.audited(action), 1, "{action}");
    }
    assert!(world.run(["audit", "verify"]).done().code == 0);
}

#[test]
fn what_is_odd_about_a_flow_is_a_warning() {
    let world = World::new();
    let path = write(&world, "odd", "schedule: \"@daily\"\nbogus: 1", "x");
    let odd = "line 7: the key \"bogus\" is unknown and has no effect";
    let added = world.run(["flow", "add", &path]).done();
    assert_eq!(added.stderr, format!("conductor-hook: warning: {odd}\n"));
    let out = added.ok();
    assert!(
        out.starts_with("added odd, ") && out.lines().count() == 1,
        "{out}"
    );
    let added = world.run(["flow", "add", &path, "--json"]).done();
    assert_eq!(added.stderr, "");
    assert_eq!(added.json()["warning"], odd);
}

#[test]
fn what_is_wrong_with_a_flow_is_said_before_its_time() {
    let world = world();
    let bad = |keys: &str, body: &str| {
        let path = write(&world, "bad", keys, body);
        world.run(["flow", "add", &path]).done()
    };
    let said = bad("schedule: \"0 25 * * *\"", "x").fails(1);
    assert!(
        said.contains("line 6: schedule: the hour field \"25\""),
        "{said}"
    );
    assert!(
        bad("schedule: \"0 0 31 2 *\"", "x")
            .fails(1)
            .contains("never comes")
    );
    assert!(
        bad("", "See [[what]].")
            .fails(1)
            .contains("there is no script")
    );
    assert!(
        bad("script: ./absent.sh", "x")
            .fails(3)
            .contains("absent.sh")
    );
    world.write("flows/plain.sh", "echo");
    assert!(bad("script: ./plain.sh", "x").fails(4).contains("chmod +x"));
    let path = world.write(
        "flows/who.md",
        "---\nname: who\nschedule: \"@daily\"\nagent_profile: nobody\n---\nx\n",
    );
    world.run(["flow", "add", &path.to_string_lossy()]).fails(3);
    world.run(["flow", "add", "/nowhere.md"]).fails(3);
    add(&world, "same", "", "x");
    let other = world.write(
        "other/same.md",
        fs::read(world.at("flows/same.md")).unwrap(),
    );
    assert!(
        world
            .run(["flow", "add", &other.to_string_lossy()])
            .fails(4)
            .contains("there is a flow same already")
    );
    let agent = world.agent();
    let refused: Done = world.run_in(&agent, &["flow", "remove", "same"]);
    assert!(refused.fails(4).contains("agents cannot decide"));
}

#[test]
fn a_run_gives_its_prompt_to_a_fresh_agent_and_is_over_with_its_turn() {
    let world = world();
    add(&world, "greet", "", "SAY good morning");
    let run = world.run(["flow", "run", "greet"]).json();
    assert_eq!(run["outcome"], "running", "{run}");
    let terminal = text(&run["terminal"]);
    let ran = settled(&world, "greet");
    assert_eq!(
        (&ran["outcome"], &ran["reason"]),
        (&Value::from("ran"), &Value::Null),
        "{ran}"
    );
    assert_eq!(
        text(&world.run(["output", &terminal]).json()["output"]),
        "good morning"
    );
    let status = world.status(&terminal);
    assert_eq!(
        (&status["session"], &status["status"]),
        (&Value::from("flow-greet"), &Value::from("idle"))
    );
    let inbox = world.run(["inbox", &terminal]).json();
    assert_eq!(inbox[0]["sender"], "flow:greet");
    assert!(
        prompts(&world)[0].contains("from flow:greet]"),
        "{:?}",
        prompts(&world)
    );
    // The next run clears away what the last one left.
    let next = text(&world.run(["flow", "run", "greet"]).json()["terminal"]);
    assert_ne!(next, terminal);
    settled(&world, "greet");
    assert_eq!(world.status(&terminal)["status"], "exited");
    assert_eq!(world.audited("flow.ended"), 2);
}

#[test]
fn a_turn_that_fails_or_an_agent_that_ends_fails_the_run() {
    let world = world();
    for (name, body, reason) in [
        ("broken", "ERROR no credit", "no credit"),
        ("gone", "EXIT 3", "its terminal has ended"),
    ] {
        add(&world, name, "", body);
        world.run(["flow", "run", name]).ok();
        let run = settled(&world, name);
        assert_eq!(run["outcome"], "failed", "{run}");
        assert!(text(&run["reason"]).contains(reason), "{run}");
    }
    add(&world, "slow", "timeout: 3s", "SLEEP 60");
    let terminal = text(&world.run(["flow", "run", "slow"]).json()["terminal"]);
    let run = settled(&world, "slow");
    assert_eq!(run["outcome"], "failed");
    assert!(
        text(&run["reason"]).contains("it took longer than 3s"),
        "{run}"
    );
    eventually("its terminal is closed", || {
        (world.status(&terminal)["status"] == "exited").then_some(())
    });
}

#[test]
fn a_dry_run_shows_everything_and_starts_nothing() {
    let world = world();
    world.script(
        "flows/what.sh",
        "echo '{\"execute\": true, \"output\": {\"what\": \"the tests\"}}'",
    );
    add(
        &world,
        "dry",
        "schedule: \"0 6 * * *\"\nscript: ./what.sh",
        "Look at [[what]].",
    );
    let dry = world.run(["flow", "run", "dry", "--dry-run"]).json();
    assert_eq!(
        (&dry["execute"], &dry["prompt"]),
        (&Value::Bool(true), &Value::from("Look at the tests."))
    );
    assert_eq!(
        (&dry["session"], &dry["new_session"]),
        (&Value::from("flow-dry"), &Value::Bool(true))
    );
    assert_eq!(dry["next_runs"].as_array().unwrap().len(), 5);
    let shown = world.run(["flow", "run", "dry", "--dry-run"]).ok();
    assert!(
        shown.contains("would start developer (demo)") && shown.contains("Look at the tests."),
        "{shown}"
    );
    assert_eq!(history(&world, "dry").len(), 0);
    assert_eq!(
        (starts(&world), world.run(["sessions"]).ok().as_str()),
        (0, "no sessions\n")
    );
}

#[test]
fn a_script_decides_and_fills_the_prompt() {
    let world = world();
    let cases = [
        (
            "yes",
            "echo '{\"execute\": true, \"output\": {\"n\": 3}}'",
            "ran",
            "",
        ),
        (
            "no",
            "echo '{\"execute\": false, \"reason\": \"nothing new\"}'",
            "skipped",
            "nothing new",
        ),
        ("broken", "echo oops >&2; exit 7", "failed", "oops"),
        ("junk", "echo hello", "failed", "must print"),
        (
            "lacks",
            "echo '{\"execute\": true, \"output\": {}}'",
            "failed",
            "[[n]]",
        ),
        ("floods", "yes", "failed", "more than 64 KiB"),
        ("sleeps", "sleep 60", "failed", "took longer than"),
    ];
    for (name, script, outcome, reason) in cases {
        world.script(&format!("flows/{name}.sh"), script);
        // Its time limit bounds the script's too.
        let limit = if name == "sleeps" {
            "timeout: 2s\n"
        } else {
            ""
        };
        add(
            &world,
            name,
            &format!("{limit}script: ./{name}.sh 'a b'"),
            "SAY [[n]]",
        );
        let done = world.run(["flow", "run", name]).done();
        assert_eq!(
            done.code,
            i32::from(outcome == "failed"),
            "{name}: {done:?}"
        );
        let run = settled(&world, name);
        assert_eq!(run["outcome"], outcome, "{name}: {run}");
        assert!(
            run["reason"].as_str().unwrap_or_default().contains(reason),
            "{name}: {run}"
        );
    }
    assert_eq!(starts(&world), 1);
    assert!(
        prompts(&world)[0].ends_with("SAY 3"),
        "{:?}",
        prompts(&world)
    );
}

#[test]
fn a_script_gets_words_and_little_of_the_environment() {
    let world = world();
    world.script(
        "flows/args.sh",
        "printf '{\"execute\": true, \"output\": {\"all\": \"%s|%s|%s|%s|%s\"}}' \"$#\" \"$1\" \"$CONDUCTOR_FLOW\" \"$SECRET\" \"$PWD\"",
    );
    add(
        &world,
        "args",
        "script: ./args.sh 'a b; $(x)' '*'",
        "[[all]]",
    );
    let dry = world
        .run(["flow", "run", "args", "--dry-run"])
        .env("SECRET", "hidden")
        .json();
    let cwd = world.at("project").canonicalize().unwrap();
    assert_eq!(
        dry["prompt"],
        format!("2|a b; $(x)|args||{}", cwd.display())
    );
}

#[test]
fn what_was_changed_since_it_was_accepted_does_not_run() {
    let world = world();
    world.script("flows/gate.sh", "echo '{\"execute\": true}'");
    add(&world, "kept", "script: ./gate.sh", "SAY x");
    world.script("flows/gate.sh", "echo '{\"execute\": true}' # more");
    assert!(
        world
            .run(["flow", "run", "kept"])
            .fails(1)
            .contains("its script was changed")
    );
    let warning = world.run(["flow", "list"]).json()[0]["warning"].clone();
    assert!(
        text(&warning).contains("its script was changed"),
        "{warning}"
    );
    world.script("project/gate.sh", "echo '{\"execute\": true}'");
    add(&world, "interpreted", "script: sh gate.sh", "SAY x");
    world.script("project/gate.sh", "echo '{\"execute\": true}' # more");
    assert!(
        world
            .run(["flow", "run", "interpreted"])
            .fails(1)
            .contains("was changed since")
    );
    let path = write(&world, "kept", "script: ./gate.sh", "SAY y");
    assert!(
        world
            .run(["flow", "run", "kept"])
            .fails(1)
            .contains("its file was changed")
    );
    world.run(["flow", "add", &path]).ok();
    world.run(["flow", "run", "kept"]).ok();
    assert_eq!(settled(&world, "kept")["outcome"], "ran");
    assert_eq!(starts(&world), 1);
}

#[test]
fn a_projects_flow_does_nothing_before_it_is_trusted() {
    let world = world();
    let gate = world.script(
        "project/.conductor/flows/gate.sh",
        "echo '{\"execute\": true}'",
    );
    let flow = "---\nname: theirs\nschedule: \"@daily\"\nagent_profile: developer\nprovider: demo\nscript: ./gate.sh\n---\nSAY x\n";
    let path = world.write("project/.conductor/flows/theirs.md", flow);
    let path = path.to_string_lossy().into_owned();
    let project = world.at("project").to_string_lossy().into_owned();
    assert!(
        world
            .run(["flow", "add", &path])
            .fails(4)
            .contains("is not trusted")
    );
    world.run(["trust", &project, "--yes"]).ok();
    let added = world.run(["flow", "add", &path]).json();
    assert_eq!(
        text(&added["cwd"]),
        world
            .at("project")
            .canonicalize()
            .unwrap()
            .to_string_lossy()
    );
    world.run(["untrust", &project]).ok();
    assert!(
        world
            .run(["flow", "run", "theirs"])
            .fails(1)
            .contains("is not trusted")
    );
    fs::write(gate, "#!/bin/sh\necho other\n").unwrap();
    world.run(["flow", "add", &path]).fails(4);
    assert_eq!(starts(&world), 0);
}

#[test]
fn a_time_that_comes_while_a_run_goes_on_is_skipped_queued_or_replaces_it() {
    let world = world();
    add(&world, "skips", "overlap: skip", "SLEEP 4\nSAY x");
    world.run(["flow", "run", "skips"]).ok();
    assert!(
        world
            .run(["flow", "run", "skips"])
            .fails(4)
            .contains("goes on")
    );
    add(&world, "queues", "overlap: queue", "SLEEP 2\nSAY x");
    world.run(["flow", "run", "queues"]).ok();
    let second = world.run(["flow", "run", "queues"]).json();
    assert_eq!(
        (&second["outcome"], &second["started_at"]),
        (&Value::from("running"), &Value::Null)
    );
    eventually("both ran, one after the other", || {
        (outcomes(&world, "queues") == ["ran", "ran"]).then_some(())
    });
    let runs = history(&world, "queues");
    assert!(
        text(&runs[0]["started_at"]) >= text(&runs[1]["ended_at"]),
        "{runs:?}"
    );
    add(&world, "replaces", "overlap: replace", "SLEEP 60");
    let first = text(&world.run(["flow", "run", "replaces"]).json()["terminal"]);
    world.run(["flow", "run", "replaces"]).ok();
    assert_eq!(world.status(&first)["status"], "exited");
    assert_eq!(outcomes(&world, "replaces"), ["running", "failed"]);
    assert!(text(&history(&world, "replaces")[1]["reason"]).contains("replaced by the run due at"));
    // A time by the schedule, while the run goes on.
    let skipped = add(
        &world,
        "later",
        "schedule: \"0 * * * *\"\ntimeout: 3h",
        "SLEEP 60",
    );
    assert_eq!(skipped["overlap"], "skip");
    world.run(["flow", "run", "later"]).ok();
    tick_at(&world, HOUR_MS);
    assert_eq!(outcomes(&world, "later"), ["skipped", "running"]);
}

#[test]
fn times_that_were_missed_are_caught_up_as_the_flow_says() {
    let world = world();
    world.script("flows/no.sh", "echo '{\"execute\": false}'");
    for catch_up in ["none", "one", "all"] {
        let keys = format!("schedule: \"30 * * * *\"\nscript: ./no.sh\ncatch_up: {catch_up}");
        add(&world, catch_up, &keys, "x");
    }
    // Six minutes after a time, so that it is not on time any more.
    let due = world.run(["flow", "show", "one"]).json();
    let first: jiff::Timestamp = text(&due["next_run"]).parse().unwrap();
    let ahead = first.as_millisecond() - now_ms() + 3 * HOUR_MS + 6 * 60_000;
    tick_at(&world, ahead);
    assert_eq!(outcomes(&world, "none"), ["missed"; 4]);
    assert_eq!(
        outcomes(&world, "one"),
        ["skipped", "missed", "missed", "missed"]
    );
    assert!(text(&history(&world, "one")[1]["reason"]).contains("stands for it"));
    assert_eq!(outcomes(&world, "all"), ["skipped"; 4]);
    // A second look at the same time finds nothing; the next time is on time.
    tick_at(&world, ahead);
    tick_at(&world, ahead + HOUR_MS - 5 * 60_000);
    for name in ["none", "one", "all"] {
        assert_eq!(outcomes(&world, name).len(), 5, "{name}");
        assert_eq!(outcomes(&world, name)[0], "skipped", "{name}");
    }
    // The clock is set back: what was done is not done again, what was missed in a time that never came may come.
    tick_at(&world, 0);
    let again = world.run(["flow", "show", "one"]).json();
    assert_eq!(
        again["next_run"], due["next_run"],
        "the next time is the next time again"
    );
    tick_at(&world, ahead);
    let done = outcomes(&world, "one")
        .iter()
        .filter(|o| *o == "skipped")
        .count();
    assert_eq!(done, 2, "{:?}", history(&world, "one"));
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap().as_millis()).unwrap()
}

#[test]
fn many_ticks_at_once_start_one_run() {
    let world = world();
    add(&world, "once", "schedule: \"0 * * * *\"", "SAY once");
    for round in 1..=3 {
        let ticks: Vec<_> = (0..8)
            .map(|_| {
                world
                    .run(["tick"])
                    .env("CONDUCTOR_CLOCK_SKEW", (round * HOUR_MS).to_string())
                    .start()
            })
            .collect();
        for tick in ticks {
            tick.done().ok();
        }
        assert_eq!(
            history(&world, "once").len(),
            usize::try_from(round).unwrap()
        );
        assert_eq!(settled(&world, "once")["outcome"], "ran");
    }
    assert_eq!(starts(&world), 3);
    assert_eq!(prompts(&world).len(), 3);
}

#[test]
fn the_servers_own_timer_runs_a_flow_and_heals_after_a_kill() {
    let world = world();
    add(&world, "minutely", "schedule: \"* * * * *\"", "SAY tick");
    // The tick that the timer starts dies once; the next one does its work.
    arm(&world, "flow.entered");
    let end = Instant::now() + Duration::from_secs(110);
    while !outcomes(&world, "minutely").contains(&"ran".to_owned()) {
        assert!(Instant::now() < end, "{:?}", history(&world, "minutely"));
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(!world.at("failpoint").exists());
    let runs = history(&world, "minutely");
    assert_eq!(
        starts(&world),
        runs.iter()
            .filter(|run| run["terminal"] != Value::Null)
            .count(),
        "{runs:?}"
    );
}

#[test]
fn a_tick_that_dies_when_it_has_settled_a_run_leaves_the_one_that_waits_to_the_next() {
    let world = world();
    add(&world, "pair", "overlap: queue", "SAY x");
    arm(&world, "flow.settled");
    world.run(["flow", "run", "pair"]).ok();
    world.run(["flow", "run", "pair"]).ok();
    eventually("both ran", || {
        (outcomes(&world, "pair") == ["ran", "ran"]).then_some(())
    });
    assert!(!world.at("failpoint").exists());
    assert_eq!(starts(&world), 2);
}

#[test]
fn the_list_says_which_flows_would_miss_a_run() {
    let world = world();
    add(&world, "watched", "", "x");
    assert_eq!(world.run(["flow", "list"]).json()[0]["driver"], "tmux");
    world.tmux(["kill-server"]);
    let lost = world.run(["flow", "list"]).json();
    assert_eq!(lost[0]["driver"], "nothing");
    assert!(
        text(&lost[0]["warning"]).contains("no tmux server runs at"),
        "{lost}"
    );
    let dir = world.at("user/.config/systemd/user");
    let printed = world.run(["generate", "units"]).ok();
    assert!(
        printed.contains("OnCalendar=minutely") && printed.contains("KillMode=process"),
        "{printed}"
    );
    assert!(
        world
            .run(["generate", "units", "launchd"])
            .ok()
            .starts_with("<?xml")
    );
    let made = world
        .run([
            "generate",
            "units",
            "systemd",
            "--dir",
            &dir.to_string_lossy(),
        ])
        .json();
    let timer = made["written"]
        .as_array()
        .unwrap()
        .iter()
        .map(text)
        .find(|path| path.contains(".timer"))
        .unwrap();
    fs::create_dir_all(dir.join("timers.target.wants")).unwrap();
    let name = std::path::Path::new(&timer).file_name().unwrap();
    std::os::unix::fs::symlink(&timer, dir.join("timers.target.wants").join(name)).unwrap();
    assert_eq!(world.run(["flow", "list"]).json()[0]["driver"], "systemd");
    // A tick without tmux starts a server for the flow.
    let service = fs::read_to_string(timer.replace(".timer", ".service")).unwrap();
    assert!(service.contains("\"tick\""), "{service}");
    add(&world, "alone", "schedule: \"0 * * * *\"", "SAY alone");
    tick_at(&world, HOUR_MS);
    assert_eq!(settled(&world, "alone")["outcome"], "ran");
}

#[test]
fn without_flows_and_agents_nothing_is_armed() {
    let world = world();
    add(&world, "short", "schedule: \"* * * * *\"", "SAY x");
    world.run(["flow", "remove", "short"]).ok();
    std::thread::sleep(Duration::from_secs(2));
    // The generation that was armed last was superseded: its timer ends inside the server.
    assert_eq!(world.helpers().len(), 0);
    let before = world.tmux(["show-options", "-g"]);
    world.run(["flow", "list"]).ok();
    assert_eq!(
        world.tmux(["show-options", "-g"]),
        before,
        "nothing was armed again"
    );
}
