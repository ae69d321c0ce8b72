//! Every Ingress is told the address that it is answered at. Pure.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::super::super::controllers::kit::resource::INGRESSES;
use super::super::super::controllers::kit::{Action, Caches, Controller, Key, Resource};

/// The status side of the ingress.
pub(in super::super) struct IngressStatus;

impl Controller for IngressStatus {
    fn name(&self) -> &'static str {
        "ingress-controller"
    }

    fn watches(&self) -> Vec<&'static Resource> {
        vec![&INGRESSES]
    }

    fn keys(&self, _resource: &Resource, object: &Value, _caches: &Caches) -> Vec<Key> {
        vec![Key::of(object)]
    }

    fn reconcile(&self, key: &Key, caches: &Caches, _now: DateTime<Utc>) -> Vec<Action> {
        let address = json!([{ "ip": "127.0.0.1" }]);
        caches
            .get(&INGRESSES, &key.namespace, &key.name)
            .filter(|i| i.pointer("/status/loadBalancer/ingress") != Some(&address))
            .and_then(|i| {
                let status = json!({ "loadBalancer": { "ingress": address } });
                Action::status(&INGRESSES, i, status)
            })
            .into_iter()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ingress_is_told_its_address_once() {
        let mut caches = Caches::default();
        caches
            .store_mut(&INGRESSES)
            .put(json!({ "metadata": { "name": "i", "namespace": "n", "uid": "i" } }));
        let key = Key::new("n", "i");
        let actions = IngressStatus.reconcile(&key, &caches, DateTime::UNIX_EPOCH);
        let [Action::ReplaceStatus(_, written)] = actions.as_slice() else { panic!("{actions:?}") };
        // As a server sends it back, with what it adds.
        let mut back = written.clone();
        back["status"]["loadBalancer"]["more"] = json!(1);
        caches.store_mut(&INGRESSES).put(back);
        assert_eq!(IngressStatus.reconcile(&key, &caches, DateTime::UNIX_EPOCH), Vec::new());
    }
}
