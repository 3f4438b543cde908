//! The files and the command line of one agent.

mod claude;
mod codex;
mod gemini;
mod opencode;

use super::catalogue;
use super::dialect::Dialect;
use super::manifest::Manifest;
use crate::domain::profile::McpServer;
use crate::error::{Failure, Result};
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
    /// The profile's name.
    pub profile: &'a str,
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
    /// Whether its hooks reach us.
    pub hooked: bool,
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

/// What an agent of one dialect is given besides what its manifest says.
#[derive(Debug, Default)]
struct Parts {
    /// Names and contents of files in the run directory.
    files: Vec<(&'static str, Vec<u8>)>,
    /// Values of placeholders.
    values: BTreeMap<&'static str, String>,
    /// Arguments in place of an argument that is such a placeholder alone.
    lists: BTreeMap<&'static str, Vec<String>>,
    /// Environment variables.
    env: BTreeMap<String, String>,
}

impl Parts {
    /// Adds a file whose path fills the placeholder `value`.
    fn file(
        &mut self,
        spec: &LaunchSpec<'_>,
        value: &'static str,
        name: &'static str,
        bytes: Vec<u8>,
    ) -> Result<()> {
        self.files.push((name, bytes));
        self.values.insert(value, spec.path_of(name)?);
        Ok(())
    }
}

impl LaunchSpec<'_> {
    /// The path of a generated file.
    fn path_of(&self, name: &str) -> Result<String> {
        self.run_dir
            .join(name)
            .into_os_string()
            .into_string()
            .map_err(|_| Failure::state("the state directory's path is not UTF-8"))
    }
}

pub(super) use codex::text as toml_text;
pub(super) use opencode::plugin as opencode_plugin;

/// How long an agent waits for a decision, in seconds: longer than any request does, so that ours is the first deadline.
pub(super) const DECISION_SECONDS: u64 = 90_000;

/// What a shell does when a hook that decides has failed; in words that every shell knows, and without a second program where there is none.
pub(super) const BLOCKS: &str = "sh -c 'echo Agent Conductor: the gate gave no answer, so the call is blocked >&2; exit 2' || exit 2";

/// The shell commands of an agent's hooks. Who calls and where the state is stand in the command: a project's own settings may set variables
/// for the agent's hooks.
struct HookCommands<'a> {
    provider: &'a str,
    environment: String,
    program: String,
}

impl<'a> HookCommands<'a> {
    fn of(manifest: &'a Manifest, spec: &LaunchSpec<'_>) -> Result<Self> {
        let binary = spec
            .hook
            .to_str()
            .ok_or_else(|| Failure::failed("the path of this binary is not UTF-8"))?;
        // A variable of this name says that a hook stands in the user's settings: nobody else's shall say so of ours.
        let mut environment = format!("{}= ", crate::paths::name::SETUP);
        for (name, value) in spec.mcp_env {
            environment.push_str(&format!("{name}={} ", shell_words::quote(value)));
        }
        Ok(Self {
            provider: &manifest.name,
            environment,
            program: shell_words::quote(binary).into_owned(),
        })
    }

    /// A hook that only tells. The shell becomes the hook: killed between the two, it would let an agent drop an answer that the hook has given.
    fn status(&self, event: &str) -> String {
        let Self {
            provider,
            environment,
            program,
        } = self;
        format!("{environment}exec {program} hook {provider} {event}")
    }

    /// A hook whose answer decides: it blocks when it is killed, crashes, or is missing. To some agents an exit code of 2 says nothing without
    /// a text beside it.
    fn decision(&self, event: &str) -> String {
        let Self {
            provider,
            environment,
            program,
        } = self;
        format!("{environment}{program} hook {provider} {event} || {BLOCKS}")
    }
}

/// Makes the files and the command line of one agent.
pub fn prepare(manifest: &Manifest, spec: &LaunchSpec<'_>) -> Result<LaunchFiles> {
    let (program, extra) = match spec.extra {
        [command, rest @ ..] if manifest.names_no_program() => {
            let program = crate::paths::find_program(command, None).ok_or_else(|| {
                let shown = crate::domain::text::one_line(command);
                Failure::not_found(format!("there is no program {shown:?} along PATH"))
                    .hint("name one that is installed, or give its absolute path")
            })?;
            (program, rest)
        }
        extra => (catalogue::program(manifest)?, extra),
    };
    let mut parts = Parts::default();
    match manifest.dialect {
        Dialect::Claude | Dialect::Demo => claude::parts(manifest, spec, &mut parts)?,
        Dialect::Codex => codex::parts(manifest, spec, &mut parts)?,
        Dialect::Gemini => gemini::parts(manifest, spec, &mut parts)?,
        Dialect::Opencode => opencode::parts(manifest, spec, &mut parts)?,
        // What its settings hold is all that it gets.
        Dialect::Kiro | Dialect::None => {}
    }
    let values = &mut parts.values;
    values.insert("agent_session", spec.agent_session.to_owned());
    if let Some(mode) = spec
        .permission_mode
        .or(manifest.launch.permission_mode.as_deref())
    {
        values.insert("permission_mode", manifest.permission_mode(mode)?);
    }
    values.insert("profile", spec.profile.to_owned());
    if let Some(model) = spec.model {
        values.insert("model", model.to_owned());
    }
    for (name, tools) in [("tools", spec.tools), ("allowed_tools", spec.allowed_tools)] {
        let own = manifest.own_tools(tools);
        // `*` and `@builtin` are "what the agent has by itself".
        if !own.is_empty() && !own.iter().any(|tool| tool == "*" || tool == "@builtin") {
            values.insert(name, own.join(","));
        }
    }
    if !spec.persona.is_empty() {
        parts.file(
            spec,
            "persona",
            "persona.md",
            spec.persona.as_bytes().to_vec(),
        )?;
    }
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
    let optional = manifest
        .launch
        .optional
        .iter()
        .filter(|optional| parts.values.contains_key(optional.when.as_str()))
        .flat_map(|optional| &optional.args);
    let mut args = Vec::new();
    for argument in base.iter().chain(optional) {
        let list = argument
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
            .and_then(|name| parts.lists.get(name));
        match list {
            Some(list) => args.extend(list.iter().cloned()),
            None => args.push(fill(argument, &parts.values)?),
        }
    }
    args.extend_from_slice(extra);
    let mut env = manifest.launch.env.clone();
    env.extend(parts.env);
    Ok(LaunchFiles {
        program,
        argv0: manifest.argv0.clone(),
        args,
        env,
        files: parts
            .files
            .into_iter()
            .map(|(name, bytes)| (name.to_owned(), bytes))
            .collect(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn spec<'a>(env: &'a BTreeMap<String, String>, tools: &'a [String]) -> LaunchSpec<'a> {
        LaunchSpec {
            hook: Path::new("/opt/with space/conductor-hook"),
            run_dir: Path::new("/state/run/0123abcd"),
            agent_session: "11111111-2222-3333-4444-555555555555",
            resume: false,
            profile: "tester",
            model: Some("{settings}"),
            persona: "You are a tester.",
            permission_mode: None,
            tools: &[],
            allowed_tools: tools,
            mcp_servers: &[],
            mcp_env: env,
            own_tools: &["handoff"],
            hooked: true,
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
            format!(
                "CONDUCTOR_SETUP= '/opt/with space/conductor-hook' hook demo PreToolUse || {BLOCKS}"
            )
        );
        assert_eq!(
            settings["hooks"]["Stop"][0]["hooks"][0]["command"],
            "CONDUCTOR_SETUP= exec '/opt/with space/conductor-hook' hook demo Stop"
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
