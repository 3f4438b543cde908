//! Git worktrees of agents: made for them, kept while work in them could be lost, removed when it could not.

mod faults;
mod trust;

use crate::support::{Done, World, eventually, text};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// A name that a shell, a format of tmux or a careless program would trip over.
const NAME: &str = "it's a #(touch pwned) \"#{pid}\" $(id); repo";

/// A repository with two commits, a directory `sub`, and an identity.
fn repository(world: &World) -> PathBuf {
    let dir = world.at(NAME);
    fs::create_dir(&dir).unwrap();
    git(world, &dir, &["init", "-q", "-b", "main"]);
    git(world, &dir, &["config", "user.name", "Test"]);
    git(
        world,
        &dir,
        &["config", "user.email", "test@example.invalid"],
    );
    world.write(&format!("{NAME}/sub/file"), "one\n");
    world.write(&format!("{NAME}/.gitignore"), "*.log\n");
    git(world, &dir, &["add", "-A"]);
    git(world, &dir, &["commit", "-q", "-m", "one"]);
    git(world, &dir, &["commit", "-q", "--allow-empty", "-m", "two"]);
    dir.canonicalize().unwrap()
}

fn try_git(world: &World, dir: &Path, words: &[&str]) -> Done {
    let mut command = world.command("git");
    command.current_dir(dir).args(words);
    let out = command.output().unwrap();
    Done {
        code: out.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&out.stdout).trim_end().to_owned(),
        stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
    }
}

#[track_caller]
fn git(world: &World, dir: &Path, words: &[&str]) -> String {
    try_git(world, dir, words).ok()
}

/// Starts a session in `dir` with a worktree for each agent; their records.
#[track_caller]
fn launch(world: &World, dir: &Path, workers: usize) -> Vec<Value> {
    let mut words = vec!["launch", "-p", "demo", "--session", "work", "--worktree"];
    for _ in 0..workers {
        words.extend(["--with-worker", "developer"]);
    }
    let launched = world.run(words).cwd(dir).json();
    let terminals = launched["terminals"].as_array().unwrap().clone();
    for terminal in &terminals {
        world.wait(&text(&terminal["id"]), "idle");
    }
    terminals
}

/// One more agent in `work`, with a worktree: its id and where that lies.
#[track_caller]
fn worker(world: &World, dir: &Path) -> (String, PathBuf) {
    let made = world
        .run(["worker", "work", "-p", "demo", "--worktree"])
        .cwd(dir)
        .json();
    let id = text(&made["id"]);
    world.wait(&id, "idle");
    (id, PathBuf::from(text(&made["worktree"])))
}

fn branches(world: &World, dir: &Path) -> String {
    git(world, dir, &["branch", "--format=%(refname:short)"])
}

/// Nothing of the terminal's worktree is left, neither for git nor on the disk.
#[track_caller]
fn gone(world: &World, dir: &Path, id: &str) {
    let place = dir.join(".conductor/worktrees").join(id);
    assert!(!place.exists(), "{}", place.display());
    let list = git(world, dir, &["worktree", "list", "--porcelain"]);
    assert!(!list.contains(id), "{list}");
    assert!(!branches(world, dir).contains(id));
    let row = world.status(id);
    for field in ["worktree", "branch", "worktree_kept"] {
        assert_eq!(row[field], Value::Null, "{row}");
    }
}

/// Closes it; the worktree stays for a reason that holds these words, and people are told.
#[track_caller]
fn stays(world: &World, id: &str, path: &Path, why: &str) {
    let closed = world.run(["close", id]).json();
    let reason = closed["worktree_kept"].as_str().unwrap_or_default();
    assert!(reason.contains(why), "{why}: {closed}");
    assert_eq!(closed["worktree"], path.to_string_lossy().as_ref());
    assert!(path.is_dir());
    let told = world.run(["status", id]).ok();
    assert!(told.contains(&*path.to_string_lossy()), "{told}");
    assert!(told.contains("to take its commits over: git -C"), "{told}");
}

#[test]
fn each_agent_of_a_launch_gets_a_worktree_and_a_branch_of_its_own() {
    let world = World::new();
    let dir = repository(&world);
    let head = git(&world, &dir, &["rev-parse", "HEAD"]);
    let terminals = launch(&world, &dir.join("sub"), 1);
    assert_eq!(terminals.len(), 2);
    for terminal in &terminals {
        let id = text(&terminal["id"]);
        let path = dir.join(".conductor/worktrees").join(&id);
        assert_eq!(terminal["worktree"], path.to_string_lossy().as_ref());
        assert_eq!(terminal["branch"], format!("conductor/{id}").as_str());
        let sub = path.join("sub");
        assert_eq!(terminal["cwd"], sub.to_string_lossy().as_ref());
        assert_eq!(
            git(&world, &path, &["symbolic-ref", "HEAD"]),
            format!("refs/heads/conductor/{id}")
        );
        assert_eq!(git(&world, &path, &["rev-parse", "HEAD"]), head);
        let answer = world.ask(&id, "RUN pwd");
        assert!(answer.contains(&*sub.to_string_lossy()), "{answer}");
        let explained = world.run(["explain", &id]).ok();
        assert!(
            explained.contains(&format!("on the branch conductor/{id}")),
            "{explained}"
        );
        let told = world.run(["status", &id]).ok();
        assert!(
            told.contains(&format!("on the branch conductor/{id}")),
            "{told}"
        );
    }
    assert_eq!(git(&world, &dir, &["status", "--porcelain"]), "");
    assert!(!world.at("pwned").exists() && !dir.join("pwned").exists());
    let ids: Vec<String> = terminals.iter().map(|t| text(&t["id"])).collect();
    let doctor = world.run(["doctor"]).done().stdout;
    assert!(doctor.contains("worktrees: 2 in use"), "{doctor}");
    // The supervisor's has work in it, and people are told with the rest.
    let path = dir.join(".conductor/worktrees").join(&ids[0]);
    fs::write(path.join("new"), "").unwrap();
    let told = world.run(["shutdown", "--session", "work"]).ok();
    assert!(told.contains(&format!("ended {}", ids[1])), "{told}");
    assert!(
        told.contains(" stays, with its branch") && told.contains("untracked files: 1"),
        "{told}"
    );
    fs::remove_file(path.join("new")).unwrap();
    world.run(["close", &ids[0]]).ok();
    for id in &ids {
        gone(&world, &dir, id);
    }
    assert_eq!(branches(&world, &dir), "main");
}

#[test]
fn an_agent_commits_in_its_worktree_without_being_asked() {
    let world = World::new();
    let dir = repository(&world);
    let terminal = &launch(&world, &dir, 0)[0];
    let id = text(&terminal["id"]);
    let path = PathBuf::from(text(&terminal["worktree"]));
    world.write(&format!("{NAME}/.conductor/worktrees/{id}/made"), "x");
    let sent = world
        .run([
            "send",
            &id,
            "--wait",
            "30",
            "-m",
            "RUN git add made && git commit -m 'made it'",
        ])
        .json();
    assert_eq!(sent["status"], "submitted");
    world.wait(&id, "idle");
    assert_eq!(world.pending().len(), 0, "the gate lets it pass");
    assert_eq!(git(&world, &path, &["log", "-1", "--format=%s"]), "made it");
    let check = |words: &[&str]| {
        world
            .run([&["policy", "check"], words].concat())
            .cwd(&path)
            .done()
    };
    assert_eq!(check(&["--", "git commit -m x"]).code, 0);
    assert_eq!(
        check(&["--tool", "Write", "--", "sub/x"]).code,
        11,
        "an edit of its own"
    );
    assert_eq!(
        check(&["--tool", "Write", "--", ".conductor/policy.toml"]).code,
        10
    );
    // Not merged: it stays. Merged: it goes.
    stays(&world, &id, &path, "commits that no other branch has: 1");
    git(&world, &dir, &["merge", "-q", &format!("conductor/{id}")]);
    world.run(["close", &id]).ok();
    gone(&world, &dir, &id);
    assert_eq!(git(&world, &dir, &["log", "-1", "--format=%s"]), "made it");
}

/// What is done in a worktree.
type Step<'a> = &'a dyn Fn(&Path);

#[test]
fn what_could_be_lost_stays_until_it_cannot() {
    let world = World::new();
    let dir = repository(&world);
    launch(&world, &dir, 0);
    let run = |dir: &Path, words: &[&str]| git(&world, dir, words);
    let conflict = |path: &Path| {
        fs::write(path.join("sub/file"), "theirs\n").unwrap();
        run(path, &["commit", "-q", "-am", "theirs"]);
        run(path, &["checkout", "-q", "-b", "side", "HEAD~1"]);
        fs::write(path.join("sub/file"), "ours\n").unwrap();
        run(path, &["commit", "-q", "-am", "ours"]);
    };
    let cases: [(&str, Step<'_>, Step<'_>); 8] = [
        (
            "changed files without a commit: 1",
            &|path| fs::write(path.join("sub/file"), "changed").unwrap(),
            &|path| drop(run(path, &["checkout", "-q", "--", "."])),
        ),
        (
            "untracked files: 1",
            &|path| fs::write(path.join("new"), "").unwrap(),
            &|path| fs::remove_file(path.join("new")).unwrap(),
        ),
        (
            "commits that no other branch has: 1",
            &|path| {
                run(path, &["checkout", "-q", "--detach"]);
                run(path, &["commit", "-q", "--allow-empty", "-m", "loose"]);
            },
            &|path| drop(run(path, &["tag", "kept"])),
        ),
        (
            "a rebase is in progress",
            &|path| {
                conflict(path);
                let name = format!("conductor/{}", path.file_name().unwrap().to_string_lossy());
                assert_ne!(try_git(&world, path, &["rebase", &name]).code, 0);
            },
            &|path| {
                run(path, &["rebase", "--abort"]);
                let name = format!("conductor/{}", path.file_name().unwrap().to_string_lossy());
                run(path, &["update-ref", "refs/remotes/origin/pushed", &name]);
            },
        ),
        (
            "it is locked: on a stick",
            &|path| {
                let path = path.to_string_lossy();
                run(&dir, &["worktree", "lock", "--reason", "on a stick", &path]);
            },
            &|path| drop(run(&dir, &["worktree", "unlock", &path.to_string_lossy()])),
        ),
        (
            "told not to show: 1",
            &|path| {
                run(path, &["update-index", "--assume-unchanged", "sub/file"]);
                fs::write(path.join("sub/file"), "hidden").unwrap();
            },
            &|path| {
                run(path, &["update-index", "--no-assume-unchanged", "sub/file"]);
                run(path, &["checkout", "-q", "--", "."]);
            },
        ),
        (
            "refs that only it has: 1",
            &|path| drop(run(path, &["update-ref", "refs/worktree/mine", "HEAD"])),
            &|path| drop(run(path, &["update-ref", "-d", "refs/worktree/mine"])),
        ),
        (
            "a merge is in progress",
            &|path| {
                run(&dir, &["checkout", "-q", "-b", "other"]);
                run(&dir, &["commit", "-q", "--allow-empty", "-m", "other"]);
                run(&dir, &["checkout", "-q", "main"]);
                run(path, &["merge", "-q", "--no-ff", "--no-commit", "other"]);
            },
            &|path| drop(run(path, &["merge", "--abort"])),
        ),
    ];
    for (why, spoil, mend) in cases {
        let (id, path) = worker(&world, &dir);
        fs::write(path.join("build.log"), "ignored files go").unwrap();
        spoil(&path);
        stays(&world, &id, &path, why);
        mend(&path);
        world.run(["close", &id]).ok();
        gone(&world, &dir, &id);
    }
    let kept = branches(&world, &dir);
    assert!(kept.contains("side") && kept.contains("other"), "{kept}");
    // What a person does in there does not end under them.
    let (id, path) = worker(&world, &dir);
    let mut shell = world
        .command("sleep")
        .arg("60")
        .current_dir(&path)
        .spawn()
        .unwrap();
    stays(&world, &id, &path, "(sleep) works in it");
    shell.kill().unwrap();
    shell.wait().unwrap();
    world.run(["close", &id]).ok();
    gone(&world, &dir, &id);
}

#[test]
fn two_that_share_a_commit_do_not_take_each_other_for_its_safe_place() {
    let world = World::new();
    let dir = repository(&world);
    launch(&world, &dir, 0);
    let (one, path) = worker(&world, &dir);
    git(
        &world,
        &path,
        &["commit", "-q", "--allow-empty", "-m", "shared"],
    );
    let (two, other) = worker(&world, &dir);
    git(
        &world,
        &other,
        &["reset", "-q", "--hard", &format!("conductor/{one}")],
    );
    let closing: Vec<_> = [&one, &two]
        .map(|id| world.run(["close", id]).start())
        .into();
    for running in closing {
        running.done().ok();
    }
    let left = branches(&world, &dir);
    let found = [&one, &two]
        .iter()
        .filter(|id| left.contains(id.as_str()))
        .count();
    assert_eq!(found, 1, "{left}");
    assert_eq!(
        git(
            &world,
            &dir,
            &["log", "--branches", "--format=%s", "--grep=shared"]
        ),
        "shared"
    );
}

#[test]
fn work_that_a_nested_worktree_began_at_is_never_lost() {
    let world = World::new();
    let dir = repository(&world);
    launch(&world, &dir, 0);
    let (one, path) = worker(&world, &dir);
    git(
        &world,
        &path,
        &["commit", "-q", "--allow-empty", "-m", "not merged"],
    );
    let (two, _) = worker(&world, &path);
    for id in [&one, &two] {
        world.run(["close", id]).ok();
    }
    let left = git(
        &world,
        &dir,
        &["log", "--branches", "--format=%s", "--grep=not merged"],
    );
    assert_eq!(left, "not merged", "{}", branches(&world, &dir));
}

#[test]
fn a_branch_that_is_not_only_its_own_stays() {
    let world = World::new();
    let dir = repository(&world);
    launch(&world, &dir, 0);
    // A ref of that name that leads to another branch: deleting it must not take that one with it.
    let (id, path) = worker(&world, &dir);
    let name = format!("refs/heads/conductor/{id}");
    git(&world, &path, &["checkout", "-q", "--detach"]);
    git(&world, &dir, &["symbolic-ref", &name, "refs/heads/main"]);
    world.run(["close", &id]).ok();
    assert!(branches(&world, &dir).contains("main"));
    assert!(!path.exists());
    // Somebody has it checked out elsewhere.
    let (id, path) = worker(&world, &dir);
    let branch = format!("conductor/{id}");
    git(&world, &path, &["checkout", "-q", "--detach"]);
    git(&world, &dir, &["checkout", "-q", &branch]);
    let closed = world.run(["close", &id]).json();
    assert!(
        text(&closed["worktree_kept"]).contains("checked out in"),
        "{closed}"
    );
    assert_eq!(
        (&closed["worktree"], &closed["branch"]),
        (&Value::Null, &branch.as_str().into())
    );
    git(&world, &dir, &["checkout", "-q", "main"]);
    world.run(["close", &id]).ok();
    gone(&world, &dir, &id);
}

#[test]
fn where_there_can_be_none_nothing_is_made() {
    let world = World::new();
    let dir = repository(&world);
    git(
        &world,
        &world.at("bin"),
        &["init", "-q", "--bare", "../bare"],
    );
    git(&world, &world.at("bin"), &["init", "-q", "../empty"]);
    git(&world, &world.at("bin"), &["init", "-q", "../linked"]);
    let linked = world.at("linked");
    for words in [
        ["config", "user.name", "t"],
        ["config", "user.email", "t@x"],
    ] {
        git(&world, &linked, &words);
    }
    git(
        &world,
        &linked,
        &["commit", "-q", "--allow-empty", "-m", "x"],
    );
    std::os::unix::fs::symlink(world.at("user"), linked.join(".conductor")).unwrap();
    let words = ["launch", "-p", "demo", "--session", "work", "--worktree"];
    for (place, why) in [
        (world.at("project"), "lies in no git repository"),
        (world.at("bare"), "is bare"),
        (world.at("empty"), "has no commit yet"),
        (dir.join(".git"), "lies in no worktree"),
        (linked, "it is no directory"),
    ] {
        let told = world.run(words).cwd(&place).fails(4);
        assert!(told.contains(why) && told.contains("hint:"), "{told}");
    }
    let told = world
        .run(words)
        .cwd(&dir)
        .env("PATH", world.at("tmux"))
        .fails(3);
    assert!(told.contains("git was not found"), "{told}");
    assert_eq!(
        world.tmux(["list-sessions", "-F", "#{session_name}"]),
        "home"
    );
    assert!(!world.at("user/worktrees").exists());
    assert_eq!(world.run(["sessions", "--all"]).json(), json!([]));
    // What the caller's environment says about repositories is about another one.
    let made = world
        .run(words)
        .cwd(dir.join("sub"))
        .env("GIT_DIR", world.at("bare"))
        .env("GIT_INDEX_FILE", "/nowhere")
        .json();
    assert!(text(&made["terminals"][0]["worktree"]).starts_with(&*dir.to_string_lossy()));
}

#[test]
fn a_worktree_of_a_worktree_lies_beside_it() {
    let world = World::new();
    let dir = repository(&world);
    let first = &launch(&world, &dir, 0)[0];
    let path = PathBuf::from(text(&first["worktree"]));
    git(
        &world,
        &path,
        &["commit", "-q", "--allow-empty", "-m", "three"],
    );
    let (id, second) = worker(&world, &path);
    assert_eq!(second, dir.join(".conductor/worktrees").join(&id));
    assert_eq!(git(&world, &second, &["log", "-1", "--format=%s"]), "three");
    world.run(["close", &id]).ok();
    gone(&world, &dir, &id);
}

#[test]
fn nothing_of_the_repository_runs() {
    let world = World::new();
    let dir = repository(&world);
    for hook in [
        "post-checkout",
        "reference-transaction",
        "post-index-change",
    ] {
        world.script(
            &format!("{NAME}/.git/hooks/{hook}"),
            &format!("touch '{}'", world.at("ran").display()),
        );
    }
    let watch = world.script(
        "watch",
        &format!("touch '{}'; echo /", world.at("ran").display()),
    );
    git(
        &world,
        &dir,
        &["config", "core.fsmonitor", &watch.to_string_lossy()],
    );
    let id = text(&launch(&world, &dir, 0)[0]["id"]);
    world.run(["close", &id]).ok();
    assert!(!world.at("ran").exists());
    gone(&world, &dir, &id);
}

#[test]
fn a_handed_over_task_may_have_a_worktree() {
    let world = World::new();
    let dir = repository(&world);
    let launched = world
        .run(["launch", "-p", "demo", "--session", "work"])
        .cwd(&dir)
        .json();
    let supervisor = text(&launched["terminals"][0]["id"]);
    world.wait(&supervisor, "idle");
    let task = |message: &str| json!({"agent_profile": "developer", "message": message, "use_worktree": true});
    let clean = world
        .mcp(&supervisor, "handoff", &task("SAY nothing to do"))
        .unwrap();
    assert_eq!(
        (&clean["status"], &clean["worktree"], &clean["branch"]),
        (&"done".into(), &Value::Null, &Value::Null)
    );
    assert!(text(&clean["message"]).contains("was removed"), "{clean}");
    gone(&world, &dir, &text(&clean["terminal_id"]));

    let work = "RUN git commit --allow-empty -m work";
    let done = world.mcp(&supervisor, "handoff", &task(work)).unwrap();
    let id = text(&done["terminal_id"]);
    let branch = format!("conductor/{id}");
    assert_eq!(
        (&done["status"], &done["branch"]),
        (&"done".into(), &branch.as_str().into()),
        "{done}"
    );
    let said = text(&done["message"]);
    assert!(
        said.contains("was closed") && said.contains(&format!("git merge {branch}")),
        "{said}"
    );
    assert!(Path::new(&text(&done["worktree"])).is_dir());
    git(&world, &dir, &["merge", "-q", &branch]);
    let closed = world
        .mcp(&supervisor, "close_terminal", &json!({"terminal_id": id}))
        .unwrap();
    assert_eq!(closed["worktree"], Value::Null, "{closed}");
    gone(&world, &dir, &id);

    let assigned = world
        .mcp(&supervisor, "assign", &task("SAY hello"))
        .unwrap();
    let id = text(&assigned["terminal_id"]);
    assert_eq!(assigned["branch"], format!("conductor/{id}").as_str());
    assert!(
        text(&assigned["message"]).contains("merge that branch"),
        "{assigned}"
    );
    world.wait(&id, "idle");
    // Without the word the worker works beside its caller.
    let plain = world
        .mcp(
            &supervisor,
            "assign",
            &json!({"agent_profile": "developer", "message": "SAY x"}),
        )
        .unwrap();
    assert_eq!(
        (&plain["worktree"], &plain["branch"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(
        world.status(&text(&plain["terminal_id"]))["cwd"],
        dir.to_string_lossy().as_ref()
    );
}

#[test]
fn an_agent_that_ends_by_itself_leaves_no_empty_worktree() {
    let world = World::new();
    let dir = repository(&world);
    launch(&world, &dir, 0);
    for end in ["EXIT", "CRASH"] {
        let (id, path) = worker(&world, &dir);
        world.send(&id, end);
        world.wait(&id, "exited");
        eventually("its worktree is removed", || (!path.exists()).then_some(()));
        eventually("the row knows", || {
            (world.status(&id)["branch"] == Value::Null).then_some(())
        });
        gone(&world, &dir, &id);
    }
}

#[test]
fn a_resumed_agent_is_back_in_its_worktree() {
    let world = World::new();
    let dir = repository(&world);
    launch(&world, &dir, 0);
    let (id, path) = worker(&world, &dir.join("sub"));
    fs::write(path.join("new"), "work").unwrap();
    stays(&world, &id, &path, "untracked");
    let resumed = world.run(["resume", &id]).json();
    assert_eq!(resumed["cwd"], path.join("sub").to_string_lossy().as_ref());
    assert_eq!(resumed["worktree_kept"], Value::Null);
    world.wait(&id, "idle");
    git(&world, &path, &["add", "-A"]);
    git(&world, &path, &["commit", "-q", "-m", "work"]);
    stays(&world, &id, &path, "commits");
    // Its directory is removed by hand, its branch is there: it is made again.
    fs::remove_dir_all(&path).unwrap();
    let resumed = world.run(["resume", &id]).json();
    assert_eq!(resumed["worktree"], path.to_string_lossy().as_ref());
    world.wait(&id, "idle");
    assert_eq!(fs::read_to_string(path.join("new")).unwrap(), "work");
    stays(&world, &id, &path, "commits");
    git(&world, &dir, &["merge", "-q", &format!("conductor/{id}")]);
    world.run(["close", &id]).ok();
    gone(&world, &dir, &id);
    let told = world.run(["resume", &id]).fails(4);
    assert!(
        told.contains("so is its branch") && told.contains("hint:"),
        "{told}"
    );
}

#[test]
fn what_a_person_removed_by_hand_is_mended() {
    let world = World::new();
    let dir = repository(&world);
    launch(&world, &dir, 0);
    let (id, path) = worker(&world, &dir);
    let (kept, other) = worker(&world, &dir);
    git(
        &world,
        &other,
        &["commit", "-q", "--allow-empty", "-m", "work"],
    );
    fs::remove_dir_all(&path).unwrap();
    fs::remove_dir_all(&other).unwrap();
    world.run(["close", &id]).ok();
    gone(&world, &dir, &id);
    let list = git(&world, &dir, &["worktree", "list"]);
    assert!(
        list.contains(&kept),
        "only its own entry was pruned: {list}"
    );
    let closed = world.run(["close", &kept]).json();
    assert!(
        text(&closed["worktree_kept"]).contains("commits"),
        "{closed}"
    );
    assert!(branches(&world, &dir).contains(&kept));
    git(&world, &dir, &["worktree", "prune"]);
    git(
        &world,
        &dir,
        &["branch", "-q", "-D", &format!("conductor/{kept}")],
    );
    world.run(["close", &kept]).ok();
    gone(&world, &dir, &kept);
}

#[test]
fn doctor_names_what_stays_and_what_belongs_to_nobody() {
    let world = World::new();
    let dir = repository(&world);
    launch(&world, &dir, 0);
    let (id, path) = worker(&world, &dir);
    fs::write(path.join("new"), "").unwrap();
    stays(&world, &id, &path, "untracked");
    let stranger = dir.join(".conductor/worktrees/ffffffff");
    fs::create_dir(&stranger).unwrap();
    let findings = world.run(["doctor", "--json"]).done().json();
    let found: Vec<&Value> = findings
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["what"] == "worktrees")
        .collect();
    assert_eq!(found.len(), 2, "{found:?}");
    let kept = text(&found[0]["found"]);
    for part in [
        &id,
        &*path.to_string_lossy(),
        &format!("conductor/{id}"),
        "untracked files: 1",
    ] {
        assert!(kept.contains(part), "{kept}");
    }
    assert!(
        text(&found[1]["found"]).contains("ffffffff belongs to no terminal"),
        "{found:?}"
    );
}
