//! The agents' programs, and what each needs to live offline: an invented key, a private home, and the model on loopback.

use super::{Trust, World};
use serde_json::json;
use std::path::{Path, PathBuf};

const KEY: &str = "sk-ant-dummy-mock-000000000000000000000001";

/// Which agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Claude,
    Codex,
    Gemini,
    Opencode,
}

/// One agent's program, of one version.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) kind: Kind,
    pub(crate) version: String,
    pub(crate) file: PathBuf,
}

fn cache() -> PathBuf {
    std::env::var_os("XDG_CACHE_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache"),
        PathBuf::from,
    )
}

/// Claude Code, or `None` where its absence is known.
pub(super) fn claude() -> Option<Program> {
    let caches = [
        "agent-conductor/agents/claude-2.1.330",
        "conductor-lab/latest",
    ];
    let native = "node_modules/@anthropic-ai/claude-code-linux-x64/claude";
    let found = match std::env::var_os("CONDUCTOR_TEST_CLAUDE") {
        Some(named) => Some(PathBuf::from(named)),
        None => caches
            .iter()
            .map(|dir| cache().join(dir).join(native))
            .find(|file| file.exists()),
    };
    if let Some(file) = found {
        assert!(
            file.is_file(),
            "CONDUCTOR_TEST_CLAUDE: no file {}",
            file.display()
        );
        return Some(Program {
            kind: Kind::Claude,
            version: String::new(),
            file,
        });
    }
    assert!(
        std::env::var_os("CONDUCTOR_TEST_OFFLINE").is_some_and(|word| word == "1"),
        "Claude Code is not there: scripts/test.sh installs it, CONDUCTOR_TEST_CLAUDE names one, and CONDUCTOR_TEST_OFFLINE=1 \
         leaves these tests out"
    );
    eprintln!("Claude Code is not there: this test did NOT run");
    None
}

impl Program {
    /// The program in the cache of `scripts/test-agents.sh`, by `claude-2.1.330` and the like.
    pub(crate) fn cached(name: &str) -> Result<Self, String> {
        let (word, version) = name
            .split_once('-')
            .ok_or_else(|| format!("{name:?}: AGENT-VERSION expected"))?;
        let modules = cache()
            .join("agent-conductor/agents")
            .join(name)
            .join("node_modules");
        let (kind, files): (Kind, &[&str]) = match word {
            "claude" => (
                Kind::Claude,
                &["@anthropic-ai/claude-code-linux-x64/claude"],
            ),
            "codex" => (
                Kind::Codex,
                &["@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex"],
            ),
            "gemini" => (Kind::Gemini, &[".bin/gemini"]),
            "opencode" => (
                Kind::Opencode,
                &[
                    "opencode-linux-x64-baseline/bin/opencode",
                    "opencode-linux-x64/bin/opencode",
                ],
            ),
            _ => return Err(format!("{name:?}: no such agent")),
        };
        let file = files
            .iter()
            .map(|file| modules.join(file))
            .find(|file| file.exists())
            .ok_or_else(|| {
                format!(
                    "{name} is not in {}: scripts/test-agents.sh installs it",
                    modules.display()
                )
            })?;
        Ok(Self {
            kind,
            version: version.to_owned(),
            file: file.canonicalize().map_err(|e| e.to_string())?,
        })
    }

    pub(crate) const fn provider(&self) -> &'static str {
        match self.kind {
            Kind::Claude => "claude_code",
            Kind::Codex => "codex",
            Kind::Gemini => "gemini",
            Kind::Opencode => "opencode",
        }
    }

    pub(super) const fn command(&self) -> &'static str {
        match self.kind {
            Kind::Claude => "claude",
            Kind::Codex => "codex",
            Kind::Gemini => "gemini",
            Kind::Opencode => "opencode",
        }
    }

    pub(super) fn needs_setup(&self) -> bool {
        self.kind == Kind::Gemini
    }

    /// The environment of the tmux server that it will run in.
    pub(super) fn variables(&self, port: &str) -> Vec<(&'static str, String)> {
        let base = format!("http://127.0.0.1:{port}");
        match self.kind {
            Kind::Claude => vec![
                ("ANTHROPIC_BASE_URL", base),
                ("ANTHROPIC_API_KEY", KEY.to_owned()),
                ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1".to_owned()),
                ("DISABLE_AUTOUPDATER", "1".to_owned()),
                ("IS_SANDBOX", "1".to_owned()),
                // As in a home of everyday life: example prompts and guesses would stand in the input box.
                ("CLAUDE_CODE_ENABLE_PROMPT_SUGGESTION", "true".to_owned()),
            ],
            Kind::Codex => vec![("MOCK_KEY", "dummy-mock-key".to_owned())],
            Kind::Gemini => vec![
                ("GEMINI_API_KEY", "dummy-mock-gemini-key".to_owned()),
                ("GOOGLE_GEMINI_BASE_URL", base),
            ],
            Kind::Opencode => vec![
                ("OPENCODE_DISABLE_MODELS_FETCH", "1".to_owned()),
                ("OPENCODE_DISABLE_LSP_DOWNLOAD", "1".to_owned()),
            ],
        }
    }

    /// Writes what a person's home holds after the first start.
    pub(super) fn settle(&self, world: &World, trust: Trust, port: &str) {
        let work = world.work().display().to_string();
        let trusted = trust == Trust::Given;
        match self.kind {
            Kind::Claude => {
                let mut projects = serde_json::Map::new();
                if trusted {
                    projects.insert(work, json!({"hasTrustDialogAccepted": true}));
                }
                let settings = json!({
                    "hasCompletedOnboarding": true, "hasSeenAutoDefaultNotice": true, "bypassPermissionsModeAccepted": true,
                    "customApiKeyResponses": {"approved": [&KEY[KEY.len() - 20..]], "rejected": []}, "projects": projects,
                });
                world.home_file(".claude.json", &settings.to_string());
            }
            Kind::Codex => {
                let mut config = format!(
                    "model = \"gpt-5.2-codex\"\nmodel_provider = \"mock\"\ncheck_for_update_on_startup = false\n\
                     [model_providers.mock]\nname = \"mock\"\nbase_url = \"http://127.0.0.1:{port}/v1\"\nenv_key = \"MOCK_KEY\"\n\
                     wire_api = \"responses\"\n"
                );
                if trusted {
                    config.push_str(&format!(
                        "[projects.\"{work}\"]\ntrust_level = \"trusted\"\n"
                    ));
                } else {
                    // Codex asks about a folder that could change how it works.
                    make_project(&world.work());
                }
                world.home_file(".codex/config.toml", &config);
            }
            Kind::Gemini => {
                let settings = json!({
                    "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": true}},
                    "general": {"enableAutoUpdate": false}, "privacy": {"usageStatisticsEnabled": false},
                });
                world.home_file(".gemini/settings.json", &settings.to_string());
                if trusted {
                    let folders = json!({ work: "TRUST_FOLDER" });
                    world.home_file(".gemini/trustedFolders.json", &folders.to_string());
                }
            }
            Kind::Opencode => {
                let config = json!({
                    "autoupdate": false, "share": "disabled", "model": "mock/mock-model", "small_model": "mock/mock-model",
                    "provider": {"mock": {
                        "npm": "@ai-sdk/openai-compatible", "name": "Mock",
                        "options": {"baseURL": format!("http://127.0.0.1:{port}/v1"), "apiKey": "dummy-mock"},
                        "models": {"mock-model": {"name": "Mock Model", "tool_call": true, "limit": {"context": 100_000, "output": 8000}}},
                    }},
                });
                world.home_file(".config/opencode/opencode.json", &config.to_string());
            }
        }
    }
}

fn make_project(work: &Path) {
    std::fs::create_dir_all(work.join(".git")).unwrap();
    std::fs::write(work.join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
    std::fs::create_dir_all(work.join(".codex")).unwrap();
    std::fs::write(
        work.join(".codex/config.toml"),
        "model_verbosity = \"low\"\n",
    )
    .unwrap();
}
