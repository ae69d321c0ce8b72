//! Webhooks: hooks, the log of deliveries and the task that sends them (I/O by a `Transport`), in order per hook,
//! without retries, as GitHub does.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::Request;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::faults::Fate;
use super::model::{Repo, Time};
use super::refusal::Refusal;
use super::state::State;
use super::views::{self, node_id, time};
use crate::seams::{BoxError, Transport, body};

/// GitHub waits this long for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// So much of an answer is read.
const MOST_ANSWER: usize = 64 * 1024;
/// Deliveries in the log, with their payloads. Those that wait are never dropped.
pub(super) const MOST_DELIVERIES: usize = 5_000;

/// The log goes back for so long.
const KEPT: chrono::Duration = chrono::Duration::days(3);

/// Whose events a hook gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Repo(u64),
    App(u64),
}

/// What a hook wants and where it sends it.
#[derive(Clone, Debug)]
pub(super) struct Hook {
    pub(super) id: u64,
    pub(super) scope: Scope,
    pub(super) url: String,
    pub(super) secret: String,
    /// `*` is all.
    pub(super) events: BTreeSet<String>,
    pub(super) active: bool,
    pub(super) created_at: Time,
    pub(super) queue: mpsc::UnboundedSender<u64>,
}

/// One delivery, sent or still to be sent.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) id: u64,
    pub(super) guid: String,
    pub(super) hook: u64,
    pub(super) event: String,
    pub(super) action: Option<String>,
    pub(super) repository: u64,
    pub(super) payload: Bytes,
    pub(super) delivered_at: Time,
    pub(super) redelivery: bool,
    pub(super) outcome: Outcome,
}

/// What became of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Waits for its turn.
    Queued,
    /// Never sent: a fault lost it. GitHub's log would not show it either.
    Lost,
    /// Answered with this status.
    Answered(u16),
    /// No answer: the reason, as GitHub says it.
    Failed(String),
}

impl Outcome {
    /// GitHub's `status_code` and `status`.
    pub(super) fn words(&self) -> (u16, String) {
        match self {
            Self::Queued | Self::Lost => (0, "pending".to_owned()),
            Self::Answered(code) if (200..300).contains(code) => (*code, "OK".to_owned()),
            Self::Answered(code) => {
                let status = http::StatusCode::from_u16(*code).ok();
                let words = status.and_then(|status| status.canonical_reason());
                (*code, format!("Invalid HTTP Response: {}", words.unwrap_or("unknown")))
            }
            Self::Failed(why) if why == "timed out" => (504, why.clone()),
            Self::Failed(why) => (502, why.clone()),
        }
    }
}

/// `push` shows its repository in an older form than every other event.
fn push_differences(state: &State, repo: &Repo, json: &mut Value) {
    let login = state.login(repo.owner);
    json["owner"]["name"] = login.into();
    json["owner"]["email"] = format!("{login}@users.noreply.github.com").into();
    json["created_at"] = repo.created_at.timestamp().into();
    json["pushed_at"] = repo.pushed_at.timestamp().into();
    json["stargazers"] = 0.into();
    json["master_branch"] = repo.default_branch.clone().into();
}

/// What the worker of a hook needs to reach the receiver.
#[derive(Clone)]
pub(super) struct Sink(pub(super) Transport);

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sink")
    }
}

/// `sha256=…` over the raw bytes.
pub(super) fn signature(secret: &str, payload: &[u8]) -> String {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length is a key");
    mac.update(payload);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

impl State {
    /// Queues `event` for every hook that wants it.
    pub(super) fn emit(&mut self, event: &str, repository: u64, sender: u64, payload: Value) {
        let Some(repo) = self.repos.get(&repository) else { return };
        let mut payload = payload;
        let common = json!({
            "repository": self.repo_json(repo, super::model::Actor::Anonymous),
            "sender": self.user_json(sender),
        });
        views::merge_into(&mut payload, common);
        if event == "push" {
            push_differences(self, repo, &mut payload["repository"]);
        }
        if let Some(owner) = self.accounts.get(&repo.owner)
            && owner.kind == super::model::AccountKind::Organization
        {
            let api = format!("{}/orgs/{}", self.api(), owner.login);
            payload["organization"] = json!({
                "login": owner.login, "id": owner.id,
                "node_id": node_id("Organization", owner.id), "url": api,
                "repos_url": format!("{api}/repos"), "events_url": format!("{api}/events"),
                "hooks_url": format!("{api}/hooks"), "issues_url": format!("{api}/issues"),
                "members_url": format!("{api}/members{{/member}}"),
                "public_members_url": format!("{api}/public_members{{/member}}"),
                "avatar_url": format!("{}/avatars/u/{}", self.url, owner.id), "description": "",
            });
        }
        let wanted: Vec<(u64, Option<u64>)> = self
            .hooks
            .values()
            .filter(|hook| hook.active)
            .filter(|hook| hook.events.contains("*") || hook.events.contains(event))
            .filter_map(|hook| match hook.scope {
                Scope::Repo(id) => (id == repository).then_some((hook.id, None)),
                Scope::App(app) => self
                    .installations
                    .values()
                    .find(|found| {
                        found.app == app
                            && found.suspended_at.is_none()
                            && self.installed(found.id, repo)
                    })
                    .map(|found| (hook.id, Some(found.id))),
            })
            .collect();
        for (hook, installation) in wanted {
            let mut payload = payload.clone();
            if let Some(id) = installation {
                payload["installation"] =
                    json!({ "id": id, "node_id": node_id("Integration", id) });
            }
            self.queue(hook, event, repository, &payload);
        }
    }

    /// Queues an event of an installation for its App, which gets it whether it subscribed or not.
    pub(super) fn emit_installation(
        &mut self,
        event: &str,
        found: &super::model::Installation,
        payload: Value,
    ) {
        let mut payload = payload;
        let common = json!({
            "installation": self.installation_json(found),
            "sender": self.user_json(found.account),
        });
        views::merge_into(&mut payload, common);
        let of_app = |hook: &&Hook| hook.active && hook.scope == Scope::App(found.app);
        let hooks: Vec<u64> = self.hooks.values().filter(of_app).map(|hook| hook.id).collect();
        for hook in hooks {
            self.queue(hook, event, 0, &payload);
        }
    }

    /// As an event of an installation names repositories.
    pub(super) fn named_json(&self, repositories: &BTreeSet<u64>) -> Value {
        let found = repositories.iter().filter_map(|id| self.repos.get(id));
        let rows = found.map(|repo| {
            json!({
                "id": repo.id, "node_id": node_id("Repository", repo.id), "name": repo.name,
                "full_name": self.full_name(repo), "private": repo.private,
            })
        });
        rows.collect::<Vec<_>>().into()
    }

    /// Repositories of an installation.
    pub(super) fn repositories_of(&self, found: &super::model::Installation) -> BTreeSet<u64> {
        let owned = self.repos.values().filter(|repo| repo.owner == found.account);
        let owned: BTreeSet<u64> = owned.map(|repo| repo.id).collect();
        found.repositories.clone().unwrap_or(owned)
    }

    /// Queues one payload for one hook, with the faults of the plan.
    pub(super) fn queue(&mut self, hook: u64, event: &str, repository: u64, payload: &Value) {
        let fate = self.faults.fate();
        let id = self.id();
        let delivery = Delivery {
            id,
            guid: self.rng.uuid().to_string(),
            hook,
            event: event.to_owned(),
            action: payload["action"].as_str().map(str::to_owned),
            repository,
            payload: payload.to_string().into(),
            delivered_at: self.now(),
            redelivery: false,
            outcome: if fate == Fate::Lost { Outcome::Lost } else { Outcome::Queued },
        };
        self.remember(id, delivery);
        let times = match fate {
            Fate::Lost => 0,
            Fate::Sent => 1,
            Fate::Doubled => 2,
        };
        for _ in 0..times {
            self.enqueue(hook, id);
        }
    }

    /// Puts a delivery into the log; of a very long log the oldest that is done goes. GitHub keeps one for three days.
    fn remember(&mut self, id: u64, delivery: Delivery) {
        if self.deliveries.len() >= MOST_DELIVERIES {
            let mut done = self.deliveries.iter().filter(|(_, old)| old.outcome != Outcome::Queued);
            if let Some(oldest) = done.next().map(|(id, _)| *id) {
                self.deliveries.remove(&oldest);
            }
        }
        self.deliveries.insert(id, delivery);
    }

    fn enqueue(&self, hook: u64, delivery: u64) {
        if let Some(hook) = self.hooks.get(&hook) {
            // A closed queue means that the sandbox is shutting down.
            let _ = hook.queue.send(delivery);
        }
    }

    /// Whether the log still shows it.
    pub(super) fn is_kept(&self, delivery: &Delivery) -> bool {
        self.now() - delivery.delivered_at < KEPT
    }

    /// Sends a delivery again, with its old GUID, as `POST …/attempts` does.
    pub(super) fn redeliver(&mut self, id: u64) -> Result<u64, Refusal> {
        let old = self.deliveries.get(&id).cloned().ok_or_else(Refusal::not_found)?;
        let id = self.id();
        let delivery = Delivery {
            id,
            delivered_at: self.now(),
            redelivery: true,
            outcome: Outcome::Queued,
            ..old
        };
        let hook = delivery.hook;
        self.remember(id, delivery);
        self.enqueue(hook, id);
        Ok(id)
    }

    pub(super) fn hook_json(&self, hook: &Hook) -> Value {
        let url = match hook.scope {
            Scope::Repo(id) => self.repos.get(&id).map(|repo| self.repo_api(repo)),
            Scope::App(_) => None,
        };
        let url = url.map(|url| format!("{url}/hooks/{}", hook.id));
        json!({
            "type": if url.is_some() { "Repository" } else { "App" },
            "id": hook.id,
            "name": "web",
            "active": hook.active,
            "events": hook.events,
            "config": {
                "content_type": "json", "insecure_ssl": "0", "url": hook.url, "secret": "********",
            },
            "url": url,
            "ping_url": url.as_ref().map(|url| format!("{url}/pings")),
            "deliveries_url": url.as_ref().map(|url| format!("{url}/deliveries")),
            "created_at": time(hook.created_at),
            "updated_at": time(hook.created_at),
            "last_response": { "code": null, "status": "unused", "message": null },
        })
    }

    /// One row of the log; `whole` adds request and response.
    pub(super) fn delivery_json(&self, delivery: &Delivery, whole: bool) -> Value {
        let (code, status) = delivery.outcome.words();
        let hook = self.hooks.get(&delivery.hook);
        let installation = match hook.map(|hook| hook.scope) {
            Some(Scope::App(_)) => serde_json::from_slice::<Value>(&delivery.payload)
                .ok()
                .and_then(|payload| payload["installation"]["id"].as_u64()),
            _ => None,
        };
        let mut json = json!({
            "id": delivery.id,
            "guid": delivery.guid,
            "delivered_at": time(delivery.delivered_at),
            "redelivery": delivery.redelivery,
            "duration": 0.0,
            "status": status,
            "status_code": code,
            "event": delivery.event,
            "action": delivery.action,
            "installation_id": installation,
            "repository_id": Some(delivery.repository).filter(|id| *id > 0),
            "throttled_at": null,
        });
        if whole {
            let payload: Value = serde_json::from_slice(&delivery.payload).unwrap_or_default();
            json["url"] = hook.map_or("", |hook| &hook.url).into();
            let headers = self.delivery_headers(delivery).into_iter();
            let headers: serde_json::Map<String, Value> =
                headers.map(|(name, value)| (name.to_owned(), value.into())).collect();
            json["request"] = json!({ "headers": headers, "payload": payload });
            json["response"] = json!({ "headers": {}, "payload": "" });
        }
        json
    }

    fn delivery_headers(&self, delivery: &Delivery) -> Vec<(&'static str, String)> {
        let Some(hook) = self.hooks.get(&delivery.hook) else { return Vec::new() };
        let (kind, target) = match hook.scope {
            Scope::Repo(id) => ("repository", id),
            Scope::App(id) => ("integration", id),
        };
        let mut headers = vec![
            ("accept", "*/*".to_owned()),
            ("content-type", "application/json".to_owned()),
            ("user-agent", "GitHub-Hookshot/sandbox".to_owned()),
            ("x-github-delivery", delivery.guid.clone()),
            ("x-github-event", delivery.event.clone()),
            ("x-github-hook-id", hook.id.to_string()),
            ("x-github-hook-installation-target-id", target.to_string()),
            ("x-github-hook-installation-target-type", kind.to_owned()),
        ];
        if !hook.secret.is_empty() {
            headers.push(("x-hub-signature-256", signature(&hook.secret, &delivery.payload)));
        }
        headers
    }

    /// The request of a delivery, and how long it waits before it is sent.
    fn prepare(&self, id: u64) -> Option<(Request<crate::seams::Body>, Duration)> {
        let delivery = self.deliveries.get(&id)?;
        let hook = self.hooks.get(&delivery.hook).filter(|hook| hook.active)?;
        let mut request = Request::post(&hook.url);
        for (name, value) in self.delivery_headers(delivery) {
            request = request.header(name, value);
        }
        let request = request
            .header("content-length", delivery.payload.len())
            .body(body(delivery.payload.clone()))
            .ok()?;
        Some((request, self.faults.delay()))
    }
}

/// Sends what is queued for one hook, one after the other, until the sandbox ends.
pub(super) async fn work(
    state: Weak<Mutex<State>>,
    mut queue: mpsc::UnboundedReceiver<u64>,
    sink: Sink,
    stop: CancellationToken,
) {
    loop {
        let id = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            next = queue.recv() => match next {
                Some(id) => id,
                None => return,
            },
        };
        let prepared = {
            let Some(state) = state.upgrade() else { return };
            let state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.prepare(id)
        };
        let Some((request, delay)) = prepared else { continue };
        let outcome = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            outcome = send(&sink, request, delay) => outcome,
        };
        let Some(state) = state.upgrade() else { return };
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(delivery) = state.deliveries.get_mut(&id) {
            delivery.outcome = outcome;
        }
    }
}

async fn send(sink: &Sink, request: Request<crate::seams::Body>, delay: Duration) -> Outcome {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let answer = async {
        let response = call(sink.0.clone(), request).await.ok()?;
        let status = response.status().as_u16();
        // Read and dropped, bounded: a receiver that streams for ever must not hold the queue up.
        super::server::read(response.into_body(), MOST_ANSWER).await;
        Some(status)
    };
    match tokio::time::timeout(TIMEOUT, answer).await {
        Err(_) => Outcome::Failed("timed out".to_owned()),
        Ok(None) => Outcome::Failed("failed to connect to host".to_owned()),
        Ok(Some(status)) => Outcome::Answered(status),
    }
}

/// Boxed here, so that the task's type does not hold the transport's.
fn call(
    transport: Transport,
    request: Request<crate::seams::Body>,
) -> BoxFuture<'static, Result<http::Response<crate::seams::Body>, BoxError>> {
    transport.oneshot(request).boxed()
}

/// A transport to any address over sockets, without proxies and without following redirects.
pub(super) fn sockets() -> Result<Transport, Refusal> {
    // Fails when the program has installed a provider already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(Refusal::broken)?;
    Ok(Transport::new(tower::service_fn(move |request: Request<crate::seams::Body>| {
        let client = client.clone();
        async move {
            let (parts, request) = request.into_parts();
            let bytes = super::server::read(request, usize::MAX).await.unwrap_or_default();
            let mut builder = client.request(parts.method, parts.uri.to_string()).body(bytes);
            for (name, value) in &parts.headers {
                if name != http::header::CONTENT_LENGTH {
                    builder = builder.header(name, value);
                }
            }
            let response = builder.send().await.map_err(BoxError::from)?;
            let status = response.status();
            let bytes = response.bytes().await.map_err(BoxError::from)?;
            let mut answer = http::Response::new(body(bytes));
            *answer.status_mut() = status;
            Ok::<_, BoxError>(answer)
        }
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_githubs_example() {
        assert_eq!(
            signature("It's a Secret to Everybody", b"Hello, World!"),
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        );
    }
}
