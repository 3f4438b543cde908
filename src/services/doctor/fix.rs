//! What the doctor may do without asking: nothing that loses anything, or that changes what is the user's.

use super::upkeep::private_paths;
use crate::error::Result;
use crate::fsx;
use crate::services::context::Context;
use crate::services::{audit, clean, logs, plugin, recover};
use crate::store::{Budget, Durability, Store};
use serde::Serialize;

/// What was mended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mended {
    /// What it was about.
    pub what: &'static str,
    /// What was done, or why it could not be.
    pub done: String,
}

fn mended(what: &'static str, done: impl Into<String>) -> Mended {
    Mended {
        what,
        done: done.into(),
    }
}

/// Does what is safe; says what there was to do.
pub fn fix(cx: &Context) -> Result<Vec<Mended>> {
    let mut done = modes(cx);
    if !cx.home.db().exists() {
        return Ok(done);
    }
    let mut store = Store::open(&cx.home)?;
    clean::make_room(cx, &mut store)?;
    let waiting = std::fs::read_dir(cx.home.spool()).map_or(0, Iterator::count);
    // Every writer stores what waits in the spool first.
    store.write(Durability::Process, Budget::Call, |_| {
        Ok::<_, crate::store::Error>(())
    })?;
    let left = std::fs::read_dir(cx.home.spool()).map_or(0, Iterator::count);
    if waiting > left {
        done.push(mended("spool", format!("stored {} events", waiting - left)));
    }
    audit::catch_up(&mut store);
    for finding in recover::all(cx, &mut store)? {
        done.push(mended(
            "terminals",
            format!("{} has ended: {}", finding.terminal, finding.reason),
        ));
    }
    recover::rearm(cx, &mut store)?;
    done.extend(hooks(cx, &mut store));
    for (tmux, pane, id) in logs::silent(&store.read(|tx| tx.live_terminals())?) {
        done.push(mended(
            "logs",
            match logs::log_again(&cx.home, &tmux, pane, &id) {
                Ok(()) => format!("the output of {id} is logged again"),
                Err(error) => format!("the output of {id} could not be logged: {error}"),
            },
        ));
    }
    clean::ride(cx, &mut store);
    Ok(done)
}

fn modes(cx: &Context) -> Vec<Mended> {
    private_paths(&cx.home)
        .into_iter()
        .filter(|path| fsx::others_may_use(path))
        .map(|path| {
            let shown = path.display();
            mended(
                "modes",
                match fsx::keep_others_out(&path) {
                    Ok(()) => format!("{shown} is yours alone"),
                    Err(error) => format!("{shown} could not be made yours alone: {error}"),
                },
            )
        })
        .collect()
}

/// Puts back what of the plugin is gone, where it was loaded.
fn hooks(cx: &Context, store: &mut Store) -> Option<Mended> {
    let status = plugin::status(store, &cx.tmux, &cx.home).ok()?;
    let missing = status.missing_hooks.iter().copied();
    let aliases = status.missing_aliases.iter().map(String::as_str);
    let names = missing.chain(aliases).collect::<Vec<_>>().join(", ");
    if !status.loaded || names.is_empty() || status.other_home.is_some() {
        return None;
    }
    Some(mended(
        "plugin",
        match plugin::load(store, &cx.tmux, &cx.home, &cx.binary) {
            Ok(_) => format!("put back {names}"),
            Err(failure) => format!("could not put back {names}: {}", failure.message()),
        },
    ))
}
