//! One Repository: credentials, access, and the sweep that repairs what nobody told us. I/O with home and the forge.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::FutureExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use kube::runtime::reflector::ObjectRef;
use serde_json::json;

use super::credentials::{Credential, Unusable};
use super::error::{ReconcileError, chain};
use super::retry::Next;
use super::sweep::{self, Swept, Tips};
use super::{Context, branches, halt, measure, passing, requests, retry, sign_in, traffic};
use crate::crd::{
    At, ForgeStatus, HINT_ANNOTATION, OF_INSTALLATION, Repository, RepositoryStatus, Timestamp,
    set_condition,
};
use crate::domain::id::RepoName;
use crate::domain::status::Judgement;
use crate::forge::{ApiUrl, Forge, ForgeError, Login};

/// A Repository with camps is not let go.
const FINALIZER: &str = "bivouac.dev/camps";
/// `status.lastSweep` is never older than this and a sweep. Steady state costs no more writes.
const SWEEP_SHOWN: Duration = Duration::from_secs(3600);
/// A Repository that is deleted and waits for its camps looks after them at least so often.
const SLOWEST: Duration = Duration::from_secs(15);
/// Hints let a Repository be looked at once in this time.
const BETWEEN_LOOKS: Duration = Duration::from_secs(5);
/// And says for which it waits after so long.
const TOLD_AFTER: Duration = Duration::from_secs(60);
/// GitHub's own API.
const GITHUB_API: &str = "https://api.github.com";

impl Context {
    /// The Repository of that name, as the watch last showed it.
    pub(super) fn repository(&self, name: &str) -> Option<Arc<Repository>> {
        let store = self.repositories.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        store.get(&ObjectRef::new(name).within(&self.namespace))
    }

    /// All Repositories that the watch has shown.
    pub(super) fn all_repositories(&self) -> Vec<Arc<Repository>> {
        let store = self.repositories.lock().unwrap_or_else(PoisonError::into_inner).clone();
        store.map(|store| store.state()).unwrap_or_default()
    }

    /// Whether the watch has shown all Repositories: before, one that is not there may be on its way.
    pub(super) fn knows_repositories(&self) -> bool {
        let store = self.repositories.lock().unwrap_or_else(PoisonError::into_inner).clone();
        store.is_some_and(|store| {
            store.wait_until_ready().now_or_never().is_some_and(|ready| ready.is_ok())
        })
    }

    /// An older Repository that serves the same repository of the same forge.
    fn older_twin(&self, repository: &Repository, id: i64) -> Option<String> {
        let store = self.repositories.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let age = |one: &Repository| {
            (
                one.metadata.creation_timestamp.as_ref().map(|at| at.0),
                one.metadata.name.clone().unwrap_or_default(),
            )
        };
        let mut twins: Vec<_> = store
            .state()
            .iter()
            .filter(|other| {
                let known = other
                    .status
                    .as_ref()
                    .and_then(|status| status.forge.as_ref())
                    .map(|forge| forge.repository_id);
                known == Some(id)
                    && self.api_url(other) == self.api_url(repository)
                    && age(other) < age(repository)
            })
            .map(|other| other.metadata.name.clone().unwrap_or_default())
            .collect();
        twins.sort();
        twins.into_iter().next()
    }

    /// The forge's client for a Repository.
    pub(super) fn forge_of(
        &self,
        name: &str,
        repository: &Repository,
    ) -> Result<Forge, ReconcileError> {
        let github = &repository.spec.forge.github;
        let credential = self
            .credentials
            .of(name)
            .ok_or_else(|| ReconcileError::NoCredentials { repository: name.to_owned() })?;
        let invalid = |field, value: &str, rule| {
            ReconcileError::Policy(crate::crd::InvalidPolicy {
                field,
                value: value.to_owned(),
                rule,
            })
        };
        let url = self.api_url(repository);
        let api = ApiUrl::parse(url, self.allow_http).map_err(|_| {
            invalid("forge.github.apiUrl", url, "write an https:// address without user or query")
        })?;
        let repo = RepoName::parse(&github.owner, &github.name).map_err(|error| {
            invalid("forge.github", &error.value, "owner and name as GitHub spells them")
        })?;
        let known = repository.status.as_ref().and_then(|status| status.forge.as_ref());
        let id = known.and_then(|forge| u64::try_from(forge.repository_id).ok());
        self.forges.forge(&api, &credential.login, repo, id).map_err(ReconcileError::Forge)
    }

    /// Where commits of a Repository are fetched from.
    #[expect(clippy::unused_self, reason = "stands beside forge_of, which needs it")]
    pub(super) fn clone_url(&self, repository: &Repository) -> String {
        let github = &repository.spec.forge.github;
        // Git follows no redirect of a renamed repository, as the API does: the name that the forge says is the one.
        let forge = repository.status.as_ref().and_then(|status| status.forge.as_ref());
        let known = forge.and_then(|forge| forge.name.as_deref());
        let name = known.map_or_else(|| format!("{}/{}", github.owner, github.name), str::to_owned);
        github.clone_url.clone().unwrap_or_else(|| {
            let api = github.api_url.as_deref().unwrap_or(GITHUB_API);
            let web = if api.trim_end_matches('/') == GITHUB_API {
                "https://github.com"
            } else {
                api.trim_end_matches('/').trim_end_matches("/api/v3")
            };
            format!("{web}/{name}.git")
        })
    }

    /// The forge's API for a Repository.
    #[expect(clippy::unused_self, reason = "stands beside forge_of, which needs it")]
    pub(super) fn api_url<'a>(&self, repository: &'a Repository) -> &'a str {
        repository.spec.forge.github.api_url.as_deref().unwrap_or(GITHUB_API)
    }
}

/// What was refused with another one is tried again. Gives the words for when the forge accepts it.
fn take_credential(
    context: &Context,
    name: &str,
    credential: Credential,
    rotated: bool,
) -> &'static str {
    let accepted = match &credential.login {
        Login::Token(_) => "the forge accepts the token",
        Login::App(_) => "the forge accepts the App",
    };
    context.credentials.set(name, Some(credential));
    if rotated {
        context.marks.forgive(name);
    }
    accepted
}

/// The key by which the time of the last sweep is remembered.
fn swept(name: &str) -> String {
    format!("sweep/{name}")
}

/// The key by which the time of the last look is remembered, whatever came of it.
fn looked(name: &str) -> String {
    format!("look/{name}")
}

/// The key by which the last hint at the App's installation is remembered.
fn installed(name: &str) -> String {
    format!("installation/{name}")
}

fn hint(repository: &Repository) -> Option<&str> {
    repository.metadata.annotations.as_ref()?.get(HINT_ANNOTATION).map(String::as_str)
}

/// What a sweep is made for: what was allowed to go, and the last hint.
fn wanted(repository: &Repository) -> String {
    format!("{}\n{}", halt::allowed(repository), hint(repository).unwrap_or_default())
}

/// One run.
pub(super) async fn reconcile(repository: Arc<Repository>, context: Arc<Context>) -> Next {
    let name = repository.metadata.name.clone().unwrap_or_default();
    let key = format!("repository/{name}");
    let began = context.clock.now();
    let result = Box::pin(stages(&context, &name, &repository)).await;
    measure::run(&context, "repository", began, result.as_ref().err());
    match result {
        Ok(next) => {
            retry::succeeded(&context, &key);
            next
        }
        Err(error) => {
            tracing::warn!(
                repository.name = name,
                error.category = error.category(),
                "run ended: {}",
                chain(&error)
            );
            retry::after(&context, &key, &error)
        }
    }
}

/// The time left until a look at a Repository that did not change is due.
fn too_early(context: &Context, name: &str, repository: &Repository, wanted: &str) -> Option<Next> {
    context.credentials.of(name)?;
    let soon = || {
        // However many hints come. After an error it is the backoff that says when.
        let fine = retry::failures(context, &format!("repository/{name}")) == 0;
        fine.then(|| retry::too_early(context, &looked(name), halt::allowed(repository)))?
    };
    retry::too_early(context, &swept(name), wanted).or_else(soon)
}

/// A hint at the App's installation, once for each: the token may be of another one.
fn hear_of_installation(context: &Context, name: &str, repository: &Repository, forge: &Forge) {
    if let Some(hint) = hint(repository).filter(|hint| hint.starts_with(OF_INSTALLATION))
        && retry::too_early(context, &installed(name), hint).is_none()
    {
        retry::passed(context, &installed(name), hint.to_owned(), Next::await_change());
        forge.login_changed();
        // What it was not allowed to write it may be now.
        context.marks.forgive(name);
    }
}

async fn stages(
    context: &Context,
    name: &str,
    repository: &Repository,
) -> Result<Next, ReconcileError> {
    if repository.metadata.deletion_timestamp.is_some() {
        return let_go(context, name, repository).await;
    }
    set_finalizer(context, repository, true).await?;
    let now = context.clock.now();
    let mut status = repository.status.clone().unwrap_or_default();
    let changed = status.observed_generation != repository.metadata.generation;
    let rotated = context.rotations.is_due(name);
    let wanted = wanted(repository);
    if !changed
        && !rotated
        && let Some(next) = too_early(context, name, repository, &wanted)
    {
        return Ok(match next {
            Next::After(left) => Next::requeue(context.rng.jitter(left, 10)),
            Next::OnChange => next,
        });
    }
    let soonest = Next::requeue(BETWEEN_LOOKS);
    retry::passed(context, &looked(name), halt::allowed(repository).to_owned(), soonest);
    sign_in::note(context.gate_host.as_deref(), repository, &mut status.conditions, now);
    traffic::note(context.figures.is_some(), repository, &mut status.conditions, now);
    let mut judge = |judgement: &Judgement| {
        set_condition(&mut status.conditions, judgement, repository.metadata.generation, now);
    };
    let accepted = match read_credential(context, repository).await? {
        Ok(credential) => take_credential(context, name, credential, rotated),
        Err(Unusable { reason, message }) => {
            context.credentials.set(name, None);
            judge(&Judgement::no("CredentialsValid", reason, message));
            return finish(context, repository, status).await;
        }
    };
    let forge = match context.forge_of(name, repository) {
        Ok(forge) => forge,
        Err(error) => {
            judge(&Judgement::no("Accessible", "Invalid", chain(&error)));
            return finish(context, repository, status).await;
        }
    };
    hear_of_installation(context, name, repository, &forge);
    if let Err(invalid) = repository.spec.policy() {
        judge(&Judgement::no("Accessible", "PolicyInvalid", invalid.to_string()));
        return finish(context, repository, status).await;
    }
    let seen = (status.forge.as_ref(), status.comments_seen);
    let looked = look(context, name, repository, &forge, seen).await;
    measure::sweep(context, outcome(&looked));
    match looked {
        Ok(Looked { info, swept: Swept { camps, halt }, comments_seen }) => {
            status.comments_seen = Some(comments_seen.into());
            judge(&Judgement::yes("CredentialsValid", "Accepted", accepted));
            judge(&Judgement::yes("Accessible", "Accessible", "the repository can be read"));
            judge(&Judgement::yes(
                "Unique",
                "ServedOnce",
                "no older Repository serves the same repository",
            ));
            halt::note(context, repository, &mut status, halt);
            status.forge = Some(info);
            status.camps = Some(camps);
            status.observed_generation = repository.metadata.generation;
            let again = Next::requeue(context.intervals.sweep);
            retry::passed(context, &swept(name), wanted, again);
            // A sweep that found nothing new is worth a write once in a while, so that people see that there are sweeps.
            let news = repository.status.as_ref() != Some(&status);
            let shown = chrono::Duration::from_std(SWEEP_SHOWN).unwrap_or(chrono::Duration::MAX);
            if news || status.last_sweep.is_none_or(|last| now - last.0 >= shown) {
                status.last_sweep = Some(now.into());
            }
            finish(context, repository, status).await
        }
        Err(Trouble::Forge(error)) => {
            let text = chain(&error);
            if error.is_about_the_secret() {
                judge(&Judgement::no("CredentialsValid", error.category(), text.clone()));
            }
            judge(&Judgement::no("Accessible", error.category(), text));
            finish(context, repository, status).await?;
            Err(ReconcileError::Forge(error))
        }
        Err(Trouble::AnotherRepository { expected, found }) => {
            let text = format!(
                "the repository of this name has the id {found}, and the one that is served has {expected}: nothing is \
                 fetched from it; delete this Repository and make it again to serve the new one"
            );
            judge(&Judgement::no("Accessible", "AnotherRepository", text));
            finish(context, repository, status).await
        }
        Err(Trouble::Twin(older)) => {
            let text = format!(
                "Repository {older} serves the same repository: this one makes no environments"
            );
            judge(&Judgement::no("Unique", "ServedTwice", text));
            context.credentials.set(name, None);
            finish(context, repository, status).await
        }
        Err(Trouble::Home(error)) => Err(error),
    }
}

enum Trouble {
    Forge(ForgeError),
    AnotherRepository { expected: i64, found: i64 },
    Twin(String),
    Home(ReconcileError),
}

/// For metrics.
fn outcome(looked: &Result<Looked, Trouble>) -> &'static str {
    match looked {
        Ok(Looked { swept: Swept { halt: Some(_), .. }, .. }) => "halted",
        Ok(_) => "done",
        Err(Trouble::Forge(error)) => error.category(),
        Err(Trouble::AnotherRepository { .. }) => "AnotherRepository",
        Err(Trouble::Twin(_)) => "ServedTwice",
        Err(Trouble::Home(error)) => error.category(),
    }
}

struct Looked {
    info: ForgeStatus,
    swept: Swept,
    comments_seen: DateTime<Utc>,
}

/// Access, then the sweep.
async fn look(
    context: &Context,
    name: &str,
    repository: &Repository,
    forge: &Forge,
    (known, comments_seen): (Option<&ForgeStatus>, Option<Timestamp>),
) -> Result<Looked, Trouble> {
    let info = forge.repository().await.map_err(Trouble::Forge)?;
    let found = i64::try_from(info.id).unwrap_or(i64::MAX);
    if let Some(known) = known
        && known.repository_id != found
    {
        return Err(Trouble::AnotherRepository { expected: known.repository_id, found });
    }
    if let Some(older) = context.older_twin(repository, found) {
        return Err(Trouble::Twin(older));
    }
    let open = forge.open_pull_requests().await.map_err(Trouble::Forge)?;
    let tips = match repository.spec.source.at {
        At::Head => Tips::new(),
        At::Merge => sweep::tips(forge, &open).await.map_err(Trouble::Forge)?,
    };
    let listed =
        branches::listed(forge, &repository.spec.branches).await.map_err(Trouble::Forge)?;
    let swept = sweep::sweep(context, name, repository, forge, &open, (&tips, &listed))
        .await
        .map_err(Trouble::Home)?;
    let seen = comments_seen.map(|at| at.0);
    let comments_seen = match requests::find_lost(context, name, repository, forge, seen).await {
        Err(ReconcileError::Forge(error)) => return Err(Trouble::Forge(error)),
        other => other.map_err(Trouble::Home)?,
    };
    let permissions =
        info.permission.iter().map(|permission| format!("{permission:?}").to_lowercase()).collect();
    let name = Some(info.name.to_string());
    let info = ForgeStatus { repository_id: found, name, permissions };
    Ok(Looked { info, swept, comments_seen })
}

/// The Secret of a Repository, or what is missing in it.
async fn read_credential(
    context: &Context,
    repository: &Repository,
) -> Result<Result<Credential, Unusable>, ReconcileError> {
    let name = &repository.spec.forge.github.credentials.secret_name;
    let api: Api<Secret> = Api::namespaced(context.home.clone(), &context.namespace);
    let found = api
        .get_opt(name)
        .await
        .map_err(|error| ReconcileError::record("read the Secret of the Repository", error))?;
    let version = found.as_ref().and_then(|secret| secret.metadata.resource_version.clone());
    let repository_name = repository.metadata.name.as_deref().unwrap_or_default();
    context.rotations.read(repository_name, name, version);
    let Some(secret) = found else {
        let message = format!("there is no Secret {name} in namespace {}", context.namespace);
        return Ok(Err(Unusable { reason: "SecretIncomplete", message }));
    };
    Ok(Credential::of(name, &secret))
}

/// Writes the status when it differs, and says when to look again.
async fn finish(
    context: &Context,
    repository: &Repository,
    mut status: RepositoryStatus,
) -> Result<Next, ReconcileError> {
    status.observed_generation = repository.metadata.generation;
    passing::note_on(context, repository, &mut status);
    if repository.status.as_ref() != Some(&status) {
        let name = repository.metadata.name.as_deref().unwrap_or_default();
        // Of this status this controller is the only writer, and it runs once at a time for each Repository; but for
        // `camps`, which `counts` corrects within a minute.
        let mut patch = json!({"status": status});
        if status.halted.is_none() {
            // What a merge patch does not name stays.
            patch["status"]["halted"] = serde_json::Value::Null;
        }
        let status_now = status;
        context
            .repositories_api()
            .patch_status(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .map_err(|error| ReconcileError::record("write the status of the Repository", error))?;
        context.events.tell_of_repository(context, repository, &status_now);
    }
    Ok(Next::requeue(context.rng.jitter(context.intervals.sweep, 20)))
}

async fn set_finalizer(
    context: &Context,
    repository: &Repository,
    on: bool,
) -> Result<(), ReconcileError> {
    let mut finalizers = repository.metadata.finalizers.clone().unwrap_or_default();
    if finalizers.iter().any(|one| one == FINALIZER) == on {
        return Ok(());
    }
    finalizers.retain(|one| one != FINALIZER);
    if on {
        finalizers.push(FINALIZER.to_owned());
    }
    let name = repository.metadata.name.as_deref().unwrap_or_default();
    let patch = json!({"metadata": {"finalizers": finalizers, "resourceVersion": repository.metadata.resource_version}});
    match context
        .repositories_api()
        .patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
    {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(ReconcileError::record("write the finalizer of the Repository", error)),
    }
}

/// A Repository that is deleted: its records go first, each with its camp.
async fn let_go(
    context: &Context,
    name: &str,
    repository: &Repository,
) -> Result<Next, ReconcileError> {
    let api = context.environments();
    let found = api
        .list(&ListParams::default())
        .await
        .map_err(|error| ReconcileError::record("list the records of the Repository", error))?;
    let mut left = Vec::new();
    for record in found.items.iter().filter(|record| record.spec.repository == name) {
        let record_name = record.metadata.name.as_deref().unwrap_or_default();
        left.push(record_name.to_owned());
        if record.metadata.deletion_timestamp.is_none() {
            match api.delete(record_name, &kube::api::DeleteParams::default()).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => {
                    return Err(ReconcileError::record("delete a record of the Repository", error));
                }
            }
        }
    }
    if !left.is_empty() {
        return waits_for(context, repository, &left).await;
    }
    context.credentials.set(name, None);
    context.rotations.forget(name);
    set_finalizer(context, repository, false).await?;
    Ok(Next::await_change())
}

/// A Repository that waits for its camps says for which, once that takes long; and looks less and less often.
async fn waits_for(
    context: &Context,
    repository: &Repository,
    left: &[String],
) -> Result<Next, ReconcileError> {
    let since = repository.metadata.deletion_timestamp.as_ref().map(|at| at.0.as_second());
    let age = context.clock.now().timestamp() - since.unwrap_or_default();
    let age = Duration::from_secs(u64::try_from(age).unwrap_or_default());
    let pause = (age / 10).clamp(Duration::from_secs(1), SLOWEST);
    if age >= TOLD_AFTER {
        let names = left.iter().take(10).cloned().collect::<Vec<_>>().join(", ");
        let more = left.len().saturating_sub(10);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let text = format!(
            "it goes when its environments are gone: {names}{more}; their status.reason says what holds them up"
        );
        let mut status = repository.status.clone().unwrap_or_default();
        let judgement = Judgement::no("Accessible", "BeingDeleted", text);
        let (generation, now) = (repository.metadata.generation, context.clock.now());
        set_condition(&mut status.conditions, &judgement, generation, now);
        finish(context, repository, status).await?;
    }
    Ok(Next::requeue(context.rng.jitter(pause, 10)))
}
