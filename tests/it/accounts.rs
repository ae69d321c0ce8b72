//! A chart's ServiceAccount comes along, as a name for its pods: they get no token, and nothing of the service's is touched.

use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::Api;
use kube::api::ListParams;

use crate::support::{Files, World};

/// What `helm create` makes, filled.
const CHART: &str = "apiVersion: v1
kind: ServiceAccount
metadata: {name: shop, labels: {app.kubernetes.io/name: shop}}
automountServiceAccountToken: true
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      serviceAccountName: shop
      containers: [{name: shop, image: 'ghcr.io/acme/shop:1'}]
";

#[tokio::test(start_paused = true)]
async fn a_chart_with_an_account_comes_up_without_a_token_and_its_account_goes_with_it() {
    let world = World::anywhere(1).await;
    let file = "deploy/preview/shop.yaml";
    let (number, head) = world.open("sparks", &Files::from([(file, CHART)]));
    world.ready(number, &head).await;
    let namespace = world.stage.namespace_of(number);
    let accounts: Api<ServiceAccount> = Api::namespaced(world.stage.admin.clone(), &namespace);
    let account = accounts.get("shop").await.expect("the account");
    assert_eq!(account.automount_service_account_token, Some(false));
    let notes = world.status(number).await.expect("a status").notes;
    let told = notes.iter().any(|note| {
        note.message
            .starts_with("ServiceAccount/shop: automountServiceAccountToken was set to false")
    });
    assert!(told, "{notes:?}");

    let pods: Api<Pod> = Api::namespaced(world.stage.admin.clone(), &namespace);
    let of_shop = ListParams::default().labels("app=shop");
    let pods = pods.list(&of_shop).await.expect("pods").items;
    let specs: Vec<_> = pods.into_iter().filter_map(|pod| pod.spec).collect();
    assert!(!specs.is_empty());
    for spec in specs {
        assert_eq!(spec.service_account_name.as_deref(), Some("shop"));
        let volumes = spec.volumes.unwrap_or_default();
        assert!(volumes.iter().all(|volume| volume.projected.is_none()), "{volumes:?}");
    }

    // What the commit no longer has goes; the namespace's own accounts stay.
    let without = CHART
        .split("---")
        .nth(1)
        .expect("two")
        .replace("serviceAccountName: shop", "hostname: shop");
    let head = world.push("sparks", &Files::from([(file, without.as_str())]));
    world.ready(number, &head).await;
    world
        .until("the account is pruned", async || {
            accounts.get_opt("shop").await.expect("an answer").is_none().then_some(())
        })
        .await;
    for stays in ["default", "bivouac-deployer"] {
        assert!(accounts.get_opt(stays).await.expect("an answer").is_some(), "{stays}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_services_own_accounts_are_out_of_reach() {
    let world = World::anywhere(2).await;
    for (branch, text, told) in [
        (
            "claim",
            "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: bivouac-deployer}\n",
            "the name bivouac-deployer is reserved",
        ),
        (
            "default",
            "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: default}\n",
            "the account default is the preview's own",
        ),
        (
            "run",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec:\n  serviceAccountName: bivouac-deployer\n  containers: [{name: x, image: x}]\n",
            "serviceAccountName is neither \"default\" nor an account that the bundle brings",
        ),
    ] {
        let (number, _) = world.open(branch, &Files::from([("deploy/preview/x.yaml", text)]));
        let refused = world.told(number, "### Preview is refused").await;
        assert!(refused.contains(told), "{branch}: {refused}");
    }
}
