//! A project's `.conductor/`: where it is, and exactly what a person trusts when they trust it.

use super::effects;
use super::files::{self, Dir};
use crate::domain::text::one_line;
use crate::domain::worktree;
use crate::error::{Failure, Result};
use crate::paths::Home;
use sha2::{Digest, Sha256};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The directory's name.
pub const DIR: &str = ".conductor";
/// Where profiles lie in it.
pub const PROFILES: &str = "agent-context";
/// Where flows and their scripts lie in it.
pub const FLOWS: &str = "flows";
/// The policy in it.
pub const POLICY: &str = "policy.toml";
/// Most files that a project may hold.
pub const MAX_FILES: usize = 500;
/// Largest file that a project may hold, in bytes.
pub const MAX_FILE_BYTES: usize = 1024 * 1024;

/// A directory that holds a `.conductor/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    root: PathBuf,
}

impl Project {
    /// The project that `cwd` lies in: the nearest `.conductor/` upwards, never above the repository, and neither in the user's home
    /// directory itself (that one is the state directory) nor above it. One that belongs to neither the user nor the owner of `cwd` is passed over.
    pub fn locate(cwd: &Path, home: &Home) -> Option<Self> {
        Self::locate_below(cwd, home, crate::paths::user_home().as_deref())
    }

    pub(super) fn locate_below(cwd: &Path, home: &Home, user: Option<&Path>) -> Option<Self> {
        let cwd = cwd.canonicalize().ok()?;
        let user = user.map(|user| user.canonicalize().unwrap_or_else(|_| user.to_owned()));
        let state = home.root().canonicalize().ok();
        let owner = cwd.metadata().ok()?.uid();
        // Above a worktree of ours lies the main one, whether or not its agent has left the `.git` there.
        let top = worktree::place(&cwd).map(|place| place.root());
        for dir in cwd.ancestors() {
            if Some(dir) == user.as_deref() {
                return None;
            }
            let candidate = dir.join(DIR);
            let ours = candidate.symlink_metadata().is_ok_and(|meta| {
                meta.is_dir()
                    && (meta.uid() == nix::unistd::geteuid().as_raw() || meta.uid() == owner)
            });
            if ours && Some(&candidate) != state.as_ref() {
                return Some(Self {
                    root: dir.to_owned(),
                });
            }
            if dir.join(".git").symlink_metadata().is_ok() || top.as_deref() == Some(dir) {
                return None;
            }
        }
        None
    }

    /// For a `cwd` in a worktree of ours: the project in which the same directory of the main worktree lies.
    pub(super) fn beside(cwd: &Path, home: &Home) -> Option<Self> {
        let place = worktree::place(&cwd.canonicalize().ok()?)?;
        let there = place.counterpart();
        // A directory that the agent has made has no counterpart; those above it have.
        let dir = there
            .ancestors()
            .take_while(|dir| dir.starts_with(&place.main))
            .find(|dir| dir.is_dir())?;
        Self::locate(dir, home)
    }

    /// The project at `dir`, which holds a `.conductor/` or is one.
    pub fn at(dir: &Path) -> Result<Self> {
        let what = || format!("read the project {}", dir.display());
        let path = dir
            .canonicalize()
            .map_err(|e| match e.kind() {
                std::io::ErrorKind::NotFound => Failure::not_found("there is no such directory")
                    .hint("name the directory that holds the project's .conductor/"),
                _ => Failure::failed(files::why(&e)),
            })
            .map_err(|failure| failure.context(what()))?;
        let root = match path.parent() {
            Some(parent) if path.file_name().is_some_and(|name| name == DIR) => parent.to_owned(),
            _ => path,
        };
        match root.join(DIR).symlink_metadata() {
            Ok(meta) if meta.is_dir() => Ok(Self { root }),
            Ok(_) => Err(
                Failure::refused(format!("{}: {DIR} is not a directory", what()))
                    .hint("a symbolic link is not followed: put the directory itself there"),
            ),
            Err(_) => Err(Failure::not_found(format!("{}: it has no {DIR}", what()))
                .hint("name the directory that holds it")),
        }
    }

    /// The directory that holds `.conductor/`, without links.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Its `.conductor/`.
    pub fn dir(&self) -> PathBuf {
        self.root.join(DIR)
    }

    /// Its profiles.
    pub fn profiles(&self) -> PathBuf {
        self.dir().join(PROFILES)
    }

    /// Its policy.
    pub fn policy(&self) -> PathBuf {
        self.dir().join(POLICY)
    }

    /// One of its directories, opened without following a link; `None` when there is none.
    pub(super) fn open(&self, part: Option<&str>) -> std::io::Result<Option<Dir>> {
        let dir = Dir::open(&self.root).and_then(|root| root.enter(DIR));
        let dir = match part {
            Some(part) => dir.and_then(|dir| dir.enter(part)),
            None => dir,
        };
        match dir {
            Ok(dir) => Ok(Some(dir)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// One file that takes effect once its project is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its path below `.conductor/`, e.g. `agent-context/dev.md`.
    pub relative: PathBuf,
    /// The SHA-256 of its bytes, in hexadecimal digits.
    pub sha256: String,
    /// Its length in bytes.
    pub bytes: usize,
    /// What it may start or change, a line each.
    pub effects: Vec<String>,
}

/// What a project holds: the files that can take effect, and the names of what lies there and never does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contents {
    /// The files, sorted by path.
    pub files: Vec<Held>,
    /// What is passed over, and why.
    pub ignored: Vec<String>,
}

/// The SHA-256 of `bytes` in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    crate::fsx::hex(&Sha256::digest(bytes))
}

/// Reads what a project holds.
pub fn contents(project: &Project) -> Result<Contents> {
    let mut contents = Contents::default();
    for (part, wanted) in [(Some(PROFILES), ".md"), (Some(FLOWS), ""), (None, POLICY)] {
        let below = part.unwrap_or_default();
        let path = project.dir().join(below);
        let fault = |name: &str, error: &std::io::Error| {
            Failure::failed(files::why(error))
                .context(format!("read {}", path.join(name).display()))
        };
        let Some(dir) = project.open(part).map_err(|e| fault("", &e))? else {
            continue;
        };
        for name in files::names(&path).map_err(|e| fault("", &e))? {
            if !name.ends_with(wanted) || part.is_none() && name != POLICY {
                continue;
            }
            let relative = Path::new(below).join(&name);
            let kind = path.join(&name).symlink_metadata().map(|m| m.file_type());
            if !kind.is_ok_and(|kind| kind.is_file()) {
                let shown = relative.display();
                contents
                    .ignored
                    .push(format!("{shown}: not a regular file"));
                continue;
            }
            let bytes = dir
                .read(&name, MAX_FILE_BYTES)
                .map_err(|error| fault(&name, &error))?;
            contents.files.push(Held {
                sha256: sha256(&bytes),
                bytes: bytes.len(),
                effects: match part {
                    Some(PROFILES) => effects::of_profile(&bytes),
                    Some(_) => effects::of_flow(&relative, &bytes),
                    None => effects::of_policy(&bytes),
                },
                relative,
            });
            if contents.files.len() > MAX_FILES {
                let message = format!("it holds more than {MAX_FILES} files");
                return Err(Failure::refused(message).context(format!("read {}", path.display())));
            }
        }
    }
    contents.files.sort_by(|a, b| a.relative.cmp(&b.relative));
    Ok(contents)
}

impl Contents {
    /// What a person should know before they trust it: every file, and what each may start or change.
    pub fn show(&self) -> String {
        let mut lines = Vec::new();
        for held in &self.files {
            let path = one_line(&held.relative.to_string_lossy());
            let digest = held.sha256.get(..12).unwrap_or_default();
            lines.push(format!("{path}  {} bytes  sha256 {digest}…", held.bytes));
            let effects = held.effects.iter();
            lines.extend(effects.map(|effect| format!("    {}", one_line(effect))));
        }
        let ignored = self.ignored.iter();
        lines.extend(ignored.map(|what| format!("{} (never used)", one_line(what))));
        if lines.is_empty() {
            lines.push("nothing that could take effect".to_owned());
        }
        lines.join("\n")
    }
}

#[cfg(test)]
#[path = "project_tests.rs"]
mod tests;
