//! For each rule what it refuses and the good twin that it lets through. `docs/guard.md` shows them.

use super::yaml::objects;
use crate::domain::bundle::Bundle;
use crate::domain::guard::{Finding, Gateway, GroupKind, GuardPolicy, PodSecurity, Rule, guard};

/// Where the examples stand.
pub(super) const FILE: &str = "deploy/preview/web.yaml";

/// One pair.
pub(super) struct Example {
    pub(super) rule: Rule,
    pub(super) title: &'static str,
    /// What the Repository says, when it matters.
    pub(super) setting: &'static str,
    pub(super) refused: &'static str,
    pub(super) mended: &'static str,
}

/// What the guard says about a text of `example`.
pub(super) fn of_example(example: &Example, text: &str) -> Vec<Finding> {
    let policy = policy(example.setting);
    let file = if text.contains("{{") { format!("{FILE}.hbs") } else { FILE.to_owned() };
    let host = policy.assigned_hosts.first().expect("examples have a host").clone();
    let text =
        text.trim().replace("{{env.host}}", &host).replace("{{env.namespace}}", &policy.namespace);
    let objects = objects(&text, &file, &policy.namespace);
    guard(&Bundle::new(objects, String::new()), &policy)
}

fn policy(setting: &str) -> GuardPolicy {
    let mut policy =
        GuardPolicy::new("camp-shop-pr-7-1a2b3c4d", &["shop-pr-7.preview.example.com".into()]);
    policy.ingress_class = Some("nginx".into());
    for setting in setting.split(" · ") {
        match setting {
            "" => {}
            "podSecurity: Restricted" => policy.pod_security = PodSecurity::Restricted,
            "imageRegistries: [ghcr.io/acme]" => {
                policy.image_registries = vec!["ghcr.io/acme".into()];
            }
            "gateway: {namespace: infra, name: previews}" => {
                policy.gateway = Some(Gateway {
                    namespace: "infra".into(),
                    name: "previews".into(),
                    section: None,
                });
            }
            "tls: {PerHost: {clusterIssuer: letsencrypt}}" => {
                policy.tls_issuer = Some("letsencrypt".into());
            }
            other => {
                let kind = other.strip_prefix("allowedKinds: […, ").expect("a known setting");
                let kind = GroupKind::parse(kind.trim_end_matches(']'));
                policy.allowed_kinds.insert(kind);
            }
        }
    }
    policy
}

#[test]
fn each_example_is_refused_by_its_rule_alone_and_its_twin_passes() {
    for example in EXAMPLES {
        let found = of_example(example, example.refused);
        assert!(!found.is_empty(), "{} is let through", example.title);
        for finding in &found {
            assert_eq!(finding.rule, example.rule, "{}: {}", example.title, finding.line());
            assert!(finding.origin.line > 0 && finding.message.len() < 300, "{}", finding.line());
        }
        let mended = of_example(example, example.mended);
        let lines: Vec<String> = mended.iter().map(Finding::line).collect();
        assert!(lines.is_empty(), "{}: {lines:?}", example.title);
    }
}

#[test]
fn a_finding_stands_at_the_line_of_its_field() {
    for (title, line) in [
        ("Host namespaces", 8),
        ("A Service of type LoadBalancer", 5),
        ("A container without limits to its rights", 7),
    ] {
        let example = EXAMPLES.iter().find(|e| e.title == title).expect("is in the table");
        assert_eq!(of_example(example, example.refused)[0].origin.line, line, "{title}");
    }
}

const fn pair(
    rule: Rule,
    title: &'static str,
    setting: &'static str,
    refused: &'static str,
    mended: &'static str,
) -> Example {
    Example { rule, title, setting, refused, mended }
}

/// All pairs, in the order in which the page shows them.
pub(super) const EXAMPLES: &[Example] = &[
    pair(
        Rule::KindNotAllowed,
        "A kind of an operator",
        "",
        "
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata: {name: web}
spec: {selector: {matchLabels: {app: web}}}",
        "
apiVersion: v1
kind: ConfigMap
metadata: {name: web}
data: {scrape: 'no'}",
    ),
    pair(
        Rule::KindNotAllowed,
        "A cluster-scoped kind",
        "",
        "
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: web}
value: 1000000",
        "
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web}
spec: {maxUnavailable: 1, selector: {matchLabels: {app: web}}}",
    ),
    pair(
        Rule::ForeignNamespace,
        "An object of another namespace",
        "",
        "
apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
  namespace: production
data: {level: debug}",
        "
apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
data: {level: debug}",
    ),
    pair(
        Rule::ForeignNamespace,
        "A Secret copied from another namespace",
        "",
        "
apiVersion: v1
kind: Secret
metadata:
  name: database
  annotations:
    replicator.v1.mittwald.de/replicate-from: production/database",
        "
apiVersion: v1
kind: Secret
metadata:
  name: database",
    ),
    pair(
        Rule::HostNotAssigned,
        "A host of somebody else",
        "",
        "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec:
  rules:
    - host: www.example.com
      http:
        paths:
          - {path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}",
        "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec:
  rules:
    - host: \"{{env.host}}\"
      http:
        paths:
          - {path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}",
    ),
    pair(
        Rule::HostNotAssigned,
        "An annotation with configuration of the proxy",
        "",
        "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: web
  annotations:
    nginx.ingress.kubernetes.io/configuration-snippet: 'more_set_headers \"X: y\";'
spec:
  rules: [{host: \"{{env.host}}\"}]",
        "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: web
  annotations:
    nginx.ingress.kubernetes.io/proxy-body-size: 8m
spec:
  rules: [{host: \"{{env.host}}\"}]",
    ),
    pair(
        Rule::HostAccess,
        "Host namespaces",
        "",
        "
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec: {hostNetwork: true, containers: [{name: agent, image: ghcr.io/acme/agent:1}]}",
        "
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec: {containers: [{name: agent, image: ghcr.io/acme/agent:1}]}",
    ),
    pair(
        Rule::HostAccess,
        "A volume of the node and a privileged container",
        "",
        "
apiVersion: v1
kind: Pod
metadata: {name: tool}
spec:
  containers:
    - name: tool
      image: ghcr.io/acme/tool:1
      securityContext: {privileged: true}
  volumes:
    - name: data
      hostPath: {path: /var/lib}",
        "
apiVersion: v1
kind: Pod
metadata: {name: tool}
spec:
  containers:
    - name: tool
      image: ghcr.io/acme/tool:1
      securityContext: {privileged: false}
  volumes:
    - name: data
      emptyDir: {}",
    ),
    pair(
        Rule::HostAccess,
        "A pod in a kind of an operator",
        "allowedKinds: […, Rollout.argoproj.io]",
        "
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: web}
spec:
  template:
    spec:
      containers:
        - name: web
          image: ghcr.io/acme/web:1
          ports: [{containerPort: 80, hostPort: 80}]",
        "
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: web}
spec:
  template:
    spec:
      containers:
        - name: web
          image: ghcr.io/acme/web:1
          ports: [{containerPort: 80}]",
    ),
    pair(
        Rule::ServiceExposure,
        "A Service of type LoadBalancer",
        "",
        "
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: LoadBalancer
  selector: {app: web}
  ports: [{port: 80}]",
        "
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: ClusterIP
  selector: {app: web}
  ports: [{port: 80}]",
    ),
    pair(
        Rule::ExternalName,
        "An alias",
        "",
        "
apiVersion: v1
kind: Service
metadata: {name: db}
spec:
  type: ExternalName
  externalName: db.production.svc.cluster.local",
        "
apiVersion: v1
kind: ConfigMap
metadata: {name: web}
data: {DATABASE_HOST: db.previews.example.com}",
    ),
    pair(
        Rule::GuardrailName,
        "A name of the service",
        "",
        "
apiVersion: v1
kind: ConfigMap
metadata:
  name: bivouac-env
  finalizers: [example.com/wait]
data: {BIVOUAC_URL: https://www.example.com}",
        "
apiVersion: v1
kind: ConfigMap
metadata:
  name: web-env
data: {URL: https://www.example.com}",
    ),
    pair(
        Rule::AccessControl,
        "A role",
        "",
        "
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: web}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: edit}
subjects: [{kind: ServiceAccount, name: default}]",
        "
apiVersion: v1
kind: ConfigMap
metadata: {name: web}",
    ),
    pair(
        Rule::AccessControl,
        "Another account",
        "",
        "
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  serviceAccountName: bivouac-deployer
  containers: [{name: web, image: ghcr.io/acme/web:1}]",
        "
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers: [{name: web, image: ghcr.io/acme/web:1}]",
    ),
    pair(
        Rule::AccessControl,
        "An account with a role of the cloud",
        "",
        "
apiVersion: v1
kind: ServiceAccount
metadata:
  name: web
  annotations:
    eks.amazonaws.com/role-arn: arn:aws:iam::123456789012:role/web
automountServiceAccountToken: false",
        "
apiVersion: v1
kind: ServiceAccount
metadata:
  name: web
automountServiceAccountToken: false
---
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  serviceAccountName: web
  automountServiceAccountToken: false
  containers: [{name: web, image: ghcr.io/acme/web:1}]",
    ),
    pair(
        Rule::NotRestricted,
        "A container without limits to its rights",
        "podSecurity: Restricted",
        "
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
    # Nothing is said about rights.
    - name: web
      image: ghcr.io/acme/web:1",
        "
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  securityContext:
    runAsNonRoot: true
    seccompProfile: {type: RuntimeDefault}
  containers:
    - name: web
      image: ghcr.io/acme/web:1
      securityContext:
        allowPrivilegeEscalation: false
        capabilities: {drop: [ALL]}",
    ),
    pair(
        Rule::GeneratedName,
        "A Job with a new name each time",
        "",
        "
apiVersion: batch/v1
kind: Job
metadata:
  name: migrate
  generateName: migrate-
spec:
  template:
    spec: {restartPolicy: Never, containers: [{name: migrate, image: ghcr.io/acme/web:1}]}",
        "
apiVersion: batch/v1
kind: Job
metadata:
  name: migrate
spec:
  template:
    spec: {restartPolicy: Never, containers: [{name: migrate, image: ghcr.io/acme/web:1}]}",
    ),
    pair(
        Rule::AccountToken,
        "A token by request and a token in a volume",
        "",
        "
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  automountServiceAccountToken: true
  containers: [{name: web, image: ghcr.io/acme/web:1}]
  volumes:
    - name: token
      projected: {sources: [{serviceAccountToken: {path: token, audience: vault}}]}",
        "
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  automountServiceAccountToken: false
  containers: [{name: web, image: ghcr.io/acme/web:1}]
  volumes:
    - name: token
      projected: {sources: [{configMap: {name: web}}]}",
    ),
    pair(
        Rule::ImageRegistry,
        "An image of Docker Hub",
        "imageRegistries: [ghcr.io/acme]",
        "
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers: [{name: web, image: 'nginx:1.29'}]",
        "
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers: [{name: web, image: 'ghcr.io/acme/nginx:1.29'}]",
    ),
    pair(
        Rule::PlainSecret,
        "A password in the repository",
        "",
        "
apiVersion: v1
kind: Secret
metadata: {name: database}
stringData: {password: preview}",
        "
apiVersion: v1
kind: Secret
metadata: {name: database}
stringData: {password: ''}",
    ),
    pair(
        Rule::PlainSecret,
        "The same, sealed",
        "allowedKinds: […, SealedSecret.bitnami.com]",
        "
apiVersion: v1
kind: Secret
metadata: {name: database}
data: {password: cHJldmlldw==}",
        "
apiVersion: bitnami.com/v1alpha1
kind: SealedSecret
metadata: {name: database}
spec: {encryptedData: {password: AgBy3i4OJSWK}}",
    ),
    pair(
        Rule::TlsSecret,
        "A certificate that is not in the bundle",
        "",
        "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec:
  rules: [{host: \"{{env.host}}\"}]
  tls:
    - hosts: [\"{{env.host}}\"]
      secretName: wildcard",
        "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec:
  rules: [{host: \"{{env.host}}\"}]
  tls:
    - hosts: [\"{{env.host}}\"]",
    ),
    pair(
        Rule::TlsSecret,
        "A certificate that is to be made",
        "tls: {PerHost: {clusterIssuer: letsencrypt}}",
        "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec:
  rules: [{host: \"{{env.host}}\"}]
  tls: [{hosts: [\"{{env.host}}\"], secretName: web-tls}]",
        "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: web
  annotations: {cert-manager.io/cluster-issuer: letsencrypt}
spec:
  rules: [{host: \"{{env.host}}\"}]
  tls: [{hosts: [\"{{env.host}}\"], secretName: web-tls}]",
    ),
    pair(
        Rule::RouteTarget,
        "Another gateway",
        "gateway: {namespace: infra, name: previews}",
        "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web}
spec:
  parentRefs: [{namespace: infra, name: internal}]
  hostnames: [\"{{env.host}}\"]
  rules:
    - backendRefs: [{name: web, port: 80}]",
        "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web}
spec:
  parentRefs: [{namespace: infra, name: previews}]
  hostnames: [\"{{env.host}}\"]
  rules:
    - backendRefs: [{name: web, port: 80}]",
    ),
    pair(
        Rule::RouteTarget,
        "A mirror",
        "gateway: {namespace: infra, name: previews}",
        "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web}
spec:
  parentRefs: [{namespace: infra, name: previews}]
  hostnames: [\"{{env.host}}\"]
  rules:
    - backendRefs: [{name: web, port: 80}]
      filters:
        - type: RequestMirror
          requestMirror: {backendRef: {name: recorder, port: 80}}",
        "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web}
spec:
  parentRefs: [{namespace: infra, name: previews}]
  hostnames: [\"{{env.host}}\"]
  rules:
    - backendRefs: [{name: web, port: 80}]
      filters:
        - type: RequestHeaderModifier
          requestHeaderModifier: {set: [{name: X-Preview, value: '7'}]}",
    ),
    pair(
        Rule::ManualEndpoints,
        "A Service without selector",
        "",
        "
apiVersion: v1
kind: Service
metadata: {name: db}
spec:
  ports: [{port: 5432}]",
        "
apiVersion: v1
kind: Service
metadata: {name: db}
spec:
  selector: {app: db}
  ports: [{port: 5432}]",
    ),
    pair(
        Rule::ReservedReference,
        "A Secret of the service",
        "",
        "
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
    - name: web
      image: ghcr.io/acme/web:1
      envFrom:
        - secretRef: {name: bivouac-deployer}",
        "
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
    - name: web
      image: ghcr.io/acme/web:1
      envFrom:
        - configMapRef: {name: bivouac-env}",
    ),
    pair(
        Rule::NodeBypass,
        "Every node, the control plane included",
        "",
        "
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  tolerations:
    - operator: Exists
  nodeSelector:
    node-role.kubernetes.io/control-plane: ''
  containers: [{name: web, image: ghcr.io/acme/web:1}]",
        "
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  tolerations:
    - {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 30}
  nodeSelector:
    kubernetes.io/arch: amd64
  containers: [{name: web, image: ghcr.io/acme/web:1}]",
    ),
    pair(
        Rule::NodeChoice,
        "Nodes and a priority of production",
        "",
        "
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  nodeSelector: {pool: production}
  priorityClassName: high
  containers: [{name: web, image: ghcr.io/acme/web:1}]",
        "
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers: [{name: web, image: ghcr.io/acme/web:1}]",
    ),
    pair(
        Rule::ForeignStorage,
        "A volume that was made beforehand",
        "",
        "
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec:
  accessModes: [ReadWriteOnce]
  volumeName: pv-of-production
  resources: {requests: {storage: 1Gi}}",
        "
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: standard
  resources: {requests: {storage: 1Gi}}",
    ),
    pair(
        Rule::ForeignStorage,
        "A share on the network",
        "",
        "
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers: [{name: web, image: ghcr.io/acme/web:1}]
  volumes:
    - name: data
      nfs: {server: nfs.production.example.com, path: /}",
        "
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers: [{name: web, image: ghcr.io/acme/web:1}]
  volumes:
    - name: data
      persistentVolumeClaim: {claimName: data}",
    ),
    pair(
        Rule::ClusterGiven,
        "An object copied out of a cluster",
        "",
        "
apiVersion: v1
kind: Service
metadata:
  name: web
  resourceVersion: '4711'
  uid: 8c3f5a52-0f6e-4a9e-8d7b-0c1b8f3f2a10
spec:
  clusterIP: 10.96.0.17
  selector: {app: web}
  ports: [{port: 80}]",
        "
apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  selector: {app: web}
  ports: [{port: 80}]",
    ),
    pair(
        Rule::Malformed,
        "Containers as a mapping",
        "",
        "
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers: {name: web, image: 'ghcr.io/acme/web:1'}",
        "
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers: [{name: web, image: 'ghcr.io/acme/web:1'}]",
    ),
    pair(
        Rule::ScaleTarget,
        "An autoscaler for a kind of an operator",
        "",
        "
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  maxReplicas: 3
  scaleTargetRef: {apiVersion: postgresql.cnpg.io/v1, kind: Cluster, name: db}",
        "
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  maxReplicas: 3
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}",
    ),
    pair(
        Rule::SlowTeardown,
        "An hour to end",
        "",
        "
apiVersion: v1
kind: Pod
metadata: {name: worker}
spec:
  terminationGracePeriodSeconds: 3600
  containers: [{name: worker, image: ghcr.io/acme/web:1}]",
        "
apiVersion: v1
kind: Pod
metadata: {name: worker}
spec:
  terminationGracePeriodSeconds: 60
  containers: [{name: worker, image: ghcr.io/acme/web:1}]",
    ),
];
