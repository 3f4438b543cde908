//! Taking in an agent that a person started by hand: its pane stays the person's, its settings stay as they are.

use super::after::Aftermath;
use super::context::Context;
use super::deliver;
use super::find;
use super::identity::{self, Caller};
use crate::clock;
use crate::domain::ids::TerminalId;
use crate::domain::terminal::{Change, Role, Root, Source, State, Status, Terminal};
use crate::domain::text::one_line;
use crate::error::{Failure, Result};
use crate::fsx;
use crate::proc::Process;
use crate::providers::{Catalogue, Manifest};
use crate::store::{Budget, Durability, Registration, Store};
use crate::tmux::{Pane, PaneId};
use std::path::PathBuf;

/// The profile's name of an agent that was not started with one.
pub const PROFILE: &str = "adopted";

/// The hint that shows a person which panes there are.
const LIST_PANES: &str = "`tmux list-panes -a -F '#{pane_id} #{pane_current_command}'` lists them";

/// What became of the row.
enum Stored {
    Done,
    /// The pane is this terminal's.
    Held(TerminalId),
    Not,
}

/// Takes in the agent of `provider` that runs in the foreground of `pane`.
pub fn adopt(
    cx: &Context,
    store: &mut Store,
    pane: &str,
    provider: &str,
    role: Role,
) -> Result<Terminal> {
    // Whoever sits where an agent was a moment ago is a person again.
    super::recover::all(cx, store)?;
    if !matches!(identity::honest(store, "adopt")?, Caller::Person { .. }) {
        return Err(
            Failure::refused("only a person takes in an agent that a person started")
                .hint("call it in a shell that no agent started"),
        );
    }
    let manifest = Catalogue::of(&cx.home).get(provider)?;
    let id = PaneId::parse(pane).ok_or_else(|| {
        Failure::usage(format!("{:?} is no pane id", one_line(pane))).hint(LIST_PANES)
    })?;
    let (server, panes) = cx.tmux.panes()?;
    let pane = panes
        .into_iter()
        .find(|pane| pane.id == id && !pane.dead)
        .ok_or_else(|| {
            Failure::not_found(format!("there is no living pane {id}")).hint(LIST_PANES)
        })?;
    let agent = foreground(&manifest, &pane)?;
    let row = row(cx, &manifest, &pane, &agent, role)?;
    let registration = Registration {
        pane: id.to_string(),
        server,
        pane_pid: pane.pid,
        root: Root {
            pid: agent.identity.pid,
            start: agent.identity.start,
        },
        tty: agent.tty,
        session: one_line(&pane.session),
        window: one_line(&pane.window),
        spot: pane.spot.clone(),
    };
    let stored = store.write(Durability::Process, Budget::Call, |tx| {
        let holds = |t: &Terminal| {
            t.server.as_ref() == Some(&registration.server)
                && t.pane.as_deref() == Some(registration.pane.as_str())
        };
        if let Some(held) = tx.live_terminals()?.into_iter().find(holds) {
            return Ok(Stored::Held(held.id));
        }
        if !tx.insert_terminal(&row)? || !tx.register_terminal(&row.id, &registration)? {
            return Ok(Stored::Not);
        }
        let detail = serde_json::json!({"provider": row.provider, "pane": registration.pane, "session": row.session});
        tx.audit(clock::now(), "terminal.adopted", row.id.as_str(), "human", "adopt", detail)?;
        Ok::<_, crate::store::Error>(Stored::Done)
    })?;
    match stored {
        Stored::Done => {}
        Stored::Held(held) => {
            return Err(
                Failure::refused(format!("pane {id} is terminal {held} already"))
                    .hint(format!("`conductor-hook status {held}` shows it")),
            );
        }
        Stored::Not => {
            return Err(Failure::failed("the terminal could not be stored").hint("try again"));
        }
    }
    // A pipe that a person opened is left alone; then there is no log.
    let log = cx.home.terminal_log(row.id.as_str());
    let log = if pane.piped {
        None
    } else {
        let failed = |e: std::io::Error| {
            Failure::state(format!("create the log of {}: {e}", row.id)).disk(&e)
        };
        fsx::create_private_dir(&cx.home.terminal_logs()).map_err(failed)?;
        fsx::open_append(&log).map_err(failed)?;
        Some(log)
    };
    cx.tmux.claim_pane(id, &row.id, log.as_deref())?;
    look(cx, store, &row.id, &manifest)?;
    find::terminal(cx, store, row.id.as_str())
}

/// What to do where nothing runs that could be taken in.
fn start_first(manifest: &Manifest) -> String {
    if manifest.program == "{command}" {
        "start the agent's program there first".to_owned()
    } else {
        format!("start {} there first", manifest.title)
    }
}

/// The program in the foreground of a pane; a shell is no agent, of whatever provider: it would run what it is told.
fn foreground(manifest: &Manifest, pane: &Pane) -> Result<Process> {
    let nobody = || {
        Failure::refused(format!("no agent is in the foreground of pane {}", pane.id))
            .hint(start_first(manifest))
    };
    let first = Process::of(pane.pid).ok_or_else(nobody)?;
    let leader = Process::of(first.foreground).ok_or_else(nobody)?;
    let name = Process::name(leader.identity.pid).unwrap_or_default();
    if crate::tmux::fence::is_shell(&name) {
        return Err(nobody());
    }
    Ok(leader)
}

/// Whether the agent has the arguments without which its hooks miss calls.
fn started_as_needed(manifest: &Manifest, agent: &Process) -> bool {
    let arguments = agent.arguments();
    manifest
        .adopt_needs
        .iter()
        .all(|needed| arguments.iter().any(|argument| argument == needed))
}

fn row(
    cx: &Context,
    manifest: &Manifest,
    pane: &Pane,
    agent: &Process,
    role: Role,
) -> Result<Terminal> {
    let now = clock::now();
    let directory = cx
        .tmux
        .display(Some(pane.id), "#{pane_current_path}")
        .map(PathBuf::from)
        .unwrap_or_default();
    let bytes =
        fsx::random_bytes().map_err(|e| Failure::failed(format!("read random bytes: {e}")))?;
    Ok(Terminal {
        id: TerminalId::from_bytes(bytes),
        session: one_line(&pane.session),
        window: one_line(&pane.window),
        pane: None,
        server: None,
        pane_pid: None,
        root: None,
        tty: 0,
        provider: manifest.name.clone(),
        profile: PROFILE.to_owned(),
        role,
        state: State {
            status: Status::Starting,
            reason: "adopted".to_owned(),
            source: Source::Command,
            since: now,
        },
        caller: None,
        cwd: directory,
        model: None,
        created_at: now,
        ended_at: None,
        exit_code: None,
        agent_session: None,
        program: None,
        last_event_at: None,
        last_answer: None,
        gate_seen_at: None,
        gate_silent_at: None,
        session_owned: false,
        env: Vec::new(),
        settled: 0,
        hooked: super::setup::holds(cx, manifest) && started_as_needed(manifest, agent),
        adopted: true,
        worktree: None,
        args: Vec::new(),
        loss: None,
        spot: None,
        begun: true,
    })
}

/// It runs already: its screen says what it does, as long as it has told nothing itself.
fn look(cx: &Context, store: &mut Store, id: &TerminalId, manifest: &Manifest) -> Result<()> {
    let terminal = find::terminal(cx, store, id.as_str())?;
    let Some((tmux, pane)) = deliver::place(&terminal) else {
        return Ok(());
    };
    if deliver::confirm_idle(cx, store, &terminal, manifest, &tmux, pane)? {
        return Ok(());
    }
    let mut aftermath = Aftermath::default();
    store.write(Durability::Process, Budget::Call, |tx| {
        let Some(terminal) = tx
            .terminal(id)?
            .filter(|t| t.state.status == Status::Starting)
        else {
            return Ok(());
        };
        let change = Change {
            status: Status::Unknown,
            reason: "adopted; its screen shows nothing that is known".to_owned(),
        };
        if tx.set_state(id, &change, Source::Screen, clock::now())? {
            aftermath.show(&terminal, change.status);
        }
        Ok::<_, crate::store::Error>(())
    })?;
    aftermath.run(cx, store);
    // Until its screen, or an event, says more.
    super::send::attempt(cx, store, id);
    Ok(())
}
