//! The policy that holds in a directory: the built-in rules, the user's file, the project's.
//!
//! A user's file with a mistake is refused whole, and the last good copy stays in force; a project's is ignored. Both say so.

use super::files;
use super::finding::{Finding, Severity};
use super::policy_file::{self, DefaultsFile, PolicyFile};
use super::project::{self, Project};
use super::sources::Trust;
use crate::domain::policy::{Decision, Policy, Presence, examples};
use crate::domain::text::one_line;
use crate::fsx;
use crate::paths::{self, Home};
use std::path::Path;

/// The built-in policy: `agent_store/policy.toml` without its examples, which a test holds equal.
pub const BUILT_IN: &str = include_str!("../../agent_store/policy.json");

/// Largest policy file, in bytes.
pub const MAX_BYTES: usize = 256 * 1024;

/// In front of the id of a project's rule.
pub const PROJECT: &str = "project:";

/// Where rules come from.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Layer {
    /// `built-in`, `user`, `last good` or `project`.
    pub name: &'static str,
    /// Its file.
    pub path: Option<std::path::PathBuf>,
    /// The SHA-256 of its text, in hexadecimal digits.
    pub sha256: String,
    /// How many rules it adds.
    pub rules: usize,
}

/// A policy, where it comes from, and what was wrong on the way.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The policy.
    pub policy: Policy,
    /// Its layers; the built-in first.
    pub layers: Vec<Layer>,
    /// What somebody should look at.
    pub warnings: Vec<String>,
}

/// Loads the policy for an agent in `cwd`. `trusted` says whether a project's file with this hash was accepted: only then may its allow
/// rules count. Never fails: whatever cannot be read leaves what is stricter. Without files it costs a look for each.
pub fn load(home: &Home, cwd: &Path, trusted: &dyn Fn(&Path, &str) -> bool) -> Loaded {
    let mut loaded = built_in();
    loaded.policy.home = paths::user_home();
    loaded.policy.state = Some(home.root().to_owned());
    user(home, &mut loaded);
    project(home, cwd, trusted, &mut loaded);
    loaded
}

/// The built-in policy alone.
pub fn built_in() -> Loaded {
    let mut warnings = Vec::new();
    let file = policy_file::parse_json(BUILT_IN).unwrap_or_else(|findings| {
        warnings.extend(findings.iter().map(|f| format!("the built-in policy: {f}")));
        PolicyFile::default()
    });
    let rules: Vec<_> = file.rules.into_iter().map(|(rule, _)| rule).collect();
    Loaded {
        layers: vec![Layer {
            name: "built-in",
            path: None,
            sha256: String::new(),
            rules: rules.len(),
        }],
        policy: Policy {
            rules,
            ..Policy::default()
        },
        warnings,
    }
}

/// What is wrong with the text of a policy file, beside its form: examples that do not hold, names that are taken.
pub fn check(text: &str) -> Result<(PolicyFile, Vec<Finding>), Vec<Finding>> {
    let file = policy_file::parse(text)?;
    let built_in = built_in();
    let mut findings = Vec::new();
    for (rule, line) in &file.rules {
        let say =
            |message: String| Finding::error(format!("rule {}: {message}", rule.id)).at(*line);
        findings.extend(examples::faults(rule).into_iter().map(say));
        let known = |id: &str| built_in.policy.rules.iter().find(|rule| rule.id == id);
        if known(&rule.id).is_some() {
            findings.push(say("a built-in rule has this id".to_owned()));
        }
        for name in &rule.overrides {
            let other = known(name).map(|rule| rule.decision).or_else(|| {
                let mut own = file.rules.iter().filter(|(rule, _)| rule.id == *name);
                own.next().map(|(rule, _)| rule.decision)
            });
            match other {
                Some(Decision::Ask) => {}
                Some(decision) => findings.push(say(format!(
                    "it overrides {name}, which is no ask rule but {}",
                    decision.as_str()
                ))),
                None if name.starts_with(PROJECT) => {}
                None => findings.push(
                    Finding::warning(format!(
                        "rule {}: there is no rule {name} to override",
                        rule.id
                    ))
                    .at(*line),
                ),
            }
        }
    }
    if findings.iter().any(Finding::is_error) {
        return Err(findings);
    }
    Ok((file, findings))
}

fn user(home: &Home, loaded: &mut Loaded) {
    let path = home.policy();
    let bytes = match files::read_named(&path, MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
        Err(error) => {
            let why = files::why(&error);
            refuse(home, &format!("read {}: {why}", path.display()), loaded);
            return;
        }
    };
    let good = good_copy(home);
    let known = good.as_deref() == Some(bytes.as_slice());
    let text = String::from_utf8_lossy(&bytes);
    let checked = if known {
        policy_file::parse(&text).map(|file| (file, Vec::new()))
    } else if matches!(text, std::borrow::Cow::Owned(_)) {
        Err(vec![Finding::error("it is not UTF-8")])
    } else {
        check(&text)
    };
    match checked {
        Ok((file, findings)) => {
            warn(&path, &findings, loaded);
            if !known && let Err(error) = keep(home, &bytes) {
                let shown = home.policy_good();
                loaded
                    .warnings
                    .push(format!("keep {}: {error}", shown.display()));
            }
            add(file, "user", Some(&path), &bytes, loaded);
        }
        Err(findings) => {
            let errors: Vec<String> = findings
                .iter()
                .filter(|finding| finding.severity == Severity::Error)
                .map(ToString::to_string)
                .collect();
            let what = format!("{} is refused: {}", path.display(), errors.join("; "));
            refuse(home, &what, loaded);
        }
    }
}

/// The user's file cannot be used: its last good copy holds.
fn refuse(home: &Home, what: &str, loaded: &mut Loaded) {
    let copy = good_copy(home).and_then(|bytes| {
        let file = policy_file::parse(&String::from_utf8_lossy(&bytes)).ok()?;
        Some((file, bytes))
    });
    let Some((file, bytes)) = copy else {
        let text = format!("{what}; the built-in policy is in force");
        loaded.warnings.push(text);
        return;
    };
    let text = format!("{what}; the last good copy stays in force");
    loaded.warnings.push(text);
    add(file, "last good", Some(&home.policy_good()), &bytes, loaded);
}

const GOOD_HEAD: &str = "# The last policy.toml without a mistake; sha256 ";

/// The last good copy, if it is what was kept.
fn good_copy(home: &Home) -> Option<Vec<u8>> {
    let bytes = fsx::read_file_limited(&home.policy_good(), MAX_BYTES + 256).ok()?;
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let head = std::str::from_utf8(bytes.get(..end)?).ok()?;
    let digest = head.strip_prefix(GOOD_HEAD)?;
    let body = bytes.get(end + 1..)?;
    (project::sha256(body) == digest).then(|| body.to_vec())
}

fn keep(home: &Home, bytes: &[u8]) -> std::io::Result<()> {
    let mut copy = format!("{GOOD_HEAD}{}\n", project::sha256(bytes)).into_bytes();
    copy.extend_from_slice(bytes);
    fsx::write_atomic(&home.policy_good(), &copy)
}

fn warn(path: &Path, findings: &[Finding], loaded: &mut Loaded) {
    let text = findings.iter().map(|f| format!("{}: {f}", path.display()));
    loaded.warnings.extend(text);
}

fn add(
    file: PolicyFile,
    name: &'static str,
    path: Option<&Path>,
    bytes: &[u8],
    loaded: &mut Loaded,
) {
    let DefaultsFile {
        ask_unmatched,
        presence,
        expires_seconds,
    } = file.defaults;
    let defaults = &mut loaded.policy.defaults;
    defaults.ask_unmatched = ask_unmatched.unwrap_or(defaults.ask_unmatched);
    defaults.presence = presence.or(defaults.presence);
    defaults.expires_seconds = expires_seconds.unwrap_or(defaults.expires_seconds);
    loaded.layers.push(Layer {
        name,
        path: path.map(Path::to_owned),
        sha256: project::sha256(bytes),
        rules: file.rules.len(),
    });
    let rules = file.rules.into_iter().map(|(rule, _)| rule);
    loaded.policy.rules.extend(rules);
}

/// A project's file may tighten at once; what it allows counts when the file was accepted, and it overrides nothing. In a worktree of ours
/// the main one's file goes on to tighten: what is in the worktree is its agent's.
fn project(home: &Home, cwd: &Path, trusted: &dyn Fn(&Path, &str) -> bool, loaded: &mut Loaded) {
    let own = Project::locate(cwd, home).and_then(|project| {
        let bytes = project_file(&project, loaded)?;
        add_project(&project, &bytes, Some(trusted), loaded);
        Some(bytes)
    });
    if let Some(main) = Project::beside(cwd, home)
        && let Some(bytes) = project_file(&main, loaded)
        && own.as_ref() != Some(&bytes)
    {
        add_project(&main, &bytes, None, loaded);
    }
}

fn fault(path: &Path, why: &str) -> String {
    format!("{} is ignored: {why}", one_line(&path.to_string_lossy()))
}

/// The bytes of a project's policy, where there is one that can be read.
fn project_file(project: &Project, loaded: &mut Loaded) -> Option<Vec<u8>> {
    let read = project.open(None).and_then(|dir| match dir {
        Some(dir) => dir.read(project::POLICY, MAX_BYTES).map(Some),
        None => Ok(None),
    });
    match read {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            let text = fault(&project.policy(), &files::why(&error));
            loaded.warnings.push(text);
            None
        }
    }
}

/// Adds a project's policy. Without `trusted` it only tightens, without a word: what it allows counts in its own directory.
fn add_project(project: &Project, bytes: &[u8], trusted: Option<&Trust<'_>>, loaded: &mut Loaded) {
    let path = project.policy();
    let file = std::str::from_utf8(bytes)
        .map_err(|_| vec![Finding::error("it is not UTF-8")])
        .and_then(policy_file::parse)
        .and_then(|file| {
            let faults = file.rules.iter().flat_map(|(rule, line)| {
                let say = |why| Finding::error(format!("rule {}: {why}", rule.id)).at(*line);
                examples::faults(rule).into_iter().map(say)
            });
            let faults: Vec<Finding> = faults.collect();
            if faults.is_empty() {
                Ok(file)
            } else {
                Err(faults)
            }
        });
    let file = match file {
        Ok(file) => file,
        Err(findings) => {
            let why: Vec<String> = findings.iter().map(ToString::to_string).collect();
            loaded.warnings.push(fault(&path, &why.join("; ")));
            return;
        }
    };
    let sha256 = project::sha256(bytes);
    tighten(file.defaults, loaded);
    let before = loaded.policy.rules.len();
    for (mut rule, _) in file.rules {
        if !rule.overrides.is_empty() {
            let text = format!("rule {}: a project's rule overrides nothing", rule.id);
            loaded.warnings.push(format!("{}: {text}", path.display()));
            rule.overrides.clear();
        }
        if !rule.decision.tightens() {
            let Some(trusted) = trusted else {
                continue;
            };
            if !trusted(&path, &sha256) {
                let text = format!(
                    "{}: rule {} does not count before `conductor-hook trust {}`",
                    path.display(),
                    rule.id,
                    project.root().display()
                );
                loaded.warnings.push(one_line(&text));
                continue;
            }
        }
        rule.id = format!("{PROJECT}{}", rule.id);
        loaded.policy.rules.push(rule);
    }
    loaded.layers.push(Layer {
        name: "project",
        path: Some(path.clone()),
        sha256,
        rules: loaded.policy.rules.len() - before,
    });
}

/// Takes from a project's defaults what is stricter.
fn tighten(file: DefaultsFile, loaded: &mut Loaded) {
    let defaults = &mut loaded.policy.defaults;
    defaults.ask_unmatched |= file.ask_unmatched == Some(true);
    if let Some(presence) = file
        .presence
        .filter(|presence| *presence > Presence::Caller)
    {
        defaults.presence = defaults.presence.max(Some(presence));
    }
    if let Some(seconds) = file.expires_seconds {
        defaults.expires_seconds = defaults.expires_seconds.min(seconds);
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
