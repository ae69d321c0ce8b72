//! `helm template` in a confined child: a chart in, documents with their files out. I/O: through [`ConfinedTools`].

use std::collections::BTreeMap;
use std::time::Duration;

use super::confined::{ConfinedTools, Deadline, FILES, VALUES, blocking, bytes_of, scratch_error};
use super::helm_chart::{Chart, Draws, join};
use super::helm_words::{self, Context};
use super::tool_binary::Program;
use super::tool_text::{Secrets, differences, parse, split};
use super::tools::{HelmJob, ToolDocument, ToolError, ToolOutput};
use crate::confine::Scratch;
use crate::domain::document::Node;

/// What to do when there is no Helm.
pub(super) const HOW_TO_GET: &str = "install Helm 3.12 or newer (https://helm.sh/docs/intro/install) or set its path by BIVOUAC_HELM";
const TOOL: &str = "helm";
/// A single argument may have 128 KiB on Linux.
const MAX_SET_BYTES: usize = 100 << 10;
/// Hooks whose names are written out in a note.
const MAX_NAMED: usize = 5;
/// Charts that read the clock mostly write seconds: the second rendering waits until they differ.
const CLOCK_STEP: Duration = Duration::from_millis(1100);

/// The version in what `helm version --template {{.Version}}` prints, if it is one we can use.
pub(super) fn supported(printed: &str) -> Result<String, String> {
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<u32>().ok());
    let mut parts = printed.trim_start_matches('v').split('.');
    match (number(parts.next()), number(parts.next())) {
        (Some(3), Some(minor)) if minor >= 12 => Ok(printed.to_owned()),
        (Some(4), Some(_)) => Ok(printed.to_owned()),
        (Some(major), Some(minor)) => {
            Err(format!("this is Helm {major}.{minor}; {HOW_TO_GET} (3.12 to 4.x are known)"))
        }
        _ => Err(format!("it did not say a version of Helm; {HOW_TO_GET}")),
    }
}

/// Renders one chart; twice, when it draws random values.
pub(super) async fn template(tools: &ConfinedTools, job: HelmJob) -> Result<ToolOutput, ToolError> {
    let program = tools.helm_program().await?;
    let limits = job.limits;
    let _place = tools.place(TOOL, limits).await?;
    let deadline = Deadline::after(limits.time);
    let scratch = tools.scratch(TOOL, bytes_of(&job.files))?;
    let prepared = blocking(TOOL, move || Prepared::new(job, scratch)).await?;
    let begun = tokio::time::Instant::now();
    let (documents, mut notes) = once(tools, program, &prepared, &deadline).await?;
    let mut random = Vec::new();
    if prepared.draws != Draws::default() {
        if prepared.draws.clock {
            tokio::time::sleep(CLOCK_STEP.saturating_sub(begun.elapsed()).min(deadline.left()))
                .await;
        }
        let (again, _) = once(tools, program, &prepared, &deadline).await?;
        random = differences(&documents, &again, limits.output_bytes);
    }
    let documents = without_dropped_hooks(documents, &mut random, &mut notes, limits.output_bytes);
    Ok(ToolOutput { documents, notes, random })
}

/// A job whose files lie on disk.
struct Prepared {
    job: HelmJob,
    scratch: Scratch,
    chart: Chart,
    draws: Draws,
    secrets: Secrets,
    arguments: Vec<String>,
}

impl Prepared {
    fn new(job: HelmJob, mut scratch: Scratch) -> Result<Self, ToolError> {
        let mut placed = Vec::new();
        let chart = Chart::load(&job.files, &job.chart, &mut placed)?;
        let mut draws = Draws { random: chart.has_archive(), clock: false };
        let mut secrets = Secrets::default();
        let mut values = Vec::new();
        for (index, path) in job.values.iter().enumerate() {
            let bytes = read_values(&job, path, &mut secrets)?;
            draws.look_at(bytes);
            // By number: Helm would take a comma in a name for the end of it.
            let name = format!("{index}.yaml");
            scratch.write(VALUES, &name, bytes).map_err(|e| scratch_error(TOOL, &e))?;
            values.push(scratch.path().join(VALUES).join(name).display().to_string());
        }
        let own = std::iter::once((job.chart.clone(), job.chart.clone()));
        let copies = placed.into_iter().map(|placed| (placed.from, placed.to));
        for (from, to) in own.chain(copies) {
            let below = |path: &str| match path.strip_prefix(from.as_str()) {
                Some(rest) if from != "." => rest.trim_start_matches('/').to_owned(),
                _ => path.to_owned(),
            };
            for (path, bytes) in job.files.below(&from) {
                let target = join(&to, &below(path));
                scratch.write(FILES, &target, bytes).map_err(|e| scratch_error(TOOL, &e))?;
                draws.look_at(bytes);
                if path.ends_with("/values.yaml") || path == "values.yaml" {
                    // One that is no YAML is Helm's to refuse.
                    let nodes = parse(bytes, bytes.len()).unwrap_or_default();
                    for node in &nodes {
                        secrets.add(node);
                    }
                }
            }
        }
        for (_, value) in &job.set {
            secrets.add_value(value);
            draws.look_at(value.to_string().as_bytes());
        }
        let arguments = arguments(&job, &scratch, values)?;
        Ok(Self { job, scratch, chart, draws, secrets, arguments })
    }
}

/// A values file, checked here for the sake of its place in the message.
fn read_values<'a>(
    job: &'a HelmJob,
    path: &str,
    secrets: &mut Secrets,
) -> Result<&'a [u8], ToolError> {
    let wrong = |line: Option<usize>, message: &str| ToolError::Input {
        file: Some(path.to_owned()),
        line,
        message: message.to_owned(),
    };
    let bytes =
        job.files.get(path).ok_or_else(|| wrong(None, "there is no such file in this commit"))?;
    let documents = parse(bytes, bytes.len())
        .map_err(|(position, message)| wrong(Some(position.line), &message))?;
    match documents.as_slice() {
        [] => {}
        [document] if document.members().is_some() => secrets.add(document),
        [document, ..] => {
            let line = Some(document.position.line);
            return Err(wrong(line, "a values file is one YAML mapping"));
        }
    }
    Ok(bytes)
}

fn arguments(
    job: &HelmJob,
    scratch: &Scratch,
    values: Vec<String>,
) -> Result<Vec<String>, ToolError> {
    let chart = scratch.path().join(FILES);
    let chart = if job.chart == "." { chart } else { chart.join(&job.chart) };
    let mut all = vec![
        "template".to_owned(),
        format!("--namespace={}", job.namespace),
        "--include-crds".to_owned(),
    ];
    if !job.kubernetes_version.is_empty() {
        // Charts print and compare it with all of its parts, as a cluster has them.
        let version = job.kubernetes_version.trim_start_matches('v');
        let patch = if version.split('.').count() == 2 { ".0" } else { "" };
        all.push(format!("--kube-version={version}{patch}"));
    }
    all.extend(job.api_versions.iter().map(|version| format!("--api-versions={version}")));
    all.extend(values.into_iter().map(|path| format!("--values={path}")));
    for (path, value) in &job.set {
        let set = format!("--set-json={path}={value}");
        if set.len() > MAX_SET_BYTES {
            return Err(ToolError::Input {
                file: None,
                line: None,
                message: format!(
                    "set: {path:?} has more than {MAX_SET_BYTES} bytes; put it into a values file"
                ),
            });
        }
        all.push(set);
    }
    // What follows is no flag, whatever it begins with.
    all.extend(["--".to_owned(), job.release.clone(), chart.display().to_string()]);
    if all.iter().any(|argument| argument.contains('\0')) {
        let message = "a name or value holds a NUL character".to_owned();
        return Err(ToolError::Input { file: Some(job.chart.clone()), line: None, message });
    }
    Ok(all)
}

/// Renders once.
async fn once(
    tools: &ConfinedTools,
    program: &Program,
    prepared: &Prepared,
    deadline: &Deadline,
) -> Result<(Vec<ToolDocument>, Vec<String>), ToolError> {
    let Prepared { job, scratch, chart, draws: _, secrets, arguments } = prepared;
    let ended = tools.start(program, scratch, arguments, job.limits, deadline.left()).await?;
    let folder = format!("{}/", scratch.path().join(FILES).display());
    if !ended.status.success() {
        let context =
            Context { chart, files: &job.files, at: &job.chart, secrets, folder: &folder };
        return Err(helm_words::explain(&context, &ended.stderr));
    }
    let Ok(text) = String::from_utf8(ended.stdout) else {
        let message = "what the chart gives is not UTF-8".to_owned();
        return Err(ToolError::Input { file: Some(job.chart.clone()), line: None, message });
    };
    let document = |piece: super::tool_text::Piece<'_>| ToolDocument {
        file: piece.source.map_or_else(|| job.chart.clone(), |s| chart.origin(&job.files, s)),
        yaml: piece.yaml.to_owned(),
    };
    let documents = split(&text).into_iter().map(document).collect();
    Ok((documents, helm_words::warnings(secrets, &ended.stderr)))
}

/// Takes out hooks that have no time in the life of an environment: tests, and what runs after a deletion or at a
/// rollback.
fn without_dropped_hooks(
    documents: Vec<ToolDocument>,
    random: &mut Vec<super::tools::RandomOutput>,
    notes: &mut Vec<String>,
    max_bytes: usize,
) -> Vec<ToolDocument> {
    let mut dropped: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut kept = Vec::new();
    let mut moved = BTreeMap::new();
    for (index, document) in documents.into_iter().enumerate() {
        if let Some((kind, name)) = dropped_hook(&document.yaml, max_bytes) {
            dropped.entry(kind).or_default().push(name);
        } else {
            moved.insert(index, kept.len());
            kept.push(document);
        }
    }
    random.retain_mut(|field| match moved.get(&field.document) {
        Some(index) => {
            field.document = *index;
            true
        }
        None => false,
    });
    for (kind, names) in dropped {
        let more = names.len().saturating_sub(MAX_NAMED);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let names = names.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>().join(", ");
        notes.push(format!("helm: {kind} hooks are left out: {names}{more}"));
    }
    kept
}

/// What kind of hook is never run here, and which object it is.
fn dropped_hook(yaml: &str, max_bytes: usize) -> Option<(&'static str, String)> {
    if !yaml.contains("helm.sh/hook") {
        return None;
    }
    let documents = parse(yaml.as_bytes(), max_bytes).ok()?;
    let [document] = documents.as_slice() else { return None };
    let metadata = document.get("metadata")?;
    let hook = metadata.get("annotations")?.get("helm.sh/hook")?.text()?;
    let mut kind = None;
    for event in hook.split(',').map(str::trim).filter(|event| !event.is_empty()) {
        kind = Some(match event {
            "test" | "test-success" | "test-failure" => "test",
            "post-delete" => "delete",
            "pre-rollback" | "post-rollback" => "rollback",
            // It is one of another time too.
            _ => return None,
        });
    }
    let text = |node: Option<&Node>| {
        let text = node.and_then(Node::text).unwrap_or("?");
        text.chars().take(80).collect::<String>()
    };
    Some((kind?, format!("{} {}", text(document.get("kind")), text(metadata.get("name")))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tools::RandomOutput;

    #[test]
    fn known_versions_are_taken() {
        assert_eq!(supported("v3.17.2").as_deref(), Ok("v3.17.2"));
        assert_eq!(supported("v4.3.1+g1").as_deref(), Ok("v4.3.1+g1"));
        for (old, what) in [
            ("v2.17.0", "Helm 2.17"),
            ("v3.2.0", "Helm 3.2"),
            ("v5.0.0", "Helm 5.0"),
            ("x", "did not say"),
        ] {
            let why = supported(old).expect_err(old);
            assert!(why.contains(what) && why.contains("install Helm"), "{why}");
        }
    }

    #[test]
    fn hooks_without_a_time_are_left_out_and_named() {
        let hook = |name: &str, events: &str| ToolDocument {
            file: "c".into(),
            yaml: format!(
                "kind: Job\nmetadata:\n  name: {name}\n  annotations:\n    helm.sh/hook: {events}\n"
            ),
        };
        let documents = vec![
            hook("a", "test"),
            hook("b", "pre-install,pre-upgrade"),
            hook("c", "test, post-install"),
            hook("d", "post-delete,post-rollback"),
            ToolDocument { file: "c".into(), yaml: "kind: X\ntext: helm.sh/hook\n".into() },
        ];
        let at = |document| RandomOutput { document, pointer: "/x".into() };
        let mut random = vec![at(0), at(1), at(4)];
        let mut notes = Vec::new();
        let kept = without_dropped_hooks(documents, &mut random, &mut notes, 1 << 20);
        assert_eq!(kept.len(), 3);
        assert_eq!(random, [at(0), at(2)]);
        assert_eq!(
            notes,
            ["helm: rollback hooks are left out: Job d", "helm: test hooks are left out: Job a"]
        );
    }
}
