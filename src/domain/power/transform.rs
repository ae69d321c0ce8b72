//! PURE · a bundle, and the same bundle asleep: nothing of it runs, its routes lead to the gate, and its configuration,
//! its Services and its data are as they were. The bundle that goes in is not changed: waking is applying it again.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::State;
use crate::domain::bundle::{Bundle, BundleObject, ObjectIdentity, group_of};
use crate::domain::waves::asked;

/// The Service that a sleeping camp's routes lead to: a guardrail.
pub const GATE: &str = "bivouac-gate";
/// Port of that Service.
const GATE_PORT: u16 = 80;
/// Annotation on what sleeping has changed; also the label of the node that no DaemonSet finds.
pub const ASLEEP_ANNOTATION: &str = "bivouac.dev/asleep";
/// Annotation on a route that leads to the gate also while its camp is awake.
const GATED_ANNOTATION: &str = "bivouac.dev/gated";
/// KEDA's annotation by which it scales to a number and rests.
const KEDA_PAUSED_REPLICAS: &str = "autoscaling.keda.sh/paused-replicas";
/// KEDA's annotation by which a `ScaledJob` rests.
const KEDA_PAUSED: &str = "autoscaling.keda.sh/paused";
/// How an Ingress controller talks to the application, which the gate does not speak.
const PROTOCOL: &str = "nginx.ingress.kubernetes.io/backend-protocol";

/// The bundle as it is to be applied to a camp in this state.
#[must_use]
pub fn transform(bundle: &Bundle, state: State) -> Cow<'_, Bundle> {
    if state == State::Awake {
        return Cow::Borrowed(bundle);
    }
    let objects = bundle.objects.iter().filter_map(asleep).collect();
    let mut asleep = Bundle::new(objects, bundle.inputs_digest.clone());
    asleep.random.clone_from(&bundle.random);
    asleep.delete_data = bundle.delete_data;
    Cow::Owned(asleep)
}

/// One object asleep; `None`: it is not there then.
fn asleep(object: &BundleObject) -> Option<BundleObject> {
    // Hooks run when they are asked for, and no hook is while a camp sleeps.
    if asked(&object.json).is_ok_and(|asked| asked.timing.is_some()) {
        return Some(object.clone());
    }
    let ObjectIdentity { group, kind, .. } = object.identity();
    let mut object = object.clone();
    let json = &mut object.json;
    match (group.as_str(), kind.as_str()) {
        ("apps", "Deployment" | "StatefulSet" | "ReplicaSet") | ("", "ReplicationController") => {
            put(json, &["spec", "replicas"], 0.into());
            // Who scales to 0 to sleep does not mean to lose what is stored.
            let policy = "/spec/persistentVolumeClaimRetentionPolicy/whenScaled";
            if let Some(when_scaled) = json.pointer_mut(policy) {
                *when_scaled = "Retain".into();
            }
        }
        ("apps", "DaemonSet") => {
            let path = ["spec", "template", "spec", "nodeSelector", ASLEEP_ANNOTATION];
            put(json, &path, "true".into());
        }
        ("batch", "Job" | "CronJob") => put(json, &["spec", "suspend"], true.into()),
        ("keda.sh", "ScaledObject") => {
            put(json, &["metadata", "annotations", KEDA_PAUSED_REPLICAS], "0".into());
        }
        ("keda.sh", "ScaledJob") => {
            put(json, &["metadata", "annotations", KEDA_PAUSED], "true".into());
        }
        ("", "Pod") => return None,
        ("networking.k8s.io" | "extensions", "Ingress") => ingress(json),
        ("gateway.networking.k8s.io", "HTTPRoute" | "GRPCRoute") => route(json),
        _ => return Some(object),
    }
    put(json, &["metadata", "annotations", ASLEEP_ANNOTATION], "true".into());
    Some(object)
}

/// Lets an object that is a route lead to the gate, though its camp is awake.
pub(crate) fn lead_to_gate(object: &mut BundleObject) {
    if asked(&object.json).is_ok_and(|asked| asked.timing.is_some()) {
        return;
    }
    let ObjectIdentity { group, kind, .. } = object.identity();
    let json = &mut object.json;
    match (group.as_str(), kind.as_str()) {
        ("networking.k8s.io" | "extensions", "Ingress") => ingress(json),
        ("gateway.networking.k8s.io", "HTTPRoute" | "GRPCRoute") => route(json),
        _ => return,
    }
    put(json, &["metadata", "annotations", GATED_ANNOTATION], "true".into());
}

/// Sets a member, and makes the maps on the way to it.
fn put(json: &mut Value, path: &[&str], value: Value) {
    let Some((last, way)) = path.split_last() else { return };
    let mut at = json;
    for name in way {
        if !at.get(*name).is_some_and(Value::is_object) {
            let Some(members) = at.as_object_mut() else { return };
            members.insert((*name).to_owned(), Value::Object(Map::new()));
        }
        let Some(next) = at.get_mut(*name) else { return };
        at = next;
    }
    if let Some(members) = at.as_object_mut() {
        members.insert((*last).to_owned(), value);
    }
}

/// Every backend is the gate.
fn ingress(json: &mut Value) {
    let old = json["apiVersion"] != "networking.k8s.io/v1";
    let gate = if old {
        json!({"serviceName": GATE, "servicePort": GATE_PORT})
    } else {
        json!({"service": {"name": GATE, "port": {"number": GATE_PORT}}})
    };
    let default = if old { "/spec/backend" } else { "/spec/defaultBackend" };
    if let Some(backend) = json.pointer_mut(default) {
        *backend = gate.clone();
    }
    for rule in list(json, "/spec/rules") {
        for path in list(rule, "/http/paths") {
            if let Some(path) = path.as_object_mut() {
                path.insert("backend".into(), gate.clone());
            }
        }
    }
    if let Some(annotations) = json.pointer_mut("/metadata/annotations")
        && let Some(annotations) = annotations.as_object_mut()
    {
        annotations.remove(PROTOCOL);
    }
}

/// The same of a route of the Gateway API. What is redirected stays so, and nothing is mirrored to what does not run.
fn route(json: &mut Value) {
    for rule in list(json, "/spec/rules") {
        let Some(rule) = rule.as_object_mut() else { continue };
        if let Some(Value::Array(filters)) = rule.get_mut("filters") {
            filters.retain(|filter| filter["type"] != "RequestMirror");
        }
        if rule.get("backendRefs").and_then(Value::as_array).is_some_and(|refs| !refs.is_empty()) {
            rule.insert("backendRefs".into(), json!([{"name": GATE, "port": GATE_PORT}]));
        }
    }
}

fn list<'a>(json: &'a mut Value, pointer: &str) -> &'a mut [Value] {
    json.pointer_mut(pointer).and_then(Value::as_array_mut).map_or(&mut [], Vec::as_mut_slice)
}

/// Whether sleeping, or the gate, has set this field, which managed fields call `field`, of this object as it is sent. Then it is
/// nobody else's: an autoscaler that had the replicas gets them back when the camp wakes.
#[must_use]
pub fn holds(object: &Value, field: &str) -> bool {
    let marked = |annotation: &str| {
        let annotations = object.pointer("/metadata/annotations");
        annotations.and_then(|annotations| annotations.get(annotation)).is_some()
    };
    let led = [
        ".spec.rules",
        ".spec.backend",
        ".spec.defaultBackend",
        ".metadata.annotations.bivouac.dev/gated",
    ];
    let set = [
        ".spec.replicas",
        ".spec.suspend",
        ".spec.persistentVolumeClaimRetentionPolicy",
        ".spec.rules",
        ".spec.backend",
        ".spec.defaultBackend",
        ".spec.template.spec.nodeSelector",
        ".metadata.annotations.bivouac.dev/asleep",
        ".metadata.annotations.autoscaling.keda.sh/paused",
    ];
    (marked(ASLEEP_ANNOTATION) && set.iter().any(|own| field.starts_with(own)))
        || (marked(GATED_ANNOTATION) && led.iter().any(|own| field.starts_with(own)))
}

/// How many replicas a workload has at least when it wakes: what its bundle says, and what an autoscaler of the bundle
/// keeps up. An autoscaler rests while there are none, and only somebody else's number wakes it.
#[must_use]
pub fn least_replicas(bundle: &Bundle, workload: &BundleObject) -> i64 {
    let number = |json: &Value, pointer: &str| json.pointer(pointer).and_then(Value::as_i64);
    let own = number(&workload.json, "/spec/replicas").unwrap_or(1);
    let identity = workload.identity();
    let by_scalers = bundle.objects.iter().filter_map(|object| {
        let scaler = object.identity();
        let (least, version) = match (scaler.group.as_str(), scaler.kind.as_str()) {
            ("autoscaling", "HorizontalPodAutoscaler") => ("/spec/minReplicas", ""),
            ("keda.sh", "ScaledObject") => ("/spec/minReplicaCount", "apps/v1"),
            _ => return None,
        };
        let target = object.json.pointer("/spec/scaleTargetRef")?;
        let text = |name: &str| target.get(name).and_then(Value::as_str);
        let of = group_of(text("apiVersion").unwrap_or(version)) == identity.group
            && text("kind").unwrap_or("Deployment") == identity.kind
            && text("name") == Some(identity.name.as_str());
        of.then(|| number(&object.json, least).unwrap_or(1))
    });
    by_scalers.fold(own, i64::max).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::bundle::{Origin, wave_of};
    use crate::domain::positions::Positions;
    use proptest::prelude::*;

    fn object(json: Value) -> BundleObject {
        let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        BundleObject {
            wave: wave_of(group_of(&text("apiVersion")), &text("kind")),
            json,
            origin: Origin { file: "a.yaml".into(), line: 1 },
            app: "web".into(),
            positions: Positions::default(),
        }
    }

    fn of(api_version: &str, kind: &str, spec: impl Into<Value>) -> BundleObject {
        let spec: Value = spec.into();
        object(
            json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}, "spec": spec}),
        )
    }

    fn slept(one: &BundleObject) -> Value {
        let bundle = Bundle::new(vec![one.clone()], "i".into());
        let asleep = transform(&bundle, State::Asleep).into_owned();
        asleep.objects.into_iter().next().map_or(Value::Null, |object| object.json)
    }

    #[test]
    fn each_kind_sleeps_in_its_way() {
        for (api_version, kind, spec, pointer, expected) in [
            ("apps/v1", "Deployment", json!({"replicas": 3}), "/spec/replicas", json!(0)),
            ("apps/v1", "StatefulSet", json!({}), "/spec/replicas", json!(0)),
            (
                "apps/v1",
                "StatefulSet",
                json!({"persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete", "whenDeleted": "Delete"}}),
                "/spec/persistentVolumeClaimRetentionPolicy",
                json!({"whenScaled": "Retain", "whenDeleted": "Delete"}),
            ),
            (
                "apps/v1",
                "DaemonSet",
                json!({"template": {"spec": {"nodeSelector": {"disk": "ssd"}}}}),
                "/spec/template/spec/nodeSelector",
                json!({"disk": "ssd", "bivouac.dev/asleep": "true"}),
            ),
            ("batch/v1", "CronJob", json!({}), "/spec/suspend", json!(true)),
            ("batch/v1", "Job", json!({"suspend": false}), "/spec/suspend", json!(true)),
            (
                "keda.sh/v1alpha1",
                "ScaledObject",
                json!({}),
                "/metadata/annotations/autoscaling.keda.sh~1paused-replicas",
                json!("0"),
            ),
            (
                "networking.k8s.io/v1",
                "Ingress",
                json!({"rules": [{"host": "a", "http": {"paths": [
                    {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"name": "http"}}}}]}}]}),
                "/spec/rules/0/http/paths/0",
                json!({"path": "/", "pathType": "Prefix", "backend": {"service": {"name": GATE, "port": {"number": 80}}}}),
            ),
            (
                "gateway.networking.k8s.io/v1",
                "HTTPRoute",
                json!({"rules": [{"filters": [{"type": "RequestMirror"}], "backendRefs": [{"name": "web", "port": 80}]}]}),
                "/spec/rules/0",
                json!({"filters": [], "backendRefs": [{"name": GATE, "port": 80}]}),
            ),
        ] {
            let json = slept(&of(api_version, kind, spec));
            assert_eq!(json.pointer(pointer), Some(&expected), "{kind}: {json}");
            assert_eq!(json["metadata"]["annotations"][ASLEEP_ANNOTATION], "true", "{kind}");
        }
        assert_eq!(slept(&of("v1", "Pod", json!({}))), Value::Null, "a bare Pod is removed");
        for (api_version, kind) in [
            ("v1", "Service"),
            ("v1", "ConfigMap"),
            ("v1", "PersistentVolumeClaim"),
            ("autoscaling/v2", "HorizontalPodAutoscaler"),
            ("policy/v1", "PodDisruptionBudget"),
        ] {
            let one = of(api_version, kind, json!({"replicas": 2}));
            assert_eq!(slept(&one), one.json, "{kind} is left alone");
        }
    }

    #[test]
    fn a_redirect_stays_and_a_hook_is_left_alone() {
        let redirect = of(
            "gateway.networking.k8s.io/v1",
            "HTTPRoute",
            json!({"rules": [{"filters": [{"type": "RequestRedirect"}]}]}),
        );
        assert_eq!(slept(&redirect)["spec"], redirect.json["spec"]);
        let hook = object(json!({"apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": "dump", "annotations": {"bivouac.dev/hook": "beforeDelete"}}, "spec": {}}));
        assert_eq!(slept(&hook), hook.json);
    }

    #[test]
    fn an_autoscaler_says_how_many_there_are_at_least() {
        let web = of("apps/v1", "Deployment", json!({"replicas": 2}));
        let scaler = |least: i64| {
            of(
                "autoscaling/v2",
                "HorizontalPodAutoscaler",
                json!({"minReplicas": least, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}}),
            )
        };
        let least =
            |objects: Vec<BundleObject>| least_replicas(&Bundle::new(objects, "i".into()), &web);
        assert_eq!(least(vec![web.clone()]), 2);
        assert_eq!(least(vec![web.clone(), scaler(1)]), 2);
        assert_eq!(least(vec![web.clone(), scaler(5)]), 5);
        let none = of("apps/v1", "Deployment", json!({}));
        assert_eq!(least_replicas(&Bundle::new(vec![none.clone()], "i".into()), &none), 1);
    }

    #[test]
    fn what_sleeping_sets_is_nobody_elses() {
        let json = slept(&of("apps/v1", "Deployment", json!({"replicas": 3})));
        assert!(holds(&json, ".spec.replicas"));
        assert!(!holds(&json, ".spec.template.spec.containers"));
        assert!(!holds(&of("apps/v1", "Deployment", json!({})).json, ".spec.replicas"));
    }

    fn any_object() -> impl Strategy<Value = BundleObject> {
        let kinds = prop_oneof![
            Just(("apps/v1", "Deployment")),
            Just(("apps/v1", "StatefulSet")),
            Just(("apps/v1", "DaemonSet")),
            Just(("batch/v1", "Job")),
            Just(("batch/v1", "CronJob")),
            Just(("v1", "Pod")),
            Just(("v1", "Service")),
            Just(("v1", "ConfigMap")),
            Just(("networking.k8s.io/v1", "Ingress")),
            Just(("gateway.networking.k8s.io/v1", "HTTPRoute")),
            Just(("keda.sh/v1alpha1", "ScaledObject")),
            Just(("autoscaling/v2", "HorizontalPodAutoscaler")),
        ];
        let spec = prop_oneof![
            Just(Value::Null),
            Just(json!([])),
            Just(json!("text")),
            Just(
                json!({"rules": [{"http": {"paths": [{"backend": {}}, 3]}, "backendRefs": [{}]}, null]})
            ),
            (0_i64..9)
                .prop_map(|n| json!({"replicas": n, "template": {"spec": {"nodeSelector": null}}})),
        ];
        let annotations = prop_oneof![
            Just(json!({})),
            Just(Value::Null),
            Just(json!({"bivouac.dev/wave": "3"})),
            Just(json!({(ASLEEP_ANNOTATION): "false"})),
            Just(json!({"bivouac.dev/hook": "afterReady"})),
        ];
        (kinds, spec, annotations, "[a-c]").prop_map(
            |((api_version, kind), spec, annotations, name)| {
                object(json!({"apiVersion": api_version, "kind": kind,
                "metadata": {"name": name, "annotations": annotations}, "spec": spec}))
            },
        )
    }

    proptest! {
        #[test]
        fn an_awake_bundle_comes_back_byte_for_byte(objects in proptest::collection::vec(any_object(), 0..12)) {
            let bundle = Bundle::new(objects, "i".into());
            let before = bundle.canonical();
            let asleep = transform(&bundle, State::Asleep).into_owned();
            prop_assert_eq!(&bundle.canonical(), &before);
            let awake = transform(&bundle, State::Awake);
            prop_assert_eq!(&awake.canonical(), &before);
            prop_assert_eq!(&awake.digest, &bundle.digest);
            // Asleep it sleeps no deeper.
            prop_assert_eq!(transform(&asleep, State::Asleep).canonical(), asleep.canonical());
            // The same objects are there, but for bare Pods; and nothing of them runs.
            let names = |bundle: &Bundle| {
                let stays = |o: &&BundleObject| o.identity().kind != "Pod" || asked(&o.json).is_ok_and(|a| a.timing.is_some());
                bundle.objects.iter().filter(stays).map(BundleObject::identity).collect::<Vec<_>>()
            };
            prop_assert_eq!(names(&bundle), names(&asleep));
            for object in &asleep.objects {
                if asked(&object.json).is_ok_and(|asked| asked.timing.is_some()) || !object.json["spec"].is_object() {
                    continue;
                }
                match object.identity().kind.as_str() {
                    "Deployment" | "StatefulSet" => prop_assert_eq!(&object.json["spec"]["replicas"], 0),
                    "Job" | "CronJob" => prop_assert_eq!(&object.json["spec"]["suspend"], true),
                    "Pod" => prop_assert!(false, "a Pod runs"),
                    _ => {}
                }
            }
        }
    }
}
