//! Getting the popup onto a person's client: by a key, or by `approve` in a pane.

use super::{Opening, Start, run};
use crate::commands::{Door, menus};
use crate::domain::approval::{ApprovalStatus, Scope};
use crate::domain::ids::ApprovalId;
use crate::error::{Failure, Result};
use crate::fsx;
use crate::services::find;
use crate::services::presence;
use crate::store::{Error, Store};
use crate::tmux::{Tmux, Viewer};

/// A key was pressed in `viewer`: opens the popup there, if something waits, and stays until it is closed.
pub(in crate::commands) fn open(door: &Door<'_>, viewer: &Viewer, start: Start) -> Result<()> {
    let waits = match Store::open(&door.cx.home) {
        Ok(mut store) => !store
            .read(|tx| tx.approvals(Some(ApprovalStatus::Pending), 1))?
            .is_empty(),
        Err(Error::Missing(_)) => false,
        Err(error) => return Err(error.into()),
    };
    if !waits {
        return Ok(door
            .cx
            .tmux
            .tell(&viewer.name, "nothing waits for your approval")?);
    }
    let what = match start {
        Start::Next => "next".to_owned(),
        Start::List => "list".to_owned(),
        Start::One(id) => id.to_string(),
    };
    let words = ["menu", "answer", &viewer.name, &what];
    let line = shell_line(door, &door.cx.tmux, &words);
    menus::show_popup(door, viewer, "approve-next", line)
}

/// The shell line that runs this program with `arguments`, at the same state, about `tmux`.
pub(in crate::commands) fn shell_line(
    door: &Door<'_>,
    tmux: &Tmux,
    arguments: &[&str],
) -> Option<String> {
    let socket = tmux.socket_text();
    let mut words = vec![
        "exec",
        door.cx.binary.to_str()?,
        "--home",
        door.cx.home.root().to_str()?,
        "-S",
        &socket,
    ];
    words.extend(arguments);
    Some(shell_words::join(words))
}

/// The program in the popup: `menu answer CLIENT list|next|ID [SCOPE [REASON in hexadecimal digits]]`.
pub(in crate::commands) fn answer(door: &Door<'_>, arguments: &[String]) -> Result<()> {
    let word = |at: usize| arguments.get(at).map_or("", String::as_str);
    let client = word(0);
    let start = match word(1) {
        "list" => Start::List,
        "next" => Start::Next,
        id => Start::One(ApprovalId::parse(id).map_err(find::invalid)?),
    };
    let reason = text(word(3));
    let opening = Opening {
        start,
        scope: Scope::parse(word(2)).unwrap_or_default(),
        reason: reason.as_deref(),
        client: Some(client),
    };
    let ended = run(door, &opening).map(drop);
    if let Err(failure) = &ended {
        // The popup closes with this program: nobody would read what it prints.
        if let Err(error) = door.cx.tmux.tell(client, failure.message()) {
            tracing::debug!(%error, "say why the popup closed");
        }
    }
    ended
}

/// The text behind hexadecimal digits; empty is none.
fn text(hex: &str) -> Option<String> {
    let bytes: Option<Vec<u8>> = hex
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .filter(|text| !text.is_empty())
}

/// Inside tmux: shows request `id` in a popup on the client that shows this pane, until it is closed. `false`: this is no pane of a server that
/// is known.
pub(in crate::commands) fn from_pane(
    door: &Door<'_>,
    store: &mut Store,
    id: ApprovalId,
    scope: Scope,
    reason: Option<&str>,
) -> Result<bool> {
    let Some(tmux) = presence::pane_server(&door.cx, store)? else {
        return Ok(false);
    };
    presence::no_agent_watches(&tmux, store)?;
    let id = id.to_string();
    let reason = fsx::hex(reason.unwrap_or_default().as_bytes());
    tmux.popup_here(|client| {
        shell_line(
            door,
            &tmux,
            &["menu", "answer", client, &id, scope.as_str(), &reason],
        )
    })
    .map_err(|error| {
        Failure::from(error)
            .context("show it in a popup, where no other pane can read the code")
            .hint("attach a client to this session, or call it in a terminal outside tmux")
    })?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_goes_through_a_shell_as_digits() {
        let reason = "it's $(fine); ä\n";
        assert_eq!(text(&fsx::hex(reason.as_bytes())), Some(reason.to_owned()));
        assert_eq!(text(""), None);
        assert_eq!(text("zz"), None);
    }
}
