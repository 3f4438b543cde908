//! Which variables may be set for an agent.

use crate::domain::text::one_line;
use crate::error::{Failure, Result};
use crate::paths;

/// Refuses variables that would change what runs, or who the agent is.
pub(super) fn check_env(key: &str, value: &str) -> Result<()> {
    let name = !key.is_empty()
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !key.as_bytes()[0].is_ascii_digit();
    if !name || value.contains('\0') {
        return Err(Failure::usage(format!(
            "{:?} is not an environment variable",
            one_line(key)
        ))
        .hint("a name is made of letters, digits and _, and begins with no digit"));
    }
    let reserved = [
        paths::name::HOME,
        paths::name::TERMINAL_ID,
        paths::name::SESSION,
        paths::name::HOOK,
        paths::name::TMUX_SOCKET,
        paths::name::SETUP,
        // Where agents look for what we give them.
        "GEMINI_CLI_HOME",
        "npm_config_offline",
    ];
    let prefixes = ["LD_", "DYLD_", "TMUX", "OPENCODE_"];
    if reserved.contains(&key)
        || prefixes.iter().any(|prefix| key.starts_with(prefix))
        || ["BASH_ENV", "ENV", "PROMPT_COMMAND"].contains(&key)
    {
        return Err(Failure::refused(format!(
            "the environment variable {key} may not be set for an agent"
        ))
        .hint("leave it away: it would change what runs, or who the agent is"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_change_what_runs_are_refused() {
        for key in [
            "LD_PRELOAD",
            "TMUX",
            "CONDUCTOR_TERMINAL_ID",
            "BASH_ENV",
            "CONDUCTOR_SETUP",
            "OPENCODE_CONFIG_CONTENT",
            "GEMINI_CLI_HOME",
            "",
            "A B",
            "1X",
        ] {
            assert!(check_env(key, "x").is_err(), "{key:?}");
        }
        for key in ["CONDUCTOR_DEMO_LOG", "ANTHROPIC_BASE_URL", "_X"] {
            assert!(check_env(key, "x").is_ok(), "{key:?}");
        }
    }
}
