//! Commands that run other commands: what they would run is put into the script too.

use super::reader::{changes_meaning, evaluates, read_into};
use super::{MAX_COMMANDS, MAX_DEPTH, Script, Simple, Word};

/// How a program runs another that stands in its arguments.
struct Wrapper {
    name: &'static str,
    /// Options without a value.
    flags: &'static [&'static str],
    /// Options whose value is the next word, or joined.
    values: &'static [&'static str],
    /// Words between the options and the command.
    operands: usize,
    /// It changes nothing that a rule looks at: the command in it is judged as if it stood alone.
    plain: bool,
}

const fn plain(
    name: &'static str,
    flags: &'static [&'static str],
    values: &'static [&'static str],
    operands: usize,
) -> Wrapper {
    Wrapper {
        name,
        flags,
        values,
        operands,
        plain: true,
    }
}

const fn other(
    name: &'static str,
    flags: &'static [&'static str],
    values: &'static [&'static str],
    operands: usize,
) -> Wrapper {
    Wrapper {
        name,
        flags,
        values,
        operands,
        plain: false,
    }
}

const WRAPPERS: &[Wrapper] = &[
    plain("env", &[], &[], 0),
    plain("command", &[], &[], 0),
    plain("time", &["-p"], &[], 0),
    plain("nice", &[], &["-n", "--adjustment"], 0),
    plain(
        "timeout",
        &["--foreground", "--preserve-status", "-v", "--verbose"],
        &["-k", "--kill-after", "-s", "--signal"],
        1,
    ),
    plain(
        "stdbuf",
        &[],
        &["-i", "-o", "-e", "--input", "--output", "--error"],
        0,
    ),
    other("builtin", &[], &[], 0),
    other("exec", &["-c", "-l"], &["-a"], 0),
    other("noglob", &[], &[], 0),
    other("nocorrect", &[], &[], 0),
    other("-", &[], &[], 0),
    other("eval", &[], &[], 0),
    other(
        "sudo",
        &[
            "-A", "-b", "-E", "-H", "-i", "-k", "-K", "-n", "-P", "-S", "-s",
        ],
        &[
            "-C", "-D", "-g", "-h", "-p", "-R", "-r", "-t", "-T", "-U", "-u",
        ],
        0,
    ),
    other("doas", &["-n", "-s"], &["-a", "-C", "-u"], 0),
    other("pkexec", &["--disable-internal-agent"], &["--user"], 0),
    other("run0", &[], &["-u", "--user"], 0),
    other("runuser", &["-l"], &["-u", "-g"], 0),
    other("nohup", &[], &[], 0),
    other("setsid", &["-c", "-f", "-w", "--fork", "--wait"], &[], 0),
    other("ionice", &["-t"], &["-c", "-n"], 0),
    other("chrt", &["-b", "-f", "-i", "-o", "-r"], &[], 1),
    other("taskset", &["-a"], &["-c"], 1),
    other("numactl", &[], &["-C", "-m", "-N", "-i"], 0),
    other("prlimit", &[], &[], 0),
    other("chroot", &[], &["--userspec", "--groups"], 1),
    other(
        "unshare",
        &["-r", "-m", "-n", "-p", "-f", "-u", "-i"],
        &[],
        0,
    ),
    other("nsenter", &["-m", "-n", "-p", "-u", "-i", "-a"], &["-t"], 0),
    other(
        "flock",
        &["-n", "-x", "-s", "-u", "-o", "-F"],
        &["-w", "-E"],
        1,
    ),
    other(
        "watch",
        &["-b", "-c", "-d", "-e", "-g", "-t", "-x"],
        &["-n", "--interval"],
        0,
    ),
    other(
        "xargs",
        &[
            "-0",
            "-p",
            "-r",
            "-t",
            "-x",
            "-o",
            "--null",
            "--no-run-if-empty",
        ],
        &["-a", "-d", "-E", "-I", "-L", "-n", "-P", "-s", "-J", "-R"],
        0,
    ),
    other("parallel", &["-k", "--bar", "--dry-run"], &["-j", "-a"], 0),
    other(
        "strace",
        &["-f", "-ff", "-q", "-v", "-c", "-C", "-t", "-tt", "-y"],
        &["-e", "-o", "-p", "-s", "-S", "-u", "-E"],
        0,
    ),
    other("ltrace", &["-f", "-c", "-S"], &["-e", "-o", "-p", "-s"], 0),
    other("gdb", &["--args", "-q", "-batch"], &["-ex", "-x"], 0),
    other("valgrind", &[], &[], 0),
    other("perf", &[], &["-e", "-o"], 1),
    other("hyperfine", &[], &["-w", "-r", "-m"], 0),
    other("busybox", &[], &[], 0),
    other("toybox", &[], &[], 0),
    other("systemd-run", &[], &["-p", "--unit"], 0),
    other("systemd-inhibit", &[], &[], 0),
    other(
        "caffeinate",
        &["-d", "-i", "-m", "-s", "-u"],
        &["-t", "-w"],
        0,
    ),
    other("proot", &[], &["-r", "-b", "-w"], 0),
    other("fakeroot", &[], &[], 0),
    other("firejail", &[], &[], 0),
    other("bwrap", &[], &[], 0),
    other("proxychains4", &["-q"], &["-f"], 0),
    other("torsocks", &[], &[], 0),
    other("unbuffer", &["-p"], &[], 0),
    other("rlwrap", &[], &[], 0),
    other("setarch", &["-R"], &[], 1),
    other("npx", &["-y", "--yes", "-q"], &["-p", "--package"], 0),
    other("bunx", &[], &[], 0),
    other("uvx", &[], &["--from", "--with"], 0),
    other(
        "ssh",
        &["-A", "-T", "-t", "-q", "-v", "-x", "-N", "-f"],
        &["-p", "-i", "-l", "-o", "-J", "-F"],
        1,
    ),
];

/// Shells, which run the text behind `-c`.
const SHELLS: &[&str] = &[
    "sh", "bash", "zsh", "dash", "ash", "ksh", "mksh", "rbash", "fish", "csh", "tcsh", "su",
];

/// Programs whose arguments hold commands for a shell.
const TEXTS: &[(&str, &[&str])] = &[
    ("script", &["-c", "--command"]),
    ("flock", &["-c", "--command"]),
    ("su", &["-c", "--command"]),
    ("runuser", &["-c", "--command"]),
    ("sg", &["-c"]),
    ("watch", &[]),
    ("parallel", &[]),
    ("hyperfine", &[]),
    ("eval", &[]),
    ("trap", &[]),
    ("ssh", &[]),
    ("entr", &["-s"]),
    ("expect", &["-c"]),
    ("busybox", &["-c"]),
];

/// Options of `find` and `fd` that run what follows.
const FIND_RUNS: &[&str] = &[
    "-exec",
    "-execdir",
    "-ok",
    "-okdir",
    "-x",
    "-X",
    "--exec",
    "--exec-batch",
];

/// Adds to `script` what its command at `at` would run.
pub fn unwrap(at: usize, script: &mut Script) {
    let Some(simple) = script.commands.get(at).cloned() else {
        return;
    };
    let program = simple.program().to_owned();
    if simple.depth > MAX_DEPTH {
        script.doubt("it nests deeper than is read");
        return;
    }
    if SHELLS.contains(&program.as_str()) {
        shell(at, &simple, &program, script);
    }
    if let Some((_, flags)) = TEXTS.iter().find(|(name, _)| *name == program) {
        texts(&simple, flags, script);
    }
    if let Some(wrapper) = WRAPPERS.iter().find(|wrapper| wrapper.name == program) {
        wrapped(at, &simple, wrapper, script);
    }
    if matches!(program.as_str(), "find" | "gfind" | "fd" | "fdfind" | "bfs") {
        let starts = simple.words.iter().enumerate();
        let starts: Vec<usize> = starts
            .filter(|(_, word)| FIND_RUNS.contains(&word.text.as_str()))
            .map(|(index, _)| index + 1)
            .collect();
        for start in starts {
            script.doubt(format!("{program} runs a command for each file"));
            let rest = simple.words.get(start..).unwrap_or_default();
            let end = rest
                .iter()
                .position(|word| word.text == ";" || word.text == "+");
            add(&simple, rest.get(..end.unwrap_or(rest.len())), script);
        }
    }
}

/// Puts the command `words` behind the others.
fn add(outer: &Simple, words: Option<&[Word]>, script: &mut Script) {
    let Some(words) = words.filter(|words| !words.is_empty()) else {
        return;
    };
    if script.commands.len() >= MAX_COMMANDS {
        script.doubt(format!("it holds more than {MAX_COMMANDS} commands"));
        return;
    }
    let simple = Simple {
        words: words.to_vec(),
        input: outer.input.clone(),
        before: outer.before,
        after: outer.after,
        depth: outer.depth + 1,
        ..Simple::default()
    };
    if evaluates(&simple) {
        let name = simple.program().to_owned();
        script.doubt(format!("{name} evaluates the name of a variable"));
    }
    script.commands.push(simple);
}

fn mark(at: usize, script: &mut Script) {
    if let Some(command) = script.commands.get_mut(at) {
        command.wrapper = true;
    }
}

fn wrapped(at: usize, simple: &Simple, wrapper: &Wrapper, script: &mut Script) {
    let words = &simple.words;
    let mut next = 1;
    let mut known = true;
    while let Some(word) = words.get(next) {
        let text = word.text.as_str();
        if text == "--" {
            next += 1;
            break;
        }
        if !text.starts_with('-') || text == "-" {
            break;
        }
        let joined = |flag: &&&str| {
            let long = flag.starts_with("--") && text.starts_with(&format!("{flag}="));
            let short =
                !flag.starts_with("--") && text.starts_with(**flag) && text.len() > flag.len();
            long || short
        };
        let number = wrapper.name == "nice" && text.get(1..).is_some_and(digits);
        if wrapper.flags.contains(&text) || number {
            next += 1;
        } else if wrapper.values.contains(&text) {
            next += 2;
        } else if wrapper.values.iter().any(|flag| joined(&flag)) {
            next += 1;
        } else {
            known = false;
            script.doubt(format!("the option {text} of {}", wrapper.name));
            break;
        }
    }
    if wrapper.plain {
        // A pattern there may become several words, and the program one of them.
        let front = words.get(1..(next + wrapper.operands).min(words.len()));
        let front = front.unwrap_or_default();
        if !front.iter().all(Word::is_plain) {
            known = false;
            script.doubt(format!("the options of {}", wrapper.name));
        }
    } else {
        script.doubt(format!(
            "{} runs another command in its own way",
            wrapper.name
        ));
    }
    if wrapper.name == "env" {
        while words.get(next).is_some_and(|word| word.text.contains('=')) {
            script.doubt("env sets variables for another command");
            next += 1;
        }
    }
    next += wrapper.operands;
    // What a word behind an unknown option means is not known: each may be the command.
    let last = if known { next } else { next + 8 };
    let mut found = false;
    for start in next..=last {
        let Some(word) = words.get(start) else { break };
        if known || !word.text.starts_with('-') {
            add(simple, words.get(start..), script);
            found = true;
        }
    }
    if found {
        if wrapper.plain {
            judge_program(words.get(next), script);
        }
        mark(at, script);
    }
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// A program's name in an argument is expanded as every word is.
fn judge_program(word: Option<&Word>, script: &mut Script) {
    if let Some(word) = word
        && (!word.is_plain() && word.text != "["
            || word.text.contains('=')
            || changes_meaning(&word.text)
            || !word.text.chars().all(|c| c.is_ascii_graphic()))
    {
        script.doubt(format!(
            "which program runs is known only then: {}",
            word.text
        ));
    }
}

/// `bash -c TEXT`, `bash < input`, `bash FILE`.
fn shell(at: usize, simple: &Simple, program: &str, script: &mut Script) {
    let mut words = simple.words.iter().skip(1).peekable();
    let mut command = false;
    let mut text = None;
    let mut file = false;
    while let Some(word) = words.next() {
        let option = word.text.as_str();
        if let Some(letters) = option.strip_prefix('-').filter(|rest| !rest.is_empty()) {
            if letters.starts_with('-') {
                if option != "--" {
                    script.doubt(format!("the option {option} of {program}"));
                }
                continue;
            }
            command |= letters.contains('c');
            if letters.contains('o') {
                let value = words.next();
                if value.is_none_or(|value| value.text != "pipefail") {
                    script.doubt(format!("the option {option} of {program}"));
                }
            }
            let known = letters.chars().all(|c| "ceuxlo".contains(c));
            if !known || program == "su" || program.ends_with("csh") || program == "fish" {
                script.doubt(format!("the option {option} of {program}"));
            }
            continue;
        }
        if option.starts_with('+') {
            script.doubt(format!("the option {option} of {program}"));
            continue;
        }
        if command {
            text = Some(word);
        } else if program == "su" {
            continue;
        } else {
            file = true;
        }
        break;
    }
    if let Some(text) = text {
        if !text.is_plain() {
            script.doubt(format!("the commands for {program} are known only then"));
        }
        read_into(&text.text, simple.depth + 1, script);
        mark(at, script);
    } else if let Some(input) = &simple.input {
        read_into(input, simple.depth + 1, script);
    } else if !file {
        script.doubt(format!("{program} runs what it reads from its input"));
    }
}

/// Options and arguments that hold commands for a shell; any of them is read as one.
fn texts(simple: &Simple, flags: &[&str], script: &mut Script) {
    script.doubt(format!("{} runs commands given as text", simple.program()));
    let mut taken = flags.is_empty();
    for word in simple.words.iter().skip(1) {
        let joined = flags.iter().find_map(|flag| {
            let rest = word.text.strip_prefix(flag)?;
            let rest = rest.strip_prefix('=').unwrap_or(rest);
            (!rest.is_empty()).then_some(rest)
        });
        if let Some(text) = joined {
            read_into(text, simple.depth + 1, script);
        } else if taken && !word.text.starts_with('-') {
            read_into(&word.text, simple.depth + 1, script);
        }
        taken = flags.is_empty() || flags.contains(&word.text.as_str());
    }
}
