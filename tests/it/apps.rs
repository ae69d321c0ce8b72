//! Several apps in one camp: hosts of their own, parameters, notes; and nothing of it is computed twice.

use bivouac::crd::Phase;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use serde_json::json;

use crate::support::{Files, SWEEP, World};

const FILE: &str = "apps:
  - {name: front, path: deploy/preview, expose: {service: web, port: http}}
  - name: api
    path: deploy/api
    images: {nobody/has-this: v1}
    expose: {service: api}
parameters:
  seed: {enum: [small, full], default: small}
";
const SWAPPED: &str = "apps:
  - {name: more, path: deploy/more, expose: {service: more}}
  - {name: api, path: deploy/api, expose: {service: api}}
  - {name: front, path: deploy/preview, expose: {service: web, port: http}}
parameters:
  seed: {enum: [small, full], default: small}
";
const API: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: api, namespace: shop}\nspec: {selector: {app: web}, ports: [{port: 8080, \
    targetPort: http}]}\n";
const MORE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: more}\nspec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}\n";
const SEED: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: seed}\ndata: {seed: \"{{params.seed}}\", url: \"{{app.url}}\"}\n";

fn files(preview_file: &str) -> Files<'_> {
    Files::from([
        (".bivouac.yaml", preview_file),
        ("deploy/api/api.yaml", API),
        ("deploy/api/seed.yaml.hbs", SEED),
        ("deploy/more/more.yaml", MORE),
    ])
}

async fn config(world: &World, number: u64, name: &str, key: &str) -> Option<String> {
    let namespace = world.stage.namespace_of(number);
    let api: Api<ConfigMap> = Api::namespaced(world.stage.admin.clone(), &namespace);
    api.get_opt(name).await.expect("an answer")?.data?.remove(key)
}

async fn urls(world: &World, number: u64) -> Vec<(String, String)> {
    let status = world.status(number).await.expect("a status");
    assert_eq!(status.hosts.len(), status.urls.len());
    status.urls.into_iter().map(|entry| (entry.app, entry.url)).collect()
}

#[tokio::test(start_paused = true)]
async fn several_apps_have_hosts_that_stay_and_nothing_is_applied_twice() {
    let world = World::new(1).await;
    let (number, head) = world.open("sparks", &files(FILE));
    world.ready(number, &head).await;

    let before = urls(&world, number).await;
    let apps: Vec<&str> = before.iter().map(|(app, _)| app.as_str()).collect();
    assert_eq!(apps, ["front", "api"]);
    let (own, api) = (&before[0].1, &before[1].1);
    assert!(own.contains(&format!("pr-{number}.")) && api.contains(&format!("pr-{number}-api.")));
    assert_eq!(world.stage.browse(api).await.expect("an answer").0, 200);
    assert_eq!(config(&world, number, "bivouac-env", "BIVOUAC_URL_API").await.as_ref(), Some(api));
    assert_eq!(config(&world, number, "bivouac-env", "BIVOUAC_URL").await.as_ref(), Some(own));
    assert_eq!(config(&world, number, "seed", "url").await.as_ref(), Some(api));
    let comment = world.comment(number).expect("a comment");
    assert!(comment.contains("matches no image of the app"), "{comment}");
    assert!(comment.contains("namespace \"shop\" was replaced"), "{comment}");

    // What was assigned on the way is what the next look computes: there is nothing to do.
    let since = world.stage.clock.now();
    world.sleep(SWEEP * 3).await;
    let writes = world.writes_since(since);
    let again: Vec<_> = writes.iter().filter(|w| w.resource == "services").collect();
    assert!(again.is_empty(), "{again:?}");

    // Another domain and another order change nothing for a camp that stands; what is new gets a new host.
    world.policy(json!({"url": {"host": "elsewhere.test"}})).await;
    let head = world.push("sparks", &files(SWAPPED));
    world.ready(number, &head).await;
    let after = urls(&world, number).await;
    assert_eq!(after[..2], before[..]);
    assert_eq!((after.len(), after[2].0.as_str()), (3, "more"));
    assert!(after[2].1.contains(".elsewhere.test"), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_parameter_is_chosen_in_the_record_and_a_wrong_value_is_refused_by_name() {
    let world = World::anywhere(2).await;
    let (number, head) = world.open("sparks", &files(FILE));
    world.ready(number, &head).await;
    assert_eq!(config(&world, number, "seed", "seed").await.as_deref(), Some("small"));

    world.ask(number, json!({"parameters": {"seed": "full"}})).await;
    world
        .until("the chosen value is there", async || {
            config(&world, number, "seed", "seed").await.filter(|seed| seed == "full")
        })
        .await;

    world.ask(number, json!({"parameters": {"seed": "huge"}})).await;
    let status = world
        .until("it is refused", async || {
            world.status(number).await.filter(|status| status.phase == Some(Phase::Refused))
        })
        .await;
    let told = "parameter \"seed\": this value is not allowed; there are small, full";
    assert_eq!(status.findings[0].message, told);
    assert_eq!(
        (status.findings[0].file.as_deref(), status.findings[0].line),
        (Some(".bivouac.yaml"), Some(8))
    );
    assert_eq!(config(&world, number, "seed", "seed").await.as_deref(), Some("full"));

    world.ask(number, json!({"parameters": {"seed": null}})).await;
    world.ready(number, &head).await;
    world
        .until("the default is back", async || {
            config(&world, number, "seed", "seed").await.filter(|seed| seed == "small")
        })
        .await;

    world.policy(json!({"parameters": {"seed": {"default": "full", "allowed": ["full"]}}})).await;
    world
        .until("the platform team's default is there", async || {
            config(&world, number, "seed", "seed").await.filter(|seed| seed == "full")
        })
        .await;
}
