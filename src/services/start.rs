//! The start shim: `exec ID` is the first program in a new pane. It makes the pane the terminal's, registers its own process, and becomes
//! the agent; pid and start time survive the exec.

use super::after::Aftermath;
use super::context::Context;
use super::find;
use crate::domain::ids::TerminalId;
use crate::domain::terminal::Root;
use crate::error::{Failure, Result};
use crate::fsx;
use crate::paths::{self, Home};
use crate::proc::{self, Process};
use crate::store::{Budget, Durability, Registration};
use crate::tmux::PaneId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Everything that the shim needs to become the agent (`run/<id>/launch.json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchFile {
    /// The program.
    pub program: PathBuf,
    /// What it is told that it is called.
    pub argv0: Option<String>,
    /// Its arguments.
    pub args: Vec<String>,
    /// Environment variables to set.
    pub env: BTreeMap<String, String>,
    /// Working directory.
    pub cwd: PathBuf,
}

impl LaunchFile {
    /// Name in the terminal's run directory.
    pub const NAME: &'static str = "launch.json";

    /// Reads the one of terminal `id`.
    pub fn read(home: &Home, id: &TerminalId) -> Result<Self> {
        let failed =
            |why: String| Failure::state(format!("read the launch file of terminal {id}: {why}"));
        let file = home.run_of(id.as_str()).join(Self::NAME);
        let bytes =
            fsx::read_file_limited(&file, 4 * 1024 * 1024).map_err(|e| failed(e.to_string()))?;
        serde_json::from_slice(&bytes).map_err(|e| failed(e.to_string()))
    }
}

/// Becomes the agent of terminal `id`; returns only when that fails.
pub fn exec(cx: &Context, id: &str) -> Failure {
    match prepare(cx, id) {
        Ok(command) => proc::exec(command),
        Err(failure) => failure,
    }
}

pub(super) fn prepare(cx: &Context, id: &str) -> Result<std::process::Command> {
    let id = TerminalId::parse(id).map_err(find::invalid)?;
    let mut store = cx.existing_store()?;
    let known = store.read(|tx| tx.terminal(&id))?;
    let again = || {
        Failure::refused(format!("terminal {id} has been started before"))
            .hint("start a new one with `conductor-hook worker SESSION`")
    };
    match known {
        None => return Err(find::unknown(&id)),
        Some(t) if t.root.is_some() || !t.alive() => return Err(again()),
        Some(_) => {}
    }
    let pane = paths::env("TMUX_PANE")
        .and_then(|pane| PaneId::parse(&pane))
        .ok_or_else(|| Failure::refused("`exec` is the first program of a tmux pane"))?;
    let launch = LaunchFile::read(&cx.home, &id)?;
    let log = cx.home.terminal_log(id.as_str());
    fsx::open_append(&log)
        .map_err(|e| Failure::state(format!("create the log of {id}: {e}")).disk(&e))?;
    let (found, window, spot) = cx.tmux.claim_pane(pane, &id, Some(&log))?;
    let own = Process::own()
        .ok_or_else(|| Failure::failed("read /proc/self: process identity is not available"))?;
    let registration = Registration {
        pane: found.pane.to_string(),
        server: found.server,
        pane_pid: found.pid,
        root: Root {
            pid: own.identity.pid,
            start: own.identity.start,
        },
        tty: own.tty,
        session: found.session,
        window,
        spot,
    };
    let registered = store.write(Durability::Process, Budget::Call, |tx| {
        tx.register_terminal(&id, &registration)
    })?;
    if !registered {
        return Err(again());
    }
    let mut aftermath = Aftermath::default();
    if let Some(t) = store.read(|tx| tx.terminal(&id))? {
        aftermath.show(&t, t.state.status);
    }
    aftermath.run(cx, &mut store);
    let mut command = proc::command(&launch.program);
    if let Some(argv0) = &launch.argv0 {
        use std::os::unix::process::CommandExt;
        command.arg0(argv0);
    }
    command
        .args(&launch.args)
        .envs(&launch.env)
        .current_dir(&launch.cwd);
    Ok(command)
}
