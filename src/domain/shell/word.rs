//! One word with its quotes and substitutions.

use super::reader::{End, Reader, read_into};
use super::{Glob, MAX_DEPTH, Simple, Word};

/// A word while it is read.
#[derive(Default)]
struct Draft {
    word: Word,
    /// Byte offsets in the text of the first and behind the last special character of a pattern.
    glob: Option<(usize, usize)>,
    /// Something of it was read, perhaps an empty quotation.
    any: bool,
}

impl Draft {
    fn push(&mut self, c: char) {
        self.word.text.push(c);
        self.any = true;
    }

    fn push_glob(&mut self, c: char) {
        let from = self.word.text.len();
        self.push(c);
        let first = self.glob.map_or(from, |(first, _)| first);
        self.glob = Some((first, self.word.text.len()));
    }

    fn done(mut self) -> Option<Word> {
        if !self.any {
            return None;
        }
        if let Some((first, last)) = self.glob {
            self.word.glob = Some(Glob {
                prefix: self.word.text.get(..first).unwrap_or_default().to_owned(),
                suffix: self.word.text.get(last..).unwrap_or_default().to_owned(),
            });
        }
        Some(self.word)
    }
}

impl Reader<'_> {
    /// Reads a word; `None` when none begins here.
    pub(super) fn read_word(&mut self) -> Option<Word> {
        let mut draft = Draft::default();
        while let Some(c) = self.peek(0) {
            match c {
                ' ' | '\t' | '\n' | ';' | '&' | '|' | '(' | ')' => {
                    // `name=(…)`, `@(…)`: the parenthesis belongs to the list, which says so.
                    break;
                }
                '<' | '>' => {
                    if self.peek(1) != Some('(') || draft.any {
                        break;
                    }
                    self.at += 2;
                    self.substitution(&mut draft, "a process substitution", "<(…)");
                }
                '\\' => match self.peek(1) {
                    Some('\n') => self.at += 2,
                    Some(c) => {
                        draft.word.quoted = true;
                        draft.push(c);
                        self.at += 2;
                    }
                    None => {
                        self.doubt("a backslash at the end");
                        draft.push('\\');
                        self.at += 1;
                    }
                },
                '\'' => self.single(&mut draft),
                '"' => self.double(&mut draft),
                '`' => self.backtick(&mut draft),
                '$' => self.dollar(&mut draft, false),
                '*' | '?' | '[' => {
                    draft.push_glob(c);
                    self.at += 1;
                }
                '{' | '}' => self.brace(&mut draft, c),
                '~' => self.tilde(&mut draft),
                '!' => {
                    self.history();
                    draft.push(c);
                    self.at += 1;
                }
                '=' => {
                    if !draft.any {
                        self.doubt("a word that begins with = (zsh looks up a program)");
                    }
                    draft.push(c);
                    self.at += 1;
                }
                c => {
                    if !c.is_ascii() {
                        self.doubt(format!("the unquoted character {c}"));
                    }
                    draft.push(c);
                    self.at += 1;
                }
            }
        }
        draft.done()
    }

    fn history(&mut self) {
        if !matches!(
            self.peek(1),
            None | Some(' ' | '\t' | '\n' | '=' | '(' | '"')
        ) {
            self.doubt("a ! that an interactive shell replaces from its history");
        }
    }

    fn tilde(&mut self, draft: &mut Draft) {
        let at_start = !draft.any;
        let ends = matches!(
            self.peek(1),
            None | Some('/' | ' ' | '\t' | '\n' | ';' | '|' | '&')
        );
        if at_start && ends {
            draft.word.tilde = true;
        } else if at_start {
            self.doubt("a word that begins with ~ and a name");
        } else if draft.word.text.ends_with(['=', ':']) {
            self.doubt("a ~ inside a word");
            draft.word.tilde = true;
        }
        draft.push('~');
        self.at += 1;
    }

    /// `{}`, `@{1}` are literal; `{a,b}` and `{1..3}` are lists.
    fn brace(&mut self, draft: &mut Draft, c: char) {
        if c == '{' && (draft.any || self.peek(1) == Some('}')) {
            let mut ahead = 1;
            while self
                .peek(ahead)
                .is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
            {
                ahead += 1;
            }
            if self.peek(ahead) == Some('}') {
                for _ in 0..=ahead {
                    if let Some(c) = self.peek(0) {
                        draft.push(c);
                    }
                    self.at += 1;
                }
                return;
            }
        }
        // Alone it is a reserved word, which the list says.
        let alone = !draft.any
            && matches!(
                self.peek(1),
                None | Some(' ' | '\t' | '\n' | ';' | ')' | '|' | '&')
            );
        if !alone {
            self.doubt("a list in braces { … }");
        }
        draft.push(c);
        self.at += 1;
        if alone && c == '}' {
            self.doubt("a group { … }");
        }
    }

    fn single(&mut self, draft: &mut Draft) {
        draft.word.quoted = true;
        draft.any = true;
        self.at += 1;
        loop {
            match self.peek(0) {
                None => {
                    self.doubt("a quotation mark is not closed");
                    return;
                }
                Some('\'') => {
                    self.at += 1;
                    return;
                }
                Some(c) => {
                    draft.push(c);
                    self.at += 1;
                }
            }
        }
    }

    fn double(&mut self, draft: &mut Draft) {
        draft.word.quoted = true;
        draft.any = true;
        self.at += 1;
        loop {
            match self.peek(0) {
                None => {
                    self.doubt("a quotation mark is not closed");
                    return;
                }
                Some('"') => {
                    self.at += 1;
                    return;
                }
                Some('\\') => match self.peek(1) {
                    Some('\n') => self.at += 2,
                    Some(c @ ('$' | '`' | '"' | '\\')) => {
                        draft.push(c);
                        self.at += 2;
                    }
                    _ => {
                        draft.push('\\');
                        self.at += 1;
                    }
                },
                Some('`') => self.backtick(draft),
                Some('$') => self.dollar(draft, true),
                Some('!') => {
                    self.history();
                    draft.push('!');
                    self.at += 1;
                }
                Some(c) => {
                    draft.push(c);
                    self.at += 1;
                }
            }
        }
    }

    fn dollar(&mut self, draft: &mut Draft, quoted: bool) {
        match self.peek(1) {
            Some('(') => {
                if quoted && self.literal_document(draft) {
                    return;
                }
                self.at += 2;
                self.substitution(draft, "a command substitution", "$(…)");
            }
            Some('{') => {
                self.at += 2;
                self.parameter(draft, '}', "${…}");
            }
            Some('[') => {
                self.at += 2;
                self.parameter(draft, ']', "$[…]");
            }
            Some(c @ ('\'' | '"')) if !quoted => {
                self.doubt(format!("a quotation that begins with ${c}"));
                draft.word.dynamic = true;
                self.at += 1;
                if c == '\'' {
                    self.escaped(draft);
                } else {
                    self.double(draft);
                }
            }
            Some(c)
                if c.is_ascii_alphanumeric()
                    || matches!(c, '_' | '@' | '*' | '#' | '?' | '$' | '!' | '-') =>
            {
                draft.word.dynamic = true;
                draft.push('$');
                self.at += 1;
                let mut name = String::new();
                while let Some(c) = self.peek(0) {
                    if c.is_ascii_alphanumeric() || c == '_' {
                        name.push(c);
                        self.at += 1;
                    } else {
                        if name.is_empty() {
                            name.push(c);
                            self.at += 1;
                        }
                        break;
                    }
                }
                self.doubt(format!("the value of ${name}"));
                draft.word.text.push_str(&name);
            }
            // `grep "end$"`: a dollar in front of nothing that a shell knows stands for itself.
            next => {
                let literal = if quoted {
                    matches!(next, Some('"' | ' ' | '|' | ')'))
                } else {
                    matches!(next, None | Some(' ' | '\t' | '\n'))
                };
                if !literal {
                    self.doubt("a $ in front of something unusual");
                    draft.word.dynamic = true;
                }
                draft.push('$');
                self.at += 1;
            }
        }
    }

    /// `$'…'`: the text with its escapes decoded where they are simple; it is dynamic anyway.
    fn escaped(&mut self, draft: &mut Draft) {
        self.at += 1;
        draft.any = true;
        while let Some(c) = self.peek(0) {
            self.at += 1;
            match c {
                '\'' => return,
                '\\' => {
                    let next = self.peek(0);
                    self.at += 1;
                    match next {
                        Some('x') => draft.push(self.code(16, 2)),
                        Some('u') => draft.push(self.code(16, 4)),
                        Some('U') => draft.push(self.code(16, 8)),
                        Some('0'..='7') => {
                            self.at -= 1;
                            draft.push(self.code(8, 3));
                        }
                        Some('n') => draft.push('\n'),
                        Some('t') => draft.push('\t'),
                        Some(c) => draft.push(c),
                        None => {}
                    }
                }
                c => draft.push(c),
            }
        }
        self.doubt("a quotation mark is not closed");
    }

    fn code(&mut self, radix: u32, most: usize) -> char {
        let mut value = 0;
        for _ in 0..most {
            let Some(digit) = self.peek(0).and_then(|c| c.to_digit(radix)) else {
                break;
            };
            value = value * radix + digit;
            self.at += 1;
        }
        char::from_u32(value).unwrap_or('\u{fffd}')
    }

    /// Reads commands up to a closing parenthesis; the opening one is consumed.
    fn substitution(&mut self, draft: &mut Draft, what: &str, shown: &str) {
        self.doubt(format!("{what} {shown}"));
        draft.word.dynamic = true;
        draft.any = true;
        draft.word.text.push_str(shown);
        if self.depth >= MAX_DEPTH {
            self.doubt("it nests deeper than is read");
            self.at = self.text.len();
            return;
        }
        self.depth += 1;
        self.list(End::Paren);
        self.depth -= 1;
    }

    /// `${…}` and `$[…]`: everything up to `close`, with the substitutions in it.
    fn parameter(&mut self, draft: &mut Draft, close: char, shown: &str) {
        self.doubt(format!("the value of {shown}"));
        draft.word.dynamic = true;
        draft.any = true;
        let from = self.at.saturating_sub(2);
        if self.depth >= MAX_DEPTH {
            self.doubt("it nests deeper than is read");
            self.at = self.text.len();
            return;
        }
        self.depth += 1;
        let mut inside = Draft::default();
        loop {
            match self.peek(0) {
                None => {
                    self.doubt(format!("{shown} is not closed"));
                    break;
                }
                Some(c) if c == close => {
                    self.at += 1;
                    break;
                }
                Some('\\') => self.at += 2,
                Some('\'') => self.single(&mut inside),
                Some('"') => self.double(&mut inside),
                Some('`') => self.backtick(&mut inside),
                Some('$') => self.dollar(&mut inside, false),
                Some('<' | '>') if self.peek(1) == Some('(') => {
                    self.at += 2;
                    self.substitution(&mut inside, "a process substitution", "<(…)");
                }
                Some(_) => self.at += 1,
            }
        }
        self.depth -= 1;
        self.at = self.at.min(self.text.len());
        let written = self.text.get(from..self.at).unwrap_or_default();
        draft.word.text.extend(written);
    }

    fn backtick(&mut self, draft: &mut Draft) {
        self.doubt("a command substitution `…`");
        draft.word.dynamic = true;
        draft.any = true;
        draft.word.text.push_str("`…`");
        self.at += 1;
        let mut inner = String::new();
        loop {
            match self.peek(0) {
                None => {
                    self.doubt("a backtick is not closed");
                    break;
                }
                Some('`') => {
                    self.at += 1;
                    break;
                }
                Some('\\') if matches!(self.peek(1), Some('`' | '\\' | '$')) => {
                    inner.extend(self.peek(1));
                    self.at += 2;
                }
                Some(c) => {
                    inner.push(c);
                    self.at += 1;
                }
            }
        }
        read_into(&inner, self.depth + 1, self.script);
    }

    /// The substitutions in a text that is neither quoted nor split, such as a here-document.
    pub(super) fn substitutions(&mut self, text: &str) {
        let mut inner = Reader::new(text, self.depth + 1, self.script);
        if inner.depth > MAX_DEPTH {
            inner.doubt("it nests deeper than is read");
            return;
        }
        let mut draft = Draft::default();
        while let Some(c) = inner.peek(0) {
            match c {
                '\\' => inner.at += 2,
                '`' => inner.backtick(&mut draft),
                '$' => inner.dollar(&mut draft, true),
                _ => inner.at += 1,
            }
        }
    }

    /// `$(cat <<'EOF' … EOF )` inside double quotes is one literal text: agents write commit messages so. Consumes it and adds the
    /// text, or consumes nothing.
    fn literal_document(&mut self, draft: &mut Draft) -> bool {
        self.tries += 1;
        if self.tries > 16 {
            return false;
        }
        let rest: String = self
            .text
            .get(self.at..)
            .unwrap_or_default()
            .iter()
            .collect();
        let Some((body, length)) = document(&rest) else {
            return false;
        };
        draft.any = true;
        draft.word.text.push_str(body.trim_end_matches('\n'));
        self.at += rest.get(..length).map_or(0, |text| text.chars().count());
        self.script.commands.push(Simple {
            words: vec![Word::literal("cat")],
            depth: self.depth + 1,
            ..Simple::default()
        });
        true
    }
}

/// The body of `$(cat <<'NAME'\n…\nNAME\n)` and the length of the whole in bytes.
fn document(text: &str) -> Option<(&str, usize)> {
    let rest = text.strip_prefix("$(")?.trim_start_matches([' ', '\t']);
    let rest = rest
        .strip_prefix("cat")?
        .strip_prefix([' ', '\t'])?
        .trim_start_matches([' ', '\t']);
    let rest = rest.strip_prefix("<<")?.trim_start_matches([' ', '\t']);
    let mark = rest.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let (name, rest) = rest.get(1..)?.split_once(mark)?;
    let proper = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let body = rest.trim_start_matches([' ', '\t']).strip_prefix('\n')?;
    if !proper {
        return None;
    }
    let mut at = 0;
    for line in body.split_inclusive('\n') {
        if line.trim_end_matches('\n') == name && line.ends_with('\n') {
            let inside = body.get(..at)?;
            let behind = body.get(at + line.len()..)?;
            let behind_trimmed = behind.trim_start_matches([' ', '\t', '\n']);
            let close = behind_trimmed.strip_prefix(')')?;
            return balanced(inside).then(|| (inside, text.len() - close.len()));
        }
        at += line.len();
    }
    None
}

/// Old shells look for the closing parenthesis without knowing here-documents: none may come too early.
fn balanced(text: &str) -> bool {
    let mut depth = 0i32;
    text.chars().all(|c| {
        depth += match c {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        depth >= 0
    })
}
