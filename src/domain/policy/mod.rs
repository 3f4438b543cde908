//! What may run without a person, what a person is asked about, and what never runs.
//!
//! Every rule that matches any simple command of a call counts, whatever its place: deny over ask over defer over allow. An allow counts
//! only when the whole input was understood.
//!
//! | room | what lives there |
//! |---|---|
//! | [`rule`] | one rule, and when an ask or deny rule matches: generously |
//! | [`strict`], [`flags`] | when an allow or defer rule matches: only what it names |
//! | [`paths`] | where paths lead, and patterns for them |
//! | [`scripts`] | the files that a command would execute or interpret |
//! | [`examples`] | the commands that a rule says it matches |
//! | [`judge`] | a policy and a call -> a ruling |

pub mod examples;
pub mod flags;
pub mod judge;
pub mod paths;
pub mod rule;
pub mod scripts;
pub mod strict;

#[cfg(test)]
pub(crate) mod tests;

pub use judge::judge;
pub use paths::Sight;
pub use rule::{Examples, Rule, Token};

use std::path::{Path, PathBuf};

/// What is done about a call; the later is the stricter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// It runs.
    Allow,
    /// No opinion: the agent's own permission flow decides.
    Defer,
    /// A person is asked.
    Ask,
    /// It does not run.
    Deny,
}

impl Decision {
    /// The word in files and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Defer => "defer",
            Self::Ask => "ask",
            Self::Deny => "deny",
        }
    }

    /// The decision that `word` names.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Allow, Self::Defer, Self::Ask, Self::Deny]
            .into_iter()
            .find(|decision| decision.as_str() == word)
    }

    /// Whether a rule with it makes a policy stricter.
    pub const fn tightens(self) -> bool {
        matches!(self, Self::Ask | Self::Deny)
    }
}

/// How much is at stake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    /// Nothing is lost that cannot be had again.
    Low,
    /// Anything that is not known to be one of the others.
    Medium,
    /// Data, secrets, other machines, or this gate.
    High,
}

impl Risk {
    /// The word in files and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    /// The risk that `word` names.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Low, Self::Medium, Self::High]
            .into_iter()
            .find(|risk| risk.as_str() == word)
    }
}

/// What a person has to show when they approve; the later asks for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// To be no agent.
    Caller,
    /// To read a random code off their own screen.
    Challenge,
    /// To know a PIN.
    Pin,
    /// To sign with a key.
    Signature,
}

impl Presence {
    /// The word in files and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Challenge => "challenge",
            Self::Pin => "pin",
            Self::Signature => "signature",
        }
    }

    /// The presence that `word` names.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Caller, Self::Challenge, Self::Pin, Self::Signature]
            .into_iter()
            .find(|presence| presence.as_str() == word)
    }
}

/// What holds where no rule says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults {
    /// What no rule matches is asked about, also where the agent would ask by itself.
    pub ask_unmatched: bool,
    /// The presence of rules that name none; `None`: challenge for high risk, else caller.
    pub presence: Option<Presence>,
    /// Seconds after which a request expires.
    pub expires_seconds: u64,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            ask_unmatched: false,
            presence: None,
            expires_seconds: 3600,
        }
    }
}

impl Defaults {
    /// The presence that a risk asks for where the rule names none.
    pub fn presence_for(&self, risk: Risk) -> Presence {
        self.presence.unwrap_or(if risk == Risk::High {
            Presence::Challenge
        } else {
            Presence::Caller
        })
    }
}

/// A policy: rules without an order, and what holds without a rule.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// What holds without a rule.
    pub defaults: Defaults,
    /// The rules.
    pub rules: Vec<Rule>,
    /// The user's home directory, for `~/` in patterns and commands.
    pub home: Option<PathBuf>,
    /// The state directory, for `{state}` in patterns.
    pub state: Option<PathBuf>,
}

/// What a tool call would do, whatever agent makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Run a command line in a shell.
    Shell {
        /// The command line.
        command: String,
    },
    /// Read files or directories; none named is the working directory.
    Read {
        /// Absolute, or relative to the working directory.
        paths: Vec<String>,
    },
    /// Write files.
    Write {
        /// Absolute, or relative to the working directory.
        paths: Vec<String>,
    },
    /// Load a page.
    Fetch {
        /// Its address.
        url: String,
    },
    /// Call a tool of an MCP server.
    Mcp {
        /// The server's name.
        server: String,
        /// The tool's name.
        tool: String,
    },
    /// Something inside the agent: a list of things to do, a question to its user.
    Own,
    /// Anything else, or input of an unknown shape.
    Other,
}

/// The tools of our own MCP server: an agent may call them without asking.
pub const OWN_TOOLS: [&str; 13] = [
    "handoff",
    "wait_handoff",
    "assign",
    "send_message",
    "read_inbox",
    "request_approval",
    "approval_status",
    "ask_human",
    "list_terminals",
    "get_output",
    "wait",
    "close_terminal",
    "find_profiles",
];

/// A tool call to judge.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The tool's name in the agent's words.
    pub tool: &'a str,
    /// What it would do.
    pub action: &'a Action,
    /// The working directory, absolute.
    pub cwd: &'a Path,
    /// Where the call itself runs, where it names another directory.
    pub start: Option<&'a Path>,
    /// The agent's profile.
    pub profile: &'a str,
    /// The agent asks its user by itself: what no rule matches is left to it.
    pub agent_asks: bool,
    /// The agent never asks: reading, and edits in the working directory, are allowed instead of left to it.
    pub allows_edits: bool,
}

/// A command for which a rule would have to be written so that it runs without being asked about.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Need {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// The ask rules that match it.
    pub asked_by: Vec<String>,
}

/// What a policy says about a call.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Ruling {
    /// What is done.
    pub decision: Decision,
    /// The rule that decided; `None` when none matched.
    pub rule: Option<String>,
    /// How much is at stake.
    pub risk: Risk,
    /// What a person has to show who approves it.
    pub presence: Presence,
    /// Which rule and which part of the call decided, for people: one line, not yet fit for a terminal.
    pub reason: String,
    /// All of it was understood.
    pub complete: bool,
    /// The simple commands that it would run, those inside `env`, `bash -c` and their like too.
    pub commands: Vec<Vec<String>>,
    /// The parts that were not understood, and why.
    pub unclear: Vec<String>,
    /// Regular files that it would execute or interpret, absolute.
    pub scripts: Vec<PathBuf>,
    /// The commands that are not allowed yet; empty when `allow` could not help: a deny, something unclear, or no command.
    pub needs: Vec<Need>,
}
