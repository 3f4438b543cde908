//! Codex: everything goes by `-c KEY=VALUE`, where the value is TOML; no file of the person's is touched.

use super::super::manifest::Manifest;
use super::{DECISION_SECONDS, HookCommands, LaunchSpec, Parts};
use crate::domain::profile::McpServer;
use crate::error::Result;
use serde_json::Value;
use std::collections::BTreeMap;

/// Longest system prompt in one argument, in bytes: the kernel takes 128 KiB (`execve(2)`, `MAX_ARG_STRLEN`).
const MAX_PERSONA: usize = 100_000;

pub(super) fn parts(manifest: &Manifest, spec: &LaunchSpec<'_>, parts: &mut Parts) -> Result<()> {
    let commands = HookCommands::of(manifest, spec)?;
    let mut pairs: Vec<String> = Vec::new();
    let status = manifest.hooks.status.iter().map(|event| {
        (
            event,
            commands.status(event),
            manifest.hooks.timeout_seconds,
        )
    });
    let decision = manifest
        .hooks
        .decision
        .iter()
        .map(|event| (event, commands.decision(event), DECISION_SECONDS));
    for (event, command, timeout) in status.chain(decision) {
        pairs.push(format!(
            "hooks.{event}=[{{hooks=[{{type=\"command\",command={},timeout={timeout}}}]}}]",
            text(&command)
        ));
    }
    for server in spec.mcp_servers {
        if let Some(value) = server_of(server) {
            pairs.push(format!("mcp_servers.{}={value}", key(&server.name)));
        }
    }
    // Ours last: a profile cannot replace it. Required: a first prompt waits for it.
    pairs.push(format!(
        "mcp_servers.conductor={{command={},args=[\"mcp\"],env={},env_vars=[\"TMUX\",\"TMUX_PANE\",\"XDG_RUNTIME_DIR\"],\
         default_tools_approval_mode=\"approve\",tool_timeout_sec={},startup_timeout_sec=30,required=true}}",
        text(&spec.hook.to_string_lossy()),
        table(spec.mcp_env),
        manifest.tool_wait_seconds + 60,
    ));
    if !spec.persona.is_empty() {
        let mut persona = spec.persona;
        while persona.len() > MAX_PERSONA {
            let end = persona.char_indices().rfind(|(at, _)| *at <= MAX_PERSONA);
            persona = persona
                .get(..end.map_or(0, |(at, _)| at))
                .unwrap_or_default();
        }
        pairs.push(format!("developer_instructions={}", text(persona)));
    }
    let list = pairs
        .into_iter()
        .flat_map(|pair| ["-c".to_owned(), pair])
        .collect();
    parts.lists.insert("config", list);
    Ok(())
}

/// A TOML basic string. JSON's is one, but for DEL.
pub(in crate::providers) fn text(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007F")
}

fn key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !name.is_empty() && name.chars().all(bare) {
        name.to_owned()
    } else {
        text(name)
    }
}

fn table<'a>(pairs: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
    let pairs: Vec<String> = pairs
        .into_iter()
        .map(|(name, value)| format!("{}={}", key(name), text(value)))
        .collect();
    format!("{{{}}}", pairs.join(","))
}

/// Another server, as the profile has it in the words of `mcpServers`.
fn server_of(server: &McpServer) -> Option<String> {
    let definition = server.definition.as_object()?;
    let strings = |name: &str| -> BTreeMap<String, String> {
        definition
            .get(name)
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect()
    };
    if let Some(url) = definition.get("url").and_then(Value::as_str) {
        return Some(format!(
            "{{url={},http_headers={}}}",
            text(url),
            table(&strings("headers"))
        ));
    }
    let command = definition.get("command")?.as_str()?;
    let arguments: Vec<String> = definition
        .get("args")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(text)
        .collect();
    Some(format!(
        "{{command={},args=[{}],env={}}}",
        text(command),
        arguments.join(","),
        table(&strings("env"))
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(value: &str) -> toml::Value {
        let document: toml::Table = toml::from_str(&format!("x = {value}")).unwrap();
        document["x"].clone()
    }

    #[test]
    fn servers_of_both_kinds_are_said_in_toml() {
        let server = |definition: Value| McpServer {
            name: "x".into(),
            definition,
        };
        let local = server_of(&server(
            json!({"command": "a b", "args": ["'", "\""], "env": {"K E": "v"}}),
        ));
        let local = read(&local.unwrap());
        assert_eq!(local["args"][1].as_str(), Some("\""));
        assert_eq!(local["env"]["K E"].as_str(), Some("v"));
        let remote = server_of(&server(json!({"url": "https://x", "headers": {"A": "b"}})));
        assert_eq!(
            read(&remote.unwrap())["http_headers"]["A"].as_str(),
            Some("b")
        );
        assert_eq!(server_of(&server(json!({}))), None);
    }

    proptest! {
        #[test]
        fn every_text_comes_back(string in any::<String>()) {
            let value = read(&text(&string));
            prop_assert_eq!(value.as_str(), Some(string.as_str()));
        }
    }
}
