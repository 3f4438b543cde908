//! The audit log: brought up to date, listed, checked.

use crate::domain::audit::Stored;
use crate::domain::audit::check::Report;
use crate::error::Result;
use crate::paths::Home;
use crate::store::{AuditFilter, Budget, Error, Store};

/// How many entries are read at once.
const PAGE: u32 = 1_000;

/// Writes into the log file what a process that died, or a full disk, left out of it. What fails is tried again by the next one.
pub fn catch_up(store: &mut Store) {
    match store.export_audit(Budget::Decision) {
        Ok(()) | Err(Error::Locked) => {}
        Err(error) => tracing::warn!(%error, "write the audit log"),
    }
}

/// The newest entries that `filter` lets through, the oldest of them first.
pub fn list(store: &mut Store, filter: &AuditFilter) -> Result<Vec<Stored>> {
    catch_up(store);
    Ok(store.read(|tx| tx.audit_entries(filter))?)
}

/// Hands every entry to `each`, in order.
pub fn all(store: &mut Store, mut each: impl FnMut(&Stored) -> Result<()>) -> Result<()> {
    catch_up(store);
    let mut from = 0;
    loop {
        let page = store.read(|tx| tx.audit_after(from, PAGE))?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        from = last.entry.seq;
        page.iter().try_for_each(&mut each)?;
    }
}

/// Checks chain and file; changes nothing, and mends nothing.
pub fn verify(home: &Home) -> Result<Report> {
    Ok(Store::open_to_look(home)?.check_audit()?)
}
