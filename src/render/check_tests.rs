use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::*;
use crate::domain::guard::{PodSecurity, default_allowed_kinds};
use crate::domain::id::{PrNumber, RepoName};
use crate::domain::render_inputs::ClusterFacts;

fn inputs() -> RenderInputs {
    RenderInputs {
        revision: Revision::parse("0123abcdef7890abcdef0123456789abcdef0123").expect("a hash"),
        repository: RepoName::parse("acme", "shop").expect("a name"),
        environment: "shop-pr-7".into(),
        namespace: "camp-shop-pr-7-0a1b2c3d".into(),
        host: "shop-pr-7.example.com".into(),
        url: "https://shop-pr-7.example.com".into(),
        app_urls: BTreeMap::new(),
        pull_request: Some(PrNumber(7)),
        branch_slug: "feature-x".into(),
        parameters: BTreeMap::new(),
        policy: BTreeMap::new(),
        cluster: ClusterFacts::default(),
    }
}

fn policy() -> GuardPolicy {
    GuardPolicy {
        namespace: inputs().namespace,
        allowed_kinds: default_allowed_kinds(),
        assigned_hosts: [inputs().host].into(),
        ingress_class: None,
        pod_security: PodSecurity::Baseline,
        image_registries: Vec::new(),
    }
}

fn run(files: &[(&str, &str)]) -> Checked {
    let tree: FileTree = files.iter().map(|(path, text)| (*path, *text)).collect();
    let tools = NoTools::because("this test renders without tools");
    let limits = RenderLimits::default();
    futures::executor::block_on(check(&tree, &inputs(), limits, &policy(), &tools))
}

/// `place rule` of each finding.
fn places(files: &[(&str, &str)]) -> Vec<String> {
    let found = run(files).findings;
    found.iter().map(|finding| format!("{} {}", finding.place(), finding.rule)).collect()
}

const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";

#[test]
fn mistakes_in_every_file_and_document_are_found_at_once() {
    let many = format!(
        "{MAP}---\nkind: ConfigMap\nmetadata: {{name: b}}\n---\napiVersion: v1\nkind: Service\nmetadata: {{name: Bad_Name}}\n\
         ---\napiVersion: v1\nkind: Service\nmetadata: {{name: open}}\nspec:\n  type: NodePort\n"
    );
    let files = [
        ("k8s/1-many.yaml", many.as_str()),
        ("k8s/2-broken.yaml", "a: [1\nb: 2\n"),
        ("k8s/3-twice.yaml", MAP),
        ("k8s/4-template.yaml.hbs", "a: {{pr.titel}}\n"),
        ("k8s/5-no-text.yaml", "just words\n"),
        ("k8s/6-fine.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: fine}\n"),
    ];
    assert_eq!(
        places(&files),
        [
            "k8s/1-many.yaml:5:1 BR005",
            "k8s/1-many.yaml:10:18 BR005",
            "k8s/1-many.yaml:16:3 BV005",
            "k8s/2-broken.yaml:2:2 BR001",
            "k8s/3-twice.yaml:1:1 BR006",
            "k8s/4-template.yaml.hbs:1:4 BR002",
            "k8s/5-no-text.yaml:1:1 BR005",
        ]
    );
    let checked = run(&files);
    assert_eq!((checked.objects, checked.whole), (3, false));
}

#[test]
fn mistakes_in_the_preview_file_are_found_at_once_and_none_is_made_up() {
    let table: [(&str, &[&str]); 12] = [
        (
            "appz: 1\napps:\n  - name: Web\n    path: k8s\n  - name: ok\n    path: k8s\n  - name: gone\n    path: no/such\n\
             lifetime:\n  ttl: soon\n",
            &[":1:1", ":3:11", ":8:11", ":10:8"],
        ),
        ("apps:\n  - name: a\n    path: k8s\n    pth: x\n    nme: y\n", &[":4:5", ":5:5"]),
        (
            "apps:\n  - nme: a\n    path: k8s\n  - name: ok\n    path: k8s\nx: 1\n",
            &[":2:5", ":6:1"],
        ),
        // What can't be taken out ends the search.
        ("apps: [{name: 5, path: k8s}]\n", &[":1:15"]),
        ("apps:\n  - name: 5\n    path: k8s\n", &[":2:11"]),
        ("apps: web\n", &[":1:7"]),
        ("lifetime: {ttl: 1h}\n", &[":1:1"]),
        ("- apps\n", &[":1:1"]),
        ("", &[":1:1"]),
        ("apps:\n\t- name: a\n", &[":2:2"]),
        ("lifetime: {ttl: soon}\napps: [{name: ok, path: k8s}]\n", &[":1:17"]),
        ("apps: [\n  {name: ok, path: k8s},\n  {name: 5, path: k8s}\n]\n", &[":3:10"]),
    ];
    for (text, wanted) in table {
        let files = [(PREVIEW_FILE, text), ("k8s/a.yaml", MAP)];
        let found: Vec<String> = run(&files)
            .findings
            .iter()
            .filter(|f| f.file.as_deref() == Some(PREVIEW_FILE))
            .map(|f| f.place().trim_start_matches(PREVIEW_FILE).to_owned())
            .collect();
        assert_eq!(found, wanted, "{text}");
    }
}

#[test]
fn the_first_finding_of_render_is_the_one_that_the_service_tells() {
    let files = [("k8s/a.yaml", "a: [\n"), ("k8s/b.yaml", "kind: X\n")];
    let tree: FileTree = files.iter().copied().collect();
    let tools = NoTools::because("none");
    let limits = RenderLimits::default();
    let alone = futures::executor::block_on(render(&tree, &inputs(), limits, &tools));
    let error = alone.expect_err("it is wrong").finding();
    assert_eq!(run(&files).findings.first(), Some(&error));
}

#[test]
fn a_value_that_another_commit_turns_into_a_number_is_a_warning() {
    let template = |value: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  annotations:\n    x: {value}\ndata:\n  y: {value}\n"
        )
    };
    for (value, wanted) in [
        ("{{commit.short}}", vec!["k8s/a.yaml.hbs:6:8 BR101"]),
        ("{{branch.slug}}", vec!["k8s/a.yaml.hbs:6:8 BR101"]),
        ("\"{{commit.short}}\"", vec![]),
        ("v-{{commit.sha}}", vec![]),
        ("{{env.name}}", vec![]),
    ] {
        assert_eq!(places(&[("k8s/a.yaml.hbs", &template(value))]), wanted, "{value}");
    }
    // What is no label is no error for any commit, and still another value.
    let data =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  y: {{commit.short}}\n";
    let found = run(&[("k8s/a.yaml.hbs", data)]).findings;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].place(), "k8s/a.yaml.hbs:5:3");
    assert_eq!(found[0].field.as_deref(), Some("/data/y"));
    assert_eq!(found[0].severity, Severity::Warning);
}

#[test]
fn the_search_ends_also_when_everything_is_wrong() {
    let mut files = Vec::new();
    for index in 0..200 {
        files.push((format!("k8s/{index:03}.yaml"), "kind: X\n".to_owned()));
    }
    let mut deep = String::new();
    for _ in 0..300 {
        let _ = write!(deep, "---\nkind: X\n");
    }
    files.push(("k8s/deep.yaml".into(), deep));
    let files: Vec<_> = files.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let checked = run(&files);
    assert_eq!((checked.findings.len(), checked.whole), (MOST, false));
}

#[test]
fn a_chart_that_can_not_be_rendered_does_not_hide_the_rest() {
    let preview = "apps:\n  - {name: c, path: chart}\n  - {name: w, path: web}\n";
    let files = [
        (PREVIEW_FILE, preview),
        ("chart/Chart.yaml", "name: c\n"),
        ("chart/templates/x.yaml", "{{ .Values.x }}\n"),
        ("web/a.yaml", "kind: X\n"),
    ];
    assert_eq!(places(&files), ["chart BR008", "web/a.yaml:1:1 BR005"]);
}

#[test]
fn paths_are_read_also_when_the_preview_file_is_wrong_elsewhere() {
    let of = |text: &str| match wanted(Some(text.as_bytes())) {
        Wanted::All(paths) => paths,
        Wanted::FirstOf(_) => panic!("there is a preview file"),
    };
    assert_eq!(of("apps: [{name: a, path: ./k8s/}]"), ["k8s"]);
    assert_eq!(
        of("x: 1\napps: [{name: A_, path: ./k8s/}, {path: ../y}, {path: 5}, {path: z}, q]"),
        ["k8s", "z"]
    );
    assert!(of("apps: [").is_empty() && of("- apps").is_empty() && of("apps: 1").is_empty());
    assert_eq!(wanted(None), super::super::wanted(None));
}
