//! `policy check`, `policy show`.

use super::Door;
use crate::cli;
use crate::domain::policy::{Decision, Ruling};
use crate::domain::text::one_line;
use crate::error::{Failure, Kind, Result};
use crate::paths;
use crate::profiles::policy::Loaded;
use crate::services::policy::{self, Question};
use crate::services::profile::Trusted;
use crate::ui::table::Table;
use serde_json::{Value, json};
use std::path::Path;

pub(super) fn policy(door: &mut Door<'_>, command: &cli::Policy) -> Result<u8> {
    match command {
        cli::Policy::Check {
            cwd,
            tool,
            provider,
            profile,
            command,
        } => {
            let cwd = directory(cwd.as_deref())?;
            let question = Question {
                cwd: &cwd,
                provider,
                tool,
                profile,
                words: command,
            };
            check(door, question)
        }
        cli::Policy::Show => {
            let cwd = paths::working_directory()?;
            let loaded = policy::load(&door.cx.home, &cwd, &Trusted::read(&door.cx)?);
            show(door, &loaded).map(|()| 0)
        }
    }
}

fn directory(cwd: Option<&Path>) -> Result<std::path::PathBuf> {
    let here = paths::working_directory()?;
    let Some(dir) = cwd else { return Ok(here) };
    let shown = one_line(&dir.to_string_lossy());
    here.join(dir).canonicalize().map_err(|e| {
        Failure::not_found(format!("use the directory {shown}: {e}"))
            .hint("name an existing one with --cwd")
    })
}

const fn exit_code(decision: Decision) -> u8 {
    match decision {
        Decision::Allow => 0,
        Decision::Deny => Kind::Refused.exit_code(),
        Decision::Ask => 10,
        Decision::Defer => 11,
    }
}

fn check(door: &mut Door<'_>, question: Question<'_>) -> Result<u8> {
    let (loaded, _, ruling) = policy::check(&door.cx, question)?;
    let mut value = serde_json::to_value(&ruling)
        .map_err(|e| Failure::failed(format!("write the ruling: {e}")))?;
    if let Value::Object(fields) = &mut value {
        fields.insert("tool".to_owned(), json!(question.tool));
        fields.insert("cwd".to_owned(), json!(question.cwd));
        fields.insert("warnings".to_owned(), json!(loaded.warnings));
    }
    door.print(&value, |_| in_words(&ruling, &loaded))?;
    Ok(exit_code(ruling.decision))
}

fn in_words(ruling: &Ruling, loaded: &Loaded) -> String {
    let mut text = String::new();
    let mut say = |what: &str, value: &str| {
        text.push_str(&format!("{what:<9} {}\n", one_line(value)));
    };
    say(ruling.decision.as_str(), &ruling.reason);
    say("risk", ruling.risk.as_str());
    if ruling.decision == Decision::Ask {
        say("presence", ruling.presence.as_str());
    }
    for command in &ruling.commands {
        say("runs", &shell_words::join(command));
    }
    for part in &ruling.unclear {
        say("unclear", part);
    }
    for script in &ruling.scripts {
        say("script", &script.to_string_lossy());
    }
    for warning in &loaded.warnings {
        say("warning", warning);
    }
    text
}

/// The layer that the rule at `index` comes from.
fn layer_of(loaded: &Loaded, index: usize) -> &'static str {
    let mut end = 0;
    for layer in &loaded.layers {
        end += layer.rules;
        if index < end {
            return layer.name;
        }
    }
    "project"
}

fn show(door: &mut Door<'_>, loaded: &Loaded) -> Result<()> {
    let defaults = &loaded.policy.defaults;
    let rules: Vec<Value> = loaded
        .policy
        .rules
        .iter()
        .enumerate()
        .map(|(index, rule)| {
            json!({
                "id": rule.id, "decision": rule.decision, "risk": rule.risk(), "presence": rule.presence,
                "from": layer_of(loaded, index), "matches": rule.matched(), "overrides": rule.overrides, "reason": rule.reason,
            })
        })
        .collect();
    let value = json!({
        "defaults": {
            "unmatched": if defaults.ask_unmatched { "ask" } else { "defer" },
            "presence": defaults.presence, "expires_seconds": defaults.expires_seconds,
        },
        "layers": loaded.layers, "rules": rules, "warnings": loaded.warnings,
    });
    door.print(&value, |_| {
        let mut table = Table::new(&["decision", "rule", "risk", "from", "matches", "reason"]);
        for (index, rule) in loaded.policy.rules.iter().enumerate() {
            table.row(&[
                rule.decision.as_str(),
                &rule.id,
                rule.risk().as_str(),
                layer_of(loaded, index),
                &crate::ui::table::cut(&rule.matched(), 60),
                &rule.reason,
            ]);
        }
        let mut text = table.render();
        let unmatched = if defaults.ask_unmatched { "is asked about" } else { "is left to the agent, if it asks by itself" };
        let presence = defaults.presence.map_or("challenge for high risk, else caller", |p| p.as_str());
        text.push_str(&format!(
            "\nwhat no rule matches {unmatched}; presence: {presence}; a request expires after {} s\n",
            defaults.expires_seconds
        ));
        for layer in &loaded.layers {
            let path = layer.path.as_ref().map(|path| path.display().to_string());
            let path = path.unwrap_or_else(|| "part of this program".to_owned());
            text.push_str(&format!("{}: {} rules, {}\n", layer.name, layer.rules, one_line(&path)));
        }
        for warning in &loaded.warnings {
            text.push_str(&format!("warning: {}\n", one_line(warning)));
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profiles::policy::built_in;

    /// `a|b` would end a cell.
    fn cell(text: &str) -> String {
        text.replace('|', " ")
            .replace('*', "\\*")
            .replace('<', "&lt;")
    }

    fn table() -> String {
        let mut text =
            String::from("| decision | rule | risk | matches | because |\n|---|---|---|---|---|\n");
        for rule in &built_in().policy.rules {
            text.push_str(&format!(
                "| {} | `{}` | {} | {} | {} |\n",
                rule.decision.as_str(),
                rule.id,
                rule.risk().as_str(),
                cell(&rule.matched()),
                cell(&rule.reason)
            ));
        }
        text
    }

    #[test]
    fn the_table_of_rules_in_the_pages_is_up_to_date() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/policy.md");
        let page = std::fs::read_to_string(&path).unwrap();
        let (front, rest) = page.split_once("<!-- rules:").unwrap();
        let (head, rest) = rest.split_once("-->\n").unwrap();
        let (_, back) = rest.split_once("<!-- end of rules -->").unwrap();
        let wanted = format!(
            "{front}<!-- rules:{head}-->\n\n{}\n<!-- end of rules -->{back}",
            table()
        );
        if paths::env("CONDUCTOR_RENEW").is_some() {
            crate::fsx::write_atomic_mode(&path, wanted.as_bytes(), 0o644).unwrap();
            return;
        }
        assert_eq!(
            page, wanted,
            "docs/policy.md: CONDUCTOR_RENEW=1 cargo test --lib pages"
        );
    }
}
