//! The clients that people look through: who is attached, what they see, and a line in their status line.

use super::client::Tmux;
use super::command::{CommandList, literal};
use super::error::Error;
use super::ids::PaneId;
use super::server::Version;
use crate::domain::text::one_line;
use crate::fsx;
use std::path::PathBuf;

/// The option with the panes that people came from, by client: `CLIENT=%1,%2` with the client's name in hexadecimal digits, the latest pane
/// last, a space between clients.
pub(super) const BACK: &str = "@conductor_back";

/// How long a line for a person is shown unless a key is pressed, in milliseconds: why something failed takes longer to read than the
/// three quarters of a second of `display-time`.
const LONG_ENOUGH: &str = "5000";

/// How many panes are remembered for a client.
const STEPS: usize = 16;

/// A client that a person looks through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewer {
    /// Its name: letters, digits and `/_-.` only, so that it may stand in a command.
    pub name: String,
    /// Its width.
    pub columns: usize,
    /// Its height.
    pub rows: usize,
    /// Whether it is a program that shows windows in its own way, and neither menus nor popups.
    pub control: bool,
    /// When somebody last typed there, in seconds since 1970.
    pub activity: i64,
    /// The server's version.
    pub version: String,
}

impl Viewer {
    /// Whether questions can be asked without a client of ours that waits for the answer (tmux 3.3). It would wait for ever when the person's
    /// client goes; tmux 3.2 ends it at once.
    pub(super) fn asks_by_itself(&self) -> bool {
        Version::parse(&self.version).is_at_least((3, 3))
    }

    /// Whether a menu that no click has opened can be told to take clicks (tmux 3.5).
    pub(super) fn mouse_in_menus(&self) -> bool {
        Version::parse(&self.version).is_at_least((3, 5))
    }
}

/// The panes that each client came from.
fn trails(text: &str) -> Vec<(String, Vec<PaneId>)> {
    text.split(' ')
        .filter_map(|part| part.split_once('='))
        .map(|(client, panes)| {
            let panes = panes.split(',').filter_map(PaneId::parse);
            (client.to_owned(), panes.collect())
        })
        .collect()
}

fn trails_text(trails: &[(String, Vec<PaneId>)]) -> String {
    let each = trails.iter().filter(|(_, panes)| !panes.is_empty());
    let each = each.map(|(client, panes)| {
        let panes: Vec<String> = panes.iter().map(ToString::to_string).collect();
        format!("{client}={}", panes.join(","))
    });
    each.collect::<Vec<_>>().join(" ")
}

impl Tmux {
    /// Name and process of every attached client; none where no server runs.
    pub fn clients(&self) -> Result<Vec<(String, i32)>, Error> {
        Ok(self
            .of_clients("#{client_pid}")?
            .into_iter()
            .filter_map(|(name, pid)| Some((name, pid.parse().ok()?)))
            .collect())
    }

    /// The value of `format` for the client with this name; `None` where there is none. (tmux 3.2's `display-message -c` takes no client.)
    pub fn of_client(&self, client: &str, format: &'static str) -> Result<Option<String>, Error> {
        let mut all = self.of_clients(format)?.into_iter();
        Ok(all.find(|(name, _)| name == client).map(|(_, value)| value))
    }

    fn of_clients(&self, format: &str) -> Result<Vec<(String, String)>, Error> {
        let format = format!("#{{client_name}}\t{format}");
        let text = match self.run(&CommandList::new().then(["list-clients", "-F", &format])) {
            Err(Error::NoServer(_)) => return Ok(Vec::new()),
            other => other?,
        };
        Ok(text
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect())
    }

    /// The client with this name; `None` where there is none.
    pub fn viewer(&self, client: &str) -> Result<Option<Viewer>, Error> {
        const FORMAT: &str =
            "#{client_width} #{client_height} #{client_control_mode} #{client_activity} #{version}";
        let Some(found) = self.of_client(client, FORMAT)? else {
            return Ok(None);
        };
        let sound = |c: char| c.is_ascii_alphanumeric() || "/_-.".contains(c);
        if client.is_empty() || client.starts_with('-') || !client.chars().all(sound) {
            return Err(Error::Refused(format!(
                "the client {} has a name that cannot stand in a command",
                one_line(client)
            )));
        }
        let mut words = found.splitn(5, ' ');
        let mut next = || words.next().unwrap_or_default();
        Ok(Some(Viewer {
            name: client.to_owned(),
            columns: next().parse().unwrap_or(80),
            rows: next().parse().unwrap_or(24),
            control: next() == "1",
            activity: next().parse().unwrap_or(0),
            version: next().to_owned(),
        }))
    }

    /// The pane that a client shows.
    pub fn pane_of(&self, client: &str) -> Result<Option<PaneId>, Error> {
        let pane = self.of_client(client, "#{pane_id}")?;
        Ok(pane.as_deref().and_then(PaneId::parse))
    }

    /// The working directory of what runs in a pane, whole: its name may hold line breaks.
    pub fn directory_of(&self, pane: PaneId) -> Result<PathBuf, Error> {
        let pane = pane.to_string();
        let ask = ["display-message", "-p", "-t", &pane, "#{pane_current_path}"];
        let said = self.run(&CommandList::new().then(ask))?;
        Ok(PathBuf::from(said.strip_suffix('\n').unwrap_or(&said)))
    }

    /// Shows `pane` in a client, and remembers where the person was, for [`Self::back`].
    pub fn go(&self, client: &str, pane: PaneId) -> Result<(), Error> {
        let here = self.pane_of(client)?;
        self.show(client, pane)?;
        let Some(here) = here.filter(|here| *here != pane) else {
            return Ok(());
        };
        self.change_trail(client, |panes| {
            panes.push(here);
            panes.drain(..panes.len().saturating_sub(STEPS));
            Ok(())
        })
    }

    /// Shows the pane where the person at `client` was before the last [`Self::go`]; says whether there is one.
    pub fn back(&self, client: &str) -> Result<bool, Error> {
        let here = self.pane_of(client)?;
        let mut shown = false;
        self.change_trail(client, |panes| {
            while let Some(pane) = panes.pop() {
                // It may be gone by now.
                if Some(pane) != here && self.show(client, pane).is_ok() {
                    shown = true;
                    break;
                }
            }
            Ok(())
        })?;
        Ok(shown)
    }

    fn change_trail(
        &self,
        client: &str,
        change: impl FnOnce(&mut Vec<PaneId>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let [text] = self.globals([BACK])?;
        let there = self.clients()?;
        let mut trails = trails(text.as_deref().unwrap_or_default());
        trails.retain(|(name, _)| {
            let mut names = there.iter().map(|(name, _)| fsx::hex(name.as_bytes()));
            names.any(|there| there == *name)
        });
        let name = fsx::hex(client.as_bytes());
        let at = trails.iter().position(|(other, _)| *other == name);
        let at = at.unwrap_or_else(|| {
            trails.push((name, Vec::new()));
            trails.len() - 1
        });
        change(&mut trails[at].1)?;
        let text = trails_text(&trails);
        self.run(&CommandList::new().then(["set-option", "-g", BACK, &text]))
            .map(drop)
    }

    /// Shows `pane` in a client.
    fn show(&self, client: &str, pane: PaneId) -> Result<(), Error> {
        let pane = pane.to_string();
        let list = CommandList::new()
            .then(["switch-client", "-c", client, "-t", &pane])
            .then(["select-window", "-t", &pane])
            .then(["select-pane", "-t", &pane]);
        self.run(&list).map(drop)
    }

    /// The client in which `pane` is the active one; of several the one that was used last.
    pub fn viewer_of(&self, pane: PaneId) -> Result<Option<String>, Error> {
        let pane = pane.to_string();
        let viewers = self.of_clients("#{client_activity} #{pane_id}")?;
        let viewers = viewers.into_iter().filter_map(|(name, value)| {
            let (used, shown) = value.split_once(' ')?;
            (shown == pane).then(|| (used.parse::<i64>().unwrap_or(0), name))
        });
        Ok(viewers.max().map(|(_, name)| name))
    }

    /// Says `text` in the status line of a client.
    pub fn tell(&self, client: &str, text: &str) -> Result<(), Error> {
        // What follows a percent sign would be taken for a time.
        let text = literal(&one_line(text)).replace('%', "%%");
        let shown = ["display-message", "-d", LONG_ENOUGH];
        let list = CommandList::new().then(shown.into_iter().chain(["-c", client, &text]));
        match self.run(&list) {
            // tmux 3.2 takes no client here; the one that was used last is the one whose key was pressed.
            Err(Error::Refused(said)) if said.contains("usage:") => {
                let list = CommandList::new().then(shown.into_iter().chain([text.as_str()]));
                self.run(&list).map(drop)
            }
            other => other.map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trails_round_trip() {
        let text = "2f6465=%1,%22 2f6466=%3";
        assert_eq!(trails_text(&trails(text)), text);
        assert_eq!(trails_text(&trails("2f= 30 x=%y,%4")), "x=%4");
        assert_eq!(trails(""), []);
    }
}
