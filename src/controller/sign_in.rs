//! PURE · whether people can be let in to the protected previews of a Repository, as far as the service's own settings say:
//! a condition of the Repository. It closes nothing: the gate lets nobody in where this says no.

use chrono::{DateTime, Utc};

use crate::crd::{Condition, Repository, set_condition};
use crate::domain::status::Judgement;

/// The condition; only a Repository with `url.protect` has it.
const SIGN_IN: &str = "SignIn";

/// Says it among the conditions of a Repository.
pub(super) fn note(
    gate: Option<&str>,
    repository: &Repository,
    conditions: &mut Vec<Condition>,
    now: DateTime<Utc>,
) {
    match judge(gate, repository) {
        Some(said) => set_condition(conditions, &said, repository.metadata.generation, now),
        None => conditions.retain(|one| one.r#type != SIGN_IN),
    }
}

/// What is to be said; `None`: nobody is asked who he is.
///
/// The gate's own host may not be within the domain of previews. There a pull request's page could set cookies for it,
/// would be of the same site, so that its requests bring the cookies of a sign-in, and could be given the very name.
fn judge(gate: Option<&str>, repository: &Repository) -> Option<Judgement> {
    let url = &repository.spec.url;
    url.protect.as_ref()?;
    let Some(gate) = gate else {
        let words = "the service has no address at which people could sign in (--gate-url): protected previews are closed \
                     to people";
        return Some(Judgement::no(SIGN_IN, "GateUrlMissing", words));
    };
    if is_within(gate, &url.host) {
        let words = format!(
            "--gate-url {gate} is within {}, where pages of pull requests could set cookies for it: nobody can sign in \
             there, and protected previews are closed to people; give the gate a host elsewhere",
            url.host
        );
        return Some(Judgement::no(SIGN_IN, "GateWithinPreviews", words));
    }
    let local = url.host == "localhost" || url.host.ends_with(".localhost");
    if url.scheme == "http" && !local {
        let words = "url.scheme is http, over which nobody can be let in safely: protected previews are closed to people";
        return Some(Judgement::no(SIGN_IN, "PlainHttp", words));
    }
    Some(Judgement::yes(SIGN_IN, "Ready", format!("people sign in at {gate}")))
}

fn is_within(host: &str, domain: &str) -> bool {
    host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_gate_within_the_previews_is_refused_and_said() {
        let repository = |url: serde_json::Value| -> Repository {
            serde_json::from_value(json!({
                "apiVersion": "bivouac.dev/v1alpha1", "kind": "Repository", "metadata": {"name": "shop"},
                "spec": {
                    "forge": {"github": {"owner": "a", "name": "b", "credentials": {"secretName": "c"}}},
                    "url": url,
                },
            }))
            .expect("a Repository")
        };
        let said = |gate: Option<&str>, scheme: &str, host: &str| {
            let url = json!({"host": host, "scheme": scheme, "protect": {"signIn": "GitHub"}});
            judge(gate, &repository(url)).map(|judgement| (judgement.holds, judgement.reason))
        };
        let previews = "preview.example.com";
        for (gate, scheme, host, holds, reason) in [
            (None, "https", previews, false, "GateUrlMissing"),
            (Some("gate.preview.example.com"), "https", previews, false, "GateWithinPreviews"),
            (Some(previews), "https", previews, false, "GateWithinPreviews"),
            (Some("gate.example.com"), "http", previews, false, "PlainHttp"),
            (Some("gate.example.com"), "https", previews, true, "Ready"),
            (Some("xpreview.example.com"), "https", previews, true, "Ready"),
            (Some("gate.localhost"), "http", "preview.localhost", true, "Ready"),
        ] {
            assert_eq!(
                said(gate, scheme, host),
                Some((Some(holds), reason)),
                "{gate:?} {scheme} {host}"
            );
        }
        assert!(judge(None, &repository(json!({"host": previews}))).is_none());
    }
}
