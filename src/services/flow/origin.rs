//! Whose a file is: what lies in a project's `.conductor/` came with the project, and does nothing before that is trusted.

use crate::domain::text::one_line;
use crate::error::{Failure, Result};
use crate::paths::Home;
use crate::profiles::project::{DIR, FLOWS};
use std::path::{Path, PathBuf};

fn shown(path: &Path) -> String {
    one_line(&path.to_string_lossy())
}

/// The root of the project in whose `.conductor/`, at whatever depth, the file `real` (without links) lies; the state directory is none.
/// `given` is its absolute path as somebody wrote it: one that leads into a `.conductor/` and out again by a link is refused, because what
/// it leads to is not what trust in the project shows.
pub(super) fn project_of(home: &Home, given: &Path, real: &Path) -> Result<Option<PathBuf>> {
    let state = home.root().canonicalize().ok();
    let is_project = |dir: &&Path| {
        dir.file_name().is_some_and(|name| name == DIR) && dir.canonicalize().ok() != state
    };
    for dir in given.ancestors().skip(1).filter(is_project) {
        let own = dir.symlink_metadata().is_ok_and(|meta| meta.is_dir())
            && dir.canonicalize().is_ok_and(|dir| real.starts_with(dir));
        if !own {
            return Err(Failure::refused(format!(
                "{} is reached by a link that leads out of {}",
                shown(given),
                shown(dir)
            ))
            .hint(format!(
                "put the file itself there, or name it where it lies: {}",
                shown(real)
            )));
        }
    }
    let dir = real.ancestors().skip(1).find(is_project);
    Ok(dir.and_then(Path::parent).map(Path::to_path_buf))
}

/// The failure of a file of the project at `root` that nobody has trusted.
pub(super) fn untrusted(path: &Path, root: &Path) -> Failure {
    let failure = Failure::refused(format!("{} is not trusted", shown(path))).hint(format!(
        "`conductor-hook trust {}` shows what the project holds",
        shown(root)
    ));
    if path.parent() == Some(&root.join(DIR).join(FLOWS)) {
        failure
    } else {
        failure.hint(format!(
            "trust reaches the files in {DIR}/{FLOWS} themselves: put it there"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fsx;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_file_belongs_to_the_project_that_it_came_with() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().canonicalize().unwrap().join(name);
        let make = |name: &str| {
            let path = at(name);
            fsx::create_private_dir(path.parent().unwrap()).unwrap();
            fsx::write_atomic(&path, b"x").unwrap();
        };
        for name in [
            "p/.conductor/flows/f.md",
            "p/.conductor/flows/deep/f.md",
            "p/f.md",
            "out/flows/f.md",
            "state/.conductor/flows/f.md",
        ] {
            make(name);
        }
        fsx::create_private_dir(&at("q/.conductor")).unwrap();
        fsx::create_private_dir(&at("r")).unwrap();
        symlink(at("p/f.md"), at("p/.conductor/flows/out.md")).unwrap();
        symlink(at("p/.conductor/flows/f.md"), at("in.md")).unwrap();
        symlink(at("out/flows"), at("q/.conductor/flows")).unwrap();
        symlink(at("out"), at("r/.conductor")).unwrap();
        symlink(at("p"), at("alias")).unwrap();
        let home = Home::at(at("state/.conductor")).unwrap();
        let found = |name: &str| {
            let given = at(name);
            project_of(&home, &given, &given.canonicalize().unwrap())
        };
        for (name, project) in [
            ("p/.conductor/flows/f.md", Some("p")),
            ("alias/.conductor/flows/f.md", Some("p")),
            ("p/.conductor/flows/deep/f.md", Some("p")),
            ("in.md", Some("p")),
            ("p/f.md", None),
            ("state/.conductor/flows/f.md", None),
        ] {
            assert_eq!(found(name).unwrap(), project.map(at), "{name}");
        }
        for name in [
            "p/.conductor/flows/out.md",
            "q/.conductor/flows/f.md",
            "r/.conductor/flows/f.md",
        ] {
            assert!(found(name).is_err(), "{name}");
        }
    }
}
