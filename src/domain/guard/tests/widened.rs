//! Cases beyond the examples: what must pass, and what is found where, by rule and field.

use serde_json::{Value, json};

use super::{bundled, check_with, ingress, object, pod, policy, service};
use crate::domain::bundle::{Bundle, RandomField};
use crate::domain::guard::{Finding, Gateway, GroupKind, GuardPolicy, Rule, guard};

const HOST: &str = "shop-pr-7.example.com";

fn wide() -> GuardPolicy {
    let mut policy = policy();
    policy.gateway = Some(Gateway {
        namespace: "infra".into(),
        name: "previews".into(),
        section: Some("https".into()),
    });
    policy.tls_issuer = Some("letsencrypt".into());
    for kind in [
        "Gateway.gateway.networking.k8s.io",
        "TLSRoute.gateway.networking.k8s.io",
        "TCPRoute.gateway.networking.k8s.io",
        "Endpoints",
        "EndpointSlice.discovery.k8s.io",
        "NetworkAttachmentDefinition.k8s.cni.cncf.io",
        "NetworkPolicy.crd.antrea.io",
        "NetworkPolicy.networking.k8s.io",
        "Namespace",
        "Role.rbac.authorization.k8s.io",
        "CustomResourceDefinition.apiextensions.k8s.io",
        "VirtualService.networking.istio.io",
        "Gateway.networking.istio.io",
        "IngressRoute.traefik.io",
        "HTTPProxy.projectcontour.io",
        "Thing.example.com",
    ] {
        policy.allowed_kinds.insert(GroupKind::parse(kind));
    }
    policy
}

fn route(rest: Value) -> Value {
    let mut route = object(
        "gateway.networking.k8s.io/v1",
        "HTTPRoute",
        json!({"spec": {"hostnames": [HOST], "parentRefs": [parent()], "rules": [{"backendRefs": [{"name": "web", "port": 80}]}]}}),
    );
    super::merge(&mut route, json!({"spec": rest}));
    route
}

fn parent() -> Value {
    json!({"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": "infra", "name": "previews", "sectionName": "https"})
}

fn claim(rest: Value) -> Value {
    object("v1", "PersistentVolumeClaim", rest)
}

/// Claims, templates of claims and ephemeral volumes are judged alike.
fn claims_everywhere(metadata: &Value, spec: &Value) -> Vec<(Value, &'static str)> {
    let both = json!({"metadata": metadata, "spec": spec});
    vec![
        (claim(both.clone()), ""),
        (
            object("apps/v1", "StatefulSet", json!({"spec": {"volumeClaimTemplates": [both]}})),
            "/spec/volumeClaimTemplates/0",
        ),
        (
            pod(json!({"volumes": [{"name": "a", "ephemeral": {"volumeClaimTemplate": both}}]})),
            "/spec/volumes/0/ephemeral/volumeClaimTemplate",
        ),
    ]
}

#[test]
fn what_expose_makes_passes() {
    let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
    let paths = json!([{"path": "/", "pathType": "Prefix", "backend": backend}]);
    let spec = json!({
        "ingressClassName": "nginx",
        "rules": [{"host": HOST, "http": {"paths": paths}}],
        "tls": [{"hosts": [HOST], "secretName": "web-tls"}],
    });
    let annotations = json!({"cert-manager.io/cluster-issuer": "letsencrypt"});
    let ingress = object(
        "networking.k8s.io/v1",
        "Ingress",
        json!({"metadata": {"namespace": "camp", "annotations": annotations}, "spec": spec}),
    );
    let headers = json!({"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "X-A", "value": "b"}]}});
    let matches = json!([{"path": {"type": "PathPrefix", "value": "/"}}]);
    let backends =
        json!([{"group": "", "kind": "Service", "name": "web", "namespace": "camp", "port": 80}]);
    let http = route(
        json!({"rules": [{"matches": matches, "filters": [headers], "backendRefs": backends}]}),
    );
    for fine in [ingress, http, route(json!({}))] {
        assert_eq!(check_with(&fine, &wide()), [], "{fine}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn each_way_around_is_found_at_its_field() {
    let pod_with = |volume: Value| pod(json!({"volumes": [volume]}));
    let virtual_service =
        |spec: Value| object("networking.istio.io/v1", "VirtualService", json!({"spec": spec}));
    let traefik = |text: &str| {
        let routes = json!([{"match": text, "services": [{"name": "web"}]}]);
        object("traefik.io/v1alpha1", "IngressRoute", json!({"spec": {"routes": routes}}))
    };
    let gateway = |listener: Value| {
        object(
            "gateway.networking.k8s.io/v1",
            "Gateway",
            json!({"spec": {"listeners": [listener]}}),
        )
    };
    let affinity = |kind: &str, term: Value| {
        let terms = json!({"requiredDuringSchedulingIgnoredDuringExecution": [term]});
        pod(json!({"affinity": {kind: terms}}))
    };
    let node_term = |term: Value| {
        let terms = json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}});
        pod(json!({"affinity": {"nodeAffinity": terms}}))
    };
    let rule0 = |rule: Value| route(json!({"rules": [rule]}));
    let cases: Vec<(Value, Rule, &str)> = vec![
        // Kinds, whatever the list says.
        (object("v1", "Namespace", json!({})), Rule::KindNotAllowed, "/kind"),
        (object("networking.k8s.io/v1", "NetworkPolicy", json!({})), Rule::KindNotAllowed, "/kind"),
        (object("crd.antrea.io/v1", "NetworkPolicy", json!({})), Rule::KindNotAllowed, "/kind"),
        (
            object("k8s.cni.cncf.io/v1", "NetworkAttachmentDefinition", json!({})),
            Rule::KindNotAllowed,
            "/kind",
        ),
        (
            object("apiextensions.k8s.io/v1", "CustomResourceDefinition", json!({})),
            Rule::KindNotAllowed,
            "/kind",
        ),
        (object("rbac.authorization.k8s.io/v1", "Role", json!({})), Rule::AccessControl, "/kind"),
        // Accounts.
        (
            object("v1", "ServiceAccount", json!({})),
            Rule::AccountToken,
            "/automountServiceAccountToken",
        ),
        (account(json!({MOUNT: true})), Rule::AccountToken, "/automountServiceAccountToken"),
        (account(json!({MOUNT: "false"})), Rule::AccountToken, "/automountServiceAccountToken"),
        (account(json!({"metadata": {"name": "default"}})), Rule::GuardrailName, "/metadata/name"),
        (
            account(json!({"metadata": {"name": "bivouac-deployer"}})),
            Rule::GuardrailName,
            "/metadata/name",
        ),
        (
            account(json!({"imagePullSecrets": [{"name": "bivouac-pull"}]})),
            Rule::ReservedReference,
            "/imagePullSecrets/0/name",
        ),
        (
            account(
                json!({"metadata": {"annotations": {"azure.workload.identity/client-id": "x"}}}),
            ),
            Rule::AccessControl,
            "/metadata/annotations/azure.workload.identity~1client-id",
        ),
        (
            account(json!({"metadata": {"annotations": {"eks.amazonaws.com/role-arn": "x"}}})),
            Rule::AccessControl,
            "/metadata/annotations/eks.amazonaws.com~1role-arn",
        ),
        (object("v1", "Endpoints", json!({"subsets": []})), Rule::ManualEndpoints, "/kind"),
        (object("discovery.k8s.io/v1", "EndpointSlice", json!({})), Rule::ManualEndpoints, "/kind"),
        // Services.
        (object("v1", "Service", json!({})), Rule::ManualEndpoints, "/spec"),
        (
            object("v1", "Service", json!({"spec": {"selector": {}}})),
            Rule::ManualEndpoints,
            "/spec/selector",
        ),
        (
            service(json!({"healthCheckNodePort": 30000})),
            Rule::ServiceExposure,
            "/spec/healthCheckNodePort",
        ),
        (service(json!({"externalIPs": "10.0.0.1"})), Rule::ServiceExposure, "/spec/externalIPs"),
        (service(json!({"clusterIP": "10.0.0.10"})), Rule::ClusterGiven, "/spec/clusterIP"),
        (
            service(json!({"clusterIPs": ["None", "10.0.0.10"]})),
            Rule::ClusterGiven,
            "/spec/clusterIPs/1",
        ),
        (service(json!({"ports": {"nodePort": 30000}})), Rule::Malformed, "/spec/ports"),
        // Ingresses.
        (ingress(json!({"rules": {"host": HOST}})), Rule::Malformed, "/spec/rules"),
        (ingress(json!({"rules": [HOST]})), Rule::Malformed, "/spec/rules/0"),
        (
            ingress(json!({"rules": [{"host": [HOST]}]})),
            Rule::HostNotAssigned,
            "/spec/rules/0/host",
        ),
        (ingress(json!({"tls": [{"hosts": HOST}]})), Rule::Malformed, "/spec/tls/0/hosts"),
        (
            ingress(json!({"rules": [{"host": HOST, "http": {"paths": [{"path": "/\" {"}]}}]})),
            Rule::HostNotAssigned,
            "/spec/rules/0/http/paths/0/path",
        ),
        (
            ingress(
                json!({"rules": [{"host": HOST, "http": {"paths": [{"backend": {"resource": {"kind": "Bucket"}}}]}}]}),
            ),
            Rule::RouteTarget,
            "/spec/rules/0/http/paths/0/backend/resource",
        ),
        (
            ingress(json!({"tls": [{"hosts": [HOST], "secretName": "web-tls"}]})),
            Rule::TlsSecret,
            "/spec/tls/0/secretName",
        ),
        (
            super::noted("cert-manager.io/cluster-issuer", "other"),
            Rule::HostNotAssigned,
            "/metadata/annotations/cert-manager.io~1cluster-issuer",
        ),
        (
            super::noted("nginx.ingress.kubernetes.io/auth-url", "https://x"),
            Rule::HostNotAssigned,
            "/metadata/annotations/nginx.ingress.kubernetes.io~1auth-url",
        ),
        (
            super::noted("nginx.ingress.kubernetes.io/canary", "true"),
            Rule::HostNotAssigned,
            "/metadata/annotations/nginx.ingress.kubernetes.io~1canary",
        ),
        (
            super::noted("haproxy.org/timeout-server", "5s\nbackend x"),
            Rule::HostNotAssigned,
            "/metadata/annotations/haproxy.org~1timeout-server",
        ),
        (
            super::noted("alb.ingress.kubernetes.io/group.name", "shared"),
            Rule::HostNotAssigned,
            "/metadata/annotations/alb.ingress.kubernetes.io~1group.name",
        ),
        // Routes.
        (route(json!({"hostnames": []})), Rule::HostNotAssigned, "/spec"),
        (
            route(json!({"hostnames": ["www.example.com"]})),
            Rule::HostNotAssigned,
            "/spec/hostnames/0",
        ),
        (route(json!({"hostnames": HOST})), Rule::Malformed, "/spec/hostnames"),
        (
            route(json!({"useDefaultGateways": "All"})),
            Rule::RouteTarget,
            "/spec/useDefaultGateways",
        ),
        (
            route(json!({"parentRefs": [{"name": "previews"}]})),
            Rule::RouteTarget,
            "/spec/parentRefs/0",
        ),
        (
            route(json!({"parentRefs": [{"namespace": "infra", "name": "previews"}]})),
            Rule::RouteTarget,
            "/spec/parentRefs/0",
        ),
        (
            route(
                json!({"parentRefs": [parent(), {"kind": "Service", "group": "", "name": "web"}]}),
            ),
            Rule::RouteTarget,
            "/spec/parentRefs/1",
        ),
        (
            rule0(json!({"backendRefs": [{"name": "web", "namespace": "production"}]})),
            Rule::ForeignNamespace,
            "/spec/rules/0/backendRefs/0/namespace",
        ),
        (
            rule0(json!({"backendRefs": [{"name": "web", "kind": "ServiceImport"}]})),
            Rule::RouteTarget,
            "/spec/rules/0/backendRefs/0",
        ),
        (
            rule0(json!({"filters": [{"type": "ExtensionRef", "extensionRef": {"name": "x"}}]})),
            Rule::RouteTarget,
            "/spec/rules/0/filters/0",
        ),
        (
            rule0(json!({"filters": [{"type": "URLRewrite", "requestMirror": {}}]})),
            Rule::RouteTarget,
            "/spec/rules/0/filters/0",
        ),
        (rule0(json!({"filters": [{"type": 5}]})), Rule::RouteTarget, "/spec/rules/0/filters/0"),
        (
            rule0(
                json!({"backendRefs": [{"name": "web", "filters": [{"type": "RequestMirror"}]}]}),
            ),
            Rule::RouteTarget,
            "/spec/rules/0/backendRefs/0/filters/0",
        ),
        (
            object("gateway.networking.k8s.io/v1", "TCPRoute", json!({})),
            Rule::HostNotAssigned,
            "/kind",
        ),
        (gateway(json!({"name": "a"})), Rule::HostNotAssigned, "/spec/listeners/0"),
        (
            gateway(json!({"hostname": "*.example.com"})),
            Rule::HostNotAssigned,
            "/spec/listeners/0/hostname",
        ),
        (
            gateway(json!({"hostname": HOST, "tls": {"certificateRefs": [{"name": "wildcard"}]}})),
            Rule::TlsSecret,
            "/spec/listeners/0/tls/certificateRefs/0/name",
        ),
        (
            gateway(json!({"hostname": HOST, "allowedRoutes": {"namespaces": {"from": "All"}}})),
            Rule::ForeignNamespace,
            "/spec/listeners/0/allowedRoutes/namespaces/from",
        ),
        // Kinds of other routers.
        (virtual_service(json!({"http": []})), Rule::HostNotAssigned, "/spec/hosts"),
        (
            virtual_service(json!({"hosts": ["www.example.com"]})),
            Rule::HostNotAssigned,
            "/spec/hosts/0",
        ),
        (
            virtual_service(json!({"hosts": [HOST], "gateways": ["istio-system/public"]})),
            Rule::RouteTarget,
            "/spec/gateways/0",
        ),
        (
            virtual_service(
                json!({"hosts": [HOST], "http": [{"route": [{"destination": {"host": "db.production.svc.cluster.local"}}]}]}),
            ),
            Rule::HostNotAssigned,
            "/spec/http/0/route/0/destination/host",
        ),
        (object("networking.istio.io/v1", "Gateway", json!({})), Rule::HostNotAssigned, "/kind"),
        (
            object(
                "projectcontour.io/v1",
                "HTTPProxy",
                json!({"spec": {"virtualhost": {"fqdn": "www.example.com"}}}),
            ),
            Rule::HostNotAssigned,
            "/spec/virtualhost/fqdn",
        ),
        (traefik("Host(`www.example.com`)"), Rule::HostNotAssigned, "/spec/routes/0/match"),
        (traefik("PathPrefix(`/`)"), Rule::HostNotAssigned, "/spec/routes/0/match"),
        (
            traefik("Host(`shop-pr-7.example.com`) || PathPrefix(`/`)"),
            Rule::HostNotAssigned,
            "/spec/routes/0/match",
        ),
        (
            traefik("Host(`shop-pr-7.example.com`) && HostRegexp(`.*`)"),
            Rule::HostNotAssigned,
            "/spec/routes/0/match",
        ),
        // Pods.
        (
            pod_with(json!({"name": "a", "secret": {"secretName": "bivouac-env"}})),
            Rule::ReservedReference,
            "/spec/volumes/0/secret/secretName",
        ),
        (
            pod_with(
                json!({"name": "a", "projected": {"sources": [{"configMap": {"name": "bivouac-x"}}]}}),
            ),
            Rule::ReservedReference,
            "/spec/volumes/0/projected/sources/0/configMap/name",
        ),
        (
            pod_with(json!({"name": "a", "projected": {"sources": [{"podCertificate": {}}]}})),
            Rule::AccountToken,
            "/spec/volumes/0/projected/sources/0/podCertificate",
        ),
        (
            pod_with(json!({"name": "a", "iscsi": {}})),
            Rule::ForeignStorage,
            "/spec/volumes/0/iscsi",
        ),
        (
            pod(json!({"automountServiceAccountToken": "false"})),
            Rule::AccountToken,
            "/spec/automountServiceAccountToken",
        ),
        (
            pod(json!({"tolerations": [{"key": "node-role.kubernetes.io/control-plane"}]})),
            Rule::NodeBypass,
            "/spec/tolerations/0/key",
        ),
        (
            pod(json!({"tolerations": [{"key": "dedicated", "value": "production"}]})),
            Rule::NodeChoice,
            "/spec/tolerations/0/key",
        ),
        (pod(json!({"runtimeClassName": "kata"})), Rule::NodeChoice, "/spec/runtimeClassName"),
        (
            node_term(
                json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}),
            ),
            Rule::NodeBypass,
            "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/0/matchFields/0",
        ),
        (
            node_term(
                json!({"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["n"]}]}),
            ),
            Rule::NodeBypass,
            "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/0/matchExpressions/0/key",
        ),
        (
            affinity("podAffinity", json!({"namespaces": ["camp", "production"]})),
            Rule::ForeignNamespace,
            "/spec/affinity/podAffinity/requiredDuringSchedulingIgnoredDuringExecution/0/namespaces/1",
        ),
        (
            pod(json!({"terminationGracePeriodSeconds": -1})),
            Rule::SlowTeardown,
            "/spec/terminationGracePeriodSeconds",
        ),
        (pod(json!("x")), Rule::Malformed, "/spec"),
        (pod(json!({"containers": ["x"]})), Rule::Malformed, "/spec/containers/0"),
        (object("apps/v1", "Deployment", json!({"spec": []})), Rule::Malformed, "/spec"),
        (
            object("apps/v1", "Deployment", json!({"spec": {"template": 5}})),
            Rule::Malformed,
            "/spec/template",
        ),
        (
            object(
                "batch/v1",
                "CronJob",
                json!({"spec": {"jobTemplate": {"metadata": {"labels": {"bivouac.dev/x": "y"}}}}}),
            ),
            Rule::GuardrailName,
            "/spec/jobTemplate/metadata/labels/bivouac.dev~1x",
        ),
        // Everything.
        (
            object("v1", "ConfigMap", json!({"metadata": {"annotations": ["a"]}})),
            Rule::Malformed,
            "/metadata/annotations",
        ),
        (
            object("v1", "ConfigMap", json!({"metadata": {"generateName": "a-"}})),
            Rule::GeneratedName,
            "/metadata/generateName",
        ),
        (
            object("v1", "ConfigMap", json!({"metadata": {"managedFields": [{}]}})),
            Rule::ClusterGiven,
            "/metadata/managedFields",
        ),
        (
            object(
                "v1",
                "ConfigMap",
                json!({"metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}}}),
            ),
            Rule::ClusterGiven,
            "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration",
        ),
        (
            object("example.com/v1", "Thing", json!({"spec": {"existingSecret": "bivouac-x"}})),
            Rule::ReservedReference,
            "/spec/existingSecret",
        ),
    ];
    for (hostile, rule, field) in &cases {
        let found: Vec<_> =
            check_with(hostile, &wide()).into_iter().map(|f| (f.rule, f.field)).collect();
        assert_eq!(found, [(*rule, (*field).to_owned())], "{hostile}");
    }
    for (metadata, spec, field) in [
        (json!({}), json!({"volumeName": "pv"}), "/spec/volumeName"),
        (json!({}), json!({"selector": {}}), "/spec/selector"),
        (json!({}), json!({"storageClassName": ""}), "/spec/storageClassName"),
        (
            json!({"annotations": {"pv.kubernetes.io/bind-completed": "yes"}}),
            json!({}),
            "/metadata/annotations/pv.kubernetes.io~1bind-completed",
        ),
        (
            json!({"annotations": {"volume.beta.kubernetes.io/storage-class": ""}}),
            json!({}),
            "/metadata/annotations/volume.beta.kubernetes.io~1storage-class",
        ),
    ] {
        for (hostile, place) in claims_everywhere(&metadata, &spec) {
            let found: Vec<_> =
                check_with(&hostile, &wide()).into_iter().map(|f| (f.rule, f.field)).collect();
            assert_eq!(found, [(Rule::ForeignStorage, format!("{place}{field}"))], "{hostile}");
        }
    }
}

#[test]
fn what_looks_alike_and_harms_nobody_passes() {
    let traefik = json!({"spec": {"routes": [{"match": "Host(`shop-pr-7.example.com`) && PathPrefix(`/api`)", "services": [{"name": "web"}]}]}});
    let istio = json!({"spec": {"hosts": [HOST], "http": [{"route": [{"destination": {"host": "web"}}, {"destination": {"host": "web.camp.svc.cluster.local"}}]}]}});
    let preferred = json!([{"weight": 1, "preference": {"matchExpressions": [{"key": "pool", "operator": "In", "values": ["spot"]}]}}]);
    let spread = json!([{"labelSelector": {}, "topologyKey": "kubernetes.io/hostname"}]);
    let away = json!({"nodeSelectorTerms": [{"matchExpressions": [{"key": "node-role.kubernetes.io/control-plane", "operator": "DoesNotExist"}]}]});
    for fine in [
        object("traefik.io/v1alpha1", "IngressRoute", traefik),
        object("networking.istio.io/v1", "VirtualService", istio),
        pod(
            json!({"hostAliases": [{"ip": "127.0.0.1", "hostnames": ["a"]}], "dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1"]}}),
        ),
        pod(
            json!({"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}}),
        ),
        pod(
            json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": away}}}),
        ),
        pod(
            json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": spread}}}),
        ),
        pod(json!({"nodeName": null, "nodeSelector": null, "containers": null, "volumes": null})),
        pod(
            json!({"nodeName": "", "serviceAccountName": "", "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 600}),
        ),
        claim(
            json!({"spec": {"storageClassName": "fast", "dataSourceRef": {"kind": "PersistentVolumeClaim", "name": "a"}}}),
        ),
        claim(
            json!({"metadata": {"annotations": {"volume.beta.kubernetes.io/storage-class": "fast"}}}),
        ),
        object(
            "apps/v1",
            "Deployment",
            json!({"metadata": {"creationTimestamp": null, "annotations": null}, "status": {"replicas": 3}}),
        ),
        object("v1", "ConfigMap", json!({"metadata": {"uid": "", "managedFields": []}})),
        object("policy/v1", "PodDisruptionBudget", json!({"spec": {"minAvailable": 1}})),
        service(
            json!({"clusterIP": "", "type": "", "ports": [{"port": 80, "nodePort": 0}], "externalName": null}),
        ),
        service(json!({"clusterIP": "None", "clusterIPs": ["None"]})),
        ingress(
            json!({"rules": [{"host": HOST, "http": {"paths": [{"path": "/api(/|$)(.*)", "pathType": "ImplementationSpecific"}]}}]}),
        ),
        super::noted("traefik.ingress.kubernetes.io/service.sticky.cookie", "true"),
        super::noted(
            "nginx.ingress.kubernetes.io/cors-allow-origin",
            "https://*.example.com, https://a.b",
        ),
        super::noted("description", "of no domain; { any }"),
        object("v1", "Secret", json!({"data": {"a": "", "b": null}})),
    ] {
        assert_eq!(check_with(&fine, &wide()), [], "{fine}");
    }
}

#[test]
fn a_certificate_of_the_bundle_may_be_named() {
    let tls = json!({"tls": [{"hosts": [HOST], "secretName": "own"}]});
    let secret =
        object("v1", "Secret", json!({"metadata": {"name": "own"}, "type": "kubernetes.io/tls"}));
    let bundle =
        |objects: &[Value]| Bundle::new(objects.iter().map(bundled).collect(), String::new());
    assert_eq!(guard(&bundle(&[ingress(tls.clone()), secret]), &policy()), []);
    let found = guard(&bundle(&[ingress(tls)]), &policy());
    assert_eq!(found.iter().map(|f| f.rule).collect::<Vec<_>>(), [Rule::TlsSecret]);
}

#[test]
fn a_secret_that_a_chart_drew_at_random_is_not_in_the_repository() {
    let secret = object("v1", "Secret", json!({"data": {"password": "YQ=="}}));
    let mut bundle = Bundle::new(vec![bundled(&secret)], String::new());
    let found = guard(&bundle, &policy());
    assert_eq!(found.iter().map(|f| f.rule).collect::<Vec<_>>(), [Rule::PlainSecret]);
    assert!(!found[0].is_refusal());
    let object = bundle.objects[0].identity();
    bundle.random = vec![RandomField { object, pointer: "/data/password".into() }];
    assert_eq!(guard(&bundle, &policy()), []);
    // Where only some were drawn, the others are named.
    bundle.objects[0].json["data"] = json!({"password": "YQ==", "user": "Yg==", "none": ""});
    let found = guard(&bundle, &policy());
    assert_eq!(
        found.iter().map(|f| f.message.as_str()).collect::<Vec<_>>(),
        [
            "values of this Secret stand in the repository: user; the chart draws the others at random"
        ]
    );
}

#[test]
fn all_findings_are_reported_and_warnings_never_hide_a_refusal() {
    let ports: Vec<Value> = (1..=30).map(|port| json!({"hostPort": port})).collect();
    assert_eq!(check_with(&pod(json!({"containers": [{"ports": ports}]})), &policy()).len(), 30);
    let selector: serde_json::Map<_, _> =
        (0..5_000).map(|n| (format!("label-{n}"), json!("x"))).collect();
    let found = check_with(
        &pod(json!({"nodeSelector": selector, "volumes": [{"name": "a", "hostPath": {}}]})),
        &policy(),
    );
    assert_eq!(found.len(), 2_001);
    assert_eq!(found.iter().filter(|finding| finding.is_refusal()).count(), 1);
    let many: Vec<Value> = (1..=5_000).map(|port| json!({"hostPort": port})).collect();
    assert_eq!(check_with(&pod(json!({"containers": [{"ports": many}]})), &policy()).len(), 2_000);
}

#[test]
fn messages_hold_no_values() {
    let secret = "hunter2-hunter2";
    for hostile in [
        pod(
            json!({"serviceAccountName": secret, "nodeName": secret, "hostPID": secret, "schedulerName": secret}),
        ),
        pod(
            json!({"containers": [{"securityContext": {"procMount": secret, "privileged": secret, "capabilities": {"add": [secret]}}}]}),
        ),
        object("v1", "Secret", json!({"stringData": {"a": secret}, "type": 5})),
        super::noted("nginx.ingress.kubernetes.io/auth-secret", secret),
        super::noted("nginx.ingress.kubernetes.io/rewrite-target", &format!("/;{secret}")),
        claim(json!({"spec": {"volumeName": secret}})),
        service(json!({"clusterIP": secret, "externalIPs": [secret], "type": secret})),
    ] {
        let found = check_with(&hostile, &policy());
        assert!(!found.is_empty(), "{hostile}");
        for line in found.iter().map(Finding::line) {
            assert!(!line.contains(secret), "{line}");
        }
    }
}

const MOUNT: &str = "automountServiceAccountToken";

fn account(rest: Value) -> Value {
    let mut account = object("v1", "ServiceAccount", json!({MOUNT: false}));
    super::merge(&mut account, rest);
    account
}

#[test]
fn pods_may_name_an_account_that_the_bundle_brings_and_no_other() {
    let named = |name: &str, rest: Value| {
        let mut pod = pod(json!({"serviceAccountName": name}));
        super::merge(&mut pod, json!({"spec": rest}));
        pod
    };
    let check = |account: Option<Value>, pod: &Value| -> Vec<(Rule, String)> {
        let objects = account.iter().chain([pod]).map(super::bundled).collect();
        let found = guard(&Bundle::new(objects, String::new()), &super::policy());
        found.into_iter().map(|finding| (finding.rule, finding.field)).collect()
    };
    let web = || Some(account(json!({"metadata": {"name": "web"}})));
    let quiet = json!({MOUNT: false});
    assert_eq!(check(web(), &named("web", quiet.clone())), []);
    let mount = format!("/spec/{MOUNT}");
    assert_eq!(check(web(), &named("web", json!({}))), [(Rule::AccountToken, mount.clone())]);
    assert_eq!(check(web(), &named("web", json!({MOUNT: true}))), [(Rule::AccountToken, mount)]);
    let name = || [(Rule::AccessControl, "/spec/serviceAccountName".to_owned())];
    assert_eq!(check(web(), &named("api", quiet.clone())), name());
    assert_eq!(check(None, &named("web", quiet.clone())), name());
    // The deployer's stays out of reach, also for a bundle that claims to bring it.
    let claimed = Some(account(json!({"metadata": {"name": "bivouac-deployer"}})));
    let found = check(claimed, &named("bivouac-deployer", quiet));
    assert!(found.contains(&name()[0]), "{found:?}");
    assert!(found.iter().any(|(rule, _)| *rule == Rule::GuardrailName), "{found:?}");
}
