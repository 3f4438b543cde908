//! The repository that a directory lies in: where its main worktree is, and the commit that the directory stands on.

use super::{CHANGE, Git, LOOK, MOST, shown};
use crate::error::{Failure, Result};
use std::path::{Path, PathBuf};

/// A repository with a main worktree.
#[derive(Debug, Clone)]
pub struct Repository {
    pub(super) git: Git,
    /// Root of the main worktree, without links.
    main: PathBuf,
    /// What all worktrees share: the main worktree's `.git`, mostly.
    common: PathBuf,
}

/// Where a directory stands in its repository.
#[derive(Debug, Clone)]
pub struct Checkout {
    /// The repository.
    pub repository: Repository,
    /// The commit that is checked out, in hexadecimal digits.
    pub head: String,
    /// The directory, below the root of its worktree.
    pub inside: PathBuf,
}

/// Where git and a directory's path end up, without links.
fn resolve(dir: &Path, said: &str) -> Result<PathBuf> {
    let path = dir.join(said);
    path.canonicalize()
        .map_err(|e| Failure::failed(format!("use {}: {e}", shown(&path))))
}

impl Git {
    /// Where `dir` stands. What is no repository with a main worktree and a commit is refused, with a hint.
    pub fn checkout(&self, dir: &Path) -> Result<Checkout> {
        let what = format!("find the git repository of {}", shown(dir));
        let words = [
            "rev-parse",
            "--is-inside-work-tree",
            "--is-bare-repository",
            "--git-dir",
            "--git-common-dir",
            "--show-prefix",
        ];
        let answer = self.ask(dir, &words, LOOK, MOST)?;
        if !answer.ok() && answer.complaint.contains("not a git repository") {
            return Err(
                Failure::refused(format!("{} lies in no git repository", shown(dir))).hint(
                    "name a directory of one with --cwd, or start the agent without a worktree",
                ),
            );
        }
        let text = answer.text();
        let lines: Vec<&str> = text.split('\n').collect();
        let (inside_work_tree, bare, own, common, prefix) = match lines[..] {
            [inside, bare, own, common] => (inside, bare, own, common, ""),
            [inside, bare, own, common, prefix] => (inside, bare, own, common, prefix),
            _ if !answer.ok() => return Err(answer.failure(&what)),
            _ => {
                return Err(Failure::failed(format!(
                    "{what}: git said what is not understood"
                )));
            }
        };
        if bare == "true" {
            return Err(without_files(dir));
        }
        if !answer.ok() || inside_work_tree != "true" {
            return Err(
                Failure::refused(format!("{} lies in no worktree of git", shown(dir)))
                    .hint("name a directory among the files of the repository with --cwd"),
            );
        }
        let (own, common) = (resolve(dir, own)?, resolve(dir, common)?);
        let main = self.main_of(dir, &own, &common)?;
        let head = self.ask(
            dir,
            &["rev-parse", "--verify", "--quiet", "HEAD^{commit}"],
            LOOK,
            MOST,
        )?;
        if !head.ok() {
            return Err(Failure::refused(format!(
                "the git repository of {} has no commit yet",
                shown(dir)
            ))
            .hint("a worktree begins at a commit: make a first one"));
        }
        Ok(Checkout {
            head: head.text(),
            inside: PathBuf::from(prefix.trim_end_matches('/')),
            repository: Repository {
                git: self.clone(),
                main,
                common,
            },
        })
    }

    /// The root of the main worktree of the repository at `common`.
    fn main_of(&self, dir: &Path, own: &Path, common: &Path) -> Result<PathBuf> {
        let bare = self.tell(
            common,
            &["rev-parse", "--is-bare-repository"],
            LOOK,
            "look at the repository",
        )?;
        if bare.text() == "true" {
            return Err(without_files(dir));
        }
        if common.file_name().is_some_and(|name| name == ".git")
            && let Some(main) = common.parent()
        {
            return Ok(main.to_owned());
        }
        // A submodule, or a repository whose `.git` lies elsewhere.
        if own == common {
            let what = format!("find the root of the repository of {}", shown(dir));
            let top = self.tell(dir, &["rev-parse", "--show-toplevel"], LOOK, &what)?;
            return resolve(dir, &top.text());
        }
        Err(Failure::refused(format!(
            "the main worktree of the repository of {} was not found",
            shown(dir)
        ))
        .hint("start the agent from the main worktree"))
    }

    /// The repository whose main worktree is `main`; `None` when there is none any more.
    pub fn repository(&self, main: &Path) -> Result<Option<Repository>> {
        if !main.is_dir() {
            return Ok(None);
        }
        let words = ["rev-parse", "--show-toplevel", "--git-common-dir"];
        let answer = self.ask(main, &words, LOOK, MOST)?;
        if !answer.ok() && answer.complaint.contains("not a git repository") {
            return Ok(None);
        }
        let what = format!("look at the repository {}", shown(main));
        let text = answer.text();
        let (true, Some((top, common))) = (answer.ok(), text.split_once('\n')) else {
            return Err(answer.failure(&what));
        };
        // A directory that lies in another repository is none itself.
        if resolve(main, top)? != main {
            return Ok(None);
        }
        Ok(Some(Repository {
            git: self.clone(),
            main: main.to_owned(),
            common: resolve(main, common)?,
        }))
    }
}

fn without_files(dir: &Path) -> Failure {
    Failure::refused(format!(
        "the git repository of {} is bare: it has no main worktree",
        shown(dir)
    ))
    .hint("clone it, and start the agent in the clone")
}

impl Repository {
    /// Root of the main worktree, without links.
    pub fn main(&self) -> &Path {
        &self.main
    }

    /// What all its worktrees share.
    pub fn common(&self) -> &Path {
        &self.common
    }

    /// The commit that a ref names, in hexadecimal digits; `None` when there is no such ref.
    pub fn tip(&self, name: &str) -> Result<Option<String>> {
        let commit = format!("{name}^{{commit}}");
        let words = ["rev-parse", "--verify", "--quiet", &commit];
        let answer = self.git.ask(&self.main, &words, LOOK, MOST)?;
        Ok(answer.ok().then(|| answer.text()))
    }

    /// How many commits of `tips` only `branch` has: no other branch, no tag, no remote-tracking branch, and none of the commits `heads`,
    /// at which other worktrees stand.
    pub fn only_here(&self, tips: &[String], branch: &str, heads: &[String]) -> Result<usize> {
        let except = format!("--exclude={branch}");
        let mut words = vec!["rev-list", "--count"];
        words.extend(tips.iter().map(String::as_str));
        words.extend(["--not", &except, "--branches", "--tags", "--remotes"]);
        words.extend(heads.iter().map(String::as_str));
        let what = format!("count the commits of {branch}");
        let answer = self.git.tell(&self.main, &words, LOOK, &what)?;
        let text = answer.text();
        text.parse()
            .map_err(|_| Failure::failed(format!("{what}: git said {:?}", super::one_line(&text))))
    }

    /// Deletes a branch that is at `tip`; one that has moved on stays, and that is an error.
    pub fn delete_branch(&self, branch: &str, tip: &str) -> Result<()> {
        let name = format!("refs/heads/{branch}");
        // One that points to another branch would take that one with it.
        let words = ["update-ref", "--no-deref", "-d", &name, tip];
        let what = format!("delete the branch {branch}");
        self.git.tell(&self.main, &words, CHANGE, &what)?;
        let section = format!("branch.{branch}");
        let words = ["config", "--local", "--remove-section", &section];
        // There is none where nobody has set anything for it.
        self.git.ask(&self.main, &words, LOOK, MOST)?;
        Ok(())
    }
}
