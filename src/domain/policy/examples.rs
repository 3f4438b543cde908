//! The commands, paths and tools that a rule says it matches: a rule that does something else than its author thinks is found at once.

use super::paths::{Sight, View, normal};
use super::rule::{Rule, paths_of};
use super::{Decision, Policy};
use crate::domain::shell;
use std::path::{Path, PathBuf};

/// The disk of examples: no links; `src`, `tests` and `docs` are directories; programs are the system's.
pub struct Nowhere;

impl Sight for Nowhere {
    fn real(&self, path: &Path) -> Option<PathBuf> {
        Some(normal(path))
    }

    fn is_file(&self, _: &Path) -> bool {
        false
    }

    fn is_dir(&self, path: &Path) -> bool {
        let name = path.file_name().and_then(|name| name.to_str());
        matches!(name, Some("src" | "tests" | "docs" | "work"))
    }

    fn names(&self, _: &Path) -> Option<Vec<String>> {
        Some(Vec::new())
    }

    fn program(&self, name: &str, _: &Path) -> Option<PathBuf> {
        Some(Path::new("/usr/bin").join(name))
    }
}

/// The working directory of examples.
pub const CWD: &str = "/home/user/work";
/// The home directory of examples.
pub const HOME: &str = "/home/user";
/// The state directory of examples.
pub const STATE: &str = "/home/user/.conductor";

/// The policy that examples are judged in: without rules, and with the directories above.
pub fn empty_policy() -> Policy {
    Policy {
        home: Some(HOME.into()),
        state: Some(STATE.into()),
        ..Policy::default()
    }
}

/// What is wrong with the examples of a rule, a sentence each.
pub fn faults(rule: &Rule) -> Vec<String> {
    let policy = empty_policy();
    let root = rule.cwd.clone().unwrap_or_else(|| CWD.into());
    let view = View::new(&policy, &Nowhere, root);
    let matches = rule.examples.matches.iter();
    let missed = matches
        .filter(|text| !is_match(rule, text, &view))
        .map(|text| format!("its example {text:?} does not match"));
    let not_matches = rule.examples.not_matches.iter();
    let caught = not_matches
        .filter(|text| is_match(rule, text, &view))
        .map(|text| format!("it matches {text:?}, which it should not"));
    missed.chain(caught).collect()
}

fn is_match(rule: &Rule, text: &str, view: &View<'_>) -> bool {
    if rule.names_commands() {
        return matches_command(rule, text, view);
    }
    if rule.names_paths() {
        let text = text.replace("{state}", STATE);
        let paths: Vec<PathBuf> = view
            .absolute(&text, text.starts_with("~/"))
            .iter()
            .map(|path| normal(path))
            .collect();
        return rule.paths_match(&paths, &paths, view);
    }
    rule.concerns(text, "")
}

fn matches_command(rule: &Rule, text: &str, view: &View<'_>) -> bool {
    let script = shell::read(text);
    let strict = matches!(rule.decision, Decision::Allow | Decision::Defer);
    if strict && !script.is_complete() {
        return false;
    }
    script.commands.iter().any(|simple| {
        let fits = if strict {
            rule.matches_strictly(simple, view)
        } else {
            rule.matches_loosely(simple)
        };
        fits && (!rule.names_paths() || {
            let (written, read) = paths_of(simple, view);
            rule.paths_match(&written, &read, view)
        })
    })
}
