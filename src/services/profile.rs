//! Profiles as launches and people use them: found, trusted, shown.

use super::context::Context;
use crate::clock;
use crate::domain::ids::Name;
use crate::domain::profile::Profile;
use crate::domain::text::one_line;
use crate::domain::worktree;
use crate::error::{Failure, Result};
use crate::paths::Home;
use crate::profiles::catalogue::Catalogue;
use crate::profiles::project::{self, Contents, Project};
use crate::store::{Budget, Durability, Store};
use std::path::Path;

/// The files that people have accepted, by absolute path and SHA-256.
#[derive(Debug, Clone, Default)]
pub struct Trusted(Vec<(String, String)>);

impl Trusted {
    /// Everything that was accepted; nothing where there is no state.
    pub fn read(cx: &Context) -> Result<Self> {
        Self::at(&cx.home)
    }

    /// What has been accepted in this state directory.
    pub fn at(home: &Home) -> Result<Self> {
        match Store::open(home) {
            Ok(mut store) => Self::of(&mut store),
            Err(crate::store::Error::Missing(_)) => Ok(Self::default()),
            Err(error) => Err(error.into()),
        }
    }

    /// What has been accepted in this state.
    pub fn of(store: &mut Store) -> Result<Self> {
        let hashes = store.read(|tx| tx.trusted_hashes())?;
        Ok(Self(
            hashes
                .into_iter()
                .map(|(project, file, sha256)| (format!("{project}/{file}"), sha256))
                .collect(),
        ))
    }

    /// Whether the file at `path` with this hash was accepted, there or, for one in a worktree of ours, at the same place of the main
    /// worktree.
    pub fn holds(&self, path: &Path, sha256: &str) -> bool {
        let accepted = |path: &Path| {
            let path = path.to_string_lossy();
            let mut all = self.0.iter();
            all.any(|(trusted, hash)| *trusted == path && hash == sha256)
        };
        accepted(path) || worktree::place(path).is_some_and(|place| accepted(&place.counterpart()))
    }
}

/// Calls `body` with the profiles that are found from `cwd`.
pub fn with_catalogue<T>(
    cx: &Context,
    trusted: &Trusted,
    cwd: &Path,
    body: impl FnOnce(&Catalogue<'_>) -> T,
) -> T {
    let trust = |path: &Path, sha256: &str| trusted.holds(path, sha256);
    body(&Catalogue::open(&cx.home, cwd, &trust))
}

/// The name of a profile.
pub fn name(text: &str) -> Result<Name> {
    Name::parse(text).map_err(|e| {
        Failure::usage(format!("profile {e}")).hint(
            "a name looks like code-reviewer; `conductor-hook profile list` shows those that there are",
        )
    })
}

/// The profile of this name, found from `cwd`.
pub fn load(cx: &Context, store: &mut Store, cwd: &Path, name: &str) -> Result<Profile> {
    let name = self::name(name)?;
    let trusted = Trusted::of(store)?;
    with_catalogue(cx, &trusted, cwd, |catalogue| catalogue.load(&name)).map(|loaded| {
        for warning in &loaded.warnings {
            tracing::info!(profile = %name, warning = %warning.message, "profile");
        }
        loaded.profile
    })
}

/// All profiles that can be used from anywhere.
pub fn all(cx: &Context) -> Result<Vec<Profile>> {
    let trusted = Trusted::read(cx)?;
    with_catalogue(cx, &trusted, cx.home.root(), |catalogue| {
        let usable = catalogue
            .list()
            .into_iter()
            .filter(|entry| entry.problem.is_none() && !entry.shadowed && entry.trusted);
        usable
            .map(|entry| {
                let name = Name::parse(&entry.name)
                    .map_err(|e| Failure::failed(format!("profile {e}")))?;
                catalogue.load(&name).map(|loaded| loaded.profile)
            })
            .collect()
    })
}

/// What a project's `.conductor/` holds.
pub fn contents(dir: &Path) -> Result<(Project, Contents)> {
    let shown = one_line(&dir.to_string_lossy());
    let dir = std::fs::canonicalize(dir).map_err(|e| {
        Failure::not_found(format!("use the directory {shown}: {e}"))
            .hint("name the directory that holds the project's .conductor/")
    })?;
    let project = Project::at(&dir)?;
    let contents = project::contents(&project)?;
    Ok((project, contents))
}

/// Accepts exactly what `contents` shows.
pub fn trust(
    store: &mut Store,
    project: &Project,
    contents: &Contents,
    actor: &str,
) -> Result<usize> {
    let files: Vec<(String, String)> = contents
        .files
        .iter()
        .map(|held| {
            (
                held.relative.to_string_lossy().into_owned(),
                held.sha256.clone(),
            )
        })
        .collect();
    let key = project.dir().to_string_lossy().into_owned();
    store.write(Durability::Power, Budget::Call, |tx| {
        let now = clock::now();
        tx.trust_project(&key, &files, now)?;
        tx.audit(
            now,
            "policy.trusted",
            &key,
            actor,
            "cli",
            serde_json::json!({"files": files}),
        )
    })?;
    Ok(files.len())
}

/// Withdraws what was accepted of the project at `dir`; works for a directory that is gone too.
pub fn untrust(store: &mut Store, dir: &Path, actor: &str) -> Result<usize> {
    let dir = std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_path_buf());
    let dir = if dir.ends_with(".conductor") {
        dir
    } else {
        dir.join(".conductor")
    };
    let key = dir.to_string_lossy().into_owned();
    Ok(store.write(Durability::Power, Budget::Call, |tx| {
        let count = tx.untrust_project(&key)?;
        if count > 0 {
            let detail = serde_json::json!({"files": count});
            tx.audit(clock::now(), "policy.untrusted", &key, actor, "cli", detail)?;
        }
        Ok::<_, crate::store::Error>(count)
    })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_audited_where_nothing_was_trusted() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path().join("state")).unwrap();
        let mut store = Store::open_or_create(&home).unwrap();
        let nope = dir.path().join("nope");
        assert_eq!(untrust(&mut store, &nope, "human"), Ok(0));
        assert_eq!(store.read(|tx| tx.audit_head()).unwrap(), None);
    }

    #[test]
    fn what_is_accepted_counts_for_the_same_bytes_in_a_worktree_of_ours() {
        let file = ".conductor/agent-context/x.md";
        let trusted = Trusted(vec![(format!("/r/{file}"), "aa".to_owned())]);
        let holds = |path: &str, sha256: &str| trusted.holds(Path::new(path), sha256);
        let copy = format!("/r/.conductor/worktrees/0123abcd/{file}");
        assert!(holds(&format!("/r/{file}"), "aa"));
        assert!(holds(&copy, "aa"));
        assert!(!holds(&copy, "bb"), "its agent changed it");
        let moved = "/r/.conductor/worktrees/0123abcd/sub/.conductor/agent-context/x.md";
        assert!(!holds(moved, "aa"));
        assert!(!holds(&format!("/other/{file}"), "aa"));
    }
}
