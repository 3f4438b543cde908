//! From `init` to `shutdown`, as the contract's sections 1 to 4 say.

use crate::support::{BINARY, World, eventually, text};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const TERMINAL_FIELDS: [&str; 23] = [
    "id",
    "session",
    "window",
    "pane",
    "server",
    "provider",
    "profile",
    "role",
    "status",
    "status_reason",
    "status_since",
    "caller",
    "cwd",
    "model",
    "created_at",
    "ended_at",
    "exit_code",
    "agent_session",
    "unread",
    "gated",
    "worktree",
    "branch",
    "worktree_kept",
];
const MESSAGE_FIELDS: [&str; 15] = [
    "id",
    "sender",
    "receiver",
    "body",
    "status",
    "transport",
    "attempts",
    "queued_at",
    "submitted_at",
    "expires_at",
    "last_error",
    "key",
    "trace",
    "hops",
    "again",
];

fn fields(value: &Value) -> Vec<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

/// Every path below `dir` that others than the owner may use.
pub(crate) fn open_to_others(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = vec![dir.to_path_buf()];
    while let Some(path) = rest.pop() {
        if path.is_dir() && !path.is_symlink() {
            rest.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
        let wanted = if path.is_dir() { 0o700 } else { 0o600 };
        if !path.is_symlink() && mode(&path) != wanted {
            found.push(format!("{} {:o}", path.display(), mode(&path)));
        }
    }
    found
}

#[test]
fn init_makes_a_private_home_once() {
    let world = World::without_tmux_server();
    let first = world.run(["init"]).json();
    let made = first["made"].as_array().unwrap();
    assert!(
        made.iter()
            .any(|path| text(path).ends_with("/db/conductor.db")),
        "{first}"
    );
    assert_eq!(open_to_others(&world.home()), Vec::<String>::new());
    let config = fs::read(world.at("state/config.toml")).unwrap();
    let again = world.run(["init"]).json();
    assert_eq!(again["made"], serde_json::json!([]));
    assert_eq!(fs::read(world.at("state/config.toml")).unwrap(), config);
}

#[test]
fn figures_are_given_in_the_text_format_of_prometheus() {
    let world = World::new();
    assert_eq!(world.run(["metrics"]).ok(), "");
    let id = world.agent();
    world.ask(&id, "SAY counted");
    let told = world.run(["metrics"]).ok();
    for line in [
        "# TYPE conductor_terminals gauge",
        "conductor_terminals{provider=\"demo\",status=\"idle\"} 1",
        "conductor_messages_proven{provider=\"demo\",transport=\"paste\"} 1",
        "conductor_approvals_pending 0",
        "conductor_flows{enabled=\"yes\"} 0",
    ] {
        assert!(told.lines().any(|told| told == line), "{line} in {told}");
    }
    let list = world.run(["metrics"]).json();
    assert_eq!(list[0]["name"], "conductor_terminals");
}

#[test]
fn the_default_home_is_in_the_users() {
    let world = World::without_tmux_server();
    world.run(["init"]).without("CONDUCTOR_HOME").ok();
    assert_eq!(mode(&world.at("user/.conductor")), 0o700);
}

#[test]
fn launch_prints_the_session_with_its_supervisor_first() {
    let world = World::new();
    let session = world
        .run([
            "launch",
            "-p",
            "demo",
            "--session",
            "team",
            "--with-worker",
            "developer",
            "--with-worker",
            "reviewer",
        ])
        .json();
    assert_eq!(
        fields(&session),
        ["name", "server", "terminals", "pending_approvals", "unread"]
    );
    assert_eq!(session["name"], "team");
    assert_eq!(session["server"], world.socket().to_string_lossy().as_ref());
    assert_eq!(
        (&session["pending_approvals"], &session["unread"]),
        (&0.into(), &0.into())
    );
    let terminals = session["terminals"].as_array().unwrap();
    let column = |name: &str| terminals.iter().map(|t| text(&t[name])).collect::<Vec<_>>();
    assert_eq!(column("role"), ["supervisor", "worker", "worker"]);
    assert_eq!(column("profile"), ["conductor", "developer", "reviewer"]);
    for terminal in terminals {
        assert_eq!(fields(terminal), TERMINAL_FIELDS);
        assert_eq!(terminal["provider"], "demo");
        assert_eq!(
            terminal["cwd"],
            fs::canonicalize(world.at("project"))
                .unwrap()
                .to_string_lossy()
                .as_ref()
        );
        for absent in ["ended_at", "exit_code", "model"] {
            assert_eq!(terminal[absent], Value::Null, "{absent}");
        }
        for time in ["status_since", "created_at"] {
            assert!(text(&terminal[time]).ends_with('Z'), "{time}");
        }
        assert_eq!(text(&terminal["id"]).len(), 8);
    }
    assert_eq!(terminals[0]["caller"], Value::Null);
    assert_eq!(terminals[1]["caller"], terminals[0]["id"]);
    for terminal in terminals {
        world.wait(&text(&terminal["id"]), "idle");
    }
    let listed = world.run(["sessions"]).json();
    assert_eq!(
        listed.as_array().unwrap().len(),
        1,
        "the session that is not ours is not listed"
    );
    assert_eq!(fields(&listed[0]), fields(&session));
    assert_eq!(world.run(["session", "team"]).json(), listed[0]);
    assert_eq!(
        open_to_others(&world.home()),
        Vec::<String>::new(),
        "launched state is private too"
    );
}

#[test]
fn an_existing_session_is_refused_and_left_alone() {
    // The shell in it goes on drawing, so its history is not compared.
    const PANES: &str = "#{session_name} #{window_id} #{pane_id} #{pane_pid}";
    let world = World::new();
    let panes = world.tmux(["list-panes", "-a", "-F", PANES]);
    world
        .run(["launch", "-p", "demo", "--session", "home"])
        .fails(4);
    assert_eq!(world.tmux(["list-panes", "-a", "-F", PANES]), panes);
    assert_eq!(world.run(["sessions"]).json(), serde_json::json!([]));
}

#[test]
fn an_agent_whose_first_prompt_cannot_be_stored_does_not_stay() {
    let world = World::new();
    world.run(["init"]).ok();
    world.write(
        "state/config.toml",
        "[limits]\nwaiting_bytes_per_session = 1000\n",
    );
    let prompt = "x".repeat(2_000);
    let error = world
        .run([
            "launch",
            "-p",
            "demo",
            "--session",
            "given",
            "--prompt",
            &prompt,
        ])
        .fails(4);
    assert!(error.contains("give the agent its first prompt"), "{error}");
    let sessions = world.tmux(["list-sessions", "-F", "#{session_name}"]);
    assert!(!sessions.lines().any(|name| name == "given"), "{sessions}");
    assert_eq!(world.run(["sessions"]).json(), serde_json::json!([]));
}

#[test]
fn the_server_is_started_when_none_runs() {
    let world = World::without_tmux_server();
    let session = world.run(["launch", "-p", "demo"]).json();
    let id = text(&session["terminals"][0]["id"]);
    world.wait(&id, "idle");
    assert!(text(&session["name"]).starts_with("conductor-"));
    world.run(["shutdown", "--all"]).ok();
    assert_ne!(
        world.try_tmux(["list-sessions"]).code,
        0,
        "the session that launch made went with its last terminal"
    );
}

#[test]
fn panes_carry_their_terminals_environment_and_only_they_do() {
    let world = World::new();
    let id = world.agent();
    let done = world.shell(&id, "echo $CONDUCTOR_TERMINAL_ID $CONDUCTOR_SESSION $CONDUCTOR_HOOK $CONDUCTOR_HOME $CONDUCTOR_TMUX_SOCKET");
    let wanted = format!(
        "{id} work {BINARY} {} {}\n",
        world.home().display(),
        world.socket().display()
    );
    assert_eq!(done.ok(), wanted);
    for scope in [
        &["show-environment", "-g"][..],
        &["show-environment", "-t", "work"],
    ] {
        assert!(
            !world.tmux(scope).contains("CONDUCTOR_TERMINAL_ID"),
            "{scope:?}"
        );
    }
    let pane = text(&world.status(&id)["pane"]);
    assert_eq!(
        world.tmux(["show-options", "-pqv", "-t", &pane, "@conductor_id"]),
        id
    );
}

#[test]
fn a_worker_joins_a_session() {
    let world = World::new();
    let team = world.launch(&[]);
    let worker = world
        .run(["worker", "work", "--profile", "reviewer", "--split", "h"])
        .json();
    assert_eq!(fields(&worker), TERMINAL_FIELDS);
    assert_eq!(
        (&worker["provider"], &worker["role"]),
        (&"demo".into(), &"worker".into()),
        "the supervisor's provider"
    );
    assert_eq!(worker["caller"], team.supervisor.as_str());
    world.wait(&text(&worker["id"]), "idle");
    assert!(
        !world.demo_log(&text(&worker["id"])).is_empty(),
        "--env is inherited by workers"
    );
    // tmux would expand a format in it, and take the rest for a style.
    let odd = world.at("project/~ #{pane_id} #[x ##[y");
    fs::create_dir(&odd).unwrap();
    let stranger = world
        .run(["worker", "home", "-p", "demo", "--cwd"])
        .arg(&odd)
        .json();
    assert_eq!(stranger["session"], "home");
    let pid = world.pane_pid(&text(&stranger["id"]));
    let works_in = fs::read_link(format!("/proc/{pid}/cwd")).unwrap();
    assert_eq!(works_in, fs::canonicalize(odd).unwrap());
    world.run(["worker", "nowhere", "-p", "demo"]).fails(3);
}

#[test]
fn a_terminal_is_found_by_id_prefix_pane_or_window() {
    let world = World::new();
    let team = world.launch(&["developer"]);
    let worker = &team.workers[0];
    let status = world.status(worker);
    for name in [worker.as_str(), &text(&status["pane"]), "developer"] {
        assert_eq!(world.status(name)["id"], worker.as_str(), "{name}");
    }
    let prefix = (2..8)
        .map(|n| &worker[..n])
        .find(|prefix| !team.supervisor.starts_with(*prefix))
        .unwrap();
    assert_eq!(world.status(prefix)["id"], worker.as_str());
    world.run(["worker", "home", "-p", "demo"]).ok();
    let error = world.run(["status", "developer"]).fails(2);
    assert!(
        error.contains("ambiguous") && error.contains(worker.as_str()),
        "{error}"
    );
    world.run(["status", "nobody"]).fails(3);
    world.run(["status", "%99"]).fails(3);
}

#[test]
fn what_an_agent_said_can_be_read() {
    let world = World::new();
    let id = world.agent();
    world.run(["output", &id]).fails(3);
    assert_eq!(world.ask(&id, "SAY first\nSAY second"), "first\nsecond");
    assert_eq!(
        world.run(["output", &id, "--mode", "last"]).ok(),
        "first\nsecond\n"
    );
    world.ask(&id, "STREAM 120");
    let screen = world.run(["output", &id, "--mode", "screen"]).ok();
    assert!(
        screen.contains("line 120") && !screen.contains("first"),
        "{screen}"
    );
    let full = world.run(["out", &id, "--mode", "full"]).ok();
    assert!(
        full.contains("first") && full.contains("line 120"),
        "{full}"
    );
    let json = world.run(["output", &id]).json();
    assert_eq!(
        (text(&json["terminal"]), text(&json["mode"])),
        (id.clone(), "last".to_owned())
    );
}

#[test]
fn the_log_is_private_raw_on_disk_and_clean_when_printed() {
    let world = World::new();
    let id = world.agent();
    world.shell(&id, "printf 'red\\n'");
    world.ask(
        &id,
        "RUN printf '\\033[31mred\\033[0m\\033]2;title\\007\\n'",
    );
    let path = world.at(&format!("state/logs/terminal/{id}.log"));
    assert_eq!(mode(&path), 0o600);
    assert!(
        fs::read(&path).unwrap().contains(&0x1b),
        "the log holds tmux's raw bytes"
    );
    let all = eventually("the log shows the answer", || {
        let text = world.run(["logs", &id]).ok();
        text.contains("red").then_some(text)
    });
    assert!(
        all.chars()
            .all(|c| c == '\n' || c == '\t' || !c.is_control()),
        "{all:?}"
    );
    assert_eq!(world.run(["logs", &id, "-n", "3"]).ok().lines().count(), 3);
    world.run(["close", &id]).ok();
    assert!(
        !world.run(["logs", &id, "-n", "5"]).ok().is_empty(),
        "the log stays after the end"
    );
}

#[test]
fn explain_says_where_a_state_comes_from() {
    let world = World::new();
    let id = world.agent();
    let explained = world.run(["explain", &id]).json();
    assert_eq!(
        (&explained["id"], &explained["status"], &explained["source"]),
        (&id.as_str().into(), &"idle".into(), &"event".into())
    );
    assert_eq!(
        (&explained["hooks_alive"], &explained["screen"]),
        (&true.into(), &"the empty prompt".into())
    );
    assert_eq!(explained["queue"], serde_json::json!([]));
    let shown = world.run(["explain", &id]).ok();
    assert!(
        shown.contains("believed from: event") && shown.contains("no message waits"),
        "{shown}"
    );
}

#[test]
fn queues_and_proofs_are_told() {
    let world = World::new();
    let id = world.agent();
    let told = |what: &str| -> Vec<Value> {
        let findings = world.run(["doctor"]).json();
        let all = findings.as_array().unwrap().iter();
        all.filter(|finding| finding["what"] == what)
            .cloned()
            .collect()
    };
    assert_eq!(told("queues")[0]["found"], "no message waits");
    assert_eq!(told("proof of delivery"), Vec::<Value>::new());

    for _ in 0..2 {
        let sent = world.send(&id, "SAY hello");
        world.message_becomes(sent["id"].as_str().unwrap(), "submitted");
        world.wait(&id, "idle");
    }
    let pane = world.status(&id)["pane"].as_str().unwrap().to_owned();
    world.tmux(["copy-mode", "-t", &pane]);
    world.send(&id, "SAY first");
    world.send(&id, "SAY second");

    let queue = &told("queues")[0]["figures"]["queues"][0];
    assert_eq!(
        (
            &queue["terminal"],
            &queue["provider"],
            &queue["depth"],
            &queue["reason"],
            &queue["retried_by"]
        ),
        (
            &id.as_str().into(),
            &"demo".into(),
            &2.into(),
            &"COPY_MODE".into(),
            &"leaving the mode".into()
        )
    );
    let proofs = told("proof of delivery").remove(0);
    let figures = &proofs["figures"]["proofs"];
    assert_eq!(
        (&figures["provider"], &figures["per_mille"]),
        (&"demo".into(), &1000.into())
    );
    let paste = &figures["by_transport"][0];
    assert_eq!(
        (&paste["transport"], &paste["placed"], &paste["proven"]),
        (&"paste".into(), &2.into(), &2.into())
    );
    assert!(paste["median_ms"].is_u64(), "{paste}");
    assert!(
        proofs["found"]
            .as_str()
            .unwrap()
            .starts_with("demo: 100.0 % proven: paste 2 of 2 in "),
        "{proofs}"
    );

    let explained = world.run(["explain", &id]).json();
    assert_eq!(explained["proofs"], *figures);
    assert!(explained["oldest_seconds"].is_u64(), "{explained}");
    let shown = world.run(["explain", &id]).ok();
    assert!(
        shown.contains("messages that wait: 2, the oldest for ")
            && shown.contains("deliveries: 100.0 % proven: paste 2 of 2 in "),
        "{shown}"
    );
}

#[test]
fn close_ends_one_terminal_and_leaves_the_rest() {
    let world = World::new();
    let team = world.launch(&["developer", "reviewer"]);
    let closed = world.run(["close", &team.workers[0]]).json();
    assert_eq!(
        (&closed["status"], &closed["status_reason"]),
        (&"exited".into(), &"closed".into())
    );
    assert!(closed["ended_at"].is_string());
    assert_eq!(
        world.run(["rm", &team.workers[0]]).json()["status"],
        "exited",
        "closing twice is closing once"
    );
    let session = world.run(["session", "work"]).json();
    let states: Vec<String> = session["terminals"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| text(&t["status"]))
        .collect();
    assert_eq!(states, ["idle", "exited", "idle"]);
    assert!(
        !world.at(&format!("state/run/{}", team.workers[0])).exists(),
        "its generated files are gone"
    );
}

#[test]
fn shutdown_ends_our_terminals_only() {
    let world = World::new();
    world.launch_as("one", &["developer"]);
    world.launch_as("two", &[]);
    world.run(["worker", "home", "-p", "demo"]).ok();
    assert_eq!(
        world
            .run(["shutdown", "--session", "one"])
            .json()
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(
        world.tmux(["list-sessions", "-F", "#{session_name}"]),
        "home\ntwo"
    );
    world.run(["shutdown", "--session", "nowhere"]).fails(3);
    assert_eq!(
        world.run(["k", "--all"]).json().as_array().unwrap().len(),
        2
    );
    assert_eq!(
        world.tmux(["list-panes", "-a", "-F", "#{session_name}"]),
        "home",
        "the person's own pane stays"
    );
    assert_eq!(
        world.run(["shutdown", "--all"]).json(),
        serde_json::json!([])
    );
    world.run(["shutdown"]).fails(2);
    world.run(["shutdown", "--all", "--force"]).ok();
    eventually("nothing of ours is left", || {
        world.processes().iter().all(|p| !p.ours()).then_some(())
    });
}

#[test]
fn a_session_with_a_pane_of_the_persons_stays_after_shutdown() {
    let world = World::new();
    world.launch(&[]);
    world.tmux(["split-window", "-d", "-t", "work:", "/bin/sh"]);
    world.run(["shutdown", "--session", "work"]).ok();
    assert_eq!(
        world.tmux(["list-panes", "-t", "work", "-F", "#{pane_current_command}"]),
        "sh"
    );
}

#[test]
fn attach_needs_a_terminal_and_something_to_attach_to() {
    let world = World::new();
    let id = world.agent();
    world.run(["attach", "nowhere"]).fails(3);
    let error = world.run(["attach", "work"]).fails(1);
    assert!(error.contains("not a terminal"), "{error}");
    world.run(["attach", &id]).fails(1);
    world.run(["launch", "-p", "demo", "--attach"]).fails(1);
    let sessions = world.run(["sessions"]).json();
    assert_eq!(
        sessions.as_array().unwrap().len(),
        1,
        "nothing was launched that could not be shown"
    );
    world.run(["close", &id]).ok();
    world.run(["attach", &id]).fails(4);
}

#[test]
fn messages_have_the_contracts_fields() {
    let world = World::new();
    let id = world.agent();
    let message = world
        .run(["send", &id, "-m", "SAY hi", "--wait", "20"])
        .json();
    assert_eq!(fields(&message), MESSAGE_FIELDS);
    assert_eq!(
        (&message["receiver"], &message["body"]),
        (&id.as_str().into(), &"SAY hi".into())
    );
    assert_eq!(
        message["sender"], "unverified",
        "a script without a terminal"
    );
    assert!(message["id"].is_string() && message["attempts"].is_u64());
    let shown = world.message(&text(&message["id"]));
    assert_eq!(fields(&shown)[..15], MESSAGE_FIELDS);
    for attempt in shown["tries"].as_array().unwrap() {
        assert!(
            attempt["transport"].is_string() && attempt["at"].is_string(),
            "{attempt}"
        );
    }
    let listed = world
        .run(["inbox", &id, "--status", "submitted", "--limit", "1"])
        .json();
    assert_eq!(fields(&listed[0]), MESSAGE_FIELDS);
    world.run(["inbox", "--status", "nonsense"]).fails(2);
    world.run(["inbox", "show", "4711"]).fails(3);
}

#[test]
fn wait_ends_with_the_state_or_with_five() {
    let world = World::new();
    let team = world.launch(&["developer"]);
    let both = world
        .run([
            "wait",
            &team.supervisor,
            &team.workers[0],
            "--for",
            "idle",
            "--all",
            "--timeout",
            "5",
        ])
        .json();
    assert_eq!(both.as_array().unwrap().len(), 2);
    world
        .run([
            "wait",
            &team.supervisor,
            "--for",
            "working",
            "--timeout",
            "0.2",
        ])
        .fails(5);
    world
        .run(["wait", &team.supervisor, "--for", "happy"])
        .fails(2);
    world
        .run(["send", &team.supervisor, "-m", "SLEEP 0.5", "--wait", "20"])
        .ok();
    let any = world
        .run([
            "wait",
            &team.supervisor,
            &team.workers[0],
            "--for",
            "working",
            "--any",
            "--timeout",
            "5",
        ])
        .json();
    assert!(
        any.as_array()
            .unwrap()
            .iter()
            .any(|t| t["status"] == "working")
    );
    world.wait(&team.supervisor, "idle");
    world.run(["close", &team.workers[0]]).ok();
    world
        .run(["wait", &team.workers[0], "--for", "idle", "--timeout", "5"])
        .fails(4);
}

#[test]
fn commands_that_read_work_without_a_tmux_server() {
    let world = World::without_tmux_server();
    assert_eq!(world.run(["sessions"]).json(), serde_json::json!([]));
    assert_eq!(world.run(["sessions"]).ok(), "no sessions\n");
    assert!(!world.home().exists(), "reading makes nothing");
    world.run(["status", "x"]).fails(3);
    world.run(["init"]).ok();
    assert_eq!(world.run(["inbox"]).json(), serde_json::json!([]));
}

#[test]
fn force_alone_ends_nothing() {
    let world = World::new();
    let id = world.agent();
    world.run(["shutdown", "--force"]).fails(2);
    world
        .run(["shutdown", "--session", "work", "--all"])
        .fails(2);
    assert_eq!(world.status(&id)["status"], "idle");
    world.run(["shutdown", "--session", "work", "--force"]).ok();
    assert_eq!(world.status(&id)["status"], "exited");
}

#[test]
fn a_terminal_stays_in_its_session_while_others_show_its_window() {
    let world = World::new();
    let team = world.launch(&["developer"]);
    let id = &team.workers[0];
    // tmux lists sessions by name: both of these come before ours.
    world.tmux(["new-session", "-d", "-s", "a-group", "-t", "work"]);
    world.tmux(["link-window", "-d", "-s", "work:developer", "-t", "home:"]);
    world.run(["sessions"]).ok();
    assert_eq!(world.status(id)["session"], "work");
    assert_eq!(
        world.run(["session", "work"]).json()["terminals"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    // The pane outlives its session in the others.
    world.tmux(["kill-session", "-t", "=work"]);
    world.run(["sessions"]).ok();
    assert_eq!(world.status(id)["session"], "a-group");
    assert_eq!(world.status(id)["status"], "idle");
}

#[test]
fn nothing_of_an_ended_terminal_is_left_in_the_run_directory() {
    let world = World::new();
    let team = world.launch(&["developer"]);
    world.ask(&team.workers[0], "SAY x");
    world.run(["close", &team.workers[0]]).ok();
    // A look at the queue of what has ended makes nothing anew.
    world.run(["send", &team.workers[0], "-m", "x"]).fails(4);
    world.ask(&team.supervisor, "SAY y");
    world.run(["send", &team.supervisor, "-m", "CRASH"]).ok();
    world.wait(&team.supervisor, "exited");
    eventually("the directory is empty", || {
        world.run(["sessions"]).ok();
        let left: Vec<_> = ["state/run", "state/run/locks"]
            .into_iter()
            .flat_map(|dir| fs::read_dir(world.at(dir)).unwrap())
            .map(|entry| entry.unwrap().file_name())
            .collect();
        (left == ["locks"]).then_some(())
    });
}
