//! The tmux plugin: hooks, keys and the status line, put into a server and taken out again.
//!
//! What was there before is remembered in the store, under the server's socket, pid and start time; what is taken out is found by its
//! own text, so that nothing of the user's goes with it.

mod all;

pub use all::{ServerUnload, unload_all};

use super::context::Context;
use crate::domain::ids::TerminalId;
use crate::domain::terminal::Server;
use crate::error::{Failure, Result};
use crate::paths::Home;
use crate::store::{Budget, Durability, Error as StoreError, Store, TerminalLock};
use crate::tmux::hooks::{self, DIRTY, GLOBAL_OPTIONS, LOADED, Shadow, Standing, WAITS};
use crate::tmux::keys::{DEFAULT_APPROVE_KEY, DEFAULT_KEY};
use crate::tmux::look::{PANE_MARK, PANE_MARK_OPTION, WINDOW_MARK, WINDOW_MARK_OPTION};
use crate::tmux::status_line::{Place, StatusLine};
use crate::tmux::{CommandList, Tmux};
use serde::Serialize;
use std::path::Path;
use std::time::Duration;

/// How long a load waits for another one on the same state directory.
const PATIENCE: Duration = Duration::from_secs(10);

/// What `load` found and did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoadReport {
    /// Version of the tmux server.
    pub tmux: String,
    /// The key after the prefix; none when every candidate is somebody else's.
    pub key: Option<String>,
    /// Keys that we want and somebody else has.
    pub taken_keys: Vec<String>,
    /// Commands of tmux's prompt that we want and whose name or index somebody else has.
    pub taken_aliases: Vec<String>,
    /// Hooks whose array has somebody else's entry at our index.
    pub foreign_hooks: Vec<&'static str>,
    /// Whether the status line has our segment.
    pub segment: bool,
    /// Whether tmux-resurrect tells us what it saves and restores.
    pub resurrect: bool,
}

/// What `unload` took out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnloadReport {
    /// Whether there was something to take out.
    pub was_loaded: bool,
    /// Number of hooks.
    pub hooks: usize,
    /// Whether our text stood in the status line.
    pub segment: bool,
}

/// What of the plugin stands in a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PluginStatus {
    /// Whether it is loaded.
    pub loaded: bool,
    /// The version of this program that loaded it.
    pub version: Option<String>,
    /// Version of the tmux server.
    pub tmux: String,
    /// The program that hooks, keys and timers start.
    pub hook: Option<String>,
    /// The state directory that they use, where it is not this one.
    pub other_home: Option<String>,
    /// The key after the prefix that opens our table.
    pub key: Option<String>,
    /// Keys that we want and somebody else has.
    pub taken_keys: Vec<String>,
    /// Commands of tmux's prompt that we want and whose name or index somebody else has.
    pub taken_aliases: Vec<String>,
    /// Commands of tmux's prompt that are gone.
    pub missing_aliases: Vec<String>,
    /// Hooks that are gone.
    pub missing_hooks: Vec<&'static str>,
    /// Hooks whose array has somebody else's entry at our index.
    pub foreign_hooks: Vec<&'static str>,
    /// What sessions have for themselves and hides ours.
    pub shadows: Vec<Shadow>,
    /// Whether the status line has our segment.
    pub segment: bool,
    /// Whether it stands in an option that `status-format` does not draw.
    pub segment_hidden: bool,
}

/// What is remembered of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Memory {
    /// Whether the plugin is loaded into it.
    loaded: bool,
    key: Option<String>,
    left: Option<Place>,
    right: Option<Place>,
    /// What other parts of the program remember of it.
    others: Vec<(String, String)>,
}

const LOADED_MARK: &str = "plugin.loaded";
const KEY: &str = "plugin.key";
const LEFT: &str = "plugin.status-left";
const RIGHT: &str = "plugin.status-right";

impl Memory {
    fn read(store: &mut Store, server: &str) -> Result<Self> {
        let mut memory = Self::default();
        for (name, value) in store.read(|tx| tx.remembered(server))? {
            match name.as_str() {
                LOADED_MARK => memory.loaded = true,
                KEY => memory.key = Some(value),
                LEFT => memory.left = Place::parse(&value),
                RIGHT => memory.right = Place::parse(&value),
                _ => memory.others.push((name, value)),
            }
        }
        Ok(memory)
    }

    fn write(&self, store: &mut Store, server: &str) -> Result<()> {
        let place = |place: Option<Place>| place.map(|place| place.as_str().to_owned());
        let ours = [
            (LOADED_MARK, self.loaded.then(|| "1".to_owned())),
            (KEY, self.key.clone()),
            (LEFT, place(self.left)),
            (RIGHT, place(self.right)),
        ];
        store.write(Durability::Process, Budget::Call, |tx| {
            tx.forget_remembered(server)?;
            for (name, value) in &ours {
                if let Some(value) = value {
                    tx.remember(server, name, value)?;
                }
            }
            for (name, value) in &self.others {
                tx.remember(server, name, value)?;
            }
            Ok::<_, StoreError>(())
        })?;
        Ok(())
    }
}

fn server_key(server: &Server) -> String {
    format!(
        "{}|{}|{}",
        server.socket.display(),
        server.pid,
        server.start
    )
}

/// The servers that the plugin is loaded into, as far as is remembered: socket, process, start time. Some may have ended.
pub fn loaded_into(store: &mut Store) -> Result<Vec<Server>> {
    let keys = store.read(|tx| tx.who_remembers(LOADED_MARK))?;
    Ok(keys.iter().filter_map(|key| server_of_key(key)).collect())
}

fn server_of_key(key: &str) -> Option<Server> {
    // A socket's path may hold bars itself.
    let mut parts = key.rsplitn(3, '|');
    let start = parts.next()?.parse().ok()?;
    let pid = parts.next()?.parse().ok()?;
    Some(Server {
        socket: parts.next()?.into(),
        pid,
        start,
    })
}

/// One load or unload at a time: both read the status line, change it and write it back.
fn lock(home: &Home) -> Result<TerminalLock> {
    TerminalLock::acquire(home, "plugin", PATIENCE)?
        .ok_or_else(|| Failure::failed("load the plugin: another load does not end"))
}

/// What the user has chosen and what stands in the status line.
struct Found {
    key: String,
    approve: String,
    status: bool,
    loaded: Option<String>,
    line: StatusLine,
}

fn look(tmux: &Tmux, memory: &Memory) -> Result<Found> {
    let [key, approve, status, loaded, left, right] = tmux.globals([
        "@conductor-key",
        "@conductor-approve-key",
        "@conductor-status",
        LOADED,
        "status-left",
        "status-right",
    ])?;
    Ok(Found {
        key: key
            .filter(|key| !key.is_empty())
            .unwrap_or_else(|| DEFAULT_KEY.to_owned()),
        approve: approve
            .filter(|key| !key.is_empty())
            .unwrap_or_else(|| DEFAULT_APPROVE_KEY.to_owned()),
        status: status.as_deref() != Some("off"),
        loaded: loaded.filter(|version| !version.is_empty()),
        line: StatusLine {
            left: left.unwrap_or_default(),
            right: right.unwrap_or_default(),
            left_place: memory.left,
            right_place: memory.right,
        },
    })
}

fn of(hooks: &[(&'static str, Standing)], wanted: Standing) -> Vec<&'static str> {
    hooks
        .iter()
        .filter(|(_, standing)| *standing == wanted)
        .map(|(event, _)| *event)
        .collect()
}

fn run(tmux: &Tmux, list: &CommandList) -> Result<()> {
    if !list.is_empty() {
        tmux.run(list)?;
    }
    Ok(())
}

/// Puts the plugin into a server, or brings it up to date there; twice is once. `binary` is what hooks, keys and timers start.
pub fn load(store: &mut Store, tmux: &Tmux, home: &Home, binary: &Path) -> Result<LoadReport> {
    // A line break in an option passes tmux's shell quoting as it is (3.3a).
    let sound = binary
        .to_str()
        .is_some_and(|text| binary.is_absolute() && !text.chars().any(char::is_control));
    if !sound {
        return Err(Failure::usage(format!(
            "the path of this program is not absolute, not UTF-8, or holds a control character: {}",
            crate::domain::text::one_line(&binary.to_string_lossy())
        )));
    }
    let _lock = lock(home)?;
    let (server, version) = tmux.identify()?;
    let server = server_key(&server);
    let mut memory = Memory::read(store, &server)?;
    let before_memory = memory.clone();

    let found = look(tmux, &memory)?;
    let bindings = tmux.bindings(&found.key, &found.approve)?;
    let standing = tmux.hooks()?;
    let line = if found.status {
        found.line.clone().with_segment()
    } else {
        found.line.clone().without_segment()
    };
    let key = bindings.choose().map(str::to_owned);
    let former = memory
        .key
        .take()
        .filter(|former| key.as_ref() != Some(former));
    memory.key = match &key {
        // A key that opens our table and is not remembered is the user's own binding.
        Some(key) if bindings.opens(key) => before_memory.key.clone().filter(|own| own == key),
        other => other.clone(),
    };
    (memory.left, memory.right) = (line.left_place, line.right_place);
    memory.loaded = true;
    if memory != before_memory {
        memory.write(store, &server)?;
    }
    if !before_memory.loaded {
        // What was armed at this socket was armed in an earlier server.
        let socket = tmux.socket_text();
        store.write(Durability::Process, Budget::Call, |tx| {
            tx.server_gone(&socket)
        })?;
    }

    let mut wanted = of(&standing, Standing::Ours);
    wanted.extend(of(&standing, Standing::Missing));
    let mut list = Tmux::set_paths(binary, home.root());
    for zero in [
        WAITS,
        "@conductor_pending",
        "@conductor_unread",
        "@conductor_waiting",
        "@conductor_notes",
        "@conductor_live",
    ] {
        list = list.then(["set-option", "-goq", zero, "0"]);
    }
    run(
        tmux,
        &list
            .then(["set-option", "-goq", "@conductor_segment", ""])
            .then(["set-option", "-g", WINDOW_MARK_OPTION, WINDOW_MARK])
            .then(["set-option", "-g", PANE_MARK_OPTION, PANE_MARK])
            .then(["set-option", "-g", DIRTY, "0"])
            .then(["set-option", "-g", LOADED, env!("CARGO_PKG_VERSION")])
            .append(hooks::set_list(&wanted))
            .append(hooks::unset_list(&tmux.remaining_hooks()?)),
    )?;
    // conductor.tmux says it again where it is still so.
    tmux.withdraw_notice()?;
    let mut list = bindings.unbind_remaining();
    if let Some(former) = former {
        list = list.append(bindings.unbind_opener(&former));
    }
    run(
        tmux,
        &list.append(bindings.bind_list(key.as_deref(), memory.key.as_deref())),
    )?;
    let aliases = tmux.aliases()?;
    run(tmux, &aliases.set_list())?;
    if !found.status {
        tmux.release_length()?;
    }
    run(tmux, &line.set_list(&found.line))?;
    let resurrect = tmux.hook_resurrect()?;
    Ok(LoadReport {
        tmux: version.to_string(),
        key,
        taken_keys: bindings.taken(),
        taken_aliases: aliases.taken(),
        foreign_hooks: of(&standing, Standing::Foreign),
        segment: line.shows(),
        resurrect,
    })
}

/// Takes the plugin out of a server: exactly what `load` put there, where it is still as `load` put it. Panes of living terminals keep
/// what their deliveries need.
pub fn unload(store: &mut Store, tmux: &Tmux, home: &Home) -> Result<UnloadReport> {
    let _lock = lock(home)?;
    let (server, _) = tmux.identify()?;
    let key = server_key(&server);
    let memory = Memory::read(store, &key)?;
    let found = look(tmux, &memory)?;
    let bindings = tmux.bindings(DEFAULT_KEY, DEFAULT_APPROVE_KEY)?;
    let ours = tmux.own_hooks()?;

    run(tmux, &hooks::unset_list(&ours))?;
    tmux.forget_all_wakes()?;
    tmux.withdraw_offer()?;
    tmux.withdraw_notice()?;
    tmux.unhook_resurrect()?;
    // Without any memory (another database) a loaded plugin's key is found by what it does.
    let forgotten = memory == Memory::default() && found.loaded.is_some();
    let own = memory
        .key
        .as_deref()
        .or(bindings.opener().filter(|_| forgotten));
    run(tmux, &bindings.unbind_list(own))?;
    run(tmux, &tmux.aliases()?.unset_list())?;
    tmux.release_length()?;
    let line = found.line.clone().without_segment();
    run(tmux, &line.set_list(&found.line))?;
    tmux.clear_panes(|pane, id| {
        let Ok(found) = TerminalId::parse(id).map(|id| store.read(|tx| tx.terminal(&id))) else {
            return false;
        };
        // A terminal that this state does not know, or cannot tell now, may be another one's.
        found.ok().flatten().is_none_or(|terminal| {
            terminal.ended_at.is_none()
                && terminal.pane.as_deref() == Some(pane)
                && terminal.server.as_ref() == Some(&server)
        })
    })?;
    let timers = crate::tmux::timer_options(home.root());
    let options = GLOBAL_OPTIONS
        .iter()
        .copied()
        .chain(timers.iter().map(String::as_str))
        .fold(CommandList::new(), |list, name| {
            list.then(["set-option", "-gqu", name])
        });
    run(tmux, &options)?;
    let others = Memory {
        others: memory.others.clone(),
        ..Memory::default()
    };
    if others != memory {
        others.write(store, &key)?;
    }
    Ok(UnloadReport {
        was_loaded: found.loaded.is_some(),
        hooks: ours.len(),
        segment: found.line.shows(),
    })
}

/// What of the plugin stands in a server, and what stands in its way.
pub fn status(store: &mut Store, tmux: &Tmux, home: &Home) -> Result<PluginStatus> {
    let (server, version) = tmux.identify()?;
    let memory = Memory::read(store, &server_key(&server))?;
    let found = look(tmux, &memory)?;
    let bindings = tmux.bindings(&found.key, &found.approve)?;
    let standing = tmux.hooks()?;
    let aliases = tmux.aliases()?;
    let [hook, other_home] = tmux.globals(["@conductor_hook", "@conductor_home"])?;
    Ok(PluginStatus {
        loaded: found.loaded.is_some(),
        version: found.loaded,
        tmux: version.to_string(),
        hook,
        other_home: other_home.filter(|text| Path::new(text) != home.root()),
        key: bindings.opener().map(str::to_owned),
        taken_keys: bindings.taken(),
        taken_aliases: aliases.taken(),
        missing_aliases: aliases.missing(),
        missing_hooks: of(&standing, Standing::Missing),
        foreign_hooks: of(&standing, Standing::Foreign),
        shadows: tmux.shadows()?,
        segment: found.line.shows(),
        segment_hidden: found.line.shows() && !tmux.draws(&found.line)?,
    })
}

/// Puts back missing hooks of a loaded plugin and lets them ring again; to be called at each tick, before comparing with the panes.
/// Returns the hooks that were missing.
pub fn mend(tmux: &Tmux) -> Result<Vec<&'static str>> {
    Ok(tmux.mend_hooks()?)
}

/// Lets the death and layout hooks ring again; called before looking, so that what happens meanwhile is not missed.
pub fn rearm_bell(tmux: &Tmux) -> Result<()> {
    Ok(tmux.run(&hooks::clear_dirty()).map(drop)?)
}

/// The shell line that runs our binary with `words`, for the state directory and the server at hand.
pub fn own_line(cx: &Context, words: &[&str]) -> Option<String> {
    let socket = cx.tmux.socket_text();
    let before = [
        cx.binary.to_str()?,
        "--home",
        cx.home.root().to_str()?,
        "-S",
        &socket,
    ];
    Some(shell_words::join(before.iter().chain(words)))
}

/// The shell line that shows the flows in a pager.
pub fn flows_line(cx: &Context) -> Option<String> {
    Some(format!(
        "( {} ; echo ; {} ) 2>&1 | less",
        own_line(cx, &["flow", "list"])?,
        own_line(cx, &["flow", "history"])?
    ))
}

#[cfg(test)]
mod tests;
