//! What a person reads after a typical mistake: one line that says what and why, and a hint.

use crate::support::{BINARY, World};
use std::os::unix::fs::symlink;

#[test]
fn typical_mistakes_are_answered_in_two_lines() {
    let world = World::new();
    world.run(["init"]).ok();
    let cases: [(&[&str], i32, &str); 18] = [
        (
            &["lunch"],
            2,
            "conductor-hook: unrecognized subcommand 'lunch'\n  hint: a similar subcommand exists: 'launch'\n",
        ),
        (
            &["send", "x", "-m", "a", "--bogus"],
            2,
            "conductor-hook: unexpected argument '--bogus' found\n  hint: to pass '--bogus' as a value, use '-- --bogus'\n",
        ),
        (
            &["send", "x"],
            2,
            "conductor-hook: the following required arguments were not provided: --message <TEXT>\n  hint: `conductor-hook --help` lists the commands and flags\n",
        ),
        (
            &["shutdown"],
            2,
            "conductor-hook: the following required arguments were not provided: <--session <NAME>|--all>\n  hint: `conductor-hook --help` lists the commands and flags\n",
        ),
        (
            &["launch", "-p", "warp"],
            3,
            "conductor-hook: there is no provider \"warp\"\n  hint: providers: claude_code, codex, gemini, opencode, kiro_cli, q_cli, demo, generic\n",
        ),
        (
            &["launch", "-p", "demo", "--profile", "nobody"],
            3,
            "conductor-hook: there is no profile nobody\n  hint: `conductor-hook profile list` shows the profiles that there are\n",
        ),
        (
            &["launch", "-p", "demo", "--session", "home"],
            4,
            "conductor-hook: there is a tmux session home already\n  hint: choose another name, or add a worker to it with `conductor-hook worker`\n",
        ),
        (
            &["launch", "-p", "demo", "--session", "a/b"],
            2,
            "conductor-hook: session \"a/b\" is not a name: a letter or digit, then at most 63 letters, digits, _ or -\n  hint: choose another name, or leave --session away\n",
        ),
        (
            &["launch", "-p", "demo", "--env", "A"],
            2,
            "conductor-hook: invalid value 'A' for '--env <KEY=VALUE>': KEY=VALUE expected\n  hint: `conductor-hook --help` lists the commands and flags\n",
        ),
        (
            &["worker", "nowhere", "-p", "demo"],
            3,
            "conductor-hook: there is no tmux session \"nowhere\"\n  hint: `tmux list-sessions` names them; `conductor-hook launch` makes a new one\n",
        ),
        (
            &["status", "nobody"],
            3,
            "conductor-hook: there is no terminal \"nobody\"\n  hint: `conductor-hook sessions` lists them; name one by id, prefix of an id, pane id, or window name\n",
        ),
        (
            &["wait", "nobody", "--for", "happy"],
            2,
            "conductor-hook: \"happy\" is not a status\n  hint: one of starting, idle, working, waiting, parked, error, exited, unknown\n",
        ),
        (
            &["wait", "x", "--for", "idle", "--timeout", "soon"],
            2,
            "conductor-hook: invalid value 'soon' for '--timeout <S>': a number of seconds expected\n  hint: `conductor-hook --help` lists the commands and flags\n",
        ),
        (
            &["session", "nothing"],
            3,
            "conductor-hook: there is no session \"nothing\"\n  hint: `conductor-hook sessions` lists them\n",
        ),
        (
            &["inbox", "show", "12"],
            3,
            "conductor-hook: there is no message 12\n  hint: `conductor-hook inbox` lists them\n",
        ),
        (
            &["inbox", "read"],
            4,
            "conductor-hook: `inbox read` is for agents: this process belongs to none\n  hint: `conductor-hook inbox show ID` prints a message\n",
        ),
        (
            &["install", "nobody"],
            3,
            "conductor-hook: install nobody: there is neither such a file nor such a built-in profile\n  hint: built in are: conductor, developer, document_writer, reviewer, tester\n",
        ),
        (
            &["send", "x", "-m", "-"],
            2,
            "conductor-hook: the message is empty\n  hint: give a text with -m, --file, or on standard input with -m -\n",
        ),
    ];
    for (arguments, code, wanted) in cases {
        assert_eq!(world.run(arguments).fails(code), wanted, "{arguments:?}");
    }
}

/// Demands two lines: what is wrong, and a hint that holds `hint`.
#[track_caller]
fn hinted(said: &str, hint: &str) {
    let lines: Vec<&str> = said.lines().collect();
    let two = lines.len() == 2 && lines[1].starts_with("  hint: ");
    assert!(two && lines[1].contains(hint), "{said}");
}

#[test]
fn every_error_says_what_to_do_next() {
    let world = World::new();
    let id = world.agent();
    let sent = world.run(["send", &id, "-m", "SAY hi", "--wait", "30"]);
    let sent = crate::support::text(&sent.json()["id"]);
    let pane = world.run(["status", &id]).json()["pane"].clone();
    let pane = crate::support::text(&pane);
    let home = world.tmux(["list-panes", "-t", "home", "-F", "#{pane_id}"]);
    let held = world.run(["send", &id, "-m", "x", "--require-approval"]);
    held.json();
    let flow = |name: &str, fields: &str, body: &str| {
        let profile = "agent_profile: developer";
        let text = format!("---\nname: {name}\n{profile}\n{fields}\n---\n{body}\n");
        let path = world.write(&format!("{name}.md"), text);
        path.to_string_lossy().into_owned()
    };
    let daily = "schedule: \"@daily\"";
    let minute = flow("minute", "schedule: \"99 * * * *\"", "x");
    let overlap = flow("overlap", &format!("{daily}\noverlap: never"), "x");
    let zone = flow("zone", &format!("{daily}\ntimezone: Mars/X"), "x");
    let name = flow("two words", daily, "x");
    let body = flow("body", daily, "");
    let cases: [(&[&str], i32, &str); 35] = [
        (&[], 2, "`conductor-hook --help`"),
        (&["flow"], 2, "`conductor-hook flow --help`"),
        (&["launch", "--session", "-x"], 2, "--session=-x"),
        (&["approve", "zz"], 2, "`conductor-hook approvals`"),
        (&["deny", "zz"], 2, "`conductor-hook approvals`"),
        (&["approval", "show", "zz"], 2, "`conductor-hook approvals`"),
        (&["inbox", "show", "zz"], 2, "`conductor-hook inbox`"),
        (&["note", "show", "zz"], 2, "`conductor-hook notes`"),
        (&["exec", "zzz"], 2, "`conductor-hook sessions`"),
        (&["untrust", "nope"], 3, "`conductor-hook trust`"),
        (&["trust", "nope"], 3, ".conductor/"),
        (&["trust", "/"], 3, "name the directory"),
        (&["send", &id, "--file", "/nonexistent"], 3, "-m"),
        (&["send", &id, "-m", "x", "--from", "nope"], 2, "sessions"),
        (&["inbox", "retry", &sent], 4, "`conductor-hook send`"),
        (&["inbox", "cancel", &sent], 4, "begun to deliver"),
        (&["launch", "-p", "demo", "--env", "1A=x"], 2, "letters"),
        (&["launch", "-p", "demo", "--env", "TMUX=x"], 4, "leave it"),
        (
            &["launch", "-p", "demo", "--cwd", "/etc/passwd"],
            2,
            "--cwd",
        ),
        (&["-L", "bad/name", "sessions"], 2, "-S takes a path"),
        (
            &["policy", "check", "--cwd", "/nowhere", "--", "ls"],
            3,
            "--cwd",
        ),
        (&["profile", "create", "bad name"], 2, "code-reviewer"),
        (&["profile", "show", ""], 2, "`conductor-hook profile list`"),
        (&["install", "/nonexistent"], 3, "name a file"),
        (&["flow", "add", &minute], 1, "mend that line"),
        (&["flow", "add", &overlap], 1, "mend that line"),
        (&["flow", "add", &zone], 1, "mend that line"),
        (&["flow", "add", &name], 1, "mend that line"),
        (&["flow", "add", &body], 1, "write the prompt below"),
        (&["adopt", &pane, "-p", "demo"], 4, "`conductor-hook status"),
        (&["adopt", &home, "-p", "generic"], 4, "the agent's program"),
        (
            &["approve", "1", "--scope", "session"],
            4,
            "leave --scope away",
        ),
        (&["provider", "setup", "demo"], 4, "it needs none"),
        (&["--home", "/etc/passwd", "init"], 7, "set CONDUCTOR_HOME"),
        (
            &["--home", "/etc/passwd", "sessions"],
            7,
            "set CONDUCTOR_HOME",
        ),
    ];
    for (arguments, code, hint) in cases {
        hinted(&world.run(arguments).fails(code), hint);
    }
    let relative = world.run(["sessions"]).env("CONDUCTOR_TMUX_SOCKET", "rel");
    hinted(&relative.fails(2), "CONDUCTOR_TMUX_SOCKET");
}

#[test]
fn the_program_goes_by_the_name_that_it_was_called_by() {
    let world = World::without_tmux_server();
    let link = world.at("bin/conductor");
    symlink(BINARY, &link).unwrap();
    let link = link.to_string_lossy();
    let error = world.run_shell(&format!("{link} status nobody")).fails(3);
    assert!(error.starts_with("conductor: "), "{error}");
    assert!(
        error.contains("`conductor init`") && !error.contains("conductor-hook"),
        "{error}"
    );
    let json = world
        .run_shell(&format!("{link} status nobody --json"))
        .fails(3);
    assert!(json.contains("`conductor init`"), "{json}");
    let help = world.run_shell(&format!("{link} --help")).ok();
    assert!(
        help.contains("Usage: conductor ") && !help.contains("Usage: conductor-hook"),
        "{help}"
    );
    assert!(
        world
            .run_shell(&format!("{link} launch --help"))
            .ok()
            .contains("Usage: conductor launch")
    );
}
