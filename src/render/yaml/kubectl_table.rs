//! A table of awkward YAML (`tests/fixtures/yaml/kubectl.jsonl`): what kubectl makes of each row, and what we do.
//!
//! A row has `yaml`, and in `kubectl` what `kubectl label --local -f - -o json` gives for it without the label,
//! `apiVersion`, `kind` and `metadata`: that command decodes as `kubectl apply` does (`sigs.k8s.io/yaml`, then
//! unstructured JSON), keeps unknown kinds and types, and needs no server. `"error"` stands for a refusal. A row in
//! which we differ has `ours` and `why`; there is no other difference.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{YamlLimits, documents};
use crate::render::fuzz_entry::same;

struct Row {
    yaml: String,
    kubectl: Value,
    /// What kubectl says at other times.
    or: Option<Value>,
    ours: Option<Value>,
    why: Option<String>,
}

fn table() -> Vec<Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/yaml/kubectl.jsonl");
    let text = std::fs::read_to_string(path).expect("the table");
    text.lines()
        .map(|line| {
            let mut row: Value = serde_json::from_str(line).expect(line);
            Row {
                yaml: row["yaml"].as_str().expect("yaml").to_owned(),
                kubectl: row["kubectl"].take(),
                or: row.get_mut("or").map(Value::take),
                ours: row.get_mut("ours").map(Value::take),
                why: row["why"].as_str().map(str::to_owned),
            }
        })
        .collect()
}

fn without_head(mut object: Value) -> Value {
    if let Some(members) = object.as_object_mut() {
        for head in ["apiVersion", "kind", "metadata"] {
            members.remove(head);
        }
    }
    object
}

fn ours(yaml: &str) -> Value {
    match documents(yaml.as_bytes(), &YamlLimits::default()) {
        Ok(all) => match all.as_slice() {
            [one] => without_head(one.to_json()),
            _ => Value::from("not one document"),
        },
        Err(_) => Value::from("error"),
    }
}

#[test]
fn awkward_yaml_is_read_as_the_table_says() {
    let table = table();
    assert!(table.len() >= 250, "{}", table.len());
    let mut wrong = Vec::new();
    for row in &table {
        let wanted = row.ours.as_ref().unwrap_or(&row.kubectl);
        let found = ours(&row.yaml);
        if !same(&found, wanted) {
            wrong.push(format!("{:?}: {found}, wanted {wanted}", row.yaml));
        }
        assert_eq!(row.ours.is_some(), row.why.is_some(), "{:?}", row.yaml);
        if let Some(ours) = &row.ours {
            assert!(!same(ours, &row.kubectl), "{:?}: no difference", row.yaml);
        }
    }
    assert!(wrong.is_empty(), "{} rows\n{}", wrong.len(), wrong.join("\n"));
}

/// The committed column `kubectl` against the real one, when `BIVOUAC_TEST_KUBECTL` names it.
#[test]
fn the_table_says_what_kubectl_does() {
    #[expect(clippy::disallowed_methods, reason = "only this test's switch, not a setting")]
    let Some(kubectl) = std::env::var("BIVOUAC_TEST_KUBECTL").ok().map(PathBuf::from) else {
        return;
    };
    for row in table() {
        let real = real(&kubectl, &row.yaml);
        let known = std::iter::once(&row.kubectl).chain(&row.or);
        assert!(known.into_iter().any(|known| same(&real, known)), "{:?}: {real}", row.yaml);
    }
}

fn real(kubectl: &Path, yaml: &str) -> Value {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let mut child = Command::new(kubectl)
        .args(["label", "--local", "-f", "-", "table=row", "-o", "json"])
        .env("KUBECONFIG", "/nonexistent")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("kubectl starts");
    child.stdin.take().expect("piped").write_all(yaml.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("kubectl ends");
    if !output.status.success() {
        return Value::from("error");
    }
    without_head(serde_json::from_slice(&output.stdout).expect("JSON"))
}
