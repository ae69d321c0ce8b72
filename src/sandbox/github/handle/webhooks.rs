//! Handle: webhooks and the log of their deliveries.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::{DeliveryView, HookConfig};
use crate::sandbox::github::hooks::{self, Hook, Scope, Sink};
use crate::sandbox::github::model::Actor;
use crate::sandbox::github::{GitHub, Refusal};

/// Webhooks.
impl GitHub {
    /// Adds a webhook to a repository and pings it; gives its id. Needs a tokio runtime.
    pub fn add_hook(&self, repo: &str, config: HookConfig) -> Result<u64, Refusal> {
        let repo = self.state().named(repo)?;
        self.hook(Scope::Repo(repo), config)
    }

    /// Sets the webhook of an App: it gets the events of all repositories the App is installed in.
    pub fn add_app_hook(&self, app: u64, config: HookConfig) -> Result<u64, Refusal> {
        if !self.state().apps.contains_key(&app) {
            return Err(Refusal::not_found());
        }
        self.hook(Scope::App(app), config)
    }

    fn hook(&self, scope: Scope, config: HookConfig) -> Result<u64, Refusal> {
        let HookConfig { url, transport, secret, events } = config;
        let sink = Sink(match transport {
            Some(transport) => transport,
            None => hooks::sockets()?,
        });
        let (queue, waiting) = mpsc::unbounded_channel();
        let mut state = self.state();
        let (id, created_at) = (state.id(), state.now());
        let events: BTreeSet<String> = events.into_iter().collect();
        let hook = Hook { id, scope, url, secret, events, active: true, created_at, queue };
        let mut ping = serde_json::json!({
            "zen": "Keep it logically awesome.", "hook_id": id, "hook": state.hook_json(&hook),
        });
        let (repo, sender) = match scope {
            Scope::Repo(repo) => (repo, state.repo(repo)?.owner),
            Scope::App(app) => (0, state.apps.get(&app).map_or(0, |app| app.owner)),
        };
        if let Some(found) = state.repos.get(&repo) {
            ping["repository"] = state.repo_json(found, Actor::Anonymous);
        }
        ping["sender"] = state.user_json(sender);
        state.hooks.insert(id, hook);
        let work =
            hooks::work(Arc::downgrade(&self.0.state), waiting, sink, self.0.stop.child_token());
        tokio::spawn(work);
        state.queue(id, "ping", repo, &ping);
        Ok(id)
    }

    /// Takes a webhook away, with its log.
    pub fn remove_hook(&self, hook: u64) -> Result<(), Refusal> {
        let mut state = self.state();
        state.hooks.remove(&hook).ok_or_else(Refusal::not_found)?;
        state.deliveries.retain(|_, delivery| delivery.hook != hook);
        Ok(())
    }

    /// Stops or restarts the sending of a hook's events.
    pub fn set_hook_active(&self, hook: u64, active: bool) {
        if let Some(hook) = self.state().hooks.get_mut(&hook) {
            hook.active = active;
        }
    }

    /// Log of a hook's deliveries, oldest first.
    #[must_use]
    pub fn deliveries(&self, hook: u64) -> Vec<DeliveryView> {
        let state = self.state();
        let deliveries = state.deliveries.values().filter(|delivery| delivery.hook == hook);
        deliveries
            .map(|delivery| DeliveryView {
                id: delivery.id,
                guid: delivery.guid.clone(),
                event: delivery.event.clone(),
                action: delivery.action.clone(),
                redelivery: delivery.redelivery,
                outcome: delivery.outcome.clone(),
                payload: delivery.payload.clone(),
            })
            .collect()
    }

    /// How the hooks of Apps that are made by a manifest reach their address; over sockets when nothing is said.
    pub fn lead_hooks(&self, transport: crate::seams::Transport) {
        self.state().way_of_hooks = Some(Sink(transport));
    }

    /// Sends a delivery once more.
    pub fn redeliver(&self, delivery: u64) -> Result<u64, Refusal> {
        self.state().redeliver(delivery)
    }
}
