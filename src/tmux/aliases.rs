//! What our keys do, as commands of tmux's own prompt: `:conductor-agents`. Each is an entry of `command-alias` from our index on; a name or
//! an index that is the user's is left alone.

use super::client::Tmux;
use super::command::CommandList;
use super::error::Error;
use super::hooks::{INDEX, is_ours};
use super::keys::{KEYS, Key};

/// Where aliases of ours stand, those of other versions too; a user's may run our program elsewhere.
const OURS: std::ops::Range<u32> = INDEX..INDEX + 100;

/// An entry of `command-alias` as it stands in the server.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Alias {
    index: u32,
    /// The name.
    name: String,
    ours: bool,
}

/// All aliases of a server, and what can be said about ours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aliases {
    all: Vec<Alias>,
}

/// Our indices and keys.
fn wanted() -> impl Iterator<Item = (u32, &'static Key)> {
    (INDEX..).zip(&KEYS)
}

fn parse(listed: &str) -> Aliases {
    let of = |line: &str| {
        let (index, value) = line.strip_prefix("command-alias[")?.split_once("] ")?;
        let value = value.trim_start_matches(['"', '\'']);
        let (name, command) = value.split_once('=')?;
        let index: u32 = index.parse().ok()?;
        let named = name == "conductor" || name.starts_with("conductor-");
        Some(Alias {
            index,
            name: name.to_owned(),
            ours: OURS.contains(&index) && named && is_ours(command),
        })
    };
    Aliases {
        all: listed.lines().filter_map(of).collect(),
    }
}

impl Aliases {
    fn at(&self, index: u32) -> Option<&Alias> {
        self.all.iter().find(|alias| alias.index == index)
    }

    /// Whether somebody else has the name or the index.
    fn is_taken(&self, index: u32, key: &Key) -> bool {
        let name = key.alias();
        self.at(index).is_some_and(|alias| !alias.ours)
            || self.all.iter().any(|a| !a.ours && a.name == name)
    }

    /// The names that we want and somebody else has, or whose index somebody else has.
    pub fn taken(&self) -> Vec<String> {
        let taken = wanted().filter(|(index, key)| self.is_taken(*index, key));
        taken.map(|(_, key)| key.alias()).collect()
    }

    /// The names that nobody has and that should be there.
    pub fn missing(&self) -> Vec<String> {
        let missing = wanted().filter(|(index, key)| {
            !self.is_taken(*index, key)
                && self
                    .at(*index)
                    .is_none_or(|alias| alias.name != key.alias())
        });
        missing.map(|(_, key)| key.alias()).collect()
    }

    /// Sets ours, but none that somebody else has, and takes away what is ours and should not be there.
    pub fn set_list(&self) -> CommandList {
        let should = |alias: &Alias| {
            wanted().any(|(index, key)| index == alias.index && !self.is_taken(index, key))
        };
        let list = self.unset(|alias| !should(alias));
        wanted()
            .filter(|(index, key)| !self.is_taken(*index, key))
            .fold(list, |list, (index, key)| {
                let value = format!("{}={}", key.alias(), key.command());
                list.then([
                    "set-option",
                    "-s",
                    &format!("command-alias[{index}]"),
                    &value,
                ])
            })
    }

    /// Takes away all that is ours.
    pub fn unset_list(&self) -> CommandList {
        self.unset(|_| true)
    }

    fn unset(&self, which: impl Fn(&Alias) -> bool) -> CommandList {
        let unwanted = self.all.iter().filter(|alias| alias.ours && which(alias));
        unwanted.fold(CommandList::new(), |list, alias| {
            let name = format!("command-alias[{}]", alias.index);
            list.then(["set-option", "-su", &name])
        })
    }
}

impl Tmux {
    /// All aliases of the server.
    pub fn aliases(&self) -> Result<Aliases, Error> {
        let list = CommandList::new().then(["show-options", "-s", "command-alias"]);
        Ok(parse(&self.run(&list)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_users_is_left_alone() {
        let first = format!(
            "command-alias[0] split-pane=split-window\ncommand-alias[{INDEX}] mine=kill-server\n\
             command-alias[9000] \"conductor-next=display-message 'x y'\"\n"
        );
        let found = parse(&first);
        assert_eq!(found.taken(), ["conductor-spawn", "conductor-next"]);
        assert_eq!(found.missing().len(), KEYS.len() - 2);
        let words = found.set_list().argv().join(" ");
        assert!(
            !words.contains(&format!("command-alias[{INDEX}]")),
            "{words}"
        );
        assert!(!words.contains("conductor-next="), "{words}");
        assert!(words.contains("conductor-agents=run-shell -b"), "{words}");
        assert!(found.unset_list().is_empty());
    }

    #[test]
    fn a_users_alias_may_run_our_program() {
        let ours = KEYS[0].command();
        let listed = format!(
            "command-alias[100] \"conductor-mine={ours}\"\ncommand-alias[{}] \"mine={ours}\"\n",
            INDEX + 50
        );
        let found = parse(&listed);
        assert!(found.unset_list().is_empty());
        assert!(!found.set_list().argv().contains(&"-su".to_owned()));
    }

    #[test]
    fn ours_are_replaced_and_taken_away() {
        let value = format!("conductor-old={}", KEYS[0].command());
        let listed = format!(
            "command-alias[{INDEX}] \"{value}\"\ncommand-alias[{}] \"{value}\"\n",
            INDEX + 50
        );
        let found = parse(&listed);
        assert_eq!(found.taken(), Vec::<String>::new());
        assert_eq!(found.missing().len(), KEYS.len());
        let words = found.set_list().argv().join(" ");
        assert!(
            words.starts_with(&format!("set-option -su command-alias[{}] ;", INDEX + 50)),
            "{words}"
        );
        assert_eq!(found.unset_list().argv().len(), 7);
    }
}
