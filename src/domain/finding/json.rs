//! PURE · findings as one JSON document of a stable shape, described in `docs/cli.md`.

use serde_json::{Value, json};

use super::{Finding, count};

/// `{"version": 1, "summary": {…}, "findings": […], "notes": […]}`. A field that is not known is `null`, never left
/// out; new fields may come, those that are there keep their meaning.
#[must_use]
pub fn json(findings: &[Finding], notes: &[String], revision: Option<&str>) -> Value {
    let (errors, warnings) = count(findings);
    json!({
        "version": 1,
        "revision": revision,
        "summary": {"errors": errors, "warnings": warnings},
        "findings": findings.iter().map(entry).collect::<Vec<_>>(),
        "notes": notes,
    })
}

fn entry(finding: &Finding) -> Value {
    let Finding { rule, name, severity, file, line, column, object, field, message, hint } =
        finding;
    json!({
        "rule": rule,
        "name": name,
        "severity": severity.word(),
        "file": file,
        "line": line,
        "column": column,
        "object": object,
        "field": field,
        "message": message,
        "hint": hint,
        "page": finding.page(),
    })
}
