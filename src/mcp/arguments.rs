//! Checks a call's arguments against the tool's input schema: the part of JSON Schema that our tools use.
//!
//! Known keywords: `type`, `properties`, `required`, `additionalProperties: false`, `enum`, `minimum`, `maximum`, `minLength`,
//! `maxLength`, `items`, `default`. What is wrong is said in sentences for the model, with what is allowed.

use super::protocol::short;
use super::tool::ToolDef;
use serde_json::{Map, Value};

/// The most problems that one answer names.
const MAX_PROBLEMS: usize = 5;

/// The arguments with defaults filled in, or what is wrong with them.
///
/// A null for an optional argument that cannot be null counts as left out: clients that must fill every field send it.
pub(super) fn check(
    schema: &Value,
    arguments: Map<String, Value>,
) -> Result<Map<String, Value>, Vec<String>> {
    let mut problems = Vec::new();
    let checked = check_object(schema, arguments, "", &mut problems);
    if problems.is_empty() {
        return Ok(checked);
    }
    problems.truncate(MAX_PROBLEMS);
    Err(problems)
}

fn check_object(
    schema: &Value,
    mut given: Map<String, Value>,
    path: &str,
    problems: &mut Vec<String>,
) -> Map<String, Value> {
    let none = Map::new();
    let properties = schema
        .get("properties")
        .and_then(Value::as_object)
        .unwrap_or(&none);
    let required = |name: &str| {
        let list = schema.get("required").and_then(Value::as_array);
        list.is_some_and(|list| list.iter().any(|entry| entry == name))
    };
    let mut checked = Map::new();
    for (name, rule) in properties {
        let full = format!("{path}{name}");
        let value = given
            .remove(name)
            .filter(|value| !value.is_null() || allows(rule, value) || required(name));
        match value {
            Some(value) => {
                checked.insert(name.clone(), check_value(rule, value, &full, problems));
            }
            None if required(name) => {
                problems.push(format!(
                    "Argument `{full}` is required: {}.",
                    expected(rule)
                ));
            }
            None => {
                if let Some(default) = rule.get("default") {
                    checked.insert(name.clone(), default.clone());
                }
            }
        }
    }
    if schema.get("additionalProperties") == Some(&Value::Bool(false)) {
        for name in given.keys() {
            let full = format!("{path}{}", short(name));
            problems.push(format!(
                "Argument `{full}` is unknown; {}.",
                names(properties)
            ));
        }
    } else {
        checked.extend(given);
    }
    checked
}

fn check_value(rule: &Value, value: Value, path: &str, problems: &mut Vec<String>) -> Value {
    if !fits(rule, &value) {
        problems.push(format!(
            "Argument `{path}` must be {}; it was {}.",
            expected(rule),
            shown(&value)
        ));
        return value;
    }
    match value {
        Value::Object(object) => check_object(rule, object, &format!("{path}."), problems).into(),
        Value::Array(items) => match rule.get("items") {
            Some(rule) => {
                let each = items.into_iter().enumerate();
                each.map(|(at, item)| check_value(rule, item, &format!("{path}[{at}]"), problems))
                    .collect()
            }
            None => items.into(),
        },
        value if has_type(rule, "integer") => whole(&value).map_or(value, Value::from),
        value => value,
    }
}

/// Whether the value itself is allowed; what is inside of it is checked on its own.
fn fits(rule: &Value, value: &Value) -> bool {
    let number = |key: &str| rule.get(key).and_then(Value::as_f64);
    let in_range = value.as_f64().is_none_or(|n| {
        number("minimum").is_none_or(|min| n >= min) && number("maximum").is_none_or(|max| n <= max)
    });
    let length = value.as_str().map(|text| text.chars().count() as u64);
    let in_length = length.is_none_or(|n| {
        let limit = |key: &str| rule.get(key).and_then(Value::as_u64);
        limit("minLength").is_none_or(|min| n >= min)
            && limit("maxLength").is_none_or(|max| n <= max)
    });
    let listed = rule
        .get("enum")
        .and_then(Value::as_array)
        .is_none_or(|list| list.contains(value));
    allows(rule, value) && in_range && in_length && listed
}

/// Whether the rule's `type` allows the value.
fn allows(rule: &Value, value: &Value) -> bool {
    let types = types(rule);
    types.is_empty()
        || types.iter().any(|name| match *name {
            "string" => value.is_string(),
            "integer" => whole(value).is_some(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            "object" => value.is_object(),
            "array" => value.is_array(),
            "null" => value.is_null(),
            _ => false,
        })
}

fn types(rule: &Value) -> Vec<&str> {
    match rule.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn has_type(rule: &Value, name: &str) -> bool {
    types(rule).contains(&name)
}

/// A whole number, also when it was written as `600.0`.
#[expect(
    clippy::cast_possible_truncation,
    reason = "checked: no fraction, and within what an f64 holds exactly"
)]
fn whole(value: &Value) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    value.as_i64().or_else(|| {
        value
            .as_f64()
            .filter(|n| n.fract() == 0.0 && n.abs() <= EXACT)
            .map(|n| n as i64)
    })
}

/// What is allowed, as the end of a sentence: "a whole number from 1 to 600".
fn expected(rule: &Value) -> String {
    if let Some(list) = rule.get("enum").and_then(Value::as_array) {
        let list: Vec<String> = list.iter().map(Value::to_string).collect();
        return format!("one of {}", list.join(", "));
    }
    let kinds: Vec<&str> = types(rule)
        .into_iter()
        .map(|name| match name {
            "string" => "a string",
            "integer" => "a whole number",
            "number" => "a number",
            "boolean" => "true or false",
            "object" => "an object",
            "array" => "an array",
            other => other,
        })
        .collect();
    let mut text = if kinds.is_empty() {
        "a value".to_owned()
    } else {
        kinds.join(" or ")
    };
    let limit = |low: &str, high: &str, unit: &str| match (rule.get(low), rule.get(high)) {
        (Some(low), Some(high)) => format!(" from {low} to {high}{unit}"),
        (Some(low), None) => format!(" of at least {low}{unit}"),
        (None, Some(high)) => format!(" of at most {high}{unit}"),
        (None, None) => String::new(),
    };
    text.push_str(&limit("minimum", "maximum", ""));
    if has_type(rule, "string") {
        text.push_str(&limit("minLength", "maxLength", " characters"));
    }
    text
}

/// The value as the model may see it again: short, and without what it holds.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if text.chars().count() > 60 => {
            format!("a string of {} characters", text.chars().count())
        }
        Value::Object(_) => "an object".into(),
        Value::Array(_) => "an array".into(),
        value => value.to_string(),
    }
}

fn names(properties: &Map<String, Value>) -> String {
    if properties.is_empty() {
        return "this takes no arguments".into();
    }
    let names: Vec<String> = properties.keys().map(|name| format!("`{name}`")).collect();
    format!("known are {}", names.join(", "))
}

/// Which arguments a tool takes, as a sentence: the hint of every wrong call.
pub(super) fn taken(tool: &ToolDef) -> String {
    let schema = &tool.input_schema;
    let required: Vec<&str> = match schema.get("required").and_then(Value::as_array) {
        Some(list) => list.iter().filter_map(Value::as_str).collect(),
        None => Vec::new(),
    };
    let properties = schema.get("properties").and_then(Value::as_object);
    let optional: Vec<&str> = properties
        .into_iter()
        .flat_map(Map::keys)
        .map(String::as_str)
        .filter(|name| !required.contains(name))
        .collect();
    let list = |names: &[&str]| format!("`{}`", names.join("`, `"));
    let takes = match (required.is_empty(), optional.is_empty()) {
        (true, true) => "no arguments".to_owned(),
        (false, true) => list(&required),
        (true, false) => format!("optionally {}", list(&optional)),
        (false, false) => format!("{}, and optionally {}", list(&required), list(&optional)),
    };
    format!("`{}` takes {takes}.", tool.name)
}

/// Checked arguments of a call.
pub(super) struct Arguments<'a>(pub(super) &'a Map<String, Value>);

impl Arguments<'_> {
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).and_then(Value::as_str).map(str::to_owned)
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.0.get(name).and_then(Value::as_u64)
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    pub(super) fn list(&self, name: &str) -> Vec<String> {
        let list = self.0.get(name).and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> Value {
        json!({
            "type": "object",
            "properties": {
                "message": {"type": "string", "maxLength": 5},
                "timeout": {"type": "integer", "minimum": 1, "maximum": 600, "default": 60},
                "mode": {"type": "string", "enum": ["last", "full"]},
                "ratio": {"type": "number", "minimum": 0},
                "deep": {"type": "object", "properties": {"x": {"type": "boolean"}}, "additionalProperties": false},
                "list": {"type": "array", "items": {"type": "string"}},
                "maybe": {"type": ["string", "null"]}
            },
            "required": ["message"],
            "additionalProperties": false
        })
    }

    fn run(arguments: Value) -> Result<Value, String> {
        let Value::Object(arguments) = arguments else {
            panic!("not an object");
        };
        check(&schema(), arguments)
            .map(Value::Object)
            .map_err(|problems| problems.join("\n"))
    }

    #[test]
    fn defaults_are_filled_in_and_good_values_stay() {
        assert_eq!(
            run(json!({"message": "hi"})),
            Ok(json!({"message": "hi", "timeout": 60}))
        );
        assert_eq!(
            run(
                json!({"message": "hällo", "timeout": 600.0, "maybe": null, "ratio": 0.5, "list": ["a"], "deep": {"x": true}})
            ),
            Ok(
                json!({"message": "hällo", "timeout": 600, "ratio": 0.5, "deep": {"x": true}, "list": ["a"], "maybe": null})
            )
        );
    }

    #[test]
    fn null_for_an_optional_argument_counts_as_left_out() {
        assert_eq!(
            run(json!({"message": "hi", "timeout": null, "mode": null})),
            Ok(json!({"message": "hi", "timeout": 60}))
        );
        assert_eq!(
            run(json!({"message": null})).unwrap_err(),
            "Argument `message` must be a string of at most 5 characters; it was null."
        );
    }

    #[test]
    fn problems_say_what_is_wrong_and_what_is_allowed() {
        let cases = [
            (
                json!({}),
                "Argument `message` is required: a string of at most 5 characters.",
            ),
            (
                json!({"message": "too long"}),
                "Argument `message` must be a string of at most 5 characters; it was \"too long\".",
            ),
            (
                json!({"message": "a", "timeout": 0}),
                "Argument `timeout` must be a whole number from 1 to 600; it was 0.",
            ),
            (
                json!({"message": "a", "timeout": 1.5}),
                "Argument `timeout` must be a whole number from 1 to 600; it was 1.5.",
            ),
            (
                json!({"message": "a", "timeout": "60"}),
                "Argument `timeout` must be a whole number from 1 to 600; it was \"60\".",
            ),
            (
                json!({"message": "a", "mode": "all"}),
                "Argument `mode` must be one of \"last\", \"full\"; it was \"all\".",
            ),
            (
                json!({"message": "a", "ratio": -1}),
                "Argument `ratio` must be a number of at least 0; it was -1.",
            ),
            (
                json!({"message": "a", "deep": {"y": 1}}),
                "Argument `deep.y` is unknown; known are `x`.",
            ),
            (
                json!({"message": "a", "list": ["a", 1]}),
                "Argument `list[1]` must be a string; it was 1.",
            ),
        ];
        for (arguments, problem) in cases {
            assert_eq!(run(arguments).unwrap_err(), problem);
        }
        assert!(
            run(json!({"message": "a", "nope": 1}))
                .unwrap_err()
                .starts_with("Argument `nope` is unknown; known are `message`, `timeout`")
        );
    }

    #[test]
    fn a_tool_without_arguments_says_so() {
        let schema = json!({"type": "object", "additionalProperties": false});
        let mut arguments = Map::new();
        arguments.insert("x".into(), json!(1));
        assert_eq!(
            check(&schema, arguments).unwrap_err(),
            ["Argument `x` is unknown; this takes no arguments."]
        );
    }

    #[test]
    fn every_tool_says_what_it_takes() {
        let said: Vec<String> = crate::mcp::definitions::definitions()
            .iter()
            .map(taken)
            .collect();
        for line in [
            "`wait_handoff` takes `handoff_id`, and optionally `wait_seconds`.",
            "`list_terminals` takes no arguments.",
            "`find_profiles` takes optionally `query`.",
            "`close_terminal` takes `terminal_id`.",
        ] {
            assert!(said.iter().any(|one| one == line), "{line}: {said:#?}");
        }
    }
}
