//! PURE · the table of rules: id, name, why, what to do, and what would stop the same thing behind the guard.

use super::Severity;

/// The rules. Ids never change their meaning and are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// BV001: a kind that is not on the list.
    KindNotAllowed,
    /// BV002: something outside the camp's namespace.
    ForeignNamespace,
    /// BV003: a host that was not assigned, or a way around hosts.
    HostNotAssigned,
    /// BV004: a container that reaches the node.
    HostAccess,
    /// BV005: a Service that opens a port to the outside.
    ServiceExposure,
    /// BV006: a Service that is an alias for another name.
    ExternalName,
    /// BV007: a name, label or mark that belongs to the service.
    GuardrailName,
    /// BV008: rights and identities.
    AccessControl,
    /// BV009: what Pod Security's level restricted asks for in addition.
    NotRestricted,
    /// BV010: a name that only the cluster would know.
    GeneratedName,
    /// BV011: a pod that asks for a token.
    AccountToken,
    /// BV012: an image from somewhere else.
    ImageRegistry,
    /// BV013: a Secret in plain text.
    PlainSecret,
    /// BV014: a certificate that the bundle does not bring.
    TlsSecret,
    /// BV015: a route to or from something that is not the camp's.
    RouteTarget,
    /// BV016: addresses written by hand behind a Service.
    ManualEndpoints,
    /// BV017: a Secret or `ConfigMap` of the service itself.
    ReservedReference,
    /// BV018: a pod that gets onto nodes that are not for it.
    NodeBypass,
    /// BV019: a pod that asks for certain nodes, runtimes or priorities.
    NodeChoice,
    /// BV020: storage that is not the camp's.
    ForeignStorage,
    /// BV021: values that only a cluster gives.
    ClusterGiven,
    /// BV022: a field that is read here has a type that the API does not know.
    Malformed,
    /// BV023: an autoscaler for something else than a workload of the camp.
    ScaleTarget,
    /// BV024: a pod that would keep the camp from being taken down.
    SlowTeardown,
}

/// What would stop the same thing if the guard missed it; empty text for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind {
    /// By the rights of the deployer's account.
    pub rbac: &'static str,
    /// By the admission policy of `deploy/admission.yaml`.
    pub policy: &'static str,
    /// By the Pod Security level of the namespace.
    pub pod_security: &'static str,
    /// By the API server's own validation of objects.
    pub api: &'static str,
    /// What is left, which only the guard stops.
    pub nothing: &'static str,
}

/// All that is said about a rule in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleInfo {
    /// Which rule.
    pub rule: Rule,
    /// `BV001` …
    pub id: &'static str,
    /// A name for people.
    pub name: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Version of Bivouac that had the rule first.
    pub since: &'static str,
    /// What it finds: Markdown, one point each.
    pub what: &'static [&'static str],
    /// Why.
    pub reason: &'static str,
    /// What to do.
    pub hint: &'static str,
    /// What else would stop it.
    pub behind: Behind,
}

impl Rule {
    /// Everything about this rule.
    #[must_use]
    pub fn info(self) -> &'static RuleInfo {
        // The variants are in the order of the table, which a test holds.
        &RULES[self as usize]
    }

    /// `BV001` …
    #[must_use]
    pub fn id(self) -> &'static str {
        self.info().id
    }

    /// A name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.info().name
    }

    /// How bad it is.
    #[must_use]
    pub fn severity(self) -> Severity {
        self.info().severity
    }
}

const fn behind(
    rbac: &'static str,
    policy: &'static str,
    pod_security: &'static str,
    api: &'static str,
    nothing: &'static str,
) -> Behind {
    Behind { rbac, policy, pod_security, api, nothing }
}

/// All rules, in the order of their ids.
pub const RULES: [RuleInfo; 24] = [
    RuleInfo {
        rule: Rule::KindNotAllowed,
        id: "BV001",
        name: "kind-not-allowed",
        severity: Severity::Refused,
        since: "0.1",
        what: &[
            "a kind that is not on the list; the built-in list and how to change it are in [repository.md](repository.md#specisolation);",
            "whatever the list says: cluster-scoped kinds of Kubernetes (definitions, webhooks, admission policies, storage and priority classes, …) and of common operators, and the guardrails that the service sets itself (ResourceQuota, LimitRange, NetworkPolicy), and kinds of network plug-ins that open more or give a pod another network (Calico, Cilium, Antrea, OVN-Kubernetes, GKE, AWS, Multus).",
        ],
        reason: "kinds that nobody thought of may reach beyond the camp; those of operators do it often. A cluster-scoped object is everybody's.",
        hint: "take the object out of the preview, or ask the platform team to add the kind to `isolation.allowedKinds`.",
        behind: behind(
            "kinds that are not in `bivouac-deployer`; everything cluster-scoped",
            "quotas, LimitRanges, NetworkPolicies and what network plug-ins have for them, definitions, webhooks and rights, whatever the role holds",
            "",
            "",
            "kinds that the deployer's role holds and `allowedKinds` does not",
        ),
    },
    RuleInfo {
        rule: Rule::ForeignNamespace,
        id: "BV002",
        name: "foreign-namespace",
        severity: Severity::Refused,
        since: "0.1",
        what: &[
            "`metadata.namespace` that is not the camp's;",
            "references to another namespace: `dataSourceRef` of claims and of claim templates, `backendRefs` of routes, `certificateRefs` of gateways, any `namespace` or `namespaceSelector` in a kind that is not one of Kubernetes' own;",
            "annotations by which other tools copy Secrets between namespaces (`replicator.v1.mittwald.de/`, `reflector.v1.k8s.emberstack.com/`, `kubed.appscode.com/`, `cert-manager.io/inject-ca-from`).",
        ],
        reason: "a preview may change nothing outside of itself, and read nothing.",
        hint: "leave the namespace out; objects go to the camp's. Where a name is needed, write `{{env.namespace}}` in a `*.yaml.hbs` file.",
        behind: behind(
            "every other namespace",
            "backends and mirrors of routes, sources of claims",
            "",
            "",
            "other references to namespaces inside an object (most need a grant over there too), annotations of tools that copy Secrets",
        ),
    },
    RuleInfo {
        rule: Rule::HostNotAssigned,
        id: "BV003",
        name: "host-not-assigned",
        severity: Severity::Refused,
        since: "0.1",
        what: &[
            "a host of an Ingress rule or `tls` entry, a hostname of an HTTPRoute, GRPCRoute or TLSRoute, a listener of a Gateway, that is not the camp's own;",
            "a rule, `tls` entry, listener or route without host, and `defaultBackend`: they take requests for every host;",
            "TCPRoutes and UDPRoutes: they know no hosts;",
            "an ingress class other than `url.ingressClass`, and any class where that is not set;",
            "a path of an Ingress with blanks or characters of a proxy's configuration;",
            "annotations `external-dns.*` on anything;",
            "annotations of an Ingress that are not on the [short list](#annotations-of-an-ingress).",
        ],
        reason: "a host that is taken gets the visitors, and often the cookies, of somebody else. Annotations can hold configuration of the proxy, name further hosts, or read Secrets of other namespaces.",
        hint: "write `{{env.host}}` in a `*.yaml.hbs` file; it is filled with the camp's host. Take other annotations out.",
        behind: behind(
            "",
            "hosts, TLS hosts, default backends, ingress class, annotations of Ingresses by the same list, `external-dns.*`, host names of routes",
            "",
            "",
            "`ingressClassName` while `url.ingressClass` is not set, paths, routes of other routers than Gateway API's",
        ),
    },
    RuleInfo {
        rule: Rule::HostAccess,
        id: "BV004",
        name: "host-access",
        severity: Severity::Refused,
        since: "0.1",
        what: &[
            "every control of the [Pod Security Standards](https://kubernetes.io/docs/concepts/security/pod-security-standards/)' level *baseline*: `hostNetwork`, `hostPID`, `hostIPC`, `hostPath`, `hostPort`, `hostProcess`, `privileged`, `procMount`, capabilities, seccomp, AppArmor, SELinux, unsafe sysctls, `host` in probes and hooks;",
            "`nodeName`, and priority classes that begin with `system-`;",
            "annotations by which a container runtime or network plug-in gives a pod more: `io.kubernetes.cri-o.`, `io.katacontainers.`, `run.oci.`, `cdi.k8s.io/`, `k8s.v1.cni.cncf.io/`, Istio's own volumes and images;",
            "in kinds that are not Kubernetes' own: the same wherever containers stand, and each of these fields wherever it stands.",
        ],
        reason: "each reaches the node, and with it other people's pods.",
        hint: "take the field out. Instead of `hostPath` use an `emptyDir`, a ConfigMap or a PersistentVolumeClaim; instead of `hostPort` a Service.",
        behind: behind(
            "",
            "`nodeName`, priority classes `system-*`, sysctls, annotations of runtimes and network plug-ins",
            "all controls of *baseline*",
            "",
            "what kinds of operators make pods from",
        ),
    },
    RuleInfo {
        rule: Rule::ServiceExposure,
        id: "BV005",
        name: "service-exposure",
        severity: Severity::Refused,
        since: "0.1",
        what: &[
            "a Service of type `LoadBalancer` or `NodePort`, `nodePort`, `healthCheckNodePort`, `externalIPs`, `loadBalancerIP`, `loadBalancerClass`; `addresses` of a Gateway;",
            "annotations of a Service by which another tool brings it out: `getambassador.io/`, `tailscale.com/`, `service.beta.kubernetes.io/`, `metallb.`, `kube-vip.io/`, `cloud.google.com/`, `networking.gke.io/`, `multicluster.`.",
        ],
        reason: "it opens a port of the cluster past the ingress, may cost money for each preview, and `externalIPs` can take traffic that is meant for others (CVE-2020-8554).",
        hint: "use `ClusterIP`, and an Ingress for what people should reach.",
        behind: behind("", "all of it", "", "", ""),
    },
    RuleInfo {
        rule: Rule::ExternalName,
        id: "BV006",
        name: "external-name",
        severity: Severity::Refused,
        since: "0.1",
        what: &["a Service of type `ExternalName`, or `externalName` in any Service."],
        reason: "behind an Ingress it leads the camp's host to whatever name is written there, also to Services of other namespaces.",
        hint: "use the name itself where it is needed.",
        behind: behind("", "all of it", "", "", ""),
    },
    RuleInfo {
        rule: Rule::GuardrailName,
        id: "BV007",
        name: "guardrail-name",
        severity: Severity::Refused,
        since: "0.1",
        what: &[
            "the name `bivouac`, names that begin with `bivouac-`, the name `kube-root-ca.crt`;",
            "labels and annotations of the domain `bivouac.dev` (also in the templates of pods, jobs and claims), but for those on an object that ask for a wave, a hook or its keeping;",
            "finalizers (also in templates) and owner references.",
        ],
        reason: "these belong to the service or to controllers. A finalizer could keep a camp from being taken down.",
        hint: "choose another name; take the field out.",
        behind: behind(
            "the service's own ServiceAccount and RoleBindings",
            "names, the label `bivouac.dev/guardrail`, foreign environment labels, finalizers, owner references",
            "",
            "",
            "other labels and annotations of `bivouac.dev`",
        ),
    },
    RuleInfo {
        rule: Rule::AccessControl,
        id: "BV008",
        name: "access-control",
        severity: Severity::Refused,
        since: "0.1",
        what: &[
            "kinds of `rbac.authorization.k8s.io`, `authentication.k8s.io`, `authorization.k8s.io` and `certificates.k8s.io`, whatever `allowedKinds` says;",
            "pods with a `serviceAccountName` other than `default` or that of a ServiceAccount which the bundle brings; in kinds that are not Kubernetes' own, any such field other than `default`;",
            "annotations that give a pod an identity of the cloud (`iam.amazonaws.com/role`); on a ServiceAccount, all but those of tools that only look (`helm.sh/…`);",
            "Secrets of type `kubernetes.io/service-account-token`.",
        ],
        reason: "a preview needs no rights in the cluster, and another account's rights are not its own.",
        hint: "take the object or the field out. Use a Secret of type `Opaque`.",
        behind: behind(
            "roles, bindings, tokens",
            "accounts of pods that get a token, annotations of ServiceAccounts, Secrets that ask for a token",
            "",
            "",
            "annotations of pods; an account that the bundle does not bring, named without its token",
        ),
    },
    RuleInfo {
        rule: Rule::NotRestricted,
        id: "BV009",
        name: "not-restricted",
        severity: Severity::Refused,
        since: "0.2",
        what: &[
            "where `isolation.podSecurity` is `Restricted`, what the level asks for in addition: `runAsNonRoot: true`, no `runAsUser: 0`, `allowPrivilegeEscalation: false`, `capabilities.drop: [ALL]`, a seccomp profile, and no volumes but `configMap`, `csi`, `downwardAPI`, `emptyDir`, `ephemeral`, `persistentVolumeClaim`, `projected` and `secret`. Pods with `os.name: windows` are spared what Windows does not have.",
        ],
        reason: "the API server would take the Deployment and then refuse each of its pods, which nobody sees but who looks for it.",
        hint: "add the fields, or ask the platform team for `podSecurity: Baseline`.",
        behind: behind("", "", "all of it, but only when the pods are made", "", ""),
    },
    RuleInfo {
        rule: Rule::GeneratedName,
        id: "BV010",
        name: "generated-name",
        severity: Severity::Refused,
        since: "0.2",
        what: &["`metadata.generateName`."],
        reason: "the same commit must give the same objects; each run would make one more.",
        hint: "write `metadata.name`.",
        behind: behind("", "", "", "", "**all of it**"),
    },
    RuleInfo {
        rule: Rule::AccountToken,
        id: "BV011",
        name: "account-token",
        severity: Severity::Refused,
        since: "0.2",
        what: &[
            "`automountServiceAccountToken: true` in a pod. In a ServiceAccount rendering sets it to `false`, and in pods that name one, so that a chart's default works; a note says so;",
            "projected volumes with a `serviceAccountToken` or a `podCertificate`.",
        ],
        reason: "a token is an identity in the cluster, and with an `audience` also at others that trust the cluster. The code of a pull request needs none.",
        hint: "take it out; pods of a preview run without rights in the cluster.",
        behind: behind(
            "",
            "tokens that are mounted or projected",
            "",
            "",
            "what the account `default` may do is your cluster's choice",
        ),
    },
    RuleInfo {
        rule: Rule::ImageRegistry,
        id: "BV012",
        name: "image-registry",
        severity: Severity::Refused,
        since: "0.2",
        what: &[
            "where `isolation.imageRegistries` is set, images of containers and of `image` volumes that none of its prefixes covers; in kinds that are not Kubernetes' own, each field called `image`.",
            "Names are read as Docker reads them: `nginx` is `docker.io/library/nginx`. A prefix covers whole parts of a path: `ghcr.io/acme` covers `ghcr.io/acme/web:1` and not `ghcr.io/acme-evil/web`.",
        ],
        reason: "the platform team decided where images come from.",
        hint: "use an image of a listed registry, or ask the platform team to add its prefix to `isolation.imageRegistries`.",
        behind: behind(
            "",
            "all of it, in Kubernetes' own kinds",
            "",
            "",
            "images in kinds of operators",
        ),
    },
    RuleInfo {
        rule: Rule::PlainSecret,
        id: "BV013",
        name: "plain-secret",
        severity: Severity::Warning,
        since: "0.2",
        what: &[
            "a Secret whose values stand in the repository. A SealedSecret or an ExternalSecret is fine, and so is a Secret that a chart fills with random values.",
        ],
        reason: "whoever can read the repository can read it, for ever.",
        hint: "keep only values that are worth nothing; for others use a SealedSecret or an ExternalSecret.",
        behind: behind("", "", "", "", "**all of it**"),
    },
    RuleInfo {
        rule: Rule::TlsSecret,
        id: "BV014",
        name: "tls-secret",
        severity: Severity::Refused,
        since: "0.2",
        what: &[
            "`secretName` in `tls` of an Ingress, or `certificateRefs` of a Gateway, naming a Secret that the bundle does not bring. Where `url.tls` is `PerHost`, an Ingress with the annotation `cert-manager.io/cluster-issuer` of that issuer may name the Secret that is to be made.",
        ],
        reason: "a certificate that lies in the camp for another purpose would be served at the word of a pull request.",
        hint: "leave `secretName` out: the ingress controller serves its own certificate.",
        behind: behind("", "", "", "", "**all of it**"),
    },
    RuleInfo {
        rule: Rule::RouteTarget,
        id: "BV015",
        name: "route-target",
        severity: Severity::Refused,
        since: "0.2",
        what: &[
            "`parentRefs` other than the gateway of `url.gateway`, and `useDefaultGateways`;",
            "backends that are no Services;",
            "filters other than `RequestHeaderModifier`, `ResponseHeaderModifier`, `RequestRedirect` and `URLRewrite`: a mirror or an extension sends requests elsewhere, or to code that nobody looked at.",
        ],
        reason: "another gateway may be an internal one; a filter of an extension may be anything.",
        hint: "leave routes to `expose` in the preview file, or name the assigned gateway.",
        behind: behind(
            "",
            "the gateway, backends and mirrors; TCPRoute and UDPRoute never",
            "",
            "",
            "filters, names of listeners",
        ),
    },
    RuleInfo {
        rule: Rule::ManualEndpoints,
        id: "BV016",
        name: "manual-endpoints",
        severity: Severity::Refused,
        since: "0.2",
        what: &[
            "a Service without `selector`; Endpoints and EndpointSlices, whatever `allowedKinds` says.",
        ],
        reason: "addresses written by hand lead the camp's host to pods of others, or to the metadata service of the cloud.",
        hint: "give the Service a selector.",
        behind: behind(
            "Endpoints and EndpointSlices",
            "EndpointSlices, whatever the role holds",
            "",
            "",
            "Services without a selector, which lead nowhere alone",
        ),
    },
    RuleInfo {
        rule: Rule::ReservedReference,
        id: "BV017",
        name: "reserved-reference",
        severity: Severity::Refused,
        since: "0.2",
        what: &[
            "Secrets and ConfigMaps named `bivouac-*` in `env`, `envFrom`, volumes or `imagePullSecrets`, and in any field of a kind that is not Kubernetes' own whose name speaks of a secret. The ConfigMap `bivouac-env` is there to be read.",
        ],
        reason: "the service keeps its own things in the camp under these names.",
        hint: "name an object of your own.",
        behind: behind("", "", "", "", "**all of it**"),
    },
    RuleInfo {
        rule: Rule::NodeBypass,
        id: "BV018",
        name: "node-bypass",
        severity: Severity::Refused,
        since: "0.2",
        what: &[
            "tolerations without `key`, and of taints `node-role.kubernetes.io/*`;",
            "`nodeSelector` and node affinity by `kubernetes.io/hostname`, `metadata.name` or `node-role.kubernetes.io/*`;",
            "`schedulerName` other than `default-scheduler`.",
        ],
        reason: "it gets the code of a pull request onto the control plane or a node that was kept for something else.",
        hint: "take it out; the scheduler finds a node.",
        behind: behind(
            "",
            "",
            "",
            "",
            "**all of it** (the cluster's `PodNodeSelector` or `PodTolerationRestriction` may)",
        ),
    },
    RuleInfo {
        rule: Rule::NodeChoice,
        id: "BV019",
        name: "node-choice",
        severity: Severity::Warning,
        since: "0.2",
        what: &[
            "other tolerations and node selectors (but for `kubernetes.io/os` and `kubernetes.io/arch`, and for nodes that are not ready), required node affinity, `runtimeClassName`, `priorityClassName`.",
        ],
        reason: "pools, runtimes and priorities of production may be missing where previews run, or be meant for production alone.",
        hint: "take it out of the preview.",
        behind: behind("", "", "", "names that do not exist", "**all of it**"),
    },
    RuleInfo {
        rule: Rule::ForeignStorage,
        id: "BV020",
        name: "foreign-storage",
        severity: Severity::Refused,
        since: "0.2",
        what: &[
            "`volumeName`, `selector` and `storageClassName: \"\"` of a PersistentVolumeClaim, also in claim templates and ephemeral volumes, and the annotations `pv.kubernetes.io/`, `volume.kubernetes.io/` and `volume.beta.kubernetes.io/`: they bind a volume that was made beforehand;",
            "volumes that name storage on the network or a disk by its address: `nfs`, `iscsi`, `cephfs`, `rbd`, `glusterfs`, `fc`, `flexVolume`, disks of clouds and the like.",
        ],
        reason: "the node mounts it with its own rights; the data may be anybody's.",
        hint: "ask for storage by a PersistentVolumeClaim with a storage class, or use an `emptyDir`.",
        behind: behind(
            "",
            "claims that are filled from another namespace",
            "volumes on the network, at level *restricted* only",
            "",
            "claims that choose their volume; at *baseline* also volumes on the network",
        ),
    },
    RuleInfo {
        rule: Rule::ClusterGiven,
        id: "BV021",
        name: "cluster-given",
        severity: Severity::Refused,
        since: "0.2",
        what: &[
            "`resourceVersion`, `uid`, `selfLink`, `managedFields`, `deletionTimestamp` in `metadata`, and the annotation `kubectl.kubernetes.io/last-applied-configuration`;",
            "`clusterIP` and `clusterIPs` of a Service other than `None`.",
        ],
        reason: "the object was copied out of a cluster: these values belong to that one, can't hold in a new namespace, and `last-applied-configuration` repeats all the rest, also what was a secret.",
        hint: "take them out; `kubectl get -o yaml` prints more than belongs in a file.",
        behind: behind(
            "",
            "",
            "",
            "most of it, with a message that is harder to read",
            "the annotation",
        ),
    },
    RuleInfo {
        rule: Rule::Malformed,
        id: "BV022",
        name: "malformed",
        severity: Severity::Refused,
        since: "0.2",
        what: &[
            "a field that another rule has to read and that has a type which the API does not know there: `containers` that is no list, `securityContext` that is a string.",
        ],
        reason: "what can't be read can't be let through.",
        hint: "write the field as the Kubernetes API has it; `kubectl explain` shows it.",
        behind: behind(
            "",
            "",
            "",
            "all of it, for Kubernetes' own kinds",
            "kinds of operators without a strict schema",
        ),
    },
    RuleInfo {
        rule: Rule::ScaleTarget,
        id: "BV023",
        name: "scale-target",
        severity: Severity::Refused,
        since: "0.2",
        what: &[
            "a HorizontalPodAutoscaler whose `scaleTargetRef` is a kind that a preview may not hold.",
        ],
        reason: "the cluster's own controller changes it, with rights that a preview does not have.",
        hint: "name a Deployment or StatefulSet of the preview.",
        behind: behind(
            "",
            "",
            "",
            "",
            "**all of it** (the target is always in the camp's namespace)",
        ),
    },
    RuleInfo {
        rule: Rule::SlowTeardown,
        id: "BV024",
        name: "slow-teardown",
        severity: Severity::Refused,
        since: "0.2",
        what: &["`terminationGracePeriodSeconds` over 600."],
        reason: "a camp that is taken down waits for its pods, and its node's room with it.",
        hint: "use 600 seconds or fewer.",
        behind: behind("", "", "", "", "**all of it**"),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_stands_at_its_place_with_an_id_and_a_name_of_its_own() {
        for (index, info) in RULES.iter().enumerate() {
            assert_eq!(info.rule as usize, index);
            assert_eq!(info.id, format!("BV{:03}", index + 1));
            assert_eq!(info.rule.info(), info);
            assert!(RULES.iter().filter(|other| other.name == info.name).count() == 1);
            assert!(
                !info.what.is_empty() && info.hint.ends_with('.') && info.reason.ends_with('.')
            );
        }
    }
}
