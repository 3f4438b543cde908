//! An approval: one thing that an agent wants to do and that waits for a person, bound to exactly what will run.

use super::audit::digest;
use super::ids::{ApprovalId, MessageId, TerminalId};
use super::policy::{Presence, Risk};
use super::terminal::Root;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Longest text of a request in bytes; what is longer is refused, because nobody could read it.
pub const MAX_COMMAND: usize = 256 * 1024;

/// Where a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ApprovalStatus {
    /// Nobody has decided.
    Pending,
    /// A person said yes; nothing has run.
    Approved,
    /// The yes was used: it counts for nothing else.
    Consumed,
    /// A person said no.
    Denied,
    /// Nobody decided in time: that is a no.
    Expired,
    /// Whoever asked gave up, or what would run has changed.
    Withdrawn,
}

/// What can happen to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Act {
    /// A person says yes.
    Approve,
    /// A person says no.
    Deny,
    /// Its time is over.
    Expire,
    /// Whoever asked gives up.
    Withdraw,
    /// The yes is used.
    Consume,
}

impl ApprovalStatus {
    /// Every status.
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::Approved,
        Self::Consumed,
        Self::Denied,
        Self::Expired,
        Self::Withdrawn,
    ];

    /// The word in the database and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Consumed => "consumed",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Parses the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// The status after `act`, or `None` where that cannot happen: a decided request is never decided again, and a yes is used once.
    pub const fn after(self, act: Act) -> Option<Self> {
        match (self, act) {
            (Self::Pending, Act::Approve) => Some(Self::Approved),
            (Self::Pending, Act::Deny) => Some(Self::Denied),
            (Self::Pending | Self::Approved, Act::Expire) => Some(Self::Expired),
            (Self::Pending | Self::Approved, Act::Withdraw) => Some(Self::Withdrawn),
            (Self::Approved, Act::Consume) => Some(Self::Consumed),
            _ => None,
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ApprovalKind {
    /// A tool call that the gate holds, or that the agent's own dialog asks about.
    Tool,
    /// A message that is held until a person lets it go.
    Message,
    /// A request that the agent made by itself, before it acts.
    Request,
}

impl ApprovalKind {
    /// The word in the database and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Message => "message",
            Self::Request => "request",
        }
    }

    /// Parses the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Tool, Self::Message, Self::Request]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

/// How far a yes reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// This one call.
    #[default]
    Once,
    /// The very same call again, in this terminal, until it ends.
    Session,
    /// A rule in the user's policy.
    Always,
}

impl Scope {
    /// The word in the database and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::Session => "session",
            Self::Always => "always",
        }
    }

    /// Parses the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Once, Self::Session, Self::Always]
            .into_iter()
            .find(|scope| scope.as_str() == text)
    }
}

/// A file that the call would execute or interpret, with its content as it was when it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// Its path, without links.
    pub path: String,
    /// SHA-256 of its content; `None` when it could not be read whole: then nothing binds it, and the person is told so.
    pub sha256: Option<String>,
}

/// A request as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Approval {
    /// Its id.
    pub id: ApprovalId,
    /// Who asks.
    pub terminal: Option<TerminalId>,
    /// What for.
    pub kind: ApprovalKind,
    /// The tool, in the agent's words.
    pub tool: Option<String>,
    /// The command, the message, or the tool's input as JSON: the exact text.
    pub command: String,
    /// The tool's exact input.
    pub input: Value,
    /// Where it would run.
    pub cwd: Option<String>,
    /// Binds the decision to tool, input, directory and scripts.
    pub digest: String,
    /// For a command line: the same, whatever tool carries it (a request by MCP is used by a call of a shell tool).
    pub text_digest: Option<String>,
    /// The rule that asked.
    pub rule: Option<String>,
    /// How much harm it may do.
    pub risk: Risk,
    /// What a person has to do to say yes.
    pub presence: Presence,
    /// Why it is asked, for people.
    pub why: String,
    /// Whether all of it was understood.
    pub complete: bool,
    /// Parts that could not be checked, and why.
    pub unclear: Vec<String>,
    /// Files that it would run.
    pub scripts: Vec<Script>,
    /// What the agent says about it.
    pub words: Option<String>,
    /// The held message, for a request of that kind.
    pub message: Option<MessageId>,
    /// Where it is.
    pub status: ApprovalStatus,
    /// Since when it waits.
    pub requested_at: Timestamp,
    /// When silence becomes a no.
    pub expires_at: Timestamp,
    /// When it was decided.
    pub decided_at: Option<Timestamp>,
    /// Who decided.
    pub decided_by: Option<String>,
    /// Through which door.
    pub via: Option<String>,
    /// How far the yes reaches.
    pub scope: Option<Scope>,
    /// Why it was decided so.
    pub reason: Option<String>,
    /// The process that waits for the decision.
    pub waiter: Option<Root>,
    /// When the yes was used.
    pub consumed_at: Option<Timestamp>,
    /// When the agent reported that the tool ran.
    pub ran_at: Option<Timestamp>,
}

impl Approval {
    /// Whether the yes may still be used at `now`.
    pub fn usable(&self, now: Timestamp) -> bool {
        self.status == ApprovalStatus::Approved && self.expires_at > now
    }

    /// The request as its decision left it: a yes may have been used since.
    #[must_use]
    pub fn as_decided(mut self) -> Self {
        if self.status == ApprovalStatus::Consumed {
            self.status = ApprovalStatus::Approved;
            self.consumed_at = None;
            self.ran_at = None;
        }
        self
    }

    /// Whether it holds the agent where no key in the agent's own pane decides: to the eye its turn goes on.
    pub fn holds(&self) -> bool {
        self.status == ApprovalStatus::Pending
            && self.kind == ApprovalKind::Tool
            && self.presence != Presence::Caller
    }
}

/// What a decision is bound to.
#[derive(Debug, Clone)]
pub struct Binding<'a> {
    /// Who asks.
    pub terminal: &'a TerminalId,
    /// The tool.
    pub tool: &'a str,
    /// Its exact input.
    pub input: &'a Value,
    /// The directory, without links.
    pub cwd: &'a str,
    /// Device and inode of the directory: another one under the same name is another place.
    pub place: (u64, u64),
    /// The files that it would run.
    pub scripts: &'a [Script],
}

impl Binding<'_> {
    /// SHA-256 over all of it. Each field stands behind its length, so that no text can pass for two fields; members of objects are taken in
    /// the order of their names, because agents do not keep one.
    pub fn digest(&self) -> String {
        let mut bytes = Vec::with_capacity(256);
        let mut field = |text: &str| {
            bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        };
        field("conductor-approval-v1");
        field(self.terminal.as_str());
        field(self.tool);
        field(&canonical(self.input));
        field(self.cwd);
        field(&format!("{}:{}", self.place.0, self.place.1));
        for script in self.scripts {
            field(&script.path);
            field(script.sha256.as_deref().unwrap_or("not pinned"));
        }
        digest(&bytes)
    }
}

/// `value` as compact JSON with sorted members.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut members: Vec<_> = map.iter().collect();
            members.sort_by(|a, b| a.0.cmp(b.0));
            let inner: Vec<String> = members
                .into_iter()
                .map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), canonical(value)))
                .collect();
            format!("{{{}}}", inner.join(","))
        }
        Value::Array(items) => {
            let inner: Vec<String> = items.iter().map(canonical).collect();
            format!("[{}]", inner.join(","))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn binding<'a>(
        terminal: &'a TerminalId,
        input: &'a Value,
        scripts: &'a [Script],
    ) -> Binding<'a> {
        Binding {
            terminal,
            tool: "Bash",
            input,
            cwd: "/home",
            place: (1, 2),
            scripts,
        }
    }

    #[test]
    fn everything_counts_in_the_digest_and_the_order_of_members_does_not() {
        let id = TerminalId::parse("0123abcd").unwrap();
        let other = TerminalId::parse("0123abce").unwrap();
        let input = json!({"command": "make", "timeout": 5});
        let turned = json!({"timeout": 5, "command": "make"});
        let changed = json!({"command": "make ", "timeout": 5});
        let script = [Script {
            path: "/home/a.sh".into(),
            sha256: Some("1".into()),
        }];
        let edited = [Script {
            path: "/home/a.sh".into(),
            sha256: Some("2".into()),
        }];
        let first = binding(&id, &input, &script).digest();
        assert_eq!(first, binding(&id, &turned, &script).digest());
        let others = [
            binding(&id, &changed, &script).digest(),
            binding(&other, &input, &script).digest(),
            binding(&id, &input, &edited).digest(),
            binding(&id, &input, &[]).digest(),
            Binding {
                tool: "Bash2",
                ..binding(&id, &input, &script)
            }
            .digest(),
            Binding {
                cwd: "/home2",
                ..binding(&id, &input, &script)
            }
            .digest(),
            Binding {
                place: (1, 3),
                ..binding(&id, &input, &script)
            }
            .digest(),
        ];
        for other in others {
            assert_ne!(other, first);
        }
    }

    proptest! {
        #[test]
        fn no_order_of_acts_uses_a_yes_twice_or_revives_a_no(acts in proptest::collection::vec(0..5usize, 0..40)) {
            let all = [Act::Approve, Act::Deny, Act::Expire, Act::Withdraw, Act::Consume];
            let mut status = ApprovalStatus::Pending;
            let (mut yes, mut used, mut over) = (0, 0, 0);
            for act in acts.into_iter().map(|n| all[n]) {
                if let Some(next) = status.after(act) {
                    prop_assert_ne!(next, status);
                    yes += usize::from(next == ApprovalStatus::Approved);
                    used += usize::from(next == ApprovalStatus::Consumed);
                    over += usize::from(!matches!(next, ApprovalStatus::Pending | ApprovalStatus::Approved));
                    status = next;
                }
            }
            prop_assert!(yes <= 1 && used <= yes && over <= 1);
        }
    }
}
