//! Taking up an ended agent's conversation again, by the agent's own session id: the terminal keeps its id, so whoever knew it knows it still.

use super::after::{self, Aftermath};
use super::context::Context;
use super::find;
use super::identity::Caller;
use super::launch::{self, Plan};
use super::recover;
use super::send::{self, Order};
use super::start;
use crate::clock::{self, Deadline};
use crate::domain::ids::Name;
use crate::domain::loss::Loss;
use crate::domain::profile::Profile;
use crate::domain::terminal::Terminal;
use crate::error::{Failure, Result};
use crate::failpoint;
use crate::paths;
use crate::proc::{self, Identity, Process};
use crate::providers::{Catalogue, Manifest};
use crate::store::{Budget, DueKind, Durability, Store, TerminalLock, Tx};
use crate::tmux::{Pane, PaneId, Placement};
use std::time::Duration;

/// How long the old pane may take to close, in milliseconds: an agent tells its end before its process is gone.
const CLOSING_MS: u64 = 3_000;

/// How long a process of an agent whose server died may take to end.
const GRACE: Duration = Duration::from_secs(2);

/// How long somebody else may remove the files of its last start.
const FILES: Duration = Duration::from_secs(3);

/// How long another process may take to make a session.
const TURN: Duration = Duration::from_secs(20);

/// How long the worker of a handoff has at least when it, or its caller, was started again, in milliseconds.
const HANDOFF_MS: i64 = 600_000;

/// What an agent is told that was cut off in the middle of a turn.
const GO_ON: &str = "Your tmux server ended while you were at work, and your conversation has been taken up again. Go on where you were. A \
    call that was running, or that waited for an approval, may not have been made: look, and make it again where it is still wanted.";

/// Where an agent is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    /// In a window of its session.
    Window,
    /// In the window of another pane, in front of or after it.
    Beside {
        /// The other pane.
        pane: PaneId,
        /// In front of it.
        before: bool,
    },
    /// In a pane that is there and holds nothing but a shell.
    In(PaneId),
}

/// Waits until the pane that the terminal had is closed: with it the session may go in which the agent is to be started.
fn until_gone(cx: &Context, terminal: &Terminal) {
    let deadline = Deadline::after(Duration::from_millis(CLOSING_MS));
    let there = || {
        cx.tmux.panes().is_ok_and(|(_, panes)| {
            panes
                .iter()
                .any(|pane| !pane.dead && pane.terminal == terminal.id.as_str())
        })
    };
    while there() && !deadline.passed() {
        clock::sleep(Duration::from_millis(20), &deadline);
    }
}

/// Ends what the death of its server has left of an agent: nobody sees it any more, and its conversation goes on elsewhere.
fn end_remains(terminal: &Terminal) {
    if let (true, Some(root)) = (terminal.lost() && recover::runs(terminal), terminal.root) {
        let mut family = proc::descendants(root.pid);
        family.push(Identity {
            pid: root.pid,
            start: root.start,
        });
        proc::end(&family, GRACE);
    }
}

/// An agent that a person started had none of ours.
fn without_profile() -> Result<Profile> {
    Ok(Profile {
        name: Name::parse(super::adopt::PROFILE)
            .map_err(|e| Failure::failed(format!("profile {e}")))?,
        description: String::new(),
        role: None,
        provider: None,
        model: None,
        tags: Vec::new(),
        tools: Vec::new(),
        allowed_tools: Vec::new(),
        mcp_servers: Vec::new(),
        permission_mode: None,
        env: std::collections::BTreeMap::new(),
        prompt: None,
        persona: String::new(),
    })
}

/// Why a terminal can never be resumed; `None` where it can, or where somebody could make it possible.
pub fn never(cx: &Context, terminal: &Terminal) -> Option<String> {
    if !terminal.begun {
        return None;
    }
    let manifest = Catalogue::of(&cx.home).get(&terminal.provider).ok()?;
    cannot(&manifest, terminal)
}

fn cannot(manifest: &Manifest, terminal: &Terminal) -> Option<String> {
    (terminal.begun && (manifest.resume.is_none() || terminal.agent_session.is_none()))
        .then(|| format!("{} cannot take up its conversation again", manifest.title))
}

/// The agent's program, where it can take up the terminal's conversation again.
fn able(cx: &Context, terminal: &Terminal) -> Result<Manifest> {
    let manifest = Catalogue::of(&cx.home).get(&terminal.provider)?;
    if cannot(&manifest, terminal).is_some() {
        return Err(Failure::refused(format!(
            "{} cannot take up the conversation of terminal {} again",
            manifest.title, terminal.id
        ))
        .hint("start a new agent with `conductor-hook worker SESSION`"));
    }
    Ok(manifest)
}

/// What is needed to start the agent of an ended terminal again, or why that cannot be done now.
fn plan(cx: &Context, store: &mut Store, terminal: &Terminal) -> Result<Plan> {
    let manifest = able(cx, terminal)?;
    crate::providers::program_with(&manifest, &terminal.args)?;
    // A worktree is made again from its branch.
    if !terminal.cwd.is_dir() && terminal.worktree.is_none() {
        return Err(Failure::refused(format!(
            "the directory of terminal {} is gone: {}",
            terminal.id,
            terminal.cwd.display()
        ))
        .hint("make it again, or start a new agent elsewhere"));
    }
    let author = super::identity::whoami(store)?.sender();
    let profile = if terminal.profile == super::adopt::PROFILE {
        without_profile()?
    } else {
        super::profile::load(
            cx,
            store,
            &super::worktree::profiles_from(terminal),
            &terminal.profile,
        )?
    };
    Ok(Plan {
        profile,
        manifest,
        role: terminal.role,
        cwd: terminal.cwd.clone(),
        model: terminal.model.clone(),
        prompt: None,
        env: terminal.env.clone(),
        caller: terminal.caller.clone(),
        author,
        extra: terminal.args.clone(),
        warnings: Vec::new(),
        worktree: None,
    })
}

/// What keeps a terminal from being resumed now.
pub fn hindrance(cx: &Context, store: &mut Store, terminal: &Terminal) -> Option<Failure> {
    plan(cx, store, terminal).err()
}

fn ended(terminal: &Terminal) -> Result<()> {
    if terminal.alive() {
        return Err(
            Failure::refused(format!("terminal {} has not ended", terminal.id)).hint(format!(
                "`conductor-hook attach {}` goes there",
                terminal.id
            )),
        );
    }
    Ok(())
}

/// The row waits for its start again, what waited for the terminal can reach it, and the agent is told if it was cut off, all in one step.
/// Of several that resume one terminal, one does this.
fn revive(
    cx: &Context,
    store: &mut Store,
    terminal: &Terminal,
    plan: &Plan,
    owned: bool,
) -> Result<Terminal> {
    let actor = plan.author.to_string();
    let anew = (!terminal.begun).then(launch::uuid).transpose()?;
    let revived = store.write(Durability::Process, Budget::Call, |tx| {
        let now = clock::now();
        if !tx.revive_terminal(&terminal.id, now)? {
            return Ok(false);
        }
        tx.note_start(&terminal.id, launch::hooked(cx, &plan.manifest), owned)?;
        if let Some(session) = &anew {
            tx.begin_anew(&terminal.id, session)?;
        }
        if let Some(loss) = &terminal.loss {
            take_up(tx, cx, terminal, plan, loss, now)?;
        }
        let session = anew.as_ref().or(terminal.agent_session.as_ref());
        let detail = serde_json::json!({"agent_session": session});
        tx.audit(
            now,
            "terminal.resumed",
            terminal.id.as_str(),
            &actor,
            "resume",
            detail,
        )?;
        Ok::<_, Failure>(true)
    })?;
    if !revived {
        return Err(Failure::refused(format!(
            "terminal {} is being resumed",
            terminal.id
        )));
    }
    find::terminal(cx, store, terminal.id.as_str())
}

/// Its handoffs get their time again, and an agent that was cut off is told so.
fn take_up(
    tx: &Tx<'_>,
    cx: &Context,
    terminal: &Terminal,
    plan: &Plan,
    loss: &Loss,
    now: jiff::Timestamp,
) -> Result<()> {
    let socket = cx.tmux.socket_text();
    for (id, deadline) in tx.extend_handoffs(&terminal.id, loss.at, now, HANDOFF_MS)? {
        tx.reset_due(DueKind::Handoff, &id, Some(&socket), deadline)?;
    }
    if loss.cut_off() {
        let order = Order {
            receiver: terminal.id.clone(),
            body: GO_ON.to_owned(),
            // A start that fails is tried again; it is told once.
            key: Some(format!(
                "resume:{}:{}",
                terminal.id,
                loss.at.as_millisecond()
            )),
            ttl: None,
            approval: false,
        };
        let (tag, trace) = (send::tag()?, send::tag_long()?);
        send::accept(tx, plan.author.clone(), &order, tag, trace, None)?;
    }
    Ok(())
}

/// Starts the agent of an ended terminal again, in its directory, in a window of its session or where `place` says.
pub fn resume(
    cx: &Context,
    store: &mut Store,
    terminal: &Terminal,
    place: Where,
) -> Result<Terminal> {
    ended(terminal)?;
    super::identity::honest(store, "resume")?;
    able(cx, terminal)?;
    let mut terminal = terminal.clone();
    // Until the row says that it lives again, nobody removes its worktree.
    let revival = super::worktree::revive(cx, store, &mut terminal)?;
    let terminal = &terminal;
    let plan = plan(cx, store, terminal)?;
    until_gone(cx, terminal);
    end_remains(terminal);
    let own = Name::parse(&terminal.window).unwrap_or_else(|_| plan.profile.name.clone());
    let window = launch::window_name(store, &terminal.session, &own)?;
    let mut session = terminal.session.clone();
    let mut making = None;
    let placement = match place {
        Where::Beside { pane, before } => Placement::Beside { pane, before },
        Where::In(id) => {
            session.clone_from(&pane(cx, id)?.session);
            Placement::In(id)
        }
        Where::Window => match session_or_turn(cx, &session, &mut making)? {
            Some(session) => Placement::Window(session),
            None => Placement::Session(Name::parse(&session).map_err(|e| {
                Failure::refused(format!("the session of terminal {}: {e}", terminal.id))
            })?),
        },
    };
    let owned = match placement {
        Placement::Session(_) => true,
        Placement::In(_) => false,
        _ => terminal.session_owned,
    };
    let files = files(cx, terminal)?;
    let mut row = revive(cx, store, terminal, &plan, owned)?;
    drop(revival);
    failpoint::hit("resume.revived");
    row.session = session;
    let start = (&placement, &window);
    if let Err(failure) = launch::start(cx, store, &plan, &row, start, terminal.begun) {
        super::worktree::settle(cx, store, &row.id);
        return Err(failure);
    }
    drop((files, making));
    let row = find::terminal(cx, store, terminal.id.as_str())?;
    if place == Where::Window {
        put_back(cx, terminal, &row, &window);
    }
    arm(cx, store)?;
    find::terminal(cx, store, terminal.id.as_str())
}

/// The id of the session of this name; where there is none, it is this process's turn to make it, as long as it holds `turn`: of several that
/// resume agents of one session one makes it.
fn session_or_turn(
    cx: &Context,
    name: &str,
    turn: &mut Option<TerminalLock>,
) -> Result<Option<String>> {
    let there = || cx.tmux.session_id(name).unwrap_or(None);
    if let Some(id) = there() {
        return Ok(Some(id));
    }
    *turn = TerminalLock::acquire(&cx.home, "sessions", TURN)?;
    let found = there();
    if found.is_some() {
        *turn = None;
    }
    Ok(found)
}

/// The window gets its old number, and a name that only tmux takes. What cannot be had is left as it is.
fn put_back(cx: &Context, before: &Terminal, now: &Terminal, window: &Name) {
    let (Some(old), Some(new), Some(pane)) = (
        &before.spot,
        &now.spot,
        now.pane.as_deref().and_then(PaneId::parse),
    ) else {
        return;
    };
    if old.window_index != new.window_index
        && let Ok(Some(session)) = cx.tmux.session_id(&now.session)
        && let Err(error) = cx.tmux.move_window(pane, &session, old.window_index)
    {
        tracing::debug!(%error, "give a window its old number");
    }
    if Name::parse(&before.window).is_err()
        && before.window != window.as_str()
        && let Err(error) = cx.tmux.rename_window(pane, &before.window)
    {
        tracing::debug!(%error, "give a window its old name");
    }
}

/// What is due in this server has its timer: the one that it had may have died with an earlier server.
fn arm(cx: &Context, store: &mut Store) -> Result<()> {
    let mut aftermath = Aftermath::default();
    store.write(Durability::Process, Budget::Call, |tx| {
        aftermath.arm_at(tx, cx.tmux.socket().to_path_buf(), clock::now())
    })?;
    aftermath.run(cx, store);
    Ok(())
}

/// Whoever notes the terminal's end meanwhile leaves the files of its next start alone.
struct Files<'a> {
    cx: &'a Context,
    name: String,
    held: Option<TerminalLock>,
}

impl Drop for Files<'_> {
    fn drop(&mut self) {
        self.held = None;
        TerminalLock::remove(&self.cx.home, &self.name);
    }
}

fn files<'a>(cx: &'a Context, terminal: &Terminal) -> Result<Files<'a>> {
    let name = after::files_lock(&terminal.id);
    match TerminalLock::acquire(&cx.home, &name, FILES)? {
        None => Err(Failure::refused(format!(
            "terminal {} is being resumed",
            terminal.id
        ))),
        held => Ok(Files { cx, name, held }),
    }
}

fn pane(cx: &Context, id: PaneId) -> Result<Pane> {
    let (_, panes) = cx.tmux.panes()?;
    panes
        .into_iter()
        .find(|pane| pane.id == id && !pane.dead)
        .ok_or_else(|| Failure::not_found(format!("there is no living pane {id}")))
}

/// Becomes the agent of an ended terminal, in the pane that this process runs in; returns only when that fails.
pub fn here(cx: &Context, store: &mut Store, terminal: &Terminal) -> Failure {
    match prepare_here(cx, store, terminal) {
        Ok(command) => proc::exec(command),
        Err(failure) => failure,
    }
}

fn prepare_here(
    cx: &Context,
    store: &mut Store,
    terminal: &Terminal,
) -> Result<std::process::Command> {
    ended(terminal)?;
    if !matches!(
        super::identity::honest(store, "resume")?,
        Caller::Person { .. }
    ) {
        return Err(
            Failure::refused("only a person turns the own pane into an agent's")
                .hint("call it in a shell that no agent started"),
        );
    }
    let outside =
        || Failure::refused("`resume --here` is for a pane of the tmux server that it is about");
    let id = paths::env("TMUX_PANE")
        .and_then(|pane| PaneId::parse(&pane))
        .ok_or_else(outside)?;
    let found = pane(cx, id).map_err(|_| outside())?;
    let chain = Process::own_ancestry();
    if chain
        .iter()
        .all(|process| process.identity.pid != found.pid)
    {
        return Err(outside());
    }
    able(cx, terminal)?;
    let mut terminal = terminal.clone();
    let revival = super::worktree::revive(cx, store, &mut terminal)?;
    let terminal = &terminal;
    let plan = plan(cx, store, terminal)?;
    end_remains(terminal);
    let _files = files(cx, terminal)?;
    let mut row = revive(cx, store, terminal, &plan, false)?;
    drop(revival);
    row.session.clone_from(&found.session);
    let begun = launch::write_files(cx, &plan, &row, terminal.begun)
        .and_then(|()| start::prepare(cx, terminal.id.as_str()));
    if begun.is_err() {
        launch::not_started(cx, store, &row, "it could not be started");
    }
    // The pane stays with the person whose shell it is.
    if begun.is_ok()
        && chain
            .first()
            .is_none_or(|own| own.identity.pid != found.pid)
    {
        store.write(Durability::Process, Budget::Call, |tx| {
            tx.note_adopted(&terminal.id)
        })?;
    }
    begun
}
