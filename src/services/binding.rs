//! What an approval is bound to: exact input, directory, and the content of the files that the call would run.

use crate::domain::approval::{Binding, Script};
use crate::domain::audit;
use crate::domain::ids::TerminalId;
use crate::domain::terminal::Terminal;
use crate::fsx;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Largest file, in bytes, whose content an approval is bound to.
const MAX_SCRIPT: usize = 8 * 1024 * 1024;

/// Fields of a shell tool's input that change nothing about what is run, or with what rights.
const HARMLESS: [&str; 4] = ["command", "description", "timeout", "run_in_background"];

/// A call, bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// The directory without links.
    pub cwd: String,
    /// Over everything.
    pub digest: String,
    /// Over the command alone, where the tool carries nothing else that counts.
    pub text_digest: Option<String>,
    /// The files.
    pub scripts: Vec<Script>,
}

/// The tool's name as a call is bound to it: for a provider other than the terminal's own it holds that provider's, because one that reads
/// the same input differently shows a person another call. No tool's name has two lines.
pub fn tool<'a>(terminal: &Terminal, provider: &str, tool: &'a str) -> Cow<'a, str> {
    if provider == terminal.provider {
        Cow::Borrowed(tool)
    } else {
        Cow::Owned(format!("{provider}\n{tool}"))
    }
}

/// Binds a call to the state of the file system now.
pub fn bind(
    terminal: &TerminalId,
    tool: &str,
    input: &Value,
    command: Option<&str>,
    cwd: &Path,
    scripts: &[PathBuf],
) -> Bound {
    let real = std::fs::canonicalize(cwd).unwrap_or_else(|_| cwd.to_path_buf());
    let place = std::fs::metadata(&real).map_or((0, 0), |meta| (meta.dev(), meta.ino()));
    let cwd = real.to_string_lossy().into_owned();
    let scripts: Vec<Script> = scripts.iter().map(|path| pin(path)).collect();
    let binding = Binding {
        terminal,
        tool,
        input,
        cwd: &cwd,
        place,
        scripts: &scripts,
    };
    let digest = binding.digest();
    let plain = input
        .as_object()
        .is_none_or(|map| map.keys().all(|key| HARMLESS.contains(&key.as_str())));
    let text_digest = command.filter(|_| plain).map(|command| {
        let input = json!(command);
        Binding {
            tool: "shell",
            input: &input,
            ..binding
        }
        .digest()
    });
    Bound {
        cwd,
        digest,
        text_digest,
        scripts,
    }
}

fn pin(path: &Path) -> Script {
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    Script {
        sha256: fsx::read_file_limited(&real, MAX_SCRIPT)
            .ok()
            .map(|bytes| audit::digest(&bytes)),
        path: real.to_string_lossy().into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(input: &Value, cwd: &Path, scripts: &[PathBuf]) -> Bound {
        let id = TerminalId::parse("0123abcd").unwrap();
        bind(&id, "Bash", input, input["command"].as_str(), cwd, scripts)
    }

    #[test]
    fn an_edited_script_and_another_directory_of_the_same_name_are_not_what_was_approved() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("work");
        std::fs::create_dir(&place).unwrap();
        let script = place.join("a.sh");
        fsx::write_atomic(&script, b"echo 1").unwrap();
        let input = json!({"command": "sh a.sh"});
        let first = bound(&input, &place, std::slice::from_ref(&script));
        assert_eq!(first, bound(&input, &place, std::slice::from_ref(&script)));
        fsx::write_atomic(&script, b"echo 2").unwrap();
        let edited = bound(&input, &place, std::slice::from_ref(&script));
        assert_ne!(first.digest, edited.digest);
        assert_ne!(first.text_digest, edited.text_digest);
        std::fs::rename(&place, dir.path().join("old")).unwrap();
        std::fs::create_dir(&place).unwrap();
        fsx::write_atomic(&script, b"echo 1").unwrap();
        assert_ne!(
            bound(&input, &place, std::slice::from_ref(&script)).digest,
            first.digest
        );
        std::fs::remove_file(&script).unwrap();
        let missing = bound(&input, &place, std::slice::from_ref(&script));
        assert_eq!(missing.scripts[0].sha256, None);
    }

    #[test]
    fn a_command_that_carries_more_than_its_text_is_not_known_by_its_text() {
        let dir = tempfile::tempdir().unwrap();
        let plain = bound(
            &json!({"command": "ls", "description": "look"}),
            dir.path(),
            &[],
        );
        let other = bound(&json!({"command": "ls"}), dir.path(), &[]);
        assert_eq!(plain.text_digest, other.text_digest);
        assert_ne!(plain.digest, other.digest);
        let unboxed = json!({"command": "ls", "dangerouslyDisableSandbox": true});
        assert_eq!(bound(&unboxed, dir.path(), &[]).text_digest, None);
    }
}
