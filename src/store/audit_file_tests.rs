//! The file follows the chain, whatever happens in between, and never hides what somebody did to it.

use super::*;
use crate::domain::audit::check::{Place, What};
use crate::paths::Home;
use std::fs;
use std::os::unix::fs::PermissionsExt;

struct World {
    _dir: tempfile::TempDir,
    home: Home,
    store: Store,
}

fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::at(dir.path().join("state")).unwrap();
    let store = Store::open_or_create(&home).unwrap();
    World {
        _dir: dir,
        home,
        store,
    }
}

impl World {
    /// Audits something, as a service does.
    fn say(&mut self, subject: &str) {
        self.store
            .write(Durability::Process, Budget::Call, |tx| entry(tx, subject))
            .unwrap();
    }

    /// Audits something and dies before the file is written.
    fn say_and_die(&mut self, subject: &str) {
        self.store
            .commit(Durability::Process, Budget::Call, |tx| entry(tx, subject))
            .unwrap();
    }

    fn export(&mut self) {
        self.store.export_audit(Budget::Call).unwrap();
    }

    fn file(&self) -> Vec<u8> {
        fs::read(self.home.audit_log()).unwrap()
    }

    fn put(&self, bytes: &[u8]) {
        fsx::create_private_dir(&self.home.approvals()).unwrap();
        fsx::write_atomic(&self.home.audit_log(), bytes).unwrap();
    }

    fn check(&self) -> Report {
        Store::open_to_look(&self.home)
            .unwrap()
            .check_audit()
            .unwrap()
    }

    /// The file as it should be.
    fn chain(&mut self) -> Vec<u8> {
        let rows = self.store.read(|tx| tx.audit_after(0, 10_000)).unwrap();
        rows.iter()
            .flat_map(|row| (row.line() + "\n").into_bytes())
            .collect()
    }

    fn last_action(&mut self) -> String {
        let rows = self.store.read(|tx| tx.audit_after(0, 10_000)).unwrap();
        rows.last().unwrap().entry.action.clone()
    }

    fn sound(&mut self) {
        let report = self.check();
        assert!(report.ok, "{report:?}");
        assert_eq!(report.pending, 0);
        assert_eq!(self.file(), self.chain());
    }
}

fn entry(tx: &Tx<'_>, subject: &str) -> Result<(), Error> {
    let detail = serde_json::json!({"share": 0.1, "text": "a\nb"});
    tx.audit(
        clock::now(),
        "approval.requested",
        subject,
        "human",
        "cli",
        detail,
    )
}

#[test]
fn the_file_follows_each_entry() {
    let mut world = world();
    assert!(!world.home.approvals().join("audit.lock").exists());
    for n in 0..5 {
        world.say(&n.to_string());
        world.sound();
    }
    let mode = fs::metadata(world.home.audit_log())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_write_without_an_entry_opens_no_file() {
    let mut world = world();
    world
        .store
        .write(Durability::Power, Budget::Call, |tx| tx.set_meta("a", "b"))
        .unwrap();
    world.export();
    assert!(!world.home.approvals().exists());
}

#[test]
fn what_was_left_out_is_written_by_the_next() {
    let mut world = world();
    world.say_and_die("one");
    let report = world.check();
    assert!(report.ok, "{report:?}");
    assert_eq!(report.pending, 1);
    world.say("two");
    world.sound();
    world.say_and_die("three");
    world.export();
    world.sound();
}

#[test]
fn an_entry_that_failed_is_not_written() {
    let mut world = world();
    world.say("one");
    let failed: Result<(), Error> = world.store.write(Durability::Power, Budget::Call, |tx| {
        entry(tx, "never")?;
        Err(Error::Locked)
    });
    assert!(failed.is_err());
    world.sound();
}

#[test]
fn many_are_written_in_pages() {
    let mut world = world();
    let many = i64::from(PAGE) * 2 + 7;
    world
        .store
        .write(Durability::Process, Budget::Call, |tx| {
            (0..many).try_for_each(|n| entry(tx, &n.to_string()))
        })
        .unwrap();
    world.sound();
    assert_eq!(world.check().exported, many);
}

#[test]
fn a_torn_write_is_completed_at_each_byte() {
    let mut world = world();
    world.say("one");
    world.say_and_die("two");
    world.say_and_die("three");
    let before = world.file();
    let whole = world.chain();
    let recorded = world.store.read(|tx| tx.audit_exported()).unwrap().unwrap();
    for end in before.len()..=whole.len() {
        world.put(&whole[..end]);
        let report = world.check();
        assert!(report.ok, "{end}: {report:?}");
        world.export();
        world.sound();
        world
            .store
            .commit(Durability::Process, Budget::Call, |tx| {
                tx.set_audit_exported(recorded)
            })
            .unwrap();
    }
}

#[test]
fn the_start_of_a_foreign_line_goes_into_an_entry() {
    let mut world = world();
    world.say("one");
    let mut bytes = world.file();
    bytes.extend_from_slice(b"{\"seq\":2,\"at\":\"\0\0 password=hunter2hunter2");
    world.put(&bytes);
    assert!(!world.check().ok);
    world.say("two");
    world.sound();
    let report = world.check();
    assert!(
        report
            .warnings
            .iter()
            .any(|w| w.contains("audit.recovered")),
        "{report:?}"
    );
    let text = String::from_utf8(world.file()).unwrap();
    assert!(
        text.contains(r#"\"seq\":2"#) && !text.contains("hunter2"),
        "{text}"
    );
}

#[test]
fn a_line_with_holes_is_what_a_loss_of_power_leaves() {
    for holes in [0..200, 100..101, 10..4_000] {
        let mut world = world();
        world.say("one");
        world.say_and_die("two");
        let start = world.file().len();
        let mut bytes = world.chain();
        let holes = holes.start..holes.end.min(bytes.len() - start - 1);
        bytes[start..][holes].fill(0);
        world.put(&bytes);
        world.export();
        world.sound();
        assert_eq!(world.last_action(), "audit.recovered");
    }
    // With anything else in it, it is somebody's.
    let mut world = world();
    world.say("one");
    world.say_and_die("two");
    let mut bytes = world.chain();
    let last = bytes.len() - 20;
    bytes[last] = b'x';
    bytes[last - 30] = 0;
    world.put(&bytes);
    world.export();
    assert!(!world.check().ok);
}

#[test]
fn foreign_lines_stay_and_are_found_for_ever() {
    let mut world = world();
    world.say("one");
    let mut bytes = world.file();
    bytes.extend_from_slice(b"{\"seq\":2}\nand more");
    world.put(&bytes);
    for n in 0..3 {
        world.say(&n.to_string());
        let report = world.check();
        assert_eq!(
            (
                report.broken[0].seq,
                report.broken[0].line,
                report.broken[0].what
            ),
            (2, Some(2), What::Added)
        );
    }
    let text = String::from_utf8(world.file()).unwrap();
    assert_eq!(text.matches("audit.foreign").count(), 1);
    assert!(text.contains("{\"seq\":2}\n{"), "{text}");
}

#[test]
fn a_line_of_ours_that_somebody_put_there_first_is_no_proof_of_another() {
    let mut world = world();
    world.say_and_die("one");
    world.say_and_die("two");
    let mut bytes = world.chain();
    bytes.extend_from_slice(b"x\n");
    world.put(&bytes);
    world.export();
    let report = world.check();
    assert_eq!(
        (report.broken[0].seq, report.broken[0].what),
        (3, What::Added)
    );
    assert_eq!(world.last_action(), "audit.foreign");
}

#[test]
fn a_file_that_was_cut_stays_so_and_is_found_for_ever() {
    for keep in [0, 10, 400] {
        let mut world = world();
        for n in 0..4 {
            world.say(&n.to_string());
        }
        let bytes = world.file();
        world.put(&bytes[..keep]);
        let cut = world.check();
        assert!(!cut.ok);
        for n in 0..2 {
            world.say(&n.to_string());
            let report = world.check();
            assert!(!report.ok);
            assert_eq!(report.broken[0].seq, cut.broken[0].seq);
            assert_eq!(report.broken[0].place, Place::File);
        }
        let text = String::from_utf8(world.file()).unwrap();
        assert_eq!(text.matches("audit.cut").count(), 1);
        // What came later is whole lines again.
        assert!(text.lines().last().unwrap().starts_with("{\"seq\":7"));
    }
}

#[test]
fn a_file_that_is_gone_is_found() {
    let mut world = world();
    world.say("one");
    fs::remove_file(world.home.audit_log()).unwrap();
    let report = world.check();
    assert_eq!(
        (report.broken[0].seq, report.broken[0].what),
        (1, What::Cut)
    );
    world.say("two");
    assert!(!world.check().ok);
}

#[test]
fn the_log_of_another_database_is_set_aside_whole() {
    let mut world = world();
    world.say("one");
    let old = world.file();
    world
        .store
        .write(Durability::Power, Budget::Call, |tx| {
            tx.execute_batch("DELETE FROM audit; DELETE FROM meta;")?;
            Ok::<_, Error>(())
        })
        .unwrap();
    assert!(!world.check().ok);
    world.say("anew");
    world.sound();
    let kept: Vec<_> = fs::read_dir(world.home.approvals())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains("audit-until-"))
        .collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(fs::read(&kept[0]).unwrap(), old);
    assert!(world.check().warnings[0].contains("audit.set_aside"));
}

#[test]
fn a_planted_link_or_pipe_is_not_written_to() {
    let mut world = world();
    fsx::create_private_dir(&world.home.approvals()).unwrap();
    let victim = world.home.root().join("victim");
    fsx::write_atomic(&victim, b"x").unwrap();
    std::os::unix::fs::symlink(&victim, world.home.audit_log()).unwrap();
    world.say("one");
    assert_eq!(fs::read(&victim).unwrap(), b"x");
    assert!(world.store.check_audit().is_err());
    fs::remove_file(world.home.audit_log()).unwrap();
    nix::unistd::mkfifo(
        &world.home.audit_log(),
        nix::sys::stat::Mode::from_bits_truncate(0o600),
    )
    .unwrap();
    world.say("two");
    assert!(world.store.check_audit().is_err());
    fs::remove_file(world.home.audit_log()).unwrap();
    world.say("three");
    world.sound();
}

#[test]
fn who_looks_changes_nothing() {
    let mut world = world();
    world.say("one");
    world.say_and_die("two");
    let before = world.file();
    let names = |world: &World| {
        let mut names: Vec<_> = fs::read_dir(world.home.approvals())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    let there = names(&world);
    assert_eq!(world.check(), world.check());
    assert_eq!(world.file(), before);
    assert_eq!(names(&world), there);
}

#[test]
fn many_writers_at_once_leave_one_chain() {
    let mut world = world();
    let home = world.home.clone();
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let home = &home;
            scope.spawn(move || {
                for round in 0..10 {
                    let mut store = Store::open(home).unwrap();
                    store
                        .write(Durability::Process, Budget::Call, |tx| {
                            entry(tx, &format!("{writer}-{round}"))
                        })
                        .unwrap();
                }
            });
        }
    });
    world.export();
    world.sound();
    assert_eq!(world.check().entries, 80);
}

mod changes {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Whatever somebody does to the file, and whoever writes to it afterwards: it is found, or it was kept in an entry.
        #[test]
        fn no_change_of_the_file_is_lost_by_writing_on(
            at in any::<prop::sample::Index>(),
            length in 0usize..400,
            put in prop::collection::vec(any::<u8>(), 0..30),
        ) {
            let mut world = world();
            for n in 0..3 {
                world.say(&n.to_string());
            }
            let whole = world.file();
            let mut bytes = whole.clone();
            let from = at.index(bytes.len() + 1);
            let to = (from + length).min(bytes.len());
            bytes.splice(from..to, put);
            prop_assume!(bytes != whole);
            world.put(&bytes);
            prop_assert!(!world.check().ok);
            world.say("later");
            let report = world.check();
            let kept = report.warnings.iter().any(|w| w.contains("audit.recovered"));
            prop_assert!(!report.ok || (kept && bytes.starts_with(&whole)), "{report:?}");
        }
    }
}
