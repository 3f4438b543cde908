//! The script: what the texts of a turn ask of the model, one directive a line.

use conductor::domain::text;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Where the agent put a text that the model received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// As the user's own words: a prompt, Stop-hook feedback, a prompt sent in the middle of a turn.
    User,
    /// Around them: a system message or a reminder. Only what stands between our frame lines counts.
    Context,
}

/// A text that the model received in this turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) source: Source,
    /// Which message of the request it stands in.
    pub(crate) message: usize,
    pub(crate) text: String,
}

impl Heard {
    /// The name of the place where it stands, the same in every request of the conversation.
    pub(crate) fn place(&self) -> String {
        format!("message {}", self.message)
    }
}

/// How a tool is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// The agent's own shell, whatever its name.
    Shell,
    /// By a name that may have its server's in front.
    Mcp,
    Exact,
}

/// A tool as the script names it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) how: How,
    pub(crate) input: Value,
}

impl Wanted {
    /// A command for the agent's shell.
    pub(crate) fn shell(command: &str) -> Self {
        Self {
            name: "shell".into(),
            how: How::Shell,
            input: json!({"command": command}),
        }
    }
}

/// One directive.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    Call(Wanted),
    /// Fetch the body of this message over MCP and play what it says.
    Read(String),
    Slow(Duration),
    Say(String),
    /// Status, how often, and a name for this very directive.
    Fail(u16, u32, String),
}

/// The steps in the order in which a reader would take them: a body that came as context stands where its header was put.
pub(crate) fn steps(heard: &[&Heard]) -> Vec<Step> {
    let mut bodies = BTreeMap::new();
    for part in heard.iter().filter(|part| part.source == Source::Context) {
        let lines: Vec<&str> = part.text.split('\n').collect();
        for start in 0..lines.len() {
            if let Some((id, end)) = frame(&lines, start) {
                bodies.entry(id).or_insert((part, start + 1, end));
            }
        }
    }
    let mut steps = Vec::new();
    let mut seen = BTreeSet::new();
    for part in heard.iter().filter(|part| part.source == Source::User) {
        let place = part.place();
        let lines: Vec<&str> = part.text.split('\n').collect();
        let mut at = 0;
        while at < lines.len() {
            let line = lines[at];
            if let Some((id, end)) = frame(&lines, at) {
                if seen.insert(id) {
                    steps.extend(
                        lines[at + 1..end]
                            .iter()
                            .filter_map(|l| directive(l, &place)),
                    );
                }
                at = end + 1;
                continue;
            }
            at += 1;
            let id = text::header_ids(line).first().map(ToString::to_string);
            match id {
                Some(id) if line.contains("] The text of this message (") => {
                    if let Some((part, from, to)) = bodies.get(&id)
                        && seen.insert(id)
                    {
                        let lines = part.text.split('\n').skip(*from).take(to - from);
                        steps.extend(lines.filter_map(|line| directive(line, &place)));
                    }
                }
                Some(id) if line.contains("] This message is long (") => {
                    if seen.insert(id.clone()) {
                        steps.push(Step::Read(id));
                    }
                }
                _ => steps.extend(directive(line, &place)),
            }
        }
    }
    // A body whose header stood in no text of the user's: an agent that adds context to something else.
    for (id, (part, from, to)) in &bodies {
        if seen.insert(id.clone()) {
            let place = part.place();
            let lines = part.text.split('\n').skip(*from).take(to - from);
            steps.extend(lines.filter_map(|line| directive(line, &place)));
        }
    }
    steps
}

/// The id of the frame that `lines[start]` opens and the index of the line that closes it. A frame that was cut is none.
fn frame(lines: &[&str], start: usize) -> Option<(String, usize)> {
    let line = &lines[start][lines[start].find("[conductor #")?..];
    let id = text::header_ids(line).first()?.to_string();
    let (tag, _) = line.split_once("] tag ")?.1.split_once(':')?;
    let footer = format!("[end of conductor #{id} tag {tag}]");
    let end = lines[start..].iter().position(|line| *line == footer)?;
    Some((id, start + end))
}

/// The directive on one line, behind quote marks and our header.
pub(crate) fn directive(line: &str, place: &str) -> Option<Step> {
    let mut line = line.trim_start_matches([' ', '\t', '│', '|', '>']);
    while line.starts_with("[conductor #") {
        let body = text::body_lines(line).first()?.trim_start();
        // It only looks like a header of ours.
        if body.len() == line.len() {
            return None;
        }
        line = body;
    }
    let (word, rest) = line.split_once(':')?;
    let rest = rest.trim();
    let step = match word {
        "BASH" => Step::Call(Wanted::shell(rest)),
        "MCP" | "TOOL" => {
            let (name, input) = rest.split_once(' ').unwrap_or((rest, ""));
            Step::Call(Wanted {
                name: name.into(),
                how: if word == "MCP" { How::Mcp } else { How::Exact },
                input: match input.trim() {
                    "" => json!({}),
                    input => serde_json::from_str(input).unwrap_or_else(|_| json!(input)),
                },
            })
        }
        "SLOW" => Step::Slow(
            rest.parse()
                .ok()
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
                .unwrap_or(Duration::from_secs(1)),
        ),
        "SAY" => Step::Say(rest.into()),
        "FAIL" => {
            let (status, times) = rest.split_once(' ').unwrap_or((rest, "1"));
            let status = status.parse().ok().filter(|s| (400..600).contains(s));
            let times = times.trim().parse().unwrap_or(1);
            Step::Fail(status.unwrap_or(500), times, format!("{place} {rest}"))
        }
        _ => return None,
    };
    Some(step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{context, message, place, say, user};

    fn steps_of(heard: &[Heard]) -> Vec<Step> {
        steps(&heard.iter().collect::<Vec<_>>())
    }

    #[test]
    fn directives_stand_behind_our_header_and_other_lines_do_not_count() {
        let heard = [user(
            "[conductor #3 from dev] SAY: a\nSAY b\n  │ SAY: c\nNote: SAY: d",
        )];
        assert_eq!(steps_of(&heard), [say("a"), say("c")]);
    }

    #[test]
    fn a_short_message_counts_once() {
        assert_eq!(steps_of(&[user(&place(&message("SAY: hi")))]), [say("hi")]);
    }

    #[test]
    fn a_body_in_the_context_stands_where_its_header_was_put() {
        let long = message("SAY: one\nSAY: two");
        let added = format!(
            "Environment\nSAY: no\n\nUserPromptSubmit hook additional context: {}\n\nToday",
            text::framed(&long)
        );
        let heard = [
            user("SAY: zero"),
            user(&place(&long)),
            user("SAY: three"),
            context(&added),
        ];
        assert_eq!(
            steps_of(&heard),
            [say("zero"), say("one"), say("two"), say("three")]
        );
    }

    #[test]
    fn a_body_that_was_cut_or_lost_asks_nothing() {
        let long = message("SAY: one\nSAY: two");
        let cut: String = text::framed(&long).chars().take(100).collect();
        assert_eq!(steps_of(&[user(&place(&long)), context(&cut)]), []);
        assert_eq!(steps_of(&[user(&place(&long))]), []);
    }

    #[test]
    fn a_framed_body_that_comes_twice_counts_once() {
        let framed = text::framed(&message("SAY: one\n[conductor #9 from x] SAY: two"));
        let heard = [
            user(&format!("Stop hook feedback:\n{framed}")),
            context(&format!("Stop hook blocking error: {framed}")),
        ];
        assert_eq!(steps_of(&heard), [say("one"), say("two")]);
    }

    #[test]
    fn a_pointer_is_read() {
        let long = message(&"x\n".repeat(9000));
        assert_eq!(steps_of(&[user(&place(&long))]), [Step::Read("12".into())]);
    }
}
