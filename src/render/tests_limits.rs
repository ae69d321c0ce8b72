//! `docs/limits.md` and the limits of the code are the same; `BIVOUAC_REGENERATE=1` writes the tables anew.

// What follows this mark may use what it likes (`tests/layering.rs`).
#[cfg(test)]
use std::fmt::Write as _;

use kube::CustomResourceExt as _;

use super::*;
use crate::crd::Repository;
use crate::domain::policy::SETTABLE_LIMITS;
use crate::domain::preview_file;
use crate::source::TreeLimits;

const BEGIN: &str = "<!-- table: ";
const END: &str = "<!-- end -->";

fn settable() -> String {
    let says = |name: &str| match name {
        "objects" => "more than 200 objects are rendered (limits.objects)",
        "files" => {
            "more than 1000 files (limits.files); render less, or ask the platform team to raise the limit"
        }
        "fileBytes" => "the file has more than 1048576 bytes (limits.fileBytes)",
        "treeBytes" => "more than 16777216 bytes in all files (limits.treeBytes); render less, …",
        "renderedBytes" => "more than 4194304 bytes are rendered (limits.renderedBytes)",
        "renderTime" => "names the program and the time",
        other => unreachable!("{other} has no sentence"),
    };
    let mut rows = String::from(
        "| field | default | most | when it is reached |\n| --- | --- | --- | --- |\n",
    );
    for limit in SETTABLE_LIMITS {
        let show = |number: u64| match limit.name {
            "renderTime" => format!("{number} s"),
            name if name.ends_with("Bytes") => format!("{} MiB", number >> 20),
            _ => number.to_string(),
        };
        let (name, default, most) = (limit.name, show(limit.default), show(limit.most));
        let _ = writeln!(rows, "| `{name}` | {default} | {most} | {} |", says(name));
    }
    rows
}

fn fixed() -> String {
    let YamlLimits { bytes, documents, nesting, values, aliases, expanded_bytes } =
        YamlLimits::default();
    let tree = TreeLimits::default();
    let limits = RenderLimits::default();
    let mut rows = String::from("| what | most |\n| --- | --- |\n");
    for (what, most) in [
        ("YAML documents in one file", documents.to_string()),
        ("mappings and lists within each other", nesting.to_string()),
        ("values and keys of one file, with its aliases followed", values.to_string()),
        ("aliases in one file", aliases.to_string()),
        (
            "bytes of one file with its aliases followed",
            format!("{} times `fileBytes`", expanded_bytes / bytes),
        ),
        ("directories within each other", tree.depth.to_string()),
        (
            "resident memory of one run of Helm or Kustomize",
            format!("{} MiB", limits.tool_memory >> 20),
        ),
    ] {
        let _ = writeln!(rows, "| {what} | {most} |");
    }
    rows
}

fn of_the_preview_file() -> String {
    let mut rows = String::from("| key | most |\n| --- | --- |\n");
    for (key, most, unit) in preview_file::LIMITS {
        let _ = writeln!(rows, "| `{key}` | {most} {unit} |");
    }
    rows
}

#[test]
fn the_page_of_limits_says_what_the_code_does() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/limits.md");
    let page = std::fs::read_to_string(path).expect("the page is there");
    let mut wanted = page.clone();
    for (name, rows) in
        [("settable", settable()), ("fixed", fixed()), ("preview-file", of_the_preview_file())]
    {
        let begin = format!("{BEGIN}{name} -->\n");
        let at = wanted.find(&begin).expect("the page has a place for this table") + begin.len();
        let end = at + wanted[at..].find(END).expect("the table ends");
        wanted.replace_range(at..end, &rows);
    }
    if std::env::var_os("BIVOUAC_REGENERATE").is_some() {
        std::fs::write(path, &wanted).expect("written");
        return;
    }
    assert_eq!(page, wanted, "docs/limits.md is stale: run this test with BIVOUAC_REGENERATE=1");
}

#[test]
fn the_schema_of_a_repository_has_the_same_defaults_and_bounds() {
    let definition = serde_json::to_value(Repository::crd()).expect("plain data");
    let limits = definition
        .pointer(
            "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/limits/properties",
        )
        .and_then(serde_json::Value::as_object)
        .expect("the limits are in the schema");
    // `progressDeadline`, `environments`, `perAuthor` and `whenFull` bound nothing of a bundle.
    assert_eq!(limits.len(), SETTABLE_LIMITS.len() + 4);
    for limit in SETTABLE_LIMITS {
        let schema = &limits[limit.name];
        if limit.name == "renderTime" {
            assert_eq!(schema["default"], format!("{}s", limit.default));
            continue;
        }
        assert_eq!(schema["default"].as_u64(), Some(limit.default), "{}", limit.name);
        assert_eq!(
            schema["maximum"].as_f64().map(|most| most.to_string()),
            Some(limit.most.to_string()),
            "{}",
            limit.name
        );
    }
}
