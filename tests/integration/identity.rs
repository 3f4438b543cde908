//! Who speaks is decided by where a process stands, not by what it says.

use crate::support::{BINARY, World, eventually, quote, text};
use serde_json::{Value, json};

const REFUSED: &str = "terminal.identity_refused";

fn messages(world: &World) -> usize {
    world
        .run(["inbox", "--limit", "100"])
        .json()
        .as_array()
        .unwrap()
        .len()
}

#[test]
fn a_forged_id_from_outside_is_refused_and_audited() {
    let world = World::new();
    let team = world.launch(&["developer"]);
    let before = world.audited(REFUSED);
    let error = world
        .run(["send", &team.workers[0], "-m", "EXIT"])
        .env("CONDUCTOR_TERMINAL_ID", &team.supervisor)
        .fails(4);
    assert!(error.contains("does not descend from it"), "{error}");
    assert_eq!(messages(&world), 0, "nothing was stored");
    assert!(
        world.audited(REFUSED) > before,
        "the attempt is in the audit log"
    );
    let before = world.audited(REFUSED);
    world
        .run(["worker", "home", "-p", "demo"])
        .env("CONDUCTOR_TERMINAL_ID", &team.supervisor)
        .fails(4);
    assert!(world.audited(REFUSED) > before, "as is that of a launch");
}

#[test]
fn an_agent_that_claims_to_be_another_is_refused_and_audited() {
    let world = World::new();
    let team = world.launch(&["developer", "reviewer"]);
    let [claimed, receiver] = &team.workers[..] else {
        unreachable!()
    };
    let before = world.audited(REFUSED);
    let command = format!("CONDUCTOR_TERMINAL_ID={claimed} {BINARY} send {receiver} -m EXIT");
    world.shell(&team.supervisor, &command).fails(4);
    assert_eq!(world.run(["inbox", receiver]).json(), json!([]));
    assert!(world.audited(REFUSED) > before);
}

#[test]
fn another_name_is_for_people_at_a_terminal() {
    let world = World::new();
    let team = world.launch(&["developer", "reviewer"]);
    let [worker, other] = &team.workers[..] else {
        unreachable!()
    };
    let before = world.audited(REFUSED);
    world
        .run(["send", worker, "-m", "x", "--from", &team.supervisor])
        .fails(4);
    world
        .run_in(
            other,
            &["send", worker, "-m", "x", "--from", &team.supervisor],
        )
        .fails(4);
    assert!(world.audited(REFUSED) >= before + 2);
    assert_eq!(world.run(["inbox", worker]).json(), json!([]));
    let sent = world
        .person([
            "send",
            worker,
            "-m",
            "SAY x",
            "--from",
            &team.supervisor,
            "--json",
        ])
        .json();
    assert_eq!(sent["sender"], team.supervisor.as_str());
}

#[test]
fn a_persons_message_is_an_order_and_a_scripts_a_note() {
    let world = World::new();
    let id = world.agent();
    let human = world
        .person(["send", &id, "-m", "SAY order", "--wait", "20", "--json"])
        .json();
    assert_eq!(human["sender"], "human");
    world.wait(&id, "idle");
    let script = world
        .run(["send", &id, "-m", "SAY note", "--wait", "20"])
        .json();
    assert_eq!(script["sender"], "unverified");
    let prompts = world.logged(&id, &["prompt"]);
    assert_eq!(
        prompts[0],
        format!("[conductor #{} from human] SAY order", text(&human["id"]))
    );
    assert_eq!(
        prompts[1],
        format!(
            "[conductor #{} from unverified (peer)] SAY note",
            text(&script["id"])
        )
    );
}

#[test]
fn every_door_refuses_a_false_name_and_audits_it() {
    let world = World::new();
    let team = world.launch(&["developer"]);
    let worker = &team.workers[0];
    let settings = world.write("user/.claude/settings.json", "{}");
    let profile = world.write("mine.md", "---\nname: mine\ndescription: x\n---\nbody\n");
    let profile = profile.to_string_lossy();
    for (n, words) in [
        &["inbox", "read"][..],
        &["broadcast", "home", "-m", "EXIT"],
        &["recover"],
        &["install", &profile],
        &["provider", "setup", "claude_code", "--yes"],
        &["close", worker],
        &["shutdown", "--all"],
    ]
    .iter()
    .enumerate()
    {
        let before = world.audited(REFUSED);
        let claimed = ["deadbeef", worker][n % 2];
        let error = world
            .run(*words)
            .env("CONDUCTOR_TERMINAL_ID", claimed)
            .fails(4);
        assert!(
            error.contains("does not descend from it"),
            "{words:?}: {error}"
        );
        assert_eq!(world.audited(REFUSED), before + 1, "{words:?}");
    }
    assert_eq!(std::fs::read_to_string(settings).unwrap(), "{}");
    let dry = ["provider", "setup", "claude_code", "--dry-run"];
    world.run(dry).env("CONDUCTOR_TERMINAL_ID", worker).ok();

    let before = world.audited(REFUSED);
    let call = |n: u32, method: &str, params: Value| {
        json!({"jsonrpc": "2.0", "id": n, "method": method, "params": params}).to_string() + "\n"
    };
    let about = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    let calls = call(1, "initialize", about)
        + &call(
            2,
            "tools/call",
            json!({"name": "read_inbox", "arguments": {}}),
        );
    let done = world
        .run(["mcp"])
        .env("CONDUCTOR_TERMINAL_ID", worker)
        .stdin(&calls)
        .done();
    assert!(done.stdout.contains("does not descend from it"), "{done:?}");
    assert!(done.stdout.contains("\"isError\":true"), "{done:?}");
    assert_eq!(world.audited(REFUSED), before + 1);

    // Hooks: a decision is denied and audited, and nothing else costs an entry.
    for claimed in ["deadbeef", worker] {
        let before = world.audited(REFUSED);
        for (event, entries) in [("Stop", 0), ("PreToolUse", 1)] {
            let input = json!({"tool_name": "Bash", "tool_input": {"command": "id"}}).to_string();
            let hook = world
                .run(["hook", "demo", event])
                .env("CONDUCTOR_TERMINAL_ID", claimed)
                .stdin(&input);
            assert_eq!(hook.ok().contains("\"deny\""), entries == 1);
            assert_eq!(world.audited(REFUSED), before + entries, "{event}");
        }
    }
    assert_eq!(world.status(worker)["status"], "idle");
}

#[test]
fn an_agents_processes_cannot_shake_off_whose_they_are() {
    let world = World::new();
    let team = world.launch(&["developer"]);
    let (agent, receiver) = (&team.supervisor, &team.workers[0]);
    let send =
        |n: u32| format!("env -u CONDUCTOR_TERMINAL_ID {BINARY} send {receiver} -m 'SAY {n}'");
    let disguises = [
        send(0),
        format!("setsid -w {}", send(1)),
        format!("nohup {} >/dev/null 2>&1 & wait", send(2)),
        format!("sh -c {}", quote(&format!("( {} ) & wait", send(3)))),
        format!("( ( {} ) & ) ; sleep 0.5", send(4)),
    ];
    for (n, disguise) in disguises.iter().enumerate() {
        world.shell(agent, disguise);
        let all = eventually("the message was accepted", || {
            let all = world
                .run(["inbox", receiver])
                .json()
                .as_array()
                .unwrap()
                .clone();
            (all.len() == n + 1).then_some(all)
        });
        assert_eq!(all[0]["sender"], agent.as_str(), "{disguise}");
    }
}

#[test]
fn what_an_ended_agent_left_behind_is_no_person() {
    let world = World::new();
    let team = world.launch(&["developer"]);
    let (gone, receiver) = (&team.workers[0], &team.supervisor);
    let (go, out) = (world.at("go"), world.at("leftover"));
    let leftover = format!(
        "while [ ! -e {go} ]; do sleep 0.05; done; for id in $CONDUCTOR_TERMINAL_ID 0badf00d; do
           CONDUCTOR_TERMINAL_ID=$id {BINARY} send {receiver} -m EXIT 2>{out}.err; echo $?; done >{out}.new; mv {out}.new {out}",
        go = go.display(),
        out = out.display(),
    );
    world.shell(
        gone,
        &format!("setsid -f sh -c {} >/dev/null 2>&1", quote(&leftover)),
    );
    world.run(["send", gone, "-m", "EXIT"]).ok();
    world.wait(gone, "exited");
    let before = world.audited(REFUSED);
    std::fs::write(&go, "").unwrap();
    let codes = eventually("the leftover tried", || std::fs::read_to_string(&out).ok());
    assert_eq!(codes, "4\n4\n");
    assert_eq!(messages(&world), 2, "nothing of it was stored");
    assert!(world.audited(REFUSED) >= before + 2);
    // An agent of another state directory is a stranger here, and its ancestors' variable is no claim on ours.
    let other = format!(
        "CONDUCTOR_TERMINAL_ID=0badf00d CONDUCTOR_HOME=/nowhere sh -c {}",
        quote(&format!(
            "unset CONDUCTOR_TERMINAL_ID; CONDUCTOR_HOME={} {BINARY} send {receiver} -m 'SAY x' || exit 1; exit 0",
            world.home().display()
        ))
    );
    world.run_shell(&other).ok();
    assert_eq!(messages(&world), 3);
}

#[test]
fn a_hook_of_a_terminal_that_is_gone_decides_no_and_says_nothing_else() {
    let world = World::new();
    let team = world.launch(&["developer"]);
    let dead = &team.workers[0];
    world.run(["close", dead]).ok();
    let input = json!({"tool_name": "Bash", "tool_input": {"command": "id"}, "tool_use_id": "t", "prompt": "x"}).to_string();
    // A living terminal's id is of no more use to a process that does not descend from it.
    for id in [dead.as_str(), "deadbeef", "not an id", &team.supervisor] {
        for event in [
            "SessionStart",
            "UserPromptSubmit",
            "Stop",
            "Notification",
            "SessionEnd",
        ] {
            let done = world
                .run(["hook", "demo", event])
                .env("CONDUCTOR_TERMINAL_ID", id)
                .stdin(&input)
                .done();
            assert_eq!(
                (done.code, done.stdout.as_str()),
                (0, ""),
                "{event} as {id}"
            );
        }
        let done = world
            .run(["hook", "demo", "PreToolUse"])
            .env("CONDUCTOR_TERMINAL_ID", id)
            .stdin(&input)
            .done();
        let answer: Value = serde_json::from_str(&done.stdout).unwrap();
        assert_eq!(
            answer["hookSpecificOutput"]["permissionDecision"], "deny",
            "as {id}"
        );
        assert!(done.stdout.contains("doctor"), "{}", done.stdout);
    }
    assert_eq!(
        world.status(&team.supervisor)["status"],
        "idle",
        "the SessionEnd of a stranger ended nobody"
    );
}

#[test]
fn a_hook_outside_every_terminal_is_silent() {
    let world = World::without_tmux_server();
    for state in [false, true] {
        if state {
            world.run(["init"]).ok();
        }
        for (provider, event) in [
            ("demo", "PreToolUse"),
            ("demo", "Stop"),
            ("claude_code", "PreToolUse"),
            ("warp", "Stop"),
            ("demo", "Nonsense"),
        ] {
            let done = world.run(["hook", provider, event]).stdin("{}").done();
            assert_eq!(
                (done.code, done.stdout.as_str(), done.stderr.as_str()),
                (0, "", ""),
                "{provider} {event}"
            );
        }
        assert_eq!(world.home().exists(), state, "a hook makes no state");
    }
}

/// Whatever is wrong before the event is read, an agent of ours that waits for a decision hears a no.
#[test]
fn a_decision_without_a_state_directory_is_a_no() {
    let world = World::without_tmux_server();
    let input =
        json!({"tool_name": "Bash", "tool_input": {"command": "ls"}, "tool": "bash"}).to_string();
    let hook = |words: &[&str], home: Option<&str>| {
        let run = world
            .run(["hook"].iter().chain(words))
            .without("HOME")
            .without("CONDUCTOR_HOME")
            .stdin(&input);
        match home {
            Some(home) => run.env("CONDUCTOR_HOME", home),
            None => run,
        }
    };
    for home in [None, Some("relative"), Some("/a\nb")] {
        for words in [
            &["claude_code", "PreToolUse"][..],
            &["codex", "PermissionRequest"],
            &["gemini", "BeforeTool"],
            &["opencode", "tool.before"],
            &["claude_code", "PreToolUse", "--more"],
            &["claude_code", "PreToolUse", "more"],
        ] {
            let done = hook(words, home)
                .env("CONDUCTOR_TERMINAL_ID", "deadbeef")
                .done();
            let answer: Value = serde_json::from_str(&done.stdout).unwrap();
            assert!(
                answer.to_string().contains("\"deny\""),
                "{words:?}: {done:?}"
            );
            assert!(done.stdout.contains("doctor"), "{words:?}: {done:?}");
            assert_eq!(done.code, 0, "{words:?}: {done:?}");
        }
        for words in [["claude_code", "PreToolUse"], ["nope", "PreToolUse"]] {
            let done = hook(&words, home).done();
            let said = (done.code, done.stdout.as_str(), done.stderr.as_str());
            assert_eq!(said, (0, "", ""), "{words:?} without the variable");
        }
        let told = hook(&["claude_code", "Stop"], home).env("CONDUCTOR_TERMINAL_ID", "deadbeef");
        let told = told.done();
        assert_eq!((told.code, told.stdout.as_str()), (0, ""), "{told:?}");
        // In no dialect: the exit code, and a line for whoever reads it.
        for words in [["generic", "PreToolUse"], ["nope", "preToolUse"]] {
            let done = hook(&words, home)
                .env("CONDUCTOR_TERMINAL_ID", "deadbeef")
                .done();
            assert_eq!((done.code, done.stdout.as_str()), (2, ""), "{done:?}");
            assert!(done.stderr.contains("doctor"), "{done:?}");
        }
    }
}

/// An agent in a pane of another provider is gated by its own tools, and its turns are not those of the pane's agent.
#[test]
fn a_hook_of_another_provider_is_judged_by_that_providers_tools() {
    let world = World::new();
    let id = world.agent();
    let decision = |setup: &str, command: &str| {
        let input = json!({"tool_name": "Bash", "tool_input": {"command": command}, "permission_mode": "bypassPermissions",
            "cwd": world.at("project")});
        let file = world.write("call.json", input.to_string());
        let line = format!(
            "CONDUCTOR_SETUP={setup} {BINARY} hook claude_code PreToolUse <{}",
            file.display()
        );
        let said = world.shell(&id, &line).stdout;
        let answer: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said:?}"));
        text(&answer["hookSpecificOutput"]["permissionDecision"])
    };
    for setup in ["", "1"] {
        assert_eq!(decision(setup, "rm -rf /"), "deny");
        assert_eq!(decision(setup, "ls"), "allow");
    }
    let ended = json!({"reason": "exit"}).to_string();
    let file = world.write("end.json", &ended);
    let line = format!("{BINARY} hook claude_code SessionEnd <{}", file.display());
    world.shell(&id, &line).ok();
    assert_eq!(world.ask(&id, "SAY still here"), "still here");
}

#[test]
fn what_a_hook_cannot_read_is_denied_or_ignored() {
    let world = World::new();
    let id = world.agent();
    for input in [
        "{",
        "",
        "[]",
        "null",
        "{\"tool_name\": 7}",
        "\\377\\376",
        "{} {}",
    ] {
        let run = |event: &str| {
            world.shell(
                &id,
                &format!("printf '{input}' | {BINARY} hook demo {event}"),
            )
        };
        let told = run("Stop");
        assert_eq!(
            (told.code, told.stdout.as_str(), told.stderr.as_str()),
            (0, "", ""),
            "{input:?}"
        );
        let decided = run("PreToolUse");
        assert!(
            decided.stdout.contains("\"deny\"") || decided.code == 2,
            "{input:?}: {decided:?}"
        );
    }
    assert_eq!(world.ask(&id, "SAY still here"), "still here");
}
