//! Texts that would do something somewhere, and a look whether they did.

use super::screen::Colour;
use crate::support::World;
use std::fs;
use std::path::Path;

/// The colour that some of them ask for.
pub(crate) const HOSTILE_COLOUR: Colour = Colour::Index(201);

/// Texts that would run, end a word or break a view somewhere (`P` would be the file).
pub(crate) const HOSTILE: [&str; 13] = [
    "$(touch P)`touch P`",
    "'; touch P; '",
    "\"; run-shell 'touch P' ; \"",
    "#(touch P)#{E:x}#[fg=colour201]##(touch P)",
    "x' ; run-shell 'touch P' #",
    "} ; touch P ; {",
    "%H:%M %% %1 %%% \\ ~ $HOME",
    "\u{1b}]2;owned\u{7}\u{1b}[38;5;201m\u{9b}2J",
    "%% %1 %2 %%% %1% %2% \" ; run-shell 'touch P' ; \" %2",
    "-t evil ; kill-server ;",
    "\u{1b}]52;c;b3duZWQ=\u{7}\u{1b}Ptmux;\u{1b}\u{1b}]2;owned\u{7}\u{1b}\\",
    "#{l:x}#{q:pane_title}#{T:@conductor_in}#{P:#(touch P)},#,#}",
    "\u{202e}evil\u{200b}\u{2066} 日本語 e\u{301}",
];

/// No file of theirs is there, and no view was opened over a pane.
#[track_caller]
pub(crate) fn nothing_ran(world: &World) {
    fn look(place: &Path) {
        for entry in fs::read_dir(place).into_iter().flatten().flatten() {
            assert_ne!(entry.file_name(), "P", "{}", place.display());
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                look(&entry.path());
            }
        }
    }
    look(&world.at(""));
    let modes = world.tmux(["list-panes", "-a", "-F", "#{pane_in_mode}"]);
    assert!(!modes.contains('1'), "a view was opened over a pane");
}
