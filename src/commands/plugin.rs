//! What tmux calls: the plugin, hooks, the timer, keys.

use super::{Door, dashboard, popup, talk};
use crate::cli;
use crate::domain::terminal::{Status, Terminal};
use crate::error::{Failure, Result};
use crate::proc;
use crate::services::deliver::place;
use crate::services::{
    after, audit, clean, close, flow, offer, plugin as service, profile, recover, resurrect,
    tick as timer, worktree,
};
use crate::store::Store;
use crate::tmux::{CommandList, literal, quoted};
use serde::Serialize;

pub(super) fn plugin(door: &mut Door<'_>, command: &cli::Plugin) -> Result<()> {
    let cx = door.cx.clone();
    match command {
        cli::Plugin::Load { .. } => {
            let mut store = cx.store()?;
            let report = service::load(&mut store, &cx.tmux, &cx.home, &cx.binary)?;
            recover::all(&cx, &mut store)?;
            flow::move_here(&cx, &mut store)?;
            recover::rearm(&cx, &mut store)?;
            clean::after_load(&cx, &mut store)?;
            offer::announce(&cx, &mut store)?;
            audit::catch_up(&mut store);
            after::forget_shown(&mut store, &cx.tmux)?;
            after::show_counts(&mut store, &cx.tmux)?;
            door.print(&report, |report| {
                let key = report.key.as_deref().unwrap_or("none is free");
                format!(
                    "loaded into tmux {}, key after the prefix: {key}\n",
                    report.tmux
                )
            })
        }
        cli::Plugin::Unload => {
            let mut store = cx.store()?;
            let report = service::unload(&mut store, &cx.tmux, &cx.home)?;
            after::forget_shown(&mut store, &cx.tmux)?;
            door.print(&report, |report| {
                if report.was_loaded {
                    "unloaded\n".to_owned()
                } else {
                    "was not loaded\n".to_owned()
                }
            })
        }
        cli::Plugin::Status => {
            let mut store = cx.store()?;
            let status = service::status(&mut store, &cx.tmux, &cx.home)?;
            door.print(&status, lines)
        }
        cli::Plugin::Saved { file } => match existing(door)? {
            Some(mut store) => resurrect::saved(&cx, &mut store, file),
            None => Ok(()),
        },
        cli::Plugin::Restored { file } => {
            let Some(mut store) = existing(door)? else {
                return Ok(());
            };
            let offers = resurrect::restored(&cx, &mut store, file.as_deref())?;
            recover::rearm(&cx, &mut store)?;
            door.print(&offers, |offers| {
                offers
                    .iter()
                    .map(|o| format!("{}: {}\n", o.terminal, o.outcome.unwrap_or("-")))
                    .collect()
            })
        }
    }
}

/// A flat JSON object as `name: value` lines.
fn lines(value: &impl Serialize) -> String {
    let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(value) else {
        return String::new();
    };
    fields
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            format!("{name}: {}\n", crate::domain::text::one_line(&text))
        })
        .collect()
}

pub(super) fn existing(door: &Door<'_>) -> Result<Option<Store>> {
    match Store::open(&door.cx.home) {
        Ok(store) => Ok(Some(store)),
        Err(crate::store::Error::Missing(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A hook fired: it only says "look". Nothing is known from its arguments that `list-panes` does not say better.
pub(super) fn event(door: &Door<'_>, name: &str, _arguments: &[String]) -> Result<()> {
    let Some(mut store) = existing(door)? else {
        return Ok(());
    };
    // The bell rings again from here on, so that what happens while we look is not missed.
    service::rearm_bell(&door.cx.tmux)?;
    match name {
        "pane-mode-changed" | "client-attached" | "client-session-changed" => {
            recover::retry_waiting(&door.cx, &mut store)?;
        }
        _ => {
            recover::all(&door.cx, &mut store)?;
        }
    }
    recover::rearm(&door.cx, &mut store)
}

pub(super) fn tick(door: &Door<'_>) -> Result<()> {
    let Some(mut store) = existing(door)? else {
        return Ok(());
    };
    if let Err(failure) = service::mend(&door.cx.tmux) {
        tracing::debug!(%failure, "mend the hooks");
    }
    timer::tick(&door.cx, &mut store)
}

/// A key of the conductor table was pressed in a client.
pub(super) fn menu(door: &mut Door<'_>, name: &str, arguments: &[String]) -> Result<()> {
    let cx = door.cx.clone();
    let client = arguments.first().map_or("", String::as_str);
    match name {
        "inbox" | "flows" | "help" => {
            let line = service::pager_line(name, &cx.tmux, &cx.home, &cx.binary)
                .ok_or_else(|| Failure::failed(format!("the menu {name} cannot be shown")))?;
            Err(proc::exec(cx.tmux.popup_command(client, &line)?))
        }
        "message" | "note" => talk::menu(door, name, arguments),
        "next" => next(door, client),
        "approvals" => popup::open(door, client, popup::Start::List),
        "approve-next" => popup::open(door, client, popup::Start::Next),
        "answer" => popup::answer(door, arguments),
        "dashboard" => dashboard::open(door, client),
        "stop" => {
            let Some(mut store) = existing(door)? else {
                return Ok(());
            };
            let socket = cx.tmux.socket();
            let living = store.read(|tx| tx.live_terminals())?;
            for terminal in living.iter().rev() {
                if terminal
                    .server
                    .as_ref()
                    .is_some_and(|server| server.socket == socket)
                {
                    close::end(&cx, &mut store, terminal, true)?;
                }
            }
            worktree::settle_ended(&cx, &mut store)
        }
        "spawn" => match arguments.get(1) {
            None => spawn_menu(door, client),
            Some(profile) => spawn(door, profile, client),
        },
        other => Err(Failure::not_found(format!(
            "there is no menu {:?}",
            crate::domain::text::one_line(other)
        ))),
    }
}

/// Takes the client to the agent that has waited longest for a person.
fn next(door: &Door<'_>, client: &str) -> Result<()> {
    let cx = &door.cx;
    let say = |text: &str| Ok(cx.tmux.tell(client, text)?);
    let Some(mut store) = existing(door)? else {
        return say("no agent waits");
    };
    let living = store.read(|tx| tx.live_terminals())?;
    let mut waiting: Vec<&Terminal> = living
        .iter()
        .filter(|t| matches!(t.state.status, Status::Waiting | Status::Error))
        .filter(|t| {
            t.server
                .as_ref()
                .is_some_and(|server| server.socket == cx.tmux.socket())
        })
        .collect();
    waiting.sort_by_key(|t| t.state.since);
    let Some((_, pane)) = waiting.first().and_then(|t| place(t)) else {
        return say("no agent waits");
    };
    Ok(cx.tmux.show(client, pane)?)
}

/// A menu of the profiles; its entries carry names that are letters, digits, `_` and `-` only.
fn spawn_menu(door: &Door<'_>, client: &str) -> Result<()> {
    let cx = &door.cx;
    let cwd = crate::paths::working_directory()?;
    let trusted = profile::Trusted::read(cx)?;
    let entries = profile::with_catalogue(cx, &trusted, &cwd, |catalogue| catalogue.list());
    let mut menu: Vec<String> = ["display-menu", "-T", "Spawn an agent", "-c"]
        .map(str::to_owned)
        .to_vec();
    menu.push(quoted(&literal(client)));
    let usable = entries
        .iter()
        .filter(|e| !e.shadowed && e.trusted && e.problem.is_none())
        .take(26);
    for (entry, key) in usable.zip('a'..='z') {
        if crate::domain::ids::Name::parse(&entry.name).is_err() {
            continue;
        }
        let command = service::menu_line(&format!("menu spawn #{{q:client_name}} {}", entry.name));
        menu.extend([quoted(&entry.name), key.to_string(), quoted(&command)]);
    }
    menu[2] = quoted(&menu[2]);
    // display-menu blocks its client until it is closed; queued in the server it does not.
    let list =
        CommandList::new().then(["run-shell", "-b", "-C", &menu.join(" ").replace('#', "##")]);
    Ok(cx.tmux.run(&list).map(drop)?)
}

/// Starts an agent of `profile` in the session that the client looks at, in its directory.
fn spawn(door: &mut Door<'_>, profile: &str, client: &str) -> Result<()> {
    let answer = door
        .cx
        .tmux
        .of_client(client, "#{session_name}\t#{pane_current_path}")?
        .ok_or_else(|| Failure::not_found("the client that the key was pressed in is gone"))?;
    let (session, cwd) = answer.split_once('\t').unwrap_or((&answer, ""));
    let arguments = cli::Worker {
        session: session.to_owned(),
        agent: cli::Agent {
            provider: None,
            profile: Some(profile.to_owned()),
            cwd: (!cwd.is_empty()).then(|| cwd.into()),
            model: None,
            prompt: None,
            env: Vec::new(),
            worktree: false,
        },
        role: "worker".to_owned(),
        split: None,
        args: Vec::new(),
    };
    let started = super::agents::worker(door, &arguments);
    if let Err(failure) = &started {
        door.cx.tmux.tell(client, failure.message())?;
    }
    started
}
