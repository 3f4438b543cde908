//! OpenCode: our plugin among the person's plugins, and our MCP server in the configuration.

use super::super::launch::opencode_plugin;
use super::super::manifest::Manifest;
use super::{MARK, Part, SetupSpec, Target};
use crate::error::{Failure, Result};
use crate::paths;
use serde_json::json;
use std::path::PathBuf;

pub(super) fn targets(manifest: &Manifest, spec: &SetupSpec<'_>) -> Result<Vec<Target>> {
    let dir = paths::env_os("XDG_CONFIG_HOME")
        .map_or_else(|| spec.user_home.join(".config"), PathBuf::from)
        .join("opencode");
    if dir.join("opencode.jsonc").exists() {
        return Err(Failure::refused(format!(
            "{} holds comments that would be lost",
            dir.join("opencode.jsonc").display()
        ))
        .hint("rename it to opencode.json and take the comments out, or start OpenCode with `conductor-hook launch`, which needs no setup"));
    }
    let (name, value) = MARK.split_once('=').unwrap_or((MARK, ""));
    let head = json!({
        "hook": spec.hook.to_string_lossy(),
        "env": { name: value },
        "home": spec.home.root().to_string_lossy(),
        "gate": manifest.gates(),
        "setup": true,
    });
    let server = json!({
        "type": "local", "command": [spec.hook.to_string_lossy(), "mcp"], "enabled": true, "environment": { name: value },
        "timeout": (manifest.tool_wait_seconds + 60) * 1000,
    });
    Ok(vec![
        Target {
            path: dir.join("plugin/agent-conductor.js"),
            part: Part::Whole(format!("// {MARK}\n{}", opencode_plugin(&head))),
        },
        Target {
            path: dir.join("opencode.json"),
            part: Part::Json(json!({ "mcp": { "conductor": server } })),
        },
    ])
}
