//! Entries that fit on a client, and the way to those that do not.

use crate::tmux::prompt::Entry;

/// Letters that choose an entry: not those that move in a menu or close it.
const LETTERS: &str = "abcdefhilmnoprstuvwxyz";

/// The key that turns the page.
const TURN: char = '.';

/// Something to choose, or words that cannot be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::commands) struct Item {
    group: Option<String>,
    key: Option<char>,
    text: String,
    arguments: Option<String>,
}

impl Item {
    /// Runs `menu` of our binary with these arguments, the menu's name first.
    pub(in crate::commands) fn new(text: &str, arguments: &str) -> Self {
        Self {
            group: None,
            key: None,
            text: text.to_owned(),
            arguments: Some(arguments.to_owned()),
        }
    }

    /// Words that cannot be chosen.
    pub(in crate::commands) fn words(text: &str) -> Self {
        Self {
            arguments: None,
            ..Self::new(text, "")
        }
    }

    /// With a key of its own; the others get letters, as far as there are any.
    #[must_use]
    pub(in crate::commands) const fn with_key(mut self, key: char) -> Self {
        self.key = Some(key);
        self
    }

    /// Under a line with the name of its group.
    #[must_use]
    pub(in crate::commands) fn under(mut self, group: &str) -> Self {
        self.group = Some(group.to_owned());
        self
    }
}

/// Where a page begins: `+N` as the last word.
pub(in crate::commands) fn offset(words: &[String]) -> usize {
    let word = words.last().and_then(|word| word.strip_prefix('+'));
    word.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// The page of `items` that begins with number `from` and has at most `room` entries; `menu` shows another page when `+N` follows it.
pub(in crate::commands) fn pages(
    items: &[Item],
    from: usize,
    room: usize,
    menu: &str,
) -> Vec<Entry> {
    let from = if from < items.len() { from } else { 0 };
    let rows = |at: usize| {
        let group = items[at].group.as_ref();
        let before = at.checked_sub(1).filter(|before| *before >= from);
        let same = before.is_some_and(|before| items[before].group.as_ref() == group);
        1 + usize::from(group.is_some() && !same)
    };
    let all: usize = (from..items.len()).map(rows).sum();
    let turns = from > 0 || all > room;
    let left = room.saturating_sub(usize::from(turns));
    let (mut end, mut used) = (from, 0);
    while end < items.len() && (used + rows(end) <= left || end == from) {
        used += rows(end);
        end += 1;
    }
    let own: Vec<char> = items[from..end]
        .iter()
        .filter_map(|item| item.key)
        .collect();
    let mut letters = LETTERS.chars().filter(|letter| !own.contains(letter));
    let mut entries = Vec::new();
    for (at, item) in items.iter().enumerate().take(end).skip(from) {
        if rows(at) > 1
            && let Some(group) = &item.group
        {
            entries.push(Entry::Words(group.clone()));
        }
        let Some(arguments) = &item.arguments else {
            entries.push(Entry::Words(item.text.clone()));
            continue;
        };
        let entry = Entry::new(&item.text, arguments);
        entries.push(match item.key.or_else(|| letters.next()) {
            Some(key) => entry.with_key(key),
            None => entry,
        });
    }
    if end < items.len() {
        let text = format!("More: {} …", items.len() - end);
        entries.push(Entry::new(&text, &format!("{menu} +{end}")).with_key(TURN));
    } else if turns {
        entries.push(Entry::new("From the start …", &format!("{menu} +0")).with_key(TURN));
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_fits_is_one_page() {
        let items = [
            Item::new("one", "do 1"),
            Item::new("two", "do 2").with_key('a'),
            Item::words("three"),
        ];
        let entries = pages(&items, 0, 3, "list");
        assert_eq!(
            entries,
            [
                Entry::new("one", "do 1").with_key('b'),
                Entry::new("two", "do 2").with_key('a'),
                Entry::Words("three".into()),
            ]
        );
        let entries = pages(&items, 0, 2, "list");
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[1], Entry::new("More: 2 …", "list +1").with_key('.'));
        assert_eq!(offset(&["x".into(), "+12".into()]), 12);
        assert_eq!(offset(&["12".into()]), 0);
    }

    proptest! {
        #[test]
        fn every_item_is_on_one_page(groups in prop::collection::vec(0..4_u8, 0..120), room in 4..31_usize) {
            let mut groups = groups;
            groups.sort_unstable();
            let items: Vec<Item> = groups
                .iter()
                .enumerate()
                .map(|(at, group)| Item::new("x", &format!("do {at}")).under(&group.to_string()))
                .collect();
            let (mut from, mut seen) = (0, 0);
            loop {
                let page = pages(&items, from, room, "list");
                prop_assert!(page.len() <= room);
                let mut next = 0;
                let mut keys = Vec::new();
                for entry in &page {
                    if let Entry::Run { arguments, key, .. } = entry {
                        keys.extend(*key);
                        if let Some(to) = arguments.strip_prefix("list +") {
                            next = to.parse().unwrap();
                        } else {
                            prop_assert_eq!(arguments, &format!("do {seen}"));
                            seen += 1;
                        }
                    }
                }
                let count = keys.len();
                keys.sort_unstable();
                keys.dedup();
                prop_assert_eq!(keys.len(), count, "a key twice");
                if next == 0 {
                    break;
                }
                prop_assert!(next > from);
                from = next;
            }
            prop_assert_eq!(seen, items.len());
        }
    }
}
