//! No answer of ours can be taken for another one: each agent's rules for reading it, as they were seen or documented, against any reason.

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

/// What an agent does about a call after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    /// The call runs, or what the agent does by itself.
    Runs,
    /// The agent's own dialog asks its person.
    Asks,
    /// The call does not run.
    Blocked,
}

fn blank(text: &str) -> bool {
    text.trim().is_empty()
}

/// The fields of an object, when they are these and no others.
fn only<'a>(value: &'a Value, known: &[&str]) -> Option<&'a serde_json::Map<String, Value>> {
    value
        .as_object()
        .filter(|fields| fields.keys().all(|name| known.contains(&name.as_str())))
}

fn claude(event: &str, answer: &Answer) -> Taken {
    if answer.code == 2 {
        return Taken::Blocked;
    }
    // What it cannot read is no answer: its own flow.
    let own = if event == "PermissionRequest" {
        Taken::Asks
    } else {
        Taken::Runs
    };
    let Ok(out) = serde_json::from_str::<Value>(&answer.out) else {
        return own;
    };
    let output = &out["hookSpecificOutput"];
    if answer.code != 0 || output["hookEventName"] != event {
        return own;
    }
    let word = match event {
        "PermissionRequest" => &output["decision"]["behavior"],
        _ => &output["permissionDecision"],
    };
    match word.as_str() {
        Some("deny") => Taken::Blocked,
        Some("ask") => Taken::Asks,
        Some("allow") => Taken::Runs,
        _ => own,
    }
}

/// One word that it does not know, or a denial without a reason, and the whole answer counts for nothing.
fn codex(event: &str, answer: &Answer) -> Taken {
    let own = if event == "PermissionRequest" {
        Taken::Asks
    } else {
        Taken::Runs
    };
    if answer.code == 2 && !blank(&answer.err) {
        return Taken::Blocked;
    }
    let Ok(out) = serde_json::from_str::<Value>(&answer.out) else {
        return own;
    };
    let known = [
        "hookEventName",
        "decision",
        "permissionDecision",
        "permissionDecisionReason",
        "updatedInput",
    ];
    let Some(output) = only(&out, &["hookSpecificOutput"])
        .and_then(|out| only(&out["hookSpecificOutput"], &known))
    else {
        return own;
    };
    let field = |name: &str| output.get(name).and_then(Value::as_str).unwrap_or_default();
    if answer.code != 0 || field("hookEventName") != event {
        return own;
    }
    if event == "PermissionRequest" {
        let decision = output
            .get("decision")
            .and_then(|decision| only(decision, &["behavior", "message"]));
        return match decision.and_then(|decision| decision.get("behavior")?.as_str()) {
            Some("deny") => Taken::Blocked,
            Some("allow") => Taken::Runs,
            _ => Taken::Asks,
        };
    }
    match field("permissionDecision") {
        "deny" if !blank(field("permissionDecisionReason")) => Taken::Blocked,
        _ => Taken::Runs,
    }
}

fn gemini(_: &str, answer: &Answer) -> Taken {
    if let Ok(out) = serde_json::from_str::<Value>(&answer.out) {
        return match out["decision"].as_str() {
            Some("deny" | "block") => Taken::Blocked,
            Some("ask") => Taken::Asks,
            _ => Taken::Runs,
        };
    }
    if answer.code >= 2 && !(blank(&answer.out) && blank(&answer.err)) {
        return Taken::Blocked;
    }
    Taken::Runs
}

/// Our plugin's rules.
fn opencode(event: &str, answer: &Answer) -> Taken {
    let out = serde_json::from_str::<Value>(&answer.out)
        .ok()
        .filter(|_| answer.code == 0)
        .unwrap_or_default();
    if event == "permission" {
        return match out["reply"].as_str() {
            Some("once") => Taken::Runs,
            Some("reject") => Taken::Blocked,
            _ => Taken::Asks,
        };
    }
    match out["decision"].as_str() {
        Some("allow") => Taken::Runs,
        Some("pass") => Taken::Asks,
        _ => Taken::Blocked,
    }
}

/// That a denial says why is not what blocks, but what the model gets.
fn kiro(_: &str, answer: &Answer) -> Taken {
    if answer.code == 2 && !blank(&answer.err) {
        Taken::Blocked
    } else {
        Taken::Runs
    }
}

type Reads = fn(&str, &Answer) -> Taken;

/// The dialects, the hooks that decide, and how the agent reads the answer.
const AGENTS: [(Dialect, &[&str], Reads); 6] = [
    (
        Dialect::Claude,
        &["PreToolUse", "PermissionRequest"],
        claude,
    ),
    (Dialect::Demo, &["PreToolUse", "PermissionRequest"], claude),
    (Dialect::Codex, &["PreToolUse", "PermissionRequest"], codex),
    (Dialect::Gemini, &["BeforeTool"], gemini),
    (Dialect::Opencode, &["tool.before", "permission"], opencode),
    (Dialect::Kiro, &["preToolUse"], kiro),
];

fn call(dialect: Dialect, event: &str, command: &str, cwd: &str) -> Incoming {
    let input = match dialect {
        Dialect::Opencode => json!({"tool": "bash", "args": {"command": command}, "cwd": cwd}),
        Dialect::Gemini => {
            json!({"tool_name": "run_shell_command", "tool_input": {"command": command}, "cwd": cwd})
        }
        _ => json!({"tool_name": "Bash", "tool_input": {"command": command}, "cwd": cwd}),
    };
    dialect
        .read(event, input.to_string().as_bytes())
        .unwrap()
        .unwrap()
}

proptest! {
    #[test]
    fn a_denial_denies_and_a_yes_does_not(
        reason in any::<String>(),
        blank in "[ \t\r\n\u{a0}\u{2003}]{0,3}",
        command in any::<String>(),
        cwd in any::<String>(),
        known in any::<bool>(),
    ) {
        for (dialect, events, taken) in AGENTS {
            for event in events {
                prop_assert!(dialect.decides(event));
                let incoming = known.then(|| call(dialect, event, &command, &cwd));
                let answer = |verdict| dialect.decision(event, &verdict, incoming.as_ref());
                for reason in [&reason, &blank] {
                    let denied = answer(Verdict::Deny(reason.clone()));
                    prop_assert_eq!(taken(event, &denied), Taken::Blocked, "{:?} {} {:?}", dialect, event, denied);
                    let allowed = answer(Verdict::Allow(reason.clone()));
                    prop_assert_eq!(taken(event, &allowed), Taken::Runs, "{:?} {} {:?}", dialect, event, allowed);
                    let asked = answer(Verdict::Ask(reason.clone()));
                    prop_assert_ne!(taken(event, &asked), Taken::Runs, "{:?} {} {:?}", dialect, event, asked);
                }
                let passed = answer(Verdict::Pass);
                let own = taken(event, &passed);
                // Those that cannot ask their person by themselves have no opinion of their own to fall back on.
                let cannot_ask = match dialect {
                    Dialect::Kiro => true,
                    Dialect::Codex => *event == "PreToolUse",
                    Dialect::Opencode => *event == "tool.before",
                    _ => false,
                };
                prop_assert!(
                    own != Taken::Blocked || cannot_ask,
                    "{:?} {} {:?}", dialect, event, passed
                );
                prop_assert!(!cannot_ask || own == Taken::Blocked, "{:?} {} {:?}", dialect, event, passed);
            }
        }
    }

    #[test]
    fn a_command_of_codex_runs_as_it_is_where_it_was_judged(
        command in any::<String>(),
        cwd in "/[^\0]{0,20}",
    ) {
        let incoming = call(Dialect::Codex, "PreToolUse", &command, &cwd);
        let answer = Dialect::Codex.decision("PreToolUse", &Verdict::Allow(String::new()), Some(&incoming));
        let out: Value = serde_json::from_str(&answer.out).unwrap();
        let output = &out["hookSpecificOutput"];
        prop_assert_eq!(&output["permissionDecision"], "allow");
        let input = only(&output["updatedInput"], &["command"]).unwrap();
        let bound = input["command"].as_str().unwrap();
        let head = bound.strip_suffix(&command).unwrap();
        let words = shell_words::split(head).unwrap();
        prop_assert_eq!(words, ["cd", "--", &cwd, "||", "exit", "1"]);
        prop_assert!(head.ends_with(" || exit 1\n"));
    }
}
