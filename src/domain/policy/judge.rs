//! A policy and a call -> a ruling.

use super::paths::{Sight, View, normal};
use super::rule::{Rule, paths_of};
use super::{Action, Call, Decision, Defaults, Need, Policy, Presence, Risk, Ruling, scripts};
use crate::domain::shell::{self, Joint, Script, Simple};
use std::path::PathBuf;

/// What has been found about a call so far.
struct Weighing<'a> {
    decision: Option<Decision>,
    rule: Option<&'a Rule>,
    /// The part of the call that the rule matched.
    part: String,
    risk: Risk,
    presence: Option<Presence>,
    /// The risk comes from text that was not understood, not from a rule alone.
    by_text: bool,
    unmatched: Vec<String>,
    needs: Vec<Need>,
    defaults: &'a Defaults,
}

impl<'a> Weighing<'a> {
    const fn new(defaults: &'a Defaults) -> Self {
        Self {
            decision: None,
            rule: None,
            part: String::new(),
            risk: Risk::Low,
            presence: None,
            by_text: false,
            unmatched: Vec::new(),
            needs: Vec::new(),
            defaults,
        }
    }

    fn hit(&mut self, rule: &'a Rule, part: &str) {
        if rule.decision.tightens() {
            self.risk = self.risk.max(rule.risk());
        }
        if rule.decision == Decision::Ask {
            let presence = rule
                .presence
                .unwrap_or_else(|| self.defaults.presence_for(rule.risk()));
            self.presence = self.presence.max(Some(presence));
        }
        let stricter = self.decision.is_none_or(|so_far| rule.decision > so_far);
        let graver = self.decision == Some(rule.decision)
            && self.rule.is_some_and(|so_far| rule.risk() > so_far.risk());
        if stricter || graver {
            self.decision = self.decision.max(Some(rule.decision));
            self.rule = Some(rule);
            part.clone_into(&mut self.part);
        }
    }

    /// Something that no rule matches is left to `decision`.
    fn miss(&mut self, part: String, decision: Decision) {
        if decision > Decision::Allow {
            self.risk = self.risk.max(Risk::Medium);
        }
        if self.decision.is_none_or(|so_far| decision > so_far) {
            self.decision = Some(decision);
            self.rule = None;
        }
        self.unmatched.push(part);
    }
}

/// Judges a call. Costs some tens of microseconds, and some looks at the disk for each path in it.
pub fn judge(policy: &Policy, call: &Call<'_>, sight: &dyn Sight) -> Ruling {
    let root = sight.real(call.cwd).unwrap_or_else(|| normal(call.cwd));
    let mut view = View::new(policy, sight, root);
    if let Some(start) = call.start {
        view.cwds = vec![sight.real(start).unwrap_or_else(|| normal(start))];
    }
    let rules: Vec<&Rule> = policy
        .rules
        .iter()
        .filter(|rule| concerns(rule, call))
        .collect();
    let mut weighing = Weighing::new(&policy.defaults);
    let mut script = Script::default();
    let mut files = Vec::new();
    for rule in &rules {
        let about_the_tool = !rule.tool.is_empty() && !rule.names_commands() && !rule.names_paths();
        if about_the_tool {
            weighing.hit(rule, call.tool);
        }
    }
    match call.action {
        Action::Shell { command } => {
            script = shell::read(command);
            if script.commands.is_empty() {
                weighing.miss("no command".to_owned(), unmatched(policy, call));
            }
            weigh_script(&rules, call, &mut view, &script, &mut weighing, &mut files);
            if !script.is_complete() {
                weigh_text(&rules, command, &mut weighing);
            }
        }
        Action::Read { paths } => weigh_paths(&rules, call, &view, paths, false, &mut weighing),
        Action::Write { paths } => weigh_paths(&rules, call, &view, paths, true, &mut weighing),
        Action::Own => {
            if weighing.decision.is_none() {
                weighing.decision = Some(if call.agent_asks {
                    Decision::Defer
                } else {
                    Decision::Allow
                });
            }
        }
        Action::Fetch { .. } | Action::Mcp { .. } | Action::Other => {
            if weighing.decision.is_none() {
                weighing.miss(call.tool.to_owned(), unmatched(policy, call));
            }
        }
    }
    conclude(policy, weighing, script, files)
}

fn concerns(rule: &Rule, call: &Call<'_>) -> bool {
    if let Action::Mcp { server, tool } = call.action {
        let name = format!("mcp__{server}__{tool}");
        // The name in the agent's words counts only against it.
        return rule.concerns(&name, call.profile)
            || rule.decision.tightens() && rule.concerns(call.tool, call.profile);
    }
    rule.concerns(call.tool, call.profile)
}

/// What happens to what no rule matches.
fn unmatched(policy: &Policy, call: &Call<'_>) -> Decision {
    if policy.defaults.ask_unmatched || !call.agent_asks {
        Decision::Ask
    } else {
        Decision::Defer
    }
}

fn weigh_script<'a>(
    rules: &[&'a Rule],
    call: &Call<'_>,
    view: &mut View<'_>,
    script: &Script,
    weighing: &mut Weighing<'a>,
    files: &mut Vec<PathBuf>,
) {
    let complete = script.is_complete();
    // Where a command may stand when an earlier `cd` failed.
    let mut fallback: Vec<PathBuf> = Vec::new();
    for simple in &script.commands {
        if simple.depth == 0 && simple.before != Joint::And {
            for cwd in fallback.drain(..) {
                if !view.cwds.is_empty() && !view.cwds.contains(&cwd) {
                    view.cwds.push(cwd);
                }
            }
        }
        scripts::collect(simple, view, files);
        let allowed = weigh_command(rules, call, view, simple, complete, weighing);
        if moves(simple.program()) {
            follow(simple, allowed, view, &mut fallback);
        }
    }
}

fn moves(program: &str) -> bool {
    matches!(program, "cd" | "chdir" | "pushd" | "popd")
}

/// Where the commands behind a `cd` stand.
fn follow(simple: &Simple, allowed: bool, view: &mut View<'_>, fallback: &mut Vec<PathBuf>) {
    let target = simple.words.iter().skip(1).find(|word| word.text != "--");
    let plain = simple.depth == 0 && simple.before != Joint::Pipe && simple.after == Joint::And;
    let (true, true, Some(target)) = (plain, allowed, target) else {
        view.cwds.clear();
        return;
    };
    let paths = view.absolute(&target.text, target.tilde);
    let real: Option<Vec<PathBuf>> = paths.iter().map(|path| view.sight.real(path)).collect();
    fallback.append(&mut view.cwds);
    view.cwds = real.unwrap_or_default();
}

/// Weighs one simple command; whether it is allowed.
fn weigh_command<'a>(
    rules: &[&'a Rule],
    call: &Call<'_>,
    view: &View<'_>,
    simple: &Simple,
    complete: bool,
    weighing: &mut Weighing<'a>,
) -> bool {
    let part = simple.argv().join(" ");
    let mut paths = None;
    let mut hits: Vec<&'a Rule> = Vec::new();
    for rule in rules.iter().copied() {
        if !rule.names_commands() && !rule.names_paths() {
            continue;
        }
        let fits = if rule.decision.tightens() {
            rule.matches_loosely(simple)
        } else {
            complete && rule.names_commands() && rule.matches_strictly(simple, view)
        };
        if !fits {
            continue;
        }
        if rule.names_paths() {
            if simple.wrapper {
                continue;
            }
            let (written, read) = paths.get_or_insert_with(|| paths_of(simple, view));
            if !rule.paths_match(written, read, view) {
                continue;
            }
        }
        hits.push(rule);
    }
    let replaced: Vec<&str> = hits
        .iter()
        .filter(|rule| rule.decision == Decision::Allow)
        .flat_map(|rule| rule.overrides.iter().map(String::as_str))
        .collect();
    hits.retain(|rule| rule.decision != Decision::Ask || !replaced.contains(&rule.id.as_str()));
    for rule in &hits {
        weighing.hit(rule, &part);
    }
    let allowed = hits.iter().any(|rule| rule.decision == Decision::Allow);
    let asked_by: Vec<String> = hits
        .iter()
        .filter(|rule| rule.decision == Decision::Ask)
        .map(|rule| rule.id.clone())
        .collect();
    if !simple.wrapper && (!allowed || !asked_by.is_empty()) || !asked_by.is_empty() {
        weighing.needs.push(Need {
            argv: simple.argv(),
            asked_by,
        });
    }
    if hits.is_empty() && !simple.wrapper {
        weighing.miss(part, unmatched(view.policy, call));
    }
    allowed && hits.iter().all(|rule| rule.decision == Decision::Allow)
}

/// Looks for what high-risk rules name anywhere in a text that was not understood. It can raise the risk, and nothing else: the text may
/// only speak of it.
fn weigh_text(rules: &[&Rule], text: &str, weighing: &mut Weighing<'_>) {
    let grave = |rule: &&&Rule| rule.decision.tightens() && rule.risk() == Risk::High;
    let words: Vec<&str> = text
        .split(|c: char| !(c.is_ascii_alphanumeric() || "_-.+".contains(c)))
        .filter(|word| !word.is_empty())
        .take(2000)
        .collect();
    let named = |rule: &Rule| {
        let bare = rule.any_flag.is_empty() && rule.any_arg.is_empty() && !rule.program.is_empty();
        bare && words.iter().enumerate().any(|(at, word)| {
            let subs = &rule.subcommand;
            let next = words.get(at + 1).copied().unwrap_or_default();
            rule.concerns_program(word)
                && (subs.is_empty()
                    || subs
                        .iter()
                        .any(|sub| sub.first().is_some_and(|s| s == next)))
        })
    };
    let pathed = |rule: &Rule| {
        let patterns = rule.paths_write.iter().chain(&rule.paths_read);
        let mut hints = patterns
            .map(|pattern| pattern.hint())
            .filter(|hint| hint.len() > 5);
        rule.program.is_empty() && hints.any(|hint| text.contains(hint))
    };
    if rules
        .iter()
        .filter(grave)
        .any(|rule| named(rule) || pathed(rule))
    {
        weighing.risk = Risk::High;
        weighing.by_text = true;
    }
}

fn weigh_paths<'a>(
    rules: &[&'a Rule],
    call: &Call<'_>,
    view: &View<'_>,
    paths: &[String],
    writes: bool,
    weighing: &mut Weighing<'a>,
) {
    for text in paths {
        let found = view.absolute(text, text.starts_with("~/"));
        let mut all: Vec<PathBuf> = found.iter().map(|path| normal(path)).collect();
        let resolved: Vec<PathBuf> = found
            .iter()
            .filter_map(|path| view.sight.real(path))
            .collect();
        let lost = resolved.len() < found.len();
        all.extend(resolved);
        let (written, read) = if writes {
            (all.as_slice(), &[][..])
        } else {
            (&[][..], all.as_slice())
        };
        let mut matched = false;
        for rule in rules
            .iter()
            .filter(|rule| rule.names_paths() && !rule.names_commands())
        {
            // Where it leads is not known: nothing that loosens holds.
            if lost && !rule.decision.tightens() {
                continue;
            }
            if rule.paths_match(written, read, view) {
                weighing.hit(rule, text);
                matched = true;
            }
        }
        if matched {
            continue;
        }
        if lost && writes {
            weighing.miss(
                format!("{text} (a link that leads nowhere yet)"),
                Decision::Ask,
            );
            weighing.risk = Risk::High;
        } else if view.inside(text, text.starts_with("~/")) {
            settle(call, weighing);
        } else if weighing
            .decision
            .is_none_or(|so_far| so_far < Decision::Ask)
        {
            weighing.miss(text.clone(), unmatched(view.policy, call));
        }
    }
    if paths.is_empty() {
        if writes {
            weighing.miss(
                "a file that is not named".to_owned(),
                unmatched(view.policy, call),
            );
        } else {
            settle(call, weighing);
        }
    }
}

/// Reading, or an edit in the working directory, that no rule names.
fn settle(call: &Call<'_>, weighing: &mut Weighing<'_>) {
    let decision = if call.allows_edits {
        Decision::Allow
    } else {
        Decision::Defer
    };
    weighing.decision = weighing.decision.max(Some(decision));
}

fn conclude(
    policy: &Policy,
    weighing: Weighing<'_>,
    script: Script,
    files: Vec<PathBuf>,
) -> Ruling {
    let complete = script.is_complete();
    let mut decision = weighing.decision.unwrap_or(Decision::Ask);
    let mut risk = weighing.risk;
    let mut rule = weighing.rule;
    if !complete {
        risk = risk.max(Risk::Medium);
        if decision < Decision::Ask {
            decision = Decision::Ask;
            rule = None;
        }
    }
    if decision == Decision::Deny {
        risk = risk.max(Risk::High);
    }
    let usual = policy.defaults.presence_for(risk);
    let presence = match weighing.presence {
        Some(presence) if weighing.by_text => presence.max(usual),
        Some(presence) => presence,
        None => usual,
    };
    let commands: Vec<Vec<String>> = script.commands.iter().map(Simple::argv).collect();
    let mut reason = match rule {
        Some(rule) => {
            let why = if rule.reason.is_empty() {
                String::new()
            } else {
                format!(" ({})", rule.reason)
            };
            format!("rule {}{why}: {}", rule.id, short(&weighing.part))
        }
        None if !complete && weighing.unmatched.is_empty() => String::new(),
        None if weighing.unmatched.is_empty() => {
            "it reads, or edits in the working directory".to_owned()
        }
        None => format!("no rule names {}", short(&weighing.unmatched.join(" · "))),
    };
    if complete && decision == Decision::Allow && !commands.is_empty() {
        reason.push_str("; all of it was understood");
    }
    if !complete {
        let parts = format!(
            "parts that could not be checked: {}",
            script.unclear.join("; ")
        );
        reason = if reason.is_empty() {
            parts
        } else {
            format!("{reason}; {parts}")
        };
    }
    let needs = if complete && decision != Decision::Deny {
        weighing.needs
    } else {
        Vec::new()
    };
    Ruling {
        decision,
        rule: rule.map(|rule| rule.id.clone()),
        risk,
        presence,
        reason,
        complete,
        commands,
        unclear: script.unclear,
        scripts: files,
        needs,
    }
}

/// The beginning of a part of a call, as it fits into a sentence.
fn short(part: &str) -> String {
    if part.chars().count() <= 200 {
        return part.to_owned();
    }
    part.chars().take(200).chain(['…']).collect()
}
