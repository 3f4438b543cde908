//! Waiting for agents and printing what they said.

use super::Door;
use super::agents::existing;
use crate::cli::{self, OutputMode};
use crate::clock::Deadline;
use crate::domain::terminal::Status;
use crate::domain::text::one_line;
use crate::error::{Failure, Result};
use crate::services::output::{self, Mode};
use crate::services::{find, wait};
use crate::ui::json::TerminalView;
use serde::Serialize;
use std::time::Duration;

pub(super) fn wait(door: &mut Door<'_>, arguments: &cli::Wait) -> Result<()> {
    let states = arguments
        .states
        .iter()
        .map(|word| {
            Status::parse(word).ok_or_else(|| {
                let words: Vec<&str> = Status::ALL.iter().map(|s| s.as_str()).collect();
                Failure::usage(format!("{:?} is not a status", one_line(word)))
                    .hint(format!("one of {}", words.join(", ")))
            })
        })
        .collect::<Result<Vec<Status>>>()?;
    let mut store = existing(door)?;
    let mut ids = Vec::new();
    for text in &arguments.terminals {
        ids.push(find::terminal(&door.cx, &mut store, text)?.id);
    }
    let deadline = arguments.timeout.map_or_else(Deadline::never, |seconds| {
        Deadline::after(Duration::from_secs_f64(seconds))
    });
    let cx = door.cx.clone();
    let terminals = wait::for_states(
        &cx,
        &mut store,
        &ids,
        &states,
        !arguments.any,
        deadline,
        || false,
    )?;
    let open = store.read(|tx| tx.open_counts())?;
    let mut gates = super::agents::Gates::of(&door.cx.home);
    let views: Vec<TerminalView> = terminals
        .iter()
        .map(|t| {
            let unread = open.get(t.id.as_str()).copied().unwrap_or(0);
            TerminalView::new(t, unread, gates.gated(t))
        })
        .collect();
    door.print(&views, |views| {
        views
            .iter()
            .map(|t| {
                format!(
                    "{} is {}: {}\n",
                    t.id,
                    t.status.as_str(),
                    one_line(&t.status_reason)
                )
            })
            .collect()
    })
}

/// What `output` and `logs` print with `--json`.
#[derive(Debug, Serialize)]
struct Said {
    terminal: String,
    mode: &'static str,
    output: String,
}

pub(super) fn output(door: &mut Door<'_>, terminal: &str, mode: OutputMode) -> Result<()> {
    let mut store = existing(door)?;
    let found = find::terminal(&door.cx, &mut store, terminal)?;
    let (mode, word) = match mode {
        OutputMode::Last => (Mode::Last, "last"),
        OutputMode::Full => (Mode::Full, "full"),
        OutputMode::Screen => (Mode::Screen, "screen"),
    };
    let said = Said {
        terminal: found.id.to_string(),
        mode: word,
        output: output::output(&door.cx, &found, mode)?,
    };
    door.print(&said, |said| format!("{}\n", said.output))
}

pub(super) fn logs(
    door: &mut Door<'_>,
    terminal: &str,
    lines: Option<usize>,
    follow: bool,
) -> Result<()> {
    let mut store = existing(door)?;
    let found = find::terminal(&door.cx, &mut store, terminal)?;
    let cx = door.cx.clone();
    if follow && !door.json {
        let print = |text: &str| door.pass_on(text);
        return output::follow(&cx, &mut store, &found, lines, print);
    }
    let mut output = String::new();
    if follow {
        // One document is printed, so it comes when all is there.
        output::follow(&cx, &mut store, &found, lines, |text| {
            output.push_str(text);
            Ok(true)
        })?;
    } else {
        output = output::log(&cx, &found, lines)?;
    }
    let said = Said {
        terminal: found.id.to_string(),
        mode: "log",
        output,
    };
    door.print(&said, |said| {
        format!("{}\n", said.output.trim_end_matches('\n'))
    })
}
