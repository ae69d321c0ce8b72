//! Taking everything down: all Repositories and Environments are deleted, the service takes their camps down, and
//! somebody waits for it. I/O with home. `bivouac uninstall` calls it, with the rights of the person who does.

use chrono::{DateTime, Utc};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client};

use crate::crd::{Environment, Phase, Repository};

/// What is left of our own resources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Names of the Repositories.
    pub repositories: Vec<String>,
    /// The Environments.
    pub environments: Vec<Left>,
}

/// One Environment that is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Its name.
    pub name: String,
    /// The namespace of its camp.
    pub namespace: Option<String>,
    /// Why it is still there, when that is known.
    pub reason: Option<String>,
}

/// Why nothing could be taken down.
#[derive(Debug, thiserror::Error)]
#[error("failed to {what}")]
pub struct UninstallError {
    what: String,
    #[source]
    source: Box<kube::Error>,
}

fn failed(what: impl Into<String>, source: kube::Error) -> UninstallError {
    UninstallError { what: what.into(), source: Box::new(source) }
}

impl Standing {
    /// Nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.repositories.is_empty() && self.environments.is_empty()
    }

    /// How many camps stand.
    #[must_use]
    pub fn camps(&self) -> usize {
        self.environments.iter().filter(|left| left.namespace.is_some()).count()
    }
}

/// Looks at what is there.
pub async fn survey(home: &Client, namespace: &str) -> Result<Standing, UninstallError> {
    let repositories: Api<Repository> = Api::namespaced(home.clone(), namespace);
    let environments: Api<Environment> = Api::namespaced(home.clone(), namespace);
    let all = ListParams::default();
    let repositories =
        repositories.list(&all).await.map_err(|error| failed("list the Repositories", error))?;
    let environments =
        environments.list(&all).await.map_err(|error| failed("list the Environments", error))?;
    let names = repositories.items.into_iter().filter_map(|one| one.metadata.name);
    Ok(Standing {
        repositories: names.collect(),
        environments: environments.items.into_iter().map(left).collect(),
    })
}

fn left(record: Environment) -> Left {
    let status = record.status.unwrap_or_default();
    let going = status.phase == Some(Phase::TearingDown);
    Left {
        name: record.metadata.name.unwrap_or_default(),
        namespace: status.namespace,
        reason: status.reason.filter(|_| going),
    }
}

/// Asks for the end of all that is there. The Repositories go first: without them, no sweep makes a record anew.
pub async fn begin(
    home: &Client,
    namespace: &str,
    standing: &Standing,
) -> Result<(), UninstallError> {
    let repositories: Api<Repository> = Api::namespaced(home.clone(), namespace);
    for name in &standing.repositories {
        gone(repositories.delete(name, &DeleteParams::default()).await)
            .map_err(|error| failed(format!("delete Repository {name}"), error))?;
    }
    let environments: Api<Environment> = Api::namespaced(home.clone(), namespace);
    for Left { name, .. } in &standing.environments {
        gone(environments.delete(name, &DeleteParams::default()).await)
            .map_err(|error| failed(format!("delete Environment {name}"), error))?;
    }
    Ok(())
}

fn gone<T>(answer: Result<T, kube::Error>) -> Result<(), kube::Error> {
    match answer {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error),
    }
}

/// When the leader of the service last renewed its Lease; `None`: nobody leads.
pub async fn led_at(
    home: &Client,
    namespace: &str,
    lease: &str,
) -> Result<Option<DateTime<Utc>>, UninstallError> {
    let api: Api<Lease> = Api::namespaced(home.clone(), namespace);
    let found =
        api.get_opt(lease).await.map_err(|error| failed(format!("read Lease {lease}"), error))?;
    let spec = found.and_then(|lease| lease.spec).unwrap_or_default();
    if spec.holder_identity.is_none_or(|holder| holder.is_empty()) {
        return Ok(None);
    }
    Ok(spec.renew_time.and_then(|at| DateTime::from_timestamp(at.0.as_second(), 0)))
}
