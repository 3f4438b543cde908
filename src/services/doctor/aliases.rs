//! The commands of tmux's own prompt that the plugin brings.

use super::{Finding, Level, bad};
use crate::services::plugin::PluginStatus;

/// What stands in the way of ours, and which are gone.
pub(super) fn aliases(status: &PluginStatus) -> Vec<Finding> {
    let mut findings: Vec<Finding> = status.taken_aliases.iter().map(taken).collect();
    let missing = status.missing_aliases.join(", ");
    if !missing.is_empty() {
        let finding = bad(
            Level::Warning,
            "aliases",
            format!("commands of tmux's prompt are missing: {missing}"),
            "their keys still work, they do not",
            "run `conductor-hook plugin load`; give your own an index, e.g. command-alias[10]",
        );
        findings.push(finding.fixable());
    }
    findings
}

fn taken(alias: &String) -> Finding {
    bad(
        Level::Warning,
        "aliases",
        format!("{alias}, or its index of command-alias, is yours and was left alone"),
        "that command of tmux's prompt does not do what the documentation says",
        "use the key, or give your own another name or index",
    )
}
