//! The clients that people look through: who is attached, what they see, and a line in their status line.

use super::client::Tmux;
use super::command::{CommandList, literal};
use super::error::Error;
use super::ids::PaneId;
use crate::domain::text::one_line;

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

    /// Shows `pane` in a client.
    pub fn show(&self, client: &str, pane: PaneId) -> Result<(), Error> {
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
        let list = CommandList::new().then(["display-message", "-c", client, &text]);
        match self.run(&list) {
            // tmux 3.2 takes no client here; the one that was used last is the one whose key was pressed.
            Err(Error::Refused(said)) if said.contains("usage:") => {
                let list = CommandList::new().then(["display-message", &text]);
                self.run(&list).map(drop)
            }
            other => other.map(drop),
        }
    }
}
