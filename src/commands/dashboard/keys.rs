//! The keys of the dashboard: one table for what they do, the help, and the documentation.

use crate::term::{Key, Move};

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Down,
    Up,
    First,
    Last,
    PageDown,
    PageUp,
    Jump,
    Approve,
    Deny,
    Message,
    Close,
    Resume,
    Next,
    Filter,
    Ended,
    Turn,
    Help,
    Quit,
}

/// One line of the table.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) act: Act,
    /// The keys.
    pub(super) keys: &'static [Key],
    /// Their names, for people.
    pub(super) shown: &'static str,
    /// What they do, for people.
    pub(super) note: &'static str,
    /// One word, for the last row of the screen.
    pub(super) word: Option<&'static str>,
}

const fn binding(
    act: Act,
    keys: &'static [Key],
    shown: &'static str,
    note: &'static str,
    word: Option<&'static str>,
) -> Binding {
    Binding {
        act,
        keys,
        shown,
        note,
        word,
    }
}

/// The keys of this release, while nothing is asked or written.
pub(super) static KEYS: [Binding; 18] = [
    binding(
        Act::Down,
        &[Key::Char('j'), Key::Move(Move::Down)],
        "j, Down",
        "the next agent (the wheel too)",
        None,
    ),
    binding(
        Act::Up,
        &[Key::Char('k'), Key::Move(Move::Up)],
        "k, Up",
        "the agent before (the wheel too)",
        None,
    ),
    binding(
        Act::First,
        &[Key::Char('g'), Key::Move(Move::Home)],
        "g, Home",
        "the first agent",
        None,
    ),
    binding(
        Act::Last,
        &[Key::Char('G'), Key::Move(Move::End)],
        "G, End",
        "the last agent",
        None,
    ),
    binding(
        Act::PageDown,
        &[Key::Move(Move::PageDown)],
        "PageDown",
        "read on in the details",
        None,
    ),
    binding(
        Act::PageUp,
        &[Key::Move(Move::PageUp)],
        "PageUp",
        "read back in the details",
        None,
    ),
    binding(
        Act::Jump,
        &[Key::Enter],
        "Enter",
        "go to its pane",
        Some("go there"),
    ),
    binding(
        Act::Approve,
        &[Key::Char('a')],
        "a",
        "read what it asks for, and approve",
        Some("approve"),
    ),
    binding(
        Act::Deny,
        &[Key::Char('x')],
        "x",
        "deny what it asks for",
        Some("deny"),
    ),
    binding(
        Act::Message,
        &[Key::Char('m')],
        "m",
        "write to it (Alt-Enter: a new line)",
        Some("message"),
    ),
    binding(
        Act::Next,
        &[Key::Char('n')],
        "n",
        "the next agent that needs you",
        Some("next"),
    ),
    binding(
        Act::Filter,
        &[Key::Char('/')],
        "/",
        "show only agents with this text",
        Some("filter"),
    ),
    binding(
        Act::Close,
        &[Key::Char('c')],
        "c",
        "end it (asks first)",
        None,
    ),
    binding(
        Act::Resume,
        &[Key::Char('r')],
        "r",
        "take up an ended agent's conversation",
        None,
    ),
    binding(
        Act::Ended,
        &[Key::Char('e')],
        "e",
        "show or hide agents that ended",
        None,
    ),
    binding(
        Act::Turn,
        &[Key::Char('\t')],
        "Tab",
        "on a narrow screen: details or tree",
        None,
    ),
    binding(
        Act::Quit,
        &[Key::Char('q'), Key::Esc, Key::CtrlC, Key::CtrlD],
        "q, Esc",
        "leave (Esc first drops the filter)",
        Some("leave"),
    ),
    binding(
        Act::Help,
        &[Key::Char('?')],
        "?",
        "these keys",
        Some("keys"),
    ),
];

/// What `key` asks for.
pub(super) fn act(key: &Key) -> Option<Act> {
    KEYS.iter()
        .find(|binding| binding.keys.contains(key))
        .map(|binding| binding.act)
}

/// The keys that the last row names.
pub(super) fn words() -> String {
    let each = KEYS.iter().filter_map(|binding| {
        let first = binding.shown.split(',').next()?;
        Some(format!("{first} {}", binding.word?))
    });
    each.collect::<Vec<_>>().join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_does_two_things() {
        let mut all: Vec<&Key> = KEYS.iter().flat_map(|binding| binding.keys).collect();
        let count = all.len();
        all.sort_by_key(|key| format!("{key:?}"));
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn the_page_has_every_key() {
        let page = std::fs::read_to_string("docs/dashboard.md").unwrap();
        let table: String = KEYS
            .iter()
            .map(|binding| format!("| {} | {} |\n", binding.shown, binding.note))
            .collect();
        assert!(page.contains(&table), "docs/dashboard.md lacks\n{table}");
    }
}
