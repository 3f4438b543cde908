//! What a person or agent means by TERMINAL.

use super::context::Context;
use crate::domain::ids::TerminalId;
use crate::domain::terminal::Terminal;
use crate::domain::text::one_line;
use crate::error::{Failure, Result};
use crate::store::{Store, Tx};
use std::fmt::Display;

/// The terminal that `text` names: an id, an unambiguous prefix of one, a pane id of the server at hand, or a unique window name.
pub fn terminal(cx: &Context, store: &mut Store, text: &str) -> Result<Terminal> {
    store.read(|tx| in_transaction(tx, &cx.tmux.socket_text(), text))
}

/// There is no terminal of that id or name.
pub fn unknown(name: impl Display) -> Failure {
    Failure::not_found(format!("there is no terminal {name}"))
        .hint("`conductor-hook sessions` lists them; name one by id, prefix of an id, pane id, or window name")
}

fn in_transaction(tx: &Tx<'_>, socket: &str, text: &str) -> Result<Terminal> {
    if let Ok(id) = TerminalId::parse(text)
        && let Some(found) = tx.terminal(&id)?
    {
        return Ok(found);
    }
    let living = tx.live_terminals()?;
    let mut found: Vec<Terminal> = if text.starts_with('%') {
        living
            .iter()
            .filter(|t| t.pane.as_deref() == Some(text))
            .filter(|t| {
                t.server
                    .as_ref()
                    .is_some_and(|server| server.socket.to_string_lossy() == socket)
            })
            .cloned()
            .collect()
    } else {
        living
            .iter()
            .filter(|t| t.window == text)
            .cloned()
            .collect()
    };
    if found.is_empty()
        && (2..8).contains(&text.len())
        && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    {
        found = tx.terminals_by_prefix(text)?;
        if found.iter().any(Terminal::alive) {
            found.retain(Terminal::alive);
        }
    }
    match &mut found[..] {
        [one] => Ok(one.clone()),
        [] => Err(unknown(format_args!("{:?}", one_line(text)))),
        several => {
            let list: Vec<String> = several
                .iter()
                .map(|t| {
                    format!(
                        "{} ({} in {})",
                        t.id,
                        one_line(&t.window),
                        one_line(&t.session)
                    )
                })
                .collect();
            Err(Failure::usage(format!(
                "{:?} is ambiguous: {}",
                one_line(text),
                list.join(", ")
            ))
            .hint("name one of them by its id"))
        }
    }
}
