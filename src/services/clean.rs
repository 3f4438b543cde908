//! Taking away what is old: ended terminals, settled messages, logs, files that were left behind. Nothing that lives, waits, was not read or
//! was not merged is among it.
//!
//! It is never due by itself: it rides on a load of the plugin, on other ticks and on the ends of turns.

mod files;
mod rows;

use super::after::Aftermath;
use super::context::Context;
use super::identity::{self, Caller};
use crate::clock;
use crate::domain::terminal::Terminal;
use crate::error::{Failure, Result};
use crate::profiles::config::{self, Retention};
use crate::store::{Budget, DueKind, Durability, Error, Store, Tx};
use jiff::Timestamp;
use serde::Serialize;

/// How often it is done at the most when nobody asks for it, in milliseconds.
const EVERY_MS: i64 = 6 * 60 * 60 * 1000;

/// How soon it may be done again because a log has grown, in milliseconds.
const LOG_EVERY_MS: i64 = 60 * 1000;

/// How long after a load or the end of a turn it is done, in milliseconds: what follows comes first.
const SOON_MS: i64 = 3_000;

/// Under which small value the last time stands, and the size at which logs are cut.
const META: &str = "cleaned";

/// What is wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wish {
    /// Only say what would be done.
    pub dry_run: bool,
    /// In place of every number of days in the configuration.
    pub days: Option<u32>,
}

/// One thing, or many of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// What it is.
    pub what: &'static str,
    /// Which one, where it has a name.
    pub name: Option<String>,
    /// How many.
    pub count: u64,
    /// How much of the disk it takes, in bytes, where that is known.
    pub bytes: u64,
    /// Why it goes, or why it stays.
    pub why: String,
}

/// What was, or would be, removed and kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// What goes.
    pub removed: Vec<Item>,
    /// What is old and stays.
    pub kept: Vec<Item>,
}

/// From when on things are old.
#[derive(Debug, Clone, Copy)]
struct Ages {
    now: Timestamp,
    terminals: Timestamp,
    messages: Timestamp,
    logs: Timestamp,
    runs: Timestamp,
    tombstones: Timestamp,
    log_max: u64,
}

impl Ages {
    fn of(retention: &Retention, days: Option<u32>, now: Timestamp) -> Self {
        let before = |of_kind: u32| {
            let days = i64::from(days.unwrap_or(of_kind));
            clock::after_ms(now, -days * 24 * 60 * 60 * 1000)
        };
        Self {
            now,
            terminals: before(retention.terminals_days),
            messages: before(retention.messages_days),
            logs: before(retention.logs_days),
            runs: before(retention.runs_days),
            tombstones: before(retention.tombstones_days),
            log_max: retention.log_max_bytes,
        }
    }
}

/// Does it. For a person alone: an agent could destroy what shows what it did.
pub fn clean(cx: &Context, store: &mut Store, wish: Wish) -> Result<Report> {
    let actor = match identity::whoami(store)? {
        caller @ Caller::Person { .. } => caller.word(),
        _ => {
            return Err(
                Failure::refused("only a person may remove what is old").hint(
                    "run it in a terminal of your own; what [retention] says is removed by itself",
                ),
            );
        }
    };
    run(cx, store, wish, &actor)
}

/// Says what would be done, to whoever asks.
pub fn preview(cx: &Context, store: &mut Store, wish: Wish) -> Result<Report> {
    let dry = Wish {
        dry_run: true,
        ..wish
    };
    run(cx, store, dry, "")
}

/// Does it because it is time. What fails is logged: it comes round again.
pub fn by_itself(cx: &Context, store: &mut Store) {
    if let Err(failure) = run(cx, store, Wish::default(), "conductor") {
        tracing::warn!(%failure, "remove what is old");
    }
}

/// As [`by_itself`], when it was not done for long.
pub fn ride(cx: &Context, store: &mut Store) {
    match store.read(last) {
        Ok(Some((done, _))) if !long_ago(done, clock::now()) => {}
        Ok(_) => by_itself(cx, store),
        Err(error) => tracing::warn!(%error, "see whether it is time to remove what is old"),
    }
}

fn run(cx: &Context, store: &mut Store, wish: Wish, actor: &str) -> Result<Report> {
    let now = clock::now();
    let retention = config::load(&cx.home).map(|config| config.retention);
    let most = retention.as_ref().map_or_else(
        |_| Retention::default().log_max_bytes,
        |retention| retention.log_max_bytes,
    );
    let done = retention.and_then(|retention| {
        let ages = Ages::of(&retention, wish.days, now);
        let mut report = Report {
            dry_run: wish.dry_run,
            ..Report::default()
        };
        // First: on a full disk only this makes room.
        files::remove(cx, store, &ages, &mut report)?;
        rows::remove(cx, store, &ages, actor, &mut report)?;
        if !wish.dry_run {
            rows::compact(store, &mut report)?;
        }
        Ok(report)
    });
    if !wish.dry_run {
        // Also when it failed: it is not tried again at once.
        store.write(Durability::Process, Budget::Call, |tx| {
            tx.set_meta(META, &format!("{} {most}", now.as_millisecond()))
        })?;
    }
    done
}

/// When it was done last, and the size at which logs are cut, in bytes.
fn last(tx: &Tx<'_>) -> std::result::Result<Option<(i64, u64)>, Error> {
    Ok(tx.meta(META)?.as_deref().and_then(|last| {
        let (at, most) = last.split_once(' ')?;
        Some((at.parse().ok()?, most.parse().ok()?))
    }))
}

/// Milliseconds since the time `at`, none when that lies ahead: the clock was set back.
fn age(at: i64, now: Timestamp) -> Option<i64> {
    Some(now.as_millisecond() - at).filter(|age| *age >= 0)
}

fn long_ago(at: i64, now: Timestamp) -> bool {
    age(at, now).is_none_or(|age| age > EVERY_MS)
}

/// A turn of the agent has ended, whose log takes `log_bytes` of the disk: makes it due when it was not done for long, or when that is too
/// much.
pub fn after_turn(
    tx: &Tx<'_>,
    terminal: &Terminal,
    log_bytes: u64,
    at: Timestamp,
) -> std::result::Result<(), Error> {
    let wanted = match last(tx)? {
        Some((done, most)) => {
            let lately = age(done, at).is_some_and(|age| age < LOG_EVERY_MS);
            long_ago(done, at) || (log_bytes > most && !lately)
        }
        None => log_bytes > Retention::default().log_max_bytes,
    };
    if wanted {
        let server = super::deliver::socket(terminal);
        let soon = clock::after_ms(at, SOON_MS);
        tx.set_due(DueKind::Clean, "", server.as_deref(), soon)?;
    }
    Ok(())
}

/// The plugin was loaded into the server at hand: makes it due when it was not done for long. In a new state directory nothing is old.
pub fn after_load(cx: &Context, store: &mut Store) -> Result<()> {
    let now = clock::now();
    let mut aftermath = Aftermath::default();
    let socket = cx.tmux.socket().to_path_buf();
    let last = store.read(last)?;
    if last.is_some_and(|(done, _)| !long_ago(done, now)) {
        return Ok(());
    }
    store.write(Durability::Process, Budget::Call, |tx| {
        if last.is_none() {
            let most = Retention::default().log_max_bytes;
            return tx.set_meta(META, &format!("{} {most}", now.as_millisecond()));
        }
        let soon = clock::after_ms(now, SOON_MS);
        tx.set_due(DueKind::Clean, "", Some(&socket.to_string_lossy()), soon)?;
        aftermath.arm_at(tx, socket.clone(), now)
    })?;
    aftermath.run(cx, store);
    Ok(())
}
