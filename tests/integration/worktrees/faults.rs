//! What a helper that was killed leaves behind is cleared away, and nothing else.

use super::{branches, gone, launch, repository};
use crate::support::{World, text};

#[test]
fn a_launch_may_die_at_every_step() {
    for point in ["worktree.planned", "worktree.added"] {
        let world = World::new();
        let dir = repository(&world);
        let words = ["launch", "-p", "demo", "--session", "work", "--worktree"];
        let killed = world
            .run(words)
            .cwd(&dir)
            .env("CONDUCTOR_FAILPOINT", point)
            .done();
        assert_eq!(killed.code, 137, "{point}: {killed:?}");
        let sessions = world.run(["sessions", "--all"]).json();
        let id = text(&sessions[0]["terminals"][0]["id"]);
        let path = dir.join(".conductor/worktrees").join(&id);
        assert_eq!(path.exists(), point == "worktree.added");
        // Nobody closes it: `recover` finds that it never started, and clears away.
        let later = (10 * 60 * 1000).to_string();
        world
            .run(["recover"])
            .env("CONDUCTOR_CLOCK_SKEW", &later)
            .ok();
        gone(&world, &dir, &id);
        assert_eq!(world.status(&id)["status"], "exited");
    }
    let world = World::new();
    let dir = repository(&world);
    let words = ["launch", "-p", "demo", "--session", "work", "--worktree"];
    let failed = world
        .run(words)
        .cwd(&dir)
        .env("CONDUCTOR_FAILPOINT", "worktree.add=error")
        .fails(1);
    assert!(failed.contains("worktree.add"), "{failed}");
    assert_eq!(branches(&world, &dir), "main");
    assert_eq!(
        world.tmux(["list-sessions", "-F", "#{session_name}"]),
        "home"
    );
}

#[test]
fn a_removal_may_die_at_every_step() {
    for point in ["worktree.looked", "worktree.removed", "worktree.deleted"] {
        let world = World::new();
        let dir = repository(&world);
        let id = text(&launch(&world, &dir, 0)[0]["id"]);
        let killed = world
            .run(["close", &id])
            .env("CONDUCTOR_FAILPOINT", point)
            .done();
        assert_eq!(killed.code, 137, "{point}: {killed:?}");
        assert_eq!(world.status(&id)["status"], "exited");
        world.run(["recover"]).ok();
        gone(&world, &dir, &id);
    }
}
