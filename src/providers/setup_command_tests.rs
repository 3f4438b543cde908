//! The commands of our hooks in somebody else's settings, as a shell runs them.

use super::tests::{CLAUDE, Lab, parse};
use crate::fsx;
use crate::proc;
use std::path::Path;
use std::process::Stdio;

/// The command of the first hook of an event in a settings file of Claude Code's kind.
fn command(settings: &str, event: &str) -> String {
    parse(settings)["hooks"][event][0]["hooks"][0]["command"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Runs a hook's command as an agent would; exit code, standard output, standard error.
fn run(shell: &str, line: &str, inside: bool) -> (Option<i32>, String, String) {
    let mut command = proc::command(shell);
    command
        .args(["-c", line])
        .env_remove("CONDUCTOR_TERMINAL_ID")
        .env_remove("CONDUCTOR_HOME")
        .stdin(Stdio::null());
    if inside {
        command.env("CONDUCTOR_TERMINAL_ID", "0123abcd");
    }
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

const AWKWARD: [(&str, &str); 4] = [
    ("plain/conductor-hook", "state"),
    ("with space/conductor hook", "the state"),
    ("it's \"quoted\"/hook", "st'ate \"x\""),
    ("$HOME `id` ;&|/hook*", "a}b $(id) ~ \\ {c"),
];

#[test]
fn a_hook_command_reaches_the_program_whatever_the_paths_are() {
    let script = "#!/bin/sh\nprintf '%s\\n' \"$@\" \"$CONDUCTOR_HOME\" \"$CONDUCTOR_SETUP\"\nexit ${CODE:-0}\n";
    for shell in ["/bin/sh", "/bin/bash"] {
        if !Path::new(shell).exists() {
            continue;
        }
        for (hook, state) in AWKWARD {
            let lab = Lab::named("user", hook, state);
            lab.set_up(CLAUDE);
            let settings = lab.text(".claude/settings.json");
            let (tells, decides) = (command(&settings, "Stop"), command(&settings, "PreToolUse"));
            // Before the program is there.
            assert_eq!(
                run(shell, &tells, false),
                (Some(0), String::new(), String::new())
            );
            assert_eq!(run(shell, &tells, true).0, Some(0));
            assert_eq!(
                run(shell, &decides, false),
                (Some(0), String::new(), String::new())
            );
            let (code, out, err) = run(shell, &decides, true);
            assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
            assert!(err.contains("the call is blocked"), "{err}");
            fsx::create_private_dir(lab.hook.parent().unwrap()).unwrap();
            fsx::write_atomic_mode(&lab.hook, script.as_bytes(), 0o700).unwrap();
            let root = lab.home.root().to_str().unwrap();
            for inside in [false, true] {
                for (line, event) in [(&tells, "Stop"), (&decides, "PreToolUse")] {
                    let said = format!("hook\nclaude_code\n{event}\n{root}\n1\n");
                    assert_eq!(run(shell, line, inside), (Some(0), said, String::new()));
                }
            }
            let (code, _, err) = run(shell, &format!("export CODE=1; {decides}"), false);
            assert!(code == Some(2) && err.contains("blocked"), "{code:?} {err}");
            let other = format!("export CONDUCTOR_HOME='/an other'; {tells}");
            assert!(run(shell, &other, true).1.contains("\n/an other\n"));
        }
    }
}
