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

/// Longer than this, in milliseconds, nobody leaves it undone: the clock has been set wrong, or the machine was off.
const JUMP_MS: i64 = 90 * 24 * 60 * 60 * 1000;

/// How soon it may be done again because a log has grown, in milliseconds.
const LOG_EVERY_MS: i64 = 60 * 1000;

/// How long after a load or the end of a turn it is done, in milliseconds: what follows comes first.
const SOON_MS: i64 = 3_000;

/// What is younger than this is never old, whatever a person says, in milliseconds: somebody may be about to look at it.
const YOUNG_MS: i64 = 10 * 60 * 1000;

/// Under which small value [`Last`] stands.
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
            clock::after_ms(now, -(days * 24 * 60 * 60 * 1000).max(YOUNG_MS))
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
        caller => {
            // Where nothing can be stored, the refusal is what counts.
            if let Caller::Mismatch(claimed) = &caller
                && let Err(error) = identity::refused(store, &caller, claimed, "clean")
            {
                tracing::warn!(%error, "audit a false claim");
            }
            return Err(
                Failure::refused("only a person may remove what is old").hint(
                    "run it in a terminal of your own; what [retention] says is removed by itself",
                ),
            );
        }
    };
    // What makes room comes first, whether or not anything can be stored.
    let report = run(cx, store, wish, &actor);
    begin(cx, store, false)?;
    report
}

/// Says what would be done, to whoever asks.
pub fn preview(cx: &Context, store: &mut Store, wish: Wish) -> Result<Report> {
    let dry = Wish {
        dry_run: true,
        ..wish
    };
    run(cx, store, dry, "")
}

/// Does it because it is due: all of it when it was not done for long, and nobody else has just begun; else only what has grown too large.
/// What fails is logged: it comes round again.
pub fn by_itself(cx: &Context, store: &mut Store) {
    let jumped = store.read(last).ok().flatten().is_some_and(jumped);
    let begun = begin(cx, store, true);
    if jumped && begun.is_ok() {
        // By such a clock everything is old: it counts when it still says so the next time.
        tracing::warn!("what is old is not removed yet: the clock has jumped");
        return;
    }
    let done = match begun {
        Ok(true) => run(cx, store, Wish::default(), "conductor").map(drop),
        Ok(false) => make_room(cx, store),
        // On a full disk nothing can be stored, and room can be made.
        Err(failure) => make_room(cx, store).and(Err(failure)),
    };
    if let Err(failure) = done {
        tracing::warn!(%failure, "remove what is old");
    }
}

/// As [`by_itself`], when it was not done for long.
pub fn ride(cx: &Context, store: &mut Store) {
    match store.read(last) {
        Ok(Some(last)) if !long_ago(last.done, clock::now()) => {}
        Ok(_) => by_itself(cx, store),
        Err(error) => tracing::warn!(%error, "see whether it is time to remove what is old"),
    }
}

/// Makes logs that are too large smaller and removes files that are old; stores nothing.
pub fn make_room(cx: &Context, store: &mut Store) -> Result<()> {
    let retention = config::load(&cx.home)?.retention;
    let ages = Ages::of(&retention, None, clock::now());
    files::remove(cx, store, &ages, &mut Report::default())
}

/// Notes that it is being done from now on, so that no other begins too; `false` when `if_due` and it was done lately.
fn begin(cx: &Context, store: &mut Store, if_due: bool) -> Result<bool> {
    let now = clock::now();
    // A file with an error in it is said by whoever needs it; it is looked at again when it is time.
    let retention = config::load(&cx.home).unwrap_or_default().retention;
    Ok(store.write(Durability::Process, Budget::Call, |tx| {
        let whole = !if_due || last(tx)?.is_none_or(|last| long_ago(last.done, now));
        let done = match last(tx)? {
            Some(last) if !whole => last.done,
            _ => now.as_millisecond(),
        };
        let mark = Last {
            done,
            logs: now.as_millisecond(),
            most: retention.log_max_bytes,
        };
        tx.set_meta(META, &mark.text())?;
        Ok::<_, Error>(whole)
    })?)
}

fn run(cx: &Context, store: &mut Store, wish: Wish, actor: &str) -> Result<Report> {
    let retention = config::load(&cx.home)?.retention;
    let ages = Ages::of(&retention, wish.days, clock::now());
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
}

/// What is remembered of the last time.
#[derive(Debug, Clone, Copy)]
struct Last {
    /// When all of it was begun, in milliseconds of Unix time.
    done: i64,
    /// When the logs were looked at.
    logs: i64,
    /// The size at which logs are cut, in bytes: a hook does not read the configuration.
    most: u64,
}

impl Last {
    fn text(self) -> String {
        format!("{} {} {}", self.done, self.logs, self.most)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        Some(Self {
            done: words.next()?.parse().ok()?,
            logs: words.next()?.parse().ok()?,
            most: words.next()?.parse().ok()?,
        })
    }
}

fn last(tx: &Tx<'_>) -> std::result::Result<Option<Last>, Error> {
    Ok(tx.meta(META)?.as_deref().and_then(Last::parse))
}

/// Milliseconds since the time `at`, none when that lies ahead: the clock was set back.
fn age(at: i64, now: Timestamp) -> Option<i64> {
    Some(now.as_millisecond() - at).filter(|age| *age >= 0)
}

fn jumped(last: Last) -> bool {
    age(last.done, clock::now()).is_some_and(|age| age > JUMP_MS)
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
        Some(last) => {
            let lately = age(last.logs, at).is_some_and(|age| age < LOG_EVERY_MS);
            long_ago(last.done, at) || (log_bytes > last.most && !lately)
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
    if last.is_some_and(|last| !long_ago(last.done, now)) {
        return Ok(());
    }
    store.write(Durability::Process, Budget::Call, |tx| {
        if last.is_none() {
            let mark = Last {
                done: now.as_millisecond(),
                logs: now.as_millisecond(),
                most: Retention::default().log_max_bytes,
            };
            return tx.set_meta(META, &mark.text());
        }
        let soon = clock::after_ms(now, SOON_MS);
        tx.set_due(DueKind::Clean, "", Some(&socket.to_string_lossy()), soon)?;
        aftermath.arm_at(tx, socket.clone(), now)
    })?;
    aftermath.run(cx, store);
    Ok(())
}
