//! A flow as people write it: front matter that says when and who, and a body that is the prompt.

use super::fields::Fields;
use super::finding::Finding;
use super::front_matter::{self, Document};
use super::search;
use crate::clock;
use crate::domain::flow::cron::Schedule;
use crate::domain::flow::{CatchUp, DEFAULT_TIMEOUT_MS, Overlap, plan, span};
use crate::domain::ids::Name;
use crate::domain::message::MAX_BODY;
use serde_json::{Map, Value};

/// The largest file, in bytes.
pub const MAX_BYTES: usize = front_matter::MAX_BYTES;

/// Keys that have an effect.
pub const KEYS: [&str; 12] = [
    "name",
    "schedule",
    "agent_profile",
    "provider",
    "script",
    "timezone",
    "overlap",
    "catch_up",
    "jitter",
    "timeout",
    "session",
    "cwd",
];

/// Keys that explain, here and in other programs' flows.
const SILENT_KEYS: [&str; 3] = ["description", "tags", "engine"];

/// What one file says. What is absent is `None`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FlowFile {
    /// `name`.
    pub name: Option<Name>,
    /// `schedule`.
    pub schedule: Option<Schedule>,
    /// `agent_profile`.
    pub profile: Option<Name>,
    /// `provider`.
    pub provider: Option<String>,
    /// `script`, as words.
    pub script: Option<Vec<String>>,
    /// `timezone`: an IANA name.
    pub timezone: Option<String>,
    /// `overlap`.
    pub overlap: Option<Overlap>,
    /// `catch_up`.
    pub catch_up: Option<CatchUp>,
    /// `jitter`, in milliseconds.
    pub jitter_ms: i64,
    /// `timeout`, in milliseconds.
    pub timeout_ms: i64,
    /// `session`.
    pub session: Option<Name>,
    /// `cwd`, as written.
    pub cwd: Option<String>,
    /// The body.
    pub prompt: String,
}

/// Reads a flow. It is whole when no finding is an error. `stem` is the file's name without `.md`.
pub fn read(bytes: &[u8], stem: Option<&str>) -> (FlowFile, Vec<Finding>) {
    let document = match front_matter::parse(bytes) {
        Ok(document) => document,
        Err(fault) => return (FlowFile::default(), vec![fault]),
    };
    let mut fields = Fields::of(&document);
    let flow = FlowFile {
        name: fields.name("name"),
        schedule: schedule(&mut fields),
        profile: fields.name("agent_profile"),
        provider: fields.name("provider").map(|name| name.to_string()),
        script: script(&mut fields),
        timezone: timezone(&mut fields),
        overlap: word(
            &mut fields,
            "overlap",
            Overlap::parse,
            "skip, queue or replace",
        ),
        catch_up: word(&mut fields, "catch_up", CatchUp::parse, "none, one or all"),
        jitter_ms: span_of(&mut fields, "jitter").unwrap_or(0),
        timeout_ms: span_of(&mut fields, "timeout").unwrap_or(DEFAULT_TIMEOUT_MS),
        session: fields.name("session"),
        cwd: fields.word("cwd"),
        prompt: document.body.clone(),
    };
    check(&flow, &document, stem, &mut fields);
    let mut findings = fields.findings;
    findings.sort_by_key(|finding| (finding.severity, finding.line));
    (flow, findings)
}

fn schedule(fields: &mut Fields<'_>) -> Option<Schedule> {
    let text = fields.text("schedule")?;
    Schedule::parse(&text)
        .map_err(|fault| fields.error("schedule", format!("schedule: {fault}")))
        .ok()
}

fn script(fields: &mut Fields<'_>) -> Option<Vec<String>> {
    let text = fields.text("script")?;
    match shell_words::split(&text) {
        Ok(words) if words.first().is_some_and(|word| !word.is_empty()) => {
            if words.iter().any(|word| word.contains('\0')) {
                fields.error("script", "script holds a NUL byte".to_owned());
                return None;
            }
            Some(words)
        }
        Ok(_) => {
            fields.error("script", "script is empty".to_owned());
            None
        }
        Err(error) => {
            fields.error("script", format!("script: {error}"));
            None
        }
    }
}

fn timezone(fields: &mut Fields<'_>) -> Option<String> {
    let name = fields.word("timezone")?;
    if clock::zone(&name).is_none() {
        fields.error(
            "timezone",
            format!("timezone: {name:?} is not a zone that this machine knows, like Europe/Berlin or UTC"),
        );
        return None;
    }
    Some(name)
}

fn word<T>(
    fields: &mut Fields<'_>,
    key: &str,
    parse: impl Fn(&str) -> Option<T>,
    words: &str,
) -> Option<T> {
    let text = fields.text(key)?;
    let found = parse(text.trim());
    if found.is_none() {
        fields.error(key, format!("{key}: {text:?} is not {words}"));
    }
    found
}

fn span_of(fields: &mut Fields<'_>, key: &str) -> Option<i64> {
    let text = fields.text(key)?;
    span::parse(&text)
        .map_err(|why| fields.error(key, format!("{key}: {why}")))
        .ok()
}

fn check(flow: &FlowFile, document: &Document, stem: Option<&str>, fields: &mut Fields<'_>) {
    let absent = |key| document.fields.get(key).is_none_or(Value::is_null);
    for (key, hint) in [
        ("name", format!("add name: {}", stem.unwrap_or("a-name"))),
        ("schedule", "add schedule: \"0 9 * * mon-fri\"".to_owned()),
        (
            "agent_profile",
            "add agent_profile: developer, or another profile".to_owned(),
        ),
    ] {
        if absent(key) {
            let finding = Finding::error(format!("there is no {key}"));
            fields.findings.push(finding.hint(hint));
        }
    }
    if let (Some(name), Some(stem)) = (&flow.name, stem)
        && name.as_str() != stem
    {
        let message = format!("the name {name} is not the file's: the flow is known as {name}");
        fields.warning("name", message);
    }
    if flow.timeout_ms < 1_000 {
        fields.error("timeout", "timeout is shorter than a second".to_owned());
    }
    jitter(flow, fields);
    let known =
        |key: &&String| !KEYS.contains(&key.as_str()) && !SILENT_KEYS.contains(&key.as_str());
    for key in document.fields.keys().filter(known) {
        let near = search::near(key, KEYS.iter().copied());
        let meant = near
            .first()
            .map_or(String::new(), |near| format!("; did you mean {near}?"));
        fields.warning(
            key,
            format!("the key {key:?} is unknown and has no effect{meant}"),
        );
    }
    if document.body.trim().is_empty() {
        let finding = Finding::error("there is no body: the agent would get no prompt");
        fields
            .findings
            .push(finding.hint("write the prompt below the second line ---"));
    }
    if flow.script.is_none() && absent("script") {
        for (name, line) in variables(&document.body) {
            let finding = Finding::error(format!("nothing fills [[{name}]]: there is no script"));
            let finding = finding.at(document.body_line + line);
            fields.findings.push(finding.hint(format!(
                "add script:, or write \\[[{name}]] for the text itself"
            )));
        }
    }
}

/// A run that starts later than the time after it would make one of the two late.
fn jitter(flow: &FlowFile, fields: &mut Fields<'_>) {
    let Some(schedule) = flow.schedule.as_ref().filter(|_| flow.jitter_ms > 0) else {
        return;
    };
    let zone = flow.timezone.as_deref().and_then(clock::zone);
    let zone = zone.unwrap_or(jiff::tz::TimeZone::UTC);
    let shortest = plan::shortest(schedule, &zone, clock::now(), 50);
    if flow.jitter_ms >= shortest {
        let message = format!(
            "jitter is {}, and the times are {} apart: it must be shorter",
            span::show(flow.jitter_ms),
            span::show(shortest)
        );
        fields.error("jitter", message);
    }
}

/// One piece of a prompt.
enum Piece<'a> {
    Text(&'a str),
    Variable(&'a str),
}

/// Splits a prompt at `[[name]]`; `\[[` stands for `[[` itself, and what holds no name stays as it is.
fn pieces(body: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = body;
    while let Some(at) = rest.find("[[") {
        let (before, after) = rest.split_at(at);
        if let Some(before) = before.strip_suffix('\\') {
            pieces.push(Piece::Text(before));
            pieces.push(Piece::Text("[["));
            rest = &after[2..];
            continue;
        }
        let name = after[2..].split_once("]]").map(|(name, _)| name);
        if let Some(name) = name.filter(|name| is_variable(name.trim())) {
            pieces.push(Piece::Text(before));
            pieces.push(Piece::Variable(name.trim()));
            rest = &after[name.len() + 4..];
        } else {
            pieces.push(Piece::Text(&rest[..=at]));
            rest = &rest[at + 1..];
        }
    }
    pieces.push(Piece::Text(rest));
    pieces
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.len() <= 64
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

/// The variables of a prompt, each once, with the line of the body (from 0) on which it stands first.
pub fn variables(body: &str) -> Vec<(String, usize)> {
    let mut found: Vec<(String, usize)> = Vec::new();
    let mut line = 0;
    for piece in pieces(body) {
        match piece {
            Piece::Text(text) => line += text.matches('\n').count(),
            Piece::Variable(name) if found.iter().all(|(other, _)| other != name) => {
                found.push((name.to_owned(), line));
            }
            Piece::Variable(_) => {}
        }
    }
    found
}

/// The prompt with its variables filled. What is filled in is not looked at again. The error names what is wrong.
pub fn fill(body: &str, values: &Map<String, Value>) -> Result<String, String> {
    let missing: Vec<String> = variables(body)
        .into_iter()
        .filter(|(name, _)| !values.contains_key(name))
        .map(|(name, _)| format!("[[{name}]]"))
        .collect();
    if !missing.is_empty() {
        return Err(format!("the script's output has no {}", missing.join(", ")));
    }
    let mut filled = String::new();
    for piece in pieces(body) {
        match piece {
            Piece::Text(text) => filled.push_str(text),
            Piece::Variable(name) => match values.get(name) {
                Some(Value::String(text)) => filled.push_str(text),
                Some(Value::Null) | None => {}
                Some(other) => filled.push_str(&other.to_string()),
            },
        }
        if filled.len() > MAX_BODY {
            return Err(format!("the filled prompt is longer than {MAX_BODY} bytes"));
        }
    }
    Ok(filled)
}

#[cfg(test)]
#[path = "flow_file_tests.rs"]
mod tests;
