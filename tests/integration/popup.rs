//! The approval popup as a person has it: a client attached to the server, keys pressed in it, and what is on its screen.
//!
//! The person's terminal is a pane of another tmux server, which runs `tmux attach` on the one under test.

use crate::support::{BINARY, World, eventually, quote, text};
use serde_json::Value;
use std::time::{Duration, Instant};

/// A world with an agent, the plugin, and a person who is attached.
pub(crate) struct Seat {
    pub(crate) world: World,
    pub(crate) id: String,
}

impl Seat {
    pub(crate) fn new() -> Self {
        Self::at(World::new())
    }

    /// As [`Self::new`], at a world whose server runs.
    pub(crate) fn at(world: World) -> Self {
        world.run(["init"]).ok();
        world.run(["plugin", "load"]).ok();
        let id = world.agent();
        Self::attached(world, "home", id, (110, 34))
    }

    /// A person who is attached to a session of this world, at a terminal of so many columns and rows.
    pub(crate) fn attached(
        world: World,
        session: &str,
        id: String,
        (columns, rows): (u16, u16),
    ) -> Self {
        let seat = Self { world, id };
        let attach = format!(
            "env -u TMUX tmux -u -S {} attach -t {session}",
            quote(&seat.world.socket().to_string_lossy())
        );
        seat.outer(&["-f", "/dev/null", "new-session", "-d", &attach]);
        // tmux 3.2 gives a detached session the size that it believes its caller to have, whatever -x and -y say.
        seat.resize((columns, rows));
        eventually("the client is attached, and of that size", || {
            let sizes = seat
                .world
                .tmux(["list-clients", "-F", "#{client_width} #{client_height}"]);
            (sizes == format!("{columns} {rows}")).then_some(())
        });
        seat
    }

    /// Makes the person's terminal another size.
    pub(crate) fn resize(&self, (columns, rows): (u16, u16)) {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        self.outer(&["resize-window", "-x", &columns, "-y", &rows]);
    }

    /// tmux on the person's own server.
    pub(crate) fn outer(&self, arguments: &[&str]) -> String {
        let socket = self.world.at("outer.sock");
        let mut all = vec!["tmux", "-u", "-S", socket.to_str().unwrap()];
        all.extend(arguments);
        let words: Vec<String> = all.iter().map(|word| quote(word)).collect();
        self.world.run_shell(&words.join(" ")).ok()
    }

    pub(crate) fn press(&self, keys: &[&str]) {
        let mut arguments = vec!["send-keys"];
        arguments.extend(keys);
        self.outer(&arguments);
    }

    /// Presses the key `key` of the conductor table.
    pub(crate) fn conductor(&self, key: &str) {
        self.press(&["C-b", "a"]);
        eventually("the key table is open", || {
            let tables = self
                .world
                .tmux(["list-clients", "-F", "#{client_key_table}"]);
            (tables == "conductor").then_some(())
        });
        self.press(&[key]);
    }

    pub(crate) fn screen(&self) -> String {
        self.outer(&["capture-pane", "-p"])
    }

    /// Waits until the screen shows `what`; returns the screen.
    pub(crate) fn shows(&self, what: &str) -> String {
        let mut last = String::new();
        let end = Instant::now() + crate::support::PATIENCE;
        while Instant::now() < end {
            last = self.screen();
            if last.contains(what) {
                return last;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the screen never showed {what:?}:\n{last}");
    }

    /// Opens the popup by its key, and waits until keys count.
    pub(crate) fn popup(&self, keys: &[&str], shows: &str) -> String {
        self.press(keys);
        let screen = self.shows(shows);
        std::thread::sleep(Duration::from_millis(700));
        screen
    }

    /// Lets the agent ask for `command`.
    pub(crate) fn asks(&self, command: &str) -> Value {
        self.world
            .run(["send", &self.id, "--wait", "20", "-m", "-"])
            .stdin(format!("RUN {command}"))
            .ok();
        self.world.asked(&self.id)
    }

    pub(crate) fn approval(&self, id: &Value) -> Value {
        self.world.run(["approval", "show", &text(id)]).json()
    }

    pub(crate) fn becomes(&self, id: &Value, status: &str) -> Value {
        eventually(&format!("approval {id} is {status}"), || {
            let now = self.approval(id);
            (now["status"] == status).then_some(now)
        })
    }

    /// The code on the screen.
    pub(crate) fn code(&self) -> [String; 2] {
        let screen = self.shows("to approve");
        let (_, rest) = screen.split_once("type ").unwrap();
        let code: Vec<String> = rest.chars().take(2).map(String::from).collect();
        code.try_into().unwrap()
    }

    pub(crate) fn is_closed(&self) {
        eventually("the popup is closed", || {
            let open = self
                .world
                .processes()
                .into_iter()
                .any(|process| process.command.contains(" answer "));
            (!open).then_some(())
        });
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let socket = self.world.at("outer.sock");
        self.world.run_shell(&format!(
            "tmux -S {} kill-server",
            quote(&socket.to_string_lossy())
        ));
    }
}

#[test]
fn a_person_reads_to_the_end_and_types_the_code() {
    let seat = Seat::new();
    let lines: Vec<String> = (1..400).map(|n| format!("echo line {n}")).collect();
    let command = format!("rm -rf build; {}", lines.join("; "));
    std::fs::create_dir(seat.world.at("project/build")).unwrap();
    let asked = seat.asks(&command);
    let screen = seat.popup(&["C-b", "A"], "1 approval waits for you");
    assert!(
        screen.contains("high") && screen.contains("rm -rf build"),
        "{screen}"
    );
    seat.press(&["Enter"]);
    let screen = seat.shows("asked by");
    assert!(
        screen.contains(&format!("approval {}", text(&asked["id"]))),
        "{screen}"
    );
    assert!(!screen.contains("to approve this once"), "{screen}");
    seat.press(&["End"]);
    let [one, two] = seat.code();
    // A wrong code does nothing, and another takes its place.
    seat.press(&["q"]);
    seat.shows("1 approval waits for you");
    seat.press(&["Enter"]);
    seat.shows("asked by");
    seat.press(&["End"]);
    let [third, fourth] = seat.code();
    if [&one, &two] != [&third, &fourth] {
        seat.press(&[&one, &two]);
        seat.shows("that was not the code");
    }
    let [one, two] = seat.code();
    assert_eq!(seat.approval(&asked["id"])["status"], "pending");
    seat.press(&[&one, &two]);
    seat.is_closed();
    let decided = seat.becomes(&asked["id"], "consumed");
    assert_eq!(decided["via"], "popup");
    assert_eq!(decided["decided_by"], "human");
    eventually("it ran", || {
        (!seat.world.at("project/build").exists()).then_some(())
    });
    let entry = seat
        .world
        .run(["audit", "list", "--action", "approval.approved"])
        .json();
    let detail = &entry[0]["detail"];
    assert!(text(&detail["client"]).starts_with("/dev/"), "{entry}");
    assert!(text(&detail["tty"]).starts_with("/dev/"), "{entry}");
    seat.world.run(["audit", "verify"]).ok();
}

#[test]
fn a_no_with_a_word_reaches_the_agent() {
    let seat = Seat::new();
    std::fs::create_dir(seat.world.at("project/build")).unwrap();
    let asked = seat.asks("rm -rf build");
    seat.popup(&["C-b", "a"], "");
    seat.press(&["a"]);
    seat.shows("asked by");
    std::thread::sleep(Duration::from_millis(700));
    seat.press(&["d"]);
    seat.shows("a word for the agent");
    seat.press(&["-l", "use make clean"]);
    seat.press(&["Enter"]);
    let denied = seat.becomes(&asked["id"], "denied");
    assert_eq!(denied["reason"], "use make clean");
    seat.is_closed();
    seat.world.wait(&seat.id, "idle");
    let said = text(&seat.world.run(["output", &seat.id]).json()["output"]);
    assert!(said.contains("use make clean"), "{said}");
    assert!(seat.world.at("project/build").exists());
}

#[test]
fn keys_that_were_typed_before_it_was_up_mean_nothing() {
    let seat = Seat::new();
    seat.world.write(
        "state/policy.toml",
        "version = 1\n[defaults]\npresence = \"caller\"\n",
    );
    let asked = seat.asks("rm -rf build");
    assert_eq!(seat.approval(&asked["id"])["presence"], "caller");
    // As if somebody had been typing when it opened: some keys go to the pane, some to the popup.
    seat.press(&["C-b", "a"]);
    let opened = Instant::now();
    seat.press(&["a"]);
    while opened.elapsed() < Duration::from_millis(350) {
        seat.press(&["y"]);
    }
    seat.shows("y approves this once");
    std::thread::sleep(Duration::from_millis(800));
    assert_eq!(
        seat.approval(&asked["id"])["status"],
        "pending",
        "too early"
    );
    seat.press(&["y"]);
    seat.becomes(&asked["id"], "consumed");
    seat.is_closed();
}

#[test]
fn what_others_decide_is_seen_and_nothing_is_said_when_nothing_waits() {
    let seat = Seat::new();
    seat.press(&["C-b", "A"]);
    seat.shows("nothing waits for your approval");
    let asked = seat.asks("rm -rf build");
    seat.popup(&["C-b", "A"], "1 approval waits for you");
    seat.press(&["Enter"]);
    seat.shows("asked by");
    seat.world
        .run(["deny", &text(&asked["id"]), "--reason", "no"])
        .ok();
    seat.shows("is denied now");
    seat.press(&["d"]);
    seat.shows("is denied already");
    seat.press(&["q"]);
    seat.is_closed();
}

#[test]
fn approve_in_a_pane_opens_the_popup_over_it() {
    let seat = Seat::new();
    let asked = seat.asks("rm -rf build");
    let id = text(&asked["id"]);
    let command = format!(
        "CONDUCTOR_HOME={} {BINARY} approve {id} --reason 'it is mine' > {} 2>&1",
        quote(&seat.world.home().to_string_lossy()),
        quote(&seat.world.at("said").to_string_lossy())
    );
    seat.press(&["-l", &command]);
    seat.press(&["Enter"]);
    seat.shows("asked by");
    // The pane beneath shows nothing of it.
    let pane = seat.world.tmux(["capture-pane", "-p", "-t", "home:"]);
    assert!(!pane.contains("asked by"), "{pane}");
    std::thread::sleep(Duration::from_millis(700));
    seat.press(&["End"]);
    let [one, two] = seat.code();
    seat.press(&[&one, &two]);
    let decided = seat.becomes(&asked["id"], "consumed");
    assert_eq!(decided["reason"], "it is mine");
    eventually("approve says so", || {
        let said = std::fs::read_to_string(seat.world.at("said")).ok()?;
        said.contains(&format!("approval {id} is ")).then_some(())
    });
}

#[test]
fn approve_on_a_terminal_outside_tmux_asks_right_there() {
    let seat = Seat::new();
    let asked = seat.asks("rm -rf build");
    let id = text(&asked["id"]);
    let socket = seat.world.at("outer.sock");
    let line = format!(
        "env -u TMUX -u TMUX_PANE CONDUCTOR_HOME={} CONDUCTOR_TMUX_SOCKET={} {BINARY} approve {id}; echo code $?; sleep 60",
        quote(&seat.world.home().to_string_lossy()),
        quote(&seat.world.socket().to_string_lossy())
    );
    assert!(socket.exists());
    seat.outer(&["new-window", &line]);
    seat.shows("asked by");
    std::thread::sleep(Duration::from_millis(700));
    seat.press(&["q"]);
    seat.shows("code 4");
    assert_eq!(seat.approval(&asked["id"])["status"], "pending");
    // One that is killed leaves the terminal as it was.
    let clean = line.replace("sleep 60", "stty -a; sleep 60");
    let pane = seat.outer(&["new-window", "-P", "-F", "#{pane_id}", &clean]);
    seat.shows("asked by");
    let processes = seat.world.processes();
    let ours = format!("approve {id}");
    let killed = processes
        .iter()
        .find(|p| p.command.starts_with(BINARY) && p.command.contains(&ours));
    seat.world.kill("-TERM", killed.unwrap().pid);
    let screen = seat.shows("code 4");
    let screen = if screen.contains("icanon") {
        screen
    } else {
        seat.shows("icanon")
    };
    assert!(
        !screen.contains("-icanon") && !screen.contains("-echo "),
        "{screen}"
    );
    let flags = "#{alternate_on} #{mouse_any_flag} #{cursor_flag}";
    let flags = seat.outer(&["display-message", "-p", "-t", pane.trim(), flags]);
    assert_eq!(flags.trim(), "0 0 1");
    // What it prints may go elsewhere: the code is shown where it is typed.
    let file = seat.world.at("answer.json");
    let asks = format!("approve {id}");
    let to_file = format!("{asks} --json >{}", quote(&file.to_string_lossy()));
    seat.outer(&["new-window", &line.replace(&asks, &to_file)]);
    seat.shows("asked by");
    std::thread::sleep(Duration::from_millis(700));
    seat.press(&["End"]);
    let [one, two] = seat.code();
    seat.press(&[&one, &two]);
    seat.shows("code 0");
    let decided = seat.becomes(&asked["id"], "consumed");
    assert_eq!(decided["via"], "cli");
    let printed: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(
        printed["id"], asked["id"],
        "and nothing of the screen is in it"
    );
}

#[test]
fn without_a_terminal_nobody_reads_a_code() {
    let seat = Seat::new();
    let asked = seat.asks("rm -rf build");
    let error = seat.world.run(["approve", &text(&asked["id"])]).fails(4);
    assert!(error.contains("needs a terminal"), "{error}");
    assert_eq!(seat.approval(&asked["id"])["status"], "pending");
}

#[test]
fn no_code_is_shown_where_others_can_read_it() {
    let seat = Seat::new();
    let asked = seat.asks("rm -rf build");
    let id = text(&asked["id"]);
    let home = quote(&seat.world.home().to_string_lossy());
    let socket = quote(&seat.world.socket().to_string_lossy());
    // In a pane, however it is started, nothing is drawn.
    for (at, command) in [
        format!("menu answer c {id}"),
        "menu answer c list".to_owned(),
        "menu answer c next".to_owned(),
    ]
    .iter()
    .enumerate()
    {
        let said = seat.world.at(&format!("pane{at}"));
        let line = format!(
            "env -u TMUX -u TMUX_PANE {BINARY} --home {home} -S {socket} {command} 2>{}; echo over; sleep 60",
            quote(&said.to_string_lossy())
        );
        let pane = seat.world.tmux([
            "new-window",
            "-d",
            "-t",
            "home:",
            "-P",
            "-F",
            "#{pane_id}",
            &line,
        ]);
        eventually("it is over", || {
            let screen = seat.world.tmux(["capture-pane", "-p", "-t", &pane]);
            assert!(
                !screen.contains("asked by") && !screen.contains("waits for you"),
                "{screen}"
            );
            screen.contains("over").then_some(())
        });
        let said = std::fs::read_to_string(said).unwrap();
        assert!(said.contains("others can read a pane"), "{said}");
    }
    assert_eq!(seat.approval(&asked["id"])["status"], "pending");
}

#[test]
fn a_client_that_an_agent_attached_gets_no_code() {
    let seat = Seat::new();
    let other = seat.world.launch_as("other", &[]).supervisor;
    let own = seat.world.at("own.sock");
    let (own, socket) = (own.to_string_lossy(), seat.world.socket());
    let command = format!(
        "env -u TMUX tmux -S {own} -f /dev/null new-session -d -x 100 -y 30 'env -u TMUX tmux -S {} attach -t home'",
        socket.display()
    );
    seat.world.shell(&other, &command).ok();
    eventually("the agent's client is attached", || {
        let clients = seat.world.tmux(["list-clients", "-F", "#{client_name}"]);
        (clients.lines().count() == 2).then_some(())
    });
    let asked = seat.asks("rm -rf build");
    seat.press(&["C-b", "A"]);
    seat.shows("has attached the client");
    assert_eq!(seat.world.audited("approval.refused"), 1);
    seat.world
        .run_shell(&format!("tmux -S {own} kill-server"))
        .ok();
    eventually("the agent's client is gone", || {
        let clients = seat.world.tmux(["list-clients", "-F", "#{client_name}"]);
        (clients.lines().count() == 1).then_some(())
    });
    seat.popup(&["C-b", "A"], "1 approval waits for you");
    assert_eq!(seat.approval(&asked["id"])["status"], "pending");
    seat.press(&["q"]);
    seat.is_closed();
}
