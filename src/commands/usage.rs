//! What is wrong with a command line, in the form of every other error.

use crate::cli::Cli;
use crate::domain::text::one_line;
use crate::error::Failure;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory};
use std::ffi::OsString;

/// The parser's `error` about `arguments`, which include the program's name.
pub(super) fn failure(error: &clap::Error, arguments: &[OsString]) -> Failure {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand
    ) {
        let (path, _) = named(arguments);
        return Failure::usage("no command was given").hint(format!(
            "`conductor-hook{path} --help` lists the commands and flags"
        ));
    }
    // The parser's own form has the usage text between message and tip.
    let rendered = error.render().to_string();
    let mut lines = rendered
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    let mut message = lines
        .next()
        .unwrap_or("wrong usage")
        .trim_start_matches("error: ")
        .to_owned();
    let mut tip = joined(error, arguments);
    for line in lines {
        if let Some(text) = line.strip_prefix("tip: ") {
            tip.get_or_insert_with(|| text.to_owned());
        } else if line.starts_with("Usage:") {
            break;
        } else if message.ends_with(':') {
            message = format!("{message} {line}");
        }
    }
    Failure::usage(one_line(&message)).hint(
        tip.unwrap_or_else(|| "`conductor-hook --help` lists the commands and flags".to_owned()),
    )
}

/// How the value of an option is given that was taken for a flag, because it begins with a hyphen.
fn joined(error: &clap::Error, arguments: &[OsString]) -> Option<String> {
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let (_, command) = named(arguments);
    let takes_value = |word: &str| {
        command.get_arguments().any(|argument| {
            let long = argument
                .get_long()
                .is_some_and(|l| word == format!("--{l}"));
            let short = argument
                .get_short()
                .is_some_and(|s| word == format!("-{s}"));
            (long || short) && argument.get_action().takes_values()
        })
    };
    arguments.windows(2).find_map(|pair| {
        let (option, value) = (pair[0].to_str()?, pair[1].to_str()?);
        (value.starts_with(flag.as_str()) && takes_value(option)).then(|| {
            let value = one_line(value);
            let value = shell_words::quote(&value);
            format!("a value that begins with a hyphen is joined to its option: {option}={value}")
        })
    })
}

/// The command that `arguments` name: the words that name it, each with a space in front, and what it takes.
fn named(arguments: &[OsString]) -> (String, Command) {
    let mut command = Cli::command();
    command.build();
    let mut path = String::new();
    for word in arguments.iter().skip(1).filter_map(|word| word.to_str()) {
        if let Some(found) = command.find_subcommand(word) {
            path = format!("{path} {}", found.get_name());
            command = found.clone();
        }
    }
    (path, command)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &[&str]) -> (String, String) {
        let words: Vec<OsString> = std::iter::once(&"conductor-hook")
            .chain(line)
            .map(OsString::from)
            .collect();
        let error = Cli::command().try_get_matches_from(&words).unwrap_err();
        let failure = failure(&error, &words);
        (failure.message().to_owned(), failure.hints().join(" | "))
    }

    #[test]
    fn no_command_is_said_with_the_help_that_lists_them() {
        for (line, path) in [
            (&[][..], ""),
            (&["--json"], ""),
            (&["flow"], " flow"),
            (&["-L", "x", "note"], " note"),
        ] {
            let (message, hint) = said(line);
            assert_eq!(message, "no command was given", "{line:?}");
            let wanted = format!("`conductor-hook{path} --help` lists the commands and flags");
            assert_eq!(hint, wanted, "{line:?}");
        }
    }

    #[test]
    fn a_value_that_begins_with_a_hyphen_is_joined_to_its_option() {
        for (line, wanted) in [
            (&["launch", "--session", "-x"][..], "--session=-x"),
            (&["launch", "--session", "-xyz"], "--session=-xyz"),
            (&["launch", "--session", "- "], "--session='- '"),
            (&["launch", "-p", "--yes"], "-p=--yes"),
            (&["inbox", "--status", "-x"], "--status=-x"),
            (&["sessions", "-L", "-x"], "-L=-x"),
        ] {
            let (_, hint) = said(line);
            let wanted =
                format!("a value that begins with a hyphen is joined to its option: {wanted}");
            assert_eq!(hint, wanted, "{line:?}");
        }
        let (_, hint) = said(&["launch", "--attach", "-x"]);
        assert_eq!(hint, "to pass '-x' as a value, use '-- -x'");
    }
}
