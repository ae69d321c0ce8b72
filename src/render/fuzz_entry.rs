//! PURE · what fuzzers and the replay of their corpus call: any bytes in, nothing out; a broken promise is a panic.
//!
//! The promises: nothing panics, time and memory are bounded, what is read and written again reads as the same, and no
//! value of a template changes the YAML around it.

use serde_json::{Value, json};

use super::handlebars::{self, Partials};
use super::yaml::{self, YamlLimits, emit};
use super::{RenderLimits, wanted};
use crate::domain::document::Node;
use crate::domain::file_tree::FileTree;
use crate::domain::preview_file::PREVIEW_FILE;

const LIMIT: usize = 1 << 16;
/// Between the parts of an input for [`template`].
const PART: u8 = 0;

/// A YAML file: what is read is written, and read again as the same.
pub fn yaml(bytes: &[u8]) {
    let limits = YamlLimits::of_file(LIMIT);
    let Ok(documents) = yaml::documents(bytes, &limits) else { return };
    for document in &documents {
        let value = document.to_json();
        let _ = document.positions();
        let written = emit::to_yaml(&value);
        let limits = YamlLimits { expanded_bytes: LIMIT * 16, ..YamlLimits::of_file(LIMIT * 64) };
        let again = match yaml::documents(written.as_bytes(), &limits) {
            Ok(again) => again.iter().map(Node::to_json).collect::<Vec<_>>(),
            Err(problem) => {
                broken(&format!("what was written can't be read: {problem:?}\n{written}"))
            }
        };
        let same = match again.as_slice() {
            [] => value.is_null(),
            [one] => same(one, &value),
            _ => false,
        };
        if !same {
            broken(&format!("written {value} and read {again:?}"));
        }
    }
}

/// 1.0 and 1 are one number: JSON's reader decides which it is.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((x, a), (y, b))| x == y && same(a, b))
        }
        _ => a == b,
    }
}

/// A preview file: read or refused, and what it wants is a list of paths inside the repository.
pub fn preview_file(bytes: &[u8]) {
    let tree: FileTree = [(PREVIEW_FILE, bytes)].into_iter().collect();
    if let crate::domain::file_tree::Wanted::All(paths) = wanted(&tree) {
        for path in paths {
            if path.starts_with('/') || path.split('/').any(|part| part == "..") {
                broken(&format!("{path:?} leaves the repository"));
            }
        }
    }
    let _ = super::plan(&tree, RenderLimits::default());
}

/// A template, a parameter's value and a partial, with zero bytes between them.
///
/// # Panics
///
/// When a promise is broken.
pub fn template(bytes: &[u8]) {
    let mut parts = bytes.splitn(3, |byte| *byte == PART);
    let text = parts.next().unwrap_or_default();
    let value = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let partial = parts.next().unwrap_or_default();
    let partials = Partials::of([("k8s/_part.hbs", partial)]);
    let context = |value: &str| {
        json!({
            "env": {"name": "shop-pr-7", "host": "shop-pr-7.example.com"},
            "pr": {"number": 7},
            "commit": {"sha": "0123e456", "short": "123e456"},
            "params": {"x": value, "count": 3, "on": true},
            "list": [value, "a"],
        })
    };
    if let Ok(text) = std::str::from_utf8(text) {
        let _ = handlebars::fill_value(text, &context(&value), LIMIT, &partials);
    }
    let filled = handlebars::fill(text, &context(&value), LIMIT, &partials);
    let Ok(filled) = filled else { return };
    if filled.text.len() > LIMIT {
        broken("more came out than the limit allows");
    }
    match handlebars::fill(text, &context(&value), LIMIT, &partials) {
        Ok(again) if again == filled => {}
        _ => broken("the same template gave something else"),
    }
    let lines = text.split(|byte| matches!(*byte, b'\n' | b'\r')).count();
    let limits = YamlLimits::of_file(LIMIT);
    for finding in yaml::unquoted(&filled, &limits) {
        if finding.position.line == 0 || finding.position.line > lines {
            broken(&format!("{:?} is no line of the template", finding.position));
        }
    }
    let Ok(documents) = yaml::filled_documents(&filled, &limits) else { return };
    for (pointer, position) in documents.iter().flat_map(|node| node.positions().all()) {
        if position.line == 0 || position.line > lines {
            broken(&format!("{pointer} at {position} is no line of the template"));
        }
    }
    let text = String::from_utf8_lossy(text);
    let plain = !text.contains("{{#") && !text.contains('(') && partial.is_empty();
    // Without blocks and formulas a value can't decide which text is put out: then keys must not depend on it.
    if plain
        && let Ok(with_word) = handlebars::fill(text.as_bytes(), &context("word"), LIMIT, &partials)
    {
        let Ok(others) = yaml::documents(with_word.text.as_bytes(), &limits) else { return };
        if documents.len() != others.len() && !value.is_empty() {
            broken("a value added or hid a document");
        }
    }
}

#[expect(clippy::panic, reason = "a panic is how a harness learns of a finding")]
fn broken(what: &str) -> ! {
    panic!("{what}")
}
