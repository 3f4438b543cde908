//! The audit log for people, programs and spreadsheets.

use super::csv;
use super::table::Table;
use crate::domain::audit::Stored;
use crate::domain::audit::check::Report;
use crate::domain::text::one_line;
use serde::Serialize;

/// An entry: the fields of the line in the log file.
#[derive(Debug, Clone, Serialize)]
pub struct EntryView {
    /// Number, from 1.
    pub seq: i64,
    /// When.
    pub at: String,
    /// What happened.
    pub action: String,
    /// To what.
    pub subject: String,
    /// By whom.
    pub actor: String,
    /// Through which door.
    pub via: String,
    /// More about it.
    pub detail: serde_json::Value,
    /// Hash of the entry before.
    pub prev: String,
    /// Its own hash.
    pub hash: String,
}

impl EntryView {
    /// The shape of `stored`.
    pub fn new(stored: &Stored) -> Self {
        let entry = &stored.entry;
        Self {
            seq: entry.seq,
            at: entry.at.clone(),
            action: entry.action.clone(),
            subject: entry.subject.clone(),
            actor: entry.actor.clone(),
            via: entry.via.clone(),
            detail: serde_json::from_str(&entry.detail)
                .unwrap_or_else(|_| entry.detail.clone().into()),
            prev: entry.prev.clone(),
            hash: stored.hash.clone(),
        }
    }
}

/// An entry as JSON: its line in the log file, byte for byte, so that its hash can be taken again. A row that somebody damaged until it is
/// no JSON any more is written anew.
pub fn json_entry(stored: &Stored) -> String {
    let line = stored.line();
    if serde_json::from_str::<serde::de::IgnoredAny>(&line).is_ok() {
        line
    } else {
        serde_json::to_string(&EntryView::new(stored)).unwrap_or_default()
    }
}

/// Entries as a table.
pub fn table(entries: &[EntryView]) -> String {
    let mut table = Table::new(&["seq", "at", "action", "subject", "actor", "via", "detail"]);
    for entry in entries {
        let detail = entry.detail.to_string();
        table.row(&[
            &entry.seq.to_string(),
            &entry.at,
            &entry.action,
            &entry.subject,
            &entry.actor,
            &entry.via,
            &detail,
        ]);
    }
    table.render()
}

/// The first record of an export.
pub fn csv_head() -> String {
    csv::record(&[
        "seq", "at", "action", "subject", "actor", "via", "detail", "prev", "hash",
    ])
}

/// An entry as a record.
pub fn csv_record(stored: &Stored) -> String {
    let entry = &stored.entry;
    csv::record(&[
        entry.seq.to_string().as_str(),
        &entry.at,
        &entry.action,
        &entry.subject,
        &entry.actor,
        &entry.via,
        &entry.detail,
        &entry.prev,
        &stored.hash,
    ])
}

/// What a check found, in words.
pub fn report(report: &Report) -> String {
    let mut text = String::new();
    for finding in &report.broken {
        text.push_str(&format!(
            "BROKEN at entry {}: {}\n",
            finding.seq,
            one_line(&finding.message)
        ));
    }
    for warning in &report.warnings {
        text.push_str(&format!("warning: {}\n", one_line(warning)));
    }
    if report.pending > 0 {
        text.push_str(&format!(
            "{} entries wait to be written into the file\n",
            report.pending
        ));
    }
    if report.ok {
        text.push_str(&format!(
            "{} entries hold; the chain ends with {}\n",
            report.entries,
            one_line(&report.head)
        ));
    }
    text
}
