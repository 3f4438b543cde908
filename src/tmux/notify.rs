//! Telling the people at a server something: a line in the status line of each client, its terminal's bell, and the notices that terminals
//! know.

use super::client::Tmux;
use super::command::CommandList;
use super::error::Error;
use super::ids::PaneId;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};

/// The ways in which a person is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ways {
    /// The terminal's bell.
    pub bell: bool,
    /// A line in the status line.
    pub display: bool,
    /// `OSC 9 ; TEXT BEL`, which some terminals show on the desktop.
    pub osc9: bool,
    /// `OSC 777 ; notify ; TITLE ; TEXT BEL`, which others show.
    pub osc777: bool,
    /// The user's own command. It is not this room that starts it.
    pub command: bool,
}

impl Ways {
    /// The ways that the words of `@conductor-notify` name, between spaces or commas; others mean nothing.
    pub fn parse(words: &str) -> Self {
        let mut ways = Self::default();
        for word in words.split([' ', ',']) {
            match word {
                "bell" => ways.bell = true,
                "display" => ways.display = true,
                "osc9" => ways.osc9 = true,
                "osc777" => ways.osc777 = true,
                "command" => ways.command = true,
                _ => {}
            }
        }
        ways
    }

    /// What a client's terminal is sent, in one piece.
    fn bytes(self, text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        if self.osc9 {
            bytes.extend(format!("\x1b]9;{text}\x07").bytes());
        }
        if self.osc777 {
            let text = text.replace(';', ",");
            bytes.extend(format!("\x1b]777;notify;conductor;{text}\x07").bytes());
        }
        if self.bell {
            bytes.push(7);
        }
        bytes
    }
}

/// What the person set for the server. The user's own words are compared, never shown or run.
const WISHES: &str = "#{?@conductor-notify,=#{@conductor-notify},}\t#{@conductor-dnd}";

/// Clients, and the pane that each looks at.
const CLIENTS: &str = "#{client_name}\t#{client_tty}\t#{client_control_mode}\t#{pane_id}";

/// What an offer says after its number; by this an offer of ours is known.
const OFFERED: &str = "ended agents can be resumed: conductor recover --resume";

/// Where an offer waits for the first client.
const OFFER_HOOK: &str = "client-session-changed[1731]";

/// Where a message of the plugin's start (conductor.tmux) does, and what it begins with.
const NOTICE: (&str, &str) = ("client-session-changed[1730]", "agent-conductor: ");

/// In which ways people were to be told something, and whether there was anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Told {
    /// The ways.
    pub ways: Ways,
    /// Whether a client is attached.
    pub anybody: bool,
}

impl Tmux {
    /// Says once that `count` ended agents can be resumed: now, or to the first client that comes.
    pub fn offer(&self, count: usize) -> Result<(), Error> {
        let text = format!("{count} {OFFERED}");
        let ways = Ways {
            display: true,
            ..Ways::default()
        };
        if self.notify(&text, None, ways)?.anybody
            || self.holds(OFFER_HOOK, OFFERED)? == Some(false)
        {
            return Ok(());
        }
        let body = format!("set-hook -gu '{OFFER_HOOK}' ; display-message -d 8000 '{text}'");
        let list = CommandList::new().then(["set-hook", "-g", OFFER_HOOK, &body]);
        self.run(&list).map(drop)
    }

    /// Takes an offer back that no client has seen.
    pub fn withdraw_offer(&self) -> Result<(), Error> {
        self.withdraw(OFFER_HOOK, OFFERED)
    }

    /// Takes a message of the plugin's start back that no client has seen.
    pub fn withdraw_notice(&self) -> Result<(), Error> {
        self.withdraw(NOTICE.0, NOTICE.1)
    }

    fn withdraw(&self, hook: &str, text: &str) -> Result<(), Error> {
        if self.holds(hook, text)? == Some(true) {
            self.run(&CommandList::new().then(["set-hook", "-gu", hook]))?;
        }
        Ok(())
    }

    /// Whether what stands at this place of a hook's array says `text`; none when nothing does.
    fn holds(&self, hook: &str, text: &str) -> Result<Option<bool>, Error> {
        let listed = self.run(&CommandList::new().then(["show-hooks", "-g"]))?;
        let found = listed
            .lines()
            .find_map(|line| line.strip_prefix(hook)?.strip_prefix(' '));
        Ok(found.map(|body| body.contains(text)))
    }

    /// Tells every person at this server `text`, but for those who look at the pane `about` right now. `@conductor-notify` holds the ways, else
    /// `usual` does; `@conductor-dnd` turns all of them off. Says in which ways they were to be told.
    pub fn notify(&self, text: &str, about: Option<PaneId>, usual: Ways) -> Result<Told, Error> {
        let list = CommandList::new()
            .then(["display-message", "-p", WISHES])
            .then(["list-clients", "-F", CLIENTS]);
        let answer = match self.run(&list) {
            Err(Error::Refused(_) | Error::NoServer(_)) => {
                return Ok(Told {
                    ways: usual,
                    anybody: false,
                });
            }
            other => other?,
        };
        let mut lines = answer.lines();
        let (notify, dnd) = lines
            .next()
            .and_then(|line| line.split_once('\t'))
            .unwrap_or_default();
        if !matches!(dnd, "" | "off" | "0" | "no") {
            return Ok(Told {
                ways: Ways::default(),
                anybody: lines.next().is_some(),
            });
        }
        let ways = notify.strip_prefix('=').map_or(usual, Ways::parse);
        let text = crate::domain::text::one_line(text);
        let mut anybody = false;
        for line in lines {
            anybody = true;
            let fields: Vec<&str> = line.split('\t').collect();
            let [name, tty, control, pane] = fields[..] else {
                continue;
            };
            if about.is_some() && PaneId::parse(pane) == about {
                continue;
            }
            if control != "1" {
                send(tty, &ways.bytes(&text));
            }
            if ways.display {
                self.tell(name, &text)?;
            }
        }
        Ok(Told { ways, anybody })
    }
}

/// Writes to a client's terminal. tmux has no command for it: what it prints goes into a pane, and the pane is an agent's.
fn send(tty: &str, bytes: &[u8]) {
    // It is the client that named it.
    if bytes.is_empty() || !tty.starts_with("/dev/") {
        return;
    }
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
        let _ = file.write_all(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_words_are_ways_and_nothing_else() {
        let ways = Ways::parse("bell, osc777 #(touch x) display");
        assert!(ways.bell && ways.display && ways.osc777 && !ways.osc9 && !ways.command);
        assert_eq!(Ways::parse("none"), Ways::default());
    }

    #[test]
    fn a_notice_cannot_end_its_own_frame() {
        let all = Ways::parse("bell osc9 osc777");
        let text = crate::domain::text::one_line("a\x07b\x1b\\c\u{9c};d");
        let sent = String::from_utf8(all.bytes(&text)).unwrap();
        assert_eq!(sent.matches('\x07').count(), 3);
        assert_eq!(sent.matches('\x1b').count(), 2);
        assert!(!sent.contains('\u{9c}'));
    }
}
