//! A world of its own: a temporary home and state, a private tmux server, demo agents.

use crate::measure::eventually;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// The demo agent without a gate: it runs the bench's own sub-commands, so that what they start descends from an agent.
const RUNNER: &str = r#"
name = "runner"
title = "Demo agent without a gate"
program = "{self}"
argv0 = "conductor-demo"
dialect = "demo"
[launch]
args = ["--permission-mode", "{permission_mode}", "--settings", "{settings}", "--mcp-config={mcp_config}", "--session-id", "{agent_session}"]
permission_mode = "default"
[hooks]
status = ["SessionStart", "SessionEnd", "UserPromptSubmit", "PostToolUse", "Stop", "StopFailure"]
timeout_seconds = 30
[submit]
inline_chars = 700
context_units = 4000000
enter_ms = 30
prompt_row = "^demo>.?$"
[screen]
idle = "(?m)^demo>.?$"
working = "esc to interrupt"
"#;

/// The bench talks faster than the brakes on agents allow.
const LIMITS: &str = "[limits]
queue_per_receiver = 100000
messages_per_minute = 100000
messages_per_hour = 1000000
workers_per_session = 1000
";

/// A demo agent.
#[derive(Debug, Clone)]
pub(crate) struct Agent {
    pub(crate) id: String,
    pub(crate) pane: String,
}

/// A temporary home with a private tmux server.
pub(crate) struct World {
    dir: TempDir,
    /// The program under test.
    pub(crate) binary: PathBuf,
    /// A static C program that returns.
    pub(crate) floor: PathBuf,
    /// A static C program that does only what no hook can do without, in the directory that it is given.
    pub(crate) work: PathBuf,
    /// Another tool's sender, measured beside ours: it is called with socket, pane and text, and types the text and Enter into the pane.
    pub(crate) contestant: Option<PathBuf>,
}

impl World {
    pub(crate) fn new(binary: &Path) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("budgets-")
            .tempdir()
            .unwrap();
        for name in ["user", "tmux", "project", "state", "state/providers"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        private(&dir.path().join("state"));
        private(&dir.path().join("state/providers"));
        fs::write(dir.path().join("state/providers/runner.toml"), RUNNER).unwrap();
        fs::write(dir.path().join("state/config.toml"), LIMITS).unwrap();
        let compiled = |name: &str, text: &str| {
            let program = dir.path().join(name);
            let source = program.with_extension("c");
            fs::write(&source, text).unwrap();
            let status = Command::new("cc")
                .args(["-O2", "-static", "-o"])
                .args([&program, &source])
                .status();
            let made = status.is_ok_and(|status| status.success());
            assert!(made, "cc makes no static program");
            program
        };
        let floor = compiled("floor", "int main(void) { return 0; }\n");
        let work = compiled("work", include_str!("work.c"));
        let world = Self {
            binary: fs::canonicalize(binary).unwrap(),
            floor,
            work,
            contestant: None,
            dir,
        };
        world.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-s",
            "home",
            "-x",
            "160",
            "-y",
            "50",
            "/bin/sh",
        ]);
        world.ok(&["init"]);
        world
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.at("state")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.at("tmux.sock")
    }

    /// A command with the surroundings of this world and nothing of the machine's.
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
            .env("CONDUCTOR_HOME", self.state())
            .env("CONDUCTOR_TMUX_SOCKET", self.socket())
            .stdin(Stdio::null())
            .current_dir(self.at("project"));
        command
    }

    /// A call of the program under test.
    pub(crate) fn ours(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(&self.binary);
        command.args(arguments);
        command
    }

    /// One call of the program under test, which must succeed.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let done = self.ours(arguments).output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {done:?}");
        String::from_utf8(done.stdout).unwrap()
    }

    /// A call of the tmux program on the private server.
    pub(crate) fn tmux_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command("tmux");
        command.arg("-S").arg(self.socket()).args(arguments);
        command
    }

    pub(crate) fn tmux(&self, arguments: &[&str]) -> String {
        let done = self.tmux_command(arguments).output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {done:?}");
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }

    /// Starts a session with `workers` + 1 agents and waits until all are at their prompts.
    pub(crate) fn launch(
        &self,
        provider: &str,
        session: &str,
        workers: usize,
        log: bool,
    ) -> Vec<Agent> {
        let log = format!(
            "CONDUCTOR_DEMO_LOG={}",
            if log {
                self.log(session).display().to_string()
            } else {
                String::new()
            }
        );
        self.ok(&[
            "launch",
            "-p",
            provider,
            "--session",
            session,
            "--env",
            &log,
        ]);
        for _ in 0..workers {
            self.ok(&["worker", session, "-p", provider, "--env", &log]);
        }
        eventually("the agents are at their prompts", || {
            let agents: Vec<Agent> = self.database(|db| {
                db.prepare("SELECT id, pane FROM terminals WHERE session = ?1 AND status = 'idle' ORDER BY created_at")
                    .unwrap()
                    .query_map([session], |row| Ok(Agent { id: row.get(0)?, pane: row.get(1)? }))
                    .unwrap()
                    .collect::<Result<_, _>>()
                    .unwrap()
            });
            (agents.len() == workers + 1).then_some(agents)
        })
    }

    pub(crate) fn log(&self, session: &str) -> PathBuf {
        self.at(&format!("{session}.log"))
    }

    pub(crate) fn log_text(&self, session: &str) -> String {
        fs::read_to_string(self.log(session)).unwrap_or_default()
    }

    /// Reads the database; it is closed again at once, because an open connection would spare the next process its work.
    pub(crate) fn database<T>(&self, read: impl FnOnce(&Connection) -> T) -> T {
        let db = open(&self.state());
        read(&db)
    }

    /// Waits until `agent` is at its prompt and nothing is on its way to it.
    pub(crate) fn rest(&self, agent: &Agent) {
        eventually("the agent is at its prompt", || {
            self.database(|db| {
                db.query_row(
                    "SELECT 1 FROM terminals WHERE id = ?1 AND status = 'idle' AND NOT EXISTS
                       (SELECT 1 FROM messages WHERE receiver = ?1 AND status IN ('held', 'queued', 'claimed', 'placed'))",
                    [&agent.id],
                    |_| Ok(()),
                )
                .ok()
            })
        });
    }

    /// As [`Self::rest`], and its screen shows the empty prompt, which it draws after its last hook.
    pub(crate) fn prompt(&self, agent: &Agent) {
        self.rest(agent);
        eventually("the prompt is on the screen", || {
            self.tmux(&["capture-pane", "-p", "-t", &agent.pane])
                .lines()
                .any(|line| line.trim_end() == "demo>")
                .then_some(())
        });
    }

    /// Lets a gateless agent run the bench's own sub-command `task`; what that wrote.
    pub(crate) fn inside(
        &self,
        agent: &Agent,
        task: &str,
        arguments: &[&str],
    ) -> serde_json::Value {
        let out = self.at(&format!("{task}.json"));
        let _ = fs::remove_file(&out);
        let own = std::env::current_exe().unwrap();
        let line = format!(
            "RUN {} inside {task} {} {} {} {} {}",
            own.display(),
            self.binary.display(),
            self.floor.display(),
            self.work.display(),
            out.display(),
            arguments.join(" ")
        );
        self.ok(&["send", &agent.id, "-m", &line]);
        let mut rounds = 0;
        let text = loop {
            if let Ok(text) = fs::read_to_string(&out) {
                break text;
            }
            rounds += 1;
            assert!(rounds < 6_000, "{task} did not end");
            std::thread::sleep(std::time::Duration::from_millis(100));
        };
        self.rest(agent);
        serde_json::from_str(&text).unwrap()
    }

    /// Ends the agents of a session.
    pub(crate) fn end(&self, session: &str) {
        self.ok(&["shutdown", "--session", session, "--force"]);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.ours(&["shutdown", "--all", "--force"]).output();
        let _ = self.tmux_command(&["kill-server"]).output();
    }
}

/// Opens the database of the state at `state`.
pub(crate) fn open(state: &Path) -> Connection {
    let db = Connection::open(state.join("db/conductor.db")).unwrap();
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .unwrap();
    db.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    db
}

fn private(dir: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).unwrap();
}
