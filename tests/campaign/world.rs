//! The machine of a campaign: a HOME, a state directory (on a small disk of its own where that is possible), a private tmux server,
//! agents, and panes that are nobody's agent.

use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
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

pub(crate) struct World {
    pub(crate) dir: PathBuf,
    pub(crate) binary: PathBuf,
    /// Whether the state directory is a file system of its own.
    pub(crate) own_disk: bool,
    /// Living agents; empty while there is no server.
    pub(crate) agents: Mutex<Vec<String>>,
    launched: Mutex<usize>,
    records: Mutex<usize>,
    keep: bool,
}

/// What runs in a pane that is nobody's agent: it keeps every byte that is typed to it, and a shell runs it too.
fn recording(record: &Path, shell: bool) -> String {
    let record = record.display();
    if shell {
        format!("stty raw -echo; tee {record} | /bin/sh")
    } else {
        format!("stty raw -echo; exec cat >{record}")
    }
}

impl World {
    pub(crate) fn new(binary: &Path, keep: bool) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("campaign-")
            .tempdir()
            .unwrap()
            .keep();
        for name in ["user", "tmux", "project", "state", "records", "bin"] {
            fs::create_dir(dir.join(name)).unwrap();
        }
        if let Some(tmux) = std::env::var_os("CONDUCTOR_TEST_TMUX") {
            std::os::unix::fs::symlink(tmux, dir.join("bin/tmux")).unwrap();
        }
        let mut world = Self {
            dir,
            binary: binary.to_path_buf(),
            own_disk: false,
            agents: Mutex::default(),
            launched: Mutex::default(),
            records: Mutex::default(),
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
        // The program is looked for along the PATH of this campaign, not of who started it.
        let program = Path::new(program.as_ref());
        let own = self.at("bin").join(program);
        let mut command = Command::new(if own.exists() { &own } else { program });
        command
            .env_clear()
            .env("HOME", self.at("user"))
            .env("TMUX_TMPDIR", self.at("tmux"))
            .env(
                "PATH",
                format!("{}:/usr/local/bin:/usr/bin:/bin", self.at("bin").display()),
            )
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

    /// Starts the tmux server with a pane that is nobody's agent.
    pub(crate) fn start_server(&self) {
        let script = recording(&self.next_record(), true);
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
            "sh",
            "-c",
            &script,
        ])
        .code_is(0, "start tmux");
    }

    /// A pane that records every byte that is typed into it, in the window `beside` or a window of its own.
    pub(crate) fn recorder(&self, beside: Option<&str>) {
        let script = recording(&self.next_record(), false);
        let place = match beside {
            Some(pane) => ["split-window", "-d", "-t", pane],
            None => ["new-window", "-d", "-t", "home:"],
        };
        self.tmux(place.into_iter().chain(["sh", "-c", &script]));
    }

    /// Launches one more agent; every third gets a recorder beside it.
    pub(crate) fn launch(&self) -> Option<String> {
        let n = {
            let mut launched = self.launched.lock().unwrap();
            *launched += 1;
            *launched
        };
        let log = format!("CONDUCTOR_DEMO_LOG={}", self.at("demo.log").display());
        let session = format!("s{n}");
        let mut arguments = vec!["launch", "-p", "demo", "--session", &session, "--env", &log];
        if n.is_multiple_of(4) {
            // The hooks of every fourth agent use tmux's own program.
            arguments.extend(["--env", "CONDUCTOR_TMUX_CLIENT=program"]);
        }
        arguments.push("--json");
        let done = self.run(arguments);
        let session: Value = serde_json::from_str(&done.out).ok()?;
        let terminal = &session["terminals"][0];
        let id = terminal["id"].as_str()?.to_owned();
        if n % 3 == 1 {
            self.recorder(terminal["pane"].as_str());
        }
        self.agents.lock().unwrap().push(id.clone());
        Some(id)
    }

    pub(crate) fn pane(&self, id: &str) -> Option<String> {
        let done = self.run(["status", id, "--json"]);
        let terminal: Value = serde_json::from_str(&done.out).ok()?;
        Some(terminal["pane"].as_str()?.to_owned())
    }

    pub(crate) fn pane_pid(&self, pane: &str) -> Option<i32> {
        self.tmux(["display-message", "-p", "-t", pane, "#{pane_pid}"])
            .out
            .trim()
            .parse()
            .ok()
    }

    /// Gives an agent's pane to another program, a recorder or a shell, whose bytes are kept.
    pub(crate) fn respawn(&self, pane: &str, shell: bool) {
        let script = recording(&self.next_record(), shell);
        self.tmux(["respawn-pane", "-k", "-t", pane, "sh", "-c", &script]);
    }

    fn next_record(&self) -> PathBuf {
        let mut records = self.records.lock().unwrap();
        *records += 1;
        self.at(&format!("records/{records}"))
    }

    /// Helpers, hooks and timers that still run after `limit`: none should once everything has settled.
    pub(crate) fn leftovers(&self, limit: Duration) -> Vec<String> {
        let end = Instant::now() + limit;
        loop {
            let left = self.helpers();
            if left.is_empty() || Instant::now() > end {
                return left;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn helpers(&self) -> Vec<String> {
        self.processes("")
            .into_iter()
            .filter(|pid| {
                fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == self.binary)
            })
            .filter_map(|pid| fs::read(format!("/proc/{pid}/cmdline")).ok())
            .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
            .filter(|line| {
                !line.is_empty()
                    && !line.starts_with("conductor-demo")
                    && !line.trim_end().ends_with(" mcp")
            })
            .collect()
    }

    /// What was typed into panes that are nobody's agent.
    pub(crate) fn strayed(&self) -> Vec<String> {
        let mut found = Vec::new();
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

    /// Processes of this campaign whose command line contains `what`: of the program under test, or any where `what` is empty. The very first
    /// hook of an agent is left out: an agent that lost it is not known to have hooks at all, and its messages wait for its first event.
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

pub(crate) fn start(command: Command, stdin: &str) -> Running {
    start_with(command, stdin.as_bytes())
}

/// Starts `command` as the leader of a process group of its own.
pub(crate) fn start_with(mut command: Command, stdin: &[u8]) -> Running {
    let out = tempfile::tempfile().unwrap();
    let err = tempfile::tempfile().unwrap();
    let mut input = tempfile::tempfile().unwrap();
    input.write_all(stdin).unwrap();
    std::io::Seek::rewind(&mut input).unwrap();
    let child = command
        .process_group(0)
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

    /// Kills it together with what it started: its tmux client.
    pub(crate) fn kill_group(&mut self) {
        let group = i32::try_from(self.child.id()).unwrap();
        let _ = nix::sys::signal::killpg(
            nix::unistd::Pid::from_raw(group),
            nix::sys::signal::Signal::SIGKILL,
        );
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
