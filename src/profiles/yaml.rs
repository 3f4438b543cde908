//! What our YAML leaves out: a scan, before the parser sees the text, for anchors, aliases, tags and deep nesting;
//! and the parser's value as JSON.

use super::finding::Finding;
use serde_json::{Map, Value};

/// Deepest nesting of `[` and `{`; the parser needs quadratic time for deeper ones.
const MAX_DEPTH: usize = 32;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quote {
    None,
    Single,
    Double,
}

/// Refuses anchors, aliases, tags and deep nesting. `first` is the number of the first line.
pub(super) fn scan(yaml: &str, first: usize) -> Result<(), Finding> {
    let mut quote = Quote::None;
    let mut depth = 0_usize;
    let mut block: Option<usize> = None;
    for (number, line) in yaml.split('\n').enumerate() {
        let number = first + number;
        if line.contains(['\u{85}', '\u{2028}', '\u{2029}']) {
            return Err(
                Finding::error("a line separator (U+0085, U+2028 or U+2029) stands here")
                    .at(number)
                    .hint("use a plain line end"),
            );
        }
        let chars: Vec<char> = line.chars().collect();
        let indent = chars.iter().take_while(|c| **c == ' ').count();
        if let Some(parent) = block {
            if indent > parent || line.trim().is_empty() {
                continue;
            }
            block = None;
        }
        let mut node_starts = quote == Quote::None;
        let mut plain = false;
        let mut parent = 0;
        let mut at = 0;
        while let Some(&c) = chars.get(at) {
            let next = chars.get(at + 1).copied();
            let ends = next.is_none_or(char::is_whitespace);
            let previous = at.checked_sub(1).and_then(|i| chars.get(i)).copied();
            at += 1;
            match (quote, c) {
                (Quote::Double, '\\') => at += 1,
                (Quote::Single, '\'') if next == Some('\'') => at += 1,
                (Quote::Double, '"') | (Quote::Single, '\'') => quote = Quote::None,
                (Quote::Double | Quote::Single, _) | (Quote::None, ' ' | '\t') => {}
                (Quote::None, '#') if !plain || previous.is_none_or(char::is_whitespace) => break,
                (Quote::None, '[' | '{') if node_starts || depth > 0 => {
                    depth += 1;
                    (node_starts, plain) = (true, false);
                    if depth > MAX_DEPTH {
                        return Err(Finding::error("nested too deeply").at(number));
                    }
                }
                (Quote::None, ']' | '}') if depth > 0 => {
                    depth -= 1;
                    (node_starts, plain) = (false, false);
                }
                (Quote::None, ',') if depth > 0 => (node_starts, plain) = (true, false),
                (Quote::None, ':')
                    if ends
                        || depth > 0
                            && (matches!(next, Some(',' | '[' | ']' | '{' | '}'))
                                || matches!(previous, Some('"' | '\''))) =>
                {
                    (node_starts, plain) = (true, false);
                }
                (Quote::None, '&' | '*' | '!') if node_starts => {
                    return Err(refusal(c, line).at(number));
                }
                (Quote::None, '"') if node_starts => {
                    (quote, node_starts, parent) = (Quote::Double, false, at - 1);
                }
                (Quote::None, '\'') if node_starts => {
                    (quote, node_starts, parent) = (Quote::Single, false, at - 1);
                }
                (Quote::None, '|' | '>') if node_starts && depth == 0 => {
                    block = Some(parent);
                    break;
                }
                (Quote::None, '-' | '?') if node_starts && ends => parent = at - 1,
                (Quote::None, _) if node_starts => {
                    (node_starts, plain, parent) = (false, true, at - 1);
                }
                (Quote::None, _) => {}
            }
        }
    }
    Ok(())
}

fn refusal(c: char, line: &str) -> Finding {
    let what = match c {
        '&' => "a YAML anchor (&)",
        '*' => "a YAML alias (*)",
        _ => "a YAML tag (!)",
    };
    let finding = Finding::error(format!("{what} is not taken here"));
    match quoted(line) {
        Some(hint) => finding.hint(hint),
        None => finding.hint("put text that starts with this character in double quotes"),
    }
}

/// `quote the KEY: KEY: "VALUE"` for a line that can be mended so.
pub(super) fn quoted(line: &str) -> Option<String> {
    let (key, value) = line.split_once(':')?;
    let (key, value) = (key.trim().trim_start_matches("- "), value.trim());
    let plain = !key.is_empty()
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    let unquoted = !value.is_empty() && !value.starts_with(['"', '\'', '[', '{', '|', '>']);
    if !plain || !unquoted {
        return None;
    }
    let short = value.chars().count() <= 80
        && !value.contains(['"', '\\'])
        && !value.chars().any(crate::domain::text::is_unsafe);
    Some(if short {
        format!("quote the {key}: {key}: \"{value}\"")
    } else {
        format!("quote the {key}: put its text in double quotes")
    })
}

/// The parser's value as JSON. Keys become text; tags, numbers that JSON lacks and NUL are errors.
pub(super) fn to_json(value: yaml_serde::Value) -> Result<Value, String> {
    use yaml_serde::Value as Yaml;
    Ok(match value {
        Yaml::Null => Value::Null,
        Yaml::Bool(bool) => Value::Bool(bool),
        Yaml::Number(number) => {
            if let Some(number) = number.as_u64() {
                number.into()
            } else if let Some(number) = number.as_i64() {
                number.into()
            } else {
                number
                    .as_f64()
                    .and_then(serde_json::Number::from_f64)
                    .map(Value::Number)
                    .ok_or_else(|| format!("{number} is not a number that can be used"))?
            }
        }
        Yaml::String(text) if text.contains('\0') => {
            return Err("a text holds a NUL character".to_owned());
        }
        Yaml::String(text) => Value::String(text),
        Yaml::Sequence(items) => {
            Value::Array(items.into_iter().map(to_json).collect::<Result<_, _>>()?)
        }
        Yaml::Mapping(entries) => {
            let mut map = Map::new();
            for (key, value) in entries {
                let key = match to_json(key)? {
                    Value::String(text) => text,
                    Value::Bool(bool) => bool.to_string(),
                    Value::Number(number) => number.to_string(),
                    _ => return Err("a key is not a word".to_owned()),
                };
                if map.contains_key(&key) {
                    return Err(format!("the key `{key}` appears twice"));
                }
                map.insert(key, to_json(value)?);
            }
            Value::Object(map)
        }
        Yaml::Tagged(_) => return Err("a YAML tag (!) is not taken here".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn anchors_aliases_and_tags_are_found_where_a_value_starts() {
        for bad in [
            "a: &x 1",
            "a: *x",
            "a: !!str 1",
            "- &x",
            "&x a: 1",
            "a: [1, *x]",
            "a: {b: *x}",
            "a: {\"b\":*x}",
            "a: [[&x 1]]",
            "? *x",
            "- - *x",
            "a: |\n  text\nb: *x",
            "a: 'it''s' # don't\nb: *x",
            "a: \"x\\\"\"\nb: *x",
            "a:\n  - |\n    text\n  - *x",
        ] {
            let fault = scan(bad, 1).unwrap_err();
            assert_eq!(fault.line, Some(bad.lines().count()), "{bad:?}");
        }
    }

    #[test]
    fn the_same_characters_inside_text_stay() {
        for good in [
            "a: x & y * z !",
            "a: \"*/5 * * * *\"",
            "a: '& * !'",
            "a: |\n  * one\n  & two\n\n  !three\nb: c",
            "a:\n  - >-\n    * one\nb: c",
            "- a: |\n    * one\n  b: c",
            "a: x # & * !",
            "a: x*y&z!",
            "a: ['*', \"&\"]",
            "a: Bash(git log:*)",
            "a: \"one\n  * two\"",
            "a: [x(*), *.md]".replace(", *.md", "").as_str(),
        ] {
            assert!(scan(good, 1).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_at_once() {
        assert!(scan(&"[".repeat(200_000), 1).is_err());
        assert!(scan(&"{a: ".repeat(100_000), 1).is_err());
        assert!(
            scan("a: b\u{2028}c: *x", 1).is_err(),
            "the parser sees a line end"
        );
    }

    #[test]
    fn the_hint_quotes_the_line() {
        assert_eq!(
            quoted("schedule: */5 * * * *").as_deref(),
            Some("quote the schedule: schedule: \"*/5 * * * *\"")
        );
        assert_eq!(quoted("a: 'x"), None);
    }

    proptest! {
        #[test]
        fn no_alias_or_tag_reaches_the_parser(text in "[ab&*!:\\-|>'\"#,\\[\\]{} \n]{0,40}") {
            if scan(&text, 1).is_ok() {
                match yaml_serde::from_str::<yaml_serde::Value>(&text) {
                    Ok(value) => {
                        let shown = format!("{value:?}");
                        prop_assert!(!shown.contains("Tagged"), "{}", shown);
                    }
                    Err(error) => prop_assert!(!error.to_string().contains("unknown anchor"), "{}", error),
                }
            }
        }
    }
}
