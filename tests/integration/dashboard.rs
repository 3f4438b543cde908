//! The dashboard as a person has it: in a popup, in a window, on a terminal outside tmux; what is on the screen, and what it costs.

use crate::popup::Seat;
use crate::support::{BINARY, World, eventually, quote, text};
use std::time::Duration;

impl Seat {
    /// Opens the dashboard by its key, and waits until keys count.
    fn dashboard(&self) -> String {
        self.press(&["C-b", "a"]);
        eventually("the key table is open", || {
            let tables = self
                .world
                .tmux(["list-clients", "-F", "#{client_key_table}"]);
            (tables == "conductor").then_some(())
        });
        self.popup(&["d"], "1 agent")
    }

    /// Types a text.
    fn types(&self, text: &str) {
        self.press(&["-l", text]);
    }

    /// Runs the dashboard in a window of the server under test, which is then the current one; returns its pane.
    fn window(&self) -> String {
        let line = format!("{}; sleep 60", dashboard(&self.world));
        let pane = self
            .world
            .tmux(["new-window", "-t", "home:", "-P", "-F", "#{pane_id}", &line]);
        self.shows("1 agent");
        std::thread::sleep(Duration::from_millis(700));
        pane
    }

    /// The process of the dashboard.
    fn process(&self) -> i32 {
        eventually("the dashboard runs", || {
            let all = self.world.helpers();
            let found = all.iter().find(|p| p.command.ends_with(" dashboard"))?;
            Some(found.pid)
        })
    }
}

/// The shell line of a dashboard.
fn dashboard(world: &World) -> String {
    format!(
        "CONDUCTOR_HOME={} CONDUCTOR_TMUX_SOCKET={} {BINARY} dashboard",
        quote(&world.home().to_string_lossy()),
        quote(&world.socket().to_string_lossy())
    )
}

/// Waits of a process that it began itself, and clock ticks that it used.
fn spent(pid: i32) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let waits = status
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))
        .unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<&str> = rest.split(' ').collect();
    let ticks = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    (waits.trim().parse().unwrap(), ticks)
}

#[test]
fn agents_are_seen_written_to_and_ended() {
    let seat = Seat::new();
    let id = seat.id.clone();
    let screen = seat.dashboard();
    assert!(
        screen.contains("work") && screen.contains("conductor") && screen.contains("idle"),
        "{screen}"
    );
    assert!(
        screen.contains("believed") && screen.contains("its screen"),
        "{screen}"
    );
    seat.types("mSAY one");
    seat.press(&["M-Enter"]);
    seat.types("SAY two");
    seat.shows("> SAY two");
    seat.press(&["Enter"]);
    seat.shows("message 1 is");
    eventually("the message arrived", || {
        let prompts = seat.world.logged(&id, &["prompt", "context"]).join("\n");
        (prompts.contains("from human") && prompts.contains("SAY two")).then_some(())
    });
    let message = seat.world.message_becomes("1", "submitted");
    assert_eq!(message["sender"], "human");
    assert_eq!(message["body"], "SAY one\nSAY two");
    // The answer is seen without a key.
    seat.shows("answer    one");
    seat.types("c");
    seat.shows("y ends it");
    seat.types("y");
    seat.shows("0 agents");
    assert_eq!(seat.world.status(&id)["status"], "exited");
    seat.types("e");
    seat.shows("exited");
    seat.types("q");
    eventually("the popup is closed", || {
        (!seat.screen().contains("0 agents")).then_some(())
    });
}

#[test]
fn a_request_is_approved_in_place_with_its_code() {
    let seat = Seat::new();
    std::fs::create_dir(seat.world.at("project/build")).unwrap();
    let screen = seat.dashboard();
    assert!(!screen.contains("approval"), "{screen}");
    let asked = seat.asks("rm -rf build");
    seat.shows("1 approval");
    seat.shows("Bash: rm -rf build");
    seat.types("a");
    seat.shows("asked by");
    let [one, two] = seat.code();
    seat.press(&["y"]);
    seat.shows("this one takes the code");
    seat.press(&[&one, &two]);
    let decided = seat.becomes(&asked["id"], "consumed");
    assert_eq!(decided["via"], "popup");
    assert_eq!(decided["decided_by"], "human");
    seat.shows("is approved");
    eventually("it ran", || {
        (!seat.world.at("project/build").exists()).then_some(())
    });
    seat.world.run(["audit", "verify"]).ok();
}

#[test]
fn in_a_pane_no_code_is_shown_and_a_no_takes_none() {
    let seat = Seat::new();
    let asked = seat.asks("rm -rf build");
    let pane = seat.window();
    seat.types("a");
    seat.shows("asked by");
    let beneath = seat.world.tmux(["capture-pane", "-p", "-t", &pane]);
    assert!(
        !beneath.contains("asked by") && beneath.contains("1 approval"),
        "{beneath}"
    );
    std::thread::sleep(Duration::from_millis(700));
    seat.press(&["q"]);
    eventually("the popup is closed", || {
        (!seat.screen().contains("asked by")).then_some(())
    });
    assert_eq!(seat.approval(&asked["id"])["status"], "pending");
    seat.types("x");
    seat.shows("deny approval");
    seat.types("use make clean");
    seat.press(&["Enter"]);
    let denied = seat.becomes(&asked["id"], "denied");
    assert_eq!(denied["reason"], "use make clean");
    seat.types("q");
    eventually("it has ended", || {
        seat.world
            .helpers()
            .iter()
            .all(|p| !p.command.ends_with(" dashboard"))
            .then_some(())
    });
}

#[test]
fn a_small_client_gets_a_window_and_a_person_goes_to_the_agent() {
    let seat = Seat::new();
    let pane = text(&seat.world.status(&seat.id)["pane"]);
    let shown = || {
        seat.world
            .tmux(["list-clients", "-F", "#{pane_id} #{window_name}"])
    };
    seat.dashboard();
    seat.press(&["Enter"]);
    eventually("the client shows the agent", || {
        shown().starts_with(&pane).then_some(())
    });
    seat.world.tmux(["switch-client", "-t", "home:"]);
    seat.resize((60, 18));
    eventually("the client is small", || {
        let width = seat.world.tmux(["list-clients", "-F", "#{client_width}"]);
        (width == "60").then_some(())
    });
    seat.dashboard();
    assert!(shown().ends_with(" dashboard"), "{}", shown());
    seat.press(&["Enter"]);
    eventually("the client shows the agent", || {
        shown().starts_with(&pane).then_some(())
    });
}

#[test]
fn outside_tmux_it_attaches_and_puts_the_terminal_back() {
    let seat = Seat::new();
    let line = format!(
        "stty -a >before; env -u TMUX -u TMUX_PANE {}; echo code $?; stty -a >after; sleep 60",
        dashboard(&seat.world)
    );
    let open = || {
        seat.outer(&[
            "new-window",
            "-c",
            &seat.world.at("project").to_string_lossy(),
            "sh",
            "-c",
            &line,
        ]);
        seat.shows("1 agent");
        std::thread::sleep(Duration::from_millis(700));
    };
    open();
    let pid = seat.process();
    seat.world.kill("-TERM", pid);
    let screen = seat.shows("code 0");
    assert!(!screen.contains("1 agent"), "{screen}");
    let read = |name: &str| std::fs::read_to_string(seat.world.at("project").join(name)).unwrap();
    eventually("the terminal is as before", || {
        (seat.world.at("project/after").exists() && read("before") == read("after")).then_some(())
    });
    open();
    seat.press(&["Enter"]);
    eventually("a second client is attached to the agent", || {
        let clients = seat.world.tmux(["list-clients", "-F", "#{session_name}"]);
        clients.lines().any(|name| name == "work").then_some(())
    });
}

#[test]
fn names_and_messages_stay_text() {
    let seat = Seat::new();
    let world = &seat.world;
    let pane = text(&world.status(&seat.id)["pane"]);
    let touch = world.at("PWNED").to_string_lossy().into_owned();
    let corpus = [
        format!("$(touch {touch})"),
        format!("`touch {touch}`"),
        format!("x; touch {touch}; #(touch {touch})"),
        format!("'; run-shell 'touch {touch}'"),
        format!("#{{E:#(touch {touch})}} %H"),
        "\u{1b}[2J\u{1b}]0;x\u{7}\u{202e}evil\u{9b}31m".to_owned(),
        "日本語 👩‍👩‍👧 e\u{301}".to_owned(),
    ];
    seat.window();
    for (at, name) in corpus.iter().enumerate() {
        // tmux itself expands what it is given as a name; 3.7 takes no control characters in one.
        let window = name.replace('#', "##").replace(char::is_control, "");
        world.tmux(["rename-window", "-t", &pane, &window]);
        world
            .run(["send", &seat.id, "-m", "-"])
            .stdin(format!("SLEEP 1\nSAY {name}"))
            .ok();
        // A look at the server takes the new name over.
        world.run(["sessions"]).ok();
        eventually("the dashboard shows it", || {
            let screen = seat.screen();
            let whole = screen.lines().filter(|line| line.contains('│')).count() > 20;
            let shown = match at {
                5 => screen.contains("⟨U+") || screen.contains("\\033"),
                6 => screen.contains("日本語"),
                _ => screen.contains("touch"),
            };
            (whole && shown && screen.starts_with("1 agent")).then_some(())
        });
    }
    seat.types("m");
    seat.shows("Enter sends");
    seat.types(&corpus[2]);
    seat.press(&["Enter"]);
    seat.shows("message 8 is");
    seat.world.message_becomes("8", "submitted");
    assert!(!world.at("PWNED").exists());
    assert!(seat.screen().starts_with("1 agent"));
}

#[test]
fn idle_it_costs_next_to_nothing_and_hidden_nothing() {
    let seat = Seat::new();
    seat.window();
    let pid = seat.process();
    let settled = Duration::from_secs(3);
    let children = || {
        let path = format!("/proc/{pid}/task/{pid}/children");
        std::fs::read_to_string(path).unwrap()
    };
    std::thread::sleep(Duration::from_millis(1500));
    let before = spent(pid);
    for _ in 0..30 {
        assert_eq!(children(), "");
        std::thread::sleep(settled / 30);
    }
    let after = spent(pid);
    assert!(after.1 - before.1 <= 3, "CPU: {before:?} {after:?}");
    assert!(after.0 - before.0 <= 24, "wake-ups: {before:?} {after:?}");

    let hooks = || {
        let all = seat.world.tmux(["show-hooks", "-g"]);
        all.lines().filter(|line| line.contains("[1729000")).count()
    };
    assert_eq!(hooks(), 0);
    seat.world.tmux(["select-window", "-t", "home:0"]);
    eventually("it sleeps", || (hooks() > 0).then_some(()));
    std::thread::sleep(Duration::from_millis(300));
    let before = spent(pid);
    seat.world.send(&seat.id, "SAY while it slept");
    std::thread::sleep(settled);
    assert_eq!(spent(pid), before, "a hidden dashboard woke up");
    seat.world.tmux(["select-window", "-t", "home:1"]);
    seat.shows("while it slept");
    assert_eq!(hooks(), 0);

    // Nobody is attached: nobody sees it.
    seat.world.tmux(["detach-client", "-s", "home"]);
    eventually("it sleeps", || (hooks() > 0).then_some(()));
    seat.world.run(["plugin", "unload"]).ok();
    assert_eq!(hooks(), 0, "unload takes them away");
}

#[test]
fn without_state_or_a_terminal_it_says_so() {
    let world = World::new();
    let error = world.run(["dashboard"]).fails(1);
    assert!(error.contains("needs a terminal"), "{error}");
    let line = format!("{}; sleep 60", dashboard(&world));
    let pane = world.tmux(["new-window", "-t", "home:", "-P", "-F", "#{pane_id}", &line]);
    eventually("it says that nobody is there", || {
        let screen = world.tmux(["capture-pane", "-p", "-t", &pane]);
        screen.contains("no agents").then_some(())
    });
}
