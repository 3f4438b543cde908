//! The machine of a campaign: a HOME, a state directory (on a small disk of its own where that is possible), a private tmux server,
//! agents, and panes that are nobody's agent.

use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Marks every process of the campaign.
const MARK: &str = "CONDUCTOR_TEST_WORLD";

/// How a run ended.
pub(crate) struct Done {
    /// Exit code; 128 + signal after a signal.
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A pane that is not an agent's, and what must not change in it.
struct Bystander {
    pane: String,
    record: Option<PathBuf>,
}

pub(crate) struct World {
    pub(crate) dir: PathBuf,
    pub(crate) binary: PathBuf,
    /// Whether the state directory is a file system of its own.
    pub(crate) own_disk: bool,
    /// Living agents; empty while there is no server.
    pub(crate) agents: Mutex<Vec<String>>,
    bystanders: Mutex<Vec<Bystander>>,
    launched: Mutex<usize>,
    keep: bool,
}

impl World {
    pub(crate) fn new(binary: &Path, keep: bool) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("campaign-")
            .tempdir()
            .unwrap()
            .keep();
        for name in ["user", "tmux", "project", "state", "records"] {
            fs::create_dir(dir.join(name)).unwrap();
        }
        let mut world = Self {
            dir,
            binary: binary.to_path_buf(),
            own_disk: false,
            agents: Mutex::default(),
            bystanders: Mutex::default(),
            launched: Mutex::default(),
            keep,
        };
        world.own_disk = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64m,mode=700", "tmpfs"])
            .arg(world.at("state"))
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        fs::set_permissions(
            world.at("state"),
            std::os::unix::fs::PermissionsExt::from_mode(0o700),
        )
        .unwrap();
        world.run(["init"]).code_is(0, "init");
        fs::write(
            world.at("state/config.toml"),
            "[limits]\nqueue_per_receiver = 100000\nmessages_per_minute = 100000\nmessages_per_hour = 100000\nworkers_per_session = 1000\n",
        )
        .unwrap();
        world
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("HOME", self.at("user"))
            .env("TMUX_TMPDIR", self.at("tmux"))
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LANG", "C.UTF-8")
            .env("SHELL", "/bin/sh")
            .env("TERM", "xterm-256color")
            .env("CONDUCTOR_HOME", self.at("state"))
            .env("CONDUCTOR_TMUX_SOCKET", self.at("tmux.sock"))
            .env(MARK, &self.dir)
            .current_dir(self.at("project"));
        command
    }

    pub(crate) fn helper<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = self.command(&self.binary);
        command.args(arguments);
        command
    }

    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Done {
        start(self.helper(arguments), "").done(Duration::from_mins(1))
    }

    pub(crate) fn tmux<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Done {
        let mut command = self.command("tmux");
        command.arg("-S").arg(self.at("tmux.sock")).args(arguments);
        start(command, "").done(Duration::from_secs(20))
    }

    /// Starts the tmux server with the panes that are nobody's agent.
    pub(crate) fn start_server(&self) {
        self.tmux([
            "-f",
            "/dev/null",
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
        .code_is(0, "start tmux");
        let mut bystanders = self.bystanders.lock().unwrap();
        bystanders.clear();
        let shell = self.tmux(["display-message", "-p", "-t", "home:", "#{pane_id}"]);
        bystanders.push(Bystander {
            pane: shell.out.trim().to_owned(),
            record: None,
        });
    }

    /// A pane that records every byte that is typed into it, in the window `beside` or a window of its own.
    fn recorder(&self, beside: Option<&str>) {
        let mut bystanders = self.bystanders.lock().unwrap();
        let record = self.at(&format!(
            "records/{}",
            fs::read_dir(self.at("records")).unwrap().count()
        ));
        let script = format!("stty raw -echo; exec cat >{}", record.display());
        let made = match beside {
            Some(pane) => self.tmux([
                "split-window",
                "-d",
                "-P",
                "-F",
                "#{pane_id}",
                "-t",
                pane,
                "sh",
                "-c",
                &script,
            ]),
            None => self.tmux([
                "new-window",
                "-d",
                "-P",
                "-F",
                "#{pane_id}",
                "-t",
                "home:",
                "sh",
                "-c",
                &script,
            ]),
        };
        if made.code == 0 {
            bystanders.push(Bystander {
                pane: made.out.trim().to_owned(),
                record: Some(record),
            });
        }
    }

    /// Launches one more agent; every third gets a recorder beside it.
    pub(crate) fn launch(&self) -> Option<String> {
        let n = {
            let mut launched = self.launched.lock().unwrap();
            *launched += 1;
            *launched
        };
        let log = format!("CONDUCTOR_DEMO_LOG={}", self.at("demo.log").display());
        let done = self.run([
            "launch",
            "-p",
            "demo",
            "--session",
            &format!("s{n}"),
            "--env",
            &log,
            "--json",
        ]);
        let session: Value = serde_json::from_str(&done.out).ok()?;
        let terminal = &session["terminals"][0];
        let id = terminal["id"].as_str()?.to_owned();
        if n % 3 == 1 {
            self.recorder(terminal["pane"].as_str());
        }
        self.agents.lock().unwrap().push(id.clone());
        Some(id)
    }

    pub(crate) fn pane_pid(&self, id: &str) -> Option<i32> {
        let done = self.run(["status", id, "--json"]);
        let terminal: Value = serde_json::from_str(&done.out).ok()?;
        let pane = terminal["pane"].as_str()?;
        self.tmux(["display-message", "-p", "-t", pane, "#{pane_pid}"])
            .out
            .trim()
            .parse()
            .ok()
    }

    /// What was typed into panes that are nobody's agent.
    pub(crate) fn strayed(&self) -> Vec<String> {
        let mut found = Vec::new();
        for bystander in self.bystanders.lock().unwrap().iter() {
            if bystander.record.is_none() {
                let screen = self
                    .tmux(["capture-pane", "-p", "-S", "-", "-t", &bystander.pane])
                    .out;
                if screen.contains('«') || screen.contains("[conductor #") {
                    found.push(format!("shell {}: {screen}", bystander.pane));
                }
            }
        }
        for entry in fs::read_dir(self.at("records")).unwrap().flatten() {
            let bytes = fs::read(entry.path()).unwrap_or_default();
            if !bytes.is_empty() {
                found.push(format!(
                    "{}: {:?}",
                    entry.path().display(),
                    String::from_utf8_lossy(&bytes)
                ));
            }
        }
        if self.at("project/PWNED").exists() {
            found.push("a text was executed".to_owned());
        }
        found
    }

    /// Processes of this campaign whose command line contains `what`: of the program under test, or any where `what` is empty. An agent whose
    /// very first hook was killed is left out: it is not known to have hooks at all, and its messages wait for its first event.
    pub(crate) fn processes(&self, what: &str) -> Vec<i32> {
        let mark = format!("{MARK}={}", self.dir.display());
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();

            let words = String::from_utf8_lossy(&command).replace('\0', " ");
            if !what.is_empty() && words.contains(" SessionStart") {
                continue;
            }

            if !words.contains(what) {
                continue;
            }
            if !what.is_empty()
                && fs::read_link(entry.path().join("exe")).is_ok_and(|exe| exe != self.binary)
            {
                continue;
            }
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            if environment
                .split(|byte| *byte == 0)
                .any(|word| word == mark.as_bytes())
            {
                found.push(pid);
            }
        }
        found
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.tmux(["kill-server"]);
        let end = Instant::now() + Duration::from_secs(3);
        while !self.processes("").is_empty() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        for pid in self.processes("") {
            kill(pid);
        }
        if self.keep {
            println!("kept: {}", self.dir.display());
            return;
        }
        if self.own_disk {
            let _ = Command::new("umount")
                .arg("-l")
                .arg(self.at("state"))
                .status();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Ends a process as nothing can be more sudden.
pub(crate) fn kill(pid: i32) {
    let _ = nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(pid),
        nix::sys::signal::Signal::SIGKILL,
    );
}

/// A run that is under way; what it prints goes to files, so that nothing blocks.
pub(crate) struct Running {
    child: Child,
    out: fs::File,
    err: fs::File,
}

pub(crate) fn start(mut command: Command, stdin: &str) -> Running {
    let out = tempfile::tempfile().unwrap();
    let err = tempfile::tempfile().unwrap();
    let mut input = tempfile::tempfile().unwrap();
    input.write_all(stdin.as_bytes()).unwrap();
    std::io::Seek::rewind(&mut input).unwrap();
    let child = command
        .stdin(input)
        .stdout(out.try_clone().unwrap())
        .stderr(err.try_clone().unwrap())
        .spawn()
        .unwrap();
    Running { child, out, err }
}

impl Running {
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
    }

    pub(crate) fn done(mut self, limit: Duration) -> Done {
        let end = Instant::now() + limit;
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() > end => self.kill(),
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        let text = |file: &mut fs::File| {
            let mut bytes = Vec::new();
            let _ = std::io::Seek::rewind(file);
            let _ = std::io::Read::read_to_end(file, &mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        };
        Done {
            code: status
                .code()
                .unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
            out: text(&mut self.out),
            err: text(&mut self.err),
        }
    }
}

impl Done {
    pub(crate) fn code_is(&self, code: i32, what: &str) {
        assert_eq!(self.code, code, "{what}: {}{}", self.out, self.err);
    }
}
