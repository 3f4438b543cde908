//! Against a real tmux; `CONDUCTOR_TEST_TMUX` names another one than the one along `PATH`.

use super::*;
use crate::fsx;
use crate::proc;
use crate::tmux::status_line::{Counts, SEGMENT, TOKEN};
use std::path::PathBuf;
use std::time::Instant;

struct Lab {
    dir: tempfile::TempDir,
    program: PathBuf,
    tmux: Tmux,
    home: Home,
    store: Store,
    binary: PathBuf,
    outer: bool,
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.outer {
            self.outer(&["kill-server"]);
        }
        self.say(&["kill-server"]);
    }
}

impl Lab {
    fn new(conf: &str) -> Self {
        Self::named(conf, "hook", "state")
    }

    fn named(conf: &str, binary: &str, state: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let program = paths::env("CONDUCTOR_TEST_TMUX")
            .map_or_else(|| paths::find_program("tmux", None).unwrap(), PathBuf::from);
        let file = dir.path().join("tmux.conf");
        fsx::write_atomic(&file, conf.as_bytes()).unwrap();
        let binary = dir.path().join(binary);
        let script = "#!/bin/sh\n{ printf '%s|' \"$@\"; echo; } >>\"$0.log\"\n";
        fsx::write_atomic_mode(&binary, script.as_bytes(), 0o700).unwrap();
        let home = Home::at(dir.path().join(state)).unwrap();
        let lab = Self {
            tmux: Tmux::at(dir.path().join("s")),
            store: Store::open_or_create(&home).unwrap(),
            dir,
            program,
            home,
            binary,
            outer: false,
        };
        let file = file.to_str().unwrap();
        lab.say(&[
            "-f",
            file,
            "new-session",
            "-d",
            "-x",
            "100",
            "-y",
            "30",
            "sleep 1000",
        ]);
        lab
    }

    /// What tmux prints; the words are its own argv.
    fn say(&self, words: &[&str]) -> String {
        let output = proc::command(&self.program)
            .env_remove("TMUX")
            .args(["-u", "-S"])
            .arg(self.tmux.socket())
            .args(words)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    fn outer(&self, words: &[&str]) -> String {
        let output = proc::command(&self.program)
            .env_remove("TMUX")
            .args(["-u", "-f", "/dev/null", "-S"])
            .arg(self.dir.path().join("outer"))
            .args(words)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Attaches a client, whose terminal is a pane of another server.
    fn attach(&mut self) {
        self.outer = true;
        let line = format!(
            "env -u TMUX {} -u -S {} attach",
            self.program.display(),
            self.tmux.socket_text()
        );
        self.outer(&["new-session", "-d", "-x", "90", "-y", "25", &line]);
        until(|| !self.say(&["list-clients"]).is_empty());
    }

    fn set(&self, name: &str, value: &str) {
        let list = CommandList::new().then(["set-option", "-g", "--", name, value]);
        self.tmux.run(&list).unwrap();
        assert_eq!(self.get(name), value);
    }

    fn get(&self, name: &str) -> String {
        let [value] = self.tmux.globals([name]).unwrap();
        value.unwrap_or_default()
    }

    fn load(&mut self) -> LoadReport {
        load(&mut self.store, &self.tmux, &self.home, &self.binary).unwrap()
    }

    fn unload(&mut self) -> UnloadReport {
        unload(&mut self.store, &self.tmux, &self.home).unwrap()
    }

    fn status(&mut self) -> PluginStatus {
        status(&mut self.store, &self.tmux, &self.home).unwrap()
    }

    fn all(&self) -> Vec<String> {
        [
            &["show-options", "-g"][..],
            &["show-options", "-s"],
            &["show-options", "-gw"],
            &["show-hooks", "-g"],
            &["show-hooks", "-gw"],
            &["list-keys"],
            &["list-keys", "-N"],
            &["show-options"],
            &["show-hooks"],
            &["show-options", "-w"],
            &["show-options", "-p"],
        ]
        .iter()
        .map(|words| self.say(words))
        .collect()
    }

    /// The lines that the stub was started with.
    fn started(&self) -> Vec<String> {
        let mut log = self.binary.clone().into_os_string();
        log.push(".log");
        let text = fsx::read_file_limited(Path::new(&log), 1 << 20).unwrap_or_default();
        let text = String::from_utf8(text).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn events(&self) -> Vec<String> {
        let front = format!(
            "--home|{}|-S|{}|",
            self.home.root().display(),
            self.tmux.socket_text()
        );
        let line = |line: &String| line.strip_prefix(&front).unwrap().to_owned();
        self.started().iter().map(line).collect()
    }

    fn same(&self, before: &[String], what: &str) {
        for (now, before) in self.all().iter().zip(before) {
            let differs: Vec<_> = now.lines().filter(|line| !before.contains(line)).collect();
            assert!(
                now == before,
                "{what}: {differs:#?} of {} and {} lines",
                now.lines().count(),
                before.lines().count()
            );
        }
    }

    fn identity(&mut self) {
        let before = self.all();
        self.load();
        let once = self.all();
        assert!(before != once);
        self.load();
        self.same(&once, "loaded twice");
        assert!(self.unload().was_loaded);
        self.same(&before, "unloaded");
        assert!(!self.unload().was_loaded);
        self.same(&before, "unloaded twice");
    }
}

fn until(mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(10), "never happened");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn settle() {
    std::thread::sleep(Duration::from_millis(300));
}

#[test]
fn a_plain_server_is_as_before() {
    let mut lab = Lab::new("");
    lab.identity();
    lab.load();
    let status = lab.status();
    assert!(status.loaded && status.segment && status.missing_hooks.is_empty());
    assert_eq!(status.key.as_deref(), Some("a"));
    assert_eq!(status.shadows, []);
    assert!(lab.get("status-right").starts_with(SEGMENT));
    assert_eq!(lab.get("@conductor_live"), "0");
    let notes = lab.say(&["list-keys", "-N", "-T", "conductor"]);
    for key in keys::KEYS {
        assert!(notes.contains(key.note), "{notes}");
    }
}

#[test]
fn a_full_configuration_is_as_before() {
    let mut lab = Lab::new(
        "set-hook -g pane-exited 'display-message one'\n\
         set-hook -ga pane-exited 'display-message two'\n\
         set-hook -ga window-layout-changed 'run-shell -b \"true #{hook_window}\"'\n\
         set-hook -g client-attached { display-message a ; display-message b }\n\
         set-hook -g 'after-new-window[1728]' 'display-message near'\n\
         set-hook -g 'after-new-window[1730]' 'display-message near'\n\
         bind-key -N mine a display-message a\nbind-key A display-message A\n\
         bind-key -T conductor s display-message mine\n\
         set -g status-right-length 77\nset -g @conductor-key a\nset -g @conductor_theirs x\n\
         set -g @conductor-status on\n",
    );
    lab.identity();
    let report = lab.load();
    assert_eq!(report.key.as_deref(), Some("g"));
    assert_eq!(report.taken_keys, ["prefix a", "conductor s"]);
}

#[test]
fn the_users_token_is_where_the_segment_stands() {
    for option in ["status-left", "status-right"] {
        for value in [
            format!("{TOKEN} x"),
            format!("x {TOKEN}"),
            format!("{TOKEN}{TOKEN}"),
        ] {
            let mut lab = Lab::new("");
            lab.set(option, &value);
            lab.identity();
            lab.load();
            assert_eq!(lab.get(option), value.replace(TOKEN, SEGMENT));
            let both = lab.get("status-left") + &lab.get("status-right");
            assert_eq!(both.matches(SEGMENT).count(), value.matches(TOKEN).count());
        }
    }
}

#[test]
fn odd_status_lines_survive() {
    let mut lab = Lab::new("");
    for value in [
        "ends with ;",
        "ends with \\;",
        ";",
        "",
        "-g",
        "\" ' \\ $HOME \\$HOME \\\\$_ ${X} `id` ~ $(id) $",
        "#{pane_title} #(echo hi) ##{x} #[fg=red]a,b}",
        "%H:%M %% 100%",
        "line\nbreak\n",
        "tab\tünïcode ⏳ 日本 \u{1f600}",
        "#{?client_prefix,#[reverse]P#[noreverse],} #{l:#{x}}",
    ] {
        lab.set("status-right", value);
        lab.identity();
        lab.load();
        assert_eq!(lab.get("status-right"), format!("{SEGMENT}{value}"));
        lab.unload();
        assert_eq!(lab.get("status-right"), value);
    }
}

#[test]
fn status_off_leaves_the_status_line_alone() {
    let mut lab = Lab::new("");
    let before = lab.get("status-right");
    lab.load();
    lab.set("@conductor-status", "off");
    assert!(!lab.load().segment);
    assert_eq!(lab.get("status-right"), before);
    lab.unload();
    lab.set("status-right", TOKEN);
    lab.identity();
}

#[test]
fn what_the_user_changes_meanwhile_stays() {
    let mut lab = Lab::new("");
    lab.load();
    let line = lab.get("status-right");
    lab.set("status-right", &format!("theme {line} end;"));
    lab.set("status-right-length", "123");
    lab.say(&["bind-key", "a", "display-message", "mine"]);
    lab.say(&[
        "bind-key",
        "-T",
        "conductor",
        "n",
        "display-message",
        "mine",
    ]);
    lab.say(&["set-hook", "-g", "pane-died[1729]", "display-message mine"]);
    lab.say(&["set-hook", "-g", "pane-exited", "display-message mine"]);
    lab.load();
    assert_eq!(lab.status().key.as_deref(), Some("g"));
    assert_eq!(lab.status().foreign_hooks, ["pane-died"]);
    assert_eq!(lab.status().taken_keys, ["prefix a", "conductor n"]);
    assert_eq!(lab.get("status-right"), format!("theme {line} end;"));
    lab.unload();
    let all = lab.all().join("\n");
    assert!(!all.contains("@conductor_"), "{all}");
    assert_eq!(
        lab.get("status-right"),
        format!("theme {} end;", &line[SEGMENT.len()..])
    );
    assert_eq!(lab.get("status-right-length"), "123");
    for mine in [
        "pane-died[1729] display-message mine",
        "pane-exited[0] display-message mine",
    ] {
        assert!(all.contains(mine), "{mine}");
    }
    assert_eq!(
        all.lines()
            .filter(|line| line.starts_with("bind-key") && line.ends_with("message mine"))
            .count(),
        2
    );
}

#[test]
fn the_key_after_the_prefix_follows_the_users_wish() {
    let mut lab = Lab::new("");
    let before = lab.all();
    lab.load();
    for (wish, key) in [
        ("M-;", "M-;"),
        ("M-\"", "M-\""),
        ("C-\\", "C-\\"),
        ("\\", "\\"),
        ("^x", "C-x"),
        ("no such key", "g"),
        ("\"", "g"),
        ("g", "g"),
        ("-", "g"),
        ("€", "€"),
    ] {
        lab.set("@conductor-key", wish);
        assert_eq!(lab.load().key.as_deref(), Some(key), "{wish}");
        let listed = lab.say(&["list-keys"]);
        assert_eq!(listed.matches("switch-client -T conductor").count(), 1);
        assert!(!listed.contains("probe"));
    }
    lab.say(&["set-option", "-gu", "@conductor-key"]);
    lab.unload();
    lab.same(&before, "before");
    // The user's own binding to our table is not ours.
    lab.say(&["bind-key", "a", "switch-client", "-T", "conductor"]);
    lab.identity();
}

#[test]
fn a_hook_that_a_set_hook_without_index_deleted_is_put_back() {
    let mut lab = Lab::new("");
    assert_eq!(mend(&lab.tmux).unwrap(), Vec::<&str>::new(), "not loaded");
    lab.load();
    let before = lab.all();
    assert_eq!(mend(&lab.tmux).unwrap(), Vec::<&str>::new());
    lab.say(&["set-hook", "-g", "pane-exited", "display-message mine"]);
    lab.say(&["set-hook", "-g", "client-attached", "display-message mine"]);
    lab.say(&["set-option", "-g", DIRTY, "1"]);
    assert_eq!(
        lab.status().missing_hooks,
        ["pane-exited", "client-attached"]
    );
    assert_eq!(mend(&lab.tmux).unwrap(), ["pane-exited", "client-attached"]);
    assert!(lab.status().missing_hooks.is_empty());
    assert_eq!(lab.get(DIRTY), "0");
    lab.say(&["set-hook", "-gu", "pane-exited[0]"]);
    lab.say(&["set-hook", "-gu", "client-attached[0]"]);
    lab.same(&before, "before");
}

#[test]
fn sessions_that_hide_ours_are_named() {
    let mut lab = Lab::new("");
    lab.say(&["new-session", "-d", "-s", "it's mine; ok", "sleep 1000"]);
    lab.say(&[
        "set-hook",
        "-t",
        "it's mine; ok",
        "client-attached",
        "display-message x",
    ]);
    lab.say(&[
        "set-hook",
        "-t",
        "it's mine; ok",
        "pane-exited",
        "display-message x",
    ]);
    lab.say(&["set-option", "-t", "it's mine; ok", "status-right", "x"]);
    lab.identity();
    lab.load();
    let mut names: Vec<_> = lab.status().shadows.into_iter().map(|s| s.name).collect();
    names.sort();
    assert_eq!(names, ["client-attached", "pane-exited", "status-right"]);
    assert!(
        lab.status()
            .shadows
            .iter()
            .all(|shadow| shadow.session == "it's mine; ok")
    );
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
        for pressed in ["C-b", "a", key.key] {
            lab.outer(&["send-keys", pressed]);
            std::thread::sleep(Duration::from_millis(50));
        }
        if let Some(question) = key.confirm {
            until(|| lab.outer(&["capture-pane", "-p"]).contains(question));
            assert!(!lab.events().contains(&menu(key.menu)), "asks first");
            lab.outer(&["send-keys", "y"]);
        }
        until(|| lab.events().contains(&menu(key.menu)));
    }
}

#[test]
fn popups_open_without_waiting() {
    let mut lab = Lab::named("", "ho ok'\"$(id)#{pid}", "state");
    lab.load();
    lab.attach();
    let client = lab.say(&["list-clients", "-F", "#{client_name}"]);
    let open = |name| {
        let list = menu_commands(name, client.trim_end(), &lab.tmux, &lab.home, &lab.binary);
        lab.tmux.run(&list.unwrap()).unwrap();
    };
    open("inbox");
    until(|| lab.events() == ["inbox|"]);
    until(|| lab.outer(&["capture-pane", "-p"]).contains("(END)"));
    lab.outer(&["send-keys", "q"]);
    until(|| !lab.outer(&["capture-pane", "-p"]).contains("(END)"));
    open("help");
    until(|| {
        lab.outer(&["capture-pane", "-p"])
            .contains("Spawn an agent")
    });
    assert!(menu_commands("spawn", "c", &lab.tmux, &lab.home, &lab.binary).is_none());
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
        error: 0,
        live: 4,
    };
    lab.tmux.show_counts(&Counts::default()).unwrap();
    lab.same(&quiet, "quiet");
    lab.tmux.show_counts(&counts).unwrap();
    assert_eq!(lab.get("@conductor_segment"), "⏳2 ?1 ✉13");
    assert_eq!(lab.get("@conductor_pending"), "2");
    assert_eq!(lab.get("@conductor_live"), "4");
    let width: usize = lab.get("status-right-length").parse().unwrap();
    assert!((50..56).contains(&width), "{width}");
    let shown = lab.all();
    lab.tmux.show_counts(&counts).unwrap();
    lab.load();
    lab.same(&shown, "shown");
    lab.tmux.show_counts(&Counts::default()).unwrap();
    lab.same(&quiet, "quiet");
    lab.tmux.show_counts(&counts).unwrap();
    lab.set("status-right-length", "60");
    lab.tmux
        .show_counts(&Counts {
            unread: 1,
            ..counts
        })
        .unwrap();
    lab.tmux.show_counts(&Counts::default()).unwrap();
    assert_eq!(lab.get("status-right-length"), "60");
    lab.set("status-right-length", "40");
    lab.tmux.show_counts(&counts).unwrap();
    lab.unload();
    lab.same(&before, "before");
}

#[test]
fn panes_of_the_dead_are_cleared_and_strangers_left() {
    let mut lab = Lab::new("");
    lab.say(&["split-window", "-d", "sleep 1000"]);
    let before = lab.all();
    lab.load();
    let set = |pane, option, value| lab.say(&["set-option", "-p", "-t", pane, option, value]);
    set("%0", "@conductor_log", "/tmp/with space");
    set("%0", "@conductor_seq", "3");
    set("%0", "@mine", "x");
    set("%1", "@conductor_id", "0123abcd");
    set("%1", "@conductor_log", "/tmp/l");
    lab.unload();
    assert_eq!(lab.say(&["show-options", "-p", "-t", "%0"]), "@mine x\n");
    let kept = lab.say(&["show-options", "-p", "-t", "%1"]);
    assert!(
        kept.contains("@conductor_id") && !kept.contains("_log"),
        "{kept}"
    );
    lab.say(&["set-option", "-pu", "-t", "%0", "@mine"]);
    lab.same(&before, "before");
}

#[test]
fn another_database_still_takes_everything_out() {
    let mut lab = Lab::new("");
    let before = lab.all();
    lab.load();
    lab.home = Home::at(lab.dir.path().join("other")).unwrap();
    lab.store = Store::open_or_create(&lab.home).unwrap();
    assert!(lab.status().other_home.is_some());
    lab.unload();
    lab.same(&before, "before");
}

#[test]
fn a_binary_with_a_line_break_in_its_path_is_refused() {
    let mut lab = Lab::new("");
    let before = lab.all();
    lab.binary = PathBuf::from("/tmp/a\nb");
    assert!(load(&mut lab.store, &lab.tmux, &lab.home, &lab.binary).is_err());
    lab.same(&before, "before");
}

#[test]
fn loads_at_once_are_one_load() {
    let mut lab = Lab::new("");
    let before = lab.all();
    lab.load();
    let once = lab.all();
    lab.unload();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let (tmux, home, binary) = (&lab.tmux, &lab.home, &lab.binary);
            scope.spawn(move || {
                let mut store = Store::open(home).unwrap();
                load(&mut store, tmux, home, binary).unwrap();
            });
        }
    });
    lab.same(&once, "once");
    lab.unload();
    lab.same(&before, "before");
}
