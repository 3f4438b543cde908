//! What the death of a tmux server leaves: nothing that waits is lost, and the agents are started again where they were.

use crate::delivery::bodies;
use crate::failpoints::{arm, armed, world as fallible};
use crate::support::{World, eventually, text};
use serde_json::{Value, json};
use std::fs;

/// Kills the tmux server without a word, and waits until its agents are gone too.
pub(crate) fn kill_server(world: &World) {
    let pid = world.tmux(["display-message", "-p", "#{pid}"]);
    world.kill("-KILL", pid.parse().unwrap());
    gone(world);
}

fn gone(world: &World) {
    eventually("the server and its agents are gone", || {
        let said = world.try_tmux(["list-sessions"]).stderr;
        let dead = said.contains("no server running") || said.contains("error connecting");
        (dead && world.processes().is_empty()).then_some(())
    });
}

/// A new server at the same place, with the plugin loaded.
pub(crate) fn reload(world: &World) {
    world.start_server();
    world.run(["plugin", "load"]).ok();
}

/// A turn, so that the agent has a conversation.
#[track_caller]
pub(crate) fn talk(world: &World, id: &str) {
    assert_eq!(world.ask(id, "SAY hello"), "hello");
}

/// A message that waits because a person reads in the pane.
#[track_caller]
pub(crate) fn waiting(world: &World, id: &str, body: &str) -> String {
    let pane = text(&world.status(id)["pane"]);
    world.tmux(["copy-mode", "-t", &pane]);
    let sent = world.send(id, body);
    assert_eq!(sent["status"], "queued", "{sent}");
    text(&sent["id"])
}

#[track_caller]
fn lost(world: &World, id: &str, why: &str) {
    let status = world.status(id);
    assert_eq!(status["status"], "exited", "{status}");
    assert!(text(&status["status_reason"]).contains(why), "{status}");
}

#[track_caller]
fn outcomes(rows: &Value) -> Vec<(String, String)> {
    let rows = rows.as_array().unwrap();
    rows.iter()
        .map(|row| (text(&row["terminal"]), text(&row["outcome"])))
        .collect()
}

fn agents(world: &World) -> usize {
    let all = world.processes();
    all.iter()
        .filter(|p| p.command.starts_with("conductor-demo"))
        .count()
}

#[test]
fn what_waits_for_an_agent_waits_for_its_resumption() {
    let world = World::new();
    world.run(["plugin", "load"]).ok();
    let team = world.launch(&["developer"]);
    let (supervisor, worker) = (&team.supervisor, &team.workers[0]);
    talk(&world, worker);
    talk(&world, supervisor);
    let kept = waiting(&world, worker, "SAY kept");
    let before = world.status(worker);
    kill_server(&world);
    reload(&world);
    lost(&world, worker, "the tmux server");
    let message = world.message(&kept);
    assert_eq!(
        (&message["status"], &message["again"]),
        (&"queued".into(), &false.into()),
        "{message}"
    );
    assert!(text(&message["last_error"]).contains("waits to be resumed"));
    let refused = world.run(["send", worker, "-m", "SAY too late"]).fails(4);
    assert!(refused.contains("recover --resume"), "{refused}");

    let offered = world.run(["recover"]).json();
    let row = |n: usize, field: &str| offered[n][field].clone();
    assert_eq!(row(0, "terminal"), supervisor.as_str(), "supervisors first");
    assert_eq!(row(1, "terminal"), worker.as_str());
    for (field, value) in [
        ("lost", json!(true)),
        ("ended", json!(false)),
        ("begun", json!(true)),
        ("unread", json!(1)),
        ("hindrance", Value::Null),
        ("session", before["session"].clone()),
        ("window", before["window"].clone()),
        ("cwd", before["cwd"].clone()),
    ] {
        assert_eq!(row(1, field), value, "{field}: {offered}");
    }
    let listed = world.run(["recover"]).ok();
    assert!(listed.contains("2 can be resumed"), "{listed}");
    let found = world.run(["doctor"]).done().stdout;
    assert!(
        found.contains("2 ended agents can be resumed; 1 messages"),
        "{found}"
    );
    let planned = world.run(["recover", "--dry-run", "--resume"]).json();
    assert_eq!(planned.as_array().unwrap().len(), 2);
    assert_eq!(agents(&world), 0, "nothing was started");

    let resumed = world.run(["recover", "--resume"]).json();
    let expected = [supervisor, worker].map(|id| (id.clone(), "resumed".to_owned()));
    assert_eq!(outcomes(&resumed), expected);
    world.message_becomes(&kept, "submitted");
    world.wait(worker, "idle");
    assert_eq!(bodies(&world, worker), ["SAY hello", "SAY kept"]);
    let after = world.status(worker);
    for field in ["session", "window", "agent_session", "cwd", "caller"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    assert_eq!(world.run(["recover"]).json(), json!([]));
    assert_eq!(
        world.run(["recover", "--resume"]).ok(),
        "nothing is to be resumed\n"
    );
    assert_eq!(agents(&world), 2);
    assert_eq!(world.audited("terminal.lost"), 2);
    assert_eq!(world.run(["audit", "verify"]).done().code, 0);
}

#[test]
fn a_server_that_is_told_to_end_is_no_wish_of_its_agents() {
    let world = World::new();
    let id = world.agent();
    talk(&world, &id);
    let kept = waiting(&world, &id, "SAY kept");
    world.tmux(["kill-server"]);
    gone(&world);
    lost(&world, &id, "the tmux server");
    assert_eq!(world.message(&kept)["status"], "queued");
    // Also without any server to begin with.
    world.run(["recover", "--resume"]).ok();
    world.message_becomes(&kept, "submitted");
}

#[test]
fn what_lay_in_the_pane_comes_again_and_says_so() {
    let (world, id) = fallible();
    talk(&world, &id);
    arm(&world, "prompt.before_commit");
    let placed = text(&world.send(&id, "SAY once more")["id"]);
    eventually("the proof died", || (!armed(&world)).then_some(()));
    assert_eq!(world.message(&placed)["status"], "placed");
    kill_server(&world);
    reload(&world);
    let message = world.message(&placed);
    assert_eq!(
        (&message["status"], &message["again"]),
        (&"queued".into(), &true.into()),
        "{message}"
    );
    world.run(["recover", "--resume"]).ok();
    let message = world.message_becomes(&placed, "submitted");
    let tries = message["tries"].as_array().unwrap();
    assert_eq!(tries[0]["outcome"], "lost", "{message}");
    world.wait(&id, "idle");
    let marked: Vec<String> = world
        .logged(&id, &["prompt"])
        .into_iter()
        .filter(|line| line.contains("once more"))
        .collect();
    assert_eq!(marked.len(), 2, "{marked:?}");
    assert!(
        !marked[0].contains("(again)") && marked[1].contains("(again)"),
        "{marked:?}"
    );
}

#[test]
fn what_was_asked_for_is_withdrawn_and_asked_again() {
    let world = World::new();
    let id = world.agent();
    let file = world.at("project/made");
    let run = format!("RUN touch {}", file.display());
    world.send(&id, &run);
    let asked = text(&world.asked(&id)["id"]);
    kill_server(&world);
    reload(&world);
    assert_eq!(world.pending(), Vec::<Value>::new());
    let approval = world.run(["approval", "show", &asked]).json();
    assert_eq!(approval["status"], "withdrawn", "{approval}");
    assert!(
        text(&approval["reason"]).contains("asks again"),
        "{approval}"
    );
    world.run(["approve", &asked]).fails(4);
    world.run(["recover", "--resume"]).ok();
    // It is told that it was cut off, and asks anew.
    let told = eventually("it is told", || {
        let all = world.run(["inbox", &id]).json();
        let all = all.as_array().unwrap();
        all.iter()
            .find(|m| text(&m["body"]).contains("Your tmux server ended"))
            .cloned()
    });
    world.message_becomes(&text(&told["id"]), "submitted");
    world.send(&id, &run);
    assert_ne!(text(&world.asked(&id)["id"]), asked);
    assert!(!file.exists(), "nothing ran without a yes");
}

/// A supervisor whose worker was at a handoff when the server died.
fn handing_over() -> (World, String, String) {
    let world = World::new();
    let supervisor = world.agent();
    let task =
        json!({"agent_profile": "developer", "message": "SLEEP 60\nSAY never", "wait_seconds": 40});
    world.send(&supervisor, &format!("MCP handoff {task}"));
    let worker = eventually("the worker is at it", || {
        let all = world.run(["sessions"]).json();
        let all = all[0]["terminals"].as_array()?.clone();
        let worker = all.iter().find(|t| t["role"] == "worker")?;
        (worker["status"] == "working").then(|| text(&worker["id"]))
    });
    kill_server(&world);
    reload(&world);
    (world, supervisor, worker)
}

/// Answers of handoffs in an agent's inbox.
fn answers(world: &World, id: &str) -> Vec<String> {
    let all = world.run(["inbox", id]).json();
    let bodies = all.as_array().unwrap().iter().map(|m| text(&m["body"]));
    bodies
        .filter(|body| body.starts_with("Answer to handoff"))
        .collect()
}

#[test]
fn a_handoff_goes_on_when_its_worker_does() {
    let (world, supervisor, worker) = handing_over();
    world.run(["recover", "--resume", &supervisor]).ok();
    world.wait(&supervisor, "idle");
    assert_eq!(answers(&world, &supervisor), Vec::<String>::new());
    world.run(["recover", "--resume"]).ok();
    let answer = eventually("the answer is in the inbox", || {
        world.run(["tick"]).ok();
        answers(&world, &supervisor).pop()
    });
    assert!(
        answer.contains("(done)") && answer.contains(&worker),
        "{answer}"
    );
    world.run(["tick"]).ok();
    assert_eq!(answers(&world, &supervisor).len(), 1);
}

#[test]
fn a_handoff_whose_worker_is_given_up_fails() {
    let (world, supervisor, worker) = handing_over();
    world.run(["close", &worker]).ok();
    world.run(["recover", "--resume"]).ok();
    let answer = eventually("the answer is in the inbox", || {
        world.run(["tick"]).ok();
        answers(&world, &supervisor).pop()
    });
    assert!(
        answer.contains("(error)") && answer.contains("given up"),
        "{answer}"
    );
    // A hook that is being started looks like its agent until it is itself.
    eventually("one agent runs", || (agents(&world) == 1).then_some(()));
}

#[test]
fn a_pid_and_its_ticks_in_another_boot_are_a_stranger() {
    let world = World::new();
    let id = world.agent();
    talk(&world, &id);
    assert_eq!(world.run(["recover", "--dry-run"]).json(), json!([]));
    let other = "11111111-68d4-484b-9c9b-c4ee17de1ca8";
    let found = world
        .run(["recover", "--dry-run"])
        .env("CONDUCTOR_BOOT_ID", other)
        .json();
    assert_eq!(found[0]["reason"], "the machine was restarted", "{found}");
    // Too quick for a farewell, as a loss of power is.
    world.kill("-KILL", world.pane_pid(&id));
    kill_server(&world);
    let done = world
        .run(["sessions"])
        .env("CONDUCTOR_BOOT_ID", other)
        .done();
    assert_eq!(done.code, 0, "{done:?}");
    lost(&world, &id, "the machine was restarted");
    world.run(["recover", "--resume"]).ok();
    world.wait(&id, "idle");
}

#[test]
fn many_that_recover_at_once_start_each_agent_once() {
    let world = World::new();
    let team = world.launch(&["developer", "developer"]);
    kill_server(&world);
    world.start_server();
    let runs: Vec<_> = (0..4)
        .map(|_| world.run(["recover", "--resume", "--json"]).start())
        .collect();
    for run in runs {
        let rows = run.done().json();
        let all = outcomes(&rows);
        assert!(
            all.iter()
                .all(|(_, how)| how == "resumed" || how == "lives"),
            "{all:?}"
        );
    }
    for id in [&team.supervisor, &team.workers[0], &team.workers[1]] {
        world.wait(id, "idle");
    }
    assert_eq!((agents(&world), world.audited("terminal.resumed")), (3, 3));
}

#[test]
fn one_that_fails_does_not_stop_the_others_and_waits_on() {
    let world = World::new();
    let supervisor = world.agent();
    let elsewhere = world.at("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let place = elsewhere.to_string_lossy().into_owned();
    let worker = world
        .run(["worker", "work", "-p", "demo", "--cwd", &place])
        .json();
    let worker = text(&worker["id"]);
    world.wait(&worker, "idle");
    talk(&world, &worker);
    let kept = waiting(&world, &worker, "SAY kept");
    kill_server(&world);
    fs::remove_dir(&elsewhere).unwrap();
    reload(&world);
    let done = world.run(["recover", "--resume", "--json"]).done();
    assert_eq!(done.code, 1, "{done:?}");
    let rows: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(
        outcomes(&rows),
        [
            (supervisor, "resumed".to_owned()),
            (worker.clone(), "failed".to_owned())
        ]
    );
    assert!(text(&rows[1]["hindrance"]).contains("is gone"), "{rows}");
    assert_eq!(world.message(&kept)["status"], "queued");
    fs::create_dir(&elsewhere).unwrap();
    let shown = world.run(["recover", "--resume", "--session", "work"]).ok();
    assert!(shown.contains("goes on in work:"), "{shown}");
    world.message_becomes(&kept, "submitted");
    world
        .run(["recover", "--resume", "--session", "x", &worker])
        .fails(2);
}

#[test]
fn a_start_that_fails_keeps_what_waits() {
    let world = World::new();
    let id = world.agent();
    talk(&world, &id);
    let kept = waiting(&world, &id, "SAY kept");
    kill_server(&world);
    reload(&world);
    // tmux refuses every new pane.
    world.script("broken/tmux", "[ \"$1\" = -V ] && echo tmux 3.3a");
    let path = format!("{}:/usr/bin:/bin", world.at("broken").display());
    let done = world
        .run(["recover", "--resume", "--json"])
        .env("PATH", &path)
        .done();
    assert_eq!(done.code, 1, "{done:?}");
    assert_eq!(world.status(&id)["status"], "exited");
    assert_eq!(world.message(&kept)["status"], "queued");
    world.run(["recover", "--resume"]).ok();
    world.message_becomes(&kept, "submitted");
}

#[test]
fn a_recovery_that_is_killed_is_made_good_by_the_next() {
    let world = World::new();
    let id = world.agent();
    talk(&world, &id);
    let kept = waiting(&world, &id, "SAY kept");
    kill_server(&world);
    reload(&world);
    for point in ["resume.revived", "db.committed:2"] {
        world
            .run(["recover", "--resume"])
            .env("CONDUCTOR_FAILPOINT", point)
            .done();
        // Half a minute later it is known that it never started.
        let skew = "40000";
        world
            .run(["sessions"])
            .env("CONDUCTOR_CLOCK_SKEW", skew)
            .ok();
        let status = world.status(&id);
        assert_eq!(status["status"], "exited", "{point}: {status}");
        assert_eq!(world.message(&kept)["status"], "queued", "{point}");
    }
    world.run(["recover", "--resume"]).ok();
    world.message_becomes(&kept, "submitted");
    world.wait(&id, "idle");
    assert_eq!(bodies(&world, &id), ["SAY hello", "SAY kept"]);
}

/// A window's layout without what differs from server to server.
fn shape(world: &World, pane: &str) -> String {
    let layout = world.tmux(["display-message", "-p", "-t", pane, "#{window_layout}"]);
    let rest = layout.split_once(',').unwrap().1;
    // A pane's number stands behind its size and place.
    let cells = rest.split_inclusive(['{', '}', '[', ']']);
    let parts: Vec<String> = cells
        .map(|cell| {
            let numbers: Vec<&str> = cell.split(',').collect();
            format!("{}/{}", numbers.len(), numbers[0])
        })
        .collect();
    parts.join(" ")
}

#[test]
fn windows_and_splits_are_as_they_were() {
    let world = World::new();
    let supervisor = world.agent();
    let split = world
        .run(["worker", "work", "-p", "demo", "--split", "h"])
        .json();
    let alone = world.run(["worker", "work", "-p", "demo"]).json();
    let (split, alone) = (text(&split["id"]), text(&alone["id"]));
    for id in [&split, &alone] {
        world.wait(id, "idle");
    }
    let pane = |id: &str| text(&world.status(id)["pane"]);
    world.tmux(["move-window", "-s", &pane(&alone), "-t", "work:7"]);
    world.tmux(["rename-window", "-t", &pane(&alone), "a #name; of 'mine'"]);
    world.tmux(["resize-pane", "-t", &pane(&supervisor), "-x", "80"]);
    world.run(["sessions"]).ok();
    let place = |id: &str| {
        world.tmux([
            "display-message",
            "-p",
            "-t",
            &pane(id),
            "#{window_index}.#{pane_index} #{pane_width}x#{pane_height} #{window_name}",
        ])
    };
    let all = [&supervisor, &split, &alone];
    let before: Vec<String> = all.iter().map(|id| place(id)).collect();
    let layout = shape(&world, &pane(&supervisor));
    kill_server(&world);
    reload(&world);
    world.run(["recover", "--resume"]).ok();
    let after: Vec<String> = all.iter().map(|id| place(id)).collect();
    assert_eq!(after, before);
    assert_eq!(shape(&world, &pane(&supervisor)), layout);
}

#[test]
fn people_are_told_once_for_each_loss() {
    let world = World::new();
    world.launch(&["developer"]);
    kill_server(&world);
    reload(&world);
    let hook = || world.tmux(["show-hooks", "-g", "client-session-changed"]);
    assert!(
        hook().contains("2 ended agents can be resumed"),
        "{}",
        hook()
    );
    world.tmux(["set-hook", "-gu", "client-session-changed[1731]"]);
    world.run(["plugin", "load"]).ok();
    assert!(!hook().contains("can be resumed"), "{}", hook());
    world.run(["recover", "--resume"]).ok();
    kill_server(&world);
    reload(&world);
    assert!(hook().contains("2 ended agents"), "{}", hook());
    world.run(["plugin", "unload"]).ok();
    assert!(!hook().contains("1731"), "{}", hook());
}

#[test]
fn agents_and_flows_move_to_another_server() {
    let world = World::new();
    world.run(["plugin", "load"]).ok();
    let id = world.agent();
    talk(&world, &id);
    let flow = "---\nname: nightly\nschedule: \"0 3 * * *\"\nagent_profile: developer\nprovider: demo\n---\nSAY x\n";
    let flow = world.write("flows/nightly.md", flow);
    world.run(["flow", "add", &flow.to_string_lossy()]).ok();
    let other = world.at("other.sock").to_string_lossy().into_owned();
    let at_other = |words: &[&str]| {
        let mut command = world.command("tmux");
        let done = command.arg("-S").arg(&other).args(words).output().unwrap();
        String::from_utf8(done.stdout).unwrap()
    };
    at_other(&[
        "-f",
        "/dev/null",
        "new-session",
        "-d",
        "-s",
        "mine",
        "/bin/sh",
    ]);
    let load = || world.run(["-S", &other, "plugin", "load"]).ok();
    load();
    let warned = || world.run(["flow", "list"]).json()[0]["warning"].clone();
    assert_eq!(world.audited("flow.moved"), 0, "its server lives");
    assert_eq!(world.status(&id)["status"], "idle", "and so does the agent");
    let pid = world.tmux(["display-message", "-p", "#{pid}"]);
    world.kill("-KILL", pid.parse().unwrap());
    eventually("the agent is gone", || {
        (world.status(&id)["status"] == "exited").then_some(())
    });
    assert!(
        text(&warned()).contains("no tmux server runs"),
        "{}",
        warned()
    );
    load();
    assert_eq!(world.audited("flow.moved"), 1);
    assert_eq!(warned(), Value::Null);
    world.run(["-S", &other, "recover", "--resume"]).ok();
    world.wait(&id, "idle");
    assert_eq!(world.status(&id)["server"], other.as_str());
    talk(&world, &id);
    load();
    assert_eq!(world.audited("flow.moved"), 1);
    at_other(&["kill-server"]);
    eventually("the other server is gone", || {
        world.processes().is_empty().then_some(())
    });
}

#[test]
fn an_agent_of_a_flow_is_not_resumed_and_its_run_says_why() {
    let world = World::new();
    let flow = "---\nname: slow\nschedule: \"0 3 1 1 *\"\nagent_profile: developer\nprovider: demo\n---\nSLEEP 60\n";
    let flow = world.write("flows/slow.md", flow);
    world.run(["flow", "add", &flow.to_string_lossy()]).ok();
    let run = world.run(["flow", "run", "slow"]).json();
    let terminal = text(&run["terminal"]);
    world.wait(&terminal, "working");
    kill_server(&world);
    reload(&world);
    let ended = eventually("the run has its outcome", || {
        world.run(["tick"]).ok();
        let run = world.run(["flow", "history", "slow"]).json()[0].clone();
        (run["outcome"] != "running").then_some(run)
    });
    assert_eq!(ended["outcome"], "failed", "{ended}");
    assert!(
        text(&ended["reason"]).contains("the tmux server"),
        "{ended}"
    );
    assert_eq!(world.run(["recover"]).json(), json!([]));
    // A person may take it up all the same.
    world.run(["recover", "--resume", &terminal]).ok();
    world.wait(&terminal, "idle");
}

#[test]
fn a_person_turns_the_own_pane_into_the_agents() {
    let world = World::new();
    let id = world.agent();
    talk(&world, &id);
    let kept = waiting(&world, &id, "SAY kept");
    kill_server(&world);
    reload(&world);
    let refused = world.run(["resume", "--here", &id]).fails(4);
    assert!(refused.contains("--here"), "{refused}");
    let typed = |exec: &str| {
        let line = format!(
            "CONDUCTOR_HOME={} {exec}{} -S {} resume --here {id}",
            world.home().display(),
            crate::support::BINARY,
            world.socket().display()
        );
        let pane = world.tmux([
            "new-window",
            "-d",
            "-P",
            "-F",
            "#{pane_id}",
            "-t",
            "home:",
            "/bin/sh",
        ]);
        world.tmux(["send-keys", "-t", &pane, "-l", &line]);
        world.tmux(["send-keys", "-t", &pane, "Enter"]);
        pane
    };
    let pane = typed("");
    world.message_becomes(&kept, "submitted");
    let status = world.status(&id);
    assert_eq!(
        (&status["pane"], &status["session"]),
        (&pane.as_str().into(), &"home".into())
    );
    talk(&world, &id);
    world.run(["close", &id]).ok();
    let left = || {
        world.tmux([
            "list-panes",
            "-a",
            "-F",
            "#{pane_id} #{pane_current_command}",
        ])
    };
    eventually("the person's shell is there again", || {
        left().contains(&format!("{pane} sh")).then_some(())
    });
    // In place of the shell, the pane is the agent's, and goes with it.
    let pane = typed("exec ");
    eventually("it is there", || {
        (world.status(&id)["pane"] == pane.as_str()).then_some(())
    });
    world.wait(&id, "idle");
    world.run(["close", &id]).ok();
    eventually("the pane is gone", || {
        (!left().contains(&pane)).then_some(())
    });
}
