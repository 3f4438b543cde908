//! Shell command lines: what a real bash runs, against what the reader said.
//!
//! A program that ran, and that a complete answer did not list, is a fault; so is an allow for what was not understood. Bash runs in a
//! directory of its own that holds nothing else, without a network, other processes or an environment, and with a `PATH` that leads nowhere:
//! each program that it would start is not found, and the handler for that writes down its name and arguments.

use crate::engine::{Target, Trail};
use crate::random::Random;
use conductor::domain::policy::{Action, Call, Decision, Policy, judge};
use conductor::domain::shell::{self, Script, base};
use conductor::profiles::policy;
use conductor::profiles::policy_sight::Disk;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long bash may take for one line; what takes longer is not judged.
const PATIENCE: Duration = Duration::from_secs(3);

/// What commands are made of: quotes, joints, redirections, words that run other commands.
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

pub(crate) struct Shell {
    root: TempDir,
    policy: Policy,
    cwd: PathBuf,
    /// Whether bash can be locked in here.
    runs: bool,
    /// How many commands bash ran, and how many programs it tried to start.
    ran: (u64, u64),
}

impl Drop for Shell {
    fn drop(&mut self) {
        println!(
            "fuzz: shell: bash ran {} of them, and tried to start {} programs",
            self.ran.0, self.ran.1
        );
    }
}

impl Shell {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut shell = Self {
            policy: policy::built_in().policy,
            cwd: root.path().join("work"),
            root,
            runs: false,
            ran: (0, 0),
        };
        shell.furnish();
        shell.runs = shell
            .run("one 'two x' && three")
            .is_some_and(|ran| ran.len() == 2);
        if !shell.runs {
            eprintln!("fuzz: shell: NOT RUN beside bash: it cannot be locked in here");
        }
        shell
    }

    /// Puts bash and what it loads into the directory.
    fn furnish(&self) {
        for dir in ["work/src", "bin", "dev", "empty"] {
            fs::create_dir_all(self.root.path().join(dir)).unwrap();
        }
        fs::write(self.root.path().join("dev/null"), "").unwrap();
        let loaded = Command::new("ldd").arg("/bin/bash").output();
        let loaded = loaded.map(|done| String::from_utf8_lossy(&done.stdout).into_owned());
        let loaded = loaded.unwrap_or_default();
        let files = loaded
            .split_whitespace()
            .filter(|word| word.starts_with('/'));
        for file in files.chain(["/bin/bash"]) {
            let there = self.root.path().join(file.trim_start_matches('/'));
            fs::create_dir_all(there.parent().unwrap()).unwrap();
            let _ = fs::copy(file, there);
        }
    }

    /// The programs that bash tries to start, with their arguments; `None` when it does not end, or cannot be started.
    fn run(&self, command: &str) -> Option<Vec<Vec<String>>> {
        let log = self.root.path().join("log");
        fs::write(&log, "").unwrap();
        // What `cat` hands on is seen in the arguments of other programs.
        let handler = "() { printf '%s\\037' \"$@\" $'\\036' >> /log; [ \"$*\" != cat ] || while IFS= read -r l; do printf '%s\\n' \"$l\"; done; return 0; }";
        // Programs succeed, or fail: what stands behind && and || has to run in one of the two.
        let handler = if command.len().is_multiple_of(3) {
            handler.replace("return 0", "return 1")
        } else {
            handler.to_owned()
        };
        let mut child = Command::new("prlimit")
            .args(["--cpu=2", "--fsize=1000000", "--nproc=2000", "unshare"])
            .args([
                "--user",
                "--map-root-user",
                "--pid",
                "--fork",
                "--kill-child",
                "--net",
                "--ipc",
                "--mount",
            ])
            .arg(format!("--root={}", self.root.path().display()))
            .args([
                "--wd=/work",
                "/bin/bash",
                "--norc",
                "--noprofile",
                "-c",
                command,
            ])
            .env_clear()
            .env("PATH", "/usr/bin:/bin:/empty")
            .env("BASH_FUNC_command_not_found_handle%%", handler)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let begun = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if begun.elapsed() > PATIENCE {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
            std::thread::sleep(Duration::from_micros(300));
        }
        let text = String::from_utf8_lossy(&fs::read(&log).unwrap_or_default()).into_owned();
        Some(
            text.split('\u{1e}')
                .map(|record| {
                    let record = record.trim_start_matches('\u{1f}');
                    record
                        .split_terminator('\u{1f}')
                        .map(str::to_owned)
                        .collect()
                })
                .filter(|argv: &Vec<String>| !argv.is_empty())
                .collect(),
        )
    }

    /// What bash ran and a complete answer did not list.
    fn fault(&mut self, command: &str, script: &Script) -> Result<(), String> {
        let programs = self.run(command).unwrap_or_default();
        self.ran.0 += 1;
        self.ran.1 += programs.len() as u64;
        for ran in programs {
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
                return Err(format!(
                    "bash ran {ran:?}, the reader said {:?}",
                    script.commands
                ));
            }
        }
        Ok(())
    }
}

/// `␤` stands for a newline, `␍` for a carriage return, as in the corpus of the policy.
fn decode(text: &str) -> String {
    text.replace('␤', "\n").replace('␍', "\r")
}

impl Target for Shell {
    fn seeds(&self) -> Vec<Vec<u8>> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/policy");
        let mut seeds = Vec::new();
        for file in ["everyday.txt", "hidden.txt"] {
            let text = fs::read_to_string(dir.join(file)).unwrap();
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            seeds.extend(
                lines.filter_map(|line| Some(decode(line.rsplit_once('\t')?.1).into_bytes())),
            );
        }
        seeds
    }

    fn dictionary(&self) -> Vec<Vec<u8>> {
        PIECES
            .iter()
            .map(|piece| piece.as_bytes().to_vec())
            .collect()
    }

    fn fresh(&self, random: &mut Random) -> Option<Vec<u8>> {
        let mut text = random.pick(&["one ", "danger ", "two x ", ""])?.to_string();
        for _ in 0..=random.below(9) {
            text.push_str(random.pick(PIECES)?);
        }
        Some(text.into_bytes())
    }

    fn check(&mut self, input: &[u8], trail: &mut Trail) -> Result<(), String> {
        let text = String::from_utf8_lossy(input).into_owned();
        let script = shell::read(&text);
        for doubt in &script.unclear {
            trail.says(doubt);
        }
        for simple in &script.commands {
            if simple.words.is_empty() {
                return Err(format!("a command without words: {:?}", script.commands));
            }
            trail.passes((
                simple.before as u8,
                simple.after as u8,
                simple.depth.min(4),
                simple.wrapper,
                simple.input.is_some(),
                simple.redirects.len().min(3),
            ));
            trail.passes((
                script.is_complete(),
                simple
                    .words
                    .iter()
                    .map(|word| (word.dynamic, word.tilde, word.quoted, word.glob.is_some()))
                    .collect::<Vec<_>>(),
            ));
        }
        let action = Action::Shell {
            command: text.clone(),
        };
        let ruling = judge(
            &self.policy,
            &Call {
                tool: "Bash",
                action: &action,
                cwd: &self.cwd,
                start: None,
                profile: "developer",
                agent_asks: true,
                allows_edits: false,
            },
            &Disk::with_path("/usr/bin:/bin"),
        );
        trail.passes((ruling.decision as u8, ruling.rule.clone()));
        if ruling.decision == Decision::Allow && !script.is_complete() {
            return Err(format!("allowed, and not understood: {:?}", script.unclear));
        }
        if ruling.decision == Decision::Allow && script.commands.is_empty() {
            return Err("allowed, and no command".to_owned());
        }
        if self.runs && script.is_complete() && !script.commands.is_empty() && !text.contains('\0')
        {
            self.fault(&text, &script)?;
        }
        Ok(())
    }
}

#[test]
fn the_oracle_sees_what_runs() {
    let mut shell = Shell::new();
    if !shell.runs {
        return;
    }
    let ran = shell.run("a 'b c'; d; e $(f) && g; bash -c 'h i'").unwrap();
    let ran: Vec<String> = ran.iter().map(|argv| argv.join("+")).collect();
    assert_eq!(ran, ["a+b c", "d", "f", "e", "g", "h+i"]);
    let half = Script {
        commands: shell::read("a").commands,
        unclear: Vec::new(),
    };
    shell.fault("a", &half).unwrap();
    shell.fault("a; b", &half).unwrap_err();
    shell.run("kill -9 -1; : >/outside").unwrap();
    assert!(shell.root.path().join("outside").exists());
    assert!(!Path::new("/outside").exists());
}
