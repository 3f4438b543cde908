//! Worktrees that stay, and directories that belong to nobody.

use super::super::doctor::{Finding, Level, bad, ok};
use crate::domain::ids::TerminalId;
use crate::domain::terminal::Terminal;
use crate::domain::worktree::DIR;
use crate::error::Result;
use crate::store::Store;
use std::path::{Path, PathBuf};

/// What `doctor` says about worktrees: nothing where nobody has had one.
pub fn findings(store: &mut Store) -> Result<Vec<Finding>> {
    let (all, repositories) = store
        .read(|tx| Ok::<_, crate::store::Error>((tx.worktree_terminals()?, tx.repositories()?)))?;
    if repositories.is_empty() {
        return Ok(Vec::new());
    }
    let mut findings = Vec::new();
    for terminal in all.iter().filter(|terminal| !terminal.alive()) {
        let Some(worktree) = &terminal.worktree else {
            continue;
        };
        let remedy = match worktree.kept {
            None => "`conductor-hook recover` looks at it".to_owned(),
            Some(_) => format!(
                "keep or drop what is in it, then `conductor-hook close {}` removes it; {}",
                terminal.id,
                worktree.commands().join("; ")
            ),
        };
        findings.push(bad(
            Level::Warning,
            "worktrees",
            format!("terminal {}: {}", terminal.id, worktree.stays()),
            "work that nobody takes over is easily forgotten, and it takes up room",
            remedy,
        ));
    }
    for (repository, path) in strangers(&repositories, &all) {
        let words = [
            "git",
            "-C",
            &repository.to_string_lossy(),
            "worktree",
            "remove",
            &path.to_string_lossy(),
        ];
        findings.push(bad(
            Level::Warning,
            "worktrees",
            format!(
                "{} belongs to no terminal of this state directory",
                path.display()
            ),
            "nothing of ours will remove it",
            format!("look into it, then `{}`", shell_words::join(words)),
        ));
    }
    if findings.is_empty() {
        findings.push(ok("worktrees", format!("{} in use", all.len())));
    }
    Ok(findings)
}

/// Directories among our worktrees that are of no terminal in `known`, each with its repository.
fn strangers(repositories: &[PathBuf], known: &[Terminal]) -> Vec<(PathBuf, PathBuf)> {
    let ours = |path: &Path| {
        let mut paths = known
            .iter()
            .filter_map(|t| t.worktree.as_ref()?.path.as_deref());
        paths.any(|other| other == path)
    };
    let mut found = Vec::new();
    for repository in repositories {
        let Ok(dir) = std::fs::read_dir(repository.join(DIR[0]).join(DIR[1])) else {
            continue;
        };
        for entry in dir.flatten() {
            let id = entry.file_name().to_str().map(TerminalId::parse);
            if matches!(id, Some(Ok(_))) && !ours(&entry.path()) {
                found.push((repository.clone(), entry.path()));
            }
        }
    }
    found.sort();
    found
}
