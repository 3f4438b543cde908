//! Starting the agent of a run: the file as it was accepted, the script, a terminal, and the prompt.

use super::super::after::Aftermath;
use super::super::context::Context;
use super::super::launch::{self, Plan, Wish};
use super::super::send::{self, Order};
use super::clear::{self, RUN, clear_away, close_terminal, close_unnoted};
use super::gate::{self, Answer};
use super::{fate, file, server_text};
use crate::clock;
use crate::domain::flow::{Flow, Outcome, Run, VARIABLE};
use crate::domain::ids::TerminalId;
use crate::domain::message::Sender;
use crate::domain::terminal::{Role, Root};
use crate::error::{Failure, Result};
use crate::failpoint;
use crate::proc::Identity;
use crate::profiles::flow_file;
use crate::store::{Budget, DueKind, Durability, Store};
use crate::tmux::Tmux;
use jiff::Timestamp;

/// How often a place for an agent is looked for: a session that several flows share comes and goes.
const MOST_TRIES: usize = 5;

/// What a run would give to an agent.
#[derive(Debug)]
pub(super) enum Filled {
    /// The prompt.
    Prompt(String),
    /// The script does not want it.
    Skip(String),
}

/// Asks the script and fills the prompt; starts nothing else.
/// `run`: the run that is to know its script's processes.
pub(super) fn fill(
    cx: &Context,
    store: &mut Store,
    flow: &Flow,
    (due_at, run): (Timestamp, Option<i64>),
) -> Result<Filled> {
    let accepted = file::accepted(store, flow)?;
    let started = |leader: Identity| {
        let Some(run) = run else {
            return;
        };
        let (pid, start) = (leader.pid, leader.start);
        let noted = store.write(Durability::Process, Budget::Call, |tx| {
            tx.note_script(run, Root { pid, start })
        });
        if let Err(failure) = noted {
            tracing::warn!(flow = %flow.name, %failure, "note the processes of a script");
        }
        failpoint::hit("flow.script");
    };
    match gate::ask(cx, flow, due_at, &accepted, started)? {
        Answer::Skip(reason) => Ok(Filled::Skip(reason)),
        Answer::Run(values) => {
            let prompt = flow_file::fill(&accepted.prompt, &values).map_err(Failure::failed)?;
            Ok(Filled::Prompt(send::body(prompt.into_bytes())?))
        }
    }
}

/// What is started for a flow, and whether its session is a new one.
pub(super) fn plan(
    cx: &Context,
    store: &mut Store,
    flow: &Flow,
    run: Option<i64>,
) -> Result<(Plan, bool)> {
    let fresh = cx.tmux.session_id(&flow.session).unwrap_or(None).is_none();
    let mut env = vec![(VARIABLE.to_owned(), flow.name.clone())];
    env.extend(run.map(|run| (RUN.to_owned(), run.to_string())));
    let wish = Wish {
        profile: Some(flow.profile.clone()),
        provider: flow.provider.clone(),
        cwd: Some(flow.cwd.clone()),
        env,
        ..Wish::default()
    };
    let role = if fresh {
        Role::Supervisor
    } else {
        Role::Worker
    };
    let mut plan = launch::plan(cx, store, &wish, &flow.profile, role)?;
    plan.prompt = None;
    plan.author = Sender::Flow(flow.name.clone());
    Ok((plan, fresh))
}

/// The flow's own tmux server.
pub(super) fn place(cx: &Context, flow: &Flow) -> Context {
    Context {
        tmux: Tmux::at(&flow.server),
        ..cx.clone()
    }
}

/// Starts a run that this process has claimed. What goes wrong ends the run; it is never tried again.
pub(super) fn start(cx: &Context, store: &mut Store, flow: &Flow, run: &Run) -> Result<()> {
    let begun = begin(cx, store, flow, run);
    let (outcome, reason) = match begun {
        Ok(None) => return Ok(()),
        Ok(Some(reason)) => (Outcome::Skipped, reason),
        Err(failure) => {
            tracing::warn!(flow = %flow.name, due = %run.due_at, %failure, "start a flow");
            let hints = failure.hints().join("; ");
            let hints = if hints.is_empty() {
                String::new()
            } else {
                format!(" ({hints})")
            };
            (Outcome::Failed, format!("{}{hints}", failure.message()))
        }
    };
    if outcome == Outcome::Failed {
        // A launch may fail when its agent is there already.
        close_unnoted(cx, store, run)?;
    }
    super::settle(store, run, outcome, Some(&reason))?;
    Ok(())
}

/// `Ok(Some(reason))`: the script does not want it.
fn begin(cx: &Context, store: &mut Store, flow: &Flow, run: &Run) -> Result<Option<String>> {
    let prompt = match fill(cx, store, flow, (run.due_at, Some(run.id)))? {
        Filled::Prompt(prompt) => prompt,
        Filled::Skip(reason) => return Ok(Some(reason)),
    };
    let cx = &place(cx, flow);
    clear_away(cx, store, flow)?;
    let terminal = launch(cx, store, flow, run)?;
    failpoint::hit("flow.launched");
    let given = give(cx, store, flow, run, &terminal, prompt);
    if !matches!(given, Ok(true)) {
        close_terminal(cx, store, &terminal);
    }
    if given? {
        failpoint::hit("flow.begun");
        send::attempt(cx, store, &terminal);
    }
    Ok(None)
}

/// Starts the run's agent, in a session of its own or in the one that is there.
fn launch(cx: &Context, store: &mut Store, flow: &Flow, run: &Run) -> Result<TerminalId> {
    let mut tries = 0;
    loop {
        tries += 1;
        let (plan, fresh) = plan(cx, store, flow, Some(run.id))?;
        failpoint::hit("flow.launch");
        // What hung until its time was up starts nothing more.
        let known = store.read(|tx| tx.run(run.id))?;
        if known.is_none_or(|run| run.outcome != Outcome::Running) {
            return Err(Failure::refused(
                "it was ended before its agent was started",
            ));
        }
        let started = if fresh {
            launch::session(cx, store, Some(&flow.session), &[plan]).and_then(|(_, ids)| {
                let first = ids.into_iter().next();
                first.ok_or_else(|| Failure::failed("nothing was started"))
            })
        } else {
            launch::worker(cx, store, &flow.session, &plan, None)
        };
        let Err(failure) = started else {
            return started;
        };
        // Another flow made the session since we looked, or the last agent in it has ended: nothing was started, and there is another way.
        let there = cx.tmux.session_id(&flow.session).unwrap_or(None).is_some();
        if tries == MOST_TRIES || there != fresh || !clear::unnoted(store, run)?.is_empty() {
            return Err(failure);
        }
        tracing::info!(flow = %flow.name, %failure, "try the other place for a flow's agent");
    }
}

/// Accepts the prompt and notes where the run is, in one transaction; `false` when the run was ended meanwhile.
fn give(
    cx: &Context,
    store: &mut Store,
    flow: &Flow,
    run: &Run,
    terminal: &TerminalId,
    prompt: String,
) -> Result<bool> {
    let order = Order {
        receiver: terminal.clone(),
        body: prompt,
        key: Some(format!("run-{}", run.id)),
        ttl: None,
        approval: false,
    };
    let (tag, trace) = (send::tag()?, send::tag_long()?);
    let sender = Sender::Flow(flow.name.clone());
    let mut aftermath = Aftermath::default();
    let begun = store.write(Durability::Power, Budget::Call, |tx| {
        let clocks = fate::moment();
        let now = clocks.wall;
        let message = send::accept(tx, sender, &order, tag, trace, None)?;
        let deadline = clocks.after_ms(flow.timeout_ms);
        let begun = tx.begin_run(run.id, terminal, message.id, &deadline)?;
        if begun {
            let detail = serde_json::json!({"due_at": run.due_at, "terminal": terminal, "message": message.id});
            tx.audit(now, "flow.started", &flow.name, &format!("flow:{}", flow.name), "flow", detail)?;
            let at = clock::after_ms(now, super::LOOK_MS).min(deadline.wall);
            tx.set_due(DueKind::Flow, &flow.name, Some(&server_text(flow)), at)?;
            aftermath.arm_at(tx, flow.server.clone(), now)?;
        }
        Ok::<_, Failure>(begun)
    })?;
    aftermath.run(cx, store);
    Ok(begun)
}
