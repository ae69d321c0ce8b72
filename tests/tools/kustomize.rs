//! Overlays, against Kustomize itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use bivouac::domain::file_tree::FileTree;
use bivouac::render::tools::{KustomizeJob, ToolError, ToolOutput, Tools as _};

use super::{documents_of, fixtures, given, limits, object, parsed, told, tools};

const KUSTOMIZE: &str = "BIVOUAC_TEST_KUSTOMIZE";

async fn build(kustomize: &Path, files: FileTree, overlay: &str) -> Result<ToolOutput, ToolError> {
    let job = KustomizeJob { files, overlay: overlay.into(), limits: limits() };
    tools(None, Some(kustomize.to_owned())).kustomize(job).await
}

#[tokio::test]
async fn overlays_are_what_kustomize_gives_with_the_file_of_each_object() {
    let Some(kustomize) = given(KUSTOMIZE) else { return };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/overlays");
    let is_kubectl = kustomize.to_string_lossy().contains("kubectl");
    for overlay in
        ["base", "hello/staging", "hello/production", "multibases", "multibases/dev", "replaced"]
    {
        let output = build(&kustomize, fixtures("overlays"), overlay).await;
        let output = output.map_err(told).expect(overlay);
        let bare = Command::new(&kustomize)
            .arg(if is_kubectl { "kustomize" } else { "build" })
            .arg("--load-restrictor=LoadRestrictionsNone")
            .arg(folder.join(overlay))
            .output()
            .expect("kustomize runs");
        assert!(bare.status.success(), "{}", String::from_utf8_lossy(&bare.stderr));
        let expected = documents_of(&String::from_utf8_lossy(&bare.stdout));
        let documents = parsed(&output.documents);
        let found: Vec<_> = documents.iter().map(|(_, value)| value.clone()).collect();
        assert_eq!(found, expected, "{overlay}");
        for (file, _) in &documents {
            assert!(folder.join(file).is_file(), "{overlay}: {file}");
        }
    }
    let output = build(&kustomize, fixtures("overlays"), "hello/production").await;
    let documents = parsed(&output.expect("it builds").documents);
    assert_eq!(object(&documents, "Service", "production-the-service").0, "base/service.yaml");
    assert_eq!(object(&documents, "Service", "production-cache").0, "parts/cache/cache.yaml");
    let secret = documents.iter().find(|(_, d)| d["kind"] == "Secret").expect("a Secret");
    assert_eq!(secret.0, "parts/cache/kustomization.yaml");
}

#[tokio::test]
async fn nothing_outside_of_the_commit_is_read_or_reached() {
    let Some(kustomize) = given(KUSTOMIZE) else { return };
    let outside = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(outside.path(), "secret=hunter22").expect("a file");
    let path = outside.path().display();
    let up = "../".repeat(20);
    for (text, what) in [
        (format!("configMapGenerator:\n- name: x\n  files: ['a={path}']\n"), "absolute"),
        (format!("configMapGenerator:\n- name: x\n  files: ['a={up}{path}']\n"), "many steps up"),
        (format!("configMapGenerator:\n- name: x\n  envs: ['{path}']\n"), "envs"),
        (format!("patches:\n- path: {path}\n"), "a patch"),
        (
            "configMapGenerator:\n- name: x\n  files: ['a=/proc/self/environ']\n".to_owned(),
            "environment",
        ),
    ] {
        let files: FileTree = [("over/kustomization.yaml", text)].into_iter().collect();
        let error = told(build(&kustomize, files, "over").await.expect_err(what));
        assert!(error.contains("leads out of the repository"), "{what}: {error}");
        assert!(!error.contains("hunter22"), "{what}: {error}");
    }
    let files: FileTree =
        [("over/kustomization.yaml", "resources: ['https://127.0.0.1:1/x.yaml']\n")]
            .into_iter()
            .collect();
    let error = told(build(&kustomize, files, "over").await.expect_err("remote"));
    assert!(
        error.starts_with(
            "over/kustomization.yaml:1: resources: https://127.0.0.1:1/x.yaml is fetched"
        ),
        "{error}"
    );
}

#[tokio::test]
async fn mistakes_are_told_without_values_and_folders() {
    let Some(kustomize) = given(KUSTOMIZE) else { return };
    let over = |text: &str| -> FileTree {
        [
            ("over/kustomization.yaml", text),
            ("over/bad.yaml", "a: b: hunter22"),
            ("over/odd.yaml", "a: hunter22"),
        ]
        .into_iter()
        .collect()
    };
    for (text, expected) in [
        (
            "resources: [bad.yaml]\n",
            "over/kustomization.yaml: MalformedYAMLError: yaml: mapping values are not allowed in this context in File: bad.yaml",
        ),
        ("resources: [odd.yaml]\n", "over/kustomization.yaml: odd.yaml: missing Resource metadata"),
        (
            "foo: bar\n",
            "over/kustomization.yaml: invalid Kustomization: json: unknown field \"foo\"",
        ),
        (
            "patches:\n- path: nope.yaml\n",
            "over/kustomization.yaml: trouble configuring builtin PatchTransformer with config: …: failed to get the patch file from path(nope.yaml): open over/nope.yaml: no such file or directory",
        ),
    ] {
        let error = told(build(&kustomize, over(text), "over").await.expect_err(text));
        assert!(!error.contains("hunter22") && !error.contains("/files/"), "{error}");
        assert_eq!(error, expected);
    }
}

#[tokio::test]
async fn without_kustomize_it_is_said_how_to_get_it() {
    let error = build(&PathBuf::from("/no/kustomize"), fixtures("overlays"), "base").await;
    let error = error.expect_err("none").to_string();
    assert!(error.starts_with("/no/kustomize is no program; install Kustomize 5"), "{error}");
}
