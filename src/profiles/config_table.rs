//! The keys of `config.toml`, each once.

/// What may stand behind a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The name of something.
    Name,
    /// `true` or `false`.
    Bool,
    /// A whole number in these bounds.
    Number {
        /// The least one.
        least: i64,
        /// The greatest one.
        most: i64,
    },
    /// A list of texts.
    Texts,
}

/// One key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Its table; empty at the top.
    pub table: &'static str,
    /// Its name in the table.
    pub name: &'static str,
    /// What may stand behind it.
    pub kind: Kind,
    /// The default, as it would be written; empty when there is none.
    pub default: &'static str,
    /// What a file may say, when there is no default.
    pub example: &'static str,
    /// What it does.
    pub doc: &'static str,
}

const fn optional(
    table: &'static str,
    name: &'static str,
    kind: Kind,
    example: &'static str,
    doc: &'static str,
) -> Key {
    Key {
        table,
        name,
        kind,
        default: "",
        example,
        doc,
    }
}

const fn key(
    table: &'static str,
    name: &'static str,
    kind: Kind,
    default: &'static str,
    doc: &'static str,
) -> Key {
    Key {
        table,
        name,
        kind,
        default,
        example: "",
        doc,
    }
}

const fn number(most: i64) -> Kind {
    Kind::Number { least: 1, most }
}

const MEBIBYTE: i64 = 1_048_576;
const DAYS: Kind = number(36_500);

/// Every key, in the order of the file.
pub const KEYS: &[Key] = &[
    optional(
        "",
        "provider",
        Kind::Name,
        "\"claude_code\"",
        "The agent program for launches where neither `-p` nor the profile names one. Without it: the first installed one.",
    ),
    optional(
        "",
        "profile",
        Kind::Name,
        "\"conductor\"",
        "The supervisor's profile for launches without `--profile`. Without it: `conductor`.",
    ),
    key(
        "limits",
        "max_body_bytes",
        number(MEBIBYTE),
        "1048576",
        "Largest message, in bytes. More is refused and nothing is stored.",
    ),
    key(
        "limits",
        "queue_per_receiver",
        number(100_000),
        "200",
        "Most messages that may wait for one terminal, whoever sends them.",
    ),
    key(
        "limits",
        "waiting_bytes_per_session",
        number(1024 * MEBIBYTE),
        "67108864",
        "Most bytes of messages that may wait in one session, whoever sends them.",
    ),
    key(
        "limits",
        "messages_per_minute",
        number(100_000),
        "30",
        "Most messages a minute from one agent to another.",
    ),
    key(
        "limits",
        "messages_per_hour",
        number(1_000_000),
        "300",
        "Most messages an hour that the agents of one session may cause.",
    ),
    key(
        "limits",
        "hops",
        number(1000),
        "50",
        "Most messages that may follow from one another without a person's.",
    ),
    key(
        "limits",
        "workers_per_session",
        number(1000),
        "12",
        "Most live workers in one session.",
    ),
    key(
        "limits",
        "depth",
        number(100),
        "3",
        "How deep workers may start workers; 1 leaves it to supervisors.",
    ),
    key(
        "notify",
        "bell",
        Kind::Bool,
        "true",
        "Ring the bell when something waits for a person.",
    ),
    key(
        "notify",
        "display",
        Kind::Bool,
        "true",
        "Show a line in tmux when something waits for a person.",
    ),
    optional(
        "notify",
        "command",
        Kind::Texts,
        "[\"notify-send\", \"conductor\"]",
        "A program to start when something waits for a person, with its arguments and the text as the last one. No shell is involved. `CONDUCTOR_NOTICE` (`approval`, `waiting`, `failed`, `note`, `question`) and `CONDUCTOR_NOTICE_ID` are in its environment.",
    ),
    key(
        "notify",
        "osc9",
        Kind::Bool,
        "false",
        "Send `OSC 9` to the terminal: iTerm2, WezTerm, Ghostty, Windows Terminal and others show it on the desktop.",
    ),
    key(
        "notify",
        "osc777",
        Kind::Bool,
        "false",
        "Send `OSC 777` to the terminal: foot, urxvt, Ghostty, WezTerm and others show it on the desktop.",
    ),
    key(
        "notify",
        "waiting",
        Kind::Bool,
        "true",
        "Tell when an agent waits for a person in its own pane, unless that pane is being looked at.",
    ),
    key(
        "notify",
        "failed",
        Kind::Bool,
        "true",
        "Tell when an agent's turn has failed, unless its pane is being looked at.",
    ),
    key(
        "notify",
        "notes",
        Kind::Bool,
        "true",
        "Tell when an agent writes to you: a note or a question.",
    ),
    key(
        "retention",
        "terminals_days",
        DAYS,
        "14",
        "Days that ended terminals are kept whole. Then only who they were and their last answer stays. One that mail or an open answer waits for is kept.",
    ),
    key(
        "retention",
        "messages_days",
        DAYS,
        "14",
        "Days that settled messages are kept, and decided approvals, given answers and notes that were read with them. What waits is never removed; decisions stay in the audit log.",
    ),
    key(
        "retention",
        "logs_days",
        DAYS,
        "30",
        "Days that terminals' logs are kept after they ended.",
    ),
    key(
        "retention",
        "log_max_bytes",
        Kind::Number {
            least: 65_536,
            most: 1024 * MEBIBYTE,
        },
        "16777216",
        "Size at which a terminal's log is cut, in bytes: what it holds becomes its older part, `<id>.log.1`.",
    ),
    key(
        "retention",
        "runs_days",
        DAYS,
        "90",
        "Days that the runs of flows are kept. The last one of each flow stays.",
    ),
    key(
        "retention",
        "tombstones_days",
        DAYS,
        "365",
        "Days after its end that a terminal's last answer is kept.",
    ),
    key(
        "hooks",
        "budget_ms",
        number(10_000),
        "50",
        "Milliseconds that an agent's hook may wait for the database before it leaves its event in `spool/`.",
    ),
    key(
        "opencode",
        "http",
        Kind::Bool,
        "false",
        "Let OpenCode open its own port, on loopback and with a random password.",
    ),
];

/// Every table below the top, and what it is for.
pub const TABLES: [(&str, &str); 5] = [
    (
        "limits",
        "Brakes and sizes. Those of a queue hold for everybody, the others for messages that agents cause, never for a person's.",
    ),
    (
        "notify",
        "How a person hears that something waits. `@conductor-notify` in tmux goes before `bell`, `display`, `command`, `osc9` and `osc777`; `@conductor-dnd on` silences all.",
    ),
    ("retention", "How long things are kept."),
    ("hooks", "Agents' hooks."),
    ("opencode", "The opencode provider."),
];

impl Kind {
    /// The kind in words.
    pub fn words(self) -> String {
        match self {
            Self::Name => "name".to_owned(),
            Self::Bool => "true or false".to_owned(),
            Self::Number { least, most } => format!("number, {least} to {most}"),
            Self::Texts => "list of texts".to_owned(),
        }
    }
}
