//! What a person or agent means by TERMINAL.

use super::context::Context;
use crate::domain::ids::{Invalid, TerminalId};
use crate::domain::terminal::Terminal;
use crate::domain::text::one_line;
use crate::error::{Failure, Result};
use crate::store::{Store, Tx};
use std::fmt::Display;

/// The terminal that `text` names: an id, an unambiguous prefix of one, a pane id of the server at hand, or a unique window name.
pub fn terminal(cx: &Context, store: &mut Store, text: &str) -> Result<Terminal> {
    store.read(|tx| in_transaction(tx, &cx.tmux.socket_text(), text))
}

/// That a session has no living terminal on the server at hand and has some on another one; `None` where that is not so.
pub fn elsewhere(cx: &Context, living: &[Terminal], session: &str) -> Option<Failure> {
    let here = cx.tmux.socket();
    if living.iter().any(|t| t.is_in(session, here)) {
        return None;
    }
    let there = living
        .iter()
        .filter(|t| t.session == session)
        .find_map(|t| t.server.as_ref())?;
    let socket = one_line(&there.socket.to_string_lossy());
    let hint = format!("give -S {}", shell_words::quote(&socket));
    Some(
        Failure::not_found(format!(
            "session {:?} lives on the tmux server at {socket}, not at {}",
            one_line(session),
            one_line(&cx.tmux.socket_text())
        ))
        .hint(hint),
    )
}

/// There is no terminal of that id or name.
pub fn unknown(name: impl Display) -> Failure {
    Failure::not_found(format!("there is no terminal {name}"))
        .hint("`conductor-hook sessions` lists them; name one by id, prefix of an id, pane id, or window name")
}

/// What is written where an id or a name belongs is none.
#[expect(
    clippy::needless_pass_by_value,
    reason = "it stands where an error is turned into another"
)]
pub fn invalid(error: Invalid) -> Failure {
    let list = match error {
        Invalid::TerminalId(_) => "sessions",
        Invalid::MessageId(_) => "inbox",
        Invalid::ApprovalId(_) => "approvals",
        Invalid::NoteId(_) => "notes",
        Invalid::Name(_) => {
            return Failure::usage(error.to_string()).hint("a name looks like code-reviewer-2");
        }
    };
    Failure::usage(error.to_string()).hint(format!("`conductor-hook {list}` lists them"))
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
        && (1..8).contains(&text.len())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::terminal::Server;
    use crate::error::Kind;
    use crate::paths::Home;
    use crate::store::{Budget, Durability};
    use crate::tmux::Tmux;

    #[test]
    fn a_session_of_another_server_is_named_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path().join("state")).unwrap();
        let cx = Context::new(home, Tmux::at(dir.path().join("here"))).unwrap();
        let on = |socket: &str, session: &str| {
            let mut row = Terminal::sample(TerminalId::from_bytes([7; 4]));
            row.session = session.to_owned();
            row.server = Some(Server {
                socket: dir.path().join(socket),
                pid: 1,
                start: 1,
            });
            row
        };
        let living = [
            on("here", "both"),
            on("far off", "both"),
            on("far off", "only"),
        ];
        assert_eq!(elsewhere(&cx, &living, "both"), None);
        assert_eq!(elsewhere(&cx, &living, "nowhere"), None);
        let failure = elsewhere(&cx, &living, "only").unwrap();
        assert_eq!(failure.kind(), Kind::NotFound);
        let there = dir.path().join("far off").display().to_string();
        assert!(failure.message().contains(&there), "{failure}");
        assert_eq!(failure.hints(), [format!("give -S '{there}'")]);
    }

    #[test]
    fn one_digit_names_a_terminal_and_two_candidates_are_listed() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path().join("state")).unwrap();
        let mut store = Store::open_or_create(&home).unwrap();
        let cx = Context::new(home, Tmux::at(dir.path().join("no-server"))).unwrap();
        let (seven, eight, other) = ([0x70; 4], [0x81; 4], [0x82; 4]);
        let windows = [(seven, "7f"), (eight, "8"), (other, "dev")];
        store
            .write(Durability::Process, Budget::Call, |tx| {
                windows.iter().try_for_each(|(id, window)| {
                    let mut row = Terminal::sample(TerminalId::from_bytes(*id));
                    row.window = (*window).to_owned();
                    tx.insert_terminal(&row).map(drop)
                })
            })
            .unwrap();
        let mut found = |text| terminal(&cx, &mut store, text).map(|t| t.id);
        assert_eq!(found("7"), Ok(TerminalId::from_bytes(seven)));
        assert_eq!(
            found("8"),
            Ok(TerminalId::from_bytes(eight)),
            "a window's name goes first"
        );
        assert_eq!(found("").unwrap_err().kind(), Kind::NotFound);
        let second = TerminalId::from_bytes([0x71; 4]);
        store
            .write(Durability::Process, Budget::Call, |tx| {
                tx.insert_terminal(&Terminal::sample(second.clone()))
            })
            .unwrap();
        let failure = terminal(&cx, &mut store, "7").unwrap_err();
        assert_eq!(failure.kind(), Kind::Usage);
        for id in [TerminalId::from_bytes(seven), second] {
            assert!(failure.message().contains(id.as_str()), "{failure}");
        }
    }
}
