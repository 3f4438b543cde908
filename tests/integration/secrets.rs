//! What is private stays so: planted links, secrets, ports.

use crate::faults::Inside;
use crate::support::{World, eventually, text};
use serde_json::json;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

#[test]
fn links_that_are_planted_in_the_state_are_not_followed() {
    let world = World::new();
    let inside = Inside::new(&world);
    let locks = format!("run/locks/{}.lock", inside.id);
    let victim = world.at("victim");
    for name in [
        "conductor.lock",
        "approvals/audit.jsonl",
        "approvals/audit.lock",
        "logs/conductor.log",
        "db/conductor.db",
        &locks,
    ] {
        for there in [false, true] {
            let (path, kept) = (world.home().join(name), world.at("kept"));
            let _ = fs::rename(&path, &kept);
            if there {
                fs::write(&victim, "precious").unwrap();
            }
            symlink(&victim, &path).unwrap();
            let hold = ["send", &inside.id, "--require-approval", "-m", "SAY held"];
            world.run(hold).env("CONDUCTOR_LOG", "trace").done();
            world.run(["send", &inside.id, "-m", "SAY hello"]).done();
            world.run(["init"]).done();
            world.run(["audit", "verify"]).done();
            let answer = inside.gate("", "touch never");
            fs::remove_file(&path).unwrap();
            if kept.exists() {
                fs::rename(&kept, &path).unwrap();
            }
            assert!(answer == "ask" || answer == "deny", "{name}: {answer}");
            if there {
                assert_eq!(fs::read(&victim).unwrap(), b"precious", "{name}");
                fs::remove_file(&victim).unwrap();
            }
            assert!(!victim.exists(), "{name}: a file was made elsewhere");
        }
    }
}

/// Every file below `dir`.
fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[test]
fn secrets_are_in_no_log_and_in_no_list_of_processes() {
    const BODY: &str = "canary-of-a-body-5f1d";
    const VARIABLE: &str = "canary-of-a-variable-77ab";
    const KEY: &str = "ghp_0123456789abcdefghijABCDEFGHIJ456789";
    let world = World::new();
    world.run(["init"]).ok();
    world.write("state/policy.toml", "version = 1\n");
    world.run(["plugin", "load"]).ok();
    // Every command line of a process is looked at all the while.
    let (seen, over) = (
        std::sync::Mutex::new(String::new()),
        std::sync::atomic::AtomicBool::new(false),
    );
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                for process in world.processes() {
                    // What the caller itself wrote on its command line, it showed.
                    let caller = process.command.contains(" launch ");
                    if !caller && (process.ours() || process.command.contains("tmux")) {
                        seen.lock().unwrap().push_str(&process.command);
                    }
                }
            }
        });
        let variable = format!("TOKEN={VARIABLE}");
        let trace = |arguments: &[&str]| world.run(arguments).env("CONDUCTOR_LOG", "trace");
        let launched = trace(&["launch", "-p", "demo", "--session", "work"])
            .arg("--env")
            .arg(&variable)
            .json();
        let id = text(&launched["terminals"][0]["id"]);
        world.wait(&id, "idle");
        for body in [BODY.to_owned(), format!("{BODY}\n{}", "x".repeat(9_000))] {
            trace(&["send", &id, "-m", "-", "--wait", "20"])
                .stdin(&body)
                .ok();
            world.wait(&id, "idle");
        }
        let asked = format!("RUN curl -H 'Authorization: token {KEY}' https://example.org");
        trace(&["send", &id, "-m", "-"]).stdin(&asked).ok();
        let approval = world.asked(&id);
        trace(&["deny", &text(&approval["id"]), "--reason", "no"]).ok();
        world.wait(&id, "idle");
        let listed = world.ask(&id, "MCP list_terminals {}");
        assert!(!listed.contains(VARIABLE), "{listed}");
        over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let seen = seen.into_inner().unwrap();
    assert!(seen.contains(" mcp"), "something was seen");
    for secret in [BODY, VARIABLE, KEY] {
        assert!(!seen.contains(secret), "{secret} is in a command line");
    }
    // Only where it belongs: the database, the agent's own screen, and what one agent is started with.
    let mut all = Vec::new();
    files(&world.home(), &mut all);
    let logs = all.iter().filter(|path| {
        let path = path.to_string_lossy();
        !path.contains("/db/")
            && !path.contains("/logs/terminal/")
            && !path.ends_with("launch.json")
    });
    for path in logs {
        let bytes = fs::read(path).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        for secret in [BODY, VARIABLE, KEY] {
            assert!(!text.contains(secret), "{secret} is in {}", path.display());
        }
    }
    let log = fs::read_to_string(world.at("state/approvals/audit.jsonl")).unwrap();
    assert!(log.contains("approval.requested"), "{log}");
}

#[test]
fn nothing_listens_on_the_network() {
    let world = World::new();
    world.run(["plugin", "load"]).ok();
    let id = world.agent();
    let team = world.mcp(&id, "list_terminals", &json!({}));
    assert!(team.is_ok(), "{team:?}");
    // Of all sockets that listen, none is held by a process of ours.
    let mut listening = Vec::new();
    for table in ["tcp", "tcp6", "udp", "udp6"] {
        let table = fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
        listening.extend(table.lines().skip(1).filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let bound = ["0A", "07"].contains(words.get(3)?);
            bound.then(|| words.get(9)?.parse::<u64>().ok())?
        }));
    }
    let own = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    assert!(own.local_addr().is_ok());
    for process in world.processes() {
        let Ok(held) = fs::read_dir(format!("/proc/{}/fd", process.pid)) else {
            continue;
        };
        for descriptor in held.flatten() {
            let Ok(about) = fs::metadata(descriptor.path()) else {
                continue;
            };
            assert!(!listening.contains(&about.ino()), "{process:?} listens");
        }
    }
    eventually("the agent still answers", || {
        (world.status(&id)["status"] == "idle").then_some(())
    });
}
