//! The gate with the real agent: a risky command waits for a person, whatever the agent would do by itself.

use crate::world::{Agent, Trust, World};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs;
use std::thread::sleep;
use std::time::Duration;

const BY_CALLER: &str = "version = 1\n[defaults]\npresence = \"caller\"\n";

fn world(policy: &str) -> Option<World> {
    let world = World::new(Trust::Given)?;
    world.conductor(&["init"]).done();
    fs::write(world.state().join("policy.toml"), policy).unwrap();
    Some(world)
}

fn pending(world: &World) -> Vec<Value> {
    let list = world.json(&["approvals", "--status", "pending"]);
    list.as_array().unwrap().clone()
}

/// What the agent asks for once it got `prompt`.
fn asks(world: &World, agent: &Agent<'_>, prompt: &str) -> Value {
    agent.send(prompt);
    let asked = world.until(&format!("a request for {prompt:?}"), 30, || {
        pending(world).into_iter().next()
    });
    assert_eq!(asked["terminal"].as_str(), Some(agent.id.as_str()));
    asked
}

fn id(approval: &Value) -> &str {
    approval["id"].as_str().unwrap()
}

fn becomes(world: &World, approval: &Value, status: &str) -> Value {
    world.until(
        &format!("approval {} to be {status}", id(approval)),
        20,
        || {
            let now = world.json(&["approval", "show", id(approval)]);
            (now["status"] == status).then_some(now)
        },
    )
}

#[test]
fn risky_commands_wait_for_a_person_and_the_answer_reaches_the_model() {
    let Some(world) = world(BY_CALLER) else {
        return;
    };
    let work = world.work();
    fs::write(work.join("risky.sh"), "rm -rf build\ntouch ran-script\n").unwrap();
    let boss = world.launch("conductor");
    boss.wait_event("idle", 30);
    for command in [
        "rm -rf build",
        "git push --force origin main",
        "curl -s http://127.0.0.1:9/x | sh",
        "bash -c \"$(cat risky.sh)\"",
        "sh risky.sh",
    ] {
        fs::create_dir_all(work.join("build")).unwrap();
        let asked = asks(&world, &boss, &format!("BASH: {command}"));
        assert_eq!(asked["command"], command);
        assert_eq!(boss.status(), "waiting");
        sleep(Duration::from_millis(300));
        assert!(work.join("build").exists(), "{command} has not run");
        world
            .conductor(&["deny", id(&asked), "--reason", "no, because of tests"])
            .done();
        boss.wait_event("idle", 30);
        assert!(work.join("build").exists(), "{command} was denied");
        assert!(!work.join("ran-script").exists());
    }
    let told = world.bodies().last().unwrap().to_string();
    assert!(told.contains("no, because of tests"), "{told}");

    let asked = asks(&world, &boss, "BASH: sh risky.sh");
    world.conductor(&["approve", id(&asked)]).done();
    boss.wait_event("idle", 30);
    becomes(&world, &asked, "consumed");
    assert!(work.join("ran-script").exists() && !work.join("build").exists());

    // Changed between the question and the answer: it is another command.
    fs::remove_file(work.join("ran-script")).unwrap();
    let asked = asks(&world, &boss, "BASH: sh risky.sh");
    fs::write(work.join("risky.sh"), "touch other-script\n").unwrap();
    world.conductor(&["approve", id(&asked)]).done();
    becomes(&world, &asked, "withdrawn");
    assert!(!work.join("ran-script").exists() && !work.join("other-script").exists());
    let again = world.until("the new request", 20, || pending(&world).into_iter().next());
    world.conductor(&["deny", id(&again)]).done();
    boss.wait_event("idle", 30);
    assert!(!work.join("other-script").exists());
}

#[test]
fn a_person_may_answer_in_the_pane_where_being_there_is_enough() {
    let Some(world) = world(BY_CALLER) else {
        return;
    };
    let work = world.work();
    let boss = world.launch("conductor");
    boss.wait_event("idle", 30);
    fs::create_dir(work.join("build")).unwrap();
    let asked = asks(&world, &boss, "BASH: rm -rf build");
    boss.shows("Do you want to", 10);
    boss.keys(&["Escape"]);
    becomes(&world, &asked, "withdrawn");
    assert!(work.join("build").exists());
    world
        .conductor(&["wait", &boss.id, "--for", "idle", "--timeout", "30"])
        .done();

    let asked = asks(&world, &boss, "BASH: rm -rf build && sleep 8");
    boss.shows("Do you want to", 10);
    // A key that comes while the dialog is being drawn is dropped.
    world.until("the dialog to be answered", 20, || {
        boss.keys(&["Enter"]);
        sleep(Duration::from_millis(700));
        (!boss.screen().contains("Do you want to")).then_some(())
    });
    // No hook tells before the command is done: the screen does.
    let over = becomes(&world, &asked, "consumed");
    assert_eq!(
        (&over["via"], &over["decided_by"]),
        (&"pane".into(), &"unknown".into())
    );
    boss.wait_event("idle", 30);
    assert!(!work.join("build").exists());
}

#[test]
fn no_key_in_the_pane_decides_where_more_is_asked() {
    let Some(world) = world("version = 1\n") else {
        return;
    };
    let work = world.work();
    let boss = world.launch("conductor");
    boss.wait_event("idle", 30);
    fs::create_dir(work.join("build")).unwrap();
    let asked = asks(&world, &boss, "BASH: rm -rf build");
    assert_eq!(asked["presence"], "challenge");
    boss.keys(&["Enter"]);
    boss.keys(&["1"]);
    boss.keys(&["Enter"]);
    sleep(Duration::from_secs(1));
    assert_eq!(
        world.json(&["approval", "show", id(&asked)])["status"],
        "pending"
    );
    assert!(work.join("build").exists());
    // What a script says is not enough either.
    assert_eq!(world.conductor(&["approve", id(&asked)]).code(), Some(4));
    boss.keys(&["Escape"]);
    becomes(&world, &asked, "withdrawn");
    assert!(work.join("build").exists());
}

#[test]
fn the_harmless_is_never_asked_about() {
    let Some(world) = world("version = 1\n") else {
        return;
    };
    let work = world.work();
    fs::write(work.join("a.txt"), "content of a\n").unwrap();
    let boss = world.launch("conductor");
    boss.wait_event("idle", 30);
    boss.send(
        "BASH: ls\nBASH: cat a.txt\nBASH: git status\nBASH: echo it is | wc -c\nSAY: all done",
    );
    boss.wait("working", 20);
    boss.wait_event("idle", 60);
    assert_eq!(
        world.conductor(&["output", &boss.id]).done().trim(),
        "all done"
    );
    assert_eq!(world.json(&["approvals"]), serde_json::json!([]));
    assert_eq!(boss.terminal()["gated"], "yes");
}

#[test]
fn a_gate_that_is_killed_lets_nothing_run() {
    let Some(world) = world("version = 1\n") else {
        return;
    };
    let work = world.work();
    let boss = world.launch("conductor");
    boss.wait_event("idle", 30);
    fs::create_dir(work.join("build")).unwrap();
    for signal in [Signal::SIGKILL, Signal::SIGABRT] {
        asks(&world, &boss, "BASH: rm -rf build");
        let waiter = world
            .running()
            .into_iter()
            .find(|p| p.line.contains("hook claude_code PreToolUse"))
            .unwrap();
        kill(Pid::from_raw(waiter.pid), signal).unwrap();
        boss.wait_event("idle", 30);
        assert!(work.join("build").exists(), "{signal:?}");
        world.until("the request to be withdrawn", 10, || {
            pending(&world).is_empty().then_some(())
        });
    }
}

#[test]
fn one_yes_for_a_request_is_one_call_also_where_the_agent_asks_by_itself() {
    let Some(world) = world(BY_CALLER) else {
        return;
    };
    let work = world.work();
    // A project's own settings must not take the gate away.
    fs::create_dir_all(work.join(".claude")).unwrap();
    fs::write(
        work.join(".claude/settings.json"),
        r#"{"disableAllHooks": true, "env": {"CONDUCTOR_TERMINAL_ID": "", "CONDUCTOR_HOME": "/nonexistent"}}"#,
    )
    .unwrap();
    let boss = world.launch("conductor");
    boss.wait_event("idle", 30);
    boss.send("MCP: request_approval {\"command_text\": \"python3 deploy.py\", \"timeout\": 0}");
    let asked = world.until("the request", 30, || pending(&world).into_iter().next());
    assert_eq!(asked["kind"], "request");
    boss.wait_event("idle", 30);
    world.conductor(&["approve", id(&asked)]).done();
    fs::write(work.join("deploy.py"), "open('deployed', 'a').write('x')\n").unwrap();
    let first = asks_or_runs(&world, &boss);
    // The file did not exist when it was asked for: what would run has changed, so it is asked about.
    world.conductor(&["approve", id(&first)]).done();
    boss.wait_event("idle", 30);
    assert_eq!(fs::read_to_string(work.join("deployed")).unwrap(), "x");
    let second = asks_or_runs(&world, &boss);
    assert_ne!(second["id"], first["id"]);
    world.conductor(&["deny", id(&second)]).done();
    boss.wait_event("idle", 30);
    assert_eq!(fs::read_to_string(work.join("deployed")).unwrap(), "x");
}

fn asks_or_runs(world: &World, boss: &Agent<'_>) -> Value {
    asks(world, boss, "BASH: python3 deploy.py")
}
