//! What is wrong with an installation: what, why it matters, and the remedy.

mod aliases;
mod database;
mod fix;
mod upkeep;

use super::canary;
use super::context::Context;
use super::offer;
use super::plugin;
use super::policy;
use super::profile::Trusted;
use super::queues::{self, Proofs, Queue};
use crate::domain::terminal::Status;
use crate::error::Result;
use crate::fsx;
use crate::progress;
use crate::providers::Catalogue;
use crate::store::Store;
use crate::tmux::{self, Tmux};
use serde::Serialize;

pub use self::fix::{Mended, fix};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Works, but somebody should look.
    Warning,
    /// Broken.
    Broken,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What it is about.
    pub what: &'static str,
    /// What was found.
    pub found: String,
    /// Why it matters.
    pub why: Option<&'static str>,
    /// What to do about it.
    pub remedy: Option<String>,
    /// Whether `doctor --fix` does it.
    pub fixable: bool,
    /// The figures behind it, for programs.
    pub figures: Option<Figures>,
}

impl Finding {
    const fn fixable(mut self) -> Self {
        self.fixable = true;
        self
    }
}

/// Figures behind a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Figures {
    /// What waits, terminal by terminal.
    Queues(Vec<Queue>),
    /// How well a provider's deliveries are proven.
    Proofs(Proofs),
}

/// A message that has waited this long, in seconds, is worth a look.
const LONG_WAIT: i64 = 600;

/// Below this share, in thousandths, proofs go missing; with fewer deliveries than [`FEW`] one of them says nothing.
const POOR: u64 = 950;

/// How many deliveries make a share.
const FEW: u64 = 10;

pub(super) fn ok(what: &'static str, found: impl Into<String>) -> Finding {
    Finding {
        level: Level::Ok,
        what,
        found: found.into(),
        why: None,
        remedy: None,
        fixable: false,
        figures: None,
    }
}

pub(super) fn bad(
    level: Level,
    what: &'static str,
    found: impl Into<String>,
    why: &'static str,
    remedy: impl Into<String>,
) -> Finding {
    Finding {
        level,
        what,
        found: found.into(),
        why: Some(why),
        remedy: Some(remedy.into()),
        fixable: false,
        figures: None,
    }
}

/// Looks at everything.
pub fn examine(cx: &Context) -> Result<Vec<Finding>> {
    let mut findings = vec![program(), directory(cx), configuration(cx), rules(cx)];
    let mut store = match Store::open(&cx.home) {
        Ok(mut store) => {
            progress::at(|| "the database is checked".to_owned());
            findings.push(database::sound(&store)?);
            findings.extend(terminals(&mut store)?);
            findings.extend(resumable(&mut store)?);
            findings.push(waiting(queues::queues(&mut store)?));
            let rates = store.read(|tx| tx.proof_rates(None))?;
            findings.extend(queues::proofs(rates).into_iter().map(proven));
            progress::at(|| "the audit log is verified".to_owned());
            findings.push(audit_log(&mut store));
            progress::at(|| "the agents' gates are tried".to_owned());
            findings.extend(gates(cx, &mut store)?);
            findings.extend(flows(cx, &mut store)?);
            progress::at(|| "files are looked at".to_owned());
            findings.extend(upkeep::examine(cx, &mut store)?);
            findings.extend(super::worktree::findings(&mut store)?);
            Some(store)
        }
        Err(error) => {
            findings.extend(database::unusable(&cx.home, error));
            None
        }
    };
    findings.extend(database::damaged(&cx.home));
    findings.extend(server(cx, store.as_mut()));
    progress::at(|| "the agent programs are asked".to_owned());
    findings.push(agents(cx));
    Ok(findings)
}

/// Whether what must block an agent's calls does so, seen from their own settings and from what they did.
fn gates(cx: &Context, store: &mut Store) -> Result<Vec<Finding>> {
    let living = store.read(|tx| tx.live_terminals())?;
    let catalogue = Catalogue::of(&cx.home);
    let gated: Vec<_> = living
        .iter()
        .filter(|t| t.hooked && catalogue.gates(&t.provider))
        .collect();
    let mut findings = Vec::new();
    let why = "its tool calls would run without the policy and without you";
    for t in &gated {
        if t.gate_silent_at.is_some() {
            findings.push(bad(
                Level::Broken,
                "gate",
                format!("terminal {} ran a tool that the gate never saw", t.id),
                why,
                format!("close it and start it again: `conductor-hook close {}`; see whether its own settings turn hooks off", t.id),
            ));
        }
    }
    for fault in canary::faults(cx, &gated) {
        findings.push(bad(
            Level::Broken,
            "gate",
            fault,
            why,
            "close the terminal and start it again with this version",
        ));
    }
    if findings.is_empty() {
        findings.push(ok(
            "gate",
            match gated.len() {
                0 => "no live agent has one".to_owned(),
                n => format!("the hooks of {n} live agents block when they break"),
            },
        ));
    }
    Ok(findings)
}

/// Whether the chain of the audit log holds.
fn audit_log(store: &mut Store) -> Finding {
    let why = "who decided what could not be shown any more";
    match store.check_audit() {
        Ok(report) => match report.broken.first() {
            None => ok("audit log", format!("{} entries hold", report.entries)),
            Some(finding) => bad(
                Level::Broken,
                "audit log",
                &finding.message,
                why,
                "`conductor-hook audit verify` says all that is known; a copy in the system's log tells which side was changed",
            ),
        },
        Err(error) => bad(
            Level::Broken,
            "audit log",
            error.to_string(),
            why,
            "look at approvals/ in the state directory",
        ),
    }
}

fn program() -> Finding {
    match Tmux::program_version() {
        Ok(version) => ok("tmux", version.to_string()),
        Err(error) => bad(
            Level::Broken,
            "tmux",
            error.to_string(),
            "agents live in its panes",
            "install tmux 3.2 or newer",
        ),
    }
}

fn directory(cx: &Context) -> Finding {
    let shown = cx.home.root().display().to_string();
    match fsx::check_private_dir(cx.home.root()) {
        Ok(()) => ok("state directory", shown),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            ok("state directory", format!("{shown} is not there yet"))
        }
        Err(error) => bad(
            Level::Broken,
            "state directory",
            format!("{shown}: {error}"),
            "it must be yours alone: messages and agents' settings are in it",
            "chmod 700 it, or set CONDUCTOR_HOME",
        ),
    }
}

fn configuration(cx: &Context) -> Finding {
    match crate::profiles::config::load(&cx.home) {
        Ok(_) => ok("config.toml", "readable"),
        Err(failure) => bad(
            Level::Broken,
            "config.toml",
            failure.message(),
            "launches read it",
            failure.hints().join("; "),
        ),
    }
}

/// Whether the user's policy holds as it is written.
fn rules(cx: &Context) -> Finding {
    // The state directory lies in no project.
    let loaded = policy::load(&cx.home, cx.home.root(), &Trusted::default());
    match loaded.warnings.as_slice() {
        [] => ok(
            "policy.toml",
            format!("{} rules hold", loaded.policy.rules.len()),
        ),
        warnings => bad(
            Level::Broken,
            "policy.toml",
            warnings.join("; "),
            "a file with an error is refused whole: the last good copy or the built-in rules hold instead",
            "mend the file; `conductor-hook policy show` says which rules hold",
        ),
    }
}

/// Flows that would miss their next run, or whose next run would fail.
fn flows(cx: &Context, store: &mut Store) -> Result<Vec<Finding>> {
    let flows = store.read(|tx| tx.flows())?;
    if flows.is_empty() {
        return Ok(Vec::new());
    }
    let drivers = super::flow::drivers(cx, store, &flows)?;
    let mut findings: Vec<Finding> = flows
        .iter()
        .zip(drivers)
        .filter_map(|(flow, driver)| Some((flow, driver.warning?, driver.word)))
        .map(|(flow, warning, word)| {
            let remedy = if word == Some("nothing") {
                "start tmux, or let `conductor-hook generate units` make a timer that needs none"
                    .to_owned()
            } else {
                format!(
                    "mend it, then `conductor-hook flow add {}`",
                    flow.path.display()
                )
            };
            let found = format!("{}: {warning}", flow.name);
            bad(
                Level::Warning,
                "flows",
                found,
                "nobody is there to notice it at that time",
                remedy,
            )
        })
        .collect();
    if findings.is_empty() {
        let on = flows.iter().filter(|flow| flow.enabled).count();
        findings.push(ok(
            "flows",
            format!("{on} of {} wait for their times", flows.len()),
        ));
    }
    Ok(findings)
}

fn terminals(store: &mut Store) -> Result<Vec<Finding>> {
    let living = store.read(|tx| tx.live_terminals())?;
    let mut findings = vec![ok("terminals", format!("{} live", living.len()))];
    for t in living {
        let silent = t.last_event_at.is_none() && t.state.status == Status::Starting;
        let age = crate::clock::now().as_millisecond() - t.created_at.as_millisecond();
        if silent && age > 60_000 {
            findings.push(bad(
                Level::Warning,
                "hooks",
                format!("terminal {} has not been heard from since its start", t.id),
                "its status is not known and no message can be proven",
                format!(
                    "`conductor-hook explain {}` shows what is on its screen",
                    t.id
                ),
            ));
        }
    }
    Ok(findings)
}

/// What the end of a tmux server has left to be resumed.
fn resumable(store: &mut Store) -> Result<Option<Finding>> {
    let lost = offer::lost(store)?;
    if lost.is_empty() {
        return Ok(None);
    }
    let mut waiting = 0;
    for terminal in &lost {
        waiting += store.read(|tx| tx.open_count(Some(&terminal.id)))?;
    }
    Ok(Some(bad(
        Level::Warning,
        "recovery",
        format!(
            "{} ended agents can be resumed; {waiting} messages wait for them",
            lost.len()
        ),
        "nobody else takes their work up, and messages expire",
        "`conductor-hook recover --resume` starts them again, `conductor-hook close TERMINAL` gives one up",
    )))
}

/// What waits, and why.
fn waiting(queues: Vec<Queue>) -> Finding {
    let Some(oldest) = queues.first() else {
        return ok("queues", "no message waits");
    };
    let depth: usize = queues.iter().map(|queue| queue.depth).sum();
    let each: Vec<String> = queues
        .iter()
        .map(|queue| {
            format!(
                "{} for {}{}",
                queue.depth,
                queue.terminal,
                queue
                    .reason
                    .as_deref()
                    .map(|reason| format!(" ({reason})"))
                    .unwrap_or_default()
            )
        })
        .collect();
    let found = format!(
        "{depth} wait, the oldest for {} s: {}",
        oldest.oldest_seconds,
        each.join(", ")
    );
    let mut finding = if oldest.oldest_seconds < LONG_WAIT {
        ok("queues", found)
    } else {
        bad(
            Level::Warning,
            "queues",
            found,
            "somebody may be waiting for an agent that hears nothing",
            match oldest.retried_by {
                Some(by) => format!(
                    "the oldest goes on with {by}; `conductor-hook explain {}` says more",
                    oldest.terminal
                ),
                None => format!(
                    "`conductor-hook explain {}` says what it waits for",
                    oldest.terminal
                ),
            },
        )
    };
    finding.figures = Some(Figures::Queues(queues));
    finding
}

/// How well a provider's deliveries are proven.
fn proven(proofs: Proofs) -> Finding {
    let found = format!("{}: {}", proofs.provider, proofs.line());
    let poor = proofs.decided() >= FEW && proofs.per_mille.is_some_and(|share| share < POOR);
    let mut finding = if poor {
        bad(
            Level::Warning,
            "proof of delivery",
            found,
            "what is not proven is put to the agent again, and given up after four times",
            "see that the agent's hooks run: `conductor-hook explain` of its terminals, `conductor-hook inbox --status dead`",
        )
    } else {
        ok("proof of delivery", found)
    };
    finding.figures = Some(Figures::Proofs(proofs));
    finding
}

fn server(cx: &Context, store: Option<&mut Store>) -> Vec<Finding> {
    let why = "without it keys, the status line and the death of panes are noticed later";
    match (cx.tmux.identify(), store) {
        (Err(tmux::Error::NoServer(socket)), _) => {
            vec![ok("tmux server", format!("none runs at {socket}"))]
        }
        (Err(error), _) => vec![bad(
            Level::Broken,
            "tmux server",
            error.to_string(),
            "agents live in its panes",
            "update tmux and restart its server",
        )],
        (Ok((_, version)), None) => vec![ok("tmux server", version.to_string())],
        (Ok((_, version)), Some(store)) => {
            let mut findings = vec![ok("tmux server", version.to_string())];
            match plugin::status(store, &cx.tmux, &cx.home) {
                Ok(status) if !status.loaded => findings.push(bad(
                    Level::Warning,
                    "plugin",
                    "not loaded in this server",
                    why,
                    "add it to tmux.conf, or run `conductor-hook plugin load`",
                )),
                Ok(status) => {
                    let missing = status.missing_hooks.join(", ");
                    findings.push(if missing.is_empty() {
                        ok("plugin", "loaded")
                    } else {
                        bad(
                            Level::Warning,
                            "plugin",
                            format!("hooks are missing: {missing}"),
                            why,
                            "run `conductor-hook plugin load`; give your own hooks an index, e.g. pane-exited[0]",
                        )
                        .fixable()
                    });
                    for key in &status.taken_keys {
                        findings.push(bad(
                            Level::Warning,
                            "keys",
                            format!("{key} is yours and was left alone"),
                            "that key does not do what the documentation says",
                            "choose another one with @conductor-key",
                        ));
                    }
                    findings.extend(aliases::aliases(&status));
                    if status.segment_hidden {
                        findings.push(bad(
                            Level::Warning,
                            "status line",
                            "status-format draws neither our segment nor the option that it stands in",
                            "nothing in the status line tells that somebody waits for you",
                            "write #{@conductor_segment} into status-format, or `set -g @conductor-status off`",
                        ));
                    }
                    for shadow in status.shadows {
                        findings.push(bad(
                            Level::Warning,
                            "session options",
                            crate::domain::text::one_line(&format!("{shadow:?}")),
                            "an option or hook of one session hides the global one of the same name",
                            "remove it there, or repeat ours beside it",
                        ));
                    }
                }
                Err(failure) => findings.push(bad(
                    Level::Warning,
                    "plugin",
                    failure.message(),
                    why,
                    "run `conductor-hook plugin load`",
                )),
            }
            findings
        }
    }
}

fn agents(cx: &Context) -> Finding {
    match Catalogue::of(&cx.home).first_installed() {
        Some(manifest) => ok("agents", format!("{} is installed", manifest.title)),
        None => bad(
            Level::Warning,
            "agents",
            "no agent program was found along PATH",
            "only the built-in demo agent can be started",
            "install one, e.g. Claude Code",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ProofRate;

    fn queue(oldest_seconds: i64) -> Queue {
        Queue {
            terminal: "0123abcd".into(),
            provider: "demo".into(),
            depth: 2,
            oldest_seconds,
            reason: Some("COPY_MODE".into()),
            retried_by: Some("leaving the mode"),
        }
    }

    fn proofs(placed: u64, proven: u64) -> Proofs {
        let rate = ProofRate {
            provider: "demo".into(),
            transport: "paste".into(),
            placed,
            proven,
            open: 0,
            repeated: 0,
            median_ms: Some(40),
        };
        queues::proofs(vec![rate]).remove(0)
    }

    #[test]
    fn what_waits_for_long_is_worth_a_look() {
        assert_eq!(waiting(Vec::new()).level, Level::Ok);
        let finding = waiting(vec![queue(20), queue(3)]);
        assert_eq!(finding.level, Level::Ok);
        assert_eq!(
            finding.found,
            "4 wait, the oldest for 20 s: 2 for 0123abcd (COPY_MODE), 2 for 0123abcd (COPY_MODE)"
        );
        let finding = waiting(vec![queue(LONG_WAIT)]);
        assert_eq!(finding.level, Level::Warning);
        let remedy = finding.remedy.unwrap();
        assert!(remedy.contains("leaving the mode") && remedy.contains("explain 0123abcd"));
        assert!(matches!(finding.figures, Some(Figures::Queues(all)) if all.len() == 1));
    }

    #[test]
    fn missing_proofs_are_a_warning_when_there_are_enough_to_say() {
        for (placed, found, level) in [
            (9, 1, Level::Ok),
            (100, 95, Level::Ok),
            (100, 94, Level::Warning),
        ] {
            let finding = proven(proofs(placed, found));
            assert_eq!(finding.level, level, "{finding:?}");
            assert!(finding.found.starts_with("demo: "), "{finding:?}");
        }
    }
}
