//! Whatever comes in: no panic; and a bad fragment at any place of a pod is refused wherever the pod stands.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::levels::{KINDS, with_pod};
use super::{check_with, policy};
use crate::domain::bundle::group_of;
use crate::domain::guard::{Finding, GroupKind, GuardPolicy, PodSecurity};

/// What lies on a pod, and is refused at both levels.
fn bad_in_pod() -> Vec<Value> {
    let mut all = vec![
        json!({"volumes": [{"name": "x", "hostPath": {"path": "/"}}]}),
        json!({"volumes": [{"name": "x", "nfs": {"server": "a", "path": "/"}}]}),
        json!({"volumes": [{"name": "x", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]}),
        json!({"volumes": [{"name": "x", "secret": {"secretName": "bivouac-x"}}]}),
        json!({"volumes": [{"name": "x", "ephemeral": {"volumeClaimTemplate": {"spec": {"volumeName": "pv"}}}}]}),
        json!({"volumes": {"hostPath": {}}}),
        json!({"nodeName": "n"}),
        json!({"serviceAccountName": "admin"}),
        json!({"automountServiceAccountToken": "true"}),
        json!({"priorityClassName": "system-cluster-critical"}),
        json!({"schedulerName": "mine"}),
        json!({"tolerations": [{"operator": "Exists"}]}),
        json!({"nodeSelector": {"kubernetes.io/hostname": "n"}}),
        json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"namespaceSelector": {}, "topologyKey": "a"}]}}}),
        json!({"terminationGracePeriodSeconds": 86_400}),
        json!({"imagePullSecrets": [{"name": "bivouac-pull"}]}),
        json!({"securityContext": []}),
        json!({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}),
        json!({"securityContext": {"seLinuxOptions": {"type": "spc_t"}}}),
    ];
    for key in ["hostNetwork", "hostPID", "hostIPC"] {
        for value in [json!(true), json!("true"), json!("false"), json!(1), json!([]), json!({})] {
            all.push(json!({key: value}));
        }
    }
    all
}

/// What lies on a container, and is refused at both levels.
fn bad_in_container() -> Vec<Value> {
    let mut all = vec![
        json!({"ports": [{"hostPort": 80}]}),
        json!({"ports": {"hostPort": 80}}),
        json!({"readinessProbe": {"httpGet": {"host": "a"}}}),
        json!({"envFrom": [{"secretRef": {"name": "bivouac-x"}}]}),
        json!({"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "bivouac-x", "key": "a"}}}]}),
        json!({"securityContext": "privileged"}),
        json!({"securityContext": {"capabilities": {"add": "SYS_ADMIN"}}}),
        json!({"securityContext": {"capabilities": ["SYS_ADMIN"]}}),
        json!({"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}),
        json!({"securityContext": {"procMount": "Unmasked"}}),
        json!({"securityContext": {"seccompProfile": "Unconfined"}}),
        json!({"securityContext": {"appArmorProfile": {"type": "Unconfined"}}}),
        json!({"securityContext": {"windowsOptions": {"hostProcess": 1}}}),
        json!({"image": ["ghcr.io/acme/web"]}),
        json!({"image": "evil.example.com/web"}),
    ];
    for value in [json!(true), json!("true"), json!(1), json!({}), json!([false])] {
        all.push(json!({"securityContext": {"privileged": value}}));
    }
    all
}

/// A pod that any level lets through, with `count` containers in each list.
fn good_pod(count: usize) -> Value {
    let container = json!({
        "name": "a",
        "image": "ghcr.io/acme/web:1",
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
    });
    let list = vec![container; count];
    json!({
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": list, "initContainers": list, "ephemeralContainers": list,
    })
}

fn camp(level: PodSecurity) -> GuardPolicy {
    let mut policy = policy();
    policy.pod_security = level;
    policy.image_registries = vec!["ghcr.io/acme".into()];
    for (api_version, kind, _) in KINDS {
        policy.allowed_kinds.insert(GroupKind::new(group_of(api_version), kind));
    }
    policy.allowed_kinds.insert(GroupKind::new("argoproj.io", "Rollout"));
    policy
}

fn place() -> impl Strategy<Value = (&'static str, &'static str, &'static str)> {
    let mut places = KINDS.to_vec();
    places.push(("argoproj.io/v1alpha1", "Rollout", "/spec/template/spec"));
    places.push(("argoproj.io/v1alpha1", "Rollout", "/spec/deeply/nested/pod"));
    prop::sample::select(places)
}

fn level() -> impl Strategy<Value = PodSecurity> {
    prop::sample::select(vec![PodSecurity::Baseline, PodSecurity::Restricted])
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        prop::sample::select(vec!["ClusterIP", "ExternalName", "bivouac-x", "nginx", "*", "{}"])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 60, 5, |inner| {
        let key =
            prop_oneof![prop::sample::select(KEYS.to_vec()).prop_map(str::to_owned), ".{0,6}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Keys that the rules look at, so that arbitrary values get below them.
const KEYS: [&str; 48] = [
    "spec",
    "template",
    "jobTemplate",
    "metadata",
    "annotations",
    "labels",
    "name",
    "namespace",
    "containers",
    "initContainers",
    "volumes",
    "securityContext",
    "capabilities",
    "add",
    "drop",
    "ports",
    "env",
    "envFrom",
    "rules",
    "host",
    "http",
    "paths",
    "path",
    "backend",
    "tls",
    "hosts",
    "secretName",
    "hostnames",
    "parentRefs",
    "backendRefs",
    "filters",
    "type",
    "selector",
    "clusterIPs",
    "affinity",
    "nodeAffinity",
    "tolerations",
    "key",
    "image",
    "projected",
    "sources",
    "ephemeral",
    "volumeClaimTemplate",
    "volumeClaimTemplates",
    "listeners",
    "data",
    "match",
    "services",
];

const ALL_KINDS: [(&str, &str); 22] = [
    ("v1", "Pod"),
    ("v1", "Service"),
    ("v1", "Secret"),
    ("v1", "ConfigMap"),
    ("v1", "PersistentVolumeClaim"),
    ("v1", "Endpoints"),
    ("v1", "Namespace"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("batch/v1", "Job"),
    ("batch/v1", "CronJob"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("networking.k8s.io/v1", "Ingress"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
    ("gateway.networking.k8s.io/v1", "Gateway"),
    ("gateway.networking.k8s.io/v1", "TCPRoute"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("argoproj.io/v1alpha1", "Rollout"),
    ("traefik.io/v1alpha1", "IngressRoute"),
    ("networking.istio.io/v1", "VirtualService"),
    ("example.com/v1", "Thing"),
    ("", ""),
];

fn lay(over: &mut Value, fragment: &Value) {
    super::merge(over, fragment.clone());
}

proptest! {
    #[test]
    fn a_bad_fragment_is_refused_wherever_it_lies(
        (api_version, kind, pointer) in place(),
        level in level(),
        list in prop::sample::select(vec!["containers", "initContainers", "ephemeralContainers"]),
        count in 1_usize..4,
        index in 0_usize..4,
        in_pod in any::<bool>(),
        which in any::<prop::sample::Index>(),
    ) {
        let policy = camp(level);
        let mut spec = good_pod(count);
        let good = with_pod(api_version, kind, pointer, &spec);
        prop_assert_eq!(check_with(&good, &policy), vec![]);
        if in_pod {
            lay(&mut spec, which.get(&bad_in_pod()));
        } else {
            lay(&mut spec[list][index % count], which.get(&bad_in_container()));
        }
        let bad = with_pod(api_version, kind, pointer, &spec);
        let found = check_with(&bad, &policy);
        prop_assert!(found.iter().any(Finding::is_refusal), "{}", bad);
        for finding in &found {
            prop_assert!(finding.field.starts_with(pointer), "{}", finding.line());
        }
    }

    #[test]
    fn nothing_makes_it_panic_and_it_says_the_same_twice(
        value in any_json(),
        (api_version, kind) in prop::sample::select(ALL_KINDS.to_vec()),
        level in level(),
    ) {
        let mut policy = camp(level);
        for (api_version, kind) in ALL_KINDS {
            policy.allowed_kinds.insert(GroupKind::new(group_of(api_version), kind));
        }
        let mut object = value;
        if let Value::Object(members) = &mut object {
            members.insert("apiVersion".into(), api_version.into());
            members.insert("kind".into(), kind.into());
        }
        let found = check_with(&object, &policy);
        for finding in &found {
            prop_assert!(!finding.line().contains('\n') && finding.message.len() < 1000);
        }
        prop_assert_eq!(found, check_with(&object, &policy));
    }
}
