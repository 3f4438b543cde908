//! What tmux calls: the plugin, hooks, the timer.

use super::Door;
use crate::cli;
use crate::domain::text::one_line;
use crate::error::{Failure, Result};
use crate::services::{
    after, audit, clean, flow, offer, plugin as service, recover, resurrect, tick as timer,
};
use crate::store::Store;
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
        cli::Plugin::Unload { all: true } => unload_all(door),
        cli::Plugin::Unload { all: false } => {
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

/// Fails when a server keeps the plugin, after all others are done.
fn unload_all(door: &mut Door<'_>) -> Result<()> {
    let cx = door.cx.clone();
    let mut store = match existing(door)? {
        Some(store) => store,
        // Without any state there is something to take out only where a server runs.
        None if cx.tmux.listens() => cx.store()?,
        None => return door.print(&[(); 0], |_| String::new()),
    };
    let report = service::unload_all(&mut store, &cx.tmux, &cx.home)?;
    let socket = |server: &service::ServerUnload| one_line(&server.socket.to_string_lossy());
    door.print(&report, |report| {
        report
            .iter()
            .filter_map(|server| {
                let did = if server.was_loaded? {
                    "unloaded from"
                } else {
                    "was not loaded into"
                };
                Some(format!("{did} {}\n", socket(server)))
            })
            .collect()
    })?;
    let kept: Vec<String> = report
        .iter()
        .filter_map(|server| {
            let problem = one_line(server.problem.as_deref()?);
            Some(format!(
                "{}, process {}: {problem}",
                socket(server),
                server.pid
            ))
        })
        .collect();
    if kept.is_empty() {
        return Ok(());
    }
    Err(
        Failure::failed(format!("unload the plugin from {}", kept.join("; ")))
            .hint("a server whose socket is gone makes it again when its process gets SIGUSR1"),
    )
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
            format!("{name}: {}\n", one_line(&text))
        })
        .collect()
}

/// Opens existing state as it stands; `None` where there is none.
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
