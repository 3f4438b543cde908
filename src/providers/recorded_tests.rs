//! What real agents said and showed (`tests/fixtures/agents`), as we read it.

use super::*;
use crate::domain::event::AgentEvent;
use crate::domain::policy::Action;
use crate::domain::terminal::{Status, next_state};
use crate::domain::text::one_line;
use regex_lite::Regex;
use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const PROVIDERS: [&str; 6] = [
    "claude_code",
    "codex",
    "gemini",
    "opencode",
    "kiro_cli",
    "q_cli",
];

fn manifest(provider: &str) -> Manifest {
    let store = Path::new(env!("CARGO_MANIFEST_DIR")).join("agent_store/providers");
    let text = std::fs::read_to_string(store.join(format!("{provider}.toml"))).unwrap();
    Manifest::parse(&text).unwrap()
}

fn fixtures(provider: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/agents")
        .join(provider)
}

/// The payloads of a provider's hooks: event and input.
fn payloads(provider: &str) -> Vec<(String, Value)> {
    std::fs::read_to_string(fixtures(provider).join("hooks.jsonl"))
        .unwrap()
        .lines()
        .map(|line| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            (
                line["event"].as_str().unwrap().to_owned(),
                line["input"].take(),
            )
        })
        .collect()
}

/// A recorded screen.
struct Screen {
    name: String,
    title: String,
    rows: String,
}

fn screens(provider: &str) -> Vec<Screen> {
    let Ok(files) = std::fs::read_dir(fixtures(provider).join("screens")) else {
        return Vec::new();
    };
    let mut screens: Vec<Screen> = files
        .map(|file| {
            let path = file.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let (title, rows) = match text.strip_prefix("title: ") {
                Some(rest) => rest.split_once('\n').unwrap(),
                None => ("", text.as_str()),
            };
            Screen {
                name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
                title: title.to_owned(),
                rows: rows.to_owned(),
            }
        })
        .collect();
    screens.sort_by(|a, b| a.name.cmp(&b.name));
    screens
}

fn short(text: &str) -> String {
    let line = one_line(text);
    let cut: String = line.chars().take(60).collect();
    if cut == line {
        line
    } else {
        format!("{cut}…")
    }
}

fn event_in_short(event: &AgentEvent) -> String {
    let call = |call: &crate::domain::event::ToolCall| {
        let id = if call.call_id.is_some() { " id" } else { "" };
        format!("{}{id}", call.tool)
    };
    match event {
        AgentEvent::PromptSubmitted { text } => format!("PromptSubmitted {:?}", short(text)),
        AgentEvent::ToolStarting(of) => format!("ToolStarting {}", call(of)),
        AgentEvent::ToolFinished(of, end) => format!("ToolFinished {} {end:?}", call(of)),
        AgentEvent::PermissionAsked(of) => format!("PermissionAsked {}", call(of)),
        AgentEvent::TurnEnded {
            answer,
            continued,
            background,
        } => {
            let answer = answer.as_deref().map(short);
            let continued = if *continued { " continued" } else { "" };
            let background = if *background { " background" } else { "" };
            format!("TurnEnded {answer:?}{continued}{background}")
        }
        other => format!("{other:?}"),
    }
}

fn action_in_short(action: &Action) -> String {
    match action {
        Action::Shell { command } => format!("shell {:?}", short(command)),
        Action::Read { paths } => format!("read {paths:?}"),
        Action::Write { paths } => format!("write {paths:?}"),
        Action::Fetch { url } => format!("fetch {url:?}"),
        Action::Mcp { server, tool } => format!("mcp {server} {tool}"),
        Action::Own => "own".to_owned(),
        Action::Other => "anything".to_owned(),
    }
}

/// One payload, and what becomes of it.
fn read_in_short(manifest: &Manifest, event: &str, input: &Value) -> String {
    let bytes = input.to_string();
    let incoming = manifest
        .dialect
        .read(event, bytes.as_bytes())
        .unwrap()
        .unwrap();
    let mut line = format!("{event} -> {}", event_in_short(&incoming.event));
    let mut say = |words: &str| {
        let _ = write!(line, " | {words}");
    };
    if let AgentEvent::ToolStarting(call) | AgentEvent::PermissionAsked(call) = &incoming.event {
        say(&action_in_short(&manifest.action(call)));
    }
    if manifest.dialect.decides(event) {
        say(if incoming.event.wants_decision() {
            "decision"
        } else {
            "could decide, is not asked"
        });
    }
    if incoming.agent_session.is_none() {
        say("no session");
    }
    match incoming.cwd.as_deref() {
        Some("/home/person/project") => {}
        Some(cwd) => say(cwd),
        None => say("no cwd"),
    }
    if let Some(mode) = &incoming.permission_mode
        && mode != "default"
    {
        say(mode);
    }
    line
}

#[test]
fn every_payload_is_read() {
    for provider in PROVIDERS {
        let manifest = manifest(provider);
        let mut table = String::new();
        for (event, input) in payloads(provider) {
            table += &read_in_short(&manifest, &event, &input);
            table.push('\n');
        }
        insta::assert_snapshot!(format!("hooks_{provider}"), table);
    }
}

#[test]
fn every_hook_that_we_take_is_recorded() {
    for provider in PROVIDERS {
        let manifest = manifest(provider);
        let recorded = payloads(provider);
        let unheard: Vec<&String> = manifest
            .hooks
            .status
            .iter()
            .chain(&manifest.hooks.decision)
            .filter(|event| !recorded.iter().any(|(name, _)| name == *event))
            .collect();
        let known: &[&str] = match provider {
            "claude_code" => &["PermissionDenied", "PostToolUseFailure"],
            "opencode" => &["question", "question.replied", "inbox.failed"],
            _ => &[],
        };
        assert_eq!(unheard, known, "{provider}");
        for event in &manifest.hooks.decision {
            assert!(manifest.dialect.decides(event), "{provider} {event}");
        }
    }
}

#[test]
fn what_a_subagent_says_moves_nothing_but_the_gate() {
    let mut seen = 0;
    for provider in PROVIDERS {
        let dialect = manifest(provider).dialect;
        for (event, input) in payloads(provider) {
            if input.get("agent_id").is_none() && input.get("subagent").is_none() {
                continue;
            }
            seen += 1;
            let incoming = dialect
                .read(&event, input.to_string().as_bytes())
                .unwrap()
                .unwrap();
            assert!(
                incoming.event.wants_decision()
                    || next_state(Status::Working, &incoming.event).is_none(),
                "{provider} {event}: {:?}",
                incoming.event
            );
        }
    }
    assert!(seen > 5);
}

fn seen_in_short(seen: &Seen) -> String {
    match seen {
        Seen::Dialog { kind, .. } => format!("Dialog {kind}"),
        Seen::Failed(words) => format!("Failed {words:?}"),
        other => format!("{other:?}"),
    }
}

/// Screens that look like something else, and what.
const MISREAD: [(&str, &str, &str); 2] = [
    // Only the title tells.
    ("codex", "working-streaming-without-title", "idle"),
    // Nothing is pasted there: messages go by a channel of their own.
    ("opencode", "other-sessions-list", "idle"),
];

#[test]
fn every_screen_is_read() {
    let mut wrong = Vec::new();
    for provider in PROVIDERS {
        let manifest = manifest(provider);
        let screens = screens(provider);
        if screens.is_empty() {
            continue;
        }
        let mut table = String::new();
        for screen in &screens {
            let seen = seen_in_short(&look(&manifest, &screen.rows, &screen.title));
            let _ = writeln!(table, "{} -> {seen}", screen.name);
            let known = MISREAD
                .iter()
                .find(|(of, name, _)| (*of, *name) == (provider, screen.name.as_str()));
            let says = match known {
                Some((.., shown)) => shown,
                None => screen.name.split('-').next().unwrap(),
            };
            let shown = match seen.split(' ').next().unwrap() {
                "Unknown" => "other".to_owned(),
                word => word.to_lowercase(),
            };
            if shown != says {
                wrong.push(format!("{provider} {}: {seen}", screen.name));
            }
        }
        insta::assert_snapshot!(format!("screens_{provider}"), table);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_prompt_row_is_there_when_the_input_box_is_empty() {
    for provider in PROVIDERS {
        let manifest = manifest(provider);
        let Some(row) = &manifest.submit.prompt_row else {
            continue;
        };
        // The little of POSIX that a manifest may use means the same here; tmux takes spaces at the end of a row away.
        let row = Regex::new(row).unwrap();
        let there = |screen: &Screen| {
            screen
                .rows
                .lines()
                .any(|line| row.is_match(line.trim_end_matches(' ')))
        };
        let mut seen = 0;
        for screen in screens(provider) {
            let empty = match screen.name.split('-').next().unwrap() {
                "idle" | "failed" => true,
                "draft" | "dialog" | "other" => false,
                // Many show it while they work: that they do is known by their events.
                _ => continue,
            };
            seen += 1;
            assert_eq!(there(&screen), empty, "{provider} {}", screen.name);
        }
        assert!(seen > 10, "{provider}");
    }
}

#[test]
fn one_letter_is_a_draft() {
    let row = manifest("claude_code").submit.prompt_row.unwrap();
    let row = Regex::new(&row).unwrap();
    assert!(row.is_match("❯\u{a0}") && row.is_match("❯"));
    for draft in ["❯\u{a0}y", "❯ y", "❯\u{a0}漢", "❯y", "❯\u{a0}\u{a0}"] {
        assert!(!row.is_match(draft), "{draft:?}");
    }
}

#[test]
fn only_the_last_thing_on_a_screen_is_a_failure() {
    let manifest = manifest("codex");
    let screen = screens("codex")
        .into_iter()
        .find(|screen| screen.name == "failed-400")
        .unwrap();
    let (before, prompt) = screen.rows.split_once("› Ask Codex").unwrap();
    for since in [
        "› hi\n\n• hello\n\n",
        "■ Conversation interrupted - use /feedback\n\n",
    ] {
        let later = format!("{before}{since}› Ask Codex{prompt}");
        assert_eq!(
            look(&manifest, &later, &screen.title),
            Seen::Idle,
            "{since}"
        );
    }
    let later = format!("{before}■ the second\nfailure\n\n  └ Tip: none\n\n› Ask Codex{prompt}");
    assert_eq!(
        look(&manifest, &later, &screen.title),
        Seen::Failed("the second failure".to_owned())
    );
}
