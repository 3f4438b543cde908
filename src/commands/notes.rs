//! What agents write to the person: listing, reading, answering; and writing to the person, for agents.

use super::Door;
use super::agents::existing;
use super::messages::body;
use crate::cli::{self, NoteCommand};
use crate::clock;
use crate::domain::ids::NoteId;
use crate::domain::note::NoteStatus;
use crate::domain::text::{one_line, sanitise};
use crate::error::{Failure, Result};
use crate::services::find;
use crate::services::identity::{self, Caller};
use crate::services::note::{self, Draft};
use crate::ui::json::NoteView;
use crate::ui::table::{self, Table};

fn parse(id: &str) -> Result<NoteId> {
    NoteId::parse(id).map_err(find::invalid)
}

pub(super) fn list(door: &mut Door<'_>, arguments: &cli::Notes) -> Result<()> {
    let mut store = existing(door)?;
    let status = arguments
        .status
        .as_deref()
        .map(|word| {
            NoteStatus::parse(word).ok_or_else(|| {
                let words: Vec<&str> = NoteStatus::ALL.iter().map(|s| s.as_str()).collect();
                Failure::usage(format!("{:?} is not a note's status", one_line(word)))
                    .hint(format!("one of {}", words.join(", ")))
            })
        })
        .transpose()?;
    let found = store.read(|tx| {
        if arguments.waiting {
            tx.waiting_notes(None, arguments.limit)
        } else {
            tx.notes(status, arguments.limit)
        }
    })?;
    let views: Vec<NoteView> = found.iter().map(NoteView::new).collect();
    door.print(&views, |views| {
        if views.is_empty() {
            return "no notes\n".to_owned();
        }
        let now = clock::now().as_millisecond();
        let mut table = Table::new(&["note", "from", "kind", "status", "age", "text"]);
        for n in views {
            table.row(&[
                n.id.to_string(),
                n.name.clone(),
                n.kind().to_owned(),
                n.status.as_str().to_owned(),
                table::age(now - n.written_at.as_millisecond()),
                table::cut(&n.body, 60),
            ]);
        }
        table.render()
    })
}

pub(super) fn note(door: &mut Door<'_>, command: &NoteCommand) -> Result<()> {
    match command {
        NoteCommand::Show { id } => show(door, parse(id)?),
        NoteCommand::Answer { id, message, file } => {
            let id = parse(id)?;
            let text = body(file.as_deref(), message.as_deref())?;
            let mut store = door.cx.existing_store()?;
            note::known(&mut store, id)?;
            let sender = note::person(&mut store, id, "cli")?.sender();
            let cx = door.cx.clone();
            let answered = note::answer(&cx, &mut store, id, &text, &sender, "cli")?;
            door.print(&NoteView::new(&answered), |n| match n.message {
                Some(message) => format!("note {} is answered by message {message}\n", n.id),
                None => format!("note {} is answered\n", n.id),
            })
        }
        NoteCommand::Seen { id } => {
            let id = parse(id)?;
            let mut store = door.cx.existing_store()?;
            note::known(&mut store, id)?;
            note::person(&mut store, id, "cli")?;
            let cx = door.cx.clone();
            let seen = note::see(&cx, &mut store, id)?;
            door.print(&NoteView::new(&seen), |n| {
                format!("note {} is {}\n", n.id, n.status.as_str())
            })
        }
    }
}

/// Shows it to whoever asks; only a person's look counts as one.
fn show(door: &mut Door<'_>, id: NoteId) -> Result<()> {
    let mut store = existing(door)?;
    let mut found = note::known(&mut store, id)?;
    if found.status == NoteStatus::Open
        && matches!(identity::whoami(&mut store)?, Caller::Person { .. })
    {
        let cx = door.cx.clone();
        found = note::see(&cx, &mut store, id)?;
    }
    door.print(&NoteView::new(&found), text)
}

fn text(n: &NoteView) -> String {
    let mut text = format!(
        "note {} from {} ({}): {}\n\n{}\n",
        n.id,
        one_line(&n.name),
        n.kind(),
        n.status.as_str(),
        sanitise(&n.body)
    );
    if !n.options.is_empty() {
        text.push('\n');
    }
    for (number, option) in n.options.iter().enumerate() {
        text.push_str(&format!("  {}  {}\n", number + 1, one_line(option)));
    }
    match (&n.answer, n.status) {
        (Some(answer), _) => text.push_str(&format!(
            "\nanswered by {}:\n{}\n",
            n.answered_by.as_deref().unwrap_or("-"),
            sanitise(answer)
        )),
        (None, NoteStatus::Withdrawn) => {
            text.push_str("\nits agent has ended: nobody is there for an answer\n");
        }
        (None, _) => text.push_str(&format!(
            "\n`{} note answer {} -m TEXT` answers it\n",
            super::program(),
            n.id
        )),
    }
    text
}

/// `send human`: an agent writes to the person, as by MCP.
pub(super) fn send(door: &mut Door<'_>, arguments: &cli::Send) -> Result<()> {
    if arguments.from.is_some()
        || arguments.require_approval
        || arguments.wait.is_some()
        || arguments.ttl.is_some()
    {
        return Err(Failure::usage(
            "--from, --require-approval, --wait and --ttl mean nothing for a note to the person",
        )
        .hint("the MCP tool ask_human waits for an answer"));
    }
    let text = body(arguments.file.as_deref(), arguments.message.as_deref())?;
    let mut store = door.cx.existing_store()?;
    let writer = match identity::honest(&mut store, "send")? {
        Caller::Agent(id) => store.read(|tx| tx.terminal(&id))?,
        Caller::Orphan | Caller::Mismatch(_) | Caller::Person { .. } => None,
    };
    let writer = writer.ok_or_else(|| {
        Failure::refused("only an agent writes to `human`, and this process belongs to none").hint(
            "`conductor-hook send TERMINAL -m TEXT` writes to an agent; `conductor-hook notes` lists what agents wrote to you",
        )
    })?;
    let draft = Draft {
        body: text,
        key: arguments.key.clone(),
        ..Draft::default()
    };
    let cx = door.cx.clone();
    let written = note::write(&cx, &mut store, &writer, &draft)?;
    door.print(&NoteView::new(&written), |n| {
        format!("note {} to the person is {}\n", n.id, n.status.as_str())
    })
}
