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

/// What the policy says about a call of an agent.
#[derive(Debug)]
pub struct Judged {
    /// What it says.
    pub ruling: Ruling,
    /// How long a request for the call waits, in milliseconds.
    pub expires_ms: i64,
}

/// Judges an agent's call. What people trust is looked up only where a project has a policy that asks for trust.
/// The project in which the agent was started (`started`) goes on to tighten when it works in another one.
pub fn judge_call(home: &Home, call: &Call<'_>, started: Option<&Path>) -> Judged {
    let trusted = |path: &Path, sha256: &str| {
        Trusted::at(home).is_ok_and(|trusted| trusted.holds(path, sha256))
    };
    let loaded = policy::load(home, call.cwd, &trusted);
    for warning in &loaded.warnings {
        tracing::warn!(%warning, "policy");
    }
    let mut ruling = judge(&loaded.policy, call, &Disk::here());
    if let Some(started) = started.filter(|dir| *dir != call.cwd) {
        let first = policy::load(home, started, &|_, _| false);
        let other = judge(&first.policy, call, &Disk::here());
        if other.decision.tightens() && other.decision > ruling.decision {
            ruling = other;
        }
    }
    Judged {
        ruling,
        expires_ms: expires(&loaded),
    }
}

/// How long a request waits where no call says more, in milliseconds.
pub fn expires_ms(home: &Home) -> i64 {
    expires(&policy::load(home, home.root(), &|_, _| false))
}

fn expires(loaded: &Loaded) -> i64 {
    i64::try_from(loaded.policy.defaults.expires_seconds.saturating_mul(1000)).unwrap_or(i64::MAX)
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
        start: None,
        profile: question.profile,
        agent_asks: true,
        allows_edits: false,
    };
    let ruling = judge(&loaded.policy, &call, &Disk::here());
    Ok((loaded, action, ruling))
}
