//! Agents in what tmux-resurrect saves and restores.
//!
//! A saved agent's pane is marked with its terminal's id, and its command is left out: run bare it would have no gate. After a restore each
//! lost terminal whose pane is back is resumed in that pane, in place of the fresh shell; nothing is typed into it.

use super::context::Context;
use super::offer::{self, Offer};
use super::recover;
use crate::clock::{self, Deadline};
use crate::domain::ids::TerminalId;
use crate::domain::terminal::Terminal;
use crate::error::{Failure, Result};
use crate::fsx;
use crate::proc::{self, Process};
use crate::store::Store;
use crate::tmux::{Coordinates, PaneId, fence};
use std::path::Path;
use std::time::Duration;

/// Most of a saved file that is read, in bytes.
const MOST: usize = 16 * 1024 * 1024;

/// What a line of ours in a saved file begins with; tmux-resurrect skips lines that it does not know.
const MARK: &str = "conductor";

/// What tmux-resurrect's own lines begin with.
const OWN: [&str; 4] = ["pane", "window", "state", "grouped_session"];

/// A shell that is older than this, in seconds, was not made by the restore that has just ended.
const FRESH: i64 = 120;

/// How long a fresh shell may take to read its start files.
const STARTING: Duration = Duration::from_secs(5);

/// tmux-resurrect has saved into `file`: the agents' panes are marked, and their commands left out.
pub fn saved(cx: &Context, store: &mut Store, file: &Path) -> Result<()> {
    let failed =
        |e: std::io::Error| Failure::failed(format!("mark {}: {e}", file.display())).disk(&e);
    let text = read(file)?;
    let living = store.read(|tx| tx.live_terminals())?;
    let places: Vec<Coordinates> = cx
        .tmux
        .coordinates()?
        .into_iter()
        .filter(|place| living.iter().any(|terminal| holds(cx, terminal, place)))
        .collect();
    let marked = mark(&text, &places);
    if marked != text {
        fsx::write_atomic(file, marked.as_bytes()).map_err(failed)?;
    }
    Ok(())
}

/// Whether a place in this server is the terminal's.
fn holds(cx: &Context, terminal: &Terminal, place: &Coordinates) -> bool {
    terminal.id.as_str() == place.terminal
        && terminal.pane.as_deref().and_then(PaneId::parse) == Some(place.pane)
        && terminal
            .server
            .as_ref()
            .is_some_and(|server| server.socket == cx.tmux.socket())
}

fn read(file: &Path) -> Result<String> {
    let bytes = fsx::read_file_limited(file, MOST).map_err(|e| {
        Failure::failed(format!(
            "read what tmux-resurrect saved in {}: {e}",
            file.display()
        ))
    })?;
    String::from_utf8(bytes).map_err(|e| Failure::failed(format!("read {}: {e}", file.display())))
}

fn kind(line: &str) -> &str {
    line.split('\t').next().unwrap_or_default()
}

/// A saved text with the panes at `places` marked.
fn mark(text: &str, places: &[Coordinates]) -> String {
    let mut marked = String::with_capacity(text.len());
    let mut ours = false;
    for line in text.lines() {
        let kind = kind(line);
        if kind == MARK {
            continue;
        }
        // Several children of a pane's process make a command of several lines.
        if ours && !OWN.contains(&kind) {
            continue;
        }
        let fields: Vec<&str> = line.split('\t').collect();
        ours = kind == "pane"
            && places.iter().any(|place| {
                fields.get(1) == Some(&place.session.as_str())
                    && fields.get(2) == Some(&place.window.as_str())
                    && fields.get(5) == Some(&place.index.as_str())
            });
        match line.rsplit_once('\t') {
            Some((front, _)) if ours => marked.push_str(&format!("{front}\t:")),
            _ => marked.push_str(line),
        }
        marked.push('\n');
    }
    for place in places {
        marked.push_str(&format!(
            "{MARK}\t{}\t{}\t{}\t{}\n",
            place.session, place.window, place.index, place.terminal
        ));
    }
    marked
}

/// Which terminal was where, as a saved text says: session, window, pane, terminal.
fn marks(text: &str) -> Vec<(String, String, String, TerminalId)> {
    text.lines()
        .filter(|line| kind(line) == MARK)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            let [_, session, window, index, id] = fields[..] else {
                return None;
            };
            let id = TerminalId::parse(id).ok()?;
            Some((session.to_owned(), window.to_owned(), index.to_owned(), id))
        })
        .collect()
}

/// tmux-resurrect has restored panes, from `file` where it is known: the lost agents whose panes are back are resumed in them.
pub fn restored(cx: &Context, store: &mut Store, file: Option<&Path>) -> Result<Vec<Offer>> {
    recover::all(cx, store)?;
    let lost = offer::lost(store)?;
    if lost.is_empty() {
        return Ok(Vec::new());
    }
    let marks = file
        .and_then(|file| read(file).ok())
        .map(|text| marks(&text))
        .unwrap_or_default();
    let places = cx.tmux.coordinates()?;
    let mut found = Vec::new();
    for terminal in lost {
        let Some(pane) = place(&terminal, &marks, &places) else {
            continue;
        };
        if is_fresh_shell(cx, pane)? {
            found.push((terminal, Some(pane)));
        }
    }
    offer::resume_all(cx, store, &found, |_, _| Ok(()))
}

/// The pane in which a terminal is to be resumed: where the saved text says that it was, else where it was when last seen.
fn place(
    terminal: &Terminal,
    marks: &[(String, String, String, TerminalId)],
    places: &[Coordinates],
) -> Option<PaneId> {
    let at = |session: &str, window: &str, index: &str| {
        places
            .iter()
            .find(|p| p.session == session && p.window == window && p.index == index)
            .map(|p| p.pane)
    };
    if !marks.is_empty() {
        let (session, window, index, _) = marks.iter().find(|(.., id)| *id == terminal.id)?;
        return at(session, window, index);
    }
    let spot = terminal.spot.as_ref()?;
    at(
        &terminal.session,
        &spot.window_index.to_string(),
        &spot.pane_index.to_string(),
    )
}

/// Whether a pane holds nothing but a shell that has just been started: nobody's work is in it.
fn is_fresh_shell(cx: &Context, pane: PaneId) -> Result<bool> {
    let deadline = Deadline::after(STARTING);
    loop {
        let (_, panes) = cx.tmux.panes()?;
        let found = panes.iter().find(|other| other.id == pane && !other.dead);
        let Some(found) = found.filter(|found| found.terminal.is_empty()) else {
            return Ok(false);
        };
        let Some(process) = Process::of(found.pid) else {
            return Ok(false);
        };
        if proc::age(&process).is_none_or(|age| age > FRESH) {
            return Ok(false);
        }
        // A saved screen is printed by `cat` before the shell is there.
        let shell = Process::name(found.pid).is_some_and(|name| fence::is_shell(&name));
        if shell && process.foreground == found.pid && proc::descendants(found.pid).is_empty() {
            return Ok(true);
        }
        if deadline.passed() {
            return Ok(false);
        }
        clock::sleep(Duration::from_millis(100), &deadline);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::loss::Spot;

    const SAVED: &str = "pane\twork\t0\t1\t:*\t0\thost\t:/p\t1\tclaude\t:/bin/conductor-hook mcp\nnode server\n\
        pane\twork\t0\t1\t:*\t1\thost\t:/p\t0\tsh\t:vim a b\n\
        pane\twork\t1\t0\t:\t0\thost\t:/p\t1\tclaude\t:claude --settings run/x\n\
        window\twork\t0\t:conductor\t1\t:*\tb25d,120x40,0,0,0\t:\n\
        state\twork\thome\n";

    fn at(session: &str, window: &str, index: &str, id: &str, pane: &str) -> Coordinates {
        Coordinates {
            pane: PaneId::parse(pane).unwrap(),
            terminal: id.to_owned(),
            session: session.to_owned(),
            window: window.to_owned(),
            index: index.to_owned(),
        }
    }

    #[test]
    fn a_saved_agent_has_no_command_and_a_mark() {
        let places = [
            at("work", "0", "0", "0123abcd", "%1"),
            at("work", "1", "0", "0123abce", "%3"),
        ];
        let marked = mark(SAVED, &places);
        let expected = "pane\twork\t0\t1\t:*\t0\thost\t:/p\t1\tclaude\t:\n\
            pane\twork\t0\t1\t:*\t1\thost\t:/p\t0\tsh\t:vim a b\n\
            pane\twork\t1\t0\t:\t0\thost\t:/p\t1\tclaude\t:\n\
            window\twork\t0\t:conductor\t1\t:*\tb25d,120x40,0,0,0\t:\n\
            state\twork\thome\n\
            conductor\twork\t0\t0\t0123abcd\n\
            conductor\twork\t1\t0\t0123abce\n";
        assert_eq!(marked, expected);
        assert_eq!(mark(&marked, &places), marked, "twice is once");
        assert_eq!(mark(SAVED, &[]), SAVED, "what is not ours stays as it is");
        assert_eq!(marks(&marked).len(), 2);
    }

    #[test]
    fn a_terminal_is_looked_for_where_it_was_saved() {
        let id = TerminalId::parse("0123abcd").unwrap();
        let mut terminal = Terminal::sample(id.clone());
        terminal.session = "work".to_owned();
        let places = [
            at("work", "0", "0", "", "%1"),
            at("work", "2", "1", "", "%2"),
        ];
        let find = |terminal: &Terminal, marks: &[_]| place(terminal, marks, &places);
        assert_eq!(find(&terminal, &[]), None, "nobody knows where it was");
        terminal.spot = Some(Spot {
            window: "@9".to_owned(),
            window_index: 2,
            pane_index: 1,
            layout: String::new(),
        });
        assert_eq!(find(&terminal, &[]), PaneId::parse("%2"));
        let mark = |id| ("work".to_owned(), "0".to_owned(), "0".to_owned(), id);
        assert_eq!(find(&terminal, &[mark(id)]), PaneId::parse("%1"));
        let other = TerminalId::parse("ffffffff").unwrap();
        assert_eq!(find(&terminal, &[mark(other)]), None, "it was not saved");
    }
}
