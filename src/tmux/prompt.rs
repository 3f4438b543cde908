//! Menus over one client, questions, and a line that a person types into tmux's own prompt.
//!
//! Each is run by a tmux client of its own, which ends when it is closed. In the queue of the person's client (a key's own command,
//! `run-shell -b -C`) all timers of the server would wait for it, and with them the Enter of every message.
//!
//! What was typed never stands in a shell line: tmux stores it in an option, quoted by tmux itself, and the helper reads it from there. A number in front of it tells which prompt it is from, so that nobody sends what another client typed.

use super::client::Tmux;
use super::command::{CommandList, quoted};
use super::error::Error;
use super::timer::helper;
use super::viewers::Viewer;
use std::process::Command;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The option that holds what was typed, behind the number of the prompt.
pub const TYPED: &str = "@conductor_in";

/// Where tmux puts what was typed, with everything escaped that would end a double-quoted word.
const LINE: &str = "%1%";

/// The same for tmux 3.3, which replaces twice, the second time in what was typed: a `%%` there would be replaced by all of it without
/// escapes. Only the second time knows `%2%`, and nothing reads its result again.
const LINE_OF_3_3: &str = "%2%";

/// Widest entry of a menu, in columns.
const WIDEST: usize = 70;

/// Most entries of a menu: what one tmux client can send, whatever is in them.
const MOST_ENTRIES: usize = 30;

/// Columns of a menu beside the words of its entries: the frame, and the key. tmux 3.2 shows no menu that is wider than the client.
const FRAME: usize = 12;

/// Rows of a client that a menu leaves free: its frame, and the status line.
const AROUND: usize = 4;

/// The smallest menu: tmux shows none that does not fit, and says nothing.
const SMALLEST: (usize, usize) = (30, 8);

/// Longest menu in bytes: one tmux client can send it.
const MOST_BYTES: usize = CommandList::MAX_BYTES - 300;

/// One line of a menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Runs `menu` of our binary with these arguments, which are ids, numbers and fixed words; the client's name stands behind the first.
    Run {
        /// What is shown; any text.
        text: String,
        /// The key that chooses it.
        key: Option<char>,
        /// The arguments, the menu's name first.
        arguments: String,
    },
    /// Words that cannot be chosen; any text.
    Words(String),
}

impl Entry {
    /// An entry without a key.
    pub fn new(text: &str, arguments: &str) -> Self {
        Self::Run {
            text: text.to_owned(),
            key: None,
            arguments: arguments.to_owned(),
        }
    }

    /// With a key.
    #[must_use]
    pub fn with_key(mut self, letter: char) -> Self {
        if let Self::Run { key, .. } = &mut self {
            *key = Some(letter);
        }
        self
    }
}

/// `text` as the words of a menu: one line, not too wide, with nothing that tmux would expand. (Times are not expanded in menus.)
fn words(text: &str, widest: usize) -> String {
    let line = cut(text, widest);
    let mut shown = String::new();
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter != '#' {
            shown.push(letter);
            continue;
        }
        let mut signs = 1;
        while letters.next_if_eq(&'#').is_some() {
            signs += 1;
        }
        // Two are one when they are expanded, and again when they are drawn; in front of `[` only when they are drawn.
        let each = if letters.peek() == Some(&'[') { 2 } else { 4 };
        shown.push_str(&"#".repeat(signs * each));
    }
    shown
}

/// The first line of `text`, in so many columns.
fn cut(text: &str, widest: usize) -> String {
    let line = crate::domain::text::one_line(text);
    if line.width() <= widest {
        return line;
    }
    let mut used = 1;
    let mut short: String = line
        .chars()
        .take_while(|letter| {
            used += letter.width().unwrap_or(0);
            used <= widest
        })
        .collect();
    short.push('…');
    short
}

/// The tmux command that runs `menu` of our binary for a client; formats in it are expanded when it runs.
fn run(viewer: &Viewer, arguments: &str) -> String {
    let (name, rest) = arguments.split_once(' ').unwrap_or((arguments, ""));
    let line = helper(&format!("menu {name} {} {rest}", viewer.name));
    format!("run-shell -b {}", quoted(&line))
}

fn menu(viewer: &Viewer, title: &str, entries: &[Entry]) -> CommandList {
    let widest = WIDEST.min(viewer.columns.saturating_sub(FRAME));
    let title = words(title, widest);
    let mut command = vec!["display-menu".to_owned()];
    if viewer.mouse_in_menus() {
        command.push("-M".to_owned());
    }
    command.extend(["-T", &title, "-c", &viewer.name, "--"].map(str::to_owned));
    let mut bytes: usize = command.iter().map(|word| word.len() + 1).sum();
    for entry in entries {
        // In front of a text that begins with `-` the entry would be dim.
        let bright = |text: &str| {
            let shown = words(text, widest);
            let rest = shown.strip_prefix('-').map(|rest| format!("−{rest}"));
            rest.unwrap_or(shown)
        };
        let part = match entry {
            Entry::Words(text) => vec![
                format!("-{}", words(text, widest)),
                String::new(),
                String::new(),
            ],
            Entry::Run {
                text,
                key,
                arguments,
            } => vec![
                bright(text),
                key.map(String::from).unwrap_or_default(),
                // The menu expands it once when it is made.
                run(viewer, arguments).replace('#', "##"),
            ],
        };
        bytes += part.iter().map(|word| word.len() + 2).sum::<usize>();
        if bytes > MOST_BYTES {
            break;
        }
        command.extend(part);
    }
    CommandList::new().then(command)
}

fn ask(viewer: &Viewer, question: &str, number: &str, arguments: &str) -> CommandList {
    let line = if viewer.version.starts_with("3.3") {
        LINE_OF_3_3
    } else {
        LINE
    };
    let then = format!(
        "set-option -g {TYPED} \"{number} {line}\" ; {}",
        run(viewer, &format!("{arguments} {number}"))
    );
    let words = ["-t", &viewer.name, "-p", question, &then];
    CommandList::new().then(asking(viewer, "command-prompt", &words))
}

/// Asks again with what was typed before: tmux takes it from the option, and expands nothing in it.
fn ask_again(
    viewer: &Viewer,
    question: &str,
    (before, number): (&str, &str),
    arguments: &str,
) -> CommandList {
    let mut words = ask(viewer, question, number, arguments).argv().to_vec();
    let typed = format!("#{{s/^[^ ]* //:{TYPED}}}");
    words.splice(1..1, ["-I".to_owned(), typed]);
    CommandList::new().then(words).then(forget(before))
}

/// Forgets what was typed into prompt `number`, unless another prompt's line has taken its place.
fn forget(number: &str) -> [String; 4] {
    let number: String = number.chars().filter(char::is_ascii_hexdigit).collect();
    let ours = format!("#{{m:{number} *,#{{{TYPED}}}}}");
    let unset = format!("set-option -gu {TYPED}");
    ["if-shell".to_owned(), "-F".to_owned(), ours, unset]
}

fn confirm(viewer: &Viewer, question: &str, arguments: &str) -> CommandList {
    let question = format!("{question} (y/n)");
    let then = run(viewer, arguments);
    let words = ["-t", &viewer.name, "-p", &question, &then];
    CommandList::new().then(asking(viewer, "confirm-before", &words))
}

/// A command that asks, and does not wait for the answer where it can be told so.
fn asking<'a>(viewer: &Viewer, command: &'a str, words: &[&'a str; 5]) -> Vec<&'a str> {
    let alone = viewer.asks_by_itself().then_some("-b");
    [command]
        .into_iter()
        .chain(alone)
        .chain(words.iter().copied())
        .collect()
}

impl Viewer {
    /// How many entries a menu here may have; `None` where none can be shown.
    pub fn menu_room(&self) -> Option<usize> {
        let fits = !self.control && self.columns >= SMALLEST.0 && self.rows >= SMALLEST.1;
        fits.then(|| (self.rows - AROUND).min(MOST_ENTRIES))
    }
}

impl Tmux {
    /// The tmux program that shows a menu and ends when it is closed.
    pub fn menu_command(
        &self,
        viewer: &Viewer,
        title: &str,
        entries: &[Entry],
    ) -> Result<Command, Error> {
        self.own_client(&menu(viewer, title, entries))
    }

    /// The tmux program that lets the person type a line (from tmux 3.3 on it ends at once); `menu ARGUMENTS NUMBER` of our binary runs, and [`Self::typed`] has
    /// the line. `question` is of fixed words, ids and numbers, without a comma; `number` is of digits, and no other prompt has it.
    pub fn ask_command(
        &self,
        viewer: &Viewer,
        question: &str,
        number: &str,
        arguments: &str,
    ) -> Result<Command, Error> {
        self.own_client(&ask(viewer, question, number, arguments))
    }

    /// The tmux program that asks yes or no (from tmux 3.3 on it ends at once); after a yes `menu ARGUMENTS` of our binary runs. `question` is of fixed words, ids
    /// and numbers.
    pub fn confirm_command(
        &self,
        viewer: &Viewer,
        question: &str,
        arguments: &str,
    ) -> Result<Command, Error> {
        self.own_client(&confirm(viewer, question, arguments))
    }

    /// Asks for a line again as [`Self::ask_command`] does, with what was typed into the prompt of the first number, which is forgotten.
    pub fn ask_again(
        &self,
        viewer: &Viewer,
        question: &str,
        numbers: (&str, &str),
        arguments: &str,
    ) -> Result<(), Error> {
        self.run(&ask_again(viewer, question, numbers, arguments))?;
        Ok(())
    }

    /// Forgets what was typed into prompt `number`.
    pub fn forget_typed(&self, number: &str) -> Result<(), Error> {
        self.run(&CommandList::new().then(forget(number)))?;
        Ok(())
    }

    /// What was typed into prompt `number`; `None` when another prompt's line has taken its place. It stays until it is forgotten.
    pub fn typed(&self, number: &str) -> Result<Option<String>, Error> {
        let number: String = number.chars().filter(char::is_ascii_hexdigit).collect();
        let [stored] = self.globals([TYPED])?;
        let Some(text) = stored
            .as_deref()
            .and_then(|stored| stored.strip_prefix(&format!("{number} ")))
        else {
            return Ok(None);
        };
        Ok(Some(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn viewer(version: &str) -> Viewer {
        Viewer {
            name: "/dev/pts/1".to_owned(),
            columns: 100,
            rows: 30,
            control: false,
            activity: 0,
            version: version.to_owned(),
        }
    }

    #[test]
    fn only_ids_and_fixed_words_stand_in_commands() {
        for (version, line) in [("3.2a", LINE), ("3.3a", LINE_OF_3_3), ("3.7c", LINE)] {
            let list = ask(
                &viewer(version),
                "Message for 0123abcd:",
                "07",
                "message 0123abcd",
            );
            let command = list.argv().last().unwrap();
            assert!(command.contains(&format!("\"07 {line}\"")), "{command}");
            assert!(
                command.contains("menu message /dev/pts/1 0123abcd 07)"),
                "{command}"
            );
            assert!(!command.replace(line, "").contains('%'), "{command}");
        }
        let list = confirm(&viewer("3.2a"), "Stop?", "stop yes");
        assert_eq!(list.argv()[4], "Stop? (y/n)");
        assert!(list.argv()[5].contains("menu stop /dev/pts/1 yes)"));
    }

    #[test]
    fn an_entry_is_one_short_line() {
        assert_eq!(words("a\nb %H #(x)", WIDEST), "a⏎b %H ####(x)");
        assert_eq!(words("#[red]##[x]##", WIDEST), "##[red]####[x]########");
        assert_eq!(words("abcde", 5), "abcde");
        assert_eq!(words("abcdef", 5), "abcd…");
        assert_eq!(words("ab日本", 5), "ab日…");
        assert!(words(&"日".repeat(90), 70).chars().count() < 40);
        let entries = [
            Entry::new("-dim", "note 1").with_key('1'),
            Entry::Words("in; home;".to_owned()),
        ];
        let list = menu(&viewer("3.4"), "t", &entries);
        let words = &list.argv()[6..];
        assert_eq!((&*words[0], &*words[1]), ("−dim", "1"));
        assert_eq!(&words[3..], ["-in; home\\;", "", ""]);
        let many = vec![Entry::new(&"#".repeat(70), "note 1"); 99];
        let list = menu(&viewer("3.4"), &"#".repeat(70), &many);
        assert!(list.bytes() <= CommandList::MAX_BYTES);
        let most = vec![Entry::new(&"\u{1f600}".repeat(35), "agent 0123abcd approvals"); 30];
        let list = menu(&viewer("3.5a"), "t", &most);
        assert_eq!(list.argv().len(), 7 + 3 * MOST_ENTRIES, "all of them fit");
    }

    #[test]
    fn a_menu_is_shown_where_it_fits() {
        let mut small = viewer("3.4");
        assert_eq!(small.menu_room(), Some(26));
        small.rows = 24;
        assert_eq!(small.menu_room(), Some(20));
        small.rows = 200;
        assert_eq!(small.menu_room(), Some(MOST_ENTRIES));
        small.columns = 29;
        assert_eq!(small.menu_room(), None);
        let control = Viewer {
            control: true,
            ..viewer("3.4")
        };
        assert_eq!(control.menu_room(), None);
    }

    proptest! {
        #[test]
        fn no_text_ends_its_word(text in any::<String>()) {
            let plain = menu(&viewer("3.4"), "t", &[Entry::new("x", "note 1"), Entry::Words("y".into())]);
            let list = menu(&viewer("3.4"), &text, &[Entry::new(&text, "note 1"), Entry::Words(text.clone())]);
            prop_assert_eq!(list.argv().len(), plain.argv().len());
            for (at, (word, other)) in list.argv().iter().zip(plain.argv()).enumerate() {
                if [2, 6, 9].contains(&at) {
                    prop_assert!(!word.replace("##", "").contains('#'));
                    prop_assert!(!word.ends_with(';') || word.ends_with("\\;"));
                    prop_assert!(at == 2 || word.starts_with('-') == (at == 9));
                } else {
                    prop_assert_eq!(word, other);
                }
            }
        }
    }
}
