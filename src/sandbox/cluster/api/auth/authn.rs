//! (headers, known tokens) → user; and whom a request wants to be taken for. No I/O.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use http::HeaderMap;
use serde_json::{Value, json};

use super::super::path::decode;
use super::super::status::{ApiError, GroupResource};
use super::super::store::Store;
use super::rbac::{Attributes, User};

pub(crate) const AUTHENTICATED: &str = "system:authenticated";
const UNAUTHENTICATED: &str = "system:unauthenticated";

/// What stands behind one bearer token.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) user: User,
    pub(crate) expires: Option<DateTime<Utc>>,
    pub(crate) audiences: Vec<String>,
    /// Of a service account's token: the account, which must still be the one with this uid.
    pub(crate) account: Option<(String, String, String)>,
}

/// All tokens that were handed out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tokens(BTreeMap<String, Token>);

impl Tokens {
    pub(crate) fn insert(&mut self, text: String, token: Token) {
        self.0.insert(text, token);
    }

    /// The valid token behind `text`.
    pub(crate) fn find(&self, text: &str, store: &Store, now: DateTime<Utc>) -> Option<&Token> {
        let token = self.0.get(text)?;
        if token.expires.is_some_and(|end| end <= now) {
            return None;
        }
        if let Some((namespace, name, uid)) = &token.account {
            let accounts = GroupResource::new("", "serviceaccounts");
            let account = store.get(&accounts, namespace, name)?;
            if account["metadata"]["uid"] != json!(uid) {
                return None;
            }
        }
        Some(token)
    }
}

/// The user of a service account.
pub(crate) fn service_account(namespace: &str, name: &str, uid: &str) -> User {
    User {
        name: format!("system:serviceaccount:{namespace}:{name}"),
        uid: uid.to_owned(),
        groups: account_groups(namespace),
        extra: BTreeMap::new(),
    }
}

fn account_groups(namespace: &str) -> Vec<String> {
    vec![
        "system:serviceaccounts".into(),
        format!("system:serviceaccounts:{namespace}"),
        AUTHENTICATED.into(),
    ]
}

/// Who sent the request. `path_token` is the token of a kubeconfig without TLS (see `serve`).
pub(crate) fn authenticate(
    headers: &HeaderMap,
    path_token: Option<&str>,
    tokens: &Tokens,
    store: &Store,
    now: DateTime<Utc>,
) -> Result<User, ApiError> {
    let header = headers.get(http::header::AUTHORIZATION).map(|value| {
        let text = value.to_str().unwrap_or_default();
        text.split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map_or("", |(_, token)| token.trim())
    });
    match header.or(path_token) {
        None => Ok(User {
            name: "system:anonymous".into(),
            groups: vec![UNAUTHENTICATED.into()],
            ..User::default()
        }),
        Some(text) => tokens
            .find(text, store, now)
            .map(|token| token.user.clone())
            .ok_or_else(ApiError::unauthorized),
    }
}

/// Whom the request wants to be taken for, and what the sender must be allowed for that.
#[derive(Debug)]
pub(crate) struct Impersonation {
    pub(crate) user: User,
    pub(crate) needs: Vec<Attributes>,
}

/// Reads the `Impersonate-…` headers.
pub(crate) fn impersonation(headers: &HeaderMap) -> Result<Option<Impersonation>, ApiError> {
    let one = |name: &str| {
        headers.get(name).and_then(|v| v.to_str().ok()).filter(|v| !v.is_empty()).map(str::to_owned)
    };
    let mut groups: Vec<String> = headers
        .get_all("impersonate-group")
        .iter()
        .filter_map(|v| v.to_str().ok())
        .map(str::to_owned)
        .collect();
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        if let Some(key) = name.as_str().strip_prefix("impersonate-extra-") {
            extra
                .entry(decode(key, false))
                .or_default()
                .push(value.to_str().unwrap_or_default().to_owned());
        }
    }
    let uid = one("impersonate-uid");
    let Some(name) = one("impersonate-user") else {
        if groups.is_empty() && extra.is_empty() && uid.is_none() {
            return Ok(None);
        }
        return Err(ApiError::internal("requested impersonation without impersonating a user"));
    };
    let mut needs = Vec::new();
    let mut need = |group: &str, resource: &str, sub: &str, namespace: &str, name: &str| {
        needs.push(Attributes {
            verb: "impersonate".into(),
            group: group.into(),
            resource: resource.into(),
            subresource: sub.into(),
            namespace: namespace.into(),
            name: name.into(),
            path: None,
        });
    };
    let account = name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
    if let Some((namespace, account)) = account {
        need("", "serviceaccounts", "", namespace, account);
    } else {
        need("", "users", "", "", &name);
    }
    for group in &groups {
        need("", "groups", "", "", group);
    }
    if let Some(uid) = &uid {
        need("authentication.k8s.io", "uids", "", "", uid);
    }
    for (key, values) in &extra {
        for value in values {
            need("authentication.k8s.io", "userextras", key, "", value);
        }
    }
    if groups.is_empty()
        && let Some((namespace, _)) = account
    {
        groups = account_groups(namespace);
    } else if name != "system:anonymous" && !groups.iter().any(|g| g == AUTHENTICATED) {
        groups.push(AUTHENTICATED.into());
    }
    Ok(Some(Impersonation {
        user: User { name, uid: uid.unwrap_or_default(), groups, extra },
        needs,
    }))
}

/// A user as reviews and audit events print it.
pub(crate) fn user_info(user: &User) -> Value {
    let mut info = json!({"username": user.name, "groups": user.groups});
    if !user.uid.is_empty() {
        info["uid"] = json!(user.uid);
    }
    if !user.extra.is_empty() {
        info["extra"] = json!(user.extra);
    }
    info
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn tokens_end_and_die_with_their_account() {
        let (mut tokens, mut store) = (Tokens::default(), Store::new(10));
        let now = DateTime::UNIX_EPOCH;
        let accounts = GroupResource::new("", "serviceaccounts");
        store.put(&accounts, ("a".into(), "bot".into()), json!({"metadata": {"uid": "1"}}));
        tokens.insert(
            "t".into(),
            Token {
                user: service_account("a", "bot", "1"),
                expires: Some(now + chrono::Duration::hours(1)),
                audiences: Vec::new(),
                account: Some(("a".into(), "bot".into(), "1".into())),
            },
        );
        let asked = headers(&[("authorization", "Bearer t")]);
        let user = authenticate(&asked, None, &tokens, &store, now).expect("valid");
        assert_eq!(user.name, "system:serviceaccount:a:bot");
        let late = now + chrono::Duration::hours(2);
        assert_eq!(authenticate(&asked, None, &tokens, &store, late).expect_err("ended").code, 401);
        store.remove(&accounts, &("a".into(), "bot".into()));
        assert_eq!(authenticate(&asked, None, &tokens, &store, now).expect_err("gone").code, 401);
        let nobody =
            authenticate(&HeaderMap::new(), None, &tokens, &store, now).expect("anonymous");
        assert_eq!(nobody.groups, ["system:unauthenticated"]);
    }

    #[test]
    fn impersonating_needs_a_right_for_each_part() {
        let asked = headers(&[
            ("impersonate-user", "system:serviceaccount:camp:bivouac-deployer"),
            ("impersonate-group", "devs"),
            ("impersonate-extra-scopes", "view"),
        ]);
        let wanted = impersonation(&asked).expect("well formed").expect("asked for");
        let needs: Vec<String> = wanted
            .needs
            .iter()
            .map(|n| format!("{} {} {}", n.combined(), n.namespace, n.name))
            .collect();
        assert_eq!(
            needs,
            ["serviceaccounts camp bivouac-deployer", "groups  devs", "userextras/scopes  view"]
        );
        assert_eq!(wanted.user.groups, ["devs", "system:authenticated"]);
        let plain = headers(&[("impersonate-user", "system:serviceaccount:camp:d")]);
        let plain = impersonation(&plain).expect("well formed").expect("asked for");
        assert_eq!(
            plain.user.groups,
            ["system:serviceaccounts", "system:serviceaccounts:camp", "system:authenticated"]
        );
        assert!(impersonation(&headers(&[("impersonate-group", "g")])).is_err());
        assert!(impersonation(&HeaderMap::new()).expect("fine").is_none());
    }
}
