//! All agents against the sandbox's API server, in process, under a paused clock.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::DateTime;
use http::header::HOST;
use http_body_util::BodyExt;
use secrecy::SecretString;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::super::super::api::{ApiServer, FaultPlan, Options as ServerOptions};
use super::super::super::controllers::client_over_with_token;
use super::super::super::controllers::kit::{Api, Deletion, Resource, json, resource};
use super::*;
use crate::seams::body;

struct World {
    server: ApiServer,
    api: Api,
    agents: Agents,
}

impl World {
    /// A cluster that has come to rest.
    async fn new() -> Self {
        Self::with(ServerOptions::default(), 7).await
    }

    async fn with(options: ServerOptions, seed: u64) -> Self {
        Self::with_agents(options, seed, Options::default()).await
    }

    async fn with_agents(options: ServerOptions, seed: u64, agents: Options) -> Self {
        let clock = Clock::simulated(DateTime::UNIX_EPOCH + chrono::Duration::days(20_000));
        let rng = Rng::seeded(seed);
        let server = ApiServer::new(clock.clone(), &rng, options);
        let token = |name: &str| SecretString::from(server.user_token(name, &["system:masters"]));
        let client = client_over_with_token(server.transport(), &token("agents"));
        let api =
            Api::new(client_over_with_token(server.transport(), &token("people")), Rng::seeded(0));
        let agents = start(client, clock, &rng, agents);
        tokio::time::sleep(Duration::from_secs(20)).await;
        Self { server, api, agents }
    }

    async fn make(&self, resource: &Resource, object: Value) -> Value {
        let mut object = object;
        object["apiVersion"] = resource.api_version().into();
        object["kind"] = resource.kind.as_ref().into();
        self.api.create(resource, &object).await.expect("made")
    }

    async fn namespace(&self, name: &str) {
        self.make(&resource::NAMESPACES, json!({ "metadata": { "name": name } })).await;
        self.until("its service account", || async {
            self.get(&resource::SERVICE_ACCOUNTS, name, "default").await.is_some()
        })
        .await;
    }

    async fn get(&self, resource: &Resource, namespace: &str, name: &str) -> Option<Value> {
        self.api.get(resource, namespace, name).await.expect("an answer")
    }

    async fn list(&self, resource: &Resource, namespace: &str) -> Vec<Value> {
        let path = resource.path(namespace, "", "");
        let list = self.api.get_path(&path).await.expect("a list");
        json::list(&list, "/items").to_vec()
    }

    async fn delete(&self, resource: &Resource, namespace: &str, name: &str, how: &'static str) {
        let deletion = Deletion { propagation: how, ..Deletion::default() };
        self.api.delete(resource, namespace, name, &deletion).await.expect("deleted");
    }

    /// Waits, in the clock's time, until `holds` does; two minutes at most.
    async fn until<F: Future<Output = bool>>(&self, what: &str, holds: impl Fn() -> F) {
        for _ in 0..2400 {
            if holds().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{what} never came; {:#?}", self.server.census());
    }

    /// Writes of the agents so far, but for leases.
    fn writes(&self) -> Vec<String> {
        self.server
            .audit()
            .into_iter()
            .filter(|e| e.user == "agents" && !matches!(e.verb.as_str(), "get" | "list" | "watch"))
            .filter(|e| e.resource != "leases.coordination.k8s.io" && e.resource != "leases")
            .map(|e| format!("{e:?}"))
            .collect()
    }

    async fn page(&self, host: &str) -> (u16, String) {
        let request = http::Request::get("/").header(HOST, host).body(body("")).expect("a request");
        let answer = self.agents.ingress().transport().oneshot(request).await.expect("an answer");
        let status = answer.status().as_u16();
        let bytes = answer.into_body().collect().await.expect("a body").to_bytes();
        (status, String::from_utf8_lossy(&bytes).into_owned())
    }

    /// A page with everything that leads to it.
    async fn site(&self, namespace: &str, replicas: i64) {
        self.make(
            &resource::CONFIG_MAPS,
            json!({ "metadata": { "name": "page", "namespace": namespace }, "data": { "index.html": "hello" } }),
        )
        .await;
        self.make(&resource::DEPLOYMENTS, web(namespace, replicas, "nginx:1")).await;
        self.make(
            &resource::SERVICES,
            json!({ "metadata": { "name": "web", "namespace": namespace },
                "spec": { "selector": { "app": "web" }, "ports": [{ "port": 80, "targetPort": 80 }] } }),
        )
        .await;
        self.make(
            &resource::INGRESSES,
            json!({ "metadata": { "name": "web", "namespace": namespace }, "spec": { "rules": [{
                "host": format!("{namespace}.localhost"), "http": { "paths": [{ "path": "/", "pathType": "Prefix",
                    "backend": { "service": { "name": "web", "port": { "number": 80 } } } }] } }] } }),
        )
        .await;
    }

    async fn rolled_out(&self, namespace: &str, replicas: i64) {
        self.until("the rollout", || async {
            let Some(web) = self.get(&resource::DEPLOYMENTS, namespace, "web").await else {
                return false;
            };
            let number = |key: &str| json::int(&web, &format!("/status/{key}")).unwrap_or(0);
            number("observedGeneration") == json::generation(&web)
                && number("availableReplicas") == replicas
                && number("updatedReplicas") == replicas
                && number("replicas") == replicas
                && json::is_true(&web, "Available")
        })
        .await;
    }
}

fn web(namespace: &str, replicas: i64, image: &str) -> Value {
    json!({ "metadata": { "name": "web", "namespace": namespace }, "spec": {
        "replicas": replicas, "selector": { "matchLabels": { "app": "web" } },
        "template": { "metadata": { "labels": { "app": "web" } }, "spec": {
            "containers": [{ "name": "web", "image": image, "ports": [{ "containerPort": 80 }],
                "volumeMounts": [{ "name": "page", "mountPath": "/usr/share/nginx/html" }] }],
            "volumes": [{ "name": "page", "configMap": { "name": "page" } }] } } } })
}

fn census(world: &World) -> BTreeMap<(String, String), usize> {
    world.server.census().into_iter().filter(|(_, count)| *count > 0).collect()
}

#[tokio::test(start_paused = true)]
async fn beside_a_controller_manager_pods_run_and_nobody_makes_them() {
    let alone = Options::beside_a_controller_manager();
    let world = World::with_agents(ServerOptions::default(), 7, alone).await;
    world.make(&resource::NAMESPACES, json!({ "metadata": { "name": "camp" } })).await;
    let named = |name: &str| json!({ "name": name, "namespace": "camp" });
    world.make(&resource::SERVICE_ACCOUNTS, json!({ "metadata": named("default") })).await;
    world.make(&resource::DEPLOYMENTS, web("camp", 1, "nginx:1")).await;
    let pod = json!({ "metadata": named("alone"), "spec": {
        "automountServiceAccountToken": false, "containers": [{ "name": "c", "image": "nginx:1" }] } });
    world.make(&resource::PODS, pod).await;
    world
        .until("the pod's readiness", || async {
            let pod = world.get(&resource::PODS, "camp", "alone").await.expect("a pod");
            json::is_true(&pod, "Ready")
        })
        .await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.list(&resource::PODS, "camp").await.len(), 1);
    assert!(world.list(&resource::REPLICA_SETS, "camp").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_page_comes_up_is_renewed_and_leaves_no_trace() {
    let world = World::new().await;
    let before = census(&world);
    world.namespace("camp").await;
    world.site("camp", 2).await;
    world.rolled_out("camp", 2).await;
    world
        .until("the page", || async { world.page("camp.localhost").await == (200, "hello".into()) })
        .await;
    let slices = world.list(&resource::SLICES, "camp").await;
    assert_eq!(json::list(&slices[0], "/endpoints").len(), 2);
    assert!(world.get(&resource::CONFIG_MAPS, "camp", "kube-root-ca.crt").await.is_some());
    let ingress = world.get(&resource::INGRESSES, "camp", "web").await.expect("there");
    assert_eq!(json::text(&ingress, "/status/loadBalancer/ingress/0/ip"), "127.0.0.1");

    let patch = json!({ "spec": { "template": { "spec": { "containers": [{ "name": "web", "image": "nginx:2",
        "volumeMounts": [{ "name": "page", "mountPath": "/usr/share/nginx/html" }] }] } } } });
    world
        .api
        .merge_patch(&resource::DEPLOYMENTS, "camp", "web", "", &patch)
        .await
        .expect("patched");
    world.rolled_out("camp", 2).await;
    world
        .until("the old pods' end", || async {
            world.list(&resource::PODS, "camp").await.len() == 2
        })
        .await;
    for pod in world.list(&resource::PODS, "camp").await {
        assert_eq!(json::text(&pod, "/spec/containers/0/image"), "nginx:2");
    }
    assert_eq!(world.list(&resource::REPLICA_SETS, "camp").await.len(), 2);

    tokio::time::sleep(Duration::from_secs(60)).await;
    let writes = world.writes().len();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(
        &world.writes()[writes..],
        &[] as &[String],
        "in the steady state nothing is written"
    );

    world.delete(&resource::NAMESPACES, "", "camp", "").await;
    world
        .until("the namespace's end", || async {
            world.get(&resource::NAMESPACES, "", "camp").await.is_none()
        })
        .await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(census(&world), before);
    assert_eq!(world.page("camp.localhost").await.0, 404);
    world.agents.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_namespace_waits_for_finalizers_and_says_so() {
    let world = World::new().await;
    world.namespace("camp").await;
    world.site("camp", 1).await;
    let held = json!({ "metadata": { "name": "held", "namespace": "camp", "finalizers": ["example.org/hold"] } });
    world.make(&resource::CONFIG_MAPS, held).await;
    world.rolled_out("camp", 1).await;
    world.delete(&resource::NAMESPACES, "", "camp", "").await;
    world
        .until("the conditions", || async {
            let Some(camp) = world.get(&resource::NAMESPACES, "", "camp").await else {
                return false;
            };
            json::is_true(&camp, "NamespaceFinalizersRemaining")
                && world.list(&resource::PODS, "camp").await.is_empty()
        })
        .await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let camp = world.get(&resource::NAMESPACES, "", "camp").await.expect("still there");
    assert_eq!(json::text(&camp, "/status/phase"), "Terminating");
    let message = |kind: &str| {
        json::condition(&camp, kind)
            .map(|c| json::text(c, "/message").to_owned())
            .unwrap_or_default()
    };
    assert_eq!(
        message("NamespaceFinalizersRemaining"),
        "Some content in the namespace has finalizers remaining: example.org/hold in 1 resource instances"
    );
    assert_eq!(
        message("NamespaceContentRemaining"),
        "Some resources are remaining: configmaps. has 1 resource instances"
    );
    let free = json!({ "metadata": { "finalizers": null } });
    world
        .api
        .merge_patch(&resource::CONFIG_MAPS, "camp", "held", "", &free)
        .await
        .expect("patched");
    let asked = tokio::time::Instant::now();
    world
        .until("the namespace's end", || async {
            world.get(&resource::NAMESPACES, "", "camp").await.is_none()
        })
        .await;
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
}

#[tokio::test(start_paused = true)]
async fn custom_resources_go_with_their_namespace_and_their_owners() {
    let world = World::new().await;
    let definition = json!({ "metadata": { "name": "things.example.org" }, "spec": { "group": "example.org", "scope": "Namespaced",
        "names": { "plural": "things", "singular": "thing", "kind": "Thing" },
        "versions": [{ "name": "v1", "served": true, "storage": true,
            "schema": { "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } } }] } });
    world.make(&resource::DEFINITIONS, definition).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let things = Resource {
        group: "example.org".into(),
        version: "v1".into(),
        plural: "things".into(),
        kind: "Thing".into(),
        namespaced: true,
    };
    world.namespace("camp").await;
    let owner =
        world.make(&things, json!({ "metadata": { "name": "owner", "namespace": "camp" } })).await;
    let reference = json!([{ "apiVersion": "example.org/v1", "kind": "Thing", "name": "owner", "uid": json::uid(&owner) }]);
    let owned = json!({ "metadata": { "name": "owned", "namespace": "camp", "ownerReferences": reference } });
    world.make(&resource::CONFIG_MAPS, owned).await;
    let wrong = json!([{ "apiVersion": "example.org/v1", "kind": "Thing", "name": "owner", "uid": "another" }]);
    let stray =
        json!({ "metadata": { "name": "stray", "namespace": "camp", "ownerReferences": wrong } });
    world.make(&resource::CONFIG_MAPS, stray).await;
    world
        .until("the end of what has no such owner", || async {
            world.get(&resource::CONFIG_MAPS, "camp", "stray").await.is_none()
        })
        .await;
    assert!(world.get(&resource::CONFIG_MAPS, "camp", "owned").await.is_some());
    world.delete(&things, "camp", "owner", "").await;
    world
        .until("the end of the owned", || async {
            world.get(&resource::CONFIG_MAPS, "camp", "owned").await.is_none()
        })
        .await;
    world.make(&things, json!({ "metadata": { "name": "last", "namespace": "camp" } })).await;
    world.delete(&resource::NAMESPACES, "", "camp", "").await;
    world
        .until("the namespace's end", || async {
            world.get(&resource::NAMESPACES, "", "camp").await.is_none()
        })
        .await;
    assert!(world.list(&things, "").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn deletion_propagates_as_asked() {
    let world = World::new().await;
    for (namespace, how) in [("back", "Background"), ("fore", "Foreground"), ("orphan", "Orphan")] {
        world.namespace(namespace).await;
        world.site(namespace, 2).await;
        world.rolled_out(namespace, 2).await;
        world.delete(&resource::DEPLOYMENTS, namespace, "web", how).await;
        world
            .until("the Deployment's end", || async {
                world.get(&resource::DEPLOYMENTS, namespace, "web").await.is_none()
            })
            .await;
        if how == "Foreground" {
            assert!(world.list(&resource::REPLICA_SETS, namespace).await.is_empty());
            assert!(world.list(&resource::PODS, namespace).await.is_empty());
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        let sets = world.list(&resource::REPLICA_SETS, namespace).await;
        let pods = world.list(&resource::PODS, namespace).await;
        if how == "Orphan" {
            assert_eq!((sets.len(), pods.len()), (1, 2));
            assert!(json::list(&sets[0], "/metadata/ownerReferences").is_empty());
            // Who comes with the same selector takes them over.
            world.make(&resource::DEPLOYMENTS, web(namespace, 2, "nginx:1")).await;
            world.rolled_out(namespace, 2).await;
            tokio::time::sleep(Duration::from_secs(5)).await;
            assert_eq!(world.list(&resource::REPLICA_SETS, namespace).await.len(), 1);
            let names =
                |pods: &[Value]| pods.iter().map(|p| json::name(p).to_owned()).collect::<Vec<_>>();
            assert_eq!(names(&world.list(&resource::PODS, namespace).await), names(&pods));
        } else {
            assert_eq!((sets.len(), pods.len()), (0, 0), "{how}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn workloads_of_all_kinds_come_up_and_go() {
    let world = World::new().await;
    let before = census(&world);
    world.namespace("camp").await;
    let template = json!({ "metadata": { "labels": { "a": "b" } }, "spec": { "containers": [{ "name": "c", "image": "busybox" }] } });
    let selector = json!({ "matchLabels": { "a": "b" } });
    let mut once = template.clone();
    once["spec"]["restartPolicy"] = json!("Never");
    world.make(&resource::STATEFUL_SETS, json!({ "metadata": { "name": "db", "namespace": "camp" }, "spec": {
        "replicas": 2, "serviceName": "db", "selector": selector, "template": template,
        "volumeClaimTemplates": [{ "metadata": { "name": "data" }, "spec": { "accessModes": ["ReadWriteOnce"],
            "resources": { "requests": { "storage": "1Gi" } } } }] } })).await;
    world
        .make(
            &resource::DAEMON_SETS,
            json!({ "metadata": { "name": "agent", "namespace": "camp" }, "spec": {
        "selector": selector, "template": template } }),
        )
        .await;
    world.make(&resource::JOBS, json!({ "metadata": { "name": "seed", "namespace": "camp" }, "spec": { "template": once } })).await;
    world
        .make(
            &resource::CRON_JOBS,
            json!({ "metadata": { "name": "tick", "namespace": "camp" }, "spec": {
        "schedule": "* * * * *", "jobTemplate": { "spec": { "template": once } } } }),
        )
        .await;
    world.make(&resource::QUOTAS, json!({ "metadata": { "name": "q", "namespace": "camp" }, "spec": { "hard": { "pods": "20" } } })).await;
    world
        .until("all of them", || async {
            let at = |object: &Option<Value>, pointer: &str| {
                object.as_ref().and_then(|o| json::int(o, pointer)).unwrap_or(0)
            };
            let db = world.get(&resource::STATEFUL_SETS, "camp", "db").await;
            let agent = world.get(&resource::DAEMON_SETS, "camp", "agent").await;
            let seed = world.get(&resource::JOBS, "camp", "seed").await;
            let jobs = world.list(&resource::JOBS, "camp").await;
            at(&db, "/status/readyReplicas") == 2
                && at(&agent, "/status/numberAvailable") == 2
                && seed.is_some_and(|job| json::is_true(&job, "Complete"))
                && jobs.iter().filter(|j| json::is_true(j, "Complete")).count() >= 2
        })
        .await;
    let claims = world.list(&resource::CLAIMS, "camp").await;
    assert_eq!(
        claims.iter().map(|c| json::text(c, "/status/phase")).collect::<Vec<_>>(),
        ["Bound", "Bound"]
    );
    let quota = world.get(&resource::QUOTAS, "camp", "q").await.expect("there");
    assert!(
        json::text(&quota, "/status/used/pods").parse::<u32>().is_ok_and(|n| n >= 4),
        "{quota}"
    );
    world.delete(&resource::NAMESPACES, "", "camp", "").await;
    world
        .until("the namespace's end", || async {
            world.get(&resource::NAMESPACES, "", "camp").await.is_none()
        })
        .await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(census(&world), before);
}

#[tokio::test(start_paused = true)]
async fn a_refused_pod_is_told_on_its_owners() {
    let world = World::new().await;
    world.namespace("camp").await;
    world.make(&resource::QUOTAS, json!({ "metadata": { "name": "q", "namespace": "camp" }, "spec": { "hard": { "pods": "1" } } })).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.site("camp", 2).await;
    world
        .until("the refusal", || async {
            let web = world.get(&resource::DEPLOYMENTS, "camp", "web").await;
            web.is_some_and(|w| json::is_true(&w, "ReplicaFailure"))
        })
        .await;
    let events = world.list(&resource::EVENTS, "camp").await;
    assert!(events.iter().any(|e| json::text(e, "/reason") == "FailedCreate"));
}

/// One life in a runtime of its own: what all requests were.
fn life() -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let world = World::new().await;
        world.namespace("camp").await;
        world.site("camp", 2).await;
        world.rolled_out("camp", 2).await;
        world.delete(&resource::NAMESPACES, "", "camp", "").await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        let requests = world.server.audit().iter().map(|e| format!("{e:?}")).collect();
        world.agents.stop().await;
        requests
    })
}

#[test]
fn the_same_seed_gives_the_same_requests() {
    let (one, two) = (life(), life());
    let first_difference = one.iter().zip(&two).position(|(a, b)| a != b);
    assert_eq!(first_difference.map(|at| (&one[at], &two[at])), None);
    assert_eq!(one.len(), two.len());
}

#[tokio::test(start_paused = true)]
async fn faults_delay_and_don_t_defeat() {
    for seed in 1..4 {
        let faults = FaultPlan {
            latency: Duration::from_millis(50),
            conflicts: 100,
            too_many: 30,
            server_errors: 100,
            lost_answers: 50,
            cut_watches: 500,
            spared_users: vec!["people".to_owned()],
        };
        let world = World::with(ServerOptions { faults, ..ServerOptions::default() }, seed).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        let before = census(&world);
        world.namespace("camp").await;
        world.site("camp", 3).await;
        world.rolled_out("camp", 3).await;
        // The history is gone: watches that are cut from now on get 410 and list again.
        world.server.compact();
        let patch = json!({ "spec": { "replicas": 5 } });
        world
            .api
            .merge_patch(&resource::DEPLOYMENTS, "camp", "web", "", &patch)
            .await
            .expect("patched");
        world.rolled_out("camp", 5).await;
        world
            .until("the page", || async {
                world.page("camp.localhost").await == (200, "hello".into())
            })
            .await;
        world.delete(&resource::NAMESPACES, "", "camp", "").await;
        world
            .until("the namespace's end", || async {
                world.get(&resource::NAMESPACES, "", "camp").await.is_none()
            })
            .await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(census(&world), before, "seed {seed}");
        world.agents.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_image_is_told_at_the_door_and_mended_within_two_seconds() {
    let world = World::new().await;
    world.namespace("camp").await;
    world.site("camp", 1).await;
    let image = |image: &str| json!([{ "op": "replace", "path": "/spec/template/spec/containers/0/image", "value": image }]);
    let patch = async |image: Value| {
        let path = resource::DEPLOYMENTS.path("camp", "web", "");
        let kind = "application/json-patch+json";
        world.api.send(http::Method::PATCH, &path, kind, Some(&image)).await.expect("patched")
    };
    patch(image("acme/does-not-exist:1")).await;
    world
        .delete(
            &resource::REPLICA_SETS,
            "camp",
            json::name(&world.list(&resource::REPLICA_SETS, "camp").await[0]),
            "",
        )
        .await;
    world
        .until("the reason", || async {
            let (status, page) = world.page("camp.localhost").await;
            status == 503 && page.contains("is ImagePullBackOff")
        })
        .await;
    let mended = tokio::time::Instant::now();
    patch(image("nginx:1")).await;
    world.rolled_out("camp", 1).await;
    world.until("the page", || async { world.page("camp.localhost").await.0 == 200 }).await;
    assert!(mended.elapsed() < Duration::from_secs(2), "{:?}", mended.elapsed());

    world
        .until("the log", || async {
            let pods = world.list(&resource::PODS, "camp").await;
            pods.iter().any(|pod| {
                json::annotation(pod, crate::sandbox::cluster::nodes::rules::LOG)
                    .is_some_and(|log| log.contains("started from image nginx:1"))
            })
        })
        .await;
}
