//! What stands in the world before the service comes: people and their repository at the forge, and what the platform
//! team applied to the cluster. I/O with both.

use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use super::{
    BOT, DOMAIN, FILES, GATE, GATEKEEPER, MAINTAINER, NAME, NAMESPACE, REPOSITORY, STRANGER,
};
use crate::sandbox::github::{GitHub, Role};
use crate::seams::{BoxError, Rng};

pub(super) const DEFINITIONS: &str = include_str!("../../../deploy/crds.yaml");
pub(super) const ROLES: &str = include_str!("../../../deploy/rbac.yaml");
pub(super) const POLICIES: &str = include_str!("../../../deploy/admission.yaml");

/// Tokens at the forge.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// Of the service's account.
    pub service: String,
    /// Of the maintainer.
    pub maintainer: String,
}

/// Who is at the forge.
pub(super) struct Accounts {
    pub(super) tokens: Tokens,
    pub(super) webhook_secret: String,
}

impl Accounts {
    /// People, the service's account, and the repository with its first commit.
    pub(super) fn populate(github: &GitHub, rng: &Rng) -> Result<Self, BoxError> {
        for person in [MAINTAINER, STRANGER, BOT] {
            github.create_user(person)?;
        }
        let (organisation, _) = REPOSITORY.split_once('/').unwrap_or((REPOSITORY, ""));
        github.create_org(organisation, MAINTAINER)?;
        github.create_repo(REPOSITORY)?;
        github.add_collaborator(REPOSITORY, MAINTAINER, Role::Admin)?;
        github.add_collaborator(REPOSITORY, BOT, Role::Write)?;
        let files = FILES.iter().copied().collect();
        github.commit(REPOSITORY, "main", &files, "Light the fire\n", MAINTAINER)?;
        let tokens =
            Tokens { service: github.token_for(BOT)?, maintainer: github.token_for(MAINTAINER)? };
        Ok(Self { tokens, webhook_secret: rng.uuid().simple().to_string() })
    }
}

/// Applies YAML documents as the administrator does with `kubectl apply --server-side`.
pub(super) async fn apply(admin: &Client, documents: &str) -> Result<(), BoxError> {
    for document in documents.split("\n---\n") {
        let object: Value = serde_saphyr::from_str(document)?;
        if object.is_object() {
            apply_one(admin, &object).await?;
        }
    }
    Ok(())
}

async fn apply_one(admin: &Client, object: &Value) -> Result<(), BoxError> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (group, version) = text("/apiVersion").split_once('/').unwrap_or(("", text("/apiVersion")));
    let mut resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, text("/kind")));
    if text("/kind") == "Repository" {
        resource.plural = "repositories".into();
    }
    let api: Api<DynamicObject> = match text("/metadata/namespace") {
        "" => Api::all_with(admin.clone(), &resource),
        namespace => Api::namespaced_with(admin.clone(), namespace, &resource),
    };
    let as_administrator = PatchParams::apply("kubectl").force();
    api.patch(text("/metadata/name"), &as_administrator, &Patch::Apply(object)).await?;
    Ok(())
}

/// The Repository and its Secret, as the platform team writes them.
pub(super) async fn declare(
    admin: &Client,
    github_url: &str,
    accounts: &Accounts,
    port: Option<u16>,
) -> Result<(), BoxError> {
    let (owner, name) = REPOSITORY.split_once('/').unwrap_or((REPOSITORY, ""));
    apply_one(
        admin,
        &json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": NAME, "namespace": NAMESPACE},
            "stringData": {"token": accounts.tokens.service, "webhookSecret": accounts.webhook_secret},
        }),
    )
    .await?;
    let mut url = json!({"host": DOMAIN, "scheme": "http"});
    if let Some(port) = port {
        url["port"] = port.into();
    }
    apply_one(
        admin,
        &json!({
            "apiVersion": "bivouac.dev/v1alpha1",
            "kind": "Repository",
            "metadata": {"name": NAME, "namespace": NAMESPACE},
            "spec": {
                "forge": {"github": {
                    "owner": owner,
                    "name": name,
                    "apiUrl": format!("{github_url}/api/v3"),
                    "credentials": {"secretName": NAME},
                }},
                "url": url,
            },
        }),
    )
    .await
}

/// The Service of the gatekeepers. No pod of this world runs the service, so that its one address is written by hand.
pub(super) async fn declare_gate(admin: &Client) -> Result<(), BoxError> {
    let metadata = json!({"name": GATE, "namespace": NAMESPACE});
    let ports = json!([{"name": "gate", "port": 80, "protocol": "TCP", "targetPort": 8081}]);
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"selector": {"app.kubernetes.io/name": "bivouac"}, "ports": ports},
    });
    apply_one(admin, &service).await?;
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": GATE,
            "namespace": NAMESPACE,
            "labels": {
                "kubernetes.io/service-name": GATE,
                "endpointslice.kubernetes.io/managed-by": "kubectl",
            },
        },
        "addressType": "IPv4",
        "endpoints": [{
            "addresses": [GATEKEEPER.ip().to_string()], "conditions": {"ready": true},
        }],
        "ports": [{"name": "gate", "port": GATEKEEPER.port(), "protocol": "TCP"}],
    });
    apply_one(admin, &slice).await
}
