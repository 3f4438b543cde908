//! tmux's own ids, parsed before they are used.

use std::fmt;

/// A pane's id: `%7`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PaneId(u32);

impl PaneId {
    /// Parses `%7`.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('%')?;
        (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then_some(())?;
        digits.parse().ok().map(Self)
    }

    /// The number behind the percent sign.
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for PaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_percent_and_digits_are_a_pane() {
        assert_eq!(PaneId::parse("%7").unwrap().to_string(), "%7");
        for bad in [
            "",
            "%",
            "7",
            "%-1",
            "%1;",
            "%1 ",
            "%99999999999",
            "@1",
            "$1",
        ] {
            assert_eq!(PaneId::parse(bad), None, "{bad:?}");
        }
    }
}
