//! Gemini CLI: an extension of our own in its directory of extensions. Nothing of the person's is edited, and hooks of an extension run also in
//! folders that are not trusted.

use super::super::launch::DECISION_SECONDS;
use super::super::manifest::Manifest;
use super::{Commands, MARK, Part, SetupSpec, Target};
use crate::error::{Failure, Result};
use crate::fsx;
use crate::paths;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// Leads from the extension's directory to the root of the file system, however deep it lies.
const TO_ROOT: &str = "../../../../../../../../../../../../../../../../../../../../../../../..";

fn extension(user_home: &Path) -> PathBuf {
    home_of(user_home).join(".gemini/extensions/agent-conductor")
}

/// Whether Gemini CLI is told not to use the extension, or to run no hooks. What cannot be read counts as such.
pub(super) fn switched_off(user_home: &Path) -> bool {
    let Some(settings) = extension(user_home)
        .ancestors()
        .nth(2)
        .map(Path::to_path_buf)
    else {
        return true;
    };
    let read = |name: &str| fsx::read_file_limited(&settings.join(name), super::MAX_FILE).ok();
    let disabled = read("extensions/extension-enablement.json").is_some_and(|bytes| {
        serde_json::from_slice::<Value>(&bytes).map_or(true, |rules| {
            let ours = rules["agent-conductor"]["overrides"].as_array();
            ours.into_iter()
                .flatten()
                .any(|rule| rule.as_str().is_none_or(|rule| rule.starts_with('!')))
        })
    });
    let no_hooks = read("settings.json").is_some_and(|bytes| {
        let text = String::from_utf8_lossy(&bytes);
        serde_json::from_str::<Value>(&text).map_or_else(
            // With comments it is no JSON.
            |_| text.contains("hooksConfig"),
            |settings| {
                let config = &settings["hooksConfig"];
                config["enabled"] == false || !config["disabled"].is_null()
            },
        )
    });
    disabled || no_hooks
}

/// The directory that Gemini CLI takes for the person's home.
pub(in crate::providers) fn home_of(user_home: &Path) -> PathBuf {
    paths::env_os("GEMINI_CLI_HOME").map_or_else(|| user_home.to_path_buf(), PathBuf::from)
}

/// The file with the hooks.
pub(in crate::providers) fn hooks_file(user_home: &Path) -> PathBuf {
    extension(user_home).join("hooks/hooks.json")
}

pub(super) fn targets(manifest: &Manifest, spec: &SetupSpec<'_>) -> Result<Vec<Target>> {
    let dir = extension(spec.user_home);
    let commands = Commands::of(&manifest.name, spec)?;
    let mut hooks = Map::new();
    let hook = |command: String, seconds: u64| {
        json!([{ "hooks": [{
            "type": "command", "name": "agent-conductor", "command": command, "timeout": seconds * 1000,
        }] }])
    };
    for event in &manifest.hooks.status {
        let entry = hook(commands.status(event), manifest.hooks.timeout_seconds);
        hooks.insert(event.clone(), entry);
    }
    for event in &manifest.hooks.decision {
        hooks.insert(
            event.clone(),
            hook(commands.decision(event), DECISION_SECONDS),
        );
    }
    let (name, value) = MARK.split_once('=').unwrap_or((MARK, ""));
    // Variables are filled in when an agent starts; where they are not set, there is no such file, and that is no error.
    let persona = format!("{TO_ROOT}${{CONDUCTOR_HOME}}/run/${{CONDUCTOR_TERMINAL_ID}}/persona.md");
    let extension = json!({
        "name": "agent-conductor",
        "version": env!("CARGO_PKG_VERSION"),
        "description": format!("Agent Conductor's hooks and tools; they do nothing outside its panes ({MARK})"),
        "contextFileName": persona,
        "mcpServers": { "conductor": {
            "command": spec.hook.to_string_lossy(), "args": ["mcp"], "env": { name: value },
            "timeout": (manifest.tool_wait_seconds + 60) * 1000,
        } },
    });
    let text = |value: &Value| {
        serde_json::to_string_pretty(value)
            .map(|text| text + "\n")
            .map_err(|e| Failure::failed(format!("write JSON: {e}")))
    };
    Ok(vec![
        Target {
            path: dir.join("gemini-extension.json"),
            part: Part::Whole(text(&extension)?),
        },
        Target {
            path: hooks_file(spec.user_home),
            part: Part::Whole(text(&json!({ "hooks": hooks }))?),
        },
    ])
}
