//! Text as it is, for a person who decides by it: what hides, moves, imitates or pads is made visible and told from the rest.

use super::text::is_unsafe;
use unicode_width::UnicodeWidthChar;

/// A piece of a line, never cut in two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unit {
    /// A character that is what it looks like.
    Text(char),
    /// What stands for something that would not be seen, or not be seen as what it is.
    Mark(String),
}

/// The longest run of blanks that is shown as it is.
const BLANKS: usize = 20;

impl Unit {
    /// Columns that it takes.
    pub fn width(&self) -> usize {
        match self {
            Self::Text(c) => c.width().unwrap_or(0),
            Self::Mark(text) => text.chars().filter_map(UnicodeWidthChar::width).sum(),
        }
    }
}

/// One line (without its end) in units. Nothing of it is left out: a run of more than 20 blanks is counted (`·×137`).
pub fn units(line: &str) -> Vec<Unit> {
    let mut units = Vec::new();
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        let blanks = rest.len() - rest.trim_start_matches(' ').len();
        if blanks > BLANKS {
            units.push(Unit::Mark(format!("·×{blanks}")));
            rest = &rest[blanks..];
            continue;
        }
        if is_letter(c) {
            let word = &rest[..rest.find(|c| !is_letter(c)).unwrap_or(rest.len())];
            let mixed = word.contains(|c: char| c.is_ascii_alphabetic());
            units.extend(word.chars().map(|c| {
                if misleads(c) || (mixed && imitates(c)) {
                    mark(c)
                } else {
                    Unit::Text(c)
                }
            }));
            rest = &rest[word.len()..];
            continue;
        }
        units.push(if misleads(c) { mark(c) } else { Unit::Text(c) });
        rest = &rest[c.len_utf8()..];
    }
    units
}

fn mark(c: char) -> Unit {
    Unit::Mark(if c == '\t' {
        "⟨TAB⟩".to_owned()
    } else {
        format!("⟨U+{:04X}⟩", u32::from(c))
    })
}

/// Letters, digits and `_`, and whatever hides between them.
fn is_letter(c: char) -> bool {
    c == '_' || c.is_alphanumeric() || (!c.is_ascii() && hides(c))
}

/// Takes no room of its own, or acts on its neighbours.
fn hides(c: char) -> bool {
    is_unsafe(c)
        || c.width().is_none_or(|width| width == 0)
        || matches!(c,
            '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2800}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Is not seen, or not as what it is, wherever it stands.
fn misleads(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    hides(c)
        || c.is_whitespace()
        || matches!(c,
            // Our own marks.
            '⟨' | '⟩' | '·' | '↩'
            // Punctuation and signs that look like those of a shell.
            | '\u{b4}' | '\u{2b9}'..='\u{2bf}' | '\u{2c6}'..='\u{2cf}' | '\u{2dc}' | '\u{37e}' | '\u{387}' | '\u{589}' | '\u{5c3}' | '\u{66a}'
            | '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}' | '\u{2212}' | '\u{2215}'..='\u{221a}' | '\u{2223}' | '\u{2236}' | '\u{223c}'
            | '\u{226a}' | '\u{226b}' | '\u{2768}'..='\u{2775}' | '\u{29f5}'..='\u{29f9}' | '\u{2cfe}'
            | '\u{3001}'..='\u{301f}' | '\u{a4f8}' | '\u{a789}'..='\u{a78a}' | '\u{fe10}'..='\u{fe6f}'
            // Letters and digits in another dress: wide, mathematical, enclosed.
            | '\u{2100}'..='\u{214f}' | '\u{2460}'..='\u{24ff}' | '\u{ff00}'..='\u{ffef}' | '\u{1d400}'..='\u{1d7ff}' | '\u{1f100}'..='\u{1f1ff}'
            // Nobody knows what these look like.
            | '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}')
}

/// Belongs to an alphabet that has the shapes of Latin letters: beside one, it imitates.
fn imitates(c: char) -> bool {
    matches!(c,
        '\u{131}' | '\u{17f}' | '\u{180}'..='\u{2af}' | '\u{370}'..='\u{58f}' | '\u{5d0}'..='\u{5ea}' | '\u{13a0}'..='\u{13ff}'
        | '\u{1400}'..='\u{167f}' | '\u{1c80}'..='\u{1c8f}' | '\u{1d00}'..='\u{1dbf}' | '\u{1f00}'..='\u{1fff}' | '\u{2c00}'..='\u{2dff}'
        | '\u{a4d0}'..='\u{a4ff}' | '\u{a640}'..='\u{a69f}' | '\u{a720}'..='\u{a7ff}' | '\u{ab30}'..='\u{abbf}' | '\u{10280}'..='\u{1044f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(line: &str) -> String {
        units(line)
            .iter()
            .map(|unit| match unit {
                Unit::Text(c) => c.to_string(),
                Unit::Mark(text) => format!("[{text}]"),
            })
            .collect()
    }

    #[test]
    fn what_hides_or_imitates_is_marked() {
        let cases = [
            ("rm -rf build", "rm -rf build"),
            (
                "echo 'größer 日本 naïve Привет'",
                "echo 'größer 日本 naïve Привет'",
            ),
            ("a\u{202e}b", "a[⟨U+202E⟩]b"),
            (
                "a\u{1b}[2Kb\u{9b}c\r",
                "a[⟨U+001B⟩][2Kb[⟨U+009B⟩]c[⟨U+000D⟩]",
            ),
            ("a\tb", "a[⟨TAB⟩]b"),
            ("gi\u{200d}t", "gi[⟨U+200D⟩]t"),
            ("e\u{301}", "e[⟨U+0301⟩]"),
            ("p\u{430}ypal", "p[⟨U+0430⟩]ypal"),
            ("\u{430}\u{200b}b", "[⟨U+0430⟩][⟨U+200B⟩]b"),
            ("ls\u{a0}x", "ls[⟨U+00A0⟩]x"),
            ("ls \u{ff5c} sh", "ls [⟨U+FF5C⟩] sh"),
            ("a\u{37e} b", "a[⟨U+037E⟩] b"),
            ("⟨U+202E⟩", "[⟨U+27E8⟩]U+202E[⟨U+27E9⟩]"),
            ("x·×99", "x[⟨U+00B7⟩]×99"),
        ];
        for (line, wanted) in cases {
            assert_eq!(shown(line), wanted);
        }
    }

    #[test]
    fn padding_is_counted() {
        let few = format!("a{}b", " ".repeat(20));
        assert_eq!(shown(&few), few);
        assert_eq!(shown(&format!("a{}b", " ".repeat(137))), "a[·×137]b");
    }

    proptest! {
        #[test]
        fn what_is_text_is_seen(line in any::<String>()) {
            for unit in units(&line) {
                if let Unit::Text(c) = unit {
                    prop_assert!(c.width() > Some(0) && !is_unsafe(c), "{c:?}");
                    prop_assert!(c == ' ' || !c.is_whitespace(), "{c:?}");
                }
            }
        }

        #[test]
        fn nothing_is_left_out(line in any::<String>()) {
            let mut back = String::new();
            for unit in units(&line) {
                match unit {
                    Unit::Text(c) => back.push(c),
                    Unit::Mark(text) if text == "⟨TAB⟩" => back.push('\t'),
                    Unit::Mark(text) => {
                        let blanks = text.strip_prefix("·×").map(|count| " ".repeat(count.parse().unwrap()));
                        back.push_str(&blanks.unwrap_or_else(|| {
                            let hex = text.trim_start_matches("⟨U+").trim_end_matches('⟩');
                            char::from_u32(u32::from_str_radix(hex, 16).unwrap()).unwrap().to_string()
                        }));
                    }
                }
            }
            prop_assert_eq!(back, line);
        }
    }
}
