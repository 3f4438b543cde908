//! A provider's manifest: what one agent program needs, as data.

use super::dialect::Dialect;
use super::tools::Tools;
use crate::domain::event::ToolCall;
use crate::domain::policy::Action;
use crate::domain::text::Limits;
use crate::error::{Failure, Result};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A manifest as written. Unknown keys are errors: a typo must not silently weaken a provider.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Name, as in `-p NAME`.
    pub name: String,
    /// Other names.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Name for people.
    pub title: String,
    /// The program: a name along `PATH`, an absolute path, or `{self}` for our own binary.
    pub program: String,
    /// What the program is told that it is called.
    #[serde(default)]
    pub argv0: Option<String>,
    /// How its hooks speak.
    pub dialect: Dialect,
    /// Versions with which the real program went through our tests.
    #[serde(default)]
    pub verified: Vec<String>,
    /// Whether it is given our MCP server.
    #[serde(default = "yes")]
    pub mcp: bool,
    /// What entries of ours its user settings need.
    #[serde(default)]
    pub setup: Setup,
    /// Arguments without which an agent that was started by hand is not heard whole.
    #[serde(default)]
    pub adopt_needs: Vec<String>,
    /// How firmly what a profile says about tools holds.
    #[serde(default)]
    pub enforce: Enforce,
    /// Whether a launch can give it the MCP servers of a profile.
    #[serde(default = "yes")]
    pub mcp_servers: bool,
    /// Longest wait of a tool call of ours, in seconds, that its MCP client stands.
    #[serde(default = "default_tool_wait")]
    pub tool_wait_seconds: u64,
    /// Longest result of a tool call of ours that its client hands to the model whole, in bytes of its JSON form.
    #[serde(default = "default_tool_result")]
    pub tool_result_bytes: usize,
    /// How it is started.
    pub launch: Launch,
    /// How an earlier conversation is taken up again.
    #[serde(default)]
    pub resume: Option<Resume>,
    /// Which of its hooks we take.
    #[serde(default)]
    pub hooks: Hooks,
    /// How a prompt is submitted.
    pub submit: Submit,
    /// The agent's own way to take a message, without keys.
    #[serde(default)]
    pub channel: Option<Channel>,
    /// What its screen says.
    #[serde(default)]
    pub screen: Screen,
    /// Dialogs that are known by their text.
    #[serde(default)]
    pub dialogs: Vec<Dialog>,
    /// Its tools by the names of the common vocabulary.
    #[serde(default)]
    pub tool_names: BTreeMap<String, Vec<String>>,
    /// What its tools would do.
    #[serde(default)]
    pub tools: Tools,
}

const fn default_patience_ms() -> u32 {
    5_000
}

const fn default_tool_result() -> usize {
    200_000
}

const fn default_tool_wait() -> u64 {
    45
}

/// How an agent is started. Arguments hold placeholders: `{settings} {mcp_config} {persona} {agent_session} {model} {permission_mode}
/// {tools} {allowed_tools}`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Launch {
    /// Arguments that are always given.
    #[serde(default)]
    pub args: Vec<String>,
    /// Arguments that are given when there is something to say.
    #[serde(default)]
    pub optional: Vec<Optional>,
    /// The permission mode when the profile names none.
    #[serde(default)]
    pub permission_mode: Option<String>,
    /// The agent's own words for the permission modes that a profile may name; empty: it knows them as they are.
    #[serde(default)]
    pub permission_modes: BTreeMap<String, String>,
    /// Environment variables.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
}

/// Arguments that depend on a placeholder having a value.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Optional {
    /// The placeholder's name.
    pub when: String,
    /// The arguments.
    pub args: Vec<String>,
}

/// How an earlier conversation is taken up again.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    /// Arguments instead of the launch's.
    pub args: Vec<String>,
}

/// What entries of ours an agent's user settings need.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Setup {
    /// None can be made.
    #[default]
    None,
    /// An agent that was started by hand needs them for proof and gate; a launch brings its own.
    Possible,
    /// A launch cannot bring them.
    Needed,
}

impl Setup {
    /// The word in JSON and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Possible => "possible",
            Self::Needed => "needed",
        }
    }
}

/// How firmly what a profile says about tools holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enforce {
    /// `tools`: what the agent has.
    #[serde(default)]
    pub tools: Firmness,
    /// `allowedTools`: what it may use without asking.
    #[serde(default)]
    pub allowed_tools: Firmness,
}

/// How firmly a restriction holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Firmness {
    /// The program keeps to it.
    Hard,
    /// The model is told.
    Soft,
    /// It is not said.
    #[default]
    None,
}

impl Firmness {
    /// The word in JSON and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hard => "hard",
            Self::Soft => "soft",
            Self::None => "none",
        }
    }
}

/// The agent's own way to take a message, without keys.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Channel {
    /// The agent's program queues it for a conversation. Placeholders: `{agent_session} {line}`; the line holds no body, because others can
    /// read the arguments of a process.
    Command {
        /// Its arguments.
        args: Vec<String>,
        /// When it is used.
        when: When,
    },
    /// A plugin of ours in the agent fetches it when a file in the terminal's run directory changes.
    Bell,
}

/// When an agent's own channel is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Always.
    Always,
    /// Where a person's draft, mode or keys are in the way of a paste.
    Blocked,
}

impl Channel {
    /// The file in the run directory whose change rings.
    pub const BELL: &'static str = "bell";

    /// The word in JSON and tables.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Command { .. } => "command",
            Self::Bell => "bell",
        }
    }
}

/// Which hooks we take, by the agent's names.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hooks {
    /// Those that only tell.
    #[serde(default)]
    pub status: Vec<String>,
    /// Those whose failure must block.
    #[serde(default)]
    pub decision: Vec<String>,
    /// How long the agent waits for one that only tells.
    #[serde(default)]
    pub timeout_seconds: u64,
    /// Whether one tells that the agent is up before its first turn; else its screen does.
    #[serde(default = "yes")]
    pub at_start: bool,
}

const fn yes() -> bool {
    true
}

/// How a prompt is submitted.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submit {
    /// Longest line that is pasted whole.
    pub inline_chars: usize,
    /// Longest context that the prompt hook takes, in UTF-16 units; 0 without such a hook.
    #[serde(default)]
    pub context_units: usize,
    /// Pause between paste and Enter, in milliseconds.
    pub enter_ms: u32,
    /// Quiet time after the end of a turn before the next text is put in, in milliseconds: the agent draws its prompt, or goes on by itself.
    #[serde(default = "default_quiet_ms")]
    pub quiet_ms: u32,
    /// The row that shows an empty input box; see [`crate::providers`] and the fence for what it may hold.
    #[serde(default)]
    pub prompt_row: Option<String>,
}

const fn default_quiet_ms() -> u32 {
    500
}

/// What a screen says, by patterns (`regex-lite`).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Screen {
    /// How long the agent is silent before its screen says what it does, in milliseconds: more where its events leave no gaps.
    #[serde(default = "default_patience_ms")]
    pub patience_ms: u32,
    /// At the prompt.
    #[serde(default)]
    pub idle: Option<String>,
    /// In a turn.
    #[serde(default)]
    pub working: Option<String>,
    /// At the prompt, with a text in the input box.
    #[serde(default)]
    pub draft: Option<String>,
    /// A call was given up by a person, and the hook that waits for a decision is not told.
    #[serde(default)]
    pub cancelled: Option<String>,
    /// The last turn failed, and no event says so: the first group is what the agent says.
    #[serde(default)]
    pub failed: Option<String>,
    /// The pane's title in a turn.
    #[serde(default)]
    pub title_working: Option<String>,
    /// The pane's title while a dialog is open.
    #[serde(default)]
    pub title_dialog: Option<String>,
}

impl Default for Screen {
    fn default() -> Self {
        Self {
            patience_ms: default_patience_ms(),
            idle: None,
            working: None,
            draft: None,
            cancelled: None,
            failed: None,
            title_working: None,
            title_dialog: None,
        }
    }
}

/// A dialog that is known by its text.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dialog {
    /// What it is about, e.g. `trust`.
    pub kind: String,
    /// Its text (`regex-lite`).
    pub pattern: String,
    /// What a person does about it.
    pub remedy: String,
}

impl Manifest {
    /// Reads a manifest.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        let manifest: Self = toml::from_str(text).map_err(|e| e.to_string().trim().to_owned())?;
        for pattern in manifest
            .dialogs
            .iter()
            .map(|dialog| &dialog.pattern)
            .chain(&manifest.screen.idle)
            .chain(&manifest.screen.working)
            .chain(&manifest.screen.draft)
            .chain(&manifest.screen.failed)
            .chain(&manifest.screen.cancelled)
            .chain(&manifest.screen.title_working)
            .chain(&manifest.screen.title_dialog)
        {
            regex_lite::Regex::new(pattern).map_err(|e| format!("pattern {pattern:?}: {e}"))?;
        }
        if let Some(row) = &manifest.submit.prompt_row
            && row.contains([',', '{', '}', '#', '\'', '"', '\\', '\n', ';', '%'])
        {
            return Err(format!(
                "submit.prompt_row {row:?} may not hold any of , {{ }} # ' \" \\ ; %"
            ));
        }
        Ok(manifest)
    }

    /// Whether the program is the first of the arguments that a launch is given.
    pub fn names_no_program(&self) -> bool {
        self.program == "{command}"
    }

    /// The name of the program, for a launch with these further arguments.
    pub fn program_of<'a>(&'a self, args: &'a [String]) -> Option<&'a str> {
        let program = if self.names_no_program() {
            args.first()?
        } else {
            &self.program
        };
        program.rsplit('/').next()
    }

    /// The agent's own word for a permission mode.
    pub fn permission_mode(&self, mode: &str) -> Result<String> {
        let known = &self.launch.permission_modes;
        if known.is_empty() {
            return Ok(mode.to_owned());
        }
        known.get(mode).cloned().ok_or_else(|| {
            let words: Vec<&str> = known.keys().map(String::as_str).collect();
            Failure::usage(format!(
                "{} knows no permission mode {:?}",
                self.title,
                crate::domain::text::one_line(mode)
            ))
            .hint(format!("it knows {}", words.join(", ")))
        })
    }

    /// What its prompt takes.
    pub fn limits(&self) -> Limits {
        Limits {
            inline_chars: self.submit.inline_chars,
            context_units: self.submit.context_units,
        }
    }

    /// Whether its hooks can prove that a message was submitted.
    pub fn proves(&self) -> bool {
        self.dialect.speaks()
            && self
                .hooks
                .status
                .iter()
                .chain(&self.hooks.decision)
                .next()
                .is_some()
    }

    /// Whether its tool calls pass our gate, as it is told.
    pub fn gates(&self) -> bool {
        self.dialect.speaks() && !self.hooks.decision.is_empty()
    }

    /// What a call of one of its tools would do.
    pub fn action(&self, call: &ToolCall) -> Action {
        self.tools.action(call)
    }

    /// The agent's own names of tools that a profile names in the common vocabulary; other names are taken as they are.
    pub fn own_tools(&self, tools: &[String]) -> Vec<String> {
        let mut own: Vec<String> = Vec::new();
        for tool in tools {
            let names: Vec<String> = match tool.as_str() {
                "@conductor" | "@conductor-mcp-server" | "@cao-mcp-server" => {
                    vec!["mcp__conductor".to_owned()]
                }
                "fs_*" => ["fs_read", "fs_write", "fs_list"]
                    .iter()
                    .flat_map(|word| self.named(word))
                    .collect(),
                word => self.named(word),
            };
            for name in names {
                if !own.contains(&name) {
                    own.push(name);
                }
            }
        }
        own
    }

    fn named(&self, word: &str) -> Vec<String> {
        self.tool_names
            .get(word)
            .cloned()
            .unwrap_or_else(|| vec![word.to_owned()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLAUDE: &str = include_str!("../../agent_store/providers/claude_code.toml");

    #[test]
    fn tool_words_become_the_agents_own() {
        let manifest = Manifest::parse(CLAUDE).unwrap();
        let tools = ["execute_bash", "fs_*", "@conductor", "Bash", "mcp__x"].map(str::to_owned);
        assert_eq!(
            manifest.own_tools(&tools),
            [
                "Bash",
                "Read",
                "Write",
                "Edit",
                "NotebookEdit",
                "Glob",
                "Grep",
                "mcp__conductor",
                "mcp__x"
            ]
        );
    }

    #[test]
    fn typos_and_dangerous_rows_are_refused() {
        assert!(Manifest::parse(&CLAUDE.replace("enter_ms", "enter_msec")).is_err());
        assert!(Manifest::parse(&CLAUDE.replace("\"^❯", "\"^❯.{0,2}")).is_err());
        assert!(Manifest::parse(&CLAUDE.replace("esc to interrupt", "(")).is_err());
    }
}
