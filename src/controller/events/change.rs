//! What to say of two states that follow one another. Pure: the same two give the same words, so a process that starts
//! says nothing again.

use std::collections::BTreeSet;

use super::{Told, Weight};
use crate::crd::{
    Condition, Environment, EnvironmentStatus, InventoryEntry, Phase, RepositoryStatus,
};

/// Of one record.
pub(super) fn of_environment(before: &Environment, after: &Environment) -> Vec<Told> {
    let nothing = EnvironmentStatus::default();
    let before = before.status.as_ref().unwrap_or(&nothing);
    let after = after.status.as_ref().unwrap_or(&nothing);
    let mut told = Vec::new();
    applied(before, after, &mut told);
    let reason = after.reason.as_deref().unwrap_or_default();
    let again = before.phase == after.phase;
    match after.phase {
        Some(Phase::Refused) if !again || before.reason != after.reason => {
            told.push(Told::of("Refused", Weight::Warning, "Render", reason));
        }
        Some(Phase::Degraded) if !again => {
            told.push(Told::of("Degraded", Weight::Warning, "Look", reason));
        }
        Some(Phase::Failed) if !again => {
            told.push(Told::of("Failed", Weight::Warning, "TryAgain", reason));
        }
        Some(Phase::Asleep) if !again => {
            told.push(Told::of("Asleep", Weight::Normal, "Sleep", reason));
        }
        Some(Phase::Queued) if !again => {
            told.push(Told::of("Queued", Weight::Normal, "Wait", reason));
        }
        Some(Phase::TearingDown) if !again => {
            told.push(Told::of("TearingDown", Weight::Normal, "Delete", reason));
        }
        _ => {}
    }
    if turned(before.condition("Ready"), after.condition("Ready"), "True") {
        let url = after.urls.first().map(|entry| format!(" at {}", entry.url)).unwrap_or_default();
        let short = after.short_revision.as_deref().unwrap_or_default();
        told.push(Told::of("Ready", Weight::Normal, "Look", format!("commit {short} runs{url}")));
    }
    if let Some(expiring) = after.condition("Expiring")
        && before.condition("Expiring").is_none()
    {
        told.push(Told::of("Expiring", Weight::Normal, "Look", &expiring.message));
    }
    if let Some(reported) = after.condition("Reported")
        && reported.reason == "ForgeNotTold"
        && before.condition("Reported").is_none_or(|before| before.reason != reported.reason)
    {
        told.push(Told::of("ForgeNotTold", Weight::Warning, "Report", &reported.message));
    }
    told
}

/// What came into the camp and what left it.
fn applied(before: &EnvironmentStatus, after: &EnvironmentStatus, told: &mut Vec<Told>) {
    let newest = |status: &EnvironmentStatus| {
        status.history.first().map(|newest| (newest.revision.clone(), newest.digest.clone()))
    };
    let (was, is) = (before.condition("Applied"), after.condition("Applied"));
    if turned(was, is, "True") || (newest(after).is_some() && newest(before) != newest(after)) {
        let short = after.short_revision.as_deref().unwrap_or_default();
        let count = after.inventory.len();
        let note = format!("commit {short}: {count} objects are in the camp");
        told.push(Told::of("Applied", Weight::Normal, "Apply", note));
    }
    if let Some(failed) = is.filter(|is| is.reason == "ApplyFailed")
        && was.is_none_or(|was| was.reason != failed.reason || was.message != failed.message)
    {
        told.push(Told::of("ApplyFailed", Weight::Warning, "Apply", &failed.message));
    }
    // The inventory gets shorter by pruning, and at once when the camp is gone.
    if after.inventory.is_empty() {
        return;
    }
    let identity = |entry: &InventoryEntry| (entry.kind.clone(), entry.name.clone());
    let left: BTreeSet<_> = after.inventory.iter().map(identity).collect();
    let pruned: Vec<String> = before
        .inventory
        .iter()
        .filter(|entry| !left.contains(&identity(entry)))
        .map(|entry| format!("{}/{}", entry.kind, entry.name))
        .collect();
    if !pruned.is_empty() {
        let note =
            format!("{} left the bundle and are deleted: {}", pruned.len(), pruned.join(", "));
        told.push(Told::of("Pruned", Weight::Normal, "Prune", note));
    }
}

/// Of one Repository: its conditions, as they change.
pub(super) fn of_repository(
    before: Option<&RepositoryStatus>,
    after: &RepositoryStatus,
) -> Vec<Told> {
    let old = |name: &str| {
        before.and_then(|status| status.conditions.iter().find(|one| one.r#type == name))
    };
    let mut told = Vec::new();
    for is in &after.conditions {
        let was = old(&is.r#type);
        if is.status == "False"
            && was.is_none_or(|was| (&was.status, &was.reason) != (&is.status, &is.reason))
        {
            let reason = match is.r#type.as_str() {
                "Accessible" => "NotAccessible",
                "CredentialsValid" => "CredentialsInvalid",
                "Unique" => "NotUnique",
                "SignIn" => "NoSignIn",
                "SweepHalted" => continue,
                _ => "NotServed",
            };
            let note = format!("{}: {}", is.reason, is.message);
            told.push(Told::of(reason, Weight::Warning, "Look", note));
        }
        if is.r#type == "Accessible" && turned(was, Some(is), "True") {
            told.push(Told::of("Accessible", Weight::Normal, "Look", &is.message));
        }
        if is.r#type == "SweepHalted" && turned(was, Some(is), "True") {
            told.push(Told::of("SweepHalted", Weight::Warning, "Sweep", &is.message));
        }
    }
    told
}

fn turned(was: Option<&Condition>, is: Option<&Condition>, to: &str) -> bool {
    is.is_some_and(|is| is.status == to) && was.is_none_or(|was| was.status != to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn record(status: &Value) -> Environment {
        let value = json!({
            "apiVersion": "bivouac.dev/v1alpha1", "kind": "Environment",
            "metadata": {"name": "shop-pr-1"},
            "spec": {"repository": "shop", "source": {"pullRequest": {"number": 1}}},
            "status": status,
        });
        serde_json::from_value(value).expect("a record")
    }

    fn condition(name: &str, status: &str, reason: &str) -> Value {
        json!({
            "type": name, "status": status, "reason": reason, "message": "m",
            "lastTransitionTime": "2026-03-02T09:00:00Z",
        })
    }

    fn said(before: &Value, after: &Value) -> Vec<(&'static str, String)> {
        let told = of_environment(&record(before), &record(after));
        told.into_iter().map(|told| (told.reason, told.note)).collect()
    }

    fn object(name: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "name": name})
    }

    #[test]
    fn each_turn_is_said_once() {
        let standing = json!({
            "phase": "Progressing", "shortRevision": "abc1234", "inventory": [object("a"), object("b")],
            "conditions": [condition("Applied", "True", "Applied")],
        });
        let mut fresh = standing.clone();
        fresh["conditions"] = json!([condition("Applied", "Unknown", "Applying")]);
        fresh["inventory"] = json!([object("a"), object("b"), object("old")]);
        let words = said(&fresh, &standing);
        assert_eq!(words[0], ("Applied", "commit abc1234: 2 objects are in the camp".into()));
        assert_eq!(words[1], ("Pruned", "1 left the bundle and are deleted: ConfigMap/old".into()));
        assert_eq!(said(&standing, &standing), []);
        let mut ready = standing.clone();
        ready["phase"] = "Ready".into();
        ready["urls"] = json!([{"app": "web", "url": "https://x"}]);
        ready["conditions"] =
            json!([condition("Applied", "True", "Applied"), condition("Ready", "True", "Ready")]);
        assert_eq!(said(&standing, &ready), [("Ready", "commit abc1234 runs at https://x".into())]);
        let mut going = ready.clone();
        going["phase"] = "TearingDown".into();
        going["reason"] = "closed".into();
        assert_eq!(said(&ready, &going), [("TearingDown", "closed".into())]);
        let gone = json!({"phase": "Closed"});
        assert_eq!(said(&going, &gone), [], "the end of a camp is no pruning");
    }

    #[test]
    fn another_reason_of_a_refusal_is_news_and_the_same_is_none() {
        let refused = |reason: &str| json!({"phase": "Refused", "reason": reason});
        assert_eq!(said(&json!({}), &refused("a")), [("Refused", "a".into())]);
        assert_eq!(said(&refused("a"), &refused("b")), [("Refused", "b".into())]);
        assert_eq!(said(&refused("a"), &refused("a")), []);
        let told = json!({"conditions": [condition("Reported", "False", "ForgeNotTold")]});
        assert_eq!(said(&json!({}), &told), [("ForgeNotTold", "m".into())]);
        assert_eq!(said(&told, &told), []);
    }
}
