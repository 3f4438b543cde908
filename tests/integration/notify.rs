//! People are told once of each thing that waits for them, in the ways that they chose.

use crate::popup::Seat;
use crate::support::{eventually, text};
use std::fs;

/// What the user's own command was told, call by call.
fn told(seat: &Seat) -> Vec<String> {
    let text = fs::read_to_string(seat.world.at("told")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn seat() -> Seat {
    let seat = Seat::new();
    let command = seat.world.script(
        "tell",
        &format!(
            "echo \"$CONDUCTOR_NOTICE|$CONDUCTOR_NOTICE_ID|${{CONDUCTOR_TERMINAL_ID-none}}|$1|$2\" >>{}",
            seat.world.at("told").display()
        ),
    );
    seat.world.write(
        "state/config.toml",
        format!(
            "[notify]\ncommand = [{:?}, \"conductor\"]\n",
            command.to_str().unwrap()
        ),
    );
    seat
}

/// The agent shows a question of its own.
fn asks(seat: &Seat) {
    let event = r#"{"hook_event_name":"PermissionRequest","session_id":"s","tool_name":"AskUserQuestion","tool_input":{}}"#;
    let line = format!("echo '{event}' | \"$CONDUCTOR_HOOK\" hook demo PermissionRequest");
    seat.world.shell(&seat.id, &line).ok();
}

#[test]
fn a_thing_that_waits_is_told_once_in_every_way() {
    let seat = seat();
    let (world, id) = (&seat.world, &seat.id);
    world.send(id, "DIALOG May I #(touch injected) go on?");
    let approval = text(&world.asked(id)["id"]);
    let first = eventually("the command was started", || told(&seat).first().cloned());
    assert!(
        first.starts_with(&format!("approval|{approval}|none|conductor|approval ")),
        "{first}"
    );
    eventually("the client shows it", || {
        seat.screen().contains("waits for you").then_some(())
    });
    world.run(["deny", &approval]).ok();
    world.wait(id, "idle");
    assert_eq!(told(&seat).len(), 1, "{:?}", told(&seat));
    assert!(!world.at("project/injected").exists() && !world.at("user/injected").exists());
}

#[test]
fn who_looks_at_the_pane_needs_no_notice() {
    let seat = seat();
    let (world, id) = (&seat.world, &seat.id);
    let pane = text(&world.status(id)["pane"]);
    let failed = |nth: usize, body: &str| {
        world.send(id, body);
        world.wait(id, "error");
        eventually("the command was started", || told(&seat).get(nth).cloned())
    };
    let first = failed(0, "ERROR of the model");
    assert!(
        first.starts_with(&format!("failed|{id}|none|conductor|")),
        "{first}"
    );
    assert!(first.contains("of the model"), "{first}");
    eventually("the client shows it", || {
        seat.screen().contains("of the model").then_some(())
    });
    seat.press(&["Space"]);
    world.tmux(["switch-client", "-t", &pane]);
    failed(1, "ERROR once more");
    let last = seat.screen().lines().last().unwrap_or_default().to_owned();
    assert!(!last.contains("once more"), "{last}");
}

#[test]
fn the_users_options_in_tmux_go_before_the_file() {
    let seat = seat();
    let (world, id) = (&seat.world, &seat.id);
    world.tmux(["set-option", "-g", "@conductor-notify", "display"]);
    world.send(id, "ERROR one");
    world.wait(id, "error");
    eventually("the client shows it", || {
        seat.screen().contains("failed").then_some(())
    });
    assert!(told(&seat).is_empty(), "no command was asked for");
    world.tmux(["set-option", "-gu", "@conductor-notify"]);
    world.tmux(["set-option", "-g", "@conductor-dnd", "on"]);
    world.ask(id, "SAY in between");
    world.send(id, "ERROR two");
    world.wait(id, "error");
    eventually("its hook has ended", || {
        world.helpers().is_empty().then_some(())
    });
    world.tmux(["set-option", "-gu", "@conductor-dnd"]);
    world.ask(id, "SAY in between");
    world.send(id, "ERROR three");
    world.wait(id, "error");
    let first = eventually("the command was started", || told(&seat).first().cloned());
    assert!(
        first.contains("three"),
        "nothing while it was silenced: {first}"
    );
}

#[test]
fn a_question_of_the_agents_own_is_told() {
    let seat = seat();
    asks(&seat);
    let told = eventually("the command was started", || {
        told(&seat)
            .into_iter()
            .find(|line| line.starts_with("waiting|"))
    });
    assert!(told.contains("waits for you"), "{told}");
}

#[test]
fn what_an_agent_writes_is_told_once() {
    let seat = seat();
    let (world, id) = (&seat.world, &seat.id);
    let question = serde_json::json!({"question": "Which \u{1b}[31mone?", "timeout": 0});
    for _ in 0..2 {
        world.mcp(id, "ask_human", &question).unwrap();
    }
    let news = serde_json::json!({"receiver_id": "human", "message": "news"});
    world.mcp(id, "send_message", &news).unwrap();
    eventually("both were told", || (told(&seat).len() == 2).then_some(()));
    let told = told(&seat);
    assert!(
        told[0].starts_with("question|1|none|conductor|conductor "),
        "{told:?}"
    );
    assert!(told[0].ends_with("Which ⟨U+001B⟩[31mone?"), "{told:?}");
    assert!(told[1].starts_with("note|2|none|conductor|"), "{told:?}");
}

#[test]
fn windows_and_the_segment_show_it_as_the_user_likes() {
    let seat = seat();
    let (world, id) = (&seat.world, &seat.id);
    for format in ["window-status-format", "window-status-current-format"] {
        world.tmux([
            "set-option",
            "-g",
            format,
            "#I:#W#{E:@conductor_window_mark}",
        ]);
    }
    world.tmux(["set-option", "-g", "@conductor-error-sign", "E"]);
    world.tmux(["set-option", "-g", "@conductor-error-style", "fg=red,bold"]);
    world.tmux(["set-option", "-g", "@conductor-notify", "none"]);
    world.tmux(["switch-client", "-t", "work"]);
    world.send(id, "ERROR of the model");
    world.wait(id, "error");
    let line = eventually("the status line shows it", || {
        let line = seat.screen().lines().last()?.to_owned();
        line.contains(":conductor E").then_some(line)
    });
    assert!(
        line.contains(" E1"),
        "the segment has the same sign: {line}"
    );
    let coloured = seat.outer(&["capture-pane", "-p", "-e"]);
    let status = coloured.lines().last().unwrap_or_default();
    let (before, after) = status.split_once("E1").unwrap();
    assert!(
        before.contains("\u{1b}[31m") || before.contains(";31"),
        "{status:?}"
    );
    assert!(
        after.starts_with('\u{1b}'),
        "what follows has its own colours: {status:?}"
    );
    world.run(["plugin", "unload"]).ok();
    let left = world.tmux(["show-options", "-g"]);
    assert!(!left.contains("@conductor_"), "{left}");
}
