//! Claude Code: hooks in `settings.json`, our MCP server in `.claude.json`.

use super::super::manifest::Manifest;
use super::{MARK, Part, SetupSpec, Target};
use crate::error::{Failure, Result};
use crate::paths;
use serde_json::{Map, json};
use std::path::PathBuf;

pub(super) fn targets(manifest: &Manifest, spec: &SetupSpec<'_>) -> Result<Vec<Target>> {
    // Claude Code keeps both elsewhere when this is set.
    let moved = paths::env_os("CLAUDE_CONFIG_DIR").map(PathBuf::from);
    let settings = moved
        .clone()
        .unwrap_or_else(|| spec.user_home.join(".claude"))
        .join("settings.json");
    let servers = moved
        .unwrap_or_else(|| spec.user_home.to_path_buf())
        .join(".claude.json");
    let binary = spec
        .hook
        .to_str()
        .ok_or_else(|| Failure::failed("the path of this binary is not UTF-8"))?;
    let commands = super::Commands::of(&manifest.name, spec)?;
    let mut hooks = Map::new();
    for event in &manifest.hooks.status {
        let command = commands.status(event);
        let timeout = manifest.hooks.timeout_seconds;
        hooks.insert(
            event.clone(),
            json!([{ "hooks": [{ "type": "command", "command": command, "timeout": timeout }] }]),
        );
    }
    for event in &manifest.hooks.decision {
        let command = commands.decision(event);
        let hook = json!({ "type": "command", "command": command, "timeout": crate::providers::launch::DECISION_SECONDS, "onFailure": "block" });
        hooks.insert(event.clone(), json!([{ "matcher": "*", "hooks": [hook] }]));
    }
    let allow: Vec<String> = spec
        .own_tools
        .iter()
        .map(|tool| format!("mcp__conductor__{tool}"))
        .collect();
    let (name, value) = MARK.split_once('=').unwrap_or((MARK, ""));
    Ok(vec![
        Target {
            path: settings,
            part: Part::Json(json!({ "hooks": hooks, "permissions": { "allow": allow } })),
        },
        Target {
            path: servers,
            part: Part::Json(json!({ "mcpServers": { "conductor": {
                "type": "stdio", "command": binary, "args": ["mcp"], "env": { name: value },
            } } })),
        },
    ])
}
