//! Tests of rulings.

use super::examples::{CWD, Nowhere, empty_policy};
use super::*;

/// A policy of these rules alone.
fn policy(rules: Vec<Rule>) -> Policy {
    Policy {
        rules,
        ..empty_policy()
    }
}

fn rule(id: &str, decision: Decision, program: &str) -> Rule {
    Rule {
        program: vec![program.to_owned()],
        ..Rule::new(id, decision)
    }
}

fn call(action: &Action) -> Call<'_> {
    Call {
        tool: "Bash",
        action,
        cwd: Path::new(CWD),
        start: None,
        profile: "developer",
        agent_asks: true,
        allows_edits: false,
    }
}

fn shell(policy: &Policy, command: &str) -> Ruling {
    let action = Action::Shell {
        command: command.to_owned(),
    };
    judge(policy, &call(&action), &Nowhere)
}

#[test]
fn the_strictest_rule_of_any_command_decides() {
    let rules = vec![
        rule("a", Decision::Allow, "a"),
        rule("b", Decision::Ask, "b"),
        Rule {
            risk: Some(Risk::Low),
            ..rule("c", Decision::Deny, "c")
        },
        rule("d", Decision::Defer, "d"),
        Rule {
            any_flag: vec!["-f".into()],
            ..rule("af", Decision::Ask, "a")
        },
    ];
    let policy = policy(rules);
    for (command, decision, id) in [
        ("a", Decision::Allow, Some("a")),
        ("a x && a y", Decision::Allow, Some("a")),
        ("a && b", Decision::Ask, Some("b")),
        ("b; c | a", Decision::Deny, Some("c")),
        ("a; d", Decision::Defer, Some("d")),
        ("a; other", Decision::Defer, None),
        ("a -rf x", Decision::Ask, Some("af")),
        ("a $x", Decision::Ask, None),
        ("other $x", Decision::Ask, None),
        ("c $x", Decision::Deny, Some("c")),
        ("a $(c)", Decision::Deny, Some("c")),
        ("bash -c 'a; c'", Decision::Deny, Some("c")),
        ("", Decision::Defer, None),
    ] {
        let ruling = shell(&policy, command);
        assert_eq!(ruling.decision, decision, "{command}: {}", ruling.reason);
        assert_eq!(ruling.rule.as_deref(), id, "{command}");
        assert!(ruling.risk == Risk::High || decision != Decision::Deny);
    }
}

#[test]
fn what_no_rule_names_depends_on_the_agent() {
    let strict = Policy {
        defaults: Defaults {
            ask_unmatched: true,
            ..Defaults::default()
        },
        ..policy(Vec::new())
    };
    let action = Action::Shell {
        command: "x".into(),
    };
    let silent = Call {
        agent_asks: false,
        ..call(&action)
    };
    assert_eq!(shell(&strict, "x").decision, Decision::Ask);
    assert_eq!(
        judge(&policy(Vec::new()), &silent, &Nowhere).decision,
        Decision::Ask
    );
    assert_eq!(shell(&policy(Vec::new()), "x").decision, Decision::Defer);
}

#[test]
fn an_allow_may_replace_ask_rules_that_it_names() {
    let allow = Rule {
        argv: Some(vec![
            Token::OneOf(vec!["rm".into()]),
            Token::OneOf(vec!["x".into()]),
        ]),
        overrides: vec!["rm".into()],
        ..Rule::new("mine", Decision::Allow)
    };
    let ask = Rule {
        presence: Some(Presence::Pin),
        ..rule("rm", Decision::Ask, "rm")
    };
    let policy = policy(vec![allow, ask]);
    assert_eq!(shell(&policy, "rm x").decision, Decision::Allow);
    assert_eq!(shell(&policy, "rm y").decision, Decision::Ask);
    assert_eq!(shell(&policy, "rm x; rm y").decision, Decision::Ask);
    assert_eq!(shell(&policy, "rm x > f").decision, Decision::Ask);
    let unclear = shell(&policy, "rm x &");
    assert_eq!(
        (unclear.decision, unclear.presence),
        (Decision::Ask, Presence::Pin),
        "in what was not understood it replaces nothing"
    );
    let needs = shell(&policy, "rm y").needs;
    assert_eq!(needs.len(), 1);
    assert_eq!(needs[0].asked_by, ["rm"]);
}

#[test]
fn presence_is_the_rules_then_the_defaults_then_the_risks() {
    let high = Rule {
        risk: Some(Risk::High),
        ..rule("a", Decision::Ask, "a")
    };
    let pinned = Rule {
        presence: Some(Presence::Pin),
        ..rule("b", Decision::Ask, "b")
    };
    let low = rule("c", Decision::Ask, "c");
    let mut policy = policy(vec![high, pinned, low]);
    let presence = |policy: &Policy, command: &str| shell(policy, command).presence;
    assert_eq!(presence(&policy, "a"), Presence::Challenge);
    assert_eq!(presence(&policy, "b"), Presence::Pin);
    assert_eq!(presence(&policy, "c"), Presence::Caller);
    assert_eq!(presence(&policy, "c; b"), Presence::Pin);
    // A text that is not understood, and in which something grave stands.
    assert_eq!(presence(&policy, "x \"$y; a z\""), Presence::Challenge);
    policy.defaults.presence = Some(Presence::Caller);
    assert_eq!(presence(&policy, "a"), Presence::Caller);
    assert_eq!(presence(&policy, "b; a"), Presence::Pin);
}

#[test]
fn reading_and_editing_here_is_the_agents_business() {
    let policy = policy(Vec::new());
    let ruled = |action: Action, allows_edits: bool| {
        let call = Call {
            tool: "Write",
            allows_edits,
            agent_asks: !allows_edits,
            ..call(&action)
        };
        judge(&policy, &call, &Nowhere).decision
    };
    let read = |path: &str| Action::Read {
        paths: vec![path.into()],
    };
    let write = |path: &str| Action::Write {
        paths: vec![path.into()],
    };
    for here in ["a", "./b/../c", "/home/user/work/x"] {
        assert_eq!(ruled(read(here), false), Decision::Defer);
        assert_eq!(ruled(write(here), false), Decision::Defer);
        assert_eq!(ruled(read(here), true), Decision::Allow);
        assert_eq!(ruled(write(here), true), Decision::Allow);
    }
    for elsewhere in ["../a", "/etc/x", "~/y", "/home/user/workx"] {
        assert_eq!(ruled(write(elsewhere), false), Decision::Defer);
        assert_eq!(ruled(write(elsewhere), true), Decision::Ask);
        assert_eq!(ruled(read(elsewhere), true), Decision::Ask);
    }
    assert_eq!(ruled(Action::Own, false), Decision::Defer);
    assert_eq!(ruled(Action::Own, true), Decision::Allow);
    assert_eq!(
        ruled(Action::Read { paths: Vec::new() }, true),
        Decision::Allow
    );
    assert_eq!(ruled(Action::Other, true), Decision::Ask);
}

/// As [`Nowhere`], with a link that leads nowhere yet.
struct Lost;

impl Sight for Lost {
    fn real(&self, path: &Path) -> Option<PathBuf> {
        (!path.ends_with("lost")).then(|| paths::normal(path))
    }

    fn is_file(&self, path: &Path) -> bool {
        Nowhere.is_file(path)
    }

    fn is_dir(&self, path: &Path) -> bool {
        Nowhere.is_dir(path)
    }

    fn names(&self, dir: &Path) -> Option<Vec<String>> {
        Nowhere.names(dir)
    }

    fn program(&self, name: &str, cwd: &Path) -> Option<PathBuf> {
        Nowhere.program(name, cwd)
    }
}

#[test]
fn what_is_written_through_a_link_that_leads_nowhere_is_asked_about() {
    let allow = Rule {
        paths_write: vec![paths::PathPattern::new("**/lost")],
        ..Rule::new("all", Decision::Allow)
    };
    for rules in [Vec::new(), vec![allow]] {
        let action = Action::Write {
            paths: vec!["lost".into()],
        };
        let ruling = judge(&policy(rules), &call(&action), &Lost);
        assert_eq!(
            (ruling.decision, ruling.risk),
            (Decision::Ask, Risk::High),
            "{}",
            ruling.reason
        );
    }
}

#[test]
fn a_worktree_of_ours_is_no_settings_directory_of_the_project() {
    let rule = Rule {
        paths_write: vec![
            paths::PathPattern::new("**/.conductor/**"),
            paths::PathPattern::new("**/.git/**"),
        ],
        ..Rule::new("settings", Decision::Ask)
    };
    let policy = policy(vec![rule]);
    let own = "/r/.conductor/worktrees/0123abcd";
    for (path, wanted) in [
        ("src/x.rs", Decision::Defer),
        ("/r/.conductor/worktrees/0123abcd/x", Decision::Defer),
        (".conductor/policy.toml", Decision::Ask),
        (".git", Decision::Ask),
        ("../ffffffff/x", Decision::Ask),
        ("../.gitignore", Decision::Ask),
        ("../../policy.toml", Decision::Ask),
        ("/r/.git/config", Decision::Ask),
    ] {
        let action = Action::Write {
            paths: vec![path.to_owned()],
        };
        let call = Call {
            cwd: Path::new(own),
            ..call(&action)
        };
        assert_eq!(judge(&policy, &call, &Nowhere).decision, wanted, "{path}");
        let line = Action::Shell {
            command: format!("touch {path}"),
        };
        let asked = judge(
            &policy,
            &Call {
                action: &line,
                ..call
            },
            &Nowhere,
        );
        assert_eq!(
            asked.rule.is_some(),
            wanted == Decision::Ask,
            "touch {path}"
        );
    }
}

#[test]
fn paths_are_found_in_every_kind_of_call() {
    let gate = Rule {
        paths_write: vec![paths::PathPattern::new("{state}/**")],
        ..Rule::new("gate", Decision::Deny)
    };
    let policy = policy(vec![gate]);
    for command in [
        "x > ~/.conductor/policy.toml",
        "x > $HOME/.conductor/policy.toml",
        "tee ../.conductor/policy.toml",
        "cp a ~/.conductor",
        "dd of=/home/user/.conductor/db/conductor.db",
        "x --output=/home/user/.conductor/a",
        "x -o/home/user/.conductor/a",
        "echo $(cp a ~/.conductor/b)",
        "cd .. && x .conductor/a",
        "> ~/.conductor/a",
    ] {
        let ruling = shell(&policy, command);
        let known = command.starts_with("cd ");
        assert!(
            ruling.decision == Decision::Deny || known,
            "{command}: {}",
            ruling.reason
        );
    }
    for command in [
        "cat ~/.conductor/config.toml",
        "git commit -m 'see ~/.conductor/x'",
        "x .conductors/a",
    ] {
        assert_ne!(
            shell(&policy, command).decision,
            Decision::Deny,
            "{command}"
        );
    }
    let action = Action::Write {
        paths: vec!["/home/user/x/../.conductor/policy.toml".into()],
    };
    assert_eq!(
        judge(&policy, &call(&action), &Nowhere).decision,
        Decision::Deny
    );
}

#[test]
fn tools_of_servers_are_matched_by_their_parts() {
    let allow = Rule {
        tool: vec!["mcp__conductor__*".into()],
        ..Rule::new("own", Decision::Allow)
    };
    let ask = Rule {
        tool: vec!["mcp__*".into()],
        ..Rule::new("others", Decision::Ask)
    };
    let ruled = |policy: &Policy, server: &str| {
        let action = Action::Mcp {
            server: server.into(),
            tool: "send".into(),
        };
        judge(
            policy,
            &Call {
                tool: "x",
                ..call(&action)
            },
            &Nowhere,
        )
        .decision
    };
    let one = policy(vec![allow.clone()]);
    assert_eq!(ruled(&one, "conductor"), Decision::Allow);
    assert_eq!(ruled(&one, "conductor__evil"), Decision::Defer);
    assert_eq!(
        ruled(&policy(vec![allow, ask]), "conductor__evil"),
        Decision::Ask
    );
    for (decision, found) in [
        (Decision::Allow, Decision::Defer),
        (Decision::Deny, Decision::Deny),
    ] {
        let words = Rule {
            tool: vec!["x".into()],
            ..Rule::new("words", decision)
        };
        let ruled = ruled(&policy(vec![words]), "conductor");
        assert_eq!(ruled, found, "the agent's word for it");
    }
}

#[test]
fn profiles_narrow_rules() {
    let only = Rule {
        profile: vec!["rev*".into()],
        ..rule("x", Decision::Deny, "x")
    };
    let policy = policy(vec![only]);
    let action = Action::Shell {
        command: "x".into(),
    };
    let as_profile = |profile| {
        judge(
            &policy,
            &Call {
                profile,
                ..call(&action)
            },
            &Nowhere,
        )
        .decision
    };
    assert_eq!(as_profile("reviewer"), Decision::Deny);
    assert_eq!(as_profile("developer"), Decision::Defer);
}
