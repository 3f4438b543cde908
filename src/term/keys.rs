//! Bytes of a terminal to keys: bracketed paste, typed keys, a lone Esc, the mouse, focus. However the bytes are split over reads, the keys
//! are the same.

use std::time::Duration;

/// How long nothing may follow an Esc byte for it to be the Esc key.
pub const ESC_SILENCE: Duration = Duration::from_millis(50);

/// The end marker of a bracketed paste.
const PASTE_END: &[u8] = b"\x1b[201~";

/// One thing that came from the terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// A typed character.
    Char(char),
    /// Enter (CR or LF).
    Enter,
    /// Enter with Alt held.
    AltEnter,
    /// Backspace.
    Backspace,
    /// Ctrl-U.
    KillLine,
    /// Ctrl-C.
    CtrlC,
    /// Ctrl-D.
    CtrlD,
    /// The Esc key alone.
    Esc,
    /// A bracketed paste, line ends as LF.
    Paste(String),
    /// A key that moves about.
    Move(Move),
    /// What the mouse did, where it was asked for.
    Mouse(Mouse),
    /// The terminal has the person's attention, or has lost it, where that was asked for.
    Focus(bool),
    /// A key that means nothing here.
    Other,
}

/// What the mouse did, and where: column and row from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mouse {
    /// What it did.
    pub act: MouseAct,
    /// The column, from 0.
    pub column: u16,
    /// The row, from 0.
    pub row: u16,
}

/// What the mouse did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MouseAct {
    /// The left button went down.
    Click,
    /// The wheel went up by a step.
    WheelUp,
    /// The wheel went down by a step.
    WheelDown,
}

/// Where a key moves to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// Arrow up.
    Up,
    /// Arrow down.
    Down,
    /// Arrow left.
    Left,
    /// Arrow right.
    Right,
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
    /// Home.
    Home,
    /// End.
    End,
}

/// The key behind `Esc [`: what came in between, and the last byte.
fn control(seen: &[u8], last: u8) -> Key {
    match (seen, last) {
        (b"", b'I' | b'O') => Key::Focus(last == b'I'),
        ([b'<', report @ ..], b'M') => mouse(report).map_or(Key::Other, Key::Mouse),
        _ => moved(seen, last),
    }
}

/// A report of the mouse in its SGR form: `BUTTON;COLUMN;ROW`, from 1.
fn mouse(report: &[u8]) -> Option<Mouse> {
    let mut numbers = std::str::from_utf8(report).ok()?.split(';');
    let mut next = || numbers.next()?.parse::<u16>().ok();
    let act = match next()? {
        0 => MouseAct::Click,
        64 => MouseAct::WheelUp,
        65 => MouseAct::WheelDown,
        _ => return None,
    };
    Some(Mouse {
        act,
        column: next()?.checked_sub(1)?,
        row: next()?.checked_sub(1)?,
    })
}

/// The key behind `Esc [` or `Esc O`: what came in between, and the last byte.
fn moved(seen: &[u8], last: u8) -> Key {
    Key::Move(match (seen, last) {
        (b"", b'A') => Move::Up,
        (b"", b'B') => Move::Down,
        (b"", b'C') => Move::Right,
        (b"", b'D') => Move::Left,
        (b"", b'H') | (b"1" | b"7", b'~') => Move::Home,
        (b"", b'F') | (b"4" | b"8", b'~') => Move::End,
        (b"5", b'~') => Move::PageUp,
        (b"6", b'~') => Move::PageDown,
        _ => return Key::Other,
    })
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum State {
    #[default]
    Ground,
    /// After an Esc byte.
    Escape,
    /// After `Esc [`, with what came since.
    Csi(Vec<u8>),
    /// After `Esc O`: one byte more.
    Single,
    /// Inside a paste: the text and how much of the end marker matched.
    Paste(Vec<u8>, usize),
    /// Inside a typed character of several bytes.
    Utf8(Vec<u8>),
}

/// The parser.
#[derive(Debug, Default)]
pub struct Parser {
    state: State,
}

impl Parser {
    /// A parser that has seen nothing.
    pub const fn new() -> Self {
        Self {
            state: State::Ground,
        }
    }

    /// Whether an Esc byte waits for silence or for more.
    pub fn escape_waits(&self) -> bool {
        self.state == State::Escape
    }

    /// Says that nothing came for [`ESC_SILENCE`].
    pub fn silence(&mut self) -> Option<Key> {
        self.escape_waits().then(|| {
            self.state = State::Ground;
            Key::Esc
        })
    }

    /// Takes bytes, appends the keys that are complete.
    pub fn feed(&mut self, bytes: &[u8], keys: &mut impl Extend<Key>) {
        for byte in bytes {
            if let Some(key) = self.byte(*byte, keys) {
                keys.extend([key]);
            }
        }
    }

    fn byte(&mut self, byte: u8, keys: &mut impl Extend<Key>) -> Option<Key> {
        match std::mem::replace(&mut self.state, State::Ground) {
            State::Ground => self.ground(byte),
            State::Escape => match byte {
                b'[' => {
                    self.state = State::Csi(Vec::new());
                    None
                }
                b'O' => {
                    self.state = State::Single;
                    None
                }
                0x1b => {
                    self.state = State::Escape;
                    Some(Key::Esc)
                }
                b'\r' | b'\n' => Some(Key::AltEnter),
                _ => Some(Key::Other),
            },
            State::Single => Some(moved(b"", byte)),
            State::Csi(mut seen) => match byte {
                b'~' if seen == b"200" => {
                    self.state = State::Paste(Vec::new(), 0);
                    None
                }
                0x40..=0x7e => Some(control(&seen, byte)),
                0x20..=0x3f => {
                    // What is longer is no key of any terminal; only the start counts.
                    if seen.len() < 64 {
                        seen.push(byte);
                    }
                    self.state = State::Csi(seen);
                    None
                }
                _ => self.ground(byte),
            },
            State::Paste(mut text, matched) => {
                let matched = if PASTE_END.get(matched) == Some(&byte) {
                    matched + 1
                } else {
                    // Only the first byte of the marker is an Esc, so what matched is text.
                    text.extend_from_slice(&PASTE_END[..matched]);
                    if byte == PASTE_END[0] {
                        1
                    } else {
                        text.push(byte);
                        0
                    }
                };
                if matched == PASTE_END.len() {
                    return Some(Key::Paste(line_ends(&text)));
                }
                self.state = State::Paste(text, matched);
                None
            }
            State::Utf8(mut seen) => {
                if byte & 0xc0 != 0x80 {
                    keys.extend([Key::Char(char::REPLACEMENT_CHARACTER)]);
                    return self.ground(byte);
                }
                seen.push(byte);
                if seen.len() < utf8_length(seen[0]) {
                    self.state = State::Utf8(seen);
                    return None;
                }
                let c = std::str::from_utf8(&seen)
                    .ok()
                    .and_then(|text| text.chars().next())
                    .unwrap_or(char::REPLACEMENT_CHARACTER);
                Some(Key::Char(c))
            }
        }
    }

    fn ground(&mut self, byte: u8) -> Option<Key> {
        Some(match byte {
            0x1b => {
                self.state = State::Escape;
                return None;
            }
            b'\r' | b'\n' => Key::Enter,
            0x08 | 0x7f => Key::Backspace,
            0x15 => Key::KillLine,
            0x03 => Key::CtrlC,
            0x04 => Key::CtrlD,
            b'\t' => Key::Char('\t'),
            0x00..=0x1f => Key::Other,
            0x20..=0x7e => Key::Char(char::from(byte)),
            0x80.. if utf8_length(byte) > 1 => {
                self.state = State::Utf8(vec![byte]);
                return None;
            }
            _ => Key::Char(char::REPLACEMENT_CHARACTER),
        })
    }
}

/// Length of the character that starts with `first`; 1 when none does.
const fn utf8_length(first: u8) -> usize {
    match first {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 1,
    }
}

/// Pasted bytes as text, each line end (CRLF, CR, LF) as LF.
fn line_ends(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    if text.contains('\r') {
        text.replace("\r\n", "\n").replace('\r', "\n")
    } else {
        text.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys(chunks: &[&[u8]]) -> Vec<Key> {
        let mut parser = Parser::new();
        let mut keys = Vec::new();
        for chunk in chunks {
            parser.feed(chunk, &mut keys);
        }
        keys.extend(parser.silence());
        keys
    }

    #[test]
    fn typed_keys_are_told_apart() {
        assert_eq!(
            keys(&[b"a\xc3\xa4\r\x7f\x15\x03\x04\x1b[A\x1bOB\x1b[6~\x1b[1;5A\x1bOP\x1bx\x1b"]),
            vec![
                Key::Char('a'),
                Key::Char('ä'),
                Key::Enter,
                Key::Backspace,
                Key::KillLine,
                Key::CtrlC,
                Key::CtrlD,
                Key::Move(Move::Up),
                Key::Move(Move::Down),
                Key::Move(Move::PageDown),
                Key::Other,
                Key::Other,
                Key::Other,
                Key::Esc,
            ]
        );
    }

    #[test]
    fn the_mouse_and_focus_are_keys_too() {
        let at = |act, column, row| Key::Mouse(Mouse { act, column, row });
        assert_eq!(
            keys(&[b"\x1b[<0;3;7M\x1b[<0;3;7m\x1b[<64;1;1M\x1b[<65;300;2M\x1b[<2;1;1M\x1b[<0;0;1M\x1b[<M"]),
            vec![
                at(MouseAct::Click, 2, 6),
                Key::Other,
                at(MouseAct::WheelUp, 0, 0),
                at(MouseAct::WheelDown, 299, 1),
                Key::Other,
                Key::Other,
                Key::Other,
            ]
        );
        assert_eq!(
            keys(&[b"\x1b[I\x1b[O\x1bOI\x1b\r"]),
            vec![
                Key::Focus(true),
                Key::Focus(false),
                Key::Other,
                Key::AltEnter
            ]
        );
    }

    #[test]
    fn a_paste_is_one_key_whatever_is_in_it() {
        assert_eq!(
            keys(&[b"\x1b[200~a\rb\r\nc\x1b[200~\x1b[20\x1b[201~\r"]),
            vec![Key::Paste("a\nb\nc\u{1b}[200~\u{1b}[20".into()), Key::Enter]
        );
    }

    #[test]
    fn an_esc_inside_a_paste_or_a_marker_never_becomes_a_key() {
        let mut parser = Parser::new();
        let mut found = Vec::new();
        for piece in [&b"\x1b["[..], b"20", b"0~x\x1b", b"[201", b"~"] {
            parser.feed(piece, &mut found);
            assert_eq!(parser.silence(), None);
        }
        assert_eq!(found, vec![Key::Paste("x".into())]);
    }

    #[test]
    fn a_broken_sequence_does_not_eat_what_follows() {
        assert_eq!(keys(&[b"\x1b[12\rx"]), vec![Key::Enter, Key::Char('x')]);
        assert_eq!(
            keys(&[b"\xe2\x82\r"]),
            vec![Key::Char('\u{fffd}'), Key::Enter]
        );
    }

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"\x1b[200~".to_vec()),
            Just(PASTE_END.to_vec()),
            Just(b"\x1b".to_vec()),
            Just(b"\r\n".to_vec()),
            any::<String>().prop_map(String::into_bytes),
            any::<Vec<u8>>(),
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn how_bytes_are_split_changes_nothing(bytes in bytes(), cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..20)) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(keys(&chunks), keys(&[&bytes]));
        }

        #[test]
        fn a_paste_arrives_byte_for_byte(text in any::<String>()) {
            prop_assume!(!text.contains("\u{1b}[201~") && !text.contains('\r'));
            let bytes = [b"\x1b[200~", text.as_bytes(), PASTE_END].concat();
            let chunks: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(keys(&chunks), vec![Key::Paste(text)]);
        }

        #[test]
        fn typed_text_arrives_as_typed(text in "[^\\p{Cc}]*") {
            let bytes = text.as_bytes();
            let chunks: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(keys(&chunks), text.chars().map(Key::Char).collect::<Vec<_>>());
        }
    }
}
