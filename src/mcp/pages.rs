//! Results that fit: pages of long texts, and the shape of messages and handoffs.

use crate::domain::handoff::{Handoff, HandoffStatus};
use crate::domain::ids::{MessageId, TerminalId};
use crate::domain::message::Message;
use crate::domain::text;
use crate::domain::worktree::Worktree;
use crate::error::Result;
use crate::services::context::Context;
use crate::services::inbox;
use crate::store::Store;
use serde_json::{Value, json};

/// Longest text in one result, in characters.
const PAGE: usize = 30_000;

/// Longest text in one result, in UTF-16 units of its JSON form: above 50,000 Claude Code replaces a result by a preview.
pub(super) const PAGE_UNITS: usize = 44_000;

/// The end of the longest page of `text` that fits into one result of `room` bytes, in bytes.
pub(super) fn page_end(text: &str, room: usize) -> usize {
    let (mut units, mut bytes) = (0, 0);
    for (count, (at, c)) in text.char_indices().enumerate() {
        let escaped = match c {
            '"' | '\\' | '\n' | '\t' | '\r' => Some(2),
            c if c < ' ' => Some(6),
            _ => None,
        };
        units += escaped.unwrap_or_else(|| c.len_utf16());
        bytes += escaped.unwrap_or_else(|| c.len_utf8());
        // The first character is given whatever the room: a page makes progress.
        if at > 0 && (count >= PAGE || units > PAGE_UNITS || bytes > room) {
            return at;
        }
    }
    text.len()
}

/// A part of a message that fits into one result.
pub(super) fn part(
    cx: &Context,
    store: &mut Store,
    own: &TerminalId,
    id: MessageId,
    offset: usize,
    room: usize,
) -> Result<inbox::Part> {
    let message = store.read(|tx| tx.message(id))?;
    let limit = message
        .as_ref()
        .and_then(|m| m.body.get(offset..))
        .map_or(PAGE, |rest| rest[..page_end(rest, room)].chars().count());
    inbox::read_part(cx, store, own, id, offset, limit)
}

pub(super) fn shown(message: &Message, text: &str, offset: usize, next: Option<usize>) -> Value {
    json!({
        "message_id": message.id, "from": text::header_name(&message.sender_name), "sender_id": message.sender.to_string(),
        "kind": if message.order { "order" } else { "note from a peer" }, "again": message.again,
        "queued_at": crate::domain::time::text(message.queued_at), "body": text, "offset": offset, "next": next,
    })
}

/// The result of a handoff whose answer was taken.
pub(super) fn result(handoff: &Handoff, room: usize) -> Value {
    let answer = handoff.answer.as_deref().unwrap_or_default();
    let end = page_end(answer, room);
    let message = match handoff.status {
        HandoffStatus::Done => "The worker answered and was closed.",
        HandoffStatus::Timeout => {
            "The worker did not finish in its time and is still there: wait for it with wait, read it with get_output, or close it with close_terminal."
        }
        HandoffStatus::Error | HandoffStatus::Running => {
            "The worker failed and was left as it is: look at it with get_output, or close it with close_terminal."
        }
    };
    let mut value = json!({
        "success": handoff.status == HandoffStatus::Done, "status": handoff.status.as_str(), "output": &answer[..end],
        "terminal_id": handoff.worker, "handoff_id": handoff.id, "message": message,
    });
    if end < answer.len() {
        value["more"] = json!(true);
        value["next"] = json!(end);
    }
    value
}

/// A result about a terminal, with its worktree and what its caller does about that.
pub(super) fn with_worktree(
    store: &mut Store,
    id: &TerminalId,
    mut result: Value,
) -> Result<Value> {
    let terminal = store.read(|tx| tx.terminal(id))?;
    let found = terminal.and_then(|t| Some((t.alive(), t.worktree?)));
    let (path, branch) = match &found {
        Some((_, worktree)) => (worktree.path.as_deref(), worktree.branch.as_deref()),
        None => (None, None),
    };
    result["worktree"] = json!(path.map(|path| path.to_string_lossy()));
    result["branch"] = json!(branch);
    if let Some((alive, worktree)) = &found {
        let said = result["message"].as_str().map(|said| format!("{said} "));
        let words = words(*alive, worktree);
        result["message"] = json!(said.unwrap_or_default() + &words);
    }
    Ok(result)
}

fn words(alive: bool, worktree: &Worktree) -> String {
    let branch = worktree.branch.as_deref().unwrap_or_default();
    if alive {
        let line = worktree.line(true);
        return format!(
            "It works in the git worktree {line}: merge that branch to take its commits over."
        );
    }
    if !worktree.is_there() {
        return "Its git worktree held nothing that is not elsewhere, and was removed with its branch.".to_owned();
    }
    let stays = worktree.stays();
    format!(
        "Its work is not lost: {stays}. Take commits over with `git merge {branch}`; close_terminal then removes what has become superfluous."
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pages_fit_and_make_progress(text in "[a\"\\\\\n\u{1F600}中]{0,400}", room in 10usize..100_000) {
            let long = text.repeat(200);
            let end = page_end(&long, room);
            prop_assert!(long.is_char_boundary(end));
            prop_assert!(long.is_empty() || end > 0);
            let page = &long[..end];
            prop_assert!(page.chars().count() <= PAGE);
            let json = serde_json::to_string(page).unwrap();
            prop_assert!(json.encode_utf16().count() <= PAGE_UNITS + 2);
            prop_assert!(json.len() <= room + 2);
        }
    }
}
