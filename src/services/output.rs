//! What an agent said: its last answer, its screen, its scrollback, its log.

use super::context::Context;
use super::deliver::place;
use super::logs::{self, Follower};
use crate::domain::codes::strip_terminal_codes;
use crate::domain::terminal::Terminal;
use crate::domain::text;
use crate::error::{Failure, Result};
use crate::store::Store;

/// Which output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The last answer, from the agent's own record.
    Last,
    /// The whole scrollback.
    Full,
    /// What is on the screen.
    Screen,
}

/// The output of a terminal, sanitised.
pub fn output(cx: &Context, terminal: &Terminal, mode: Mode) -> Result<String> {
    let gone = || {
        Failure::refused(format!(
            "terminal {} has ended, its screen is gone",
            terminal.id
        ))
        .hint(format!(
            "`conductor-hook logs {}` has what it printed",
            terminal.id
        ))
    };
    let text = match mode {
        Mode::Last => terminal.last_answer.clone().ok_or_else(|| {
            Failure::not_found(format!("terminal {} has not answered yet", terminal.id))
                .hint("--mode screen shows what is on its screen")
        })?,
        Mode::Screen | Mode::Full => {
            if !terminal.alive() {
                if mode == Mode::Full {
                    return log(cx, terminal, None);
                }
                return Err(gone());
            }
            let (tmux, pane) = place(terminal).ok_or_else(gone)?;
            if mode == Mode::Full {
                tmux.history(pane)?
            } else {
                tmux.screen(pane)?
            }
        }
    };
    Ok(text::sanitise(&text))
}

/// The log of a terminal, without terminal codes: the last `lines` lines, or all that is kept.
pub fn log(cx: &Context, terminal: &Terminal, lines: Option<usize>) -> Result<String> {
    let path = cx.home.terminal_log(terminal.id.as_str());
    let (bytes, _) = logs::read(&path).map_err(|e| unread(terminal, &e))?;
    let text = strip_terminal_codes(&bytes);
    Ok(last_lines(&text, lines).to_owned())
}

/// Gives the log of a terminal to `print`, as [`log`] reads it, then what comes, until the terminal has ended and all was given, or `print` says
/// that nobody reads any more.
pub fn follow(
    cx: &Context,
    store: &mut Store,
    terminal: &Terminal,
    lines: Option<usize>,
    mut print: impl FnMut(&str) -> Result<bool>,
) -> Result<()> {
    let path = cx.home.terminal_log(terminal.id.as_str());
    let (text, follower) = Follower::begin(&path).map_err(|e| unread(terminal, &e))?;
    if !print(last_lines(&text, lines))? {
        return Ok(());
    }
    let ended = || {
        let row = store.read(|tx| tx.terminal(&terminal.id))?;
        Ok(row.is_none_or(|row| !row.alive()))
    };
    follower.follow(ended, |e| unread(terminal, &e), print)
}

fn unread(terminal: &Terminal, error: &std::io::Error) -> Failure {
    let message = format!("read the log of terminal {}: {error}", terminal.id);
    Failure::not_found(message).hint("`conductor-hook doctor` says what became of it")
}

fn last_lines(text: &str, lines: Option<usize>) -> &str {
    let Some(lines) = lines else { return text };
    let ends = text.split_inclusive('\n').rev().take(lines);
    let length: usize = ends.map(str::len).sum();
    &text[text.len() - length..]
}

#[cfg(test)]
mod tests {
    use super::last_lines;

    #[test]
    fn the_last_lines_are_those_with_and_without_an_end() {
        let text = "one\ntwo\nthree";
        for (lines, wanted) in [
            (None, text),
            (Some(0), ""),
            (Some(1), "three"),
            (Some(2), "two\nthree"),
            (Some(9), text),
        ] {
            assert_eq!(last_lines(text, lines), wanted);
        }
        assert_eq!(last_lines("one\ntwo\n", Some(1)), "two\n");
    }
}
