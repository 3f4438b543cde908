//! Starting agents: a session with a supervisor and its workers, or one more worker.

mod env;
mod files;

use super::after::{Aftermath, Ender};
use super::context::Context;
use super::find;
use super::identity;
use super::worktree::{self, Prospect};
use crate::clock::{self, Deadline};
use crate::domain::ids::{Name, TerminalId};
use crate::domain::message::Sender;
use crate::domain::profile::Profile;
use crate::domain::terminal::{Role, Source, State, Status, Terminal};
use crate::domain::text::one_line;
use crate::error::{Failure, Kind, Result};
use crate::fsx;
use crate::paths;
use crate::progress;
use crate::providers::{self, Dialect, Firmness, Manifest, Setup};
use crate::store::{Budget, Durability, Store};
use crate::tmux::Placement;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One agent to be started.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its profile.
    pub profile: Profile,
    /// Its program.
    pub manifest: Manifest,
    /// Its part.
    pub role: Role,
    /// Its directory.
    pub cwd: PathBuf,
    /// Its model.
    pub model: Option<String>,
    /// Its first prompt.
    pub prompt: Option<String>,
    /// Environment of this launch.
    pub env: Vec<(String, String)>,
    /// Which terminal it reports to.
    pub caller: Option<TerminalId>,
    /// Who asked for it: the sender of its first prompt.
    pub author: Sender,
    /// Arguments for the program.
    pub extra: Vec<String>,
    /// What of the profile, or of the house, this agent program does not keep to.
    pub warnings: Vec<String>,
    /// Where it gets a git worktree of its own, if it is to have one.
    pub worktree: Option<Prospect>,
}

/// What a person or agent asked for.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// Profile's name.
    pub profile: Option<String>,
    /// Provider's name.
    pub provider: Option<String>,
    /// Provider's name where neither this wish nor the profile names one: the caller's own.
    pub fallback: Option<String>,
    /// Role's word.
    pub role: Option<String>,
    /// Directory.
    pub cwd: Option<PathBuf>,
    /// Model.
    pub model: Option<String>,
    /// First prompt.
    pub prompt: Option<String>,
    /// Environment.
    pub env: Vec<(String, String)>,
    /// Arguments for the program.
    pub extra: Vec<String>,
    /// Whether it is to have a git worktree of its own.
    pub worktree: bool,
}

/// Turns a wish into a plan; everything that can be wrong with it is found here, before anything is changed.
pub fn plan(
    cx: &Context,
    store: &mut Store,
    wish: &Wish,
    default_profile: &str,
    role: Role,
) -> Result<Plan> {
    let cwd = directory(wish.cwd.as_deref())?;
    let config = crate::profiles::config::load(&cx.home)?;
    let profile_name = wish.profile.clone().unwrap_or_else(|| match role {
        Role::Supervisor => config
            .profile
            .clone()
            .unwrap_or_else(|| default_profile.to_owned()),
        Role::Worker => default_profile.to_owned(),
    });
    let profile = super::profile::load(cx, store, &cwd, &profile_name)?;
    let catalogue = providers::Catalogue::of(&cx.home);
    let manifest = match &wish.provider {
        Some(name) => catalogue.get(name)?,
        None => usual(&catalogue, &profile, wish.fallback.clone(), config.provider)?,
    };
    providers::program_with(&manifest, &wish.extra)?;
    let role = match wish.role.as_deref().or(profile.role.as_deref()) {
        Some(word) if wish.role.is_some() => Role::from_word(word),
        _ => role,
    };
    let profile_env = profile
        .env
        .iter()
        .map(|(key, value)| (key.clone(), value.clone()));
    for (key, value) in wish.env.iter().cloned().chain(profile_env) {
        env::check_env(&key, &value)?;
    }
    if let Some(prompt) = wish.prompt.as_ref().or(profile.prompt.as_ref()) {
        super::send::body(prompt.clone().into_bytes())?;
    }
    let author = identity::honest(store, "launch")?.sender();
    let warnings = warnings(cx, &manifest, &profile)?;
    let worktree = wish
        .worktree
        .then(|| worktree::prospect(cx, &cwd))
        .transpose()?;
    Ok(Plan {
        warnings,
        worktree,
        model: wish.model.clone().or_else(|| profile.model.clone()),
        prompt: wish.prompt.clone().or_else(|| profile.prompt.clone()),
        profile,
        manifest,
        role,
        cwd,
        env: wish.env.clone(),
        caller: None,
        author,
        extra: wish.extra.clone(),
    })
}

/// The agent program that a profile is started with where none is named: the profile's own, the caller's, the configured one, or the first
/// that is installed.
pub(super) fn usual(
    catalogue: &providers::Catalogue,
    profile: &Profile,
    fallback: Option<String>,
    configured: Option<String>,
) -> Result<Manifest> {
    match profile.provider.clone().or(fallback).or(configured) {
        Some(name) => catalogue.get(&name),
        None => catalogue.first_installed().ok_or_else(|| {
            Failure::not_found("no agent program is installed")
                .hint("install one, e.g. Claude Code, or use the built-in demo agent with -p demo")
        }),
    }
}

/// What `manifest`'s program does not keep to; an error where it could not even start.
fn warnings(cx: &Context, manifest: &Manifest, profile: &Profile) -> Result<Vec<String>> {
    let title = &manifest.title;
    let set_up = format!("`conductor-hook provider setup {}`", manifest.name);
    // Without its agent file the program could not even start.
    if manifest.dialect == Dialect::Kiro && !providers::setup::in_force(&cx.home, manifest) {
        return Err(Failure::refused(format!("{title} is not set up"))
            .hint(format!("{set_up} writes an agent file for each profile")));
    }
    let mut warnings = Vec::new();
    if manifest.setup == Setup::Needed && !hooked(cx, manifest) {
        warnings.push(format!(
            "{title} is not set up, or not as this version does it: its calls do not pass the gate, and its messages end as placed; {set_up}"
        ));
    }
    if !profile.mcp_servers.is_empty() && !manifest.mcp_servers {
        warnings.push(format!(
            "{title} takes no MCP servers of a profile: those of {} are left out",
            profile.name
        ));
    }
    let restricted = |tools: &[String]| {
        !tools.is_empty() && !tools.iter().any(|tool| tool == "*" || tool == "@builtin")
    };
    if restricted(&profile.tools) {
        match manifest.enforce.tools {
            Firmness::Hard => {}
            Firmness::Soft => warnings.push(format!(
                "{title} cannot be held to the tools of {}: it is asked to use no others",
                profile.name
            )),
            Firmness::None => warnings.push(format!(
                "{title} is not told of the tools of {}",
                profile.name
            )),
        }
    }
    Ok(warnings)
}

fn directory(wanted: Option<&Path>) -> Result<PathBuf> {
    let path = wanted.map_or_else(paths::working_directory, |path| Ok(path.to_path_buf()))?;
    let shown = one_line(&path.to_string_lossy());
    let path = std::fs::canonicalize(&path).map_err(|e| {
        Failure::not_found(format!("use the directory {shown}: {e}"))
            .hint("name an existing one with --cwd")
    })?;
    if !path.is_dir() {
        return Err(
            Failure::usage(format!("{shown} is not a directory")).hint("name one with --cwd")
        );
    }
    match path.to_str() {
        Some(text) if !text.chars().any(char::is_control) => Ok(path),
        _ => Err(Failure::usage(format!(
            "the directory {shown} has a name that tmux cannot take"
        ))
        .hint("name another one with --cwd")),
    }
}

/// A new session: the first plan is its supervisor. One that is given no name gets a free one.
pub fn session(
    cx: &Context,
    store: &mut Store,
    name: Option<&str>,
    plans: &[Plan],
) -> Result<(String, Vec<TerminalId>)> {
    let wanted = name
        .map(|name| {
            Name::parse(name).map_err(|e| {
                Failure::usage(format!("session {e}"))
                    .hint("choose another name, or leave --session away")
            })
        })
        .transpose()?;
    check_tmux(cx)?;
    loop {
        let name = match &wanted {
            Some(name) => name.clone(),
            None => free_session_name(cx)?,
        };
        let taken = || cx.tmux.session_id(name.as_str()).unwrap_or(None).is_some();
        if taken() {
            return Err(crate::tmux::Error::Taken(name).into());
        }
        match agents_of(cx, store, &name, plans) {
            Ok(ids) => return Ok((name.as_str().to_owned(), ids)),
            // Somebody else took the free name a moment before.
            Err(failure) if wanted.is_none() && failure.kind() == Kind::Refused && taken() => {}
            Err(failure) => return Err(failure),
        }
    }
}

/// Starts the agents of a new session; one that fails takes the others with it.
fn agents_of(
    cx: &Context,
    store: &mut Store,
    name: &Name,
    plans: &[Plan],
) -> Result<Vec<TerminalId>> {
    let mut ids: Vec<TerminalId> = Vec::new();
    for (index, plan) in plans.iter().enumerate() {
        let mut plan = plan.clone();
        plan.caller = ids.first().cloned();
        let placement = if index == 0 {
            Placement::Session(name.clone())
        } else {
            let session = cx.tmux.session_id(name.as_str())?;
            Placement::Window(
                session
                    .ok_or_else(|| Failure::failed(format!("the session {name} is gone again")))?,
            )
        };
        match terminal(cx, store, &plan, name.as_str(), &placement, true) {
            Ok(id) => {
                let started = format!("started {} {id}", plan.profile.name);
                ids.push(id);
                progress::step(ids.len(), plans.len(), &started);
            }
            Err(failure) => {
                for id in &ids {
                    if let Ok(t) = find::terminal(cx, store, id.as_str()) {
                        let _ = super::close::close(cx, store, &t, true, Ender::NOBODY);
                    }
                }
                return Err(failure);
            }
        }
    }
    Ok(ids)
}

/// One more agent in an existing session.
pub fn worker(
    cx: &Context,
    store: &mut Store,
    session: &str,
    plan: &Plan,
    split: Option<bool>,
) -> Result<TerminalId> {
    check_tmux(cx)?;
    let id = cx.tmux.session_id(session)?.ok_or_else(|| {
        Failure::not_found(format!("there is no tmux session {:?}", one_line(session)))
            .hint("`tmux list-sessions` names them; `conductor-hook launch` makes a new one")
    })?;
    let placement = match split {
        None => Placement::Window(id),
        Some(horizontal) => Placement::Split {
            session: id,
            horizontal,
        },
    };
    let owned = store
        .read(|tx| tx.live_terminals())?
        .iter()
        .any(|t| t.is_in(session, cx.tmux.socket()) && t.session_owned);
    terminal(cx, store, plan, session, &placement, owned)
}

/// A server that runs must be new enough; where none runs, the program must be.
fn check_tmux(cx: &Context) -> Result<()> {
    match cx.tmux.identify() {
        Ok(_) => Ok(()),
        Err(crate::tmux::Error::NoServer(_)) => {
            crate::tmux::Tmux::program_version()?;
            if let Some(dir) = cx.tmux.socket().parent()
                && !dir.exists()
            {
                fsx::create_private_dir(dir)
                    .map_err(|e| Failure::failed(format!("create {}: {e}", dir.display())))?;
            }
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

fn free_session_name(cx: &Context) -> Result<Name> {
    for number in 1..10_000 {
        let name = format!("conductor-{number}");
        if cx.tmux.session_id(&name).unwrap_or(None).is_none() {
            return Name::parse(&name).map_err(|e| Failure::failed(e.to_string()));
        }
    }
    Err(Failure::refused("there are 10,000 sessions already"))
}

/// Starts one agent: row, files, pane, in this order; the shim in the pane registers it.
fn terminal(
    cx: &Context,
    store: &mut Store,
    plan: &Plan,
    session: &str,
    placement: &Placement,
    session_owned: bool,
) -> Result<TerminalId> {
    let now = clock::now();
    let hooked = hooked(cx, &plan.manifest);
    let mut row = Terminal {
        id: TerminalId::from_bytes(random()?),
        session: session.to_owned(),
        window: plan.profile.name.as_str().to_owned(),
        pane: None,
        server: None,
        pane_pid: None,
        root: None,
        tty: 0,
        provider: plan.manifest.name.clone(),
        profile: plan.profile.name.as_str().to_owned(),
        role: plan.role,
        state: State {
            status: Status::Starting,
            reason: "launched".to_owned(),
            source: Source::Command,
            since: now,
        },
        caller: plan.caller.clone(),
        cwd: plan.cwd.clone(),
        model: plan.model.clone(),
        created_at: now,
        ended_at: None,
        exit_code: None,
        agent_session: Some(uuid()?),
        program: None,
        last_event_at: None,
        last_answer: None,
        gate_seen_at: None,
        gate_silent_at: None,
        session_owned,
        env: plan.env.clone(),
        settled: 0,
        hooked,
        adopted: false,
        args: plan.extra.clone(),
        worktree: None,
        loss: None,
        spot: None,
        // Without hooks nothing tells when it begins.
        begun: !hooked,
    };
    let window = window_name(store, session, &plan.profile.name)?;
    loop {
        if let Some(prospect) = &plan.worktree {
            let planned = prospect.planned(&row.id);
            row.cwd = planned.path.clone().unwrap_or_default();
            row.worktree = Some(planned);
        }
        let actor = plan.author.to_string();
        let stored = store.write(Durability::Process, Budget::Call, |tx| {
            let stored = tx.insert_terminal(&row)?;
            if stored {
                let detail = serde_json::json!({"provider": row.provider, "profile": row.profile, "session": session});
                tx.audit(now, "terminal.created", row.id.as_str(), &actor, "launch", detail)?;
            }
            Ok::<_, crate::store::Error>(stored)
        })?;
        if stored {
            break;
        }
        row.id = TerminalId::from_bytes(random()?);
    }
    let made = plan
        .worktree
        .as_ref()
        .map_or(Ok(()), |prospect| {
            worktree::create(store, &mut row, prospect)
        })
        .inspect_err(|failure| not_started(cx, store, &row, failure.message()));
    let started = made.and_then(|()| start(cx, store, plan, &row, (placement, &window), false));
    if let Err(failure) = started {
        worktree::settle(cx, store, &row.id);
        return Err(failure);
    }
    if let Some(prompt) = &plan.prompt {
        let order = super::send::Order {
            receiver: row.id.clone(),
            body: prompt.clone(),
            key: None,
            ttl: None,
            approval: false,
        };
        if let Err(failure) = super::send::send_as(cx, store, plan.author.clone(), &order) {
            // Nobody waits for an agent that was given nothing to do, and a second try would start another one.
            let started = find::terminal(cx, store, row.id.as_str())?;
            super::close::close(cx, store, &started, true, Ender::NOBODY)?;
            return Err(failure.context("give the agent its first prompt"));
        }
    }
    Ok(row.id)
}

/// Whether the hooks of an agent that is started now reach us: its launch brings them, or its user settings have them.
pub(super) fn hooked(cx: &Context, manifest: &Manifest) -> bool {
    // Kiro's agent files are brought up to date at the launch.
    let by_settings = || match manifest.dialect {
        Dialect::Kiro => providers::setup::in_force(&cx.home, manifest),
        _ => super::setup::holds(cx, manifest),
    };
    manifest.proves() && (manifest.dialect.launches_hooks() || by_settings())
}

/// Starts the agent of a row that waits for it: files, pane, registration. What fails ends the row again.
pub(super) fn start(
    cx: &Context,
    store: &mut Store,
    plan: &Plan,
    row: &Terminal,
    (placement, window): (&Placement, &Name),
    resume: bool,
) -> Result<()> {
    let started = files::write(cx, plan, row, resume).and_then(|()| {
        let hook = cx.binary.to_string_lossy().into_owned();
        let argv = vec![
            hook,
            "--home".to_owned(),
            cx.home.root().to_string_lossy().into_owned(),
            "-S".to_owned(),
            cx.tmux.socket_text(),
            "exec".to_owned(),
            row.id.to_string(),
        ];
        Ok(cx.tmux.start_pane(placement, window, &row.cwd, &argv)?)
    });
    if let Err(failure) = started.and_then(|started| wait_registered(store, &row.id, started.pid)) {
        not_started(cx, store, row, failure.message());
        return Err(failure.context(format!("start {}", plan.manifest.title)));
    }
    // An agent whose events do not say that it is up is looked at. It runs, whatever comes of that.
    super::send::attempt(cx, store, &row.id);
    Ok(())
}

/// Writes the files of an agent that is started by other means than a new pane.
pub(super) fn write_files(cx: &Context, plan: &Plan, row: &Terminal, resume: bool) -> Result<()> {
    files::write(cx, plan, row, resume)
}

/// Ends a row whose agent could not be started.
pub(super) fn not_started(cx: &Context, store: &mut Store, row: &Terminal, why: &str) {
    let _ = store.write(Durability::Process, Budget::Call, |tx| {
        let mut aftermath = Aftermath::default();
        super::after::end(tx, row, why, Source::Process, clock::now(), &mut aftermath)
    });
    let _ = std::fs::remove_dir_all(cx.home.run_of(row.id.as_str()));
}

/// The shim registers within milliseconds; a pane that is gone before that has failed.
fn wait_registered(store: &mut Store, id: &TerminalId, pid: i32) -> Result<()> {
    let deadline = Deadline::after(Duration::from_secs(20));
    loop {
        let registered = store
            .read(|tx| tx.terminal(id))?
            .is_some_and(|t| t.root.is_some());
        if registered {
            return Ok(());
        }
        let alive = crate::proc::Process::of(pid).is_some_and(|process| !process.zombie);
        if !alive {
            // It may have registered and ended between the two looks.
            return if store
                .read(|tx| tx.terminal(id))?
                .is_some_and(|t| t.root.is_some())
            {
                Ok(())
            } else {
                Err(Failure::failed("the pane closed before the agent started")
                    .hint("`conductor-hook doctor`, and the log in the state directory, say more"))
            };
        }
        if deadline.passed() {
            return Err(Failure::new(
                Kind::TimedOut,
                "the pane did not start its program in 20 s",
            ));
        }
        clock::sleep(Duration::from_millis(3), &deadline);
    }
}

pub(super) fn window_name(store: &mut Store, session: &str, profile: &Name) -> Result<Name> {
    let living = store.read(|tx| tx.live_terminals())?;
    let taken = |name: &str| {
        living
            .iter()
            .any(|t| t.session == session && t.window == name)
    };
    let name = std::iter::once(profile.as_str().to_owned())
        .chain((2..10_000).map(|number| {
            format!(
                "{}-{number}",
                profile.as_str().chars().take(58).collect::<String>()
            )
        }))
        .find(|name| !taken(name))
        .unwrap_or_else(|| profile.as_str().to_owned());
    Name::parse(&name).map_err(|e| Failure::failed(e.to_string()))
}

fn random<const N: usize>() -> Result<[u8; N]> {
    fsx::random_bytes().map_err(|e| Failure::failed(format!("read random bytes: {e}")))
}

/// A random UUID (RFC 9562, version 4).
pub(super) fn uuid() -> Result<String> {
    fsx::uuid().map_err(|e| Failure::failed(format!("read random bytes: {e}")))
}
