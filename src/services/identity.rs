//! Who calls: found by ancestry, never by argument or environment alone.
//!
//! The nearest ancestor whose pid and start time are those of a living terminal is the agent; a session id or controlling terminal that
//! belongs to one counts too, which finds double forks. The environment is only compared: a name in it never makes a process an agent,
//! and keeps it from being a person.

use crate::clock;
use crate::domain::ids::TerminalId;
use crate::domain::message::Sender;
use crate::domain::redact::excerpt;
use crate::domain::terminal::Terminal;
use crate::domain::text::one_line;
use crate::error::{Failure, Result};
use crate::paths::{self, Home};
use crate::proc::Process;
use crate::store::{Budget, Durability, Living, Store, Tx};
use std::path::Path;

/// Longest claim that is repeated, in characters.
const MAX_CLAIM: usize = 40;

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// A process of this living terminal's agent.
    Agent(TerminalId),
    /// A process whose environment names a terminal, living or ended, that it does not descend from.
    Mismatch(String),
    /// A process that nobody waits for: its parent is gone, it leads its own session, it has no terminal.
    Orphan,
    /// A person's process.
    Person {
        /// Whether it has a controlling terminal.
        terminal: bool,
    },
}

impl Caller {
    /// The sender that this caller is for the receivers of its messages.
    pub fn sender(&self) -> Sender {
        match self {
            Self::Agent(id) => Sender::Terminal(id.clone()),
            Self::Person { terminal: true } => Sender::Human,
            Self::Person { terminal: false } | Self::Orphan | Self::Mismatch(_) => {
                Sender::Unverified
            }
        }
    }

    /// The word in the audit log.
    pub fn word(&self) -> String {
        match self {
            Self::Agent(id) => id.to_string(),
            Self::Mismatch(claimed) => format!("claims to be {claimed}"),
            Self::Orphan => "orphan".to_owned(),
            Self::Person { terminal: true } => "human".to_owned(),
            Self::Person { terminal: false } => "script".to_owned(),
        }
    }
}

/// What is known about a calling process.
struct Evidence<'a> {
    /// The process and its ancestors, nearest first.
    chain: &'a [Process],
    /// Terminals that the environments of the chain name, nearest first: see [`named`].
    named: Vec<String>,
    /// Parents of the tmux servers.
    server_parents: Vec<i32>,
    /// The script of a flow is among the chain: whatever it runs was asked for by nobody.
    scripted: bool,
}

fn decide(evidence: &Evidence<'_>, living: &[Living]) -> Caller {
    for process in evidence.chain {
        let found = living.iter().find(|t| {
            t.root.is_some_and(|root| {
                root.pid == process.identity.pid && root.start == process.identity.start
            })
        });
        if let Some(terminal) = found {
            return Caller::Agent(terminal.id.clone());
        }
    }
    for process in evidence.chain {
        let found = living.iter().find(|t| {
            t.root.is_some_and(|root| root.pid == process.session)
                || (t.tty != 0 && t.tty == process.tty)
        });
        if let Some(terminal) = found {
            return Caller::Agent(terminal.id.clone());
        }
    }
    if let Some(claimed) = evidence.named.first() {
        return Caller::Mismatch(claimed.clone());
    }
    if evidence.scripted {
        return Caller::Orphan;
    }
    let Some(own) = evidence.chain.first() else {
        return Caller::Orphan;
    };
    let orphaned = (own.parent <= 1 || evidence.server_parents.contains(&own.parent))
        && own.session == own.identity.pid
        && own.tty == 0;
    if orphaned {
        Caller::Orphan
    } else {
        Caller::Person {
            terminal: own.tty != 0,
        }
    }
}

fn same_directory(a: &Path, b: &Path) -> bool {
    a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// The terminals that the environments of `chain` name, and the id that `own` claims. A terminal that ended and one that is no longer in the
/// records count too; an id that stands beside another state directory is that one's, unless we know it.
fn named(
    tx: &Tx<'_>,
    chain: &[Process],
    own: Option<String>,
) -> std::result::Result<Vec<String>, crate::store::Error> {
    let home = Home::from_env().ok();
    let mut found = Vec::new();
    let inherited = chain.iter().filter_map(|process| {
        let id = process.initial_env(paths::name::TERMINAL_ID)?;
        Some((id, process.initial_env(paths::name::HOME)))
    });
    for (id, beside) in inherited.chain(own.map(|id| (id, None))) {
        let Ok(id) = TerminalId::parse(&id) else {
            continue;
        };
        let foreign = matches!((&beside, &home), (Some(beside), Some(home)) if !same_directory(Path::new(beside), home.root()));
        if !foreign || tx.terminal(&id)?.is_some() {
            found.push(id.to_string());
        }
    }
    Ok(found)
}

/// The person who runs this process. Anybody else is the inner error, and stands in the audit log with `action`.
pub fn person(
    store: &mut Store,
    (action, subject, via): (&'static str, &str, &str),
    detail: serde_json::Value,
) -> Result<std::result::Result<Caller, Caller>> {
    let caller = whoami(store)?;
    if matches!(caller, Caller::Person { .. }) {
        return Ok(Ok(caller));
    }
    store.write(Durability::Power, Budget::Call, |tx| {
        tx.audit(clock::now(), action, subject, &caller.word(), via, detail)
    })?;
    Ok(Err(caller))
}

/// Who calls this process.
pub fn whoami(store: &mut Store) -> Result<Caller> {
    Ok(store.read(caller)?)
}

/// Who calls this process and may speak under its own name: one that claims to be somebody that it is not is refused, and stands in the audit
/// log with the door `via`.
pub fn honest(store: &mut Store, via: &str) -> Result<Caller> {
    let caller = whoami(store)?;
    let Caller::Mismatch(claimed) = &caller else {
        return Ok(caller);
    };
    refused(store, &caller, claimed, via)?;
    Err(Failure::refused(format!(
        "this process claims to be terminal {claimed} and does not descend from it"
    ))
    .hint("the attempt is in the audit log"))
}

/// As [`honest`], for what needs no state: without one there are no agents, and nobody to be taken for.
pub fn honest_beside(home: &Home, via: &str) -> Result<Caller> {
    match Store::open(home) {
        Ok(mut store) => honest(&mut store, via),
        Err(crate::store::Error::Missing(_)) => Ok(Caller::Person { terminal: false }),
        Err(error) => Err(error.into()),
    }
}

/// Puts into the audit log that a process claimed to be somebody that it is not.
pub(super) fn refused(store: &mut Store, caller: &Caller, claimed: &str, via: &str) -> Result<()> {
    let detail = serde_json::json!({"claimed": claimed});
    Ok(store.write(Durability::Power, Budget::Call, |tx| {
        tx.audit(
            clock::now(),
            "terminal.identity_refused",
            claimed,
            &caller.word(),
            via,
            detail,
        )
    })?)
}

/// Who calls this process, inside a transaction.
pub fn caller(tx: &Tx<'_>) -> std::result::Result<Caller, crate::store::Error> {
    let claimed = paths::env(paths::name::TERMINAL_ID);
    let decided = whose(tx, &Process::own_ancestry(), claimed.clone())?;
    Ok(match (decided, claimed) {
        // An agent's process that says it is another one's lies, whoever made it do so.
        (Caller::Agent(id), Some(claimed)) if claimed != id.as_str() => {
            Caller::Mismatch(one_line(&excerpt(&claimed, MAX_CLAIM)))
        }
        (decided, _) => decided,
    })
}

/// Whose process `pid` is; `None` when there is none.
pub fn of_process(
    tx: &Tx<'_>,
    pid: i32,
) -> std::result::Result<Option<Caller>, crate::store::Error> {
    Process::of(pid)
        .map(|process| whose(tx, &process.ancestry(), None))
        .transpose()
}

/// Whose process it is at whose end `chain` begins, which says that it belongs to `claimed`.
fn whose(
    tx: &Tx<'_>,
    chain: &[Process],
    claimed: Option<String>,
) -> std::result::Result<Caller, crate::store::Error> {
    let living = tx.living()?;
    let named = named(tx, chain, claimed)?;
    let mut servers: Vec<i32> = living.iter().filter_map(|t| t.server_pid).collect();
    servers.dedup();
    let server_parents = servers
        .into_iter()
        .filter_map(Process::of)
        .map(|server| server.parent)
        .filter(|parent| *parent > 1)
        .collect();
    let evidence = Evidence {
        chain,
        named,
        server_parents,
        scripted: chain
            .iter()
            .any(|process| process.initial_env(paths::name::FLOW_DUE).is_some()),
    };
    Ok(decide(&evidence, &living))
}

/// The living terminal that this process belongs to by ancestry alone; for hooks, which ask at every event.
pub fn own_terminal(tx: &Tx<'_>) -> std::result::Result<Option<Terminal>, crate::store::Error> {
    let living = tx.living()?;
    if living.is_empty() {
        return Ok(None);
    }
    let mut next = Process::own();
    let mut steps = 0;
    while let Some(process) = next {
        let found = living.iter().find(|t| {
            t.root.is_some_and(|root| {
                (root.pid == process.identity.pid && root.start == process.identity.start)
                    || root.pid == process.session
            })
        });
        if let Some(found) = found {
            return tx.terminal(&found.id);
        }
        steps += 1;
        next = (process.parent > 1 && steps < 64)
            .then(|| Process::of(process.parent))
            .flatten();
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::terminal::Root;
    use crate::proc::Identity;

    fn process(pid: i32, parent: i32, session: i32, tty: i32) -> Process {
        Process {
            identity: Identity {
                pid,
                start: i64::from(pid) * 10,
            },
            parent,
            session,
            tty,
            foreground: -1,
            zombie: false,
        }
    }

    fn living(pid: i32, start: i64) -> Living {
        Living {
            id: TerminalId::parse("0123abcd").unwrap(),
            root: Some(Root { pid, start }),
            tty: 34816,
            server_pid: None,
        }
    }

    fn decided(chain: &[Process], named: &[&str]) -> Caller {
        let evidence = Evidence {
            chain,
            named: named.iter().map(|id| (*id).to_owned()).collect(),
            server_parents: vec![77],
            scripted: false,
        };
        decide(&evidence, &[living(100, 1000)])
    }

    #[test]
    fn ancestry_decides_and_the_environment_does_not() {
        let agent = Caller::Agent(TerminalId::parse("0123abcd").unwrap());
        assert_eq!(
            decided(
                &[
                    process(300, 200, 300, 0),
                    process(200, 100, 200, 0),
                    process(100, 5, 100, 34816)
                ],
                &[]
            ),
            agent
        );
        assert_eq!(
            decided(&[process(300, 1, 100, 0)], &[]),
            agent,
            "an orphan of the agent's session"
        );
        assert_eq!(
            decided(&[process(300, 1, 300, 34816)], &[]),
            agent,
            "on the agent's terminal"
        );
        assert_eq!(
            decided(&[process(300, 1, 300, 0)], &["0123abcd"]),
            Caller::Mismatch("0123abcd".into()),
            "only the environment says so"
        );
        assert_eq!(
            decided(&[process(300, 200, 200, 5)], &["ffffffff"]),
            Caller::Mismatch("ffffffff".into()),
            "what an ended agent left behind is no person"
        );
        assert_eq!(
            decided(&[process(300, 200, 200, 5)], &[]),
            Caller::Person { terminal: true }
        );
    }

    #[test]
    fn the_script_of_a_flow_is_no_person() {
        let chain = [process(300, 200, 200, 5)];
        let evidence = Evidence {
            chain: &chain,
            named: Vec::new(),
            server_parents: Vec::new(),
            scripted: true,
        };
        assert_eq!(decide(&evidence, &[]), Caller::Orphan);
    }

    #[test]
    fn a_reused_pid_is_not_the_agent() {
        let mut stranger = process(100, 5, 7, 3);
        stranger.identity.start = 999_999;
        assert_eq!(decided(&[stranger], &[]), Caller::Person { terminal: true });
    }

    #[test]
    fn orphans_are_told_from_scripts() {
        assert_eq!(decided(&[process(300, 1, 300, 0)], &[]), Caller::Orphan);
        assert_eq!(
            decided(&[process(300, 77, 300, 0)], &[]),
            Caller::Orphan,
            "a child of the tmux server's parent"
        );
        assert_eq!(
            decided(&[process(300, 200, 200, 0)], &[]),
            Caller::Person { terminal: false }
        );
    }
}
