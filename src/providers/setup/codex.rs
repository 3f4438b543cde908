//! Codex: hooks and our MCP server as lines at the end of `config.toml`. Codex asks its person to review them at its next start.

use super::super::launch::{DECISION_SECONDS, toml_text};
use super::super::manifest::Manifest;
use super::{Commands, Part, SetupSpec, Target};
use crate::error::Result;
use crate::paths;
use std::path::PathBuf;

pub(super) fn targets(manifest: &Manifest, spec: &SetupSpec<'_>) -> Result<Vec<Target>> {
    let home =
        paths::env_os("CODEX_HOME").map_or_else(|| spec.user_home.join(".codex"), PathBuf::from);
    let commands = Commands::of(&manifest.name, spec)?;
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
    let mut lines = String::new();
    for (event, command, timeout) in status.chain(decision) {
        lines.push_str(&format!(
            "[[hooks.{event}]]\n[[hooks.{event}.hooks]]\ntype = \"command\"\ncommand = {}\ntimeout = {timeout}\n",
            toml_text(&command)
        ));
    }
    lines.push_str(&format!(
        "[mcp_servers.conductor]\ncommand = {}\nargs = [\"mcp\"]\nenv = {{ CONDUCTOR_SETUP = \"1\" }}\n\
         env_vars = [\"TMUX\", \"TMUX_PANE\", \"XDG_RUNTIME_DIR\", \"CONDUCTOR_HOME\"]\n\
         default_tools_approval_mode = \"approve\"\ntool_timeout_sec = {}\n",
        toml_text(&spec.hook.to_string_lossy()),
        manifest.tool_wait_seconds + 60,
    ));
    Ok(vec![Target {
        path: home.join("config.toml"),
        part: Part::Lines(lines),
    }])
}
