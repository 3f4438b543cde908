//! OpenCode: a plugin of ours that is written for each terminal, and a configuration in its environment that is merged over the person's.

use super::super::manifest::{Channel, Manifest};
use super::{LaunchSpec, Parts};
use crate::domain::profile::McpServer;
use crate::error::Result;
use serde_json::{Map, Value, json};

const PLUGIN: &str = include_str!("../../../agent_store/plugins/opencode.js");
const SCREEN_PLUGIN: &str = include_str!("../../../agent_store/plugins/opencode-tui.js");

/// Only the start of OpenCode needs it: with any plugin it would wait for the network. The plugin hides it from tools.
const OFFLINE: &str = "npm_config_offline";

pub(super) fn parts(manifest: &Manifest, spec: &LaunchSpec<'_>, parts: &mut Parts) -> Result<()> {
    let bell = spec.path_of(Channel::BELL)?;
    let mut variables = spec.mcp_env.clone();
    // A variable of this name says that a hook stands in the user's settings: nobody else's shall say so of ours.
    variables.insert(crate::paths::name::SETUP.to_owned(), String::new());
    let head = json!({
        "hook": spec.hook.to_string_lossy(), "env": variables, "bell": bell, "gate": manifest.gates(), "tui": true,
        "unset": [OFFLINE],
    });
    parts
        .files
        .push(("opencode.js", plugin(&head).into_bytes()));
    parts
        .files
        .push(("opencode-tui.js", SCREEN_PLUGIN.as_bytes().to_vec()));
    let screen = json!({ "plugin": [url(&spec.path_of("opencode-tui.js")?)] });
    parts
        .files
        .push(("tui.json", screen.to_string().into_bytes()));
    let mut servers = Map::new();
    for server in spec.mcp_servers {
        if let Some(definition) = server_of(server) {
            servers.insert(server.name.clone(), definition);
        }
    }
    // Ours last: a profile cannot replace it.
    servers.insert(
        "conductor".to_owned(),
        json!({
            "type": "local", "command": [spec.hook.to_string_lossy(), "mcp"], "enabled": true, "environment": spec.mcp_env,
            "timeout": (manifest.tool_wait_seconds + 60) * 1000,
        }),
    );
    let mut config = json!({
        "mcp": servers,
        "permission": permissions(manifest, spec),
        "plugin": [url(&spec.path_of("opencode.js")?)],
    });
    if !spec.persona.is_empty() {
        config["instructions"] = json!([spec.path_of("persona.md")?]);
    }
    parts
        .env
        .insert("OPENCODE_CONFIG_CONTENT".to_owned(), config.to_string());
    parts
        .env
        .insert("OPENCODE_TUI_CONFIG".to_owned(), spec.path_of("tui.json")?);
    parts.env.insert(OFFLINE.to_owned(), "true".to_owned());
    Ok(())
}

/// What it asks about: everything, because a plugin that does not load is skipped without a word. The plugin answers for the gate.
fn permissions(manifest: &Manifest, spec: &LaunchSpec<'_>) -> Value {
    let mut rules = Map::new();
    rules.insert("*".to_owned(), json!("ask"));
    let all = |tools: &[String]| {
        tools.is_empty() || tools.iter().any(|tool| tool == "*" || tool == "@builtin")
    };
    if !all(spec.tools) {
        let kept = manifest.own_tools(spec.tools);
        for tool in manifest.tool_names.values().flatten() {
            if !kept.contains(tool) {
                rules.insert(tool.clone(), json!("deny"));
            }
        }
    }
    Value::Object(rules)
}

/// The plugin, for what `head` names.
pub(in crate::providers) fn plugin(head: &Value) -> String {
    format!("const CONDUCTOR = {};\n{PLUGIN}", in_script(head))
}

/// JSON as it may stand in a script: two line separators end a line there.
fn in_script(value: &Value) -> String {
    value
        .to_string()
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

/// The `file:` address of a path (RFC 8089).
fn url(path: &str) -> String {
    let mut url = "file://".to_owned();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
    url
}

/// Another server, as the profile has it in the words of `mcpServers`.
fn server_of(server: &McpServer) -> Option<Value> {
    let definition = server.definition.as_object()?;
    if let Some(url) = definition.get("url").and_then(Value::as_str) {
        let headers = definition.get("headers").cloned().unwrap_or(json!({}));
        return Some(json!({"type": "remote", "url": url, "headers": headers, "enabled": true}));
    }
    let command = definition.get("command")?.as_str()?;
    let mut line = vec![json!(command)];
    if let Some(Value::Array(arguments)) = definition.get("args") {
        line.extend(arguments.iter().cloned());
    }
    let environment = definition.get("env").cloned().unwrap_or(json!({}));
    Some(json!({"type": "local", "command": line, "environment": environment, "enabled": true}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_scripts_hold_any_path() {
        assert_eq!(url("/a b/ü%.js"), "file:///a%20b/%C3%BC%25.js");
        assert_eq!(in_script(&json!("\u{2028}\"")), "\"\\u2028\\\"\"");
    }
}
