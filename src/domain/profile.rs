//! A profile: who an agent is, as people write it down.

use super::ids::Name;
use std::collections::BTreeMap;

/// Where a file was found; the first of these that has a name wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// `.conductor/` of a trusted project.
    Project,
    /// The state directory.
    User,
    /// Embedded in the binary.
    BuiltIn,
}

impl Scope {
    /// The word in JSON and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Project => "project",
            Self::User => "user",
            Self::BuiltIn => "built-in",
        }
    }
}

/// An MCP server that an agent gets besides ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct McpServer {
    /// Its name.
    pub name: String,
    /// Its definition as written, in JSON.
    pub definition: serde_json::Value,
}

/// A profile with `extends` resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// Its name.
    pub name: Name,
    /// One sentence for people and supervisors.
    pub description: String,
    /// The role's word; `supervisor` is a supervisor, anything else a worker.
    pub role: Option<String>,
    /// The agent program.
    pub provider: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// Tools that the agent has.
    pub tools: Vec<String>,
    /// Tools that it may use without asking.
    pub allowed_tools: Vec<String>,
    /// MCP servers besides ours.
    pub mcp_servers: Vec<McpServer>,
    /// The agent's own permission mode.
    pub permission_mode: Option<String>,
    /// Environment variables for the agent.
    pub env: BTreeMap<String, String>,
    /// First prompt.
    pub prompt: Option<String>,
    /// The body: the agent's system prompt.
    pub persona: String,
}
