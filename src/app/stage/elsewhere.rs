//! A world on an API server elsewhere: a real one, given by a kubeconfig, to spare. What worlds of before left there is
//! cleared first. I/O: that API server.

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Secret, ServiceAccount};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::NAMESPACE;
use crate::crd::{Environment, Repository};
use crate::sandbox::cluster::controllers;
use crate::sandbox::cluster::nodes::agents;
use crate::seams::{BoxError, Rng};

/// How long somebody else's cluster may take for one thing.
const LONGEST: Duration = Duration::from_secs(60);
/// A namespace that has no account after this long has no controller manager.
const ACCOUNT: Duration = Duration::from_secs(5);
/// The label of camps' namespaces.
const CAMPS: &str = "bivouac.dev/environment";
/// The service's account.
const ACCOUNT_NAME: &str = "bivouac";

/// The API server.
pub(super) struct Elsewhere {
    config: Config,
    admin: Client,
}

impl Elsewhere {
    pub(super) async fn connect(kubeconfig: &Path) -> Result<Self, BoxError> {
        let file = Kubeconfig::read_from(kubeconfig)?;
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
        let admin = Client::try_from(config.clone())?;
        admin.apiserver_version().await?;
        Ok(Self { config, admin })
    }

    /// The administrator.
    pub(super) fn admin(&self) -> Client {
        self.admin.clone()
    }

    /// The service, by a token of its account.
    pub(super) async fn service(&self) -> Result<Client, BoxError> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.admin.clone(), NAMESPACE);
        let asked = serde_json::from_value::<TokenRequest>(json!({
            "metadata": {}, "spec": {"audiences": [], "expirationSeconds": 6 * 3600},
        }))?;
        let given =
            accounts.create_token_request(ACCOUNT_NAME, &PostParams::default(), &asked).await?;
        let token = given.status.and_then(|status| status.token);
        let token = token.ok_or("a token request was answered without a token")?;
        let mut config = Config::new(self.config.cluster_url.clone());
        config.root_cert.clone_from(&self.config.root_cert);
        config.accept_invalid_certs = self.config.accept_invalid_certs;
        config.tls_server_name.clone_from(&self.config.tls_server_name);
        config.auth_info.token = Some(token.into());
        Ok(Client::try_from(config)?)
    }

    /// What the cluster lacks: nodes, and controllers if it has none.
    pub(super) async fn agents(&self, rng: &Rng) -> Result<agents::Options, BoxError> {
        let namespaces: Api<Namespace> = Api::all(self.admin.clone());
        let name = format!("sandbox-{}", rng.uuid().simple());
        let probe = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        namespaces.create(&PostParams::default(), &probe).await?;
        let accounts: Api<ServiceAccount> = Api::namespaced(self.admin.clone(), &name);
        let account = async || Ok::<_, BoxError>(accounts.get_opt("default").await?.is_some());
        let has_controllers = within(ACCOUNT, account).await?;
        namespaces.delete(&name, &DeleteParams::default()).await?;
        if has_controllers {
            return Ok(agents::Options::beside_a_controller_manager());
        }
        let controllers = controllers::Options::for_authority(&self.config);
        Ok(agents::Options { controllers: Some(controllers), ..agents::Options::default() })
    }

    /// Removes records, camps and what belongs to the service's namespace of worlds of before.
    pub(super) async fn clear(&self) -> Result<(), BoxError> {
        let admin = &self.admin;
        self.clear_all(&Api::<Environment>::namespaced(admin.clone(), NAMESPACE), "").await?;
        self.clear_all(&Api::<Repository>::namespaced(admin.clone(), NAMESPACE), "").await?;
        self.clear_all(&Api::<Lease>::namespaced(admin.clone(), NAMESPACE), "").await?;
        self.clear_all(&Api::<Secret>::namespaced(admin.clone(), NAMESPACE), "").await?;
        let templates: Api<ConfigMap> = Api::namespaced(admin.clone(), NAMESPACE);
        let _ = templates.delete("bivouac-guardrails", &DeleteParams::default()).await;
        let camps: Api<Namespace> = Api::all(admin.clone());
        for camp in camps.list(&ListParams::default().labels(CAMPS)).await?.items {
            // The nodes that should end them are gone.
            let pods: Api<Pod> = Api::namespaced(admin.clone(), &camp.name_any());
            let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
            pods.delete_collection(&at_once, &ListParams::default()).await?;
        }
        self.clear_all(&camps, CAMPS).await?;
        Ok(())
    }

    /// Deletes all that have a label, and waits until they are gone.
    async fn clear_all<K>(&self, api: &Api<K>, label: &str) -> Result<(), BoxError>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let all = ListParams::default().labels(label);
        let gone = async || {
            let found = match api.list(&all).await {
                Ok(found) => found.items,
                // Not installed yet.
                Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
                Err(error) => return Err(error.into()),
            };
            for one in &found {
                let name = one.name_any();
                if !one.finalizers().is_empty() {
                    let none = Patch::Merge(json!({"metadata": {"finalizers": null}}));
                    let _ = api.patch(&name, &PatchParams::default(), &none).await;
                }
                if one.meta().deletion_timestamp.is_none() {
                    let _ = api.delete(&name, &DeleteParams::default()).await;
                }
            }
            Ok::<_, BoxError>(found.is_empty())
        };
        if within(LONGEST, gone).await? {
            return Ok(());
        }
        Err(format!("{}s of another world do not go away", K::kind(&())).into())
    }

    /// Waits until the definitions are served.
    pub(super) async fn until_served(&self) -> Result<(), BoxError> {
        let environments: Api<Environment> = Api::namespaced(self.admin.clone(), NAMESPACE);
        let repositories: Api<Repository> = Api::namespaced(self.admin.clone(), NAMESPACE);
        let few = ListParams::default().limit(1);
        let served = async || {
            let served =
                environments.list(&few).await.is_ok() && repositories.list(&few).await.is_ok();
            Ok::<_, BoxError>(served)
        };
        if within(LONGEST, served).await? {
            return Ok(());
        }
        Err("the definitions of Repository and Environment are not served".into())
    }
}

/// Whether `condition` comes to hold in time.
async fn within(
    longest: Duration,
    condition: impl AsyncFn() -> Result<bool, BoxError>,
) -> Result<bool, BoxError> {
    let deadline = Instant::now() + longest;
    loop {
        if condition().await? {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        sleep(Duration::from_millis(100)).await;
    }
}
