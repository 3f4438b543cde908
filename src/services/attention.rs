//! Which agents call for a person, in which order, and which of them the person has seen.

use super::after;
use super::deliver::place;
use crate::domain::ids::TerminalId;
use crate::domain::terminal::{Status, Terminal};
use crate::error::Result;
use crate::store::{Budget, Durability, Error, Store};
use crate::tmux::look::SEEN;
use crate::tmux::{CommandList, Tmux};
use std::collections::HashMap;
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
        let known = Known {
            pending: pending.into_iter().filter_map(|(id, _)| id).collect(),
            asking: notes
                .into_iter()
                .filter(|note| note.question)
                .map(|note| note.terminal)
                .collect(),
            seen: tx.seen_terminals()?,
        };
        Ok::<_, Error>(ranked(&tx.live_terminals()?, socket, &known))
    })?)
}

/// What is known besides the agents themselves.
#[derive(Debug, Default)]
struct Known {
    /// Who asks for approval.
    pending: Vec<String>,
    /// Who asked the person a question.
    asking: Vec<TerminalId>,
    /// Since when agents had the state that the person has seen, in milliseconds.
    seen: HashMap<String, i64>,
}

fn ranked(living: &[Terminal], socket: &Path, known: &Known) -> Vec<Call> {
    let answers = |t: &Terminal| {
        living
            .iter()
            .any(|other| t.caller.as_ref() == Some(&other.id))
    };
    let why = |t: &Terminal| {
        if known.pending.iter().any(|id| id == t.id.as_str()) {
            return Some(Why::Approval);
        }
        if known.asking.contains(&t.id) {
            return Some(Why::Question);
        }
        if known.seen.get(t.id.as_str()) == Some(&t.state.since.as_millisecond()) {
            return None;
        }
        match t.state.status {
            Status::Waiting => Some(Why::Question),
            Status::Error => Some(Why::Error),
            Status::Idle if t.last_answer.is_some() && !answers(t) => Some(Why::Finished),
            _ => None,
        }
    };
    let here = living
        .iter()
        .filter(|t| t.server.as_ref().is_some_and(|s| s.socket == socket));
    let mut calls: Vec<Call> = here
        .filter_map(|t| {
            Some(Call {
                why: why(t)?,
                terminal: t.clone(),
            })
        })
        .collect();
    calls.sort_by_key(|call| (call.why, call.terminal.state.since));
    calls
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

/// A person has seen an agent's state: it leaves the status line until something new happens. What the agent wrote stays unread.
pub fn see(store: &mut Store, terminal: &Terminal) -> Result<()> {
    store.write(Durability::Process, Budget::Call, |tx| {
        tx.see_terminal(&terminal.id, terminal.state.since)
    })?;
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
    use crate::domain::terminal::Server;
    use jiff::Timestamp;

    /// An agent in pane `%N` that has been in `status` since second `since`, and that `caller` waits for.
    fn agent(n: u8, status: Status, since: i64, caller: Option<u8>) -> Terminal {
        let mut t = Terminal::sample(TerminalId::from_bytes([n; 4]));
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
        t
    }

    #[test]
    fn what_is_urgent_comes_first_and_what_was_seen_no_more() {
        let mut living = vec![
            agent(1, Status::Idle, 10, None),
            agent(2, Status::Error, 20, None),
            agent(3, Status::Waiting, 40, None),
            agent(4, Status::Waiting, 30, Some(1)),
            agent(5, Status::Working, 5, None),
            agent(6, Status::Idle, 5, Some(1)),
            agent(7, Status::Idle, 15, Some(9)),
        ];
        let called = |living: &[Terminal], known: &Known| {
            let calls = ranked(living, Path::new("/s"), known).into_iter();
            let of = |call: Call| (call.terminal.pane.unwrap(), call.why);
            calls.map(of).collect::<Vec<_>>()
        };
        let is = |pane: &str, why| (pane.to_owned(), why);
        let all = [
            is("%4", Why::Question),
            is("%3", Why::Question),
            is("%2", Why::Error),
            is("%1", Why::Finished),
            is("%7", Why::Finished),
        ];
        let mut known = Known::default();
        assert_eq!(called(&living, &known), all);
        for seen in &living {
            let since = seen.state.since.as_millisecond();
            known.seen.insert(seen.id.to_string(), since);
        }
        assert_eq!(called(&living, &known), []);
        known.pending.push(living[4].id.to_string());
        known.asking.push(living[5].id.clone());
        living[1].state.since = Timestamp::from_second(50).unwrap();
        assert_eq!(
            called(&living, &known),
            [
                is("%5", Why::Approval),
                is("%6", Why::Question),
                is("%2", Why::Error)
            ]
        );
        assert_eq!(ranked(&living, Path::new("/other"), &known), []);
    }

    #[test]
    fn the_next_one_is_behind_the_one_at_hand() {
        let living = [
            agent(1, Status::Waiting, 1, None),
            agent(2, Status::Waiting, 2, None),
        ];
        let calls = ranked(&living, Path::new("/s"), &Known::default());
        let to = |calls, here| next(calls, here).and_then(|c| c.terminal.pane.as_deref());
        assert_eq!(to(&calls, None), Some("%1"));
        assert_eq!(to(&calls, Some("%9")), Some("%1"));
        assert_eq!(to(&calls, Some("%1")), Some("%2"));
        assert_eq!(to(&calls, Some("%2")), Some("%1"));
        assert_eq!(to(&calls[..1], Some("%1")), None);
    }
}
