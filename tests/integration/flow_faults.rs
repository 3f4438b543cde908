//! Flows under faults: helpers that are killed or hang, machines that sleep, files that change, and flows in each other's way.

use crate::failpoints::{arm, armed};
use crate::flows::{
    HOUR_MS, add, history, outcomes, prompts, settled, starts, tick_at, world, write,
};
use crate::support::{BINARY, World, eventually, text};
use serde_json::Value;
use std::fs;
use std::time::{Duration, Instant};

fn runs(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn ends(what: &str, pid: i32) {
    eventually(what, || (!runs(pid)).then_some(()));
}

/// Waits until a process has written its pid into this file.
fn pid_in(world: &World, file: &str) -> i32 {
    eventually(file, || {
        let text = fs::read_to_string(world.at(file)).ok()?;
        text.strip_suffix('\n')?.parse().ok()
    })
}

fn exists(world: &World, file: &str) {
    eventually(file, || world.at(file).exists().then_some(()));
}

#[test]
fn whatever_step_a_tick_dies_at_a_time_starts_at_most_once_and_is_in_the_ledger() {
    let world = world();
    add(&world, "deadly", "schedule: \"0 * * * *\"", "SAY alive");
    let points = [
        "tick.taken",
        "tick.armed",
        "flow.entered",
        "flow.claimed",
        "flow.launch",
        "flow.launched",
        "flow.begun",
        "tick.worked",
        "db.committed:2",
        "db.committed:4",
        "db.committed:6",
        "db.committed:8",
    ];
    let mut hours = 0;
    for point in points {
        hours += 1;
        let skew = (hours * HOUR_MS).to_string();
        let before = starts(&world);
        let killed = world
            .run(["tick"])
            .env("CONDUCTOR_CLOCK_SKEW", &skew)
            .env("CONDUCTOR_FAILPOINT", point)
            .done();
        assert!(
            killed.code == 137 || point.contains("db."),
            "{point}: {killed:?}"
        );
        one_start(&world, "deadly", hours, before, point);
    }
}

/// Lets ticks come by until the newest of `hours` hourly times is over: it was started at most once, and the ledger says what became of it.
fn one_start(world: &World, name: &str, hours: i64, before: usize, point: &str) {
    let end = Instant::now() + Duration::from_mins(1);
    let run = loop {
        // Later, so that what was put off for some seconds is due.
        tick_at(world, hours * HOUR_MS + 20_000);
        let runs = history(world, name);
        let open = runs.iter().any(|run| run["outcome"] == "running");
        if runs.len() == usize::try_from(hours).unwrap() && !open {
            break runs[0].clone();
        }
        assert!(Instant::now() < end, "{point}: {runs:?}");
        std::thread::sleep(Duration::from_millis(300));
    };
    let started = starts(world) - before;
    assert!(started <= 1, "{point}: started {started} times");
    assert!(
        run["outcome"] == "ran" || text(&run["reason"]).contains("was killed"),
        "{point}: {run}"
    );
    // What was launched without being noted is closed.
    let sessions = world.run(["sessions"]).json();
    let living: usize = sessions
        .as_array()
        .unwrap()
        .iter()
        .map(|session| session["terminals"].as_array().unwrap().len())
        .sum();
    assert!(living <= 1, "{point}: {living} terminals live");
    // Nor does one live that the records believe closed.
    let agents = || {
        let processes = world.processes();
        let agents = processes
            .iter()
            .filter(|process| process.command.starts_with("conductor-demo"));
        agents.count()
    };
    eventually("no agent is left over", || {
        tick_at(world, hours * HOUR_MS + 20_000);
        (agents() <= 1).then_some(())
    });
}

/// `CONDUCTOR_CAMPAIGN_KILLS=N` kills so many (`scripts/campaign-flows`: a thousand).
#[test]
fn ticks_that_are_killed_at_random_start_each_time_at_most_once() {
    let world = world();
    world.script("flows/yes.sh", "sleep 0.1\necho '{\"execute\": true}'");
    let keys = "schedule: \"0 * * * *\"\nscript: ./yes.sh";
    add(&world, "chaos", keys, "SAY alive");
    let rounds = std::env::var("CONDUCTOR_CAMPAIGN_KILLS").map_or(10, |n| n.parse().unwrap());
    let (mut ran, mut started) = (0, 0);
    for hours in 1..=rounds {
        let before = starts(&world);
        let tick = world
            .run(["tick"])
            .env("CONDUCTOR_CLOCK_SKEW", (hours * HOUR_MS).to_string())
            .start();
        // Mixed up, and the same each time.
        let wait = (u64::try_from(hours).unwrap() * 7_919) % 600;
        std::thread::sleep(Duration::from_millis(wait));
        tick.kill();
        one_start(
            &world,
            "chaos",
            hours,
            before,
            &format!("{hours} after {wait} ms"),
        );
        ran += usize::from(history(&world, "chaos")[0]["outcome"] == "ran");
        started += starts(&world) - before;
    }
    eprintln!(
        "{rounds} ticks killed: {started} agents started, {ran} runs ran, the others are in the ledger as killed; none twice, none lost"
    );
    assert!(ran > 0, "nothing ever ran");
    let copies = fs::read_dir(world.at("state/run/scripts")).unwrap();
    assert!(copies.count() <= 1, "copies of the script are left");
}

#[test]
fn a_run_that_was_replaced_loses_its_terminal_whoever_dies_meanwhile() {
    for point in ["flow.entered", "close.recorded"] {
        let world = world();
        add(&world, "swap", "overlap: replace", "SLEEP 120");
        let first = text(&world.run(["flow", "run", "swap"]).json()["terminal"]);
        let pid = world.pane_pid(&first);
        let killed = world
            .run(["flow", "run", "swap"])
            .env("CONDUCTOR_FAILPOINT", point)
            .done();
        assert_eq!(killed.code, 137, "{point}: {killed:?}");
        eventually("the new run has begun, and the old one has ended", || {
            let runs = history(&world, "swap");
            let begun = runs[0]["terminal"] != Value::Null && runs[0]["outcome"] == "running";
            (begun && world.status(&first)["status"] == "exited").then_some(())
        });
        ends(point, pid);
        let old = history(&world, "swap")[1].clone();
        assert!(
            text(&old["reason"]).contains("replaced by"),
            "{point}: {old}"
        );
    }
}

#[test]
fn what_is_cleared_away_is_gone_whoever_dies_meanwhile() {
    let world = world();
    add(&world, "daily", "", "SAY x");
    let first = text(&world.run(["flow", "run", "daily"]).json()["terminal"]);
    settled(&world, "daily");
    let pid = world.pane_pid(&first);
    let killed = world
        .run(["flow", "run", "daily"])
        .env("CONDUCTOR_FAILPOINT", "close.recorded")
        .done();
    assert_eq!(killed.code, 137, "{killed:?}");
    assert_eq!(world.status(&first)["status"], "exited");
    ends("its agent is ended by the next look", pid);
    assert!(text(&settled(&world, "daily")["reason"]).contains("was killed"));
    // What a killed helper had launched, and the next look began to close.
    let killed = world
        .run(["flow", "run", "daily"])
        .env("CONDUCTOR_FAILPOINT", "flow.launched")
        .done();
    assert_eq!(killed.code, 137, "{killed:?}");
    let session = world.run(["session", "flow-daily"]).json();
    let mut launched = session["terminals"].as_array().unwrap().iter();
    let left = launched.rfind(|t| t["status"] != "exited").unwrap();
    let left = text(&left["id"]);
    let pid = world.pane_pid(&left);
    let killed = world
        .run(["tick"])
        .env("CONDUCTOR_CLOCK_SKEW", "60000")
        .env("CONDUCTOR_FAILPOINT", "close.recorded")
        .done();
    assert_eq!(killed.code, 137, "{killed:?}");
    ends("it is ended by the look after that", pid);
    assert!(text(&settled(&world, "daily")["reason"]).contains("was killed"));
}

#[test]
fn a_run_whose_time_was_up_loses_its_terminal_though_the_tick_dies() {
    let world = world();
    add(&world, "slow", "timeout: 2s", "SLEEP 120");
    arm(&world, "flow.late");
    let terminal = text(&world.run(["flow", "run", "slow"]).json()["terminal"]);
    eventually("a tick died", || (!armed(&world)).then_some(()));
    eventually("its terminal is closed", || {
        (world.status(&terminal)["status"] == "exited").then_some(())
    });
    assert!(text(&settled(&world, "slow")["reason"]).contains("it took longer than 2s"));
}

#[test]
fn a_sleep_of_the_machine_is_no_time_of_a_run() {
    let world = world();
    add(&world, "long", "timeout: 30m", "SLEEP 120");
    let terminal = text(&world.run(["flow", "run", "long"]).json()["terminal"]);
    tick_at(&world, 2 * HOUR_MS);
    assert_eq!(outcomes(&world, "long"), ["running"]);
    // The clock is set back, and its time is up all the same.
    world
        .run(["tick"])
        .env("CONDUCTOR_CLOCK_SKEW", "-60000")
        .env("CONDUCTOR_AWAKE_SKEW", (31 * 60_000).to_string())
        .ok();
    // The flow is due at a time that this clock knows only later.
    let run = eventually("its time is up", || {
        world
            .run(["tick"])
            .env("CONDUCTOR_CLOCK_SKEW", "60000")
            .env("CONDUCTOR_AWAKE_SKEW", (31 * 60_000).to_string())
            .ok();
        let run = history(&world, "long")[0].clone();
        (run["outcome"] != "running").then_some(run)
    });
    assert!(
        text(&run["reason"]).contains("it took longer than 30m"),
        "{run}"
    );
    assert_eq!(world.status(&terminal)["status"], "exited");
}

#[test]
fn a_start_that_hangs_fails_the_run_and_starts_nothing_later() {
    let world = world();
    world.script("flows/hang.sh", "echo $$ > ../lead\nexec sleep 20");
    add(&world, "hangs", "script: ./hang.sh", "SAY x");
    let helper = world.run(["flow", "run", "hangs"]).start();
    let lead = pid_in(&world, "lead");
    let pid = helper.pid();
    world.kill("-STOP", pid);
    tick_at(&world, 60_000);
    assert_eq!(outcomes(&world, "hangs"), ["running"]);
    let run = eventually("its start is late", || {
        world
            .run(["tick"])
            .env("CONDUCTOR_CLOCK_SKEW", "60000")
            .env("CONDUCTOR_AWAKE_SKEW", "200000")
            .ok();
        let run = history(&world, "hangs")[0].clone();
        (run["outcome"] != "running").then_some(run)
    });
    assert!(
        text(&run["reason"]).contains("was not started within 3m"),
        "{run}"
    );
    ends("its script ends with it", lead);
    world.kill("-CONT", pid);
    helper.done().fails(1);
    assert_eq!(starts(&world), 0);
}

#[test]
fn the_script_of_a_killed_helper_ends_with_it() {
    let world = world();
    world.script(
        "flows/long.sh",
        "echo $$ > ../lead\nsh -c 'echo $$ > ../child; exec sleep 100' &\nsetsid sh -c 'echo $$ > ../free; exec sleep 20' &\nwait",
    );
    add(&world, "dies", "script: ./long.sh", "SAY x");
    let helper = world.run(["flow", "run", "dies"]).start();
    let [lead, child, free] = ["lead", "child", "free"].map(|file| pid_in(&world, file));
    helper.kill();
    ends("the kernel ends the script at once", lead);
    // A later look ends what it had started.
    let run = settled(&world, "dies");
    assert!(text(&run["reason"]).contains("was killed"), "{run}");
    ends("its group is ended", child);
    assert!(runs(free), "what left the group is not ours");
    world.kill("-KILL", free);
    let copies = world.at("state/run/scripts");
    add(&world, "sweeps", "script: ./long.sh", "SAY x");
    assert_eq!(fs::read_dir(&copies).unwrap().count(), 1, "left behind");
    world.script("flows/yes.sh", "echo '{\"execute\": true}'");
    add(&world, "next", "script: ./yes.sh", "SAY x");
    world.run(["flow", "run", "next", "--dry-run"]).ok();
    assert_eq!(fs::read_dir(&copies).unwrap().count(), 0);
    // The helper may also die between the two.
    let killed = world
        .run(["flow", "run", "dies"])
        .env("CONDUCTOR_FAILPOINT", "flow.script")
        .done();
    assert_eq!(killed.code, 137);
    assert!(text(&settled(&world, "dies")["reason"]).contains("was killed"));
}

#[test]
fn what_was_compared_is_what_runs() {
    let world = world();
    // More than a shell reads at once: what stands behind it is read when the file has been replaced.
    let unread = format!("#{}\n", "-".repeat(99)).repeat(1_000);
    let script = |word: &str| {
        format!(
            "touch ../started\nwhile [ ! -e ../go ]; do sleep 0.05; done\n{unread}printf '{{\"execute\": true, \"output\": {{\"what\": \"{word} %s\"}}}}' \"$CONDUCTOR_FLOW_DIR\"\n"
        )
    };
    for (name, words) in [("direct", "./gate.sh"), ("by-sh", "sh ../flows/gate.sh")] {
        world.script("flows/gate.sh", &script("accepted"));
        add(&world, name, &format!("script: {words}"), "[[what]]");
        let dry = world
            .run(["flow", "run", name, "--dry-run", "--json"])
            .start();
        exists(&world, "started");
        // In place, as many editors do it; a shell reads as it goes.
        fs::write(
            world.at("flows/gate.sh"),
            format!("#!/bin/sh\n{}\n", script("replaced")),
        )
        .unwrap();
        fs::write(world.at("go"), "").unwrap();
        let dir = world.at("flows").canonicalize().unwrap();
        assert_eq!(
            dry.done().json()["prompt"],
            format!("accepted {}", dir.display()),
            "{name}"
        );
        world
            .run(["flow", "run", name, "--dry-run"])
            .fails(4)
            .contains("was changed");
        for file in ["go", "started"] {
            fs::remove_file(world.at(file)).unwrap();
        }
    }
    // A program that no interpreter reads is run by its open file: the kernel calls it by the number of the descriptor.
    fs::copy("/bin/sh", world.at("flows/say")).unwrap();
    add(
        &world,
        "binary",
        r#"script: './say -c ''read n </proc/self/comm; echo "{\"execute\": true, \"output\": {\"what\": \"$n\"}}"'''"#,
        "[[what]]",
    );
    let dry = world.run(["flow", "run", "binary", "--dry-run"]);
    let name = text(&dry.json()["prompt"]);
    assert!(name.parse::<i32>().is_ok(), "run by its path: {name}");
    // Whoever asks where it lies is told.
    world.script("flows/where.sh", "cd \"$(dirname \"$0\")\"");
    let path = write(&world, "where", "script: ./where.sh", "SAY x");
    let added = world.run(["flow", "add", &path]).done();
    assert_eq!(added.code, 0, "{added:?}");
    assert!(added.stderr.contains("$CONDUCTOR_FLOW_DIR"), "{added:?}");
    world
        .run(["run-script", "--parent", "1", "--", "/bin/true"])
        .fails(4);
}

#[test]
fn neither_links_nor_deep_directories_lead_around_the_trust_in_a_project() {
    let world = world();
    let flow = |name: &str| {
        format!(
            "---\nname: {name}\nschedule: \"@daily\"\nagent_profile: developer\nprovider: demo\n---\nSAY x\n"
        )
    };
    let deep = world.write("project/.conductor/flows/deep/theirs.md", flow("theirs"));
    let out = world.write("project/docs/out.md", flow("out"));
    let link = world.at("project/.conductor/flows/out.md");
    std::os::unix::fs::symlink(&out, &link).unwrap();
    let gate = world.script(
        "project/.conductor/flows/gate.sh",
        "echo '{\"execute\": true}'",
    );
    let project = world.at("project").to_string_lossy().into_owned();
    for trusted in [false, true] {
        if trusted {
            world.run(["trust", &project, "--yes"]).ok();
        }
        for path in [&deep, &link] {
            world.run(["flow", "add", &path.to_string_lossy()]).fails(4);
        }
    }
    // A flow of the person's own, with a script of the project.
    let keys = format!("script: {}", gate.display());
    add(&world, "mine", &keys, "SAY x");
    world.run(["untrust", &project]).ok();
    let path = write(&world, "mine", &keys, "SAY x");
    let refused = world.run(["flow", "add", &path]).fails(4);
    assert!(refused.contains("is not trusted"), "{refused}");
}

#[test]
fn flows_that_share_a_session_may_begin_at_once() {
    let world = world();
    for name in ["one", "two", "three"] {
        add(&world, name, "session: shared", "SAY x");
    }
    for round in 1..=4 {
        let started = ["one", "two", "three"].map(|name| world.run(["flow", "run", name]).start());
        for run in started {
            run.done().ok();
        }
        for name in ["one", "two", "three"] {
            assert_eq!(settled(&world, name)["outcome"], "ran", "{round}");
        }
        world.run(["shutdown", "--session", "shared"]).ok();
    }
    assert_eq!(starts(&world), 12);
}

/// A person's own manifest of the demo agent as a program of which only the screen is known.
const SILENT: &str = r#"
name = "silent"
title = "Demo agent without hooks"
program = "conductor-demo"
dialect = "none"

[launch]

[submit]
inline_chars = 700
enter_ms = 10
quiet_ms = 5
prompt_row = "^demo>.?$"

[screen]
idle = "(?m)^demo>.?$"
working = "esc to interrupt"
draft = "(?m)^demo> .+"
"#;

#[test]
fn an_agent_that_does_not_tell_is_not_closed_at_its_work() {
    let world = world();
    world.run(["init"]).ok();
    world.write("state/providers/silent.toml", SILENT);
    std::os::unix::fs::symlink(BINARY, world.at("bin/conductor-demo")).unwrap();
    world.script(
        "flows/what.sh",
        "echo '{\"execute\": true, \"output\": {\"n\": \"'$(cat ../seconds)'\"}}'",
    );
    add(
        &world,
        "quiet",
        "provider: silent\nscript: ./what.sh",
        "SLEEP [[n]]",
    );
    let run = |seconds: &str| {
        world.write("seconds", seconds);
        let terminal = text(&world.run(["flow", "run", "quiet"]).json()["terminal"]);
        eventually("its prompt lies in the pane", || {
            // So that nobody waits for the next look.
            tick_at(&world, 40_000);
            (history(&world, "quiet")[0]["outcome"] == "ran").then_some(())
        });
        terminal
    };
    let busy = run("60");
    let short = run("0");
    assert_ne!(world.status(&busy)["status"], "exited", "it is at work");
    world.wait(&short, "idle");
    let last = run("0");
    assert_eq!(world.status(&short)["status"], "exited");
    assert_ne!(world.status(&busy)["status"], "exited", "it is at work");
    // Its time is up: whatever it does, the next run closes it.
    let skew = (2 * HOUR_MS).to_string();
    let next = world
        .run(["flow", "run", "quiet"])
        .env("CONDUCTOR_AWAKE_SKEW", skew)
        .json();
    for closed in [&busy, &last] {
        assert_eq!(world.status(closed)["status"], "exited");
    }
    assert_eq!(next["outcome"], "running");
}

#[test]
fn figures_tell_of_flows() {
    let world = world();
    add(&world, "counted", "schedule: \"0 * * * *\"", "SAY x");
    add(&world, "off", "", "x");
    world.run(["flow", "disable", "off"]).ok();
    world.run(["flow", "run", "counted"]).ok();
    settled(&world, "counted");
    let figures = |skew: i64| {
        world
            .run(["metrics"])
            .env("CONDUCTOR_CLOCK_SKEW", skew.to_string())
            .ok()
    };
    let told = figures(0);
    for line in [
        "conductor_flows{enabled=\"yes\"} 1",
        "conductor_flows{enabled=\"no\"} 1",
        "conductor_flow_runs{flow=\"counted\",outcome=\"ran\"} 1",
        "conductor_flow_late_seconds{flow=\"counted\"} 0",
    ] {
        assert!(told.lines().any(|told| told == line), "{line} in {told}");
    }
    let late = figures(2 * HOUR_MS);
    let seconds: i64 = late
        .lines()
        .find_map(|line| line.strip_prefix("conductor_flow_late_seconds{flow=\"counted\"} "))
        .unwrap()
        .parse()
        .unwrap();
    assert!((3_600..=7_200).contains(&seconds), "{seconds}");
}

/// After a run whose end is to start the one that waits, a tick dies at `point`; `entry` is all that happens then.
fn heals(point: &str, entry: impl Fn(&World, &str)) {
    let world = world();
    let other = world.agent();
    let before = starts(&world);
    add(&world, "pair", "overlap: queue", "SAY x");
    arm(&world, point);
    world.run(["flow", "run", "pair"]).ok();
    world.run(["flow", "run", "pair"]).ok();
    eventually("a tick died", || (!armed(&world)).then_some(()));
    let end = Instant::now() + Duration::from_mins(1);
    loop {
        entry(&world, &other);
        // Asked by a reader that changes nothing.
        let ledger = ledger(&world);
        if ledger.iter().all(|outcome| outcome != "running") {
            assert!(
                ledger.iter().all(|o| o == "ran" || o == "failed"),
                "{point}: {ledger:?}"
            );
            break;
        }
        assert!(Instant::now() < end, "{point}: {ledger:?}");
        // A timer counts as lost two seconds after it should have fired.
        std::thread::sleep(Duration::from_secs(1));
    }
    let failed = history(&world, "pair")
        .iter()
        .filter(|run| run["outcome"] == "failed")
        .cloned()
        .collect::<Vec<_>>();
    let claimed = ["flow.claimed", "flow.launch", "flow.launched"].contains(&point);
    assert_eq!(
        !failed.is_empty(),
        claimed,
        "{point}: only what was begun is given up: {failed:?}"
    );
    assert!(starts(&world) - before <= 2, "{point}");
    let given = prompts(&world);
    let given = given.iter().filter(|text| text.contains("from flow:pair]"));
    assert!(given.count() <= 2, "{point}");
}

/// Outcomes in the ledger, read beside the program: its own commands look after things.
fn ledger(world: &World) -> Vec<String> {
    use rusqlite::{Connection, OpenFlags};
    let db = world.at("state/db/conductor.db");
    let db = Connection::open_with_flags(db, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut statement = db.prepare("SELECT outcome FROM runs").unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn a_tick_that_dies_at_any_step_is_made_good_by_the_timers_alone() {
    for point in [
        "tick.armed",
        "tick.cleared",
        "flow.settled",
        "flow.claimed",
        "flow.launch",
        "flow.launched",
        "flow.begun",
        "tick.worked",
    ] {
        heals(point, |_, _| ());
    }
}

/// The one step at which no timer is left: it has fired, and the next is not armed.
#[test]
fn a_lost_timer_is_found_by_whatever_comes_next() {
    type Entry = fn(&World, &str);
    let entries: [(&str, Entry); 5] = [
        ("a command", |world, _| {
            world.run(["sessions"]).ok();
        }),
        ("a message", |world, id| {
            world.run(["send", id, "-m", "SAY y"]).ok();
        }),
        ("an agent's hook", |world, id| {
            let panes = world.tmux(["list-panes", "-a", "-F", "#{@conductor_id} #{pane_id}"]);
            let own = |line: &str| line.strip_prefix(id).map(|pane| pane.trim().to_owned());
            let pane = panes.lines().find_map(own).unwrap();
            world.tmux(["send-keys", "-t", &pane, "-l", "SAY z"]);
            world.tmux(["send-keys", "-t", &pane, "Enter"]);
        }),
        ("the plugin's load", |world, _| {
            world.run(["plugin", "load"]).ok();
        }),
        ("a client", |world, _| {
            world.run(["event", "client-attached"]).ok();
        }),
    ];
    for (name, entry) in entries {
        eprintln!("{name}");
        heals("tick.taken", entry);
    }
}
