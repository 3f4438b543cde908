//! The policy that holds in a directory, with what people have accepted of its project.

use super::context::Context;
use super::profile::Trusted;
use crate::domain::policy::{Action, Call, Ruling, judge};
use crate::error::Result;
use crate::paths::Home;
use crate::profiles::policy::{self, Loaded};
use crate::profiles::policy_sight::Disk;
use crate::providers::Catalogue;
use std::path::Path;

/// The policy for an agent in `cwd`.
pub fn load(home: &Home, cwd: &Path, trusted: &Trusted) -> Loaded {
    let loaded = policy::load(home, cwd, &|path, sha256| trusted.holds(path, sha256));
    for warning in &loaded.warnings {
        tracing::warn!(%warning, "policy");
    }
    loaded
}

/// What a person wants to know about.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The agent's working directory, absolute.
    pub cwd: &'a Path,
    /// The agent program.
    pub provider: &'a str,
    /// Its tool.
    pub tool: &'a str,
    /// The agent's profile.
    pub profile: &'a str,
    /// What the tool works on: a command line as one word, or the words of a command; paths; an address.
    pub words: &'a [String],
}

/// What the policy says about a call of an agent that asks by itself.
pub fn check(cx: &Context, question: Question<'_>) -> Result<(Loaded, Action, Ruling)> {
    let manifest = Catalogue::of(&cx.home).get(question.provider)?;
    let loaded = load(&cx.home, question.cwd, &Trusted::read(cx)?);
    let action = manifest.tools.action_on(question.tool, question.words);
    let call = Call {
        tool: question.tool,
        action: &action,
        cwd: question.cwd,
        profile: question.profile,
        agent_asks: true,
        allows_edits: false,
    };
    let ruling = judge(&loaded.policy, &call, &Disk::here());
    Ok((loaded, action, ruling))
}
