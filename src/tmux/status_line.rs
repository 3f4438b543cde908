//! What the status line shows: user options, set only when they change.

use super::command::CommandList;

/// The commands that set the counts and the segment.
pub fn counts_list(pending: i64, unread: i64, waiting: i64, error: i64, live: i64) -> CommandList {
    let mut parts = Vec::new();
    for (sign, count) in [("⏳", pending), ("?", waiting), ("✉", unread), ("⚠", error)] {
        if count > 0 {
            parts.push(format!("{sign}{count}"));
        }
    }
    let set = |name: &str, value: String| {
        [
            "set-option".to_owned(),
            "-g".to_owned(),
            name.to_owned(),
            value,
        ]
    };
    CommandList::new()
        .then(set("@conductor_pending", pending.to_string()))
        .then(set("@conductor_unread", unread.to_string()))
        .then(set("@conductor_waiting", waiting.to_string()))
        .then(set("@conductor_live", live.to_string()))
        .then(set("@conductor_waits", i64::from(unread > 0).to_string()))
        .then(set("@conductor_segment", parts.join(" ")))
}
