//! Where paths lead, and patterns for them.

use super::Policy;
use crate::domain::ids::TerminalId;
use crate::domain::shell::Word;
use crate::domain::worktree;
use std::path::{Component, Path, PathBuf};

/// What a ruling has to know of the disk. Every path is absolute.
pub trait Sight {
    /// The path without links; what does not exist at its end is kept. `None` when it cannot be found out.
    fn real(&self, path: &Path) -> Option<PathBuf>;
    /// Whether it is a regular file, links followed.
    fn is_file(&self, path: &Path) -> bool;
    /// Whether it is a directory, links followed.
    fn is_dir(&self, path: &Path) -> bool;
    /// The names in a directory; `None` when they cannot be read or are very many.
    fn names(&self, dir: &Path) -> Option<Vec<String>>;
    /// Where the program of this bare name is found by an agent that works in `cwd`.
    fn program(&self, name: &str, cwd: &Path) -> Option<PathBuf>;
}

/// `path` without `.` and `..`, by its text alone.
pub fn normal(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                clean.pop();
            }
            Component::CurDir => {}
            other => clean.push(other),
        }
    }
    clean
}

/// Where a command stands: everything that decides where its paths lead.
pub struct View<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// The disk.
    pub sight: &'a dyn Sight,
    /// The agent's working directory without links: reading is permitted below it.
    pub root: PathBuf,
    /// Where the command may stand; empty when that is not known.
    pub cwds: Vec<PathBuf>,
    /// The home directory, as named and without links.
    homes: Vec<PathBuf>,
    /// The state directory, as named and without links.
    states: Vec<PathBuf>,
    /// The terminal in whose own git worktree the working directory lies.
    worktree: Option<TerminalId>,
}

/// Most files that a pattern in a command is looked up for.
const MAX_NAMES: usize = 300;

impl<'a> View<'a> {
    /// The view of an agent that works in `root`, which has no links.
    pub fn new(policy: &'a Policy, sight: &'a dyn Sight, root: PathBuf) -> Self {
        let both = |dir: &Option<PathBuf>| {
            let mut found: Vec<PathBuf> = dir.iter().cloned().collect();
            let real = dir.as_deref().and_then(|dir| sight.real(dir));
            found.extend(real.filter(|real| Some(real) != dir.as_ref()));
            found
        };
        Self {
            homes: both(&policy.home),
            states: both(&policy.state),
            worktree: worktree::place(&root).map(|place| place.id),
            policy,
            sight,
            cwds: vec![root.clone()],
            root,
        }
    }
}

impl View<'_> {
    /// The absolute paths that `text` may name.
    pub fn absolute(&self, text: &str, tilde: bool) -> Vec<PathBuf> {
        if tilde && let Some(rest) = text.strip_prefix('~') {
            let home = self.policy.home.iter();
            return home
                .map(|home| home.join(rest.trim_start_matches('/')))
                .collect();
        }
        self.cwds.iter().map(|cwd| cwd.join(text)).collect()
    }

    /// Whether `text` leads to the working directory or below it, wherever the command stands.
    pub fn inside(&self, text: &str, tilde: bool) -> bool {
        let paths = self.absolute(text, tilde);
        !paths.is_empty() && paths.iter().all(|path| self.is_inside(path))
    }

    /// Whether an absolute path leads to the working directory or below it.
    pub fn is_inside(&self, path: &Path) -> bool {
        self.sight
            .real(path)
            .is_some_and(|real| real.starts_with(&self.root))
    }

    /// Whether all that an operand may become lies inside; `accept` may ask for more of each path.
    pub fn operand_inside(&self, word: &Word, accept: &dyn Fn(&Path) -> bool) -> bool {
        if word.dynamic || word.text.starts_with('@') {
            return false;
        }
        let fits = |text: &str| {
            let paths = self.absolute(text, word.tilde);
            let mut paths = paths.iter();
            !self.cwds.is_empty() && paths.all(|path| self.is_inside(path) && accept(path))
        };
        match &word.glob {
            None => word.text == "-" || fits(&word.text),
            Some(_) => self
                .expanded(word)
                .is_some_and(|texts| texts.iter().all(|text| fits(text)) && fits(&word.text)),
        }
    }

    /// The names that a pattern may become; more than a shell would take. `None` when that cannot be said.
    fn expanded(&self, word: &Word) -> Option<Vec<String>> {
        let glob = word.glob.as_ref()?;
        let pattern = word.text.get(glob.prefix.len()..)?;
        if word.tilde || pattern.contains('/') || pattern.contains("**") {
            return None;
        }
        let (dir, start) = match glob.prefix.rfind('/') {
            Some(at) => glob.prefix.split_at(at + 1),
            None => ("", glob.prefix.as_str()),
        };
        let start = start.to_lowercase();
        let end = glob.suffix.to_lowercase();
        let mut found = Vec::new();
        for cwd in &self.cwds {
            let at = cwd.join(dir);
            if !self.sight.is_dir(&at) {
                continue;
            }
            for name in self.sight.names(&at)? {
                let lower = name.to_lowercase();
                if lower.starts_with(&start) && lower.ends_with(&end) {
                    found.push(format!("{dir}{name}"));
                }
            }
        }
        let flag = found.iter().any(|text| text.starts_with('-'));
        (!flag && found.len() <= MAX_NAMES).then_some(found)
    }
}

/// A pattern for absolute paths: `*` and `?` stay within a component, `**` goes through them; `~/` is the home directory, `{state}` the
/// state directory; `**/x` is anywhere, any other is below the working directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern(String);

impl PathPattern {
    /// A pattern.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it matches `path`; `loose` takes upper and lower case for the same, as some disks do.
    pub fn matches(&self, path: &Path, view: &View<'_>, loose: bool) -> bool {
        let Some(text) = path.to_str() else {
            return loose;
        };
        let pattern = self.0.as_str();
        let below = |base: &Path, rest: &str| {
            // The base is no pattern, whatever signs are in it.
            path.strip_prefix(base).is_ok_and(|tail| {
                tail.to_str()
                    .map_or(loose, |tail| path_glob(rest, tail, loose))
            })
        };
        if let Some(rest) = pattern.strip_prefix("{state}") {
            let rest = rest.trim_start_matches('/');
            return view.states.iter().any(|state| below(state, rest));
        }
        if let Some(rest) = pattern.strip_prefix("~/") {
            return view.homes.iter().any(|home| below(home, rest));
        }
        // A worktree of ours lies below the `.conductor` of the main one; what is in it is taken for what it would be there.
        if pattern.starts_with("**/")
            && let Some(place) = worktree::place(path)
            && view.worktree.as_ref() == Some(&place.id)
        {
            let there = place.counterpart();
            return there.to_str().map_or(loose, |text| {
                path_glob(pattern, text.trim_start_matches('/'), loose)
            });
        }
        if pattern.starts_with('/') || pattern.starts_with("**/") {
            return path_glob(
                pattern.trim_start_matches('/'),
                text.trim_start_matches('/'),
                loose,
            );
        }
        below(&view.root, pattern)
    }

    /// The longest part of it that is the same in every path it matches; used to find such paths in text that is not understood.
    pub fn hint(&self) -> &str {
        let text = self
            .0
            .trim_start_matches("{state}")
            .trim_start_matches('~')
            .trim_start_matches("**");
        let parts = text.split(['*', '?']);
        parts
            .max_by_key(|part| part.len())
            .unwrap_or_default()
            .trim_end_matches('/')
    }
}

/// Whether the path `text` matches `pattern`, component by component; `**` is any number of them, at the end of a pattern none too.
/// Going back to the newest `**` alone is enough, so that no pattern of a repository takes long.
fn path_glob(pattern: &str, text: &str, loose: bool) -> bool {
    let patterns: Vec<&str> = pattern.split('/').collect();
    let parts: Vec<&str> = text.split('/').collect();
    let (mut p, mut t) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while let Some(part) = parts.get(t) {
        match patterns.get(p) {
            Some(&"**") if p + 1 == patterns.len() => return true,
            Some(&"**") => {
                back = Some((p, t));
                p += 1;
            }
            Some(head) if glob(head, part, loose) => {
                p += 1;
                t += 1;
            }
            _ => match &mut back {
                Some((stars, taken)) => {
                    *taken += 1;
                    t = *taken;
                    p = *stars + 1;
                }
                None => return false,
            },
        }
    }
    // `dir/**` is also the directory itself.
    matches!(patterns.get(p..), Some([] | ["**"]))
}

/// Whether `text` matches a pattern of `*` and `?`.
pub fn glob(pattern: &str, text: &str, loose: bool) -> bool {
    if !pattern.contains(['*', '?']) {
        return pattern == text || loose && pattern.eq_ignore_ascii_case(text);
    }
    let same = |a: char, b: char| a == b || loose && a.eq_ignore_ascii_case(&b);
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while let Some(c) = text.get(t) {
        match pattern.get(p) {
            Some('*') => {
                back = Some((p, t));
                p += 1;
            }
            Some(sign) if *sign == '?' || same(*sign, *c) => {
                p += 1;
                t += 1;
            }
            _ => match &mut back {
                Some((star, taken)) => {
                    *taken += 1;
                    t = *taken;
                    p = *star + 1;
                }
                None => return false,
            },
        }
    }
    pattern
        .get(p..)
        .unwrap_or_default()
        .iter()
        .all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_know_components() {
        for (pattern, text, wanted) in [
            ("a/*.rs", "a/b.rs", true),
            ("a/*.rs", "a/b/c.rs", false),
            ("a/**", "a/b/c", true),
            ("a/**", "a", true),
            ("a/**", "ab", false),
            ("**/.git/**", "home/u/p/.git/config", true),
            ("**/.git/**", ".git", true),
            ("**/x", "x/y", false),
            ("a/**/z", "a/b/c/z", true),
            ("a/**/z", "a/z", true),
            ("a/**/z", "a/b/z/c", false),
            ("**/a/**/a/*", "a/b/a/c", true),
            ("**/**/b/**", "x/b", true),
            ("**", "", true),
            ("a/**/z", "a", false),
        ] {
            assert_eq!(path_glob(pattern, text, false), wanted, "{pattern} {text}");
        }
        assert!(glob("*A?c", "xxabC", true));
        assert!(!glob("*A?c", "xxabC", false));
    }

    /// The same, said as it is meant.
    fn meant(pattern: &[String], parts: &[String]) -> bool {
        match (pattern, parts) {
            ([], []) => true,
            ([stars], _) if stars == "**" => true,
            ([stars, rest @ ..], _) if stars == "**" => {
                (0..parts.len()).any(|taken| meant(rest, &parts[taken..]))
            }
            ([head, rest @ ..], [part, tail @ ..]) => glob(head, part, false) && meant(rest, tail),
            _ => false,
        }
    }

    proptest::proptest! {
        #[test]
        fn a_pattern_matches_what_it_means(
            pattern in proptest::collection::vec("[ab]|\\*\\*|\\*|a\\*", 1..7),
            parts in proptest::collection::vec("[ab]{1,2}", 1..7),
        ) {
            let found = path_glob(&pattern.join("/"), &parts.join("/"), false);
            proptest::prop_assert_eq!(found, meant(&pattern, &parts), "{:?} {:?}", pattern, parts);
        }
    }

    #[test]
    fn no_pattern_takes_long() {
        let pattern = format!("{}x", "**/a/".repeat(30));
        let path = "a/".repeat(200);
        assert!(!path_glob(&pattern, path.trim_end_matches('/'), false));
        assert!(path_glob(&pattern, &format!("{path}x"), false));
    }

    #[test]
    fn paths_are_cleaned_by_text() {
        assert_eq!(normal(Path::new("/a/./b/../../../c")), Path::new("/c"));
    }
}
