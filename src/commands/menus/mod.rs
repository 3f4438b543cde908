//! What the keys of the conductor table do: each is a short program that shows a menu or popup on the client of the person, or does one
//! thing and says so there.

mod agents;
mod pages;
mod spawn;
mod walk;

use super::plugin::existing;
use super::{Door, dashboard, inbox, popup, reader, talk};
use crate::error::{Failure, Result};
use crate::proc;
use crate::services::after::Ender;
use crate::services::{close, identity, plugin as service, presence, worktree};
use crate::tmux::Viewer;
use crate::tmux::keys::KEYS;
use crate::tmux::prompt::Entry;
pub(super) use pages::{Item, offset, pages};

/// `menu NAME CLIENT [@SECONDS] …`, where the seconds since 1970 say when the key was pressed. Whatever goes wrong is said to the client: nobody reads what a key's program prints.
pub(super) fn menu(door: &mut Door<'_>, name: &str, arguments: &[String]) -> Result<()> {
    let (pressed, arguments): (Vec<String>, Vec<String>) = arguments
        .iter()
        .cloned()
        .partition(|word| word.starts_with('@'));
    let pressed = pressed.first().and_then(|word| word[1..].parse().ok());
    let client = arguments.first().map_or("", String::as_str);
    let done = open(door, name, client, &arguments, pressed);
    if let Err(failure) = &done {
        let hint = failure.hints().first();
        let text = hint.map_or_else(
            || failure.message().to_owned(),
            |hint| format!("{} ({hint})", failure.message()),
        );
        if let Err(error) = door.cx.tmux.tell(client, &text) {
            tracing::debug!(%error, "say what failed");
        }
    }
    done
}

fn open(
    door: &mut Door<'_>,
    name: &str,
    client: &str,
    arguments: &[String],
    pressed: Option<i64>,
) -> Result<()> {
    if name == "answer" {
        return popup::answer(door, arguments);
    }
    let viewer = door.cx.tmux.viewer(client)?.ok_or_else(|| {
        Failure::not_found(format!(
            "there is no client {:?}",
            crate::domain::text::one_line(client)
        ))
        .hint(elsewhere(name))
    })?;
    // What was typed for something else would choose in a menu, or answer a question.
    if pressed.is_some_and(|at| viewer.activity > at + 1) {
        return Err(Failure::refused(
            "it took long, and you went on typing: press the key again",
        ));
    }
    // What only shows a text speaks for nobody.
    if name != "read-popup"
        && let Some(mut store) = existing(door)?
    {
        presence::at_client(&door.cx, &mut store, client)?;
    }
    let words = arguments.get(1..).unwrap_or_default();
    match name {
        "spawn" => spawn::spawn(door, &viewer, words),
        "agents" => agents::list(door, &viewer, words),
        "agent" => agents::one(door, &viewer, words),
        "next" => walk::next(door, &viewer),
        "back" => walk::back(door, &viewer),
        "seen" => walk::seen(door, &viewer),
        "message" | "note" => talk::menu(door, &viewer, name, words),
        "approvals" => popup::open(door, &viewer, popup::Start::List),
        "approve-next" => popup::open(door, &viewer, popup::Start::Next),
        "inbox" => inbox::open(door, &viewer),
        "inbox-popup" => inbox::run(door, words),
        "read-popup" => reader::run(door, words),
        "dashboard" => dashboard::open(door, &viewer),
        "flows" => {
            let line = service::flows_line(&door.cx);
            show_popup(door, &viewer, name, line)
        }
        "help" => help(door, &viewer, words),
        "stop" => stop(door, &viewer, words),
        other => Err(Failure::not_found(format!(
            "there is no menu {:?}",
            crate::domain::text::one_line(other)
        ))),
    }
}

/// The hint with the command that does what the key of `menu` does.
fn elsewhere(menu: &str) -> String {
    let key = KEYS.iter().find(|key| key.menu == menu);
    let instead = key.map_or("--help", |key| key.instead);
    format!("`conductor-hook {instead}` is for any terminal")
}

/// How many entries a menu has room for; refused where the client shows none.
pub(super) fn room(viewer: &Viewer, menu: &str) -> Result<usize> {
    viewer.menu_room().ok_or_else(|| {
        let why = if viewer.control {
            "this client shows no menus"
        } else {
            "this client is too small for a menu"
        };
        Failure::refused(why).hint(elsewhere(menu))
    })
}

/// Shows a menu until it is closed.
pub(super) fn show(door: &Door<'_>, viewer: &Viewer, title: &str, entries: &[Entry]) -> Result<()> {
    let command = door.cx.tmux.menu_command(viewer, title, entries)?;
    Err(proc::exec(command))
}

/// Shows a popup with a shell line until it is closed; `menu` is the key's.
pub(super) fn show_popup(
    door: &Door<'_>,
    viewer: &Viewer,
    menu: &str,
    line: Option<String>,
) -> Result<()> {
    if viewer.control {
        return Err(Failure::refused("this client shows no popups").hint(elsewhere(menu)));
    }
    let line = line
        .ok_or_else(|| Failure::failed("the popup's program has no name that a shell can take"))?;
    Err(proc::exec(door.cx.tmux.popup_command(viewer, &line)?))
}

/// All keys, as a menu.
fn help(door: &Door<'_>, viewer: &Viewer, words: &[String]) -> Result<()> {
    let keys = KEYS.iter().filter(|key| key.menu != "help");
    let items: Vec<Item> = keys
        .map(|key| Item::new(key.note, key.menu).with_key(key.key))
        .collect();
    let entries = pages(&items, offset(words), room(viewer, "help")?, "help");
    show(door, viewer, "Agent Conductor", &entries)
}

/// Ends every agent of this server, once the person has said yes.
fn stop(door: &Door<'_>, viewer: &Viewer, words: &[String]) -> Result<()> {
    let cx = &door.cx;
    let Some(mut store) = existing(door)? else {
        return Ok(cx.tmux.tell(&viewer.name, "no agent is there")?);
    };
    if words.first().is_none_or(|word| word != "yes") {
        let question = "Stop all agents of this tmux server?";
        let command = cx.tmux.confirm_command(viewer, question, "stop yes")?;
        return Err(proc::exec(command));
    }
    let socket = cx.tmux.socket();
    let mut here = store.read(|tx| tx.live_terminals())?;
    here.retain(|terminal| {
        let server = terminal.server.as_ref();
        server.is_some_and(|server| server.socket == socket)
    });
    let actor = identity::whoami(&mut store)?.sender().to_string();
    let by = Ender {
        actor: &actor,
        via: "menu",
    };
    let ended = close::end_all(cx, &mut store, &mut here, true, by);
    ended.and(worktree::settle_ended(cx, &mut store))
}
