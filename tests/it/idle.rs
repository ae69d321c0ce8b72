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
