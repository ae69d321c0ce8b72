//! Manifests that want more of the cluster than a preview has. Each rule of the guard has tests of its own; these go the
//! whole way.

use super::{Case, files, numbered};

fn one(name: &'static str, text: &str) -> Case {
    files(name, &[("deploy/a.yaml", text)])
}

fn pod(name: &'static str, spec: &str) -> Case {
    let text = format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  selector: {{matchLabels: {{app: web}}}}\n  \
         template:\n    metadata: {{labels: {{app: web}}}}\n    spec: {spec}\n"
    );
    one(name, &text)
}

/// All of them.
#[expect(clippy::too_many_lines, reason = "a list, one line of thought each")]
pub(crate) fn cases() -> Vec<Case> {
    vec![
        one(
            "rights over the cluster",
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: a}\nroleRef: {kind: ClusterRole, name: cluster-admin, apiGroup: rbac.authorization.k8s.io}\nsubjects: [{kind: User, name: me}]\n",
        ),
        one(
            "a namespace of others",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: kube-system}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: default}\n",
        ),
        one(
            "an object of a list of lists",
            "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: List\n  items:\n  - apiVersion: v1\n    kind: Namespace\n    metadata: {name: kube-system}\n",
        ),
        one(
            "a name that is made up by the server",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: a-}\n",
        ),
        one("a kind that is a number", "apiVersion: v1\nkind: 7\nmetadata: {name: a}\n"),
        one(
            "a name with a path",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ../../pods}\n",
        ),
        one(
            "a name of 300 characters",
            &format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {}}}\n", "n".repeat(300)),
        ),
        one(
            "an API version with a path",
            "apiVersion: ../../api/v1\nkind: ConfigMap\nmetadata: {name: a}\n",
        ),
        one(
            "a webhook of the cluster",
            "apiVersion: admissionregistration.k8s.io/v1\nkind: MutatingWebhookConfiguration\nmetadata: {name: a}\nwebhooks: []\n",
        ),
        one(
            "a definition that says nothing",
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: as.example.com}\nspec: {}\n",
        ),
        one(
            "a definition of a kind",
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: as.example.com}\nspec: {group: example.com, scope: Namespaced, names: {kind: A, plural: as}, versions: [{name: v1, served: true, storage: true}]}\n",
        ),
        one(
            "a definition with an odd name of a version",
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: as.example.com}\nspec: {group: example.com, scope: Namespaced, names: {kind: A, plural: as}, versions: [{name: \"v1\\e[31m\", served: true, storage: true}]}\n",
        ),
        one(
            "the deployer's account",
            "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: bivouac-deployer}\n",
        ),
        one(
            "an account with a role of the cloud",
            "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a, annotations: {eks.amazonaws.com/role-arn: \"arn:aws:iam::1:role/a\"}}\n",
        ),
        one(
            "a token of a service account",
            "apiVersion: v1\nkind: Secret\nmetadata: {name: a, annotations: {kubernetes.io/service-account.name: bivouac-deployer}}\ntype: kubernetes.io/service-account-token\n",
        ),
        one(
            "another name for a host of the cluster",
            "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {type: ExternalName, externalName: kubernetes.default.svc}\n",
        ),
        one(
            "traffic of others",
            "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {externalIPs: [1.1.1.1], ports: [{port: 53}]}\n",
        ),
        one(
            "a host of others",
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a}\nspec: {rules: [{host: www.example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: a, port: {number: 80}}}}]}}]}\n",
        ),
        one(
            "a snippet for the ingress controller",
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a, annotations: {nginx.ingress.kubernetes.io/configuration-snippet: \"lua_package_path x;\"}}\nspec: {rules: [{host: hostile-pr-7.preview.example.com}]}\n",
        ),
        one(
            "a guardrail's name",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bivouac-env}\n",
        ),
        one(
            "a label of the service",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: {bivouac.dev/guardrail: \"true\"}}\n",
        ),
        one(
            "a finalizer that holds up the teardown",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, finalizers: [example.com/never]}\n",
        ),
        pod(
            "the node's files",
            "{containers: [{name: a, image: nginx}], volumes: [{name: h, hostPath: {path: /}}]}",
        ),
        pod("the node's network", "{hostNetwork: true, containers: [{name: a, image: nginx}]}"),
        pod(
            "all rights on the node",
            "{containers: [{name: a, image: nginx, securityContext: {privileged: true}}]}",
        ),
        pod(
            "all rights on the node, as a word",
            "{containers: [{name: a, image: nginx, securityContext: {privileged: \"true\"}}]}",
        ),
        pod(
            "a token by projection",
            "{containers: [{name: a, image: nginx}], volumes: [{name: t, projected: {sources: [{serviceAccountToken: {path: t}}]}}]}",
        ),
        pod(
            "another service account",
            "{serviceAccountName: bivouac-deployer, containers: [{name: a, image: nginx}]}",
        ),
        files(
            "one object twice",
            &[
                ("deploy/a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"),
                ("deploy/b.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"),
            ],
        ),
        one(
            "1,000 objects",
            &numbered(1000, |n| {
                format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a{n}}}\n")
            }),
        ),
    ]
}
