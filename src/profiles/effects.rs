//! What a project's files may start or change, in words for whoever is asked to trust them.

use super::{front_matter, policy_file, profile};
use std::path::Path;

/// What a profile starts or changes.
pub(super) fn of_profile(bytes: &[u8]) -> Vec<String> {
    let (draft, findings) = profile::read(bytes, None);
    if let Some(fault) = findings.iter().find(|finding| finding.is_error()) {
        return vec![format!("not usable: {fault}")];
    }
    let mut lines = vec![draft.description.unwrap_or_default()];
    let mut say = |what: &str, text: String| {
        if !text.is_empty() {
            lines.push(format!("{what}: {text}"));
        }
    };
    say(
        "extends",
        draft
            .extends
            .map(|name| name.to_string())
            .unwrap_or_default(),
    );
    say("provider", draft.provider.unwrap_or_default());
    say("permission mode", draft.permission_mode.unwrap_or_default());
    say(
        "may use without asking",
        draft.allowed_tools.unwrap_or_default().join(", "),
    );
    let env = draft
        .env
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    say("sets", env.collect::<Vec<_>>().join(" "));
    for server in draft.mcp_servers {
        say(
            &format!("starts the MCP server {}", server.name),
            server.definition.to_string(),
        );
    }
    say("first prompt", draft.prompt.unwrap_or_default());
    lines
}

/// What a flow, or a file beside it, starts.
pub(super) fn of_flow(relative: &Path, bytes: &[u8]) -> Vec<String> {
    if relative
        .extension()
        .is_none_or(|extension| extension != "md")
    {
        return vec!["a file that flows may run".to_owned()];
    }
    let document = match front_matter::parse(bytes) {
        Ok(document) => document,
        Err(fault) => return vec![format!("not usable: {fault}")],
    };
    let keys = ["schedule", "agent_profile", "provider", "script"];
    let said = keys.iter().filter_map(|key| {
        let value = document.fields.get(*key)?;
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        Some(format!("{key}: {text}"))
    });
    said.collect()
}

/// What the rules of a policy do; what it allows is what trust is about.
pub(super) fn of_policy(bytes: &[u8]) -> Vec<String> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return vec!["not usable: it is not UTF-8".to_owned()];
    };
    match policy_file::parse(text) {
        Ok(file) => file
            .rules
            .iter()
            .map(|(rule, _)| format!("{}: {} {}", rule.id, rule.decision.as_str(), rule.matched()))
            .collect(),
        Err(findings) => findings
            .iter()
            .map(|fault| format!("not usable: {fault}"))
            .collect(),
    }
}
