//! Programs of which only the screen is known: any program, and those of a person's own manifest.

use super::{left_as_placed, prompts, world};
use crate::support::{World, eventually, text};
use serde_json::Value;
use std::fs;

/// A program that says what it reads, line by line.
const ECHO: &str = "while IFS= read -r line; do printf 'got: %s\\n' \"$line\"; printf '%s\\n' \"$line\" >>\"$LINES_READ\"; done";

/// Starts [`ECHO`] as any program; what it reads is in the file `lines`.
fn echo(world: &World) -> String {
    let env = format!("LINES_READ={}", world.at("lines").display());
    let session = world
        .run([
            "--json",
            "launch",
            "-p",
            "generic",
            "--session",
            "work",
            "--env",
            &env,
            "--",
            "sh",
            "-c",
            ECHO,
        ])
        .done()
        .json();
    let terminal = &session["terminals"][0];
    assert_eq!(
        (&terminal["provider"], &terminal["gated"]),
        (&"generic".into(), &"no".into())
    );
    let id = text(&terminal["id"]);
    world.wait(&id, "idle");
    id
}

fn lines(world: &World) -> Vec<String> {
    let text = fs::read_to_string(world.at("lines")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_quiet_program_is_idle_and_what_it_got_is_placed() {
    let world = World::new();
    let id = echo(&world);
    assert!(text(&world.status(&id)["status_reason"]).contains("quiet"));
    let first = world.send(&id, "hello there");
    let second = world.send(&id, "and again");
    for sent in [&first, &second] {
        let left = left_as_placed(&world, sent);
        assert_eq!(
            (&left["transport"], &left["submitted_at"]),
            (&"paste".into(), &Value::Null),
            "{left}"
        );
        assert!(text(&left["last_error"]).contains("no event"), "{left}");
    }
    assert_eq!(
        lines(&world),
        [&first, &second].map(|sent| format!(
            "[conductor #{} from unverified (peer)] {}",
            text(&sent["id"]),
            text(&sent["body"])
        ))
    );
    let told = world.run(["explain", &id]).ok();
    assert!(told.contains("no message waits"), "{told}");
    assert!(told.contains("without hooks of ours"), "{told}");
    assert!(!told.contains("heard from"), "{told}");
    assert_eq!(
        world.message(&text(&first["id"]))["status"],
        "placed",
        "and stays so"
    );
    world.run(["inbox", "cancel", &text(&first["id"])]).fails(4);
    world.run(["inbox", "retry", &text(&first["id"])]).fails(4);
    world.run(["close", &id]).ok();
    let ended = world.message(&text(&first["id"]));
    assert_eq!(
        ended["status"], "placed",
        "its end changes nothing: {ended}"
    );
}

#[test]
fn a_long_text_is_read_from_a_file() {
    let world = World::new();
    let id = echo(&world);
    let body = format!(
        "first line\n\ttabbed \"quoted\" $(id)\n{}",
        "x".repeat(20_000)
    );
    let sent = world.send(&id, &body);
    left_as_placed(&world, &sent);
    let line = lines(&world).concat();
    let name = line
        .split_once(" is in the file ")
        .and_then(|(_, rest)| rest.strip_suffix("; read it there."))
        .unwrap_or_else(|| panic!("no file in {line}"));
    let framed = fs::read_to_string(name).unwrap();
    assert!(
        framed.contains(&format!("\n{body}\n[end of conductor #")),
        "{framed}"
    );
    world.run(["close", &id]).ok();
    assert!(
        !std::path::Path::new(name).exists(),
        "it goes with its terminal"
    );
}

/// Starts a program that draws twice a second, so often, at each line.
fn drawing(world: &World, times: usize) -> String {
    let slow = format!(
        "while IFS= read -r line; do n=0; while [ $n -lt {times} ]; do n=$((n+1)); echo $n; sleep 0.5; done; echo done >>\"$LINES_READ\"; done"
    );
    let env = format!("LINES_READ={}", world.at("lines").display());
    let session = world
        .run([
            "--json", "launch", "-p", "generic", "--env", &env, "--", "sh", "-c", &slow,
        ])
        .done()
        .json();
    let id = text(&session["terminals"][0]["id"]);
    world.wait(&id, "idle");
    id
}

#[test]
fn a_wait_for_idle_after_a_message_waits_for_its_end() {
    let world = World::new();
    let id = drawing(&world, 8);
    let sent = world.send(&id, "go");
    eventually("it is in the pane", || {
        (world.message(&text(&sent["id"]))["status"] == "placed").then_some(())
    });
    assert_eq!(world.status(&id)["status"], "working");
    world.wait(&id, "idle");
    assert_eq!(lines(&world), ["done"]);
}

/// Nobody waits for it and nothing is sent: its status does not stay at `working` for ever.
#[test]
fn the_end_of_what_a_message_began_is_seen_without_anybody_who_asks() {
    let world = World::new();
    let id = drawing(&world, 14);
    let pane = text(&world.status(&id)["pane"]);
    world.send(&id, "go");
    // tmux alone is asked: no command of ours looks.
    for wanted in ["working", "idle"] {
        eventually(&format!("it shows {wanted}"), || {
            (super::of_pane(&world, &pane, "#{@conductor_status}") == wanted).then_some(())
        });
    }
    assert_eq!(lines(&world), ["done"]);
}

/// What an agent without proof sends is caused by what it was given: the brakes on loops count it.
#[test]
fn what_agents_without_hooks_say_to_each_other_is_counted() {
    let world = World::new();
    let answers = "while IFS= read -r line; do \"$CONDUCTOR_HOOK\" send \"$(cat \"$PEERS/$CONDUCTOR_TERMINAL_ID\")\" -m pong --json >>\"$PEERS/sent\"; done";
    let peers = world.at("peers");
    fs::create_dir(&peers).unwrap();
    let env = format!("PEERS={}", peers.display());
    let ids: Vec<String> = ["one", "two"]
        .iter()
        .map(|session| {
            let launched = world
                .run([
                    "--json",
                    "launch",
                    "-p",
                    "generic",
                    "--session",
                    session,
                    "--env",
                    &env,
                    "--",
                    "sh",
                    "-c",
                    answers,
                ])
                .done()
                .json();
            text(&launched["terminals"][0]["id"])
        })
        .collect();
    for (own, other) in [(0, 1), (1, 0)] {
        fs::write(peers.join(&ids[own]), &ids[other]).unwrap();
        world.wait(&ids[own], "idle");
    }
    let first = world.send(&ids[0], "ping");
    let hops = eventually("they talk", || {
        let sent = fs::read_to_string(peers.join("sent")).unwrap_or_default();
        let messages: Vec<Value> = sent
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        (messages.len() >= 2).then_some(messages)
    });
    for (at, message) in hops.iter().enumerate() {
        assert_eq!(message["hops"], at + 1, "{message}");
        assert_eq!(message["trace"], first["trace"], "{message}");
    }
    world.run(["shutdown", "--all", "--force"]).ok();
}

#[test]
fn any_program_needs_one_that_is_there() {
    let world = World::new();
    let usage = world.run(["launch", "-p", "generic"]).fails(2);
    assert!(usage.contains("-- PROGRAM"), "{usage}");
    world
        .run(["launch", "-p", "generic", "--", "no-such-program", "x"])
        .fails(3);
    world
        .run(["launch", "-p", "generic", "--", "./relative"])
        .fails(3);
    assert_eq!(
        world.run(["sessions", "--all"]).json(),
        serde_json::json!([]),
        "nothing was begun"
    );
    assert_eq!(
        world.tmux(["list-sessions", "-F", "#{session_name}"]),
        "home"
    );
    let worker = world
        .run(["--json", "worker", "home", "-p", "generic", "--", "cat"])
        .done()
        .json();
    assert_eq!(
        (&worker["session"], &worker["role"]),
        (&"home".into(), &"worker".into())
    );
    world.run(["worker", "home", "-p", "generic"]).fails(2);
}

/// Launches the demo agent without hooks, by a person's own manifest.
fn hand(world: &World) -> String {
    let log = format!("CONDUCTOR_DEMO_LOG={}", world.at("demo.log").display());
    let session = world.run(["launch", "-p", "hand", "--env", &log]).json();
    let id = text(&session["terminals"][0]["id"]);
    world.wait(&id, "idle");
    id
}

#[test]
fn a_persons_own_manifest_says_what_the_screen_means() {
    let world = world();
    let id = hand(&world);
    let sent = world.send(&id, "SAY hello");
    left_as_placed(&world, &sent);
    world.wait(&id, "idle");
    assert!(text(&world.status(&id)["status_reason"]).contains("empty prompt"));
    assert_eq!(prompts(&world).len(), 1, "{:?}", prompts(&world));
    assert!(prompts(&world)[0].ends_with("] SAY hello"));
    // It has neither hooks nor our MCP server, whatever its manifest does not say.
    let long = world.send(&id, "two\nlines");
    left_as_placed(&world, &long);
    let prompt = prompts(&world).pop().unwrap();
    assert!(prompt.contains(" is in the file "), "{prompt}");
    // In a turn nothing is put in.
    let busy = world.send(&id, "SLEEP 2");
    let after = world.send(&id, "SAY after");
    left_as_placed(&world, &busy);
    left_as_placed(&world, &after);
    let told = fs::read_to_string(world.at("demo.log")).unwrap();
    let events: Vec<String> = told
        .lines()
        .map(|line| text(&serde_json::from_str::<Value>(line).unwrap()["event"]))
        .collect();
    assert_eq!(
        events.join(" "),
        "start prompt answer prompt answer prompt answer prompt answer"
    );
}

#[test]
fn a_draft_is_respected_without_hooks_too() {
    let world = world();
    let id = hand(&world);
    let pane = text(&world.status(&id)["pane"]);
    world.tmux(["send-keys", "-t", &pane, "-l", "half a thought"]);
    super::shows(&world, &pane, "demo> half a thought");
    let sent = world.send(&id, "SAY hello");
    let waiting = eventually("it waits for the draft", || {
        let message = world.message(&text(&sent["id"]));
        (message["last_error"] == "DRAFT").then_some(message)
    });
    assert_eq!(waiting["status"], "queued");
    assert!(prompts(&world).is_empty());
    world.tmux(["send-keys", "-t", &pane, "C-c"]);
    left_as_placed(&world, &sent);
    assert_eq!(prompts(&world).len(), 1);
}
