//! What is written, and what is refused.

use super::*;
use crate::profiles::catalogue::Catalogue;
use std::os::unix::fs::{PermissionsExt, symlink};

struct World {
    temp: tempfile::TempDir,
    home: Home,
}

fn world() -> World {
    let temp = tempfile::tempdir().unwrap();
    let home = Home::at(temp.path().join("state")).unwrap();
    crate::fsx::create_private_dir(&temp.path().join("p/.git")).unwrap();
    World { temp, home }
}

impl World {
    fn cwd(&self) -> PathBuf {
        self.temp.path().join("p")
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.cwd().join(path);
        crate::fsx::create_private_dir(path.parent().unwrap()).unwrap();
        crate::fsx::write_atomic(&path, text.as_bytes()).unwrap();
    }

    fn install(&self, source: &str) -> Result<Vec<Written>> {
        self.install_as(source, Scope::User, None, false)
    }

    fn install_as(
        &self,
        source: &str,
        scope: Scope,
        name: Option<&Name>,
        force: bool,
    ) -> Result<Vec<Written>> {
        let wanted = Install {
            source,
            scope,
            name,
            force,
        };
        install(&self.home, &self.cwd(), wanted)
    }

    fn code(&self, source: &str) -> u8 {
        self.install(source).unwrap_err().kind().exit_code()
    }
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

#[test]
fn a_scaffold_has_no_fault_and_takes_nobodys_place() {
    let world = world();
    let make = |scope| create(&world.home, &world.cwd(), &name("mine"), None, scope);
    let written = make(Scope::User).unwrap();
    assert_eq!(written.warnings, []);
    assert_eq!(make(Scope::User).unwrap_err().kind().exit_code(), 4);
    assert_eq!(make(Scope::BuiltIn).unwrap_err().kind().exit_code(), 2);
    let written = make(Scope::Project).unwrap();
    assert!(written.path.ends_with("p/.conductor/agent-context/mine.md"));
    let trust = |_: &Path, _: &str| false;
    let catalogue = Catalogue::open(&world.home, &world.cwd(), &trust);
    assert_eq!(catalogue.load(&name("mine")).unwrap().scope, Scope::User);
}

#[test]
fn a_template_gets_the_new_name() {
    let world = world();
    let template = built_in::text("reviewer").unwrap().as_bytes();
    let written = create(
        &world.home,
        &world.cwd(),
        &name("strict"),
        Some(template),
        Scope::User,
    );
    let path = written.unwrap().path;
    let text = String::from_utf8(files::read_named(&path, 100_000).unwrap()).unwrap();
    assert!(text.starts_with("---\nname: strict\n"));
    assert_eq!(
        text.replace("name: strict", "name: reviewer").as_bytes(),
        template
    );
}

#[test]
fn files_directories_and_built_in_names_are_installed() {
    let world = world();
    world.file("dev.md", "---\nname: \"dev\"\r\ndescription: d\n---\nx\n");
    world.file("some/one.md", "---\nname: one\ndescription: d\n---\nx\n");
    world.file(
        "some/two.md",
        "---\nname: two\ndescription: d\nteam: a\n---\nx\n",
    );
    world.file("some/README.md", "# about\n");
    let written = world.install("dev.md").unwrap();
    assert_eq!(written[0].path, world.home.profiles().join("dev.md"));
    let mode = written[0].path.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(world.code("./dev.md"), 4);
    assert!(world.install_as("dev.md", Scope::User, None, true).is_ok());
    let other = name("other");
    let written = world
        .install_as("dev.md", Scope::User, Some(&other), false)
        .unwrap();
    assert_eq!(
        (written[0].name.as_str(), &written[0].warnings[..]),
        ("other", &[][..])
    );
    let written = world.install("some").unwrap();
    assert_eq!(written.len(), 2);
    assert_eq!(written[1].warnings.len(), 1);
    assert_eq!(
        world
            .install_as("some", Scope::User, Some(&other), true)
            .unwrap_err()
            .kind()
            .exit_code(),
        2
    );
    assert!(world.install("tester").is_ok());
}

#[test]
fn what_cannot_be_installed_is_explained_and_leaves_nothing() {
    let world = world();
    world.file("bad.md", "---\nname: bad\n---\nx\n");
    world.file("up.md", "---\nname: ../up\ndescription: d\n---\nx\n");
    world.file("mixed/a.md", "---\nname: a\ndescription: d\n---\nx\n");
    world.file("mixed/b.md", "nothing");
    world.file("same/a.md", "---\nname: a\ndescription: d\n---\nx\n");
    world.file("same/b.md", "---\nname: a\ndescription: d\n---\nx\n");
    world.file("empty/x.txt", "");
    for (source, code) in [
        ("https://example.org/x.md", 2),
        ("HTTP://example.org/x", 2),
        ("", 2),
        ("bad.md", 1),
        ("up.md", 1),
        ("mixed", 1),
        ("same", 1),
        ("empty", 3),
        ("absent.md", 3),
        ("revewer", 3),
        ("/dev/zero", 1),
    ] {
        assert_eq!(world.code(source), code, "{source:?}");
    }
    assert!(!world.home.profiles().join("a.md").exists());
    let failure = world.install("revewer").unwrap_err();
    assert_eq!(failure.hints(), ["built in are: reviewer"]);
    let failure = world.install("mixed").unwrap_err();
    assert!(
        failure
            .message()
            .starts_with("install mixed: b.md: line 1: "),
        "{failure}"
    );
}

#[test]
fn a_project_whose_directory_is_a_link_is_not_written_to() {
    let world = world();
    let victim = world.temp.path().join("victim");
    crate::fsx::create_private_dir(&victim).unwrap();
    crate::fsx::create_private_dir(&world.cwd().join(".conductor")).unwrap();
    symlink(&victim, world.cwd().join(".conductor/agent-context")).unwrap();
    let into = |world: &World| world.install_as("tester", Scope::Project, None, false);
    assert_eq!(into(&world).unwrap_err().kind().exit_code(), 4);
    std::fs::remove_dir_all(world.cwd().join(".conductor")).unwrap();
    symlink(&victim, world.cwd().join(".conductor")).unwrap();
    assert!(into(&world).is_err());
    assert_eq!(files::names(&victim).unwrap(), [""; 0]);
}
