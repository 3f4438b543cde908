//! `adopt`: an agent that a person started by hand, in the person's own pane.

use super::{changed, left_as_placed, of_pane, options, prompts, shell, shows, type_in, world};
use crate::support::{World, eventually, text};
use serde_json::Value;
use std::fs;

/// Starts the demo agent by hand in a shell of the person's; returns the pane.
fn by_hand(world: &World) -> String {
    let pane = shell(world);
    begin(world, &pane);
    pane
}

fn begin(world: &World, pane: &str) {
    let log = world.at("demo.log");
    type_in(
        world,
        pane,
        &format!("clear; CONDUCTOR_DEMO_LOG={} conductor-demo", log.display()),
    );
    eventually("it is at its prompt", || {
        let screen = world.tmux(["capture-pane", "-p", "-t", pane]);
        screen
            .lines()
            .any(|line| line.trim_end() == "demo>")
            .then_some(())
    });
}

#[track_caller]
fn adopt(world: &World, pane: &str, provider: &str) -> Value {
    world.run(["adopt", pane, "-p", provider]).json()
}

/// The person's shell takes a line.
#[track_caller]
fn shell_answers(world: &World, pane: &str) {
    let flag = world.at("shell");
    let _ = fs::remove_file(&flag);
    type_in(world, pane, &format!("touch {}", flag.display()));
    eventually("the shell is there", || flag.exists().then_some(()));
}

#[test]
fn an_adopted_agent_gets_messages_and_its_pane_stays_the_persons() {
    for provider in ["hand", "demo"] {
        let world = world();
        let pane = by_hand(&world);
        let shell = of_pane(&world, &pane, "#{pane_pid}");
        let before = options(&world, &pane);
        let adopted = adopt(&world, &pane, provider);
        let id = text(&adopted["id"]);
        for (field, wanted) in [
            ("pane", pane.as_str()),
            ("session", "home"),
            ("provider", provider),
            ("profile", "adopted"),
            ("role", "worker"),
            ("status", "idle"),
            ("gated", "no"),
        ] {
            assert_eq!(adopted[field], wanted, "{field}: {adopted}");
        }
        assert_eq!(
            of_pane(&world, &pane, "#{@conductor_id} #{pane_pipe}"),
            format!("{id} 1")
        );
        assert_eq!(world.audited("terminal.adopted"), 1);
        let sent = world.send(&id, "SAY hello");
        left_as_placed(&world, &sent);
        // Neither hooks nor our MCP server reach it.
        let long = world.send(&id, "SAY two\nSAY lines");
        left_as_placed(&world, &long);
        let got = prompts(&world);
        assert_eq!(got.len(), 2, "{got:?}");
        assert!(got[0].ends_with("] SAY hello"), "{got:?}");
        assert!(got[1].contains(" is in the file "), "{got:?}");
        assert!(world.run(["logs", &id]).ok().contains("hello"));
        let closed = world.run(["close", &id]).json();
        assert_eq!(closed["status"], "exited");
        assert_eq!(
            of_pane(&world, &pane, "#{pane_pid} #{pane_pipe}"),
            format!("{shell} 0")
        );
        assert_eq!(options(&world, &pane), before);
        shell_answers(&world, &pane);
        // And it is taken in again.
        begin(&world, &pane);
        let second = adopt(&world, &pane, provider);
        assert_ne!(second["id"], adopted["id"]);
    }
}

#[test]
fn a_pipe_of_the_persons_is_left_alone() {
    let world = world();
    let pane = shell(&world);
    let log = world.at("theirs");
    world.tmux([
        "pipe-pane",
        "-t",
        &pane,
        &format!("cat >>{}", log.display()),
    ]);
    begin(&world, &pane);
    let id = text(&adopt(&world, &pane, "hand")["id"]);
    assert!(!options(&world, &pane).contains("@conductor_log"));
    world.run(["close", &id]).ok();
    assert_eq!(of_pane(&world, &pane, "#{pane_pipe}"), "1");
    type_in(&world, &pane, "echo more-of-it");
    eventually("the pipe goes on", || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        text.contains("more-of-it").then_some(())
    });
}

#[test]
fn what_is_no_agent_of_a_person_is_refused() {
    let world = world();
    let pane = shell(&world);
    shell_answers(&world, &pane);
    for provider in ["hand", "demo", "generic"] {
        let told = world.run(["adopt", &pane, "-p", provider]).fails(4);
        assert!(
            told.contains("no agent is in the foreground"),
            "{provider}: {told}"
        );
    }
    assert_eq!(options(&world, &pane), "");
    world.run(["adopt", "%4711", "-p", "demo"]).fails(3);
    world.run(["adopt", "work", "-p", "demo"]).fails(2);
    world.run(["adopt", &pane, "-p", "nobody"]).fails(3);
    begin(&world, &pane);
    let id = text(&adopt(&world, &pane, "hand")["id"]);
    let told = world.run(["adopt", &pane, "-p", "demo"]).fails(4);
    assert!(told.contains(&id), "{told}");
    let agent = world.agent();
    let own = text(&world.status(&agent)["pane"]);
    world.run(["adopt", &own, "-p", "demo"]).fails(4);
    let other = by_hand(&world);
    let told = world
        .run_in(&agent, &["adopt", &other, "-p", "demo"])
        .fails(4);
    assert!(told.contains("only a person"), "{told}");
    assert_eq!(options(&world, &other), "");
}

#[test]
fn any_program_in_the_foreground_can_be_taken_in() {
    let world = world();
    let pane = shell(&world);
    type_in(&world, &pane, "clear; cat");
    eventually("it runs", || {
        (of_pane(&world, &pane, "#{pane_current_command}") == "cat").then_some(())
    });
    let id = text(&adopt(&world, &pane, "generic")["id"]);
    world.wait(&id, "idle");
    let sent = world.send(&id, "hello");
    left_as_placed(&world, &sent);
    shows(&world, &pane, "] hello");
    // Back at the shell, nothing is typed into it.
    world.tmux(["send-keys", "-t", &pane, "C-d"]);
    eventually("it has ended", || {
        (world.status(&id)["status"] == "exited").then_some(())
    });
    world.run(["send", &id, "-m", "echo never"]).fails(4);
}

#[test]
fn the_end_of_an_adopted_agent_is_seen_at_the_next_look() {
    let world = world();
    let pane = by_hand(&world);
    let id = text(&adopt(&world, &pane, "hand")["id"]);
    assert!(options(&world, &pane).contains("@conductor_id"));
    type_in(&world, &pane, "/exit");
    eventually("the shell is back", || {
        (of_pane(&world, &pane, "#{pane_current_command}") != "conductor-demo").then_some(())
    });
    world.run(["sessions"]).ok();
    let ended = world.status(&id);
    assert_eq!(ended["status"], "exited", "{ended}");
    assert_eq!(options(&world, &pane), "");
    assert_eq!(of_pane(&world, &pane, "#{pane_pipe}"), "0");
    let left = fs::read_dir(world.home().join("run")).unwrap().flatten();
    let left: Vec<String> = left
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains(&id))
        .collect();
    assert_eq!(left, Vec::<String>::new());
    shell_answers(&world, &pane);
}

/// Whose pane it was a moment ago is no agent any more, also before anybody has looked.
#[test]
fn the_person_at_the_pane_of_an_agent_that_has_ended_is_a_person() {
    let world = world();
    let pane = by_hand(&world);
    let id = text(&adopt(&world, &pane, "hand")["id"]);
    let other = by_hand(&world);
    type_in(&world, &pane, "/exit");
    eventually("the shell is back", || {
        (of_pane(&world, &pane, "#{pane_current_command}") != "conductor-demo").then_some(())
    });
    for (name, command) in [
        ("setup", "provider setup claude_code --yes".to_owned()),
        ("adopt", format!("adopt {other} -p hand")),
    ] {
        let code = world.at(name);
        let line = format!(
            "CONDUCTOR_HOME={} CONDUCTOR_TMUX_SOCKET={} {} {command} >/dev/null; echo $? >{}",
            world.home().display(),
            world.socket().display(),
            crate::support::BINARY,
            code.display()
        );
        type_in(&world, &pane, &line);
        let code = eventually("it is over", || {
            let text = fs::read_to_string(&code).ok()?;
            text.ends_with('\n').then_some(text)
        });
        assert_eq!(code, "0\n", "{name}");
        if name == "setup" {
            // The next one starts like this one: nobody has looked.
            assert_eq!(world.status(&id)["status"], "exited");
            begin(&world, &pane);
            adopt(&world, &pane, "hand");
            type_in(&world, &pane, "/exit");
            eventually("the shell is back", || {
                (of_pane(&world, &pane, "#{pane_current_command}") != "conductor-demo")
                    .then_some(())
            });
        }
    }
}

#[test]
fn an_agent_in_a_turn_is_taken_in_and_heard_of_later() {
    let world = world();
    let pane = by_hand(&world);
    type_in(&world, &pane, "SLEEP 4");
    shows(&world, &pane, "working");
    let adopted = adopt(&world, &pane, "hand");
    let id = text(&adopted["id"]);
    assert_ne!(adopted["status"], "idle", "{adopted}");
    let sent = world.send(&id, "SAY hello");
    world.wait(&id, "idle");
    left_as_placed(&world, &sent);
    assert_eq!(prompts(&world).len(), 2);
}

/// With our hooks in its settings an agent that a person started is like one that we started.
#[test]
fn hooks_in_the_settings_prove_and_gate() {
    let world = world();
    let manifest = changed(
        include_str!("../../../agent_store/providers/claude_code.toml"),
        &[
            ("name", "\"mine\""),
            ("aliases", "[]"),
            ("program", "\"conductor-demo\""),
            ("prompt_row", "\"^demo>.?$\""),
            ("idle", "\"(?m)^demo>.?$\""),
        ],
    );
    world.write("state/providers/mine.toml", manifest);
    let early = by_hand(&world);
    world.run(["provider", "setup", "mine", "--yes"]).ok();
    let pane = shell(&world);
    let log = world.at("demo.log");
    let settings = world.at("user/.claude/settings.json");
    type_in(
        &world,
        &pane,
        &format!(
            "clear; CONDUCTOR_DEMO_LOG={} conductor-demo --settings {}",
            log.display(),
            settings.display()
        ),
    );
    shows(&world, &pane, "demo>");
    let adopted = adopt(&world, &pane, "mine");
    let id = text(&adopted["id"]);
    assert_eq!(
        (&adopted["status"], &adopted["gated"]),
        (&"idle".into(), &"silent".into())
    );
    // It has been at its prompt all the time and has not been heard yet.
    let first = world.send(&id, "SAY hello");
    let proven = world.message_becomes(&text(&first["id"]), "submitted");
    assert_eq!(proven["transport"], "paste");
    assert_eq!(world.status(&id)["gated"], "yes");
    world.wait(&id, "idle");
    let second = world.send(&id, "SAY a body\nof two lines");
    let proven = world.message_becomes(&text(&second["id"]), "submitted");
    assert_eq!(proven["transport"], "prompt_hook");
    let refused = world.send(&id, "RUN curl https://example.org");
    world.message_becomes(&text(&refused["id"]), "submitted");
    let asked = world.asked(&id);
    world.run(["deny", &text(&asked["id"])]).ok();
    world.wait(&id, "idle");
    assert!(!world.run(["output", &id]).ok().contains("exit 0"));
    // One that is older than the hooks has none.
    let older = text(&adopt(&world, &early, "mine")["id"]);
    let sent = world.send(&older, "SAY hello");
    let left = left_as_placed(&world, &sent);
    assert!(text(&left["last_error"]).contains("no event"), "{left}");
    world.run(["close", &id]).ok();
    world.run(["provider", "setup", "mine", "--undo"]).ok();
    assert!(!settings.exists());
}

/// Nobody waits for it and nothing is sent.
#[test]
fn the_end_of_the_turn_in_which_it_was_taken_in_is_seen() {
    let world = world();
    let pane = by_hand(&world);
    type_in(&world, &pane, "SLEEP 2");
    shows(&world, &pane, "working");
    assert_ne!(adopt(&world, &pane, "hand")["status"], "idle");
    eventually("it shows idle", || {
        (of_pane(&world, &pane, "#{@conductor_status}") == "idle").then_some(())
    });
}

#[test]
fn shutdown_ends_the_agent_and_leaves_the_persons_session() {
    let world = world();
    let pane = by_hand(&world);
    let id = text(&adopt(&world, &pane, "hand")["id"]);
    world.run(["shutdown", "--all"]).ok();
    assert_eq!(world.status(&id)["status"], "exited");
    assert_eq!(
        world.tmux(["list-sessions", "-F", "#{session_name}"]),
        "home"
    );
    assert_eq!(options(&world, &pane), "");
    shell_answers(&world, &pane);
    // The profile of an adopted agent is none that it could be started with.
    world.run(["resume", &id]).fails(4);
}
