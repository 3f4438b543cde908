//! Opening, transactions, checkpoints.
//!
//! Short-lived processes need their own pragmas: without `NO_CKPT_ON_CLOSE` each process would checkpoint at exit (4 fsyncs), with it
//! alone the log would grow without end; so the log is checkpointed and cut under the lock once it is larger than [`WAL_LIMIT`].

use super::error::Error;
use super::lock::WriterLock;
use super::room::is_there;
use super::statement::Prepared;
use super::{audit_file, migrations, spool};
use crate::clock;
use crate::domain::audit::Stored;
use crate::failpoint;
use crate::fsx;
use crate::paths::Home;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::cell::RefCell;
use std::io;
use std::ops::Deref;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

/// Size of the write-ahead log, in bytes, above which the next writer checkpoints it.
const WAL_LIMIT: u64 = 256 * 1024;

/// How long a statement waits for another process inside the database. Writers have their own lock: little is left to wait for.
const BUSY_WAIT: Duration = Duration::from_secs(5);

/// How long a checkpoint, which holds up all writers, waits for readers of the log.
const CHECKPOINT_WAIT: Duration = Duration::from_millis(20);

/// How long a status event waits for the lock where nothing else is said.
const STATUS_WAIT: Duration = Duration::from_millis(50);

/// How long a writer waits for the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// An agent's status event: 50 ms, or what [`Store::set_status_wait`] says, then it is spooled.
    Status,
    /// A decision: 2 s, then it is denied.
    Decision,
    /// A person or agent who waits for an answer: 10 s.
    Call,
}

impl Budget {
    pub(super) const fn duration(self) -> Duration {
        match self {
            Self::Status => STATUS_WAIT,
            Self::Decision => Duration::from_secs(2),
            Self::Call => Duration::from_secs(10),
        }
    }
}

/// What a commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Any death of a process (no fsync).
    Process,
    /// A loss of power too: accepted messages, approvals, audit.
    Power,
}

/// The open database of one state directory.
#[derive(Debug)]
pub struct Store {
    pub(super) connection: Connection,
    home: Home,
    /// What commits survive as the connection is set now.
    pub(super) level: Option<Durability>,
    /// How long a status event waits for the lock.
    status_wait: Option<fn(&Home) -> Duration>,
    prepared: Prepared,
}

/// A transaction; the methods of the rows are on it.
#[derive(Debug)]
pub struct Tx<'a> {
    pub(super) inner: rusqlite::Transaction<'a>,
    /// What this transaction adds to the audit chain.
    pub(super) audited: RefCell<Vec<Stored>>,
    pub(super) prepared: &'a Prepared,
}

impl<'a> Tx<'a> {
    fn new(inner: rusqlite::Transaction<'a>, prepared: &'a Prepared) -> Self {
        Self {
            inner,
            audited: RefCell::default(),
            prepared,
        }
    }
}

impl Deref for Tx<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.inner
    }
}

/// The disk at work.
#[must_use = "nothing is durable before the disk is done"]
#[derive(Debug)]
pub struct Syncing(JoinHandle<io::Result<()>>);

impl Syncing {
    /// Waits for the disk.
    pub fn wait(self) -> Result<(), Error> {
        match self.0.join() {
            // Whoever removed the log had written it into the database, and that to the disk.
            Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Ok(done) => done.map_err(Error::io("write the messages to the disk")),
            Err(_) => Err(Error::io("write the messages to the disk")(
                io::Error::other("the thread failed"),
            )),
        }
    }
}

impl Store {
    /// Opens the state, creating directory and database where they are missing.
    pub fn open_or_create(home: &Home) -> Result<Self, Error> {
        if !is_there(home)? {
            for dir in [
                home.root().to_path_buf(),
                home.db_dir(),
                home.run(),
                home.locks(),
                home.spool(),
                home.terminal_logs(),
            ] {
                fsx::create_private_dir(&dir)
                    .map_err(Error::io(format!("create {}", dir.display())))?;
            }
        }
        fsx::check_private_dir(home.root())
            .map_err(Error::io(format!("use {}", home.root().display())))?;
        Self::open_at(home, true)
    }

    /// Opens existing state; [`Error::Missing`] when there is none.
    pub fn open(home: &Home) -> Result<Self, Error> {
        if !is_there(home)? {
            return Err(Error::Missing(home.root().to_path_buf()));
        }
        fsx::check_private_dir(home.root())
            .map_err(Error::io(format!("use {}", home.root().display())))?;
        Self::open_at(home, false)
    }

    /// Opens existing state to look at it only: a damaged database stays where it is.
    pub fn open_to_look(home: &Home) -> Result<Self, Error> {
        if !is_there(home)? {
            return Err(Error::Missing(home.root().to_path_buf()));
        }
        Ok(Self::connect(home, false)?.0)
    }

    fn open_at(home: &Home, create: bool) -> Result<Self, Error> {
        match Self::try_open(home, create) {
            Err(error) if error.is_corruption() => Err(set_aside(home)?),
            other => other,
        }
    }

    fn try_open(home: &Home, create: bool) -> Result<Self, Error> {
        let (store, found) = Self::connect(home, create)?;
        if found < migrations::known() {
            store.migrate()?;
        }
        Ok(store)
    }

    /// The open database as it is, and its schema.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that opens the database"
    )]
    fn connect(home: &Home, create: bool) -> Result<(Self, i64), Error> {
        let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        if create {
            flags |= OpenFlags::SQLITE_OPEN_CREATE;
        }
        let connection = Connection::open_with_flags(home.db(), flags)?;
        connection.busy_timeout(BUSY_WAIT)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        // Else each statement that might use a partial index is prepared again whenever a value is bound to it.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.execute_batch("PRAGMA wal_autocheckpoint = 0")?;
        let found = migrations::check(&connection)?;
        let store = Self {
            connection,
            home: home.clone(),
            level: None,
            status_wait: None,
            prepared: Prepared::default(),
        };
        Ok((store, found))
    }

    /// Whether the file is a database whose schema can be read.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that opens the database"
    )]
    fn probe(home: &Home) -> Result<(), Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(home.db(), flags)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(())
    }

    fn migrate(&self) -> Result<(), Error> {
        let _lock = WriterLock::acquire(&self.home, Budget::Call.duration())?;
        let mode: String = self
            .connection
            .query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
        // Only a file that is still empty can take this: later, free room is given back in small steps.
        self.connection
            .execute_batch("PRAGMA auto_vacuum = INCREMENTAL")?;
        if mode != "wal" {
            self.connection
                .query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
        }
        let found = migrations::check(&self.connection)?;
        if found < migrations::known() {
            migrations::apply(&self.connection, found)?;
        }
        Ok(())
    }

    /// The state directory.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Sets how long status events wait for the lock; it is asked only when the lock is not free.
    pub fn set_status_wait(&mut self, wait: fn(&Home) -> Duration) {
        self.status_wait = Some(wait);
    }

    /// Reads in one consistent snapshot.
    pub fn read<T, E: From<Error>>(
        &mut self,
        body: impl FnOnce(&Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let inner = self.connection.transaction().map_err(Error::from)?;
        body(&Tx::new(inner, &self.prepared))
    }

    /// Writes in one transaction under the writers' lock; what was spooled is stored first. Nothing is stored when `body` fails. What was
    /// audited is then written into the log file; if that fails, the next writer of an entry, or the next tick, does it.
    pub fn write<T, E: From<Error>>(
        &mut self,
        durability: Durability,
        budget: Budget,
        body: impl FnOnce(&Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let (value, audited) = self.commit(durability, budget, body)?;
        if !audited.is_empty() {
            audit_file::announce(&audited);
            match self.export_audit(budget) {
                // Whoever holds the lock writes it, or the next one.
                Ok(()) | Err(Error::Locked) => {}
                Err(error) => tracing::warn!(%error, "write the audit log"),
            }
        }
        Ok(value)
    }

    /// As [`Self::write`], without what follows; returns what was audited too.
    pub(super) fn commit<T, E: From<Error>>(
        &mut self,
        durability: Durability,
        budget: Budget,
        body: impl FnOnce(&Tx<'_>) -> Result<T, E>,
    ) -> Result<(T, Vec<Stored>), E> {
        let lock = match (WriterLock::acquire(&self.home, Duration::ZERO), budget) {
            (Err(Error::Locked), Budget::Status) => {
                let wait = self
                    .status_wait
                    .map_or(STATUS_WAIT, |wait| wait(&self.home));
                WriterLock::acquire(&self.home, wait)?
            }
            (Err(Error::Locked), budget) => WriterLock::acquire(&self.home, budget.duration())?,
            (taken, _) => taken?,
        };
        // Before the transaction: after the commit a caller shall be able to end at once, and no failure may look like one of the commit.
        if let Err(error) = self.checkpoint_if_large() {
            tracing::debug!(%error, "checkpoint");
        }
        self.set_level(durability)?;
        let (value, audited, drained, committed) = {
            let inner = self
                .connection
                .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
                .map_err(Error::from)?;
            let tx = Tx::new(inner, &self.prepared);
            let drained = spool::drain(&self.home, &tx)?;
            let value = body(&tx)?;
            failpoint::fail("db.before_commit").map_err(Error::io("store"))?;
            let audited = tx.audited.take();
            (value, audited, drained, tx.inner.commit())
        };
        committed.map_err(|error| self.undo(error))?;
        failpoint::hit("db.committed");
        drained.forget();
        drop(lock);
        Ok((value, audited))
    }

    fn set_level(&mut self, durability: Durability) -> Result<(), Error> {
        if self.level != Some(durability) {
            self.connection.execute_batch(match durability {
                Durability::Process => "PRAGMA synchronous = NORMAL",
                Durability::Power => "PRAGMA synchronous = FULL",
            })?;
            self.level = Some(durability);
        }
        Ok(())
    }

    /// A number that is another one after other processes have stored something; what this one stores does not change it.
    pub fn version(&self) -> Result<i64, Error> {
        Ok(self
            .connection
            .query_row("PRAGMA data_version", [], |row| row.get(0))?)
    }

    /// Makes what this process has stored survive a loss of power: as [`Durability::Power`], but without the lock, so that many wait for
    /// the disk at once instead of one after the other, and beside whatever the caller does until it waits.
    pub fn sync(&self) -> Syncing {
        let wal = self.wal();
        Syncing(std::thread::spawn(move || fsx::sync_file(&wal)))
    }

    /// Where what was committed lies until a checkpoint.
    pub(super) fn wal(&self) -> PathBuf {
        let mut wal = self.home.db().into_os_string();
        wal.push("-wal");
        PathBuf::from(wal)
    }

    fn checkpoint_if_large(&self) -> Result<(), Error> {
        if std::fs::metadata(self.wal()).is_ok_and(|meta| meta.len() > WAL_LIMIT) {
            self.checkpoint()?;
        }
        Ok(())
    }

    /// Writes what was committed into the database file and empties the log. The caller holds the writers' lock.
    pub(super) fn checkpoint(&self) -> Result<(), Error> {
        // A reader may hold the log; then the next writer tries again. All other writers wait meanwhile.
        self.connection.busy_timeout(CHECKPOINT_WAIT)?;
        let done = self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        self.connection.busy_timeout(BUSY_WAIT)?;
        done?;
        Ok(())
    }

    /// Ends the use of the state by a process that is about to end. Closing would take apart what the kernel frees anyway, and locks end
    /// with the process; nothing is checkpointed at a close.
    pub fn leave(self) {
        std::mem::forget(self);
    }

    /// Checks the whole database; returns what is wrong with it.
    pub fn integrity(&self) -> Result<Option<String>, Error> {
        let answer: String = self
            .connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        Ok((answer != "ok").then_some(answer))
    }
}

/// Renames a damaged database and its log, so that the evidence stays and the next call can start anew.
fn set_aside(home: &Home) -> Result<Error, Error> {
    let _lock = WriterLock::acquire(home, Budget::Call.duration())?;
    // Another process may have set it aside, and made a new one, while we waited.
    match Store::probe(home) {
        Ok(()) => return Ok(Error::Locked),
        Err(error) if !error.is_corruption() => return Ok(error),
        Err(_) => {}
    }
    let kept = home.damaged_db(clock::now().as_millisecond());
    for suffix in ["", "-wal", "-shm"] {
        let mut from = home.db().into_os_string();
        from.push(suffix);
        let mut to = kept.clone().into_os_string();
        to.push(suffix);
        match std::fs::rename(&from, &to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("set the damaged database aside")(error));
            }
            _ => {}
        }
    }
    Ok(Error::SetAside(kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> (tempfile::TempDir, Home) {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path().join("state")).unwrap();
        (dir, home)
    }

    fn put(store: &mut Store, key: &str, value: &str) {
        store
            .write(Durability::Process, Budget::Call, |tx| {
                tx.execute("INSERT OR REPLACE INTO meta VALUES (?1, ?2)", [key, value])?;
                Ok::<_, Error>(())
            })
            .unwrap();
    }

    #[test]
    fn missing_state_is_said_and_can_be_made() {
        let (_dir, home) = home();
        assert!(matches!(Store::open(&home), Err(Error::Missing(_))));
        Store::open_or_create(&home).unwrap();
        Store::open(&home).unwrap();
    }

    #[test]
    fn a_status_event_waits_as_long_as_it_is_told_and_asks_only_when_it_must() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let (_dir, home) = home();
        let mut store = Store::open_or_create(&home).unwrap();
        store.set_status_wait(|_| {
            ASKED.fetch_add(1, Ordering::Relaxed);
            Duration::from_secs(20)
        });
        let mut write = || {
            store.write(Durability::Process, Budget::Status, |tx| {
                tx.set_meta("k", "v")
            })
        };
        write().unwrap();
        assert_eq!(ASKED.load(Ordering::Relaxed), 0);
        let held = WriterLock::acquire(&home, Duration::ZERO).unwrap();
        let holder = std::thread::spawn(move || {
            std::thread::sleep(STATUS_WAIT * 3);
            drop(held);
        });
        write().unwrap();
        holder.join().unwrap();
        assert_eq!(ASKED.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn what_others_store_changes_the_version() {
        let (_dir, home) = home();
        let mut one = Store::open_or_create(&home).unwrap();
        let mut other = Store::open(&home).unwrap();
        let before = one.version().unwrap();
        put(&mut one, "a", "1");
        assert_eq!(one.version().unwrap(), before);
        put(&mut other, "a", "2");
        assert_ne!(one.version().unwrap(), before);
    }

    #[test]
    fn a_newer_database_is_refused_and_untouched() {
        let (_dir, home) = home();
        let store = Store::open_or_create(&home).unwrap();
        store
            .connection
            .execute_batch("PRAGMA user_version = 999")
            .unwrap();
        store
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .unwrap();
        drop(store);
        let before = std::fs::read(home.db()).unwrap();
        assert!(matches!(
            Store::open_or_create(&home),
            Err(Error::Newer { found: 999, .. })
        ));
        assert_eq!(std::fs::read(home.db()).unwrap(), before);
    }

    #[test]
    fn a_damaged_database_is_kept_as_evidence() {
        let (_dir, home) = home();
        drop(Store::open_or_create(&home).unwrap());
        let _ = std::fs::remove_file(home.db_dir().join("conductor.db-wal"));
        fsx::write_atomic(&home.db(), &[b'x'; 8192]).unwrap();
        let Err(Error::SetAside(kept)) = Store::open(&home) else {
            panic!("expected the file to be set aside")
        };
        assert_eq!(std::fs::read(kept).unwrap(), vec![b'x'; 8192]);
        Store::open_or_create(&home).unwrap();
    }

    #[test]
    fn the_log_stays_small_over_many_short_lives() {
        let (_dir, home) = home();
        Store::open_or_create(&home).unwrap();
        let mut largest = 0;
        for round in 0..200 {
            let mut store = Store::open(&home).unwrap();
            put(&mut store, &round.to_string(), &"x".repeat(500));
            drop(store);
            largest = largest.max(
                std::fs::metadata(home.db_dir().join("conductor.db-wal")).map_or(0, |m| m.len()),
            );
        }
        assert!(largest <= 512 * 1024, "the log grew to {largest} bytes");
    }

    #[test]
    fn a_long_reader_keeps_no_writer_waiting() {
        let (_dir, home) = home();
        let mut store = Store::open_or_create(&home).unwrap();
        let mut reader = Store::open(&home).unwrap();
        put(&mut store, "first", "x");
        reader
            .read(|tx| {
                let count =
                    || tx.query_row("SELECT count(*) FROM meta", [], |row| row.get::<_, i64>(0));
                assert_eq!(count()?, 1);
                let begun = std::time::Instant::now();
                for round in 0..6 {
                    put(&mut store, &round.to_string(), &"x".repeat(100_000));
                }
                assert!(
                    begun.elapsed() < Duration::from_secs(2),
                    "{:?}",
                    begun.elapsed()
                );
                assert_eq!(count()?, 1, "it reads what it began with");
                Ok::<_, Error>(())
            })
            .unwrap();
        put(&mut store, "last", "x");
        let wal = std::fs::metadata(store.wal()).unwrap().len();
        assert!(wal < WAL_LIMIT, "the log was cut after that: {wal}");
    }

    #[test]
    fn a_failed_body_stores_nothing() {
        let (_dir, home) = home();
        let mut store = Store::open_or_create(&home).unwrap();
        let failed: Result<(), Error> = store.write(Durability::Power, Budget::Call, |tx| {
            tx.execute("INSERT INTO meta VALUES ('a', 'b')", [])?;
            Err(Error::Locked)
        });
        assert!(failed.is_err());
        let count: i64 = store
            .read(|tx| {
                Ok::<_, Error>(tx.query_row("SELECT count(*) FROM meta", [], |row| row.get(0))?)
            })
            .unwrap();
        assert_eq!(count, 0);
    }

    #[test]
    fn many_writers_at_once_lose_nothing() {
        let (_dir, home) = home();
        Store::open_or_create(&home).unwrap();
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let home = &home;
                scope.spawn(move || {
                    for round in 0..20 {
                        let mut store = Store::open(home).unwrap();
                        put(&mut store, &format!("{writer}-{round}"), "x");
                    }
                });
            }
        });
        let mut store = Store::open(&home).unwrap();
        let count: i64 = store
            .read(|tx| {
                Ok::<_, Error>(tx.query_row("SELECT count(*) FROM meta", [], |row| row.get(0))?)
            })
            .unwrap();
        assert_eq!(count, 160);
    }
}
