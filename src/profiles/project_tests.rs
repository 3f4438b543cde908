//! Where a project is found and what its hashes cover.

use super::*;
use std::os::unix::fs::symlink;

fn write(path: &Path, text: &str) {
    crate::fsx::create_private_dir(path.parent().unwrap()).unwrap();
    crate::fsx::write_atomic(path, text.as_bytes()).unwrap();
}

struct World {
    _temp: tempfile::TempDir,
    top: PathBuf,
    home: Home,
}

fn world() -> World {
    let temp = tempfile::tempdir().unwrap();
    let top = temp.path().canonicalize().unwrap();
    let home = Home::at(top.join("user/.conductor")).unwrap();
    crate::fsx::create_private_dir(home.root()).unwrap();
    World {
        _temp: temp,
        top,
        home,
    }
}

impl World {
    fn locate(&self, cwd: &str) -> Option<PathBuf> {
        let cwd = self.top.join(cwd);
        crate::fsx::create_private_dir(&cwd).unwrap();
        let user = self.top.join("user");
        Project::locate_below(&cwd, &self.home, Some(&user)).map(|project| project.root)
    }
}

#[test]
fn the_nearest_directory_wins_and_the_repository_and_home_are_the_ends() {
    let world = world();
    crate::fsx::create_private_dir(&world.top.join(DIR)).unwrap();
    assert_eq!(
        world.locate("user"),
        None,
        "the state directory is no project"
    );
    assert_eq!(
        world.locate("user/work"),
        None,
        "nor is what lies above home"
    );
    let repository = world.top.join("user/work/repo");
    write(&repository.join(".git"), "gitdir: elsewhere");
    crate::fsx::create_private_dir(&world.top.join("user/work").join(DIR)).unwrap();
    assert_eq!(
        world.locate("user/work/repo/src"),
        None,
        "nor what lies above the repository"
    );
    crate::fsx::create_private_dir(&repository.join(DIR)).unwrap();
    assert_eq!(world.locate("user/work/repo/src/a"), Some(repository));
    assert_eq!(
        world.locate("user/work/b"),
        Some(world.top.join("user/work"))
    );
    symlink(
        world.top.join(DIR),
        world.top.join("user/work/repo/src").join(DIR),
    )
    .unwrap();
    assert_ne!(
        world.locate("user/work/repo/src"),
        Some(world.top.join("user/work/repo/src"))
    );
}

#[test]
fn a_worktree_of_ours_is_an_end_too_whatever_its_agent_removes() {
    let world = world();
    let main = world.top.join("user/repo");
    crate::fsx::create_private_dir(&main.join(DIR)).unwrap();
    let below = "user/repo/.conductor/worktrees/0123abcd";
    assert_eq!(world.locate(&format!("{below}/src")), None);
    assert_eq!(world.locate(below), None);
    assert_eq!(
        world.locate("user/repo/.conductor/worktrees"),
        Some(main.clone())
    );
    let own = world.top.join(below);
    crate::fsx::create_private_dir(&own.join(DIR)).unwrap();
    assert_eq!(world.locate(&format!("{below}/src")), Some(own.clone()));
    let beside = |dir: &Path| Project::beside(dir, &world.home).map(|project| project.root);
    assert_eq!(beside(&own.join("src")), Some(main.clone()));
    assert_eq!(beside(&own), Some(main.clone()));
    assert_eq!(beside(&main), None);
}

#[test]
fn a_project_is_named_by_either_directory() {
    let world = world();
    let root = world.top.join("p");
    assert_eq!(Project::at(&root).unwrap_err().kind().exit_code(), 3);
    crate::fsx::create_private_dir(&root).unwrap();
    assert_eq!(Project::at(&root).unwrap_err().kind().exit_code(), 3);
    symlink("/tmp", root.join(DIR)).unwrap();
    assert_eq!(Project::at(&root).unwrap_err().kind().exit_code(), 4);
    std::fs::remove_file(root.join(DIR)).unwrap();
    crate::fsx::create_private_dir(&root.join(DIR)).unwrap();
    assert_eq!(Project::at(&root).unwrap().root(), root);
    assert_eq!(Project::at(&root.join(DIR)).unwrap().root(), root);
}

#[test]
fn hashes_cover_what_can_take_effect_and_nothing_else() {
    let world = world();
    let root = world.top.join("p");
    let dir = root.join(DIR);
    write(
        &dir.join("policy.toml"),
        "version = 1\n[[rule]]\nid = \"mine\"\ndecision = \"allow\"\nprogram = \"frob\"\n",
    );
    write(
        &dir.join("agent-context/dev.md"),
        "---\nname: dev\ndescription: \"d\\u202e\"\nmcpServers: {x: {command: rm}}\nenv: {A: b}\n---\nx\n",
    );
    write(&dir.join("agent-context/notes.txt"), "");
    write(
        &dir.join("flows/nightly.md"),
        "---\nschedule: \"@daily\"\nscript: ./run.sh\n---\n",
    );
    write(&dir.join("flows/run.sh"), "#!/bin/sh\n");
    write(&dir.join("other"), "");
    symlink("/etc/passwd", dir.join("agent-context/link.md")).unwrap();
    let project = Project::at(&root).unwrap();
    let held = contents(&project).unwrap();
    let paths: Vec<_> = held
        .files
        .iter()
        .map(|file| file.relative.to_str().unwrap())
        .collect();
    assert_eq!(
        paths,
        [
            "agent-context/dev.md",
            "flows/nightly.md",
            "flows/run.sh",
            "policy.toml"
        ]
    );
    assert_eq!(held.files[2].sha256, sha256(b"#!/bin/sh\n"));
    let shown = held.show();
    for part in [
        "starts the MCP server x: {\"command\":\"rm\"}",
        "sets: A=b",
        "script: ./run.sh",
        "mine: allow program frob",
        "link.md: not a regular file",
        "d⟨U+202E⟩",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    std::fs::remove_dir_all(dir.join("flows")).unwrap();
    symlink("/etc", dir.join("flows")).unwrap();
    assert!(
        contents(&project).is_err(),
        "a directory that is a link is not read"
    );
}

#[test]
fn a_project_that_is_too_large_is_refused() {
    let world = world();
    let root = world.top.join("p");
    let flows = root.join(DIR).join("flows");
    write(&flows.join("big"), &"x".repeat(MAX_FILE_BYTES + 1));
    let project = Project::at(&root).unwrap();
    assert!(
        contents(&project)
            .unwrap_err()
            .message()
            .contains("larger than")
    );
    std::fs::remove_file(flows.join("big")).unwrap();
    for number in 0..=MAX_FILES {
        std::os::unix::fs::OpenOptionsExt::mode(
            std::fs::OpenOptions::new().write(true).create(true),
            0o600,
        )
        .open(flows.join(number.to_string()))
        .unwrap();
    }
    assert!(
        contents(&project)
            .unwrap_err()
            .message()
            .contains("more than 500")
    );
}
