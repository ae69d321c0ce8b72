//! What carries the marks of this installation and belongs to no Environment: found, and removed when somebody says so.
//! I/O with home, target and the forges. Not part of the service's own work: `bivouac doctor orphans` calls it, with the
//! rights of the person who does.

mod checks;
mod comments;
mod deployments;
mod namespaces;

use chrono::{DateTime, Utc};
use kube::api::ListParams;
use kube::{Api, Client};
use serde::Serialize;

use crate::apply::{ApplyError, Target};
use crate::crd::{Environment, Repository};
use crate::forge::Apis;

pub use checks::OrphanCheck;
pub use comments::OrphanComment;
pub use deployments::OrphanDeployment;
pub use namespaces::OrphanNamespace;

/// Where to look.
#[derive(Clone)]
pub struct Search {
    /// The cluster of our own resources.
    pub home: Client,
    /// The cluster of the camps.
    pub target: Target,
    /// Name of the installation.
    pub instance: String,
    /// The namespace of its own resources.
    pub namespace: String,
    /// Clients of the forges; `None`: comments and deployments are not looked at.
    pub forges: Option<Apis>,
    /// Plain `http://` to a forge is allowed.
    pub allow_http: bool,
    /// Comments that were last changed before this are not looked at.
    pub comments_since: DateTime<Utc>,
}

/// What belongs to no Environment.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Orphans {
    /// Namespaces of the target, by name.
    pub namespaces: Vec<OrphanNamespace>,
    /// Comments at the forges, by Repository and number.
    pub comments: Vec<OrphanComment>,
    /// Active deployments at the forges, by Repository and number.
    pub deployments: Vec<OrphanDeployment>,
    /// Checks at the forges that say something about a preview that nobody has, by Repository and commit.
    pub checks: Vec<OrphanCheck>,
    /// What could not be looked at, as sentences.
    pub not_looked_at: Vec<String>,
}

/// Why nothing could be looked for.
#[derive(Debug, thiserror::Error)]
pub enum LeftoversError {
    /// Home could not be asked. Without the list of records everything would look like an orphan.
    #[error("failed to {what}: without it nothing can be told from an orphan")]
    Home {
        /// What was tried.
        what: &'static str,
        /// The cause.
        #[source]
        source: Box<kube::Error>,
    },
    /// The target could not be asked.
    #[error("the target cluster failed")]
    Target(#[source] ApplyError),
}

impl Orphans {
    /// Nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { namespaces, comments, deployments, checks, not_looked_at: _ } = self;
        namespaces.is_empty() && comments.is_empty() && deployments.is_empty() && checks.is_empty()
    }
}

/// Looks for everything. `progress` is told what is being looked at.
pub async fn find(
    search: &Search,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<Orphans, LeftoversError> {
    let mut orphans = Orphans::default();
    progress("namespaces");
    // Namespaces first, records after: what was made meanwhile has a record that is seen.
    orphans.namespaces = namespaces::find(search).await?;
    if search.forges.is_some() {
        at_forges(search, progress, &mut orphans).await?;
    }
    Ok(orphans)
}

/// Looks at what is told of each Repository.
async fn at_forges(
    search: &Search,
    progress: &(dyn Fn(&str) + Sync),
    orphans: &mut Orphans,
) -> Result<(), LeftoversError> {
    let api: Api<Repository> = Api::namespaced(search.home.clone(), &search.namespace);
    let repositories = api.list(&ListParams::default()).await.map_err(|source| {
        LeftoversError::Home { what: "list the Repositories", source: Box::new(source) }
    })?;
    let Orphans { namespaces: _, comments, deployments, checks, not_looked_at } = orphans;
    for repository in &repositories.items {
        let name = repository.metadata.name.as_deref().unwrap_or_default();
        progress(&format!("comments of Repository {name}"));
        let found = comments::of_repository(search, name, repository).await;
        let beyond = format!("older comments than the newest {}", comments::MOST);
        take(comments, found, (name, "comments", &beyond), not_looked_at);
        progress(&format!("deployments of Repository {name}"));
        let found = deployments::of_repository(search, name, repository).await;
        let beyond = format!("older deployments than the newest {}", deployments::MOST);
        take(deployments, found, (name, "deployments", &beyond), not_looked_at);
        progress(&format!("checks of Repository {name}"));
        let found = checks::of_repository(search, name, repository).await;
        let beyond = format!("checks of more than {} commits", checks::MOST);
        take(checks, found, (name, "checks", &beyond), not_looked_at);
    }
    Ok(())
}

/// What was found at one Repository, and whether that is all: else `beyond` was not looked at.
fn take<T>(
    all: &mut Vec<T>,
    found: Result<(Vec<T>, bool), String>,
    (repository, what, beyond): (&str, &str, &str),
    not_looked_at: &mut Vec<String>,
) {
    match found {
        Ok((found, whole)) => {
            all.extend(found);
            if !whole {
                not_looked_at.push(format!("Repository {repository}: {beyond}"));
            }
        }
        Err(reason) => not_looked_at.push(format!("{what} of Repository {repository}: {reason}")),
    }
}

/// All records, of every namespace: an installation elsewhere in the cluster may have our name by mistake, and its camps
/// are none of our orphans.
async fn records(search: &Search) -> Result<Vec<Environment>, LeftoversError> {
    let api: Api<Environment> = Api::all(search.home.clone());
    let found = api.list(&ListParams::default()).await.map_err(|source| LeftoversError::Home {
        what: "list the Environments of all namespaces",
        source: Box::new(source),
    })?;
    Ok(found.items)
}

/// Those of the records that are of a Repository of this installation.
fn of_repository<'a>(
    search: &'a Search,
    name: &'a str,
    records: &'a [Environment],
) -> impl Iterator<Item = &'a Environment> {
    records.iter().filter(move |record| {
        record.spec.repository == name
            && record.metadata.namespace.as_deref() == Some(search.namespace.as_str())
    })
}

/// Removes namespaces: asks for the end of each, with its UID. Gives what could not be asked for, with the reason.
pub async fn remove_namespaces(
    search: &Search,
    found: &[OrphanNamespace],
) -> Vec<(String, ApplyError)> {
    namespaces::remove(search, found).await
}

/// Those of `found` that are still there, with what holds them up.
pub async fn still_there(
    search: &Search,
    found: &[OrphanNamespace],
) -> Result<Vec<OrphanNamespace>, LeftoversError> {
    namespaces::still_there(search, found).await
}

/// Removes comments. Gives what could not be removed, with the reason.
pub async fn remove_comments(search: &Search, found: &[OrphanComment]) -> Vec<(String, String)> {
    comments::remove(search, found).await
}

/// Makes deployments inactive. Gives what could not be, with the reason.
pub async fn end_deployments(found: &[OrphanDeployment]) -> Vec<(String, String)> {
    deployments::remove(found).await
}

/// Concludes checks: each says then that there is no preview. Gives what could not be, with the reason.
pub async fn end_checks(search: &Search, found: &[OrphanCheck]) -> Vec<(String, String)> {
    checks::remove(search, found).await
}
