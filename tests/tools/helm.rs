//! Charts, against Helm itself.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bivouac::domain::file_tree::FileTree;
use bivouac::render::tools::{HelmJob, ToolError, ToolLimits, Tools as _};
use serde_json::json;

use super::{documents_of, fixtures, given, limits, object, parsed, told, tools, tree_of};

const HELM: &str = "BIVOUAC_TEST_HELM";

fn job(files: FileTree, chart: &str) -> HelmJob {
    HelmJob {
        files,
        chart: chart.into(),
        release: "app".into(),
        namespace: "camp-1".into(),
        values: Vec::new(),
        set: Vec::new(),
        kubernetes_version: "1.31".into(),
        api_versions: Vec::new(),
        limits: limits(),
    }
}

/// A chart of one template.
fn small(template: &str) -> FileTree {
    [
        ("c/Chart.yaml", "apiVersion: v2\nname: c\nversion: 0.1.0\n"),
        ("c/values.yaml", "token: hunter22-secret\nlist: [1]\n"),
        ("c/templates/x.yaml", template),
    ]
    .into_iter()
    .collect()
}

#[tokio::test]
async fn a_chart_with_all_that_public_charts_have() {
    let Some(helm) = given(HELM) else { return };
    let tools = tools(Some(helm), None);
    let mut job = job(fixtures("charts"), "web");
    job.files.insert("values/preview.yaml", "replicaCount: 2\nsessions: {maxMemory: 5mb}\n");
    job.files
        .insert("values/odd, \"name\".yaml", "extraEnv: {PORT: '{{ .Values.service.port }}'}\n");
    job.values = vec!["values/preview.yaml".into(), "values/odd, \"name\".yaml".into()];
    job.set = vec![
        ("image.tag".into(), json!("0755")),
        ("ingress".into(), json!({"enabled": true, "hosts": ["a.example.org", "b,c.example.org"]})),
        ("extraEnv.COUNT".into(), json!(3)),
    ];
    job.api_versions = vec!["monitoring.coreos.com/v1".into()];
    let output = tools.helm(job).await.map_err(told).expect("it renders");
    let documents = parsed(&output.documents);
    let (file, deployment) = object(&documents, "Deployment", "app-web");
    assert_eq!(file, "web/templates/deployment.yaml");
    assert_eq!(deployment["spec"]["replicas"], 2);
    assert_eq!(deployment["metadata"]["namespace"], "camp-1");
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], "ghcr.io/example/web:0755");
    assert_eq!(container["env"][0], json!({"name": "COUNT", "value": "3"}));
    assert_eq!(container["env"][1], json!({"name": "PORT", "value": "8080"}));
    let (file, stateful) = object(&documents, "StatefulSet", "app-sessions");
    assert_eq!(file, "web/charts/cache/templates/statefulset.yaml");
    assert_eq!(stateful["spec"]["template"]["spec"]["containers"][0]["args"][1], "5mb");
    let (_, cluster) = object(&documents, "ConfigMap", "app-web-cluster");
    let expected =
        json!({"version": "v1.31.0", "monitored": "true", "found": "0", "release": "app/camp-1"});
    assert_eq!(cluster["data"], expected);
    let (_, text) = object(&documents, "ConfigMap", "app-web");
    assert_eq!(text["data"]["banner"], "--- not a new document\nWelcome to the camp.\n");
    object(&documents, "Ingress", "b,c-example-org");
    let (_, hook) = object(&documents, "Job", "app-web-migrate");
    assert_eq!(hook["metadata"]["annotations"]["helm.sh/hook"], "pre-install,pre-upgrade");
    let (_, hook) = object(&documents, "Job", "app-web-goodbye");
    assert_eq!(hook["metadata"]["annotations"]["helm.sh/hook"], "pre-delete");
    assert!(!documents.iter().any(|(_, d)| d["metadata"]["name"] == "app-web-test"));
    assert_eq!(output.notes, ["helm: test hooks are left out: Pod app-web-test"]);
    let secret = documents.iter().position(|(_, d)| d["kind"] == "Secret").expect("a Secret");
    let random: Vec<_> =
        output.random.iter().map(|field| (field.document, field.pointer.as_str())).collect();
    assert_eq!(random, [(secret, "/data/password")]);
}

/// What we give for a chart on disk and what Helm alone gives, both parsed. Answers how many objects there are.
async fn same_as_helm(helm: &Path, folder: &Path, chart: &str, set: &[(&str, &str)]) -> usize {
    let files = tree_of(folder, "");
    let mut job = job(files, chart);
    job.set = set
        .iter()
        .map(|(path, value)| ((*path).to_owned(), serde_json::from_str(value).expect("JSON")))
        .collect();
    let output = tools(Some(helm.to_owned()), None).helm(job).await.map_err(told).expect(chart);
    let copy = tempfile::tempdir().expect("a folder");
    for (path, bytes) in tree_of(folder, "").iter() {
        let file = copy.path().join(path);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        std::fs::write(file, bytes).expect("a file");
    }
    // Helm alone wants dependencies in their place; those of file:// it puts there without a network.
    let _ = Command::new(helm)
        .args(["dependency", "build", chart])
        .current_dir(copy.path())
        .env("HELM_CACHE_HOME", copy.path().join(".cache"))
        .output();
    let mut bare = Command::new(helm);
    bare.args(["template", "app"]).arg(copy.path().join(chart));
    bare.args(["--namespace=camp-1", "--kube-version=1.31.0", "--include-crds"]);
    bare.args(set.iter().map(|(path, value)| format!("--set-json={path}={value}")));
    let bare = bare.output().expect("helm runs");
    assert!(bare.status.success(), "{}", String::from_utf8_lossy(&bare.stderr));
    let dropped = |value: &serde_json::Value| {
        let hook = value["metadata"]["annotations"]["helm.sh/hook"].as_str().unwrap_or_default();
        // A pre-delete hook is kept: it runs before the camp is taken down.
        let never = |event: &str| event.starts_with("test") || event == "post-delete";
        !hook.is_empty() && hook.split(',').all(|event| never(event.trim()))
    };
    let mut expected = documents_of(&String::from_utf8_lossy(&bare.stdout));
    expected.retain(|value| !value.is_null() && !dropped(value));
    let mut found: Vec<_> = parsed(&output.documents).into_iter().map(|(_, value)| value).collect();
    // What differs each time can't be the same here either.
    for field in &output.random {
        for side in [&mut found, &mut expected] {
            if let Some(value) =
                side.get_mut(field.document).and_then(|d| d.pointer_mut(&field.pointer))
            {
                *value = json!("random");
            }
        }
    }
    assert_eq!(found.len(), expected.len(), "{chart}");
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected, "{chart}");
    }
    found.len()
}

#[tokio::test]
async fn it_is_what_helm_gives() {
    let Some(helm) = given(HELM) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    for (path, bytes) in fixtures("charts").iter() {
        // `helm dependency build` would ask for the other dependency too.
        for path in [path.to_owned(), path.replacen("common/", "web/charts/common/", 1)] {
            let file = folder.path().join(path);
            std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
            std::fs::write(file, bytes).expect("a file");
        }
    }
    assert_eq!(same_as_helm(&helm, folder.path(), "web", &[]).await, 8);
    // Charts of others, when a folder with some is given: every folder in it that is a chart.
    let Some(charts) = given("BIVOUAC_TEST_CHARTS") else { return };
    for entry in std::fs::read_dir(&charts).expect("a folder").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let chart = std::fs::read_to_string(entry.path().join("Chart.yaml")).unwrap_or_default();
        if !chart.is_empty() && !chart.contains("type: library") {
            same_as_helm(&helm, &charts, &name, &[]).await;
        }
    }
}

#[tokio::test]
async fn mistakes_are_told_with_their_place_and_no_value() {
    let Some(helm) = given(HELM) else { return };
    let tools = tools(Some(helm), None);
    for (template, expected) in [
        (
            "a: {{ .Values.foo.bar }}\n",
            "c/templates/x.yaml:1: nil pointer evaluating interface {}.bar (at .Values.foo.bar)",
        ),
        (
            "a: 1\nb: {{ required \"token is needed\" .Values.q }}\n",
            "c/templates/x.yaml:2: token is needed",
        ),
        ("a: {{ fail (printf \"not %s\" .Values.token) }}\n", "c/templates/x.yaml:1: not …"),
        ("a: {{ nosuch 1 }}\n", "c/templates/x.yaml:1: function \"nosuch\" not defined"),
        (
            "kind: A\na: [{{ .Values.token }}\n",
            "c/templates/x.yaml: the filled template is no valid YAML: did not find expected ',' or ']', at line 2 of what it gives",
        ),
        (
            "a: {{ include \"nope\" . }}\n",
            "c/templates/x.yaml:1: error calling include: template: no template \"nope\" associated with template \"gotpl\"",
        ),
    ] {
        let error = tools.helm(job(small(template), "c")).await.expect_err(template);
        assert_eq!(told(error), expected);
    }
    let mut wrong = job(fixtures("charts"), "web");
    wrong.set = vec![("replicaCount".into(), json!("many-hunter22"))];
    let error = told(tools.helm(wrong).await.expect_err("no number"));
    assert!(
        error.starts_with("web/values.schema.json: the values do not fit the chart's schema: "),
        "{error}"
    );
    assert!(error.contains("replicaCount") && !error.contains("hunter22"), "{error}");
    let mut wrong = job(fixtures("charts"), "web");
    wrong.files.insert("v.yaml", "a: 1\nb: [hunter22\n");
    wrong.values = vec!["v.yaml".into()];
    let error = told(tools.helm(wrong).await.expect_err("no YAML"));
    assert!(error.starts_with("v.yaml:") && !error.contains("hunter22"), "{error}");
    let mut wrong = job(fixtures("charts"), "web");
    wrong.values = vec!["../../etc/passwd".into()];
    let error = told(tools.helm(wrong).await.expect_err("not there"));
    assert_eq!(error, "../../etc/passwd: there is no such file in this commit");
}

#[tokio::test]
async fn a_schema_reaches_neither_network_nor_files() {
    let Some(helm) = given(HELM) else { return };
    let tools = tools(Some(helm), None);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    let outside = tempfile::NamedTempFile::new().expect("a file");
    // A schema that fits: were it read, the chart would render.
    std::fs::write(outside.path(), "{}").expect("a file");
    for reference in [
        format!("http://127.0.0.1:{port}/schema.json"),
        format!("https://127.0.0.1:{port}/schema.json"),
        format!("file://{}", outside.path().display()),
        "file:///dev/zero".to_owned(),
        "file:///etc/passwd".to_owned(),
    ] {
        let mut files = small("a: 1\n");
        files.insert("c/values.schema.json", format!("{{\"$ref\": \"{reference}\"}}"));
        let error = told(tools.helm(job(files, "c")).await.expect_err(&reference));
        assert!(error.contains("schemas are not loaded from elsewhere"), "{reference}: {error}");
    }
    assert!(listener.accept().is_err(), "somebody has connected");
}

#[tokio::test]
async fn what_is_outside_of_the_chart_is_not_there() {
    let Some(helm) = given(HELM) else { return };
    let tools = tools(Some(helm), None);
    let mut files = small(
        "a: {{ .Files.Get \"../secret.txt\" | quote }}{{ .Files.Get \"/etc/hostname\" }}\nb: {{ env \"HOME\" }}\n",
    );
    files.insert("secret.txt", "hunter22");
    let error = told(tools.helm(job(files, "c")).await.expect_err("no such function"));
    assert!(error.contains("function \"env\" not defined"), "{error}");
    let mut files = small(
        "a: {{ .Files.Get \"../secret.txt\" | quote }}\nb: {{ .Files.Get \"/etc/hostname\" | quote }}\n",
    );
    files.insert("secret.txt", "hunter22");
    let output = tools.helm(job(files, "c")).await.map_err(told).expect("it renders");
    assert_eq!(parsed(&output.documents)[0].1, json!({"a": "", "b": ""}));
}

#[tokio::test]
async fn hostile_charts_end_within_their_limits_and_harm_no_other() {
    let Some(helm) = given(HELM) else { return };
    let tools = tools(Some(helm), None);
    let bounded =
        |template: &str, limits: ToolLimits| HelmJob { limits, ..job(small(template), "c") };
    let time = ToolLimits { time: Duration::from_secs(3), ..limits() };
    let memory = ToolLimits { memory_bytes: 200 << 20, ..limits() };
    let output = ToolLimits { output_bytes: 1 << 20, ..limits() };
    let endless = "{{- define \"r\" }}{{ range until 100000 }}{{ range until 100000 }}{{ end }}{{ end }}{{ end }}{{ include \"r\" . }}";
    let grows = "{{ $x := \"0123456789abcdef\" }}{{ range until 40 }}{{ $x = printf \"%s%s\" $x $x }}{{ end }}a: {{ len $x }}\n";
    let long = "{{ range until 200000 }}# 0123456789\n{{ end }}a: 1\n";
    let again = "{{ define \"r\" }}{{ include \"r\" . }}{{ end }}a: {{ include \"r\" . }}";
    let good = tools.helm(job(small("a: {{ .Release.Name }}\n"), "c"));
    let (slow, big, printed, deep, good) = tokio::join!(
        tools.helm(bounded(endless, time)),
        tools.helm(bounded(grows, memory)),
        tools.helm(bounded(long, output)),
        tools.helm(bounded(again, limits())),
        good,
    );
    let too_much = |found: Result<_, ToolError>| match found {
        Err(ToolError::TooMuch { message }) => message,
        other => panic!("{other:?}"),
    };
    assert_eq!(too_much(slow), "helm took longer than 3 s (limits.renderTime)");
    assert_eq!(too_much(big), "helm needed more than 200 MiB of memory");
    assert_eq!(too_much(printed), "helm printed more than 1048576 bytes (limits.renderedBytes)");
    assert!(
        told(deep.expect_err("it never ends"))
            .contains("rendering template has a nested reference name")
    );
    assert_eq!(parsed(&good.expect("the neighbour renders").documents)[0].1, json!({"a": "app"}));
}

#[tokio::test]
async fn nothing_is_left_behind() {
    let Some(helm) = given(HELM) else { return };
    let base = tempfile::tempdir().expect("a folder");
    let settings = bivouac::render::confined::ToolSettings {
        own: super::own().to_owned(),
        helm: Some(helm),
        scratch: vec![base.path().to_owned()],
        ..bivouac::render::confined::ToolSettings::new(None, std::env::temp_dir())
    };
    let tools = bivouac::render::confined::ConfinedTools::find(settings);
    let empty = || std::fs::read_dir(base.path()).expect("a folder").next().is_none();
    tools.helm(job(small("a: 1\n"), "c")).await.map_err(told).expect("it renders");
    assert!(empty());
    tools.helm(job(small("a: {{ fail \"x\" }}\n"), "c")).await.expect_err("it fails");
    assert!(empty());
    let endless = "{{ range until 100000 }}{{ range until 100000 }}{{ end }}{{ end }}";
    let dropped =
        tokio::time::timeout(Duration::from_secs(1), tools.helm(job(small(endless), "c")));
    assert!(dropped.await.is_err());
    assert!(empty());
    let me = std::process::id().to_string();
    for _ in 0..100 {
        if !children_called(&me, "helm") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("helm still runs");
}

/// Whether a process of this name has the parent `parent` and is no zombie.
fn children_called(parent: &str, name: &str) -> bool {
    let stat = |entry: std::fs::DirEntry| std::fs::read_to_string(entry.path().join("stat")).ok();
    std::fs::read_dir("/proc").expect("/proc").flatten().filter_map(stat).any(|stat| {
        let Some((before, after)) = stat.rsplit_once(") ") else { return false };
        let mut words = after.split(' ');
        let (state, above) = (words.next(), words.next());
        before.ends_with(&format!("({name}")) && state != Some("Z") && above == Some(parent)
    })
}

#[tokio::test]
async fn without_helm_it_is_said_how_to_get_it() {
    let error = tools(Some("/no/such/helm".into()), None).helm(job(small("a: 1\n"), "c")).await;
    let ToolError::Unavailable { message } = error.expect_err("no helm") else {
        panic!("wrong kind")
    };
    assert!(
        message.starts_with("/no/such/helm is no program; install Helm 3.12 or newer"),
        "{message}"
    );
    let error = tools(None, None).helm(job(small("a: 1\n"), "c")).await.expect_err("no helm");
    assert!(error.to_string().starts_with("helm is not in PATH; install Helm"), "{error}");
    let error = tools(Some("/bin/true".into()), None).helm(job(small("a: 1\n"), "c")).await;
    let error = error.expect_err("no helm").to_string();
    assert!(error.contains("did not say a version of Helm"), "{error}");
}
