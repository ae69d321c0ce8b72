//! PURE · findings as workflow commands of GitHub Actions, which become annotations of the lines they name.

use std::fmt::Write as _;

use super::{Finding, Severity};
use crate::domain::plain::is_odd;

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

/// The text of a command: as GitHub's toolkit escapes it, so that no text can begin a command of its own. What commands a
/// terminal or turns the order of what is read is U+FFFD.
fn data(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '%' => out.push_str("%25"),
            '\r' => out.push_str("%0D"),
            '\n' => out.push_str("%0A"),
            c if is_odd(c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A property of a command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
