//! Our text in the status line, and the counts that it shows.
//!
//! The text is a format that shows one user option; data in the option is not expanded by tmux.

use super::client::Tmux;
use super::command::CommandList;
use super::error::Error;
use super::look::{self, Look};
use serde::Serialize;
use std::path::Path;
use unicode_width::UnicodeWidthStr;

/// What stands in the status line: the segment between two spaces, or nothing.
pub const SEGMENT: &str = "#{?@conductor_segment, #{@conductor_segment} ,}";
/// What a user writes where the segment shall stand.
pub const TOKEN: &str = "#{conductor_status}";
/// `status-right-length` before we raised it, and the value that we gave it.
const LENGTH: &str = "@conductor_right_length";
/// The largest `status-right-length` that tmux takes.
const MAX_LENGTH: usize = 32_767;

/// How our text came into an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// It replaced the user's token.
    Token,
    /// It was put in front.
    Front,
}

impl Place {
    /// The word that is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Front => "front",
        }
    }

    /// Parses the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Token, Self::Front]
            .into_iter()
            .find(|place| place.as_str() == text)
    }
}

/// `status-left` and `status-right`, and how our text came into them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusLine {
    /// `status-left`.
    pub left: String,
    /// `status-right`.
    pub right: String,
    /// Our text in `status-left`.
    pub left_place: Option<Place>,
    /// Our text in `status-right`.
    pub right_place: Option<Place>,
}

fn without(value: &str, place: Option<Place>) -> String {
    let instead = match place {
        Some(Place::Token) => TOKEN,
        Some(Place::Front) | None => "",
    };
    value.replace(SEGMENT, instead)
}

fn settle(value: &mut String, place: &mut Option<Place>) {
    if value.contains(TOKEN) {
        if *place == Some(Place::Front) {
            *value = without(value, *place);
        }
        *value = value.replace(TOKEN, SEGMENT);
        *place = Some(Place::Token);
    } else if *place == Some(Place::Front) {
        *value = without(value, *place);
        *place = None;
    }
}

impl StatusLine {
    /// Forgets places where our text no longer stands, and guesses where it stands unremembered.
    fn checked(mut self) -> Self {
        let guess = |value: &str, place: Option<Place>, in_front: bool| {
            value.contains(SEGMENT).then(|| {
                place.unwrap_or(if in_front && value.starts_with(SEGMENT) {
                    Place::Front
                } else {
                    Place::Token
                })
            })
        };
        self.left_place = guess(&self.left, self.left_place, false);
        self.right_place = guess(&self.right, self.right_place, true);
        self
    }

    /// With our text: where the token stands, else where it already is, else in front of `status-right`.
    #[must_use]
    pub fn with_segment(self) -> Self {
        let mut line = self.checked();
        if line.left.contains(TOKEN) || line.right.contains(TOKEN) {
            settle(&mut line.left, &mut line.left_place);
            settle(&mut line.right, &mut line.right_place);
        } else if !line.shows() {
            line.right.insert_str(0, SEGMENT);
            line.right_place = Some(Place::Front);
        }
        line
    }

    /// Without our text, wherever it stands, and with the token where it replaced one.
    #[must_use]
    pub fn without_segment(self) -> Self {
        let line = self.checked();
        Self {
            left: without(&line.left, line.left_place),
            right: without(&line.right, line.right_place),
            left_place: None,
            right_place: None,
        }
    }

    /// Whether our text stands in it.
    pub fn shows(&self) -> bool {
        self.left.contains(SEGMENT) || self.right.contains(SEGMENT)
    }

    /// Sets what differs from `before`.
    pub fn set_list(&self, before: &Self) -> CommandList {
        let mut list = CommandList::new();
        for (name, new, old) in [
            ("status-left", &self.left, &before.left),
            ("status-right", &self.right, &before.right),
        ] {
            if new != old {
                list = list.then(["set-option", "-g", "--", name, new]);
            }
        }
        list
    }
}

/// What waits on a server, for its status line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Approvals that wait for a decision.
    pub pending: u64,
    /// Messages that wait for delivery.
    pub unread: u64,
    /// Agents that wait for a person.
    pub waiting: u64,
    /// Agents whose last turn failed.
    pub error: u64,
    /// Notes that wait for a person.
    pub notes: u64,
    /// Terminals that live.
    pub live: u64,
}

impl Counts {
    /// In the order of the segment.
    const fn shown(&self) -> [u64; 5] {
        [
            self.pending,
            self.waiting,
            self.unread,
            self.error,
            self.notes,
        ]
    }
}

/// The command that prints a global option's value, and nothing when it is not set.
pub(super) fn global(name: &str) -> Vec<String> {
    ["show-options", "-gqv", name].map(str::to_owned).to_vec()
}

/// What each of `commands` printed, read in one step of the server.
///
/// Values may hold anything, newlines too, so each is followed by a line that no value has. That line is not ASCII: a tmux client that
/// replaces what it takes for unprintable destroys it as well, and the read fails instead of giving wrong values.
pub(super) fn sections(tmux: &Tmux, commands: &[Vec<String>]) -> Result<Vec<String>, Error> {
    let nonce = crate::fsx::random_bytes::<8>()
        .map(|bytes| crate::fsx::hex(&bytes))
        .map_err(|e| Error::Run(format!("random bytes: {e}")))?;
    let mark = format!("⏳{nonce}");
    let first = CommandList::new().then(["display-message", "-p", &format!("#{{version}}{mark}")]);
    let list = commands.iter().fold(first, |list, command| {
        list.then(command).then(["display-message", "-p", &mark])
    });
    let text = tmux.run(&list)?;
    let line = format!("{mark}\n");
    let mut parts = text.split(line.as_str());
    let version = parts.next();
    let mut parts: Vec<String> = parts
        .map(|part| match version {
            Some("3.4") => without_added_backslashes(part),
            _ => part.to_owned(),
        })
        .collect();
    parts.pop();
    if parts.len() == commands.len() {
        Ok(parts)
    } else {
        Err(Error::Unexpected {
            asked: "options (does the tmux client print UTF-8?)",
            answer: crate::domain::text::one_line(&text),
        })
    }
}

/// What tmux 3.4 prints has one backslash too many before each `$` that a letter, `_` or `{` follows.
fn without_added_backslashes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '$'
            && letters
                .peek()
                .is_some_and(|next| next.is_ascii_alphabetic() || matches!(next, '_' | '{'))
            && plain.ends_with('\\')
        {
            plain.pop();
        }
        plain.push(letter);
    }
    plain
}

fn value(section: &str) -> &str {
    section.strip_suffix('\n').unwrap_or(section)
}

impl Tmux {
    /// The values of global options; none where one is not set.
    pub fn globals<const N: usize>(&self, names: [&str; N]) -> Result<[Option<String>; N], Error> {
        let read = sections(self, &names.map(global))?;
        let mut read = read.into_iter();
        Ok(names.map(|_| {
            read.next()
                .filter(|section| !section.is_empty())
                .map(|section| value(&section).to_owned())
        }))
    }

    /// Whether the global `status-format` draws the option that has our text, or the segment itself; tmux's own does.
    pub fn draws(&self, line: &StatusLine) -> Result<bool, Error> {
        let format = ["show-options", "-g", "status-format"].map(str::to_owned);
        let drawn = sections(self, &[format.to_vec()])?.concat();
        let has = |value: &str, name: &str| value.contains(SEGMENT) && drawn.contains(name);
        Ok(drawn.contains("@conductor_segment")
            || has(&line.left, "status-left")
            || has(&line.right, "status-right"))
    }

    /// Shows `counts`: sets the options that differ in one list, and gives `status-right` room for the segment while it shows one there.
    pub fn show_counts(&self, home: &Path, counts: &Counts) -> Result<(), Error> {
        let look = Look::of(self.globals(look::OPTIONS)?);
        let wanted = [
            ("@conductor_pending", counts.pending.to_string()),
            ("@conductor_unread", counts.unread.to_string()),
            ("@conductor_waiting", counts.waiting.to_string()),
            ("@conductor_notes", counts.notes.to_string()),
            ("@conductor_live", counts.live.to_string()),
            ("@conductor_waits", u64::from(counts.unread > 0).to_string()),
            ("@conductor_segment", look.segment(counts.shown())),
        ];
        // Without the plugin nobody shows them, and nobody would take them out again; one that another state directory loaded shows its own.
        let [
            loaded,
            owner,
            pending,
            unread,
            waiting,
            notes,
            live,
            waits,
            segment,
            right,
            length,
            memo,
        ] = self.globals([
            super::hooks::LOADED,
            "@conductor_home",
            wanted[0].0,
            wanted[1].0,
            wanted[2].0,
            wanted[3].0,
            wanted[4].0,
            wanted[5].0,
            wanted[6].0,
            "status-right",
            "status-right-length",
            LENGTH,
        ])?;
        if loaded.is_none() || owner.is_none_or(|owner| Path::new(&owner) != home) {
            return Ok(());
        }
        let mut list = CommandList::new();
        for ((name, new), old) in wanted
            .iter()
            .zip([pending, unread, waiting, notes, live, waits, segment])
        {
            if old.as_ref() != Some(new) {
                list = list.then(["set-option", "-g", name, new]);
            }
        }
        let text = look.plain(counts.shown());
        let room = if !text.is_empty() && right.is_some_and(|right| right.contains(SEGMENT)) {
            text.width() + 2
        } else {
            0
        };
        list = list.append(length_list(length.as_deref(), memo.as_deref(), room));
        if list.is_empty() {
            return Ok(());
        }
        self.run(&list).map(drop)
    }

    /// Takes back the room that [`Tmux::show_counts`] made, if nobody has changed it since.
    pub fn release_length(&self) -> Result<(), Error> {
        let [length, memo] = self.globals(["status-right-length", LENGTH])?;
        let list = length_list(length.as_deref(), memo.as_deref(), 0);
        if list.is_empty() {
            return Ok(());
        }
        self.run(&list).map(drop)
    }
}

fn length_list(length: Option<&str>, memo: Option<&str>, room: usize) -> CommandList {
    let mut list = CommandList::new();
    let Some(length) = length.and_then(|length| length.parse::<usize>().ok()) else {
        return list;
    };
    let before = memo
        .and_then(|memo| memo.split_once(' '))
        .filter(|(_, ours)| ours.parse() == Ok(length))
        .and_then(|(before, _)| before.parse::<usize>().ok());
    let base = before.unwrap_or(length);
    let wanted = (base + room).min(MAX_LENGTH.max(base));
    if wanted != length {
        list = list.then([
            "set-option",
            "-g",
            "status-right-length",
            &wanted.to_string(),
        ]);
    }
    let remember = format!("{base} {wanted}");
    if wanted == base {
        if memo.is_some() {
            list = list.then(["set-option", "-gu", LENGTH]);
        }
    } else if memo != Some(remember.as_str()) {
        list = list.then(["set-option", "-g", LENGTH, &remember]);
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(left: &str, right: &str) -> StatusLine {
        StatusLine {
            left: left.to_owned(),
            right: right.to_owned(),
            left_place: None,
            right_place: None,
        }
    }

    proptest! {
        #[test]
        fn what_is_put_in_is_taken_out(parts in proptest::collection::vec(
            prop_oneof![any::<String>(), Just(TOKEN.to_owned()), "[#{}?,@c]{0,6}"], 0..6
        ), split in 0_usize..6) {
            let (left, right) = parts.split_at(split.min(parts.len()));
            let before = line(&left.concat(), &right.concat());
            let with = before.clone().with_segment();
            prop_assert!(with.shows());
            prop_assert!(!with.left.contains(TOKEN) && !with.right.contains(TOKEN));
            prop_assert_eq!(with.clone().with_segment(), with.clone());
            prop_assert_eq!(with.without_segment(), before);
        }
    }

    #[test]
    fn a_token_that_comes_later_moves_the_segment() {
        let mut with = line("left", "right").with_segment();
        assert_eq!(with.right_place, Some(Place::Front));
        with.left = format!("{TOKEN} left");
        let moved = with.with_segment();
        assert_eq!(moved.left, format!("{SEGMENT} left"));
        assert_eq!(moved.right, "right");
        assert_eq!(moved.without_segment().left, format!("{TOKEN} left"));
    }

    #[test]
    fn the_length_is_ours_only_while_nobody_changed_it() {
        let argv = |length, memo, room| length_list(Some(length), memo, room).argv().join(" ");
        assert_eq!(argv("40", None, 0), "");
        assert_eq!(
            argv("40", None, 5),
            "set-option -g status-right-length 45 ; set-option -g @conductor_right_length 40 45"
        );
        assert_eq!(argv("45", Some("40 45"), 5), "");
        assert_eq!(
            argv("45", Some("40 45"), 0),
            "set-option -g status-right-length 40 ; set-option -gu @conductor_right_length"
        );
        assert_eq!(
            argv("60", Some("40 45"), 0),
            "set-option -gu @conductor_right_length"
        );
        assert_eq!(argv("odd", Some("40 45"), 7), "");
    }

    #[test]
    fn backslashes_that_tmux_adds_are_taken_back() {
        assert_eq!(
            without_added_backslashes("\\$HOME \\\\$H $( $1 \\${x} \\$ a\\b"),
            "$HOME \\$H $( $1 ${x} \\$ a\\b"
        );
    }
}
