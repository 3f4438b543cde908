//! The disk, as a policy looks at it.

use crate::domain::policy::Sight;
use crate::paths;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

/// Most names of a directory that are looked at.
const MAX_NAMES: usize = 5000;

/// The real disk, with the `PATH` of whoever asks.
pub struct Disk {
    path: Option<OsString>,
}

impl Disk {
    /// The disk with this process's own `PATH`.
    pub fn here() -> Self {
        Self {
            path: paths::env_os("PATH"),
        }
    }

    /// The disk with another `PATH`.
    pub fn with_path(path: impl Into<OsString>) -> Self {
        Self {
            path: Some(path.into()),
        }
    }
}

impl Sight for Disk {
    fn real(&self, path: &Path) -> Option<PathBuf> {
        if let Ok(real) = path.canonicalize() {
            return Some(real);
        }
        // The end of the path does not exist: what does is resolved, and the rest may not climb out of it.
        let mut missing = Vec::new();
        let mut at = path;
        loop {
            match at.components().next_back()? {
                Component::Normal(name) => missing.push(name),
                Component::CurDir => {}
                _ => return None,
            }
            at = at.parent()?;
            if let Ok(real) = at.canonicalize() {
                // A dangling link leads wherever somebody may put something.
                let first = missing.last()?;
                if real.join(first).symlink_metadata().is_ok() {
                    return None;
                }
                let tail = missing.iter().rev();
                return Some(tail.fold(real, |path, name| path.join(name)));
            }
        }
    }

    fn is_file(&self, path: &Path) -> bool {
        path.metadata().is_ok_and(|meta| meta.is_file())
    }

    fn is_dir(&self, path: &Path) -> bool {
        path.metadata().is_ok_and(|meta| meta.is_dir())
    }

    fn names(&self, dir: &Path) -> Option<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(dir).ok()? {
            names.push(entry.ok()?.file_name().into_string().ok()?);
            if names.len() > MAX_NAMES {
                return None;
            }
        }
        Some(names)
    }

    fn program(&self, name: &str, cwd: &Path) -> Option<PathBuf> {
        let executable = |path: &PathBuf| {
            let meta = path.metadata();
            meta.is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
        };
        std::env::split_paths(self.path.as_ref()?)
            .map(|dir| cwd.join(dir).join(name))
            .find(executable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_followed_and_what_is_missing_is_kept() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("dir")).unwrap();
        symlink("/etc", root.join("out")).unwrap();
        symlink("nowhere", root.join("dangling")).unwrap();
        let disk = Disk::with_path("");
        assert_eq!(disk.real(&root.join("dir/../dir")), Some(root.join("dir")));
        assert_eq!(
            disk.real(&root.join("out/passwd")),
            Some("/etc/passwd".into())
        );
        assert_eq!(
            disk.real(&root.join("new/file")),
            Some(root.join("new/file"))
        );
        assert_eq!(disk.real(&root.join("new/../../x")), None);
        assert_eq!(disk.real(&root.join("dangling")), None);
        assert_eq!(disk.real(&root.join("dangling/x")), None);
    }

    #[test]
    fn programs_are_found_as_a_shell_finds_them() {
        let temp = tempfile::tempdir().unwrap();
        let cwd = temp.path();
        crate::fsx::write_atomic_mode(&cwd.join("ls"), b"x", 0o755).unwrap();
        let found = |path: &str| Disk::with_path(path).program("ls", cwd);
        assert_eq!(found("/bin"), Some("/bin/ls".into()));
        assert_eq!(found(".:/bin"), Some(cwd.join("./ls")));
        assert_eq!(found(":/bin"), Some(cwd.join("ls")));
        assert_eq!(found("/nowhere"), None);
    }
}
