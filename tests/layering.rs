//! The table of who may use whom (one row a module), held as a test.
//!
//! Only the production part of a file counts: what follows `#[cfg(test)]` may use what it likes.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// One module: what of ours it may use, and what it may never touch.
struct Row {
    module: &'static str,
    ours: &'static [&'static str],
    never: &'static [&'static str],
}

const CLIENTS: &[&str] =
    &["kube::Client", "kube::client", "kube::Api", "kube::runtime", "octocrab", "gix", "reqwest"];

const TABLE: &[Row] = &[
    Row { module: "seams", ours: &["seams"], never: &["kube", "octocrab", "gix", "axum"] },
    Row {
        module: "domain",
        ours: &["domain"],
        never: &[
            "kube",
            "k8s_openapi",
            "octocrab",
            "gix",
            "axum",
            "tokio",
            "tracing",
            "reqwest",
            "rand",
            "std::fs",
            "std::net",
            "std::env",
            "std::time::SystemTime",
            "std::time::Instant",
            "std::process",
            "Utc::now",
            ".await",
            "async fn",
        ],
    },
    Row { module: "crd", ours: &["crd", "domain"], never: CLIENTS },
    Row {
        module: "webhook",
        ours: &["webhook", "domain", "crd", "seams"],
        never: &["octocrab", "gix"],
    },
    Row { module: "confine", ours: &["confine"], never: CLIENTS },
    Row {
        module: "source",
        ours: &["source", "confine", "domain", "seams"],
        never: &["kube", "octocrab", "axum"],
    },
    Row {
        module: "render",
        ours: &["render", "confine", "domain"],
        never: &["kube", "octocrab", "gix", "axum"],
    },
    Row {
        module: "apply",
        ours: &["apply", "domain", "seams"],
        never: &["octocrab", "gix", "axum"],
    },
    Row {
        module: "forge",
        ours: &["forge", "domain", "seams"],
        never: &["kube", "k8s_openapi", "gix", "axum"],
    },
    Row {
        module: "outward",
        ours: &["outward", "seams"],
        never: &["kube", "k8s_openapi", "octocrab", "gix", "axum"],
    },
    Row {
        module: "registry",
        ours: &["registry", "domain", "outward", "seams"],
        never: &["kube", "octocrab", "gix"],
    },
    Row {
        module: "traffic",
        ours: &["traffic", "domain", "outward", "seams"],
        never: &["kube", "k8s_openapi", "octocrab", "gix", "axum"],
    },
    Row { module: "report", ours: &["report", "domain", "forge"], never: &["kube", "gix", "axum"] },
    Row {
        module: "probe",
        ours: &["probe", "domain", "outward", "seams"],
        never: &["kube", "k8s_openapi", "octocrab", "gix", "axum"],
    },
    Row {
        module: "controller",
        ours: &[
            "controller",
            "domain",
            "crd",
            "seams",
            "source",
            "render",
            "apply",
            "forge",
            "outward",
            "registry",
            "report",
            "probe",
            "telemetry",
            "traffic",
        ],
        never: &["axum", "octocrab", "gix"],
    },
    Row {
        module: "gate",
        ours: &["gate", "domain", "crd", "outward", "seams"],
        never: &["octocrab", "gix"],
    },
    Row { module: "web", ours: &["web", "domain", "crd", "forge"], never: &["gix"] },
    Row { module: "sandbox", ours: &["sandbox", "seams"], never: &["octocrab"] },
    Row { module: "telemetry", ours: &["telemetry"], never: &["kube", "octocrab", "gix"] },
];

/// Modules that may use everything: they wire, they hold no logic.
const WIRING: &[&str] = &["app", "cli", "main", "lib", "config"];

/// Every break of `row` in `text`, as `line: what`.
fn breaks(row: &Row, text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let production = text.split("#[cfg(test)]").next().unwrap_or(text);
    let mut in_use_of_crate = false;
    for (index, line) in production.lines().enumerate() {
        let code = line.split("//").next().unwrap_or(line);
        for module in modules_named(code, &mut in_use_of_crate) {
            if !row.ours.contains(&module.as_str()) {
                found.push((index + 1, format!("uses crate::{module}")));
            }
        }
        for banned in row.never {
            if mentions(code, banned) {
                found.push((index + 1, format!("mentions {banned}")));
            }
        }
    }
    found
}

/// Names after `crate::`, also inside `use crate::{a, b::c}`.
fn modules_named(code: &str, inside: &mut bool) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = code;
    if *inside {
        names.extend(rest.split([',', '{', '}', ';']).filter_map(first_name));
        *inside = !rest.contains(';');
        return names;
    }
    while let Some(at) = rest.find("crate::") {
        let before = rest[..at].chars().last();
        rest = &rest[at + "crate::".len()..];
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 0_usize;
            let mut part = String::new();
            for c in list.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => names.extend(first_name(&std::mem::take(&mut part))),
                    c if depth == 0 => part.push(c),
                    _ => {}
                }
            }
            names.extend(first_name(&part));
            *inside = !list.contains(';');
        } else {
            names.extend(first_name(rest));
        }
    }
    names
}

fn first_name(text: &str) -> Option<String> {
    let name: String =
        text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!name.is_empty() && name.chars().next().is_some_and(char::is_lowercase)).then_some(name)
}

/// `banned` as a whole path, not as a part of a longer name.
fn mentions(code: &str, banned: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let whole_words_only = banned.chars().all(|c| is_name(c) || c == ':');
    code.match_indices(banned).any(|(at, _)| {
        let before = code[..at].chars().last();
        let after = code[at + banned.len()..].chars().next();
        if !whole_words_only {
            return true;
        }
        let path = banned.contains("::")
            || matches!(after, Some(':' | ';' | ' '))
            || code.contains(&format!("use {banned}"));
        path && !before.is_some_and(|c| is_name(c) || c == '.' || c == '"' || c == '/' || c == '-')
            && !after.is_some_and(is_name)
            && (banned.contains("::")
                || code[at + banned.len()..].starts_with("::")
                || code.trim_start().starts_with("use ")
                || code.trim_start().starts_with("extern "))
    })
}

fn files_below(path: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(path).expect("src can be read") {
        let path = entry.expect("src can be read").path();
        if path.is_dir() {
            files_below(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn no_module_uses_what_its_row_forbids() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    files_below(&src, &mut files);
    let mut report = String::new();
    for file in &files {
        let inside = file.strip_prefix(&src).expect("files are below src");
        let first =
            inside.components().next().expect("a file has a name").as_os_str().to_string_lossy();
        let module = first.trim_end_matches(".rs");
        let text = fs::read_to_string(file).expect("src can be read");
        match TABLE.iter().find(|row| row.module == module) {
            Some(row) => {
                for (line, what) in breaks(row, &text) {
                    let _ = writeln!(report, "src/{}:{line}: {module} {what}", inside.display());
                }
            }
            None if WIRING.contains(&module) => {}
            None => {
                let _ = writeln!(
                    report,
                    "src/{}: module {module} has no row in the table",
                    inside.display()
                );
            }
        }
    }
    assert!(files.len() > 5, "the walk found only {} files", files.len());
    assert!(report.is_empty(), "\n{report}");
}

#[test]
fn the_guard_itself_can_fail() {
    let domain = TABLE.iter().find(|row| row.module == "domain").expect("domain has a row");
    for way_out in [
        "use kube as k;",
        "use kube::Client;",
        "use crate::{domain::id, forge};",
        "use crate::{\n    domain::id,\n    forge::github,\n};",
        "let x = crate::apply::run();",
        "use std::fs;",
        "let t = std::fs::read(p);",
        "let x = f().await;",
        "use octocrab::Octocrab;",
        "fn f() -> gix::Repository { }",
        "let n = chrono::Utc::now();",
        "use tokio;",
    ] {
        assert!(!breaks(domain, way_out).is_empty(), "the guard did not see: {way_out}");
    }
    for fine in [
        "use crate::domain::id::Revision;",
        "// kube::Client is not for us",
        "let kube_version = 1;",
        "\"use of kube\"",
    ] {
        assert_eq!(breaks(domain, fine), Vec::new(), "{fine}");
    }
    assert!(breaks(domain, "#[cfg(test)]\nuse std::fs;").is_empty());
}
