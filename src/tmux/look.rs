//! How what we show looks: signs and styles that the user may choose, and formats for windows and pane borders.

use std::fmt::Write as _;

/// What of our things has a sign, in the order of the segment: its word in the options' names, and its sign unless the user chose another.
pub(super) const SIGNS: [(&str, &str); 5] = [
    ("pending", "⏳"),
    ("waiting", "?"),
    ("unread", "✉"),
    ("error", "⚠"),
    ("note", "✎"),
];

/// The options of signs and styles, in the order of [`SIGNS`].
pub(super) const OPTIONS: [&str; 10] = [
    "@conductor-pending-sign",
    "@conductor-waiting-sign",
    "@conductor-unread-sign",
    "@conductor-error-sign",
    "@conductor-note-sign",
    "@conductor-pending-style",
    "@conductor-waiting-style",
    "@conductor-unread-style",
    "@conductor-error-style",
    "@conductor-note-style",
];

/// The option that holds the format of a window's mark.
pub const WINDOW_MARK_OPTION: &str = "@conductor_window_mark";
/// The option that holds the format of a pane's mark.
pub const PANE_MARK_OPTION: &str = "@conductor_pane_mark";

/// Set on a pane whose agent's status a person has marked as seen; its next status takes it away.
pub const SEEN: &str = "@conductor_seen";

/// The sign of the first thing that calls for a person, of each pane of a window: for `window-status-format`.
pub const WINDOW_MARK: &str = "#{P:#{?@conductor_seen,,#{?#{==:#{@conductor_status},waiting}, #{?@conductor-waiting-sign,#{@conductor-waiting-sign},?},#{?#{==:#{@conductor_status},error}, #{?@conductor-error-sign,#{@conductor-error-sign},⚠},}}}}";
/// A pane's terminal and its status: for `pane-border-format`.
pub const PANE_MARK: &str = "#{?@conductor_id, #{@conductor_id} #{@conductor_status},}";

/// The user's signs and styles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Look {
    signs: [Option<String>; 5],
    styles: [Option<String>; 5],
}

impl Look {
    /// From the values of [`OPTIONS`].
    pub(super) fn of(values: [Option<String>; 10]) -> Self {
        let mut values = values.into_iter();
        let mut five = || [0; 5].map(|_| values.next().flatten());
        Self {
            signs: five(),
            styles: five().map(|style| style.filter(|style| is_style(style))),
        }
    }

    /// The text for `counts`, in the order of [`SIGNS`]; nothing for those that are 0. Without styles of the user's it has those of the status
    /// line that it stands in.
    pub(super) fn segment(&self, counts: [u64; 5]) -> String {
        let mut text = String::new();
        for (index, count) in counts
            .into_iter()
            .enumerate()
            .filter(|(_, count)| *count > 0)
        {
            let space = if text.is_empty() { "" } else { " " };
            let sign = self.signs[index].as_deref().unwrap_or(SIGNS[index].1);
            let _ = match &self.styles[index] {
                None => write!(text, "{space}{sign}{count}"),
                Some(style) => write!(
                    text,
                    "{space}#[push-default]#[{style}]{sign}{count}#[default]#[pop-default]"
                ),
            };
        }
        text
    }

    /// As [`Self::segment`] without styles: what is seen of it.
    pub(super) fn plain(&self, counts: [u64; 5]) -> String {
        let signs = self.signs.clone();
        Self {
            signs,
            ..Self::default()
        }
        .segment(counts)
    }
}

/// Whether tmux takes `text` for a style and for nothing else (STYLES in tmux(1)).
fn is_style(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '=' | ',' | '-' | '#' | ' '))
        && !text.contains("##")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(option: &str, value: &str) -> Look {
        let mut values: [Option<String>; 10] = Default::default();
        let at = OPTIONS.iter().position(|name| *name == option).unwrap();
        values[at] = Some(value.to_owned());
        Look::of(values)
    }

    #[test]
    fn without_a_choice_it_has_the_colours_of_the_status_line() {
        let look = Look::default();
        assert_eq!(look.segment([0; 5]), "");
        assert_eq!(look.segment([2, 0, 3, 0, 0]), "⏳2 ✉3");
        assert_eq!(look.segment([0, 1, 0, 1, 2]), "?1 ⚠1 ✎2");
    }

    #[test]
    fn a_style_holds_for_its_sign_alone() {
        let look = look("@conductor-pending-style", "fg=#ff8800,bold");
        assert_eq!(
            look.segment([2, 1, 0, 0, 0]),
            "#[push-default]#[fg=#ff8800,bold]⏳2#[default]#[pop-default] ?1"
        );
        assert_eq!(look.plain([2, 1, 0, 0, 0]), "⏳2 ?1");
    }

    #[test]
    fn a_sign_may_be_a_letter_and_a_style_is_nothing_else() {
        assert_eq!(
            look("@conductor-error-sign", "E").segment([0, 0, 0, 7, 0]),
            "E7"
        );
        for style in ["fg=red]#(touch x)", "#{E:x}", ""] {
            let look = look("@conductor-error-style", style);
            assert_eq!(look.segment([0, 0, 0, 7, 0]), "⚠7", "{style}");
        }
    }

    #[test]
    fn the_formats_have_the_signs_that_the_segment_has() {
        for (word, sign) in [SIGNS[1], SIGNS[3]] {
            let part = format!("#{{?@conductor-{word}-sign,#{{@conductor-{word}-sign}},{sign}}}");
            assert!(WINDOW_MARK.contains(&part), "{part}");
        }
        let opens = |text: &str| text.matches("#{").count();
        assert_eq!(opens(WINDOW_MARK), WINDOW_MARK.matches('}').count());
    }
}
