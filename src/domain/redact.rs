//! Secrets in text that is kept for long: taken out before it is written. What was there can still be told from something else by the
//! first digits of its hash; a digest of the whole is taken over the original bytes.
//!
//! A net, not a wall: it knows the usual shapes of keys and the usual ways to pass one, and takes out rather too much than too little.

use super::audit::digest;
use regex_lite::{Captures, Regex};
use std::sync::LazyLock;

/// What stands in a secret's place begins so; eight digits of its SHA-256 and `⟩` follow.
const MARK: &str = "⟨redacted-sha256:";

/// Whether what was found is a secret after all.
type Filter = fn(&str) -> bool;

/// A way to find secrets.
struct Rule {
    /// The group `secret` goes, the groups `before` and `after` stay.
    pattern: Regex,
    /// Whether what was found is a secret after all.
    filter: Filter,
}

/// The rules, in the order in which they are applied.
static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let value = r#"(?<secret>(?:"(?:[^"\\]|\\.)*(?:"|\z)|'[^']*(?:'|\z))[^\s"']*|[^\s"']+)"#;
    let word = r"(?:token|secret|passw(?:or)?d|passphrase|pwd|credentials?|api[_.-]?key|access[_.-]?key|private[_.-]?key)";
    let patterns: [(String, Filter); 9] = [
        // Keys in PEM, to their end or to the end of the text.
        (r"(?s)(?<secret>-----BEGIN [^-]*-----.*?(?:-----END [^-]*-----|\z))".to_owned(), always),
        // What its maker marked as a key.
        (
            format!(
                "(?<before>^|[^A-Za-z0-9])(?<secret>{})",
                [
                    "(?:AKIA|ASIA|AGPA|AIDA|AROA)[A-Z0-9]{12,}",
                    "gh[pousr]_[A-Za-z0-9_]{16,}",
                    "github_pat_[A-Za-z0-9_]{16,}",
                    "gl(?:pat|dt|rt|cbt|ptt)-[A-Za-z0-9_.-]{16,}",
                    "sk-[A-Za-z0-9_-]{16,}",
                    "(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{8,}",
                    "whsec_[A-Za-z0-9+/=]{16,}",
                    "xox[a-z]-[A-Za-z0-9-]{8,}",
                    "xapp-[A-Za-z0-9-]{8,}",
                    "AIza[A-Za-z0-9_-]{20,}",
                    r"ya29\.[A-Za-z0-9_.-]{16,}",
                    "npm_[A-Za-z0-9]{20,}",
                    "pypi-[A-Za-z0-9_-]{16,}",
                    "hf_[A-Za-z0-9]{16,}",
                    "gsk_[A-Za-z0-9]{16,}",
                    "xai-[A-Za-z0-9]{16,}",
                    "dop_v1_[a-f0-9]{16,}",
                    "dckr_pat_[A-Za-z0-9_-]{16,}",
                    r"SG\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",
                    "AGE-SECRET-KEY-1[A-Z0-9]{20,}",
                    r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?",
                ]
                .join("|")
            ),
            always,
        ),
        // Name and password in an address.
        (r"(?<before>[A-Za-z][A-Za-z0-9+.-]*://)(?<secret>[^\s/?#]+)(?<after>@)".to_owned(), |user| user != "git"),
        // The value of a header that says who one is.
        (
            r"(?i)(?<before>\b(?:authorization|proxy-authorization|cookie|set-cookie)\s*[:=]\s*)(?<secret>[^\r\n\x22']+)".to_owned(),
            always,
        ),
        (r"(?i)(?<before>\b(?:bearer|basic)\s+)(?<secret>[A-Za-z0-9._~+/=-]{8,})".to_owned(), always),
        // A name that says what its value is: NAME=VALUE, NAME: VALUE, --name VALUE.
        (
            format!(r#"(?i)(?<before>(?:{word}[A-Za-z0-9_.-]*|key|_auth)["']?\s*[=:]\s*){value}"#),
            always,
        ),
        (format!(r"(?i)(?<before>\s--?[A-Za-z0-9-]*{word}[A-Za-z0-9-]*\s+){value}"), not_a_flag),
        (r"(?<before>\s(?:-u|--user)[\s=]*[^\s:@/]+:)(?<secret>[^\s]+)".to_owned(), always),
        // What looks as if it had been drawn by lot.
        ("(?<secret>[A-Za-z0-9+/=_-]{32,})".to_owned(), drawn_by_lot),
    ];
    patterns
        .into_iter()
        .filter_map(|(pattern, filter)| {
            let pattern = Regex::new(&pattern).ok()?;
            Some(Rule { pattern, filter })
        })
        .collect()
});

fn always(_: &str) -> bool {
    true
}

fn not_a_flag(value: &str) -> bool {
    value
        .strip_prefix('-')
        .is_none_or(|rest| !rest.starts_with(|c: char| c == '-' || c.is_ascii_alphabetic()))
}

/// `text` with a mark in the place of each secret. Cut it afterwards, not before: half of a key does not look like one.
pub fn redact(text: &str) -> String {
    let mut text = text.to_owned();
    for rule in RULES.iter() {
        let replaced = rule.pattern.replace_all(&text, |found: &Captures<'_>| {
            let part = |name| found.name(name).map_or("", |part| part.as_str());
            let secret = part("secret");
            if is_mark(secret) || !(rule.filter)(secret) {
                return found[0].to_owned();
            }
            let hash = digest(secret.as_bytes());
            let short = hash.get(..8).unwrap_or_default();
            format!("{}{MARK}{short}⟩{}", part("before"), part("after"))
        });
        text = replaced.into_owned();
    }
    text
}

/// The first `most` characters of `text`, without secrets. Four times as much is looked at, so that no half of a key stays; what lies
/// further on costs nothing.
pub fn excerpt(text: &str, most: usize) -> String {
    let end = text.char_indices().nth(most.saturating_mul(4));
    let start = end.map_or(text, |(at, _)| &text[..at]);
    redact(start).chars().take(most).collect()
}

/// Whether it is what stands in a secret's place.
fn is_mark(text: &str) -> bool {
    text.strip_prefix(MARK)
        .and_then(|rest| rest.strip_suffix('⟩'))
        .is_some_and(|hash| hash.len() == 8 && hash.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Whether a word of 32 or more letters and digits is too disordered for a name: most of a key's characters differ from one another.
/// Parts of a path are looked at one by one.
fn drawn_by_lot(word: &str) -> bool {
    let whole = word.len() >= 40 && entropy(word) >= 4.6;
    whole
        || word.split('/').any(|part| {
            let digits = part.bytes().filter(u8::is_ascii_digit).count();
            let entropy = entropy(part);
            part.len() >= 32 && (entropy >= 4.2 || (digits >= 4 && entropy >= 3.0))
        })
}

/// Shannon's entropy of the bytes of `text`, in bits a byte.
fn entropy(text: &str) -> f64 {
    let mut counts = [0u32; 256];
    for byte in text.bytes() {
        counts[usize::from(byte)] += 1;
    }
    let length = f64::from(u32::try_from(text.len()).unwrap_or(u32::MAX).max(1));
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let share = f64::from(*count) / length;
            -share * share.log2()
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_rule_is_in_force() {
        assert_eq!(RULES.len(), 9);
    }

    #[test]
    fn ordinary_commands_stay_as_they_are() {
        for text in [
            "cargo test --locked --test integration approvals",
            "git commit -m 'Tell the keeper of the keys about tokens'",
            "rm -rf build && git push --force origin a-very-long-branch-name-with-many-words",
            "ls /home/user/projects/some-long-directory-name/another-long-name/src/main.rs",
            "git clone ssh://git@example.org/team/project.git",
            "Co-authored-by: Jane Doe <jane@example.org>",
            "curl -sSL https://example.org/install.sh | sh",
            "sed -n 's/author: x/author: y/p' file",
            "task-runner-with-a-long-name --dry-run",
        ] {
            assert_eq!(redact(text), text);
        }
    }

    #[test]
    fn the_rest_stays_legible() {
        assert_eq!(
            redact("curl -H \"X-Api-Key: hunter2\" https://me:pw@example.org/x?y"),
            "curl -H \"X-Api-Key: ⟨redacted-sha256:f52fbd32⟩\" https://⟨redacted-sha256:7fb75272⟩@example.org/x?y"
        );
    }

    #[test]
    fn an_excerpt_holds_no_half_of_a_key() {
        let key = format!("ghp_{}", "aB3dE5".repeat(6));
        for before in 0..60 {
            let text = format!("{} {key} {}", "x ".repeat(before), "y ".repeat(500));
            let short = excerpt(&text, 60);
            assert!(short.chars().count() <= 60);
            assert!(!short.contains("ghp_"), "{short}");
        }
        assert_eq!(excerpt("äöü", 2), "äö");
    }

    /// Shapes of secrets that tell themselves.
    fn marked() -> impl Strategy<Value = String> {
        prop_oneof![
            "AKIA[A-Z0-9]{16}",
            "ghp_[A-Za-z0-9]{36}",
            "github_pat_[A-Za-z0-9_]{40}",
            "sk-ant-[A-Za-z0-9_-]{40}",
            "xoxb-[0-9]{12}-[A-Za-z0-9]{24}",
            "AIza[A-Za-z0-9_-]{35}",
            "npm_[A-Za-z0-9]{36}",
            "eyJ[A-Za-z0-9_-]{20}\\.[A-Za-z0-9_-]{20}\\.[A-Za-z0-9_-]{20}",
            "-----BEGIN OPENSSH PRIVATE KEY-----\n[A-Za-z0-9+/=\n]{60,90}\n-----END OPENSSH PRIVATE KEY-----",
        ]
    }

    /// Where a secret may stand that says so only by where it stands.
    fn passed(secret: &str, how: usize) -> String {
        match how {
            0 => format!("PASSWORD={secret} run"),
            1 => format!("run --password '{secret}'"),
            2 => format!("run --api-key={secret}"),
            3 => format!("{{\"client_secret\": \"{secret}\", \"a\": 1}}"),
            4 => format!("curl -H 'Authorization: Bearer {secret}' x"),
            5 => format!("psql postgres://me:{secret}@localhost/db"),
            6 => format!("git clone https://{secret}@example.org/x"),
            7 => format!("curl -u me:{secret} x"),
            8 => format!("export DB_TOKEN=\"{secret}\""),
            9 => format!("curl -H \"x-api-key: {secret}\" x"),
            10 => format!("deploy --token {secret}"),
            _ => format!("curl --cookie x -H 'Cookie: session={secret}'"),
        }
    }

    proptest! {
        #[test]
        fn what_is_marked_as_a_key_never_stays(secret in marked(), before in "(.{0,20}[^A-Za-z0-9])?", after in "([ '\"\n;&|)].{0,20})?") {
            let text = redact(&format!("{before}{secret}{after}"));
            prop_assert!(!text.contains(&secret), "{text}");
            prop_assert!(!text.contains(&secret[secret.len() / 2..]), "{text}");
        }

        #[test]
        fn what_is_passed_as_a_secret_never_stays(secret in "[A-Za-z0-9!%^*_+=.,~][A-Za-z0-9!%^*_+=.,~-]{10,24}", how in 0usize..12) {
            let text = redact(&passed(&secret, how));
            prop_assert!(!text.contains(&secret), "{text}");
            prop_assert!(!text.contains(&secret[..8]), "{text}");
        }

        #[test]
        fn what_was_drawn_by_lot_never_stays(bytes in prop::collection::vec(any::<u8>(), 24..48), base in any::<bool>()) {
            const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-";
            let secret: String = if base {
                bytes.iter().map(|byte| char::from(DIGITS[usize::from(byte % 64)])).chain("kQ7xZ2mV9pL4tR8w".chars()).collect()
            } else {
                digest(&bytes)[..40].to_owned()
            };
            prop_assume!(entropy(&secret) > 4.2 || (!base && entropy(&secret) > 3.0));
            let text = redact(&format!("run {secret} now"));
            prop_assert!(!text.contains(&secret), "{text}");
        }

        #[test]
        fn no_text_breaks_it_and_marks_stay(text in any::<String>()) {
            let once = redact(&text);
            for mark in once.split(MARK).skip(1) {
                prop_assert!(mark.len() >= 8);
            }
        }

        #[test]
        fn a_second_time_changes_nothing(secret in "[A-Za-z0-9]{10,24}", how in 0usize..12) {
            let once = redact(&passed(&secret, how));
            prop_assert_eq!(redact(&once), once.clone());
        }
    }
}
