//! What was trusted in the main worktree, in one that belongs to an agent.

use super::{NAME, git, launch, repository};
use crate::support::{World, text};
use std::fs;

const SCOUT: &str = "---\nname: scout\ndescription: Looks around\nrole: worker\nprovider: demo\n---\nYou look around.\n";

#[test]
fn what_is_trusted_in_the_main_worktree_counts_for_the_same_bytes_only() {
    let world = World::new();
    let dir = repository(&world);
    let place = |file: &str| format!("{NAME}/.conductor/{file}");
    world.write(&place("agent-context/scout.md"), SCOUT);
    let rule = "version = 1\n[[rule]]\nid = \"no-frob\"\ndecision = \"deny\"\nprogram = \"frob\"\n[[rule]]\nid = \"fine\"\ndecision = \"allow\"\nprogram = \"frobnicate\"\n";
    world.write(&place("policy.toml"), rule);
    git(&world, &dir, &["add", "-A"]);
    git(&world, &dir, &["commit", "-q", "-m", "project"]);
    world.run(["init"]).ok();
    world
        .person(["trust", &dir.to_string_lossy(), "--yes"])
        .ok();
    let id = text(&launch(&world, &dir, 0)[0]["id"]);
    let path = dir.join(".conductor/worktrees").join(&id);
    let show = || world.run(["profile", "show", "scout"]).cwd(&path).done();
    let check = |command: &str| {
        world
            .run(["policy", "check", "--", command])
            .cwd(&path)
            .done()
            .code
    };
    assert_eq!(show().code, 0);
    assert_eq!((check("frob"), check("frobnicate x")), (4, 0));
    // What its agent changes counts for nothing, and takes nothing away.
    fs::write(
        path.join(".conductor/agent-context/scout.md"),
        SCOUT.replace("look", "reach"),
    )
    .unwrap();
    fs::write(
        path.join(".conductor/policy.toml"),
        rule.replace("deny", "allow"),
    )
    .unwrap();
    assert_ne!(show().code, 0);
    assert_eq!((check("frob"), check("frobnicate x")), (4, 11));
    fs::remove_dir_all(path.join(".conductor")).unwrap();
    fs::remove_file(path.join(".git")).unwrap();
    assert_eq!(
        show().code,
        3,
        "the main one's profiles are not found upwards"
    );
    assert_eq!((check("frob"), check("frobnicate x")), (4, 11));
}
