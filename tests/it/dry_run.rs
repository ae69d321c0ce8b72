//! The API server is asked about a whole bundle before the first object of it is written.

use std::time::Duration;

use bivouac::app::stage::Stage;
use bivouac::crd::Phase;
use chrono::{DateTime, Utc};
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

use crate::bad_input::Witness;
use crate::support::{Files, SWEEP, World, one};

/// Three mistakes in two files, between objects that are right.
const BAD: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: fine}
---
apiVersion: v1
kind: Service
metadata: {name: extra}
spec:
  selector: {app: web}
  ports:
    - port: 99999
";
const WORSE: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: worker}
spec:
  replica: 2
  selector: {matchLabels: {app: worker}}
  template:
    metadata: {labels: {app: worker}}
    spec:
      containers:
        - {name: worker, image: 'ghcr.io/acme/worker:1', imagePullPolice: Always}
";

fn bad() -> Files<'static> {
    Files::from([("deploy/preview/bad.yaml", BAD), ("deploy/preview/worse.yaml", WORSE)])
}

/// What camps' deployers sent since `since` that was to be stored, and was.
fn stored_by_deployers(world: &World, since: DateTime<Utc>) -> Vec<String> {
    let mut writes = world.writes_since(since);
    writes.retain(|write| {
        let asked = write.dry_run || write.group == "authorization.k8s.io";
        write.impersonated.is_some() && !asked && write.code < 300
    });
    writes.into_iter().map(|write| format!("{} {}", write.verb, write.uri)).collect()
}

/// How many objects were only tried since `since`.
fn tried(world: &World, since: DateTime<Utc>) -> usize {
    world.writes_since(since).iter().filter(|write| write.dry_run).count()
}

#[tokio::test(start_paused = true)]
async fn a_bundle_is_refused_whole_with_all_that_is_wrong_at_once_and_nothing_of_it_is_written() {
    let world = World::new(1).await;
    let witness = Witness::of(&world).await;
    let since = world.stage.clock.now();
    let (number, _) = world.open("sparks", &bad());
    let comment = world.told(number, "### Preview is refused").await;
    let status = world.status(number).await.expect("a status");
    assert_eq!(status.phase, Some(Phase::Refused));
    let found: Vec<_> = status
        .findings
        .iter()
        .map(|f| (f.file.as_deref().unwrap_or_default(), f.line, f.message.as_str()))
        .collect();
    let (bad, worse) = ("deploy/preview/bad.yaml", "deploy/preview/worse.yaml");
    assert_eq!(
        found,
        [
            (
                bad,
                Some(11),
                "Service/extra: spec.ports[0].port: Invalid value: 99999: must be between 1 and 65535, inclusive"
            ),
            (worse, Some(5), "Deployment/worker: .spec.replica: field not declared in schema"),
            (
                worse,
                Some(11),
                "Deployment/worker: .spec.template.spec.containers[name=\"worker\"].imagePullPolice: field not declared in schema"
            ),
        ],
        "{comment}"
    );
    assert!(comment.contains("deploy/preview/bad.yaml:11"), "{comment}");
    assert!(comment.contains("kubectl explain"), "{comment}");
    assert_eq!(stored_by_deployers(&world, since), Vec::<String>::new());
    assert_eq!(status.inventory, [], "nothing of it is there");

    // It is asked again from time to time, and nothing is written or said for it once all of it is told.
    world.sleep(Duration::from_secs(30)).await;
    let before = (world.comment(number), world.stage.clock.now(), tried(&world, since));
    world.sleep(SWEEP * 3).await;
    assert_eq!(world.comment(number), before.0);
    let (again, rest): (Vec<_>, Vec<_>) =
        world.writes_since(before.1).into_iter().partition(|write| write.dry_run);
    assert!(!again.is_empty() && again.len() <= 4 * before.2, "{} requests", again.len());
    let rest: Vec<_> = rest.iter().filter(|write| write.resource == "environments").collect();
    assert!(rest.is_empty(), "{rest:?}");

    let good = Files::from([
        ("deploy/preview/bad.yaml", BAD.replace("99999", "80").leak() as &str),
        ("deploy/preview/worse.yaml", ""),
    ]);
    let mended = world.push("sparks", &good);
    world.ready(number, &mended).await;
    witness.is_unharmed(&world).await;
}

#[tokio::test(start_paused = true)]
async fn what_stood_before_a_refused_commit_goes_on_standing_with_its_inventory() {
    let world = World::new(2).await;
    let (number, head) = world.camp("sparks").await;
    let before = world.status(number).await.expect("a status").inventory;
    let since = world.stage.clock.now();
    world.push("sparks", &bad());
    world.told(number, "### Preview is refused").await;
    world.sleep(SWEEP).await;
    assert_eq!(world.status(number).await.expect("a status").inventory, before);
    assert_eq!(stored_by_deployers(&world, since), Vec::<String>::new());
    let (code, page) = world.page(number).await.expect("an answer");
    assert!(code == 200 && page.contains(&head), "what ran before is as it was");
}

#[tokio::test(start_paused = true)]
async fn an_admission_policy_refuses_the_bundle_before_its_first_object_and_lets_it_in_when_it_is_gone()
 {
    let world = World::new(3).await;
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(world.stage.admin.clone());
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(world.stage.admin.clone());
    let policy = json!({
        "metadata": {"name": "no-rumours"},
        "spec": {
            "matchConstraints": {"resourceRules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["configmaps"],
            }]},
            "validations": [{
                "expression": "!has(object.data) || !('rumour' in object.data)", "message": "rumours are not for sharing",
            }],
        },
    });
    let binding = json!({
        "metadata": {"name": "no-rumours"},
        "spec": {"policyName": "no-rumours", "validationActions": ["Deny"]},
    });
    let policy = serde_json::from_value(policy).expect("a policy");
    policies.create(&PostParams::default(), &policy).await.expect("made");
    let binding = serde_json::from_value(binding).expect("a binding");
    bindings.create(&PostParams::default(), &binding).await.expect("made");

    let since = world.stage.clock.now();
    let rumour = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: talk}\ndata: {rumour: x}\n";
    let (number, head) = world.open("sparks", &one("deploy/preview/talk.yaml", rumour));
    let comment = world.told(number, "rumours are not for sharing").await;
    assert!(comment.contains("admission-policy"), "{comment}");
    assert_eq!(stored_by_deployers(&world, since), Vec::<String>::new());

    bindings.delete("no-rumours", &DeleteParams::default()).await.expect("deleted");
    world.ready(number, &head).await;
}

#[tokio::test(start_paused = true)]
async fn what_an_object_needs_and_the_bundle_itself_brings_is_no_mistake() {
    let world = World::anywhere(4).await;
    let pod = "apiVersion: v1
kind: Pod
metadata: {name: early, labels: {app: early}}
spec:
  containers:
    - name: main
      image: ghcr.io/acme/worker:1
      envFrom: [{configMapRef: {name: later}}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: later}
data: {A: b}
";
    let (number, head) = world.open("sparks", &one("deploy/preview/early.yaml", pod));
    world.ready(number, &head).await;
    let status = world.status(number).await.expect("a status");
    assert_eq!(status.notes, [], "nothing to remark");
    assert_eq!(status.findings, []);
}

/// As many ConfigMaps in one file.
fn maps(count: usize) -> String {
    (0..count).fold(String::new(), |text, n| {
        text + &format!(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m{n:03}}}\ndata: {{a: b}}\n"
        )
    })
}

#[tokio::test(start_paused = true)]
async fn an_object_is_tried_once_and_only_what_changed_is_tried_again() {
    let world = World::new(5).await;
    let since = world.stage.clock.now();
    let maps = maps(16);
    let (number, head) = world.open("sparks", &one("deploy/preview/maps.yaml", &maps));
    world.ready(number, &head).await;
    let objects = world.status(number).await.expect("a status").inventory.len();
    assert_eq!(objects, 20);
    assert_eq!(tried(&world, since), objects, "once each");

    // The page and the pods' template name the commit; the rest is as it was.
    let since = world.stage.clock.now();
    let head = world.push("sparks", &one("CHANGES.md", "more"));
    world.ready(number, &head).await;
    assert_eq!(tried(&world, since), 2);

    // Putting back what is there already asks for no opinion.
    let since = world.stage.clock.now();
    let maps: Api<k8s_openapi::api::apps::v1::Deployment> =
        Api::namespaced(world.stage.admin.clone(), &world.stage.namespace_of(number));
    maps.delete("web", &DeleteParams::default()).await.expect("deleted");
    world.sleep(SWEEP).await;
    world.ready(number, &head).await;
    assert_eq!(tried(&world, since), 0);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_cut_off_goes_on_where_it_was() {
    let mut world = World::new(6).await;
    let maps = maps(120);
    slow(&mut world.stage, 200);
    let since = world.stage.clock.now();
    let (number, _) = world.open("sparks", &one("deploy/preview/maps.yaml", &maps));
    world
        .until("half of it is there", async || {
            (world.config_maps(number).await.len() > 20).then_some(())
        })
        .await;
    let head = world.push("sparks", &one("CHANGES.md", "more"));
    world.ready(number, &head).await;
    slow(&mut world.stage, 0);
    let mut sent = std::collections::BTreeMap::<String, usize>::new();
    for write in world.writes_since(since) {
        if write.impersonated.is_some() && !write.dry_run && write.code < 300 {
            *sent.entry(format!("{} {}", write.resource, write.name)).or_default() += 1;
        }
    }
    let twice: Vec<_> = sent
        .iter()
        .filter(|(what, count)| **count > 1 && what.starts_with("configmaps m"))
        .collect();
    assert!(twice.is_empty(), "{twice:?}");
    assert!(sent.len() >= 124, "{sent:?}");
}

/// Every answer of the API server takes up to so long.
fn slow(stage: &mut Stage, millis: u64) {
    let plan = bivouac::sandbox::cluster::api::FaultPlan {
        latency: Duration::from_millis(millis),
        ..Default::default()
    };
    stage.cluster.set_faults(plan);
}
