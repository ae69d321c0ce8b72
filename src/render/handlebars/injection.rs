//! PURE · a value may fill a place in a YAML template, but never change what the template says.
//!
//! A value that could mean something to YAML (a parameter `x: y`, a line break, a quote) is put into a second text, the
//! shadow, as a plain word of our own. Both texts are read; they must be the same documents but for that word. So
//! `"{{params.motto}}"` may hold `Hello, world: #1`, and a value that closes the quotes is refused, whatever it closes
//! them with: nothing here has to know YAML's rules for quoting.

use serde_json::Value;

use super::{Filled, Problem, wrong};
use crate::domain::document::{Node, NodeValue, Position};
use crate::render::yaml::{self, YamlLimits};

const WORD: &str = "bivouacprobe";
const END: char = 'q';

/// The words, each with the value it stands for.
#[derive(Default)]
pub(super) struct Probes {
    all: Vec<Probe>,
}

struct Probe {
    value: String,
    /// The variable, for people.
    name: String,
}

impl Probes {
    /// A word that stands for `value`.
    pub(super) fn word(&mut self, value: &str, name: &str) -> String {
        let known = self.all.iter().rev().take(64).position(|p| p.value == value && p.name == name);
        let index = known.map_or(self.all.len(), |from_end| self.all.len() - 1 - from_end);
        if index == self.all.len() {
            self.all.push(Probe { value: value.to_owned(), name: name.to_owned() });
        }
        format!("{WORD}{index}{END}")
    }

    /// `text` with the values in the place of their words, and the variable of the last of them.
    fn restore(&self, text: &str) -> (String, Option<&str>) {
        let mut out = String::new();
        let mut name = None;
        let mut rest = text;
        while let Some(at) = rest.find(WORD) {
            let (before, word) = rest.split_at(at);
            out.push_str(before);
            let digits = word.get(WORD.len()..).unwrap_or_default();
            let probe = digits.split_once(END).and_then(|(index, after)| {
                Some((self.all.get(index.parse::<usize>().ok()?)?, after))
            });
            rest = if let Some((probe, after)) = probe {
                out.push_str(&probe.value);
                name = Some(probe.name.as_str());
                after
            } else {
                out.push_str(WORD);
                digits
            };
        }
        out.push_str(rest);
        (out, name)
    }
}

/// `text` means the same wherever it stands in a YAML text: between quotes, without, in a block, in a list in brackets.
pub(super) fn is_plain(text: &str) -> bool {
    let mut chars = text.chars();
    let starts = match (chars.next(), chars.next()) {
        (Some('-' | '+' | '.'), Some(second)) => second.is_alphanumeric(),
        (Some(first), _) => first.is_alphanumeric() || matches!(first, '/' | '_'),
        (None, _) => false,
    };
    starts
        && !text.ends_with([':', ' '])
        && !text.contains(": ")
        && text.chars().all(|c| c.is_alphanumeric() || "-._/:+=@ ".contains(c))
}

/// Refuses a text whose values say more than their words in `shadow` do.
pub(super) fn check(filled: &Filled, shadow: &str, probes: &Probes, limit: usize) -> Problem<()> {
    let limits = YamlLimits::of_file(limit);
    let wanted = yaml::documents(shadow.as_bytes(), &limits);
    let found = yaml::documents(filled.text.as_bytes(), &limits);
    let last = || probes.all.last().map(|probe| probe.name.as_str());
    let (found, wanted) = match (found, wanted) {
        (Ok(found), Ok(wanted)) => (found, wanted),
        // Values broke the YAML, or mended what the template broke.
        (Err(problem), Ok(_)) | (Ok(_), Err(problem)) => {
            return refused(filled, problem.position, last());
        }
        // A template that is wrong whatever the values are is the reader's to explain.
        (Err(_), Err(_)) => return Ok(()),
    };
    for (found, wanted) in found.iter().zip(&wanted) {
        if let Err(Differs { at, name }) = same(found, wanted, probes) {
            return refused(filled, at, name.or_else(last));
        }
    }
    if found.len() == wanted.len() {
        return Ok(());
    }
    let extra = found.get(wanted.len()).or(found.last()).map(|node| node.position);
    refused(filled, extra.unwrap_or_default(), last())
}

fn refused(filled: &Filled, at: Position, name: Option<&str>) -> Problem<()> {
    let name = name.unwrap_or("a parameter");
    let message = format!(
        "the value of {name} would change the meaning of this YAML; write {{{{quote {name}}}}}, without quotes around \
         it"
    );
    wrong(filled.place(at), message)
}

struct Differs<'p> {
    at: Position,
    name: Option<&'p str>,
}

fn same<'p>(found: &Node, wanted: &Node, probes: &'p Probes) -> Result<(), Differs<'p>> {
    let at = found.position;
    match (&found.value, &wanted.value) {
        (NodeValue::Sequence(a), NodeValue::Sequence(b)) if a.len() == b.len() => {
            a.iter().zip(b).try_for_each(|(found, wanted)| same(found, wanted, probes))
        }
        (NodeValue::Mapping(a), NodeValue::Mapping(b)) => {
            for ((key, found), (wanted_key, wanted)) in a.iter().zip(b) {
                same_text(&key.name, &wanted_key.name, key.position, probes)?;
                same(found, wanted, probes)?;
            }
            let extra = a.get(b.len()).map(|(key, _)| key.position);
            if a.len() == b.len() {
                return Ok(());
            }
            Err(Differs { at: extra.unwrap_or(at), name: None })
        }
        (NodeValue::Scalar(a), NodeValue::Scalar(b)) => {
            same_text(&scalar_text(a), &scalar_text(b), at, probes)
        }
        (_, NodeValue::Scalar(Value::String(text))) => {
            Err(Differs { at, name: probes.restore(text).1 })
        }
        _ => Err(Differs { at, name: None }),
    }
}

/// White space may differ: a value of several lines is folded in one place and indented in another.
fn same_text<'p>(
    found: &str,
    wanted: &str,
    at: Position,
    probes: &'p Probes,
) -> Result<(), Differs<'p>> {
    let (wanted, name) = probes.restore(wanted);
    let solid = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    if found == wanted || solid(found) == solid(&wanted) {
        return Ok(());
    }
    Err(Differs { at, name })
}

fn scalar_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
