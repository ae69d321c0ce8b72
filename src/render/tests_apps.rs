//! Every key of the preview file through the whole pipeline, with tools that are told what to print.

// What follows this mark may use what it likes (`tests/layering.rs`).
#[cfg(test)]
use std::sync::Mutex;

use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::tests::{inputs, own};
use super::tools::{HelmJob, KustomizeJob, RandomOutput, ToolDocument, ToolError, ToolOutput};
use super::*;
use crate::domain::bundle::Wave;
use crate::domain::policy::{Gateway, Namespaces, Tls};
use crate::domain::preview_file::ParameterRule;

/// Prints what it is told, and keeps the jobs.
#[derive(Default)]
struct Told {
    documents: Vec<(&'static str, &'static str)>,
    random: Vec<(usize, &'static str)>,
    error: Option<ToolError>,
    helm: Mutex<Vec<HelmJob>>,
    kustomize: Mutex<Vec<KustomizeJob>>,
}

impl Told {
    fn printing(documents: &[(&'static str, &'static str)]) -> Self {
        Self { documents: documents.to_vec(), ..Self::default() }
    }

    fn failing(error: ToolError) -> Self {
        Self { error: Some(error), ..Self::default() }
    }

    fn answer(&self) -> BoxFuture<'_, Result<ToolOutput, ToolError>> {
        let output = ToolOutput {
            documents: self
                .documents
                .iter()
                .map(|(file, yaml)| ToolDocument { file: (*file).into(), yaml: (*yaml).into() })
                .collect(),
            notes: vec!["a note of the tool".into()],
            random: self
                .random
                .iter()
                .map(|(document, pointer)| RandomOutput {
                    document: *document,
                    pointer: (*pointer).into(),
                })
                .collect(),
        };
        let answer = self.error.clone().map_or(Ok(output), Err);
        Box::pin(async move { answer })
    }
}

impl Tools for Told {
    fn helm(&self, job: HelmJob) -> BoxFuture<'_, Result<ToolOutput, ToolError>> {
        self.helm.lock().expect("not poisoned").push(job);
        self.answer()
    }

    fn kustomize(&self, job: KustomizeJob) -> BoxFuture<'_, Result<ToolOutput, ToolError>> {
        self.kustomize.lock().expect("not poisoned").push(job);
        self.answer()
    }
}

fn run(
    files: &[(&str, &str)],
    inputs: &RenderInputs,
    tools: &Told,
) -> Result<Rendered, RenderError> {
    let tree: FileTree = files.iter().map(|(path, text)| (*path, *text)).collect();
    futures::executor::block_on(render(&tree, inputs, RenderLimits::default(), tools))
}

fn plain(files: &[(&str, &str)], inputs: &RenderInputs) -> Result<Rendered, RenderError> {
    run(files, inputs, &Told::default())
}

fn refused(files: &[(&str, &str)], inputs: &RenderInputs) -> String {
    plain(files, inputs).expect_err("refused").to_string()
}

fn object<'a>(rendered: &'a Rendered, name: &str) -> &'a BundleObject {
    let objects = &rendered.bundle.objects;
    let found = objects.iter().find(|object| object.identity().to_string() == name);
    found.unwrap_or_else(|| panic!("no {name} in {:?}", names(rendered)))
}

fn names(rendered: &Rendered) -> Vec<String> {
    rendered.bundle.objects.iter().map(|object| object.identity().to_string()).collect()
}

fn notes(rendered: &Rendered) -> Vec<String> {
    rendered.notes.iter().map(Note::to_string).collect()
}

const FILE: &str = ".bivouac.yaml";
const WEB: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  ports: [{name: http, port: 80}]\n\
    ---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {template: {spec: {containers: [{name: a, image: 'ghcr.io/acme/web:old'}]}}}\n";

#[test]
fn a_chart_goes_to_helm_with_values_and_set_and_nothing_of_the_other_apps() {
    let file = "apps:\n  - name: web\n    path: charts/web\n    values: [v.yaml, ../../env/p.yaml.hbs]\n    set: \
        {image.tag: \"{{commit.sha}}\", replicas: 2, debug: true, none: null}\n  - {name: other, path: k8s}\n";
    let chart = "name: web\ndependencies: [{name: lib, repository: 'file://../lib'}]";
    let files = [
        (FILE, file),
        ("charts/web/Chart.yaml", chart),
        ("charts/web/v.yaml", "a: 1"),
        ("charts/lib/Chart.yaml", "name: lib"),
        ("env/p.yaml.hbs", "host: {{app.host}}"),
        ("env/p.yaml", "not: this"),
        ("k8s/a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"),
    ];
    let tools = Told::printing(&[("charts/web/templates/web.yaml", WEB)]);
    let mut inputs = inputs();
    inputs.cluster.kubernetes_version = "1.35".into();
    let rendered = run(&files, &inputs, &tools).expect("rendered");
    assert_eq!(names(&rendered), ["ConfigMap/a", "Service/web", "Deployment/web"]);
    let jobs = tools.helm.into_inner().expect("not poisoned");
    let [job] = jobs.as_slice() else { panic!("one job, not {}", jobs.len()) };
    assert_eq!((job.release.as_str(), job.chart.as_str()), ("web", "charts/web"));
    assert_eq!((&job.namespace, job.kubernetes_version.as_str()), (&inputs.namespace, "1.35"));
    assert_eq!(job.values, ["charts/web/v.yaml", ".bivouac-values/web-1.yaml"]);
    let filled = format!("host: {}", inputs.host);
    assert_eq!(job.files.get(".bivouac-values/web-1.yaml"), Some(filled.as_bytes()));
    assert!(job.files.contains("charts/lib/Chart.yaml"));
    assert!(!job.files.contains("k8s") && !job.files.contains(FILE));
    let sha = inputs.revision.as_str();
    let set = [
        ("image.tag".to_owned(), json!(sha)),
        ("replicas".into(), json!(2)),
        ("debug".into(), json!(true)),
        ("none".into(), Value::Null),
    ];
    assert_eq!(job.set, set);
    assert_eq!(job.limits.time, Duration::from_secs(60));
    let web = object(&rendered, "Service/web");
    assert_eq!(web.origin.to_string(), "charts/web/templates/web.yaml:1");
    assert!(notes(&rendered).contains(&"a note of the tool".to_owned()));
}

#[test]
fn an_overlay_goes_to_kustomize_with_its_bases_anywhere_in_the_commit() {
    let files = [
        (FILE, "apps: [{name: web, path: overlays/preview}, {name: b, path: k8s}]"),
        ("overlays/preview/kustomization.yaml", "resources: [../../base]"),
        ("base/kustomization.yaml", "resources: [web.yaml]"),
        ("base/web.yaml", WEB),
        ("k8s/a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"),
    ];
    let tools = Told::printing(&[(FILE, WEB)]);
    let rendered = run(&files, &inputs(), &tools).expect("rendered");
    let jobs = tools.kustomize.into_inner().expect("not poisoned");
    assert_eq!(jobs[0].overlay, "overlays/preview");
    assert!(jobs[0].files.contains("base/web.yaml") && !jobs[0].files.contains("k8s"));
    // A tool can't make its objects look like ours.
    let web = object(&rendered, "Service/web");
    assert_eq!((web.origin.file.as_str(), web.is_generated()), ("overlays/preview", false));
}

#[test]
fn what_a_tool_says_is_told_with_its_place_and_its_kind() {
    let chart = [("chart/Chart.yaml", "name: a")];
    let fail = |error| run(&chart, &inputs(), &Told::failing(error)).expect_err("failed");
    let message = || "bad".to_owned();
    let input =
        ToolError::Input { file: Some("chart/t.yaml".into()), line: Some(3), message: message() };
    let error = fail(input);
    assert_eq!(
        (error.to_string(), error.build_rule().id()),
        ("chart/t.yaml:3:1: bad".into(), "BR009")
    );
    let error = fail(ToolError::TooMuch { message: message() });
    assert_eq!((error.to_string(), error.build_rule().id()), ("chart: bad".into(), "BR007"));
    let error = fail(ToolError::Unavailable { message: message() });
    assert_eq!((error.message(), error.build_rule().id()), ("bad".into(), "BR008"));
    let error = fail(ToolError::Failed { tool: "helm", message: message() });
    assert_eq!((error.message(), error.place()), ("helm could not be run: bad".into(), None));
    let tools = Told::printing(&[("chart/templates/x.yaml", "a: [")]);
    let error = run(&chart, &inputs(), &tools).expect_err("no YAML").to_string();
    assert!(error.starts_with("chart/templates/x.yaml:") && error.contains("rendered document"));
}

#[test]
fn hooks_of_a_chart_have_their_wave_and_tests_are_left_out() {
    fn hook(name: &str, hook: &str) -> &'static str {
        let text = format!(
            "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: {name}, annotations: {{helm.sh/hook: '{hook}'}}}}\n"
        );
        Box::leak(text.into_boxed_str())
    }
    let documents = [
        ("c/t.yaml", hook("m", "pre-install,pre-upgrade")),
        ("c/t.yaml", hook("t", "test")),
        ("c/t.yaml", hook("s", "post-install")),
        ("c/t.yaml", WEB),
    ];
    let files = [("chart/Chart.yaml", "name: a")];
    let rendered = run(&files, &inputs(), &Told::printing(&documents)).expect("rendered");
    let waves: Vec<_> =
        ["Job/m", "Deployment/web", "Job/s"].map(|name| object(&rendered, name).wave).into();
    assert_eq!(waves, [Wave::BeforeApply, Wave::Workloads, Wave::AfterReady]);
    assert_eq!(names(&rendered), ["Job/m", "Service/web", "Deployment/web", "Job/s"]);
    assert!(
        notes(&rendered)
            .contains(&"c/t.yaml:1:1: Job/t is left out: it is a test hook of Helm".into())
    );
}

#[test]
fn fields_drawn_at_random_are_kept_with_their_object_and_told() {
    const SECRETS: &str = "apiVersion: v1\nkind: List\nitems:\n  - {apiVersion: v1, kind: Secret, metadata: {name: a}, data: {p: eA==}}\n  \
        - {apiVersion: v1, kind: Secret, metadata: {name: b, namespace: old}, data: {p: eA==}}\n";
    const CRD: &str = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: x.y}\n";
    let tools = Told {
        random: vec![(1, "/items/1/data/p"), (2, "/spec/x")],
        ..Told::printing(&[("c/a.yaml", CRD), ("c/b.yaml", SECRETS), ("c/c.yaml", WEB)])
    };
    let rendered = run(&[("chart/Chart.yaml", "name: a")], &inputs(), &tools).expect("rendered");
    let fields: Vec<_> = rendered
        .bundle
        .random
        .iter()
        .map(|field| format!("{} {} {}", field.object, field.object.namespace, field.pointer))
        .collect();
    let own = inputs().namespace;
    assert_eq!(fields, [format!("Secret/b {own} /data/p"), format!("Service/web {own} /spec/x")]);
    let told = notes(&rendered);
    assert!(told.iter().any(|note| note.contains("at random: Secret/b /data/p")), "{told:?}");
}

#[test]
fn images_are_replaced_by_tag_digest_or_name_and_a_rule_without_a_match_is_told() {
    let file = "apps:\n  - name: web\n    path: k8s\n    images:\n      ghcr.io/acme/web: \"{{commit.sha}}\"\n      redis: redis:7\n";
    let rendered = plain(&[(FILE, file), ("k8s/a.yaml", WEB)], &inputs()).expect("rendered");
    let image =
        object(&rendered, "Deployment/web").json.pointer("/spec/template/spec/containers/0/image");
    assert_eq!(image, Some(&json!(format!("ghcr.io/acme/web:{}", inputs().revision))));
    let told =
        [".bivouac.yaml:6:14: apps[0].images[\"redis\"] matches no image of the app \"web\""];
    assert_eq!(notes(&rendered), told);
    let file = "apps: [{name: web, path: k8s, images: {a/b: \"{{env.nmae}}\"}}]";
    let error = refused(&[(FILE, file), ("k8s/a.yaml", WEB)], &inputs());
    assert!(
        error.starts_with(".bivouac.yaml:1:45: apps[0].images[\"a/b\"]: unknown variable"),
        "{error}"
    );
    let file = "apps: [{name: web, path: k8s, images: {a/b: 'x y'}}]";
    let error = refused(&[(FILE, file), ("k8s/a.yaml", WEB)], &inputs());
    assert!(error.contains("must give a tag, a digest"), "{error}");
}

fn exposed(rest: &str, inputs: &RenderInputs) -> Result<Rendered, RenderError> {
    let file = format!("apps:\n  - name: web\n    path: k8s\n    expose: {rest}\n");
    plain(&[(FILE, &file), ("k8s/a.yaml", WEB)], inputs)
}

#[test]
fn expose_makes_an_ingress_with_the_assigned_host_and_the_repositorys_class_and_tls() {
    let mut inputs = inputs();
    inputs.rules.ingress_class = Some("nginx".into());
    inputs.app_hosts.insert("web".into(), own("web.example.com"));
    let rendered = exposed("{service: web, port: 80, path: /x}", &inputs).expect("rendered");
    let ingress = object(&rendered, "Ingress/web");
    let spec = json!({
        "ingressClassName": "nginx",
        "rules": [{"host": "web.example.com", "http": {"paths": [{
            "path": "/x", "pathType": "Prefix",
            "backend": {"service": {"name": "web", "port": {"name": "http"}}},
        }]}}],
        "tls": [{"hosts": ["web.example.com"]}],
    });
    assert_eq!(ingress.json["spec"], spec);
    assert_eq!(
        (ingress.wave, ingress.origin.to_string().as_str()),
        (Wave::Routes, ".bivouac.yaml:4")
    );
    assert!(ingress.is_generated());
    assert_eq!(ingress.json["metadata"]["namespace"], json!(inputs.namespace));
    inputs.rules.tls = Tls::PerHost { cluster_issuer: "letsencrypt".into() };
    let rendered = exposed("{service: web, port: http}", &inputs).expect("rendered");
    let ingress = &object(&rendered, "Ingress/web").json;
    assert_eq!(
        ingress["spec"]["tls"],
        json!([{"hosts": ["web.example.com"], "secretName": "web-tls"}])
    );
    let annotations = json!({"cert-manager.io/cluster-issuer": "letsencrypt"});
    assert_eq!(ingress["metadata"]["annotations"], annotations);
    inputs.rules.tls = Tls::ControllerDefault;
    inputs.rules.https = false;
    inputs.app_hosts.clear();
    let rendered = exposed("{service: web}", &inputs).expect("rendered");
    let spec = &object(&rendered, "Ingress/web").json["spec"];
    assert_eq!((spec.get("tls"), &spec["rules"][0]["host"]), (None, &json!(inputs.host)));
}

#[test]
fn expose_makes_a_route_of_the_gateway_when_the_repository_names_one() {
    let mut inputs = inputs();
    let (namespace, name) = ("infra".to_owned(), "gw".to_owned());
    inputs.rules.gateway = Some(Gateway { namespace, name, section: Some("https".into()) });
    inputs.rules.tls = Tls::Gateway;
    let rendered =
        exposed("{service: web, headers: {X-Env: \"{{env.name}}\"}}", &inputs).expect("rendered");
    let spec = json!({
        "parentRefs": [{"namespace": "infra", "name": "gw", "sectionName": "https"}],
        "hostnames": [inputs.host],
        "rules": [{
            "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
            "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {
                "set": [{"name": "X-Env", "value": "shop-pr-7"}]}}],
            "backendRefs": [{"name": "web", "port": 80}],
        }],
    });
    assert_eq!(object(&rendered, "HTTPRoute/web").json["spec"], spec);
}

#[test]
fn expose_names_what_the_bundle_does_not_have() {
    for (rest, told) in [
        (
            "{service: api}",
            ".bivouac.yaml:4:23: apps[0].expose.service: the preview has no Service \"api\"; there are web",
        ),
        (
            "{service: web, port: 81}",
            ".bivouac.yaml:4:34: apps[0].expose.port: the Service \"web\" has no such port; it has these: 80 (http)",
        ),
        (
            "{service: web, port: grpc}",
            ".bivouac.yaml:4:34: apps[0].expose.port: the Service \"web\" has no such port; it has these: 80 (http)",
        ),
        (
            "{service: web, headers: {X-A: b}}",
            ".bivouac.yaml:4:43: apps[0].expose.headers needs a Gateway, which the Repository does not name; an Ingress can't set headers",
        ),
    ] {
        assert_eq!(exposed(rest, &inputs()).expect_err("refused").to_string(), told);
    }
    let two =
        WEB.replace("[{name: http, port: 80}]", "[{name: http, port: 80}, {name: m, port: 9}]");
    let file = "apps: [{name: web, path: k8s, expose: {service: web}}]";
    let error = refused(&[(FILE, file), ("k8s/a.yaml", &two)], &inputs());
    assert!(
        error.ends_with("key \"port\" is missing; the Service \"web\" has these: 80 (http), 9 (m)"),
        "{error}"
    );
}

#[test]
fn parameters_are_resolved_typed_and_seen_by_every_template() {
    let file = "apps: [{name: web, path: k8s}]\nparameters:\n  seed: {enum: [small, full], default: small}\n  \
        count: {type: integer, default: 2}\n";
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {seed: \"{{params.seed}}\", num: \"{{params.count}}\"}\n";
    let files = [(FILE, file), ("k8s/a.yaml.hbs", map)];
    let mut inputs = inputs();
    let rendered = plain(&files, &inputs).expect("rendered");
    assert_eq!(object(&rendered, "ConfigMap/a").json["data"], json!({"seed": "small", "num": "2"}));
    assert_eq!(rendered.parameters["count"], json!(2));
    inputs.parameters.insert("seed".into(), "full".into());
    let changed = plain(&files, &inputs).expect("rendered");
    assert_eq!(object(&changed, "ConfigMap/a").json["data"]["seed"], json!("full"));
    assert_ne!(changed.bundle.inputs_digest, rendered.bundle.inputs_digest);
    let only = ParameterRule { default: None, allowed: vec!["small".into()] };
    inputs.rules.parameters.insert("seed".into(), only);
    let told = ".bivouac.yaml:3:3: parameter \"seed\": the Repository does not allow this value; it allows small";
    assert_eq!(refused(&files, &inputs), told);
    inputs.parameters = [("sed".to_owned(), "x".to_owned())].into();
    assert_eq!(
        refused(&files, &inputs),
        ".bivouac.yaml: there is no parameter \"sed\"; did you mean \"seed\"?"
    );
}

fn in_namespace(kind: &str, name: &str, namespace: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}}}\n"
    )
}

#[test]
fn one_foreign_namespace_is_replaced_everywhere_and_told_once() {
    let more = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n\
        ---\napiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: r}\nsubjects: [{kind: ServiceAccount, name: x, namespace: shop}]\n\
        ---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: urls}\ndata:\n  namespace: shop\n  api: http://api.shop.svc.cluster.local\n\
        ---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: np}\nspec: {ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}}]}]}\n\
        ---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: h}\nspec: {parentRefs: [{name: g, namespace: shop}]}\n";
    let text = format!(
        "{}{}{more}",
        in_namespace("Service", "api", "shop"),
        in_namespace("Secret", "s", "shop")
    );
    let rendered = plain(&[("k8s/a.yaml", &text)], &inputs()).expect("rendered");
    let own = inputs().namespace;
    assert!(!names(&rendered).contains(&"Namespace/shop".to_owned()));
    for object in &rendered.bundle.objects {
        assert_eq!(object.json["metadata"]["namespace"], json!(own), "{}", object.identity());
    }
    assert_eq!(object(&rendered, "RoleBinding/r").json["subjects"][0]["namespace"], json!(own));
    let selector =
        "/spec/ingress/0/from/0/namespaceSelector/matchLabels/kubernetes.io~1metadata.name";
    assert_eq!(object(&rendered, "NetworkPolicy/np").json.pointer(selector), Some(&json!(own)));
    // Texts are left alone, and so is a shared Gateway.
    let data = json!({"namespace": "shop", "api": "http://api.shop.svc.cluster.local"});
    assert_eq!(object(&rendered, "ConfigMap/urls").json["data"], data);
    assert_eq!(
        object(&rendered, "HTTPRoute/h").json["spec"]["parentRefs"][0]["namespace"],
        json!("shop")
    );
    let told = notes(&rendered);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].starts_with("k8s/a.yaml:4:")
            && told[0].ends_with("and the Namespace object of that name was left out"),
        "{told:?}"
    );
    assert!(
        told[1].starts_with("k8s/a.yaml:24:") && told[1].contains("texts are not rewritten"),
        "{told:?}"
    );
}

#[test]
fn two_foreign_namespaces_are_refused_and_both_are_named() {
    let text = format!(
        "{}{}{}",
        in_namespace("Secret", "a", "one"),
        in_namespace("Secret", "b", &inputs().namespace),
        in_namespace("Secret", "c", "two")
    );
    let told = "k8s/a.yaml:4:21: the objects name 2 namespaces: \"one\" (k8s/a.yaml:4:21), \"two\" (k8s/a.yaml:12:21); a \
                preview has one, so leave the namespace out, or render one of them only";
    assert_eq!(refused(&[("k8s/a.yaml", &text)], &inputs()), told);
    let one = in_namespace("Secret", "a", "one");
    let mut strict = inputs();
    strict.rules.namespaces = Namespaces::Refuse;
    let error = refused(&[("k8s/a.yaml", &one)], &strict);
    assert!(
        error.starts_with("k8s/a.yaml:4:21: namespace \"one\" is not this preview's"),
        "{error}"
    );
}

#[test]
fn objects_without_a_namespace_are_left_out_when_they_are_listed_and_kept_for_the_guard_otherwise()
{
    let text = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: x.y}\n\
        ---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: r}\n";
    let mut listed = inputs();
    listed.rules.ignored_cluster_scoped =
        vec!["CustomResourceDefinition.apiextensions.k8s.io".to_owned()];
    let rendered = plain(&[("k8s/a.yaml", text)], &listed).expect("rendered");
    assert_eq!(names(&rendered), ["ClusterRole/r"]);
    assert_eq!(object(&rendered, "ClusterRole/r").json["metadata"].get("namespace"), None);
    let told = "k8s/a.yaml:1:1: CustomResourceDefinition/x.y is left out: it is in no namespace, and the cluster has its own";
    assert_eq!(notes(&rendered), [told]);
    assert_eq!(rendered.definitions, []);
    // One that says nothing of itself can't be compared with the cluster's.
    let rendered = plain(&[("k8s/a.yaml", text)], &inputs()).expect("rendered");
    assert_eq!(rendered.bundle.objects.len(), 2);
}

#[test]
fn definitions_are_taken_out_and_handed_over_for_the_cluster_to_be_asked() {
    let text = "kind: ConfigMap\napiVersion: v1\nmetadata: {name: a}\n---\n\
        apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: things.example.com}\n\
        spec: {group: example.com, names: {kind: Thing}, versions: [{name: v1, served: true}]}\n";
    let rendered = plain(&[("k8s/a.yaml", text)], &inputs()).expect("rendered");
    assert_eq!((names(&rendered), notes(&rendered)), (vec!["ConfigMap/a".to_owned()], vec![]));
    let told: Vec<String> = rendered.definitions.iter().map(Definition::note_unasked).collect();
    assert_eq!(
        told,
        [
            "k8s/a.yaml:5: CustomResourceDefinition/things.example.com is left out when the cluster serves Thing of \
          example.com in v1 already; otherwise the service refuses the commit"
        ]
    );
}

#[test]
fn an_account_of_a_chart_mounts_no_token() {
    let text = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: web}\n---\n\
        apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n\
        spec: {template: {spec: {serviceAccountName: web, containers: []}}}\n";
    let rendered = plain(&[("k8s/a.yaml", text)], &inputs()).expect("rendered");
    let off = Some(&json!(false));
    for (name, at) in [
        ("ServiceAccount/web", "/automountServiceAccountToken"),
        ("Deployment/web", "/spec/template/spec/automountServiceAccountToken"),
    ] {
        assert_eq!(object(&rendered, name).json.pointer(at), off, "{name}");
    }
    let told = "k8s/a.yaml:1:1: ServiceAccount/web: automountServiceAccountToken was set to false; pods of a preview get \
                no token of the cluster's API";
    assert_eq!(notes(&rendered), [told]);
}

#[test]
fn the_previews_own_namespace_object_is_left_out_and_an_empty_namespace_is_none() {
    let own = inputs().namespace;
    let text = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {own}}}\n{}",
        in_namespace("Secret", "a", "")
    );
    let rendered = plain(&[("k8s/a.yaml", &text)], &inputs()).expect("rendered");
    assert_eq!(names(&rendered), ["Secret/a"]);
    assert_eq!(rendered.bundle.objects[0].json["metadata"]["namespace"], json!(own));
}

#[test]
fn what_does_not_fit_together_is_told_at_its_place() {
    let overlay = ("k8s/kustomization.yaml", "resources: []");
    for (file, more, told) in [
        (
            "apps: [{name: a, path: k8s, set: {x: 1}}]",
            vec![("k8s/a.yaml", WEB)],
            ".bivouac.yaml:1:38: apps[0].set is for Helm, and k8s is no chart: it has no Chart.yaml",
        ),
        (
            "apps: [{name: a, path: k8s, values: [v.yaml]}]",
            vec![overlay],
            ".bivouac.yaml:1:38: apps[0].values is for Helm, and k8s is no chart: it has no Chart.yaml",
        ),
        (
            "apps: [{name: a, path: c, values: [v.yaml]}]",
            vec![("c/Chart.yaml", "name: a")],
            ".bivouac.yaml:1:36: apps[0].values[0]: there is no file \"c/v.yaml\" in this commit",
        ),
        (
            "apps: [{name: a, path: k8s/kustomization.yaml}]",
            vec![overlay],
            ".bivouac.yaml:1:24: apps[0].path names the file kustomization.yaml; name its directory",
        ),
        (
            "apps: [{name: a, path: .}]",
            vec![overlay],
            "k8s/kustomization.yaml: k8s is an overlay of Kustomize, and . is read as plain manifests; name \"k8s\" as the path of an app in .bivouac.yaml",
        ),
        (
            "apps: [{name: a, path: deploy}]",
            vec![("deploy/web/Chart.yaml", "name: a")],
            "deploy/web/Chart.yaml: deploy/web is a Helm chart, and deploy is read as plain manifests; name \"deploy/web\" as the path of an app in .bivouac.yaml",
        ),
    ] {
        let mut files = vec![(FILE, file)];
        files.extend(more);
        assert_eq!(refused(&files, &inputs()), told);
    }
}

#[test]
fn parts_of_templates_are_no_manifests() {
    let files = [("k8s/_part.yaml.hbs", "{{nothing.here}}"), ("k8s/a.yaml", WEB)];
    assert_eq!(names(&plain(&files, &inputs()).expect("rendered")).len(), 2);
}

#[test]
fn a_runtime_with_several_threads_renders_too() {
    let tree: FileTree = [("k8s/a.yaml", WEB)].into_iter().collect();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
    let rendered = runtime.block_on(async move {
        let render = async move {
            render(&tree, &inputs(), RenderLimits::default(), &Told::default()).await
        };
        tokio::spawn(render).await.expect("no panic")
    });
    assert_eq!(rendered.expect("rendered").bundle.objects.len(), 2);
}
