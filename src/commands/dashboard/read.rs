//! What the dashboard knows: rows of the database, why a status is believed, and the screen of a pane.

use crate::clock;
use crate::domain::approval::{Approval, ApprovalKind, ApprovalStatus};
use crate::domain::ids::TerminalId;
use crate::domain::redact::excerpt;
use crate::domain::terminal::Terminal;
use crate::domain::text::one_line;
use crate::error::Result;
use crate::services::context::Context;
use crate::services::deliver::place;
use crate::services::explain;
use crate::store::{self, Store, Tx};
use crate::ui::dashboard::{Agent, Ask, Detail};
use std::collections::HashMap;

/// How long ended agents are known, in milliseconds.
const RECENT_MS: i64 = 14 * 24 * 60 * 60 * 1000;

/// How many requests are known.
const MOST: u32 = 500;

/// How much of a request or message is shown in a line, in characters.
const WHAT: usize = 200;

/// How many messages of a queue are shown.
const QUEUE: usize = 20;

/// All agents, the oldest first.
pub(super) fn agents(store: &mut Store) -> Result<Vec<Agent>> {
    let since = clock::after_ms(clock::now(), -RECENT_MS);
    Ok(store.read(|tx| {
        let open = tx.open_counts()?;
        let mut asks = asks(tx)?;
        let agents = tx.recent_terminals(since)?.into_iter().map(|terminal| {
            let asks = asks.remove(&terminal.id).unwrap_or_default();
            let unread = open.get(terminal.id.as_str()).copied().unwrap_or(0);
            agent(terminal, unread, asks)
        });
        Ok::<_, store::Error>(agents.collect())
    })?)
}

fn agent(terminal: Terminal, unread: i64, asks: Vec<Ask>) -> Agent {
    let doing = match asks.first() {
        Some(ask) => format!("waits for approval {}: {}", ask.id, ask.what),
        None => terminal.state.reason,
    };
    Agent {
        server: terminal
            .server
            .map(|server| server.socket.to_string_lossy().into_owned()),
        id: terminal.id,
        session: terminal.session,
        window: terminal.window,
        profile: terminal.profile,
        provider: terminal.provider,
        role: terminal.role,
        status: terminal.state.status,
        since_ms: terminal.state.since.as_millisecond(),
        doing,
        unread,
        asks,
    }
}

/// What waits for a person, by who asks; a held message is its receiver's.
fn asks(tx: &Tx<'_>) -> std::result::Result<HashMap<TerminalId, Vec<Ask>>, store::Error> {
    let mut found: HashMap<TerminalId, Vec<Ask>> = HashMap::new();
    for approval in tx.approvals(Some(ApprovalStatus::Pending), MOST)? {
        let receiver = match approval.message {
            Some(id) => tx.message(id)?.map(|message| message.receiver),
            None => None,
        };
        if let Some(who) = receiver.or_else(|| approval.terminal.clone()) {
            let what = what(&approval);
            found.entry(who).or_default().push(Ask {
                id: approval.id,
                what,
            });
        }
    }
    Ok(found)
}

fn what(approval: &Approval) -> String {
    let text = one_line(&shortened(&approval.command));
    match (approval.kind, &approval.tool) {
        (ApprovalKind::Message, _) => format!("a message to it: {text}"),
        (_, Some(tool)) => format!("{}: {text}", one_line(tool)),
        (_, None) => text,
    }
}

fn shortened(text: &str) -> String {
    excerpt(text, WHAT)
}

/// What is known of one agent; `None` when it is gone from the records.
pub(super) fn detail(cx: &Context, store: &mut Store, id: &TerminalId) -> Result<Option<Detail>> {
    let Some(terminal) = store.read(|tx| tx.terminal(id))? else {
        return Ok(None);
    };
    let why = explain::explain(cx, store, &terminal)?;
    let mut facts = vec![
        (
            "is".to_owned(),
            format!("{}: {}", why.status.as_str(), why.reason),
        ),
        (
            "believed".to_owned(),
            format!("from {} (confidence {})", why.source, why.confidence),
        ),
    ];
    if let Some(screen) = &why.screen {
        facts.push(("screen".to_owned(), format!("it shows {screen}")));
    }
    if let Some(remedy) = why.remedy {
        facts.push(("remedy".to_owned(), remedy));
    }
    let model = terminal.model.map(|model| format!(", {model}"));
    facts.push((
        "runs".to_owned(),
        format!(
            "{} as {} ({}){}",
            terminal.provider,
            terminal.profile,
            terminal.role.as_str(),
            model.unwrap_or_default()
        ),
    ));
    facts.push(("in".to_owned(), terminal.cwd.to_string_lossy().into_owned()));
    let mut queue: Vec<String> = store.read(|tx| {
        let bodies = tx.open_messages(id)?;
        let lines = why.queue.iter().take(QUEUE).map(|waiting| {
            let body = bodies.iter().find(|m| m.id.to_string() == waiting.id);
            let body = body.map_or_else(String::new, |m| {
                format!(" from {}: {}", m.sender_name, shortened(&m.body))
            });
            let reason = waiting.reason.as_ref().map(|why| format!(": {why}"));
            let retry = waiting.retried_by.map(|by| format!("; retried by {by}"));
            format!(
                "{}{body} ({}{}{})",
                waiting.id,
                waiting.status.as_str(),
                reason.unwrap_or_default(),
                retry.unwrap_or_default()
            )
        });
        Ok::<_, store::Error>(lines.collect())
    })?;
    if why.queue.len() > QUEUE {
        queue.push(format!("and {} more", why.queue.len() - QUEUE));
    }
    Ok(Some(Detail {
        facts,
        queue,
        answer: terminal.last_answer,
    }))
}

/// The screen of a pane as it was seen last.
#[derive(Debug)]
pub(super) struct Pane {
    of: TerminalId,
    /// When something was last written in the window, in seconds since 1970.
    written: i64,
    /// When it was read, in seconds since 1970.
    read: i64,
}

/// The rows of the pane of agent `id`, if they may have changed since `last`.
pub(super) fn pane(
    store: &mut Store,
    id: &TerminalId,
    last: &mut Option<Pane>,
) -> Result<Option<Vec<String>>> {
    let terminal = store.read(|tx| tx.terminal(id))?;
    let terminal = terminal.filter(Terminal::alive);
    let Some((terminal, (tmux, pane))) = terminal.and_then(|t| Some((t.clone(), place(&t)?)))
    else {
        let known = last.take();
        return Ok(known.map(|_| Vec::new()));
    };
    let answer = tmux.display(Some(pane), "#{window_activity} #{pane_pid}")?;
    let (written, pid) = answer.split_once(' ').unwrap_or(("", ""));
    // Another program may have the pane's number by now.
    if terminal.pane_pid.is_some_and(|own| pid != own.to_string()) {
        *last = None;
        return Ok(Some(Vec::new()));
    }
    let written = written.parse().unwrap_or(i64::MAX);
    let known = last
        .as_ref()
        .is_some_and(|last| last.of == *id && last.written == written && last.read > written);
    if known {
        return Ok(None);
    }
    let read = clock::now().as_second();
    let rows = tmux.screen(pane)?.lines().map(one_line).collect();
    *last = Some(Pane {
        of: id.clone(),
        written,
        read,
    });
    Ok(Some(rows))
}
