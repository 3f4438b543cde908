//! The audit log: a file that is not the chain, to the last byte, is never called sound.

use crate::engine::{Target, Trail};
use conductor::domain::audit::check::Check;
use conductor::domain::audit::{Entry, Event, Exported, Stored};
use serde_json::json;

/// Bytes of an input in front of the file: how much of the chain was exported, how it is read, and a change of the database.
const FRONT: usize = 3;

pub(crate) struct Audit {
    rows: Vec<Stored>,
}

impl Audit {
    pub(crate) fn new() -> Self {
        let mut rows: Vec<Stored> = Vec::new();
        for at in 0..6_i64 {
            let head = rows.last().map(Stored::head);
            let event = Event {
                action: ["message.sent", "approval.asked", "audit.note"][rows.len() % 3],
                subject: "0123abcd",
                actor: "human",
                via: "cli",
                detail: json!({"number": at, "text": "a \"word\"\n\u{202e}", "list": [1.5, null, true]}),
            };
            let time = jiff::Timestamp::from_second(1_800_000_000 + at).unwrap();
            rows.push(Stored::new(Entry::after(head.as_ref(), time, event)));
        }
        Self { rows }
    }

    fn file(&self, count: usize) -> Vec<u8> {
        let lines = self.rows[..count].iter().map(|row| row.line() + "\n");
        lines.collect::<String>().into_bytes()
    }
}

impl Target for Audit {
    fn seeds(&self) -> Vec<Vec<u8>> {
        (0..=self.rows.len())
            .map(|count| {
                let mut input = vec![u8::try_from(count).unwrap(), 40, 0];
                input.extend(self.file(count));
                input
            })
            .collect()
    }

    fn dictionary(&self) -> Vec<Vec<u8>> {
        let mut words: Vec<Vec<u8>> = self
            .rows
            .iter()
            .flat_map(|row| [row.line() + "\n", row.line(), row.hash.clone()])
            .map(String::into_bytes)
            .collect();
        words.extend(
            [
                "\n",
                "}\n",
                "{\"seq\":",
                ",\"hash\":\"",
                "\"prev\":",
                " ",
                "\r\n",
                "\0",
            ]
            .map(|w| w.as_bytes().to_vec()),
        );
        words
    }

    fn check(&mut self, input: &[u8], trail: &mut Trail) -> Result<(), String> {
        let mut front = [0_u8; FRONT];
        let (given, file) = input.split_at(input.len().min(FRONT));
        front[..given.len()].copy_from_slice(given);
        let [count, piece, change] = front.map(usize::from);
        let count = count % (self.rows.len() + 1);
        let recorded = Exported {
            seq: i64::try_from(count).unwrap(),
            bytes: self.file(count).len() as u64,
        };
        let mut rows = self.rows.clone();
        let at = change % rows.len();
        let touched = change >= 128;
        if touched {
            // The database is changed, and the hash with it: only the rest of the chain can tell.
            rows[at].entry.subject.push('x');
            if change % 2 == 0 {
                rows[at] = Stored::new(rows[at].entry.clone());
            }
        }
        let mut check = Check::new(self.rows.last().map(Stored::head), Some(recorded));
        for row in &rows {
            check.row(row);
        }
        for bytes in file.chunks(piece + 1) {
            check.bytes(bytes);
        }
        let report = check.finish();
        for finding in &report.broken {
            trail.passes((finding.place as u8, finding.seq, finding.line));
            trail.says(&finding.message);
        }
        let whole = self.file(self.rows.len());
        let sound = !touched && whole.starts_with(file) && file.len() as u64 >= recorded.bytes;
        if report.ok == sound {
            return Ok(());
        }
        Err(format!(
            "the verifier says {} of a log that is {}: {report:?}",
            if report.ok { "sound" } else { "broken" },
            if sound { "sound" } else { "broken" }
        ))
    }
}
