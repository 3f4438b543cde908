//! Who looks at the clock for a flow, said honestly: a flow that nobody looks after misses its runs.

use super::super::context::Context;
use super::units;
use crate::clock;
use crate::domain::flow::Flow;
use crate::error::Result;
use crate::store::Store;
use crate::tmux::Tmux;
use std::path::PathBuf;

/// Who looks at the clock for a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Driver {
    /// `tmux`, `systemd`, `launchd` or `nothing`; `None` for a flow that is switched off.
    pub word: Option<&'static str>,
    /// Why a run would be missed, or would fail.
    pub warning: Option<String>,
}

impl Driver {
    /// Whether runs depend on a tmux server that may end.
    pub fn tmux_alone(&self) -> bool {
        self.word == Some("tmux")
    }
}

/// The drivers of `flows`, in their order.
pub fn drivers(cx: &Context, store: &mut Store, flows: &[Flow]) -> Result<Vec<Driver>> {
    let unit = units::installed(&cx.home);
    let mut servers: Vec<(PathBuf, Option<String>)> = Vec::new();
    let mut found = Vec::new();
    for flow in flows {
        if !flow.enabled {
            found.push(Driver {
                word: None,
                warning: None,
            });
            continue;
        }
        let fault = super::fault(store, flow).map(|why| format!("its run would fail: {why}"));
        if let Some(unit) = unit {
            found.push(Driver {
                word: Some(unit.as_str()),
                warning: fault,
            });
            continue;
        }
        if servers.iter().all(|(socket, _)| *socket != flow.server) {
            let lack = lack(store, flow)?;
            servers.push((flow.server.clone(), lack));
        }
        let lack = servers
            .iter()
            .find(|(socket, _)| *socket == flow.server)
            .and_then(|(_, lack)| lack.clone());
        found.push(Driver {
            word: Some(if lack.is_some() { "nothing" } else { "tmux" }),
            warning: lack
                .map(|lack| format!("it would miss its runs: {lack}, and no systemd or launchd timer is installed"))
                .or(fault),
        });
    }
    Ok(found)
}

/// Why the flow's tmux server would not look at the clock; `None` when a timer runs in it.
fn lack(store: &mut Store, flow: &Flow) -> Result<Option<String>> {
    let socket = flow.server.to_string_lossy().into_owned();
    if let Err(error) = Tmux::at(&flow.server).identify() {
        tracing::debug!(%error, "look for the tmux server of a flow");
        return Ok(Some(format!("no tmux server runs at {socket}")));
    }
    let armed = store.read(|tx| tx.armed_at(&socket))?;
    let now = clock::now();
    // One that should have fired some seconds ago is lost.
    let runs = armed.is_some_and(|at| clock::after_ms(at, 10_000) > now);
    Ok((!runs).then(|| format!("the tmux server at {socket} has no timer of ours")))
}
