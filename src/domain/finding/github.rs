//! PURE · findings as workflow commands of GitHub Actions, which become annotations of the lines they name.

use std::fmt::Write as _;

use super::{Finding, Severity};

/// One command a finding, and one `notice` a note.
#[must_use]
pub fn github(findings: &[Finding], notes: &[String]) -> String {
    let mut out = String::new();
    for finding in findings {
        let Finding { rule, name, severity, file, line, column, message, hint, .. } = finding;
        let command = match severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let mut properties = Vec::new();
        if let Some(file) = file {
            properties.push(format!("file={}", property(file)));
        }
        if let Some(line) = line {
            properties.push(format!("line={line}"));
        }
        if let Some(column) = column {
            properties.push(format!("col={column}"));
        }
        properties.push(format!("title={}", property(&format!("{rule} {name}"))));
        let properties = properties.join(",");
        let _ = writeln!(out, "::{command} {properties}::{}", data(&format!("{message}\n{hint}")));
    }
    for note in notes {
        let _ = writeln!(out, "::notice title=bivouac::{}", data(note));
    }
    out
}

/// The text of a command: as GitHub's toolkit escapes it, so that no text can begin a command of its own.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property of a command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
