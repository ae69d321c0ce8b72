//! `kustomize build` or `kubectl kustomize` in a confined child: an overlay in, documents with their files out. I/O:
//! through [`ConfinedTools`].

use std::path::Path;

use super::confined::{ConfinedTools, Deadline, FILES, blocking, bytes_of, scratch_error};
use super::helm_chart::resolve;
use super::kustomize_check::{Checked, check, file_of};
use super::tool_text::{Secrets, parse, split};
use super::tools::{KustomizeJob, ToolDocument, ToolError, ToolOutput};
use crate::confine::Scratch;
use crate::domain::document::Node;

/// What to do when there is no Kustomize.
pub(super) const HOW_TO_GET: &str = "install Kustomize 5 (https://kubectl.docs.kubernetes.io/installation/kustomize/) or kubectl 1.27 or \
                                     newer, or set the path of one by BIVOUAC_KUSTOMIZE";
const TOOL: &str = "kustomize";
/// Where Kustomize says which file an object came from, when it is asked to.
const ORIGIN: &str = "config.kubernetes.io/origin";
/// What asks for it.
const ASK_FOR_ORIGIN: &str = "\nbuildMetadata: [originAnnotations]\n";
/// Warnings that are passed on.
const MAX_NOTES: usize = 5;

/// Whether the program is a kubectl, by its name.
pub(super) fn is_kubectl(program: &Path) -> bool {
    program.file_name().is_some_and(|name| name.to_string_lossy().starts_with("kubectl"))
}

/// The version in what `kustomize version` or `kubectl version --client -o json` prints, if it is one we can use.
pub(super) fn supported(printed: &str) -> Result<String, String> {
    let json: Option<serde_json::Value> = serde_json::from_str(printed).ok();
    let version = match &json {
        Some(json) => json.get("kustomizeVersion").and_then(serde_json::Value::as_str),
        None => printed.split(['/', ' ', '{', ':']).find(|word| {
            word.strip_prefix('v')
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        }),
    };
    let Some(version) = version else {
        return Err(format!("it did not say a version of Kustomize; {HOW_TO_GET}"));
    };
    match version.trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok()) {
        Some(5_u32) => Ok(version.to_owned()),
        _ => Err(format!("this is Kustomize {version}; {HOW_TO_GET} (5.x is known)")),
    }
}

/// Builds one overlay.
pub(super) async fn build(
    tools: &ConfinedTools,
    job: KustomizeJob,
) -> Result<ToolOutput, ToolError> {
    let program = tools.kustomize_program().await?;
    let limits = job.limits;
    let files_confined = tools.check_confinement().await?.files_confined();
    let _place = tools.place(TOOL, limits).await?;
    let deadline = Deadline::after(limits.time);
    let scratch = tools.scratch(TOOL, bytes_of(&job.files))?;
    let prepared = blocking(TOOL, move || Prepared::new(job, scratch)).await?;
    let Prepared { job, scratch, file, checked, asked } = &prepared;
    let root = scratch.path().join(FILES);
    let overlay = if job.overlay == "." { root.clone() } else { root.join(&job.overlay) };
    let mut arguments =
        vec![if is_kubectl(&program.path) { "kustomize" } else { "build" }.to_owned()];
    if files_confined {
        // Files of the commit outside of the overlay may be read; outside of the commit Landlock lets nothing be read.
        arguments.push("--load-restrictor=LoadRestrictionsNone".to_owned());
    }
    arguments.extend(["--".to_owned(), overlay.display().to_string()]);
    let ended = tools.start(program, scratch, &arguments, limits, deadline.left()).await?;
    if !ended.status.success() {
        let root = format!("{}/", root.display());
        return Err(explain(file, &checked.secrets, &ended.stderr, &root));
    }
    let Ok(text) = String::from_utf8(ended.stdout) else {
        let message = "what the overlay gives is not UTF-8".to_owned();
        return Err(ToolError::Input { file: Some(file.clone()), line: None, message });
    };
    let document = |yaml: &str| {
        let (yaml, origin) = if *asked { without_origin(yaml) } else { (yaml.to_owned(), None) };
        let from = origin.and_then(|path| resolve(&job.overlay, &path));
        let from = from.filter(|path| job.files.get(path).is_some());
        ToolDocument { file: from.unwrap_or_else(|| file.clone()), yaml }
    };
    let documents = split(&text).into_iter().map(|piece| document(piece.yaml)).collect();
    let notes = warnings(&checked.secrets, &ended.stderr);
    Ok(ToolOutput { documents, notes, random: Vec::new() })
}

/// A job whose files lie on disk.
struct Prepared {
    job: KustomizeJob,
    scratch: Scratch,
    /// The overlay's kustomization file.
    file: String,
    checked: Checked,
    /// Kustomize was asked for origins, by us.
    asked: bool,
}

impl Prepared {
    fn new(job: KustomizeJob, mut scratch: Scratch) -> Result<Self, ToolError> {
        let checked = check(&job.files, &job.overlay)?;
        let file = file_of(&job.files, &job.overlay).unwrap_or_else(|| job.overlay.clone());
        let asking = job.files.get(&file).and_then(asking_for_origin);
        for (path, bytes) in job.files.iter() {
            let bytes = match &asking {
                Some(text) if path == file => text.as_slice(),
                _ => bytes,
            };
            scratch.write(FILES, path, bytes).map_err(|e| scratch_error(TOOL, &e))?;
        }
        Ok(Self { job, scratch, file, checked, asked: asking.is_some() })
    }
}

/// The kustomization with one line more that makes Kustomize say where objects come from; `None` where a line more
/// would mean something else.
fn asking_for_origin(bytes: &[u8]) -> Option<Vec<u8>> {
    let members = |bytes: &[u8]| -> Option<usize> {
        match parse(bytes, bytes.len()).ok()?.as_slice() {
            [one] => one.members().map(<[_]>::len),
            _ => None,
        }
    };
    let [one] = &*parse(bytes, bytes.len()).ok()? else { return None };
    if one.get("buildMetadata").is_some() {
        return None;
    }
    let mut more = bytes.to_vec();
    more.extend_from_slice(ASK_FOR_ORIGIN.as_bytes());
    (members(&more)? == members(bytes)? + 1).then_some(more)
}

/// Takes the annotation that we asked for out of an object as Kustomize writes it, and the path out of that.
fn without_origin(yaml: &str) -> (String, Option<String>) {
    let lines: Vec<&str> = yaml.split_inclusive('\n').collect();
    let nothing = || (yaml.to_owned(), None);
    let indent = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let metadata = lines.iter().position(|line| line.trim_end() == "metadata:");
    let Some(begin) = metadata else { return nothing() };
    let end = lines.iter().enumerate().skip(begin + 1).find(|(_, line)| indent(line) == 0);
    let end = end.map_or(lines.len(), |(index, _)| index);
    let find = |from: usize, to: usize, line: &str| {
        (from..to).find(|index| lines.get(*index).is_some_and(|found| found.trim_end() == line))
    };
    let Some(annotations) = find(begin + 1, end, "  annotations:") else { return nothing() };
    let Some(at) = find(annotations + 1, end, &format!("    {ORIGIN}: |")) else {
        return nothing();
    };
    let inner = |index: &usize| lines.get(*index).is_some_and(|line| indent(line) >= 6);
    let after = (at + 1..end).find(|index| !inner(index)).unwrap_or(end);
    let text: String = (at + 1..after).filter_map(|index| lines.get(index)?.get(6..)).collect();
    let documents = parse(text.as_bytes(), text.len()).unwrap_or_default();
    let path = documents.first().and_then(|origin| {
        let path = origin.get("path").or_else(|| origin.get("configuredIn"));
        path.and_then(Node::text).map(str::to_owned)
    });
    // The mapping goes too when nothing else is in it.
    let others = |index: usize| {
        let line = lines.get(index).copied().unwrap_or_default();
        !(at..after).contains(&index) && indent(line) >= 4
    };
    let last = (annotations + 1..end)
        .find(|index| lines.get(*index).is_some_and(|line| indent(line) < 4))
        .unwrap_or(end);
    let alone = !(annotations + 1..last).any(others);
    let kept = lines
        .iter()
        .enumerate()
        .filter(|(index, _)| !((at..after).contains(index) || alone && *index == annotations));
    (kept.map(|(_, line)| *line).collect(), path)
}

/// Kustomize's reason: the innermost of many, without our folders and without text of patches.
fn explain(file: &str, secrets: &Secrets, stderr: &str, root: &str) -> ToolError {
    let errors = stderr.lines().skip_while(|line| line.starts_with("# Warning"));
    let text = errors.collect::<Vec<_>>().join("\n").replace(root, "");
    let text = text.trim().trim_start_matches("error: ").trim_start_matches("Error: ");
    // Configuration of a plugin, which may be a patch with values, stands in backquotes.
    let text = text.split('`').step_by(2).collect::<Vec<_>>().join("…");
    let (reason, about) = innermost(&text);
    let about = about.filter(|path| !reason.contains(path.as_str()));
    let about = about.map(|path| format!("{path}: ")).unwrap_or_default();
    let message = secrets.out_of(&format!("{about}{reason}"));
    let message =
        if message.is_empty() { "kustomize failed and did not say why".into() } else { message };
    ToolError::Input { file: Some(file.to_owned()), line: None, message }
}

/// `accumulating resources: accumulation err='accumulating resources from 'a': WHY': must build at directory: …` has
/// the reason that matters in the middle, or at its end when `a` is a folder.
fn innermost(text: &str) -> (&str, Option<String>) {
    let mut text = text.trim();
    let mut about = None;
    for _ in 0..100 {
        let before = text;
        for prefix in
            ["accumulating resources: ", "accumulating components: ", "merging resources: "]
        {
            text = text.strip_prefix(prefix).unwrap_or(text);
        }
        if let Some(rest) = text.strip_prefix("accumulation err='") {
            let marks = ["': must build at directory: ", "': recursed ", "': cycle detected: "];
            let end = marks.iter().filter_map(|mark| rest.find(mark)).min();
            if let Some((inner, outer)) = end.and_then(|end| rest.split_at_checked(end)) {
                // The first try takes everything for a file; a folder's own reason comes second.
                let second = inner.ends_with("is a directory");
                text = if second { outer.trim_start_matches("': ") } else { inner };
            }
        }
        for prefix in [
            "accumulating resources from '",
            "recursed accumulation of path '",
            "accumulating components from '",
        ] {
            if let Some((path, rest)) =
                text.strip_prefix(prefix).and_then(|rest| rest.split_once("': "))
            {
                about = Some(path.to_owned());
                text = rest;
            }
        }
        if text == before {
            break;
        }
    }
    (text, about)
}

/// What Kustomize says although it succeeded.
fn warnings(secrets: &Secrets, stderr: &str) -> Vec<String> {
    let lines = stderr.lines().filter_map(|line| line.strip_prefix("# Warning: "));
    lines.take(MAX_NOTES).map(|line| format!("kustomize: {}", secrets.out_of(line))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_versions_are_taken() {
        assert_eq!(supported("v5.8.1").as_deref(), Ok("v5.8.1"));
        assert_eq!(supported("{Version:kustomize/v5.0.0 GitCommit:1}").as_deref(), Ok("v5.0.0"));
        assert_eq!(supported("{\"kustomizeVersion\": \"v5.5.0\"}").as_deref(), Ok("v5.5.0"));
        assert!(supported("v4.5.7").expect_err("old").contains("this is Kustomize v4.5.7"));
        assert!(supported("{}").expect_err("none").contains("did not say"));
        assert!(is_kubectl(Path::new("/x/kubectl-1.37")) && !is_kubectl(Path::new("/x/kustomize")));
    }

    #[test]
    fn origins_are_asked_for_only_where_one_more_line_is_one_more_key() {
        let asked = |text: &str| asking_for_origin(text.as_bytes()).is_some();
        assert!(
            asked("resources: [a]") && asked("resources:\n- a\n") && asked("# x\na: |\n  text\n")
        );
        for not in [
            "{resources: [a]}",
            "resources: [a]\n---\nb: 1\n",
            "a: 1\nbuildMetadata: []\n",
            "",
            "- a",
            "a: 1\n...\n",
        ] {
            assert!(!asked(not), "{not:?}");
        }
    }

    #[test]
    fn the_annotation_goes_and_leaves_no_empty_mapping() {
        let alone = "kind: A\nmetadata:\n  annotations:\n    config.kubernetes.io/origin: |\n      path: ../base/cm.yaml\n  name: x\nspec: {}\n";
        assert_eq!(
            without_origin(alone),
            ("kind: A\nmetadata:\n  name: x\nspec: {}\n".into(), Some("../base/cm.yaml".into()))
        );
        let more = "metadata:\n  annotations:\n    a: b\n    config.kubernetes.io/origin: |\n      configuredIn: k.yaml\n      configuredBy:\n        kind: G\n    z: |\n      text\n  name: x\n";
        assert_eq!(
            without_origin(more),
            (
                "metadata:\n  annotations:\n    a: b\n    z: |\n      text\n  name: x\n".into(),
                Some("k.yaml".into())
            )
        );
        let none = "data:\n  x: |\n    metadata:\n      annotations:\nmetadata:\n  name: x\n";
        assert_eq!(without_origin(none), (none.into(), None));
        let last = "metadata:\n  name: x\n  annotations:\n    config.kubernetes.io/origin: |\n      path: a.yaml\n";
        assert_eq!(without_origin(last), ("metadata:\n  name: x\n".into(), Some("a.yaml".into())));
    }

    #[test]
    fn the_innermost_reason_is_told() {
        let told = |stderr: &str| {
            explain("over/kustomization.yaml", &Secrets::default(), stderr, "/tmp/x/files/")
                .to_string()
        };
        assert_eq!(
            told(
                "# Warning: old\nerror: accumulating resources: accumulation err='accumulating resources from 'bad.yaml': missing Resource metadata': must build at directory: '/tmp/x/files/over/bad.yaml': file is not directory\n"
            ),
            "bad.yaml: missing Resource metadata"
        );
        assert_eq!(
            told(
                "error: accumulating resources: accumulation err='accumulating resources from '../base': read /tmp/x/files/base: is a directory': recursed merging from path '/tmp/x/files/base': may not add resource with an already registered id: ConfigMap.v1.[noGrp]/x.[noNs]\n"
            ),
            "recursed merging from path 'base': may not add resource with an already registered id: ConfigMap.v1.[noGrp]/x.[noNs]"
        );
        assert_eq!(
            told(
                "error: trouble configuring builtin PatchTransformer with config: `\npath: hunter2\n`: failed to get the patch file from path(nope.yaml): open /tmp/x/files/over/nope.yaml: no such file or directory\n"
            ),
            "trouble configuring builtin PatchTransformer with config: …: failed to get the patch file from path(nope.yaml): open over/nope.yaml: no such file or directory"
        );
        assert_eq!(
            told("error: invalid Kustomization: json: unknown field \"foo\"\n"),
            "invalid Kustomization: json: unknown field \"foo\""
        );
        assert_eq!(told(""), "kustomize failed and did not say why");
    }
}
