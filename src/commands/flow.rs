//! Flows, and the timers outside tmux that drive them.

use super::Door;
use super::agents::reading;
use crate::cli::{self, TimerKind};
use crate::clock;
use crate::domain::flow::{Flow, Outcome, Run, span};
use crate::domain::text::{one_line, sanitise};
use crate::domain::time;
use crate::error::{Failure, Result};
use crate::fsx;
use crate::services::flow::{self, Driver, Unit};
use crate::services::identity::{self, Caller};
use crate::store::Store;
use crate::ui::flows::{FlowView, PreviewView, RunView};
use crate::ui::table::{self, Table};
use jiff::Timestamp;
use serde_json::json;
use std::path::Path;

pub(super) fn flow(door: &mut Door<'_>, command: &cli::Flow) -> Result<()> {
    match command {
        cli::Flow::Add { file } => add(door, file),
        cli::Flow::List => list(door),
        cli::Flow::Show { name } => show(door, name),
        cli::Flow::Enable { name } => changed(door, name, "enabled", |door, store, actor| {
            flow::enable(&door.cx, store, name, actor)
        }),
        cli::Flow::Disable { name } => changed(door, name, "disabled", |door, store, actor| {
            flow::disable(&door.cx, store, name, actor)
        }),
        cli::Flow::Remove { name } => changed(door, name, "removed", |door, store, actor| {
            flow::remove(&door.cx, store, name, actor)
        }),
        cli::Flow::Run {
            name,
            dry_run: true,
        } => preview(door, name),
        cli::Flow::Run {
            name,
            dry_run: false,
        } => run(door, name),
        cli::Flow::History { name, limit } => history(door, name.as_deref(), *limit),
    }
}

/// What runs unattended is a person's decision.
fn person(store: &mut Store) -> Result<String> {
    match identity::honest(store, "flow")? {
        caller @ Caller::Person { .. } => Ok(caller.word()),
        _ => Err(
            Failure::refused("agents cannot decide what runs at which times")
                .hint("a person runs this in a shell of their own"),
        ),
    }
}

/// The state, where one is there.
fn known(door: &Door<'_>, name: &str) -> Result<(Store, Flow)> {
    let missing = || {
        Failure::not_found(format!("there is no flow {:?}", one_line(name)))
            .hint("`conductor-hook flow add FILE` adds one")
    };
    let mut store = reading(door)?.ok_or_else(missing)?;
    let flow = flow::known(&mut store, name)?;
    Ok((store, flow))
}

fn views(door: &Door<'_>, store: &mut Store, flows: &[Flow]) -> Result<Vec<(FlowView, Driver)>> {
    let drivers = flow::drivers(&door.cx, store, flows)?;
    let mut views = Vec::new();
    for (flow, driver) in flows.iter().zip(drivers) {
        let last = store
            .read(|tx| tx.run_history(Some(&flow.name), 1))?
            .into_iter()
            .next();
        let view = FlowView::new(flow, last.as_ref(), driver.word, driver.warning.clone());
        views.push((view, driver));
    }
    Ok(views)
}

fn one_view(door: &Door<'_>, store: &mut Store, flow: &Flow) -> Result<FlowView> {
    let views = views(door, store, std::slice::from_ref(flow))?;
    let first = views.into_iter().next();
    first
        .map(|(view, _)| view)
        .ok_or_else(|| Failure::failed("the flow is gone"))
}

/// A time on the flow's own wall clock.
fn wall(at: Option<Timestamp>, zone: &str) -> String {
    at.map_or_else(
        || "-".to_owned(),
        |at| match clock::zone(zone) {
            Some(zone) => at.to_zoned(zone).strftime("%Y-%m-%d %H:%M %Z").to_string(),
            None => time::text(at),
        },
    )
}

fn add(door: &mut Door<'_>, file: &Path) -> Result<()> {
    let mut store = door.cx.store()?;
    let actor = person(&mut store)?;
    let added = flow::add(&door.cx, &mut store, file, &actor)?;
    let mut view = one_view(door, &mut store, &added.flow)?;
    let warnings = added.warnings.iter().chain(&view.warning);
    let warnings: Vec<String> = warnings.map(|warning| one_line(warning)).collect();
    if door.json {
        view.warning = (!warnings.is_empty()).then(|| warnings.join("; "));
    } else {
        super::warn(&warnings);
    }
    door.print(&view, |view| {
        let next = wall(view.next_run, &view.timezone);
        format!("added {}, next run {next}\n", view.name)
    })
}

fn list(door: &mut Door<'_>) -> Result<()> {
    let mut list = Vec::new();
    if let Some(mut store) = reading(door)? {
        let flows = store.read(|tx| tx.flows())?;
        list = views(door, &mut store, &flows)?;
    }
    let shown: Vec<&FlowView> = list.iter().map(|(view, _)| view).collect();
    door.print(&shown, |shown| {
        if shown.is_empty() {
            return "no flows\n".to_owned();
        }
        let mut table = Table::new(&["name", "schedule", "profile", "next run", "last run", "outcome", "driven by"]);
        for view in shown {
            table.row(&[
                view.name.as_str(),
                &view.schedule,
                &view.profile,
                &if view.enabled {
                    wall(view.next_run, &view.timezone)
                } else {
                    "disabled".to_owned()
                },
                &wall(view.last_run, &view.timezone),
                view.last_outcome.map_or("-", Outcome::as_str),
                view.driver.unwrap_or("-"),
            ]);
        }
        let mut text = table.render();
        for view in shown {
            if let Some(warning) = &view.warning {
                text.push_str(&format!("\n{}: {}", view.name, one_line(warning)));
            }
        }
        if list.iter().any(|(_, driver)| driver.tmux_alone()) {
            text.push_str("\nFlows that are driven by tmux miss their runs while its server does not run; `conductor-hook generate units` makes a timer for that.");
        }
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text
    })
}

fn show(door: &mut Door<'_>, name: &str) -> Result<()> {
    let (mut store, flow) = known(door, name)?;
    let view = one_view(door, &mut store, &flow)?;
    let next = flow::next_runs(&flow, 3).unwrap_or_default();
    door.print(&view, |view| {
        let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let zone = &view.timezone;
        let runs: Vec<String> = next.iter().map(|at| wall(Some(*at), zone)).collect();
        let lines = [
            ("name", view.name.clone()),
            ("file", view.path.clone()),
            ("schedule", format!("{} ({zone})", view.schedule)),
            (
                "enabled",
                if view.enabled { "yes" } else { "no" }.to_owned(),
            ),
            (
                "next runs",
                if view.enabled {
                    runs.join(", ")
                } else {
                    "-".to_owned()
                },
            ),
            ("profile", view.profile.clone()),
            ("provider", text(&view.provider)),
            ("directory", view.cwd.clone()),
            ("session", view.session.clone()),
            ("script", text(&view.script)),
            ("overlap", view.overlap.as_str().to_owned()),
            ("catch up", view.catch_up.as_str().to_owned()),
            ("jitter", span::show(view.jitter * 1_000)),
            ("timeout", span::show(view.timeout * 1_000)),
            ("last run", wall(view.last_run, zone)),
            (
                "outcome",
                view.last_outcome.map_or("-", Outcome::as_str).to_owned(),
            ),
            ("driven by", view.driver.unwrap_or("-").to_owned()),
            ("warning", text(&view.warning)),
        ];
        lines
            .iter()
            .map(|(key, value)| format!("{key:10} {}\n", one_line(value)))
            .collect()
    })
}

fn changed(
    door: &mut Door<'_>,
    name: &str,
    word: &str,
    change: impl FnOnce(&Door<'_>, &mut Store, &str) -> Result<Flow>,
) -> Result<()> {
    let (mut store, _) = known(door, name)?;
    let actor = person(&mut store)?;
    let flow = change(door, &mut store, &actor)?;
    let view = one_view(door, &mut store, &flow)?;
    door.print(&view, |view| {
        let next = match view.next_run {
            Some(at) if word == "enabled" => {
                format!(", next run {}", wall(Some(at), &view.timezone))
            }
            _ => String::new(),
        };
        format!("{word} {}{next}\n", view.name)
    })
}

fn run(door: &mut Door<'_>, name: &str) -> Result<()> {
    let (mut store, _) = known(door, name)?;
    let actor = person(&mut store)?;
    let run = flow::run(&door.cx, &mut store, name, &actor)?;
    let reason = run.reason.as_deref().map(one_line);
    if run.outcome == Outcome::Failed {
        return Err(Failure::failed(format!(
            "run the flow {name}: {}",
            reason.unwrap_or_default()
        ))
        .hint(format!("`conductor-hook flow history {name}` keeps it")));
    }
    door.print(&RunView::new(&run), |view| {
        match (&view.terminal, view.outcome) {
            (Some(terminal), _) => format!("started {name} in terminal {terminal}\n"),
            (None, Outcome::Running) => format!("{name} waits for the run before it\n"),
            (None, outcome) => format!(
                "{} {name}: {}\n",
                outcome.as_str(),
                reason.clone().unwrap_or_default()
            ),
        }
    })
}

fn preview(door: &mut Door<'_>, name: &str) -> Result<()> {
    let (mut store, _) = known(door, name)?;
    // It runs the script.
    person(&mut store)?;
    let (flow, preview) = flow::preview(&door.cx, &mut store, name)?;
    let view = PreviewView {
        flow: flow.name.clone(),
        execute: preview.prompt.is_some(),
        reason: preview.reason.clone(),
        prompt: preview.prompt.clone(),
        profile: flow.profile.clone(),
        provider: preview.provider.clone(),
        session: flow.session.clone(),
        new_session: preview.new_session,
        cwd: flow.cwd.to_string_lossy().into_owned(),
        server: flow.server.to_string_lossy().into_owned(),
        next_runs: preview.next_runs.clone(),
    };
    door.print(&view, |view| {
        let mut text = match &view.reason {
            Some(reason) => format!("would not run: {}\n", one_line(reason)),
            None => format!(
                "would start {} ({}) in {}, in the {} {}\n",
                view.profile,
                view.provider,
                one_line(&view.cwd),
                if view.new_session {
                    "new session"
                } else {
                    "session"
                },
                view.session
            ),
        };
        for at in &view.next_runs {
            text.push_str(&format!("next run {}\n", wall(Some(*at), &flow.timezone)));
        }
        if let Some(prompt) = &view.prompt {
            text.push_str(&format!("prompt:\n\n{}\n", sanitise(prompt)));
        }
        text
    })
}

fn history(door: &mut Door<'_>, name: Option<&str>, limit: u32) -> Result<()> {
    let mut runs: Vec<Run> = Vec::new();
    let mut zones: Vec<(String, String)> = Vec::new();
    if let Some(mut store) = reading(door)? {
        runs = store.read(|tx| tx.run_history(name, limit))?;
        let flows = store.read(|tx| tx.flows())?;
        zones = flows.into_iter().map(|f| (f.name, f.timezone)).collect();
    }
    if let Some(name) = name
        && runs.is_empty()
        && zones.iter().all(|(flow, _)| flow != name)
    {
        return Err(
            Failure::not_found(format!("there is no flow {:?}", one_line(name)))
                .hint("`conductor-hook flow list` shows them"),
        );
    }
    let views: Vec<RunView> = runs.iter().map(RunView::new).collect();
    door.print(&views, |views| {
        if views.is_empty() {
            return "no time has come yet\n".to_owned();
        }
        let mut table = Table::new(&["due", "flow", "outcome", "took", "terminal", "reason"]);
        for view in views {
            let zone = zones.iter().find(|(flow, _)| *flow == view.flow);
            let took = view.started_at.zip(view.ended_at);
            table.row(&[
                wall(Some(view.due_at), zone.map_or("UTC", |(_, zone)| zone)).as_str(),
                &view.flow,
                view.outcome.as_str(),
                &took.map_or_else(
                    || "-".to_owned(),
                    |(start, end)| table::age(end.as_millisecond() - start.as_millisecond()),
                ),
                view.terminal.as_ref().map_or("-", |id| id.as_str()),
                view.reason.as_deref().unwrap_or(""),
            ]);
        }
        table.render()
    })
}

/// Prints the timers that call `tick` without tmux, or writes them into a directory.
pub(super) fn units(door: &mut Door<'_>, kind: TimerKind, dir: Option<&Path>) -> Result<()> {
    let unit = match kind {
        TimerKind::Systemd => Unit::Systemd,
        TimerKind::Launchd => Unit::Launchd,
    };
    let files = flow::units(&door.cx, unit)?;
    let switch_on = unit.switch_on(&door.cx.home);
    let there = unit.directory();
    if let Some(dir) = dir {
        let failed = |e: std::io::Error| {
            Failure::failed(format!(
                "write into {}: {e}",
                one_line(&dir.to_string_lossy())
            ))
            .disk(&e)
        };
        fsx::create_private_dir(dir).map_err(failed)?;
        let mut written = Vec::new();
        for (name, text) in &files {
            let path = dir.join(name);
            fsx::write_atomic_mode(&path, text.as_bytes(), 0o644).map_err(failed)?;
            written.push(path.to_string_lossy().into_owned());
        }
        return door.print(&json!({"written": written, "next": switch_on}), |_| {
            let lines: String = written
                .iter()
                .map(|path| format!("wrote {path}\n"))
                .collect();
            format!("{lines}switch it on: {switch_on}\n")
        });
    }
    let list: Vec<_> = files
        .iter()
        .map(|(name, text)| json!({"name": name, "text": text}))
        .collect();
    door.print(&list, |_| {
        let there = there.map_or_else(String::new, |dir| format!("{}/", dir.display()));
        let mut text = String::new();
        for (name, body) in &files {
            match unit {
                Unit::Systemd => text.push_str(&format!("# {there}{name}\n{body}\n")),
                // A property list is one file, and comments are no part of every reader's idea of one.
                Unit::Launchd => text.push_str(body),
            }
        }
        if unit == Unit::Systemd {
            text.push_str(&format!("# then: {switch_on}\n"));
        }
        text
    })
}
