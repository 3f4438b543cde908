//! Menus over one client, and a line that a person types into tmux's own prompt.
//!
//! What was typed never stands in a shell line: tmux stores it in an option, quoted by tmux itself, and the helper reads it from there. A number in front of it tells which prompt it is from, so that nobody sends what another client typed.

use super::client::Tmux;
use super::command::{CommandList, literal, quoted};
use super::error::Error;
use super::timer::helper;
use unicode_width::UnicodeWidthChar;

/// The option that holds what was typed, behind the number of the prompt.
pub const TYPED: &str = "@conductor_in";

/// Where tmux puts what was typed, with everything escaped that would end a double-quoted word.
const LINE: &str = "%1%";

/// The same as a format that `run-shell -C` expands. tmux 3.3 replaces twice, the second time in what was typed: a `%%` there would be
/// replaced by all of it without escapes. Only the second time knows `%2%`, and nothing reads its result again.
const LINE_OF_VERSION: &str = "#{?#{m:3.3*,#{version}},%2%,%1%}";

/// Widest entry of a menu, in columns.
const WIDEST: usize = 70;

/// Columns of a menu beside the words of its entries: the frame, and the key. tmux 3.2 shows no menu that is wider than the client.
const FRAME: usize = 12;

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
    /// A line between groups.
    Line,
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
    let line = crate::domain::text::one_line(text);
    let mut used = 0;
    let mut short = String::new();
    for letter in line.chars() {
        used += letter.width().unwrap_or(0);
        if used > widest {
            short.push('…');
            break;
        }
        short.push(letter);
    }
    literal(&short)
}

/// The tmux command that runs `menu` of our binary for a client; formats in it are expanded when it runs.
fn run(arguments: &str) -> String {
    let (name, rest) = arguments.split_once(' ').unwrap_or((arguments, ""));
    let line = helper(&format!("menu {name} #{{q:client_name}} {rest}"));
    format!("run-shell -b {}", quoted(&line))
}

fn menu(client: &str, widest: usize, title: &str, entries: &[Entry]) -> CommandList {
    let mut command = format!(
        "display-menu -T {} -c {}",
        quoted(&words(title, widest)),
        quoted(client)
    );
    let mut bytes = command.len();
    for entry in entries {
        let shown = match entry {
            Entry::Line => " \"\"".to_owned(),
            Entry::Run {
                text,
                key,
                arguments,
            } => {
                // In front of a text that begins with `-` the entry would be dim.
                let shown = words(text, widest);
                let shown = shown
                    .strip_prefix('-')
                    .map_or(shown.clone(), |rest| format!("−{rest}"));
                let key = key.map(String::from).unwrap_or_default();
                format!(
                    " {} {} {}",
                    quoted(&shown),
                    quoted(&key),
                    // The menu expands it once when it is made.
                    quoted(&run(arguments).replace('#', "##"))
                )
            }
        };
        bytes += shown.len() + shown.matches('#').count();
        if bytes > MOST_BYTES {
            break;
        }
        command.push_str(&shown);
    }
    // A client that ran it itself would wait until the menu is closed.
    CommandList::new().then(["run-shell", "-b", "-C", &command.replace('#', "##")])
}

fn ask(client: &str, question: &str, number: &str, arguments: &str) -> CommandList {
    let then = format!(
        "set-option -g {TYPED} \"{number} {LINE}\" ; {}",
        run(&format!("{arguments} {number}"))
    );
    let command = format!(
        "command-prompt -t {} -p {} {}",
        quoted(client),
        quoted(question),
        quoted(&then)
    );
    let command = command.replace('#', "##").replace(LINE, LINE_OF_VERSION);
    CommandList::new().then(["run-shell", "-b", "-C", &command])
}

impl Tmux {
    /// How many entries a menu on `client` may have; tmux shows none that does not fit.
    pub fn menu_room(&self, client: &str) -> Result<usize, Error> {
        let height = self.of_client(client, "#{client_height}")?;
        let rows: usize = height.and_then(|rows| rows.parse().ok()).unwrap_or(24);
        // Its frame, and the status line.
        Ok(rows.saturating_sub(4))
    }

    /// Shows a menu on `client`.
    pub fn show_menu(&self, client: &str, title: &str, entries: &[Entry]) -> Result<(), Error> {
        let width = self.of_client(client, "#{client_width}")?;
        let columns: usize = width.and_then(|text| text.parse().ok()).unwrap_or(80);
        let widest = WIDEST.min(columns.saturating_sub(FRAME));
        self.run(&menu(client, widest, title, entries)).map(drop)
    }

    /// Lets the person at `client` type a line; then `menu ARGUMENTS NUMBER` of our binary runs, and [`Self::typed`] has the line. `question`
    /// is of fixed words, ids and numbers, without a comma; `number` is of digits, and no other prompt has it.
    pub fn ask(
        &self,
        client: &str,
        question: &str,
        number: &str,
        arguments: &str,
    ) -> Result<(), Error> {
        self.run(&ask(client, question, number, arguments))
            .map(drop)
    }

    /// Takes what was typed into prompt `number`; `None` when another prompt's line has taken its place.
    pub fn typed(&self, number: &str) -> Result<Option<String>, Error> {
        let number: String = number.chars().filter(char::is_ascii_hexdigit).collect();
        let [stored] = self.globals([TYPED])?;
        let Some(text) = stored
            .as_deref()
            .and_then(|stored| stored.strip_prefix(&format!("{number} ")))
        else {
            return Ok(None);
        };
        let ours = format!("#{{m:{number} *,#{{{TYPED}}}}}");
        let forget = format!("set-option -gu {TYPED}");
        self.run(&CommandList::new().then(["if-shell", "-F", &ours, &forget]))?;
        Ok(Some(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_ids_and_fixed_words_stand_in_commands() {
        let list = ask(
            "/dev/pts/1",
            "Message for 0123abcd:",
            "07",
            "message 0123abcd",
        );
        let command = list.argv().last().unwrap();
        let typed = format!("\\\"07 {LINE_OF_VERSION}\\\"");
        assert!(command.contains(&typed), "{command}");
        assert!(
            command.contains("menu message ##{q:client_name} 0123abcd 07)"),
            "{command}"
        );
        let rest = command.replace(LINE_OF_VERSION, "").replace("##", "");
        assert!(!rest.contains(['#', '%']), "{command}");
    }

    #[test]
    fn an_entry_is_one_short_line() {
        assert_eq!(words("a\nb %H #(x)", WIDEST), "a⏎b %H ##(x)");
        assert!(words(&"日".repeat(90), 70).chars().count() < 40);
        let list = menu(
            "c",
            WIDEST,
            "t",
            &[Entry::new("-dim", "note 1").with_key('1'), Entry::Line],
        );
        let command = list.argv().last().unwrap();
        assert!(command.contains(" \"−dim\" \"1\" "), "{command}");
        assert!(command.ends_with(" \"\""), "{command}");
        let many = vec![Entry::new(&"#".repeat(70), "note 1"); 99];
        assert!(menu("c", WIDEST, &"#".repeat(70), &many).bytes() <= CommandList::MAX_BYTES);
    }

    proptest! {
        #[test]
        fn no_text_ends_its_word(text in any::<String>()) {
            let plain = menu("c", WIDEST, "t", &[Entry::new("x", "note 1")]);
            let list = menu("c", WIDEST, &text, &[Entry::new(&text, "note 1")]);
            let command = list.argv().last().unwrap();
            // Outside of quoted words stands the same, whatever the text is.
            let outside = |command: &str| {
                let (mut out, mut inside, mut escaped) = (String::new(), false, false);
                for letter in command.chars() {
                    match letter {
                        _ if escaped => escaped = false,
                        '\\' => escaped = true,
                        '"' => inside = !inside,
                        letter if !inside => out.push(letter),
                        _ => {}
                    }
                }
                (out, inside)
            };
            prop_assert_eq!(outside(command), outside(plain.argv().last().unwrap()));
            prop_assert!(!command.replace("##", "").contains('#'));
        }
    }
}
