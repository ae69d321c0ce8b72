//! Pod Security, control by control: the standard's own allowed and forbidden values, in each list of containers and in
//! each kind that has a pod.

use serde_json::{Value, json};

use super::{check_with, object, policy};
use crate::domain::guard::{GroupKind, PodSecurity, Rule};

/// Kinds with a pod, and the pointer to its `spec`.
pub(super) const KINDS: [(&str, &str, &str); 9] = [
    ("v1", "Pod", "/spec"),
    ("v1", "ReplicationController", "/spec/template/spec"),
    ("v1", "PodTemplate", "/template/spec"),
    ("apps/v1", "Deployment", "/spec/template/spec"),
    ("apps/v1", "StatefulSet", "/spec/template/spec"),
    ("apps/v1", "DaemonSet", "/spec/template/spec"),
    ("apps/v1", "ReplicaSet", "/spec/template/spec"),
    ("batch/v1", "Job", "/spec/template/spec"),
    ("batch/v1", "CronJob", "/spec/jobTemplate/spec/template/spec"),
];

/// `spec` at its place in an object of a kind.
pub(super) fn with_pod(api_version: &str, kind: &str, pointer: &str, spec: &Value) -> Value {
    let mut nested = spec.clone();
    for part in pointer.rsplit('/').filter(|part| !part.is_empty()) {
        nested = json!({part: nested});
    }
    object(api_version, kind, nested)
}

fn rules(spec: &Value, level: PodSecurity) -> Vec<(Rule, String)> {
    let mut policy = policy();
    policy.pod_security = level;
    let pod = with_pod("v1", "Pod", "/spec", spec);
    let found = check_with(&pod, &policy);
    found.into_iter().map(|finding| (finding.rule, finding.field)).collect()
}

/// A pod that satisfies level restricted, with something laid over its first container and its spec.
fn restricted(container: &Value, spec: &Value) -> Value {
    let mut pod = json!({
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{
            "name": "a",
            "image": "a",
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        }],
    });
    super::merge(&mut pod["containers"][0], container.clone());
    super::merge(&mut pod, spec.clone());
    pod
}

#[test]
fn baseline_lets_through_what_the_standard_allows() {
    for context in [
        json!({"privileged": false, "procMount": "Default", "capabilities": {"add": ["CHOWN", "SETPCAP"]}}),
        json!({"capabilities": {"add": [], "drop": ["NET_RAW"]}}),
        json!({"seccompProfile": {"type": "Localhost", "localhostProfile": "a"}, "appArmorProfile": {"type": "RuntimeDefault"}}),
        json!({"seLinuxOptions": {"type": "container_t", "level": "s0:c1"}}),
        json!({"seLinuxOptions": {"type": "container_engine_t", "user": "", "role": ""}}),
        json!({"windowsOptions": {"hostProcess": false, "runAsUserName": "a"}}),
        json!({"runAsUser": 0, "allowPrivilegeEscalation": true}),
        json!(null),
    ] {
        let pod = json!({"containers": [{"name": "a", "image": "a", "securityContext": context}]});
        assert_eq!(rules(&pod, PodSecurity::Baseline), [], "{context}");
    }
    for spec in [
        json!({"hostNetwork": false, "hostPID": null, "hostIPC": false, "hostUsers": true}),
        json!({"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}, {"name": "kernel.shm_rmid_forced", "value": "1"}]}}),
        json!({"containers": [{"ports": [{"containerPort": 80, "hostPort": 0}]}]}),
        json!({"containers": [{"livenessProbe": {"httpGet": {"port": 80, "host": ""}}, "lifecycle": {"preStop": {"exec": {"command": ["a"]}}}}]}),
        json!({"volumes": [{"name": "a", "image": {"reference": "a"}}, {"name": "b", "downwardAPI": {}}]}),
    ] {
        assert_eq!(rules(&spec, PodSecurity::Baseline), [], "{spec}");
    }
}

#[test]
fn baseline_refuses_what_the_standard_forbids_in_every_list_of_containers() {
    for (fragment, field) in [
        (json!({"securityContext": {"privileged": true}}), "securityContext/privileged"),
        (json!({"securityContext": {"privileged": "false"}}), "securityContext/privileged"),
        (json!({"securityContext": {"privileged": 0}}), "securityContext/privileged"),
        (json!({"securityContext": {"procMount": "Unmasked"}}), "securityContext/procMount"),
        (
            json!({"securityContext": {"capabilities": {"add": ["NET_RAW"]}}}),
            "securityContext/capabilities/add/0",
        ),
        (
            json!({"securityContext": {"capabilities": {"add": ["ALL"]}}}),
            "securityContext/capabilities/add/0",
        ),
        (
            json!({"securityContext": {"capabilities": {"add": ["cap_chown"]}}}),
            "securityContext/capabilities/add/0",
        ),
        (
            json!({"securityContext": {"capabilities": {"add": [["CHOWN"]]}}}),
            "securityContext/capabilities/add/0",
        ),
        (
            json!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}),
            "securityContext/seccompProfile/type",
        ),
        (
            json!({"securityContext": {"seccompProfile": {"type": []}}}),
            "securityContext/seccompProfile/type",
        ),
        (
            json!({"securityContext": {"appArmorProfile": {"type": "Unconfined"}}}),
            "securityContext/appArmorProfile/type",
        ),
        (
            json!({"securityContext": {"seLinuxOptions": {"type": "spc_t"}}}),
            "securityContext/seLinuxOptions/type",
        ),
        (
            json!({"securityContext": {"seLinuxOptions": {"user": "system_u"}}}),
            "securityContext/seLinuxOptions/user",
        ),
        (
            json!({"securityContext": {"seLinuxOptions": {"role": "system_r"}}}),
            "securityContext/seLinuxOptions/role",
        ),
        (
            json!({"securityContext": {"windowsOptions": {"hostProcess": true}}}),
            "securityContext/windowsOptions/hostProcess",
        ),
        (json!({"ports": [{"hostPort": 80}]}), "ports/0/hostPort"),
        (json!({"ports": [{"hostPort": "0"}]}), "ports/0/hostPort"),
        (
            json!({"livenessProbe": {"httpGet": {"host": "169.254.169.254"}}}),
            "livenessProbe/httpGet/host",
        ),
        (
            json!({"startupProbe": {"tcpSocket": {"host": "10.0.0.1"}}}),
            "startupProbe/tcpSocket/host",
        ),
        (
            json!({"lifecycle": {"postStart": {"httpGet": {"host": "a"}}}}),
            "lifecycle/postStart/httpGet/host",
        ),
    ] {
        for list in ["containers", "initContainers", "ephemeralContainers"] {
            let spec = json!({list: [{"name": "fine"}, fragment]});
            let wanted = [(Rule::HostAccess, format!("/spec/{list}/1/{field}"))];
            assert_eq!(rules(&spec, PodSecurity::Baseline), wanted, "{spec}");
            let found = rules(&spec, PodSecurity::Restricted);
            assert!(found.contains(&wanted[0]), "{spec}: {found:?}");
        }
    }
    for (spec, field) in [
        (json!({"hostNetwork": 1}), "hostNetwork"),
        (json!({"hostPID": []}), "hostPID"),
        (json!({"hostIPC": "no"}), "hostIPC"),
        (json!({"volumes": [{"name": "a", "hostPath": {}}]}), "volumes/0/hostPath"),
        (
            json!({"securityContext": {"sysctls": [{"name": "net.core.somaxconn"}]}}),
            "securityContext/sysctls/0",
        ),
        (json!({"securityContext": {"sysctls": [{"name": 5}]}}), "securityContext/sysctls/0"),
        (
            json!({"securityContext": {"seLinuxOptions": {"type": 5}}}),
            "securityContext/seLinuxOptions/type",
        ),
        (
            json!({"securityContext": {"windowsOptions": {"hostProcess": "x"}}}),
            "securityContext/windowsOptions/hostProcess",
        ),
    ] {
        let wanted = [(Rule::HostAccess, format!("/spec/{field}"))];
        assert_eq!(rules(&spec, PodSecurity::Baseline), wanted, "{spec}");
    }
}

#[test]
fn apparmor_and_seccomp_annotations_count_as_the_standard_says() {
    for (key, value, fine) in [
        ("container.apparmor.security.beta.kubernetes.io/a", "runtime/default", true),
        ("container.apparmor.security.beta.kubernetes.io/a", "localhost/x", true),
        ("container.apparmor.security.beta.kubernetes.io/a", "unconfined", false),
        ("container.apparmor.security.beta.kubernetes.io/a", "x", false),
        ("seccomp.security.alpha.kubernetes.io/pod", "runtime/default", true),
        ("seccomp.security.alpha.kubernetes.io/pod", "unconfined", false),
        ("container.seccomp.security.alpha.kubernetes.io/a", "unconfined", false),
        ("io.kubernetes.cri-o.Devices", "/dev/mem", false),
        ("k8s.v1.cni.cncf.io/networks", "kube-system/macvlan", false),
        ("prometheus.io/scrape", "true", true),
    ] {
        let metadata = json!({"annotations": {key: value}});
        let pod = object("v1", "Pod", json!({"metadata": metadata}));
        let template = json!({"spec": {"template": {"metadata": metadata}}});
        for object in [pod, object("apps/v1", "Deployment", template)] {
            let found = check_with(&object, &policy());
            assert_eq!(found.is_empty(), fine, "{object}");
            assert!(found.iter().all(|finding| finding.rule == Rule::HostAccess), "{object}");
        }
    }
}

#[test]
fn restricted_asks_for_what_the_standard_asks_for() {
    let none = json!({});
    for fine in [
        restricted(&none, &none),
        restricted(
            &json!({"securityContext": {"capabilities": {"add": ["NET_BIND_SERVICE"]}}}),
            &none,
        ),
        restricted(
            &json!({"securityContext": {"runAsNonRoot": true, "runAsUser": 1000}}),
            &json!({"securityContext": null}),
        )
        .as_object()
        .map(|pod| {
            let mut pod = pod.clone();
            pod["containers"][0]["securityContext"]["seccompProfile"] =
                json!({"type": "Localhost"});
            Value::Object(pod)
        })
        .expect("is a mapping"),
        restricted(
            &none,
            &json!({"volumes": [{"name": "a", "emptyDir": {}}, {"name": "b", "csi": {"driver": "d"}}, {"name": "c", "secret": {"secretName": "s"}}]}),
        ),
        json!({
            "os": {"name": "windows"},
            "securityContext": {"runAsNonRoot": true},
            "containers": [{"name": "a", "image": "a"}],
        }),
    ] {
        assert_eq!(rules(&fine, PodSecurity::Restricted), [], "{fine}");
    }
    for (bad, field) in [
        (
            restricted(&json!({"securityContext": {"allowPrivilegeEscalation": true}}), &none),
            "containers/0/securityContext/allowPrivilegeEscalation",
        ),
        (
            restricted(&json!({"securityContext": {"allowPrivilegeEscalation": null}}), &none),
            "containers/0/securityContext/allowPrivilegeEscalation",
        ),
        (
            restricted(&json!({"securityContext": {"allowPrivilegeEscalation": "false"}}), &none),
            "containers/0/securityContext/allowPrivilegeEscalation",
        ),
        (
            restricted(&json!({"securityContext": {"capabilities": {"drop": ["NET_RAW"]}}}), &none),
            "containers/0/securityContext/capabilities/drop",
        ),
        (
            restricted(&json!({"securityContext": {"capabilities": {"drop": "ALL"}}}), &none),
            "containers/0/securityContext/capabilities/drop",
        ),
        (
            restricted(&none, &json!({"securityContext": {"runAsNonRoot": null}})),
            "containers/0/securityContext/runAsNonRoot",
        ),
        (
            restricted(&none, &json!({"securityContext": {"seccompProfile": null}})),
            "containers/0/securityContext/seccompProfile",
        ),
        (
            restricted(&json!({"securityContext": {"runAsNonRoot": false}}), &none),
            "containers/0/securityContext/runAsNonRoot",
        ),
        (
            restricted(&json!({"securityContext": {"runAsNonRoot": "true"}}), &none),
            "containers/0/securityContext/runAsNonRoot",
        ),
        (
            restricted(&json!({"securityContext": {"runAsUser": 0}}), &none),
            "containers/0/securityContext/runAsUser",
        ),
        (
            restricted(&none, &json!({"securityContext": {"runAsUser": 0}})),
            "securityContext/runAsUser",
        ),
        (
            restricted(&none, &json!({"securityContext": {"runAsUser": "0"}})),
            "securityContext/runAsUser",
        ),
        (
            restricted(&none, &json!({"volumes": [{"name": "a", "image": {"reference": "a"}}]})),
            "volumes/0/image",
        ),
        (
            restricted(&none, &json!({"volumes": [{"name": "a", "unheardOf": {}}]})),
            "volumes/0/unheardOf",
        ),
    ] {
        let found = rules(&bad, PodSecurity::Restricted);
        assert_eq!(found, [(Rule::NotRestricted, format!("/spec/{field}"))], "{bad}");
        assert_eq!(rules(&bad, PodSecurity::Baseline), [], "{bad}");
    }
    let found = rules(
        &restricted(&json!({"securityContext": {"capabilities": {"add": ["CHOWN"]}}}), &none),
        PodSecurity::Restricted,
    );
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn a_pod_is_found_in_every_kind_and_in_kinds_that_nobody_knows() {
    let mut policy = policy();
    for (api_version, kind, pointer) in KINDS {
        let group = crate::domain::bundle::group_of(api_version);
        policy.allowed_kinds.insert(GroupKind::new(group, kind));
        let hostile = with_pod(api_version, kind, pointer, &json!({"hostPID": true}));
        let found = check_with(&hostile, &policy);
        assert_eq!(found.len(), 1, "{hostile}");
        assert_eq!(found[0].field, format!("{pointer}/hostPID"));
    }
    policy.allowed_kinds.insert(GroupKind::new("example.com", "Thing"));
    for (spec, rule, field) in [
        (
            json!({"a": [{"b": {"containers": [{"image": "a", "livenessProbe": {"httpGet": {"host": "x"}}}]}}]}),
            Rule::HostAccess,
            "/spec/a/0/b/containers/0/livenessProbe/httpGet/host",
        ),
        (json!({"pod": {"hostNetwork": true}}), Rule::HostAccess, "/spec/pod/hostNetwork"),
        (
            json!({"containerSecurityContext": {"privileged": true}}),
            Rule::HostAccess,
            "/spec/containerSecurityContext/privileged",
        ),
        (
            json!({"steps": [{"image": "a", "securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}]}),
            Rule::HostAccess,
            "/spec/steps/0/securityContext/capabilities/add/0",
        ),
        (
            json!({"storage": {"hostPath": {"path": "/"}}}),
            Rule::HostAccess,
            "/spec/storage/hostPath",
        ),
        (json!({"serviceAccountName": "admin"}), Rule::AccessControl, "/spec/serviceAccountName"),
        (
            json!({"target": {"namespace": "production"}}),
            Rule::ForeignNamespace,
            "/spec/target/namespace",
        ),
        (
            json!({"namespaceSelector": {"any": true}}),
            Rule::ForeignNamespace,
            "/spec/namespaceSelector",
        ),
        (json!({"service": {"type": "LoadBalancer"}}), Rule::ServiceExposure, "/spec/service/type"),
        (
            json!({"template": {"metadata": {"finalizers": ["a/b"]}}}),
            Rule::GuardrailName,
            "/spec/template/metadata/finalizers",
        ),
    ] {
        let thing = object("example.com/v1", "Thing", json!({"spec": spec}));
        let found: Vec<_> =
            check_with(&thing, &policy).into_iter().map(|f| (f.rule, f.field)).collect();
        assert_eq!(found, [(rule, field.to_owned())], "{thing}");
    }
    let fine = json!({"spec": {"image": "a", "namespace": "camp", "service": {"type": "ClusterIP"}, "volumes": [], "hostPath": ""}});
    assert_eq!(check_with(&object("example.com/v1", "Thing", fine), &policy), []);
}
