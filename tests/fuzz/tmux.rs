//! Texts on their way through a real tmux server: what comes back is what went in, and nothing else happened.

use crate::engine::{Target, Trail};
use conductor::tmux::{CommandList, Tmux, exact, quoted};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// What the server is asked after each input; whoever breaks out of an argument changes it.
const CANARY: &str = "#{@canary} #{session_windows} #{window_panes} #{buffer_full}";

/// A private server with one session.
pub(crate) struct Server {
    dir: TempDir,
    tmux: Tmux,
    calm: String,
}

impl Server {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("tmux.sock");
        let mut server = Self {
            tmux: Tmux::at(&socket),
            dir,
            calm: String::new(),
        };
        let session = [
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-s",
            "home",
            "sleep 100000",
        ];
        assert!(server.program(&session), "tmux does not start");
        let first = CommandList::new()
            .then(["set-option", "-g", "@canary", "alive"])
            .then(["set-option", "-g", "buffer-limit", "2"]);
        server.tmux.run(&first).unwrap();
        server.calm = server.canary().unwrap();
        server
    }

    fn program(&self, arguments: &[&str]) -> bool {
        let program = std::env::var_os("CONDUCTOR_TEST_TMUX").unwrap_or_else(|| "tmux".into());
        Command::new(program)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LANG", "C.UTF-8")
            .env("TERM", "xterm-256color")
            .env("TMUX_TMPDIR", self.dir.path())
            .arg("-S")
            .arg(self.dir.path().join("tmux.sock"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    fn canary(&self) -> Result<String, String> {
        let list = CommandList::new().then(["display-message", "-p", "-t", "home:", CANARY]);
        self.tmux
            .run(&list)
            .map_err(|e| format!("the server is gone: {e}"))
    }

    /// `text` as an argument, as a literal that tmux expands, and as a word of a command string.
    fn travels(&self, text: &str, line: &str) -> Result<(), String> {
        let command = format!("set-option -g @word {}", quoted(line));
        let list = CommandList::new()
            .then(["set-option", "-g", "@plain", text])
            .then(["set-option", "-gF", "@exact", &exact(text)])
            .then(["set-option", "-g", "@line", line])
            .then(["if-shell", "-F", "1", &command])
            .then([
                "display-message",
                "-p",
                "#{==:#{@plain},#{@exact}} #{==:#{@line},#{@word}}",
            ])
            .then(["set-buffer", "-b", "there", "--", &format!("x{text}")])
            .then(["save-buffer", "-b", "there", "-"])
            .then(["delete-buffer", "-b", "there"]);
        if list.bytes() > CommandList::MAX_BYTES {
            return Ok(());
        }
        let back = self
            .tmux
            .run(&list)
            .map_err(|error| format!("tmux refuses {text:?}: {error}"))?;
        let expected = format!("1 1\nx{text}");
        if back == expected || back.trim_end_matches('\n') == expected.trim_end_matches('\n') {
            return Ok(());
        }
        Err(format!("{text:?} came back as {back:?}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.program(&["kill-server"]);
    }
}

impl Target for Server {
    fn seeds(&self) -> Vec<Vec<u8>> {
        [
            "plain",
            ";",
            "a;",
            "a\\;",
            "\\",
            "#",
            "##{pane_id}",
            "#(touch /tmp/x)",
            "$HOME",
            "~",
            "\"",
            "'",
            "a\nb",
            "%%",
            "%1",
            "-t",
            "--",
            "{ kill-server }",
            "é中👩‍🚀",
            "a,b",
            "#,}",
            "\u{1b}[31m",
            "#[fg=red]",
            "%H:%M",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
    }

    fn dictionary(&self) -> Vec<Vec<u8>> {
        [
            ";",
            " ; ",
            "\\;",
            "\\",
            "#",
            "##",
            "#{",
            "}",
            "#(",
            ")",
            "#{q:@canary}",
            "#,",
            ",",
            "$",
            "${HOME}",
            "\"",
            "'",
            "\n",
            "\r",
            "kill-server",
            "set -g @canary dead",
            "%if",
            "%endif",
            "{",
            "~",
            "-",
            "--",
            "\u{1f}",
            "\u{80}",
            "%Y",
            "%%",
            "#[",
            "]",
            "#{E:@line}",
            "\\n",
            "\\u0041",
            "\\101",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
    }

    fn check(&mut self, input: &[u8], trail: &mut Trail) -> Result<(), String> {
        let given = String::from_utf8_lossy(input);
        if given.contains('\0') {
            let list = CommandList::new().then(["set-option", "-g", "@plain", &given]);
            return match self.tmux.run(&list) {
                Ok(_) => Err("an argument with a NUL byte was sent, in parts".to_owned()),
                Err(_) => Ok(()),
            };
        }
        let line = conductor::domain::text::one_line(&given);
        trail.passes((
            given.contains("#{"),
            given.ends_with(';'),
            given.ends_with('\\'),
            given.starts_with('-'),
            given.len() / 512,
        ));
        self.travels(&given, &line)?;
        let canary = self.canary()?;
        if canary != self.calm {
            return Err(format!("the server was {:?}, and is {canary:?}", self.calm));
        }
        Ok(())
    }
}
