//! tmux-resurrect beside us: the hooks that it runs when it has saved and when it has restored, and where panes are in its words.
//!
//! It keeps each hook in an option whose text it gives to bash. Ours stands in front of whatever the user has there, and holds no path: it
//! asks tmux for them.

use super::client::Tmux;
use super::command::CommandList;
use super::error::Error;
use super::ids::PaneId;

/// The user's word on it: `on`, `off`, else wherever tmux-resurrect is loaded.
const WISH: &str = "@conductor-resurrect";

/// Set by tmux-resurrect when it is loaded.
const PRESENT: &str = "@resurrect-save-script-path";

/// The two options, and what of ours stands in them.
const HOOKS: [(&str, &str); 2] = [
    (
        "@resurrect-hook-post-save-layout",
        concat!(
            r#""$(tmux show-option -gqv @conductor_hook)" --home "$(tmux show-option -gqv @conductor_home)" -S "${TMUX%,*,*}" "#,
            r#"plugin saved "$1" >/dev/null 2>&1"#
        ),
    ),
    // It starts agents, which takes its time; tmux-resurrect does not wait for that.
    (
        "@resurrect-hook-post-restore-all",
        concat!(
            r#"{ "$(tmux show-option -gqv @conductor_hook)" --home "$(tmux show-option -gqv @conductor_home)" -S "${TMUX%,*,*}" "#,
            r#"plugin restored "$(last_resurrect_file)" & } >/dev/null 2>&1"#
        ),
    ),
];

/// Between ours and the user's.
const SEAM: &str = " ; ";

/// Stands for an option that was not set: it takes the argument that tmux-resurrect adds, and does nothing.
const NOTHING: &str = ": conductor";

/// Stands for an option that was set to nothing.
const EMPTY: &str = ": conductor ''";

/// The user's text of an option that holds ours; `None` where ours is not there.
fn users(value: &str) -> Option<&str> {
    let (ours, rest) = value.split_once(SEAM)?;
    (ours.contains("@conductor_hook") && ours.contains(" plugin ")).then_some(rest)
}

fn with(value: Option<&str>, ours: &str) -> String {
    let rest = match value {
        None => NOTHING,
        Some("") => EMPTY,
        Some(value) => users(value).unwrap_or(value),
    };
    format!("{ours}{SEAM}{rest}")
}

/// Where a pane is, as tmux-resurrect writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coordinates {
    /// The pane.
    pub pane: PaneId,
    /// Its `@conductor_id`.
    pub terminal: String,
    /// Session's name.
    pub session: String,
    /// Index of the window.
    pub window: String,
    /// Index of the pane.
    pub index: String,
}

impl Tmux {
    /// Puts our hooks into tmux-resurrect's, or takes them out, as the user wishes; says whether they are there.
    pub fn hook_resurrect(&self) -> Result<bool, Error> {
        let [wish, present, save, restore] =
            self.globals([WISH, PRESENT, HOOKS[0].0, HOOKS[1].0])?;
        let wanted = match wish.as_deref() {
            Some("on") => true,
            Some("off") => false,
            _ => present.is_some_and(|path| !path.is_empty()),
        };
        if !wanted {
            self.unhook_resurrect()?;
            return Ok(false);
        }
        let mut list = CommandList::new();
        for ((name, ours), value) in HOOKS.iter().zip([save, restore]) {
            let wanted = with(value.as_deref(), ours);
            if value.as_deref() != Some(&wanted) {
                list = list.then(["set-option", "-g", name, &wanted]);
            }
        }
        if !list.is_empty() {
            self.run(&list)?;
        }
        Ok(true)
    }

    /// Takes our hooks out of tmux-resurrect's; the user's stay as they are.
    pub fn unhook_resurrect(&self) -> Result<(), Error> {
        let found = self.globals([HOOKS[0].0, HOOKS[1].0])?;
        let mut list = CommandList::new();
        for ((name, _), value) in HOOKS.iter().zip(found) {
            list = match value.as_deref().and_then(users) {
                None => list,
                Some(NOTHING) => list.then(["set-option", "-gu", name]),
                Some(EMPTY) => list.then(["set-option", "-g", name, ""]),
                Some(rest) => list.then(["set-option", "-g", name, rest]),
            };
        }
        if !list.is_empty() {
            self.run(&list)?;
        }
        Ok(())
    }

    /// Every place of every pane.
    pub fn coordinates(&self) -> Result<Vec<Coordinates>, Error> {
        let format =
            "#{pane_id}\t#{@conductor_id}\t#{window_index}\t#{pane_index}\t#{session_name}";
        let text = self.run(&CommandList::new().then(["list-panes", "-a", "-F", format]))?;
        let place = |line: &str| {
            let fields: Vec<&str> = line.splitn(5, '\t').collect();
            let [pane, terminal, window, index, session] = fields[..] else {
                return None;
            };
            Some(Coordinates {
                pane: PaneId::parse(pane)?,
                terminal: terminal.to_owned(),
                session: session.to_owned(),
                window: window.to_owned(),
                index: index.to_owned(),
            })
        };
        Ok(text.lines().filter_map(place).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_stands_in_front_and_leaves_the_users_text_as_it_was() {
        for (_, ours) in HOOKS {
            assert_eq!(ours.matches(SEAM).count(), 0);
            for user in ["echo done", "a ; b &", "tmux display \"x ; y\" # said"] {
                let both = with(Some(user), ours);
                assert_eq!(users(&both), Some(user));
                assert_eq!(with(Some(&both), ours), both, "twice is once");
            }
            assert_eq!(users(&with(None, ours)), Some(NOTHING));
            assert_eq!(users(&with(Some(""), ours)), Some(EMPTY));
        }
        for strange in ["", "echo", "a ; b", "echo @conductor_hook"] {
            assert_eq!(users(strange), None);
        }
    }
}
