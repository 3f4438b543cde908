//! The files and the command line of one agent.

use super::catalogue;
use super::manifest::Manifest;
use crate::domain::profile::McpServer;
use crate::error::{Failure, Result};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What is to be started.
#[derive(Debug, Clone)]
pub struct LaunchSpec<'a> {
    /// Our binary: hooks and MCP run it.
    pub hook: &'a Path,
    /// The terminal's directory for generated files.
    pub run_dir: &'a Path,
    /// The agent's own session id.
    pub agent_session: &'a str,
    /// Whether that conversation is taken up again.
    pub resume: bool,
    /// The model.
    pub model: Option<&'a str>,
    /// The system prompt's addition.
    pub persona: &'a str,
    /// The agent's permission mode.
    pub permission_mode: Option<&'a str>,
    /// Tools that it has, in the common vocabulary; empty: all.
    pub tools: &'a [String],
    /// Tools that it may use without asking, in the common vocabulary.
    pub allowed_tools: &'a [String],
    /// MCP servers besides ours.
    pub mcp_servers: &'a [McpServer],
    /// Environment that our MCP server needs.
    pub mcp_env: &'a BTreeMap<String, String>,
    /// Names of our own MCP tools: the agent may call them without asking.
    pub own_tools: &'a [&'a str],
    /// Arguments for the agent, as a person gave them.
    pub extra: &'a [String],
}

/// What the start shim needs, and the files that must be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchFiles {
    /// The program.
    pub program: PathBuf,
    /// What it is told that it is called.
    pub argv0: Option<String>,
    /// Its arguments.
    pub args: Vec<String>,
    /// Environment variables of the manifest.
    pub env: BTreeMap<String, String>,
    /// Names and contents of the files in the run directory.
    pub files: Vec<(String, Vec<u8>)>,
}

/// Makes the files and the command line of one agent.
pub fn prepare(manifest: &Manifest, spec: &LaunchSpec<'_>) -> Result<LaunchFiles> {
    let program = catalogue::program(manifest)?;
    let path = |name: &str| {
        spec.run_dir
            .join(name)
            .into_os_string()
            .into_string()
            .map_err(|_| Failure::state("the state directory's path is not UTF-8"))
    };
    let mut files = vec![
        (
            "settings.json".to_owned(),
            settings(manifest, spec)?.to_string().into_bytes(),
        ),
        (
            "mcp.json".to_owned(),
            mcp_config(spec).to_string().into_bytes(),
        ),
    ];
    let mut values: BTreeMap<&str, String> = BTreeMap::new();
    values.insert("settings", path("settings.json")?);
    values.insert("mcp_config", path("mcp.json")?);
    values.insert("agent_session", spec.agent_session.to_owned());
    if let Some(mode) = spec
        .permission_mode
        .or(manifest.launch.permission_mode.as_deref())
    {
        values.insert("permission_mode", mode.to_owned());
    }
    if let Some(model) = spec.model {
        values.insert("model", model.to_owned());
    }
    if !spec.persona.is_empty() {
        files.push(("persona.md".to_owned(), spec.persona.as_bytes().to_vec()));
        values.insert("persona", path("persona.md")?);
    }
    for (name, tools) in [("tools", spec.tools), ("allowed_tools", spec.allowed_tools)] {
        let own = manifest.own_tools(tools);
        // `*` and `@builtin` are "what the agent has by itself".
        if !own.is_empty() && !own.iter().any(|tool| tool == "*" || tool == "@builtin") {
            values.insert(name, own.join(","));
        }
    }
    let mut args = Vec::new();
    let base = match (&manifest.resume, spec.resume) {
        (Some(resume), true) => &resume.args,
        (None, true) => {
            return Err(Failure::refused(format!(
                "{} cannot take up an earlier conversation",
                manifest.title
            )));
        }
        (_, false) => &manifest.launch.args,
    };
    for argument in base {
        args.push(fill(argument, &values)?);
    }
    for optional in &manifest.launch.optional {
        if values.contains_key(optional.when.as_str()) {
            for argument in &optional.args {
                args.push(fill(argument, &values)?);
            }
        }
    }
    args.extend_from_slice(spec.extra);
    Ok(LaunchFiles {
        program,
        argv0: manifest.argv0.clone(),
        args,
        env: manifest.launch.env.clone(),
        files,
    })
}

/// Fills placeholders in one pass, so that a value is never read as one.
fn fill(argument: &str, values: &BTreeMap<&str, String>) -> Result<String> {
    let mut filled = String::new();
    let mut rest = argument;
    while let Some(open) = rest.find('{') {
        filled.push_str(&rest[..open]);
        let Some(length) = rest[open..].find('}') else {
            break;
        };
        let name = &rest[open + 1..open + length];
        let value = values.get(name).ok_or_else(|| {
            Failure::failed(format!(
                "the provider's manifest asks for {{{name}}}, which has no value"
            ))
        })?;
        filled.push_str(value);
        rest = &rest[open + length + 1..];
    }
    filled.push_str(rest);
    Ok(filled)
}

/// How long an agent waits for a decision, in seconds: longer than any request does, so that ours is the first deadline.
const DECISION_SECONDS: u64 = 90_000;

/// The hooks, as `--settings` takes them. The shell becomes the hook: killed between the two, it would let an agent drop an answer that the
/// hook has given. A decision hook blocks when it is killed, crashes, or is missing (exit 2).
fn settings(manifest: &Manifest, spec: &LaunchSpec<'_>) -> Result<Value> {
    let binary = spec
        .hook
        .to_str()
        .ok_or_else(|| Failure::failed("the path of this binary is not UTF-8"))?;
    // Who calls and where the state is stand in the command: a project's own settings may set variables for the agent's hooks.
    let mut quoted = String::new();
    for (name, value) in spec.mcp_env {
        quoted.push_str(&format!("{name}={} ", shell_words::quote(value)));
    }
    let program = shell_words::quote(binary);
    let mut hooks = Map::new();
    for event in &manifest.hooks.status {
        let command = format!("{quoted}exec {program} hook {} {event}", manifest.name);
        hooks.insert(
            event.clone(),
            hook(&command, manifest.hooks.timeout_seconds),
        );
    }
    for event in &manifest.hooks.decision {
        let command = format!("{quoted}{program} hook {} {event} || exit 2", manifest.name);
        let mut entry = hook(&command, DECISION_SECONDS);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn spec<'a>(env: &'a BTreeMap<String, String>, tools: &'a [String]) -> LaunchSpec<'a> {
        LaunchSpec {
            hook: Path::new("/opt/with space/conductor-hook"),
            run_dir: Path::new("/state/run/0123abcd"),
            agent_session: "11111111-2222-3333-4444-555555555555",
            resume: false,
            model: Some("{settings}"),
            persona: "You are a tester.",
            permission_mode: None,
            tools: &[],
            allowed_tools: tools,
            mcp_servers: &[],
            mcp_env: env,
            own_tools: &["handoff"],
            extra: &[],
        }
    }

    #[test]
    fn the_demo_agent_is_started_with_its_files() {
        let manifest =
            Manifest::parse(include_str!("../../agent_store/providers/demo.toml")).unwrap();
        let env = BTreeMap::new();
        let files = prepare(&manifest, &spec(&env, &[])).unwrap();
        assert_eq!(files.argv0.as_deref(), Some("conductor-demo"));
        let line = files.args.join(" ");
        assert!(
            line.contains("--settings /state/run/0123abcd/settings.json"),
            "{line}"
        );
        assert!(
            line.contains("--model {settings}"),
            "a value is not a placeholder: {line}"
        );
        let settings: Value = serde_json::from_slice(&files.files[0].1).unwrap();
        assert_eq!(
            settings["hooks"]["PreToolUse"][0]["hooks"][0]["command"],
            "'/opt/with space/conductor-hook' hook demo PreToolUse || exit 2"
        );
        assert_eq!(
            settings["hooks"]["Stop"][0]["hooks"][0]["command"],
            "exec '/opt/with space/conductor-hook' hook demo Stop"
        );
    }

    #[test]
    fn a_missing_program_is_not_found() {
        let text = include_str!("../../agent_store/providers/claude_code.toml")
            .replace("\"claude\"\ndialect", "\"no-such-agent\"\ndialect");
        let manifest = Manifest::parse(&text).unwrap();
        let env = BTreeMap::new();
        let failure = prepare(&manifest, &spec(&env, &[])).unwrap_err();
        assert_eq!(failure.kind(), crate::error::Kind::NotFound);
    }
}
