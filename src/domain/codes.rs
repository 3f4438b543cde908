//! Terminal codes in what a program has printed, taken out piece by piece as it comes.

use super::text::is_unsafe;
use std::str::Chars;

/// The longest code that is waited for, in bytes; what is longer has no end.
const LONGEST: usize = 64 * 1024;

/// Takes terminal codes out of a stream. What a piece ends within (a code, a character, a line end) waits for the next one.
#[derive(Debug, Clone, Default)]
pub struct Codes {
    /// The begun character.
    bytes: Vec<u8>,
    /// The begun code, or a carriage return that may belong to a line end.
    text: String,
}

impl Codes {
    /// What can be said of the stream with `bytes`.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        let mut clean = String::with_capacity(bytes.len());
        self.add(bytes, &mut clean);
        clean
    }

    /// What waited, when nothing more comes.
    pub fn finish(&mut self) -> String {
        let mut clean = String::new();
        self.end(&mut clean);
        clean
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.text.is_empty()
    }

    fn add(&mut self, bytes: &[u8], clean: &mut String) {
        self.bytes.extend_from_slice(bytes);
        let whole = self.bytes.len() - begun(&self.bytes);
        let rest = self.bytes.split_off(whole);
        self.text.push_str(&String::from_utf8_lossy(&self.bytes));
        self.bytes = rest;
        let done = strip(&self.text, clean);
        self.text.drain(..done);
        if self.text.len() > LONGEST {
            self.end(clean);
        }
    }

    fn end(&mut self, clean: &mut String) {
        self.text.push_str(&String::from_utf8_lossy(&self.bytes));
        self.bytes.clear();
        let done = strip(&self.text, clean);
        // A code without its end says nothing; a carriage return without a newline is a line end.
        if self.text[done..].starts_with('\r') {
            clean.push('\n');
        }
        self.text.clear();
    }
}

/// Removes terminal escape sequences (CSI, OSC, DCS and two-character ones) and makes what is left safe to print; newlines and tabs stay.
pub fn strip_terminal_codes(bytes: &[u8]) -> String {
    let mut clean = String::with_capacity(bytes.len());
    let mut codes = Codes {
        bytes: Vec::new(),
        text: String::from_utf8_lossy(bytes).into_owned(),
    };
    codes.end(&mut clean);
    clean
}

/// Length of the character at the end of `bytes` that has begun and is not whole.
fn begun(bytes: &[u8]) -> usize {
    let last = &bytes[bytes.len().saturating_sub(3)..];
    let lead = last
        .iter()
        .rposition(|byte| byte & 0b1100_0000 != 0b1000_0000);
    let Some(lead) = lead.map(|at| &last[at..]) else {
        return 0;
    };
    match std::str::from_utf8(lead) {
        Err(error) if error.error_len().is_none() => lead.len() - error.valid_up_to(),
        _ => 0,
    }
}

/// Appends what `text` says to `clean`; the length of what was read: the rest is a code that is not whole.
fn strip(text: &str, clean: &mut String) -> usize {
    let mut chars = text.chars();
    loop {
        let at = text.len() - chars.as_str().len();
        let Some(c) = chars.next() else { return at };
        match c {
            '\u{1b}' if !skip_code(&mut chars) => return at,
            '\r' => match chars.clone().next() {
                None => return at,
                Some('\n') => {}
                Some(_) => clean.push('\n'),
            },
            '\n' | '\t' => clean.push(c),
            '\u{8}' => drop(clean.pop()),
            c if is_unsafe(c) => {}
            c => clean.push(c),
        }
    }
}

/// Reads what follows an escape character; `false` when its end has not come.
fn skip_code(chars: &mut Chars<'_>) -> bool {
    match chars.next() {
        None => false,
        Some('[') => chars.any(|c| matches!(c, '\u{40}'..='\u{7e}')),
        Some(']' | 'P' | 'X' | '^' | '_') => loop {
            match chars.next() {
                None => return false,
                Some('\u{7}' | '\u{9c}') => return true,
                Some('\u{1b}') => match chars.clone().next() {
                    None => return false,
                    Some('\\') => {
                        chars.next();
                        return true;
                    }
                    Some(_) => {}
                },
                Some(_) => {}
            }
        },
        Some('(' | ')' | '*' | '+' | '#' | '%' | ' ') => chars.next().is_some(),
        Some(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn terminal_codes_are_removed_from_logs() {
        assert_eq!(
            strip_terminal_codes(
                b"\x1b[31mred\x1b[0m \x1b]2;title\x07ok\r\n\x1b(Bx\x1bP1$q\x1b\\y"
            ),
            "red ok\nxy"
        );
        assert_eq!(strip_terminal_codes(b"ab\x08c"), "ac");
        assert_eq!(strip_terminal_codes(b"a\rb\r"), "a\nb\n");
        assert_eq!(strip_terminal_codes(b"a\x1b[31"), "a");
        assert_eq!(strip_terminal_codes(b"a\xc3"), "a\u{fffd}");
    }

    #[test]
    fn what_a_piece_ends_within_waits_for_the_next() {
        let text = "ä\u{1b}[31m中\u{1b}]2;t\u{1b}\\👩\r\nend\u{1b}(B.";
        for at in 0..text.len() {
            let (first, second) = text.as_bytes().split_at(at);
            let mut codes = Codes::default();
            let said = codes.push(first);
            assert!(!said.contains(['\u{fffd}', '[', ']', '(']), "{at}: {said}");
            assert_eq!(said + &codes.push(second), "ä中👩\nend.", "{at}");
            assert!(codes.is_empty());
        }
        let mut codes = Codes::default();
        assert_eq!(codes.push(b"a\x1b[3"), "a");
        assert!(!codes.is_empty());
        assert_eq!(codes.finish(), "");
        assert_eq!(codes.push(b"1m"), "1m", "it was given up");
        assert_eq!(codes.push(b"\xe4\xb8") + &codes.finish(), "\u{fffd}");
        assert_eq!(codes.push(b"x\r") + &codes.finish(), "x\n");
    }

    #[test]
    fn a_code_without_an_end_is_not_kept_for_ever() {
        let mut codes = Codes::default();
        assert_eq!(codes.push(b"\x1b]2;"), "");
        for _ in 0..=(LONGEST / 1000) {
            assert_eq!(codes.push(&[b'x'; 1000]), "");
        }
        assert!(codes.is_empty());
        assert_eq!(codes.push(b"text"), "text");
    }

    proptest! {
        #[test]
        fn stripping_leaves_nothing_unsafe(bytes in any::<Vec<u8>>()) {
            let text = strip_terminal_codes(&bytes);
            prop_assert!(text.chars().all(|c| !is_unsafe(c) || c == '\n' || c == '\t'));
        }

        #[test]
        fn pieces_say_what_the_whole_says(pieces in prop::collection::vec(prop::collection::vec(prop_oneof![
            prop::sample::select(b"\x1b[]P(\\\x07\r\nm1;\xc3\xa4\xe4\xb8\xad".to_vec()), any::<u8>()
        ], 0..12), 0..8)) {
            // A backspace takes back nothing that has been said already.
            let pieces: Vec<Vec<u8>> = pieces.into_iter().map(|p| p.into_iter().filter(|b| *b != 8).collect()).collect();
            let mut codes = Codes::default();
            let mut said: String = pieces.iter().map(|piece| codes.push(piece)).collect();
            said.push_str(&codes.finish());
            prop_assert_eq!(said, strip_terminal_codes(&pieces.concat()));
        }
    }
}
