//! `provider list|show|check|setup`.

use super::{shell, type_in, world};
use crate::support::{World, eventually, quote, text};
use serde_json::{Value, json};
use std::fs;

const FIELDS: [&str; 13] = [
    "name",
    "aliases",
    "title",
    "program",
    "version",
    "verified",
    "proof",
    "gate",
    "channel",
    "resume",
    "setup",
    "tools",
    "allowed_tools",
];

fn keys(value: &Value) -> Vec<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

#[test]
fn the_list_names_every_provider_and_what_works_with_it() {
    let world = world();
    // One broken file hides no other.
    world.write("state/providers/broken.toml", "name = 1");
    let list = world.run(["provider", "list"]).json();
    let names: Vec<String> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|p| text(&p["name"]))
        .collect();
    for name in [
        "demo",
        "claude_code",
        "codex",
        "gemini",
        "opencode",
        "q_cli",
        "kiro_cli",
        "generic",
        "hand",
    ] {
        assert!(names.iter().any(|n| n == name), "{name} in {names:?}");
    }
    for provider in list.as_array().unwrap() {
        let mut fields = FIELDS.to_vec();
        fields.push("live");
        assert_eq!(keys(provider), fields);
        assert!(provider["verified"].is_array() && provider["aliases"].is_array());
        assert!(provider["live"].is_u64() && provider["proof"].is_boolean());
    }
    let table = world.run(["provider", "list"]).ok();
    assert!(
        table.contains("claude_code") && table.contains("INSTALLED"),
        "{table}"
    );
}

#[test]
fn one_is_shown_as_it_stands_in_the_list() {
    let world = world();
    let list = world.run(["provider", "list"]).json();
    let demo = world.run(["provider", "show", "demo"]).json();
    let listed = list
        .as_array()
        .unwrap()
        .iter()
        .find(|p| p["name"] == "demo");
    assert_eq!(listed, Some(&demo));
    assert_eq!(
        (
            &demo["proof"],
            &demo["gate"],
            &demo["resume"],
            &demo["live"]
        ),
        (&true.into(), &true.into(), &true.into(), &0.into())
    );
    assert_eq!(demo["version"], env!("CARGO_PKG_VERSION"));
    let hand = world.run(["provider", "show", "hand"]).json();
    assert_eq!(
        (
            &hand["proof"],
            &hand["gate"],
            &hand["resume"],
            &hand["setup"]
        ),
        (&false.into(), &false.into(), &false.into(), &"none".into())
    );
    assert_eq!(
        world.run(["provider", "show", "claude"]).json()["name"],
        "claude_code",
        "by an alias"
    );
    let generic = world.run(["provider", "show", "generic"]).json();
    assert_eq!(generic["program"], Value::Null);
    for command in ["show", "check"] {
        world.run(["provider", command, "nobody"]).fails(3);
    }
    world.run(["provider", "setup", "nobody"]).fails(3);
}

#[test]
fn a_live_agent_is_checked() {
    let world = World::new();
    let id = world.agent();
    let findings = world.run(["provider", "check", "demo"]).json();
    for finding in findings.as_array().unwrap() {
        assert_eq!(
            keys(finding),
            [
                "level", "what", "found", "why", "remedy", "fixable", "figures"
            ],
            "{finding}"
        );
        assert_eq!(finding["level"], "ok", "{finding}");
    }
    let what: Vec<String> = findings
        .as_array()
        .unwrap()
        .iter()
        .map(|f| text(&f["what"]))
        .collect();
    assert_eq!(what, ["program", "settings", "hooks", "gate", "mcp"]);
    // Its gate is broken now.
    let settings = world.at(&format!("state/run/{id}/settings.json"));
    let broken = fs::read_to_string(&settings)
        .unwrap()
        .replace(" || ", " ; true || ");
    fs::write(&settings, broken).unwrap();
    let told = world.run(["provider", "check", "demo"]).fails_quietly(1);
    assert!(told.contains("lets a call pass"), "{told}");
}

#[test]
fn a_program_that_is_not_installed_is_broken() {
    let world = world();
    let missing = super::HAND
        .replace("conductor-demo", "no-such-program")
        .replace("\"hand\"", "\"mine\"");
    world.write("state/providers/mine.toml", missing);
    let told = world
        .run(["provider", "check", "mine", "--json"])
        .fails_quietly(1);
    let findings: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(
        (&findings[0]["what"], &findings[0]["level"]),
        (&"program".into(), &"broken".into())
    );
}

#[test]
fn what_a_program_leaves_running_holds_nobody_up() {
    let world = world();
    let program = world.script(
        "bin/leaves",
        "[ \"$1\" = --version ] || exit 1\necho 'leaves 1.2.3'\nsleep 1000 &",
    );
    let mine = super::changed(
        super::HAND,
        &[
            ("name", "\"mine\""),
            ("program", &format!("\"{}\"", program.display())),
        ],
    );
    world.write("state/providers/mine.toml", mine);
    let shown = world.run(["provider", "show", "mine"]).json();
    assert_eq!(shown["version"], "leaves 1.2.3");
    for process in world.processes() {
        if process.command.contains("sleep 1000") {
            world.kill("-KILL", process.pid);
        }
    }
}

/// Its hooks stand in the arguments of its launch, not in a settings file of Claude Code's kind.
#[test]
fn the_gate_of_an_agent_with_hooks_of_another_kind_is_not_called_broken() {
    let world = World::new();
    world.run(["init"]).ok();
    let program = world.script(
        "bin/fake-codex",
        "echo '› Ask Codex to do anything'; exec sleep 1000",
    );
    let manifest = super::changed(
        include_str!("../../../agent_store/providers/codex.toml"),
        &[
            ("name", "\"fake\""),
            ("program", &format!("\"{}\"", program.display())),
        ],
    );
    world.write("state/providers/fake.toml", manifest);
    let session = world.run(["launch", "-p", "fake"]).json();
    world.wait(&text(&session["terminals"][0]["id"]), "idle");
    let told = world.run(["provider", "check", "fake", "--json"]).done();
    let findings: Value = serde_json::from_str(&told.stdout).unwrap();
    let gate = findings
        .as_array()
        .unwrap()
        .iter()
        .find(|f| f["what"] == "gate");
    assert_ne!(gate.unwrap()["level"], "broken", "{told:?}");
    world.run(["shutdown", "--all", "--force"]).ok();
}

const SETTINGS: &str = "{\n    \"model\": \"opus\",\n    \"hooks\": {\"Stop\": []}\n}";

#[test]
fn settings_are_written_after_a_look_and_taken_out_again() {
    let world = World::without_tmux_server();
    let file = world.write("user/.claude/settings.json", SETTINGS);
    let servers = world.at("user/.claude.json");
    let setup =
        |more: &[&str]| world.run([&["provider", "setup", "claude_code"][..], more].concat());
    let look = setup(&["--dry-run"]).json();
    assert_eq!(keys(&look), ["provider", "written", "undone", "files"]);
    assert_eq!(
        (&look["written"], &look["undone"]),
        (&false.into(), &false.into())
    );
    let files = look["files"].as_array().unwrap();
    assert_eq!(
        files.iter().map(|f| text(&f["change"])).collect::<Vec<_>>(),
        ["changed", "created"]
    );
    assert!(
        text(&files[0]["diff"]).contains("+    \"permissions\""),
        "{look}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), SETTINGS);
    assert!(
        !servers.exists() && !world.home().exists(),
        "nothing was written"
    );
    let shown = setup(&["--dry-run"]).ok();
    assert!(
        shown.contains("nothing was changed") && shown.contains("+++ "),
        "{shown}"
    );
    let done = setup(&["--yes"]).json();
    assert_eq!(
        (&done["written"], &done["files"]),
        (&true.into(), &look["files"])
    );
    assert!(
        fs::read_to_string(&file)
            .unwrap()
            .contains("hook claude_code Stop")
    );
    assert!(
        fs::read_to_string(&servers)
            .unwrap()
            .contains("\"conductor\"")
    );
    let view = world.run(["provider", "show", "claude_code"]).json();
    assert_eq!(view["setup"], "done");
    let again = setup(&[]).json();
    assert_eq!(again["files"], json!([]));
    let back = setup(&["--undo"]).json();
    assert_eq!(
        (&back["written"], &back["undone"]),
        (&true.into(), &true.into())
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), SETTINGS);
    assert!(!servers.exists());
    assert_eq!(setup(&["--undo"]).json()["files"], json!([]));
    world.run(["provider", "setup", "demo"]).fails(4);
    world.run(["provider", "setup", "generic"]).fails(4);
}

#[test]
fn a_person_is_asked_before_anything_is_written() {
    let world = World::new();
    let file = world.write("user/.claude/settings.json", SETTINGS);
    let pane = shell(&world);
    let ask = |answer: &str| {
        let code = world.at("code");
        let _ = fs::remove_file(&code);
        let command = format!(
            "clear; CONDUCTOR_HOME={} {} provider setup claude_code; echo $? >{}",
            quote(&world.home().to_string_lossy()),
            quote(crate::support::BINARY),
            quote(&code.to_string_lossy()),
        );
        type_in(&world, &pane, &command);
        super::shows(&world, &pane, "Write this? [y/N]");
        type_in(&world, &pane, answer);
        eventually("it is over", || {
            let text = fs::read_to_string(&code).ok()?;
            text.ends_with('\n').then(|| text.trim().to_owned())
        })
    };
    assert_eq!(ask("n"), "4");
    assert_eq!(fs::read_to_string(&file).unwrap(), SETTINGS);
    assert_eq!(ask("y"), "0");
    assert_ne!(fs::read_to_string(&file).unwrap(), SETTINGS);
}

#[test]
fn no_agent_changes_the_settings_of_an_agent() {
    let world = World::new();
    let id = world.agent();
    let file = world.write("user/.claude/settings.json", SETTINGS);
    for more in [&["--yes"][..], &["--undo", "--yes"]] {
        let arguments = [&["provider", "setup", "claude_code"][..], more].concat();
        let told = world.run_in(&id, &arguments).fails(4);
        assert!(told.contains("only a person"), "{told}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), SETTINGS);
    assert!(!world.at("user/.claude.json").exists());
    let look = world.run_in(&id, &["provider", "setup", "claude_code", "--dry-run"]);
    assert!(look.ok().contains("nothing was changed"));
}

/// Hooks in the user's settings run in every session of the agent, also in those that a launch has given hooks of its own.
#[test]
fn hooks_of_the_settings_leave_an_agent_with_its_own_alone() {
    let world = World::new();
    let id = world.agent();
    let payload = json!({"session_id": "other", "hook_event_name": "Stop", "stop_hook_active": false,
        "last_assistant_message": "not an answer", "background_tasks": []});
    let file = world.write("payload.json", payload.to_string());
    let flag = world.at("go");
    let script = format!(
        "while [ ! -e {flag} ]; do sleep 0.05; done\n\
         for setup in 1 ''; do\n\
         CONDUCTOR_SETUP=$setup \"$CONDUCTOR_HOOK\" hook demo Stop <{file} >{out}$setup 2>&1 || echo failed >>{out}$setup\n\
         \"$CONDUCTOR_HOOK\" status {id} --json >{out}-status$setup\n\
         done",
        flag = flag.display(),
        file = file.display(),
        out = world.at("out").display(),
    );
    let script = world.write("script", script);
    let run = format!("RUN sh {}", script.display());
    world.run(["send", &id, "--wait", "20", "-m", &run]).ok();
    world.approve_next(&id);
    eventually("it works", || {
        (world.status(&id)["status"] == "working").then_some(())
    });
    let before = world.status(&id);
    // What the agent's own hook would hand over.
    let waiting = world.send(&id, "SAY later");
    fs::write(&flag, "").unwrap();
    let read = |name: &str| {
        eventually(name, || {
            let text = fs::read_to_string(world.at(name)).ok();
            text.filter(|text| name == "out1" || !text.is_empty())
        })
    };
    let after: Value = serde_json::from_str(&read("out-status1")).unwrap();
    assert_eq!(read("out1"), "", "it says nothing");
    for field in ["status", "status_reason", "agent_session"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    // The same without the mark is one of its own.
    assert!(read("out").contains("SAY later"));
    world.message_becomes(&text(&waiting["id"]), "submitted");
}
