//! What a shell really runs, against what the reader said: a program that ran, and that a complete answer did not list, is a fault.
//!
//! Bash runs in an empty directory, without an environment, and with a `PATH` that holds nothing: each program that it would start is
//! not found, and the handler for that writes down its name and arguments.

use super::policy_corpus_tests::corpus;
use crate::domain::shell::{self, Script, base};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

struct Shell {
    temp: tempfile::TempDir,
}

impl Shell {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        for dir in ["work/src", "bin"] {
            crate::fsx::create_private_dir(&temp.path().join(dir)).unwrap();
        }
        Self { temp }
    }

    /// The programs that bash tries to start, with their arguments.
    #[expect(clippy::disallowed_methods, reason = "the oracle is a real shell")]
    fn run(&self, command: &str) -> Vec<Vec<String>> {
        let log = self.temp.path().join("log");
        let _ = std::fs::remove_file(&log);
        // What `cat` hands on is seen in the arguments of other programs.
        let handler = format!(
            "() {{ printf '%s\\037' \"$@\" $'\\036' >> '{}'; [ \"$*\" != cat ] || while IFS= read -r l; do printf '%s\\n' \"$l\"; done; }}",
            log.display()
        );
        let mut child = Command::new("/bin/bash")
            .args(["--norc", "--noprofile", "-c", command])
            .env_clear()
            .env("PATH", self.temp.path().join("bin"))
            .env("BASH_FUNC_command_not_found_handle%%", handler)
            .current_dir(self.temp.path().join("work"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if begun.elapsed() > Duration::from_secs(5) {
                let _ = child.kill();
                let _ = child.wait();
                panic!("bash does not end: {command:?}");
            }
            std::thread::sleep(Duration::from_micros(300));
        }
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.split('\u{1e}')
            .map(|record| {
                record
                    .trim_start_matches('\u{1f}')
                    .split_terminator('\u{1f}')
                    .map(str::to_owned)
                    .collect()
            })
            .filter(|argv: &Vec<String>| !argv.is_empty())
            .collect()
    }

    /// What bash ran and a complete answer did not list.
    fn fault(&self, command: &str, script: &Script) -> Option<String> {
        for ran in self.run(command) {
            let listed = script.commands.iter().any(|simple| {
                let argv = simple.argv();
                // A word that is expanded is compared by its program alone.
                let expanded = simple
                    .words
                    .iter()
                    .any(|word| word.tilde || word.glob.is_some());
                argv == ran || expanded && simple.program() == base(&ran[0])
            });
            if !listed {
                return Some(format!(
                    "{command:?} ran {ran:?}, said {:?}",
                    script.commands
                ));
            }
        }
        None
    }
}

/// Numbers that look random and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % (most.max(1) as u64)).unwrap()
    }

    fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }
}

const PIECES: &[&str] = &[
    "danger",
    "one",
    "two x",
    " ",
    " ",
    " ",
    "\t",
    "\n",
    "'",
    "\"",
    "\\",
    "\\\n",
    "$",
    "$(",
    ")",
    "`",
    "${",
    "}",
    "{",
    "{}",
    "{a,b}",
    "<<E\n",
    "E\n",
    "<",
    ">",
    "&",
    "&&",
    "|",
    "||",
    ";",
    "#",
    " # ",
    "!",
    "~",
    "*",
    "?",
    "[",
    "]",
    "=",
    "x=",
    "x=1 ",
    "if ",
    "then ",
    "fi",
    "time ",
    "time -p ",
    "! ",
    "in ",
    "do ",
    "bash -c ",
    "bash -c 'danger'",
    "env ",
    "nice ",
    "timeout 5 ",
    "2>&1",
    ">/dev/null",
    "2> /dev/null",
    "<(",
    "$'",
    "$\"",
    "a\\ b",
    "'a b'",
    "\"a b\"",
    "''",
    "\"\"",
    "-",
    "--",
    "-n",
    "@{1}",
    "a=b",
    "\"$(cat <<'E'\n",
    "E\n)\"",
    "\\$",
    "\\;",
    "\\&",
    "';'",
    "\"|\"",
    "%",
    "^",
    "+",
    ",",
    ":",
    ".",
    "/",
    "é",
    "'é'",
    "echo ",
    "true",
    "cd src",
    "test ",
    "\\'",
    "\\\"",
    "\u{1}",
    "\r",
    "~/",
    "1",
    "0<&1",
    ">&2",
    "&>/dev/null",
];

fn seed() -> u64 {
    crate::paths::env("CONDUCTOR_TEST_SEED")
        .and_then(|text| text.parse().ok())
        .unwrap_or(0x5eed_5eed)
}

fn cases(default: usize) -> usize {
    crate::paths::env("CONDUCTOR_TEST_CASES")
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

#[test]
fn the_oracle_sees_what_runs() {
    let shell = Shell::new();
    assert_eq!(
        shell.run("a 'b c'; d; e $(f) && g"),
        [["a", "b c"].as_slice(), &["d"], &["f"], &["e"], &["g"]]
            .map(|argv| argv.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>())
            .to_vec()
    );
    let wrong = Script {
        commands: shell::read("a").commands,
        unclear: Vec::new(),
    };
    assert!(shell.fault("a; b", &wrong).is_some());
    assert!(!Path::new("/nowhere/danger").exists());
}

#[test]
fn what_is_allowed_runs_only_what_was_listed() {
    let shell = Shell::new();
    let mut faults = Vec::new();
    for line in corpus().iter().filter(|line| line.decision == "allow") {
        let script = shell::read(&line.command);
        assert!(script.is_complete(), "{}", line.command);
        faults.extend(shell.fault(&line.command, &script));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn generated_commands_run_only_what_was_listed() {
    let shell = Shell::new();
    let mut numbers = Numbers(seed());
    let (mut ran, mut faults) = (0, Vec::new());
    while ran < cases(300) {
        let length = 1 + numbers.below(9);
        let mut text = numbers.pick(&["one ", "danger ", "two x ", ""]).to_owned();
        for _ in 0..length {
            text.push_str(numbers.pick(PIECES));
        }
        let script = shell::read(&text);
        if script.is_complete() && !script.commands.is_empty() {
            ran += 1;
            faults.extend(shell.fault(&text, &script));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn changed_commands_run_only_what_was_listed() {
    let shell = Shell::new();
    let mut numbers = Numbers(seed() ^ 0xabcd);
    let commands: Vec<String> = corpus()
        .into_iter()
        .filter(|line| line.decision == "allow" && !line.command.contains("bin/"))
        .map(|line| line.command)
        .collect();
    let (mut ran, mut faults) = (0, Vec::new());
    while ran < cases(300) {
        let mut text: Vec<char> = commands[numbers.below(commands.len())].chars().collect();
        for _ in 0..=numbers.below(2) {
            let at = numbers.below(text.len() + 1);
            let piece = numbers.pick(PIECES).chars();
            if numbers.below(4) == 0 && at < text.len() {
                text.splice(at..=at, piece);
            } else {
                text.splice(at..at, piece);
            }
        }
        let text: String = text.into_iter().collect();
        let script = shell::read(&text);
        if script.is_complete() && !script.commands.is_empty() {
            ran += 1;
            faults.extend(shell.fault(&text, &script));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
