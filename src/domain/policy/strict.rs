//! When a rule that allows or defers matches a simple command: only when it names everything that is there.

use super::flags::{Flags, Value, is_plain};
use super::paths::{View, glob};
use super::rule::{Operands, Rule, any_word_exactly, argv_matches, has_flag};
use crate::domain::shell::{Simple, Word};
use std::path::Path;

/// Directories whose programs nobody but the system's owner puts there.
pub const SYSTEM: [&str; 8] = [
    "/bin",
    "/usr/bin",
    "/usr/local/bin",
    "/sbin",
    "/usr/sbin",
    "/opt/homebrew/bin",
    "/nix/store",
    "/run/current-system/sw/bin",
];

/// Directories that anybody may write to.
const SHARED: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];

/// Programs that a shell has inside.
const INSIDE: [&str; 8] = ["echo", "printf", "pwd", "test", "[", "true", "false", "cd"];

impl Rule {
    /// Whether a rule that allows or defers matches a simple command of a script that was understood; paths are looked at elsewhere.
    pub fn matches_strictly(&self, simple: &Simple, view: &View<'_>) -> bool {
        let Some(words) = simple.words.get(1..) else {
            return false;
        };
        let quiet = simple.assigns.is_empty()
            && simple.input.is_none()
            && simple.redirects.is_empty()
            && !simple.words.iter().any(|word| word.dynamic)
            && !view.cwds.is_empty();
        quiet
            && self.names_program(simple)
            && is_at_home(simple, view)
            && (simple.program() != "git" || repository_is_plain(words, view))
            && self.argv.as_deref().is_none_or(|tokens| {
                argv_matches(tokens, &simple.words, &|token, word| {
                    word.is_plain() && token == word.text
                })
            })
            && (self.any_flag.is_empty() || self.any_flag.iter().any(|flag| has_flag(flag, words)))
            && (self.any_arg.is_empty() || any_word_exactly(&self.any_arg, words))
            && !any_word_exactly(&self.unless_arg, words)
            && self.cwd.as_deref().is_none_or(|dir| {
                let mut cwds = view.cwds.iter();
                cwds.all(|cwd| cwd.starts_with(dir))
            })
            && (self.argv.is_some() || self.arguments_fit(words, view))
    }

    fn names_program(&self, simple: &Simple) -> bool {
        let Some(word) = simple.words.first() else {
            return false;
        };
        if self.argv.is_some() && self.program.is_empty() {
            return true;
        }
        let text = word.text.as_str();
        let name = match text.rsplit_once('/') {
            Some((dir, name)) if SYSTEM.contains(&dir) => name,
            _ => text,
        };
        let mut names = self.program.iter();
        self.program.is_empty() && !self.names_commands() || names.any(|p| glob(p, name, false))
    }

    /// Options and operands against the lists of the rule.
    fn arguments_fit(&self, words: &[Word], view: &View<'_>) -> bool {
        let mut at = 0;
        if !self.subcommand.is_empty() {
            let Some(behind) = self.behind_subcommand(words, view) else {
                return false;
            };
            at = behind;
        }
        let mut operands: Vec<&Word> = Vec::new();
        let mut pattern_given = false;
        while let Some(word) = words.get(at) {
            if word.text == "--" && word.is_plain() {
                let behind = words.get(at + 1..).unwrap_or_default();
                match &self.rest {
                    Some(rest) => {
                        if !takes_all(rest, behind, view) {
                            return false;
                        }
                    }
                    None => operands.extend(behind),
                }
                break;
            }
            if word.text.starts_with('-') && word.text.len() > 1 {
                let taken = match &self.flags {
                    Some(flags) => match flags.take(words.get(at..).unwrap_or_default()) {
                        Some(taken) if values_fit(&taken.values, view) => taken.words,
                        _ => return false,
                    },
                    None => 1,
                };
                pattern_given |= ["-e", "-f", "--regexp", "--file"]
                    .iter()
                    .any(|flag| has_flag(flag, std::slice::from_ref(word)));
                at += taken;
                continue;
            }
            operands.push(word);
            at += 1;
        }
        self.max_operands.is_none_or(|most| operands.len() <= most)
            && self.operands_fit(&operands, pattern_given, view)
    }

    /// The number of words up to the end of the subcommand.
    fn behind_subcommand(&self, words: &[Word], view: &View<'_>) -> Option<usize> {
        let mut at = 0;
        while words.get(at)?.text.starts_with('-') {
            let taken = self.flags_before.take(words.get(at..)?)?;
            if !values_fit(&taken.values, view) {
                return None;
            }
            at += taken.words;
        }
        let rest = words.get(at..)?;
        let found = self.subcommand.iter().find(|subcommand| {
            subcommand.len() <= rest.len()
                && subcommand
                    .iter()
                    .zip(rest)
                    .all(|(wanted, word)| word.is_plain() && word.text == *wanted)
        })?;
        Some(at + found.len())
    }

    fn operands_fit(&self, operands: &[&Word], pattern_given: bool, view: &View<'_>) -> bool {
        let inside =
            |word: &&Word, accept: &dyn Fn(&Path) -> bool| view.operand_inside(word, accept);
        let any = |_: &Path| true;
        let mut words = operands.iter();
        match self.operands {
            Operands::None => operands.is_empty(),
            Operands::Text => words.all(|word| word.is_plain()),
            Operands::Paths => words.all(|word| inside(word, &any)),
            Operands::Files => words.all(|word| inside(word, &|path| !view.sight.is_dir(path))),
            Operands::Dirs => {
                let is_dir = |path: &Path| view.sight.is_dir(path);
                !operands.is_empty() && words.all(|word| word.text != "-" && inside(word, &is_dir))
            }
            Operands::PatternPaths => {
                let pattern = usize::from(!pattern_given);
                words.by_ref().take(pattern).all(|word| word.is_plain())
                    && words.all(|word| inside(word, &any))
            }
            // `@` is a revision; a revision that looks like a path outside is refused with the path.
            Operands::Revisions => words.all(|word| {
                !word.text.contains(":(")
                    && (word.is_plain() && view.inside(&word.text, false) || inside(word, &any))
            }),
            Operands::Tests => words.all(|word| {
                let file = word.text.split("::").next().unwrap_or_default();
                word.is_plain()
                    && !file.starts_with('@')
                    && view.inside(file, false)
                    && view.inside(&word.text, false)
            }),
            Operands::Plain => words.all(|word| {
                is_plain(&word.text) && word.is_plain() || word.text == "]" && !word.dynamic
            }),
            Operands::Plus => words.all(|word| word.is_plain() && word.text.starts_with('+')),
        }
    }
}

fn takes_all(flags: &Flags, words: &[Word], view: &View<'_>) -> bool {
    let mut at = 0;
    while at < words.len() {
        match flags.take(words.get(at..).unwrap_or_default()) {
            Some(taken) if values_fit(&taken.values, view) => at += taken.words,
            _ => return false,
        }
    }
    true
}

fn values_fit(values: &[(Value, &str)], view: &View<'_>) -> bool {
    values.iter().all(|(value, text)| match value {
        Value::Path => !text.starts_with('@') && view.inside(text, false),
        Value::Plain => is_plain(text),
        Value::None | Value::Text | Value::Optional => true,
    })
}

/// Whether the program is not one that the project, or anybody, has put in the way.
fn is_at_home(simple: &Simple, view: &View<'_>) -> bool {
    let Some(word) = simple.words.first() else {
        return false;
    };
    let name = word.text.as_str();
    if name.contains('/') || INSIDE.contains(&name) {
        return true;
    }
    view.cwds.iter().all(|cwd| {
        let Some(found) = view.sight.program(name, cwd) else {
            return true;
        };
        let real = view.sight.real(&found).unwrap_or_else(|| found.clone());
        let shared = |path: &Path| SHARED.iter().any(|dir| path.starts_with(dir));
        let ours = |path: &Path| path.starts_with(&view.root);
        !(ours(&found) || ours(&real) || shared(&found) || shared(&real))
    })
}

/// Whether git would take the repository that everybody sees: a directory that looks like a bare repository can be part of a project, and
/// its settings name programs that git runs.
fn repository_is_plain(words: &[Word], view: &View<'_>) -> bool {
    let mut dirs = view.cwds.clone();
    let targets = words.iter().zip(words.iter().skip(1));
    for (flag, value) in targets.filter(|(flag, _)| flag.text.starts_with("-C")) {
        let joined = flag.text.get(2..).filter(|rest| !rest.is_empty());
        dirs.extend(view.absolute(joined.unwrap_or(&value.text), false));
    }
    let bare = |dir: &Path| {
        view.sight.is_file(&dir.join("HEAD"))
            && (view.sight.is_dir(&dir.join("objects")) || view.sight.is_file(&dir.join("config")))
    };
    dirs.iter().all(|dir| {
        let Some(real) = view.sight.real(dir) else {
            return false;
        };
        let mut ancestors = real.ancestors().take_while(|at| at.starts_with(&view.root));
        ancestors.all(|at| !bare(at))
    })
}
