//! Texts of every size reach the model whole, once, and no shell.

use crate::world::{Agent, Trust, World};
use serde_json::Value;

const NASTY: &str = "it's \"quoted\" 'single' $(touch pwned) `touch pwned` ${HOME} #{pane_id} #(touch pwned) %1 \\n ; && | 🚀 é 漢字 end";

/// Lines of everything that could go wrong on the way, with an ESC, until there are `bytes` of them.
fn lines(bytes: usize) -> String {
    let mut text = String::new();
    for number in 0.. {
        text.push_str(&format!("{number}: {NASTY}\ttab \u{1b}[31mred\u{1b}[0m\n"));
        if text.len() >= bytes {
            return text;
        }
    }
    text
}

fn visible(text: &str) -> String {
    text.replace('\u{1b}', "⟨U+001B⟩")
}

fn nothing_ran(world: &World) {
    let made: Vec<_> = std::fs::read_dir(world.work()).unwrap().collect();
    assert!(made.is_empty(), "{made:?}");
}

fn delivered(world: &World, agent: &Agent<'_>, text: &str, transport: &str, answer: &str) {
    let id = agent.send(text);
    let message = world.wait_message(&id, "submitted", 40);
    assert_eq!(message["transport"], transport, "{message}");
    assert_eq!(message["tries"].as_array().unwrap().len(), 1, "{message}");
    world.until(&format!("the answer {answer:?}"), 30, || {
        let output = world.conductor(&["output", &agent.id]).output.stdout;
        (String::from_utf8_lossy(&output).trim() == answer).then_some(())
    });
    agent.wait_event("idle", 10);
}

/// The bodies that `read_inbox` gave in this request.
fn read(body: &Value) -> String {
    let mut text = String::new();
    for message in body["messages"].as_array().unwrap() {
        for block in message["content"].as_array().into_iter().flatten() {
            if block["type"] != "tool_result" {
                continue;
            }
            let result = block["content"]
                .as_str()
                .or_else(|| block["content"][0]["text"].as_str())
                .unwrap_or_default();
            let Ok(page) = serde_json::from_str::<Value>(result) else {
                continue;
            };
            for message in page["messages"].as_array().into_iter().flatten() {
                text.push_str(message["body"].as_str().unwrap());
            }
        }
    }
    text
}

#[test]
fn texts_of_every_size_arrive_whole() {
    let Some(world) = World::new(Trust::Given) else {
        return;
    };
    let boss = world.launch("conductor");
    boss.wait_event("idle", 30);

    delivered(&world, &boss, &format!("SAY: {NASTY}"), "paste", NASTY);

    let five = format!("{}SAY: five read", lines(5_000));
    delivered(&world, &boss, &five, "prompt_hook", "five read");
    let heard = world.heard().pop().unwrap();
    assert!(heard.contains(&visible(&five)), "{heard}");

    let sixty: String = (1..60).map(|line| format!("line {line} of 60\n")).collect();
    let sixty = format!("{sixty}SAY: sixty read");
    delivered(&world, &boss, &sixty, "prompt_hook", "sixty read");
    let heard = world.heard().pop().unwrap();
    assert!(heard.contains(&format!("\n{sixty}\n")), "{heard}");

    let long = format!("{}SAY: all of it read", lines(300_000));
    delivered(&world, &boss, &long, "mcp_read", "all of it read");
    let body = world.bodies().pop().unwrap();
    assert_eq!(read(&body), visible(&long));
    nothing_ran(&world);
}

#[test]
fn messages_sent_right_after_the_launch_arrive_once() {
    let Some(world) = World::new(Trust::Given) else {
        return;
    };
    let session = world.json(&["launch", "-p", "claude_code", "--prompt", "SAY: one"]);
    let boss = world.agent(&session["terminals"][0]);
    assert_eq!(boss.status(), "starting");
    let two = boss.send("SAY: two");
    let three = boss.send("line one\nSAY: three\nline three");
    assert_eq!(world.message(&two)["status"], "queued");
    assert_eq!(boss.explain()["queue"][0]["reason"], "STARTING");
    for id in [two.as_str(), three.as_str()] {
        let message = world.wait_message(id, "submitted", 40);
        assert_eq!(message["tries"].as_array().unwrap().len(), 1, "{message}");
    }
    boss.wait_event("idle", 20);
    let answers: Vec<String> = world
        .requests()
        .iter()
        .filter_map(|request| request["answer"]["text"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(answers, ["one", "two", "three"]);
}
