//! The forge's side of one Repository: its Secret, whether the login works there, what it may do, and its webhook. I/O
//! with home and the forge.

use chrono::TimeDelta;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;

use super::super::credentials::Credential;
use super::super::error::chain;
use super::{Checkup, Notes, hooks};
use crate::crd::Repository;
use crate::domain::id::RepoName;
use crate::forge::{
    ApiUrl, Apis, AppItself, ForgeError, Lacks, Login, Permission, RepositoryInfo, lacks,
};

/// GitHub's own API.
const GITHUB_API: &str = "https://api.github.com";
/// The last sweep is not older than this: it is shown once an hour.
const SWEPT: TimeDelta = TimeDelta::hours(2);
/// Conditions that say what the service itself found.
const CONDITIONS: &[&str] = &["CredentialsValid", "Accessible", "Unique", "SignIn"];

pub(super) async fn examine(
    checkup: &Checkup,
    apis: &Apis,
    repository: &Repository,
    mut notes: Notes<'_>,
) {
    said_by_the_service(checkup, repository, &mut notes);
    let Some(login) = login(checkup, repository, &mut notes).await else { return };
    let github = &repository.spec.forge.github;
    let url = github.api_url.as_deref().unwrap_or(GITHUB_API);
    let url = match ApiUrl::parse(url, checkup.allow_http) {
        Ok(url) => url,
        Err(error) => {
            return notes
                .problem(error.to_string(), "correct forge.github.apiUrl of the Repository");
        }
    };
    let name = match RepoName::parse(&github.owner, &github.name) {
        Ok(name) => name,
        Err(error) => {
            return notes.problem(error.to_string(), "correct forge.github of the Repository");
        }
    };
    let known = repository.status.as_ref().and_then(|status| status.forge.as_ref());
    let id = known.and_then(|forge| u64::try_from(forge.repository_id).ok());
    let forge = apis.forge(&url, &login, name, id);
    let looked = match &forge {
        Ok(forge) => forge.repository().await,
        Err(error) => return trouble(error, &mut notes),
    };
    match looked {
        Ok(info) => reached(&info, id, &login, &mut notes),
        Err(error) => trouble(&error, &mut notes),
    }
    match &login {
        Login::Token(_) => {
            if let Ok(forge) = &forge {
                hooks::of_repository(checkup, forge, &mut notes).await;
            }
        }
        Login::App(app) => match apis.app_itself(&url, app) {
            Ok(app) => of_app(checkup, &app, &mut notes).await,
            Err(error) => trouble(&error, &mut notes),
        },
    }
}

/// What stands in the status.
fn said_by_the_service(checkup: &Checkup, repository: &Repository, notes: &mut Notes<'_>) {
    let Some(status) = &repository.status else {
        let advice = "look whether it runs, and in this namespace";
        return notes.problem("the service has not looked at it yet", advice);
    };
    for condition in &status.conditions {
        let name = condition.r#type.as_str();
        if CONDITIONS.contains(&name) && condition.status == "False" {
            let seen = format!("{name} is False ({})", condition.reason);
            notes.problem(seen, condition.message.clone());
        } else if name == "SweepHalted" && condition.status == "True" {
            let advice = format!("{}; docs/operations.md says how to allow it", condition.message);
            notes.warn("its sweep is halted", advice);
        }
    }
    match status.last_sweep {
        Some(at) if checkup.now - at.0 < SWEPT => {}
        Some(at) => notes.warn(
            format!("it was last swept at {}", at.0.format("%Y-%m-%d %H:%M UTC")),
            "look at the service's logs",
        ),
        None => notes.warn("it was never swept", "the first sweep follows the first good look"),
    }
}

/// Who the service is, by the Repository's Secret.
async fn login(checkup: &Checkup, repository: &Repository, notes: &mut Notes<'_>) -> Option<Login> {
    let name = &repository.spec.forge.github.credentials.secret_name;
    let api: Api<Secret> = Api::namespaced(checkup.home.clone(), &checkup.namespace);
    let secret = match api.get_opt(name).await {
        Ok(Some(secret)) => secret,
        Ok(None) => {
            let seen = format!("there is no Secret {name} in namespace {}", checkup.namespace);
            notes.problem(seen, "make it: docs/github.md, or bivouac github setup");
            return None;
        }
        Err(error) => {
            let seen = format!("the Secret {name} can't be read: {}", chain(&error));
            notes.warn(seen, "use an account that may read it");
            return None;
        }
    };
    match Credential::of(name, &secret) {
        Ok(Credential { login }) => {
            match &login {
                Login::Token(_) => notes.fine(format!("the Secret {name} holds a token")),
                Login::App(app) => {
                    notes.fine(format!("the Secret {name} holds the App {}", app.id()));
                }
            }
            Some(login)
        }
        Err(unusable) => {
            notes.problem(unusable.message, "docs/github.md lists the keys of the Secret");
            None
        }
    }
}

fn reached(info: &RepositoryInfo, id: Option<u64>, login: &Login, notes: &mut Notes<'_>) {
    if id.is_some_and(|id| id != info.id) {
        notes.problem(
            format!("{} is another repository than the one that is served", info.name),
            "delete the Repository and make it again to serve the new one",
        );
        return;
    }
    if info.archived {
        notes.warn(
            format!("{} is archived: nothing can be written there", info.name),
            "unarchive it",
        );
    }
    match (login, info.permission) {
        (Login::Token(_), Some(permission)) if permission < Permission::Write => notes.warn(
            format!(
                "the token may only {permission:?} in {}: no commit status, no deployments",
                info.name
            ),
            "give its account write access, or use a GitHub App",
        ),
        _ => notes.fine(format!("{} can be read", info.name)),
    }
}

/// Why the forge was not reached, in its own words.
fn trouble(error: &ForgeError, notes: &mut Notes<'_>) {
    let advice = match error {
        ForgeError::App { .. } => "the sentence says who has to do what",
        ForgeError::Unauthorized { .. } => "put a valid token into the Secret",
        ForgeError::NotFound { .. } => {
            "look for a slip in owner and name, and whether the login may see the repository"
        }
        ForgeError::RateLimited { .. } => "wait until then",
        _ => "look whether this machine reaches the forge, and again later",
    };
    notes.problem(chain(error), advice);
}

/// The App itself: what it asks for, what it hears, where its webhook leads, and what became of its deliveries.
async fn of_app(checkup: &Checkup, app: &AppItself, notes: &mut Notes<'_>) {
    let info = match app.info().await {
        Ok(info) => info,
        // The login has said so already.
        Err(ForgeError::App { .. }) => return,
        Err(error) => return trouble(&error, notes),
    };
    let settings = if info.html_url.starts_with("http") {
        format!("the App's settings (from {})", info.html_url)
    } else {
        "the App's settings".to_owned()
    };
    let Lacks { needed, welcome } = lacks(&info.permissions);
    if !needed.is_empty() {
        let seen = format!("the App {} does not ask for {}", info.slug, needed.join(", "));
        let advice = format!("add it in {settings}, then accept it for each installation");
        notes.problem(seen, advice);
    }
    if !welcome.is_empty() {
        let seen = format!("the App {} does not ask for {}", info.slug, welcome.join(", "));
        notes.warn(seen, format!("docs/github.md says what each is for; add it in {settings}"));
    }
    if needed.is_empty() && welcome.is_empty() {
        notes.fine(format!("the App {} asks for every permission that is of use", info.slug));
    }
    hooks::events(&info.events, &settings, notes);
    match app.hook().await {
        Ok(hook) => {
            if hooks::config(checkup, hook.as_ref(), &settings, notes) {
                hooks::log_of(checkup, app, notes).await;
            }
        }
        Err(error) => trouble(&error, notes),
    }
}
