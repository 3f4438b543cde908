//! One rule; and when a rule that asks or denies matches: generously, so that no spelling slips past it.

use super::flags::Flags;
use super::paths::{PathPattern, View, glob, normal};
use super::{Decision, Presence, Risk};
use crate::domain::shell::{Simple, Word, base};
use std::path::PathBuf;

/// What one word of an `argv` pattern matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// One of these words, exactly.
    OneOf(Vec<String>),
    /// All further words, if any.
    Rest,
}

/// What the operands of an allowed command may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Operands {
    /// Any literal text.
    #[default]
    Text,
    /// None at all.
    None,
    /// Files or directories below the working directory.
    Paths,
    /// Files below the working directory, no directories.
    Files,
    /// Directories below the working directory.
    Dirs,
    /// First a pattern (unless one was given by `-e` or `-f`), then paths.
    PatternPaths,
    /// Revisions of a repository, or paths.
    Revisions,
    /// Paths with `::NAME` behind them.
    Tests,
    /// Letters, digits and a few signs.
    Plain,
    /// Words that begin with `+`.
    Plus,
}

impl Operands {
    /// The words in files, with what they name.
    pub const WORDS: [(&'static str, Self); 10] = [
        ("text", Self::Text),
        ("none", Self::None),
        ("paths", Self::Paths),
        ("files", Self::Files),
        ("dirs", Self::Dirs),
        ("pattern-paths", Self::PatternPaths),
        ("revisions", Self::Revisions),
        ("tests", Self::Tests),
        ("plain", Self::Plain),
        ("plus", Self::Plus),
    ];
}

/// Commands that a rule has to match, and that it may not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Examples {
    /// These it matches.
    pub matches: Vec<String>,
    /// These it does not.
    pub not_matches: Vec<String>,
}

/// One rule. Every key that is there has to match.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its name; unique in its file.
    pub id: String,
    /// What is done.
    pub decision: Decision,
    /// Patterns for the tool's name.
    pub tool: Vec<String>,
    /// The whole command, word by word.
    pub argv: Option<Vec<Token>>,
    /// Patterns for the program's name.
    pub program: Vec<String>,
    /// The first operands, each a list of words.
    pub subcommand: Vec<Vec<String>>,
    /// Subcommands may be shortened, as tmux permits.
    pub abbreviated: bool,
    /// One of these options is there.
    pub any_flag: Vec<String>,
    /// An argument matches one of these patterns.
    pub any_arg: Vec<String>,
    /// No argument matches any of these patterns.
    pub unless_arg: Vec<String>,
    /// A path that it writes matches one of these.
    pub paths_write: Vec<PathPattern>,
    /// A path that it reads or writes matches one of these.
    pub paths_read: Vec<PathPattern>,
    /// Patterns for the name of the agent's profile.
    pub profile: Vec<String>,
    /// It holds below this directory only.
    pub cwd: Option<PathBuf>,
    /// The only options that may be there (allow and defer); `None`: any.
    pub flags: Option<Flags>,
    /// Options that may stand in front of the subcommand.
    pub flags_before: Flags,
    /// The only options that may stand behind `--`; `None`: what is there are operands.
    pub rest: Option<Flags>,
    /// What operands may be (allow and defer).
    pub operands: Operands,
    /// Most operands (allow and defer).
    pub max_operands: Option<usize>,
    /// Options have one dash and are not bundled.
    pub single_dash: bool,
    /// How much is at stake.
    pub risk: Option<Risk>,
    /// What a person has to show.
    pub presence: Option<Presence>,
    /// Why, for people.
    pub reason: String,
    /// Ask rules that do not count where this allow rule matches.
    pub overrides: Vec<String>,
    /// What it has to match.
    pub examples: Examples,
}

impl Rule {
    /// A rule that matches nothing yet.
    pub fn new(id: impl Into<String>, decision: Decision) -> Self {
        Self {
            id: id.into(),
            decision,
            tool: Vec::new(),
            argv: None,
            program: Vec::new(),
            subcommand: Vec::new(),
            abbreviated: false,
            any_flag: Vec::new(),
            any_arg: Vec::new(),
            unless_arg: Vec::new(),
            paths_write: Vec::new(),
            paths_read: Vec::new(),
            profile: Vec::new(),
            cwd: None,
            flags: None,
            flags_before: Flags::default(),
            rest: None,
            operands: Operands::default(),
            max_operands: None,
            single_dash: false,
            risk: None,
            presence: None,
            reason: String::new(),
            overrides: Vec::new(),
            examples: Examples::default(),
        }
    }

    /// Its risk, or what its decision stands for.
    pub fn risk(&self) -> Risk {
        self.risk.unwrap_or(match self.decision {
            Decision::Allow => Risk::Low,
            Decision::Defer | Decision::Ask => Risk::Medium,
            Decision::Deny => Risk::High,
        })
    }

    /// What it matches, in one line for people.
    pub fn matched(&self) -> String {
        let mut parts = Vec::new();
        let mut add = |what: &str, words: &[String]| {
            if !words.is_empty() {
                parts.push(format!("{what} {}", words.join("|")));
            }
        };
        let texts = |patterns: &[PathPattern]| -> Vec<String> {
            patterns.iter().map(|p| p.as_str().to_owned()).collect()
        };
        let subcommands: Vec<String> = self
            .subcommand
            .iter()
            .map(|words| words.join(" "))
            .collect();
        let argv = self.argv.iter().flatten().map(|token| match token {
            Token::Rest => "...".to_owned(),
            Token::OneOf(list) => list.join("/"),
        });
        add("tool", &self.tool);
        add("program", &self.program);
        add("subcommand", &subcommands);
        add("option", &self.any_flag);
        add("argument", &self.any_arg);
        add("writes", &texts(&self.paths_write));
        add("reads", &texts(&self.paths_read));
        add("profile", &self.profile);
        let argv = argv.collect::<Vec<_>>().join(" ");
        if !argv.is_empty() {
            add("argv", &[argv]);
        }
        parts.join(", ")
    }

    /// Whether it looks at the simple commands of a command line.
    pub fn names_commands(&self) -> bool {
        self.argv.is_some()
            || !self.program.is_empty()
            || !self.subcommand.is_empty()
            || !self.any_flag.is_empty()
            || !self.any_arg.is_empty()
    }

    /// Whether it looks at paths.
    pub fn names_paths(&self) -> bool {
        !self.paths_write.is_empty() || !self.paths_read.is_empty()
    }

    /// Whether a call of this tool by this profile may match at all.
    pub fn concerns(&self, tool: &str, profile: &str) -> bool {
        let strict = !self.decision.tightens();
        let tool_fits =
            self.tool.is_empty() || self.tool.iter().any(|p| tool_glob(p, tool, strict));
        // Whose call it is may not be known: then what tightens holds, and nothing else.
        let profile_fits = self.profile.is_empty()
            || (profile.is_empty() && !strict)
            || self.profile.iter().any(|p| glob(p, profile, !strict));
        tool_fits && profile_fits
    }

    /// Whether a program of this name may match at all.
    pub fn concerns_program(&self, program: &str) -> bool {
        self.program.is_empty() || self.program.iter().any(|name| program_is(name, program))
    }

    /// Whether it names paths that are written or read: for a rule that asks or denies one of them, for another all. True for a rule that
    /// names none.
    pub fn paths_match(&self, written: &[PathBuf], read: &[PathBuf], view: &View<'_>) -> bool {
        let loose = self.decision.tightens();
        let fits = |patterns: &[PathPattern], path: &PathBuf| {
            patterns
                .iter()
                .any(|pattern| pattern.matches(path, view, loose))
        };
        let named = |patterns: &[PathPattern], paths: &mut dyn Iterator<Item = &PathBuf>| {
            let mut paths = paths.peekable();
            if loose {
                return paths.any(|path| fits(patterns, path));
            }
            paths.peek().is_some() && paths.all(|path| fits(patterns, path))
        };
        (self.paths_write.is_empty() || named(&self.paths_write, &mut written.iter()))
            && (self.paths_read.is_empty()
                || named(&self.paths_read, &mut read.iter().chain(written)))
    }

    /// Whether a rule that asks or denies matches a simple command; paths are looked at elsewhere.
    pub fn matches_loosely(&self, simple: &Simple) -> bool {
        let words = simple.words.get(1..).unwrap_or_default();
        self.concerns_program(simple.program())
            && self.argv.as_deref().is_none_or(|tokens| {
                argv_matches(tokens, &simple.words, &|token, word| {
                    token.eq_ignore_ascii_case(&word.text)
                        || word.text.contains('/') && token.eq_ignore_ascii_case(base(&word.text))
                })
            })
            && (self.subcommand.is_empty() || self.has_subcommand(words))
            && (self.any_flag.is_empty() || self.any_flag.iter().any(|flag| has_flag(flag, words)))
            && (self.any_arg.is_empty() || any_word(&self.any_arg, words))
            && !any_word_exactly(&self.unless_arg, words)
    }

    /// Options in front of a subcommand may take values that are not known here: each word that could be the subcommand counts.
    fn has_subcommand(&self, words: &[Word]) -> bool {
        let mut start = true;
        let mut maybe_value = false;
        for (at, word) in words.iter().enumerate() {
            let text = word.text.as_str();
            let ends = text.ends_with(';');
            if start {
                if text.starts_with('-') && text.len() > 1 {
                    maybe_value = !text.contains('=');
                } else {
                    let behind = words.get(at..).unwrap_or_default();
                    if self.subcommand.iter().any(|sub| self.begins(sub, behind)) {
                        return true;
                    }
                    start = maybe_value;
                    maybe_value = false;
                }
            }
            // tmux takes several commands with `;` between.
            start |= ends;
        }
        false
    }

    fn begins(&self, subcommand: &[String], words: &[Word]) -> bool {
        let mut operands = words.iter().filter(|word| !word.text.starts_with('-'));
        let first = words.first().into_iter();
        let mut found = first.chain(operands.by_ref().skip(1));
        subcommand.iter().all(|wanted| {
            found.next().is_some_and(|word| {
                let text = word.text.trim_end_matches(';');
                text.eq_ignore_ascii_case(wanted)
                    || self.abbreviated && text.len() > 2 && wanted.starts_with(text)
            })
        })
    }
}

/// Whether a pattern for a program's name fits: with any directory, in any case, and with a version behind it.
fn program_is(name: &str, program: &str) -> bool {
    if name.contains(['*', '?']) {
        return glob(name, program, true);
    }
    let Some(head) = program.get(..name.len()) else {
        return false;
    };
    let version = program.get(name.len()..).unwrap_or_default();
    head.eq_ignore_ascii_case(name)
        && (version.is_empty()
            || version
                .chars()
                .all(|c| c.is_ascii_digit() || c == '.' || c == '-')
            || version.eq_ignore_ascii_case(".exe"))
}

/// In allow and defer rules `*` stays within one part of `mcp__SERVER__TOOL`.
fn tool_glob(pattern: &str, tool: &str, strict: bool) -> bool {
    if !strict {
        return glob(pattern, tool, true);
    }
    let parts: Vec<&str> = pattern.split("__").collect();
    let found: Vec<&str> = tool.split("__").collect();
    parts.len() == found.len()
        && parts
            .iter()
            .zip(found)
            .all(|(pattern, part)| glob(pattern, part, false))
}

pub(super) fn argv_matches(
    tokens: &[Token],
    words: &[Word],
    same: &dyn Fn(&str, &Word) -> bool,
) -> bool {
    let mut words = words.iter();
    for token in tokens {
        match token {
            Token::Rest => return true,
            Token::OneOf(list) => {
                let Some(word) = words.next() else {
                    return false;
                };
                if !list.iter().any(|token| same(token, word)) {
                    return false;
                }
            }
        }
    }
    words.next().is_none()
}

/// Whether an option is there in any spelling: bundled, with a value, shortened.
pub(super) fn has_flag(flag: &str, words: &[Word]) -> bool {
    words.iter().any(|word| {
        let text = word.text.as_str();
        let name = text.split('=').next().unwrap_or_default();
        if flag.starts_with("--") {
            return name == flag
                || name.len() > 3 && name.starts_with("--") && flag.starts_with(name);
        }
        if flag.chars().count() > 2 {
            return name == flag || name.strip_prefix('-') == Some(flag);
        }
        let letter = flag.chars().nth(1).unwrap_or('-');
        text.starts_with('-') && !text.starts_with("--") && text.contains(letter)
    })
}

fn any_word(patterns: &[String], words: &[Word]) -> bool {
    words
        .iter()
        .any(|word| patterns.iter().any(|p| glob(p, &word.text, true)))
}

pub(super) fn any_word_exactly(patterns: &[String], words: &[Word]) -> bool {
    words
        .iter()
        .any(|word| patterns.iter().any(|p| glob(p, &word.text, false)))
}

/// Programs whose operands are read and never written; `-o` and its like are not among what they may do unnoticed.
const READERS: &[&str] = &[
    "ls",
    "cat",
    "head",
    "tail",
    "wc",
    "grep",
    "egrep",
    "fgrep",
    "rg",
    "uniq",
    "cut",
    "diff",
    "stat",
    "file",
    "less",
    "more",
    "jq",
    "nl",
    "od",
    "xxd",
    "hexdump",
    "strings",
    "cmp",
    "comm",
    "basename",
    "dirname",
    "realpath",
    "readlink",
    "du",
    "test",
    "[",
    "cd",
    "echo",
    "printf",
    "sha256sum",
    "md5sum",
    "tree",
    "bat",
    "ag",
    "ack",
];

/// The paths that a simple command may write and read, by everything in it that could be one.
pub fn paths_of(simple: &Simple, view: &View<'_>) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let (mut written, mut read) = (Vec::new(), Vec::new());
    let mut add = |word: &Word, text: &str, writes: bool| {
        let (text, tilde) = home_prefix(text, word.tilde);
        if text.is_empty() || text.len() > 4096 {
            return;
        }
        for path in view.absolute(&text, tilde) {
            let list = if writes { &mut written } else { &mut read };
            let clean = normal(&path);
            if let Some(real) = view.sight.real(&path).filter(|real| *real != clean) {
                list.push(real);
            }
            list.push(clean);
        }
    };
    for redirect in &simple.redirects {
        add(&redirect.file, &redirect.file.text, redirect.writes);
    }
    let reads = READERS.contains(&simple.program());
    for word in simple.words.iter().skip(1).take(200) {
        let text = word.text.as_str();
        // Prose is no path, unless there is one of that name.
        if text.contains(char::is_whitespace) {
            let here = |path: &PathBuf| view.sight.is_file(path) || view.sight.is_dir(path);
            if !view.absolute(text, word.tilde).iter().any(here) {
                continue;
            }
        }
        if !text.starts_with('-') {
            add(word, text, !reads);
        }
        if let Some((_, value)) = text.split_once('=') {
            add(word, value, !reads);
        } else if text.starts_with('-') && !text.starts_with("--") && text.contains('/') {
            add(word, text.get(2..).unwrap_or_default(), !reads);
        }
    }
    (written, read)
}

/// `$HOME/x` is read as `~/x`.
fn home_prefix(text: &str, tilde: bool) -> (String, bool) {
    for name in ["$HOME/", "${HOME}/", "~/"] {
        if let Some(rest) = text.strip_prefix(name) {
            return (format!("~/{rest}"), true);
        }
    }
    (text.to_owned(), tilde && text.starts_with('~'))
}
