//! Our entries in an agent's user settings: what would be written, writing it, and taking exactly that out again.
//!
//! Every file is replaced in one step; a link stays a link, and what is not ours stays as it is. What was there before is kept beside the
//! state, so that a file which nobody changed meanwhile comes back byte for byte.

mod claude;
mod codex;
mod gemini;
mod kiro;
mod opencode;

pub(super) use gemini::hooks_file as gemini_hooks;

use super::dialect::Dialect;
use super::launch::BLOCKS;
use super::manifest::Manifest;
use crate::domain::profile::Profile;
use crate::error::{Failure, Result};
use crate::fsx;
use crate::paths::Home;
use serde::{Deserialize, Serialize};
use serde_json::ser::{PrettyFormatter, Serializer};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Largest settings file that is edited, in bytes.
const MAX_FILE: usize = 8 * 1024 * 1024;

/// In every entry of ours: an environment variable of the hook, or a comment.
pub const MARK: &str = "CONDUCTOR_SETUP=1";

/// What our entries name.
#[derive(Debug, Clone)]
pub struct SetupSpec<'a> {
    /// Our binary.
    pub hook: &'a Path,
    /// The state directory.
    pub home: &'a Home,
    /// The user's home directory.
    pub user_home: &'a Path,
    /// Names of our own MCP tools.
    pub own_tools: &'a [&'a str],
    /// The profiles that there are, for agents that are started with a file for each.
    pub profiles: &'a [Profile],
}

/// The shell commands of hooks in settings that every session of the agent reads: without our binary they do nothing, unless the agent is
/// one that we started.
struct Commands<'a> {
    provider: &'a str,
    program: String,
    home: String,
}

impl<'a> Commands<'a> {
    fn of(provider: &'a str, spec: &SetupSpec<'_>) -> Result<Self> {
        let text = |path: &Path| {
            path.to_str()
                .map(|text| shell_words::quote(text).into_owned())
                .ok_or_else(|| Failure::failed("a path of ours is not UTF-8"))
        };
        Ok(Self {
            provider,
            program: text(spec.hook)?,
            home: text(spec.home.root())?,
        })
    }

    fn environment(&self) -> String {
        // No word is split in an assignment.
        format!("{MARK} CONDUCTOR_HOME=${{CONDUCTOR_HOME:-{}}}", self.home)
    }

    /// A hook that only tells.
    fn status(&self, event: &str) -> String {
        let Self {
            provider, program, ..
        } = self;
        let environment = self.environment();
        format!("[ ! -x {program} ] || {environment} exec {program} hook {provider} {event}")
    }

    /// A hook whose answer decides: it blocks when it is killed, crashes, or is missing in an agent that we started (exit 2).
    fn decision(&self, event: &str) -> String {
        let Self {
            provider, program, ..
        } = self;
        let environment = self.environment();
        format!(
            "if [ -x {program} ] || [ -n \"$CONDUCTOR_TERMINAL_ID\" ]; then {environment} {program} hook {provider} {event} || {BLOCKS}; fi"
        )
    }
}

/// What becomes of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The file, without links.
    pub path: PathBuf,
    /// Its text now; `None` when it is not there.
    pub before: Option<String>,
    /// Its text then; `None` when it is removed.
    pub after: Option<String>,
    form: Form,
}

impl Edit {
    /// Whether anything changes.
    pub fn changes(&self) -> bool {
        self.before != self.after
    }
}

/// How our part stands in a file.
#[derive(Debug, Clone)]
enum Part {
    /// The whole file is ours.
    Whole(String),
    /// Members and elements of a JSON document.
    Json(Value),
    /// Lines of a TOML document, between two that mark them.
    Lines(String),
}

/// How our part is taken out of a file again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Form {
    Whole,
    Json,
    Lines,
}

impl Part {
    const fn form(&self) -> Form {
        match self {
            Self::Whole(_) => Form::Whole,
            Self::Json(_) => Form::Json,
            Self::Lines(_) => Form::Lines,
        }
    }
}

/// A file and our part of it.
struct Target {
    path: PathBuf,
    part: Part,
}

/// What is remembered of a file that was written.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    path: PathBuf,
    form: Form,
    before: Option<String>,
    after_sha256: String,
    /// Directories that were made for it, the outermost last.
    made: Vec<PathBuf>,
}

fn record(home: &Home, provider: &str) -> PathBuf {
    home.setup().join(format!("{provider}.json"))
}

/// Whether our entries were written for this provider and not taken out since.
pub fn in_force(home: &Home, manifest: &Manifest) -> bool {
    record(home, &manifest.name).exists()
}

/// The files that were written for a provider.
pub fn written(home: &Home, provider: &str) -> Vec<PathBuf> {
    let kept = remembered(home, provider).unwrap_or_default();
    kept.into_iter().map(|kept| kept.path).collect()
}

fn targets(manifest: &Manifest, spec: &SetupSpec<'_>) -> Result<Vec<Target>> {
    match manifest.dialect {
        Dialect::Claude => claude::targets(manifest, spec),
        Dialect::Codex => codex::targets(manifest, spec),
        Dialect::Gemini => gemini::targets(manifest, spec),
        Dialect::Opencode => opencode::targets(manifest, spec),
        Dialect::Kiro => kiro::targets(manifest, spec),
        Dialect::Demo | Dialect::None => Err(Failure::refused(format!(
            "{} has no settings of its own to set up",
            manifest.title
        ))),
    }
}

/// What setting up would change.
pub fn plan(manifest: &Manifest, spec: &SetupSpec<'_>) -> Result<Vec<Edit>> {
    let kept = remembered(spec.home, &manifest.name)?;
    targets(manifest, spec)?
        .into_iter()
        .map(|target| {
            let path = real(&target.path);
            let before = read(&path)?;
            // An earlier version's entries make place for this one's.
            let known = kept.iter().any(|kept| kept.path == path);
            let form = target.part.form();
            let clean = match (&before, known) {
                (Some(text), true) => without(&path, text, form)?,
                (before, _) => before.clone(),
            };
            let after = merged(&path, clean.as_deref(), &target.part)?;
            Ok(Edit {
                path,
                before,
                after: Some(after),
                form,
            })
        })
        .collect()
}

/// What undoing would change.
pub fn undo_plan(home: &Home, provider: &str) -> Result<Vec<Edit>> {
    remembered(home, provider)?
        .into_iter()
        .map(|kept| {
            let now = read(&kept.path)?;
            let untouched = now
                .as_deref()
                .is_some_and(|text| digest(text) == kept.after_sha256);
            let after = match &now {
                _ if untouched => kept.before,
                Some(text) => without(&kept.path, text, kept.form)?,
                None => None,
            };
            Ok(Edit {
                path: kept.path,
                before: now,
                after,
                form: kept.form,
            })
        })
        .collect()
}

/// Writes `edits`, and remembers what was there before the first time. A file that changed since it was read is an error.
pub fn apply(home: &Home, provider: &str, edits: &[Edit]) -> Result<()> {
    let earlier = remembered(home, provider)?;
    let mut kept = Vec::new();
    for edit in edits {
        let known = earlier.iter().find(|known| known.path == edit.path);
        let untouched = known.is_some_and(|known| {
            edit.before
                .as_deref()
                .is_some_and(|text| digest(text) == known.after_sha256)
        });
        let before = match known {
            Some(known) if untouched => known.before.clone(),
            Some(_) => edit
                .before
                .as_deref()
                .map_or(Ok(None), |text| without(&edit.path, text, edit.form))?,
            None => edit.before.clone(),
        };
        let made = match known {
            Some(known) => known.made.clone(),
            None => missing_dirs(&edit.path),
        };
        kept.push(Kept {
            path: edit.path.clone(),
            form: edit.form,
            before,
            after_sha256: digest(edit.after.as_deref().unwrap_or_default()),
            made,
        });
    }
    let failed =
        |path: &Path, e: std::io::Error| Failure::failed(format!("write {}: {e}", path.display()));
    fsx::create_private_dir(&home.setup()).map_err(|e| failed(&home.setup(), e))?;
    let text = serde_json::to_vec_pretty(&kept)
        .map_err(|e| Failure::failed(format!("remember the settings: {e}")))?;
    let file = record(home, provider);
    fsx::write_atomic(&file, &text).map_err(|e| failed(&file, e))?;
    edits.iter().try_for_each(write)
}

/// Takes our entries out again and forgets them.
pub fn undo(home: &Home, provider: &str, edits: &[Edit]) -> Result<()> {
    edits.iter().try_for_each(write)?;
    for dir in remembered(home, provider)?
        .iter()
        .flat_map(|kept| &kept.made)
    {
        // Somebody else may have put something there.
        let _ = std::fs::remove_dir(dir);
    }
    let file = record(home, provider);
    match std::fs::remove_file(&file) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::failed(format!("remove {}: {e}", file.display())))
        }
        _ => Ok(()),
    }
}

/// The directories above `path` that are not there yet, the innermost first.
fn missing_dirs(path: &Path) -> Vec<PathBuf> {
    path.ancestors()
        .skip(1)
        .take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists())
        .map(Path::to_path_buf)
        .collect()
}

fn remembered(home: &Home, provider: &str) -> Result<Vec<Kept>> {
    let file = record(home, provider);
    match fsx::read_file_limited(&file, 2 * MAX_FILE) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|e| Failure::state(format!("read {}: {e}", file.display()))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(Failure::state(format!("read {}: {e}", file.display()))),
    }
}

/// The file behind links, also where it is not there yet.
fn real(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    match (path.parent().map(Path::canonicalize), path.file_name()) {
        (Some(Ok(dir)), Some(name)) => dir.join(name),
        _ => path.to_path_buf(),
    }
}

fn read(path: &Path) -> Result<Option<String>> {
    match fsx::read_file_limited(path, MAX_FILE) {
        Ok(bytes) => String::from_utf8(bytes).map(Some).map_err(|_| {
            Failure::refused(format!("{} is not UTF-8", path.display())).hint("nothing was changed")
        }),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Failure::failed(format!("read {}: {e}", path.display()))),
    }
}

fn write(edit: &Edit) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let failed = |e: std::io::Error| Failure::failed(format!("write {}: {e}", edit.path.display()));
    if !edit.changes() {
        return Ok(());
    }
    if read(&edit.path)? != edit.before {
        return Err(
            Failure::failed(format!("{} was changed meanwhile", edit.path.display()))
                .hint("look at it, and run the command again"),
        );
    }
    let Some(text) = &edit.after else {
        return std::fs::remove_file(&edit.path).map_err(failed);
    };
    let mode = std::fs::metadata(&edit.path).map_or(0o600, |m| m.permissions().mode() & 0o777);
    if let Some(dir) = edit.path.parent() {
        fsx::create_private_dir(dir).map_err(failed)?;
    }
    fsx::write_atomic_mode(&edit.path, text.as_bytes(), mode).map_err(failed)
}

fn digest(text: &str) -> String {
    fsx::hex(&Sha256::digest(text.as_bytes()))
}

fn merged(path: &Path, before: Option<&str>, part: &Part) -> Result<String> {
    match part {
        Part::Whole(text) => match before {
            Some(there) if !there.contains(MARK) => Err(Failure::refused(format!(
                "{} is there and is not ours",
                path.display()
            ))
            .hint("move it away, and run the command again")),
            _ => Ok(text.clone()),
        },
        Part::Lines(ours) => {
            let mut text = before.unwrap_or_default().to_owned();
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(&format!("{FIRST_LINE}\n{}\n{LAST_LINE}\n", ours.trim_end()));
            toml::from_str::<toml::Table>(&text).map_err(|e| {
                Failure::refused(format!(
                    "our lines do not fit into {}: {}",
                    path.display(),
                    e.message()
                ))
                .hint("nothing was changed; where it has the same keys in another form, write them as tables")
            })?;
            Ok(text)
        }
        Part::Json(ours) => {
            let text = before
                .filter(|text| !text.trim().is_empty())
                .unwrap_or("{}");
            let mut document = json(path, text)?;
            add(&mut document, ours);
            printed(&document, before.unwrap_or_default())
        }
    }
}

/// Around our lines in a document that is not JSON.
const FIRST_LINE: &str =
    "# agent-conductor: the lines from here to its end are ours (CONDUCTOR_SETUP=1)";
const LAST_LINE: &str = "# agent-conductor: end";

/// A file's text without our part; `None` when nothing else is in it.
fn without(path: &Path, text: &str, form: Form) -> Result<Option<String>> {
    if !text.contains(MARK) {
        return Ok(Some(text.to_owned()));
    }
    match form {
        Form::Whole => return Ok(None),
        Form::Lines => {
            let mut inside = false;
            let mut rest = String::new();
            for line in text.split_inclusive('\n') {
                match line.trim_end() {
                    FIRST_LINE => inside = true,
                    LAST_LINE if inside => inside = false,
                    _ if inside => {}
                    _ => rest.push_str(line),
                }
            }
            return Ok((!rest.is_empty()).then_some(rest));
        }
        Form::Json => {}
    }
    let mut document = json(path, text)?;
    remove(&mut document);
    if document.as_object().is_some_and(Map::is_empty) {
        return Ok(None);
    }
    printed(&document, text).map(Some)
}

fn json(path: &Path, text: &str) -> Result<Value> {
    let value: Value = serde_json::from_str(text).map_err(|e| {
        Failure::refused(format!("{} is not JSON: {e}", path.display()))
            .hint("nothing was changed; mend the file, and run the command again")
    })?;
    if value.is_object() {
        Ok(value)
    } else {
        Err(
            Failure::refused(format!("{} is no JSON object", path.display()))
                .hint("nothing was changed"),
        )
    }
}

/// Adds members that are not there and elements that are not there; what is there stays.
fn add(document: &mut Value, ours: &Value) {
    match (document, ours) {
        (Value::Object(document), Value::Object(ours)) => {
            for (name, value) in ours {
                match document.get_mut(name) {
                    Some(there) => add(there, value),
                    None => drop(document.insert(name.clone(), value.clone())),
                }
            }
        }
        (Value::Array(document), Value::Array(ours)) => {
            for value in ours {
                if !document.contains(value) {
                    document.push(value.clone());
                }
            }
        }
        _ => {}
    }
}

/// Whether a value is ours: it carries the mark itself, or names one of our tools.
fn is_ours(value: &Value) -> bool {
    match value {
        Value::String(text) => text.starts_with("mcp__conductor__") || text.contains(MARK),
        Value::Object(members) => members.values().any(is_ours),
        Value::Array(elements) => elements.iter().any(is_ours),
        _ => false,
    }
}

/// Takes out elements that are ours, our server, and what is empty after that.
fn remove(document: &mut Value) {
    match document {
        Value::Object(members) => {
            let mut emptied = Vec::new();
            for (name, value) in members.iter_mut() {
                if !is_ours(value) {
                    continue;
                }
                let server = name == "conductor" && value.get("command").is_some();
                if !server {
                    remove(value);
                }
                let empty = value.as_object().is_some_and(Map::is_empty)
                    || value.as_array().is_some_and(Vec::is_empty);
                if server || empty {
                    emptied.push(name.clone());
                }
            }
            for name in emptied {
                members.shift_remove(&name);
            }
        }
        Value::Array(elements) => elements.retain(|element| !is_ours(element)),
        _ => {}
    }
}

/// The document with the indentation of `like`, and an end of line where it has one.
fn printed(document: &Value, like: &str) -> Result<String> {
    let indent: String = like
        .lines()
        .nth(1)
        .map(|line| {
            line.chars()
                .take_while(|c| matches!(c, ' ' | '\t'))
                .collect()
        })
        .filter(|indent: &String| !indent.is_empty())
        .unwrap_or_else(|| "  ".to_owned());
    let mut bytes = Vec::new();
    let formatter = PrettyFormatter::with_indent(indent.as_bytes());
    document
        .serialize(&mut Serializer::with_formatter(&mut bytes, formatter))
        .map_err(|e| Failure::failed(format!("write JSON: {e}")))?;
    if like.is_empty() || like.ends_with('\n') {
        bytes.push(b'\n');
    }
    String::from_utf8(bytes).map_err(|e| Failure::failed(format!("write JSON: {e}")))
}

#[cfg(test)]
#[path = "setup_tests.rs"]
mod tests;
