//! A flow whose tmux server is gone moves to the one that its home uses now.

use super::super::after::Aftermath;
use super::super::context::Context;
use super::super::plugin;
use super::arm_in;
use crate::clock;
use crate::error::Result;
use crate::store::{Budget, Durability, Store};
use crate::tmux::{Error, Tmux};
use std::path::{Path, PathBuf};

/// Moves the flows whose server does not run any more to this server, if the plugin is loaded into it for this home and into no other
/// living one: of several nobody can tell which is meant. Returns the names.
pub fn move_here(cx: &Context, store: &mut Store) -> Result<Vec<String>> {
    let here = cx.tmux.socket();
    let flows: Vec<_> = store
        .read(|tx| tx.flows())?
        .into_iter()
        .filter(|flow| flow.server != here)
        .collect();
    if flows.is_empty() || !only_one(store, here)? {
        return Ok(Vec::new());
    }
    let mut looked: Vec<(PathBuf, bool)> = Vec::new();
    for flow in &flows {
        if looked.iter().all(|(socket, _)| *socket != flow.server) {
            let gone = matches!(Tmux::at(&flow.server).identify(), Err(Error::NoServer(_)));
            looked.push((flow.server.clone(), gone));
        }
    }
    let mut moved = Vec::new();
    let mut aftermath = Aftermath::default();
    store.write(Durability::Process, Budget::Call, |tx| {
        let now = clock::now();
        for flow in &flows {
            // Somebody may have added it anew meanwhile.
            let same = tx
                .flow(&flow.name)?
                .is_some_and(|found| found.server == flow.server);
            if !same || !looked.iter().any(|(socket, gone)| *gone && *socket == flow.server) {
                continue;
            }
            tx.move_flow(&flow.name, &here.to_string_lossy())?;
            let detail = serde_json::json!({"from": flow.server, "to": here});
            tx.audit(now, "flow.moved", &flow.name, "conductor", "plugin", detail)?;
            arm_in(tx, &flow.name, now, &mut aftermath)?;
            tracing::info!(flow = %flow.name, from = %flow.server.display(), "a flow moves here: its tmux server is gone");
            moved.push(flow.name.clone());
        }
        Ok::<_, crate::store::Error>(())
    })?;
    aftermath.run(cx, store);
    Ok(moved)
}

/// Whether the server at `here` is the only living one that the plugin is loaded into.
fn only_one(store: &mut Store, here: &Path) -> Result<bool> {
    let mut living = plugin::loaded_into(store)?;
    living.retain(|server| {
        Tmux::at(&server.socket)
            .identify()
            .is_ok_and(|(found, _)| found == *server)
    });
    Ok(matches!(&living[..], [one] if one.socket == here))
}
