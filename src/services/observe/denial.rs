//! What a hook says where nobody decided: a no that names `doctor`, in words that the agent understands.

use super::gate;
use crate::paths::{self, Home};
use crate::providers::{Answer, Catalogue, Dialect, Verdict};
use std::io::Write;

/// The answer to hook `event` of a call that went wrong before its event was read, for the reason `why`. `None`: nobody of ours waits for one.
pub fn broken(
    home: Option<&Home>,
    provider: &str,
    event: &str,
    why: &str,
    output: &mut dyn Write,
) -> Option<u8> {
    let dialect = dialect_of(home, provider);
    let ours = waits(dialect, event) && (claimed().is_some() || in_pane_of_ours());
    ours.then(|| answer(output, &denial(dialect, event, why)))
}

/// How the hooks of `provider` speak.
pub(super) fn dialect_of(home: Option<&Home>, provider: &str) -> Dialect {
    Catalogue::built_in_dialect(provider)
        .or_else(|| {
            let manifest = Catalogue::of(home?).get(provider).ok()?;
            Some(manifest.dialect)
        })
        .unwrap_or(Dialect::None)
}

/// The terminal that the environment names, whatever it says.
pub(super) fn claimed() -> Option<String> {
    paths::env_os(paths::name::TERMINAL_ID).map(|id| id.to_string_lossy().into_owned())
}

/// Whether hook `event` waits for a decision; where the dialect is not known, in any.
pub(super) fn waits(dialect: Dialect, event: &str) -> bool {
    if dialect.speaks() {
        dialect.decides(event)
    } else {
        Dialect::any_decides(event)
    }
}

/// Why hooks of `provider` are denied.
pub(super) fn unknown(provider: &str) -> String {
    format!("no hooks of a provider {provider:?} are known")
}

/// A no that nobody decided.
pub(super) fn denial(dialect: Dialect, event: &str, why: &str) -> Answer {
    tracing::warn!(%why, event, "a hook denies");
    let closed = gate::closed(why);
    if dialect.speaks() {
        return dialect.decision(event, &Verdict::Deny(closed), None);
    }
    // In no dialect that is known: the exit code and the text on standard error are what all of them understand.
    Answer {
        err: format!("{closed}\n"),
        code: 2,
        ..Answer::default()
    }
}

/// Whether tmux says that the pane of this process is a terminal's: asked only where the state cannot be used, of an agent whose environment
/// does not name it.
pub(super) fn in_pane_of_ours() -> bool {
    let pane = paths::env("TMUX_PANE").and_then(|pane| crate::tmux::PaneId::parse(&pane));
    let (Some(pane), Ok(tmux)) = (pane, crate::tmux::locate(None, None)) else {
        return false;
    };
    tmux.display(Some(pane), "#{@conductor_id}")
        .is_ok_and(|id| !id.is_empty())
}

/// Gives an answer in one write; one that cannot be given blocks.
pub(super) fn print(output: &mut dyn Write, answer: &str) -> u8 {
    let written = output
        .write_all(answer.as_bytes())
        .and_then(|()| output.flush());
    if written.is_ok() { 0 } else { 2 }
}

/// Gives an answer; one that cannot be given blocks.
pub(super) fn answer(output: &mut dyn Write, answer: &Answer) -> u8 {
    if !answer.err.is_empty() {
        let _ = std::io::stderr().lock().write_all(answer.err.as_bytes());
    }
    match print(output, &answer.out) {
        0 => answer.code,
        broken => broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_waits_for_a_decision_is_denied_in_words_that_are_understood() {
        for (provider, event) in [
            ("claude_code", "PreToolUse"),
            ("codex", "PermissionRequest"),
            ("kiro_cli", "preToolUse"),
            ("generic", "PreToolUse"),
            ("nope", "BeforeTool"),
        ] {
            let dialect = dialect_of(None, provider);
            assert!(waits(dialect, event), "{provider}");
            let no = denial(dialect, event, "there is no home");
            let said = format!("{}{}", no.out, no.err);
            assert!(
                said.contains("doctor") && said.contains("no home"),
                "{no:?}"
            );
            assert!(no.out.contains("\"deny\"") || no.code == 2, "{no:?}");
        }
        assert!(!waits(Dialect::Claude, "Stop") && !waits(Dialect::None, "Stop"));
    }
}
