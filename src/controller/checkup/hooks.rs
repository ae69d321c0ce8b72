//! Webhooks, of an App or of a repository: events, address, secret, and the last deliveries. I/O with the forge.

use chrono::TimeDelta;

use super::super::error::chain;
use super::{Checkup, Notes};
use crate::domain::healing::Logged;
use crate::forge::{AppItself, Forge, ForgeError, HookConfig, RepositoryHook, Which};

/// Without these nothing is heard of in time.
const NEEDED: &[&str] = &["pull_request"];
/// What else makes a difference.
const WELCOME: &[&str] = &["check_run", "delete", "issue_comment", "push", "repository"];
/// Deliveries of the last time are looked at.
const LATELY: TimeDelta = TimeDelta::days(3);
/// Of them, so many pages at most.
const PAGES: usize = 1;
/// So many of the newest count.
const NEWEST: usize = 20;

/// Which events are subscribed to.
pub(super) fn events(subscribed: &[String], where_to: &str, notes: &mut Notes<'_>) {
    let lacks = |wanted: &[&str]| -> Vec<String> {
        let missing =
            wanted.iter().filter(|one| !subscribed.iter().any(|has| has == *one || has == "*"));
        missing.map(|one| (*one).to_owned()).collect()
    };
    let (needed, welcome) = (lacks(NEEDED), lacks(WELCOME));
    if !needed.is_empty() {
        let seen = format!("the webhook does not hear of {}", needed.join(", "));
        notes.problem(seen, format!("subscribe to it in {where_to}; the sweep alone is slow"));
    }
    if !welcome.is_empty() {
        let seen = format!("the webhook does not hear of {}", welcome.join(", "));
        notes.warn(seen, format!("subscribe to it in {where_to}; until then the sweep finds it"));
    }
    if needed.is_empty() && welcome.is_empty() {
        notes.fine("the webhook hears of every event that is of use");
    }
}

/// Where it leads. Says whether there is one.
pub(super) fn config(
    checkup: &Checkup,
    hook: Option<&HookConfig>,
    where_to: &str,
    notes: &mut Notes<'_>,
) -> bool {
    let url = hook.and_then(|hook| hook.url.as_deref()).filter(|url| !url.is_empty());
    let (Some(hook), Some(url)) = (hook, url) else {
        let wanted = checkup.webhook_url.as_deref().unwrap_or("https://HOST/webhook");
        let advice = format!("set the webhook address {wanted} in {where_to}, and make it active");
        notes.problem("there is no webhook: the sweeps alone find what happens", advice);
        return false;
    };
    address(checkup, url, where_to, notes);
    form(hook, where_to, notes);
    true
}

/// How it sends what it sends.
fn form(hook: &HookConfig, where_to: &str, notes: &mut Notes<'_>) {
    if !hook.has_secret() {
        let advice = format!("set the webhookSecret of the Secret in {where_to}");
        notes.problem("the webhook has no secret: every delivery is answered 401", advice);
    }
    if hook.content_type.as_deref().is_some_and(|kind| kind != "json") {
        let advice = format!("choose application/json in {where_to}");
        notes.problem("the webhook sends a form: every delivery is answered 400", advice);
    }
    if hook.is_insecure() {
        notes.warn("the webhook checks no certificate", format!("switch it on in {where_to}"));
    }
}

fn address(checkup: &Checkup, url: &str, where_to: &str, notes: &mut Notes<'_>) {
    if let Some(wanted) = &checkup.webhook_url {
        if wanted.trim_end_matches('/') == url.trim_end_matches('/') {
            notes.fine(format!("the webhook leads to {url}"));
        } else {
            let advice = format!("set it to {wanted} in {where_to}");
            notes.problem(format!("the webhook leads to {url}"), advice);
        }
        return;
    }
    if !url.trim_end_matches('/').ends_with("/webhook") {
        let advice = format!("the service listens at /webhook; look at the address in {where_to}");
        notes.warn(format!("the webhook leads to {url}"), advice);
    } else if url.starts_with("http://") && !checkup.allow_http {
        let advice = format!("use https:// in {where_to}: what is sent can be read on its way");
        notes.warn(format!("the webhook leads to {url}"), advice);
    } else {
        notes.fine(format!("the webhook leads to {url}"));
    }
}

/// What became of the last deliveries of an App.
pub(super) async fn log_of(checkup: &Checkup, app: &AppItself, notes: &mut Notes<'_>) {
    match app.deliveries(Which::All, checkup.now - LATELY, PAGES).await {
        Ok(rows) => deliveries(&rows, notes),
        Err(error) => {
            let seen = format!("the last deliveries can't be read: {}", chain(&error));
            notes.warn(seen, "look again later");
        }
    }
}

fn deliveries(rows: &[Logged], notes: &mut Notes<'_>) {
    let rows = &rows[..rows.len().min(NEWEST)];
    let Some(newest) = rows.first() else {
        let advice = "that is fine when nothing happened; else look whether the App is installed";
        return notes.warn("nothing was delivered in the last three days", advice);
    };
    let failed: Vec<&Logged> = rows.iter().filter(|row| !row.arrived()).collect();
    let when = |row: &Logged| row.at.format("%Y-%m-%d %H:%M UTC").to_string();
    if newest.arrived() {
        let seen = format!("the last delivery ({}, {}) arrived", newest.what(), when(newest));
        match failed.len() {
            0 => notes.fine(seen),
            count => notes.warn(
                format!("{seen}; {count} of the last {} did not", rows.len()),
                "the service asks for those again by itself",
            ),
        }
        return;
    }
    let seen = format!(
        "the last delivery ({}, {}) was answered {} {}; {} of the last {} failed",
        newest.what(),
        when(newest),
        newest.code,
        newest.status,
        failed.len(),
        rows.len()
    );
    notes.problem(seen, cure(newest.code));
}

/// What an answer of the receiver means.
fn cure(code: u16) -> &'static str {
    match code {
        400 => {
            "something before the service changes what is sent; the content type must be application/json"
        }
        401 => {
            "the webhook's secret at GitHub and webhookSecret in the Secret differ, or the repository is none that this \
             Secret is for"
        }
        403..=405 => {
            "the address leads elsewhere: the service listens at /webhook; look at the Ingress before it"
        }
        413 => "something before the service refuses bodies of this size: allow 25 MB",
        503 => "the service was not ready, or no replica runs: look at its pods",
        502 | 504 => "GitHub does not reach the address: look at name, certificate and firewall",
        _ => "look at what is before the service, and at its logs",
    }
}

/// The webhooks of a repository, for a token, as far as it may see them.
pub(super) async fn of_repository(checkup: &Checkup, forge: &Forge, notes: &mut Notes<'_>) {
    notes.warn(
        "deliveries that fail are not asked for again with a token: the sweeps alone find what was lost",
        "that is slower, and a lost command has to be said again; a GitHub App heals them",
    );
    let hooks = match forge.hooks().await {
        Ok(hooks) => hooks,
        Err(ForgeError::NotFound { .. } | ForgeError::Forbidden { .. }) => {
            return notes.warn(
                "the token may not see the repository's webhooks",
                "look yourself: Settings, Webhooks; or give it Webhooks: read for this look",
            );
        }
        Err(error) => {
            let seen = format!("the webhooks can't be read: {}", chain(&error));
            return notes.warn(seen, "look again later");
        }
    };
    let where_to = "Settings, Webhooks of the repository";
    let ours = |hook: &&RepositoryHook| {
        let url = hook.config.url.as_deref().unwrap_or_default().trim_end_matches('/');
        match &checkup.webhook_url {
            Some(wanted) => wanted.trim_end_matches('/') == url,
            None => url.ends_with("/webhook"),
        }
    };
    let Some(hook) = hooks.iter().find(ours) else {
        config(checkup, None, where_to, notes);
        return;
    };
    if !hook.active {
        notes.problem("the webhook is switched off", format!("make it active in {where_to}"));
    }
    events(&hook.events, where_to, notes);
    config(checkup, Some(&hook.config), where_to, notes);
    if let Some(code) = hook.last_response.code.filter(|code| !(200..300).contains(code)) {
        notes.problem(format!("the last delivery was answered {code}"), cure(code));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::{Found, Weight};
    use super::*;

    fn said(config: Value) -> Vec<(Weight, String)> {
        let hook: HookConfig = serde_json::from_value(config).expect("a hook");
        let mut found = Found(Vec::new());
        let mut notes = Notes { about: "repository shop".into(), found: &mut found };
        form(&hook, "the settings of the App", &mut notes);
        found.0.into_iter().map(|one| (one.weight, one.seen)).collect()
    }

    #[test]
    fn a_webhook_that_sends_a_form_or_signs_nothing_is_a_problem() {
        let fine = json!({"content_type": "json", "secret": "********", "insecure_ssl": "0"});
        assert_eq!(said(fine), []);
        let form = json!({"content_type": "form", "secret": "********"});
        let words = "the webhook sends a form: every delivery is answered 400";
        assert_eq!(said(form), [(Weight::Problem, words.to_owned())]);
        let unsigned = said(json!({"content_type": "json", "secret": ""}));
        assert!(
            matches!(unsigned.as_slice(), [(Weight::Problem, seen)] if seen.contains("secret"))
        );
        let unchecked = said(json!({"secret": "********", "insecure_ssl": 1}));
        assert!(matches!(unchecked.as_slice(), [(Weight::Warning, _)]), "{unchecked:?}");
    }
}
