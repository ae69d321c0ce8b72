//! PURE · every kustomization file that an overlay reaches, read before Kustomize runs: what would fetch, execute or
//! inflate is refused here with its file and line. The confinement holds anyway; this says why in words.

use std::collections::BTreeSet;

use super::helm_chart::{join, resolve};
use super::tool_text::{Secrets, parse};
use super::tools::ToolError;
use crate::domain::document::{Node, NodeValue};
use crate::domain::file_tree::FileTree;

/// Names that Kustomize looks for in a folder.
pub(super) const FILE_NAMES: [&str; 3] =
    ["kustomization.yaml", "kustomization.yml", "Kustomization"];
/// Kustomization files of one overlay.
const MAX_FILES: usize = 1000;
/// Bytes of one kustomization file.
const MAX_BYTES: usize = 1 << 20;

/// Keys that make Kustomize start Helm.
const HELM: [&str; 3] = ["helmCharts", "helmGlobals", "helmChartInflationGenerator"];
/// Keys whose entries are folders or files with objects.
const OBJECTS: [&str; 3] = ["resources", "bases", "components"];
/// Keys whose entries are configurations of plugins.
const PLUGINS: [&str; 3] = ["generators", "transformers", "validators"];
/// Keys with a list of paths (or inline text).
const PATHS: [&str; 3] = ["crds", "configurations", "patchesStrategicMerge"];
/// Keys with a list of mappings that may have a `path`.
const WITH_PATH: [&str; 3] = ["patches", "patchesJson6902", "replacements"];

/// What the walk found.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// What a message must not repeat: literals of generators.
    pub(super) secrets: Secrets,
}

/// The kustomization file of `folder`.
pub(super) fn file_of(files: &FileTree, folder: &str) -> Option<String> {
    FILE_NAMES.iter().map(|name| join(folder, name)).find(|path| files.get(path).is_some())
}

/// Looks at the overlay in `folder` and all it builds on.
pub(super) fn check(files: &FileTree, folder: &str) -> Result<Checked, ToolError> {
    let mut walk = Walk { files, seen: BTreeSet::new(), checked: Checked::default() };
    if file_of(files, folder).is_none() {
        return Err(ToolError::Input {
            file: Some(folder.to_owned()),
            line: None,
            message: "there is no kustomization.yaml in this folder".into(),
        });
    }
    // A list of work, not a recursion: how deep overlays go is for their authors to say.
    let mut work = vec![(folder.to_owned(), false)];
    while let Some((folder, plugins)) = work.pop() {
        walk.folder(&folder, plugins, &mut work)?;
    }
    Ok(walk.checked)
}

struct Walk<'a> {
    files: &'a FileTree,
    seen: BTreeSet<(String, bool)>,
    checked: Checked,
}

/// Folders still to be looked at, and whether their objects are configurations of plugins.
type Work = Vec<(String, bool)>;

fn wrong<T>(file: &str, node: &Node, message: impl Into<String>) -> Result<T, ToolError> {
    Err(ToolError::Input {
        file: Some(file.to_owned()),
        line: Some(node.position.line),
        message: message.into(),
    })
}

impl Walk<'_> {
    fn folder(&mut self, folder: &str, plugins: bool, work: &mut Work) -> Result<(), ToolError> {
        let Some(file) = file_of(self.files, folder) else { return Ok(()) };
        if !self.seen.insert((folder.to_owned(), plugins)) {
            return Ok(());
        }
        if self.seen.len() > MAX_FILES {
            let message = format!("this overlay reads more than {MAX_FILES} kustomization files");
            return Err(ToolError::TooMuch { message: format!("{file}: {message}") });
        }
        let Some(kustomization) = self.read(&file)? else { return Ok(()) };
        for key in HELM {
            if let Some(node) = kustomization.get(key) {
                let message = format!(
                    "{key}: charts are not inflated by Kustomize here; make the chart an app of its own, \
                     with the chart's folder as its path"
                );
                return wrong(&file, node, message);
            }
        }
        for key in OBJECTS {
            for entry in list(&kustomization, key) {
                self.objects(&file, folder, key, entry, plugins, work)?;
            }
        }
        for key in PLUGINS {
            for entry in list(&kustomization, key) {
                self.plugin(&file, folder, key, entry, work)?;
            }
        }
        for key in PATHS {
            for entry in list(&kustomization, key) {
                local(&file, key, entry)?;
            }
        }
        for key in WITH_PATH {
            for entry in list(&kustomization, key) {
                if let Some(path) = entry.get("path") {
                    local(&file, key, path)?;
                }
            }
        }
        if let Some(path) = kustomization.get("openapi").and_then(|node| node.get("path")) {
            local(&file, "openapi", path)?;
        }
        for key in ["configMapGenerator", "secretGenerator"] {
            for generator in list(&kustomization, key) {
                self.generator(&file, key, generator)?;
            }
        }
        Ok(())
    }

    fn read(&self, file: &str) -> Result<Option<Node>, ToolError> {
        let bytes = self.files.get(file).unwrap_or_default();
        let mut documents = parse(bytes, MAX_BYTES).map_err(|(position, message)| {
            ToolError::Input { file: Some(file.to_owned()), line: Some(position.line), message }
        })?;
        // More than one, or none, is Kustomize's to refuse.
        Ok(documents.pop())
    }

    /// An entry of `resources`, `bases` or `components`.
    fn objects(
        &mut self,
        file: &str,
        folder: &str,
        key: &str,
        entry: &Node,
        plugins: bool,
        work: &mut Work,
    ) -> Result<(), ToolError> {
        let Some(text) = entry.text() else { return Ok(()) };
        let found = resolve(folder, text);
        let path = match &found {
            Some(path) if self.files.contains(path) => path,
            _ => {
                local(file, key, entry)?;
                let path = shown(text);
                let message = match found {
                    Some(_) => format!("{key}: there is no {path} in this commit"),
                    None => format!("{key}: {path} leads out of the repository"),
                };
                return wrong(file, entry, message);
            }
        };
        match self.files.get(path) {
            Some(bytes) if plugins => Self::configuration(path, bytes),
            Some(_) => Ok(()),
            None if file_of(self.files, path).is_none() => {
                let message = format!("{key}: the folder {path} has no kustomization.yaml");
                wrong(file, entry, message)
            }
            None => {
                work.push((path.clone(), plugins));
                Ok(())
            }
        }
    }

    /// An entry of `generators`, `transformers` or `validators`: inline, a file or a folder.
    fn plugin(
        &mut self,
        file: &str,
        folder: &str,
        key: &str,
        entry: &Node,
        work: &mut Work,
    ) -> Result<(), ToolError> {
        match entry.text() {
            Some(text) if text.contains('\n') => match parse(text.as_bytes(), MAX_BYTES) {
                Ok(documents) => documents
                    .iter()
                    .find_map(not_built_in)
                    .map_or(Ok(()), |why| wrong(file, entry, format!("{key}: {why}"))),
                // Kustomize says what is wrong with it.
                Err(_) => Ok(()),
            },
            _ => self.objects(file, folder, key, entry, true, work),
        }
    }

    /// A file that configures a plugin.
    fn configuration(file: &str, bytes: &[u8]) -> Result<(), ToolError> {
        let Ok(documents) = parse(bytes, MAX_BYTES) else { return Ok(()) };
        for document in &documents {
            if let Some(why) = not_built_in(document) {
                return wrong(file, document, why);
            }
        }
        Ok(())
    }

    fn generator(&mut self, file: &str, key: &str, generator: &Node) -> Result<(), ToolError> {
        for literal in list(generator, "literals") {
            if let Some((_, value)) = literal.text().and_then(|text| text.split_once('=')) {
                self.checked.secrets.add_value(&value.into());
            }
        }
        let named = list(generator, "files").iter().chain(list(generator, "envs"));
        for entry in named.chain(generator.get("env")) {
            // `name=path` or a path alone.
            let text = entry.text().unwrap_or_default();
            let path = text.split_once('=').map_or(text, |(_, path)| path);
            if is_remote(path) || is_remote(text) {
                return wrong(file, entry, remote(key, text));
            }
        }
        Ok(())
    }
}

fn list<'a>(node: &'a Node, key: &str) -> &'a [Node] {
    node.get(key).and_then(Node::elements).unwrap_or_default()
}

/// Refuses what Kustomize would fetch.
fn local(file: &str, key: &str, entry: &Node) -> Result<(), ToolError> {
    match entry.text() {
        Some(text) if !text.contains('\n') && is_remote(text) => {
            wrong(file, entry, remote(key, text))
        }
        _ => Ok(()),
    }
}

fn remote(key: &str, text: &str) -> String {
    format!(
        "{key}: {} is fetched from elsewhere, and nothing is downloaded here; copy it into the repository \
         and refer to it by its path",
        shown(text)
    )
}

/// The text without what could be a password, not too long.
fn shown(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control()).take(120).collect();
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://{rest}"),
        _ => text,
    }
}

/// Whether Kustomize would take this for a URL or a Git repository, which it does generously.
fn is_remote(text: &str) -> bool {
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    let first = lower.split('/').next().unwrap_or_default();
    lower.contains("://")
        || ["git::", "git@", "gh:", "github.com", "ssh:"].iter().any(|p| lower.starts_with(p))
        || ["?ref=", "?version=", "?timeout=", "?submodules="].iter().any(|p| lower.contains(p))
        || lower.contains("_git/")
        || first.rsplit_once('.').is_some_and(|(_, last)| last == "git")
        || lower.contains(".git/")
        // user@host:path and host:path
        || first.split_once(':').is_some_and(|(host, _)| host.contains(['@', '.']))
}

/// Why a plugin's configuration is refused; `None` for those that Kustomize has built in.
fn not_built_in(document: &Node) -> Option<String> {
    let text = |node: Option<&Node>| node.and_then(Node::text).unwrap_or_default().to_owned();
    let annotations = document.get("metadata").and_then(|metadata| metadata.get("annotations"));
    let is_function =
        |name: &str| matches!(name, "config.kubernetes.io/function" | "config.k8s.io/function");
    let members = annotations.and_then(Node::members).unwrap_or_default();
    if members.iter().any(|(key, _)| is_function(&key.name)) {
        let why =
            "functions in containers or programs are not run here; use what Kustomize has built in";
        return Some(why.into());
    }
    let (version, kind) = (text(document.get("apiVersion")), text(document.get("kind")));
    if kind.starts_with("HelmChartInflationGenerator") {
        return Some(
            "charts are not inflated by Kustomize here; make the chart an app of its own".into(),
        );
    }
    let is_mapping = matches!(document.value, NodeValue::Mapping(_));
    if is_mapping
        && !version.is_empty()
        && version != "builtin"
        && !version.starts_with("kustomize.config.k8s.io/")
    {
        return Some(format!(
            "plugins are not run here, and {} is none that Kustomize has built in",
            shown(&format!("{version} {kind}"))
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(files: &[(&str, &str)]) -> Option<String> {
        let files: FileTree = files.iter().map(|(path, text)| (*path, *text)).collect();
        check(&files, "over").err().map(|error| match error {
            ToolError::Input { file, line, message } => {
                let line = line.map(|line| format!(":{line}")).unwrap_or_default();
                format!("{}{line}: {message}", file.unwrap_or_default())
            }
            other => other.to_string(),
        })
    }

    #[test]
    fn what_lies_in_the_commit_is_fine() {
        let files = [
            (
                "over/kustomization.yaml",
                "resources: [../base, cm.yaml]\ncomponents: [../parts/a]\n\
              patches: [{path: p.yaml}, {patch: 'a: https://x'}]\nconfigMapGenerator:\n- {name: x, files: [a=b.txt], literals: [u=https://x]}\n\
              transformers:\n- |\n  apiVersion: builtin\n  kind: PrefixTransformer\n  metadata: {name: x}\n",
            ),
            ("over/cm.yaml", ""),
            ("base/kustomization.yml", "resources: [../over/cm.yaml, ./]\n"),
            ("parts/a/Kustomization", "kind: Component\n"),
        ];
        assert_eq!(problem(&files), None);
    }

    #[test]
    fn whatever_is_fetched_is_refused_with_its_line() {
        for entry in [
            "https://example.org/x.yaml",
            "http://127.0.0.1/x",
            "github.com/owner/repo//path?ref=v1",
            "git::https://example.org/x.git",
            "git@example.org:owner/repo.git",
            "user@host:path",
            "ssh://git@example.org/x",
            "example.org:owner/repo",
            "https://user:hunter2@example.org/x",
            "../base?ref=main",
            "dev.azure.com/o/p/_git/r",
        ] {
            for key in [
                "resources",
                "bases",
                "components",
                "transformers",
                "crds",
                "patchesStrategicMerge",
            ] {
                let text = format!("namePrefix: a\n{key}:\n- {entry}\n");
                let told = problem(&[("over/kustomization.yaml", &text)]).expect(entry);
                assert!(told.starts_with(&format!("over/kustomization.yaml:3: {key}: ")), "{told}");
                assert!(told.contains("nothing is downloaded"), "{told}");
                assert!(!told.contains("hunter2"), "{told}");
            }
            for text in [
                format!("patches:\n- path: {entry}\n"),
                format!("openapi:\n  path: {entry}\n"),
                format!("secretGenerator:\n- files: ['a={entry}']\n"),
                format!("configMapGenerator:\n- env: {entry}\n"),
            ] {
                assert!(problem(&[("over/kustomization.yaml", &text)]).is_some(), "{text}");
            }
        }
    }

    #[test]
    fn it_is_found_in_what_the_overlay_builds_on() {
        let files = [
            ("over/kustomization.yaml", "resources: [../base]\n"),
            ("base/kustomization.yaml", "resources: [../deep, ../over]\n"),
            ("deep/kustomization.yaml", "a: 1\n\nhelmCharts:\n- name: x\n"),
        ];
        let told = problem(&files).expect("a chart");
        assert!(
            told.starts_with("deep/kustomization.yaml:4: helmCharts: charts are not inflated"),
            "{told}"
        );
    }

    #[test]
    fn plugins_are_refused_wherever_they_are_configured() {
        let function = "apiVersion: example.org/v1\nkind: F\nmetadata:\n  name: f\n  annotations:\n    config.kubernetes.io/function: |\n      exec: {path: ./f}\n";
        let inline = function.replace('\n', "\n  ");
        let over = ("over/kustomization.yaml", "generators: [f.yaml]\n");
        let told = problem(&[over, ("over/f.yaml", function)]).expect("a function");
        assert!(told.starts_with("over/f.yaml:1: functions in containers"), "{told}");
        let text = format!("transformers:\n- |\n  {inline}\n");
        assert!(
            problem(&[("over/kustomization.yaml", &text)]).expect("inline").contains("functions")
        );
        let folder = [
            ("over/kustomization.yaml", "validators: [../v]\n"),
            ("v/kustomization.yaml", "resources: [p.yaml]\n"),
            ("v/p.yaml", "apiVersion: someteam.example.com/v1\nkind: P\n"),
        ];
        assert!(problem(&folder).expect("a plugin").contains("plugins are not run"));
        let chart =
            [over, ("over/f.yaml", "apiVersion: builtin\nkind: HelmChartInflationGenerator\n")];
        assert!(problem(&chart).expect("a chart").contains("not inflated"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let one = |entry: &str| {
            let text = format!("resources:\n- {entry}\n");
            problem(&[("over/kustomization.yaml", &text), ("other/x.yaml", "")]).expect(entry)
        };
        assert_eq!(
            one("../nope"),
            "over/kustomization.yaml:2: resources: there is no ../nope in this commit"
        );
        assert!(one("../../x").contains("leads out of the repository"));
        assert!(one("/etc/passwd").contains("leads out of the repository"));
        assert!(one("../other").contains("has no kustomization.yaml"));
        assert!(problem(&[("over/x", "")]).expect("none").contains("no kustomization.yaml"));
        assert!(
            problem(&[("over/kustomization.yaml", "a: [")])
                .expect("broken")
                .starts_with("over/kustomization.yaml:")
        );
    }
}
