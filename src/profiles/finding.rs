//! What is wrong with a file that somebody wrote, and where.

use crate::error::Failure;
use std::fmt;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used; somebody should look.
    Warning,
}

/// One thing that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is, in one line.
    pub message: String,
    /// The line of the file, from 1.
    pub line: Option<usize>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Finding {
    /// Something that makes the file unusable.
    pub fn error(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            line: None,
            hint: None,
        }
    }

    /// Something that somebody should look at.
    pub fn warning(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(message)
        }
    }

    /// Says on which line.
    #[must_use]
    pub fn at(mut self, line: impl Into<Option<usize>>) -> Self {
        self.line = line.into();
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Whether the file cannot be used because of it.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// The failure that the errors among `findings` amount to: `WHAT: line 3: why`, and the other errors as hints. `None` without an error.
pub fn failure(what: impl fmt::Display, findings: &[Finding]) -> Option<Failure> {
    let mut errors = findings.iter().filter(|finding| finding.is_error());
    let first = errors.next()?;
    let mut failure = Failure::failed(first.to_string()).context(what);
    failure = failure.hint(match (&first.hint, first.line) {
        (Some(hint), _) => hint.clone(),
        (None, Some(_)) => "mend that line of the file, then try again".to_owned(),
        (None, None) => "mend the file, then try again".to_owned(),
    });
    for other in errors {
        failure = failure.hint(format!("also {other}"));
    }
    Some(failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_the_first_error_with_its_line_and_hint() {
        let findings = [
            Finding::warning("w"),
            Finding::error("bad").at(3).hint("mend it"),
            Finding::error("worse"),
        ];
        let failure = failure("read profile dev", &findings).unwrap();
        assert_eq!(failure.to_string(), "read profile dev: line 3: bad");
        assert_eq!(failure.hints(), ["mend it", "also worse"]);
        assert_eq!(super::failure("x", &findings[..1]), None);
    }
}
