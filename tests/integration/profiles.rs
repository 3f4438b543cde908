//! Profiles, and what a project may bring along.

use crate::support::{World, text};
use serde_json::{Value, json};
use std::fs;

const SCOUT: &str = "---\nname: scout\ndescription: Looks around in a project\nrole: worker\nprovider: demo\ntags: [maps]\n---\nYou look around.\n";

/// The names that `profile list` shows with this scope.
fn names(world: &World, scope: &str) -> Vec<String> {
    let list = world.run(["profile", "list"]).json();
    let of_scope = list
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["scope"] == scope)
        .cloned();
    of_scope.map(|entry| text(&entry["name"])).collect()
}

fn entry(world: &World, name: &str) -> Value {
    let list = world.run(["profile", "list"]).json();
    list.as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["name"] == name)
        .unwrap()
        .clone()
}

/// A world whose working directory is a project that brings a profile along.
fn project() -> World {
    let world = World::new();
    world.write("project/.conductor/agent-context/scout.md", SCOUT);
    world
}

#[test]
fn the_built_in_profiles_are_there_and_valid() {
    let world = World::without_tmux_server();
    let names = names(&world, "built-in");
    for name in [
        "conductor",
        "developer",
        "reviewer",
        "tester",
        "document_writer",
    ] {
        assert!(names.iter().any(|found| found == name), "{name}: {names:?}");
        assert_eq!(
            world.run(["profile", "validate", name]).ok(),
            "nothing is wrong\n"
        );
        let shown = world.run(["profile", "show", name]).json();
        assert_eq!(shown["name"], name);
        assert!(text(&shown["persona"]).len() > 200, "a profile worth using");
        world.run(["profile", "path", name]).fails(3);
    }
    assert!(!world.home().exists(), "looking makes no state");
}

#[test]
fn a_profile_is_created_checked_found_and_used() {
    let world = World::new();
    world.run(["profile", "create", "scout"]).ok();
    let path = text(&world.run(["profile", "path", "scout"]).json()["path"]);
    assert_eq!(
        path,
        world.at("state/agent-context/scout.md").to_string_lossy()
    );
    world.run(["profile", "create", "scout"]).fails(4);
    world.run(["profile", "validate", "scout"]).ok();
    fs::write(&path, SCOUT).unwrap();
    assert_eq!(
        world.run(["profile", "find", "maps"]).json()[0]["name"],
        "scout"
    );
    let session = world.run(["launch", "--profile", "scout"]).json();
    assert_eq!(
        (
            &session["terminals"][0]["provider"],
            &session["terminals"][0]["profile"]
        ),
        (&"demo".into(), &"scout".into())
    );
    // A copy of a built-in one takes its place.
    world
        .run(["profile", "create", "developer", "--from", "developer"])
        .ok();
    assert_eq!(
        world.run(["profile", "show", "developer"]).json()["scope"],
        "user"
    );
}

#[test]
fn keys_of_other_programs_are_shown_as_they_are_written() {
    let world = World::new();
    let text = "---\nname: odd\ndescription: x\nteam: core\nlimits: {cpu: 2}\n---\nbody\n";
    world.write("state/agent-context/odd.md", text);
    let shown = world.run(["profile", "show", "odd"]).json();
    assert_eq!(
        shown["other"],
        json!({"team": "core", "limits": {"cpu": 2}})
    );
    assert_eq!(shown["warnings"].as_array().unwrap().len(), 2, "{shown}");
    let text = world.run(["profile", "show", "odd"]).ok();
    assert!(
        text.contains("other: {\"team\":\"core\",\"limits\":{\"cpu\":2}}\n"),
        "{text}"
    );
    let plain = world.run(["profile", "show", "developer"]);
    assert!(!plain.ok().contains("other:"));
}

#[test]
fn without_an_editor_and_a_terminal_nothing_is_edited() {
    let world = World::new();
    world.run(["profile", "create", "mine"]).ok();
    let edit = ["profile", "edit", "mine"];
    let said = world.run(edit).without("VISUAL").without("EDITOR").fails(4);
    assert!(
        said.contains("`conductor-hook profile path mine`"),
        "{said}"
    );
    world.run(edit).without("VISUAL").env("EDITOR", "true").ok();
}

#[test]
fn a_broken_profile_is_named_with_its_line_and_not_started() {
    let world = World::new();
    world.run(["init"]).ok();
    let path = world.write(
        "state/agent-context/broken.md",
        "---\nname: broken\ndescription: [unclosed\n---\nx\n",
    );
    let done = world.run(["profile", "validate", "broken"]).done();
    assert_ne!(done.code, 0, "{done:?}");
    let by_path = world
        .run(["profile", "validate", &path.to_string_lossy()])
        .done();
    assert_eq!(by_path.code, done.code);
    assert_ne!(
        world
            .run(["launch", "-p", "demo", "--profile", "broken"])
            .done()
            .code,
        0
    );
    assert_eq!(world.run(["sessions", "--all"]).json(), json!([]));
    assert!(entry(&world, "broken")["problem"].is_string());
    fs::write(
        &path,
        "---\nname: broken\ndescription: fine\ncolour: blue\n---\nx\n",
    )
    .unwrap();
    assert!(
        world
            .run(["profile", "validate", "broken"])
            .ok()
            .contains("colour"),
        "an unknown key is a warning"
    );
}

#[test]
fn a_profile_is_installed_from_a_file_or_a_directory() {
    let world = World::without_tmux_server();
    let file = world.write("elsewhere/scout.md", SCOUT);
    let installed = world.run(["install", &file.to_string_lossy()]).json();
    assert_eq!(installed.as_array().unwrap().len(), 1, "{installed}");
    assert_eq!(names(&world, "user"), ["scout"]);
    world.run(["install", &file.to_string_lossy()]).fails(4);
    world
        .run(["install", &file.to_string_lossy(), "--force"])
        .ok();
    world
        .run(["install", &file.to_string_lossy(), "--name", "ranger"])
        .ok();
    assert_eq!(
        world.run(["profile", "show", "ranger"]).json()["name"],
        "ranger"
    );
    world.write("elsewhere/second.md", SCOUT.replace("scout", "second"));
    world
        .run([
            "install",
            &world.at("elsewhere").to_string_lossy(),
            "--force",
        ])
        .ok();
    assert!(names(&world, "user").contains(&"second".to_owned()));
    world.run(["install", "reviewer"]).ok();
    assert_eq!(
        world.run(["profile", "show", "reviewer"]).json()["scope"],
        "user"
    );
    world.run(["install", "/nowhere/x.md"]).fails(3);
    world.run(["install", "nobody"]).fails(3);
}

#[test]
fn what_a_project_brings_is_inert_until_a_person_trusts_it() {
    let world = project();
    let dir = world.at("project").to_string_lossy().into_owned();
    assert_eq!(entry(&world, "scout")["trusted"], false);
    let error = world
        .run(["launch", "-p", "demo", "--profile", "scout"])
        .done();
    assert!(
        [3, 4].contains(&error.code) && error.stderr.contains("trust"),
        "{error:?}"
    );
    assert_eq!(world.run(["sessions", "--all"]).json(), json!([]));
    // Nobody is there to say yes.
    world.run(["trust", &dir]).fails(4);
    world.run(["trust", &dir, "--json"]).fails(4);
    let shown = world.person(["trust", &dir, "--yes"]).ok();
    assert!(
        shown.contains("scout") && shown.contains("trusted 1 file"),
        "{shown}"
    );
    assert_eq!(entry(&world, "scout")["trusted"], true);
    world
        .run(["launch", "-p", "demo", "--profile", "scout"])
        .ok();
}

#[test]
fn a_changed_file_asks_again_and_trust_can_be_withdrawn() {
    let world = project();
    let dir = world.at("project").to_string_lossy().into_owned();
    world.person(["trust", &dir, "--yes"]).ok();
    let changed = world.write(
        "project/.conductor/agent-context/scout.md",
        SCOUT.replace("around", "away"),
    );
    assert_eq!(entry(&world, "scout")["trusted"], false);
    assert_ne!(
        world
            .run(["launch", "-p", "demo", "--profile", "scout"])
            .done()
            .code,
        0
    );
    fs::write(changed, SCOUT).unwrap();
    assert_eq!(
        entry(&world, "scout")["trusted"],
        true,
        "the very bytes that were trusted are trusted"
    );
    world.person(["untrust", &dir]).ok();
    assert_eq!(entry(&world, "scout")["trusted"], false);
    world.person(["untrust", &dir]).fails(3);
}

#[test]
fn agents_decide_nothing_about_trust() {
    let world = project();
    let dir = world.at("project").to_string_lossy().into_owned();
    let id = world.agent();
    world.run_in(&id, &["trust", &dir, "--yes"]).fails(4);
    world
        .shell(
            &id,
            &format!(
                "setsid -w env -u CONDUCTOR_TERMINAL_ID \"$CONDUCTOR_HOOK\" trust {dir} --yes"
            ),
        )
        .fails(4);
    assert_eq!(entry(&world, "scout")["trusted"], false);
    world.person(["trust", &dir, "--yes"]).ok();
    world.run_in(&id, &["untrust", &dir]).fails(4);
    assert_eq!(entry(&world, "scout")["trusted"], true);
}

#[test]
fn an_untrusted_profile_does_not_shadow_a_users() {
    let world = project();
    world.write(
        "state/agent-context/scout.md",
        SCOUT.replace("Looks around in a project", "The user's own"),
    );
    let shown = world.run(["profile", "show", "scout"]).json();
    assert_eq!(
        (&shown["scope"], &shown["description"]),
        (&"user".into(), &"The user's own".into())
    );
    world
        .person(["trust", &world.at("project").to_string_lossy(), "--yes"])
        .ok();
    assert_eq!(
        world.run(["profile", "show", "scout"]).json()["scope"],
        "project"
    );
}

#[test]
fn no_project_is_looked_for_above_the_repository() {
    let world = project();
    fs::create_dir_all(world.at("project/nested/.git")).unwrap();
    fs::create_dir_all(world.at("project/plain/deep")).unwrap();
    let seen = |dir: &str| {
        world
            .run(["profile", "list"])
            .cwd(world.at(dir))
            .ok()
            .contains("scout")
    };
    assert!(seen("project/plain/deep"), "found upwards");
    assert!(!seen("project/nested"), "another repository");
    assert!(!seen("user"), "elsewhere");
}
