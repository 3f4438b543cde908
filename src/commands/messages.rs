//! Sending and looking after messages.

use super::Door;
use super::agents::existing;
use crate::cli::{self, InboxCommand};
use crate::clock::{self, Deadline};
use crate::domain::ids::{MessageId, TerminalId};
use crate::domain::message::{MAX_BODY, Message, MessageStatus};
use crate::domain::note::HUMAN;
use crate::domain::text::one_line;
use crate::domain::time;
use crate::error::{Failure, Kind, Result};
use crate::fsx;
use crate::services::identity::{self, Caller};
use crate::services::wait::Look;
use crate::services::{find, inbox, recover, send, wait};
use crate::store::Store;
use crate::ui::json::{MessageDetail, MessageView};
use crate::ui::table::{self, Table};
use std::path::Path;
use std::time::Duration;

pub(super) fn body(file: Option<&Path>, message: Option<&str>) -> Result<String> {
    let bytes = match (file, message) {
        (Some(path), _) => fsx::read_file_limited(path, MAX_BODY).map_err(|e| match e.kind() {
            std::io::ErrorKind::FileTooLarge => send::too_long(),
            std::io::ErrorKind::NotFound => {
                Failure::not_found(format!("read {}: {e}", one_line(&path.to_string_lossy())))
                    .hint("name a file that is there, or give the text with -m")
            }
            _ => Failure::failed(format!("read {}: {e}", one_line(&path.to_string_lossy())))
                .hint("name a file that can be read, or give the text with -m"),
        })?,
        (None, Some("-")) => fsx::read_limited(&mut std::io::stdin().lock(), MAX_BODY)
            .map_err(|e| Failure::failed(format!("read standard input: {e}")))?
            .ok_or_else(send::too_long)?,
        (None, Some(text)) => text.as_bytes().to_vec(),
        (None, None) => Vec::new(),
    };
    send::body(bytes)
}

pub(super) fn send(door: &mut Door<'_>, arguments: &cli::Send) -> Result<()> {
    if arguments.terminal == HUMAN {
        return super::notes::send(door, arguments);
    }
    let text = body(arguments.file.as_deref(), arguments.message.as_deref())?;
    let mut store = door.cx.existing_store()?;
    let receiver = find::terminal(&door.cx, &mut store, &arguments.terminal)?;
    recover::check(&door.cx, &mut store, &receiver)?;
    let from = arguments
        .from
        .as_deref()
        .map(|id| TerminalId::parse(id).map_err(find::invalid))
        .transpose()?;
    let order = send::Order {
        receiver: receiver.id.clone(),
        body: text,
        key: arguments.key.clone(),
        ttl: arguments.ttl.map(Duration::from_secs_f64),
        approval: arguments.require_approval,
    };
    let mut message = send::send(&door.cx, &mut store, &order, from.as_ref())?;
    let mut timed_out = false;
    if let Some(seconds) = arguments.wait {
        let deadline = Deadline::after(Duration::from_secs_f64(seconds));
        let id = message.id;
        let mut compared = clock::now();
        let cx = door.cx.clone();
        let settled = wait::until(
            &mut store,
            deadline,
            || false,
            |store| {
                let message = send::known(store, id)?;
                if message.status.settled() {
                    return Ok(Look::Found(message));
                }
                if clock::now().as_millisecond() - compared.as_millisecond() > 3_000 {
                    compared = clock::now();
                    recover::all(&cx, store)?;
                    recover::rearm(&cx, store)?;
                }
                Ok(Look::NotYet(wait::PERIOD))
            },
        )?;
        timed_out = settled.is_none();
        message = match settled {
            Some(settled) => settled,
            None => send::known(&mut store, id)?,
        };
    }
    inbox::give_reasons(&mut store, std::slice::from_mut(&mut message))?;
    door.print(&MessageView::new(&message), |m| {
        let reason = m
            .last_error
            .as_deref()
            .map(|r| format!(" ({})", one_line(r)))
            .unwrap_or_default();
        format!(
            "message {} to {} is {}{reason}\n",
            m.id,
            m.receiver,
            m.status.as_str()
        )
    })?;
    store.leave();
    let (id, status) = (message.id, message.status.as_str());
    if timed_out {
        let failure = Failure::new(
            Kind::TimedOut,
            format!("message {id} was not proven in time: it is {status}"),
        );
        return Err(failure.hint(format!(
            "it stays: `conductor-hook explain {}` says why it waits",
            message.receiver
        )));
    }
    if arguments.wait.is_some() && message.status != MessageStatus::Submitted {
        return Err(
            Failure::failed(format!("message {id} is {status}")).hint(format!(
                "`conductor-hook inbox show {id}` shows every attempt"
            )),
        );
    }
    Ok(())
}

pub(super) fn broadcast(door: &mut Door<'_>, arguments: &cli::Broadcast) -> Result<()> {
    let text = body(arguments.file.as_deref(), arguments.message.as_deref())?;
    let mut store = existing(door)?;
    let (mut sent, failed) = send::broadcast(
        &door.cx,
        &mut store,
        &arguments.session,
        arguments.role.as_deref(),
        &text,
    )?;
    inbox::give_reasons(&mut store, &mut sent)?;
    let views: Vec<MessageView> = sent.iter().map(MessageView::new).collect();
    door.print(&views, |views| {
        views
            .iter()
            .map(|m| {
                format!(
                    "message {} to {} is {}\n",
                    m.id,
                    m.receiver,
                    m.status.as_str()
                )
            })
            .collect()
    })?;
    if failed.is_empty() {
        Ok(())
    } else {
        Err(
            Failure::failed(format!("some did not get it: {}", failed.join("; ")))
                .hint("send it to those alone with `conductor-hook send`"),
        )
    }
}

pub(super) fn inbox(door: &mut Door<'_>, arguments: &cli::Inbox) -> Result<()> {
    let mut store = existing(door)?;
    match &arguments.command {
        None => list(door, &mut store, arguments),
        Some(InboxCommand::Show { id }) => {
            let id = message_id(id)?;
            let mut message = send::known(&mut store, id)?;
            inbox::give_reasons(&mut store, std::slice::from_mut(&mut message))?;
            let tries = store.read(|tx| tx.attempts(id))?;
            let detail = MessageDetail {
                message: MessageView::new(&message),
                tries,
            };
            door.print(&detail, |d| detail_text(&d.message, &d.tries))
        }
        Some(InboxCommand::Read) => read(door, &mut store),
        Some(InboxCommand::Retry { id }) => {
            let message = send::retry(&door.cx, &mut store, message_id(id)?)?;
            one(door, &message)
        }
        Some(InboxCommand::Cancel { id }) => {
            let message = send::cancel(&door.cx, &mut store, message_id(id)?)?;
            one(door, &message)
        }
    }
}

fn message_id(text: &str) -> Result<MessageId> {
    MessageId::parse(text).map_err(find::invalid)
}

fn one(door: &mut Door<'_>, message: &Message) -> Result<()> {
    door.print(&MessageView::new(message), |m| {
        format!("message {} is {}\n", m.id, m.status.as_str())
    })
}

fn list(door: &mut Door<'_>, store: &mut Store, arguments: &cli::Inbox) -> Result<()> {
    let status = arguments
        .status
        .as_deref()
        .map(|word| {
            MessageStatus::parse(word).ok_or_else(|| {
                let words: Vec<&str> = MessageStatus::ALL.iter().map(|s| s.as_str()).collect();
                Failure::usage(format!("{:?} is not a message status", one_line(word)))
                    .hint(format!("one of {}", words.join(", ")))
            })
        })
        .transpose()?;
    let receiver = arguments
        .terminal
        .as_deref()
        .map(|text| find::terminal(&door.cx, store, text))
        .transpose()?
        .map(|t| t.id);
    let mut messages = store.read(|tx| tx.messages(receiver.as_ref(), status, arguments.limit))?;
    inbox::give_reasons(store, &mut messages)?;
    let views: Vec<MessageView> = messages.iter().map(MessageView::new).collect();
    door.print(&views, |views| {
        let now = clock::now().as_millisecond();
        let mut table = Table::new(&["id", "from", "to", "status", "transport", "age", "text"]);
        for m in views {
            table.row(&[
                m.id.to_string(),
                m.sender.clone(),
                m.receiver.to_string(),
                m.status.as_str().to_owned(),
                m.transport.map_or("-", |t| t.as_str()).to_owned(),
                table::age(now - m.queued_at.as_millisecond()),
                table::cut(&m.body, 60),
            ]);
        }
        table.render()
    })
}

fn detail_text(message: &MessageView, tries: &[crate::store::Attempt]) -> String {
    let mut text = format!(
        "message {} from {} to {}: {}\n",
        message.id,
        message.sender,
        message.receiver,
        message.status.as_str()
    );
    if let Some(error) = &message.last_error {
        text.push_str(&format!("  last error: {}\n", one_line(error)));
    }
    for attempt in tries {
        text.push_str(&format!(
            "  {} by {}: {}{}\n",
            time::text(attempt.at),
            attempt.transport,
            attempt.outcome,
            attempt
                .reason
                .as_deref()
                .map(|r| format!(" ({})", one_line(r)))
                .unwrap_or_default()
        ));
    }
    text.push('\n');
    text.push_str(&message.body);
    text.push('\n');
    text
}

/// `inbox read`, inside an agent: everything that waits for it, read and proven.
fn read(door: &mut Door<'_>, store: &mut Store) -> Result<()> {
    let Caller::Agent(id) = identity::honest(store, "inbox")? else {
        return Err(
            Failure::refused("`inbox read` is for agents: this process belongs to none")
                .hint("`conductor-hook inbox show ID` prints a message"),
        );
    };
    let messages = inbox::read_all(store, &id)?;
    let views: Vec<MessageView> = messages.iter().map(MessageView::new).collect();
    let text: String = messages
        .iter()
        .map(|m| format!("{}\n", crate::domain::text::framed(m)))
        .collect();
    door.print(&views, |views| {
        if views.is_empty() {
            "no message waits\n".to_owned()
        } else {
            text
        }
    })?;
    inbox::have_read(&door.cx, store, &messages)
}
