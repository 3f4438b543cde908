//! Files that people and repositories write: profiles, flows, policies, settings, provider manifests.

use crate::engine::{Target, Trail};
use conductor::domain::text::is_unsafe;
use conductor::profiles::finding::Finding;
use conductor::profiles::{config, flow_file, front_matter, policy, profile};
use conductor::providers::Manifest;
use serde_json::{Map, Value};
use std::fs;
use std::path::Path;

/// The first byte of an input says what the rest is.
const KINDS: [u8; 5] = *b"pfrcm";

/// Variables of a process that no file may set: they change what runs.
const FORBIDDEN: [&str; 10] = [
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
    "DYLD_INSERT_LIBRARIES",
    "BASH_ENV",
    "ENV",
    "PROMPT_COMMAND",
    "TMUX",
    "TMUX_PANE",
    "CONDUCTOR_HOME",
    "CONDUCTOR_TERMINAL_ID",
];

pub(crate) struct Files;

fn shown(what: &str, message: &str) -> Result<(), String> {
    match message.chars().find(|c| is_unsafe(*c) && *c != '\n') {
        Some(c) => Err(format!("{what} prints U+{:04X}: {message:?}", u32::from(c))),
        None => Ok(()),
    }
}

/// Whether something is wrong enough that the file counts for nothing; what is said of it can be shown.
fn judged(bytes: &[u8], findings: &[Finding], trail: &mut Trail) -> Result<bool, String> {
    let lines = bytes.split(|byte| *byte == b'\n').count() + 1;
    for finding in findings {
        trail.says(&finding.message);
        shown("a finding", &finding.message)?;
        if finding.message.contains('\n') {
            return Err(format!("a finding of several lines: {finding:?}"));
        }
        shown("a hint", finding.hint.as_deref().unwrap_or_default())?;
        if finding.line.is_some_and(|line| line == 0 || line > lines) {
            return Err(format!(
                "a finding on a line that is not there: {finding:?}"
            ));
        }
    }
    let broken = findings.iter().any(Finding::is_error);
    trail.passes(("broken", broken, findings.len()));
    Ok(broken)
}

fn profile(bytes: &[u8], trail: &mut Trail) -> Result<(), String> {
    let (draft, findings) = profile::read(bytes, Some("stem"));
    if judged(bytes, &findings, trail)? {
        return Ok(());
    }
    trail.passes((
        draft.tags.is_some(),
        draft.tools.is_some(),
        draft.env.len(),
        draft.extra.len(),
    ));
    let Some(name) = &draft.name else {
        return Err("a profile without a name is taken".to_owned());
    };
    if let Some(variable) = draft.env.keys().find(|name| FORBIDDEN.contains(&&***name)) {
        return Err(format!("a profile sets {variable}"));
    }
    if draft.persona.contains('\r') {
        return Err("a persona keeps its carriage returns".to_owned());
    }
    let profile = draft.clone().into_profile(name.clone());
    if &profile.name != name {
        return Err(format!("a profile changes its name: {:?}", profile.name));
    }
    Ok(())
}

fn flow(bytes: &[u8], trail: &mut Trail) -> Result<(), String> {
    let (flow, findings) = flow_file::read(bytes, Some("stem"));
    if judged(bytes, &findings, trail)? {
        return Ok(());
    }
    if flow.name.is_none() || flow.schedule.is_none() {
        return Err("a flow without a name or a time is taken".to_owned());
    }
    if flow
        .script
        .as_ref()
        .is_some_and(|words| words.first().is_none_or(|word| word.is_empty()))
    {
        return Err("a flow has a script without a program".to_owned());
    }
    let names = flow_file::variables(&flow.prompt);
    // What is filled in may look like a variable, and is none.
    let values: Map<String, Value> = names
        .iter()
        .map(|(name, _)| (name.clone(), "[[other]]".into()))
        .collect();
    trail.passes(names.len());
    match flow_file::fill(&flow.prompt, &values) {
        Ok(text) if names.is_empty() && text.len() > 2 * flow.prompt.len() => {
            Err(format!("a prompt grows: {text:?}"))
        }
        Ok(_) => Ok(()),
        Err(why) => shown("what is wrong with a prompt", &why),
    }
}

fn rules(bytes: &[u8], trail: &mut Trail) -> Result<(), String> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Ok(());
    };
    match policy::check(text) {
        Ok((file, findings)) => {
            judged(bytes, &findings, trail)?;
            trail.passes(("rules", file.rules.len()));
            for (rule, line) in &file.rules {
                trail.passes((rule.decision.as_str(), rule.risk().as_str()));
                if *line == 0 || *line > text.split('\n').count() {
                    return Err(format!("rule {} stands on line {line}", rule.id));
                }
                shown("a rule's name", &rule.id)?;
                shown("what a rule matches", &rule.matched())?;
            }
            Ok(())
        }
        Err(findings) if findings.is_empty() => {
            Err("a policy is refused without a word".to_owned())
        }
        Err(findings) => judged(bytes, &findings, trail).map(drop),
    }
}

fn settings(bytes: &[u8], trail: &mut Trail) -> Result<(), String> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Ok(());
    };
    match config::parse(text) {
        Ok(_) => trail.passes("settings"),
        Err(failure) => {
            let words = failure.to_string();
            trail.says(&words);
            shown("what is wrong with the settings", &words)?;
        }
    }
    Ok(())
}

fn manifest(bytes: &[u8], trail: &mut Trail) -> Result<(), String> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Ok(());
    };
    match Manifest::parse(text) {
        Ok(manifest) => {
            trail.passes((
                manifest.proves(),
                manifest.gates(),
                manifest.names_no_program(),
            ));
            manifest.limits();
            manifest.program_of(&["x".to_owned()]);
            let _ = manifest.permission_mode("default");
            if manifest.submit.prompt_row.is_some_and(|row| {
                row.contains(['#', '{', '}', ',', '\'', '"', '\\', ';', '%', '\n'])
            }) {
                return Err("a manifest's pattern breaks out of its format".to_owned());
            }
        }
        Err(why) => trail.says(&why),
    }
    Ok(())
}

fn store(kind: u8, dir: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("agent_store")
        .join(dir);
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    files.sort();
    files
        .iter()
        .filter(|file| {
            file.extension()
                .is_some_and(|end| end == "md" || end == "toml")
        })
        .map(|file| {
            let mut input = vec![kind];
            input.extend(fs::read(file).unwrap());
            input.truncate(8 * 1024);
            input
        })
        .collect()
}

impl Target for Files {
    fn seeds(&self) -> Vec<Vec<u8>> {
        let mut seeds = store(b'p', "profiles");
        seeds.extend(store(b'm', "providers"));
        seeds.extend(
            [
                "f---\nname: daily\nschedule: \"0 9 * * mon-fri\"\nagent_profile: developer\nprovider: demo\nscript: ./gather 'a b'\ntimezone: Europe/Berlin\noverlap: skip\ncatch_up: one\njitter: 5m\ntimeout: 1h\nsession: work\ncwd: ~/x\n---\nLook at [[issues]] and [[more.x]].\n",
                "p---\nname: x\ndescription: y\nextends: developer\nprovider: codex\ntags: [a, b]\ncapabilities:\n  - c\nenv:\n  A: b\nmcpServers:\n  m: {command: c, args: [d]}\npermissionMode: plan\nprompt: |\n  more\nallowedTools: [fs_read, \"@conductor\"]\n---\nbody\n",
                "rversion = 1\n[defaults]\nunmatched = \"ask\"\npresence = \"challenge\"\nexpires = \"30m\"\n[[rule]]\nid = \"x\"\ndecision = \"ask\"\nargv = [\"git\", [\"push\", \"pull\"], \"*\"]\nrisk = \"high\"\nreason = \"r\"\n[[rule]]\nid = \"y\"\ndecision = \"deny\"\nwrites = [\"**/.env\"]\n",
                "c[limits]\nhops = 8\n[defaults]\nprovider = \"demo\"\n[status]\nsegment = true\n",
            ]
            .map(|text| text.as_bytes().to_vec()),
        );
        seeds
    }

    fn dictionary(&self) -> Vec<Vec<u8>> {
        let mut words: Vec<Vec<u8>> = [
            "---\n",
            "\n",
            ": ",
            "- ",
            "  ",
            "|\n",
            ">\n",
            "&a ",
            "*a",
            "<<: *a",
            "!!str ",
            "!!binary ",
            "? ",
            "[",
            "]",
            "{",
            "}",
            "\"",
            "'",
            "# ",
            "\u{feff}",
            "\r\n",
            "\t",
            "null",
            "~",
            "true",
            "1e999",
            "0x10",
            ".nan",
            "2020-01-01",
            "[[",
            "]]",
            "[[a]]",
            "name: ",
            "description: ",
            "env:\n  LD_PRELOAD: x\n",
            "env:\n  BASH_ENV: x\n",
            "extends: x\n",
            "schedule: \"* * * * *\"\n",
            "script: ",
            "timezone: ",
            "tags: ",
            "\u{202e}",
            "\u{1b}[31m",
            "[[rule]]\n",
            "version = 1\n",
            "id = \"",
            "decision = \"allow\"\n",
            "argv = [",
            "overrides = [\"",
            "flags = [",
            "\"\"\"",
            "'''",
            "tool = \"Bash\"\n",
            "matches = [\"",
            "operands = ",
            "reads = [\"",
            "writes = [\"",
            "examples = ",
            "[defaults]\n",
            "[limits]\n",
            "= 9223372036854775808\n",
            "= -1\n",
            "dialect = \"claude\"\n",
            "pattern = \"(((\"\n",
            "\\u0000",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec();
        let policy = include_str!("../../agent_store/policy.toml");
        words.extend(
            policy
                .split("\n\n")
                .step_by(5)
                .map(|part| part.as_bytes().to_vec()),
        );
        words
    }

    fn check(&mut self, input: &[u8], trail: &mut Trail) -> Result<(), String> {
        let Some((kind, bytes)) = input.split_first() else {
            return Ok(());
        };
        if let Ok(document) = front_matter::parse(bytes) {
            trail.passes(("fields", document.fields.len()));
            if document.fields.len() > bytes.len() {
                return Err("front matter grows".to_owned());
            }
        }
        match KINDS.iter().position(|known| known == kind) {
            Some(0) => profile(bytes, trail),
            Some(1) => flow(bytes, trail),
            Some(2) => rules(bytes, trail),
            Some(3) => settings(bytes, trail),
            _ => manifest(bytes, trail),
        }
    }
}
