//! What nobody uses sleeps after a while, and a visit gives time: where everything passes the gate, which sees it.

use std::time::Duration;

use bivouac::app::stage::{MAINTAINER, NAMESPACE};
use bivouac::crd::{
    Origin, OriginKind, Phase, Power, Request, RequestSpec, RequestState, Requester,
};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use crate::commands::done;
use crate::hooks::job;
use crate::support::{World, one};

const MINUTE: Duration = Duration::from_secs(60);

/// Notes a visit, as the gate does.
pub(crate) async fn visit(world: &World, number: u64) {
    let now = world.stage.clock.now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let noted = json!({"metadata": {"annotations": {"bivouac.dev/last-visit": now}}});
    let name = format!("campfire-pr-{number}");
    let api = world.stage.environments();
    api.patch(&name, &PatchParams::default(), &Patch::Merge(noted)).await.expect("noted");
}

/// Asks as the gate does for somebody who opened the preview.
async fn ask(world: &World, number: u64, name: &str, verb: &str) -> (RequestState, String) {
    let api: Api<Request> = Api::namespaced(world.stage.admin.clone(), NAMESPACE);
    let spec = RequestSpec {
        environment: format!("campfire-pr-{number}"),
        verb: verb.into(),
        arguments: Vec::new(),
        slip: None,
        from: Origin { kind: OriginKind::Gate, id: "1".into() },
        by: Requester { login: "visitor".into(), id: 0, bot: false },
        at: world.stage.clock.now().into(),
    };
    let request = Request::new(name, spec);
    api.create(&PostParams::default(), &request).await.expect("made");
    world
        .within(Duration::from_secs(5), "it is answered", async || {
            let status = api.get(name).await.expect("it is there").status?;
            let over = status.state != RequestState::Pending;
            over.then(|| (status.state, status.message.clone().unwrap_or_default()))
        })
        .await
}

async fn phase(world: &World, number: u64) -> Option<Phase> {
    world.status(number).await.expect("a status").phase
}

async fn why(world: &World, number: u64, rule: &str) -> String {
    let why = world.status(number).await.expect("a status").why;
    why.into_iter().find(|line| line.rule == rule).expect("the rule").answer
}

#[tokio::test(start_paused = true)]
async fn a_preview_that_nobody_uses_sleeps_and_a_visitor_wakes_it() {
    let world = World::new(811).await;
    world.policy(json!({"lifetime": {"sleepAfter": {"idle": "30m"}}})).await;
    let (number, head) = world.camp("sparks").await;
    world.sleep(20 * MINUTE).await;
    visit(&world, number).await;
    world.sleep(25 * MINUTE).await;
    assert_eq!(phase(&world, number).await, Some(Phase::Ready), "somebody was there");
    world.sleep(6 * MINUTE).await;
    assert_eq!(phase(&world, number).await, Some(Phase::Asleep));
    let rested = "nobody visited it, pushed or gave a command for 30m (lifetime.sleepAfter)";
    assert_eq!(why(&world, number, "power").await, rested);
    let comment = world.told(number, "### Preview sleeps").await;
    assert!(comment.contains("lifetime.sleepAfter"), "{comment}");

    // Nothing but a wake comes this way, and the forge is not asked who it is.
    let (state, message) = ask(&world, number, "gate-1", "down").await;
    assert_eq!(state, RequestState::Refused, "{message}");
    let asked = world.stage.github.requests().len();
    let (state, message) = ask(&world, number, "gate-2", "wake").await;
    assert_eq!((state, message.as_str()), (RequestState::Done, "the preview wakes"));
    let requests = world.stage.github.requests();
    let of_people = requests.iter().skip(asked).find(|one| one.path.contains("/permission"));
    assert!(of_people.is_none(), "{of_people:?}");
    world.ready(number, &head).await;
    world.sleep(25 * MINUTE).await;
    assert_eq!(phase(&world, number).await, Some(Phase::Ready));
    world.sleep(6 * MINUTE).await;
    assert_eq!(phase(&world, number).await, Some(Phase::Asleep), "and it rests again");
    let wish = world.record(number).await.expect("a record").spec.power;
    assert_eq!(wish, Power::Auto, "the visitor's wish was for as long as somebody is there");

    // A push wakes it, and a command keeps it awake.
    let head = world.push("sparks", &one("CHANGES.md", "more sparks"));
    world.ready(number, &head).await;
    world.sleep(20 * MINUTE).await;
    done(&world, number, "/preview pin", MAINTAINER).await;
    world.sleep(20 * MINUTE).await;
    assert_eq!(phase(&world, number).await, Some(Phase::Ready));
    world.sleep(11 * MINUTE).await;
    assert_eq!(phase(&world, number).await, Some(Phase::Asleep), "a pinned one rests as well");
    // What sleeps is not woken by who gives it more time.
    done(&world, number, "/preview extend 1h", MAINTAINER).await;
    world.sleep(2 * MINUTE).await;
    assert_eq!(phase(&world, number).await, Some(Phase::Asleep));
    let (state, _) = ask(&world, number, "gate-3", "wake").await;
    assert_eq!(state, RequestState::Done);
    let (state, message) = ask(&world, number, "gate-4", "wake").await;
    assert_eq!(
        (state, message.as_str()),
        (RequestState::Done, "there is no preview here that sleeps")
    );
    world.ready(number, &head).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_sleeps_while_something_is_applied_to_it() {
    let world = World::new(812).await;
    let annotations = "bivouac.dev/hook: beforeApply, bivouac.dev/hook-timeout: 30m";
    let migrate = job("migrate", annotations, "sleep 1200");
    world.policy(json!({"lifetime": {"sleepAfter": {"idle": "10m"}}})).await;
    let (number, _) = world.camp("sparks").await;
    let head = world.push("sparks", &one("deploy/preview/migrate.yaml", &migrate));
    for _ in 0..19 {
        world.sleep(MINUTE).await;
        let status = world.status(number).await.expect("a status");
        assert!(status.power.is_none_or(|power| !power.asleep), "{status:?}");
    }
    world.sleep(2 * MINUTE).await;
    world.ready(number, &head).await;
    world.sleep(11 * MINUTE).await;
    assert_eq!(phase(&world, number).await, Some(Phase::Asleep));
}

#[tokio::test(start_paused = true)]
async fn visits_give_time_behind_the_gate_and_nowhere_else() {
    for (seed, policy, stands) in [
        (813, json!({"url": {"noindex": true}, "lifetime": {"ttl": "40m"}}), true),
        (814, json!({"lifetime": {"ttl": "40m"}}), false),
    ] {
        let world = World::new(seed).await;
        world.policy(policy).await;
        let (number, _) = world.camp("sparks").await;
        let first = world.status(number).await.expect("a status").expires_at;
        for _ in 0..6 {
            world.sleep(15 * MINUTE).await;
            if world.record(number).await.is_some() {
                visit(&world, number).await;
            }
        }
        assert_eq!(world.camp_uid(number).await.is_some(), stands, "{seed}");
        if stands {
            let answer = why(&world, number, "lifetime").await;
            assert_eq!(
                answer,
                "its time is not up: it counts from the last push, command or visit"
            );
            let now = world.status(number).await.expect("a status").expires_at;
            assert!(now > first);
            world.sleep(50 * MINUTE).await;
            world.gone(number).await;
        }
    }
}

/// Requests count by the ingress controllers' figures.
async fn by_ingress(seed: u64) -> World {
    let world = World::new(seed).await;
    let after = json!({"idle": "30m", "measure": "Ingress"});
    world.policy(json!({"lifetime": {"sleepAfter": after, "ttl": "3h"}})).await;
    world
}

#[tokio::test(start_paused = true)]
async fn requests_of_any_kind_keep_a_preview_awake_by_the_figures_of_the_ingress() {
    let world = by_ingress(821).await;
    let (number, head) = world.camp("sparks").await;
    let status = world.status(number).await.expect("a status");
    assert!(status.gate.is_none(), "its traffic does not pass the gate");
    let ends = status.expires_at;
    for _ in 0..3 {
        world.sleep(25 * MINUTE).await;
        assert_eq!(world.page(number).await.expect("a page").0, 200);
    }
    assert_eq!(phase(&world, number).await, Some(Phase::Ready), "somebody asks for it");
    assert_eq!(
        why(&world, number, "power").await,
        "there were requests lately (lifetime.sleepAfter)"
    );
    let status = world.status(number).await.expect("a status");
    assert_eq!(status.expires_at, ends, "who asks is not known: the end stays");

    // Nobody but the service itself, which may not keep it awake.
    world.sleep(42 * MINUTE).await;
    assert_eq!(phase(&world, number).await, Some(Phase::Asleep));
    let rested = "nobody sent a request, pushed or gave a command for 30m (lifetime.sleepAfter)";
    assert_eq!(why(&world, number, "power").await, rested);
    world.told(number, "### Preview sleeps").await;
    let asked = world.stage.prometheus.asked();
    world.sleep(30 * MINUTE).await;
    assert_eq!(world.stage.prometheus.asked(), asked, "what sleeps is not asked about");

    let (state, message) = ask(&world, number, "gate-1", "wake").await;
    assert_eq!((state, message.as_str()), (RequestState::Done, "the preview wakes"));
    world.ready(number, &head).await;
    world.sleep(25 * MINUTE).await;
    assert_eq!(phase(&world, number).await, Some(Phase::Ready), "it was woken");
    let probes = world.stage.previews.asked().len();
    world.sleep(10 * MINUTE).await;
    let head = world.push("sparks", &one("CHANGES.md", "more sparks"));
    world.ready(number, &head).await;
    assert!(world.stage.previews.asked().len() > probes, "a new commit has to answer, too");
}

#[tokio::test(start_paused = true)]
async fn a_preview_of_whose_requests_nobody_knows_stays_awake_and_says_so() {
    let world = by_ingress(822).await;
    let (number, _) = world.camp("sparks").await;
    world.stage.prometheus.answer(503);
    world.sleep(60 * MINUTE).await;
    assert_eq!(phase(&world, number).await, Some(Phase::Ready));
    let expected = "nobody knows whether there were requests: of Prometheus, it answers HTTP 503";
    assert_eq!(why(&world, number, "power").await, expected);
    world.stage.prometheus.answer(0);
    world.sleep(12 * MINUTE).await;
    assert_eq!(phase(&world, number).await, Some(Phase::Asleep));
}

#[tokio::test(start_paused = true)]
async fn a_repository_that_counts_requests_says_whether_there_are_figures() {
    let world = by_ingress(823).await;
    let condition = async || {
        let api: Api<bivouac::crd::Repository> =
            Api::namespaced(world.stage.admin.clone(), NAMESPACE);
        let status = api.get("campfire").await.expect("it is there").status?;
        let found = status.conditions.into_iter().find(|one| one.r#type == "IngressFigures")?;
        Some((found.status, found.reason))
    };
    assert_eq!(world.until("it is said", condition).await, ("True".into(), "Set".into()));
    world.policy(json!({"lifetime": {"sleepAfter": null}})).await;
    let gone = async || condition().await.is_none().then_some(());
    world.until("it is said no more", gone).await;
}
