//! A git worktree of a terminal's own: where it lies, what its branch is called, and how a path in one is told from others by its text.

use super::ids::TerminalId;
use super::text::one_line;
use std::path::{Component, Path, PathBuf};

/// Where worktrees lie, below the root of the repository's main worktree.
pub const DIR: [&str; 2] = [".conductor", "worktrees"];

/// The worktree of a terminal, or what is left of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worktree {
    /// Root of the repository's main worktree.
    pub repository: PathBuf,
    /// Where it lies; `None` once it is removed.
    pub path: Option<PathBuf>,
    /// Its branch; `None` once that is deleted.
    pub branch: Option<String>,
    /// The commit that it was made from, in hexadecimal digits.
    pub base: String,
    /// Why it stays although its terminal has ended.
    pub kept: Option<String>,
}

impl Worktree {
    /// The worktree that terminal `id` is to have in the repository whose main worktree is `repository`.
    pub fn planned(repository: PathBuf, id: &TerminalId, base: String) -> Self {
        Self {
            path: Some(path_of(&repository, id)),
            branch: Some(branch_of(id)),
            repository,
            base,
            kept: None,
        }
    }

    /// Where it stays and why, in one sentence.
    pub fn stays(&self) -> String {
        let path = self
            .path
            .as_deref()
            .map(|path| one_line(&path.to_string_lossy()));
        let what = match (path, &self.branch) {
            (Some(path), Some(branch)) => {
                format!("the worktree {path} stays, with its branch {branch}")
            }
            (Some(path), None) => format!("the worktree {path} stays"),
            (None, Some(branch)) => format!("the branch {branch} stays"),
            (None, None) => "nothing stays".to_owned(),
        };
        let why = self.kept.as_deref().map(one_line);
        format!(
            "{what}: {}",
            why.as_deref().unwrap_or("nobody has looked at it yet")
        )
    }

    /// What there is of it, in one line; for a terminal that has ended also why.
    pub fn line(&self, alive: bool) -> String {
        match (&self.path, &self.branch) {
            (Some(path), Some(branch)) if alive => {
                format!(
                    "{}, on the branch {branch}",
                    one_line(&path.to_string_lossy())
                )
            }
            _ => self.stays(),
        }
    }

    /// The commands with which a person looks at it, takes its commits over, and drops it.
    pub fn commands(&self) -> Vec<String> {
        let main = self.repository.to_string_lossy();
        let path = self.path.as_deref().map(Path::to_string_lossy);
        let git = |dir: &str, words: &[&str]| {
            let all = ["git", "-C", dir].into_iter().chain(words.iter().copied());
            one_line(&shell_words::join(all))
        };
        let mut lines = Vec::new();
        let mut drop = Vec::new();
        if let Some(path) = &path {
            lines.push(format!("to look: {}", git(path, &["status"])));
            drop.push(git(&main, &["worktree", "remove", "--force", path]));
        }
        if let Some(branch) = &self.branch {
            lines.push(format!(
                "to take its commits over: {}",
                git(&main, &["merge", branch])
            ));
            drop.push(git(&main, &["branch", "-D", branch]));
        }
        if !drop.is_empty() {
            lines.push(format!("to drop it: {}", drop.join(" && ")));
        }
        lines
    }

    /// Whether anything of it is left.
    pub const fn is_there(&self) -> bool {
        self.path.is_some() || self.branch.is_some()
    }
}

/// Where the worktree of terminal `id` lies.
pub fn path_of(repository: &Path, id: &TerminalId) -> PathBuf {
    repository.join(DIR[0]).join(DIR[1]).join(id.as_str())
}

/// What the branch of terminal `id` is called.
pub fn branch_of(id: &TerminalId) -> String {
    format!("conductor/{id}")
}

/// A path in a worktree of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Root of the main worktree.
    pub main: PathBuf,
    /// The terminal whose worktree it is.
    pub id: TerminalId,
    /// The path below the root of the worktree.
    pub inside: PathBuf,
}

impl Place {
    /// Root of the worktree.
    pub fn root(&self) -> PathBuf {
        path_of(&self.main, &self.id)
    }

    /// The same path in the main worktree.
    pub fn counterpart(&self) -> PathBuf {
        if self.inside.as_os_str().is_empty() {
            self.main.clone()
        } else {
            self.main.join(&self.inside)
        }
    }
}

/// Where `path`, an absolute one, lies in a worktree of ours, by its text. Of several that lie in each other the outermost counts: what is
/// in a worktree is its agent's.
pub fn place(path: &Path) -> Option<Place> {
    let parts: Vec<Component<'_>> = path.components().collect();
    // Text alone cannot tell where that leads.
    if parts.contains(&Component::ParentDir) {
        return None;
    }
    let named = |part: &Component<'_>, name: &str| part.as_os_str() == name;
    let at = parts.windows(3).position(|three| {
        named(&three[0], DIR[0]) && named(&three[1], DIR[1]) && id_of(&three[2]).is_some()
    })?;
    let gather = |parts: &[Component<'_>]| parts.iter().collect::<PathBuf>();
    Some(Place {
        main: gather(parts.get(..at)?),
        id: id_of(parts.get(at + 2)?)?,
        inside: gather(parts.get(at + 3..)?),
    })
}

fn id_of(part: &Component<'_>) -> Option<TerminalId> {
    TerminalId::parse(part.as_os_str().to_str()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_tells_whose_worktree_it_is_in() {
        let found = place(Path::new("/r/.conductor/worktrees/0123abcd/src/x.rs")).unwrap();
        assert_eq!(
            (found.main.as_path(), found.id.as_str()),
            (Path::new("/r"), "0123abcd")
        );
        assert_eq!(found.root(), Path::new("/r/.conductor/worktrees/0123abcd"));
        assert_eq!(found.counterpart(), Path::new("/r/src/x.rs"));
        let root = place(Path::new("/r/.conductor/worktrees/0123abcd")).unwrap();
        assert_eq!(root.counterpart(), Path::new("/r"));
        for other in [
            "/r/.conductor/worktrees",
            "/r/.conductor/worktrees/.gitignore",
            "/r/.conductor/worktrees/0123ABCD/x",
            "/r/.conductor/worktrees/0123abc/x",
            "/r/worktrees/0123abcd",
            "/r/.conductor/other/0123abcd",
            "/r/.conductor/worktrees/0123abcd/../x",
        ] {
            assert_eq!(place(Path::new(other)), None, "{other}");
        }
    }

    #[test]
    fn a_person_is_told_where_it_stays_and_what_to_do() {
        let id = TerminalId::parse("0123abcd").unwrap();
        let mut worktree = Worktree::planned("/a b/r".into(), &id, String::new());
        worktree.kept = Some("because".into());
        assert_eq!(
            worktree.stays(),
            "the worktree /a b/r/.conductor/worktrees/0123abcd stays, with its branch conductor/0123abcd: because"
        );
        assert_eq!(
            worktree.commands()[1..],
            [
                "to take its commits over: git -C '/a b/r' merge conductor/0123abcd",
                "to drop it: git -C '/a b/r' worktree remove --force '/a b/r/.conductor/worktrees/0123abcd' && git -C '/a b/r' branch -D conductor/0123abcd",
            ]
        );
        worktree.path = None;
        assert_eq!(
            worktree.stays(),
            "the branch conductor/0123abcd stays: because"
        );
        assert_eq!(worktree.commands().len(), 2);
    }

    #[test]
    fn what_lies_in_a_worktree_is_none_of_its_own() {
        let inner = "/r/.conductor/worktrees/0123abcd/.conductor/worktrees/ffffffff/x";
        let found = place(Path::new(inner)).unwrap();
        assert_eq!(found.main, Path::new("/r"));
        assert_eq!(
            found.counterpart(),
            Path::new("/r/.conductor/worktrees/ffffffff/x")
        );
    }
}
