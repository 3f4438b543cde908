//! The words that a profile may hold.

/// The agent programs that are built in, with their aliases; user manifests add to them.
pub const PROVIDERS: [&str; 13] = [
    "demo",
    "claude_code",
    "codex",
    "gemini",
    "opencode",
    "q_cli",
    "kiro_cli",
    "generic",
    "claude",
    "gemini_cli",
    "opencode_cli",
    "q",
    "kiro",
];

/// Keys that have an effect.
pub const KEYS: [&str; 15] = [
    "name",
    "description",
    "role",
    "provider",
    "default_provider",
    "model",
    "tags",
    "tools",
    "allowedTools",
    "mcpServers",
    "permissionMode",
    "env",
    "prompt",
    "extends",
    "capabilities",
];

/// Keys of other programs' profiles that have no effect here and are kept without a word.
pub(super) const FOREIGN_KEYS: [&str; 23] = [
    "skills",
    "container",
    "provider_init_timeout",
    "toolAliases",
    "toolsSettings",
    "resources",
    "hooks",
    "useLegacyMcpJson",
    "engine",
    "native_agent",
    "claudeSessionId",
    "claudeMcpConfigFiles",
    "claudeConfig",
    "codexProfile",
    "codexConfig",
    "yolo",
    "hermesProfile",
    "grokNativeWorkflows",
    "system_prompt",
    "variables",
    "notes",
    "body",
    "color",
];

/// The permission modes that agents are known to have.
pub(super) const PERMISSION_MODES: [&str; 6] = [
    "default",
    "acceptEdits",
    "plan",
    "auto",
    "dontAsk",
    "bypassPermissions",
];
