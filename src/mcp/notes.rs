//! `ask_human`, and messages to the person: an agent may ask, and its question outlives the call.

use super::arguments::Arguments;
use super::definitions::{ACTS, object, result};
use super::host::Host;
use super::tool::{Call, ToolDef};
use crate::clock::Deadline;
use crate::domain::ids::NoteId;
use crate::domain::note::{MAX_OPTION, MAX_OPTIONS, Note, NoteStatus};
use crate::domain::terminal::Terminal;
use crate::error::Result;
use crate::services::note::{self, Draft, Outcome};
use crate::services::send;
use crate::store::Store;
use serde_json::{Value, json};
use std::time::Duration;

/// Default wait of a question, in seconds.
const DEFAULT_WAIT: u64 = 45;

/// The tool as agents see it.
pub(super) fn definition() -> ToolDef {
    let options = format!(
        "Up to {MAX_OPTIONS} short answers to choose from; the person may also answer in other words."
    );
    ToolDef {
        name: "ask_human",
        title: "Ask the person a question",
        description: "Asks the person something that only they can decide, and waits a while for the answer. Status pending: nobody has answered \
            yet; go on with something else or end your turn, the answer then comes as a message, exactly once. It approves nothing: for a \
            risky command use request_approval.",
        input_schema: object(
            &json!({
                "question": {"type": "string", "minLength": 1, "maxLength": 1_048_576, "description": "The question, with what the person must know to answer it. At most 1 MiB: 1,048,576 bytes of UTF-8."},
                "options": {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": MAX_OPTION}, "description": options},
                "timeout": {"type": "integer", "minimum": 0, "maximum": 3_600, "default": DEFAULT_WAIT, "description": "How long this call waits, in seconds."},
            }),
            &["question"],
        ),
        output_schema: result(
            &json!({
                "note_id": {"type": "string"},
                "status": {"type": "string", "enum": ["answered", "pending", "withdrawn"]},
                "answer": {"type": ["string", "null"]},
                "answered_by": {"type": ["string", "null"], "description": "human, or unverified for a script."},
                "message": {"type": "string"},
            }),
            &["note_id", "status", "answer", "answered_by", "message"],
        ),
        annotations: ACTS,
    }
}

fn name(id: NoteId) -> String {
    format!("note-{id}")
}

fn shown(note: &Note, status: &str, answer: Option<&str>, message: &str) -> Value {
    json!({
        "note_id": name(note.id), "status": status, "answer": answer,
        "answered_by": answer.and(note.answered_by.as_deref()), "message": message,
    })
}

impl Host {
    pub(super) fn ask_human(&self, arguments: &Arguments<'_>, call: &Call) -> Result<Value> {
        let (mut store, own) = self.open()?;
        let cx = self.context(&own);
        let draft = Draft {
            body: send::body(arguments.text("question").unwrap_or_default().into_bytes())?,
            question: true,
            options: arguments.list("options"),
            key: None,
        };
        let asked = note::write(&cx, &mut store, &own, &draft)?;
        let seconds = arguments.number("timeout").unwrap_or(DEFAULT_WAIT);
        let deadline = Deadline::after(Duration::from_secs(seconds));
        let outcome = note::wait(&cx, &mut store, asked.id, deadline, || call.cancelled())?;
        Ok(match &outcome {
            Outcome::Taken(note) => shown(
                note,
                "answered",
                note.answer.as_deref(),
                "The person has answered.",
            ),
            Outcome::Pending(note) => shown(
                note,
                "pending",
                None,
                "Nobody has answered yet. The question stays; the answer comes as a message, exactly once. The same call again waits on.",
            ),
            Outcome::Over(note) if note.status == NoteStatus::Withdrawn => {
                shown(note, "withdrawn", None, "The question was withdrawn.")
            }
            Outcome::Over(note) => shown(
                note,
                "answered",
                None,
                "The answer comes as a message, or was the result of another call.",
            ),
        })
    }

    pub(super) fn write_to_human(
        &self,
        store: &mut Store,
        own: &Terminal,
        arguments: &Arguments<'_>,
    ) -> Result<Value> {
        let draft = Draft {
            body: send::body(arguments.text("message").unwrap_or_default().into_bytes())?,
            key: arguments.text("idempotency_key"),
            ..Draft::default()
        };
        let written = note::write(&self.context(own), store, own, &draft)?;
        Ok(json!({"success": true, "message_id": name(written.id), "status": "queued"}))
    }

    /// The call was cancelled, or its answer could not be written: the person's words go to the inbox.
    pub(super) fn answer_not_given(&self, value: &Value) {
        let id = value["note_id"]
            .as_str()
            .and_then(|id| NoteId::parse(id).ok());
        let Some(id) = id.filter(|_| value["answer"].is_string()) else {
            return;
        };
        let back = self
            .cx
            .existing_store()
            .and_then(|mut store| note::give_back(&self.cx, &mut store, id));
        if let Err(failure) = back {
            tracing::warn!(%failure, note = %id, "put an answer into the inbox");
        }
    }
}
