//! Guardrails as they are and as they are to be: what of them stands, which differ, and one of them written. I/O with the
//! target, by the service's own identity.

use futures::future::BoxFuture;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::Value;

use super::FIELD_MANAGER;
use super::error::{ApplyError, is_not_found, status};
use super::target::{As, Target};
use crate::domain::guardrails::{GUARDIAN, GUARDRAIL_LABEL, right_of_refusal, rule_text};
use crate::domain::quota::Amount;

/// Every kind of which a camp may have guardrails: `apiVersion`, kind, plural.
pub(super) const KINDS: [(&str, &str, &str); 7] = [
    ("v1", "ConfigMap", "configmaps"),
    ("v1", "LimitRange", "limitranges"),
    ("v1", "ResourceQuota", "resourcequotas"),
    ("v1", "Secret", "secrets"),
    ("v1", "ServiceAccount", "serviceaccounts"),
    ("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings"),
];

/// Kinds of the way to the gate, which only a camp that slept has.
pub(super) const GATE_KINDS: [(&str, &str, &str); 2] =
    [("v1", "Service", "services"), ("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")];

/// Kind and name of an object.
pub(super) fn key(object: &Value) -> (&str, &str) {
    (text(object, "/kind"), text(object, "/metadata/name"))
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn api(target: &Target, namespace: &str, api_version: &str, kind: &str) -> Api<DynamicObject> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    Api::namespaced_with(target.client(&As::Service), namespace, &resource)
}

/// All guardrails of one kind that stand in the camp.
pub(super) fn standing<'a>(
    target: &'a Target,
    namespace: &'a str,
    api_version: &'static str,
    kind: &'static str,
) -> BoxFuture<'a, Result<Vec<Value>, ApplyError>> {
    Box::pin(async move {
        let ours = ListParams::default().labels(&format!("{GUARDRAIL_LABEL}=true"));
        let found = api(target, namespace, api_version, kind).list(&ours).await;
        let found =
            found.map_err(|error| refused(&format!("list of {kind}s"), namespace, error))?;
        let objects = found.items.into_iter().filter_map(|item| {
            let mut object = serde_json::to_value(item).ok()?;
            // A list says once what its items are.
            object["apiVersion"] = api_version.into();
            object["kind"] = kind.into();
            Some(object)
        });
        Ok(objects.collect())
    })
}

/// Writes one guardrail. Gives it back as it is then.
pub(super) fn write<'a>(
    target: &'a Target,
    namespace: &'a str,
    object: &'a Value,
) -> BoxFuture<'a, Result<DynamicObject, ApplyError>> {
    Box::pin(async move {
        let (kind, name) = key(object);
        let api = api(target, namespace, text(object, "/apiVersion"), kind);
        let send = async || {
            api.patch(name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(object)).await
        };
        let mut written = send().await;
        if let Err(error) = &written
            && must_be_new(error, kind)
        {
            // The role of a binding and the type of a Secret never change. For a moment there is none.
            delete(&api, kind, name, namespace).await?;
            written = send().await;
        }
        written.map_err(|error| refused(&format!("{kind} {name}"), namespace, error))
    })
}

/// Deletes a guardrail that is not asked for any more. One that is gone already is fine.
pub(super) async fn remove(
    target: &Target,
    namespace: &str,
    object: &Value,
) -> Result<(), ApplyError> {
    let (kind, name) = key(object);
    let api = api(target, namespace, text(object, "/apiVersion"), kind);
    delete(&api, kind, name, namespace).await
}

async fn delete(
    api: &Api<DynamicObject>,
    kind: &str,
    name: &str,
    namespace: &str,
) -> Result<(), ApplyError> {
    match api.delete(name, &DeleteParams::default()).await {
        Ok(_) => Ok(()),
        Err(error) if is_not_found(&error) => Ok(()),
        Err(error) => Err(refused(&format!("{kind} {name}"), namespace, error)),
    }
}

/// What stands there can't be changed into what is asked for.
fn must_be_new(error: &kube::Error, kind: &str) -> bool {
    status(error).is_some_and(|status| {
        status.code == 422
            && match kind {
                "RoleBinding" => status.message.contains("cannot change roleRef"),
                "Secret" => status.message.contains("field is immutable"),
                _ => false,
            }
    })
}

/// A right that is missing may be on its way: a binding counts when the authoriser's cache knows it.
fn refused(what: &str, namespace: &str, error: kube::Error) -> ApplyError {
    let Some(said) = status(&error).filter(|status| status.code == 403) else {
        return ApplyError::own(format!("write {what} in {namespace}"), error);
    };
    let Some(right) = right_of_refusal(&said.message) else {
        return ApplyError::own(format!("write {what} in {namespace}"), error);
    };
    ApplyError::NotPrepared {
        what: format!(
            "{what}: {}; if it stays so, add to ClusterRole {GUARDIAN} the rule {} (deploy/rbac.yaml has it)",
            said.message,
            rule_text(&[right])
        ),
    }
}

/// Whether `live` lacks something of `wanted`, or has in a list or selector what was not asked for.
pub(super) fn differs(wanted: &Value, live: &Value) -> bool {
    let Some(members) = wanted.as_object() else { return true };
    let texts = match key(wanted).0 {
        "ResourceQuota" | "LimitRange" => Texts::Amounts,
        _ => Texts::Plain,
    };
    members.iter().any(|(key, wanted)| match key.as_str() {
        "apiVersion" | "kind" => false,
        "metadata" => ["labels", "annotations"].iter().any(|part| {
            let wanted = wanted.get(*part).and_then(Value::as_object);
            let live = live.pointer(&format!("/metadata/{part}"));
            wanted.is_some_and(|wanted| {
                wanted.iter().any(|(key, value)| live.and_then(|live| live.get(key)) != Some(value))
            })
        }),
        _ => !is_at(wanted, live.get(key), key, texts),
    })
}

/// How strings are compared: in quotas and limits `1` and `1000m` are the same.
#[derive(Clone, Copy)]
enum Texts {
    Plain,
    Amounts,
}

/// Whether `live` has `wanted` at `key`. What is empty the API server may leave out.
fn is_at(wanted: &Value, live: Option<&Value>, key: &str, texts: Texts) -> bool {
    match (live, wanted) {
        (Some(live), _) => is_same(wanted, live, key, texts),
        (None, Value::Null) => true,
        (None, Value::Array(list)) => list.is_empty(),
        (None, Value::Object(map)) => map.is_empty(),
        (None, _) => false,
    }
}

/// Maps of names may have more in them; what is a whole for the API server must be equal, but for what it fills in.
fn is_same(wanted: &Value, live: &Value, key: &str, texts: Texts) -> bool {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => {
            // A selector without a word means everything: one word more means less.
            let whole = key.ends_with("elector") || key == "matchLabels";
            wanted.iter().all(|(key, wanted)| is_at(wanted, live.get(key), key, texts))
                && (!whole || wanted.len() == live.len())
                && (!matches!(key, "to" | "from" | "ingress" | "egress")
                    || live.keys().all(|key| wanted.contains_key(key)))
        }
        (Value::Array(wanted), Value::Array(live)) => {
            wanted.len() == live.len()
                && wanted.iter().zip(live).all(|(wanted, live)| is_same(wanted, live, key, texts))
        }
        (Value::Null, _) => true,
        (wanted, live) if wanted == live => true,
        (Value::String(wanted), Value::String(live)) if matches!(texts, Texts::Amounts) => {
            let both = Amount::parse(wanted).zip(Amount::parse(live));
            both.is_some_and(|(wanted, live)| wanted == live)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_lost_changed_or_opened_differs() {
        let wanted = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": "n", "namespace": "c", "labels": {"a": "b"}},
            "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "egress": [
                {"to": [{"podSelector": {}}], "ports": [{"port": 53}]}]},
        });
        let mut live = wanted.clone();
        live["metadata"]["uid"] = json!("u");
        live["metadata"]["labels"]["more"] = json!("c");
        live["spec"]["egress"][0]["ports"][0]["protocol"] = json!("TCP");
        assert!(!differs(&wanted, &live), "defaults and foreign labels are no drift");
        for (pointer, value) in [
            ("/metadata/labels/a", json!("x")),
            ("/metadata/labels", json!({})),
            ("/spec/podSelector", json!({"matchLabels": {"x": "y"}})),
            ("/spec/policyTypes", json!([])),
            ("/spec/egress", json!([{}])),
            ("/spec/egress/0/to", json!([{"podSelector": {}}, {"ipBlock": {"cidr": "0.0.0.0/0"}}])),
            ("/spec/egress/0/to/0", json!({"podSelector": {}, "namespaceSelector": {}})),
            ("/spec/egress/0/ports/0/port", json!(54)),
        ] {
            let mut live = live.clone();
            *live.pointer_mut(pointer).expect("it is there") = value;
            assert!(differs(&wanted, &live), "{pointer}");
        }
        let hard =
            |amount: &str| json!({"kind": "ResourceQuota", "spec": {"hard": {"cpu": amount}}});
        assert!(!differs(&hard("1"), &hard("1000m")));
        assert!(differs(&hard("1"), &hard("2")));
    }
}
