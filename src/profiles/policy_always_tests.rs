//! Tests of the rules that `always` adds.

use super::*;
use crate::domain::policy::{Action, Call, Decision, judge};
use crate::profiles::policy::load;
use crate::profiles::policy_sight::Disk;

fn ruled(home: &Home, command: &str, cwd: &Path) -> Ruling {
    let loaded = load(home, cwd, &|_, _| false);
    assert_eq!(loaded.warnings, [""; 0]);
    let action = Action::Shell {
        command: command.to_owned(),
    };
    let call = Call {
        tool: "Bash",
        action: &action,
        cwd,
        start: None,
        profile: "developer",
        agent_asks: true,
        allows_edits: false,
    };
    judge(&loaded.policy, &call, &Disk::with_path("/usr/bin:/bin"))
}

#[test]
fn the_literal_command_runs_from_then_on_and_nothing_else() {
    let temp = tempfile::tempdir().unwrap();
    let home = Home::at(temp.path().join("state")).unwrap();
    fsx::create_private_dir(home.root()).unwrap();
    let cwd = temp.path().join("work");
    fsx::create_private_dir(&cwd).unwrap();
    let cwd = cwd.canonicalize().unwrap();
    let mine = "# mine\nversion = 1 # keep\n";
    fsx::write_atomic(&home.policy(), mine.as_bytes()).unwrap();
    let command = "rm -rf 'build dir' && frob ... \"é\\\"\\\\\"";
    let ruling = ruled(&home, command, &cwd);
    assert_eq!(ruling.decision, Decision::Ask);
    assert_eq!(ruling.needs[0].asked_by, ["recursive-delete", "delete"]);
    let added = rules(&ruling, &cwd, "2026-01-01T00:00:00Z").unwrap();
    append(&home, &added).unwrap();
    append(&home, &added).unwrap();
    let text = std::fs::read_to_string(home.policy()).unwrap();
    assert!(text.starts_with(mine), "{text}");
    assert_eq!(text.matches("[[rule]]").count(), 2, "{text}");
    let after = ruled(&home, command, &cwd);
    assert_eq!(after.decision, Decision::Allow, "{}", after.reason);
    for other in [
        "rm -rf 'build dir' x",
        "rm -rf build",
        "frob ... x \"é\\\"\\\\\"",
        "rm -rf 'build dir' && rm -rf src",
    ] {
        assert_ne!(
            ruled(&home, other, &cwd).decision,
            Decision::Allow,
            "{other}"
        );
    }
    assert_ne!(ruled(&home, command, temp.path()).decision, Decision::Allow);
}

#[test]
fn what_was_not_understood_gets_no_rule() {
    let temp = tempfile::tempdir().unwrap();
    let home = Home::at(temp.path()).unwrap();
    for command in ["rm -rf $X", "sudo ls", "rm *.o", "tmux send-keys y", "ls"] {
        let ruling = ruled(&home, command, temp.path());
        let refused = rules(&ruling, temp.path(), "now").unwrap_err();
        assert_eq!(refused.kind(), crate::error::Kind::Refused, "{command}");
    }
}

#[test]
fn a_file_with_a_mistake_is_left_alone() {
    let temp = tempfile::tempdir().unwrap();
    let home = Home::at(temp.path()).unwrap();
    fsx::write_atomic(&home.policy(), b"version = 2\n").unwrap();
    let added = Added {
        rules: vec!["always-x".into()],
        text: "\n[[rule]]\nid = \"always-x\"\ndecision = \"allow\"\nargv = [\"x\"]\n".into(),
    };
    assert!(append(&home, &added).is_err());
    assert_eq!(std::fs::read(home.policy()).unwrap(), b"version = 2\n");
}
