//! What a person sees is what there is.

use super::*;
use crate::domain::approval::{ApprovalStatus, Script};
use crate::domain::ids::{ApprovalId, TerminalId};
use crate::domain::text::is_unsafe;
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;

pub(crate) fn sample(command: &str) -> Approval {
    Approval {
        id: ApprovalId(17),
        terminal: Some(TerminalId::parse("0123abcd").unwrap()),
        kind: ApprovalKind::Tool,
        tool: Some("Bash".into()),
        command: command.into(),
        input: json!({"command": command, "description": "Clean up", "timeout": 5}),
        cwd: Some("/home/project".into()),
        digest: "d".repeat(64),
        text_digest: None,
        rule: Some("recursive-delete".into()),
        risk: Risk::High,
        presence: Presence::Challenge,
        why: "removes a directory and all that is in it".into(),
        complete: false,
        unclear: vec!["$(date): what it prints is known only when it runs".into()],
        scripts: vec![
            Script {
                path: "/home/project/a.sh".into(),
                sha256: Some("0123456789abcdef".repeat(4)),
            },
            Script {
                path: "/dev/fd/3".into(),
                sha256: None,
            },
        ],
        words: Some("It is safe,\nbelieve me".into()),
        message: None,
        status: ApprovalStatus::Pending,
        requested_at: Timestamp::from_second(1_000).unwrap(),
        expires_at: Timestamp::from_second(4_600).unwrap(),
        decided_at: None,
        decided_by: None,
        via: None,
        scope: None,
        reason: None,
        waiter: None,
        consumed_at: None,
        ran_at: None,
    }
}

fn known() -> Known {
    Known {
        who: Some("developer in work".into()),
        now_ms: 1_120_000,
    }
}

/// Rows with the marks of our own in « ».
fn shown(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        for (style, part) in &row.0 {
            match style {
                Style::Mark => text.push_str(&format!("«{part}»")),
                _ => text.push_str(part),
            }
        }
        text.truncate(text.trim_end_matches(' ').len());
        text.push('\n');
    }
    text
}

#[test]
fn the_sheet_of_a_risky_command() {
    let command = "rm -rf \"$(date)\" build/one/two/three/four/five/six/seven/eight\n\n\n\n\n\nsh a.sh\u{202e} &&\tcurl x                              | sh";
    let approval = sample(command);
    let mut all = vec![title(&approval, &known(), 60)];
    all.extend(rows(&approval, &known(), 60));
    insta::assert_snapshot!("risky_command", shown(&all));
}

#[test]
fn every_row_is_drawn_with_its_own_codes_only() {
    let row = Row::new(Style::Warn, "a\u{1b}[0mb").word(Style::Plain, "c");
    assert_eq!(
        row.render(),
        "\x1b[1;33ma\x1b[0m\x1b[7m⟨U+001B⟩\x1b[0m\x1b[1;33m[0mb\x1b[0mc"
    );
    assert_eq!(row.cut(3).text(), "a⟨U");
}

#[test]
fn a_call_that_is_no_command_is_shown_once() {
    let mut approval = sample("x");
    approval.input = json!({"file_path": "a", "content": "b\nc"});
    approval.command = serde_json::to_string_pretty(&approval.input).unwrap();
    let text = shown(&rows(&approval, &known(), 60));
    assert_eq!(text.matches("file_path").count(), 1, "{text}");
    approval.command = "something else".into();
    let text = shown(&rows(&approval, &known(), 60));
    assert!(text.contains("also        file_path = a"), "{text}");
}

/// Texts that other prompts have fallen for.
fn hostile() -> Vec<String> {
    let seeds = [
        "\u{1b}[2J\u{1b}[H",
        "\u{1b}]0;title\u{7}",
        "\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\",
        "\u{1b}P1$r\u{1b}\\",
        "\u{9b}31m",
        "\u{9d}52;c;eA==\u{9c}",
        "\u{1b}[201~",
        "\u{1b}[?1049l",
        "\u{1b}c",
        "\u{1b}(0",
        "\r",
        "\u{8}\u{8}\u{8}",
        "\u{7f}",
        "\0",
        "\u{c}",
        "\u{b}",
        "\u{85}",
        "\u{2028}",
        "\u{2029}",
        "\u{202e}",
        "\u{202a}\u{202c}",
        "\u{2066}\u{2069}",
        "\u{61c}",
        "\u{200e}\u{200f}",
        "\u{200b}",
        "\u{200c}",
        "\u{200d}",
        "\u{2060}",
        "\u{2063}",
        "\u{feff}",
        "\u{ad}",
        "\u{34f}",
        "\u{180e}",
        "\u{3164}",
        "\u{115f}",
        "\u{2800}",
        "\u{fe0f}",
        "\u{e0041}",
        "\u{e0101}",
        "\u{fff9}",
        "\u{fffe}",
        "\u{a0}",
        "\u{2003}",
        "\u{3000}",
        "\u{430}\u{440}\u{442}",
        "g\u{456}t",
        "\u{ff52}\u{ff4d}",
        "\u{1d42b}\u{1d426}",
        "\u{37e}",
        "\u{2044}",
        "\u{2215}",
        "\u{2010}rf",
        "\u{301}\u{302}\u{303}\u{304}",
        "⟨U+0041⟩",
        "«x»",
        "│ 999 │ echo ok",
        "the end of approval 17",
        "type ab to approve",
        "#(touch x)#[fg=red]",
        "%s%n",
        "日本語の文字",
        "👨\u{200d}👩\u{200d}👧",
        "\u{e000}",
        "\u{10ffff}",
    ];
    let wraps: [fn(&str) -> String; 5] = [
        |seed| seed.to_owned(),
        |seed| format!("ls {seed} ; rm -rf ~"),
        |seed| format!("echo ok{}{seed}", " ".repeat(300)),
        |seed| format!("echo '{}'\n{seed}\n", "x".repeat(200)),
        |seed| format!("{}{seed}{}", "\n".repeat(80), seed.repeat(40)),
    ];
    let mut all: Vec<String> = seeds
        .iter()
        .flat_map(|seed| wraps.iter().map(move |wrap| wrap(seed)))
        .collect();
    all.push(String::new());
    assert!(all.len() > 300);
    all
}

/// Everything but our own codes.
fn bare(rendered: &str) -> String {
    ["\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[7m", "\x1b[1;33m"]
        .iter()
        .fold(rendered.to_owned(), |text, code| text.replace(code, ""))
}

fn sound(approval: &Approval, known: &Known, width: usize) {
    let mut all = rows(approval, known, width);
    all.push(title(approval, known, width));
    for row in &all {
        let text = bare(&row.render());
        assert!(text.chars().all(|c| !is_unsafe(c)), "{text:?}");
        assert_eq!(text, row.text());
        let columns: usize = text.chars().map(|c| Unit::Text(c).width()).sum();
        assert!(columns <= width.max(24), "{columns} of {width}: {text:?}");
    }
}

#[test]
fn three_hundred_hostile_texts_reach_no_terminal() {
    for text in hostile() {
        let mut approval = sample(&text);
        sound(&approval, &known(), 78);
        approval.cwd = Some(text.clone());
        approval.tool = Some(text.clone());
        approval.rule = Some(text.clone());
        approval.why.clone_from(&text);
        approval.unclear = vec![text.clone()];
        approval.words = Some(text.clone());
        approval.scripts = vec![Script {
            path: text.clone(),
            sha256: Some(text.clone()),
        }];
        approval.input = json!({"command": text, text.clone(): {text.clone(): [text.clone()]}});
        let known = Known {
            who: Some(text.clone()),
            now_ms: 0,
        };
        sound(&approval, &known, 40);
    }
}

/// What the numbered rows say, put together again.
fn read_back(rows: &[Row], lines: usize) -> String {
    let digits = lines.to_string().len().max(3);
    let start = rows
        .iter()
        .position(|row| row.text().starts_with("what would run"))
        .unwrap()
        + 1;
    let mut text = String::new();
    let mut fresh = false;
    for row in &rows[start..] {
        let whole = row.text();
        let Some((number, _)) = whole.split_once(" │ ") else {
            break;
        };
        if !number.trim().is_empty() {
            if fresh {
                text.push('\n');
            }
            fresh = true;
        }
        let mut parts = row.0.iter();
        let mut first = true;
        for (style, part) in parts.by_ref() {
            let part = if first {
                first = false;
                part.strip_prefix(&format!("{number:>digits$} │ "))
                    .unwrap_or(part)
            } else {
                part.as_str()
            };
            match style {
                Style::Mark if part == WRAP => {}
                Style::Mark if part.contains("empty lines") => {
                    let count: usize = part.split(' ').next().unwrap().parse().unwrap();
                    // One line end stands in front of each row.
                    text.push_str(&"\n".repeat(if fresh { count } else { count - 1 }));
                    fresh = true;
                }
                _ => text.push_str(part),
            }
        }
    }
    text
}

proptest! {
    #[test]
    fn no_text_of_an_agent_reaches_the_terminal_raw(text in any::<String>(), width in 20usize..130) {
        let mut approval = sample(&text);
        approval.words = Some(text.clone());
        sound(&approval, &known(), width);
    }

    #[test]
    fn every_line_is_there_in_its_order(lines in prop::collection::vec("[a-z|&;$(){} ]{0,90}", 1..40), width in 24usize..100) {
        let command = lines.join("\n");
        prop_assume!(!command.contains(&" ".repeat(21)));
        let approval = sample(&command);
        prop_assert_eq!(read_back(&rows(&approval, &known(), width), lines.len()), command);
    }
}
