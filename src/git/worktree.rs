//! Worktrees of a repository: made, looked at, removed.

use super::{CHANGE, LOOK, MOST, Repository, shown};
use crate::domain::worktree;
use crate::error::{Failure, Result};
use crate::fsx;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Most that the list of an index may hold, in bytes.
const MOST_INDEX: usize = 64 * 1024 * 1024;

/// What git knows of one worktree.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    /// Where it lies.
    pub path: PathBuf,
    /// The commit that it stands on; `None` before the first one of a branch.
    pub head: Option<String>,
    /// The branch that is checked out; `None` when none is.
    pub branch: Option<String>,
}

/// What of a worktree is in no commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Changes {
    /// Files that differ from the last commit.
    pub changed: usize,
    /// Files and directories that git does not know, and does not ignore.
    pub untracked: usize,
    /// There are more than were counted.
    pub more: bool,
}

/// What the list of a worktree's files says about it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Index {
    /// Files whose changes git was told not to show.
    pub hidden: usize,
    /// Submodules.
    pub submodules: Vec<PathBuf>,
}

fn words_of<'a>(first: &[&'a str], path: &'a Path, last: &[&'a str]) -> Vec<&'a OsStr> {
    let first = first.iter().map(|word| OsStr::new(*word));
    let last = last.iter().map(|word| OsStr::new(*word));
    first.chain([path.as_os_str()]).chain(last).collect()
}

impl Repository {
    /// Makes a worktree at `path` with a new branch at `commit`.
    pub fn add(&self, path: &Path, branch: &str, commit: &str) -> Result<()> {
        let words = words_of(
            &["worktree", "add", "--quiet", "--no-track", "-b", branch],
            path,
            &[commit],
        );
        let what = format!("make the worktree {}", shown(path));
        self.git.tell(self.main(), &words, CHANGE, &what)?;
        Ok(())
    }

    /// Makes a worktree at `path` with a branch that is there.
    pub fn add_again(&self, path: &Path, branch: &str) -> Result<()> {
        let words = words_of(&["worktree", "add", "--quiet"], path, &[branch]);
        let what = format!("make the worktree {} again", shown(path));
        self.git.tell(self.main(), &words, CHANGE, &what)?;
        Ok(())
    }

    /// All worktrees, the main one first.
    pub fn worktrees(&self) -> Result<Vec<Entry>> {
        let what = format!("list the worktrees of {}", shown(self.main()));
        let words = ["worktree", "list", "--porcelain"];
        let answer = self.git.tell(self.main(), &words, LOOK, &what)?;
        Ok(entries(&answer.text()))
    }

    /// Where git keeps what belongs to the worktree at `path` alone; `None` when it knows none there.
    pub fn admin(&self, path: &Path) -> Option<PathBuf> {
        let dirs = std::fs::read_dir(self.common().join("worktrees")).ok()?;
        let wanted = path.join(".git");
        dirs.flatten().map(|entry| entry.path()).find(|dir| {
            let Ok(bytes) = fsx::read_file_limited(&dir.join("gitdir"), 64 * 1024) else {
                return false;
            };
            let text = String::from_utf8_lossy(&bytes);
            // It may be given from there.
            crate::domain::policy::paths::normal(&dir.join(text.trim_end_matches('\n'))) == wanted
        })
    }

    /// Whether the directory at `path` is still the worktree that `admin` is about.
    pub fn belongs(&self, path: &Path, admin: &Path) -> bool {
        let file = path.join(".git");
        let Ok(bytes) = fsx::read_file_limited(&file, 64 * 1024) else {
            return false;
        };
        let text = String::from_utf8_lossy(&bytes);
        let named = text
            .strip_prefix("gitdir: ")
            .map(|dir| path.join(dir.trim_end_matches('\n')));
        let same = |dir: PathBuf| matches!((dir.canonicalize(), admin.canonicalize()), (Ok(a), Ok(b)) if a == b);
        file.symlink_metadata().is_ok_and(|meta| meta.is_file()) && named.is_some_and(same)
    }

    /// What of the worktree at `path` is in no commit.
    pub fn changes(&self, path: &Path) -> Result<Changes> {
        let words = [
            "status",
            "--porcelain",
            "-z",
            "--untracked-files=normal",
            "--ignored=no",
            "--ignore-submodules=none",
            "--no-renames",
        ];
        let what = format!("look for changes in {}", shown(path));
        let answer = self.git.ask(path, &words, LOOK, MOST)?;
        if !answer.ok() && !answer.cut {
            return Err(answer.failure(&what));
        }
        Ok(changes(&answer.out, answer.cut))
    }

    /// What the list of files of the worktree at `path` says.
    pub fn index(&self, path: &Path) -> Result<Index> {
        let words = ["ls-files", "-v", "-s", "-z"];
        let what = format!("list the files of {}", shown(path));
        let answer = self.git.ask(path, &words, LOOK, MOST_INDEX)?;
        if !answer.ok() {
            return Err(answer.failure(&what));
        }
        Ok(index(&answer.out, |file| {
            path.join(file).symlink_metadata().is_ok()
        }))
    }

    /// Refs that only the worktree at `path` has.
    pub fn own_refs(&self, path: &Path) -> Result<usize> {
        let what = format!("look for refs of {}", shown(path));
        let words = [
            "for-each-ref",
            "--format=%(refname)",
            "refs/worktree",
            "refs/bisect",
            "refs/rewritten",
        ];
        let answer = self.git.tell(path, &words, LOOK, &what)?;
        Ok(answer.text().lines().count())
    }

    /// Removes the worktree at `path`, or what git still keeps of one whose directory is gone. Without `force` git looks once more whether
    /// it is clean; `force` is for submodules that are not checked out, which git does not take for clean.
    pub fn remove(&self, path: &Path, force: bool) -> Result<()> {
        let first: &[&str] = if force {
            &["worktree", "remove", "--force"]
        } else {
            &["worktree", "remove"]
        };
        let what = format!("remove the worktree {}", shown(path));
        let words = words_of(first, path, &[]);
        self.git.tell(self.main(), &words, CHANGE, &what)?;
        Ok(())
    }
}

/// The directory for worktrees of a repository, made where it is missing, with a file that keeps it out of `git status`. Nothing of it may
/// be a link: it would lead out of the repository.
pub fn room(main: &Path) -> Result<()> {
    fit(main)?;
    let dir = main.join(worktree::DIR[0]).join(worktree::DIR[1]);
    fsx::create_private_dir(&dir).map_err(|e| no_room(&dir, &e.to_string()))?;
    fit(main)?;
    let ignore = dir.join(".gitignore");
    if ignore.symlink_metadata().is_err() {
        fsx::write_atomic(&ignore, b"*\n").map_err(|e| no_room(&ignore, &e.to_string()))?;
    }
    Ok(())
}

/// Refuses a repository in which something else lies where worktrees would.
pub fn fit(main: &Path) -> Result<()> {
    let mut dir = main.to_owned();
    for name in worktree::DIR {
        dir.push(name);
        let meta = dir.symlink_metadata();
        if meta.is_ok_and(|meta| !meta.is_dir()) {
            return Err(no_room(&dir, "it is no directory")
                .hint("a symbolic link is not followed: put the directory itself there"));
        }
    }
    Ok(())
}

fn no_room(path: &Path, why: &str) -> Failure {
    Failure::refused(format!("make room for worktrees at {}: {why}", shown(path)))
}

fn entries(text: &str) -> Vec<Entry> {
    let mut found: Vec<Entry> = Vec::new();
    for line in text.lines() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match (word, found.last_mut()) {
            ("worktree", _) => found.push(Entry {
                path: PathBuf::from(rest),
                ..Entry::default()
            }),
            ("HEAD", Some(entry)) => {
                entry.head = rest.bytes().any(|b| b != b'0').then(|| rest.to_owned());
            }
            ("branch", Some(entry)) => {
                entry.branch = rest.strip_prefix("refs/heads/").map(str::to_owned);
            }
            _ => {}
        }
    }
    found
}

fn changes(out: &[u8], cut: bool) -> Changes {
    let mut found = Changes {
        more: cut,
        ..Changes::default()
    };
    for record in out.split(|byte| *byte == 0).filter(|r| !r.is_empty()) {
        if record.starts_with(b"??") {
            found.untracked += 1;
        } else {
            found.changed += 1;
        }
    }
    found
}

/// Reads records `TAG MODE OBJECT STAGE<tab>PATH`. A file that is left out (`S`) hides changes only where it is there all the same.
fn index(out: &[u8], there: impl Fn(&Path) -> bool) -> Index {
    let mut found = Index::default();
    for record in out.split(|byte| *byte == 0) {
        let Some(tab) = record.iter().position(|byte| *byte == b'\t') else {
            continue;
        };
        let (head, path) = record.split_at(tab);
        let path = {
            use std::os::unix::ffi::OsStrExt;
            PathBuf::from(OsStr::from_bytes(path.get(1..).unwrap_or_default()))
        };
        let tag = head.first().copied().unwrap_or_default();
        let left_out = tag.eq_ignore_ascii_case(&b'S');
        if tag.is_ascii_lowercase() && !left_out || left_out && there(&path) {
            found.hidden += 1;
        }
        if head.get(2..8) == Some(b"160000") {
            found.submodules.push(path);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_worktrees_is_read() {
        let text = "worktree /r\nHEAD 1111\nbranch refs/heads/main\n\nworktree /r/a b\nHEAD 2222\ndetached\nlocked why so\n\n\
                    worktree /x\nHEAD 0000\nbranch refs/heads/a/b\nprunable gone\n";
        let entry = |path: &str, head: Option<&str>, branch: Option<&str>| Entry {
            path: path.into(),
            head: head.map(str::to_owned),
            branch: branch.map(str::to_owned),
        };
        assert_eq!(
            entries(text),
            [
                entry("/r", Some("1111"), Some("main")),
                entry("/r/a b", Some("2222"), None),
                entry("/x", None, Some("a/b")),
            ]
        );
    }

    #[test]
    fn changes_are_counted() {
        let out = b" M a\0?? new\0A  b\0?? dir/\0";
        let found = changes(out, false);
        assert_eq!((found.changed, found.untracked), (2, 2));
        assert_eq!(changes(b"", false), Changes::default());
    }

    #[test]
    fn what_an_index_hides_is_found() {
        let line = |tag: &str, mode: &str, path: &str| {
            format!("{tag} {mode} 3b18e512dba79e4c8300dd08aeb37f8e728b8dad 0\t{path}\0")
        };
        let out = [
            line("H", "100644", "a"),
            line("h", "100644", "assumed"),
            line("S", "100644", "sparse"),
            line("S", "100644", "there"),
            line("s", "100644", "sparse too"),
            line("H", "160000", "sub"),
        ]
        .concat();
        let found = index(out.as_bytes(), |path| path == Path::new("there"));
        assert_eq!(found.hidden, 2);
        assert_eq!(found.submodules, [PathBuf::from("sub")]);
    }

    #[test]
    fn the_room_is_made_once_and_never_through_a_link() {
        let temp = tempfile::tempdir().unwrap();
        room(temp.path()).unwrap();
        let ignore = temp.path().join(".conductor/worktrees/.gitignore");
        fsx::write_atomic(&ignore, b"mine\n").unwrap();
        room(temp.path()).unwrap();
        assert_eq!(fsx::read_file_limited(&ignore, 99).unwrap(), b"mine\n");
        let other = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(temp.path(), other.path().join(".conductor")).unwrap();
        let refused = room(other.path()).unwrap_err();
        assert_eq!(refused.kind().exit_code(), 4);
    }
}
