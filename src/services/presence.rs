//! Whether a code can be shown here so that a person reads it and no agent does.
//!
//! A popup is in no pane, so `capture-pane` does not see it. A pane can be read by every process that reaches the server, and so can a
//! popup over a client that an agent has attached by itself. An agent with a tmux server of its own that we know nothing of is a
//! process of the same user, which nothing here stops.

use super::context::Context;
use super::identity::{self, Caller};
use crate::clock;
use crate::error::{Failure, Result};
use crate::paths;
use crate::store::{Budget, Durability, Error, Store};
use crate::tmux::Tmux;
use std::path::PathBuf;

/// The servers that are known: the one that we were called for, the one around this process, and those of living terminals.
fn servers(cx: &Context, store: &mut Store) -> Result<Vec<Tmux>> {
    let mut sockets = vec![cx.tmux.socket().to_path_buf()];
    let around = paths::env("TMUX");
    let around = around.as_deref().and_then(|text| text.split_once(','));
    sockets.extend(around.map(|(socket, _)| PathBuf::from(socket)));
    for terminal in store.read(|tx| tx.live_terminals())? {
        sockets.extend(terminal.server.map(|server| server.socket));
    }
    sockets.sort();
    sockets.dedup();
    Ok(sockets.into_iter().map(Tmux::at).collect())
}

/// The server in one of whose panes this process has its terminal.
pub fn pane_server(cx: &Context, store: &mut Store) -> Result<Option<Tmux>> {
    let Ok(own) = nix::unistd::ttyname(std::io::stdin()) else {
        return Ok(None);
    };
    let own = own.to_string_lossy().into_owned();
    for tmux in servers(cx, store)? {
        if tmux.pane_terminals()?.contains(&own) {
            return Ok(Some(tmux));
        }
    }
    Ok(None)
}

/// Refuses where a process of an agent has attached a client to the server: it could read the popup, and type into it.
pub fn no_agent_watches(tmux: &Tmux, store: &mut Store) -> Result<()> {
    let clients = tmux.clients()?;
    let found = store.read(|tx| {
        for (name, pid) in &clients {
            match identity::of_process(tx, *pid)? {
                None | Some(Caller::Person { .. }) => {}
                Some(caller) => return Ok::<_, Error>(Some((name.clone(), caller.word()))),
            }
        }
        Ok(None)
    })?;
    let Some((client, who)) = found else {
        return Ok(());
    };
    let detail = serde_json::json!({"reason": "a client of an agent is attached"});
    store.write(Durability::Power, Budget::Call, |tx| {
        tx.audit(
            clock::now(),
            "approval.refused",
            &client,
            &who,
            "popup",
            detail,
        )
    })?;
    Err(Failure::refused(format!(
        "a process of an agent ({who}) has attached the client {client}, and could read the code"
    ))
    .hint(format!(
        "detach it first: `tmux detach-client -t {client}`; it is in the audit log"
    )))
}

/// Refuses whoever is not a key of a person at `client`: the process belongs to no agent, and neither does the client.
pub fn at_client(cx: &Context, store: &mut Store, client: &str) -> Result<()> {
    let clients = cx.tmux.clients()?;
    let there = clients.iter().find(|(name, _)| name == client);
    let who = store.read(|tx| {
        let caller = identity::caller(tx)?;
        if !matches!(caller, Caller::Person { .. }) {
            return Ok::<_, Error>(Some(caller.word()));
        }
        Ok(match there {
            None => Some("no such client".to_owned()),
            Some((_, pid)) => match identity::of_process(tx, *pid)? {
                Some(Caller::Person { .. }) => None,
                Some(caller) => Some(caller.word()),
                None => Some("no such client".to_owned()),
            },
        })
    })?;
    let Some(who) = who else {
        return Ok(());
    };
    let detail = serde_json::json!({"reason": "not a person's key"});
    store.write(Durability::Power, Budget::Call, |tx| {
        tx.audit(clock::now(), "menu.refused", client, &who, "menu", detail)
    })?;
    Err(
        Failure::refused(format!("only a person's key speaks for a person ({who})"))
            .hint("the attempt is in the audit log"),
    )
}
