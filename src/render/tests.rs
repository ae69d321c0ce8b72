use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::*;
use crate::domain::bundle::canonical_json;
use crate::domain::file_tree::Wanted;
use crate::domain::guard::{GuardPolicy, guard};
use crate::domain::hosts::AppHost;
use crate::domain::id::{PrNumber, RepoName, Revision};
use crate::domain::preview_file::CONVENTIONAL_PATHS;
use crate::domain::render_inputs::{ClusterFacts, RenderRules, environment_config};

fn render(
    tree: &FileTree,
    inputs: &RenderInputs,
    limits: RenderLimits,
) -> Result<Rendered, RenderError> {
    let tools = tools::NoTools::because("this test renders without tools");
    futures::executor::block_on(super::render(tree, inputs, limits, &tools))
}

pub(super) fn own(host: &str) -> AppHost {
    AppHost { host: host.to_owned(), url: format!("http://{host}") }
}

pub(super) fn inputs() -> RenderInputs {
    RenderInputs {
        revision: Revision::parse("0123e4567890abcdef0123456789abcdef012345").expect("a hash"),
        merge: None,
        repository: RepoName::parse("Acme", "Shop").expect("a name"),
        environment: "shop-pr-7".into(),
        namespace: "camp-shop-pr-7-0a1b2c3d".into(),
        host: "shop-pr-7.example.com".into(),
        url: "http://shop-pr-7.example.com:8080".into(),
        app_hosts: BTreeMap::from([("my-api".into(), own("api.example.com"))]),
        pull_request: Some(PrNumber(7)),
        branch_slug: "feature-x".into(),
        parameters: BTreeMap::new(),
        rules: RenderRules::default(),
        policy: BTreeMap::new(),
        cluster: ClusterFacts::default(),
        redeploy: None,
    }
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

fn fixture(name: &str) -> FileTree {
    fn walk(root: &Path, here: &Path, tree: &mut FileTree) {
        for entry in std::fs::read_dir(here).expect("a folder").flatten() {
            if entry.path().is_dir() {
                walk(root, &entry.path(), tree);
            } else {
                let path = entry.path().strip_prefix(root).expect("below").display().to_string();
                tree.insert(path, std::fs::read(entry.path()).expect("read"));
            }
        }
    }
    let root = folder("fixtures/render").join(name);
    let mut tree = FileTree::new();
    walk(&root, &root, &mut tree);
    tree
}

/// Compares with a golden file; `BIVOUAC_GOLDEN=write` writes it.
fn golden(name: &str, text: &str) {
    let path = folder("golden/render").join(name);
    #[expect(clippy::disallowed_methods, reason = "only this test's switch, not a setting")]
    if std::env::var("BIVOUAC_GOLDEN").is_ok() {
        std::fs::write(&path, text).expect("written");
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, wanted, "{}", path.display());
}

fn run(files: &[(&str, &str)]) -> Result<Rendered, RenderError> {
    let tree: FileTree = files.iter().map(|(path, text)| (*path, *text)).collect();
    render(&tree, &inputs(), RenderLimits::default())
}

const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";

#[test]
fn a_real_tree_becomes_the_golden_bundle() {
    let rendered = render(&fixture("shop"), &inputs(), RenderLimits::default()).expect("rendered");
    let mut text = rendered.bundle.canonical();
    for object in &rendered.bundle.objects {
        let (wave, origin) = (object.wave, &object.origin);
        let _ = writeln!(text, "# {} {wave:?} {origin} {}", object.identity(), object.app);
    }
    let _ = writeln!(text, "# {:?} {:?} {:?}", rendered.chosen, rendered.ttl, rendered.notes);
    let _ = writeln!(text, "# inputs {}", rendered.bundle.inputs_digest);
    let _ = writeln!(text, "# bundle {}", rendered.bundle.digest);
    golden("shop.golden.jsonl", &text);
    let policy = GuardPolicy::new(&inputs().namespace, &[inputs().host]);
    assert_eq!(guard(&rendered.bundle, &policy), Vec::new());
}

#[test]
fn rendering_twice_gives_the_same_bytes_and_each_input_changes_the_digest() {
    let tree = fixture("shop");
    let once = render(&tree, &inputs(), RenderLimits::default()).expect("rendered");
    for _ in 0..50 {
        let again = render(&tree, &inputs(), RenderLimits::default()).expect("rendered");
        assert_eq!(once, again);
    }
    let mut digests = vec![inputs().inputs_digest()];
    let changes: [fn(&mut RenderInputs); 14] = [
        |i| i.revision = Revision::parse(&"f".repeat(40)).expect("a hash"),
        |i| i.repository = RepoName::parse("a", "b").expect("a name"),
        |i| i.environment.push('x'),
        |i| i.namespace.push('x'),
        |i| i.host.push('x'),
        |i| i.url.push('x'),
        |i| i.app_hosts.clear(),
        |i| i.pull_request = None,
        |i| i.branch_slug.push('x'),
        |i| drop(i.parameters.insert("a".into(), "b".into())),
        |i| i.rules.https = false,
        |i| drop(i.policy.insert("a".into(), "b".into())),
        |i| i.merge = Some(Revision::parse(&"e".repeat(40)).expect("a hash")),
        |i| i.cluster.kubernetes_version.push('x'),
    ];
    for change in changes {
        let mut inputs = inputs();
        change(&mut inputs);
        digests.push(inputs.inputs_digest());
    }
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), 15);
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table of bad inputs")]
fn every_bad_input_is_told_to_people_with_file_line_and_what_to_do() {
    let file = |text: &str| {
        vec![
            (".bivouac.yaml".to_owned(), text.to_owned()),
            ("k8s/a.yaml".to_owned(), MAP.to_owned()),
        ]
    };
    let manifest = |text: &str| vec![("k8s/a.yaml".to_owned(), text.to_owned())];
    let template = |text: &str| vec![("k8s/a.yaml.hbs".to_owned(), text.to_owned())];
    let named = |kind: &str, name: &str| {
        manifest(&format!("apiVersion: v1\nkind: {kind}\nmetadata: {{name: {name}}}\n"))
    };
    let apps = |rest: &str| file(&format!("apps:\n  - name: web\n    path: k8s\n{rest}"));
    let many: String =
        (0..21).fold("apps:\n".into(), |all, n| format!("{all}  - {{name: a{n}, path: k8s}}\n"));
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
    for level in 1..10 {
        let list = vec![format!("*a{}", level - 1); 9].join(",");
        let _ = writeln!(bomb, "a{level}: &a{level} [{list}]");
    }
    let long = "a".repeat(64);
    let table: Vec<(&str, Vec<(String, String)>)> = vec![
        ("no preview file, no conventional path", vec![]),
        ("preview file: empty", file("")),
        ("preview file: two documents", file("apps: []\n---\napps: []\n")),
        ("preview file: not a mapping", file("- apps\n")),
        ("preview file: unknown key", apps("lifetme: {ttl: 1h}\n")),
        ("preview file: unknown key, nothing near", apps("docker-compose: x\n")),
        ("preview file: unknown key of an app", file("apps:\n  - name: web\n    pth: k8s\n")),
        ("preview file: hook that is no Job", apps("hooks: {afterReady: [{job: smoke}]}\n")),
        ("preview file: hook of no app", apps("hooks: {afterReady: [{job: a, app: b}]}\n")),
        (
            "preview file: hook twice",
            apps("hooks: {afterReady: [{job: a}], beforeApply: [{job: a}]}\n"),
        ),
        ("preview file: hook without end", apps("hooks: {afterReady: [{job: a, timeout: 2h}]}\n")),
        ("preview file: hook too often", apps("hooks: {afterReady: [{job: a, retries: 11}]}\n")),
        ("preview file: no truth value", apps("deleteData: yes please\n")),
        (
            "manifest: wave that is no number",
            manifest(
                "metadata: {name: a, annotations: {bivouac.dev/wave: soon}}\nkind: ConfigMap\napiVersion: v1\n",
            ),
        ),
        (
            "manifest: hook that is no Job",
            manifest(
                "metadata: {name: a, annotations: {bivouac.dev/hook: afterReady}}\nkind: ConfigMap\napiVersion: v1\n",
            ),
        ),
        ("preview file: duplicate key", apps("apps: []\n")),
        ("preview file: wrong type", file("apps: web\n")),
        ("preview file: number for a string", file("apps: [{name: 5, path: k8s}]\n")),
        ("preview file: missing key", file("apps: [{name: web}]\n")),
        ("preview file: bad name", file("apps: [{name: Web_1, path: k8s}]\n")),
        (
            "preview file: same name twice",
            file("apps: [{name: a, path: k8s}, {name: a, path: k8s}]\n"),
        ),
        ("preview file: too many apps", file(&many)),
        ("preview file: path out of the repository", file("apps: [{name: a, path: ../../etc}]\n")),
        ("preview file: template in a path", file("apps: [{name: a, path: \"{{env.name}}\"}]\n")),
        ("preview file: path that is not there", file("apps: [{name: a, path: k9s}]\n")),
        ("preview file: bad time", apps("lifetime: {ttl: soon}\n")),
        ("preview file: time too long", apps("lifetime: {ttl: 9999d}\n")),
        ("preview file: anchors bomb", file(&bomb)),
        ("preview file: tab", file("apps:\n\t- name: a\n")),
        ("preview file: too big", file(&"#".repeat(2 << 20))),
        ("template: unknown variable", template("a: 1\nb: {{pr.titel}}\n")),
        ("template: unknown variable in if", template("a: 1\n{{#if pr.titel}}\nb: 2\n{{/if}}\n")),
        ("template: not closed", template("a: {{env.host\n")),
        ("template: bad YAML comes out", template("a: [{{env.host}}\n")),
        ("manifest: anchors bomb", manifest(&bomb)),
        ("manifest: duplicate key", manifest("apiVersion: v1\nkind: Secret\nkind: Secret\n")),
        (
            "manifest: bad YAML with a secret",
            manifest("apiVersion: v1\nstringData: {password: \"hunter2}\n"),
        ),
        ("manifest: no object", manifest("just words\n")),
        ("manifest: no apiVersion", manifest("# a note\nkind: ConfigMap\nmetadata: {name: a}\n")),
        ("manifest: no kind", manifest("apiVersion: v1\nmetadata: {name: a}\n")),
        ("manifest: no metadata", manifest("apiVersion: v1\nkind: ConfigMap\n")),
        (
            "manifest: no name",
            manifest("apiVersion: v1\nkind: ConfigMap\nmetadata: {labels: {a: b}}\n"),
        ),
        ("manifest: name is a number", named("ConfigMap", "0755")),
        (
            "manifest: generateName",
            manifest("apiVersion: v1\nkind: Pod\nmetadata: {generateName: a-}\n"),
        ),
        (
            "manifest: label is no text",
            manifest(
                "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  labels: {on: yes}\n",
            ),
        ),
        ("manifest: name over 63", named("Service", &long)),
        ("manifest: name over 253", named("ConfigMap", &long.repeat(4))),
        ("manifest: name is no DNS name", named("ConfigMap", "Not_Dns")),
        (
            "manifest: kind that would break a comment",
            manifest("apiVersion: v1\nkind: \"Pod\\n@all\"\nmetadata: {name: a}\n"),
        ),
        ("manifest: list without items", manifest("apiVersion: v1\nkind: List\n")),
        (
            "manifest: two of one identity",
            vec![
                ("k8s/a.yaml".into(), MAP.into()),
                ("k8s/b.yaml".into(), format!("# again\n{MAP}")),
            ],
        ),
        ("manifest: a control character", manifest("a: 1\n\u{0}")),
        ("no Helm", vec![("chart/Chart.yaml".into(), "name: a\n".into())]),
        ("no Kustomize", vec![("k8s/kustomization.yaml".into(), "resources: []\n".into())]),
    ];
    let mut text = String::new();
    for (what, files) in table {
        let files: Vec<_> = files.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let error = run(&files).expect_err(what).to_string();
        assert!(!error.contains("hunter2") && !error.contains('\n'), "{what}: {error}");
        let _ = writeln!(text, "{what}\n    {error}");
    }
    golden("errors.golden.txt", &text);
}

#[test]
fn without_a_preview_file_the_conventional_paths_are_tried_in_order() {
    let taken = |files: &[&str]| {
        let files: Vec<_> = files.iter().map(|path| (*path, MAP)).collect();
        run(&files).map(|rendered| (rendered.chosen, rendered.notes))
    };
    let (chosen, notes) =
        taken(&["k8s/a.yaml", "deploy/b.yaml", "deploy/preview/c.yaml"]).expect("rendered");
    assert_eq!(chosen, Chosen::Convention("deploy/preview".into()));
    assert_eq!(notes, []);
    let (chosen, _) = taken(&["charts/b/x.yaml", "charts/a/x.yaml"]).expect("rendered");
    assert_eq!(chosen, Chosen::Convention("charts/a".into()));
    let asked = |text: &str| wanted(&[(".bivouac.yaml", text)].into_iter().collect());
    let all = CONVENTIONAL_PATHS.map(str::to_owned).to_vec();
    assert_eq!(wanted(&FileTree::new()), Wanted::FirstOf(all));
    assert_eq!(asked("apps: [{name: a, path: ./x/}]"), Wanted::All(vec!["x".into()]));
    assert_eq!(asked("apps: ["), Wanted::All(vec![]));
}

#[test]
fn text_that_is_no_utf8_is_told_with_its_line() {
    let bytes: &[u8] = b"a: 1\nb: \xff\n";
    let tree: FileTree = [("k8s/a.yaml", bytes)].into_iter().collect();
    let error = render(&tree, &inputs(), RenderLimits::default()).expect_err("no text");
    assert_eq!(error.to_string(), "k8s/a.yaml:2:1: the file is not UTF-8");
}

#[test]
fn limits_hold() {
    let small = RenderLimits { objects: 1, ..RenderLimits::default() };
    let two = format!("{MAP}---\n{}", MAP.replace("name: a", "name: b"));
    let tree: FileTree = [("k8s/a.yaml", two.as_str())].into_iter().collect();
    let error = render(&tree, &inputs(), small).expect_err("too many").to_string();
    assert_eq!(error, "k8s/a.yaml:5:1: more than 1 objects are rendered (limits.objects)");
    let small = RenderLimits { rendered_bytes: 100, ..RenderLimits::default() };
    let error = render(&tree, &inputs(), small).expect_err("too big").to_string();
    assert_eq!(error, "k8s/a.yaml: more than 100 bytes are rendered (limits.renderedBytes)");
}

#[test]
fn a_finding_of_the_guard_names_the_line_of_the_field() {
    let text = "# note\napiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  labels:\n    bivouac.dev/app: x\nspec:\n  \
                containers:\n    - name: a\n      securityContext:\n        privileged: true\n";
    let rendered = run(&[("k8s/a.yaml", text)]).expect("rendered");
    let policy = GuardPolicy::new(&inputs().namespace, &[inputs().host]);
    let lines: Vec<_> = guard(&rendered.bundle, &policy)
        .iter()
        .map(|finding| (finding.rule.id(), finding.origin.to_string()))
        .collect();
    let wanted = [("BV007", "k8s/a.yaml:7".to_owned()), ("BV004", "k8s/a.yaml:12".to_owned())];
    assert_eq!(lines, wanted);
}

#[test]
fn a_hostile_name_of_ours_never_reaches_a_template() {
    for hostile in ["a\nb", "a: b", "a\"", "{{x}}", "#a", "a b", ""] {
        let inputs = RenderInputs { branch_slug: hostile.into(), ..inputs() };
        let error = render(&fixture("shop"), &inputs, RenderLimits::default());
        assert_eq!(error, Err(RenderError::Inputs { name: "branch.slug".into() }), "{hostile:?}");
    }
}

#[test]
fn the_environments_config_map_holds_what_the_design_says() {
    let config = environment_config(&inputs());
    golden("bivouac-env.golden.jsonl", &format!("{}\n", canonical_json(&config)));
}
