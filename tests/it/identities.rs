//! Who writes what: read from the API server's list of requests.

use std::collections::BTreeSet;

use crate::support::{SERVICE, World, one, start};

/// A write of a kind that a bundle may hold, as it must never come from the service itself.
const OF_BUNDLES: &[&str] =
    &["deployments", "services", "ingresses", "pods", "secrets", "jobs", "persistentvolumeclaims"];

#[tokio::test(start_paused = true)]
async fn no_object_of_a_bundle_was_ever_written_by_the_services_own_identity() {
    let world = World::new(1).await;
    let (number, _) = world.camp("sparks").await;
    let head = world.push("sparks", &one("CHANGES.md", "more sparks"));
    world.ready(number, &head).await;
    let camp = world.stage.namespace_of(number);
    world.close(number);
    world.closed(number).await;

    let writes = world.writes_since(start());
    let deployer = format!("system:serviceaccount:{camp}:bivouac-deployer");
    let mut own = BTreeSet::new();
    let mut as_deployer = BTreeSet::new();
    for event in writes.iter().filter(|event| event.user == SERVICE) {
        let place = event.namespace.replace(&camp, "CAMP");
        let name = event.name.replace(&camp, "CAMP");
        // Named by the digest of what is in it.
        let name = if name.starts_with("bundle-") { "BUNDLE".to_owned() } else { name };
        let sub = if event.subresource.is_empty() { "" } else { "/" };
        let resource = format!("{}{sub}{}", event.resource, event.subresource);
        let parts = [event.verb.as_str(), &resource, &place, &name];
        let line = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
        match event.impersonated.as_deref() {
            None => {
                assert!(!matches!(event.code, 401 | 403), "the service was refused: {event:?}");
                let in_a_camp = event.namespace == camp;
                let of_bundles = OF_BUNDLES.contains(&event.resource.as_str());
                assert!(!(in_a_camp && of_bundles), "{event:?}");
                assert!(in_a_camp || !of_bundles || event.resource == "secrets", "{event:?}");
                own.insert(line);
            }
            Some(whom) => {
                assert_eq!(
                    (whom, event.namespace.as_str()),
                    (
                        deployer.as_str(),
                        match resource.as_str() {
                            "selfsubjectaccessreviews" => "",
                            _ => camp.as_str(),
                        }
                    )
                );
                as_deployer.insert(line);
            }
        }
    }
    let expected = [
        "create environments bivouac-system",
        "create events bivouac-system",
        "create namespaces",
        "create secrets bivouac-system",
        "create selfsubjectrulesreviews",
        "delete namespaces CAMP CAMP",
        "delete secrets bivouac-system BUNDLE",
        "patch configmaps CAMP bivouac-env",
        "patch environments bivouac-system campfire-pr-1",
        "patch limitranges CAMP bivouac-limits",
        "patch networkpolicies CAMP bivouac-network",
        "patch repositories bivouac-system campfire",
        "patch repositories/status bivouac-system campfire",
        "patch resourcequotas CAMP bivouac-quota",
        "patch rolebindings CAMP bivouac-deployer",
        "patch rolebindings CAMP bivouac-guardian",
        "patch serviceaccounts CAMP bivouac-deployer",
        "patch serviceaccounts CAMP default",
        "update environments bivouac-system campfire-pr-1",
        "update environments/status bivouac-system campfire-pr-1",
    ];
    assert_eq!(own, expected.map(str::to_owned).into(), "what the service writes as itself");
    let expected = [
        "create selfsubjectaccessreviews",
        "patch configmaps CAMP page",
        "patch deployments CAMP web",
        "patch ingresses CAMP web",
        "patch services CAMP web",
    ];
    assert_eq!(as_deployer, expected.map(str::to_owned).into(), "what is written as the deployer");
}
