//! One profile: what a file says ([`Draft`]), inheritance, and the [`Profile`] that comes out.

use super::fields::Fields;
use super::finding::Finding;
use super::front_matter::{self, Document};
use super::keys::{FOREIGN_KEYS, PERMISSION_MODES};
use super::search;
use crate::domain::ids::Name;
use crate::domain::profile::{McpServer, Profile};
use crate::domain::text::is_unsafe;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

pub use super::fields::refused_variable;
pub use super::keys::{KEYS, PROVIDERS};

/// What one file says, before inheritance. What is absent is `None`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Draft {
    /// `name`.
    pub name: Option<Name>,
    /// `description`, as one line.
    pub description: Option<String>,
    /// `role`.
    pub role: Option<String>,
    /// `provider` or `default_provider`.
    pub provider: Option<String>,
    /// `model`.
    pub model: Option<String>,
    /// `tags`.
    pub tags: Option<Vec<String>>,
    /// `capabilities`: sentences to find it by.
    pub capabilities: Vec<String>,
    /// `tools`.
    pub tools: Option<Vec<String>>,
    /// `allowedTools`.
    pub allowed_tools: Option<Vec<String>>,
    /// `mcpServers`.
    pub mcp_servers: Vec<McpServer>,
    /// `permissionMode`.
    pub permission_mode: Option<String>,
    /// `env`.
    pub env: BTreeMap<String, String>,
    /// `prompt`.
    pub prompt: Option<String>,
    /// `extends`.
    pub extends: Option<Name>,
    /// The body.
    pub persona: String,
    /// Keys without an effect here, as written.
    pub extra: Map<String, Value>,
}

/// Reads a profile. The draft is whole when no finding is an error. `stem` is the file's name without `.md`.
pub fn read(bytes: &[u8], stem: Option<&str>) -> (Draft, Vec<Finding>) {
    let document = match front_matter::parse(bytes) {
        Ok(document) => document,
        Err(fault) => return (Draft::default(), vec![fault]),
    };
    let mut fields = Fields::of(&document);
    let provider = fields.name("provider");
    let default_provider = fields.name("default_provider");
    let draft = Draft {
        name: fields.name("name"),
        description: fields.sentence("description"),
        role: fields.word("role"),
        provider: provider.or(default_provider).map(|name| name.to_string()),
        model: fields.word("model"),
        tags: fields.list("tags"),
        capabilities: fields.list("capabilities").unwrap_or_default(),
        tools: fields.list("tools"),
        allowed_tools: fields.list("allowedTools"),
        mcp_servers: mcp_servers(&mut fields),
        permission_mode: fields.word("permissionMode"),
        env: fields.env("env").unwrap_or_default(),
        prompt: fields.text("prompt"),
        extends: fields.name("extends"),
        persona: document.body.clone(),
        extra: extra(&document),
    };
    check(&draft, &document, stem, &mut fields);
    let mut findings = fields.findings;
    findings.sort_by_key(|finding| (finding.severity, finding.line));
    (draft, findings)
}

fn check(draft: &Draft, document: &Document, stem: Option<&str>, fields: &mut Fields<'_>) {
    let absent = |key| document.fields.get(key).is_none_or(Value::is_null);
    if absent("name") {
        fields.findings.push(
            Finding::error("there is no name")
                .hint(format!("add name: {}", stem.unwrap_or("a-name"))),
        );
    }
    let empty = draft.description.as_deref() == Some("");
    if empty || absent("description") && draft.extends.is_none() {
        fields.findings.push(
            Finding::error("there is no description")
                .at(document.line_of("description"))
                .hint("add description: and one sentence: supervisors choose by it"),
        );
    }
    if let (Some(name), Some(stem)) = (&draft.name, stem)
        && name.as_str() != stem
    {
        let message =
            format!("the name {name} is not the file's: the profile is known as {stem:?}");
        fields.warning("name", message);
    }
    for key in draft.extra.keys() {
        if !FOREIGN_KEYS.contains(&key.as_str()) {
            let near = search::near(key, KEYS.iter().copied());
            let meant = near
                .first()
                .map_or(String::new(), |near| format!("; did you mean {near}?"));
            let message = format!("the key {key:?} is unknown and has no effect{meant}");
            fields.warning(key, message);
        }
    }
    if let Some(mode) = &draft.permission_mode
        && !PERMISSION_MODES.contains(&mode.as_str())
    {
        let message = format!("permissionMode {mode:?} is not one of the known modes");
        fields.warning("permissionMode", message);
    }
    if document.body.is_empty() && draft.extends.is_none() && draft.prompt.is_none() {
        let finding = Finding::warning("there is no body: the agent gets no instructions");
        fields.findings.push(finding);
    }
    let strange = |c: char| is_unsafe(c) && c != '\n' && c != '\t';
    if let Some(at) = document.body.find(strange) {
        let line = document.body_line + document.body[..at].matches('\n').count();
        let c = document.body[at..].chars().next().map_or(0, u32::from);
        let message = format!("a control or invisible character (U+{c:04X}) stands here");
        fields.findings.push(Finding::warning(message).at(line));
    }
}

/// Says that a provider is not built in; whoever knows the user's manifests asks first.
pub fn unknown_provider(provider: &str) -> Finding {
    let near = search::near(provider, PROVIDERS.iter().copied());
    let finding = Finding::warning(format!("the provider {provider} is unknown"));
    match near.first() {
        Some(near) => finding.hint(format!("did you mean {near}?")),
        None => finding.hint("provider list shows the known ones"),
    }
}

fn mcp_servers(fields: &mut Fields<'_>) -> Vec<McpServer> {
    const KEY: &str = "mcpServers";
    let mut servers = Vec::new();
    for (name, definition) in fields.map(KEY).into_iter().flatten() {
        if let Err(error) = Name::parse(name) {
            fields.error(KEY, format!("{KEY}: {error}"));
            continue;
        }
        if name == "conductor" {
            let message = format!("{KEY}: the name conductor is our own server's");
            fields.error(KEY, message);
            continue;
        }
        let Value::Object(map) = definition else {
            let message = format!("{KEY}: {name} is not a map with command or url");
            fields.error(KEY, message);
            continue;
        };
        if !["command", "url", "httpUrl"].iter().any(|key| {
            map.get(*key)
                .is_some_and(|v| v.as_str().is_some_and(|s| !s.is_empty()))
        }) {
            fields.error(
                KEY,
                format!("{KEY}: {name} has neither a command nor a url"),
            );
            continue;
        }
        servers.push(McpServer {
            name: name.clone(),
            definition: definition.clone(),
        });
    }
    servers
}

fn extra(document: &Document) -> Map<String, Value> {
    let fields = document.fields.iter();
    fields
        .filter(|(key, _)| !KEYS.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

impl Draft {
    /// This draft over its parent: what it says counts, lists replace, `env` and `mcpServers` are merged, the bodies stand one after the other.
    #[must_use]
    pub fn over(self, parent: Self) -> Self {
        let mut mcp_servers = parent.mcp_servers;
        mcp_servers.retain(|old| self.mcp_servers.iter().all(|new| new.name != old.name));
        mcp_servers.extend(self.mcp_servers);
        let mut env = parent.env;
        env.extend(self.env);
        let mut extra = parent.extra;
        extra.extend(self.extra);
        let bodies = [parent.persona, self.persona];
        let bodies = bodies.into_iter().filter(|body| !body.is_empty());
        Self {
            name: self.name.or(parent.name),
            description: self.description.or(parent.description),
            role: self.role.or(parent.role),
            provider: self.provider.or(parent.provider),
            model: self.model.or(parent.model),
            tags: self.tags.or(parent.tags),
            capabilities: [parent.capabilities, self.capabilities].concat(),
            tools: self.tools.or(parent.tools),
            allowed_tools: self.allowed_tools.or(parent.allowed_tools),
            mcp_servers,
            permission_mode: self.permission_mode.or(parent.permission_mode),
            env,
            prompt: self.prompt.or(parent.prompt),
            extends: parent.extends,
            persona: bodies.collect::<Vec<_>>().join("\n\n"),
            extra,
        }
    }

    /// The profile, known as `name`. A worker's role becomes a tag too.
    pub fn into_profile(self, name: Name) -> Profile {
        let mut tags = self.tags.unwrap_or_default();
        if let Some(role) = &self.role
            && !matches!(role.as_str(), "supervisor" | "worker")
            && !tags.contains(role)
        {
            tags.push(role.clone());
        }
        Profile {
            name,
            description: self.description.unwrap_or_default(),
            role: self.role,
            provider: self.provider,
            model: self.model,
            tags,
            tools: self.tools.unwrap_or_default(),
            allowed_tools: self.allowed_tools.unwrap_or_default(),
            mcp_servers: self.mcp_servers,
            permission_mode: self.permission_mode,
            env: self.env,
            prompt: self.prompt,
            persona: self.persona,
        }
    }
}

#[cfg(test)]
#[path = "profile_tests.rs"]
mod tests;
