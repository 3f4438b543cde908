//! Where a profile's text comes from: the trusted project's, the user's, the built-in one, in this order.

use super::files::{self, Dir};
use super::finding::Finding;
use super::project::{self, Project};
use super::{built_in, front_matter, search};
use crate::domain::ids::Name;
use crate::domain::profile::Scope;
use crate::domain::text::one_line;
use crate::error::{Failure, Result};
use crate::paths::Home;
use std::io;
use std::path::{Path, PathBuf};

/// The search order.
pub(super) const SCOPES: [Scope; 3] = [Scope::Project, Scope::User, Scope::BuiltIn];

/// Whether a project's file is trusted, by its absolute path and the SHA-256 of its bytes.
pub type Trust<'a> = dyn Fn(&Path, &str) -> bool + 'a;

/// A profile's text and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where it lies.
    pub scope: Scope,
    /// Its file; a built-in profile has none.
    pub path: Option<PathBuf>,
    /// The file's bytes.
    pub bytes: Vec<u8>,
    /// Whether it may take effect.
    pub trusted: bool,
}

/// Everything that profiles are read from.
pub(super) struct Sources<'a> {
    pub(super) home: &'a Home,
    pub(super) project: Option<Project>,
    pub(super) trust: &'a Trust<'a>,
}

impl Sources<'_> {
    /// The names of the files in one scope, without `.md`.
    pub(super) fn stems(&self, scope: Scope) -> Vec<String> {
        let dir = match (scope, &self.project) {
            (Scope::BuiltIn, _) => {
                let names = built_in::PROFILES.iter();
                return names.map(|(name, _)| (*name).to_owned()).collect();
            }
            (Scope::User, _) => self.home.profiles(),
            (Scope::Project, Some(project)) => project.profiles(),
            (Scope::Project, None) => return Vec::new(),
        };
        let names = files::names(&dir).unwrap_or_default();
        let stems = names.iter().filter_map(|name| name.strip_suffix(".md"));
        stems
            .filter(|stem| *stem != "README" && !stem.starts_with('.'))
            .map(str::to_owned)
            .collect()
    }

    /// Where a profile of one scope lies; `None` for built-in ones and without a project.
    pub(super) fn path(&self, scope: Scope, stem: &str) -> Option<PathBuf> {
        let dir = match scope {
            Scope::BuiltIn => return None,
            Scope::User => self.home.profiles(),
            Scope::Project => self.project.as_ref()?.profiles(),
        };
        Some(dir.join(format!("{stem}.md")))
    }

    /// The profile's text in one scope, trusted or not; `None` when there is none.
    pub(super) fn fetch(&self, scope: Scope, name: &Name) -> Result<Option<Source>> {
        if scope == Scope::BuiltIn {
            return Ok(built_in::text(name.as_str()).map(|text| Source {
                scope,
                path: None,
                bytes: text.as_bytes().to_vec(),
                trusted: true,
            }));
        }
        let Some(path) = self.path(scope, name.as_str()) else {
            return Ok(None);
        };
        match self.read(scope, name) {
            Ok(Some(bytes)) => Ok(Some(Source {
                scope,
                trusted: scope == Scope::User || (self.trust)(&path, &project::sha256(&bytes)),
                path: Some(path),
                bytes,
            })),
            Ok(None) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                let failure = read_failure(&format!("profile {name}"), &error);
                Err(failure.hint(format!("it is {}", path.display())))
            }
        }
    }

    fn read(&self, scope: Scope, name: &Name) -> io::Result<Option<Vec<u8>>> {
        let dir = match (scope, &self.project) {
            (Scope::Project, Some(project)) => project.open(Some(project::PROFILES))?,
            _ => Some(Dir::open(&self.home.profiles())?),
        };
        let file = format!("{name}.md");
        dir.map(|dir| dir.read(&file, front_matter::MAX_BYTES))
            .transpose()
    }

    /// The text that `name` stands for: the first that may take effect, in the scopes after `below`.
    /// A project cannot stand in the way of the user's own profiles: what is not trusted or cannot be read there is passed over, with a warning.
    pub(super) fn winning(
        &self,
        name: &Name,
        below: Option<Scope>,
        warnings: &mut Vec<Finding>,
    ) -> Result<Source> {
        let mut passed_over = None;
        for scope in SCOPES {
            if below.is_some_and(|below| scope <= below) {
                continue;
            }
            let why = match self.fetch(scope, name) {
                Ok(Some(source)) if source.trusted => {
                    warnings.extend(passed_over.map(Finding::warning));
                    return Ok(source);
                }
                Ok(Some(_)) => "it is not trusted, or has changed since".to_owned(),
                Ok(None) => continue,
                Err(failure) if scope != Scope::Project => return Err(failure),
                Err(failure) => failure.message().to_owned(),
            };
            passed_over = Some(format!(
                "the project's profile {name} is passed over: {why}"
            ));
        }
        Err(match (passed_over, &self.project) {
            (Some(message), Some(project)) => {
                let root = one_line(&project.root().to_string_lossy());
                let root = shell_words::quote(&root);
                Failure::refused(format!("read profile {name}: {message}")).hint(format!(
                    "`conductor-hook trust {root}` shows it and accepts it"
                ))
            }
            _ => self.not_found(name),
        })
    }

    /// That there is no profile `name`, with the names that may be meant.
    pub(super) fn not_found(&self, name: &Name) -> Failure {
        let mut known: Vec<String> = Vec::new();
        for scope in SCOPES {
            known.extend(self.stems(scope).into_iter().filter(|stem| {
                let source = Name::parse(stem).map(|name| self.fetch(scope, &name));
                matches!(source, Ok(Ok(Some(source))) if source.trusted)
            }));
        }
        let near = search::near(name.as_str(), known.iter().map(String::as_str));
        let failure = Failure::not_found(format!("there is no profile {name}"));
        if near.is_empty() {
            failure.hint("`conductor-hook profile list` shows the profiles that there are")
        } else {
            failure.hint(format!("did you mean {}?", near.join(" or ")))
        }
    }
}

/// That `what` could not be read.
pub(super) fn read_failure(what: &str, error: &io::Error) -> Failure {
    let message = format!("read {what}: {}", files::why(error));
    match error.kind() {
        io::ErrorKind::NotFound => Failure::not_found(message).hint("name a file that is there"),
        _ => Failure::failed(message),
    }
}
