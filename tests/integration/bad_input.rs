//! What is wrong gets the contract's exit code and one clear line, and changes nothing.

use crate::support::{Run, World, text};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;

/// Demands that a run fails with `code` and leaves no session, terminal or message behind.
#[track_caller]
fn refused(world: &World, arguments: &[&str], code: i32) -> String {
    let panes = world
        .try_tmux(["list-panes", "-a", "-F", "#{pane_id}"])
        .stdout;
    let error = world.run(arguments).fails(code);
    assert!(error.starts_with("conductor-hook: "), "{error}");
    for line in error.lines().skip(1) {
        assert!(line.starts_with("  hint: "), "{error}");
    }
    assert_eq!(
        world
            .try_tmux(["list-panes", "-a", "-F", "#{pane_id}"])
            .stdout,
        panes,
        "{arguments:?}"
    );
    assert_eq!(
        world.run(["sessions", "--all"]).json(),
        json!([]),
        "{arguments:?}"
    );
    error
}

#[test]
fn unknown_names_are_not_found() {
    let world = World::new();
    for (arguments, name) in [
        (&["launch", "-p", "warp"][..], "warp"),
        (&["launch", "-p", "demo", "--profile", "nobody"], "nobody"),
        (
            &["launch", "-p", "demo", "--with-worker", "nobody"],
            "nobody",
        ),
        (
            &["launch", "-p", "demo", "--cwd", "/nowhere/at/all"],
            "/nowhere/at/all",
        ),
        (&["worker", "home", "-p", "warp"], "warp"),
        (&["worker", "nowhere", "-p", "demo"], "nowhere"),
        (&["profile", "show", "nobody"], "nobody"),
    ] {
        let error = refused(&world, arguments, 3);
        assert!(error.contains(name), "{arguments:?}: {error}");
    }
}

#[test]
fn names_with_a_path_in_them_go_nowhere() {
    let world = World::new();
    world.write(
        "outside.md",
        "---\nname: outside\ndescription: x\n---\nbody\n",
    );
    for arguments in [
        &["launch", "-p", "demo", "--session", "../x"][..],
        &["launch", "-p", "demo", "--session", "a:b"],
        &["launch", "-p", "demo", "--session", "a.b"],
        &["launch", "-p", "demo", "--session", ""],
        &["launch", "-p", "demo", "--session", "-x"],
        &["launch", "-p", "demo", "--profile", "../outside"],
        &["launch", "-p", "demo", "--profile", "../../outside.md"],
        &["launch", "-p", "../demo"],
        &["launch", "-p", "/bin/sh"],
        &["worker", "../home", "-p", "demo"],
        &["profile", "show", "../outside"],
        &["profile", "path", "../outside"],
        &["profile", "create", "../outside2"],
        &["profile", "edit", "../outside"],
        &["install", "../outside", "--name", "x/../../y"],
    ] {
        let done = world.run(arguments).done();
        assert!([2, 3].contains(&done.code), "{arguments:?}: {done:?}");
    }
    assert_eq!(world.run(["sessions", "--all"]).json(), json!([]));
    assert_eq!(
        world.tmux(["list-sessions", "-F", "#{session_name}"]),
        "home"
    );
    assert!(!world.at("outside2.md").exists() && !world.at("state/outside2.md").exists());
}

#[test]
fn variables_that_change_what_runs_are_refused() {
    let world = World::new();
    for variable in [
        "LD_PRELOAD=/x.so",
        "CONDUCTOR_TERMINAL_ID=deadbeef",
        "TMUX=x",
        "CONDUCTOR_HOME=/x",
    ] {
        refused(&world, &["launch", "-p", "demo", "--env", variable], 4);
    }
    refused(&world, &["launch", "-p", "demo", "--env", "novalue"], 2);
    refused(&world, &["launch", "-p", "demo", "--env", "1X=y"], 2);
}

#[test]
fn without_tmux_nothing_starts() {
    let world = World::without_tmux_server();
    let empty = world.at("nothing");
    fs::create_dir(&empty).unwrap();
    let error = world
        .run(["launch", "-p", "demo"])
        .env("PATH", &empty)
        .fails(6);
    assert!(error.contains("tmux"), "{error}");
    assert_eq!(
        world.run(["sessions", "--all"]).env("PATH", &empty).json(),
        json!([]),
        "reading needs no tmux"
    );
}

#[test]
fn an_old_tmux_is_refused_by_name() {
    for version in ["tmux 3.1c", "tmux 2.9a"] {
        let world = World::without_tmux_server();
        world.script(
            "old/tmux",
            &format!("[ \"$1\" = -V ] && echo '{version}' || exit 1"),
        );
        let error = world
            .run(["launch", "-p", "demo"])
            .env("PATH", world.at("old"))
            .fails(6);
        assert!(
            error.contains("3.2") && error.contains(&version[5..]),
            "{error}"
        );
        assert_eq!(world.run(["sessions", "--all"]).json(), json!([]));
    }
}

#[test]
fn a_home_that_cannot_be_used_is_said() {
    let world = World::new();
    let file = world.write("file", "precious");
    for home in [
        file.clone(),
        file.join("below"),
        "/proc/conductor".into(),
        "relative".into(),
    ] {
        for arguments in [&["init"][..], &["launch", "-p", "demo"]] {
            let error = world.run(arguments).env("CONDUCTOR_HOME", &home).fails(7);
            assert!(error.lines().next().unwrap().len() < 300, "{error}");
        }
    }
    assert_eq!(fs::read_to_string(file).unwrap(), "precious");
    assert_eq!(
        world.tmux(["list-sessions", "-F", "#{session_name}"]),
        "home"
    );
}

/// A sound, empty `SQLite` file with this schema version.
fn database(version: u32) -> Vec<u8> {
    let mut page = vec![0_u8; 4096];
    page[..16].copy_from_slice(b"SQLite format 3\0");
    page[16..18].copy_from_slice(&4096_u16.to_be_bytes());
    page[18..24].copy_from_slice(&[1, 1, 0, 64, 32, 32]);
    for (at, value) in [
        (24, 1_u32),
        (28, 1),
        (40, 1),
        (44, 4),
        (56, 1),
        (60, version),
        (92, 1),
        (96, 3_045_000),
    ] {
        page[at..at + 4].copy_from_slice(&value.to_be_bytes());
    }
    page[100] = 0x0d;
    page[105..107].copy_from_slice(&4096_u16.to_be_bytes());
    page
}

#[test]
fn a_newer_database_is_refused_and_left_alone() {
    let world = World::new();
    world.run(["init"]).ok();
    for extra in ["-wal", "-shm"] {
        let _ = fs::remove_file(world.at(&format!("state/db/conductor.db{extra}")));
    }
    let newer = database(9_999);
    let path = world.write("state/db/conductor.db", &newer);
    for arguments in [
        &["sessions"][..],
        &["init"],
        &["launch", "-p", "demo"],
        &["send", "x", "-m", "y"],
        &["recover"],
    ] {
        let error = world.run(arguments).fails(7);
        assert!(error.contains("9999"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), newer, "{arguments:?}");
    }
}

#[test]
fn a_corrupt_database_is_set_aside_and_kept() {
    let world = World::new();
    world.run(["init"]).ok();
    for extra in ["-wal", "-shm"] {
        let _ = fs::remove_file(world.at(&format!("state/db/conductor.db{extra}")));
    }
    let garbage = b"this was a database once ".repeat(400);
    world.write("state/db/conductor.db", &garbage);
    let error = world.run(["sessions"]).fails(7);
    assert!(error.contains("damaged"), "{error}");
    let kept = fs::read_dir(world.at("state/db"))
        .unwrap()
        .filter_map(|entry| fs::read(entry.unwrap().path()).ok())
        .any(|bytes| bytes == garbage);
    assert!(kept, "the evidence is kept");
    let told = world.run(["doctor"]).done();
    assert_eq!(told.code, 1, "{told:?}");
    for words in ["conductor.db.corrupt-", "nothing was deleted", "init"] {
        assert!(told.stdout.contains(words), "{told:?}");
    }
    world.run(["init"]).ok();
    let told = world.run(["doctor"]).done();
    assert_eq!(told.code, 0, "{told:?}");
    assert!(told.stdout.contains("conductor.db.corrupt-"), "{told:?}");
    assert_eq!(
        world.run(["sessions"]).json(),
        json!([]),
        "the next call starts afresh"
    );
}

#[test]
fn texts_that_are_too_long_or_not_text_are_not_stored() {
    let world = World::new();
    let id = world.agent();
    let stdin = |bytes: &[u8]| world.run(["send", &id, "-m", "-"]).stdin(bytes);
    let big = vec![b'x'; 2 << 20];
    let file = world.write("big", &big);
    let over = vec![b'x'; (1 << 20) + 1];
    for run in [
        stdin(&big),
        stdin(&over),
        world.run(["send", &id, "--file", &file.to_string_lossy()]),
    ] {
        let error = run.fails(2);
        assert!(error.contains("1048576"), "{error}");
    }
    let argument = OsString::from_vec(b"caf\xe9".to_vec());
    let binary = world.write("binary", b"\xff\xfe\x00");
    for run in [
        stdin(b"ok until \xff here"),
        world.run(["send", &id, "-m"]).arg(&argument),
        world.run(["send", &id, "--file", &binary.to_string_lossy()]),
    ] {
        let error = run.fails(2);
        assert!(error.contains("UTF-8"), "{error}");
    }
    for empty in ["", "  \n\t\n"] {
        stdin(empty.as_bytes()).fails(2);
    }
    world.run(["send", &id]).fails(2);
    world.run(["send", &id, "--file", "/nowhere"]).fails(3);
    world.run(["send", &id, "--file", "/"]).fails(1);
    assert_eq!(world.run(["inbox"]).json(), json!([]), "nothing was stored");
    // The largest text that is accepted.
    let most = world
        .run(["send", &id, "-m", "-", "--wait", "30"])
        .stdin(&over[1..])
        .json();
    assert_eq!(
        (most["status"].as_str().unwrap(), text(&most["body"]).len()),
        ("submitted", 1 << 20)
    );
}

#[test]
fn wrong_usage_is_two() {
    let world = World::without_tmux_server();
    for arguments in [
        &["--no-such-flag"][..],
        &["nonsense"],
        &[],
        &["send"],
        &["launch", "--session"],
        &["wait", "x"],
        &["shutdown", "--session", "a", "--all"],
        &["send", "x", "-m", "a", "--wait", "soon"],
        &["send", "x", "-m", "a", "--wait", "-1"],
        &["-S", "a", "-L", "b", "sessions"],
        &["-L", "../x", "sessions"],
    ] {
        let run: Run = world.run(arguments);
        let error = run.fails(2);
        assert!(
            error.lines().count() <= 2 && error.starts_with("conductor-hook: "),
            "{arguments:?}: {error}"
        );
    }
    assert!(!world.home().exists());
    world.run(["init"]).ok();
    for id in ["abc", "-1", "0x10", "99999999999999999999"] {
        world.run(["inbox", "show", id]).fails(2);
    }
}

#[test]
fn errors_are_one_json_line_when_asked() {
    let world = World::new();
    let id = world.agent();
    for (arguments, kind, code) in [
        (&["status", "nobody"][..], "not_found", 3),
        (&["send", &id, "-m", " "], "usage", 2),
        (&["launch", "-p", "demo", "--session", "home"], "refused", 4),
        (
            &["wait", &id, "--for", "error", "--timeout", "0.1"],
            "timed_out",
            5,
        ),
        (&["--no-such-flag"], "usage", 2),
        (&["attach", "work"], "failed", 1),
    ] {
        let done = world.run(arguments).arg("--json").done();
        assert_eq!(
            (done.code, done.stdout.as_str()),
            (code, ""),
            "{arguments:?}: {done:?}"
        );
        assert_eq!(
            done.stderr.lines().count(),
            1,
            "{arguments:?}: {}",
            done.stderr
        );
        let error: Value = serde_json::from_str(&done.stderr).unwrap();
        let keys: Vec<&String> = error["error"].as_object().unwrap().keys().collect();
        assert_eq!(keys, ["kind", "message", "hint"]);
        assert_eq!(error["error"]["kind"], kind, "{arguments:?}");
    }
}

#[test]
fn garbage_in_a_hook_of_an_agent_denies_and_breaks_nothing() {
    let world = World::new();
    let id = world.agent();
    let deep = "[".repeat(20_000);
    for (name, bytes) in [
        ("empty", &b""[..]),
        ("text", b"allow"),
        ("null", b"null"),
        ("list", b"[1, 2]"),
        (
            "cut",
            br#"{"tool_name": "Bash", "tool_input": {"command": "ls"#,
        ),
        (
            "typed",
            br#"{"tool_name": ["Bash"], "tool_input": "ls", "tool": {}, "args": 7}"#,
        ),
        ("bytes", b"{\"tool_name\": \"Read\", \"x\": \"\xff\xfe\"}"),
        ("deep", deep.as_bytes()),
    ] {
        world.write(&format!("garbage/{name}"), bytes);
    }
    let decide = "claude_code:PreToolUse claude_code:PermissionRequest codex:PreToolUse codex:PermissionRequest \
        gemini:BeforeTool opencode:tool.before opencode:permission kiro_cli:preToolUse demo:PreToolUse";
    let tell =
        "claude_code:Nonsense codex:Nonsense gemini:Nonsense kiro_cli:Nonsense demo:Nonsense";
    let out = world.shell(
        &id,
        &format!(
            "cd {}\nfor hook in {decide} {tell}; do for file in *; do\n\
            said=$(\"$CONDUCTOR_HOOK\" hook ${{hook%%:*}} ${{hook#*:}} <$file 2>&1); echo \"$hook $file $? $said\"\n\
            done; done",
            world.at("garbage").display()
        ),
    );
    let out = out.ok();
    assert_eq!(out.lines().count(), 14 * 8, "{out}");
    for line in out.lines() {
        let hook = line.split(' ').next().unwrap();
        let code = line.split(' ').nth(2).unwrap();
        let said = line.splitn(4, ' ').nth(3).unwrap();
        if decide.split_whitespace().any(|known| known == hook) {
            let refused = ["\"deny\"", "\"reject\""]
                .iter()
                .any(|word| said.contains(word));
            assert!(refused || code == "2" && !said.is_empty(), "{line}");
            assert!(!said.contains("\"allow\""), "{line}");
        } else {
            assert_eq!((code, said), ("0", ""), "{line}");
        }
    }
}
