//! The time of a flow has come, or one of its runs wants to be looked after.

use super::super::answer::own;
use super::super::context::Context;
use super::clear;
use super::fate::{self, Fate};
use super::{LOOK_MS, REMOVED, arm, put_off, server_text, settle, start, times};
use crate::clock::{self, Deadline};
use crate::domain::flow::{CatchUp, Flow, Moment, Outcome, Overlap, Run, plan};
use crate::error::{Failure, Result};
use crate::failpoint;
use crate::store::{Budget, DueKind, Durability, Store, Tx};
use jiff::Timestamp;

/// Most runs of one flow that wait.
const MOST_WAITING: usize = 100;

/// After this time one call begins no further run.
const MOST_STARTING: std::time::Duration = std::time::Duration::from_secs(20);

/// A process that starts a run, or a terminal that is to be closed, is looked for again after this time, in milliseconds.
const STARTING_MS: i64 = 5_000;

/// How long the end of a turn is looked at again and again, in milliseconds.
const TOLD_MS: i64 = 5_000;

/// Does what is due about the flow `name`. Of two ticks at once, whoever enters a time into the ledger, and then claims it, has it.
pub fn due(cx: &Context, store: &mut Store, name: &str) -> Result<()> {
    look_after(cx, store, name)?;
    clear::close_asked(cx, store, name)?;
    if let Some(flow) = store.read(|tx| tx.flow(name))? {
        let taken = take_times(cx, store, &flow);
        start_waiting(cx, store, &flow)?;
        if let Err(failure) = taken {
            tracing::warn!(flow = name, %failure, "tell the times of a flow");
            return put_off(cx, store, &flow);
        }
    }
    arm(cx, store, name)
}

/// Settles the runs that are over, and those that wait for a flow that is gone.
fn look_after(cx: &Context, store: &mut Store, name: &str) -> Result<()> {
    let now = fate::moment();
    let (flow, runs) = store.read(|tx| {
        let mut found = Vec::new();
        for run in tx.open_runs(name)? {
            let terminal = match &run.terminal {
                Some(id) => tx.terminal(id)?,
                None => None,
            };
            let prompt = match run.message {
                Some(id) => tx.message(id)?,
                None => None,
            };
            found.push((run, terminal, prompt));
        }
        Ok::<_, crate::store::Error>((tx.flow(name)?, found))
    })?;
    for (run, terminal, prompt) in &runs {
        if run.waits() {
            // Whoever entered it had read the flow before it was removed.
            if flow.is_none() {
                settle(store, run, Outcome::Skipped, Some(REMOVED))?;
            }
            continue;
        }
        let starting = run.lease.is_some_and(clear::lives);
        // The one that started it ended after it was read: it may have noted the terminal before it did.
        if !starting
            && run.message.is_none()
            && store.read(|tx| tx.run(run.id))?.as_ref() != Some(run)
        {
            continue;
        }
        match fate::of(run, terminal.as_ref(), prompt.as_ref(), starting, &now) {
            Fate::GoesOn => {}
            Fate::Over(outcome, reason) => {
                // What is closed is closed before its run is settled: who is killed in between leaves nothing that nobody looks after.
                if run.message.is_none() {
                    clear::close_unnoted(cx, store, run)?;
                }
                settle(store, run, outcome, reason.as_deref())?;
            }
            Fate::Late(reason) => {
                store.write(Durability::Process, Budget::Call, |tx| {
                    end_in(tx, run, &reason, now.wall)
                })?;
                failpoint::hit("flow.late");
            }
        }
    }
    Ok(())
}

/// Fails a run, and asks for the end of its terminal, which [`clear::close_asked`] does, now or after whoever asks was killed.
fn end_in(
    tx: &Tx<'_>,
    run: &Run,
    reason: &str,
    now: Timestamp,
) -> std::result::Result<bool, crate::store::Error> {
    let settled = super::settle_in(tx, run, Outcome::Failed, Some(reason), now)?;
    if settled && !run.waits() {
        tx.set_closing(run.id, true)?;
        let at = clock::after_ms(now, STARTING_MS);
        tx.set_due(DueKind::Flow, &run.flow, None, at)?;
    }
    Ok(settled)
}

/// Enters the times that have come into the ledger, and the next one into the flow.
fn take_times(cx: &Context, store: &mut Store, flow: &Flow) -> Result<()> {
    let (Some(slot), true) = (flow.next_slot, flow.enabled) else {
        return Ok(());
    };
    let now = clock::now();
    let (schedule, zone) = times(flow)?;
    let set_back = plan::set_back(&schedule, &zone, slot, now);
    let what = (flow.name.as_str(), flow.jitter_ms, flow.catch_up);
    let verdict = plan::judge(&schedule, &zone, what, slot, now);
    if verdict.is_none() && !set_back {
        return Ok(());
    }
    store.write(Durability::Power, Budget::Call, |tx| {
        // Another tick was here, or somebody changed the flow.
        if tx.flow(&flow.name)?.as_ref() != Some(flow) {
            return Ok(());
        }
        let Some(verdict) = &verdict else {
            tracing::warn!(flow = %flow.name, "the clock was set back");
            tx.forget_future(&flow.name, now)?;
            let next = crate::domain::flow::next::next(&schedule, &zone, now);
            return tx.set_flow_next(&flow.name, true, next);
        };
        enter(tx, flow, verdict, now)?;
        tx.trim_runs(&flow.name)?;
        tx.set_flow_next(&flow.name, true, verdict.next)
    })?;
    failpoint::hit("flow.entered");
    clear::close_asked(cx, store, &flow.name)
}

fn enter(
    tx: &Tx<'_>,
    flow: &Flow,
    verdict: &plan::Verdict,
    now: Timestamp,
) -> std::result::Result<(), crate::store::Error> {
    for (index, slot) in verdict.missed.iter().enumerate() {
        let mut reason = match (flow.catch_up, verdict.run.last()) {
            (CatchUp::One, Some(run)) => {
                format!("nothing ran at that time; the run due at {run} stands for it")
            }
            (CatchUp::All, _) => "nothing ran at that time, and too many came after it".to_owned(),
            _ => "nothing ran at that time".to_owned(),
        };
        if let (true, 0, Some(next)) = (verdict.summed, index, verdict.missed.get(1)) {
            reason.push_str(&format!(
                "; the times from it to {next} were missed with it"
            ));
        }
        tx.enter_slot(&flow.name, *slot, Outcome::Missed, &reason, now)?;
    }
    let many = verdict.run.len() > 1;
    for slot in &verdict.run {
        let open = tx.open_runs(&flow.name)?;
        let waiting = open.iter().filter(|run| run.waits()).count();
        // Times that are caught up never stand in each other's way.
        let overlap = if many { Overlap::Queue } else { flow.overlap };
        match (open.first(), overlap) {
            (None, _) => {
                tx.enter_run(&flow.name, *slot, None)?;
            }
            (Some(first), Overlap::Skip) => {
                let reason = format!("the run due at {} goes on", first.due_at);
                tx.enter_slot(&flow.name, *slot, Outcome::Skipped, &reason, now)?;
            }
            (Some(_), Overlap::Queue) if waiting >= MOST_WAITING => {
                let reason = format!("{waiting} runs wait already");
                tx.enter_slot(&flow.name, *slot, Outcome::Skipped, &reason, now)?;
            }
            (Some(_), Overlap::Queue) => {
                tx.enter_run(&flow.name, *slot, Some("waits for the run before it"))?;
            }
            (Some(_), Overlap::Replace) => {
                if tx.enter_run(&flow.name, *slot, None)?.is_some() {
                    replace(tx, &open, *slot, now)?;
                }
            }
        }
    }
    Ok(())
}

/// Ends `open` for the run due at `slot`.
fn replace(
    tx: &Tx<'_>,
    open: &[Run],
    slot: Timestamp,
    now: Timestamp,
) -> std::result::Result<(), crate::store::Error> {
    let reason = format!("replaced by the run due at {slot}");
    for run in open {
        end_in(tx, run, &reason, now)?;
    }
    Ok(())
}

/// Starts the run that waits longest, if none goes on; and the one after it, if that was over at once.
fn start_waiting(cx: &Context, store: &mut Store, flow: &Flow) -> Result<()> {
    let deadline = Deadline::after(MOST_STARTING);
    // What is left is due at once, in a tick of its own: other flows come in between.
    while !deadline.passed() {
        let Some(run) = claim(store, flow)? else {
            return Ok(());
        };
        failpoint::hit("flow.claimed");
        start::start(cx, store, flow, &run)?;
    }
    Ok(())
}

fn claim(store: &mut Store, flow: &Flow) -> Result<Option<Run>> {
    let lease = own();
    let now = fate::moment();
    let deadline = now.after_ms(fate::START_MS);
    Ok(store.write(Durability::Power, Budget::Call, |tx| {
        let open = tx.open_runs(&flow.name)?;
        match open.first() {
            Some(run) if run.waits() && tx.claim_run(run.id, lease, now.wall, &deadline)? => {
                tx.run(run.id)
            }
            _ => Ok(None),
        }
    })?)
}

/// When a flow is to be looked at next; `ended`: the terminal of its first run has ended.
pub(super) fn wanted(
    flow: Option<&Flow>,
    open: &[Run],
    (closing, ended): (bool, bool),
    clocks: &Moment,
) -> Option<Timestamp> {
    let now = clocks.wall;
    let slot = flow.filter(|flow| flow.enabled).and_then(Flow::next_run);
    let run = open.first().map(|run| {
        if run.waits() || ended {
            return now;
        }
        let look = clock::after_ms(now, LOOK_MS);
        // One that went on after the end of a turn tells its next end.
        let told = run
            .turn_ended_at
            .filter(|at| clock::elapsed_ms(*at, now) < TOLD_MS)
            .map(|at| clock::after_ms(at, fate::QUIET_MS).max(clock::after_ms(now, 500)));
        match (run.message, told) {
            (None, _) => clock::after_ms(now, STARTING_MS),
            (_, Some(told)) => told.min(look),
            _ => run.deadline.as_ref().map_or(look, |end| {
                look.min(clock::after_ms(now, end.left_ms(clocks).max(0)))
            }),
        }
    });
    let closing = closing.then(|| clock::after_ms(now, STARTING_MS));
    [slot, run, closing].into_iter().flatten().min()
}

/// Runs a flow now, because a person says so; returns the run as it is then.
pub(super) fn run_now(cx: &Context, store: &mut Store, flow: &Flow, actor: &str) -> Result<Run> {
    let run = store.write(Durability::Power, Budget::Call, |tx| {
        let now = clock::now();
        if tx.flow(&flow.name)?.is_none() {
            return Err(Failure::not_found(format!("the flow {} was removed", flow.name)));
        }
        let open = tx.open_runs(&flow.name)?;
        let reason = match (open.first(), flow.overlap) {
            (Some(first), Overlap::Skip) => {
                return Err(Failure::refused(format!(
                    "the run of flow {} due at {} goes on",
                    flow.name, first.due_at
                ))
                .hint("wait for its end, close its terminal, or let the flow say overlap: queue or replace"));
            }
            (Some(_), Overlap::Queue) => Some("waits for the run before it"),
            _ => None,
        };
        let mut due_at = now;
        let id = loop {
            if let Some(id) = tx.enter_run(&flow.name, due_at, reason)? {
                break id;
            }
            due_at = clock::after_ms(due_at, 1);
        };
        if flow.overlap == Overlap::Replace {
            replace(tx, &open, due_at, now)?;
        }
        // Who is killed from here on leaves the rest to a tick.
        let again = clock::after_ms(now, STARTING_MS);
        tx.set_due(DueKind::Flow, &flow.name, Some(&server_text(flow)), again)?;
        let detail = serde_json::json!({"due_at": due_at});
        tx.audit(now, "flow.run", &flow.name, actor, "cli", detail)?;
        Ok(id)
    })?;
    failpoint::hit("flow.entered");
    clear::close_asked(cx, store, &flow.name)?;
    start_waiting(cx, store, flow)?;
    arm(cx, store, &flow.name)?;
    store
        .read(|tx| tx.run(run))?
        .ok_or_else(|| Failure::failed("the run is gone"))
}

#[cfg(test)]
#[path = "due_tests.rs"]
mod tests;
