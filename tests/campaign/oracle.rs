//! The judge: reads what the agents' own programs received, and says what is wrong.

use crate::senders::Sent;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};

/// How the message begins that an agent gets which was started again after it was cut off.
const GO_ON: &str = "Your tmux server ended while you were at work";

/// One message as an agent received it.
struct Receipt {
    id: u64,
    again: bool,
    /// The text; `None` for a line that only announces it.
    body: Option<String>,
    pasted: bool,
}

/// What the judge found.
#[derive(Default)]
pub(crate) struct Verdict {
    pub(crate) figures: BTreeMap<&'static str, usize>,
    pub(crate) evidence: Vec<String>,
}

impl Verdict {
    fn count(&mut self, what: &'static str) {
        *self.figures.entry(what).or_default() += 1;
    }

    /// A violation: counted, and its evidence kept.
    pub(crate) fn wrong(&mut self, what: &'static str, evidence: impl Into<String>) {
        let evidence: String = evidence.into();
        self.count(what);
        self.evidence.push(format!("{what}: {evidence}"));
    }
}

/// The parts of a text with our header in front: id, whether it is a repetition, body.
fn parse(event: &str, text: &str) -> Result<Receipt, String> {
    let rest = text.strip_prefix("[conductor #").ok_or("no header")?;
    let (head, rest) = rest.split_once(']').ok_or("no end of the header")?;
    let (id, from) = head.split_once(" from ").ok_or("no sender")?;
    let body = if let Some((first, rest)) = rest.split_once('\n') {
        let tag = first
            .trim_start()
            .strip_prefix("tag ")
            .and_then(|rest| rest.split_once(':'))
            .ok_or("several lines without a tag")?
            .0;
        let (body, footer) = rest.rsplit_once('\n').ok_or("no footer")?;
        if footer != format!("[end of conductor #{id} tag {tag}]") {
            return Err(format!("a wrong footer: {footer}"));
        }
        Some(body.to_owned())
    } else {
        let body = rest.strip_prefix(' ').ok_or("no space behind the header")?;
        (!body.starts_with("The text of this message (")).then(|| body.to_owned())
    };
    Ok(Receipt {
        id: id.parse().map_err(|_| "the id is no number")?,
        again: from.contains(" (again)"),
        body,
        pasted: event == "prompt",
    })
}

/// Compares what was sent, what is recorded and what was received.
pub(crate) fn judge(sent: &[Sent], rows: &[Value], log: &str, living: &[String]) -> Verdict {
    let mut verdict = Verdict::default();
    let wanted: HashMap<usize, &Sent> = sent.iter().map(|s| (s.number, s)).collect();
    let mut received: HashMap<String, Vec<Receipt>> = HashMap::new();
    for line in log.lines() {
        let Ok(line) = serde_json::from_str::<Value>(line) else {
            verdict.wrong("torn", format!("a line of the log: {line}"));
            continue;
        };
        let (event, text) = (
            line["event"].as_str().unwrap_or(""),
            line["text"].as_str().unwrap_or(""),
        );
        let terminal = line["terminal"].as_str().unwrap_or("").to_owned();
        match event {
            "prompt" | "context" => match parse(event, text) {
                Ok(receipt) => received.entry(terminal).or_default().push(receipt),
                Err(why) => verdict.wrong(
                    "torn",
                    format!("{terminal} got a text that is no message ({why}): {text:?}"),
                ),
            },
            "key" => verdict.wrong(
                "mistyped",
                format!("{terminal}: a key in a dialog: {text:?}"),
            ),
            _ => {}
        }
    }
    let by_id: HashMap<u64, &Value> = rows
        .iter()
        .filter_map(|row| Some((row["id"].as_str()?.parse().ok()?, row)))
        .collect();
    let mut numbers: HashMap<u64, usize> = HashMap::new();
    for (id, row) in &by_id {
        let key = row["key"].as_str().and_then(|key| key.strip_prefix('k'));
        if let Some(n) = key.and_then(|n| n.parse().ok()) {
            numbers.insert(*id, n);
        }
    }
    let mut whole: HashSet<u64> = HashSet::new();
    let mut told: HashSet<u64> = HashSet::new();
    for (terminal, receipts) in &received {
        let mut last = 0;
        let mut bodies: HashMap<u64, usize> = HashMap::new();
        let mut lines: HashMap<u64, usize> = HashMap::new();
        for receipt in receipts {
            let id = receipt.id;
            told.insert(id);
            let Some(row) = by_id.get(&id) else {
                verdict.wrong(
                    "not accepted",
                    format!("{terminal} got message {id}, which nobody sent"),
                );
                continue;
            };
            if row["receiver"] != terminal.as_str() {
                verdict.wrong(
                    "misplaced",
                    format!("message {id} for {} came to {terminal}", row["receiver"]),
                );
            }
            if receipt.pasted {
                let lines = lines.entry(id).or_default();
                *lines += 1;
                if *lines > 1 && !receipt.again {
                    verdict.wrong("pasted twice", format!("message {id} at {terminal}"));
                }
            }
            let Some(body) = &receipt.body else {
                continue;
            };
            let known = numbers.get(&id).and_then(|n| wanted.get(n));
            match known {
                Some(sent) if sent.clean == *body => {}
                Some(sent) => verdict.wrong(
                    "torn",
                    format!("message {id}: sent {:?}, received {body:?}", sent.clean),
                ),
                // The program's own words to an agent that it started again.
                None if body.starts_with(GO_ON) => {}
                None => verdict.wrong(
                    "torn",
                    format!("message {id} carries no number that was sent: {body:?}"),
                ),
            }
            let times = bodies.entry(id).or_default();
            *times += 1;
            if *times > 1 {
                verdict.count("repeated (again)");
                if !receipt.again || row["again"] != true {
                    verdict.wrong(
                        "repeated unmarked",
                        format!("message {id} at {terminal}: {row}"),
                    );
                }
            } else if id < last {
                verdict.wrong(
                    "out of order",
                    format!("{terminal}: message {id} after {last}"),
                );
            } else {
                last = id;
            }
            whole.insert(id);
        }
    }
    for (id, row) in &by_id {
        let status = row["status"].as_str().unwrap_or("");
        match status {
            "submitted" => {
                verdict.count("submitted");
                if !whole.contains(id) {
                    // The agent ended while the hook that had printed the body was about to end.
                    let cut = received
                        .get(row["receiver"].as_str().unwrap_or(""))
                        .and_then(|receipts| receipts.last())
                        .is_some_and(|last| last.id == *id)
                        && living
                            .iter()
                            .all(|living| row["receiver"] != living.as_str());
                    if cut {
                        verdict.count("cut off with its agent");
                    } else if told.contains(id) {
                        // The hook that printed it was killed between its mark and its end: the line says where to read it.
                        verdict.count("announced, to be read");
                        verdict.evidence.push(format!("announced only: {row}"));
                    } else {
                        verdict.wrong("lost", format!("{row}"));
                    }
                }
            }
            "dead" | "expired" | "cancelled" => {
                verdict.count("ended with a reason");
                if !row["last_error"].is_string() {
                    verdict.wrong("no reason", format!("{row}"));
                }
            }
            _ => verdict.wrong("unsettled", format!("{row}")),
        }
    }
    let stored: HashMap<usize, u64> = numbers.iter().map(|(id, n)| (*n, *id)).collect();
    if stored.len() != numbers.len() {
        verdict.wrong("stored twice", "one text has several messages".to_owned());
    }
    let mut order: HashMap<(usize, &str), u64> = HashMap::new();
    for s in sent {
        let Some(id) = s.accepted else {
            continue;
        };
        verdict.count("accepted");
        if !by_id.contains_key(&id) {
            verdict.wrong(
                "lost",
                format!(
                    "number {} was accepted as message {id} and is not recorded",
                    s.number
                ),
            );
        }
        let last = order.entry((s.sender, &s.receiver)).or_default();
        if id <= *last {
            verdict.wrong(
                "out of order",
                format!("a sender's message {id} after {last}"),
            );
        }
        *last = id;
    }
    verdict
}
