//! Whole conversations, with a pipe in place of the terminal and shell one-liners as hooks.

use super::*;
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};

/// One conversation: what its log and its hooks say.
struct Talk {
    dir: tempfile::TempDir,
    settings: String,
    terminal: bool,
    fail_open: bool,
}

impl Talk {
    /// A conversation with these hooks: event and shell text, in which `DIR` stands for the test's directory.
    fn new(hooks: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = json!({"hooks": {}});
        for (event, command) in hooks {
            let command = command.replace("DIR", dir.path().to_str().unwrap());
            settings["hooks"][*event] = json!([{"matcher": "*", "hooks": [{"type": "command", "command": command, "timeout": 20}]}]);
        }
        Self {
            dir,
            settings: settings.to_string(),
            terminal: false,
            fail_open: false,
        }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Says these lines; the result is the exit code.
    fn lines(&self, text: &str) -> u8 {
        let text = text.replace("DIR", self.path().to_str().unwrap());
        self.pieces(&[(0, text.as_bytes())])
    }

    /// Sends bytes, each piece after a pause in milliseconds, then hangs up.
    fn pieces(&self, pieces: &[(u64, &[u8])]) -> u8 {
        let (reader, mut writer) = io::pipe().unwrap();
        let pieces: Vec<(u64, Vec<u8>)> = pieces
            .iter()
            .map(|(ms, bytes)| (*ms, bytes.to_vec()))
            .collect();
        let hand = std::thread::spawn(move || {
            for (ms, bytes) in pieces {
                std::thread::sleep(Duration::from_millis(ms));
                if writer.write_all(&bytes).is_err() {
                    return;
                }
            }
        });
        let stdin = File::from(std::os::fd::OwnedFd::from(reader));
        let out = fsx::open_append(&self.path().join("screen")).unwrap();
        let screen = Screen::new(Box::new(out), self.terminal);
        let mut host = Host::new(Options::default(), stdin, screen, self.terminal);
        host.settings = Settings::parse(self.settings.as_bytes()).unwrap();
        host.log = Log::at(self.path().join("log"));
        host.fail_open = self.fail_open;
        host.session = "s-1".into();
        let code = converse(&mut host);
        drop(host);
        hand.join().unwrap();
        code
    }

    fn read(&self, name: &str) -> String {
        fsx::read_file_limited(&self.path().join(name), 1 << 24)
            .map_or_else(|_| String::new(), |bytes| String::from_utf8(bytes).unwrap())
    }

    fn json(&self, name: &str) -> Vec<Value> {
        self.read(name)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The texts of all log lines of `event`.
    fn log(&self, event: &str) -> Vec<String> {
        self.json("log")
            .iter()
            .filter(|line| line["event"] == event)
            .map(|line| line["text"].as_str().unwrap().to_owned())
            .collect()
    }
}

const RECORD: &str = "(cat; echo) >> DIR/hooks";

fn decide(word: &str) -> String {
    format!(
        r#"(cat; echo) >> DIR/hooks; echo '{{"hookSpecificOutput":{{"hookEventName":"PreToolUse","permissionDecision":"{word}","permissionDecisionReason":"why"}}}}'"#
    )
}

fn permit(decision: &str) -> String {
    format!(
        r#"(cat; echo) >> DIR/hooks; echo '{{"hookSpecificOutput":{{"hookEventName":"PermissionRequest","decision":{decision}}}}}'"#
    )
}

#[test]
fn a_turn_says_its_lines_and_tells_its_hooks() {
    let talk = Talk::new(&[
        ("SessionStart", RECORD),
        ("UserPromptSubmit", RECORD),
        ("PostToolUse", RECORD),
        ("Stop", RECORD),
        ("SessionEnd", RECORD),
    ]);
    assert_eq!(
        talk.lines("SAY one\n\nhello\nRUN echo out; echo err >&2; exit 3\nSTREAM 2"),
        0
    );
    assert_eq!(
        talk.log("answer"),
        ["one", "echo: hello", "out\nerr\nexit 3", "line 1\nline 2"]
    );
    assert_eq!(talk.log("prompt").len(), 4);
    assert_eq!(talk.log("tool"), ["echo out; echo err >&2; exit 3"]);
    let hooks = talk.json("hooks");
    let events: Vec<&str> = hooks
        .iter()
        .map(|h| h["hook_event_name"].as_str().unwrap())
        .collect();
    let turn = ["UserPromptSubmit", "Stop"];
    let tool = ["UserPromptSubmit", "PostToolUse", "Stop"];
    assert_eq!(
        events,
        [
            &["SessionStart"][..],
            &turn,
            &turn,
            &tool,
            &turn,
            &["SessionEnd"]
        ]
        .concat()
    );
    assert_eq!(
        (&hooks[0]["source"], &hooks[0]["session_id"]),
        (&json!("startup"), &json!("s-1"))
    );
    assert_eq!(
        hooks[6]["tool_response"],
        json!({"stdout": "out\nerr\n", "stderr": "", "exit_code": 3})
    );
    assert_eq!(hooks[2]["last_assistant_message"], "one");
    assert_eq!(hooks[2]["stop_hook_active"], false);
    assert_eq!(hooks[10]["reason"], "prompt_input_exit");
}

#[test]
fn the_gate_holds_unless_it_says_allow() {
    let allow = decide("allow");
    for hook in [
        "true",
        "echo garbage",
        "exit 1",
        "kill -9 $$",
        &decide("deny"),
        "echo no >&2; exit 2",
    ] {
        let talk = Talk::new(&[("PreToolUse", hook), ("PostToolUseFailure", RECORD)]);
        talk.lines("RUN touch DIR/ran\n");
        assert!(!talk.path().join("ran").exists(), "{hook}");
        assert!(talk.log("tool").is_empty());
        assert!(talk.log("answer")[0].starts_with("denied: "), "{hook}");
        assert_eq!(
            talk.json("hooks").last().unwrap()["hook_event_name"],
            "PostToolUseFailure"
        );
    }
    let talk = Talk::new(&[("PreToolUse", &allow)]);
    talk.lines("RUN touch DIR/ran\n");
    assert!(talk.path().join("ran").exists());
    let mut talk = Talk::new(&[("PreToolUse", "exit 1")]);
    talk.fail_open = true;
    talk.lines("RUN touch DIR/ran\n");
    assert!(talk.path().join("ran").exists());
}

#[test]
fn a_dialog_is_answered_by_the_person_or_by_a_hook() {
    let slow = "sleep 20";
    for (hook, keys, runs) in [
        (slow.to_owned(), "y", true),
        (slow.to_owned(), "", true),
        (slow.to_owned(), "n", false),
        (permit(r#"{"behavior":"allow"}"#), "", true),
        (permit(r#"{"behavior":"deny","message":"no"}"#), "", false),
    ] {
        let answered_by_hook = hook != slow;
        let talk = Talk::new(&[
            ("PreToolUse", &decide("ask")),
            ("PermissionRequest", &hook),
            ("Notification", "cat > DIR/notice"),
        ]);
        let start = Instant::now();
        let keys = if answered_by_hook {
            String::new()
        } else {
            format!("{keys}\n")
        };
        talk.lines(&format!("RUN touch DIR/ran\n{keys}"));
        assert_eq!(talk.path().join("ran").exists(), runs, "{hook} {keys:?}");
        assert_eq!(talk.log("key").is_empty(), answered_by_hook);
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "nobody waits for the loser"
        );
        let notice = &talk.json("notice")[0];
        assert_eq!(notice["notification_type"], "permission_prompt");
    }
}

#[test]
fn a_no_ends_the_waiting_hook_and_a_yes_does_not() {
    let hook = "trap 'echo term >> DIR/trap; exit' TERM; touch DIR/up; i=0; while [ $i -lt 30 ]; do sleep 0.05; i=$((i+1)); done; echo end >> DIR/trap";
    for (key, left) in [(&b"n"[..], "term\n"), (b"y", "end\n")] {
        let mut talk = Talk::new(&[("PreToolUse", &decide("ask")), ("PermissionRequest", hook)]);
        talk.terminal = true;
        talk.pieces(&[(0, b"RUN true\r"), (900, key), (200, b"\x04"), (0, b"")]);
        let start = Instant::now();
        while talk.read("trap").is_empty() && start.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(talk.read("trap"), left);
    }
}

#[test]
fn hooks_add_context_block_prompts_and_go_on() {
    let talk = Talk::new(&[
        (
            "UserPromptSubmit",
            r#"echo '{"hookSpecificOutput":{"hookEventName":"UserPromptSubmit","additionalContext":"SAY more"}}'"#,
        ),
        (
            "Stop",
            r#"(cat; echo) >> DIR/hooks; [ -e DIR/once ] || { touch DIR/once; echo '{"decision":"block","reason":"[conductor #7 from dev] SAY again"}'; }"#,
        ),
    ]);
    talk.lines("SAY first\n");
    assert_eq!(talk.log("answer"), ["first\nmore", "again"]);
    assert_eq!(
        talk.log("context"),
        ["SAY more", "[conductor #7 from dev] SAY again"]
    );
    let contexts: Vec<Value> = talk
        .json("log")
        .into_iter()
        .filter(|l| l["event"] == "context")
        .collect();
    assert_eq!(
        (&contexts[0]["source"], &contexts[1]["source"]),
        (&json!("prompt_hook"), &json!("stop_hook"))
    );
    assert_eq!(contexts[1]["message_id"], "7");
    let stops = talk.json("hooks");
    assert_eq!(
        (&stops[0]["stop_hook_active"], &stops[1]["stop_hook_active"]),
        (&json!(false), &json!(true))
    );

    let mut talk = Talk::new(&[(
        "UserPromptSubmit",
        r#"echo '{"decision":"block","reason":"not now"}'"#,
    )]);
    talk.terminal = true;
    talk.pieces(&[(0, b"SAY x\r"), (800, b"\x15\x04"), (0, b"")]);
    assert!(talk.log("answer").is_empty());
    let screen = talk.read("screen");
    assert!(
        screen.contains("blocked: not now") && screen.contains("demo> SAY x\r\x1b[J"),
        "{screen:?}"
    );
}

#[test]
fn failures_and_ends_are_told() {
    let talk = Talk::new(&[
        ("StopFailure", RECORD),
        ("SessionEnd", RECORD),
        ("Stop", RECORD),
    ]);
    let lines = "LIMIT 2030-01-02T03:04:05Z\nERROR bad luck\nEXIT 7\nSAY never\n";
    assert_eq!(talk.lines(lines), 7);
    let hooks = talk.json("hooks");
    assert_eq!(
        (&hooks[0]["error"], &hooks[0]["limit_until"]),
        (&json!("usage_limit"), &json!("2030-01-02T03:04:05Z"))
    );
    assert_eq!(hooks[1]["error"], "bad luck");
    assert_eq!(
        (&hooks[2]["reason"], &hooks[2]["exit_code"]),
        (&json!("other"), &json!(7))
    );
    assert_eq!(hooks.len(), 3);
    assert_eq!(talk.log("exit"), ["7"]);
}

#[test]
fn esc_interrupts_and_what_is_typed_meanwhile_is_queued() {
    let mut talk = Talk::new(&[("Stop", RECORD)]);
    talk.terminal = true;
    let paste = format!("\x1b[200~SAY {}\x1b[201~\r", "ü".repeat(100_000));
    talk.pieces(&[
        (0, b"SLEEP 60\r"),
        (300, b"SAY queued\r"),
        (100, paste.as_bytes()),
        (500, b"\x1b"),
        (800, b"\x03"),
        (200, b"\x03"),
    ]);
    assert_eq!(talk.log("prompt").len(), 3);
    let answers = talk.log("answer");
    assert_eq!((answers[0].as_str(), answers[1].as_str()), ("", "queued"));
    assert_eq!(answers[2].chars().count(), 100_000);
    assert_eq!(
        talk.json("hooks").len(),
        2,
        "no hook is told of the interruption"
    );
    let screen = talk.read("screen");
    assert!(screen.contains("queued: 2") && screen.contains("[Pasted text #1 +0 lines]"));
    let working = screen.rfind("* working").unwrap();
    assert!(screen[working..].contains("demo> "));
}
