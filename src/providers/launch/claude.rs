//! Claude Code, and the demo agent that is started as it is: `--settings` and `--mcp-config` name files of ours.

use super::super::manifest::Manifest;
use super::{DECISION_SECONDS, HookCommands, LaunchSpec, Parts};
use crate::error::Result;
use serde_json::{Map, Value, json};

pub(super) fn parts(manifest: &Manifest, spec: &LaunchSpec<'_>, parts: &mut Parts) -> Result<()> {
    let settings = settings(manifest, spec)?.to_string().into_bytes();
    parts.file(spec, "settings", "settings.json", settings)?;
    let mcp = mcp_config(spec).to_string().into_bytes();
    parts.file(spec, "mcp_config", "mcp.json", mcp)
}

/// The hooks, as `--settings` takes them.
fn settings(manifest: &Manifest, spec: &LaunchSpec<'_>) -> Result<Value> {
    let commands = HookCommands::of(manifest, spec)?;
    let mut hooks = Map::new();
    for event in &manifest.hooks.status {
        let entry = hook(&commands.status(event), manifest.hooks.timeout_seconds);
        hooks.insert(event.clone(), entry);
    }
    for event in &manifest.hooks.decision {
        let mut entry = hook(&commands.decision(event), DECISION_SECONDS);
        // Claude Code from 2.1.295 on: a hook that cannot be started or breaks off blocks; older versions and others ignore it.
        entry[0]["hooks"][0]["onFailure"] = json!("block");
        hooks.insert(event.clone(), entry);
    }
    let allow: Vec<String> = spec
        .own_tools
        .iter()
        .map(|tool| format!("mcp__conductor__{tool}"))
        .collect();
    Ok(json!({ "hooks": hooks, "disableAllHooks": false, "permissions": { "allow": allow } }))
}

fn hook(command: &str, timeout: u64) -> Value {
    json!([{ "matcher": "*", "hooks": [{ "type": "command", "command": command, "timeout": timeout }] }])
}

fn mcp_config(spec: &LaunchSpec<'_>) -> Value {
    let mut servers = Map::new();
    for server in spec.mcp_servers {
        servers.insert(server.name.clone(), server.definition.clone());
    }
    // Ours last: a profile cannot replace it.
    servers.insert(
        "conductor".to_owned(),
        json!({
            "type": "stdio",
            "command": spec.hook.to_string_lossy(),
            "args": ["mcp"],
            "env": spec.mcp_env,
            "alwaysLoad": true,
        }),
    );
    json!({ "mcpServers": servers })
}
