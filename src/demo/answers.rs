//! What hooks answered, in Claude Code's dialect. Pure.

use super::job::{End, Outcome};
use serde_json::Value;

/// What the gate says about a tool call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Gate {
    /// Run it.
    Run,
    /// Ask the person, and say why.
    Ask(String),
    /// Do not run it.
    Deny(String),
}

/// What the prompt hooks said.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PromptAnswer {
    /// Why the prompt is not taken.
    pub(super) block: Option<String>,
    /// Text that is added to the turn.
    pub(super) contexts: Vec<String>,
}

/// The decision over all `PreToolUse` hooks: deny over ask over allow; no hook, no gate. What is no valid answer denies, or with
/// `fail_open` has no say.
pub(super) fn gate(outcomes: &[Outcome], fail_open: bool) -> Gate {
    let mut gate = Gate::Run;
    for outcome in outcomes {
        match one_gate(outcome) {
            Ok(Gate::Deny(reason)) => return Gate::Deny(reason),
            Ok(Gate::Ask(reason)) => gate = Gate::Ask(reason),
            Err(fault) if !fail_open => {
                return Gate::Deny(format!("no valid answer from the gate: {fault}"));
            }
            Ok(Gate::Run) | Err(_) => {}
        }
    }
    gate
}

fn one_gate(outcome: &Outcome) -> Result<Gate, String> {
    if outcome.end == End::Code(2) {
        return Ok(Gate::Deny(outcome.stderr.trim().to_owned()));
    }
    let answer = json(outcome)?;
    let specific = specific(&answer, "PreToolUse").ok_or("there is no PreToolUse part in it")?;
    let reason = text(specific, "permissionDecisionReason");
    match specific["permissionDecision"].as_str() {
        Some("allow") => Ok(Gate::Run),
        Some("deny") => Ok(Gate::Deny(reason)),
        Some("ask" | "defer") => Ok(Gate::Ask(reason)),
        _ => Err("there is no decision in it".into()),
    }
}

/// The decision of one `PermissionRequest` hook: `None` has no say, `Err` denies with this message.
pub(super) fn permission(outcome: &Outcome) -> Option<Result<(), String>> {
    if outcome.end == End::Code(2) {
        return Some(Err(outcome.stderr.trim().to_owned()));
    }
    let answer = json(outcome).ok()?;
    let decision = specific(&answer, "PermissionRequest")?.get("decision")?;
    match decision["behavior"].as_str() {
        Some("allow") => Some(Ok(())),
        Some("deny") => Some(Err(text(decision, "message"))),
        _ => None,
    }
}

/// What the `UserPromptSubmit` hooks said; what is no valid answer has no say.
pub(super) fn prompt(outcomes: &[Outcome]) -> PromptAnswer {
    let mut all = PromptAnswer::default();
    for outcome in outcomes {
        if let Some(reason) = block(outcome) {
            all.block.get_or_insert(reason);
        }
        let Ok(answer) = json(outcome) else {
            continue;
        };
        if let Some(context) =
            specific(&answer, "UserPromptSubmit").and_then(|s| s["additionalContext"].as_str())
            && !context.is_empty()
        {
            all.contexts.push(context.to_owned());
        }
    }
    all
}

/// The text with which the `Stop` hooks let the turn go on.
pub(super) fn stop(outcomes: &[Outcome]) -> Option<String> {
    outcomes.iter().find_map(block)
}

fn block(outcome: &Outcome) -> Option<String> {
    if outcome.end == End::Code(2) {
        return Some(outcome.stderr.trim_end().to_owned());
    }
    let answer = json(outcome).ok()?;
    (answer["decision"] == "block").then(|| text(&answer, "reason"))
}

fn json(outcome: &Outcome) -> Result<Value, String> {
    match outcome.end {
        End::Code(0) => {}
        End::Code(code) => return Err(format!("exit code {code}")),
        End::Signal(signal) => return Err(format!("killed by signal {signal}")),
        End::TimedOut => return Err("it took too long".into()),
        End::Cut => return Err("interrupted".into()),
        End::NotStarted => return Err(format!("it did not start: {}", outcome.stderr)),
    }
    if outcome.stdout.trim().is_empty() {
        return Err("the answer is empty".into());
    }
    serde_json::from_str(&outcome.stdout).map_err(|_| "the answer is not JSON".to_owned())
}

fn specific<'a>(answer: &'a Value, event: &str) -> Option<&'a Value> {
    answer
        .get("hookSpecificOutput")
        .filter(|specific| specific["hookEventName"] == event)
}

fn text(object: &Value, key: &str) -> String {
    object[key].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn said(stdout: &str) -> Outcome {
        ended(End::Code(0), stdout, "")
    }

    fn ended(end: End, stdout: &str, stderr: &str) -> Outcome {
        Outcome {
            end,
            stdout: stdout.into(),
            stderr: stderr.into(),
        }
    }

    fn decision(word: &str) -> Outcome {
        said(&format!(
            r#"{{"hookSpecificOutput":{{"hookEventName":"PreToolUse","permissionDecision":"{word}","permissionDecisionReason":"why"}}}}"#
        ))
    }

    #[test]
    fn valid_answers_decide() {
        assert_eq!(gate(&[], false), Gate::Run);
        assert_eq!(gate(&[decision("allow")], false), Gate::Run);
        assert_eq!(gate(&[decision("ask")], false), Gate::Ask("why".into()));
        assert_eq!(gate(&[decision("defer")], false), Gate::Ask("why".into()));
        for outcomes in [
            vec![decision("allow"), decision("deny")],
            vec![decision("ask"), decision("deny"), decision("allow")],
            vec![ended(End::Code(2), "", "why\n")],
        ] {
            assert_eq!(gate(&outcomes, true), Gate::Deny("why".into()));
        }
    }

    #[test]
    fn no_valid_answer_denies_unless_told_otherwise() {
        let allow = decision("allow").stdout;
        for outcome in [
            said(""),
            said("garbage"),
            said("{}"),
            said(&allow[..allow.len() - 1]),
            said(&format!("{allow}{allow}")),
            decision("maybe"),
            said(&allow.replace("PreToolUse", "Stop")),
            ended(End::Code(1), &allow, ""),
            ended(End::Signal(9), &allow, ""),
            ended(End::TimedOut, &allow, ""),
            ended(End::Cut, &allow, ""),
            ended(End::NotStarted, &allow, ""),
        ] {
            assert!(
                matches!(gate(std::slice::from_ref(&outcome), false), Gate::Deny(_)),
                "{outcome:?}"
            );
            assert_eq!(gate(&[outcome], true), Gate::Run);
        }
    }

    #[test]
    fn prompt_and_stop_hooks_are_read() {
        let context = said(
            r#"{"hookSpecificOutput":{"hookEventName":"UserPromptSubmit","additionalContext":"more"}}"#,
        );
        let block = said(r#"{"decision":"block","reason":"no"}"#);
        assert_eq!(
            prompt(&[context.clone(), block.clone(), said("text")]),
            PromptAnswer {
                block: Some("no".into()),
                contexts: vec!["more".into()]
            }
        );
        assert_eq!(stop(&[context, block]), Some("no".into()));
        assert_eq!(
            stop(&[ended(End::Code(2), "", "go on\n")]),
            Some("go on".into())
        );
        assert_eq!(
            stop(&[said(""), said("{}"), ended(End::Code(1), "", "x")]),
            None
        );
    }

    #[test]
    fn permission_hooks_are_read() {
        let answer = |decision: &str| {
            permission(&said(&format!(
                r#"{{"hookSpecificOutput":{{"hookEventName":"PermissionRequest","decision":{decision}}}}}"#
            )))
        };
        assert_eq!(answer(r#"{"behavior":"allow"}"#), Some(Ok(())));
        assert_eq!(
            answer(r#"{"behavior":"deny","message":"no"}"#),
            Some(Err("no".into()))
        );
        assert_eq!(answer(r#"{"behavior":"perhaps"}"#), None);
        assert_eq!(permission(&said("")), None);
        assert_eq!(permission(&ended(End::Code(1), "", "")), None);
    }

    proptest! {
        #[test]
        fn noise_never_opens_the_gate(text in any::<String>()) {
            prop_assert!(matches!(gate(&[said(&text)], false), Gate::Deny(_)));
        }
    }
}
