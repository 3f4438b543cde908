//! Against a real tmux; `CONDUCTOR_TEST_TMUX` names another one than the one along `PATH`.

use super::*;
use crate::fsx;
use crate::paths;
use crate::proc;
use crate::tmux::keys;
use crate::tmux::status_line::{SEGMENT, TOKEN};
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
        let script =
            "#!/bin/sh\nline=$(printf '%s|' \"$@\")\nprintf '%s\\n' \"$line\" >>\"$0.log\"\n";
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
        // A line without an end is still being written.
        text.split_inclusive('\n')
            .filter_map(|line| line.strip_suffix('\n'))
            .map(str::to_owned)
            .collect()
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

mod ringing;
mod whole;

#[test]
fn all_servers_are_unloaded_and_one_out_of_reach_is_named() {
    let mut lab = Lab::new("");
    let (other, hidden, ended) = (Lab::new(""), Lab::new(""), Lab::new(""));
    let before = (lab.all(), other.all());
    for tmux in [&lab.tmux, &other.tmux, &hidden.tmux, &ended.tmux] {
        load(&mut lab.store, tmux, &lab.home, &lab.binary).unwrap();
    }
    ended.say(&["kill-server"]);
    let aside = hidden.dir.path().join("aside");
    std::fs::rename(hidden.tmux.socket(), &aside).unwrap();
    let report = unload_all(&mut lab.store, &lab.tmux, &lab.home).unwrap();
    lab.same(&before.0, "this server");
    other.same(&before.1, "another server");
    let mut told: Vec<_> = report
        .iter()
        .map(|server| (server.socket.as_path(), server.problem.is_none()))
        .collect();
    told.sort_by_key(|(_, done)| *done);
    assert_eq!(told.len(), 3, "{report:?}");
    assert_eq!(told[0], (hidden.tmux.socket(), false));

    std::fs::rename(&aside, hidden.tmux.socket()).unwrap();
    let report = unload_all(&mut lab.store, &lab.tmux, &lab.home).unwrap();
    assert!(
        report.iter().all(|server| server.problem.is_none()),
        "{report:?}"
    );
    let was: Vec<_> = report.iter().map(|server| server.was_loaded).collect();
    assert_eq!(
        was,
        [Some(false), Some(true)],
        "this one and the one that was out of reach"
    );
}
