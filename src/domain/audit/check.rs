//! Whether the chain in the database holds, and whether the log file is that chain: line by line, byte by byte.

use super::{Exported, FIRST, Head, Stored, hex};
use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// How far the time of an entry may lie before that of an earlier one, in milliseconds: who writes reads the clock before the lock.
const SLACK_MS: i64 = 60_000;

/// How much of a line that is not as it should be is looked at, in bytes.
const LOOKED_AT: usize = 64 * 1024;

/// How many warnings are listed.
const MOST_WARNINGS: usize = 20;

/// Where something is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// The table in the database.
    Database,
    /// The log file.
    File,
}

/// What is wrong with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// Its text is not what was hashed, or not what the database holds.
    Changed,
    /// It is not there.
    Missing,
    /// It stands elsewhere.
    Reordered,
    /// In its place stands something that does not belong to the chain, or a copy.
    Added,
    /// The file ends before it, or in the middle of it.
    Cut,
}

/// The first entry of a place that is broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Number of the entry; of something that was added: of the entry whose place it took.
    pub seq: i64,
    /// Line of the file, from 1.
    pub line: Option<u64>,
    /// Where.
    pub place: Place,
    /// What.
    pub what: What,
    /// The same in words.
    pub message: String,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether nothing is broken.
    pub ok: bool,
    /// Entries in the database.
    pub entries: i64,
    /// Newest entry that the file must hold.
    pub exported: i64,
    /// Entries that wait to be written into the file.
    pub pending: i64,
    /// Hash of the newest entry.
    pub head: String,
    /// What is broken, the earliest entry first: at most one of the database and one of the file.
    pub broken: Vec<Finding>,
    /// What a person should know and what breaks nothing.
    pub warnings: Vec<String>,
}

/// A check in progress: first every row in the order of its number, then the file's bytes, then [`Check::finish`].
#[derive(Debug)]
pub struct Check {
    exported: Exported,
    head: Option<Head>,
    /// Number and digest of the line of each row.
    rows: Vec<(i64, [u8; 32])>,
    /// The lines of rows that are not recorded as exported.
    waiting: Vec<String>,
    last: Head,
    latest: Option<Timestamp>,
    database: Option<Finding>,
    warnings: Vec<String>,
    more_warnings: usize,
    file: File,
}

/// Where the reading of the file stands.
#[derive(Debug, Default)]
struct File {
    hasher: Sha256,
    /// The start of the line that is being read.
    start: Vec<u8>,
    /// Bytes of the line that is being read.
    length: u64,
    /// Bytes and whole lines so far.
    bytes: u64,
    lines: u64,
    /// Rows that were found in their place so far.
    good: usize,
    /// Bytes up to the end of the newest row that is recorded as exported.
    recorded_end: u64,
    bad: Option<Bad>,
    /// Whether the row that was expected where it went wrong stands further down.
    later: bool,
}

/// The first line that is not the row it should be.
#[derive(Debug)]
struct Bad {
    line: u64,
    digest: [u8; 32],
    start: Vec<u8>,
}

impl Check {
    /// A check of a chain that ends at `head` (as anchored beside the table), of which `exported` was written into the file.
    pub fn new(head: Option<Head>, exported: Option<Exported>) -> Self {
        Self {
            exported: exported.unwrap_or_default(),
            head,
            rows: Vec::new(),
            waiting: Vec::new(),
            last: Head {
                seq: 0,
                hash: FIRST.to_owned(),
            },
            latest: None,
            database: None,
            warnings: Vec::new(),
            more_warnings: 0,
            file: File::default(),
        }
    }

    /// The next row of the table.
    pub fn row(&mut self, row: &Stored) {
        let entry = &row.entry;
        let seq = entry.seq;
        let expected = self.last.seq.saturating_add(1);
        if seq != expected {
            let (what, message) = if seq > expected {
                let message = format!(
                    "entry {expected} is not in the database; after {} comes {seq}",
                    self.last.seq
                );
                (What::Missing, message)
            } else {
                (
                    What::Added,
                    format!("the database holds an entry with the number {seq}"),
                )
            };
            self.in_database(expected.min(seq), what, message);
        } else if entry.prev != self.last.hash {
            let message = format!(
                "entry {seq} does not follow entry {}: one of them was changed in the database",
                self.last.seq
            );
            self.in_database(seq, What::Changed, message);
        }
        if entry.hash() != row.hash {
            let message = format!("the text of entry {seq} in the database does not fit its hash");
            self.in_database(seq, What::Changed, message);
        }
        self.times(row);
        if entry.action.starts_with("audit.") {
            self.warn(format!(
                "entry {seq}, {}: {} {}",
                entry.at, entry.action, entry.detail
            ));
        }
        let line = row.line();
        self.rows
            .push((seq, Sha256::digest(line.as_bytes()).into()));
        if seq > self.exported.seq {
            self.waiting.push(line);
        }
        self.last = row.head();
    }

    fn times(&mut self, row: &Stored) {
        let Ok(at) = row.entry.at.parse::<Timestamp>() else {
            self.warn(format!("entry {} has no readable time", row.entry.seq));
            return;
        };
        match self.latest {
            Some(latest)
                if latest.as_millisecond().saturating_sub(at.as_millisecond()) > SLACK_MS =>
            {
                self.warn(format!(
                    "time goes backwards at entry {}: {at} after {latest}; the clock was set, or the entry was made up",
                    row.entry.seq
                ));
            }
            Some(latest) => self.latest = Some(latest.max(at)),
            None => self.latest = Some(at),
        }
    }

    fn warn(&mut self, warning: String) {
        if self.warnings.len() < MOST_WARNINGS {
            self.warnings.push(warning);
        } else {
            self.more_warnings += 1;
        }
    }

    fn in_database(&mut self, seq: i64, what: What, message: String) {
        self.database.get_or_insert(Finding {
            seq,
            line: None,
            place: Place::Database,
            what,
            message,
        });
    }

    /// The next bytes of the file.
    pub fn bytes(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, whole) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            let file = &mut self.file;
            file.hasher.update(text);
            let room = LOOKED_AT.saturating_sub(file.start.len()).min(text.len());
            file.start.extend_from_slice(&text[..room]);
            file.length += text.len() as u64;
            file.bytes += piece.len() as u64;
            if whole {
                self.line();
            }
        }
    }

    /// A whole line was read.
    fn line(&mut self) {
        let file = &mut self.file;
        file.lines += 1;
        file.length = 0;
        let digest: [u8; 32] = file.hasher.finalize_reset().into();
        let start = std::mem::take(&mut file.start);
        let expected = self.rows.get(file.good);
        if file.bad.is_some() {
            file.later |= expected.is_some_and(|row| row.1 == digest);
        } else if let Some((seq, _)) = expected.filter(|row| row.1 == digest) {
            file.good += 1;
            if *seq <= self.exported.seq {
                file.recorded_end = file.bytes;
            }
        } else {
            file.bad = Some(Bad {
                line: file.lines,
                digest,
                start,
            });
        }
    }

    /// What was found.
    pub fn finish(mut self) -> Report {
        self.ends();
        let file = self.in_file();
        let mut broken: Vec<Finding> = self.database.take().into_iter().chain(file).collect();
        broken.sort_by_key(|finding| (finding.seq, finding.place));
        if self.more_warnings > 0 {
            self.warnings
                .push(format!("and {} more", self.more_warnings));
        }
        Report {
            ok: broken.is_empty(),
            entries: i64::try_from(self.rows.len()).unwrap_or(i64::MAX),
            exported: self.exported.seq,
            pending: i64::try_from(self.waiting.len()).unwrap_or(i64::MAX),
            head: self.last.hash,
            broken,
            warnings: self.warnings,
        }
    }

    /// Whether the table ends where it is said to end.
    fn ends(&mut self) {
        let last = self.last.clone();
        let next = last.seq.saturating_add(1);
        match self.head.take() {
            Some(head) if head.seq > last.seq => {
                let message = format!(
                    "the database ends at entry {}, and its chain went on to {}",
                    last.seq, head.seq
                );
                self.in_database(next, What::Cut, message);
            }
            Some(head) if head.seq < last.seq => {
                let seq = head.seq.saturating_add(1);
                let message = format!(
                    "the chain ended at entry {}, and the database holds {}",
                    head.seq, last.seq
                );
                self.in_database(seq, What::Added, message);
            }
            Some(head) if head.hash != last.hash => {
                let message = format!(
                    "entry {} is not the one that the chain ended with",
                    last.seq
                );
                self.in_database(last.seq, What::Changed, message);
            }
            None if last.seq > 0 => {
                self.in_database(
                    last.seq,
                    What::Changed,
                    "the end of the chain is not anchored in the database".to_owned(),
                );
            }
            _ => {}
        }
        if self.exported.seq > last.seq {
            let message = format!(
                "the database ends at entry {}, and {} were exported",
                last.seq, self.exported.seq
            );
            self.in_database(next, What::Cut, message);
        }
    }

    /// The first line of the file that is not as it should be.
    fn in_file(&mut self) -> Option<Finding> {
        let good = self.file.good;
        let expected = self.rows.get(good).map(|row| row.0);
        // Something may stand where nothing should be: behind the last entry.
        let seq = expected.unwrap_or_else(|| self.last.seq.saturating_add(1));
        let finding = |line, what, message| {
            Some(Finding {
                seq,
                line,
                place: Place::File,
                what,
                message,
            })
        };
        if let Some(bad) = &self.file.bad {
            let (what, message) = self.why(bad, seq, expected.is_some());
            return finding(Some(bad.line), what, message);
        }
        let recorded = |seq: i64| seq <= self.exported.seq;
        let torn = self.file.length > 0;
        if torn && !self.is_ours(expected) {
            let line = self.file.lines + 1;
            if expected.is_some_and(recorded) {
                let message = format!("line {line} should be entry {seq}, and is not whole");
                return finding(Some(line), What::Cut, message);
            }
            return finding(Some(line), What::Added, self.behind());
        }
        if expected.is_some_and(recorded) {
            let message = format!(
                "the file ends before entry {seq}: it has {} bytes, and had {} when entry {} was written",
                self.file.bytes, self.exported.bytes, self.exported.seq
            );
            return finding(None, What::Cut, message);
        }
        if self.file.recorded_end != self.exported.bytes {
            let message = format!(
                "the file holds the entries up to {} in {} bytes, and the database says {}",
                self.exported.seq, self.file.recorded_end, self.exported.bytes
            );
            return finding(None, What::Changed, message);
        }
        if self.file.bytes > self.exported.bytes {
            self.warn("an export was interrupted; the next one completes it".to_owned());
        }
        None
    }

    /// What stands behind the entries that are recorded, and what becomes of it.
    fn behind(&self) -> String {
        let bytes = self.file.length;
        let zero = self.file.start.iter().all(|byte| *byte == 0);
        let what = if zero && bytes <= LOOKED_AT as u64 {
            "zero bytes, as a loss of power leaves them"
        } else {
            "bytes that are no entry"
        };
        format!(
            "behind the entries stand {bytes} {what}; nothing is to be done: the next entry that is written takes them off, and tells of them as audit.recovered"
        )
    }

    /// Whether the end of the file, which is no whole line, is the start of an entry that waits.
    fn is_ours(&self, expected: Option<i64>) -> bool {
        let at = self
            .file
            .good
            .checked_sub(self.rows.len() - self.waiting.len());
        expected.is_some_and(|seq| seq > self.exported.seq)
            && at
                .and_then(|at| self.waiting.get(at))
                .and_then(|line| {
                    line.as_bytes()
                        .get(..usize::try_from(self.file.length).ok()?)
                })
                .is_some_and(|start| Sha256::digest(start) == self.file.hasher.clone().finalize())
    }

    /// What is wrong with a line, and in words.
    fn why(&self, bad: &Bad, seq: i64, expected: bool) -> (What, String) {
        let line = bad.line;
        let known = self.rows.iter().position(|row| row.1 == bad.digest);
        match known {
            Some(at) if at < self.file.good => (
                What::Added,
                format!("line {line} is a copy of entry {}", self.rows[at].0),
            ),
            Some(at) if self.file.later => {
                let other = self.rows[at].0;
                (
                    What::Reordered,
                    format!("line {line} is entry {other}, and entry {seq} stands further down"),
                )
            }
            Some(at) => {
                let other = self.rows[at].0;
                (
                    What::Missing,
                    format!("entry {seq} is not in the file; line {line} is entry {other}"),
                )
            }
            None if self.file.later || !expected => (
                What::Added,
                format!("line {line} is no entry of the database"),
            ),
            None if own_hash_fits(&bad.start) => {
                let message = format!(
                    "line {line} is not entry {seq} as the database holds it, though its own hash fits: one of the two was rewritten"
                );
                (What::Changed, message)
            }
            None => (
                What::Changed,
                format!("line {line} is not entry {seq} as it was written"),
            ),
        }
    }
}

/// Whether a line ends with the hash of the rest of it.
fn own_hash_fits(line: &[u8]) -> bool {
    const MARK: &[u8] = br#","hash":""#;
    let Some(at) = line.len().checked_sub(MARK.len() + 64 + 2) else {
        return false;
    };
    let (body, tail) = line.split_at(at);
    let Some(hash) = tail
        .strip_prefix(MARK)
        .and_then(|rest| rest.strip_suffix(br#""}"#))
    else {
        return false;
    };
    let mut hasher = Sha256::new();
    hasher.update(body);
    hasher.update(b"}");
    hex(&hasher.finalize()).as_bytes() == hash
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
