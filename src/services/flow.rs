//! Flows: prompts that are given to fresh agents at set times.
//!
//! Each due time is one row of the ledger; whoever inserts it has it, and what was begun is never begun again: a flow acts on the world.
//! Nothing waits in a process. The due table knows each flow's next time, and when its runs are looked after.

mod clear;
mod driver;
mod due;
mod fate;
mod file;
mod gate;
mod held;
mod moving;
mod origin;
mod start;
mod units;

pub use driver::{Driver, drivers};
pub use due::due;
pub use moving::move_here;
pub use units::{Unit, units};

use super::after::Aftermath;
use super::context::Context;
use super::deliver::socket;
use super::find;
use crate::clock;
use crate::domain::flow::cron::Schedule;
use crate::domain::flow::{Flow, Outcome, Run, next, plan};
use crate::domain::ids::Name;
use crate::domain::message::MessageStatus;
use crate::domain::terminal::Terminal;
use crate::domain::text::one_line;
use crate::error::{Failure, Result};
use crate::store::{Budget, DueKind, Durability, Store, Tx};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::path::{Path, PathBuf};

/// A run that goes on is looked at this often, in milliseconds.
const LOOK_MS: i64 = 30_000;

/// A flow whose times cannot be told is looked at again after this time, in milliseconds.
const PUT_OFF_MS: i64 = 60_000;

/// Why a run that waited for a flow that is gone did not run.
const REMOVED: &str = "the flow was removed";

/// Becomes the script of a flow, whose file and arguments are `words`; `held`: the program is the file that is standard input. It ends with
/// the helper `parent`. Returns only when that fails.
pub fn become_script(parent: i32, held: bool, words: &[String]) -> Failure {
    held::become_script(parent, held, words)
}

/// What `flow add` did.
#[derive(Debug)]
pub struct Added {
    /// The flow.
    pub flow: Flow,
    /// What somebody should look at.
    pub warnings: Vec<String>,
}

/// What a run would do.
#[derive(Debug)]
pub struct Preview {
    /// The filled prompt, unless the script does not want it.
    pub prompt: Option<String>,
    /// Why it would not run.
    pub reason: Option<String>,
    /// The provider of the agent.
    pub provider: String,
    /// Whether a new session would be made.
    pub new_session: bool,
    /// The next times at which it starts.
    pub next_runs: Vec<Timestamp>,
}

fn server_text(flow: &Flow) -> String {
    flow.server.to_string_lossy().into_owned()
}

/// The schedule of a flow, and the zone that it is read in.
fn times(flow: &Flow) -> Result<(Schedule, TimeZone)> {
    let schedule = Schedule::parse(&flow.schedule)
        .map_err(|e| Failure::failed(format!("read the schedule of flow {}: {e}", flow.name)))?;
    let zone = clock::zone(&flow.timezone).ok_or_else(|| {
        Failure::failed(format!(
            "the time zone {} of flow {} is not known any more",
            flow.timezone, flow.name
        ))
        .hint("install the system's time zone data (tzdata)")
    })?;
    Ok((schedule, zone))
}

/// The flow of this name.
pub fn known(store: &mut Store, name: &str) -> Result<Flow> {
    store.read(|tx| tx.flow(name))?.ok_or_else(|| {
        Failure::not_found(format!("there is no flow {:?}", one_line(name)))
            .hint("`conductor-hook flow list` shows them; `conductor-hook flow add FILE` adds one")
    })
}

/// Accepts the flow in the file at `path`, or accepts it again after it was changed. A project's flow must be trusted.
pub fn add(cx: &Context, store: &mut Store, path: &Path, actor: &str) -> Result<Added> {
    let file::Read { mut flow, warnings } = file::read(cx, store, path)?;
    Name::parse(&flow.name).map_err(find::invalid)?;
    let (schedule, zone) = times(&flow)?;
    let mut aftermath = Aftermath::default();
    store.write(Durability::Power, Budget::Call, |tx| {
        let now = clock::now();
        let mut told = None;
        if let Some(old) = tx.flow(&flow.name)? {
            if old.path != flow.path {
                return Err(Failure::refused(format!(
                    "there is a flow {} already, from {}",
                    flow.name,
                    one_line(&old.path.to_string_lossy())
                ))
                .hint(format!("`conductor-hook flow remove {}` first, or choose another name", flow.name)));
            }
            flow.enabled = old.enabled;
            // A time that has come and is not told yet stays one.
            let same = old.schedule == flow.schedule && old.timezone == flow.timezone;
            told = old.next_slot.filter(|slot| same && *slot <= now);
        }
        let next = || next::next(&schedule, &zone, now);
        flow.next_slot = flow.enabled.then(|| told.or_else(next)).flatten();
        tx.put_flow(&flow)?;
        let detail = serde_json::json!({"path": flow.path, "sha256": flow.sha256, "schedule": flow.schedule});
        tx.audit(now, "flow.added", &flow.name, actor, "cli", detail)?;
        Ok(arm_in(tx, &flow.name, now, &mut aftermath)?)
    })?;
    aftermath.run(cx, store);
    Ok(Added { flow, warnings })
}

/// Lets a flow run at its times, from the next one on.
pub fn enable(cx: &Context, store: &mut Store, name: &str, actor: &str) -> Result<Flow> {
    let flow = known(store, name)?;
    let (schedule, zone) = times(&flow)?;
    let next = |now| next::next(&schedule, &zone, now);
    switch(cx, store, &flow, actor, next)
}

/// Keeps a flow from running at its times. What goes on goes on; what waits is skipped.
pub fn disable(cx: &Context, store: &mut Store, name: &str, actor: &str) -> Result<Flow> {
    let flow = known(store, name)?;
    switch(cx, store, &flow, actor, |_| None)
}

fn switch(
    cx: &Context,
    store: &mut Store,
    flow: &Flow,
    actor: &str,
    next: impl FnOnce(Timestamp) -> Option<Timestamp>,
) -> Result<Flow> {
    let mut aftermath = Aftermath::default();
    store.write(Durability::Power, Budget::Call, |tx| {
        let now = clock::now();
        let next = next(now);
        let action = if next.is_some() {
            "flow.enabled"
        } else {
            let reason = "the flow was disabled";
            skip_waiting(tx, &flow.name, reason, now)?;
            if let Some(slot) = tx.flow(&flow.name)?.and_then(|flow| flow.next_slot)
                && slot <= now
            {
                tx.enter_slot(&flow.name, slot, Outcome::Skipped, reason, now)?;
            }
            "flow.disabled"
        };
        if flow.enabled != next.is_some() {
            tx.set_flow_next(&flow.name, next.is_some(), next)?;
            tx.audit(now, action, &flow.name, actor, "cli", serde_json::json!({}))?;
        }
        arm_in(tx, &flow.name, now, &mut aftermath)
    })?;
    aftermath.run(cx, store);
    known(store, &flow.name)
}

fn skip_waiting(
    tx: &Tx<'_>,
    name: &str,
    reason: &str,
    now: Timestamp,
) -> std::result::Result<(), crate::store::Error> {
    for run in tx.open_runs(name)?.iter().filter(|run| run.waits()) {
        settle_in(tx, run, Outcome::Skipped, Some(reason), now)?;
    }
    Ok(())
}

/// Removes a flow. Its file, its ledger, and a run that goes on stay.
pub fn remove(cx: &Context, store: &mut Store, name: &str, actor: &str) -> Result<Flow> {
    let flow = known(store, name)?;
    let mut aftermath = Aftermath::default();
    store.write(Durability::Power, Budget::Call, |tx| {
        let now = clock::now();
        skip_waiting(tx, name, REMOVED, now)?;
        tx.remove_flow(name)?;
        tx.audit(
            now,
            "flow.removed",
            name,
            actor,
            "cli",
            serde_json::json!({"path": flow.path}),
        )?;
        arm_in(tx, name, now, &mut aftermath)?;
        aftermath.arm_at(tx, flow.server.clone(), now)
    })?;
    aftermath.run(cx, store);
    Ok(flow)
}

/// Runs a flow now, by its policy for overlaps; returns the run as it is when it was started.
pub fn run(cx: &Context, store: &mut Store, name: &str, actor: &str) -> Result<Run> {
    let flow = known(store, name)?;
    due::run_now(cx, store, &flow, actor)
}

/// What a run now would do. The script is asked; nothing else is started.
pub fn preview(cx: &Context, store: &mut Store, name: &str) -> Result<(Flow, Preview)> {
    let flow = known(store, name)?;
    let filled = start::fill(cx, store, &flow, (clock::now(), None))?;
    let (plan, new_session) = start::plan(&start::place(cx, &flow), store, &flow, None)?;
    let (prompt, reason) = match filled {
        start::Filled::Prompt(prompt) => (Some(prompt), None),
        start::Filled::Skip(reason) => (None, Some(reason)),
    };
    let preview = Preview {
        prompt,
        reason,
        provider: plan.manifest.name,
        new_session,
        next_runs: next_runs(&flow, 5)?,
    };
    Ok((flow, preview))
}

/// When the next `count` runs start, whether the flow is switched on or not.
pub fn next_runs(flow: &Flow, count: usize) -> Result<Vec<Timestamp>> {
    let (schedule, zone) = times(flow)?;
    let mut at = clock::now();
    let mut found = Vec::new();
    while found.len() < count
        && let Some(slot) = next::next(&schedule, &zone, at)
    {
        found.push(plan::fire_at(&flow.name, slot, flow.jitter_ms));
        at = slot;
    }
    Ok(found)
}

/// Why the next run of a flow would fail, as far as its files say.
pub fn fault(store: &mut Store, flow: &Flow) -> Option<String> {
    let found = times(flow).and_then(|_| file::accepted(store, flow));
    found.err().map(|failure| failure.message().to_owned())
}

/// Ends a run, with its entry in the audit log.
fn settle(store: &mut Store, run: &Run, outcome: Outcome, reason: Option<&str>) -> Result<bool> {
    let settled = store.write(Durability::Process, Budget::Call, |tx| {
        settle_in(tx, run, outcome, reason, clock::now())
    })?;
    crate::failpoint::hit("flow.settled");
    Ok(settled)
}

fn settle_in(
    tx: &Tx<'_>,
    run: &Run,
    outcome: Outcome,
    reason: Option<&str>,
    now: Timestamp,
) -> std::result::Result<bool, crate::store::Error> {
    let settled = tx.settle_run(run.id, outcome, reason, now)?;
    if settled {
        let detail = serde_json::json!({"due_at": run.due_at, "outcome": outcome, "reason": reason, "terminal": run.terminal});
        let actor = format!("flow:{}", run.flow);
        tx.audit(now, "flow.ended", &run.flow, &actor, "flow", detail)?;
    }
    Ok(settled)
}

/// Makes the flow due when it is to be looked at next, in the caller's transaction.
fn arm_in(
    tx: &Tx<'_>,
    name: &str,
    now: Timestamp,
    aftermath: &mut Aftermath,
) -> std::result::Result<(), crate::store::Error> {
    let flow = tx.flow(name)?;
    let server = flow.as_ref().map(server_text);
    match wanted(tx, name, flow.as_ref())? {
        Some(at) => tx.reset_due(DueKind::Flow, name, server.as_deref(), at)?,
        None => tx.clear_due(DueKind::Flow, name)?,
    }
    if let Some(flow) = flow {
        aftermath.arm_at(tx, flow.server, now)?;
    }
    Ok(())
}

/// When the flow `name` is to be looked at next.
fn wanted(
    tx: &Tx<'_>,
    name: &str,
    flow: Option<&Flow>,
) -> std::result::Result<Option<Timestamp>, crate::store::Error> {
    let open = tx.open_runs(name)?;
    let closing = !tx.closing_runs(name)?.is_empty();
    // Its end may have been told while this flow was looked after.
    let ended = match open.first().and_then(|run| run.terminal.as_ref()) {
        Some(id) => tx.terminal(id)?.is_none_or(|terminal| !terminal.alive()),
        None => false,
    };
    let clocks = fate::moment();
    Ok(due::wanted(flow, &open, (closing, ended), &clocks))
}

fn arm(cx: &Context, store: &mut Store, name: &str) -> Result<()> {
    let mut aftermath = Aftermath::default();
    store.write(Durability::Process, Budget::Call, |tx| {
        arm_in(tx, name, clock::now(), &mut aftermath)
    })?;
    aftermath.run(cx, store);
    Ok(())
}

/// The times of a flow cannot be told now: it is looked at again after a while.
fn put_off(cx: &Context, store: &mut Store, flow: &Flow) -> Result<()> {
    let mut aftermath = Aftermath::default();
    store.write(Durability::Process, Budget::Call, |tx| {
        let now = clock::now();
        let at = clock::after_ms(now, PUT_OFF_MS);
        tx.reset_due(DueKind::Flow, &flow.name, Some(&server_text(flow)), at)?;
        aftermath.arm_at(tx, flow.server.clone(), now)
    })?;
    aftermath.run(cx, store);
    Ok(())
}

/// A turn of a flow's agent is over: if its prompt reached it, this ends the run, unless it goes on within the quiet time.
pub(super) fn turn_over(
    tx: &Tx<'_>,
    terminal: &Terminal,
    failed: Option<&str>,
    at: Timestamp,
) -> std::result::Result<(), crate::store::Error> {
    let Some(run) = tx.run_of_terminal(&terminal.id)? else {
        return Ok(());
    };
    let prompt = match run.message {
        Some(id) => tx.message(id)?,
        None => None,
    };
    if prompt.is_some_and(|prompt| prompt.status == MessageStatus::Submitted) {
        tx.note_turn_end(run.id, failed, at)?;
        look_soon(tx, terminal, &run, clock::after_ms(at, fate::QUIET_MS))?;
    }
    Ok(())
}

/// The terminal of a run has ended.
pub(super) fn ended(
    tx: &Tx<'_>,
    terminal: &Terminal,
    at: Timestamp,
) -> std::result::Result<(), crate::store::Error> {
    match tx.run_of_terminal(&terminal.id)? {
        Some(run) => look_soon(tx, terminal, &run, at),
        None => Ok(()),
    }
}

fn look_soon(
    tx: &Tx<'_>,
    terminal: &Terminal,
    run: &Run,
    at: Timestamp,
) -> std::result::Result<(), crate::store::Error> {
    tx.set_due(DueKind::Flow, &run.flow, socket(terminal).as_deref(), at)
}

/// Flows for which nothing is due, or too late: what was due was lost, or the clock was set back. Makes them due.
pub fn heal(store: &mut Store) -> Result<()> {
    let now = clock::now();
    let found = store.read(|tx| {
        let mut found = Vec::new();
        let mut names: Vec<(String, Option<Flow>)> = Vec::new();
        for flow in tx.flows()? {
            names.push((flow.name.clone(), Some(flow)));
        }
        for name in tx.flows_with_open_runs()? {
            if names.iter().all(|(other, _)| *other != name) {
                names.push((name, None));
            }
        }
        for (name, flow) in names {
            let wanted = wanted(tx, &name, flow.as_ref())?;
            let due = tx.due_at(DueKind::Flow, &name)?;
            found.push((name, flow, wanted, due));
        }
        Ok::<_, crate::store::Error>(found)
    })?;
    let mut late = Vec::new();
    for (name, flow, wanted, due) in found {
        let back = flow.as_ref().and_then(|flow| {
            let (schedule, zone) = times(flow).ok()?;
            Some(plan::set_back(&schedule, &zone, flow.next_slot?, now))
        });
        let wanted = if back == Some(true) {
            Some(now)
        } else {
            wanted
        };
        if let Some(at) = wanted
            && due.is_none_or(|due| due > clock::after_ms(at, LOOK_MS))
        {
            late.push((name, flow, at));
        }
    }
    if late.is_empty() {
        return Ok(());
    }
    Ok(store.write(Durability::Process, Budget::Call, |tx| {
        for (name, flow, at) in &late {
            tx.set_due(
                DueKind::Flow,
                name,
                flow.as_ref().map(server_text).as_deref(),
                *at,
            )?;
        }
        Ok::<_, crate::store::Error>(())
    })?)
}

/// Sockets of the tmux servers in which flows wait and no timer runs.
pub(super) fn unwatched(
    tx: &Tx<'_>,
    now: Timestamp,
) -> std::result::Result<Vec<PathBuf>, crate::store::Error> {
    let mut found = Vec::new();
    for socket in tx.flow_servers()? {
        let armed = tx.armed_at(&socket.to_string_lossy())?;
        // A timer that should have fired two seconds ago is lost, or was never armed.
        let lost = |at: Timestamp| clock::after_ms(at, 2_000) < now;
        if armed.is_none_or(lost) || tx.next_due(&socket.to_string_lossy())?.is_some_and(lost) {
            found.push(socket);
        }
    }
    Ok(found)
}
