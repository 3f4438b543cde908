//! What an agent said: its last answer, its screen, its scrollback, its log.

use super::context::Context;
use super::deliver::place;
use super::logs;
use crate::domain::terminal::Terminal;
use crate::domain::text;
use crate::error::{Failure, Result};

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
    let bytes = logs::read(&path).map_err(|e| {
        Failure::not_found(format!("read the log of terminal {}: {e}", terminal.id))
    })?;
    let text = text::strip_terminal_codes(&bytes);
    let Some(lines) = lines else { return Ok(text) };
    let all: Vec<&str> = text.lines().collect();
    Ok(all[all.len().saturating_sub(lines)..].join("\n"))
}
