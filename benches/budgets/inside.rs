//! What runs inside an agent's process tree, so that the program under test finds its terminal by ancestry.

use crate::measure::{Samples, timed};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The arguments of a task.
pub(crate) struct Inside<'a> {
    binary: &'a Path,
    floor: &'a Path,
    work: &'a Path,
    rest: &'a [String],
}

/// Runs one task and writes what it found.
pub(crate) fn run(arguments: &[String]) {
    let [task, binary, floor, work, out, rest @ ..] = arguments else {
        panic!("inside TASK BINARY FLOOR WORK OUT …");
    };
    let inside = Inside {
        binary: Path::new(binary),
        floor: Path::new(floor),
        work: Path::new(work),
        rest,
    };
    let found = match task.as_str() {
        "hook" => inside.hook(),
        "stop" => inside.stop(),
        "mcp" => inside.mcp(),
        "profile" => inside.profile(),
        "rows" => inside.rows(),
        "wal" => inside.wal(),
        other => panic!("no task {other}"),
    };
    let out = PathBuf::from(out);
    std::fs::write(out.with_extension("part"), found.to_string()).unwrap();
    std::fs::rename(out.with_extension("part"), out).unwrap();
}

impl Inside<'_> {
    fn number(&self, index: usize) -> usize {
        self.rest[index].parse().unwrap()
    }

    /// A tool has ended: the commonest event of an agent. The tool's name alternates, so that each call has something to store.
    fn hook_command(&self, round: usize) -> Command {
        let tool = if round.is_multiple_of(2) {
            "Bash"
        } else {
            "Read"
        };
        let input =
            std::env::temp_dir().join(format!("budgets-{tool}-{}.json", std::process::id()));
        if !input.exists() {
            let event = json!({"session_id": "x", "hook_event_name": "PostToolUse", "tool_name": tool, "tool_input": {}, "tool_response": {}});
            std::fs::write(&input, event.to_string()).unwrap();
        }
        let mut command = Command::new(self.binary);
        command
            .args(["hook", "demo", "PostToolUse"])
            .stdin(std::fs::File::open(input).unwrap());
        command
    }

    /// What no hook can do without.
    fn worker(&self) -> Command {
        let input = std::env::temp_dir().join(format!("budgets-Bash-{}.json", std::process::id()));
        let mut command = Command::new(self.work);
        command
            .arg(self.work.parent().unwrap())
            .stdin(std::fs::File::open(input).unwrap());
        command
    }

    fn hook(&self) -> Value {
        let rounds = self.number(0);
        let mut took: [Samples; 3] = Default::default();
        for round in 0..rounds {
            let hook = self.hook_command(round);
            let mut three = [Command::new(self.floor), self.worker(), hook];
            // Whoever comes later finds the caches as the one before left them.
            let mut order = [0, 1, 2];
            order.rotate_left(round % 3);
            for which in order {
                let done = timed(&mut three[which]);
                assert!(done.ok, "a hook failed");
                took[which].push_ms(done.took);
            }
        }
        let [floor, work, hook] = took;
        json!({"floor_ms": floor.values(), "work_ms": work.values(), "hook_ms": hook.values(), "counted": self.counted(), "instructions": self.instructions()})
    }

    /// Turns that end while messages wait: each time the hook hands over one.
    fn stop(&self) -> Value {
        let rounds = self.number(0);
        let go = Path::new(&self.rest[1]);
        while !go.exists() {
            std::thread::sleep(Duration::from_millis(20));
        }
        let input = std::env::temp_dir().join(format!("budgets-stop-{}.json", std::process::id()));
        let event =
            json!({"session_id": "x", "hook_event_name": "Stop", "stop_hook_active": false});
        std::fs::write(&input, event.to_string()).unwrap();
        let (mut floor, mut hook) = (Samples::default(), Samples::default());
        let mut delivered = 0;
        for _ in 0..rounds {
            let base = timed(&mut Command::new(self.floor)).took;
            let mut command = Command::new(self.binary);
            command
                .args(["hook", "demo", "Stop"])
                .stdin(std::fs::File::open(&input).unwrap());
            let clock = Instant::now();
            let done = command.output().unwrap();
            let took = clock.elapsed();
            // After a turn that a stop hook went on with, the next message goes by another way.
            if String::from_utf8_lossy(&done.stdout).contains("SAY stop") {
                floor.push_ms(base);
                hook.push_ms(took);
                delivered += 1;
            }
        }
        json!({"floor_ms": floor.values(), "hook_ms": hook.values(), "delivered": delivered})
    }

    /// Calls that reach the disk or another program, over 100 hooks.
    fn counted(&self) -> Value {
        let trace = std::env::temp_dir().join(format!("budgets-{}.strace", std::process::id()));
        let (mut fsyncs, mut connects, mut started) = (0, 0, 0);
        let calls = 100;
        for round in 0..calls {
            let plain = self.hook_command(round);
            let mut command = Command::new("strace");
            command
                .args([
                    "-f",
                    "-qq",
                    "-e",
                    "trace=fsync,fdatasync,connect,execve",
                    "-o",
                ])
                .arg(&trace)
                .arg(plain.get_program())
                .args(plain.get_args());
            let input = std::env::temp_dir().join(format!(
                "budgets-{}-{}.json",
                if round.is_multiple_of(2) {
                    "Bash"
                } else {
                    "Read"
                },
                std::process::id()
            ));
            command.stdin(std::fs::File::open(input).unwrap());
            let Ok(status) = command.stdout(Stdio::null()).stderr(Stdio::null()).status() else {
                return Value::Null;
            };
            if !status.success() {
                return Value::Null;
            }
            let text = std::fs::read_to_string(&trace).unwrap();
            fsyncs += text.lines().filter(|line| line.contains("sync(")).count();
            connects += text
                .lines()
                .filter(|line| line.contains("connect(") && !line.contains("journal"))
                .count();
            started += text.lines().filter(|line| line.contains("execve(")).count() - 1;
        }
        json!({"calls": calls, "fsyncs": fsyncs, "connects": connects, "started": started})
    }

    /// Instructions of one hook, where valgrind is there.
    fn instructions(&self) -> Option<u64> {
        let plain = self.hook_command(0);
        let input = std::env::temp_dir().join(format!("budgets-Bash-{}.json", std::process::id()));
        let out = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(plain.get_program())
            .args(plain.get_args())
            .stdin(std::fs::File::open(input).ok()?)
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        let line = text.lines().find(|line| line.contains("refs:"))?;
        line.rsplit(' ').next()?.replace(',', "").parse().ok()
    }

    /// Where a hook's instructions go, with what they call, by the names of functions; and the page faults of it and of the floor.
    fn profile(&self) -> Value {
        let out = std::env::temp_dir().join(format!("budgets-{}.callgrind", std::process::id()));
        let faults = |command: &mut Command| {
            let before = own_faults();
            assert!(timed(command).ok, "it failed");
            own_faults() - before
        };
        let floor = faults(&mut Command::new(self.floor));
        let hook = faults(&mut self.hook_command(0));
        let plain = self.hook_command(1);
        let input = std::env::temp_dir().join(format!("budgets-Read-{}.json", std::process::id()));
        let ran = Command::new("valgrind")
            .args(["--tool=callgrind", "--quiet"])
            .arg(format!("--callgrind-out-file={}", out.display()))
            .arg(plain.get_program())
            .args(plain.get_args())
            .stdin(std::fs::File::open(input).unwrap())
            .status();
        assert!(ran.is_ok_and(|status| status.success()), "valgrind");
        let text = Command::new("callgrind_annotate")
            .args(["--inclusive=yes", "--threshold=100", "--auto=no"])
            .arg(&out)
            .output()
            .unwrap();
        let _ = std::fs::remove_file(&out);
        let text = String::from_utf8_lossy(&text.stdout).into_owned();
        let costs: Vec<(u64, &str)> = text
            .lines()
            .filter_map(|line| {
                let (count, rest) = line.trim_start().split_once(' ')?;
                Some((count.replace(',', "").parse().ok()?, rest))
            })
            .collect();
        let parts: serde_json::Map<String, Value> = self
            .rest
            .iter()
            .map(|name| {
                let with = |rest: &&(u64, &str)| rest.1.contains(name.as_str());
                let most = costs.iter().filter(with).map(|(count, _)| *count).max();
                (name.clone(), json!(most))
            })
            .collect();
        json!({"parts": parts, "floor_faults": floor, "hook_faults": hook})
    }

    /// The MCP server: how soon it greets, what it holds, whether it sleeps.
    fn mcp(&self) -> Value {
        let rounds = self.number(0);
        let seconds = self.number(1);
        let mut greet = Samples::default();
        let mut last = json!({});
        let mut call = f64::NAN;
        for round in 0..rounds {
            let start = Instant::now();
            let mut server = Command::new(self.binary)
                .arg("mcp")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut to = server.stdin.take().unwrap();
            let mut from = BufReader::new(server.stdout.take().unwrap());
            let mut ask = |request: Value, answered: bool| {
                to.write_all(format!("{request}\n").as_bytes()).unwrap();
                let mut line = String::new();
                if answered {
                    from.read_line(&mut line).unwrap();
                    assert!(line.contains("\"result\""), "{line}");
                }
            };
            ask(
                json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18", "capabilities": {},
                    "clientInfo": {"name": "bench", "version": "0"}}}),
                true,
            );
            greet.push_ms(start.elapsed());
            if round + 1 == rounds {
                ask(
                    json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
                    false,
                );
                ask(
                    json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"}),
                    true,
                );
                let mut calls = Samples::default();
                for id in 3..23 {
                    let start = Instant::now();
                    ask(
                        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "list_terminals", "arguments": {}}}),
                        true,
                    );
                    calls.push_ms(start.elapsed());
                }
                call = calls.median();
                std::thread::sleep(Duration::from_millis(200));
                let before = switches(server.id());
                std::thread::sleep(Duration::from_secs(u64::try_from(seconds).unwrap()));
                let wakes = switches(server.id()) - before;
                last = json!({"pss_kb": field(&format!("/proc/{}/smaps_rollup", server.id()), "Pss:"),
                    "rss_kb": field(&format!("/proc/{}/smaps_rollup", server.id()), "Rss:"), "wakes": wakes});
            }
            drop(to);
            server.wait().unwrap();
        }
        last["greet_ms"] = json!(greet.values());
        last["call_ms"] = json!(call);
        last
    }

    /// The same calls on two copies of the state, one with few messages and one with many.
    fn rows(&self) -> Value {
        let rounds = self.number(0);
        let own = &self.rest[1];
        let mut found = json!({});
        for name in ["hook", "inbox", "inbox_of", "send", "sessions"] {
            let mut sides = [Samples::default(), Samples::default()];
            for round in 0..rounds {
                let order = if round.is_multiple_of(2) {
                    [0, 1]
                } else {
                    [1, 0]
                };
                for which in order {
                    let mut command = match name {
                        "hook" => self.hook_command(round),
                        "inbox" => self.call(&["inbox", "--limit", "20"]),
                        "inbox_of" => self.call(&["inbox", own, "--limit", "20"]),
                        "send" => self.call(&["send", own, "-m", "SAY hello"]),
                        _ => self.call(&["sessions"]),
                    };
                    command.env("CONDUCTOR_HOME", &self.rest[2 + which]);
                    let done = timed(&mut command);
                    assert!(done.ok, "{name} failed");
                    sides[which].push_ms(done.took);
                }
            }
            found[name] = json!([sides[0].values(), sides[1].values()]);
        }
        found
    }

    fn call(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.binary);
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// Mixed calls from four sides at once: the largest write-ahead log seen.
    fn wal(&self) -> Value {
        let calls = self.number(0);
        let receiver = &self.rest[1];
        let log = PathBuf::from(&self.rest[2]).join("db/conductor.db-wal");
        let (largest, failed) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for side in 0..4 {
                let (largest, failed, log) = (&largest, &failed, &log);
                scope.spawn(move || {
                    for round in 0..calls / 4 {
                        let mut command = match (round + side) % 6 {
                            0 => self.call(&["send", receiver, "-m", "SAY x"]),
                            1 => self.call(&["inbox", "--limit", "20"]),
                            2 => self.call(&["sessions"]),
                            _ => self.hook_command(round),
                        };
                        if !timed(&mut command).ok {
                            failed.fetch_add(1, Ordering::Relaxed);
                        }
                        let size = std::fs::metadata(log).map_or(0, |meta| meta.len());
                        largest.fetch_max(size, Ordering::Relaxed);
                    }
                });
            }
        });
        json!({"calls": calls, "largest": largest.into_inner(), "failed": failed.into_inner()})
    }
}

/// How often a process went to sleep by itself.
fn switches(pid: u32) -> u64 {
    field(&format!("/proc/{pid}/status"), "voluntary_ctxt_switches:")
}

fn field(path: &str, name: &str) -> u64 {
    std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap()
}

/// Page faults of the children that this process has waited for (proc(5), `cminflt`).
fn own_faults() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, after) = stat.rsplit_once(')').unwrap();
    after.split_whitespace().nth(8).unwrap().parse().unwrap()
}
