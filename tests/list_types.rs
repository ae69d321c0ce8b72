//! `list_types.json` says how each list of a built-in kind merges. It is extracted from the `DeepMerge` code of the
//! `k8s-openapi` crate: this test does it again and compares. `BIVOUAC_REGENERATE=1` writes the file.

#![expect(clippy::print_stderr, reason = "a skipped test says why")]
#![expect(clippy::unwrap_used, reason = "helpers of a test: a source that can't be read fails it")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

const FILE: &str = "src/sandbox/cluster/api/schema/list_types.json";

type Table = BTreeMap<String, BTreeMap<String, Value>>;

#[test]
fn the_table_of_list_types_is_what_the_crate_says() {
    let Some(sources) = sources() else {
        eprintln!("skipped: the sources of k8s-openapi were not found by `cargo metadata`");
        return;
    };
    let mut table = Table::new();
    visit(&sources.join("src/v1_37"), &mut table);
    assert!(table.len() > 150, "only {} types found: has the crate's layout changed?", table.len());
    let text = serde_json::to_string_pretty(&table).unwrap() + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    if std::env::var_os("BIVOUAC_REGENERATE").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == text, "{FILE} is out of date: run this test with BIVOUAC_REGENERATE=1");
}

fn sources() -> Option<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--offline"])
        // Crates of other platforms need not be there.
        .args(["--filter-platform", &host()?])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .ok()?;
    let metadata: Value = serde_json::from_slice(&output.stdout).ok()?;
    let package =
        metadata["packages"].as_array()?.iter().find(|package| package["name"] == "k8s-openapi")?;
    Some(Path::new(package["manifest_path"].as_str()?).parent()?.to_owned())
}

fn host() -> Option<String> {
    let output = Command::new("rustc").arg("-vV").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned)
}

fn visit(folder: &Path, table: &mut Table) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            visit(&path, table);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            read(&fs::read_to_string(&path).unwrap(), table);
        }
    }
}

/// Reads one file: the type's name, the JSON names of its fields, and the strategy of each list and map.
fn read(source: &str, table: &mut Table) {
    let Some(name) = between(source, "\n        \"io.k8s.", "\".into()") else { return };
    let mut json_names = BTreeMap::new();
    for line in source.lines() {
        if let Some((json, rust)) = line.split_once("\" => Field::Key_") {
            json_names.insert(rust.trim_end_matches(','), json.trim().trim_start_matches('"'));
        }
    }
    let lines: Vec<&str> = source.lines().collect();
    let mut fields = BTreeMap::new();
    for (number, line) in lines.iter().enumerate() {
        let Some((_, call)) = line.split_once("crate::merge_strategies::") else { continue };
        let Some((strategy, arguments)) = call.split_once('(') else { continue };
        let rest = format!("{arguments}{}", lines[number + 1..].join("\n"));
        let Some(field) = between(&rest, "&mut self.", ",") else { continue };
        let json = (*json_names.get(field).expect("every merged field is deserialized")).to_owned();
        let merge = match strategy {
            "list::atomic" => json!({ "type": "atomic" }),
            "list::set" => json!({ "type": "set" }),
            "map::atomic" => json!({ "type": "atomic-map" }),
            "list::map" => {
                let closures = between(&rest, "&[", "],").expect("a keyed list names its keys");
                let keys: Vec<String> = closures.split(", |lhs").filter_map(key).collect();
                json!({ "type": "map", "keys": keys })
            }
            _ => continue,
        };
        fields.insert(json, merge);
    }
    if !fields.is_empty() {
        table.insert(format!("io.k8s.{name}"), fields);
    }
}

/// `|lhs, rhs| lhs.container_port == rhs.container_port` compares `containerPort`.
fn key(closure: &str) -> Option<String> {
    let field = between(closure, "lhs.", " ==")?;
    Some(match field {
        "type_" => "type".to_owned(),
        "metadata.name" => "metadata.name".to_owned(),
        _ => {
            let mut words = field.split('_');
            let first = words.next()?.to_owned();
            words.fold(first, |name, word| match word {
                "id" => name + "ID",
                _ => name + &word[..1].to_uppercase() + &word[1..],
            })
        }
    })
}

fn between<'t>(text: &'t str, start: &str, end: &str) -> Option<&'t str> {
    let from = text.find(start)? + start.len();
    let length = text[from..].find(end)?;
    Some(&text[from..from + length])
}
