//! The text of a command line -> simple commands.

use super::{Joint, MAX_BYTES, MAX_COMMANDS, MAX_DEPTH, Redirect, Script, Simple, Word, unwrap};
use crate::domain::text::is_unsafe;

/// Reads a command line, and what the commands in it would run in turn.
pub fn read(text: &str) -> Script {
    let mut script = Script::default();
    read_into(text, 0, &mut script);
    let mut at = 0;
    while at < script.commands.len() {
        unwrap::unwrap(at, &mut script);
        at += 1;
    }
    script
}

/// Reads `text`, which stands at `depth`, and adds what is in it to `script`.
pub(super) fn read_into(text: &str, depth: usize, script: &mut Script) {
    if text.len() > MAX_BYTES {
        script.doubt(format!(
            "it is longer than {MAX_BYTES} bytes: only the beginning was read"
        ));
    }
    if depth > MAX_DEPTH {
        script.doubt("it nests deeper than is read");
        return;
    }
    let mut reader = Reader::new(text, depth, script);
    reader.check_characters();
    reader.list(End::Text);
}

/// What ends a list of commands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The end of the text.
    Text,
    /// A closing parenthesis.
    Paren,
}

/// A here-document whose text comes after the line.
struct Waiting {
    /// Index of its command in the script, or `None` when the command is not finished.
    command: Option<usize>,
    delimiter: String,
    quoted: bool,
    tabs: bool,
}

pub(super) struct Reader<'a> {
    pub(super) text: Vec<char>,
    pub(super) at: usize,
    pub(super) depth: usize,
    pub(super) script: &'a mut Script,
    /// How many here-documents inside quotes were tried; each try looks at the rest of the text.
    pub(super) tries: usize,
    waiting: Vec<Waiting>,
}

/// What has been read of a simple command.
#[derive(Default)]
struct Draft {
    simple: Simple,
    /// Words are read but are no command (`for x in …`).
    skip: bool,
    /// Something stood here, though no command.
    seen: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &str, depth: usize, script: &'a mut Script) -> Self {
        Self {
            text: text.chars().take(MAX_BYTES).collect(),
            at: 0,
            depth,
            script,
            tries: 0,
            waiting: Vec::new(),
        }
    }
}

impl Reader<'_> {
    pub(super) fn peek(&self, ahead: usize) -> Option<char> {
        self.text.get(self.at + ahead).copied()
    }

    pub(super) fn rest_starts(&self, what: &str) -> bool {
        what.chars()
            .enumerate()
            .all(|(ahead, c)| self.peek(ahead) == Some(c))
    }

    pub(super) fn doubt(&mut self, what: impl Into<String>) {
        self.script.doubt(what);
    }

    fn check_characters(&mut self) {
        let odd = self.text.iter().copied().find(|c| {
            is_unsafe(*c) && !matches!(c, '\n' | '\t')
                || c.is_whitespace() && !matches!(c, ' ' | '\n' | '\t')
                || *c == '\u{fffd}'
        });
        if let Some(c) = odd {
            self.doubt(format!(
                "it holds the character U+{:04X}, which does not show",
                u32::from(c)
            ));
        }
    }

    /// Reads commands up to `end`, which is consumed.
    pub(super) fn list(&mut self, end: End) {
        let mut draft = Draft::default();
        let mut before = Joint::Next;
        loop {
            self.blanks();
            let Some(c) = self.peek(0) else {
                if end == End::Paren {
                    self.doubt("a parenthesis is not closed");
                }
                if before != Joint::Next && !draft.seen {
                    self.doubt("nothing stands behind an operator");
                }
                self.finish(&mut draft, &mut before, Joint::Next);
                self.documents();
                return;
            };
            match c {
                '\n' => {
                    self.at += 1;
                    // A newline behind an operator ends nothing.
                    if draft.seen {
                        self.finish(&mut draft, &mut before, Joint::Next);
                    }
                    self.documents();
                }
                '#' => {
                    while self.peek(0).is_some_and(|c| c != '\n') {
                        self.at += 1;
                    }
                }
                ';' | '&' | '|' => self.operator(&mut draft, &mut before),
                '(' => self.open(&mut draft),
                ')' => {
                    self.at += 1;
                    if end == End::Paren {
                        self.finish(&mut draft, &mut before, Joint::Next);
                        self.documents();
                        return;
                    }
                    self.doubt("a parenthesis that closes nothing");
                    draft.skip = false;
                    draft.seen = true;
                    self.finish(&mut draft, &mut before, Joint::Next);
                }
                '<' | '>' if matches!(self.peek(1), Some('(')) => self.word(&mut draft, before),
                '<' | '>' => self.redirect(&mut draft, false),
                _ => self.word(&mut draft, before),
            }
        }
    }

    fn blanks(&mut self) {
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some(' ' | '\t'), _) => self.at += 1,
                (Some('\\'), Some('\n')) => self.at += 2,
                _ => return,
            }
        }
    }

    fn operator(&mut self, draft: &mut Draft, before: &mut Joint) {
        let (joint, length) = match (self.peek(0), self.peek(1)) {
            (Some('&'), Some('&')) => (Joint::And, 2),
            (Some('|'), Some('|')) => (Joint::Or, 2),
            (Some('|'), Some('&')) => {
                self.doubt("the operator |&");
                (Joint::Pipe, 2)
            }
            (Some('|'), _) => (Joint::Pipe, 1),
            (Some('&'), Some('>')) => {
                self.at += 1;
                self.redirect(draft, true);
                return;
            }
            (Some('&'), _) => {
                self.doubt("it goes on in the background (&)");
                (Joint::Next, 1)
            }
            (Some(';'), Some(';' | '&')) => {
                self.doubt("a case statement");
                (Joint::Next, 2)
            }
            _ => (Joint::Next, 1),
        };
        if !draft.seen {
            self.doubt("nothing stands in front of an operator");
        }
        self.at += length;
        self.finish(draft, before, joint);
    }

    fn open(&mut self, draft: &mut Draft) {
        self.at += 1;
        let joined = self.at >= 2
            && self
                .text
                .get(self.at - 2)
                .is_some_and(|c| !c.is_whitespace() && !";&|(){}".contains(*c));
        if draft.simple.words.is_empty() && draft.simple.assigns.is_empty() {
            self.doubt("a subshell ( … )");
        } else if self.peek(0) == Some(')') {
            // name() { … }
            self.at += 1;
            self.doubt("a function definition");
            *draft = Draft::default();
            return;
        } else if joined {
            self.doubt("a list or pattern in parentheses");
        } else {
            self.doubt("a parenthesis inside a command");
        }
        draft.seen = true;
        if self.depth >= MAX_DEPTH {
            self.doubt("it nests deeper than is read");
            self.at = self.text.len();
            return;
        }
        self.depth += 1;
        self.list(End::Paren);
        self.depth -= 1;
        if draft.skip {
            // `case x in (a) …`: a command follows the pattern.
            *draft = Draft {
                seen: true,
                ..Draft::default()
            };
        }
    }

    fn finish(&mut self, draft: &mut Draft, before: &mut Joint, after: Joint) {
        let mut done = std::mem::take(draft);
        let front = std::mem::replace(before, after);
        let mut index = None;
        if !done.simple.words.is_empty() && !done.skip {
            done.simple.before = front;
            done.simple.after = after;
            done.simple.depth = self.depth;
            if evaluates(&done.simple) {
                let name = done.simple.program().to_owned();
                self.doubt(format!("{name} evaluates the name of a variable"));
            }
            if self.script.commands.len() >= MAX_COMMANDS {
                self.doubt(format!("it holds more than {MAX_COMMANDS} commands"));
            } else {
                index = Some(self.script.commands.len());
                self.script.commands.push(done.simple);
            }
        } else if !done.simple.redirects.is_empty() {
            // `> file` alone empties the file: a command without a name.
            done.simple.words.push(Word::literal(":"));
            done.simple.depth = self.depth;
            index = Some(self.script.commands.len());
            self.script.commands.push(done.simple);
        }
        for waiting in &mut self.waiting {
            waiting.command = waiting.command.or(index);
        }
    }

    fn word(&mut self, draft: &mut Draft, before: Joint) {
        let start = self.at;
        let Some(word) = self.read_word() else {
            // No progress is possible on this character: it is passed over, and said.
            self.doubt("a character that was not expected");
            self.at = self.at.max(start + 1);
            return;
        };
        draft.seen = true;
        let bare = !word.quoted && !word.dynamic;
        // `2>` and `2<`: the digits belong to the redirection.
        if bare
            && !word.text.is_empty()
            && word.text.bytes().all(|b| b.is_ascii_digit())
            && matches!(self.peek(0), Some('<' | '>'))
        {
            self.redirect(draft, false);
            return;
        }
        if bare && word.text == "{" && !draft.simple.words.is_empty() {
            self.doubt("a group { … }");
            let mut joint = Joint::Next;
            self.finish(draft, &mut joint, Joint::Next);
            return;
        }
        let first = draft.simple.words.is_empty() && !draft.skip;
        if !first {
            draft.simple.words.push(word);
            return;
        }
        if bare && self.keyword(&word.text, draft, before) {
            return;
        }
        if is_assignment(&self.text, start, &word) {
            self.doubt(format!(
                "the variable {} is set",
                word.text.split(['=', '+', '[']).next().unwrap_or_default()
            ));
            draft.simple.assigns.push(word.text);
            return;
        }
        self.check_program(&word);
        draft.simple.words.push(word);
    }

    /// Handles a reserved word in the place of a program; `false` when it is none.
    fn keyword(&mut self, word: &str, draft: &mut Draft, before: Joint) -> bool {
        match word {
            "!" => self.doubt("a negation (!)"),
            "if" | "then" | "elif" | "else" | "fi" => self.doubt("an if statement"),
            "while" | "until" | "do" | "done" => self.doubt("a loop"),
            "for" | "select" | "foreach" | "repeat" => {
                self.doubt("a loop");
                draft.skip = true;
            }
            "case" | "esac" => {
                self.doubt("a case statement");
                draft.skip = word == "case";
            }
            "{" | "}" => self.doubt("a group { … }"),
            "function" => {
                self.doubt("a function definition");
                self.blanks();
                if self.read_word().is_none() {
                    self.at += 1;
                }
            }
            "coproc" => self.doubt("a coprocess"),
            // Behind a pipe, and with an option other than -p, it is the program of that name.
            "time" if before == Joint::Pipe => return false,
            "time" => {
                self.blanks();
                let here = self.at;
                match self.read_word() {
                    Some(next) if next.quoted || next.text.starts_with('-') => {
                        self.doubt("time with an option");
                        if next.text != "-p" {
                            self.at = here;
                            return false;
                        }
                    }
                    Some(_) => self.at = here,
                    None => self.doubt("time without a command"),
                }
            }
            _ => return false,
        }
        true
    }

    fn check_program(&mut self, word: &Word) {
        if word.dynamic {
            self.doubt(format!(
                "which program runs is known only then: {}",
                word.text
            ));
        } else if word.glob.is_some() && word.text != "[" {
            self.doubt(format!(
                "which program runs depends on the files here: {}",
                word.text
            ));
        } else if word.tilde {
            self.doubt(format!(
                "which program runs depends on the home directory: {}",
                word.text
            ));
        } else if word.text.is_empty() {
            self.doubt("a program without a name");
        } else if !word.text.chars().all(|c| c.is_ascii_graphic()) {
            self.doubt(format!(
                "the program's name holds more than letters, digits and signs: {}",
                word.text
            ));
        } else if changes_meaning(&word.text) {
            self.doubt(format!("{} changes what later words mean", word.text));
        }
    }

    fn redirect(&mut self, draft: &mut Draft, both: bool) {
        draft.seen = true;
        let writes = both || self.peek(0) == Some('>') || self.rest_starts("<>");
        let sign: &[&str] = &["<<<", "<<-", "<<", "<>", "<&", "<", ">>", ">&", ">|", ">"];
        let sign = sign
            .iter()
            .find(|sign| self.rest_starts(sign))
            .copied()
            .unwrap_or(">");
        self.at += sign.chars().count();
        self.blanks();
        if sign.starts_with("<<") && sign != "<<<" {
            self.document(sign == "<<-");
            return;
        }
        let Some(word) = self.read_word() else {
            self.doubt("a redirection without a file");
            return;
        };
        if sign == "<<<" {
            self.doubt("a here-string (<<<)");
            draft.simple.input = Some(word.text);
            return;
        }
        let digits = !word.text.is_empty() && word.text.bytes().all(|b| b.is_ascii_digit());
        if sign.ends_with('&') && word.is_plain() && (digits || word.text == "-") {
            return;
        }
        if word.is_plain() && word.text == "/dev/null" {
            return;
        }
        let way = if writes { "to" } else { "from" };
        self.doubt(format!("a redirection {way} the file {}", word.text));
        draft.simple.redirects.push(Redirect { file: word, writes });
    }

    fn document(&mut self, tabs: bool) {
        self.doubt("a here-document");
        let Some(word) = self.read_word() else {
            self.doubt("a here-document without its end");
            return;
        };
        self.waiting.push(Waiting {
            command: None,
            delimiter: word.text,
            quoted: word.quoted,
            tabs,
        });
    }

    /// Reads the here-documents that wait for the end of their line.
    fn documents(&mut self) {
        for waiting in std::mem::take(&mut self.waiting) {
            let mut body = String::new();
            loop {
                let mut line = String::new();
                while let Some(c) = self.peek(0).filter(|c| *c != '\n') {
                    line.push(c);
                    self.at += 1;
                }
                let ended = self.peek(0).is_none();
                self.at += 1;
                let bare = if waiting.tabs {
                    line.trim_start_matches('\t')
                } else {
                    &line
                };
                if bare == waiting.delimiter {
                    break;
                }
                body.push_str(bare);
                body.push('\n');
                if ended {
                    break;
                }
            }
            self.at = self.at.min(self.text.len());
            if !waiting.quoted {
                self.substitutions(&body);
            }
            if let Some(command) = waiting
                .command
                .and_then(|index| self.script.commands.get_mut(index))
            {
                command.input = Some(body);
            }
        }
    }
}

/// Whether a word in the place of a program sets a variable: an unquoted `NAME=`, `NAME+=` or `NAME[…]=`.
fn is_assignment(text: &[char], start: usize, word: &Word) -> bool {
    let mut at = start;
    // A backslash in front of a newline joins two lines, also inside a name.
    let mut chars = std::iter::from_fn(|| {
        while text.get(at..at + 2) == Some(&['\\', '\n']) {
            at += 2;
        }
        at += 1;
        text.get(at - 1).copied()
    });
    let Some(first) = chars.next() else {
        return false;
    };
    if !(first.is_ascii_alphabetic() || first == '_') || !word.text.contains('=') {
        return false;
    }
    for c in chars {
        match c {
            '=' | '[' => return true,
            '+' => {}
            c if c.is_ascii_alphanumeric() || c == '_' => {}
            _ => return false,
        }
    }
    false
}

/// Whether a builtin would run the substitutions in a variable's subscript: `test -v 'a[$(x)]'`, `printf -v …`.
pub(super) fn evaluates(simple: &Simple) -> bool {
    let mut words = simple.words.iter().skip(1);
    match simple.program() {
        "test" | "[" => words.any(|word| {
            word.text.contains(['$', '`', '[']) || matches!(word.text.as_str(), "-v" | "-R")
        }),
        "printf" => words.any(|word| word.text.starts_with("-v")),
        _ => false,
    }
}

/// Builtins after which a word may mean something else, or that run what they are given.
pub(super) fn changes_meaning(program: &str) -> bool {
    matches!(
        program,
        "alias"
            | "unalias"
            | "eval"
            | "source"
            | "."
            | "exec"
            | "builtin"
            | "enable"
            | "disable"
            | "hash"
            | "rehash"
            | "set"
            | "shopt"
            | "setopt"
            | "unsetopt"
            | "emulate"
            | "export"
            | "declare"
            | "typeset"
            | "local"
            | "readonly"
            | "integer"
            | "float"
            | "unset"
            | "read"
            | "mapfile"
            | "readarray"
            | "getopts"
            | "let"
            | "trap"
            | "bind"
            | "bindkey"
            | "complete"
            | "compgen"
            | "autoload"
            | "functions"
            | "zmodload"
            | "zle"
            | "sched"
            | "fc"
            | "history"
            | "pushd"
            | "popd"
            | "[["
            | "umask"
            | "ulimit"
            | "wait"
            | "noglob"
            | "nocorrect"
            | "-"
    )
}
