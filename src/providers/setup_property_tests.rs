//! Our entries in any JSON document: what was there before is there after.

use super::tests::{CLAUDE, Lab, parse};
use super::{SetupSpec, apply, claude, merged, without};
use crate::providers::Manifest;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::path::Path;

/// Any JSON value, with the names that ours has more often than others.
fn any_json() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        Just("hooks".to_owned()),
        Just("permissions".to_owned()),
        Just("allow".to_owned()),
        Just("Stop".to_owned()),
        Just("mcpServers".to_owned()),
        Just("conductor".to_owned()),
        any::<String>(),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(json!("mcp__conductor__handoff")),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((name.clone(), inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn any_document() -> impl Strategy<Value = (Value, String)> {
    let name = prop_oneof![
        Just("hooks".to_owned()),
        Just("permissions".to_owned()),
        any::<String>()
    ];
    let members = proptest::collection::vec((name, any_json()), 0..6);
    (members, 0..4_usize, any::<bool>()).prop_map(|(members, indent, end)| {
        let value = Value::Object(members.into_iter().collect::<Map<_, _>>());
        let mut text = match indent {
            0 => value.to_string(),
            1 => serde_json::to_string_pretty(&value).unwrap(),
            2 => serde_json::to_string_pretty(&value)
                .unwrap()
                .replace("\n  ", "\n\t"),
            _ => value.to_string().replace('{', "{ "),
        };
        // A brace in a string is not one of the document.
        if parse(&text) != value {
            text = value.to_string();
        }
        if end {
            text.push('\n');
        }
        (value, text)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_document_that_nobody_touched_comes_back((_, text) in any_document()) {
        let lab = Lab::new();
        lab.write(".claude/settings.json", &text);
        let before = lab.tree();
        if let Ok(edits) = lab.plan(CLAUDE) {
            apply(&lab.home, "claude_code", &edits).unwrap();
            lab.undo(CLAUDE);
        }
        prop_assert_eq!(lab.tree(), before);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_document_that_somebody_added_to_keeps_that_alone(
        (value, text) in any_document(), key in any::<String>(), more in any_json(),
    ) {
        let lab = Lab::new();
        let targets = claude::targets(&Manifest::parse(CLAUDE).unwrap(), &SetupSpec {
            hook: &lab.hook, home: &lab.home, user_home: &lab.user, own_tools: &["handoff"], profiles: &[],
        }).unwrap();
        let path = Path::new("settings.json");
        let part = &targets[0].part;
        let Ok(set_up) = merged(path, Some(&text), part) else { return Ok(()) };
        prop_assert_eq!(&merged(path, Some(&set_up), part).unwrap(), &set_up, "twice is once");
        let (mut now, mut wanted) = (parse(&set_up), value);
        if now.get(&key).is_none() {
            now[&key] = more.clone();
            wanted[&key] = more;
        }
        for now in [now.to_string(), serde_json::to_string_pretty(&now).unwrap()] {
            let left = without(path, &now, part, Some(&text)).unwrap().unwrap();
            prop_assert_eq!(parse(&left), wanted.clone(), "{}", left);
        }
    }
}
