//! The plugin out of every server that it is loaded into.

use super::super::after;
use super::{loaded_into, unload};
use crate::clock;
use crate::domain::terminal::Server;
use crate::error::Result;
use crate::paths::Home;
use crate::proc::{self, Process};
use crate::store::Store;
use crate::tmux::{Error, Tmux};
use serde::Serialize;
use std::path::PathBuf;

/// By how many seconds what tmux and the kernel say about a server's start may differ.
const START_SLACK: i64 = 60;

/// What `unload_all` did at one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerUnload {
    /// Path of its socket.
    pub socket: PathBuf,
    /// Its process.
    pub pid: i32,
    /// Whether there was something to take out; unknown where it could not be reached.
    pub was_loaded: Option<bool>,
    /// Why the plugin is still in it.
    pub problem: Option<String>,
}

/// Takes the plugin out of the server at `here`, if one runs, and of every other one that is remembered to have it. A server that has
/// ended is left out; one that cannot be reached is in the report with the reason, and the others are done all the same.
pub fn unload_all(store: &mut Store, here: &Tmux, home: &Home) -> Result<Vec<ServerUnload>> {
    let mut servers = loaded_into(store)?;
    match here.identify() {
        Ok((server, _)) if !servers.contains(&server) => servers.insert(0, server),
        Ok(_) | Err(Error::NoServer(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let mut report = Vec::new();
    for server in servers {
        let tmux = Tmux::at(&server.socket);
        let done = match tmux.identify() {
            Ok((found, _)) if found == server => unload(store, &tmux, home)
                .and_then(|done| after::forget_shown(store, &tmux).map(|()| done.was_loaded))
                .map_err(|failure| failure.message().to_owned()),
            _ if !lives(&server) => continue,
            Ok(_) => Err("another server has taken its socket".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        report.push(ServerUnload {
            socket: server.socket,
            pid: server.pid,
            was_loaded: done.as_ref().ok().copied(),
            problem: done.err(),
        });
    }
    Ok(report)
}

/// Whether the server's process runs, whatever its socket says: a later process may have its pid.
fn lives(server: &Server) -> bool {
    let Some(process) = Process::of(server.pid).filter(|process| !process.zombie) else {
        return false;
    };
    let same_age = proc::age(&process)
        .is_none_or(|age| (clock::now().as_second() - age - server.start).abs() <= START_SLACK);
    same_age && Process::name(server.pid).is_none_or(|name| name.starts_with("tmux"))
}
