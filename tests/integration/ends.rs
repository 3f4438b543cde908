//! Every way in which a pane or its agent can end: the terminal is `exited` with the reason, and what waited for it is `dead` with the reason.

use crate::support::{World, eventually, text};

const MUTE: &str = r#"
name = "mute"
title = "Mute agent"
program = "/bin/cat"
dialect = "none"
[launch]
[submit]
inline_chars = 700
enter_ms = 30
"#;

/// One living agent with a message that waits for it.
struct Doomed {
    world: World,
    id: String,
    pane: String,
    waiting: String,
}

impl Doomed {
    /// The agent has no hooks: its own farewell would be as good a reason as what is tested here, and sometimes the quicker one.
    fn new() -> Self {
        let world = World::new();
        world.write("state/providers/mute.toml", MUTE);
        let session = world
            .run(["launch", "-p", "mute", "--session", "work"])
            .json();
        let terminal = &session["terminals"][0];
        let (id, pane) = (text(&terminal["id"]), text(&terminal["pane"]));
        let sent = world.send(&id, "SAY never heard");
        assert_eq!(sent["status"], "queued", "{sent}");
        Self {
            waiting: text(&sent["id"]),
            world,
            id,
            pane,
        }
    }

    fn with_plugin() -> Self {
        let doomed = Self::new();
        doomed.world.run(["plugin", "load"]).ok();
        doomed
    }

    /// tmux with `PANE` replaced by the agent's pane.
    fn tmux(&self, words: &[&str]) {
        self.world.tmux(
            words
                .iter()
                .map(|word| word.replace("PANE", &self.pane))
                .collect::<Vec<_>>(),
        );
    }

    /// Waits until the end is noted without any command of ours: an ended terminal's generated files go.
    fn noticed_by_event(self) -> Self {
        let run = self.world.at(&format!("state/run/{}", self.id));
        eventually("tmux's event was enough", || (!run.exists()).then_some(()));
        self
    }

    /// The next command finds it ended for a reason that holds `why`.
    #[track_caller]
    fn ended(self, why: &str) -> World {
        let status = eventually("the terminal has ended", || {
            let status = self.world.status(&self.id);
            (status["status"] == "exited").then_some(status)
        });
        let reason = text(&status["status_reason"]);
        assert!(reason.contains(why), "{reason:?} does not say {why:?}");
        assert!(status["ended_at"].is_string(), "{status}");
        let message = self.world.message(&self.waiting);
        assert_eq!(message["status"], "dead", "{message}");
        assert!(text(&message["last_error"]).contains(&reason), "{message}");
        self.world
            .run(["send", &self.id, "-m", "too late"])
            .fails(4);
        self.world
    }
}

#[test]
fn the_agent_exits() {
    let world = World::new();
    let id = world.agent();
    world
        .run(["send", &id, "--wait", "20", "-m", "SLEEP 2\nEXIT 7"])
        .ok();
    let waiting = text(&world.send(&id, "SAY never heard")["id"]);
    world.wait(&id, "exited");
    let status = world.status(&id);
    assert_eq!(
        (&status["exit_code"], &status["gated"]),
        (&7.into(), &"yes".into()),
        "{status}"
    );
    assert!(
        text(&status["status_reason"]).contains("the agent ended"),
        "{status}"
    );
    assert_eq!(world.message(&waiting)["status"], "dead");
}

#[test]
fn the_agent_crashes() {
    let world = World::new();
    let id = world.agent();
    world
        .run(["send", &id, "--wait", "20", "-m", "SLEEP 2\nCRASH"])
        .ok();
    let waiting = text(&world.send(&id, "SAY never heard")["id"]);
    world.wait(&id, "exited");
    let status = world.status(&id);
    assert_eq!(
        status["exit_code"],
        serde_json::Value::Null,
        "nothing told it"
    );
    assert!(!text(&status["status_reason"]).is_empty());
    let message = world.message(&waiting);
    assert!(
        message["status"] == "dead" && text(&message["last_error"]).contains("ended"),
        "{message}"
    );
}

#[test]
fn the_agent_is_killed() {
    let doomed = Doomed::with_plugin();
    let pid = doomed.world.pane_pid(&doomed.id);
    doomed.world.kill("-KILL", pid);
    doomed.noticed_by_event().ended("gone");
}

#[test]
fn the_agent_is_killed_unseen() {
    let doomed = Doomed::new();
    let pid = doomed.world.pane_pid(&doomed.id);
    doomed.world.kill("-KILL", pid);
    doomed.ended("");
}

#[test]
fn its_only_pane_is_killed() {
    let doomed = Doomed::with_plugin();
    doomed.tmux(&["kill-pane", "-t", "PANE"]);
    doomed.noticed_by_event().ended("its pane is gone");
}

#[test]
fn its_pane_beside_another_is_killed() {
    let doomed = Doomed::with_plugin();
    doomed.tmux(&["split-window", "-d", "-t", "PANE", "/bin/sh"]);
    doomed.tmux(&["kill-pane", "-t", "PANE"]);
    doomed.noticed_by_event().ended("its pane is gone");
}

#[test]
fn its_window_is_killed() {
    let doomed = Doomed::with_plugin();
    doomed.tmux(&["kill-window", "-t", "PANE"]);
    doomed.noticed_by_event().ended("its pane is gone");
}

#[test]
fn its_session_is_killed() {
    let doomed = Doomed::with_plugin();
    doomed.tmux(&["kill-session", "-t", "work"]);
    doomed.noticed_by_event().ended("its pane is gone");
}

#[test]
fn its_window_is_unlinked() {
    let doomed = Doomed::with_plugin();
    doomed.tmux(&["unlink-window", "-k", "-t", "PANE"]);
    doomed.noticed_by_event().ended("its pane is gone");
}

#[test]
fn a_window_that_is_linked_elsewhere_lives_on() {
    let world = World::new();
    let id = world.agent();
    world.run(["plugin", "load"]).ok();
    world.tmux(["link-window", "-s", "work:", "-t", "home:"]);
    world.tmux(["kill-session", "-t", "work"]);
    world.wait(&id, "idle");
    assert_eq!(world.ask(&id, "SAY alive"), "alive");
    assert_eq!(
        world.status(&id)["session"],
        "home",
        "the record follows the window"
    );
}

#[test]
fn its_pane_is_respawned() {
    let doomed = Doomed::new();
    doomed.tmux(&["respawn-pane", "-k", "-t", "PANE", "/bin/sh"]);
    let pane = doomed.pane.clone();
    let world = doomed.ended("respawned");
    assert_eq!(
        world.tmux([
            "display-message",
            "-p",
            "-t",
            &pane,
            "#{pane_dead}#{pane_current_command}"
        ]),
        "0sh"
    );
}

#[test]
fn its_window_is_respawned() {
    let doomed = Doomed::new();
    doomed.tmux(&["respawn-window", "-k", "-t", "PANE", "/bin/sh"]);
    doomed.ended("respawned");
}

#[test]
fn its_pane_is_killed_inside_a_hook() {
    let doomed = Doomed::new();
    doomed.tmux(&[
        "set-hook",
        "-g",
        "after-rename-window",
        "kill-pane -t 'PANE'",
    ]);
    doomed.tmux(&["rename-window", "-t", "home:", "renamed"]);
    doomed.ended("its pane is gone");
}

#[test]
fn its_dead_pane_remains() {
    let doomed = Doomed::new();
    doomed.tmux(&["set-option", "-w", "-t", "PANE", "remain-on-exit", "on"]);
    let pid = doomed.world.pane_pid(&doomed.id);
    doomed.world.kill("-KILL", pid);
    let pane = doomed.pane.clone();
    let world = doomed.ended("");
    assert!(
        world
            .tmux(["list-panes", "-a", "-F", "#{pane_id}"])
            .contains(&pane),
        "the dead pane is the person's to close"
    );
}

#[test]
fn the_server_is_killed() {
    let doomed = Doomed::new();
    doomed.tmux(&["kill-server"]);
    doomed.ended("server");
}

#[test]
fn the_server_dies_without_a_word() {
    let doomed = Doomed::new();
    let server: i32 = doomed
        .world
        .tmux(["display-message", "-p", "#{pid}"])
        .parse()
        .unwrap();
    doomed.world.kill("-KILL", server);
    doomed.ended("server");
}

#[test]
fn a_pane_of_a_new_server_with_the_same_number_is_a_stranger() {
    let doomed = Doomed::new();
    doomed.tmux(&["kill-server"]);
    let world = &doomed.world;
    eventually("the server is gone", || {
        (world.try_tmux(["list-panes", "-a"]).code != 0).then_some(())
    });
    world.start_server();
    while !world
        .tmux(["list-panes", "-a", "-F", "#{pane_id}"])
        .contains(&doomed.pane)
    {
        world.tmux(["new-window", "-d", "-t", "home:", "/bin/cat"]);
    }
    let pane = doomed.pane.clone();
    let world = doomed.ended("server");
    world.run(["send", &pane, "-m", "x"]).fails(3);
    assert_eq!(world.tmux(["capture-pane", "-p", "-t", &pane]).trim(), "");
}

#[test]
fn recover_says_what_it_finds_and_a_dry_run_changes_nothing() {
    let doomed = Doomed::new();
    doomed.tmux(&["kill-pane", "-t", "PANE"]);
    let world = &doomed.world;
    let found = world.run(["recover", "--dry-run"]).json();
    assert_eq!(found[0]["terminal"], doomed.id.as_str());
    assert_eq!(
        world.run(["recover", "--dry-run"]).json(),
        found,
        "still to be mended"
    );
    assert_eq!(world.run(["recover"]).json(), found);
    assert_eq!(world.run(["recover"]).json(), serde_json::json!([]));
    doomed.ended("its pane is gone");
}

#[test]
fn an_agent_with_hooks_says_farewell_when_its_pane_is_closed() {
    let world = World::new();
    let id = world.agent();
    let pane = text(&world.status(&id)["pane"]);
    world.tmux(["kill-pane", "-t", &pane]);
    world.wait(&id, "exited");
    let reason = text(&world.status(&id)["status_reason"]);
    assert!(
        ["its pane is gone", "the agent ended"]
            .iter()
            .any(|why| reason.contains(why)),
        "{reason}"
    );
    eventually("the farewell is over", || {
        world.processes().iter().all(|p| !p.ours()).then_some(())
    });
}

#[test]
fn an_agent_whose_closer_was_killed_is_ended_by_whoever_looks_next() {
    let world = World::new();
    let id = world.agent();
    let pid = world.pane_pid(&id);
    let alive = || world.processes().iter().any(|process| process.pid == pid);
    world
        .run(["close", &id])
        .env("CONDUCTOR_FAILPOINT", "close.recorded")
        .done();
    assert_eq!(world.status(&id)["status"], "exited");
    assert!(alive(), "nobody has ended it");
    world.run(["recover"]).ok();
    assert!(alive(), "whoever closes it may still be at it");
    world
        .run(["recover"])
        .env("CONDUCTOR_CLOCK_SKEW", "20000")
        .ok();
    eventually("it has ended", || (!alive()).then_some(()));
}
