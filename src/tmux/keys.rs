//! Our keys: one after the prefix, which opens the key table `conductor`, that table, and one after the prefix for approvals.
//!
//! Only free keys are taken, in both tables. What a key does is `menu NAME CLIENT` of our binary.

use super::client::Tmux;
use super::command::{CommandList, quoted};
use super::error::Error;
use super::hooks::is_ours;
use super::timer::helper;

/// The key table behind the prefix key.
pub const TABLE: &str = "conductor";
/// The key after the prefix unless `@conductor-key` says otherwise.
pub const DEFAULT_KEY: &str = "a";
/// The key after the prefix that shows what waits for approval, unless `@conductor-approve-key` says otherwise.
pub const DEFAULT_APPROVE_KEY: &str = "A";
/// What is taken instead, in order, when the user has bound that key.
const OTHER_KEYS: [&str; 3] = ["g", "e", "y"];
/// What our key after the prefix does.
const OPEN: &str = "switch-client -T conductor";
/// What our key for approvals runs; the client follows.
const APPROVE: &str = "menu approvals";
/// Which client pressed the key, and when (in seconds since 1970, behind an `@`).
const PRESSED_BY: &str = "#{q:client_name} @#{client_activity}";
/// A key table that exists only while the name of a key is looked up.
const PROBE: &str = "conductor_probe";

/// One key of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The key, as tmux prints it.
    pub key: char,
    /// What it does, for people.
    pub note: &'static str,
    /// The `NAME` of `menu NAME CLIENT` that it runs.
    pub menu: &'static str,
    /// The command of ours that does the same in any terminal.
    pub instead: &'static str,
}

const fn key(key: char, note: &'static str, menu: &'static str, instead: &'static str) -> Key {
    Key {
        key,
        note,
        menu,
        instead,
    }
}

/// The keys of this release.
pub const KEYS: [Key; 13] = [
    key('s', "Spawn an agent", "spawn", "worker SESSION"),
    key(
        'a',
        "Answer the next approval",
        "approve-next",
        "approve ID",
    ),
    key('A', "Show all approvals", "approvals", "approvals"),
    key('n', "Go to the next agent that waits", "next", "sessions"),
    key('b', "Go back to where you were", "back", "attach ID"),
    key(
        'u',
        "Mark the agent in this pane as seen",
        "seen",
        "note seen ID",
    ),
    key('l', "List the agents", "agents", "sessions"),
    key(
        'i',
        "Show the inbox and what agents wrote to you",
        "inbox",
        "notes",
    ),
    key(
        'm',
        "Message an agent, or answer one",
        "message",
        "send ID -m TEXT",
    ),
    key('d', "Open the dashboard", "dashboard", "dashboard"),
    key('f', "Show the flows", "flows", "flow list"),
    key(
        'K',
        "Stop everything (asks first)",
        "stop",
        "shutdown --all",
    ),
    key('?', "Show these keys", "help", "--help"),
];

impl Key {
    /// What it runs, as a tmux command.
    pub(super) fn command(&self) -> String {
        format!("run-shell -b {}", quoted(&self.line()))
    }

    fn line(&self) -> String {
        helper(&format!("menu {} {PRESSED_BY}", self.menu))
    }

    fn bind(&self) -> Vec<String> {
        let key = self.key.to_string();
        let words = ["bind-key", "-N", self.note, "-T", TABLE, &key];
        let words = words.into_iter().chain(["run-shell", "-b"]);
        words.map(str::to_owned).chain([self.line()]).collect()
    }

    /// The command of tmux's own prompt that does the same.
    pub fn alias(&self) -> String {
        match self.menu {
            "help" => "conductor".to_owned(),
            menu => format!("conductor-{menu}"),
        }
    }
}

/// The table of keys, as the documentation has it.
#[cfg(test)]
pub fn keys_markdown() -> String {
    use std::fmt::Write as _;
    let mut text =
        "| key | what it does | in tmux's prompt | in any terminal |\n|---|---|---|---|\n"
            .to_owned();
    for key in KEYS {
        let _ = writeln!(
            text,
            "| `{}` | {} | `:{}` | `conductor {}` |",
            key.key,
            key.note,
            key.alias(),
            key.instead
        );
    }
    text
}

/// A key binding as tmux lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Binding {
    table: String,
    key: String,
    command: String,
}

/// All key bindings, and what can be said about ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bindings {
    all: Vec<Binding>,
    /// The key that the user wants after the prefix; none when tmux knows no key of that name.
    wanted: Option<String>,
    /// The one for approvals.
    approve: Option<String>,
}

/// Whether a binding is ours for approvals.
fn approves(command: &str) -> bool {
    is_ours(command) && command.contains(APPROVE)
}

fn take_word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_once(' ').unwrap_or((text, ""))
}

fn parse(listed: &str) -> Vec<Binding> {
    let mut found = Vec::new();
    for line in listed.lines() {
        let Some(mut rest) = line.strip_prefix("bind-key ") else {
            continue;
        };
        let table = loop {
            let (word, after) = take_word(rest);
            match word {
                "-r" => rest = after,
                "-T" => {
                    let (table, after) = take_word(after);
                    rest = after;
                    break table;
                }
                _ => break "",
            }
        };
        let (key, command) = take_word(rest);
        if !table.is_empty() && !key.is_empty() {
            found.push(Binding {
                table: table.to_owned(),
                key: plain(key),
                command: command.trim_start().to_owned(),
            });
        }
    }
    found
}

/// A key's name without the quotes and escapes that tmux prints it with: `\;`, `"M-;"`, `"M-\""`.
fn plain(key: &str) -> String {
    let inner = ['"', '\'']
        .iter()
        .find_map(|quote| key.strip_prefix(*quote)?.strip_suffix(*quote))
        .unwrap_or(key);
    let mut name = String::new();
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => name.push(letters.next().unwrap_or('\\')),
            other => name.push(other),
        }
    }
    name
}

impl Bindings {
    fn command(&self, table: &str, key: &str) -> Option<&str> {
        self.all
            .iter()
            .find(|binding| binding.table == table && binding.key == key)
            .map(|binding| binding.command.as_str())
    }

    /// Whether `key` after the prefix opens our table.
    pub fn opens(&self, key: &str) -> bool {
        self.command("prefix", key) == Some(OPEN)
    }

    /// The key after the prefix: the wanted one or the first other one that is free or opens our table already.
    pub fn choose(&self) -> Option<&str> {
        self.wanted
            .as_deref()
            .into_iter()
            .chain(OTHER_KEYS)
            .find(|key| {
                self.command("prefix", key)
                    .is_none_or(|command| command == OPEN)
            })
    }

    /// The key after the prefix that opens our table, if one does.
    pub fn opener(&self) -> Option<&str> {
        self.all
            .iter()
            .find(|binding| binding.table == "prefix" && binding.command == OPEN)
            .map(|binding| binding.key.as_str())
    }

    /// The keys that we want and somebody else has.
    pub fn taken(&self) -> Vec<String> {
        let prefix = self
            .wanted
            .iter()
            .filter(|key| {
                self.command("prefix", key)
                    .is_some_and(|command| command != OPEN)
            })
            .map(|key| format!("prefix {key}"));
        let approve = self
            .approve
            .iter()
            .filter(|key| {
                self.command("prefix", key)
                    .is_some_and(|command| !approves(command))
            })
            .map(|key| format!("prefix {key}"));
        let ours = KEYS.iter().filter_map(|key| {
            self.command(TABLE, &key.key.to_string())
                .filter(|command| !is_ours(command))
                .map(|_| format!("{TABLE} {}", key.key))
        });
        prefix.chain(approve).chain(ours).collect()
    }

    /// Binds `opener` after the prefix and our table's keys, but no key of somebody else. One that opens our table already is bound again
    /// when it is our `own`: it may have lost its note, as where bindings are listed and sourced again.
    pub fn bind_list(&self, opener: Option<&str>, own: Option<&str>) -> CommandList {
        let mut list = CommandList::new();
        if let Some(opener) = opener.filter(|key| !self.opens(key) || own == Some(key)) {
            list = list.then([
                "bind-key",
                "-N",
                "Agent Conductor",
                "-T",
                "prefix",
                opener,
                "switch-client",
                "-T",
                TABLE,
            ]);
        }
        list = list.append(self.unbind_approve(self.approve.as_deref()));
        if let Some(approve) = &self.approve
            && self.command("prefix", approve).is_none_or(approves)
            && opener != Some(approve)
        {
            let line = helper(&format!("{APPROVE} {PRESSED_BY}"));
            list = list.then([
                "bind-key",
                "-N",
                "Answer what agents ask for",
                "-T",
                "prefix",
                approve,
                "run-shell",
                "-b",
                &line,
            ]);
        }
        for key in KEYS {
            if self
                .command(TABLE, &key.key.to_string())
                .is_none_or(is_ours)
            {
                list = list.then(key.bind());
            }
        }
        list
    }

    /// Unbinds every key after the prefix that is ours for approvals, but for `keep`.
    fn unbind_approve(&self, keep: Option<&str>) -> CommandList {
        self.all
            .iter()
            .filter(|binding| binding.table == "prefix" && approves(&binding.command))
            .filter(|binding| keep != Some(&binding.key))
            .fold(CommandList::new(), |list, binding| {
                list.then(["unbind-key", "-T", "prefix", &binding.key])
            })
    }

    /// Unbinds what another version of ours has left in our table and this one does not have.
    pub fn unbind_remaining(&self) -> CommandList {
        self.all
            .iter()
            .filter(|binding| binding.table == TABLE && is_ours(&binding.command))
            .filter(|binding| KEYS.iter().all(|key| binding.key != key.key.to_string()))
            .fold(CommandList::new(), |list, binding| {
                list.then(["unbind-key", "-T", TABLE, &binding.key])
            })
    }

    /// Unbinds `opener` if it still opens our table, and what is ours in our table.
    pub fn unbind_list(&self, opener: Option<&str>) -> CommandList {
        let mut list = CommandList::new();
        if let Some(opener) = opener {
            list = list.append(self.unbind_opener(opener));
        }
        list = list.append(self.unbind_approve(None));
        for binding in &self.all {
            if binding.table == TABLE && is_ours(&binding.command) {
                list = list.then(["unbind-key", "-T", TABLE, &binding.key]);
            }
        }
        list
    }

    /// Unbinds `opener` if it still opens our table.
    pub fn unbind_opener(&self, opener: &str) -> CommandList {
        if self.opens(opener) {
            CommandList::new().then(["unbind-key", "-T", "prefix", opener])
        } else {
            CommandList::new()
        }
    }
}

impl Tmux {
    /// All key bindings; `wanted` and `approve` are the user's choice of the keys after the prefix. All are listed at once: what alone
    /// stands in a table, and a single key, tmux 3.7 shows on a client instead of printing it.
    pub fn bindings(&self, wanted: &str, approve: &str) -> Result<Bindings, Error> {
        // tmux's own name of a key (`^x` is `C-x`) is seen when it is bound somewhere.
        const WANTED: [&str; 2] = ["list-keys", "list-sessions"];
        let all = CommandList::new().then(["list-keys"]);
        let probe = |keys: &[(&str, &str)]| {
            keys.iter()
                .fold(CommandList::new(), |list, (key, command)| {
                    list.then(["bind-key", "-T", PROBE, "--", key, command])
                })
                .append(all.clone())
                .then(["unbind-key", "-a", "-T", PROBE])
        };
        let both = [(wanted, WANTED[0]), (approve, WANTED[1])];
        // A name that tmux does not know, and two of the same, leave the other one.
        let tries: [&[(&str, &str)]; 3] = [
            if wanted == approve { &both[..1] } else { &both },
            &both[..1],
            &both[1..],
        ];
        let mut listed = None;
        for keys in tries {
            let answer = self.try_run(&probe(keys), None)?;
            if answer.ok {
                listed = Some(answer.out);
                break;
            }
            self.try_run(
                &CommandList::new().then(["unbind-key", "-a", "-q", "-T", PROBE]),
                None,
            )?;
        }
        let listed = match listed {
            Some(listed) => listed,
            None => self.run(&all)?,
        };
        let (probed, all): (Vec<_>, Vec<_>) = parse(&listed)
            .into_iter()
            .partition(|binding| binding.table == PROBE);
        let named = |command: &str| {
            probed
                .iter()
                .find(|binding| binding.command == command)
                .map(|binding| binding.key.clone())
        };
        Ok(Bindings {
            all,
            wanted: named(WANTED[0]),
            approve: named(WANTED[1]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bindings(listed: &str, wanted: &str) -> Bindings {
        Bindings {
            all: parse(listed),
            wanted: Some(wanted.to_owned()),
            approve: Some(DEFAULT_APPROVE_KEY.to_owned()),
        }
    }

    #[test]
    fn the_key_for_approvals_is_taken_only_where_it_is_free() {
        let free = bindings("", "a").bind_list(Some("a"), None);
        let words = free.argv().join(" ");
        assert!(words.contains("-T prefix A run-shell -b"), "{words}");
        let user = "bind-key -T prefix A display-message mine\n";
        let list = bindings(user, "a").bind_list(Some("a"), None);
        assert!(!list.argv().join(" ").contains("-T prefix A"));
        assert_eq!(bindings(user, "a").taken(), ["prefix A"]);
        assert!(bindings(user, "a").unbind_list(None).is_empty());
        let ours = "bind-key -T prefix M-a run-shell -b \"(exec #{q:@conductor_hook} menu approvals #{q:client_name})\"\n";
        let words = bindings(ours, "a")
            .bind_list(Some("a"), None)
            .argv()
            .join(" ");
        assert!(words.contains("unbind-key -T prefix M-a"), "{words}");
        let words = bindings(ours, "a").unbind_list(None).argv().join(" ");
        assert_eq!(words, "unbind-key -T prefix M-a");
        let same = bindings("", "A")
            .bind_list(Some("A"), None)
            .argv()
            .join(" ");
        assert!(!same.contains("-T prefix A run-shell"), "{same}");
    }

    #[test]
    fn the_first_free_key_is_chosen() {
        let user = "bind-key    -T prefix       a       display-message hi\n\
                    bind-key -r -T prefix       g       resize-pane -U\n\
                    bind-key    -T root         e       display-message hi\n";
        assert_eq!(bindings(user, "a").choose(), Some("e"));
        assert_eq!(bindings(user, "a").taken(), ["prefix a"]);
        let ours = "bind-key    -T prefix a switch-client -T conductor\n";
        assert_eq!(bindings(ours, "a").choose(), Some("a"));
        assert_eq!(bindings(ours, "a").taken(), Vec::<String>::new());
        let odd = "bind-key -T prefix \\; switch-client -T conductor\n";
        assert_eq!(bindings(odd, "a").opener(), Some(";"));
        for (printed, key) in [
            ("\\\\", "\\"),
            ("\"M-;\"", "M-;"),
            ("\"M-\\\"\"", "M-\""),
            ("C-\\\\", "C-\\"),
        ] {
            assert_eq!(plain(printed), key);
        }
    }

    #[test]
    fn a_key_of_the_user_in_our_table_stays() {
        let user = "bind-key -T conductor s display-message mine\n";
        let list = bindings(user, "a").bind_list(Some("a"), None);
        assert!(!list.argv().iter().any(|word| word.contains("menu spawn")));
        assert!(list.argv().iter().any(|word| word.contains("menu next")));
        assert!(bindings(user, "a").unbind_list(Some("a")).is_empty());
    }

    #[test]
    fn no_key_does_two_things() {
        let mut keys = KEYS.map(|key| key.key);
        keys.sort_unstable();
        assert!(keys.windows(2).all(|two| two[0] != two[1]));
        assert!(keys_markdown().contains("| `l` | List the agents | `:conductor-agents` |"));
    }
}
