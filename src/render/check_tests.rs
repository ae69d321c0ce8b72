use std::fmt::Write as _;

use super::*;
use crate::domain::finding::Severity;
use crate::render::tests::inputs;
use crate::render::tools::NoTools;

fn policy() -> Policy {
    use std::time::Duration;

    use crate::domain::policy::{Forks, Isolation, Lifetime, Limits, Namespaces, Select, Tls};
    Policy {
        at: crate::domain::policy::At::Head,
        select: Select {
            base_branches: vec![],
            head_branches: vec![],
            labels_all: vec![],
            labels_none: vec![],
            drafts: true,
            authors: Vec::new(),
            bots: Vec::new(),
            paths: Vec::new(),
        },
        forks: Forks::Approve,
        admit: crate::domain::admit::Rules::default(),
        branches: vec![],
        lifetime: Lifetime {
            ttl: Duration::from_secs(1),
            max_ttl: Duration::from_secs(1),
            warn_before: Duration::from_secs(1),
        },
        sleep: crate::domain::policy::Sleep::default(),
        url: Url {
            host: "example.com".into(),
            scheme: "https".into(),
            port: None,
            ingress_class: None,
            gateway: None,
            tls: Tls::ControllerDefault,
            probe: true,
        },
        gate: crate::domain::gate::Asked::default(),
        isolation: Isolation {
            pod_security: "baseline",
            allowed_kinds: vec![],
            deployer_role: "bivouac-deployer".into(),
            namespaces: Namespaces::Rewrite,
            image_registries: vec![],
            ignored_cluster_scoped: vec![],
            yields: vec![],
        },
        limits: Limits {
            objects: 200,
            files: 1000,
            file_bytes: 1 << 20,
            tree_bytes: 16 << 20,
            rendered_bytes: 4 << 20,
            render_time: Duration::from_secs(10),
        },
        progress_deadline: Duration::from_secs(600),
        parameters: std::collections::BTreeMap::new(),
        guardrails: crate::domain::guardrails::Rules::default(),
    }
}

fn run(files: &[(&str, &str)]) -> Checked {
    let tree: FileTree = files.iter().map(|(path, text)| (*path, *text)).collect();
    let tools = NoTools::because("this test renders without tools");
    futures::executor::block_on(check(&tree, &inputs(), &policy(), &tools))
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
         ---\napiVersion: v1\nkind: Service\nmetadata: {{name: open}}\nspec:\n  type: NodePort\n  selector: {{app: a}}\n"
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
fn a_value_without_quotes_that_is_no_text_for_another_commit_is_a_warning() {
    let template = |value: &str| {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  y: {value}\n")
    };
    for (value, wanted) in [
        ("{{commit.short}}", vec!["k8s/a.yaml.hbs:6:6 BR101"]),
        ("{{branch.slug}}", vec!["k8s/a.yaml.hbs:6:6 BR101"]),
        ("\"{{commit.short}}\"", vec![]),
        ("v-{{commit.sha}}", vec![]),
        ("{{env.name}}", vec![]),
    ] {
        assert_eq!(places(&[("k8s/a.yaml.hbs", &template(value))]), wanted, "{value}");
    }
    let found = run(&[("k8s/a.yaml.hbs", &template("{{branch.slug}}"))]).findings;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].severity, Severity::Warning);
    assert!(found[0].hint.contains("{{quote branch.slug}}"), "{found:?}");
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
fn an_app_that_can_not_be_rendered_does_not_hide_the_rest() {
    let preview =
        "apps:\n  - {name: c, path: chart}\n  - {name: k, path: over}\n  - {name: w, path: web}\n";
    let files = [
        (PREVIEW_FILE, preview),
        ("chart/Chart.yaml", "name: c\n"),
        ("chart/templates/x.yaml", "{{ .Values.x }}\n"),
        ("over/kustomization.yaml", "resources: []\n"),
        ("web/a.yaml", "kind: X\n"),
    ];
    assert_eq!(places(&files), ["chart BR008", "over BR008", "web/a.yaml:1:1 BR005"]);
}

#[test]
fn what_follows_from_another_mistake_is_not_told() {
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: Web}\nspec: {selector: {app: a}, ports: [{port: 80}]}\n";
    let preview = "apps:\n  - name: w\n    path: web\n    expose: {service: web, port: 80}\n";
    let files = [(PREVIEW_FILE, preview), ("web/a.yaml", service)];
    assert_eq!(places(&files), ["web/a.yaml:3:18 BR005"]);
    let fine = service.replace("Web", "other");
    let files = [(PREVIEW_FILE, preview), ("web/a.yaml", fine.as_str())];
    assert_eq!(places(&files).len(), 1);
    assert!(places(&files)[0].starts_with(".bivouac.yaml:4:"), "{:?}", places(&files));
    let preview = "apps:\n  - name: w\n    path: web\nparamters:\n  seed: {type: string}\n";
    let map = format!("{MAP}data: {{x: \"{{{{params.seed}}}}\"}}\n");
    let files = [(PREVIEW_FILE, preview), ("web/a.yaml.hbs", map.as_str())];
    assert_eq!(places(&files), [".bivouac.yaml:4:1 BR003"]);
}

#[test]
fn paths_are_read_also_when_the_preview_file_is_wrong_elsewhere() {
    let of = |text: &str| match wanted(&[(PREVIEW_FILE, text)].into_iter().collect()) {
        Wanted::All(paths) => paths,
        Wanted::FirstOf(_) => panic!("there is a preview file"),
    };
    assert_eq!(of("apps: [{name: a, path: ./k8s/}]"), ["k8s"]);
    let broken = "x: 1\napps: [{name: A_, path: ./k8s/}, {path: ../y}, {path: 5}, {path: z}, q]";
    assert_eq!(of(broken), ["k8s", "z"]);
    assert!(of("apps: [").is_empty() && of("- apps").is_empty() && of("apps: 1").is_empty());
    assert_eq!(wanted(&FileTree::new()), super::super::wanted(&FileTree::new()));
}
