//! Telling the people at a server that something waits: a line in the status line of each client, and its terminal's bell.

use super::client::Tmux;
use super::command::CommandList;
use super::error::Error;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};

/// Clients, and what the person wants of notices. The options are the user's own words; they are compared, never shown or run.
const CLIENTS: &str = "#{client_name}\t#{client_tty}\t#{client_control_mode}\t#{@conductor-notify}\t#{@conductor-dnd}";

/// What an offer says after its number; by this an offer of ours is known.
const OFFERED: &str = "ended agents can be resumed: conductor recover --resume";

/// Where an offer waits for the first client.
const OFFER_HOOK: &str = "client-session-changed[1731]";

impl Tmux {
    /// Says that approval `id` waits. `@conductor-notify` holds the ways (default `bell display`), `@conductor-dnd` turns them off.
    pub fn announce(&self, id: i64) -> Result<(), Error> {
        let text = format!("approval {id} waits for you: prefix A, or approve {id}");
        self.notify(&text, true).map(drop)
    }

    /// Says once that `count` ended agents can be resumed: now, or to the first client that comes.
    pub fn offer(&self, count: usize) -> Result<(), Error> {
        let text = format!("{count} {OFFERED}");
        if self.notify(&text, false)? {
            return Ok(());
        }
        let body = format!("set-hook -gu '{OFFER_HOOK}' ; display-message -d 8000 '{text}'");
        let list = CommandList::new().then(["set-hook", "-g", OFFER_HOOK, &body]);
        self.run(&list).map(drop)
    }

    /// Takes an offer back that no client has seen.
    pub fn withdraw_offer(&self) -> Result<(), Error> {
        let listed = self.run(&CommandList::new().then(["show-hooks", "-g"]))?;
        let ours = |line: &str| line.starts_with(OFFER_HOOK) && line.contains(OFFERED);
        if listed.lines().any(ours) {
            self.run(&CommandList::new().then(["set-hook", "-gu", OFFER_HOOK]))?;
        }
        Ok(())
    }

    /// Says `text` to each client whose person wants it so; says whether there is a client at all.
    fn notify(&self, text: &str, bell: bool) -> Result<bool, Error> {
        let list = CommandList::new().then(["list-clients", "-F", CLIENTS]);
        let clients = match self.run(&list) {
            Err(Error::Refused(_)) => return Ok(false),
            other => other?,
        };
        for line in clients.lines() {
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
            if bell && ways.contains(&"bell") && control != "1" {
                ring(tty);
            }
            if ways.contains(&"display") {
                self.tell(name, text)?;
            }
        }
        Ok(!clients.is_empty())
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
