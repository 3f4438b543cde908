//! Starting, listing, explaining and ending agents.

use super::Door;
use crate::cli;
use crate::clock;
use crate::domain::ids::TerminalId;
use crate::domain::terminal::{Gated, Role, Server, Status, Terminal};
use crate::domain::text::one_line;
use crate::domain::time;
use crate::error::{Failure, Result};
use crate::paths::Home;
use crate::proc;
use crate::providers::Catalogue;
use crate::services::after::Ender;
use crate::services::context::Context;
use crate::services::identity::{self, Caller};
use crate::services::launch::{self, Wish};
use crate::services::resume::{self, Where};
use crate::services::{adopt, close, explain, find, offer, recover, spawn};
use crate::store::Store;
use crate::ui::json::{SessionView, TerminalView};
use crate::ui::table::{self, Table};
use jiff::Timestamp;
use std::collections::HashMap;
use std::io::IsTerminal;

/// How long ended terminals are listed with `--all`, in milliseconds.
const RECENT_MS: i64 = 14 * 24 * 60 * 60 * 1000;

fn wish(agent: &cli::Agent, args: &[String]) -> Wish {
    Wish {
        profile: agent.profile.clone(),
        provider: agent.provider.clone(),
        fallback: None,
        role: None,
        cwd: agent.cwd.clone(),
        model: agent.model.clone(),
        prompt: agent.prompt.clone(),
        env: agent.env.clone(),
        extra: args.to_vec(),
        worktree: agent.worktree,
    }
}

pub(super) fn launch(door: &mut Door<'_>, arguments: &cli::Launch) -> Result<()> {
    if arguments.attach {
        attachable()?;
    }
    let mut store = door.cx.store()?;
    let cx = door.cx.clone();
    let supervisor = wish(&arguments.agent, &arguments.args);
    let mut plans = vec![launch::plan(
        &cx,
        &mut store,
        &supervisor,
        "conductor",
        Role::Supervisor,
    )?];
    for profile in &arguments.with_worker {
        let worker = Wish {
            profile: Some(profile.clone()),
            prompt: None,
            model: None,
            extra: Vec::new(),
            ..supervisor.clone()
        };
        plans.push(launch::plan(
            &cx,
            &mut store,
            &worker,
            profile,
            Role::Worker,
        )?);
    }
    for plan in &plans {
        super::warn(&plan.warnings);
    }
    let (name, ids) = launch::session(&cx, &mut store, arguments.session.as_deref(), &plans)?;
    let socket = cx.tmux.socket_text();
    let mut found = sessions_of(&mut store, false)?
        .into_iter()
        .find(|s| s.name == name && s.server.as_deref() == Some(&socket))
        .ok_or_else(|| {
            Failure::failed(format!(
                "the session {name} ended while it was being started"
            ))
        })?;
    // An earlier session of that name is none of this one's.
    found.terminals.retain(|t| ids.contains(&t.id));
    door.print(&found, session_text)?;
    if arguments.attach {
        return attach_to(door, &name);
    }
    Ok(())
}

pub(super) fn worker(door: &mut Door<'_>, arguments: &cli::Worker) -> Result<()> {
    let mut store = door.cx.store()?;
    let cx = door.cx.clone();
    let wish = wish(&arguments.agent, &arguments.args);
    let (session, role) = (&arguments.session, &arguments.role);
    let id = start_worker(&cx, &mut store, session, wish, role, arguments.split)?;
    let found = find::terminal(&cx, &mut store, id.as_str())?;
    print_terminal(door, &mut store, &found)
}

/// Starts one more agent in a session.
pub(super) fn start_worker(
    cx: &Context,
    store: &mut Store,
    session: &str,
    mut wish: Wish,
    role: &str,
    split: Option<cli::Split>,
) -> Result<TerminalId> {
    wish.role = Some(role.to_owned());
    recover::all(cx, store)?;
    let living = store.read(|tx| tx.live_terminals())?;
    let supervisor = spawn::supervisor(&living, cx, session);
    wish.fallback = supervisor.map(|t| t.provider.clone());
    let mut plan = launch::plan(cx, store, &wish, "developer", Role::from_word(role))?;
    plan.caller = supervisor.map(|t| t.id.clone());
    if let Some(supervisor) = supervisor {
        let mut env = supervisor.env.clone();
        env.retain(|(key, _)| !plan.env.iter().any(|(other, _)| other == key));
        plan.env.extend(env);
    }
    super::warn(&plan.warnings);
    let split = split.map(|split| matches!(split, cli::Split::H));
    launch::worker(cx, store, session, &plan, split)
}

pub(super) fn adopt(door: &mut Door<'_>, pane: &str, provider: &str, role: &str) -> Result<()> {
    let cx = door.cx.clone();
    let mut store = cx.store()?;
    let adopted = adopt::adopt(&cx, &mut store, pane, provider, Role::from_word(role))?;
    print_terminal(door, &mut store, &adopted)
}

pub(super) fn resume(door: &mut Door<'_>, arguments: &cli::Resume) -> Result<()> {
    let mut store = existing(door)?;
    let cx = door.cx.clone();
    let ended = find::terminal(&cx, &mut store, &arguments.terminal)?;
    if arguments.here {
        return Err(resume::here(&cx, &mut store, &ended));
    }
    let resumed = resume::resume(&cx, &mut store, &ended, Where::Window)?;
    print_terminal(door, &mut store, &resumed)
}

/// The sessions of this state directory.
pub(super) fn sessions_of(store: &mut Store, all: bool) -> Result<Vec<SessionView>> {
    let home = store.home().clone();
    store.read(|tx| {
        let terminals = if all {
            tx.recent_terminals(clock::after_ms(clock::now(), -RECENT_MS))?
        } else {
            // Ended terminals of a session that lives belong to its picture, those of an earlier one of that name do not.
            let mut recent = tx.recent_terminals(clock::after_ms(clock::now(), -RECENT_MS))?;
            let mut living: HashMap<String, Vec<(Option<Server>, Timestamp)>> = HashMap::new();
            for t in recent.iter().filter(|t| t.alive()) {
                let session = living.entry(t.session.clone()).or_default();
                session.push((t.server.clone(), t.created_at));
            }
            // Whether it was still there when one that lives was started in its session.
            let met = |t: &Terminal| {
                living.get(&t.session).is_some_and(|others| {
                    others.iter().any(|(server, started)| {
                        *server == t.server && t.ended_at.is_none_or(|at| at >= *started)
                    })
                })
            };
            recent.retain(|t| t.alive() || met(t));
            recent
        };
        let open = tx.open_counts()?;
        let mut gates = Gates::of(&home);
        let views = terminals
            .iter()
            .map(|t| {
                let unread = open.get(t.id.as_str()).copied().unwrap_or(0);
                TerminalView::new(t, unread, gates.gated(t))
            })
            .collect();
        let mut sessions = SessionView::group(views);
        for (terminal, count) in tx.pending_counts()? {
            let asked = |t: &TerminalView| Some(t.id.as_str()) == terminal.as_deref();
            if let Some(session) = sessions.iter_mut().find(|s| s.terminals.iter().any(asked)) {
                session.pending_approvals += count;
            }
        }
        Ok::<_, Failure>(sessions)
    })
}

pub(super) fn sessions(door: &mut Door<'_>, all: bool) -> Result<()> {
    let Some(mut store) = reading(door)? else {
        return door.print(&Vec::<SessionView>::new(), |_| "no sessions\n".to_owned());
    };
    let sessions = sessions_of(&mut store, all)?;
    let lost = offer::lost(&mut store)?.len();
    door.print(&sessions, |sessions| {
        let mut text = if sessions.is_empty() {
            "no sessions\n".to_owned()
        } else {
            sessions.iter().map(session_text).collect()
        };
        if lost > 0 {
            text.push_str(&format!(
                "{lost} ended agents can be resumed: `recover` lists them\n"
            ));
        }
        text
    })
}

/// Which providers gate, each looked up once.
pub(super) struct Gates {
    catalogue: Catalogue,
    known: HashMap<String, bool>,
}

impl Gates {
    pub(super) fn of(home: &Home) -> Self {
        Self {
            catalogue: Catalogue::of(home),
            known: HashMap::new(),
        }
    }

    pub(super) fn gated(&mut self, terminal: &Terminal) -> Gated {
        let gates = self
            .known
            .entry(terminal.provider.clone())
            .or_insert_with(|| self.catalogue.gates(&terminal.provider));
        terminal.gated(*gates)
    }
}

/// Opens existing state and compares it with the tmux servers; `None` where there is no state.
pub(super) fn reading(door: &Door<'_>) -> Result<Option<Store>> {
    let Some(mut store) = super::plugin::existing(door)? else {
        return Ok(None);
    };
    recover::all(&door.cx, &mut store)?;
    recover::rearm(&door.cx, &mut store)?;
    Ok(Some(store))
}

/// As [`reading`], where something must be there to be found.
pub(super) fn existing(door: &Door<'_>) -> Result<Store> {
    reading(door)?
        .ok_or_else(|| crate::store::Error::Missing(door.cx.home.root().to_path_buf()).into())
}

pub(super) fn session(door: &mut Door<'_>, name: &str) -> Result<()> {
    let mut store = existing(door)?;
    let socket = door.cx.tmux.socket_text();
    // The server that the call selected, else the one where it lives, else the newest of that name.
    let found = sessions_of(&mut store, true)?
        .into_iter()
        .filter(|s| s.name == name)
        .max_by_key(|s| {
            let here = s.server.as_deref() == Some(&socket);
            (here, s.terminals.iter().any(|t| t.status != Status::Exited))
        })
        .ok_or_else(|| {
            Failure::not_found(format!("there is no session {:?}", one_line(name)))
                .hint("`conductor-hook sessions` lists them")
        })?;
    door.print(&found, session_text)
}

fn session_text(session: &SessionView) -> String {
    let now = clock::now().as_millisecond();
    let mut table = Table::new(&[
        "terminal", "window", "role", "provider", "status", "age", "unread", "why",
    ]);
    for t in &session.terminals {
        table.row(&[
            t.id.as_str(),
            &t.window,
            t.role.as_str(),
            &t.provider,
            t.status.as_str(),
            &table::age(now - t.status_since.as_millisecond()),
            &t.unread.to_string(),
            &table::cut(&t.status_reason, 60),
        ]);
    }
    let server = session.server.as_deref().unwrap_or("no server");
    format!(
        "session {} ({})\n{}",
        one_line(&session.name),
        one_line(server),
        table.render()
    )
}

fn print_terminal(door: &mut Door<'_>, store: &mut Store, terminal: &Terminal) -> Result<()> {
    let unread = store.read(|tx| tx.open_count(Some(&terminal.id)))?;
    door.print(
        &TerminalView::new(terminal, unread, Gates::of(&door.cx.home).gated(terminal)),
        |t| {
            let mut table = Table::new(&[
                "terminal", "session", "window", "pane", "role", "provider", "status", "why",
            ]);
            table.row(&[
                t.id.as_str(),
                &t.session,
                &t.window,
                t.pane.as_deref().unwrap_or("-"),
                t.role.as_str(),
                &t.provider,
                t.status.as_str(),
                &table::cut(&t.status_reason, 60),
            ]);
            table.render() + &worktree_text(terminal)
        },
    )
}

/// A terminal's worktree, for people; where it stays after its terminal's end, also what to do about it.
fn worktree_text(terminal: &Terminal) -> String {
    let worktree = terminal.worktree.as_ref().filter(|w| w.is_there());
    let Some(worktree) = worktree else {
        return String::new();
    };
    let mut text = format!("worktree: {}\n", worktree.line(terminal.alive()));
    if !terminal.alive() {
        let commands = worktree.commands();
        text.extend(commands.iter().map(|command| format!("  {command}\n")));
        let id = &terminal.id;
        text.push_str(&format!(
            "  once nothing is lost with it, `conductor-hook close {id}` removes it\n"
        ));
    }
    text
}

pub(super) fn status(door: &mut Door<'_>, terminal: &str) -> Result<()> {
    let mut store = existing(door)?;
    let found = find::terminal(&door.cx, &mut store, terminal)?;
    print_terminal(door, &mut store, &found)
}

pub(super) fn explain(door: &mut Door<'_>, terminal: &str) -> Result<()> {
    let mut store = existing(door)?;
    let found = find::terminal(&door.cx, &mut store, terminal)?;
    let explanation = explain::explain(&door.cx, &mut store, &found)?;
    door.print(&explanation, |e| {
        let mut text = format!(
            "{} is {} for {}: {}\n  believed from: {} (confidence {})\n",
            e.id,
            e.status.as_str(),
            table::age(e.age_seconds * 1000),
            one_line(&e.reason),
            e.source,
            e.confidence
        );
        text.push_str(&match e.last_event_at {
            Some(at) => format!("  last event: {}\n", time::text(at)),
            None if !e.hooked => "  last event: none, it runs without hooks of ours\n".to_owned(),
            None => "  last event: none yet, its hooks have not been heard from\n".to_owned(),
        });
        if let Some(screen) = &e.screen {
            text.push_str(&format!("  the screen shows: {screen}\n"));
        }
        if let Some(remedy) = &e.remedy {
            text.push_str(&format!("  what to do: {remedy}\n"));
        }
        match e.oldest_seconds {
            Some(oldest) => text.push_str(&format!(
                "  messages that wait: {}, the oldest for {}\n",
                e.queue.len(),
                table::age(oldest * 1000)
            )),
            None => text.push_str("  no message waits\n"),
        }
        for waiting in &e.queue {
            text.push_str(&format!(
                "  message {} is {}{}{}\n",
                waiting.id,
                waiting.status.as_str(),
                waiting
                    .reason
                    .as_deref()
                    .map(|r| format!(": {}", one_line(r)))
                    .unwrap_or_default(),
                waiting
                    .retried_by
                    .map(|by| format!(" (retried by: {by})"))
                    .unwrap_or_default(),
            ));
        }
        if let Some(proofs) = &e.proofs {
            text.push_str(&format!("  deliveries: {}\n", proofs.line()));
        }
        if let Some(worktree) = &e.worktree {
            text.push_str(&format!("  its worktree: {worktree}\n"));
        }
        text
    })
}

pub(super) fn attach(door: &mut Door<'_>, target: &str) -> Result<()> {
    let mut store = existing(door)?;
    let known = sessions_of(&mut store, false)?
        .iter()
        .any(|s| s.name == target);
    if known {
        return attach_to(door, target);
    }
    drop(store);
    attach_there(door, target)
}

/// Attaches to the pane of one terminal; ends only when that fails.
pub(super) fn attach_there(door: &Door<'_>, target: &str) -> Result<()> {
    let mut store = door.cx.existing_store()?;
    let terminal = find::terminal(&door.cx, &mut store, target)?;
    let (Some(server), Some(pane)) = (&terminal.server, &terminal.pane) else {
        return Err(Failure::refused(format!(
            "terminal {} has no pane yet",
            terminal.id
        )));
    };
    if !terminal.alive() {
        let id = &terminal.id;
        return Err(
            Failure::refused(format!("terminal {id} has ended")).hint(format!(
                "`conductor-hook resume {id}` takes up its conversation"
            )),
        );
    }
    attachable()?;
    let mut command = proc::command("tmux");
    command.arg("-S").arg(&server.socket);
    let inside = crate::paths::env("TMUX").is_some();
    command.arg(if inside {
        "switch-client"
    } else {
        "attach-session"
    });
    command.args([
        "-t",
        pane,
        ";",
        "select-window",
        "-t",
        pane,
        ";",
        "select-pane",
        "-t",
        pane,
    ]);
    Err(proc::exec(command))
}

/// tmux takes over this terminal, so there must be one; inside tmux the client that is there is switched.
fn attachable() -> Result<()> {
    if crate::paths::env("TMUX").is_some() || std::io::stdin().is_terminal() {
        return Ok(());
    }
    Err(Failure::failed("attach: standard input is not a terminal")
        .hint("run it in a terminal, or look with `conductor-hook output TERMINAL --mode screen`"))
}

fn attach_to(door: &Door<'_>, name: &str) -> Result<()> {
    attachable()?;
    let id = door.cx.tmux.session_id(name)?.ok_or_else(|| {
        Failure::not_found(format!("there is no tmux session {:?}", one_line(name)))
            .hint("`conductor-hook sessions` lists those with agents")
    })?;
    let mut command = proc::command("tmux");
    command.arg("-S").arg(door.cx.tmux.socket());
    let inside = crate::paths::env("TMUX").is_some();
    command.args([
        if inside {
            "switch-client"
        } else {
            "attach-session"
        },
        "-t",
        &id,
    ]);
    Err(proc::exec(command))
}

/// What an agent may end: workers of its own session, as over MCP; not itself, and no supervisor. Returns who calls, for the audit log.
pub(super) fn may_end(store: &mut Store, terminal: &Terminal, via: &str) -> Result<String> {
    let caller = identity::honest(store, via)?;
    let actor = caller.sender().to_string();
    let id = match caller {
        Caller::Person { .. } => return Ok(actor),
        Caller::Agent(id) => id,
        Caller::Orphan | Caller::Mismatch(_) => {
            return Err(Failure::refused("this process may not end agents")
                .hint("a person ends them, or an agent those of its own session"));
        }
    };
    let own = store.read(|tx| tx.terminal(&id))?;
    let in_session =
        own.is_some_and(|own| own.session == terminal.session && own.server == terminal.server);
    if id == terminal.id || terminal.role == Role::Supervisor || !in_session {
        return Err(Failure::refused(
            "an agent may end workers of its own session only",
        ));
    }
    Ok(actor)
}

pub(super) fn close(door: &mut Door<'_>, terminal: &str, force: bool) -> Result<()> {
    let mut store = existing(door)?;
    let found = find::terminal(&door.cx, &mut store, terminal)?;
    let actor = may_end(&mut store, &found, "close")?;
    let by = Ender {
        actor: &actor,
        via: "close",
    };
    let closed = close::close(&door.cx, &mut store, &found, force, by)?;
    print_terminal(door, &mut store, &closed)
}

pub(super) fn shutdown(door: &mut Door<'_>, arguments: &cli::Shutdown) -> Result<()> {
    let Some(mut store) = reading(door)? else {
        return door.print(&Vec::<TerminalView>::new(), |_| {
            "nothing to end\n".to_owned()
        });
    };
    if let Some(name) = &arguments.session {
        let known = sessions_of(&mut store, true)?
            .iter()
            .any(|s| s.name == *name);
        if !known {
            return Err(
                Failure::not_found(format!("there is no session {:?}", one_line(name)))
                    .hint("`conductor-hook sessions` lists them"),
            );
        }
        let living = store.read(|tx| tx.live_terminals())?;
        if let Some(failure) = find::elsewhere(&door.cx, &living, name) {
            return Err(failure);
        }
    }
    let actor = identity::honest(&mut store, "shutdown")?
        .sender()
        .to_string();
    let by = Ender {
        actor: &actor,
        via: "shutdown",
    };
    let closed = close::shutdown(
        &door.cx,
        &mut store,
        arguments.session.as_deref(),
        arguments.force,
        by,
    )?;
    let mut gates = Gates::of(&door.cx.home);
    let views: Vec<TerminalView> = closed
        .iter()
        .map(|t| TerminalView::new(t, 0, gates.gated(t)))
        .collect();
    door.print(&views, |views| {
        if views.is_empty() {
            return "nothing to end\n".to_owned();
        }
        closed
            .iter()
            .map(|t| {
                let window = one_line(&t.window);
                format!("ended {} ({window})\n{}", t.id, worktree_text(t))
            })
            .collect()
    })
}
