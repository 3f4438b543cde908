//! What the model does next: the script of this turn, played against the tool calls that it has already made.
//!
//! The plan is worked out anew for each request, from the request alone; only the count of failures given is remembered.

use crate::script::{Heard, How, Source, Step, Wanted, directive, steps};
use conductor::clock::{Deadline, sleep};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::io;
use std::time::Duration;

/// A tool call of this turn, with its result as text when there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) id: String,
    pub(crate) result: Option<String>,
}

/// What the model answers.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Plan {
    /// How long it takes before anything else, with a tick each second.
    pub(crate) slow: Duration,
    pub(crate) text: Option<String>,
    pub(crate) call: Option<Wanted>,
    /// An HTTP error of this status instead.
    pub(crate) fail: Option<u16>,
}

impl Plan {
    /// Waits as long as it takes.
    pub(crate) fn wait(&self) {
        sleep(self.slow, &Deadline::never());
    }

    /// Waits as long as it takes and says a tick each second.
    pub(crate) fn tick(&self, mut say: impl FnMut(&str) -> io::Result<()>) -> io::Result<()> {
        for tick in 0..self.slow.as_secs() {
            sleep(Duration::from_secs(1), &Deadline::never());
            say(&format!("tick {tick} "))?;
        }
        let rest = Duration::from_nanos(self.slow.subsec_nanos().into());
        sleep(rest, &Deadline::never());
        Ok(())
    }
}

/// How often each failure has been given, by its name.
pub(crate) type Failures = HashMap<String, u32>;

/// Works out the answer, and counts the failure when it is one.
pub(crate) fn plan(heard: &[Heard], calls: &[Call], failures: &mut Failures) -> Plan {
    let last = heard.iter().rposition(|part| part.source == Source::User);
    let live: Vec<&Heard> = heard
        .iter()
        .enumerate()
        .filter(|(index, part)| Some(*index) == last || !given_up(part, failures))
        .map(|(_, part)| part)
        .collect();
    let mut ahead = steps(&live);
    ahead.reverse();
    let mut plan = Plan::default();
    let mut said = Vec::new();
    let mut done = 0;
    let mut result = "";
    while let Some(step) = ahead.pop() {
        match step {
            Step::Slow(span) => plan.slow += span,
            Step::Say(words) => said.push(words),
            Step::Fail(status, times, name) => {
                let given = failures.entry(name).or_default();
                if done == calls.len() && *given < times {
                    *given += 1;
                    plan.fail = Some(status);
                    return plan;
                }
            }
            Step::Call(wanted) => {
                let Some(call) = calls.get(done) else {
                    plan.call = Some(wanted);
                    break;
                };
                done += 1;
                result = call.result.as_deref().unwrap_or_default();
                (plan.slow, said) = (Duration::ZERO, Vec::new());
            }
            Step::Read(id) => {
                let (made, read) = read_inbox(&id, &calls[done..]);
                if made > 0 {
                    done += made;
                    result = calls[done - 1].result.as_deref().unwrap_or_default();
                    (plan.slow, said) = (Duration::ZERO, Vec::new());
                }
                match read {
                    Read::Next(wanted) => {
                        plan.call = Some(wanted);
                        break;
                    }
                    Read::Whole(body) => {
                        let mut inner = Vec::new();
                        for line in body.split('\n') {
                            inner.extend(directive(line, &format!("inbox {id}")));
                        }
                        ahead.extend(inner.into_iter().rev());
                    }
                    Read::Broken(what) => said.push(format!("read_inbox failed: {what}")),
                }
            }
        }
    }
    plan.text = if !said.is_empty() {
        Some(said.join("\n"))
    } else if plan.call.is_some() {
        None
    } else if done > 0 {
        Some(format!("done: {}", first(result, 200)))
    } else if plan.slow > Duration::ZERO {
        Some(format!("done: slept {} s", plan.slow.as_secs_f64()))
    } else {
        let last = heard.iter().rfind(|heard| heard.source == Source::User);
        let words = last.map_or_else(String::new, |heard| {
            heard.text.split_whitespace().collect::<Vec<_>>().join(" ")
        });
        Some(format!("mock reply to: {}", first(&words, 80)))
    };
    plan
}

/// Whether a prompt was answered with a failure and left at that: the agent shows it together with the next one.
fn given_up(part: &Heard, failures: &Failures) -> bool {
    part.source == Source::User
        && part.text.split('\n').any(|line| {
            matches!(directive(line, &part.place()), Some(Step::Fail(_, _, name)) if failures.get(&name).is_some_and(|given| *given > 0))
        })
}

/// How agents mark a result that they cut in the middle, which may leave it readable.
const CUT: [&str; 2] = [" tokens truncated…", " chars truncated…"];

enum Read {
    Next(Wanted),
    Whole(String),
    Broken(String),
}

/// How far reading message `id` has come with these calls, and how many of them belong to it.
fn read_inbox(id: &str, calls: &[Call]) -> (usize, Read) {
    let mut input = Map::new();
    input.insert("message_id".into(), json!(id));
    let mut body = String::new();
    for (index, call) in calls.iter().enumerate() {
        let text = call.result.as_deref().unwrap_or_default();
        if let Some(at) = CUT.iter().find_map(|mark| text.find(mark)) {
            return (index + 1, Read::Broken(format!("cut after {at} bytes")));
        }
        let Ok(answer) = serde_json::from_str::<Value>(text) else {
            return (index + 1, Read::Broken(first(text, 200)));
        };
        for message in answer["messages"].as_array().into_iter().flatten() {
            body.push_str(message["body"].as_str().unwrap_or_default());
        }
        match &answer["next"] {
            Value::Null => return (index + 1, Read::Whole(body)),
            next => drop(input.insert("offset".into(), next.clone())),
        }
    }
    let wanted = Wanted {
        name: "read_inbox".into(),
        how: How::Mcp,
        input: Value::Object(input),
    };
    (calls.len(), Read::Next(wanted))
}

/// The first `chars` characters.
pub(crate) fn first(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{message, place, user};

    fn played(script: &str, results: &[&str]) -> Plan {
        let calls: Vec<Call> = results.iter().map(|result| call(result)).collect();
        plan(&[user(script)], &calls, &mut Failures::new())
    }

    fn call(result: &str) -> Call {
        Call {
            id: "t".into(),
            result: Some(result.into()),
        }
    }

    fn answer(text: &str) -> Plan {
        Plan {
            text: Some(text.into()),
            ..Plan::default()
        }
    }

    fn name_and_input(plan: Plan) -> (String, Value) {
        let call = plan.call.expect("a call");
        (call.name, call.input)
    }

    #[test]
    fn one_call_a_turn_then_the_last_result() {
        let script = "BASH: echo a\nMCP: ping {\"x\":1}\nTOOL: Read";
        let (name, input) = name_and_input(played(script, &[]));
        assert_eq!(
            (name.as_str(), &input["command"]),
            ("shell", &json!("echo a"))
        );
        assert_eq!(
            name_and_input(played(script, &["a"])),
            ("ping".into(), json!({"x": 1}))
        );
        assert_eq!(
            name_and_input(played(script, &["a", "b"])),
            ("Read".into(), json!({}))
        );
        assert_eq!(played(script, &["a", "b", "c"]), answer("done: c"));
    }

    #[test]
    fn words_and_waits_belong_to_the_call_behind_them() {
        let script = "SLOW: 1.5\nSAY: a\nBASH: x\nSAY: b";
        let before = played(script, &[]);
        assert_eq!(before.slow, Duration::from_millis(1500));
        assert_eq!(before.text.as_deref(), Some("a"));
        assert_eq!(played(script, &["r"]), answer("b"));
    }

    #[test]
    fn without_a_directive_it_repeats_the_words() {
        assert_eq!(
            played("hello\n there", &[]),
            answer("mock reply to: hello there")
        );
    }

    #[test]
    fn a_failure_is_given_as_often_as_asked() {
        let mut given = Failures::new();
        let mut heard = vec![user("FAIL: 529 2\nSAY: back")];
        assert_eq!(plan(&heard, &[], &mut given).fail, Some(529));
        assert_eq!(plan(&heard, &[], &mut given).fail, Some(529));
        assert_eq!(plan(&heard, &[], &mut given), answer("back"));
        heard.push(user("SAY: new"));
        assert_eq!(plan(&heard, &[], &mut given), answer("new"));
    }

    #[test]
    fn a_long_message_is_read_to_its_end_and_played() {
        let line = place(&message(&"x\n".repeat(9000)));
        let one = r#"{"messages":[{"body":"BASH: ec"}],"next":8}"#;
        let two = r#"{"messages":[{"body":"ho hi\nSAY: end"}],"next":null}"#;
        assert_eq!(
            name_and_input(played(&line, &[])),
            ("read_inbox".into(), json!({"message_id": "12"}))
        );
        assert_eq!(
            name_and_input(played(&line, &[one])).1,
            json!({"message_id": "12", "offset": 8})
        );
        assert_eq!(
            name_and_input(played(&line, &[one, two])).1["command"],
            "echo hi"
        );
        assert_eq!(played(&line, &[one, two, "hi"]), answer("end"));
        assert_eq!(
            played(&line, &["no such message"]),
            answer("read_inbox failed: no such message")
        );
        let cut = r#"{"messages":[{"body":"SAY: a…9 tokens truncated…b"}],"next":null}"#;
        assert_eq!(
            played(&line, &[cut]),
            answer("read_inbox failed: cut after 32 bytes")
        );
    }
}
