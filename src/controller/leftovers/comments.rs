//! Comments of this installation on pull requests that no record speaks for. I/O with home and the forges.
//!
//! A comment counts as ours as everywhere: its author is the token's own account and its first line is our marker. One
//! that says that its preview is gone is no orphan: it is the last word, and outlives its record.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use serde::Serialize;

use super::Search;
use crate::controller::credentials::login_of;
use crate::controller::error::chain;
use crate::crd::{Environment, Repository};
use crate::domain::comment::{Marker, is_last_word};
use crate::domain::id::RepoName;
use crate::domain::status::bounded;
use crate::forge::{ApiUrl, Comment, Forge};

/// GitHub's own API.
const GITHUB_API: &str = "https://api.github.com";

/// Comments of a Repository that are looked at, the newest.
pub(super) const MOST: &str = "10,000";

/// A comment that belongs to no Environment.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OrphanComment {
    /// Name of the Repository.
    pub repository: String,
    /// Number of the pull request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<u64>,
    /// Its id.
    pub id: u64,
    /// Its page.
    pub url: String,
    /// Why it belongs to none.
    pub reason: String,
    #[serde(skip)]
    forge: Forge,
}

pub(super) async fn of_repository(
    search: &Search,
    name: &str,
    repository: &Repository,
) -> Result<(Vec<OrphanComment>, bool), String> {
    let forge = forge_of(search, repository).await?;
    let words = |error| chain(&error);
    let me = forge.viewer().await.map_err(words)?.id;
    let (comments, whole) = forge.comments_since(search.comments_since).await.map_err(words)?;
    let instance = Marker::new(&search.instance, "", 0).instance;
    let mut ours: Vec<(Comment, Marker)> = comments
        .into_iter()
        .filter(|comment| comment.author.id == me)
        .filter_map(|comment| Marker::find(&comment.body).map(|marker| (comment, marker)))
        .filter(|(_, marker)| marker.instance == instance)
        .collect();
    ours.sort_by_key(|(comment, _)| (comment.on.map(|on| on.0), comment.id));
    // After the comments: what was written meanwhile has a record that is seen.
    let records = super::records(search).await.map_err(|error| chain(&error))?;
    let records: BTreeMap<u64, &Environment> = super::of_repository(search, name, &records)
        .filter_map(|record| Some((record.spec.source.number()?, record)))
        .collect();
    let mut orphans = Vec::new();
    let mut before = None;
    for (comment, marker) in ours {
        let number = comment.on.map(|on| on.0);
        // The oldest is the one that is kept.
        let second = number.is_some() && before == number;
        before = number;
        let record = number.and_then(|number| records.get(&number).copied());
        let Some(reason) = orphaned(&comment, &marker, record, second) else { continue };
        orphans.push(OrphanComment {
            repository: name.to_owned(),
            pull_request: number,
            id: comment.id,
            url: bounded(&comment.html_url, 300),
            reason,
            forge: forge.clone(),
        });
    }
    Ok((orphans, whole))
}

/// Why no record speaks for a comment; `None` when one does, or when it needs none.
fn orphaned(
    comment: &Comment,
    marker: &Marker,
    record: Option<&Environment>,
    second: bool,
) -> Option<String> {
    let Some(record) = record else {
        return (!is_last_word(&comment.body))
            .then(|| "there is no Environment for this pull request".to_owned());
    };
    let name = record.metadata.name.as_deref().unwrap_or_default();
    let recorded = record.status.as_ref().and_then(|status| status.report.as_ref());
    let recorded = recorded.and_then(|report| report.comment.as_ref()).map(|comment| comment.id);
    if recorded.and_then(|id| u64::try_from(id).ok()) == Some(comment.id) {
        return None;
    }
    // Nothing is recorded yet: the oldest will be taken, whoever it is of.
    if recorded.is_none() && !second {
        return None;
    }
    let whose = if record.metadata.uid.as_deref() == Some(marker.id.as_str()) {
        "a second one"
    } else {
        "one of an Environment that was before it"
    };
    Some(format!("Environment {name} has another comment; this is {whose}"))
}

pub(super) async fn forge_of(search: &Search, repository: &Repository) -> Result<Forge, String> {
    let github = &repository.spec.forge.github;
    let secret_name = &github.credentials.secret_name;
    let api: Api<Secret> = Api::namespaced(search.home.clone(), &search.namespace);
    let secret = api.get_opt(secret_name).await.map_err(|error| chain(&error))?;
    let secret = secret.ok_or_else(|| format!("there is no Secret {secret_name}"))?;
    let login = login_of(secret_name, &secret).map_err(|unusable| unusable.message)?;
    let url = github.api_url.as_deref().unwrap_or(GITHUB_API);
    let url = ApiUrl::parse(url, search.allow_http).map_err(|error| chain(&error))?;
    let name = RepoName::parse(&github.owner, &github.name).map_err(|error| chain(&error))?;
    let forges = search.forges.as_ref().ok_or("forges are not asked")?;
    forges.forge(&url, &login, name, None).map_err(|error| chain(&error))
}

pub(super) async fn remove(search: &Search, found: &[OrphanComment]) -> Vec<(String, String)> {
    let instance = Marker::new(&search.instance, "", 0).instance;
    let mut failed = Vec::new();
    for orphan in found {
        // Read again: somebody may have taken it over meanwhile.
        let outcome = match orphan.forge.comment(orphan.id).await {
            Ok(now) if Marker::find(&now.body).is_some_and(|m| m.instance == instance) => {
                orphan.forge.delete_comment(orphan.id).await
            }
            Ok(_) | Err(crate::forge::ForgeError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            failed.push((orphan.url.clone(), chain(&error)));
        }
    }
    failed
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::pull_request::Author;

    fn comment(id: u64, heading: &str) -> (Comment, Marker) {
        let marker = Marker::new("main", "e1", 3);
        let body = format!("{marker}\n\n### {heading}\n");
        let author = Author { id: 1, login: "bot".into(), bot: false };
        let comment = Comment {
            id,
            body,
            author,
            html_url: String::new(),
            on: None,
            created_at: None,
            updated_at: None,
            node: String::new(),
        };
        (comment, marker)
    }

    fn record(uid: &str, comment: Option<i64>) -> Environment {
        let report = comment.map(
            |id| json!({"comment": {"id": id, "url": "", "hash": "", "basis": "", "sequence": 1}}),
        );
        let report = report.unwrap_or(Value::Null);
        serde_json::from_value(json!({
            "apiVersion": "bivouac.dev/v1alpha1",
            "kind": "Environment",
            "metadata": {"name": "shop-pr-1", "uid": uid},
            "spec": {"repository": "shop", "source": {"pullRequest": {"number": 1}}},
            "status": {"report": report},
        }))
        .expect("a record")
    }

    #[test]
    fn a_comment_is_an_orphan_unless_it_is_recorded_or_the_last_word() {
        for (heading, record, second, orphan) in [
            ("Preview is ready", None, false, true),
            ("Preview is gone", None, false, false),
            ("Preview is ready", Some(record("e1", Some(7))), false, false),
            ("Preview is ready", Some(record("e1", Some(8))), false, true),
            ("Preview is ready", Some(record("e2", None)), false, false),
            ("Preview is ready", Some(record("e1", None)), true, true),
        ] {
            let (comment, marker) = comment(7, heading);
            let reason = orphaned(&comment, &marker, record.as_ref(), second);
            assert_eq!(reason.is_some(), orphan, "{heading} {second} {reason:?}");
        }
    }
}
