//! Agent programs: which there are, which are installed, what works with them and what is only claimed.

use super::canary;
use super::context::Context;
use super::doctor::{Finding, Level, bad, ok};
use crate::domain::terminal::{Status, Terminal};
use crate::error::Result;
use crate::paths;
use crate::proc;
use crate::providers::{self, Catalogue, Manifest};
use crate::store::Store;
use serde::Serialize;
use std::time::Duration;

/// How long a program may take to tell its version.
const VERSION_LIMIT: Duration = Duration::from_secs(20);

/// An agent program as people and programs see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProviderView {
    /// Its name.
    pub name: String,
    /// Its other names.
    pub aliases: Vec<String>,
    /// Its name for people.
    pub title: String,
    /// The program file; `None` when it is not installed.
    pub program: Option<String>,
    /// What the program says of its version, where it was asked.
    pub version: Option<String>,
    /// Versions with which the real program went through our tests; empty: it never did.
    pub verified: Vec<String>,
    /// Whether its own events tell its status and prove delivery.
    pub proof: bool,
    /// Whether its tool calls pass our gate.
    pub gate: bool,
    /// How messages go to it besides a paste: `null`, `command` or `bell`.
    pub channel: Option<&'static str>,
    /// Whether it takes up an ended conversation again.
    pub resume: bool,
    /// `none`: it has no settings to set up; `possible`, for agents that are adopted; `needed`, for every one; `done`.
    pub setup: &'static str,
    /// How firmly a profile's `tools` hold: `hard`, `soft` (a request in the system prompt) or `none`.
    pub tools: &'static str,
    /// The same of `allowedTools`.
    pub allowed_tools: &'static str,
    /// Terminals that live.
    pub live: usize,
}

/// All providers; each installed program is asked for its version.
pub fn list(cx: &Context) -> Result<Vec<ProviderView>> {
    let catalogue = Catalogue::of(&cx.home);
    let living = living(cx)?;
    let mut views = Vec::new();
    for name in catalogue.names() {
        match catalogue.get(&name) {
            Ok(manifest) => views.push(view(cx, &manifest, &living, true)),
            // One broken file hides no other provider; `show` says what is wrong with it.
            Err(failure) => tracing::warn!(%failure, provider = %name, "read a manifest"),
        }
    }
    Ok(views)
}

/// One provider.
pub fn show(cx: &Context, name: &str) -> Result<(Manifest, ProviderView)> {
    let manifest = Catalogue::of(&cx.home).get(name)?;
    let view = view(cx, &manifest, &living(cx)?, true);
    Ok((manifest, view))
}

fn living(cx: &Context) -> Result<Vec<Terminal>> {
    match Store::open(&cx.home) {
        Ok(mut store) => Ok(store.read(|tx| tx.live_terminals())?),
        Err(crate::store::Error::Missing(_)) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

fn view(cx: &Context, manifest: &Manifest, living: &[Terminal], ask: bool) -> ProviderView {
    let program = providers::program(manifest).ok();
    let version = program.as_ref().filter(|_| ask).and_then(|program| {
        if manifest.program == "{self}" {
            return Some(env!("CARGO_PKG_VERSION").to_owned());
        }
        let mut command = proc::command(program);
        command.arg("--version");
        let said = proc::run_limited(command, VERSION_LIMIT).ok()?;
        let line = said.lines().find(|line| !line.trim().is_empty())?;
        Some(crate::domain::text::one_line(line.trim()))
    });
    ProviderView {
        name: manifest.name.clone(),
        aliases: manifest.aliases.clone(),
        title: manifest.title.clone(),
        program: program.map(|path| path.display().to_string()),
        version,
        verified: if manifest.program == "{self}" {
            vec![env!("CARGO_PKG_VERSION").to_owned()]
        } else {
            manifest.verified.clone()
        },
        proof: manifest.proves(),
        gate: manifest.gates(),
        channel: manifest.channel.as_ref().map(providers::Channel::word),
        resume: manifest.resume.is_some(),
        setup: if providers::setup::in_force(&cx.home, manifest) {
            "done"
        } else {
            manifest.setup.as_str()
        },
        tools: manifest.enforce.tools.as_str(),
        allowed_tools: manifest.enforce.allowed_tools.as_str(),
        live: living
            .iter()
            .filter(|t| t.provider == manifest.name)
            .count(),
    }
}

/// Looks at everything that one provider needs.
pub fn check(cx: &Context, name: &str) -> Result<Vec<Finding>> {
    let (manifest, view) = show(cx, name)?;
    let living: Vec<Terminal> = living(cx)?
        .into_iter()
        .filter(|t| t.provider == manifest.name)
        .collect();
    let mut findings = vec![match &view.program {
        Some(path) => ok("program", path.clone()),
        None => bad(
            Level::Broken,
            "program",
            format!("there is no {} along PATH", manifest.program),
            "no agent of this provider can be started",
            format!("install {}", manifest.title),
        ),
    }];
    if view.program.is_some() && manifest.program != "{self}" {
        findings.push(version(&manifest, view.version.as_deref()));
    }
    findings.push(settings(&manifest, &view));
    findings.extend(hooks(&manifest, &living));
    findings.extend(gate(cx, &manifest, &living));
    findings.extend(servers(cx, &manifest, &living));
    Ok(findings)
}

fn version(manifest: &Manifest, said: Option<&str>) -> Finding {
    let why = "an agent's hooks and screens change between versions";
    let Some(said) = said else {
        return bad(
            Level::Broken,
            "version",
            "the program does not tell it",
            why,
            format!("run `{} --version`", manifest.program),
        );
    };
    if manifest.verified.is_empty() {
        return bad(
            Level::Warning,
            "version",
            format!("{said}; nobody has run our tests with the real program"),
            why,
            "see that messages are proven and that calls are gated before you rely on it",
        );
    }
    if manifest
        .verified
        .iter()
        .any(|known| said.split([' ', 'v', '(']).any(|word| word == known))
    {
        return ok("version", format!("{said}, which our tests ran with"));
    }
    bad(
        Level::Warning,
        "version",
        format!(
            "{said}; our tests ran with {}",
            manifest.verified.join(", ")
        ),
        why,
        "see that messages are proven and that calls are gated before you rely on it",
    )
}

fn settings(manifest: &Manifest, view: &ProviderView) -> Finding {
    match view.setup {
        "needed" => bad(
            Level::Warning,
            "settings",
            "not set up",
            "without it nothing proves what this agent got, and its calls do not pass the gate",
            format!("`conductor-hook provider setup {}`", manifest.name),
        ),
        "possible" => ok(
            "settings",
            "not set up; only agents that are adopted need it",
        ),
        "done" => ok("settings", "set up"),
        _ => ok("settings", "nothing to set up"),
    }
}

fn hooks(manifest: &Manifest, living: &[Terminal]) -> Vec<Finding> {
    if !manifest.proves() {
        return vec![ok(
            "hooks",
            "it has none: its messages end as placed, its status comes from its screen",
        )];
    }
    let mut findings: Vec<Finding> = living
        .iter()
        .filter(|t| t.hooked && t.last_event_at.is_none())
        .filter(|t| manifest.hooks.at_start || t.state.status == Status::Working)
        .map(|t| {
            bad(
                Level::Warning,
                "hooks",
                format!("terminal {} has not been heard from", t.id),
                "its status is not known and no message can be proven",
                format!(
                    "`conductor-hook explain {}` shows what is on its screen",
                    t.id
                ),
            )
        })
        .collect();
    findings.extend(living.iter().filter(|t| !t.hooked).map(|t| {
        bad(
            Level::Warning,
            "hooks",
            format!("terminal {} runs without our hooks", t.id),
            "nothing proves what it got, and its calls do not pass the gate",
            format!(
                "`conductor-hook provider setup {}`, then start it again",
                manifest.name
            ),
        )
    }));
    if findings.is_empty() {
        let heard = living.iter().filter(|t| t.last_event_at.is_some()).count();
        findings.push(ok(
            "hooks",
            format!("heard from {heard} of {} live", living.len()),
        ));
    }
    findings
}

fn gate(cx: &Context, manifest: &Manifest, living: &[Terminal]) -> Vec<Finding> {
    if !manifest.gates() {
        return vec![ok("gate", "it has none")];
    }
    let gated: Vec<&Terminal> = living.iter().filter(|t| t.hooked).collect();
    let mut findings: Vec<Finding> = canary::faults(cx, &gated)
        .into_iter()
        .map(|fault| {
            bad(
                Level::Broken,
                "gate",
                fault,
                "its tool calls would run without the policy and without you",
                "close the terminal and start it again with this version",
            )
        })
        .collect();
    if findings.is_empty() {
        findings.push(match gated.len() {
            0 => ok("gate", "claimed; no live agent to try it with"),
            n => ok(
                "gate",
                format!("the hooks of {n} live agents block when they break"),
            ),
        });
    }
    findings
}

/// Whether the agents have started our MCP server; some start it with their first turn only.
fn servers(cx: &Context, manifest: &Manifest, living: &[Terminal]) -> Vec<Finding> {
    if !manifest.mcp {
        return vec![ok("mcp", "it takes no MCP server of ours")];
    }
    let own = paths::own_binary().unwrap_or_else(|_| cx.binary.clone());
    let without: Vec<Finding> = living
        .iter()
        .filter(|t| t.last_event_at.is_some())
        .filter_map(|t| Some((t, t.root?)))
        .filter(|(_, root)| {
            !proc::descendants(root.pid)
                .iter()
                .any(|child| proc::runs_program(child.pid, &own))
        })
        .map(|(t, _)| {
            bad(
                Level::Warning,
                "mcp",
                format!("terminal {} runs no MCP server of ours", t.id),
                "it can hand over no work and read no long message",
                "look at the agent's own list of MCP servers in its pane",
            )
        })
        .collect();
    if without.is_empty() {
        return vec![ok("mcp", format!("reached by {} live", living.len()))];
    }
    without
}
