//! Where the hook stands that decides about an agent's calls, so that somebody can try whether it blocks when it breaks.

use super::dialect::Dialect;
use super::manifest::Manifest;
use super::setup;
use crate::fsx;
use crate::paths::{Home, user_home};
use serde_json::Value;
use std::path::Path;

/// Largest file that is read for it, in bytes.
const MAX_FILE: usize = 1024 * 1024;

/// The shell command that an agent runs before a tool, as its own files have it; `run_dir` holds those of its launch. `None`: none is found.
pub fn command(home: &Home, manifest: &Manifest, run_dir: &Path) -> Option<String> {
    let json = |path: &Path| -> Option<Value> {
        serde_json::from_slice(&fsx::read_file_limited(path, MAX_FILE).ok()?).ok()
    };
    let event = manifest.hooks.decision.first()?;
    match manifest.dialect {
        Dialect::Claude | Dialect::Demo => {
            let settings = json(&run_dir.join("settings.json"))?;
            text(&settings["hooks"][event.as_str()][0]["hooks"][0]["command"])
        }
        Dialect::Codex => {
            let launch = json(&run_dir.join("launch.json"))?;
            let key = format!("hooks.{event}=");
            let value = launch["args"]
                .as_array()?
                .iter()
                .find_map(|argument| argument.as_str()?.strip_prefix(&key))?;
            let document: toml::Table = toml::from_str(&format!("x = {value}")).ok()?;
            let hook = document["x"].get(0)?.get("hooks")?.get(0)?;
            hook.get("command")?.as_str().map(str::to_owned)
        }
        Dialect::Gemini => {
            let hooks = json(&setup::gemini_hooks(&user_home()?))?;
            text(&hooks["hooks"][event.as_str()][0]["hooks"][0]["command"])
        }
        Dialect::Opencode => {
            let bytes = fsx::read_file_limited(&run_dir.join("opencode.js"), MAX_FILE).ok()?;
            let plugin = String::from_utf8(bytes).ok()?;
            let head = plugin.lines().next()?.strip_prefix("const CONDUCTOR = ")?;
            let head: Value = serde_json::from_str(head.strip_suffix(';')?).ok()?;
            // The plugin itself takes everything but a clear yes for a no.
            let hook = shell_words::quote(head["hook"].as_str()?).into_owned();
            Some(format!("{hook} hook {} {event}", manifest.name))
        }
        Dialect::Kiro => setup::written(home, &manifest.name)
            .iter()
            .find_map(|path| text(&json(path)?["hooks"][event.as_str()][0]["command"])),
        Dialect::None => None,
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

impl Dialect {
    /// Whether a hook that broke blocks the call: its exit code, what it printed and what it said beside that.
    pub fn blocked(self, code: Option<i32>, out: &str, err: &str) -> bool {
        let answer: Value = serde_json::from_str(out).unwrap_or_default();
        let denied = answer["hookSpecificOutput"]["permissionDecision"] == "deny"
            || answer["decision"] == "deny";
        match self {
            Self::Opencode => code != Some(0) || answer["decision"] != "allow",
            Self::Codex | Self::Gemini | Self::Kiro if code == Some(2) => !err.trim().is_empty(),
            _ => code == Some(2) || (code == Some(0) && denied),
        }
    }
}
