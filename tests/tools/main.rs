//! Helm, Kustomize and the fetch in confined children: the real binary, real processes, and the real tools where they
//! are given by `BIVOUAC_TEST_HELM` and `BIVOUAC_TEST_KUSTOMIZE` (a kustomize or a kubectl).

mod confinement;
mod fetch;
mod helm;
mod kustomize;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use bivouac::domain::file_tree::FileTree;
use bivouac::render::confined::{ConfinedTools, ToolSettings};
use bivouac::render::tools::{ToolDocument, ToolError, ToolLimits};

/// The program under test: the one that was built with these tests, or an installed one (`BIVOUAC_TEST_BIVOUAC`).
fn own() -> &'static Path {
    static OWN: LazyLock<PathBuf> = LazyLock::new(|| {
        let installed = std::env::var_os("BIVOUAC_TEST_BIVOUAC");
        installed.unwrap_or_else(|| env!("CARGO_BIN_EXE_bivouac").into()).into()
    });
    &OWN
}

/// The path in a variable; says so when there is none, since the test then shows nothing.
#[expect(clippy::print_stdout, reason = "what was not run is said where tests say things")]
fn given(variable: &str) -> Option<PathBuf> {
    let found = std::env::var_os(variable).map(PathBuf::from);
    if found.is_none() {
        println!("not run: needs {variable}");
    }
    found
}

fn tools(helm: Option<PathBuf>, kustomize: Option<PathBuf>) -> ConfinedTools {
    let settings = ToolSettings::new(None, std::env::temp_dir());
    ConfinedTools::find(ToolSettings { own: own().to_owned(), helm, kustomize, ..settings })
}

fn limits() -> ToolLimits {
    ToolLimits { time: Duration::from_secs(30), output_bytes: 8 << 20, memory_bytes: 1 << 30 }
}

/// All files below a folder on disk, with `name` before their paths.
fn tree_of(folder: &Path, name: &str) -> FileTree {
    fn walk(folder: &Path, name: &str, files: &mut FileTree) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let below = path.file_name().expect("a name").to_string_lossy().into_owned();
            let below = if name.is_empty() { below } else { format!("{name}/{below}") };
            if path.is_dir() {
                walk(&path, &below, files);
            } else {
                files.insert(below, std::fs::read(&path).expect("a file"));
            }
        }
    }
    let mut files = FileTree::new();
    walk(folder, name, &mut files);
    files
}

fn fixtures(name: &str) -> FileTree {
    tree_of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name), "")
}

/// `file:line: message` of a mistake of the author.
fn told(error: ToolError) -> String {
    match error {
        ToolError::Input { file, line, message } => {
            let line = line.map(|line| format!(":{line}")).unwrap_or_default();
            format!("{}{line}: {message}", file.unwrap_or_default())
        }
        other => format!("{other:?}"),
    }
}

/// Documents as parsed values with the file of each.
fn parsed(documents: &[ToolDocument]) -> Vec<(String, serde_json::Value)> {
    let value = |document: &ToolDocument| {
        let value = serde_saphyr::from_str(&document.yaml).expect(&document.yaml);
        (document.file.clone(), value)
    };
    documents.iter().map(value).collect()
}

/// Documents of a stream, parsed.
fn documents_of(stream: &str) -> Vec<serde_json::Value> {
    serde_saphyr::from_multiple(stream).expect("YAML")
}

fn object<'a>(
    documents: &'a [(String, serde_json::Value)],
    kind: &str,
    name: &str,
) -> &'a (String, serde_json::Value) {
    let found = documents
        .iter()
        .find(|(_, value)| value["kind"] == kind && value["metadata"]["name"] == name);
    found.expect("the object is among the documents")
}
