//! Timers outside tmux, for flows that run without it: a systemd user timer or a launchd agent that calls `tick` each minute.

use super::super::context::Context;
use crate::domain::audit::digest;
use crate::error::{Failure, Result};
use crate::paths::{self, Home};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Which kind of timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A systemd user timer and its service.
    Systemd,
    /// A launchd agent.
    Launchd,
}

impl Unit {
    const ALL: [Self; 2] = [Self::Systemd, Self::Launchd];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::Launchd => "launchd",
        }
    }

    /// The directory in which such timers of a user lie.
    pub fn directory(self) -> Option<PathBuf> {
        let home = paths::user_home()?;
        Some(match self {
            Self::Systemd => paths::env_os("XDG_CONFIG_HOME")
                .map(PathBuf::from)
                .filter(|dir| dir.is_absolute())
                .unwrap_or_else(|| home.join(".config"))
                .join("systemd/user"),
            Self::Launchd => home.join("Library/LaunchAgents"),
        })
    }

    /// What a person does with the files of `home` once they lie there.
    pub fn switch_on(self, home: &Home) -> String {
        let name = name(home);
        match self {
            Self::Systemd => {
                format!(
                    "systemctl --user daemon-reload && systemctl --user enable --now {name}.timer"
                )
            }
            Self::Launchd => {
                format!("launchctl bootstrap gui/$(id -u) ~/Library/LaunchAgents/{name}.plist")
            }
        }
    }

    /// The file that is there when the timer of `home` is switched on.
    fn mark(self, home: &Home) -> Option<PathBuf> {
        let name = name(home);
        let dir = self.directory()?;
        Some(match self {
            Self::Systemd => dir.join(format!("timers.target.wants/{name}.timer")),
            Self::Launchd => dir.join(format!("{name}.plist")),
        })
    }
}

/// The timer that is switched on for `home`, if there is one.
pub(super) fn installed(home: &Home) -> Option<Unit> {
    Unit::ALL.into_iter().find(|unit| {
        unit.mark(home)
            .is_some_and(|mark| mark.symlink_metadata().is_ok())
    })
}

/// Each state directory has a timer of its own.
fn name(home: &Home) -> String {
    let usual = paths::user_home().map(|user| user.join(".conductor"));
    if usual.as_deref() == Some(home.root()) {
        return "conductor-tick".to_owned();
    }
    let mark = digest(home.root().as_os_str().as_bytes());
    format!("conductor-tick-{}", &mark[..8])
}

/// The files of a timer, by their names.
pub fn units(cx: &Context, unit: Unit) -> Result<Vec<(String, String)>> {
    let name = name(&cx.home);
    let mut argv = vec![
        cx.binary.to_string_lossy().into_owned(),
        "--home".to_owned(),
    ];
    argv.push(cx.home.root().to_string_lossy().into_owned());
    argv.extend(["-S".to_owned(), cx.tmux.socket_text(), "tick".to_owned()]);
    // Agents' programs are found along it.
    let path = paths::env("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".to_owned());
    let plain = |text: &String| !text.chars().any(char::is_control);
    if !argv.iter().all(plain) || !plain(&path) {
        return Err(Failure::refused(
            "write the timer: a path holds a control character",
        ));
    }
    Ok(match unit {
        Unit::Systemd => vec![
            (format!("{name}.service"), service(&argv, &path)),
            (format!("{name}.timer"), TIMER.to_owned()),
        ],
        Unit::Launchd => vec![(format!("{name}.plist"), plist(&name, &argv, &path))],
    })
}

const TIMER: &str = "[Unit]
Description=Look each minute whether an Agent Conductor flow is due

[Timer]
OnCalendar=minutely
AccuracySec=1s
Persistent=true

[Install]
WantedBy=timers.target
";

/// `KillMode=process`: a tmux server that a flow starts outlives the tick that started it.
fn service(argv: &[String], path: &str) -> String {
    let words: Vec<String> = argv.iter().map(|word| systemd_word(word, true)).collect();
    format!(
        "[Unit]\nDescription=Do what is due in Agent Conductor\n\n[Service]\nType=oneshot\nKillMode=process\nEnvironment={}\nExecStart={}\n",
        systemd_word(&format!("PATH={path}"), false),
        words.join(" ")
    )
}

/// A word in systemd's quotes; in a command line `$` is doubled too.
fn systemd_word(text: &str, command: bool) -> String {
    let mut word = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => word.extend(['\\', c]),
            '%' => word.push_str("%%"),
            '$' if command => word.push_str("$$"),
            c => word.push(c),
        }
    }
    word.push('"');
    word
}

fn plist(name: &str, argv: &[String], path: &str) -> String {
    let words: String = argv
        .iter()
        .map(|word| format!("    <string>{}</string>\n", xml(word)))
        .collect();
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>{name}</string>
  <key>ProgramArguments</key>
  <array>
{words}  </array>
  <key>EnvironmentVariables</key>
  <dict>
    <key>PATH</key>
    <string>{}</string>
  </dict>
  <key>StartInterval</key>
  <integer>60</integer>
  <key>AbandonProcessGroup</key>
  <true/>
</dict>
</plist>
"#,
        xml(path)
    )
}

fn xml(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tmux::Tmux;

    #[test]
    fn paths_are_quoted_for_each() {
        assert_eq!(
            systemd_word("a \"b\" 50% $X\\", true),
            r#""a \"b\" 50%% $$X\\""#
        );
        let home = Home::at("/tmp/a & b/<state>").unwrap();
        let cx = Context::new(home, Tmux::at("/tmp/50% sock")).unwrap();
        let systemd = units(&cx, Unit::Systemd).unwrap();
        assert_eq!(systemd.len(), 2);
        assert!(
            systemd[0]
                .1
                .contains("\"--home\" \"/tmp/a & b/<state>\" \"-S\" \"/tmp/50%% sock\" \"tick\"\n")
        );
        assert!(systemd[1].0.contains(".timer") && systemd[1].1.contains("OnCalendar=minutely"));
        let launchd = units(&cx, Unit::Launchd).unwrap();
        assert!(
            launchd[0]
                .1
                .contains("<string>/tmp/a &amp; b/&lt;state&gt;</string>")
        );
        assert!(launchd[0].0.starts_with("conductor-tick-"));
    }
}
