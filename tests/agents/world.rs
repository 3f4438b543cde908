//! One world a test: a home, a tmux server and a model that nobody else sees; and whatever runs in it can be found. Real agents live in it.

pub(crate) mod programs;

use programs::Program;

use serde_json::Value;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

const PORT: &str = "18381";
/// In the environment of every process of a world.
const MARK: &str = "CONDUCTOR_TEST_WORLD";

/// How many worlds there are at once: an agent needs a second or two of a core to start.
static FREE: (Mutex<usize>, Condvar) = (Mutex::new(2), Condvar::new());

struct Slot;

impl Slot {
    fn take() -> Self {
        let free = FREE.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = FREE
            .1
            .wait_while(free, |free| *free == 0)
            .unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Self
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        *FREE.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        FREE.1.notify_one();
    }
}

/// Whether the agent's own list of trusted directories names the working directory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    Given,
    Asked,
}

pub(crate) struct World {
    dir: tempfile::TempDir,
    root: PathBuf,
    path: OsString,
    programs: Vec<Program>,
    _slot: Slot,
}

/// A process of a world.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) pid: i32,
    pub(crate) line: String,
}

impl World {
    /// A new world with Claude Code; `None` where that is not there and that is known.
    pub(crate) fn new(trust: Trust) -> Option<Self> {
        let claude = programs::claude()?;
        Some(Self::with(vec![claude], trust))
    }

    /// A new world with these programs; the first is what is launched where nothing else is said.
    pub(crate) fn with(programs: Vec<Program>, trust: Trust) -> Self {
        let slot = Slot::take();
        let dir = tempfile::Builder::new().prefix("cc.").tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for name in ["home", "bin", "work", "state/agent-context"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        let mut path = root.join("bin").into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap());
        let world = Self {
            dir,
            root,
            path,
            programs,
            _slot: slot,
        };
        for program in &world.programs {
            symlink(
                &program.file,
                world.root.join("bin").join(program.command()),
            )
            .unwrap();
            program.settle(&world, trust, PORT);
        }
        let profile = "---\nname: tester-bash\ndescription: Runs commands without asking\nallowedTools: [Bash]\n---\nYou run commands.\n";
        let file = world.root.join("state/agent-context/tester-bash.md");
        std::fs::write(file, profile).unwrap();
        world.start_server();
        world.conductor(&["init"]).done();
        for program in &world.programs {
            if program.needs_setup() {
                world
                    .conductor(&["provider", "setup", program.provider(), "--yes"])
                    .done();
            }
        }
        world
    }

    /// Writes a file of the agent's, below its home.
    pub(crate) fn home_file(&self, name: &str, text: &str) {
        let file = self.root.join("home").join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }

    /// Starts the model and the tmux server in one network namespace.
    fn start_server(&self) {
        let model = std::env::current_exe()
            .unwrap()
            .ancestors()
            .nth(2)
            .unwrap()
            .join("examples/fake-model");
        assert!(
            model.exists(),
            "{}: build it with `cargo build --example fake-model`",
            model.display()
        );
        let script = r#"set -e
ip link set lo up
"$MODEL" --port "$PORT" --log "$ROOT/model.jsonl" --text-dir "$ROOT/heard" --parent "$PARENT" >"$ROOT/model.out" 2>&1 </dev/null &
n=0
until grep -q listening "$ROOT/model.out"; do
  n=$((n + 1)); [ $n -lt 200 ] || { cat "$ROOT/model.out" >&2; exit 1; }
  sleep .05
done
exec env -u MODEL -u PORT -u ROOT -u PARENT tmux -S "$ROOT/tmux.sock" -f /dev/null new-session -d -s main -x 120 -y 40"#;
        let root = nix::unistd::geteuid().is_root();
        let output = self
            .command("unshare")
            .args([if root { "-n" } else { "-rn" }, "sh", "-c", script])
            .env("MODEL", model)
            .env("PORT", PORT)
            .env("ROOT", &self.root)
            .env("PARENT", std::process::id().to_string())
            .envs(
                self.programs
                    .iter()
                    .flat_map(|program| program.variables(PORT)),
            )
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "a tmux server in a network namespace of its own (where AppArmor forbids it: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0): {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// A command with nothing of this machine in its environment.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env(MARK, &self.root)
            .env("HOME", self.root.join("home"))
            .env("PATH", &self.path)
            .env("USER", "tester")
            .env("SHELL", "/bin/sh")
            .env("LANG", "C.UTF-8")
            .env("TERM", "xterm-256color")
            .current_dir(self.work())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    /// Runs our program as a script outside of every pane would.
    pub(crate) fn conductor(&self, arguments: &[&str]) -> Ran {
        self.conductor_with(arguments, "")
    }

    /// The same with something on standard input.
    pub(crate) fn conductor_with(&self, arguments: &[&str], input: &str) -> Ran {
        let mut child = self
            .command(env!("CARGO_BIN_EXE_conductor-hook"))
            .env("CONDUCTOR_HOME", self.state())
            .env("CONDUCTOR_TMUX_SOCKET", self.root.join("tmux.sock"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let text = input.to_owned();
        let writer = std::thread::spawn(move || drop(stdin.write_all(text.as_bytes())));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        Ran {
            what: arguments.join(" "),
            output,
        }
    }

    /// The document that a command prints with `--json`.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
        self.conductor(&arguments).json()
    }

    pub(crate) fn tmux(&self, arguments: &[&str]) -> String {
        let output = self
            .command("tmux")
            .arg("-S")
            .arg(self.root.join("tmux.sock"))
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "tmux {arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// A new session with a supervisor of this profile.
    pub(crate) fn launch(&self, profile: &str) -> Agent<'_> {
        let provider = self.programs[0].provider();
        let session = self.json(&["launch", "-p", provider, "--profile", profile]);
        self.agent(&session["terminals"][0])
    }

    /// An agent that was launched before.
    pub(crate) const fn known(&self, id: String, pane: String) -> Agent<'_> {
        Agent {
            world: self,
            id,
            pane,
        }
    }

    /// A yes to a risky command takes no code.
    pub(crate) fn by_caller(&self) {
        self.presence("caller");
    }

    /// A yes to a risky command takes a code: no key in the pane decides.
    pub(crate) fn by_challenge(&self) {
        self.presence("challenge");
    }

    fn presence(&self, word: &str) {
        let text = format!("version = 1\n[defaults]\npresence = \"{word}\"\n");
        std::fs::write(self.state().join("policy.toml"), text).unwrap();
    }

    pub(crate) fn agent(&self, terminal: &Value) -> Agent<'_> {
        Agent {
            world: self,
            id: terminal["id"].as_str().unwrap().to_owned(),
            pane: terminal["pane"].as_str().unwrap().to_owned(),
        }
    }

    /// Every terminal that there is or was.
    pub(crate) fn terminals(&self) -> Vec<Value> {
        let sessions = self.json(&["sessions", "--all"]);
        let mut all = Vec::new();
        for session in sessions.as_array().unwrap() {
            all.extend(session["terminals"].as_array().unwrap().iter().cloned());
        }
        all
    }

    /// A message with all its tries.
    pub(crate) fn message(&self, id: &str) -> Value {
        self.json(&["inbox", "show", id])
    }

    /// Waits until a message has this status; says what it is then.
    pub(crate) fn wait_message(&self, id: &str, status: &str, seconds: u64) -> Value {
        self.until(&format!("message {id} to be {status}"), seconds, || {
            Some(self.message(id)).filter(|message| message["status"] == status)
        })
    }

    /// The requests of turns that the model got, as its log tells them; the agent asks for other things too, e.g. a title.
    pub(crate) fn requests(&self) -> Vec<Value> {
        let log = std::fs::read_to_string(self.root.join("model.jsonl")).unwrap_or_default();
        log.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .filter(|request: &Value| request["tools"].as_u64().is_some_and(|tools| tools > 0))
            .collect()
    }

    /// Everything that the model heard and was shown in all turns so far, one request after the other.
    pub(crate) fn heard(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.root.join("heard")) else {
            return Vec::new();
        };
        let files: BTreeSet<PathBuf> = entries
            .map(|entry| entry.unwrap().path())
            .filter(|file| file.extension().is_some_and(|e| e == "txt"))
            .collect();
        files
            .iter()
            .map(|file| std::fs::read_to_string(file).unwrap())
            .collect()
    }

    /// The requests themselves.
    pub(crate) fn bodies(&self) -> Vec<Value> {
        let Ok(entries) = std::fs::read_dir(self.root.join("heard")) else {
            return Vec::new();
        };
        let files: BTreeSet<PathBuf> = entries
            .map(|entry| entry.unwrap().path())
            .filter(|file| file.extension().is_some_and(|e| e == "json"))
            .collect();
        files
            .iter()
            .map(|file| serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap())
            .collect()
    }

    /// Looks again and again until there is something; a test that waits for nothing fails with all that is known.
    pub(crate) fn until<T>(
        &self,
        what: &str,
        seconds: u64,
        mut look: impl FnMut() -> Option<T>,
    ) -> T {
        let end = Instant::now() + Duration::from_secs(seconds);
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(
                Instant::now() < end,
                "waited {seconds} s for {what} in {}",
                self.root.display()
            );
            sleep(Duration::from_millis(40));
        }
    }

    /// What runs in this world besides tmux, the model, the shell of the first window, and the one `cat` of a logged pane.
    pub(crate) fn running(&self) -> Vec<Running> {
        self.processes()
            .into_iter()
            .filter(|process| {
                let program = process.line.split(' ').next().unwrap_or_default();
                let name = Path::new(program).file_name().unwrap_or_default();
                !["tmux", "tmux:", "fake-model", "cat", "sh", "-sh"]
                    .iter()
                    .any(|known| name == *known)
            })
            .collect()
    }

    fn processes(&self) -> Vec<Running> {
        let mark = format!("{MARK}={}", self.root.display()).into_bytes();
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let name = entry.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let read = |file: &str| std::fs::read(entry.path().join(file)).unwrap_or_default();
            if read("environ")
                .split(|byte| *byte == 0)
                .any(|pair| pair == mark)
            {
                let line = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
                found.push(Running { pid, line });
            }
        }
        found
    }

    /// Prints all that is known, for whoever looks into a failure.
    pub(crate) fn tell(&self) {
        for name in ["sessions --all", "inbox --limit 20"] {
            let arguments: Vec<&str> = name.split(' ').collect();
            eprintln!(
                "{}",
                String::from_utf8_lossy(&self.conductor(&arguments).output.stdout)
            );
        }
        let panes = self
            .command("tmux")
            .arg("-S")
            .arg(self.root.join("tmux.sock"))
            .args(["list-panes", "-aF", "#{pane_id}"])
            .output();
        for pane in String::from_utf8_lossy(&panes.unwrap().stdout)
            .lines()
            .skip_while(|pane| *pane == "%0")
        {
            eprintln!("--- {pane}");
            let screen = self.tmux(&["capture-pane", "-p", "-t", pane]);
            for row in screen.lines().filter(|row| !row.trim().is_empty()) {
                eprintln!("{row}");
            }
        }
        for request in self.requests() {
            let line: String = request.to_string().chars().take(400).collect();
            eprintln!("{line}");
        }
        eprintln!("{:#?}", self.processes());
        if let Ok(log) = std::fs::read_to_string(self.state().join("logs/conductor.log")) {
            eprintln!("{log}");
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.tell();
        }
        let _ = self
            .command("tmux")
            .arg("-S")
            .arg(self.root.join("tmux.sock"))
            .arg("kill-server")
            .output();
        // The agents get the time to end by themselves; what is left then is ours to end.
        for wait in [0, 100, 300, 1000, 0] {
            sleep(Duration::from_millis(wait));
            let left: Vec<Running> = self.processes();
            for process in &left {
                let signal = if wait < 1000 {
                    nix::sys::signal::SIGTERM
                } else {
                    nix::sys::signal::SIGKILL
                };
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(process.pid), signal);
            }
            if left.is_empty() {
                break;
            }
        }
        let _ = self.dir.path();
    }
}

/// How a command of ours ended.
pub(crate) struct Ran {
    what: String,
    pub(crate) output: Output,
}

impl Ran {
    pub(crate) fn code(&self) -> Option<i32> {
        self.output.status.code()
    }

    pub(crate) fn done(self) -> String {
        assert!(
            self.output.status.success(),
            "{}: {:?} {}",
            self.what,
            self.code(),
            String::from_utf8_lossy(&self.output.stderr)
        );
        String::from_utf8(self.output.stdout).unwrap()
    }

    pub(crate) fn json(self) -> Value {
        let what = self.what.clone();
        let text = self.done();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{what}: {error}: {text}"))
    }
}

/// One agent in a pane.
pub(crate) struct Agent<'w> {
    world: &'w World,
    pub(crate) id: String,
    pub(crate) pane: String,
}

impl<'w> Agent<'w> {
    pub(crate) const fn world(&self) -> &'w World {
        self.world
    }

    pub(crate) fn provider(&self) -> String {
        self.terminal()["provider"].as_str().unwrap().to_owned()
    }

    pub(crate) fn alive(&self) -> bool {
        self.status() != "exited"
    }

    /// Takes a person's draft out of the input box.
    pub(crate) fn empty_box(&self) {
        let keys: Vec<&str> = std::iter::repeat_n("BSpace", 40).collect();
        self.keys(&keys);
    }

    pub(crate) fn terminal(&self) -> Value {
        self.world.json(&["status", &self.id])
    }

    pub(crate) fn status(&self) -> String {
        self.terminal()["status"].as_str().unwrap().to_owned()
    }

    pub(crate) fn explain(&self) -> Value {
        self.world.json(&["explain", &self.id])
    }

    /// Waits until it has this status, by looking at the record only.
    pub(crate) fn wait(&self, status: &str, seconds: u64) -> Value {
        self.world
            .until(&format!("{} to be {status}", self.id), seconds, || {
                Some(self.terminal()).filter(|terminal| terminal["status"] == status)
            })
    }

    /// Waits for a status that comes from the agent's own event.
    pub(crate) fn wait_event(&self, status: &str, seconds: u64) {
        self.world.until(
            &format!("{} to be {status} by an event", self.id),
            seconds,
            || {
                let told = self.explain();
                (told["status"] == status && told["source"] == "event").then_some(())
            },
        );
    }

    /// Sends a text; says the message's id.
    pub(crate) fn send(&self, text: &str) -> String {
        let message = self
            .world
            .conductor_with(&["send", &self.id, "-m", "-", "--json"], text)
            .json();
        message["id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn screen(&self) -> String {
        self.world.tmux(&["capture-pane", "-p", "-t", &self.pane])
    }

    /// Waits until the screen shows this.
    pub(crate) fn shows(&self, text: &str, seconds: u64) {
        self.world
            .until(&format!("{text:?} on the screen"), seconds, || {
                self.screen().contains(text).then_some(())
            });
    }

    /// A person's keys.
    pub(crate) fn keys(&self, keys: &[&str]) {
        let arguments: Vec<&str> = ["send-keys", "-t", &self.pane]
            .into_iter()
            .chain(keys.iter().copied())
            .collect();
        self.world.tmux(&arguments);
    }
}
