//! What the server adds to each new pod: its service account with a mounted token, the usual tolerations.

use serde_json::{Value, json};

use super::super::state::{Call, State};
use super::super::status::{ApiError, GroupResource};

const MOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// A projected token is renewed before this many seconds; the seven make it recognisable in real clusters too.
const TOKEN_SECONDS: u32 = 3607;

/// Names the account, checks that it exists and mounts its token.
pub(super) fn service_account(state: &State, call: &Call, pod: &mut Value) -> Result<(), ApiError> {
    let namespace = call.namespace();
    let name = match pod["spec"]["serviceAccountName"].as_str() {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => "default".to_owned(),
    };
    pod["spec"]["serviceAccountName"] = json!(name);
    pod["spec"]["serviceAccount"] = json!(name);
    let accounts = GroupResource::new("", "serviceaccounts");
    let Some(account) = state.store.get(&accounts, namespace, &name) else {
        let pod_name = pod["metadata"]["name"].as_str().unwrap_or_default();
        return Err(ApiError::forbidden(
            &call.resource(),
            pod_name,
            &format!(
                "error looking up service account {namespace}/{name}: serviceaccount {name:?} not found"
            ),
        ));
    };
    if pod["spec"]["imagePullSecrets"].as_array().is_none_or(Vec::is_empty)
        && account["imagePullSecrets"].is_array()
    {
        pod["spec"]["imagePullSecrets"] = account["imagePullSecrets"].clone();
    }
    let wanted = pod["spec"]["automountServiceAccountToken"]
        .as_bool()
        .or_else(|| account["automountServiceAccountToken"].as_bool())
        .unwrap_or(true);
    if wanted {
        mount_token(state, pod);
    }
    Ok(())
}

fn mount_token(state: &State, pod: &mut Value) {
    let volume = format!("kube-api-access-{}", state.suffix());
    let mut used = false;
    for key in ["containers", "initContainers"] {
        if !pod["spec"][key].is_array() {
            continue;
        }
        for container in pod["spec"][key].as_array_mut().into_iter().flatten() {
            let mut mounts = container["volumeMounts"].as_array().cloned().unwrap_or_default();
            if mounts.iter().any(|mount| mount["mountPath"] == MOUNT) {
                continue;
            }
            mounts.push(json!({"name": volume, "readOnly": true, "mountPath": MOUNT}));
            container["volumeMounts"] = Value::Array(mounts);
            used = true;
        }
    }
    if used {
        let mut volumes = pod["spec"]["volumes"].as_array().cloned().unwrap_or_default();
        volumes.push(json!({"name": volume, "projected": {"defaultMode": 420, "sources": [
            {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
        ]}}));
        pod["spec"]["volumes"] = Value::Array(volumes);
    }
}

/// Every pod stays five minutes on a node that is lost.
pub(super) fn tolerations(pod: &mut Value) {
    let mut all = pod["spec"]["tolerations"].as_array().cloned().unwrap_or_default();
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        if !all.iter().any(|t| t["key"] == key || (t["key"].is_null() && t["operator"] == "Exists"))
        {
            all.push(json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}));
        }
    }
    pod["spec"]["tolerations"] = Value::Array(all);
}
