//! PURE · ServiceAccounts of a bundle give no rights: their tokens are not mounted, whatever a chart says by default.

use serde_json::{Map, Value};

use crate::domain::bundle::{BundleObject, ObjectIdentity};
use crate::render::{Note, place_of};

/// Names that the note holds.
const SHOWN: usize = 5;
const MOUNT: &str = "automountServiceAccountToken";
/// The field, and what it was called before.
const NAMES: [&str; 2] = ["serviceAccountName", "serviceAccount"];

/// Switches the mounting of tokens off, in ServiceAccounts and in pods that name one. What is no truth value stays as it
/// is, for the guard to refuse.
pub(crate) fn accounts(objects: &mut [BundleObject], notes: &mut Vec<Note>) {
    let mut switched: Vec<ObjectIdentity> = Vec::new();
    let mut place = None;
    for object in objects.iter_mut() {
        let identity = object.identity();
        if identity.group.is_empty() && identity.kind == "ServiceAccount" {
            if object.json.as_object_mut().is_some_and(switch_off) {
                place.get_or_insert_with(|| place_of(object));
                switched.push(identity);
            }
        } else if let Some(path) = pod_of(&identity)
            && let Some(Value::Object(pod)) = object.json.pointer_mut(path)
            && let Some(name) = account_of(pod)
        {
            // The server copies the one name to the other. What is not applied would stay when a later commit names no
            // account any more, and bring it back.
            for key in NAMES {
                if pod.get(key).is_none_or(Value::is_null) {
                    pod.insert(key.to_owned(), Value::from(name.as_str()));
                }
            }
            if pod.get(MOUNT).is_none_or(Value::is_null) {
                pod.insert(MOUNT.to_owned(), Value::Bool(false));
            }
        }
    }
    let Some(place) = place else { return };
    let mut names: Vec<String> = switched.iter().take(SHOWN).map(ToString::to_string).collect();
    if switched.len() > SHOWN {
        names.push(format!("{} more", switched.len() - SHOWN));
    }
    let message = format!(
        "{}: {MOUNT} was set to false; pods of a preview get no token of the cluster's API",
        names.join(", ")
    );
    notes.push(Note::at(place, message));
}

/// Whether it was on, by what is written or by the default.
fn switch_off(account: &mut Map<String, Value>) -> bool {
    let on = matches!(account.get(MOUNT), None | Some(Value::Null | Value::Bool(true)));
    if on {
        account.insert(MOUNT.to_owned(), Value::Bool(false));
    }
    on
}

/// The account that the pod runs as, when that is another than the namespace's own.
fn account_of(pod: &Map<String, Value>) -> Option<String> {
    let named = NAMES.iter().filter_map(|key| pod.get(*key).and_then(Value::as_str));
    named.into_iter().find(|name| !matches!(*name, "" | "default")).map(str::to_owned)
}

/// Where the pod stands in Kubernetes' own kinds.
fn pod_of(identity: &ObjectIdentity) -> Option<&'static str> {
    match (identity.group.as_str(), identity.kind.as_str()) {
        ("", "Pod") => Some("/spec"),
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
        | ("batch", "Job")
        | ("", "ReplicationController") => Some("/spec/template/spec"),
        ("batch", "CronJob") => Some("/spec/jobTemplate/spec/template/spec"),
        ("", "PodTemplate") => Some("/template/spec"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::bundle::{Origin, Wave};

    fn object(json: Value) -> BundleObject {
        BundleObject {
            json,
            origin: Origin { file: "a.yaml".into(), line: 1 },
            app: "web".into(),
            wave: Wave::Config,
            positions: crate::domain::positions::Positions::default(),
        }
    }

    fn account(name: &str, rest: &Value) -> BundleObject {
        let mut json =
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
        if !rest.is_null() {
            json[MOUNT] = rest.clone();
        }
        object(json)
    }

    #[test]
    fn accounts_mount_no_token_and_it_is_told_once() {
        let mut objects = vec![
            account("a", &Value::Null),
            account("b", &json!(true)),
            account("c", &json!(false)),
            account("d", &json!("true")),
        ];
        let mut notes = Vec::new();
        accounts(&mut objects, &mut notes);
        let mounts: Vec<&Value> = objects.iter().map(|object| &object.json[MOUNT]).collect();
        assert_eq!(mounts, [&json!(false), &json!(false), &json!(false), &json!("true")]);
        let told: Vec<&str> = notes.iter().map(|note| note.message.as_str()).collect();
        let note = "ServiceAccount/a, ServiceAccount/b: automountServiceAccountToken was set to false; pods of a preview \
                    get no token of the cluster's API";
        assert_eq!(told, [note]);
        notes.clear();
        accounts(&mut objects, &mut notes);
        assert_eq!(notes, [], "a second time there is nothing to do");
    }

    #[test]
    fn both_names_of_an_account_are_applied_so_that_both_go() {
        let both = json!({"serviceAccountName": "web", "serviceAccount": "web", MOUNT: false});
        for (written, wanted) in [
            (json!({"serviceAccountName": "web"}), both.clone()),
            (json!({"serviceAccount": "web"}), both),
            (json!({"serviceAccountName": "default"}), json!({"serviceAccountName": "default"})),
            (
                json!({"serviceAccountName": "a", "serviceAccount": "b"}),
                json!({"serviceAccountName": "a", "serviceAccount": "b", MOUNT: false}),
            ),
        ] {
            let mut all = vec![object(
                json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": written}),
            )];
            accounts(&mut all, &mut Vec::new());
            assert_eq!(all[0].json["spec"], wanted);
        }
    }

    #[test]
    fn pods_that_name_an_account_say_so_too_and_others_stay_as_they_are() {
        let of = |spec: &Value| {
            let template = json!({"template": {"spec": spec}});
            let mut all = vec![
                object(
                    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec}),
                ),
                object(
                    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": template}),
                ),
                object(
                    json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "a"}, "spec": {"jobTemplate": {"spec": template}}}),
                ),
            ];
            let mut notes = Vec::new();
            accounts(&mut all, &mut notes);
            assert_eq!(notes, []);
            let paths = ["/spec", "/spec/template/spec", "/spec/jobTemplate/spec/template/spec"];
            paths.map(|path| {
                let at = all.iter().find_map(|object| {
                    (pod_of(&object.identity()) == Some(path)).then(|| object.json.pointer(path))
                });
                at.flatten().expect("a pod").get(MOUNT).cloned()
            })
        };
        let off = Some(json!(false));
        for spec in [json!({"serviceAccountName": "web"}), json!({"serviceAccount": "web"})] {
            assert_eq!(of(&spec), [off.clone(), off.clone(), off.clone()], "{spec}");
        }
        for spec in
            [json!({}), json!({"serviceAccountName": "default"}), json!({"serviceAccountName": ""})]
        {
            assert_eq!(of(&spec), [None, None, None], "{spec}");
        }
        // What somebody wrote is not changed: the guard says what is wrong with it.
        let on = Some(json!(true));
        let written = json!({"serviceAccountName": "web", MOUNT: true});
        assert_eq!(of(&written), [on.clone(), on.clone(), on]);
    }
}
