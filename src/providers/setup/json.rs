//! Our members and elements in a JSON document of somebody else: put in and taken out by the text, so that what is not ours stays as it was
//! written. Only the containers on the way to ours are written anew.

use super::MARK;
use crate::paths::name::SETUP;
use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};
use serde_json::{Map, Value};

/// How a document is written.
struct Style {
    indent: String,
    line_end: &'static str,
}

impl Style {
    fn of(text: &str) -> Self {
        let first = text.trim_start().lines().nth(1).unwrap_or_default();
        let indent: String = first
            .chars()
            .take_while(|c| matches!(c, ' ' | '\t'))
            .collect();
        Self {
            indent: if indent.is_empty() {
                "  ".to_owned()
            } else {
                indent
            },
            line_end: if text.contains("\r\n") { "\r\n" } else { "\n" },
        }
    }

    fn line(&self, depth: usize) -> String {
        format!("{}{}", self.line_end, self.indent.repeat(depth))
    }

    /// `value` as text at `depth`.
    fn value(&self, value: &Value, depth: usize) -> String {
        let mut bytes = Vec::new();
        let formatter = PrettyFormatter::with_indent(self.indent.as_bytes());
        if value
            .serialize(&mut Serializer::with_formatter(&mut bytes, formatter))
            .is_err()
        {
            return value.to_string();
        }
        String::from_utf8_lossy(&bytes).replace('\n', &self.line(depth))
    }

    fn container(&self, open: char, items: &[String], close: char, depth: usize) -> String {
        if items.is_empty() {
            return format!("{open}{close}");
        }
        let inner = self.line(depth + 1);
        let items = items.join(&format!(",{inner}"));
        format!("{open}{inner}{items}{}{close}", self.line(depth))
    }

    fn object(&self, members: &[(String, String)], depth: usize) -> String {
        let items: Vec<String> = members
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        self.container('{', &items, '}', depth)
    }
}

/// Where the value that begins at `at` ends. The document is known to be JSON.
fn end_of(text: &str, at: usize) -> usize {
    let bytes = text.as_bytes();
    let (mut end, mut depth, mut quoted) = (at, 0_usize, false);
    while let Some(byte) = bytes.get(end) {
        match (quoted, byte) {
            (true, b'\\') => end += 1,
            (_, b'"') => quoted = !quoted,
            (true, _) => {}
            (false, b'}' | b']' | b',' | b':') if depth == 0 => break,
            (false, b'{' | b'[') => depth += 1,
            (false, b'}' | b']') => depth -= 1,
            (false, _) => {}
        }
        end += 1;
    }
    end
}

/// The texts between the brackets of a container that stand between `,` and `:`.
fn pieces(text: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut at = text.find(['{', '[']).map_or(text.len(), |open| open + 1);
    loop {
        let end = end_of(text, at);
        let piece = text.get(at..end).unwrap_or_default().trim();
        if !piece.is_empty() {
            pieces.push(piece.to_owned());
        }
        if !matches!(text.as_bytes().get(end), Some(b',' | b':')) {
            return pieces;
        }
        at = end + 1;
    }
}

/// Names, as they are written, and values of an object.
fn members(text: &str) -> Vec<(String, String)> {
    let pieces = pieces(text);
    pieces
        .chunks_exact(2)
        .map(|pair| (pair[0].clone(), pair[1].clone()))
        .collect()
}

/// Of several members of one name the last one counts.
fn position(members: &[(String, String)], name: &str) -> Option<usize> {
    members
        .iter()
        .rposition(|(written, _)| parsed(written) == *name)
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Null)
}

/// Whether it is one of ours as a whole: a hook, a server.
fn is_unit(value: &Value) -> bool {
    value.as_object().is_some_and(|members| {
        members.values().any(|member| {
            member.as_str().is_some_and(|text| text.contains(MARK))
                || member
                    .as_object()
                    .is_some_and(|env| env.contains_key(SETUP))
        })
    })
}

/// Whether anything of ours is in it.
fn is_marked(value: &Value) -> bool {
    is_unit(value)
        || match value {
            Value::Object(members) => members.values().any(is_marked),
            Value::Array(elements) => elements.iter().any(is_marked),
            _ => false,
        }
}

/// `text` with `ours` in it; the error is the name of what stands where ours should.
pub(super) fn with(text: &str, ours: &Value) -> Result<String, String> {
    let style = Style::of(text);
    let (before, document, after) = framed(text);
    let added = add(&style, document, ours, 0).map_err(|name| name.trim_matches('.').to_owned())?;
    Ok(format!("{before}{added}{after}"))
}

/// A document and the blanks around it.
fn framed(text: &str) -> (&str, &str, &str) {
    let document = text.trim();
    let at = text.len() - text.trim_start().len();
    (&text[..at], document, &text[at + document.len()..])
}

fn add(style: &Style, text: &str, ours: &Value, depth: usize) -> Result<String, String> {
    match ours {
        Value::Object(ours) if text.starts_with('{') => {
            let mut there = members(text);
            let mut changed = false;
            for (name, value) in ours {
                let place = position(&there, name);
                let fresh = match place {
                    None => style.value(value, depth + 1),
                    Some(at) => {
                        let old = &there[at].1;
                        member(style, old, value, depth + 1)
                            .map_err(|rest| format!("{name}.{rest}"))?
                    }
                };
                match place {
                    Some(at) if there[at].1 == fresh => continue,
                    Some(at) => there[at].1 = fresh,
                    None => there.push((Value::from(name.as_str()).to_string(), fresh)),
                }
                changed = true;
            }
            Ok(if changed {
                style.object(&there, depth)
            } else {
                text.to_owned()
            })
        }
        Value::Array(ours) if text.starts_with('[') => {
            let mut there = pieces(text);
            let known: Vec<Value> = there.iter().map(|element| parsed(element)).collect();
            let missing: Vec<&Value> = ours.iter().filter(|one| !known.contains(one)).collect();
            if missing.is_empty() {
                return Ok(text.to_owned());
            }
            there.extend(missing.iter().map(|one| style.value(one, depth + 1)));
            Ok(style.container('[', &there, ']', depth))
        }
        ours if parsed(text) == *ours => Ok(text.to_owned()),
        _ => Err(String::new()),
    }
}

fn member(style: &Style, old: &str, ours: &Value, depth: usize) -> Result<String, String> {
    if !is_unit(ours) {
        return add(style, old, ours, depth);
    }
    let there = parsed(old);
    if there == *ours {
        return Ok(old.to_owned());
    }
    // One that is not ours is left alone; ours of another version makes place.
    if is_unit(&there) {
        return Ok(style.value(ours, depth));
    }
    Err(String::new())
}

/// `text` without `ours`, where `before` is what the document was before ours came in; `None` when nothing is left that was not ours.
pub(super) fn without(text: &str, ours: &Value, before: Option<&Value>) -> Option<String> {
    let style = Style::of(text);
    let (start, document, end) = framed(text);
    let left = take_out(&style, document, ours, before, 0);
    if before.is_none() && left == "{}" {
        return None;
    }
    Some(format!("{start}{left}{end}"))
}

fn take_out(
    style: &Style,
    text: &str,
    ours: &Value,
    before: Option<&Value>,
    depth: usize,
) -> String {
    match ours {
        Value::Object(ours) if text.starts_with('{') => {
            let mut there = members(text);
            let mut changed = false;
            for (name, value) in ours {
                let Some(at) = position(&there, name) else {
                    continue;
                };
                let earlier = before.and_then(|before| before.get(name));
                let old = &there[at].1;
                let left = if is_unit(value) {
                    let is_ours = earlier.is_none() && is_unit(&parsed(old));
                    (!is_ours).then(|| old.clone())
                } else {
                    let left = take_out(style, old, value, earlier, depth + 1);
                    let gone = left.is_empty() || (left != *old && is_empty(&left));
                    (earlier.is_some() || !gone).then_some(left)
                };
                match left {
                    Some(left) if left == *old => continue,
                    Some(left) => there[at].1 = left,
                    None => drop(there.remove(at)),
                }
                changed = true;
            }
            if changed {
                style.object(&there, depth)
            } else {
                text.to_owned()
            }
        }
        Value::Array(ours) if text.starts_with('[') => {
            let there = pieces(text);
            let earlier = before.and_then(Value::as_array);
            let left: Vec<String> = there
                .iter()
                .filter_map(|element| {
                    let mut value = parsed(element);
                    if earlier.is_some_and(|earlier| earlier.contains(&value)) {
                        return Some(element.clone());
                    }
                    if ours.contains(&value) {
                        return None;
                    }
                    if !is_marked(&value) {
                        return Some(element.clone());
                    }
                    prune(&mut value).then(|| style.value(&value, depth + 1))
                })
                .collect();
            if left == there {
                text.to_owned()
            } else {
                style.container('[', &left, ']', depth)
            }
        }
        // A value of its own: taken out where it is still as we wrote it.
        ours if before.is_none() && parsed(text) == *ours => String::new(),
        _ => text.to_owned(),
    }
}

fn is_empty(text: &str) -> bool {
    matches!(text, "{}" | "[]")
}

/// Takes ours out of an element that somebody has changed since; says whether anything is left of it.
fn prune(value: &mut Value) -> bool {
    if is_unit(value) {
        return false;
    }
    match value {
        Value::Object(members) => {
            let mut others: Map<String, Value> = std::mem::take(members);
            others.retain(|_, member| !is_marked(member) || prune(member));
            *members = others;
            let full = |member: &Value| {
                member.as_object().is_some_and(|inner| !inner.is_empty())
                    || member.as_array().is_some_and(|inner| !inner.is_empty())
            };
            members.values().any(full)
        }
        Value::Array(elements) => {
            elements.retain_mut(|element| !is_marked(element) || prune(element));
            !elements.is_empty()
        }
        _ => true,
    }
}
