//! The escape suite without our guard: hostile requests, sent as a camp's deployer straight to the API server. Each row
//! says who stops it; a row that nobody stops is one that only the guard does, and says so.

#![expect(
    clippy::too_many_lines,
    clippy::needless_pass_by_value,
    reason = "tables of requests, whose `json!` values read best where they are handed over"
)]

use bivouac::domain::bundle::{Bundle, BundleObject, Origin, group_of, wave_of};
use bivouac::domain::guard::{GuardPolicy, guard};
use bivouac::domain::positions::Positions;
use http::{Method, Request, header};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use crate::support::{SERVICE, World};

/// Who stops it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// The deployer has no such right.
    Rbac,
    /// `deploy/admission.yaml`.
    Policy,
    /// The level that the namespace enforces.
    PodSecurity,
    /// The quota of the camp.
    Quota,
    /// The API server's own rules.
    Server,
    /// Nobody behind the guard.
    OnlyGuard,
    /// Nobody, and it does no harm: what a preview needs.
    Nobody,
}

use By::{Nobody, OnlyGuard, PodSecurity as Psa, Policy, Quota, Rbac, Server};

/// One request: what it is, method, path below the namespace, body; who stops it with the role that ships, and who with
/// every right in the namespace, as a platform team may have given it.
struct Row(&'static str, &'static str, String, Value, By, By);

/// Answers as they come back.
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) body: Value,
}

impl World {
    /// Sends a request as somebody.
    pub(crate) async fn as_user(
        &self,
        user: &str,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Answer {
        let content = match method {
            "PATCH" => "application/apply-patch+yaml",
            _ => "application/json",
        };
        let path = match method {
            "PATCH" => format!("{path}?fieldManager=escape&force=true"),
            _ => path.to_owned(),
        };
        let bytes = if body.is_null() { String::new() } else { body.to_string() };
        let mut request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).expect("a method"))
            .uri(path)
            .header(header::CONTENT_TYPE, content);
        if !user.is_empty() {
            request = request.header("Impersonate-User", user);
        }
        let request = request.body(Body::from(bytes.into_bytes())).expect("a request");
        let response = self.stage.admin.send(request).await.expect("an answer");
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.expect("whole").to_bytes();
        Answer { code, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) }
    }

    pub(crate) async fn as_admin(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.as_user("", method, path, body).await
    }
}

/// Reads out of a refusal who spoke it.
pub(crate) fn speaker(answer: &Answer) -> Option<By> {
    let message = answer.body["message"].as_str().unwrap_or_default();
    match answer.code {
        200 | 201 => None,
        403 if message.contains("cannot ") && message.contains(" resource ") => Some(Rbac),
        403 if message.contains("is attempting to grant RBAC permissions") => Some(Rbac),
        403 if message.contains("cannot impersonate") => Some(Rbac),
        403 if message.contains("ValidatingAdmissionPolicy 'bivouac-deployer'") => Some(Policy),
        403 if message.contains("ValidatingAdmissionPolicy 'bivouac'") => Some(Policy),
        403 if message.contains("violates PodSecurity") => Some(Psa),
        403 if message.contains("exceeded quota: bivouac-quota") => Some(Quota),
        403 | 422 => Some(Server),
        code => unreachable!("an answer that nobody expects: {code} {message}"),
    }
}

fn object(api_version: &str, kind: &str, name: &str, rest: Value) -> Value {
    let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}});
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

fn meta(rest: Value) -> Value {
    json!({ "metadata": rest })
}

/// A harmless pod with something in it.
fn pod_spec(rest: Value) -> Value {
    let mut spec = json!({"containers": [{"name": "c", "image": "nginx:1"}]});
    merge(&mut spec, rest);
    spec
}

fn container(context: Value) -> Value {
    json!({"containers": [{"name": "c", "image": "nginx:1", "securityContext": context}]})
}

fn pod(spec: Value) -> Value {
    object("v1", "Pod", "x", json!({ "spec": pod_spec(spec) }))
}

fn workload(api_version: &str, kind: &str, spec: Value) -> Value {
    let template = json!({"metadata": {"labels": {"app": "x"}}, "spec": pod_spec(spec)});
    let selector = json!({"matchLabels": {"app": "x"}});
    let spec = match kind {
        "Job" => json!({ "template": template }),
        "CronJob" => {
            json!({"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": template}}})
        }
        "StatefulSet" => json!({"serviceName": "x", "selector": selector, "template": template}),
        _ => json!({"selector": selector, "template": template}),
    };
    object(api_version, kind, "x", json!({ "spec": spec }))
}

fn deployment(spec: Value) -> Value {
    workload("apps/v1", "Deployment", spec)
}

fn service(spec: Value) -> Value {
    let mut all = json!({"selector": {"app": "web"}, "ports": [{"port": 80}]});
    merge(&mut all, spec);
    object("v1", "Service", "x", json!({ "spec": all }))
}

fn rule(host: &Value) -> Value {
    let mut rule = json!({"http": {"paths": [{"path": "/", "pathType": "Prefix",
        "backend": {"service": {"name": "web", "port": {"number": 80}}}}]}});
    if !host.is_null() {
        rule["host"] = host.clone();
    }
    rule
}

/// An Ingress for `host` with something in it.
fn ingress(host: &Value, rest: Value) -> Value {
    let mut ingress =
        object("networking.k8s.io/v1", "Ingress", "x", json!({"spec": {"rules": [rule(host)]}}));
    merge(&mut ingress, rest);
    ingress
}

fn route(kind: &str, spec: Value) -> Value {
    object("gateway.networking.k8s.io/v1", kind, "x", json!({ "spec": spec }))
}

/// Where an object is applied: below `/namespaces/<camp>`.
fn place(object: &Value) -> String {
    let kind = object["kind"].as_str().expect("a kind");
    let plural = match kind {
        "Ingress" => "ingresses".to_owned(),
        "NetworkPolicy" => "networkpolicies".to_owned(),
        "Endpoints" => "endpoints".to_owned(),
        kind => format!("{}s", kind.to_lowercase()),
    };
    let name = object["metadata"]["name"].as_str().expect("a name");
    let version = object["apiVersion"].as_str().expect("a version");
    format!("{version}|{plural}/{name}")
}

/// A row that applies an object.
fn apply(what: &'static str, object: Value, shipped: By, wide: By) -> Row {
    Row(what, "PATCH", place(&object), object, shipped, wide)
}

fn send(
    what: &'static str,
    method: &'static str,
    place: &str,
    body: Value,
    shipped: By,
    wide: By,
) -> Row {
    Row(what, method, place.to_owned(), body, shipped, wide)
}

const RBAC_GROUP: &str = "rbac.authorization.k8s.io";

fn pods_and_workloads() -> Vec<Row> {
    let token = json!({"volumes": [{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}]});
    let disguised = json!({"volumes": [{"name": "kube-api-access-x", "projected": {"sources": [{"serviceAccountToken": {"path": "token", "audience": "vault", "expirationSeconds": 3607}}]}}]});
    let mut with_users = container(json!({"procMount": "Unmasked"}));
    with_users["hostUsers"] = json!(false);
    let windows = |network: bool| {
        let mut spec = container(json!({"windowsOptions": {"hostProcess": true}}));
        spec["hostNetwork"] = json!(network);
        spec
    };
    let mut rows = vec![
        apply("a harmless Pod", pod(json!({})), Nobody, Nobody),
        apply("a harmless Deployment", deployment(json!({})), Nobody, Nobody),
        apply(
            "a Pod that takes every processor",
            pod(
                json!({"containers": [{"name": "c", "image": "nginx:1", "resources": {"requests": {"cpu": "64"}}}]}),
            ),
            Quota,
            Quota,
        ),
        apply(
            "a claim for every disk",
            object(
                "v1",
                "PersistentVolumeClaim",
                "x",
                json!({"spec": {
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "9Ti"}}}}),
            ),
            Quota,
            Quota,
        ),
        apply("hostNetwork", pod(json!({"hostNetwork": true})), Psa, Psa),
        apply("hostPID", pod(json!({"hostPID": true})), Psa, Psa),
        apply(
            "hostPath",
            pod(json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]})),
            Psa,
            Psa,
        ),
        apply(
            "hostPort",
            pod(
                json!({"containers": [{"name": "c", "image": "nginx:1", "ports": [{"containerPort": 80, "hostPort": 80}]}]}),
            ),
            Psa,
            Psa,
        ),
        apply("privileged", pod(container(json!({"privileged": true}))), Psa, Psa),
        apply(
            "a capability",
            pod(container(json!({"capabilities": {"add": ["SYS_ADMIN"]}}))),
            Psa,
            Psa,
        ),
        apply(
            "seccomp off",
            pod(container(json!({"seccompProfile": {"type": "Unconfined"}}))),
            Psa,
            Psa,
        ),
        apply(
            "AppArmor off",
            pod(container(json!({"appArmorProfile": {"type": "Unconfined"}}))),
            Psa,
            Psa,
        ),
        apply(
            "another SELinux type",
            pod(container(json!({"seLinuxOptions": {"type": "spc_t"}}))),
            Psa,
            Psa,
        ),
        apply("an open /proc", pod(container(json!({"procMount": "Unmasked"}))), Server, Server),
        // Pod Security allows it where root in the pod is nobody outside.
        apply("an open /proc with users of its own", pod(with_users), OnlyGuard, OnlyGuard),
        apply("a process of a Windows host", pod(windows(false)), Server, Server),
        apply("a process of a Windows host in its network", pod(windows(true)), Psa, Psa),
        apply(
            "a privileged template",
            deployment(container(json!({"privileged": true}))),
            Psa,
            Psa,
        ),
        apply(
            "a privileged Job",
            workload("batch/v1", "Job", {
                let mut spec = container(json!({"privileged": true}));
                spec["restartPolicy"] = json!("Never");
                spec
            }),
            Psa,
            Psa,
        ),
        apply("a node by its name", pod(json!({"nodeName": "node-1"})), Policy, Policy),
        apply(
            "a priority of the system",
            deployment(json!({"priorityClassName": "system-node-critical"})),
            Policy,
            Policy,
        ),
        apply(
            "sysctls",
            deployment(
                json!({"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "0"}]}}),
            ),
            Policy,
            Policy,
        ),
        apply(
            "automount",
            deployment(json!({"automountServiceAccountToken": true})),
            Policy,
            Policy,
        ),
        apply("a projected token", deployment(token.clone()), Policy, Policy),
        apply("a projected token in a Pod", pod(token), Policy, Policy),
        apply("a token that looks like the server's", pod(disguised), Policy, Policy),
    ];
    // A network of its own would be outside every NetworkPolicy.
    let multus = json!({"annotations": {"k8s.v1.cni.cncf.io/networks": "kube-system/macvlan"}});
    let mut second = pod(json!({}));
    merge(&mut second["metadata"], multus.clone());
    rows.push(apply("a second network", second, Policy, Policy));
    for (what, mut object, at) in [
        ("a second network in a Deployment", deployment(json!({})), "/spec/template/metadata"),
        (
            "a second network in a CronJob",
            workload("batch/v1", "CronJob", json!({"restartPolicy": "Never"})),
            "/spec/jobTemplate/spec/template/metadata",
        ),
    ] {
        merge(object.pointer_mut(at).expect("a template"), multus.clone());
        rows.push(apply(what, object, Policy, Policy));
    }
    let account = json!({"serviceAccountName": "bivouac-deployer"});
    let never = json!({"serviceAccountName": "bivouac-deployer", "restartPolicy": "Never"});
    rows.push(apply("the deployer's account in a Pod", pod(account.clone()), Policy, Policy));
    let quiet =
        json!({"serviceAccountName": "bivouac-deployer", "automountServiceAccountToken": false});
    rows.push(apply("the deployer's account without its token", pod(quiet), Policy, Policy));
    let theirs = json!({"serviceAccountName": "theirs"});
    rows.push(apply("somebody else's account in a Pod", pod(theirs.clone()), Policy, Policy));
    rows.push(apply("somebody else's account in a Deployment", deployment(theirs), Policy, Policy));
    // Its name, and nothing that it may do.
    let quiet = json!({"serviceAccountName": "theirs", "automountServiceAccountToken": false});
    rows.push(apply(
        "somebody else's account without its token",
        deployment(quiet),
        OnlyGuard,
        OnlyGuard,
    ));
    for (what, api_version, kind, spec) in [
        ("the deployer's account in a Deployment", "apps/v1", "Deployment", &account),
        ("the deployer's account in a StatefulSet", "apps/v1", "StatefulSet", &account),
        ("the deployer's account in a DaemonSet", "apps/v1", "DaemonSet", &account),
        ("the deployer's account in a ReplicaSet", "apps/v1", "ReplicaSet", &account),
        ("the deployer's account in a Job", "batch/v1", "Job", &never),
        ("the deployer's account in a CronJob", "batch/v1", "CronJob", &never),
    ] {
        rows.push(apply(what, workload(api_version, kind, spec.clone()), Policy, Policy));
    }
    rows
}

fn services_and_routes(own: &Value) -> Vec<Row> {
    let other = json!("shop.example.com");
    let annotated =
        |key: &str, value: &str| ingress(own, meta(json!({"annotations": {key: value}})));
    vec![
        apply("a Service", service(json!({})), Nobody, Nobody),
        apply("a LoadBalancer", service(json!({"type": "LoadBalancer"})), Policy, Policy),
        apply("a NodePort", service(json!({"type": "NodePort"})), Policy, Policy),
        apply("externalIPs", service(json!({"externalIPs": ["1.2.3.4"]})), Policy, Policy),
        apply(
            "ExternalName",
            service(json!({"type": "ExternalName", "externalName": "kubernetes.default.svc"})),
            Policy,
            Policy,
        ),
        apply("loadBalancerIP", service(json!({"loadBalancerIP": "1.2.3.4"})), Policy, Policy),
        apply(
            "a DNS record",
            object(
                "v1",
                "Service",
                "x",
                json!({"metadata": {"annotations": {"external-dns.alpha.kubernetes.io/hostname": "a.example.com"}}, "spec": {"ports": [{"port": 80}]}}),
            ),
            Policy,
            Policy,
        ),
        apply("an Ingress for the own host", ingress(own, json!({})), Nobody, Nobody),
        apply(
            "a tuning annotation",
            annotated("nginx.ingress.kubernetes.io/rewrite-target", "/$1"),
            Nobody,
            Nobody,
        ),
        apply("another host", ingress(&other, json!({})), Policy, Policy),
        apply("every host", ingress(&Value::Null, json!({})), Policy, Policy),
        apply(
            "a default backend",
            ingress(
                own,
                json!({"spec": {"defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}}}),
            ),
            Policy,
            Policy,
        ),
        apply(
            "a certificate for another host",
            ingress(own, json!({"spec": {"tls": [{"hosts": [other], "secretName": "s"}]}})),
            Policy,
            Policy,
        ),
        apply(
            "a certificate for every host",
            ingress(own, json!({"spec": {"tls": [{"secretName": "s"}]}})),
            Policy,
            Policy,
        ),
        apply(
            "a class by annotation",
            annotated("kubernetes.io/ingress.class", "internal"),
            Policy,
            Policy,
        ),
        apply(
            "a class, where none is set for the camp",
            ingress(own, json!({"spec": {"ingressClassName": "internal"}})),
            OnlyGuard,
            OnlyGuard,
        ),
        apply(
            "configuration of the proxy",
            annotated("nginx.ingress.kubernetes.io/configuration-snippet", "return 200;"),
            Policy,
            Policy,
        ),
        apply(
            "a second host by annotation",
            annotated("nginx.ingress.kubernetes.io/server-alias", "shop.example.com"),
            Policy,
            Policy,
        ),
        apply(
            "configuration in a tuned value",
            annotated("nginx.ingress.kubernetes.io/rewrite-target", "/; } location / {"),
            Policy,
            Policy,
        ),
        apply(
            "another controller's annotation",
            annotated(
                "traefik.ingress.kubernetes.io/router.middlewares",
                "default-x@kubernetescrd",
            ),
            Policy,
            Policy,
        ),
        apply(
            "an HTTPRoute for the own host",
            route(
                "HTTPRoute",
                json!({"hostnames": [own], "parentRefs": [{"name": "gw", "namespace": "infra"}]}),
            ),
            OnlyGuard,
            OnlyGuard,
        ),
        apply(
            "an HTTPRoute for another host",
            route("HTTPRoute", json!({"hostnames": ["shop.example.com"]})),
            Policy,
            Policy,
        ),
        apply("an HTTPRoute for every host", route("HTTPRoute", json!({})), Policy, Policy),
        apply(
            "a GRPCRoute for another host",
            route("GRPCRoute", json!({"hostnames": [own, "shop.example.com"]})),
            Policy,
            Policy,
        ),
        apply("a GRPCRoute for every host", route("GRPCRoute", json!({})), Policy, Policy),
        apply(
            "a GRPCRoute at another Gateway",
            route(
                "GRPCRoute",
                json!({"hostnames": [own], "parentRefs": [{"name": "internal", "namespace": "infra"}]}),
            ),
            Policy,
            Policy,
        ),
        apply(
            "a GRPCRoute to another namespace",
            route(
                "GRPCRoute",
                json!({"hostnames": [own], "rules": [{"backendRefs": [{"name": "db", "namespace": "prod"}]}]}),
            ),
            Policy,
            Policy,
        ),
        apply(
            "a GRPCRoute for the own host",
            route(
                "GRPCRoute",
                json!({"hostnames": [own], "rules": [{"backendRefs": [{"name": "web", "port": 80}]}]}),
            ),
            Nobody,
            Nobody,
        ),
        apply(
            "a TLSRoute for every host",
            route("TLSRoute", json!({"hostnames": []})),
            Rbac,
            Policy,
        ),
        apply(
            "an HTTPRoute at another Gateway",
            route(
                "HTTPRoute",
                json!({"hostnames": [own], "parentRefs": [{"name": "internal", "namespace": "infra"}]}),
            ),
            Policy,
            Policy,
        ),
        apply(
            "an HTTPRoute at another Service",
            route(
                "HTTPRoute",
                json!({"hostnames": [own], "parentRefs": [{"kind": "Service", "name": "db", "namespace": "prod"}]}),
            ),
            Policy,
            Policy,
        ),
        apply(
            "an HTTPRoute to another namespace",
            route(
                "HTTPRoute",
                json!({"hostnames": [own], "rules": [{"backendRefs": [{"name": "db", "namespace": "prod"}]}]}),
            ),
            Policy,
            Policy,
        ),
        apply(
            "a mirror to another namespace",
            route(
                "HTTPRoute",
                json!({"hostnames": [own], "rules": [{"filters": [{"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "db", "namespace": "prod"}}}]}]}),
            ),
            Policy,
            Policy,
        ),
    ]
}

fn account(name: &str, mount: Value, annotations: Value) -> Value {
    let mut account =
        object("v1", "ServiceAccount", name, meta(json!({"annotations": annotations})));
    if !mount.is_null() {
        account["automountServiceAccountToken"] = mount;
    }
    account
}

fn guardrails_and_rights(camp: &str) -> Vec<Row> {
    let map = |name: &str, rest: Value| object("v1", "ConfigMap", name, rest);
    let subject = json!([{"kind": "ServiceAccount", "name": "default", "namespace": camp}]);
    let bind = object(
        "rbac.authorization.k8s.io/v1",
        "RoleBinding",
        "x",
        json!({"roleRef": {"apiGroup": RBAC_GROUP, "kind": "ClusterRole", "name": "cluster-admin"}, "subjects": subject}),
    );
    let role = object(
        "rbac.authorization.k8s.io/v1",
        "Role",
        "x",
        json!({"rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]}),
    );
    let slice = object(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        "x",
        json!({"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}]}),
    );
    let quota = object("v1", "ResourceQuota", "x", json!({"spec": {"hard": {"pods": "1000"}}}));
    let range = object("v1", "LimitRange", "x", json!({"spec": {"limits": []}}));
    let open = object(
        "networking.k8s.io/v1",
        "NetworkPolicy",
        "x",
        json!({"spec": {"podSelector": {}, "egress": [{}]}}),
    );
    let claim = object(
        "v1",
        "PersistentVolumeClaim",
        "x",
        json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
        "dataSourceRef": {"kind": "PersistentVolumeClaim", "name": "db", "namespace": "prod"}}}),
    );
    let secret = object(
        "v1",
        "Secret",
        "x",
        json!({"metadata": {"annotations": {"kubernetes.io/service-account.name": "default"}}, "type": "kubernetes.io/service-account-token"}),
    );
    let owner = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "page", "uid": "1"}]);
    let token =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    vec![
        apply("a ConfigMap", map("x", json!({"data": {"a": "b"}})), Nobody, Nobody),
        apply(
            "the service's ConfigMap",
            map("bivouac-env", json!({"data": {"BIVOUAC_URL": "x"}})),
            Policy,
            Policy,
        ),
        send(
            "the service's ConfigMap away",
            "DELETE",
            "v1|configmaps/bivouac-env",
            Value::Null,
            Policy,
            Policy,
        ),
        send("all ConfigMaps away", "DELETE", "v1|configmaps", Value::Null, Rbac, Policy),
        apply("a name of the service", map("bivouac-x", json!({})), Policy, Policy),
        apply(
            "a guardrail",
            map("x", meta(json!({"labels": {"bivouac.dev/guardrail": "true"}}))),
            Policy,
            Policy,
        ),
        apply(
            "another camp's label",
            map("x", meta(json!({"labels": {"bivouac.dev/environment": "campfire-pr-99"}}))),
            Policy,
            Policy,
        ),
        apply(
            "a finalizer",
            map("x", meta(json!({"finalizers": ["example.com/stay"]}))),
            Policy,
            Policy,
        ),
        apply("an owner", map("x", meta(json!({"ownerReferences": owner}))), Policy, Policy),
        // The API server drops the namespace while `CrossNamespaceVolumeDataSource` is off; the policy is for where it is on.
        apply("a claim from another namespace", claim, OnlyGuard, OnlyGuard),
        apply("a Secret that asks for a token", secret, Policy, Policy),
        apply("a ServiceAccount", account("x", json!(false), json!({})), Nobody, Nobody),
        apply(
            "a ServiceAccount whose token is mounted",
            account("x", json!(true), json!({})),
            Policy,
            Policy,
        ),
        apply(
            "a ServiceAccount that says nothing of its token",
            account("x", Value::Null, json!({})),
            Policy,
            Policy,
        ),
        apply(
            "a ServiceAccount with a role of the cloud",
            account(
                "x",
                json!(false),
                json!({"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/x"}),
            ),
            Policy,
            Policy,
        ),
        apply(
            "a ServiceAccount with a chart's annotations",
            account("x", json!(false), json!({"helm.sh/resource-policy": "keep", "note": "x"})),
            Nobody,
            Nobody,
        ),
        apply("the default account", account("default", json!(false), json!({})), Policy, Policy),
        apply(
            "the deployer's account",
            account("bivouac-deployer", json!(false), json!({})),
            Policy,
            Policy,
        ),
        apply(
            "somebody else's account",
            account("theirs", json!(false), json!({})),
            Policy,
            Policy,
        ),
        send(
            "somebody else's account away",
            "DELETE",
            "v1|serviceaccounts/theirs",
            Value::Null,
            Policy,
            Policy,
        ),
        send(
            "the default account away",
            "DELETE",
            "v1|serviceaccounts/default",
            Value::Null,
            Policy,
            Policy,
        ),
        send(
            "the deployer's account away",
            "DELETE",
            "v1|serviceaccounts/bivouac-deployer",
            Value::Null,
            Policy,
            Policy,
        ),
        send(
            "a token of the default account",
            "POST",
            "v1|serviceaccounts/default/token",
            token,
            Rbac,
            Policy,
        ),
        apply("a RoleBinding", bind, Rbac, Policy),
        apply("a Role", role, Rbac, Policy),
        send(
            "the deployer's binding away",
            "DELETE",
            "rbac.authorization.k8s.io/v1|rolebindings/bivouac-deployer",
            Value::Null,
            Rbac,
            Policy,
        ),
        apply("a quota", quota, Rbac, Policy),
        apply("a limit range", range, Rbac, Policy),
        apply("an open network", open, Rbac, Policy),
        apply("an EndpointSlice", slice, Rbac, Policy),
        apply("Endpoints", object("v1", "Endpoints", "x", json!({"subsets": []})), Rbac, Policy),
        send("a shell", "POST", "v1|pods/stay/exec?command=sh", Value::Null, Rbac, Policy),
        send("a port", "POST", "v1|pods/stay/portforward", Value::Null, Rbac, Policy),
        send(
            "a debug container",
            "PATCH",
            "v1|pods/stay/ephemeralcontainers",
            object(
                "v1",
                "Pod",
                "stay",
                json!({"spec": {"ephemeralContainers": [{"name": "e", "image": "nginx:1"}]}}),
            ),
            Rbac,
            Policy,
        ),
        send("all Secrets", "GET", "v1|secrets", Value::Null, Rbac, Nobody),
    ]
}

/// Path of a row in a namespace.
pub(crate) fn path(place: &str, namespace: &str) -> String {
    let (version, rest) = place.split_once('|').expect("a version");
    let root = if version.contains('/') { "apis" } else { "api" };
    format!("/{root}/{version}/namespaces/{namespace}/{rest}")
}

/// What the guard finds in an object that a bundle would hold.
pub(crate) fn rules(object: &Value, camp: &str, host: &str) -> BTreeSet<&'static str> {
    let text = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
    let object = BundleObject {
        wave: wave_of(group_of(&text("apiVersion")), &text("kind")),
        json: object.clone(),
        origin: Origin { file: "x.yaml".into(), line: 1 },
        app: "web".into(),
        positions: Positions::default(),
    };
    let policy = GuardPolicy::new(camp, &[host.to_owned()]);
    let findings = guard(&Bundle::new(vec![object], String::new()), &policy);
    findings
        .iter()
        .filter(|finding| finding.is_refusal())
        .map(|finding| finding.rule.id())
        .collect()
}

/// A controller's attempt to make the pods of a template is what Pod Security judges.
async fn of_its_pods(world: &World, row: &Row, namespace: &str) -> Option<By> {
    let Row(_, _, place, object, ..) = row;
    if !matches!(object["kind"].as_str(), Some("Deployment" | "Job")) {
        return None;
    }
    world.sleep(Duration::from_secs(5)).await;
    let pods =
        world.as_admin("GET", &format!("/api/v1/namespaces/{namespace}/pods"), &Value::Null).await;
    let made = pods.body["items"]
        .as_array()
        .expect("pods")
        .iter()
        .any(|pod| pod["metadata"]["name"].as_str().is_some_and(|name| name.starts_with("x-")));
    if made {
        return None;
    }
    let events = world
        .as_admin("GET", &format!("/api/v1/namespaces/{namespace}/events"), &Value::Null)
        .await;
    let live = world.as_admin("GET", &path(place, namespace), &Value::Null).await;
    let text = format!("{} {}", events.body, live.body["status"]);
    assert!(text.contains("violates PodSecurity"), "{}: no pod and no reason: {text}", row.0);
    Some(Psa)
}

const ROUTES: [&str; 3] = ["HTTPRoute", "GRPCRoute", "TLSRoute"];

/// Neither the object nor a pod of it.
async fn nothing_left(world: &World, at: &str, namespace: &str) -> Option<()> {
    let pods = format!("/api/v1/namespaces/{namespace}/pods");
    let pods = world.as_admin("GET", &pods, &Value::Null).await;
    let of_it =
        |pod: &Value| pod["metadata"]["name"].as_str().is_some_and(|name| name.starts_with('x'));
    let left = pods.body["items"].as_array().expect("pods").iter().any(of_it);
    let gone = world.as_admin("GET", at, &Value::Null).await.code == 404;
    (gone && !left).then_some(())
}

/// The Gateway API's kinds, loosely.
async fn define_routes(world: &World) {
    for kind in ROUTES {
        let plural = format!("{}s", kind.to_lowercase());
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.gateway.networking.k8s.io"),
                "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"}},
            "spec": {"group": "gateway.networking.k8s.io", "scope": "Namespaced", "names": {"kind": kind, "plural": plural},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema":
                    {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]},
        });
        let made = world
            .as_admin(
                "POST",
                "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
                &definition,
            )
            .await;
        // A real API server may have them.
        assert!(matches!(made.code, 201 | 409), "{}", made.body);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_guard_would_miss_is_stopped_behind_it_or_listed_here() {
    let world = World::anywhere(1).await;
    define_routes(&world).await;
    let (number, _) = world.camp("escape").await;
    let camp = world.stage.namespace_of(number);
    let deployer = format!("system:serviceaccount:{camp}:bivouac-deployer");
    let host = world.status(number).await.expect("a status").hosts.first().expect("a host").clone();
    // The platform team names the one Gateway.
    let gateway = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": camp, "annotations": {"bivouac.dev/gateway": "infra/gw"}}});
    let noted = world.as_admin("PATCH", &format!("/api/v1/namespaces/{camp}"), &gateway).await;
    assert_eq!(noted.code, 200, "{}", noted.body);

    let theirs = object("v1", "ServiceAccount", "theirs", json!({}));
    let made = world.as_admin("POST", &path("v1|serviceaccounts", &camp), &theirs).await;
    assert_eq!(made.code, 201, "{}", made.body);
    let stay = object("v1", "Pod", "stay", json!({"spec": pod_spec(json!({}))}));
    let made = world.as_admin("POST", &path("v1|pods", &camp), &stay).await;
    assert_eq!(made.code, 201, "{}", made.body);

    let mut rows = pods_and_workloads();
    rows.extend(services_and_routes(&json!(host)));
    rows.extend(guardrails_and_rights(&camp));
    let mut wrong = String::new();
    for wide in [false, true] {
        if wide {
            let bind = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "wide"},
                "roleRef": {"apiGroup": RBAC_GROUP, "kind": "ClusterRole", "name": "cluster-admin"},
                "subjects": [{"kind": "ServiceAccount", "name": "bivouac-deployer", "namespace": camp}]});
            let place = "rbac.authorization.k8s.io/v1|rolebindings";
            let made = world.as_admin("POST", &path(place, &camp), &bind).await;
            assert_eq!(made.code, 201, "{}", made.body);
            world.sleep(Duration::from_secs(2)).await;
        }
        for row in &rows {
            let Row(what, method, place, body, shipped, with_all) = row;
            let expected = if wide { *with_all } else { *shipped };
            let answer = world.as_user(&deployer, method, &path(place, &camp), body).await;
            let mut by = speaker(&answer);
            if by.is_none() && *method == "PATCH" {
                by = of_its_pods(&world, row, &camp).await;
            }
            if matches!(answer.code, 200 | 201) && *method == "PATCH" {
                let gone = world.as_admin("DELETE", &path(place, &camp), &Value::Null).await;
                assert!(matches!(gone.code, 200 | 202), "{what}: {}", gone.body);
                world
                    .until(&format!("{what} is gone"), async || {
                        nothing_left(&world, &path(place, &camp), &camp).await
                    })
                    .await;
                // What it took of the quota is given back a little later.
                world.sleep(Duration::from_secs(2)).await;
            }
            let found =
                if *method == "PATCH" { rules(body, &camp, &host) } else { BTreeSet::new() };
            let actual = by.unwrap_or(if found.is_empty() { Nobody } else { OnlyGuard });
            if actual != expected {
                let message = answer.body["message"].as_str().unwrap_or_default();
                writeln!(wrong, "{what} (wide role: {wide}): {actual:?}, not {expected:?}; guard {found:?}; {message}").expect("a text");
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[tokio::test(start_paused = true)]
async fn a_deployer_reaches_no_other_namespace_whatever_its_role() {
    let world = World::anywhere(1).await;
    let (number, _) = world.camp("escape").await;
    let (other, _) = world.camp("other").await;
    let (camp, other) = (world.stage.namespace_of(number), world.stage.namespace_of(other));
    let deployer = format!("system:serviceaccount:{camp}:bivouac-deployer");
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}});
    for place in [other.as_str(), "default", "bivouac-system"] {
        let refused =
            world.as_user(&deployer, "PATCH", &path("v1|configmaps/x", place), &map).await;
        assert_eq!(speaker(&refused), Some(Rbac), "{place}: {}", refused.body);
    }
    let wide = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "wide"},
        "roleRef": {"apiGroup": RBAC_GROUP, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "bivouac-deployer", "namespace": camp}]});
    let bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    let made = world.as_admin("POST", bindings, &wide).await;
    assert_eq!(made.code, 201, "{}", made.body);
    world.sleep(Duration::from_secs(2)).await;
    for place in [other.as_str(), "default", "bivouac-system"] {
        let refused =
            world.as_user(&deployer, "PATCH", &path("v1|configmaps/x", place), &map).await;
        let message = refused.body["message"].as_str().unwrap_or_default();
        assert_eq!(speaker(&refused), Some(Policy), "{place}: {message}");
        assert!(
            message.ends_with(&format!(
                "denied request: bivouac: {deployer} may write only in its own environment"
            )),
            "{message}"
        );
    }
    for (method, at, body) in [
        (
            "PATCH",
            "/api/v1/namespaces/default".to_owned(),
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default", "labels": {"a": "b"}}}),
        ),
        ("DELETE", format!("/api/v1/namespaces/{other}"), Value::Null),
        ("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings".to_owned(), wide.clone()),
    ] {
        let refused = world.as_user(&deployer, method, &at, &body).await;
        assert!(
            matches!(speaker(&refused), Some(Policy | Rbac)),
            "{method} {at}: {}",
            refused.body
        );
    }
    // A real API server is there for the next story too.
    let unbound = world.as_admin("DELETE", &format!("{bindings}/wide"), &Value::Null).await;
    assert_eq!(unbound.code, 200, "{}", unbound.body);
}

#[tokio::test(start_paused = true)]
async fn images_and_classes_are_held_where_the_camp_has_a_list() {
    let world = World::anywhere(1).await;
    let (number, _) = world.camp("escape").await;
    let camp = world.stage.namespace_of(number);
    let deployer = format!("system:serviceaccount:{camp}:bivouac-deployer");
    let host = world.status(number).await.expect("a status").hosts.first().expect("a host").clone();
    let notes = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": camp, "annotations": {
        "bivouac.dev/image-registries": "ghcr.io/acme,docker.io/library/,registry.test:5000/a/b",
        "bivouac.dev/ingress-class": "nginx",
    }}});
    let noted = world.as_admin("PATCH", &format!("/api/v1/namespaces/{camp}"), &notes).await;
    assert_eq!(noted.code, 200, "{}", noted.body);
    for (image, fine) in [
        ("nginx", true),
        ("nginx:1.29", true),
        ("docker.io/library/nginx", true),
        ("acme/web", false),
        ("docker.io/acme/web", false),
        ("ghcr.io/acme/web:1", true),
        (
            "ghcr.io/acme/web@sha256:0000000000000000000000000000000000000000000000000000000000000000",
            true,
        ),
        ("ghcr.io/acme-evil/web", false),
        ("ghcr.io/acmeweb", false),
        // Without a slash it is a name at Docker Hub.
        ("ghcr.io", true),
        ("evil.test/ghcr.io/acme/web", false),
        ("registry.test:5000/a/b", true),
        ("registry.test:5000/a/b:1", true),
        ("registry.test:5000/a/bc", false),
        ("registry.test/a/b", false),
        ("localhost/library/nginx", false),
    ] {
        for (list, spec) in [
            ("containers", json!({"containers": [{"name": "c", "image": image}]})),
            (
                "initContainers",
                json!({"containers": [{"name": "c", "image": "nginx"}], "initContainers": [{"name": "i", "image": image}]}),
            ),
            (
                "volumes",
                json!({"containers": [{"name": "c", "image": "nginx"}], "volumes": [{"name": "v", "image": {"reference": image}}]}),
            ),
        ] {
            for object in [
                object("v1", "Pod", "x", json!({ "spec": spec })),
                workload("apps/v1", "Deployment", spec.clone()),
                workload("batch/v1", "CronJob", {
                    let mut spec = spec.clone();
                    spec["restartPolicy"] = json!("Never");
                    spec
                }),
            ] {
                let at =
                    format!("{}?dryRun=All", path(&place(&object), &camp).trim_end_matches("/x"));
                let answer = world.as_user(&deployer, "POST", &at, &object).await;
                assert_eq!(
                    speaker(&answer).is_none(),
                    fine,
                    "{image} in {list} of {}: {}",
                    object["kind"],
                    answer.body["message"]
                );
                if !fine {
                    assert_eq!(speaker(&answer), Some(Policy), "{image} in {list}");
                }
            }
        }
    }
    for (class, fine) in [(None, true), (Some("nginx"), true), (Some("internal"), false)] {
        let mut object = ingress(&json!(host), json!({}));
        if let Some(class) = class {
            object["spec"]["ingressClassName"] = json!(class);
        }
        let at = format!("{}?dryRun=All", path("networking.k8s.io/v1|ingresses", &camp));
        let answer = world.as_user(&deployer, "POST", &at, &object).await;
        assert_eq!(speaker(&answer).is_none(), fine, "{class:?}: {}", answer.body["message"]);
    }
}

/// A service that was taken over: what its identity may do beyond its work.
#[tokio::test(start_paused = true)]
async fn the_service_itself_writes_only_in_its_environments() {
    let world = World::anywhere(1).await;
    let (number, _) = world.camp("escape").await;
    let camp = world.stage.namespace_of(number);
    let plain = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "prod"}});
    assert_eq!(world.as_admin("POST", "/api/v1/namespaces", &plain).await.code, 201);
    let space = |name: &str, labels: Value| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
    let marks = |instance: &str, level: &str| {
        json!({"bivouac.dev/environment": "campfire-pr-9", "bivouac.dev/environment-uid": "u", "bivouac.dev/instance": instance,
            "pod-security.kubernetes.io/enforce": level})
    };
    let bind = |role: &str, subject: Value| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "x"},
            "roleRef": {"apiGroup": RBAC_GROUP, "kind": "ClusterRole", "name": role}, "subjects": [subject]})
    };
    let account = |name: &str, namespace: &str| json!({"kind": "ServiceAccount", "name": name, "namespace": namespace});
    let group = json!({"kind": "Group", "apiGroup": RBAC_GROUP, "name": "system:authenticated"});
    let bindings = |namespace: &str| {
        format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings")
    };
    let own = format!("/api/v1/namespaces/{camp}");
    for (what, method, at, body, by) in [
        (
            "a namespace of its own",
            "POST",
            "/api/v1/namespaces".to_owned(),
            space("camp-x", marks("main", "baseline")),
            None,
        ),
        (
            "a namespace without its label",
            "POST",
            "/api/v1/namespaces".to_owned(),
            space("y", json!({})),
            Some(Policy),
        ),
        (
            "a namespace without Pod Security",
            "POST",
            "/api/v1/namespaces".to_owned(),
            space("y", marks("main", "privileged")),
            Some(Policy),
        ),
        (
            "taking over a namespace",
            "PATCH",
            "/api/v1/namespaces/prod".to_owned(),
            space("prod", marks("main", "baseline")),
            Some(Policy),
        ),
        (
            "deleting somebody's namespace",
            "DELETE",
            "/api/v1/namespaces/prod".to_owned(),
            Value::Null,
            Some(Policy),
        ),
        (
            "another instance on its camp",
            "PATCH",
            own.clone(),
            space(&camp, json!({"bivouac.dev/instance": "other"})),
            Some(Policy),
        ),
        (
            "Pod Security off",
            "PATCH",
            own.clone(),
            space(&camp, json!({"pod-security.kubernetes.io/enforce": "privileged"})),
            Some(Policy),
        ),
        (
            "itself as guardian elsewhere",
            "POST",
            bindings("prod"),
            bind("bivouac-guardian", account("bivouac", "bivouac-system")),
            Some(Policy),
        ),
        (
            "a deployer elsewhere",
            "POST",
            bindings("prod"),
            bind("bivouac-deployer", account("bivouac-deployer", "prod")),
            Some(Policy),
        ),
        (
            "itself as deployer",
            "POST",
            bindings(&camp),
            bind("bivouac-deployer", account("bivouac", "bivouac-system")),
            Some(Policy),
        ),
        (
            "a foreign account as deployer",
            "POST",
            bindings(&camp),
            bind("bivouac-deployer", account("default", "prod")),
            Some(Policy),
        ),
        (
            "the deployer as guardian",
            "POST",
            bindings(&camp),
            bind("bivouac-guardian", account("bivouac-deployer", &camp)),
            Some(Policy),
        ),
        (
            "everybody as deployer",
            "POST",
            bindings(&camp),
            bind("bivouac-deployer", group),
            Some(Policy),
        ),
        (
            "a role that it may not bind",
            "POST",
            bindings(&camp),
            bind("cluster-admin", account("bivouac-deployer", &camp)),
            Some(Rbac),
        ),
        (
            "rights at home",
            "POST",
            bindings("bivouac-system"),
            bind("bivouac-guardian", account("bivouac", "bivouac-system")),
            Some(Policy),
        ),
        (
            "the deployer of its camp",
            "POST",
            bindings(&camp),
            bind("bivouac-deployer", account("bivouac-deployer", &camp)),
            None,
        ),
    ] {
        let answer = world.as_user(SERVICE, method, &at, &body).await;
        assert_eq!(speaker(&answer), by, "{what}: {}", answer.body["message"]);
    }
}
