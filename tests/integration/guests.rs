//! The plugin as a guest: in servers with the configurations that people have, what is theirs works on and comes back byte for byte.
//!
//! Each configuration of `tests/fixtures/zoo` runs in two servers, of which only one ever sees the plugin. A reload changes things by itself
//! (it appends, it loses what was set by hand): both are reloaded, and must list the same in the end.

use crate::support::{BINARY, World, eventually, quote, text};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const SEGMENT: &str = "#{?@conductor_segment, #{@conductor_segment} ,}";
const TOKEN: &str = "#{conductor_status}";

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A server's socket, by its name in the world.
const MAIN: &str = "tmux.sock";
const TWIN: &str = "twin.sock";
const OUTER: &str = "outer.sock";

/// Everything that is listed once.
pub(crate) const ALL: [&[&str]; 12] = [
    &["show-options", "-s"],
    &["show-options", "-g"],
    &["show-options", "-gw"],
    &["show-hooks", "-g"],
    &["show-hooks", "-gw"],
    &["list-keys"],
    &["list-keys", "-N"],
    &["show-environment", "-g"],
    &["show-environment", "-gh"],
    &["list-buffers"],
    &["list-sessions", "-F", "#{session_id} #{session_name}"],
    &[
        "list-panes",
        "-a",
        "-F",
        "#{session_id} #{window_id} #{window_panes} #{pane_id} #{pane_in_mode} #{pane_dead}",
    ],
];

/// What a session, a window and a pane have.
const EACH: [(&str, &str, &[&[&str]]); 3] = [
    (
        "list-sessions",
        "#{session_id}",
        &[
            &["show-options"],
            &["show-options", "-A"],
            &["show-hooks"],
            &["show-environment"],
        ],
    ),
    (
        "list-windows",
        "#{window_id}",
        &[
            &["show-options", "-w"],
            &["show-options", "-wA"],
            &["show-hooks", "-w"],
        ],
    ),
    (
        "list-panes",
        "#{pane_id}",
        &[
            &["show-options", "-p"],
            &["show-options", "-pA"],
            &["show-hooks", "-p"],
        ],
    ),
];

/// What a command of tmux listed, by the command's words.
type Listing = BTreeMap<String, String>;

/// The servers of one configuration, and the plugin's directory.
struct Guest {
    world: World,
    plugin: PathBuf,
}

impl Drop for Guest {
    fn drop(&mut self) {
        for socket in [OUTER, TWIN] {
            self.try_tmux(socket, &["kill-server"]);
        }
    }
}

impl Guest {
    /// Both servers, started with a configuration that finds no plugin of ours.
    fn new(conf: &str) -> Self {
        let guest = Self::empty();
        let zoo = Path::new(ROOT).join("tests/fixtures/zoo");
        for (from, to) in [
            (zoo.join("plugins"), guest.at("user/.tmux/")),
            (zoo.join("local.conf"), guest.at("user/.tmux/local.conf")),
            (
                zoo.join(format!("{conf}.conf")),
                guest.at("user/.tmux.conf"),
            ),
        ] {
            guest.copy(&from, &to);
        }
        for socket in [MAIN, TWIN] {
            guest.start(socket);
        }
        guest
    }

    /// No server yet, and the plugin's directory where it will be.
    fn empty() -> Self {
        let world = World::without_tmux_server();
        fs::create_dir_all(world.at("user/.tmux/plugins")).unwrap();
        fs::write(world.at("user/.tmux.conf"), "").unwrap();
        Self {
            plugin: world.at("user/.tmux/plugins/agent-conductor"),
            world,
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.world.at(name)
    }

    fn copy(&self, from: &Path, to: &Path) {
        let line = format!(
            "cp -R {} {}",
            quote(&from.to_string_lossy()),
            quote(&to.to_string_lossy())
        );
        self.world.run_shell(&line).ok();
    }

    fn start(&self, socket: &str) {
        let mut command = self.world.command("tmux");
        let done = command
            .env("CONDUCTOR_HOME", self.world.home())
            .arg("-u")
            .arg("-S")
            .arg(self.at(socket))
            .arg("-f")
            .arg(self.at("user/.tmux.conf"))
            .args([
                "new-session",
                "-d",
                "-s",
                "home",
                "-x",
                "120",
                "-y",
                "40",
                "/bin/sh",
            ])
            .status();
        assert!(done.unwrap().success());
    }

    fn try_tmux(&self, socket: &str, words: &[&str]) -> String {
        let mut command = self.world.command("tmux");
        let done = command
            .arg("-u")
            .arg("-S")
            .arg(self.at(socket))
            .args(words)
            .output();
        String::from_utf8(done.unwrap().stdout).unwrap()
    }

    fn tmux(&self, words: &[&str]) -> String {
        self.world.tmux(words)
    }

    fn get(&self, option: &str) -> String {
        self.tmux(&["show-options", "-gqv", option])
    }

    /// Everything that can be listed of a server.
    fn listing(&self, socket: &str) -> Listing {
        const MARK: &str = "==== next ====";
        let mut commands: Vec<Vec<String>> = ALL
            .iter()
            .map(|words| words.iter().map(|word| (*word).to_owned()).collect())
            .collect();
        for (list, format, each) in EACH {
            let every: &[&str] = if list == "list-sessions" {
                &[]
            } else {
                &["-a"]
            };
            let ids = self.try_tmux(socket, &[&[list][..], every, &["-F", format]].concat());
            for id in ids.lines() {
                for words in each {
                    commands.push(
                        words
                            .iter()
                            .chain(&["-t", id])
                            .map(|word| (*word).to_owned())
                            .collect(),
                    );
                }
            }
        }
        let mut words: Vec<&str> = Vec::new();
        for command in &commands {
            words.extend(command.iter().map(String::as_str));
            words.extend([";", "display-message", "-p", MARK, ";"]);
        }
        let all = self.try_tmux(socket, &words);
        let parts: Vec<&str> = all.split(&format!("{MARK}\n")).collect();
        assert_eq!(parts.len(), commands.len() + 1, "a command failed: {all}");
        commands
            .iter()
            .map(|words| words.join(" "))
            .zip(parts.into_iter().map(str::to_owned))
            .collect()
    }

    /// Demands that the plugin's server lists exactly `before`, once its helpers are done.
    #[track_caller]
    fn same(&self, before: &Listing, what: &str) {
        self.quiet();
        let differs = difference(before, &self.listing(MAIN));
        assert!(differs.is_empty(), "{what}:\n{differs}");
    }

    /// Waits until no program of ours runs.
    #[track_caller]
    fn quiet(&self) {
        eventually("the helpers have ended", || {
            let mut all = self.world.processes().into_iter();
            all.all(|process| !process.command.contains("conductor-hook"))
                .then_some(())
        });
    }

    /// Puts the plugin into its directory, as an installation leaves it.
    fn install(&self) {
        let bin = self.plugin.join("bin");
        fs::create_dir_all(&bin).unwrap();
        for name in ["conductor.tmux", "Cargo.toml", "scripts"] {
            self.copy(&Path::new(ROOT).join(name), &self.plugin.join(name));
        }
        let to = bin.join("conductor-hook");
        if fs::hard_link(BINARY, &to).is_err() {
            fs::copy(BINARY, &to).unwrap();
        }
    }

    /// Lets the server run the plugin, as a plugin manager does.
    fn load(&self) {
        let entry = self.plugin.join("conductor.tmux");
        self.tmux(&[
            "run-shell",
            &quote(&entry.to_string_lossy()).replace('#', "##"),
        ]);
    }

    /// Sources the configuration again in both servers, of which one finds no plugin.
    fn reload(&self) {
        self.tmux(&["source-file", &self.at("user/.tmux.conf").to_string_lossy()]);
        let aside = self.at("aside");
        fs::rename(&self.plugin, &aside).unwrap();
        self.try_tmux(
            TWIN,
            &["source-file", &self.at("user/.tmux.conf").to_string_lossy()],
        );
        fs::rename(&aside, &self.plugin).unwrap();
    }

    fn status(&self) -> Value {
        self.world.run(["plugin", "status"]).json()
    }

    /// Attaches a person, whose terminal is a pane of another server.
    fn attach(&self) {
        let line = format!(
            "env -u TMUX tmux -u -S {} attach -t home",
            quote(&self.at(MAIN).to_string_lossy())
        );
        self.try_tmux(
            OUTER,
            &[
                "-f",
                "/dev/null",
                "new-session",
                "-d",
                "-x",
                "120",
                "-y",
                "42",
                &line,
            ],
        );
        eventually("the client is attached", || {
            (!self.tmux(&["list-clients"]).is_empty()).then_some(())
        });
    }

    #[track_caller]
    fn shows(&self, what: &str) {
        let mut last = String::new();
        let end = Instant::now() + Duration::from_secs(20);
        while Instant::now() < end {
            last = self.try_tmux(OUTER, &["capture-pane", "-p"]);
            if last.contains(what) {
                return;
            }
            std::thread::sleep(Duration::from_millis(30));
        }
        panic!(
            "{what:?} is not on the screen:\n{last}\nstatus-right: {}",
            self.get("status-right")
        );
    }

    /// Demands that all that was the user's is there beside ours, and that ours is.
    #[track_caller]
    fn settled(&self, before: &Listing, keyless: bool) {
        let now = self.listing(MAIN);
        // Only these are changed; a hook without entries is listed by its name, and columns are as wide as they must be.
        let ours = |line: &str| {
            line.starts_with("status-left")
                || line.starts_with("@resurrect-hook-post-")
                || line.starts_with("status-right")
                || !line.contains(' ')
        };
        let plain = |text: &str| -> Vec<String> {
            text.lines()
                .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
                .collect()
        };
        let mut gone = String::new();
        // Panes are compared when the agent is gone; a keeper's hooks have ours in front.
        for (command, text) in before
            .iter()
            .filter(|(command, _)| !command.starts_with("list-panes"))
        {
            let now = plain(&now[command]);
            for line in plain(text)
                .iter()
                .filter(|line| !ours(line) && !now.contains(line))
            {
                let _ = writeln!(gone, "{command}: {line}");
            }
        }
        assert!(gone.is_empty(), "not there any more:\n{gone}");
        let status = self.status();
        assert_eq!(status["loaded"], true, "{status}");
        assert_eq!(status["segment"], true, "{status}");
        assert_eq!(status["missing_hooks"], serde_json::json!([]), "{status}");
        assert_eq!(status["key"].is_null(), keyless, "{status}");
        for process in ["run-shell", "if-shell"] {
            let all = now["list-keys"]
                .lines()
                .chain(now["show-hooks -g"].lines())
                .chain(now["show-hooks -gw"].lines());
            for line in all.filter(|line| line.contains("@conductor_hook")) {
                let good = if process == "run-shell" {
                    "run-shell -b"
                } else {
                    "if-shell -F"
                };
                assert_eq!(
                    line.matches(process).count(),
                    line.matches(good).count(),
                    "it would block: {line}"
                );
            }
        }
    }

    /// Presses the prefix and our key, and looks for our key table.
    #[track_caller]
    fn opens(&self) {
        let prefix = self.get("prefix");
        let key = text(&self.status()["key"]);
        eventually("the key opens the table", || {
            self.try_tmux(OUTER, &["send-keys", &prefix]);
            eventually("the prefix is seen", || {
                (self.tmux(&["list-clients", "-F", "#{client_key_table}"]) == "prefix")
                    .then_some(())
            });
            self.try_tmux(OUTER, &["send-keys", &key]);
            eventually("the key is seen", || {
                let table = self.tmux(&["list-clients", "-F", "#{client_key_table}"]);
                (table != "prefix").then_some(table == "conductor")
            })
            .then_some(())
        });
        self.try_tmux(OUTER, &["send-keys", "Escape"]);
    }

    /// An agent comes, its message goes out when the mode is left, and it goes.
    fn delivers(&self) {
        let (id, message) = self.agent();
        let pane = text(&self.world.status(&id)["pane"]);
        self.tmux(&["copy-mode", "-q", "-t", &pane]);
        self.world.message_becomes(&message, "submitted");
        self.world.wait(&id, "idle");
        self.world.run(["close", &id]).ok();
    }

    /// An agent in the user's own window, with a message that waits because somebody reads in its pane.
    #[track_caller]
    fn agent(&self) -> (String, String) {
        let id = text(
            &self
                .world
                .run(["worker", "home", "-p", "demo", "--split", "h"])
                .json()["id"],
        );
        self.world.wait(&id, "idle");
        let pane = text(&self.world.status(&id)["pane"]);
        self.tmux(&["copy-mode", "-t", &pane]);
        let sent = self.world.send(&id, "SAY hello");
        assert_eq!(sent["status"], "queued", "{sent}");
        (id, text(&sent["id"]))
    }
}

/// Lines that only one of the two has.
fn difference(before: &Listing, now: &Listing) -> String {
    let mut text = String::new();
    for (command, was) in before {
        let Some(is) = now.get(command) else {
            let _ = writeln!(text, "{command}: nothing is listed");
            continue;
        };
        if is == was {
            continue;
        }
        let _ = writeln!(text, "{command}:");
        for (sign, one, other) in [('-', was, is), ('+', is, was)] {
            for line in one
                .lines()
                .filter(|line| !other.lines().any(|other| other == *line))
            {
                let _ = writeln!(text, "  {sign} {line}");
            }
        }
    }
    for command in now.keys().filter(|command| !before.contains_key(*command)) {
        let _ = writeln!(text, "{command}: it was not there");
    }
    text
}

/// What a version before this one may have left: a hook and a key that this one does not have.
fn leave_remains(guest: &Guest) {
    let line = "(exec #{q:@conductor_hook} old) >/dev/null 2>&1 || :";
    guest.tmux(&[
        "set-hook",
        "-g",
        "after-resize-pane[1729]",
        &format!("run-shell -b \"{line}\""),
    ]);
    guest.tmux(&["bind-key", "-T", "conductor", "Q", "run-shell", "-b", line]);
    guest.tmux(&["set-option", "-g", "@conductor_plugin", "0.0.1"]);
}

/// Load, live, reload, update, unload.
fn visit(conf: &str) {
    let guest = Guest::new(conf);
    let keyless = conf == "keys";
    // Every session of this one has a status line of its own, which hides the global one.
    let hidden = conf == "hooks";
    let before = guest.listing(MAIN);
    assert_eq!(
        difference(&guest.listing(TWIN), &before),
        "",
        "the two start alike"
    );
    let (left, right) = (guest.get("status-left"), guest.get("status-right"));

    guest.install();
    guest.load();
    guest.settled(&before, keyless);
    assert_eq!(guest.get("status-left").replace(SEGMENT, TOKEN), left);
    let token = left.contains(TOKEN) || right.contains(TOKEN);
    assert_eq!(
        guest
            .get("status-right")
            .replace(SEGMENT, if token { TOKEN } else { "" }),
        right
    );
    guest.load();
    guest.settled(&before, keyless);
    assert_eq!(
        (guest.get("status-left") + &guest.get("status-right"))
            .matches(SEGMENT)
            .count(),
        1
    );
    guest.world.run(["plugin", "unload"]).ok();
    guest.same(&before, "loaded and unloaded");

    guest.load();
    guest.attach();
    if !keyless {
        guest.opens();
    }
    let (id, message) = guest.agent();
    eventually("the segment says so", || {
        guest.get("@conductor_segment").contains("✉1").then_some(())
    });
    if hidden {
        let shadows = guest.status()["shadows"].to_string();
        assert!(shadows.contains("status-right"), "{shadows}");
    } else {
        guest.shows("✉1");
    }
    guest.reload();
    guest.settled(&before, keyless);
    if !hidden {
        guest.shows("✉1");
    }
    let pane = text(&guest.world.status(&id)["pane"]);
    guest.tmux(&["copy-mode", "-q", "-t", &pane]);
    guest.world.message_becomes(&message, "submitted");
    guest.world.wait(&id, "idle");
    guest.world.run(["close", &id]).ok();
    eventually("the pane is gone", || {
        (!guest
            .tmux(&["list-panes", "-a"])
            .contains(&format!("{pane} ")))
        .then_some(())
    });
    guest.try_tmux(OUTER, &["kill-server"]);
    eventually("the client is gone", || {
        guest.tmux(&["list-clients"]).is_empty().then_some(())
    });

    // A new version, and it is somewhere else.
    leave_remains(&guest);
    let mut guest = guest;
    let moved = guest.at("user/store/agent conductor 2");
    fs::create_dir_all(moved.parent().unwrap()).unwrap();
    fs::rename(&guest.plugin, &moved).unwrap();
    guest.plugin = moved;
    guest.load();
    guest.settled(&before, keyless);
    let binary = guest.plugin.join("bin/conductor-hook");
    assert_eq!(Path::new(&guest.get("@conductor_hook")), binary);
    let old = guest.listing(MAIN);
    assert!(
        !old["list-keys"].contains("} old)"),
        "a key of the version before is left"
    );
    assert!(
        !old["show-hooks -g"].contains("} old)"),
        "a hook of the version before is left"
    );
    let script = guest.plugin.join("scripts/uninstall.sh");
    guest
        .world
        .run_shell(&quote(&script.to_string_lossy()))
        .ok();
    assert!(
        !guest.plugin.join("bin").exists(),
        "uninstall.sh left something"
    );
    guest.same(&guest.listing(TWIN), "uninstalled");
}

#[test]
fn a_plain_configuration() {
    visit("plain");
}

#[test]
fn a_framework_that_is_half_a_shell_script() {
    visit("framework");
}

#[test]
fn a_theme_of_modules() {
    visit("theme");
}

#[test]
fn a_saver_in_the_status_line_and_hooks_in_options() {
    visit("restorer");
}

#[test]
fn hooks_on_our_events() {
    visit("hooks");
}

#[test]
fn all_our_keys_are_taken() {
    visit("keys");
}

#[test]
fn two_status_lines_and_our_token() {
    visit("powerline");
}

#[test]
fn conditions_and_odd_texts() {
    visit("conditional");
}

#[test]
fn a_message_for_the_first_client_goes_with_the_plugin_and_takes_nobodys_place() {
    const OWN: &str = "client-session-changed[1730]";
    let guest = Guest::new("plain");
    let before = guest.listing(MAIN);
    let mine = || {
        let hooks = guest.tmux(&["show-hooks", "-g", "client-session-changed"]);
        hooks
            .lines()
            .find_map(|line| line.strip_prefix(OWN).map(str::to_owned))
            .unwrap_or_default()
    };
    guest.install();
    let cargo = guest.plugin.join("Cargo.toml");
    let right = fs::read_to_string(&cargo).unwrap();
    let newer: String = right
        .lines()
        .map(|line| {
            if line.starts_with("version = ") {
                "version = \"99.0.0\"\n".to_owned()
            } else {
                format!("{line}\n")
            }
        })
        .collect();
    fs::write(&cargo, &newer).unwrap();
    guest.load();
    assert!(mine().contains("older than the plugin"), "{}", mine());
    // What it says has become untrue.
    fs::write(&cargo, right).unwrap();
    guest.load();
    assert_eq!(mine(), "");
    fs::write(&cargo, &newer).unwrap();
    guest.load();
    guest.world.run(["plugin", "unload"]).ok();
    guest.same(&before, "unloaded with a message that nobody saw");

    guest.tmux(&["set-hook", "-g", OWN, "display-message mine"]);
    let own = guest.listing(MAIN);
    guest.load();
    assert!(mine().contains("display-message mine"), "{}", mine());
    fs::remove_file(guest.plugin.join("bin/conductor-hook")).unwrap();
    guest.load();
    assert!(mine().contains("display-message mine"), "{}", mine());
    guest.world.run(["plugin", "unload"]).ok();
    guest.same(&own, "unloaded beside a user's hook at that index");
}

/// Every file below a directory: path, size, time of change.
fn files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let about = entry.metadata().unwrap();
        found.push(format!(
            "{} {} {:?}",
            entry.path().display(),
            about.len(),
            about.modified().unwrap()
        ));
        if about.is_dir() {
            found.extend(files(&entry.path()));
        }
    }
    found.sort();
    found
}

#[test]
fn odd_directories_and_such_that_cannot_be_written() {
    use std::os::unix::fs::PermissionsExt;
    let mut guest = Guest::empty();
    for name in [
        "it's a \"plug in\" #{pid} %H $HOME `id` $(touch pwned); x\\",
        "ünï 日本",
        "--help",
    ] {
        guest.plugin = guest.at("user").join(name);
        guest.install();
        let bin = guest.plugin.join("bin");
        for dir in [&bin, &guest.plugin] {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o555)).unwrap();
        }
        let written = files(&guest.plugin);
        // The line that install.sh tells people to write.
        let line = guest.world.run_shell(&format!(
            "root={0}; . {0}/scripts/lib.sh; load_line \"$root\"",
            quote(&guest.plugin.to_string_lossy())
        ));
        fs::write(guest.at("user/.tmux.conf"), "").unwrap();
        guest.start(MAIN);
        let before = guest.listing(MAIN);
        fs::write(guest.at("user/.tmux.conf"), line.ok()).unwrap();
        guest.tmux(&[
            "source-file",
            &guest.at("user/.tmux.conf").to_string_lossy(),
        ]);
        assert_eq!(
            Path::new(&guest.get("@conductor_hook")),
            bin.join("conductor-hook"),
            "{name}"
        );
        // Its hooks start it: the agent's message goes out when the mode is left.
        guest.delivers();
        guest.world.run(["plugin", "unload"]).ok();
        guest.same(&before, name);
        assert_eq!(files(&guest.plugin), written, "nothing is written into it");
        guest.try_tmux(MAIN, &["kill-server"]);
        eventually("the server is gone", || {
            (!guest.world.try_tmux(["list-sessions"]).stderr.is_empty()).then_some(())
        });
        for dir in [&guest.plugin, &bin] {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
    // A line break in a path passes tmux's quoting for the shell as it is.
    guest.plugin = guest.at("user").join("a\nb");
    guest.install();
    fs::write(guest.at("user/.tmux.conf"), "").unwrap();
    guest.start(MAIN);
    let before = guest.listing(MAIN);
    guest.load();
    assert_eq!(guest.get("@conductor_hook"), "");
    assert!(
        guest
            .tmux(&["show-hooks", "-g", "client-session-changed"])
            .contains("control character")
    );
    guest.world.run(["plugin", "unload"]).ok();
    guest.same(&before, "refused");
    assert!(!guest.at("user/pwned").exists() && !guest.at("project/pwned").exists());
}

#[test]
fn servers_that_share_a_state_directory_do_not_touch_each_other() {
    let guest = Guest::new("restorer");
    let before = guest.listing(MAIN);
    guest.install();
    guest.load();
    let plugin = |socket: &str, what: &str| {
        let twin = guest.at(socket);
        guest
            .world
            .run(["-S", &twin.to_string_lossy(), "plugin", what])
            .ok();
    };
    plugin(TWIN, "load");
    guest.quiet();
    let both = guest.listing(TWIN);
    assert!(both["show-hooks -gw"].contains("@conductor_hook"));
    guest.delivers();
    guest.quiet();
    assert_eq!(
        difference(&both, &guest.listing(TWIN)),
        "",
        "the agent was in the other server"
    );
    guest.world.run(["plugin", "unload"]).ok();
    guest.same(&before, "one is unloaded");
    assert_eq!(
        difference(&both, &guest.listing(TWIN)),
        "",
        "the other one is not"
    );
    plugin(TWIN, "unload");
    guest.quiet();
    assert_eq!(
        difference(&before, &guest.listing(TWIN)),
        "",
        "both are unloaded"
    );
}
