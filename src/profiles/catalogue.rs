//! The profiles that can be found from a directory: listed, loaded, checked, searched.

use super::finding::Finding;
use super::profile::{self, Draft};
use super::project::Project;
use super::sources::{SCOPES, Sources, read_failure};
pub use super::sources::{Source, Trust};
use super::{files, front_matter, inheritance, search};
use crate::domain::ids::Name;
use crate::domain::profile::{Profile, Scope};
use crate::error::Result;
use crate::paths::Home;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// All profiles that can be found from one directory.
pub struct Catalogue<'a> {
    sources: Sources<'a>,
}

/// A profile as a list shows it. An untrusted one shows nothing of its text.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Entry {
    /// Its file's name without `.md`.
    pub name: String,
    /// Where it lies.
    pub scope: Scope,
    /// Its file; a built-in profile has none.
    pub path: Option<PathBuf>,
    /// One sentence.
    pub description: String,
    /// The role's word.
    pub role: Option<String>,
    /// The agent program.
    pub provider: Option<String>,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// Whether another profile of this name wins.
    pub shadowed: bool,
    /// Whether it may take effect; false only in a project.
    pub trusted: bool,
    /// Why it cannot be used.
    pub problem: Option<String>,
}

/// A profile with its parents' parts in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The profile.
    pub profile: Profile,
    /// Where it lies.
    pub scope: Scope,
    /// Its file; a built-in profile has none.
    pub path: Option<PathBuf>,
    /// Keys that have no effect here, as written.
    pub extra: Map<String, Value>,
    /// What somebody should look at.
    pub warnings: Vec<Finding>,
}

/// A profile that a query found.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Match {
    /// The profile.
    pub entry: Entry,
    /// How well it matches; more is better.
    pub score: f64,
}

impl<'a> Catalogue<'a> {
    /// The profiles that can be found from `cwd`. `trust` says whether a project's file may take effect.
    pub fn open(home: &'a Home, cwd: &Path, trust: &'a Trust<'a>) -> Self {
        Self::of(home, Project::locate(cwd, home), trust)
    }

    /// The profiles with a project that is already known, or without one.
    pub fn of(home: &'a Home, project: Option<Project>, trust: &'a Trust<'a>) -> Self {
        Self {
            sources: Sources {
                home,
                project,
                trust,
            },
        }
    }

    /// Every profile, by name, the winning one first.
    pub fn list(&self) -> Vec<Entry> {
        let all = self.read_all().into_iter();
        all.map(|(entry, _)| entry).collect()
    }

    /// The profile `name`, with what it extends.
    pub fn load(&self, name: &Name) -> Result<Loaded> {
        let mut warnings = Vec::new();
        let source = self.sources.winning(name, None, &mut warnings)?;
        let what = format!("read profile {name}");
        let own = inheritance::usable(&what, &source, name, &mut warnings)?;
        let draft = inheritance::whole(&self.sources, own, name, source.scope, &mut warnings)
            .map_err(|failure| failure.context(&what))?;
        warnings.extend(self.provider_warning(&draft));
        let extra = draft.extra.clone();
        Ok(Loaded {
            profile: draft.into_profile(name.clone()),
            scope: source.scope,
            path: source.path,
            extra,
            warnings,
        })
    }

    /// The file of the profile `name`; `None` when it is built in.
    pub fn path(&self, name: &Name) -> Result<Option<PathBuf>> {
        Ok(self.source(name)?.path)
    }

    /// The text of the profile that `name` stands for.
    pub fn source(&self, name: &Name) -> Result<Source> {
        self.sources.winning(name, None, &mut Vec::new())
    }

    /// What is wrong with the profile `name`, which need not be trusted, and with what it extends.
    pub fn validate(&self, name: &Name) -> Result<Vec<Finding>> {
        for scope in SCOPES {
            if let Some(source) = self.sources.fetch(scope, name)? {
                return Ok(self.check(&source.bytes, Some(name.as_str()), scope));
            }
        }
        Err(self.sources.not_found(name))
    }

    /// What is wrong with the profile in the file `path`, wherever it lies, and with what it extends.
    pub fn validate_file(&self, path: &Path) -> Result<Vec<Finding>> {
        let bytes = files::read_named(path, front_matter::MAX_BYTES)
            .map_err(|error| read_failure(&path.display().to_string(), &error))?;
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        Ok(self.check(&bytes, stem, Scope::User))
    }

    /// The profiles that match `query`, best first. Only what can be loaded is looked at.
    pub fn find(&self, query: &str) -> Vec<Match> {
        let mut all = self.read_all();
        all.retain(|(entry, _)| !entry.shadowed && entry.trusted && entry.problem.is_none());
        let things: Vec<search::Weighted<'_>> = all
            .iter()
            .map(|(entry, draft)| {
                let mut texts = vec![
                    (entry.name.as_str(), 4.0),
                    (entry.description.as_str(), 2.0),
                    (draft.persona.as_str(), 0.5),
                ];
                texts.extend(entry.tags.iter().map(|tag| (tag.as_str(), 3.0)));
                texts.extend(draft.capabilities.iter().map(|what| (what.as_str(), 2.0)));
                texts
            })
            .collect();
        let scores = search::scores(query, &things);
        let mut found: Vec<Match> = all
            .iter()
            .zip(scores)
            .filter(|(_, score)| *score > 0.0)
            .map(|((entry, _), score)| Match {
                entry: entry.clone(),
                score,
            })
            .collect();
        found.sort_by(|a, b| b.score.total_cmp(&a.score));
        found
    }

    fn read_all(&self) -> Vec<(Entry, Draft)> {
        let mut all: Vec<(Entry, Draft)> = Vec::new();
        for scope in SCOPES {
            let stems = self.sources.stems(scope).into_iter();
            let of_scope: Vec<_> = stems
                .map(|stem| {
                    let (mut entry, draft) = self.entry(scope, &stem);
                    let mut above = all.iter().map(|(entry, _)| entry);
                    entry.shadowed = above.any(|above| above.trusted && above.name == stem);
                    (entry, draft)
                })
                .collect();
            all.extend(of_scope);
        }
        all.sort_by(|(a, _), (b, _)| {
            let key = |e: &Entry| (e.shadowed || !e.trusted, e.scope);
            a.name.cmp(&b.name).then_with(|| key(a).cmp(&key(b)))
        });
        all
    }

    fn entry(&self, scope: Scope, stem: &str) -> (Entry, Draft) {
        let mut entry = Entry {
            name: stem.to_owned(),
            scope,
            path: self.sources.path(scope, stem),
            description: String::new(),
            role: None,
            provider: None,
            tags: Vec::new(),
            shadowed: false,
            trusted: scope != Scope::Project,
            problem: None,
        };
        let fetched = Name::parse(stem)
            .map_err(|error| error.to_string())
            .and_then(|name| {
                let fetched = self.sources.fetch(scope, &name);
                let fetched = fetched.map_err(|failure| failure.message().to_owned())?;
                let source = fetched.ok_or("it has just gone away")?;
                Ok((source, name))
            });
        let problem = match fetched {
            Ok((source, name)) if source.trusted => {
                entry.trusted = true;
                return self.describe(entry, &source, name);
            }
            Ok(_) => "not trusted, or changed since".to_owned(),
            Err(problem) => problem,
        };
        entry.problem = Some(problem);
        (entry, Draft::default())
    }

    fn describe(&self, mut entry: Entry, source: &Source, name: Name) -> (Entry, Draft) {
        let (mut draft, mut findings) = profile::read(&source.bytes, Some(name.as_str()));
        if !findings.iter().any(Finding::is_error) {
            let own = draft.clone();
            match inheritance::whole(&self.sources, own, &name, source.scope, &mut Vec::new()) {
                Ok(whole) => draft = whole,
                Err(failure) => findings.push(Finding::error(failure.message())),
            }
        }
        let fault = findings.iter().find(|finding| finding.is_error());
        entry.problem = fault.map(ToString::to_string);
        let shown = draft.clone().into_profile(name);
        entry.description = shown.description;
        entry.role = shown.role;
        entry.provider = shown.provider;
        entry.tags = shown.tags;
        (entry, draft)
    }

    fn check(&self, bytes: &[u8], stem: Option<&str>, scope: Scope) -> Vec<Finding> {
        let (draft, mut findings) = profile::read(bytes, stem);
        let stem = stem.and_then(|stem| Name::parse(stem).ok());
        let name = stem.or_else(|| draft.name.clone());
        if findings.iter().any(Finding::is_error) {
            return findings;
        }
        findings.extend(self.provider_warning(&draft));
        if let Some(name) = name
            && let Err(failure) =
                inheritance::whole(&self.sources, draft, &name, scope, &mut findings)
        {
            let mut finding = Finding::error(failure.message());
            finding.hint = failure.hints().first().cloned();
            findings.insert(0, finding);
        }
        findings
    }

    fn provider_warning(&self, draft: &Draft) -> Option<Finding> {
        let provider = draft.provider.as_deref()?;
        let manifest = self
            .sources
            .home
            .providers()
            .join(format!("{provider}.toml"));
        let known = profile::PROVIDERS.contains(&provider) || manifest.is_file();
        (!known).then(|| profile::unknown_provider(provider))
    }
}

#[cfg(test)]
#[path = "catalogue_tests.rs"]
mod tests;
