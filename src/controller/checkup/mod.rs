//! What is wrong with an installation, and what to change: the cluster, and each Repository at its forge. I/O with home and
//! the forges; it only reads. Not part of the service's own work: `bivouac doctor` calls it, with the rights of the person
//! who does.

mod cluster;
mod forge;
mod hooks;

use chrono::{DateTime, Utc};
use kube::Client;
use serde::Serialize;

use crate::forge::Apis;

/// Where to look.
pub struct Checkup {
    /// The cluster of our own resources, and of the camps.
    pub home: Client,
    /// Name of the installation.
    pub instance: String,
    /// The namespace of its own resources.
    pub namespace: String,
    /// Name of the service's service account there; empty when it runs as an administrator.
    pub service_account: String,
    /// Clients of the forges; `None`: the cluster only.
    pub forges: Option<Apis>,
    /// Plain `http://` to a forge is allowed.
    pub allow_http: bool,
    /// Where webhooks are taken, when it is known: `https://HOST/webhook`.
    pub webhook_url: Option<String>,
    /// The present time.
    pub now: DateTime<Utc>,
}

/// How much something matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Weight {
    /// It is as it should be.
    Fine,
    /// It works, with something less.
    Warning,
    /// It does not work.
    Problem,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// What was looked at: `cluster`, or `repository NAME`.
    pub about: String,
    /// How much it matters.
    pub weight: Weight,
    /// What was seen.
    pub seen: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// What was found, in the order in which it was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found(Vec<Finding>);

impl Found {
    /// All of it.
    #[must_use]
    pub fn all(&self) -> &[Finding] {
        &self.0
    }

    /// Whether something does not work.
    #[must_use]
    pub fn has_problems(&self) -> bool {
        self.0.iter().any(|finding| finding.weight == Weight::Problem)
    }
}

/// Notes about one thing.
struct Notes<'a> {
    about: String,
    found: &'a mut Found,
}

impl Notes<'_> {
    fn put(&mut self, weight: Weight, seen: impl Into<String>, advice: Option<String>) {
        let about = self.about.clone();
        let seen = one_line(&seen.into());
        let advice = advice.as_deref().map(one_line);
        self.found.0.push(Finding { about, weight, seen, advice });
    }

    fn fine(&mut self, seen: impl Into<String>) {
        self.put(Weight::Fine, seen, None);
    }

    fn warn(&mut self, seen: impl Into<String>, advice: impl Into<String>) {
        self.put(Weight::Warning, seen, Some(advice.into()));
    }

    fn problem(&mut self, seen: impl Into<String>, advice: impl Into<String>) {
        self.put(Weight::Problem, seen, Some(advice.into()));
    }
}

/// What comes from outside must not write lines of its own, nor steer a terminal.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(1000).collect()
}

/// Looks at everything. `progress` is told what is being looked at.
pub async fn examine(checkup: &Checkup, progress: &(dyn Fn(&str) + Sync)) -> Found {
    let mut found = Found::default();
    progress("the cluster");
    let notes = Notes { about: "cluster".into(), found: &mut found };
    let repositories = cluster::examine(checkup, notes).await;
    let Some(apis) = &checkup.forges else { return found };
    for repository in repositories {
        let name = repository.metadata.name.clone().unwrap_or_default();
        progress(&format!("Repository {name}"));
        let notes = Notes { about: format!("repository {name}"), found: &mut found };
        forge::examine(checkup, apis, &repository, notes).await;
    }
    found
}
