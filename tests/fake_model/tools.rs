//! The tools that a request offers, and the agent's own shell among them.

use crate::script::{How, Wanted};
use serde_json::{Value, json};

/// Shell tools by name, best first.
const SHELLS: [&str; 6] = [
    "Bash",
    "bash",
    "run_shell_command",
    "exec_command",
    "shell_command",
    "shell",
];
/// A tool that runs a program which can call the others.
const PROGRAM: &str = "exec";
/// How long a shell that goes on in the background may wait for the end of a command first.
const WAIT_MS: u32 = 30_000;

/// One tool.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Tool {
    /// The whole name, with the space that it stands in.
    pub(crate) name: String,
    /// The space's name when the tool is offered inside one.
    pub(crate) space: Option<String>,
    /// Whether it takes a text instead of JSON.
    pub(crate) freeform: bool,
    /// What its input looks like.
    pub(crate) schema: Value,
}

impl Tool {
    pub(crate) fn new(name: &str, schema: &Value) -> Self {
        Self {
            name: name.into(),
            schema: schema.clone(),
            ..Self::default()
        }
    }

    /// A tool inside of a space.
    pub(crate) fn inside(space: &str, name: &str, schema: &Value) -> Self {
        Self {
            space: Some(space.into()),
            ..Self::new(&format!("{space}__{name}"), schema)
        }
    }

    /// The name inside of its space.
    pub(crate) fn short(&self) -> &str {
        match &self.space {
            Some(space) => &self.name[space.len() + "__".len()..],
            None => &self.name,
        }
    }
}

/// Whether the tool of this name is what the script wants; `joint` stands between a server's name and its tool's.
pub(crate) fn fits(wanted: &Wanted, name: &str, joint: &str) -> bool {
    name == wanted.name
        || wanted.how == How::Mcp
            && name
                .strip_suffix(&wanted.name)
                .is_some_and(|rest| rest.ends_with(joint))
}

/// The tool among `offered` that the script wants, and what it is called with.
pub(crate) fn find<'a>(
    offered: &'a [Tool],
    wanted: &Wanted,
    joint: &str,
) -> Option<(&'a Tool, Value)> {
    if wanted.how != How::Shell {
        let whole = offered.iter().find(|tool| tool.name == wanted.name);
        let tool = whole.or_else(|| {
            offered
                .iter()
                .find(|tool| fits(wanted, &tool.name, joint) || tool.short() == wanted.name)
        })?;
        return Some((tool, wanted.input.clone()));
    }
    let command = &wanted.input["command"];
    let named = |name: &str| offered.iter().find(|tool| tool.name == name);
    if let Some(tool) = SHELLS.iter().find_map(|name| named(name)) {
        return Some((tool, shell_input(&tool.schema["properties"], command)));
    }
    let tool = named(PROGRAM).filter(|tool| tool.freeform)?;
    let program =
        format!("const r = await tools.exec_command({{cmd: {command}}}); text(r.output);");
    Some((tool, json!(program)))
}

fn shell_input(properties: &Value, command: &Value) -> Value {
    let mut input = if properties["cmd"].is_object() {
        json!({"cmd": command})
    } else if properties["command"]["type"] == "array" {
        json!({"command": ["bash", "-lc", command]})
    } else {
        json!({"command": command})
    };
    if properties.is_null() || properties["description"].is_object() {
        input["description"] = json!("Run a command");
    }
    if properties["yield_time_ms"].is_object() {
        input["yield_time_ms"] = json!(WAIT_MS);
    }
    input
}

/// The smallest value that a JSON schema allows.
pub(crate) fn smallest(schema: &Value) -> Value {
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.first().and_then(Value::as_str),
        kind => kind.as_str(),
    };
    match kind.unwrap_or("object").to_ascii_lowercase().as_str() {
        "object" => {
            let properties = schema["properties"].as_object().into_iter().flatten();
            properties
                .map(|(name, schema)| (name.clone(), smallest(schema)))
                .collect()
        }
        "array" => json!([]),
        "integer" | "number" => json!(1),
        "boolean" => json!(false),
        "null" => Value::Null,
        _ => json!("mock"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(name: &str, properties: &Value) -> Value {
        let wanted = Wanted::shell("echo hi");
        let offered = [
            Tool::new("read", &Value::Null),
            Tool::new(name, &json!({"properties": properties})),
        ];
        let (tool, input) = find(&offered, &wanted, "__").expect("a shell");
        assert_eq!(tool.name, name);
        input
    }

    #[test]
    fn a_shell_gets_its_command_in_its_own_shape() {
        let text = json!({"type": "string"});
        assert_eq!(
            input("bash", &json!({"command": text})),
            json!({"command": "echo hi"})
        );
        assert_eq!(
            input(
                "run_shell_command",
                &json!({"command": text, "description": text})
            ),
            json!({"command": "echo hi", "description": "Run a command"})
        );
        assert_eq!(
            input(
                "exec_command",
                &json!({"cmd": text, "yield_time_ms": {"type": "number"}})
            ),
            json!({"cmd": "echo hi", "yield_time_ms": 30_000})
        );
        assert_eq!(
            input("shell", &json!({"command": {"type": "array"}})),
            json!({"command": ["bash", "-lc", "echo hi"]})
        );
    }

    #[test]
    fn a_shell_may_be_called_by_a_program() {
        let offered = [Tool {
            freeform: true,
            ..Tool::new("exec", &Value::Null)
        }];
        let (_, input) = find(&offered, &Wanted::shell("echo \"hi\""), "__").expect("a shell");
        assert_eq!(
            input,
            r#"const r = await tools.exec_command({cmd: "echo \"hi\""}); text(r.output);"#
        );
    }

    #[test]
    fn the_smallest_value_has_all_properties() {
        let schema = json!({"type": "OBJECT", "properties": {
            "a": {"type": "STRING"}, "b": {"type": "INTEGER"}, "c": {"type": "array"},
            "d": {"enum": ["x", "y"]}, "e": {"type": ["boolean", "null"]},
        }});
        assert_eq!(
            smallest(&schema),
            json!({"a": "mock", "b": 1, "c": [], "d": "x", "e": false})
        );
    }
}
