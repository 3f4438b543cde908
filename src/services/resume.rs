//! Taking up an ended agent's conversation again, by the agent's own session id: the terminal keeps its id, so whoever knew it knows it still.

use super::context::Context;
use super::find;
use super::identity::Caller;
use super::launch::{self, Plan};
use crate::clock::{self, Deadline};
use crate::domain::ids::Name;
use crate::domain::profile::Profile;
use crate::domain::terminal::Terminal;
use crate::error::{Failure, Result};
use crate::providers::Catalogue;
use crate::store::{Budget, Durability, Store};
use crate::tmux::Placement;
use std::time::Duration;

/// How long the old pane may take to close, in milliseconds: an agent tells its end before its process is gone.
const CLOSING_MS: u64 = 3_000;

/// Waits until the pane that the terminal had is closed: with it the session may go in which the agent is to be started.
fn until_gone(cx: &Context, terminal: &Terminal) {
    let deadline = Deadline::after(Duration::from_millis(CLOSING_MS));
    let there = || {
        cx.tmux.panes().is_ok_and(|(_, panes)| {
            panes
                .iter()
                .any(|pane| !pane.dead && pane.terminal == terminal.id.as_str())
        })
    };
    while there() && !deadline.passed() {
        clock::sleep(Duration::from_millis(20), &deadline);
    }
}

/// An agent that a person started had none of ours.
fn without_profile() -> Result<Profile> {
    Ok(Profile {
        name: Name::parse(super::adopt::PROFILE)
            .map_err(|e| Failure::failed(format!("profile {e}")))?,
        description: String::new(),
        role: None,
        provider: None,
        model: None,
        tags: Vec::new(),
        tools: Vec::new(),
        allowed_tools: Vec::new(),
        mcp_servers: Vec::new(),
        permission_mode: None,
        env: std::collections::BTreeMap::new(),
        prompt: None,
        persona: String::new(),
    })
}

/// Starts the agent of an ended terminal again, in its directory or worktree, in a window of its session.
pub fn resume(cx: &Context, store: &mut Store, terminal: &Terminal) -> Result<Terminal> {
    let mut terminal = terminal.clone();
    if terminal.alive() {
        return Err(
            Failure::refused(format!("terminal {} has not ended", terminal.id)).hint(format!(
                "`conductor-hook attach {}` goes there",
                terminal.id
            )),
        );
    }
    let manifest = Catalogue::of(&cx.home).get(&terminal.provider)?;
    // A conversation that the agent names itself is not known before its first event.
    let unheard = !manifest.names_session() && terminal.last_event_at.is_none();
    if manifest.resume.is_none() || terminal.agent_session.is_none() || unheard {
        return Err(Failure::refused(format!(
            "{} cannot take up the conversation of terminal {} again",
            manifest.title, terminal.id
        ))
        .hint("start a new agent with `conductor-hook worker SESSION`"));
    }
    // Until the row says that it lives again, nobody removes its worktree.
    let revival = super::worktree::revive(cx, store, &mut terminal)?;
    let terminal = &terminal;
    if !terminal.cwd.is_dir() {
        return Err(Failure::refused(format!(
            "the directory of terminal {} is gone: {}",
            terminal.id,
            terminal.cwd.display()
        ))
        .hint("make it again, or start a new agent elsewhere"));
    }
    let author = match super::identity::whoami(store)? {
        Caller::Mismatch(claimed) => {
            return Err(Failure::refused(format!(
                "this process claims to be terminal {claimed} and does not descend from it"
            )));
        }
        caller => caller.sender(),
    };
    let profile = if terminal.profile == super::adopt::PROFILE {
        without_profile()?
    } else {
        super::profile::load(
            cx,
            store,
            &super::worktree::profiles_from(terminal),
            &terminal.profile,
        )?
    };
    let plan = Plan {
        profile,
        manifest,
        role: terminal.role,
        cwd: terminal.cwd.clone(),
        model: terminal.model.clone(),
        prompt: None,
        env: terminal.env.clone(),
        caller: terminal.caller.clone(),
        author,
        extra: terminal.args.clone(),
        warnings: Vec::new(),
        worktree: None,
    };
    until_gone(cx, terminal);
    let window = launch::window_name(store, &terminal.session, &plan.profile.name)?;
    let placement = match cx.tmux.session_id(&terminal.session).unwrap_or(None) {
        Some(session) => Placement::Window(session),
        None => Placement::Session(Name::parse(&terminal.session).map_err(|e| {
            Failure::refused(format!("the session of terminal {}: {e}", terminal.id))
        })?),
    };
    let owned = matches!(placement, Placement::Session(_)) || terminal.session_owned;
    let actor = plan.author.to_string();
    let revived = store.write(Durability::Process, Budget::Call, |tx| {
        let now = clock::now();
        let revived = tx.revive_terminal(&terminal.id, now)?;
        if revived {
            tx.note_start(&terminal.id, launch::hooked(cx, &plan.manifest), owned)?;
            let detail = serde_json::json!({"agent_session": terminal.agent_session});
            tx.audit(
                now,
                "terminal.resumed",
                terminal.id.as_str(),
                &actor,
                "resume",
                detail,
            )?;
        }
        Ok::<_, crate::store::Error>(revived)
    })?;
    drop(revival);
    if !revived {
        return Err(Failure::refused(format!(
            "terminal {} is being resumed",
            terminal.id
        )));
    }
    let row = find::terminal(cx, store, terminal.id.as_str())?;
    if let Err(failure) = launch::start(cx, store, &plan, &row, (&placement, &window), true) {
        super::worktree::settle(cx, store, &row.id);
        return Err(failure);
    }
    find::terminal(cx, store, terminal.id.as_str())
}
