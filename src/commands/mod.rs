//! The front door for people and tmux: arguments to a service to a print.

mod agents;
mod approvals;
mod audit;
mod dashboard;
#[cfg(test)]
mod docs_tests;
mod flow;
mod generate;
mod inbox;
mod menus;
mod messages;
mod metrics;
mod notes;
mod output;
mod plugin;
mod policy;
mod popup;
mod profiles;
mod providers;
mod reader;
mod stage;
mod state;
mod talk;
mod usage;

use crate::cli::{self, ApprovalCommand, Cli, Command};
use crate::error::{Failure, Kind, Result};
use crate::paths::Home;
use crate::services::context::Context;
use crate::ui;
use clap::{CommandFactory, FromArgMatches};
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::mem::ManuallyDrop;

/// What a command needs to print its answer.
struct Door<'a> {
    cx: Context,
    json: bool,
    out: &'a mut dyn Write,
}

impl Door<'_> {
    /// Prints text for people or one JSON document, whichever was asked for.
    fn print<T: serde::Serialize>(
        &mut self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<()> {
        let text = if self.json {
            let mut json = serde_json::to_string(value)
                .map_err(|e| Failure::failed(format!("write JSON: {e}")))?;
            json.push('\n');
            json
        } else {
            text(value)
        };
        self.write(&text)
    }

    fn write(&mut self, text: &str) -> Result<()> {
        self.pass_on(text).map(drop)
    }

    /// As [`Self::write`]; `false` when nobody reads any more.
    fn pass_on(&mut self, text: &str) -> Result<bool> {
        let written = self
            .out
            .write_all(text.as_bytes())
            .and_then(|()| self.out.flush());
        match written {
            // A reader that went away (`| head`) is not a failure.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            other => other
                .map(|()| true)
                .map_err(|e| Failure::failed(format!("print: {e}"))),
        }
    }
}

/// Runs one call of the binary: `arguments` include the program's name. Returns the exit code.
pub fn run(arguments: &[OsString]) -> u8 {
    if let Some((provider, event)) = plain_hook(arguments) {
        return match Home::from_env() {
            Ok(home) => hook(&home, provider, event, &mut io::stdout()),
            Err(failure) => homeless(&failure, provider, event, &mut io::stdout()),
        };
    }
    // As the parser prints it, without building the tree of all commands.
    if let [_, word] = arguments
        && (word == "--version" || word == "-V")
    {
        let line = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"), "\n");
        let _ = io::stdout().lock().write_all(line.as_bytes());
        return 0;
    }
    let json = arguments.iter().any(|argument| argument == "--json");
    let cli = match plain_send(arguments).map_or_else(|| parse(arguments), Ok) {
        Ok(cli) => cli,
        Err(error) => {
            return denied_for(&error, arguments).unwrap_or_else(|| wrong(&error, arguments, json));
        }
    };
    // A text may be `--json` too; only the parser tells.
    let json = cli.json;
    let mut out = io::stdout();
    match dispatch(cli, &mut out) {
        Ok(code) => code,
        Err(failure) => {
            report(&failure, json);
            failure.kind().exit_code()
        }
    }
}

/// `hook PROVIDER EVENT` and nothing else: how agents call it, at each of their events. Building the tree of all commands would be a
/// quarter of the whole call; anything else, wrong usage too, is the parser's.
fn plain_hook(arguments: &[OsString]) -> Option<(&str, &str)> {
    let [_, command, provider, event] = arguments else {
        return None;
    };
    let provider = provider.to_str()?;
    let event = event.to_str()?;
    let plain = command == "hook" && !provider.starts_with('-') && !event.starts_with('-');
    plain.then_some((provider, event))
}

/// `send TERMINAL -m TEXT`, with or without `--json`: how agents and scripts talk. As above, what differs in anything is the parser's.
fn plain_send(arguments: &[OsString]) -> Option<Cli> {
    let (words, json) = match arguments {
        [_, words @ .., last] if last == "--json" => (words, true),
        [_, words @ ..] => (words, false),
        [] => return None,
    };
    let [command, terminal, flag, text] = words else {
        return None;
    };
    let (terminal, text) = (terminal.to_str()?, text.to_str()?);
    let plain = command == "send" && flag == "-m" && !terminal.starts_with('-');
    plain.then(|| Cli {
        socket_path: None,
        socket_name: None,
        home: None,
        json,
        command: Command::Send(cli::Send {
            terminal: terminal.to_owned(),
            message: Some(text.to_owned()),
            file: None,
            from: None,
            key: None,
            require_approval: false,
            wait: None,
            ttl: None,
        }),
    })
}

fn hook(home: &Home, provider: &str, event: &str, out: &mut dyn Write) -> u8 {
    // A hook never breaks its caller: whatever goes wrong is logged, and a decision is denied inside.
    crate::log::start(home);
    crate::services::observe::hook(home, provider, event, &mut io::stdin().lock(), out)
}

/// A hook without a state directory: the agents of ours that wait for a decision hear a no, all others nothing.
fn homeless(failure: &Failure, provider: &str, event: &str, out: &mut dyn Write) -> u8 {
    crate::services::observe::broken(None, provider, event, failure.message(), out).unwrap_or(0)
}

/// The answer to a decision hook of an agent of ours whose further arguments are wrong.
fn denied_for(error: &clap::Error, arguments: &[OsString]) -> Option<u8> {
    let [_, command, provider, event, ..] = arguments else {
        return None;
    };
    if command != "hook" || !error.use_stderr() {
        return None;
    }
    crate::services::observe::broken(
        Home::from_env().ok().as_ref(),
        provider.to_str()?,
        event.to_str()?,
        "its hook is called with arguments that are not known",
        &mut io::stdout(),
    )
}

fn parse(arguments: &[OsString]) -> std::result::Result<Cli, clap::Error> {
    // Not dropped: the process ends soon, and taking the tree of commands apart takes longer than reading the arguments.
    let mut command = ManuallyDrop::new(Cli::command());
    let mut matches = command.try_get_matches_from_mut(arguments)?;
    Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

fn wrong(error: &clap::Error, arguments: &[OsString], json: bool) -> u8 {
    if !error.use_stderr() {
        let _ = error.print();
        return 0;
    }
    report(&usage::failure(error, arguments), json);
    Kind::Usage.exit_code()
}

fn report(failure: &Failure, json: bool) {
    let text = if json {
        format!("{}\n", ui::json::error(failure))
    } else {
        let mut text = format!("{}: {}\n", program(), failure.message());
        for hint in failure.hints() {
            text.push_str("  hint: ");
            text.push_str(hint);
            text.push('\n');
        }
        text
    };
    // Services name commands by the binary's own name; a person types the one that they called.
    let text = text.replace("`conductor-hook ", &format!("`{} ", program()));
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Says what was done otherwise than somebody may think; nothing failed.
fn warn(warnings: &[String]) {
    for warning in warnings {
        let text = format!("{}: warning: {warning}\n", program())
            .replace("`conductor-hook ", &format!("`{} ", program()));
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }
}

/// The name that the binary was called by.
fn program() -> String {
    std::env::args_os()
        .next()
        .and_then(|name| {
            let name = std::path::PathBuf::from(name);
            name.file_name()
                .map(|name| crate::domain::text::one_line(&name.to_string_lossy()))
        })
        .unwrap_or_else(|| "conductor-hook".to_owned())
}

fn dispatch(cli: Cli, out: &mut dyn Write) -> Result<u8> {
    let home = match &cli.home {
        Some(dir) => Home::at(dir.clone()),
        None => Home::from_env(),
    };
    if let Command::Hook { provider, event } = &cli.command {
        return Ok(match home {
            Ok(home) => hook(&home, provider, event, out),
            Err(failure) => homeless(&failure, provider, event, out),
        });
    }
    let home = home?;
    crate::log::start(&home);
    let tmux = crate::tmux::locate(cli.socket_path.as_deref(), cli.socket_name.as_deref())?;
    let mut door = Door {
        cx: Context::new(home, tmux)?,
        json: cli.json,
        out,
    };
    if !cli.json && io::stderr().is_terminal() {
        crate::progress::want();
    }
    match cli.command {
        Command::Init => state::init(&mut door)?,
        Command::Clean(arguments) => state::clean(&mut door, &arguments)?,
        Command::Doctor(arguments) => return state::doctor(&mut door, arguments.fix),
        Command::Metrics => metrics::metrics(&mut door)?,
        Command::Recover(arguments) => return state::recover(&mut door, &arguments),
        Command::Launch(arguments) => agents::launch(&mut door, &arguments)?,
        Command::Worker(arguments) => agents::worker(&mut door, &arguments)?,
        Command::Adopt {
            pane,
            provider,
            role,
        } => agents::adopt(&mut door, &pane, &provider, &role)?,
        Command::Resume(arguments) => agents::resume(&mut door, &arguments)?,
        Command::Sessions { all } => agents::sessions(&mut door, all)?,
        Command::Session { name } => agents::session(&mut door, &name)?,
        Command::Dashboard { client } => dashboard::dashboard(&door, client.as_deref())?,
        Command::Status { terminal } => agents::status(&mut door, &terminal)?,
        Command::Explain { terminal } => agents::explain(&mut door, &terminal)?,
        Command::Attach { target } => agents::attach(&mut door, &target)?,
        Command::Close { terminal, force } => agents::close(&mut door, &terminal, force)?,
        Command::Shutdown(arguments) => agents::shutdown(&mut door, &arguments)?,
        Command::Send(arguments) => messages::send(&mut door, &arguments)?,
        Command::Broadcast(arguments) => messages::broadcast(&mut door, &arguments)?,
        Command::Inbox(arguments) => messages::inbox(&mut door, &arguments)?,
        Command::Notes(arguments) => notes::list(&mut door, &arguments)?,
        Command::Note { command } => notes::note(&mut door, &command)?,
        Command::Approvals { status, limit } => {
            approvals::list(&mut door, status.as_deref(), limit)?;
        }
        Command::Approval {
            command: ApprovalCommand::Show { id },
        } => approvals::show(&mut door, &id)?,
        Command::Approve { id, scope, reason } => {
            approvals::approve(&mut door, &id, scope, reason.as_deref())?;
        }
        Command::Deny { id, reason } => approvals::deny(&mut door, &id, reason.as_deref())?,
        Command::Wait(arguments) => output::wait(&mut door, &arguments)?,
        Command::Output { terminal, mode } => output::output(&mut door, &terminal, mode)?,
        Command::Logs {
            terminal,
            lines,
            follow,
        } => output::logs(&mut door, &terminal, lines, follow)?,
        Command::Profile { command } => profiles::profile(&mut door, &command)?,
        Command::Install {
            source,
            scope,
            name,
            force,
        } => profiles::install(&mut door, &source, scope, name.as_deref(), force)?,
        Command::Flow { command } => flow::flow(&mut door, &command)?,
        Command::Provider { command } => return providers::provider(&mut door, &command),
        Command::Policy { command } => return policy::policy(&mut door, &command),
        Command::Trust { dir, yes } => profiles::trust(&mut door, &dir, yes)?,
        Command::Untrust { dir } => profiles::untrust(&mut door, &dir)?,
        Command::Audit { command } => return audit::audit(&mut door, &command),
        Command::Generate { what } => generate::generate(&mut door, &what)?,
        Command::Plugin { command } => plugin::plugin(&mut door, &command)?,
        Command::Event { name, arguments } => plugin::event(&door, &name, &arguments)?,
        Command::Tick => plugin::tick(&door)?,
        Command::Menu { name, arguments } => menus::menu(&mut door, &name, &arguments)?,
        Command::Mcp => return Ok(crate::mcp::run(&door.cx)),
        Command::Exec { id } => {
            // The pane closes with it, so nobody may see the message there.
            let failure = crate::services::start::exec(&door.cx, &id);
            tracing::error!(terminal = %id, %failure, "start an agent");
            return Err(failure);
        }
        Command::RunScript(arguments) => {
            let cli::RunScript {
                parent,
                held,
                words,
            } = arguments;
            return Err(crate::services::flow::become_script(parent, held, &words));
        }
        Command::Hook { .. } => {}
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_may_begin_with_a_hyphen() {
        for command in [
            "send x -m",
            "send x --message",
            "send x -m y --key",
            "broadcast x -m",
            "note answer 1 -m",
            "approve 1 --reason",
            "deny 1 --reason",
            "launch --prompt",
            "worker x --prompt",
        ] {
            for text in ["- item one", "-5", "-", "--", "--json", "--help", "-x"] {
                let mut words = vec![OsString::from("conductor-hook")];
                words.extend(command.split(' ').map(OsString::from));
                words.push(text.into());
                let cli = parse(&words).unwrap_or_else(|e| panic!("{command} {text}: {e}"));
                let read = format!("{:?}", cli.command);
                assert!(
                    read.contains(&format!("Some({text:?})")) && !cli.json,
                    "{read}"
                );
            }
        }
    }

    #[test]
    fn a_plain_send_is_read_as_the_parser_reads_it() {
        let words = [
            "send",
            "3f2a",
            "-m",
            "",
            "-",
            "--",
            "--json",
            "-x",
            "hello you",
            "inbox",
            "%7",
        ];
        let mut plain = 0;
        let mut cases: Vec<Vec<&str>> = vec![vec![]];
        for _ in 0..5 {
            let longer: Vec<Vec<&str>> = cases
                .iter()
                .flat_map(|case| {
                    words
                        .iter()
                        .map(|word| case.iter().copied().chain([*word]).collect())
                })
                .collect();
            for case in &longer {
                let all: Vec<OsString> = ["conductor-hook"]
                    .iter()
                    .chain(case)
                    .map(OsString::from)
                    .collect();
                if let Some(quick) = plain_send(&all) {
                    plain += 1;
                    let parsed = parse(&all).unwrap_or_else(|error| panic!("{case:?}: {error}"));
                    assert_eq!(format!("{quick:?}"), format!("{parsed:?}"), "{case:?}");
                }
            }
            cases = longer;
            cases.retain(|case| {
                case[0] == "send" && case.iter().filter(|word| **word == "send").count() < 3
            });
        }
        assert!(plain > 50, "{plain}");
    }
}
