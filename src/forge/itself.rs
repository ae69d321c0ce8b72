//! I/O · what a GitHub App asks about itself: who it is, where its webhook leads, what became of its deliveries, and that
//! one is sent again. It has a rate of its own, so none of this takes from its installations.

use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::Method;
use serde::Deserialize;
use serde_json::Value;

use super::api::Api;
use super::app::AppProblem;
use super::call::{Call, Reply};
use super::client::Forge;
use super::error::{ForgeError, one_line};
use crate::domain::healing::Logged;

/// Rows of a page of deliveries.
const PER_PAGE: usize = 100;

/// A GitHub App by itself, at one API.
#[derive(Clone, Debug)]
pub struct AppItself {
    api: Api,
    app: String,
}

/// What GitHub knows of an App.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct AppInfo {
    /// Its name in addresses.
    pub slug: String,
    /// Its page for people.
    #[serde(default)]
    pub html_url: String,
    /// What it asks for when it is installed: name to level.
    #[serde(default)]
    pub permissions: BTreeMap<String, String>,
    /// Events that it is told.
    #[serde(default)]
    pub events: Vec<String>,
}

/// Where an App's webhook leads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct HookConfig {
    /// Its address.
    #[serde(default)]
    pub url: Option<String>,
    /// `json` or `form`.
    #[serde(default)]
    pub content_type: Option<String>,
    /// GitHub shows stars where there is one.
    #[serde(default)]
    pub secret: Option<String>,
    /// `0` or `1`, as text or number.
    #[serde(default)]
    insecure_ssl: Option<Value>,
}

impl HookConfig {
    /// Certificates are not checked.
    #[must_use]
    pub fn is_insecure(&self) -> bool {
        self.insecure_ssl.as_ref().is_some_and(|value| *value == "1" || *value == 1)
    }

    /// Deliveries are signed.
    #[must_use]
    pub fn has_secret(&self) -> bool {
        self.secret.as_deref().is_some_and(|secret| !secret.is_empty())
    }
}

/// A webhook of a repository.
#[derive(Clone, Debug, Deserialize)]
pub struct RepositoryHook {
    /// Something is sent.
    #[serde(default)]
    pub active: bool,
    /// Events that it is told.
    #[serde(default)]
    pub events: Vec<String>,
    /// Where it leads.
    #[serde(default)]
    pub config: HookConfig,
    /// What became of the last delivery.
    #[serde(default)]
    pub last_response: LastResponse,
}

/// What became of the last delivery of a webhook.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct LastResponse {
    /// HTTP status; `None` when nothing was sent yet.
    #[serde(default)]
    pub code: Option<u16>,
}

impl Forge {
    /// The first hundred webhooks of the repository; they need a right that most tokens lack.
    pub async fn hooks(&self) -> Result<Vec<RepositoryHook>, ForgeError> {
        let path = self.path("/hooks?per_page=100");
        self.api.send(Call::get(&path)).await?.json()
    }
}

/// Which deliveries are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// All.
    All,
    /// Those that were not answered with 2xx.
    Failed,
    /// Those that were.
    Arrived,
}

#[derive(Deserialize)]
struct Row {
    id: u64,
    guid: String,
    delivered_at: DateTime<Utc>,
    #[serde(default)]
    redelivery: bool,
    #[serde(default)]
    status: String,
    #[serde(default)]
    status_code: u16,
    event: String,
    action: Option<String>,
    repository_id: Option<u64>,
}

#[derive(Deserialize)]
struct Whole {
    request: Request,
}

#[derive(Deserialize)]
struct Request {
    payload: Value,
}

impl From<Row> for Logged {
    fn from(row: Row) -> Self {
        let Row {
            id,
            guid,
            delivered_at,
            redelivery,
            status,
            status_code,
            event,
            action,
            repository_id,
        } = row;
        Self {
            id,
            guid: one_line(&guid),
            at: delivered_at,
            again: redelivery,
            code: status_code,
            status: one_line(&status),
            event: one_line(&event),
            action: action.as_deref().map(one_line),
            repository: repository_id.filter(|id| *id > 0),
        }
    }
}

impl AppItself {
    pub(super) fn new(api: Api, app: String) -> Self {
        Self { api, app }
    }

    /// The App's id, as it stands in the Secret.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.app
    }

    /// Who it is.
    pub async fn info(&self) -> Result<AppInfo, ForgeError> {
        self.send(Call::get("/app")).await?.json()
    }

    /// Where its webhook leads; `None` when it has none.
    pub async fn hook(&self) -> Result<Option<HookConfig>, ForgeError> {
        match self.send(Call::get("/app/hook/config")).await {
            Ok(reply) => reply.json().map(Some),
            Err(ForgeError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Its log of deliveries down to `since`, newest first, of at most `pages` pages.
    pub async fn deliveries(
        &self,
        which: Which,
        since: DateTime<Utc>,
        pages: usize,
    ) -> Result<Vec<Logged>, ForgeError> {
        let filter = match which {
            Which::All => "",
            Which::Failed => "&status=failure",
            Which::Arrived => "&status=success",
        };
        let mut path = format!("/app/hook/deliveries?per_page={PER_PAGE}{filter}");
        let mut all = Vec::new();
        for _ in 0..pages {
            let reply = self.send(Call::get(&path)).await?;
            let rows: Vec<Row> = reply.json()?;
            let before = rows.iter().any(|row| row.delivered_at < since);
            let rows = rows.into_iter().map(Logged::from).filter(|row| row.at >= since);
            // An older server does not know the filter, and gives all.
            all.extend(rows.filter(|row| match which {
                Which::All => true,
                Which::Failed => !row.arrived(),
                Which::Arrived => row.arrived(),
            }));
            match reply.next().filter(|_| !before) {
                Some(next) => path = next,
                None => break,
            }
        }
        Ok(all)
    }

    /// What was sent.
    pub async fn payload(&self, delivery: u64) -> Result<Bytes, ForgeError> {
        let path = format!("/app/hook/deliveries/{delivery}");
        let whole: Whole = self.send(Call::get(&path)).await?.json()?;
        Ok(Bytes::from(whole.request.payload.to_string()))
    }

    /// Has a delivery sent once more.
    pub async fn deliver_again(&self, delivery: u64) -> Result<(), ForgeError> {
        let path = format!("/app/hook/deliveries/{delivery}/attempts");
        self.send(Call { method: Method::POST, path: &path, body: None, tag: None }).await.map(drop)
    }

    async fn send(&self, call: Call<'_>) -> Result<Reply, ForgeError> {
        self.api.send(call).await.map_err(|error| match error {
            ForgeError::Unauthorized { call } => {
                let message = "HTTP 401".to_owned();
                ForgeError::App {
                    call,
                    problem: AppProblem::Refused { app: self.app.clone(), message },
                }
            }
            other => other,
        })
    }
}
