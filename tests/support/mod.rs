//! A world of its own for each test: a temporary HOME and state directory, a private tmux server, and a look at what is left at its end.

mod agent;
mod run;

pub(crate) use run::{Done, Run};

use serde_json::Value;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The program under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_conductor-hook");

/// How long a test waits for anything before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Marks every process that a world starts; nothing removes it, so that what is left behind can be found.
const MARK: &str = "CONDUCTOR_TEST_WORLD";

/// Asks again and again until there is an answer; fails the test with `what` when none came in time.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "did not happen in time: {what}");
        std::thread::sleep(Duration::from_millis(25));
    }
}

/// A process that belongs to a world.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) command: String,
    exe: PathBuf,
}

impl Process {
    /// Whether it is the program under test, under whatever name.
    pub(crate) fn ours(&self) -> bool {
        self.exe == Path::new(BINARY)
    }
}

/// What a launch started.
#[derive(Debug, Clone)]
pub(crate) struct Team {
    pub(crate) supervisor: String,
    pub(crate) workers: Vec<String>,
}

/// A temporary HOME with a private tmux server.
pub(crate) struct World {
    dir: TempDir,
    /// Where everything is: the directory, or one in it with a name of its own.
    base: PathBuf,
    socket: PathBuf,
    path: OsString,
    /// What else is set for every process, and the mask of file modes.
    surroundings: Option<(String, String, u32)>,
}

impl World {
    /// A world whose tmux server runs, with one session `home` that is not ours.
    pub(crate) fn new() -> Self {
        let world = Self::without_tmux_server();
        world.start_server();
        world
    }

    /// A world whose tmux server does not run yet.
    pub(crate) fn without_tmux_server() -> Self {
        Self::inside("")
    }

    /// As [`Self::without_tmux_server`], all of it in a directory `name`, if that is not empty.
    pub(crate) fn inside(name: &str) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("conductor-")
            .tempdir()
            .unwrap();
        let base = dir.path().join(name);
        for name in ["user", "tmux", "project", "bin"] {
            fs::create_dir_all(base.join(name)).unwrap();
        }
        let bin = base.join("bin");
        if let Some(tmux) = std::env::var_os("CONDUCTOR_TEST_TMUX") {
            std::os::unix::fs::symlink(tmux, bin.join("tmux")).unwrap();
        }
        let path = std::env::join_paths([
            bin.as_path(),
            Path::new("/usr/local/bin"),
            Path::new("/usr/bin"),
            Path::new("/bin"),
        ])
        .unwrap();
        let socket = base.join("tmux.sock");
        Self {
            dir,
            base,
            socket,
            path,
            surroundings: None,
        }
    }

    /// Starts the tmux server, with the default options whatever the machine's configuration says.
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
        ]);
    }

    /// A path in the world.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.base.join(name)
    }

    /// The state directory.
    pub(crate) fn home(&self) -> PathBuf {
        self.at("state")
    }

    /// The tmux server's socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.socket.clone()
    }

    /// The same world with its server elsewhere.
    pub(crate) fn with_socket(mut self, socket: PathBuf) -> Self {
        self.socket = socket;
        self
    }

    /// From now on every process gets this variable and this mask of file modes.
    pub(crate) fn surround(&mut self, (name, value): (&str, &str), mask: u32) {
        self.surroundings = Some((name.to_owned(), value.to_owned(), mask));
    }

    /// Writes a file into the world; directories are made.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// An executable script.
    pub(crate) fn script(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.write(name, format!("#!/bin/sh\n{text}\n"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// A command with the surroundings of this world and nothing of the machine's.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = match &self.surroundings {
            Some((_, _, mask)) => {
                let mut shell = Command::new("/bin/sh");
                let run = format!("umask {mask:o}; exec \"$0\" \"$@\"");
                shell.args(["-c", &run]).arg(program);
                shell
            }
            None => Command::new(program),
        };
        command
            .env_clear()
            .env("HOME", self.at("user"))
            .env("TMUX_TMPDIR", self.at("tmux"))
            .env("PATH", &self.path)
            .env("LANG", "C.UTF-8")
            .env("SHELL", "/bin/sh")
            .env("TERM", "xterm-256color")
            .env(MARK, self.dir.path())
            .current_dir(self.at("project"));
        if let Some((name, value, _)) = &self.surroundings {
            command.env(name, value);
        }
        command
    }

    /// Runs the program under test.
    pub(crate) fn run<I, S>(&self, arguments: I) -> Run
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let mut command = self.command(BINARY);
        command
            .env("CONDUCTOR_HOME", self.home())
            .env("CONDUCTOR_TMUX_SOCKET", self.socket())
            .args(arguments);
        Run::new(command)
    }

    /// Runs a shell command as a script would, with the program's surroundings.
    pub(crate) fn run_shell(&self, command: &str) -> Done {
        let mut shell = self.command("/bin/sh");
        shell
            .env("CONDUCTOR_HOME", self.home())
            .env("CONDUCTOR_TMUX_SOCKET", self.socket())
            .args(["-c", command]);
        Run::new(shell).done()
    }

    /// Runs tmux on the private server; it must succeed. What it prints, without the last line end.
    #[track_caller]
    pub(crate) fn tmux<I, S>(&self, arguments: I) -> String
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let done = self.try_tmux(arguments);
        assert_eq!(done.code, 0, "tmux failed: {done:?}");
        done.stdout.trim_end_matches('\n').to_owned()
    }

    /// Runs tmux on the private server.
    pub(crate) fn try_tmux<I, S>(&self, arguments: I) -> Done
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let mut command = self.command("tmux");
        command.arg("-S").arg(self.socket()).args(arguments);
        Run::new(command).done()
    }

    /// Runs the program under test as a person would: on a terminal (a pane of the session that is not ours).
    pub(crate) fn person<I, S>(&self, arguments: I) -> Done
    where
        I: IntoIterator<Item = S>,
        S: AsRef<str>,
    {
        let quoted: Vec<String> = arguments
            .into_iter()
            .map(|word| quote(word.as_ref()))
            .collect();
        let command = format!(
            "CONDUCTOR_HOME={} CONDUCTOR_TMUX_SOCKET={} {} {}",
            quote(&self.home().to_string_lossy()),
            quote(&self.socket().to_string_lossy()),
            quote(BINARY),
            quoted.join(" ")
        );
        self.in_pane(&command)
    }

    /// Runs a shell command in a pane of the session that is not ours.
    fn in_pane(&self, command: &str) -> Done {
        let base = tempfile::Builder::new()
            .prefix("person-")
            .tempdir_in(self.dir.path())
            .unwrap();
        let file = |name: &str| base.path().join(name);
        let text = format!(
            "cd {project}\n({command}) >{out} 2>{err}\necho $? >{code}.new\nmv {code}.new {code}",
            project = quote(&self.at("project").to_string_lossy()),
            out = quote(&file("out").to_string_lossy()),
            err = quote(&file("err").to_string_lossy()),
            code = quote(&file("code").to_string_lossy()),
        );
        let script = file("script");
        fs::write(&script, text).unwrap();
        self.tmux([
            "new-window",
            "-d",
            "-t",
            "home:",
            "sh",
            &script.to_string_lossy(),
        ]);
        let code = eventually("a person's command ended", || {
            fs::read_to_string(file("code")).ok()
        });
        let read = |name: &str| String::from_utf8(fs::read(file(name)).unwrap()).unwrap();
        Done {
            code: code.trim().parse().unwrap(),
            stdout: read("out"),
            stderr: read("err"),
        }
    }

    /// Starts a session of demo agents and waits until all are at their prompts. Their log is [`Self::demo_log`].
    #[track_caller]
    pub(crate) fn launch(&self, workers: &[&str]) -> Team {
        self.launch_as("work", workers)
    }

    /// As [`Self::launch`], with the session's name.
    #[track_caller]
    pub(crate) fn launch_as(&self, session: &str, workers: &[&str]) -> Team {
        let log = format!("CONDUCTOR_DEMO_LOG={}", self.at("demo.log").display());
        let mut arguments = vec!["launch", "-p", "demo", "--session", session, "--env", &log];
        for worker in workers {
            arguments.extend(["--with-worker", worker]);
        }
        let launched = self.run(arguments).json();
        let ids: Vec<String> = launched["terminals"]
            .as_array()
            .unwrap()
            .iter()
            .map(|t| text(&t["id"]))
            .collect();
        for id in &ids {
            self.wait(id, "idle");
        }
        Team {
            supervisor: ids[0].clone(),
            workers: ids[1..].to_vec(),
        }
    }

    /// One demo agent at its prompt.
    #[track_caller]
    pub(crate) fn agent(&self) -> String {
        self.launch(&[]).supervisor
    }

    /// Waits until a terminal has one of these states (`idle`, or `idle,error`).
    #[track_caller]
    pub(crate) fn wait(&self, id: &str, states: &str) {
        let limit = PATIENCE.as_secs().to_string();
        self.run(["wait", id, "--for", states, "--timeout", &limit])
            .ok();
    }

    /// The terminal's record.
    #[track_caller]
    pub(crate) fn status(&self, id: &str) -> Value {
        self.run(["status", id]).json()
    }

    /// The message's record, with its tries.
    #[track_caller]
    pub(crate) fn message(&self, id: &str) -> Value {
        self.run(["inbox", "show", id]).json()
    }

    /// Sends a text and returns the message.
    #[track_caller]
    pub(crate) fn send(&self, id: &str, body: &str) -> Value {
        self.run(["send", id, "-m", "-"]).stdin(body).json()
    }

    /// Waits until a message is where it should be, and returns it.
    #[track_caller]
    pub(crate) fn message_becomes(&self, id: &str, status: &str) -> Value {
        eventually(&format!("message {id} is {status}"), || {
            let message = self.message(id);
            (message["status"] == status).then_some(message)
        })
    }

    /// What a demo agent received and did, in order.
    pub(crate) fn demo_log(&self, id: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.at("demo.log")).unwrap_or_default();
        // A line that is being written has no end yet.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .filter(|line| line["terminal"] == id)
            .collect()
    }

    /// Texts of the demo log's lines of these events.
    pub(crate) fn logged(&self, id: &str, events: &[&str]) -> Vec<String> {
        self.demo_log(id)
            .iter()
            .filter(|line| events.iter().any(|event| line["event"] == *event))
            .map(|line| text(&line["text"]))
            .collect()
    }

    /// Every entry of the audit log with this action.
    pub(crate) fn audited(&self, action: &str) -> usize {
        let log = fs::read_to_string(self.at("state/approvals/audit.jsonl")).unwrap_or_default();
        log.lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|entry| entry["action"] == action)
            .count()
    }

    /// Every process that this world started and that lives.
    pub(crate) fn processes(&self) -> Vec<Process> {
        let mark = format!("{MARK}={}", self.dir.path().display());
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            if !environment
                .split(|byte| *byte == 0)
                .any(|word| word == mark.as_bytes())
            {
                continue;
            }
            let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            found.push(Process {
                pid,
                command: String::from_utf8_lossy(&command)
                    .replace('\0', " ")
                    .trim_end()
                    .to_owned(),
                exe: fs::read_link(entry.path().join("exe")).unwrap_or_default(),
            });
        }
        found
    }

    /// Processes of the program under test that are neither an agent nor an agent's MCP server.
    pub(crate) fn helpers(&self) -> Vec<Process> {
        self.processes()
            .into_iter()
            .filter(Process::ours)
            .filter(|process| {
                !process.command.starts_with("conductor-demo") && !process.command.ends_with(" mcp")
            })
            .collect()
    }

    /// Sends a signal to a process of this world.
    pub(crate) fn kill(&self, signal: &str, pid: i32) {
        let pid = pid.to_string();
        Run::new({
            let mut command = self.command("/bin/kill");
            command.args([signal, &pid]);
            command
        })
        .done();
    }

    /// The pid of the process in a terminal's pane.
    pub(crate) fn pane_pid(&self, id: &str) -> i32 {
        let pane = text(&self.status(id)["pane"]);
        self.tmux(["display-message", "-p", "-t", &pane, "#{pane_pid}"])
            .parse()
            .unwrap()
    }

    fn tail(&self, name: &str, lines: usize) -> String {
        let text = fs::read_to_string(self.at(name)).unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        if failed {
            eprintln!(
                "-- conductor.log\n{}",
                self.tail("state/logs/conductor.log", 20)
            );
            eprintln!("-- demo.log\n{}", self.tail("demo.log", 20));
            let _ = self.run(["inbox", "--json"]).try_done().map(|done| {
                let open = serde_json::from_str::<Vec<Value>>(&done.stdout).unwrap_or_default();
                for message in open.iter().filter(|m| m["status"] != "submitted") {
                    eprintln!("-- message {message}");
                }
            });
            let _ = self
                .run(["sessions", "--all", "--json"])
                .try_done()
                .map(|done| eprintln!("-- sessions\n{}", done.stdout));
        }
        // CONDUCTOR_TEST_KEEP=DIR keeps what a failed test leaves.
        if let (true, Some(keep)) = (failed, std::env::var_os("CONDUCTOR_TEST_KEEP")) {
            let mut copy = Command::new("cp");
            copy.arg("-r").arg(self.dir.path()).arg(keep);
            let _ = copy.stderr(Stdio::null()).status();
        }
        let mut command = self.command("tmux");
        command.arg("-S").arg(self.socket()).arg("kill-server");
        let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        let end = Instant::now() + Duration::from_secs(3);
        let mut left = self.processes();
        while !left.is_empty() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
            left = self.processes();
        }
        for process in &left {
            self.kill("-KILL", process.pid);
        }
        assert!(
            left.is_empty() || failed,
            "processes were left behind: {left:?}"
        );
    }
}

/// A JSON string's text.
#[track_caller]
pub(crate) fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("not a string: {value}"))
        .to_owned()
}

/// A word for the shell.
pub(crate) fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
