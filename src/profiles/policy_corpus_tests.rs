//! The corpus of commands in `tests/fixtures/policy/`: what the built-in policy says about each, and why.

use super::policy::{self, built_in};
use super::policy_sight::Disk;
use crate::domain::policy::{Action, Call, Policy, Ruling, judge};
use std::path::{Path, PathBuf};

/// A project with what the corpus speaks of.
pub(super) struct World {
    _temp: tempfile::TempDir,
    pub(super) cwd: PathBuf,
    policy: Policy,
}

impl World {
    pub(super) fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().canonicalize().unwrap();
        let cwd = root.join("project");
        for dir in ["src", "tests", "docs", "bin", "odd", "evil/objects", ".git"] {
            crate::fsx::create_private_dir(&cwd.join(dir)).unwrap();
        }
        for file in [
            "README.md",
            "src/a.rs",
            "src/b.rs",
            "x.sh",
            "x.py",
            "bin/ls",
            "odd/--pre=sh",
            "odd/a",
            "evil/HEAD",
            "evil/config",
        ] {
            crate::fsx::write_atomic_mode(&cwd.join(file), b"x\n", 0o755).unwrap();
        }
        std::os::unix::fs::symlink("/etc", cwd.join("out")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", cwd.join("passwd")).unwrap();
        let mut policy = built_in().policy;
        policy.home = Some(root.join("home"));
        policy.state = Some(root.join("home/.conductor"));
        Self {
            _temp: temp,
            cwd,
            policy,
        }
    }

    pub(super) fn judge(&self, command: &str) -> Ruling {
        let action = Action::Shell {
            command: command.to_owned(),
        };
        let call = Call {
            tool: "Bash",
            action: &action,
            cwd: &self.cwd,
            start: None,
            profile: "developer",
            agent_asks: true,
            allows_edits: false,
        };
        judge(&self.policy, &call, &Disk::with_path("/usr/bin:/bin"))
    }
}

/// One line of the corpus: the decision, why, and the command.
pub(super) struct Line {
    pub(super) file: &'static str,
    pub(super) decision: String,
    why: String,
    pub(super) command: String,
    written: String,
}

/// `␤` stands for a newline, `␍` for a carriage return, `⟨U+…⟩` for a character that does not show.
fn decode(text: &str) -> String {
    let mut parts = text.split("⟨U+");
    let mut decoded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (code, rest) = part.split_once('⟩').unwrap();
        decoded.push(char::from_u32(u32::from_str_radix(code, 16).unwrap()).unwrap());
        decoded.push_str(rest);
    }
    decoded.replace('␤', "\n").replace('␍', "\r")
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/policy")
}

/// The lines of the corpus file `name`; comments are `Err`.
fn lines(name: &'static str) -> Vec<Result<Line, String>> {
    let text = std::fs::read_to_string(fixtures().join(name)).unwrap();
    let parse = |line: &str| {
        if line.starts_with('#') {
            return Err(line.to_owned());
        }
        let mut fields = line.splitn(3, '\t').map(str::to_owned);
        let decision = fields.next().unwrap();
        let (why, written) = match (fields.next(), fields.next()) {
            (Some(why), Some(command)) => (why, command),
            (Some(command), None) => (String::new(), command),
            _ => panic!("{name}: {line:?} is not a decision, a reason and a command"),
        };
        Ok(Line {
            file: name,
            decision,
            why,
            command: decode(&written),
            written,
        })
    };
    text.lines().map(parse).collect()
}

/// Every command of the corpus.
pub(super) fn corpus() -> Vec<Line> {
    let files = ["everyday.txt", "hidden.txt"];
    files
        .iter()
        .flat_map(|name| lines(name))
        .flatten()
        .collect()
}

/// The rule that decided, or that something was unclear, or that no rule matched.
fn why(ruling: &Ruling) -> String {
    match &ruling.rule {
        Some(rule) => rule.clone(),
        None if ruling.complete => "unmatched".to_owned(),
        None => "unclear".to_owned(),
    }
}

#[test]
fn every_command_of_the_corpus_is_judged_as_it_says() {
    let world = World::new();
    let mut wrong = Vec::new();
    let mut count = 0;
    for name in ["everyday.txt", "hidden.txt"] {
        let mut renewed = String::new();
        for line in lines(name) {
            let line = match line {
                Ok(line) => line,
                Err(comment) => {
                    renewed.push_str(&format!("{comment}\n"));
                    continue;
                }
            };
            count += 1;
            let ruling = world.judge(&line.command);
            let found = why(&ruling);
            if ruling.decision.as_str() != line.decision || found != line.why {
                wrong.push(format!(
                    "{name}: {}: wanted {} {}, got {} {found}: {}",
                    line.written,
                    line.decision,
                    line.why,
                    ruling.decision.as_str(),
                    ruling.reason
                ));
            }
            renewed.push_str(&format!("{}\t{found}\t{}\n", line.decision, line.written));
        }
        // The reasons can be renewed; what is decided cannot.
        if crate::paths::env("CONDUCTOR_RENEW").is_some() {
            crate::fsx::write_atomic_mode(&fixtures().join(name), renewed.as_bytes(), 0o644)
                .unwrap();
        }
    }
    assert!(count >= 300, "the corpus has {count} commands");
    assert!(
        wrong.is_empty(),
        "{} of {count}\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn a_program_that_the_project_puts_in_the_way_is_not_the_one_that_is_allowed() {
    let world = World::new();
    let action = Action::Shell {
        command: "ls".into(),
    };
    let call = Call {
        tool: "Bash",
        action: &action,
        cwd: &world.cwd,
        start: None,
        profile: "",
        agent_asks: true,
        allows_edits: false,
    };
    for (path, allowed) in [
        ("/bin", true),
        ("bin:/bin", false),
        ("/bin:bin", true),
        (":/bin", true),
    ] {
        let ruling = judge(&world.policy, &call, &Disk::with_path(path));
        assert_eq!(
            ruling.decision == crate::domain::policy::Decision::Allow,
            allowed,
            "{path}"
        );
    }
}

#[test]
fn the_files_that_would_be_executed_are_named() {
    let world = World::new();
    let scripts = |command: &str| -> Vec<String> {
        let ruling = world.judge(command);
        let names = ruling
            .scripts
            .iter()
            .map(|path| path.strip_prefix(&world.cwd).unwrap());
        names
            .map(|path| path.to_string_lossy().into_owned())
            .collect()
    };
    for command in [
        "./x.sh",
        "sh x.sh",
        "bash -x ./x.sh a",
        "source x.sh",
        ". ./x.sh",
        "sudo ./x.sh",
        "timeout 5 sh x.sh",
        "bash < x.sh",
        "make -f x.sh",
        "cd src && sh ../x.sh",
        "$(./x.sh)",
        "awk -fx.sh a",
        "env A=1 ./x.sh",
    ] {
        assert_eq!(scripts(command), ["x.sh"], "{command}");
    }
    assert_eq!(scripts("python3 -W ignore x.py README.md"), ["x.py"]);
    assert_eq!(scripts("node -r ./x.sh x.py"), ["x.sh", "x.py"]);
    assert_eq!(scripts("./x.sh && python3.11 x.py"), ["x.sh", "x.py"]);
    for command in [
        "ls x.sh",
        "/bin/ls",
        "python3 -c x",
        "sh missing.sh",
        "bash -c 'ls'",
    ] {
        assert_eq!(scripts(command), [""; 0], "{command}");
    }
}

#[test]
fn the_whole_policy_is_loaded_and_a_command_judged_in_little_time() {
    let world = World::new();
    let begun = std::time::Instant::now();
    for line in corpus() {
        let _ = world.judge(&line.command);
    }
    let each = begun.elapsed().as_micros() / 600;
    // Without optimisation; docs/policy.md has what the released program needs.
    assert!(each < 20_000, "{each} µs a command");
    assert!(policy::BUILT_IN.len() < policy::MAX_BYTES);
}
