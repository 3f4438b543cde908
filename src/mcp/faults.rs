//! What a tool that did not work says to the model: a sentence, and always what to do next.

use super::arguments;
use super::tool::{ToolDef, ToolResult};
use crate::domain::text::one_line;
use crate::error::{Failure, Kind};

/// The result of a call of `name`, one of `tools`, that failed.
pub(super) fn told(failure: &Failure, name: &str, tools: &[ToolDef]) -> ToolResult {
    let tool = tools.iter().find(|tool| tool.name == name);
    let hint = match (failure.hints(), failure.kind(), tool) {
        ([], Kind::Usage, Some(tool)) => arguments::taken(tool),
        ([], kind, _) => otherwise(kind).to_owned(),
        (hints, ..) => hints.join("; "),
    };
    ToolResult::Error {
        message: one_line(failure.message()),
        hint,
    }
}

/// What to do about a failure that says nothing of it itself.
const fn otherwise(kind: Kind) -> &'static str {
    match kind {
        Kind::NotFound => "list_terminals, read_inbox and find_profiles name what there is for you",
        Kind::Refused => "do without it, or ask the person with ask_human",
        Kind::TimedOut => "the same call again waits on",
        Kind::Usage | Kind::Failed | Kind::TmuxUnavailable | Kind::StateUnusable => {
            "try once more; if that fails too, tell the person that `conductor-hook doctor` says what is wrong"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::definitions::definitions;

    fn hint(failure: &Failure) -> String {
        match told(failure, "wait", &definitions()) {
            ToolResult::Error { message, hint } => {
                assert_eq!(message, "no");
                hint
            }
            ToolResult::Ok(value) => panic!("{value}"),
        }
    }

    #[test]
    fn every_failure_comes_with_a_hint() {
        for kind in [
            Kind::Failed,
            Kind::NotFound,
            Kind::Refused,
            Kind::TimedOut,
            Kind::TmuxUnavailable,
            Kind::StateUnusable,
        ] {
            assert_eq!(hint(&Failure::new(kind, "no")), otherwise(kind));
        }
        assert_eq!(
            hint(&Failure::usage("no")),
            "`wait` takes `terminal_ids`, and optionally `for`, `any`, `timeout`."
        );
        assert_eq!(hint(&Failure::usage("no").hint("a").hint("b")), "a; b");
    }
}
