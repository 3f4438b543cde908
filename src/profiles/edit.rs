//! Creating and installing profiles: checked before anything is written, never half written, never over another without `force`.

use super::files;
use super::finding::{self, Finding};
use super::profile::{self, Draft};
use super::project::{self, Project};
pub use super::scaffold::scaffold;
use super::sources::read_failure;
use super::{built_in, front_matter, search};
use crate::domain::ids::Name;
use crate::domain::profile::Scope;
use crate::error::{Failure, Result};
use crate::paths::Home;
use std::path::{Path, PathBuf};

/// Most profiles that one directory may bring.
pub const MAX_INSTALLED: usize = 500;

/// A profile that was written.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Written {
    /// Its name.
    pub name: Name,
    /// Where it was put; in a project it takes effect only once that is trusted.
    pub scope: Scope,
    /// Its file.
    pub path: PathBuf,
    /// What somebody should look at.
    pub warnings: Vec<Finding>,
}

/// What to install, and where.
#[derive(Debug, Clone, Copy)]
pub struct Install<'a> {
    /// A file, a directory of profiles, or the name of a built-in profile.
    pub source: &'a str,
    /// Where to.
    pub scope: Scope,
    /// Another name for it.
    pub name: Option<&'a Name>,
    /// Whether it may take another's place.
    pub force: bool,
}

/// Writes a new profile that is ready to be edited: a copy of the text `from`, or a scaffold.
pub fn create(
    home: &Home,
    cwd: &Path,
    name: &Name,
    from: Option<&[u8]>,
    scope: Scope,
) -> Result<Written> {
    let what = format!("create profile {name}");
    let text = match from {
        Some(template) => template.to_vec(),
        None => scaffold(name).into_bytes(),
    };
    let (_, bytes, warnings) = prepared(&what, &text, Some(name), None)?;
    let written = write(home, cwd, scope, &[(name.clone(), bytes, warnings)], false)
        .map_err(|failure| failure.context(&what))?;
    written
        .into_iter()
        .next()
        .ok_or_else(|| Failure::failed(format!("{what}: nothing was written")))
}

/// Installs profiles. Of a directory either all are written or, when one is at fault or in the way, none.
pub fn install(home: &Home, cwd: &Path, install: Install<'_>) -> Result<Vec<Written>> {
    let what = format!("install {}", crate::domain::text::one_line(install.source));
    let found = gather(cwd, install).map_err(|failure| failure.context(&what))?;
    if found.len() != 1 && install.name.is_some() {
        return Err(Failure::usage(format!(
            "{what}: a name is for one profile, and these are {}",
            found.len()
        )));
    }
    let mut ready: Vec<(Name, Vec<u8>, Vec<Finding>)> = Vec::new();
    for (stem, bytes) in &found {
        let what = if found.len() > 1 {
            format!("{what}: {stem}.md")
        } else {
            what.clone()
        };
        let prepared = prepared(&what, bytes, install.name, Some(stem))?;
        if ready.iter().any(|(name, _, _)| *name == prepared.0) {
            let message = format!("{what}: two profiles have the name {}", prepared.0);
            return Err(Failure::failed(message));
        }
        ready.push(prepared);
    }
    write(home, cwd, install.scope, &ready, install.force).map_err(|failure| failure.context(&what))
}

/// The name, final bytes and warnings of a profile's text; an error when it cannot be used.
fn prepared(
    what: &str,
    bytes: &[u8],
    name: Option<&Name>,
    stem: Option<&str>,
) -> Result<(Name, Vec<u8>, Vec<Finding>)> {
    let renamed = name.and_then(|name| renamed(bytes, name));
    let bytes = renamed.unwrap_or_else(|| bytes.to_vec());
    let (draft, findings) = profile::read(&bytes, name.map(Name::as_str).or(stem));
    if let Some(failure) = finding::failure(what, &findings) {
        return Err(failure);
    }
    let Draft { name: own, .. } = draft;
    let name = name
        .cloned()
        .or(own)
        .ok_or_else(|| Failure::failed(format!("{what}: there is no name")))?;
    let (_, mut warnings) = profile::read(&bytes, Some(name.as_str()));
    warnings.retain(|finding| !finding.is_error());
    Ok((name, bytes, warnings))
}

/// The text with `name:` exchanged; `None` when it has no such line.
fn renamed(bytes: &[u8], name: &Name) -> Option<Vec<u8>> {
    let line = front_matter::parse(bytes).ok()?.line_of("name")?;
    let text = std::str::from_utf8(bytes).ok()?;
    let mut changed = String::with_capacity(text.len());
    for (at, old) in text.split_inclusive('\n').enumerate() {
        if at + 1 == line {
            let end = &old[old.trim_end_matches(['\r', '\n']).len()..];
            changed.extend(["name: ", name.as_str(), end]);
        } else {
            changed.push_str(old);
        }
    }
    Some(changed.into_bytes())
}

/// Stem and bytes of each profile that a source holds.
fn gather(cwd: &Path, install: Install<'_>) -> Result<Vec<(String, Vec<u8>)>> {
    let source = install.source;
    let lower = source.to_ascii_lowercase();
    if ["http:", "https:", "git:", "ssh:", "ftp:"]
        .iter()
        .any(|s| lower.starts_with(s))
    {
        return Err(
            Failure::usage("no network connection is opened for a profile")
                .hint("download the file, read it, and install it by its path"),
        );
    }
    if source.is_empty() || source.contains('\0') {
        return Err(Failure::usage("that is neither a path nor a name"));
    }
    let is_path =
        source.contains('/') || source.starts_with('.') || Path::new(&lower).extension().is_some();
    if !is_path && let Some(text) = built_in::text(source) {
        return Ok(vec![(source.to_owned(), text.as_bytes().to_vec())]);
    }
    let path = cwd.join(source);
    if path.is_dir() {
        return gather_directory(&path);
    }
    match files::read_named(&path, front_matter::MAX_BYTES) {
        Ok(bytes) => {
            let stem = path.file_stem().unwrap_or_default();
            Ok(vec![(stem.to_string_lossy().into_owned(), bytes)])
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !is_path => {
            let known = built_in::PROFILES.iter().map(|(name, _)| *name);
            let near = search::near(source, known.clone());
            let names = if near.is_empty() {
                known.collect()
            } else {
                near
            };
            Err(
                Failure::not_found("there is neither such a file nor such a built-in profile")
                    .hint(format!("built in are: {}", names.join(", "))),
            )
        }
        Err(error) => Err(read_failure(source, &error)),
    }
}

fn gather_directory(path: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let fault = |name: &str, error: &std::io::Error| {
        read_failure(&path.join(name).display().to_string(), error)
    };
    let dir = files::Dir::open(path).map_err(|error| fault("", &error))?;
    let mut found = Vec::new();
    for file in files::names(path).map_err(|error| fault("", &error))? {
        let Some(stem) = file.strip_suffix(".md") else {
            continue;
        };
        if stem == "README" || stem.starts_with('.') {
            continue;
        }
        if found.len() == MAX_INSTALLED {
            let message = format!("the directory holds more than {MAX_INSTALLED} profiles");
            return Err(Failure::refused(message));
        }
        let bytes = dir
            .read(&file, front_matter::MAX_BYTES)
            .map_err(|error| fault(&file, &error))?;
        found.push((stem.to_owned(), bytes));
    }
    if found.is_empty() {
        return Err(Failure::not_found(
            "the directory holds no profile (NAME.md)",
        ));
    }
    Ok(found)
}

fn write(
    home: &Home,
    cwd: &Path,
    scope: Scope,
    ready: &[(Name, Vec<u8>, Vec<Finding>)],
    force: bool,
) -> Result<Vec<Written>> {
    let (dir, mode) = match scope {
        Scope::User => (home.profiles(), 0o600),
        Scope::Project => (project_dir(cwd, home)?, 0o644),
        Scope::BuiltIn => {
            return Err(Failure::usage("built-in profiles are part of the program")
                .hint("use the scope user or project"));
        }
    };
    let fault = |path: &Path, error: &std::io::Error| {
        Failure::failed(format!("write {}: {}", path.display(), files::why(error))).disk(error)
    };
    crate::fsx::create_private_dir(&dir).map_err(|error| fault(&dir, &error))?;
    let path_of = |name: &Name| dir.join(format!("{name}.md"));
    for (name, _, _) in ready {
        let path = path_of(name);
        match path.symlink_metadata() {
            Ok(meta) if meta.is_dir() => {
                let message = format!("{} is a directory", path.display());
                return Err(Failure::refused(message));
            }
            Ok(_) if !force => {
                let message = format!("{} exists", path.display());
                return Err(Failure::refused(message).hint("--force replaces it"));
            }
            _ => {}
        }
    }
    let mut written = Vec::new();
    for (name, bytes, warnings) in ready {
        let path = path_of(name);
        crate::fsx::write_atomic_mode(&path, bytes, mode).map_err(|error| fault(&path, &error))?;
        written.push(Written {
            name: name.clone(),
            scope,
            path,
            warnings: warnings.clone(),
        });
    }
    Ok(written)
}

/// Where a project's profiles go: its `.conductor/`, else a new one at the repository's root or in the working directory.
fn project_dir(cwd: &Path, home: &Home) -> Result<PathBuf> {
    let project = if let Some(project) = Project::locate(cwd, home) {
        project
    } else {
        let repository = cwd.ancestors().find(|dir| dir.join(".git").exists());
        let root = repository.unwrap_or(cwd);
        let dir = root.join(project::DIR);
        if dir == home.root() || Some(root) == crate::paths::user_home().as_deref() {
            return Err(Failure::usage("this directory is not a project's")
                .hint("go to a project, or use the scope user"));
        }
        crate::fsx::create_private_dir(&dir).map_err(|error| {
            Failure::failed(format!("create {}: {}", dir.display(), files::why(&error)))
                .disk(&error)
        })?;
        Project::at(root)?
    };
    match project.open(Some(project::PROFILES)) {
        Ok(_) => Ok(project.profiles()),
        Err(error) => {
            let path = project.profiles();
            let message = format!("{}: {}", path.display(), files::why(&error));
            Err(Failure::refused(message).hint("a symbolic link is not followed there"))
        }
    }
}

#[cfg(test)]
#[path = "edit_tests.rs"]
mod tests;
