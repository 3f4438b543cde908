//! The default file and the reference page of `config.toml`, made from the one table of keys.

use super::config_table::{KEYS, TABLES};
use std::fmt::Write as _;

/// A `config.toml` in which every key stands with its default, as a comment.
pub fn default_text() -> String {
    let mut text = String::from(
        "# Agent Conductor's configuration. Every line that starts with # shows a default; take the # away to change it.\n# Unknown keys are errors.\n",
    );
    let mut table = "";
    for key in KEYS {
        if key.table != table {
            table = key.table;
            let doc = TABLES.iter().find(|(name, _)| *name == table);
            let doc = doc.map_or("", |(_, doc)| doc);
            let _ = write!(text, "\n# {doc}\n[{table}]\n");
        }
        let value = if key.default.is_empty() {
            key.example
        } else {
            key.default
        };
        let _ = write!(text, "\n# {}\n# {} = {value}\n", key.doc, key.name);
    }
    text
}

/// The reference as Markdown, for docs/configuration.md.
pub fn reference_markdown() -> String {
    let mut text = String::from(
        "# Configuration\n\n`config.toml` lies in the state directory (`CONDUCTOR_HOME`, else `~/.conductor`). Without it every default holds. \
         An unknown key is an error that names its line. `[opencode]` is read and checked, and has no effect in this release.\n",
    );
    let tables = [("", "")].into_iter().chain(TABLES);
    for (table, doc) in tables {
        if table.is_empty() {
            text.push_str("\n## Top level\n\n");
        } else {
            let _ = write!(text, "\n## `[{table}]`\n\n{doc}\n\n");
        }
        text.push_str("| key | type | default | meaning |\n|---|---|---|---|\n");
        for key in KEYS.iter().filter(|key| key.table == table) {
            let default = if key.default.is_empty() {
                "none".to_owned()
            } else {
                format!("`{}`", key.default)
            };
            let (name, kind, doc) = (key.name, key.kind.words(), key.doc);
            let _ = writeln!(text, "| `{name}` | {kind} | {default} | {doc} |");
        }
    }
    text
}
