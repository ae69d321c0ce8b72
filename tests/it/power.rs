//! Sleep and wake: nothing of a camp runs, it keeps what it has, and it comes back as it was.

use std::fmt::Debug;
use std::time::Duration;

use bivouac::app::stage::NAMESPACE;
use bivouac::crd::{Phase, Power};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::hooks::job;
use crate::support::{Files, SERVICE, World, golden, one};

const QUARTER: Duration = Duration::from_secs(15 * 60);

/// Objects of one kind in the camp of a pull request, as the administrator.
fn of<K>(world: &World, number: u64) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
{
    Api::namespaced(world.stage.admin.clone(), &world.stage.namespace_of(number))
}

async fn spec<K>(world: &World, number: u64, name: &str) -> Value
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + serde::Serialize,
{
    let object = of::<K>(world, number).get(name).await.expect("it is there");
    serde_json::to_value(object).expect("JSON")["spec"].clone()
}

async fn pods(world: &World, number: u64) -> usize {
    let found = of::<Pod>(world, number).list(&ListParams::default()).await.expect("a list");
    let over = |pod: &&Pod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        !matches!(phase, Some("Succeeded" | "Failed"))
    };
    found.items.iter().filter(over).count()
}

async fn sleeps(world: &World, number: u64) {
    world
        .until(&format!("#{number} sleeps"), async || {
            let status = world.status(number).await?;
            let asleep = status.phase == Some(Phase::Asleep) && !status.holds("Ready");
            (asleep && pods(world, number).await == 0).then_some(())
        })
        .await;
}

async fn power(world: &World, number: u64, power: &str) {
    world.ask(number, json!({"power": power})).await;
}

#[tokio::test(start_paused = true)]
async fn a_camp_that_sleeps_runs_nothing_and_wakes_as_it_was() {
    let world = World::new(21).await;
    let (number, head) = world.camp("sparks").await;
    let awake = (
        spec::<Deployment>(&world, number, "web").await,
        spec::<Ingress>(&world, number, "web").await,
    );
    let uid = world.camp_uid(number).await;
    power(&world, number, "Asleep").await;
    sleeps(&world, number).await;
    let comment = world.told(number, "### Preview sleeps").await;
    golden("asleep", &comment, &head);
    assert_eq!(spec::<Deployment>(&world, number, "web").await["replicas"], 0);
    let backend = "/rules/0/http/paths/0/backend/service/name";
    let ingress = spec::<Ingress>(&world, number, "web").await;
    assert_eq!(ingress.pointer(backend), Some(&json!("bivouac-gate")));
    let gate = of::<Service>(&world, number).get("bivouac-gate").await.expect("the gate");
    let labels = gate.metadata.labels.expect("labels");
    assert_eq!(labels.get("bivouac.dev/guardrail").map(String::as_str), Some("true"));
    assert_eq!(world.page(number).await.expect("an answer").0, 503);

    // What sleeps costs nothing, and nobody wakes it by half.
    world.sleep(QUARTER).await;
    let since = world.stage.clock.now();
    world.sleep(QUARTER).await;
    let mut writes = world.writes_since(since);
    writes.retain(|write| write.user == SERVICE && write.resource != "repositories");
    assert_eq!(writes, [], "a camp that sleeps costs no write");
    let one = json!({"spec": {"replicas": 1}});
    let by = PatchParams { field_manager: Some("kubectl-scale".into()), ..PatchParams::default() };
    of::<Deployment>(&world, number).patch("web", &by, &Patch::Merge(one)).await.expect("scaled");
    world
        .within(Duration::from_secs(5), "it sleeps again", async || {
            let replicas = spec::<Deployment>(&world, number, "web").await["replicas"].as_i64();
            (replicas == Some(0)).then_some(())
        })
        .await;

    power(&world, number, "Auto").await;
    world.ready(number, &head).await;
    assert_eq!(
        (
            spec::<Deployment>(&world, number, "web").await,
            spec::<Ingress>(&world, number, "web").await
        ),
        awake,
        "it is as it was"
    );
    assert_eq!(world.camp_uid(number).await, uid, "it is the same camp");
    world
        .until("the way to the gate is gone", async || {
            let found = of::<Service>(&world, number).get_opt("bivouac-gate").await;
            found.expect("an answer").is_none().then_some(())
        })
        .await;
    let history = world.status(number).await.expect("a status").history;
    assert_eq!(history.len(), 1, "sleeping is no new bundle: {history:?}");
}

#[tokio::test(start_paused = true)]
async fn everything_that_runs_sleeps_and_a_bare_pod_comes_back() {
    let world = World::new(22).await;
    let pod = "securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: main
          image: example.com/main:1
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}";
    let text = format!(
        "apiVersion: apps/v1
kind: DaemonSet
metadata: {{name: agent}}
spec:
  selector: {{matchLabels: {{app: agent}}}}
  template:
    metadata: {{labels: {{app: agent}}}}
    spec:
      {pod}
---
apiVersion: batch/v1
kind: CronJob
metadata: {{name: nightly}}
spec:
  schedule: '*/5 * * * *'
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers: [{{name: main, image: 'example.com/main:1'}}]
---
apiVersion: v1
kind: Pod
metadata: {{name: alone}}
spec:
  containers: [{{name: main, image: 'example.com/main:1'}}]
"
    );
    let (number, head) = world.open("sparks", &one("deploy/preview/more.yaml", &text));
    world.ready(number, &head).await;
    let alone = of::<Pod>(&world, number).get("alone").await.expect("a pod").metadata.uid;
    power(&world, number, "Asleep").await;
    sleeps(&world, number).await;
    assert_eq!(spec::<CronJob>(&world, number, "nightly").await["suspend"], true);
    let selector = "/template/spec/nodeSelector/bivouac.dev~1asleep";
    let agent = spec::<DaemonSet>(&world, number, "agent").await;
    assert_eq!(agent.pointer(selector), Some(&json!("true")));
    let made = of::<Job>(&world, number).list(&ListParams::default()).await.expect("a list");
    world.sleep(QUARTER).await;
    let later = of::<Job>(&world, number).list(&ListParams::default()).await.expect("a list");
    assert!(later.items.len() <= made.items.len(), "no Job is made while it sleeps");
    assert_eq!(pods(&world, number).await, 0);

    power(&world, number, "Auto").await;
    world.ready(number, &head).await;
    let again = of::<Pod>(&world, number).get("alone").await.expect("a pod").metadata.uid;
    assert_ne!(again, alone);
    assert_ne!(spec::<CronJob>(&world, number, "nightly").await["suspend"], true);
    let agent = spec::<DaemonSet>(&world, number, "agent").await;
    assert_eq!(agent.pointer(selector), None);
}

#[tokio::test(start_paused = true)]
async fn an_autoscaler_gives_its_replicas_up_and_gets_them_back() {
    let world = World::new(23).await;
    let text = "apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: worker}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: worker}
  minReplicas: 3
  maxReplicas: 5
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: worker}
spec:
  replicas: 2
  selector: {matchLabels: {app: worker}}
  template:
    metadata: {labels: {app: worker}}
    spec:
      containers: [{name: main, image: 'example.com/main:1'}]
";
    let (number, head) = world.open("sparks", &one("deploy/preview/worker.yaml", text));
    world.ready(number, &head).await;
    // Nothing scales by itself in this world: this is what the autoscaler does.
    let workers = of::<Deployment>(&world, number);
    let scale = async |replicas: i32| {
        let by = PatchParams {
            field_manager: Some("kube-controller-manager".into()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        workers.patch_scale("worker", &by, &patch).await.expect("scaled");
    };
    let replicas = async || spec::<Deployment>(&world, number, "worker").await["replicas"].as_i64();
    scale(5).await;
    world.sleep(Duration::from_secs(30)).await;
    assert_eq!(replicas().await, Some(5), "the autoscaler has them");
    power(&world, number, "Asleep").await;
    sleeps(&world, number).await;
    assert_eq!(replicas().await, Some(0));
    power(&world, number, "Auto").await;
    world.ready(number, &head).await;
    assert_eq!(replicas().await, Some(3), "max(the bundle's 2, minReplicas)");
    scale(4).await;
    let head = world.push("sparks", &one("CHANGES.md", "more sparks"));
    world.ready(number, &head).await;
    assert_eq!(replicas().await, Some(4), "and they are left to it");
}

#[tokio::test(start_paused = true)]
async fn a_push_wakes_a_camp_unless_the_repository_says_otherwise() {
    let world = World::new(24).await;
    let (number, _) = world.camp("sparks").await;
    power(&world, number, "Asleep").await;
    sleeps(&world, number).await;
    let head = world.push("sparks", &one("CHANGES.md", "more sparks"));
    world.ready(number, &head).await;
    let wish = world.record(number).await.expect("a record").spec.power;
    assert_eq!(wish, Power::Auto, "the wish has lost its object");

    world.policy(json!({"lifetime": {"wakeOnPush": false}})).await;
    power(&world, number, "Asleep").await;
    sleeps(&world, number).await;
    let head = world.push("sparks", &one("CHANGES.md", "many more sparks"));
    world
        .until("the commit is applied, asleep", async || {
            let status = world.status(number).await?;
            let there = status.revision.as_deref() == Some(head.as_str());
            (there && status.phase == Some(Phase::Asleep)).then_some(())
        })
        .await;
    assert_eq!(pods(&world, number).await, 0);
    world.sleep(QUARTER).await;
    sleeps(&world, number).await;
    power(&world, number, "Awake").await;
    world.ready(number, &head).await;
}

#[tokio::test(start_paused = true)]
async fn hooks_run_for_a_commit_and_not_for_a_nap() {
    let world = World::new(25).await;
    let migrate = job("migrate", "bivouac.dev/hook: beforeApply", "sleep 2");
    let smoke = job("smoke", "bivouac.dev/hook: afterReady", "sleep 2");
    let files = Files::from([
        ("deploy/preview/migrate.yaml", migrate.as_str()),
        ("deploy/preview/smoke.yaml", smoke.as_str()),
    ]);
    let (number, head) = world.open("sparks", &files);
    world.ready(number, &head).await;
    let jobs = of::<Job>(&world, number);
    let uids = async || {
        let uid = async |name: &str| jobs.get(name).await.expect("a Job").metadata.uid;
        (uid("migrate").await, uid("smoke").await)
    };
    let before = uids().await;
    power(&world, number, "Asleep").await;
    sleeps(&world, number).await;
    power(&world, number, "Awake").await;
    world.ready(number, &head).await;
    assert_eq!(uids().await, before, "no hook ran again");

    power(&world, number, "Asleep").await;
    sleeps(&world, number).await;
    let head = world.push("sparks", &one("CHANGES.md", "more sparks"));
    world.ready(number, &head).await;
    let after = uids().await;
    assert!(after.0 != before.0 && after.1 != before.1, "they run for a new commit");
}

#[tokio::test(start_paused = true)]
async fn the_way_to_the_gate_follows_the_gatekeepers() {
    let world = World::new(26).await;
    let (number, _) = world.camp("sparks").await;
    let own: Api<EndpointSlice> = Api::namespaced(world.stage.admin.clone(), NAMESPACE);
    let slice = |addresses: &[&str]| -> EndpointSlice {
        let endpoints: Vec<Value> = addresses
            .iter()
            .map(|ip| json!({"addresses": [ip], "conditions": {"ready": true}}))
            .collect();
        serde_json::from_value(json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": "gate-1", "labels": {"kubernetes.io/service-name": "bivouac-gate"}},
            "addressType": "IPv4", "endpoints": endpoints,
            "ports": [{"name": "http", "port": 8081, "protocol": "TCP"}],
        }))
        .expect("a slice")
    };
    // In the place of the one that the world begins with.
    own.delete("bivouac-gate", &DeleteParams::default()).await.expect("deleted");
    own.create(&PostParams::default(), &slice(&["10.9.0.1"])).await.expect("a slice");
    power(&world, number, "Asleep").await;
    sleeps(&world, number).await;
    let leads_to = async |wanted: &[&str]| {
        world
            .within(Duration::from_secs(10), "the way leads there", async || {
                let camp = of::<EndpointSlice>(&world, number);
                let found = camp.get_opt("bivouac-gate-ipv4").await.expect("an answer")?;
                let slice = serde_json::to_value(found).expect("JSON");
                let of_service = slice["metadata"]["labels"]["kubernetes.io/service-name"].clone();
                assert_eq!(of_service, "bivouac-gate");
                let endpoints = slice["endpoints"].as_array().cloned().unwrap_or_default();
                let addresses: Vec<Value> =
                    endpoints.iter().map(|one| one["addresses"][0].clone()).collect();
                (addresses == wanted && slice["ports"][0]["port"] == 8081).then_some(())
            })
            .await;
    };
    leads_to(&["10.9.0.1"]).await;
    let patch = Patch::Merge(json!({"endpoints": slice(&["10.9.0.1", "10.9.0.2"]).endpoints}));
    own.patch("gate-1", &PatchParams::default(), &patch).await.expect("changed");
    leads_to(&["10.9.0.1", "10.9.0.2"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_killed_while_a_camp_falls_asleep_or_wakes_goes_on() {
    for (seed, pause) in [(31, 5), (32, 40), (33, 120), (34, 400)] {
        let mut world = World::new(seed).await;
        let (number, head) = world.camp("sparks").await;
        power(&world, number, "Asleep").await;
        world.sleep(Duration::from_millis(pause)).await;
        world.stage.kill_service().await;
        world.stage.start_service().expect("started");
        sleeps(&world, number).await;
        power(&world, number, "Awake").await;
        world.sleep(Duration::from_millis(pause)).await;
        world.stage.kill_service().await;
        world.stage.start_service().expect("started");
        world.ready(number, &head).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_is_refused_keeps_what_runs_neither_awake_nor_asleep() {
    let world = World::new(27).await;
    let (number, runs) = world.camp("sparks").await;
    let bad = "apiVersion: v1\nkind: Namespace\nmetadata: {name: mine}\n";
    world.push("sparks", &one("deploy/preview/bad.yaml", bad));
    let refused = async || {
        world
            .until("it is refused", async || {
                let status = world.status(number).await?;
                (status.phase == Some(Phase::Refused) && !status.findings.is_empty()).then_some(())
            })
            .await;
    };
    refused().await;
    power(&world, number, "Asleep").await;
    world.until("nothing runs", async || (pods(&world, number).await == 0).then_some(())).await;
    refused().await;
    world.told(number, "### Preview is refused").await;
    power(&world, number, "Awake").await;
    world
        .until("what ran runs again", async || {
            let (code, page) = world.page(number).await?;
            (code == 200 && page.contains(&runs)).then_some(())
        })
        .await;
    refused().await;
}
