//! Gemini CLI: hooks, our MCP server and the system prompt's addition come with the extension that `provider setup` writes; a launch brings the
//! policy by which it does not ask a second time about what our gate let pass.

use super::super::manifest::Manifest;
use super::super::setup;
use super::{LaunchSpec, Parts};
use crate::error::Result;
use crate::paths;
use serde_json::json;

/// Without a pattern of arguments its own list of dangerous commands asks all the same.
const POLICY: &str = r#"[[rule]]
toolName = "run_shell_command"
argsPattern = '"command":'
decision = "allow"
priority = 900
modes = ["default", "autoEdit"]
allowRedirection = true

[[rule]]
toolName = ["write_file", "replace", "web_fetch", "google_web_search", "read_file", "read_many_files", "glob", "grep_search", "list_directory"]
decision = "allow"
priority = 900
modes = ["default", "autoEdit"]

[[rule]]
mcpName = "conductor"
toolName = "*"
decision = "allow"
priority = 950
"#;

pub(super) fn parts(manifest: &Manifest, spec: &LaunchSpec<'_>, parts: &mut Parts) -> Result<()> {
    // The pane has the environment of the tmux server; the hooks are where this process sees them.
    if let Some(home) = paths::user_home() {
        let home = setup::gemini_home(&home);
        parts.env.insert(
            "GEMINI_CLI_HOME".to_owned(),
            home.to_string_lossy().into_owned(),
        );
    }
    // Without its hooks nothing would be asked at all.
    let mut policy = if spec.hooked {
        POLICY.to_owned()
    } else {
        String::new()
    };
    let restricted = !spec.tools.is_empty()
        && !spec
            .tools
            .iter()
            .any(|tool| tool == "*" || tool == "@builtin");
    if restricted {
        let kept = manifest.own_tools(spec.tools);
        let denied: Vec<&String> = manifest
            .tool_names
            .values()
            .flatten()
            .filter(|tool| !kept.contains(tool))
            .collect();
        if !denied.is_empty() {
            policy.push_str(&format!(
                "\n[[rule]]\ntoolName = {}\ndecision = \"deny\"\npriority = 990\n",
                json!(denied)
            ));
        }
    }
    parts.file(spec, "policy", "policy.toml", policy.into_bytes())
}
