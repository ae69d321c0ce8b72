//! Everything that people ask of a camp passes the gate, where its Repository asks for that: its routes lead there, its
//! pods hear nobody else, and nobody meets a gap while that changes.

use std::collections::BTreeMap;
use std::time::Duration;

use bivouac::app::stage::{NAME, NAMESPACE};
use bivouac::crd::{EnvironmentStatus, Phase, Repository};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::hooks::job;
use crate::support::{Files, SERVICE, World, one};

const QUARTER: Duration = Duration::from_secs(15 * 60);
const BACKEND: &str = "/spec/rules/0/http/paths/0/backend/service/name";

async fn status(world: &World, number: u64) -> EnvironmentStatus {
    world.status(number).await.expect("a status")
}

/// The Service that the camp's Ingress leads to.
async fn backend(world: &World, number: u64) -> Value {
    let api: Api<Ingress> =
        Api::namespaced(world.stage.admin.clone(), &world.stage.namespace_of(number));
    let ingress = api.get("web").await.expect("an Ingress");
    let ingress = serde_json::to_value(ingress).expect("JSON");
    ingress.pointer(BACKEND).cloned().unwrap_or_default()
}

/// Whom the camp's pods hear.
async fn heard(world: &World, number: u64) -> String {
    let api: Api<NetworkPolicy> =
        Api::namespaced(world.stage.admin.clone(), &world.stage.namespace_of(number));
    let policy = api.get("bivouac-network").await.expect("a policy");
    let ingress = policy.spec.and_then(|spec| spec.ingress).unwrap_or_default();
    serde_json::to_string(&ingress).expect("JSON")
}

async fn way_to_gate(world: &World, number: u64) -> bool {
    let api: Api<Service> =
        Api::namespaced(world.stage.admin.clone(), &world.stage.namespace_of(number));
    api.get_opt("bivouac-gate").await.expect("an answer").is_some()
}

#[tokio::test(start_paused = true)]
async fn every_route_leads_to_the_gate_and_pods_hear_nobody_else() {
    let world = World::new(801).await;
    world.policy(json!({"url": {"noindex": true}})).await;
    let (number, head) = world.camp("sparks").await;
    let found = status(&world, number).await;
    assert_eq!(backend(&world, number).await, "bivouac-gate");
    let routes = serde_json::to_value(&found.routes).expect("JSON");
    let host = found.hosts[0].clone();
    let ways =
        json!([{"host": host, "path": "/", "pathType": "Prefix", "service": "web", "port": 80}]);
    assert_eq!(routes, ways);
    let gate = found.gate.expect("it passes the gate");
    assert!(gate.led && gate.closed, "a new camp is closed from the first: {gate:?}");
    let peers = heard(&world, number).await;
    let own: Api<Service> = Api::namespaced(world.stage.admin.clone(), NAMESPACE);
    let keepers = own.get("bivouac-gate").await.expect("the gate's Service");
    let labels: BTreeMap<String, String> =
        keepers.spec.and_then(|spec| spec.selector).unwrap_or_default();
    let labels = serde_json::to_string(&labels).expect("JSON");
    assert!(peers.contains("bivouac-system") && peers.contains(&labels), "{peers}");
    assert!(!peers.contains("ingress-nginx"), "{peers}");
    let why = found.why.iter().find(|line| line.rule == "gate").expect("the rule");
    assert!(why.answer.contains("url.noindex"), "{why:?}");

    // A steady camp behind the gate costs no writes.
    world.sleep(QUARTER).await;
    let since = world.stage.clock.now();
    world.sleep(QUARTER).await;
    let mut writes = world.writes_since(since);
    writes.retain(|write| write.user == SERVICE && write.resource != "repositories");
    assert_eq!(writes, []);

    // Who leads people past the gate finds the route put back.
    let api: Api<Ingress> =
        Api::namespaced(world.stage.admin.clone(), &world.stage.namespace_of(number));
    let web = json!({"service": {"name": "web", "port": {"name": "http"}}});
    let paths = json!([{"path": "/", "pathType": "Prefix", "backend": web}]);
    let past = Patch::Merge(json!({"spec": {"rules": [{"host": host, "http": {"paths": paths}}]}}));
    api.patch("web", &PatchParams::default(), &past).await.expect("changed");
    world
        .within(Duration::from_secs(5), "it leads to the gate again", async || {
            (backend(&world, number).await == "bivouac-gate").then_some(())
        })
        .await;

    // The next commit as well, and its routes with it.
    let head_2 = world.push("sparks", &one("CHANGES.md", "more sparks"));
    world.ready(number, &head_2).await;
    assert_ne!(head, head_2);
    assert_eq!(serde_json::to_value(status(&world, number).await.routes).expect("JSON"), ways);
    assert_eq!(backend(&world, number).await, "bivouac-gate");
}

#[tokio::test(start_paused = true)]
async fn nobody_meets_a_gap_when_a_repository_asks_for_the_gate_or_does_not_any_more() {
    let world = World::new(802).await;
    let migrate = job("migrate", "bivouac.dev/hook: beforeApply", "sleep 2");
    let (number, head) = world.open("sparks", &one("deploy/preview/migrate.yaml", &migrate));
    world.ready(number, &head).await;
    let jobs: Api<Job> =
        Api::namespaced(world.stage.admin.clone(), &world.stage.namespace_of(number));
    let ran = jobs.get("migrate").await.expect("a Job").metadata.uid;
    let watched = async |time: Duration| {
        let until = world.stage.clock.now() + time;
        while world.stage.clock.now() < until {
            let (code, page) = world.page(number).await.expect("an answer");
            assert!(code == 200 && page.contains(&head), "{code}: {page}");
            world.sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(!heard(&world, number).await.contains("bivouac-system"));
    world.policy(json!({"url": {"noindex": true}})).await;
    watched(Duration::from_secs(10)).await;
    assert_eq!(backend(&world, number).await, "bivouac-gate");
    let both = heard(&world, number).await;
    assert!(both.contains("ingress-nginx") && both.contains("bivouac-system"), "{both}");
    watched(Duration::from_secs(40)).await;
    let closed = heard(&world, number).await;
    assert!(!closed.contains("ingress-nginx") && closed.contains("bivouac-system"), "{closed}");
    let revision = status(&world, number).await.history;
    assert_eq!(revision.len(), 1, "that is no new bundle: {revision:?}");
    let again = jobs.get("migrate").await.expect("a Job").metadata.uid;
    assert_eq!(again, ran, "no hook runs again for it");

    world.policy(json!({"url": {"noindex": false}})).await;
    watched(Duration::from_secs(10)).await;
    assert_eq!(backend(&world, number).await, "web");
    assert!(way_to_gate(&world, number).await, "somebody may be on the way there");
    watched(Duration::from_secs(60)).await;
    world
        .until("nothing of the gate is left", async || {
            let status = world.status(number).await?;
            (status.gate.is_none() && !way_to_gate(&world, number).await).then_some(())
        })
        .await;
    let open = heard(&world, number).await;
    assert!(open.contains("ingress-nginx") && !open.contains("bivouac-system"), "{open}");
}

#[tokio::test(start_paused = true)]
async fn a_camp_that_sleeps_behind_the_gate_stays_there() {
    let world = World::new(803).await;
    world.policy(json!({"url": {"noindex": true}})).await;
    let (number, head) = world.camp("sparks").await;
    world.ask(number, json!({"power": "Asleep"})).await;
    world
        .until("it sleeps", async || {
            (world.status(number).await?.phase == Some(Phase::Asleep)).then_some(())
        })
        .await;
    assert_eq!(backend(&world, number).await, "bivouac-gate");
    assert_eq!(world.page(number).await.expect("an answer").0, 503);
    world.ask(number, json!({"power": "Auto"})).await;
    world.ready(number, &head).await;
    assert_eq!(backend(&world, number).await, "bivouac-gate");
    assert!(status(&world, number).await.gate.is_some_and(|gate| gate.led && gate.closed));
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_can_not_pass_the_gate_is_refused_with_a_reason() {
    let world = World::new(804).await;
    let text = "apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: second
  annotations: {nginx.ingress.kubernetes.io/backend-protocol: GRPC}
spec:
  rules:
    - host: \"{{env.host}}\"
      http:
        paths:
          - path: /rpc
            pathType: Prefix
            backend: {service: {name: web, port: {number: 80}}}
";
    let (number, runs) = world.camp("sparks").await;
    world.policy(json!({"url": {"noindex": true}})).await;
    world
        .until("it leads to the gate", async || {
            (backend(&world, number).await == "bivouac-gate").then_some(())
        })
        .await;
    let files = Files::from([("deploy/preview/second.yaml.hbs", text)]);
    let head = world.push("sparks", &files);
    let found = world
        .until("it is refused", async || {
            let status = world.status(number).await?;
            let refused = status.phase == Some(Phase::Refused);
            status.findings.first().filter(|_| refused).cloned()
        })
        .await;
    assert_eq!(found.rule, "BR018 gate", "{found:?}");
    assert!(found.message.contains("backend-protocol"), "{found:?}");
    world.told(number, "### Preview is refused").await;
    let (code, page) = world.page(number).await.expect("an answer");
    assert!(code == 200 && page.contains(&runs), "what ran before goes on: {code} {page}");
    world.policy(json!({"url": {"noindex": false}})).await;
    world.ready(number, &head).await;
    assert_eq!(backend(&world, number).await, "web");
}

#[tokio::test(start_paused = true)]
async fn what_is_to_be_protected_is_not_opened_where_there_is_no_gate() {
    let mut world = World::new(805).await;
    let (stood, _) = world.camp("kettle").await;
    world.stage.kill_service().await;
    world.stage.forget_gate();
    world.stage.start_service().expect("started");
    let protect = json!({"password": {"secretName": "door", "key": "password"}});
    world
        .policy(json!({"url": {"protect": protect}, "lifetime": {"sleepAfter": {"idle": "30m"}}}))
        .await;
    let (number, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
    for number in [number, stood] {
        let reason = world
            .until("it is not opened", async || {
                let status = world.status(number).await?;
                let failed = status.phase == Some(Phase::Failed);
                status.reason.filter(|_| failed)
            })
            .await;
        assert!(reason.contains("--gate-service") && reason.contains("url.protect"), "{reason}");
    }
    assert!(world.camp_uid(number).await.is_none(), "nothing of it is made");
    world.told(number, "--gate-service").await;
    world.sleep(Duration::from_secs(60)).await;
    let peers = heard(&world, stood).await;
    assert_eq!(peers, r#"[{"from":[{"podSelector":{}}]}]"#, "what stood is closed");
    let condition = async || {
        let api: Api<Repository> = Api::namespaced(world.stage.admin.clone(), NAMESPACE);
        let conditions = api.get(NAME).await.expect("a Repository").status?.conditions;
        conditions.into_iter().find(|one| one.r#type == "GateReady")
    };
    let said = world.until("the Repository says so", condition).await;
    assert_eq!((said.status.as_str(), said.reason.as_str()), ("False", "GateMissing"));

    // Without anything to protect the previews stand, and it is said that nobody puts them to sleep.
    world.policy(json!({"url": {"protect": null}})).await;
    world.ready(number, &head).await;
    let why = status(&world, number).await.why;
    let why = why.into_iter().find(|line| line.rule == "gate").expect("the rule");
    assert_eq!(
        why.answer,
        "lifetime.sleepAfter is not heeded: the service has no gate (--gate-service)"
    );
    world.sleep(3 * QUARTER).await;
    assert_eq!(status(&world, number).await.phase, Some(Phase::Ready));
    assert_eq!(backend(&world, number).await, "web");
}
