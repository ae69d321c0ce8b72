//! In which order a camp falls asleep and wakes: nobody meets an address behind which nothing runs, and no hook a camp
//! that sleeps.

use std::time::Duration;

use bivouac::crd::Phase;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::networking::v1::Ingress;
use kube::Api;
use serde_json::json;

use crate::hooks::job;
use crate::support::{Files, World, one};

/// What a visitor and a hook depend on, read one after the other in the order in which the fields are used.
struct Camp<'a> {
    world: &'a World,
    number: u64,
}

impl Camp<'_> {
    async fn deployment(&self) -> Deployment {
        let namespace = self.world.stage.namespace_of(self.number);
        let all: Api<Deployment> = Api::namespaced(self.world.stage.admin.clone(), &namespace);
        all.get("web").await.expect("a Deployment")
    }

    async fn wants_none(&self) -> bool {
        self.deployment().await.spec.replicas == Some(0)
    }

    async fn is_ready(&self) -> bool {
        let ready = self.deployment().await.status.and_then(|status| status.ready_replicas);
        ready.is_some_and(|ready| ready > 0)
    }

    async fn leads_to(&self) -> String {
        let namespace = self.world.stage.namespace_of(self.number);
        let all: Api<Ingress> = Api::namespaced(self.world.stage.admin.clone(), &namespace);
        let ingress = serde_json::to_value(all.get("web").await.expect("an Ingress"));
        let ingress = ingress.expect("JSON");
        let backend = ingress.pointer("/spec/rules/0/http/paths/0/backend/service/name");
        backend.and_then(|name| name.as_str()).expect("a backend").to_owned()
    }

    async fn phase(&self) -> Option<Phase> {
        self.world.status(self.number).await?.phase
    }

    async fn sleeps(&self) {
        self.world
            .until("it sleeps", async || (self.phase().await == Some(Phase::Asleep)).then_some(()))
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn no_visitor_meets_an_address_behind_which_nothing_runs() {
    let world = World::new(27).await;
    let (number, head) = world.camp("sparks").await;
    let camp = Camp { world: &world, number };
    world.ask(number, json!({"power": "Asleep"})).await;
    world
        .until("it sleeps, and visitors went to the gate before that", async || {
            // Read first what comes last.
            let none = camp.wants_none().await;
            let led = camp.leads_to().await == "bivouac-gate";
            assert!(led || !none, "scaled down before visitors were led away");
            (camp.phase().await == Some(Phase::Asleep)).then_some(())
        })
        .await;
    world.ask(number, json!({"power": "Awake"})).await;
    world
        .until("visitors are led back", async || {
            if camp.leads_to().await == "bivouac-gate" {
                return None;
            }
            assert!(camp.is_ready().await, "led back before anything was ready");
            Some(())
        })
        .await;
    world.ready(number, &head).await;
}

#[tokio::test(start_paused = true)]
async fn a_hook_of_a_new_commit_finds_awake_what_slept() {
    let world = World::new(28).await;
    let migrate = job("migrate", "bivouac.dev/hook: beforeApply", "sleep 2");
    let files = Files::from([("deploy/preview/migrate.yaml", migrate.as_str())]);
    let (number, head) = world.open("sparks", &files);
    world.ready(number, &head).await;
    let camp = Camp { world: &world, number };
    let namespace = world.stage.namespace_of(number);
    let jobs: Api<Job> = Api::namespaced(world.stage.admin.clone(), &namespace);
    let uid = async || jobs.get_opt("migrate").await.expect("an answer")?.metadata.uid;
    let before = uid().await.expect("it ran");
    world.ask(number, json!({"power": "Asleep"})).await;
    camp.sleeps().await;
    let head = world.push("sparks", &one("CHANGES.md", "more sparks"));
    world
        .until("the hook runs again", async || {
            uid().await.filter(|now| *now != before)?;
            assert!(camp.is_ready().await, "the hook began while everything still slept");
            Some(())
        })
        .await;
    world.ready(number, &head).await;
}

#[tokio::test(start_paused = true)]
async fn a_push_at_night_wakes_nothing_where_the_repository_says_so() {
    let world = World::new(29).await;
    // It is Monday, nine o'clock.
    let schedule = json!({"timeZone": "UTC", "asleep": ["09:20-09:40"]});
    let lifetime = json!({"schedule": schedule, "wakeOnPush": false});
    world.policy(json!({"lifetime": lifetime})).await;
    let (number, _) = world.camp("sparks").await;
    let camp = Camp { world: &world, number };
    world.sleep(Duration::from_secs(20 * 60)).await;
    camp.sleeps().await;
    let head = world.push("sparks", &one("CHANGES.md", "more sparks"));
    world
        .until("the commit is applied", async || {
            let revision = world.status(number).await?.revision;
            (revision.as_deref() == Some(head.as_str())).then_some(())
        })
        .await;
    world.sleep(Duration::from_secs(120)).await;
    camp.sleeps().await;
    assert!(camp.wants_none().await);
    world.sleep(Duration::from_secs(20 * 60)).await;
    world.ready(number, &head).await;
}
