//! Which agents call for a person, in which order, and which of them the person has seen.

use super::after;
use super::context::Context;
use super::deliver::place;
use super::note;
use crate::domain::terminal::{Status, Terminal};
use crate::error::Result;
use crate::store::{Budget, Durability, Error, Store};
use crate::tmux::look::SEEN;
use crate::tmux::{CommandList, Tmux};
use std::path::Path;

/// Why an agent calls for a person; what is most urgent comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// It asks for approval.
    Approval,
    /// It waits for an answer: in its pane, or to a question that it asked the person.
    Question,
    /// Its last turn failed.
    Error,
    /// It has answered, nobody has looked, and it answers to no other agent.
    Finished,
}

impl Why {
    /// For people, behind the agent's name.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Approval => "asks for approval",
            Self::Question => "waits for an answer",
            Self::Error => "has failed",
            Self::Finished => "has finished",
        }
    }
}

/// An agent that calls for a person.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The agent.
    pub terminal: Terminal,
    /// Why.
    pub why: Why,
}

/// The agents at the server behind `socket` that call for a person: by reason, then those that have waited longest. What was marked as seen
/// calls no more until its state changes; an approval and a question always do.
pub fn calls(store: &mut Store, socket: &Path) -> Result<Vec<Call>> {
    Ok(store.read(|tx| {
        let pending = tx.pending_counts()?;
        let notes = tx.waiting_notes(Some(&socket.to_string_lossy()), u32::MAX)?;
        let seen = tx.seen_terminals()?;
        let living = tx.live_terminals()?;
        let lives = |t: &Terminal| {
            let caller = t.caller.as_ref();
            caller.is_some_and(|caller| living.iter().any(|other| other.id == *caller))
        };
        let here = living
            .iter()
            .filter(|t| t.server.as_ref().is_some_and(|s| s.socket == socket));
        let mut calls: Vec<Call> = here
            .filter_map(|t| {
                let asks = |(id, count): &(Option<String>, i64)| {
                    id.as_deref() == Some(t.id.as_str()) && *count > 0
                };
                let since = t.state.since.as_millisecond();
                let fresh = seen.get(t.id.as_str()) != Some(&since);
                let why = if pending.iter().any(asks) {
                    Why::Approval
                } else if notes.iter().any(|n| n.question && n.terminal == t.id) {
                    Why::Question
                } else {
                    match t.state.status {
                        Status::Waiting if fresh => Why::Question,
                        Status::Error if fresh => Why::Error,
                        Status::Idle if fresh && t.last_answer.is_some() && !lives(t) => {
                            Why::Finished
                        }
                        _ => return None,
                    }
                };
                Some(Call {
                    terminal: t.clone(),
                    why,
                })
            })
            .collect();
        calls.sort_by_key(|call| (call.why, call.terminal.state.since));
        Ok::<_, Error>(calls)
    })?)
}

/// The agent to go to from `here`: the first that calls, or the one behind that at `here`, around the end.
pub fn next<'a>(calls: &'a [Call], here: Option<&str>) -> Option<&'a Call> {
    let at = |call: &&Call| call.terminal.pane.as_deref() == here && here.is_some();
    let from = calls
        .iter()
        .position(|call| at(&call))
        .map_or(0, |at| at + 1);
    calls[from..]
        .iter()
        .chain(&calls[..from])
        .find(|call| !at(call))
}

/// A person has seen an agent's state, and what it wrote that asks for nothing: both leave the status line until something new happens.
pub fn see(cx: &Context, store: &mut Store, terminal: &Terminal) -> Result<()> {
    store.write(Durability::Process, Budget::Call, |tx| {
        tx.see_terminal(&terminal.id, terminal.state.since)
    })?;
    let notes = store.read(|tx| tx.open_notes(&terminal.id))?;
    for note in notes.iter().filter(|note| !note.question) {
        note::see(cx, store, note.id)?;
    }
    if let Some((tmux, pane)) = place(terminal) {
        let pane = pane.to_string();
        tmux.run(&CommandList::new().then(["set-option", "-p", "-t", &pane, SEEN, "1"]))?;
        after::show_counts(store, &tmux)?;
    }
    Ok(())
}

/// The living agent in `pane` of a server.
pub fn agent_in(store: &mut Store, tmux: &Tmux, pane: &str) -> Result<Option<Terminal>> {
    let living = store.read(|tx| tx.live_terminals())?;
    Ok(living.into_iter().find(|t| {
        t.pane.as_deref() == Some(pane)
            && t.server.as_ref().is_some_and(|s| s.socket == tmux.socket())
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::TerminalId;
    use crate::domain::terminal::{Change, Server, Source};
    use crate::paths::Home;
    use jiff::Timestamp;

    struct Lab {
        _dir: tempfile::TempDir,
        store: Store,
    }

    impl Lab {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let home = Home::at(dir.path().join("state")).unwrap();
            let store = Store::open_or_create(&home).unwrap();
            Self { _dir: dir, store }
        }

        /// An agent in pane `%N` that has been in `status` since second `since`.
        fn agent(&mut self, n: u8, status: Status, since: i64, caller: Option<u8>) -> TerminalId {
            let id = TerminalId::from_bytes([n; 4]);
            let mut t = Terminal::sample(id.clone());
            t.pane = Some(format!("%{n}"));
            t.server = Some(Server {
                socket: "/s".into(),
                pid: 1,
                start: 1,
            });
            t.state.status = status;
            t.state.since = Timestamp::from_second(since).unwrap();
            t.caller = caller.map(|n| TerminalId::from_bytes([n; 4]));
            t.last_answer = Some("done".into());
            self.write(|tx| tx.insert_terminal(&t).map(drop));
            self.write(|tx| tx.note_event(&t.id, t.state.since, None, Some("done")));
            id
        }

        fn write(
            &mut self,
            body: impl Fn(&crate::store::Tx<'_>) -> std::result::Result<(), Error>,
        ) {
            self.store
                .write(Durability::Process, Budget::Call, |tx| body(tx))
                .unwrap();
        }

        fn called(&mut self) -> Vec<(String, Why)> {
            let calls = calls(&mut self.store, Path::new("/s")).unwrap();
            let of = |call: Call| (call.terminal.pane.unwrap(), call.why);
            calls.into_iter().map(of).collect()
        }
    }

    #[test]
    fn what_is_urgent_comes_first_and_what_was_seen_no_more() {
        let mut lab = Lab::new();
        lab.agent(1, Status::Idle, 10, None);
        let failed = lab.agent(2, Status::Error, 20, None);
        lab.agent(3, Status::Waiting, 40, None);
        lab.agent(4, Status::Waiting, 30, Some(1));
        lab.agent(5, Status::Working, 5, None);
        lab.agent(6, Status::Idle, 5, Some(1));
        let all = [
            ("%4".to_owned(), Why::Question),
            ("%3".to_owned(), Why::Question),
            ("%2".to_owned(), Why::Error),
            ("%1".to_owned(), Why::Finished),
        ];
        assert_eq!(lab.called(), all);
        let since = Timestamp::from_second(20).unwrap();
        lab.write(|tx| tx.see_terminal(&failed, since));
        assert_eq!(lab.called()[2..], all[3..]);
        let counts = lab
            .store
            .read(|tx| after::counts(tx, Path::new("/s")))
            .unwrap();
        assert_eq!((counts.waiting, counts.error), (2, 0));
        let again = Change {
            status: Status::Working,
            reason: "r".into(),
        };
        let failure = Change {
            status: Status::Error,
            reason: "r".into(),
        };
        let later = Timestamp::from_second(50).unwrap();
        lab.write(|tx| {
            tx.set_state(&failed, &again, Source::Event, later)
                .map(drop)
        });
        lab.write(|tx| {
            tx.set_state(&failed, &failure, Source::Event, later)
                .map(drop)
        });
        assert_eq!(lab.called(), all);
        let calls = calls(&mut lab.store, Path::new("/s")).unwrap();
        let next = |here| next(&calls, here).and_then(|c| c.terminal.pane.as_deref());
        assert_eq!(next(None), Some("%4"));
        assert_eq!(next(Some("%9")), Some("%4"));
        assert_eq!(next(Some("%4")), Some("%3"));
        assert_eq!(next(Some("%1")), Some("%4"));
        assert_eq!(super::next(&calls[..1], Some("%4")), None);
    }
}
