//! The script of a flow: it says whether the flow runs, and fills its prompt. It is started without a shell, in a process group of its
//! own, with little of the environment, and ended when it takes or says too much.

use super::super::context::Context;
use super::file::Accepted;
use super::held;
use crate::domain::flow::Flow;
use crate::domain::text::one_line;
use crate::error::{Failure, Result};
use crate::paths;
use crate::proc::{self, End, Identity};
use jiff::Timestamp;
use serde_json::{Map, Value};
use std::process::Command;
use std::time::Duration;

/// How long a script may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Most that it may print, in bytes.
const MAX_OUTPUT: usize = 64 * 1024;

/// What of our environment a script gets.
const PASSED: [&str; 12] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
];

/// What a script says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    /// Run, with these values.
    Run(Map<String, Value>),
    /// Not now.
    Skip(String),
}

/// Asks the script of an accepted flow, and tells `started` its process; a flow without one always runs.
pub(super) fn ask(
    cx: &Context,
    flow: &Flow,
    due_at: Timestamp,
    accepted: &Accepted,
    started: impl FnOnce(Identity),
) -> Result<Answer> {
    let Some(script) = &flow.script else {
        return Ok(Answer::Run(Map::new()));
    };
    let limit = LIMIT.min(Duration::from_millis(flow.timeout_ms.unsigned_abs()));
    let mut held = held::ready((&cx.home, &cx.binary), script, &flow.cwd, accepted)?;
    surround(&mut held.command, flow, due_at);
    let said = proc::run_group(held.command, limit, MAX_OUTPUT, started).map_err(|e| {
        let shown = one_line(&script.program.to_string_lossy());
        Failure::failed(format!("its script {shown} could not be started: {e}"))
    })?;
    let failed = |why: String| Failure::failed(format!("its script {why}"));
    match said.end {
        End::TooSlow => Err(failed(format!(
            "took longer than {} s",
            limit.as_secs().max(1)
        ))),
        End::TooMuch => Err(failed(format!(
            "printed more than {} KiB",
            MAX_OUTPUT / 1024
        ))),
        End::Exited(status) if !status.success() => {
            let words = String::from_utf8_lossy(&said.err).into_owned();
            let last = words.lines().rfind(|line| !line.trim().is_empty());
            let last = last.map_or(String::new(), |line| {
                format!(
                    ": {}",
                    one_line(line.trim()).chars().take(300).collect::<String>()
                )
            });
            Err(failed(format!("failed, {status}{last}")))
        }
        End::Exited(_) => read(&said.out).map_err(failed),
    }
}

/// Gives a script its directory and its environment.
fn surround(command: &mut Command, flow: &Flow, due_at: Timestamp) {
    command
        .current_dir(&flow.cwd)
        .env_clear()
        .env("CONDUCTOR_FLOW", &flow.name)
        .env(paths::name::FLOW_DUE, due_at.to_string());
    if let Some(dir) = flow.path.parent() {
        command.env(paths::name::FLOW_DIR, dir);
    }
    for name in PASSED {
        if let Some(value) = paths::env_os(name) {
            command.env(name, value);
        }
    }
}

/// Reads `{"execute": bool, "output": {…}}`, with `reason` where somebody says why not.
fn read(bytes: &[u8]) -> std::result::Result<Answer, String> {
    let form = "must print {\"execute\": true or false, \"output\": {…}}";
    let value: Value = serde_json::from_slice(bytes).map_err(|e| format!("{form}: {e}"))?;
    let Value::Object(mut answer) = value else {
        return Err(format!("{form}, and printed something else"));
    };
    let output = match answer.remove("output") {
        Some(Value::Object(map)) => map,
        None | Some(Value::Null) => Map::new(),
        Some(_) => return Err(format!("{form}: output is not an object")),
    };
    match answer.get("execute") {
        Some(Value::Bool(true)) => Ok(Answer::Run(output)),
        Some(Value::Bool(false)) => {
            let reason = answer.get("reason").and_then(Value::as_str).map(one_line);
            Ok(Answer::Skip(reason.map_or_else(
                || "its script said no".to_owned(),
                |reason| {
                    format!(
                        "its script said no: {}",
                        reason.chars().take(300).collect::<String>()
                    )
                },
            )))
        }
        _ => Err(format!("{form}: execute is not there")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_answer_is_read_strictly() {
        let map = json!({"a": 1}).as_object().cloned().unwrap();
        assert_eq!(
            read(b"{\"execute\": true, \"output\": {\"a\": 1}}\n"),
            Ok(Answer::Run(map))
        );
        assert_eq!(read(b" {\"execute\":true}"), Ok(Answer::Run(Map::new())));
        assert_eq!(
            read(b"{\"execute\":false}"),
            Ok(Answer::Skip("its script said no".to_owned()))
        );
        assert_eq!(
            read(b"{\"execute\":false,\"reason\":\"all\\u001b done\"}"),
            Ok(Answer::Skip(
                "its script said no: all\u{27e8}U+001B\u{27e9} done".to_owned()
            ))
        );
        for bad in [
            "",
            "yes",
            "[]",
            "{}",
            "{\"execute\":\"true\"}",
            "{\"execute\":1}",
            "{\"execute\":true,\"output\":[]}",
            "{\"execute\":true} {}",
            "{\"execute\":true",
            "\u{feff}{\"execute\":true}",
        ] {
            assert!(read(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}
