//! What hooks, keys and counts do once the plugin is loaded.

use super::*;
use crate::clock;
use crate::domain::terminal::{Change, Root, Source, State, Status, Terminal};
use crate::store::Registration;
use crate::tmux::status_line::Counts;

/// Stores a terminal that lives in `pane`.
fn terminal(lab: &mut Lab, id: &str, pane: &str, status: Status) {
    let id = TerminalId::parse(id).unwrap();
    let row = Terminal {
        session: String::new(),
        window: String::new(),
        profile: "worker".into(),
        state: State {
            status: Status::Starting,
            reason: String::new(),
            source: Source::Command,
            since: clock::now(),
        },
        created_at: clock::now(),
        session_owned: false,
        ..Terminal::sample(id.clone())
    };
    let found = Registration {
        pane: pane.to_owned(),
        server: lab.tmux.identify().unwrap().0,
        pane_pid: 1,
        root: Root { pid: 1, start: 1 },
        tty: 0,
        session: String::new(),
        window: String::new(),
        spot: crate::domain::loss::Spot::default(),
    };
    lab.store
        .write(Durability::Process, Budget::Call, |tx| {
            assert!(tx.insert_terminal(&row)?);
            assert!(tx.register_terminal(&id, &found)?);
            let change = Change {
                status,
                reason: String::new(),
            };
            tx.set_state(&id, &change, Source::Command, clock::now())?;
            Ok::<_, StoreError>(())
        })
        .unwrap();
}

#[test]
fn hooks_start_the_helper_only_while_a_terminal_lives() {
    let mut lab = Lab::named(
        "",
        "a b'c\"d$(touch pwned);e#{pid}",
        "st ate'\"$(id);#{x}%H;",
    );
    lab.identity();
    lab.load();
    let dies = |lab: &Lab| {
        let pane = lab.say(&[
            "new-window",
            "-d",
            "-P",
            "-F",
            "#{pane_id} #{window_id}",
            "sleep 0.1",
        ]);
        until(|| {
            !lab.say(&["list-panes", "-a"])
                .contains(pane.split(' ').next().unwrap())
        });
        pane.trim_end().replace(' ', "|")
    };
    dies(&lab);
    lab.say(&["set-option", "-gu", "@conductor_live"]);
    dies(&lab);
    settle();
    assert_eq!(lab.started(), Vec::<String>::new());

    lab.set("@conductor_live", "1");
    let pane = dies(&lab);
    until(|| lab.started().len() >= 2);
    settle();
    let events = lab.events();
    assert_eq!(events.len(), 2, "{events:?}");
    assert_eq!(events[0], format!("event|after-new-window|{pane}|"));
    let id = pane.split('|').next().unwrap();
    assert!(
        events[1].starts_with(&format!("event|pane-exited|{id}|")),
        "{events:?}"
    );
    assert_eq!(lab.get(DIRTY), "1");
}

#[test]
fn many_layout_changes_start_one_process() {
    let mut lab = Lab::new("");
    lab.say(&["split-window", "-h", "-d", "sleep 1000"]);
    lab.load();
    let change = |lab: &Lab| {
        let list = (0..100).fold(CommandList::new(), |list, round| {
            list.then([
                "resize-pane",
                "-t",
                "%0",
                "-x",
                if round % 2 == 0 { "20" } else { "30" },
            ])
        });
        lab.tmux.run(&list).unwrap();
        lab.tmux.run(&list).unwrap();
        settle();
    };
    change(&lab);
    assert_eq!(lab.started(), Vec::<String>::new());
    lab.set("@conductor_live", "1");
    change(&lab);
    assert_eq!(lab.events().len(), 1, "{:?}", lab.events());
    assert!(lab.events()[0].starts_with("event|window-layout-changed||@0|"));
    lab.tmux.run(&hooks::clear_dirty()).unwrap();
    change(&lab);
    assert_eq!(lab.events().len(), 2);
}

#[test]
fn leaving_a_mode_rings_only_when_something_waits() {
    let mut lab = Lab::new("");
    lab.say(&["split-window", "-h", "sleep 1000"]);
    lab.load();
    lab.set("@conductor_live", "1");
    let modes = |lab: &Lab| {
        lab.say(&["copy-mode", "-t", "%0"]);
        settle();
        let inside = lab.started().len();
        lab.say(&["copy-mode", "-q", "-t", "%0"]);
        settle();
        inside
    };
    modes(&lab);
    assert_eq!(lab.started(), Vec::<String>::new());
    lab.set(WAITS, "1");
    assert_eq!(modes(&lab), 0);
    assert_eq!(lab.events().len(), 1, "{:?}", lab.events());
    assert!(lab.events()[0].starts_with("event|pane-mode-changed|%0|"));
}

#[test]
fn clients_ring_and_keys_open_the_menu() {
    let mut lab = Lab::new("");
    lab.load();
    lab.set("@conductor_live", "1");
    lab.attach();
    until(|| {
        lab.events()
            .iter()
            .any(|event| event.starts_with("event|client-attached|"))
    });
    let client = lab.say(&["list-clients", "-F", "#{client_name}"]);
    let menu = |name: &str| format!("menu|{name}|{}|", client.trim_end());
    for key in keys::KEYS {
        // Keys that come at once are taken for a paste (assume-paste-time).
        for pressed in ["C-b", "a", &key.key.to_string()] {
            lab.outer(&["send-keys", pressed]);
            std::thread::sleep(Duration::from_millis(50));
        }
        until(|| pressed_in(&lab).contains(&menu(key.menu)));
    }
    for key in keys::KEYS {
        for pressed in [&["C-b"][..], &[":"], &["-l", &key.alias()], &["Enter"]] {
            lab.outer(&[&["send-keys"], pressed].concat());
            std::thread::sleep(Duration::from_millis(50));
        }
        let same = |event: &&String| **event == menu(key.menu);
        until(|| pressed_in(&lab).iter().filter(same).count() == 2);
    }
}

/// What was rung, without the times of the keys.
fn pressed_in(lab: &Lab) -> Vec<String> {
    let without = |event: String| {
        let words = event.split('|').filter(|word| !word.starts_with('@'));
        words.collect::<Vec<_>>().join("|")
    };
    lab.events().into_iter().map(without).collect()
}

/// A timer that is armed while something is open fires before it is closed; a question waits without a client of ours.
fn fires(lab: &Lab, what: &str, shows: &str, mut command: std::process::Command) {
    let mut open = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    until(|| lab.outer(&["capture-pane", "-p"]).contains(shows));
    lab.set("@fired", "0");
    let timer = "set-option -g @fired 1";
    lab.say(&["run-shell", "-b", "-d", "0.1", "-C", timer]);
    until(|| lab.get("@fired") == "1");
    if matches!(what, "menu" | "popup") {
        assert!(open.try_wait().unwrap().is_none(), "{what} is still open");
    } else {
        until(|| open.try_wait().unwrap().is_some());
    }
    lab.outer(&["send-keys", "q"]);
    if what != "menu" {
        lab.outer(&["send-keys", "Enter"]);
    }
    open.wait().unwrap();
    until(|| !lab.outer(&["capture-pane", "-p"]).contains(shows));
}

#[test]
fn nothing_that_is_open_holds_up_the_server() {
    let mut lab = Lab::named("", "ho ok'\"$(id)#{pid}", "state");
    lab.load();
    lab.attach();
    let client = lab.say(&["list-clients", "-F", "#{client_name}"]);
    let viewer = lab.tmux.viewer(client.trim_end()).unwrap().unwrap();
    assert!(viewer.columns >= 80 && viewer.rows >= 23, "{viewer:?}");
    let tmux = &lab.tmux;
    let popup = tmux.popup_command(&viewer, "echo POPUP; read key").unwrap();
    let entry = crate::tmux::prompt::Entry::new("an entry; #(id)", "agents +1").with_key('x');
    let menu = || {
        tmux.menu_command(&viewer, "MENU", std::slice::from_ref(&entry))
            .unwrap()
    };
    let ask = tmux.ask_command(&viewer, "ASK", "07", "message 1").unwrap();
    let confirm = || tmux.confirm_command(&viewer, "SURE?", "stop yes").unwrap();
    fires(&lab, "menu", "an entry; #(id)", menu());
    assert_eq!(lab.events(), Vec::<String>::new());
    // On 3.2 questions and prompts end at once, and hold up nothing.
    if !viewer.version.starts_with("3.2") {
        fires(&lab, "confirm", "SURE? (y/n)", confirm());
        assert_eq!(lab.events(), Vec::<String>::new());
        fires(&lab, "prompt", "ASK", ask);
        let client = client.trim_end();
        until(|| lab.events() == [format!("menu|message|{client}|1|07|")]);
        assert_eq!(lab.get("@conductor_in"), "07 q");
    }
    fires(&lab, "popup", "POPUP", popup);
}

#[test]
fn counts_are_shown_with_room_and_taken_back() {
    let mut lab = Lab::new("");
    let before = lab.all();
    lab.load();
    let quiet = lab.all();
    let counts = Counts {
        pending: 2,
        unread: 13,
        waiting: 1,
        notes: 0,
        error: 0,
        live: 4,
    };
    lab.tmux
        .show_counts(lab.home.root(), &Counts::default())
        .unwrap();
    lab.same(&quiet, "quiet");
    lab.tmux.show_counts(lab.home.root(), &counts).unwrap();
    assert_eq!(lab.get("@conductor_segment"), "⏳2 ?1 ✉13");
    assert_eq!(lab.get("@conductor_pending"), "2");
    assert_eq!(lab.get("@conductor_live"), "4");
    let width: usize = lab.get("status-right-length").parse().unwrap();
    assert!((50..56).contains(&width), "{width}");
    let shown = lab.all();
    lab.tmux.show_counts(lab.home.root(), &counts).unwrap();
    lab.load();
    lab.same(&shown, "shown");
    lab.tmux
        .show_counts(lab.home.root(), &Counts::default())
        .unwrap();
    lab.same(&quiet, "quiet");
    lab.tmux.show_counts(lab.home.root(), &counts).unwrap();
    lab.set("status-right-length", "60");
    lab.tmux
        .show_counts(
            lab.home.root(),
            &Counts {
                unread: 1,
                ..counts
            },
        )
        .unwrap();
    lab.tmux
        .show_counts(lab.home.root(), &Counts::default())
        .unwrap();
    assert_eq!(lab.get("status-right-length"), "60");
    lab.set("status-right-length", "40");
    lab.tmux.show_counts(lab.home.root(), &counts).unwrap();
    lab.unload();
    lab.same(&before, "before");
}

#[test]
fn panes_keep_what_deliveries_need_only_while_their_terminal_lives() {
    let mut lab = Lab::new("");
    let before = lab.all();
    lab.load();
    for (pane, id) in [
        ("%1", "0123abc1"), // lives there
        ("%2", "0123abc2"), // has ended
        ("%3", "0123abc3"), // lives elsewhere
        ("%4", "0123abc4"), // is of another state directory
        ("%5", ""),
    ] {
        lab.say(&["new-window", "-d", "sleep 1000"]);
        let set = |option, value| {
            lab.say(&["set-option", "-p", "-t", pane, option, value]);
        };
        set("@conductor_id", id);
        set("@conductor_seq", "3");
        set("@conductor_log", "/tmp/with space");
        set("@mine", "x");
        match id.chars().last() {
            Some('1') => terminal(&mut lab, id, pane, Status::Idle),
            Some('2') => terminal(&mut lab, id, pane, Status::Exited),
            Some('3') => terminal(&mut lab, id, "%77", Status::Idle),
            _ => {}
        }
    }
    lab.unload();
    let options = |pane| lab.say(&["show-options", "-p", "-t", pane]);
    for (pane, id) in [("%1", "0123abc1"), ("%4", "0123abc4")] {
        let kept = format!("@conductor_id {id}\n@conductor_seq 3\n@mine x\n");
        assert_eq!(options(pane), kept);
    }
    for pane in ["%2", "%3", "%5"] {
        assert_eq!(options(pane), "@mine x\n");
    }
    lab.same(&before, "the rest");
}

#[test]
fn helpers_that_hang_hold_up_neither_the_server_nor_the_users_hooks() {
    let mut lab = Lab::new("set-hook -ga pane-exited 'set-option -g @mine \"#{hook_pane}\"'\n");
    let script = "#!/bin/sh\necho \"$$\" >>\"$0.pids\"\nkill -STOP $$\n";
    fsx::write_atomic_mode(&lab.binary, script.as_bytes(), 0o700).unwrap();
    lab.load();
    lab.attach();
    lab.set("@conductor_live", "1");
    lab.set(WAITS, "1");
    let log = lab.binary.with_extension("pids");
    let hanging = || {
        let text = fsx::read_file_limited(&log, 1 << 20).unwrap_or_default();
        String::from_utf8(text)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    // A hook of every duty, a key and a timer.
    lab.say(&["new-window", "-d", "sleep 0.1"]);
    lab.say(&["copy-mode", "-t", "%0"]);
    lab.say(&["copy-mode", "-q", "-t", "%0"]);
    for key in ["C-b", "a", "s"] {
        lab.outer(&["send-keys", key]);
        std::thread::sleep(Duration::from_millis(50));
    }
    lab.tmux
        .arm_timer(&lab.binary, lab.home.root(), 1, 0)
        .unwrap();
    until(|| hanging().len() >= 5 && !lab.get("@mine").is_empty());
    let start = Instant::now();
    for _ in 0..20 {
        assert!(!lab.say(&["display-message", "-p", "#{version}"]).is_empty());
    }
    // What it would take if a single one of them were waited for has no end.
    assert!(start.elapsed() < Duration::from_secs(20));
    lab.unload();
    for pid in hanging() {
        let pid = nix::unistd::Pid::from_raw(pid.parse().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    }
}
