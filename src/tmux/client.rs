//! Running command lists.

use super::command::CommandList;
use super::error::Error;
use super::ids::PaneId;
use super::wire::{self, WireError};
use crate::clock::Deadline;
use crate::paths;
use crate::proc;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long one command list may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Most of what the program says that is read, in bytes: a pane's whole history is a few of them.
const MAX_SAID: u64 = 256 * 1024 * 1024;

/// A tmux server, by its socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tmux {
    socket: PathBuf,
}

/// What a command list printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Whether every command succeeded.
    pub ok: bool,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Tmux {
    /// The server at `socket`, running or not.
    pub fn at(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
        }
    }

    /// The socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The socket as text; tmux sockets that are not UTF-8 are not supported.
    pub fn socket_text(&self) -> String {
        self.socket.to_string_lossy().into_owned()
    }

    /// Runs `list`; what a command refuses is an error.
    pub fn run(&self, list: &CommandList) -> Result<String, Error> {
        self.run_with(list, None)
    }

    /// Runs `list` with `stdin` as standard input; what a command refuses is an error.
    pub fn run_with(&self, list: &CommandList, stdin: Option<&[u8]>) -> Result<String, Error> {
        let answer = self.try_run(list, stdin)?;
        if answer.ok {
            Ok(answer.out)
        } else {
            Err(refusal(&self.socket, &answer))
        }
    }

    /// Runs `list` and returns what it printed, whether it succeeded or not.
    pub fn try_run(&self, list: &CommandList, stdin: Option<&[u8]>) -> Result<Answer, Error> {
        if list.bytes() > CommandList::MAX_BYTES {
            return Err(Error::Refused(format!(
                "a command list of {} bytes is too long",
                list.bytes()
            )));
        }
        if nix::sys::socket::UnixAddr::new(&self.socket).is_err() {
            return Err(Error::LongSocket(self.socket.display().to_string()));
        }
        // A new pane gets the environment of the client that makes it, and a new session may need a new server: both are the program's.
        let program_only =
            || paths::env(paths::name::TMUX_CLIENT).is_some_and(|who| who == "program");
        if !list.creates() && !program_only() {
            match wire::run(&self.socket, list.argv(), stdin, LIMIT) {
                Ok(output) => {
                    return Ok(Answer {
                        ok: output.status == 0,
                        out: String::from_utf8_lossy(&output.stdout).into_owned(),
                        err: String::from_utf8_lossy(&output.stderr).into_owned(),
                    });
                }
                Err(WireError::NoServer(_)) => {
                    return Err(Error::NoServer(self.socket.display().to_string()));
                }
                Err(WireError::Foreign(uid)) => {
                    let socket = self.socket.display().to_string();
                    return Err(Error::Foreign { socket, uid });
                }
                Err(error) if error.may_have_run() && error.stdout().is_empty() => {
                    return Err(Error::Run(error.to_string()));
                }
                // What it said before it was lost did happen.
                Err(error) if error.may_have_run() => {
                    return Ok(Answer {
                        ok: false,
                        out: String::from_utf8_lossy(error.stdout()).into_owned(),
                        err: error.to_string(),
                    });
                }
                Err(error) => tracing::debug!(%error, "tmux by its program"),
            }
        }
        let own = self.program_of_server()?;
        let program = match (paths::find_program("tmux", None), &own) {
            (Some(found), Some(own)) if list.creates() && is_no_tmux(&found, own) => own.clone(),
            (Some(found), _) => found,
            (None, Some(own)) => own.clone(),
            (None, None) => return Err(Error::Missing),
        };
        let answer = self.exec(&program, list, stdin)?;
        // An old client against a newer server fails so; the server's own program always fits it.
        if !answer.ok
            && answer.err.contains("server exited unexpectedly")
            && let Some(own) = own.filter(|own| differ(&program, own))
        {
            return self.exec(&own, list, stdin);
        }
        Ok(answer)
    }

    /// The program that the running server was started from; `None` when none runs, or it has been replaced since.
    pub(super) fn program_of_server(&self) -> Result<Option<PathBuf>, Error> {
        let pid = super::server::peer_pid(&self.socket)?;
        Ok(pid.and_then(|pid| proc::program_of(pid).ok()))
    }

    fn exec(
        &self,
        program: &Path,
        list: &CommandList,
        stdin: Option<&[u8]>,
    ) -> Result<Answer, Error> {
        let mut command = proc::command(program);
        // Without a UTF-8 locale tmux would print tabs and all that is not ASCII as `_`.
        command
            .arg("-u")
            .arg("-S")
            .arg(&self.socket)
            .args(list.argv());
        self.spawn(command, stdin)
    }

    fn spawn(&self, mut command: Command, stdin: Option<&[u8]>) -> Result<Answer, Error> {
        // The variables that make tmux think it runs inside a pane would pick a current pane for us.
        command.env_remove("TMUX").env_remove("TMUX_PANE");
        // A server that this starts would hand an agent's variables to every later pane.
        for name in paths::name::AGENT {
            command.env_remove(name);
        }
        command.stdin(if stdin.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| Error::Run(e.to_string()))?;
        let writer = child
            .stdin
            .take()
            .zip(stdin.map(<[u8]>::to_vec))
            .map(|(mut pipe, bytes)| {
                std::thread::spawn(move || {
                    let _ = pipe.write_all(&bytes);
                })
            });
        let out = child.stdout.take().map(read_beside);
        let err = child.stderr.take().map(read_beside);
        let deadline = Deadline::after(LIMIT);
        let status = loop {
            match child.try_wait().map_err(|e| Error::Run(e.to_string()))? {
                Some(status) => break status,
                None if deadline.passed() => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(Error::Run(format!(
                        "no answer from {} in {LIMIT:?}",
                        self.socket.display()
                    )));
                }
                None => std::thread::sleep(Duration::from_micros(200)),
            }
        };
        if let Some(writer) = writer {
            let _ = writer.join();
        }
        let said =
            |reader: Option<JoinHandle<String>>| reader.and_then(|reader| reader.join().ok());
        Ok(Answer {
            ok: status.success(),
            out: said(out).unwrap_or_default(),
            err: said(err).unwrap_or_default(),
        })
    }

    /// The value of a format, for a pane or for the server.
    pub fn display(&self, pane: Option<PaneId>, format: &'static str) -> Result<String, Error> {
        let mut arguments = vec!["display-message".to_owned(), "-p".to_owned()];
        if let Some(pane) = pane {
            arguments.extend(["-t".to_owned(), pane.to_string()]);
        }
        arguments.push(format.to_owned());
        let mut text = self.run(&CommandList::new().then(arguments))?;
        if text.ends_with('\n') {
            text.pop();
        }
        Ok(text)
    }

    /// The foreground command of a pane, if the row `prompt_row` (see the fence) is on its screen.
    pub fn foreground(
        &self,
        pane: PaneId,
        prompt_row: Option<&str>,
    ) -> Result<Option<String>, Error> {
        let row = match prompt_row {
            Some(row) if super::fence::row_is_usable(row) => format!("#{{C/r:{row}}}"),
            _ => "1".to_owned(),
        };
        let format = format!("{row}\t#{{pane_current_command}}");
        let text = self.run(&CommandList::new().then([
            "display-message",
            "-p",
            "-t",
            &pane.to_string(),
            &format,
        ]))?;
        let (row, command) = text
            .trim_end_matches('\n')
            .split_once('\t')
            .unwrap_or(("0", ""));
        Ok((row != "0" && !row.is_empty() && !command.is_empty()).then(|| command.to_owned()))
    }

    /// Whether nothing was written to the pane's window in the last `seconds`; `now` is in seconds since 1970.
    pub fn quiet_for(&self, pane: PaneId, seconds: i64, now: i64) -> Result<bool, Error> {
        let last = self.display(Some(pane), "#{window_activity}")?;
        Ok(last
            .parse::<i64>()
            .is_ok_and(|last| now.saturating_sub(last) >= seconds))
    }

    /// The text on a pane's screen, without trailing blank rows.
    pub fn screen(&self, pane: PaneId) -> Result<String, Error> {
        let text =
            self.run(&CommandList::new().then(["capture-pane", "-p", "-t", &pane.to_string()]))?;
        Ok(text.trim_end().to_owned())
    }

    /// The rows of a pane's screen, and its title.
    pub fn sight(&self, pane: PaneId) -> Result<(String, String), Error> {
        let target = pane.to_string();
        let text = self.run(
            &CommandList::new()
                .then(["capture-pane", "-p", "-t", &target])
                .then(["display-message", "-p", "-t", &target, "#{pane_title}"]),
        )?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let (screen, title) = text.rsplit_once('\n').unwrap_or(("", text));
        Ok((screen.trim_end().to_owned(), title.to_owned()))
    }

    /// A pane's whole history and screen, wrapped lines joined.
    pub fn history(&self, pane: PaneId) -> Result<String, Error> {
        let text = self.run(&CommandList::new().then([
            "capture-pane",
            "-p",
            "-J",
            "-S",
            "-",
            "-E",
            "-",
            "-t",
            &pane.to_string(),
        ]))?;
        Ok(text.trim_end().to_owned())
    }
}

/// Whether two paths are not those of one program.
fn differ(program: &Path, own: &Path) -> bool {
    std::fs::canonicalize(program).is_ok_and(|program| program != own)
}

/// Whether what is called tmux along `PATH`, and is not the server's own program, is none.
fn is_no_tmux(found: &Path, own: &Path) -> bool {
    differ(found, own) && matches!(Tmux::program_version(), Err(Error::NotTmux { .. }))
}

/// Reads `pipe` in another thread, so that the time limit holds whoever keeps it open.
fn read_beside(pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.take(MAX_SAID).read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn refusal(socket: &Path, answer: &Answer) -> Error {
    let text = answer.err.trim();
    if text.starts_with("no server running")
        || text.starts_with("error connecting to")
        || text.contains("lost server")
    {
        return Error::NoServer(socket.display().to_string());
    }
    Error::Refused(crate::domain::text::one_line(text))
}
