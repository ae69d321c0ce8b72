//! PURE · findings as text for people, one or two lines each.

use std::fmt::Write as _;

use super::{Finding, Severity};
use crate::domain::plain::plain;

/// One line for what is wrong and one for what to do. `colours`: with terminal escapes.
#[must_use]
pub fn text(findings: &[Finding], colours: bool) -> String {
    let mut out = String::new();
    for finding in findings {
        let Finding { rule, name, severity, object, message, hint, .. } = finding;
        let (on, off) = match (colours, severity) {
            (false, _) => ("", ""),
            (true, Severity::Error) => ("\x1b[1;31m", "\x1b[0m"),
            (true, Severity::Warning) => ("\x1b[1;33m", "\x1b[0m"),
        };
        let place = plain(&finding.place());
        let word = severity.word();
        let _ = write!(out, "{place}: {on}{word}{off} {rule} {name}: {}", plain(message));
        if let Some(object) = object {
            let _ = write!(out, " ({})", plain(object));
        }
        let _ = write!(out, "\n    {}\n", plain(hint));
    }
    out
}
