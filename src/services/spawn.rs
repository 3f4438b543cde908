//! What a person may choose from to start an agent by a menu.

use super::context::Context;
use super::launch;
use super::profile::{self, Trusted};
use crate::domain::ids::Name;
use crate::domain::terminal::{Role, Terminal};
use crate::domain::text::one_line;
use crate::error::Result;
use crate::providers::{self, Catalogue};
use crate::store::Store;
use std::path::Path;

/// A profile that can be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Its name.
    pub name: Name,
    /// One sentence about it.
    pub about: String,
}

/// An agent program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its name.
    pub name: Name,
    /// Its name for people.
    pub title: String,
    /// Whether it is taken where none is named.
    pub usual: bool,
    /// Why it cannot be started, in a sentence that names it.
    pub problem: Option<String>,
}

/// The profiles that can be started from `cwd`.
pub fn profiles(cx: &Context, cwd: &Path) -> Result<Vec<Choice>> {
    let trusted = Trusted::read(cx)?;
    let entries = profile::with_catalogue(cx, &trusted, cwd, |catalogue| catalogue.list());
    let usable = entries
        .into_iter()
        .filter(|entry| !entry.shadowed && entry.trusted && entry.problem.is_none());
    Ok(usable
        .filter_map(|entry| {
            Some(Choice {
                name: Name::parse(&entry.name).ok()?,
                about: entry.description,
            })
        })
        .collect())
}

/// The supervisor of a session, whose program its workers are started with unless their profile names another.
pub fn supervisor<'a>(living: &'a [Terminal], cx: &Context, session: &str) -> Option<&'a Terminal> {
    living
        .iter()
        .find(|t| t.is_in(session, cx.tmux.socket()) && t.role == Role::Supervisor)
}

/// The agent programs, the usual one of `profile` in `session` first, then those that are installed.
pub fn programs(
    cx: &Context,
    store: &mut Store,
    session: &str,
    profile: &Name,
    cwd: &Path,
) -> Result<Vec<Program>> {
    let profile = profile::load(cx, store, cwd, profile.as_str())?;
    let living = store.read(|tx| tx.live_terminals())?;
    let fallback = supervisor(&living, cx, session).map(|t| t.provider.clone());
    let configured = crate::profiles::config::load(&cx.home)?.provider;
    let catalogue = Catalogue::of(&cx.home);
    let usual = launch::usual(&catalogue, &profile, fallback, configured).ok();
    let mut programs: Vec<Program> = catalogue
        .names()
        .iter()
        .filter_map(|name| {
            // One broken manifest hides no other program.
            let manifest = catalogue.get(name).ok()?;
            let problem = providers::program(&manifest).err();
            Some(Program {
                name: Name::parse(name).ok()?,
                usual: usual.as_ref().is_some_and(|usual| usual.name == *name),
                title: manifest.title,
                problem: problem.map(|failure| one_line(failure.message())),
            })
        })
        .collect();
    programs.sort_by_key(|program| (!program.usual, program.problem.is_some()));
    Ok(programs)
}
