//! Three hostile objects for each rule, and what must pass.

#![expect(
    clippy::needless_pass_by_value,
    reason = "a table of `json!` values reads better without `&`"
)]

mod examples;
mod levels;
mod page;
mod properties;
mod widened;
mod yaml;

use serde_json::{Value, json};

use super::*;
use crate::domain::bundle::{BundleObject, group_of, wave_of};
use crate::domain::positions::Positions;

fn policy() -> GuardPolicy {
    let hosts = ["shop-pr-7.example.com".to_owned()];
    GuardPolicy { ingress_class: Some("nginx".into()), ..GuardPolicy::new("camp", &hosts) }
}

fn check(json: &Value) -> Vec<Finding> {
    check_with(json, &policy())
}

fn check_with(json: &Value, policy: &GuardPolicy) -> Vec<Finding> {
    guard(&Bundle::new(vec![bundled(json)], String::new()), policy)
}

fn bundled(json: &Value) -> BundleObject {
    let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
    BundleObject {
        wave: wave_of(group_of(&text("apiVersion")), &text("kind")),
        json: json.clone(),
        origin: Origin { file: "k8s/a.yaml".into(), line: 1 },
        app: "web".into(),
        positions: Positions::default(),
    }
}

fn object(api_version: &str, kind: &str, rest: Value) -> Value {
    let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "web"}});
    merge(&mut object, rest);
    object
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

fn pod(spec: Value) -> Value {
    object("v1", "Pod", json!({"spec": spec}))
}

fn container(context: Value) -> Value {
    pod(json!({"containers": [{"name": "a", "securityContext": context}]}))
}

fn service(spec: Value) -> Value {
    let mut object = object("v1", "Service", json!({"spec": {"selector": {"app": "web"}}}));
    merge(&mut object, json!({"spec": spec}));
    object
}

fn ingress(spec: Value) -> Value {
    object("networking.k8s.io/v1", "Ingress", json!({"spec": spec}))
}

fn noted(annotation: &str, value: &str) -> Value {
    let metadata = json!({"annotations": {annotation: value}});
    object("networking.k8s.io/v1", "Ingress", json!({"metadata": metadata}))
}

fn rbac(kind: &str) -> Value {
    object("rbac.authorization.k8s.io/v1", kind, json!({}))
}

#[test]
fn what_is_harmless_passes() {
    let host = "shop-pr-7.example.com";
    let template = |spec: Value| json!({"spec": {"template": {"metadata": {"labels": {"app": "web"}}, "spec": spec}}});
    let plain = json!({
        "serviceAccountName": "default",
        "hostNetwork": false,
        "volumes": [{"name": "a", "emptyDir": {}}, {"name": "b", "configMap": {"name": "c"}}],
        "containers": [{
            "name": "a",
            "ports": [{"containerPort": 80}],
            "securityContext": {"privileged": false, "capabilities": {"drop": ["ALL"], "add": ["CHOWN"]}},
        }],
    });
    let cron = json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": plain}}}}});
    let rule = json!({"host": host, "http": {"paths": []}});
    for fine in [
        object(
            "v1",
            "ConfigMap",
            json!({"metadata": {"namespace": "camp", "annotations": {"a": "b"}}}),
        ),
        object("v1", "Secret", json!({"type": "Opaque", "metadata": {"finalizers": []}})),
        object(
            "v1",
            "ConfigMap",
            json!({"metadata": {"labels": {"bivouac.dev/environment": "e", "bivouac.dev/app": "web"}}}),
        ),
        service(json!({"type": "ClusterIP", "clusterIP": "None", "ports": [{"port": 80}]})),
        service(json!({"externalIPs": []})),
        pod(plain.clone()),
        object("apps/v1", "Deployment", template(plain.clone())),
        object("batch/v1", "CronJob", cron),
        ingress(json!({"ingressClassName": "nginx", "rules": [rule], "tls": [{"hosts": [host]}]})),
        noted("nginx.ingress.kubernetes.io/rewrite-target", "/$2"),
        noted("kubernetes.io/ingress.class", "nginx"),
    ] {
        assert_eq!(check(&fine), Vec::new(), "{fine}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table of hostile objects")]
fn what_is_hostile_is_found_by_its_rule_at_its_field() {
    let in_template = |kind: &str, api: &str, spec: Value| {
        object(api, kind, json!({"spec": {"template": {"spec": spec}}}))
    };
    let labelled =
        json!({"spec": {"template": {"metadata": {"labels": {"bivouac.dev/guardrail": "true"}}}}});
    let owner = json!([{"kind": "Node", "name": "n"}]);
    let cron =
        json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": {"hostPID": true}}}}}});
    let table: Vec<(Rule, Value, &str)> = vec![
        (Rule::KindNotAllowed, object("v1", "Namespace", json!({})), "/kind"),
        (Rule::KindNotAllowed, object("networking.k8s.io/v1", "NetworkPolicy", json!({})), "/kind"),
        (Rule::KindNotAllowed, object("v1", "Endpoints", json!({})), "/kind"),
        (Rule::KindNotAllowed, object("apps.evil.dev/v1", "Deployment", json!({})), "/kind"),
        (Rule::KindNotAllowed, object("extensions/v1beta1", "Ingress", json!({})), "/kind"),
        (Rule::KindNotAllowed, object("v1", "configmap", json!({})), "/kind"),
        (
            Rule::ForeignNamespace,
            object("v1", "ConfigMap", json!({"metadata": {"namespace": "kube-system"}})),
            "/metadata/namespace",
        ),
        (
            Rule::ForeignNamespace,
            object("v1", "ConfigMap", json!({"metadata": {"namespace": ""}})),
            "/metadata/namespace",
        ),
        (
            Rule::ForeignNamespace,
            object("v1", "ConfigMap", json!({"metadata": {"namespace": 5}})),
            "/metadata/namespace",
        ),
        (
            Rule::ForeignNamespace,
            object(
                "v1",
                "PersistentVolumeClaim",
                json!({"spec": {"dataSourceRef": {"namespace": "prod"}}}),
            ),
            "/spec/dataSourceRef/namespace",
        ),
        (
            Rule::HostNotAssigned,
            ingress(json!({"rules": [{"host": "www.example.com"}]})),
            "/spec/rules/0/host",
        ),
        (Rule::HostNotAssigned, ingress(json!({"rules": [{"http": {}}]})), "/spec/rules/0"),
        (Rule::HostNotAssigned, ingress(json!({"rules": [{"host": ""}]})), "/spec/rules/0/host"),
        (
            Rule::HostNotAssigned,
            ingress(json!({"rules": [{"host": "*.example.com"}]})),
            "/spec/rules/0/host",
        ),
        (
            Rule::HostNotAssigned,
            ingress(json!({"rules": [{"host": "shop-pr-7.example.com."}]})),
            "/spec/rules/0/host",
        ),
        (
            Rule::HostNotAssigned,
            ingress(json!({"defaultBackend": {"service": {"name": "web"}}})),
            "/spec/defaultBackend",
        ),
        (
            Rule::HostNotAssigned,
            ingress(json!({"tls": [{"hosts": ["www.example.com"]}]})),
            "/spec/tls/0/hosts/0",
        ),
        (Rule::HostNotAssigned, ingress(json!({"tls": [{}]})), "/spec/tls/0"),
        (
            Rule::HostNotAssigned,
            ingress(json!({"ingressClassName": "internal"})),
            "/spec/ingressClassName",
        ),
        (
            Rule::HostNotAssigned,
            noted("nginx.ingress.kubernetes.io/configuration-snippet", "x"),
            "/metadata/annotations/nginx.ingress.kubernetes.io~1configuration-snippet",
        ),
        (
            Rule::HostNotAssigned,
            noted("nginx.ingress.kubernetes.io/server-alias", "x"),
            "/metadata/annotations/nginx.ingress.kubernetes.io~1server-alias",
        ),
        (
            Rule::HostNotAssigned,
            noted("nginx.ingress.kubernetes.io/rewrite-target", "/;}\nserver {"),
            "/metadata/annotations/nginx.ingress.kubernetes.io~1rewrite-target",
        ),
        (
            Rule::HostNotAssigned,
            noted("traefik.ingress.kubernetes.io/router.rule", "x"),
            "/metadata/annotations/traefik.ingress.kubernetes.io~1router.rule",
        ),
        (
            Rule::HostNotAssigned,
            noted("kubernetes.io/ingress.class", "internal"),
            "/metadata/annotations/kubernetes.io~1ingress.class",
        ),
        (
            Rule::HostNotAssigned,
            object(
                "v1",
                "ConfigMap",
                json!({"metadata": {"annotations": {"external-dns.alpha.kubernetes.io/hostname": "www.example.com"}}}),
            ),
            "/metadata/annotations/external-dns.alpha.kubernetes.io~1hostname",
        ),
        (Rule::HostAccess, pod(json!({"hostNetwork": true})), "/spec/hostNetwork"),
        (Rule::HostAccess, pod(json!({"hostPID": "true"})), "/spec/hostPID"),
        (Rule::HostAccess, pod(json!({"hostIPC": true})), "/spec/hostIPC"),
        (Rule::HostAccess, pod(json!({"nodeName": "master"})), "/spec/nodeName"),
        (
            Rule::HostAccess,
            pod(json!({"priorityClassName": "system-node-critical"})),
            "/spec/priorityClassName",
        ),
        (
            Rule::HostAccess,
            pod(json!({"volumes": [{"name": "a"}, {"hostPath": {"path": "/"}}]})),
            "/spec/volumes/1/hostPath",
        ),
        (
            Rule::HostAccess,
            pod(json!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}})),
            "/spec/securityContext/seccompProfile/type",
        ),
        (
            Rule::HostAccess,
            pod(json!({"securityContext": {"sysctls": [{"name": "kernel.x"}]}})),
            "/spec/securityContext/sysctls/0",
        ),
        (
            Rule::HostAccess,
            container(json!({"privileged": true})),
            "/spec/containers/0/securityContext/privileged",
        ),
        (
            Rule::HostAccess,
            container(json!({"procMount": "Unmasked"})),
            "/spec/containers/0/securityContext/procMount",
        ),
        (
            Rule::HostAccess,
            container(json!({"capabilities": {"add": ["CHOWN", "SYS_ADMIN"]}})),
            "/spec/containers/0/securityContext/capabilities/add/1",
        ),
        (
            Rule::HostAccess,
            container(json!({"windowsOptions": {"hostProcess": true}})),
            "/spec/containers/0/securityContext/windowsOptions/hostProcess",
        ),
        (
            Rule::HostAccess,
            pod(json!({"initContainers": [{"securityContext": {"privileged": true}}]})),
            "/spec/initContainers/0/securityContext/privileged",
        ),
        (
            Rule::HostAccess,
            pod(json!({"ephemeralContainers": [{"securityContext": {"privileged": true}}]})),
            "/spec/ephemeralContainers/0/securityContext/privileged",
        ),
        (
            Rule::HostAccess,
            pod(json!({"containers": [{"ports": [{"hostPort": 80}]}]})),
            "/spec/containers/0/ports/0/hostPort",
        ),
        (
            Rule::HostAccess,
            in_template("Deployment", "apps/v1", json!({"hostPID": true})),
            "/spec/template/spec/hostPID",
        ),
        (
            Rule::HostAccess,
            in_template("StatefulSet", "apps/v1", json!({"hostPID": true})),
            "/spec/template/spec/hostPID",
        ),
        (
            Rule::HostAccess,
            in_template("DaemonSet", "apps/v1", json!({"hostPID": true})),
            "/spec/template/spec/hostPID",
        ),
        (
            Rule::HostAccess,
            in_template("ReplicaSet", "apps/v1", json!({"hostPID": true})),
            "/spec/template/spec/hostPID",
        ),
        (
            Rule::HostAccess,
            in_template("Job", "batch/v1", json!({"hostPID": true})),
            "/spec/template/spec/hostPID",
        ),
        (
            Rule::HostAccess,
            object("batch/v1", "CronJob", cron),
            "/spec/jobTemplate/spec/template/spec/hostPID",
        ),
        (Rule::ServiceExposure, service(json!({"type": "LoadBalancer"})), "/spec/type"),
        (Rule::ServiceExposure, service(json!({"type": "NodePort"})), "/spec/type"),
        (Rule::ServiceExposure, service(json!({"type": 5})), "/spec/type"),
        (Rule::ServiceExposure, service(json!({"externalIPs": ["10.0.0.1"]})), "/spec/externalIPs"),
        (
            Rule::ServiceExposure,
            service(json!({"loadBalancerIP": "10.0.0.1"})),
            "/spec/loadBalancerIP",
        ),
        (
            Rule::ServiceExposure,
            service(json!({"ports": [{"nodePort": 30000}]})),
            "/spec/ports/0/nodePort",
        ),
        (Rule::ExternalName, service(json!({"type": "ExternalName"})), "/spec/type"),
        (
            Rule::ExternalName,
            service(json!({"externalName": "metadata.google.internal"})),
            "/spec/externalName",
        ),
        (
            Rule::ExternalName,
            service(json!({"type": "ClusterIP", "externalName": "x"})),
            "/spec/externalName",
        ),
        (
            Rule::GuardrailName,
            object("v1", "ConfigMap", json!({"metadata": {"name": "bivouac-env"}})),
            "/metadata/name",
        ),
        (
            Rule::GuardrailName,
            object("v1", "ConfigMap", json!({"metadata": {"name": "kube-root-ca.crt"}})),
            "/metadata/name",
        ),
        (
            Rule::GuardrailName,
            object(
                "v1",
                "ConfigMap",
                json!({"metadata": {"labels": {"bivouac.dev/guardrail": "true"}}}),
            ),
            "/metadata/labels/bivouac.dev~1guardrail",
        ),
        (
            Rule::GuardrailName,
            object(
                "v1",
                "ConfigMap",
                json!({"metadata": {"annotations": {"bivouac.dev/hosts": "x"}}}),
            ),
            "/metadata/annotations/bivouac.dev~1hosts",
        ),
        (
            Rule::GuardrailName,
            object("apps/v1", "Deployment", labelled),
            "/spec/template/metadata/labels/bivouac.dev~1guardrail",
        ),
        (
            Rule::GuardrailName,
            object("v1", "ConfigMap", json!({"metadata": {"finalizers": ["a/b"]}})),
            "/metadata/finalizers",
        ),
        (
            Rule::GuardrailName,
            object("v1", "ConfigMap", json!({"metadata": {"ownerReferences": owner}})),
            "/metadata/ownerReferences",
        ),
        (Rule::AccessControl, rbac("RoleBinding"), "/kind"),
        (Rule::AccessControl, rbac("ClusterRole"), "/kind"),
        (
            Rule::AccessControl,
            object("v1", "Secret", json!({"type": "kubernetes.io/service-account-token"})),
            "/type",
        ),
        (
            Rule::AccessControl,
            pod(json!({"serviceAccountName": "bivouac-deployer"})),
            "/spec/serviceAccountName",
        ),
        (Rule::AccessControl, pod(json!({"serviceAccount": "admin"})), "/spec/serviceAccount"),
        (Rule::AccessControl, pod(json!({"serviceAccountName": 5})), "/spec/serviceAccountName"),
    ];
    let mut counts: BTreeMap<Rule, usize> = BTreeMap::new();
    for (rule, hostile, field) in &table {
        let found = check(hostile);
        let short: Vec<_> = found.iter().map(|f| (f.rule, f.field.as_str())).collect();
        assert_eq!(short, [(*rule, *field)], "{hostile}");
        assert!(!found[0].message.contains('\n'), "{hostile}");
        *counts.entry(*rule).or_default() += 1;
    }
    assert_eq!(counts.len(), 8);
    assert!(counts.values().all(|count| *count >= 3), "{counts:?}");
}

#[test]
fn a_finding_reads_as_one_line() {
    let found = check(&service(json!({"type": "NodePort"})));
    assert_eq!(
        found[0].line(),
        "BV005 service-exposure k8s/a.yaml:1 Service/web: a NodePort Service opens a port of the cluster to the \
         outside; use ClusterIP, and an Ingress for what people should reach"
    );
}
