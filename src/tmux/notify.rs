//! Telling the people at a server that something waits: a line in the status line of each client, and its terminal's bell.

use super::client::Tmux;
use super::command::CommandList;
use super::error::Error;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};

/// Clients, and what the person wants of notices. The options are the user's own words; they are compared, never shown or run.
const CLIENTS: &str = "#{client_name}\t#{client_tty}\t#{client_control_mode}\t#{@conductor-notify}\t#{@conductor-dnd}";

impl Tmux {
    /// Says that approval `id` waits. `@conductor-notify` holds the ways (default `bell display`), `@conductor-dnd` turns them off.
    pub fn announce(&self, id: i64) -> Result<(), Error> {
        let text = match self.run(&CommandList::new().then(["list-clients", "-F", CLIENTS])) {
            Err(Error::Refused(_)) => return Ok(()),
            other => other?,
        };
        for line in text.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            let [name, tty, control, notify, dnd] = fields[..] else {
                continue;
            };
            if !matches!(dnd, "" | "off" | "0" | "no") {
                continue;
            }
            let notify = if notify.is_empty() {
                "bell display"
            } else {
                notify
            };
            let ways: Vec<&str> = notify.split([' ', ',']).collect();
            if ways.contains(&"bell") && control != "1" {
                ring(tty);
            }
            if ways.contains(&"display") {
                let text = format!("approval {id} waits for you: prefix A, or approve {id}");
                self.tell(name, &text)?;
            }
        }
        Ok(())
    }
}

/// Rings the bell of a client's terminal. tmux has no command for it: what it prints goes into a pane, and the pane is an agent's.
fn ring(tty: &str) {
    let flags = nix::libc::O_NOCTTY | nix::libc::O_NONBLOCK | nix::libc::O_CLOEXEC;
    let opened = std::fs::OpenOptions::new()
        .write(true)
        .custom_flags(flags)
        .open(tty);
    if let Ok(mut file) = opened
        && file
            .metadata()
            .is_ok_and(|meta| meta.file_type().is_char_device())
    {
        let _ = file.write_all(b"\x07");
    }
}
