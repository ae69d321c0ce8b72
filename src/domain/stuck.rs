//! PURE · why a namespace does not end: what Kubernetes says of it in conditions → sentences for people, each with the
//! one who has to act. Nothing here is a reason to take anybody's finalizer off.

use super::status::bounded;

/// A namespace that is still there after this many seconds is worth a word: most end sooner.
pub const STUCK_AFTER_SECONDS: i64 = 60;

/// Most sentences; what comes after them is counted.
const MOST: usize = 6;
/// Longest text of somebody else that goes into a sentence.
const LONGEST: usize = 200;

/// What the cluster says of a namespace that is going away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remains {
    /// Conditions of the namespace that hold: type and message.
    pub conditions: Vec<(String, String)>,
    /// Finalizers of the namespace itself, without Kubernetes' own.
    pub finalizers: Vec<String>,
}

/// Who takes a finalizer off, by the end of its domain name. More special ones come first.
const CONTROLLERS: &[(&str, &str)] = &[
    ("argocd.argoproj.io", "Argo CD"),
    ("argoproj.io", "Argo"),
    ("cert-manager.io", "cert-manager"),
    ("external-secrets.io", "External Secrets"),
    ("fluxcd.io", "Flux"),
    ("crossplane.io", "Crossplane"),
    ("cattle.io", "Rancher"),
    ("velero.io", "Velero"),
    ("keda.sh", "KEDA"),
    ("cnpg.io", "CloudNativePG"),
    ("strimzi.io", "Strimzi"),
    ("zalando.org", "the Postgres operator"),
    ("istio.io", "Istio"),
    ("knative.dev", "Knative"),
    ("elbv2.k8s.aws", "the AWS Load Balancer Controller"),
    ("ingress.k8s.aws", "the AWS Load Balancer Controller"),
    ("service.k8s.aws", "the AWS Load Balancer Controller"),
    ("gke.io", "GKE's load balancer controller"),
    ("projectcalico.org", "Calico"),
];

/// One sentence for each thing that holds the namespace up, the most telling first. Empty: Kubernetes names nothing yet.
#[must_use]
pub fn diagnose(remains: &Remains) -> Vec<String> {
    let message = |name: &str| {
        let held = remains.conditions.iter().find(|(kind, _)| kind == name);
        held.map(|(_, message)| message.as_str())
    };
    let mut said = Vec::new();
    if let Some(message) = message("NamespaceDeletionDiscoveryFailure") {
        said.push(api_service(message));
    }
    if let Some(message) = message("NamespaceDeletionGroupVersionParsingFailure") {
        said.push(format!("the cluster can't read its own list of APIs ({})", short(message)));
    }
    for (finalizer, count) in counted(message("NamespaceFinalizersRemaining"), " in ") {
        said.push(of_content(finalizer, count));
    }
    for finalizer in &remains.finalizers {
        let who = responsible(finalizer);
        let finalizer = short(finalizer);
        said.push(format!(
            "the namespace itself has the finalizer {finalizer}, which {who} has to take off"
        ));
    }
    let left: Vec<String> = counted(message("NamespaceContentRemaining"), " has ")
        .into_iter()
        .map(|(resource, count)| format!("{} ({count})", short(resource.trim_end_matches('.'))))
        .collect();
    if let Some(message) = message("NamespaceDeletionContentFailure")
        // What remains is said better by the others.
        && (!message.contains("unexpected items still remain") || said.is_empty())
    {
        said.push(content_failure(message, !left.is_empty()));
    }
    if !left.is_empty() {
        let pods = left.iter().any(|one| one.starts_with("pods ("));
        let hint = if pods && said.is_empty() {
            ": a pod ends when its node says so; look at the node"
        } else {
            ""
        };
        said.push(format!("still there: {}{hint}", left.join(", ")));
    }
    if said.len() > MOST {
        let more = said.len() - MOST;
        said.truncate(MOST);
        said.push(format!("and {more} more"));
    }
    said
}

/// Who has to take a finalizer off.
#[must_use]
pub fn responsible(finalizer: &str) -> String {
    let domain = finalizer.split('/').next().unwrap_or_default();
    let own = |suffix: &str| {
        domain.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    match finalizer {
        "kubernetes.io/pvc-protection" | "kubernetes.io/pv-protection" => {
            return "kube-controller-manager".into();
        }
        "service.kubernetes.io/load-balancer-cleanup" => {
            return "the cloud controller manager".into();
        }
        "batch.kubernetes.io/job-tracking" => {
            return "the Job controller of kube-controller-manager".into();
        }
        "foregroundDeletion" | "orphan" => {
            return "the garbage collector of kube-controller-manager".into();
        }
        _ => {}
    }
    if let Some((_, name)) = CONTROLLERS.iter().find(|(suffix, _)| own(suffix)) {
        return format!("{name} ({})", short(domain));
    }
    if own("kubernetes.io") || own("k8s.io") {
        return format!("Kubernetes or an add-on of it ({})", short(domain));
    }
    if domain.contains('.') {
        return format!("the controller of {}", short(domain));
    }
    "whoever set it (it names no domain)".into()
}

fn of_content(finalizer: &str, count: &str) -> String {
    let objects = if count == "1" { "1 object".to_owned() } else { format!("{count} objects") };
    if finalizer == "kubernetes.io/pvc-protection" {
        return format!(
            "{objects} protected by kubernetes.io/pvc-protection: a PersistentVolumeClaim goes when no pod uses it any more"
        );
    }
    let who = responsible(finalizer);
    format!("{objects} with the finalizer {}, which {who} has to take off", short(finalizer))
}

/// An aggregated API that does not answer holds up every namespace of the cluster.
fn api_service(message: &str) -> String {
    let group_version = message.split([' ', ',', ';']).map(|word| word.trim_end_matches(':'));
    let mut found = group_version.filter(|word| is_group_version(word));
    match found.next() {
        Some(word) => {
            let (group, version) = word.split_once('/').unwrap_or((word, ""));
            format!(
                "the API service {version}.{group} does not answer, and Kubernetes ends no namespace before it does: \
                 whoever runs it has to mend or remove it (kubectl get apiservice {version}.{group})"
            )
        }
        None => format!("an API service does not answer ({})", short(message)),
    }
}

fn is_group_version(word: &str) -> bool {
    let name = |text: &str| {
        !text.is_empty()
            && text.len() <= 100
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b))
    };
    word.split_once('/').is_some_and(|(group, version)| {
        group.contains('.')
            && name(group)
            && name(version)
            && version.starts_with('v')
            && version[1..].starts_with(|c: char| c.is_ascii_digit())
    })
}

fn content_failure(message: &str, something_is_left: bool) -> String {
    if let Some(name) = message.split("failed calling webhook \"").nth(1) {
        let name = name.split('"').next().unwrap_or_default();
        return format!(
            "the admission webhook {} does not answer: whoever runs it has to mend or remove it",
            short(name)
        );
    }
    // The usual prefix says nothing.
    let words = message.split_once("remaining: ").map_or(message, |(_, words)| words);
    let what = if something_is_left { "some of it" } else { "its content" };
    format!("the cluster can't delete {what}: {}", short(words))
}

/// `…: NAME<between>N resource instances, …` as names and counts.
fn counted<'a>(message: Option<&'a str>, between: &str) -> Vec<(&'a str, &'a str)> {
    let Some(message) = message else { return Vec::new() };
    let list = message.split_once(": ").map_or(message, |(_, list)| list);
    list.split(", ")
        .filter_map(|part| {
            let (name, rest) = part.split_once(between)?;
            let count = rest.split(' ').next()?;
            let number = !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit());
            (number && count.len() <= 9 && !name.is_empty()).then_some((name, count))
        })
        .collect()
}

fn short(text: &str) -> String {
    bounded(text, LONGEST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn remains(conditions: &[(&str, &str)]) -> Remains {
        let conditions = conditions.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned()));
        Remains { conditions: conditions.collect(), finalizers: Vec::new() }
    }

    const CONTENT: &str = "NamespaceContentRemaining";
    const FINALIZERS: &str = "NamespaceFinalizersRemaining";

    #[test]
    fn a_finalizer_is_named_with_the_one_who_takes_it_off() {
        let said = diagnose(&remains(&[
            (
                FINALIZERS,
                "Some content in the namespace has finalizers remaining: cert-manager.io/hold in 1 resource instances, example.com/x in 3 resource instances",
            ),
            (
                CONTENT,
                "Some resources are remaining: certificates.cert-manager.io has 1 resource instances, things.example.com has 3 resource instances",
            ),
        ]));
        assert_eq!(
            said,
            [
                "1 object with the finalizer cert-manager.io/hold, which cert-manager (cert-manager.io) has to take off",
                "3 objects with the finalizer example.com/x, which the controller of example.com has to take off",
                "still there: certificates.cert-manager.io (1), things.example.com (3)",
            ]
        );
    }

    #[test]
    fn volumes_nodes_webhooks_and_api_services_are_told_apart() {
        let one = |name: &str, message: &str| diagnose(&remains(&[(name, message)])).join("\n");
        insta::assert_snapshot!([
            one(FINALIZERS, "Some content in the namespace has finalizers remaining: kubernetes.io/pvc-protection in 1 resource instances"),
            one(CONTENT, "Some resources are remaining: pods. has 2 resource instances"),
            one(
                "NamespaceDeletionDiscoveryFailure",
                "Discovery failed for some groups, 1 failing: unable to retrieve the complete list of server APIs: metrics.k8s.io/v1beta1: stale GroupVersion discovery: metrics.k8s.io/v1beta1",
            ),
            one("NamespaceDeletionDiscoveryFailure", "the server is currently unable to handle the request"),
            one(
                "NamespaceDeletionContentFailure",
                "Failed to delete all resource types, 1 remaining: Internal error occurred: failed calling webhook \"deny.example.com\": connection refused",
            ),
            one("NamespaceDeletionContentFailure", "Failed to delete all resource types, 1 remaining: conversion failed"),
        ].join("\n"), @r"
        1 object protected by kubernetes.io/pvc-protection: a PersistentVolumeClaim goes when no pod uses it any more
        still there: pods (2): a pod ends when its node says so; look at the node
        the API service v1beta1.metrics.k8s.io does not answer, and Kubernetes ends no namespace before it does: whoever runs it has to mend or remove it (kubectl get apiservice v1beta1.metrics.k8s.io)
        an API service does not answer (the server is currently unable to handle the request)
        the admission webhook deny.example.com does not answer: whoever runs it has to mend or remove it
        the cluster can't delete its content: conversion failed
        ");
    }

    #[test]
    fn the_domain_says_who_is_responsible() {
        for (finalizer, who) in [
            ("cert-manager.io/finalizer", "cert-manager (cert-manager.io)"),
            ("acme.cert-manager.io/finalizer", "cert-manager (acme.cert-manager.io)"),
            (
                "resources-finalizer.argocd.argoproj.io",
                "Argo CD (resources-finalizer.argocd.argoproj.io)",
            ),
            ("evilcert-manager.io/x", "the controller of evilcert-manager.io"),
            ("foregroundDeletion", "the garbage collector of kube-controller-manager"),
            ("service.kubernetes.io/load-balancer-cleanup", "the cloud controller manager"),
            (
                "snapshot.storage.kubernetes.io/x",
                "Kubernetes or an add-on of it (snapshot.storage.kubernetes.io)",
            ),
            ("hold", "whoever set it (it names no domain)"),
        ] {
            assert_eq!(responsible(finalizer), who);
        }
    }

    #[test]
    fn a_finalizer_of_the_namespace_itself_is_told() {
        let remains = Remains {
            finalizers: vec!["controller.cattle.io/namespace-auth".into()],
            ..Remains::default()
        };
        assert_eq!(
            diagnose(&remains),
            [
                "the namespace itself has the finalizer controller.cattle.io/namespace-auth, which Rancher (controller.cattle.io) has to take off"
            ]
        );
    }

    proptest! {
        #[test]
        fn whatever_stands_there_the_text_is_bounded(
            messages in prop::collection::vec((0_usize..5, "\\PC{0,400}"), 0..6),
            finalizers in prop::collection::vec("\\PC{0,300}", 0..20),
        ) {
            let names = [CONTENT, FINALIZERS, "NamespaceDeletionDiscoveryFailure", "NamespaceDeletionContentFailure", "Other"];
            let conditions = messages.into_iter().map(|(n, m)| (names[n].to_owned(), m)).collect();
            let said = diagnose(&Remains { conditions, finalizers });
            prop_assert!(said.len() <= MOST + 1);
        }
    }
}
