//! Lists of options that a rule permits, and the splitting of arguments by them.

use crate::domain::shell::Word;

/// What the value of an option is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// It has none.
    None,
    /// Any text, joined or the next word.
    Text,
    /// A file or directory, joined or the next word.
    Path,
    /// Letters, digits and a few signs, joined or the next word.
    Plain,
    /// Any text, joined or none.
    Optional,
}

/// Options that a rule permits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    known: Vec<(String, Value)>,
    /// `-20`
    digits: bool,
    /// Anything.
    any: bool,
    /// Long options have one dash, as in `go test -run X`; nothing is bundled.
    single: bool,
}

impl Flags {
    /// Reads a list of options: `-a`, `--all`, `-n=` (a value), `-f=path`, `-j=plain`, `--color=?` (a joined value or none), `-#` (digits),
    /// `*` (anything). An item may hold several with blanks between.
    pub fn parse<S: AsRef<str>>(items: &[S], single: bool) -> Result<Self, String> {
        let mut flags = Self {
            single,
            ..Self::default()
        };
        for item in items.iter().flat_map(|item| item.as_ref().split(' ')) {
            match item {
                "" => {}
                "*" => flags.any = true,
                "-#" => flags.digits = true,
                item => {
                    let (name, value) = match item.split_once('=') {
                        None => (item, Value::None),
                        Some((name, "")) => (name, Value::Text),
                        Some((name, "path")) => (name, Value::Path),
                        Some((name, "plain")) => (name, Value::Plain),
                        Some((name, "?")) => (name, Value::Optional),
                        Some(_) => {
                            return Err(format!("{item:?}: a value is =, =path, =plain or =?"));
                        }
                    };
                    let long = name.starts_with("--") || single;
                    let proper = name.starts_with('-')
                        && (long && name.len() > 1 || name.chars().count() == 2);
                    if !proper || name == "--" {
                        return Err(format!("{item:?} is no option such as -a, --all or -n="));
                    }
                    flags.known.push((name.to_owned(), value));
                }
            }
        }
        Ok(flags)
    }

    fn get(&self, name: &str) -> Option<Value> {
        let found = self.known.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| *value)
    }

    /// Takes the option at the front of `words`: how many words it took and its values. `None` when it is not permitted.
    pub fn take<'w>(&self, words: &'w [Word]) -> Option<Taken<'w>> {
        let word = words.first()?;
        let mut taken = Taken {
            words: 1,
            ..Taken::default()
        };
        if self.any {
            return Some(taken);
        }
        // A pattern may stand in the joined value of a long option only: there it cannot become another option.
        if let Some(glob) = &word.glob
            && !(glob.prefix.starts_with("--") && glob.prefix.contains('='))
        {
            return None;
        }
        if word.dynamic || word.tilde {
            return None;
        }
        let text = word.text.as_str();
        if self.digits && text.len() > 1 && text.bytes().skip(1).all(|b| b.is_ascii_digit()) {
            return Some(taken);
        }
        if text.starts_with("--") || self.single {
            let (name, joined) = match text.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (text, None),
            };
            let value = self.get(name).or_else(|| {
                let one = name.strip_prefix('-').filter(|_| self.single)?;
                self.get(one)
            })?;
            match (value, joined) {
                (Value::None, None) | (Value::Optional, _) => {}
                (Value::None, Some(_)) => return None,
                (value, Some(text)) => {
                    if word.glob.is_some() && value != Value::Text {
                        return None;
                    }
                    taken.values.push((value, text));
                }
                (value, None) => taken.next(value, words)?,
            }
            return Some(taken);
        }
        let mut rest = text.get(1..)?;
        while let Some(letter) = rest.chars().next() {
            rest = rest.get(letter.len_utf8()..)?;
            match self.get(&format!("-{letter}"))? {
                Value::None => {}
                Value::Optional => break,
                value if rest.is_empty() => taken.next(value, words)?,
                value => {
                    taken.values.push((value, rest));
                    break;
                }
            }
        }
        Some(taken)
    }
}

/// An option that was taken from the front of the arguments.
#[derive(Debug, Default)]
pub struct Taken<'w> {
    /// How many words.
    pub words: usize,
    /// Its values.
    pub values: Vec<(Value, &'w str)>,
}

impl<'w> Taken<'w> {
    fn next(&mut self, value: Value, words: &'w [Word]) -> Option<()> {
        let word = words.get(1).filter(|word| word.is_plain())?;
        self.words = 2;
        self.values.push((value, &word.text));
        Some(())
    }
}

/// Whether `text` holds nothing but letters, digits and signs that no program takes for more than themselves.
pub fn is_plain(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_ascii_alphanumeric() || "_./:=+,-%!".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Word> {
        text.split(' ').map(Word::literal).collect()
    }

    fn all(flags: &Flags, text: &str) -> Option<Vec<String>> {
        let words = words(text);
        let mut at = 0;
        let mut values = Vec::new();
        while at < words.len() {
            let taken = flags.take(&words[at..])?;
            at += taken.words;
            values.extend(taken.values.iter().map(|(_, value)| (*value).to_owned()));
        }
        Some(values)
    }

    #[test]
    fn bundles_values_and_abbreviations() {
        let flags = Flags::parse(&["-l -a -n= --lines= --color=? -#"], false).unwrap();
        assert_eq!(all(&flags, "-la"), Some(vec![]));
        assert_eq!(
            all(&flags, "-lan5 -n 7 --lines=9 --lines 10"),
            Some(["5", "7", "9", "10"].map(str::to_owned).to_vec())
        );
        assert_eq!(all(&flags, "--color --color=always -20"), Some(vec![]));
        for bad in ["-lx", "--line=9", "--all", "-n", "--colors", "-2x", "--"] {
            assert_eq!(all(&flags, bad), None, "{bad}");
        }
    }

    #[test]
    fn one_dash_for_long_names() {
        let flags = Flags::parse(&["-run= -v"], true).unwrap();
        assert_eq!(
            all(&flags, "-run X --run=Y -v"),
            Some(vec!["X".into(), "Y".into()])
        );
        assert_eq!(all(&flags, "-exec sh"), None);
        assert_eq!(all(&flags, "-vv"), None);
    }

    #[test]
    fn lists_with_mistakes_are_refused() {
        for bad in ["all", "-ab", "--n=x", "--"] {
            assert!(Flags::parse(&[bad], false).is_err(), "{bad}");
        }
    }
}
