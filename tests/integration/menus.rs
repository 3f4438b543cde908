//! The menus as a person has them: keys pressed in a client, what is on its screen, and what came of it.

use crate::popup::Seat;
use crate::support::{World, eventually, quote, text};
use serde_json::json;

impl Seat {
    /// Waits until the screen shows `what` no more.
    fn is_gone(&self, what: &str) {
        eventually("it is gone", || {
            (!self.screen().contains(what)).then_some(())
        });
    }

    /// Types a command into tmux's own prompt.
    fn command(&self, line: &str) {
        self.press(&["C-b", ":"]);
        self.press(&["-l", line]);
        self.press(&["Enter"]);
    }

    /// The pane that the client shows.
    fn pane(&self) -> String {
        self.world.tmux(["list-clients", "-F", "#{pane_id}"])
    }

    /// A click at column and row, from 1, of the client.
    fn click(&self, column: usize, row: usize) {
        for end in ["M", "m"] {
            let report = format!("\u{1b}[<0;{column};{row}{end}");
            self.press(&["-l", &report]);
        }
    }
}

/// Waits until the client shows `pane`.
fn shows_pane(seat: &Seat, pane: &str) {
    eventually("the client shows the pane", || {
        (seat.pane() == pane).then_some(())
    });
}

fn pane_of(world: &World, id: &str) -> String {
    text(&world.status(id)["pane"])
}

/// Ids of living agents.
fn living(world: &World) -> Vec<String> {
    let sessions = world.run(["sessions"]).json();
    let sessions = sessions.as_array().unwrap().iter();
    let agents = sessions.flat_map(|session| session["terminals"].as_array().unwrap());
    let alive = agents.filter(|agent| agent["status"] != "exited");
    alive.map(|agent| text(&agent["id"])).collect()
}

fn quiet(seat: &Seat) {
    let world = &seat.world;
    world.tmux(["set-option", "-g", "@conductor-notify", "none"]);
    world.tmux(["set-option", "-g", "display-time", "3000"]);
}

#[test]
fn an_agent_is_spawned_where_the_person_says() {
    let seat = Seat::new();
    quiet(&seat);
    let world = &seat.world;
    // A name that would run is no profile's, and words about one are only words.
    world.write(
        "state/agent-context/odd.md",
        "---\nname: odd\ndescription: '#(touch P) $(touch P) %H'\nprovider: demo\n---\nBe odd.\n",
    );
    world.write("state/agent-context/$(touch P).md", "---\nname: x\n---\n");
    seat.conductor("s");
    let screen = seat.shows("Spawn an agent");
    assert!(screen.contains("odd: #(touch P) $(touch P) %H"), "{screen}");
    assert!(screen.contains("developer, as usual"), "{screen}");
    seat.press(&["q"]);
    seat.is_gone("Spawn an agent");
    let client = world.tmux(["list-clients", "-F", "#{client_name}"]);
    // What follows a choice is asked for.
    let socket = quote(&world.socket().to_string_lossy());
    let home = quote(&world.home().to_string_lossy());
    let binary = crate::support::BINARY;
    let menu = format!("{binary} --home {home} -S {socket} menu spawn {client} odd");
    world.tmux(["run-shell", "-b", &format!("({menu}) >/dev/null 2>&1")]);
    let screen = seat.shows("Spawn odd: on what?");
    assert!(screen.contains("(as usual)"), "{screen}");
    seat.press(&["a"]);
    seat.shows("Spawn odd: where?");
    seat.press(&["r"]);
    seat.shows("is started on demo");
    let count = world.tmux(["display-message", "-p", "-t", "home:", "#{window_panes}"]);
    assert_eq!(count, "2");
    let before = seat.pane();
    world.tmux([
        "run-shell",
        "-b",
        &format!("({menu} demo session) >/dev/null 2>&1"),
    ]);
    eventually("the person is in the new session", || {
        (seat.pane() != before).then_some(())
    });
    assert_eq!(living(world).len(), 3);
    // And back again.
    seat.command("conductor-back");
    shows_pane(&seat, &before);
    seat.conductor("b");
    seat.shows("there is nowhere to go back to");
    for place in ["project/P", "user/P", "P"] {
        assert!(!world.at(place).exists(), "{place}");
    }
}

#[test]
fn an_agent_is_found_read_marked_and_ended() {
    let seat = Seat::new();
    quiet(&seat);
    let (world, id) = (&seat.world, &seat.id);
    let pane = pane_of(world, id);
    let home = seat.pane();
    world.tmux(["rename-window", "-t", &pane, "w##(touch P)'\"$(touch P)%H"]);
    world
        .run(["send", id, "--wait", "20", "-m", "SAY the answer"])
        .ok();
    world.wait(id, "idle");
    seat.conductor("l");
    let screen = seat.shows("session work");
    assert!(
        screen.contains("w#(touch P)'\"$(touch P)%H: has finished"),
        "{screen}"
    );
    seat.press(&["a"]);
    let screen = seat.shows("Read its last answer");
    assert!(screen.contains("Mark as seen"), "{screen}");
    seat.press(&["r"]);
    seat.shows("the last answer of");
    seat.shows("the answer");
    std::thread::sleep(std::time::Duration::from_millis(700));
    seat.press(&["q"]);
    seat.is_gone("the last answer of");
    seat.command("conductor-next");
    shows_pane(&seat, &pane);
    seat.shows("has finished");
    seat.conductor("n");
    seat.shows("no agent waits");
    seat.conductor("b");
    shows_pane(&seat, &home);
    // A failed turn counts until it is marked.
    world.send(id, "ERROR bad luck");
    world.wait(id, "error");
    let segment = || world.tmux(["show-options", "-gv", "@conductor_segment"]);
    let mark = || {
        let format = "#{E:@conductor_window_mark}";
        world.tmux(["display-message", "-p", "-t", &pane, format])
    };
    eventually("it is counted", || segment().contains('⚠').then_some(()));
    assert!(mark().contains('⚠'));
    world.run_in(id, &["send", "human", "-m", "news"]).ok();
    seat.conductor("n");
    shows_pane(&seat, &pane);
    seat.conductor("u");
    seat.shows("is marked as seen");
    // What it wrote is still unread.
    eventually("it is counted no more, and its note is", || {
        (segment() == "✎1").then_some(())
    });
    assert!(!mark().contains('⚠'));
    assert_eq!(world.run(["notes"]).json()[0]["status"], "open");
    seat.conductor("n");
    seat.shows("no agent waits");
    // Its log, and its end.
    seat.conductor("l");
    seat.shows("session work");
    seat.press(&["a"]);
    seat.shows("Read what it printed");
    seat.press(&["o"]);
    seat.shows(" printed");
    std::thread::sleep(std::time::Duration::from_millis(700));
    seat.press(&["q"]);
    seat.is_gone(" printed");
    seat.conductor("l");
    seat.shows("session work");
    seat.press(&["a"]);
    seat.shows("End it (asks first)");
    seat.press(&["x"]);
    seat.shows(&format!("End agent {id}? (y/n)"));
    seat.press(&["n"]);
    assert_eq!(living(world).len(), 1);
    seat.is_gone("(y/n)");
    seat.conductor("K");
    seat.shows("Stop all agents of this tmux server? (y/n)");
    seat.press(&["y"]);
    eventually("it has ended", || living(world).is_empty().then_some(()));
    assert!(!world.at("project/P").exists());
}

#[test]
fn the_inbox_is_read_and_answered_in_a_box() {
    let seat = Seat::new();
    quiet(&seat);
    let (world, id) = (&seat.world, &seat.id);
    world.tmux(["set-option", "-g", "mouse", "on"]);
    seat.conductor("i");
    seat.shows("no agent wrote to you");
    let hostile = "$(touch P) #(touch P) \u{1b}]2;title\u{7}\nsecond line";
    world
        .mcp(
            id,
            "send_message",
            &json!({"receiver_id": "human", "message": hostile}),
        )
        .unwrap();
    let asked = json!({"question": "Which branch?", "options": ["main", "other"], "timeout": 0});
    world.mcp(id, "ask_human", &asked).unwrap();
    seat.conductor("i");
    let screen = seat.shows("inbox: 2 for you");
    assert!(screen.contains("$(touch P) #(touch P)"), "{screen}");
    std::thread::sleep(std::time::Duration::from_millis(700));
    // Messages are delivered while it is open.
    world
        .run(["send", id, "--wait", "20", "-m", "SAY meanwhile"])
        .ok();
    // The note is the second row: a click chooses it, another one opens it.
    let lines: Vec<String> = seat.screen().lines().map(str::to_owned).collect();
    let row = lines.iter().position(|l| l.contains("#(touch P)")).unwrap();
    for _ in 0..2 {
        seat.click(30, row + 1);
    }
    seat.shows("note 1 from");
    seat.shows("second line");
    seat.press(&["q"]);
    seat.shows("inbox:");
    seat.press(&["g", "r"]);
    seat.shows("to conductor");
    seat.press(&["-l", "main, q"]);
    seat.press(&["M-Enter"]);
    seat.press(&["-l", "second"]);
    seat.shows("> second");
    seat.press(&["Enter"]);
    seat.shows("note 2 is answered");
    seat.press(&["q"]);
    seat.is_gone("inbox:");
    let notes = world.run(["notes"]).json();
    assert_eq!(notes[0]["answer"], "main, q\nsecond");
    assert_eq!(notes[0]["answered_by"], "human");
    assert_eq!(notes[1]["status"], "seen");
    assert!(!world.at("project/P").exists());
    // An agent opens no inbox.
    let client = world.tmux(["list-clients", "-F", "#{client_name}"]);
    world.run_in(id, &["menu", "inbox-popup", &client]).fails(4);
    let error = world.run(["menu", "agents", "nobody"]).fails(3);
    assert!(error.contains("sessions"), "{error}");
}

#[test]
fn small_clients_get_pages_and_tiny_ones_a_hint() {
    let seat = Seat::new();
    quiet(&seat);
    let world = &seat.world;
    let resize = |columns: &str, rows: &str| {
        seat.outer(&["resize-window", "-x", columns, "-y", rows]);
        eventually("the client has that size", || {
            let width = world.tmux(["list-clients", "-F", "#{client_width}"]);
            (width == columns).then_some(())
        });
    };
    resize("80", "24");
    seat.conductor("?");
    let screen = seat.shows("Stop everything (asks first)");
    assert!(
        screen.contains("Stop everything") && !screen.contains("More:"),
        "{screen}"
    );
    seat.press(&["q"]);
    seat.is_gone("Show all approvals");
    resize("40", "10");
    seat.command("conductor");
    let screen = seat.shows("More: ");
    assert!(!screen.contains("Stop everything"), "{screen}");
    seat.press(&["."]);
    seat.shows("List the agents");
    seat.press(&["."]);
    seat.shows("From the start");
    seat.press(&["K"]);
    seat.shows("Stop all agents of");
    seat.press(&["n"]);
    resize("29", "10");
    seat.conductor("l");
    seat.shows("this client is too small");
    assert_eq!(living(world).len(), 1);
}
