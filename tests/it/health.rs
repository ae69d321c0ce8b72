//! Why is my preview not ready: each cause is told in words, once, and goes away with its cause.

use std::time::Duration;

use bivouac::app::stage::{NAME, PreviewFault};
use bivouac::crd::{EnvironmentStatus, Phase};
use bivouac::seams::Unreached;
use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use kube::Api;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use crate::support::{Files, World, golden, one};

const PATH: &str = "deploy/preview/worker.yaml";

/// A Deployment beside the page: annotations of its pods, what its pods' spec says beside the container, and what its
/// container says beside its name.
fn worker(replicas: u32, annotations: &str, pod: &str, container: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: worker}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: worker}}}}
  template:
    metadata:
      labels: {{app: worker}}
      annotations: {{{annotations}}}
    spec:
      {pod}
      containers:
        - {{name: worker, {container}}}
"
    )
}

const IMAGE: &str = "image: 'ghcr.io/acme/worker:1'";

async fn phase(world: &World, number: u64, phase: Phase) -> EnvironmentStatus {
    world
        .until(&format!("#{number} is {phase:?}"), async || {
            world.status(number).await.filter(|status| status.phase == Some(phase))
        })
        .await
}

/// Waits for the comment about trouble; gives it without the names of pods.
async fn problem(world: &World, number: u64) -> String {
    without_pods(world.told(number, "### Preview has a problem").await)
}

/// The same once every pod had its time to fail.
async fn settled(world: &World, number: u64) -> String {
    problem(world, number).await;
    world.sleep(Duration::from_secs(120)).await;
    problem(world, number).await
}

fn without_pods(comment: String) -> String {
    let named = |word: &&str| word.trim_start_matches('`').starts_with("worker-");
    let pods: Vec<String> = comment.split_whitespace().filter(named).map(str::to_owned).collect();
    pods.iter().fold(comment, |text, pod| text.replace(pod.as_str(), "{pod}"))
}

/// What is told of one bad worker, whole; that it is told once; and that the camp is ready when it is mended.
async fn told_once_and_mended(world: &World, name: &str, manifest: &str) {
    let (number, head) = world.open(name, &one(PATH, manifest));
    golden(&format!("health-{name}"), &settled(world, number).await, &head);
    let status = phase(world, number, Phase::Degraded).await;
    assert_eq!(status.trouble.len(), 1, "{:?}", status.trouble);
    let first = world.stage.github.requests().len();
    world.sleep(Duration::from_secs(1200)).await;
    let told = world.told_to_the_forge(first);
    let said = |part: &str| told.iter().filter(|told| told.contains(part)).count();
    let (comments, statuses) = (said("/issues/comments/"), said("/statuses/"));
    assert!(
        comments <= 1 && statuses <= 1 && told.len() == comments + statuses,
        "it is said once, and once more at the progress deadline: {told:?}"
    );

    let head = world.push(name, &one(PATH, &worker(1, "", "", IMAGE)));
    world.ready(number, &head).await;
    let status = world.status(number).await.expect("a status");
    assert!(status.trouble.is_empty() && status.holds("Healthy"), "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn twenty_pods_whose_image_does_not_come_are_one_line() {
    let world = World::new(1).await;
    let small =
        "image: 'ghcr.io/acme/worker:missing', resources: {limits: {cpu: 100m, memory: 64Mi}}";
    let manifest = worker(20, "", "", small);
    told_once_and_mended(&world, "image", &manifest).await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_is_told_with_its_exit_code_and_the_log_of_the_run_before() {
    let world = World::new(2).await;
    let container = format!("{IMAGE}, command: [sh, -c, exit 3]");
    let manifest = worker(2, "", "", &container);
    told_once_and_mended(&world, "crash", &manifest).await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_fits_on_no_node_is_told_in_the_schedulers_words() {
    let world = World::new(3).await;
    let manifest = worker(3, "", "nodeSelector: {disk: moon}", IMAGE);
    told_once_and_mended(&world, "unschedulable", &manifest).await;
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_fails_is_told_in_kubelets_words() {
    let world = World::new(4).await;
    let probe = format!("{IMAGE}, readinessProbe: {{exec: {{command: ['false']}}}}");
    let manifest = worker(2, "", "", &probe);
    told_once_and_mended(&world, "probe", &manifest).await;
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_not_there_is_named() {
    let world = World::new(5).await;
    let container = format!("{IMAGE}, envFrom: [{{secretRef: {{name: database}}}}]");
    told_once_and_mended(&world, "configuration", &worker(1, "", "", &container)).await;
}

#[tokio::test(start_paused = true)]
async fn a_full_quota_is_told_with_its_figures() {
    let world = World::new(6).await;
    let container = format!("{IMAGE}, resources: {{requests: {{memory: 600Mi}}}}");
    let (number, head) = world.open("sparks", &one(PATH, &worker(3, "", "", &container)));
    world.ready(number, &head).await;
    let camp = world.stage.namespace_of(number);
    let quotas: Api<ResourceQuota> = Api::namespaced(world.stage.admin.clone(), &camp);
    let small =
        json!({"metadata": {"name": "small"}, "spec": {"hard": {"requests.memory": "1Gi"}}});
    let small = serde_json::from_value(small).expect("a quota");
    quotas.create(&PostParams::default(), &small).await.expect("made");
    world.sleep(Duration::from_secs(5)).await;
    // Pods that go can't come back.
    let pods: Api<Pod> = Api::namespaced(world.stage.admin.clone(), &camp);
    let workers = ListParams::default().labels("app=worker");
    pods.delete_collection(&DeleteParams::default(), &workers).await.expect("deleted");
    golden("health-quota", &settled(&world, number).await, &head);
    let status = world.status(number).await.expect("a status");
    assert_eq!(
        status.trouble.first().map(|trouble| trouble.reason.as_str()),
        Some("QuotaExceeded")
    );

    quotas.delete("small", &DeleteParams::default()).await.expect("deleted");
    world.ready(number, &head).await;
}

/// The host of a pull request's camp, which is known before anything is made of it.
fn host(number: u64) -> String {
    format!("{NAME}-pr-{number}.preview.localhost")
}

#[tokio::test(start_paused = true)]
async fn a_url_that_does_not_answer_is_told_by_its_cause_and_the_camp_is_ready_when_it_does() {
    let world = World::new(7).await;
    let previews = &world.stage.previews;
    let nginx = "<center><h1>404 Not Found</h1></center>\r\n<hr><center>nginx</center>";
    for (name, fault) in [
        ("url-default-backend", PreviewFault::Answer(404, nginx.into())),
        ("url-503", PreviewFault::Answer(503, "no endpoints".into())),
        ("url-dns", PreviewFault::Unreached(Unreached::NameNotFound)),
        ("url-tls", PreviewFault::Unreached(Unreached::Tls("the certificate is expired".into()))),
        ("url-time", PreviewFault::Unreached(Unreached::TimedOut)),
    ] {
        let (number, head) = world.open(name, &one("CHANGES.md", name));
        previews.fail(&host(number), fault, u32::MAX);
        golden(&format!("health-{name}"), &settled(&world, number).await, &head);
        let status = world.status(number).await.expect("a status");
        let url = status.urls.first().expect("a URL");
        assert_eq!((url.path.as_deref(), url.reachable), (Some("/"), Some(false)), "{name}");
        assert!(url.why.is_some() && status.holds("Healthy") && !status.holds("Ready"), "{name}");
        previews.fail_no_more();
        world.ready(number, &head).await;
        let url = world.status(number).await.expect("a status").urls.remove(0);
        assert_eq!((url.reachable, url.why), (Some(true), None), "{name}");
    }
    let agents = previews.asked();
    assert!(!agents.is_empty());
    assert!(agents.iter().all(|asked| asked.agent == "bivouac-probe"), "{agents:?}");
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_slow_to_answer_is_ready_as_soon_as_it_does() {
    let world = World::new(8).await;
    let (number, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
    let fault = PreviewFault::Answer(503, String::new());
    world.stage.previews.fail(&host(number), fault, 12);
    world.ready(number, &head).await;
    let status = world.status(number).await.expect("a status");
    let (at, ready_at) = (status.history[0].at.0, status.history[0].ready_at.expect("ready").0);
    assert!((ready_at - at).num_seconds() < 15, "{at} {ready_at}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_the_app_is_an_answer_whatever_it_says() {
    let world = World::new(9).await;
    for (name, status, text) in [("sign-in", 401, "who are you?"), ("no-page", 404, "no such page")]
    {
        let (number, _) = world.open(name, &one("CHANGES.md", name));
        world.stage.previews.fail(
            &host(number),
            PreviewFault::Answer(status, text.into()),
            u32::MAX,
        );
        phase(&world, number, Phase::Ready).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_ready_camp_that_falls_silent_is_told_and_one_lost_answer_is_not() {
    let world = World::new(10).await;
    let (number, head) = world.camp("sparks").await;
    let lost = PreviewFault::Unreached(Unreached::TimedOut);
    world.stage.previews.fail(&host(number), lost.clone(), 1);
    world.sleep(Duration::from_secs(900)).await;
    let (since, first) = (world.stage.clock.now(), world.stage.github.requests().len());
    assert!(world.status(number).await.expect("a status").holds("Ready"));
    world.sleep(Duration::from_secs(900)).await;
    assert_eq!(world.written_by_the_service(since), Vec::<String>::new());
    assert_eq!(world.told_to_the_forge(first), Vec::<String>::new());
    let asked = world.stage.previews.asked();
    let asked = asked.iter().filter(|asked| asked.at >= since).count();
    assert!((2..=4).contains(&asked), "a ready camp is asked at each resync and no more: {asked}");

    world.stage.previews.fail(&host(number), lost, u32::MAX);
    problem(&world, number).await;
    phase(&world, number, Phase::Degraded).await;
    world.stage.previews.fail_no_more();
    world.ready(number, &head).await;
}

#[tokio::test(start_paused = true)]
async fn a_camp_that_exposes_nothing_is_ready_without_being_asked() {
    let world = World::new(11).await;
    let files = Files::from([
        (".bivouac.yaml", "apps:\n  - name: batch\n    path: deploy/batch\n"),
        ("deploy/batch/worker.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: batch}\n"),
    ]);
    let (number, _) = world.open("batch", &files);
    let status = phase(&world, number, Phase::Ready).await;
    assert_eq!(status.urls.first().and_then(|url| url.reachable), None);
    assert_eq!(world.stage.previews.asked(), []);
}

#[tokio::test(start_paused = true)]
async fn with_url_probe_never_no_address_is_asked() {
    let world = World::new(12).await;
    world.policy(json!({"url": {"probe": "Never"}})).await;
    let (number, _) = world.open("sparks", &one("CHANGES.md", "sparks"));
    world.stage.previews.fail(&host(number), PreviewFault::Answer(503, String::new()), u32::MAX);
    phase(&world, number, Phase::Ready).await;
    assert_eq!(world.stage.previews.asked(), []);
}

#[tokio::test(start_paused = true)]
async fn after_the_progress_deadline_the_camp_is_degraded_and_it_may_still_get_ready() {
    let world = World::new(13).await;
    world.policy(json!({"limits": {"progressDeadline": "30s"}})).await;
    let wait = "initContainers: [{name: wait, image: 'ghcr.io/acme/wait:1', command: [sleep, 5m]}]";
    let slow = worker(1, "", wait, IMAGE);
    let (number, head) = world.open("slow", &one(PATH, &slow));
    let status = phase(&world, number, Phase::Degraded).await;
    let late = (world.stage.clock.now() - status.history[0].at.0).num_seconds();
    assert!((30..36).contains(&late), "after {late} s");
    let reason = status.reason.unwrap_or_default();
    assert!(reason.starts_with("not ready after 30s: "), "{reason}");
    golden("health-deadline", &problem(&world, number).await, &head);
    world.ready(number, &head).await;
}

fn widget(status: &Value) -> Value {
    json!({"apiVersion": "example.org/v1", "kind": "Widget", "status": status})
}

/// A kind that somebody's operator brings; the platform team allows it, and its deployer may do `verbs` with it.
async fn define_widgets(world: &World, verbs: &[&str]) {
    let admin = &world.stage.admin;
    let resource = |api_version: &str, kind: &str, plural: &str| {
        let (group, version) = api_version.split_once('/').expect("a group");
        let kind = GroupVersionKind::gvk(group, version, kind);
        ApiResource::from_gvk_with_plural(&kind, plural)
    };
    let definitions: Api<DynamicObject> = Api::all_with(
        admin.clone(),
        &resource(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            "customresourcedefinitions",
        ),
    );
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.org"},
        "spec": {"group": "example.org", "scope": "Namespaced", "names": {"kind": "Widget", "plural": "widgets", "singular": "widget"},
            "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]},
    });
    let definition = serde_json::from_value(definition).expect("a definition");
    definitions.create(&PostParams::default(), &definition).await.expect("made");
    let roles: Api<DynamicObject> = Api::all_with(
        admin.clone(),
        &resource("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles"),
    );
    let patch = json!([{"op": "add", "path": "/rules/-",
        "value": {"apiGroups": ["example.org"], "resources": ["widgets"], "verbs": verbs}}]);
    let patch: Patch<()> = Patch::Json(serde_json::from_value(patch).expect("a patch"));
    roles.patch("bivouac-deployer", &PatchParams::default(), &patch).await.expect("granted");
    let kinds = [
        "ConfigMap",
        "Service",
        "Deployment.apps",
        "Ingress.networking.k8s.io",
        "Widget.example.org",
    ];
    world.policy(json!({"isolation": {"allowedKinds": kinds}})).await;
}

fn widgets(world: &World, number: u64) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("example.org", "v1", "Widget");
    let resource = ApiResource::from_gvk_with_plural(&kind, "widgets");
    let camp = world.stage.namespace_of(number);
    Api::namespaced_with(world.stage.admin.clone(), &camp, &resource)
}

const WIDGET: &str =
    "apiVersion: example.org/v1\nkind: Widget\nmetadata: {name: w}\nspec: {size: 3}\n";

#[tokio::test(start_paused = true)]
async fn a_custom_kind_is_waited_for_by_its_conditions() {
    let world = World::new(14).await;
    define_widgets(&world, &["get", "create", "patch", "delete"]).await;
    let (number, head) = world.open("sparks", &one("deploy/preview/widget.yaml", WIDGET));
    // Its operator is at work before anything else is ready.
    let api = widgets(&world, number);
    world.until("the widget is there", async || api.get_opt("w").await.expect("an answer")).await;
    let say = async |conditions: Value| {
        let status = widget(&json!({"conditions": conditions}));
        api.patch_status("w", &PatchParams::default(), &Patch::Merge(status)).await.expect("said");
    };
    say(json!([{"type": "Ready", "status": "False", "reason": "Brewing", "message": "the kettle is cold"}])).await;
    world.sleep(Duration::from_secs(30)).await;
    let status = phase(&world, number, Phase::Progressing).await;
    assert_eq!(status.reason.as_deref(), Some("Widget/w: the kettle is cold (Brewing)"));

    say(json!([{"type": "Stalled", "status": "True", "reason": "NoTea", "message": "there is no tea"}])).await;
    let comment = problem(&world, number).await;
    assert!(comment.contains("* Widget/w: there is no tea\n"), "{comment}");
    say(json!([{"type": "Ready", "status": "True", "reason": "Done", "message": ""}])).await;
    world.ready(number, &head).await;
}

#[tokio::test(start_paused = true)]
async fn a_custom_kind_that_may_not_be_read_holds_nothing_up() {
    let world = World::anywhere(15).await;
    define_widgets(&world, &["create", "patch", "delete"]).await;
    let (number, head) = world.open("sparks", &one("deploy/preview/widget.yaml", WIDGET));
    world.ready(number, &head).await;
    let status = world.status(number).await.expect("a status");
    let healthy = status.condition("Healthy").expect("the condition");
    assert_eq!(
        healthy.message,
        "everything that runs is ready; the deployer may not read Widget/w"
    );
}
