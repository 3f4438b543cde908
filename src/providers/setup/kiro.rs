//! Kiro CLI and Amazon Q: hooks stand in an agent file, and an agent file is what a session is started with. One of ours is written for every
//! profile that there is.

use super::super::launch::DECISION_SECONDS;
use super::super::manifest::Manifest;
use super::{Commands, MARK, Part, SetupSpec, Target};
use crate::error::{Failure, Result};
use crate::paths;
use serde_json::{Map, json};
use std::path::PathBuf;

pub(super) fn targets(manifest: &Manifest, spec: &SetupSpec<'_>) -> Result<Vec<Target>> {
    let is_kiro = manifest.name.starts_with("kiro");
    let dir = if is_kiro {
        paths::env_os("KIRO_HOME")
            .map_or_else(|| spec.user_home.join(".kiro"), PathBuf::from)
            .join("agents")
    } else {
        spec.user_home.join(".aws/amazonq/cli-agents")
    };
    let commands = Commands::of(&manifest.name, spec)?;
    let mut hooks = Map::new();
    for event in &manifest.hooks.status {
        hooks.insert(
            event.clone(),
            json!([{ "command": commands.status(event) }]),
        );
    }
    for event in &manifest.hooks.decision {
        let hook = json!({ "matcher": "*", "command": commands.decision(event), "timeout_ms": DECISION_SECONDS * 1000 });
        hooks.insert(event.clone(), json!([hook]));
    }
    let (name, value) = MARK.split_once('=').unwrap_or((MARK, ""));
    spec.profiles
        .iter()
        .map(|profile| {
            let agent = format!("conductor-{}", profile.name);
            let mut servers = Map::new();
            for server in &profile.mcp_servers {
                servers.insert(server.name.clone(), server.definition.clone());
            }
            // Ours last: a profile cannot replace it.
            servers.insert(
                "conductor".to_owned(),
                json!({
                    "command": spec.hook.to_string_lossy(), "args": ["mcp"], "env": { name: value },
                    "timeout": (manifest.tool_wait_seconds + 60) * 1000,
                }),
            );
            let mut document = json!({
                "name": agent,
                "description": format!("{} (Agent Conductor, {MARK})", profile.description),
                "prompt": profile.persona,
                "mcpServers": servers,
                // Without `tools` it would have none; what our gate lets pass is not asked about a second time.
                "tools": ["*"],
                "allowedTools": ["*", "@conductor"],
                "hooks": hooks,
            });
            let own = manifest.own_tools(&profile.tools);
            if !own.is_empty() && !own.iter().any(|tool| tool == "*" || tool == "@builtin") {
                let mut tools = own;
                tools.push("@conductor".to_owned());
                document["tools"] = json!(tools);
            }
            let legacy = if is_kiro {
                "includeMcpJson"
            } else {
                "useLegacyMcpJson"
            };
            document[legacy] = json!(false);
            let text = serde_json::to_string_pretty(&document)
                .map_err(|e| Failure::failed(format!("write JSON: {e}")))?;
            Ok(Target {
                path: dir.join(format!("{agent}.json")),
                part: Part::Whole(text + "\n"),
            })
        })
        .collect()
}
