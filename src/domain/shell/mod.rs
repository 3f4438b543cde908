//! Shell command lines, read for what they would run. Nothing is expanded and nothing is run.
//!
//! One reader for two purposes. What it understands to the last character is *complete*: literal words joined by `&&`, `||`, `;`, `|`
//! and newlines. Everything else is named in [`Script::unclear`], and is still searched for the commands in it: substitutions,
//! here-documents, loops, functions. So a construct that is not understood can hide a command from a person, but cannot make a script
//! complete.
//!
//! | room | what lives there |
//! |---|---|
//! | `reader` | the text -> simple commands |
//! | `word` | one word with its quotes and substitutions |
//! | [`unwrap`] | what `env`, `timeout`, `bash -c`, `xargs` and their like would run |

mod reader;
pub mod unwrap;
mod word;

#[cfg(test)]
mod tests;

pub use reader::read;

/// Longest text that is read, in bytes; a longer one is unclear as a whole.
pub const MAX_BYTES: usize = 64 * 1024;

/// How deep substitutions, groups and command strings may nest.
pub const MAX_DEPTH: usize = 24;

/// Most simple commands of one script.
pub const MAX_COMMANDS: usize = 400;

/// A word of a command, with its quotes removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Word {
    /// The text; where [`Self::dynamic`], substitutions stand in it as they were written.
    pub text: String,
    /// Its text is known only when it runs.
    pub dynamic: bool,
    /// It holds an unquoted `*`, `?` or `[`.
    pub glob: Option<Glob>,
    /// It begins with an unquoted `~/`, or is one `~`.
    pub tilde: bool,
    /// A part of it was quoted or escaped.
    pub quoted: bool,
}

/// What every expansion of a pattern begins and ends with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    /// The text in front of the first special character.
    pub prefix: String,
    /// The text behind the last one.
    pub suffix: String,
}

impl Word {
    /// A literal word.
    pub fn literal(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }

    /// Whether it is exactly its text, whatever the directory holds.
    pub const fn is_plain(&self) -> bool {
        !self.dynamic && self.glob.is_none() && !self.tilde
    }
}

/// What stands between two commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Joint {
    /// Begin or end of the text, `;`, a newline, or something that is not understood.
    #[default]
    Next,
    /// `&&`
    And,
    /// `||`
    Or,
    /// `|`
    Pipe,
}

/// A redirection to or from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// The file.
    pub file: Word,
    /// It is written to.
    pub writes: bool,
}

/// One simple command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Simple {
    /// Program and arguments; never empty.
    pub words: Vec<Word>,
    /// Variables that are set in front of it, as written.
    pub assigns: Vec<String>,
    /// Files that it is redirected to or from; `/dev/null` and other descriptors are left out.
    pub redirects: Vec<Redirect>,
    /// The text of a here-document or here-string.
    pub input: Option<String>,
    /// What stands in front of it.
    pub before: Joint,
    /// What stands behind it.
    pub after: Joint,
    /// It stands inside a substitution, a group or a command string; 0 is outside.
    pub depth: usize,
    /// It runs another command, which stands in the list too.
    pub wrapper: bool,
}

impl Simple {
    /// The texts of its words.
    pub fn argv(&self) -> Vec<String> {
        self.words.iter().map(|word| word.text.clone()).collect()
    }

    /// The name of the program without its directory; empty when it is known only when it runs.
    pub fn program(&self) -> &str {
        match self.words.first() {
            Some(word) if !word.dynamic => base(&word.text),
            _ => "",
        }
    }
}

/// The last component of a path.
pub fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// What a command line would run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Script {
    /// The simple commands, in order; those in substitutions before the command that they stand in.
    pub commands: Vec<Simple>,
    /// What was not understood, and why: a sentence part each.
    pub unclear: Vec<String>,
}

impl Script {
    /// Whether all of it was understood.
    pub const fn is_complete(&self) -> bool {
        self.unclear.is_empty()
    }

    /// Notes something that is not understood, once.
    pub fn doubt(&mut self, what: impl Into<String>) {
        let what = what.into();
        if self.unclear.len() < 20 && !self.unclear.contains(&what) {
            self.unclear.push(what);
        }
    }
}
