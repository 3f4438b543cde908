//! A connection that stays open.
//!
//! `SQLite`'s index of the write-ahead log is shared memory. Whoever finds nobody else at the database builds it anew from the whole log,
//! which is a seventh of what a hook costs; while one process has the database open, all others find the index as it is.

use super::db::Store;
use crate::paths::Home;
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, PoisonError};

/// Keeps the database open and does nothing with it: no lock is held, and nobody waits for it.
#[derive(Debug)]
pub struct Presence {
    home: Home,
    /// The open database, and the file that it is.
    held: Mutex<Option<(Store, u64)>>,
}

impl Presence {
    /// At the state in `home`, if there is one.
    pub fn at(home: &Home) -> Self {
        let presence = Self {
            home: home.clone(),
            held: Mutex::new(None),
        };
        presence.renew();
        presence
    }

    /// Opens the database if it has been made or replaced meanwhile. What cannot be opened is for those who need it to say.
    pub fn renew(&self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let file = std::fs::metadata(self.home.db()).map(|found| found.ino());
        let Ok(file) = file else {
            *held = None;
            return;
        };
        if held.as_ref().is_none_or(|(_, known)| *known != file) {
            // To look only: what is damaged stays for a call that can say so, and nothing is changed for a new version.
            *held = Store::open_to_look(&self.home)
                .ok()
                .map(|store| (store, file));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Budget, Durability, Error};

    fn file(home: &Home) -> Option<u64> {
        std::fs::metadata(home.db()).ok().map(|found| found.ino())
    }

    fn held(presence: &Presence) -> Option<u64> {
        let held = presence.held.lock().unwrap();
        held.as_ref().map(|(_, file)| *file)
    }

    #[test]
    fn what_is_damaged_stays_for_those_who_can_say_so() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path().join("state")).unwrap();
        Store::open_or_create(&home).unwrap().checkpoint().unwrap();
        crate::fsx::write_atomic(&home.db(), &[b'x'; 8192]).unwrap();
        let presence = Presence::at(&home);
        assert_eq!(held(&presence), None);
        assert_eq!(std::fs::read(home.db()).unwrap(), [b'x'; 8192]);
        assert!(matches!(Store::open(&home), Err(Error::SetAside(_))));
    }

    #[test]
    fn it_follows_the_database_and_is_in_nobodys_way() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path().join("state")).unwrap();
        let presence = Presence::at(&home);
        assert_eq!(held(&presence), None, "it makes no state");
        drop(Store::open_or_create(&home).unwrap());
        presence.renew();
        assert_eq!(held(&presence), file(&home));
        let mut store = Store::open(&home).unwrap();
        store
            .write(Durability::Power, Budget::Call, |tx| {
                tx.trust_project("/a", &[], crate::clock::now())
            })
            .unwrap();
        store.checkpoint().unwrap();
        let log = std::fs::metadata(home.db().with_extension("db-wal")).unwrap();
        assert_eq!(log.len(), 0, "a checkpoint cuts the log all the same");
        drop(store);
        std::fs::remove_dir_all(home.root()).unwrap();
        presence.renew();
        assert_eq!(held(&presence), None);
        let mut store = Store::open_or_create(&home).unwrap();
        presence.renew();
        assert_eq!(held(&presence), file(&home));
        store.read(|_| Ok::<_, Error>(())).unwrap();
    }
}
