//! A risky command waits for a person, and fails closed. Whether it ran is seen in the file system, never in our database.

use crate::support::{World, eventually, text};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// High risk by itself asks for the popup's code: here the CLI decides everything.
const BY_CALLER: &str = "version = 1\n[defaults]\npresence = \"caller\"\n";

pub(crate) struct Gate {
    pub(crate) world: World,
    pub(crate) id: String,
}

impl Gate {
    pub(crate) fn with(policy: &str) -> Self {
        let world = World::new();
        world.run(["init"]).ok();
        world.write("state/policy.toml", policy);
        world.run(["plugin", "load"]).ok();
        let id = world.agent();
        Self { world, id }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.world.at("project").join(name)
    }

    fn tell(&self, prompt: &str) {
        self.world
            .run(["send", &self.id, "--wait", "20", "-m", "-"])
            .stdin(prompt)
            .ok();
    }

    /// Lets the agent run `command`; what it asks for then.
    fn asks(&self, command: &str) -> Value {
        self.tell(&format!("RUN {command}"));
        self.world.asked(&self.id)
    }

    fn approval(&self, id: &Value) -> Value {
        self.world.run(["approval", "show", &text(id)]).json()
    }

    fn becomes(&self, id: &Value, status: &str) -> Value {
        eventually(&format!("approval {id} is {status}"), || {
            let now = self.approval(id);
            (now["status"] == status).then_some(now)
        })
    }

    fn said(&self) -> String {
        self.world.wait(&self.id, "idle,error");
        text(&self.world.run(["output", &self.id]).json()["output"])
    }

    fn keys(&self, keys: &[&str]) {
        let pane = text(&self.world.status(&self.id)["pane"]);
        let mut arguments = vec!["send-keys", "-t", &pane];
        arguments.extend(keys);
        self.world.tmux(arguments);
    }

    fn screen_shows(&self, what: &str) {
        let pane = text(&self.world.status(&self.id)["pane"]);
        eventually(what, || {
            self.world
                .tmux(["capture-pane", "-p", "-t", &pane])
                .contains(what)
                .then_some(())
        });
    }

    /// The gate's own process that waits now.
    fn waiter(&self) -> i32 {
        eventually("a hook waits", || {
            self.world
                .helpers()
                .into_iter()
                .find(|p| p.ours() && p.command.contains("hook demo P"))
                .map(|p| p.pid)
        })
    }
}

#[test]
fn a_call_waits_and_runs_exactly_once_when_a_person_says_yes() {
    let gate = Gate::with(BY_CALLER);
    let Gate { world, id } = &gate;
    let asked = gate.asks("touch made");
    assert_eq!(
        (
            &asked["kind"],
            &asked["tool"],
            &asked["command"],
            &asked["terminal"]
        ),
        (
            &"tool".into(),
            &"Bash".into(),
            &"touch made".into(),
            &json!(id)
        )
    );
    assert_eq!(world.status(id)["status"], "waiting");
    assert_eq!(
        world.run(["session", "work"]).json()["pending_approvals"],
        1
    );
    eventually("the status line counts it", || {
        (world.tmux(["show", "-gqv", "@conductor_pending"]).trim() == "1").then_some(())
    });
    std::thread::sleep(Duration::from_millis(300));
    assert!(!gate.file("made").exists(), "it waits");
    let yes = world
        .run(["approve", &text(&asked["id"]), "--reason", "fine"])
        .json();
    assert_eq!(
        (&yes["decided_by"], &yes["status"], &yes["consumed_at"]),
        (&"script".into(), &"approved".into(), &Value::Null),
        "as this call decided it, although the hook may have used it since: {yes}"
    );
    assert!(gate.said().contains("exit 0"));
    assert!(gate.file("made").exists());
    let used = gate.becomes(&asked["id"], "consumed");
    assert_eq!(used["scope"], "once");
    assert_eq!(
        world.tmux(["show", "-gqv", "@conductor_pending"]).trim(),
        "0"
    );
    for action in ["requested", "approved", "consumed"] {
        assert_eq!(world.audited(&format!("approval.{action}")), 1, "{action}");
    }
    // The same call again is another call.
    let again = gate.asks("touch made");
    assert_ne!(again["id"], asked["id"]);
    world.run(["deny", &text(&again["id"])]).ok();
    assert!(gate.said().contains("denied"));
}

#[test]
fn a_no_reaches_the_agent_with_its_reason_and_nothing_runs() {
    let gate = Gate::with(BY_CALLER);
    let asked = gate.asks("rm -rf build");
    fs::create_dir(gate.file("build")).unwrap();
    let denied = gate
        .world
        .run(["deny", &text(&asked["id"]), "--reason", "keep the build"])
        .json();
    assert_eq!(
        (&denied["status"], &denied["reason"]),
        (&"denied".into(), &"keep the build".into())
    );
    assert!(gate.said().contains("keep the build"));
    assert!(gate.file("build").exists());
    gate.world.run(["approve", &text(&asked["id"])]).fails(4);
    gate.world.run(["approve", "999"]).fails(3);
    gate.world.run(["approve", "x"]).fails(2);
}

#[test]
fn what_only_reads_is_never_asked_about() {
    let gate = Gate::with(BY_CALLER);
    fs::write(gate.file("a.txt"), "content of a").unwrap();
    gate.tell("RUN ls\nRUN cat a.txt\nRUN echo done | wc -l");
    let said = gate.said();
    assert!(said.contains("content of a"), "{said}");
    assert_eq!(said.matches("exit 0").count(), 3, "{said}");
    assert_eq!(gate.world.run(["approvals"]).json(), json!([]));
}

#[test]
fn of_many_decisions_at_once_the_first_counts_and_the_others_are_told() {
    let gate = Gate::with(BY_CALLER);
    let asked = gate.asks("touch raced");
    let id = text(&asked["id"]);
    let codes: Vec<i32> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..12)
            .map(|n| {
                let (world, id) = (&gate.world, &id);
                let verb = if n % 2 == 0 { "approve" } else { "deny" };
                scope.spawn(move || world.run([verb, id]).try_done().unwrap().code)
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(
        codes.iter().filter(|code| **code == 0).count(),
        1,
        "{codes:?}"
    );
    assert_eq!(
        codes.iter().filter(|code| **code == 4).count(),
        11,
        "{codes:?}"
    );
    let said = gate.said();
    let ran = gate.file("raced").exists();
    assert_eq!(
        ran,
        gate.approval(&asked["id"])["status"] == "consumed",
        "{said}"
    );
    assert_eq!(
        gate.world.audited("approval.approved") + gate.world.audited("approval.denied"),
        1
    );
}

#[test]
fn silence_is_a_no() {
    let gate = Gate::with("version = 1\n[defaults]\nexpires = \"2s\"\npresence = \"caller\"\n");
    let asked = gate.asks("touch late");
    gate.becomes(&asked["id"], "expired");
    assert!(gate.said().contains("ask again"));
    assert!(!gate.file("late").exists());
    gate.world.run(["approve", &text(&asked["id"])]).fails(4);
    assert_eq!(gate.world.audited("approval.expired"), 1);
}

#[test]
fn a_yes_is_bound_to_what_would_run() {
    let gate = Gate::with(BY_CALLER);
    fs::write(gate.file("do.sh"), "touch first\n").unwrap();
    let asked = gate.asks("sh do.sh");
    assert!(
        text(&asked["scripts"][0]["path"]).ends_with("do.sh")
            && asked["scripts"][0]["sha256"].is_string(),
        "{asked}"
    );
    fs::write(gate.file("do.sh"), "touch second\n").unwrap();
    gate.world.run(["approve", &text(&asked["id"])]).ok();
    let again = eventually("it is asked for again", || {
        gate.world
            .pending()
            .into_iter()
            .find(|a| a["id"] != asked["id"])
    });
    assert_eq!(gate.approval(&asked["id"])["status"], "withdrawn");
    assert!(!gate.file("first").exists() && !gate.file("second").exists());
    assert_ne!(again["digest"], asked["digest"]);
    gate.world.run(["approve", &text(&again["id"])]).ok();
    gate.said();
    assert!(!gate.file("first").exists() && gate.file("second").exists());
}

#[test]
fn a_yes_for_the_session_holds_for_the_same_call_only() {
    let gate = Gate::with(BY_CALLER);
    let asked = gate.asks("touch one");
    gate.world
        .run(["approve", &text(&asked["id"]), "--scope", "session"])
        .ok();
    gate.said();
    fs::remove_file(gate.file("one")).unwrap();
    gate.tell("RUN touch one");
    gate.said();
    assert!(gate.file("one").exists(), "not asked again");
    let other = gate.asks("touch two");
    gate.world.run(["deny", &text(&other["id"])]).ok();
    gate.said();
}

#[test]
fn a_yes_for_always_is_a_rule_in_the_users_policy() {
    let gate = Gate::with(BY_CALLER);
    let asked = gate.asks("touch one");
    gate.world
        .run(["approve", &text(&asked["id"]), "--scope", "always"])
        .ok();
    gate.said();
    let policy = fs::read_to_string(gate.world.at("state/policy.toml")).unwrap();
    assert!(
        policy.starts_with(BY_CALLER) && policy.contains("touch"),
        "{policy}"
    );
    fs::remove_file(gate.file("one")).unwrap();
    let other = gate.world.launch_as("other", &[]).supervisor;
    gate.world.ask(&other, "RUN touch one");
    assert!(gate.file("one").exists());
    let all = gate.world.run(["approvals"]).json();
    assert_eq!(
        all.as_array().unwrap().len(),
        1,
        "another agent is not asked: {all}"
    );
    let unclear = gate.asks("touch $(echo x)");
    gate.world
        .run(["approve", &text(&unclear["id"]), "--scope", "always"])
        .fails(4);
    gate.world.run(["deny", &text(&unclear["id"])]).ok();
}

#[test]
fn a_key_in_the_pane_decides_where_being_there_is_enough() {
    let gate = Gate::with(BY_CALLER);
    let asked = gate.asks("touch yes");
    gate.screen_shows("Do you want to proceed?");
    gate.keys(&["y"]);
    gate.said();
    assert!(gate.file("yes").exists());
    let over = gate.becomes(&asked["id"], "consumed");
    assert_eq!(
        (&over["decided_by"], &over["via"]),
        (&"unknown".into(), &"pane".into())
    );
    let refused = gate.asks("touch no");
    gate.screen_shows("Do you want to proceed?");
    gate.keys(&["Escape"]);
    gate.becomes(&refused["id"], "withdrawn");
    assert!(!gate.file("no").exists());
}

#[test]
fn nothing_in_the_pane_decides_where_a_code_is_asked_for() {
    let gate = Gate::with("version = 1\n");
    fs::create_dir(gate.file("build")).unwrap();
    let asked = gate.asks("rm -rf build");
    assert_eq!(
        (&asked["presence"], &asked["risk"]),
        (&"challenge".into(), &"high".into())
    );
    gate.keys(&["y", "Enter", "1", "Enter"]);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(gate.approval(&asked["id"])["status"], "pending");
    gate.world.run(["approve", &text(&asked["id"])]).fails(4);
    assert!(gate.file("build").exists());
    gate.keys(&["Escape"]);
    gate.becomes(&asked["id"], "withdrawn");
    assert!(gate.file("build").exists());
}

#[test]
fn a_dialog_of_the_agent_joins_the_queue() {
    let gate = Gate::with(BY_CALLER);
    for (word, said) in [("approve", "dialog: yes"), ("deny", "dialog: no")] {
        gate.tell("DIALOG Really?");
        let asked = gate.world.asked(&gate.id);
        assert!(text(&asked["command"]).contains("Really?"), "{asked}");
        gate.world.run([word, &text(&asked["id"])]).ok();
        assert!(gate.said().contains(said));
    }
}

#[test]
fn an_agent_cannot_decide() {
    let gate = Gate::with(BY_CALLER);
    let Gate { world, id } = &gate;
    let team = world.launch_as("other", &[]);
    let other = world.asked_by(&team.supervisor, "touch never");
    let number = text(&other["id"]);
    for command in [
        format!("exec \"$CONDUCTOR_HOOK\" approve {number}"),
        format!("exec env -u CONDUCTOR_TERMINAL_ID \"$CONDUCTOR_HOOK\" approve {number}"),
        format!(
            "hook=$CONDUCTOR_HOOK home=$CONDUCTOR_HOME; exec env -i CONDUCTOR_HOME=\"$home\" \"$hook\" approve {number}"
        ),
        format!("setsid -w \"$CONDUCTOR_HOOK\" approve {number}"),
        format!(
            "(setsid \"$CONDUCTOR_HOOK\" approve {number} >\"$PWD/late\" 2>&1; echo $? >>\"$PWD/late\") & sleep 1; grep -q '^4$' late && exit 4"
        ),
        format!(
            "setsid -w env -i CONDUCTOR_HOME=\"$CONDUCTOR_HOME\" \"$CONDUCTOR_HOOK\" deny {number}"
        ),
    ] {
        let told = world.shell(id, &command);
        assert_eq!(told.code, 4, "{command}: {told:?}");
    }
    assert_eq!(gate.approval(&other["id"])["status"], "pending");
    assert!(world.audited("approval.refused") >= 6);
    world.run(["deny", &number]).ok();
}

impl World {
    fn asked_by(&self, id: &str, command: &str) -> Value {
        self.run(["send", id, "--wait", "20", "-m", &format!("RUN {command}")])
            .ok();
        self.asked(id)
    }
}

#[test]
fn a_request_of_the_agent_is_used_by_exactly_that_call() {
    let gate = Gate::with(BY_CALLER);
    let Gate { world, id } = &gate;
    let asked = world
        .mcp(
            id,
            "request_approval",
            &json!({"command_text": "touch wanted", "reason": "to see it", "timeout": 0}),
        )
        .unwrap();
    assert_eq!(asked["status"], "pending");
    let number = text(&asked["approval_id"]);
    let shown = gate.approval(&asked["approval_id"]);
    assert_eq!(
        (&shown["kind"], &shown["words"]),
        (&"request".into(), &"to see it".into())
    );
    world.run(["approve", &number]).ok();
    let status = world
        .mcp(id, "approval_status", &json!({"approval_id": number}))
        .unwrap();
    assert_eq!(status["status"], "approved");
    gate.tell("RUN touch wanted");
    gate.said();
    assert!(gate.file("wanted").exists(), "not asked again");
    assert_eq!(gate.approval(&asked["approval_id"])["status"], "consumed");
    let again = gate.asks("touch wanted");
    world.run(["deny", &text(&again["id"])]).ok();
}

#[test]
fn a_message_waits_for_a_person() {
    let gate = Gate::with(BY_CALLER);
    let Gate { world, id } = &gate;
    let send = |body: &str| {
        world
            .run(["send", id, "--require-approval", "-m", body])
            .json()
    };
    let first = send("SAY one");
    assert_eq!(first["status"], "held");
    let asked = world.pending().remove(0);
    assert_eq!(
        (&asked["kind"], &asked["message"]),
        (&"message".into(), &first["id"])
    );
    world.run(["inbox", "retry", &text(&first["id"])]).fails(4);
    let second = world.send(id, "SAY two");
    world.message_becomes(&text(&second["id"]), "submitted");
    world.run(["approve", &text(&asked["id"])]).ok();
    world.message_becomes(&text(&first["id"]), "submitted");
    let refused = send("SAY three");
    world
        .run(["deny", &text(&world.pending()[0]["id"]), "--reason", "no"])
        .ok();
    let refused = world.message(&text(&refused["id"]));
    assert_eq!(refused["status"], "cancelled");
    assert!(text(&refused["last_error"]).contains("no"), "{refused}");
    let withdrawn = send("SAY four");
    let asked = world.pending().remove(0);
    world.run(["inbox", "cancel", &text(&withdrawn["id"])]).ok();
    assert_eq!(gate.approval(&asked["id"])["status"], "withdrawn");
}

#[test]
fn a_killed_gate_is_a_no() {
    // One that waits inside the tool's hook, and one beside the agent's dialog.
    for policy in ["version = 1\n", BY_CALLER] {
        let gate = Gate::with(policy);
        fs::create_dir(gate.file("build")).unwrap();
        let asked = gate.asks("rm -rf build");
        gate.world.kill("-KILL", gate.waiter());
        assert!(gate.said().contains("denied"), "{policy}");
        assert!(gate.file("build").exists());
        gate.becomes(&asked["id"], "withdrawn");
    }
}

#[test]
fn a_gate_killed_at_any_step_is_a_no() {
    for point in [
        "gate.before_print",
        "gate.requested",
        "gate.decided",
        "gate.consumed",
        "approve.before_commit",
        "approve.committed",
    ] {
        let gate = Gate::with(BY_CALLER);
        let line = gate.world.at("failpoint");
        let team = gate.world.launch_failing("fails", &line);
        fs::write(&line, point).unwrap();
        gate.world
            .run(["send", &team, "--wait", "20", "-m", "RUN touch never"])
            .ok();
        if point != "gate.before_print" && point != "gate.requested" {
            let asked = gate.world.asked(&team);
            gate.world
                .run(["approve", &text(&asked["id"])])
                .env(
                    "CONDUCTOR_FAILPOINT",
                    if point.starts_with("approve") {
                        point
                    } else {
                        ""
                    },
                )
                .try_done();
            if point == "approve.before_commit" {
                assert_eq!(gate.approval(&asked["id"])["status"], "pending");
                gate.world.run(["deny", &text(&asked["id"])]).ok();
            }
        }
        gate.world.wait(&team, "idle,error");
        let ran = gate.file("never").exists();
        assert_eq!(ran, point == "approve.committed", "{point}");
        gate.world.run(["shutdown", "--all"]).ok();
    }
}

impl World {
    /// A demo agent whose hooks may be told to die.
    fn launch_failing(&self, session: &str, line: &std::path::Path) -> String {
        let file = format!("CONDUCTOR_FAILPOINT_FILE={}", line.display());
        let launched = self
            .run(["launch", "-p", "demo", "--session", session, "--env", &file])
            .json();
        let id = text(&launched["terminals"][0]["id"]);
        self.wait(&id, "idle");
        id
    }
}

#[test]
fn without_a_usable_state_only_what_needs_no_person_runs() {
    let gate = Gate::with(BY_CALLER);
    fs::write(gate.file("a.txt"), "content of a").unwrap();
    let lock = gate.world.at("state/conductor.lock");
    let released = gate.world.at("released");
    // Held by somebody else for longer than the gate waits for it.
    gate.tell("SLEEP 1\nRUN touch locked\nRUN cat a.txt\nSLEEP 0.2\nSAY over");
    let mut holder = gate
        .world
        .command("flock")
        .arg(&lock)
        .args(["sh", "-c"])
        .arg(format!("sleep 6; touch {}", released.display()))
        .spawn()
        .unwrap();
    gate.screen_shows("over");
    assert!(!released.exists(), "the state was locked all the time");
    let pane = text(&gate.world.status(&gate.id)["pane"]);
    let screen = gate.world.tmux(["capture-pane", "-p", "-t", &pane]);
    assert!(screen.contains("content of a"), "{screen}");
    assert!(screen.contains("denies this call"), "{screen}");
    assert!(!gate.file("locked").exists());
    holder.wait().unwrap();
}

#[test]
fn a_full_disk_is_a_no() {
    let gate = Gate::with(BY_CALLER);
    let line = gate.world.at("failpoint");
    let id = gate.world.launch_failing("full", &line);
    fs::write(gate.file("a.txt"), "content of a").unwrap();
    gate.world
        .run(["send", &id, "--wait", "20", "-m", "-"])
        .stdin("SLEEP 0.5\nRUN touch never\nRUN cat a.txt")
        .ok();
    fs::write(&line, "db.before_commit=errors").unwrap();
    let pane = text(&gate.world.status(&id)["pane"]);
    eventually("the turn is over", || {
        gate.world
            .tmux(["capture-pane", "-p", "-t", &pane])
            .contains("content of a")
            .then_some(())
    });
    assert!(!gate.file("never").exists());
    let _ = fs::remove_file(&line);
}

#[test]
fn a_corrupt_row_is_a_no() {
    let gate = Gate::with("version = 1\n");
    fs::create_dir(gate.file("build")).unwrap();
    gate.asks("rm -rf build");
    let database = rusqlite::Connection::open(gate.world.at("state/db/conductor.db")).unwrap();
    database
        .execute("UPDATE approvals SET status = 'approvedd'", [])
        .unwrap();
    assert!(gate.said().contains("denies this call"));
    assert!(gate.file("build").exists());
    gate.world.run(["approvals"]).fails(7);
}

#[test]
fn a_policy_that_cannot_be_read_asks_about_everything_but_reading() {
    let world = World::new();
    world.run(["init"]).ok();
    world.write("state/policy.toml", "version = 1\n[[rule]]\nid = \"x\"\ndecision = \"allow\"\nprogram = \"touch\"\nno_such_key = 1\n");
    let id = world.agent();
    let gate = Gate { world, id };
    gate.tell("RUN ls");
    assert!(gate.said().contains("exit 0"));
    let asked = gate.asks("touch x");
    gate.world.run(["deny", &text(&asked["id"])]).ok();
    gate.said();
    assert!(!gate.file("x").exists());
    let told = gate.world.run(["doctor"]).try_done().unwrap();
    assert!(
        told.code == 1 && told.stdout.contains("no_such_key"),
        "doctor names the fault: {told:?}"
    );
}

#[test]
fn without_a_tmux_server_nothing_runs() {
    let gate = Gate::with(BY_CALLER);
    let asked = gate.asks("touch never");
    gate.world.tmux(["kill-server"]);
    gate.becomes(&asked["id"], "withdrawn");
    assert!(!gate.file("never").exists());
}

#[test]
fn a_program_that_the_policy_denies_is_not_asked_about() {
    let gate = Gate::with(
        "version = 1\n[[rule]]\nid = \"no-touch\"\ndecision = \"deny\"\nprogram = \"touch\"\nreason = \"files are made by hand\"\n",
    );
    gate.tell("RUN touch never");
    assert!(gate.said().contains("files are made by hand"));
    assert!(!gate.file("never").exists());
    assert_eq!(gate.world.run(["approvals"]).json(), json!([]));
    assert_eq!(gate.world.audited("policy.denied"), 1);
}

#[test]
fn doctor_tries_whether_a_broken_gate_blocks() {
    let gate = Gate::with(BY_CALLER);
    let finding = || {
        let done = gate.world.run(["doctor"]).arg("--json").try_done().unwrap();
        let list: Value = serde_json::from_str(&done.stdout).unwrap();
        let all = list.as_array().unwrap();
        all.iter().find(|f| f["what"] == "gate").unwrap().clone()
    };
    assert_eq!(finding()["level"], "ok", "{}", finding());
    let file = gate
        .world
        .at(&format!("state/run/{}/settings.json", gate.id));
    let settings = fs::read_to_string(&file).unwrap();
    fs::write(&file, settings.replace(" || sh -c", " # sh -c")).unwrap();
    let broken = finding();
    assert_eq!(broken["level"], "broken", "{broken}");
    assert!(
        text(&broken["found"]).contains("without the program"),
        "{broken}"
    );
}

#[test]
fn a_tool_that_the_gate_never_saw_shows_as_silent() {
    let gate = Gate::with(BY_CALLER);
    let world = &gate.world;
    // As an agent whose hook before tools was turned off by somebody.
    let manifest = include_str!("../../agent_store/providers/demo.toml")
        .replace("name = \"demo\"", "name = \"open\"")
        .replace("[\"PreToolUse\", ", "[");
    world.write("state/providers/open.toml", manifest);
    let launched = world
        .run(["launch", "-p", "open", "--session", "open"])
        .json();
    let id = text(&launched["terminals"][0]["id"]);
    world.wait(&id, "idle");
    assert_eq!(
        world.status(&id)["gated"],
        "yes",
        "nothing is known against it"
    );
    world
        .run(["send", &id, "--wait", "20", "-m", "RUN ls"])
        .ok();
    world.wait(&id, "idle");
    assert_eq!(world.status(&id)["gated"], "silent");
    let told = world.run(["doctor"]).try_done().unwrap();
    assert!(
        told.code == 1 && told.stdout.contains("never saw"),
        "{told:?}"
    );
}

#[test]
fn a_yes_for_a_call_that_was_interrupted_counts_for_no_other() {
    let gate = Gate::with(BY_CALLER);
    let asked = gate.asks("touch a && sleep 60");
    gate.world.run(["approve", &text(&asked["id"])]).ok();
    gate.becomes(&asked["id"], "consumed");
    gate.screen_shows("esc to interrupt");
    gate.keys(&["Escape"]);
    gate.world.wait(&gate.id, "idle");
    // No event told that it ran: the agent says nothing about interrupted calls.
    let again = gate.asks("touch a && sleep 60");
    assert_ne!(again["id"], asked["id"]);
    gate.world.run(["deny", &text(&again["id"])]).ok();
    assert!(gate.said().contains("denied"));
}

#[test]
fn a_look_at_the_screen_takes_no_held_call_for_work() {
    let gate = Gate::with("version = 1\n[defaults]\npresence = \"challenge\"\n");
    let asked = gate.asks("touch x");
    let later = gate.world.send(&gate.id, "SAY later");
    assert_eq!(later["last_error"], "APPROVAL", "{later}");
    // The message is due again, and the pane is looked at for it.
    let later = gate.world.run(["tick"]);
    later.env("CONDUCTOR_CLOCK_SKEW", "60000").ok();
    let status = gate.world.status(&gate.id);
    assert_eq!(status["status"], "waiting", "{status}");
    gate.world.run(["deny", &text(&asked["id"])]).ok();
    gate.said();
}

#[test]
fn a_request_asks_for_no_less_than_the_call_itself() {
    let gate = Gate::with("version = 1\n[defaults]\npresence = \"challenge\"\n");
    let asked = gate
        .world
        .mcp(
            &gate.id,
            "request_approval",
            &json!({"command_text": "a=sudo; $a id", "timeout": 0}),
        )
        .unwrap();
    let shown = gate.approval(&asked["approval_id"]);
    assert_eq!(shown["presence"], "challenge", "{shown}");
    let plain = gate
        .world
        .mcp(
            &gate.id,
            "request_approval",
            &json!({"command_text": "touch x", "timeout": 0}),
        )
        .unwrap();
    let shown = gate.approval(&plain["approval_id"]);
    assert_eq!(shown["presence"], "challenge", "{shown}");
    let long = "x".repeat(300 * 1024);
    let refused = gate.world.mcp(
        &gate.id,
        "request_approval",
        &json!({"command_text": long, "timeout": 0}),
    );
    assert!(refused.is_err(), "nobody could read it");
}

#[test]
fn a_rule_for_a_profile_holds_where_the_profile_is_not_known() {
    let gate = Gate::with(
        "version = 1\n[[rule]]\nid = \"no-listing\"\ndecision = \"deny\"\nprogram = \"ls\"\nprofile = \"conductor\"\n",
    );
    let database = gate.world.at("state/db/conductor.db");
    gate.tell("SLEEP 1.5\nRUN ls\nRUN pwd\nSAY over");
    fs::rename(&database, gate.world.at("state/db/away")).unwrap();
    fs::create_dir(&database).unwrap();
    let pane = gate
        .world
        .tmux(["list-panes", "-t", "work", "-F", "#{pane_id}"]);
    let screen = eventually("the turn is over", || {
        let screen = gate.world.tmux(["capture-pane", "-p", "-t", pane.trim()]);
        screen.contains("over").then_some(screen)
    });
    assert!(screen.contains("denies this call"), "{screen}");
    assert!(
        screen.contains("exit 0"),
        "what only reads still runs: {screen}"
    );
    assert_eq!(screen.matches("exit 0").count(), 1, "{screen}");
}

#[test]
fn a_yes_for_the_session_is_consumed_and_stays_the_persons() {
    let gate = Gate::with("version = 1\n[defaults]\npresence = \"caller\"\nexpires = \"3s\"\n");
    let asked = gate.asks("touch kept");
    gate.world
        .run(["approve", &text(&asked["id"]), "--scope", "session"])
        .ok();
    gate.said();
    gate.becomes(&asked["id"], "consumed");
    std::thread::sleep(Duration::from_secs(4));
    let after = gate.approval(&asked["id"]);
    assert_eq!(
        (&after["status"], &after["decided_by"], &after["scope"]),
        (&"consumed".into(), &"script".into(), &"session".into())
    );
}

#[test]
fn always_is_refused_for_what_runs_a_file() {
    let gate = Gate::with(BY_CALLER);
    fs::write(gate.file("do.sh"), "touch first\n").unwrap();
    let asked = gate.asks("sh do.sh");
    let refused = gate
        .world
        .run(["approve", &text(&asked["id"]), "--scope", "always"])
        .fails(4);
    assert!(refused.contains("runs a file"), "{refused}");
    assert_eq!(gate.approval(&asked["id"])["status"], "pending");
    gate.world.run(["deny", &text(&asked["id"])]).ok();
}
