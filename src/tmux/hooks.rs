//! Our hooks: doorbells that say "look", each at one index of its array, so that a user's hooks of the same name stay.
//!
//! A guard in the server decides whether a process starts at all: none while no terminal lives, and one for any number of deaths and
//! layout changes until that one has looked.

use super::client::Tmux;
use super::command::{CommandList, quoted};
use super::error::Error;
use super::status_line::{global, sections};
use super::timer::helper;
use serde::Serialize;

/// Our index in every hook array.
pub const INDEX: u32 = 1729;

/// The version of the plugin that is loaded into a server; unset where none is.
pub const LOADED: &str = "@conductor_plugin";
/// Set by the hooks that ask for a comparison, cleared by the helper before it looks.
pub const DIRTY: &str = "@conductor_dirty";
/// `1` while a message waits for a gate (set by whoever queues and delivers).
pub const WAITS: &str = "@conductor_waits";

/// Every server-wide option of ours; `unload` removes these and those of its state directory's timers, and no others.
pub const GLOBAL_OPTIONS: [&str; 16] = [
    "@conductor_hook",
    "@conductor_home",
    LOADED,
    DIRTY,
    WAITS,
    "@conductor_pending",
    "@conductor_unread",
    "@conductor_waiting",
    "@conductor_notes",
    super::prompt::TYPED,
    super::viewers::BACK,
    "@conductor_live",
    "@conductor_segment",
    "@conductor_right_length",
    super::look::WINDOW_MARK_OPTION,
    super::look::PANE_MARK_OPTION,
];

/// Options of a pane without which nothing can be delivered to its agent.
const FENCE_OPTIONS: [&str; 6] = [
    "@conductor_id",
    "@conductor_seq",
    "@conductor_entered",
    "@conductor_burnt",
    "@conductor_second",
    "@conductor_dialog",
];
/// The other options of a pane.
const OTHER_PANE_OPTIONS: [&str; 4] = [
    "@conductor_log",
    "@conductor_status",
    "@conductor_second",
    super::look::SEEN,
];

/// What in a command text marks it as ours: every one of our hooks and keys starts the program that this option names.
const MARK: &str = "#{q:@conductor_hook}";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Duty {
    /// Panes may have gone: compare.
    Reconcile,
    /// A pane has opened: see what it is.
    Opened,
    /// A pane has left its mode: deliver what waits.
    ModeLeft,
    /// A person is here: deliver what waits.
    Retry,
}

const EVENTS: [(&str, Duty); 11] = [
    ("pane-exited", Duty::Reconcile),
    ("pane-died", Duty::Reconcile),
    ("after-kill-pane", Duty::Reconcile),
    ("window-unlinked", Duty::Reconcile),
    ("session-closed", Duty::Reconcile),
    ("window-layout-changed", Duty::Reconcile),
    ("after-new-window", Duty::Opened),
    ("after-split-window", Duty::Opened),
    ("pane-mode-changed", Duty::ModeLeft),
    ("client-attached", Duty::Retry),
    ("client-session-changed", Duty::Retry),
];

/// The names of the events that we listen to.
pub fn events() -> impl Iterator<Item = &'static str> {
    EVENTS.iter().map(|(event, _)| *event)
}

fn body(event: &str, duty: Duty) -> String {
    let guard = match duty {
        Duty::Reconcile => "#{&&:#{@conductor_live},#{!=:#{@conductor_dirty},1}}",
        Duty::Opened | Duty::Retry => "#{@conductor_live}",
        Duty::ModeLeft => {
            "#{&&:#{==:#{pane_in_mode},0},#{&&:#{@conductor_live},#{@conductor_waits}}}"
        }
    };
    // In the hooks that follow a command the hook's own formats are empty and the target is the new pane; in all others the target may
    // be a stranger and only the hook's formats are right.
    let ids = match duty {
        Duty::Opened => "\"#{pane_id}\" \"#{window_id}\"",
        _ => "\"#{hook_pane}\" \"#{hook_window}\"",
    };
    let first = match duty {
        Duty::Reconcile => "set-option -g @conductor_dirty 1 ; ",
        _ => "",
    };
    let start = quoted(&helper(&format!("event {event} {ids}")));
    format!(
        "if-shell -F {} {}",
        quoted(guard),
        quoted(&format!("{first}run-shell -b {start}"))
    )
}

/// What stands at our index of a hook array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Nothing.
    Missing,
    /// A body of ours, of this or another version.
    Ours,
    /// Somebody else's.
    Foreign,
}

/// Hooks of panes and windows are listed with the window options.
fn listing() -> CommandList {
    CommandList::new()
        .then(["show-hooks", "-g"])
        .then(["show-hooks", "-gw"])
}

fn standings(listed: &str) -> Vec<(&'static str, Standing)> {
    events()
        .map(|event| {
            let entry = format!("{event}[{INDEX}] ");
            let standing = listed
                .lines()
                .find_map(|line| line.strip_prefix(entry.as_str()))
                .map_or(Standing::Missing, |body| {
                    if is_ours(body) {
                        Standing::Ours
                    } else {
                        Standing::Foreign
                    }
                });
            (event, standing)
        })
        .collect()
}

/// Whether a hook's or key's command text is ours.
pub(super) fn is_ours(command: &str) -> bool {
    command.contains(MARK)
}

/// Sets our hooks for `wanted` events.
pub fn set_list(wanted: &[&str]) -> CommandList {
    EVENTS
        .iter()
        .filter(|(event, _)| wanted.contains(event))
        .fold(CommandList::new(), |list, (event, duty)| {
            list.then([
                "set-hook",
                "-g",
                &format!("{event}[{INDEX}]"),
                &body(event, *duty),
            ])
        })
}

/// Removes what stands at our index for `unwanted` events.
pub fn unset_list(unwanted: &[String]) -> CommandList {
    unwanted.iter().fold(CommandList::new(), |list, event| {
        list.then(["set-hook", "-gu", &format!("{event}[{INDEX}]")])
    })
}

/// Says that whoever runs this will look at the panes next; to be run before looking.
pub fn clear_dirty() -> CommandList {
    CommandList::new().then(["set-option", "-g", DIRTY, "0"])
}

/// Something of a session or window that hides ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shadow {
    /// The session's name.
    pub session: String,
    /// The hook or option that it has for itself.
    pub name: String,
}

impl Tmux {
    /// What stands at our index of every event's array.
    pub fn hooks(&self) -> Result<Vec<(&'static str, Standing)>, Error> {
        Ok(standings(&self.run(&listing())?))
    }

    /// The names of all hooks that hold a body of ours, also those that only another version listened to.
    pub fn own_hooks(&self) -> Result<Vec<String>, Error> {
        let entry = format!("[{INDEX}]");
        let listed = self.run(&listing())?;
        let own = listed.lines().filter_map(|line| {
            let (name, body) = line.split_once(' ')?;
            let event = name.strip_suffix(entry.as_str())?;
            is_ours(body).then(|| event.to_owned())
        });
        Ok(own.collect())
    }

    /// Those of them that this version does not listen to.
    pub fn remaining_hooks(&self) -> Result<Vec<String>, Error> {
        let mut own = self.own_hooks()?;
        own.retain(|own| !events().any(|event| event == own));
        Ok(own)
    }

    /// Puts back missing hooks of a loaded plugin (a user's `set-hook` without index deletes the whole array) and clears a mark that a
    /// helper left when it died. To be called before comparing with the panes. Returns the names that were missing.
    pub fn mend_hooks(&self) -> Result<Vec<&'static str>, Error> {
        let read = sections(
            self,
            &[
                global(LOADED),
                global(DIRTY),
                vec!["show-hooks".into(), "-g".into()],
                vec!["show-hooks".into(), "-gw".into()],
            ],
        )?;
        let [loaded, dirty, session, window] = &read[..] else {
            return Ok(Vec::new());
        };
        if loaded.trim_end().is_empty() {
            return Ok(Vec::new());
        }
        let missing: Vec<_> = standings(&format!("{session}\n{window}"))
            .into_iter()
            .filter(|(_, standing)| *standing == Standing::Missing)
            .map(|(event, _)| event)
            .collect();
        let mut list = set_list(&missing);
        if dirty.trim_end() == "1" {
            list = list.append(clear_dirty());
        }
        if !list.is_empty() {
            self.run(&list)?;
        }
        Ok(missing)
    }

    /// What sessions and their windows have for themselves and hides ours entirely: hooks of our events, `status-right`, `status-left`.
    pub fn shadows(&self) -> Result<Vec<Shadow>, Error> {
        let listed = self.list("list-windows", "#{session_id} #{window_id} #{session_name}")?;
        let mut asked: Vec<(String, String)> = Vec::new();
        let mut commands = Vec::new();
        for line in listed.lines() {
            let mut fields = line.splitn(3, ' ');
            let (Some(session), Some(window), Some(name)) =
                (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            for (option, command, id) in [
                ("-t", "show-hooks", session),
                ("-t", "show-options", session),
                ("-wt", "show-hooks", window),
            ] {
                let key = format!("{command} {id}");
                if !asked.iter().any(|(seen, _)| *seen == key) {
                    commands.push(vec![command.to_owned(), option.to_owned(), id.to_owned()]);
                    asked.push((key, name.to_owned()));
                }
            }
        }
        let mut found = Vec::new();
        for (asked, commands) in asked.chunks(100).zip(commands.chunks(100)) {
            for ((_, session), text) in asked.iter().zip(sections(self, commands)?) {
                for line in text.lines() {
                    let name = line.split(['[', ' ']).next().unwrap_or_default();
                    let shadow = Shadow {
                        session: session.clone(),
                        name: name.to_owned(),
                    };
                    if (events().any(|event| event == name)
                        || matches!(name, "status-right" | "status-left"))
                        && !found.contains(&shadow)
                    {
                        found.push(shadow);
                    }
                }
            }
        }
        Ok(found)
    }

    /// Everything that `command` lists of all sessions; nothing when there is no session (tmux makes that an error).
    fn list(&self, command: &str, format: &str) -> Result<String, Error> {
        match self.run(&CommandList::new().then([command, "-a", "-F", format])) {
            Err(Error::Refused(why)) if why == "no current target" => Ok(String::new()),
            other => other,
        }
    }

    /// Removes our options from every pane; those of which `living` says so, by pane and `@conductor_id`, keep what their deliveries need.
    pub fn clear_panes(&self, mut living: impl FnMut(&str, &str) -> bool) -> Result<(), Error> {
        let every = || FENCE_OPTIONS.iter().chain(&OTHER_PANE_OPTIONS);
        let set = every().fold(String::new(), |set, option| set + "#{" + option + "}");
        let format = format!("#{{pane_id}} #{{@conductor_id}} {set}");
        let listed = self.list("list-panes", &format)?;
        let mut seen = Vec::new();
        let mut lists = vec![CommandList::new()];
        for line in listed.lines() {
            let mut fields = line.splitn(3, ' ');
            let (Some(pane), Some(id), Some(set)) = (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            if set.is_empty() || seen.contains(&pane) || super::ids::PaneId::parse(pane).is_none() {
                continue;
            }
            seen.push(pane);
            let keep = living(pane, id);
            for option in every().filter(|option| !(keep && FENCE_OPTIONS.contains(option))) {
                let command = ["set-option", "-pqu", "-t", pane, option];
                match lists.last_mut() {
                    // tmux 3.7 takes 1000 words.
                    Some(last) if last.argv().len() < 900 => {
                        *last = std::mem::take(last).then(command);
                    }
                    _ => lists.push(CommandList::new().then(command)),
                }
            }
        }
        for list in lists.iter().filter(|list| !list.is_empty()) {
            self.run(list)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_holds_no_text_of_a_stranger() {
        for (event, duty) in EVENTS {
            let body = body(event, duty);
            assert!(is_ours(&body), "{body}");
            for format in ["title", "path}", "session_name", "window_name", "#(", "%"] {
                assert!(
                    !body.replace("socket_path}", "").contains(format),
                    "{body}: {format}"
                );
            }
        }
    }

    #[test]
    fn only_our_index_is_looked_at() {
        let listed = "pane-exited[0] display-message hi\npane-exited[1729] display-message hi\n\
                      pane-died\nsession-closed[1729] run-shell \"#{q:@conductor_hook}\"\n";
        let found = standings(listed);
        let of = |name| found.iter().find(|(event, _)| *event == name).unwrap().1;
        assert_eq!(of("pane-exited"), Standing::Foreign);
        assert_eq!(of("pane-died"), Standing::Missing);
        assert_eq!(of("session-closed"), Standing::Ours);
    }
}
