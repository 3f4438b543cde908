//! Our entries in an agent's user settings: what would be written, writing it, and taking exactly that out again.
//!
//! Every file is replaced in one step; a link stays a link, and what is not ours stays as it is. What was there before is kept beside the
//! state, so that a file which nobody changed meanwhile comes back byte for byte.

mod claude;
mod codex;
mod gemini;
mod json;
mod kiro;
mod lines;
mod opencode;

pub(super) use gemini::{home_of as gemini_home, hooks_file as gemini_hooks};

use super::dialect::Dialect;
use super::launch::BLOCKS;
use super::manifest::Manifest;
use crate::domain::profile::Profile;
use crate::error::{Failure, Result};
use crate::fsx;
use crate::paths::Home;
use serde::{Deserialize, Serialize};
use serde_json::Value;
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
    part: Part,
}

impl Edit {
    /// Whether anything changes.
    pub fn changes(&self) -> bool {
        self.before != self.after
    }

    /// Whether it is a symbolic link, whose text is where it leads.
    pub const fn is_link(&self) -> bool {
        matches!(self.part, Part::Link(_))
    }
}

/// How our part stands in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Part {
    /// The whole file is ours.
    Whole(String),
    /// Members and elements of a JSON document.
    Json(Value),
    /// Lines of a TOML document, between two that mark them.
    Lines(String),
    /// A symbolic link to this path; the text of such a file is where it leads.
    Link(String),
}

/// A file and our part of it.
struct Target {
    path: PathBuf,
    part: Part,
}

/// What is remembered of a file that was written.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    path: PathBuf,
    part: Part,
    before: Option<String>,
    after_sha256: String,
    /// Directories that were made for it, the innermost first.
    made: Vec<PathBuf>,
}

impl Kept {
    /// Whether nobody has changed it since.
    fn is_untouched(&self, now: Option<&str>) -> bool {
        now.is_some_and(|text| digest(text) == self.after_sha256)
    }

    /// What the file holds besides our part.
    fn rest(&self, now: Option<&str>) -> Result<Option<String>> {
        match now {
            _ if self.is_untouched(now) => Ok(self.before.clone()),
            Some(text) => without(&self.path, text, &self.part, self.before.as_deref()),
            None => Ok(None),
        }
    }
}

fn record(home: &Home, provider: &str) -> PathBuf {
    home.setup().join(format!("{provider}.json"))
}

/// Whether our entries were written for this provider and not taken out since.
pub fn in_force(home: &Home, manifest: &Manifest) -> bool {
    record(home, &manifest.name).exists()
}

/// Whether the agent's own settings switch off what was written, as far as that can be seen.
pub fn switched_off(manifest: &Manifest, user_home: &Path) -> bool {
    manifest.dialect == Dialect::Gemini && gemini::switched_off(user_home)
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
        ))
        .hint("it needs none: start it with `conductor-hook launch` or `conductor-hook worker`")),
    }
}

/// What setting up would change.
pub fn plan(manifest: &Manifest, spec: &SetupSpec<'_>) -> Result<Vec<Edit>> {
    let kept = remembered(spec.home, &manifest.name)?;
    targets(manifest, spec)?
        .into_iter()
        .map(|target| {
            let path = match &target.part {
                Part::Link(_) => beside_real(&target.path),
                _ => real(&target.path),
            };
            let before = read(&path, &target.part)?;
            // An earlier version's entries make place for this one's; where ours stand already, nothing is moved.
            let known = kept.iter().find(|kept| kept.path == path);
            let clean = match (known, &before) {
                (Some(kept), Some(text))
                    if kept.part == target.part && stands(text, &target.part) =>
                {
                    None
                }
                (Some(kept), before) => Some(kept.rest(before.as_deref())?),
                (None, before) => Some(before.clone()),
            };
            let after = match clean {
                Some(clean) => Some(merged(&path, clean.as_deref(), &target.part)?),
                None => before.clone(),
            };
            Ok(Edit {
                path,
                before,
                after,
                part: target.part,
            })
        })
        .collect()
}

/// What undoing would change.
pub fn undo_plan(home: &Home, provider: &str) -> Result<Vec<Edit>> {
    remembered(home, provider)?
        .into_iter()
        .map(|kept| {
            let before = read(&kept.path, &kept.part)?;
            Ok(Edit {
                after: kept.rest(before.as_deref())?,
                path: kept.path,
                before,
                part: kept.part,
            })
        })
        .collect()
}

/// Writes `edits`, all or none, and remembers what was there before the first time. A file that changed since it was read is an error.
pub fn apply(home: &Home, provider: &str, edits: &[Edit]) -> Result<()> {
    let earlier = remembered(home, provider)?;
    let mut kept = Vec::new();
    for edit in edits {
        let known = earlier.iter().find(|known| known.path == edit.path);
        let (before, made) = match known {
            Some(known) => (known.rest(edit.before.as_deref())?, known.made.clone()),
            None => (edit.before.clone(), missing_dirs(&edit.path)),
        };
        kept.push(Kept {
            path: edit.path.clone(),
            part: edit.part.clone(),
            before,
            after_sha256: digest(edit.after.as_deref().unwrap_or_default()),
            made,
        });
    }
    // What is written nowhere any more (a profile that is gone, another directory) is taken out with the rest.
    let others = earlier
        .iter()
        .filter(|known| edits.iter().all(|edit| edit.path != known.path));
    kept.extend(others.cloned());
    remember(home, provider, &kept)?;
    for (at, edit) in edits.iter().enumerate() {
        if let Err(failure) = write(edit) {
            for done in edits[..at].iter().rev() {
                let back = Edit {
                    before: done.after.clone(),
                    after: done.before.clone(),
                    ..done.clone()
                };
                let _ = write(&back);
            }
            for dir in kept.iter().flat_map(|kept| &kept.made) {
                let _ = std::fs::remove_dir(dir);
            }
            remember(home, provider, &earlier)?;
            return Err(failure);
        }
    }
    Ok(())
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
    remember(home, provider, &[])
}

/// Replaces what is remembered; nothing leaves no file.
fn remember(home: &Home, provider: &str, kept: &[Kept]) -> Result<()> {
    let file = record(home, provider);
    let failed = |e: std::io::Error| {
        Failure::state(format!("remember the settings of {provider}: {e}")).disk(&e)
    };
    if kept.is_empty() {
        return match std::fs::remove_file(&file) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(failed(e)),
            _ => Ok(()),
        };
    }
    fsx::create_private_dir(&home.setup()).map_err(failed)?;
    let text = serde_json::to_vec_pretty(kept).map_err(|e| failed(e.into()))?;
    fsx::write_atomic(&file, &text).map_err(failed)
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

/// The file behind links, also where it, or the directory that it will be in, is not there yet.
fn real(path: &Path) -> PathBuf {
    let mut path = path.to_path_buf();
    for _ in 0..40 {
        let Ok(to) = std::fs::read_link(&path) else {
            break;
        };
        path = path.parent().unwrap_or(Path::new("/")).join(to);
    }
    let mut rest = Vec::new();
    let mut there = path.as_path();
    loop {
        if let Ok(mut real) = there.canonicalize() {
            real.extend(rest.iter().rev());
            return real;
        }
        match (there.parent(), there.file_name()) {
            (Some(parent), Some(name)) => {
                rest.push(name);
                there = parent;
            }
            _ => return path,
        }
    }
}

/// A link's own path, without links above it.
fn beside_real(path: &Path) -> PathBuf {
    match (path.parent(), path.file_name()) {
        (Some(dir), Some(name)) => real(dir).join(name),
        _ => path.to_path_buf(),
    }
}

fn read(path: &Path, part: &Part) -> Result<Option<String>> {
    if matches!(part, Part::Link(_)) {
        return match std::fs::read_link(path) {
            Ok(to) => Ok(Some(to.to_string_lossy().into_owned())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(_) => Err(not_ours(path)),
        };
    }
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
    let failed =
        |e: std::io::Error| Failure::failed(format!("write {}: {e}", edit.path.display())).disk(&e);
    if !edit.changes() {
        return Ok(());
    }
    if read(&edit.path, &edit.part)? != edit.before {
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
    if matches!(edit.part, Part::Link(_)) {
        return fsx::link_atomic(&edit.path, Path::new(text)).map_err(failed);
    }
    fsx::write_atomic_mode(&edit.path, text.as_bytes(), mode).map_err(failed)
}

fn digest(text: &str) -> String {
    fsx::hex(&Sha256::digest(text.as_bytes()))
}

fn not_ours(path: &Path) -> Failure {
    Failure::refused(format!("{} is there and is not ours", path.display()))
        .hint("move it away, and run the command again")
}

fn merged(path: &Path, before: Option<&str>, part: &Part) -> Result<String> {
    match part {
        Part::Whole(text) => match before {
            Some(there) if !there.contains(MARK) => Err(not_ours(path)),
            _ => Ok(text.clone()),
        },
        Part::Link(to) => Ok(to.clone()),
        Part::Lines(ours) => {
            let text = lines::with(before.unwrap_or_default(), ours);
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
                .unwrap_or("{}\n");
            json(path, text)?;
            json::with(text, ours).map_err(|name| {
                Failure::refused(format!(
                    "{} has {name:?} in a form that ours does not fit into",
                    path.display()
                ))
                .hint("nothing was changed; rename it or take it out, and run the command again")
            })
        }
    }
}

/// Whether our part stands in `text` as a whole.
fn stands(text: &str, part: &Part) -> bool {
    match part {
        Part::Whole(ours) | Part::Link(ours) => text == ours,
        Part::Lines(ours) => lines::stand(text, ours),
        Part::Json(ours) => {
            serde_json::from_str::<Value>(text).is_ok_and(|there| there.is_object())
                && json::with(text, ours).as_deref() == Ok(text)
        }
    }
}

/// A file's text without our part; `None` when there was no file and nothing else is in it.
fn without(path: &Path, text: &str, part: &Part, before: Option<&str>) -> Result<Option<String>> {
    match part {
        Part::Whole(_) => Ok((!text.contains(MARK)).then(|| text.to_owned())),
        Part::Link(to) => Ok((text != to).then(|| text.to_owned())),
        Part::Lines(ours) => {
            let rest = lines::without(text, ours);
            let is_toml = |text: &str| toml::from_str::<toml::Table>(text).is_ok();
            if is_toml(text) && !is_toml(&rest) {
                return Err(Failure::refused(format!(
                    "our lines in {} have been changed",
                    path.display()
                ))
                .hint("nothing was changed; take them out by hand: they carry CONDUCTOR_SETUP"));
            }
            Ok((before.is_some() || !rest.is_empty()).then_some(rest))
        }
        Part::Json(ours) => {
            json(path, text)?;
            let parsed = before.and_then(|text| serde_json::from_str(text).ok());
            // A file that was there and said nothing stays.
            let rest = json::without(text, ours, parsed.as_ref());
            Ok(rest.or_else(|| before.map(str::to_owned)))
        }
    }
}

/// Refuses a text that is no JSON object.
fn json(path: &Path, text: &str) -> Result<()> {
    let value: Value = serde_json::from_str(text).map_err(|e| {
        Failure::refused(format!("{} is not JSON: {e}", path.display()))
            .hint("nothing was changed; mend the file, and run the command again")
    })?;
    if value.is_object() {
        Ok(())
    } else {
        Err(
            Failure::refused(format!("{} is no JSON object", path.display()))
                .hint("nothing was changed"),
        )
    }
}

#[cfg(test)]
#[path = "setup_command_tests.rs"]
mod command_tests;
#[cfg(test)]
#[path = "setup_property_tests.rs"]
mod property_tests;
#[cfg(test)]
#[path = "setup_tests.rs"]
mod tests;
