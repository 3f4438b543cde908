//! Whether the state directory is kept in order: room, modes, what is old, logs that nobody writes to any more, events that wait.

use super::{Finding, Level, bad, ok};
use crate::error::Result;
use crate::fsx;
use crate::paths::Home;
use crate::services::clean::{self, Wish};
use crate::services::context::Context;
use crate::services::logs;
use crate::store::Store;
use std::path::PathBuf;

/// Events that wait longer than this are stuck, in seconds.
const STUCK_SECONDS: u64 = 60;

/// Whose mode must keep others out.
pub(super) fn private_paths(home: &Home) -> Vec<PathBuf> {
    let mut paths = vec![
        home.root().to_path_buf(),
        home.db_dir(),
        home.db(),
        home.lock(),
        home.approvals(),
        home.audit_log(),
        home.spool(),
        home.run(),
        home.terminal_logs(),
        home.config(),
    ];
    paths.retain(|path| path.exists());
    paths
}

/// All that is to be said about it.
pub(super) fn examine(cx: &Context, store: &mut Store) -> Result<Vec<Finding>> {
    Ok(vec![
        room(store),
        modes(&cx.home),
        spool(&cx.home),
        logging(cx, store)?,
        old(cx, store),
    ])
}

/// Whether anything can be stored.
fn room(store: &Store) -> Finding {
    match store.try_writing() {
        Ok(()) => ok("room", "the state directory can be written"),
        Err(error) => {
            let failure = crate::error::Failure::from(error);
            bad(
                Level::Broken,
                "room",
                failure.message(),
                "no message is accepted, and every call that needs a person is denied",
                failure.hints().join("; "),
            )
        }
    }
}

fn modes(home: &Home) -> Finding {
    let open: Vec<String> = private_paths(home)
        .iter()
        .filter(|path| fsx::others_may_use(path))
        .map(|path| path.display().to_string())
        .collect();
    if open.is_empty() {
        return ok("modes", "only you may use the state directory");
    }
    bad(
        Level::Warning,
        "modes",
        format!("others may use {}", open.join(", ")),
        "messages, answers and decisions are in them",
        "`conductor-hook doctor --fix` takes that right away",
    )
    .fixable()
}

fn spool(home: &Home) -> Finding {
    let waiting = std::fs::read_dir(home.spool())
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.metadata().ok()?.modified().ok()?.elapsed().ok())
        .filter(|age| age.as_secs() > STUCK_SECONDS)
        .count();
    if waiting == 0 {
        return ok("spool", "no event waits");
    }
    bad(
        Level::Warning,
        "spool",
        format!("{waiting} events of agents wait to be stored"),
        "what is known about their agents is old",
        "`conductor-hook doctor --fix` stores them",
    )
    .fixable()
}

/// Live terminals whose output goes nowhere although it should be logged.
fn logging(cx: &Context, store: &mut Store) -> Result<Finding> {
    let silent = logs::silent(&store.read(|tx| tx.live_terminals())?);
    let retention = crate::profiles::config::load(&cx.home)
        .unwrap_or_default()
        .retention;
    let large = store
        .read(|tx| tx.live_terminals())?
        .iter()
        .filter(|t| {
            let size = logs::on_disk(&cx.home.terminal_log(t.id.as_str()));
            size > retention.log_max_bytes.saturating_mul(4)
        })
        .count();
    Ok(if !silent.is_empty() {
        let ids: Vec<String> = silent.iter().map(|(_, _, id)| id.to_string()).collect();
        bad(
            Level::Warning,
            "logs",
            format!("nothing writes the log of {}", ids.join(", ")),
            "what the agent says is not kept; a full disk ends the writer",
            "free some space, then `conductor-hook doctor --fix`",
        )
        .fixable()
    } else if large > 0 {
        bad(
            Level::Warning,
            "logs",
            format!("{large} logs are much larger than retention.log_max_bytes"),
            "they fill the disk",
            "`conductor-hook clean` shortens them, or says why it cannot",
        )
    } else {
        ok(
            "logs",
            "every live terminal's output is logged, and no log is too large",
        )
    })
}

/// What would be removed now.
fn old(cx: &Context, store: &mut Store) -> Finding {
    match clean::preview(cx, store, Wish::default()) {
        Ok(report) => {
            let count: u64 = report.removed.iter().map(|item| item.count).sum();
            let kept = match report.kept.len() {
                0 => String::new(),
                n => format!("; {n} old ones stay, `conductor-hook clean --dry-run` says why"),
            };
            ok(
                "clean-up",
                format!("{count} old things go with the next one{kept}"),
            )
        }
        Err(failure) => bad(
            Level::Warning,
            "clean-up",
            failure.message(),
            "what is old is not removed",
            failure.hints().join("; "),
        ),
    }
}
