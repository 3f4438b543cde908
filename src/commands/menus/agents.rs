//! The key `l`: the agents of this server, and what can be done with one.

use super::{Item, elsewhere, offset, pages, room, show, show_popup, walk};
use crate::clock;
use crate::commands::plugin::existing;
use crate::commands::{Door, agents as front, popup};
use crate::domain::ids::TerminalId;
use crate::domain::note::excerpt;
use crate::domain::terminal::Terminal;
use crate::error::{Failure, Result};
use crate::proc;
use crate::services::after::Ender;
use crate::services::attention::{self, Call};
use crate::services::plugin::own_line;
use crate::services::{close, find, offer, recover, resume};
use crate::store::Store;
use crate::tmux::Viewer;
use crate::ui::dashboard::Look;
use crate::ui::table::age;

/// Agents have the dashboard's signs.
const LOOK: Look = Look {
    colour: false,
    unicode: true,
};

/// `menu agents CLIENT [+N]`.
pub(super) fn list(door: &Door<'_>, viewer: &Viewer, words: &[String]) -> Result<()> {
    let room = room(viewer, "agents")?;
    let nobody = || Ok(door.cx.tmux.tell(&viewer.name, "no agent is there")?);
    let Some(mut store) = existing(door)? else {
        return nobody();
    };
    recover::all(&door.cx, &mut store)?;
    let socket = door.cx.tmux.socket();
    let calls = attention::calls(&mut store, socket)?;
    let mut living = store.read(|tx| tx.live_terminals())?;
    living.retain(|t| {
        t.server
            .as_ref()
            .is_some_and(|server| server.socket == socket)
    });
    let items = items(living, &offer::lost(&mut store)?, &calls);
    if items.is_empty() {
        return nobody();
    }
    let entries = pages(&items, offset(words), room, "agents");
    show(door, viewer, "Agents", &entries)
}

fn items(mut living: Vec<Terminal>, lost: &[Terminal], calls: &[Call]) -> Vec<Item> {
    // Within a session they stay in the order in which they were made.
    living.sort_by(|a, b| a.session.cmp(&b.session));
    let why = |t: &Terminal| calls.iter().find(|c| c.terminal.id == t.id).map(|c| c.why);
    let of = |t: &Terminal, what: &str| {
        let text = format!(
            "{} {}  {}: {what}",
            LOOK.marker(t.state.status),
            t.display_name(),
            t.window
        );
        Item::new(&text, &format!("agent {}", t.id))
    };
    let here = living.iter().map(|t| {
        let what = match why(t) {
            Some(why) => why.words(),
            None => t.state.status.as_str(),
        };
        of(t, what).under(&format!("session {}", t.session))
    });
    let lost = lost
        .iter()
        .map(|t| of(t, t.state.status.as_str()).under("lost, can be resumed"));
    here.chain(lost).collect()
}

/// `menu agent CLIENT ID [WHAT]`.
pub(super) fn one(door: &mut Door<'_>, viewer: &Viewer, words: &[String]) -> Result<()> {
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    let id = TerminalId::parse(word(0)).map_err(find::invalid)?;
    let gone = || find::unknown(&id);
    let mut store = existing(door)?.ok_or_else(gone)?;
    let agent = store.read(|tx| tx.terminal(&id))?.ok_or_else(gone)?;
    match word(1) {
        "" => {
            let calls = attention::calls(&mut store, door.cx.tmux.socket())?;
            let call = calls.iter().find(|call| call.terminal.id == id);
            let pending = store.read(|tx| tx.open_approvals(&id))?.len();
            let entries = pages(
                &acts(&agent, call.is_some(), pending),
                0,
                room(viewer, "agents")?,
                "agents",
            );
            show(door, viewer, &title(&agent), &entries)
        }
        "go" => walk::go(door, viewer, &agent),
        "seen" => walk::see(door, &mut store, viewer, &agent),
        "approvals" => approvals(door, &mut store, viewer, &id),
        what @ ("answer" | "log") => {
            let words = ["menu", "read-popup", &viewer.name, id.as_str(), what];
            show_popup(door, viewer, "agents", own_line(&door.cx, &words))
        }
        "close" if word(2) == "yes" => end(door, &mut store, viewer, &agent),
        "close" => {
            let question = format!("End agent {id}?");
            let then = format!("agent {id} close yes");
            let command = door.cx.tmux.confirm_command(viewer, &question, &then)?;
            Err(proc::exec(command))
        }
        "resume" => {
            let cx = door.cx.clone();
            let resumed = resume::resume(&cx, &mut store, &agent, resume::Where::Window)?;
            let text = format!("{} is back", resumed.display_name());
            Ok(cx.tmux.tell(&viewer.name, &text)?)
        }
        _ => Err(Failure::usage("that is nothing to do with an agent").hint(elsewhere("agents"))),
    }
}

fn title(agent: &Terminal) -> String {
    let age = age(clock::elapsed_ms(agent.state.since, clock::now()));
    let status = agent.state.status.as_str();
    let why = excerpt(&agent.state.reason, 30);
    format!("{}: {status} for {age}, {why}", agent.display_name())
}

/// What can be done with an agent that calls for the person or does not, and for which that many approvals wait.
fn acts(agent: &Terminal, calls: bool, pending: usize) -> Vec<Item> {
    let id = &agent.id;
    let act = |when: bool, key: char, text: &str, what: &str| {
        when.then(|| Item::new(text, &format!("agent {id} {what}")).with_key(key))
    };
    let alive = agent.alive();
    let answer = agent.last_answer.is_some();
    let message = Item::new("Write to it", &format!("message {id}")).with_key('m');
    let asked = format!("What it asks for ({pending})");
    [
        act(alive, 't', "To its pane", "go"),
        alive.then_some(message),
        act(pending > 0, 'a', &asked, "approvals"),
        act(answer, 'r', "Read its last answer", "answer"),
        act(true, 'o', "Read what it printed", "log"),
        act(calls, 'u', "Mark as seen", "seen"),
        act(
            agent.loss.is_some() && !alive,
            'e',
            "Take up its conversation",
            "resume",
        ),
        act(alive, 'x', "End it (asks first)", "close"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The popup with the one approval of an agent, or with all that wait.
fn approvals(door: &Door<'_>, store: &mut Store, viewer: &Viewer, id: &TerminalId) -> Result<()> {
    let asked = store.read(|tx| tx.open_approvals(id))?;
    let start = match &asked[..] {
        [one] => popup::Start::One(one.id),
        _ => popup::Start::List,
    };
    popup::open(door, viewer, start)
}

fn end(door: &Door<'_>, store: &mut Store, viewer: &Viewer, agent: &Terminal) -> Result<()> {
    let actor = front::may_end(store, agent, "menu")?;
    let by = Ender {
        actor: &actor,
        via: "menu",
    };
    let name = agent.display_name();
    close::close(&door.cx, store, agent, false, by)?;
    Ok(door
        .cx
        .tmux
        .tell(&viewer.name, &format!("{name} has ended"))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::terminal::Status;
    use crate::services::attention::Why;
    use crate::tmux::prompt::Entry;

    fn agent(n: u8, session: &str, status: Status) -> Terminal {
        let mut agent = Terminal::sample(TerminalId::from_bytes([n; 4]));
        agent.session = session.to_owned();
        agent.state.status = status;
        agent
    }

    #[test]
    fn agents_stand_under_their_sessions_with_why_they_call() {
        let living = vec![
            agent(1, "b", Status::Working),
            agent(2, "a", Status::Idle),
            agent(3, "b", Status::Error),
        ];
        let calls = [Call {
            terminal: living[2].clone(),
            why: Why::Error,
        }];
        let lost = [agent(4, "a", Status::Exited)];
        let entries = pages(&items(living, &lost, &calls), 0, 20, "agents");
        let run = |text: &str, id: &str, key: char| {
            Entry::new(text, &format!("agent {id}")).with_key(key)
        };
        assert_eq!(
            entries,
            [
                Entry::Words("session a".into()),
                run("○ developer 02020202  w: idle", "02020202", 'a'),
                Entry::Words("session b".into()),
                run("● developer 01010101  w: working", "01010101", 'b'),
                run("× developer 03030303  w: has failed", "03030303", 'c'),
                Entry::Words("lost, can be resumed".into()),
                run("· developer 04040404  w: exited", "04040404", 'd'),
            ]
        );
    }

    #[test]
    fn only_what_can_be_done_is_offered() {
        let keys = |agent: &Terminal, calls, pending| {
            let entries = pages(&acts(agent, calls, pending), 0, 20, "agents");
            let key = |entry: &Entry| match entry {
                Entry::Run { key, .. } => *key,
                Entry::Words(_) => None,
            };
            entries.iter().filter_map(key).collect::<String>()
        };
        let mut living = agent(1, "a", Status::Waiting);
        assert_eq!(keys(&living, false, 0), "tmox");
        living.last_answer = Some("x".into());
        assert_eq!(keys(&living, true, 2), "tmaroux");
        assert_eq!(keys(&agent(1, "a", Status::Exited), false, 0), "o");
    }
}
