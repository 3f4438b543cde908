//! What becomes of a message that waits: its reason is said, its time runs out, and the agent that sent it hears of it.

use crate::storm::echoing;
use crate::support::{World, eventually, text};
use conductor::tmux::{Tmux, timer_options};
use serde_json::Value;
use std::fs;
use std::time::{Duration, Instant};

/// A team whose first worker cannot be written to: somebody looks through its history.
fn team() -> (World, String, String, String) {
    let world = World::new();
    let team = world.launch(&["developer"]);
    let worker = team.workers[0].clone();
    let pane = text(&world.status(&worker)["pane"]);
    world.tmux(["copy-mode", "-t", &pane]);
    (world, team.supervisor, worker, pane)
}

fn notices(world: &World, id: &str) -> Vec<Value> {
    let all = world.run(["inbox", id, "--limit", "100"]).json();
    all.as_array()
        .unwrap()
        .iter()
        .filter(|m| text(&m["body"]).starts_with("This is a notice of Agent Conductor"))
        .cloned()
        .collect()
}

#[test]
fn each_message_that_waits_says_for_what() {
    let (world, _, worker, pane) = team();
    let first = world.send(&worker, "SAY first");
    let second = world.send(&worker, "SAY second");
    assert_eq!(first["last_error"], "COPY_MODE");
    let behind = format!("waits behind message {} (COPY_MODE)", text(&first["id"]));
    assert_eq!(second["last_error"], behind.as_str());
    assert_eq!(
        world.message(&text(&second["id"]))["last_error"],
        behind.as_str()
    );
    let listed = world.run(["inbox", &worker]).json();
    assert_eq!(listed[0]["last_error"], behind.as_str());
    let explained = world.run(["explain", &worker]).json();
    assert_eq!(explained["queue"][1]["reason"], behind.as_str());
    assert_eq!(
        explained["queue"][1]["retried_by"],
        "the end of the message before it"
    );
    world.tmux(["send-keys", "-t", &pane, "-X", "cancel"]);
    let done = world.message_becomes(&text(&second["id"]), "submitted");
    assert!(done["last_error"].is_null(), "{done}");
}

#[test]
fn a_message_ends_when_its_time_is_over_although_nothing_happens() {
    let (world, supervisor, worker, _) = team();
    let sent = world
        .run_in(
            &supervisor,
            &[
                "send",
                &worker,
                "-m",
                "SAY too late",
                "--ttl",
                "2",
                "--json",
            ],
        )
        .json();
    let later = world.send(&worker, "SAY later");
    let begun = Instant::now();
    let id = text(&sent["id"]);
    assert_eq!(sent["status"], "queued");
    // No command of ours is run meanwhile, as each looks for what is overdue: the agent's own log says what it heard.
    eventually("the sender hears of it", || {
        world
            .logged(&supervisor, &["prompt"])
            .iter()
            .any(|prompt| prompt.contains("This is a notice of Agent Conductor"))
            .then_some(())
    });
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "{:?}",
        begun.elapsed()
    );
    let ended = world.message(&id);
    assert_eq!(ended["status"], "expired", "{ended}");
    assert_eq!(ended["last_error"], "its time to live ran out");
    assert_eq!(world.message(&text(&later["id"]))["status"], "queued");
    let told = eventually("that is proven", || {
        notices(&world, &supervisor)
            .into_iter()
            .find(|m| m["status"] == "submitted")
    });
    let body = text(&told["body"]);
    assert!(
        body.contains(&format!(
            "message {id} from you to {worker} ended as expired"
        )),
        "{body}"
    );
    assert!(body.contains("SAY too late"), "{body}");
    assert_eq!(notices(&world, &supervisor).len(), 1);
}

#[test]
fn a_held_message_runs_out_too() {
    let world = World::new();
    let held = echoing(&world, "--ttl 3");
    let ended = world.message_becomes(&text(&held["id"]), "expired");
    assert_eq!(ended["last_error"], "its time to live ran out");
    eventually("the sender is told", || {
        (notices(&world, &text(&held["sender"])).len() == 1).then_some(())
    });
}

#[test]
fn an_agent_hears_that_its_message_ended_with_the_receiver() {
    let (world, supervisor, worker, _) = team();
    let sent = world
        .run_in(
            &supervisor,
            &["send", &worker, "-m", "SAY to nobody", "--json"],
        )
        .json();
    world.run(["close", &worker]).ok();
    assert_eq!(world.message(&text(&sent["id"]))["status"], "dead");
    let body = eventually("the sender is told", || {
        notices(&world, &supervisor)
            .first()
            .map(|m| text(&m["body"]))
    });
    assert!(
        body.contains("ended as dead (the receiver has ended: closed)"),
        "{body}"
    );
    // People see it in the list; a script's message tells nobody.
    assert_eq!(notices(&world, &supervisor).len(), 1);
}

#[test]
fn a_timer_that_was_armed_out_of_turn_silences_no_newer_one() {
    let world = World::new();
    let tmux = Tmux::at(world.socket());
    let home = world.home();
    let [hook, _, generation, _] = timer_options(&home);
    let ran = world.at("ran");
    let helper = world.script("helper", &format!("echo ran >>{}", ran.display()));
    let count = || fs::read_to_string(&ran).map_or(0, |text| text.lines().count());
    // The third was counted after the second, and reached the server before it.
    tmux.arm_timer(&helper, &home, 1, 400).unwrap();
    tmux.arm_timer(&helper, &home, 3, 400).unwrap();
    tmux.arm_timer(&helper, &home, 2, 600_000).unwrap();
    eventually("the newest has fired", || (count() > 0).then_some(()));
    tmux.arm_timer(&helper, &home, 4, 300).unwrap();
    tmux.arm_timer(&helper, &home, 5, 300).unwrap();
    eventually("the next has fired", || (count() > 1).then_some(()));
    // Without its options none fires.
    tmux.arm_timer(&helper, &home, 6, 300).unwrap();
    for name in [&hook, &generation] {
        world.tmux(["set-option", "-gu", name]);
    }
    std::thread::sleep(Duration::from_millis(800));
    assert_eq!(count(), 2, "one that was superseded has fired");
}

#[test]
fn a_look_that_is_due_while_another_looks_is_not_lost() {
    let world = World::new();
    let id = world.agent();
    let pane = text(&world.status(&id)["pane"]);
    world.tmux(["send-keys", "-t", &pane, "-l", "half a thought"]);
    world.send(&id, "SAY in its time");
    // As a helper that has looked, has said when to look again, and has yet to let go.
    let lock = world.home().join(format!("run/locks/{id}.lock"));
    let held = fs::File::open(lock).unwrap();
    held.lock().unwrap();
    let end = Instant::now() + Duration::from_secs(1);
    while Instant::now() < end {
        world.run(["tick"]).ok();
    }
    world.tmux(["send-keys", "-t", &pane, "C-c"]);
    drop(held);
    // Asked by no command of ours: those look too.
    eventually("the message came by itself", || {
        (world.logged(&id, &["prompt"]).len() == 1).then_some(())
    });
}

#[test]
fn two_state_directories_on_one_server_have_a_timer_each() {
    let world = World::new();
    let first = world.agent();
    let other = world.at("other");
    let log = format!("CONDUCTOR_DEMO_LOG={}", world.at("demo.log").display());
    let launched = world
        .run(["launch", "-p", "demo", "--session", "theirs", "--env", &log])
        .env("CONDUCTOR_HOME", &other)
        .json();
    let second = text(&launched["terminals"][0]["id"]);
    world
        .run(["wait", &second, "--for", "idle", "--timeout", "20"])
        .env("CONDUCTOR_HOME", &other)
        .ok();
    let of = |id: &str| {
        if id == first {
            world.home()
        } else {
            other.clone()
        }
    };
    let mut panes = Vec::new();
    for id in [&first, &second, &first, &second] {
        let status = world
            .run(["status", id])
            .env("CONDUCTOR_HOME", of(id))
            .json();
        let pane = text(&status["pane"]);
        if panes.len() < 2 {
            world.tmux(["send-keys", "-t", &pane, "-l", "half a thought"]);
            panes.push(pane);
        }
        // A person's draft: only a timer looks again.
        world
            .run(["send", id, "-m", "SAY in its time"])
            .env("CONDUCTOR_HOME", of(id))
            .ok();
    }
    for pane in &panes {
        world.tmux(["send-keys", "-t", pane, "C-c"]);
    }
    for id in [&first, &second] {
        eventually("both messages came by themselves", || {
            (world.logged(id, &["prompt", "context"]).len() == 2).then_some(())
        });
    }
    // What the one takes out of the server is not the other's.
    world.run(["plugin", "unload"]).ok();
    let left = world.tmux(["show-options", "-g"]);
    assert_eq!(
        left.lines()
            .filter(|line| line.starts_with("@conductor_gen_"))
            .count(),
        1,
        "{left}"
    );
}

#[test]
fn a_parked_agent_rests_until_its_time() {
    let world = World::new();
    let team = world.launch(&["developer"]);
    let (boss, worker) = (team.supervisor.clone(), team.workers[0].clone());
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(5);
    world.send(&worker, &format!("LIMIT {until}"));
    world.wait(&worker, "parked");
    let reason = text(&world.status(&worker)["status_reason"]);
    assert!(reason.contains("rests until"), "{reason}");
    let waits = world.send(&worker, "SAY awake");
    assert_eq!(waits["last_error"], "PAUSED");
    let told = eventually("a notice", || {
        Some(notices(&world, &boss)).filter(|told| !told.is_empty())
    });
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(text(&told[0]["body"]).contains("usage limit"), "{told:?}");
    // Nobody does anything: the timer wakes it.
    let done = world.message_becomes(&text(&waits["id"]), "submitted");
    assert!(
        text(&done["submitted_at"])
            .parse::<jiff::Timestamp>()
            .unwrap()
            >= until,
        "{done}"
    );
    assert_eq!(notices(&world, &boss).len(), 1);
}
