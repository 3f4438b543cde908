//! What a screen shows: the second source, asked only when a decision depends on it.

use super::manifest::Manifest;
use regex_lite::Regex;

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// The empty prompt.
    Idle,
    /// Signs of a turn.
    Working,
    /// The empty prompt below what the agent says of a turn that failed.
    Failed(String),
    /// The prompt, with a text that nobody has sent.
    Draft,
    /// A dialog: its kind, and what a person does about it.
    Dialog {
        /// Kind, e.g. `trust`.
        kind: String,
        /// What a person does about it.
        remedy: String,
    },
    /// Nothing that is known.
    Unknown,
}

/// How often a screen says that a person gave a call up.
pub fn cancellations(manifest: &Manifest, screen: &str) -> usize {
    manifest
        .screen
        .cancelled
        .as_deref()
        .and_then(|pattern| Regex::new(pattern).ok())
        .map_or(0, |regex| regex.find_iter(screen).count())
}

/// Reads the rows of a screen and the pane's title. Dialogs win over work, work over the prompt: only the last rows count, where agents draw
/// their state. A dialog stands in the place of the empty prompt: above one, its words are the agent's own talk.
pub fn look(manifest: &Manifest, screen: &str, title: &str) -> Seen {
    let rows: Vec<&str> = screen
        .lines()
        .filter(|row| !row.trim().is_empty())
        .collect();
    let tail = rows[rows.len().saturating_sub(20)..].join("\n");
    let known = &manifest.screen;
    let in_text = |pattern: &Option<String>, text: &str| {
        pattern
            .as_deref()
            .is_some_and(|pattern| Regex::new(pattern).is_ok_and(|regex| regex.is_match(text)))
    };
    let prompt = in_text(&known.idle, &tail);
    for dialog in &manifest.dialogs {
        if !prompt && in_text(&Some(dialog.pattern.clone()), &tail) {
            return Seen::Dialog {
                kind: dialog.kind.clone(),
                remedy: dialog.remedy.clone(),
            };
        }
    }
    if in_text(&known.title_dialog, title) {
        return Seen::Dialog {
            kind: "permission".to_owned(),
            remedy: "answer the dialog in the pane".to_owned(),
        };
    }
    if in_text(&known.working, &tail) || in_text(&known.title_working, title) {
        return Seen::Working;
    }
    if prompt {
        let failed = known
            .failed
            .as_deref()
            .and_then(|pattern| Regex::new(pattern).ok())
            .and_then(|regex| Some(regex.captures(&tail)?.get(1)?.as_str().replace('\n', " ")));
        return failed.map_or(Seen::Idle, Seen::Failed);
    }
    if in_text(&known.draft, &tail) {
        return Seen::Draft;
    }
    Seen::Unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: &str = "● done\n\n──────\n❯\u{a0}\n──────\n  ⏸ manual mode on · ? for shortcuts\n";
    const WORKING: &str =
        "✶ Billowing… (1s)\n──────\n❯ \n──────\n  ⏸ manual mode on · esc to interrupt\n";
    /// With vim keys, a draft, or a narrow pane nothing speaks of Esc.
    const WORKING_VIM: &str = "●\n\n✢ Deciphering… (4s · ↓ 7 tokens)\n──────\n❯\u{a0}\n──────\n  -- INSERT -- ⏸ manual mode on\n";
    const RETRYING: &str =
        "✻ 529 mock failure · retrying in 16s · attempt 6/10\n──────\n❯\u{a0}\n──────\n";
    const DONE: &str = "✻ Baked for 4s · done 6:05 AM\n──────\n❯\u{a0}\n──────\n";
    const DRAFT: &str = "● done\n──────\n❯\u{a0}[conductor #18 from x] SLOW: 30\n  and more\n──────\n  ⏸ manual mode on\n";
    const DRAFT_WORKING: &str = "● tick\n✶ Thinking… (3s · ↓ 5 tokens)\n──────\n❯\u{a0}my draft\n──────\n  ⏸ manual mode on\n";
    const ASKED_IN_WORDS: &str =
        "● It would delete everything. Do you want to proceed?\n──────\n❯\u{a0}\n──────\n";
    const EDIT: &str =
        " Do you want to make this edit to a.rs?\n ❯ 1. Yes\n   2. No\n\n Esc to cancel\n";
    const PERMISSION: &str =
        " Do you want to proceed?\n ❯ 1. Yes\n   4. No\n\n Esc to cancel · Tab to amend\n";
    const TRUST: &str = " Quick safety check: Is this a project you created\n ❯ No, exit\n   Yes, I trust this folder\n";

    #[test]
    fn claude_screens_are_told_apart() {
        let manifest =
            Manifest::parse(include_str!("../../agent_store/providers/claude_code.toml")).unwrap();
        assert_eq!(look(&manifest, IDLE, ""), Seen::Idle);
        assert_eq!(look(&manifest, DONE, ""), Seen::Idle);
        assert_eq!(look(&manifest, ASKED_IN_WORDS, ""), Seen::Idle);
        assert!(
            matches!(look(&manifest, EDIT, ""), Seen::Dialog { kind, .. } if kind == "permission")
        );
        for screen in [WORKING, WORKING_VIM, RETRYING, DRAFT_WORKING] {
            assert_eq!(look(&manifest, screen, ""), Seen::Working, "{screen}");
        }
        assert_eq!(look(&manifest, DRAFT, ""), Seen::Draft);
        assert!(
            matches!(look(&manifest, PERMISSION, ""), Seen::Dialog { kind, .. } if kind == "permission")
        );
        assert!(matches!(look(&manifest, TRUST, ""), Seen::Dialog { kind, .. } if kind == "trust"));
        assert_eq!(look(&manifest, "$ ls\nfile\n", ""), Seen::Unknown);
        assert_eq!(look(&manifest, "", ""), Seen::Unknown);
    }
}
