//! What a prompt asks the demo agent to do: one directive a line.

use jiff::Timestamp;
use serde_json::{Map, Value};
use std::time::Duration;

/// The most lines that one `STREAM` says.
const LONGEST_STREAM: u32 = 1_000_000;

/// One line of a prompt.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Directive {
    /// Say this.
    Say(String),
    /// Run a command through the gate.
    Run(String),
    /// Call an MCP tool.
    Mcp(String, Map<String, Value>),
    /// An MCP call whose arguments are no JSON object.
    BadMcp(String),
    /// Work for a while.
    Sleep(Duration),
    /// Ask the person.
    Dialog(String),
    /// Say this many lines.
    Stream(u32),
    /// Report a usage limit until then.
    Limit(Timestamp),
    /// Fail the turn.
    Error(String),
    /// End the program.
    Exit(u8),
    /// Kill the program.
    Crash,
    /// Say nothing.
    Blank,
}

/// Reads one line; whatever is no well-formed directive is echoed.
pub(super) fn parse(line: &str) -> Directive {
    if line.trim().is_empty() {
        return Directive::Blank;
    }
    let (word, rest) = line.split_once(' ').unwrap_or((line.trim_end(), ""));
    let arg = rest.trim();
    let directive = match word {
        "SAY" => Some(Directive::Say(rest.to_owned())),
        "RUN" => (!arg.is_empty()).then(|| Directive::Run(rest.to_owned())),
        "MCP" => mcp(arg),
        "SLEEP" => arg
            .parse::<f64>()
            .ok()
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .map(Directive::Sleep),
        "DIALOG" => Some(Directive::Dialog(rest.to_owned())),
        "STREAM" => arg
            .parse()
            .ok()
            .filter(|n| *n <= LONGEST_STREAM)
            .map(Directive::Stream),
        "LIMIT" => arg.parse().ok().map(Directive::Limit),
        "ERROR" => (!arg.is_empty()).then(|| Directive::Error(rest.to_owned())),
        "EXIT" if arg.is_empty() => Some(Directive::Exit(0)),
        "EXIT" => arg.parse().ok().map(Directive::Exit),
        "CRASH" if arg.is_empty() => Some(Directive::Crash),
        _ => None,
    };
    directive.unwrap_or_else(|| Directive::Say(format!("echo: {line}")))
}

fn mcp(arg: &str) -> Option<Directive> {
    let (tool, json) = arg.split_once(char::is_whitespace).unwrap_or((arg, "{}"));
    if tool.is_empty() {
        return None;
    }
    Some(match serde_json::from_str(json) {
        Ok(Value::Object(arguments)) => Directive::Mcp(tool.to_owned(), arguments),
        Ok(_) => Directive::BadMcp("the arguments are not a JSON object".into()),
        Err(error) => Directive::BadMcp(format!("the arguments are not JSON: {error}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_directive_is_read() {
        let cases = [
            ("SAY  two  spaces ", Directive::Say(" two  spaces ".into())),
            ("SAY", Directive::Say(String::new())),
            ("RUN echo 'a b'", Directive::Run("echo 'a b'".into())),
            ("SLEEP 0.5", Directive::Sleep(Duration::from_millis(500))),
            ("DIALOG sure?", Directive::Dialog("sure?".into())),
            ("STREAM 3", Directive::Stream(3)),
            ("ERROR bad luck", Directive::Error("bad luck".into())),
            ("EXIT", Directive::Exit(0)),
            ("EXIT 7", Directive::Exit(7)),
            ("CRASH", Directive::Crash),
            (" \t", Directive::Blank),
            ("", Directive::Blank),
            (
                "MCP list_terminals",
                Directive::Mcp("list_terminals".into(), Map::new()),
            ),
        ];
        for (line, directive) in cases {
            assert_eq!(parse(line), directive, "{line:?}");
        }
        assert!(matches!(
            parse("LIMIT 2030-01-02T03:04:05Z"),
            Directive::Limit(_)
        ));
        let Directive::Mcp(tool, arguments) = parse(r#"MCP send_message {"message": "a b"}"#)
        else {
            panic!("not an MCP call");
        };
        assert_eq!(
            (tool.as_str(), arguments["message"].as_str()),
            ("send_message", Some("a b"))
        );
        assert!(matches!(parse("MCP t [1]"), Directive::BadMcp(_)));
        assert!(matches!(parse("MCP t {"), Directive::BadMcp(_)));
    }

    #[test]
    fn what_is_no_directive_is_echoed() {
        for line in [
            "hello",
            " SAY x",
            "say x",
            "SAYS x",
            "RUN",
            "SLEEP",
            "SLEEP x",
            "SLEEP -1",
            "SLEEP inf",
            "STREAM x",
            "STREAM 1000001",
            "LIMIT soon",
            "EXIT x",
            "EXIT 256",
            "CRASH course",
            "ERROR",
            "MCP",
        ] {
            assert_eq!(
                parse(line),
                Directive::Say(format!("echo: {line}")),
                "{line:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_line_is_lost(line in "\\PC*") {
            if parse(&line) == Directive::Blank {
                prop_assert!(line.trim().is_empty());
            }
        }
    }
}
