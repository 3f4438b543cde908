//! The locks: of all writers, of one terminal's deliveries, of worktrees, and of the audit log. Order: a terminal's lock or that of worktrees
//! first, then the log's, then the writers'.

use super::error::Error;
use crate::clock::{self, Deadline};
use crate::fsx::{self, Held};
use crate::paths::Home;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

/// Locks `file`, trying again with pauses of 0.2 to 2 ms until `budget` has passed (fs2 has no lock with a deadline).
fn lock_within(file: File, budget: Duration) -> io::Result<Option<Held>> {
    let mut file = file;
    let deadline = Deadline::after(budget);
    let mut pause = Duration::from_micros(200);
    loop {
        file = match fsx::try_hold(file)? {
            Ok(held) => return Ok(Some(held)),
            Err(file) => file,
        };
        if deadline.passed() {
            return Ok(None);
        }
        clock::sleep(pause, &deadline);
        pause = (pause * 2).min(Duration::from_millis(2));
    }
}

/// The writers' lock; free when dropped, and when the process dies.
#[derive(Debug)]
pub(super) struct WriterLock {
    _held: Held,
}

impl WriterLock {
    pub(super) fn acquire(home: &Home, budget: Duration) -> Result<Self, Error> {
        let file = open(&home.lock())?;
        let held = lock_within(file, budget).map_err(Error::io("lock the state"))?;
        held.map(|held| Self { _held: held }).ok_or(Error::Locked)
    }
}

/// The lock of one terminal's deliveries: whoever holds it knows that no other live process delivers there.
#[derive(Debug)]
pub struct TerminalLock {
    _held: Held,
}

impl TerminalLock {
    /// Takes the lock of terminal `id` if it is free within `budget`.
    pub fn acquire(home: &Home, id: &str, budget: Duration) -> Result<Option<Self>, Error> {
        let path = home.terminal_lock(id);
        fsx::create_private_dir(&home.locks()).map_err(Error::io("create the locks' directory"))?;
        let deadline = Deadline::after(budget);
        loop {
            let file = open(&path)?;
            let Some(held) =
                lock_within(file, deadline.left()).map_err(Error::io("lock the terminal"))?
            else {
                return Ok(None);
            };
            // A file that was removed while we waited for it keeps nobody else out.
            if same_file(held.file(), &path) {
                return Ok(Some(Self { _held: held }));
            }
        }
    }

    /// Removes the lock's file of a terminal that has ended. While somebody holds it, it stays, and the next end or look removes it.
    pub fn remove(home: &Home, id: &str) {
        let path = home.terminal_lock(id);
        if path.exists()
            && let Ok(Some(_held)) = Self::acquire(home, id, Duration::ZERO)
        {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// The lock of those who make a worktree again or remove one: two that are looked at together would each be taken for the safe place of what
/// they share.
#[derive(Debug)]
pub struct WorktreeLock {
    _held: Held,
}

impl WorktreeLock {
    /// Takes the lock if it is free within `budget`.
    pub fn acquire(home: &Home, budget: Duration) -> Result<Option<Self>, Error> {
        fsx::create_private_dir(&home.locks()).map_err(Error::io("create the locks' directory"))?;
        let file = open(&home.worktree_lock())?;
        let held = lock_within(file, budget).map_err(Error::io("lock the worktrees"))?;
        Ok(held.map(|held| Self { _held: held }))
    }
}

fn same_file(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(held), Ok(there)) => (held.dev(), held.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

/// The lock of those who write the audit log; taken before the writers' lock, never after it.
#[derive(Debug)]
pub(super) struct AuditLock {
    _held: Held,
}

impl AuditLock {
    /// Takes the lock if it is free within `budget`.
    pub(super) fn acquire(home: &Home, budget: Duration) -> Result<Self, Error> {
        fsx::create_private_dir(&home.approvals())
            .map_err(Error::io(format!("create {}", home.approvals().display())))?;
        Self::take(open(&home.audit_lock())?, budget)
    }

    /// As [`Self::acquire`], for a reader: makes nothing; `None` when nobody has ever written.
    pub(super) fn to_read(home: &Home, budget: Duration) -> Result<Option<Self>, Error> {
        let path = home.audit_lock();
        fsx::open_regular(&path)
            .map_err(Error::io(format!("open {}", path.display())))?
            .map(|file| Self::take(file, budget))
            .transpose()
    }

    fn take(file: File, budget: Duration) -> Result<Self, Error> {
        let held = lock_within(file, budget).map_err(Error::io("lock the audit log"))?;
        held.map(|held| Self { _held: held }).ok_or(Error::Locked)
    }
}

fn open(path: &Path) -> Result<File, Error> {
    fsx::open_lock(path).map_err(Error::io(format!("open {}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path()).unwrap();
        let held = TerminalLock::acquire(&home, "0123abcd", Duration::ZERO).unwrap();
        assert!(held.is_some());
        assert!(
            TerminalLock::acquire(&home, "0123abcd", Duration::from_millis(5))
                .unwrap()
                .is_none()
        );
        assert!(
            TerminalLock::acquire(&home, "0123abce", Duration::ZERO)
                .unwrap()
                .is_some()
        );
        drop(held);
        assert!(
            TerminalLock::acquire(&home, "0123abcd", Duration::ZERO)
                .unwrap()
                .is_some()
        );
    }

    #[test]
    fn a_lock_that_was_removed_is_not_held() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path()).unwrap();
        let held = TerminalLock::acquire(&home, "0123abcd", Duration::ZERO)
            .unwrap()
            .unwrap();
        TerminalLock::remove(&home, "0123abcd");
        assert!(home.terminal_lock("0123abcd").exists(), "somebody holds it");
        assert!(!home.run_of("0123abcd").exists(), "no terminal's directory");
        let waiter = std::thread::spawn({
            let home = home.clone();
            move || TerminalLock::acquire(&home, "0123abcd", Duration::from_secs(5))
        });
        std::thread::sleep(Duration::from_millis(20));
        std::fs::remove_file(home.terminal_lock("0123abcd")).unwrap();
        drop(held);
        let taken = waiter.join().unwrap().unwrap();
        assert!(taken.is_some());
        assert!(
            TerminalLock::acquire(&home, "0123abcd", Duration::ZERO)
                .unwrap()
                .is_none(),
            "the waiter holds the lock that others find"
        );
        drop(taken);
        std::thread::sleep(Duration::from_millis(50));
        TerminalLock::remove(&home, "0123abcd");
        assert!(!home.terminal_lock("0123abcd").exists());
    }

    #[test]
    fn the_writers_lock_has_a_budget() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path()).unwrap();
        let _held = WriterLock::acquire(&home, Duration::ZERO).unwrap();
        assert!(matches!(
            WriterLock::acquire(&home, Duration::from_millis(5)),
            Err(Error::Locked)
        ));
    }
}
