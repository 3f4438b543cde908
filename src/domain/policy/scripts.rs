//! The files that a command would execute or interpret: what is approved is bound to what is in them.

use super::paths::{View, normal};
use super::strict::SYSTEM;
use crate::domain::shell::{Simple, Word};
use std::path::PathBuf;

/// Most files of one call.
const MOST: usize = 16;

/// Interpreters: the first operand is a program, unless one of these options gives it as text; and options whose value is a file to run.
struct Interpreter {
    names: &'static [&'static str],
    /// With one of these there is no program file.
    text: &'static [&'static str],
    /// Options with a value that is no program.
    values: &'static [&'static str],
    /// Options whose value is a file that runs too.
    files: &'static [&'static str],
}

const INTERPRETERS: &[Interpreter] = &[
    Interpreter {
        names: &[
            "sh", "bash", "zsh", "dash", "ash", "ksh", "mksh", "fish", "source", ".",
        ],
        text: &["-c"],
        values: &["-o", "-O"],
        files: &["--rcfile", "--init-file"],
    },
    Interpreter {
        names: &["python", "python2", "python3", "pypy", "pypy3"],
        text: &["-c", "-m"],
        values: &["-W", "-X"],
        files: &[],
    },
    Interpreter {
        names: &["node", "nodejs", "deno", "bun", "tsx", "ts-node"],
        text: &["-e", "--eval", "-p", "--print"],
        values: &[],
        files: &["-r", "--require", "--import", "--loader"],
    },
    Interpreter {
        names: &[
            "perl",
            "ruby",
            "php",
            "lua",
            "Rscript",
            "tclsh",
            "wish",
            "expect",
            "julia",
            "guile",
            "racket",
            "osascript",
        ],
        text: &["-e", "-E"],
        values: &["-I"],
        files: &["-r", "-f", "-l"],
    },
    Interpreter {
        names: &[
            "awk", "gawk", "mawk", "nawk", "sed", "gsed", "make", "gmake", "just", "gdb", "psql",
            "sqlite3", "m4", "bc",
        ],
        text: &[],
        values: &["-F", "-v", "-e", "-C"],
        files: &["-f", "--file", "--makefile", "-x", "--justfile"],
    },
];

/// Adds the files that `simple` would execute or interpret to `found`.
pub fn collect(simple: &Simple, view: &View<'_>, found: &mut Vec<PathBuf>) {
    let Some(program) = simple.words.first() else {
        return;
    };
    let system = SYSTEM.iter().any(|dir| {
        let rest = program.text.strip_prefix(dir);
        rest.is_some_and(|rest| rest.starts_with('/'))
    });
    if program.text.contains('/') && !system {
        add(&program.text, program.tilde, view, found);
    }
    let name = simple
        .program()
        .trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let name = if name.is_empty() {
        simple.program()
    } else {
        name
    };
    let known = |list: &[&str]| list.contains(&name) || list.contains(&simple.program());
    let Some(kind) = INTERPRETERS.iter().find(|kind| known(kind.names)) else {
        return;
    };
    let mut words = simple.words.iter().skip(1);
    let mut given = kind.text.is_empty() && !kind.files.is_empty();
    while let Some(word) = words.next() {
        let text = word.text.as_str();
        let flag = text.split('=').next().unwrap_or_default();
        let runs = kind
            .files
            .iter()
            .find(|known| **known == flag || !known.starts_with("--") && text.starts_with(**known));
        if let Some(runs) = runs {
            let joined = text.strip_prefix(runs).unwrap_or_default();
            let joined = joined.strip_prefix('=').unwrap_or(joined);
            if joined.is_empty() {
                words
                    .next()
                    .into_iter()
                    .for_each(|word| add_word(word, view, found));
            } else {
                add(joined, false, view, found);
            }
        } else if kind.text.contains(&flag) {
            given = true;
        } else if kind.values.contains(&text) {
            words.next();
        } else if !text.starts_with('-') && !given {
            add_word(word, view, found);
            given = true;
        }
    }
    for redirect in simple.redirects.iter().filter(|redirect| !redirect.writes) {
        add_word(&redirect.file, view, found);
    }
}

fn add_word(word: &Word, view: &View<'_>, found: &mut Vec<PathBuf>) {
    add(&word.text, word.tilde, view, found);
}

fn add(text: &str, tilde: bool, view: &View<'_>, found: &mut Vec<PathBuf>) {
    for path in view.absolute(text, tilde) {
        let path = normal(&path);
        if found.len() < MOST && !found.contains(&path) && view.sight.is_file(&path) {
            found.push(path);
        }
    }
}
