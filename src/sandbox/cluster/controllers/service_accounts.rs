//! What every namespace has from the start: the ServiceAccount `default` and the ConfigMap `kube-root-ca.crt`. Pure.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::kit::resource::{CONFIG_MAPS, NAMESPACES, SERVICE_ACCOUNTS};
use super::kit::{Action, Caches, Controller, Key, Resource, json};

/// The controller of default service accounts.
pub(super) struct ServiceAccounts {
    /// At most this long after its namespace an account appears; each namespace has a lag of its own.
    pub(super) lag: Duration,
}

/// The controller of the ConfigMap with the root certificate.
pub(super) struct RootCertificates {
    /// The certificate, PEM.
    pub(super) certificate: String,
}

const ACCOUNT: &str = "default";
const CERTIFICATE: &str = "kube-root-ca.crt";

/// The key of the namespace that `object` is, or is in when it has the name that we look after.
fn keys_of(resource: &Resource, object: &Value, name: &str) -> Vec<Key> {
    if *resource == NAMESPACES {
        vec![Key::new("", json::name(object))]
    } else if json::name(object) == name {
        vec![Key::new("", json::namespace(object))]
    } else {
        Vec::new()
    }
}

fn live<'a>(caches: &'a Caches, key: &Key) -> Option<&'a Value> {
    let namespace = caches.get(&NAMESPACES, "", &key.name)?;
    let terminating = json::text(namespace, "/status/phase") == "Terminating";
    (!json::is_deleting(namespace) && !terminating).then_some(namespace.as_ref())
}

impl Controller for ServiceAccounts {
    fn name(&self) -> &'static str {
        "service-account-controller"
    }

    fn watches(&self) -> Vec<&'static Resource> {
        vec![&NAMESPACES, &SERVICE_ACCOUNTS]
    }

    fn keys(&self, resource: &Resource, object: &Value, _caches: &Caches) -> Vec<Key> {
        keys_of(resource, object, ACCOUNT)
    }

    fn reconcile(&self, key: &Key, caches: &Caches, now: DateTime<Utc>) -> Vec<Action> {
        let Some(namespace) = live(caches, key) else { return Vec::new() };
        if caches.get(&SERVICE_ACCOUNTS, &key.name, ACCOUNT).is_some() {
            return Vec::new();
        }
        let wait = lag_left(namespace, self.lag, now);
        if !wait.is_zero() {
            return vec![Action::After(wait)];
        }
        let account = json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": { "name": ACCOUNT, "namespace": key.name },
        });
        vec![Action::Create(&SERVICE_ACCOUNTS, account)]
    }
}

/// How much of an object's own part of `most` is left.
pub(super) fn lag_left(object: &Value, most: Duration, now: DateTime<Utc>) -> Duration {
    let bound = u64::try_from(most.as_millis()).unwrap_or(0);
    if bound == 0 {
        return Duration::ZERO;
    }
    let lag = chrono::Duration::milliseconds(
        i64::try_from(json::hash(json::uid(object)) % bound).unwrap_or(0),
    );
    let since = json::time(object, "/metadata/creationTimestamp").unwrap_or(now);
    (since + lag - now).to_std().unwrap_or(Duration::ZERO)
}

impl Controller for RootCertificates {
    fn name(&self) -> &'static str {
        "root-ca-certificate-publisher"
    }

    fn watches(&self) -> Vec<&'static Resource> {
        vec![&NAMESPACES, &CONFIG_MAPS]
    }

    fn keys(&self, resource: &Resource, object: &Value, _caches: &Caches) -> Vec<Key> {
        keys_of(resource, object, CERTIFICATE)
    }

    fn reconcile(&self, key: &Key, caches: &Caches, _now: DateTime<Utc>) -> Vec<Action> {
        if live(caches, key).is_none() {
            return Vec::new();
        }
        let data = json!({ "ca.crt": self.certificate });
        match caches.get(&CONFIG_MAPS, &key.name, CERTIFICATE) {
            Some(map) if map.get("data") == Some(&data) => Vec::new(),
            Some(map) => {
                let mut map = map.as_ref().clone();
                json::set(&mut map, &["data"], data);
                vec![Action::Replace(&CONFIG_MAPS, map)]
            }
            None => {
                let map = json!({
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": {
                        "name": CERTIFICATE,
                        "namespace": key.name,
                        "annotations": { "kubernetes.io/description":
                            "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters." },
                    },
                    "data": data,
                });
                vec![Action::Create(&CONFIG_MAPS, map)]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caches(objects: Vec<(&Resource, Value)>) -> Caches {
        let mut caches = Caches::default();
        for (resource, object) in objects {
            caches.store_mut(resource).put(object);
        }
        caches
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "a json! literal reads best where it is handed over"
    )]
    fn namespace(extra: Value) -> Value {
        json!({ "metadata": { "name": "n", "uid": "u", "creationTimestamp": "1970-01-01T00:00:00Z", "deletionTimestamp": extra } })
    }

    #[test]
    fn a_live_namespace_gets_both_and_then_nothing() {
        let key = Key::new("", "n");
        let accounts = ServiceAccounts { lag: Duration::ZERO };
        let roots = RootCertificates { certificate: "PEM".into() };
        let mut caches = caches(vec![(&NAMESPACES, namespace(Value::Null))]);
        let now = DateTime::UNIX_EPOCH;
        let made = [accounts.reconcile(&key, &caches, now), roots.reconcile(&key, &caches, now)];
        for action in made.into_iter().flatten() {
            let Action::Create(resource, object) = action else { panic!("{action:?}") };
            assert_eq!(json::namespace(&object), "n");
            caches.store_mut(resource).put(object);
        }
        assert_eq!(accounts.reconcile(&key, &caches, now), Vec::new());
        assert_eq!(roots.reconcile(&key, &caches, now), Vec::new());
    }

    #[test]
    fn a_namespace_on_its_way_out_gets_nothing() {
        let caches = caches(vec![(&NAMESPACES, namespace(json!("1970-01-01T00:00:00Z")))]);
        let accounts = ServiceAccounts { lag: Duration::ZERO };
        assert_eq!(
            accounts.reconcile(&Key::new("", "n"), &caches, DateTime::UNIX_EPOCH),
            Vec::new()
        );
    }

    #[test]
    fn the_lag_is_waited_for_and_then_over() {
        let caches = caches(vec![(&NAMESPACES, namespace(Value::Null))]);
        let accounts = ServiceAccounts { lag: Duration::from_secs(2) };
        let key = Key::new("", "n");
        let actions = accounts.reconcile(&key, &caches, DateTime::UNIX_EPOCH);
        let [Action::After(wait)] = actions.as_slice() else { panic!("{actions:?}") };
        assert!(*wait <= Duration::from_secs(2));
        let later = DateTime::UNIX_EPOCH + chrono::Duration::seconds(2);
        assert!(matches!(accounts.reconcile(&key, &caches, later)[..], [Action::Create(..)]));
    }
}
