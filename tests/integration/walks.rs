//! Walks of a person through every view, with snapshots; and the pictures of them in the documentation.

use crate::hostile::{HOSTILE, nothing_ran};
use crate::support::{World, eventually, text};
use crate::walk::{Own, Walk};
use serde_json::json;
use std::fs;

/// What is on the person's own window.
const GROUND: &str = "\
$ git log --oneline -6
9b2e4d1 (HEAD -> checkout) Add the checkout page
c07f3aa Keep the cart in the session
51d88e0 Round prices once
e6a0c94 Ask for the address before the payment
2f7b615 Show what is in the cart
80c1d3e (origin/main) Start the shop
$ ";

const FLOW: &str = "\
---
name: nightly
schedule: \"30 2 * * 1-5\"
timezone: UTC
agent_profile: tester
provider: demo
---
Run all tests.
";

/// In tmux 3.2 no popup covers the whole client, and a menu with dim entries is a column wider.
const OWN: Own = &[(
    "3.2",
    &[
        "spawn_provider_110x34",
        "spawn_provider_80x24",
        "agent_answer_80x24",
        "inbox_80x24",
        "inbox_note_80x24",
        "inbox_reply_80x24",
        "flows_80x24",
        "approvals_80x24",
        "approval_80x24",
        "approvals_40x12",
    ],
)];

/// A team at work: who asks for leave, who works, who has a question, who has failed.
fn team(size: (u16, u16)) -> Walk {
    let world = World::new();
    world.run(["init"]).ok();
    world.write(
        "state/policy.toml",
        "version = 1\n[defaults]\npresence = \"challenge\"\n",
    );
    for program in ["claude", "codex", "gemini", "opencode"] {
        world.script(&format!("bin/{program}"), "exit 0");
    }
    world.script(
        "bin/git",
        "echo 'To shop.example:storefront'; echo '   80c1d3e..9b2e4d1  main -> main'",
    );
    for (name, value) in [
        ("escape-time", "0"),
        ("display-time", "0"),
        ("status-right", " "),
        ("@conductor-notify", "none"),
        ("pane-border-format", "#W#{E:@conductor_pane_mark}"),
        ("window-status-format", "#I:#W#{E:@conductor_window_mark}"),
        (
            "window-status-current-format",
            "#I:#W#{E:@conductor_window_mark}*",
        ),
    ] {
        world.tmux(["set-option", "-g", name, value]);
    }
    world.run(["plugin", "load"]).ok();
    let flow = world.write("nightly.md", FLOW);
    world.run(["flow", "add", &flow.to_string_lossy()]).ok();
    let mut walk = Walk::new(
        world,
        &["developer", "tester", "reviewer"],
        GROUND,
        size,
        OWN,
    );
    let world = walk.world();
    let developer = walk.id("developer");
    walk.types_to("tester", "SLEEP 3600");
    world.wait(walk.id("tester"), "working");
    walk.types_to("reviewer", "ERROR the model is overloaded");
    world.wait(walk.id("reviewer"), "error");
    walk.turn_of(
        "developer",
        "SAY The checkout is ready: 14 files, all tests pass.",
    );
    walk.types_to("developer", "RUN git push origin main");
    world.asked(developer);
    let calls = [
        (
            "send_message",
            json!({"receiver_id": developer, "message": "Round the total once, at the end."}),
        ),
        (
            "send_message",
            json!({"receiver_id": developer, "message": "Refuse to pay an empty cart."}),
        ),
        (
            "ask_human",
            json!({
                "question": "The old payment API has two callers left. Shall I remove it?",
                "options": ["Remove it now", "After the release"],
                "timeout": 0
            }),
        ),
    ];
    for (tool, arguments) in calls {
        walk.turn_of("conductor", &format!("MCP {tool} {arguments}"));
    }
    walk.turn_of(
        "conductor",
        "SAY The push waits for you, and so does my question.",
    );
    walk.begin();
    walk
}

/// The menus and popups that need nothing but a key.
fn menus(walk: &Walk) {
    walk.snap("nothing");
    walk.opens("?", "Agent Conductor");
    walk.snap("help");
    walk.leaves();
    walk.opens("s", "Spawn an agent");
    walk.snap("spawn");
    walk.then("b", "on what?");
    walk.snap("spawn_provider");
    walk.then("a", "where?");
    walk.snap("spawn_where");
    walk.leaves();
    walk.opens("l", "Agents");
    walk.snap("agents");
    walk.picture("agents", "A menu of the agents: one waits for an answer, one asks for approval, one works, one has failed.");
    walk.then("b", "Write to it");
    walk.snap("agent");
    walk.then("x", "(y/n)");
    walk.snap("agent_end");
    walk.leaves();
    walk.opens("l", "Agents");
    walk.then("b", "Write to it");
    walk.then("r", "q leave");
    walk.snap("agent_answer");
    walk.leaves();
    walk.opens("m", "Message an agent");
    walk.snap("message");
    walk.then("b", "Message for");
    walk.snap("message_prompt");
    walk.leaves();
    walk.opens("m", "Message an agent");
    walk.then("1", "Answer in words");
    walk.snap("note");
    walk.then("w", "Answer to note 1:");
    walk.snap("note_prompt");
    walk.leaves();
    walk.opens("i", "inbox:");
    walk.snap("inbox");
    walk.listens();
    walk.then("Enter", "1-9 choose");
    walk.snap("inbox_note");
    walk.then("r", "Enter sends");
    walk.seat
        .press(&["-l", "After the release, and tell the two callers now."]);
    walk.seat.shows("callers now.");
    walk.snap("inbox_reply");
    walk.picture("inbox", "The inbox popup: a question of an agent with the answers that it offers, and a box with an answer in words.");
    walk.leaves();
    walk.opens("u", "no agent is in this pane");
    walk.snap("seen_none");
    walk.leaves();
    walk.opens("b", "there is nowhere to go back to");
    walk.snap("back_none");
    walk.leaves();
    walk.opens("f", "(END)");
    walk.snap("flows");
    walk.leaves();
    walk.opens("K", "Stop all agents");
    walk.snap("stop");
    walk.leaves();
}

fn approvals(walk: &Walk) {
    walk.opens("A", "1 approval waits for you");
    walk.snap("approvals");
    walk.listens();
    walk.then("Enter", "to approve");
    walk.snap("approval");
    walk.picture(
        "approval",
        "The approval popup with a git push of the developer, and the code that a yes takes.",
    );
    walk.leaves();
}

/// The window of the agent that waits, with its marks.
fn the_next_agent(walk: &Walk) {
    let world = walk.world();
    world.tmux(["set-option", "-g", "pane-border-status", "top"]);
    walk.opens("n", "asks for approval");
    walk.snap("next_agent");
    world.tmux(["set-option", "-g", "pane-border-status", "off"]);
    walk.opens("b", "git log");
    walk.leaves();
}

/// A yes, a no, and what is said when there is nothing to do.
fn decisions(walk: &Walk) {
    let world = walk.world();
    let developer = walk.id("developer");
    walk.opens("a", "to approve");
    let right = walk.seat.code();
    let other = |letter: &str| if letter == "a" { "c" } else { "a" };
    walk.listens();
    walk.seat.press(&[other(&right[0])]);
    walk.then(other(&right[1]), "that was not the code");
    walk.snap("approval_wrong_code");
    let [one, two] = walk.seat.code();
    walk.seat.press(&[&one]);
    walk.seat.press(&[&two]);
    walk.seat.becomes(&"1".into(), "consumed");
    world.wait(developer, "idle");
    world.message_becomes("2", "submitted");
    world.wait(developer, "idle");
    walk.shows_no("⏳");
    walk.leaves();
    walk.snap("approved");
    walk.opens("A", "nothing waits for your approval");
    walk.snap("approvals_none");
    walk.leaves();

    world.tmux(["set-option", "-g", "@conductor-notify", "display"]);
    walk.types_to("developer", "RUN npm publish");
    walk.seat.shows("waits for you");
    walk.snap("notice");
    world.tmux(["set-option", "-g", "@conductor-notify", "none"]);
    walk.leaves();
    walk.opens("d", "1 approval");
    walk.listens();
    walk.then("n", "asks      approval 2");
    walk.then("x", "deny approval 2");
    walk.seat
        .press(&["-l", "Publish after the release notes are written."]);
    walk.seat.shows("are written.");
    walk.snap("dashboard_deny");
    walk.then("Enter", "is denied");
    world.wait(developer, "idle");
    walk.age();
    walk.seat.shows("idle 7m");
    walk.snap("dashboard_denied");
    walk.leaves();

    walk.opens("m", "Message an agent");
    walk.then("b", "Message for");
    walk.then("Enter", "nothing was typed");
    walk.snap("message_nothing");
    walk.leaves();
    walk.opens("K", "Stop all agents");
    walk.seat.press(&["y"]);
    eventually("all have ended", || {
        let list = world.run(["sessions"]).json();
        list.as_array().is_some_and(Vec::is_empty).then_some(())
    });
    for sign in ["⚠", "✎", "⏳"] {
        walk.shows_no(sign);
    }
    walk.leaves();
    walk.snap("stopped");
    walk.opens("n", "no agent waits");
    walk.snap("next_agent_none");
    walk.leaves();
    walk.opens("m", "no agent is there");
    walk.snap("message_no_agent");
    walk.leaves();
    walk.opens("d", "0 agents");
    walk.snap("dashboard_nobody");
    walk.listens();
    walk.then("e", "exited");
    walk.snap("dashboard_ended");
    walk.leaves();
}

fn dashboard(walk: &Walk) {
    walk.opens("d", "4 agents");
    walk.snap("dashboard");
    walk.listens();
    walk.then("n", "asks      approval 1");
    walk.snap("dashboard_waiting");
    walk.picture(
        "dashboard",
        "The dashboard: four agents at the left; at the right the developer, who asks for leave to push, its queue and its screen.",
    );
    walk.then("?", "any key goes back");
    walk.snap("dashboard_help");
    walk.then("Escape", "Enter go there");
    walk.then("/", "show agents with this text");
    walk.then("t", "> t");
    walk.snap("dashboard_filter");
    walk.then("Escape", "Enter go there");
    walk.then("m", "Alt-Enter");
    walk.then("x", "> x");
    walk.snap("dashboard_message");
    walk.then("Escape", "nothing was sent");
    walk.then("c", "y ends it");
    walk.snap("dashboard_close");
    walk.then("Escape", "nothing was ended");
    walk.leaves();
}

#[test]
fn a_usual_terminal() {
    let walk = team((110, 34));
    menus(&walk);
    approvals(&walk);
    dashboard(&walk);
    the_next_agent(&walk);
    decisions(&walk);
}

#[test]
fn a_small_terminal() {
    let mut walk = team((80, 24));
    menus(&walk);
    approvals(&walk);
    dashboard(&walk);
    the_next_agent(&walk);
    walk.resize((40, 12));
    walk.opens("m", "Message an agent");
    walk.snap("message");
    walk.leaves();
    walk.opens("A", "1 approval");
    walk.snap("approvals");
    walk.leaves();
    walk.opens("d", "4 agents");
    walk.snap("dashboard");
    walk.listens();
    walk.then("Tab", "believed");
    walk.snap("dashboard_details");
    walk.leaves();
}

/// `text` without what tmux 3.7 takes in no name.
fn plain(text: &str) -> String {
    text.replace(char::is_control, "")
}

/// A team whose names, directories, words and requests are all hostile.
fn hostile_team() -> Walk {
    let world = World::new();
    world.run(["init"]).ok();
    world.write(
        "state/policy.toml",
        "version = 1\n[defaults]\npresence = \"challenge\"\n",
    );
    for (at, text) in HOSTILE.iter().enumerate() {
        world.write(
            &format!("state/agent-context/odd_{at}.md"),
            format!(
                "---\nname: odd_{at}\ndescription: {}\n---\nBe odd.\n",
                json!(text)
            ),
        );
    }
    for (name, value) in [
        ("escape-time", "0"),
        ("display-time", "0"),
        ("@conductor-notify", "none"),
        ("window-status-format", "#I:#W#{E:@conductor_window_mark}"),
        ("pane-border-format", "#W#{E:@conductor_pane_mark}"),
        ("pane-border-status", "top"),
    ] {
        world.tmux(["set-option", "-g", name, value]);
    }
    world.run(["plugin", "load"]).ok();
    let mut walk = Walk::new(world, &["developer"], GROUND, (80, 24), OWN);
    let world = walk.world();
    let place = plain(&HOSTILE.concat()).replace('/', "");
    let place = world.at(&place.chars().take(80).collect::<String>());
    fs::create_dir(&place).unwrap();
    let flow = place.join("nightly.md");
    fs::write(&flow, FLOW).unwrap();
    world.run(["flow", "add", &flow.to_string_lossy()]).ok();
    let tester = [
        "worker",
        "shop",
        "-p",
        "demo",
        "--profile",
        "tester",
        "--cwd",
    ];
    let mut tester: Vec<&str> = tester.to_vec();
    let shown = place.to_string_lossy();
    tester.push(&shown);
    let third = text(&world.run(tester).json()["id"]);
    world.wait(&third, "idle");
    let (supervisor, developer) = (walk.id("conductor"), walk.id("developer"));
    for part in HOSTILE.chunks(3) {
        let words = part.join(" ");
        world.ask(
            supervisor,
            &format!(
                "MCP ask_human {}",
                json!({"question": words, "options": part, "timeout": 0})
            ),
        );
        let asked = json!({"command_text": part.join("\n"), "reason": words, "timeout": 0});
        world.ask(supervisor, &format!("MCP request_approval {asked}"));
    }
    world.send(
        &third,
        &format!("SAY {}", HOSTILE.join(" ").replace('\n', " ")),
    );
    world.wait(&third, "idle");
    world.send(developer, "SLEEP 3600");
    world.wait(developer, "working");
    for text in HOSTILE {
        world.send(developer, text);
    }
    let panes = world.tmux(["list-panes", "-a", "-F", "#{pane_id}"]);
    for (pane, part) in panes.lines().zip(HOSTILE.chunks(4)) {
        // tmux itself expands what it is given as a name.
        let name = plain(&part.concat()).replace('#', "##");
        world.tmux(["rename-window", "-t", pane, "--", &name]);
        world.tmux(["select-pane", "-t", pane, "-T", &name]);
    }
    let name = HOSTILE[..3].concat().replace('#', "##");
    world.tmux(["rename-session", "-t", "shop", "--", &name]);
    // A look at the server takes the new names over.
    world.run(["sessions"]).ok();
    walk.begin();
    walk
}

#[test]
fn hostile_names_and_words_stay_text_in_every_view() {
    let walk = hostile_team();
    let world = walk.world();
    let views: [(&str, &[(&str, &str)]); 13] = [
        ("?", &[("Agent Conductor", "")]),
        (
            "s",
            &[
                ("Spawn an agent", "."),
                ("Spawn an agent", "c"),
                ("on what?", "a"),
                ("where?", ""),
            ],
        ),
        ("l", &[("Agents", "b"), ("Write to it", "x"), ("(y/n)", "")]),
        (
            "l",
            &[
                ("Agents", "c"),
                ("Write to it", "r"),
                ("the last answer of", ""),
            ],
        ),
        (
            "l",
            &[("Agents", "a"), ("Write to it", "o"), ("q leave", "")],
        ),
        (
            "m",
            &[
                ("Message an agent", "1"),
                ("Answer in words", "w"),
                ("Answer to note", ""),
            ],
        ),
        ("m", &[("Message an agent", "a"), ("Message for", "")]),
        (
            "i",
            &[
                ("inbox:", "Enter"),
                ("1-9 choose", "r"),
                ("Enter sends", ""),
            ],
        ),
        (
            "i",
            &[("inbox:", "G"), ("q leave", "Enter"), ("space read on", "")],
        ),
        (
            "A",
            &[
                ("approvals wait for you", "Enter"),
                ("asked by", "End"),
                ("to approve", "d"),
                ("a word for the agent", ""),
            ],
        ),
        (
            "d",
            &[
                ("3 agents", "j"),
                ("its screen", "j"),
                ("its screen", "c"),
                ("y ends it", "Escape"),
                ("nothing was ended", "m"),
                ("Alt-Enter", ""),
            ],
        ),
        ("f", &[("(END)", "")]),
        ("K", &[("Stop all agents", "")]),
    ];
    for (key, steps) in views {
        let mut next = key;
        for (at, (shown, then)) in steps.iter().enumerate() {
            if at == 0 {
                walk.opens(next, shown);
                walk.listens();
            } else {
                walk.then(next, shown);
            }
            walk.is_calm();
            next = then;
        }
        walk.leaves();
        nothing_ran(world);
    }
    walk.opens("n", "asks for approval");
    walk.is_calm();
    walk.opens("b", "git log");
    walk.leaves();
    // Nothing is taken away from the words, and nothing is added.
    walk.opens("s", "Spawn an agent");
    for text in [HOSTILE[3], HOSTILE[4], HOSTILE[6]] {
        walk.seat.shows(&format!(": {text}   "));
    }
    walk.leaves();
    let dead = world.tmux(["list-panes", "-a", "-F", "#{pane_dead}"]);
    assert!(!dead.contains('1'), "{dead}");
}
