//! `policy check` and `policy show` from the outside.

use crate::support::{World, text};
use std::fs;

fn exit_of(world: &World, words: &[&str]) -> i32 {
    let mut arguments = vec!["policy", "check", "--"];
    arguments.extend(words);
    world.run(arguments).done().code
}

#[test]
fn the_exit_code_is_the_decision() {
    let world = World::without_tmux_server();
    for (words, code) in [
        (&["echo hi && pwd"][..], 0),
        (&["echo", "hi; rm -rf x", "$y"], 0),
        (&["echo hi; rm -rf x"], 10),
        (&["rm", "-rf", "x"], 10),
        (&["echo $x"], 10),
        (&["frobnicate"], 11),
        (&["tmux send-keys y"], 4),
        (&["conductor-hook approve 1"], 4),
    ] {
        assert_eq!(exit_of(&world, words), code, "{words:?}");
    }
    world.run(["policy", "check"]).fails(2);
    world
        .run(["policy", "check", "--cwd", "/nowhere", "--", "ls"])
        .fails(3);
    world
        .run(["policy", "check", "-p", "nobody", "--", "ls"])
        .fails(3);
    assert!(!world.home().exists(), "looking makes no state");
}

#[test]
fn a_ruling_says_what_decided_and_what_was_not_understood() {
    let world = World::without_tmux_server();
    let run = world
        .run([
            "policy",
            "check",
            "--json",
            "--",
            "timeout 5 rm -rf build \u{1b}$X",
        ])
        .done();
    assert_eq!(run.code, 10);
    let ruling: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(ruling["decision"], "ask");
    assert_eq!(ruling["rule"], "recursive-delete");
    assert_eq!(ruling["risk"], "high");
    assert_eq!(ruling["presence"], "challenge");
    assert_eq!(ruling["complete"], false);
    assert!(ruling["unclear"].to_string().contains("U+001B"));
    let run = world
        .run(["policy", "check", "--", "rm -rf \u{1b}[2J"])
        .done();
    assert!(
        run.stdout.starts_with("ask       rule recursive-delete ("),
        "{}",
        run.stdout
    );
    assert!(!run.stdout.contains('\u{1b}'));
}

#[test]
fn other_tools_are_judged_by_what_they_touch() {
    let world = World::without_tmux_server();
    let code = |tool: &str, word: &str| {
        world
            .run(["policy", "check", "--tool", tool, "--", word])
            .done()
            .code
    };
    assert_eq!(code("Write", "src/x.rs"), 11);
    assert_eq!(code("Edit", ".git/config"), 10);
    assert_eq!(
        code("Write", &world.home().join("policy.toml").to_string_lossy()),
        4
    );
    assert_eq!(code("mcp__conductor__send_message", "x"), 0);
    assert_eq!(code("mcp__other__x", "x"), 11);
}

#[test]
fn a_users_rules_add_and_a_mistake_leaves_the_last_good_ones() {
    let world = World::without_tmux_server();
    world.run(["init"]).ok();
    let path = world.home().join("policy.toml");
    let rule = "version = 1\n[[rule]]\nid = \"mine\"\ndecision = \"allow\"\nargv = [\"frobnicate\", \"...\"]\n";
    fs::write(&path, rule).unwrap();
    assert_eq!(exit_of(&world, &["frobnicate now"]), 0);
    fs::write(&path, format!("{rule}colour = 1\n")).unwrap();
    assert_eq!(exit_of(&world, &["frobnicate now"]), 0);
    let shown = world.run(["policy", "show"]).json();
    assert_eq!(shown["layers"][1]["name"], "last good");
    assert!(
        text(&shown["warnings"][0]).contains("line 6: unknown field `colour`"),
        "{}",
        shown["warnings"]
    );
    let ids: Vec<String> = shown["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| text(&rule["id"]))
        .collect();
    assert!(ids.contains(&"mine".to_owned()) && ids.contains(&"git-look".to_owned()));
    assert!(
        world
            .run(["policy", "show"])
            .ok()
            .contains("the last good copy stays in force")
    );
}

#[test]
fn a_project_tightens_at_once_and_allows_after_trust() {
    let world = World::without_tmux_server();
    world.run(["init"]).ok();
    world.write(
        "project/.conductor/policy.toml",
        "version = 1\n[[rule]]\nid = \"no\"\ndecision = \"deny\"\nprogram = \"ls\"\n[[rule]]\nid = \"yes\"\ndecision = \"allow\"\nargv = [\"frobnicate\"]\n",
    );
    assert_eq!(exit_of(&world, &["ls"]), 4);
    assert_eq!(exit_of(&world, &["frobnicate"]), 11);
    let run = world.run(["policy", "check", "--", "frobnicate"]).done();
    assert!(
        run.stdout.contains("rule yes does not count before"),
        "{}",
        run.stdout
    );
}
