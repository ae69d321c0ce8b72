//! PURE · the files of a chart → what it is made of: sub-charts, dependencies, what has to be written where for Helm to
//! find them, and the way back from the names Helm prints to the repository's.

use std::collections::BTreeMap;

use super::tool_text::parse;
use super::tools::ToolError;
use crate::domain::document::Node;
use crate::domain::file_tree::FileTree;

/// Charts within charts; Helm itself has no bound.
const MAX_DEPTH: usize = 10;
/// Copies of charts that dependencies ask for.
const MAX_PLACED: usize = 100;
/// Bytes of a `Chart.yaml`.
const MAX_BYTES: usize = 1 << 20;

/// A chart and what is in it.
#[derive(Debug)]
pub(super) struct Chart {
    /// Its folder in the repository.
    at: String,
    /// As `Chart.yaml` says.
    pub(super) name: String,
    /// By the names Helm may print for them.
    subs: BTreeMap<String, Sub>,
}

#[derive(Debug)]
enum Sub {
    Folder(Chart),
    Archive(String),
}

/// A folder that Helm has to find somewhere else than where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    /// In the repository.
    pub(super) from: String,
    /// For Helm.
    pub(super) to: String,
}

/// A dependency as `Chart.yaml` (or `requirements.yaml`) has it.
struct Dependency {
    name: String,
    alias: Option<String>,
    repository: String,
    file: String,
    line: usize,
}

fn input(file: &str, line: Option<usize>, message: impl Into<String>) -> ToolError {
    ToolError::Input { file: Some(file.to_owned()), line, message: message.into() }
}

impl Chart {
    /// The chart at `at` with all below it; what has to be copied for it is added to `placed`.
    pub(super) fn load(
        files: &FileTree,
        at: &str,
        placed: &mut Vec<Placed>,
    ) -> Result<Self, ToolError> {
        Self::read(files, at, at, 0, placed)
    }

    fn read(
        files: &FileTree,
        at: &str,
        to: &str,
        depth: usize,
        placed: &mut Vec<Placed>,
    ) -> Result<Self, ToolError> {
        let file = join(at, "Chart.yaml");
        if depth > MAX_DEPTH {
            let message =
                format!("charts are nested deeper than {MAX_DEPTH}; does one depend on itself?");
            return Err(input(&file, None, message));
        }
        let Some(bytes) = files.get(&file) else {
            return Err(input(&file, None, "there is no such file in this commit"));
        };
        let chart = document(&file, bytes)?;
        let name = chart.get("name").and_then(Node::text).unwrap_or_default().to_owned();
        if name.is_empty() || name.contains(['/', '\\']) {
            return Err(input(&file, None, "name: write the name of the chart"));
        }
        let mut found = Self { at: at.to_owned(), name, subs: BTreeMap::new() };
        found.vendored(files, to, depth, placed)?;
        let mut dependencies = dependencies_of(&chart, &file);
        let old = join(at, "requirements.yaml");
        if let Some(bytes) = files.get(&old) {
            dependencies.extend(dependencies_of(&document(&old, bytes)?, &old));
        }
        for dependency in dependencies {
            found.depend(files, to, depth, &dependency, placed)?;
        }
        Ok(found)
    }

    /// What lies in `charts/` already.
    fn vendored(
        &mut self,
        files: &FileTree,
        to: &str,
        depth: usize,
        placed: &mut Vec<Placed>,
    ) -> Result<(), ToolError> {
        let folder = join(&self.at, "charts");
        // Helm leaves such names alone too.
        let hidden = |name: &str| name.starts_with(['.', '_']);
        for name in files.directories_in(&folder) {
            let at = format!("{folder}/{name}");
            if !hidden(&name) && files.get(&join(&at, "Chart.yaml")).is_some() {
                let to = format!("{}/{name}", join(to, "charts"));
                let sub = Self::read(files, &at, &to, depth + 1, placed)?;
                self.subs.insert(sub.name.clone(), Sub::Folder(sub));
            }
        }
        for (path, _) in files.below(&folder) {
            let name = path.get(folder.len() + 1..).unwrap_or_default();
            if let Some(stem) = name.strip_suffix(".tgz").or_else(|| name.strip_suffix(".tar.gz"))
                && !name.contains('/')
                && !hidden(name)
            {
                self.subs.insert(archive_name(stem).to_owned(), Sub::Archive(path.to_owned()));
            }
        }
        Ok(())
    }

    fn depend(
        &mut self,
        files: &FileTree,
        to: &str,
        depth: usize,
        dependency: &Dependency,
        placed: &mut Vec<Placed>,
    ) -> Result<(), ToolError> {
        let Dependency { name, alias, repository, file, line } = dependency;
        if !self.subs.contains_key(name) {
            let Some(path) = repository.strip_prefix("file://") else {
                let chart = &self.at;
                let message = format!(
                    "the dependency {name:?} is not in charts/, and nothing is downloaded here; run \
                     `helm dependency build {chart}` and commit charts/, or refer to a chart of this \
                     repository by file://"
                );
                return Err(input(file, Some(*line), message));
            };
            let Some(from) = resolve(&self.at, path) else {
                let message = format!("the dependency {name:?} leads out of the repository");
                return Err(input(file, Some(*line), message));
            };
            if files.get(&join(&from, "Chart.yaml")).is_none() {
                let message = format!(
                    "the dependency {name:?} is not in this commit: there is no {from}/Chart.yaml"
                );
                return Err(input(file, Some(*line), message));
            }
            if placed.len() == MAX_PLACED {
                let message = format!("more than {MAX_PLACED} charts are brought in by file://");
                return Err(input(file, Some(*line), message));
            }
            let folder = format!("{}/{name}", join(to, "charts"));
            placed.push(Placed { from: from.clone(), to: folder.clone() });
            let sub = Self::read(files, &from, &folder, depth + 1, placed)?;
            if sub.name != *name {
                let message = format!(
                    "the dependency {name:?} is called {:?} in {from}/Chart.yaml",
                    sub.name
                );
                return Err(input(file, Some(*line), message));
            }
            self.subs.insert(name.clone(), Sub::Folder(sub));
        }
        if let Some(alias) = alias
            && let Some(same) = self.subs.get(name).map(Sub::again)
        {
            self.subs.entry(alias.clone()).or_insert(same);
        }
        Ok(())
    }

    /// The file in the repository that Helm calls `source` (`chart/charts/sub/templates/x.yaml`); the chart itself for
    /// a name that is not there.
    pub(super) fn origin(&self, files: &FileTree, source: &str) -> String {
        let Some((_, rest)) = source.split_once('/') else { return self.at.clone() };
        if let Some((name, below)) = rest.strip_prefix("charts/").and_then(|r| r.split_once('/')) {
            match self.subs.get(name) {
                Some(Sub::Folder(sub)) => return sub.origin(files, &format!("{name}/{below}")),
                Some(Sub::Archive(path)) => return path.clone(),
                None => {}
            }
        }
        let path = join(&self.at, rest);
        if files.get(&path).is_some() { path } else { self.at.clone() }
    }

    /// Whether a part of it is packed, so that its text can't be looked at.
    pub(super) fn has_archive(&self) -> bool {
        self.subs.values().any(|sub| match sub {
            Sub::Folder(chart) => chart.has_archive(),
            Sub::Archive(_) => true,
        })
    }
}

impl Sub {
    /// The same under a second name.
    fn again(&self) -> Self {
        match self {
            Self::Archive(path) => Self::Archive(path.clone()),
            Self::Folder(chart) => Self::Folder(Chart {
                at: chart.at.clone(),
                name: chart.name.clone(),
                subs: chart.subs.iter().map(|(name, sub)| (name.clone(), sub.again())).collect(),
            }),
        }
    }
}

fn document(file: &str, bytes: &[u8]) -> Result<Node, ToolError> {
    let mut documents = parse(bytes, MAX_BYTES)
        .map_err(|(position, message)| input(file, Some(position.line), message))?;
    match documents.pop() {
        Some(document) if documents.is_empty() && document.members().is_some() => Ok(document),
        _ => Err(input(file, None, "write one YAML mapping")),
    }
}

fn dependencies_of(chart: &Node, file: &str) -> Vec<Dependency> {
    let list = chart.get("dependencies").and_then(Node::elements).unwrap_or_default();
    let of = |node: &Node| {
        let text = |name: &str| node.get(name).and_then(Node::text).unwrap_or_default().to_owned();
        Dependency {
            name: text("name"),
            alias: Some(text("alias")).filter(|alias| !alias.is_empty()),
            repository: text("repository"),
            file: file.to_owned(),
            line: node.position.line,
        }
    };
    let plain = |name: &str| !name.is_empty() && !name.contains(['/', '\\', '\0']) && name != "..";
    list.iter().map(of).filter(|dependency| plain(&dependency.name)).collect()
}

/// `redis` of `redis-1.2.3-rc.1`: what stands before the first part that begins with a digit.
fn archive_name(stem: &str) -> &str {
    let version = stem.match_indices('-').find(|(at, _)| {
        let rest = stem.get(at + 1..).unwrap_or_default();
        rest.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit()) && rest.contains('.')
    });
    version.map_or(stem, |(at, _)| stem.get(..at).unwrap_or(stem))
}

/// `path` below `folder`; `.` is the root.
pub(super) fn join(folder: &str, path: &str) -> String {
    if folder == "." || folder.is_empty() { path.to_owned() } else { format!("{folder}/{path}") }
}

/// What `path` means in `folder`, both with `/`; `None` when that is not in the repository. `.` is the root.
pub(super) fn resolve(folder: &str, path: &str) -> Option<String> {
    if path.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> =
        folder.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(if parts.is_empty() { ".".into() } else { parts.join("/") })
}

/// Functions that give something else each time.
const RANDOM: &[&str] = &[
    "randAlphaNum",
    "randAlpha",
    "randAscii",
    "randNumeric",
    "randBytes",
    "randInt",
    "shuffle",
    "uuidv4",
    "genCA",
    "genCAWithKey",
    "genPrivateKey",
    "genSelfSignedCert",
    "genSelfSignedCertWithKey",
    "genSignedCert",
    "genSignedCertWithKey",
    "htpasswd",
    "bcrypt",
    "encryptAES",
    // The order of a map's keys.
    "keys",
    "values",
];
/// Functions that read the clock.
const CLOCK: &[&str] =
    &["now", "ago", "date", "dateInZone", "date_in_zone", "htmlDate", "htmlDateInZone"];

/// Whether a chart may come out differently each time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Draws {
    /// It draws random values.
    pub(super) random: bool,
    /// It reads the clock.
    pub(super) clock: bool,
}

impl Draws {
    /// Looks for the names of such functions between `{{` and `}}`. A name in a comment counts: it costs one more
    /// rendering.
    pub(super) fn look_at(&mut self, text: &[u8]) {
        let mut rest = text;
        while let Some(begin) = find(rest, b"{{") {
            let action = rest.get(begin + 2..).unwrap_or_default();
            let end = find(action, b"}}").unwrap_or(action.len());
            let is_name = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
            for word in action.get(..end).unwrap_or_default().split(|b| !is_name(b)) {
                self.random |= RANDOM.iter().any(|name| name.as_bytes() == word);
                self.clock |= CLOCK.iter().any(|name| name.as_bytes() == word);
            }
            rest = action.get(end..).unwrap_or_default();
        }
    }
}

fn find(text: &[u8], two: &[u8]) -> Option<usize> {
    text.windows(two.len()).position(|window| window == two)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> FileTree {
        files.iter().map(|(path, text)| (*path, *text)).collect()
    }

    fn load(files: &FileTree, at: &str) -> Result<(Chart, Vec<Placed>), String> {
        let mut placed = Vec::new();
        Chart::load(files, at, &mut placed).map(|chart| (chart, placed)).map_err(
            |error| match error {
                ToolError::Input { file, line, message } => {
                    format!("{}:{}: {message}", file.unwrap_or_default(), line.unwrap_or_default())
                }
                other => other.to_string(),
            },
        )
    }

    #[test]
    fn a_local_dependency_is_placed_with_its_own() {
        let files = tree(&[
            (
                "deploy/web/Chart.yaml",
                "name: web\ndependencies:\n- name: lib\n  alias: tools\n  repository: file://../lib\n",
            ),
            ("deploy/web/templates/a.yaml", ""),
            (
                "deploy/lib/Chart.yaml",
                "name: lib\ndependencies:\n- {name: deep, repository: 'file://../../deep/'}\n",
            ),
            ("deploy/lib/templates/b.yaml", ""),
            ("deep/Chart.yaml", "name: deep\n"),
            ("deep/templates/c.yaml", ""),
        ]);
        let (chart, placed) = load(&files, "deploy/web").expect("a chart");
        let to = |from: &str, to: &str| Placed { from: from.into(), to: to.into() };
        assert_eq!(
            placed,
            [
                to("deploy/lib", "deploy/web/charts/lib"),
                to("deep", "deploy/web/charts/lib/charts/deep")
            ]
        );
        let origin = |source| chart.origin(&files, source);
        assert_eq!(origin("web/templates/a.yaml"), "deploy/web/templates/a.yaml");
        assert_eq!(origin("web/charts/lib/templates/b.yaml"), "deploy/lib/templates/b.yaml");
        assert_eq!(
            origin("web/charts/tools/charts/deep/templates/c.yaml"),
            "deep/templates/c.yaml"
        );
        assert_eq!(origin("web/templates/not-there.yaml"), "deploy/web");
        assert_eq!(origin("../../etc/passwd"), "deploy/web");
    }

    #[test]
    fn vendored_charts_are_found_by_their_own_name_packed_or_not() {
        let files = tree(&[
            (
                "Chart.yaml",
                "name: web\ndependencies:\n- {name: redis, repository: 'https://x'}\n- {name: pg, repository: 'oci://y'}\n",
            ),
            ("charts/redis-folder/Chart.yaml", "name: redis\n"),
            ("charts/redis-folder/templates/r.yaml", ""),
            ("charts/pg-1.2.3.tgz", "packed"),
        ]);
        let (chart, placed) = load(&files, ".").expect("a chart");
        assert!(placed.is_empty() && chart.has_archive());
        assert_eq!(
            chart.origin(&files, "web/charts/redis/templates/r.yaml"),
            "charts/redis-folder/templates/r.yaml"
        );
        assert_eq!(chart.origin(&files, "web/charts/pg/templates/x.yaml"), "charts/pg-1.2.3.tgz");
    }

    #[test]
    fn what_can_not_be_had_is_named_with_its_line() {
        let chart = |dependency: &str| {
            format!("apiVersion: v2\nname: web\ndependencies:\n  - {dependency}\n")
        };
        let problem = |dependency: &str| {
            let text = chart(dependency);
            load(&tree(&[("c/Chart.yaml", &text)]), "c").expect_err(dependency)
        };
        assert_eq!(
            problem("{name: redis, repository: 'https://charts.example.org'}"),
            "c/Chart.yaml:4: the dependency \"redis\" is not in charts/, and nothing is downloaded here; run \
             `helm dependency build c` and commit charts/, or refer to a chart of this repository by file://"
        );
        assert!(problem("{name: x, repository: 'file://../../x'}").contains("leads out"));
        assert!(problem("{name: x, repository: 'file:///etc'}").contains("leads out"));
        assert!(problem("{name: x, repository: 'file://../x'}").contains("no x/Chart.yaml"));
        assert!(problem("{name: other, repository: 'file://../c'}").contains("deeper"));
        assert!(load(&tree(&[("c/x", "")]), "c").expect_err("none").contains("no such file"));
        assert!(
            load(&tree(&[("c/Chart.yaml", "a: [")]), "c")
                .expect_err("no YAML")
                .starts_with("c/Chart.yaml:")
        );
    }

    #[test]
    fn names_of_packed_charts_end_at_the_version() {
        for (stem, name) in [
            ("redis-1.2.3", "redis"),
            ("kube-state-metrics-5.0.0-rc.1", "kube-state-metrics"),
            ("a-2b", "a-2b"),
            ("x-v0.1.0", "x"),
        ] {
            assert_eq!(archive_name(stem), name);
        }
    }

    #[test]
    fn drawing_is_seen_in_actions_only() {
        let look = |text: &str| {
            let mut draws = Draws::default();
            draws.look_at(text.as_bytes());
            (draws.random, draws.clock)
        };
        assert_eq!(look("randAlphaNum 5 now general"), (false, false));
        assert_eq!(look("{{- $x := (randAlphaNum 5)|quote -}}"), (true, false));
        assert_eq!(look("a{{ .Values.now }}b {{ now | date \"2006\" "), (false, true));
        assert_eq!(look("{{ .Values.x }} {{ include \"values\" . }}"), (true, false));
        assert_eq!(look("{{ }} {{"), (false, false));
    }
}
