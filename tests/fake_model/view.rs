//! A request to the Messages API as the script sees it: what was heard and which tools were called in the turn that it belongs to.

use crate::plan::Call;
use crate::script::{Heard, Source, Wanted};
use serde_json::{Value, json};

/// How Claude Code marks a prompt that was sent in the middle of a turn, and what it says behind it.
const MID_TURN: &str = "The user sent a new message while you were working:\n";
const MID_TURN_ENDS: [&str; 2] = [
    "\n\nThis is how Claude Code",
    "\n\nIMPORTANT: After completing",
];
/// What it says behind the result of a search for tools.
const LOADED: &str = "Tool loaded.";
const INTERRUPTED: &str = "[Request interrupted by user";
const SEARCH: &str = "ToolSearch";

/// One request.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub(crate) model: String,
    pub(crate) session: String,
    pub(crate) stream: bool,
    /// The names of the tools that can be called, in the order offered.
    pub(crate) offered: Vec<String>,
    /// Names of MCP tools that are only mentioned: they are called after a search.
    pub(crate) mentioned: Vec<String>,
    /// How often this turn has searched for tools.
    pub(crate) searches: u32,
    pub(crate) heard: Vec<Heard>,
    pub(crate) calls: Vec<Call>,
}

/// What becomes of a tool that the script wants.
#[derive(Debug, PartialEq)]
pub(crate) enum Resolved {
    /// It is called by this name.
    Offered(String),
    /// It has to be searched for with this query.
    Search(Value),
    Unknown,
}

impl View {
    /// Reads a request's body.
    pub(crate) fn of(body: &Value) -> Self {
        let mut view = Self {
            model: text_of(&body["model"]),
            session: text_of(&body["metadata"]["user_id"]),
            stream: body["stream"] == true,
            ..Self::default()
        };
        for tool in list(&body["tools"]) {
            if tool["defer_loading"] == true {
                view.mentioned.push(text_of(&tool["name"]));
            } else {
                view.offered.push(text_of(&tool["name"]));
            }
        }
        let mut answered = false;
        for (index, message) in list(&body["messages"]).iter().enumerate() {
            let blocks = blocks(&message["content"]);
            match message["role"].as_str() {
                Some("assistant") => {
                    answered = true;
                    view.assistant(&blocks);
                }
                Some("user") => {
                    let result = blocks.iter().any(|block| block["type"] == "tool_result");
                    let words = blocks.iter().any(|block| {
                        block["type"] == "text" && !split(&text_of(&block["text"])).0.is_empty()
                    });
                    if answered && words && !result {
                        view.new_turn();
                        answered = false;
                    }
                    view.user(&blocks, index);
                }
                _ => {
                    for block in &blocks {
                        view.context(&text_of(&block["text"]), index);
                        view.load(block);
                    }
                }
            }
        }
        view
    }

    fn new_turn(&mut self) {
        self.heard.clear();
        self.calls.clear();
        self.searches = 0;
    }

    fn assistant(&mut self, blocks: &[Value]) {
        for block in blocks.iter().filter(|block| block["type"] == "tool_use") {
            if block["name"] == SEARCH {
                self.searches += 1;
            } else {
                self.calls.push(Call {
                    id: text_of(&block["id"]),
                    result: None,
                });
            }
        }
    }

    fn user(&mut self, blocks: &[Value], index: usize) {
        for block in blocks {
            if block["type"] == "tool_result" {
                let content = self::blocks(&block["content"]);
                let texts: Vec<String> = content.iter().map(|b| text_of(&b["text"])).collect();
                for block in &content {
                    self.load(block);
                }
                for call in self
                    .calls
                    .iter_mut()
                    .filter(|c| block["tool_use_id"] == c.id)
                {
                    call.result = Some(texts.join(" "));
                }
                continue;
            }
            let (words, reminders) = split(&text_of(&block["text"]));
            if words == LOADED {
                continue;
            }
            if words.starts_with(INTERRUPTED) {
                self.new_turn();
                continue;
            }
            for reminder in reminders {
                self.context(&reminder, index);
            }
            let words = match words.strip_prefix(MID_TURN) {
                Some(rest) => until_end(rest).to_owned(),
                None => words,
            };
            self.hear(Source::User, index, words);
        }
    }

    /// A text around the user's words; prompts sent in the middle of a turn may stand in it.
    fn context(&mut self, text: &str, index: usize) {
        let mut parts = text.split(MID_TURN);
        let before = parts.next().unwrap_or_default();
        self.hear(Source::Context, index, before.into());
        for part in parts {
            let words = until_end(part);
            self.hear(Source::User, index, words.trim_end().into());
            self.hear(Source::Context, index, part[words.len()..].into());
        }
        for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-') {
            if word.starts_with("mcp__") && !self.mentioned.iter().any(|known| known == word) {
                self.mentioned.push(word.into());
            }
        }
    }

    fn hear(&mut self, source: Source, message: usize, text: String) {
        if !text.trim().is_empty() {
            self.heard.push(Heard {
                source,
                message,
                text,
            });
        }
    }

    /// A block that loads a deferred tool.
    fn load(&mut self, block: &Value) {
        if let Some(name) = block["tool_name"].as_str()
            && !self.offered.iter().any(|offered| offered == name)
        {
            self.offered.push(name.into());
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

    /// Finds the tool that the script wants among those offered.
    pub(crate) fn resolve(&self, wanted: &Wanted) -> Resolved {
        let end = format!("__{}", wanted.name);
        let fits = |name: &&String| **name == wanted.name || wanted.mcp && name.ends_with(&end);
        if let Some(name) = self.offered.iter().find(fits) {
            return Resolved::Offered(name.clone());
        }
        if !self.offered.iter().any(|name| name == SEARCH) {
            return Resolved::Unknown;
        }
        let query = self
            .mentioned
            .iter()
            .find(fits)
            .map_or_else(|| wanted.name.clone(), |name| format!("select:{name}"));
        Resolved::Search(json!({"query": query, "max_results": 5}))
    }
}

fn until_end(text: &str) -> &str {
    let ends = MID_TURN_ENDS.iter().filter_map(|end| text.find(end));
    &text[..ends.min().unwrap_or(text.len())]
}

/// The user's own words in a text, trimmed, and the reminders that the agent put into it.
fn split(text: &str) -> (String, Vec<String>) {
    const OPEN: &str = "<system-reminder>";
    const CLOSE: &str = "</system-reminder>";
    let (mut words, mut reminders, mut rest) = (String::new(), Vec::new(), text);
    while let Some((before, inside)) = rest.split_once(OPEN) {
        let Some((reminder, after)) = inside.split_once(CLOSE) else {
            break;
        };
        words.push_str(before);
        reminders.push(reminder.to_owned());
        rest = after;
    }
    words.push_str(rest);
    (words.trim().to_owned(), reminders)
}

/// Content as blocks: a plain string is one text block.
fn blocks(content: &Value) -> Vec<Value> {
    match content {
        Value::String(text) => vec![json!({"type": "text", "text": text})],
        other => list(other).to_vec(),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
