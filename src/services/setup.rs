//! `provider setup`: our entries in an agent's user settings, for agents that take none at their launch and for agents that are adopted.

use super::context::Context;
use super::identity::{self, Caller};
use crate::domain::policy::OWN_TOOLS;
use crate::error::{Failure, Result};
use crate::paths;
use crate::providers::setup::{self, Edit, SetupSpec};
use crate::providers::{Catalogue, Manifest};
use crate::store::Store;

/// What setting up a provider changes, or taking that out again.
#[derive(Debug)]
pub struct Planned {
    /// The provider.
    pub manifest: Manifest,
    /// What becomes of each file.
    pub edits: Vec<Edit>,
    /// Whether ours is taken out.
    pub undo: bool,
}

/// Finds out what would change. Nothing is written.
pub fn plan(cx: &Context, provider: &str, undo: bool) -> Result<Planned> {
    let manifest = Catalogue::of(&cx.home).get(provider)?;
    let edits = if undo {
        setup::undo_plan(&cx.home, &manifest.name)?
    } else {
        let user_home = paths::user_home()
            .ok_or_else(|| Failure::failed("there is no home directory").hint("set HOME"))?;
        let profiles = super::profile::all(cx)?;
        setup::plan(
            &manifest,
            &SetupSpec {
                profiles: &profiles,
                hook: &cx.binary,
                home: &cx.home,
                user_home: &user_home,
                own_tools: &OWN_TOOLS,
            },
        )?
    };
    Ok(Planned {
        manifest,
        edits,
        undo,
    })
}

/// Whether a provider's settings hold what they should now: our entries stand there as this version writes them, and nothing switches them off.
pub fn holds(cx: &Context, manifest: &Manifest) -> bool {
    setup::in_force(&cx.home, manifest)
        && plan(cx, &manifest.name, false)
            .is_ok_and(|planned| planned.edits.iter().all(|edit| !edit.changes()))
        && paths::user_home().is_some_and(|home| !setup::switched_off(manifest, &home))
}

/// Brings files of our own up to date that were written before: an agent file is made of a profile, which may have changed.
pub fn refresh(cx: &Context, manifest: &Manifest) -> Result<()> {
    let planned = plan(cx, &manifest.name, false)?;
    if planned.edits.iter().any(Edit::changes) {
        setup::apply(&cx.home, &manifest.name, &planned.edits)?;
    }
    Ok(())
}

/// Refuses whoever may not change an agent's settings: only a person does.
pub fn allowed(cx: &Context) -> Result<()> {
    if let Ok(mut store) = Store::open(&cx.home) {
        // Whoever sits where an agent was a moment ago is a person again.
        super::recover::all(cx, &mut store)?;
    }
    if matches!(
        identity::honest_beside(&cx.home, "setup")?,
        Caller::Person { .. }
    ) {
        return Ok(());
    }
    Err(
        Failure::refused("only a person changes the settings of an agent")
            .hint("call it in a shell that no agent started"),
    )
}

/// Writes what was planned, for one who is [`allowed`].
pub fn apply(cx: &Context, planned: &Planned) -> Result<()> {
    let name = &planned.manifest.name;
    if planned.undo {
        setup::undo(&cx.home, name, &planned.edits)
    } else {
        setup::apply(&cx.home, name, &planned.edits)
    }
}
