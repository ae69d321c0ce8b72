//! PURE · which files of a commit are needed: the apps' paths, and what charts and overlays in them name.

use std::collections::BTreeSet;

use super::plan::{CHART, KUSTOMIZATIONS, Renderer, conventional_path, join, read_preview_file};
use super::{RenderLimits, YamlLimits, yaml};
use crate::domain::document::Node;
use crate::domain::file_tree::{FileTree, Wanted};
use crate::domain::preview_file::{App, CONVENTIONAL_PATHS, PREVIEW_FILE};

/// Keys of a kustomization whose elements are paths (or URLs, or inline text).
const PATH_LISTS: [&str; 9] = [
    "bases",
    "components",
    "configurations",
    "crds",
    "generators",
    "patchesStrategicMerge",
    "resources",
    "transformers",
    "validators",
];
/// Keys whose elements are mappings with a `path`.
const WITH_PATH: [&str; 3] = ["patches", "patchesJson6902", "replacements"];

/// Bytes of one kustomization or `Chart.yaml` that is searched for further paths: they are read in every round.
const MAX_BYTES: usize = 128 << 10;

/// What has to be read of a commit, given what was read of it so far. Asked again until it wants nothing new.
///
/// A preview file that can't be read wants nothing: [`render`](super::render) then says what is wrong with it.
#[must_use]
pub fn wanted(tree: &FileTree) -> Wanted {
    let limits = RenderLimits::default();
    let mut paths = BTreeSet::new();
    match tree.get(PREVIEW_FILE) {
        Some(bytes) => {
            for app in read_preview_file(bytes, limits).map(|file| file.apps).unwrap_or_default() {
                paths.extend(of_app(tree, &app, limits));
            }
        }
        None => match conventional_path(tree) {
            Some(path) => {
                paths.extend(of_app(tree, &App::at("app", &path, super::START), limits));
            }
            None => return Wanted::FirstOf(CONVENTIONAL_PATHS.map(str::to_owned).to_vec()),
        },
    }
    Wanted::All(paths.into_iter().collect())
}

/// Everything that `app` needs, as far as `tree` tells.
pub(super) fn of_app(tree: &FileTree, app: &App, limits: RenderLimits) -> BTreeSet<String> {
    let mut found = BTreeSet::from([app.path.clone()]);
    found.extend(app.values.iter().map(|file| file.path.clone()));
    let mut visited = BTreeSet::new();
    let mut open = vec![app.path.clone()];
    while let Some(directory) = open.pop() {
        if !visited.insert(directory.clone()) {
            continue;
        }
        let named = match Renderer::of(tree, &directory) {
            Renderer::Helm => dependencies(tree, &directory, limits),
            Renderer::Kustomize => references(tree, &directory, limits),
            Renderer::Files => continue,
        };
        for path in named {
            if path == "." || is_inside(&directory, &path) {
                // All of a directory around this one would be half the repository: what it names is enough.
                found.extend(KUSTOMIZATIONS.iter().map(|name| join(&path, name)));
            } else {
                found.insert(path.clone());
            }
            open.push(path);
        }
    }
    found
}

fn is_inside(path: &str, directory: &str) -> bool {
    path == directory || path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
}

/// The first document of a file, when it can be read. What is wrong with it is for the tool to say.
fn document(tree: &FileTree, path: &str, limits: RenderLimits) -> Option<Node> {
    yaml::documents(tree.get(path)?, &YamlLimits::of_file(limits.file_bytes.min(MAX_BYTES)))
        .ok()?
        .into_iter()
        .next()
}

/// Paths in the repository that the kustomization of `directory` names.
fn references(tree: &FileTree, directory: &str, limits: RenderLimits) -> BTreeSet<String> {
    let mut written: Vec<String> = Vec::new();
    for name in KUSTOMIZATIONS {
        let Some(node) = document(tree, &join(directory, name), limits) else { continue };
        let lists = |key: &str| node.get(key).and_then(Node::elements).unwrap_or_default();
        for key in PATH_LISTS {
            written.extend(lists(key).iter().filter_map(Node::text).map(str::to_owned));
        }
        for key in WITH_PATH {
            let paths = lists(key).iter().filter_map(|one| one.get("path")?.text());
            written.extend(paths.map(str::to_owned));
        }
        if let Some(path) = node.get("openapi").and_then(|one| one.get("path")?.text()) {
            written.push(path.to_owned());
        }
        for generator in ["configMapGenerator", "secretGenerator"].into_iter().flat_map(lists) {
            for key in ["files", "envs"] {
                let files = generator.get(key).and_then(Node::elements).unwrap_or_default();
                // A file may have another name in the ConfigMap: `name=path`.
                let path = |text: &str| text.rsplit('=').next().unwrap_or(text).to_owned();
                written.extend(files.iter().filter_map(Node::text).map(path));
            }
            written.extend(generator.get("env").and_then(Node::text).map(str::to_owned));
        }
    }
    written.iter().filter_map(|path| local(directory, path)).collect()
}

/// Charts in the repository that the chart of `directory` depends on.
fn dependencies(tree: &FileTree, directory: &str, limits: RenderLimits) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for name in [CHART, "requirements.yaml"] {
        let Some(node) = document(tree, &join(directory, name), limits) else { continue };
        let all = node.get("dependencies").and_then(Node::elements).unwrap_or_default();
        let paths =
            all.iter().filter_map(|one| one.get("repository")?.text()?.strip_prefix("file://"));
        found.extend(paths.filter_map(|path| local(directory, path)));
    }
    found
}

/// `path` as it stands in a file of `directory`, from the root of the repository. `None` for what is no path in it:
/// a URL, inline YAML, the outside.
fn local(directory: &str, path: &str) -> Option<String> {
    let is_text = path.contains(['\n', '{', '\\', '?', '@']) || path.contains("://");
    if path.is_empty() || path.starts_with('/') || path.len() > 1024 || is_text {
        return None;
    }
    let whole = format!("{directory}/{path}");
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/').filter(|part| !matches!(*part, "" | ".")) {
        if part == ".." {
            parts.pop()?;
        } else {
            parts.push(part);
        }
    }
    if parts.iter().any(|part| part.eq_ignore_ascii_case(".git")) {
        return None;
    }
    Some(if parts.is_empty() { ".".into() } else { parts.join("/") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(files: &[(&str, &str)]) -> Vec<String> {
        let tree: FileTree = files.iter().map(|(path, text)| (*path, *text)).collect();
        match wanted(&tree) {
            Wanted::All(paths) => paths,
            Wanted::FirstOf(paths) => vec![format!("first of {}", paths.join(" "))],
        }
    }

    const OVERLAY: &str = "apps: [{name: a, path: deploy/overlays/preview}]";

    #[test]
    fn an_overlay_wants_what_it_names_anywhere_in_the_commit() {
        let kustomization = "resources: [../../base, web.yaml, 'https://example.com/x', '../../../../out', 'github.com/a/b?ref=c']\n\
            components: [../../components/tls]\npatches: [{path: p.yaml}, {patch: '{}'}]\n\
            configMapGenerator: [{name: a, files: [x.conf=../../../conf/x.conf], envs: [e.env]}]\n\
            replacements: [{path: r.yaml}]\npatchesStrategicMerge: [\"a: {b: c}\\n\"]\n";
        let first = [
            (PREVIEW_FILE, OVERLAY),
            ("deploy/overlays/preview/kustomization.yaml", kustomization),
        ];
        let wanted = [
            "conf/x.conf",
            "deploy/base",
            "deploy/components/tls",
            "deploy/overlays/preview",
            "deploy/overlays/preview/e.env",
            "deploy/overlays/preview/github.com/a/b",
            "deploy/overlays/preview/p.yaml",
            "deploy/overlays/preview/r.yaml",
            "deploy/overlays/preview/web.yaml",
        ];
        let wanted: Vec<_> = wanted.into_iter().filter(|path| !path.contains("github")).collect();
        assert_eq!(all(&first), wanted);
        let mut second = first.to_vec();
        second.push(("deploy/base/kustomization.yml", "resources: [../../shared]"));
        assert!(all(&second).contains(&"shared".to_owned()));
    }

    #[test]
    fn an_overlay_of_a_directory_around_it_does_not_want_the_whole_repository() {
        let files = [
            (PREVIEW_FILE, OVERLAY),
            ("deploy/overlays/preview/kustomization.yaml", "resources: [../../..]"),
        ];
        let wanted =
            ["Kustomization", "deploy/overlays/preview", "kustomization.yaml", "kustomization.yml"];
        assert_eq!(all(&files), wanted);
        let mut more = files.to_vec();
        more.push(("kustomization.yaml", "resources: [k8s/web.yaml]"));
        assert!(all(&more).contains(&"k8s/web.yaml".to_owned()));
        assert!(!all(&more).contains(&".".to_owned()));
    }

    #[test]
    fn a_chart_wants_its_values_and_the_charts_beside_it() {
        let file =
            "apps: [{name: a, path: charts/web, values: [v.yaml, ../../env/p.yaml, /top.yaml]}]";
        let chart = "name: web\ndependencies:\n  - {name: lib, repository: 'file://../lib'}\n  - {name: x, repository: 'https://x.test'}\n";
        let mut files = vec![(PREVIEW_FILE, file), ("charts/web/Chart.yaml", chart)];
        let wanted = ["charts/lib", "charts/web", "charts/web/v.yaml", "env/p.yaml", "top.yaml"];
        assert_eq!(all(&files), wanted);
        files.push((
            "charts/lib/requirements.yaml",
            "dependencies: [{repository: 'file://../deep'}]",
        ));
        files.push(("charts/lib/Chart.yaml", "name: lib"));
        assert!(all(&files).contains(&"charts/deep".to_owned()));
    }

    #[test]
    fn overlays_that_name_each_other_come_to_an_end() {
        let file = "apps: [{name: a, path: a}]";
        let files = [
            (PREVIEW_FILE, file),
            ("a/kustomization.yaml", "resources: [../b, .]"),
            ("b/Kustomization", "bases: [../a]"),
        ];
        assert_eq!(
            all(&files),
            ["a", "a/Kustomization", "a/kustomization.yaml", "a/kustomization.yml", "b"]
        );
    }

    #[test]
    fn without_a_preview_file_the_conventional_paths_are_tried_and_followed() {
        assert_eq!(all(&[]), ["first of deploy/preview deploy k8s chart charts/*"]);
        assert_eq!(all(&[("k8s/kustomization.yaml", "resources: [../base]")]), ["base", "k8s"]);
        assert_eq!(all(&[(PREVIEW_FILE, "apps: [")]), [""; 0]);
    }
}
