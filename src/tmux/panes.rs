//! What panes there are: the truth that every hook only points to.

use super::client::Tmux;
use super::command::CommandList;
use super::error::Error;
use super::ids::PaneId;
use crate::domain::loss::Spot;
use crate::domain::terminal::Server;
use std::collections::HashMap;

/// A pane as tmux lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pane {
    /// Its id.
    pub id: PaneId,
    /// The process that tmux started in it.
    pub pid: i32,
    /// Its process has ended but the pane stays.
    pub dead: bool,
    /// Exit status of a dead pane's process, where tmux knows it.
    pub dead_status: Option<i32>,
    /// Its `@conductor_id`.
    pub terminal: String,
    /// Whether its output is piped somewhere.
    pub piped: bool,
    /// Whether its output is to be logged (`@conductor_log` is set).
    pub logged: bool,
    /// Session id (`$1`).
    pub session_id: String,
    /// Session's name.
    pub session: String,
    /// Window's name.
    pub window: String,
    /// Where it is in that session.
    pub spot: Spot,
    /// The other sessions that show it, with their names and the window's (linked windows, session groups).
    pub elsewhere: Vec<(String, String)>,
}

impl Pane {
    /// Session and window in which the pane is found: those of `session` while it still shows the pane, else the first that tmux lists.
    pub fn place(&self, session: &str) -> (&str, &str) {
        let kept = self.elsewhere.iter().find(|(name, _)| name == session);
        match kept {
            Some((session, window)) if self.session != *session => (session, window),
            _ => (&self.session, &self.window),
        }
    }
}

const FORMAT: &str = "#{pid}\t#{start_time}\t#{pane_id}\t#{pane_pid}\t#{pane_dead}\t#{pane_dead_status}\t#{@conductor_id}\t#{pane_pipe}\t#{?@conductor_log,1,0}\t#{window_id}\t#{window_index}\t#{pane_index}\t#{window_layout}\t#{session_id}\t#{session_name}\t#{window_name}";

impl Tmux {
    /// The server and all its panes, each once, also where several sessions show it.
    pub fn panes(&self) -> Result<(Server, Vec<Pane>), Error> {
        let text = match self.run(&CommandList::new().then(["list-panes", "-a", "-F", FORMAT])) {
            // A server without sessions.
            Err(Error::Refused(why)) if why.contains("no current target") => String::new(),
            other => other?,
        };
        let mut seen: HashMap<PaneId, usize> = HashMap::new();
        let mut panes: Vec<Pane> = Vec::new();
        let mut server = None;
        for line in text.lines() {
            let unexpected = || Error::Unexpected {
                asked: "list-panes",
                answer: line.to_owned(),
            };
            let fields: Vec<&str> = line.splitn(16, '\t').collect();
            let [
                pid,
                start,
                id,
                pane_pid,
                dead,
                dead_status,
                terminal,
                pipe,
                logged,
                window_id,
                window_index,
                pane_index,
                layout,
                session_id,
                session,
                window,
            ] = fields[..]
            else {
                return Err(unexpected());
            };
            if server.is_none() {
                server = Some(Server {
                    socket: self.socket().to_path_buf(),
                    pid: pid.parse().map_err(|_| unexpected())?,
                    start: start.parse().map_err(|_| unexpected())?,
                });
            }
            let id = PaneId::parse(id).ok_or_else(unexpected)?;
            let known = seen.get(&id).and_then(|at| panes.get_mut(*at));
            if let Some(pane) = known {
                pane.elsewhere.push((session.to_owned(), window.to_owned()));
            } else {
                seen.insert(id, panes.len());
                panes.push(Pane {
                    id,
                    pid: pane_pid.parse().map_err(|_| unexpected())?,
                    dead: dead == "1",
                    dead_status: dead_status.parse().ok(),
                    terminal: terminal.to_owned(),
                    piped: pipe == "1",
                    logged: logged == "1",
                    session_id: session_id.to_owned(),
                    session: session.to_owned(),
                    window: window.to_owned(),
                    spot: Spot {
                        window: window_id.to_owned(),
                        window_index: window_index.parse().map_err(|_| unexpected())?,
                        pane_index: pane_index.parse().map_err(|_| unexpected())?,
                        layout: layout.to_owned(),
                    },
                    elsewhere: Vec::new(),
                });
            }
        }
        let server = match server {
            Some(server) => server,
            None => self.identify()?.0,
        };
        Ok((server, panes))
    }

    /// The id (`$1`) of the session with exactly this name. tmux's own targets match prefixes and patterns.
    pub fn session_id(&self, name: &str) -> Result<Option<String>, Error> {
        let text = self.run(&CommandList::new().then([
            "list-sessions",
            "-F",
            "#{session_id}\t#{session_name}",
        ]))?;
        Ok(text.lines().find_map(|line| {
            let (id, found) = line.split_once('\t')?;
            (found == name).then(|| id.to_owned())
        }))
    }
}
