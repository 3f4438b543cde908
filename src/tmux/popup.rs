//! A popup over one client, for a program that asks a person: what is in it is in no pane, so `capture-pane` does not see it.

use super::client::Tmux;
use super::command::CommandList;
use super::error::Error;
use super::viewers::Viewer;
use crate::paths;
use crate::proc;
use std::process::{Command, Stdio};

/// Columns and rows of a popup, its frame included, in a client of this size: nine tenths of it, at least 80 by 24 inside, or all of the client
/// where that is too small.
fn large((columns, rows): (u32, u32)) -> (u32, u32) {
    let of = |whole: u32, least: u32| (whole * 9 / 10).max(least + 2).min(whole).max(1);
    (of(columns, 80), of(rows, 24))
}

fn numbers(text: &str) -> Option<(u32, u32)> {
    let (columns, rows) = text.trim().split_once(' ')?;
    Some((columns.parse().ok()?, rows.parse().ok()?))
}

impl Tmux {
    /// Names of the terminals of all panes; none where no server runs.
    pub fn pane_terminals(&self) -> Result<Vec<String>, Error> {
        let list = CommandList::new().then(["list-panes", "-a", "-F", "#{pane_tty}"]);
        match self.run(&list) {
            Err(Error::NoServer(_)) => Ok(Vec::new()),
            other => Ok(other?.lines().map(str::to_owned).collect()),
        }
    }

    /// The tmux program that opens a popup with `shell_line` and ends when it is closed.
    ///
    /// A popup holds up the queue of whoever ran it until it is closed. In that of the person's client (a key's own command, `run-shell -b
    /// -C`) all timers and hooks of the server wait too, and with them the Enter of every message.
    pub fn popup_command(&self, viewer: &Viewer, shell_line: &str) -> Result<Command, Error> {
        let side = |cells: usize| u32::try_from(cells).unwrap_or(u32::MAX / 9);
        let (width, height) = large((side(viewer.columns), side(viewer.rows)));
        let mut command = self.own_client(&CommandList::new())?;
        command
            .args(["display-popup", "-c", &viewer.name, "-E"])
            .args(["-w", &width.to_string(), "-h", &height.to_string()])
            .arg(shell_line);
        Ok(command)
    }

    /// A tmux client of our own that runs `list` and waits as long as that takes; it keeps the variables that tell which pane this process is in.
    pub(super) fn own_client(&self, list: &CommandList) -> Result<Command, Error> {
        // An old client against a newer server fails; the server's own program always fits it.
        let own = self.program_of_server()?.filter(|own| own.is_file());
        let program = own
            .or_else(|| paths::find_program("tmux", None))
            .ok_or(Error::Missing)?;
        let mut command = proc::command(program);
        command.arg("-u").arg("-S").arg(self.socket());
        command.args(list.argv()).stdin(Stdio::null());
        Ok(command)
    }

    /// Opens a popup on the client that shows the pane of this process, and waits until it is closed. `line` makes the shell line for that
    /// client's name.
    pub fn popup_here(&self, line: impl Fn(&str) -> Option<String>) -> Result<(), Error> {
        let found = self
            .own_client(&CommandList::new())?
            .args([
                "display-message",
                "-p",
                "#{client_width} #{client_height} #{client_name}",
            ])
            .output()
            .map_err(|e| Error::Run(e.to_string()))?;
        let text = String::from_utf8_lossy(&found.stdout).into_owned();
        let mut words = text.trim_end_matches('\n').splitn(3, ' ');
        let size = words
            .next()
            .zip(words.next())
            .and_then(|(columns, rows)| numbers(&format!("{columns} {rows}")));
        let (Some(size), Some(client)) = (size, words.next().filter(|name| !name.is_empty()))
        else {
            return Err(Error::Refused("no client shows this pane".to_owned()));
        };
        let line = line(client)
            .ok_or_else(|| Error::Refused("the popup's program cannot be named".to_owned()))?;
        let (width, height) = large(size);
        let shown = self
            .own_client(&CommandList::new())?
            .args(["display-popup", "-c", client, "-E"])
            .args(["-w", &width.to_string(), "-h", &height.to_string()])
            .arg(&line)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .output()
            .map_err(|e| Error::Run(e.to_string()))?;
        let said = String::from_utf8_lossy(&shown.stderr);
        if shown.status.success() || said.trim().is_empty() {
            return Ok(());
        }
        Err(Error::Refused(crate::domain::text::one_line(said.trim())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_popup_fits_the_client() {
        assert_eq!(large((200, 60)), (180, 54));
        assert_eq!(large((85, 26)), (82, 26));
        assert_eq!(large((60, 20)), (60, 20));
        assert_eq!(numbers("85 26\n"), Some((85, 26)));
        assert_eq!(numbers(""), None);
    }
}
