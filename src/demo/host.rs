//! The running agent: what it is, what it waits for, and which live rows it shows.
//!
//! One thread, one `poll(2)`: the terminal, signals, the MCP server and the children that run now. Idle, it waits without a timeout.

use super::args::Options;
use super::draft::{Draft, Submission};
use super::job::{self, Job};
use super::log::Log;
use super::mcp_client::{Client, Server};
use super::screen::Screen;
use super::settings::Settings;
use crate::clock::Deadline;
use crate::term::{ESC_SILENCE, Key, Parser};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// The longest part of the input box that is shown, in characters.
const LONGEST_BOX: usize = 400;

/// What the agent does now; decides what keys mean and which rows are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mode {
    /// Before the first prompt; keys wait.
    Starting,
    /// At its prompt.
    Idle,
    /// In a turn; what is submitted is queued.
    Working,
    /// A dialog with this text is open.
    Dialog(String),
    /// After the last prompt.
    Ending,
}

/// Why and how the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ending {
    /// The reason as `SessionEnd` says it.
    pub(super) reason: &'static str,
    /// The exit code.
    pub(super) code: u8,
    /// Whether somebody outside is in a hurry.
    pub(super) hurry: bool,
}

impl Ending {
    /// The person left at the prompt.
    pub(super) const BY_PERSON: Self = Self {
        reason: "prompt_input_exit",
        code: 0,
        hurry: false,
    };

    fn by_signal(signal: Signal) -> Self {
        Self {
            reason: "other",
            code: u8::try_from(128 + signal as i32).unwrap_or(u8::MAX),
            hurry: true,
        }
    }
}

/// The agent.
pub(super) struct Host {
    /// The command line.
    pub(super) options: Options,
    /// The hooks.
    pub(super) settings: Settings,
    /// The conversation's id.
    pub(super) session: String,
    /// The working directory as text.
    pub(super) cwd: String,
    /// What the pane shows.
    pub(super) screen: Screen,
    /// The log.
    pub(super) log: Log,
    /// How the MCP server is started.
    pub(super) server: Option<Server>,
    /// The MCP server.
    pub(super) mcp: Option<Client>,
    /// Whether a silent gate lets tools run.
    pub(super) fail_open: bool,
    /// What the agent does now.
    pub(super) mode: Mode,
    /// Prompts that wait for their turn.
    pub(super) queue: VecDeque<Submission>,
    /// The input box.
    pub(super) draft: Draft,
    /// Children that nobody waits for.
    pub(super) background: Vec<Job>,
    /// `Notification` hooks that run beside a dialog.
    pub(super) notices: Vec<Job>,
    /// The person's answer to the dialog.
    pub(super) answer: Option<bool>,
    /// Whether the person interrupted the turn.
    pub(super) interrupted: bool,
    /// What the turn said up to now.
    pub(super) said: Vec<String>,
    /// Set when the program is to end.
    pub(super) ending: Option<Ending>,
    /// Whether a terminal is at the other end, and not a file or pipe.
    pub(super) terminal: bool,
    stdin: Option<File>,
    signals: Option<SignalFd>,
    parser: Parser,
    escape: Deadline,
    /// Keys that nobody has taken yet.
    pub(super) keys: VecDeque<Key>,
    /// Whether one more Ctrl-C ends the program.
    pub(super) leaving: bool,
}

impl Host {
    /// An agent that has not started.
    pub(super) fn new(options: Options, stdin: File, screen: Screen, terminal: bool) -> Self {
        let mask = job::own_signals();
        let signals = mask.thread_block().and_then(|()| {
            SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
        });
        Self {
            options,
            settings: Settings::default(),
            session: String::new(),
            cwd: String::new(),
            screen,
            log: Log::default(),
            server: None,
            mcp: None,
            fail_open: false,
            mode: Mode::Starting,
            queue: VecDeque::new(),
            draft: Draft::default(),
            background: Vec::new(),
            notices: Vec::new(),
            answer: None,
            interrupted: false,
            said: Vec::new(),
            ending: None,
            terminal,
            stdin: Some(stdin),
            signals: signals.ok(),
            parser: Parser::new(),
            escape: Deadline::never(),
            keys: VecDeque::new(),
            leaving: false,
        }
    }

    /// Whether the turn is to stop where it is.
    pub(super) const fn stopped(&self) -> bool {
        self.interrupted || self.ending.is_some()
    }

    /// Whether nobody can say anything more.
    pub(super) fn deaf(&self) -> bool {
        self.stdin.is_none() && self.keys.is_empty()
    }

    /// Writes a line of the log; a log that cannot be written is shown.
    pub(super) fn note(&mut self, event: &str, source: &str, text: &str) {
        if let Err(error) = self.log.write(event, source, text) {
            self.screen.say(&format!("log: {error}"));
        }
    }

    /// Changes what the agent does, and shows it at once.
    pub(super) fn enter(&mut self, mode: Mode) {
        self.mode = mode;
        self.redraw();
    }

    /// Shows what has changed.
    pub(super) fn redraw(&mut self) {
        let mut draft = self.draft.shown();
        if let Some((cut, _)) = draft.char_indices().rev().nth(LONGEST_BOX) {
            draft = format!("…{}", &draft[cut..]);
        }
        let rows = match &self.mode {
            Mode::Starting => vec!["* starting…".into()],
            Mode::Idle if self.leaving => vec![
                "Press Ctrl-C again to exit".into(),
                format!("demo> {draft}"),
            ],
            Mode::Idle => vec![format!("demo> {draft}")],
            Mode::Working => {
                let mut rows = vec!["* working… (esc to interrupt)".to_owned()];
                if !self.queue.is_empty() {
                    rows.push(format!("queued: {}", self.queue.len()));
                }
                rows.push(format!("wait> {draft}"));
                rows
            }
            Mode::Dialog(text) => vec![
                format!("  {}", text.chars().take(LONGEST_BOX).collect::<String>()),
                "Do you want to proceed? (y/n)".into(),
            ],
            Mode::Ending => Vec::new(),
        };
        self.screen.draw(&rows);
    }

    /// Waits until something happened (a key, a signal, a child, one of `wants`) or `deadline` has passed, and takes it in.
    pub(super) fn pump(&mut self, wants: &[(BorrowedFd<'_>, PollFlags)], deadline: Deadline) {
        if self.take_keys() {
            return;
        }
        self.redraw();
        let mut left = deadline.left();
        for job in self.background.iter().chain(&self.notices) {
            left = left.min(job.deadline.left());
        }
        if self.parser.escape_waits() {
            left = left.min(self.escape.left());
        }
        let (ready, stdin_ready) = self.wait(wants, left);
        if stdin_ready {
            self.read_stdin();
        } else if !ready && self.escape.passed() {
            self.keys.extend(self.parser.silence());
        }
        self.read_signals();
        if let Some(client) = &mut self.mcp {
            client.service();
        }
        for jobs in [&mut self.background, &mut self.notices] {
            jobs.retain_mut(|job| {
                job.overdue();
                !job.service()
            });
        }
        self.take_keys();
    }

    /// Polls; says whether anything is ready, and whether standard input is.
    fn wait(&self, wants: &[(BorrowedFd<'_>, PollFlags)], left: Duration) -> (bool, bool) {
        let input = PollFlags::POLLIN;
        let mut fds: Vec<PollFd<'_>> = Vec::new();
        if let Some(stdin) = &self.stdin {
            fds.push(PollFd::new(stdin.as_fd(), input));
        }
        let own = fds.len();
        if let Some(signals) = &self.signals {
            fds.push(PollFd::new(signals.as_fd(), input));
        }
        let mut others = wants.to_vec();
        others.extend(self.mcp.iter().flat_map(Client::wants));
        others.extend(self.background.iter().flat_map(Job::wants));
        others.extend(self.notices.iter().flat_map(Job::wants));
        fds.extend(others.iter().map(|(fd, flags)| PollFd::new(*fd, *flags)));
        // Rounded up, so that a deadline has passed when the wait for it is over.
        let left = left.saturating_add(Duration::from_micros(999));
        let timeout = if left >= Duration::from_hours(24) {
            PollTimeout::NONE
        } else {
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        };
        // In unit tests another thread takes SIGCHLD.
        let timeout = if cfg!(test) {
            PollTimeout::from(10_u8)
        } else {
            timeout
        };
        let ready = poll(&mut fds, timeout).is_ok_and(|n| n > 0);
        let stdin = ready
            && fds[..own]
                .iter()
                .any(|fd| fd.revents().is_some_and(|flags| !flags.is_empty()));
        (ready, stdin)
    }

    fn read_stdin(&mut self) {
        let mut buffer = [0; 16 << 10];
        let read = self
            .stdin
            .as_mut()
            .map_or(Ok(0), |stdin| stdin.read(&mut buffer));
        match read {
            Ok(n) if n > 0 => {
                self.parser.feed(&buffer[..n], &mut self.keys);
                self.escape = Deadline::after(ESC_SILENCE);
                if self.mode == Mode::Starting && self.keys.contains(&Key::CtrlC) {
                    self.ending = Some(Ending::BY_PERSON);
                }
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => {
                self.stdin = None;
                if self.terminal {
                    self.ending.get_or_insert(Ending::by_signal(Signal::SIGHUP));
                }
            }
        }
    }

    fn read_signals(&mut self) {
        while let Some(info) = self
            .signals
            .as_ref()
            .and_then(|signals| signals.read_signal().ok().flatten())
        {
            let number = i32::try_from(info.ssi_signo).unwrap_or(0);
            match Signal::try_from(number) {
                Ok(Signal::SIGWINCH) if self.terminal => self.screen.measure(),
                Ok(Signal::SIGCHLD | Signal::SIGWINCH) | Err(_) => {}
                Ok(signal) => {
                    self.ending.get_or_insert(Ending::by_signal(signal));
                }
            }
        }
    }
}
