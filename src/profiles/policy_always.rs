//! The rules that an approval with scope `always` adds to the user's `policy.toml`: the literal command, and nothing more.

use super::files;
use super::policy::{self, MAX_BYTES};
use super::project::sha256;
use crate::domain::policy::{Need, Ruling};
use crate::domain::text::one_line;
use crate::error::{Failure, Result};
use crate::fsx;
use crate::paths::Home;
use std::path::Path;

/// What was added.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Added {
    /// The ids of the new rules.
    pub rules: Vec<String>,
    /// The text that was put at the end of the file.
    pub text: String,
}

/// The rules that would let the call of `ruling` run below `cwd` without being asked about. Refused for a call that was not fully
/// understood, that a deny rule matches, or whose commands depend on what the directory holds.
pub fn rules(ruling: &Ruling, cwd: &Path, at: &str) -> Result<Added> {
    let refused = |why: &str| {
        Failure::refused(format!("make a rule for this call: {why}"))
            .hint("approve it once, or write a rule into policy.toml by hand")
    };
    if !ruling.complete {
        let parts = one_line(&ruling.unclear.join("; "));
        return Err(refused(&format!(
            "parts of it could not be checked: {parts}"
        )));
    }
    if ruling.needs.is_empty() {
        return Err(refused("no rule could allow it"));
    }
    let cwd = cwd
        .to_str()
        .ok_or_else(|| refused("the directory's name is not UTF-8"))?;
    let mut added = Added {
        rules: Vec::new(),
        text: String::new(),
    };
    for need in &ruling.needs {
        if need.argv.iter().any(|word| word.contains(['*', '?', '['])) {
            return Err(refused(
                "a pattern in it becomes other words when the directory changes",
            ));
        }
        let digest = sha256(format!("{cwd}\0{}", need.argv.join("\0")).as_bytes());
        let id = format!("always-{}", digest.get(..12).unwrap_or_default());
        if added.rules.contains(&id) {
            continue;
        }
        added.text.push_str(&rule(need, &id, cwd, at));
        added.rules.push(id);
    }
    Ok(added)
}

fn rule(need: &Need, id: &str, cwd: &str, at: &str) -> String {
    // In brackets a word is itself, also `...`.
    let argv: Vec<String> = need
        .argv
        .iter()
        .map(|word| {
            let quoted = quote(word);
            if word == "..." {
                format!("[{quoted}]")
            } else {
                quoted
            }
        })
        .collect();
    let mut text = format!(
        "\n[[rule]]\nid = {}\ndecision = \"allow\"\nargv = [{}]\ncwd = {}\nreason = {}\n",
        quote(id),
        argv.join(", "),
        quote(cwd),
        quote(&format!("approved for always at {at}")),
    );
    if !need.asked_by.is_empty() {
        let names: Vec<String> = need.asked_by.iter().map(|id| quote(id)).collect();
        text.push_str(&format!("overrides = [{}]\n", names.join(", ")));
    }
    text
}

/// A TOML string; whatever is not printable ASCII is escaped, so that the file shows what it holds.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            ' '..='~' => quoted.push(c),
            c => quoted.push_str(&format!("\\U{:08X}", u32::from(c))),
        }
    }
    quoted.push('"');
    quoted
}

/// Puts `added` at the end of the user's `policy.toml`, in one step; comments and order stay. A file with a mistake is left as it is.
pub fn append(home: &Home, added: &Added) -> Result<()> {
    let path = home.policy();
    let what = || format!("add a rule to {}", path.display());
    let old = match files::read_named(&path, MAX_BYTES) {
        Ok(bytes) => String::from_utf8(bytes)
            .map_err(|_| Failure::failed("it is not UTF-8").context(what()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "version = 1\n".to_owned(),
        Err(error) => return Err(Failure::failed(files::why(&error)).context(what())),
    };
    let known = policy::check(&old).map_err(|findings| {
        super::finding::failure(what(), &findings)
            .unwrap_or_else(|| Failure::failed(what()))
            .hint("mend the file first: the last good copy is in force")
    })?;
    let fresh = added.text.split("\n[[rule]]\n").skip(1).zip(&added.rules);
    let fresh: String = fresh
        .filter(|(_, id)| !known.0.rules.iter().any(|(rule, _)| rule.id == **id))
        .map(|(text, _)| format!("\n[[rule]]\n{text}"))
        .collect();
    if fresh.is_empty() {
        return Ok(());
    }
    let line_end = if old.is_empty() || old.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    let new = format!("{old}{line_end}{fresh}");
    policy::check(&new).map_err(|findings| {
        super::finding::failure(what(), &findings).unwrap_or_else(|| Failure::failed(what()))
    })?;
    // A link stays a link: people keep such files elsewhere.
    let target = path.canonicalize().unwrap_or_else(|_| path.clone());
    fsx::write_atomic(&target, new.as_bytes()).map_err(|error| {
        Failure::failed(error.to_string())
            .disk(&error)
            .context(what())
    })
}

#[cfg(test)]
#[path = "policy_always_tests.rs"]
mod tests;
