//! The API server of a world: the embedded one, or one elsewhere; and who talks to it as whom.

use std::path::Path;

use kube::Client;
use secrecy::SecretString;

use super::elsewhere::Elsewhere;
use super::install::{DEFINITIONS, POLICIES, ROLES, apply};
use super::{NAMESPACE, Wires};
use crate::sandbox::cluster::api::{ApiServer, Options};
use crate::sandbox::cluster::controllers::client_over_with_token;
use crate::sandbox::cluster::nodes::agents;
use crate::seams::{BoxError, Clock, Rng};

/// The API server. Nothing is in the embedded one when there is one elsewhere.
pub(super) struct Kubernetes {
    pub(super) embedded: ApiServer,
    elsewhere: Option<Elsewhere>,
}

impl Kubernetes {
    /// The embedded one, or that of a kubeconfig, cleared of what was there before.
    pub(super) async fn new(
        kubeconfig: Option<&Path>,
        clock: &Clock,
        rng: &Rng,
    ) -> Result<Self, BoxError> {
        let embedded = ApiServer::new(clock.clone(), rng, Options::default());
        let elsewhere = match kubeconfig {
            Some(kubeconfig) => Some(Elsewhere::connect(kubeconfig).await?),
            None => None,
        };
        if let Some(elsewhere) = &elsewhere {
            elsewhere.clear().await?;
        }
        Ok(Self { embedded, elsewhere })
    }

    pub(super) fn admin(&self) -> Client {
        match &self.elsewhere {
            Some(elsewhere) => elsewhere.admin(),
            None => self.as_bearer(&self.embedded.admin_token()),
        }
    }

    /// One of the agents, who may do everything.
    pub(super) fn agent(&self, name: &str) -> Client {
        match &self.elsewhere {
            Some(elsewhere) => elsewhere.admin(),
            None => self.as_bearer(&self.embedded.user_token(name, &["system:masters"])),
        }
    }

    /// The service, which is its own service account and no administrator.
    pub(super) async fn service(&self, wires: &Wires) -> Result<Client, BoxError> {
        if let Some(elsewhere) = &self.elsewhere {
            return elsewhere.service().await;
        }
        let groups = ["system:serviceaccounts", "system:serviceaccounts:bivouac-system"];
        let account = format!("system:serviceaccount:{NAMESPACE}:bivouac");
        let token = SecretString::from(self.embedded.user_token(&account, &groups));
        let transport = wires.to_cluster(self.embedded.transport());
        Ok(client_over_with_token(transport, &token))
    }

    fn as_bearer(&self, token: &str) -> Client {
        client_over_with_token(self.embedded.transport(), &SecretString::from(token))
    }

    /// How agents behave here.
    pub(super) async fn agents(&self, rng: &Rng) -> Result<agents::Options, BoxError> {
        match &self.elsewhere {
            Some(elsewhere) => elsewhere.agents(rng).await,
            None => Ok(agents::Options::default()),
        }
    }

    /// Installs definitions, roles and policies.
    pub(super) async fn install(&self) -> Result<(), BoxError> {
        let admin = self.admin();
        apply(&admin, DEFINITIONS).await?;
        apply(&admin, ROLES).await?;
        apply(&admin, POLICIES).await?;
        match &self.elsewhere {
            Some(elsewhere) => elsewhere.until_served().await,
            None => Ok(()),
        }
    }
}
