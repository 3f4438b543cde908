//! Whether people see a pane, and waking the program in it when they see it again.
//!
//! The waking costs no process: hooks that exist only while the pane is hidden test in the server whether it is in sight, and then type what
//! a terminal says when it gets the person's attention (`Esc [ I`). They remove themselves then, and also when the pane is gone.

use super::client::Tmux;
use super::command::{CommandList, quoted};
use super::error::Error;
use super::ids::PaneId;
use crate::paths;

/// First index of our entries in the hook arrays; the pane's number is added.
const FIRST: u32 = 17_290_000;
/// How many indexes are ours.
const SPAN: u32 = 10_000;

/// What may bring a pane into sight.
const EVENTS: [&str; 5] = [
    "session-window-changed",
    "client-attached",
    "client-session-changed",
    "window-layout-changed",
    "pane-mode-changed",
];

/// A client shows the pane's window, no other pane fills it, and keys reach the program.
const SEEN: &str = "#{&&:#{!=:#{window_active_clients},0},#{&&:#{||:#{!=:#{window_zoomed_flag},1},#{pane_active}},#{==:#{pane_in_mode},0}}}";

fn entry(event: &str, pane: PaneId) -> String {
    format!("{event}[{}]", FIRST + pane.number() % SPAN)
}

/// The commands that take the hooks of `pane` away.
fn forget(pane: PaneId) -> Vec<[String; 3]> {
    let of = |event: &&str| ["set-hook".to_owned(), "-gu".to_owned(), entry(event, pane)];
    EVENTS.iter().map(of).collect()
}

/// What each hook does.
fn body(pane: PaneId) -> String {
    let gone: Vec<String> = forget(pane).iter().map(|words| words.join(" ")).collect();
    let gone = gone.join(" ; ");
    let wake = format!("send-keys -t {pane} -H 1b 5b 49 ; {gone}");
    let look = format!("if-shell -F -t {pane} {} {}", quoted(SEEN), quoted(&wake));
    let there = format!("#{{==:#{{pane_id}},{pane}}}");
    format!(
        "if-shell -F -t {pane} {} {} {}",
        quoted(&there),
        quoted(&look),
        quoted(&gone)
    )
}

impl Tmux {
    /// The pane that this process is in, by its terminal and the variables that tmux sets; `None` outside tmux and in a popup.
    pub fn own_pane() -> Option<(Self, PaneId)> {
        let around = paths::env("TMUX")?;
        let tmux = Self::at(around.split(',').next()?);
        let pane = PaneId::parse(&paths::env("TMUX_PANE")?)?;
        let terminal = nix::unistd::ttyname(std::io::stdin()).ok()?;
        let there = tmux.display(Some(pane), "#{pane_tty}").ok()?;
        (there == terminal.to_str()?).then_some((tmux, pane))
    }

    /// Whether somebody sees `pane`.
    pub fn is_seen(&self, pane: PaneId) -> Result<bool, Error> {
        Ok(self.display(Some(pane), SEEN)? != "0")
    }

    /// Lets the program in `pane` be woken when somebody sees it again. `false`: somebody sees it now, and nothing was set.
    pub fn wake_when_seen(&self, pane: PaneId) -> Result<bool, Error> {
        let body = body(pane);
        let list = EVENTS.iter().fold(CommandList::new(), |list, event| {
            list.then(["set-hook", "-g", &entry(event, pane), &body])
        });
        // The look comes after the hooks, so that nothing happens between the two.
        let target = pane.to_string();
        let list = list.then(["display-message", "-p", "-t", &target, SEEN]);
        let seen = self.run(&list)?.trim_end() != "0";
        if seen {
            self.forget_wake(pane)?;
        }
        Ok(!seen)
    }

    /// Takes back [`Self::wake_when_seen`].
    pub fn forget_wake(&self, pane: PaneId) -> Result<(), Error> {
        let list = forget(pane)
            .into_iter()
            .fold(CommandList::new(), |list, words| list.then(words));
        self.run(&list).map(drop)
    }

    /// Takes back all of them, of whichever pane.
    pub fn forget_all_wakes(&self) -> Result<(), Error> {
        let listing = CommandList::new()
            .then(["show-hooks", "-g"])
            .then(["show-hooks", "-gw"]);
        let listed = self.run(&listing)?;
        let ours = listed.lines().filter_map(|line| {
            let name = line.split(' ').next()?;
            let (_, index) = name.strip_suffix(']')?.split_once('[')?;
            let index: u32 = index.parse().ok()?;
            (FIRST..FIRST + SPAN).contains(&index).then_some(name)
        });
        let list = ours.fold(CommandList::new(), |list, name| {
            list.then(["set-hook", "-gu", name])
        });
        if list.is_empty() {
            return Ok(());
        }
        self.run(&list).map(drop)
    }
}
