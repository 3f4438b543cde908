//! Starting the agent of a run: the file as it was accepted, the script, a terminal, and the prompt.

use super::super::after::Aftermath;
use super::super::close;
use super::super::context::Context;
use super::super::launch::{self, Plan, Wish};
use super::super::send::{self, Order};
use super::gate::{self, Answer};
use super::{file, server_text};
use crate::clock;
use crate::domain::flow::{Flow, Outcome, Run, VARIABLE};
use crate::domain::ids::TerminalId;
use crate::domain::message::Sender;
use crate::domain::terminal::{Role, Status, Terminal};
use crate::error::{Failure, Result};
use crate::failpoint;
use crate::profiles::flow_file;
use crate::store::{Budget, DueKind, Durability, Store};
use crate::tmux::Tmux;

/// The variable by which the terminal of a run is known before the ledger knows it.
const RUN: &str = "CONDUCTOR_RUN";

/// A terminal that has been used this long after its run was over belongs to whoever uses it, in milliseconds.
const USED_MS: i64 = 5_000;

/// What a run would give to an agent.
#[derive(Debug)]
pub(super) enum Filled {
    /// The prompt.
    Prompt(String),
    /// The script does not want it.
    Skip(String),
}

/// Asks the script and fills the prompt; starts nothing else.
pub(super) fn fill(store: &mut Store, flow: &Flow, due_at: jiff::Timestamp) -> Result<Filled> {
    let prompt = file::accepted(store, flow)?;
    match gate::ask(flow, due_at)? {
        Answer::Skip(reason) => Ok(Filled::Skip(reason)),
        Answer::Run(values) => {
            let prompt = flow_file::fill(&prompt, &values).map_err(Failure::failed)?;
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
    let prompt = match fill(store, flow, run.due_at)? {
        Filled::Prompt(prompt) => prompt,
        Filled::Skip(reason) => return Ok(Some(reason)),
    };
    let cx = &place(cx, flow);
    clear_away(cx, store, flow)?;
    let (plan, fresh) = plan(cx, store, flow, Some(run.id))?;
    failpoint::hit("flow.launch");
    let terminal = if fresh {
        let (_, ids) = launch::session(cx, store, Some(&flow.session), &[plan])?;
        ids.into_iter()
            .next()
            .ok_or_else(|| Failure::failed("nothing was started"))?
    } else {
        launch::worker(cx, store, &flow.session, &plan, None)?
    };
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
        let now = clock::now();
        let message = send::accept(tx, sender, &order, tag, trace, None)?;
        let deadline = clock::after_ms(now, flow.timeout_ms);
        let begun = tx.begin_run(run.id, terminal, message.id, deadline)?;
        if begun {
            let detail = serde_json::json!({"due_at": run.due_at, "terminal": terminal, "message": message.id});
            tx.audit(now, "flow.started", &flow.name, &format!("flow:{}", flow.name), "flow", detail)?;
            let at = clock::after_ms(now, super::LOOK_MS).min(deadline);
            tx.set_due(DueKind::Flow, &flow.name, Some(&server_text(flow)), at)?;
            aftermath.arm_at(tx, flow.server.clone(), now)?;
        }
        Ok::<_, Failure>(begun)
    })?;
    aftermath.run(cx, store);
    Ok(begun)
}

/// Closes what earlier runs left at their prompts, unless somebody has used it since.
fn clear_away(cx: &Context, store: &mut Store, flow: &Flow) -> Result<()> {
    let left = store.read(|tx| {
        let mut left = Vec::new();
        for (id, ended_at) in tx.ended_run_terminals(&flow.name)? {
            left.extend(tx.terminal(&id)?.map(|terminal| (terminal, ended_at)));
        }
        Ok::<_, crate::store::Error>(left)
    })?;
    for (terminal, ended_at) in left {
        let busy = matches!(terminal.state.status, Status::Working | Status::Waiting);
        let used = terminal.state.since > clock::after_ms(ended_at, USED_MS);
        if !busy && !used {
            close::close(cx, store, &terminal, false)?;
        }
    }
    Ok(())
}

/// Closes a run's terminal, if it is there.
pub(super) fn close_terminal(cx: &Context, store: &mut Store, id: &TerminalId) {
    if let Ok(Some(terminal)) = store.read(|tx| tx.terminal(id))
        && let Err(failure) = close::close(cx, store, &terminal, false)
    {
        tracing::warn!(%failure, terminal = %id, "close the terminal of a flow");
    }
}

/// Closes what a killed helper had launched for a run without noting it.
pub(super) fn close_unnoted(cx: &Context, store: &mut Store, run: &Run) -> Result<()> {
    let mark = (RUN.to_owned(), run.id.to_string());
    let author = |t: &Terminal| t.caller.is_none() && t.env.contains(&mark);
    let found: Vec<TerminalId> = store
        .read(|tx| tx.live_terminals())?
        .into_iter()
        .filter(author)
        .map(|t| t.id)
        .collect();
    for id in found {
        close_terminal(cx, store, &id);
    }
    Ok(())
}
