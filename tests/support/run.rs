//! One run of a program, with a time limit.

use super::PATIENCE;
use serde_json::Value;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

/// How a run ended.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    /// Exit code; 128 + signal after a signal.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Done {
    /// Demands success.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "it failed: {}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// Demands success and reads the one JSON document.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        let out = self.ok();
        assert_eq!(out.lines().count(), 1, "not one line: {out}");
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("not JSON ({e}): {out}"))
    }

    /// Demands this exit code and a message without a backtrace; returns what stderr says.
    #[track_caller]
    pub(crate) fn fails(self, code: i32) -> String {
        assert_eq!(
            self.code, code,
            "stdout: {} stderr: {}",
            self.stdout, self.stderr
        );
        assert!(!self.stderr.is_empty(), "it failed without a word");
        assert!(!self.stderr.contains("internal error"), "{}", self.stderr);
        self.stderr
    }
}

/// A run to come.
pub(crate) struct Run {
    command: Command,
    stdin: Vec<u8>,
    limit: Duration,
}

impl Run {
    pub(crate) fn new(command: Command) -> Self {
        Self {
            command,
            stdin: Vec::new(),
            limit: PATIENCE + Duration::from_secs(30),
        }
    }

    /// Sets a variable.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Removes a variable.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Changes the working directory.
    pub(crate) fn cwd(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Adds an argument.
    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// What it reads.
    pub(crate) fn stdin(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.stdin = bytes.as_ref().to_vec();
        self
    }

    /// Demands success; what it printed.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        self.done().ok()
    }

    /// Runs it with `--json`, demands success, and reads the one document.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        self.arg("--json").done().json()
    }

    /// Demands this exit code; what stderr says.
    #[track_caller]
    pub(crate) fn fails(self, code: i32) -> String {
        self.done().fails(code)
    }

    /// Demands this exit code of a run that prints its answer all the same.
    #[track_caller]
    pub(crate) fn fails_quietly(self, code: i32) -> String {
        let done = self.done();
        assert_eq!(done.code, code, "{done:?}");
        done.stdout
    }

    /// Starts it and does not wait.
    #[track_caller]
    pub(crate) fn start(mut self) -> Running {
        self.command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let bytes = self.stdin;
        std::thread::spawn(move || drop(stdin.write_all(&bytes)));
        Running {
            out: read(child.stdout.take().unwrap()),
            err: read(child.stderr.take().unwrap()),
            child,
            end: Instant::now() + self.limit,
        }
    }

    /// Runs it to its end.
    #[track_caller]
    pub(crate) fn done(self) -> Done {
        self.start().done()
    }

    /// As [`Self::done`], without a failure of the test when it takes too long.
    pub(crate) fn try_done(mut self) -> Option<Done> {
        self.limit = Duration::from_secs(5);
        self.start().try_done()
    }
}

fn read(mut from: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver
}

/// A run that is under way.
pub(crate) struct Running {
    child: Child,
    out: Receiver<Vec<u8>>,
    err: Receiver<Vec<u8>>,
    end: Instant,
}

impl Running {
    /// Its pid.
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// Kills it, without a chance to say anything.
    pub(crate) fn kill(mut self) -> Done {
        let _ = self.child.kill();
        self.done()
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn done(self) -> Done {
        self.try_done()
            .unwrap_or_else(|| panic!("it did not end in time"))
    }

    fn try_done(mut self) -> Option<Done> {
        use std::os::unix::process::ExitStatusExt;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > self.end {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return None;
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        // A child that kept the pipe open is a leak, and found here.
        let text = |from: &Receiver<Vec<u8>>| {
            String::from_utf8(from.recv_timeout(Duration::from_secs(5)).unwrap()).unwrap()
        };
        Some(Done {
            code: status
                .code()
                .unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
            stdout: text(&self.out),
            stderr: text(&self.err),
        })
    }
}
