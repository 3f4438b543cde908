//! Sessions, windows and panes for agents; and ending panes, only while they are still ours.

use super::client::Tmux;
use super::command::{CommandList, exact};
use super::error::Error;
use super::ids::PaneId;
use crate::domain::ids::{Name, TerminalId};
use crate::domain::loss::Spot;
use crate::domain::terminal::Server;
use std::path::Path;

/// Where a new pane goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placement {
    /// A new session of this name.
    Session(Name),
    /// A new window of the session with this id (`$1`).
    Window(String),
    /// A new pane beside the active one of the session with this id (`$1`).
    Split {
        /// Session id.
        session: String,
        /// Side by side instead of one above the other.
        horizontal: bool,
    },
    /// A new pane next to another one.
    Beside {
        /// The other pane.
        pane: PaneId,
        /// In front of it in its window's order, instead of after it.
        before: bool,
    },
    /// In a pane that is there, in place of the program that it was started with.
    In(PaneId),
}

/// A pane that was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// The server.
    pub server: Server,
    /// The pane.
    pub pane: PaneId,
    /// Process that tmux started in it.
    pub pid: i32,
    /// Session's name.
    pub session: String,
}

/// What appends a pane's output to its log. Nothing but the option's name stands in the line that a shell reads.
const WRITER: &str = "exec cat >>#{q:@conductor_log}";

const STARTED: &str = "#{pid}\t#{start_time}\t#{pane_id}\t#{pane_pid}\t#{session_name}";

impl Tmux {
    /// Starts `argv` (no shell in between) in a new pane. The list is one step of the server: all of it happens or none.
    pub fn start_pane(
        &self,
        placement: &Placement,
        window: &Name,
        cwd: &Path,
        argv: &[String],
    ) -> Result<Started, Error> {
        let cwd = exact(&cwd.to_string_lossy());
        let mut command: Vec<String> = match placement {
            // Without a client the size is ours to choose; agents' screens want more than 80x24.
            Placement::Session(name) => [
                "new-session",
                "-d",
                "-x",
                "120",
                "-y",
                "40",
                "-s",
                name.as_str(),
                "-n",
                window.as_str(),
            ]
            .map(str::to_owned)
            .to_vec(),
            Placement::Window(session) => [
                "new-window",
                "-d",
                "-t",
                &format!("{session}:"),
                "-n",
                window.as_str(),
            ]
            .map(str::to_owned)
            .to_vec(),
            Placement::Split {
                session,
                horizontal,
            } => [
                "split-window",
                "-d",
                if *horizontal { "-h" } else { "-v" },
                "-t",
                &format!("{session}:"),
            ]
            .map(str::to_owned)
            .to_vec(),
            Placement::Beside { pane, before } => {
                let split = ["split-window", "-d", "-t", &pane.to_string()].map(str::to_owned);
                let first = before.then(|| "-b".to_owned());
                split.into_iter().chain(first).collect()
            }
            Placement::In(pane) => return self.respawn(*pane, &cwd, argv),
        };
        command.extend([
            "-c".to_owned(),
            cwd,
            "-P".to_owned(),
            "-F".to_owned(),
            STARTED.to_owned(),
            "--".to_owned(),
        ]);
        command.extend_from_slice(argv);
        let started = self.started(&CommandList::new().then(command));
        match (started, placement) {
            // Two calls at the same moment: the other one was first.
            (Err(Error::Refused(why)), Placement::Session(name))
                if why.starts_with("duplicate session") =>
            {
                Err(Error::Taken(name.clone()))
            }
            (started, _) => started,
        }
    }

    /// Starts `argv` in a pane that is there: what it was started with is killed.
    fn respawn(&self, pane: PaneId, cwd: &str, argv: &[String]) -> Result<Started, Error> {
        let target = pane.to_string();
        let mut command = ["respawn-pane", "-k", "-t", &target, "-c", cwd, "--"]
            .map(str::to_owned)
            .to_vec();
        command.extend_from_slice(argv);
        let list = CommandList::new().then(command).then([
            "display-message",
            "-p",
            "-t",
            &target,
            STARTED,
        ]);
        self.started(&list)
    }

    fn started(&self, list: &CommandList) -> Result<Started, Error> {
        let text = self.run(list)?;
        let unexpected = || Error::Unexpected {
            asked: "new pane",
            answer: text.clone(),
        };
        let fields: Vec<&str> = text.trim_end_matches('\n').splitn(5, '\t').collect();
        let [pid, start, pane, pane_pid, session] = fields[..] else {
            return Err(unexpected());
        };
        Ok(Started {
            server: Server {
                socket: self.socket().to_path_buf(),
                pid: pid.parse().map_err(|_| unexpected())?,
                start: start.parse().map_err(|_| unexpected())?,
            },
            pane: PaneId::parse(pane).ok_or_else(unexpected)?,
            pid: pane_pid.parse().map_err(|_| unexpected())?,
            session: session.to_owned(),
        })
    }

    /// Makes the pane the terminal's: sets its options, empties its receipts, and pipes its output to the log that `log` names, all in one
    /// step. Returns server, pane, session, window and place as they are.
    pub fn claim_pane(
        &self,
        pane: PaneId,
        id: &TerminalId,
        log: Option<&Path>,
    ) -> Result<(Started, String, Spot), Error> {
        let target = pane.to_string();
        let set = |name: &str, value: &str| {
            ["set-option", "-p", "-t", &target, name, value].map(str::to_owned)
        };
        let mut list = CommandList::new()
            .then(set("@conductor_id", id.as_str()))
            .then(set("@conductor_seq", "0"))
            .then(set("@conductor_entered", "0"))
            .then(set("@conductor_burnt", "0"))
            .then(set("@conductor_second", "0"))
            .then(set("@conductor_dialog", ""));
        if let Some(log) = log {
            list = list
                .then(set("@conductor_log", &log.to_string_lossy()))
                .then(["pipe-pane", "-t", &target, WRITER]);
        }
        list = list.then([
            "display-message",
            "-p",
            "-t",
            &target,
            "#{pid}\t#{start_time}\t#{pane_id}\t#{pane_pid}\t#{window_id}\t#{window_index}\t#{pane_index}\t#{window_layout}\t#{session_name}\t#{window_name}",
        ]);
        let text = self.run(&list)?;
        let unexpected = || Error::Unexpected {
            asked: "claim pane",
            answer: text.clone(),
        };
        let fields: Vec<&str> = text.trim_end_matches('\n').splitn(10, '\t').collect();
        let [
            pid,
            start,
            found,
            pane_pid,
            window_id,
            window_index,
            pane_index,
            layout,
            session,
            window,
        ] = fields[..]
        else {
            return Err(unexpected());
        };
        let started = Started {
            server: Server {
                socket: self.socket().to_path_buf(),
                pid: pid.parse().map_err(|_| unexpected())?,
                start: start.parse().map_err(|_| unexpected())?,
            },
            pane: PaneId::parse(found).ok_or_else(unexpected)?,
            pid: pane_pid.parse().map_err(|_| unexpected())?,
            session: session.to_owned(),
        };
        let spot = Spot {
            window: window_id.to_owned(),
            window_index: window_index.parse().map_err(|_| unexpected())?,
            pane_index: pane_index.parse().map_err(|_| unexpected())?,
            layout: layout.to_owned(),
        };
        Ok((started, window.to_owned(), spot))
    }

    /// Gives the window of `pane` the number `index` in the session with this id; refused where another one has it.
    pub fn move_window(&self, pane: PaneId, session: &str, index: i64) -> Result<(), Error> {
        let target = format!("{session}:{index}");
        let list =
            CommandList::new().then(["move-window", "-d", "-s", &pane.to_string(), "-t", &target]);
        self.run(&list).map(drop)
    }

    /// Gives the window of `pane` this name.
    pub fn rename_window(&self, pane: PaneId, name: &str) -> Result<(), Error> {
        let list =
            CommandList::new().then(["rename-window", "-t", &pane.to_string(), &exact(name)]);
        self.run(&list).map(drop)
    }

    /// Gives the window of `pane` a layout that tmux wrote earlier; refused where its panes are not as many as those of the layout.
    pub fn set_layout(&self, pane: PaneId, layout: &str) -> Result<(), Error> {
        let list = CommandList::new().then(["select-layout", "-t", &pane.to_string(), layout]);
        self.run(&list).map(drop)
    }

    /// Pipes the output of a pane that is the terminal's to its log again, if it is piped nowhere.
    pub fn pipe_again(&self, pane: PaneId, id: &TerminalId) -> Result<(), Error> {
        let ours = format!("#{{==:#{{@conductor_id}},{id}}}");
        let condition =
            format!("#{{&&:{ours},#{{&&:#{{==:#{{pane_pipe}},0}},#{{!=:#{{@conductor_log}},}}}}}}");
        let pipe = format!("pipe-pane -t '{pane}' '{WRITER}'");
        let target = pane.to_string();
        self.run(&CommandList::new().then(["if-shell", "-F", "-t", &target, &condition, &pipe]))
            .map(drop)
    }

    /// Takes what is ours from a pane that stays with its person: the options, and the pipe to our log.
    pub fn release_pane(&self, pane: PaneId, id: &TerminalId) -> Result<(), Error> {
        let target = pane.to_string();
        let names = [
            "seq", "entered", "burnt", "second", "dialog", "status", "id",
        ];
        let ours = names
            .map(|name| format!("set-option -p -u -t '{pane}' @conductor_{name}"))
            .join(" ; ");
        let is_ours = format!("#{{==:#{{@conductor_id}},{id}}}");
        let piped = format!("#{{&&:{is_ours},#{{!=:#{{@conductor_log}},}}}}");
        let unpipe = format!("pipe-pane -t '{pane}' ; set-option -p -u -t '{pane}' @conductor_log");
        self.run(
            &CommandList::new()
                .then(["if-shell", "-F", "-t", &target, &piped, &unpipe])
                .then(["if-shell", "-F", "-t", &target, &is_ours, &ours]),
        )
        .map(drop)
    }

    /// Ends a pane if it is still the terminal's, by its id and the process that tmux started in it; says whether it was.
    pub fn kill_pane(
        &self,
        pane: PaneId,
        id: &TerminalId,
        pid: Option<i32>,
    ) -> Result<bool, Error> {
        let same_pid = pid.map_or_else(
            || "1".to_owned(),
            |pid| format!("#{{==:#{{pane_pid}},{pid}}}"),
        );
        let condition = format!("#{{&&:#{{==:#{{@conductor_id}},{id}}},{same_pid}}}");
        let answer = self.try_run(
            &CommandList::new().then([
                "if-shell",
                "-F",
                "-t",
                &pane.to_string(),
                &condition,
                &format!("display-message -p killed ; kill-pane -t '{pane}'"),
                "display-message -p other",
            ]),
            None,
        )?;
        Ok(answer.out.starts_with("killed"))
    }
}
