//! Lists of tmux commands as argv.

/// Commands that one tmux client runs as one list, in one step of the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandList {
    argv: Vec<String>,
}

impl CommandList {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a command. A trailing `;` of an argument would end the command in tmux, so it is escaped.
    #[must_use]
    pub fn then<I, S>(mut self, arguments: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<str>,
    {
        if !self.argv.is_empty() {
            self.argv.push(";".to_owned());
        }
        for argument in arguments {
            let argument = argument.as_ref();
            self.argv.push(match argument.strip_suffix(';') {
                Some(front) => format!("{front}\\;"),
                None => argument.to_owned(),
            });
        }
        self
    }

    /// Adds another list behind this one.
    #[must_use]
    pub fn append(mut self, other: Self) -> Self {
        if self.argv.is_empty() {
            return other;
        }
        if !other.argv.is_empty() {
            self.argv.push(";".to_owned());
            self.argv.extend(other.argv);
        }
        self
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.argv.is_empty()
    }

    /// Whether a command of the list makes a session, window or pane.
    pub fn creates(&self) -> bool {
        let starts = std::iter::once(true).chain(self.argv.iter().map(|argument| argument == ";"));
        self.argv.iter().zip(starts).any(|(word, first)| {
            first && matches!(word.as_str(), "new-session" | "new-window" | "split-window")
        })
    }

    /// The argv, with lone `;` between commands.
    pub fn argv(&self) -> &[String] {
        &self.argv
    }

    /// Bytes of argv as the client sends them; tmux takes at most [`Self::MAX_BYTES`].
    pub fn bytes(&self) -> usize {
        self.argv.iter().map(|argument| argument.len() + 1).sum()
    }

    /// Longest argv that a tmux client can send (one imsg of 16 KiB less its headers).
    pub const MAX_BYTES: usize = 16_300;
}

/// Text for a place where tmux expands formats and draws the result: every `#` doubled. Never for places with time formats (`%`).
pub fn literal(text: &str) -> String {
    text.replace('#', "##")
}

/// Text for a place where tmux expands formats and uses the result as it is: a directory, a name. As [`literal`], but a `#[` has to be
/// told from the start of a style, which tmux leaves doubled for whoever draws it.
pub fn exact(text: &str) -> String {
    literal(text).replace("##[", "#{l:#[}")
}

/// A word of a tmux command string, in double quotes: `\`, `"`, `$` and a `~` in front escaped; formats are not touched.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for (at, c) in text.char_indices() {
        if matches!(c, '\\' | '"' | '$') || at == 0 && c == '~' {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn commands_are_separated_and_trailing_semicolons_escaped() {
        let list = CommandList::new()
            .then(["set", "@x", "a;"])
            .then(["display-message", ";"]);
        assert_eq!(
            list.argv(),
            ["set", "@x", "a\\;", ";", "display-message", "\\;"]
        );
    }

    #[test]
    fn lists_that_create_are_known_by_their_commands() {
        assert!(
            CommandList::new()
                .then(["list-panes"])
                .then(["new-window", "-d"])
                .creates()
        );
        assert!(
            !CommandList::new()
                .then(["set", "@x", "new-window"])
                .creates()
        );
    }

    #[test]
    fn what_tmux_would_read_into_a_text_is_escaped() {
        assert_eq!(
            quoted("~root \"$HOME\" \\ ~"),
            r#""\~root \"\$HOME\" \\ ~""#
        );
        assert_eq!(literal("#[fg=red] #{x}"), "##[fg=red] ##{x}");
        assert_eq!(exact("a/##[x/#{y}"), "a/###{l:#[}x/##{y}");
    }

    proptest! {
        #[test]
        fn an_argument_never_separates_commands(text in any::<String>()) {
            let list = CommandList::new().then(["set", "@x", &text]);
            prop_assert_eq!(list.argv().len(), 3);
            let last = &list.argv()[2];
            prop_assert!(!last.ends_with(';') || last.ends_with("\\;"));
        }

        #[test]
        fn a_literal_holds_no_single_hash(text in any::<String>()) {
            prop_assert!(!literal(&text).replace("##", "").contains('#'));
        }
    }
}
