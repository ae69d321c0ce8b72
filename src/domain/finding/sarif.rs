//! PURE · findings as SARIF 2.1.0, which code scanning and editors read.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::{BuildRule, Finding, Severity};

/// Where the pages of `docs/` can be read.
#[derive(Clone, Copy, Debug)]
pub struct Docs<'a> {
    /// URL that page and anchor are put behind, with `/` at its end; without one, rules name their page in words only,
    /// since SARIF wants absolute links.
    pub base: Option<&'a str>,
}

/// One run, with the rules that found something and their results. `revision`: the commit, when it is one.
#[must_use]
pub fn sarif(findings: &[Finding], version: &str, revision: Option<&str>, docs: Docs<'_>) -> Value {
    let mut rules: BTreeMap<&str, &Finding> = BTreeMap::new();
    for finding in findings {
        rules.entry(finding.rule).or_insert(finding);
    }
    let index: BTreeMap<&str, usize> =
        rules.keys().enumerate().map(|(index, rule)| (*rule, index)).collect();
    let mut driver = json!({
        "name": "bivouac",
        "semanticVersion": version,
        "rules": rules.values().map(|finding| rule(finding, docs)).collect::<Vec<_>>(),
    });
    if let (Some(base), Some(members)) = (docs.base, driver.as_object_mut()) {
        members.insert("informationUri".into(), base.into());
    }
    let mut run = json!({
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {
            "SRCROOT": {"description": {"text": "the root of the repository"}},
        },
        "results": findings.iter().map(|finding| result(finding, &index)).collect::<Vec<_>>(),
    });
    if let (Some(revision), Some(members)) = (revision, run.as_object_mut()) {
        // Where the commit stands in version control is not known offline, so it is a property and no
        // `versionControlProvenance`, which must have a URL.
        members.insert("properties".into(), json!({"revision": revision}));
    }
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [run],
    })
}

fn rule(finding: &Finding, docs: Docs<'_>) -> Value {
    let about = BuildRule::ALL.into_iter().find(|rule| rule.id() == finding.rule);
    let about =
        about.map_or_else(|| finding.name.replace('-', " "), |rule| rule.about().to_owned());
    let page = finding.page();
    let mut rule = json!({
        "id": finding.rule,
        "name": finding.name,
        "shortDescription": {"text": about},
        "help": {"text": format!("See docs/{page}")},
        "defaultConfiguration": {"level": level(finding.severity)},
    });
    if let (Some(base), Some(members)) = (docs.base, rule.as_object_mut()) {
        members.insert("helpUri".into(), format!("{base}{page}").into());
    }
    rule
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn result(finding: &Finding, index: &BTreeMap<&str, usize>) -> Value {
    let Finding { rule, name: _, severity, file, line, column, object, field, message, hint } =
        finding;
    let mut location = Map::new();
    if let Some(file) = file {
        let mut physical = json!({
            "artifactLocation": {"uri": uri(file), "uriBaseId": "SRCROOT"},
        });
        if let (Some(line), Some(members)) = (line, physical.as_object_mut()) {
            let mut region = json!({"startLine": line});
            if let (Some(column), Some(region)) = (column, region.as_object_mut()) {
                region.insert("startColumn".into(), (*column).into());
            }
            members.insert("region".into(), region);
        }
        location.insert("physicalLocation".into(), physical);
    }
    if let Some(object) = object {
        let full = format!("{object}{}", field.as_deref().unwrap_or_default());
        let logical = json!([{"name": object, "fullyQualifiedName": full, "kind": "object"}]);
        location.insert("logicalLocations".into(), logical);
    }
    let locations: Vec<Value> =
        if location.is_empty() { Vec::new() } else { vec![location.into()] };
    json!({
        "ruleId": rule,
        "ruleIndex": index.get(rule),
        "level": level(*severity),
        "message": {"text": format!("{message}\nWhat to do: {hint}")},
        "locations": locations,
    })
}

/// A path as a relative URI reference: what is not plain is written in per cent.
fn uri(path: &str) -> String {
    let mut out = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
