//! Reading the fields of a front matter: leniently where the meaning is plain, with a finding where it is not.

use super::finding::Finding;
use super::front_matter::Document;
use crate::domain::ids::Name;
use crate::domain::text::is_unsafe;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Environment variables that a profile may not set: they change what other programs load or run, or are ours.
const DENIED_ENV: [&str; 4] = ["BASH_ENV", "ENV", "PROMPT_COMMAND", "PATH"];
/// The same, by how they start.
const DENIED_ENV_PREFIXES: [&str; 4] = ["LD_", "DYLD_", "TMUX", "CONDUCTOR_"];

/// Reads a document's fields and collects what is wrong with them. `null` is the same as absent.
pub(super) struct Fields<'a> {
    document: &'a Document,
    pub(super) findings: Vec<Finding>,
}

impl<'a> Fields<'a> {
    pub(super) fn of(document: &'a Document) -> Self {
        Self {
            document,
            findings: Vec::new(),
        }
    }

    pub(super) fn error(&mut self, key: &str, message: String) {
        let finding = Finding::error(message).at(self.document.line_of(key));
        self.findings.push(finding);
    }

    pub(super) fn warning(&mut self, key: &str, message: String) {
        let finding = Finding::warning(message).at(self.document.line_of(key));
        self.findings.push(finding);
    }

    fn get(&self, key: &str) -> Option<&'a Value> {
        self.document
            .fields
            .get(key)
            .filter(|value| !value.is_null())
    }

    /// A text of any number of lines; a number or truth value counts as its text.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        let value = self.get(key)?;
        let text = scalar(value);
        if text.is_none() {
            self.error(key, format!("{key} is not a text but {}", kind(value)));
        }
        text
    }

    /// A text as one line: line ends and runs of spaces become one space.
    pub(super) fn sentence(&mut self, key: &str) -> Option<String> {
        let text = self.text(key)?;
        Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// A text that becomes an argument of a program: one line, not empty, and no option.
    pub(super) fn word(&mut self, key: &str) -> Option<String> {
        let text = self.text(key)?.trim().to_owned();
        if let Some(why) = not_a_word(&text) {
            self.error(key, format!("{key} {why}"));
            return None;
        }
        Some(text)
    }

    /// A [`Name`].
    pub(super) fn name(&mut self, key: &str) -> Option<Name> {
        let text = self.text(key)?;
        match Name::parse(text.trim()) {
            Ok(name) => Some(name),
            Err(error) => {
                self.error(key, format!("{key}: {error}"));
                None
            }
        }
    }

    /// A list of words, or one text with commas between them; commas in parentheses do not separate.
    pub(super) fn list(&mut self, key: &str) -> Option<Vec<String>> {
        let value = self.get(key)?;
        let items: Option<Vec<String>> = match value {
            Value::Array(items) => items.iter().map(scalar).collect(),
            Value::Object(_) => None,
            other => scalar(other).map(|text| split_commas(&text)),
        };
        let Some(items) = items else {
            self.error(key, format!("{key} is not a list of words"));
            return None;
        };
        let mut list: Vec<String> = Vec::new();
        for item in items {
            let item = item.trim().to_owned();
            if let Some(why) = not_a_word(&item) {
                self.error(key, format!("{key}: {item:?} {why}"));
            } else if !list.contains(&item) {
                list.push(item);
            }
        }
        Some(list)
    }

    /// A map of any values.
    pub(super) fn map(&mut self, key: &str) -> Option<&'a Map<String, Value>> {
        match self.get(key)? {
            Value::Object(map) => Some(map),
            other => {
                self.error(
                    key,
                    format!("{key} is not a map of names but {}", kind(other)),
                );
                None
            }
        }
    }

    /// Environment variables for the agent.
    pub(super) fn env(&mut self, key: &str) -> Option<BTreeMap<String, String>> {
        let mut env = BTreeMap::new();
        for (name, value) in self.map(key)? {
            if let Some(why) = refused_variable(name) {
                self.error(key, format!("{key}: {name:?} {why}"));
            } else if let Some(text) = scalar(value) {
                env.insert(name.clone(), text);
            } else {
                self.error(
                    key,
                    format!("{key}: {name} is not a text but {}", kind(value)),
                );
            }
        }
        Some(env)
    }
}

/// Why a profile may not set the environment variable `name`; `None` when it may.
pub fn refused_variable(name: &str) -> Option<&'static str> {
    let upper = name.to_ascii_uppercase();
    let letters = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if name.is_empty() || !letters || name.starts_with(|c: char| c.is_ascii_digit()) {
        Some("is not the name of an environment variable")
    } else if DENIED_ENV.contains(&upper.as_str())
        || DENIED_ENV_PREFIXES.iter().any(|p| upper.starts_with(p))
    {
        Some("may not be set by a profile: it changes what other programs load, or is ours")
    } else {
        None
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(bool) => Some(bool.to_string()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

fn not_a_word(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        Some("is empty")
    } else if text.starts_with('-') {
        Some("starts with - and would be read as an option")
    } else if text.chars().any(is_unsafe) {
        Some("holds a control or invisible character")
    } else {
        None
    }
}

fn split_commas(text: &str) -> Vec<String> {
    let mut depth = 0_usize;
    let parts = text.split(|c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    });
    parts
        .map(|part| part.trim().to_owned())
        .filter(|part| !part.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_separate_outside_parentheses() {
        assert_eq!(
            split_commas("Read, Bash(a, b),,Grep"),
            ["Read", "Bash(a, b)", "Grep"]
        );
    }

    #[test]
    fn variables_that_change_other_programs_are_refused() {
        for bad in [
            "LD_PRELOAD",
            "DYLD_X",
            "BASH_ENV",
            "ENV",
            "PROMPT_COMMAND",
            "TMUX",
            "TMUX_PANE",
            "TMUX_TMPDIR",
            "CONDUCTOR_HOME",
            "PATH",
            "path",
            "",
            "A=B",
            "1A",
            "A B",
        ] {
            assert!(refused_variable(bad).is_some(), "{bad:?}");
        }
        for good in ["RUST_LOG", "MY_PATH", "_X", "GOLD_X", "ENVIRONMENT"] {
            assert_eq!(refused_variable(good), None, "{good:?}");
        }
    }
}
