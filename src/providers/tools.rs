//! What an agent's tool calls would do, by the table in its manifest.

use crate::domain::event::ToolCall;
use crate::domain::policy::Action;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// The tools of an agent by what they do. A tool that is not here, or whose input has another shape, does anything.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tools {
    /// Tools that work inside the agent.
    #[serde(default)]
    pub own: Vec<String>,
    /// What stands in front of `SERVER__TOOL`.
    #[serde(default)]
    pub mcp_prefix: Option<String>,
    /// Fields that change what a call does when they are set.
    #[serde(default)]
    pub unless: Vec<String>,
    /// Tools that run a command line, and the field that holds it.
    #[serde(default)]
    pub shell: BTreeMap<String, Field>,
    /// Tools that read, and the fields with paths.
    #[serde(default)]
    pub read: BTreeMap<String, Field>,
    /// Tools that write, and the fields with paths.
    #[serde(default)]
    pub write: BTreeMap<String, Field>,
    /// Tools that apply a patch in the form `*** Update File: PATH`, and the field with the patch.
    #[serde(default)]
    pub patch: BTreeMap<String, String>,
    /// Tools that load a page, and the field with its address.
    #[serde(default)]
    pub fetch: BTreeMap<String, Field>,
}

/// One field, or several: `name?` may be missing, `name*` is a pattern of paths.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Field {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

impl Field {
    fn names(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Several(names) => names,
        }
    }

    /// The texts in the fields; `None` when one is missing or no text.
    fn texts(&self, input: &Value) -> Option<Vec<String>> {
        let fields = input.as_object()?;
        let mut texts = Vec::new();
        for name in self.names() {
            let bare = name.trim_end_matches(['?', '*']);
            match fields.get(bare) {
                Some(Value::String(text)) if name.ends_with('*') => {
                    let end = text.find(['*', '?', '[', '{']).unwrap_or(text.len());
                    let fixed = text.get(..end).unwrap_or_default();
                    let dir = fixed
                        .rfind('/')
                        .map_or("", |at| fixed.get(..=at).unwrap_or_default());
                    // `..` behind the first special sign climbs out of what is fixed.
                    if text.split('/').any(|part| part == "..") {
                        texts.push("..".to_owned());
                    }
                    if !dir.is_empty() {
                        texts.push(dir.to_owned());
                    }
                }
                Some(Value::String(text)) if !text.is_empty() => texts.push(text.clone()),
                None | Some(Value::Null) if name.ends_with('?') => {}
                _ => return None,
            }
        }
        Some(texts)
    }
}

/// The files that a patch changes.
fn patched(patch: &str) -> Vec<String> {
    const HEADS: [&str; 4] = [
        "*** Add File: ",
        "*** Update File: ",
        "*** Delete File: ",
        "*** Move to: ",
    ];
    patch
        .lines()
        .filter_map(|line| HEADS.iter().find_map(|head| line.trim().strip_prefix(head)))
        .map(|path| path.trim().to_owned())
        .filter(|path| !path.is_empty())
        .collect()
}

impl Tools {
    /// What a call would do.
    pub fn action(&self, call: &ToolCall) -> Action {
        let set = |name: &String| {
            let value = call.input.get(name);
            !matches!(value, None | Some(Value::Null | Value::Bool(false)))
        };
        if self.unless.iter().any(set) {
            return Action::Other;
        }
        if self.own.contains(&call.tool) {
            return Action::Own;
        }
        if let Some(rest) = self
            .mcp_prefix
            .as_deref()
            .and_then(|p| call.tool.strip_prefix(p))
        {
            return match rest.rsplit_once("__") {
                Some((server, tool)) if !server.is_empty() && !tool.is_empty() => Action::Mcp {
                    server: server.to_owned(),
                    tool: tool.to_owned(),
                },
                _ => Action::Other,
            };
        }
        let texts = |table: &BTreeMap<String, Field>| table.get(&call.tool)?.texts(&call.input);
        if let Some(texts) = texts(&self.shell) {
            return match <[String; 1]>::try_from(texts) {
                Ok([command]) => Action::Shell { command },
                Err(_) => Action::Other,
            };
        }
        if let Some(paths) = texts(&self.read) {
            return Action::Read { paths };
        }
        if let Some(paths) = texts(&self.write).filter(|paths| !paths.is_empty()) {
            return Action::Write { paths };
        }
        if let Some(patch) = self
            .patch
            .get(&call.tool)
            .and_then(|field| call.input.get(field)?.as_str())
        {
            return match patched(patch) {
                paths if paths.is_empty() => Action::Other,
                paths => Action::Write { paths },
            };
        }
        match texts(&self.fetch).and_then(|texts| texts.into_iter().next()) {
            Some(url) => Action::Fetch { url },
            None => Action::Other,
        }
    }

    /// What a call of `tool` on these words would do: how a person asks about it.
    pub fn action_on(&self, tool: &str, words: &[String]) -> Action {
        let words = words.to_vec();
        if self.shell.contains_key(tool) {
            let command = match words.as_slice() {
                [line] => line.clone(),
                words => shell_words::join(words),
            };
            return Action::Shell { command };
        }
        if self.read.contains_key(tool) {
            return Action::Read { paths: words };
        }
        if self.write.contains_key(tool) {
            return Action::Write { paths: words };
        }
        if self.fetch.contains_key(tool) {
            let url = words.into_iter().next().unwrap_or_default();
            return Action::Fetch { url };
        }
        self.action(&ToolCall {
            tool: tool.to_owned(),
            input: Value::Null,
            call_id: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::manifest::Manifest;
    use super::*;
    use serde_json::json;

    const CLAUDE: &str = include_str!("../../agent_store/providers/claude_code.toml");

    fn action(tool: &str, input: Value) -> Action {
        Manifest::parse(CLAUDE).unwrap().action(&ToolCall {
            tool: tool.to_owned(),
            input,
            call_id: None,
        })
    }

    fn read(paths: &[&str]) -> Action {
        Action::Read {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        }
    }

    #[test]
    fn each_tool_becomes_what_it_does() {
        let run = Action::Shell {
            command: "ls".into(),
        };
        assert_eq!(action("Bash", json!({"command": "ls", "timeout": 5})), run);
        assert_eq!(action("Read", json!({"file_path": "/a"})), read(&["/a"]));
        assert_eq!(action("Grep", json!({"pattern": "x"})), read(&[]));
        assert_eq!(action("Glob", json!({"pattern": "**/*.rs"})), read(&[]));
        assert_eq!(
            action("Glob", json!({"pattern": "/etc/*.d/x"})),
            read(&["/etc/"])
        );
        assert_eq!(
            action("Glob", json!({"pattern": "*/../../x"})),
            read(&[".."])
        );
        let write = Action::Write {
            paths: vec!["b".into()],
        };
        assert_eq!(
            action("Edit", json!({"file_path": "b", "old_string": "x"})),
            write
        );
        assert_eq!(action("TodoWrite", json!({})), Action::Own);
        let mcp = |server: &str| Action::Mcp {
            server: server.into(),
            tool: "send_message".into(),
        };
        assert_eq!(
            action("mcp__conductor__send_message", json!({})),
            mcp("conductor")
        );
        assert_eq!(
            action("mcp__conductor__x__send_message", json!({})),
            mcp("conductor__x")
        );
        assert_eq!(
            action("WebFetch", json!({"url": "https://a"})),
            Action::Fetch {
                url: "https://a".into()
            }
        );
    }

    #[test]
    fn a_patch_writes_what_it_names() {
        let patch = "*** Begin Patch\n*** Add File: a b.rs\n+x\n*** Update File: /etc/x\n*** Move to: y\n*** End Patch";
        assert_eq!(patched(patch), ["a b.rs", "/etc/x", "y"]);
        let codex =
            Manifest::parse(include_str!("../../agent_store/providers/codex.toml")).unwrap();
        let call = |input: Value| {
            codex.action(&ToolCall {
                tool: "apply_patch".into(),
                input,
                call_id: None,
            })
        };
        assert!(
            matches!(call(json!({"command": patch})), Action::Write { paths } if paths.len() == 3)
        );
        assert_eq!(call(json!({"command": "nothing"})), Action::Other);
        assert_eq!(call(json!({})), Action::Other);
    }

    #[test]
    fn other_shapes_are_anything() {
        for (tool, input) in [
            ("Bash", json!({"command": ["ls"]})),
            ("Bash", json!({"cmd": "ls"})),
            ("Bash", json!("ls")),
            (
                "Bash",
                json!({"command": "ls", "dangerouslyDisableSandbox": true}),
            ),
            ("Read", json!({"file_path": 3})),
            ("Write", json!({})),
            ("mcp__", json!({})),
            ("mcp__a", json!({})),
            ("Unheard", json!({"command": "ls"})),
        ] {
            assert_eq!(action(tool, input.clone()), Action::Other, "{tool} {input}");
        }
    }
}
