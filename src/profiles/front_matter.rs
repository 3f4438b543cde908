//! A Markdown file with YAML front matter, split into fields and body.

use super::finding::Finding;
use super::yaml;
use serde_json::{Map, Value};

/// The largest file, in bytes.
pub const MAX_BYTES: usize = 256 * 1024;

/// A file's fields and body.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The front matter.
    pub fields: Map<String, Value>,
    /// What follows it, with LF line ends, without blank lines around it.
    pub body: String,
    /// The number of the body's first line.
    pub body_line: usize,
    lines: Vec<(String, usize)>,
}

impl Document {
    /// The line on which a field starts.
    pub fn line_of(&self, key: &str) -> Option<usize> {
        let found = self.lines.iter().find(|(name, _)| name == key);
        found.map(|(_, line)| *line)
    }
}

/// Splits `bytes`. A byte order mark, CRLF line ends and blank lines in front are taken.
pub fn parse(bytes: &[u8]) -> Result<Document, Finding> {
    let text = text(bytes)?;
    let lines: Vec<&str> = text.split('\n').collect();
    let is_fence = |line: &str| {
        let line = line.trim_end();
        line.len() >= 3 && line.bytes().all(|b| b == b'-')
    };
    let open = lines.iter().position(|line| !line.trim().is_empty());
    let Some(open) = open.filter(|at| is_fence(lines[*at])) else {
        return Err(Finding::error("there is no front matter")
            .at(1)
            .hint("start the file with a line ---, then name: and description:, then a line ---"));
    };
    let fenced = lines.iter().skip(open + 1).position(|line| is_fence(line));
    let Some(length) = fenced else {
        return Err(
            Finding::error("the front matter that starts here has no end")
                .at(open + 1)
                .hint("end it with a line that holds --- alone"),
        );
    };
    let matter = &lines[open + 1..open + 1 + length];
    let first = open + 2;
    let fields = fields(matter, first)?;
    let rest = &lines[open + 2 + length..];
    let blank = rest.iter().take_while(|l| l.trim().is_empty()).count();
    Ok(Document {
        fields,
        body: rest[blank..].join("\n").trim_end().to_owned(),
        body_line: open + 3 + length + blank,
        lines: top_level(matter, first),
    })
}

/// The text of a file: UTF-8 without NUL, not too large, with LF line ends.
fn text(bytes: &[u8]) -> Result<String, Finding> {
    let line_at = |at: usize| 1 + bytes.iter().take(at).filter(|b| **b == b'\n').count();
    if bytes.len() > MAX_BYTES {
        return Err(Finding::error(format!("larger than {MAX_BYTES} bytes")));
    }
    if let Some(at) = bytes.iter().position(|b| *b == 0) {
        return Err(Finding::error("not a text: it holds a NUL byte").at(line_at(at)));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        Finding::error("not UTF-8")
            .at(line_at(error.valid_up_to()))
            .hint("save the file as UTF-8")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    Ok(text.replace("\r\n", "\n").replace('\r', "\n"))
}

fn fields(matter: &[&str], first: usize) -> Result<Map<String, Value>, Finding> {
    let yaml = matter.join("\n");
    yaml::scan(&yaml, first)?;
    // Blank lines in front make the parser count lines as the file does.
    let padded = format!("{}{yaml}", "\n".repeat(first - 1));
    let value = yaml_serde::from_str::<yaml_serde::Value>(&padded)
        .map_err(|error| parser_fault(&error, matter, first))?;
    match yaml::to_json(value) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(Value::Null) => Ok(Map::new()),
        Ok(_) => {
            Err(Finding::error("the front matter is not a list of `key: value` lines").at(first))
        }
        Err(message) => {
            let line = key_twice(&message).and_then(|key| second(matter, first, key));
            Err(Finding::error(message).at(line))
        }
    }
}

fn parser_fault(error: &yaml_serde::Error, matter: &[&str], first: usize) -> Finding {
    let message = error.to_string();
    if let Some(key) = key_twice(&message) {
        let line = second(matter, first, key);
        return Finding::error(format!("the key `{key}` appears twice")).at(line);
    }
    let line = error.location().map(|place| place.line());
    let finding = Finding::error(without_places(&message)).at(line);
    let text = line.and_then(|line| matter.get(line.checked_sub(first)?));
    match text.and_then(|text| remedy(&message, text)) {
        Some(hint) => finding.hint(hint),
        None => finding,
    }
}

/// What mends the usual faults.
fn remedy(message: &str, line: &str) -> Option<String> {
    let value = line.split_once(':').map_or("", |(_, value)| value.trim());
    if line.trim_start_matches(' ').starts_with('\t') {
        Some("indent with spaces: YAML takes no tabs".to_owned())
    } else if message.contains("cannot start any token") {
        yaml::quoted(line)
    } else if message.contains("mapping values are not allowed") {
        if value.contains(':') {
            yaml::quoted(line)
        } else {
            Some("give this line the indentation of the lines beside it".to_owned())
        }
    } else if value.starts_with('\'') {
        Some("inside single quotes write '' for ', or use double quotes".to_owned())
    } else {
        None
    }
}

/// The key of a message about a duplicate, from the parser or from us.
fn key_twice(message: &str) -> Option<&str> {
    let theirs = message
        .split_once("duplicate entry with key \"")
        .and_then(|(_, rest)| rest.split_once('"'));
    let ours = message
        .strip_prefix("the key `")
        .and_then(|rest| rest.split_once('`'));
    theirs.or(ours).map(|(key, _)| key)
}

/// The line on which `key` stands for the second time.
fn second(matter: &[&str], first: usize, key: &str) -> Option<usize> {
    let mut found = matter.iter().enumerate().filter(|(_, line)| {
        let line = line.trim_start().trim_start_matches("- ");
        key_of(line) == Some(key)
    });
    found.nth(1).map(|(at, _)| first + at)
}

fn top_level(matter: &[&str], first: usize) -> Vec<(String, usize)> {
    let keys = matter.iter().enumerate();
    keys.filter_map(|(at, line)| Some((key_of(line)?.to_owned(), first + at)))
        .collect()
}

/// The key of a line `key: value` that starts in its first column.
fn key_of(line: &str) -> Option<&str> {
    if line.starts_with([' ', '\t', '#', '-']) {
        return None;
    }
    let (key, _) = line.split_once(':')?;
    Some(key.trim_end().trim_matches(['"', '\'']))
}

/// A parser's message without its places: ours stands in front of it.
fn without_places(message: &str) -> String {
    let mut clean = String::new();
    let mut rest = message;
    while let Some((before, after)) = rest.split_once(" at line ") {
        clean.push_str(before);
        let after = after.trim_start_matches(|c: char| c.is_ascii_digit());
        let after = after.strip_prefix(" column ").unwrap_or(after);
        rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    clean.push_str(rest);
    crate::domain::text::one_line(&clean)
}

#[cfg(test)]
#[path = "front_matter_tests.rs"]
mod tests;
