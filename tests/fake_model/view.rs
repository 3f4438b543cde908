//! A request as the script sees it, whatever its protocol: what was heard and which tools were called in the turn that it
//! belongs to, and the answer that follows.

use crate::plan::{Call, Failures, Plan, plan};
use crate::script::{Heard, How, Source, Wanted};
use crate::tools::{Tool, find, fits};
use serde_json::{Value, json};
use std::time::Duration;

/// The tool that searches for others.
pub(crate) const SEARCH: &str = "ToolSearch";
/// How often a turn searches for a tool whose server may still be starting, and how long the model thinks in between.
const SEARCHES: u32 = 10;
const SEARCH_PAUSE: Duration = Duration::from_millis(300);

/// One request.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub(crate) model: String,
    pub(crate) session: String,
    pub(crate) stream: bool,
    /// The tools that can be called, in the order offered.
    pub(crate) offered: Vec<Tool>,
    /// What stands between an MCP server's name and its tool's.
    pub(crate) joint: &'static str,
    /// Names of MCP tools that are only mentioned: they are called after a search.
    pub(crate) mentioned: Vec<String>,
    /// How often this turn has searched for tools.
    pub(crate) searches: u32,
    pub(crate) heard: Vec<Heard>,
    pub(crate) calls: Vec<Call>,
    /// The answer to a question on the side, such as a title for the session: not the agent at work.
    pub(crate) side: Option<String>,
    /// Whether the turn has ended: the user's next words begin another.
    pub(crate) over: bool,
}

/// What becomes of a tool that the script wants.
#[derive(Debug, PartialEq)]
pub(crate) enum Resolved {
    /// It is called by this name with this input.
    Offered(String, Value),
    /// It has to be searched for with this query.
    Search(Value),
    Unknown,
}

impl View {
    /// A message of the user's comes; `words` tells whether it holds words of their own.
    pub(crate) fn open(&mut self, words: bool) {
        if self.over && words {
            self.new_turn();
            self.over = false;
        }
    }

    pub(crate) fn new_turn(&mut self) {
        self.heard.clear();
        self.calls.clear();
        self.searches = 0;
    }

    pub(crate) fn hear(&mut self, source: Source, message: usize, text: &str) {
        if !text.trim().is_empty() {
            self.heard.push(Heard {
                source,
                message,
                text: text.into(),
            });
        }
    }

    /// A tool was called.
    pub(crate) fn called(&mut self, id: &Value) {
        self.calls.push(Call {
            id: text_of(id),
            result: None,
        });
    }

    /// The call of this id, or without one the first that has no result, has ended.
    pub(crate) fn returned(&mut self, id: &Value, result: &str) {
        let mut calls = self.calls.iter_mut();
        let call = match id.as_str() {
            Some(id) => calls.find(|call| call.id == id),
            None => calls.find(|call| call.result.is_none()),
        };
        if let Some(call) = call {
            call.result = Some(result.into());
        }
    }

    /// Everything heard from `source`, as one text.
    pub(crate) fn text(&self, source: Source) -> String {
        let parts = self.heard.iter().filter(|heard| heard.source == source);
        parts
            .map(|heard| heard.text.as_str())
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// The offered tool of this name.
    pub(crate) fn tool(&self, name: &str) -> Option<&Tool> {
        self.offered.iter().find(|tool| tool.name == name)
    }

    /// Finds the tool that the script wants among those offered.
    pub(crate) fn resolve(&self, wanted: &Wanted) -> Resolved {
        if let Some((tool, input)) = find(&self.offered, wanted, self.joint) {
            return Resolved::Offered(tool.name.clone(), input);
        }
        if wanted.how == How::Shell || self.tool(SEARCH).is_none() {
            return Resolved::Unknown;
        }
        let query = self
            .mentioned
            .iter()
            .find(|name| fits(wanted, name, self.joint))
            .map_or_else(|| wanted.name.clone(), |name| format!("select:{name}"));
        Resolved::Search(json!({"query": query, "max_results": 5}))
    }

    /// Works out what to answer; the tool in it carries the name that it was offered by.
    pub(crate) fn decide(&self, failures: &mut Failures) -> Plan {
        if let Some(text) = &self.side {
            return Plan {
                text: Some(text.clone()),
                ..Plan::default()
            };
        }
        let mut plan = plan(&self.heard, &self.calls, failures);
        let Some(wanted) = plan.call.take() else {
            return plan;
        };
        let (name, input) = match self.resolve(&wanted) {
            Resolved::Offered(name, input) => (name, input),
            Resolved::Search(query) if self.searches < SEARCHES => {
                plan = Plan::default();
                if self.searches > 0 {
                    plan.slow = SEARCH_PAUSE;
                }
                (SEARCH.into(), query)
            }
            _ => {
                let offered: Vec<&str> = self.offered.iter().map(|t| t.name.as_str()).collect();
                let offered = offered.join(", ");
                plan.text = Some(format!(
                    "no such tool: {} (offered: {offered})",
                    wanted.name
                ));
                return plan;
            }
        };
        plan.call = Some(Wanted {
            name,
            how: How::Exact,
            input,
        });
        plan
    }
}

/// The user's own words in a text, trimmed, and what stands between `tags` in it, which the agent put there.
pub(crate) fn split(text: &str, tags: &[&str]) -> (String, Vec<String>) {
    let (mut words, mut inside, mut rest) = (String::new(), Vec::new(), text);
    while let Some((at, tag)) = tags
        .iter()
        .filter_map(|tag| Some((opening(rest, tag)?, tag)))
        .min()
    {
        let element = &rest[at..];
        let close = format!("</{tag}>");
        let parts = element
            .split_once('>')
            .and_then(|(_, within)| within.split_once(close.as_str()));
        let Some((within, after)) = parts else {
            break;
        };
        words.push_str(&rest[..at]);
        inside.push(within.to_owned());
        rest = after;
    }
    words.push_str(rest);
    (words.trim().to_owned(), inside)
}

/// Where `<tag>` or `<tag …>` stands first.
fn opening(text: &str, tag: &str) -> Option<usize> {
    text.match_indices('<').map(|(at, _)| at).find(|at| {
        text[at + 1..]
            .strip_prefix(tag)
            .is_some_and(|rest| rest.starts_with(['>', ' ']))
    })
}

/// The text that was escaped for XML.
pub(crate) fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}

/// Content as blocks: a plain string is one text block.
pub(crate) fn blocks(content: &Value) -> Vec<Value> {
    match content {
        Value::String(text) => vec![json!({"type": "text", "text": text})],
        other => list(other).to_vec(),
    }
}

pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub(crate) fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_agent_put_around_the_words_is_told_from_them() {
        let tags = ["environment", "hook"];
        let (words, inside) = split(
            "<environment>\na < b</environment>\nhi <hooked> <hook id=\"1\">x</hook>",
            &tags,
        );
        assert_eq!(
            (words.as_str(), inside),
            ("hi <hooked>", vec!["\na < b".into(), "x".into()])
        );
        assert_eq!(split("a <hook> b", &tags).0, "a <hook> b");
    }

    #[test]
    fn escapes_are_undone_once() {
        assert_eq!(unescaped("&lt;a&gt; &amp;lt; &quot;&apos;"), "<a> &lt; \"'");
    }
}
