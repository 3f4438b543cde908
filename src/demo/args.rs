//! The demo agent's own flags: a subset of Claude Code's, so that a manifest can start it the same way.

use std::ffi::OsString;
use std::path::PathBuf;

/// What the command line asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// Settings file with hooks.
    pub(super) settings: Option<PathBuf>,
    /// File that names MCP servers.
    pub(super) mcp_config: Option<PathBuf>,
    /// File with the persona.
    pub(super) persona: Option<PathBuf>,
    /// Id of a new conversation.
    pub(super) session_id: Option<String>,
    /// Id of the conversation to go on with.
    pub(super) resume: Option<String>,
    /// Model name; shown only.
    pub(super) model: Option<String>,
    /// Permission mode; passed on to hooks.
    pub(super) permission_mode: Option<String>,
    /// Tools that need no question; accepted and not used.
    pub(super) allowed_tools: Option<String>,
    /// The first prompt.
    pub(super) prompt: Option<String>,
}

/// Reads the arguments behind argv[0]; the error is one line without a prefix.
pub(super) fn parse(args: &[OsString]) -> Result<Options, String> {
    let mut options = Options::default();
    let mut args = args.iter().map(|arg| {
        arg.to_str()
            .ok_or_else(|| format!("argument {} is not UTF-8", arg.display()))
    });
    while let Some(arg) = args.next().transpose()? {
        if arg == "--" {
            options.prompt = args.next().transpose()?.map(str::to_owned);
            if args.next().is_some() {
                return Err("one prompt at most may follow --".into());
            }
            break;
        }
        if !arg.starts_with('-') {
            if options.prompt.is_some() {
                return Err(format!("unexpected argument {arg:?}"));
            }
            options.prompt = Some(arg.to_owned());
            continue;
        }
        let (flag, mut inline) = arg
            .split_once('=')
            .map_or((arg, None), |(flag, value)| (flag, Some(value)));
        let mut value = || -> Result<String, String> {
            match inline.take() {
                Some(value) => Ok(value.to_owned()),
                None => args
                    .next()
                    .transpose()?
                    .map(str::to_owned)
                    .ok_or_else(|| format!("flag {flag} needs a value")),
            }
        };
        match flag {
            "--settings" => options.settings = Some(value()?.into()),
            "--mcp-config" => options.mcp_config = Some(value()?.into()),
            "--append-system-prompt-file" => options.persona = Some(value()?.into()),
            "--session-id" => options.session_id = Some(value()?),
            "--resume" => options.resume = Some(value()?),
            "--model" => options.model = Some(value()?),
            "--permission-mode" => options.permission_mode = Some(value()?),
            "--allowedTools" => options.allowed_tools = Some(value()?),
            _ => return Err(format!("unknown flag {flag}")),
        }
    }
    if options.session_id.is_some() && options.resume.is_some() {
        return Err("--session-id and --resume exclude each other".into());
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> Result<Options, String> {
        parse(&args.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn both_spellings_of_a_value_are_read() {
        let apart = read(&[
            "--settings",
            "a.json",
            "--model",
            "m",
            "--",
            "-first = prompt",
        ])
        .unwrap();
        let joined = read(&["--settings=a.json", "--model=m", "--", "-first = prompt"]).unwrap();
        assert_eq!(apart, joined);
        assert_eq!(apart.prompt.as_deref(), Some("-first = prompt"));
        assert_eq!(
            read(&["--allowedTools=a,b=c"])
                .unwrap()
                .allowed_tools
                .as_deref(),
            Some("a,b=c")
        );
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert_eq!(
            read(&["--nonsense"]).unwrap_err(),
            "unknown flag --nonsense"
        );
        assert_eq!(
            read(&["--model"]).unwrap_err(),
            "flag --model needs a value"
        );
        assert!(read(&["a", "b"]).is_err());
        assert!(read(&["--", "a", "b"]).is_err());
        assert!(read(&["--resume", "a", "--session-id", "b"]).is_err());
    }
}
