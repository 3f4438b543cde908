//! MCP conformance: the official SDKs drive every tool over stdio, each release in the revision that it was made for, as a process of a demo
//! agent; and every line that the server printed fits the published schema of that revision.
//!
//! `cargo test --test mcp -- python-VERSION=REVISION=DIR node-VERSION=REVISION=DIR …`; `scripts/mcp-conformance` installs them and says where.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "tests start programs, write files, print, and fail loudly"
)]

mod schema;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "the integration tests use more of it")]
mod support;

use schema::Schema;
use serde_json::Value;
use std::collections::HashMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use support::{BINARY, World, quote};

/// How long one SDK may take.
const PATIENCE: Duration = Duration::from_mins(3);

/// How many drive at once: most of their time they wait.
const AT_ONCE: usize = 4;

/// An SDK of one version.
#[derive(Clone)]
struct Sdk {
    name: String,
    revision: String,
    dir: String,
}

impl Sdk {
    fn parse(word: &str) -> Option<Self> {
        let mut parts = word.splitn(3, '=').map(str::to_owned);
        Some(Self {
            name: parts.next()?,
            revision: parts.next()?,
            dir: parts.next()?,
        })
    }

    /// The shell command that drives `server` with it.
    fn command(&self, calls: &Path, worker: &str, server: &Path) -> String {
        let driver =
            |file: &str| quote(&format!("{}/tests/mcp/{file}", env!("CARGO_MANIFEST_DIR")));
        let rest = format!(
            "{} {} {worker} {}",
            quote(&self.revision),
            quote(&calls.to_string_lossy()),
            quote(&server.to_string_lossy())
        );
        // The agent's PATH is that of its world; the interpreters may stand elsewhere.
        let path = quote(&std::env::var("PATH").unwrap_or_default());
        if self.name.starts_with("node") {
            return format!(
                "PATH=\"$PATH\":{path} node {} {} {rest}",
                driver("drive.mjs"),
                quote(&self.dir)
            );
        }
        format!(
            "PATH=\"$PATH\":{path} PYTHONPATH={} PYTHONDONTWRITEBYTECODE=1 python3 {} {rest}",
            quote(&self.dir),
            driver("drive.py")
        )
    }
}

/// What a server was asked and what it said.
struct Transcript {
    lines: usize,
    progress: usize,
}

/// Validates every line; `full` is a conversation in which something was cancelled.
fn judge(asked: &str, said: &str, sdk: &Sdk, full: bool) -> Result<Transcript, String> {
    let schema = Schema::of(&sdk.revision);
    let mut methods = HashMap::new();
    let mut cancelled = Vec::new();
    for line in asked.lines() {
        let message: Value =
            serde_json::from_str(line).map_err(|e| format!("the SDK sent {line:?}: {e}"))?;
        let method = message["method"].as_str().unwrap_or_default().to_owned();
        if method == "notifications/cancelled" {
            cancelled.push(message["params"]["requestId"].clone());
        }
        if let Some(id) = message.get("id") {
            methods.insert(id.to_string(), method);
        }
    }
    let mut transcript = Transcript {
        lines: 0,
        progress: 0,
    };
    let mut answered = Vec::new();
    for line in said.lines() {
        let message: Value =
            serde_json::from_str(line).map_err(|e| format!("no JSON: {line:?}: {e}"))?;
        schema.message(&message, |id| methods.get(&id.to_string()).cloned())?;
        transcript.lines += 1;
        transcript.progress += usize::from(message["method"] == "notifications/progress");
        if let Some(id) = message.get("id") {
            if answered.contains(id) || cancelled.contains(id) {
                return Err(format!(
                    "answered twice, or although it was cancelled: {line}"
                ));
            }
            answered.push(id.clone());
        }
    }
    if cancelled.is_empty() == full {
        return Err(format!("{} calls were cancelled", cancelled.len()));
    }
    let due = methods.len() - cancelled.len();
    if answered.len() != due {
        return Err(format!(
            "{} of {due} requests were answered",
            answered.len()
        ));
    }
    Ok(transcript)
}

/// Lets the supervisor of a session of its own drive a server, and then somebody who is no agent; returns what there is to say of it.
fn drive(world: &World, sdk: &Sdk) -> Result<String, String> {
    let session = sdk.name.replace('.', "-");
    let team = world.launch_as(&session, &["developer"]);
    let stage = Stage {
        world,
        session: &session,
        sdk,
    };
    let script = stage.script("drive", &team.workers[0]);
    world.send(&team.supervisor, &format!("RUN {}", script.display()));
    world.approve_next(&team.supervisor);
    let end = Instant::now() + PATIENCE;
    while !stage.read("drive.code").ends_with('\n') {
        if Instant::now() > end {
            return Err("it did not end in time".to_owned());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let (report, transcript) = stage.outcome("drive", true)?;
    let script = stage.script("apart", "apart");
    world.run_shell(&format!(
        "CONDUCTOR_SETUP=1 {}",
        quote(&script.to_string_lossy())
    ));
    let (_, apart) = stage.outcome("apart", false)?;
    Ok(format!(
        "{} tools, {} calls, {} wrong ones, {} progress; {} lines fit the schema",
        report["tools"],
        report["valid"],
        report["wrong"],
        report["progress"],
        transcript.lines + apart.lines
    ))
}

/// Where one SDK plays.
struct Stage<'a> {
    world: &'a World,
    session: &'a str,
    sdk: &'a Sdk,
}

impl Stage<'_> {
    fn file(&self, name: &str) -> std::path::PathBuf {
        self.world.at(&format!("{}.{name}", self.session))
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    /// A script that drives a server, and keeps all that is said.
    fn script(&self, act: &str, worker: &str) -> std::path::PathBuf {
        let shown = |name: &str| quote(&self.file(&format!("{act}.{name}")).to_string_lossy());
        let server = self.world.script(
            &format!("{}.{act}.server", self.session),
            &format!(
                "tee {} | {} mcp | tee {}",
                shown("asked"),
                quote(BINARY),
                shown("said")
            ),
        );
        let calls = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mcp/calls.json");
        self.world.script(
            &format!("{}.{act}.sh", self.session),
            &format!(
                "({}) >{} 2>{}\necho $? >{}",
                self.sdk.command(&calls, worker, &server),
                shown("out"),
                shown("err"),
                shown("code")
            ),
        )
    }

    /// What the driver reported, and what the server's own words are worth.
    fn outcome(&self, act: &str, full: bool) -> Result<(Value, Transcript), String> {
        let read = |name: &str| self.read(&format!("{act}.{name}"));
        let code = read("code");
        if code.trim() != "0" {
            let words: Vec<char> = read("err").trim().chars().collect();
            let last: String = words[words.len().saturating_sub(1500)..].iter().collect();
            return Err(format!("{act} ended with {}: {last}", code.trim()));
        }
        let transcript = judge(&read("asked"), &read("said"), self.sdk, full)?;
        let report: Value = serde_json::from_str(&read("out")).map_err(|e| e.to_string())?;
        if report["progress"] != transcript.progress {
            return Err(format!(
                "{} times progress was sent: {report}",
                transcript.progress
            ));
        }
        Ok((report, transcript))
    }
}

fn main() -> ExitCode {
    let sdks: Option<Vec<Sdk>> = std::env::args()
        .skip(1)
        .map(|word| Sdk::parse(&word))
        .collect();
    let Some(sdks) = sdks.filter(|sdks| !sdks.is_empty()) else {
        eprintln!("mcp: name SDKs as NAME=REVISION=DIRECTORY; scripts/mcp-conformance does");
        return ExitCode::from(2);
    };
    let world = World::new();
    let next = Mutex::new(sdks.into_iter());
    let failed = Mutex::new(0);
    let passed = Mutex::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(sdk) = next.lock().unwrap().next() else {
                        return;
                    };
                    let begun = Instant::now();
                    let result = catch_unwind(AssertUnwindSafe(|| drive(&world, &sdk)))
                        .unwrap_or_else(|_| Err("it panicked, see above".to_owned()));
                    let seconds = begun.elapsed().as_secs_f64();
                    let (counter, words) = match result {
                        Ok(words) => (&passed, words),
                        Err(why) => (&failed, format!("FAILED: {why}")),
                    };
                    *counter.lock().unwrap() += 1;
                    println!(
                        "mcp: {} in {}: {words} ({seconds:.0} s)",
                        sdk.name, sdk.revision
                    );
                }
            });
        }
    });
    let (passed, failed) = (*passed.lock().unwrap(), *failed.lock().unwrap());
    println!("{passed} passed, {failed} failed");
    ExitCode::from(u8::from(failed > 0))
}
