//! Which profile wins, and what a bad one says.

use super::*;
use crate::profiles::project::DIR;
use proptest::prelude::*;
use std::os::unix::fs::symlink;

struct World {
    _temp: tempfile::TempDir,
    top: PathBuf,
    home: Home,
}

fn world() -> World {
    let temp = tempfile::tempdir().unwrap();
    let top = temp.path().canonicalize().unwrap();
    let home = Home::at(top.join("state")).unwrap();
    crate::fsx::create_private_dir(&home.profiles()).unwrap();
    crate::fsx::create_private_dir(&top.join("p").join(DIR).join("agent-context")).unwrap();
    World {
        _temp: temp,
        top,
        home,
    }
}

impl World {
    fn user(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home.profiles().join(format!("{name}.md"));
        crate::fsx::write_atomic(&path, text.as_bytes()).unwrap();
        path
    }

    fn project(&self, name: &str, text: &str) {
        let dir = self.top.join("p").join(DIR).join("agent-context");
        crate::fsx::write_atomic(&dir.join(format!("{name}.md")), text.as_bytes()).unwrap();
    }

    fn with<T>(&self, trusted: bool, act: impl FnOnce(&Catalogue<'_>) -> T) -> T {
        let trust = |path: &Path, hash: &str| {
            assert!(path.starts_with(&self.top) && hash.len() == 64);
            trusted
        };
        act(&Catalogue::open(&self.home, &self.top.join("p"), &trust))
    }

    fn load(&self, text: &str) -> Result<Loaded> {
        self.with(true, |catalogue| catalogue.load(&name(text)))
    }
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn text(name: &str, more: &str, body: &str) -> String {
    format!("---\nname: {name}\ndescription: about {name}\n{more}\n---\n{body}\n")
}

#[test]
fn the_trusted_project_wins_then_the_user_then_the_built_in_one() {
    let world = world();
    let scope = |trusted| {
        world.with(trusted, |catalogue| {
            catalogue.load(&name("developer")).unwrap().scope
        })
    };
    assert_eq!(scope(true), Scope::BuiltIn);
    world.user("developer", &text("developer", "", "user"));
    assert_eq!(scope(true), Scope::User);
    world.project("developer", &text("developer", "", "project"));
    assert_eq!(scope(true), Scope::Project);
    assert_eq!(scope(false), Scope::User);
    world.with(true, |catalogue| {
        let list = catalogue.list();
        let entries: Vec<_> = list.iter().filter(|e| e.name == "developer").collect();
        let shadowed: Vec<_> = entries.iter().map(|e| (e.scope, e.shadowed)).collect();
        assert_eq!(
            shadowed,
            [
                (Scope::Project, false),
                (Scope::User, true),
                (Scope::BuiltIn, true)
            ]
        );
        assert_eq!(list.len(), 7);
    });
}

#[test]
fn nothing_of_an_untrusted_profile_is_shown_or_used() {
    let world = world();
    world.project("secret", &text("secret", "tags: [evil]", "evil words"));
    world.project("developer", &text("developer", "", "evil words"));
    world.with(false, |catalogue| {
        let failure = catalogue.load(&name("secret")).unwrap_err();
        assert_eq!(failure.kind().exit_code(), 4);
        assert!(failure.hints()[0].contains("trust "));
        let loaded = catalogue.load(&name("developer")).unwrap();
        assert!(loaded.warnings[0].message.contains("passed over"));
        assert!(catalogue.find("evil").is_empty());
        let list = catalogue.list();
        let entry = list.iter().find(|e| e.name == "secret").unwrap();
        assert_eq!((entry.description.as_str(), entry.trusted), ("", false));
        assert!(entry.problem.is_some() && entry.tags.is_empty());
        let own = list.iter().filter(|e| e.name == "developer");
        assert!(own.filter(|e| e.trusted).all(|e| !e.shadowed));
        assert_eq!(catalogue.validate(&name("secret")).unwrap(), []);
    });
}

#[test]
fn parents_are_merged_and_a_profile_may_extend_the_one_it_shadows() {
    let world = world();
    world.user("base", &text("base", "model: m\ntags: [a]", "one"));
    world.user("mid", &text("mid", "extends: base\ntags: [b]", "two"));
    world.user("leaf", "---\nname: leaf\nextends: mid\n---\nthree\n");
    let leaf = world.load("leaf").unwrap().profile;
    assert_eq!(leaf.persona, "one\n\ntwo\n\nthree");
    assert_eq!(leaf.model.as_deref(), Some("m"));
    assert_eq!(leaf.tags, ["b"]);
    assert_eq!(leaf.description, "about mid");
    world.user(
        "developer",
        "---\nname: developer\nextends: developer\n---\nmine\n",
    );
    let developer = world.load("developer").unwrap().profile;
    assert!(developer.persona.starts_with("# Developer") && developer.persona.ends_with("mine"));
}

#[test]
fn circles_and_long_chains_are_errors() {
    let world = world();
    world.user("a", &text("a", "extends: b", ""));
    world.user("b", &text("b", "extends: a", ""));
    world.user("self", &text("self", "extends: self", ""));
    assert_eq!(
        world.load("a").unwrap_err().message(),
        "read profile a: it extends itself: a -> b -> a"
    );
    assert!(
        world
            .load("self")
            .unwrap_err()
            .message()
            .contains("self -> self")
    );
    for number in 0..10 {
        let (own, parent) = (format!("c{number}"), format!("extends: c{}", number + 1));
        world.user(&own, &text(&own, &parent, ""));
    }
    world.user("c10", &text("c10", "", "end"));
    assert!(world.load("c2").is_ok(), "eight parents");
    assert!(
        world
            .load("c1")
            .unwrap_err()
            .message()
            .contains("more than 8")
    );
    world.user("orphan", &text("orphan", "extends: developr", ""));
    let failure = world.load("orphan").unwrap_err();
    assert_eq!(
        failure.message(),
        "read profile orphan: orphan extends developr: there is no profile developr"
    );
    assert_eq!(failure.hints(), ["did you mean developer?"]);
    world.with(true, |catalogue| {
        let findings = catalogue.validate(&name("orphan")).unwrap();
        assert!(findings[0].is_error());
        let list = catalogue.list();
        let broken = list.iter().filter(|e| e.problem.is_some()).count();
        assert_eq!(broken, 6, "a, b, self, c0, c1, orphan");
    });
}

#[test]
fn bad_files_are_explained() {
    let world = world();
    let load = |stem: &str| world.load(stem).unwrap_err();
    assert_eq!(load("develper").kind().exit_code(), 3);
    assert_eq!(load("develper").hints(), ["did you mean developer?"]);
    let path = world.user("bad", "---\nname: bad\ndescription: a: b\n---\n");
    let failure = load("bad");
    assert!(
        failure.message().starts_with("read profile bad: line 3: "),
        "{failure}"
    );
    assert!(failure.hints()[0].starts_with("quote the description"));
    assert!(failure.hints()[1].contains(path.to_str().unwrap()));
    let dir = world.home.profiles();
    crate::fsx::create_private_dir(&dir.join("dir.md")).unwrap();
    assert_eq!(load("dir").message(), "read profile dir: it is a directory");
    symlink(&path, dir.join("link.md")).unwrap();
    assert!(load("link").message().contains("symbolic link"));
    crate::fsx::write_atomic(&dir.join("big.md"), &vec![b'x'; 10 << 20]).unwrap();
    assert!(load("big").message().contains("larger than"));
    crate::fsx::write_atomic(&dir.join("bytes.md"), b"---\nname: \xff\n---\n").unwrap();
    assert_eq!(
        load("bytes").message(),
        "read profile bytes: line 2: not UTF-8"
    );
    crate::fsx::write_atomic(&dir.join("not a name.md"), b"").unwrap();
    world.with(true, |catalogue| {
        let list = catalogue.list();
        let broken = list.iter().filter(|e| e.problem.is_some()).count();
        assert_eq!(broken, 6);
        assert!(catalogue.validate_file(Path::new("/absent.md")).is_err());
    });
}

#[test]
fn unknown_providers_are_a_warning_unless_the_user_has_a_manifest() {
    let world = world();
    world.user("x", &text("x", "provider: codx", "b"));
    let warnings = || world.load("x").unwrap().warnings;
    assert_eq!(warnings()[0].hint.as_deref(), Some("did you mean codex?"));
    crate::fsx::create_private_dir(&world.home.providers()).unwrap();
    crate::fsx::write_atomic(&world.home.providers().join("codx.toml"), b"").unwrap();
    assert_eq!(warnings(), []);
}

#[test]
fn profiles_are_found_by_what_they_are_for() {
    let world = world();
    world.with(true, |catalogue| {
        for (query, wanted) in [
            ("review a diff for security", "reviewer"),
            ("tests", "tester"),
            ("documentation", "document_writer"),
            ("implement bugfix", "developer"),
            ("supervisor", "conductor"),
        ] {
            assert_eq!(catalogue.find(query)[0].entry.name, wanted, "{query}");
        }
        assert!(catalogue.find("").is_empty() && catalogue.find("zebra").is_empty());
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_name_never_leaves_its_directory(text in "[a-z./~\\\\-]{0,12}|\\.\\./\\.\\./etc/passwd") {
        let world = world();
        if let Ok(name) = Name::parse(&text) {
            let path = world.with(true, |c| c.sources.path(Scope::User, name.as_str())).unwrap();
            prop_assert_eq!(path.parent().unwrap(), world.home.profiles());
        } else {
            prop_assert!(text.is_empty() || text.contains(['.', '/', '~', '\\']) || text.starts_with('-'));
        }
    }
}
