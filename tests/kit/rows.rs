//! The behaviours, in the order in which they are tried with one agent.

use super::table::Outcome;
use super::world::programs::{Kind, Program};
use super::world::{Agent, Trust, World};
use serde_json::Value;
use std::thread::sleep;
use std::time::Duration;

pub(crate) type Row = fn(&mut Bench) -> Outcome;

pub(crate) const ROWS: [(&str, Row); 18] = [
    ("trust", trust),
    ("start", start),
    ("proof", proof),
    ("persona", persona),
    ("long", long),
    ("working", working),
    ("while working", while_working),
    ("draft", draft),
    ("tools", tools),
    ("harmless", harmless),
    ("deny", deny),
    ("approve", approve),
    ("killed gate", killed_gate),
    ("interrupt", interrupt),
    ("error", error),
    ("exit", exit),
    ("resume", resume),
    ("kill", kill),
];

/// What a row is about, for people.
pub(crate) fn about(row: &str) -> &'static str {
    match row {
        "trust" => "a question at its start is seen, nothing is typed into it",
        "start" => "it is known to be up",
        "proof" => "a message is proven by its own event, and its answer is the last answer",
        "persona" => "its profile's system prompt reaches the model",
        "long" => "a text of 20 kB in 400 lines arrives whole",
        "working" => "its own event says that it works",
        "while working" => "what comes meanwhile arrives after the turn, in order",
        "draft" => "a person's half-written line is left alone",
        "tools" => "our MCP tools can be called without a question",
        "harmless" => "`echo`, `ls`, `git status` run unasked",
        "deny" => "a risky command waits, and a no reaches the model with its reason",
        "approve" => "a yes runs exactly that command",
        "killed gate" => "a gate that is killed while it waits is a no",
        "interrupt" => "Esc in the middle of a turn is noticed",
        "error" => "a turn that fails is an error, and the next one works",
        "exit" => "its end by a person's hand is noticed",
        "resume" => "its conversation is taken up again",
        "kill" => "closed by force, nothing of it is left running",
        _ => "",
    }
}

/// One agent on its way through the rows.
pub(crate) struct Bench {
    program: Program,
    world: Option<World>,
    agent: Option<(String, String)>,
}

impl Bench {
    pub(crate) const fn new(program: Program) -> Self {
        Self {
            program,
            world: None,
            agent: None,
        }
    }

    /// A row broke off: the next one begins anew.
    pub(crate) fn spoilt(&mut self) {
        self.agent = None;
        if let Some(world) = self.world.take() {
            world.tell();
        }
    }

    fn world(&mut self) -> &World {
        let program = self.program.clone();
        self.world
            .get_or_insert_with(|| World::with(vec![program], Trust::Given))
    }

    /// An agent at its prompt.
    fn ready(&mut self) -> Agent<'_> {
        let known = self.agent.clone();
        let world = self.world();
        let (id, pane) = known.unwrap_or_else(|| {
            let agent = world.launch("conductor");
            (agent.id.clone(), agent.pane.clone())
        });
        self.agent = Some((id.clone(), pane.clone()));
        let world = self.world.as_ref().unwrap();
        let done = world.conductor(&["wait", &id, "--for", "idle,error", "--timeout", "60"]);
        assert_eq!(
            done.code(),
            Some(0),
            "it is not at its prompt: {}",
            world.json(&["explain", &id])
        );
        world.known(id, pane)
    }

    fn kind(&self) -> Kind {
        self.program.kind
    }
}

/// Waits until the turn that a message began is over.
fn answered(world: &World, agent: &Agent<'_>, message: &str, seconds: u64) -> String {
    world.wait_message(message, "submitted", seconds);
    let done = world.conductor(&["wait", &agent.id, "--for", "idle", "--timeout", "60"]);
    assert_eq!(
        done.code(),
        Some(0),
        "the turn does not end: {}",
        agent.explain()
    );
    world
        .conductor(&["output", &agent.id])
        .done()
        .trim()
        .to_owned()
}

fn pending(world: &World) -> Option<Value> {
    let list = world.json(&["approvals", "--status", "pending"]);
    list.as_array()?.first().cloned()
}

fn trust(bench: &mut Bench) -> Outcome {
    if bench.kind() == Kind::Opencode {
        return Outcome::Not("it has none");
    }
    let world = World::with(vec![bench.program.clone()], Trust::Asked);
    let agent = world.launch("conductor");
    let told = world.until("the question to be seen", 40, || {
        let told = agent.explain();
        told["screen"]
            .as_str()
            .is_some_and(|screen| screen.contains("dialog"))
            .then_some(told)
    });
    assert!(
        told["remedy"]
            .as_str()
            .is_some_and(|remedy| !remedy.is_empty()),
        "{told}"
    );
    let message = agent.send("SAY: too early");
    sleep(Duration::from_secs(2));
    let waits = world.message(&message);
    assert_eq!(waits["status"], "queued", "{waits}");
    assert!(agent.alive());
    Outcome::Works
}

fn start(bench: &mut Bench) -> Outcome {
    let agent = bench.ready();
    assert_eq!(agent.status(), "idle");
    Outcome::Works
}

fn proof(bench: &mut Bench) -> Outcome {
    bench.ready();
    let agent = bench.ready();
    let message = agent.send("SAY: first answer");
    let world = agent.world();
    let answer = answered(world, &agent, &message, 30);
    assert_eq!(answer, "first answer");
    let message = world.message(&message);
    assert!(
        message["tries"]
            .as_array()
            .is_some_and(|tries| tries.len() == 1),
        "{message}"
    );
    let second = agent.send("SAY: second answer");
    assert_eq!(answered(world, &agent, &second, 30), "second answer");
    assert_eq!(agent.terminal()["gated"], "yes");
    Outcome::Works
}

fn persona(bench: &mut Bench) -> Outcome {
    let agent = bench.ready();
    let world = agent.world();
    let message = agent.send("SAY: who am I");
    answered(world, &agent, &message, 30);
    let place = format!("You run in terminal {}", agent.id);
    let told = world
        .bodies()
        .iter()
        .any(|body| body.to_string().contains(&place));
    assert!(told, "no request of the model says who it is");
    Outcome::Works
}

fn long(bench: &mut Bench) -> Outcome {
    let agent = bench.ready();
    let world = agent.world();
    let mut body: Vec<String> = (0..400)
        .map(|n| format!("{n:04} grüße, «line» of a long text {n} @a"))
        .collect();
    body.push("SAY: read to the end".to_owned());
    let message = agent.send(&body.join("\n"));
    assert_eq!(answered(world, &agent, &message, 60), "read to the end");
    // It was read to its end, part by part; a line may be cut between two parts.
    let heard: Vec<String> = world
        .heard()
        .into_iter()
        .chain(world.bodies().iter().map(Value::to_string))
        .collect();
    let lines = |text: &String| {
        (0..400)
            .filter(|n| text.contains(&format!("{n:04} grüße, «line»")))
            .count()
    };
    let most = heard.iter().map(lines).max().unwrap_or_default();
    assert!(most >= 395, "the model heard {most} of 400 lines");
    Outcome::Works
}

fn working(bench: &mut Bench) -> Outcome {
    let agent = bench.ready();
    let world = agent.world();
    let message = agent.send("SLOW: 4\nSAY: slow");
    world.until("it to work", 15, || {
        (agent.status() == "working").then_some(())
    });
    assert_eq!(agent.explain()["source"], "event");
    let answer = answered(world, &agent, &message, 20);
    assert!(answer.ends_with("slow"), "{answer}");
    Outcome::Works
}

fn while_working(bench: &mut Bench) -> Outcome {
    let agent = bench.ready();
    let world = agent.world();
    agent.send("SLOW: 4\nSAY: busy");
    world.until("it to work", 15, || {
        (agent.status() == "working").then_some(())
    });
    let one = agent.send("SAY: one");
    let two = agent.send("SAY: two");
    world.wait_message(&one, "submitted", 60);
    assert_eq!(answered(world, &agent, &two, 60), "two");
    let at = |id: &str| {
        world.message(id)["submitted_at"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert!(at(&one) < at(&two));
    Outcome::Works
}

fn draft(bench: &mut Bench) -> Outcome {
    let kind = bench.kind();
    let agent = bench.ready();
    let world = agent.world();
    agent.keys(&["-l", "half a line"]);
    agent.shows("half a line", 10);
    let message = agent.send("SAY: beside the draft");
    if matches!(kind, Kind::Codex | Kind::Opencode) {
        world.wait_message(&message, "submitted", 40);
        assert!(agent.screen().contains("half a line"));
    } else {
        sleep(Duration::from_secs(3));
        assert_eq!(world.message(&message)["status"], "queued");
        assert!(agent.screen().contains("half a line"));
    }
    agent.empty_box();
    assert_eq!(answered(world, &agent, &message, 60), "beside the draft");
    Outcome::Works
}

fn tools(bench: &mut Bench) -> Outcome {
    let agent = bench.ready();
    let world = agent.world();
    let message = agent.send("MCP: list_terminals {}");
    let answer = answered(world, &agent, &message, 40);
    assert!(
        answer.contains(&agent.id) || answer.starts_with("done:"),
        "{answer}"
    );
    assert!(pending(world).is_none());
    Outcome::Works
}

fn harmless(bench: &mut Bench) -> Outcome {
    let agent = bench.ready();
    let world = agent.world();
    let message = agent.send("BASH: echo harm''less\nBASH: ls\nBASH: git status");
    let answer = answered(world, &agent, &message, 60);
    assert!(answer.starts_with("done:"), "{answer}");
    assert!(pending(world).is_none());
    Outcome::Works
}

fn deny(bench: &mut Bench) -> Outcome {
    let agent = bench.ready();
    let world = agent.world();
    std::fs::create_dir_all(world.work().join("build")).unwrap();
    let message = agent.send("BASH: rm -rf build");
    let asked = world.until("a request", 30, || pending(world));
    assert_eq!(asked["command"], "rm -rf build");
    agent.wait("waiting", 10);
    world
        .conductor(&[
            "deny",
            asked["id"].as_str().unwrap(),
            "--reason",
            "use make clean",
        ])
        .done();
    let answer = answered(world, &agent, &message, 40);
    assert!(world.work().join("build").exists(), "it ran");
    let heard = world.heard();
    assert!(
        answer.contains("use make clean")
            || heard.iter().any(|text| text.contains("use make clean")),
        "the model does not know why: {answer}"
    );
    Outcome::Works
}

fn approve(bench: &mut Bench) -> Outcome {
    let agent = bench.ready();
    let world = agent.world();
    world.by_caller();
    std::fs::create_dir_all(world.work().join("build")).unwrap();
    let message = agent.send("BASH: rm -rf build");
    let asked = world.until("a request", 30, || pending(world));
    world
        .conductor(&["approve", asked["id"].as_str().unwrap()])
        .done();
    answered(world, &agent, &message, 40);
    assert!(!world.work().join("build").exists(), "it did not run");
    let shown = world.json(&["approval", "show", asked["id"].as_str().unwrap()]);
    assert_eq!(shown["status"], "consumed", "{shown}");
    Outcome::Works
}

fn killed_gate(bench: &mut Bench) -> Outcome {
    let kind = bench.kind();
    let agent = bench.ready();
    let world = agent.world();
    world.by_challenge();
    std::fs::create_dir_all(world.work().join("build")).unwrap();
    let message = agent.send("BASH: rm -rf build");
    world.until("a request", 30, || pending(world));
    let hook = world.until("the hook that waits", 10, || {
        let start = format!(
            "{} hook {} ",
            env!("CARGO_BIN_EXE_conductor-hook"),
            agent.provider()
        );
        let mut running = world.running().into_iter();
        running.find(|process| process.line.starts_with(&start))
    });
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(hook.pid),
        nix::sys::signal::SIGKILL,
    )
    .unwrap();
    if kind == Kind::Opencode {
        // The gate is asked again by OpenCode's own dialog, where it passed; here it is the plugin that says no.
    }
    answered(world, &agent, &message, 60);
    assert!(world.work().join("build").exists(), "it ran");
    world.by_caller();
    Outcome::Works
}

fn interrupt(bench: &mut Bench) -> Outcome {
    let kind = bench.kind();
    let agent = bench.ready();
    let world = agent.world();
    let requests = world.requests().len();
    agent.send("SLOW: 60\nSAY: never");
    world.until("the model to stream", 20, || {
        (world.requests().len() > requests).then_some(())
    });
    sleep(Duration::from_secs(2));
    agent.keys(&["Escape"]);
    if kind == Kind::Opencode {
        sleep(Duration::from_millis(500));
        agent.keys(&["Escape"]);
    }
    let done = world.conductor(&["wait", &agent.id, "--for", "idle,error", "--timeout", "30"]);
    assert_eq!(done.code(), Some(0), "{}", agent.explain());
    let next = agent.send("SAY: after Esc");
    assert_eq!(answered(world, &agent, &next, 60), "after Esc");
    Outcome::Works
}

fn error(bench: &mut Bench) -> Outcome {
    let agent = bench.ready();
    let world = agent.world();
    agent.send("FAIL: 400 50");
    let done = world.conductor(&["wait", &agent.id, "--for", "error", "--timeout", "60"]);
    assert_eq!(done.code(), Some(0), "{}", agent.explain());
    let next = agent.send("SAY: works again");
    assert_eq!(answered(world, &agent, &next, 60), "works again");
    Outcome::Works
}

fn exit(bench: &mut Bench) -> Outcome {
    let kind = bench.kind();
    let agent = bench.ready();
    let words = match kind {
        Kind::Claude | Kind::Opencode => "/exit",
        Kind::Codex | Kind::Gemini => "/quit",
    };
    agent.keys(&["-l", words]);
    sleep(Duration::from_secs(1));
    agent.keys(&["Enter"]);
    agent.wait("exited", 40);
    Outcome::Works
}

fn resume(bench: &mut Bench) -> Outcome {
    let ended = bench.agent.clone().filter(|(id, _)| {
        bench.world.as_ref().unwrap().json(&["status", id])["status"] == "exited"
    });
    let (id, _) = if let Some(ended) = ended {
        ended
    } else {
        let agent = bench.ready();
        let world = agent.world();
        let message = agent.send("SAY: remember this");
        answered(world, &agent, &message, 40);
        world.conductor(&["close", &agent.id]).done();
        (agent.id.clone(), String::new())
    };
    let world = bench.world.as_ref().unwrap();
    let before = world.heard().len();
    let resumed = world.json(&["resume", &id]);
    assert_eq!(resumed["id"], id.as_str());
    bench.agent = Some((id, resumed["pane"].as_str().unwrap().to_owned()));
    let agent = bench.ready();
    let world = agent.world();
    let message = agent.send("SAY: resumed");
    assert_eq!(answered(world, &agent, &message, 40), "resumed");
    let later = world.bodies().split_off(before);
    assert!(
        later.iter().any(|body| {
            let text = body.to_string();
            ["first answer", "remember this", "works again", "after Esc"]
                .iter()
                .any(|old| text.contains(old))
        }),
        "the model does not hear what was said before"
    );
    Outcome::Works
}

fn kill(bench: &mut Bench) -> Outcome {
    let agent = bench.ready();
    let world = agent.world();
    world.conductor(&["close", &agent.id, "--force"]).done();
    world.until("nothing to be left", 15, || {
        world.running().is_empty().then_some(())
    });
    bench.agent = None;
    Outcome::Works
}
