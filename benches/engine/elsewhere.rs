//! An API server that is not the embedded one: its kubeconfig and its audit log in, the service's kubeconfig and audit
//! events out. I/O: that API server, the log.

use std::path::PathBuf;

use bivouac::app::stage::NAMESPACE;
use bivouac::sandbox::cluster::api::AuditEvent;
use bivouac::seams::BoxError;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Client;
use kube::api::{Api, PostParams};
use kube::config::{AuthInfo, Kubeconfig};
use serde_json::{Value, json};

/// A real API server, to spare.
#[derive(Clone, Debug)]
pub(crate) struct Elsewhere {
    /// Its administrator's.
    pub(crate) kubeconfig: PathBuf,
    /// Where it writes its audit log, as JSON lines of level `Metadata` or more, in blocking mode.
    pub(crate) audit_log: PathBuf,
}

impl Elsewhere {
    /// A kubeconfig with a token of the service's account.
    pub(crate) async fn kubeconfig_of_service(&self, admin: &Client) -> Result<String, BoxError> {
        let accounts: Api<ServiceAccount> = Api::namespaced(admin.clone(), NAMESPACE);
        let asked = serde_json::from_value::<TokenRequest>(json!({
            "metadata": {}, "spec": {"audiences": [], "expirationSeconds": 6 * 3600},
        }))?;
        let given =
            accounts.create_token_request("bivouac", &PostParams::default(), &asked).await?;
        let token = given.status.ok_or("a token request was answered without a token")?.token;
        let mut file = Kubeconfig::read_from(&self.kubeconfig)?;
        for user in &mut file.auth_infos {
            user.auth_info = Some(AuthInfo::default());
        }
        // `kube` never writes a token out, so it is put in afterwards.
        let mut file = serde_json::to_value(&file)?;
        for user in file["users"].as_array_mut().into_iter().flatten() {
            user["user"] = json!({ "token": token });
        }
        Ok(file.to_string())
    }

    /// All requests that were answered, as the embedded API server would list them.
    pub(crate) fn events(&self) -> Result<Vec<AuditEvent>, BoxError> {
        let log = std::fs::read_to_string(&self.audit_log)?;
        Ok(log
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .filter_map(|line| event(&line))
            .collect())
    }
}

/// `None` for what is no answer.
fn event(line: &Value) -> Option<AuditEvent> {
    if line.get("stage")? != "ResponseComplete" {
        return None;
    }
    let text =
        |path: &str| line.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    let uri = text("/requestURI");
    let (_, query) = uri.split_once('?').unwrap_or_default();
    let asked = |key: &str| {
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value.to_owned())
    };
    let resource = text("/objectRef/resource");
    Some(AuditEvent {
        at: text("/stageTimestamp").parse().ok()?,
        user: text("/user/username"),
        impersonated: line
            .pointer("/impersonatedUser/username")
            .and_then(Value::as_str)
            .map(str::to_owned),
        verb: text("/verb"),
        group: text("/objectRef/apiGroup"),
        subresource: text("/objectRef/subresource"),
        // A namespace is said to be in itself.
        namespace: if resource == "namespaces" {
            String::new()
        } else {
            text("/objectRef/namespace")
        },
        name: text("/objectRef/name"),
        dry_run: asked("dryRun").is_some(),
        field_manager: asked("fieldManager").unwrap_or_default(),
        code: u16::try_from(line.pointer("/responseStatus/code")?.as_u64()?).ok()?,
        resource,
        uri,
    })
}
