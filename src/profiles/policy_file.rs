//! The text of a `policy.toml` -> rules, and what is wrong with it.

use super::finding::Finding;
use crate::domain::policy::flags::Flags;
use crate::domain::policy::paths::PathPattern;
use crate::domain::policy::rule::Operands;
use crate::domain::policy::{Decision, Examples, Presence, Risk, Rule, Token};
use crate::domain::text::one_line;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

/// What `[defaults]` says; `None` where it says nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DefaultsFile {
    /// Ask about what no rule matches, or leave it to the agent.
    pub ask_unmatched: Option<bool>,
    /// The presence of rules that name none.
    pub presence: Option<Presence>,
    /// Seconds after which a request expires.
    pub expires_seconds: Option<u64>,
}

/// A policy file that has no mistake in its form.
#[derive(Debug, Clone, Default)]
pub struct PolicyFile {
    /// `[defaults]`
    pub defaults: DefaultsFile,
    /// Each `[[rule]]`, and the line that it begins on.
    pub rules: Vec<(Rule, usize)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    version: i64,
    #[serde(default)]
    defaults: RawDefaults,
    #[serde(default)]
    rule: Vec<RawRule>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDefaults {
    unmatched: Option<String>,
    presence: Option<String>,
    expires: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    id: String,
    decision: String,
    #[serde(default)]
    tool: Many,
    argv: Option<Vec<Many>>,
    #[serde(default)]
    program: Many,
    #[serde(default)]
    subcommand: Many,
    #[serde(default)]
    abbreviated: bool,
    #[serde(default)]
    any_flag: Many,
    #[serde(default)]
    any_arg: Many,
    #[serde(default)]
    unless_arg: Many,
    #[serde(default)]
    paths_write: Many,
    #[serde(default)]
    paths_read: Many,
    #[serde(default)]
    profile: Many,
    cwd: Option<PathBuf>,
    flags: Option<Many>,
    #[serde(default)]
    flags_before: Many,
    rest: Option<Many>,
    operands: Option<String>,
    max_operands: Option<usize>,
    #[serde(default)]
    single_dash: bool,
    risk: Option<String>,
    presence: Option<String>,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    overrides: Many,
    #[serde(default)]
    examples: RawExamples,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExamples {
    #[serde(default, rename = "match")]
    matches: Many,
    #[serde(default, rename = "not_match")]
    not_matches: Many,
}

/// A word, or a list of words; whether it was a list is kept.
#[derive(Default)]
struct Many {
    words: Vec<String>,
    list: bool,
}

impl<'de> Deserialize<'de> for Many {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl<'de> Visitor<'de> for Words {
            type Value = Many;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a word or a list of words")
            }

            fn visit_str<E>(self, word: &str) -> Result<Many, E> {
                Ok(Many {
                    words: vec![word.to_owned()],
                    list: false,
                })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Many, A::Error> {
                let mut words = Vec::new();
                while let Some(word) = list.next_element()? {
                    words.push(word);
                }
                Ok(Many { words, list: true })
            }
        }
        deserializer.deserialize_any(Words)
    }
}

/// Reads the text of a policy file.
pub fn parse(text: &str) -> Result<PolicyFile, Vec<Finding>> {
    let raw: RawFile = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| line_of(text, span.start));
        vec![
            Finding::error(one_line(error.message()))
                .at(line)
                .hint("docs/policy.md names every key"),
        ]
    })?;
    read(raw, &rule_lines(text))
}

/// Reads a policy file that was turned into JSON: it is read at each tool call, and TOML takes several times as long.
pub fn parse_json(text: &str) -> Result<PolicyFile, Vec<Finding>> {
    let raw = serde_json::from_str(text)
        .map_err(|error| vec![Finding::error(one_line(&error.to_string()))])?;
    read(raw, &[])
}

fn read(raw: RawFile, lines: &[usize]) -> Result<PolicyFile, Vec<Finding>> {
    let mut findings = Vec::new();
    if raw.version != 1 {
        findings.push(Finding::error(format!(
            "version is {}; this program reads version 1",
            raw.version
        )));
    }
    let defaults = defaults(&raw.defaults).unwrap_or_else(|why| {
        findings.push(Finding::error(why));
        DefaultsFile::default()
    });
    let mut seen = BTreeSet::new();
    let mut rules = Vec::new();
    for (at, raw) in raw.rule.into_iter().enumerate() {
        let line = lines.get(at).copied();
        let id = one_line(&raw.id);
        if !seen.insert(id.clone()) {
            findings.push(Finding::error(format!("there are two rules {id}")).at(line));
        }
        match rule(raw) {
            Ok(rule) => rules.push((rule, line.unwrap_or_default())),
            Err(why) => findings.push(Finding::error(format!("rule {id}: {why}")).at(line)),
        }
    }
    if findings.is_empty() {
        Ok(PolicyFile { defaults, rules })
    } else {
        Err(findings)
    }
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

/// The lines of the `[[rule]]` headers.
fn rule_lines(text: &str) -> Vec<usize> {
    let lines = text.lines().enumerate();
    lines
        .filter(|(_, line)| line.trim_start().starts_with("[[rule]]"))
        .map(|(at, _)| at + 1)
        .collect()
}

fn defaults(raw: &RawDefaults) -> Result<DefaultsFile, String> {
    let mut defaults = DefaultsFile::default();
    if let Some(word) = &raw.unmatched {
        defaults.ask_unmatched = Some(match word.as_str() {
            "ask" => true,
            "defer" => false,
            other => {
                return Err(format!(
                    "defaults.unmatched is {other:?}; it is ask or defer"
                ));
            }
        });
    }
    if let Some(word) = &raw.presence {
        defaults.presence = Some(presence(word)?);
    }
    if let Some(text) = &raw.expires {
        defaults.expires_seconds = Some(seconds(text)?);
    }
    Ok(defaults)
}

fn presence(word: &str) -> Result<Presence, String> {
    Presence::parse(word)
        .ok_or_else(|| format!("presence is {word:?}; it is caller, challenge, pin or signature"))
}

/// `45s`, `30m`, `1h`: from a second to a day.
fn seconds(text: &str) -> Result<u64, String> {
    let wrong = || format!("expires is {text:?}; it is a time from 1s to 24h, such as 30m or 1h");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).ok_or_else(wrong)?;
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = number.saturating_mul(factor);
    (1..=86_400)
        .contains(&seconds)
        .then_some(seconds)
        .ok_or_else(wrong)
}

fn rule(raw: RawRule) -> Result<Rule, String> {
    let proper = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if raw.id.is_empty() || raw.id.len() > 64 || !raw.id.chars().all(proper) {
        return Err("an id is 1 to 64 letters, digits, - and _".to_owned());
    }
    let decision = Decision::parse(&raw.decision).ok_or_else(|| {
        format!(
            "decision is {:?}; it is allow, ask, deny or defer",
            raw.decision
        )
    })?;
    let mut rule = Rule::new(raw.id, decision);
    let flags = |list: &Many, single: bool| Flags::parse(&list.words, single);
    rule.tool = raw.tool.words;
    rule.argv = raw
        .argv
        .map(|tokens| tokens.into_iter().map(token).collect());
    rule.program = raw.program.words;
    rule.subcommand = raw
        .subcommand
        .words
        .iter()
        .map(|text| text.split_whitespace().map(str::to_owned).collect())
        .collect();
    rule.abbreviated = raw.abbreviated;
    rule.any_flag = raw.any_flag.words;
    rule.any_arg = raw.any_arg.words;
    rule.unless_arg = raw.unless_arg.words;
    rule.paths_write = raw
        .paths_write
        .words
        .into_iter()
        .map(PathPattern::new)
        .collect();
    rule.paths_read = raw
        .paths_read
        .words
        .into_iter()
        .map(PathPattern::new)
        .collect();
    rule.profile = raw.profile.words;
    rule.cwd = raw.cwd;
    rule.flags = raw
        .flags
        .map(|list| flags(&list, raw.single_dash))
        .transpose()?;
    rule.flags_before = flags(&raw.flags_before, raw.single_dash)?;
    rule.rest = raw.rest.map(|list| flags(&list, false)).transpose()?;
    if let Some(word) = &raw.operands {
        let known = Operands::WORDS.iter().find(|(name, _)| name == word);
        rule.operands = known.map(|(_, kind)| *kind).ok_or_else(|| {
            let names: Vec<&str> = Operands::WORDS.iter().map(|(name, _)| *name).collect();
            format!("operands is {word:?}; it is one of {}", names.join(", "))
        })?;
    }
    rule.max_operands = raw.max_operands;
    rule.single_dash = raw.single_dash;
    rule.risk = raw
        .risk
        .map(|word| {
            Risk::parse(&word).ok_or_else(|| format!("risk is {word:?}; it is low, medium or high"))
        })
        .transpose()?;
    rule.presence = raw.presence.map(|word| presence(&word)).transpose()?;
    rule.reason = one_line(&raw.reason);
    rule.overrides = raw.overrides.words;
    rule.examples = Examples {
        matches: raw.examples.matches.words,
        not_matches: raw.examples.not_matches.words,
    };
    check(&rule)?;
    Ok(rule)
}

fn token(words: Many) -> Token {
    match words.words.as_slice() {
        [rest] if !words.list && rest == "..." => Token::Rest,
        _ => Token::OneOf(words.words),
    }
}

/// What a rule may not be, whatever its keys say.
fn check(rule: &Rule) -> Result<(), String> {
    let commands = rule.names_commands();
    if !commands && !rule.names_paths() && rule.tool.is_empty() {
        return Err("it names no tool, command or path: it would match everything".to_owned());
    }
    if rule
        .argv
        .as_ref()
        .is_some_and(|tokens| matches!(tokens.first(), None | Some(Token::Rest)))
    {
        return Err("argv does not say which program".to_owned());
    }
    if !rule.decision.tightens() {
        if commands && rule.argv.is_none() && rule.program.is_empty() {
            return Err(format!(
                "it would {} every program: name the program or the argv",
                rule.decision.as_str()
            ));
        }
    } else if !rule.overrides.is_empty() {
        return Err("only an allow rule can override others".to_owned());
    }
    if rule.decision == Decision::Defer && !rule.overrides.is_empty() {
        return Err("only an allow rule can override others".to_owned());
    }
    if rule.decision != Decision::Ask && rule.presence.is_some() {
        return Err(
            "presence says what a person shows who approves: it belongs to ask rules".to_owned(),
        );
    }
    if let Some(dir) = &rule.cwd
        && !dir.is_absolute()
    {
        return Err(format!(
            "cwd is {:?}; it is an absolute directory",
            dir.display().to_string()
        ));
    }
    Ok(())
}
